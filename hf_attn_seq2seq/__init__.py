# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Attention encoder-decoders as first-class Hugging Face models; importing registers them with the Auto classes."""

from transformers import AutoConfig, AutoModel, AutoModelForSeq2SeqLM, AutoTokenizer

from ._version import __version__
from .cache_attn_seq2seq import AttnSeq2SeqCache
from .configuration_attn_seq2seq import PRESETS, AttnSeq2SeqConfig
from .modeling_attn_seq2seq import (
    AttnSeq2SeqForConditionalGeneration,
    AttnSeq2SeqModel,
    AttnSeq2SeqPreTrainedModel,
    gather_beam_attentions,
)
from .tokenization_attn_seq2seq import AttnSeq2SeqTokenizer


AutoConfig.register(AttnSeq2SeqConfig.model_type, AttnSeq2SeqConfig, exist_ok=True)
AutoModel.register(AttnSeq2SeqConfig, AttnSeq2SeqModel, exist_ok=True)
AutoModelForSeq2SeqLM.register(AttnSeq2SeqConfig, AttnSeq2SeqForConditionalGeneration, exist_ok=True)
AutoTokenizer.register(AttnSeq2SeqConfig, AttnSeq2SeqTokenizer, exist_ok=True)

# A saved model carries its code, so that it also loads where this package is not installed.
AttnSeq2SeqConfig.register_for_auto_class()
AttnSeq2SeqModel.register_for_auto_class("AutoModel")
AttnSeq2SeqForConditionalGeneration.register_for_auto_class("AutoModelForSeq2SeqLM")

__all__ = [
    "PRESETS",
    "AttnSeq2SeqCache",
    "AttnSeq2SeqConfig",
    "AttnSeq2SeqForConditionalGeneration",
    "AttnSeq2SeqModel",
    "AttnSeq2SeqPreTrainedModel",
    "AttnSeq2SeqTokenizer",
    "__version__",
    "gather_beam_attentions",
]
