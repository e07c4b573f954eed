# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Sentence pairs from files, and splits of them that do not leak."""

import gzip
import lzma
import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple


_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open}


class TextPair(NamedTuple):
    source: str
    target: str


@dataclass(frozen=True)
class Corpus:
    """Pairs in the order of the file, and how many were left out because a side of them was blank."""

    pairs: list[TextPair]
    dropped_empty: int


class Split(NamedTuple):
    train: list[TextPair]
    validation: list[TextPair]


def read_pairs(
    source: str | PathLike[str],
    target: str | PathLike[str] | None = None,
    *,
    columns: tuple[int, int] = (0, 1),
    encoding: str = "utf-8",
) -> Corpus:
    """Reads sentence pairs from two line-aligned text files, or from one file of tab-separated columns.

    Files that end in `.gz` or `.xz` are decompressed. Lines end at a line feed, with or without a carriage return, and
    at no other character; a byte order mark is dropped, and all other text is kept as it is.

    Args:
        source: the file of the source sentences, or, without `target`, a file with a pair on each line.
        target: the file of the target sentences, one for each line of `source`.
        columns: where the source and the target are in a tab-separated line, counted from 0; others are ignored.
        encoding: of both files.

    Raises:
        ValueError: naming the file, and the line where there is one, if a file is missing, cannot be decompressed or
            decoded or has no line, the two files differ in length, a line has too few columns, or no pair has text on
            both sides.
    """
    if target is None:
        pairs = _split_columns(Path(source), _read_lines(Path(source), encoding), columns)
    else:
        sources, targets = _read_lines(Path(source), encoding), _read_lines(Path(target), encoding)
        if len(sources) != len(targets):
            raise ValueError(
                f"{source} has {len(sources)} lines and {target} has {len(targets)}: line-aligned files must have as "
                "many lines as each other."
            )
        pairs = [TextPair(*sides) for sides in zip(sources, targets)]
    kept = [pair for pair in pairs if pair.source.strip() and pair.target.strip()]
    if not kept:
        raise ValueError(f"{source} gives no pair with text on both sides: all {len(pairs)} lines have a blank side.")
    return Corpus(kept, len(pairs) - len(kept))


def split_pairs(pairs: Sequence[TextPair], validation_size: int, seed: int) -> Split:
    """Splits pairs so that no source sentence and no target sentence is in both parts.

    Pairs that share a sentence, themselves or through others, form a component, and a component stays whole:
    components are taken into the validation part in random order as long as they fit. Both parts keep the order of
    `pairs`.

    Args:
        pairs: the pairs to split.
        validation_size: the most pairs to put aside; the part is smaller where no component fills the rest of it.
        seed: of the random order; the same seed gives the same split.

    Raises:
        ValueError: if `validation_size` is not between 1 and one less than the number of pairs, or is smaller than
            every component.
    """
    if not 1 <= validation_size < len(pairs):
        raise ValueError(
            f"validation_size is {validation_size}, but must be at least 1 and less than the number of pairs, "
            f"{len(pairs)}."
        )
    components = _components(pairs)
    random.Random(seed).shuffle(components)
    chosen: set[int] = set()
    for component in components:
        if len(chosen) + len(component) <= validation_size:
            chosen.update(component)
    if not chosen:
        raise ValueError(
            f"validation_size is {validation_size}, but the smallest group of pairs that share sentences has "
            f"{min(map(len, components))} pairs: choose at least that many."
        )
    train = [pair for index, pair in enumerate(pairs) if index not in chosen]
    return Split(train, [pairs[index] for index in sorted(chosen)])


def _read_lines(path: Path, encoding: str) -> list[str]:
    if path.is_dir():
        raise ValueError(f"{path} is a folder: name a file in it.")
    if not path.is_file():
        raise ValueError(f"There is no file {path}: check its path.")
    try:
        with _OPENERS.get(path.suffix, open)(path, "rb") as stream:
            content: bytes = stream.read()
    except (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
        raise ValueError(
            f"{path} cannot be decompressed ({error}): it is damaged, or misnamed {path.suffix}."
        ) from error
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].decode(encoding, errors="replace").count("\n") + 1
        raise ValueError(f"{path}, line {line}, is not {encoding} text: name its encoding, or repair it.") from error
    except LookupError:
        raise ValueError(f"There is no encoding {encoding!r}: name one that Python has, such as 'utf-8'.") from None
    lines = text.removeprefix("\ufeff").removesuffix("\n").split("\n")
    if lines == [""]:
        raise ValueError(f"{path} is empty: it must hold one sentence or one pair on each line.")
    return [line.removesuffix("\r") for line in lines]


def _split_columns(path: Path, lines: list[str], columns: tuple[int, int]) -> list[TextPair]:
    if min(columns) < 0:
        raise ValueError(f"columns is {columns}, but columns are counted from 0.")
    pairs = []
    for number, line in enumerate(lines, start=1):
        cells = line.split("\t")
        if len(cells) <= max(columns):
            if line.strip():
                raise ValueError(
                    f"{path}, line {number}, has too few columns: {max(columns) + 1} are needed, with a tab between "
                    f"two, and it has {len(cells)}."
                )
            cells = [""] * (max(columns) + 1)  # a blank line is a pair without text
        pairs.append(TextPair(cells[columns[0]], cells[columns[1]]))
    return pairs


def _components(pairs: Sequence[TextPair]) -> list[list[int]]:
    """The indices of the pairs, grouped so that pairs of different groups share no sentence (by union-find)."""
    parent = list(range(len(pairs)))

    def find(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    first_with: dict[tuple[str, str], int] = {}
    for index, pair in enumerate(pairs):
        for sentence in (("source", pair.source), ("target", pair.target)):
            parent[find(index)] = find(first_with.setdefault(sentence, index))
    groups: dict[int, list[int]] = {}
    for index in range(len(pairs)):
        groups.setdefault(find(index), []).append(index)
    return list(groups.values())
