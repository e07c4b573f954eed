# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Confidence intervals and the paired bootstrap."""

import numpy as np
import pytest
from sacrebleu.metrics import CHRF

from hf_attn_seq2seq.evaluation import score_corpus
from hf_attn_seq2seq.evaluation.comparison import largest_differences, paired_bootstrap


WORDS = [
    "le",
    "un",
    "chat",
    "chien",
    "homme",
    "femme",
    "est",
    "sur",
    "sous",
    "tapis",
    "table",
    "rouge",
    "vert",
    "grand",
]


def corpus(seed, wrong):
    """100 sentences of ten words, and the same with a share of the words replaced."""
    generator = np.random.default_rng(seed)
    references = [" ".join(generator.choice(WORDS, 10)) for _ in range(100)]
    noisy = [" ".join("XXXX" if generator.random() < wrong else word for word in text.split()) for text in references]
    return noisy, references


def test_the_interval_is_about_that_of_sacrebleu():
    hypotheses, references = corpus(0, 0.2)
    low, high = score_corpus(hypotheses, references, ["chrf"], bootstrap_samples=1000)["chrf"].interval
    theirs = CHRF().corpus_score(hypotheses, [references], n_bootstrap=1000)
    assert (high - low) / 2 == pytest.approx(theirs._ci, rel=0.1)
    assert (high + low) / 2 == pytest.approx(theirs._mean, rel=0.01)


def test_the_interval_of_a_share_is_that_of_the_binomial():
    # 60 of 100: the standard error is sqrt(.6 * .4 / 100), 4.9 points.
    hypotheses = ["right"] * 60 + ["wrong"] * 40
    score = score_corpus(hypotheses, ["right"] * 100, ["exact_match"], bootstrap_samples=2000)["exact_match"]
    assert score.value == 60
    assert score.interval == pytest.approx((60 - 1.96 * 4.9, 60 + 1.96 * 4.9), abs=1.5)


def test_sentences_that_are_alike_have_no_spread():
    score = score_corpus(["a b c d"] * 5, ["a b c d"] * 5, ["bleu"], bootstrap_samples=10)["bleu"]
    assert score.interval == pytest.approx((100, 100))


def test_intervals_are_the_same_each_time_and_absent_unless_asked_for():
    hypotheses, references = corpus(1, 0.3)
    twice = [score_corpus(hypotheses, references, ["bleu"], bootstrap_samples=20)["bleu"] for _ in range(2)]
    assert twice[0] == twice[1]
    assert score_corpus(hypotheses, references, ["bleu"])["bleu"].interval is None


def test_a_clear_difference_is_told_from_chance():
    better, references = corpus(2, 0.1)
    worse = [text.replace("le", "XXXX") for text in better]
    compared = paired_bootstrap(worse, better, references, ["bleu", "ter"], samples=200)
    scores = score_corpus(better, references, ["bleu", "ter"])
    assert compared["bleu"].system == scores["bleu"].value
    assert compared["bleu"].difference == compared["bleu"].system - compared["bleu"].baseline
    assert 0 < compared["bleu"].interval.low < compared["bleu"].difference < compared["bleu"].interval.high
    assert compared["ter"].difference < 0
    assert compared["bleu"].p_value == compared["ter"].p_value == pytest.approx(1 / 201)


def test_a_system_does_not_differ_from_itself():
    hypotheses, references = corpus(3, 0.2)
    compared = paired_bootstrap(hypotheses, hypotheses, references, ["bleu"], samples=50)["bleu"]
    assert (compared.difference, compared.interval, compared.p_value) == (0, (0, 0), 1)


def test_the_p_value_is_that_of_a_two_sided_test():
    # 30 sentences that one system has right alone and 20 that the other has: the difference, 10 of 100, is
    # 10 / sqrt(30 + 20 - 10 ** 2 / 100) = 1.43 standard errors, which chance passes on both sides with p = 0.153.
    first = ["right"] * 30 + ["wrong"] * 20 + ["right"] * 50
    second = ["wrong"] * 30 + ["right"] * 20 + ["right"] * 50
    compared = paired_bootstrap(first, second, ["right"] * 100, ["exact_match"], samples=4000)["exact_match"]
    assert compared.difference == -10
    assert compared.p_value == pytest.approx(0.153, abs=0.025)


@pytest.mark.parametrize(
    ("baseline", "system", "samples", "message"),
    [
        (["a", "b"], ["a"], 10, "1 hypotheses but 2 references"),
        (["a", "b"], ["a", "b"], 1, "samples=1 must be at least 2"),
        (["a"], ["a"], 10, "one sentence"),
    ],
)
def test_bad_input(baseline, system, samples, message):
    with pytest.raises(ValueError, match=message):
        paired_bootstrap(baseline, system, baseline, ["bleu"], samples=samples)


def test_the_largest_differences_are_shown_from_the_largest():
    sources = ["a", "b", "c", "d", "b"]
    references = ["the cat sleeps", "the dog barks", "rain falls", "snow falls", "the dog barks"]
    first = ["the cat sleeps", "a dog", "rain falls", "nothing", "the dog barks"]
    second = ["xyz", "the dog barks", "rain falls", "snow falls", "qqq"]
    better, worse = largest_differences(sources, first, second, references)
    assert [one.source for one in better] == ["d", "b"]  # "b" comes again, and "c" is alike
    assert [one.source for one in worse] == ["a"]
    chrf = {text: score_corpus([text], ["snow falls"], ["chrf"])["chrf"].value for text in ("nothing", "snow falls")}
    assert better[0].score == pytest.approx(chrf["snow falls"] - chrf["nothing"])
    assert (better[0].baseline, better[0].system, better[0].references) == ("nothing", "snow falls", ["snow falls"])
    assert [len(side) for side in largest_differences(sources, first, second, references, count=1)] == [1, 1]
