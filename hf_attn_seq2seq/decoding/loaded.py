# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The engine of a model that PyTorch has loaded: its graph while the model stays as it was, otherwise `generate()`."""

import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from hf_attn_seq2seq.decoding.engines import Engine, Hypotheses, check_engine, graph_refused, why_not_graph
from hf_attn_seq2seq.decoding.graph import GraphEngine, GraphProblem
from hf_attn_seq2seq.decoding.graph_cache import make_engine
from hf_attn_seq2seq.decoding.torch_engine import TorchEngine
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

    def search(
        self,
        input_ids: np.ndarray,
        attention_mask: np.ndarray,
        *,
        layer: int | None = None,
        scores: bool = False,
        **generate_options: Any,
    ) -> Hypotheses:
        """See [`Engine`]."""
        options = {"generation_config": self.generation_config, **generate_options}
        asked: dict[str, Any] = {"layer": layer, "scores": scores}
        if self.name == self.graph.name and self.graph.can(options) is None:
            return self.graph.search(input_ids, attention_mask, **asked, **options)
        return super().search(input_ids, attention_mask, **asked, **generate_options)


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


def quick_engine(model: PreTrainedModel, engine: str = "auto") -> Engine:
    """
    The engine for a model that was just loaded from a folder, and has not been changed since.

    Args:
        model: Any encoder-decoder that supports `generate`.
        engine: "torch"; "graph"; or "auto": the graph if it gives the same translations and can be had.

    Raises:
        ValueError: The graph was asked for, and cannot run this model.
        ImportError: The graph was asked for, and a library is missing.
    """
    check_engine(engine)
    if engine == "torch":
        return TorchEngine(model)
    reason = why_no_graph_of(model)
    if reason is None and not os.path.isdir(model.config._name_or_path):
        reason = "a model that is not in a folder"
    if reason is None:
        try:
            return LoadedEngine(model, make_engine(Path(model.config._name_or_path), lambda: model))  # type: ignore[arg-type,return-value]
        except (GraphProblem, ImportError, OSError) as error:
            if engine == "graph":
                raise
            logger.info(f"PyTorch translates: {error}")
    elif engine == "graph":
        raise graph_refused(reason)
    return TorchEngine(model)


def why_no_graph_of(model: PreTrainedModel) -> str | None:
    """[`why_not_graph`] of a model as it is."""
    if type(model) is not AttnSeq2SeqForConditionalGeneration:
        return f"the class {type(model).__name__}"
    others = {each.dtype for each in model.parameters()} - {torch.float32}
    return why_not_graph(model.device.type, str(others.pop()).removeprefix("torch.") if others else "float32")
