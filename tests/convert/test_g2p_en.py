# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
The model of `g2p_en` against its description, written anew in NumPy, on random weights in its format. The proof by its
own code and weights is `benchmarks/origins/prove.py g2p_en`.
"""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from hf_attn_seq2seq import load
from hf_attn_seq2seq.convert.command import convert, main
from hf_attn_seq2seq.convert.g2p_en import GRAPHEMES, LONGEST, PHONEMES, recognizes
from hf_attn_seq2seq.decoding.text import translate


HIDDEN, EMBEDDING = 12, 8
WORDS = ["zyx", "blorf", "don't", "é", "a", "quux-quux", "wroth", "mimsy"]


def arrays(seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    shapes = {"enc_emb": (len(GRAPHEMES), EMBEDDING), "dec_emb": (len(PHONEMES), EMBEDDING)}
    for side in ("enc", "dec"):
        shapes |= {f"{side}_w_ih": (3 * HIDDEN, EMBEDDING), f"{side}_w_hh": (3 * HIDDEN, HIDDEN)}
        shapes |= {f"{side}_b_ih": (3 * HIDDEN,), f"{side}_b_hh": (3 * HIDDEN,)}
    shapes |= {"fc_w": (len(PHONEMES), HIDDEN), "fc_b": (len(PHONEMES),)}
    made = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    made["fc_b"][:3] = -100.0  # a trained model never says these
    made["fc_b"][3] = 3.0
    return made


def gru(x: np.ndarray, h: np.ndarray, weights: dict[str, np.ndarray], side: str) -> np.ndarray:
    """Cho et al. 2014, with the reset gate after the product: gates r, z, n in this order."""
    entering = np.split(weights[f"{side}_w_ih"] @ x + weights[f"{side}_b_ih"], 3)
    recurrent = np.split(weights[f"{side}_w_hh"] @ h + weights[f"{side}_b_hh"], 3)
    r, z = (1 / (1 + np.exp(-(entering[part] + recurrent[part]))) for part in (0, 1))
    n = np.tanh(entering[2] + r * recurrent[2])
    return (1 - z) * n + z * h


def said(word: str, weights: dict[str, np.ndarray]) -> str:
    h = np.zeros(HIDDEN)
    for letter in [*word, "</s>"]:
        row = GRAPHEMES.index(letter) if letter in GRAPHEMES else GRAPHEMES.index("<unk>")
        h = gru(weights["enc_emb"][row], h, weights, "enc")
    chosen, found = PHONEMES.index("<s>"), []
    for _ in range(LONGEST):
        h = gru(weights["dec_emb"][chosen], h, weights, "dec")
        chosen = int((weights["fc_w"] @ h + weights["fc_b"]).argmax())
        if PHONEMES[chosen] == "</s>":
            break
        found.append(PHONEMES[chosen])
    return " ".join(found)


def write(path: Path, **changes: np.ndarray) -> Path:
    np.savez(path, **{**arrays(), **changes})
    return path


def test_against_its_description(tmp_path: Path) -> None:
    convert(write(tmp_path / "checkpoint20.npz"), tmp_path / "out")
    model, tokenizer = load(tmp_path / "out")
    expected = [said(word.replace("é", "e"), arrays()) for word in WORDS]
    assert translate(model, tokenizer, WORDS) == expected
    assert len(set(expected)) == len(WORDS)
    assert any(len(text.split()) == LONGEST for text in expected)
    assert any(len(text.split()) < LONGEST for text in expected)


def test_the_folder_and_the_wheel(tmp_path: Path) -> None:
    folder = tmp_path / "g2p_en"
    folder.mkdir()
    path = write(folder / "checkpoint20.npz")
    wheel = tmp_path / "g2p_en-2.1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.write(path, "g2p_en/checkpoint20.npz")
    found = []
    for number, source in enumerate((path, folder, wheel)):
        assert recognizes(source)
        convert(source, tmp_path / f"out{number}")
        found.append(translate(*load(tmp_path / f"out{number}"), WORDS))
    assert found[0] == found[1] == found[2]


def test_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = write(tmp_path / "good.npz")
    (tmp_path / "cut.npz").write_bytes(good.read_bytes()[:500])
    write(tmp_path / "narrow.npz", fc_w=np.zeros((3, 5), np.float32))
    write(tmp_path / "more.npz", attention=np.zeros(5, np.float32))
    write(tmp_path / "lstm.npz", enc_w_hh=np.zeros((4 * HIDDEN, HIDDEN), np.float32))
    for name, message in {
        "cut.npz": "is no archive of g2p_en, or damaged",
        "narrow.npz": "holds 'fc_w' of shape (3, 5), where (74, 12) is needed",
        "more.npz": "holds 'attention', which no model of its kind has here",
        "lstm.npz": "has other sizes than a model of g2p_en",
    }.items():
        with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(")", r"\)")):
            convert(tmp_path / name, tmp_path / "out", origin="g2p_en")
        assert not (tmp_path / "out").exists()
    assert not recognizes(tmp_path / "cut.npz")
    with pytest.raises(ValueError, match="leave --vocab out"):
        main([str(good), "--from", "g2p_en", "--vocab", "x.txt", "--output", str(tmp_path / "out")])
