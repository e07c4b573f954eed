# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The metric `bleu` as a module of the `evaluate` library."""

from hf_attn_seq2seq.evaluation.modules.base import TextMetric


class Bleu(TextMetric):
    """BLEU (Papineni et al. 2002), cased, over sacreBLEU's 13a tokens."""

    metric = "bleu"
