# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
fairseq's `transformer` and its named architectures, such as `transformer_iwslt_de_en` and
`transformer_vaswani_wmt_en_de_big`: normalized first or last, sinusoidal or learned positions.

Its positions are numbered from that of padding + 1, which is 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from hf_attn_seq2seq.convert.tables import Tables
from hf_attn_seq2seq.convert.transformer import Attention, Stack, linear, transformer_filling
from hf_attn_seq2seq.convert.vocabularies import END
from hf_attn_seq2seq.convert.weights import Weights, share_of
from hf_attn_seq2seq.messages import quoted
from hf_attn_seq2seq.modeling_attn_seq2seq import AttnSeq2SeqForConditionalGeneration


OUTPUT = "decoder.output_projection"
FIRST_POSITION = 2
PARTS = ("q_proj", "k_proj", "v_proj", "out_proj")
STACKS = [
    Stack(
        f"{side}.layers.{{}}.",
        f"{side}.layer_norm",
        Attention("self_attn", "self_attn_layer_norm", *PARTS),
        "fc1",
        "fc2",
        "final_layer_norm",
        Attention("encoder_attn", "encoder_attn_layer_norm", *PARTS) if side == "decoder" else None,
    )
    for side in ("encoder", "decoder")
]
OF_TRANSFORMER = "decoder.layers.0.encoder_attn.out_proj.weight"
ACTIVATIONS = {
    "relu": "relu",
    "relu_squared": "relu2",
    "gelu": "gelu",
    "gelu_fast": "gelu_pytorch_tanh",
    "gelu_accurate": "gelu_pytorch_tanh",
    "swish": "silu",
    "tanh": "tanh",
}
# Options that ask for what there is not here.
WITHOUT = {
    "adaptive_softmax_cutoff": "an adaptive softmax",
    "adaptive_input": "adaptive embeddings",
    "cross_self_attention": "one attention over source and target together",
    "no_cross_attention": "a decoder that does not look at the source",
    "no_token_positional_embeddings": "a Transformer without positions",
}
# The names of a layer's norms by their old numbers.
NORMS = {
    "encoder": {"0": "self_attn_layer_norm", "1": "final_layer_norm"},
    "decoder": {"0": "self_attn_layer_norm", "1": "encoder_attn_layer_norm", "2": "final_layer_norm"},
}
# Copies of an encoder layer's weights, which a faster kernel reads.
COPIES = [f"{part}_{kind}" for part in ("in_proj", "out_proj", "fc1", "fc2") for kind in ("weight", "bias")]


def transformer_model(
    options: dict[str, Any], weights: Weights, tables: Tables
) -> AttnSeq2SeqForConditionalGeneration:
    """
    The model of a checkpoint, whose weights [`renamed`] has named as today.

    Raises:
        ValueError: It needs what there is not here.
    """
    sides = ("encoder", "decoder")
    heads = [options.get(f"{side}_attention_heads") for side in sides]
    filling = transformer_filling(weights, tables, STACKS, heads, END, **_fields(options, weights))
    model = filling.model.model
    for name, side in zip(sides, (model.encoder, model.decoder)):
        positions = side.stack.positions
        if positions.kind == "learned":
            rows = weights.take(_positions(name), *weights.shape(_positions(name)))
            filling.put(positions.embedding.weight, rows[FIRST_POSITION:][: positions.max_positions])
        if filling.config.embedding_norm:
            linear(filling, weights, f"{name}.layernorm_embedding", positions.norm)
    return filling.done()


def renamed(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """
    Weights by the names that fairseq 0.12 gives them, some of which were other ones, without what says nothing of its
    own.
    """
    found: dict[str, torch.Tensor] = {}
    for name, value in state.items():
        match name.split("."):
            case [_, "version"] | [_, "embed_positions", "_float_tensor" | "weights"]:
                continue
            case ["encoder", "layers", _, copy] if copy in COPIES:
                continue
            case [*before, "in_proj_weight" | "in_proj_bias" as joined]:  # of queries, keys and values together
                for part, third in zip(PARTS, value.chunk(3)):
                    found[".".join([*before, part, joined.removeprefix("in_proj_")])] = third
            case ["encoder" | "decoder" as side, "layers", number, "layer_norms", place, kind] if place in NORMS[side]:
                found[f"{side}.layers.{number}.{NORMS[side][place]}.{kind}"] = value
            case _:
                found[name] = value
    if "decoder.embed_out" in found:
        found[f"{OUTPUT}.weight"] = found.pop("decoder.embed_out")
    return found


def check_version(state: Mapping[str, torch.Tensor], options: Mapping[str, Any], name: str) -> None:
    """
    Refuse models that normalize first and have no norm after the last layer, as fairseq's first ones.

    Args:
        state: Weights and what says of which version they are.
        options: Of the model.
        name: Of the file.

    Raises:
        ValueError: It is such a model.
    """
    for side, oldest in (("encoder", 2), ("decoder", 3)):
        version = state.get(f"{side}.version", torch.ones(1))
        if options.get(f"{side}_normalize_before") and float(version.flatten()[0]) < oldest:
            raise ValueError(f"'{name}' has no norm after the {side}'s last layer, which there always is here.")


def _positions(side: str) -> str:
    return f"{side}.embed_positions.weight"


def _fields(options: dict[str, Any], weights: Weights) -> dict[str, Any]:
    """The fields of a configuration that options say, and parts that not all models have."""
    name = weights.file
    for option, needed in WITHOUT.items():
        if options.get(option):
            raise ValueError(f"'{name}' needs {needed} ({option}), which there is not here.")
    activation = options.get("activation_fn") or "relu"
    if not isinstance(activation, str) or activation not in ACTIVATIONS:
        raise ValueError(f"'{name}' needs activation_fn {quoted(str(activation))}, which there is not here.")
    fields: dict[str, Any] = {"position_type": "sinusoidal_halves", "position_offset": FIRST_POSITION}
    if _both(weights, "learned positions", _positions("{}")):
        longest = min(weights.shape(_positions(side))[0] for side in ("encoder", "decoder")) - FIRST_POSITION
        fields = {"position_type": "learned", "max_position_embeddings": longest}
    return {
        **fields,
        "hidden_act": ACTIVATIONS[activation],
        "norm_position": "pre" if _norm_first(options, weights) else "post",
        "scale_embeddings": not options.get("no_scale_embedding"),
        "embedding_norm": _both(weights, "normalized embeddings", "{}.layernorm_embedding.weight"),
        **{name: share_of(options.get(name)) for name in ("dropout", "attention_dropout", "activation_dropout")},
    }


def _both(weights: Weights, what: str, part: str) -> bool:
    """Whether both sides have a part, or neither."""
    there = {part.format(side) in weights for side in ("encoder", "decoder")}
    if len(there) > 1:
        raise ValueError(f"'{weights.file}' has {what} on one side alone, which there are not here.")
    return there.pop()


def _norm_first(options: dict[str, Any], weights: Weights) -> bool:
    """Whether layers are normalized first, and their sum after the last."""
    first = [bool(options.get(f"{side}_normalize_before")) for side in ("encoder", "decoder")]
    if first[0] != first[1]:
        raise ValueError(
            f"'{weights.file}' normalizes first in the {'encoder' if first[0] else 'decoder'} alone "
            "(normalize_before): here both sides do, or neither."
        )
    if first[0] and not all(f"{stack.norm}.weight" in weights for stack in STACKS):
        raise ValueError(f"'{weights.file}' has no norm after the last layer, which there always is here.")
    return first[0]
