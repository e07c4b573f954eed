# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Alignments: the error rate by hand."""

import numpy as np
import pytest

from hf_attn_seq2seq.evaluation import alignment_error_rate, attention_to_links, from_pharaoh


SURE = {(0, 0), (1, 1)}
POSSIBLE = SURE | {(1, 2)}


def test_error_rate_by_hand():
    # |A| = 3, |S| = 2, A and S share 0-0, A and P share 0-0 and 1-2: AER = 1 - (1 + 2) / (3 + 2).
    scores = alignment_error_rate([{(0, 0), (1, 2), (2, 2)}], [SURE], [POSSIBLE])
    assert scores.error_rate == pytest.approx(0.4)
    assert scores.precision == pytest.approx(2 / 3)
    assert scores.recall == pytest.approx(1 / 2)
    assert (scores.predicted, scores.sure, scores.count) == (3, 2, 1)


def test_error_rate_sums_over_the_corpus():
    # With a second sentence of one right link: 1 - (2 + 3) / (4 + 3); the mean of the two sentences would be 0.2.
    scores = alignment_error_rate(
        [{(0, 0), (1, 2), (2, 2)}, frozenset({(0, 0)})], [SURE, {(0, 0)}], [POSSIBLE, {(0, 0)}]
    )
    assert scores.error_rate == pytest.approx(2 / 7)
    assert scores.precision == pytest.approx(3 / 4)
    assert scores.recall == pytest.approx(2 / 3)


def test_any_answer_between_sure_and_possible_has_no_error():
    for predicted in (SURE, POSSIBLE):
        assert alignment_error_rate([predicted], [SURE], [POSSIBLE]).error_rate == pytest.approx(0)


def test_no_links_at_all_is_wholly_wrong():
    scores = alignment_error_rate([set()], [SURE], [POSSIBLE])
    assert (scores.error_rate, scores.precision, scores.recall) == (1, 0, 0)


@pytest.mark.parametrize(
    ("predicted", "sure", "possible", "message"),
    [
        ([], [], [], "the corpus is empty"),
        ([SURE], [SURE, SURE], [SURE], "1 predicted, 2 sure and 1 possible"),
        ([SURE], [POSSIBLE], [SURE], r"missing from possible\[0\] \(1-2\)"),
        ([SURE], [set()], [SURE], "no sentence has a sure link"),
        ([[(0, 0)]], [SURE], [SURE], r"predicted\[0\] is of type list"),
        ([SURE], [{"0-0"}], [SURE], r"sure\[0\] holds '0-0'"),
        ([SURE], [SURE], [SURE | {(0, -1)}], r"possible\[0\] holds \(0, -1\)"),
        ([{(0, 1, 2)}], [SURE], [SURE], r"predicted\[0\] holds \(0, 1, 2\)"),
        ([{(0.0, 1)}], [SURE], [SURE], r"predicted\[0\] holds \(0.0, 1\)"),
    ],
)
def test_error_rate_bad_input(predicted, sure, possible, message):
    with pytest.raises(ValueError, match=message):
        alignment_error_rate(predicted, sure, possible)


def test_attention_to_error_rate_end_to_end():
    # le chat noir / the black cat: attention crosses, as the reference does.
    weights = np.array([[0.8, 0.1, 0.1], [0.1, 0.2, 0.7], [0.0, 0.9, 0.1]])
    reference = from_pharaoh("0-0 2-1 1-2")
    assert alignment_error_rate([attention_to_links(weights)], [reference], [reference]).error_rate == 0
