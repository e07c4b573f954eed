# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Arrays of numbers in HDF5 files, read without its library: those of its first format, which h5py writes by default.

A file starts with a superblock that names the root group. A group's object header has a message with the addresses of
a B-tree, whose leaves list names and object headers, and of a heap with the names; a dataset's has messages with its
shape, its type and where its data lie. All numbers are little-endian, all addresses absolute. What else there is
(chunks, compression, links to other files, newer groups) is refused.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator

import numpy as np


SIGNATURE = b"\x89HDF\r\n\x1a\n"
# Messages of an object header.
DATASPACE, DATATYPE, LAYOUT, CONTINUATION, SYMBOL_TABLE = 0x01, 0x03, 0x08, 0x10, 0x11
KINDS = {0: "i", 1: "f"}  # classes of types
_MOST_DEPTH = 32  # of groups, trees and continued headers; none refers to itself then without end
_MOST_RANK = 8


def read_hdf5(content: bytes) -> dict[str, np.ndarray]:
    """
    The arrays of numbers in a file, by their paths such as "layers/gru/vars/0".

    Raises:
        ValueError: It is no such file, cut off, or holds what is not read here.
    """
    try:
        if content[:8] != SIGNATURE or content[8] != 0 or content[13:15] != b"\x08\x08":
            raise ValueError("It is no HDF5 file of the first format.")
        (root,) = struct.unpack_from("<Q", content, 64)
        return dict(_File(content).arrays(root, "", 0))
    except (struct.error, IndexError, OverflowError, UnicodeDecodeError):
        raise ValueError("The HDF5 file is cut off or damaged.") from None


class _File:
    """The parts of a file, by their addresses; each is visited once, for no path leads to it twice."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.seen: set[int] = set()

    def enter(self, address: int, depth: int) -> None:
        if address in self.seen or depth > _MOST_DEPTH:
            raise ValueError("The HDF5 file refers to one part twice.")
        self.seen.add(address)

    def arrays(self, address: int, path: str, depth: int) -> Iterator[tuple[str, np.ndarray]]:
        """Those of an object: of a dataset one, of a group all below it."""
        self.enter(address, depth)
        messages = dict(self.messages(address, depth))
        if SYMBOL_TABLE in messages:
            tree, heap = struct.unpack_from("<QQ", messages[SYMBOL_TABLE])
            for name, below in self.members(tree, self.names(heap), depth):
                yield from self.arrays(below, f"{path}/{name}" if path else name, depth + 1)
        elif LAYOUT in messages:
            yield path, self.array(messages)
        else:
            raise ValueError(f"The HDF5 file has '{path}' in a newer format.")

    def messages(self, address: int, depth: int) -> Iterator[tuple[int, bytes]]:
        """The kinds and contents of an object header's messages."""
        version, _, _, _, size = struct.unpack_from("<BBHII", self.content, address)
        if version != 1:
            raise ValueError("The HDF5 file is of a newer format.")
        blocks = [(address + 16, size)]
        for count, (start, length) in enumerate(blocks):
            end = start + length
            if end > len(self.content) or count > _MOST_DEPTH:
                raise ValueError("The HDF5 file is cut off.")
            while start + 8 <= end:
                kind, size, flags = struct.unpack_from("<HHB", self.content, start)
                data = self.content[start + 8 : start + 8 + size]
                start += 8 + size
                if kind == CONTINUATION:
                    blocks.append(struct.unpack_from("<QQ", data))
                elif flags & 2 and kind in (DATASPACE, DATATYPE, LAYOUT):
                    raise ValueError("The HDF5 file shares a part of a header.")
                else:
                    yield kind, data

    def names(self, address: int) -> int:
        """Where a heap's names begin."""
        signature, _, _, _, begin = struct.unpack_from("<4sIQQQ", self.content, address)
        if signature != b"HEAP":
            raise ValueError("The HDF5 file is damaged.")
        return int(begin)

    def members(self, address: int, names: int, depth: int) -> Iterator[tuple[str, int]]:
        """Names and headers of what is in a group, from a node of its tree or a leaf."""
        self.enter(address, depth)
        signature, _, _, count = struct.unpack_from("<4sBBH", self.content, address)
        if signature == b"TREE":
            for number in range(count):
                (below,) = struct.unpack_from("<Q", self.content, address + 32 + 16 * number)
                yield from self.members(below, names, depth + 1)
        elif signature == b"SNOD":
            for number in range(count):
                name, header, kind = struct.unpack_from("<QQI", self.content, address + 8 + 40 * number)
                if kind == 2:
                    raise ValueError("The HDF5 file has a link.")
                start = names + name
                end = self.content.find(0, start)
                if end < 0:
                    raise ValueError("The HDF5 file is cut off.")
                yield self.content[start:end].decode(), header
        else:
            raise ValueError("The HDF5 file is damaged.")

    def array(self, messages: dict[int, bytes]) -> np.ndarray:
        """A dataset."""
        space, kind, layout = (messages.get(each, b"") for each in (DATASPACE, DATATYPE, LAYOUT))
        rank = space[1]
        if space[0] not in (1, 2) or rank > _MOST_RANK:
            raise ValueError("The HDF5 file has an array of another kind.")
        shape = struct.unpack_from(f"<{rank}Q", space, 8 if space[0] == 1 else 4)
        width = struct.unpack_from("<I", kind, 4)[0]
        if kind[0] & 15 not in KINDS or kind[1] & 1 or width not in (1, 2, 4, 8):
            raise ValueError("The HDF5 file has an array of another type than little-endian numbers.")
        size = math.prod(shape) * width
        if layout[:2] == b"\x03\x00":
            data = layout[4:]
        elif layout[:2] == b"\x03\x01":
            (start,) = struct.unpack_from("<Q", layout, 2)
            data = self.content[start : start + size]
        else:
            raise ValueError("The HDF5 file has an array in chunks.")
        if len(data) < size:
            raise ValueError("The HDF5 file is cut off.")
        return np.frombuffer(data[:size], f"<{KINDS[kind[0] & 15]}{width}").reshape(shape)
