# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Corpus scores: BLEU (sacreBLEU's, and tok-lc), chrF, TER, exact match, ROUGE, and error rates of words, characters,
phones and sequences.

What each counts and what it ignores: docs/metrics.md.

Each sentence may have several references, and not every sentence as many. The scores themselves are computed by
sacreBLEU's metrics and by ours, which are built on the same base: see `corpus_metrics`.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
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
    "bleu": MetricKind("BLEU", True),
    "bleu_tok_lc": MetricKind("BLEU tok-lc", True),
    "bleu_tokenized": MetricKind("BLEU of tokens", True),
    "chrf": MetricKind("chrF", True),
    "ter": MetricKind("TER", False),
    "exact_match": MetricKind("exact match", True),
    "rouge1": MetricKind("ROUGE-1", True),
    "rouge2": MetricKind("ROUGE-2", True),
    "rouge_l": MetricKind("ROUGE-L", True),
    "wer": MetricKind("WER", False),
    "cer": MetricKind("CER", False),
    "per": MetricKind("PER", False),
    "sequence_error_rate": MetricKind("sequence error rate", False),
}

# By the language's code, two or three letters. Thai and the four after it are written without spaces, like Chinese and
# Japanese; sacreBLEU has no tokenizer for them but single characters.
_CHINESE = ("zh", "zho", "chi", "cmn", "yue", "wuu", "lzh")
_OTHERS = ("th", "tha", "lo", "lao", "km", "khm", "my", "mya", "bur", "bo", "bod", "tib")
TOKENIZERS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_CHINESE, ("zh",)),
    **dict.fromkeys(("ja", "jpn"), ("ja-mecab", "char")),
    **dict.fromkeys(("ko", "kor"), ("ko-mecab", "char")),
    **dict.fromkeys(_OTHERS, ("char",)),
}  # sacreBLEU's, the first that is installed; every other language has 13a

# Chinese, Japanese, Thai, Lao, Tibetan, Burmese, Khmer.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U000323af]"
)
_LONGEST_WORDS = 4  # characters: longer on average, and texts in these scripts were not cut into words beforehand
# They count words, and find them by the whitespace around them.
_BY_SPACES = ("bleu", "bleu_tok_lc", "bleu_tokenized", "ter", "wer")


@dataclass(frozen=True)
class Score:
    """One figure, 0 to 100 for most metrics (error rates may pass 100).

    `signature` says how it was computed: two figures are comparable only where their signatures agree. `interval` is
    the 95 % confidence interval, where one was asked for.
    """

    value: float
    signature: str
    interval: Interval | None = None


def make_metric(name: str, target_language: str | None = None) -> Metric:
    """The sacreBLEU metric of this name (see `METRICS`).

    Args:
        target_language: as in "fr" or "zh-TW". BLEU's tokenizer is chosen by it, 13a without one; `bleu_tok_lc` needs
            it, because Moses tokenises each language its own way.

    Raises:
        ValueError: there is no such metric, or the language is missing or unknown to Moses.
        ImportError: sacrebleu or what the metric is built on is not installed.
    """
    if name not in METRICS:
        raise ValueError(f"there is no metric '{shortened(name)}': choose one of {', '.join(METRICS)}.")
    try:
        from hf_attn_seq2seq.evaluation import corpus_metrics
    except ImportError as error:
        missing = error.name.partition(".")[0]
        raise ImportError(
            f'corpus scores need {missing}, which is not installed: run pip install "hf_attn_seq2seq[train]".'
        ) from error
    return corpus_metrics.make_metric(name, language_code(target_language))


def language_code(language: str | None) -> str | None:
    """The language alone of a tag such as "zh-TW", "zh_CN" or "zho_Hant"."""
    return re.split("[-_]", language)[0].lower() or None if language else None


def metric_title(name: str, signatures: Iterable[str]) -> str:
    """What a table calls a metric; BLEU with its tokenizer, where the signatures of its figures agree on one."""
    title = METRICS[name].title
    if name != "bleu":
        return title
    found = {match[1] for match in (re.search(r"\|tok:(\w+(?:-mecab)?)", text) for text in signatures) if match}
    return f"{title} {found.pop()}" if len(found) == 1 else title


def warn_of_script(
    metrics: Sequence[str], references: Sequence[Sequence[str]], target_language: str | None = None
) -> None:
    """Warns where a metric looks for words between spaces, and most letters are of a script that writes none."""
    code = language_code(target_language)
    unfit = [name for name in metrics if name in _BY_SPACES and not (name == "bleu" and code in TOKENIZERS)]
    if not unfit:
        return
    text = " ".join(text for texts in references for text in texts)
    unspaced = len(_UNSPACED.findall(text))
    if 2 * unspaced < sum(map(str.isalpha, text)) or not unspaced:
        return
    if unspaced <= _LONGEST_WORDS * sum(bool(_UNSPACED.search(token)) for token in text.split()):
        return
    advice = "take chrf, or bleu with the target language."
    if "bleu" in unfit:
        advice = 'name the target language (target_language="zh"; data.target_language=zh in a recipe).'
        if code:
            advice = f"the target language is '{target_language}': is that right?"
    names = ", ".join(METRICS[name].title for name in unfit)
    warnings.warn(
        f"{names}: the references are written without spaces between words, so that a whole sentence counts as one "
        f"word: {advice}",
        stacklevel=3,
    )


def score_corpus(
    hypotheses: Sequence[str],
    references: References,
    metrics: Sequence[str] = ("bleu", "chrf", "exact_match"),
    *,
    target_language: str | None = None,
    bootstrap_samples: int = 0,
) -> dict[str, Score]:
    """Scores translations against one or several references each.

    Args:
        hypotheses: the translations, as plain text that is not tokenised.
        references: for each translation, in the same order, its reference or the list of its references; blank ones
            beside others are left out.
        metrics: names from `METRICS`.
        target_language: as in "fr" or "zh"; it decides how BLEU finds words.
        bootstrap_samples: how often to resample the sentences for the confidence intervals; 0 for none.

    Returns:
        the score of each metric, by its name.

    Raises:
        ValueError: hypotheses and references are empty, differ in length or are no texts, a sentence has no reference
            that is not blank, or a metric is unknown.
        ImportError: sacrebleu is not installed.
    """
    several = check_corpus(hypotheses, references)
    warn_of_script(metrics, several, target_language)
    if bootstrap_samples < 0 or bootstrap_samples == 1:
        raise ValueError(f"bootstrap_samples={bootstrap_samples} must be 0 or at least 2.")
    streams = reference_streams(several)
    scores = {}
    for name in metrics:
        metric = make_metric(name, target_language)
        statistics = extract_statistics(metric, hypotheses, streams)
        scores[name] = Score(
            value=score_statistics(metric, statistics.sum(0)),
            signature=str(metric.get_signature()),
            interval=score_interval(metric, statistics, bootstrap_samples) if bootstrap_samples else None,
        )
    return scores


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
    """Refuses what cannot be scored; the references, as a list for each hypothesis, without blank ones.

    A blank line in a file of further references says that there is none. Taken for a text, it would be the closest in
    length to any short translation, and so hide from BLEU what is missing there.

    Raises:
        ValueError: the two are empty or differ in length, hold something other than texts, or a sentence has no
            reference that is not blank.
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
        if not any(text.strip() for text in texts):
            raise ValueError(f"references[{index}] is blank: every sentence needs a reference.")
    if len(hypotheses) != len(several):
        raise ValueError(
            f"there are {len(hypotheses)} {name} but {len(several)} references: give a reference, or a list of them, "
            "to each."
        )
    if not several:
        raise ValueError(f"there is nothing to score: {name} and references are empty.")
    return [[text for text in texts if text.strip()] for texts in several]


def sentence_scores(name: str, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """The score of each sentence as a corpus of its own; `references` as `check_corpus` gives them."""
    metric = make_metric(name)
    rows = extract_statistics(metric, hypotheses, reference_streams(references))
    return [score_statistics(metric, row) for row in rows]


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
