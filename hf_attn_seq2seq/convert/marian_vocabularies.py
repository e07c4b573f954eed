# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Marian's vocabularies: SentencePiece models, and words between blanks with their ids, as YAML or one a line.

Marian's vocabulary has no padding, and its decoder starts from zeros. Here both are one more token, `<pad>`, whose row
of embeddings is zeros and which the bias of the output layer excludes.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import yaml
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors

from hf_attn_seq2seq.convert.marian_file import MarianFile
from hf_attn_seq2seq.data.sentencepiece import (
    BOS,
    EOS,
    PAD,
    UNK,
    Kind,
    SentencePiece,
    read_sentencepiece,
    to_tokenizer,
)
from hf_attn_seq2seq.messages import quoted, shortened
from hf_attn_seq2seq.tokenization_attn_seq2seq import AttnSeq2SeqTokenizer


IN_YAML, IN_LINES = (".yml", ".yaml", ".json"), (".txt", ".vocab")
_MOST = 1 << 24  # ids
_NEMATUS = {0: (EOS, "eos"), 1: (UNK, "UNK")}  # what these ids are, and how Nematus calls it


class Words(NamedTuple):
    """Words by their ids, which need not follow one another."""

    by_id: dict[int, str]

    @property
    def size(self) -> int:
        return max(self.by_id) + 1

    def cut(self, rows: int) -> Words:
        """Without what a table of so many rows has none for: Marian takes that for unknown."""
        return Words({number: word for number, word in self.by_id.items() if number < rows})

    def number_of(self, text: str, kind: Kind) -> int | None:
        """
        The id of the end or of what is unknown. Marian knows no other kinds: a word `<pad>` or `<s>`, which a model
        may write, is one like others.
        """
        if text not in (EOS, UNK):
            return None
        return next((number for number, word in self.by_id.items() if word == text), None)

    def tokenizer(self, pad: str, rows: int) -> Tokenizer:
        """
        A tokenizer of what stands between blanks, which ends a text with `</s>`.

        Args:
            pad: The name of one more token, with the last id.
            rows: How many ids there are before it.
        """
        names = {self.by_id.get(number, f"<unused {number}>"): number for number in range(rows)} | {pad: rows}
        made = Tokenizer(models.WordLevel(names, UNK))
        made.pre_tokenizer = pre_tokenizers.Split(" ", "removed")
        made.add_special_tokens([AddedToken(text, normalized=False) for text in (EOS, UNK, pad)])
        made.post_processor = processors.TemplateProcessing(
            single=f"$A {EOS}", pair=f"$A {EOS} $B {EOS}", special_tokens=[(EOS, names[EOS])]
        )
        return made

    @classmethod
    def of_tokenizer(cls, tokenizer: Tokenizer) -> Words | None:
        """The words whose tokenizer [`tokenizer`] made; None if it made another."""
        content = json.loads(tokenizer.to_str())
        usual = json.loads(cls({0: EOS, 1: UNK}).tokenizer(PAD, 2).to_str())
        if content["model"]["type"] != "WordLevel" or any(content[part] != usual[part] for part in _PARTS):
            return None
        words = {number: word for word, number in content["model"]["vocab"].items()}
        words.pop(max(words))  # the padding
        return cls({number: word for number, word in sorted(words.items()) if word != f"<unused {number}>"})

    def to_yaml(self) -> bytes:
        """The bytes of a vocabulary's file, `.yml`."""
        numbers = {word: number for number, word in self.by_id.items()}
        return yaml.safe_dump(numbers, allow_unicode=True, sort_keys=False).encode()


_PARTS = ("normalizer", "pre_tokenizer", "decoder")


def read_side(file: Path) -> SentencePiece | Words:
    """
    A vocabulary, by the end of its file's name as in Marian.

    Raises:
        ValueError: It cannot be read, is damaged, or of a kind that there is not here.
    """
    if file.suffix == ".fsv":
        raise ValueError(f"'{file}' is a vocabulary with factors, which there are not here: name another model.")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ValueError(f"'{file}' cannot be read ({error.strerror}): name a vocabulary, .spm or .yml.") from None
    if file.suffix in (*IN_YAML, *IN_LINES):
        read = _in_yaml if file.suffix in IN_YAML else _in_lines
        try:
            words = read(content.decode(), str(file))
        except UnicodeDecodeError:
            raise ValueError(f"'{file}' is no text: name a vocabulary, .spm or .yml.") from None
        for text in (EOS, UNK):
            if words.number_of(text, Kind.NORMAL) is None:
                raise ValueError(f"'{file}' has no {text}, which Marian needs: name another vocabulary.")
        return words
    return read_sentencepiece(content, str(file))


def _in_yaml(text: str, name: str) -> Words:
    """Words and ids as a mapping, as they are written there: `no` and `12` are words too."""
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        node = yaml.compose(text, Loader=loader)
    except (yaml.YAMLError, RecursionError, ValueError):
        node = None
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    if not pairs or not all(isinstance(each, yaml.ScalarNode) for pair in pairs for each in pair):
        raise ValueError(f"'{name}' is no vocabulary: name one that gives each word its id.")
    found: dict[int, str] = {}
    for key, value in pairs:
        number = int(value.value) if value.value.isascii() and value.value.isdigit() else _MOST
        if number >= _MOST:
            raise ValueError(f"'{name}' gives {quoted(key.value)} the id {shortened(value.value)}, which is none.")
        if number in found:
            raise ValueError(f"'{name}' has the id {number} twice: name another vocabulary.")
        found[number] = key.value
    for number, (word, nematus) in _NEMATUS.items():
        if found.get(number, nematus) == nematus:
            found[number] = word
    return _distinct(found, name)


def _in_lines(text: str, name: str) -> Words:
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    if all("\t" in line for line in lines):
        raise ValueError(f"'{name}' lists pieces with their scores: name the .spm or .model file that it came with.")
    if not all(lines):
        raise ValueError(f"'{name}' has an empty line: name a vocabulary, a word a line.")
    return _distinct(dict(enumerate(lines)), name)


def _distinct(found: dict[int, str], name: str) -> Words:
    seen: set[str] = set()
    for word in found.values():
        if word in seen:
            raise ValueError(f"'{shortened(name)}' has {quoted(word)} twice: name another vocabulary.")
        seen.add(word)
    return Words(found)


class Vocabulary(NamedTuple):
    """The vocabularies of both sides, which have one number of ids here."""

    sides: list[SentencePiece | Words]  # one, or the source's and the target's
    names: list[str]  # of their files
    sizes: tuple[int, int]  # of the source's and the target's tables in the file
    rows: int  # of the tables here
    pad: int
    start: int
    end: int
    unknown: int

    @classmethod
    def of(cls, files: Sequence[Path], found: MarianFile, name: str) -> Vocabulary:
        """
        The vocabularies in files.

        Raises:
            ValueError: One cannot be read, or does not belong to the model.
        """
        sides = [read_side(file) for file in files]
        if len(sides) == 2 and sides[0] == sides[1]:
            sides, files = sides[:1], files[:1]
        tables = [found.tensors.get(f"{side}_Wemb", found.tensors.get("Wemb")) for side in ("encoder", "decoder")]
        if any(table is None or table.ndim != 2 for table in tables):
            raise ValueError(f"'{name}' holds no table of embeddings (Wemb): get the file again.")
        sizes = tuple(len(table) for table in tables if table is not None)
        for side, file, size in zip(itertools.cycle(sides), itertools.cycle(files), sizes):
            pieces = min(side.size, size) if isinstance(side, Words) else side.size
            if pieces != size:
                raise ValueError(
                    f"'{file}' has {pieces} pieces and '{name}' {size} rows for them: name the vocabulary that "
                    "belongs to the model."
                )
        sides = [side.cut(size) if isinstance(side, Words) else side for side, size in zip(sides, sizes)]
        ids = {}
        for text, kind in ((EOS, Kind.CONTROL), (UNK, Kind.UNKNOWN), (PAD, Kind.CONTROL), (BOS, Kind.CONTROL)):
            numbers = {side.number_of(text, kind) for side in sides}
            if len(numbers) > 1:
                raise ValueError(f"{quoted(text)} has another id in the source's vocabulary than in the target's.")
            ids[text] = numbers.pop()
        if ids[EOS] is None or ids[UNK] is None:
            raise ValueError(f"'{files[0]}' has no {EOS} or no {UNK}, which Marian needs: name another vocabulary.")
        largest = max(sizes)
        pad = ids[PAD]
        rows = largest + (pad is None)
        if pad is None:
            pad = largest
        start = pad if ids[BOS] is None else ids[BOS]
        return cls(sides, [str(file) for file in files], (sizes[0], sizes[1]), rows, pad, start, ids[EOS], ids[UNK])

    def tokenizer(self) -> AttnSeq2SeqTokenizer:
        """The tokenizer of both sides."""
        words = {word for side in self.sides if isinstance(side, Words) for word in side.by_id.values()}
        names = itertools.chain([PAD], (f"<pad {number}>" for number in itertools.count(1)))
        pad = next(name for name in names if name not in words)
        made: list[Tokenizer] = [
            side.tokenizer(pad, self.rows - 1) if isinstance(side, Words) else to_tokenizer(side, name, self.rows - 1)
            for side, name in zip(self.sides, self.names)
        ]
        target = {"target_tokenizer_object": made[1]} if len(made) == 2 else {}
        return AttnSeq2SeqTokenizer(
            tokenizer_object=made[0],
            **target,
            pad_token=pad,
            bos_token=made[0].id_to_token(self.start),
            eos_token=EOS,
            unk_token=UNK,
        )

    def told(self) -> list[str]:
        """What is worth telling."""
        files = [name for side, name in zip(self.sides, self.names) if isinstance(side, Words)]
        if not files:
            return []
        return [
            f"'{files[0]}' lists words between blanks and says nothing of how text is split into them: split texts as "
            "they were for training."
        ]
