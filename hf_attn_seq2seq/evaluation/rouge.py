# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
ROUGE (Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries") by `rouge-score`, with words of any script.

The library's own tokenizer keeps a-z and 0-9 alone, so that all texts in other scripts score 0 and `café` counts as
`caf`. Ours gives the same words where a text has no others.
"""

from __future__ import annotations

import importlib.metadata
import sys
import unicodedata
from collections.abc import Sequence
from typing import Any

import regex
from sacrebleu.metrics.base import Signature

from hf_attn_seq2seq.evaluation.corpus_metrics import Rate


TOKENIZER = "unicode-words-1"  # in the signature: another number, other words
# A letter of a script without spaces stands by itself, with the marks on it; other words are runs of letters, digits
# and their marks.
_WORD = regex.compile(
    r"[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}"
    r"\p{Script=Myanmar}\p{Script=Tibetan}]\p{M}*"
    r"|(?:(?![\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}"
    r"\p{Script=Myanmar}\p{Script=Tibetan}])[\p{L}\p{N}]\p{M}*)+"
)


class WordTokenizer:
    """What `rouge-score` takes for a tokenizer."""

    def tokenize(self, text: str) -> list[str]:
        """The lower-cased words of a text, composed (NFC); punctuation and symbols only separate them."""
        return _WORD.findall(unicodedata.normalize("NFC", text).lower())  # type: ignore[no-any-return]


def scorer_class() -> Any:
    """
    The scorer of `rouge-score`.

    Raises:
        ImportError: It is not installed.
    """
    try:
        from absl import logging as absl_logging
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        raise ImportError(
            f'ROUGE needs rouge-score, which is not installed ({error}): run pip install "hf_attn_seq2seq[train]".'
        ) from error
    # absl keeps the error stream of this moment, and closes it, whoever else writes there, when logging is configured
    # anew, as web servers do; but not Python's own.
    if sys.__stderr__ is not None:
        absl_logging.get_absl_handler().python_handler.setStream(sys.__stderr__)
    return RougeScorer


class RougeSignature(Signature):
    """What was counted, of which words, and that no word was stemmed."""

    def __init__(self, args: dict[str, Any]) -> None:
        super().__init__(args)
        self.info |= {
            "unit": args["unit"],
            "case": "lc",
            "tok": TOKENIZER,
            "stem": "no",
            "version": importlib.metadata.version("rouge-score"),
        }


class Rouge(Rate):
    """
    The mean over the texts of the F-measure of what a text and its reference share, in percent: single words
    (`rouge1`), pairs of words (`rouge2`) or their longest common subsequence (`rouge_l`). Of several references the
    best counts.
    """

    _SIGNATURE_TYPE: type[Signature] = RougeSignature  # type: ignore[assignment]
    kind: str

    def __init__(self) -> None:
        super().__init__()
        self._scorer = scorer_class()([self.kind], tokenizer=WordTokenizer())

    def _compute_segment_statistics(self, hypothesis: str, ref_kwargs: dict[str, Any]) -> list[float]:
        references: Sequence[str] = list(ref_kwargs["references"])
        return [float(self._scorer.score_multi(references, hypothesis)[self.kind].fmeasure), 1.0]


class Rouge1(Rouge):
    """ROUGE-1."""

    name, kind, unit = "ROUGE-1", "rouge1", "word-f"


class Rouge2(Rouge):
    """ROUGE-2."""

    name, kind, unit = "ROUGE-2", "rouge2", "word-pair-f"


class RougeL(Rouge):
    """ROUGE-L."""

    name, kind, unit = "ROUGE-L", "rougeL", "longest-common-subsequence-f"


__all__ = ["Rouge", "Rouge1", "Rouge2", "RougeL", "WordTokenizer"]
