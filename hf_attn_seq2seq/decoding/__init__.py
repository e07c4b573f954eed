# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Running a trained model over text: translating it, and aligning it with given translations."""

from hf_attn_seq2seq.decoding.alignment import (
    AgreeingReadouts,
    Aligner,
    Alignment,
    PairAttention,
    Readout,
    ScoredReadout,
    SentenceAttention,
    agreeing_readouts,
    align,
    align_corpus,
    align_pairs,
    all_readouts,
    attend,
    attend_pairs,
    load_readout,
    save_readout,
    score_readouts,
)
from hf_attn_seq2seq.decoding.ensemble import Ensemble
from hf_attn_seq2seq.decoding.text import Translation, translate, translate_n_best


__all__ = [
    "AgreeingReadouts",
    "Aligner",
    "Alignment",
    "Ensemble",
    "PairAttention",
    "Readout",
    "ScoredReadout",
    "SentenceAttention",
    "Translation",
    "agreeing_readouts",
    "align",
    "align_corpus",
    "align_pairs",
    "all_readouts",
    "attend",
    "attend_pairs",
    "load_readout",
    "save_readout",
    "score_readouts",
    "translate",
    "translate_n_best",
]
