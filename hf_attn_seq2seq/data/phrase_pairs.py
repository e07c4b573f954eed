# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Words and short phrases with their translations, found by the word links of a corpus of sentences, so that a model
learns to translate them alone too: "dog" is never a sentence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from datasets import Dataset, concatenate_datasets

from hf_attn_seq2seq.data.links import Link, from_pharaoh, to_pharaoh
from hf_attn_seq2seq.data.words import WORDS, WordKind, Words, count_words


MOST_WORDS = 3  # on the source side
_MOST_TARGET_WORDS = 4
_LEAST_COUNT = 2
_LEAST_SHARE, _LEAST_REVERSE_SHARE = 0.25, 0.1  # of a phrase's occurrences that have this translation, and the reverse
_APOSTROPHES = "'’"
_LONGEST_ENDING = 2  # letters: the "s" of it's, the "ll" of we'll


class PhrasePair(NamedTuple):
    """
    A phrase and a translation.

    Attributes:
        links: Those of their words in the Pharaoh format, counted from the beginnings of both.
        weight: By which it is drawn: the square root of how often the source phrase occurs, times the share of its
            occurrences with this translation.
    """

    source: str
    target: str
    links: str
    weight: float


class _Side:
    """A text's words: which of them phrases can hold, begin and end with."""

    def __init__(self, words: Words) -> None:
        texts = words.words()
        self.words = words
        self.inner = [text[0].isalnum() for text in texts]
        elided = [text[-1] in _APOSTROPHES for text in texts]  # l', don'
        self.last = [inner and not open_ for inner, open_ in zip(self.inner, elided)]
        self.first = list(self.inner)
        for at in range(1, len(texts)):
            joined = elided[at - 1] and words.spans[at - 1][1] == words.spans[at][0]
            if joined and len(texts[at]) <= _LONGEST_ENDING:
                self.first[at] = False

    def text(self, start: int, end: int, common: frozenset[str]) -> str:
        """The words from `start` to `end`, without the capital of a sentence's beginning."""
        (begin, begin_end), (_, stop) = self.words.spans[start], self.words.spans[end]
        text = self.words.text[begin:stop]
        if _begins(self.words, start) and self.words.text[begin:begin_end].lower() in common:
            return text[0].lower() + text[1:]
        return text


def _begins(words: Words, at: int) -> bool:
    """Whether a word is the first of its text, or follows a sign."""
    return at == 0 or not words.text[words.spans[at - 1][0]].isalnum()


def phrase_pairs(pairs: Dataset, links_of: WordKind) -> list[PhrasePair]:
    """
    The phrases of one to `MOST_WORDS` words that the links tie to words of the target and to no others (Koehn et al.
    2003, "Statistical Phrase-Based Translation", section 2.2; the shortest target of each), in alphabetical order.

    Left out are pairs that occur once, that are less than a quarter of what the source phrase is tied to, or less than
    a tenth of what the target phrase is. What begins a sentence loses its capital if it is written small elsewhere.

    Args:
        pairs: Table with the columns `source`, `target` and `alignment`, of which all phrases are held in memory.
        links_of: Which kind of words the links count (see `encode`).
    """
    words = [[WORDS[links_of](text) for text in pairs[name]] for name in ("source", "target")]
    common = [_written_small(side) for side in words]
    counts: Counter[tuple[str, str]] = Counter()
    first_links: dict[tuple[str, str], str] = {}
    for source_words, target_words, text in zip(*words, pairs["alignment"]):
        if not text:
            continue
        links, source, target = from_pharaoh(text), _Side(source_words), _Side(target_words)
        for (i, i_end), (j, j_end) in _tied(source, target, links):
            pair = source.text(i, i_end, common[0]), target.text(j, j_end, common[1])
            counts[pair] += 1
            if pair not in first_links:
                first_links[pair] = to_pharaoh({(a - i, b - j) for a, b in links if i <= a <= i_end})
    of_source, of_target = Counter[str](), Counter[str]()
    for (source_phrase, target_phrase), count in counts.items():
        of_source[source_phrase] += count
        of_target[target_phrase] += count
    found = []
    for (source_phrase, target_phrase), count in sorted(counts.items()):
        share = count / of_source[source_phrase]
        enough = share >= _LEAST_SHARE and count / of_target[target_phrase] >= _LEAST_REVERSE_SHARE
        if count >= _LEAST_COUNT and enough:
            weight = of_source[source_phrase] ** 0.5 * share
            found.append(PhrasePair(source_phrase, target_phrase, first_links[source_phrase, target_phrase], weight))
    return found


def _written_small(sides: Sequence[Words]) -> frozenset[str]:
    """Words of at least two letters that occur in lower case within sentences: others keep their capitals."""
    return frozenset(
        word
        for side in sides
        for at, word in enumerate(side.words())
        if len(word) > 1 and word[0].islower() and not _begins(side, at)
    )


def _tied(source: _Side, target: _Side, links: frozenset[Link]) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """First and last words of both sides of the phrases."""
    to_target: dict[int, list[int]] = {}
    to_source: dict[int, list[int]] = {}
    for i, j in links:
        to_target.setdefault(i, []).append(j)
        to_source.setdefault(j, []).append(i)
    for start in range(len(source.inner)):
        if not source.first[start]:
            continue
        first, last = len(target.inner), -1
        for end in range(start, min(start + MOST_WORDS, len(source.inner))):
            if not source.inner[end]:
                break
            first, last = min([first, *to_target.get(end, [])]), max([last, *to_target.get(end, [])])
            if end not in to_target or start not in to_target or last - first >= _MOST_TARGET_WORDS:
                continue
            if not (source.last[end] and target.first[first] and target.last[last]):
                continue
            between = range(first, last + 1)
            if all(target.inner[j] and all(start <= i <= end for i in to_source.get(j, [])) for j in between):
                yield (start, end), (first, last)


def add_phrase_pairs(
    pairs: Dataset, phrases: Sequence[PhrasePair], share: float, seed: int, links_of: WordKind
) -> Dataset:
    """
    Add phrases to the pairs, drawn with replacement by their weights, as many of one word as of two and of three: a
    third as they are within a sentence, a third with a capital, a third with a capital and a full stop.

    Args:
        pairs: Table with the columns `source`, `target` and `alignment`; others are left out.
        phrases: From [`phrase_pairs`].
        share: Number of the drawn phrases, as a share of the pairs.
        seed: Random seed.

    Raises:
        ValueError: If `share` is negative, or there are no phrases.
    """
    if share < 0:
        raise ValueError(f"share={share} must not be negative.")
    if not phrases:
        raise ValueError("The word links tie no phrase to another twice: leave out phrase_pairs_augmentation.")
    lengths = np.array([count_words(phrase.source, links_of) for phrase in phrases])
    chances = np.array([phrase.weight for phrase in phrases])
    for length in set(lengths):
        chances[lengths == length] /= chances[lengths == length].sum()
    random = np.random.default_rng((seed, 3))  # other streams than those of the other augmentations
    drawn = random.choice(len(phrases), size=round(share * len(pairs)), p=chances / chances.sum())
    rows: dict[str, list[str]] = {"source": [], "target": [], "alignment": []}
    stop = "." if links_of == "cut" else " ."  # a word of its own
    for number, form in zip(drawn, random.integers(3, size=len(drawn))):
        source, target, links, _ = phrases[number]
        if form:
            source, target = source[0].upper() + source[1:], target[0].upper() + target[1:]
        if form == 2:
            links += f" {count_words(source, links_of)}-{count_words(target, links_of)}"
            source, target = source + stop, target + stop
        for name, text in zip(rows, (source, target, links)):
            rows[name].append(text)
    return concatenate_datasets([pairs.select_columns(list(rows)), Dataset.from_dict(rows)])
