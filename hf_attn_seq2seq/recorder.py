# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
What a run tells of itself while somebody listens.

The model's own code hands its numbers to [`record`], which does nothing unless a [`Recorder`] is active in this
context: `with recording(recorder): model.generate(...)`. Threads and tasks beside it are not recorded.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import nn


class Recorder:
    """Receives the numbers of a run; a subclass keeps what it wants."""

    def record(self, module: nn.Module, **values: torch.Tensor) -> None:
        """Take numbers that `module` computed; they must not be changed."""

    def edit_weights(self, module: nn.Module, weights: torch.Tensor) -> torch.Tensor:
        """The attention weights `(batch, heads, tgt_len, src_len)` that `module` is to go on with: its own."""
        return weights

    def edit_heads(self, module: nn.Module, sums: torch.Tensor) -> torch.Tensor:
        """The heads' sums of values `(batch, heads, tgt_len, value_dim)` that `module` is to go on with: its own."""
        return sums


_active: ContextVar[Recorder | None] = ContextVar("attn_seq2seq_recorder", default=None)


def active_recorder() -> Recorder | None:
    """The recorder of this context; None while a graph is compiled, which outlives any recorder."""
    return None if torch.compiler.is_compiling() else _active.get()


def record(module: nn.Module, **values: torch.Tensor) -> None:
    """Hand numbers of `module` to the active recorder, if there is one."""
    recorder = active_recorder()
    if recorder is not None:
        recorder.record(module, **values)


@contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """Within, runs of this context are recorded."""
    token = _active.set(recorder)
    try:
        yield
    finally:
        _active.reset(token)


__all__ = ["Recorder", "active_recorder", "record", "recording"]
