# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Training of tokenizers: what each kind makes of text, and what it says to bad input."""

import re

import pytest

from hf_attn_seq2seq.data.tokenizer_training import WORD, train_tokenizer


TEXTS = [
    "Est-ce que l'homme est là ?",
    "The dogs' bowl (it's big), isn't it?",
    "L’eau « froide » [ici]... et Marie-Claire, aujourd'hui !",
    "He said: 12 of us; no more.",
]
SIZES = {"word": 200, "bpe": 320}


@pytest.fixture(params=list(SIZES))
def kind(request):
    return request.param


def train(kind, texts=TEXTS, **settings):
    return train_tokenizer(texts, kind=kind, vocab_size=settings.pop("vocab_size", SIZES[kind]), **settings)


def test_special_tokens_have_fixed_ids_and_end_sources_and_targets(kind):
    tokenizer = train(kind)
    ids = [tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id]
    assert ids == [0, 1, 2, 3]
    assert tokenizer.convert_ids_to_tokens(ids) == ["<pad>", "<s>", "</s>", "<unk>"]
    batch = tokenizer(TEXTS[0], text_target=TEXTS[1])
    for row in (batch["input_ids"], batch["labels"]):
        assert row[-1] == 2
        assert not {0, 1, 2, 3} & set(row[:-1])
    assert tokenizer("")["input_ids"] == [2]
    assert tokenizer(TEXTS[0], TEXTS[1])["input_ids"] == batch["input_ids"] + batch["labels"]


def test_words_are_cut_as_the_pattern_says():
    tokens = train("word").tokenize("Est-ce que l'homme (Marie-Claire) est là ? dogs' 12.")
    assert tokens == ["Est-ce", "que", "l'", "homme", "(", "Marie-Claire", ")", "est", "là", "?", "dogs'", "12", "."]


def test_word_ids_and_offsets_point_at_the_words(kind):
    tokenizer = train(kind)
    for text in TEXTS:
        encoding = tokenizer(text, return_offsets_mapping=True)
        word_ids, offsets = encoding.word_ids(), encoding["offset_mapping"]
        assert word_ids[-1] is None
        spans = {}
        for word, (start, end) in zip(word_ids[:-1], offsets):
            if start < end:
                first, last = spans.get(word, (start, end))
                spans[word] = (min(first, start), max(last, end))
        assert [text[start:end] for _, (start, end) in sorted(spans.items())] == re.findall(WORD, text)


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        ("l'homme, qu'il aime...", "l'homme, qu'il aime..."),
        ("L ’ eau", "L ’eau"),
        ("L’eau", "L’eau"),
        ("it's the boss's dogs' bowl", "it's the boss's dogs' bowl"),
        ("( a ) [b] {c} ¿que? ¡no!", "(a) [b] {c} ¿que ? ¡no !"),
        ("Why?  Stop! a;b: c", "Why ? Stop ! a ; b : c"),
        ("a - b, Marie-Claire", "a - b, Marie-Claire"),
        ("« oui »", "« oui »"),
        ("e\u0301te\u0301", "été"),
        ("", ""),
    ],
)
def test_word_tokens_are_set_as_print_does(text, decoded):
    tokenizer = train("word", [text or "a", decoded or "a"])
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == decoded
    assert tokenizer.batch_decode([ids, ids], skip_special_tokens=True) == [decoded, decoded]
    assert tokenizer(decoded)["input_ids"] == ids  # what is decoded is cut into the same words again


@pytest.mark.parametrize(
    "text",
    [
        *TEXTS,
        " one blank before, one after ",
        "  two  between   three\tand a tab\n\nand lines\r\n",
        " ",
        "\u00a0no-break\u202fblanks ;",
        "e\u0301 is not é",
        "emoji 😊👩‍👩‍👧 et 生活 ปี",
        "'quoted' \"twice\" ''",
        "\x00\x7f control",
        "",
    ],
)
def test_bytes_give_back_every_text(text):
    tokenizer = train("bpe")
    ids = tokenizer(text)["input_ids"]
    assert 3 not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == text
    assert tokenizer.batch_decode([ids], skip_special_tokens=True) == [text]


def test_unknown_words_are_marked_and_rare_ones_left_out():
    tokenizer = train("word", ["a a a b b c"], min_frequency=2)
    assert tokenizer.tokenize("a b c d") == ["a", "b", "<unk>", "<unk>"]
    assert len(tokenizer) == 6
    assert train("word", ["a a a b b c"], vocab_size=5).tokenize("a b") == ["a", "<unk>"]


def test_rare_pairs_are_not_merged():
    assert train("bpe", ["ab ab cd"], min_frequency=2).tokenize("ab cd") == ["ab", "Ġ", "c", "d"]


def test_vocabulary_size_is_met_where_text_suffices():
    assert len(train("bpe", vocab_size=290)) == 290
    assert len(train("word", vocab_size=10)) == 10


def test_lowercase(kind):
    tokenizer = train(kind, lowercase=True)
    assert tokenizer("ÊTRE L'HOMME")["input_ids"] == tokenizer("être l'homme")["input_ids"]
    assert tokenizer.decode(tokenizer("L'HOMME")["input_ids"], skip_special_tokens=True) == "l'homme"


def test_training_is_repeatable_and_reads_a_generator(kind):
    first = train(kind)
    second = train(kind, (text for text in ["", *TEXTS, "  \n"]))
    assert first.backend_tokenizer.to_str() == second.backend_tokenizer.to_str()


def test_special_tokens_in_text_can_be_read_as_text(kind):
    tokenizer = train(kind, [*TEXTS, "< / s >"])
    assert tokenizer("a </s>")["input_ids"].count(2) == 2
    assert tokenizer("a </s>", split_special_tokens=True)["input_ids"].count(2) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "unigram"}, "Unknown tokenizer kind 'unigram': choose one of 'word', 'bpe'."),
        ({"kind": "word", "vocab_size": 4}, "vocab_size is 4, but kind 'word' needs more than 4"),
        ({"kind": "bpe", "vocab_size": 259}, "vocab_size is 259, but kind 'bpe' needs at least 260"),
        ({"kind": "bpe", "min_frequency": 0}, "min_frequency is 0"),
        ({"kind": "bpe", "model_max_length": 0}, "model_max_length is 0"),
        ({"kind": "word", "texts": []}, "nothing to train"),
        ({"kind": "bpe", "texts": ["", " \n"]}, "nothing to train"),
        ({"kind": "word", "texts": ["a", "b", None]}, r"texts\[2\] is of type NoneType"),
        ({"kind": "bpe", "texts": ["a", b"b"]}, r"texts\[1\] is of type bytes"),
        ({"kind": "bpe", "texts": "one sentence"}, "texts is one string"),
    ],
)
def test_bad_input_is_named_in_one_sentence(settings, message):
    settings = {"texts": TEXTS, "vocab_size": 300} | settings
    with pytest.raises(ValueError, match=message) as raised:
        train_tokenizer(settings.pop("texts"), **settings)
    assert "\n" not in str(raised.value)
