# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The tokenizer without Transformers against the one with it: equal ids, offsets, words and texts."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from hf_attn_seq2seq.data.tokenizer_training import TokenizerSettings, train_tokenizer, train_tokenizer_for
from hf_attn_seq2seq.decoding.names import DEFAULT_MODEL, resolve
from hf_attn_seq2seq.decoding.offsets import encode_with_offsets, token_texts
from hf_attn_seq2seq.decoding.text import Source, _has_whole_words, _words_of_tokens
from hf_attn_seq2seq.decoding.tokens import saved_tokenizer
from hf_attn_seq2seq.splitting import source_language


CORPUS = [
    "The cat isn't on the mat, is it?",
    "L'homme s'appelle « Jean-Luc » et l’eau (froide) coûte 3,50 €.",
    "The dogs' bowl... and the boss's [new] house-boat!",
    "हिन्दी में एक वाक्य। 日本語の文です。 ",
    "<fr> a tag in the text <tag>",
]
TEXTS = [
    *CORPUS,
    "",
    " ",
    "x",
    "  leading and   repeated \t spaces\n and a line break ",
    "</s> <pad> <s> <unk> in </s>the text",
    "<fr><tag> tags<tag>",
    "e\u0301 composed \u00e9, ﬁ ½ İstanbul ẞ",
    "\u200b\ufeff\u00a0\u202e controls \x00\x07",
    "🧑‍🤝‍🧑 😀 \U0001f1eb\U0001f1f7",
    "unseen слова и ελληνικά ☃",
    "<\u2060unk> joined",
    "a" * 300,
    "the " * 80,
]
KINDS: dict[str, dict[str, Any]] = {
    "bpe": {"kind": "bpe", "vocab_size": 340},
    "unigram": {"kind": "unigram", "vocab_size": 360},
    "words": {"kind": "word", "vocab_size": 60},
    "words over bytes": {"kind": "word", "vocab_size": 300, "byte_fallback": True},
    "characters over bytes": {"kind": "char", "vocab_size": 300},
    "characters": {"kind": "char", "vocab_size": 40, "byte_fallback": False},
    "symbols": {"kind": "symbol", "vocab_size": 60},
    "lowercase": {"kind": "word", "vocab_size": 60, "lowercase": True},
}


def trained(name: str) -> Any:
    kind = KINDS.get(name)
    if kind is not None:
        return train_tokenizer(CORPUS, **kind, model_max_length=40)
    if name == "tags":
        tokenizer = train_tokenizer(CORPUS, kind="bpe", vocab_size=340)
        tokenizer.add_special_tokens({"extra_special_tokens": ["<fr>"]})
        tokenizer.add_tokens(["<tag>", "mat"])
        return tokenizer
    if name == "left":
        tokenizer = train_tokenizer(CORPUS, kind="word", vocab_size=60)
        tokenizer.padding_side = tokenizer.truncation_side = "left"
        return tokenizer
    assert name == "two vocabularies"
    settings = TokenizerSettings(shared=False, kind="bpe", vocab_size=340, target={"kind": "word"})
    return train_tokenizer_for(settings, CORPUS, ["un chat", "L'homme et l' eau ."])


@pytest.fixture(scope="module", params=[*KINDS, "tags", "left", "two vocabularies", "packaged", "used before"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param == "packaged":
        return Path(resolve(DEFAULT_MODEL))
    path = tmp_path_factory.mktemp("tokenizer")
    if request.param == "used before":
        tokenizer = trained("bpe")
        tokenizer(["one", "two two"], padding="max_length", truncation=True, max_length=7, padding_side="left")
    else:
        tokenizer = trained(request.param)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def both(folder: Path) -> tuple[Any, Any]:
    return saved_tokenizer(folder), AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def test_about_the_tokenizer(both: tuple[Any, Any]) -> None:
    ours, theirs = both
    assert ours is not None
    assert len(ours) == len(theirs)
    assert len(ours.target) == len(theirs.target)
    for name in ("all_special_ids", "pad_token", "pad_token_id", "unk_token", "unk_token_id", "model_max_length"):
        assert getattr(ours, name) == getattr(theirs, name)
        assert getattr(ours.target, name) == getattr(theirs.target, name)
    assert source_language(ours) == source_language(theirs) == "en"
    assert _has_whole_words(ours.target) == _has_whole_words(theirs.target)


@pytest.mark.parametrize("limit", [None, 1, 2, 9, 10**6])
def test_encoding(both: tuple[Any, Any], limit: int | None) -> None:
    ours, theirs = both
    assert ours(TEXTS)["input_ids"] == theirs(TEXTS)["input_ids"]
    options = {"padding": True, "truncation": True, "max_length": limit, "return_tensors": "np"}
    inputs, offsets = encode_with_offsets(ours, TEXTS, **options)
    expected, expected_offsets = encode_with_offsets(theirs, TEXTS, **options)
    assert set(inputs) == set(expected) == {"input_ids", "attention_mask"}
    for name, array in inputs.items():
        assert array.dtype == expected[name].dtype
        assert array.tolist() == expected[name].tolist()
    assert offsets == expected_offsets
    for row, text in enumerate(TEXTS):
        words = _words_of_tokens(inputs, row)
        assert words == _words_of_tokens(expected, row)
        for whole in (True, False):
            units = Source(text, offsets[row], words).units(whole)
            assert units == Source(text, expected_offsets[row], words).units(whole)
    # What was asked for before changes nothing.
    assert ours(TEXTS)["input_ids"] == theirs(TEXTS)["input_ids"]


@pytest.mark.parametrize("skip", [True, False])
def test_decoding(both: tuple[Any, Any], skip: bool) -> None:
    ours, theirs = both
    sequences = [*theirs(text_target=TEXTS)["input_ids"], [0, 1, 2, 3, 2, 0], [], [*range(len(theirs.target))]]
    assert ours.batch_decode(sequences, skip_special_tokens=skip) == theirs.batch_decode(
        sequences, skip_special_tokens=skip
    )
    for ids in sequences[:-1]:
        assert token_texts(ours, ids, ours.all_special_ids) == token_texts(theirs, ids, theirs.all_special_ids)


def test_the_source_language_is_kept(tmp_path: Path) -> None:
    tokenizer = trained("words")
    tokenizer.init_kwargs["src_lang"] = "fr_XX"
    tokenizer.save_pretrained(tmp_path)
    assert source_language(AutoTokenizer.from_pretrained(tmp_path)) == "fr_XX"
    assert source_language(saved_tokenizer(tmp_path)) == "fr_XX"


def edited(tmp_path: Path, file: str = "tokenizer_config.json", **changes: Any) -> Path:
    trained("words").save_pretrained(tmp_path)
    content = json.loads((tmp_path / file).read_text())
    (tmp_path / file).write_text(json.dumps({**content, **changes}))
    return tmp_path


@pytest.mark.parametrize(
    "change",
    [
        {"tokenizer_class": "PreTrainedTokenizerFast"},
        {"backend": "custom"},
        {"clean_up_tokenization_spaces": True},
        {"model_input_names": ["input_ids"]},
        {"pad_token": None},
        {"pad_token": "<blank>"},
        {"mask_token": "<mask>"},
        {"unk_token": {"__type": "AddedToken", "content": "<unk>", "lstrip": True}},
        {"extra_special_tokens": {"image_token": "<image>"}},
        {"extra_special_tokens": ["<en>"]},
        {"padding_side": "both"},
        {"model_max_length": "long"},
        {"add_prefix_space": True},
        {"added_tokens_decoder": {}},
        {"file": "tokenizer.json", "post_processor": None},
        {"file": "tokenizer.json", "added_tokens": []},
        {"file": "tokenizer.json", "model": {"type": "Mystery"}},
    ],
    ids=str,
)
def test_what_is_not_known_is_left_to_transformers(tmp_path: Path, change: dict[str, Any]) -> None:
    assert saved_tokenizer(edited(tmp_path)) is not None
    assert saved_tokenizer(edited(tmp_path, **change)) is None


def test_other_folders_are_left_to_transformers(tmp_path: Path) -> None:
    assert saved_tokenizer(tmp_path) is None
    train_tokenizer(CORPUS, kind="word", vocab_size=20).save_pretrained(tmp_path / "own")
    own = AutoTokenizer.from_pretrained(tmp_path / "own")
    PreTrainedTokenizerFast(tokenizer_object=own.backend_tokenizer, pad_token="<pad>").save_pretrained(tmp_path / "b")
    assert saved_tokenizer(tmp_path / "b") is None
    (tmp_path / "own" / "special_tokens_map.json").write_text("{}")
    assert saved_tokenizer(tmp_path / "own") is None


@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json"])
def test_a_damaged_file_is_named(tmp_path: Path, file: str) -> None:
    path = edited(tmp_path) / file
    path.write_text(path.read_text()[:-20])
    with pytest.raises(ValueError, match=f"{file}' is damaged"):
        saved_tokenizer(tmp_path)
