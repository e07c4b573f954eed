# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The pointer and the coverage loss against loops, and through training, `generate()`, caches and graphs."""

import math
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch

from hf_attn_seq2seq import pointer
from hf_attn_seq2seq.decoding.graph import GraphEngine
from hf_attn_seq2seq.graphs.writer import save_graph
from hf_attn_seq2seq.labels import IGNORED
from hf_attn_seq2seq.pointer import (
    copied_mass,
    coverage_loss,
    mixed_log_probs,
    plain_pointer_loss,
    pointer_cross_entropy,
)
from tests.helpers import END, PAD, START, tiny_config, tiny_model
from tests.test_step_loop import assert_looped_is_plain, loops


VOCAB, SLOTS = 20, 3
TRANSFORMER = {"encoder_type": "transformer", "decoder_type": "transformer", "attention_type": "multi_head"}
KINDS: dict[str, dict[str, Any]] = {
    "bahdanau": {},
    "luong": {"attention_type": "general", "attention_query": "current", "input_feeding": True},
    "at once": {"attention_query": "current", "decoder_type": "min_gru"},
    "deep": {"decoder_type": "lstm", "decoder_layers": 2, "residual": True, "layer_norm": True},
    "between": {"attention_query": "between"},
    "heads": {"attention_type": "multi_head", "num_attention_heads": 4},
    "coverage": {"attention_type": "coverage", "attention_query": "current"},
    "sparse": {"attention_normalizer": "sparsemax"},
    "transformer": TRANSFORMER,
    "ssru": {**TRANSFORMER, "decoder_mixer": "ssru", "attention_type": "additive"},
    "deep transformer": {**TRANSFORMER, "decoder_layers": 2, "norm_position": "pre"},
}
kinds = pytest.mark.parametrize("kind", KINDS)


def pointing_model(kind: str = "bahdanau", **fields: Any) -> Any:
    return tiny_model(scale=0.5, **{"pointer": True, "pointer_slots": SLOTS, **KINDS[kind], **fields})


def set_gate(model: Any, bias: float) -> None:
    stack = model.model.decoder.stack
    gate = stack.steps.pointer if model.config.is_recurrent_decoder else stack.pointer
    torch.nn.init.constant_(gate.projection.bias, bias)


def batch() -> dict[str, torch.Tensor]:
    """Sources in which words outside the vocabulary stand, one of them twice, and labels that copy them."""
    ids = torch.tensor(
        [[4, VOCAB, 6, VOCAB, VOCAB + 1, END], [7, 5, VOCAB, END, PAD, PAD], [3, 9, END, PAD, PAD, PAD]]
    )
    labels = torch.tensor([[VOCAB, 8, VOCAB + 1, END], [IGNORED, 5, END, IGNORED], [9, END, IGNORED, IGNORED]])
    return {"input_ids": ids, "attention_mask": (ids != PAD).long(), "labels": labels}


def numbers(dtype: torch.dtype = torch.float64) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=dtype).requires_grad_()

    labels = torch.randint(0, 9, (3, 4), generator=generator)
    labels[0, 2:] = labels[2, 1] = IGNORED
    labels[1, 1], labels[1, 2] = 9, 10
    weights = draw(3, 4, 5).softmax(-1)
    ids = torch.tensor([[3, 9, 3, 4, 2], [9, 10, 9, 7, 2], [1, 2, 2, 8, 1]])
    return {
        "hidden": draw(3, 4, 6),
        "weight": draw(9, 6),
        "gate": draw(3, 4),
        "weights": weights.detach().requires_grad_(),
        "source_ids": ids,
        "labels": labels,
    }


def test_final_distribution_is_the_sum_over_occurrences():
    given = numbers()
    logits = given["hidden"] @ given["weight"].t()
    found = mixed_log_probs(logits, given["gate"], given["weights"], given["source_ids"], slots=2).exp()
    written = logits.softmax(-1)
    for row in range(3):
        for step in range(4):
            share = 1 / (1 + math.exp(-float(given["gate"][row, step])))
            expected = [share * float(each) for each in written[row, step]] + [0.0, 0.0]
            for place, word in enumerate(given["source_ids"][row].tolist()):
                expected[word] += (1 - share) * float(given["weights"][row, step, place])
            np.testing.assert_allclose(found[row, step].tolist(), expected, rtol=1e-9, atol=1e-30)
    torch.testing.assert_close(found.sum(-1), torch.ones(3, 4, dtype=torch.float64))


def test_half_precision_is_mixed_in_single():
    given = {
        name: value.detach().bfloat16() if value.is_floating_point() else value for name, value in numbers().items()
    }
    logits = given["hidden"] @ given["weight"].t()
    found = mixed_log_probs(logits, given["gate"], given["weights"], given["source_ids"], slots=2)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.exp().sum(-1), torch.ones(3, 4), rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("divisor", [None, 3, torch.tensor(7)])
def test_loss_in_chunks_is_that_of_all_logits(label_smoothing, divisor):
    given = numbers()
    wanted = ("hidden", "weight", "gate", "weights")
    with mock.patch.multiple(pointer, CHUNK_BYTES=1, MIN_CHUNK_ROWS=4):
        copied = copied_mass(given["weights"], given["source_ids"], given["labels"])
        loss = pointer_cross_entropy(
            given["hidden"], given["weight"], given["gate"], copied, given["labels"], divisor, label_smoothing
        )
        found = torch.autograd.grad(3 * loss, [given[name] for name in wanted], retain_graph=True)
    logits = given["hidden"] @ given["weight"].t()
    whole = mixed_log_probs(logits, given["gate"], given["weights"], given["source_ids"], slots=2)
    real = given["labels"] != IGNORED
    rows = whole.gather(-1, given["labels"].clamp(min=0).unsqueeze(-1)).squeeze(-1)[real]
    spread = logits.log_softmax(-1).mean(-1)[real]
    count = real.sum() if divisor is None else divisor
    expected = -((1 - label_smoothing) * rows + label_smoothing * spread).sum() / count
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    gradients = torch.autograd.grad(3 * expected, [given[name] for name in wanted])
    torch.testing.assert_close(found, gradients, rtol=1e-10, atol=1e-12)


def test_a_label_that_can_neither_be_written_nor_copied_leaves_the_gradient_finite():
    given = numbers()
    labels = torch.full_like(given["labels"], 10)
    copied = copied_mass(given["weights"], given["source_ids"], labels)
    loss = pointer_cross_entropy(given["hidden"], given["weight"], given["gate"], copied, labels)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(given[name].grad).all() for name in ("hidden", "weight", "gate", "weights"))


def test_gradients_have_gradients_and_can_be_taken_twice():
    given = numbers()
    rows = [given["hidden"].flatten(0, 1), given["weight"], given["gate"].flatten(), torch.rand(12).double()]
    labels = given["labels"].flatten().clamp(min=0)
    inputs = [each.detach().requires_grad_() for each in rows]
    loss = pointer_cross_entropy(*inputs, labels, label_smoothing=0.1)
    once = torch.autograd.grad(loss, inputs, retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(loss, inputs, retain_graph=True), once)
    with_graph = torch.autograd.grad(loss, inputs, create_graph=True)
    second = torch.autograd.grad(sum(each.square().sum() for each in with_graph), inputs)
    plain = plain_pointer_loss(*inputs, labels, torch.tensor(12.0), 0.1)
    first = torch.autograd.grad(plain, inputs, create_graph=True)
    torch.testing.assert_close(second, torch.autograd.grad(sum(each.square().sum() for each in first), inputs))


def test_coverage_loss_is_that_of_a_loop():
    weights = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(0)).softmax(-1)
    real = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [0, 1, 1, 0]]).bool()
    expected = 0.0
    for row in range(3):
        covered = [0.0] * 5
        for step in range(4):
            looked = weights[row, step].tolist()
            if real[row, step]:
                expected += sum(min(one, other) for one, other in zip(looked, covered))
            covered = [one + other for one, other in zip(covered, looked)]
    assert float(coverage_loss(weights, real)) == pytest.approx(expected, rel=1e-6)


def test_coverage_loss_counts_in_training_alone():
    model = pointing_model(coverage_loss_weight=0.7).double()
    given = batch()
    plain = model(**given).loss
    outputs = model.train()(**given, output_attentions=True)
    weights = outputs.cross_attentions[0].mean(1)
    real = given["labels"] != IGNORED
    torch.testing.assert_close(outputs.loss.float(), (plain + 0.7 * coverage_loss(weights, real) / real.sum()).float())


def test_coverage_loss_without_a_pointer():
    model = tiny_model(coverage_loss_weight=0.5).double().train()
    given = {name: value.clamp(max=VOCAB - 1) for name, value in batch().items()}
    assert_looped_is_plain(model, given)
    assert model(**given).loss > model.eval()(**given).loss


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@kinds
def test_training_gives_loss_and_gradients_of_the_logits(kind, label_smoothing):
    model = pointing_model(kind, coverage_loss_weight=0.3).double().train()
    found = []
    for output_logits in (None, True):
        model.zero_grad()
        loss = model(**batch(), label_smoothing=label_smoothing, output_logits=output_logits).loss
        loss.backward()
        found.append((loss.detach().float(), {name: weight.grad for name, weight in model.named_parameters()}))
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("feeding", [False, True])
@pytest.mark.parametrize("attention", ["additive", "multi_head"])
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_the_loop_of_training_serves_the_pointer(cell, attention, feeding):
    fields = {"decoder_type": cell, "attention_type": attention, "input_feeding": feeding, "decoder_layers": 2}
    model = pointing_model(**fields, residual=True, coverage_loss_weight=0.3).double().train()
    assert_looped_is_plain(model, batch())


def test_logits_that_training_left_out_are_the_models_own():
    model = pointing_model().train()
    with loops() as run:
        outputs = model(**batch())
    assert run.called
    real = batch()["labels"] != IGNORED
    torch.testing.assert_close(outputs.logits[real], model(**batch(), output_logits=True).logits[real])


@kinds
def test_logits_are_log_probabilities_of_the_words_and_the_slots(kind):
    logits = pointing_model(kind)(**batch()).logits
    assert logits.shape == (3, 4, VOCAB + SLOTS)
    torch.testing.assert_close(logits.log_softmax(-1), logits, rtol=1e-4, atol=1e-5)
    copied = logits.exp()[:, :, VOCAB:] > 1e-6
    assert copied.any(1).tolist() == [[True, True, False], [True, False, False], [False] * 3]


@kinds
@pytest.mark.parametrize("options", [{}, {"num_beams": 3, "num_return_sequences": 2}])
def test_generate_gives_what_the_forward_pass_scores(kind, options):
    model = pointing_model(kind)
    given = batch()
    del given["labels"]
    settings = {"max_new_tokens": 6, "eos_token_id": None, "return_dict_in_generate": True, "output_scores": True}
    found = model.generate(**given, **settings, **options)
    chosen = found.sequences[:, 1:]
    scores = model.compute_transition_scores(
        found.sequences, found.scores, getattr(found, "beam_indices", None), normalize_logits=False
    )
    again = {name: value.repeat_interleave(len(chosen) // 3, 0) for name, value in given.items()}
    logits = model(**again, decoder_input_ids=found.sequences[:, :-1]).logits
    expected = logits.gather(-1, chosen.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(scores, expected, rtol=1e-3, atol=1e-4)
    for others in ({"use_cache": False}, {"cache_implementation": "static", "disable_compile": True}):
        assert torch.equal(model.generate(**given, **settings, **options, **others).sequences, found.sequences)


@kinds
def test_padding_of_the_source_changes_nothing(kind):
    model = pointing_model(kind)
    row = batch()["input_ids"][:1]
    ids = torch.cat([torch.full((1, 2), PAD), row, torch.full((1, 3), PAD)], dim=1)
    target = torch.tensor([[START, VOCAB, 7]])
    alone = model(input_ids=row, decoder_input_ids=target).logits
    padded = model(input_ids=ids, attention_mask=(ids != PAD).long(), decoder_input_ids=target).logits
    torch.testing.assert_close(padded, alone, rtol=1e-4, atol=1e-4)


@kinds
def test_a_closed_gate_copies_words_of_the_source_alone(kind):
    model = pointing_model(kind)
    set_gate(model, -200.0)
    given = batch()
    settings = {"max_new_tokens": 8, "num_beams": 3, "suppress_tokens": [END]}
    found = model.generate(given["input_ids"], attention_mask=given["attention_mask"], **settings)
    for source, words in zip(given["input_ids"], found[:, 1:]):
        assert set(words.tolist()) <= set(source.tolist()) - {END, PAD}


def test_words_outside_the_vocabulary_are_read_as_the_unknown_token():
    model = pointing_model()
    given = batch()
    unknown = given["input_ids"].masked_fill(given["input_ids"] >= VOCAB, model.config.unk_token_id)
    states = [
        model.get_encoder()(ids, given["attention_mask"]).last_hidden_state for ids in (given["input_ids"], unknown)
    ]
    assert torch.equal(*states)
    targets = torch.tensor([[START, VOCAB + 1], [START, 3], [START, VOCAB + 2]])
    known = targets.masked_fill(targets >= VOCAB, model.config.unk_token_id)
    assert torch.equal(model.get_decoder().embed(targets), model.get_decoder().embed(known))


def test_the_encoders_output_carries_the_tokens():
    model = pointing_model(bridge="final")
    given = batch()
    encoded = model.get_encoder()(given["input_ids"], given["attention_mask"])
    options = {"attention_mask": given["attention_mask"], "labels": given["labels"]}
    expected = model(**given).logits
    for outputs in (encoded, encoded.to_tuple()):
        assert torch.equal(model(encoder_outputs=outputs, **options).logits, expected)
    with pytest.raises(ValueError, match="A pointer copies tokens of the source: give input_ids"):
        model(encoder_outputs=encoded.to_tuple()[:2], **options)


@pytest.mark.parametrize("kind", ["bahdanau", "transformer"])
@pytest.mark.parametrize("beams", [1, 3])
def test_the_graph_copies_words_outside_the_vocabulary(kind, beams, tmp_path: Path):
    model = pointing_model(kind)
    set_gate(model, -3.0)
    model.save_pretrained(tmp_path)
    given = batch()
    del given["labels"]
    given["input_ids"] = given["input_ids"].masked_fill(given["input_ids"] == END, VOCAB + 1)
    given["input_ids"][:, 0] = VOCAB + 2
    engine = GraphEngine(save_graph(model, tmp_path))
    arrays = [value.numpy() for value in given.values()]
    found = engine.search(*arrays, num_beams=beams, max_new_tokens=8, scores=True)
    expected = model.generate(**given, num_beams=beams, max_new_tokens=8)
    assert found.sequences.tolist() == expected.tolist()
    assert (found.sequences >= VOCAB).any()


def test_a_saved_model_loads(tmp_path: Path):
    model = pointing_model()
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path)
    torch.testing.assert_close(loaded(**batch()).logits, model(**batch()).logits)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"pointer": True, "attention_type": "none"}, "pointer=True needs attention weights"),
        ({"coverage_loss_weight": 1.0, "attention_type": "none"}, "coverage_loss_weight=1.0 needs attention weights"),
        ({"pointer": True, "decoder_vocab_size": 30}, "vocab_size=20 and decoder_vocab_size=30 differ"),
        ({"pointer": True, "frontend": "speech"}, "frontend='speech' does not have"),
        ({"pointer_slots": 4}, "pointer_slots=4 is for pointer=True"),
        ({"pointer": True, "pointer_slots": -1}, "pointer_slots=-1 must be 0 or more"),
        ({"pointer": True, "pointer_slots": 2, "unk_token_id": None}, "needs the unknown token"),
        ({"coverage_loss_weight": -0.1}, "coverage_loss_weight=-0.1 must be 0 or more"),
    ],
)
def test_what_does_not_fit_is_refused(fields, told):
    with pytest.raises(ValueError, match=told):
        tiny_config(**fields)


def test_ids_beyond_the_slots_are_refused():
    ids = torch.tensor([[4, VOCAB + SLOTS, END]])
    with pytest.raises(ValueError, match="input_ids hold 23"):
        pointing_model()(input_ids=ids, labels=ids.clamp(max=5))
