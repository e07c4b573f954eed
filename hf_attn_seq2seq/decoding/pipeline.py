# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The translation pipeline of a model that is named."""

from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hf_attn_seq2seq.decoding.loading import DEFAULT_MODEL, HUB_OPTIONS, NO_CODE, load, read_tokenizer
from hf_attn_seq2seq.pipeline_attn_seq2seq import AttnTranslationPipeline


def pipeline(
    task: str = "translation",
    model: str | Path | PreTrainedModel | None = None,
    tokenizer: str | Path | PreTrainedTokenizerBase | None = None,
    *,
    device: Any = None,
    dtype: str = "auto",
    **options: Any,
) -> AttnTranslationPipeline:
    """
    A translator like `transformers.pipeline("translation")` of version 4, for any encoder-decoder.

    ```python
    translator = pipeline("translation", model="outputs/demo")
    translator("The cat is on the mat.")  # [{"translation_text": "Le chat est sur le tapis."}]
    ```

    Args:
        task: As [`AttnTranslationPipeline`] takes it.
        model: The model, or its name as [`load`] takes it; None: the model that comes with this package.
        tokenizer: The model's, or where it is; None: where the model is.
        device: As [`transformers.Pipeline`] takes it; None: a GPU where there is one.
        dtype: As [`load`] takes it.
        **options: As [`AttnTranslationPipeline`] takes them, and for names on the Hub those that [`load`] takes.

    Raises:
        ValueError: There is no such model, it is no encoder-decoder, or its tokenizer is missing.
    """
    if device == -1:  # what Transformers takes for a CPU, or for where the model is
        device = "cpu"
    hub = {**NO_CODE, **{name: options.pop(name) for name in HUB_OPTIONS if name in options}}
    found: Any = model
    if model is None or isinstance(model, str | Path):
        place = None if device is None or isinstance(device, int) else str(device)
        found, tokenizer = load(model or DEFAULT_MODEL, place, dtype, tokenizer, **hub)
        device = found.device if device is None else device  # an exported model stays on the CPU
    elif not hasattr(model, "generate"):
        raise ValueError(f"What is given as model is of type {type(model).__name__}: give a model, or its name.")
    elif isinstance(tokenizer, str | Path):
        tokenizer = read_tokenizer(str(tokenizer), hub)
    return AttnTranslationPipeline(found, tokenizer, task=task, device=device, **options)
