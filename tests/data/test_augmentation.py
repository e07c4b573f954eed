# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""SpecAugment and small changes of pictures, against what their papers and plain loops say."""

import numpy as np
import pytest

from hf_attn_seq2seq.data.augmentation import (
    AugmentationSettings,
    SpecAugmentSettings,
    changed_picture,
    spec_augment,
    warped,
)


def runs(masked: np.ndarray) -> int:
    """How many runs of True there are."""
    return int(masked[0]) + int((masked[1:] & ~masked[:-1]).sum())


def test_masks_are_as_many_and_as_wide_as_was_said() -> None:
    settings = SpecAugmentSettings(frequency_masks=2, frequency_width=5, time_masks=3, time_width=8, time_share=0.1)
    random = np.random.default_rng(0)
    frames = random.normal(size=(60, 40)).astype(np.float16) + np.float16(9)  # none of which is 0
    seen_bands, seen_times = set(), set()
    for _ in range(200):
        changed = spec_augment(frames, settings, random)
        assert changed.shape == frames.shape
        assert changed.dtype == frames.dtype
        times, bands = (changed == 0).all(1), (changed == 0).all(0)
        untouched = ~times[:, None] & ~bands[None]
        np.testing.assert_array_equal(changed[untouched], frames[untouched])
        assert (changed[~untouched] == 0).all()
        assert runs(times) <= 3
        assert runs(bands) <= 2
        assert times.sum() <= 3 * 6  # a tenth of 60
        assert bands.sum() <= 2 * 5
        seen_times.add(int(times.sum()))
        seen_bands.add(int(bands.sum()))
    assert {0, 6} <= seen_times
    assert {0, 5, 10} <= seen_bands
    assert (frames != 0).all()  # what was given stays


def test_masks_fit_sounds_of_any_length() -> None:
    settings = SpecAugmentSettings(frequency_width=100, time_share=1.0, time_warp=3)
    for count in (1, 2, 5, 9):
        assert spec_augment(np.ones((count, 4)), settings, np.random.default_rng(1)).shape == (count, 4)


def test_warped_time_runs_forward_and_keeps_its_ends() -> None:
    count, most = 50, 8
    frames = np.arange(count, dtype=np.float64)[:, None]  # each frame tells its time
    moved = []
    for seed in range(50):
        times = warped(frames, most, np.random.default_rng(seed))[:, 0]
        assert times[0] == pytest.approx(0)
        assert times[-1] == pytest.approx(count - 1)
        assert (np.diff(times) > 0).all()
        slopes = np.diff(times)
        assert len(np.unique(slopes.round(6))) <= 3  # two pieces, and the step where they meet
        moved.append(np.abs(times - frames[:, 0]).max())
    assert 0 < max(moved) <= most
    assert len(set(moved)) > 5
    short = np.ones((2 * most, 3))
    assert warped(short, most, np.random.default_rng(0)) is short


def plainly_moved(
    pixels: np.ndarray, down: float, right: float, tall: float, wide: float, slant: float, width: int
) -> np.ndarray:
    """The affine map, pixel by pixel."""
    channels, height, before = pixels.shape
    result = np.zeros((channels, height, width), np.uint8)
    for i in range(height):
        for j in range(width):
            y, x = i - (height - 1) / 2, j - (width - 1) / 2
            row = min(max((y - down) / tall + (height - 1) / 2, 0), height - 1)
            column = min(max((x - right) / wide + slant * y + (before - 1) / 2, 0), before - 1)
            top, left = min(int(row), height - 2), min(int(column), before - 2)
            a, b = row - top, column - left
            for c in range(channels):
                four = pixels[c, top : top + 2, left : left + 2].astype(float)
                value = (1 - a) * ((1 - b) * four[0, 0] + b * four[0, 1]) + a * ((1 - b) * four[1, 0] + b * four[1, 1])
                result[c, i, j] = round(value)
    return result


@pytest.mark.parametrize("fixed", [True, False])
def test_a_moved_picture_is_the_affine_map_of_it(fixed: bool) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 13), dtype=np.uint8)
    settings = AugmentationSettings(shift=2, stretch=0.3, slant=0.4)
    widths = set()
    for seed in range(10):
        random = np.random.default_rng(seed)
        down, right = random.uniform(-2, 2, 2)
        tall, wide = 1 + random.uniform(-0.3, 0.3, 2)
        slant = random.uniform(-0.4, 0.4)
        width = 13 if fixed else round(13 * wide)
        changed = changed_picture(pixels, settings, np.random.default_rng(seed), fixed)
        expected = plainly_moved(pixels, down, right, tall, wide, slant, width)
        assert changed.dtype == np.uint8
        assert changed.shape == expected.shape
        assert np.abs(changed.astype(int) - expected).max() <= 1  # of single precision
        widths.add(changed.shape[2])
    assert len(widths) == 1 if fixed else len(widths) > 2


def test_contrast_and_brightness_are_about_the_mean() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 6, 9), dtype=np.uint8)
    for seed in range(10):
        random = np.random.default_rng(seed)
        factor, light = 1 + 0.5 * random.uniform(-1, 1), 255 * 0.2 * random.uniform(-1, 1)
        settings = AugmentationSettings(contrast=0.5, brightness=0.2)
        changed = changed_picture(pixels, settings, np.random.default_rng(seed))
        mean = pixels.mean()
        expected = np.clip(np.round((pixels - mean) * factor + mean + light), 0, 255)
        np.testing.assert_array_equal(changed, expected)
    nothing = AugmentationSettings()
    assert not nothing.changes_pictures
    np.testing.assert_array_equal(changed_picture(pixels, nothing, np.random.default_rng(0)), pixels)


@pytest.mark.parametrize("speed", [0.1, 3.0, 0.955])
def test_a_speed_that_is_none_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match=r"must be between 0\.5 and 2, in hundredths"):
        AugmentationSettings(speed_perturbation=speed)
