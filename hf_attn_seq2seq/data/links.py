# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Word alignments as sets of links: the Pharaoh format, and the symmetrization of two directions.

A link `(i, j)` says that source word `i` and target word `j`, both counted from 0, translate each other.
"""

from __future__ import annotations

import numbers
import re
from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from hf_attn_seq2seq.messages import quoted


Link = tuple[int, int]

_PHARAOH_LINK = re.compile(r"([0-9]+)-([0-9]+)")


SYMMETRISATIONS = ("intersection", "union", "grow-diag", "grow-diag-final", "grow-diag-final-and")
_NEIGHBOURS = ((-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))


def symmetrise(forward: AbstractSet[Link], backward: AbstractSet[Link], method: str = "grow-diag") -> frozenset[Link]:
    """Symmetrizes the alignments of the two translation directions into one.

    Och and Ney 2003, section 3.4, and Koehn et al. 2005, "Edinburgh System Description for the 2005 IWSLT Speech
    Translation Evaluation": "grow-diag" starts with the intersection and repeatedly adds links of the union that are
    adjacent to a link (also diagonally) and whose source or target word has no link yet. "-final" then adds the links
    of either direction, `forward` first, whose source or target word has none; "-final-and" those where neither has
    one.

    Args:
        forward: links `(source, target)` of the model that translates source to target.
        backward: links `(source, target)` of the model that translates target to source, already swapped.
        method: one of `SYMMETRISATIONS`.

    Raises:
        ValueError: for an unknown method, or an argument that is not a set of links.
    """
    if method not in SYMMETRISATIONS:
        raise ValueError(
            f"Unknown symmetrization method {quoted(method)}: choose one of {', '.join(SYMMETRISATIONS)}."
        )
    check_links("forward", forward)
    check_links("backward", backward)
    both, either = frozenset(forward & backward), frozenset(forward | backward)
    if method == "intersection":
        return both
    if method == "union":
        return either
    links = set(both)
    sources, targets = {source for source, _ in links}, {target for _, target in links}

    def add(link: Link) -> None:
        links.add(link)
        sources.add(link[0])
        targets.add(link[1])

    grown = True
    while grown:
        grown = False
        for source, target in sorted(either):
            if (source, target) not in links:
                continue
            for down, right in _NEIGHBOURS:
                link = (source + down, target + right)
                if link in either and link not in links and (link[0] not in sources or link[1] not in targets):
                    add(link)
                    grown = True
    if method != "grow-diag":
        enough = all if method == "grow-diag-final-and" else any
        for direction in (forward, backward):
            for link in sorted(direction):
                if enough((link[0] not in sources, link[1] not in targets)):
                    add(link)
    return frozenset(links)


def turned(links: Iterable[Link]) -> frozenset[Link]:
    """The links with source and target swapped: `(source, target)` becomes `(target, source)`."""
    return frozenset((target, source) for source, target in links)


def to_pharaoh(links: Iterable[Link]) -> str:
    """Formats links in the Pharaoh format: sorted `i-j` pairs separated by spaces, such as `0-0 1-2`."""
    return " ".join(f"{source}-{target}" for source, target in sorted(links))


def from_pharaoh(text: str) -> frozenset[Link]:
    """Parses one line in the Pharaoh format; an empty line has no links.

    Raises:
        ValueError: if a part of the line is not two non-negative integers joined by a hyphen.
    """
    links = set()
    for part in text.split():
        match = _PHARAOH_LINK.fullmatch(part)
        if not match:
            raise ValueError(
                f"{quoted(part)} is not a link: write source and target index, counted from 0, as in 0-2."
            )
        links.add((int(match[1]), int(match[2])))
    return frozenset(links)


def check_links(name: str, links: AbstractSet[Link]) -> None:
    """Raises a ValueError if `links`, called `name` in the message, is not a set of links."""
    if not isinstance(links, AbstractSet):
        raise ValueError(f"{name} is of type {type(links).__name__}: give a set of links for every sentence.")
    for link in links:
        if not (isinstance(link, tuple) and len(link) == 2 and all(map(is_index, link))):
            raise ValueError(
                f"{name} holds {quoted(link)}: a link is a pair (source index, target index), counted from 0."
            )


def is_index(value: object) -> bool:
    """Whether it is a non-negative integer."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= 0
