# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Attention encoder-decoders as first-class Hugging Face models; importing registers them with the Auto classes."""

import importlib
import sys
from typing import TYPE_CHECKING, Any

from hf_attn_seq2seq._version import __version__
from hf_attn_seq2seq.importing import lazily


if TYPE_CHECKING:
    from hf_attn_seq2seq.cache_attn_seq2seq import AttnSeq2SeqCache
    from hf_attn_seq2seq.configuration_attn_seq2seq import PRESETS, AttnSeq2SeqConfig
    from hf_attn_seq2seq.decoding.loading import Translator, load
    from hf_attn_seq2seq.decoding.pipeline import pipeline
    from hf_attn_seq2seq.feature_extraction_attn_seq2seq import AttnSeq2SeqFeatureExtractor
    from hf_attn_seq2seq.image_processing_attn_seq2seq import AttnSeq2SeqImageProcessor
    from hf_attn_seq2seq.modeling_attn_seq2seq import (
        AttnSeq2SeqForConditionalGeneration,
        AttnSeq2SeqModel,
        AttnSeq2SeqPreTrainedModel,
        gather_beam_attentions,
    )
    from hf_attn_seq2seq.pipeline_attn_seq2seq import AttnTranslationPipeline
    from hf_attn_seq2seq.processing_attn_seq2seq import AttnSeq2SeqProcessor
    from hf_attn_seq2seq.tokenization_attn_seq2seq import AttnSeq2SeqTokenizer

_get, __dir__ = lazily(
    __name__,
    {
        "cache_attn_seq2seq": ["AttnSeq2SeqCache"],
        "configuration_attn_seq2seq": ["PRESETS", "AttnSeq2SeqConfig"],
        "decoding.loading": ["Translator", "load"],
        "decoding.pipeline": ["pipeline"],
        "feature_extraction_attn_seq2seq": ["AttnSeq2SeqFeatureExtractor"],
        "image_processing_attn_seq2seq": ["AttnSeq2SeqImageProcessor"],
        "modeling_attn_seq2seq": [
            "AttnSeq2SeqForConditionalGeneration",
            "AttnSeq2SeqModel",
            "AttnSeq2SeqPreTrainedModel",
            "gather_beam_attentions",
        ],
        "pipeline_attn_seq2seq": ["AttnTranslationPipeline"],
        "processing_attn_seq2seq": ["AttnSeq2SeqProcessor"],
        "tokenization_attn_seq2seq": ["AttnSeq2SeqTokenizer"],
    },
)


def __getattr__(name: str) -> Any:
    value = _get(name)
    importlib.import_module("hf_attn_seq2seq.registration")
    return value


# Our command registers them when it loads a model: until then it needs neither torch nor Transformers.
if not getattr(sys.modules.get("hf_attn_seq2seq_cli"), "is_running", False):
    importlib.import_module("hf_attn_seq2seq.registration")

__all__ = [
    "PRESETS",
    "AttnSeq2SeqCache",
    "AttnSeq2SeqConfig",
    "AttnSeq2SeqFeatureExtractor",
    "AttnSeq2SeqForConditionalGeneration",
    "AttnSeq2SeqImageProcessor",
    "AttnSeq2SeqModel",
    "AttnSeq2SeqPreTrainedModel",
    "AttnSeq2SeqProcessor",
    "AttnSeq2SeqTokenizer",
    "AttnTranslationPipeline",
    "Translator",
    "__version__",
    "gather_beam_attentions",
    "load",
    "pipeline",
]
