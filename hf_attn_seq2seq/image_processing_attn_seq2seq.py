# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The image processor of `attn_seq2seq` models that see: pictures of one height, padded with white.

Training, pipelines and commands all use this class. It resizes with Pillow, so that pixels are the same everywhere.
"""

import os
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from transformers import BaseImageProcessor, BatchFeature

from .media import plain_image, read_image
from .messages import shortened


WHITE = 255
BICUBIC = 3  # Pillow's

_Pixels = TypeVar("_Pixels", np.ndarray, torch.Tensor)


class AttnSeq2SeqImageProcessor(BaseImageProcessor):
    """
    Turns pictures into pixel values.

    ```python
    processor = AttnSeq2SeqImageProcessor(height=48, channels=1)
    processor([picture, "another.png"], return_tensors="pt")  # pixel_values, pixel_mask
    ```

    Args:
        height: Of all pictures, in pixels.
        width: Of all pictures, which keep their proportions, on a white ground; None: as the height has it.
        channels: 1 for grey, 3 for colours.
        image_mean, image_std: A value v from 0 to 255 becomes `(v / 255 - mean) / std`.
        max_width: A picture that would become wider is refused.
        resample: Pillow's number of the filter.

    Raises:
        ValueError: A size does not fit.
    """

    model_input_names = ["pixel_values", "pixel_mask"]

    def __init__(
        self,
        height: int = 48,
        width: int | None = None,
        channels: int = 1,
        image_mean: float = 0.5,
        image_std: float = 0.5,
        max_width: int = 8192,
        resample: int = BICUBIC,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if channels not in (1, 3):
            raise ValueError(f"channels is {channels}: it must be 1 (grey) or 3 (colours).")
        for name, value in (("height", height), ("width", width), ("image_std", image_std), ("max_width", max_width)):
            if value is not None and value <= 0:
                raise ValueError(f"{name} is {value}: it must be positive.")
        self.height, self.width, self.channels = height, width, channels
        self.image_mean, self.image_std = image_mean, image_std
        self.max_width, self.resample = max_width, resample

    def pixels(self, image: Any, name: str | None = None) -> np.ndarray:
        """
        One picture at the size of this processor.

        Args:
            image: A picture of Pillow, or what `as_picture` takes.
            name: What messages call it; None: the path of a file.

        Returns:
            uint8, of shape `(channels, height, width)`; white where there is none.

        Raises:
            ValueError: It is no picture, or too wide.
        """
        from PIL import Image

        picture = as_picture(image).convert("L" if self.channels == 1 else "RGB")
        scale = self.height / picture.height
        if self.width is not None:
            scale = min(scale, self.width / picture.width)
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        if size[0] > self.max_width:
            if name is None and isinstance(image, str | os.PathLike):
                name = shortened(os.fspath(image))
            of = "" if name is None else f"{name}: "
            raise ValueError(
                f"{of}A picture of {picture.width} x {picture.height} pixels would be {size[0]:,} wide at the "
                f"height {self.height}: at most {self.max_width:,} are taken; cut it."
            )
        if size != picture.size:
            picture = picture.resize(size, Image.Resampling(self.resample))
        if self.width is not None and size != (self.width, self.height):
            ground = Image.new(picture.mode, (self.width, self.height), "white")
            ground.paste(picture, ((self.width - size[0]) // 2, (self.height - size[1]) // 2))
            picture = ground
        array = np.asarray(picture)
        return np.ascontiguousarray(array[None] if array.ndim == 2 else array.transpose(2, 0, 1))

    def scale(self, pixels: _Pixels) -> _Pixels:
        """Pixels from 0 to 255 as float32 for the model, of the same shape."""
        floats: Any = pixels.astype(np.float32) if isinstance(pixels, np.ndarray) else pixels.float()
        return (floats / WHITE - self.image_mean) / self.image_std

    def __call__(self, images: Any, *args: Any, **kwargs: Any) -> BatchFeature:  # type: ignore[override]
        return self.preprocess(images, *args, **kwargs)

    def preprocess(self, images: Any, return_tensors: str | None = None, **kwargs: Any) -> BatchFeature:  # type: ignore[override]
        """
        Pictures, padded with white on the right to the widest.

        Args:
            images: A picture or a list of pictures: of Pillow, an array or tensor, a path; an array of shape
                `(batch, height, width, channels)` is a list.
            return_tensors: "pt", "np" or None.

        Returns:
            `pixel_values` of shape `(batch, channels, height, width)`, and `pixel_mask` of `(batch, height, width)`, 1
            on real pixels.

        Raises:
            ValueError: A picture or a file cannot be used.
        """
        many = list(images) if isinstance(images, list | tuple) or getattr(images, "ndim", 0) == 4 else [images]
        if not many:
            raise ValueError("There is no picture: give at least one.")
        return self.batch([self.pixels(image) for image in many], return_tensors)

    def batch(self, pictures: Sequence[np.ndarray], return_tensors: str | None = None) -> BatchFeature:
        """What the model takes of the results of `pixels`: as `preprocess` returns it."""
        values, mask = pad_pixels(pictures)
        return BatchFeature({"pixel_values": self.scale(values), "pixel_mask": mask}, tensor_type=return_tensors)

    def fetch_images(self, image_url_or_urls: Any) -> Any:
        """Files as pictures, and everything else as it is."""
        if isinstance(image_url_or_urls, list | tuple):
            return [self.fetch_images(image) for image in image_url_or_urls]
        is_file = isinstance(image_url_or_urls, str | os.PathLike | bytes)
        return read_image(image_url_or_urls) if is_file else image_url_or_urls


def pad_pixels(pictures: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """
    Pictures of one height as a batch, with white on the right.

    Args:
        pictures: uint8, each of shape `(channels, height, width)`.

    Returns:
        uint8 of shape `(batch, channels, height, widest)`; int64 of shape `(batch, height, widest)`, 1 on real pixels.
    """
    channels, height, _ = pictures[0].shape
    widest = max(picture.shape[-1] for picture in pictures)
    values = np.full((len(pictures), channels, height, widest), WHITE, np.uint8)
    mask = np.zeros((len(pictures), height, widest), np.int64)
    for row, picture in enumerate(pictures):
        values[row, ..., : picture.shape[-1]] = picture
        mask[row, :, : picture.shape[-1]] = 1
    return values, mask


def as_picture(image: Any) -> Any:
    """
    A picture of Pillow, upright, of mode "L" or "RGB".

    Args:
        image: A picture of Pillow; a path or a file's content; an array or tensor of shape `(height, width)`,
            `(height, width, channels)` or `(channels, height, width)`, whose values are whole numbers from 0 to 255,
            or fractions from 0 to 1.

    Raises:
        ValueError: It is none of these.
    """
    if isinstance(image, str | os.PathLike | bytes):
        return read_image(image)
    if hasattr(image, "convert"):
        if not hasattr(image, "has_transparency_data"):
            raise ValueError("Pictures of this Pillow cannot be read: install Pillow 10.1 or later.")
        return plain_image(image)
    from PIL import Image

    array = image.detach().cpu().numpy() if isinstance(image, torch.Tensor) else np.asarray(image)
    if array.ndim == 3 and array.shape[-1] not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        array = array.transpose(1, 2, 0)
    if array.dtype.kind not in "iufb" or not (array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in (1, 3, 4))):
        raise ValueError(
            f"A picture is an array of shape {array.shape} and type {array.dtype}: give (height, width), or that with "
            "1, 3 or 4 channels."
        )
    highest = 1 if array.dtype.kind in "fb" else WHITE
    if not array.size or not (array.min() >= 0 and array.max() <= highest):
        raise ValueError(f"A picture has values outside 0 to {highest}: give whole numbers to 255, or fractions to 1.")
    array = np.round(array.astype(np.float64) * (WHITE / highest)).astype(np.uint8)
    return plain_image(Image.fromarray(array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array))


__all__ = ["AttnSeq2SeqImageProcessor"]
