# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Tokenizers made of SentencePiece models split text as SentencePiece does, and become the models again."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from tokenizers import Tokenizer

from hf_attn_seq2seq.data.sentencepiece import (
    EOS,
    PAD,
    Kind,
    Piece,
    SentencePiece,
    of_tokenizer,
    read_sentencepiece,
    to_tokenizer,
    write_sentencepiece,
)


ROOT = Path(__file__).parents[2]
PAGES = [page.read_text("utf-8") for page in sorted((ROOT / "docs").glob("*.md"))]
TEXT = [line for page in PAGES for line in page.split("\n") if line.strip()]
OTHER = [
    "ﬁne  ｆｕｌｌ ①②  x",
    "日本語のテキスト",
    "Ünïcödé e\u0301a\u0300",
    "😀 👨‍👩‍👧 zürich",
    "  lead and trail  ",
    "tab\there",
    "a\u00a0b",
    "한국어 العربية हिन्दी ไทย",
    "ﷺ ½ ㍿ ℡ ¨´ \u200bzero",
    "",
    " ",
    "x __kept__ y__kept__z",
    "aaaa aaaaa aa a aaa ab aba abab ababa ------- ......",  # where pieces overlap themselves
]


def train(
    rule: str,
    byte_fallback: bool,
    pieces: int = 900,
    kind: str = "unigram",
    keep: Sequence[str] = ("__kept__",),
    **more: Any,
) -> bytes:
    proto = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT),
        model_writer=proto,
        vocab_size=pieces,
        model_type=kind,
        byte_fallback=byte_fallback,
        normalization_rule_name=rule,
        user_defined_symbols=list(keep),
        bos_id=-1,
        eos_id=0,
        unk_id=1,
        pad_id=-1,
        num_threads=1,
        minloglevel=2,
        **more,
    )
    return proto.getvalue()


CASES = {
    "unigram": {"rule": "nmt_nfkc", "byte_fallback": True},
    "unigram, unknown": {"rule": "nmt_nfkc_cf", "byte_fallback": False},
    "unigram, identity": {"rule": "identity", "byte_fallback": True},
    "bpe": {"rule": "nmt_nfkc", "byte_fallback": True, "kind": "bpe", "keep": ()},
    "bpe, unknown": {"rule": "nmt_nfkc_cf", "byte_fallback": False, "kind": "bpe", "keep": (), "pieces": 400},
    "bpe, identity": {
        "rule": "identity",
        "byte_fallback": False,
        "kind": "bpe",
        "keep": (),
        "split_by_whitespace": False,
    },
}


@pytest.fixture(scope="module", params=CASES)
def content(request: pytest.FixtureRequest) -> bytes:
    return train(**CASES[request.param])


def is_tied(line: str) -> bool:
    """Whether several segmentations have one score, or a special token is written there."""
    return "---" in line or any(token in line for token in ("<unk>", "</s>", "<s>", "<pad>", "<0x"))


def test_against_sentencepiece(content: bytes) -> None:
    """Ids and texts."""
    theirs = sentencepiece.SentencePieceProcessor(model_proto=content)
    tokenizer = to_tokenizer(read_sentencepiece(content, "it"), "it")
    compared = 0
    for line in [*TEXT[::3], *OTHER]:
        if is_tied(line):
            continue
        ids = theirs.encode(line)
        assert tokenizer.encode(line).ids == [*ids, 0], line
        assert tokenizer.decode([*ids, 0]) == theirs.decode(ids).replace(" ⁇ ", ""), line
        compared += 1
    assert compared > 300


def test_written_and_read_again(content: bytes) -> None:
    model = read_sentencepiece(content, "it")
    again = write_sentencepiece(model)
    assert read_sentencepiece(again, "it") == model
    theirs = [sentencepiece.SentencePieceProcessor(model_proto=each) for each in (content, again)]
    for line in [*TEXT[::7], *OTHER]:
        first, second = (each.encode(line) for each in theirs)
        assert first == second
    assert theirs[1].eos_id() == 0
    assert theirs[1].unk_id() == 1


def test_a_tokenizer_gives_its_model(content: bytes) -> None:
    model = read_sentencepiece(content, "it")
    found = of_tokenizer(to_tokenizer(model, "it"))
    assert found is not None
    assert found.type == model.type
    assert found.pieces[:-1] == model.pieces or model.number_of("__kept__", Kind.USER_DEFINED) is not None
    assert found.pieces[-1] == Piece(PAD, 0.0, Kind.CONTROL)
    theirs = [sentencepiece.SentencePieceProcessor(model_proto=each) for each in (content, write_sentencepiece(found))]
    for line in [*TEXT[::7], *OTHER]:
        if not is_tied(line):
            first, second = (each.encode(line) for each in theirs)
            assert first == second, line


def test_ids_in_common() -> None:
    """A smaller vocabulary gets the `<pad>` of the larger one."""
    model = read_sentencepiece(train("identity", False, 150, keep=()), "it")
    size = len(model.pieces)
    tokenizer = to_tokenizer(model, "it", size + 5)
    assert tokenizer.token_to_id(PAD) == size + 5 == tokenizer.get_vocab_size() - 1
    assert tokenizer.encode("the end").ids == to_tokenizer(model, "it").encode("the end").ids


PIECES = [Piece(EOS, 0.0, Kind.CONTROL), Piece("<unk>", 0.0, Kind.UNKNOWN), Piece("▁a", -1.0), Piece("b", -2.0)]


def test_bpe_models_that_no_tokenizer_can_be() -> None:
    letters = [*PIECES[:2], *(Piece(text, -9.0) for text in "abc")]
    for more, told in (
        ([Piece("kept", 0.0, Kind.USER_DEFINED)], "merges pieces, but keeps some symbols whole"),
        ([Piece("ab", -1.0), Piece("bc", -1.0)], "merges pieces of one score in the order of the text"),
        ([Piece("ad", -1.0)], "has pieces with characters that are none"),
    ):
        with pytest.raises(ValueError, match=f"'it.spm' {told}, so no tokenizer can split text as it does"):
            to_tokenizer(SentencePiece([*letters, *more], type="bpe"), "it.spm")


def test_bpe_of_another_origin_is_no_model() -> None:
    """One of the two ways to a piece is missing, so that SentencePiece would split otherwise."""
    letters = [*PIECES[:2], *(Piece(text, -9.0) for text in "abc")]
    merged = [Piece("ab", 0.0), Piece("bc", -1.0), Piece("abc", -2.0)]
    whole = to_tokenizer(SentencePiece([*letters, *merged], type="bpe"), "it")
    assert of_tokenizer(whole) is not None
    content = json.loads(whole.to_str())
    content["model"]["merges"].remove(["a", "bc"])
    assert of_tokenizer(Tokenizer.from_str(json.dumps(content))) is None


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (SentencePiece(PIECES, type="word"), "is of type 'word', not 'unigram' or 'bpe'"),
        (SentencePiece(PIECES, whitespace_as_suffix=True), "marks the ends of words"),
        (SentencePiece(PIECES, escape_whitespaces=False), "marks the ends of words"),
        (SentencePiece([*PIECES, Piece("c", 0.0, Kind.UNUSED)]), "has pieces that it never uses"),
        (SentencePiece(PIECES[:2]), "has no pieces"),
        (SentencePiece(PIECES[1:]), "has no piece '</s>'"),
        (SentencePiece([PIECES[0], *PIECES[2:]]), "has no piece '<unk>'"),
        (SentencePiece([*PIECES, Piece("<0x41>", 0.0, Kind.BYTE)]), "has 1 of the 256 bytes"),
    ],
)
def test_models_that_no_tokenizer_can_be(model: SentencePiece, told: str) -> None:
    with pytest.raises(ValueError, match=f"'it.spm' {told}.*, so no tokenizer can split text as it does"):
        to_tokenizer(model, "it.spm")


def test_files_that_are_none() -> None:
    whole = write_sentencepiece(SentencePiece(PIECES, charsmap=b"\x04\0\0\0abcd"))
    assert read_sentencepiece(whole, "it").charsmap == b"\x04\0\0\0abcd"
    broken = write_sentencepiece(SentencePiece(PIECES, charsmap=b"\xff\0\0\0abcd"))
    twice = write_sentencepiece(SentencePiece([*PIECES, PIECES[2]]))
    for content in (b"", b"text", bytes(50), b"\xff" * 50, broken, twice, whole[:20], whole[: len(whole) - 3]):
        with pytest.raises(ValueError, match="'it' is no SentencePiece model, or not whole"):
            read_sentencepiece(content, "it")
