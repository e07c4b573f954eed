# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""When a fused computation may stand in for calls of modules, and the way back from it to plain gradients."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.autograd import forward_ad
from torch.nn.modules.module import _has_any_global_hook
from transformers.utils.import_utils import is_tracing

from .recorder import active_recorder


def has_hooks(module: nn.Module) -> bool:
    """Whether a call of `module` does more than its `forward`: hooks of its own or of all modules, also pruning's."""
    own = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    return any(own) or "forward" in vars(module) or _has_any_global_hook()


def is_plain_linear(module: nn.Module) -> bool:
    """
    Whether the weights of `module` may be read in the place of a call: not where an adapter, a quantiser or a
    parametrization stands in for a Linear, nor where hooks wait for it to be called.
    """
    return (
        type(module) is nn.Linear
        and type(module.weight) in (nn.Parameter, torch.Tensor)
        and type(module.bias) in (nn.Parameter, torch.Tensor, type(None))
        and not has_hooks(module)
    )


def runs_plainly(inputs: torch.Tensor) -> bool:
    """
    Whether tensors such as `inputs` are computed here and now, with nobody who watches: not by a recorder, in a traced
    graph, in forward mode, or under a transform of `torch.func`. Then a hand-written backward can have its say.
    """
    return (
        type(inputs) is torch.Tensor
        and not is_tracing(inputs)
        and active_recorder() is None
        and forward_ad._current_level < 0
        and not torch._C._are_functorch_transforms_active()
    )


def squash(values: torch.Tensor) -> torch.Tensor:
    """
    tanh of `values`, in their place, for many numbers without gradients. On a CPU it is 2 sigmoid(2x) - 1, to 2e-7:
    torch leaves tanh to MKL, whose vector functions are many times slower than its own sigmoid on some processors.
    """
    if values.device.type != "cpu" or values.dtype != torch.float32:
        return values.tanh_()
    return values.mul_(2.0).sigmoid_().mul_(2.0).sub_(1.0)


def plain_gradients(
    plain: Callable[..., Any], inputs: tuple[Any, ...], needed: tuple[bool, ...], gradients: tuple[torch.Tensor, ...]
) -> tuple[torch.Tensor | None, ...]:
    """
    The gradients by autograd of `plain(*inputs)`, for a backward that must itself be differentiable or is repeated.

    Args:
        plain: Gives one tensor or a tuple of tensors.
        inputs: Its arguments.
        needed: Which of these need a gradient.
        gradients: Of each output.
    """
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        inputs = tuple(
            value.detach().requires_grad_() if need and not again else value for value, need in zip(inputs, needed)
        )
        outputs = plain(*inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        wanted = [value for value, need in zip(inputs, needed) if need]
        found = iter(torch.autograd.grad(outputs, wanted, gradients, create_graph=again, allow_unused=True))
    return tuple(next(found) if need else None for need in needed)


__all__ = ["has_hooks", "is_plain_linear", "plain_gradients", "runs_plainly", "squash"]
