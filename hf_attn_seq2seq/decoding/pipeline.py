# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""`pipeline`: text from text, from sounds or from pictures, by a model or its name."""

from pathlib import Path
from typing import Any

import torch
from transformers import Pipeline, PreTrainedModel, PreTrainedTokenizerBase

from hf_attn_seq2seq.decoding.engines import Engine, graph_refused
from hf_attn_seq2seq.decoding.folders import check_reads
from hf_attn_seq2seq.decoding.loaded import quick_engine
from hf_attn_seq2seq.decoding.loading import (
    HUB_OPTIONS,
    NO_CODE,
    check_processor,
    load,
    load_recognizer,
    read_tokenizer,
)
from hf_attn_seq2seq.decoding.names import DEFAULT_MODEL, packaged_models
from hf_attn_seq2seq.modality import TEXT, modality_of
from hf_attn_seq2seq.pipeline_attn_seq2seq import DIRECTION, RETURN_NAMES, AttnTranslationPipeline
from hf_attn_seq2seq.pipeline_media_attn_seq2seq import PIPELINES
from hf_attn_seq2seq.processing_attn_seq2seq import AttnSeq2SeqProcessor


def pipeline(
    task: str = "translation",
    model: str | Path | PreTrainedModel | None = None,
    tokenizer: str | Path | PreTrainedTokenizerBase | None = None,
    *,
    device: Any = None,
    dtype: str = "auto",
    engine: str = "auto",
    processor: AttnSeq2SeqProcessor | None = None,
    **options: Any,
) -> Any:
    """
    A pipeline like those of Transformers 4 for any encoder-decoder: `translation`, `translation_xx_to_yy`,
    `summarization` and `text2text-generation`; and for models of this package that hear or see.

    ```python
    translator = pipeline("translation", model="outputs/demo")
    translator("The cat is on the mat.")  # [{"translation_text": "Le chat est sur le tapis."}]
    summarizer = pipeline("summarization", model="outputs/debian-summaries", num_beams=5)
    summarizer("This package provides ...")  # [{"summary_text": "..."}]
    pipeline("automatic-speech-recognition", model="outputs/an4-speech")("speech.flac")  # {"text": "..."}
    pipeline("image-to-text", model="outputs/fraktur-lines")("line.png")  # [{"generated_text": "..."}]
    ```

    Args:
        task: As for [`AttnTranslationPipeline`]; or "automatic-speech-recognition", "image-to-text" or
            "image-text-to-text", as for [`AttnSpeechRecognitionPipeline`] and [`AttnImageToTextPipeline`].
        model: The model, or its name as for [`load`]; None: the included one, which translates from English to French;
            for `translation_xx_to_yy`, that of the direction.
        tokenizer: The model's tokenizer, or its folder or name; None: that of the model.
        device: As for [`transformers.Pipeline`]; None: a GPU if available.
        dtype: As for [`load`].
        engine: What translates: "torch" is `model.generate`; "graph" the ONNX graph of a saved model, on the CPU;
            "auto" the graph where it gives the same translations, for a model that is given by its name. A model that
            is changed afterwards is run by `generate`.
        processor: Of a model that hears or sees and is not given by its name.
        **options: Options of the pipeline, and for names on the Hub also those of [`load`].

    Raises:
        ValueError: The model does not exist, is not an encoder-decoder, has no tokenizer or processor, or reads
            something else; none is given for a task or direction
            that no included model has; the processor does not fit the model.
    """
    hears_or_sees = task in PIPELINES
    if model is None:
        model = _included(task)
    if device == -1:  # which Transformers takes for the CPU, or for the model's device
        device = "cpu"
    hub = {**NO_CODE, **{name: options.pop(name) for name in HUB_OPTIONS if name in options}}
    found: Any = model
    searching: Engine | None = None
    if isinstance(model, str | Path):
        place = None if device is None or isinstance(device, int) else str(device)
        if hears_or_sees:
            found, processor = load_recognizer(model, place, dtype, hub)
        else:
            found, tokenizer = load(model, place, dtype, tokenizer, **hub)
            check_reads(str(model), found.config, TEXT)
        device = found.device if device is None else device  # an exported model stays on the CPU
        if torch.device(device).type == "cpu":
            searching = quick_engine(found, engine, hub)
        elif engine == "graph":
            raise graph_refused(f"on the device '{device}'")
    elif not hasattr(model, "generate"):
        raise ValueError(f"model is of type {type(model).__name__}: give a model, or its folder or name.")
    elif engine == "graph":
        raise ValueError("The graph is that of a saved model: give its folder or name.")
    elif isinstance(tokenizer, str | Path):
        tokenizer = read_tokenizer(str(tokenizer), hub)
    if not hears_or_sees:
        reader: Any = tokenizer
        return AttnTranslationPipeline(found, reader, task=task, device=device, engine=searching, **options)
    if processor is None:
        raise ValueError("The processor is missing: give the model's as processor=...")
    if modality_of(found.config) != TEXT and isinstance(processor, AttnSeq2SeqProcessor):
        check_processor(processor, found.config)
    return _media_pipeline(task, found, processor, device=device, engine=searching, **options)


def _included(task: str) -> str:
    """The name of the included model for a task; raises ValueError if there is none."""
    direction = DIRECTION.fullmatch(str(task))
    name = DEFAULT_MODEL if direction is None else "-".join(direction.groups())
    translates = task not in PIPELINES and RETURN_NAMES.get(task, "translation") == "translation"
    if not translates or name not in packaged_models():
        raise ValueError(f"No included model is for '{task}': give one as model=, or its folder or name.")
    return name


def _media_pipeline(task: str, model: Any, processor: AttnSeq2SeqProcessor, **options: Any) -> Pipeline:
    parts: dict[str, Any] = {"tokenizer": processor.tokenizer}
    if task == "automatic-speech-recognition":
        parts["feature_extractor"] = getattr(processor, "feature_extractor", None)
    else:
        parts = {"processor": processor}
    return PIPELINES[task](model, task=task, **parts, **options)
