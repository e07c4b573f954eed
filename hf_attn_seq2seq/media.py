# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Sounds and pictures of files, opened by what they hold, whatever their names say.

What cannot be used raises a ValueError: one sentence that begins with the file's name.
"""

import io
import os
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from .messages import shortened
from .resampling import HIGHEST_RATE, LOWEST_RATE, resample


if TYPE_CHECKING:
    from PIL.Image import Image

SILENCE = 2e-4  # from the lowest to the highest sample, where full scale is 2: -80 dB; features would amplify it
MAX_SECONDS = 600.0
MIN_SECONDS = 0.1  # of a file: in less, no word can be heard
MAX_SIDE = 16_384  # pixels
MAX_PIXELS = 1 << 26
MIN_SIDE = 2
# Those that Pillow reads by itself: it would start another program for PostScript.
IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000")

_NO_PILLOW = "Pictures need Pillow: run pip install 'hf_attn_seq2seq[image]'."
_BLOCK = 1 << 20  # samples that are read at once
_LENGTH_UNKNOWN = {0, 0xFFFFFFFF}  # of a WAV file that was written to a pipe
_OGG_HEADER = 27  # bytes of a page's, before its table of segments
_OGG_PAGE = 1 << 16  # bytes: none is longer
_KINDS = {"sound": "a WAV, FLAC, Ogg or MP3 file", "picture": "a PNG, JPEG, WebP, GIF, BMP or TIFF file"}


class Audio(NamedTuple):
    waveform: np.ndarray  # float32, (samples,): one channel
    sampling_rate: int


def read_audio(
    source: str | os.PathLike[str] | bytes,
    *,
    max_seconds: float | None = MAX_SECONDS,
    min_seconds: float = MIN_SECONDS,
    name: str | None = None,
) -> Audio:
    """
    The sound of a file: WAV, FLAC, Ogg, MP3 and what else libsndfile reads, of any rate and depth, as one channel.

    Args:
        source: A path, or a file's content.
        max_seconds: What is longer is refused before it is read; None: nothing is.
        min_seconds: What is shorter is refused.
        name: What messages call the file; None: its path.

    Raises:
        ValueError: There is no such file, or it is empty, cut, too long, too short, no sound, or silent.
        ImportError: soundfile is not installed.
    """
    try:
        import soundfile
    except ImportError as error:
        raise ImportError("Sound needs soundfile: run pip install 'hf_attn_seq2seq[speech]'.") from error
    name, file, size = _opened(source, name, "sound")
    with file:
        start = file.read(12)
        file.seek(0)
        try:
            sound = soundfile.SoundFile(file)
        except (soundfile.LibsndfileError, TypeError) as error:
            raise ValueError(_not_a(name, "sound", start, size)) from error
        with sound:
            rate, frames = sound.samplerate, sound.frames
            if not LOWEST_RATE <= rate <= HIGHEST_RATE:
                raise ValueError(
                    f"{name} has {rate} samples per second: {LOWEST_RATE} to {HIGHEST_RATE} are possible."
                )
            refuse_long(name, frames / rate, max_seconds)
            try:
                blocks = list(_blocks(sound))
            except soundfile.LibsndfileError as error:
                raise ValueError(_cut(name, "sound")) from error
            waveform = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
            kind = sound.format
        short = len(waveform) < frames and (kind == "FLAC" or (kind == "MP3" and _counts_frames(file)))
        if short or _is_cut(file, start, size):
            raise ValueError(_cut(name, "sound"))
    check_waveform(waveform, name)
    seconds = len(waveform) / rate
    if seconds < min_seconds:
        raise ValueError(f"{name} is {seconds:.3f} seconds long: at least {min_seconds:g} are needed; record more.")
    return Audio(waveform, rate)


def _blocks(sound: Any) -> Iterator[np.ndarray]:
    """Parts of a sound, its channels averaged; not by its `blocks`, which of a cut MP3 give memory as it was."""
    while len(block := sound.read(_BLOCK, dtype="float32", always_2d=True)):
        yield block.mean(1)


def check_waveform(waveform: np.ndarray, name: str) -> None:
    """Raise a ValueError for a waveform in which nothing can be heard."""
    if not len(waveform):
        raise ValueError(f"{name} has no samples: it is a sound of length zero.")
    if not np.isfinite(waveform).all():
        raise ValueError(f"{name} has samples that are not numbers: save it again, as 16-bit WAV or FLAC.")
    if float(waveform.max()) - float(waveform.min()) <= SILENCE:
        raise ValueError(
            f"{name} is silent: its samples differ by no more than noise does, so there is nothing to hear."
        )


def read_image(
    source: str | os.PathLike[str] | bytes, *, max_pixels: int = MAX_PIXELS, name: str | None = None
) -> "Image":
    """
    The picture of a file: PNG, JPEG and what else is in `IMAGE_FORMATS`, upright, on white where it is transparent.

    Args:
        source: A path, or a file's content.
        max_pixels: What is larger, or has a side of over `MAX_SIDE` pixels, is refused before it is decoded.
        name: What messages call the file; None: its path.

    Returns:
        Of mode "L" if it is grey, else "RGB": 8 bits per channel.

    Raises:
        ValueError: There is no such file, or it is empty, cut, too large, too small, or no picture.
        ImportError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(_NO_PILLOW) from error
    name, file, size = _opened(source, name, "picture")
    with file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow, about what is told here by a sentence
        start = file.read(12)
        file.seek(0)
        try:
            image: Any = Image.open(file, formats=IMAGE_FORMATS)
        except Image.DecompressionBombError as error:
            raise ValueError(f"{name} is too large a picture: at most {max_pixels:,} pixels are read.") from error
        except Exception as error:  # plugins raise many kinds
            raise ValueError(_not_a(name, "picture", start, size)) from error
        width, height = image.size
        _refuse_small(name, width, height)
        if max(width, height) > MAX_SIDE or width * height > max_pixels:
            raise ValueError(
                f"{name} is {width} x {height} pixels: at most {max_pixels:,}, and {MAX_SIDE:,} on a side, are read."
            )
        try:
            image.load()
            return _plain(image)
        except Exception as error:
            if isinstance(error, _WrongPixels):
                raise ValueError(f"{name} {error}") from error
            raise ValueError(_cut(name, "picture")) from error


class _WrongPixels(ValueError):
    """The rest of a sentence that begins with a picture's name."""


def plain_image(image: "Image", name: str = "The picture") -> "Image":
    """A picture upright, of mode "L" or "RGB", on white; one of 16 bits keeps its range. A ValueError for others."""
    _refuse_small(name, *image.size)
    try:
        return _plain(image)
    except _WrongPixels as error:
        raise ValueError(f"{name} {error}") from None


def _plain(image: "Image") -> "Image":
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise ImportError(_NO_PILLOW) from error
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise _WrongPixels("has values beyond 16 bits: save it with 8 or 16 bits per pixel.")
        clear = image.info.get("transparency")
        grey = np.round(values / 257)
        return Image.fromarray(np.where(values == clear, 255, grey).astype(np.uint8))
    if image.mode == "F":
        raise _WrongPixels("has floating-point values: save it with 8 or 16 bits per pixel.")
    is_grey = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if is_grey else "RGB")


def _opened(source: str | os.PathLike[str] | bytes, name: str | None, kind: str) -> tuple[str, BinaryIO, int]:
    """What messages call a file, the open file and its size."""
    if isinstance(source, bytes):
        name, file, size = name or f"The {kind}", io.BytesIO(source), len(source)
    else:
        path = Path(source)
        name = name or shortened(str(path))
        if path.is_dir():
            raise ValueError(f"{name} is a folder: give {_KINDS[kind]}.")
        try:
            if path.exists() and not path.is_file():
                raise ValueError(f"{name} is not a regular file: give {_KINDS[kind]}.")
            file = open(path, "rb")  # type: ignore[assignment]  # noqa: SIM115
        except FileNotFoundError as error:
            raise ValueError(f"{name} does not exist: check its path.") from error
        except OSError as error:
            raise ValueError(f"{name} cannot be read: {error.strerror or error}.") from error
        size = os.fstat(file.fileno()).st_size
    if not size:
        file.close()
        raise ValueError(f"{name} is empty: the file has no content.")
    return name, file, size


def refuse_long(name: str, seconds: float, limit: float | None = MAX_SECONDS) -> None:
    """Raise a ValueError for a sound of more than `limit` seconds; None: there is no limit."""
    if limit is not None and seconds > limit:
        raise ValueError(f"{name} is {seconds:,.1f} seconds long: at most {limit:g} are taken; cut it into pieces.")


def _refuse_small(name: str, width: int, height: int) -> None:
    if min(width, height) < MIN_SIDE:
        raise ValueError(f"{name} is {width} x {height} pixels: there is nothing to see in so small a picture.")


def _cut(name: str, kind: str) -> str:
    return f"{name} is cut off or damaged: the {kind} cannot be read to its end."


def _not_a(name: str, kind: str, start: bytes, size: int) -> str:
    known = start.startswith((b"RIFF", b"fLaC", b"OggS", b"\x89PNG", b"\xff\xd8\xff", b"GIF8"))
    picture = start.startswith((b"\x89PNG", b"\xff\xd8\xff", b"GIF8")) or start[8:12] == b"WEBP"
    if known and picture == (kind == "picture"):
        return _cut(name, kind)
    if known:
        return f"{name} is a {'picture' if picture else 'sound'}, not a {kind}: give {_KINDS[kind]}."
    if all(byte >= 0x20 or byte in b"\t\r\n" for byte in start):
        return f"{name} is not a {kind}: it begins like a text; give {_KINDS[kind]}."
    return f"{name} is not a {kind} of a known format: give {_KINDS[kind]}."


def _counts_frames(file: BinaryIO) -> bool:
    """Whether an MP3 says how many frames it has; of others libsndfile estimates the number."""
    file.seek(0)
    start = file.read(2**16)
    return b"Xing" in start or b"Info" in start


def _is_cut(file: BinaryIO, start: bytes, size: int) -> bool:
    """Whether a WAV or Ogg file ends before its content does, which libsndfile overlooks."""
    if start.startswith(b"RIFF"):
        place = 12
        while place + 8 <= size:
            file.seek(place)
            kind, length = struct.unpack("<4sI", file.read(8))
            if kind == b"data":
                return length not in _LENGTH_UNKNOWN and place + 8 + length > size
            place += 8 + length + length % 2
        return True
    if start.startswith(b"OggS"):
        file.seek(max(0, size - 2 * _OGG_PAGE))
        end = file.read()
        page = end.rfind(b"OggS")
        header = end[page : page + _OGG_HEADER]
        if len(header) < _OGG_HEADER:
            return True
        segments = end[page + _OGG_HEADER : page + _OGG_HEADER + header[-1]]
        return len(segments) < header[-1] or page + _OGG_HEADER + len(segments) + sum(segments) > len(end)
    return False


__all__ = ["Audio", "check_waveform", "plain_image", "read_audio", "read_image", "refuse_long", "resample"]
