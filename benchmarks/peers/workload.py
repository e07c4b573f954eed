# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
What every system is given: models of which sizes, sentences of which words, batches of which lengths.

Sentences are lists of token ids, which mean the same word in every system: the ids below `FIRST_WORD` are left to
special tokens, and each system appends its own end token. Lengths count that token. Standard library only, since every
environment imports this.
"""

import random
from typing import NamedTuple


VOCABULARY = 8000  # with special tokens
FIRST_WORD = 10
EMBEDDING = 256
ENCODER_HIDDEN = 256  # of each direction
DECODER_HIDDEN = 512
TRANSFORMER_LAYERS = 3  # a side
TRANSFORMER_WIDTH = 256
TRANSFORMER_FEED_FORWARD = 1024
TRANSFORMER_HEADS = 4

SOURCE_LENGTH = 15
TARGET_LENGTH = 20  # steps of the search, which may not end before
SHORTEST, LONGEST = 5, 30  # of the sentences to train on, uniformly
LONGEST_DIFFERENCE = 3  # between the two sides of a pair
SENTENCES = 64  # in a random batch
BATCH_TOKENS = 4096  # of the longer side with padding, in a bucketed batch
BUCKETED_PAIRS = 10_000  # that bucketed batches are cut from
BATCHES = 3  # of each kind; rounds take them in turn

Sentence = list[int]


class Pair(NamedTuple):
    source: Sentence
    target: Sentence


class Decoding(NamedTuple):
    """One kind of search."""

    beams: int
    batch: int
    source_length: int = SOURCE_LENGTH
    target_length: int = TARGET_LENGTH

    def sentences(self) -> list[Sentence]:
        draw = random.Random(f"sources of {self.source_length}")
        return [_sentence(draw, self.source_length) for _ in range(self.batch)]


DECODING = {
    "greedy, batch 32": Decoding(1, 32),
    "beam 5, batch 32": Decoding(5, 32),
    "greedy, batch 1": Decoding(1, 1),
    "beam 5, batch 1": Decoding(5, 1),
}
# How the time of one sentence grows with its length.
SOURCE_LENGTHS = (10, 20, 50, 100)
TARGET_LENGTHS = (10, 20, 40, 80, 160)
GROWTH = {
    beams: {
        **{f"beams {beams}, source {length}": Decoding(beams, 1, source_length=length) for length in SOURCE_LENGTHS},
        **{f"beams {beams}, target {length}": Decoding(beams, 1, target_length=length) for length in TARGET_LENGTHS},
    }
    for beams in (1, 5)
}
SEARCHES = {**DECODING, **GROWTH[1], **GROWTH[5]}
RANDOM, BUCKETED = f"train, {SENTENCES} random", f"train, {BATCH_TOKENS:,} tokens"
TRAINING = (RANDOM, BUCKETED)


def training_batches(kind: str) -> list[list[Pair]]:
    """
    The batches of one of `TRAINING`: sentences of random lengths, or of similar ones as a bucketing sampler gives them
    (by target length, then source length), from the short, the middle and the long ones.
    """
    draw = random.Random("pairs")
    if kind == RANDOM:
        return [[_pair(draw) for _ in range(SENTENCES)] for _ in range(BATCHES)]
    pairs = sorted((_pair(draw) for _ in range(BUCKETED_PAIRS)), key=lambda pair: (len(pair.target), len(pair.source)))
    batches, start = [], 0
    while start < len(pairs):
        end, longest = start, 0
        while end < len(pairs):
            longest = max(longest, len(pairs[end].source) + 1, len(pairs[end].target) + 1)
            if longest * (end + 1 - start) > BATCH_TOKENS:
                break
            end += 1
        batches.append(pairs[start:end])
        start = end
    return [batches[(2 * part + 1) * len(batches) // (2 * BATCHES)] for part in range(BATCHES)]


def _pair(draw: random.Random) -> Pair:
    length = draw.randint(SHORTEST, LONGEST)
    other = length + draw.randint(-LONGEST_DIFFERENCE, LONGEST_DIFFERENCE)
    return Pair(_sentence(draw, length), _sentence(draw, min(max(other, SHORTEST), LONGEST)))


def _sentence(draw: random.Random, length: int) -> Sentence:
    """Words for a sentence of `length` tokens with its end token, which is left out."""
    return [draw.randrange(FIRST_WORD, VOCABULARY) for _ in range(length - 1)]


def padded(
    sentences: list[Sentence], pad: int, before: Sentence | None = None, end: int | None = None
) -> list[Sentence]:
    """Rows of equal length: `before`, the words, `end`, padding."""
    rows = [[*(before or []), *words, *([] if end is None else [end])] for words in sentences]
    longest = max(map(len, rows))
    return [row + [pad] * (longest - len(row)) for row in rows]
