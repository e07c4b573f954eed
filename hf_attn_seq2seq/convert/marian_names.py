# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Marian's names of a Transformer's weights beside ours: one table, by which models are read and written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from hf_attn_seq2seq.configuration_attn_seq2seq import AttnSeq2SeqConfig


OUTPUT = "decoder_ff_logit_out"
PARTS = {"q": "query_projection", "k": "key_projection", "v": "value_projection", "o": "output_projection"}


class Weight(NamedTuple):
    """A weight in both formats."""

    marian: str
    ours: str  # in the state dict
    kind: str = "matrix"  # (out, in) here and (in, out) there; or "vector": (size,) and (1, size); or "table": alike
    half: int | None = None  # 0 or 1: that half of our rows


def weights(config: AttnSeq2SeqConfig) -> Iterator[Weight]:
    """All weights of a model that Marian can hold, but for the tables of embeddings and what is tied to them."""
    for index in range(config.encoder_layers):
        here, layer = f"encoder_l{index + 1}", f"model.encoder.stack.layers.{index}"
        yield from _attention(config, f"{here}_self", f"{layer}.self_attention")
        yield from _feed_forward(config, f"{here}_ffn", layer)
    for index in range(config.decoder_layers):
        here, layer = f"decoder_l{index + 1}", f"model.decoder.stack.layers.{index}"
        yield from _MIXERS[config.decoder_mixer](config, here, layer)
        yield from _attention(config, f"{here}_context", f"{layer}.cross_attention")
        yield from _feed_forward(config, f"{here}_ffn", layer)
    if config.norm_position == "pre":
        for side in ("encoder", "decoder"):
            yield from _norm(f"{side}_top", f"model.{side}.stack.norm", pre=False)
    if config.output_bias:
        yield Weight(f"{OUTPUT}_b", "lm_head.bias", "vector")


def tables(config: AttnSeq2SeqConfig) -> Iterator[Weight]:
    """The tables of embeddings, and the output layer where it is not one of them."""
    if config.share_encoder_decoder_embeddings:
        yield Weight("Wemb", "model.encoder.embed_tokens.weight", "table")
    else:
        yield Weight("encoder_Wemb", "model.encoder.embed_tokens.weight", "table")
        yield Weight("decoder_Wemb", "model.decoder.embed_tokens.weight", "table")
    if not config.tie_word_embeddings:
        yield Weight(f"{output_layer(config)}_Wt", "lm_head.weight", "table")


def output_layer(config: AttnSeq2SeqConfig) -> str:
    """Marian's name of the output layer: that of a recurrent model is the second of two."""
    return "decoder_ff_logit_l2" if config.is_recurrent_decoder else OUTPUT


def _linear(marian: str, suffix: str, ours: str) -> Iterator[Weight]:
    yield Weight(f"{marian}_W{suffix}", f"{ours}.weight")
    yield Weight(f"{marian}_b{suffix}", f"{ours}.bias", "vector")


def _norm(marian: str, ours: str, pre: bool) -> Iterator[Weight]:
    end = "_pre" if pre else ""
    yield Weight(f"{marian}_ln_scale{end}", f"{ours}.weight", "vector")
    yield Weight(f"{marian}_ln_bias{end}", f"{ours}.bias", "vector")


def _attention(config: AttnSeq2SeqConfig, marian: str, ours: str) -> Iterator[Weight]:
    for letter, name in PARTS.items():
        yield from _linear(marian, letter, f"{ours}.{name}")
    yield from _norm(f"{marian}_Wo", f"{ours}_norm", config.norm_position == "pre")


def _feed_forward(config: AttnSeq2SeqConfig, marian: str, layer: str) -> Iterator[Weight]:
    yield from _linear(marian, "1", f"{layer}.feed_forward.input_projection")
    yield from _linear(marian, "2", f"{layer}.feed_forward.output_projection")
    yield from _norm(f"{marian}_ffn", f"{layer}.feed_forward_norm", config.norm_position == "pre")


def _self_attention(config: AttnSeq2SeqConfig, marian: str, layer: str) -> Iterator[Weight]:
    yield from _attention(config, f"{marian}_self", f"{layer}.self_attention")


def _ssru(config: AttnSeq2SeqConfig, marian: str, layer: str) -> Iterator[Weight]:
    entries = f"{layer}.mixer.cell.input_projections.0.weight"
    yield Weight(f"{marian}_rnn_Wf", entries, half=0)
    yield Weight(f"{marian}_rnn_W", entries, half=1)
    yield Weight(f"{marian}_rnn_bf", f"{layer}.mixer.cell.forget_bias", "vector")
    pre = config.norm_position == "pre"
    yield from _norm(f"{marian}_rnn" if pre else f"{marian}_rnn_ffn", f"{layer}.mixer_norm", pre)


def _average(config: AttnSeq2SeqConfig, marian: str, layer: str) -> Iterator[Weight]:
    marian, ours = f"{marian}_aan", f"{layer}.mixer"
    for index in range(config.average_layers):
        yield from _linear(marian, str(index + 1), f"{ours}.inner_projections.{index}")
    if config.average_layers:
        yield from _linear(marian, str(config.average_layers + 1), f"{ours}.output_projection")
    if config.average_gate:
        yield from _linear(marian, "i", f"{ours}.input_gate")
        yield from _linear(marian, "f", f"{ours}.forget_gate")
    yield from _norm(f"{marian}_ffn", f"{ours}_norm", pre=False)


_MIXERS = {"attention": _self_attention, "ssru": _ssru, "average": _average}
AUTOREG = {"self-attention": "attention", "rnn": "ssru", "average-attention": "average"}  # and ours
ACTIVATIONS = {"relu": "relu", "swish": "silu", "gelu": "gelu"}  # Marian's and ours that compute the same
