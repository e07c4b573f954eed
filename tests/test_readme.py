# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What the README and the docstrings show runs as it stands, and names what there is."""

import doctest
import re
from pathlib import Path

import pytest

from hf_attn_seq2seq import PRESETS, configuration_attn_seq2seq, modeling_attn_seq2seq
from hf_attn_seq2seq.configuration_attn_seq2seq import ATTENTION_NORMALIZERS, ATTENTION_TYPES, BRIDGES
from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer
from tests.helpers import tiny_model


README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")


def test_the_ten_lines_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL).group(1)
    names: dict = {}
    exec(code, names)
    assert names["output"].shape[0] == 8
    assert (tmp_path / "my-model" / "model.safetensors").is_file()
    assert type(names["model"]).__name__ == "AttnSeq2SeqForConditionalGeneration"


def test_the_explanation_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    tokenizer = train_tokenizer(["The cat is on the mat .", "Le chat est sur le tapis ."], kind="word", vocab_size=50)
    model = tiny_model(scale=0.4, vocab_size=len(tokenizer))
    model.generation_config.max_new_tokens = 6
    model.save_pretrained("outputs/demo")
    tokenizer.save_pretrained("outputs/demo")
    code = re.search(r"```python\n(from hf_attn_seq2seq.decoding.*?)```", README, re.DOTALL).group(1)
    exec(code, {})
    assert "All agree." in capsys.readouterr().out
    assert (tmp_path / "cat.json").is_file()


@pytest.mark.parametrize("name", [*ATTENTION_TYPES, *ATTENTION_NORMALIZERS, *BRIDGES, *PRESETS])
def test_the_table_names_all_there_is(name: str) -> None:
    assert f"`{name}`" in README


@pytest.mark.parametrize("module", [configuration_attn_seq2seq, modeling_attn_seq2seq])
def test_docstring_examples_run(module: object) -> None:
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS)  # type: ignore[arg-type]
    assert result.attempted
    assert not result.failed
