# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What messages share: how they quote user input, at most 200 characters of it, and a check of layers."""

from typing import Any


QUOTED = 200  # characters


def shortened(text: str, limit: int = QUOTED) -> str:
    """The text, with its middle left out if it has more than `limit` characters."""
    if len(text) <= limit:
        return text
    head = limit // 2
    return f"{text[:head]} ... {text[head + len(' ... ') - limit :]}"


def quoted(value: Any) -> str:
    """A value as Python writes it, shortened."""
    # A long text is shortened first, because its representation may be several times as long.
    return shortened(repr(shortened(value, QUOTED - 2) if isinstance(value, str) else value))


def check_layer(layer: int, count: int) -> None:
    """Raise a ValueError where a decoder of `count` layers that attend has no such layer."""
    if not -count <= layer < count:
        raise ValueError(f"Layer {layer} does not exist: the decoder has {count} with attention, counted from 0.")
