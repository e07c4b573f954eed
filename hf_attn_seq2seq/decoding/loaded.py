# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The engine of a model that PyTorch has loaded: its graph while the model stays as it was, otherwise `generate()`."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from hf_attn_seq2seq.decoding.engines import Engine, Hypotheses, check_engine, graph_refused, why_not_graph
from hf_attn_seq2seq.decoding.folders import fetch_all
from hf_attn_seq2seq.decoding.graph import GraphEngine, GraphProblem
from hf_attn_seq2seq.decoding.graph_cache import make_engine
from hf_attn_seq2seq.decoding.safety import NO_CODE, find_file
from hf_attn_seq2seq.decoding.torch_engine import TorchEngine
from hf_attn_seq2seq.graphs.format import CONFIG_FILE
from hf_attn_seq2seq.graphs.parts import why_not_written
from hf_attn_seq2seq.modeling_attn_seq2seq import AttnSeq2SeqForConditionalGeneration


logger = logging.getLogger(__name__)

_SAMPLE = 16  # values of a parameter


class LoadedEngine(TorchEngine):
    """
    A loaded model, and its graph.

    The graph searches only as long as the model is what was loaded: on the CPU, with the same parameters, without
    hooks. Its settings of the search may change.
    """

    def __init__(self, model: PreTrainedModel, graph: GraphEngine) -> None:
        """
        Args:
            model: As it was loaded.
            graph: Of the same weights.
        """
        super().__init__(model)
        self.graph = graph
        self._loaded = _state(model)

    @property
    def name(self) -> str:
        return self.graph.name if _state(self.model) == self._loaded else super().name

    def name_for(self, options: Mapping[str, Any]) -> str:
        """See [`Engine`]."""
        options = {"generation_config": self.generation_config, **options}
        by_graph = self.name == self.graph.name and self.graph.can(options) is None
        return self.graph.name if by_graph else super().name

    def search(
        self,
        input_ids: np.ndarray | None = None,
        attention_mask: np.ndarray | None = None,
        *,
        layer: int | None = None,
        scores: bool = False,
        **generate_options: Any,
    ) -> Hypotheses:
        """See [`Engine`]."""
        arrays = {name: value for name, value in generate_options.items() if isinstance(value, np.ndarray)}
        options = {name: value for name, value in generate_options.items() if name not in arrays}
        asked: dict[str, Any] = {"layer": layer, "scores": scores, **arrays}
        if self.name_for(options) == self.graph.name:
            options = {"generation_config": self.generation_config, **options}
            return self.graph.search(input_ids, attention_mask, **asked, **options)
        return super().search(input_ids, attention_mask, **{**asked, **generate_options})


def _state(model: PreTrainedModel) -> tuple[Any, ...]:
    """What differs after a model was changed: its modules, hooks, methods and parameters, of which it has a sample."""
    modules = [(id(each), is_altered(each)) for each in model.modules()]
    parameters: list[Any] = []
    for each in model.parameters():
        values = each.detach().reshape(-1)
        sample = values[:: max(1, len(values) // _SAMPLE)].tolist()  # a change in place may leave no other trace
        parameters.append((id(each), each._version, each.data_ptr(), each.dtype, sample))
    return "generate" in vars(model), modules, parameters


def is_altered(module: torch.nn.Module) -> bool:
    """Whether a module may compute something else than its class does."""
    return "forward" in vars(module) or _has_hooks(module)


def _has_hooks(module: torch.nn.Module) -> bool:
    """
    Whether something may see or change what passes: not Transformers, which so collects attention, nor a hook that
    says by its attribute `only_interrupts` that it does not.
    """
    hooks = [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]
    return any(
        not getattr(hook, "__module__", "").startswith("transformers.") and not getattr(hook, "only_interrupts", False)
        for hook in hooks
    )


def quick_engine(model: PreTrainedModel, engine: str = "auto", hub: Mapping[str, Any] = NO_CODE) -> Engine:
    """
    The engine for a model that was just loaded from a folder or the Hub, and has not been changed since.

    Args:
        model: Any encoder-decoder that supports `generate`.
        engine: "torch"; "graph"; or "auto": the graph if it gives the same translations and can be had.
        hub: The options by which the model was loaded, as for `load`.

    Raises:
        ValueError: The graph was asked for, and cannot run this model.
        ImportError: The graph was asked for, and a library is missing.
    """
    check_engine(engine)
    if engine == "torch":
        return TorchEngine(model)
    reason = why_no_graph_of(model)
    folder = _folder_of(model, hub) if reason is None else None
    if folder is not None:
        try:
            return LoadedEngine(model, make_engine(folder, lambda: model))  # type: ignore[arg-type,return-value]
        except (GraphProblem, ImportError, OSError) as error:
            if engine == "graph":
                raise
            logger.info(f"PyTorch translates: {error}")
    elif engine == "graph":
        raise graph_refused(reason or "a model that is not in a folder, nor its weights in one file on the Hub")
    return TorchEngine(model)


def _folder_of(model: PreTrainedModel, hub: Mapping[str, Any]) -> Path | None:
    """The folder that a model was loaded from, in the cache if it is on the Hub; None if there is none."""
    name = model.config._name_or_path
    config = find_file(name, CONFIG_FILE, {**hub, "local_files_only": True})  # on the Hub may be a newer one by now
    return None if config is None else fetch_all(name, config, hub)


def why_no_graph_of(model: PreTrainedModel) -> str | None:
    """[`why_not_graph`] of a model as it is."""
    if type(model) is not AttnSeq2SeqForConditionalGeneration:
        return f"the class {type(model).__name__}"
    if reason := why_not_written(model.config):
        return reason
    others = {each.dtype for each in model.parameters()} - {torch.float32}
    return why_not_graph(model.device.type, str(others.pop()).removeprefix("torch.") if others else "float32")
