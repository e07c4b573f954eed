# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The metric `per` as a module of the `evaluate` library."""

from hf_attn_seq2seq.evaluation.modules.base import TextMetric


class Per(TextMetric):
    """PER of word-to-sound: edits to the nearest reference, in percent of that reference's phones."""

    metric = "per"
