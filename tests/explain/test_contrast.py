# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The contrast to a model without attention: which models have one, and what was measured of both."""

import json

from hf_attn_seq2seq.decoding.names import DEFAULT_MODEL, PACKAGED
from hf_attn_seq2seq.explain.contrast import TWINS, contrast_of, lengths_of, trained_like


def test_what_is_said_of_the_packaged_models_was_measured():
    twin = TWINS[DEFAULT_MODEL]
    measured = json.loads((PACKAGED / twin / "by_length.json").read_text("utf-8"))
    rows = lengths_of(DEFAULT_MODEL, twin)
    assert [words for words, *_ in rows] == list(measured["models"][twin])
    for words, count, attending, fixed in rows:
        assert measured["models"][DEFAULT_MODEL][words] == {
            "sentences": count,
            "scores": {**measured["models"][DEFAULT_MODEL][words]["scores"], "bleu": attending},
        }
        assert measured["models"][twin][words]["scores"]["bleu"] == fixed
    assert trained_like(DEFAULT_MODEL, twin) == "on the same sentences for 4 epochs (en-fr-small: 10)"


def test_other_models_have_no_contrast(traced):
    assert contrast_of("outputs/demo", [traced]) is None
