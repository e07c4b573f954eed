# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Models of subwords in the tokenizers of converted models: the same rows of a table as the toolkits look up."""

import itertools
import json
from pathlib import Path

import pytest

from benchmarks.origins.prove import greedy
from hf_attn_seq2seq.convert.command import convert
from hf_attn_seq2seq.convert.subwords import Codes, Splitting, read_subwords, split_by
from hf_attn_seq2seq.convert.vocabularies import Side, Specials
from hf_attn_seq2seq.data.sentencepiece import SentencePiece, to_tokenizer


FILES = Path(__file__).parent
PIECES = FILES / "marian/source.spm"
SPECIALS = Specials("<blank>", "<s>", "</s>", "<unk>")
SPECIAL = ["<unk>", "<blank>", "<s>", "</s>"]  # in OpenNMT-py's order
CODES = "#version: 0.2\nl o\nlo w\nlo w</w>\ne r</w>\nn e\nne w\n"


def split(file: Path, tokens: list[str]) -> Splitting:
    sides = [Side.of([*SPECIAL, *tokens], SPECIALS, "it")] * 2
    return split_by([file], sides, SPECIALS, "$A")


def rows(splitting: Splitting, text: str) -> list[int | None]:
    return [splitting.sides[0].rows[number] for number in splitting.tokenizer(text)["input_ids"]]


def wanted(tokens: list[str], units: list[str]) -> list[int]:
    """What a toolkit looks up: unknown tokens have the first row."""
    return [len(SPECIAL) + tokens.index(unit) if unit in tokens else 0 for unit in units]


def test_pieces() -> None:
    model = read_subwords(PIECES)
    assert isinstance(model, SentencePiece)
    plain = to_tokenizer(model, "it")
    pieces = [piece.text for piece in model.pieces if piece.text not in ("<unk>", "</s>", "<s>", "<pad>")]
    tokens = ["\u2603", *pieces[:4:-2]]  # in another order, and not all of them
    splitting = split(PIECES, tokens)
    words = ["".join(pieces[place : place + 5]).replace("\u2581", " ").strip() for place in range(len(pieces))]
    for text in words:
        units = plain.encode(text, add_special_tokens=False).tokens
        assert rows(splitting, text) == wanted(tokens, units), text
    assert any(0 in rows(splitting, text) for text in words)
    assert rows(splitting, "\u2603")[-1] == len(SPECIAL)
    assert splitting.sides[0].excluded == list(range(len(SPECIAL) + len(tokens), len(splitting.sides[0].tokens)))
    assert "1 tokens of the vocabulary are no pieces" in splitting.told[0]
    text = next(text for text in words if text and 0 not in rows(splitting, text))
    target = splitting.tokenizer(text_target=text)["input_ids"]
    assert target[-1] == splitting.tokenizer.eos_token_id
    assert splitting.tokenizer.decode(target, skip_special_tokens=True) == text


def by_codes(merges: list[tuple[str, str]], word: str) -> list[str]:
    """As subword-nmt: of all pairs, that which comes first in the codes becomes one unit wherever it stands."""
    units = [*word[:-1], word[-1] + "</w>"]
    while pairs := [pair for pair in itertools.pairwise(units) if pair in merges]:
        best, merged = min(pairs, key=merges.index), []
        while units:
            step = 2 if tuple(units[:2]) == best else 1
            merged.append("".join(units[:step]))
            units = units[step:]
        units = merged
    return [unit.removesuffix("</w>") if unit.endswith("</w>") else f"{unit}@@" for unit in units]


def test_codes(tmp_path: Path) -> None:
    file = tmp_path / "codes"
    file.write_text(CODES)
    codes = read_subwords(file)
    assert isinstance(codes, Codes)
    tokens = ["er", "lo@@", "low", "low@@", "new@@", "l@@", "w@@", "n@@", "o", "e@@", "est@@"]
    splitting = split(file, tokens)
    text = "low lower newer new lowlow xlow oel slo\tlower"
    units = [unit for word in text.split() for unit in by_codes(codes.merges, word)]
    assert rows(splitting, text) == wanted(tokens, units)
    assert 0 in rows(splitting, text)
    assert splitting.tokenizer.decode(splitting.tokenizer(text_target="low lower newer")["input_ids"][:-1]) == (
        "low lower newer"
    )
    file.write_text("".join(f"{line} 7\n" for line in CODES.splitlines()[1:]))  # as fastBPE writes them
    assert read_subwords(file) == codes


def test_a_model_splits_text_by_codes(tmp_path: Path) -> None:
    recorded = json.loads((FILES / "opennmt/recorded.json").read_text("utf-8"))
    file = tmp_path / "codes"
    digits = [f"1 {digit}</w>" for digit in range(10)]
    whole = [f"{side} {number}</w>" for side in "st" for number in range(20)]
    file.write_text("\n".join(["#version: 0.2", *digits, *whole]) + "\n")
    converted = convert(FILES / "opennmt/transformer.pt", tmp_path / "out", [file])
    assert "Words between blanks are split by" in converted.told[0]
    pairs = list(zip(recorded["sentences"], recorded["texts"]["transformer"]))
    known = [pair for pair in pairs if "unheard" not in pair[0]]
    assert known
    found = greedy(tmp_path / "out", [source for source, _ in known], recorded["longest"])
    assert found == [text for _, text in known]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("#version: 0.1\na b\n", "is not of subword-nmt's format 0.2"),
        ("#version: 0.2\na b c\n", "is not of subword-nmt's format 0.2"),
        ("a b\n", "is neither a SentencePiece model nor codes"),
    ],
)
def test_bad_input(content: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "codes"
    file.write_text(content)
    with pytest.raises(ValueError, match=message):
        split(file, ["a"])
    with pytest.raises(ValueError, match="3 models of subwords are too many"):
        split_by([file] * 3, [], SPECIALS, "$A")
    with pytest.raises(ValueError, match="cannot be read: name a SentencePiece model"):
        split(tmp_path / "none", ["a"])
    with pytest.raises(ValueError, match="has <pad> as a word"):
        split(PIECES, ["<pad>"])
