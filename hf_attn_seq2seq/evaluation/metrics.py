# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Corpus scores of translations: BLEU, chrF and exact match."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class CorpusScores:
    """Scores of one corpus of translations; `bleu`, `chrf` and `exact_match` run from 0 to 100.

    `bleu_signature` is sacreBLEU's record of how BLEU was computed: two BLEU figures are comparable
    only where their signatures agree. `count` is the number of sentences.
    """

    bleu: float
    bleu_signature: str
    chrf: float
    exact_match: float
    count: int


def corpus_scores(hypotheses: Sequence[str], references: Sequence[str]) -> CorpusScores:
    """Scores translations against one reference each.

    BLEU (Papineni et al. 2002) is cased, over sacreBLEU's `13a` tokens (Post 2018); chrF (Popović 2015) is
    sacreBLEU's default, over character 1- to 6-grams with beta 2. An exact match is equality of the two texts
    without the white space around them.

    Args:
        hypotheses: the translations, as plain text that is not tokenised.
        references: the reference of each translation, in the same order.

    Raises:
        ValueError: if the two are empty, differ in length, or hold something other than strings.
        ImportError: if sacrebleu is not installed.
    """
    _check_texts("hypotheses", hypotheses)
    _check_texts("references", references)
    if len(hypotheses) != len(references):
        raise ValueError(
            f"there are {len(hypotheses)} hypotheses but {len(references)} references: give one reference to each."
        )
    if not hypotheses:
        raise ValueError("there is nothing to score: hypotheses and references are empty.")
    try:
        from sacrebleu.metrics import BLEU, CHRF
    except ImportError as error:
        raise ImportError(
            'corpus scores need sacrebleu, which is not installed: run pip install "hf_attn_seq2seq[train]".'
        ) from error

    bleu = BLEU(tokenize="13a", lowercase=False)
    bleu_score = bleu.corpus_score(hypotheses, [references]).score
    chrf_score = CHRF().corpus_score(hypotheses, [references]).score
    matches = sum(hypothesis.strip() == reference.strip() for hypothesis, reference in zip(hypotheses, references))
    return CorpusScores(
        bleu=bleu_score,
        bleu_signature=str(bleu.get_signature()),
        chrf=chrf_score,
        exact_match=100.0 * matches / len(hypotheses),
        count=len(hypotheses),
    )


def _check_texts(name: str, texts: Sequence[str]) -> None:
    if isinstance(texts, str):  # a string is a sequence of strings too: its characters would be scored as sentences
        raise ValueError(f"{name} is one string: give a list of sentences.")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"{name}[{index}] is of type {type(text).__name__}: every sentence must be a string.")
