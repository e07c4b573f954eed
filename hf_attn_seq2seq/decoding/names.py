# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Names by which users choose: of models, whether they exist or not, and of settings. Nothing is loaded."""

import os
import re
from difflib import get_close_matches
from pathlib import Path


DEFAULT_MODEL = "en-fr"
PACKAGED = Path(__file__).parents[1] / "packaged"  # one folder per model included in this package
DTYPES = ("auto", "float32", "bfloat16", "float16")
ENGINES = ("auto", "graph", "torch")
# Sentences of a batch. The graph computes a small one nearly as fast, and waits less for the longest of its sentences.
GRAPH_BATCH, TORCH_BATCH = 16, 64
ENGINE_HELP = (
    "graph: one ONNX graph, on the CPU; torch: PyTorch (default: the graph on a CPU, where its translations are equal)"
)
END_TOKEN_CHOICES = ("competes", "excluded")  # of a read-out
DESCRIPTION = "exported.json"  # in the folder of an exported model
_PATH = re.compile(r"[^\s/]*(/[^\s/]+)+/?")  # a folder, or a name on the Hub
_ANCHORED = re.compile(r"(\.{1,2}|~[^\s/]*)?/\S+")  # begins like a path and unlike text
_LETTER = re.compile(r"[^\W\d_]")


def packaged_models() -> list[str]:
    """Names of the models included in this package."""
    return sorted(path.parent.name for path in PACKAGED.glob("*/config.json"))


def resolve(name: str) -> str:
    """The folder of a packaged model; other names, and existing folders of that name, are returned unchanged."""
    return str(PACKAGED / name) if name in packaged_models() and not os.path.exists(name) else name


def is_exported(name: str) -> bool:
    """Whether the folder was written by the command `export`."""
    return os.path.isfile(os.path.join(resolve(name), DESCRIPTION))


def names_model(text: str) -> bool:
    """Whether a command's argument names a model, or several separated by commas, rather than text to translate."""
    # A misspelled name of a packaged model counts as a name: loading reports it.
    packaged = packaged_models()
    return all(
        os.path.exists(name) or get_close_matches(name, packaged, cutoff=0.85) or looks_like_path(name)
        for name in text.split(",")
    )


def looks_like_path(text: str) -> bool:
    """
    Whether a text of one word is a path, or a name on the Hub, rather than words separated by slashes.

    `./folder`, `/folder` and `~/folder` are paths, and so is anything inside an existing folder. Otherwise
    `outputs/demo` and `user/model` are paths, but `and/or`, `km/h` and `AC/DC`, whose parts all have at most three
    characters, `24/7`, which has no letters, and `http://...` are texts.
    """
    if not _PATH.fullmatch(text):
        return False
    if _ANCHORED.fullmatch(text) or os.path.isdir(text.partition("/")[0]):
        return True
    return _LETTER.search(text) is not None and any(len(part) > 3 for part in text.split("/"))
