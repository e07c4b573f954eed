# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Small sets of sounds and pictures that a model learns in seconds: letters said as tones, and drawn digits."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np


RATE = 8000
PITCHES = {"A": 400, "B": 800, "C": 1400, "D": 2400}  # Hz
SPEAKERS = ("low", "high")
# The strokes of each digit on a display of seven: top, upper left and right, middle, lower left and right, bottom.
DIGITS = ("1110111", "0010010", "1011101", "1011011", "0111010", "1101011", "1101111", "1010010", "1111111", "1111011")


def said(text: str, speaker: str = "low", seed: int = 0) -> np.ndarray:
    """Each letter as a tone of an eighth of a second, with a little noise: float32, `(samples,)`."""
    random = np.random.default_rng((seed, *map(ord, text)))
    times = np.arange(RATE // 8) / RATE
    factor = 1.0 if speaker == "low" else 1.12
    tones = [0.5 * np.sin(2 * np.pi * PITCHES[letter] * factor * times) * np.hanning(len(times)) for letter in text]
    wave = np.concatenate(tones)
    return (wave + random.normal(0, 0.005, len(wave))).astype(np.float32)


def drawn(text: str, seed: int = 0) -> np.ndarray:
    """Digits of 10 x 16 pixels, black on white, with a little noise: uint8, `(16, 10 * digits)`."""
    random = np.random.default_rng((seed, *map(ord, text)))
    picture = np.full((16, 10 * len(text)), 255, np.int64)
    strokes = [(1, 2, 2, 8), (1, 2, 8, 4), (1, 7, 8, 9), (7, 2, 8, 8), (7, 2, 14, 4), (7, 7, 14, 9), (13, 2, 14, 8)]
    for place, digit in enumerate(text):
        for (top, left, bottom, right), on in zip(strokes, DIGITS[int(digit)]):
            if on == "1":
                picture[top : bottom + 1, 10 * place + left - 1 : 10 * place + right] = 0
    return np.clip(picture + random.normal(0, 10, picture.shape), 0, 255).astype(np.uint8)


def write_sound(path: Path, text: str, speaker: str = "low", seed: int = 0) -> None:
    import soundfile

    soundfile.write(path, said(text, speaker, seed), RATE)


def write_picture(path: Path, text: str, speaker: str = "low", seed: int = 0) -> None:
    from PIL import Image

    Image.fromarray(drawn(text, seed)).save(path)


def random_texts(letters: str, count: int, seed: int) -> list[str]:
    """Texts of one to three letters, each once."""
    random = np.random.default_rng(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        found["".join(random.choice(list(letters), random.integers(1, 4)))] = None
    return list(found)


def write_set(
    folder: Path,
    name: str,
    texts: Sequence[str],
    write: Callable[..., None] = write_sound,
    suffix: str = ".wav",
    column: str = "audio",
    speakers: Sequence[str] = SPEAKERS,
) -> Path:
    """A folder of files and the table `NAME.tsv` of them: file, text and speaker, each text by one of the speakers."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    lines = [f"{column}\ttext\tspeaker"]
    for number, text in enumerate(texts):
        speaker = speakers[number % len(speakers)]
        file = f"{name}/{number}-{text}-{speaker}{suffix}"
        write(folder / file, text, speaker, number)
        lines.append(f"{file}\t{text}\t{speaker}")
    table = folder / f"{name}.tsv"
    table.write_text("\n".join(lines) + "\n", "utf-8")
    return table


def write_sounds(folder: Path, train: int = 52, held_out: int = 16) -> None:
    """`train.tsv`, `dev.tsv` and `test.tsv` of tones, whose texts differ."""
    texts = random_texts("".join(PITCHES), train + 2 * held_out, seed=0)  # there are 84
    for name, part in _parts(texts, held_out).items():
        write_set(folder, name, part)


def write_pictures(folder: Path, train: int = 120, held_out: int = 16) -> None:
    """`train.tsv`, `dev.tsv` and `test.tsv` of drawn digits, whose texts differ."""
    texts = random_texts("0123456789", train + 2 * held_out, seed=0)
    for name, part in _parts(texts, held_out).items():
        write_set(folder, name, part, write_picture, ".png", "image")


def _parts(texts: Sequence[str], held_out: int) -> dict[str, Sequence[str]]:
    return {"dev": texts[:held_out], "test": texts[held_out : 2 * held_out], "train": texts[2 * held_out :]}
