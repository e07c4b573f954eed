# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""From pairs of text to a trained model, by Transformers' Seq2SeqTrainer."""

import math
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import (
    DataCollatorForSeq2Seq,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
)
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from transformers.trainer_utils import get_last_checkpoint

from hf_attn_seq2seq.training.progress import TrainingBar


@dataclass(frozen=True)
class FitSettings:
    """
    How to train.

    Args:
        epochs: Passes over the training pairs.
        batch_size: Pairs a step and process.
        learning_rate: Peak of the schedule (AdamW), reached after `warmup_steps` and falling linearly to 0.
        warmup_steps: Steps of the rise.
        weight_decay: AdamW's.
        label_smoothing: Share of the target's probability that is spread over all tokens (Szegedy et al. 2016).
        max_grad_norm: Gradients are scaled down to this norm.
        seed: Of everything random.
        bf16: Whether to compute in bfloat16 where autocast allows.
        gradient_accumulation_steps: Batches a step of the optimiser.
        max_new_tokens: What the saved model's `generate()` stops at by default.
    """

    epochs: float = 10.0
    batch_size: int = 64
    learning_rate: float = 1e-3
    warmup_steps: int = 200
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    max_grad_norm: float = 1.0
    seed: int = 0
    bf16: bool = False
    gradient_accumulation_steps: int = 1
    max_new_tokens: int = 128

    def __post_init__(self) -> None:
        positive = ("epochs", "batch_size", "learning_rate", "max_grad_norm", "gradient_accumulation_steps")
        for name in (*positive, "max_new_tokens"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name}={getattr(self, name)} must be a number greater than 0.")
        if self.warmup_steps < 0:
            raise ValueError(f"warmup_steps={self.warmup_steps} must be 0 or more.")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed={self.seed} must lie between 0 and 2^32 - 1.")
        if not 0.0 <= self.label_smoothing < 1.0:
            raise ValueError(f"label_smoothing={self.label_smoothing} must lie in [0, 1).")


def make_folder(path: str | Path) -> Path:
    """The folder at `path`, made where it is missing; raises ValueError where that cannot be."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"Cannot write to '{path}': name a folder that can be made.") from error
    return path


def remove_checkpoints(folder: Path) -> None:
    """Remove the Trainer's checkpoints in `folder`."""
    for checkpoint in folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)


def encode_pairs(
    tokenizer: PreTrainedTokenizerBase, pairs: Iterable[tuple[str, str]], max_length: int = 256
) -> list[dict[str, list[int]]]:
    """
    Token ids of (source, target) texts, each with its end token, as a Trainer's dataset.

    Args:
        tokenizer: Encodes both sides; the target through `text_target=`.
        pairs: Source and target texts.
        max_length: Longer texts are cut to so many tokens.
    """
    pairs = list(pairs)
    if not pairs:
        return []
    sources, targets = zip(*pairs)
    encoded = tokenizer(list(sources), text_target=list(targets), truncation=True, max_length=max_length)
    return [
        {"input_ids": ids, "attention_mask": mask, "labels": labels}
        for ids, mask, labels in zip(encoded["input_ids"], encoded["attention_mask"], encoded["labels"])
    ]


def fit(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    train_pairs: Sequence[tuple[str, str]],
    validation_pairs: Sequence[tuple[str, str]],
    output_dir: str | Path,
    settings: FitSettings,
    resume: bool = False,
) -> Seq2SeqTrainer:
    """
    Train `model` in place, with a progress bar and the validation loss after each epoch.

    Batches are drawn from pairs of like length. A checkpoint is kept after each epoch (the newest one), and model and
    tokenizer are saved to `output_dir` at the end.

    Args:
        resume: Whether to go on from the newest checkpoint in `output_dir`.

    Raises:
        ValueError: There are no training or no validation pairs, no checkpoint to resume from, checkpoints of another
            run, or no folder to write to.
    """
    output_dir = make_folder(output_dir)
    found = get_last_checkpoint(str(output_dir))
    if resume and found is None:
        raise ValueError(f"There is no checkpoint in '{output_dir}' to resume from: start without resuming.")
    if found is not None and not resume:
        # The Trainer keeps the checkpoint of most steps, which may be the older run's.
        raise ValueError(
            f"'{output_dir}' holds checkpoints of another run: resume it, remove them, or name another folder."
        )
    for name, pairs in (("training", train_pairs), ("validation", validation_pairs)):
        if not pairs:
            raise ValueError(f"There are no {name} pairs.")
    # Transformers' own default would cut every translation at 20 tokens.
    model.generation_config.max_new_tokens = settings.max_new_tokens
    arguments = Seq2SeqTrainingArguments(
        output_dir=str(output_dir),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=2 * settings.batch_size,
        learning_rate=settings.learning_rate,
        warmup_steps=settings.warmup_steps,
        weight_decay=settings.weight_decay,
        label_smoothing_factor=settings.label_smoothing,
        max_grad_norm=settings.max_grad_norm,
        gradient_accumulation_steps=settings.gradient_accumulation_steps,
        seed=settings.seed,
        bf16=settings.bf16,
        train_sampling_strategy="group_by_length",
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,
        logging_steps=20,
        report_to="none",
        dataloader_pin_memory=False,
    )
    trainer = Seq2SeqTrainer(
        model=model,
        args=arguments,
        train_dataset=encode_pairs(tokenizer, train_pairs),  # type: ignore[arg-type]
        eval_dataset=encode_pairs(tokenizer, validation_pairs),  # type: ignore[arg-type]
        data_collator=DataCollatorForSeq2Seq(tokenizer, model=model),
        processing_class=tokenizer,
    )
    for callback in (ProgressCallback, PrinterCallback):
        trainer.remove_callback(callback)
    trainer.add_callback(TrainingBar())
    trainer.train(resume_from_checkpoint=resume or None)
    trainer.save_model(str(output_dir))
    return trainer
