# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
How many words of translations are in no word list and not in their source: put together from pieces by the model.

    python benchmarks/invented_words.py WORDS SOURCES TRANSLATIONS [TRANSLATIONS ...]

WORDS has a word a line, as /usr/share/dict/french of Debian's package wfrench; the other files have a text a line.
Capitals do not count, and œ is oe; a word with a hyphen or an apostrophe is known where it is listed or each of its
parts is known, and so is what stands before an apostrophe (l'eau). Words with digits are left out. Give the references
as the first translations: French forms of names are not listed either, so theirs is the share of a faultless system.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import regex


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the package, installed or not

from benchmarks.rounds import table
from hf_attn_seq2seq.data.readers import read_lines


_WORD = regex.compile(r"[\p{L}\p{M}\p{N}]+(?:[-'’][\p{L}\p{M}\p{N}]+)*")
_JOINT = regex.compile(r"[-'’]")
_BEFORE_APOSTROPHE = regex.compile(r"\p{L}+['’]")


class Found(NamedTuple):
    words: int
    invented: Counter[str]


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without those that have digits."""
    words = [_spelled(match.group()) for match in _WORD.finditer(text)]
    return [word for word in words if not any(letter.isdigit() for letter in word)]


def _spelled(word: str) -> str:
    """As lists spell it."""
    return word.lower().replace("’", "'").replace("œ", "oe")


def is_known(word: str, known: frozenset[str], source: frozenset[str]) -> bool:
    if word in known or word in source:
        return True
    rest = _BEFORE_APOSTROPHE.sub("", word)
    parts = [part for part in _JOINT.split(rest) if part]
    return all(part in known or part in source for part in parts)


def invented_words(texts: Iterable[str], sources: Iterable[str], known: frozenset[str]) -> Found:
    """How many words the texts have, and those that are neither known nor in the source of their text."""
    count, invented = 0, Counter[str]()
    for text, source in zip(texts, sources, strict=True):
        there = frozenset(part for word in words_of(source) for part in (word, *_JOINT.split(word)))
        words = words_of(text)
        count += len(words)
        invented.update(word for word in words if not is_known(word, known, there))
    return Found(count, invented)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", type=Path)
    parser.add_argument("sources", type=Path)
    parser.add_argument("translations", type=Path, nargs="+")
    parser.add_argument(
        "--show", type=int, default=10, help="of each file, so many of the most frequent (default: 10)"
    )
    parser.add_argument("--quick", action="store_true", help="a trial with the first hundred texts")
    options = parser.parse_args(arguments)
    most_texts = 100 if options.quick else None
    known = frozenset(_spelled(line.strip()) for line in read_lines(options.words))
    sources = [line.rstrip("\n") for line in read_lines(options.sources)]
    rows = []
    for path in options.translations:
        texts = [line.rstrip("\n") for line in read_lines(path)]
        if len(texts) != len(sources):
            parser.error(f"{path} has {len(texts)} lines and {options.sources} has {len(sources)}: give as many.")
        found = invented_words(texts[:most_texts], sources[:most_texts], known)
        invented = found.invented.total()
        most = ", ".join(f"{word} {count}" for word, count in found.invented.most_common(options.show))
        rows.append(
            [path.name, f"{found.words:,}", str(invented), f"{100 * invented / max(found.words, 1):.2f} %", most]
        )
    print(table(["file", "words", "invented", "share", "most frequent"], rows))


if __name__ == "__main__":
    main()
