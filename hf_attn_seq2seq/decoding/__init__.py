# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Running a trained model over text: translating it, and aligning it with given translations."""

from hf_attn_seq2seq.decoding.text import SentenceAttention, align, attend, translate


__all__ = ["SentenceAttention", "align", "attend", "translate"]
