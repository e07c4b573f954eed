# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What the explanation knows of each kind of recurrent cell: one entry in [`CELLS`] for each of the model's cells.

An entry holds the equations of a step. Those of the gates are for the reader, because their matrices are not in a
trace, but for a row of each block, from which one number of a gate is computed; those of the states are both shown and
computed, by `verify` and by the page, which reads them in the trace.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from hf_attn_seq2seq.explain.formulas import compute


Arrays = Mapping[str, np.ndarray]
SYMBOLS = {"hidden": "h", "cell": "m"}  # of a state; with a prime after the step


class Gate(NamedTuple):
    """
    Numbers between the input and the state, recorded by their name in the cell.

    Attributes:
        symbol: In formulas.
        equation: How they are made.
        title: What they are called.
        says: What they are for.
        row: How one of them is computed from w and u, what its rows of W and U make of the input and of the hidden
            state, each with its bias, and from other gates; "" for a gate without rows.
        share: Whether they are shares from 0 to 1.
    """

    symbol: str
    equation: str
    title: str
    says: str
    row: str
    share: bool = True


class CellFacts(NamedTuple):
    """
    A kind of cell. In its formulas h is the hidden state and m the cell, where it has one, which papers call c too.

    Attributes:
        name: As papers write it.
        paper: The paper, and what its symbols mean.
        gates: By the names under which they are recorded, in the order of their blocks in the matrices.
        update: What holds between gates and states, in order: the last gives the hidden state.
        state: What a step hands to the next, in the order of the recorded initial state: "hidden", "cell".
        bias: That of the blocks of W, from the module, `(gates * hidden,)`.
    """

    name: str
    paper: str
    gates: dict[str, Gate]
    update: tuple[str, ...]
    state: tuple[str, ...]
    bias: Callable[[Any], torch.Tensor] = lambda cell: cell.input_projections[0].bias

    @property
    def blocks(self) -> list[str]:
        """The gates that have a block of rows in the matrices, in their order."""
        return [name for name, gate in self.gates.items() if gate.row]

    @property
    def article(self) -> str:
        """As the name is spoken."""
        return "an" if self.name in ("LSTM", "SSRU") else "a"

    @property
    def formulas(self) -> tuple[str, ...]:
        """The equations of a step, in order."""
        gates = (f"{gate.symbol} = {gate.equation}" for gate in self.gates.values())
        return (*gates, *(equation for equation in self.update if "'" in equation.partition(" = ")[0]))

    def symbols(self, index: str) -> str:
        """A decoder's state at a step: "s_t", or "s_t, m_t"."""
        return ", ".join({"hidden": f"s_{index}", "cell": f"m_{index}"}[part] for part in self.state)

    def step(self, gates: Arrays, before: Arrays) -> dict[str, np.ndarray]:
        """
        What follows from the gates by name and the state before a step: "hidden" and "cell" after it, and gates that
        follow from other gates.
        """
        names = {f"{symbol}'": part for part, symbol in SYMBOLS.items()}
        names |= {gate.symbol: name for name, gate in self.gates.items()}
        values = {gate.symbol: gates[name] for name, gate in self.gates.items()}
        values |= {SYMBOLS[part]: array for part, array in before.items()}
        made: dict[str, np.ndarray] = {}
        for equation in self.update:
            symbol, _, formula = equation.partition(" = ")
            made[symbol] = compute(formula, {**made, **values}).value
        return {names[symbol]: value for symbol, value in made.items()}

    def hidden(self, state: Arrays) -> np.ndarray:
        """The hidden state that a state shows."""
        if "hidden" in self.state:
            return state["hidden"]
        values = {f"{SYMBOLS[part]}'": state[part] for part in self.state}
        return compute(self.update[-1].partition(" = ")[2], values).value

    def told(self) -> dict[str, Any]:
        """What a trace carries, for readers without this package."""
        return {
            "name": self.name,
            "gates": [
                {
                    "array": name,
                    "symbol": gate.symbol,
                    "title": gate.title,
                    "says": gate.says,
                    "row": gate.row,
                    "share": gate.share,
                }
                for name, gate in self.gates.items()
            ],
            "update": list(self.update),
            "state": list(self.state),
        }


CELLS = {
    "gru": CellFacts(
        "GRU",
        "Cho et al. 2014, eq. 5 to 8, the reset gate r after the product; z is the update gate, n the candidate",
        {
            "reset": Gate(
                "r",
                "sigmoid(W_r x + U_r h + b_r)",
                "reset gate",
                "how much of the memory the candidate sees",
                "sigmoid(w + u)",
            ),
            "update": Gate(
                "z", "sigmoid(W_z x + U_z h + b_z)", "update gate", "how much of the memory is kept", "sigmoid(w + u)"
            ),
            "candidate": Gate(
                "n",
                "tanh(W_n x + b_n + r (U_n h + d_n))",
                "candidate",
                "what could be remembered instead",
                "tanh(w + r u)",
                False,
            ),
        },
        ("h' = (1 - z) n + z h",),
        ("hidden",),
    ),
    "lstm": CellFacts(
        "LSTM",
        "Hochreiter and Schmidhuber 1997; Gers et al. 2000; i, f, o are the input, forget and output gates, g the "
        "candidate, m the cell",
        {
            "input": Gate(
                "i",
                "sigmoid(W_i x + U_i h + b_i)",
                "input gate",
                "how much of the candidate enters",
                "sigmoid(w + u)",
            ),
            "forget": Gate(
                "f", "sigmoid(W_f x + U_f h + b_f)", "forget gate", "how much of the cell is kept", "sigmoid(w + u)"
            ),
            "candidate": Gate(
                "g",
                "tanh(W_g x + U_g h + b_g)",
                "candidate",
                "what could be remembered instead",
                "tanh(w + u)",
                False,
            ),
            "output": Gate(
                "o", "sigmoid(W_o x + U_o h + b_o)", "output gate", "how much of the cell is shown", "sigmoid(w + u)"
            ),
        },
        ("m' = f m + i g", "h' = o tanh(m')"),
        ("hidden", "cell"),
    ),
    "ssru": CellFacts(
        "SSRU",
        "Kim et al. 2019, section 3.1; f is the forget gate, n the candidate, m the cell; no gate depends on h",
        {
            "forget": Gate("f", "sigmoid(W_f x + b_f)", "forget gate", "how much of the cell is kept", "sigmoid(w)"),
            "candidate": Gate("n", "W_n x", "candidate", "what could be remembered instead", "w", False),
        },
        ("m' = f m + (1 - f) n", "h' = relu(m')"),
        ("cell",),
        lambda cell: torch.cat([cell.forget_bias, torch.zeros_like(cell.forget_bias)]),
    ),
    "min_gru": CellFacts(
        "minGRU",
        "Feng et al. 2024, section 3.1; z is the update gate, n the candidate; no gate depends on h",
        {
            "update": Gate(
                "z", "sigmoid(W_z x + b_z)", "update gate", "how much of the candidate enters", "sigmoid(w)"
            ),
            "candidate": Gate("n", "W_n x + b_n", "candidate", "what could be remembered instead", "w", False),
        },
        ("h' = (1 - z) h + z n",),
        ("hidden",),
    ),
    "min_lstm": CellFacts(
        "minLSTM",
        "Feng et al. 2024, section 3.2; i and f are the input and forget gates, k = f / (f + i), n the candidate; no "
        "gate depends on h",
        {
            "input": Gate("i", "sigmoid(W_i x + b_i)", "input gate", "how much of the candidate enters", "sigmoid(w)"),
            "forget": Gate("f", "sigmoid(W_f x + b_f)", "forget gate", "how much of the memory is kept", "sigmoid(w)"),
            "keep": Gate("k", "f / (f + i)", "kept share", "how much of the memory is kept, of both", ""),
            "candidate": Gate("n", "W_n x + b_n", "candidate", "what could be remembered instead", "w", False),
        },
        ("f = k (f + i)", "h' = k h + (1 - k) n"),
        ("hidden",),
    ),
}


__all__ = ["CELLS", "SYMBOLS", "CellFacts", "Gate"]
