# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The metric `wer` as a module of the `evaluate` library."""

from hf_attn_seq2seq.evaluation.modules.base import TextMetric


class Wer(TextMetric):
    """WER of word-to-sound: percentage of words whose phones are not wholly those of any reference."""

    metric = "wer"
