# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The weights of ONNX graphs in safetensors files, which several graphs share."""

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto, numpy_helper
from safetensors.numpy import save_file

from hf_attn_seq2seq.graphs.simplify import subgraphs


WEIGHTS_FILE = "weights.safetensors"
TYPES = {
    "F32": TensorProto.FLOAT,
    "F16": TensorProto.FLOAT16,
    "BF16": TensorProto.BFLOAT16,
    "I8": TensorProto.INT8,
    "U8": TensorProto.UINT8,
    "I64": TensorProto.INT64,
    "I32": TensorProto.INT32,
}
_LARGE = 1024  # bytes; smaller tensors stay in the graph


class Place(NamedTuple):
    """A tensor in a safetensors file."""

    file: str
    kind: int  # ONNX's element type
    offset: int  # bytes, in the file
    length: int
    shape: list[int]


def places(files: Sequence[Path]) -> dict[str, Place]:
    """The tensors of safetensors files, by name, as far as ONNX has their types."""
    found = {}
    for path in files:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(length))
        for name, entry in header.items():
            if name != "__metadata__" and entry["dtype"] in TYPES:
                start, end = entry["data_offsets"]
                kind = TYPES[entry["dtype"]]
                found[name] = Place(path.name, kind, 8 + length + start, end - start, entry["shape"])
    return found


def refer(tensor: TensorProto, place: Place) -> None:
    """Make an initializer refer to a file, which must lie in the graph's folder."""
    name = tensor.name
    tensor.Clear()
    tensor.name, tensor.data_type = name, place.kind
    tensor.dims.extend(place.shape)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", place.file), ("offset", place.offset), ("length", place.length)):
        tensor.external_data.add(key=key, value=str(value))


def save_together(models: Mapping[str, ModelProto], folder: Path) -> None:
    """
    Save graphs whose large weights lie in one file, equal ones once.

    Args:
        models: The graphs, by file name; their weights are replaced by references.
        folder: An existing folder.
    """
    tensors: dict[str, np.ndarray] = {}
    waiting: list[tuple[TensorProto, str]] = []
    for model in models.values():
        for tensor in _initializers(model.graph):
            array = numpy_helper.to_array(tensor)
            if array.nbytes >= _LARGE and tensor.data_type in TYPES.values():
                content = f"{array.dtype}{array.shape}".encode() + array.tobytes()
                key = hashlib.sha256(content).hexdigest()[:32]
                tensors[key] = np.ascontiguousarray(array)
                waiting.append((tensor, key))
    save_file(tensors, folder / WEIGHTS_FILE)
    known = places([folder / WEIGHTS_FILE])
    for tensor, key in waiting:
        refer(tensor, known[key])
    for name, model in models.items():
        (folder / name).write_bytes(model.SerializeToString())


def _initializers(graph: GraphProto) -> Iterator[TensorProto]:
    """Those of a graph and of all its subgraphs."""
    yield from graph.initializer
    for node in graph.node:
        for inner in subgraphs(node):
            yield from _initializers(inner)
