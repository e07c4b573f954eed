# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Models of eole translate here as there: small folders, and what eole 0.6.4 made of them, as written by
`benchmarks/origins/prove.py --record eole`. All kinds are compared by `benchmarks/origins/prove.py eole`.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks.origins.prove import greedy
from hf_attn_seq2seq import load
from hf_attn_seq2seq.convert.command import convert
from hf_attn_seq2seq.convert.eole import recognizes


FILES = Path(__file__).parent / "eole"
RECORDED: dict[str, Any] = json.loads((FILES / "recorded.json").read_text("utf-8"))
WEIGHTS = "model.00.safetensors"
KINDS: dict[str, dict[str, Any]] = {
    "recurrent": {"attention_type": "general", "bridge": "final", "tie_word_embeddings": True},
    "transformer": {
        "position_type": "sinusoidal",
        "norm_position": "pre",
        "hidden_act": "silu",
        "num_key_value_heads": 2,
        "layer_norm_eps": 1e-6,
    },
}


@pytest.mark.parametrize("name", RECORDED["texts"])
def test_against_eole(name: str, tmp_path: Path) -> None:
    wanted = RECORDED["texts"][name]
    convert(FILES / name, tmp_path / "out")
    assert greedy(tmp_path / "out", RECORDED["sentences"], RECORDED["longest"]) == wanted
    assert len(set(wanted)) > 3
    config = load(tmp_path / "out")[0].config
    assert {field: getattr(config, field) for field in KINDS[name]} == KINDS[name]


def test_bad_input(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(FILES / "transformer", folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    vocab = json.loads((folder / "vocab.json").read_text("utf-8"))
    weights = load_file(folder / WEIGHTS)
    assert recognizes(folder)

    def refused(
        message: str,
        model: dict[str, Any] | None = None,
        words: dict[str, Any] | None = None,
        tensors: dict[str, Any] | None = None,
    ) -> None:
        (folder / "config.json").write_text(json.dumps({**config, "model": {**config["model"], **(model or {})}}))
        (folder / "vocab.json").write_text(json.dumps({**vocab, **(words or {})}))
        save_file({**weights, **(tensors or {})}, folder / WEIGHTS)
        with pytest.raises(ValueError, match=message):
            convert(folder, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    encoder, decoder = config["model"]["encoder"], config["model"]["decoder"]
    refused("needs another normalization", {"layer_norm": "rms", "encoder": {**encoder, "layer_norm": "rms"}})
    refused("needs normalized queries", {"decoder": {**decoder, "query_norm": True}})
    refused("needs mlp_activation_fn 'gated-silu'", {"encoder": {**encoder, "mlp_activation_fn": "gated-silu"}})
    refused("of other kinds in the encoder", {"encoder": {**encoder, "mlp_activation_fn": "relu"}})
    refused("needs generator_function 'sparsemax'", {"generator_function": "sparsemax"})
    refused("only recurrent models and Transformers", {"encoder": {**encoder, "encoder_type": "cnn"}})
    refused("no list of tokens for 'src'", words={"src": 3})
    refused("for another number of tokens", words={"src": vocab["src"][:-1]})
    refused("starts a target with '<x>'", words={"decoder_start_token": "<x>"})
    refused("does not name its special tokens", words={"specials": {"pad_token": ""}})
    scale = "decoder.transformer_layers.0.layer_scalar"
    refused("needs layers whose outputs are scaled", tensors={scale: torch.full((1,), 2.0)})
    old = {name: value for name, value in weights.items() if name != scale}
    unsaid = json.loads(json.dumps(config))
    for part in (unsaid["model"], unsaid["model"]["encoder"], unsaid["model"]["decoder"]):
        part.pop("norm_eps", None)
    save_file(old, folder / WEIGHTS)
    (folder / "config.json").write_text(json.dumps(unsaid))
    with pytest.raises(ValueError, match="does not say norm_eps, which is 1e-6 in eole's first versions"):
        convert(folder, tmp_path / "out")
    refused("holds 'encoder.more', which no model", tensors={"encoder.more": torch.zeros(2)})
    (folder / WEIGHTS).write_bytes(b"nothing")
    with pytest.raises(ValueError, match="cannot be read: get the file again"):
        convert(folder, tmp_path / "out")
    (folder / "config.json").write_text("[]")
    with pytest.raises(ValueError, match="name the folder of a model of eole"):
        convert(folder, tmp_path / "out")
    (folder / WEIGHTS).unlink()
    assert not recognizes(folder)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        ("src_emb.pe.pe", "needs positions in a recurrent model"),
        ("encoder.bridge.0.weight", "has a bridge from both directions"),
    ],
)
def test_bad_recurrent_models(tensor: str, message: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(FILES / "recurrent", folder)
    save_file({**load_file(folder / WEIGHTS), tensor: torch.zeros(1)}, folder / WEIGHTS)
    with pytest.raises(ValueError, match=message):
        convert(folder, tmp_path / "out")
