# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Vocabularies of other toolkits as tokenizers, with the special tokens in the same places on both sides."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from hf_attn_seq2seq.data.sentencepiece import Kind, Piece, SentencePiece
from hf_attn_seq2seq.messages import quoted, shortened
from hf_attn_seq2seq.tokenization_attn_seq2seq import AttnSeq2SeqTokenizer


EXCLUDED = -1e4  # a bias by which a token has probability 0, and which half precision holds
PAD, START, END, UNKNOWN = range(4)  # the ids of the special tokens here
IDS: dict[str, Any] = {
    "pad_token_id": PAD,
    "bos_token_id": START,
    "decoder_start_token_id": START,
    "eos_token_id": END,
}


class Specials(NamedTuple):
    """The names of the special tokens; those that a vocabulary lacks are added, as tokens that never are chosen."""

    pad: str = "<pad>"
    start: str = "<s>"
    end: str = "</s>"
    unknown: str = "<unk>"


class Side(NamedTuple):
    """
    The tokens of one side in the order of the ids here, and the row that each has in the file; None: none.

    The last `unread` of them are none of the vocabulary, but units into which text is split: they are read as the
    unknown token, whose row they have.
    """

    tokens: list[str]
    rows: list[int | None]
    unread: int = 0

    @property
    def excluded(self) -> list[int]:
        """The ids that are never chosen, since the model has no output for them."""
        first = len(self.tokens) - self.unread
        return [number for number, row in enumerate(self.rows) if row is None or number >= first]

    def sized(self, rows: int) -> bool:
        """Whether a table of so many rows is that of this vocabulary."""
        return rows == sum(row is not None for row in self.rows[: len(self.rows) - self.unread])

    def with_units(self, units: Sequence[str]) -> Side:
        """With units that text is split into and this vocabulary lacks."""
        known = set(self.tokens)
        more = [unit for unit in units if unit not in known]
        return Side([*self.tokens, *more], [*self.rows, *[self.rows[UNKNOWN]] * len(more)], len(more))

    @classmethod
    def of(cls, tokens: Sequence[str], specials: Specials, file: str) -> Side:
        """
        Special tokens first, the others in their order.

        Raises:
            ValueError: A token stands there twice.
        """
        places: dict[str, int] = {}
        for place, token in enumerate(tokens):
            if token in places:
                raise ValueError(f"'{shortened(file)}' has {quoted(token)} twice: name another vocabulary.")
            places[token] = place
        others = [token for token in tokens if token not in specials]
        ordered = [*specials, *others]
        return cls(ordered, [places.get(token) for token in ordered])


def read_vocabulary(path: Path) -> list[str]:
    """
    Tokens by their ids: one a line, or a JSON list, or a JSON object from tokens to ids.

    Raises:
        ValueError: The file cannot be read, or its ids are not 0, 1, 2, ...
    """
    try:
        text = path.read_text("utf-8")
        found = json.loads(text) if path.suffix == ".json" else text.removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError):
        raise ValueError(f"'{shortened(str(path))}' cannot be read: name a vocabulary, one token a line.") from None
    except (ValueError, RecursionError):
        raise ValueError(f"'{shortened(str(path))}' is no JSON: name a list of tokens.") from None
    if isinstance(found, dict) and all(isinstance(number, int) for number in found.values()):
        if sorted(found.values()) != list(range(len(found))):
            raise ValueError(f"'{shortened(str(path))}' does not number its tokens 0, 1, 2, ...: name another file.")
        found = sorted(found, key=found.__getitem__)
    if not isinstance(found, list) or not all(isinstance(token, str) for token in found):
        raise ValueError(f"'{shortened(str(path))}' is no list of tokens: name one, a token a line.")
    return [token.removesuffix("\r") for token in found]


def tokenizer_of(
    source: Side,
    target: Side,
    specials: Specials,
    template: str,
    characters: tuple[bool, bool] = (False, False),
    normalizer: normalizers.Normalizer | None = None,
) -> AttnSeq2SeqTokenizer:
    """
    A tokenizer of words between blanks, or of characters.

    Args:
        source, target: The tokens of both sides.
        specials: Their special tokens.
        template: What is put around a source, such as "$A </s>"; a target always ends in the end token.
        characters: Whether sources, and targets, are made of characters.
        normalizer: What a source goes through first.
    """
    sides = []
    for side, apart, around in zip((source, target), characters, (template, f"$A {specials.end}")):
        splitter = pre_tokenizers.Split(Regex("."), "isolated") if apart else pre_tokenizers.WhitespaceSplit()
        joined = [decoders.Fuse()] if apart else []
        sides.append(word_level(side.tokens, specials, splitter, None, joined, around))
    if normalizer is not None:
        sides[0].normalizer = normalizer
    return pair_of(sides[0], sides[1], specials)


def word_level(
    tokens: Sequence[str],
    specials: Specials,
    splitter: pre_tokenizers.PreTokenizer,
    normalizer: normalizers.Normalizer | None = None,
    joined: Sequence[decoders.Decoder] = (),
    template: str | None = None,
) -> Tokenizer:
    """
    The tokenizer of one side whose tokens are what a text is split into.

    Args:
        tokens: In the order of their ids.
        specials: The first of them.
        splitter: What splits a text.
        normalizer: What a text goes through first.
        joined: How tokens become text; none: with blanks between them.
        template: What is put around a text; None: the end token behind it.
    """
    made = Tokenizer(models.WordLevel({token: number for number, token in enumerate(tokens)}, specials.unknown))
    made.pre_tokenizer = splitter
    if normalizer is not None:
        made.normalizer = normalizer
    if joined:
        made.decoder = decoders.Sequence(list(joined))
    special = [(token, number) for number, token in enumerate(specials)]
    made.post_processor = processors.TemplateProcessing(
        single=template or f"$A {specials.end}", special_tokens=special
    )
    made.add_special_tokens(list(specials))
    return made


def pair_of(source: Tokenizer, target: Tokenizer, specials: Specials) -> AttnSeq2SeqTokenizer:
    """The tokenizer of both sides."""
    return AttnSeq2SeqTokenizer(
        tokenizer_object=source,
        target_tokenizer_object=target,
        pad_token=specials.pad,
        bos_token=specials.start,
        eos_token=specials.end,
        unk_token=specials.unknown,
    )


SPLIT_INTO = (Kind.NORMAL, Kind.USER_DEFINED, Kind.BYTE)  # the pieces that text is split into


def with_pieces(side: Side, model: SentencePiece, restricted: bool = True) -> tuple[Side, SentencePiece]:
    """
    A vocabulary of other ids than those of the SentencePiece model that splits its text, and both as one: the side
    with the pieces that it lacks as units, and the model with its pieces in the order of the ids here.

    Pieces that the vocabulary lacks are read as the unknown token.

    Args:
        side: The vocabulary; a token that is no piece of the model is one of the lowest score.
        model: The model.
        restricted: Whether text is not split into pieces of several characters that the vocabulary lacks, as by
            `SentencePieceProcessor.SetVocabulary`.
    """
    known = {piece.text: piece for piece in model.pieces if piece.kind in SPLIT_INTO}
    tokens = set(side.tokens)
    units: list[Piece] = []
    for text, piece in known.items():
        if text not in tokens:
            never = restricted and piece.kind == Kind.NORMAL and len(text) > 1
            # Its score is one of those by which the model weighs unknown characters.
            units.append(piece._replace(text=f"<unused {len(units)}>") if never else piece)
    kinds = (Kind.CONTROL, Kind.CONTROL, Kind.CONTROL, Kind.UNKNOWN)
    special = [Piece(text, 0.0, kind) for text, kind in zip(side.tokens, kinds)]
    own = (known.get(token, Piece(token, 0.0, Kind.UNKNOWN)) for token in side.tokens[len(special) :])
    pieces = [*special, *own, *units]
    return side.with_units([piece.text for piece in units]), model._replace(pieces=pieces)
