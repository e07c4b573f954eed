# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Showing how a translation was made."""

from hf_attn_seq2seq.explain.heatmap import save_heatmap, terminal_heatmap


__all__ = ["save_heatmap", "terminal_heatmap"]
