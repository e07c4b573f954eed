# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Recurrences that are linear in their state, over all steps of a sequence in one call.

h_t = f_t h_(t-1) + g_t for each number of the state, where f and g are known beforehand. On a CPU the steps run one
after the other: a step is one pass over `(batch, hidden)` numbers, which the processor's cache holds. Elsewhere, where
each step would cost a launch, neighbouring steps are joined in pairs until few are left (Blelloch 1990), so launches
grow with the logarithm of the length.
"""

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from .fused import runs_plainly


SHORT = 8  # so many steps take no more launches one by one than in pairs


def linear_scan(forget: torch.Tensor, enter: torch.Tensor, start: torch.Tensor, reverse: bool = False) -> torch.Tensor:
    """
    The states h_t = f_t h_(t-1) + g_t of all steps, `(batch, length, hidden)`; gradients of any order.

    Where f is 1 and g is 0, as on padding, the state stays as it was. Inputs of 16 bits are computed in single
    precision, and each state is rounded once.

    Args:
        forget: f, `(batch, length, hidden)`.
        enter: g, `(batch, length, hidden)`.
        start: The state before the first step, `(batch, hidden)`.
        reverse: Whether the last step is the first: h_t = f_t h_(t+1) + g_t.

    Raises:
        ValueError: The shapes do not fit.
    """
    traced = torch.jit.is_tracing()  # then sizes are read by the graph alone
    if not traced and (forget.dim() != 3 or forget.shape != enter.shape or start.shape != forget.shape[::2]):
        raise ValueError(
            "A scan takes factors and terms of one shape (batch, length, hidden) and a start (batch, hidden), not "
            f"{tuple(forget.shape)}, {tuple(enter.shape)} and {tuple(start.shape)}."
        )
    dtype = torch.promote_types(torch.promote_types(forget.dtype, enter.dtype), start.dtype)
    exact = torch.promote_types(dtype, torch.float32)
    inputs = forget.to(exact), enter.to(exact), start.to(exact)
    if traced:
        states = scripted_doubling()(*inputs, reverse)
    elif forget.shape[1] == 0:
        states = inputs[1].clone()
    elif all(runs_plainly(each) for each in inputs):
        states = _Scan.apply(*inputs, reverse)
    else:
        states = step_by_step(*inputs, reverse)
    return states.to(dtype)


def step_by_step(
    forget: torch.Tensor, enter: torch.Tensor, start: torch.Tensor, reverse: bool = False
) -> torch.Tensor:
    """[`linear_scan`] as a loop in operations that autograd knows: the definition, for at least one step."""
    steps = list(zip(forget.unbind(1), enter.unbind(1)))
    states, state = [], start
    for factor, term in reversed(steps) if reverse else steps:
        state = factor * state + term
        states.append(state)
    return torch.stack(states[::-1] if reverse else states, dim=1)


def in_place(
    forget: torch.Tensor, enter: torch.Tensor, start: torch.Tensor, reverse: bool, states: torch.Tensor
) -> None:
    """[`linear_scan`] as a loop that writes into `states`; without gradients."""
    steps = list(zip(forget.unbind(1), enter.unbind(1), states.unbind(1)))
    state = start
    for factor, term, new in reversed(steps) if reverse else steps:
        state = torch.addcmul(term, factor, state, out=new)


def in_pairs(forget: torch.Tensor, enter: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
    """[`linear_scan`] in a number of operations that grows with the logarithm of the length."""
    length = forget.shape[1]
    if length <= SHORT:
        return step_by_step(forget, enter, start)
    even = length // 2 * 2
    first, second = forget[:, :even].unflatten(1, (-1, 2)).unbind(2)
    first_term, second_term = enter[:, :even].unflatten(1, (-1, 2)).unbind(2)
    # Two steps are one: h_2 = f_2 (f_1 h_0 + g_1) + g_2.
    seconds = in_pairs(second * first, torch.addcmul(second_term, second, first_term), start)
    before = torch.cat([start.unsqueeze(1), seconds[:, :-1]], dim=1)
    states = torch.stack([torch.addcmul(first_term, first, before), seconds], dim=2).flatten(1, 2)
    if even == length:
        return states
    last = torch.addcmul(enter[:, even:], forget[:, even:], states[:, -1:])
    return torch.cat([states, last], dim=1)


def doubling(forget: torch.Tensor, enter: torch.Tensor, start: torch.Tensor, reverse: bool) -> torch.Tensor:
    """
    [`linear_scan`] for graphs of any length, as TorchScript and ONNX hold them: a loop over shifts of 1, 2, 4, ...
    steps (Hillis and Steele 1986).
    """
    if reverse:
        forget = forget.flip(1)
        enter = enter.flip(1)
    # After a shift of k, a step holds the product of the last 2 k factors and what these steps add up to from 0.
    factors, sums = forget, enter
    shift = 1
    while shift < forget.shape[1]:
        kept = forget.shape[1] - shift
        before = torch.cat([torch.zeros_like(sums[:, :shift]), sums[:, :kept]], dim=1)
        sums = sums + factors * before
        factors = factors * torch.cat([torch.ones_like(sums[:, :shift]), factors[:, :kept]], dim=1)
        shift = 2 * shift
    states = sums + factors * start.unsqueeze(1)
    return states.flip(1) if reverse else states


@cache
def scripted_doubling() -> Callable[..., torch.Tensor]:
    """[`doubling`] as a loop within a traced graph."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TorchScript's age, which is the traced graph's own
        return torch.jit.script(doubling)  # type: ignore[no-any-return]


def scan_into(
    forget: torch.Tensor, enter: torch.Tensor, start: torch.Tensor, reverse: bool, states: torch.Tensor
) -> None:
    """Write the states in the way that suits the device; without gradients."""
    run = in_place if forget.device.type == "cpu" else pairs_into
    run(forget, enter, start, reverse, states)


def pairs_into(
    forget: torch.Tensor, enter: torch.Tensor, start: torch.Tensor, reverse: bool, states: torch.Tensor
) -> None:
    """[`in_pairs`], either way, into `states`; without gradients."""
    if not forget.shape[1]:
        return
    given = (forget.flip(1), enter.flip(1)) if reverse else (forget, enter)
    found = in_pairs(*given, start)
    states.copy_(found.flip(1) if reverse else found)


class _Scan(torch.autograd.Function):
    """The scan, whose gradients are a scan in the other direction: dL/dg_t = dL/dh_t + f_(t+1) dL/dg_(t+1)."""

    @staticmethod
    def forward(
        ctx: Any, forget: torch.Tensor, enter: torch.Tensor, start: torch.Tensor, reverse: bool
    ) -> torch.Tensor:
        states = torch.empty_like(enter)
        scan_into(forget, enter, start, reverse, states)
        ctx.save_for_backward(forget, start, states)
        ctx.reverse = reverse
        return states

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        forget, start, states = ctx.saved_tensors
        reverse = ctx.reverse
        length = forget.shape[1]
        first, last = (length - 1, 0) if reverse else (0, length - 1)  # in the order of the scan
        after, before = (slice(1, None), slice(None, -1))[:: -1 if reverse else 1]
        if torch.is_grad_enabled():  # its gradients have gradients, of which those of h are known from this very scan
            edge = torch.zeros_like(forget[:, :1])
            factors = torch.cat([edge, forget[:, after]] if reverse else [forget[:, after], edge], dim=1)
            terms: torch.Tensor = _Scan.apply(factors, gradient, torch.zeros_like(start), not reverse)
            edge = start.unsqueeze(1)
            earlier = torch.cat([states[:, before], edge] if reverse else [edge, states[:, before]], dim=1)
            return terms * earlier, terms, forget[:, first] * terms[:, first], None
        terms = torch.empty_like(states)
        terms[:, last] = gradient[:, last]
        scan_into(forget[:, after], gradient[:, before], gradient[:, last], not reverse, terms[:, before])
        factors = torch.empty_like(states)
        torch.mul(terms[:, after], states[:, before], out=factors[:, after])
        torch.mul(terms[:, first], start, out=factors[:, first])
        return factors, terms, forget[:, first] * terms[:, first], None


__all__ = ["linear_scan"]
