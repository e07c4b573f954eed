# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The decoder's loop in training, with its backward pass by hand, is the plain loop; and steps aside where it must."""

from typing import Any
from unittest import mock

import pytest
import torch
from torch import nn

from hf_attn_seq2seq import step_loop
from hf_attn_seq2seq.configuration_attn_seq2seq import ATTENTION_TYPES
from hf_attn_seq2seq.recorder import Recorder, recording
from hf_attn_seq2seq.recurrent import RecurrentDecoderSteps, has_loop
from hf_attn_seq2seq.step_loop import LoopPlan, plain_steps, run_steps

from .helpers import padded_batch, tiny_model


LOOPED = ("additive", "concat", "dot", "general", "location_aware", "scaled_dot", "multi_head")


def batch_of(side: str = "right", extra: int = 0) -> dict[str, torch.Tensor]:
    """Sources padded on a side, and labels of several lengths, some of which are missing inside."""
    source, target = padded_batch((5, 3, 7), side=side, extra=extra), padded_batch((4, 6, 2), seed=1)
    labels = target.input_ids.masked_fill(target.attention_mask == 0, -100)
    labels[1, 0] = labels[1, 3] = -100
    return {"input_ids": source.input_ids, "attention_mask": source.attention_mask, "labels": labels}


def training_model(**fields: Any) -> Any:
    return tiny_model(scale=0.5, **{"dropout": 0.0, **fields}).double().train()


def loops() -> Any:
    """Tells whether the decoder has run its loop."""
    return mock.patch.object(
        RecurrentDecoderSteps, "run_loop", autospec=True, side_effect=RecurrentDecoderSteps.run_loop
    )


def train(model: nn.Module, batch: dict[str, torch.Tensor], looped: bool | None = None) -> dict[str, torch.Tensor]:
    """The loss and all gradients; `looped`: the decoder's loop must run (True), or no loop may (False)."""
    model.zero_grad()
    torch.manual_seed(0)
    allowed = has_loop if looped is not False else lambda inputs: False
    with loops() as run, mock.patch("hf_attn_seq2seq.recurrent.has_loop", allowed):
        loss = model(**batch).loss
    assert looped is None or run.called is looped
    loss.backward()
    return {"loss": loss.detach(), **{name: weight.grad for name, weight in model.named_parameters()}}


def assert_looped_is_plain(model: nn.Module, batch: dict[str, torch.Tensor]) -> None:
    found = {name: value.clone() for name, value in train(model, batch, looped=True).items()}
    torch.testing.assert_close(found, train(model, batch, looped=False), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("input_feeding", [False, True])
@pytest.mark.parametrize("query", ["previous", "current"])
@pytest.mark.parametrize("attention", ATTENTION_TYPES)
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_loss_and_gradients_of_every_attention(cell, attention, query, input_feeding):
    model = training_model(
        decoder_type=cell, attention_type=attention, attention_query=query, input_feeding=input_feeding
    )
    if attention in LOOPED and (input_feeding or query == "previous"):
        assert_looped_is_plain(model, batch_of())
    else:
        with loops() as run:
            model(**batch_of())
        assert not run.called


@pytest.mark.parametrize("kernel", [1, 3, 9, 31])
@pytest.mark.parametrize("layer_norm", [False, True])
def test_location_aware_attention_with_filters_of_any_width(kernel, layer_norm):
    model = training_model(attention_type="location_aware", location_kernel_size=kernel, layer_norm=layer_norm)
    assert_looped_is_plain(model, batch_of())


def test_location_aware_attention_leaves_gaps_to_the_plain_loop():
    model = training_model(attention_type="location_aware")
    expected = train(model, batch_of(), looped=True)
    torch.testing.assert_close(
        train(model, batch_of("inside", extra=2), looped=False), expected, rtol=1e-9, atol=1e-11
    )
    with loops() as run:
        model(**batch_of("inside", extra=2))
    assert not run.called


def test_a_pointer_behind_a_normalized_layer():
    shared = {"pointer": True, "layer_norm": True, "share_encoder_decoder_embeddings": True}
    assert_looped_is_plain(training_model(attention_type="location_aware", **shared), batch_of())


@pytest.mark.parametrize("side", ["right", "left", "inside"])
def test_padding_of_the_source_on_any_side(side):
    model = training_model(input_feeding=True)
    assert_looped_is_plain(model, batch_of(side))
    expected = train(model, batch_of())
    torch.testing.assert_close(train(model, batch_of(side, extra=2)), expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize(
    "fields",
    [
        {"decoder_layers": 3, "residual": True},
        {"decoder_layers": 2, "attention_query": "current", "input_feeding": True},
        {"decoder_layers": 3, "residual": True, "attention_query": "current", "input_feeding": True},
        {"num_attention_heads": 2},
        {"num_attention_heads": 2, "attention_type": "general", "input_feeding": True},
        {"num_attention_heads": 4, "num_key_value_heads": 2, "attention_type": "multi_head"},
        {"readout": "maxout"},
        {"readout": "affine"},
        {"readout": "linear"},
        {"readout": "concat", "tie_word_embeddings": False},
        {"attention_bias": True},
        {"attention_weight_norm": True, "num_attention_heads": 2},
        {"bridge": "last"},
        {"decoder_layers": 2, "dropout": 0.3, "recurrent_dropout": 0.3, "variational_dropout": True},
        {"recurrent_dropout": 0.3, "input_feeding": True},
    ],
    ids=str,
)
def test_layers_heads_and_dropout(cell, fields):
    assert_looped_is_plain(training_model(decoder_type=cell, **fields), batch_of())


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("encoder_type", ["gru", "lstm"])
def test_loops_of_the_encoder(encoder_type, bidirectional, padded):
    model = training_model(
        encoder_type=encoder_type, bidirectional=bidirectional, encoder_layers=2, decoder_type="transformer"
    )
    batch = batch_of("inside")
    if not padded:
        batch["attention_mask"] = torch.ones_like(batch["attention_mask"])
    with mock.patch("hf_attn_seq2seq.cells.run_steps", side_effect=run_steps) as run:
        found = {name: value.clone() for name, value in train(model, batch).items()}
    assert run.call_count == (4 if bidirectional else 2)
    torch.testing.assert_close(found, train(model, batch, looped=False), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("readout", ["maxout", "affine", "linear", "concat"])
def test_a_fed_readout_that_the_loop_does_not_know(readout):
    model = training_model(input_feeding=True, readout=readout, tie_word_embeddings=False)
    with loops() as run:
        model(**batch_of())
    assert not run.called


def test_small_blocks_are_as_good_as_large_ones():
    model = training_model()
    expected = {name: value.clone() for name, value in train(model, batch_of()).items()}
    with mock.patch.object(step_loop, "BLOCK_BYTES", 1):
        torch.testing.assert_close(train(model, batch_of()), expected)


@pytest.mark.parametrize("attention", ["additive", "location_aware"])
def test_single_precision(attention):
    model = training_model(attention_type=attention).float()
    found = {name: value.clone() for name, value in train(model, batch_of(), looped=True).items()}
    torch.testing.assert_close(found, train(model, batch_of(), looped=False), rtol=1e-4, atol=1e-6)


def test_rows_leave_the_loop_after_their_last_label():
    model = training_model()
    with mock.patch("hf_attn_seq2seq.recurrent.run_steps", side_effect=run_steps) as run:
        model(**batch_of())
        model(**batch_of(), output_logits=True)
    rows = [call.args[0].rows for call in run.call_args_list if "keys" in call.args[1]]
    assert rows == [(3, 3, 2, 2, 1, 1), (3,) * 6]


def numbers(gates: int, additive: bool, **changes: Any) -> tuple[LoopPlan, dict[str, torch.Tensor]]:
    """A loop with all parts: two layers, two heads, masks, dropout."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).mul_(0.5).requires_grad_()

    size, heads, rows = 4, 2, (3, 3, 1)
    fields = {"asks_before": True, "feeding": True, "residual": True, **changes}
    plan = LoopPlan(gates, 2, size, heads=heads, scaling=0.7, rows=rows, **fields)
    tensors = {
        "projected": draw(sum(rows), gates * size),
        "keys": draw(3, heads, 5, 2),
        "values": draw(3, heads, 5, 3),
    }
    tensors["mask"] = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]]).bool()
    for layer in range(2):
        for part in range(1 if gates == 3 else 2):
            tensors[f"state{layer}_{part}"] = draw(3, size)
        tensors |= {f"hidden{layer}": draw(gates * size, size), f"hidden_bias{layer}": draw(gates * size)}
        tensors[f"recurrent_mask{layer}"] = draw(3, size).detach()
    tensors |= {"input1": draw(gates * size, size), "input_bias1": draw(gates * size)}
    tensors["input_mask1"] = draw(sum(rows), size).detach()
    tensors |= {"query": draw(4, size), "query_bias": draw(4), "output": draw(5, 6), "output_bias": draw(5)}
    if additive:
        tensors["vector"] = draw(heads, 2)
    if plan.asks_before:
        tensors["context"] = draw(gates * size, 5)
    if plan.feeding:
        tensors |= {"feeding": draw(gates * size, size), "readout": draw(size, size + 5), "readout_bias": draw(size)}
    return plan, tensors


@pytest.mark.parametrize("shows", [False, True])
@pytest.mark.parametrize("feeding", [False, True])
@pytest.mark.parametrize("additive", [False, True])
@pytest.mark.parametrize("gates", [3, 4])
def test_every_gradient_of_every_output(gates, additive, feeding, shows):
    plan, tensors = numbers(gates, additive, feeding=feeding, shows=shows)
    wanted = [value for value in tensors.values() if value.requires_grad]
    outputs = run_steps(plan, tensors), plain_steps(plan, tensors)
    torch.testing.assert_close(*outputs)
    for index, pair in enumerate(zip(*outputs)):
        weights = torch.randn_like(pair[0])
        gradients = [
            torch.autograd.grad((each * weights).sum(), wanted, retain_graph=True, allow_unused=True) for each in pair
        ]
        for one, other in zip(*gradients):
            # By hand what has no part is 0.
            torch.testing.assert_close(torch.zeros_like(one) if other is None else other, one, msg=str(index))


@pytest.mark.parametrize("gates", [3, 4])
def test_gradients_have_gradients_and_can_be_taken_twice(gates):
    plan, tensors = numbers(gates, additive=True, asks_before=False)
    names = ["projected", "hidden1", "vector", "values"]

    def loop(*values: torch.Tensor) -> torch.Tensor:
        return run_steps(plan, {**tensors, **dict(zip(names, values))})[0]

    values = tuple(tensors[name] for name in names)
    loss = loop(*values).square().sum()
    once = torch.autograd.grad(loss, values, retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(loss, values, retain_graph=True), once)
    with_graph = torch.autograd.grad(loss, values, create_graph=True)
    torch.testing.assert_close(with_graph, once)
    second = torch.autograd.grad(sum(each.square().sum() for each in with_graph), values)
    plain = torch.autograd.grad(plain_steps(plan, tensors)[0].square().sum(), values, create_graph=True)
    torch.testing.assert_close(second, torch.autograd.grad(sum(each.square().sum() for each in plain), values))


def test_frozen_parts_have_no_gradient():
    model = training_model(input_feeding=True)
    expected = {name: value.clone() for name, value in train(model, batch_of(), looped=True).items()}
    steps = model.model.decoder.stack.steps
    for part in (steps.readout, steps.attention.query_projection, model.model.encoder):
        part.requires_grad_(False)
    found = train(model, batch_of(), looped=True)
    for name, weight in model.named_parameters():
        assert (weight.grad is None) is not weight.requires_grad
        if weight.requires_grad:
            torch.testing.assert_close(found[name], expected[name])


def test_the_loop_steps_aside():
    model, batch = training_model(input_feeding=True, dropout=0.1), batch_of()
    steps = model.model.decoder.stack.steps

    def runs(**arguments: Any) -> bool:
        with loops() as run:
            model(**{**batch, **arguments})
        return bool(run.called)

    assert runs()
    assert not runs(output_attentions=True)
    assert not runs(output_hidden_states=True)
    mask = torch.ones_like(batch["labels"])
    assert runs(decoder_attention_mask=mask)
    mask[0, -1] = 0
    assert not runs(decoder_attention_mask=mask)
    with torch.autocast("cpu", torch.bfloat16):
        assert not runs()
    with recording(Recorder()):
        assert not runs()
    with torch.no_grad():
        assert not runs()
    for part in (steps, steps.attention, steps.cells[0], steps.readout.projection):
        hook = part.register_forward_hook(lambda *_: None)
        assert not runs()
        hook.remove()
    nn.utils.parametrizations.weight_norm(steps.readout.projection)
    assert not runs()
    nn.utils.parametrize.remove_parametrizations(steps.readout.projection, "weight")
    assert runs()
    model.gradient_checkpointing_enable()
    assert not runs()
    model.gradient_checkpointing_disable()
    assert not runs(use_cache=True, labels=None, decoder_input_ids=batch["labels"].clamp(min=0))
    model.eval()
    assert not runs()
    for fields in (
        {"layer_norm": True, "decoder_layers": 2},
        {"layer_norm": True, "input_feeding": True},
        {"attention_normalizer": "sparsemax"},
        {"attention_dropout": 0.1},
    ):
        model = training_model(**fields)
        assert not runs()
