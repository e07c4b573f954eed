# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""A scan, in each of its forms, is the plain equation step by step; so are its gradients."""

import io
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any
from unittest import mock

import pytest
import torch

from hf_attn_seq2seq import scan
from hf_attn_seq2seq.scan import doubling, in_pairs, linear_scan


LENGTHS = (0, 1, 2, 3, 8, 9, 16, 23, 50)
TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-6}


def inputs(length: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Factors in (0, 1), some of them 0 and some 1; terms; a start."""
    generator = torch.Generator().manual_seed(seed)
    forget = torch.rand(3, length, 5, generator=generator, dtype=torch.float64)
    forget = torch.where(forget < 0.05, 0.0, torch.where(forget > 0.9, 1.0, forget))
    enter = torch.randn(3, length, 5, generator=generator, dtype=torch.float64)
    start = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    return tuple(each.to(dtype) for each in (forget, enter, start))


def by_hand(forget: torch.Tensor, enter: torch.Tensor, start: torch.Tensor, reverse: bool) -> torch.Tensor:
    """The equation for each number by itself, in double precision."""
    states = torch.empty_like(enter, dtype=torch.float64)
    batch, length, hidden = forget.shape
    for row in range(batch):
        for unit in range(hidden):
            state = start[row, unit].item()
            for step in range(length)[:: -1 if reverse else 1]:
                state = forget[row, step, unit].item() * state + enter[row, step, unit].item()
                states[row, step, unit] = state
    return states


def as_elsewhere() -> Any:
    """Within, [`linear_scan`] runs as on a device where a step is a launch."""
    return mock.patch.object(scan, "in_place", scan.pairs_into)


def both_ways(form: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    def run(forget: torch.Tensor, enter: torch.Tensor, start: torch.Tensor, reverse: bool) -> torch.Tensor:
        if forget.shape[1] == 0:
            return enter
        return form(forget.flip(1), enter.flip(1), start).flip(1) if reverse else form(forget, enter, start)

    return run


FORMS = {"steps": linear_scan, "pairs": both_ways(in_pairs), "doubling": doubling}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_every_form_is_the_equation(dtype, form, length, reverse):
    given = inputs(length, dtype)
    states = FORMS[form](*given, reverse)
    assert states.dtype == dtype
    tolerance = TOLERANCES[dtype]
    torch.testing.assert_close(states.double(), by_hand(*given, reverse), rtol=tolerance, atol=10 * tolerance)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [1, 2, 7, 19])
def test_gradients(length, reverse):
    given = tuple(each.requires_grad_() for each in inputs(length))
    assert torch.autograd.gradcheck(linear_scan, (*given, reverse), fast_mode=length > 7)
    assert torch.autograd.gradgradcheck(linear_scan, (*given, reverse), fast_mode=length > 2)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", LENGTHS)
def test_gradients_equal_those_of_the_plain_loop(length, reverse):
    given = inputs(length)
    weight = torch.randn_like(given[1])
    found = []
    for run, place in (
        (linear_scan, nullcontext()),
        (linear_scan, as_elsewhere()),
        (scan.step_by_step, nullcontext()),
    ):
        if run is scan.step_by_step and not length:
            continue
        wanted = [each.clone().requires_grad_() for each in given]
        with place:
            (run(*wanted, reverse) * weight).sum().backward()
        found.append([torch.zeros_like(each) if each.grad is None else each.grad for each in wanted])
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-9, atol=1e-9)


def test_gradients_of_what_alone_wants_one():
    for wanted in range(3):
        given = [each.requires_grad_(place == wanted) for place, each in enumerate(inputs(6))]
        linear_scan(*given).square().sum().backward()
        expected = [each.detach().clone().requires_grad_() for each in given]
        scan.step_by_step(*expected).square().sum().backward()
        for place, each in enumerate(given):
            assert (each.grad is not None) is (place == wanted)
        torch.testing.assert_close(given[wanted].grad, expected[wanted].grad)


def test_backward_twice_gives_the_same():
    given = [each.requires_grad_() for each in inputs(6)]
    loss = linear_scan(*given).square().sum()
    first, second = (torch.autograd.grad(loss, given, retain_graph=True) for _ in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_neither_overflows_nor_underflows():
    """The products of many small factors are 0 in the end, and of factors near 1 stay what they are."""
    length = 2000
    for factor in (0.0, 1e-6, 0.5, 1 - 1e-6, 1.0):
        forget = torch.full((1, length, 2), factor)
        enter = (1 - forget) * torch.randn(1, length, 2)
        start = torch.randn(1, 2)
        for form in FORMS.values():
            states = form(forget, enter, start, False)
            assert states.isfinite().all()
            torch.testing.assert_close(states.double(), by_hand(forget, enter, start, False), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sixteen_bits_round_each_state_once(dtype):
    given = inputs(50, dtype)
    states = linear_scan(*given)
    assert states.dtype == dtype
    assert torch.equal(states, linear_scan(*(each.float() for each in given)).to(dtype))
    mixed = linear_scan(given[0], given[1], given[2].float())  # as under autocast
    assert mixed.dtype == torch.float32
    wanted = [each.requires_grad_() for each in given]
    linear_scan(*wanted).float().square().sum().backward()
    assert all(each.grad.dtype == dtype and each.grad.isfinite().all() for each in wanted)


def test_padding_leaves_the_state_as_it_was():
    forget, enter, start = inputs(6)
    mask = torch.tensor([[0, 1, 1, 0, 1, 0]] * 3).bool().unsqueeze(-1)
    for reverse in (False, True):
        states = linear_scan(forget.where(mask, 1.0), enter.where(mask, 0.0), start, reverse)
        real = [1, 2, 4]
        expected = linear_scan(forget[:, real], enter[:, real], start, reverse)
        torch.testing.assert_close(states[:, real], expected)
        assert torch.equal(states[:, -1 if reverse else 0], start)


def test_transforms_of_torch_func_and_forward_mode():
    given = inputs(7)

    def loss(*each: torch.Tensor) -> torch.Tensor:
        return linear_scan(*each).square().sum()

    found = torch.func.grad(loss, argnums=(0, 1, 2))(*given)
    wanted = [each.clone().requires_grad_() for each in given]
    loss(*wanted).backward()
    torch.testing.assert_close(list(found), [each.grad for each in wanted])
    _, tangent = torch.func.jvp(loss, given, tuple(torch.ones_like(each) for each in given))
    torch.testing.assert_close(tangent, sum(each.sum() for each in found))


def test_a_traced_graph_takes_any_length():
    graph = torch.jit.trace(lambda *given: linear_scan(*given), inputs(5, torch.float32), check_trace=False)
    for length in (1, 4, 13, 64):
        given = inputs(length, torch.float32, seed=1)
        torch.testing.assert_close(graph(*given), linear_scan(*given))
    file = io.BytesIO()
    torch.jit.save(graph, file)


def test_a_compiled_scan():
    compiled = torch.compile(linear_scan, fullgraph=True, backend="eager")
    given = inputs(5)
    torch.testing.assert_close(compiled(*given), linear_scan(*given))


def test_shapes_that_do_not_fit_are_named():
    forget, enter, start = inputs(4)
    for wrong in ((forget[:, :3], enter, start), (forget, enter, start[:2]), (forget[0], enter[0], start[0])):
        with pytest.raises(ValueError, match=r"one shape \(batch, length, hidden\)"):
            linear_scan(*wrong)
