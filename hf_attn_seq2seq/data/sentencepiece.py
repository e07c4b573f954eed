# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
SentencePiece models (Kudo and Richardson 2018): their files, read and written without the sentencepiece package, and
tokenizers that split text into the same pieces.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable
from enum import IntEnum
from typing import Any, NamedTuple

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from hf_attn_seq2seq.messages import quoted
from hf_attn_seq2seq.protobuf import bytes_field, fields, fixed_field, number_field


SPACE = "\u2581"  # what stands for a space in pieces
EOS, UNK, PAD, BOS = "</s>", "<unk>", "<pad>", "<s>"
_TYPES = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}
_FLAGS = ("add_dummy_prefix", "remove_extra_whitespaces", "escape_whitespaces")  # fields 3, 4 and 5 of the rules


class Kind(IntEnum):
    """What a piece is."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


class Piece(NamedTuple):
    """One token; its id is its place."""

    text: str
    score: float  # its log probability, in a unigram model; of BPE, the higher the earlier it is merged
    kind: Kind = Kind.NORMAL


class SentencePiece(NamedTuple):
    """What a SentencePiece model holds of how text is split."""

    pieces: list[Piece]
    type: str = "unigram"
    charsmap: bytes = b""  # rules of normalization, compiled
    add_dummy_prefix: bool = True
    remove_extra_whitespaces: bool = True
    escape_whitespaces: bool = True
    whitespace_as_suffix: bool = False

    @property
    def size(self) -> int:
        return len(self.pieces)

    def number_of(self, text: str, kind: Kind) -> int | None:
        """The id of a piece."""
        for number, piece in enumerate(self.pieces):
            if piece.text == text and piece.kind == kind:
                return number
        return None


# --------------------------------------------------------------------------------------------------------------------
# Files
# --------------------------------------------------------------------------------------------------------------------


def read_sentencepiece(content: bytes, name: str) -> SentencePiece:
    """
    The model in a file.

    Args:
        content: The bytes of the file.
        name: What errors call it.

    Raises:
        ValueError: It is no such model, or cut off.
    """
    pieces: list[Piece] = []
    found: dict[str, Any] = {}
    try:
        for number, value in fields(memoryview(content)):
            if number == 1:
                part = dict(fields(value))
                (score,) = struct.unpack("<f", part.get(2, bytes(4)))
                pieces.append(Piece(bytes(part[1]).decode(), score, Kind(part.get(3, Kind.NORMAL))))
            elif number == 2:
                trainer = dict(fields(value))
                found |= {"type": _TYPES[trainer.get(3, 1)], "whitespace_as_suffix": bool(trainer.get(24, 0))}
            elif number == 3:
                rules = dict(fields(value))
                found |= {"charsmap": _checked(bytes(rules.get(2, b"")))}
                found |= {flag: bool(rules.get(place, 1)) for place, flag in enumerate(_FLAGS, start=3)}
    except (ValueError, KeyError, IndexError, TypeError, struct.error):
        pieces = []
    if not pieces or len({piece.text for piece in pieces}) < len(pieces):
        raise ValueError(f"'{name}' is no SentencePiece model, or not whole: name the .spm file that came with it.")
    return SentencePiece(pieces, **found)


def _checked(charsmap: bytes) -> bytes:
    """Rules that are cut off would end the process in the library that reads them."""
    size = int.from_bytes(charsmap[:4], "little")
    if charsmap and (len(charsmap) < 4 or size % 4 or 4 + size > len(charsmap)):
        raise ValueError("The rules are cut off.")
    return charsmap


def write_sentencepiece(model: SentencePiece) -> bytes:
    """The bytes of a model's file."""
    content = b""
    for piece in model.pieces:
        inner = bytes_field(1, piece.text.encode()) + fixed_field(2, struct.pack("<f", piece.score))
        content += bytes_field(1, inner + (number_field(3, piece.kind) if piece.kind != Kind.NORMAL else b""))
    numbers = {name: number for number, name in _TYPES.items()}
    trainer = number_field(3, numbers[model.type]) + number_field(24, int(model.whitespace_as_suffix))
    trainer += number_field(35, int(any(piece.kind == Kind.BYTE for piece in model.pieces)))
    special = ((40, UNK, Kind.UNKNOWN), (41, BOS, Kind.CONTROL), (42, EOS, Kind.CONTROL), (43, PAD, Kind.CONTROL))
    for place, text, kind in special:
        number = model.number_of(text, kind)
        trainer += number_field(place, -1 if number is None else number)
    rules = bytes_field(1, b"custom") + bytes_field(2, model.charsmap)
    for place, flag in enumerate(_FLAGS, start=3):
        rules += number_field(place, int(getattr(model, flag)))
    return content + bytes_field(2, trainer) + bytes_field(3, rules)


# --------------------------------------------------------------------------------------------------------------------
# Tokenizers
# --------------------------------------------------------------------------------------------------------------------


def to_tokenizer(model: SentencePiece, name: str, size: int | None = None) -> Tokenizer:
    """
    A tokenizer that splits text into the same pieces, with the same ids, and ends a text with `</s>`.

    Args:
        model: The model.
        name: What errors call it.
        size: How many ids there are before that of `<pad>`, which is put behind them where the model has none; None:
            as many as pieces.

    Raises:
        ValueError: It splits text in a way that no tokenizer can.
    """
    if reason := why_not(model):
        raise ValueError(f"'{name}' {reason}, so no tokenizer can split text as it does: use another vocabulary.")
    added = []
    if model.number_of(PAD, Kind.CONTROL) is None:
        # Ids that both sides of a model have, but this vocabulary lacks, get names that no text has.
        added = [f"<unused {number}>" for number in range(len(model.pieces), size or 0)] + [PAD]
    falls_back = any(piece.kind == Kind.BYTE for piece in model.pieces)
    tokenizer = Tokenizer(_SPLITTERS[model.type](model, added, falls_back))
    steps: list[Any] = [normalizers.Precompiled(model.charsmap)] if model.charsmap else []
    if model.remove_extra_whitespaces:
        steps += [normalizers.Replace(Regex("^ +| +$"), ""), normalizers.Replace(Regex(" {2,}"), " ")]
    tokenizer.normalizer = normalizers.Sequence([*steps, *_PREFIX[model.add_dummy_prefix]])
    normal = {piece.text for piece in model.pieces if piece.kind == Kind.NORMAL}
    # Words can be split one by one, which is faster, where a blank alone is a piece and none lies within a piece.
    apart = SPACE in normal and not any(SPACE in text[1:] for text in normal)
    if apart:
        tokenizer.pre_tokenizer = pre_tokenizers.Split(SPACE, "merged_with_next")
    parts = [decoders.Replace(SPACE, " "), *([decoders.ByteFallback()] if falls_back else []), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*parts, *([decoders.Strip(" ", 1, 0)] if model.add_dummy_prefix else [])])
    special = [EOS, UNK, PAD, *(piece.text for piece in model.pieces if piece.kind == Kind.CONTROL)]
    tokenizer.add_special_tokens([AddedToken(text, normalized=False) for text in dict.fromkeys(special)])
    end = tokenizer.token_to_id(EOS)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {EOS}", pair=f"$A {EOS} $B {EOS}", special_tokens=[(EOS, end)]
    )
    return tokenizer


def _unigram(model: SentencePiece, added: list[str], falls_back: bool) -> models.Model:
    """The likeliest pieces (Kudo 2018)."""
    scores = [piece.score for piece in model.pieces if piece.kind == Kind.NORMAL]
    # What is written of them in a text is no piece; a lower score would change that of unknown characters.
    least, most = min(scores), max(scores)
    vocabulary = [(piece.text, _score(piece, least, most)) for piece in model.pieces]
    vocabulary += [(text, least) for text in added]
    return models.Unigram(vocabulary, unk_id=model.number_of(UNK, Kind.UNKNOWN), byte_fallback=falls_back)


def _bpe(model: SentencePiece, added: list[str], falls_back: bool) -> models.Model:
    """Of the neighbours that are a piece together, those of the highest score become one, again and again."""
    numbers = {text: number for number, text in enumerate([*(piece.text for piece in model.pieces), *added])}
    parts = {piece.text for piece in model.pieces if piece.kind == Kind.NORMAL}
    merges = [
        (piece.text[:place], piece.text[place:])
        for piece in _merged(model)
        for place in range(1, len(piece.text))
        if piece.text[:place] in parts and piece.text[place:] in parts
    ]
    return models.BPE(vocab=numbers, merges=merges, unk_token=UNK, fuse_unk=True, byte_fallback=falls_back)


def _merged(model: SentencePiece) -> list[Piece]:
    """The pieces of more than one character, those that are merged first at first."""
    longer = [piece for piece in model.pieces if piece.kind == Kind.NORMAL and len(piece.text) > 1]
    return sorted(longer, key=lambda piece: -piece.score)


_SPLITTERS: dict[str, Callable[[SentencePiece, list[str], bool], models.Model]] = {"unigram": _unigram, "bpe": _bpe}
_PREFIX: dict[bool, list[Any]] = {
    True: [normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)],
    False: [normalizers.Replace(" ", SPACE)],
}


def _score(piece: Piece, least: float, most: float) -> float:
    if piece.kind == Kind.NORMAL:
        return piece.score
    if piece.kind == Kind.USER_DEFINED:
        return len(piece.text) * most - 0.1  # SentencePiece's own bonus, by which it is always chosen
    return least


def why_not(model: SentencePiece) -> str | None:
    """What a tokenizer cannot do, as the end of a sentence; None: nothing."""
    if model.type not in _SPLITTERS:
        return f"is of type '{model.type}', not {' or '.join(map(repr, _SPLITTERS))}"
    if model.whitespace_as_suffix or not model.escape_whitespaces:
        return "marks the ends of words instead of their beginnings"
    if any(piece.kind == Kind.UNUSED for piece in model.pieces):
        return "has pieces that it never uses"
    if not any(piece.kind == Kind.NORMAL for piece in model.pieces):
        return "has no pieces"
    for text, kind in ((EOS, Kind.CONTROL), (UNK, Kind.UNKNOWN)):
        if model.number_of(text, kind) is None:
            return f"has no piece {quoted(text)}"
    bytes_there = sum(piece.kind == Kind.BYTE for piece in model.pieces)
    if bytes_there not in (0, 256):
        return f"has {bytes_there} of the 256 bytes"
    return _why_not_bpe(model) if model.type == "bpe" else None


def _why_not_bpe(model: SentencePiece) -> str | None:
    if any(piece.kind == Kind.USER_DEFINED for piece in model.pieces):
        return "merges pieces, but keeps some symbols whole"
    merged = _merged(model)
    if len({piece.score for piece in merged}) < len(merged):
        return "merges pieces of one score in the order of the text"
    characters = {piece.text for piece in model.pieces if piece.kind == Kind.NORMAL}
    if any(not characters.issuperset(piece.text) for piece in merged):
        return "has pieces with characters that are none"
    return None


def of_tokenizer(tokenizer: Tokenizer) -> SentencePiece | None:
    """The model whose tokenizer [`to_tokenizer`] made, with `<pad>` as a piece; None if it made another."""
    content = json.loads(tokenizer.to_str())
    steps = _steps(content["normalizer"])
    escape = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    model = content["model"]
    if model["type"] not in _SCORED or escape not in steps:
        return None
    charsmap = [base64.b64decode(step["precompiled_charsmap"]) for step in steps if step["type"] == "Precompiled"]
    control = {token["content"] for token in content["added_tokens"] if token["special"]}
    byte_names = {f"<0x{byte:02X}>" for byte in range(256)} if model["byte_fallback"] else set()
    pieces = []
    for text, score in _SCORED[model["type"]](model):
        kind = Kind.NORMAL
        if text == UNK:
            kind = Kind.UNKNOWN
        elif text in control:
            kind = Kind.CONTROL
        elif text in byte_names:
            kind = Kind.BYTE
        pieces.append(Piece(text, score if kind == Kind.NORMAL else 0.0, kind))
    found = SentencePiece(
        pieces,
        type=model["type"].lower(),
        charsmap=b"".join(charsmap),
        add_dummy_prefix=any(step["type"] == "Prepend" for step in steps),
        remove_extra_whitespaces=any(step.get("pattern") == {"Regex": " {2,}"} for step in steps),
    )
    if found.type == "bpe" and (why_not(found) or json.loads(to_tokenizer(found, "it").to_str())["model"] != model):
        return None  # of another origin, which merges otherwise
    return found


def _of_unigram(model: dict[str, Any]) -> list[tuple[str, float]]:
    return [(text, score) for text, score in model["vocab"]]


def _of_bpe(model: dict[str, Any]) -> list[tuple[str, float]]:
    """Pieces with scores by which they are merged in the order of the tokenizer's rules, as SentencePiece gives."""
    order = dict.fromkeys(left + right for left, right in model["merges"])
    places = {text: place for place, text in enumerate([*order, *(text for text in model["vocab"] if len(text) == 1)])}
    by_number = sorted(model["vocab"], key=model["vocab"].__getitem__)
    return [(text, -float(places.get(text, 0))) for text in by_number]


_SCORED: dict[str, Callable[[dict[str, Any]], list[tuple[str, float]]]] = {"Unigram": _of_unigram, "BPE": _of_bpe}


def _steps(normalizer: Any) -> list[dict[str, Any]]:
    if normalizer is None:
        return []
    return list(normalizer["normalizers"]) if normalizer["type"] == "Sequence" else [normalizer]
