# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Transformers' own test mixins, taken from the source distribution of the Transformers that is installed.

The mixins (`ModelTesterMixin`, `ConfigTester`, ...) are not part of the wheel. They lie in `tests/*.py` of the source
distribution, which is fetched once into a cache folder, outside version control, and imported as the package
`transformers_source_tests`, so that it cannot be taken for this project's own `tests`.

The distribution leaves out three modules that the mixins import. Small ones of ours stand in for them (`_STAND_INS`):

- `exporters.test_export.ExportTesterMixin`: the real one exports every model with `torch.export` and ONNX. Ours is
  empty; `tests/test_export.py` covers export.
- `generation.test_utils.GenerationTesterMixin`: the real one runs every decoding mode of `generate()`, and checks the
  shapes of a key-value cache, which a recurrent decoder does not have. Ours is empty; `tests/test_generation.py`
  covers the decoding modes and the cache.
- `utils.test_configuration_utils.config_common_kwargs`: a non-default value for every common configuration argument,
  for `ConfigTester` to pass in and to read back. Ours lists those of Transformers 5.

A module that a later distribution does contain is taken from there.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

import pytest
import transformers
from filelock import FileLock


PACKAGE = "transformers_source_tests"
CACHE_VARIABLE = "HF_ATTN_TRANSFORMERS_TESTS"
DEFAULT_CACHE = Path(__file__).resolve().parents[2] / ".cache" / "transformers-tests"


class ExportTesterMixin:
    """Stands in for the exporters' mixin, which the source distribution leaves out."""


class GenerationTesterMixin:
    """Stands in for the generation mixin, which the source distribution leaves out."""


# One value that differs from the default for each argument that every Transformers 5 configuration takes.
config_common_kwargs: dict[str, Any] = {
    "return_dict": False,
    "output_hidden_states": True,
    "output_attentions": True,
    "dtype": "float16",
    "chunk_size_feed_forward": 5,
    "architectures": ["BertModel"],
    "id2label": {0: "label"},
    "label2id": {"label": 0},
    "problem_type": "regression",
    "tie_word_embeddings": False,
    "bos_token_id": 6,
    "pad_token_id": 7,
    "eos_token_id": 8,
    "decoder_start_token_id": 10,
}

_STAND_INS: dict[str, dict[str, Any]] = {
    "exporters.test_export": {"ExportTesterMixin": ExportTesterMixin},
    "generation.test_utils": {"GenerationTesterMixin": GenerationTesterMixin},
    "utils.test_configuration_utils": {"config_common_kwargs": config_common_kwargs},
}


def transformers_tests(module_name: str) -> ModuleType:
    """Import one module of the installed Transformers' own tests, fetching them on the first call.

    Args:
        module_name: a file in its `tests` folder without `.py`, such as `"test_modeling_common"`.

    The folder that holds them is `.cache/transformers-tests/<version>` in this repository, or `<version>` under the
    folder named by the environment variable `HF_ATTN_TRANSFORMERS_TESTS`. When they are neither there nor can be
    fetched, the calling test fails with a sentence that tells how to get them.
    """
    if PACKAGE not in sys.modules:
        _import_package(_source_tests(transformers.__version__))
    return importlib.import_module(f"{PACKAGE}.{module_name}")


def _import_package(folder: Path) -> None:
    spec = importlib.util.spec_from_file_location(
        PACKAGE, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = package
    spec.loader.exec_module(package)
    for name, contents in _STAND_INS.items():
        if folder.joinpath(*name.split(".")).with_suffix(".py").exists():
            continue
        parent = f"{PACKAGE}.{name.partition('.')[0]}"
        if parent not in sys.modules:
            sys.modules[parent] = ModuleType(parent)
            sys.modules[parent].__path__ = []
        module = ModuleType(f"{PACKAGE}.{name}", doc="Stands in for a module the source distribution leaves out.")
        vars(module).update(contents)
        sys.modules[module.__name__] = module


def _source_tests(version: str) -> Path:
    """The folder with the test files of this version of Transformers, fetched if it is not there yet."""
    cache = Path(os.environ.get(CACHE_VARIABLE) or DEFAULT_CACHE)
    folder = cache / version
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    # Several test workers may come here at once: one fetches, and the folder appears whole or not at all.
    with FileLock(cache / f"{version}.lock"):
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=cache, prefix=f".{version}-") as scratch:
                archive = _download(version, Path(scratch))
                unpacked = Path(scratch) / "tests"
                _unpack_tests(archive, unpacked)
                unpacked.rename(folder)
    return folder


def _download(version: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-binary", ":all:", "--no-deps"]
    command += ["--no-build-isolation", f"transformers=={version}"]
    done = subprocess.run([*command, "--dest", str(folder)], capture_output=True, text=True, check=False)
    archives = list(folder.glob("transformers-*.tar.gz"))
    if done.returncode != 0 or len(archives) != 1:
        reason = (done.stderr.strip() or "no archive came back").splitlines()[-1]
        pytest.fail(
            f"The conformance tests need the source distribution of transformers {version}, which could not be "
            f"fetched ({reason}): run them again with a network, and with pip, setuptools and wheel installed, or "
            f"copy the files of its `tests` folder and an empty `__init__.py` into `{version}` under the folder named "
            f"by the environment variable {CACHE_VARIABLE}.",
            pytrace=False,
        )
    return archives[0]


def _unpack_tests(archive: Path, target: Path) -> None:
    """Write the Python files of the archive's `tests` folder to `target`: contents only, no links and no modes."""
    target.mkdir()
    with tarfile.open(archive) as tar:
        for member in tar:
            _, *parts = PurePosixPath(member.name).parts
            if not member.isfile() or parts[:1] != ["tests"] or ".." in parts or not member.name.endswith(".py"):
                continue
            contents = tar.extractfile(member)
            assert contents is not None
            path = target.joinpath(*parts[1:])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(contents.read())
    (target / "__init__.py").touch()
