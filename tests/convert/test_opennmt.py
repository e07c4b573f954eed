# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Models of OpenNMT-py translate here as there: small files, and what OpenNMT-py 3.5.1 made of them, as written by
`benchmarks/origins/prove.py --record`. All recurrent kinds are compared by `benchmarks/origins/prove.py opennmt`.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.origins.prove import greedy
from hf_attn_seq2seq import load
from hf_attn_seq2seq.convert.command import convert
from hf_attn_seq2seq.convert.opennmt import recognizes
from hf_attn_seq2seq.convert.weights import read_torch


FILES = Path(__file__).parent / "opennmt"
RECORDED: dict[str, Any] = json.loads((FILES / "recorded.json").read_text("utf-8"))


@pytest.mark.parametrize("name", RECORDED["texts"])
def test_against_opennmt(name: str, tmp_path: Path) -> None:
    wanted = RECORDED["texts"][name]
    converted = convert(FILES / f"{name}.pt", tmp_path / "out")
    assert greedy(tmp_path / "out", RECORDED["sentences"], RECORDED["longest"]) == wanted
    assert len(set(wanted)) > 3
    assert "between blanks" in converted.told[0]


def test_what_becomes_of_the_options(tmp_path: Path) -> None:
    found = {}
    for name in RECORDED["texts"]:
        convert(FILES / f"{name}.pt", tmp_path / name)
        config = load(tmp_path / name)[0].config
        found[name] = (
            config.attention_type,
            config.readout,
            config.bridge,
            config.input_feeding,
            config.attention_normalizer,
            config.bidirectional,
            config.tie_word_embeddings,
        )
    assert found == {
        "general": ("general", "tanh", "final", True, "softmax", True, False),
        "mlp": ("additive", "affine", "final_dense", True, "softmax", True, False),
        "dot": ("dot", "tanh", "final_dense", False, "sparsemax", False, False),
        "none": ("none", "linear", "final", True, "softmax", False, True),
    }


def test_bad_input(tmp_path: Path) -> None:
    source = FILES / "general.pt"
    good = read_torch(source)
    path = tmp_path / "model.pt"

    def refused(message: str, options: dict[str, Any] | None = None, **changes: Any) -> None:
        vars(changed := type(good["opt"])()).update({**vars(good["opt"]), **(options or {})})
        torch.save({**good, "opt": changed, **changes}, path)
        with pytest.raises(ValueError, match=message):
            convert(path, tmp_path / "out", origin="opennmt")
        assert not (tmp_path / "out").exists()

    refused("needs copying words", {"copy_attn": True})
    refused("needs its coverage", {"coverage_attn": True})
    refused("only its recurrent models", {"encoder_type": "cnn"})
    refused("needs global_attention_function 'hardmax'", {"global_attention_function": "hardmax"})
    refused("no list of tokens for 'src'", vocab={**good["vocab"], "src": 3})
    refused("for another number of tokens", vocab={**good["vocab"], "src": good["vocab"]["src"][:-1]})
    refused("starts a target with '<x>'", vocab={**good["vocab"], "decoder_start_token": "<x>"})
    refused("holds 'decoder.copy_attn', which no model", model={**good["model"], "decoder.copy_attn": torch.zeros(1)})
    lacking = {name: value for name, value in good["model"].items() if name != "decoder.attn.linear_out.weight"}
    refused("which no model of its kind has", model=lacking)
    refused("is no checkpoint of OpenNMT-py 3", vocab=[])
    with pytest.raises(ValueError, match="leave --vocab out"):
        convert(source, tmp_path / "out", [source], "opennmt")
    path.write_bytes(source.read_bytes()[:900])
    assert not recognizes(path)
    with pytest.raises(ValueError, match=r"is no file of torch.save, or damaged|cannot be read"):
        convert(path, tmp_path / "out", origin="opennmt")
