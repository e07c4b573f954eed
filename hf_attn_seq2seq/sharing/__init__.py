# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Trained models on the Hugging Face Hub."""

from typing import TYPE_CHECKING

from hf_attn_seq2seq.importing import lazily


if TYPE_CHECKING:
    from hf_attn_seq2seq.sharing.stage import stage_model, stage_space, stage_static_space
    from hf_attn_seq2seq.sharing.upload import Pushed, push, send

__getattr__, __dir__ = lazily(
    __name__,
    {
        "sharing.stage": ["stage_model", "stage_space", "stage_static_space"],
        "sharing.upload": ["Pushed", "push", "send"],
    },
)

__all__ = ["Pushed", "push", "send", "stage_model", "stage_space", "stage_static_space"]
