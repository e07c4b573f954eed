# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Exports PyTorch models to ONNX Runtime; `hf_attn_seq2seq.decoding.exported` runs them."""

from typing import TYPE_CHECKING

from hf_attn_seq2seq.importing import lazily


if TYPE_CHECKING:
    from hf_attn_seq2seq.decoding.exported import ExportedModel
    from hf_attn_seq2seq.decoding.loading import load_exported
    from hf_attn_seq2seq.export.writer import export

__getattr__, __dir__ = lazily(
    __name__,
    {
        "decoding.exported": ["ExportedModel"],
        "decoding.loading": ["load_exported"],
        "export.writer": ["export"],
    },
)

__all__ = ["ExportedModel", "export", "load_exported"]
