# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Exports PyTorch models for ONNX Runtime, where `hf_attn_seq2seq.decoding` runs them, and for CTranslate2."""

from typing import TYPE_CHECKING

from hf_attn_seq2seq.importing import lazily


if TYPE_CHECKING:
    from hf_attn_seq2seq.decoding.exported import ExportedModel
    from hf_attn_seq2seq.decoding.loading import load_exported
    from hf_attn_seq2seq.export.ctranslate2 import export_ctranslate2
    from hf_attn_seq2seq.export.writer import export

__getattr__, __dir__ = lazily(
    __name__,
    {
        "decoding.exported": ["ExportedModel"],
        "decoding.loading": ["load_exported"],
        "export.ctranslate2": ["export_ctranslate2"],
        "export.writer": ["export"],
    },
)

__all__ = ["ExportedModel", "export", "export_ctranslate2", "load_exported"]
