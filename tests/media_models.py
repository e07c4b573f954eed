# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Tiny models that hear or see, with their processors, and files for them."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hf_attn_seq2seq import (
    AttnSeq2SeqConfig,
    AttnSeq2SeqFeatureExtractor,
    AttnSeq2SeqForConditionalGeneration,
    AttnSeq2SeqImageProcessor,
    AttnSeq2SeqProcessor,
)
from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer
from hf_attn_seq2seq.modality import AUDIO, FRONTEND_TYPES
from tests.helpers import scrambled


class MediaModel(NamedTuple):
    model: AttnSeq2SeqForConditionalGeneration
    processor: AttnSeq2SeqProcessor

    def save(self, folder: Path) -> Path:
        self.model.save_pretrained(folder)
        self.processor.save_pretrained(folder)
        return folder

    def plainly(self, media: Any, **options: Any) -> list[str]:
        """What the model writes, by the processor and `generate()` alone."""
        inputs = self.processor(**{"audio" if self.processor.hears else "images": media}, return_tensors="pt")
        ids = self.model.generate(**inputs, **options)
        return self.processor.batch_decode(ids, skip_special_tokens=True)


def media_model(frontend: str, scale: float = 1.0, **fields: Any) -> MediaModel:
    """`frontend` is one of sounds or of pictures; `scale` as for `scrambled`."""
    tokenizer = train_tokenizer(["one two three four five six seven"], kind="word", vocab_size=40)
    sizes = {"vocab_size": len(tokenizer), "hidden_size": 16, "encoder_type": "gru", "decoder_type": "gru"}
    if FRONTEND_TYPES[frontend] == AUDIO:
        processor = AttnSeq2SeqProcessor(AttnSeq2SeqFeatureExtractor(20), tokenizer=tokenizer)
        fields = {"num_mel_bins": 20, "ctc_weight": 0.3, **fields}
    else:
        processor = AttnSeq2SeqProcessor(image_processor=AttnSeq2SeqImageProcessor(16), tokenizer=tokenizer)
        fields = {"image_height": 16, "image_channels": 1, "image_layout": "columns", **fields}
    model = AttnSeq2SeqForConditionalGeneration(AttnSeq2SeqConfig(frontend=frontend, **sizes, **fields))
    scrambled(model, scale=scale)
    model.generation_config.max_new_tokens = 9
    return MediaModel(model.eval(), processor)


def sound_files(folder: Path) -> list[Path]:
    """Of three rates, kinds and lengths; one has two channels."""
    import soundfile

    paths = []
    for number, (name, rate, channels) in enumerate((("a.wav", 16000, 1), ("b.flac", 22050, 2), ("c.ogg", 44100, 1))):
        drawn = np.random.default_rng(number)
        times = np.arange(int(rate * (0.3 + 0.1 * number)))[:, None] / rate
        wave = np.sin(times * drawn.uniform(500, 9000, (1, channels)) * (1 + times)) * drawn.uniform(0.1, 0.4)
        soundfile.write(folder / name, wave, rate)
        paths.append(folder / name)
    return paths


def picture_files(folder: Path) -> list[Path]:
    """Of three sizes and kinds."""
    from PIL import Image

    paths = []
    for number, name in enumerate(("a.png", "b.jpg", "c.gif")):
        size = (16 + 9 * number, 40 - 7 * number, 3)
        pixels = np.random.default_rng(number).integers(0, 256, size, np.uint8)
        Image.fromarray(pixels).save(folder / name)
        paths.append(folder / name)
    return paths
