# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Rows of an attention's matrices, by which one number of a query, of a key and of the joined heads is worked out."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from hf_attn_seq2seq.decoding.attending import evaluating


# The arrays, and what they are indexed by: heads, or nothing.
WORKED_AXES = {
    **dict.fromkeys(("worked", "query_row", "query_bias", "key_row", "key_bias"), "H"),
    **dict.fromkeys(("joined", "joining_row", "joining_bias"), ""),
}


def worked_rows(attention: Any) -> dict[str, torch.Tensor]:
    """
    For each head, `worked`: a component, counted from 0, and its rows in the matrices that make queries and keys, with
    their biases. It is that of the largest weight in the scoring network, or, without one, of the largest product of
    its rows' norms. For heads that are joined by a matrix, `joined`: a component of the context, and its row, the one
    with the largest norm.
    """
    found: dict[str, torch.Tensor] = {}
    heads = attention.num_heads
    matrices, biases = {}, {}
    for side in ("query", "key"):
        layer = getattr(attention, f"{side}_projection", None)
        if layer is not None:
            matrices[side] = _by_head(linear_weight(layer), attention, side)
            if layer.bias is not None:
                biases[side] = _by_head(layer.bias.detach(), attention, side)
    if matrices:
        if hasattr(attention, "vector"):
            size = attention.vector().detach().float().abs()
        else:
            size = torch.stack([matrix.norm(dim=-1) for matrix in matrices.values()]).prod(0)
        most = size.argmax(-1)
        each = torch.arange(heads, device=most.device)
        found["worked"] = most.float()
        found |= {f"{side}_row": matrix[each, most] for side, matrix in matrices.items()}
        found |= {f"{side}_bias": bias[each, most] for side, bias in biases.items()}
    joining = getattr(attention, "output_projection", None)
    if joining is not None:
        matrix = linear_weight(joining).float()
        most = matrix.norm(dim=-1).argmax(-1, keepdim=True)
        found |= {"joined": most.float(), "joining_row": matrix[most].flatten()}
        if joining.bias is not None:
            found["joining_bias"] = joining.bias.detach().float()[most]
    return found


def _by_head(rows: torch.Tensor, attention: Any, side: str) -> torch.Tensor:
    """`(H * dim, ...)` to `(H, dim, ...)`; heads that share a key have the same rows."""
    groups = getattr(attention, "num_key_value_groups", 1) if side == "key" else 1
    parted = rows.float().view(attention.num_heads // groups, -1, *rows.shape[1:])
    return parted.repeat_interleave(groups, dim=0)


@torch.no_grad()
def linear_weight(layer: Any) -> torch.Tensor:
    """The effective weight `(out, in)` of a linear layer, including that of an adapter."""
    weight: torch.Tensor = layer.weight.detach()
    if type(layer) is nn.Linear:
        return weight
    with evaluating(layer):
        units = torch.eye(weight.shape[1], dtype=weight.dtype, device=weight.device)
        made: torch.Tensor = (layer(units) - layer(torch.zeros_like(units[:1]))).T
    return made


__all__ = ["WORKED_AXES", "linear_weight", "worked_rows"]
