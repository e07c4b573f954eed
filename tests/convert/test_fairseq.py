# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Recurrent models of fairseq translate here as there: small files, and what fairseq 0.12.2 made of them, as written by
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
from hf_attn_seq2seq.convert.weights import read_torch


FILES = Path(__file__).parent / "fairseq"
RECORDED: dict[str, Any] = json.loads((FILES / "recorded.json").read_text("utf-8"))


@pytest.mark.parametrize("name", RECORDED["texts"])
def test_against_fairseq(name: str, tmp_path: Path) -> None:
    wanted = RECORDED["texts"][name]
    convert(FILES / f"{name}.pt", tmp_path / "out")
    assert greedy(tmp_path / "out", RECORDED["sentences"], RECORDED["longest"]) == wanted
    assert len(set(wanted)) > 3
    config = load(tmp_path / "out")[0].config
    assert (config.attention_type, config.bridge) == ("general" if name == "attention" else "none", "final")
    assert config.encoder_hidden_size != config.hidden_size  # so that its projections of the state are there


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
