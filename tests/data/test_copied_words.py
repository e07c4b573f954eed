# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
import unicodedata
from collections import Counter

import numpy as np
import pytest
from datasets import Dataset

from hf_attn_seq2seq.data.copied_words import CopiedWords, exchange_copied_words
from hf_attn_seq2seq.data.words import cut_words


PAIRS = [
    ("Ivo has 12 goats.", "Ivo a 12 chèvres."),
    ("Ada waits for Ugo.", "Ada attend Ugo."),
    ("I saw Mina's boat in 1907.", "J'ai vu le bateau de Mina en 1907."),
    ("Bruno and Bruno wait.", "Bruno attend."),
    ("Table 7 is free.", "Table 7 est libre."),
    ("The table is by Ada's door.", "La table est près de la porte d'Ada."),
]


@pytest.fixture
def pairs() -> Dataset:
    return Dataset.from_dict(
        {"source": [a for a, _ in PAIRS], "target": [b for _, b in PAIRS], "alignment": ["0-0"] * 6}
    )


def test_names_are_words_with_a_capital_on_both_sides_that_stand_nowhere_in_lower_case(pairs: Dataset) -> None:
    """`Table` is no name, for `table` is a word; `I` has one letter; `The` is on one side."""
    copied = CopiedWords(pairs)
    assert copied.names == {True: ["Ada", "Ivo", "Ugo"], False: ["Bruno", "Mina"]}


def test_what_both_sides_have_once_is_exchanged_on_both(pairs: Dataset) -> None:
    copied, random = CopiedWords(pairs), np.random.default_rng(0)
    seen = set()
    for _ in range(200):
        source, target = copied.replaced(*PAIRS[0], random)
        name, number = source.split()[0], source.split()[2]
        assert (source, target) == (f"{name} has {number} goats.", f"{name} a {number} chèvres.")
        assert name in copied.names[True]
        assert len(number) == 2
        assert number[0] != "0"
        seen.add(name)
        source, target = copied.replaced(*PAIRS[2], random)
        assert source.split()[2].removesuffix("'s") == target.split()[5] in copied.names[False]
    assert seen == {"Ada", "Ivo", "Ugo"}
    assert copied.replaced(*PAIRS[3], random) == PAIRS[3]  # twice on one side
    source, target = copied.replaced(*PAIRS[4], random)
    assert source == f"Table {source.split()[1]} is free."
    assert target == f"Table {source.split()[1]} est libre."


def test_a_share_of_the_pairs_is_exchanged_reproducibly_and_links_stay(pairs: Dataset) -> None:
    many = Dataset.from_dict({name: values * 100 for name, values in pairs.to_dict().items()})
    once, again = exchange_copied_words(many, 0.3, seed=1), exchange_copied_words(many, 0.3, seed=1)
    assert once.to_dict() == again.to_dict() != exchange_copied_words(many, 0.3, seed=2).to_dict()
    changed = [old != new for old, new in zip(many["source"], once["source"])]
    assert 0.15 < sum(changed) / len(changed) < 0.3  # a drawn name may be the same, and a pair without any stays
    assert list(once["alignment"]) == list(many["alignment"])
    assert exchange_copied_words(pairs, 0.0, seed=1).to_dict() == pairs.to_dict()
    with pytest.raises(ValueError, match=r"share=1.5 must be in \[0, 1\]"):
        exchange_copied_words(pairs, 1.5, seed=1)


def test_names_become_letters_and_signs_of_no_latin_text_and_stay_one_word(pairs: Dataset) -> None:
    copied, random = CopiedWords(pairs), np.random.default_rng(0)
    seen = Counter[str]()
    for _ in range(500):
        source, target = copied.replaced("Bruno waits.", "Bruno attend.", random, foreign=1.0)
        word = source.removesuffix(" waits.")
        assert target == f"{word} attend."
        assert len(cut_words(word).spans) == 1
        seen["sign" if len(word) == 1 and not word.isalpha() else unicodedata.name(word[0]).split()[0]] += 1
        source, target = copied.replaced(*PAIRS[2], random, foreign=1.0)
        assert len(cut_words(source).spans) == len(cut_words(PAIRS[2][0]).spans)
        curly = copied.replaced("Bruno’s boat", "bateau de Bruno", random, foreign=1.0)[1]
        assert curly.removeprefix("bateau de ").isalpha()
        assert copied.replaced(*PAIRS[0], random, foreign=1.0)[0].split()[0] in copied.names[True]
    alphabets = {"LATIN", "GREEK", "CYRILLIC", "HEBREW", "ARABIC", "HIRAGANA", "CJK", "HANGUL"}
    assert alphabets <= seen.keys()
    assert 150 < seen["sign"] < 350


def test_pairs_without_names_stay_as_they_are() -> None:
    pairs = Dataset.from_dict({"source": ["it rains", ""], "target": ["il pleut", ""]})
    assert exchange_copied_words(pairs, 1.0, seed=0).to_dict() == pairs.to_dict()
