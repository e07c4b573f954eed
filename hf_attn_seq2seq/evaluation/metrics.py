# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Corpus scores: BLEU (sacreBLEU 13a, and tok-lc), chrF, TER, exact match, and the word and phone error rates.

Each sentence may have several references, and not every sentence as many. The scores themselves are computed by
sacreBLEU's metrics and by ours, which are built on the same base: see `corpus_metrics`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from hf_attn_seq2seq.evaluation.bootstrap import Interval, extract_statistics, score_interval, score_statistics
from hf_attn_seq2seq.messages import shortened


if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric

References = Sequence[str] | Sequence[Sequence[str]]


class MetricKind(NamedTuple):
    """What a metric is called in tables, and whether a high score is a good one."""

    title: str
    higher_is_better: bool


METRICS: dict[str, MetricKind] = {
    "bleu": MetricKind("BLEU 13a", True),
    "bleu_tok_lc": MetricKind("BLEU tok-lc", True),
    "chrf": MetricKind("chrF", True),
    "ter": MetricKind("TER", False),
    "exact_match": MetricKind("exact match", True),
    "wer": MetricKind("WER", False),
    "per": MetricKind("PER", False),
}


@dataclass(frozen=True)
class Score:
    """One figure, 0 to 100 for most metrics (error rates may pass 100).

    `signature` says how it was computed: two figures are comparable only where their signatures agree. `interval` is
    the 95 % confidence interval, where one was asked for.
    """

    value: float
    signature: str
    interval: Interval | None = None


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


def make_metric(name: str, language: str | None = None) -> Metric:
    """The sacreBLEU metric of this name (see `METRICS`).

    Args:
        language: of the target, as in "fr"; `bleu_tok_lc` needs it, because Moses tokenises each language its own way.

    Raises:
        ValueError: there is no such metric, or the language is missing or unknown to Moses.
        ImportError: sacrebleu or what the metric is built on is not installed.
    """
    if name not in METRICS:
        raise ValueError(f"there is no metric '{shortened(name)}': choose among {', '.join(METRICS)}.")
    try:
        from hf_attn_seq2seq.evaluation import corpus_metrics
    except ImportError as error:
        missing = error.name.partition(".")[0]
        raise ImportError(
            f'corpus scores need {missing}, which is not installed: run pip install "hf_attn_seq2seq[train]".'
        ) from error
    return corpus_metrics.make_metric(name, language)


def score_corpus(
    hypotheses: Sequence[str],
    references: References,
    metrics: Sequence[str] = ("bleu", "chrf", "exact_match"),
    *,
    language: str | None = None,
    bootstrap_samples: int = 0,
) -> dict[str, Score]:
    """Scores translations against one or several references each.

    Args:
        hypotheses: the translations, as plain text that is not tokenised.
        references: for each translation, in the same order, its reference or the list of its references.
        metrics: names from `METRICS`.
        language: of the target, as in "fr"; for `bleu_tok_lc`.
        bootstrap_samples: how often to resample the sentences for the confidence intervals; 0 for none.

    Returns:
        the score of each metric, by its name.

    Raises:
        ValueError: hypotheses and references are empty, differ in length or are no texts, or a metric is unknown.
        ImportError: sacrebleu is not installed.
    """
    several = check_corpus(hypotheses, references)
    if bootstrap_samples < 0 or bootstrap_samples == 1:
        raise ValueError(f"bootstrap_samples={bootstrap_samples} must be 0 or at least 2.")
    streams = reference_streams(several)
    scores = {}
    for name in metrics:
        metric = make_metric(name, language)
        statistics = extract_statistics(metric, hypotheses, streams)
        scores[name] = Score(
            value=score_statistics(metric, statistics.sum(0)),
            signature=str(metric.get_signature()),
            interval=score_interval(metric, statistics, bootstrap_samples) if bootstrap_samples else None,
        )
    return scores


def corpus_scores(hypotheses: Sequence[str], references: References) -> CorpusScores:
    """Scores translations against one or several references each: BLEU, chrF and exact match.

    BLEU (Papineni et al. 2002) is cased, over sacreBLEU's `13a` tokens (Post 2018); chrF (Popović 2015) is
    sacreBLEU's default, over character 1- to 6-grams with beta 2. An exact match is equality with a reference
    without the white space around the two.

    Args:
        hypotheses: the translations, as plain text that is not tokenised.
        references: for each translation, in the same order, its reference or the list of its references.

    Raises:
        ValueError: if the two are empty, differ in length, or hold something other than texts.
        ImportError: if sacrebleu is not installed.
    """
    scores = score_corpus(hypotheses, references, ("bleu", "chrf", "exact_match"))
    return CorpusScores(
        bleu=scores["bleu"].value,
        bleu_signature=scores["bleu"].signature,
        chrf=scores["chrf"].value,
        exact_match=scores["exact_match"].value,
        count=len(hypotheses),
    )


def length_buckets(sources: Sequence[str], bounds: Sequence[int], unit: str = "words") -> dict[str, list[int]]:
    """Sorts sentences into buckets by the length of their sources.

    Args:
        sources: the source sentences.
        bounds: the greatest length of each bucket, increasing; a last bucket takes what is longer.
        unit: "words" (between white space) or "characters".

    Returns:
        the indices of the sentences of each bucket, by a name such as "11-20" or "31+"; empty buckets are left out.

    Raises:
        ValueError: the bounds do not increase from 1, or the unit is another.
    """
    bounds = list(bounds)
    if any(bound < 1 for bound in bounds) or bounds != sorted(set(bounds)):
        raise ValueError(f"the bounds {bounds} of the length buckets must increase, from 1 on.")
    if unit not in ("words", "characters"):
        raise ValueError(f"lengths are counted in 'words' or 'characters', not in '{unit}'.")
    edges = [0, *bounds]
    names = [f"{low + 1}-{high}" for low, high in zip(edges, bounds)] + [f"{edges[-1] + 1}+"]
    buckets: dict[str, list[int]] = {name: [] for name in names}
    for index, source in enumerate(sources):
        length = len(source.split()) if unit == "words" else len(source)
        buckets[names[sum(length > bound for bound in bounds)]].append(index)
    return {name: indices for name, indices in buckets.items() if indices}


def check_corpus(hypotheses: Sequence[str], references: References, name: str = "hypotheses") -> list[list[str]]:
    """Refuses what cannot be scored; the references, as a list for each hypothesis.

    Raises:
        ValueError: the two are empty or differ in length, or hold something other than texts.
    """
    _check_texts(name, hypotheses)
    if isinstance(references, str):  # a string is a sequence of strings too: its characters would be references
        raise ValueError("references is one string: give a list, with a reference or a list of references for each.")
    several = [[item] if isinstance(item, str) else item for item in references]
    for index, texts in enumerate(several):
        if not isinstance(texts, (list, tuple)):
            kind = type(texts).__name__
            raise ValueError(f"references[{index}] is of type {kind}: give a string or a list of strings.")
        if not texts:
            raise ValueError(f"references[{index}] is an empty list: every sentence needs a reference.")
        _check_texts(f"references[{index}]", texts)
    if len(hypotheses) != len(several):
        raise ValueError(
            f"there are {len(hypotheses)} {name} but {len(several)} references: give a reference, or a list of them, "
            "to each."
        )
    if not several:
        raise ValueError(f"there is nothing to score: {name} and references are empty.")
    return [list(texts) for texts in several]


def reference_streams(references: Sequence[Sequence[str]]) -> list[list[str | None]]:
    """References as sacreBLEU takes them: the first of each sentence, the second of each, ...; None where one ends."""
    most = max(map(len, references))
    return [[texts[rank] if rank < len(texts) else None for texts in references] for rank in range(most)]


def _check_texts(name: str, texts: Sequence[str]) -> None:
    if isinstance(texts, str):  # a string is a sequence of strings too: its characters would be scored as sentences
        raise ValueError(f"{name} is one string: give a list of sentences.")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"{name}[{index}] is of type {type(text).__name__}: every sentence must be a string.")
