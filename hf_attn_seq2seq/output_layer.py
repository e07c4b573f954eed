# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
The output layer in training: its cross-entropy in chunks, at real labels alone, and logits that wait to be read.

All logits of a batch are its largest tensor, and needed by nobody: of `(batch, tgt_len, vocab)` numbers only the rows
with a label enter the loss, and a chunk of them is enough at a time.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers.modeling_outputs import Seq2SeqLMOutput

from .attention import at_least_single
from .fused import plain_gradients
from .labels import IGNORED


# Bytes of logits at a time. The C library gives memory above 32 MiB back at once, so that each of its pages faults
# in again; and rows enough that the products stay at full speed.
CHUNK_BYTES = 16 * 2**20
MIN_CHUNK_ROWS = 256
SAMPLED = 1024  # weights that tell whether an optimizer has made a step


def plain_cross_entropy(
    hidden: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor, divisor: torch.Tensor, label_smoothing: float
) -> torch.Tensor:
    """What [`chunked_cross_entropy`] computes, from all logits at once."""
    logits = at_least_single(nn.functional.linear(hidden, weight))
    loss = nn.functional.cross_entropy(logits, labels, reduction="sum", label_smoothing=label_smoothing)
    return loss / divisor


class _ChunkedCrossEntropy(torch.autograd.Function):
    """
    The gradients are computed along with the loss, while a chunk's logits are there: with p the softmax, e the one-hot
    label, s the smoothing and V the vocabulary, those of the logits are p - (1 - s) e - s / V.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        labels: torch.Tensor,
        divisor: torch.Tensor,
        label_smoothing: float,
    ) -> torch.Tensor:
        ctx.save_for_backward(hidden, weight, labels, divisor)
        ctx.label_smoothing = label_smoothing
        rows, vocab = hidden.shape[0], weight.shape[0]
        precise = torch.promote_types(hidden.dtype, torch.float32)
        chunk = min(rows, max(MIN_CHUNK_ROWS, CHUNK_BYTES // (vocab * precise.itemsize)))
        whole = hidden.dtype == precise
        logits = hidden.new_empty(chunk, vocab, dtype=precise)
        hidden_gradient = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        # Summed in single precision over chunks that are themselves in half.
        weight_gradient = torch.empty_like(weight, dtype=precise) if ctx.needs_input_grad[1] else None
        divisor = divisor.to(precise)
        loss = logits.new_zeros(())
        for inputs, targets, start in zip(hidden.split(chunk), labels.split(chunk), range(0, rows, chunk)):
            rates, targets = logits[: len(inputs)], targets.unsqueeze(1)
            if whole:
                torch.mm(inputs, weight.t(), out=rates)
            else:
                rates.copy_(inputs @ weight.t())
            torch.log_softmax(rates, dim=1, out=rates)
            loss -= (1 - label_smoothing) * rates.gather(1, targets).sum()
            if label_smoothing:
                loss -= label_smoothing / vocab * rates.sum()
            if hidden_gradient is weight_gradient is None:
                continue
            rates.exp_()
            if label_smoothing:
                rates.sub_(label_smoothing / vocab)
            rates.scatter_add_(1, targets, rates.new_full(targets.shape, label_smoothing - 1))
            gradients = rates if whole else rates.to(hidden.dtype)
            if hidden_gradient is not None:
                torch.mm(gradients, weight, out=hidden_gradient[start : start + chunk])
            if weight_gradient is not None:
                scaled = inputs / divisor.to(inputs.dtype)
                if whole:
                    weight_gradient.addmm_(gradients.t(), scaled, beta=1.0 if start else 0.0)
                elif start:
                    weight_gradient += gradients.t() @ scaled
                else:
                    weight_gradient.copy_(gradients.t() @ scaled)
        if hidden_gradient is not None:
            hidden_gradient.div_(divisor)
        ctx.gradients = hidden_gradient, None if weight_gradient is None else weight_gradient.to(weight.dtype)
        return loss / divisor

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[override]
        inputs, needed = (*ctx.saved_tensors, ctx.label_smoothing), ctx.needs_input_grad
        if torch.is_grad_enabled() or ctx.gradients is None:
            return plain_gradients(plain_cross_entropy, inputs, needed, (gradient,))
        found, ctx.gradients = ctx.gradients, None  # handed over, and scaled in place
        if gradient.device.type != "cpu" or gradient != 1:
            for each in found:
                if each is not None:
                    each.mul_(gradient)
        return *found, None, None, None


def chunked_cross_entropy(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    labels: torch.Tensor,
    divisor: torch.Tensor | int | None = None,
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """
    Cross-entropy of an output layer without bias, summed over labels and divided.

    Args:
        hidden: What the layer reads, `(batch, tgt_len, hidden)`.
        weight: `(vocab, hidden)`.
        labels: `(batch, tgt_len)`; -100: no label.
        divisor: What the sum is divided by; None: the number of labels.
        label_smoothing: Share of probability that is spread over all tokens.
    """
    device_type = hidden.device.type
    if torch.is_autocast_enabled(device_type):
        dtype = torch.get_autocast_dtype(device_type)
        with torch.autocast(device_type, enabled=False):
            return chunked_cross_entropy(hidden.to(dtype), weight.to(dtype), labels, divisor, label_smoothing)
    labels = labels.reshape(-1).to(hidden.device)
    real = (labels != IGNORED).nonzero().squeeze(1)
    if divisor is None:
        divisor = len(real)
    rows = hidden.reshape(-1, hidden.shape[-1])
    if len(real) < len(labels):
        rows, labels = rows.index_select(0, real), labels.index_select(0, real)
    if not torch.is_grad_enabled():  # else the gradients would be computed all the same
        rows, weight = rows.detach(), weight.detach()
    inputs = (rows, weight, labels, torch.as_tensor(divisor, device=hidden.device), label_smoothing)
    if not len(rows):
        return plain_cross_entropy(*inputs)
    return _ChunkedCrossEntropy.apply(*inputs)  # type: ignore[no-any-return]


def lengths_to_last_label(labels: torch.Tensor) -> torch.Tensor:
    """How many steps `(batch,)` of `(batch, tgt_len)` labels the loss needs: up to the last label, at least one."""
    steps = torch.arange(1, labels.shape[1] + 1, device=labels.device)
    return (steps * (labels != IGNORED)).amax(1).clamp(min=1)


@dataclass
class UnreadLogitsOutput(Seq2SeqLMOutput):
    """
    An output of training whose logits are computed when they are first read, by name, index or as one of all.

    From then on it is a plain `Seq2SeqLMOutput`.
    """

    @classmethod
    def of(
        cls,
        outputs: Seq2SeqLMOutput,
        head: nn.Linear,
        hidden: torch.Tensor,
        finish: Callable[[torch.Tensor], torch.Tensor],
    ) -> "UnreadLogitsOutput":
        """
        Args:
            outputs: Without logits.
            head: The output layer.
            hidden: What it reads, `(batch, tgt_len, hidden)`.
            finish: Makes the model's logits of the layer's.
        """
        weight = head.weight.detach().flatten()
        sample = weight[:: 1 + len(weight) // SAMPLED]
        version, before = weight._version, sample.clone()

        def compute() -> torch.Tensor:
            # Fused optimizers change weights without a new version.
            if weight._version != version or not sample.equal(before):
                raise ValueError(
                    "The output layer has been trained on since this output was made, so its logits are gone: read "
                    "them before the optimizer's step, or call the model with output_logits=True."
                )
            with torch.enable_grad():
                return finish(head(hidden))

        unread = cls(**outputs)
        object.__setattr__(unread, "_compute", compute)
        return unread

    def _read(self) -> Seq2SeqLMOutput:
        values = object.__getattribute__(self, "__dict__")
        compute: Callable[[], torch.Tensor] | None = values.get("_compute")
        logits = None if compute is None else compute()
        object.__setattr__(self, "__class__", Seq2SeqLMOutput)
        if logits is not None:
            del values["_compute"]
            self.logits = logits
            for name in [name for name in self if name not in ("loss", "logits")]:
                self.move_to_end(name)
        return self

    def __getattribute__(self, name: str) -> Any:
        if name == "logits":
            object.__getattribute__(self, "_read")()
        return object.__getattribute__(self, name)  # by now it may be of the other class

    def __getitem__(self, key: Any) -> Any:
        if key == "loss" or key == 0:
            return self.loss
        return self._read()[key]

    def __contains__(self, name: object) -> bool:
        return name == "logits" or super().__contains__(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __reduce__(self) -> Any:
        return self._read().__reduce__()

    def get(self, key: str, default: Any = None) -> Any:
        try:
            return self[key]
        except KeyError:
            return default

    def keys(self) -> Any:
        return self._read().keys()

    def values(self) -> Any:
        return self._read().values()

    def items(self) -> Any:
        return self._read().items()

    def to_tuple(self) -> tuple[Any, ...]:
        return self._read().to_tuple()


__all__ = ["UnreadLogitsOutput", "chunked_cross_entropy", "lengths_to_last_label", "plain_cross_entropy"]
