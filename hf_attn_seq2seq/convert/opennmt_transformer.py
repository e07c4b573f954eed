# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Transformers of OpenNMT-py and eole: layers that are normalized first, with sinusoidal positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_attn_seq2seq.convert.tables import Tables
from hf_attn_seq2seq.convert.transformer import Attention, Stack, transformer_filling
from hf_attn_seq2seq.convert.weights import Weights, share_of
from hf_attn_seq2seq.messages import quoted
from hf_attn_seq2seq.modeling_attn_seq2seq import AttnSeq2SeqForConditionalGeneration


PARTS = ("linear_query", "linear_keys", "linear_values", "final_linear")
FEED_FORWARD = ("feed_forward.w_1", "feed_forward.w_2", "feed_forward.layer_norm")
STACKS = (
    Stack(
        "encoder.transformer.{}.", "encoder.layer_norm", Attention("self_attn", "layer_norm", *PARTS), *FEED_FORWARD
    ),
    Stack(
        "decoder.transformer_layers.{}.",
        "decoder.layer_norm",
        Attention("self_attn", "layer_norm_1", *PARTS),
        *FEED_FORWARD,
        Attention("context_attn", "layer_norm_2", *PARTS),
    ),
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
    check_only(options, ONLY, weights.file)
    weights.drop(*(f"{side}.embeddings.make_embedding.pe.pe" for side in ("encoder", "decoder")))
    fields = fields_of(options, POSITIONS, ACTIVATIONS, "pos_ffn_activation_fn", 1e-6, weights.file)
    return transformer_filling(weights, tables, STACKS, [options.get("heads", 8)] * 2, **fields).done()


def check_only(options: Mapping[str, Any], only: Mapping[str, tuple[tuple[Any, ...], str]], name: str) -> None:
    """
    Refuse options that ask for what there is not here.

    Args:
        options: Of a model.
        only: What an option may be, first what it is where it is not given; and what another value would need.
        name: Of the file.

    Raises:
        ValueError: Names the option.
    """
    for option, (allowed, needed) in only.items():
        if options.get(option, allowed[0]) not in allowed:
            raise ValueError(
                f"'{name}' needs {needed} ({option}: {quoted(str(options[option]))}), which there is not here."
            )


def fields_of(
    options: Mapping[str, Any],
    positions: Mapping[str, str],
    activations: Mapping[str, str],
    activation: str,
    epsilon: float | None,
    name: str,
) -> dict[str, Any]:
    """
    The fields of a configuration that options say.

    Args:
        options: Of a model.
        positions, activations: What their kinds are called here.
        activation: The option that names the activation.
        epsilon: What `norm_eps` is where it is not given; None: that is not known.
        name: Of the file.

    Raises:
        ValueError: A kind is none that there is here.
    """
    kinds = (
        ("position_encoding_type", options.get("position_encoding_type", "SinusoidalInterleaved"), positions),
        (activation, options.get(activation, "relu"), activations),
    )
    for option, value, known in kinds:
        if not isinstance(value, str) or value not in known:
            raise ValueError(f"'{name}' needs {option} {quoted(str(value))}, which there is not here.")
    epsilon = options.get("norm_eps", epsilon)
    if not isinstance(epsilon, float) or not epsilon > 0.0:
        raise ValueError(f"'{name}' has norm_eps: {quoted(str(epsilon))}, which is no number above 0.")
    return {
        "position_type": positions[kinds[0][1]],
        "hidden_act": activations[kinds[1][1]],
        "norm_position": "pre",
        "layer_norm_eps": epsilon,
        "dropout": share_of(options.get("dropout")),
        "attention_dropout": share_of(options.get("attention_dropout")),
    }
