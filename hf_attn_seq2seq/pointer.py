# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
The pointer of See et al. (2017), "Get To The Point: Summarization with Pointer-Generator Networks", and their coverage
loss.

At each step the model either writes a word of its vocabulary or copies one of the source: a gate p_gen divides the
probability between the output layer's softmax and the attention, whose weights are summed over the places where a
word stands (eq. 9). A word outside the vocabulary can be copied too: with `pointer_slots`, the k-th such word of a
source has the id `vocab_size + k`, in the source, in labels and in what is generated; read as an embedding, it is the
unknown token.
"""

from typing import Any

import torch
from torch import nn

from .attention import at_least_single
from .configuration_attn_seq2seq import AttnSeq2SeqConfig
from .fused import plain_gradients, runs_plainly
from .labels import IGNORED
from .output_layer import CHUNK_BYTES, MIN_CHUNK_ROWS
from .recorder import record


class PointerGate(nn.Module):
    """
    p_gen = sigmoid(w_h^T h*_t + w_s^T s_t + w_x^T x_t + b) (eq. 8), of the context h*_t, the decoder's state s_t and
    its input x_t.
    """

    def __init__(self, context_size: int, state_size: int, input_size: int) -> None:
        super().__init__()
        self.projection = nn.Linear(context_size + state_size + input_size, 1)

    def forward(self, context: torch.Tensor, state: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        """`(..., context)`, `(..., state)` and `(..., input)` to the gate before its sigmoid, `(...)`."""
        gate = self.projection(torch.cat([context, state, inputs], dim=-1)).squeeze(-1)
        record(self, context=context, state=state, inputs=inputs, gate=gate)
        return gate


def known_ids(ids: torch.Tensor, config: AttnSeq2SeqConfig) -> torch.Tensor:
    """The ids that are embedded: the unknown token for words outside the vocabulary."""
    if not config.pointer_slots:
        return ids
    return ids.masked_fill(ids >= config.vocab_size, config.unk_token_id)


def copy_distribution(weights: torch.Tensor, source_ids: torch.Tensor, size: int) -> torch.Tensor:
    """
    The probability of each token to be copied, the sum of the weights of its places.

    Args:
        weights: `(batch, tgt_len, src_len)`.
        source_ids: `(batch, src_len)`, below `size`.
        size: Of the vocabulary, with the words outside it.

    Returns:
        `(batch, tgt_len, size)`.
    """
    places = source_ids.unsqueeze(1).expand(-1, weights.shape[1], -1)
    return weights.new_zeros(*weights.shape[:2], size).scatter_add(-1, places, weights)


def mixed_log_probs(
    logits: torch.Tensor, gate: torch.Tensor, weights: torch.Tensor, source_ids: torch.Tensor, slots: int = 0
) -> torch.Tensor:
    """
    log P(w) with P(w) = p_gen P_vocab(w) + (1 - p_gen) sum_(i: w_i = w) a_i^t (eq. 9).

    They serve as logits: log-probabilities are their own log-softmax. What has no probability gets the logarithm of
    the smallest normal number instead of minus infinity.

    Args:
        logits: `(batch, tgt_len, vocab)`, of the output layer.
        gate: `(batch, tgt_len)`, before its sigmoid.
        weights: `(batch, tgt_len, src_len)`.
        source_ids: `(batch, src_len)`.
        slots: Words outside the vocabulary.

    Returns:
        `(batch, tgt_len, vocab + slots)`, at least in single precision.
    """
    written = torch.softmax(at_least_single(logits), dim=-1)
    share = torch.sigmoid(at_least_single(gate)).unsqueeze(-1)
    if slots:
        written = nn.functional.pad(written, (0, slots))
    copied = copy_distribution(weights.to(written.dtype), source_ids, logits.shape[-1] + slots)
    mixed = share * written + (1 - share) * copied
    return mixed.clamp(min=torch.finfo(mixed.dtype).tiny).log()


def copied_mass(weights: torch.Tensor, source_ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """
    The probability with which the labels are copied, `(batch, tgt_len)`: of [`copy_distribution`] no more than the
    loss needs.

    Args:
        weights: `(batch, tgt_len, src_len)`.
        source_ids: `(batch, src_len)`.
        labels: `(batch, tgt_len)`.
    """
    same = source_ids.unsqueeze(1) == labels.unsqueeze(2)
    return (weights * same).sum(-1)


def plain_pointer_loss(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    gate: torch.Tensor,
    copied: torch.Tensor,
    labels: torch.Tensor,
    divisor: torch.Tensor,
    label_smoothing: float,
) -> torch.Tensor:
    """What [`pointer_cross_entropy`] computes of rows with a label, from all logits at once."""
    logits = at_least_single(nn.functional.linear(hidden, weight))
    written = torch.log_softmax(logits, dim=-1)
    known = labels < len(weight)
    chosen = written.gather(1, labels.clamp(max=len(weight) - 1).unsqueeze(1)).squeeze(1)
    tiny = torch.finfo(logits.dtype).tiny
    gate = gate.to(logits.dtype)
    by_copying = nn.functional.logsigmoid(-gate) + copied.to(logits.dtype).clamp(min=tiny).log()
    by_writing = nn.functional.logsigmoid(gate) + chosen
    mixed = torch.where(known, torch.logaddexp(by_writing, by_copying), by_copying)
    loss = -(1 - label_smoothing) * mixed.sum() - label_smoothing * written.mean(-1).sum()
    return loss / divisor


class _PointerLoss(torch.autograd.Function):
    """
    The gradients are computed along with the loss, a chunk of rows at a time: with r = p_gen P_vocab(w) / P(w), the
    share of the label's probability that is written, those of the logits are r (p - e) (and s (p - 1 / V) for the
    smoothing s, as in `output_layer`), of the gate's logit p_gen - r, and of the copied mass -(1 - p_gen) / P(w).
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        gate: torch.Tensor,
        copied: torch.Tensor,
        labels: torch.Tensor,
        divisor: torch.Tensor,
        label_smoothing: float,
    ) -> torch.Tensor:
        ctx.save_for_backward(hidden, weight, gate, copied, labels, divisor)
        ctx.label_smoothing = label_smoothing
        rows, vocab = hidden.shape[0], weight.shape[0]
        precise = torch.promote_types(hidden.dtype, torch.float32)
        tiny = torch.finfo(precise).tiny
        divisor = divisor.to(precise)
        known = labels < vocab
        targets = labels.clamp(max=vocab - 1).unsqueeze(1)
        of_gate = gate.to(precise)
        writing, mass = nn.functional.logsigmoid(of_gate), copied.to(precise)
        copying = nn.functional.logsigmoid(-of_gate)
        by_copying = copying + mass.clamp(min=tiny).log()
        of_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        of_weight = torch.zeros_like(weight, dtype=precise) if ctx.needs_input_grad[1] else None
        mixed = torch.empty_like(by_copying)
        written_share = torch.empty_like(by_copying)
        smoothed = mixed.new_zeros(())
        chunk = min(rows, max(MIN_CHUNK_ROWS, CHUNK_BYTES // (vocab * precise.itemsize)))
        for start in range(0, rows, chunk):
            part = slice(start, start + chunk)
            inputs = hidden[part]
            rates = torch.log_softmax((inputs @ weight.t()).to(precise), dim=1)
            chosen = writing[part] + rates.gather(1, targets[part]).squeeze(1)
            mixed[part] = torch.where(known[part], torch.logaddexp(chosen, by_copying[part]), by_copying[part])
            share = torch.where(known[part], (chosen - mixed[part]).exp(), 0.0)
            written_share[part] = share
            if label_smoothing:
                smoothed += rates.mean(1).sum()
            if of_hidden is of_weight is None:
                continue
            pull = (1 - label_smoothing) * share
            rates.exp_().mul_((pull + label_smoothing).unsqueeze(1))
            if label_smoothing:
                rates.sub_(label_smoothing / vocab)
            rates.scatter_add_(1, targets[part], -pull.unsqueeze(1))
            slopes = (rates / divisor).to(hidden.dtype)
            if of_hidden is not None:
                of_hidden[part] = slopes @ weight
            if of_weight is not None:
                of_weight += slopes.t() @ inputs
        scale = (1 - label_smoothing) / divisor
        of_gate = (torch.sigmoid(of_gate) - written_share) * scale
        of_mass = torch.where(mass < tiny, 0.0, -(copying - mixed).exp() * scale)
        ctx.gradients = (
            of_hidden,
            None if of_weight is None else of_weight.to(weight.dtype),
            of_gate.to(gate.dtype),
            of_mass.to(copied.dtype),
        )
        return (-(1 - label_smoothing) * mixed.sum() - label_smoothing * smoothed) / divisor

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[override]
        inputs, needed = (*ctx.saved_tensors, ctx.label_smoothing), ctx.needs_input_grad
        if torch.is_grad_enabled() or ctx.gradients is None:
            return plain_gradients(plain_pointer_loss, inputs, needed, (gradient,))
        found, ctx.gradients = ctx.gradients, None  # handed over
        return *(None if each is None else each * gradient for each in found), None, None, None


def pointer_cross_entropy(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    gate: torch.Tensor,
    copied: torch.Tensor,
    labels: torch.Tensor,
    divisor: torch.Tensor | int | None = None,
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """
    -log P(w) of the labels (eq. 6), summed and divided; of the whole distribution no more is computed.

    Label smoothing spreads its share over what the output layer writes: words that stand nowhere in a source have no
    probability of being copied.

    Args:
        hidden: What the output layer reads, `(batch, tgt_len, hidden)`.
        weight: Of the output layer, `(vocab, hidden)`; it has no bias.
        gate: `(batch, tgt_len)`, before its sigmoid.
        copied: [`copied_mass`] of the labels, `(batch, tgt_len)`.
        labels: `(batch, tgt_len)`; -100: no label.
        divisor: What the sum is divided by; None: the number of labels.
        label_smoothing: Share of the loss that is spread over all tokens.
    """
    device_type = hidden.device.type
    if torch.is_autocast_enabled(device_type):
        dtype = torch.get_autocast_dtype(device_type)
        with torch.autocast(device_type, enabled=False):
            return pointer_cross_entropy(
                hidden.to(dtype), weight.to(dtype), gate, copied, labels, divisor, label_smoothing
            )
    labels = labels.reshape(-1).to(hidden.device)
    real = (labels != IGNORED).nonzero().squeeze(1)
    if divisor is None:
        divisor = len(real)
    rows = hidden.reshape(-1, hidden.shape[-1]).index_select(0, real)
    gate, copied, labels = (each.reshape(-1).index_select(0, real) for each in (gate, copied, labels))
    if not torch.is_grad_enabled():  # else the gradients would be computed all the same
        rows, weight, gate, copied = (each.detach() for each in (rows, weight, gate, copied))
    inputs = (rows, weight, gate, copied, labels, torch.as_tensor(divisor, device=hidden.device), label_smoothing)
    if not len(rows) or not runs_plainly(rows):
        return plain_pointer_loss(*inputs)
    return _PointerLoss.apply(*inputs)  # type: ignore[no-any-return]


def coverage_loss(weights: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """
    sum_t sum_i min(a_i^t, c_i^t), where c^t is the sum of all earlier weights (eq. 10 and 12): what is looked at a
    second time.

    Args:
        weights: `(batch, tgt_len, src_len)`.
        real: `(batch, tgt_len)` bool, True on the steps that count.
    """
    weights = at_least_single(weights)
    before = weights.cumsum(1) - weights
    return (torch.minimum(weights, before).sum(-1) * real).sum()


__all__ = [
    "PointerGate",
    "copied_mass",
    "copy_distribution",
    "coverage_loss",
    "known_ids",
    "mixed_log_probs",
    "plain_pointer_loss",
    "pointer_cross_entropy",
]
