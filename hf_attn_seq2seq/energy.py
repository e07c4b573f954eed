# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
The scores of additive attention, v^T tanh(q_t + k_j), for many steps in one call.

The sums q_t + k_j are the largest numbers of a model with additive attention: for each pair of a target and a source
token as many as a key has. On a CPU they are made a block at a time, which stays in the processor's cache, and made
again for the gradients instead of being kept.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from transformers.utils.import_utils import is_tracing

from .fused import plain_gradients, runs_plainly, squash


BLOCK = 2**17  # numbers at once


def additive_scores(queries: torch.Tensor, keys: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    """
    v^T tanh(q_t + k_j), `(batch, heads, tgt_len, src_len)`, with gradients of any order.

    Args:
        queries: `(batch, heads, tgt_len, dim)`.
        keys: `(batch, heads, src_len, dim)`.
        vector: `(heads, dim)`.
    """
    shape = Shape.of(queries, keys)
    if is_tracing(queries) or queries.device.type != "cpu" or shape.numbers <= BLOCK:
        return plain_scores(queries, keys, vector)
    if not torch.is_grad_enabled():
        return scores_in_blocks(queries, keys, vector)
    same = queries.dtype == keys.dtype == vector.dtype and queries.dtype in (torch.float32, torch.float64)
    if not same or not (runs_plainly(queries) and runs_plainly(keys)):
        return plain_scores(queries, keys, vector)
    return _Scores.apply(queries, keys, vector)  # type: ignore[no-any-return]


def plain_scores(queries: torch.Tensor, keys: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    """[`additive_scores`] in operations that autograd knows, all at once."""
    return read_out((queries.unsqueeze(3) + keys.unsqueeze(2)).tanh_(), vector)


def read_out(inner: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    """Products `(batch, heads, tgt_len, src_len)` of an inner layer `(..., dim)` with the vectors of its heads."""
    if vector.shape[0] == 1:
        return inner @ vector[0]
    return torch.einsum("bhtsd,hd->bhts", inner, vector)


class Shape(NamedTuple):
    """The sizes of an inner layer."""

    batch: int
    heads: int
    tgt_len: int
    src_len: int
    dim: int

    @classmethod
    def of(cls, queries: torch.Tensor, keys: torch.Tensor) -> "Shape":
        batch, heads, tgt_len, dim = queries.shape
        return cls(batch, heads, tgt_len, keys.shape[2], dim)

    @property
    def numbers(self) -> int:
        return self.batch * self.heads * self.tgt_len * self.src_len * self.dim

    def blocks(self) -> Iterator[tuple[slice, slice]]:
        """Sentences, and steps of them, whose inner layers fit a block; a step of one sentence is never divided."""
        step = max(1, self.heads * self.src_len * self.dim)
        rows = max(1, BLOCK // (step * max(1, self.tgt_len)))
        steps = self.tgt_len if rows > 1 else max(1, BLOCK // step)
        for row in range(0, self.batch, rows):
            for start in range(0, self.tgt_len, steps):
                yield slice(row, row + rows), slice(start, start + steps)


def scores_in_blocks(queries: torch.Tensor, keys: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    """[`additive_scores`] without gradients."""
    shape = Shape.of(queries, keys)
    scores = queries.new_empty(shape[:4])
    for rows, steps in shape.blocks():
        inner = squash(queries[rows, :, steps].unsqueeze(3) + keys[rows].unsqueeze(2))
        scores[rows, :, steps] = read_out(inner, vector)
    return scores


class _Scores(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: torch.Tensor, keys: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(queries, keys, vector)
        return scores_in_blocks(queries, keys, vector)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        queries, keys, vector = ctx.saved_tensors
        if torch.is_grad_enabled():  # its gradients have gradients
            return plain_gradients(plain_scores, (queries, keys, vector), ctx.needs_input_grad, (gradient,))
        of_queries, of_keys = torch.empty_like(queries), torch.zeros_like(keys)
        of_vector = torch.zeros_like(vector)
        for rows, steps in Shape.of(queries, keys).blocks():
            inner = squash(queries[rows, :, steps].unsqueeze(3) + keys[rows].unsqueeze(2))
            asked = gradient[rows, :, steps]
            if len(vector) == 1:
                of_vector[0].addmv_(inner.view(-1, inner.shape[-1]).t(), asked.reshape(-1))
            else:
                of_vector += torch.einsum("bhts,bhtsd->hd", asked, inner)
            # Without v, by which the sums are multiplied in the end.
            slope = torch.ops.aten.tanh_backward.grad_input(asked.unsqueeze(-1), inner, grad_input=inner)
            torch.sum(slope, 3, out=of_queries[rows, :, steps])
            of_keys[rows] += slope.sum(2)
        by_head = vector[:, None]
        return of_queries.mul_(by_head), of_keys.mul_(by_head), of_vector


__all__ = ["additive_scores"]
