# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The tokenizer class: labels, two vocabularies, saving, and loading with and without this package."""

import copy
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import AutoTokenizer, DataCollatorForSeq2Seq, PreTrainedTokenizerFast

from hf_attn_seq2seq.data.tokenizer_training import TokenizerSettings, train_tokenizer, train_tokenizer_for
from hf_attn_seq2seq.tokenization_attn_seq2seq import AttnSeq2SeqTokenizer
from tests.helpers import tiny_config


TEXTS = ["Est-ce que l'homme est là ?", "Oui, l'homme est là.", "The dogs' bowl isn't here (or is it?)."]

WORDS = ["CAT", "ACT", "TACK"]
SOUNDS = ["K AE1 T", "AE1 K T", "T AE1 K"]

# Loads folders as a user without the package does, and prints what came of them.
LOAD_WITHOUT_PACKAGE = """
import json, sys
sys.modules["hf_attn_seq2seq"] = None  # makes any import of it fail
from transformers import AutoTokenizer
for folder in sys.argv[2:]:
    texts, options = json.loads(sys.argv[1])
    tokenizer = AutoTokenizer.from_pretrained(folder, **options)
    sources, targets = tokenizer(texts)["input_ids"], tokenizer(text_target=texts)["input_ids"]
    decoded = tokenizer.batch_decode(targets, skip_special_tokens=True)
    print(json.dumps([type(tokenizer).__name__, sources, targets, decoded]))
"""

KINDS = {
    "word": {"kind": "word"},
    "word or bytes": {"kind": "word", "byte_fallback": True},
    "bpe": {"kind": "bpe"},
    "unigram": {"kind": "unigram"},
    "char": {"kind": "char"},
    "symbol": {"kind": "symbol"},
}


def load_without_package(tmp_path, *folders, texts, **options):
    done = subprocess.run(
        [sys.executable, "-c", LOAD_WITHOUT_PACKAGE, json.dumps([texts, options]), *map(str, folders)],
        capture_output=True,
        check=True,
        cwd=tmp_path,
        encoding="utf-8",
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(tmp_path / "modules")},
        stdin=subprocess.DEVNULL,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def train(kind):
    return train_tokenizer(TEXTS, vocab_size=330, model_max_length=50, **KINDS[kind])


@pytest.fixture(params=KINDS)
def tokenizer(request):
    return train(request.param)


@pytest.fixture
def two_sided():
    """Characters to sounds, with vocabularies of 8 and 7 tokens, in which an id stands for another symbol."""
    settings = TokenizerSettings(
        shared=False, source={"kind": "char", "byte_fallback": False}, target={"kind": "symbol"}
    )
    return train_tokenizer_for(settings, WORDS, SOUNDS, model_max_length=20)


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


def test_saved_folders_load_where_the_package_is_missing(tmp_path):
    tokenizers = [train(kind) for kind in KINDS]
    folders = [tmp_path / kind for kind in KINDS]
    for tokenizer, folder in zip(tokenizers, folders):
        tokenizer.save_pretrained(folder)
    loaded = load_without_package(tmp_path, *folders, texts=TEXTS)
    assert len(loaded) == len(tokenizers)
    for tokenizer, (name, sources, targets, decoded) in zip(tokenizers, loaded):
        assert name == "TokenizersBackend"
        assert sources == targets == tokenizer(TEXTS)["input_ids"]
        assert decoded == tokenizer.batch_decode(sources, skip_special_tokens=True)


def test_one_vocabulary_is_both_sides(tokenizer):
    assert tokenizer.source is tokenizer
    assert tokenizer.target is tokenizer
    assert not tokenizer.has_two_vocabularies
    assert tokenizer(text_target=TEXTS)["input_ids"] == tokenizer(TEXTS)["input_ids"]


def test_each_side_has_its_vocabulary(two_sided):
    assert two_sided.has_two_vocabularies
    assert two_sided.get_vocab() == {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "A": 4, "C": 5, "T": 6, "K": 7}
    assert two_sided.target.get_vocab() == {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "AE1": 4, "K": 5, "T": 6}
    assert [len(two_sided), len(two_sided.source), len(two_sided.target)] == [8, 8, 7]
    assert [two_sided.vocab_size, two_sided.target.vocab_size] == [8, 7]
    assert two_sided.target.all_special_ids == two_sided.all_special_ids == [1, 2, 3, 0]
    assert two_sided.target.convert_ids_to_tokens([5, 6]) == ["K", "T"]
    assert two_sided.target.convert_tokens_to_ids("K") == 5


def test_text_target_is_encoded_in_the_target_vocabulary(two_sided):
    batch = two_sided(["CAT", "TACK"], text_target=["K AE1 T", "T AE1 K"])
    assert batch["input_ids"] == [[5, 4, 6, 2], [6, 4, 5, 7, 2]]
    assert batch["labels"] == [[5, 4, 6, 2], [6, 4, 5, 2]]
    assert two_sided(text_target="AE1")["input_ids"] == two_sided.target("AE1")["input_ids"] == [4, 2]
    assert two_sided(text_target="AE1 ?")["input_ids"] == [4, 3, 2]
    assert two_sided("A")["input_ids"] == [4, 2]  # back to sources after a target
    assert two_sided.tokenize("CAT") == ["C", "A", "T"]
    assert two_sided.target.tokenize("K AE1") == ["K", "AE1"]


def test_words_and_offsets_are_of_the_side(two_sided):
    encoding = two_sided(text_target="K AE1 T", return_offsets_mapping=True)
    assert encoding.word_ids() == [0, 1, 2, None]
    assert encoding["offset_mapping"] == [(0, 1), (2, 5), (6, 7), (0, 0)]
    assert two_sided("CAT ACT").word_ids() == [0, 0, 0, 1, 1, 1, 1, None]  # a word has the blank before it


def test_decoding_reads_targets_unless_asked_for_sources(two_sided):
    labels = torch.tensor([[5, 4, 6, 2], [4, 2, -100, -100]])
    assert two_sided.batch_decode(labels, skip_special_tokens=True) == ["K AE1 T", "AE1"]
    assert two_sided.decode(labels, skip_special_tokens=True) == ["K AE1 T", "AE1"]
    assert two_sided.decode(labels[0], skip_special_tokens=True, use_source_tokenizer=True) == "CAT"
    assert two_sided.source.batch_decode(labels, skip_special_tokens=True) == ["CAT", "A"]
    assert two_sided.target.decode([4, 5]) == "AE1 K"
    assert two_sided.decode(6) == "T"


def test_collator_pads_two_sided_batches(two_sided):
    features = [dict(two_sided(word, text_target=sound)) for word, sound in zip(WORDS[1:], SOUNDS[1:])]
    batch = DataCollatorForSeq2Seq(two_sided)(features)
    assert batch["input_ids"].tolist() == [[4, 5, 6, 2, 0], [6, 4, 5, 7, 2]]
    assert batch["labels"].tolist() == [[4, 5, 6, 2], [6, 4, 5, 2]]


def test_padding_and_truncation_hold_for_both_sides(two_sided):
    padded = two_sided(["CAT", "A"], text_target=["T", "K AE1 T"], padding=True, truncation=True, max_length=3)
    assert padded["input_ids"] == [[5, 4, 2], [4, 2, 0]]
    assert padded["labels"] == [[6, 2, 0], [5, 4, 2]]
    two_sided.padding_side = "left"
    assert two_sided(text_target=["T", "K T"], padding=True)["input_ids"] == [[0, 6, 2], [5, 6, 2]]
    assert two_sided.target(["T", "K T"], padding=True)["input_ids"] == [[0, 6, 2], [5, 6, 2]]


def test_a_refused_target_leaves_the_tokenizer_with_sources(two_sided):
    with pytest.raises(ValueError, match="text input must be"):
        two_sided("CAT", text_target=17)
    assert len(two_sided) == 8


def test_added_tokens_end_both_vocabularies(two_sided):
    two_sided.add_special_tokens({"extra_special_tokens": ["<2fr>"]})
    assert two_sided.add_tokens(["OY1"]) == 1
    assert [len(two_sided), len(two_sided.target)] == [10, 9]
    assert 8 not in two_sided("<2fr>CAT")["input_ids"]  # it is text, until asked for
    two_sided.split_special_tokens = False
    assert two_sided("<2fr>CAT")["input_ids"] == [8, 5, 4, 6, 2]
    assert two_sided(text_target="<2fr> K OY1")["input_ids"] == [7, 5, 8, 2]
    assert two_sided.decode([7, 5, 8, 2], skip_special_tokens=True) == "K OY1"


def check_same(loaded, two_sided):
    assert loaded.has_two_vocabularies
    assert loaded.get_vocab() == two_sided.get_vocab()
    assert loaded.target.get_vocab() == two_sided.target.get_vocab()
    assert loaded(WORDS, text_target=SOUNDS).data == two_sided(WORDS, text_target=SOUNDS).data
    assert loaded.decode([5, 4, 6, 2], skip_special_tokens=True) == "K AE1 T"
    assert loaded.model_max_length == 20


@pytest.mark.parametrize("with_model", [False, True])
@pytest.mark.parametrize("loader", [AttnSeq2SeqTokenizer, AutoTokenizer])
def test_saving_keeps_two_vocabularies(two_sided, loader, with_model, tmp_path):
    two_sided.add_tokens(["OY1"])
    two_sided.add_special_tokens({"extra_special_tokens": ["<2fr>"]})
    two_sided(text_target="K", truncation=True, padding=True)
    files = two_sided.save_pretrained(tmp_path)
    assert str(tmp_path / "target_tokenizer.json") in files
    if with_model:
        tiny_config().save_pretrained(tmp_path)
    loaded = loader.from_pretrained(tmp_path)
    assert type(loaded) is AttnSeq2SeqTokenizer
    check_same(loaded, two_sided)
    loaded.save_pretrained(tmp_path / "again")
    check_same(loader.from_pretrained(tmp_path / "again"), two_sided)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda tokenizer: pickle.loads(pickle.dumps(tokenizer))])
def test_copies_are_whole_and_apart(two_sided, copied):
    other = copied(two_sided)
    check_same(other, two_sided)
    other.add_tokens(["OY1"])
    assert [len(other), len(other.target), len(two_sided), len(two_sided.target)] == [9, 8, 8, 7]


def test_two_vocabularies_load_where_the_package_is_missing_with_the_code_they_carry(two_sided, tmp_path):
    two_sided.save_pretrained(tmp_path)
    loaded = load_without_package(tmp_path, tmp_path, texts=["K T", "T"], trust_remote_code=True)
    ((name, sources, targets, decoded),) = loaded
    assert name == "AttnSeq2SeqTokenizer"
    assert sources == two_sided(["K T", "T"])["input_ids"]
    assert targets == [[5, 6, 2], [6, 2]]
    assert decoded == ["K T", "T"]


def test_without_code_a_stock_class_knows_each_side_by_its_file(two_sided, tmp_path):
    two_sided.save_pretrained(tmp_path)
    sources = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    targets = PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "target_tokenizer.json"))
    assert sources(WORDS)["input_ids"] == two_sided(WORDS)["input_ids"]
    assert targets.decode([5, 4, 6, 2], skip_special_tokens=True) == "K AE1 T"


def test_one_side_and_a_later_tokenizer_leave_no_second_vocabulary_behind(two_sided, tmp_path):
    two_sided.save_pretrained(tmp_path)
    AttnSeq2SeqTokenizer.from_pretrained(tmp_path).target.save_pretrained(tmp_path)
    loaded = AttnSeq2SeqTokenizer.from_pretrained(tmp_path)
    assert not loaded.has_two_vocabularies
    assert loaded.get_vocab() == two_sided.target.get_vocab()
    assert "auto_map" not in json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))


def test_special_tokens_must_have_one_id_in_both_vocabularies(tokenizer):
    other = Tokenizer(models.WordLevel({"</s>": 0, "<pad>": 1, "<s>": 2, "<unk>": 3}, unk_token="<unk>"))
    with pytest.raises(ValueError, match=r"The special token .* has id . in the source vocabulary and . in"):
        AttnSeq2SeqTokenizer(
            tokenizer_object=tokenizer.backend_tokenizer, target_tokenizer_object=other, eos_token="</s>"
        )
