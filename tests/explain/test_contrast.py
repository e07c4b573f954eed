# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The contrast to a model without attention: which models have one, and what evaluations say of both by length."""

import json

from hf_attn_seq2seq.explain.contrast import contrast_of, lengths_of


def results(folder, scores, sentences=10):
    folder.mkdir()
    by_length = {words: {"sentences": sentences, "scores": {"bleu": score}} for words, score in scores.items()}
    (folder / "results.json").write_text(json.dumps({"sets": {"held_out": {"by_source_length": by_length}}}), "utf-8")
    return folder


def test_lengths_are_those_of_both_evaluations(tmp_path):
    attending = results(tmp_path / "a", {"1-10": 50.0, "11-20": 45.0, "21-30": 44.0})
    fixed = results(tmp_path / "b", {"1-10": 40.0, "11-20": 20.0})
    found = lengths_of(attending, fixed)
    assert found is not None
    assert found.of == "held out"
    assert found.rows == [("1-10", 10, 50.0, 40.0), ("11-20", 10, 45.0, 20.0)]


def test_nothing_is_said_of_lengths_that_were_not_evaluated_alike(tmp_path):
    attending = results(tmp_path / "a", {"1-10": 50.0, "11-20": 45.0})
    assert lengths_of(attending, results(tmp_path / "b", {"1-10": 40.0, "11-20": 20.0}, sentences=9)) is None
    assert lengths_of(attending, tmp_path / "nowhere") is None


def test_other_models_have_no_contrast(traced):
    assert contrast_of("outputs/demo", [traced]) is None
