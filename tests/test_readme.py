# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What the README and the docstrings show runs as it stands, and names what there is."""

import doctest
from pathlib import Path

import pytest

from hf_attn_seq2seq import PRESETS, configuration_attn_seq2seq, modeling_attn_seq2seq
from hf_attn_seq2seq.configuration_attn_seq2seq import ATTENTION_NORMALIZERS, ATTENTION_TYPES, BRIDGES, DECODER_MIXERS
from tests.documents import README, make_models, run_python


def test_the_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    make_models(README, tmp_path)
    names = run_python(README)
    assert names["output"].shape[0] == 8
    assert (tmp_path / "my-model" / "model.safetensors").is_file()
    assert "All agree." in capsys.readouterr().out
    assert (tmp_path / "cat.json").is_file()


@pytest.mark.parametrize("name", [*ATTENTION_TYPES, *ATTENTION_NORMALIZERS, *BRIDGES, *DECODER_MIXERS, *PRESETS])
def test_the_table_names_all_there_is(name: str) -> None:
    assert f"`{name}`" in README.read_text("utf-8")


@pytest.mark.parametrize("module", [configuration_attn_seq2seq, modeling_attn_seq2seq])
def test_docstring_examples_run(module: object) -> None:
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS)  # type: ignore[arg-type]
    assert result.attempted
    assert not result.failed
