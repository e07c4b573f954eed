# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Marian's vocabularies of words: what they mean there, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from hf_attn_seq2seq.convert.marian_file import MarianFile
from hf_attn_seq2seq.convert.marian_vocabularies import Vocabulary, Words, read_side


def written(folder: Path, text: str, name: str = "vocab.yml") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def of(files: list[Path], source: int, target: int) -> Vocabulary:
    """The vocabularies of a model with so many rows of embeddings."""
    tensors = {"encoder_Wemb": np.zeros((source, 4)), "decoder_Wemb": np.zeros((target, 4))}
    return Vocabulary.of(files, MarianFile(tensors, {}, {}), "model.npz")


def test_words_are_read_as_they_are_written(tmp_path: Path) -> None:
    """What YAML takes for truth values, numbers, times, merges or nothing is a word here."""
    words = ["</s>", "<unk>", "no", "12", "1:30", "~", "<<", "=", "2024-01-01", "é", "a:", "\u2028", "0x1f"]
    quoted = '"</s>": 0\n<unk>: 1\nno: 2\n12: 3\n1:30: 4\n"~": 5\n"<<": 6\n"=": 7\n2024-01-01: 8\né: 9\n"a:": 10\n'
    found = read_side(written(tmp_path, quoted + '"\\L": 11\n0x1f: 12\n'))
    assert found == Words(dict(enumerate(words)))
    as_json = read_side(written(tmp_path, '{"</s>": 0, "<unk>": 1, "no": 2, "\\u00e9": 3}', "vocab.json"))
    assert as_json == Words(dict(enumerate(["</s>", "<unk>", "no", "é"])))
    in_lines = read_side(written(tmp_path, "</s>\r\n<unk>\r\nno\r\na b\r\n", "vocab.txt"))
    assert in_lines == Words(dict(enumerate(["</s>", "<unk>", "no", "a b"])))


def test_names_of_nematus(tmp_path: Path) -> None:
    """Ids 0 and 1 are the end and what is unknown, whether they have Nematus' names or none."""
    for text in ("eos: 0\nUNK: 1\na: 2\n", "a: 2\n", "</s>: 0\na: 2\n"):
        assert read_side(written(tmp_path, text)) == Words({0: "</s>", 1: "<unk>", 2: "a"})
    assert read_side(written(tmp_path, "b: 0\na: 1\n<unk>: 2\n</s>: 3\n")).by_id[3] == "</s>"


def test_ids_that_a_table_lacks_are_unknown(tmp_path: Path) -> None:
    """And those that no word has get names that no text has."""
    path = written(tmp_path, "eos: 0\nUNK: 1\na: 2\nb: 4\nc: 5\nd: 900000\n")
    tokenizer = of([path], 6, 6).tokenizer()
    assert tokenizer("a b  c d\tx").input_ids == [2, 4, 5, 1, 0]
    assert tokenizer.convert_ids_to_tokens([3, 6]) == ["<unused 3>", "<pad>"]
    assert tokenizer.decode([2, 4, 0, 6], skip_special_tokens=True) == "a b"


def test_two_vocabularies_have_one_number_of_ids(tmp_path: Path) -> None:
    files = [written(tmp_path, "</s>\n<unk>\na\n", "a.vocab"), written(tmp_path, "</s>\n<unk>\nb\nc\n", "b.vocab")]
    found = of(files, 3, 4)
    assert (found.rows, found.pad, found.start, found.end, found.unknown) == (5, 4, 4, 0, 1)
    tokenizer = found.tokenizer()
    assert tokenizer("a c", text_target="c a").labels == [3, 1, 0]
    assert "says nothing of how text is split" in found.told()[0]


def test_a_word_of_the_name_of_the_padding(tmp_path: Path) -> None:
    """It is a word like others."""
    found = of([written(tmp_path, "</s>\n<unk>\n<s>\n<pad>\n", "a.txt")], 4, 4)
    assert (found.pad, found.start) == (4, 4)
    tokenizer = found.tokenizer()
    assert (tokenizer.pad_token, tokenizer.pad_token_id) == ("<pad 1>", 4)
    assert tokenizer("<s> <pad>").input_ids == [2, 3, 0]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("v.yml", "[1, 2]", "is no vocabulary: name one that gives each word its id"),
        ("v.yml", "a: [0]\n", "is no vocabulary"),
        ("v.yml", "a: {", "is no vocabulary"),
        ("v.yml", "&a [*a, *a]: 0\n", "is no vocabulary"),
        ("v.yml", "a: -1\n", "gives 'a' the id -1, which is none"),
        ("v.yml", "a: 1e3\n", "gives 'a' the id 1e3, which is none"),
        ("v.yml", f"a: {10**30}\n", "which is none"),
        ("v.yml", "a: 2\nb: 2\n", "has the id 2 twice"),
        ("v.yml", "a: 2\na: 3\n", "has 'a' twice"),
        ("v.yml", "a: 0\nb: 1\n", "has no </s>, which Marian needs"),
        ("v.txt", "</s>\n<unk>\n\na\n", "has an empty line"),
        ("v.txt", "", "has an empty line"),
        ("v.txt", "</s>\n<unk>\na\na\n", "has 'a' twice"),
        ("v.txt", "</s>\na\n", "has no <unk>, which Marian needs"),
        ("v.vocab", "</s>\t0\n<unk>\t0\n▁a\t-1.5\n", r"lists pieces with their scores: name the \.spm"),
        ("v.fsv", "", "is a vocabulary with factors"),
    ],
)
def test_files_that_are_refused(name: str, text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=told) as error:
        read_side(written(tmp_path, text, name))
    assert "\n" not in str(error.value)


def test_no_text_and_other_models(tmp_path: Path) -> None:
    (tmp_path / "v.yml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="is no text"):
        read_side(tmp_path / "v.yml")
    with pytest.raises(ValueError, match=r"has 3 pieces and 'model\.npz' 5 rows for them"):
        of([written(tmp_path, "</s>\n<unk>\na\n", "a.txt")], 5, 5)
