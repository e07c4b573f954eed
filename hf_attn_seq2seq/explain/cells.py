# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What a trace says of each kind of recurrent cell, and how its numbers follow from those shown with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np


Arrays = Mapping[str, np.ndarray]


class CellFacts(NamedTuple):
    """
    A kind of cell. In its formulas h is the hidden state and m the cell, where it has one, which papers call c too.

    Attributes:
        name: As papers write it.
        paper: The paper, and what its symbols mean.
        formulas: The equations, in order.
        state: What a step hands to the next, in the order of the recorded initial state: "hidden", "cell".
        step: From the gates by name and the state before a step, "hidden" and "cell" after it; also gates that follow
            from other gates.
        hidden: The hidden state that a state shows.
    """

    name: str
    paper: str
    formulas: tuple[str, ...]
    state: tuple[str, ...]
    step: Callable[[Arrays, Arrays], dict[str, np.ndarray]]
    hidden: Callable[[Arrays], np.ndarray] = lambda state: state["hidden"]

    @property
    def article(self) -> str:
        """As the name is spoken."""
        return "an" if self.name in ("LSTM", "SSRU") else "a"

    def symbols(self, index: str) -> str:
        """A decoder's state at a step: "s_t", or "s_t, m_t"."""
        return ", ".join({"hidden": f"s_{index}", "cell": f"m_{index}"}[part] for part in self.state)


def _gru(gates: Arrays, before: Arrays) -> dict[str, np.ndarray]:
    return {"hidden": (1 - gates["update"]) * gates["candidate"] + gates["update"] * before["hidden"]}


def _lstm(gates: Arrays, before: Arrays) -> dict[str, np.ndarray]:
    cell = gates["forget"] * before["cell"] + gates["input"] * gates["candidate"]
    return {"hidden": gates["output"] * np.tanh(cell), "cell": cell}


def _ssru(gates: Arrays, before: Arrays) -> dict[str, np.ndarray]:
    cell = gates["forget"] * before["cell"] + (1 - gates["forget"]) * gates["candidate"]
    return {"hidden": np.maximum(cell, 0), "cell": cell}


def _min_gru(gates: Arrays, before: Arrays) -> dict[str, np.ndarray]:
    return {"hidden": (1 - gates["update"]) * before["hidden"] + gates["update"] * gates["candidate"]}


def _min_lstm(gates: Arrays, before: Arrays) -> dict[str, np.ndarray]:
    keep = gates["keep"]
    return {
        "hidden": keep * before["hidden"] + (1 - keep) * gates["candidate"],
        "forget": keep * (gates["forget"] + gates["input"]),
    }


# One entry for each of the model's cells.
CELLS = {
    "gru": CellFacts(
        "GRU",
        "Cho et al. 2014, eq. 5 to 8, the reset gate r after the product; z is the update gate, n the candidate",
        (
            "r = sigmoid(W_r x + U_r h + b_r)",
            "z = sigmoid(W_z x + U_z h + b_z)",
            "n = tanh(W_n x + b_n + r (U_n h + d_n))",
            "h' = (1 - z) n + z h",
        ),
        ("hidden",),
        _gru,
    ),
    "lstm": CellFacts(
        "LSTM",
        "Hochreiter and Schmidhuber 1997; Gers et al. 2000; i, f, o are the input, forget and output gates, g the "
        "candidate, m the cell",
        (
            "i = sigmoid(W_i x + U_i h + b_i)",
            "f = sigmoid(W_f x + U_f h + b_f)",
            "o = sigmoid(W_o x + U_o h + b_o)",
            "g = tanh(W_g x + U_g h + b_g)",
            "m' = f m + i g",
            "h' = o tanh(m')",
        ),
        ("hidden", "cell"),
        _lstm,
    ),
    "ssru": CellFacts(
        "SSRU",
        "Kim et al. 2019, section 3.1; f is the forget gate, n the candidate, m the cell; no gate depends on h",
        ("f = sigmoid(W_f x + b_f)", "n = W_n x", "m' = f m + (1 - f) n", "h' = relu(m')"),
        ("cell",),
        _ssru,
        lambda state: np.maximum(state["cell"], 0),
    ),
    "min_gru": CellFacts(
        "minGRU",
        "Feng et al. 2024, section 3.1; z is the update gate, n the candidate; no gate depends on h",
        ("z = sigmoid(W_z x + b_z)", "n = W_n x + b_n", "h' = (1 - z) h + z n"),
        ("hidden",),
        _min_gru,
    ),
    "min_lstm": CellFacts(
        "minLSTM",
        "Feng et al. 2024, section 3.2; i and f are the input and forget gates, k = f / (f + i), n the candidate; no "
        "gate depends on h",
        (
            "i = sigmoid(W_i x + b_i)",
            "f = sigmoid(W_f x + b_f)",
            "k = f / (f + i)",
            "n = W_n x + b_n",
            "h' = k h + (1 - k) n",
        ),
        ("hidden",),
        _min_lstm,
    ),
}


__all__ = ["CELLS", "CellFacts"]
