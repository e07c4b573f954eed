# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Attention weights of any encoder-decoder."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PreTrainedModel

from hf_attn_seq2seq.decoding.offsets import (
    offsets_by_text,  # noqa: F401  # the pipeline that travels with models asks for it here
)
from hf_attn_seq2seq.modeling_attn_seq2seq import gather_beam_attentions


_EAGER = threading.RLock()  # threads share the model and its implementation: one at a time changes and restores it


@contextmanager
def eager_attention(model: PreTrainedModel) -> Iterator[None]:
    """Inside this context the model uses eager attention, because fused kernels do not return their weights."""
    # Each submodel separately: T5's decoder has its own configuration, which some versions do not reach.
    parts = [part for part in model.modules() if isinstance(part, PreTrainedModel)]
    with _EAGER:
        before = [part.config._attn_implementation for part in parts]
        try:
            for part in parts:
                part.set_attn_implementation("eager")
            yield
        finally:
            for part, implementation in zip(parts, before):
                part.set_attn_implementation(implementation)


@contextmanager
def evaluating(model: PreTrainedModel) -> Iterator[None]:
    """Inside this context the model is in evaluation mode."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


@torch.no_grad()
def generate_attending(
    model: PreTrainedModel, inputs: Mapping[str, torch.Tensor], layer: int = -1, **generate_options: Any
) -> tuple[Any, torch.Tensor]:
    """
    Generate, and return the attention weights of the run too.

    Args:
        inputs: The tokenized source.
        layer: Index among the decoder layers with attention.
        **generate_options: Passed to `model.generate`.

    Returns:
        The output of `generate()` and weights `(results, heads, steps, src_len)`: row t belongs to the step that
        chose the t-th new token.

    Raises:
        ValueError: The model has no attention, or no such layer.
    """
    options = {**generate_options, "return_dict_in_generate": True, "output_attentions": True}
    with eager_attention(model):
        outputs = model.generate(**inputs, **options)  # type: ignore[operator]
    return outputs, gather_beam_attentions(outputs, layer).float().cpu()


@torch.no_grad()
def force_attending(
    model: PreTrainedModel, inputs: Mapping[str, torch.Tensor], labels: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """
    The attention weights of a model on given translations (teacher forcing).

    Args:
        inputs: The tokenized sources.
        labels: `(batch, tgt_len)`, padded on the right with the padding token.

    Returns:
        `(batch, heads, tgt_len, src_len)` per layer with attention: row t belongs to the step that predicts label t.

    Raises:
        ValueError: The model has no attention.
    """
    prepare: Any = getattr(model, "prepare_decoder_input_ids_from_labels", None)
    if prepare is not None:
        fed = prepare(labels)
    else:  # M2M100 has none
        start = model.generation_config.decoder_start_token_id  # type: ignore[union-attr]
        start = model.config.decoder_start_token_id if start is None else start
        fed = torch.cat([torch.full_like(labels[:, :1], start), labels[:, :-1]], dim=1)
    with eager_attention(model):
        # Without labels and through the base model: the output layer is not needed.
        attentions = model.base_model(
            **inputs, decoder_input_ids=fed, output_attentions=True, use_cache=False
        ).cross_attentions
    if not attentions:
        raise ValueError("This model has no attention, which word alignment needs.")
    return attentions
