# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Recurrent models of OpenNMT-py and eole: encoders `rnn` and `brnn`, attention `dot`, `general`, `mlp` or none, with or
without input feeding and bridge.
"""

from __future__ import annotations

from typing import Any

import torch

from hf_attn_seq2seq.configuration_attn_seq2seq import AttnSeq2SeqConfig
from hf_attn_seq2seq.convert.tables import Tables
from hf_attn_seq2seq.convert.weights import Filling, Weights, gates_of, share_of
from hf_attn_seq2seq.messages import quoted
from hf_attn_seq2seq.modeling_attn_seq2seq import AttnSeq2SeqForConditionalGeneration


NORMALIZERS = ("softmax", "sparsemax")


def recurrent_model(options: dict[str, Any], weights: Weights, tables: Tables) -> AttnSeq2SeqForConditionalGeneration:
    """
    The model of weights with OpenNMT-py's names.

    Raises:
        ValueError: It needs what there is not here.
    """
    if options.get("position_encoding"):
        raise ValueError(f"'{weights.file}' needs positions in a recurrent model, which there are not here.")
    return _filled(_config(options, weights, tables), weights, tables)


def _cells(weights: Weights) -> str:
    """What the names of the decoder's cells begin with: with input feeding each layer is a module of its own."""
    return "decoder.rnn.layers." if "decoder.rnn.layers.0.weight_hh" in weights else "decoder.rnn."


def _hidden(weights: Weights) -> str:
    """The name of the weight from state to gates, with a place for the layer's number."""
    cells = _cells(weights)
    return f"{cells}{{}}.weight_hh" if cells.endswith("layers.") else f"{cells}weight_hh_l{{}}"


def _config(options: dict[str, Any], weights: Weights, tables: Tables) -> AttnSeq2SeqConfig:
    name = weights.file
    cell, hidden = gates_of(weights, _hidden(weights).format(0))
    encoder_cell, half = gates_of(weights, "encoder.rnn.weight_hh_l0")
    both = "encoder.rnn.weight_hh_l0_reverse" in weights
    if encoder_cell != cell or half * (1 + both) != hidden:
        raise ValueError(f"'{name}' has cells of other kinds or widths in the encoder: get the file again.")
    attention, readout = "none", "linear"
    if "decoder.attn.linear_out.weight" in weights:
        attention, readout = "dot", "tanh"
        if "decoder.attn.linear_in.weight" in weights:
            attention = "general"
        elif "decoder.attn.linear_context.weight" in weights:
            attention, readout = "additive", "affine"
    normalizer = options.get("global_attention_function", "softmax") if attention != "none" else "softmax"
    if normalizer not in NORMALIZERS:
        raise ValueError(f"'{name}' needs global_attention_function {quoted(normalizer)}, which there is not here.")
    return AttnSeq2SeqConfig(
        hidden_size=hidden,
        encoder_type=cell,
        decoder_type=cell,
        encoder_layers=weights.depth("encoder.rnn.weight_hh_l{}"),
        decoder_layers=weights.depth(_hidden(weights)),
        bidirectional=both,
        attention_type=attention,
        attention_bias=attention == "additive",
        attention_normalizer=normalizer,
        attention_query="current",
        input_feeding=_cells(weights).endswith("layers."),
        bridge="final_dense" if "encoder.bridge.0.weight" in weights else "final",
        readout=readout,
        dropout=share_of(options.get("dropout")),
        **tables.fields(weights),
    )


def _filled(config: AttnSeq2SeqConfig, weights: Weights, tables: Tables) -> AttnSeq2SeqForConditionalGeneration:
    filling = Filling(config)
    stack, hidden = filling.model.model.decoder.stack, config.hidden_size
    steps = stack.steps
    tables.fill(filling, weights)
    filling.encoder_cells(weights, "encoder.rnn.")
    cells = _cells(weights)
    for index, cell in enumerate(steps.cells):
        alone = cells.endswith("layers.")
        filling.cell(cell, weights, f"{cells}{index}." if alone else cells, "" if alone else f"_l{index}")
    if config.bridge == "final_dense":
        # Its one matrix serves the first and the second half of all states where there are two directions.
        halves = 1 + config.bidirectional
        width = hidden * config.encoder_layers // halves
        for part, projection in enumerate(stack.bridge.projection):
            weight = weights.take(f"encoder.bridge.{part}.weight", width, width)
            bias = weights.take(f"encoder.bridge.{part}.bias", width)
            filling.linear(projection, torch.block_diag(*[weight] * halves), torch.cat([bias] * halves))
    if config.attention_type == "general":
        filling.linear(
            steps.attention.key_projection, weights.take("decoder.attn.linear_in.weight", hidden, hidden).t()
        )
    elif config.attention_type == "additive":
        filling.linear(
            steps.attention.query_projection, weights.take("decoder.attn.linear_query.weight", hidden, hidden)
        )
        filling.linear(
            steps.attention.key_projection,
            weights.take("decoder.attn.linear_context.weight", hidden, hidden),
            weights.take("decoder.attn.linear_query.bias", hidden),
        )
        filling.put(steps.attention.score_vector, weights.take("decoder.attn.v.weight", 1, hidden))
    if config.attention_type != "none":
        context, state = weights.take("decoder.attn.linear_out.weight", hidden, 2 * hidden).split(hidden, dim=1)
        biased = "decoder.attn.linear_out.bias" in weights
        bias = weights.take("decoder.attn.linear_out.bias", hidden) if biased else torch.zeros(hidden)
        filling.linear(steps.readout.projection, torch.cat([state, context], dim=1), bias)
    return filling.done()
