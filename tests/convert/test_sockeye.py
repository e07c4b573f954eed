# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Models of Sockeye translate here as there: small files, and what Sockeye 3.1.34 made of them, as written by
`benchmarks/origins/prove.py --record`. All kinds are compared by `benchmarks/origins/prove.py sockeye`.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.origins.prove import chosen
from hf_attn_seq2seq import load
from hf_attn_seq2seq.convert.command import convert
from hf_attn_seq2seq.convert.sockeye import recognizes
from hf_attn_seq2seq.convert.weights import read_torch


FILES = Path(__file__).parent / "sockeye"
RECORDED: dict[str, Any] = json.loads((FILES / "recorded.json").read_text("utf-8"))
FIELDS = ("norm_position", "decoder_mixer", "position_type", "tie_word_embeddings", "share_encoder_decoder_embeddings")
WANTED = {
    "attention": ("pre", "attention", "sinusoidal_concat", False, False),
    "ssru": ("post", "ssru", "learned", True, True),
}


@pytest.mark.parametrize("name", RECORDED["texts"])
def test_against_sockeye(name: str, tmp_path: Path) -> None:
    wanted = RECORDED["texts"][name]
    converted = convert(FILES / name, tmp_path / "out")
    assert chosen(tmp_path / "out", RECORDED["sentences"], RECORDED["longest"])[1] == wanted
    assert len(set(wanted)) > 3
    assert len(converted.told) == 1
    config = load(tmp_path / "out")[0].config
    assert tuple(getattr(config, field) for field in FIELDS) == WANTED[name]
    assert recognizes(FILES / name / "params.best")


@pytest.fixture
def changed(tmp_path: Path) -> Callable[..., Path]:
    """A model in whose configuration a text stands for another, or whose weights are others."""

    def change(name: str, old: str = "", new: str = "", **weights: torch.Tensor) -> Path:
        folder = tmp_path / "model"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(FILES / name, folder)
        text = (folder / "config").read_text()
        assert old in text
        (folder / "config").write_text(text.replace(old, new, 1))
        torch.save(read_torch(folder / "params.best") | weights, folder / "params.best")
        return folder

    return change


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("num_source_factors: 1", "num_source_factors: 2", "needs factors"),
        ("lhuc: false", "lhuc: true", "needs weights of hidden units"),
        ("use_glu: false", "use_glu: true", "needs gated feed-forward blocks"),
        ("neural_vocab_selection: null", "neural_vocab_selection: eos", "needs a selection of the vocabulary"),
        (
            "config_length_task: null",
            "config_length_task: !LengthRatioConfig {weight: 1.0}",
            "a prediction of lengths",
        ),
        ("postprocess_sequence: dr", "postprocess_sequence: drn", "needs layers in an order"),
        ("act_type: relu", "act_type: gelu", "are alike here"),
        ("decoder_type: transformer", "decoder_type: rnn", "another decoder than transformer, ssru_transformer"),
        ("dtype: float32", "dtype: int8", "needs another type of numbers than float32"),
        ("attention_heads: 2", "attention_heads: 5", "which do not fit"),
        ("!ModelConfig", "!!python/object/apply:os.getcwd []", "holds no options in YAML"),
    ],
)
def test_what_is_refused(old: str, new: str, message: str, changed: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        convert(changed("attention", old, new), tmp_path / "out", origin="sockeye")
    assert not (tmp_path / "out").exists()


def test_bad_input(changed: Callable[..., Path], tmp_path: Path) -> None:
    def refused(folder: Path, message: str, *vocabularies: Path) -> None:
        with pytest.raises(ValueError, match=message):
            convert(folder, tmp_path / "out", vocabularies, "sockeye")
        assert not (tmp_path / "out").exists()

    refused(changed("attention", more=torch.zeros(1)), "holds 'more', which no model of its kind has")
    refused(changed("attention", **{"encoder.layers.0.ff.ff1.scale": torch.zeros(1)}), "has weights of 8 bits")
    folder = changed("attention")
    vocabulary = folder / "vocab.src.0.json"
    refused(folder, "1 vocabularies do not fit", vocabulary)
    vocabulary.write_text('{"<pad>": 0}')
    refused(folder, "has 1 tokens and '.*' 24 rows for them")
    (folder / "version").write_text("2.3.24")
    refused(folder, "is of version '2.3.24'")
    (folder / "version").unlink()
    refused(folder, "only models of Sockeye 3 are read, with all their files")
    (folder / "config").unlink()
    assert not recognizes(folder)


def test_smaller_numbers_are_told(changed: Callable[..., Path], tmp_path: Path) -> None:
    converted = convert(changed("attention", "dtype: float32", "dtype: float16"), tmp_path / "out")
    assert "of float16, in single precision" in converted.told[1]
