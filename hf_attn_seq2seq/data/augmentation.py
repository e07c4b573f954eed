# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Sounds and pictures that are a little different each time a model learns from them."""

from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field, field_validator

from hf_attn_seq2seq.data.settings import SourceKind
from hf_attn_seq2seq.settings import Settings, as_list


class SpecAugmentSettings(Settings):
    """SpecAugment: time is warped, and bands of frequencies and stretches of time are masked (Park et al. 2019)."""

    frequency_masks: int = Field(2, ge=0, le=100, description="how many bands of frequencies are masked (m_F)")
    frequency_width: int = Field(27, ge=1, le=1000, description="a band's largest width, in mel bins (F)")
    time_masks: int = Field(2, ge=0, le=100, description="how many stretches of time are masked (m_T)")
    time_width: int = Field(100, ge=1, le=100_000, description="a stretch's largest length, in frames of 10 ms (T)")
    time_share: float = Field(0.2, gt=0, le=1, description="a stretch's largest share of the sound (p)")
    time_warp: int = Field(0, ge=0, le=100_000, description="frames by which a point in time is moved at most (W)")


class AugmentationSettings(Settings):
    """How training sounds and pictures are changed, anew in each epoch."""

    speed_perturbation: Annotated[list[float], BeforeValidator(as_list)] = Field(
        [],
        description="sound: speeds to play it at, one of which is drawn each time; usually [0.9, 1.0, 1.1] (Ko et al. "
        "2015)",
    )
    spec_augment: SpecAugmentSettings | None = Field(None, description="sound: SpecAugment (Park et al. 2019)")
    shift: int = Field(0, ge=0, le=1000, description="pictures: pixels by which they are moved at most, each way")
    stretch: float = Field(0.0, ge=0, lt=0.9, description="pictures: share by which width and height change at most")
    slant: float = Field(
        0.0, ge=0, lt=1, description="pictures: pixels sideways per pixel of height, at most, as in italics"
    )
    contrast: float = Field(0.0, ge=0, le=1, description="pictures: share by which contrast changes at most")
    brightness: float = Field(
        0.0, ge=0, le=1, description="pictures: share of the range by which brightness changes at most"
    )

    @field_validator("speed_perturbation")
    @classmethod
    def _possible(cls, speeds: list[float]) -> list[float]:
        for speed in speeds:
            if not 0.5 <= speed <= 2 or abs(100 * speed - round(100 * speed)) > 1e-9:
                raise ValueError(f"the speed {speed:g} must be between 0.5 and 2, in hundredths, such as 0.9.")
        return speeds

    def of_kind(self, kind: SourceKind) -> dict[str, Any]:
        """The settings that count for sources of this kind."""
        sound = {"speed_perturbation", "spec_augment"}
        names = {"audio": sound, "image": set(type(self).model_fields) - sound}
        return self.model_dump(mode="json", include=names.get(kind, set()))

    @property
    def changes_pictures(self) -> bool:
        return any((self.shift, self.stretch, self.slant, self.contrast, self.brightness))


def spec_augment(frames: np.ndarray, settings: SpecAugmentSettings, random: np.random.Generator) -> np.ndarray:
    """
    Frames `(frames, mel_bins)`, of mean 0, changed as the settings say; the masked parts are 0 (Park et al. 2019,
    section 2).
    """
    if settings.time_warp:
        frames = warped(frames, settings.time_warp, random)
    frames = frames.copy()
    count, bins = frames.shape
    for _ in range(settings.frequency_masks):
        width = int(random.integers(0, min(settings.frequency_width, bins) + 1))
        start = int(random.integers(0, bins - width + 1))
        frames[:, start : start + width] = 0
    longest = min(settings.time_width, int(settings.time_share * count))
    for _ in range(settings.time_masks):
        length = int(random.integers(0, longest + 1))
        start = int(random.integers(0, count - length + 1))
        frames[start : start + length] = 0
    return frames


def warped(frames: np.ndarray, most: int, random: np.random.Generator) -> np.ndarray:
    """
    A point in time, at least `most` frames from both ends, is moved by at most `most` frames; those between are
    interpolated linearly.
    """
    count = len(frames)
    if count <= 2 * most + 1:
        return frames
    center = int(random.integers(most, count - most))
    place = center + int(random.integers(-most, most + 1))
    place = min(max(place, 1), count - 2)
    times = np.interp(np.arange(count), (0, place, count - 1), (0, center, count - 1))
    before = np.minimum(times.astype(int), count - 2)
    share = (times - before)[:, None].astype(frames.dtype)
    return frames[before] * (1 - share) + frames[before + 1] * share


def changed_picture(
    pixels: np.ndarray, settings: AugmentationSettings, random: np.random.Generator, fixed: bool = False
) -> np.ndarray:
    """
    A picture `(channels, height, width)`, uint8, changed as the settings say; what comes in from outside is as its
    edge. It keeps its height, and stretched it is wider or narrower.

    Args:
        fixed: Whether it keeps its width too, as where all pictures have the same.
    """
    if settings.shift or settings.stretch or settings.slant:
        pixels = _moved(pixels, settings, random, fixed)
    if not (settings.contrast or settings.brightness):
        return pixels
    factor = 1 + settings.contrast * random.uniform(-1, 1)
    light = 255 * settings.brightness * random.uniform(-1, 1)
    middle = pixels.mean()
    levels = np.arange(256, dtype=np.float64)  # all there are
    return np.clip(np.round((levels - middle) * factor + middle + light), 0, 255).astype(np.uint8)[pixels]


def _moved(pixels: np.ndarray, settings: AugmentationSettings, random: np.random.Generator, fixed: bool) -> np.ndarray:
    """The picture under an affine map, interpolated between the four nearest pixels."""
    _, height, width = pixels.shape
    down, right = random.uniform(-settings.shift, settings.shift, 2)
    tall, wide = 1 + random.uniform(-settings.stretch, settings.stretch, 2)
    slant = random.uniform(-settings.slant, settings.slant)
    y = np.arange(height, dtype=np.float32) - (height - 1) / 2
    count = width if fixed else max(1, round(width * wide))
    x = np.arange(count, dtype=np.float32) - (count - 1) / 2
    rows = np.clip((y - down) / tall + (height - 1) / 2, 0, height - 1)
    columns = np.clip((x[None] - right) / wide + slant * y[:, None] + (width - 1) / 2, 0, width - 1)  # height x count
    top, left = np.minimum(rows.astype(int), max(height - 2, 0)), np.minimum(columns.astype(int), max(width - 2, 0))
    below, beside = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    down_share, side_share = (rows - top)[:, None], columns - left
    values = pixels.astype(np.float32)
    upper = values[:, top[:, None], left] * (1 - side_share) + values[:, top[:, None], beside] * side_share
    lower = values[:, below[:, None], left] * (1 - side_share) + values[:, below[:, None], beside] * side_share
    return np.round(upper * (1 - down_share) + lower * down_share).astype(np.uint8)
