# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The demonstration in small: every part of its output is there, and what it saves is what it measured."""

import json
from pathlib import Path

import pytest
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from hf_attn_seq2seq.data.grammar import generate_corpus
from hf_attn_seq2seq.decoding import align
from hf_attn_seq2seq.explain.demo import main
from hf_attn_seq2seq.sharing.stage import stage_model
from hf_attn_seq2seq.training.demo import SENTENCE, measure


def test_demo_trains_measures_shows_and_saves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--output", str(tmp_path), "--train-size", "400", "--epochs", "1", "--seed", "3"])
    said = capsys.readouterr().out
    for part in ("BLEU", "exact match", "AER", SENTENCE, "unseen sentences", "unseen combinations", "1000"):
        assert part in said
    assert (tmp_path / "attention.png").read_bytes().startswith(b"\x89PNG")
    assert SENTENCE in (tmp_path / "tour.html").read_text("utf-8")
    for part in (
        "en-fr, the packaged model",
        "The cat is on the mat.  ->  ",
        str(tmp_path / "tour.html"),
        "hf-attn-seq2seq app",
    ):
        assert part in said

    results = json.loads((tmp_path / "demo.json").read_text("utf-8"))
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    pairs = generate_corpus(seed=3, train_size=400).test
    assert measure(model, tokenizer, pairs) == pytest.approx(results["unseen sentences"])


def test_the_demos_model_can_be_pushed(tmp_path: Path) -> None:
    main(["--output", str(tmp_path / "demo"), "--train-size", "200", "--epochs", "1"])
    (tmp_path / "staged").mkdir()
    notes = stage_model(str(tmp_path / "demo"), "user/demo", tmp_path / "staged")
    assert any("the model card has no results" in note for note in notes)
    assert (tmp_path / "staged" / "README.md").read_text("utf-8").startswith("---\n")


def test_demo_without_attention_shows_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--output", str(tmp_path), "--train-size", "200", "--epochs", "1", "--attention", "none"])
    said = capsys.readouterr().out
    assert "no attention" in said
    assert SENTENCE in said
    assert not (tmp_path / "attention.png").exists()
    assert "aer" not in json.loads((tmp_path / "demo.json").read_text("utf-8"))["unseen sentences"]


def test_alignment_of_a_batch_is_that_of_each_pair(tmp_path: Path) -> None:
    main(["--output", str(tmp_path), "--train-size", "200", "--epochs", "1"])
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    pairs = [(pair.source, pair.target) for pair in generate_corpus(train_size=200).test[:20]]
    together = align(model, tokenizer, pairs)
    assert together == [align(model, tokenizer, [pair])[0] for pair in pairs]
    assert any(together)
