# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Tiny models that hear and see, and what is there to hear and to see."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from hf_attn_seq2seq import AttnSeq2SeqFeatureExtractor, AttnSeq2SeqImageProcessor, AttnSeq2SeqProcessor
from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer
from tests.helpers import tiny_model


WORDS = ["rub out g m e f three nine", "a dog sees the old house"]
RATE = 16_000
TRANSFORMER = {
    "encoder_type": "transformer",
    "decoder_type": "transformer",
    "attention_type": "multi_head",
    "num_attention_heads": 2,
    "decoder_layers": 2,
}


def hearing_model(**fields: Any) -> tuple[Any, Any]:
    """A model that hears, and its processor."""
    return _model(
        {"frontend": "speech", "num_mel_bins": 20, "frontend_channels": [3, 4]},
        {"feature_extractor": AttnSeq2SeqFeatureExtractor(feature_size=20)},
        fields,
    )


def seeing_model(layout: str = "grid", **fields: Any) -> tuple[Any, Any]:
    """A model that sees, in colours and patches or in grey and columns, and its processor."""
    channels, width = (3, 24) if layout == "grid" else (1, None)
    sees = {"frontend": "image", "image_channels": channels, "image_height": 24, "image_layout": layout}
    part = AttnSeq2SeqImageProcessor(height=24, width=width, channels=channels)
    return _model({**sees, "frontend_channels": [3, 4]}, {"image_processor": part}, fields)


def _model(front: dict[str, Any], part: dict[str, Any], fields: dict[str, Any]) -> tuple[Any, Any]:
    tokenizer = train_tokenizer(WORDS, kind="word", vocab_size=50)
    attention = {"attention_type": "additive"}
    model = tiny_model(scale=0.4, **{"vocab_size": len(tokenizer), **front, **attention, **fields})
    model.generation_config.max_new_tokens = 5
    return model, AttnSeq2SeqProcessor(**part, tokenizer=tokenizer)


def tones(seconds: float = 1.5) -> np.ndarray:
    """A rising tone, on and off."""
    times = np.arange(round(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * (300 + 500 * times) * times) * (np.sin(6 * np.pi * times) > 0)).astype(np.float32)


def face() -> Image.Image:
    picture = Image.new("RGB", (24, 24), "white")
    pen = ImageDraw.Draw(picture)
    pen.ellipse((2, 2, 21, 21), fill="#fcea2b", outline="black")
    pen.rectangle((8, 9, 9, 11), fill="black")
    pen.rectangle((14, 9, 15, 11), fill="black")
    return picture


def writing() -> Image.Image:
    picture = Image.new("L", (160, 24), 255)
    ImageDraw.Draw(picture).text((4, 4), "three nine", fill=0, font_size=16)
    return picture


# What each kind of source is shown on: a model and something for it.
KINDS: dict[str, tuple[Any, Any]] = {
    "audio": (hearing_model, tones),
    "grid": (seeing_model, face),
    "columns": (lambda **fields: seeing_model("columns", **fields), writing),
}
