# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Prepared sounds and pictures through a model: their texts, in batches of similar length."""

from collections.abc import Iterator, Sequence
from typing import Any

from hf_attn_seq2seq.data.examples import MediaExamples
from hf_attn_seq2seq.decoding.engines import Engine
from hf_attn_seq2seq.decoding.recognition import STATES, search, states_of
from hf_attn_seq2seq.decoding.text import length_batches
from hf_attn_seq2seq.modality import modality_of
from hf_attn_seq2seq.processing_attn_seq2seq import AttnSeq2SeqProcessor


def similar_batches(
    config: Any, examples: MediaExamples, indices: Sequence[int], batch_size: int
) -> Iterator[list[int]]:
    """The indices in batches of similar length, of at most `batch_size` and not too many states."""
    states = states_of(config, examples.lengths())[list(indices)]
    for batch in length_batches(states.tolist(), batch_size, STATES):
        yield [indices[place] for place in batch]


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
    name = modality_of(engine.config).input_name
    found: dict[int, str] = {}
    for batch in similar_batches(engine.config, examples, indices, batch_size):
        features = [example[name] for example in examples.__getitems__(batch)]
        results = search(processor, features, engine, **generate_options)
        found.update((index, text) for index, (text, _) in zip(batch, results))
    return [found[index] for index in indices]
