# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Every rule on its own: what it changes or drops, what it leaves alone, and that it can be left out."""

import pytest
from tokenizers import normalizers

from hf_attn_seq2seq.data import cleaning
from hf_attn_seq2seq.data.cleaning import Cleaner, tidying_steps
from hf_attn_seq2seq.data.settings import CleaningSettings


def cleaned(pairs, languages=(None, None), extra=None, links_of="cut", **rules):
    sources, targets = zip(*pairs)
    batch = {"source": list(sources), "target": list(targets), **(extra or {})}
    return Cleaner(CleaningSettings(**rules), languages, links_of)(batch)


@pytest.mark.parametrize(
    ("raw", "tidy", "bit", "rule"),
    [
        ("e\u0301te\u0301", "été", cleaning.UNICODE, "unicode_nfc"),
        ("\ufeffa\x00b\x7f\x9f", "ab", cleaning.CONTROL, "control_characters"),
        (" a\t b\u00a0\u2028c\x85 ", "a b c", cleaning.WHITESPACE, "whitespace"),
    ],
)
def test_tidying(raw, tidy, bit, rule):
    batch = cleaned([(raw, "x"), ("x", raw), (tidy, tidy)])
    assert batch["source"] == [tidy, "x", tidy]
    assert batch["target"] == ["x", tidy, tidy]
    assert batch["changed"] == [bit, bit, 0]
    assert batch["dropped"] == [cleaning.KEPT] * 3
    left = cleaned([(raw, "x")], **{rule: False})
    assert left["source"] == [raw]
    assert left["changed"] == [0]


@pytest.mark.parametrize("off", [None, "unicode_nfc", "control_characters", "whitespace"])
def test_a_tokenizer_tidies_in_the_same_way(off):
    rules = CleaningSettings(**({off: False} if off else {}))
    tidy, steps = Cleaner(rules).tidy, normalizers.Sequence(tidying_steps(rules))
    for character in map(chr, [*range(0x3100), 0xFEFF, 0xFB01, 0x1F3B8]):
        for text in (f"a{character}b", f" {character}e\u0301{character} {character}"):
            assert steps.normalize_str(text) == tidy(text, "source")[0], ascii(text)


def test_text_is_as_moses_makes_it_by_the_language_of_each_side():
    pairs = [("Don't go, Tom!", "N'y va pas, Tom !")]
    extra = {"references": [["« L'eau » !"]]}
    batch = cleaned(pairs, ("en", "fr"), extra, moses=True)
    assert (batch["source"], batch["target"]) == (["don 't go , tom !"], ["n' y va pas , tom !"])
    assert batch["references"] == [['" l\' eau " !']]
    assert batch["changed"] == [cleaning.MOSES]
    assert cleaned([("a .", "b .")], ("en", "fr"), moses=True)["changed"] == [0]
    linked = cleaned(pairs, ("en", "fr"), {"alignment": ["0-0"]}, moses=True)
    assert linked["dropped"] == [cleaning.ALIGNMENT]  # what the links count are other words now


def test_letters_with_joiners_stay():
    text = "👩‍👩‍👧 می‌خواهم क्‍ष co\u00adop"  # joiners and soft hyphens are part of how a word is written
    assert cleaned([(text, "x")])["source"] == [text]


@pytest.mark.parametrize(
    ("pair", "rule", "limits", "off"),
    [
        (("", "x"), cleaning.EMPTY, {}, None),
        (("x", " \u00a0\x00"), cleaning.EMPTY, {}, None),
        (("x" * 31, "y" * 30), cleaning.LENGTH, {"max_characters": 30}, {"max_characters": None}),
        (("a b c d", "w x y"), cleaning.LENGTH, {"max_words": 3}, {"max_words": None}),
        (("a", "y" * 24), cleaning.RATIO, {"max_ratio": 3}, {"max_ratio": None}),  # 34 > 3 * 11
        (("a", "Москва a"), cleaning.SCRIPT, {"target_scripts": "Latin"}, {"target_scripts": []}),
        (("東京タワー", "x"), cleaning.SCRIPT, {"source_scripts": ["Latin", "Greek"]}, None),
    ],
)
def test_dropping(pair, rule, limits, off):
    assert cleaned([pair], **limits)["dropped"] == [rule]
    if off is not None:
        assert cleaned([pair], **{**limits, **off})["dropped"] == [cleaning.KEPT]


@pytest.mark.parametrize(
    ("pair", "limits"),
    [
        (("x" * 30, "y" * 30), {"max_characters": 30}),
        (("a b c", "w x y"), {"max_words": 3}),
        (("a", "y" * 23), {"max_ratio": 3}),  # 33 = 3 * 11
        (("a", "Москва aaaaaa"), {"target_scripts": "Latin"}),  # half is enough
        (("1 + 1 = 2", "x"), {"source_scripts": "Han"}),  # no letters at all
        (("東京タワー", "x"), {"source_scripts": ["Han", "Hiragana", "Katakana"]}),
    ],
)
def test_what_just_fits_is_kept(pair, limits):
    assert cleaned([pair], **limits)["dropped"] == [cleaning.KEPT]


def test_the_defaults_keep_words_and_their_sounds():
    pairs = [("w", "D AH B AH L Y UW"), ("No.", "Il n'en est absolument pas question."), ("Hi", "嗨")]
    assert cleaned(pairs)["dropped"] == [cleaning.KEPT] * 3


def test_a_line_of_100000_characters_is_dropped_by_default():
    assert cleaned([("x" * 100_000, "y" * 100_000)])["dropped"] == [cleaning.LENGTH]


@pytest.mark.parametrize(("links_of", "apart"), [("cut", cleaning.ALIGNMENT), ("whitespace", cleaning.KEPT)])
def test_a_word_lost_to_control_characters_spoils_the_alignment(links_of, apart):
    pairs = [("a \x00 b", "x y z"), ("a\x00 b c", "x y z"), ("a \x00 b", "x y z"), ("cafe\u0301 b c", "x y z")]
    batch = cleaned(pairs, extra={"alignment": ["2-2", "2-2", None, "2-2"]}, links_of=links_of)
    assert batch["dropped"] == [cleaning.ALIGNMENT, apart, cleaning.KEPT, cleaning.KEPT]


def test_references_are_tidied_too():
    batch = cleaned([("a", "b"), ("a", "b")], extra={"references": [[" c  d", " "], None]})
    assert batch["references"] == [["c d"], None]


def test_hashes_are_of_the_tidied_text_alone():
    batch = cleaned([("a", "b"), (" a", "b "), ("b", "a")])
    assert batch["source_hash"][0] == batch["source_hash"][1] == batch["target_hash"][2]
    assert batch["target_hash"][0] == batch["target_hash"][1] != batch["source_hash"][0]


def test_validation_and_tests_are_only_tidied():
    rules = CleaningSettings(
        max_words=1, max_characters=1, max_ratio=1, source_scripts="Han", whitespace=False, language_certainty=0.1
    )
    kept = cleaning.tidied_only(rules)
    batch = Cleaner(kept)({"source": ["long  text", ""], "target": ["x", "y"]})
    assert batch["dropped"] == [cleaning.KEPT, cleaning.EMPTY]
    assert batch["source"] == ["long  text", ""]


def test_language_check():
    pytest.importorskip("py3langid")
    english = "The weather in the mountains was beautiful this morning."
    french = "Il faisait très beau ce matin dans les montagnes."
    pairs = [(english, french), (french, english), (english, english), ("OK", "OK")]
    batch = cleaned(pairs, languages=("en", "fr-CA"), language_certainty=0.9)
    assert batch["dropped"] == [cleaning.KEPT, cleaning.LANGUAGE, cleaning.LANGUAGE, cleaning.KEPT]
    with pytest.raises(ValueError, match="py3langid does not know the language 'tlh'"):
        cleaning.language_identifier(("en", "tlh"))


def test_language_check_without_its_package(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "py3langid.langid", None)
    with pytest.raises(ImportError, match="language_certainty needs py3langid"):
        cleaning.language_identifier(("en", "fr"))
