# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Marian's files: what is written is read again, and no file, however damaged, gets more than a sentence."""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hf_attn_seq2seq.convert.marian_file import FLOAT32, INT8, INTGEMM8, OPTIONS, VERSION, Stored, read_marian
from hf_attn_seq2seq.export.marian import bin_bytes, npz_bytes, plain, quantize


OPTIONS_TEXT = b"type: transformer\ndim-emb: 16\n\0"
RNG = np.random.default_rng(0)
TENSORS = {
    "encoder_Wemb": RNG.standard_normal((7, 4)).astype(np.float32),
    "encoder_l1_ffn_W1": RNG.standard_normal((4, 6)).astype(np.float32),
    "encoder_l1_ffn_b1": RNG.standard_normal((1, 6)).astype(np.float32),
}


def read(content: bytes, folder: Path, name: str = "model.bin") -> Any:
    path = folder / name
    path.write_bytes(content)
    return read_marian(path)


@pytest.mark.parametrize("name", ["model.bin", "model.npz"])
def test_single_precision_is_kept(name: str, tmp_path: Path) -> None:
    wrote = npz_bytes(TENSORS, OPTIONS_TEXT) if name.endswith("z") else bin_bytes(plain(TENSORS), OPTIONS_TEXT)
    found = read(wrote, tmp_path, name)
    assert found.options == {"type": "transformer", "dim-emb": 16}
    assert found.tensors.keys() == TENSORS.keys()
    for tensor, value in TENSORS.items():
        np.testing.assert_array_equal(found.tensors[tensor], value)
    assert not found.multipliers


def test_the_layout_of_a_bin() -> None:
    """By the description: data begin at a multiple of 256, and each tensor's are as long."""
    content = bin_bytes(plain(TENSORS), OPTIONS_TEXT)
    version, count = struct.unpack_from("<2Q", content)
    assert (version, count) == (1, 4)
    headers = [struct.unpack_from("<4Q", content, 16 + 32 * index) for index in range(4)]
    assert [kind for _, kind, _, _ in headers] == [0x0404, 0x0404, 0x0404, 0x0101]
    assert all(length % 256 == 0 for *_, length in headers)
    assert len(content) % 256 == 0
    place = 16 + 32 * 4
    assert content[place : place + headers[0][0]] == b"encoder_Wemb\0"
    start = len(content) - sum(length for *_, length in headers)
    np.testing.assert_array_equal(np.frombuffer(content, "<f4", 28, start), TENSORS["encoder_Wemb"].ravel())


def test_eight_bits(tmp_path: Path) -> None:
    """Matrices lie there transposed, tables do not; weights are q / m."""
    small = {name: quantize(name, value) for name, value in TENSORS.items() if not name.endswith("b1")}
    found = read(bin_bytes({**plain(TENSORS), **small}, OPTIONS_TEXT), tmp_path)
    assert found.multipliers.keys() == small.keys()
    for name, stored in small.items():
        value, multiplier = TENSORS[name], found.multipliers[name]
        assert multiplier == pytest.approx(127 / np.abs(value).max(), rel=1e-6)
        expected = np.rint(value * np.float32(multiplier)).astype(np.int8)
        lying = np.frombuffer(stored.data, np.int8, value.size)
        np.testing.assert_array_equal(lying, (expected if name.endswith("Wemb") else expected.T).ravel())
        np.testing.assert_array_equal(found.tensors[name], expected / np.float32(multiplier))
        np.testing.assert_array_equal(np.frombuffer(quantize(name, found.tensors[name]).data, np.int8)[:-4], lying)


@pytest.mark.parametrize("name", ["model.bin", "model.npz"])
def test_a_file_that_is_cut_off(name: str, tmp_path: Path) -> None:
    whole = npz_bytes(TENSORS, OPTIONS_TEXT) if name.endswith("z") else bin_bytes(plain(TENSORS), OPTIONS_TEXT)
    for length in {0, 1, 7, 15, 16, 20, 47, 48, 150, 200, 257, *range(0, len(whole), 37), len(whole) - 1}:
        with pytest.raises(ValueError, match=r"is cut off|is no model of Marian") as told:
            read(whole[:length], tmp_path, name)
        assert str(told.value).count("\n") == 0


@pytest.mark.parametrize("name", ["model.bin", "model.npz"])
def test_a_file_that_is_damaged(name: str, tmp_path: Path) -> None:
    """Whatever bytes change, it is read or refused with a sentence, and takes no more memory than it has bytes."""
    whole = npz_bytes(TENSORS, OPTIONS_TEXT) if name.endswith("z") else bin_bytes(plain(TENSORS), OPTIONS_TEXT)
    rng, refused = np.random.default_rng(1), 0
    for _ in range(400):
        changed = bytearray(whole)
        for place in rng.integers(0, min(len(whole), 500), rng.integers(1, 4)):
            changed[place] = rng.integers(256)
        told = ""
        try:
            read(bytes(changed), tmp_path, name)
        except ValueError as error:
            told = str(error)
        refused += bool(told)
        assert "\n" not in told
    assert refused > 100


def header(version: int = VERSION, count: int = 1, *fields: int) -> bytes:
    return struct.pack("<2Q", version, count) + struct.pack(f"<{len(fields)}Q", *fields)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is no model of Marian"),
        (b"hello, this is a text of some length", "is no model of Marian"),
        (b"\x80\x04\x95" + bytes(60), "is no model of Marian"),
        (header(2), "is of version 2 of Marian's format: only version 1 is known"),
        (header(1, 1 << 60), "is cut off"),
        (header(1, 1, 1 << 60, FLOAT32, 1, 256), "is cut off"),
        (header(1, 1, 2, FLOAT32, 1 << 50, 256) + b"a\0" + bytes(300), "is cut off"),
        (header(1, 1, 2, FLOAT32, 1, 1 << 62) + b"a\0" + bytes(300), "is cut off"),
        (
            header(1, 1, 2, FLOAT32, 2, 256) + b"a\0" + struct.pack("<2iQ", 1 << 30, 1 << 30, 0) + bytes(256),
            "is cut off",
        ),
        (header(1, 1, 2, FLOAT32, 1, 256) + b"a\0" + struct.pack("<iQ", -1, 0) + bytes(256), "is cut off"),
        (header(1, 1, 2, 0x0402, 1, 256) + b"a\0" + struct.pack("<iQ", 1, 0) + bytes(256), "'a' in 16-bit floats"),
        (header(1, 1, 2, 0x0832, 1, 256) + b"a\0" + struct.pack("<iQ", 1, 0) + bytes(256), "of type 0x0832, perhaps"),
        (bin_bytes({"a": Stored(INT8, (1,), b"1")}, OPTIONS_TEXT), "'a' in 8 bits without a multiplier"),
        (bin_bytes(plain({"a": np.float32([[np.nan]])}), OPTIONS_TEXT), "numbers in 'a' that are not finite"),
        (bin_bytes({"a": Stored(INTGEMM8, (1,), b"1" + bytes(4))}, OPTIONS_TEXT), "'a' that are not finite"),
        (bin_bytes(plain(TENSORS), b"- a list\n\0"), "The options in .* cannot be read"),
        (bin_bytes(plain(TENSORS), b"[" * 5000 + b"\0"), "The options in .* cannot be read"),
        (bin_bytes(plain(TENSORS), b"!!python/object:os.system x\n\0"), "The options in .* cannot be read"),
        (bin_bytes(plain(TENSORS), b"").replace(OPTIONS.encode(), b"special:model.xyz"), "holds no options"),
    ],
)
def test_foreign_files(content: bytes, told: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=told):
        read(content, tmp_path)


class Unpickled:
    """What would tell if it were."""

    def __reduce__(self) -> Any:
        return pytest.fail, ("It was unpickled.",)


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"a": np.float32([1])}, "holds no options"),
        ({"a": np.array([Unpickled()], dtype=object)}, "'a', which is no array of plain numbers"),
        ({"a": np.float64([1])}, "'a' as float64"),
        ({"a": np.float32([np.inf])}, "numbers in 'a' that are not finite"),
    ],
)
def test_foreign_archives(arrays: dict[str, Any], told: str, tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    with pytest.raises(ValueError, match=told):
        read(stream.getvalue(), tmp_path, "model.npz")


def test_compressed_and_in_columns(tmp_path: Path) -> None:
    stream = io.BytesIO()
    value = np.asfortranarray(TENSORS["encoder_Wemb"])
    np.savez_compressed(stream, **{"encoder_Wemb": value, OPTIONS: np.frombuffer(OPTIONS_TEXT, np.int8)})
    np.testing.assert_array_equal(read(stream.getvalue(), tmp_path, "m.npz").tensors["encoder_Wemb"], value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"There is no file .*: name a model of Marian"):
        read_marian(tmp_path / "none.bin")
    with pytest.raises(ValueError, match="cannot be read"):
        read_marian(tmp_path)
