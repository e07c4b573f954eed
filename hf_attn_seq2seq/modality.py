# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
What models read: text, sounds or pictures, and which of these each front end reads.

Models, graphs, exports, commands, cards and pushes read it here, some of them without PyTorch: this file imports none.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple


class Modality(NamedTuple):
    """What is said, in one place, of all models that read the same."""

    name: str  # as Transformers calls it
    reads: str  # what the models read, for a sentence
    unit: str  # of which a source needs at least one, for a sentence
    input_name: str  # of the model's argument, and in a batch
    mask_name: str
    mask_axes: tuple[int, ...]  # those of the source that its mask has
    auto_class: str  # of Transformers, which loads such models
    task: str  # on the Hub
    pipelines: tuple[str, ...]  # tasks of Transformers' pipelines, whose classes are in `PIPELINES`
    file: str  # an example, for cards

    def mask_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of the mask of sources of such a shape."""
        return tuple(size for axis, size in enumerate(shape) if axis in self.mask_axes)


TEXT = Modality(
    name="text",
    reads="text",
    unit="token, such as the end token",
    input_name="input_ids",
    mask_name="attention_mask",
    mask_axes=(0, 1),
    auto_class="AutoModelForSeq2SeqLM",
    task="translation",
    pipelines=(),
    file="",
)
AUDIO = Modality(
    name="audio",
    reads="speech",
    unit="frame",
    input_name="input_features",
    mask_name="attention_mask",
    mask_axes=(0, 1),
    auto_class="AutoModelForSpeechSeq2Seq",
    task="automatic-speech-recognition",
    pipelines=("automatic-speech-recognition",),
    file="speech.flac",
)
IMAGE = Modality(
    name="image",
    reads="pictures",
    unit="pixel",
    input_name="pixel_values",
    mask_name="pixel_mask",
    mask_axes=(0, 2, 3),
    auto_class="AutoModelForImageTextToText",
    task="image-to-text",
    pipelines=("image-text-to-text", "image-to-text"),
    file="picture.png",
)
MODALITIES = (TEXT, AUDIO, IMAGE)
# By the configuration's `frontend`, whose class is in `FRONTENDS`.
FRONTEND_TYPES: dict[str, Modality] = {
    "tokens": TEXT,
    "speech": AUDIO,
    "image": IMAGE,
}


def modality_of(config: Any) -> Modality:
    """What a model of this configuration reads: text, if it is of another package and names no front end."""
    return FRONTEND_TYPES[getattr(config, "frontend", "tokens")]


__all__ = ["AUDIO", "FRONTEND_TYPES", "IMAGE", "MODALITIES", "TEXT", "Modality", "modality_of"]
