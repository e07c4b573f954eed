# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Duplicates, splits that share no sentence, and leaks between splits, for corpora larger than memory.

A sentence is identified by its 64-bit hash (the chance of any collision in a corpus of 100 million is 1 in 3,700). The
data of each row is in memory-mapped files; rows with equal hashes are found bucket by bucket.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hf_attn_seq2seq.writing import tells_full_disk, writing


_BUCKET_ROWS = 1 << 18  # rows sorted in memory at a time: 4 MiB
_MAX_BUCKETS = 512  # files open at a time
_CHUNK = 1 << 16  # rows
_ENTRY = np.dtype([("key", "u8"), ("row", "u8")])


class Keys(NamedTuple):
    """Hashes of some rows."""

    rows: np.ndarray  # (number,) row numbers, uint64
    keys: np.ndarray  # (number,) hashes, uint64


class Hashes(NamedTuple):
    """Hashes of the sentences of some rows, or of their files; a row with several references occurs once for each."""

    rows: np.ndarray  # (number,) row numbers, uint64
    sources: np.ndarray  # (number,) uint64
    targets: np.ndarray  # (number,) uint64
    groups: np.ndarray = np.empty(0, "u8")  # (number,) uint64, if the corpus has groups

    def pairs(self) -> np.ndarray:
        """One hash per pair (number,); swapping the sides changes it."""
        return _mixed(self.sources ^ np.uint64(0x9E3779B97F4A7C15)) ^ self.targets

    def sides(self) -> dict[str, np.ndarray]:
        """What two splits may share: a source, a target, a pair, or a group."""
        sides = {"source": self.sources, "target": self.targets, "pair": self.pairs()}
        return {**sides, "group": self.groups} if len(self.groups) else sides


class Repeats(NamedTuple):
    """Rows whose key also occurs in an earlier row."""

    first: np.ndarray  # (number,) the first row with the key
    later: np.ndarray  # (number,) the row itself


def mapped_array(path: Path, size: int, dtype: str) -> np.ndarray:
    """Zeros (size,) in a memory-mapped file, which the system can write back instead of keeping it in memory."""
    bytes_needed = max(size, 1) * np.dtype(dtype).itemsize
    with path.open("wb") as file, writing(path):
        try:  # without reserved space, a full disk would kill the process when a page is first written
            os.posix_fallocate(file.fileno(), 0, bytes_needed)
        except (AttributeError, OSError) as error:  # not every system or file system can
            if tells_full_disk(error):
                raise
            file.truncate(bytes_needed)
    return np.memmap(path, dtype=dtype, mode="r+", shape=(max(size, 1),))[:size]


def find_repeats(batches: Iterable[Keys], total: int, work: Path) -> Iterator[Repeats]:
    """Finds rows with equal keys: rows are distributed to files by key, and each file is then grouped in memory.

    Args:
        batches: the keys, in the order of their rows.
        total: the approximate number of rows.
        work: a folder for the files.
    """
    buckets = min(_MAX_BUCKETS, total // _BUCKET_ROWS + 1)
    paths = [work / f"bucket-{index}" for index in range(buckets)]
    files = [path.open("wb") for path in paths]
    try:
        for rows, keys in batches:
            entries = np.empty(len(rows), _ENTRY)
            bucket = (keys % np.uint64(buckets)).astype(np.int64)
            order = np.argsort(bucket, kind="stable")
            entries["key"], entries["row"] = keys[order], rows[order]
            ends = np.cumsum(np.bincount(bucket, minlength=buckets))
            for file, start, end in zip(files, (0, *ends), ends):
                file.write(entries[start:end].tobytes())
    finally:
        for file in files:
            file.close()
    for path in paths:
        entries = np.fromfile(path, _ENTRY)
        path.unlink()
        entries = entries[np.argsort(entries["key"], kind="stable")]
        if len(entries):
            starts = np.flatnonzero(np.append(True, entries["key"][1:] != entries["key"][:-1]))
            first = np.repeat(entries["row"][starts], np.diff(np.append(starts, len(entries))))
            later = entries["row"] != first
            yield Repeats(first[later], entries["row"][later])


class Components:
    """Groups of rows that share sentences, directly or through other rows; a group is numbered by its first row.

    Union-find (Tarjan 1975) over a memory-mapped file of `total` rows; `share` says in messages what makes a group.
    """

    def __init__(self, total: int, work: Path, share: str = "share sentences") -> None:
        self.total, self.share = total, share
        self._work = work
        self._parent = mapped_array(work / "parent", total, "u8")
        for start in range(0, total, _CHUNK):
            self._parent[start : start + _CHUNK] = np.arange(start, min(start + _CHUNK, total), dtype="u8")

    def join(self, repeats: Iterable[Repeats]) -> None:
        parent = memoryview(self._parent)  # type: ignore[arg-type]  # much faster than the array for single items
        for batch in repeats:
            for a, b in zip(batch.first.tolist(), batch.later.tolist()):
                while parent[a] != a:
                    parent[a] = a = parent[parent[a]]
                while parent[b] != b:
                    parent[b] = b = parent[parent[b]]
                if a < b:
                    parent[b] = a
                elif b < a:
                    parent[a] = b

    def choose(self, kept: Callable[[slice], np.ndarray], sizes: list[int], seed: int) -> list[np.ndarray]:
        """Draws whole groups for each part, in random order, as long as they fit.

        Args:
            kept: for some row numbers, returns which of them count: (number,) bool.
            sizes: the maximum number of rows of each part; a part is smaller if no group fits into the rest.
            seed: random seed.

        Returns:
            For each part, the sorted numbers of its groups.

        Raises:
            ValueError: if every group is larger than a part.
        """
        parent = self._parent
        members = mapped_array(self._work / "members", self.total, "u4")
        for start in range(0, self.total, _CHUNK):
            roots = parent[start : start + _CHUNK]
            while not np.array_equal(above := parent[roots], roots):
                roots = above
            parent[start : start + _CHUNK] = roots
            np.add.at(members, roots[kept(slice(start, start + _CHUNK))], 1)
        # At most sum(sizes) groups are taken and some are skipped, so only that many need a random order.
        wanted = 2 * sum(sizes) + 1000
        drawn = np.empty(0, np.dtype([("order", "u8"), ("group", "u8"), ("size", "u4")]))
        smallest = self.total
        for start in range(0, self.total, _CHUNK):
            size = members[start : start + _CHUNK]
            if size.any():
                smallest = min(smallest, int(size[size > 0].min()))
            groups = np.flatnonzero((size > 0) & (size <= max(sizes)))
            more = np.empty(len(groups), drawn.dtype)
            more["group"], more["size"] = groups + start, size[groups]
            more["order"] = _mixed(more["group"] + _mixed(np.array([seed], "u8")))
            drawn = np.concatenate((drawn, more))
            drawn = drawn[np.argsort(drawn["order"])[:wanted]]
        parts = []
        taken = np.zeros(len(drawn), bool)
        for part_size in sizes:
            rest, part = part_size, []
            for index in np.flatnonzero(~taken).tolist():
                if drawn["size"][index] <= rest:
                    part.append(index)
                    rest -= int(drawn["size"][index])
                if not rest:
                    break
            if not part:
                raise ValueError(
                    f"A set of {part_size} pairs cannot be split off, because the smallest group of pairs that "
                    f"{self.share} has {smallest}: choose at least that size."
                )
            taken[part] = True
            parts.append(np.sort(drawn["group"][part]))
        return parts

    def groups_of(self, rows: slice) -> np.ndarray:
        """The group numbers of rows (number,), after `choose` was called."""
        return self._parent[rows]


def is_among(keys: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which of `keys` (number,) are in the sorted array `known`."""
    return places_among(keys, known) >= 0


def places_among(keys: np.ndarray, known: np.ndarray) -> np.ndarray:
    """For each of `keys` (number,) its index in the sorted array `known`, or -1."""
    if not len(known):
        return np.full(len(keys), -1)
    places = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.where(known[places] == keys, places, -1)


def _mixed(keys: np.ndarray) -> np.ndarray:
    """A bijective 64-bit hash of the keys (the finalizer of SplitMix64: Steele, Lea and Flood 2014)."""
    keys = keys.astype("u8")
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))
