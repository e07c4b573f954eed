# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The metric `ter` as a module of the `evaluate` library."""

from hf_attn_seq2seq.evaluation.modules.base import TextMetric


class Ter(TextMetric):
    """TER (Snover et al. 2006) as sacreBLEU has it: edits and shifts, in percent of the reference's words."""

    metric = "ter"
