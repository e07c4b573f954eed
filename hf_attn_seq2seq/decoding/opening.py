# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Opening models for translation: by the graph if it can run them, otherwise by PyTorch, which is imported then."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from hf_attn_seq2seq.decoding import tokens
from hf_attn_seq2seq.decoding.engines import Engine, FallbackEngine, check_engine, graph_refused, why_not_graph
from hf_attn_seq2seq.decoding.folders import (
    check_folder,
    check_reads,
    check_search_settings,
    check_search_tokens,
    check_vocabulary,
    fetch_all,
)
from hf_attn_seq2seq.decoding.graph import GraphEngine, GraphProblem
from hf_attn_seq2seq.decoding.graph_cache import find_engine, make_engine
from hf_attn_seq2seq.decoding.names import is_exported, resolve
from hf_attn_seq2seq.decoding.safety import NO_CODE, check_files, find_file, read_settings
from hf_attn_seq2seq.graphs.format import CONFIG_FILE, GRAPH_FILE
from hf_attn_seq2seq.messages import shortened
from hf_attn_seq2seq.modality import TEXT


logger = logging.getLogger(__name__)

_MODEL_TYPE = "attn_seq2seq"
# Types of the settings of a search; one of another type, or unknown, is for Transformers to check.
_SEARCH_SETTINGS: dict[str, Any] = {
    "_from_model_config": bool,
    "begin_suppress_tokens": list,
    "bos_token_id": int,
    "decoder_start_token_id": int,
    "do_sample": bool,
    "eos_token_id": (int, list),
    "forced_bos_token_id": int,
    "forced_eos_token_id": (int, list),
    "length_penalty": (int, float),
    "max_length": int,
    "max_new_tokens": int,
    "min_length": int,
    "min_new_tokens": int,
    "num_beams": int,
    "output_attentions": bool,
    "output_hidden_states": bool,
    "output_scores": bool,
    "pad_token_id": int,
    "suppress_tokens": list,
    "transformers_version": str,
    "use_cache": bool,
}


class Opening(NamedTuple):
    """Models whose settings have been checked. Those that the graph runs are open; of others the weights wait."""

    names: list[str]  # of models that form an ensemble, or of one
    device: str | None
    dtype: str
    tokenizer: Any
    configs: list[Any]  # one per name
    generation_config: Any  # of the first
    graph: Engine | None  # None: PyTorch runs them

    def open(self) -> Engine:
        """
        Load the models, if they are not open.

        Raises:
            ValueError: A file is missing or damaged, or files do not belong together.
        """
        return self.graph or _by_torch(self.names, self.device, self.dtype)


def prepare(
    names: Sequence[str],
    device: str | None = None,
    dtype: str = "auto",
    engine: str = "auto",
    threads: int | None = None,
) -> Opening:
    """
    Choose the engine, and read and check what belongs to the models.

    Args:
        names: Folders, names of models included in this package, or names on the Hub.
        device: Such as "cpu" or "cuda:1"; None: a GPU if available.
        dtype: As for `load`.
        engine: "graph", "torch", or "auto": the graph if it gives the translations that PyTorch gives.
        threads: Of one search by the graph; None: as many as the processor has cores.

    Raises:
        ValueError: A model does not exist or cannot be used, or the graph was asked for and cannot run it.
        ImportError: The graph was asked for, and ONNX Runtime is not installed.
    """
    check_engine(engine)
    reason = "is not used" if engine == "torch" else _why_not_by_graph(names, device, dtype)
    folder = _folder_of(names[0]) if reason is None else None
    if folder is not None:
        try:
            return _by_graph(names[0], folder, device, dtype, engine, threads)
        except (GraphProblem, ImportError) as error:
            if engine == "graph":
                raise
            logger.warning(f"{error} PyTorch translates instead, which is slower.")
    elif engine == "graph":
        raise graph_refused(reason or f"'{shortened(names[0])}', which is no model of this package")
    from hf_attn_seq2seq.decoding.loading import load_tokenizer, pick_device, read_config, read_generation_config

    pick_device(device)
    tokenizer = load_tokenizer(names)
    configs = [read_config(name) for name in names]
    for name, config in zip(names, configs):
        check_reads(name, config, TEXT)
    generation = read_generation_config(names[0], configs[0])
    return Opening(list(names), device, dtype, tokenizer, configs, generation, None)


def _why_not_by_graph(names: Sequence[str], device: str | None, dtype: str) -> str | None:
    """[`why_not_graph`] of models that are still to be opened."""
    if len(names) > 1:
        return "an ensemble"
    if is_exported(names[0]) and not os.path.isfile(os.path.join(names[0], GRAPH_FILE)):
        return "a model that an earlier version exported (export it again)"
    if reason := why_not_graph(device, dtype):
        return reason
    if device is None and _may_have_gpu():
        from hf_attn_seq2seq.decoding.loading import pick_device

        if pick_device(None).type != "cpu":
            return "on a GPU (choose the device cpu)"
    return None


def _folder_of(name: str) -> Path | None:
    """The folder of a model of this package, in the cache if it is on the Hub; None if there is no such model."""
    check_folder(resolve(name))
    check_files(resolve(name), NO_CODE)
    config = find_file(resolve(name), CONFIG_FILE, NO_CODE)
    if config is None or read_settings(config).get("model_type") != _MODEL_TYPE:
        return None
    check_reads(name, read_settings(config), TEXT)
    return fetch_all(resolve(name), config, NO_CODE)


def _may_have_gpu() -> bool:
    """Whether PyTorch, which takes seconds to import, might find a GPU."""
    signs = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg", r"C:\Windows\System32\nvcuda.dll")
    return any(map(os.path.exists, signs)) or shutil.which("nvidia-smi") is not None


def _by_graph(name: str, folder: Path, device: str | None, dtype: str, engine: str, threads: int | None) -> Opening:
    """Open a folder's model with its graph; a GraphProblem if there is none and none can be made."""
    graph = _open_graph(folder, threads)
    tokenizer: Any = tokens.saved_tokenizer(folder)
    if tokenizer is None:
        from hf_attn_seq2seq.decoding.loading import read_tokenizer

        tokenizer = read_tokenizer(name)
    _check_generation(name, folder, graph.config)
    check_vocabulary(name, len(tokenizer), graph.config.vocab_size, own=True)
    opened: Engine = graph
    if engine == "auto":
        opened = FallbackEngine(graph, lambda: _by_torch([name], device, dtype))
    return Opening([name], device, dtype, tokenizer, [graph.config], graph.generation_config, opened)


def _check_generation(name: str, folder: Path, config: SimpleNamespace) -> None:
    settings = read_settings(folder / "generation_config.json")
    check_search_settings(name, settings)
    if not _are_usual(settings):
        from hf_attn_seq2seq.decoding.loading import read_config, read_generation_config

        settings = vars(read_generation_config(name, read_config(name)))
    check_search_tokens(name, settings, config.decoder_vocab_size)


def _are_usual(settings: Mapping[str, Any]) -> bool:
    """Whether all settings are known and of the right types."""
    for name, value in settings.items():
        if value is None or (name == "early_stopping" and value in (False, True, "never")):
            continue
        if name not in _SEARCH_SETTINGS or not isinstance(value, _SEARCH_SETTINGS[name]):
            return False
        if isinstance(value, list) and any(type(token) is not int for token in value):
            return False
        if isinstance(value, bool) and _SEARCH_SETTINGS[name] is not bool:
            return False
    return not settings.get("do_sample")


class _NotLoaded(Exception):
    """Its cause says why a model cannot be loaded, whatever runs it."""


def _open_graph(folder: Path, threads: int | None) -> GraphEngine:
    """The model's graph, which is made if it has none; a GraphProblem if that is not possible."""

    if is_exported(str(folder)):
        graph = find_engine(folder, threads)
        if graph is None:
            raise GraphProblem(f"The graph of '{folder}' cannot be used: export the model again.")
        return graph

    def load() -> Any:
        from hf_attn_seq2seq.decoding.loading import load_translator

        try:
            return load_translator([str(folder)], "cpu", "float32").model
        except ValueError as error:
            raise _NotLoaded from error

    try:
        return make_engine(folder, load, threads)
    except _NotLoaded as error:
        raise error.__cause__ from None  # type: ignore[misc]
    except ModuleNotFoundError as error:
        raise GraphProblem(f"The graph of '{folder}' cannot be made without {error.name}: install it.") from error
    except OSError as error:
        raise GraphProblem(f"The graph of '{folder}' cannot be kept in the cache ({error}).") from error


def _by_torch(names: Sequence[str], device: str | None, dtype: str) -> Engine:
    from hf_attn_seq2seq.decoding.loading import load_translator
    from hf_attn_seq2seq.decoding.torch_engine import TorchEngine

    return TorchEngine(load_translator(names, device, dtype).model)
