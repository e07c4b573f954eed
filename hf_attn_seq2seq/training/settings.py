# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The training section of a recipe."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from hf_attn_seq2seq.evaluation.metrics import METRICS
from hf_attn_seq2seq.evaluation.settings import Symmetrisation
from hf_attn_seq2seq.messages import shortened
from hf_attn_seq2seq.settings import Settings, as_list, nearest


class GuidedAlignmentSettings(Settings):
    """Teaching the attention to align words (Chen et al. 2016; Garg et al. 2019)."""

    links: Literal["given", "eflomal", "first_pass"] = Field(
        "given",
        description="the corpus's own `alignment`; or made by eflomal, a statistical aligner (Östling and Tiedemann "
        "2016; the extra `align`), of both directions, drawn without a seed; or by a first pass, a model of this "
        "recipe, trained unguided",
    )
    weight: float = Field(0.05, gt=0, allow_inf_nan=False, description="of its loss a target token, beside the other")
    layer: int = Field(-1, description="of the decoder, from 0, or from the last as -1")
    head: int | None = Field(None, ge=0, description="of that layer; null: the mean of all")
    shift: int = Field(0, ge=0, le=1, description="0: the row that predicts a word; 1: the one that has read it")
    first_pass_epochs: float = Field(5.0, gt=0, allow_inf_nan=False, description="of the first pass")
    reverse_model: Path | None = Field(
        None, description="folder of a model of the other direction, whose links are joined with the first pass's"
    )
    symmetrisation: Symmetrisation = Field("grow-diag", description="how the links of the two directions are joined")


class TrainingSettings(Settings):
    """How a model is trained."""

    former_names = {"casual_text": "case_punctuation_augmentation"}

    epochs: float = Field(10.0, gt=0, allow_inf_nan=False, description="passes over the training pairs")
    max_steps: int | None = Field(None, gt=0, description="steps of the optimiser, in place of `epochs`")
    batch_tokens: int | None = Field(
        None,
        gt=0,
        description="tokens of the longer side in a batch, padding included; with tokenizer.sampling, of the usual "
        "subwords, of which the drawn ones are more",
    )
    batch_size: int | None = Field(None, gt=0, description="pairs a batch, at most; 64 where batch_tokens is not set")
    max_length: int = Field(256, gt=1, description="tokens that a longer text is cut to for training")
    gradient_accumulation_steps: int = Field(1, gt=0, description="batches a step of the optimiser")
    learning_rate: float = Field(1e-3, gt=0, allow_inf_nan=False, description="peak of the schedule (AdamW)")
    schedule: Literal["linear", "cosine", "inverse_sqrt", "constant", "plateau"] = Field(
        "linear", description="of the learning rate, after the warm-up (`plateau` has none)"
    )
    warmup_steps: int = Field(200, ge=0, description="steps in which the learning rate rises from 0")
    plateau_patience: int = Field(0, ge=0, description="evaluations without progress that `plateau` waits for")
    plateau_factor: float = Field(0.5, gt=0, lt=1, description="what `plateau` multiplies the learning rate by")
    weight_decay: float = Field(0.0, ge=0, allow_inf_nan=False, description="AdamW's")
    adam_beta2: float = Field(0.999, ge=0, lt=1, description="decay of Adam's second moment (Vaswani 2017: 0.98)")
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="share of a target's probability spread over all tokens (Szegedy 2016)"
    )
    r_drop: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="weight of the divergence between two passes of each batch, which differ in what dropout drops: "
        "twice the work a step (Liang 2021, alpha; there 5)",
    )
    max_grad_norm: float = Field(1.0, gt=0, allow_inf_nan=False, description="gradients are scaled down to this norm")
    ema_decay: float | None = Field(
        None, gt=0, lt=1, description="decay a step of the average of weights that is evaluated and kept"
    )
    average_checkpoints: int = Field(
        1, gt=0, description="last checkpoints whose mean is tried against the best one at the end"
    )
    guided_alignment: GuidedAlignmentSettings | None = Field(None, description="teach the attention to align words")
    scheduled_sampling: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="chance, reached at the end of training, that the decoder reads its own last word and not the "
        "reference's (Bengio 2015, in two passes as in Mihaylova and Martins 2019)",
    )
    join_pairs: int = Field(
        1, gt=0, description="up to so many random training pairs are joined into one, to learn longer texts"
    )
    case_punctuation_augmentation: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of the texts trained on (where pairs are joined, of the joined ones) that lose the stop "
        "that ends them, and as many the capital that begins them, to learn text as people type it",
    )
    evaluate_every: int | Literal["epoch"] = Field(
        "epoch", description="`epoch`, or steps from one evaluation and checkpoint to the next"
    )
    metric: str = Field(
        "bleu", description="by which the best checkpoint is chosen: `loss`, or one of greedy validation translations"
    )
    patience: int | None = Field(None, gt=0, description="evaluations without progress after which training stops")
    samples: int = Field(3, ge=0, description="validation pairs translated before the reader at each evaluation")
    seed: int = Field(0, ge=0, lt=2**32, description="of everything random but the links of eflomal")
    bf16: bool = Field(False, description="compute in bfloat16 where autocast allows")
    report_to: Annotated[list[str], BeforeValidator(as_list)] = Field(
        [], description="trackers, such as tensorboard or wandb"
    )

    @model_validator(mode="after")
    def _check(self) -> "TrainingSettings":
        if self.metric != "loss" and self.metric not in METRICS:
            raise ValueError(
                f"there is no metric '{shortened(self.metric)}': {nearest(self.metric, ['loss', *METRICS])}"
            )
        if isinstance(self.evaluate_every, int) and self.evaluate_every < 1:
            raise ValueError(f"evaluate_every={self.evaluate_every} must be at least 1, or 'epoch'.")
        if self.average_checkpoints > 1 and self.ema_decay is not None:
            raise ValueError("ema_decay and average_checkpoints both average weights: choose one.")
        return self

    @property
    def greater_is_better(self) -> bool:
        return self.metric != "loss" and METRICS[self.metric].higher_is_better
