# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The tokenizer class: labels, saving, and loading with and without this package."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, DataCollatorForSeq2Seq, PreTrainedTokenizerFast

from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer
from hf_attn_seq2seq.tokenization_attn_seq2seq import AttnSeq2SeqTokenizer


TEXTS = ["Est-ce que l'homme est là ?", "Oui, l'homme est là.", "The dogs' bowl isn't here (or is it?)."]

# Loads a folder as a user without the package does, and prints what came of it.
LOAD_WITHOUT_PACKAGE = """
import json, sys
sys.modules["hf_attn_seq2seq"] = None  # makes any import of it fail
from transformers import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
batch = tokenizer(json.loads(sys.argv[2]))["input_ids"]
print(json.dumps([type(tokenizer).__name__, batch, tokenizer.batch_decode(batch, skip_special_tokens=True)]))
"""


@pytest.fixture(params=["word", "bpe"])
def tokenizer(request):
    return train_tokenizer(TEXTS, kind=request.param, vocab_size=300, model_max_length=50)


def test_class_has_no_init_of_its_own():
    # With one, Transformers rebuilds the tokenizer from its vocabulary on loading and loses the rest.
    assert "__init__" not in vars(AttnSeq2SeqTokenizer)


@pytest.mark.parametrize("as_batch", [list, np.array, torch.tensor])
def test_decode_reads_ignored_labels_as_padding(tokenizer, as_batch):
    short, long = tokenizer(TEXTS[1])["input_ids"], tokenizer(TEXTS[0] + " " + TEXTS[1])["input_ids"]
    labels = as_batch([short + [-100] * (len(long) - len(short)), long])
    expected = [TEXTS[1], TEXTS[0] + " " + TEXTS[1]]
    assert tokenizer.batch_decode(labels, skip_special_tokens=True) == expected
    assert tokenizer.decode(labels, skip_special_tokens=True) == expected
    assert tokenizer.decode(labels[0], skip_special_tokens=True) == TEXTS[1]
    assert tokenizer.decode(-100) == "<pad>"
    assert tokenizer.decode([-100, -100], skip_special_tokens=True) == ""


def test_decode_still_takes_an_encoding_and_still_refuses_other_negative_ids(tokenizer):
    assert tokenizer.decode(tokenizer(TEXTS[1]), skip_special_tokens=True) == TEXTS[1]
    with pytest.raises(OverflowError):
        tokenizer.decode([-99])


@pytest.mark.parametrize("side", ["right", "left"])
def test_collated_batches_pad_on_either_side(tokenizer, side):
    tokenizer.padding_side = side
    features = [dict(tokenizer(text, text_target=text)) for text in (TEXTS[1], TEXTS[0] + TEXTS[2])]
    lengths = [len(feature["input_ids"]) for feature in features]
    batch = DataCollatorForSeq2Seq(tokenizer)([dict(feature) for feature in features])
    padding = lengths[1] - lengths[0]
    assert padding > 0
    real = slice(None, lengths[0]) if side == "right" else slice(padding, None)
    assert batch["input_ids"][0, real].tolist() == features[0]["input_ids"]
    assert batch["attention_mask"].sum(1).tolist() == lengths
    assert (batch["input_ids"] == tokenizer.pad_token_id).sum().item() == padding
    assert (batch["labels"] == -100).sum().item() == padding
    assert tokenizer.batch_decode(batch["labels"], skip_special_tokens=True)[0] == TEXTS[1]


def test_truncation_keeps_the_end_token(tokenizer):
    whole = tokenizer(TEXTS[0])["input_ids"]
    assert tokenizer(TEXTS[0], truncation=True, max_length=4)["input_ids"] == [*whole[:3], tokenizer.eos_token_id]
    tokenizer.truncation_side = "left"
    assert tokenizer(TEXTS[0], truncation=True, max_length=4)["input_ids"] == whole[-4:]
    assert len(tokenizer("là " * 100, truncation=True)["input_ids"]) == tokenizer.model_max_length


@pytest.mark.parametrize("loader", [AttnSeq2SeqTokenizer, PreTrainedTokenizerFast, AutoTokenizer])
def test_saving_keeps_everything(tokenizer, loader, tmp_path):
    tokenizer.padding_side = "left"
    tokenizer.save_pretrained(tmp_path)
    loaded = loader.from_pretrained(tmp_path)
    assert loaded.get_vocab() == tokenizer.get_vocab()
    assert loaded.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()
    assert loaded(TEXTS).data == tokenizer(TEXTS).data
    for setting in ("model_max_length", "padding_side", "truncation_side", "special_tokens_map", "model_input_names"):
        assert getattr(loaded, setting) == getattr(tokenizer, setting)
    assert loaded.model_max_length == 50
    assert loaded.padding_side == "left"


def test_saved_folder_names_the_class_and_no_remote_code(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert saved["tokenizer_class"] == "AttnSeq2SeqTokenizer"
    assert "auto_map" not in saved
    assert not list(tmp_path.glob("*.py"))


def test_saved_folder_loads_where_the_package_is_missing(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", LOAD_WITHOUT_PACKAGE, str(tmp_path), json.dumps(TEXTS)],
        capture_output=True,
        check=True,
        cwd=tmp_path,
        encoding="utf-8",
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        stdin=subprocess.DEVNULL,
    )
    name, ids, decoded = json.loads(done.stdout)
    assert name == "TokenizersBackend"
    assert ids == tokenizer(TEXTS)["input_ids"]
    assert decoded == tokenizer.batch_decode(ids, skip_special_tokens=True)
