# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Tiny models in folders, with tokenizers of a few words."""

from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from hf_attn_seq2seq import AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer
from tests.helpers import FAMILIES, tiny_model


WORDS = ["the", "old", "dog", "sees", "a", "cat", "near", "your", "house", "and", "runs", "home"]
SENTENCES = [" ".join(WORDS[start : start + length]) for length in (3, 7, 5, 2, 9) for start in range(0, 4)]


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerBase:
    return train_tokenizer(SENTENCES, kind="word", vocab_size=50)


def make_model(
    tokenizer: PreTrainedTokenizerBase, family: str = "gru", seed: int = 17, **fields: Any
) -> AttnSeq2SeqForConditionalGeneration:
    # Of the seeds, one whose translations differ in length and words.
    model = tiny_model(seed=seed, vocab_size=len(tokenizer), **FAMILIES[family], **fields)
    model.generation_config.max_new_tokens = 10
    # Untrained models would say these in the middle of a sentence.
    model.generation_config.suppress_tokens = [tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.unk_token_id]
    return model


@pytest.fixture(scope="session")
def model(tokenizer: PreTrainedTokenizerBase) -> AttnSeq2SeqForConditionalGeneration:
    return make_model(tokenizer)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerBase) -> Path:
    """A folder with the models `gru` and `transformer`, and some that cannot be used."""
    root = tmp_path_factory.mktemp("models")
    for family in ("gru", "transformer"):
        make_model(tokenizer, family).save_pretrained(root / family)
        tokenizer.save_pretrained(root / family)
    other = train_tokenizer(["other words"], kind="word", vocab_size=50)
    make_model(other).save_pretrained(root / "other")
    other.save_pretrained(root / "other")
    make_model(tokenizer).save_pretrained(root / "no-tokenizer")
    tiny_model(vocab_size=len(tokenizer), attention_type="none").save_pretrained(root / "no-attention")
    tokenizer.save_pretrained(root / "no-attention")
    (root / "empty").mkdir()
    return root
