# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What-if runs change what they say they change, and nothing before it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import PreTrainedTokenizerBase

from hf_attn_seq2seq.configuration_attn_seq2seq import RUNNING_STATE_ATTENTIONS
from hf_attn_seq2seq.explain import Trace, trace
from tests.explain.conftest import TEXT


MakeModel = Callable[..., Any]


def test_another_source(traced: Trace) -> None:
    child = traced.what_if(source="a dog sees the old house")
    assert child.source_tokens[:2] == ["a", "dog"]
    assert traced.children == [child]
    assert child.document["what_if"]["kind"] == "source"
    assert child.verify().passed


def test_a_forced_token(traced: Trace) -> None:
    child = traced.what_if(target={2: "chien"})
    assert child.target_tokens[:3] == [*traced.target_tokens[:2], "chien"]
    forced = [step["choice"]["forced"] for step in child.document["steps"]]
    assert forced[:3] == [True] * 3
    assert not any(forced[3:])
    assert child.verify().passed


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("uniform", [1 / 8] * 8),
        (2, [0, 0, 1, 0, 0, 0, 0, 0]),
        ([1, 1, 0, 0, 0, 0, 0, 2], [0.25, 0.25, 0, 0, 0, 0, 0, 0.5]),
    ],
)
@pytest.mark.parametrize(
    "fields",
    [
        {"attention_type": "additive"},
        *({"attention_type": kind} for kind in RUNNING_STATE_ATTENTIONS),
        {"attention_type": "local_p", "attention_query": "current"},
        {"encoder_type": "transformer", "decoder_type": "transformer", "attention_type": "multi_head"},
    ],
)
def test_other_weights(
    make_model: MakeModel,
    tokenizer: PreTrainedTokenizerBase,
    fields: dict[str, Any],
    wanted: Any,
    expected: list[float],
) -> None:
    parent = trace(make_model(**fields), tokenizer, TEXT)
    child = parent.what_if(weights={1: wanted})
    for layer in child.layers:
        weights = child.arrays[f"attention.{layer}.weights"]
        np.testing.assert_allclose(weights[1], np.broadcast_to(expected, weights[1].shape), atol=1e-6)
    np.testing.assert_allclose(
        child.arrays["attention.0.weights"][0], parent.arrays["attention.0.weights"][0], atol=1e-6
    )
    assert child.target_tokens[:1] == parent.target_tokens[:1]
    sums = np.einsum("hs,hsd->hd", child.arrays["attention.0.weights"][1], child.arrays["attention.0.values"])
    np.testing.assert_allclose(child.arrays["attention.0.head_context"][1], sums, atol=1e-5)
    verification = child.verify()
    assert verification.passed, str(verification)


def test_the_running_state_goes_on_from_edited_weights(
    make_model: MakeModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    parent = trace(make_model(attention_type="coverage"), tokenizer, TEXT)
    child = parent.what_if(weights={1: 3})
    before, after = child.arrays["attention.0.state"][1:3]
    np.testing.assert_allclose(after - before, child.arrays["attention.0.weights"][1], atol=1e-6)
    assert (after - before)[0].argmax() == 3


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({}, "Change one thing"),
        ({"source": "a dog", "target": {0: "un"}}, "Change one thing"),
        ({"target": {99: "un"}}, "no step 99"),
        ({"target": {0: "xylophone"}}, "no token of the target"),
        ({"weights": {0: 8}}, "no source token 8"),
        ({"weights": {0: [1, 2]}}, "2 weights are given for 8"),
        ({"weights": {0: [-1] * 8}}, "0 or more"),
        ({"weights": {0: "even"}}, "unknown"),
        ({"weights": {0: 1, 1: 1}}, "one step at a time"),
        ({"weights": {0: 1}, "layer": 4}, "no layer 4"),
    ],
)
def test_bad_changes(traced: Trace, change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        traced.what_if(**change)


def test_a_loaded_trace_has_no_model(traced: Trace, tmp_path: Path) -> None:
    traced.save(tmp_path / "trace.json")
    with pytest.raises(ValueError, match="read from a file"):
        Trace.load(tmp_path / "trace.json").what_if(source="a dog")


def test_great_weights_are_shares_too(traced: Trace) -> None:
    child = traced.what_if(weights={1: [1e308] * len(traced.source_tokens)})
    assert child.document["what_if"]["weights"] == pytest.approx(
        [1 / len(traced.source_tokens)] * len(traced.source_tokens)
    )


def test_changed_weights_are_not_changed_again(traced: Trace) -> None:
    child = traced.what_if(weights={1: "uniform"})
    with pytest.raises(ValueError, match="weights changed already"):
        child.what_if(target={2: "chien"})


def test_a_given_target_does_not_limit_what_follows(make_model: MakeModel, tokenizer: PreTrainedTokenizerBase) -> None:
    given = trace(make_model(), tokenizer, TEXT, target="le")
    child = given.what_if(target={0: "un"})
    assert child.document["run"]["max_new_tokens"] == 6
