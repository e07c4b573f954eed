# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What is installed: the wheel and the source distribution, and a wheel with nothing but its declared needs."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from hf_attn_seq2seq.decoding.names import packaged_models


ROOT = Path(__file__).parents[1]
PACKAGE = "hf_attn_seq2seq"
# Runs the command line where no other library can be imported, as in an environment that has nothing else.
ALONE = """
import sys
blocked, folder = set(sys.argv[1].split(",")), sys.argv[2]
class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in blocked else self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)
sys.meta_path[:] = map(Without, sys.meta_path)
import hf_attn_seq2seq
assert hf_attn_seq2seq.__file__.startswith(folder), hf_attn_seq2seq.__file__
sys.argv[1:] = sys.argv[3:]
import hf_attn_seq2seq_cli
hf_attn_seq2seq_cli.main()
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both distributions, made of a copy, for setuptools leaves files where it builds."""
    folder = tmp_path_factory.mktemp("built")
    listed = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split("\0"):
        if name and (ROOT / name).is_file():
            copy = folder / "copy" / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, copy)
    build = f"from setuptools.build_meta import *; folder = {str(folder)!r}; build_sdist(folder); build_wheel(folder)"
    done = subprocess.run([sys.executable, "-c", build], cwd=folder / "copy", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (path,) = built.glob("*.whl")
    return path


def sources() -> set[str]:
    """What the package consists of, as the repository holds it."""
    files = (path for path in (ROOT / PACKAGE).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix() for path in files}


def test_the_wheel_carries_the_package_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    info = {name for name in names if PurePosixPath(name).parts[0].endswith(".dist-info")}
    assert names - info == sources() | {"hf_attn_seq2seq_cli.py"}
    assert any(name.endswith("/licenses/LICENSE") for name in info)


def test_the_source_distribution_can_be_built_from_and_carries_no_tests(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert sources() <= names
    assert {"pyproject.toml", "LICENSE", "README.md", "hf_attn_seq2seq_cli.py"} <= names
    assert not [name for name in names if re.match(r"tests|docs|frontend|training|model_cards", name)]


def test_the_packaged_models_are_small(wheel: Path) -> None:
    sizes = Counter[str]()
    for info in zipfile.ZipFile(wheel).infolist():
        if "/packaged/" in info.filename:
            sizes[Path(info.filename).parent.name] += info.file_size
    assert sorted(sizes) == packaged_models()
    assert 0 < sizes["en-fr"] <= 20e6
    assert 0 < sizes["fr-en"] <= 20e6
    assert 0 < sizes["en-fr-small"] + sizes["en-fr-small-fixed"] <= 16e6


def needs(distribution: str) -> Iterator[str]:
    """Names of the distributions that one needs without extras, and of those that they need, itself included."""
    found, waiting = set(), [Requirement(distribution)]
    while waiting:
        requirement = waiting.pop()
        name, extras = canonicalize_name(requirement.name), ["", *requirement.extras]
        if (name, *extras) in found:
            continue
        found.add((name, *extras))
        try:
            lines = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # for another platform
        yield name
        for line in map(Requirement, lines):
            if line.marker is None or any(line.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(line)


def test_the_wheel_translates_with_its_declared_needs_alone(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    needed = set(needs(PACKAGE))
    blocked = {
        module
        for module, distributions in importlib.metadata.packages_distributions().items()
        if not needed & set(map(canonicalize_name, distributions))
    }
    assert {"datasets", "rapidfuzz", "sacrebleu"} <= blocked
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "HF_HUB_OFFLINE": "1"}

    def run(*arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-c", ALONE, ",".join(blocked), str(tmp_path), *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)

    done = run("translate", "The cat is on the mat.")
    assert (done.returncode, done.stderr) == (0, "")
    assert "chat" in done.stdout
    missing = run("train", "x.yaml")
    assert missing.returncode == 2
    assert re.fullmatch(r"error: train needs [\w.]+, .* pip install 'hf_attn_seq2seq\[train\]'\.\n", missing.stderr)
