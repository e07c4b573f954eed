# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The live page as files: what it holds and allows, and what is refused. Its working is in `test_live.py`."""

import json
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import hf_attn_seq2seq_cli
from hf_attn_seq2seq.decoding.names import PACKAGED
from hf_attn_seq2seq.explain.live.site import RUNTIME, RUNTIME_VERSION, save_site
from hf_attn_seq2seq.explain.page import digest
from hf_attn_seq2seq.messages import shortened
from tests.explain.live import save


FRONTEND = Path(__file__).parents[2] / "frontend"
EXAMPLE = "</script><b>cat</b>"


class Elements(HTMLParser):
    """Scripts and styles, by their ids; the policy."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self.policy, self.now = "", ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.now = given.get("id") or tag if tag in ("script", "style") else ""
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"] or ""

    def handle_endtag(self, tag: str) -> None:
        self.now = ""

    def handle_data(self, data: str) -> None:
        if self.now:
            self.found[self.now] = self.found.get(self.now, "") + data


def test_one_file_of_the_packaged_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "page.html"
    hf_attn_seq2seq_cli.main(["site", "en-fr-small", "--output", str(path), "--single-file", "--example", EXAMPLE])
    assert "It opens by a double click" in capsys.readouterr().out
    assert path.stat().st_size < 30e6
    elements = Elements(path.read_text("utf-8"))
    settings = json.loads(elements.found["live"])
    assert settings["examples"][0]["text"] == EXAMPLE
    assert {f"file {entry['name']}" for entry in settings["files"]} < elements.found.keys()
    assert elements.policy == (
        f"default-src 'none'; script-src 'sha256-{digest(elements.found['script'])}' 'wasm-unsafe-eval'; "
        f"style-src 'sha256-{digest(elements.found['style'])}'; img-src data: blob:; base-uri 'none'; "
        "form-action 'none'"
    )


def test_a_folder_of_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "site"
    hf_attn_seq2seq_cli.main(["site", "en-fr-small", "--output", str(folder)])
    assert "python -m http.server" in capsys.readouterr().out
    weights = "model.safetensors"
    assert (folder / weights).read_bytes() == (PACKAGED / "en-fr-small" / weights).read_bytes()
    elements = Elements((folder / "index.html").read_text("utf-8"))
    assert "connect-src 'self'; " in elements.policy
    entries = json.loads(elements.found["live"])["files"]
    assert {(entry["name"], entry["bytes"]) for entry in entries} == {
        (path.name, path.stat().st_size) for path in folder.iterdir() if path.name != "index.html"
    }
    beside_the_model = sum(path.stat().st_size for path in folder.iterdir() if path.name not in (weights, RUNTIME))
    assert beside_the_model < 4e6


@pytest.mark.parametrize(
    ("language", "first", "offered"),
    [("fr", "Un homme joue", ["a sentence", "a paragraph"]), ("de", "A man is playing", ["a sentence"])],
)
def test_the_page_begins_in_the_language_that_the_model_reads(
    language: str, first: str, offered: list[str], tokenizer: Any, tmp_path: Path
) -> None:
    save(tmp_path / "model", tokenizer)
    settings = tmp_path / "model" / "tokenizer_config.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text("utf-8")), "src_lang": language}), "utf-8")
    path = save_site(str(tmp_path / "model"), tmp_path / "page.html", single_file=True).path
    examples = json.loads(Elements(path.read_text("utf-8")).found["live"])["examples"]
    assert examples[0]["text"].startswith(first)
    assert [example["name"] for example in examples] == offered


def test_the_runtime_is_that_of_the_sources() -> None:
    wanted = json.loads((FRONTEND / "package.json").read_text())["dependencies"]["onnxruntime-web"]
    assert wanted == RUNTIME_VERSION


@pytest.mark.parametrize(
    ("fields", "settings", "sentence"),
    [
        (
            {},
            {"repetition_penalty": 1.5},
            "The live page cannot use repetition_penalty=1.5, as generation_config.json",
        ),
        (
            {"frontend": "speech", "num_mel_bins": 8},
            {},
            "'{name}' reads speech, not text: use hf-attn-seq2seq explain.",
        ),
    ],
    ids=["setting", "speech"],
)
def test_models_that_are_refused(
    fields: dict[str, Any], settings: dict[str, Any], sentence: str, tokenizer: Any, tmp_path: Path
) -> None:
    model = save(tmp_path / "model", tokenizer, **fields)
    model.generation_config.update(**settings)
    model.generation_config.save_pretrained(tmp_path / "model")
    for models in ([str(tmp_path / "model")], ["en-fr-small", str(tmp_path / "model")]):
        with pytest.raises(ValueError, match=re.escape(sentence.format(name=shortened(str(tmp_path / "model"))))):
            save_site(models[0], tmp_path / "site", compare=models[1] if models[1:] else None)
    assert not (tmp_path / "site").exists()


def test_outputs_that_are_refused(tmp_path: Path) -> None:
    (tmp_path / "there.html").write_text("mine")
    for output, single_file, sentence in (
        (tmp_path / "page", True, "is to be one HTML file: name it with .html, or leave out --single-file"),
        (tmp_path / "there.html", True, "there.html' exists: name another --output"),
        (tmp_path / "there.html", False, "is not a folder"),
        (tmp_path, False, "exists and is not empty"),
        (tmp_path / "gone" / "page.html", True, "does not exist: create it before writing a page there"),
    ):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            save_site("en-fr-small", output, single_file=single_file)
    with pytest.raises(ValueError, match="The example is blank"):
        save_site("en-fr-small", tmp_path / "site", example=" ")
    with pytest.raises(ValueError, match="The example has 303 tokens, and 'en-fr-small' reads at most 256"):
        save_site("en-fr-small", tmp_path / "site", example="dog " * 301)
    assert not (tmp_path / "site").exists()
    assert (tmp_path / "there.html").read_text() == "mine"


def test_a_folder_of_strange_names_and_other_weights(
    tokenizer: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / 'it\'s "q" <img src=x onerror=alert(1)>'
    save(folder, tokenizer)
    save_file({"mine": torch.ones(2)}, folder / '"><img src=x onerror=alert(1)>.safetensors')
    output = tmp_path / 'it\'s "q"'
    hf_attn_seq2seq_cli.main(["site", str(folder), "--output", str(output)])
    assert shlex.split(capsys.readouterr().out.split("--directory ")[1].split(", and open")[0]) == [str(output)]
    assert [path.name for path in output.glob("*.safetensors")] == ["model.safetensors"]
    assert "<img" not in (output / "index.html").read_text("utf-8").split("<script>")[0]
