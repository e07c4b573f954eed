# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""ROUGE against `rouge-score` itself, by hand, and in scripts that its own tokenizer does not see."""

import importlib.metadata
import subprocess
import sys

import numpy as np
import pytest

from hf_attn_seq2seq.evaluation import score_corpus
from hf_attn_seq2seq.evaluation.rouge import WordTokenizer, scorer_class


ROUGE = {"rouge1": "rouge1", "rouge2": "rouge2", "rouge_l": "rougeL"}  # and the library's names


def values(hypotheses, references):
    return {name: score.value for name, score in score_corpus(hypotheses, references, list(ROUGE)).items()}


def test_by_hand():
    # Of 5 and 6 words 4 are shared, in this order; of 4 and 5 pairs one, "the cat".
    found = values(["the cat sat on mat"], ["the cat is on the mat"])
    assert found["rouge1"] == pytest.approx(100 * 2 * (4 / 5) * (4 / 6) / (4 / 5 + 4 / 6))
    assert found["rouge2"] == pytest.approx(100 * 2 * (1 / 4) * (1 / 5) / (1 / 4 + 1 / 5))
    assert found["rouge_l"] == pytest.approx(found["rouge1"])


def test_equal_to_the_librarys_own_where_there_are_only_its_letters():
    random = np.random.default_rng(0)
    words = ["Alpha", "beta-2", "gamma,", "d1", "(delta)", "the", "the", "e", "zeta's", "9.81"]
    texts = [" ".join(random.choice(words, random.integers(1, 12))) for _ in range(80)]
    hypotheses, references = texts[:40], texts[40:]
    scorer = scorer_class()(list(ROUGE.values()))
    own = [scorer.score(reference, hypothesis) for hypothesis, reference in zip(hypotheses, references)]
    expected = {name: 100 * np.mean([each[kind].fmeasure for each in own]) for name, kind in ROUGE.items()}
    assert values(hypotheses, references) == pytest.approx(expected)


@pytest.mark.parametrize(
    "text",
    [
        "Бібліотека для Python",
        "ग्रन्थालय के दस्तावेज़",
        "文書を読むライブラリ",
        "ไลบรารีสำหรับเอกสาร",
        "βιβλιοθήκη Γ",
        "مكتبة الوثائق",
    ],
)
def test_texts_in_other_scripts_count(text):
    assert values([text], [text]) == pytest.approx(dict.fromkeys(ROUGE, 100))
    assert scorer_class()(["rouge1"]).score("Библиотека", "Библиотека")["rouge1"].fmeasure == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't stop-me: CAFÉ", ["don", "t", "stop", "me", "café"]),
        ("cafe\u0301 x², 12.5", ["café", "x²", "12", "5"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("C言語の入門", ["c", "言", "語", "の", "入", "門"]),
        ("— … ☃ —", []),
    ],
)
def test_words(text, words):
    assert WordTokenizer().tokenize(text) == words


def test_the_best_reference_of_each_text_counts_and_texts_weigh_alike():
    found = values(["a b", "c d e f"], [["x y", "a b"], ["c d"]])
    assert found["rouge1"] == pytest.approx((100 + 100 * 2 * 0.5 / 1.5) / 2)


def test_the_signature_says_what_was_counted():
    score = score_corpus(["a"], ["a"], ["rouge1"], bootstrap_samples=2)["rouge1"]
    version = importlib.metadata.version("rouge-score")
    assert score.signature == f"nrefs:1|unit:word-f|case:lc|tok:unicode-words-1|stem:no|version:{version}"
    assert (score.interval.low, score.interval.high) == (100, 100)


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "rouge_score.rouge_scorer", None)
    with pytest.raises(ImportError, match=r"ROUGE needs rouge-score.*hf_attn_seq2seq\[train\]"):
        score_corpus(["a"], ["a"], ["rouge1"])


def test_no_stream_is_closed_when_logging_is_configured_anew():
    program = """
import io, logging.config, sys
sys.stderr = kept = io.StringIO()
from hf_attn_seq2seq.evaluation.rouge import scorer_class
scorer_class()
sys.stderr = io.StringIO()  # as after a redirection
logging.config.dictConfig({"version": 1})
kept.write("still open")
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
