# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The guided tour: told from the models at hand, which are trained where they are missing."""

import io
import json

import pytest
from rich.console import Console

from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer
from hf_attn_seq2seq.decoding import translate
from hf_attn_seq2seq.decoding.loading import load
from hf_attn_seq2seq.explain import contrast, tour, trace
from hf_attn_seq2seq.explain.chapters import TITLES, said
from hf_attn_seq2seq.explain.command import main
from hf_attn_seq2seq.explain.tour import (
    GRAMMAR_SENTENCE,
    LENGTHS,
    SENTENCE,
    Measured,
    draw_sentences,
    mark_differences,
    tell_trained_tour,
)
from hf_attn_seq2seq.training import demo
from tests.helpers import tiny_model


@pytest.fixture(scope="module")
def pairs():
    return draw_sentences()


@pytest.fixture
def few(pairs, monkeypatch):
    """Some sentences in the place of all, for untrained models translate slowly."""
    some = pairs[::30]
    monkeypatch.setattr(tour, "draw_sentences", lambda: some)
    return some


@pytest.fixture(scope="module")
def save_model(pairs):
    tokenizer = train_tokenizer(
        [text for pair in pairs for text in (pair.source, pair.target)], kind="word", vocab_size=2000
    )

    def save(folder, attention):
        model = tiny_model(vocab_size=len(tokenizer), attention_type=attention, scale=0.4)
        model.generation_config.max_new_tokens = 6
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    return save


@pytest.fixture
def folder(tmp_path, save_model):
    save_model(tmp_path / "demo", "additive")
    save_model(tmp_path / "demo-none", "none")
    return tmp_path


def told(folder, width=100, **options):
    console = Console(file=io.StringIO(), width=width, legacy_windows=False)
    traced = tell_trained_tour(console, folder=folder, **options).trace
    return console.file.getvalue(), traced


def test_the_tour_of_the_packaged_model_trains_nothing(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "train_demo", lambda *_: pytest.fail("it trains"))
    twins = []
    monkeypatch.setattr(contrast, "trace", lambda *given, **options: twins.append(given) or trace(*given, **options))
    main(["--plain", "--html", str(tmp_path / "tour.html")])
    text = capsys.readouterr().out
    assert len(twins) == 1  # told, and on the page
    assert "Step 7 of 9" in text  # that at which the page opens
    assert not set(text) & set("█▏─→…")
    places = [text.index(f"\n{number} {title}\n") for number, title in enumerate(TITLES.values(), 1)]
    assert places == sorted(places)
    model, tokenizer = load()
    for sentence in (SENTENCE, "The dog is on the mat."):
        assert translate(model, tokenizer, [sentence])[0] in text
    assert "Le chien" in text[text.index("target.2=chien") :].splitlines()[0]
    assert "explain --train-tour" in text
    assert SENTENCE in (tmp_path / "tour.html").read_text("utf-8")
    assert not (tmp_path / "outputs").exists()
    with pytest.raises(ValueError, match="--train-tour uses its own models"):
        main(["--train-tour", SENTENCE])


def test_story_is_told_from_the_models_at_hand(folder, few):
    text, traced = told(folder)
    assert traced.document["source"]["text"] == GRAMMAR_SENTENCE
    assert 0 < text.index("Part 1") < text.index("Part 2")
    places = [
        text.index(f"\n{number} {title}\n", text.index("Part 2")) for number, title in enumerate(TITLES.values(), 1)
    ]
    assert places == sorted(places)
    assert traced.document["target"]["text"] in text
    for step in traced.document["steps"]:
        assert f"{step['choice']['probability']:.4f}" in text
    assert f"explain {folder / 'demo'} " in text.replace("\n", "")


def test_failure_is_the_real_one_of_the_models(folder, few, monkeypatch):
    longest = max(few, key=lambda pair: len(pair.source_words))
    real = translate

    def translated(model, tokenizer, texts):
        # As if the one with attention had the longest right; what is then traced is the real run of both.
        answers = real(model, tokenizer, texts)
        if model.config.attention_type != "none":
            answers[texts.index(longest.source)] = longest.target
        return answers

    monkeypatch.setattr(tour, "translate", translated)
    text, _ = told(folder, width=400)
    assert longest.source in text
    assert f"Correct: {longest.target}" in text
    assert "The two translators first differ at step" in text
    sentence = text[text.index("With one list: ") :].splitlines()[0]
    assert "the same single list of numbers" in sentence
    assert "With attention: To choose" in sentence


def test_plain_is_without_codes_and_waits_for_nobody(folder, few, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: (_ for _ in ()).throw(EOFError))
    text, _ = told(folder, plain=True, step_by_step=True)
    assert "\x1b" not in text
    assert not set(text) & set("█▏─→…")


def test_missing_models_are_trained_alike(tmp_path, save_model, few, monkeypatch):
    runs = []

    def run(output_dir, attention_type, seed, train_size, epochs, console):
        runs.append((output_dir, attention_type, seed, train_size, epochs))
        save_model(output_dir, attention_type)
        results = {"seed": seed, "train_size": train_size, "epochs": epochs, "train_seconds": 1.0}
        (output_dir / "demo.json").write_text(json.dumps(results))

    monkeypatch.setattr(demo, "train_demo", run)
    text, _ = told(tmp_path, width=300)
    assert runs == [
        (tmp_path / "demo", "additive", 0, 40000, 3),
        (tmp_path / "demo-none", "none", 0, 40000, 3),
    ]
    assert text.count("training it now takes about two minutes") == 2
    # With the settings of the one that is there, so that attention is the only difference.
    (tmp_path / "demo" / "demo.json").write_text(json.dumps({"seed": 5, "train_size": 300, "epochs": 1}))
    (tmp_path / "demo-none" / "config.json").unlink()
    text, _ = told(tmp_path)
    assert runs[2:] == [(tmp_path / "demo-none", "none", 5, 300, 1)]


@pytest.mark.parametrize(("name", "attention"), [("demo", "none"), ("demo-none", "dot")])
def test_another_model_under_the_name_is_refused(folder, save_model, name, attention):
    save_model(folder / name, attention)
    with pytest.raises(ValueError, match=f"{name}' should contain .* but contains another"):
        told(folder)


def test_sentences_are_different_and_of_all_lengths(pairs):
    assert len({pair.source for pair in pairs}) == len(pairs)
    for low, high in LENGTHS:
        assert sum(low <= len(pair.source_words) <= high for pair in pairs) >= 20
    assert draw_sentences() == pairs


def test_measured_counts_and_finds_the_longest_failure(pairs):
    short, middle, long = (next(p for p in pairs if len(p.source_words) == length) for length in (4, 8, 13))
    measured = Measured(
        [short, middle, long],
        without=["no", "no", long.target],
        attending=[short.target, middle.target, long.target],
    )
    assert measured.failure() == 1
    assert measured.right(1, 5) == (1, 0, 1)
    assert measured.right(1, 99) == (3, 1, 3)
    assert Measured([short], [short.target], ["no"]).failure() is None


@pytest.mark.parametrize(
    ("text", "right", "marked"),
    [
        ("le chat dort.", "le chat dort.", "le chat dort."),
        ("le chien dort.", "le chat dort.", "le [chien] dort."),
        ("le dort.", "le chat dort.", "le [...] dort."),
        ("le gros chat dort.", "le chat dort.", "le [gros] chat dort."),
        ("", "le chat", "[...]"),
    ],
)
def test_differences_stand_in_brackets(text, right, marked):
    assert mark_differences(text, right) == marked


def test_numbers_of_the_tour_are_those_of_the_run(folder, few):
    text, traced = told(folder, width=120)
    row = traced.weights()[1]
    assert said(float(row.max())) in text[text.index("6 Attention") :]
