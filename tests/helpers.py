# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Tiny models with weights that hide nothing, and padded batches, for all tests."""

import itertools
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from hf_attn_seq2seq import AttnSeq2SeqConfig, AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.cells import CELLS, ScanCell
from hf_attn_seq2seq.configuration_attn_seq2seq import STACK_TYPES


PAD, START, END = 0, 1, 2

# One model of each kind for tests of life around the models.
FAMILIES: dict[str, dict[str, Any]] = {
    "gru": {"encoder_type": "gru", "decoder_type": "gru", "attention_type": "additive"},
    "lstm": {
        "encoder_type": "lstm",
        "decoder_type": "lstm",
        "attention_type": "multi_head",
        "attention_query": "current",
        "input_feeding": True,
        "encoder_layers": 2,
        "decoder_layers": 2,
    },
    "transformer": {"encoder_type": "transformer", "decoder_type": "transformer", "attention_type": "multi_head"},
    "marian": {
        "encoder_type": "transformer",
        "decoder_type": "transformer",
        "attention_type": "multi_head",
        "position_type": "sinusoidal_halves",
        "encoder_intermediate_size": 20,
        "zero_start": True,
        "output_bias": True,
    },
    "transformer-gru": {"encoder_type": "transformer", "decoder_type": "gru", "attention_type": "general"},
    "ssru": {
        "encoder_type": "min_gru",
        "decoder_type": "ssru",
        "attention_type": "additive",
        "attention_query": "current",
        "decoder_layers": 2,
    },
}
families = pytest.mark.parametrize("family", FAMILIES)

SCANNED = tuple(kind for kind, cell in CELLS.items() if issubclass(cell, ScanCell))
OTHERS = tuple(kind for kind in STACK_TYPES if kind not in SCANNED)
# All that differ in more than the equations of a scan cell: each of these with itself, and beside some other on either
# side.
STACK_PAIRS = [
    *itertools.product(OTHERS, OTHERS),
    *((kind, kind) for kind in SCANNED),
    *zip(SCANNED, itertools.cycle(reversed(OTHERS))),
    *zip(itertools.cycle(OTHERS), SCANNED),
]


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Within, no file grows beyond `size` bytes: the system refuses more as on a full disk, by EFBIG, not ENOSPC."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def usual_mode() -> int:
    """The permissions of a new file, as the umask says."""
    umask = os.umask(0o022)
    os.umask(umask)
    return 0o666 & ~umask


def tiny_config(**fields: Any) -> AttnSeq2SeqConfig:
    """A configuration of the smallest sizes that still can go wrong, without dropout; `fields` override."""
    small: dict[str, Any] = {
        "vocab_size": 20,
        "hidden_size": 16,
        "attention_size": 8,
        "intermediate_size": 24,
        "attention_window": 2,
        "location_filters": 3,
        "location_kernel_size": 3,
        "max_position_embeddings": 64,
        "dropout": 0.0,
        "pad_token_id": PAD,
        "bos_token_id": START,
        "eos_token_id": END,
        "decoder_start_token_id": START,
    }
    return AttnSeq2SeqConfig(**{**small, **fields})


def scrambled(model: nn.Module, seed: int = 0, scale: float = 1.0) -> nn.Module:
    """
    Fill ALL parameters of `model` with noise, in place, and return it in evaluation mode.

    Fresh biases and the pad token's embedding are 0, under which tests of padding pass whatever the code does. Norms
    keep their factors near 1: about 0 they would drown the source, and every sentence would get one translation.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(noise * (scale if parameter.dim() > 1 else 0.3))
        for module in model.modules():
            if isinstance(module, nn.LayerNorm):
                module.weight.add_(1.0)
    return model.eval()


def tiny_model(seed: int = 0, scale: float = 1.0, **fields: Any) -> AttnSeq2SeqForConditionalGeneration:
    """A scrambled model of [`tiny_config`]."""
    model = AttnSeq2SeqForConditionalGeneration(tiny_config(**fields))
    scrambled(model, seed, scale)
    return model


class Batch(NamedTuple):
    """A padded batch and the sentences in it."""

    input_ids: torch.Tensor  # (batch, src_len)
    attention_mask: torch.Tensor  # (batch, src_len)
    sentences: list[torch.Tensor]  # (length,) each, without padding


def padded_batch(
    lengths: tuple[int, ...] = (5, 3, 7), vocab_size: int = 20, seed: int = 0, side: str = "right", extra: int = 0
) -> Batch:
    """
    Random sentences that end in the end token, padded on one `side` ("right", "left", or "inside": before the last
    token) to the longest length plus `extra`.
    """
    generator = torch.Generator().manual_seed(seed)
    width = max(lengths) + extra
    ids = torch.full((len(lengths), width), PAD)
    mask = torch.zeros_like(ids)
    sentences = []
    for row, length in enumerate(lengths):
        sentence = torch.randint(3, vocab_size, (length,), generator=generator)
        sentence[-1] = END
        places = {
            "right": list(range(length)),
            "left": list(range(width - length, width)),
            "inside": [*range(length - 1), width - 1],
        }[side]
        ids[row, places] = sentence
        mask[row, places] = 1
        sentences.append(sentence)
    return Batch(ids, mask, sentences)
