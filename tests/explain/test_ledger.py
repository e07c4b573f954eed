# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The ledger of a score, against sums worked out by hand."""

import numpy as np
import pytest

from hf_attn_seq2seq.explain import Trace
from hf_attn_seq2seq.explain.ledger import recompute_weights, score_ledger


def hand_made(kind: str, **arrays: list) -> Trace:
    attention = {"type": kind, "normalizer": "softmax", "heads": 1, "layers": [0], "scaling": 1.0, "hard": False}
    document = {"attention": attention, "steps": [{}], "what_if": None}
    return Trace(document, {f"attention.0.{name}": np.array(values, np.float32) for name, values in arrays.items()})


def test_dot() -> None:
    trace = hand_made("dot", query=[[[1, 2]]], keys=[[[3, 4], [5, 6]]], scores=[[[11, 17]]])
    ledger = score_ledger(trace, 0, 1)
    assert ledger.terms.tolist() == [5, 12]
    assert ledger.total == 17
    assert ledger.score == 17
    assert ledger.difference == 0
    assert list(ledger.columns) == ["q", "k"]


def test_additive() -> None:
    trace = hand_made("additive", query=[[[0, 1]]], keys=[[[0, -1]]], vector=[[2, 3]], scores=[[[0]]])
    ledger = score_ledger(trace, 0, 0)
    assert ledger.formula == "v_i tanh(q_i + k_i)"
    assert ledger.total == 0
    shifted = hand_made("additive", query=[[[1, 1]]], keys=[[[0, -1]]], vector=[[2, 3]], scores=[[[1.5]]])
    assert score_ledger(shifted, 0, 0).total == pytest.approx(2 * np.tanh(1))


def test_coverage_adds_what_was_covered() -> None:
    trace = hand_made(
        "coverage",
        query=[[[0, 0]]],
        keys=[[[1, 0]]],
        vector=[[1, 1]],
        coverage_vector=[[2, 4]],
        state=[[[0.5]]],
        scores=[[[0]]],
    )
    assert score_ledger(trace, 0, 0).total == pytest.approx(np.tanh(2) + np.tanh(2))


def test_monotonic_adds_its_offset() -> None:
    trace = hand_made(
        "monotonic", query=[[[0]]], keys=[[[0]]], vector=[[1]], offset=[-1.5], state=[[[1]]], scores=[[[0]]]
    )
    assert score_ledger(trace, 0, 0).total == -1.5


def test_location_reads_a_row_of_its_matrix() -> None:
    trace = hand_made("location", asker=[[2, 3]], position_rows=[[[1, 0], [1, 1]]], scores=[[[2, 5]]])
    assert score_ledger(trace, 0, 1).terms.tolist() == [2, 3]


def test_monotonic_weights_by_hand() -> None:
    # p = 1/2 everywhere: half stays on the first, half of the rest on the second, and what is left on the last.
    trace = hand_made("monotonic", scaled=[[[0, 0, 0]]], state=[[[1, 0, 0]]])
    np.testing.assert_allclose(recompute_weights(trace, 0), [[[0.5, 0.25, 0.25]]])


def test_windows_by_hand() -> None:
    trace = hand_made("local_m", scaled=[[[0, 0, 9]]], allowed=[[[1, 1, 0]]])
    np.testing.assert_allclose(recompute_weights(trace, 0), [[[0.5, 0.5, 0]]])


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ({"step": 1, "position": 0}, "no step 1"),
        ({"step": 0, "position": 2}, "no source token 2"),
        ({"step": 0, "position": 0, "head": 1}, "no head 1"),
        ({"step": 0, "position": 0, "layer": 3}, "no layer 3"),
    ],
)
def test_places_that_are_not_there(place: dict[str, int], sentence: str) -> None:
    trace = hand_made("dot", query=[[[1, 2]]], keys=[[[3, 4], [5, 6]]], scores=[[[11, 17]]])
    with pytest.raises(ValueError, match=sentence):
        score_ledger(trace, **place)
