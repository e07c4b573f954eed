# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Reads gold word alignments, which tell sure links from possible ones."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from hf_attn_seq2seq.data.links import Link, turned
from hf_attn_seq2seq.messages import quoted, shortened


_MARKED_LINK = re.compile(r"([0-9]+)([-p?])([0-9]+)(\??)")


class GoldLinks(NamedTuple):
    """Links of one pair of sentences; `possible` includes `sure`, as the error rate asks."""

    sure: frozenset[Link]
    possible: frozenset[Link]

    def turned(self) -> GoldLinks:
        """The links seen from the other side."""
        return GoldLinks(turned(self.sure), turned(self.possible))


class GoldPair(NamedTuple):
    """A pair of sentences as words, and its links."""

    source: list[str]
    target: list[str]
    links: GoldLinks


def read_gold(path: str | Path, source: str = "en", target: str = "fr") -> list[GoldPair]:
    """Reads gold alignments with their sentences, one JSON object a line; the file may be .gz or .xz.

    A line has both sentences under the names of their languages, words separated by spaces, and the lists `sure`
    and `possible` of word pairs `[i, j]` from 0: `{"en": "the cat", "fr": "le chat", "sure": [[0, 0], [1, 1]],
    "possible": []}`. The language named first in the file is the one that `i` counts; both directions can be read.

    Args:
        source, target: the names of the two sentences, in the direction to read.

    Raises:
        ValueError: for a file that cannot be read, or a line that is no such object or whose links lie outside its
            sentences; the sentence names file and line.
    """
    pairs = []
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            pairs.append(_pair(line, source, target))
        except ValueError as error:
            raise ValueError(f"'{path}', line {number}: {error}") from None
    if not pairs:
        raise ValueError(f"'{path}' holds no alignment: give one JSON object per line.")
    return pairs


def read_gold_links(path: str | Path) -> list[GoldLinks]:
    """Reads gold links without their sentences, one line in the Pharaoh format a pair; `1p2`, `1?2` and `1-2?` are
    possible links, `1-2` is sure. The file may be .gz, .xz or .bz2.

    Raises:
        ValueError: for a file that cannot be read, or a part of a line that is no link; the sentence names file and
            line.
    """
    gold = []
    for number, line in enumerate(_lines(path), start=1):
        try:
            gold.append(gold_from_pharaoh(line))
        except ValueError as error:
            raise ValueError(f"'{path}', line {number}: {error}") from None
    return gold


def gold_from_pharaoh(text: str) -> GoldLinks:
    """Reads one line of marked links (see `read_gold_links`); raises ValueError for a part that is none."""
    sure, possible = set(), set()
    for part in text.split():
        match = _MARKED_LINK.fullmatch(part)
        if not match:
            raise ValueError(
                f"{quoted(part)} is not a link: write 0-2 for a sure link and 0p2 for a possible one, from 0."
            )
        link = (int(match[1]), int(match[3]))
        possible.add(link)
        if match[2] == "-" and not match[4]:
            sure.add(link)
    return GoldLinks(frozenset(sure), frozenset(possible))


def _pair(line: str, source: str, target: str) -> GoldPair:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"this is not JSON ({error.msg}).") from None
    if not isinstance(row, dict):
        raise ValueError("this is not a JSON object, such as {...}.")
    for name in (source, target):
        if not isinstance(row.get(name), str) or not row[name].split():
            raise ValueError(
                f"there is no sentence {quoted(name)}: the line has {shortened(', '.join(map(repr, row)))}."
            )
    sure = _links(row, "sure")
    links = GoldLinks(sure, sure | _links(row, "possible"))
    if list(row).index(source) > list(row).index(target):
        links = links.turned()
    words = (row[source].split(), row[target].split())
    for link in sorted(links.possible):
        if link[0] >= len(words[0]) or link[1] >= len(words[1]):
            raise ValueError(
                f"the link {link[0]}-{link[1]} lies outside sentences of {len(words[0])} and {len(words[1])} words."
            )
    return GoldPair(*words, links)


def _links(row: dict[str, Any], name: str) -> frozenset[Link]:
    links = row.get(name)
    if not isinstance(links, list):
        raise ValueError(f"{quoted(name)} is not a list: give lists of links, which may be empty.")
    for link in links:
        whole = isinstance(link, list) and len(link) == 2 and all(type(index) is int and index >= 0 for index in link)
        if not whole:
            raise ValueError(
                f"{quoted(name)} holds {quoted(link)}: a link is a pair of word indices from 0, such as [0, 2]."
            )
    return frozenset((i, j) for i, j in links)


def _lines(path: str | Path) -> Iterator[str]:
    from hf_attn_seq2seq.data.readers import read_lines  # needs the extra `train`, which translating does not

    return read_lines(Path(path))
