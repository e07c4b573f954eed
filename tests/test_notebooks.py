# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The notebooks run from the first cell to the last, without a network."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.documents import ROOT


NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MAX_BYTES = 300_000  # a reader's browser shows it whole

notebooks = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def printed_words(notebook: nbformat.NotebookNode) -> list[str]:
    """What its cells print, without numbers."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    printed = "".join(output.text for output in outputs if output.get("name") == "stdout")
    return re.findall(r"[^\W\d_]{2,}", printed)


def test_there_are_three() -> None:
    assert len(NOTEBOOKS) == 3


@notebooks
def test_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.delenv("PUSH_TO", raising=False)
    notebook = nbformat.read(path, as_version=4)
    committed = printed_words(notebook)
    client = NotebookClient(
        notebook, timeout=None, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()  # raises what a cell raises, with the cell
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    if path.stem == "2_how_attention_works":  # the others train, which ends otherwise on another processor
        assert printed_words(notebook) == committed, "run the notebook again: CONTRIBUTING.md says how"


@notebooks
def test_the_committed_file_is_valid_small_and_shows_what_it_printed(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert path.stat().st_size < MAX_BYTES
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert outputs
    assert not any(output.output_type == "error" for output in outputs)
    assert not re.search(r"(/home|/root|/tmp|/work|/Users)/", json.dumps(outputs)), "paths of a machine"
