# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The `data` section of a recipe: what it takes, and what it says of what it does not."""

import re

import pytest

from hf_attn_seq2seq.data.settings import DataSettings, SourceSettings


TEXTS = {"source": "a.en", "target": "a.fr"}


def test_one_source_needs_no_list():
    data = DataSettings(train=TEXTS, validation={"file": "b.tsv"}, tests={"news": {"file": "c.jsonl"}})
    assert data.train == [SourceSettings(**TEXTS)]
    assert data.validation[0].file_format == "tsv"
    assert data.tests["news"][0].file_format == "jsonl"
    assert DataSettings(**data.model_dump(mode="json")) == data


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.tsv.gz", "tsv"),
        ("a.b.CSV", "csv"),
        ("a.tmx.xz", "tmx"),
        ("a.po.bz2", "po"),
        ("fr.po", "po"),
        ("a.parquet", "parquet"),
    ],
)
def test_the_name_tells_the_format(name, expected):
    assert SourceSettings(file=name).file_format == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train": {"fil": "a.tsv"}}, r"train\.0: Unknown field 'fil': did you mean 'file'\?"),
        (
            {"tests": {"x": {**TEXTS, "wieght": 2}}},
            r"tests\.x\.0: Unknown field 'wieght': did you mean 'weight'\?",
        ),
        ({"train": {}}, "this one has none of these"),
        ({"train": {**TEXTS, "grammar": {}, "hub": "x"}}, "this one has hub and grammar"),
        ({"train": {"source": "a.en"}}, "source and target go together"),
        ({"train": {"source": 0, "target": 1}}, "source and target go together"),
        ({"train": {"file": "corpus"}}, "The name corpus does not show the format"),
        ({"train": {**TEXTS, "delimiter": ";"}}, "delimiter is only for CSV"),
        ({"train": {"file": "a.tsv", "delimiter": ";"}}, "delimiter is only for CSV"),
        ({"train": {"file": "a.csv", "delimiter": '"'}}, "must be one character, such as ';'"),
        ({"train": {"file": "a.csv", "delimiter": "||"}}, "must be one character, such as ';'"),
        ({"train": {**TEXTS, "streaming": True}}, "streaming are only for hub datasets"),
        ({"train": {**TEXTS, "weight": 0}}, r"train\.0: weight=0"),
        ({"tests": {"train": TEXTS}}, "A test set cannot be called 'train'"),
        *[
            ({"tests": {name: TEXTS}}, f"A test set cannot be called {re.escape(repr(name))}: use at most 100 letters")
            for name in ("a/b", "a\\b", ".", "..", "../up", ".hidden", "work", "Work", "report.json", "bad-rows.tsv")
        ],
        *[
            ({"tests": {name: TEXTS}}, "A test set cannot be called .{1,202}: use at most 100 letters, digits")
            for name in ("", "a b", "a\nb", "a\x00", "Tokenizer", "é" * 60, "a" * 101, "a" * 1_000_000)
        ],
        ({"tests": {"News": TEXTS, "news": TEXTS}}, "Two test sets are called 'News', ignoring case"),
        ({"tests": {"a": []}}, "The test set 'a' has no source"),
        ({"validation": TEXTS, "validation_size": 5}, "leave out validation_size"),
        ({"tests": {"test": TEXTS}, "test_size": 5}, "leave out test_size"),
        ({"cleaning": {"language_certainty": 0.9}}, "needs source_language and target_language"),
        ({"cleaning": {"moses": True}}, "moses needs source_language and target_language"),
        (
            {"cleaning": {"moses": True}, "source_language": "en", "target_language": "xx"},
            "Moses has no rules for .*'xx'",
        ),
        ({"cleaning": {"source_scripts": "Latn1"}}, "'Latn1' is not a Unicode script"),
    ],
)
def test_wrong_settings_are_told_in_one_sentence(settings, message):
    with pytest.raises(ValueError, match=message) as raised:
        DataSettings(**settings)
    assert "\n" not in str(raised.value)
