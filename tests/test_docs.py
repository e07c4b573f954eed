# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What the pages say: their Python runs, their commands parse, and what they name is there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hf_attn_seq2seq import PRESETS, __version__
from hf_attn_seq2seq.configuration_attn_seq2seq import ATTENTION_NORMALIZERS, ATTENTION_TYPES, BRIDGES, DECODER_MIXERS
from hf_attn_seq2seq.training.recipe import MODEL_FIELDS, describe_fields, load_recipe
from hf_attn_seq2seq_cli import COMMANDS, PROGRAM, make_parser
from tests.documents import (
    DOCS,
    PAGES,
    README,
    ROOT,
    blocks,
    changes,
    commands,
    make_models,
    run_python,
    write_recipes,
)


ATTENTION = ROOT / "docs" / "attention.md"
WHERE = ROOT / "docs" / "where-to-change.md"
COMING = ROOT / "docs" / "coming-from.md"
SHELL = ("cat", "cd", "echo", "git", "hf", "source")  # what needs no check

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


@pytest.mark.parametrize("page", [page for page in DOCS if page != WHERE], ids=lambda page: page.stem)
def test_python_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_recipes(page, tmp_path)
    make_models(page, tmp_path)
    run_python(page)


@pages
def test_commands_parse(page: Path, tmp_path: Path) -> None:
    write_recipes(page, tmp_path)
    for words in commands(page):
        check_command(words, tmp_path)


def check_command(words: list[str], folder: Path) -> None:
    """Fail where a command line could not be run: no such command, option, file, target or extra."""
    name, *rest = words
    line = " ".join(words)
    if name == PROGRAM:
        if rest[0] in COMMANDS:
            check_arguments(rest[0], rest[1:], folder, line)
        else:
            assert rest[0].startswith("-"), f"no such command: {line}"
    elif name == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        assert all(word in targets or "=" in word for word in rest), f"no such target: {line}"
    elif rest[:1] == ["install"]:
        _, _, extras = (ROOT / "pyproject.toml").read_text("utf-8").partition("[project.optional-dependencies]")
        for extra in ",".join(re.findall(r"\[([\w,]+)\]", line)).split(","):
            assert not extra or f"\n{extra} = [" in extras, f"no such extra: {line}"
    elif name in ("python", "accelerate"):
        scripts = [word for word in rest if word.endswith(".py")]
        assert all((ROOT / script).is_file() for script in scripts), f"no such script: {line}"
        assert scripts or rest[0] == "-m", line
    else:
        assert name in SHELL, f"what is this? {line}"


def check_arguments(command: str, arguments: list[str], folder: Path, line: str) -> None:
    try:
        make_parser(command).parse(arguments)
    except SystemExit:
        pytest.fail(f"does not parse: {line}")
    if command in ("train", "preprocess") and not any(argument.startswith("-") for argument in arguments):
        recipes = [argument for argument in arguments if "=" not in argument]
        found = [path for name in recipes for path in (folder / name, ROOT / name) if path.is_file()]
        assert len(found) == len(recipes), f"no such recipe: {line}"
        load_recipe(found[0] if found else None, [argument for argument in arguments if "=" in argument])


@pages
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text("utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name} links to {link}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text("utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
            assert anchor in anchors, f"{page.name} links to {link}"


def test_the_index_names_every_page_and_notebook() -> None:
    text = (ROOT / "docs" / "README.md").read_text("utf-8")
    for path in [*DOCS, *(ROOT / "notebooks").glob("*.ipynb")]:
        assert path.name == "README.md" or path.name in text


# --------------------------------------------------------------------------------------------------------------------
# Attention
# --------------------------------------------------------------------------------------------------------------------


def attention_sections() -> dict[str, str]:
    parts = re.split(r"^#+ (.*)$", ATTENTION.read_text("utf-8"), flags=re.MULTILINE)
    return {title.strip("`"): text for title, text in zip(parts[1::2], parts[2::2]) if title.startswith("`")}


def test_every_attention_has_its_section_and_every_section_its_attention() -> None:
    sections = attention_sections()
    assert set(sections) == set(ATTENTION_TYPES)
    for kind, text in sections.items():
        for part in ("```math", "**Paper**", "**Fields**", "**Parts**", "**When**", f'ask("{kind}"'):
            assert part in text, f"{kind} lacks {part}"


@pytest.mark.parametrize("name", [*ATTENTION_NORMALIZERS, *BRIDGES, *DECODER_MIXERS, *PRESETS])
def test_the_page_of_attentions_names_the_choices_around_them(name: str) -> None:
    assert f"`{name}`" in ATTENTION.read_text("utf-8")


# --------------------------------------------------------------------------------------------------------------------
# Where to change
# --------------------------------------------------------------------------------------------------------------------


def test_every_file_named_is_there_and_holds_what_is_named_with_it() -> None:
    text = WHERE.read_text("utf-8")
    for path in re.findall(r"`([\w.]+/[\w./]*|\w+\.py)`", text):
        assert (ROOT / path).exists(), path
    for row in re.findall(r"^\|.*$", text, re.MULTILINE):
        names = re.findall(r"`([^`]+)`", row)
        files = [ROOT / name for name in names if name.endswith((".py", ".md"))]
        if not files:
            continue
        source = "".join(path.read_text("utf-8") for path in files)
        for name in names:
            if re.fullmatch(r"[\w.]+", name) and "/" not in name and not name.endswith(".py"):
                assert re.search(rf"\b{name.split('.')[-1]}\b", source), f"{name} is in none of the files of its row"


def test_what_is_new_works_as_the_page_adds_it(tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", "packaged")
    shutil.copytree(ROOT / "hf_attn_seq2seq", tmp_path / "hf_attn_seq2seq", ignore=ignored)
    hunks = changes(WHERE)
    assert len(hunks) == 7
    for hunk in hunks:
        path = tmp_path / hunk.path
        source = path.read_text("utf-8")
        assert source.count(hunk.before) == 1, f"the page changes lines that {hunk.path} has not, or has twice"
        path.write_text(source.replace(hunk.before, hunk.after), "utf-8")
    code = [block.code for block in blocks(WHERE, "python")]
    everywhere = (ROOT / "tests" / "new_front_end.py").read_text("utf-8")
    where = "import hf_attn_seq2seq\nprint(hf_attn_seq2seq.__file__)\n"
    (tmp_path / "use.py").write_text("\n".join([*code, everywhere, where]), "utf-8")
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])  # the package as it is changed, and the helpers of the tests
    environment = {**os.environ, "PYTHONPATH": paths, "HF_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "use.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.split()[-1]).is_relative_to(tmp_path)  # not the package that is installed


# --------------------------------------------------------------------------------------------------------------------
# Other libraries
# --------------------------------------------------------------------------------------------------------------------


def test_the_fields_that_other_libraries_become_are_there() -> None:
    places = {line.partition(":")[0] for line in describe_fields().splitlines()}
    places |= {f"model.{name}" for name in ["preset", *MODEL_FIELDS]}
    rows = re.findall(r"^\|.*\|([^|]*)\|$", COMING.read_text("utf-8"), re.MULTILINE)
    named = {
        name for row in rows for name in re.findall(r"\b((?:data|tokenizer|model|training|evaluation)\.[\w.]+)", row)
    }
    assert len(named) > 40
    assert named <= places


# --------------------------------------------------------------------------------------------------------------------
# Beside the pages
# --------------------------------------------------------------------------------------------------------------------


def test_the_changelog_begins_with_this_version() -> None:
    versions = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    released = versions[1:] if versions[0] == "Unreleased" else versions
    assert released[0] == __version__


def test_the_citation_is_of_this_version_and_has_what_the_format_asks_for() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation.keys() >= {"cff-version", "message", "title", "authors"}
    assert (citation["cff-version"], citation["version"], citation["license"]) == ("1.2.0", __version__, "Apache-2.0")


def test_the_readme_leads_to_the_pages() -> None:
    assert "docs/" in README.read_text("utf-8")
