# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Formulas that are computed as they are written: what a chapter says is what `verify` and the page recompute.

A formula such as `v_i tanh(q_i + k_i)` has numbers, symbols, `+ - * / ^`, brackets and the functions of [`FUNCTIONS`];
what stands side by side is multiplied. A symbol is letters, perhaps with a prime; its subscript tells the reader what
it is indexed by and is not part of it. `frontend/src/expression.js` reads the same formulas.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np


FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "tanh": np.tanh,
    "sigmoid": lambda x: np.exp(-np.logaddexp(0, -x)),
    "relu": lambda x: np.maximum(x, 0),
    "exp": np.exp,
    "sqrt": np.sqrt,
    "abs": np.abs,
}

_TOKEN = re.compile(r"\s*(?:(?P<number>\d+(?:\.\d+)?)|(?P<symbol>[^\W\d_]+'?)(?:_[^\W_]+)?|(?P<sign>[-+*/^()]))")


class Computed(NamedTuple):
    """
    Attributes:
        value: Of the formula.
        functions: The value of each function in it, by its name.
    """

    value: np.ndarray
    functions: dict[str, np.ndarray]


def compute(formula: str, values: Mapping[str, np.ndarray]) -> Computed:
    """
    The value of a formula.

    Args:
        values: Of its symbols, arrays that broadcast.

    Raises:
        ValueError: It is not a formula, or has a symbol without a value.
    """
    return _Reader(formula, values).computed()


def symbols(formula: str) -> list[str]:
    """The symbols of a formula, without functions, each once; raises a ValueError if it is not a formula."""
    found = dict.fromkeys(text for kind, text in _tokens(formula) if kind == "symbol")
    return [symbol for symbol in found if symbol not in FUNCTIONS]


def _tokens(formula: str) -> Iterator[tuple[str, str]]:
    place, formula = 0, formula.rstrip()
    while place < len(formula):
        match = _TOKEN.match(formula, place)
        if match is None:
            raise ValueError(f"'{formula}' is not a formula: it cannot be read from '{formula[place:]}' on.")
        yield str(match.lastgroup), match[str(match.lastgroup)]
        place = match.end()


class _Reader:
    """Computes a formula from left to right: a sum of products of powers."""

    def __init__(self, formula: str, values: Mapping[str, np.ndarray]) -> None:
        self.formula = formula
        self.values = values
        self.tokens = [*_tokens(formula), ("end", "")]
        self.functions: dict[str, np.ndarray] = {}

    def computed(self) -> Computed:
        value = self.sum()
        if self.tokens[0][0] != "end":
            raise self.error()
        return Computed(value, self.functions)

    def error(self) -> ValueError:
        return ValueError(f"'{self.formula}' is not a formula: '{self.tokens[0][1]}' is in the wrong place.")

    def take(self, *signs: str) -> str | None:
        """The next token, if it is one of these signs."""
        return self.tokens.pop(0)[1] if self.tokens[0] in [("sign", sign) for sign in signs] else None

    def sum(self) -> np.ndarray:
        value = -self.product() if self.take("-") else self.product()
        while sign := self.take("+", "-"):
            value = value + self.product() if sign == "+" else value - self.product()
        return value

    def product(self) -> np.ndarray:
        value = self.power()
        while True:
            if self.take("/"):
                value = value / self.power()
            elif self.take("*") or self.tokens[0][0] in ("number", "symbol") or self.tokens[0][1] == "(":
                value = value * self.power()
            else:
                return value

    def power(self) -> np.ndarray:
        value = self.factor()
        return value ** self.factor() if self.take("^") else value

    def factor(self) -> np.ndarray:
        if self.take("("):
            value = self.sum()
            if not self.take(")"):
                raise self.error()
            return value
        kind, text = self.tokens[0]
        if kind not in ("number", "symbol"):
            raise self.error()
        self.tokens.pop(0)
        if kind == "number":
            return np.float64(text)  # type: ignore[return-value]
        if text in FUNCTIONS:
            self.functions[text] = FUNCTIONS[text](self.factor())
            return self.functions[text]
        if text not in self.values:
            raise ValueError(f"'{self.formula}' has the symbol '{text}', which has no value.")
        return self.values[text]


__all__ = ["FUNCTIONS", "Computed", "compute", "symbols"]
