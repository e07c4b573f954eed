# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Transformers of other toolkits, whose layers have the same parts by other names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from hf_attn_seq2seq.configuration_attn_seq2seq import AttnSeq2SeqConfig
from hf_attn_seq2seq.convert.tables import Tables
from hf_attn_seq2seq.convert.vocabularies import START
from hf_attn_seq2seq.convert.weights import Filling, Weights
from hf_attn_seq2seq.messages import quoted


class Attention(NamedTuple):
    """What an attention and its parts are called in a layer."""

    attention: str
    norm: str
    query: str
    key: str
    value: str
    output: str


class Stack(NamedTuple):
    """What the parts of an encoder or a decoder are called; `layer` begins the names of those of a layer."""

    layer: str  # with a place for its number
    norm: str  # after all layers
    self_attention: Attention | None  # None: another mixer, which is filled apart
    inner: str
    outer: str
    feed_forward_norm: str
    cross_attention: Attention | None = None

    def depth(self, weights: Weights) -> int:
        """How many layers there are."""
        return weights.depth(f"{self.layer}{self.inner}.weight")


class Heads(NamedTuple):
    """Of a stack's attention, and the width inside its feed-forward blocks."""

    all: int
    key_value: int
    inner: int


def heads_of(weights: Weights, names: Stack, heads: Any, width: int) -> Heads:
    """
    How many heads a stack has for keys and values, by the shape of its first layer's weights.

    Args:
        weights: Of the model.
        names: What they are called.
        heads: How many heads its options name.
        width: How many numbers a state has.

    Raises:
        ValueError: The numbers do not fit, or there are no layers.
    """
    layer = names.layer.format(0)
    inner, _ = weights.shape(f"{layer}{names.inner}.weight")
    keys, _ = weights.shape(f"{layer}{names.self_attention.attention}.{names.self_attention.key}.weight")
    fits = isinstance(heads, int) and heads > 0 and width % heads == 0 and keys % (width // heads) == 0
    if not fits or heads % (keys * heads // width):
        raise ValueError(f"'{weights.file}' has {quoted(str(heads))} heads, which do not fit its weights.")
    return Heads(heads, keys * heads // width, inner)


def transformer_filling(
    weights: Weights,
    tables: Tables,
    stacks: Sequence[Stack],
    heads: Sequence[Any],
    start: int = START,
    **fields: Any,
) -> Filling:
    """
    A Transformer with the weights that all of them have.

    Args:
        weights: Gives them.
        tables: Its embeddings and output layer.
        stacks: What the parts of its encoder and its decoder are called.
        heads: How many heads their options name.
        start: The id of the token that a target starts with.
        fields: What only its options say, as fields of a configuration.

    Raises:
        ValueError: A weight is missing, or the sizes do not fit.
    """
    encoder, decoder = (heads_of(weights, names, each, tables.width) for names, each in zip(stacks, heads))
    depths = [names.depth(weights) for names in stacks]
    config = AttnSeq2SeqConfig(
        hidden_size=tables.width,
        encoder_type="transformer",
        decoder_type="transformer",
        attention_type="multi_head",
        encoder_layers=depths[0],
        decoder_layers=depths[1],
        encoder_attention_heads=encoder.all,
        encoder_key_value_heads=encoder.key_value,
        num_attention_heads=decoder.all,
        num_key_value_heads=decoder.key_value,
        encoder_intermediate_size=encoder.inner,
        intermediate_size=decoder.inner,
        **fields,
        **tables.fields(weights, start),
    )
    filling = Filling(config)
    tables.fill(filling, weights)
    model = filling.model.model
    for names, side in zip(stacks, (model.encoder, model.decoder)):
        fill_stack(filling, weights, names, side.stack)
    return filling


def fill_stack(filling: Filling, weights: Weights, names: Stack, stack: Any) -> None:
    """
    The layers of a Transformer encoder or decoder, and the norm after them where it has one.

    Args:
        filling: Takes the weights.
        weights: Gives them.
        names: What they are called there.
        stack: The encoder's or the decoder's stack here.

    Raises:
        ValueError: A weight is missing, or has another shape.
    """
    for number, layer in enumerate(stack.layers):
        prefix = names.layer.format(number)
        pairs = []
        if names.self_attention is not None:
            pairs.append((names.self_attention, layer.self_attention, layer.self_attention_norm))
        if names.cross_attention is not None:
            pairs.append((names.cross_attention, layer.cross_attention, layer.cross_attention_norm))
        for theirs, attention, norm in pairs:
            for part in ("query", "key", "value", "output"):
                name = f"{prefix}{theirs.attention}.{getattr(theirs, part)}"
                linear(filling, weights, name, getattr(attention, f"{part}_projection"))
            linear(filling, weights, f"{prefix}{theirs.norm}", norm)
        linear(filling, weights, f"{prefix}{names.inner}", layer.feed_forward.input_projection)
        linear(filling, weights, f"{prefix}{names.outer}", layer.feed_forward.output_projection)
        linear(filling, weights, f"{prefix}{names.feed_forward_norm}", layer.feed_forward_norm)
    if isinstance(stack.norm, torch.nn.LayerNorm):
        linear(filling, weights, names.norm, stack.norm)


def linear(filling: Filling, weights: Weights, name: str, layer: Any) -> None:
    """
    A layer's `weight` and `bias`; models may be without the bias of a product, which is zeros then.

    Raises:
        ValueError: One is missing, or has another shape.
    """
    bias = f"{name}.bias"
    if isinstance(layer, torch.nn.LayerNorm):
        weights.shape(bias, 1)
    filling.put(layer.weight, weights.take(f"{name}.weight", *layer.weight.shape))
    filling.put(layer.bias, weights.take(bias, *layer.bias.shape) if bias in weights else torch.zeros_like(layer.bias))
