# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The metric `chrf` as a module of the `evaluate` library."""

from hf_attn_seq2seq.evaluation.modules.base import TextMetric


class Chrf(TextMetric):
    """chrF (Popović 2015) over character 1- to 6-grams, as sacreBLEU has it."""

    metric = "chrf"
