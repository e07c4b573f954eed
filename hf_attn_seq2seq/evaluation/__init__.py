# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Measuring translations (`metrics`) and word alignments (`alignment`)."""

from hf_attn_seq2seq.evaluation.alignment import (
    AlignmentScores,
    alignment_error_rate,
    attention_matrix,
    attention_to_links,
    from_pharaoh,
    to_pharaoh,
)
from hf_attn_seq2seq.evaluation.metrics import CorpusScores, corpus_scores


__all__ = [
    "AlignmentScores",
    "CorpusScores",
    "alignment_error_rate",
    "attention_matrix",
    "attention_to_links",
    "corpus_scores",
    "from_pharaoh",
    "to_pharaoh",
]
