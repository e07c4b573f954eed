# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The wire format of Protocol Buffers, read and written without their package."""

from collections.abc import Iterator
from typing import Any


def fields(content: memoryview) -> Iterator[tuple[int, Any]]:
    """
    The fields of a message, in order: whole numbers, and of everything else its memory.

    Raises:
        ValueError, IndexError: It is no message, or cut off.
    """
    place = 0

    def varint() -> int:
        nonlocal place
        value = shift = 0
        while shift < 70:
            byte = content[place]
            place += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
        raise ValueError("A number is too long.")

    while place < len(content):
        number, kind = divmod(varint(), 8)
        if kind == 0:
            yield number, varint()
            continue
        if kind not in (1, 2, 5):
            raise ValueError(f"There are no fields of kind {kind}.")
        length = {1: 8, 5: 4}.get(kind) or varint()
        if place + length > len(content):
            raise ValueError("A field is cut off.")
        yield number, content[place : place + length]
        place += length


def number_field(number: int, value: int) -> bytes:
    """A field with a whole number; one below 0 takes ten bytes."""
    return _varint(8 * number) + _varint(value)


def bytes_field(number: int, value: bytes) -> bytes:
    """A field with text, bytes or another message."""
    return _varint(8 * number + 2) + _varint(len(value)) + value


def fixed_field(number: int, value: bytes) -> bytes:
    """A field of four bytes, such as a number in single precision."""
    return _varint(8 * number + 5) + value


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])
