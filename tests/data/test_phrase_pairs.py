# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Phrases found by word links: which are taken, how they are written, and how they are added to the pairs."""

import numpy as np
import pytest
from datasets import Dataset

from hf_attn_seq2seq.data.links import from_pharaoh
from hf_attn_seq2seq.data.phrase_pairs import PhrasePair, add_phrase_pairs, phrase_pairs
from hf_attn_seq2seq.data.words import cut_words


def corpus(*rows: tuple[str, str, str]) -> Dataset:
    return Dataset.from_dict(dict(zip(("source", "target", "alignment"), map(list, zip(*rows)))))


def found(*rows: tuple[str, str, str], times: int = 2) -> dict[str, str]:
    phrases = phrase_pairs(corpus(*rows * times), "cut")
    assert phrases == sorted(phrases)
    return {phrase.source: phrase.target for phrase in phrases}


def test_phrases_are_what_links_tie_to_each_other_and_to_nothing_else() -> None:
    row = ("my old dog sleeps.", "mon vieux chien dort.", "0-0 1-1 2-2 3-3 4-4")
    assert found(row) == {
        "my": "mon",
        "old": "vieux",
        "dog": "chien",
        "sleeps": "dort",
        "my old": "mon vieux",
        "old dog": "vieux chien",
        "dog sleeps": "chien dort",
        "my old dog": "mon vieux chien",
        "old dog sleeps": "vieux chien dort",
    }
    crossed = found(("a red car", "une voiture rouge", "0-0 1-2 2-1"))
    assert crossed == {"a": "une", "red": "rouge", "car": "voiture", "red car": "voiture rouge"} | {
        "a red car": "une voiture rouge"
    }
    assert found(("give up", "abandonne", "0-0 1-0")) == {"give up": "abandonne"}
    assert found(("the dog", "chien", "1-0")) == {"dog": "chien"}
    assert found(("a b c d", "w x y z", "0-0 1-1 2-2 3-3"))["b c d"] == "x y z"
    assert "a b c d" not in found(("a b c d", "w x y z", "0-0 1-1 2-2 3-3"))


def test_what_ends_or_begins_within_a_word_and_signs_are_no_phrases() -> None:
    assert found(("it's l'eau", "it's l'eau", "0-0 1-1 2-2 3-3")) == {
        "it's": "it's",
        "eau": "eau",
        "l'eau": "l'eau",
    }
    assert found(("yes, no", "oui, non", "0-0 1-1 2-2")) == {"yes": "oui", "no": "non"}
    assert found(("- .", "- .", "0-0 1-1")) == {}


def test_the_capital_of_a_beginning_is_left_out_where_a_word_is_written_small() -> None:
    rows = [("Dogs like Tom.", "Les chiens aiment Tom.", "0-1 1-2 2-3"), ("my dogs", "mes chiens", "0-0 1-1")]
    rows += [("Tom", "Tom", "0-0"), ("I", "Je", "0-0"), ("“Dogs", "chiens", "1-0")]
    phrases = phrase_pairs(corpus(*rows * 2), "cut")
    counted = {phrase.source: phrase.weight for phrase in phrases}
    assert counted["dogs"] == pytest.approx(6**0.5)
    assert counted["Tom"] == pytest.approx(4**0.5)
    assert "I" in counted
    assert "Dogs" not in counted


def test_rare_pairs_and_rare_translations_are_left_out() -> None:
    rows = [("bank", "banque", "0-0")] * 6 + [("bank", "rive", "0-0")] * 2 + [("bank", "banc", "0-0")]
    phrases = {phrase.target: phrase.weight for phrase in phrase_pairs(corpus(*rows), "cut")}
    assert phrases == {"banque": pytest.approx(3 * 6 / 9)}  # rive: 2 of 9, banc: once
    rows = [("it", "le", "0-0")] * 2 + [("the", "le", "0-0")] * 30
    assert {phrase.source for phrase in phrase_pairs(corpus(*rows), "cut")} == {"the"}


def test_rows_without_links_have_no_phrases() -> None:
    pairs = Dataset.from_dict({"source": ["a"] * 4, "target": ["b"] * 4, "alignment": [None, "", "0-0", "0-0"]})
    assert phrase_pairs(pairs, "whitespace") == [PhrasePair("a", "b", "0-0", 2**0.5)]


def test_phrases_are_added_in_three_forms_with_links_and_reproducibly() -> None:
    pairs = corpus(*[("the cat", "le chat", "0-0 1-1")] * 300).add_column("more", [0] * 300)
    phrases = phrase_pairs(pairs, "cut")
    made = add_phrase_pairs(pairs, phrases, 0.5, 0, "cut")
    assert len(made) == 450
    assert made.column_names == ["source", "target", "alignment"]
    assert made[:300] == pairs.select_columns(made.column_names)[:]
    added = made.select(range(300, 450))
    assert set(zip(added["source"], added["target"])) == {
        (source + stop, target + stop)
        for source, target in (("the", "le"), ("The", "Le"), ("cat", "chat"), ("Cat", "Chat"))
        for stop in ("", ".")
        if source[0].isupper() or not stop
    } | {("the cat", "le chat"), ("The cat", "Le chat"), ("The cat.", "Le chat.")}
    for row in added:
        words = [cut_words(row[name]).words() for name in ("source", "target")]
        assert {(words[0][i].lower(), words[1][j].lower()) for i, j in from_pharaoh(row["alignment"])} <= {
            ("the", "le"),
            ("cat", "chat"),
            (".", "."),
        }
        assert len(from_pharaoh(row["alignment"])) == len(words[0])
    one_word = np.mean([" " not in text for text in added["source"]])
    assert 0.35 < one_word < 0.65  # as many of one word as of two
    assert add_phrase_pairs(pairs, phrases, 0.5, 0, "cut")[:] == made[:]
    assert add_phrase_pairs(pairs, phrases, 0.5, 1, "cut")[:] != made[:]


def test_a_stop_is_a_word_of_its_own_where_whitespace_separates_words() -> None:
    pairs = corpus(*[("mat", "natte", "0-0")] * 60)
    added = add_phrase_pairs(pairs, phrase_pairs(pairs, "whitespace"), 1, 0, "whitespace").select(range(60, 120))
    assert set(zip(added["source"], added["target"], added["alignment"])) == {
        ("mat", "natte", "0-0"),
        ("Mat", "Natte", "0-0"),
        ("Mat .", "Natte .", "0-0 1-1"),
    }


def test_what_cannot_be_added_is_told() -> None:
    pairs = corpus(("a", "b", ""))
    with pytest.raises(ValueError, match="tie no phrase to another twice: leave out phrase_pairs_augmentation"):
        add_phrase_pairs(pairs, phrase_pairs(pairs, "cut"), 0.1, 0, "cut")
    with pytest.raises(ValueError, match="share=-1 must not be negative"):
        add_phrase_pairs(pairs, [PhrasePair("a", "b", "0-0", 1.0)], -1, 0, "cut")
