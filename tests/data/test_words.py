# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Words and where they lie: nothing but blanks changes, and tokens are shared out by characters."""

import numpy as np
import pytest

from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer
from hf_attn_seq2seq.data.words import (
    Words,
    cut_words,
    join_words,
    running_text,
    split_words,
    token_words,
    word_shares,
)


@pytest.mark.parametrize(
    ("language", "words", "text"),
    [
        ("en", "The Master Cat , or Puss ( in Boots ) .", "The Master Cat, or Puss (in Boots)."),
        ("en", "Do n't go ; he 's the king 's man !", "Don't go; he's the king's man!"),
        ("en", '" Well , " said he , " come in . "', '"Well," said he, "come in."'),
        ("en", "I don 't — you 'll see : 5 % …", "I don't — you'll see: 5%…"),
        ("en", "the captains ' map", "the captains ' map"),
        ("fr", "L' homme n’ a -t -il pas qu' un œil ?", "L'homme n’a-t-il pas qu'un œil ?"),
        ("fr", "« C' est vrai » , dit -elle ; oui …", "« C'est vrai », dit-elle ; oui…"),
        ("fr", 'un " mot " [ 1 ] - deux', 'un "mot" [1] - deux'),
    ],
)
def test_joined_words_read_as_running_text_and_are_found_again(language: str, words: str, text: str) -> None:
    joined = join_words(words.split(), language)
    assert joined.text == text
    assert joined.words() == words.split()


def test_joining_unusual_words_loses_nothing() -> None:
    for line in (". . .", "' ' '", '" " "', ") (", "-il - -", "a\u0301 ' s", "' s", '" a', "... ( \" ) ? 's"):
        for language in ("en", "fr"):
            assert join_words(line.split(), language).words() == line.split()


@pytest.mark.parametrize(
    ("words", "language", "message"),
    [
        (["a"], "de", "Words of language 'de' cannot be joined"),
        (["a", ""], "en", "Word 1 is ''"),
        (["a b"], "en", "Word 0 is 'a b'"),
    ],
)
def test_bad_words_to_join(words: list[str], language: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        join_words(words, language)


def test_running_text_is_joined_where_there_are_rules_for_it() -> None:
    assert running_text(["l'", "homme", "."], "fr").text == "l'homme."
    assert running_text(["der", "Mann", "."], "de").text == "der Mann ."


def test_words_of_running_text_and_words_between_blanks() -> None:
    text = " L'homme, dit-il."
    assert cut_words(text).words() == ["L'", "homme", ",", "dit-il", "."]
    assert split_words(text).words() == ["L'homme,", "dit-il."]
    assert split_words(text).spans == [(1, 9), (10, 17)]
    assert cut_words("  ").words() == split_words("  ").words() == []


def test_tokens_are_shared_by_characters() -> None:
    words = Words("king's dog ", [(0, 4), (4, 6), (7, 10)])
    # "king'" lies over king and 's, "s" in 's, " do" in dog without its blank, "g" in dog.
    shares = word_shares([(0, 5), (5, 6), (6, 9), (9, 10)], words)
    np.testing.assert_allclose(shares, [[0.8, 0.2, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]])
    assert token_words(shares) == [0, 1, 2, 2]


def test_a_token_of_blanks_goes_to_the_word_after_them() -> None:
    words = Words(" king's dog ", [(1, 5), (5, 7), (8, 11)])
    # With its blank, or cut to nothing at its end; after the last word there is none.
    assert token_words(word_shares([(0, 1), (1, 1), (7, 8), (8, 8), (11, 12), (12, 12)], words)) == [
        *(0, 0, 2, 2, None, None)
    ]
    assert token_words(word_shares([(0, 0)], words)) == [None]  # a special token


def test_shares_of_nothing() -> None:
    assert word_shares([(0, 0)], Words("", [])).shape == (1, 0)
    assert token_words(word_shares([(0, 0)], Words("", []))) == [None]
    assert word_shares([], cut_words("a b")).shape == (0, 2)


@pytest.mark.parametrize("kind", ["bpe", "word"])
def test_running_words_are_those_of_the_tokenizers(kind: str) -> None:
    texts = ["L'homme est-il là ?", "Oui, dit-elle : c'est « vrai »."]
    tokenizer = train_tokenizer(texts, kind=kind, vocab_size=300)
    for text in [*texts, "dit-elle zzz là"]:
        encoded = tokenizer(text, return_offsets_mapping=True)
        assert token_words(word_shares(encoded["offset_mapping"], cut_words(text))) == encoded.word_ids()


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("हिन्दी भाषा है", 3),  # vowel signs and viramas are marks
        ("ภาษาไทยนี้ดี", 1),
        ("مُحَمَّد رسول", 2),
        ("שָׁלוֹם", 1),
        ("cafe\u0301 noir", 2),
        ("don\u200dt", 3),
        ("Ich heiße Łukasz-Jan, oui?", 6),
        ("日本語 한국어!", 3),
        ("x² + 3½ = 𝒳 🙂", 6),
    ],
)
def test_words_of_other_scripts_are_those_of_the_tokenizers(text: str, count: int) -> None:
    tokenizer = train_tokenizer([text], kind="bpe", vocab_size=300)
    encoded = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    assert len(cut_words(text).spans) == count == len(set(encoded.word_ids()))
    assert token_words(word_shares(encoded["offset_mapping"], cut_words(text))) == encoded.word_ids()
