# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""How sure a corpus score is, by resampling its sentences (the bootstrap)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np


if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric

_CHUNK = 1 << 22  # sentences drawn at a time: bounds the memory, whatever the corpus


class Interval(NamedTuple):
    """The middle 95 % of a resampled figure."""

    low: float
    high: float


def score_interval(metric: Metric, statistics: np.ndarray, samples: int, seed: int = 0) -> Interval:
    """The 95 % confidence interval of a corpus score by the percentile bootstrap (Koehn 2004, section 3).

    Args:
        statistics: `(sentences, figures)`, what the metric extracts from each sentence.
        samples: how many corpora of the same size are drawn from it, with replacement.
    """
    return percentiles(resample(metric, statistics, samples, seed))


def extract_statistics(
    metric: Metric, hypotheses: Sequence[str], streams: Sequence[Sequence[str | None]]
) -> np.ndarray:
    """`(sentences, figures)`: what the metric counts in each sentence; a corpus score is a function of their sum."""
    return np.array(metric._extract_corpus_statistics(list(hypotheses), streams), dtype=np.float64)


def score_statistics(metric: Metric, summed: np.ndarray) -> float:
    """The corpus score of statistics that were summed over sentences."""
    return float(metric._compute_score_from_stats(summed.tolist()).score)


def resample(metric: Metric, statistics: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """`(samples,)` scores of corpora drawn with replacement; the same seed draws the same sentences."""
    generator = np.random.default_rng(seed)
    size = len(statistics)
    rows = max(1, _CHUNK // size)
    scores: list[float] = []
    while len(scores) < samples:
        drawn = generator.integers(size, size=(min(rows, samples - len(scores)), size))
        scores.extend(score_statistics(metric, statistics[chosen].sum(0)) for chosen in drawn)
    return np.array(scores)


def percentiles(scores: np.ndarray) -> Interval:
    """The middle 95 % of the scores."""
    low, high = np.percentile(scores, (2.5, 97.5))
    return Interval(float(low), float(high))
