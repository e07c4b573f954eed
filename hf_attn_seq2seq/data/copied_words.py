# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Names and numbers that both sides of a pair have, replaced by others, so that a model learns to copy what it has never
seen: in the corpus alone a few names are so frequent that it learns their translation by heart.
"""

from collections import Counter, defaultdict

import numpy as np
from datasets import Dataset

from hf_attn_seq2seq.data.words import Words, cut_words


# Before these a French word is elided (d'Anna, but de Tom), and English has "an": one only replaces another.
_ELIDING = frozenset("AEIOUYHÀÂÄÉÈÊËÎÏÔÖÙÛÜŒÆ")

# First and last letters of alphabets, and signs, of which few texts in Latin letters have any.
_ALPHABETS = (("Ā", "ž"), ("α", "ω"), ("а", "я"), ("א", "ת"), ("ا", "ي"), ("ぁ", "ゖ"), ("一", "龥"), ("가", "힣"))
_SIGNS = [*"€£¥₹°§©®™±×÷→←", *map(chr, range(0x1F300, 0x1F650))]  # the last are emoji
_FOREIGN_SHARE = 0.2


class CopiedWords:
    """
    The names that pairs have on both sides, from which others are drawn, each as likely as any other.

    A name is a word of letters with a capital first, at least two letters long, that no pair has in lower case.

    Args:
        pairs: Table with the columns `source` and `target`.
    """

    def __init__(self, pairs: Dataset) -> None:
        names, common = set(), set()
        for row in pairs.select_columns(["source", "target"]):
            source, target = (set(_bare_words(row[name]).words()) for name in ("source", "target"))
            names |= {word for word in source & target if _looks_like_name(word)}
            common |= {word for word in source | target if word[:1].islower()}
        self.names: dict[bool, list[str]] = defaultdict(list)
        for name in sorted(names):
            if name.lower() not in common:
                self.names[name[0] in _ELIDING].append(name)
        self._like = {name: group for group in self.names.values() for name in group}

    def replaced(self, source: str, target: str, random: np.random.Generator, foreign: float = 0.0) -> tuple[str, str]:
        """
        The pair with its names and numbers exchanged: a name for another that begins likewise with a vowel or `h`, or
        not, a number for another of as many digits. Those that occur once on each side are exchanged.

        Args:
            foreign: Share of the names without a vowel or `h` first that become letters of another alphabet, or one
                sign.
        """
        sides = _bare_words(source), _bare_words(target)
        counts = [Counter(side.words()) for side in sides]
        new = {}
        for word in sides[0].words():
            if counts[0][word] == counts[1][word] == 1:
                if word.isascii() and word.isdecimal():
                    new[word] = _another_number(word, random)
                elif group := self._like.get(word):
                    new[word] = group[int(random.integers(len(group)))]
                    if foreign and word[0] not in _ELIDING and random.random() < foreign:
                        # Before an apostrophe a sign would be a second word.
                        new[word] = _foreign_word(random, sign=not {"'", "’"}.intersection(source + target))
        return _exchanged(sides[0], new), _exchanged(sides[1], new)


def _bare_words(text: str) -> Words:
    """The words of a text without their final apostrophes: `Mina` of `Mina's`."""
    words = cut_words(text)
    return Words(text, [(start, end - (end - start > 1 and text[end - 1] in "'’")) for start, end in words.spans])


def _looks_like_name(word: str) -> bool:
    return len(word) > 1 and word.isalpha() and word[0].isupper()


def _another_number(number: str, random: np.random.Generator) -> str:
    digits = random.integers(10, size=len(number))
    if number[0] != "0":
        digits[0] = random.integers(1, 10)
    return "".join(map(str, digits))


def _foreign_word(random: np.random.Generator, sign: bool) -> str:
    if sign and random.random() < 0.5:
        return _SIGNS[int(random.integers(len(_SIGNS)))]
    first, last = map(ord, _ALPHABETS[int(random.integers(len(_ALPHABETS)))])
    letters = filter(str.isalpha, map(chr, random.integers(first, last + 1, size=int(random.integers(1, 8)))))
    return "".join(letters) or chr(first)


def _exchanged(text: Words, new: dict[str, str]) -> str:
    parts, end = [], 0
    for (start, stop), word in zip(text.spans, text.words()):
        if word in new:
            parts += [text.text[end:start], new[word]]
            end = stop
    return "".join([*parts, text.text[end:]])


def exchange_copied_words(pairs: Dataset, share: float, seed: int) -> Dataset:
    """
    Exchange names and numbers that both sides have for others, in about `share` of the pairs that have any; a fifth of
    the names for letters of other alphabets, or a sign such as `€`.

    The number of words stays as it was, and so do word links.

    Args:
        pairs: Table with the columns `source` and `target`; others stay.
        share: Share of the pairs, in [0, 1].

    Raises:
        ValueError: If `share` is not in [0, 1].
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share={share} must be in [0, 1].")
    copied = CopiedWords(pairs)

    def change_rows(rows: dict[str, list[str]], indices: list[int]) -> dict[str, list[str]]:
        random = np.random.default_rng((seed, 2, indices[0]))  # other streams than those of examples.py
        drawn = random.random(len(indices)) < share
        changed = [
            copied.replaced(source, target, random, _FOREIGN_SHARE) if draw else (source, target)
            for source, target, draw in zip(rows["source"], rows["target"], drawn)
        ]
        return {"source": [source for source, _ in changed], "target": [target for _, target in changed]}

    return pairs.map(change_rows, batched=True, with_indices=True, desc="Exchanging names and numbers")
