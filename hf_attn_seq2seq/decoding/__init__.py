# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Running a trained model on text: translation, and word alignment of given translations."""

from typing import TYPE_CHECKING

from hf_attn_seq2seq.importing import lazily


if TYPE_CHECKING:
    from hf_attn_seq2seq.decoding.alignment import (
        AgreeingReadouts,
        SentenceAttention,
        agreeing_readouts,
        align,
        align_corpus,
        align_pairs,
        all_readouts,
        attend,
        attend_pairs,
    )
    from hf_attn_seq2seq.decoding.ensemble import Ensemble
    from hf_attn_seq2seq.decoding.loading import load_readout
    from hf_attn_seq2seq.decoding.readout import Aligner, Alignment, PairAttention, Readout, readout_of, save_readout
    from hf_attn_seq2seq.decoding.text import Translation, translate, translate_n_best

__getattr__, __dir__ = lazily(
    __name__,
    {
        "decoding.alignment": [
            "AgreeingReadouts",
            "SentenceAttention",
            "agreeing_readouts",
            "align",
            "align_corpus",
            "align_pairs",
            "all_readouts",
            "attend",
            "attend_pairs",
        ],
        "decoding.ensemble": ["Ensemble"],
        "decoding.loading": ["load_readout"],
        "decoding.readout": ["Aligner", "Alignment", "PairAttention", "Readout", "readout_of", "save_readout"],
        "decoding.text": ["Translation", "translate", "translate_n_best"],
    },
)

__all__ = [
    "AgreeingReadouts",
    "Aligner",
    "Alignment",
    "Ensemble",
    "PairAttention",
    "Readout",
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
    "readout_of",
    "save_readout",
    "translate",
    "translate_n_best",
]
