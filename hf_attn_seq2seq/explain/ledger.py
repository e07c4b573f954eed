# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The ledger of a score: the terms that add up to it, for each kind of attention, and the step to weights."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from hf_attn_seq2seq.attention import NORMALIZERS
from hf_attn_seq2seq.explain.document import Trace
from hf_attn_seq2seq.explain.formulas import Computed, compute
from hf_attn_seq2seq.explain.kinds import KINDS, AttentionKind, Column
from hf_attn_seq2seq.messages import quoted


class Ledger(NamedTuple):
    """
    How one score was computed, in float64.

    Attributes:
        formula: The formula of one term, such as `v_i tanh(q_i + k_i)`.
        columns: What the terms are made of, each `(d,)`: numbers by symbol, and values of functions by name.
        terms: `(d,)`.
        offset: A number added to their sum; 0 for most kinds.
        total: The sum of the terms and the offset.
        score: The score computed by the run.
    """

    formula: str
    columns: dict[str, np.ndarray]
    terms: np.ndarray
    offset: float
    total: float
    score: float

    @property
    def difference(self) -> float:
        """The difference between the recomputed sum and the score of the run."""
        return abs(self.total - self.score)


def score_ledger(trace: Trace, step: int, position: int, layer: int = -1, head: int = 0) -> Ledger:
    """
    The terms that add up to one score.

    Args:
        step: Counted from 0, or from the last as -1.
        position: Position of the source token.
        layer: Decoder layer.
        head: Head of that layer.

    Raises:
        ValueError: The step, position, layer or head does not exist, the trace has no queries and keys, or there is
            no formula for this kind of attention.
    """
    layer, step = trace.attended(layer), trace.check_step(step)
    scores = trace.arrays.get(f"attention.{layer}.scores")
    if scores is None:
        raise ValueError("This model does not return its queries, keys and scores, so there is no ledger.")
    _, heads, src_len = scores.shape
    if not -heads <= head < heads:
        raise ValueError(f"There is no head {head}: the layer has {heads}, counted from 0.")
    if not -src_len <= position < src_len:
        raise ValueError(f"There is no source token {position}: there are {src_len}, counted from 0.")
    kind = _formula_of(trace)
    head, position = head % heads, position % src_len
    computed = _terms(trace, kind, layer, step)
    size = computed.value.shape[-1]

    def here(numbers: np.ndarray, *last: int) -> np.ndarray:
        return np.broadcast_to(numbers, (heads, src_len, *last))[head, position]

    columns = {column.symbol: here(_at(trace, column, layer, step), size) for column in kind.columns}
    columns |= {name: here(values, size) for name, values in computed.functions.items()}
    terms, offset = here(computed.value, size), float(here(_offset(trace, kind, layer, step)))
    return Ledger(kind.terms, columns, terms, offset, float(terms.sum()) + offset, float(scores[step, head, position]))


def _formula_of(trace: Trace) -> AttentionKind:
    name = trace.document["attention"]["type"]
    kind = KINDS.get(name)
    if kind is None or not kind.terms:
        raise ValueError(f"There is no formula for attention of kind {quoted(name)}, so there is no ledger.")
    return kind


def _terms(trace: Trace, kind: AttentionKind, layer: int, step: int) -> Computed:
    """The terms of all scores of a step, `(H, S, d)`."""
    return compute(kind.terms, {column.symbol: _at(trace, column, layer, step) for column in kind.columns})


def _at(trace: Trace, column: Column, layer: int, step: int) -> np.ndarray:
    """A column at a step, in float64, such that it broadcasts to `(H, S, d)`."""
    array = trace.arrays[f"attention.{layer}.{column.array}"]
    if array.ndim == len(column.axes):  # the same number for all components
        array = array[..., None]
    if "T" in column.axes:
        array = array[step]
    for place, axis in enumerate("HS"):
        if axis not in column.axes:
            array = np.expand_dims(array, place)
    return array.astype(np.float64)


def _offset(trace: Trace, kind: AttentionKind, layer: int, step: int) -> np.ndarray:
    """What is added to the terms of each score, such that it broadcasts to `(H, S)`."""
    return np.zeros((1, 1)) if kind.offset is None else _at(trace, kind.offset, layer, step)[..., 0]


def term_count(trace: Trace, layer: int) -> int:
    """How many terms add up to each score; raises like [`recompute_scores`]."""
    return _terms(trace, _formula_of(trace), layer, 0).value.shape[-1]


def recompute_scores(trace: Trace, layer: int) -> np.ndarray:
    """
    All scores `(T, H, S)` of a layer, in float64, from the numbers in their ledgers.

    Raises:
        ValueError: There is no formula for this kind of attention.
    """
    kind = _formula_of(trace)
    scores = np.empty(trace.arrays[f"attention.{layer}.scores"].shape)
    for step, row in enumerate(scores):
        row[...] = _terms(trace, kind, layer, step).value.sum(-1) + _offset(trace, kind, layer, step)
    return scores


def recompute_weights(trace: Trace, layer: int) -> np.ndarray:
    """
    All weights `(T, H, S)` of a layer, in float64, from its scaled scores and the other inputs of its kind.

    Raises:
        ValueError: There is no formula for this kind of attention.
    """
    arrays, attention = trace.arrays, trace.document["attention"]
    kind = _formula_of(trace)
    scaled = arrays[f"attention.{layer}.scaled"].astype(np.float64)
    if kind.selects:
        return _selected(scaled, arrays[f"attention.{layer}.state"].astype(np.float64), attention["hard"])
    allowed = arrays.get(f"attention.{layer}.allowed")
    if allowed is not None:
        scaled = np.where(allowed > 0, scaled, np.finfo(np.float64).min)
    weights = NORMALIZERS[attention["normalizer"]](torch.from_numpy(scaled)).numpy()
    if allowed is not None:
        weights = np.where(allowed > 0, weights, 0.0)
    gaussian = arrays.get(f"attention.{layer}.gaussian")
    if gaussian is not None:
        weights = weights * gaussian
        weights = weights / weights.sum(-1, keepdims=True)
    return weights


def _selected(energy: np.ndarray, before: np.ndarray, hard: bool) -> np.ndarray:
    """The recursion of Raffel et al. 2017, eq. 11 to 14, by position; the remaining weight goes to the last one."""
    select = (energy > 0).astype(np.float64) if hard else 1 / (1 + np.exp(-energy))
    weights = np.zeros_like(energy)
    reach = np.zeros(energy.shape[:-1])
    for position in range(energy.shape[-1]):
        reach = reach + before[..., position]
        weights[..., position] = select[..., position] * reach
        reach = reach - weights[..., position]
    weights[..., -1] += reach
    return weights
