# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
How models of JoeyNMT read and write text: their vocabularies, and tokenizers that split as JoeyNMT 2 does (words,
characters, SentencePiece). What another program must split, such as subword-nmt, is read as tokens between blanks, and
so is all text by models of JoeyNMT 1, except characters.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers

from hf_attn_seq2seq.convert.options import Options
from hf_attn_seq2seq.convert.vocabularies import SPLIT_INTO, Side, Specials, pair_of, with_pieces, word_level
from hf_attn_seq2seq.data.sentencepiece import SPACE, SentencePiece, read_sentencepiece, to_tokenizer, why_not
from hf_attn_seq2seq.messages import shortened
from hf_attn_seq2seq.tokenization_attn_seq2seq import AttnSeq2SeqTokenizer


SIDES = {"src": "src_vocab.txt", "trg": "trg_vocab.txt"}
SPECIALS = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
LEVELS = {level: level for level in ("word", "char", "bpe")}
SPLITTERS = {name: name for name in ("sentencepiece", "subword-nmt")}
PRETOKENIZERS = {"none": False, "moses": True}
APART = "\ufdd0"  # no character, so that no token begins with it
MOSES = "Its text is tokenized by Moses first: do so too (sacremoses), and detokenize the output."
FIRST = "Its tokens are read between blanks: clean and split sources as for the training."
SUBWORD_NMT = "Its tokens are read between blanks: split sources by subword-nmt with its codes, as for the training."
SENTENCEPIECE = (
    "Its tokens are read between blanks: split sources by its SentencePiece model, as for the training, and join the "
    "output by it (the model {})."
)
# In this order (joeynmt.helpers).
QUOTES = {"’": "'", "“": '"', "”": '"'}
SPACES: tuple[tuple[Any, str], ...] = (
    ("\u200b", ""),
    (Regex("[ \u3000]+"), " "),
    *((f" {mark}", mark) for mark in "?!,.:"),
)


class Vocabulary(NamedTuple):
    """
    The tokens of one side.

    Attributes:
        side: In the order of the ids here, with the units that its SentencePiece model has beside them.
        file: Its name, for sentences.
        size: How many tokens it has.
        tags: The ids here of the tokens that are never chosen: languages, and what parts a prompt from a sentence.
    """

    side: Side
    file: str
    size: int
    tags: list[int]


class Text(NamedTuple):
    """Both sides."""

    vocabularies: list[Vocabulary]
    tokenizer: AttnSeq2SeqTokenizer
    told: list[str]


def read_text(options: Options, folder: Path, files: Sequence[Path]) -> Text:
    """
    How a model reads and writes text.

    Args:
        options: Its configuration.
        folder: Where its checkpoint lies.
        files: The source's and the target's vocabulary; none: those in the folder.

    Raises:
        ValueError: A file is missing or damaged, or text is read in a way that there is not here.
    """
    data = options.part("data")
    old = is_of_first_version(options)
    if not old and not all(isinstance(data.values.get(name), dict) for name in SIDES):
        raise ValueError(
            f"'{options.file}' is of no version of JoeyNMT that is read: data.src and data.trg say nothing."
        )
    files = files or [_beside(folder, name, data, old) for name in SIDES]
    if len(files) != 2:
        raise ValueError(f"{len(files)} vocabularies do not fit: name the source's and the target's by --vocab.")
    symbols = data.part("special_symbols")
    specials = Specials(*(symbols.get(name, default) for name, default in SPECIALS.items()))
    if len(set(specials)) < len(specials):
        raise ValueError(f"'{data.file}' gives two special tokens one name: get the file again.")
    vocabularies, tokenizers, told = [], [], []
    for name, file in zip(SIDES, files):
        vocabulary = _vocabulary(file, symbols, specials, old)
        if old:
            tokenizer, reasons = _reader_of_first_version(options, vocabulary, specials)
        else:
            vocabulary, tokenizer, reasons = _reader(data.part(name), vocabulary, specials, folder)
        vocabularies.append(vocabulary)
        tokenizers.append(tokenizer)
        told += reasons
    return Text(vocabularies, pair_of(tokenizers[0], tokenizers[1], specials), list(dict.fromkeys(told)))


def _beside(folder: Path, side: str, data: Options, old: bool) -> Path:
    """A side's vocabulary beside the checkpoint: that of the training, or of the name that the options give."""
    file = folder / SIDES[side]
    named = data.get(f"{side}_vocab", None, str) if old else data.part(side).get("voc_file", None, str)
    return file if os.path.isfile(file) or not named else folder / Path(named).name


def is_of_first_version(options: Options) -> bool:
    """Whether a configuration is of JoeyNMT 1, which names languages where JoeyNMT 2 has options of each side."""
    return all(isinstance(options.part("data").values.get(name), str) for name in SIDES)


def _vocabulary(file: Path, symbols: Options, specials: Specials, old: bool) -> Vocabulary:
    name = shortened(str(file))
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise ValueError(
            f"'{name}' cannot be read: name the source's and the target's vocabulary by --vocab."
        ) from None
    lines = text.removesuffix("\n").split("\n") if old else text.splitlines()
    parting, languages = symbols.get("sep_token", None, str), symbols.get("lang_tags", [])
    tags = [*([parting] if parting else []), *(tag for tag in languages if isinstance(tag, str))]
    first = (specials.unknown, specials.pad, specials.start, specials.end)  # whatever the order of the file is
    tokens = list(dict.fromkeys([*first, *tags, *lines]))
    side = Side.of(tokens, specials, str(file))
    return Vocabulary(side, name, len(tokens), [side.tokens.index(tag) for tag in dict.fromkeys(tags)])


def _reader(
    options: Options, vocabulary: Vocabulary, specials: Specials, folder: Path
) -> tuple[Vocabulary, Tokenizer, list[str]]:
    """The tokenizer of one side, its vocabulary with the units that it needs, and what a user should know."""
    if options.get("has_prompt", False):
        raise options.refuse("has_prompt", "prompts")
    level = options.choose("level", LEVELS, "", "level")
    settings = options.part("tokenizer_cfg")
    moses = settings.choose("pretokenizer", PRETOKENIZERS, "none", "pretokenizer")
    told = [MOSES] if moses else []
    # Where Moses comes between the two, text is lower-cased here alone.
    tidy = options.get("normalize", False) and not moses
    steps = _tidying() if tidy else []
    steps += _lowering(options)
    ends = _tidied() if tidy else []
    if level == "char":
        steps.append(normalizers.Replace(" ", SPACE))
        joined = [decoders.Replace(SPACE, " "), decoders.Fuse(), *ends]
        tokens = vocabulary.side.tokens
        made = word_level(tokens, specials, _split(Regex("."), "isolated"), _normalizer(steps), joined)
        return vocabulary, made, told
    between = _spaced()
    if level == "bpe":
        kind = options.choose("tokenizer_type", SPLITTERS, options.get("bpe_type", "sentencepiece"), "tokenizer_type")
        if kind == "sentencepiece":
            file = folder / Path(settings.get("model_file", "")).name
            model = _model_of_pieces(file, vocabulary, specials)
            if isinstance(model, SentencePiece):
                return *_pieces(model, shortened(str(file)), vocabulary, steps, ends), told
            told.append(SENTENCEPIECE.format(model))
        else:
            told.append(SUBWORD_NMT)
            mark = settings.get("separator", "@@")
            between += _merging(mark)
        steps = []  # what splits text does all that comes before
    made = word_level(vocabulary.side.tokens, specials, _split(" ", "removed"), _normalizer(steps), [*between, *ends])
    return vocabulary, made, told


def _reader_of_first_version(
    options: Options, vocabulary: Vocabulary, specials: Specials
) -> tuple[Tokenizer, list[str]]:
    """The tokenizer of one side, which has the options of both, and what a user should know."""
    data, testing = options.part("data"), options.part("testing")
    level, tokens = data.choose("level", LEVELS, "", "level"), vocabulary.side.tokens
    lowering = _lowering(data)
    if level == "char":
        cleaned = _normalizer([normalizers.Strip(), *lowering])
        return word_level(tokens, specials, _split(Regex("."), "isolated"), cleaned, [decoders.Fuse()]), []
    joined: list[Any] = []
    if level == "bpe" and testing.get("postprocess", True):
        if testing.choose("bpe_type", SPLITTERS, "subword-nmt", "bpe_type") == "sentencepiece":
            joined = [decoders.Replace(SPACE, " "), decoders.Fuse(), _stripped()]
        else:
            joined = [*_spaced(), *_merging("@@")]
    return word_level(tokens, specials, pre_tokenizers.WhitespaceSplit(), _normalizer(lowering), joined), [FIRST]


def _spaced() -> list[Any]:
    """Tokens as one text with blanks between them."""
    return [decoders.WordPiece(prefix=APART, cleanup=False), decoders.Fuse()]


def _merging(mark: str) -> list[Any]:
    """Parts of words, which end in a mark, as words."""
    return [decoders.Replace(f"{mark} ", ""), decoders.Replace(Regex(f"{_escaped(mark)}$"), "")]


def _lowering(options: Options) -> list[Any]:
    if not options.get("lowercase", False):
        return []
    # Lowercase looks at one letter at a time, but a sigma that ends a word has a form of its own.
    return [normalizers.Replace(Regex(r"(?<=\p{L})Σ(?!\p{L})"), "ς"), normalizers.Lowercase()]


def _stripped() -> decoders.Decoder:
    # Not decoders.Strip, which can end the process.
    return decoders.Replace(Regex(r"^\s+|\s+$"), "")


def _escaped(text: str) -> str:
    return "".join(f"\\x{{{ord(character):x}}}" for character in text)


def _split(pattern: Any, behavior: str) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Split(pattern, behavior)


def _normalizer(steps: list[Any]) -> normalizers.Normalizer | None:
    return normalizers.Sequence(steps) if steps else None


def _tidying() -> list[Any]:
    """What `normalize` does to text."""
    quotes = [normalizers.Replace(each, plain) for each, plain in QUOTES.items()]
    spaces = [normalizers.Replace(each, instead) for each, instead in SPACES]
    return [normalizers.NFKC(), *quotes, *spaces, normalizers.Strip()]


def _tidied() -> list[Any]:
    """What it does to a translation that is one text already."""
    return [*(decoders.Replace(each, instead) for each, instead in SPACES), _stripped()]


def _model_of_pieces(file: Path, vocabulary: Vocabulary, specials: Specials) -> SentencePiece | str:
    """The SentencePiece model in a file; or, as the end of a sentence, why no tokenizer can be made of it."""
    try:
        content = file.read_bytes()
    except OSError:
        return "is not beside the checkpoint"
    if specials != Specials() or vocabulary.tags:
        return "has other special tokens"
    model = read_sentencepiece(content, shortened(str(file)))
    known = {piece.text for piece in model.pieces if piece.kind in SPLIT_INTO}
    if not known.issuperset(vocabulary.side.tokens[len(specials) :]):
        return "lacks tokens of the vocabulary"
    side, ordered = with_pieces(vocabulary.side, model)
    if model.type == "bpe" and any(len(unit) > 1 for unit in side.tokens[len(vocabulary.side.tokens) :]):
        return "merges what the vocabulary lacks"
    return why_not(ordered) or model


def _pieces(
    model: SentencePiece, name: str, vocabulary: Vocabulary, steps: list[Any], ends: list[Any]
) -> tuple[Vocabulary, Tokenizer]:
    side, ordered = with_pieces(vocabulary.side, model)
    tokenizer = to_tokenizer(ordered, name)
    if steps:
        tokenizer.normalizer = normalizers.Sequence([*steps, tokenizer.normalizer])
    if ends:
        tokenizer.decoder = decoders.Sequence([tokenizer.decoder, *ends])
    return vocabulary._replace(side=side), tokenizer
