# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Scan cells: their equations, number by number, and all steps at once equal to one after the other."""

import math
from unittest import mock

import pytest
import torch
from torch import nn

from hf_attn_seq2seq import cells
from hf_attn_seq2seq.cells import CELLS, GatedCell, ScanCell
from hf_attn_seq2seq.configuration_attn_seq2seq import CELL_TYPES
from hf_attn_seq2seq.recorder import Recorder, recording
from tests.helpers import scrambled


SCANNED = [kind for kind, cell in CELLS.items() if issubclass(cell, ScanCell)]
scanned = pytest.mark.parametrize("kind", SCANNED)


def test_the_configuration_knows_the_cells() -> None:
    assert tuple(CELLS) == CELL_TYPES
    assert SCANNED == ["ssru", "min_gru", "min_lstm"]
    assert all(issubclass(cell, (GatedCell, ScanCell)) for cell in CELLS.values())


def made(kind: str) -> ScanCell:
    return scrambled(CELLS[kind]([4, 3], 5)).double()  # type: ignore[return-value]


def given(length: int = 6) -> tuple[list[torch.Tensor], torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(2, length, size, generator=generator, dtype=torch.float64) for size in (4, 3)]
    return inputs, torch.randn(2, 5, generator=generator, dtype=torch.float64)


def sigmoid(number: float) -> float:
    return 1 / (1 + math.exp(-number))


def by_hand(cell: ScanCell, kind: str, inputs: list[torch.Tensor], start: torch.Tensor) -> torch.Tensor:
    """Outputs `(batch, length, hidden)` of the papers' equations, in plain numbers."""
    batch, length = inputs[0].shape[:2]
    outputs = torch.empty(batch, length, 5, dtype=torch.float64)

    def product(block: int, unit: int, row: int, step: int) -> float:
        """A row of W x + b."""
        found = 0.0
        for part, linear in zip(inputs, cell.input_projections):
            weights = linear.weight[block * 5 + unit].tolist()
            found += sum(weight * value for weight, value in zip(weights, part[row, step].tolist()))
            found += 0.0 if linear.bias is None else linear.bias[block * 5 + unit].item()
        return found

    for row in range(batch):
        for unit in range(5):
            state = start[row, unit].item()
            for step in range(length):
                first, second = (product(block, unit, row, step) for block in range(2))
                if kind == "ssru":
                    forget = sigmoid(first + cell.forget_bias[unit].item())
                    state = forget * state + (1 - forget) * second
                    output = max(state, 0.0)
                elif kind == "min_gru":
                    update = sigmoid(first)
                    output = state = (1 - update) * state + update * second
                else:
                    enter, forget = sigmoid(first), sigmoid(second)
                    state = forget / (forget + enter) * state
                    state += enter / (forget + enter) * product(2, unit, row, step)
                    output = state
                outputs[row, step, unit] = output
    return outputs


@scanned
def test_equations(kind: str) -> None:
    cell, (inputs, start) = made(kind), given()
    with torch.no_grad():
        outputs, last = cell.run(inputs, (start,), None)
        torch.testing.assert_close(outputs, by_hand(cell, kind, inputs, start), rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(outputs[:, -1], cell.output(last))


@scanned
@pytest.mark.parametrize("length", [1, 6])
def test_all_steps_at_once_equal_step_by_step(kind: str, length: int) -> None:
    cell, (inputs, start) = made(kind), given(length)
    start.requires_grad_()
    wanted = [start, *cell.parameters()]
    with mock.patch.object(cells, "linear_scan", wraps=cells.linear_scan) as scan:
        outputs, last = cell.run(inputs, (start,), None)
    assert scan.called
    state, steps = (start,), []
    for projected in cell.project(inputs).unbind(1):
        state = cell.step(projected, state, None)
        steps.append(cell.output(state))
    plain = torch.stack(steps, dim=1)
    torch.testing.assert_close(outputs, plain, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(last, state, rtol=1e-9, atol=1e-9)
    gradients = [torch.autograd.grad(each.square().sum(), wanted) for each in (outputs, plain)]
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-9)
    assert all(gradient.abs().sum() > 0 for gradient in gradients[0])


class Listener(Recorder):
    def __init__(self) -> None:
        self.found: list[dict[str, torch.Tensor]] = []

    def record(self, module: nn.Module, **values: torch.Tensor) -> None:
        self.found.append(values)


@scanned
def test_a_recorder_is_told_each_step(kind: str) -> None:
    cell, (inputs, start) = made(kind), given()
    expected, _ = cell.run(inputs, (start,), None)
    listener = Listener()
    with recording(listener):
        outputs, _ = cell.run(inputs, (start,), None)
    torch.testing.assert_close(outputs, expected, rtol=1e-9, atol=1e-9)
    assert len(listener.found) == 6
    for step, values in enumerate(listener.found):
        assert torch.equal(values["hidden_after"], outputs[:, step])
        state = "cell" if kind == "ssru" else "hidden"
        forget, enter = {
            "ssru": lambda values: (values["forget"], 1 - values["forget"]),
            "min_gru": lambda values: (1 - values["update"], values["update"]),
            "min_lstm": lambda values: [
                values[name] / (values["forget"] + values["input"]) for name in ("forget", "input")
            ],
        }[kind](values)
        new = forget * values[f"{state}_before"] + enter * values["candidate"]
        torch.testing.assert_close(new, values[f"{state}_after"])


@scanned
def test_gates_that_are_shut_or_open(kind: str) -> None:
    """Large inputs neither divide by 0 nor overflow."""
    cell = scrambled(CELLS[kind]([4], 5))
    for size in (1e3, 1e6, 1e18):
        outputs, _ = cell.run([size * torch.randn(2, 6, 4)], (torch.zeros(2, 5),), None)
        outputs.abs().sum().backward()
        assert outputs.isfinite().all()
        assert all(weight.grad.isfinite().all() for weight in cell.parameters())


def test_initialisation_of_a_loaded_cell_leaves_it() -> None:
    cell = scrambled(CELLS["ssru"]([4], 5))
    before = cell.forget_bias.clone()
    cell.forget_bias._is_hf_initialized = True
    cell.init_weights()
    assert torch.equal(cell.forget_bias, before)
    cell.forget_bias._is_hf_initialized = False
    cell.init_weights()
    assert cell.forget_bias.eq(0).all()
