# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The graph of a model: that in its folder, or one that is made once and kept for later runs."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hf_attn_seq2seq._version import __version__
from hf_attn_seq2seq.decoding.graph import GraphEngine, GraphProblem
from hf_attn_seq2seq.graphs.format import GRAPH_FILE, VERSION, checksums


if TYPE_CHECKING:
    from hf_attn_seq2seq.modeling_attn_seq2seq import AttnSeq2SeqForConditionalGeneration

logger = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Where graphs are kept: `HF_ATTN_SEQ2SEQ_CACHE`, or `hf_attn_seq2seq` in the cache of Hugging Face."""
    own = os.environ.get("HF_ATTN_SEQ2SEQ_CACHE")
    if own:
        return Path(own)
    home = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("HF_HOME", f"{home}/huggingface")).expanduser() / "hf_attn_seq2seq"


def kept_graph(files: Mapping[str, str]) -> Path:
    """
    The place of a model's graph in the cache.

    Args:
        files: The checksums of the model's files, as by [`checksums`].
    """
    content = json.dumps([VERSION, __version__, sorted(files.items())])
    return cache_folder() / "graphs" / hashlib.sha256(content.encode()).hexdigest()[:32] / GRAPH_FILE


def find_engine(folder: Path, threads: int | None = None) -> GraphEngine | None:
    """
    The engine of the graph that a saved model has, in its folder or in the cache; None if it has none, or one that was
    written for other weights or settings.

    Args:
        folder: The folder of the model.
        threads: As for [`GraphEngine`].

    Raises:
        ImportError: ONNX Runtime is not installed.
    """
    return _find(folder, checksums(folder), threads)


def _find(folder: Path, files: Mapping[str, str], threads: int | None) -> GraphEngine | None:
    for graph in (folder / GRAPH_FILE, kept_graph(files)):
        if graph.is_file():
            try:
                return GraphEngine(graph, folder, threads, files)
            except GraphProblem as problem:
                logger.warning(f"{problem} It is left out.")
    return None


def make_engine(
    folder: Path, load: Callable[[], AttnSeq2SeqForConditionalGeneration], threads: int | None = None
) -> GraphEngine:
    """
    The engine of a saved model; its graph is made and kept in the cache if it has none.

    Args:
        folder: The folder of the model.
        load: Loads the model; called only if the graph must be made.
        threads: As for [`GraphEngine`].

    Raises:
        GraphProblem: The model cannot be written as a graph.
        OSError: The cache cannot be written.
    """
    files = checksums(folder)
    found = _find(folder, files, threads)
    if found is not None:
        return found
    from hf_attn_seq2seq.graphs.writer import save_graph

    graph = kept_graph(files)
    graph.parent.mkdir(parents=True, exist_ok=True)
    try:
        save_graph(load(), folder, graph.parent)
    except ValueError as error:
        raise GraphProblem(str(error)) from error
    return GraphEngine(graph, folder, threads, files)
