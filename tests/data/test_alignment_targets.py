# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The distribution that attention is taught, by hand."""

import numpy as np
import pytest

from hf_attn_seq2seq.data.alignment_targets import alignment_targets


SOURCE = [0, 0, 1, 2, None]  # word 0 has two tokens; the end token has none
TARGET = [0, 1, 1, None]


def test_each_token_of_a_linked_word_looks_alike_at_all_tokens_of_its_words() -> None:
    third = 1 / 3
    expected = [
        [0, 0, 1, 0, 0],  # target word 0 is linked to source word 1
        [third, third, 0, third, 0],  # target word 1 to the source words 0 and 2: three tokens
        [third, third, 0, third, 0],
        [0, 0, 0, 0, 0],  # the end token has no link
    ]
    targets = alignment_targets({(1, 0), (0, 1), (2, 1)}, SOURCE, TARGET)
    np.testing.assert_allclose(targets, expected)
    assert targets.dtype == np.float32


def test_words_without_a_link_have_no_row() -> None:
    assert alignment_targets({(2, 0)}, SOURCE, TARGET).sum(axis=1).tolist() == [1, 0, 0, 0]
    assert not alignment_targets(set(), SOURCE, TARGET).any()


def test_padding_on_the_right() -> None:
    links = {(1, 0), (0, 1)}
    padded = alignment_targets(links, SOURCE, TARGET, (6, 7))
    assert padded.shape == (6, 7)
    np.testing.assert_array_equal(padded[:4, :5], alignment_targets(links, SOURCE, TARGET))
    assert padded.sum() == 3


def test_shift_moves_the_rows_and_drops_what_falls_out() -> None:
    links = {(1, 0), (0, 1)}
    plain = alignment_targets(links, SOURCE, TARGET)
    np.testing.assert_array_equal(alignment_targets(links, SOURCE, TARGET, shift=1)[1:], plain[:-1])
    assert not alignment_targets(links, SOURCE, TARGET, shift=1)[0].any()
    without_end = alignment_targets(links, SOURCE, [0, 1], shift=1)  # the row after the last token is not there
    np.testing.assert_allclose(without_end, [[0, 0, 0, 0, 0], [0, 0, 1, 0, 0]])
    assert not alignment_targets(links, SOURCE, [0], shift=4).any()


def test_minus_one_is_no_word_and_links_past_the_texts_are_passed_over() -> None:
    minus = [-1 if word is None else word for word in SOURCE]
    links = {(1, 0), (9, 0), (0, 9)}
    np.testing.assert_array_equal(
        alignment_targets(links, minus, [0, -1]), alignment_targets({(1, 0)}, SOURCE, [0, None])
    )


def test_bad_shapes() -> None:
    with pytest.raises(ValueError, match=r"\(3, 5\) is smaller than the pair of 4 target and 5 source"):
        alignment_targets(set(), SOURCE, TARGET, (3, 5))
    with pytest.raises(ValueError, match="shift=-1"):
        alignment_targets(set(), SOURCE, TARGET, shift=-1)
