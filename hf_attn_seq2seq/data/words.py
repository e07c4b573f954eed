# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""A text and the spans of its words, so that what a model does with tokens can be expressed in words.

Word alignments count words, models see tokens, and their boundaries may differ: gold alignments come with tokenized
text (`l' homme .`), while models are trained on text as people write it (`l'homme.`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import regex

from hf_attn_seq2seq.messages import quoted


# A word may contain hyphens and includes a final apostrophe (l'homme is l' and homme, Est-ce is one word); any other
# character that is not whitespace is a word by itself. Letters, marks (हिन्दी is one word), numbers and connectors are
# listed explicitly, because Python and the tokenizers' Oniguruma disagree about \w.
_IN_WORDS = r"\p{L}\p{M}\p{N}\p{Pc}"
WORD = rf"[{_IN_WORDS}]+(?:-[{_IN_WORDS}]+)*['’]?|[^{_IN_WORDS}\s]"
_WORD = regex.compile(WORD)
_NOT_BLANK = re.compile(r"\S+")

# Spaces that tokenized text has and running text does not. Removed in this order.
_EVERYWHERE = [
    r" (?=[.,…)\]}])",  # word . -> word.
    r"(?<=[(\[{]) ",  # ( word -> (word
    r"(?<=\w) (?=-\w)",  # dit -il -> dit-il
]
_BLANKS = {
    "en": [*_EVERYWHERE, r" (?=[?!;:%])", r"(?<=\w) (?=(?:['’](?:s|t|m|d|n|re|ve|ll)|n['’]t)\b)"],
    "fr": [*_EVERYWHERE, r"(?<=\w['’]) (?=\w)"],  # l' homme -> l'homme; ? ! ; : « » keep their spaces
}
_BETWEEN_QUOTES = re.compile(r'(")([^"]*)(")')


class Words(NamedTuple):
    """A text and the spans of its words, in order: word `i` is `text[start:end]` with `(start, end) = spans[i]`."""

    text: str
    spans: list[tuple[int, int]]

    def words(self) -> list[str]:
        return [self.text[start:end] for start, end in self.spans]


def cut_words(text: str) -> Words:
    """Words of running text as the tokenizers of this package cut them (`WORD`): `l'homme.` is `l'`, `homme`, `.`."""
    return Words(text, [match.span() for match in _WORD.finditer(text)])


def split_words(text: str) -> Words:
    """The words of a text, separated by whitespace."""
    return Words(text, [match.span() for match in _NOT_BLANK.finditer(text)])


# Which words links can count: as `cut_words` finds them, or separated by whitespace.
WordKind = Literal["cut", "whitespace"]
WORDS = {"cut": cut_words, "whitespace": split_words}


def count_words(text: str, kind: WordKind) -> int:
    """The number of words of that kind in the text."""
    return len(WORDS[kind](text).spans)


def join_words(words: Sequence[str], language: str) -> Words:
    """Detokenizes words to running text: leaves out the spaces that `language` does not write.

    There is no space before `.` `,` `…`, inside brackets and straight double quotes, or before a part that starts with
    a hyphen (`dit -il`). English has none before `?` `!` `;` `:` either, nor before `'s` and the like; French has none
    after an apostrophe (`l' homme`). Only spaces change, so each word can be located in the text.

    Args:
        words: words without whitespace, such as `["l'", "homme", "."]`.
        language: `"en"` or `"fr"`; for other languages use `split_words` on the tokenized text.

    Raises:
        ValueError: for a language without rules, or a word that is empty or contains whitespace.
    """
    if language not in _BLANKS:
        raise ValueError(f"Words of language {quoted(language)} cannot be joined: choose 'en' or 'fr'.")
    for index, word in enumerate(words):
        if not _NOT_BLANK.fullmatch(word):
            raise ValueError(f"Word {index} is {quoted(word)}, but a word must not be empty or contain whitespace.")
    text = _BETWEEN_QUOTES.sub(lambda match: match[1] + match[2].strip(" ") + match[3], " ".join(words))
    for blank in _BLANKS[language]:
        text = re.sub(blank, "", text)
    spans = []
    end = 0
    for word in words:
        start = text.index(word, end)
        end = start + len(word)
        spans.append((start, end))
    return Words(text, spans)


def running_text(words: Sequence[str], language: str) -> Words:
    """Running text, as models are trained on, if the language has rules for it; else words separated by spaces."""
    return join_words(words, language) if language in ("en", "fr") else split_words(" ".join(words))


def word_shares(offsets: Sequence[tuple[int, int]], words: Words) -> np.ndarray:
    """The share of each token that lies in each word.

    Args:
        offsets: the `(start, end)` of each token in `words.text`, as in `offset_mapping`; for special tokens, start
            and end are equal.
        words: the text that was tokenized.

    Returns:
        `(tokens, words)`: a row sums to 1, or is all 0 for a special token. A token that spans two words (`king'`
        where the words are `king` and `'s`) is divided by characters, and a whitespace token counts for the next word.
    """
    token = np.asarray(offsets, dtype=np.int64).reshape(-1, 2)
    word = np.asarray(words.spans, dtype=np.int64).reshape(-1, 2)
    end = np.minimum(token[:, None, 1], word[None, :, 1])
    common = np.maximum(end - np.maximum(token[:, None, 0], word[None, :, 0]), 0)
    blank = ~common.any(axis=1) & (token[:, 1] > 0)
    following = np.searchsorted(word[:, 0], token[:, 0])
    blank &= following < len(word)
    common[blank, following[blank]] = 1
    return common / np.maximum(common.sum(axis=1, keepdims=True), 1)


def token_words(shares: np.ndarray) -> list[int | None]:
    """For each token, the word that contains most of it, or None if it lies in no word.

    Args:
        shares: `(tokens, words)`, from `word_shares`.
    """
    if not shares.size:
        return [None] * len(shares)
    return [int(row.argmax()) if row.any() else None for row in shares]
