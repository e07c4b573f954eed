# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Traces by a model's trace graphs, which ONNX Runtime runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from hf_attn_seq2seq.decoding.exported import Description, ExportedModel, Graph, Tensors
from hf_attn_seq2seq.decoding.graph import import_onnxruntime
from hf_attn_seq2seq.explain.document import Trace, changes_in
from hf_attn_seq2seq.explain.live.format import (
    ABOUT_FILE,
    FORMAT,
    ROWS_FILE,
    SOURCE_FILE,
    STEP_FILE,
    VERSION,
    WRITTEN,
    changes_of,
)
from hf_attn_seq2seq.explain.tracing import (
    CANDIDATES,
    RunOptions,
    as_recorded,
    finished_trace,
    run_traced,
    told_readout,
)
from hf_attn_seq2seq.graphs.format import checksum, checksums
from hf_attn_seq2seq.messages import shortened


AGAIN = "write the trace graphs again"


class RecordedGraph(Graph):
    """A graph that keeps everything that it computes."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.runs: list[Tensors] = []

    def __call__(self, values: Tensors, outputs: list[str]) -> Tensors:
        self.runs.append(super().__call__(values, self.outputs))
        return self.runs[-1]


class RecordedStep(RecordedGraph):
    """
    The graph of a step.

    Attributes:
        changes: What is changed, as [`Trace.changes`].
    """

    def __init__(self, path: Path, sizes: Mapping[str, int] | None) -> None:
        super().__init__(path)
        self.sizes = sizes
        self.changes: Sequence[Mapping[str, Any]] = ()

    def __call__(self, values: Tensors, outputs: list[str]) -> Tensors:
        if self.sizes is not None:
            src_len = values["attention_mask"].shape[1]
            values = values | changes_of(self.changes, len(self.runs), **self.sizes, src_len=src_len)
        return super().__call__(values, outputs)


class TraceGraphs(ExportedModel):
    """A model's trace graphs behind `generate()`, for one text and one hypothesis at a time."""

    def __init__(self, folder: str | Path) -> None:
        """
        Args:
            folder: Of a model, as [`save_trace_graphs`] leaves it.

        Raises:
            ValueError: The graphs are missing, broken, or of other weights.
            ImportError: ONNX Runtime is not installed.
        """
        folder = Path(folder)
        about = _read_about(folder)
        description = Description("trace", SOURCE_FILE, STEP_FILE, *(about[name] for name in _LISTS))
        self.hold(
            folder,
            description,
            RecordedGraph(folder / SOURCE_FILE),
            RecordedStep(folder / STEP_FILE, about["changes"]),
        )
        self.about = about
        self.rows = Graph(folder / ROWS_FILE)

    def forget(self, changes: Sequence[Mapping[str, Any]] = ()) -> None:
        """Begin anew: nothing has been run, and this is to be changed."""
        self.decoder_step.changes = changes  # type: ignore[attr-defined]
        self.encoder.graph.runs.clear()  # type: ignore[attr-defined]
        self.decoder_step.runs.clear()  # type: ignore[attr-defined]

    def arrays(self, steps: int, output_ids: Sequence[int]) -> dict[str, torch.Tensor]:
        """The arrays of a trace, of the first steps that were run."""
        (source,), every = self.encoder.graph.runs, self.decoder_step.runs[:steps]  # type: ignore[attr-defined]
        joined = {"once": lambda parts: parts[0], "each": torch.cat, "triangle": _triangle}
        return {
            **{name: source[name] for name in self.about["once"]},
            **{name: joined[how]([step[name] for step in every]) for name, how in self.about["steps"].items()},
            **self.rows({"ids": torch.tensor(output_ids)}, self.rows.outputs),
        }

    def written(self, steps: int) -> torch.Tensor:
        """The logits of the output layer, `(T, vocab)`, where a pointer changes them."""
        return torch.cat([step[WRITTEN] for step in self.decoder_step.runs[:steps]])  # type: ignore[attr-defined]


_LISTS = ("memory", "state", "attentions")


def _read_about(folder: Path) -> dict[str, Any]:
    try:
        about = json.loads((folder / ABOUT_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        raise ValueError(f"'{folder}' has no trace graphs ({ABOUT_FILE}): {AGAIN}.") from None
    if not isinstance(about, dict) or about.get("format") != FORMAT or about.get("version") != VERSION:
        version = about.get("version") if isinstance(about, dict) else None
        raise ValueError(
            f"'{folder / ABOUT_FILE}' is of version {shortened(str(version))}, but this package reads version "
            f"{VERSION}: {AGAIN}."
        )
    present = {**checksums(folder), **{path.name: checksum(path) for path in folder.glob("trace_*.onnx")}}
    for name, wanted in about["files"].items():
        if present.get(name) != wanted:
            raise ValueError(f"The trace graphs of '{folder}' belong to another {shortened(name)}: {AGAIN}.")
    return about


def _triangle(rows: list[torch.Tensor]) -> torch.Tensor:
    """`(heads, T, T)` of rows `(1, heads, 1, t + 1)`."""
    return torch.cat([torch.nn.functional.pad(row[0], (0, len(rows) - row.shape[-1])) for row in rows], dim=1)


@torch.no_grad()
def trace_by_graphs(
    model: TraceGraphs,
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    target: str | Sequence[int] | None = None,
    *,
    max_new_tokens: int | None = None,
    candidates: int = CANDIDATES,
    name: str | None = None,
    what_if: Mapping[str, Any] | None = None,
) -> Trace:
    """
    Translate greedily, and make the trace that [`trace`] makes with PyTorch.

    Args:
        model: The graphs.
        tokenizer: The model's.
        text, target, max_new_tokens, candidates, name: As for [`trace`].
        what_if: What is changed, as in the trace of a what-if run; words are said by `target`.

    Raises:
        ValueError: As for [`trace`].
    """
    model.forget(changes_in(what_if))
    run = run_traced(model, tokenizer, text, target, RunOptions(1, max_new_tokens, None, candidates, name))
    document, steps = run.document, len(run.document["steps"])
    about, packages = model.about["model"], document["versions"]
    document["model"].update({"class": about["class"], "parameters": about["parameters"]})
    document["what_if"] = what_if
    document["versions"] = {**packages, "onnxruntime": import_onnxruntime().__version__}
    arrays = {name: as_recorded(value) for name, value in model.arrays(steps, document["output_ids"]).items()}
    written = model.written(steps) if model.config.pointer else None
    traced = finished_trace(model.config, document, arrays, written, [])
    traced.document["attention"].update(told_readout(model))
    return traced
