# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What a model hears or sees of each file, computed once and kept on disk: frames of sound, columns of pictures.

A file of features is a table of numbers, memory-mapped: a row is a frame of `mel_bins` numbers, or a column of pixels
of all channels. Each pair knows where its rows begin and how many they are, in each version of its sound.
"""

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field, model_validator
from xxhash import xxh3_64

from hf_attn_seq2seq.data.readers import BadRow, LeftOut, Row
from hf_attn_seq2seq.data.settings import SourceKind
from hf_attn_seq2seq.media import read_audio, read_image
from hf_attn_seq2seq.resampling import resample
from hf_attn_seq2seq.settings import Settings


_CHUNK = 1 << 20  # bytes
_TOGETHER = 64  # files that several processes work on at a time


class FeatureSettings(Settings):
    """What the model hears of a sound, or sees of a picture."""

    sampling_rate: int = Field(16_000, ge=1000, le=192_000, description="sound: samples per second, after resampling")
    mel_bins: int = Field(80, ge=1, le=1000, description="sound: numbers per frame of 10 ms, on the mel scale")
    min_seconds: float = Field(0.1, ge=0, description="sound: shorter files are bad rows")
    max_seconds: float = Field(30.0, gt=0, description="sound: longer files are bad rows")
    height: int = Field(48, ge=1, le=4096, description="pictures: their height in pixels, after resizing")
    width: int | None = Field(
        None,
        ge=1,
        le=16_384,
        description="pictures: their width, if all have the same; null: as wide as the height makes them",
    )
    channels: int = Field(3, description="pictures: 3 for colours, 1 for grey")
    max_width: int = Field(4096, ge=1, le=16_384, description="pictures: wider ones, after resizing, are bad rows")

    @model_validator(mode="after")
    def _check(self) -> "FeatureSettings":
        if self.channels not in (1, 3):
            raise ValueError(f"channels is {self.channels}: pictures have 1 channel (grey) or 3 (colours).")
        if self.min_seconds >= self.max_seconds:
            raise ValueError(
                f"min_seconds is {self.min_seconds:g}: it must be below max_seconds, {self.max_seconds:g}."
            )
        return self

    def of_kind(self, kind: SourceKind) -> dict[str, Any]:
        """The settings that count for sources of this kind."""
        sound = ("sampling_rate", "mel_bins", "min_seconds", "max_seconds")
        picture = ("height", "width", "channels", "max_width")
        return self.model_dump(mode="json", include=set({"audio": sound, "image": picture}.get(kind, ())))


class Features(NamedTuple):
    """What was found in a file."""

    versions: list[np.ndarray]  # (rows, numbers) each; of a sound one for each speed, its own first
    content_hash: int
    seconds: float | None = None  # of a sound
    width: int | None = None  # of a picture as it was, in pixels
    height: int | None = None


class MediaRow(NamedTuple):
    """A row of a corpus whose source is a file; `rows` says where its features are in their file."""

    source: str
    target: str
    line: int
    references: list[str] | None
    group: str | None
    content_hash: int
    starts: list[int]
    lengths: list[int]
    seconds: float | None
    width: int | None
    height: int | None
    file: Path | None  # None: the content was in the table


class FeatureReader:
    """
    Reads files as a model hears or sees them.

    Args:
        kind: "audio" or "image".
        settings: The section `features` of a recipe.
        speeds: Further versions of each sound, such as 0.9: played at that speed, which changes its pitch too (Ko et
            al. 2015, "Audio Augmentation for Speech Recognition").
    """

    def __init__(self, kind: SourceKind, settings: FeatureSettings, speeds: Sequence[float] = ()) -> None:
        self.kind, self.settings = kind, settings
        self.speeds = [1.0, *(speed for speed in speeds if speed != 1.0)]

    @cached_property
    def processor(self) -> Any:
        """The feature extractor or the image processor, which a trained model is saved with."""
        return media_processor(self.kind, self.settings)

    @property
    def row_size(self) -> int:
        """The numbers in a frame, or in a column of pixels."""
        settings = self.settings
        return settings.mel_bins if self.kind == "audio" else settings.height * settings.channels

    def read(self, source: Path | bytes, name: str, versions: bool = True) -> Features | str:
        """The features of a file, or of its content, called `name`; or a sentence that says what is wrong with it."""
        try:
            if self.kind == "audio":
                return self._heard(source, name, self.speeds if versions else self.speeds[:1])
            return self._seen(source, name)
        except ValueError as error:
            return str(error)

    def _heard(self, source: Path | bytes, name: str, speeds: Sequence[float]) -> Features:
        settings = self.settings
        waveform, rate = read_audio(source, max_seconds=settings.max_seconds, min_seconds=0.0, name=name)
        seconds = len(waveform) / rate
        if seconds < settings.min_seconds:
            raise ValueError(
                f"{name} is {seconds:.3f} seconds long, and features.min_seconds is {settings.min_seconds:g}."
            )
        waveform = resample(waveform, rate, settings.sampling_rate)
        played = [resample(waveform, round(100 * speed), 100) for speed in speeds]
        versions = [self.processor.extract(wave) for wave in played]
        return Features(versions, content_hash(source), seconds=seconds)

    def _seen(self, source: Path | bytes, name: str) -> Features:
        image = read_image(source, name=name)
        pixels = self.processor.pixels(image, name)
        return Features([as_rows(pixels)], content_hash(source), width=image.width, height=image.height)


def media_processor(kind: SourceKind, settings: FeatureSettings) -> Any:
    """The feature extractor or the image processor of these settings."""
    if kind == "audio":
        from hf_attn_seq2seq.feature_extraction_attn_seq2seq import AttnSeq2SeqFeatureExtractor

        return AttnSeq2SeqFeatureExtractor(feature_size=settings.mel_bins, sampling_rate=settings.sampling_rate)
    from hf_attn_seq2seq.image_processing_attn_seq2seq import AttnSeq2SeqImageProcessor

    sizes = settings.model_dump(include={"height", "width", "channels", "max_width"})
    return AttnSeq2SeqImageProcessor(**sizes)


def as_rows(pixels: np.ndarray) -> np.ndarray:
    """A picture `(channels, height, width)` as rows `(width, channels * height)`, one a column of pixels."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1).reshape(pixels.shape[2], -1))


def as_picture(rows: np.ndarray, channels: int) -> np.ndarray:
    """The picture `(channels, height, width)` of which these are the rows."""
    return rows.reshape(len(rows), channels, -1).transpose(1, 2, 0)


def content_hash(source: Path | bytes) -> int:
    """A 64-bit hash of a file's content."""
    digest = xxh3_64()
    if isinstance(source, bytes):
        digest.update(source)
    else:
        with source.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    return digest.intdigest()


class FeatureWriter:
    """Appends features to a file; in a context, which closes it."""

    def __init__(self, path: Path, dtype: str, row_size: int) -> None:
        self.path, self.dtype, self.row_size = path, dtype, row_size

    def __enter__(self) -> "FeatureWriter":
        self.file = self.path.open("ab")
        self.rows = self.file.tell() // (self.row_size * np.dtype(self.dtype).itemsize)
        return self

    def __exit__(self, *exception: object) -> None:
        self.file.close()

    def add(self, version: np.ndarray) -> int:
        """Writes the rows of one version `(rows, numbers)`; returns the number of rows before it."""
        start = self.rows
        self.file.write(np.ascontiguousarray(version, dtype=self.dtype).tobytes())
        self.rows += len(version)
        return start


class FeatureFile:
    """Features that a `FeatureWriter` wrote, memory-mapped."""

    def __init__(self, path: Path, dtype: str, row_size: int) -> None:
        try:
            self.table = np.memmap(path, dtype=dtype, mode="r").reshape(-1, row_size)
        except (OSError, ValueError):
            raise ValueError(
                f"The features in {path} are missing or damaged: remove the folder {path.parent.parent}, and run "
                "preprocess again."
            ) from None

    def rows(self, start: int, length: int) -> np.ndarray:
        """`(length, numbers)`, a view of the file."""
        return self.table[start : start + length]


def media_rows(
    rows: Iterator[Row | BadRow | LeftOut],
    reader: FeatureReader,
    writer: FeatureWriter,
    base: Path,
    shown_from: Path,
    versions: bool,
    processes: int = 1,
) -> Iterator[MediaRow | BadRow | LeftOut]:
    """
    The rows of a table with the features of their files, which are written on the way; bad files are bad rows.

    Args:
        base: The folder that relative names refer to.
        shown_from: The folder that the names in the result are relative to, where they lie in it.
        versions: Whether to write all versions of a sound, or only its own.
        processes: How many work at a time.
    """
    pool: AbstractContextManager[Any] = ProcessPoolExecutor(processes) if processes > 1 else nullcontext()
    with pool as workers:
        while chunk := list(itertools.islice(rows, _TOGETHER)):
            asked = [row for row in chunk if isinstance(row, Row) and row.source and row.target]
            sources = [base / row.source if row.content is None else row.content for row in asked]
            names = [row.source for row in asked]
            work = (reader.read, sources, names, itertools.repeat(versions))
            found = iter(workers.map(*work) if workers is not None else map(*work))
            for row in chunk:
                if isinstance(row, BadRow | LeftOut):
                    yield row
                    continue
                if not row.source or not row.target:
                    features: Features | str = Features([], 0)  # dropped as a pair with an empty side
                else:
                    features = next(found)
                if isinstance(features, str):
                    yield BadRow(row.line, features, base / row.source if row.content is None else None)
                    continue
                name = row.source
                if row.content is None and name and (base / name).is_relative_to(shown_from):
                    name = (base / name).relative_to(shown_from).as_posix()
                yield MediaRow(
                    name,
                    row.target,
                    row.line,
                    row.references,
                    row.group,
                    features.content_hash,
                    [writer.add(version) for version in features.versions],
                    [len(version) for version in features.versions],
                    features.seconds,
                    features.width,
                    features.height,
                    base / row.source if row.content is None and row.source else None,
                )
