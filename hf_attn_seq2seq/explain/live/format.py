# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The files of a model's trace graphs, and what a step can be asked to change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


FORMAT = "hf_attn_seq2seq trace graphs"
VERSION = 2  # 1: without changes
SOURCE_FILE, STEP_FILE, ROWS_FILE = "trace_source.onnx", "trace_step.onnx", "trace_rows.onnx"
ABOUT_FILE = "trace_graphs.json"
# What a step is asked to change: weights of the layers that are set in `(layers,)` become the row `(src_len,)`, and
# sums of the heads that are set in `(layers, heads)` become 0.
ROW, ROW_LAYERS, LEFT_OUT = CHANGES = ("row", "row_layers", "left_out")
WRITTEN = "written"  # the output layer's logits, where a pointer changes them


def changes_of(
    what_if: Mapping[str, Any] | None, step: int, layers: int, heads: int, src_len: int
) -> dict[str, torch.Tensor]:
    """
    The inputs [`CHANGES`] of a step.

    Args:
        what_if: As in a trace, of the kind `"weights"` or `"heads"`; None: nothing is changed.
        step: Counted from 0.
        layers, heads, src_len: How many there are.
    """
    row, row_layers, left_out = torch.zeros(src_len), torch.zeros(layers).bool(), torch.zeros(layers, heads).bool()
    if what_if is not None and what_if["kind"] == "weights" and what_if["step"] == step:
        row = torch.tensor(what_if["weights"])
        row_layers[what_if["layers"]] = True
    if what_if is not None and what_if["kind"] == "heads":
        left_out[torch.tensor(what_if["layers"])[:, None], what_if["heads"]] = True
    return dict(zip(CHANGES, (row, row_layers, left_out)))
