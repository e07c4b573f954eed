# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Transformers of OpenNMT-py and eole: layers that are normalized first, with sinusoidal positions.
"""

from __future__ import annotations

from typing import Any

from hf_attn_seq2seq.configuration_attn_seq2seq import AttnSeq2SeqConfig
from hf_attn_seq2seq.convert.tables import Tables
from hf_attn_seq2seq.convert.transformer import Attention, Stack, fill_stack, heads_of
from hf_attn_seq2seq.convert.weights import Filling, Weights, share_of
from hf_attn_seq2seq.messages import quoted
from hf_attn_seq2seq.modeling_attn_seq2seq import AttnSeq2SeqForConditionalGeneration


PARTS = ("linear_query", "linear_keys", "linear_values", "final_linear")
FEED_FORWARD = ("feed_forward.w_1", "feed_forward.w_2", "feed_forward.layer_norm")
ENCODER = Stack(
    "encoder.transformer.{}.", "encoder.layer_norm", Attention("self_attn", "layer_norm", *PARTS), *FEED_FORWARD
)
DECODER = Stack(
    "decoder.transformer_layers.{}.",
    "decoder.layer_norm",
    Attention("self_attn", "layer_norm_1", *PARTS),
    *FEED_FORWARD,
    Attention("context_attn", "layer_norm_2", *PARTS),
)
POSITIONS = {"SinusoidalInterleaved": "sinusoidal", "SinusoidalConcat": "sinusoidal_halves"}
ACTIVATIONS = {"relu": "relu", "gelu": "gelu"}
# Options that ask for what there is not here, with what an option must be.
ONLY: dict[str, tuple[tuple[Any, ...], str]] = {
    "self_attn_type": (
        ("scaled-dot", "scaled-dot-flash"),
        "another self-attention, such as averages whose gates read the input and the mean together",
    ),
    "max_relative_positions": ((0,), "relative or rotary positions"),
    "relative_positions_buckets": ((0,), "relative positions"),
    "position_encoding": ((True,), "a Transformer without positions"),
    "parallel_residual": ((False,), "attention and feed-forward side by side"),
    "layer_norm": (("standard",), "another normalization than layer normalization"),
    "sliding_window": ((0,), "attention within a window"),
    "num_experts": ((0,), "a mixture of experts"),
}


def transformer_model(
    options: dict[str, Any], weights: Weights, tables: Tables
) -> AttnSeq2SeqForConditionalGeneration:
    """
    The model of weights with OpenNMT-py's names.

    Raises:
        ValueError: It needs what there is not here.
    """
    # Its sinusoids are computed here.
    weights.drop(*(f"{side}.embeddings.make_embedding.pe.pe" for side in ("encoder", "decoder")))
    filling = Filling(_config(options, weights, tables))
    model = filling.model.model
    tables.fill(filling, weights)
    fill_stack(filling, weights, ENCODER, model.encoder.stack)
    fill_stack(filling, weights, DECODER, model.decoder.stack)
    return filling.done()


def _config(options: dict[str, Any], weights: Weights, tables: Tables) -> AttnSeq2SeqConfig:
    name = weights.file
    for option, (allowed, needed) in ONLY.items():
        if options.get(option, allowed[0]) not in allowed:
            raise ValueError(
                f"'{name}' needs {needed} ({option}: {quoted(str(options[option]))}), which there is not here."
            )
    positions = options.get("position_encoding_type", "SinusoidalInterleaved")
    activation = options.get("pos_ffn_activation_fn", "relu")
    for option, value, known in (
        ("position_encoding_type", positions, POSITIONS),
        ("pos_ffn_activation_fn", activation, ACTIVATIONS),
    ):
        if value not in known:
            raise ValueError(f"'{name}' needs {option} {quoted(str(value))}, which there is not here.")
    heads, epsilon = options.get("heads", 8), options.get("norm_eps", 1e-6)
    encoder, decoder = (heads_of(weights, stack, heads, tables.width) for stack in (ENCODER, DECODER))
    if not isinstance(epsilon, float) or not epsilon > 0.0:
        raise ValueError(f"'{name}' has norm_eps: {quoted(str(epsilon))}, which is no number above 0.")
    return AttnSeq2SeqConfig(
        hidden_size=tables.width,
        encoder_type="transformer",
        decoder_type="transformer",
        attention_type="multi_head",
        encoder_layers=ENCODER.depth(weights),
        decoder_layers=DECODER.depth(weights),
        num_attention_heads=decoder.all,
        num_key_value_heads=decoder.key_value,
        encoder_attention_heads=encoder.all,
        encoder_key_value_heads=encoder.key_value,
        encoder_intermediate_size=encoder.inner,
        intermediate_size=decoder.inner,
        hidden_act=ACTIVATIONS[activation],
        norm_position="pre",
        position_type=POSITIONS[positions],
        layer_norm_eps=epsilon,
        dropout=share_of(options.get("dropout")),
        attention_dropout=share_of(options.get("attention_dropout")),
        **tables.fields(weights),
    )
