# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Trains a model on encoded pairs, with the Trainer of Transformers."""

import ctypes
import json
import shutil
import sys
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Seq2SeqTrainingArguments,
    TrainerCallback,
    TrainerState,
)
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from hf_attn_seq2seq.data.examples import Examples, SampledExamples
from hf_attn_seq2seq.evaluation.results import describe_environment
from hf_attn_seq2seq.training.precision import gains_by_autocast, has_bfloat16
from hf_attn_seq2seq.training.progress import EvaluationSamples, TrainingProgress
from hf_attn_seq2seq.training.settings import TrainingSettings
from hf_attn_seq2seq.training.trainer import (
    GO_ON,
    SECONDS,
    StopWithoutProgress,
    TranslationTrainer,
    is_patience_over,
    kept_weights,
    set_weights,
)
from hf_attn_seq2seq.writing import sole_run, write_text, writing


SUMMARY_FILE = "training.json"
M_MMAP_MAX, M_TRIM_THRESHOLD = -4, -1  # of glibc's malloc.h
SCHEDULERS = {
    "linear": "linear",
    "cosine": "cosine",
    "inverse_sqrt": "inverse_sqrt",
    "constant": "constant_with_warmup",
    "plateau": "reduce_lr_on_plateau",
}


def make_folder(path: str | Path) -> Path:
    """The folder at `path`, created if it is missing; raises ValueError if that is impossible."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"The folder '{path}' cannot be created: name another folder.") from error
    return path


def working_in(output: Path) -> AbstractContextManager[None]:
    """Inside this context no other run may use the folder, which is created if it is missing."""
    return sole_run(make_folder(output) / ".run.lock", output)


def checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints in a folder, the newest last; incompletely written ones are skipped."""
    found = []
    for checkpoint in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*"):
        step = checkpoint.name.rpartition("-")[2]
        try:
            if str(json.loads((checkpoint / TRAINER_STATE_NAME).read_text("utf-8"))["global_step"]) != step:
                continue
        except (OSError, ValueError, TypeError, KeyError):
            continue
        parts = ("config.json", "model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state*.pth")
        if step.isdecimal() and all(any(checkpoint.glob(part)) for part in parts):
            found.append((int(step), checkpoint))
    return [checkpoint for _, checkpoint in sorted(found)]


def remove_checkpoints(folder: Path) -> None:
    """Remove the Trainer's checkpoints in `folder`."""
    for checkpoint in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*"):
        shutil.rmtree(checkpoint)


def remove_leftovers(folder: Path) -> None:
    """Remove what a run that was killed while writing left in `folder`: it would count as the newest checkpoint."""
    for checkpoint in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*"):
        if not (checkpoint / TRAINER_STATE_NAME).exists():  # which the Trainer writes last
            shutil.rmtree(checkpoint)
    for unfinished in folder.glob(".tmp??????"):  # as safetensors calls a file until it is whole
        unfinished.unlink()


def keep_freed_memory() -> None:
    """
    Make the C library keep the memory of freed large tensors for the next ones; otherwise each page faults in again at
    every step (forward and backward cross-entropy over 2,048 x 8,000 logits takes 111 ms of one CPU thread without
    this, 48 ms with it). The process keeps the memory of its largest step. This has no effect without glibc.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(M_MMAP_MAX, 0)
            mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def training_arguments(settings: TrainingSettings, output_dir: Path, autocast: bool) -> Seq2SeqTrainingArguments:
    """The Trainer's arguments; `TranslationTrainer` itself handles batches, label smoothing and averages."""
    steps = settings.evaluate_every if isinstance(settings.evaluate_every, int) else None
    strategy = "steps" if steps else "epoch"
    schedule_options: dict[str, Any] = {}
    if settings.schedule == "plateau":
        schedule_options = {
            "mode": "max" if settings.greater_is_better else "min",
            "factor": settings.plateau_factor,
            "patience": settings.plateau_patience,
        }
    return Seq2SeqTrainingArguments(
        output_dir=str(output_dir),
        num_train_epochs=settings.epochs,
        max_steps=settings.max_steps or -1,
        per_device_train_batch_size=settings.batch_size or 64,
        per_device_eval_batch_size=128,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=SCHEDULERS[settings.schedule],
        lr_scheduler_kwargs=schedule_options,
        warmup_steps=settings.warmup_steps,
        weight_decay=settings.weight_decay,
        adam_beta2=settings.adam_beta2,
        max_grad_norm=settings.max_grad_norm,
        gradient_accumulation_steps=settings.gradient_accumulation_steps,
        optim="adamw_torch_fused",
        seed=settings.seed,
        bf16=autocast,
        use_cpu=autocast and not torch.accelerator.is_available(),  # otherwise Transformers requires a GPU
        eval_strategy=strategy,
        save_strategy=strategy,
        eval_steps=steps,
        save_steps=steps or 500,
        save_total_limit=max(2, settings.average_checkpoints + 1),
        load_best_model_at_end=True,
        metric_for_best_model=settings.metric,
        greater_is_better=settings.greater_is_better,
        logging_steps=20,
        report_to=list(settings.report_to) or "none",
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        ddp_find_unused_parameters=False,
        logging_nan_inf_filter=False,
        use_cache=True,  # of the saved model; training does not use one
    )


def fit(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    train: Examples,
    validation: Examples,
    output_dir: str | Path,
    settings: TrainingSettings,
    resume: bool = False,
    language: str | None = None,
    sampled: SampledExamples | None = None,
    record: Mapping[str, Any] | None = None,
    processor: Any = None,
    evaluate_first: bool = False,
) -> TranslationTrainer:
    """
    Train `model` in place, and save it with the weights of the best `settings.metric` on the validation pairs.

    Each evaluation saves a checkpoint (the newest and the best are kept). A run that is killed and resumed ends with
    the same weights as an uninterrupted one. At the end, the mean of the last checkpoints, if requested, replaces the
    best one if its metric is better.

    Args:
        resume: Whether to continue from the newest checkpoint in `output_dir`.
        language: Language of the targets, which BLEU needs.
        sampled: The training pairs with subwords resampled every epoch, to use instead of the tokens in `train`, whose
            lengths still determine the batches.
        record: Further entries of `training.json`.
        processor: What is saved with a model of speech or pictures: its processor, which has the tokenizer.
        evaluate_first: Whether to evaluate before the first step too, for a model that is already trained.

    Raises:
        ValueError: There are no training or validation pairs, there is no checkpoint to resume from, there are
            checkpoints of another run, the folder cannot be written, or the loss is not finite.
    """
    output_dir = make_folder(output_dir)
    with PartialState().main_process_first():
        if PartialState().is_main_process:
            remove_leftovers(output_dir)
    found = checkpoints(output_dir)
    if resume and not found:
        raise ValueError(f"There is no checkpoint in '{output_dir}' to resume from: start without resuming.")
    if found and not resume:
        # The Trainer keeps the checkpoint with the most steps, which may be one of the older run.
        raise ValueError(
            f"'{output_dir}' contains checkpoints of another run: resume it, remove them, or name another folder."
        )
    for name, examples in (("training", train), ("validation", validation)):
        if not len(examples.encoded):
            raise ValueError(f"There are no {name} pairs.")
    if settings.bf16 and not torch.accelerator.is_available() and not has_bfloat16():
        warnings.warn(
            "training.bf16 is on, but this processor has no instructions for bfloat16, so that training gains nothing "
            "or takes longer: leave it out.",
            stacklevel=2,
        )
    callbacks: list[TrainerCallback] = [StopWithoutProgress(settings)] if settings.patience else []
    # On a CPU the trainer sees to bfloat16 where autocast would be slower.
    autocast = settings.bf16 and (torch.accelerator.is_available() or gains_by_autocast(model.config))
    arguments = training_arguments(settings, output_dir, autocast)
    arguments.eval_on_start = evaluate_first and not resume
    trainer = TranslationTrainer(
        model,
        arguments,
        settings,
        train_dataset=train.encoded,
        eval_dataset=validation.encoded,
        tokenizer=tokenizer,
        sources=validation.sources,
        references=validation.references,
        language=language,
        sampled=sampled,
        callbacks=callbacks,
        processor=processor,
    )
    for callback in (ProgressCallback, PrinterCallback):
        trainer.remove_callback(callback)
    trainer.add_callback(TrainingProgress(trainer))
    if settings.samples:
        trainer.add_callback(EvaluationSamples(trainer, settings.samples))
    state = TrainerState.load_from_json(str(found[-1] / "trainer_state.json")) if resume else None
    if state is not None:
        trainer.seconds_before = next(
            (entry[SECONDS] for entry in reversed(state.log_history) if SECONDS in entry), 0.0
        )
    if state is not None and (is_patience_over(settings, state) or state.global_step >= trainer.steps()):
        trainer.state = state  # it was killed after its last step: more training would change it
        trainer._load_best_model()
    else:
        trainer.train(resume_from_checkpoint=str(found[-1]) if resume else None)
    chosen = _choose(trainer)
    with writing(output_dir, GO_ON):
        trainer.save_model(str(output_dir))
    if trainer.is_world_process_zero():
        summary = {
            "steps": trainer.state.global_step,
            "epochs": trainer.state.epoch,
            "seconds": round(trainer.seconds(), 1),
            "metric": settings.metric,
            **chosen,
            **_at_start(trainer.state, settings.metric),
            "processes": trainer.accelerator.num_processes,
            **describe_environment(),
            **(record or {}),
        }
        with writing(output_dir, GO_ON):
            trainer.state.save_to_json(str(output_dir / "trainer_state.json"))
            write_text(
                output_dir / SUMMARY_FILE, json.dumps(summary, indent=2) + "\n"
            )  # written last: the run is complete
    trainer.accelerator.wait_for_everyone()  # these files are read next
    return trainer


def _at_start(state: TrainerState, metric: str) -> dict[str, float]:
    """The validation metric before the first step, if it was measured."""
    name = f"eval_{metric}"
    found = [entry[name] for entry in state.log_history if name in entry and not entry["step"]]
    return {"value_at_start": found[0]} if found else {}


def _choose(trainer: TranslationTrainer) -> dict[str, Any]:
    """
    Leave in the model whichever has the better validation metric: the best checkpoint, which it already has, or the
    mean of the last checkpoints (Vaswani et al. 2017, section 6.1), if requested.
    """
    state, settings = trainer.state, trainer.settings
    chosen: dict[str, Any] = {"weights": "best checkpoint", "value": state.best_metric, "step": state.best_global_step}
    trainer.ema = None  # the model already has the best checkpoint's average
    last = checkpoints(Path(trainer.args.output_dir))[-settings.average_checkpoints :]
    if settings.average_checkpoints == 1 or len(last) < 2:
        return chosen
    best = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}
    mean: dict[str, torch.Tensor] = {}
    for checkpoint in last:
        for name, weight in kept_weights(checkpoint, trainer.unwrapped()).items():
            mean[name] = mean.get(name, 0) + weight.float() / len(last)
    set_weights(trainer.model, mean)
    value = trainer.evaluate()[f"eval_{settings.metric}"]
    if (value > chosen["value"]) if settings.greater_is_better else (value < chosen["value"]):
        return {"weights": f"mean of the last {len(last)} checkpoints", "value": value, "step": state.global_step}
    set_weights(trainer.model, best)
    return chosen
