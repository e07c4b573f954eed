# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Models of subwords by which another program split texts before a model saw them: SentencePiece's, and the codes of
subword-nmt and fastBPE (Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units"). A
tokenizer with one of them reads and writes whole text.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from hf_attn_seq2seq.convert.vocabularies import SPLIT_INTO, Side, Specials, pair_of, tokenizer_of, with_pieces
from hf_attn_seq2seq.data.sentencepiece import EOS, PAD, UNK, SentencePiece, read_sentencepiece, to_tokenizer
from hf_attn_seq2seq.messages import shortened
from hf_attn_seq2seq.tokenization_attn_seq2seq import AttnSeq2SeqTokenizer


VERSION = "#version:"  # begins the codes of subword-nmt
END_OF_WORD = "</w>"
WITHIN = "@@"  # behind a unit that does not end a word
BETWEEN_BLANKS = (
    "Its tokens are read between blanks: split text as for the training, by the same subword model, and join the "
    "output in the same way; or name that model by --vocab."
)


class Codes(NamedTuple):
    """The pairs of units that become one, those that are merged first at first."""

    merges: list[tuple[str, str]]


class Splitting(NamedTuple):
    """What splits the texts of both sides."""

    sides: list[Side]  # with the units that the vocabularies lack
    tokenizer: AttnSeq2SeqTokenizer
    told: list[str]


def read_subwords(path: Path) -> SentencePiece | Codes | None:
    """
    The model of subwords in a file; None: it holds none.

    Raises:
        ValueError: The file cannot be read, or is of subword-nmt's first format.
    """
    name = shortened(str(path))
    try:
        content = path.read_bytes()
    except OSError:
        raise ValueError(f"'{name}' cannot be read: name a SentencePiece model, or codes of subword-nmt.") from None
    try:
        return read_sentencepiece(content, name)
    except ValueError:
        pass
    try:
        lines = content.decode("utf-8").removesuffix("\n").split("\n")
    except UnicodeDecodeError:
        return None
    version = lines.pop(0).removeprefix(VERSION).split() if lines[0].startswith(VERSION) else []
    columns = [line.rstrip("\r ").split(" ") for line in lines]
    if version:
        if version != ["0.2"] or any(len(each) != 2 for each in columns):
            raise ValueError(f"'{name}' is not of subword-nmt's format 0.2: only that is read.")
    elif any(len(each) != 3 or not each[2].isdigit() for each in columns):
        return None
    return Codes(list(dict.fromkeys((left, right) for left, right, *_ in columns)))


def splitting_of(files: Sequence[Path], sides: Sequence[Side], specials: Specials, template: str) -> Splitting:
    """
    As [`split_by`], or between blanks where there are no files.

    Raises:
        ValueError: As there.
    """
    if files:
        return split_by(files, sides, specials, template)
    return Splitting(list(sides), tokenizer_of(sides[0], sides[1], specials, template), [BETWEEN_BLANKS])


def split_by(files: Sequence[Path], sides: Sequence[Side], specials: Specials, template: str) -> Splitting:
    """
    Tokenizers that split text as models of subwords do, for vocabularies of what they split it into.

    Args:
        files: One for both sides, or the source's and the target's.
        sides: The vocabularies of source and target.
        specials: Their special tokens.
        template: What is put around a source, such as "$A </s>".

    Raises:
        ValueError: A file is missing or of another kind, or no tokenizer can split text as it does.
    """
    if len(files) > 2:
        raise ValueError(f"{len(files)} models of subwords are too many: name one, or the source's and the target's.")
    specials = specials._replace(pad=PAD)
    found, tokenizers, told = [], [], []
    for side, file, around in zip(sides, [*files, files[0]], (template, f"$A {specials.end}")):
        model, name = read_subwords(file), shortened(str(file))
        if model is None:
            raise ValueError(
                f"'{name}' is neither a SentencePiece model nor codes of subword-nmt or fastBPE: name one, or leave "
                "--vocab out."
            )
        if PAD in side.tokens[len(specials) :]:
            raise ValueError(f"The vocabulary that '{name}' belongs to has {PAD} as a word, which is not read.")
        named = side._replace(tokens=[*specials, *side.tokens[len(specials) :]])
        if isinstance(model, Codes):
            whole, tokenizer = _by_codes(model, named, specials)
            told.append(f"Words between blanks are split by '{name}': tokenize and lower-case as for the training.")
        else:
            whole, tokenizer, others = _by_pieces(model, named, specials, name)
            if others:
                told.append(
                    f"{others} tokens of the vocabulary are no pieces of '{name}': where they stand in a text, it may "
                    "be split in another way than in the training."
                )
        special = [(token, number) for number, token in enumerate(specials)]
        tokenizer.post_processor = processors.TemplateProcessing(single=around, special_tokens=special)
        found.append(whole)
        tokenizers.append(tokenizer)
    return Splitting(found, pair_of(tokenizers[0], tokenizers[1], specials), list(dict.fromkeys(told)))


def _by_codes(codes: Codes, side: Side, specials: Specials) -> tuple[Side, Tokenizer]:
    """Units are named as in the codes: those that end a word have `</w>` behind them, instead of others `@@`."""

    def unit(token: str) -> str:
        return token.removesuffix(WITHIN) if token.endswith(WITHIN) and token != WITHIN else token + END_OF_WORD

    named = side._replace(tokens=[*specials, *(unit(token) for token in side.tokens[len(specials) :])])
    parts = (part for left, right in codes.merges for part in (left, right, left + right))
    whole = named.with_units(list(dict.fromkeys(parts)))
    numbers = {token: number for number, token in enumerate(whole.tokens)}
    tokenizer = Tokenizer(
        models.BPE(numbers, codes.merges, unk_token=specials.unknown, end_of_word_suffix=END_OF_WORD)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.BPEDecoder(END_OF_WORD)
    tokenizer.add_special_tokens(list(specials))
    return whole, tokenizer


def _by_pieces(model: SentencePiece, side: Side, specials: Specials, name: str) -> tuple[Side, Tokenizer, int]:
    """Also how many tokens are no pieces, such as characters that the model does not know."""
    if (specials.end, specials.unknown) != (EOS, UNK):
        raise ValueError(
            f"'{name}' cannot be used with {specials.end} and {specials.unknown}, only with {EOS} and {UNK}."
        )
    pieces = {piece.text for piece in model.pieces if piece.kind in SPLIT_INTO}
    others = sum(token not in pieces for token in side.tokens[len(specials) :])
    whole, split = with_pieces(side, model, restricted=False)
    return whole, to_tokenizer(split, name), others
