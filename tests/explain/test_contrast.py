# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The contrast to a model without attention: which models have one, and what was measured of both."""

import json

import pytest

from hf_attn_seq2seq.decoding.names import PACKAGED
from hf_attn_seq2seq.explain.contrast import TWINS, contrast_of, lengths_of, trained_like


@pytest.mark.parametrize(
    ("name", "trained"),
    [
        ("en-fr-small", "on the same sentences for 4 epochs (en-fr-small: 10)"),
        ("en-fr", "on fewer sentences (160,975) for 4 epochs, with 3,132,928 parameters (en-fr: 5,746,816)"),
    ],
)
def test_what_is_said_of_the_packaged_models_was_measured(name: str, trained: str) -> None:
    twin = TWINS[name]
    measured = json.loads((PACKAGED / twin / "by_length.json").read_text("utf-8"))
    rows = lengths_of(name, twin)
    assert [words for words, *_ in rows] == list(measured["models"][twin])
    for words, count, attending, fixed in rows:
        assert measured["models"][name][words] == {
            "sentences": count,
            "scores": {**measured["models"][name][words]["scores"], "bleu": attending},
        }
        assert measured["models"][twin][words]["scores"]["bleu"] == fixed
    assert trained_like(name, twin) == trained


def test_other_models_have_no_contrast(traced):
    assert contrast_of("outputs/demo", [traced]) is None
