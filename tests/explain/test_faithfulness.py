# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Views of what the model used, each against a plain computation of its own."""

import io
import json
import math

import numpy as np
import pytest
import torch
from rich.console import Console
from tokenizers import processors
from transformers import BartConfig, BartForConditionalGeneration

from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer
from hf_attn_seq2seq.explain import faithfulness as room
from hf_attn_seq2seq.explain.faithfulness import faithfulness, print_faithfulness, weighted_norms
from hf_attn_seq2seq.explain.tracing import trace
from tests.helpers import FAMILIES, scrambled, tiny_model


TEXT, TRANSLATION = "The cat is on the mat .", "Le chat est sur le tapis ."
TOKENIZER = train_tokenizer([TEXT, TRANSLATION], kind="word", vocab_size=40)
KINDS = {
    **FAMILIES,
    "two-heads": {"attention_type": "additive", "num_attention_heads": 2},
    "grouped": {**FAMILIES["transformer"], "num_attention_heads": 4, "num_key_value_heads": 2, "decoder_layers": 2},
    "none": {"attention_type": "none"},
}
kinds = pytest.mark.parametrize("kind", KINDS)


def traced(kind="transformer", dtype=torch.float32, **options):
    model = tiny_model(vocab_size=len(TOKENIZER), scale=0.5, **KINDS[kind]).to(dtype)
    return model, trace(model, TOKENIZER, TEXT, **({"target": TRANSLATION} | options))


def bart():
    config = BartConfig(
        vocab_size=len(TOKENIZER),
        d_model=16,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_position_embeddings=32,
        scale_embedding=True,
        pad_token_id=0,
        decoder_start_token_id=1,
        eos_token_id=2,
        forced_eos_token_id=None,
    )
    model = scrambled(BartForConditionalGeneration(config), scale=0.3)
    return model, trace(model, TOKENIZER, TEXT, target=TRANSLATION)


def log_p(model, made, ids, step):
    """Of one word, from one source, one step at a time: as plain as it gets."""
    fed = [each["fed"]["id"] for each in made.document["steps"]][: step + 1]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids]), decoder_input_ids=torch.tensor([fed])).logits[0, -1]
    return float(logits.double().log_softmax(-1)[made.document["steps"][step]["choice"]["id"]])


def ids_of(made):
    return [token["id"] for token in made.document["source"]["tokens"]]


@kinds
def test_erasure_is_that_of_a_loop(kind):
    model, made = traced(kind)
    ids = ids_of(made)
    found = faithfulness(model, TOKENIZER, made, batch_size=3).views["erasure"].values
    assert found.shape == (len(made.target_tokens), len(ids))
    for step, position in [(0, 0), (2, 1), (5, len(ids) - 1), (7, 3)]:
        without = log_p(model, made, ids[:position] + ids[position + 1 :], step)
        assert found[step, position] == pytest.approx(log_p(model, made, ids, step) - without, abs=1e-4)
    assert np.abs(found).max() > 1e-2


def test_removed_and_masked_are_alike_here_and_not_where_places_are_learned():
    model, made = traced("gru")
    ways = [faithfulness(model, TOKENIZER, made, erase=erase).views for erase in ("remove", "mask")]
    for name in ways[0]:
        np.testing.assert_allclose(ways[0][name].values, ways[1][name].values, atol=1e-4)
    model, made = bart()
    ways = [faithfulness(model, TOKENIZER, made, erase=erase).views["erasure"].values for erase in ("remove", "mask")]
    assert np.abs(ways[0] - ways[1]).max() > 1e-3
    ids = torch.tensor([ids_of(made)])
    mask = torch.ones_like(ids)
    mask[0, 2] = 0
    fed = torch.tensor([[step["fed"]["id"] for step in made.document["steps"]]])
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=mask, decoder_input_ids=fed).logits[0]
    for step, row in enumerate(logits.log_softmax(-1)):
        choice = made.document["steps"][step]["choice"]
        expected = choice["log_probability"] - float(row[choice["id"]])
        assert ways[1][step, 2] == pytest.approx(expected, abs=1e-4)


@kinds
def test_gradient_x_input_is_the_slope_when_an_embedding_grows(kind):
    """d log p(... e_j (1 + h) ...) / dh at h = 0 is the sum of gradient times embedding: by central differences."""
    model, made = traced(kind, torch.float64)
    found = faithfulness(model, TOKENIZER, made, batch_size=3).views["gradient_x_input"].values
    table = model.get_encoder().embed_tokens.weight.detach()
    fed = torch.tensor([[step["fed"]["id"] for step in made.document["steps"]]])
    chosen = torch.tensor([[step["choice"]["id"]] for step in made.document["steps"]])

    def log_ps(position, factor):
        embeddings = table[ids_of(made)].clone()[None]
        embeddings[0, position] *= factor
        with torch.no_grad():
            logits = model(inputs_embeds=embeddings, decoder_input_ids=fed).logits[0]
        return logits.log_softmax(-1).gather(1, chosen)[:, 0].numpy()

    for position in range(len(ids_of(made))):
        slope = (log_ps(position, 1 + 1e-5) - log_ps(position, 1 - 1e-5)) / 2e-5
        np.testing.assert_allclose(found[:, position], slope, atol=1e-6)
    assert np.abs(found).max() > 1e-2


def test_gradient_leaves_nothing_behind():
    model, made = traced("transformer")
    model.train()
    faithfulness(model, TOKENIZER, made)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not model.get_encoder().embed_tokens._forward_hooks
    model.requires_grad_(False)  # a frozen model has gradients by its inputs all the same
    assert np.isfinite(faithfulness(model, TOKENIZER, made).views["gradient_x_input"].values).all()


def test_gradient_of_a_table_that_both_sides_share_is_the_sources():
    shared = {"share_encoder_decoder_embeddings": True, **KINDS["gru"]}
    model = tiny_model(vocab_size=len(TOKENIZER), scale=0.5, **shared)
    made = trace(model, TOKENIZER, TEXT, target=TRANSLATION)
    apart = tiny_model(vocab_size=len(TOKENIZER), scale=0.5, **KINDS["gru"])
    apart.load_state_dict(
        {**model.state_dict(), "model.decoder.embed_tokens.weight": model.get_encoder().embed_tokens.weight}
    )
    values = [faithfulness(each, TOKENIZER, made).views["gradient_x_input"].values for each in (model, apart)]
    np.testing.assert_allclose(*values, atol=1e-6)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "none"])
def test_weighted_vectors_sum_to_the_context(kind):
    """||a_j v_j W^O|| by a loop over tokens and heads, whose vectors and W^O's bias sum to the recorded context."""
    model, made = traced(kind)
    layer = made.layers[-1]
    here = f"attention.{layer}"
    weights, values = made.arrays[f"{here}.weights"], made.arrays[f"{here}.values"]
    heads, src_len, dim = values.shape
    projection = None
    if made.document["attention"]["type"] == "multi_head":
        stack = model.model.decoder.stack
        attention = stack.layers[layer].cross_attention if hasattr(stack, "layers") else stack.steps.attention
        projection = attention.output_projection
    all_norms = weighted_norms(made, model, layer)
    head_norms = [weighted_norms(made, model, layer, head) for head in range(heads)]
    for step in (0, 4):
        context = 0.0 if projection is None else projection.bias.detach().numpy()
        for position in range(src_len):
            parts = []
            for head in range(heads):
                part = np.zeros((heads, dim), np.float32)
                part[head] = weights[step, head, position] * values[head, position]
                part = part.reshape(-1)
                if projection is not None:
                    part = projection.weight.detach().numpy() @ part
                parts.append(part)
                assert head_norms[head][step, position] == pytest.approx(np.linalg.norm(part), rel=1e-4)
            assert all_norms[step, position] == pytest.approx(np.linalg.norm(sum(parts)), rel=1e-4)
            context = context + sum(parts)
        np.testing.assert_allclose(context, made.arrays[f"{here}.context"][step], atol=1e-5)


def test_weights_and_entropy_are_of_the_layer_and_head_asked_for():
    model, made = traced("grouped")
    for layer, head in [(0, 1), (-1, None), (1, 3)]:
        views = faithfulness(model, TOKENIZER, made, layer=layer, head=head).views
        expected = made.weights(layer, head)
        np.testing.assert_allclose(views["weights"].values, expected, atol=1e-7)
        by_hand = [-sum(a * math.log2(a) for a in row if a > 0) for row in expected.tolist()]
        np.testing.assert_allclose(views["entropy"].values, by_hand, atol=1e-6)


@pytest.mark.parametrize("kind", ["gru", "transformer"])
def test_comprehensiveness_and_sufficiency_are_those_of_a_loop(kind):
    model, made = traced(kind)
    ids = ids_of(made)
    shares = (0.1, 0.4)
    views = faithfulness(model, TOKENIZER, made, shares=shares).views
    ordinary = [index for index, token in enumerate(made.document["source"]["tokens"]) if not token["special"]]
    assert len(ordinary) == len(ids) - 1  # the end token always stays
    for step in (0, 3, 6):
        ranked = sorted(ordinary, key=lambda index: -made.weights()[step, index])
        before = math.exp(log_p(model, made, ids, step))
        removed, alone = [], []
        for share in shares:
            top = ranked[: math.ceil(share * len(ordinary))]
            removed.append(math.exp(log_p(model, made, [ids[i] for i in range(len(ids)) if i not in top], step)))
            alone.append(
                math.exp(log_p(model, made, [ids[i] for i in range(len(ids)) if i in (*top, len(ids) - 1)], step))
            )
        assert views["comprehensiveness"].values[step] == pytest.approx(before - np.mean(removed), abs=1e-5)
        assert views["sufficiency"].values[step] == pytest.approx(before - np.mean(alone), abs=1e-5)


def test_chance_is_the_same_with_the_same_seed_and_exact_where_all_is_taken():
    model, made = traced("gru")
    by_seed = {
        seed: faithfulness(model, TOKENIZER, made, seed=seed).views["sufficiency_chance"].values for seed in (1, 2)
    }
    again = faithfulness(model, TOKENIZER, made, seed=1).views["sufficiency_chance"].values
    np.testing.assert_array_equal(by_seed[1], again)
    assert np.abs(by_seed[1] - by_seed[2]).max() > 1e-6
    # With all tokens taken every draw is the same, and what is left alone is the whole source.
    views = faithfulness(model, TOKENIZER, made, shares=(1.0,)).views
    np.testing.assert_allclose(views["sufficiency"].values, 0, atol=1e-6)
    np.testing.assert_allclose(views["comprehensiveness"].values, views["comprehensiveness_chance"].values, atol=1e-6)


def test_a_hand_made_model_that_reads_one_token_is_seen_through(monkeypatch):
    """Where log p depends on whether one token is there, only its erasure shows, and taking it away costs all."""
    model, made = traced("gru")
    wanted = ids_of(made)[1]
    recorded = np.array([step["choice"]["log_probability"] for step in made.document["steps"]])

    def log_p(self, input_ids, attention_mask):
        there = ((input_ids == wanted) & attention_mask.bool()).any(1)
        return torch.where(there[:, None], torch.tensor(recorded), torch.tensor(recorded - 3.0))

    monkeypatch.setattr(room._Rerun, "_log_p", log_p)
    monkeypatch.setattr(room._Rerun, "gradient_x_input", lambda self: np.zeros(made.weights().shape))
    made.arrays["attention.0.weights"][:] = 0
    made.arrays["attention.0.weights"][:, :, 1] = 1
    for erase in ("remove", "mask"):
        views = faithfulness(model, TOKENIZER, made, erase=erase).views
        expected = np.zeros_like(views["erasure"].values)
        expected[:, 1] = 3.0
        np.testing.assert_allclose(views["erasure"].values, expected, atol=1e-9)
        lost = np.exp(recorded) - np.exp(recorded - 3.0)
        np.testing.assert_allclose(views["comprehensiveness"].values, lost)
        np.testing.assert_allclose(views["sufficiency"].values, 0, atol=1e-12)
        assert (views["comprehensiveness_chance"].values < lost).all()
        assert (views["sufficiency_chance"].values > 0).all()
        np.testing.assert_array_equal(views["entropy"].values, 0)


def test_without_attention_the_other_views_stand():
    model, made = traced("none")
    result = faithfulness(model, TOKENIZER, made)
    assert set(result.views) == {"erasure", "gradient_x_input"}
    assert set(result.absent) == {"weights", "entropy", "weighted_norm", "comprehensiveness", "sufficiency"}
    assert (result.layer, result.head) == (None, None)


def test_models_of_transformers_have_all_views_but_the_norm():
    model, made = bart()
    result = faithfulness(model, TOKENIZER, made, layer=0, head=1)
    assert set(result.absent) == {"weighted_norm"}
    assert {"weights", "erasure", "gradient_x_input", "sufficiency"} <= set(result.views)
    ids = ids_of(made)
    expected = log_p(model, made, ids, 2) - log_p(model, made, ids[1:], 2)
    assert result.views["erasure"].values[2, 0] == pytest.approx(expected, abs=1e-4)


def test_beams_and_one_token_and_nothing_left():
    model, made = traced("gru", target=None, num_beams=3, max_new_tokens=4)
    assert np.isfinite(faithfulness(model, TOKENIZER, made).views["erasure"].values).all()
    bare = train_tokenizer([TEXT], kind="word", vocab_size=40)
    bare._tokenizer.post_processor = processors.Sequence([])
    model = tiny_model(vocab_size=len(bare), scale=0.5, **KINDS["gru"])
    made = trace(model, bare, "cat", max_new_tokens=2)
    assert len(made.source_tokens) == 1
    result = faithfulness(model, bare, made)
    assert np.isnan(result.views["erasure"].values).all()
    assert result.to_dict()["views"]["erasure"]["values"] == [[None]] * len(made.target_tokens)
    print_faithfulness(Console(file=io.StringIO()), result)


def test_result_is_plain_json_and_printed():
    model, made = traced("gru")
    result = faithfulness(model, TOKENIZER, made)
    again = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert again["source"][1] == "cat"
    np.testing.assert_allclose(again["views"]["erasure"]["values"], result.views["erasure"].values)
    for view in again["views"].values():
        assert view["says"].endswith(".")
        assert view["cannot_say"]
    out = io.StringIO()
    console = Console(file=out, width=200, no_color=True)
    print_faithfulness(console, result, plain=True)
    print_faithfulness(console, result, step=1, plain=True)
    printed = out.getvalue()
    assert printed.isascii()
    assert f"{result.views['erasure'].values[1, 2]:.3g}" in printed
    assert "It cannot say" in printed
    with pytest.raises(ValueError, match="no step 99"):
        print_faithfulness(console, result, step=99)


def test_bad_input_is_one_sentence():
    model, made = traced("gru")
    with pytest.raises(ValueError, match="'remove' or 'mask'"):
        faithfulness(model, TOKENIZER, made, erase="burn")
    with pytest.raises(ValueError, match="shares"):
        faithfulness(model, TOKENIZER, made, shares=(0.0,))
    with pytest.raises(ValueError, match="batch_size"):
        faithfulness(model, TOKENIZER, made, batch_size=0)
    with pytest.raises(ValueError, match="no layer 7"):
        faithfulness(model, TOKENIZER, made, layer=7)
    with pytest.raises(ValueError, match="no head 9"):
        faithfulness(model, TOKENIZER, made, head=9)
    with pytest.raises(ValueError, match="the model that was traced"):
        faithfulness(tiny_model(seed=5, vocab_size=len(TOKENIZER)), TOKENIZER, made)
    child = made.what_if(weights={1: "uniform"})
    with pytest.raises(ValueError, match="weights of this run were edited"):
        faithfulness(model, TOKENIZER, child)
