# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Models of JoeyNMT translate here as there: small files, and what JoeyNMT 2.3.0 and 1.5.1 made of them, as written by
`benchmarks/origins/prove.py --record`. All kinds are compared by `benchmarks/origins/prove.py joeynmt joeynmt1`.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from benchmarks.origins.prove import chosen
from hf_attn_seq2seq import load
from hf_attn_seq2seq.convert.command import convert
from hf_attn_seq2seq.convert.joeynmt import recognizes
from hf_attn_seq2seq.convert.weights import read_torch


FILES = Path(__file__).parent / "joeynmt"
RECORDED: dict[str, Any] = json.loads((FILES / "recorded.json").read_text("utf-8"))
FIELDS = ("encoder_type", "decoder_type", "attention_type", "bridge", "norm_position", "scale_embeddings")
WANTED: dict[str, tuple[Any, ...]] = {
    "lstm": ("gru", "lstm", "additive", "last_both", "post", True),
    "deepnet": ("transformer", "transformer", "multi_head", "dense", "post", False),
    "pieces": ("gru", "gru", "additive", "last_both", "post", True),
    "characters": ("gru", "gru", "general", "zeros", "post", True),
}


@pytest.mark.parametrize("name", RECORDED["tokens"])
def test_against_joeynmt(name: str, tmp_path: Path) -> None:
    """A text that JoeyNMT split by itself is split here too."""
    convert(FILES / name, tmp_path / "out")
    sentences = RECORDED["sentences"][name]
    texts, tokens = chosen(tmp_path / "out", sentences, RECORDED["longest"])
    assert tokens == RECORDED["tokens"][name]
    assert len(set(tokens)) > 3
    if name in RECORDED["texts"]:
        assert texts == ["" if text == "<unk>" else text for text in RECORDED["texts"][name]]  # its word for nothing
    config = load(tmp_path / "out")[0].config
    assert tuple(getattr(config, field) for field in FIELDS) == WANTED[name]


def test_against_the_first_version(tmp_path: Path) -> None:
    folder = FILES.with_name("joeynmt1")
    recorded = json.loads((folder / "recorded.json").read_text("utf-8"))
    converted = convert(folder / "transformer/best.ckpt", tmp_path / "out")
    assert chosen(tmp_path / "out", recorded["sentences"], recorded["longest"])[1] == recorded["tokens"]
    assert len(set(recorded["tokens"])) > 3
    assert converted.model.config.norm_position == "pre"
    assert "clean and split sources" in converted.told[0]


def test_vocabularies_by_the_names_in_the_configuration(changed: Callable[..., Path], tmp_path: Path) -> None:
    """As in models that people share, which were trained with files of other folders."""
    convert(changed("lstm", {"data.src.voc_file": None}), tmp_path / "named by nobody")
    folder = changed("lstm", {f"data.{side}.voc_file": f"elsewhere/{side}.txt" for side in ("src", "trg")})
    for side in ("src", "trg"):
        (folder / f"{side}_vocab.txt").rename(folder / f"{side}.txt")
    convert(folder, tmp_path / "out")
    sentences, longest = RECORDED["sentences"]["lstm"], RECORDED["longest"]
    assert chosen(tmp_path / "out", sentences, longest)[1] == RECORDED["tokens"]["lstm"]


@pytest.fixture
def changed(tmp_path: Path) -> Callable[..., Path]:
    """A model of which parts of the configuration, by names with dots, or weights are others."""

    def change(name: str, options: dict[str, Any] | None = None, **weights: torch.Tensor | None) -> Path:
        folder = tmp_path / "model"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(FILES / name, folder)
        config = yaml.safe_load((folder / "config.yaml").read_text())
        for path, value in (options or {}).items():
            *parts, last = path.split(".")
            within = config
            for part in parts:
                within = within.setdefault(part, {})
            within[last] = value
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        state = read_torch(folder / "best.ckpt")["model_state"] | weights
        state = {key: value for key, value in state.items() if value is not None}
        torch.save({"model_state": state}, folder / "best.ckpt")
        return folder

    return change


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lstm", {"data.src": "de"}, "is of no version of JoeyNMT that is read"),
        ("lstm", {"data.src.level": "syllable"}, "needs another level than word, char, bpe"),
        ("lstm", {"data.src.has_prompt": True}, "needs prompts"),
        ("lstm", {"data.src.lowercase": "yes"}, "has data.src.lowercase: 'yes', which is no value for it"),
        ("lstm", {"model.decoder.init_hidden": "mean"}, "needs another initial state than bridge, last, zero"),
        ("lstm", {"model.decoder.activation": "relu"}, "needs another activation than tanh"),
        (
            "deepnet",
            {"model.encoder.activation": "gelu"},
            "has activation gelu in the encoder and relu in the decoder",
        ),
        ("deepnet", {"model.encoder.layer_norm": "pre"}, "has layer_norm pre in the encoder and post in the decoder"),
        ("deepnet", {"model.decoder.num_heads": 5}, "has '5' heads, which do not fit its weights"),
    ],
)
def test_what_is_refused(
    name: str, options: dict[str, Any], message: str, changed: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        convert(changed(name, options), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_bad_input(changed: Callable[..., Path], tmp_path: Path) -> None:
    def refused(folder: Path, message: str, *vocabularies: Path) -> None:
        with pytest.raises(ValueError, match=message):
            convert(folder, tmp_path / "out", vocabularies, "joeynmt")
        assert not (tmp_path / "out").exists()

    refused(changed("lstm", more=torch.zeros(1)), "holds 'more', which no model of its kind has")
    backwards = {key: None for key in read_torch(FILES / "lstm/best.ckpt")["model_state"] if key.endswith("_reverse")}
    refused(changed("lstm", **backwards), "has an encoder of one direction")
    folder = changed("lstm")
    refused(folder, "1 vocabularies do not fit", folder / "src_vocab.txt")
    (folder / "src_vocab.txt").write_text("a\n")
    refused(folder, "has 5 tokens and '.*' 24 rows for them")
    (folder / "src_vocab.txt").unlink()
    refused(folder, "cannot be read: name the source's and the target's vocabulary")
    (folder / "config.yaml").write_text("[")
    refused(folder, "holds no options in YAML")
    (folder / "best.ckpt").write_bytes(b"nothing")
    (folder / "config.yaml").write_text("model: {}")
    refused(folder, "is no file of torch.save, or damaged|cannot be read")
    (folder / "best.ckpt").unlink()
    refused(folder, "There is no checkpoint")
    assert not recognizes(folder)
    for number in range(2):
        (folder / f"{number}.ckpt").write_bytes(b"")
    refused(folder, "There are 2 checkpoints")


def test_what_a_user_is_told(changed: Callable[..., Path], tmp_path: Path) -> None:
    pieces = {"level": "bpe", "tokenizer_type": "sentencepiece", "tokenizer_cfg": {"model_file": "gone.model"}}
    subwords = {"level": "bpe", "tokenizer_type": "subword-nmt", "tokenizer_cfg": {"pretokenizer": "moses"}}
    lang = {"lang": "de"}
    folder = changed("lstm", {"data.src": pieces | lang, "data.trg": subwords | lang})
    told = convert(folder, tmp_path / "out").told
    assert ["(the model is not beside the checkpoint)" in told[0], "Moses" in told[1], "subword-nmt" in told[2]] == [
        True
    ] * 3
    _, tokenizer = load(tmp_path / "out")
    assert tokenizer.target.decode(tokenizer.target.convert_tokens_to_ids(["t1", "t2"])) == "t1 t2"
    assert tokenizer("s1  s2\u00a0s1")["input_ids"] == [*tokenizer.convert_tokens_to_ids(["s1", "<unk>"]), 2]
