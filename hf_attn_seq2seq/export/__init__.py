# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Models for ONNX Runtime: written from PyTorch, and run by Transformers' own `generate()`."""

from hf_attn_seq2seq.export.runtime import ExportedModel, load_exported
from hf_attn_seq2seq.export.writer import export


__all__ = ["ExportedModel", "export", "load_exported"]
