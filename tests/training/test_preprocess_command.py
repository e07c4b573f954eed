# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The preprocess command: from a recipe to a corpus, its tokenizer and a table; errors as one sentence."""

import pytest
from transformers import AutoTokenizer

from hf_attn_seq2seq.data.prepare import PreparedCorpus
from hf_attn_seq2seq.training.preprocess import main


RECIPE = """
name: tiny
data:
  train: {file: pairs.tsv}
  validation_size: 5
tokenizer: {kind: word, vocab_size: 60}
"""


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "pairs.tsv").write_text("".join(f"sentence {i}\tphrase {i}\n" for i in range(30)) + "\tx\n")
    return [str(tmp_path / "recipe.yaml"), f"data.folder={tmp_path}", f"output={tmp_path / 'out'}"]


def test_a_recipe_becomes_a_corpus_and_a_tokenizer(recipe, tmp_path, capsys):
    main([*recipe, "data.cleaning.max_words=2"])
    corpus = PreparedCorpus.load(tmp_path / "out" / "corpus")
    assert {name: len(split) for name, split in corpus.splits.items()} == {"train": 25, "validation": 5}
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out" / "corpus" / "tokenizer")
    assert tokenizer.decode(tokenizer("sentence").input_ids, skip_special_tokens=True) == "sentence"
    shown = capsys.readouterr().out
    assert "empty_side: dropped" in shown
    assert str(tmp_path / "out" / "corpus" / "report.json") in shown


@pytest.mark.parametrize("kind", ["bpe", "unigram", "word", "char", "sentencepiece"])
@pytest.mark.parametrize("shared", ["true", "false"])
def test_what_training_tidied_is_read_tidily_later(recipe, tmp_path, kind, shared):
    main([*recipe, f"tokenizer.kind={kind}", "tokenizer.vocab_size=300", f"tokenizer.shared={shared}"])
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out" / "corpus" / "tokenizer")
    pasted = "\ufeff sentence\u00a07\t phrase\u202f 7 e\u0301te\u0301\u2028"
    for side in ("text", "text_target"):
        assert tokenizer(**{side: pasted}).input_ids == tokenizer(**{side: "sentence 7 phrase 7 été"}).input_ids
        (start, end), *_ = tokenizer(**{side: "\u00a0 sentence"}, return_offsets_mapping=True).offset_mapping
        assert "\u00a0 sentence"[start:end] == "sentence"[: end - start] != ""  # of the text as it was


def test_whitespace_that_training_keeps_stays(recipe, tmp_path):
    main([*recipe, "tokenizer.kind=char", "tokenizer.vocab_size=300", "data.cleaning.whitespace=false"])
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out" / "corpus" / "tokenizer")
    text = "sentence\u00a07  phrase "
    assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("data.train.file=nothing.tsv", "There is no file"),
        ("data.train.target=9", "10 columns are needed, but it has 2"),
        ("data.sead=1", "Unknown field 'sead': did you mean 'seed'?"),
    ],
)
def test_errors_are_one_sentence(recipe, capsys, override, sentence):
    with pytest.raises(SystemExit) as ended:
        main([*recipe, override])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert sentence in said
    assert said.count("\n") == 1
