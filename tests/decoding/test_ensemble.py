# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Ensembles against one model, against plain loops without caches, and against all translations there are."""

import itertools

import pytest
import torch

from hf_attn_seq2seq import gather_beam_attentions
from hf_attn_seq2seq.decoding import Ensemble, translate_n_best
from tests.decoding.conftest import SENTENCES, make_model
from tests.helpers import END, FAMILIES, PAD, START, padded_batch, tiny_model


def mean_probabilities(members, source, mask, target):
    """`(batch, tgt_len, vocab)`, each member called on the whole target."""
    with torch.no_grad():
        each = [member(source, mask, decoder_input_ids=target, use_cache=False).logits for member in members]
    return sum(logits.double().softmax(-1) for logits in each) / len(each)


@pytest.mark.parametrize("num_beams", [1, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_twice_is_the_model(tokenizer, family, num_beams):
    model = make_model(tokenizer, family)
    options = {"num_beams": num_beams, "n_best": num_beams, "links": True}
    once = translate_n_best(model, tokenizer, SENTENCES, **options)
    twice = translate_n_best(Ensemble([model, model]).eval(), tokenizer, SENTENCES, **options)
    for one, other in zip(once, twice):
        assert [(t.text, t.links) for t in one] == [(t.text, t.links) for t in other]
        assert [t.score for t in one] == pytest.approx([t.score for t in other], abs=1e-5)


def test_greedy_search_of_unlike_members_is_a_plain_loop():
    members = [
        tiny_model(seed=0, **FAMILIES["lstm"], bridge="final"),
        tiny_model(seed=1, encoder_layers=1, hidden_size=24, **FAMILIES["gru"]),
        tiny_model(seed=2, decoder_layers=3, **FAMILIES["transformer"]),
    ]
    batch = padded_batch(side="left")
    target = torch.full((3, 1), START)
    for _ in range(8):
        best = mean_probabilities(members, batch.input_ids, batch.attention_mask, target)[:, -1].argmax(-1)
        over = (target == END).any(1)
        target = torch.cat([target, best.masked_fill(over, PAD)[:, None]], 1)
    ensemble = Ensemble(members).eval()
    outputs = ensemble.generate(
        batch.input_ids,
        attention_mask=batch.attention_mask,
        max_new_tokens=8,
        output_attentions=True,
        return_dict_in_generate=True,
    )
    assert outputs.sequences.tolist() == target[:, : outputs.sequences.shape[1]].tolist()
    singles = [
        member.generate(batch.input_ids, attention_mask=batch.attention_mask, max_new_tokens=8) for member in members
    ]
    assert all(single.tolist() != target[:, : single.shape[1]].tolist() for single in singles)

    # Its attention is the mean of the members' last layers.
    with torch.no_grad():
        each = [
            member(
                batch.input_ids, batch.attention_mask, decoder_input_ids=target[:, :-1], output_attentions=True
            ).cross_attentions[-1]
            for member in members
        ]
    expected = sum(weights.mean(1) for weights in each) / 3
    steps = outputs.sequences.shape[1] - 1
    assert torch.allclose(gather_beam_attentions(outputs)[:, 0], expected[:, :steps], atol=1e-5)


def test_wide_beams_find_the_best_of_all_translations():
    members = [tiny_model(seed=3, vocab_size=6, **FAMILIES["gru"]), tiny_model(seed=4, vocab_size=6)]
    batch = padded_batch((4,), vocab_size=6)
    scored = {}
    for tokens in itertools.product(range(6), repeat=3):
        target = torch.tensor([[START, *tokens]])
        rows = mean_probabilities(members, batch.input_ids, batch.attention_mask, target[:, :-1])[0].log()
        length = tokens.index(END) + 1 if END in tokens else 3
        total = sum(float(rows[step, token]) for step, token in enumerate(tokens[:length]))
        scored[tokens[:length]] = total / length
    best = max(scored, key=scored.get)
    outputs = (
        Ensemble(members)
        .eval()
        .generate(
            batch.input_ids,
            attention_mask=batch.attention_mask,
            num_beams=36,
            max_new_tokens=3,
            early_stopping="never",
        )
    )
    assert tuple(outputs[0, 1 : 1 + len(best)].tolist()) == best


def test_members_must_know_the_same_tokens():
    with pytest.raises(ValueError, match="Model 2 of the ensemble has vocab_size=21, the first has 20"):
        Ensemble([tiny_model(), tiny_model(vocab_size=21)])
    copying = {"pointer": True, "unk_token_id": 3}
    with pytest.raises(ValueError, match="Model 2 of the ensemble has pointer_slots=5, the first has 0"):
        Ensemble([tiny_model(**copying), tiny_model(pointer_slots=5, **copying)])
    with pytest.raises(ValueError, match="at least one model"):
        Ensemble([])


def test_padding_is_no_word_without_a_mask_either(tokenizer):
    ensemble = Ensemble([make_model(tokenizer), make_model(tokenizer, "transformer")]).eval()
    inputs = tokenizer(SENTENCES[:6], return_tensors="pt", padding=True)
    assert (inputs["attention_mask"] == 0).any()
    assert ensemble.generate(inputs["input_ids"]).tolist() == ensemble.generate(**inputs).tolist()
