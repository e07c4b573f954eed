# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
fairseq's `lstm` and its named architectures: LSTMs that start from the encoder's final states, with input feeding, and
attention (general) or none.
"""

from __future__ import annotations

from typing import Any

import torch

from hf_attn_seq2seq.configuration_attn_seq2seq import AttnSeq2SeqConfig
from hf_attn_seq2seq.convert.tables import Tables
from hf_attn_seq2seq.convert.vocabularies import END
from hf_attn_seq2seq.convert.weights import Filling, Weights, gates_of, share_of
from hf_attn_seq2seq.modeling_attn_seq2seq import AttnSeq2SeqForConditionalGeneration


OUTPUT = "decoder.fc_out"
HIDDEN = "decoder.layers.0.weight_hh"


def lstm_model(options: dict[str, Any], weights: Weights, tables: Tables) -> AttnSeq2SeqForConditionalGeneration:
    """
    The model of a checkpoint.

    Raises:
        ValueError: It needs what there is not here.
    """
    if options.get("residuals"):
        raise ValueError(
            f"'{weights.file}' needs sums of layers in fairseq's order (residuals), which there are not here."
        )
    return _filled(_config(options, weights, tables), weights, tables)


def _config(options: dict[str, Any], weights: Weights, tables: Tables) -> AttnSeq2SeqConfig:
    (encoder_cell, half), (cell, hidden) = (
        gates_of(weights, hidden) for hidden in ("encoder.lstm.weight_hh_l0", HIDDEN)
    )
    if encoder_cell != "lstm" or cell != "lstm":
        raise ValueError(f"'{weights.file}' has other cells than LSTMs: get the file again.")
    if "decoder.additional_fc.weight" in weights:
        raise ValueError(
            f"'{weights.file}' has a layer before its output layer (decoder-out-embed-dim differs from "
            "decoder-hidden-size), which there is not here."
        )
    both = "encoder.lstm.weight_hh_l0_reverse" in weights
    attends = "decoder.attention.output_proj.weight" in weights
    return AttnSeq2SeqConfig(
        hidden_size=hidden,
        encoder_hidden_size=half * (1 + both),
        encoder_type="lstm",
        decoder_type="lstm",
        encoder_layers=weights.depth("encoder.lstm.weight_hh_l{}"),
        decoder_layers=weights.depth("decoder.layers.{}.weight_hh"),
        bidirectional=both,
        attention_type="general" if attends else "none",
        attention_query="current",
        input_feeding=True,
        bridge="final",
        readout="tanh" if attends else "linear",
        dropout=share_of(options.get("dropout")),
        **tables.fields(weights, END),
    )


def _filled(config: AttnSeq2SeqConfig, weights: Weights, tables: Tables) -> AttnSeq2SeqForConditionalGeneration:
    filling = Filling(config)
    stack, hidden, context = filling.model.model.decoder.stack, config.hidden_size, config.encoder_hidden_size
    tables.fill(filling, weights)
    filling.encoder_cells(weights, "encoder.lstm.")
    for index, cell in enumerate(stack.steps.cells):
        filling.cell(cell, weights, f"decoder.layers.{index}.", "")
    if context != hidden:
        for projection, part in zip(stack.bridge.projection, ("hidden", "cell")):
            here = f"decoder.encoder_{part}_proj"
            weight, bias = weights.take(f"{here}.weight", hidden, context), weights.take(f"{here}.bias", hidden)
            filling.linear(projection, weight, bias)
    if config.attention_type != "none":
        attention = stack.steps.attention
        filling.linear(
            attention.key_projection, weights.take("decoder.attention.input_proj.weight", context, hidden).t()
        )
        joined = weights.take("decoder.attention.output_proj.weight", hidden, context + hidden)
        read, state = joined.split([context, hidden], dim=1)
        filling.linear(stack.steps.readout.projection, torch.cat([state, read], dim=1), torch.zeros(hidden))
    return filling.done()
