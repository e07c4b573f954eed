# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Corpus scores against figures worked out by hand."""

import sys

import pytest

from hf_attn_seq2seq.evaluation import corpus_scores


def test_bleu_by_hand():
    # In 13a tokens the hypothesis has 7 words, and shares with the reference, n-gram by n-gram:
    # 1: cat sat on mat . and one "the" of two, 6 of 7;  2: the-cat cat-sat sat-on mat-., 4 of 6;
    # 3: the-cat-sat cat-sat-on, 2 of 5;  4: the-cat-sat-on, 1 of 4. The lengths agree: no brevity penalty.
    scores = corpus_scores(["the cat sat on the mat."], ["the cat sat on a mat."])
    assert scores.bleu == pytest.approx(100 * (6 / 7 * 4 / 6 * 2 / 5 * 1 / 4) ** (1 / 4))


def test_bleu_counts_over_the_corpus_not_by_sentence():
    # As above, and a sentence of 5 words that is right: 11/12, 8/10, 5/8, 3/6.
    scores = corpus_scores(
        ["the cat sat on the mat.", "two dogs ran home today"], ["the cat sat on a mat.", "two dogs ran home today"]
    )
    assert scores.bleu == pytest.approx(100 * (11 / 12 * 8 / 10 * 5 / 8 * 3 / 6) ** (1 / 4))


def test_chrf_by_hand():
    # Both have four characters, so precision and recall are equal for each n and chrF is their mean over the four
    # n that occur: 3/4, ab bc 2/3, abc 1/2, 0/1.
    assert corpus_scores(["abcd"], ["abce"]).chrf == pytest.approx(100 * (3 / 4 + 2 / 3 + 1 / 2 + 0) / 4)


def test_a_perfect_corpus():
    texts = ["the cat is on the mat", "où est le chat noir ?"]
    scores = corpus_scores(texts, texts)
    assert (scores.bleu, scores.chrf, scores.exact_match, scores.count) == (pytest.approx(100), 100, 100, 2)


def test_exact_match_forgives_outer_white_space_only():
    hypotheses = [" the cat ", "The cat", "the  cat", "the cat."]
    assert corpus_scores(hypotheses, ["the cat"] * 4).exact_match == 25


def test_case_counts_and_the_signature_says_so():
    scores = corpus_scores(["The Cat Is On The Mat"], ["the cat is on the mat"])
    assert scores.bleu < 20
    assert {"case:mixed", "tok:13a", "nrefs:1"} <= set(scores.bleu_signature.split("|"))


@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [
        ([], [], "hypotheses and references are empty"),
        (["a"], ["a", "b"], "1 hypotheses but 2 references"),
        (["a"], [], "1 hypotheses but 0 references"),
        ("abc", "abd", "hypotheses is one string"),
        (["abc"], "a", "references is one string"),
        (["a", None], ["a", "b"], r"hypotheses\[1\] is of type NoneType"),
        (["a"], [["a"]], r"references\[0\] is of type list"),
    ],
)
def test_bad_input(hypotheses, references, message):
    with pytest.raises(ValueError, match=message):
        corpus_scores(hypotheses, references)


def test_without_sacrebleu_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics", None)
    with pytest.raises(ImportError, match=r'pip install "hf_attn_seq2seq\[train\]"'):
        corpus_scores(["a"], ["a"])
