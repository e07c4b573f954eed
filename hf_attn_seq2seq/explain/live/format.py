# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The files of a model's trace graphs, and what a step can be asked to change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch


FORMAT = "hf_attn_seq2seq trace graphs"
VERSION = 3  # 1: without changes; 2: with one row of weights for all layers
GRAPHS = f"{FORMAT}, version {VERSION}"  # as each graph says it
SOURCE_FILE, STEP_FILE, ROWS_FILE = "trace_source.onnx", "trace_step.onnx", "trace_rows.onnx"
ABOUT_FILE = "trace_graphs.json"
# What a step is asked to change: weights of the layers set in `(layers,)` become those of `(layers, src_len)`, and
# sums of the heads set in `(layers, heads)` become 0.
NEW_WEIGHTS, CHANGED_LAYERS, LEFT_OUT = CHANGES = ("new_weights", "changed_layers", "left_out")
WRITTEN = "written"  # the output layer's logits, where a pointer changes them


def changes_of(
    changes: Sequence[Mapping[str, Any]], step: int, layers: int, heads: int, src_len: int
) -> dict[str, torch.Tensor]:
    """
    The inputs [`CHANGES`] of a step.

    Args:
        changes: As [`Trace.changes`]; only the kinds `"weights"` and `"heads"` change a step.
        step: Counted from 0.
        layers, heads, src_len: How many there are.
    """
    new, changed, left_out = (
        torch.zeros(layers, src_len),
        torch.zeros(layers).bool(),
        torch.zeros(layers, heads).bool(),
    )
    for change in changes:
        if change["kind"] == "weights" and change["step"] == step:
            new[change["layers"]] = torch.tensor(change["weights"])
            changed[change["layers"]] = True
        if change["kind"] == "heads":
            left_out[torch.tensor(change["layers"])[:, None], change["heads"]] = True
    return dict(zip(CHANGES, (new, changed, left_out)))
