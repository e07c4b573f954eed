# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Importing this module makes our classes known to Transformers' Auto classes, and its pipelines' task."""

import importlib

from transformers import AutoConfig, AutoModel, AutoModelForSeq2SeqLM, AutoTokenizer

from hf_attn_seq2seq.configuration_attn_seq2seq import AttnSeq2SeqConfig
from hf_attn_seq2seq.importing import after_import
from hf_attn_seq2seq.modeling_attn_seq2seq import AttnSeq2SeqForConditionalGeneration, AttnSeq2SeqModel
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

# A saved model carries its code, so that it also loads where this package is not installed.
AttnSeq2SeqConfig.register_for_auto_class()
AttnSeq2SeqModel.register_for_auto_class("AutoModel")
AttnSeq2SeqForConditionalGeneration.register_for_auto_class("AutoModelForSeq2SeqLM")

# Transformers' pipelines take as long to import as all its models: the task waits until somebody uses them. Either
# module may be the first, since ours imports theirs.
after_import(_PIPELINE, _register_pipeline)
after_import("transformers.pipelines", lambda: importlib.import_module(_PIPELINE))
