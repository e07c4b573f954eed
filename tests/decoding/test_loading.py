# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Models by name: those that come with the package, folders, and what is neither."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import hf_attn_seq2seq
from hf_attn_seq2seq.decoding import command, translate
from hf_attn_seq2seq.decoding.loading import (
    DEFAULT_MODEL,
    PACKAGED,
    Translator,
    load,
    names_model,
    packaged_models,
    resolve,
)
from tests.decoding.test_command import pipe


SENTENCES = ["The cat is on the mat.", "I like tea."]


@pytest.fixture(scope="module")
def packaged() -> Translator:
    return load()


@pytest.fixture(scope="module")
def expected(packaged: Translator) -> list[str]:
    return translate(*packaged, SENTENCES)


def test_the_packaged_model_translates(packaged: Translator, expected: list[str]) -> None:
    assert packaged_models() == [DEFAULT_MODEL] == ["en-fr-small"]
    assert "chat" in expected[0]
    assert "thé" in expected[1]


def test_it_is_kept_in_half_precision_and_computes_in_single_on_a_cpu(packaged: Translator) -> None:
    weights = load_file(PACKAGED / DEFAULT_MODEL / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
    assert load(device="cpu").model.dtype == torch.float32
    assert load(device="cpu", dtype="bfloat16").model.dtype == torch.bfloat16


def test_the_package_gives_it_by_name(expected: list[str]) -> None:
    model, tokenizer = hf_attn_seq2seq.load("en-fr-small")
    assert translate(model, tokenizer, SENTENCES) == expected


def test_a_folder_is_loaded_as_well(folders: Path, model, tokenizer) -> None:
    found = load(folders / "gru")
    assert translate(*found, SENTENCES, max_new_tokens=5) == translate(model, tokenizer, SENTENCES, max_new_tokens=5)


def test_a_folder_of_the_same_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve(DEFAULT_MODEL) == str(PACKAGED / DEFAULT_MODEL)
    assert resolve("some/model") == "some/model"
    monkeypatch.chdir(tmp_path)
    (tmp_path / DEFAULT_MODEL).mkdir()
    assert resolve(DEFAULT_MODEL) == DEFAULT_MODEL
    with pytest.raises(ValueError, match="holds no trained model"):
        load(DEFAULT_MODEL)


def test_an_unknown_name_is_told_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"There is no model 'en-fr-smal': .* \(which has en-fr-small\)"):
        load("en-fr-smal")


@pytest.mark.parametrize("text", ["en-fr-small", "user/name", "outputs/a,outputs/b", "./demo", "/a/b/", "tests"])
def test_what_can_name_a_model(text: str) -> None:
    assert names_model(text)


@pytest.mark.parametrize("text", ["The cat is on the mat.", "Hello", "Hello.", "and / or", "", "x" * 5000, "a\0b"])
def test_what_is_a_text(text: str) -> None:
    assert not names_model(text)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    command.main(list(arguments))
    return capsys.readouterr().out.splitlines()


def test_the_command_takes_a_sentence_and_needs_no_model(expected, tmp_path, capsys, monkeypatch) -> None:
    assert run(capsys, SENTENCES[0]) == expected[:1]
    assert run(capsys, "\n".join(SENTENCES)) == expected
    assert run(capsys, "en-fr-small", SENTENCES[1]) == expected[1:]
    assert run(capsys, SENTENCES[1], "--alignments", "--n-best", "2")[0].startswith(f"0 ||| {expected[1]} ||| ")
    path = tmp_path / "lines.en"
    path.write_text("\n".join(SENTENCES), "utf-8")
    assert run(capsys, str(path)) == run(capsys, "en-fr-small", str(path)) == expected
    for arguments in ([], ["en-fr-small"]):
        pipe(monkeypatch, "\n".join(SENTENCES).encode())
        assert run(capsys, *arguments) == expected


def test_a_sentence_by_a_model_of_ones_own(folders: Path, model, tokenizer, capsys) -> None:
    assert run(capsys, str(folders / "gru"), "a b", "--num-beams", "2") == translate(
        model, tokenizer, ["a b"], num_beams=2
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([""], "The text is empty"),
        (["en-fr-small", "  "], "The text is empty"),
        (["missing.en"], "There is no file missing.en"),
        (["en-fr-small", "folder/missing"], "There is no file folder/missing"),
        (["no/model"], "There is no model 'no/model'"),
        (["A sentence.", "--resume"], "--resume needs a FILE"),
    ],
)
def test_wrong_arguments(arguments: list[str], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        command.main(arguments)
