# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Measuring translations (`metrics`) and word alignments (`alignment`)."""

from hf_attn_seq2seq.data.links import SYMMETRISATIONS, from_pharaoh, symmetrise, to_pharaoh, turned
from hf_attn_seq2seq.decoding.word_attention import (
    WordAttention,
    attention_matrix,
    attention_to_links,
    word_attention,
)
from hf_attn_seq2seq.evaluation.alignment import (
    AlignmentScores,
    ScoredReadout,
    alignment_error_rate,
    score_readouts,
)
from hf_attn_seq2seq.evaluation.gold import GoldLinks, GoldPair, gold_from_pharaoh, read_gold, read_gold_links
from hf_attn_seq2seq.evaluation.metrics import METRICS, Score, score_corpus


__all__ = [
    "AlignmentScores",
    "GoldLinks",
    "GoldPair",
    "METRICS",
    "SYMMETRISATIONS",
    "Score",
    "ScoredReadout",
    "WordAttention",
    "alignment_error_rate",
    "attention_matrix",
    "attention_to_links",
    "from_pharaoh",
    "gold_from_pharaoh",
    "read_gold",
    "read_gold_links",
    "score_corpus",
    "score_readouts",
    "symmetrise",
    "to_pharaoh",
    "turned",
    "word_attention",
]
