# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Texts of more than one sentence."""

import io

import numpy as np
import pytest
from rich.console import Console

from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer
from hf_attn_seq2seq.explain.sentences import (
    entropy,
    overview,
    print_overview,
    trace_sentences,
)
from hf_attn_seq2seq.explain.tracing import trace
from hf_attn_seq2seq.splitting import split_text
from tests.helpers import tiny_model


TEXT = "The cat is on the mat. Is the dog here? The house is big!"
TOKENIZER = train_tokenizer([TEXT], kind="word", vocab_size=40)


def model(**fields):
    return tiny_model(vocab_size=len(TOKENIZER), **fields)


def test_each_sentence_is_traced_as_if_alone():
    traced = model()
    traces = trace_sentences(traced, TOKENIZER, TEXT, num_beams=2, max_new_tokens=5)
    assert [made.document["source"]["text"] for made in traces] == [piece.sentence for piece in split_text(TEXT)]
    alone = trace(traced, TOKENIZER, "Is the dog here?", num_beams=2, max_new_tokens=5)
    assert traces[1].document == alone.document
    rows = overview(traces)
    assert [row.index for row in rows] == [0, 1, 2]
    assert rows[1].translation == alone.document["target"]["text"]
    assert rows[1].score == alone.document["run"]["score"]
    expected = np.mean([-sum(a * np.log2(a) for a in row) for row in alone.weights().astype(float)])
    assert rows[1].entropy == pytest.approx(expected)


def test_entropy_by_hand():
    weights = np.array([[1.0, 0.0, 0.0, 0.0], [0.25] * 4, [0.5, 0.5, 0.0, 0.0]])
    np.testing.assert_allclose(entropy(weights), [0.0, 2.0, 1.0])
    assert str(entropy(weights)[0]) == "0.0"


@pytest.mark.parametrize("plain", [False, True])
def test_overview_is_printed(plain):
    traces = trace_sentences(model(attention_type="none"), TOKENIZER, f"{TEXT} [bold]x[/bold].", max_new_tokens=3)
    out = io.StringIO()
    print_overview(Console(file=out, width=100, no_color=True), traces, plain=plain)
    lines = out.getvalue().splitlines()
    assert any("Is the dog here?" in line and " 2 " in line for line in lines)
    assert "[bold]x[/bold]." in out.getvalue()  # text is never markup
    assert not plain or out.getvalue().isascii()


def test_bad_input_is_one_sentence():
    with pytest.raises(ValueError, match="blank"):
        trace_sentences(model(), TOKENIZER, " \n ")
    with pytest.raises(ValueError, match="belongs to one sentence"):
        trace_sentences(model(), TOKENIZER, TEXT, target="The cat")
    long = "cat " * 2100
    with pytest.raises(ValueError, match=r"Sentence 2 cannot be traced: .* 2,101 tokens"):
        trace_sentences(model(), TOKENIZER, f"The cat is here. {long}", max_new_tokens=2)


def test_plain_overview_of_a_narrow_terminal_is_ascii() -> None:
    console = Console(width=30, file=io.StringIO())
    traces = trace_sentences(model(), TOKENIZER, "The intercontinental cat. The incomprehensible dog.")
    print_overview(console, traces, plain=True)
    assert console.file.getvalue().isascii()
