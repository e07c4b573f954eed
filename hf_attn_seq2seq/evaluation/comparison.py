# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Whether one system is better than another, by the paired bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hf_attn_seq2seq.evaluation.bootstrap import Interval, extract_statistics, percentiles, resample, score_statistics
from hf_attn_seq2seq.evaluation.metrics import (
    References,
    check_corpus,
    make_metric,
    reference_streams,
    sentence_scores,
    warn_of_script,
)


@dataclass(frozen=True)
class Comparison:
    """Two systems on the same sentences, by one metric.

    `difference` is `system - baseline`, with its 95 % interval; `p_value` is two-sided: how probable a difference at
    least this large would be, were the systems equally good.
    """

    baseline: float
    system: float
    difference: float
    interval: Interval
    p_value: float
    signature: str


def paired_bootstrap(
    baseline: Sequence[str],
    system: Sequence[str],
    references: References,
    metrics: Sequence[str] = ("bleu", "chrf"),
    *,
    target_language: str | None = None,
    samples: int = 1000,
    seed: int = 0,
) -> dict[str, Comparison]:
    """Compares two systems on the same sentences (Koehn 2004, "Statistical Significance Tests for Machine Translation
    Evaluation", section 4).

    Both systems are scored on the same resampled corpora. The p value is that of Riezler and Maxwell 2005, section 4:
    with `d` the difference on the corpus and `d_b` that on resampled corpus `b`,

        p = (1 + #{b : |d_b - mean(d_b)| >= |d|}) / (1 + samples)

    Args:
        baseline, system: the translations of both, in the same order.
        references: for each sentence its reference, or the list of its references.
        metrics: names from `metrics.METRICS`.
        target_language: as in "fr" or "zh"; it decides how BLEU finds words.

    Raises:
        ValueError: there is nothing to score, lengths differ, or there are fewer than 2 sentences or samples.
    """
    several = check_corpus(baseline, references)
    check_corpus(system, several)
    if samples < 2:
        raise ValueError(f"samples={samples} must be at least 2.")
    if len(several) < 2:
        raise ValueError("one sentence cannot be resampled: compare systems on more.")
    warn_of_script(metrics, several, target_language)
    streams = reference_streams(several)
    compared = {}
    for name in metrics:
        metric = make_metric(name, target_language)
        first, second = (extract_statistics(metric, texts, streams) for texts in (baseline, system))
        before, after = (score_statistics(metric, statistics.sum(0)) for statistics in (first, second))
        differences = resample(metric, second, samples, seed) - resample(metric, first, samples, seed)
        extreme = np.abs(differences - differences.mean()) >= abs(after - before)
        compared[name] = Comparison(
            baseline=before,
            system=after,
            difference=after - before,
            interval=percentiles(differences),
            p_value=float((1 + extreme.sum()) / (1 + samples)),
            signature=str(metric.get_signature()),
        )
    return compared


@dataclass(frozen=True)
class Difference:
    """A sentence that two systems translated; `score` is how far the chrF of the system is above the baseline's."""

    source: str
    baseline: str
    system: str
    references: list[str]
    score: float


def largest_differences(
    sources: Sequence[str], baseline: Sequence[str], system: Sequence[str], references: References, count: int = 5
) -> tuple[list[Difference], list[Difference]]:
    """The sentences where the system is most above the baseline by sentence chrF, and those where it is most below.

    The largest difference comes first; of equal ones, what comes first; a source that comes again is left out.

    Raises:
        ValueError: the corpus is empty, or lengths differ.
    """
    several = check_corpus(baseline, references)
    check_corpus(system, several)
    check_corpus(sources, several, name="sources")
    before, after = (sentence_scores("chrf", texts, several) for texts in (baseline, system))
    found: dict[str, Difference] = {}
    for source, first, second, texts, low, high in zip(sources, baseline, system, several, before, after):
        found.setdefault(source, Difference(source, first, second, texts, high - low))
    better = sorted((one for one in found.values() if one.score > 0), key=lambda one: -one.score)
    worse = sorted((one for one in found.values() if one.score < 0), key=lambda one: one.score)
    return better[:count], worse[:count]
