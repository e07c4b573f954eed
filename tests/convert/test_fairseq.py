# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Models of fairseq translate here as there: small files, and what fairseq 0.12.2 made of them, as written by
`benchmarks/origins/prove.py --record`. More kinds are compared by `benchmarks/origins/prove.py fairseq`.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.origins.prove import greedy
from hf_attn_seq2seq import load
from hf_attn_seq2seq.convert.command import convert
from hf_attn_seq2seq.convert.fairseq import recognizes
from hf_attn_seq2seq.convert.fairseq_transformer import NORMS, renamed
from hf_attn_seq2seq.convert.weights import read_torch


FILES = Path(__file__).parent / "fairseq"
RECORDED: dict[str, Any] = json.loads((FILES / "recorded.json").read_text("utf-8"))


TRANSFORMERS: dict[str, dict[str, Any]] = {
    "transformer": {
        "norm_position": "post",
        "position_type": "sinusoidal_halves",
        "position_offset": 2,
        "scale_embeddings": True,
        "embedding_norm": True,
        "hidden_act": "relu",
        "encoder_attention_heads": 2,
        "num_attention_heads": 4,
        "encoder_intermediate_size": 20,
        "intermediate_size": 24,
    },
    "learned": {
        "norm_position": "pre",
        "position_type": "learned",
        "max_position_embeddings": 90,  # of the side that has fewer
        "scale_embeddings": False,
        "embedding_norm": True,
        "hidden_act": "gelu_pytorch_tanh",
        "tie_word_embeddings": False,
    },
}


@pytest.mark.parametrize("name", RECORDED["texts"])
def test_against_fairseq(name: str, tmp_path: Path) -> None:
    # Ours leave out special tokens, which random weights choose too.
    texts = [text.split() for text in RECORDED["texts"][name]]
    wanted = [" ".join(word for word in text if word not in ("<s>", "<unk>")) for text in texts]
    convert(FILES / f"{name}.pt", tmp_path / "out")
    assert greedy(tmp_path / "out", RECORDED["sentences"], RECORDED["longest"]) == wanted
    assert len(set(wanted)) > 3
    config = load(tmp_path / "out")[0].config
    if name in TRANSFORMERS:
        assert {field: getattr(config, field) for field in TRANSFORMERS[name]} == TRANSFORMERS[name]
        return
    assert (config.attention_type, config.bridge) == ("general" if name == "attention" else "none", "final")
    assert config.encoder_hidden_size != config.hidden_size  # so that its projections of the state are there


@pytest.mark.parametrize("missing", ["decoder.output_projection.weight", "encoder.layers.0.final_layer_norm.bias"])
def test_what_is_missing_is_no_other_model(missing: str, tmp_path: Path) -> None:
    found = read_torch(FILES / "learned.pt")
    del found["model"][missing]
    torch.save(found, tmp_path / "cut.pt")
    with pytest.raises(ValueError, match=f"holds no '{missing}': get the file again"):
        convert(tmp_path / "cut.pt", tmp_path / "out", [FILES / f"dict.{side}.txt" for side in ("src", "tgt")])
    assert not (tmp_path / "out").exists()


def test_weights_by_their_old_names() -> None:
    state = read_torch(FILES / "transformer.pt")["model"]
    now = renamed(state)
    old = dict(now)
    for side, norms in NORMS.items():
        for number, norm in norms.items():
            for kind in ("weight", "bias"):
                old[f"{side}.layers.0.layer_norms.{number}.{kind}"] = old.pop(f"{side}.layers.0.{norm}.{kind}")
    for kind in ("weight", "bias"):
        parts = [old.pop(f"decoder.layers.0.self_attn.{part}.{kind}") for part in ("q_proj", "k_proj", "v_proj")]
        old[f"decoder.layers.0.self_attn.in_proj_{kind}"] = torch.cat(parts)
    old["decoder.embed_out"] = old.pop("decoder.output_projection.weight")
    again = renamed(old)
    assert again.keys() == now.keys()
    assert all(again[name].equal(value) for name, value in now.items())
    assert "encoder.version" in state
    assert "encoder.version" not in now


def test_bad_transformers(tmp_path: Path) -> None:
    good = read_torch(FILES / "learned.pt")
    path = tmp_path / "model.pt"
    for side in ("src", "tgt"):
        shutil.copy(FILES / f"dict.{side}.txt", tmp_path)

    def refused(message: str, weights: dict[str, Any] | None = None, without: str = "none", **options: Any) -> None:
        model = {name: value for name, value in good["model"].items() if name != without}
        cfg = {**good["cfg"], "model": {**vars(good["cfg"]["model"]), **options}}
        torch.save({**good, "cfg": cfg, "model": {**model, **(weights or {})}}, path)
        with pytest.raises(ValueError, match=message):
            convert(path, tmp_path / "out", origin="fairseq")
        assert not (tmp_path / "out").exists()

    refused("needs an adaptive softmax", adaptive_softmax_cutoff="10,20")
    refused("needs a Transformer without positions", no_token_positional_embeddings=True)
    refused("needs activation_fn 'linear'", activation_fn="linear")
    refused("normalizes first in the encoder alone", decoder_normalize_before=False)
    refused("has no norm after the last layer", without="decoder.layer_norm.weight")
    refused("has no norm after the decoder's last layer", {"decoder.version": torch.Tensor([2])})
    refused("has learned positions on one side alone", without="encoder.embed_positions.weight")
    refused("has normalized embeddings on one side alone", without="encoder.layernorm_embedding.weight")
    refused("has 'None' heads, which do not fit", decoder_attention_heads=None)
    refused("holds 'decoder.project_out_dim.weight'", {"decoder.project_out_dim.weight": torch.zeros(2)})


def test_bad_input(tmp_path: Path) -> None:
    good = read_torch(FILES / "attention.pt")
    path = tmp_path / "model.pt"

    def refused(message: str, options: dict[str, Any] | None = None, **weights: Any) -> None:
        model = vars(good["cfg"]["model"]) | (options or {})
        cfg = {**good["cfg"], "model": model}
        torch.save({**good, "cfg": cfg, "model": {**good["model"], **weights}}, path)
        with pytest.raises(ValueError, match=message):
            convert(path, tmp_path / "out", origin="fairseq")
        assert not (tmp_path / "out").exists()

    refused("are not beside it: name the source's and the target's by --vocab")
    for side in ("src", "tgt"):
        shutil.copy(FILES / f"dict.{side}.txt", tmp_path)
    refused("needs sums of layers in fairseq's order", {"residuals": True})
    refused("has a layer before its output layer", **{"decoder.additional_fc.weight": torch.zeros(2, 2)})
    refused("holds 'decoder.more', which no model", **{"decoder.more": torch.zeros(2)})
    refused("where \\(12, 16\\) is needed", **{"decoder.encoder_hidden_proj.weight": torch.zeros(12, 12)})
    (tmp_path / "dict.src.txt").write_text("a 1\n")
    refused("has 5 tokens and '.*' 24 rows for them")
    (tmp_path / "dict.src.txt").write_text("a\n")
    refused("is no dictionary of fairseq")
    path.write_bytes(b"nothing")
    assert not recognizes(path)
