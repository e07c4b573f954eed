# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Sounds and pictures of every kind are read as they are; what cannot be used is told in one sentence."""

import io
import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hf_attn_seq2seq.media import read_audio, read_image
from hf_attn_seq2seq.resampling import resample


soundfile = pytest.importorskip("soundfile")
Image = pytest.importorskip("PIL.Image")

RATE = 16000


def tone(seconds: float = 0.5, rate: int = RATE, pitch: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def sound(path: Path, wave: Any = None, rate: int = RATE, **options: Any) -> Path:
    soundfile.write(path, tone(rate=rate) if wave is None else wave, rate, **options)
    return path


def one_sentence(error: pytest.ExceptionInfo[ValueError], path: Path) -> str:
    text = str(error.value)
    assert text.startswith(str(path))
    assert text.endswith(".")
    assert "\n" not in text
    assert ". " not in text.removeprefix(str(path))
    return text


@pytest.mark.parametrize(
    ("suffix", "options", "error"),
    [
        ("wav", {"subtype": "PCM_U8"}, 1 / 127),
        ("wav", {"subtype": "PCM_16"}, 1 / 32000),
        ("wav", {"subtype": "PCM_24"}, 1e-6),
        ("wav", {"subtype": "FLOAT"}, 0.0),
        ("flac", {"subtype": "PCM_16"}, 1 / 32000),
        ("flac", {"subtype": "PCM_24"}, 1e-6),
        ("ogg", {}, 0.1),
        ("mp3", {}, 0.1),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_sounds_of_every_kind(
    tmp_path: Path, suffix: str, options: dict[str, Any], error: float, channels: int
) -> None:
    wave = tone()
    stereo = np.stack([wave, np.zeros_like(wave)], 1)
    path = sound(tmp_path / f"a.{suffix}", stereo if channels == 2 else wave, **options)
    found = read_audio(path)
    assert found.sampling_rate == RATE
    assert found.waveform.dtype == np.float32
    assert found.waveform.ndim == 1
    inner = slice(2000, 6000)  # a lossy format smears the edges
    assert np.abs(found.waveform[inner] - wave[inner] / channels).max() <= error
    (renamed := tmp_path / "without_suffix").write_bytes(path.read_bytes())
    np.testing.assert_array_equal(read_audio(renamed).waveform, found.waveform)
    np.testing.assert_array_equal(read_audio(path.read_bytes()).waveform, found.waveform)


def test_unusable_sounds_are_told(tmp_path: Path) -> None:
    def told(path: Path, **options: Any) -> str:
        with pytest.raises(ValueError, match=r"\.$") as error:
            read_audio(path, **options)
        return one_sentence(error, path)

    assert "does not exist" in told(tmp_path / "missing.wav")
    assert "folder" in told(tmp_path)
    (empty := tmp_path / "empty.wav").touch()
    assert "is empty" in told(empty)
    (text := tmp_path / "text.wav").write_text("dear reader\n" * 99)
    assert "begins like a text" in told(text)
    (noise := tmp_path / "noise.wav").write_bytes(bytes(range(256)) * 20)
    assert "not a sound of a known format" in told(noise)
    Image.new("L", (9, 9)).save(picture := tmp_path / "picture.wav", "PNG")
    assert "is a picture" in told(picture)
    assert "is silent" in told(sound(tmp_path / "zero.wav", np.zeros(8000)))
    assert "is silent" in told(sound(tmp_path / "level.flac", np.full(8000, 0.25)))
    hiss = np.random.default_rng(0).integers(-1, 2, 8000) / 2**15
    assert "is silent" in told(sound(tmp_path / "hiss.wav", 0.25 + hiss))
    assert len(read_audio(sound(tmp_path / "low.wav", 20 * hiss)).waveform) == 8000
    left = tone()
    assert "is silent" in told(sound(tmp_path / "against.wav", np.stack([left, -left], 1), subtype="FLOAT"))
    assert "no samples" in told(sound(tmp_path / "none.wav", np.zeros(0)))
    assert "not numbers" in told(sound(tmp_path / "nan.wav", np.full(99, np.nan), subtype="FLOAT"))
    assert "0.5 seconds long" in told(sound(tmp_path / "long.wav"), max_seconds=0.4)
    short = sound(tmp_path / "short.wav", tone(20 / RATE))
    assert "0.001 seconds long: at least 0.1 are needed" in told(short)
    assert len(read_audio(short, min_seconds=0.0).waveform) == 20
    if os.name == "posix":
        os.mkfifo(pipe := tmp_path / "pipe.wav")
        assert "not a regular file" in told(pipe)


@pytest.mark.parametrize(
    ("suffix", "part"),
    [*itertools.product(["wav", "flac", "ogg"], [0.02, 0.5, 0.9]), ("mp3", 0.2), ("mp3", 0.9)],
)
def test_a_cut_sound_is_told(tmp_path: Path, suffix: str, part: float) -> None:
    whole = sound(tmp_path / f"whole.{suffix}", np.random.default_rng(0).normal(0, 0.1, 40000)).read_bytes()
    (path := tmp_path / f"cut.{suffix}").write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(ValueError, match="cut off or damaged") as error:
        read_audio(path)
    one_sentence(error, path)


def test_a_sound_from_a_pipe_does_not_tell_its_length(tmp_path: Path) -> None:
    content = bytearray(sound(tmp_path / "a.wav", tone(), subtype="PCM_16").read_bytes())
    place = content.index(b"data") + 4
    content[place : place + 4] = content[4:8] = b"\xff\xff\xff\xff"
    assert len(read_audio(bytes(content)).waveform) == len(tone())


@pytest.mark.parametrize(
    ("rate", "new"), [(44100, 16000), (8000, 16000), (48000, 16000), (9, 10), (11, 10), (16001, 16000)]
)
def test_a_tone_keeps_its_pitch_at_another_rate(rate: int, new: int) -> None:
    pitch = 0.05  # of the lower rate
    count = min(4 * rate, 40000) if rate > 100 else 9000
    cycle = pitch * min(rate, new) / rate
    wave = np.sin(2 * np.pi * cycle * np.arange(count))
    found = resample(wave, rate, new)
    assert len(found) == -(-count * new // rate)
    expected = np.sin(2 * np.pi * cycle * rate / new * np.arange(len(found)))
    assert np.abs(found - expected)[300:-300].max() < 1e-3


def test_resampling_equals_the_sum_it_is_written_as() -> None:
    """Against a sum over all samples for each output, with no phases."""
    from hf_attn_seq2seq.resampling import BETA, LOBES, ROLLOFF

    wave = np.random.default_rng(0).normal(size=200)
    cutoff = ROLLOFF * 160 / 441
    expected = []
    for time in np.arange(73) * 441 / 160:
        distance = cutoff * (np.arange(-200, 400) - time)
        kernel = np.sinc(distance) * np.i0(BETA * np.sqrt(np.clip(1 - (distance / LOBES) ** 2, 0, None)))
        kernel[np.abs(distance) > LOBES] = 0
        expected.append(kernel[200:400] @ wave / kernel.sum())
    np.testing.assert_allclose(resample(wave, 44100, 16000), expected, atol=1e-5)


def test_what_the_new_rate_cannot_hold_is_filtered_out() -> None:
    wave = np.sin(2 * np.pi * 9000 / 44100 * np.arange(44100))  # would be mirrored to 7000 Hz
    assert np.abs(resample(wave, 44100, 16000))[300:-300].max() < 1e-3
    level = resample(np.ones(4410, np.float32), 44100, 16000)
    np.testing.assert_allclose(level[100:-100], 1, atol=1e-6)


def test_a_wrong_rate_is_refused() -> None:
    for rates in ((0, 16000), (16000, 0.5)):
        with pytest.raises(ValueError, match="positive whole numbers"):
            resample(tone(), *rates)
    with pytest.raises(ValueError, match="one dimension"):
        resample(np.zeros((2, 9)), 8000, 16000)


def corner(image: Any) -> tuple[int, ...]:
    value = image.getpixel((0, 0))
    return value if isinstance(value, tuple) else (value,)


def test_pictures_of_every_kind(tmp_path: Path) -> None:
    def read(image: Any, name: str, **options: Any) -> Any:
        image.save(tmp_path / name, **options)
        return read_image(tmp_path / name)

    for mode, colour, expected in (
        ("RGB", (10, 20, 30), (10, 20, 30)),
        ("L", 77, (77,)),
        ("1", 1, (255,)),
        ("RGBA", (10, 20, 30, 0), (255, 255, 255)),
        ("RGBA", (0, 0, 0, 51), (204, 204, 204)),
        ("LA", (0, 0), (255,)),
        ("I;16", 257 * 100, (100,)),
    ):
        image = read(Image.new(mode, (8, 6), colour), "a.png")
        assert image.size == (8, 6)
        assert corner(image) == expected, mode
    palette = Image.new("P", (8, 6), 1)
    palette.putpalette([0, 0, 0, 200, 100, 50])
    assert corner(read(palette, "b.png")) == (200, 100, 50)
    assert corner(read(palette, "c.png", transparency=1)) == (255, 255, 255)
    assert corner(read(palette, "d.gif")) == (200, 100, 50)
    found = corner(read(Image.new("CMYK", (8, 6), (0, 255, 255, 0)), "e.jpg"))
    assert np.abs(np.subtract(found, (255, 0, 0))).max() < 5
    upright = Image.new("RGB", (8, 6), "red")
    orientation = upright.getexif()
    orientation[274] = 6
    assert read(upright, "f.jpg", exif=orientation).size == (6, 8)
    assert read(upright, "g.png", format="JPEG").size == (8, 6)
    assert corner(read_image((tmp_path / "d.gif").read_bytes())) == (200, 100, 50)


def test_unusable_pictures_are_told(tmp_path: Path) -> None:
    def told(path: Path, **options: Any) -> str:
        with pytest.raises(ValueError, match=r"\.$") as error:
            read_image(path, **options)
        return one_sentence(error, path)

    assert "does not exist" in told(tmp_path / "missing.png")
    assert "folder" in told(tmp_path)
    (empty := tmp_path / "empty.png").touch()
    assert "is empty" in told(empty)
    (text := tmp_path / "text.png").write_text("dear reader\n" * 99)
    assert "begins like a text" in told(text)
    assert "is a sound" in told(sound(tmp_path / "sound.wav").rename(tmp_path / "sound.png"))
    (script := tmp_path / "script.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n\0")
    assert "not a picture" in told(script)
    for size, words in (((1, 1), "nothing to see"), ((1, 90), "nothing to see"), ((20_000, 5), "on a side")):
        Image.new("L", size).save(path := tmp_path / "size.png")
        assert words in told(path)
    Image.new("L", (100, 100)).save(path)
    assert "100 x 100" in told(path, max_pixels=9999)
    Image.new("1", (50_000, 50_000)).save(bomb := tmp_path / "bomb.png")
    assert "too large" in told(bomb)
    Image.fromarray(np.full((8, 8), 70_000, np.int32)).save(deep := tmp_path / "deep.tiff")
    assert "beyond 16 bits" in told(deep)
    Image.fromarray(np.zeros((8, 8), np.float32)).save(real := tmp_path / "real.tiff")
    assert "floating-point" in told(real)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"])
@pytest.mark.parametrize("part", [0.03, 0.5, 0.9])
def test_a_cut_picture_is_told(tmp_path: Path, kind: str, part: float) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(
        buffer := io.BytesIO(), kind
    )
    (path := tmp_path / "cut.png").write_bytes(buffer.getvalue()[: int(buffer.tell() * part)])
    with pytest.raises(ValueError, match=r"cut off or damaged|not a picture") as error:
        read_image(path)
    one_sentence(error, path)
