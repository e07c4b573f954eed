# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
The README and the pages of docs/ as tests read them.

A block marked `python` is run, those of a page one after the other in one namespace; `python hub` is run against a
server that answers as the Hub does. `bash` is parsed, not run. A `yaml` block whose first line is `# NAME.yaml` is a
recipe, and lies under that name where the page's blocks run.
"""

import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from transformers import dynamic_module_utils

from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer
from tests.helpers import tiny_model
from tests.hub_server import asking, serving
from tests.media_models import media_model, picture_files, sound_files


ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
MEDIA = {"an4-speech": "speech", "fraktur-lines": "image"}  # what models of these names read
PAGES = [README, ROOT / "CONTRIBUTING.md", *DOCS]


class Block(NamedTuple):
    """A fenced block of a page."""

    kind: str  # what stands behind the fence
    code: str
    line: int  # of the page, of its first line


class Change(NamedTuple):
    """A hunk of a diff: these lines of a file become those."""

    path: str
    before: str
    after: str


def blocks(page: Path, kind: str) -> list[Block]:
    """The page's blocks of one kind, in order."""
    text = page.read_text("utf-8")
    found = re.finditer(r"^```([\w ]+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    every = (Block(match[1], match[2], text[: match.start()].count("\n") + 2) for match in found)
    return [block for block in every if block.kind == kind]


def write_recipes(page: Path, folder: Path) -> None:
    """Write the recipes that the page shows."""
    for block in blocks(page, "yaml"):
        if name := re.match(r"# (\S+\.yaml)\n", block.code):
            (folder / name[1]).write_text(block.code, "utf-8")


def make_models(page: Path, folder: Path) -> None:
    """Save a tiny model for each `outputs/NAME` of the page, which its Python takes for trained, and its files."""
    code = "".join(block.code for block in blocks(page, "python"))
    for name in set(re.findall(r'"outputs/([\w-]+)"', code)):
        if name in MEDIA:
            media_model(MEDIA[name]).save(folder / "outputs" / name)
        else:
            make_model(folder / "outputs" / name)
    if "speech.flac" in code:
        sound_files(folder)[1].rename(folder / "speech.flac")
    if "line.png" in code:
        picture_files(folder)[0].rename(folder / "line.png")


def make_marian(folder: Path) -> Path:
    """A folder with a small model of Marian and its vocabulary."""
    files = ROOT / "tests/convert/marian"
    folder.mkdir()
    for name in ("student.bin", "source.spm"):
        shutil.copy(files / name, folder / name)
    return folder


def make_model(folder: Path) -> None:
    """Save a tiny model and its tokenizer."""
    sentences = ["The cat is on the mat .", "Le chat est sur le tapis ."]
    tokenizer = train_tokenizer(sentences, kind="word", vocab_size=50)
    model = tiny_model(scale=0.4, vocab_size=len(tokenizer))
    model.generation_config.max_new_tokens = 6
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def run_python(page: Path) -> dict[str, Any]:
    """Run the page's Python and return its names; errors tell the page's lines."""
    names: dict[str, Any] = {"__name__": "__main__"}
    if page.stem == "marian":
        names["marian"] = make_marian(Path("models"))
    for block in blocks(page, "python"):
        _run(page, block, names)
    for block in blocks(page, "python hub"):
        with tempfile.TemporaryDirectory() as folder, serving() as hub, asking(hub, Path(folder, "cache")) as patch:
            patch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(Path(folder, "modules")))
            made = Path(folder, "model")
            make_model(made)
            for name in set(re.findall(r'"(user/[\w-]+)"', block.code)):  # a repository of each name that it loads
                hub.put(hub.create(name), {path.name: path.read_bytes() for path in made.iterdir()})
            _run(page, block, names)
    return names


def _run(page: Path, block: Block, names: dict[str, Any]) -> None:
    exec(compile("\n" * (block.line - 1) + block.code, str(page), "exec"), names)


def commands(page: Path) -> Iterator[list[str]]:
    """Every simple command of the page's bash blocks as its words: pipes are cut, redirections left out."""
    for block in blocks(page, "bash"):
        for line in block.code.replace("\\\n", " ").splitlines():
            lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
            lexer.whitespace_split = True
            words: list[str] = []
            redirected = False
            for word in [*lexer, ";"]:
                if set(word) <= set("<>"):
                    redirected = True
                elif set(word) <= set("|&;"):
                    if words:
                        yield words
                    words = []
                elif redirected:
                    redirected = False
                else:
                    words.append(word)


def changes(page: Path) -> list[Change]:
    """The hunks of the page's diff blocks."""
    found = []
    for block in blocks(page, "diff"):
        for part in re.split(r"^--- .*\n\+\+\+ b/", block.code, flags=re.MULTILINE)[1:]:
            path, _, hunks = part.partition("\n")
            for hunk in re.split(r"^@@.*\n", hunks, flags=re.MULTILINE)[1:]:
                lines = [line if line != "\n" else " \n" for line in hunk.splitlines(keepends=True)]
                before = "".join(line[1:] for line in lines if line[0] != "+")
                after = "".join(line[1:] for line in lines if line[0] != "-")
                found.append(Change(path, before, after))
    return found
