# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What a training run shows: a progress bar with loss, tokens per second and time left, and sample translations."""

import sys
import time
import warnings
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hf_attn_seq2seq.decoding import attend
from hf_attn_seq2seq.decoding.heatmap import terminal_heatmap
from hf_attn_seq2seq.writing import write_text


if TYPE_CHECKING:
    from hf_attn_seq2seq.training.trainer import TranslationTrainer


VALIDATION = {"loss": "validation loss"}  # the names of the Trainer's metrics that need another one here
MAP_ROWS = 30  # an untrained model may repeat itself endlessly


class TrainingProgress(TrainerCallback):
    """A single bar with the latest losses and target tokens per second; plain lines if there is no terminal."""

    SECONDS_BETWEEN_LINES = 10

    def __init__(self, trainer: "TranslationTrainer") -> None:
        self.trainer = trainer
        self.bar: tqdm | None = None
        self.shown: dict[str, str] = {}
        self.started = self.spoken = 0.0
        self.first_step = 0
        self.mark = (0.0, 0)  # time, target tokens

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        now = time.perf_counter()
        self.started, self.spoken, self.first_step = now, now, state.global_step
        self.mark = (now, self.trainer.target_tokens_seen)
        warm_up = 0 if self.trainer.settings.schedule == "plateau" else args.warmup_steps
        if state.is_world_process_zero and state.global_step < state.max_steps <= warm_up:
            warnings.warn(
                f"training.warmup_steps is {warm_up:g} and this run has {state.max_steps} steps, so the learning rate "
                "never reaches its peak: set training.warmup_steps lower or training.epochs higher.",
                stacklevel=2,
            )
        if state.is_world_process_zero and sys.stderr.isatty():
            self.bar = tqdm(total=state.max_steps, initial=state.global_step, dynamic_ncols=True)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        metric = self.trainer.settings.metric
        names = {"loss": "loss", "eval_loss": "validation loss", f"eval_{metric}": metric, "learning_rate": "lr"}
        self.shown.update({names[key]: f"{float(value):.3g}" for key, value in (logs or {}).items() if key in names})
        now, tokens = time.perf_counter(), self.trainer.target_tokens_seen
        if "loss" in (logs or {}):
            self.shown["target tokens/s"] = f"{(tokens - self.mark[1]) / (now - self.mark[0]):.0f}"
            self.mark = (now, tokens)
        if self.bar is not None:
            self.bar.set_postfix(self.shown)
        elif state.is_world_process_zero and now - self.spoken >= self.SECONDS_BETWEEN_LINES:
            self.spoken = now
            a_step = (now - self.started) / max(1, state.global_step - self.first_step)
            left = timedelta(seconds=round(a_step * (state.max_steps - state.global_step)))
            figures = ", ".join(f"{name} {value}" for name, value in self.shown.items())
            print(f"step {state.global_step} of {state.max_steps}, {left} left: {figures}", flush=True)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.bar is not None:
            self.bar.close()


class EvaluationSamples(TrainerCallback):
    """Shows translations of the first validation pairs and the first one's attention, and saves them to `samples/`."""

    def __init__(self, trainer: "TranslationTrainer", count: int) -> None:
        self.trainer, self.count = trainer, count

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, metrics: Any = None, **kwargs: Any
    ) -> None:
        if not state.is_world_process_zero:
            return
        trainer = self.trainer
        named = {name.removeprefix("eval_"): value for name, value in (metrics or {}).items()}
        shown = [", ".join(f"{VALIDATION.get(name, name)} {value:.4g}" for name, value in named.items())]
        rows = zip(trainer.sources, trainer.translations, trainer.references)
        for source, translation, references in list(rows)[: self.count]:
            lines = (("source", source), ("model", translation), ("reference", references[0]))
            shown.append("\n".join(f"  {name:<10}{printable(text)}" for name, text in lines))
        if self._shows_attention():
            with trainer.averaged_weights():
                attention = attend(trainer.unwrapped(), trainer.tokenizer, trainer.sources[0], num_beams=1)
            weights = attention.weights.mean(0)
            columns = readable(attention.source_tokens, getattr(trainer.tokenizer, "source", trainer.tokenizer))
            words = readable(attention.target_tokens, getattr(trainer.tokenizer, "target", trainer.tokenizer))
            shown.append(
                terminal_heatmap(weights[:MAP_ROWS], columns, words[:MAP_ROWS], plain=True)
                + (f"\n... {len(words) - MAP_ROWS} more rows" if len(words) > MAP_ROWS else "")
            )
        text = "\n\n".join(shown)
        folder = Path(args.output_dir) / "samples"
        folder.mkdir(exist_ok=True)
        write_text(folder / f"step-{state.global_step:07d}.txt", text + "\n")
        tqdm.write(f"\nStep {state.global_step}: {text}\n")

    def _shows_attention(self) -> bool:
        """Whether there is attention, to words."""
        config: Any = self.trainer.unwrapped().config
        return config.attention_type != "none" and config.reads_tokens


def readable(tokens: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Tokens as the text they stand for, such as "vélo" for "ĠvÃ©lo"; or as they are, if they stand for none."""
    ids: Any = tokenizer.convert_tokens_to_ids(list(tokens))
    texts = [str(tokenizer.decode([token_id])) for token_id in ids]
    return [text.strip() or text or token for text, token in zip(texts, tokens)]


def printable(text: str) -> str:
    """Text without terminal control characters: an untrained byte-level model may produce anything."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
