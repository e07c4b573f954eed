# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The loss in chunks is that of all logits at once, gradients included, and logits that were left out can be read."""

import copy
import pickle
from unittest import mock

import pytest
import torch
from torch import nn
from torch.utils import _pytree as pytree
from transformers.modeling_outputs import Seq2SeqLMOutput

from hf_attn_seq2seq import output_layer
from hf_attn_seq2seq.labels import IGNORED
from hf_attn_seq2seq.modeling_attn_seq2seq import AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.output_layer import chunked_cross_entropy, plain_cross_entropy
from hf_attn_seq2seq.recorder import Recorder, recording

from .helpers import padded_batch, tiny_model


VOCAB, HIDDEN = 11, 6


def numbers(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Hidden states `(3, 5, HIDDEN)`, weights and labels, some of which are missing."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(3, 5, HIDDEN, generator=generator, dtype=dtype).requires_grad_()
    weight = torch.randn(VOCAB, HIDDEN, generator=generator, dtype=dtype).requires_grad_()
    labels = torch.randint(0, VOCAB, (3, 5), generator=generator)
    labels[0, 3:] = labels[1, 0] = labels[2, 2] = IGNORED
    return hidden, weight, labels


@pytest.fixture
def small_chunks():
    with mock.patch.multiple(output_layer, CHUNK_BYTES=1, MIN_CHUNK_ROWS=4):
        yield


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("divisor", [None, 3, torch.tensor(7)])
def test_chunks_give_loss_and_gradients_of_all_logits(small_chunks, label_smoothing, divisor):
    hidden, weight, labels = numbers()
    loss = chunked_cross_entropy(hidden, weight, labels, divisor, label_smoothing)
    count = (labels != IGNORED).sum() if divisor is None else torch.as_tensor(divisor)
    expected = plain_cross_entropy(hidden.flatten(0, 1), weight, labels.flatten(), count, label_smoothing)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    # A factor, as gradient accumulation and scalers bring one.
    found = torch.autograd.grad(3 * loss, (hidden, weight))
    wanted = torch.autograd.grad(3 * expected, (hidden, weight))
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def test_second_and_repeated_gradients(small_chunks):
    hidden, weight, labels = numbers()
    real = labels != IGNORED

    def chunked(hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return chunked_cross_entropy(hidden, weight, labels, label_smoothing=0.1)

    assert torch.autograd.gradcheck(chunked, (hidden, weight), nondet_tol=1e-10)
    assert torch.autograd.gradgradcheck(chunked, (hidden, weight), nondet_tol=1e-10)
    loss = chunked(hidden, weight)
    first = torch.autograd.grad(loss, (hidden, weight), retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(loss, (hidden, weight)), first)
    assert first[0][~real].count_nonzero() == 0


@pytest.mark.parametrize("trained", ["hidden", "weight"])
def test_one_side_may_be_frozen(small_chunks, trained):
    hidden, weight, labels = numbers()
    both = torch.autograd.grad(chunked_cross_entropy(hidden, weight, labels), (hidden, weight))
    sides = [hidden if trained == "hidden" else hidden.detach(), weight if trained == "weight" else weight.detach()]
    (found,) = torch.autograd.grad(chunked_cross_entropy(*sides, labels), [hidden if trained == "hidden" else weight])
    torch.testing.assert_close(found, both[0] if trained == "hidden" else both[1])


@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_is_that_of_all_logits(small_chunks, autocast):
    hidden, weight, labels = numbers(torch.float32 if autocast else torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = chunked_cross_entropy(hidden, weight, labels)
        logits = nn.functional.linear(hidden, weight)
        expected = nn.functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten())
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-6)
    found = torch.autograd.grad(loss, (hidden, weight))
    wanted = torch.autograd.grad(expected, (hidden, weight))
    torch.testing.assert_close(found, wanted, rtol=2e-2, atol=2e-3)


def test_without_labels_the_mean_is_undefined_as_ever():
    hidden, weight, labels = numbers()
    loss = chunked_cross_entropy(hidden, weight, torch.full_like(labels, IGNORED))
    assert loss.isnan()
    loss.backward()
    assert chunked_cross_entropy(hidden, weight, torch.full_like(labels, IGNORED), divisor=2) == 0


def training_model(**fields) -> tuple[AttnSeq2SeqForConditionalGeneration, dict[str, torch.Tensor]]:
    model = tiny_model(scale=0.5, dropout=0.0, **fields).train()
    source, target = padded_batch((5, 3, 7)), padded_batch((4, 6, 2), seed=1)
    labels = target.input_ids.masked_fill(target.attention_mask == 0, IGNORED)
    return model, {"input_ids": source.input_ids, "attention_mask": source.attention_mask, "labels": labels}


def gradients(model: nn.Module, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("decoder_type", ["gru", "lstm", "transformer"])
@pytest.mark.parametrize("arguments", [{}, {"label_smoothing": 0.2}, {"num_items_in_batch": 5}])
def test_training_without_logits_gives_the_same_loss_and_gradients(decoder_type, arguments):
    model, batch = training_model(decoder_type=decoder_type)
    with_logits = model(**batch, **arguments, output_logits=True)
    expected = gradients(model, with_logits.loss)
    for output_logits in (None, False):
        outputs = model(**batch, **arguments, output_logits=output_logits)
        torch.testing.assert_close(outputs.loss, with_logits.loss, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(gradients(model, outputs.loss), expected, rtol=1e-4, atol=1e-6)
    assert "logits" not in outputs
    assert outputs.logits is None


READINGS = {
    "attribute": lambda outputs: outputs.logits,
    "name": lambda outputs: outputs["logits"],
    "index": lambda outputs: outputs[1],
    "slice": lambda outputs: outputs[:2][1],
    "tuple": lambda outputs: outputs.to_tuple()[1],
    "get": lambda outputs: outputs.get("logits"),
    "values": lambda outputs: list(outputs.values())[1],
    "items": lambda outputs: list(outputs.items())[1][1],
    "dict": lambda outputs: dict(outputs)["logits"],
    "unpacked": lambda outputs: {**outputs}["logits"],
    "copy": lambda outputs: copy.copy(outputs).logits,
    "pickle": lambda outputs: pickle.loads(pickle.dumps(outputs))["logits"],
    "pytree": lambda outputs: pytree.tree_map(lambda leaf: leaf, outputs).logits,
    "rebuilt": lambda outputs: type(outputs)({name: value for name, value in outputs.items()}).logits,
}


@pytest.mark.parametrize("reading", READINGS)
def test_logits_are_there_when_they_are_read(reading):
    model, batch = training_model()
    expected = model(**batch, output_logits=True)
    outputs = model(**batch)
    assert isinstance(outputs, Seq2SeqLMOutput)
    assert "logits" in outputs
    with mock.patch.object(model.lm_head, "forward", side_effect=AssertionError):
        assert outputs.loss is outputs["loss"] is outputs[0] is outputs.get("loss")
    real = batch["labels"] != IGNORED
    torch.testing.assert_close(READINGS[reading](outputs)[real], expected.logits[real])
    assert type(outputs) is Seq2SeqLMOutput
    assert list(outputs) == list(expected) == ["loss", "logits", "encoder_last_hidden_state"]
    assert "logits=tensor" in repr(model(**batch))
    assert len(model(**batch)) == 3


def test_logits_read_later_have_gradients():
    model, batch = training_model()
    expected = gradients(model, model(**batch, output_logits=True).logits[batch["labels"] != IGNORED].sum())
    outputs = model(**batch)
    with torch.no_grad():
        logits = outputs.logits
    assert outputs.logits is logits
    torch.testing.assert_close(gradients(model, logits[batch["labels"] != IGNORED].sum()), expected)


@pytest.mark.parametrize("fused", [False, True])
def test_logits_cannot_be_read_after_the_optimizer_has_made_a_step(fused):
    model, batch = training_model()
    outputs = model(**batch)
    outputs.loss.backward()
    outputs_read_in_time = model(**batch)
    before = outputs_read_in_time.logits
    torch.optim.AdamW(model.parameters(), fused=fused).step()
    with pytest.raises(ValueError, match=r"read them before the optimizer's step, or call .* output_logits=True"):
        _ = outputs.logits
    assert outputs.loss > 0
    assert outputs_read_in_time.logits is before


def test_evaluation_and_whoever_watches_get_logits_at_once():
    model, batch = training_model()

    def has_logits(**arguments) -> bool:
        outputs = model(**batch, **arguments)
        return type(outputs) is Seq2SeqLMOutput and outputs.logits is not None

    assert not has_logits()
    with torch.autocast("cpu", torch.bfloat16):
        assert has_logits()
    with recording(Recorder()):
        assert has_logits()
    hook = model.lm_head.register_forward_hook(lambda *_: None)
    assert has_logits()
    hook.remove()
    with torch.no_grad():
        assert has_logits()
        assert not has_logits(output_logits=False)
    model.loss_function = lambda logits, labels, **_: logits.sum()
    assert has_logits()
    del model._loss_function
    assert not has_logits()
    model.eval()
    assert has_logits()
    loss = model(**batch, output_logits=False).loss
    torch.testing.assert_close(loss, model(**batch).loss)
    assert model(**batch, return_dict=False)[1].shape == (3, 6, 20)
