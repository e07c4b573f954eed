# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""A trace of a model with a pointer: what was written, what was copied, and words outside the vocabulary."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer
from hf_attn_seq2seq.explain.document import Trace
from hf_attn_seq2seq.explain.tracing import trace
from tests.explain.test_terminal import shown
from tests.helpers import tiny_model


TEXTS = ["the cat sat on the mat", "a dog ran home today", "the big red dog sat"]
TEXT = "the zebra sat on a zebra beside the okapi"
KINDS: dict[str, dict[str, Any]] = {
    "bahdanau": {},
    "coverage": {"attention_type": "coverage", "attention_query": "current", "num_attention_heads": 2},
    "transformer": {"encoder_type": "transformer", "decoder_type": "transformer", "decoder_layers": 2},
}


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXTS, kind="word", vocab_size=30)


def pointing_model(tokenizer: Any, kind: str, bias: float = 0.0) -> Any:
    model = tiny_model(scale=0.5, vocab_size=len(tokenizer), pointer=True, pointer_slots=4, **KINDS[kind])
    stack = model.model.decoder.stack
    gate = stack.steps.pointer if model.config.is_recurrent_decoder else stack.pointer
    torch.nn.init.constant_(gate.projection.bias, bias)
    return model


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_every_number_is_recomputed(tokenizer, kind, beams, tmp_path: Path):
    found = trace(pointing_model(tokenizer, kind), tokenizer, TEXT, num_beams=beams, max_new_tokens=6)
    verification = found.verify()
    assert verification.passed, str(verification)
    made = {check.name for check in verification.checks}
    assert made >= {"p_gen", "written", "copied", "mixture", "copy_weights", "gate", "generate", "teacher_forcing"}
    found.save(tmp_path / "trace.json")
    assert Trace.load(tmp_path / "trace.json").verify().passed


@pytest.mark.parametrize("kind", KINDS)
def test_copied_words_have_their_names(tokenizer, kind):
    model = pointing_model(tokenizer, kind, bias=-20.0)
    model.generation_config.suppress_tokens = [model.config.eos_token_id]
    found = trace(model, tokenizer, TEXT, max_new_tokens=12)
    source = found.document["source"]["tokens"]
    assert [(token["token"], token["id"] - len(tokenizer)) for token in source if token["id"] >= len(tokenizer)] == [
        ("zebra", 0),
        ("zebra", 0),
        ("beside", 1),
        ("okapi", 2),
    ]
    words = found.document["target"]["text"].split()
    assert set(words) <= set(TEXT.split())
    step = found.document["steps"][0]
    zebra = next(each for each in step["candidates"] if each["token"] == "zebra")
    weights = found.arrays["pointer.weights"][0]
    assert zebra["pointer"]["copied"] == pytest.approx(float(weights[1] + weights[5]), rel=1e-6)
    assert zebra["pointer"]["written"] == 0.0
    assert zebra["pointer"]["logit"] is None
    assert found.verify().passed


def test_a_changed_number_is_found(tokenizer):
    found = trace(pointing_model(tokenizer, "bahdanau"), tokenizer, TEXT, max_new_tokens=3)
    found.arrays["pointer.gate"] = found.arrays["pointer.gate"] + np.float32(0.1)
    failed = {check.name for check in found.verify().checks if not check.passed}
    assert failed >= {"p_gen", "mixture", "gate"}


def test_a_trace_without_what_the_pointer_did_is_refused(tokenizer, tmp_path: Path):
    found = trace(pointing_model(tokenizer, "bahdanau"), tokenizer, TEXT, max_new_tokens=3)
    del found.document["steps"][0]["pointer"]
    found.save(tmp_path / "trace.json")
    with pytest.raises(ValueError, match="a step does not say what its pointer did"):
        Trace.load(tmp_path / "trace.json")


def test_the_terminal_shows_what_is_written_and_copied(tokenizer):
    found = trace(pointing_model(tokenizer, "bahdanau"), tokenizer, TEXT, max_new_tokens=2)
    text = shown(found, 160, step=1, chapter="choice", plain=True)
    assert "A second way to say a word is to copy it from the source" in text
    assert "written" in text
    assert "copied" in text
    assert f"p_gen = {found.document['steps'][1]['pointer']['p_gen']:.4f}" in text
