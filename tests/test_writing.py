# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Folders that appear when they are whole: what stands in their place is no loss."""

import os
from pathlib import Path

import pytest

from hf_attn_seq2seq.writing import whole_folder


def fill(folder: Path) -> None:
    with whole_folder(folder) as made:
        (made / "new").touch()


def test_a_file_or_a_device_in_the_place_of_a_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    os.mkfifo(tmp_path / "pipe")
    for name in ("file", "pipe"):
        with pytest.raises(ValueError, match=f"{name}' is not a folder"):
            fill(tmp_path / name)
    assert (tmp_path / "file").read_text() == "mine"
    assert (tmp_path / "pipe").is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "pipe"]


def test_a_link_to_a_folder_stays_one(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "old").touch()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for _ in range(2):
        fill(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["new"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "link"]
