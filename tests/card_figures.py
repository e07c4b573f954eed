# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Which numbers of a model card come from nowhere in its `results.json`."""

import re
from collections.abc import Iterator
from typing import Any


DEFINITIONS = {"95", "0", "1"}  # the level of the intervals, and the ends of the scale of weights
NUMBER = re.compile(r"(?:(?<![\w.)\]-])[+-])?(?<![\w.])(?<![A-Za-z]-)(?:\d[\d,]*)?(?:(?<!,)\.)?\d+(?!\w)")


def stray_figures(card: str, results: dict[str, Any]) -> list[str]:
    """The numbers of the card that are no text of the results, and no value of them rounded to as many decimals."""
    leaves = list(_leaves(results))
    texts = {" ".join(leaf.split()) for leaf in leaves if isinstance(leaf, str)}
    values = [leaf for leaf in leaves if isinstance(leaf, int | float)]
    rest = re.sub(r"\\([^\w\s])", r"\1", " ".join(card.split()))  # on one line, without Markdown's escapes
    for text in sorted((text for text in texts if re.search(r"\d", text)), key=len, reverse=True):
        rest = re.sub(rf"(?<![\w.]){re.escape(text)}(?!\w)", " ", rest)
    return [number for number in NUMBER.findall(rest) if number not in DEFINITIONS and not _rounds(number, values)]


def _rounds(number: str, values: list[float]) -> bool:
    plain = number.replace(",", "")
    decimals = len(plain.partition(".")[2])
    sign = "+" if plain.startswith("+") else "-"  # a plus is shown only where signs are asked for
    if not decimals:
        return any(f"{value:{sign}.4g}" == plain or value == int(plain) for value in values)
    return any(f"{value:{sign}.{decimals}f}" in (plain, f"0{plain}") for value in values)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _leaves(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner)
    else:
        yield value
