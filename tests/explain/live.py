# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Tiny models in folders, for the tests of the live page."""

from pathlib import Path
from typing import Any

from tests.helpers import tiny_model


def save(folder: Path, tokenizer: Any, **fields: Any) -> Any:
    target = getattr(tokenizer, "target", tokenizer)
    sizes = {"vocab_size": len(tokenizer), "decoder_vocab_size": len(target)}
    if len(target) != len(tokenizer):
        sizes |= {"share_encoder_decoder_embeddings": False}
    model = tiny_model(scale=0.4, **sizes, **fields)
    model.generation_config.max_new_tokens = 6
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model
