# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""CTranslate2: a Transformer in 8 bits, written through its specification classes. It does not train."""

import os
import tempfile
from typing import Any

import ctranslate2
import numpy as np
from ctranslate2.specs import TransformerSpec

from benchmarks.peers import workload
from benchmarks.peers.worker import Run
from benchmarks.peers.workload import Decoding, Pair


BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"


class Weights:
    """Random weights, with a count of them."""

    def __init__(self) -> None:
        self.draw = np.random.default_rng(0)
        self.count = 0

    def normal(self, *shape: int) -> np.ndarray:
        self.count += int(np.prod(shape))
        return self.draw.normal(0, workload.TRANSFORMER_WIDTH**-0.5, shape).astype(np.float32)

    def linear(self, spec: Any, inputs: int, outputs: int) -> None:
        spec.weight, spec.bias = self.normal(outputs, inputs), self.normal(outputs)

    def norm(self, spec: Any) -> None:
        spec.gamma = np.ones(workload.TRANSFORMER_WIDTH, np.float32)
        spec.beta = np.zeros(workload.TRANSFORMER_WIDTH, np.float32)
        self.count += 2 * workload.TRANSFORMER_WIDTH

    def attention(self, spec: Any, is_self: bool) -> None:
        width = workload.TRANSFORMER_WIDTH
        sizes = (3 * width, width) if is_self else (width, 2 * width, width)  # joined projections
        for linear, outputs in zip(spec.linear, sizes):
            self.linear(linear, width, outputs)
        self.norm(spec.layer_norm)

    def feed_forward(self, spec: Any) -> None:
        self.linear(spec.linear_0, workload.TRANSFORMER_WIDTH, workload.TRANSFORMER_FEED_FORWARD)
        self.linear(spec.linear_1, workload.TRANSFORMER_FEED_FORWARD, workload.TRANSFORMER_WIDTH)
        self.norm(spec.layer_norm)


def write_model(folder: str, words: list[str]) -> int:
    """
    Write a Transformer with random weights in 8 bits; returns the number of its parameters.

    Args:
        folder: A new folder, or an empty one.
        words: The vocabulary of both sides, with `BEGIN`, `END` and `UNKNOWN`.
    """
    spec = TransformerSpec.from_config(workload.TRANSFORMER_LAYERS, workload.TRANSFORMER_HEADS, pre_norm=False)
    weights = Weights()
    size = len(words)
    spec.encoder.embeddings[0].weight = weights.normal(size, workload.TRANSFORMER_WIDTH)
    spec.decoder.embeddings.weight = weights.normal(size, workload.TRANSFORMER_WIDTH)
    weights.linear(spec.decoder.projection, workload.TRANSFORMER_WIDTH, size)
    for layer in spec.encoder.layer:
        weights.attention(layer.self_attention, True)
        weights.feed_forward(layer.ffn)
    for layer in spec.decoder.layer:
        weights.attention(layer.self_attention, True)
        weights.attention(layer.attention, False)
        weights.feed_forward(layer.ffn)
    positions = np.arange(512)[:, None] / 10000 ** (
        np.arange(0, workload.TRANSFORMER_WIDTH, 2) / workload.TRANSFORMER_WIDTH
    )
    for side in (spec.encoder, spec.decoder):
        side.position_encodings.encodings = np.concatenate([np.sin(positions), np.cos(positions)], 1).astype(
            np.float32
        )
    for register in (spec.register_source_vocabulary, spec.register_target_vocabulary):
        register(words)
    spec.config.bos_token, spec.config.eos_token, spec.config.unk_token = BEGIN, END, UNKNOWN
    spec.config.decoder_start_token = BEGIN
    spec.validate()
    spec.optimize("int8")
    os.makedirs(folder, exist_ok=True)
    spec.save(folder)
    return weights.count


class CTranslate2:
    def __init__(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            words = [BEGIN, END, UNKNOWN, *(f"w{number}" for number in range(3, workload.VOCABULARY))]
            self.parameters = write_model(folder, words)
            self.translator = ctranslate2.Translator(
                folder, device="cpu", compute_type="int8", inter_threads=1, intra_threads=1
            )
        self.versions = {"ctranslate2": ctranslate2.__version__}

    def decode(self, cell: Decoding) -> Run:
        sentences = [[*(f"w{word}" for word in words), END] for words in cell.sentences()]

        def run() -> int:
            found = self.translator.translate_batch(
                sentences,
                beam_size=cell.beams,
                min_decoding_length=cell.target_length,
                max_decoding_length=cell.target_length,
            )
            return sum(len(result.hypotheses[0]) for result in found)

        return run

    def train(self, pairs: list[Pair]) -> Run:
        raise NotImplementedError("CTranslate2 does not train.")
