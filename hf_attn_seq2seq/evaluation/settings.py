# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The recipe's sections `evaluation`, how translations are made and measured, and `card`, what only people can say."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from hf_attn_seq2seq.data.links import SYMMETRISATIONS
from hf_attn_seq2seq.evaluation.metrics import METRICS, length_buckets
from hf_attn_seq2seq.messages import shortened
from hf_attn_seq2seq.settings import Settings, as_list, nearest


def _known_method(method: str) -> str:
    if method not in SYMMETRISATIONS:
        raise ValueError(f"there is no symmetrisation '{method}': {nearest(method, SYMMETRISATIONS)}")
    return method


Symmetrisation = Annotated[str, AfterValidator(_known_method)]


class ReadoutSettings(Settings):
    """Which attention weights stand for the word alignment, and how links are read off them."""

    layer: int = Field(-1, description="decoder layer, counted from 0, or from the last as -1")
    head: int | None = Field(None, description="head of that layer, counted from 0; null: the mean of all heads")
    shift: int = Field(0, ge=0, description="0: use the row that predicts a token; 1: the row after it")
    end_token: Literal["competes", "excluded"] = Field(
        "competes", description="whether weight on the source's end token can leave a word unlinked, or is ignored"
    )
    threshold: float | None = Field(
        None,
        gt=0,
        le=1,
        description="link all pairs with at least this weight, not only the best source word of each target word",
    )


class AlignmentSettings(Settings):
    """How the model's attention is read as word alignment, and the gold alignments to compare it with."""

    gold: Path | None = Field(None, description="gold alignments, JSON lines; a relative path starts at data.folder")
    readout: ReadoutSettings | None = Field(
        None, description="how links are read from the attention (default: as in the model's alignment.json)"
    )
    reverse_model: Path | None = Field(
        None, description="folder of a model of the opposite direction, to symmetrize the links with"
    )
    symmetrisation: Symmetrisation = Field(
        "grow-diag", description=f"how the links of both directions are combined: {', '.join(SYMMETRISATIONS)}"
    )


class EvaluationSettings(Settings):
    """How the validation and the test sets are translated and measured."""

    metrics: Annotated[list[str], BeforeValidator(as_list)] = Field(
        ["bleu", "chrf", "exact_match"], min_length=1, description=f"metrics to compute: {', '.join(METRICS)}"
    )
    num_beams: Annotated[int, Field(ge=1)] = Field(5, description="number of beams; 1: greedy decoding")
    length_penalty: float = Field(1.0, description="above 0 favours longer translations, below 0 shorter ones")
    ctc_weight: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="share of CTC in the search, of a model that was trained with model.ctc_weight"
    )
    max_new_tokens: Annotated[int, Field(ge=1)] = Field(128, description="maximum number of tokens in a translation")
    batch_size: Annotated[int, Field(ge=1)] = Field(64, description="sentences per batch")
    bootstrap_samples: Annotated[int, Field(ge=0)] = Field(
        1000, description="bootstrap samples for the 95 % confidence intervals; 0: no intervals"
    )
    length_buckets: list[int] = Field(
        [10, 20, 30], description="maximum source length of each bucket for scores by length"
    )
    length_unit: Literal["words", "characters"] = Field(
        "words", description="unit of source lengths; for sounds and pictures, of their references'"
    )
    alignment: AlignmentSettings = Field(
        AlignmentSettings(),
        description="how word alignments are read from the attention, and gold alignments to compare with",
    )

    @field_validator("metrics")
    @classmethod
    def _known(cls, metrics: list[str]) -> list[str]:
        for name in metrics:
            if name not in METRICS:
                raise ValueError(f"there is no metric '{shortened(name)}': {nearest(name, list(METRICS))}")
        return metrics

    @field_validator("length_buckets")
    @classmethod
    def _increasing(cls, bounds: list[int]) -> list[int]:
        length_buckets([], bounds)
        return bounds

    @field_validator("bootstrap_samples")
    @classmethod
    def _enough(cls, samples: int) -> int:
        if samples == 1:
            raise ValueError("one sample has no spread: give 0, or at least 2.")
        return samples


class CardSettings(Settings):
    """What the model card says beside the figures: each in a sentence or two."""

    purpose: str = Field("", description="what the model is for")
    limits: str = Field("", description="what it is not for, and what its worst translations show")
    credit: str = Field("", description="who made the data, under which licence, and where it was obtained")
    datasets: list[str] = Field([], description="Hub identifiers of the datasets, or of their origin")
    quote: bool = Field(True, description="whether the licence of the data allows the card to show sentences from it")
    sentences: list[str] = Field(
        [], description="sentences of your own to translate and show (not shown if quote is false)"
    )
    paragraphs: list[str] = Field(
        [], description="texts of your own to translate sentence by sentence and show (not shown if quote is false)"
    )
    worst: int = Field(5, ge=0, le=100, description="how many of the worst translations to show")

    @field_validator("paragraphs")
    @classmethod
    def _not_blank(cls, texts: list[str]) -> list[str]:
        if any(not text.strip() for text in texts):
            raise ValueError("one of the paragraphs is blank: leave it out.")
        return texts
