# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""One progress bar for a training run, with the newest losses beside it instead of a line for each log."""

from typing import Any

from transformers import TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ProgressCallback


class TrainingBar(ProgressCallback):
    """Transformers' bar, which keeps its place: logs become its postfix."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: dict[str, str] = {}

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if self.training_bar is None:
            return
        names = {"loss": "loss", "eval_loss": "validation loss", "learning_rate": "lr"}
        self.shown.update({names[key]: f"{float(value):.3g}" for key, value in (logs or {}).items() if key in names})
        self.training_bar.set_postfix(self.shown)
