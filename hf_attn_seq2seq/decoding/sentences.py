# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Joining the translations of sentences into translations of the whole text."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from hf_attn_seq2seq.data.links import Link
from hf_attn_seq2seq.data.words import split_words
from hf_attn_seq2seq.splitting import Piece, join_text


class Translation(NamedTuple):
    """One translation of a text; fields that were not requested are None."""

    text: str
    score: float | None = (
        None  # the sum of the tokens' log-probabilities, divided by length ** length_penalty; the mean of sentences
    )
    links: frozenset[Link] | None = None  # (source word, target word), with words separated by whitespace


def join_translations(pieces: Sequence[Piece], translations: Sequence[Sequence[Translation]]) -> list[Translation]:
    """
    Join the translations of a text's sentences: the k-th translation of the text consists of their k-th translations.

    Links count the words of the whole text. A score is the mean of the sentences' scores, so the best translation
    remains the first.

    Args:
        pieces: The text, as split by [`split_text`].
        translations: The translations of each sentence, best first.
    """
    if len(pieces) == 1 and pieces[0] == Piece("", pieces[0].sentence):
        return list(translations[0])
    return [_joined(pieces, ranked) for ranked in zip(*translations)]


def _joined(pieces: Sequence[Piece], translations: Sequence[Translation]) -> Translation:
    parts = join_text(pieces, [translation.text for translation in translations])
    text = "".join(parts)
    scores = [translation.score for translation in translations]
    score = None if None in scores else sum(scores) / len(scores)  # type: ignore[arg-type]
    if any(translation.links is None for translation in translations):
        return Translation(text, score)
    source = "".join(piece.before + piece.sentence + piece.after for piece in pieces)
    places = _Places(source), _Places(text)
    links: set[Link] = set()
    source_end = target_end = 0
    for piece, part, translation in zip(pieces, parts, translations):
        starts = source_end + len(piece.before), target_end + part.index(translation.text)
        here = [
            [places[side].word_at(starts[side] + start) for start, _ in split_words(words).spans]
            for side, words in enumerate((piece.sentence, translation.text))
        ]
        links.update((here[0][i], here[1][j]) for i, j in translation.links or ())
        source_end = starts[0] + len(piece.sentence)
        target_end += len(part)
    return Translation(text, score, frozenset(links))


class _Places:
    """Maps characters of a text to its words, which are separated by whitespace."""

    def __init__(self, text: str) -> None:
        self.starts = [match.start() for match in re.finditer(r"\S+", text)]

    def word_at(self, place: int) -> int:
        return bisect_right(self.starts, place) - 1
