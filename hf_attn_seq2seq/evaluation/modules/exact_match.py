# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The metric `exact_match` as a module of the `evaluate` library."""

from hf_attn_seq2seq.evaluation.modules.base import TextMetric


class ExactMatch(TextMetric):
    """Percentage of texts that equal a reference, but for the white space around them."""

    metric = "exact_match"
