# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What the explanation knows of what stands in for the self-attention of a decoder layer: one entry in [`MIXERS`] for
each of the model's mixers but self-attention itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from hf_attn_seq2seq.explain.cells import CELLS, CellFacts
from hf_attn_seq2seq.explain.formulas import symbols


Config = Mapping[str, Any]  # the fields of the model that are not at their defaults


class Row(NamedTuple):
    """
    Numbers that a mixer records.

    Attributes:
        array: Their name.
        symbol: In formulas.
        title: What they are called.
        says: What they are.
        share: Whether they are shares from 0 to 1.
    """

    array: str
    symbol: str
    title: str
    says: str
    share: bool = False


@dataclass(frozen=True, kw_only=True)
class MixerKind:
    """
    One kind of mixer.

    Attributes:
        short: Its name.
        paper: Its name and paper, for an expert.
        title: What of it is shown.
        note: What it does, in a sentence.
        plain: The same at greater length, for a newcomer.
        formulas: Its equations, in order.
        exact: What else an expert should know.
        cell: The cell that it runs over the steps, if it does.
        rows: What else it records, in the order in which it is shown.
        update: What holds between the rows of a step; only where all are recorded.
        means: Rows that are the mean of others over the steps so far, both by array.
        groups: The arrays of which all are recorded or none.
    """

    short: str
    paper: str
    title: str
    note: str
    plain: Callable[[Config], str]
    formulas: Callable[[Config], tuple[str, ...]]
    exact: Callable[[Config], str] = lambda config: ""
    cell: CellFacts | None = None
    rows: tuple[Row, ...] = ()
    update: tuple[str, ...] = ()
    means: tuple[tuple[str, str], ...] = ()
    groups: tuple[tuple[str, ...], ...]

    def told(self) -> dict[str, Any]:
        """What a trace carries, for readers without this package."""
        return {
            "short": self.short,
            "title": self.title,
            "note": self.note,
            "cell": None if self.cell is None else self.cell.told(),
            "rows": [row._asdict() for row in self.rows],
            "update": list(self.update),
            "means": [list(pair) for pair in self.means],
        }

    def equations(self, recorded: Collection[str]) -> list[tuple[str, str, dict[str, str]]]:
        """
        Of each equation whose numbers are all recorded: the array of its left side, its right side, and the arrays of
        the symbols there.
        """
        arrays = {row.symbol: row.array for row in self.rows if row.array in recorded}
        found = []
        for equation in self.update:
            left, _, right = equation.partition(" = ")
            if {left, *symbols(right)} <= arrays.keys():
                found.append((arrays[left], right, {symbol: arrays[symbol] for symbol in symbols(right)}))
        return found


def _of_cell(kind: str, paper: str) -> MixerKind:
    """A cell that runs over the steps in place of self-attention."""
    cell = CELLS[kind]
    parts = dict.fromkeys((*cell.state, "hidden"))
    states = (f"{part}_{when}" for part in parts for when in ("before", "after"))
    return MixerKind(
        short=cell.name,
        paper=paper,
        title="The memory of this layer",
        note=(
            "In place of self-attention, each layer keeps a memory that every step updates; its gates depend on the "
            "input alone."
        ),
        plain=lambda config: (
            "Each layer of the decoder keeps a memory, which every step updates: gates, numbers from 0 to 1, decide "
            "how much of the old memory is kept. The gates depend on the input alone."
        ),
        formulas=lambda config: cell.formulas,
        cell=cell,
        rows=(Row("inputs", "x", "input", "at this step"),),
        groups=(("inputs", *cell.gates, *states),),
    )


def _average_plain(config: Config) -> str:
    plain = (
        "Each layer of the decoder takes the mean of its inputs at all steps so far, in which every step counts the "
        "same."
    )
    if config.get("average_layers", 1):
        plain += " A small network transforms it."
    if config.get("average_gate", True):
        plain += " Gates, numbers from 0 to 1, say how much of it and how much of the new input go on."
    return plain


def _average_exact(config: Config) -> str:
    return "As in Marian, i is computed from x_t alone and f from g alone." if config.get("average_gate", True) else ""


def _average_formulas(config: Config) -> tuple[str, ...]:
    mean = "FFN((x_1 + ... + x_t) / t)" if config.get("average_layers", 1) else "(x_1 + ... + x_t) / t"
    if not config.get("average_gate", True):
        return (f"h = {mean}",)
    return (f"g = {mean}", "i = sigmoid(W_i x_t + b_i)", "f = sigmoid(W_f g + b_f)", "h = i x_t + f g")


MIXERS = {
    "ssru": _of_cell("ssru", "a simpler simple recurrent unit (SSRU, Kim et al. 2019, section 3.1)"),
    "min_gru": _of_cell("min_gru", "a minimal gated recurrent unit (minGRU, Feng et al. 2024, section 3.1)"),
    "average": MixerKind(
        short="average attention",
        paper="an average attention network (Zhang et al. 2018, section 3)",
        title="The mean of this layer's inputs",
        note="In place of self-attention, each layer takes the mean of its inputs at all steps so far.",
        plain=_average_plain,
        formulas=_average_formulas,
        exact=_average_exact,
        rows=(
            Row("inputs", "x", "input", "at this step"),
            Row("mean", "μ", "mean", "of the inputs at all steps so far"),
            Row("network", "g", "network", "what a small network makes of the mean"),
            Row("input", "i", "input gate", "how much of the input goes on", True),
            Row("forget", "f", "forget gate", "how much of g goes on", True),
            Row("output", "h", "output", "what the layer goes on with"),
        ),
        update=("h = i x + f g",),
        means=(("mean", "inputs"),),
        groups=(("inputs", "mean", "output"), ("network", "input", "forget")),
    ),
}


__all__ = ["MIXERS", "MixerKind", "Row"]
