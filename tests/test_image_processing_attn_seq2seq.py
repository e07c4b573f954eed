# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Pictures of every kind become the same pixels, of one height, padded with white that is masked."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoImageProcessor

from hf_attn_seq2seq import AttnSeq2SeqImageProcessor


Image = pytest.importorskip("PIL.Image")


def picture(width: int = 30, height: int = 20, seed: int = 0) -> Any:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def test_values_are_scaled_pixels() -> None:
    colours = AttnSeq2SeqImageProcessor(height=20, channels=3)
    found = colours(picture(), return_tensors="pt")
    assert set(found) == {"pixel_values", "pixel_mask"} == set(colours.model_input_names)
    expected = np.asarray(picture()).transpose(2, 0, 1)
    np.testing.assert_array_equal(colours.pixels(picture()), expected)
    np.testing.assert_allclose(found["pixel_values"][0], (expected / 255 - 0.5) / 0.5, atol=1e-6)
    assert found["pixel_values"].dtype == torch.float32
    assert found["pixel_mask"].shape == (1, 20, 30)
    grey = AttnSeq2SeqImageProcessor(height=20, image_mean=1.0, image_std=0.25)
    weighted = np.asarray(picture()) @ [0.299, 0.587, 0.114]  # ITU-R 601
    np.testing.assert_allclose(grey.pixels(picture())[0], weighted, atol=1)
    assert (grey.scale(np.full(3, 255, np.uint8)) == 0).all()
    torch.testing.assert_close(
        grey.scale(torch.tensor([0, 128], dtype=torch.uint8)),
        torch.from_numpy(grey.scale(np.array([0, 128], np.uint8))),
    )


def test_all_have_one_height_and_keep_their_proportions() -> None:
    processor = AttnSeq2SeqImageProcessor(height=10)
    assert processor.pixels(picture(60, 20)).shape == (1, 10, 30)
    assert processor.pixels(picture(7, 5)).shape == (1, 10, 14)
    assert processor.pixels(picture(2, 400)).shape == (1, 10, 1)
    stripes = Image.fromarray(np.tile(np.array([[0, 255]], np.uint8), (20, 10)))  # finer than what is left
    assert np.abs(processor.pixels(stripes)[..., 2:-2].astype(int) - 128).max() < 30


def test_a_batch_of_unlike_widths_is_padded_with_white_and_masked() -> None:
    processor = AttnSeq2SeqImageProcessor(height=20, channels=3)
    pictures = [picture(30), picture(12, seed=1)]
    found = processor(pictures, return_tensors="np")
    assert found["pixel_values"].shape == (2, 3, 20, 30)
    np.testing.assert_array_equal(found["pixel_mask"].sum((1, 2)), [600, 240])
    for row, mask, one in zip(found["pixel_values"], found["pixel_mask"], pictures):
        real = mask.all(0)
        np.testing.assert_array_equal(row[..., real], processor.scale(processor.pixels(one)))
        assert (row[..., ~real] == 1).all()


def test_a_given_width_is_filled_up_with_white() -> None:
    processor = AttnSeq2SeqImageProcessor(height=20, width=40)
    black = Image.new("L", (10, 10), 0)
    found = processor.pixels(black)
    assert found.shape == (1, 20, 40)
    assert (found[0, :, 10:30] == 0).all()
    assert (found[0, :, :10] == 255).all()
    assert (found[0, :, 30:] == 255).all()
    wide = processor.pixels(Image.new("L", (100, 10), 0))[0]
    np.testing.assert_array_equal(wide.max(1) == 0, [8 <= row < 12 for row in range(20)])
    assert processor([black, picture()])["pixel_mask"].all()


def png(image: Any) -> bytes:
    image.save(buffer := io.BytesIO(), "PNG")
    return buffer.getvalue()


KINDS = {
    "bytes": png,
    "height, width, channels": np.asarray,
    "channels, height, width": lambda image: torch.from_numpy(np.array(image).transpose(2, 0, 1)),
    "fractions": lambda image: np.asarray(image) / np.float32(255),
    "with an opaque layer": lambda image: image.convert("RGBA"),
    "batch of one": lambda image: np.asarray(image)[None],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_kind_of_input(tmp_path: Path, kind: str, channels: int) -> None:
    processor = AttnSeq2SeqImageProcessor(height=16, channels=channels)
    expected = processor(picture())["pixel_values"]
    np.testing.assert_array_equal(processor(KINDS[kind](picture()))["pixel_values"], expected)
    picture().save(path := tmp_path / "a.png")
    for given in (path, str(path), [path], processor.fetch_images([str(path)])):
        np.testing.assert_array_equal(processor(given)["pixel_values"], expected)


def test_a_transparent_picture_lies_on_white_and_a_turned_one_is_upright() -> None:
    processor = AttnSeq2SeqImageProcessor(height=8)
    assert (processor.pixels(Image.new("RGBA", (8, 8), (0, 0, 0, 0))) == 255).all()
    turned = Image.new("L", (8, 4))
    turned.getexif()[274] = 6
    assert processor.pixels(turned).shape == (1, 8, 4)


def test_what_cannot_be_used_is_refused() -> None:
    processor = AttnSeq2SeqImageProcessor(height=48, max_width=500)
    for given, words in (
        ([], "no picture"),
        (picture(300, 20), "at most 500 are taken"),
        (np.zeros((5, 6, 7)), "give \\(height, width\\)"),
        (np.array(["a"]), "give \\(height, width\\)"),
        (np.full((5, 6), 300), "outside 0 to 255"),
        (np.full((5, 6), np.nan), "outside 0 to 1"),
        (np.zeros((0, 6)), "outside 0 to 1"),
        (Image.fromarray(np.zeros((8, 8), np.float32)), "^The picture has floating-point"),
        (Image.new("L", (1, 1)), "^The picture is 1 x 1 pixels"),
        (np.zeros((1, 30), np.uint8), "^The picture is 30 x 1 pixels"),
        ("missing.png", "does not exist"),
    ):
        with pytest.raises(ValueError, match=words) as refused:
            processor(given)
        assert refused.type is ValueError
    for fields, words in (
        ({"channels": 2}, "channels is 2"),
        ({"height": 0}, "height is 0"),
        ({"width": -1}, "width"),
    ):
        with pytest.raises(ValueError, match=words):
            AttnSeq2SeqImageProcessor(**fields)


def test_a_saved_processor_is_the_same(tmp_path: Path) -> None:
    processor = AttnSeq2SeqImageProcessor(height=24, width=50, channels=3, image_std=0.2)
    processor.save_pretrained(tmp_path)
    for cls in (AttnSeq2SeqImageProcessor, AutoImageProcessor):
        again = cls.from_pretrained(tmp_path)
        assert type(again) is AttnSeq2SeqImageProcessor
        np.testing.assert_array_equal(again(picture())["pixel_values"], processor(picture())["pixel_values"])
