# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What a graph says of itself, read without ONNX."""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from hf_attn_seq2seq.protobuf import fields


GRAPH_FILE = "graph.onnx"
FORMAT = "hf_attn_seq2seq graph"
VERSION = 2
STATES_MASK = "states_mask"  # that belongs to the encoder's states, where it is not the source's own
CONFIG_FILE = "config.json"
READOUT_FILE = "alignment.json"  # beside a model's weights
COSMETIC = ("transformers_version", "auto_map", "custom_pipelines", "architectures", "dtype", "_name_or_path")
_PROPERTIES = 14  # the field of ModelProto with names and values


def read_about(content: bytes) -> dict[str, Any] | None:
    """What a graph says of itself; None if it is not one of this package's."""
    about = {}
    try:
        for number, value in fields(memoryview(content)):
            if number == _PROPERTIES:
                name, text = (bytes(part).decode() for _, part in fields(value))
                about[name] = json.loads(text)
    except (ValueError, IndexError, TypeError):
        return None
    return about if about.get("format") == FORMAT else None


class Rows(NamedTuple):
    """The rows of attention that a graph returns unless its caller names others: the fields of `Readout`."""

    layer: int = -1
    head: int | None = None  # None: all
    shift: int = 0


USUAL_ROWS = Rows()


def attention_rows(folder: Path) -> Rows:
    """
    Those that the folder's `alignment.json` names. Where there is none they are the usual ones, and so they are where
    it is damaged: only who aligns must be told of that.
    """
    try:
        content = json.loads((folder / READOUT_FILE).read_text("utf-8"))
        rows = Rows(**{name: content[name] for name in Rows._fields if name in content})
    except (OSError, ValueError, TypeError):
        return USUAL_ROWS
    numbers = (rows.layer, rows.shift, 0 if rows.head is None else rows.head)
    return rows if {type(each) for each in numbers} == {int} and rows.shift >= 0 else USUAL_ROWS


def checksums(folder: Path) -> dict[str, str]:
    """The checksums of what a graph was written from: weights, configuration, and the rows of attention it returns."""
    rows = json.dumps(attention_rows(folder)).encode()
    found = {path.name: checksum(path) for path in sorted(folder.glob("*.safetensors"))}
    found[READOUT_FILE] = hashlib.sha256(rows).hexdigest()
    try:
        config = json.loads((folder / CONFIG_FILE).read_text("utf-8"))
        settings = sorted((name, value) for name, value in config.items() if name not in COSMETIC)
    except (OSError, ValueError, AttributeError):
        return found
    content = json.dumps(settings, sort_keys=True).encode()
    return {**found, CONFIG_FILE: hashlib.sha256(content).hexdigest()}


def checksum(path: Path) -> str:
    """The SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
