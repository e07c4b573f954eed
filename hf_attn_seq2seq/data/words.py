# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""A text and where its words lie in it, so that what a model does with tokens can be told in words.

Word alignments count words, models see tokens, and the two need not be cut alike: gold alignments come as words with
blanks between them (`l' homme .`), models are trained on text as people write it (`l'homme.`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import regex


# A word may hold hyphens and takes the apostrophe that ends it (l'homme is l' and homme, Est-ce is one word); any
# other character that is not blank is a word of its own. Letters, marks (हिन्दी is one word), numbers and connectors
# are named one by one, since Python and the tokenizers' Oniguruma take \w for different characters.
_IN_WORDS = r"\p{L}\p{M}\p{N}\p{Pc}"
WORD = rf"[{_IN_WORDS}]+(?:-[{_IN_WORDS}]+)*['’]?|[^{_IN_WORDS}\s]"
_WORD = regex.compile(WORD)
_NOT_BLANK = re.compile(r"\S+")

# The blanks that words written with blanks between them have and running text has not. Tried in this order.
_EVERYWHERE = [
    r" (?=[.,…)\]}])",  # word . -> word.
    r"(?<=[(\[{]) ",  # ( word -> (word
    r"(?<=\w) (?=-\w)",  # dit -il -> dit-il
]
_BLANKS = {
    "en": [*_EVERYWHERE, r" (?=[?!;:%])", r"(?<=\w) (?=(?:['’](?:s|t|m|d|n|re|ve|ll)|n['’]t)\b)"],
    "fr": [*_EVERYWHERE, r"(?<=\w['’]) (?=\w)"],  # l' homme -> l'homme; ? ! ; : « » keep their blanks
}
_BETWEEN_QUOTES = re.compile(r'(")([^"]*)(")')


class Words(NamedTuple):
    """A text and the places of its words, in order: word `i` is `text[start:end]` with `(start, end) = spans[i]`."""

    text: str
    spans: list[tuple[int, int]]

    def words(self) -> list[str]:
        return [self.text[start:end] for start, end in self.spans]


def cut_words(text: str) -> Words:
    """Words of running text as the tokenizers of this package cut them (`WORD`): `l'homme.` is `l'`, `homme`, `.`."""
    return Words(text, [match.span() for match in _WORD.finditer(text)])


def split_words(text: str) -> Words:
    """Words with blanks between them, the text as it stands."""
    return Words(text, [match.span() for match in _NOT_BLANK.finditer(text)])


# What links can count: words as `cut_words` finds them, or parted by blanks.
WordKind = Literal["cut", "whitespace"]
WORDS = {"cut": cut_words, "whitespace": split_words}


def count_words(text: str, kind: WordKind) -> int:
    """How many words of that kind the text has."""
    return len(WORDS[kind](text).spans)


def join_words(words: Sequence[str], language: str) -> Words:
    """Running text made of words: the blanks are left out that `language` does not write.

    No blank stands before `.` `,` `…`, inside brackets and straight double quotes, nor before a part that starts with
    a hyphen (`dit -il`). English has none before `?` `!` `;` `:` either, nor before `'s` and the like; French has none
    after an apostrophe (`l' homme`). Nothing but blanks changes, so each word is found again at its place.

    Args:
        words: without blanks in them, such as `["l'", "homme", "."]`.
        language: `"en"` or `"fr"`; for another, words that are one text already can go through `split_words`.

    Raises:
        ValueError: for a language without rules, or a word that is empty or holds a blank.
    """
    if language not in _BLANKS:
        raise ValueError(f"There are no rules for joining words of language {language!r}: choose 'en' or 'fr'.")
    for index, word in enumerate(words):
        if not _NOT_BLANK.fullmatch(word):
            raise ValueError(f"Word {index} is {word!r}: a word must hold something, and no blank.")
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
    """Running text, which models are trained on, where there are rules for joining words; else blanks part them."""
    return join_words(words, language) if language in ("en", "fr") else split_words(" ".join(words))


def word_shares(offsets: Sequence[tuple[int, int]], words: Words) -> np.ndarray:
    """Which share of each token lies in which word.

    Args:
        offsets: for each token its `(start, end)` in `words.text`, as `offset_mapping` gives them; the same number
            twice for special tokens.
        words: the text that was tokenised.

    Returns:
        `(tokens, words)`: a row sums to 1, or is all 0 for a special token. A token across two words (`king'` where
        the words are `king` and `'s`) is shared by characters, and a token of blanks goes to the word after them.
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
    """For each token the word that has the most of it, None where it lies in no word.

    Args:
        shares: `(tokens, words)`, from `word_shares`.
    """
    if not shares.size:
        return [None] * len(shares)
    return [int(row.argmax()) if row.any() else None for row in shares]
