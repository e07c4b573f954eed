# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Showing how a translation was made."""

from typing import TYPE_CHECKING

from hf_attn_seq2seq.importing import lazily


if TYPE_CHECKING:
    from hf_attn_seq2seq.decoding.heatmap import save_heatmap, terminal_heatmap
    from hf_attn_seq2seq.explain.checks import Check, Verification
    from hf_attn_seq2seq.explain.document import Trace
    from hf_attn_seq2seq.explain.tracing import trace

__getattr__, __dir__ = lazily(
    __name__,
    {
        "decoding.heatmap": ["save_heatmap", "terminal_heatmap"],
        "explain.document": ["Trace"],
        "explain.tracing": ["trace"],
        "explain.checks": ["Check", "Verification"],
    },
)

__all__ = ["Check", "Trace", "Verification", "save_heatmap", "terminal_heatmap", "trace"]
