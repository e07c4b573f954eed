# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Exports PyTorch models to ONNX Runtime; `hf_attn_seq2seq.decoding.exported` runs them."""

from hf_attn_seq2seq.decoding.exported import ExportedModel
from hf_attn_seq2seq.decoding.loading import load_exported
from hf_attn_seq2seq.export.writer import export


__all__ = ["ExportedModel", "export", "load_exported"]
