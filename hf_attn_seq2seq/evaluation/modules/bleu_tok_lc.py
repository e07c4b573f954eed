# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The metric `bleu_tok_lc` as a module of the `evaluate` library."""

from hf_attn_seq2seq.evaluation.modules.base import TextMetric


class BleuTokLc(TextMetric):
    """BLEU on Moses-normalised, tokenised, lower-cased text; the configuration is the language, as in "fr"."""

    metric = "bleu_tok_lc"
