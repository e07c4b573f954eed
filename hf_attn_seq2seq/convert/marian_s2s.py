# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Marian's recurrent models, `s2s`, as in Nematus (Sennrich et al. 2017): GRUs or LSTMs that read in both directions, and
a decoder whose attention asks between two cells, as in a conditional GRU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from hf_attn_seq2seq.configuration_attn_seq2seq import TWO_PART_CELLS, AttnSeq2SeqConfig
from hf_attn_seq2seq.convert.marian_names import Weight


Take = Callable[[Weight, tuple[int, ...]], np.ndarray]

# What an option must be, as Marian has it if it is not given; and what another value would need.
ONLY: dict[str, tuple[Any, str]] = {
    "enc-depth": (1, "an encoder of several layers whose directions do not meet"),
    "enc-cell-depth": (1, "several cells in a layer of the encoder"),
    "dec-cell-base-depth": (2, "more or fewer than two cells around the attention"),
}
CELLS = ("gru", "lstm")
DEEPER = "dec-cell-high-depth", 1, "several cells in a layer of the decoder"  # where it has several layers


def fields(cells: tuple[str, str], width: int, embedding: int, layers: int, residual: bool) -> dict[str, Any]:
    """
    The configuration of such a model.

    Args:
        cells: Of the encoder and of the decoder, each one of `CELLS`.
        width: Of the cells, `dim-rnn`.
        embedding: `dim-emb`.
        layers: Of the decoder.
        residual: Whether its layers are summed.
    """
    return {
        "hidden_size": width,
        "embedding_size": embedding,
        "encoder_hidden_size": 2 * width,
        "attention_size": 2 * width,
        "encoder_type": cells[0],
        "decoder_type": cells[1],
        "decoder_layers": layers,
        "residual": residual,
        "attention_type": "additive",
        "attention_bias": True,
        "attention_query": "between",
        "bridge": "mean_dense",
        "readout": "deep",
    }


def weights(config: AttnSeq2SeqConfig, take: Take) -> Iterator[tuple[str, np.ndarray]]:
    """
    All weights but for the tables of embeddings, the output layer and its bias, by their names in the state dict.

    Args:
        take: Gives a tensor of the file in our layout, of the shape asked for.
    """
    width, source, words = config.hidden_size, config.encoder_hidden_size, config.embedding_size

    def matrix(name: str, rows: int, columns: int) -> np.ndarray:
        return take(Weight(name, ""), (rows, columns))

    def vector(name: str, size: int) -> np.ndarray:
        return take(Weight(name, "", "vector"), (size,))

    def cell(
        kind: str, here: str, name: str, inputs: int, bias_inside: bool = False
    ) -> Iterator[tuple[str, np.ndarray]]:
        return lstm(here, name, inputs) if kind == "lstm" else gru(here, name, inputs, bias_inside)

    def lstm(here: str, name: str, inputs: int) -> Iterator[tuple[str, np.ndarray]]:
        """Gates f and i, which are the other way round here, the candidate and the gate o."""
        order = [1, 0, 2, 3]
        parts = matrix(f"{name}_W", 4 * width, inputs), matrix(f"{name}_U", 4 * width, width)
        entry, hidden, bias = (
            np.concatenate([np.split(part, 4)[place] for place in order])
            for part in (*parts, vector(f"{name}_b", 4 * width))
        )
        yield f"{here}.input_projections.0.weight", entry
        yield f"{here}.input_projections.0.bias", bias
        yield f"{here}.hidden_projection.weight", hidden
        yield f"{here}.hidden_projection.bias", np.zeros_like(bias)

    def gru(here: str, name: str, inputs: int, bias_inside: bool) -> Iterator[tuple[str, np.ndarray]]:
        """Gates r, z and the candidate n, whose bias may be multiplied with r."""
        entry = [matrix(f"{name}_W", 2 * width, inputs), matrix(f"{name}_Wx", width, inputs)]
        hidden = [matrix(f"{name}_U", 2 * width, width), matrix(f"{name}_Ux", width, width)]
        gates, candidate = vector(f"{name}_b", 2 * width), vector(f"{name}_bx", width)
        outside, inside = np.zeros_like(candidate), candidate
        if not bias_inside:
            outside, inside = inside, outside
        yield f"{here}.input_projections.0.weight", np.concatenate(entry)
        yield f"{here}.input_projections.0.bias", np.concatenate([gates, outside])
        yield f"{here}.hidden_projection.weight", np.concatenate(hidden)
        yield f"{here}.hidden_projection.bias", np.concatenate([np.zeros_like(gates), inside])

    for index, name in enumerate(("encoder_bi", "encoder_bi_r")):
        yield from cell(config.encoder_type, f"model.encoder.stack.layers.0.cells.{index}", name, words)
    bridge, steps = "model.decoder.stack.bridge.projection", "model.decoder.stack.steps"
    kind, layers = config.decoder_type, config.decoder_layers
    starts = layers * (2 if kind in TWO_PART_CELLS else 1)  # which are all one state
    yield f"{bridge}.weight", np.tile(matrix("decoder_ff_state_W", width, source), (starts, 1))
    yield f"{bridge}.bias", np.tile(vector("decoder_ff_state_b", width), starts)
    yield from cell(kind, f"{steps}.cells.0", "decoder_cell1", words)
    yield from cell(kind, f"{steps}.transition", "decoder_cell2", source, bias_inside=True)
    for index in range(1, layers):
        yield from cell(kind, f"{steps}.cells.{index}", f"decoder_l{index + 1}_cell1", width)
    yield f"{steps}.attention.query_projection.weight", matrix("decoder_W_comb_att", source, width)
    yield f"{steps}.attention.key_projection.weight", matrix("decoder_Wc_att", source, source)
    yield f"{steps}.attention.key_projection.bias", vector("decoder_b_att", source)
    yield f"{steps}.attention.score_vector", matrix("decoder_U_att", 1, source)
    parts = {"1": width, "2": source, "0": words}  # of the state, the context and the word
    readout = [matrix(f"decoder_ff_logit_l1_W{part}", words, size) for part, size in parts.items()]
    biases = [vector(f"decoder_ff_logit_l1_b{part}", words) for part in parts]
    yield f"{steps}.readout.projection.weight", np.concatenate(readout, axis=1)
    yield f"{steps}.readout.projection.bias", np.sum(biases, axis=0)
