# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
A model of netra-transliterate's kind writes words here as there: small files, and what the package's own code made of
them, as written by `benchmarks/origins/prove.py --record`. Its own weights, and more kinds, are compared by
`benchmarks/origins/prove.py netra`.
"""

import contextlib
import io
import json
import pickle
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hf_attn_seq2seq import load
from hf_attn_seq2seq.convert.command import convert, main
from hf_attn_seq2seq.convert.hdf5 import read_hdf5
from hf_attn_seq2seq.convert.netra import ASSETS, MODEL, recognizes
from hf_attn_seq2seq.decoding.text import translate


FILES = Path(__file__).parent / "netra"
RECORDED: dict[str, Any] = json.loads((FILES / "recorded.json").read_text("utf-8"))


def unpacked() -> dict[str, bytes]:
    with zipfile.ZipFile(FILES / MODEL) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()


def test_against_the_package_wherever_its_files_lie(tmp_path: Path) -> None:
    wheel = tmp_path / "netra_transliterate-1.0.1-py3-none-any.whl"
    contents = {f"khmer_transliterator/weights/{name}": (FILES / name).read_bytes() for name in (MODEL, ASSETS)}
    wheel.write_bytes(packed(contents))
    package = tmp_path / "khmer_transliterator"
    (package / "weights").parent.mkdir()
    (package / "weights").symlink_to(FILES)
    for number, source in enumerate((FILES / MODEL, FILES, package, wheel)):
        assert recognizes(source)
        convert(source, tmp_path / f"out{number}")
        assert translate(*load(tmp_path / f"out{number}"), RECORDED["words"]) == RECORDED["texts"]
    assert len(set(RECORDED["texts"])) > 6
    model, tokenizer = load(tmp_path / "out0")
    long = "abcdefghijklmnopqrstuvwxyz"
    assert tokenizer.source.decode(tokenizer("So, Ha é!").input_ids) == "soha".ljust(25, "_")
    assert tokenizer.source.decode(tokenizer(long + "en").input_ids).replace("<unk>", "?")[-2:] == "en"
    assert len(tokenizer(long).input_ids) == 25
    assert "".join(tokenizer.target.decode(tokenizer(text_target="កាច").input_ids, skip_special_tokens=True)) == "កាច"
    assert model.generation_config.max_new_tokens == 31


def test_bad_input(tmp_path: Path) -> None:
    def refused(message: str, model: bytes | None = None, assets: bytes | None = None) -> None:
        for name, content in ((MODEL, model), (ASSETS, assets)):
            (tmp_path / name).write_bytes((FILES / name).read_bytes() if content is None else content)
        with pytest.raises(ValueError, match=message):
            convert(tmp_path / MODEL, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def changed(change: Callable[[dict[str, Any]], Any]) -> bytes:
        files = unpacked()
        config = json.loads(files["config.json"])
        change(config["config"]["layers"])
        return packed({**files, "config.json": json.dumps(config).encode()})

    def layer(layers: Any, kind: str) -> dict[str, Any]:
        return next(each["config"] for each in layers if each["class_name"] == kind)

    whole = (FILES / MODEL).read_bytes()
    refused("has a model that cannot be read", whole[:-100])
    refused("has a model that cannot be read", packed({**unpacked(), "model.weights.h5": b"\x89HDF\r\n\x1a\n"}))
    refused("has other layers than", changed(lambda layers: layers.pop()))
    refused("has a GRU with activation='relu'", changed(lambda layers: layer(layers, "GRU").update(activation="relu")))
    inner = changed(lambda layers: layer(layers, "TimeDistributed")["layer"]["config"].update(activation="tanh"))
    refused("has a TimeDistributed with activation='tanh', where 'linear' is read", inner)
    weights = unpacked()["model.weights.h5"]
    renamed = packed({**unpacked(), "model.weights.h5": weights.replace(b"additive_attention", b"additive_Attention")})
    refused("holds no 'additive_attention/vars/0'", renamed)

    alphabets = (FILES / ASSETS).read_bytes()
    refused("has a damaged", assets=alphabets[:100])
    refused("asks in .* for 'pathlib.*Path', which is no plain container", assets=pickle.dumps({"x": tmp_path}))
    refused("has no alphabet 'eng_tokenizer'", assets=pickle.dumps({"eng_tokenizer": 3, "max_eng_len": 3}))
    refused("does not say how long", assets=alphabets.replace(b"max_eng_len", b"max_eng_lem"))
    words = alphabets.replace(b"char_level\x94\x88", b"char_level\x94\x89")
    refused("has an alphabet with char_level=False, where True is read", assets=words)
    with pytest.raises(ValueError, match="leave --vocab out"):
        main([str(FILES), "--vocab", "x.txt", "--output", str(tmp_path / "out")])
    (tmp_path / ASSETS).unlink()
    assert not recognizes(tmp_path)


def test_damaged_hdf5_is_refused_or_read() -> None:
    whole = unpacked()["model.weights.h5"]
    arrays = read_hdf5(whole)
    assert arrays["layers/bidirectional/forward_layer/cell/vars/2"].shape == (2, 12)
    for length in range(0, len(whole), 997):
        with pytest.raises(ValueError, match="HDF5"):
            read_hdf5(whole[:length])
    chance = random.Random(0)
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(8):
            damaged[chance.randrange(8, len(whole))] = chance.randrange(256)
        with contextlib.suppress(ValueError):  # nothing else, and always an end
            read_hdf5(bytes(damaged))
