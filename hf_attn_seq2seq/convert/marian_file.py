# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
The files of Marian's models: `.npz`, and `.bin` of version 1, in single precision or 8 bits.

A `.bin`, all of whose numbers are little-endian, has

    u64 version, u64 count
    count times: u64 name length with its zero byte, u64 type, u64 rank, u64 data length (a multiple of 256)
    the names; the shapes, i32; u64 gap, and as many bytes, after which the data begin at a multiple of 256
    the data, one tensor after another

Of an 8-bit matrix the data are its int8 values, followed by one float32, the multiplier m: a weight is q / m. Such
matrices are stored with rows and columns exchanged, but for tables of embeddings. Beside a matrix X, `X_QuantMultA`
is the multiplier of what is multiplied with it. The options are the text of the tensor `special:model.yml`.

Files are only looked at as bytes; every size is compared with that of the file before memory is taken for it.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from hf_attn_seq2seq.messages import quoted, shortened


VERSION = 1
ALIGNMENT = 256
INT8, FLOAT32, INTGEMM8 = 0x0101, 0x0404, 0x4101
_WIDTHS = {INT8: 1, FLOAT32: 4, INTGEMM8: 1}
_OTHER_TYPES = {
    0x0402: "in 16-bit floats",
    0x0408: "in double precision",
    0x4102: "in 16 bits",
}
OPTIONS = "special:model.yml"
QUANT_MULT = "_QuantMultA"
TABLE = "Wemb"  # ends the names of tables of embeddings
_MOST_RANK = 8
_MOST_COMPRESSED = 1032  # times, which no deflated member exceeds


class MarianFile(NamedTuple):
    """What a file holds."""

    tensors: dict[str, np.ndarray]  # float32; matrices of 8 bits as q / m
    multipliers: dict[str, float]  # m of each tensor that is in 8 bits
    options: dict[str, Any]


class Stored(NamedTuple):
    """A tensor of a `.bin` as it lies there."""

    type: int
    shape: tuple[int, ...]
    data: bytes | memoryview


def read_marian(path: Path) -> MarianFile:
    """
    Read a model's file.

    Raises:
        ValueError: There is none, or it is foreign, cut off, or of a version or type that is not known.
    """
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"There is no file '{path}': name a model of Marian, .npz or .bin.") from None
    except OSError as error:
        raise ValueError(
            f"'{path}' cannot be read ({error.strerror}): name a model of Marian, .npz or .bin."
        ) from None
    if content.startswith(b"PK"):
        return _read_npz(content, str(path))
    return _read_bin(content, str(path))


def _no_marian(name: str) -> ValueError:
    return ValueError(f"'{name}' is no model of Marian: name its .npz or .bin file.")


def _cut_off(name: str) -> ValueError:
    return ValueError(f"'{name}' is cut off, or its sizes are wrong: get the file again.")


def parse_options(text: bytes, name: str) -> dict[str, Any]:
    """
    The options of a model, from their text.

    Raises:
        ValueError: They are no YAML mapping.
    """
    try:
        options = yaml.safe_load(text.split(b"\0")[0].decode())
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError):
        options = None
    if not isinstance(options, dict) or not all(isinstance(key, str) for key in options):
        raise ValueError(f"The options in '{name}' cannot be read: get the file again.")
    return options


# --------------------------------------------------------------------------------------------------------------------
# .bin
# --------------------------------------------------------------------------------------------------------------------


def read_stored(content: bytes, name: str) -> dict[str, Stored]:
    """
    The tensors of a `.bin` as they lie there.

    Args:
        content: The bytes of the file.
        name: What errors call it.

    Raises:
        ValueError: As of [`read_marian`].
    """
    view, place = memoryview(content), 0

    def take(length: int) -> memoryview:
        nonlocal place
        if length > len(view) - place:
            raise _cut_off(name)
        place += length
        return view[place - length : place]

    if len(content) < 16:
        raise _no_marian(name)
    version, count = struct.unpack("<2Q", take(16))
    if version != VERSION:
        # Versions are small numbers; anything else is no such file.
        if 0 < version < 256:
            raise ValueError(f"'{name}' is of version {version} of Marian's format: only version {VERSION} is known.")
        raise _no_marian(name)
    if count > (len(view) - place) // 32:
        raise _cut_off(name)
    headers = list(struct.iter_unpack("<4Q", take(32 * count)))
    names: list[str] = []
    for length, *_ in headers:
        try:
            names.append(bytes(take(length)).split(b"\0")[0].decode())
        except UnicodeDecodeError:
            raise _no_marian(name) from None
    if len(set(names)) < len(names):
        raise ValueError(f"'{name}' holds a tensor twice: get the file again.")
    shapes = []
    for _, _, rank, _ in headers:
        if rank > _MOST_RANK:
            raise _cut_off(name)
        shapes.append(struct.unpack(f"<{rank}i", take(4 * rank)))
    (gap,) = struct.unpack("<Q", take(8))
    take(gap)
    found = {}
    for tensor, (_, kind, _, length), shape in zip(names, headers, shapes):
        data = take(length)
        if kind not in _WIDTHS:
            told = _OTHER_TYPES.get(kind, f"of type {kind:#06x}, perhaps packed for one kind of processor")
            raise ValueError(
                f"'{name}' holds {quoted(tensor)} {told}: convert a file in single precision, or in intgemm's 8 bits."
            )
        size = _WIDTHS[kind] * math.prod(shape) + (4 if kind == INTGEMM8 else 0)
        if min(shape, default=0) < 0 or size > length:
            raise _cut_off(name)
        found[tensor] = Stored(kind, shape, data)
    return found


def _read_bin(content: bytes, name: str) -> MarianFile:
    stored = read_stored(content, name)
    if OPTIONS not in stored:
        raise ValueError(f"'{name}' holds no options ({OPTIONS}), so its architecture is unknown: get another file.")
    tensors, multipliers = {}, {}
    for tensor, (kind, shape, data) in stored.items():
        if tensor == OPTIONS:
            continue
        if kind == FLOAT32:
            tensors[tensor] = np.frombuffer(data, "<f4", math.prod(shape)).reshape(shape)
        elif kind == INTGEMM8:
            tensors[tensor], multipliers[tensor] = dequantized(tensor, shape, data)
        elif not tensor.startswith("special:"):
            raise ValueError(f"'{name}' holds {quoted(tensor)} in 8 bits without a multiplier: get another file.")
        if tensor in tensors and not np.isfinite(tensors[tensor]).all():
            raise ValueError(f"'{name}' holds numbers in {quoted(tensor)} that are not finite: get another file.")
    return MarianFile(tensors, multipliers, parse_options(bytes(stored[OPTIONS].data), name))


def dequantized(tensor: str, shape: tuple[int, ...], data: bytes | memoryview) -> tuple[np.ndarray, float]:
    """A tensor of 8 bits as q / m, and m."""
    count = math.prod(shape)
    (multiplier,) = struct.unpack_from("<f", data, count)
    if not multiplier > 0 or math.isinf(multiplier):
        multiplier = math.nan  # which is then refused
    whole = np.frombuffer(data, np.int8, count).astype(np.float32) / np.float32(multiplier)
    if is_transposed(tensor, shape):
        return whole.reshape(shape[::-1]).T, multiplier
    return whole.reshape(shape), multiplier


def is_transposed(tensor: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor's 8-bit values are stored with rows and columns exchanged."""
    return len(shape) == 2 and not tensor.endswith(TABLE)


# --------------------------------------------------------------------------------------------------------------------
# .npz
# --------------------------------------------------------------------------------------------------------------------


def _read_npz(content: bytes, name: str) -> MarianFile:
    tensors, options = {}, None
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > _MOST_COMPRESSED * len(content):
                raise _cut_off(name)
            for member in members:
                tensor = member.filename.removesuffix(".npy")
                if tensor in tensors:
                    raise ValueError(f"'{name}' holds a tensor twice: get the file again.")
                array = _read_npy(archive, member)
                if array is None:
                    raise ValueError(f"'{name}' holds {quoted(tensor)}, which is no array of plain numbers: {_WHAT}")
                if tensor == OPTIONS:
                    options = array.tobytes()
                elif array.dtype != np.float32:
                    told = shortened(str(array.dtype))
                    raise ValueError(f"'{name}' holds {quoted(tensor)} as {told}: convert one in single precision.")
                elif not np.isfinite(array).all():
                    raise ValueError(f"'{name}' holds numbers in {quoted(tensor)} that are not finite: {_WHAT}")
                else:
                    tensors[tensor] = array
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error):
        raise _cut_off(name) from None
    if options is None:
        raise ValueError(f"'{name}' holds no options ({OPTIONS}), so it is no model of Marian: name its .npz or .bin.")
    return MarianFile(tensors, {}, parse_options(options, name))


_WHAT = "get the file again."


def _read_npy(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray | None:
    """An array of plain numbers; None for anything else. Nothing is unpickled."""
    content = archive.read(member)
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, in_columns, dtype = read(stream)
    except ValueError:
        return None
    if dtype.hasobject or dtype.kind not in "fiu" or len(shape) > _MOST_RANK:
        return None
    if min(shape, default=0) < 0 or stream.tell() + dtype.itemsize * math.prod(shape) != len(content):
        return None
    flat = np.frombuffer(content, dtype, math.prod(shape), stream.tell())
    return flat.reshape(shape, order="F" if in_columns else "C").astype(dtype.newbyteorder("="))
