# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The scores of additive attention in blocks are those of all at once; so are their gradients."""

import math
from unittest import mock

import pytest
import torch

from hf_attn_seq2seq import energy
from hf_attn_seq2seq.energy import Shape, additive_scores, plain_scores, scores_in_blocks
from hf_attn_seq2seq.fused import squash
from tests.helpers import tiny_model


def inputs(heads: int = 2, tgt_len: int = 4, src_len: int = 5, batch: int = 3) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = (batch, heads, tgt_len, 6), (batch, heads, src_len, 6), (heads, 6)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


# Numbers at once: of several sentences, of one, of two of its steps, of one, of less.
BLOCKS = pytest.mark.parametrize("block", [10**9, 600, 250, 130, 70, 1])
HEADS = pytest.mark.parametrize("heads", [1, 2])


def test_scores_are_the_equation() -> None:
    queries, keys, vector = inputs()
    scores = additive_scores(queries, keys, vector)
    for b, h, t, s in ((0, 0, 0, 0), (2, 1, 3, 4), (1, 0, 2, 1)):
        terms = zip(vector[h].tolist(), queries[b, h, t].tolist(), keys[b, h, s].tolist())
        assert scores[b, h, t, s].item() == pytest.approx(sum(v * math.tanh(q + k) for v, q, k in terms))


@HEADS
@BLOCKS
def test_blocks_cover_every_step_once(block: int, heads: int) -> None:
    queries, keys, _ = inputs(heads)
    with mock.patch.object(energy, "BLOCK", block):
        seen = torch.zeros(queries.shape[0], queries.shape[2])
        for rows, steps in Shape.of(queries, keys).blocks():
            seen[rows, steps] += 1
            count = seen[rows, steps].numel()
            assert count == 1 or count * heads * 5 * 6 <= block
    assert seen.eq(1).all()


@HEADS
@BLOCKS
@pytest.mark.parametrize("tgt_len", [1, 4])
def test_in_blocks_as_all_at_once(block: int, heads: int, tgt_len: int) -> None:
    given = [each.requires_grad_() for each in inputs(heads, tgt_len)]
    plain = plain_scores(*given)
    weight = torch.randn_like(plain)
    wanted = torch.autograd.grad((plain * weight).sum(), given)
    with mock.patch.object(energy, "BLOCK", block):
        scores = additive_scores(*given)
        found = torch.autograd.grad((scores * weight).sum(), given)
        with torch.no_grad():
            torch.testing.assert_close(scores_in_blocks(*given), plain)
    torch.testing.assert_close(scores, plain)
    torch.testing.assert_close(found, wanted)


@HEADS
def test_gradients(heads: int) -> None:
    given = [each.requires_grad_() for each in inputs(heads, 2, 3, 2)]
    with mock.patch.object(energy, "BLOCK", 1):
        assert torch.autograd.gradcheck(additive_scores, given, fast_mode=True)
        assert torch.autograd.gradgradcheck(additive_scores, given, fast_mode=True)
        loss = additive_scores(*given).square().sum()
        first, second = (torch.autograd.grad(loss, given, retain_graph=True) for _ in range(2))
        torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_a_model_in_training_makes_blocks() -> None:
    model = tiny_model(attention_type="additive", attention_query="current").train()
    batch = {"input_ids": torch.randint(3, 20, (2, 6)), "labels": torch.randint(3, 20, (2, 5))}
    expected = model(**batch).loss
    with (
        mock.patch.object(energy, "BLOCK", 100),
        mock.patch.object(energy, "scores_in_blocks", wraps=scores_in_blocks) as in_blocks,
        mock.patch.object(energy, "plain_scores") as plain,
    ):
        loss = model(**batch).loss
    assert in_blocks.called
    assert not plain.called
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("wanted", range(3))
def test_a_gradient_that_alone_is_wanted(wanted: int) -> None:
    given = [each.requires_grad_(place == wanted) for place, each in enumerate(inputs())]
    (expected,) = torch.autograd.grad(plain_scores(*given).square().sum(), given[wanted])
    with mock.patch.object(energy, "BLOCK", 1):
        (found,) = torch.autograd.grad(additive_scores(*given).square().sum(), given[wanted])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sixteen_bits_are_left_to_autograd(dtype: torch.dtype) -> None:
    given = [each.to(dtype).requires_grad_() for each in inputs()]
    with mock.patch.object(energy, "BLOCK", 1), mock.patch.object(energy, "_Scores") as by_hand:
        scores = additive_scores(*given)
    assert not by_hand.apply.called
    assert scores.dtype == dtype
    assert torch.equal(scores, plain_scores(*given))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_squashing_is_tanh(dtype: torch.dtype) -> None:
    edges = [0.0, -0.0, 1e-30, 90.0, -90.0, float("inf"), float("-inf"), float("nan")]
    values = torch.cat([torch.linspace(-12, 12, 9973), torch.tensor(edges)]).to(dtype)
    found = squash(values.clone())
    exactly = 0.0 if dtype != torch.float32 else 3e-7
    torch.testing.assert_close(found, values.tanh(), rtol=0.0, atol=exactly, equal_nan=True)
    assert found[len(found) - len(edges)] == 0.0
    assert found[edges.index(-90.0) - len(edges)] == -1.0
