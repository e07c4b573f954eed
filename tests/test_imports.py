# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The rooms of the house: each imports from those below it alone, and the model room can be taken away as it is."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import hf_attn_seq2seq


PACKAGE = "hf_attn_seq2seq"
ROOT = Path(hf_attn_seq2seq.__file__).parent
# From the ground up; what lies beside the model room needs nothing but libraries.
ROOMS = ("", "data", "graphs", "decoding", "convert", "export", "evaluation", "training", "explain", "app", "sharing")
# A saved model needs Transformers alone, which brings most; the last three are imported where they are installed.
LIBRARIES = {"torch", "transformers", "tokenizers", "huggingface_hub", "numpy", "sentencex", "soundfile", "PIL"}
# Imported by name, in a function: only models that name a network of it need it.
OPTIONAL = {"timm"}


class Import(NamedTuple):
    file: str  # in the package
    line: int
    module: str  # absolute; of a name imported from a package, with the name
    relative: bool

    @property
    def importer(self) -> str:
        return self.file.rpartition("/")[0].partition("/")[0]

    @property
    def room(self) -> str:
        """The imported module's."""
        _, *parts = self.module.split(".")
        return parts[0] if parts and (ROOT / parts[0]).is_dir() else ""

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.module}"


def imports_of(path: Path, root: Path = ROOT) -> Iterator[Import]:
    """Everything that a file imports: within functions, for annotations, and by `importlib`."""
    file = path.relative_to(root).as_posix()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield Import(file, node.lineno, name.name, False)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                package = [PACKAGE, *file.split("/")[:-1]]
                module = ".".join([*package[: len(package) + 1 - node.level], module]).rstrip(".")
            for name in node.names:
                yield Import(file, node.lineno, f"{module}.{name.name}", bool(node.level))
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            for argument in node.args:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield Import(file, node.lineno, argument.value, False)


def own_imports(root: Path = ROOT) -> list[Import]:
    """Those of this package from this package."""
    found = (one for path in sorted(root.rglob("*.py")) for one in imports_of(path, root))
    return [one for one in found if one.module.split(".")[0] == PACKAGE]


def model_room() -> set[str]:
    """The files that are saved with models, and what these import beside themselves."""
    kinds = ("configuration", "modeling", "tokenization", "feature_extraction", "image_processing", "processing")
    prefixes = tuple(f"{kind}_" for kind in (*kinds, "pipeline"))
    room = {path.name for path in ROOT.glob("*.py") if path.name.startswith(prefixes)}
    waiting = sorted(room)
    while waiting:
        for one in imports_of(ROOT / waiting.pop()):
            name = f"{one.module.split('.')[1]}.py" if one.relative and "." in one.module else ""
            if name and name not in room and (ROOT / name).is_file():
                room.add(name)
                waiting.append(name)
    return room


def upwards(imports: list[Import]) -> list[Import]:
    return [one for one in imports if ROOMS.index(one.room) > ROOMS.index(one.importer)]


def test_rooms_are_known() -> None:
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert folders <= set(ROOMS), "a new room has its place in ROOMS and in CONTRIBUTING.md"


def test_imports_point_downwards_only() -> None:
    # The package itself names what its rooms offer, and imports it when it is asked for.
    assert not [str(one) for one in upwards(own_imports()) if one.file != "__init__.py"]


def test_no_two_rooms_import_each_other() -> None:
    between = [one for one in own_imports() if one.importer != one.room and one.file != "__init__.py"]
    pairs = {(one.importer, one.room) for one in between}
    assert {pair for pair in pairs if pair[::-1] in pairs} == set()


def test_the_rooms_above_import_absolutely() -> None:
    relative = [str(one) for one in own_imports() if one.relative and one.importer]
    assert not relative


@pytest.mark.costly
@pytest.mark.parametrize("name", sorted(model_room()))
def test_the_model_room_can_be_taken_away(name: str) -> None:
    room = {file.removesuffix(".py") for file in model_room()}
    for one in imports_of(ROOT / name):
        if one.relative:  # `from .module import name`, which is all that Transformers copies
            assert one.module.count(".") == 2, str(one)
            assert one.module.split(".")[1] in room, str(one)
        else:
            assert one.module.split(".")[0] in LIBRARIES | OPTIONAL | set(sys.stdlib_module_names), str(one)


def test_the_model_room_is_known() -> None:
    """That it is not found empty."""
    assert {"attention.py", "recurrent.py", "transformer.py", "cache_attn_seq2seq.py", "recorder.py"} <= model_room()
    assert not {"console.py", "settings.py", "__init__.py"} & model_room()


@pytest.mark.parametrize(
    "line",
    [
        "from hf_attn_seq2seq.evaluation.alignment import alignment_error_rate",
        "from hf_attn_seq2seq import evaluation",
        "import hf_attn_seq2seq.evaluation.alignment",
        "def lazily():\n    from hf_attn_seq2seq.evaluation import alignment_error_rate",
        "from ..evaluation import alignment",
        "import importlib\n\n\ndef lazily():\n    return importlib.import_module('hf_attn_seq2seq.evaluation')",
    ],
)
def test_every_way_to_import_is_seen(tmp_path: Path, line: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "links.py").write_text(f"{line}\n")
    assert [one.room for one in upwards(own_imports(tmp_path))] == ["evaluation"]
