# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The command `explain`, as a user meets it."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from hf_attn_seq2seq.console import run_command
from hf_attn_seq2seq.explain.command import main, read_change
from tests.explain.conftest import TEXT


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory, make_model: Callable[..., Any], tokenizer: PreTrainedTokenizerBase
) -> Path:
    root = tmp_path_factory.mktemp("models")
    for name, fields in {"attention": {}, "none": {"attention_type": "none"}}.items():
        make_model(**fields).save_pretrained(root / name)
        tokenizer.save_pretrained(root / name)
    return root


def test_the_terminal_shows_all_chapters(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(folder / "attention"), TEXT, "--plain"])
    shown = capsys.readouterr().out
    for title in ("tokens", "embeddings", "encoder", "handover", "step input", "attention", "choice and stop", "loop"):
        assert title in shown.lower()
    assert "numbers recomputed; largest difference" in shown
    assert shown.isascii()


def test_files_are_written(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, figure, trace = (tmp_path / name for name in ("page.html", "map.png", "trace.json"))
    files = ["--html", str(page), "--figure", str(figure), "--json", str(trace), "--tensors", "side.safetensors"]
    main([str(folder / "attention"), TEXT, "--beams", "3", "--what-if", "weights.2=uniform", *files])
    shown = capsys.readouterr().out
    assert all(str(path) in shown for path in (page, figure, trace))
    assert figure.read_bytes().startswith(b"\x89PNG")
    document = json.loads(trace.read_text("utf-8"))
    assert document["children"][0]["what_if"]["kind"] == "weights"
    assert (tmp_path / "side.safetensors").is_file()
    main([str(trace), "--plain", "--chapter", "attention"])
    assert "numbers recomputed" in capsys.readouterr().out


def test_the_what_ifs_of_the_readme_work_with_the_packaged_model(capsys: pytest.CaptureFixture[str]) -> None:
    changes = ["target.2=chien", "weights.2=uniform", "weights.2=mat", "source=The dog is on the mat."]
    given = [part for change in changes for part in ("--what-if", change)]
    main(["The cat is on the mat.", "--plain", "--chapter", "loop", *given])
    shown = capsys.readouterr().out
    for change in changes:
        assert f"What if {change}:  Le " in shown
    assert "What if target.2=chien:  Le chien" in shown


def test_a_text_that_is_cut_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    options = ["--max-new-tokens", "2", "--plain", "--chapter", "loop", "--beams", "1"]
    main(["Tea is good. I like tea.", *options])
    assert "truncated" not in caplog.text
    main(["I like tea and " * 80 + "coffee.", *options])
    assert caplog.text.count("was truncated to the 256 that the model reads: shorten it") == 1


def test_two_models_side_by_side(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(folder / "attention"), TEXT, "--plain", "--chapter", "loop", "--compare", str(folder / "none")])
    assert str(folder / "none") in capsys.readouterr().out.replace("\n", "")


def test_other_views(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(folder / "attention"), TEXT, "--plain", "--chapter", "loop", "--faithfulness"])
    shown = capsys.readouterr().out.lower()
    assert "erasure" in shown
    assert "gradient" in shown


def test_control_characters_do_not_reach_the_terminal(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "the \x1b[31mcat\u202e is"
    main([str(folder / "attention"), text, "--json", str(tmp_path / "t.json"), "--what-if", f"source={text} on"])
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_a_terminal_of_unknown_width(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "0")
    main([str(folder / "attention"), TEXT, "--chapter", "loop"])
    assert "The loop" in capsys.readouterr().out


def test_a_paragraph_is_shown_sentence_by_sentence(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paragraph = "The cat is on the mat. A dog sees the old house."
    main([str(folder / "attention"), paragraph, "--plain", "--chapter", "tokens", "--sentence", "2"])
    shown = capsys.readouterr().out
    assert "The cat is on the mat." in shown
    assert "house" in shown.partition("The cat is on the mat.")[2]


def test_a_text_of_too_many_sentences_is_told(folder: Path) -> None:
    with pytest.raises(ValueError, match="The text has 555 sentences, each of which is traced: give at most 100"):
        main([str(folder / "attention"), "The cat is on the mat with a dog. " * 555])


def test_examples_are_explained_by_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(folder / "attention")
    main([model, "--example", "paragraph", "--plain", "--chapter", "tokens", "--sentence", "2", "--beams", "1"])
    listed = capsys.readouterr().out.partition("1 Tokens")[0]
    assert re.findall(r"^\| +(\d) \|", listed, re.MULTILINE) == ["1", "2", "3"]
    main([model, "--example", "sentence", "--plain", "--chapter", "tokens"])
    assert "j  source" in capsys.readouterr().out
    main(["--example", "paragraph", "--plain", "--chapter", "tokens", "--beams", "1"])
    assert "La rue était pleine de gens" in capsys.readouterr().out
    for arguments in ([model, TEXT, "--example", "sentence"], ["--example", "paragraph", "--train-tour"]):
        with pytest.raises(ValueError, match="--example brings its own text: leave out yours"):
            main(arguments)
    with pytest.raises(SystemExit):
        main(["--example", "poem"])
    assert "invalid choice: 'poem'" in capsys.readouterr().err


def reading(language: str, folder: Path, copy: Path) -> str:
    """A copy of a model whose tokenizer says what language it reads."""
    shutil.copytree(folder, copy)
    settings = copy / "tokenizer_config.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text("utf-8")), "src_lang": language}), "utf-8")
    return str(copy)


def test_an_example_is_in_the_language_that_the_model_reads(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = reading("fr_XX", folder / "attention", tmp_path / "french")
    trace_file = tmp_path / "trace.json"
    main([model, "--example", "sentence", "--json", str(trace_file)])
    assert json.loads(trace_file.read_text("utf-8"))["source"]["text"] == "Un homme joue de la guitare dans la rue."
    main([model, "--example", "paragraph", "--plain", "--chapter", "tokens", "--beams", "1"])
    assert len(re.findall(r"^\| +(\d) \|", capsys.readouterr().out, re.MULTILINE)) == 3
    with pytest.raises(ValueError, match=r"no text in 'de', which '.*' reads: give one of yours"):
        main([reading("de", folder / "attention", tmp_path / "german"), "--example", "sentence"])
    with pytest.raises(ValueError, match="is a saved trace of one sentence"):
        main([str(trace_file), "--example", "sentence"])


def test_a_paragraph_becomes_one_page_with_other_views(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paragraph = "The cat is on the mat. A dog sees the old house."
    arguments = [str(folder / "attention"), paragraph, "--faithfulness", "--html", str(tmp_path / "page.html")]
    main(arguments)
    assert "The page shows each of them." in capsys.readouterr().out
    data = page_data(tmp_path / "page.html")
    assert [row["text"] for row in data["overview"]] == ["The cat is on the mat.", "A dog sees the old house."]
    for run in data["runs"]:
        assert len(run["faithfulness"]["views"]["erasure"]["values"]) == len(run["document"]["steps"])
        assert all(check["passed"] for check in run["document"]["checks"])
    main([*arguments, "--sentence", "2"])
    data = page_data(tmp_path / "page.html")
    assert [run["document"]["source"]["text"] for run in data["runs"]] == ["A dog sees the old house."]
    assert data["overview"] == []


def page_data(path: Path) -> Any:
    found = re.search(r'id="data">(.*?)</script>', path.read_text("utf-8"))
    assert found is not None
    return json.loads(found[1])


@pytest.mark.parametrize(
    ("change", "meant"),
    [
        ("source=a dog = a dog", {"source": "a dog = a dog"}),
        ("target.2=chien", {"target": {2: "chien"}}),
        ("weights.-1=uniform", {"weights": {-1: "uniform"}}),
        ("weights.0=4", {"weights": {0: 4}}),
        ("weights.0=0.5,0.5", {"weights": {0: [0.5, 0.5]}}),
        ("weights.2=cat", {"weights": {2: "cat"}}),
        ("weights.2=,", {"weights": {2: ","}}),
        ("heads=1,3", {"heads": [1, 3]}),
        ("heads.2=-1", {"heads": [-1], "layer": 2}),
    ],
)
def test_changes_are_read(change: str, meant: dict[str, Any]) -> None:
    assert read_change(change) == meant


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["MODEL"], "Give a sentence"),
        (["MODEL", "  "], "blank"),
        (["nowhere", TEXT], "no model 'nowhere'"),
        (["MODEL", TEXT, "--what-if", "target=chien"], "is not a change"),
        (["MODEL", TEXT, "--what-if", "weights.1=even"], "'even' is not a word of the source"),
        (["MODEL", TEXT, "--step", "40"], "no step 40: there are 3, counted from 1"),
        (["MODEL", TEXT, "--step", "0"], "no step 0"),
        (["MODEL", TEXT, "--what-if", "weights.1=9"], "no source token 9"),
        (["MODEL", TEXT, "--what-if", "target.7=chien"], "no step 7"),
        (["MODEL", TEXT, "--what-if", "heads=a"], "'a' is not a list of heads"),
        (["MODEL", TEXT, "--what-if", "heads=1"], "one head: without it"),
        (["MODEL", TEXT, "--what-if", "heads=2"], "no head 2: there are 1, counted from 1"),
        (["MODEL", TEXT, "--what-if", "heads.4=1"], "no layer 4"),
        (["MODEL", TEXT, "--layer", "7"], "no layer 7"),
        (["MODEL", TEXT, "--head", "7"], "no head 7"),
        (["MODEL", TEXT, "--sentence", "3"], "no sentence 3"),
        (["MODEL", TEXT, "--html", "nowhere/page.html"], "create its folder, 'nowhere', first"),
        (["MODEL", TEXT, "--tensors", "side.safetensors"], "stores the vectors of a --json trace"),
        (["MODEL", TEXT, "--figure", "map.gif"], ".gif"),
        (["MODEL", "cat " * 2100], "2,101 tokens, but a trace supports at most 2,048"),
        (["missing.json"], "no file 'missing.json'"),
        (["MODEL", TEXT, "--html", "a.json", "--json", "a.json"], "given twice"),
        (["MODEL", TEXT, "--json", "trace.txt"], "does not end in .json"),
        (["MODEL", TEXT, "--html", "."], "is a folder"),
        (["MODEL", TEXT, "--compare", ""], "name of the model is empty"),
        (["MODEL", "./text.txt"], "'./text.txt' is a file: give its text"),
        (["MODEL", TEXT, "--kind", "beams"], "--kind only applies to a picture"),
        (["MODEL", TEXT, "--level", "word"], "--level only applies to a picture"),
        (["NONE", TEXT, "--head", "1"], "no attention"),
    ],
)
def test_bad_input_is_told_in_a_sentence(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text(TEXT, "utf-8")
    models = {"MODEL": str(folder / "attention"), "NONE": str(folder / "none")}
    given = [models.get(argument, argument) for argument in arguments]
    with pytest.raises(SystemExit) as stopped:
        run_command(lambda: main(given))
    said = capsys.readouterr().err
    assert stopped.value.code == 2
    assert said.startswith("error: ")
    assert len(said.splitlines()) == 1
    assert sentence in said
