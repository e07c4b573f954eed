# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Sources of up to 2,000 tokens: what a model computes of them grows with their length, not with its square."""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hf_attn_seq2seq.attention import ATTENTIONS
from tests.helpers import tiny_model


TRANSFORMER = {"encoder_type": "transformer", "decoder_type": "transformer", "attention_type": "multi_head"}
KINDS: dict[str, dict[str, Any]] = {
    **{kind: {"attention_type": kind} for kind in ATTENTIONS},
    "pointer": {"pointer": True, "coverage_loss_weight": 1.0},
    "pointer and coverage": {"pointer": True, "attention_type": "coverage", "coverage_loss_weight": 1.0},
    "pointer and feeding": {"pointer": True, "attention_type": "general", "input_feeding": True},
    "lstm": {"encoder_type": "lstm", "decoder_type": "lstm"},
    "scans": {"encoder_type": "min_gru", "decoder_type": "ssru"},
    "transformer": TRANSFORMER,
    "transformer and pointer": {**TRANSFORMER, "pointer": True},
}


class Sizes(TorchDispatchMode):
    """The numbers of the largest tensor that an operation gives."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        result = function(*arguments, **(options or {}))
        for value in tree_leaves(result):
            if isinstance(value, torch.Tensor) and value.is_contiguous():  # an expanded one takes no room
                self.largest = max(self.largest, value.numel())
        return result


def largest(kind: str, length: int, training: bool) -> int:
    model = tiny_model(max_position_embeddings=2048, **KINDS[kind]).train(training)
    ids = torch.randint(3, 20, (2, length), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, length // 2 :] = 0
    with Sizes() as sizes:
        if training:
            model(input_ids=ids, attention_mask=mask, labels=ids[:, :4]).loss.backward()
        else:
            model.generate(ids, attention_mask=mask, max_new_tokens=3, num_beams=2)
    return sizes.largest


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.costly
def test_the_largest_tensor_grows_with_the_source(kind: str, training: bool) -> None:
    assert largest(kind, 1000, training) < 2.5 * largest(kind, 500, training)


@pytest.mark.parametrize("kind", ["pointer", "pointer and coverage", "transformer and pointer"])
def test_a_long_source_is_read_to_its_end(kind: str) -> None:
    model = tiny_model(scale=0.3, max_position_embeddings=2048, **KINDS[kind])
    ids = torch.randint(3, 20, (1, 2000), generator=torch.Generator().manual_seed(0))
    other = ids.clone()
    other[0, -1] = ids[0, -1] % 17 + 3
    target = torch.tensor([[1, 5]])
    one, two = (model(input_ids=each, decoder_input_ids=target).logits for each in (ids, other))
    assert (one - two).abs().max() > 1e-6
