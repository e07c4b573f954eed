# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Tiny models of every kind, that translate between words of a few sentences."""

from collections.abc import Callable
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from hf_attn_seq2seq import AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer
from hf_attn_seq2seq.explain import Trace, trace
from tests.helpers import tiny_model


TEXT = "the cat is on the mat ."
SENTENCES = [TEXT, "le chat est sur le tapis .", "a dog sees the old house", "un chien voit la vieille maison"]


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerBase:
    return train_tokenizer(SENTENCES, kind="word", vocab_size=50)


@pytest.fixture(scope="session")
def make_model(tokenizer: PreTrainedTokenizerBase) -> Callable[..., AttnSeq2SeqForConditionalGeneration]:
    def make(**fields: Any) -> AttnSeq2SeqForConditionalGeneration:
        # Small enough weights that rounding is not blown up from step to step, as it is not in trained models.
        model = tiny_model(scale=0.4, **{"vocab_size": len(tokenizer), **fields})
        model.generation_config.max_new_tokens = 6
        return model

    return make


@pytest.fixture
def traced(make_model: Callable[..., Any], tokenizer: PreTrainedTokenizerBase) -> Trace:
    return trace(make_model(attention_type="additive"), tokenizer, TEXT)
