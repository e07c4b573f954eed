# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Trained models on the Hugging Face Hub."""

from hf_attn_seq2seq.sharing.push import Pushed, push, send
from hf_attn_seq2seq.sharing.stage import stage_model, stage_space


__all__ = ["Pushed", "push", "send", "stage_model", "stage_space"]
