# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Figures: what they draw, by the data handed to the drawing and by their text; the same bytes twice."""

import copy
from xml.etree import ElementTree

import numpy as np
import pytest

from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer
from hf_attn_seq2seq.explain import figure, trace
from hf_attn_seq2seq.explain.chapters import said, step_sentence
from hf_attn_seq2seq.explain.figure import FIGURES, save_figure
from tests.explain.conftest import SENTENCES, TEXT


TRANSFORMER = {"encoder_type": "transformer", "decoder_type": "transformer", "attention_type": "multi_head"}


@pytest.fixture(scope="module")
def searched(make_model, tokenizer):
    """A Transformer's beam search, of which every figure can be drawn."""
    return trace(make_model(**TRANSFORMER, decoder_layers=2, num_attention_heads=2), tokenizer, TEXT, num_beams=3)


@pytest.fixture
def handed(monkeypatch):
    """What `save_heatmap` is given."""
    calls = []
    monkeypatch.setattr(figure, "save_heatmap", lambda *args, **kwargs: calls.append((*args, kwargs)) or "alt")
    return calls


def texts_of(path):
    return [
        "".join(element.itertext()).strip()
        for element in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")
    ]


@pytest.mark.parametrize(
    ("kind", "suffix", "start"),
    [*((kind, ".png", b"\x89PNG") for kind in FIGURES), ("step", ".svg", b"<?xml"), ("step", ".pdf", b"%PDF")],
)
def test_same_arguments_give_the_same_bytes(searched, tmp_path, kind, suffix, start):
    files = [tmp_path / f"{name}{suffix}" for name in ("first", "second")]
    texts = [save_figure(searched, file, kind=kind) for file in files]
    assert texts[0] == texts[1]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[0].read_bytes().startswith(start)


def test_alternative_text_is_in_the_file(searched, tmp_path):
    for kind in FIGURES:
        alt_text = save_figure(searched, tmp_path / f"{kind}.svg", kind=kind)
        root = ElementTree.parse(tmp_path / f"{kind}.svg")
        assert alt_text in [element.text for element in root.iter("{http://purl.org/dc/elements/1.1/}description")]


def test_alignment_hands_over_the_weights_and_tokens(searched, handed):
    assert save_figure(searched, "x.png", level="subword", layer=0, head=1) == "alt"
    weights, sources, targets, _, options = handed[0]
    np.testing.assert_array_equal(weights, searched.arrays["attention.0.weights"][:, 1])
    assert sources == [*TEXT.split(), "</s>"]
    assert len(targets) == len(searched.document["steps"])
    assert "head 2 of 2, decoder layer 1" in options["title"]


def test_words_keep_all_the_weight(make_model, handed):
    tokenizer = train_tokenizer(SENTENCES, kind="bpe", vocab_size=270)
    traced = trace(make_model(vocab_size=len(tokenizer)), tokenizer, TEXT, "le chat est sur le tapis .")
    save_figure(traced, "x.png", level="word")
    weights, sources, targets, _, _ = handed[0]
    assert sources == [*TEXT.split(), "</s>"]
    assert targets[:7] == ["le", "chat", "est", "sur", "le", "tapis", "."]
    assert weights.shape == (len(targets), len(sources))
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    # By hand: "chat" is the mean row of its tokens, "cat" the sum of its columns.
    rows = [t for t, token in enumerate(traced.document["target"]["tokens"]) if token["word"] == 1]
    columns = [j for j, token in enumerate(traced.document["source"]["tokens"]) if token["word"] == 1]
    assert len(rows) > 1
    assert len(columns) > 1
    expected = traced.arrays["attention.0.weights"][rows, 0][:, columns].sum(1).mean()
    assert weights[1, 1] == pytest.approx(expected, abs=1e-6)


def test_step_shows_scores_weights_contributions_and_candidates(traced, tmp_path):
    alt_text = save_figure(traced, tmp_path / "step.svg", kind="step", step=1)
    texts = texts_of(tmp_path / "step.svg")
    for title in ("score", "weight", "contribution", "probability of the next word"):
        assert title in texts
    weights = traced.arrays["attention.0.weights"][1, 0]
    lengths = np.linalg.norm(traced.arrays["attention.0.values"][0], axis=-1)
    for numbers in (traced.arrays["attention.0.scaled"][1, 0], weights, weights * lengths):
        for number in numbers:
            assert said(float(number)) in [text.replace("−", "-") for text in texts]
    assert step_sentence(traced, 1) in alt_text
    assert f"“{TEXT.split()[int(weights.argmax())]}” {said(weights.max())}" in alt_text
    assert save_figure(traced, tmp_path / "default.svg", kind="step") == alt_text


def test_scores_of_several_heads_are_not_averaged(searched, tmp_path):
    save_figure(searched, tmp_path / "mean.svg", kind="step", step=0)
    save_figure(searched, tmp_path / "one.svg", kind="step", step=0, head=1, layer=0)
    assert "score" not in texts_of(tmp_path / "mean.svg")
    assert "score" in texts_of(tmp_path / "one.svg")


def test_step_without_attention_shows_the_candidates(make_model, tokenizer, tmp_path):
    traced = trace(make_model(attention_type="none"), tokenizer, TEXT)
    alt_text = save_figure(traced, tmp_path / "step.svg", kind="step", step=0)
    assert "the same single list of numbers" in alt_text
    assert "weight" not in texts_of(tmp_path / "step.svg")


def test_heads_name_the_sharpest_and_draw_all(searched, tmp_path):
    made = copy.deepcopy(searched)
    for layer in (0, 1):
        made.arrays[f"attention.{layer}.weights"][:] = 1 / 8
    made.arrays["attention.1.weights"][:, 0] = 0
    made.arrays["attention.1.weights"][:, 0, 2] = 1
    alt_text = save_figure(made, tmp_path / "heads.svg", kind="heads")
    assert "is highest for layer 2 head 1 (1.00) and lowest for layer 1 head 1 (0.12)" in alt_text
    texts = texts_of(tmp_path / "heads.svg")
    assert [f"layer {layer}, head {head}" in texts for layer in (1, 2) for head in (1, 2)] == [True] * 4


@pytest.mark.parametrize("fields", [{}, {"decoder_type": "lstm", "decoder_layers": 2}, TRANSFORMER])
def test_states_of_encoder_and_decoder(make_model, tokenizer, tmp_path, fields):
    traced = trace(make_model(**fields), tokenizer, TEXT)
    alt_text = save_figure(traced, tmp_path / "states.png", kind="states")
    states = traced.arrays["encoder.states"]
    assert f"8 by {states.shape[1]} numbers from {states.min():.2f} to {states.max():.2f}" in alt_text
    assert "decoder states" in alt_text
    traced.arrays = {}
    with pytest.raises(ValueError, match="does not return its states"):
        save_figure(traced, tmp_path / "none.png", kind="states")


def test_beam_tree_counts_and_marks_the_best(searched, tmp_path):
    alt_text = save_figure(searched, tmp_path / "beams.svg", kind="beams")
    hypotheses = [h for step in searched.document["beams"]["steps"] for h in step["hypotheses"]]
    for state in ("kept", "finished", "dropped"):
        assert f"{sum(h['state'] == state for h in hypotheses)} " in alt_text
        assert state in alt_text
    best = [h["token"] for h in hypotheses if h["best"]]
    assert alt_text.endswith(f"The best path: {' '.join(best)}.")
    texts = texts_of(tmp_path / "beams.svg")
    for token in {h["token"] for h in hypotheses}:
        assert texts.count(token) >= sum(h["token"] == token for h in hypotheses)


def test_long_beams_say_what_is_left_out(searched, tmp_path, monkeypatch):
    monkeypatch.setattr(figure, "MAX_BEAM_STEPS", 1)
    assert "Only the first 1 steps are drawn." in save_figure(searched, tmp_path / "beams.svg", kind="beams")
    assert any("are left out" in text for text in texts_of(tmp_path / "beams.svg"))


def test_tokens_are_never_read_as_mathematics(traced, tmp_path):
    made = copy.deepcopy(traced)
    made.document["source"]["tokens"][1].update(token="$x_1$", text="$x_1$")
    for kind in ("step", "heads", "states"):
        save_figure(made, tmp_path / f"{kind}.svg", kind=kind)
        assert "$x_1$" in texts_of(tmp_path / f"{kind}.svg")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "pie"}, "kind of figure 'pie' is unknown: choose one of alignment"),
        ({"level": "letter"}, "level 'letter' is unknown"),
        ({"step": 1}, "shows all steps"),
        ({"kind": "step", "step": 99}, "no step 99"),
        ({"kind": "beams"}, "did not use beam search"),
        ({"head": 4}, "no head 4"),
        ({"layer": 2, "kind": "step"}, "no layer 2"),
    ],
)
def test_what_is_not_there_is_refused(traced, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        save_figure(traced, tmp_path / "x.png", **options)
    assert not list(tmp_path.iterdir())


def test_bad_files_are_refused(traced, tmp_path):
    with pytest.raises(ValueError, match="does not end in one of"):
        save_figure(traced, tmp_path / "x.gif", kind="heads")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        save_figure(traced, tmp_path / "no" / "x.png", kind="states")


@pytest.mark.parametrize("kind", ["alignment", "heads"])
def test_maps_need_attention(make_model, tokenizer, tmp_path, kind):
    with pytest.raises(ValueError, match="has no attention"):
        save_figure(trace(make_model(attention_type="none"), tokenizer, TEXT), tmp_path / "x.png", kind=kind)
