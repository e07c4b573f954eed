# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Attention encoder-decoders as first-class Hugging Face models; importing registers them with the Auto classes."""

import importlib
from typing import Any

from transformers import AutoConfig, AutoModel, AutoModelForSeq2SeqLM, AutoTokenizer
from transformers.pipelines import PIPELINE_REGISTRY

from ._version import __version__
from .cache_attn_seq2seq import AttnSeq2SeqCache
from .configuration_attn_seq2seq import PRESETS, AttnSeq2SeqConfig
from .modeling_attn_seq2seq import (
    AttnSeq2SeqForConditionalGeneration,
    AttnSeq2SeqModel,
    AttnSeq2SeqPreTrainedModel,
    gather_beam_attentions,
)
from .pipeline_attn_seq2seq import TASK, AttnTranslationPipeline
from .tokenization_attn_seq2seq import AttnSeq2SeqTokenizer


AutoConfig.register(AttnSeq2SeqConfig.model_type, AttnSeq2SeqConfig, exist_ok=True)
AutoModel.register(AttnSeq2SeqConfig, AttnSeq2SeqModel, exist_ok=True)
AutoModelForSeq2SeqLM.register(AttnSeq2SeqConfig, AttnSeq2SeqForConditionalGeneration, exist_ok=True)
AutoTokenizer.register(AttnSeq2SeqConfig, AttnSeq2SeqTokenizer, exist_ok=True)
PIPELINE_REGISTRY.register_pipeline(TASK, AttnTranslationPipeline, AutoModelForSeq2SeqLM, type="text")

# A saved model carries its code, so that it also loads where this package is not installed.
AttnSeq2SeqConfig.register_for_auto_class()
AttnSeq2SeqModel.register_for_auto_class("AutoModel")
AttnSeq2SeqForConditionalGeneration.register_for_auto_class("AutoModelForSeq2SeqLM")

# What only some need is imported when it is asked for.
_LAZY = {"Translator": "decoding.loading", "load": "decoding.loading", "pipeline": "decoding.pipeline"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})


__all__ = [
    "PRESETS",
    "AttnSeq2SeqCache",
    "AttnSeq2SeqConfig",
    "AttnSeq2SeqForConditionalGeneration",
    "AttnSeq2SeqModel",
    "AttnSeq2SeqPreTrainedModel",
    "AttnSeq2SeqTokenizer",
    "AttnTranslationPipeline",
    "Translator",
    "__version__",
    "gather_beam_attentions",
    "load",
    "pipeline",
]
