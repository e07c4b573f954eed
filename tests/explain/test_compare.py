# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Two runs side by side."""

import copy
import io
import json
import math

import numpy as np
import pytest
from rich.console import Console

from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer
from hf_attn_seq2seq.explain.compare import compare, print_comparison
from hf_attn_seq2seq.explain.document import Trace
from hf_attn_seq2seq.explain.tracing import trace
from tests.helpers import FAMILIES, tiny_model


TEXT, TRANSLATION = "The cat is on the mat .", "Le chat est sur le tapis ."
TEXTS = [TEXT, TRANSLATION, "Un chat dort ici ."]
WORDS = train_tokenizer(TEXTS, kind="word", vocab_size=60)
BYTES = train_tokenizer(TEXTS, kind="bpe", vocab_size=290)


def made(target=TRANSLATION, text=TEXT, tokenizer=WORDS, kind="gru", **fields):
    model = tiny_model(vocab_size=len(tokenizer), scale=0.5, **{**FAMILIES[kind], **fields})
    return trace(model, tokenizer, text, target=target)


def by_hand(weights: list[list[float]], words: str, source: str = "a b") -> Trace:
    """A trace with just what is compared; each word of the target is one step of probability 1/2."""

    def tokens(text):
        return [
            {"id": index, "token": word, "text": word, "word": index, "span": None, "special": False}
            for index, word in enumerate(text.split())
        ]

    def side(text):
        return {"text": text, "words": [{"text": word} for word in text.split()], "tokens": tokens(text)}

    step = {"choice": {"log_probability": math.log(0.5)}, "candidates": []}
    document = {
        "model": {"name": "by hand"},
        "source": side(source),
        "target": side(words),
        "encoder": {"type": "gru"},
        "decoder": {"type": "gru"},
        "attention": {"type": "dot", "layers": [0]},
        "run": {"score": -1.0},
        "what_if": None,
        "steps": [copy.deepcopy(step) for _ in words.split()],
    }
    return Trace(document, {"attention.0.weights": np.array(weights, np.float32)[:, None]})


def test_alignment_and_differences_by_hand():
    a = by_hand([[1.0, 0.0], [0.5, 0.5], [0.25, 0.75]], "x y z")
    b = by_hand([[1.0, 0.0], [0.75, 0.25], [0.2, 0.8], [0.0, 1.0]], "x q z end")
    result = compare(a, b)
    assert [row.kind for row in result.rows] == ["same", "changed", "same", "only_b"]
    assert [(row.a and row.a.text, row.b and row.b.text) for row in result.rows] == [
        ("x", "x"),
        ("y", "q"),
        ("z", "z"),
        (None, "end"),
    ]
    assert [row.weights_differ for row in result.rows[:3]] == pytest.approx([0.0, 0.25, 0.05])
    assert result.rows[3].weights_differ is None
    assert result.parting.row == 1
    assert compare(b, a).rows[3].kind == "only_a"


def test_nothing_in_common_is_one():
    a, b = by_hand([[1.0, 0.0]], "x"), by_hand([[0.0, 1.0]], "x")
    assert compare(a, b).rows[0].weights_differ == 1.0
    assert compare(a, a).rows[0].weights_differ == 0.0


def test_a_trace_is_like_itself():
    one = made()
    result = compare(one, one)
    assert result.parting is None
    assert {row.kind for row in result.rows} == {"same"}
    assert all(row.weights_differ == 0 for row in result.rows)
    for row, step in zip(result.rows, one.document["steps"]):
        assert row.a.probability == pytest.approx(step["choice"]["probability"])


def test_recurrent_beside_transformer_by_tokens():
    a, b = made(), made(kind="transformer")
    result = compare(a, b)
    assert result.level == "token"
    assert (result.a.kind, result.b.kind) == ("gru to gru, additive", "transformer to transformer, multi_head")
    for index, row in enumerate(result.rows):
        assert row.weights_differ == pytest.approx(
            0.5 * sum(abs(x - y) for x, y in zip(a.weights()[index], b.weights()[index])), abs=1e-6
        )
        assert row.b.log_probability == pytest.approx(b.document["steps"][index]["choice"]["log_probability"])


def test_layers_that_one_lacks_are_its_last():
    a, b = made(), made(kind="transformer", decoder_layers=2)
    for layer in (0, 1):
        expected = np.abs(a.weights()[0] - b.weights(layer)[0]).sum() / 2
        assert compare(a, b, layer=layer).rows[0].weights_differ == pytest.approx(expected, abs=1e-6)


def test_other_tokens_are_compared_by_words():
    a, b = made(), made(tokenizer=BYTES, kind="transformer")
    assert len(b.target_tokens) > len(a.target_tokens)
    result = compare(a, b)
    assert result.level == "word"
    assert [row.a.text for row in result.rows if row.a][:7] == TRANSLATION.split()
    assert {row.kind for row in result.rows[:7]} == {"same"}
    assert sorted(step for row in result.rows for step in row.b.steps) == list(range(len(b.target_tokens)))
    word = result.rows[1]
    logs = [b.document["steps"][step]["choice"]["log_probability"] for step in word.b.steps]
    assert word.b.probability == pytest.approx(math.exp(sum(logs)))

    def in_words(one, steps):
        """Weights on each word and on all special tokens, by a loop."""
        sums = dict.fromkeys([*range(7), None], 0.0)
        for step in steps:
            for token, weight in zip(one.document["source"]["tokens"], one.weights()[step]):
                sums[token["word"]] += weight / len(steps)
        return np.array(list(sums.values()))

    expected = np.abs(in_words(a, word.a.steps) - in_words(b, word.b.steps)).sum() / 2
    assert word.weights_differ == pytest.approx(expected, abs=1e-6)
    assert "words" in result.weights


def test_without_attention_probabilities_are_compared_all_the_same():
    result = compare(made(), made(attention_type="none"))
    assert result.b.kind == "gru to gru, no attention"
    assert result.weights == "B has no attention"
    assert all(row.weights_differ is None for row in result.rows)
    assert all(row.a.probability != row.b.probability for row in result.rows)
    neither = compare(made(attention_type="none"), made(attention_type="none"))
    assert neither.weights == "A and B have no attention"


def test_a_forced_word_parts_from_the_parent_where_it_was_forced():
    parent = made()
    child = parent.what_if(target={2: "dort"})
    result = compare(parent, child)
    assert result.parting.row == 2
    row = result.rows[2]
    assert (row.a.text, row.b.text) == ("est", "dort")
    # Both had said the same until then, so what the child gave the parent's word is what the parent gave it.
    if result.parting.b_gave_a is not None:
        assert result.parting.b_gave_a == pytest.approx(row.a.probability, abs=1e-6)
    assert "target" in result.b.kind


def test_what_each_gave_the_others_choice_is_read_off_its_candidates():
    a, b = made(), made("Le mat est sur le tapis .")
    result = compare(a, b)
    assert result.parting.row == 1
    gave = {each["token"]: each["probability"] for each in a.document["steps"][1]["candidates"]}
    assert result.parting.a_gave_b == gave.get("mat")
    full = trace(a.model, WORDS, TEXT, target=TRANSLATION, candidates=60)
    assert compare(full, b).parting.a_gave_b == pytest.approx(b.document["steps"][1]["choice"]["probability"])


def test_another_source_is_not_compared_by_weights():
    parent = made()
    result = compare(parent, parent.what_if(source="Un cat dort ici ."))
    assert result.weights == "the sources have different words"
    assert all(row.weights_differ is None for row in result.rows)


def test_result_is_plain_json():
    result = compare(made(), made("Un chat dort ici ."))
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False)) == result.to_dict()


@pytest.mark.parametrize("plain", [False, True])
def test_printed(plain):
    a, b = made(), made("Un chat dort ici .")
    b.document["model"]["name"] = "[red]b[/red]\x1b[31m"
    out = io.StringIO()
    print_comparison(Console(file=out, width=120, no_color=True), compare(a, b), plain=plain)
    printed = out.getvalue()
    assert "[red]b[/red]" in printed
    assert "\x1b" not in printed
    assert "They first differ at token 1" in printed
    assert not plain or printed.isascii()
    out = io.StringIO()
    print_comparison(Console(file=out, width=120, no_color=True), compare(a, a), plain=plain)
    assert "Both give the same translation." in out.getvalue()
    assert "differ by 0.00 on average" in out.getvalue()
