# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Every faster path (fused kernels, packing, all steps at once) gives the loss and gradients of the plain loop."""

import pytest
import torch
from torch import nn

from benchmarks.plain_loop import FAMILIES, PlainLoop, family_config
from benchmarks.speech import speech_config
from hf_attn_seq2seq import AttnSeq2SeqForConditionalGeneration

from .helpers import padded_batch, scrambled


# Kinds and queries that share code with a family but take another path through the decoder.
VARIANTS = {
    "GRU additive, previous state asks": {"input_feeding": True},
    "GRU coverage": {"attention_query": "previous"},
    "LSTM general": {"attention_query": "previous"},
    "GRU fixed context": {"attention_query": "current", "input_feeding": True},
    "LSTM multi-head, input feeding": {"input_feeding": False},
}
CASES = [(name, {}) for name in FAMILIES] + list(VARIANTS.items())


@pytest.mark.parametrize("padded", [False, True], ids=["full", "padded"])
def test_a_model_that_hears_has_the_loss_of_the_plain_loop(padded):
    config = speech_config(vocab_size=20, hidden_size=16, mel_bins=9, dropout=0.0)
    model = AttnSeq2SeqForConditionalGeneration(config).double()
    scrambled(model, scale=0.5).train()
    features = torch.randn(3, 26, 9, dtype=torch.float64)
    lengths = torch.tensor([26, 17, 25]) if padded else torch.tensor([26] * 3)
    mask = (torch.arange(26) < lengths[:, None]).long()
    target = padded_batch((4, 3, 2), seed=1)
    labels = target.input_ids.masked_fill(target.attention_mask == 0, -100)
    loop = PlainLoop(model)
    expected_loss = loop.loss(features, mask if padded else None, labels)
    expected_loss.backward()
    loop.return_gradients()
    expected = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad()
    loss = model(input_features=features, attention_mask=mask if padded else None, labels=labels).loss
    # CTC and the model's own cross-entropy are computed in single precision.
    torch.testing.assert_close(loss, expected_loss, rtol=1e-5, atol=1e-5, check_dtype=False)
    loss.backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("padded", [False, True], ids=["full", "padded"])
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize(("family", "changes"), CASES, ids=lambda value: str(value).replace(" ", "_"))
def test_loss_and_gradients_are_those_of_the_plain_loop(family, changes, implementation, padded):
    config = family_config(family, vocab_size=20, embedding_size=12, hidden_size=16)
    config.update(changes)
    config._attn_implementation = implementation
    model = AttnSeq2SeqForConditionalGeneration(config).double()
    scrambled(model, scale=0.5).train()

    source = padded_batch((5, 3, 7) if padded else (6, 6, 6))
    target = padded_batch((4, 6, 2) if padded else (5, 5, 5), seed=1)
    labels = target.input_ids.masked_fill(target.attention_mask == 0, -100)
    mask = source.attention_mask if padded else None

    loop = PlainLoop(model)
    expected_loss = loop.loss(source.input_ids, mask, labels)
    expected_loss.backward()
    loop.return_gradients()
    expected = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad()

    # Not the model's own loss: Transformers computes that in single precision.
    logits = model(input_ids=source.input_ids, attention_mask=mask, labels=labels).logits
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
    torch.testing.assert_close(loss, expected_loss, rtol=1e-8, atol=1e-8)
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        # The same number added to all scores changes no weight, so multi-head keys' biases have no gradient.
        assert parameter.grad.abs().max() > 0 or name.endswith("key_projection.bias"), name
        difference = (parameter.grad - expected[name]).abs() / (1 + expected[name].abs())
        assert difference.max() < 1e-8, name
