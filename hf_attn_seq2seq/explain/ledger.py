# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The ledger of a score: the terms that add up to it, for each kind of attention, and the step to weights."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from hf_attn_seq2seq.attention import NORMALIZERS
from hf_attn_seq2seq.explain.document import Trace


class Ledger(NamedTuple):
    """
    How one score was computed, in float64.

    Attributes:
        formula: The formula of one term, such as `v_i tanh(q_i + k_i)`.
        columns: The factors of the terms by symbol, each `(d,)`.
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
        ValueError: The step, position, layer or head does not exist, or the trace has no queries and keys.
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
    formula, columns, terms, offset = _terms(trace, layer, step, head, position % src_len)
    return Ledger(
        formula, columns, terms, offset, float(terms.sum()) + offset, float(scores[step, head, position % src_len])
    )


class _Terms(NamedTuple):
    formula: str
    columns: dict[str, np.ndarray]
    terms: np.ndarray
    offset: float = 0.0


def _terms(trace: Trace, layer: int, step: int, head: int, position: int) -> _Terms:
    def array(name: str) -> np.ndarray:
        return trace.arrays[f"attention.{layer}.{name}"].astype(np.float64)

    kind = trace.document["attention"]["type"]
    if kind == "location":
        row, state = array("position_rows")[head, position], array("asker")[step]
        return _Terms("W_i h_i", {"W": row, "h": state}, row * state)
    query, key = array("query")[step, head], array("keys")[head, position]
    if kind in ("dot", "scaled_dot", "multi_head", "general", "local_m", "local_p"):
        # The keys of the last three are W h already.
        return _Terms("q_i k_i", {"q": query, "k": key}, query * key)
    vector = array("vector")[head]
    columns = {"q": query, "k": key}
    formula = "v_i tanh(q_i + k_i)"
    inner = query + key
    if kind == "coverage":
        weight, covered = array("coverage_vector")[head], array("state")[step, head, position]
        columns["w c"] = weight * covered
        inner, formula = inner + weight * covered, "v_i tanh(q_i + k_i + w_i c)"
    elif kind == "location_aware":
        feature = array("feature")[step, head]
        columns["f"] = feature[position]
        inner, formula = inner + feature[position], "v_i tanh(q_i + k_i + f_i)"
    hidden = np.tanh(inner)
    columns = {"v": vector, **columns, "tanh": hidden}
    offset = float(array("offset")[head]) if kind == "monotonic" else 0.0
    return _Terms(formula, columns, vector * hidden, offset)


def recompute_scores(trace: Trace, layer: int) -> np.ndarray:
    """All scores `(T, H, S)` of a layer, in float64, from the numbers in their ledgers."""
    steps, heads, src_len = trace.arrays[f"attention.{layer}.scores"].shape
    scores = np.empty((steps, heads, src_len))
    for step, head, position in np.ndindex(steps, heads, src_len):
        terms = _terms(trace, layer, step, head, position)
        scores[step, head, position] = terms.terms.sum() + terms.offset
    return scores


def recompute_weights(trace: Trace, layer: int) -> np.ndarray:
    """All weights `(T, H, S)` of a layer, in float64, from its scaled scores and the other inputs of its kind."""
    arrays, attention = trace.arrays, trace.document["attention"]
    scaled = arrays[f"attention.{layer}.scaled"].astype(np.float64)
    if attention["type"] == "monotonic":
        return _monotonic(scaled, arrays[f"attention.{layer}.state"].astype(np.float64), attention["hard"])
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


def _monotonic(energy: np.ndarray, before: np.ndarray, hard: bool) -> np.ndarray:
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
