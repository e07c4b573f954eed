# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Training on Transformers' Seq2SeqTrainer, the command for real corpora, and the built-in demonstration."""

from hf_attn_seq2seq.training.fit import FitSettings, encode_pairs, fit


__all__ = ["FitSettings", "encode_pairs", "fit"]
