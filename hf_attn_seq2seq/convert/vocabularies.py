# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Vocabularies of other toolkits as tokenizers, with the special tokens in the same places on both sides."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from hf_attn_seq2seq.messages import quoted, shortened
from hf_attn_seq2seq.tokenization_attn_seq2seq import AttnSeq2SeqTokenizer


EXCLUDED = -1e4  # a bias by which a token has probability 0, and which half precision holds
PAD, START, END, UNKNOWN = range(4)  # the ids of the special tokens here


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
    special = [(token, number) for number, token in enumerate(specials)]

    def side(tokens: list[str], around: str, apart: bool) -> Tokenizer:
        made = Tokenizer(models.WordLevel({token: number for number, token in enumerate(tokens)}, specials.unknown))
        made.pre_tokenizer = (
            pre_tokenizers.Split(Regex("."), "isolated") if apart else pre_tokenizers.WhitespaceSplit()
        )
        if apart:
            made.decoder = decoders.Fuse()
        made.post_processor = processors.TemplateProcessing(single=around, special_tokens=special)
        made.add_special_tokens(list(specials))
        return made

    first = side(source.tokens, template, characters[0])
    if normalizer is not None:
        first.normalizer = normalizer
    return AttnSeq2SeqTokenizer(
        tokenizer_object=first,
        target_tokenizer_object=side(target.tokens, f"$A {specials.end}", characters[1]),
        pad_token=specials.pad,
        bos_token=specials.start,
        eos_token=specials.end,
        unk_token=specials.unknown,
    )
