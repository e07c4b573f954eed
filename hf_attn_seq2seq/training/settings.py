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
    """Guided alignment: training attention to align words (Chen et al. 2016; Garg et al. 2019)."""

    links: Literal["given", "eflomal", "first_pass"] = Field(
        "given",
        description="where the word links come from: `given` in the corpus as `alignment`; from `eflomal`, a "
        "statistical aligner (Östling and Tiedemann 2016; extra `align`; in both directions, not seeded); or from "
        "`first_pass`, a model trained by this recipe without guidance",
    )
    weight: float = Field(0.05, gt=0, description="weight of the alignment loss per target token")
    layer: int = Field(-1, description="decoder layer to guide, counted from 0; -1 is the last")
    head: int | None = Field(None, ge=0, description="attention head to guide; null: the mean of all heads")
    shift: int = Field(
        0,
        ge=0,
        le=1,
        description="0: guide the row that predicts a word; 1: the row after it, which has read the word",
    )
    first_pass_epochs: float = Field(5.0, gt=0, description="epochs of the first pass")
    reverse_model: Path | None = Field(
        None, description="folder of a model for the reverse direction, to symmetrize the links of the first pass"
    )
    symmetrisation: Symmetrisation = Field(
        "grow-diag", description="method that symmetrizes the links of the two directions"
    )


class TrainingSettings(Settings):
    """How a model is trained."""

    former_names = {"casual_text": "case_punctuation_augmentation"}

    epochs: float = Field(10.0, gt=0, description="epochs to train")
    max_steps: int | None = Field(None, gt=0, description="optimizer steps to train, instead of `epochs`")
    batch_tokens: int | None = Field(
        None,
        gt=0,
        description="maximum tokens on the longer side of a batch, including padding; with tokenizer.sampling, "
        "counted before sampling, which gives more tokens",
    )
    batch_size: int | None = Field(
        None, gt=0, description="maximum pairs per batch (default: 64 if batch_tokens is not set)"
    )
    max_length: int = Field(256, gt=1, description="texts longer than this many tokens are truncated for training")
    gradient_accumulation_steps: int = Field(1, gt=0, description="batches per optimizer step")
    learning_rate: float = Field(1e-3, gt=0, description="peak learning rate (of AdamW)")
    schedule: Literal["linear", "cosine", "inverse_sqrt", "constant", "plateau"] = Field(
        "linear", description="learning-rate schedule after the warm-up (`plateau` has no warm-up)"
    )
    warmup_steps: int = Field(200, ge=0, description="warm-up steps, in which the learning rate rises from 0")
    plateau_patience: int = Field(0, ge=0, description="evaluations without improvement before `plateau` acts")
    plateau_factor: float = Field(
        0.5, gt=0, lt=1, description="factor by which `plateau` multiplies the learning rate"
    )
    weight_decay: float = Field(0.0, ge=0, description="weight decay of AdamW")
    adam_beta2: float = Field(
        0.999, ge=0, lt=1, description="decay rate of Adam's second moment (Vaswani et al. 2017: 0.98)"
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="probability mass spread over all tokens (Szegedy et al. 2016)"
    )
    r_drop: float = Field(
        0.0,
        ge=0,
        description="R-Drop: weight alpha of the divergence between two passes with different dropout, which doubles "
        "the work per step (Liang et al. 2021, who use 5)",
    )
    max_grad_norm: float = Field(1.0, gt=0, description="gradient clipping: maximum norm of the gradients")
    ema_decay: float | None = Field(
        None, gt=0, lt=1, description="decay per step of an exponential moving average of the weights, which is saved"
    )
    average_checkpoints: int = Field(
        1, gt=0, description="number of last checkpoints to average; the average is saved if it beats the best one"
    )
    guided_alignment: GuidedAlignmentSettings | None = Field(
        None, description="guided alignment: train the attention to align words"
    )
    scheduled_sampling: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="final probability, approached linearly, that the decoder reads its own prediction and not the "
        "reference token (Bengio et al. 2015; in two passes as in Mihaylova and Martins 2019)",
    )
    join_pairs: int = Field(
        1, gt=0, description="join up to this many random training pairs into one, to learn longer texts"
    )
    case_punctuation_augmentation: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of the training pairs (after joining) that lose their final punctuation, share that lose "
        "their initial capital, and share whose sources have other apostrophes and quotation marks, to learn text as "
        "people type it",
    )
    copied_words_augmentation: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of the training pairs in which names and numbers that both sides have are exchanged for "
        "others, some of other alphabets, to learn to copy those never seen",
    )
    phrase_pairs_augmentation: float = Field(
        0.0,
        ge=0,
        le=10,
        description="words and phrases of up to three words, found by the word links of guided_alignment, to add to "
        "the training pairs, as a share of their number, to learn to translate them alone",
    )
    evaluate_every: int | Literal["epoch"] = Field(
        "epoch", description="`epoch`, or the number of steps between evaluations, each of which saves a checkpoint"
    )
    metric: str = Field(
        "bleu", description="metric that selects the best checkpoint: `loss`, or one of greedy validation translations"
    )
    patience: int | None = Field(
        None, gt=0, description="early stopping after this many evaluations without improvement"
    )
    samples: int = Field(3, ge=0, description="validation pairs whose translations are shown at each evaluation")
    seed: int = Field(0, ge=0, lt=2**32, description="random seed (of everything except eflomal)")
    bf16: bool = Field(
        False, description="mixed precision with bfloat16; of recurrent models on a CPU, in the matrix products alone"
    )
    report_to: Annotated[list[str], BeforeValidator(as_list)] = Field(
        [], description="experiment trackers, such as tensorboard or wandb"
    )

    @model_validator(mode="after")
    def _check(self) -> "TrainingSettings":
        if self.metric != "loss" and self.metric not in METRICS:
            raise ValueError(f"unknown metric '{shortened(self.metric)}': {nearest(self.metric, ['loss', *METRICS])}")
        if isinstance(self.evaluate_every, int) and self.evaluate_every < 1:
            raise ValueError(f"evaluate_every={self.evaluate_every} must be at least 1, or 'epoch'.")
        if self.phrase_pairs_augmentation and self.guided_alignment is None:
            raise ValueError("phrase_pairs_augmentation needs word links: set guided_alignment too.")
        if self.average_checkpoints > 1 and self.ema_decay is not None:
            raise ValueError(
                "ema_decay and average_checkpoints cannot be combined: both average weights, so choose one."
            )
        return self

    @property
    def greater_is_better(self) -> bool:
        return self.metric != "loss" and METRICS[self.metric].higher_is_better
