# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Models of OpenNMT-py translate here as there: small files, and what OpenNMT-py 3.5.1 made of them, as written by
`benchmarks/origins/prove.py --record`. All kinds are compared by `benchmarks/origins/prove.py opennmt`.
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
    for name in ("general", "mlp", "dot", "none"):
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


def test_what_becomes_of_the_options_of_transformers(tmp_path: Path) -> None:
    found = {}
    for name in ("transformer", "shared"):
        convert(FILES / f"{name}.pt", tmp_path / name)
        config = load(tmp_path / name)[0].config
        found[name] = (
            config.position_type,
            config.encoder_layers,
            config.num_attention_heads,
            config.num_key_value_heads,
            config.encoder_key_value_heads,
            config.layer_norm_eps,
            config.share_encoder_decoder_embeddings,
            config.tie_word_embeddings,
        )
    assert found == {
        "transformer": ("sinusoidal", 1, 4, 2, 2, 1e-6, False, False),
        "shared": ("sinusoidal_halves", 3, 4, 4, 4, 1e-5, True, True),
    }


def test_files_are_read_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path, times = tmp_path / "model.pt", []
    torch.save({"a": torch.zeros(1)}, path)
    load_it = torch.load
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: times.append(args) or load_it(*args, **kwargs))
    with pytest.raises(ValueError, match="say whose it is by --from"):
        convert(path, tmp_path / "out")
    assert len(times) == 1


def test_bad_transformers(tmp_path: Path) -> None:
    good = read_torch(FILES / "transformer.pt")
    path = tmp_path / "model.pt"

    def refused(message: str, model: dict[str, Any] | None = None, **options: Any) -> None:
        vars(changed := type(good["opt"])()).update({**vars(good["opt"]), **options})
        torch.save({**good, "opt": changed, "model": {**good["model"], **(model or {})}}, path)
        with pytest.raises(ValueError, match=message):
            convert(path, tmp_path / "out", origin="opennmt")
        assert not (tmp_path / "out").exists()

    refused("such as averages whose gates read", self_attn_type="average")
    refused("needs relative or rotary positions", max_relative_positions=-1)
    refused("needs a Transformer without positions", position_encoding=False)
    refused("needs another normalization", layer_norm="rms")
    refused("needs attention and feed-forward side by side", parallel_residual=True)
    refused("needs pos_ffn_activation_fn 'gated-gelu'", pos_ffn_activation_fn="gated-gelu")
    refused("has '5' heads, which do not fit", heads=5)
    refused("has norm_eps: '0', which is no number", norm_eps=0)
    refused("which no model of its kind has", {"encoder.transformer.1.more.weight": torch.zeros(1)})
    refused(r"where \(16, 16\) is needed", {"encoder.transformer.0.self_attn.linear_query.weight": torch.zeros(8, 16)})


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
    refused("only recurrent models and Transformers", {"encoder_type": "cnn"})
    refused("needs positions in a recurrent model", {"position_encoding": True})
    refused("needs global_attention_function 'hardmax'", {"global_attention_function": "hardmax"})
    refused("no list of tokens for 'src'", vocab={**good["vocab"], "src": 3})
    refused("for another number of tokens", vocab={**good["vocab"], "src": good["vocab"]["src"][:-1]})
    refused("starts a target with '<x>'", vocab={**good["vocab"], "decoder_start_token": "<x>"})
    refused("holds 'decoder.copy_attn', which no model", model={**good["model"], "decoder.copy_attn": torch.zeros(1)})
    lacking = {name: value for name, value in good["model"].items() if name != "decoder.attn.linear_out.weight"}
    refused("which no model of its kind has", model=lacking)
    refused("is no checkpoint of OpenNMT-py 3", vocab=[])
    with pytest.raises(ValueError, match="neither a SentencePiece model nor codes"):
        convert(source, tmp_path / "out", [source], "opennmt")
    path.write_bytes(source.read_bytes()[:900])
    assert not recognizes(path)
    with pytest.raises(ValueError, match=r"is no file of torch.save, or damaged|cannot be read"):
        convert(path, tmp_path / "out", origin="opennmt")
