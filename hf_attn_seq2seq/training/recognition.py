# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Prepared sounds and pictures through a model: their texts, in batches of similar length."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from hf_attn_seq2seq.data.batches import cut_batches
from hf_attn_seq2seq.data.examples import MediaExamples
from hf_attn_seq2seq.decoding.engines import Engine
from hf_attn_seq2seq.decoding.recognition import search
from hf_attn_seq2seq.processing_attn_seq2seq import AttnSeq2SeqProcessor


STATES = 1 << 14  # of the encoder, in a batch: the convolutions before it need much memory


def states_of(config: Any, lengths: np.ndarray) -> np.ndarray:
    """
    How many states the encoder of such a configuration makes of sounds of so many frames, or of pictures of so many
    columns of pixels.
    """
    first, second = config.frontend_stride
    if config.frontend == "speech":
        return -(-lengths // first)
    rows = -(-(config.image_height or first) // first)
    return rows * -(-lengths // second)


def similar_batches(
    config: Any, examples: MediaExamples, indices: Sequence[int], batch_size: int
) -> Iterator[list[int]]:
    """The indices in batches of similar length, of at most `batch_size` and not too many states."""
    states = states_of(config, examples.lengths())[list(indices)]
    order = np.argsort(states, kind="stable")
    boundaries = cut_batches(states[order], STATES, batch_size)
    for start, end in itertools.pairwise(boundaries):
        yield [indices[place] for place in order[start:end]]


def recognise(
    processor: AttnSeq2SeqProcessor,
    engine: Engine,
    examples: MediaExamples,
    indices: Sequence[int],
    batch_size: int = 64,
    **generate_options: Any,
) -> list[str]:
    """
    The texts that the model finds in some of the examples, in the order of `indices`, each on one line.

    Args:
        processor: That of a model of speech or of pictures.
        engine: What runs the model.
        examples: Sounds or pictures.
        indices: Which of them, each once.
        batch_size: How many in a batch, at most.
        **generate_options: Passed to `model.generate`, such as `num_beams=5`.
    """
    name = "input_features" if processor.hears else "pixel_values"
    found: dict[int, str] = {}
    for batch in similar_batches(engine.config, examples, indices, batch_size):
        features = [example[name] for example in examples.__getitems__(batch)]
        results = search(processor, features, engine, **generate_options)
        found.update((index, text) for index, (text, _) in zip(batch, results))
    return [found[index] for index in indices]
