# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Loading the processor of a model that hears or sees."""

from pathlib import Path
from typing import Any

from hf_attn_seq2seq.decoding.names import resolve
from hf_attn_seq2seq.decoding.safety import NO_CODE
from hf_attn_seq2seq.messages import shortened
from hf_attn_seq2seq.processing_attn_seq2seq import AttnSeq2SeqProcessor


def load_processor(name: str | Path) -> Any:
    """
    The processor of a model that hears or sees, from its folder or the Hub.

    Raises:
        ValueError: It is missing or damaged.
    """
    try:
        processor = AttnSeq2SeqProcessor.from_pretrained(resolve(str(name)), **NO_CODE)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"'{shortened(str(name))}' has no processor that can be read: save it beside the model, with "
            f"processor.save_pretrained ({str(error).splitlines()[0] if str(error) else type(error).__name__})."
        ) from None
    if not isinstance(processor, AttnSeq2SeqProcessor):
        raise ValueError(
            f"'{shortened(str(name))}' has no preprocessor_config.json: save its processor beside the model, with "
            "processor.save_pretrained."
        )
    return processor
