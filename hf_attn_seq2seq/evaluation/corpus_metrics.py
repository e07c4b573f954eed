# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The metrics as sacreBLEU metrics: its own, and five of ours on the same base class.

On that base, each takes several references to a sentence, has a signature, and can be resampled: a corpus score is a
function of statistics that are summed over the sentences.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sacremoses
from rapidfuzz.distance import Levenshtein
from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.metrics.base import Metric, Score, Signature
from sacrebleu.metrics.bleu import BLEUSignature

from hf_attn_seq2seq.data.moses import moses_steps
from hf_attn_seq2seq.evaluation.metrics import TOKENIZERS
from hf_attn_seq2seq.messages import shortened


def make_metric(name: str, language: str | None = None) -> Metric:
    """The metric called `name` in `metrics.METRICS`; `language` is the target's code, which `bleu_tok_lc` needs."""
    if name == "bleu_tok_lc":
        return TokLowercaseBLEU(language)
    if name == "bleu_tokenized":
        return BLEU(tokenize="none", force=True)
    if name == "bleu":
        return make_bleu(language)
    if name.startswith("rouge"):
        from hf_attn_seq2seq.evaluation.rouge import Rouge1, Rouge2, RougeL  # which builds on this module

        return {"rouge1": Rouge1, "rouge2": Rouge2, "rouge_l": RougeL}[name]()
    kinds: dict[str, type[Metric]] = {
        "chrf": CHRF,
        "ter": TER,
        "exact_match": ExactMatch,
        "wer": WordErrorRate,
        "cer": CharacterErrorRate,
        "per": PhoneErrorRate,
        "sequence_error_rate": SequenceErrorRate,
    }
    return kinds[name]()


def make_bleu(language: str | None) -> BLEU:
    """BLEU over the tokens that fit the language: sacreBLEU's for it, or where that is not installed, characters."""
    for tokenizer in TOKENIZERS.get(language or "", ("13a",)):
        try:
            return BLEU(tokenize=tokenizer, force=True)  # force: without a warning about full stops after a space
        except RuntimeError:  # MeCab is not installed
            continue
    raise ImportError(f"sacrebleu has no tokenizer for '{shortened(str(language))}'.")


class TokLowercaseSignature(BLEUSignature):
    """BLEU's signature, which says that the tokens are Moses' of a language."""

    def __init__(self, args: dict[str, Any]) -> None:
        super().__init__(args)
        self.info["tok"] = f"moses-norm-{args['moses'].language}-sacremoses-{sacremoses.__version__}"


class TokLowercaseBLEU(BLEU):
    """tok-lc: BLEU on Moses-normalised, tokenised, lower-cased text, as multi-bleu.perl scores such text.

    Never to be compared with 13a BLEU: on French it runs several points higher.
    """

    _SIGNATURE_TYPE = TokLowercaseSignature

    def __init__(self, language: str | None) -> None:
        if language is None:
            raise ValueError("bleu_tok_lc needs the target's language: give it (data.target_language in a recipe).")
        super().__init__(tokenize="none", lowercase=True, force=True)
        self.moses = moses_steps(language)

    def _preprocess_segment(self, sent: str) -> str:
        return self.moses(sent)


class RateSignature(Signature):
    """What an error rate or a match was counted over."""

    def __init__(self, args: dict[str, Any]) -> None:
        super().__init__(args)
        self.info["unit"] = args["unit"]


class Rate(Metric):
    """100 times a sum of counts by a sum of sizes, both over the sentences of a corpus."""

    _SIGNATURE_TYPE = RateSignature
    name: str
    unit: str

    def __init__(self) -> None:
        super().__init__()
        self.unit = type(self).unit  # signatures are made of what an instance holds

    def _preprocess_segment(self, sent: str) -> str:
        return sent.strip()

    def _extract_reference_info(self, refs: Sequence[str]) -> dict[str, Any]:
        return {"references": refs}

    def _compute_score_from_stats(self, stats: Any) -> Score:
        count, size = float(stats[0]), float(stats[1])
        return Score(self.name, 100.0 * count / size if size else 0.0)

    def _aggregate_and_compute(self, stats: Sequence[Sequence[float]]) -> Score:
        return self._compute_score_from_stats([sum(column) for column in zip(*stats)])


class ExactMatch(Rate):
    """Percentage of texts that equal a reference, but for the white space around them."""

    name = "exact match"
    unit = "text"

    def _compute_segment_statistics(self, hypothesis: str, ref_kwargs: dict[str, Any]) -> list[float]:
        return [float(hypothesis in ref_kwargs["references"]), 1.0]


class SequenceErrorRate(Rate):
    """Percentage of texts that are not wholly those of any reference, token by token between whitespace.

    Papers on word-to-sound call this the word error rate: there a text is the sound of one word.
    """

    name = "sequence error rate"
    unit = "sequence"

    def _compute_segment_statistics(self, hypothesis: str, ref_kwargs: dict[str, Any]) -> list[float]:
        right = any(hypothesis.split() == reference.split() for reference in ref_kwargs["references"])
        return [float(not right), 1.0]


class EditRate(Rate):
    """Edits to the nearest reference, in percent of that reference's tokens.

    Tokens stand between whitespace of any kind, a no-break space too. Of references that are equally near, the
    longest counts.
    """

    def _compute_segment_statistics(self, hypothesis: str, ref_kwargs: dict[str, Any]) -> list[float]:
        tokens = self._tokens(hypothesis)
        references = [self._tokens(reference) for reference in ref_kwargs["references"]]
        edits, negative_length = min((Levenshtein.distance(tokens, ref), -len(ref)) for ref in references)
        return [float(edits), float(-negative_length)]

    def _tokens(self, text: str) -> list[str]:
        return text.split()


class WordErrorRate(EditRate):
    """WER: words inserted, deleted and substituted, in percent of the reference's; cased, with their punctuation."""

    name = "WER"
    unit = "word-edit"  # figures of version 0.1.0 with the unit `word` are sequence error rates


class CharacterErrorRate(EditRate):
    """CER: the same of characters (code points); a run of white space is one space."""

    name = "CER"
    unit = "character-edit"

    def _tokens(self, text: str) -> list[str]:
        return list(" ".join(text.split()))


class PhoneErrorRate(EditRate):
    """PER of word-to-sound: the same of phones."""

    name = "PER"
    unit = "phone"
