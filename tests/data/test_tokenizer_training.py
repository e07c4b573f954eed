# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Training of tokenizers: what each kind makes of text, and what it says to bad input."""

import hashlib
import itertools
import json
import math
import os
import random
import re
import subprocess
import sys

import pytest
import regex
from transformers import AutoTokenizer

from hf_attn_seq2seq.data.subword_sampling import SubwordSampler
from hf_attn_seq2seq.data.tokenizer_training import (
    WORD,
    SideSettings,
    TokenizerSettings,
    train_tokenizer,
    train_tokenizer_for,
)


TEXTS = [
    "Est-ce que l'homme est là ?",
    "The dogs' bowl (it's big), isn't it?",
    "L’eau « froide » [ici]... et Marie-Claire, aujourd'hui !",
    "He said: 12 of us; no more.",
]
KINDS = {
    "word": {"kind": "word", "vocab_size": 200},
    "word or bytes": {"kind": "word", "vocab_size": 360, "byte_fallback": True},
    "bpe": {"kind": "bpe", "vocab_size": 320},
    "unigram": {"kind": "unigram", "vocab_size": 320},
    "sentencepiece": {"kind": "sentencepiece", "vocab_size": 340},
    "sentencepiece or unknown": {"kind": "sentencepiece", "vocab_size": 90, "byte_fallback": False},
    "char": {"kind": "char", "vocab_size": 400},
    "char or unknown": {"kind": "char", "vocab_size": 400, "byte_fallback": False},
    "symbol": {"kind": "symbol", "vocab_size": 200},
}
EXACT = ["word or bytes", "bpe", "unigram", "char"]


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def train(kind, texts=TEXTS, **settings):
    return train_tokenizer(texts, **KINDS[kind] | settings)


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
    by_spaces = kind == "symbol" or kind.startswith("sentencepiece")
    pattern = r"\S+" if by_spaces else WORD
    for text in TEXTS:
        encoding = tokenizer(text, return_offsets_mapping=True)
        word_ids, offsets = encoding.word_ids(), encoding["offset_mapping"]
        assert word_ids[-1] is None
        spans = {}
        for word, (start, end) in zip(word_ids[:-1], offsets):
            if start < end:
                first, last = spans.get(word, (start, end))
                spans[word] = (min(first, start), max(last, end))
        found = [text[start:end] for _, (start, end) in sorted(spans.items())]
        if kind.startswith(("char", "sentencepiece")):  # in which the blank before a word belongs to it
            found = [part.removeprefix(" ") for part in found]
        assert found == regex.findall(pattern, text)


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
        "\x00\x7f\x01\x1b\x85\u2028\u200b\ufeff control",
        "\u1112\u1161\u11ab is not 한, and \ufb01 is no fi",
        "<0x41> ▁ Ġ \ufffd \U0010ffff are text",
        "",
    ],
)
@pytest.mark.parametrize("kind", EXACT)
def test_bytes_give_back_every_text(kind, text):
    tokenizer = train(kind)
    ids = tokenizer(text)["input_ids"]
    assert 3 not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == text
    assert tokenizer.batch_decode([ids], skip_special_tokens=True) == [text]


def test_any_character_comes_back():
    generator = random.Random(0)
    codes = generator.sample([*range(0xD800), *range(0xE000, 0x110000)], 5_000)  # without surrogates
    blanks = generator.choices([" ", "\n", "a", "é ", ""], k=250)
    texts = [blank.join(map(chr, codes[start::250])) for start, blank in enumerate(blanks)]
    for kind in EXACT:
        tokenizer = train(kind)
        assert tokenizer.batch_decode(tokenizer(texts)["input_ids"], skip_special_tokens=True) == texts


def test_a_word_or_its_bytes():
    tokenizer = train("word or bytes", ["a cat sat", "a cat"], vocab_size=262)
    assert tokenizer.tokenize("cat a cat") == ["c", "a", "t", "Ġ", "a", "Ġcat"]  # never seen: "cat", " a"
    assert tokenizer.tokenize(" sat é") == ["Ġsat", "Ġ", "Ã", "©"]
    assert len(tokenizer) == 262
    assert train("word or bytes", ["a cat sat", "a cat"], vocab_size=261).tokenize("cat sat") == list("catĠsat")


def test_a_character_or_its_bytes():
    tokenizer = train("char", ["aab"])
    assert tokenizer.tokenize("aé ") == ["a", "<0xC3>", "<0xA9>", "<0x20>"]
    assert tokenizer.get_vocab()["a"] == 260
    assert len(tokenizer) == 262


def test_a_character_or_unknown():
    tokenizer = train("char or unknown", ["aab"])
    assert tokenizer.tokenize("aéb") == ["a", "<unk>", "b"]
    assert len(tokenizer) == 6
    ids = tokenizer("b  ab")["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "bab"  # the unknown blank is lost, as the table says


def test_symbols_stand_between_blanks():
    tokenizer = train("symbol", ["K AE1 T", "AE1 K-T"])
    assert tokenizer.tokenize(" K-T  AE1\tB") == ["K-T", "AE1", "<unk>"]
    ids = tokenizer(" T   K\nAE1 ")["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "T K AE1"


def test_unigram_cuts_each_word_in_its_likeliest_way():
    tokenizer = train("unigram", TEXTS * 3)
    scores = dict(json.loads(tokenizer.backend_tokenizer.to_str())["model"]["vocab"])

    def score(tokens):
        return sum(scores.get(token, -math.inf) for token in tokens)

    words = ["it'", "isn", "est", "homme", "aujourd'", "Est-ce"]
    for word in words:
        cuts = itertools.product([False, True], repeat=len(word) - 1)  # whether to cut before the second letter, ...
        ways = ["".join(f" {c}" if cut else c for c, cut in zip(word, (False, *places))).split() for places in cuts]
        assert score(tokenizer.tokenize(word)) == pytest.approx(max(map(score, ways)))
    assert any(1 < len(tokenizer.tokenize(word)) < len(word) for word in words)


def test_unigram_without_its_trainer_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(ImportError, match="pip install sentencepiece"):
        train("unigram")


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
    ids = tokenizer("THE HOMME")["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == ("the" if kind == "symbol" else "the homme")


def test_training_is_repeatable_and_reads_a_generator(kind):
    first = train(kind)
    second = train(kind, (text for text in ["", *TEXTS, "  \n"]))
    assert first.backend_tokenizer.to_str() == second.backend_tokenizer.to_str()


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"sentencepiece", "sentencepiece or unknown"}))
def test_special_tokens_in_text_can_be_read_as_text(kind):
    tokenizer = train(kind, [*TEXTS, "< / s >"])
    assert tokenizer("a </s>")["input_ids"].count(2) == 2
    assert tokenizer("a </s>", split_special_tokens=True)["input_ids"].count(2) == 1


@pytest.mark.parametrize("lowercase", [False, True])
def test_symbols_that_are_called_like_special_tokens_are_symbols(lowercase):
    texts = ["<unk> K <unk> <unk>", "</s> T <pad> <s>x </S>"]
    tokenizer = train_tokenizer(texts, kind="symbol", vocab_size=50, lowercase=lowercase)
    assert tokenizer.convert_ids_to_tokens(range(4)) == ["<pad>", "<s>", "</s>", "<unk>"]
    assert sorted(tokenizer.get_vocab().values()) == list(range(len(tokenizer)))
    for text in texts:
        ids = tokenizer(text, split_special_tokens=True)["input_ids"]
        assert [index for index in ids if index < 4] == [2]
        expected = text.lower() if lowercase else text
        assert tokenizer.decode(ids, skip_special_tokens=True) == expected
    assert tokenizer("K </s> T")["input_ids"].count(2) == 2


@pytest.mark.parametrize("letters", [1000, 9000])
@pytest.mark.parametrize("alphabet", ["กขคงจฉชซ", "一二三四五", "𠀀𠀁𠀂"])  # three and four bytes a letter
def test_unigram_learns_from_long_runs_without_whitespace(letters, alphabet):
    run = (alphabet * letters)[:letters]
    tokenizer = train_tokenizer(["hello world"] * 5 + [run], kind="unigram", vocab_size=400)
    ids = tokenizer(run)["input_ids"]
    assert 3 not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == run
    assert len(ids) < letters  # and has learned more than bytes of them


@pytest.mark.parametrize("kind", ["bpe", "unigram", "char", "symbol"])
@pytest.mark.parametrize("shared", [True, False])
def test_a_recipe_reads_special_tokens_in_text_as_text(kind, shared, tmp_path):
    """A corpus with HTML in it ends no sentence where it strikes a price out."""
    text = "un <s>prix</s> <pad> <unk>"
    texts = [*TEXTS, text]
    tokenizer = train_tokenizer_for(TokenizerSettings(kind=kind, vocab_size=400, shared=shared), texts, texts)
    tokenizer.save_pretrained(tmp_path)
    for one in (tokenizer, AutoTokenizer.from_pretrained(tmp_path)):
        source, target = one(text)["input_ids"], one(text_target=text)["input_ids"]
        assert [index for index in source if index < 4] == [index for index in target if index < 4] == [2]
        assert one.source.decode(source, skip_special_tokens=True) == text
        assert one.decode(target, skip_special_tokens=True) == text
        if kind in ("bpe", "unigram"):
            drawn = SubwordSampler(one.target, 0.3)(text, 0)
            assert one.decode(drawn, skip_special_tokens=True) == text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "bpee"}, "Unknown tokenizer kind 'bpee': choose one of 'bpe', 'unigram', 'sentencepiece', 'word', "),
        ({"kind": "word", "vocab_size": 4}, "vocab_size is 4, but kind 'word' needs at least 5"),
        (
            {"kind": "word", "byte_fallback": True, "vocab_size": 100},
            "kind 'word' needs at least 260: 4 special tokens",
        ),
        ({"kind": "char", "vocab_size": 100}, "vocab_size is 100, but kind 'char' needs at least 260"),
        ({"kind": "unigram", "vocab_size": 259}, "vocab_size is 259, but kind 'unigram' needs at least 260"),
        ({"kind": "unigram", "min_frequency": 2}, "min_frequency is 2, but kind 'unigram' has no such limit"),
        ({"kind": "bpe", "byte_fallback": False}, "byte_fallback is false, but kind 'bpe' always works on bytes"),
        ({"kind": "symbol", "byte_fallback": True}, "byte_fallback is true, but kind 'symbol' has no byte fallback"),
        ({"kind": "bpe", "vocab_size": 259}, "vocab_size is 259, but kind 'bpe' needs at least 260"),
        ({"kind": "bpe", "min_frequency": 0}, "min_frequency is 0"),
        ({"kind": "bpe", "model_max_length": 0}, "model_max_length is 0"),
        ({"kind": "word", "texts": []}, "nothing to train"),
        ({"kind": "bpe", "texts": ["", " \n"]}, "nothing to train"),
        ({"kind": "word", "texts": ["a", "b", None]}, r"texts\[2\] is of type NoneType"),
        ({"kind": "bpe", "texts": ["a", b"b"]}, r"texts\[1\] is of type bytes"),
        ({"kind": "bpe", "texts": "one sentence"}, "texts is a single string"),
    ],
)
def test_bad_input_is_named_in_one_sentence(settings, message):
    settings = {"texts": TEXTS, "vocab_size": 300} | settings
    with pytest.raises(ValueError, match=message) as raised:
        train_tokenizer(settings.pop("texts"), **settings)
    assert "\n" not in str(raised.value)


SOURCES = ["CAT", "ACT", "TACK", " "]
TARGETS = ["K AE1 T", "AE1 K T", "", "T AE1 K"]


def test_a_shared_vocabulary_is_trained_on_both_sides():
    settings = TokenizerSettings(kind="bpe", vocab_size=300)
    tokenizer = train_tokenizer_for(settings, iter(TEXTS[:2]), iter(TEXTS[2:]), model_max_length=40)
    expected = train_tokenizer(TEXTS, kind="bpe", vocab_size=300, model_max_length=40)
    assert not tokenizer.has_two_vocabularies
    assert tokenizer.backend_tokenizer.to_str() == expected.backend_tokenizer.to_str()
    assert tokenizer.model_max_length == 40


def test_two_vocabularies_are_trained_each_on_its_side():
    settings = TokenizerSettings(
        kind="symbol", vocab_size=6, shared=False, source=SideSettings(kind="char", vocab_size=270, lowercase=True)
    )
    tokenizer = train_tokenizer_for(settings, iter(SOURCES), iter(TARGETS), model_max_length=40)
    for side, texts, fields in (
        (tokenizer.source, SOURCES, {"kind": "char", "vocab_size": 270, "lowercase": True}),
        (tokenizer.target, TARGETS, {"kind": "symbol", "vocab_size": 6}),
    ):
        expected = train_tokenizer(texts, **fields)
        assert side.backend_tokenizer.to_str() == expected.backend_tokenizer.to_str()
        assert side.model_max_length == 40
    assert [len(tokenizer), len(tokenizer.target)] == [264, 6]


def test_equal_settings_for_two_sides_give_two_vocabularies():
    tokenizer = train_tokenizer_for(TokenizerSettings(kind="word", shared=False), ["un chat"], ["a black cat"])
    assert [len(tokenizer), len(tokenizer.target)] == [6, 7]


@pytest.mark.parametrize(
    ("sources", "targets", "message"),
    [
        (["a", None], ["b"], r"sources\[1\] is of type NoneType"),
        (["a"], [" ", ""], "nothing to train the tokenizer on: all entries of targets are empty"),
        ("a", ["b"], "sources is a single string"),
    ],
)
@pytest.mark.parametrize("shared", [True, False])
def test_bad_texts_are_named_by_their_side(shared, sources, targets, message):
    with pytest.raises(ValueError, match=message):
        train_tokenizer_for(TokenizerSettings(kind="word", shared=shared), sources, targets)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "bpee"}, "kind='bpee'"),
        ({"vocab_siz": 100}, "Unknown field 'vocab_siz': did you mean 'vocab_size'?"),
        ({"vocab_size": 100}, "vocab_size is 100, but kind 'bpe' needs at least 260"),
        ({"target": {"kind": "word"}}, "'target' has separate settings, but the vocabulary is shared"),
        ({"shared": False, "target": {"vocab_size": 3}}, "target: vocab_size is 3, but kind 'bpe' needs"),
        ({"shared": False, "source": {"kin": "word"}}, "source: Unknown field 'kin': did you mean 'kind'?"),
        ({"sampling": 1.5}, "sampling is 1.5, but for kind 'bpe' it is a probability"),
        ({"sampling": -1, "kind": "unigram"}, "sampling is -1, but for kind 'unigram' it must be greater than 0"),
        ({"sampling": 0.1, "kind": "word"}, "sampling is 0.1, but kind 'word' has no subwords to sample"),
        (
            {"sampling": 0.1, "shared": False, "target": {"kind": "symbol"}},
            "target: sampling is 0.1, but kind 'symbol'",
        ),
    ],
)
def test_bad_settings_are_told_in_one_sentence(fields, message):
    with pytest.raises(ValueError, match=re.escape(message)) as raised:
        TokenizerSettings(**fields)
    assert "\n" not in str(raised.value)


def test_settings_come_back_from_what_is_written_of_them():
    settings = TokenizerSettings(kind="unigram", vocab_size=500, shared=False, target={"kind": "symbol"})
    assert TokenizerSettings(**settings.model_dump()) == settings


# Hash orders differ from process to process; the vocabulary must not.
TRAIN_AND_HASH = """
from tests.data.test_tokenizer_training import KINDS, TEXTS, hash_of, train_tokenizer
print(*[hash_of(train_tokenizer(TEXTS * 3, **fields)) for fields in KINDS.values()])
"""


def hash_of(tokenizer):
    return hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()


def test_training_is_repeatable_in_another_process():
    done = subprocess.run(
        [sys.executable, "-c", TRAIN_AND_HASH],
        capture_output=True,
        check=True,
        encoding="utf-8",
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )
    hashes = [hash_of(train_tokenizer(TEXTS * 3, **fields)) for fields in KINDS.values()]
    assert done.stdout.split() == hashes
    assert len(set(hashes)) == len(KINDS)
