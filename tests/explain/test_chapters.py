# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The words of the chapters: of the run and the model at hand, whole, and the same as the equations say."""

import copy
import re

import numpy as np
import pytest

from hf_attn_seq2seq.configuration_attn_seq2seq import ATTENTION_TYPES, DECODER_MIXERS
from hf_attn_seq2seq.explain import trace
from hf_attn_seq2seq.explain.chapters import (
    TITLES,
    bridge_formula,
    chapter_texts,
    context_formula,
    distinct_labels,
    gate_formulas,
    mixer_formulas,
    said,
    score_formula,
    step_sentence,
    token_label,
    weights_formula,
)
from hf_attn_seq2seq.explain.kinds import KINDS
from hf_attn_seq2seq.explain.mixers import MIXERS
from tests.explain.conftest import TEXT


KEYS = ["tokens", "embeddings", "encoder", "handover", "step_input", "attention", "state", "choice", "loop"]
ASKS_WITH_THE_NEW_STATE = [*KEYS[:5], "state", "attention", *KEYS[7:]]
STATES = [mixer for mixer in DECODER_MIXERS if mixer != "attention"]
MODELS = [
    *({"attention_type": kind} for kind in ATTENTION_TYPES),
    {"attention_type": "general", "attention_query": "current", "input_feeding": True, "decoder_type": "lstm"},
    {"encoder_type": "lstm", "encoder_layers": 2, "bidirectional": False, "bridge": "last", "readout": "maxout"},
    {"encoder_type": "transformer", "bridge": "mean", "readout": "affine", "attention_bias": True},
    {"attention_type": "none", "readout": "linear", "bridge": "final"},
    {"encoder_type": "lstm", "decoder_type": "lstm", "bridge": "final"},
    {"decoder_type": "lstm", "bridge": "last_both"},
    {"encoder_type": "ssru", "decoder_type": "min_gru", "bridge": "final_dense"},
    {"attention_type": "concat", "readout": "concat", "tie_word_embeddings": False, "attention_weight_norm": True},
    {"attention_query": "between", "readout": "deep", "bridge": "mean_dense", "decoder_layers": 2},
    {"attention_query": "between", "decoder_type": "lstm", "attention_type": "none"},
    {"attention_query": "between", "decoder_type": "ssru", "attention_type": "coverage", "input_feeding": True},
    {"encoder_type": "transformer", "decoder_type": "transformer", "attention_type": "multi_head"},
    {"encoder_type": "gru", "decoder_type": "transformer", "attention_type": "additive", "num_attention_heads": 2},
    {"encoder_type": "transformer", "scale_embeddings": False, "encoder_residual_alpha": 2.0},
    {"encoder_type": "transformer", "position_offset": 2, "embedding_norm": True},
    *({"decoder_type": "transformer", "attention_type": "multi_head", "decoder_mixer": kind} for kind in STATES),
    {"decoder_type": "transformer", "attention_type": "dot", "decoder_mixer": "average", "average_gate": False},
    {"encoder_type": "min_gru", "decoder_type": "ssru", "attention_type": "general", "attention_query": "current"},
    {"encoder_type": "ssru", "decoder_type": "min_lstm", "bridge": "zeros", "input_feeding": True},
    {"encoder_type": "min_lstm", "decoder_type": "min_gru", "bidirectional": False, "bridge": "last"},
    {"attention_type": "dot", "attention_normalizer": "entmax15", "decoder_layers": 2, "bridge": "zeros"},
]


def edited(traced, **choice):
    """A trace of which the second step is set by hand: it read "le", said "chat", and looked at "cat"."""
    made = copy.deepcopy(traced)
    document = made.document
    document["source"]["tokens"][1].update(token="cat", text="cat")
    document["target"]["tokens"][0].update(token="le", text="le", special=False)
    document["target"]["tokens"][1].update(token="chat", text=" chat", special=False)
    step = document["steps"][1]
    step["candidates"][0].update(id=7, token="chat", text=" chat", probability=0.98)
    step["choice"] = {**step["choice"], "id": 7, "probability": 0.98, "rank": 0, "forced": False, **choice}
    weights = made.arrays["attention.0.weights"]
    weights[1] = 0.01
    weights[1, :, 1] = 0.93
    return made


@pytest.mark.parametrize("fields", MODELS, ids=lambda fields: "-".join(map(str, fields.values())))
def test_every_model_has_whole_chapters_in_the_order_of_its_numbers(make_model, tokenizer, fields):
    traced = trace(make_model(**fields), tokenizer, TEXT)
    texts = chapter_texts(traced)
    current = traced.document["decoder"]["query"] == "current"
    assert list(texts) == (ASKS_WITH_THE_NEW_STATE if current else KEYS)
    assert set(texts) == set(TITLES)
    for key, text in texts.items():
        assert text.title == TITLES[key]
        for part in (text.plain, text.exact, text.formula):
            assert part
            assert part == part.strip()
            assert "\n" not in part
            assert "None" not in part
            assert "  " not in part
        assert text.plain.endswith(".")
        assert text.exact.endswith(".")
        # Abbreviations and the tokens themselves hold full stops too, in these chapters not.
        if key in ("encoder", "handover", "attention"):
            assert 2 <= text.plain.count(". ") + 1 <= 4
        assert not re.search(r"step \d", text.plain), "no step but the one that is shown"
    assert "cat" in texts["tokens"].plain
    kind = traced.document["attention"]["type"]
    assert KINDS[kind].paper in texts["attention"].exact
    asker = {"previous": "s_(t-1)", "current": "s_t", "between": "s'_t", None: "u_t"}[
        traced.document["decoder"]["query"]
    ]
    if kind != "none":
        assert score_formula(kind, asker) in texts["attention"].formula


@pytest.mark.parametrize("kind", [kind for kind in ATTENTION_TYPES if kind != "none"])
def test_score_formula_sums_what_the_ledger_sums(make_model, tokenizer, kind):
    ledger = trace(make_model(attention_type=kind), tokenizer, TEXT).ledger(1, 2)
    assert f"sum_i {ledger.formula}" in score_formula(kind)


def test_formulas_name_the_parts_of_the_model():
    assert score_formula("multi_head", "u_t") == "e_tj = sum_i q_i k_i / sqrt(d_k), q = W^Q u_t, k = W^K h_j"
    assert "sqrt" not in score_formula("multi_head", "u_t", scaled=False)
    assert "sqrt" not in score_formula("general", "s_t")
    assert score_formula("additive", bias=True) == f"{score_formula('additive')} + b"
    assert score_formula("additive", weight_norm=True) == f"{score_formula('additive')}, v = g v' / |v'|"
    assert score_formula("additive") == "e_tj = sum_i v_i tanh(q_i + k_i), q = W_a s_(t-1), k = U_a h_j"
    assert score_formula("location", "s_t") == "e_tj = sum_i w_i s_i, w = row j of W_a, s = s_t"
    assert "tau" in weights_formula("dot", "sparsemax")
    assert "sigmoid" in weights_formula("monotonic")
    assert context_formula("additive") == "c_t = sum_j a_tj h_j"
    assert context_formula("multi_head", 4).startswith("c_t = W^O [")
    both = {"type": "gru", "bidirectional": True}
    assert context_formula("none", encoder=both) == "c = [h_S forward; h_1 backward]"
    assert context_formula("none", encoder={"type": "transformer"}) == "c = (1/S) sum_j h_j"
    assert bridge_formula("dense", both) == "s_0 = tanh(W_b [h_S forward; h_1 backward] + b)"
    assert bridge_formula("zeros", both, "lstm") == "s_0 = 0, m_0 = 0"
    assert "no initial state" in bridge_formula(None)
    assert gate_formulas("gru")[-1] == "h' = (1 - z) n + z h"
    assert gate_formulas("lstm")[-1] == "h' = o tanh(m')"
    assert gate_formulas("transformer") == ()


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="no attention of kind 'bilinear': choose one of additive"):
        score_formula("bilinear")


def test_step_sentence_says_what_was_read_and_looked_at(traced):
    expected = 'To choose "chat" (0.98), the decoder had read "le" and looked mostly at "cat" (0.93).'
    assert step_sentence(edited(traced), 1) == expected


def test_step_sentence_names_the_words_of_pieces(traced):
    made = edited(traced)
    target = made.document["target"]
    target["words"] = [{"text": "lechat", "span": [0, 6]}]
    for token in target["tokens"]:
        token["word"] = None
    target["tokens"][0]["word"] = target["tokens"][1]["word"] = 0
    assert step_sentence(made, 1) == (
        'To choose the piece "chat" of "lechat" (0.98), the decoder had read the piece "le" of "lechat" and looked '
        'mostly at "cat" (0.93).'
    )
    target["text"] = "ไทย"  # no blanks: a word might be all of it
    assert "piece" not in step_sentence(made, 1)


def test_step_sentence_of_spread_weights_names_two_places(traced):
    made = edited(traced)
    made.arrays["attention.0.weights"][1, :, 1] = 0.4
    made.arrays["attention.0.weights"][1, :, 3] = 0.3
    assert 'looked most at "cat" (0.40), then at "on" (0.30).' in step_sentence(made, 1)


def test_a_piece_that_is_a_space_has_one_sign(traced):
    tokens = traced.document["source"]["tokens"]
    for name, text in (("▁", ""), ("Ġ", " "), ("ĠĠ", "  ")):
        tokens[1].update(token=name, text=text)
        assert token_label(tokens[1]) == "␣" * len(name)
        assert "␣ is a space" in chapter_texts(traced)["tokens"].plain


def test_step_sentence_tells_repeated_words_apart(traced):
    # The text has "the" twice.
    made = edited(traced)
    made.arrays["attention.0.weights"][1, :, 4] = 0.95
    assert 'mostly at "the" at position 5 (0.95).' in step_sentence(made, 1)


def test_right_to_left_words_do_not_turn_the_sentence(traced):
    made = edited(traced)
    made.document["source"]["tokens"][1].update(token="חתול", text="חתול")
    assert step_sentence(made, 1).endswith('mostly at "חתול\u200e" (0.93).')


def test_step_sentence_of_a_given_word_names_the_models_own(traced):
    made = edited(traced, id=9, probability=0.01, rank=3, forced=True)
    sentence = step_sentence(made, 1)
    assert sentence.endswith('The word was given: the model itself would have chosen "chat" (0.98).')
    made.document["steps"][1]["choice"]["forced"] = False
    assert step_sentence(made, 1).endswith('At this step alone, "chat" (0.98) was more likely.')


def test_step_sentence_names_heads_and_layers(make_model, tokenizer):
    fields = {"encoder_type": "transformer", "decoder_type": "transformer", "attention_type": "multi_head"}
    traced = trace(make_model(**fields, decoder_layers=2, num_attention_heads=2), tokenizer, TEXT)
    assert step_sentence(traced, 0).endswith("[the mean of its 2 heads, layer 2].")
    assert step_sentence(traced, 0, layer=0, head=1).endswith("[head 2, layer 1].")
    row = traced.arrays["attention.0.weights"][0, 1]
    assert said(row.max()) in step_sentence(traced, 0, layer=0, head=1)


@pytest.mark.parametrize("kind", STATES)
def test_a_mixer_is_named_and_its_equations_told(make_model, tokenizer, kind):
    fields = {"decoder_type": "transformer", "attention_type": "multi_head", "decoder_mixer": kind}
    texts = chapter_texts(trace(make_model(**fields), tokenizer, TEXT))
    told = texts["step_input"]
    assert f"with {MIXERS[kind].paper} in place of self-attention" in told.exact
    assert told.formula == "; ".join(mixer_formulas({"decoder_mixer": kind}))
    assert "look" not in told.plain
    assert "memory" in texts["handover"].plain
    assert "looks back" not in texts["handover"].plain


def test_what_an_average_leaves_out_is_not_told(make_model, tokenizer):
    fields = {"decoder_type": "transformer", "attention_type": "multi_head", "decoder_mixer": "average"}
    told = chapter_texts(trace(make_model(**fields, average_gate=False, average_layers=0), tokenizer, TEXT))
    assert told["step_input"].formula == "h = (x_1 + ... + x_t) / t"
    assert "Gates" not in told["step_input"].plain
    assert "small network" not in told["step_input"].plain


def test_step_sentence_without_attention(make_model, tokenizer):
    sentence = step_sentence(trace(make_model(attention_type="none"), tokenizer, TEXT), 0)
    assert sentence.endswith("and had the same single list of numbers for the whole source as at every other step.")
    assert "only its start token" in sentence


def test_step_that_there_is_not(traced):
    count = len(traced.document["steps"])
    with pytest.raises(ValueError, match=f"no step {count + 1}: this run has {count} steps"):
        step_sentence(traced, count)


def test_chapters_of_a_model_that_shows_its_weights_alone(make_model, tokenizer):
    fields = {"encoder_type": "transformer", "decoder_type": "transformer", "attention_type": "multi_head"}
    traced = trace(make_model(**fields), tokenizer, TEXT)
    traced.arrays = {name: array for name, array in traced.arrays.items() if name.endswith(".weights")}
    traced.document["model"].update(model_type="marian", config={})
    texts = chapter_texts(traced)
    assert "encoded as in marian models" in texts["embeddings"].exact
    assert "sqrt" not in texts["embeddings"].formula
    assert "bias" not in texts["attention"].exact
    assert "not shown" in texts["embeddings"].exact
    assert "weights (6, " in texts["attention"].exact
    assert "scores" not in texts["attention"].exact
    traced.arrays = {}
    assert "in a way that this model does not reveal" in step_sentence(traced, 0)


@pytest.mark.parametrize("position", ["pre", "post"])
def test_the_word_is_chosen_from_the_state_of_the_last_layer(make_model, tokenizer, position):
    fields = {"decoder_type": "transformer", "attention_type": "dot", "norm_position": position, "decoder_layers": 2}
    traced = trace(make_model(**fields), tokenizer, TEXT)
    texts = chapter_texts(traced)
    assert texts["choice"].formula.startswith("r_t = s_t" if position == "post" else "r_t = LayerNorm(s_t)")
    assert ("u_t = LayerNorm(w_t)" in texts["state"].formula) is (position == "pre")
    last, read = traced.arrays["decoder.layer.1.states"], traced.arrays["output.hidden"]
    assert np.allclose(last, read) is (position == "post")
    assert "(6, " in texts["state"].exact


def test_unknown_words_are_named(make_model, tokenizer):
    traced = trace(make_model(), tokenizer, "the zebra is on the mat .")
    plain = chapter_texts(traced)["tokens"].plain
    assert '"zebra" is not in the vocabulary' in plain
    assert token_label(traced.document["source"]["tokens"][1]) == "<unk>"


def test_runs_that_are_given_searched_or_cut_are_told_so(make_model, tokenizer):
    given = chapter_texts(trace(make_model(), tokenizer, TEXT, "le chat"))
    assert "given beforehand" in given["choice"].plain
    searched = trace(make_model(), tokenizer, TEXT, num_beams=3)
    assert "The 3 best partial translations" in chapter_texts(searched)["choice"].plain
    assert f"= {searched.document['run']['score']:.4f}" in chapter_texts(searched)["loop"].exact
    cut = chapter_texts(trace(make_model(eos_token_id=None), tokenizer, TEXT, max_new_tokens=3))
    assert cut["loop"].plain.endswith("decoding stopped at the limit of 3 tokens.")


def test_candidates_that_look_alike_are_told_apart():
    tokens = [
        {"token": token, "text": text} for token, text in (("Ġhomme", " homme"), ("homme", "homme"), ("Ġun", " un"))
    ]
    assert distinct_labels(tokens) == ["␣homme", "homme", "un"]


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.0, "0.00"), (0.00004, "4e-05"), (0.0049, "0.005"), (0.93, "0.93"), (0.9984, "0.998"), (1.0, "1.00")],
)
def test_numbers_keep_the_digits_that_tell(number, text):
    assert said(number) == said(np.float32(number)) == text
