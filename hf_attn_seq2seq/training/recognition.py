# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Prepared sounds and pictures through a model: their texts, in batches of similar length."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hf_attn_seq2seq import AttnSeq2SeqConfig
from hf_attn_seq2seq.data.batches import cut_batches, pad_media
from hf_attn_seq2seq.data.examples import MediaExamples


STATES = 1 << 14  # of the encoder, in a batch: the convolutions before it need much memory


def states_of(config: AttnSeq2SeqConfig, lengths: np.ndarray) -> np.ndarray:
    """How many states the encoder makes of sounds of so many frames, or pictures of so many columns of pixels."""
    first, second = config.frontend_stride
    if config.frontend == "speech":
        return -(-lengths // first)
    rows = -(-(config.image_height or first) // first)
    return rows * -(-lengths // second)


def similar_batches(
    config: AttnSeq2SeqConfig, examples: MediaExamples, indices: Sequence[int], batch_size: int
) -> Iterator[list[int]]:
    """The indices in batches of similar length, of at most `batch_size` and not too many states."""
    states = states_of(config, examples.lengths())[list(indices)]
    order = np.argsort(states, kind="stable")
    boundaries = cut_batches(states[order], STATES, batch_size)
    for start, end in itertools.pairwise(boundaries):
        yield [indices[place] for place in order[start:end]]


@torch.no_grad()
def recognise(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    examples: MediaExamples,
    indices: Sequence[int],
    batch_size: int = 64,
    **generate_options: Any,
) -> list[str]:
    """
    The texts that the model finds in some of the examples, in the order of `indices`, each on one line.

    Args:
        model: A model of speech or of pictures.
        tokenizer: Its tokenizer.
        examples: Sounds or pictures.
        indices: Which of them, each once.
        batch_size: How many in a batch, at most.
        **generate_options: Passed to `model.generate`, such as `num_beams=5`.
    """
    model.eval()
    found: dict[int, str] = {}
    for batch in similar_batches(model.config, examples, indices, batch_size):
        inputs = {name: values.to(model.device) for name, values in pad_media(examples.__getitems__(batch)).items()}
        sequences = model.generate(**inputs, **generate_options)  # type: ignore[operator]
        texts = tokenizer.batch_decode(sequences, skip_special_tokens=True)
        found.update((index, " ".join(text.splitlines())) for index, text in zip(batch, texts))
    return [found[index] for index in indices]
