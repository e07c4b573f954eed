# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Importing this module makes our classes known to Transformers' Auto classes and pipelines."""

import functools
import importlib

from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoImageProcessor,
    AutoModel,
    AutoModelForImageTextToText,
    AutoModelForSeq2SeqLM,
    AutoModelForSpeechSeq2Seq,
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


_TRANSLATION = "hf_attn_seq2seq.pipeline_attn_seq2seq"
_MEDIA = "hf_attn_seq2seq.pipeline_media_attn_seq2seq"


def _register_translation() -> None:
    from transformers.pipelines import PIPELINE_REGISTRY

    from hf_attn_seq2seq.pipeline_attn_seq2seq import TASK, AttnTranslationPipeline

    PIPELINE_REGISTRY.register_pipeline(TASK, AttnTranslationPipeline, AutoModelForSeq2SeqLM, type="text")


def _register_media() -> None:
    from transformers.pipelines import PIPELINE_REGISTRY

    from hf_attn_seq2seq.pipeline_media_attn_seq2seq import PIPELINES

    tasks = PIPELINE_REGISTRY.supported_tasks
    for task, each in PIPELINES.items():
        # Ours also run all other models. They are not registered by the registry's own method, which would have those
        # models saved with our code.
        tasks[task] = {**tasks.get(task, tasks["image-text-to-text"]), "impl": each}


AutoConfig.register(AttnSeq2SeqConfig.model_type, AttnSeq2SeqConfig, exist_ok=True)
AutoModel.register(AttnSeq2SeqConfig, AttnSeq2SeqModel, exist_ok=True)
for _auto in (AutoModelForSeq2SeqLM, AutoModelForSpeechSeq2Seq, AutoModelForImageTextToText):
    _auto.register(AttnSeq2SeqConfig, AttnSeq2SeqForConditionalGeneration, exist_ok=True)
AutoTokenizer.register(AttnSeq2SeqConfig, AttnSeq2SeqTokenizer, exist_ok=True)
AutoFeatureExtractor.register(AttnSeq2SeqConfig, AttnSeq2SeqFeatureExtractor, exist_ok=True)
if is_vision_available():  # Pillow; without it, Transformers has no such class
    # For each backend, or Transformers warns where torchvision is installed; it resizes with Pillow in any case.
    _BACKENDS: dict[str, type] = dict.fromkeys(("pil", "torchvision"), AttnSeq2SeqImageProcessor)
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

# Transformers' pipelines take as long to import as all its models: the tasks wait until somebody uses them. Any of the
# modules may be the first, since ours import theirs.
for _module, _register in ((_TRANSLATION, _register_translation), (_MEDIA, _register_media)):
    after_import(_module, _register)
    after_import("transformers.pipelines", functools.partial(importlib.import_module, _module))
