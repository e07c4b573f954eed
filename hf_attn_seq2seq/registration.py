# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Importing this module makes our classes known to Transformers' Auto classes, and its pipelines' task."""

import importlib

from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoImageProcessor,
    AutoModel,
    AutoModelForSeq2SeqLM,
    AutoProcessor,
    AutoTokenizer,
)
from transformers.utils import is_vision_available

from hf_attn_seq2seq.configuration_attn_seq2seq import AttnSeq2SeqConfig
from hf_attn_seq2seq.feature_extraction_attn_seq2seq import AttnSeq2SeqFeatureExtractor
from hf_attn_seq2seq.image_processing_attn_seq2seq import AttnSeq2SeqImageProcessor
from hf_attn_seq2seq.importing import after_import
from hf_attn_seq2seq.modeling_attn_seq2seq import AttnSeq2SeqForConditionalGeneration, AttnSeq2SeqModel
from hf_attn_seq2seq.processing_attn_seq2seq import AttnSeq2SeqProcessor
from hf_attn_seq2seq.tokenization_attn_seq2seq import AttnSeq2SeqTokenizer


_PIPELINE = "hf_attn_seq2seq.pipeline_attn_seq2seq"


def _register_pipeline() -> None:
    from transformers.pipelines import PIPELINE_REGISTRY

    from hf_attn_seq2seq.pipeline_attn_seq2seq import TASK, AttnTranslationPipeline

    PIPELINE_REGISTRY.register_pipeline(TASK, AttnTranslationPipeline, AutoModelForSeq2SeqLM, type="text")


AutoConfig.register(AttnSeq2SeqConfig.model_type, AttnSeq2SeqConfig, exist_ok=True)
AutoModel.register(AttnSeq2SeqConfig, AttnSeq2SeqModel, exist_ok=True)
AutoModelForSeq2SeqLM.register(AttnSeq2SeqConfig, AttnSeq2SeqForConditionalGeneration, exist_ok=True)
AutoTokenizer.register(AttnSeq2SeqConfig, AttnSeq2SeqTokenizer, exist_ok=True)
AutoFeatureExtractor.register(AttnSeq2SeqConfig, AttnSeq2SeqFeatureExtractor, exist_ok=True)
if is_vision_available():  # Pillow; without it, Transformers has no such class
    # For each backend, or Transformers warns where torchvision is installed; it resizes with Pillow in any case.
    _BACKENDS = dict.fromkeys(("pil", "torchvision"), AttnSeq2SeqImageProcessor)
    AutoImageProcessor.register(AttnSeq2SeqConfig, image_processor_classes=_BACKENDS, exist_ok=True)
AutoProcessor.register(AttnSeq2SeqConfig, AttnSeq2SeqProcessor, exist_ok=True)

# A saved model carries its code, so that it also loads where this package is not installed.
AttnSeq2SeqConfig.register_for_auto_class()
AttnSeq2SeqModel.register_for_auto_class("AutoModel")
AttnSeq2SeqForConditionalGeneration.register_for_auto_class("AutoModelForSeq2SeqLM")
AttnSeq2SeqFeatureExtractor.register_for_auto_class()
if is_vision_available():
    AttnSeq2SeqImageProcessor.register_for_auto_class()
AttnSeq2SeqProcessor.register_for_auto_class()

# Transformers' pipelines take as long to import as all its models: the task waits until somebody uses them. Either
# module may be the first, since ours imports theirs.
after_import(_PIPELINE, _register_pipeline)
after_import("transformers.pipelines", lambda: importlib.import_module(_PIPELINE))
