# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The conformance machinery itself: how Transformers' tests get here, and which skips are let through."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from . import bart_baseline, harness
from .conftest import unjustified_skip


def write_archive(path: Path) -> None:
    """A source distribution with one test file, and with much that must stay in it."""
    with tarfile.open(path, "w:gz") as archive:
        for name in ("tests/test_a.py", "tests/data.bin", "src/b.py", "tests/../c.py", "tests/../../d.py"):
            member = tarfile.TarInfo(f"transformers-9.9/{name}")
            member.size = len(name)
            archive.addfile(member, io.BytesIO(name.encode()))
        link = tarfile.TarInfo("transformers-9.9/tests/link.py")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)


def test_only_plain_test_files_are_unpacked_and_the_next_call_finds_them(tmp_path, monkeypatch):
    calls = []

    def download(command: list[str], **_: Any) -> SimpleNamespace:
        calls.append(command)
        write_archive(Path(command[-1]) / "transformers-9.9.tar.gz")
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setenv(harness.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(subprocess, "run", download)
    folder = harness._source_tests("9.9")
    assert harness._source_tests("9.9") == folder == tmp_path / "cache" / "9.9"
    assert len(calls) == 1
    assert "transformers==9.9" in calls[0]
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*") if path.is_file()} == {
        "cache/9.9.lock",
        "cache/9.9/__init__.py",
        "cache/9.9/test_a.py",
    }
    assert (folder / "test_a.py").read_text() == "tests/test_a.py"


def test_a_failed_fetch_says_why_and_what_to_do_and_leaves_no_folder(tmp_path, monkeypatch):
    failure = SimpleNamespace(returncode=1, stderr="WARNING: retrying\nERROR: No matching distribution found\n")
    monkeypatch.setenv(harness.CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failure)
    with pytest.raises(pytest.fail.Exception, match=r"transformers 9\.9.*No matching.*network.*setuptools") as caught:
        harness._source_tests("9.9")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "9.9").exists()


@pytest.mark.parametrize(
    ("test_name", "reason", "complaint"),
    [
        ("test_save_load", "because", "BART does not skip it"),
        ("test_attention_outputs", "Model does not output attentions", "BART does not skip it"),
        ("test_of_ours_alone", "because", "BART does not skip it"),
        ("test_attn_implementation_composite_models", "because", "BART skips it because 'Model is not a composite"),
        ("test_attn_implementation_composite_models", "Model is not a composite model.", None),
        ("test_keep_in_fp32_modules_exist", "AttnSeq2SeqModel has no _keep_in_fp32_modules nor "
         "_keep_in_fp32_modules_strict attribute defined", None),
    ],
)  # fmt: skip
def test_a_skip_needs_the_same_skip_of_bart(test_name, reason, complaint):
    found = unjustified_skip(SimpleNamespace(name=test_name, cls=bart_baseline.BartBaseline), f"Skipped: {reason}")
    assert found is None if complaint is None else complaint in found
