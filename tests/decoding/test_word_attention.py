# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Attention in words, and the links read off it, by hand."""

import numpy as np
import pytest
import torch

from hf_attn_seq2seq.decoding.word_attention import attention_to_links, word_attention


def test_links_go_to_the_largest_weight_of_each_row():
    weights = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])  # two target tokens over three source tokens
    assert attention_to_links(weights) == {(0, 0), (2, 1)}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_links_from_tensors(dtype):
    weights = torch.tensor([[0.75, 0.25], [0.125, 0.875]], dtype=dtype, requires_grad=True)
    assert attention_to_links(weights) == {(0, 0), (1, 1)}


def test_tokens_of_a_source_word_add_up():
    # Neither of the two halves of word 1 beats word 0 (0.4), their sum 0.6 does.
    assert attention_to_links(np.array([[0.4, 0.3, 0.3]]), source_words=[0, 1, 1]) == {(1, 0)}


def test_rows_of_a_target_word_are_averaged():
    # The rows alone choose words 0 and 1; the mean (0.4, 0.6) chooses word 1 for the one target word.
    assert attention_to_links(np.array([[0.6, 0.4], [0.2, 0.8]]), target_words=[0, 0]) == {(1, 0)}


def test_special_tokens_give_no_links():
    weights = np.array(
        [
            [0.6, 0.1, 0.3],  # word 0 looks at word 0
            [0.2, 0.3, 0.5],  # word 1 looks at the end token: no link, although source word 1 is next
            [0.1, 0.8, 0.1],  # the end token looks at word 1: no link
        ]
    )
    assert attention_to_links(weights, [0, 1, None], [0, 1, None]) == {(0, 0)}


def test_special_source_tokens_compete_one_by_one():
    assert attention_to_links(np.array([[0.3, 0.4, 0.3]]), [None, 0, None]) == {(0, 0)}


def test_a_row_without_weight_gives_no_link():
    assert attention_to_links(np.array([[0.0, 0.0], [0.0, 1.0]])) == {(1, 1)}


def test_the_first_of_equal_weights_wins():
    assert attention_to_links(np.array([[0.25, 0.375, 0.375]])) == {(1, 0)}


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.zeros(3), r"shape \(3,\)"),
        (np.zeros((1, 2, 2)), r"shape \(1, 2, 2\)"),
        (np.zeros((0, 2)), r"shape \(0, 2\)"),
        (np.array([[0.5, np.nan]]), "NaN or infinity"),
        (np.array([[0.5, np.inf]]), "NaN or infinity"),
        (np.array([[-0.1, 1.0]]), "from -0.1 to 1"),
        (torch.tensor([[0.5, 2.0]]), "from 0.5 to 2"),
        (np.array([["a"]]), "of type <U1"),
        (np.array([[1j]]), "of type complex128"),
    ],
)
def test_bad_weights(weights, message):
    with pytest.raises(ValueError, match=message):
        attention_to_links(weights)


@pytest.mark.parametrize(
    ("source_words", "target_words", "message"),
    [
        ([0], None, "source_words has 1 entries for 2 tokens"),
        (None, [0, 1], "target_words has 2 entries for 1 tokens"),
        ([0, -1], None, r"source_words\[1\] is -1"),
        ([0, "1"], None, r"source_words\[1\] is '1'"),
        (None, [True], r"target_words\[0\] is True"),
    ],
)
def test_bad_words(source_words, target_words, message):
    with pytest.raises(ValueError, match=message):
        attention_to_links(np.array([[0.5, 0.5]]), source_words, target_words)


# "king's dog": tokens king' s dog and the end token, words king, 's, dog. Target: two tokens of word 0, one of word 1.
SOURCE_SHARES = np.array([[0.8, 0.2, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
TARGET_SHARES = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
WEIGHTS = np.array([[0.5, 0.3, 0.1, 0.1], [0.1, 0.1, 0.4, 0.4], [0.1, 0.1, 0.3, 0.5]])


def test_attention_between_words_by_hand():
    words = word_attention(WEIGHTS, SOURCE_SHARES, TARGET_SHARES)
    # Mean of the first two rows: 0.3 0.2 0.25 0.25; king = 0.8 * 0.3, 's = 0.2 * 0.3 + 0.2.
    np.testing.assert_allclose(words.matrix, [[0.24, 0.26, 0.25], [0.08, 0.12, 0.3]])
    np.testing.assert_allclose(words.null, [0.25, 0.5])
    assert words.links() == {(1, 0)}  # word 1 looks most at the end token
    assert words.links(0.25) == {(1, 0), (2, 0), (2, 1)}
    assert words.links(1.0) == frozenset()


def test_attention_between_words_without_special_tokens_sums_to_one():
    words = word_attention(WEIGHTS, SOURCE_SHARES, TARGET_SHARES).renormalised()
    np.testing.assert_allclose(words.matrix, [[0.32, 26 / 75, 1 / 3], [0.16, 0.24, 0.6]])
    assert words.links() == {(1, 0), (2, 1)}
    nothing = word_attention(np.array([[0.0, 0.0, 0.0, 1.0]]), SOURCE_SHARES, np.array([[1.0]])).renormalised()
    assert not nothing.matrix.any()
    assert nothing.links() == frozenset()


def test_a_sentence_without_words_has_no_links():
    none = word_attention(np.array([[1.0]]), np.zeros((1, 0)), np.zeros((1, 0)))
    assert none.links() == none.links(0.5) == none.renormalised().links() == frozenset()


def test_bad_shares_and_thresholds():
    with pytest.raises(ValueError, match=r"source_shares has shape \(3, 2\): it needs one row per token, 4 in all"):
        word_attention(WEIGHTS, TARGET_SHARES, TARGET_SHARES)
    words = word_attention(WEIGHTS, SOURCE_SHARES, TARGET_SHARES)
    for threshold in (0.0, 1.5, -1.0):
        with pytest.raises(ValueError, match="must be above 0 and at most 1"):
            words.links(threshold)
