# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Subword regularization: texts encoded with randomly sampled segmentations, for training batches only.

The `tokenizers` library can sample too, but its generator cannot be seeded. Here the same text and seed give the same
ids in every process and after every restart, so that a training run can be resumed exactly. The tokenizer itself is
not changed: the one that is saved with a model always encodes deterministically.
"""

import itertools
import json
import math
import random
from bisect import bisect
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from tokenizers import Tokenizer

from hf_attn_seq2seq.tokenization_attn_seq2seq import AttnSeq2SeqTokenizer


Draw = Callable[[], float]  # a number from [0, 1)

LONGEST_WORD = 200  # bytes; a longer word keeps its usual segmentation, because sampling takes quadratic time
CACHED_WORDS = 100_000


class SubwordSampler:
    """Encodes texts like a tokenizer, but segments each word into subwords at random.

    For kind `bpe`, BPE-dropout (Provilkov et al. 2020, algorithm 1): at each step every possible merge is skipped with
    probability p. For kind `unigram`, sampling from all segmentations (Kudo 2018, with l = infinity): x is drawn with
    probability proportional to p(x) ** alpha.

    Args:
        tokenizer: with one vocabulary, or one side of two: `tokenizer.source`, `tokenizer.target`. It is copied.
        sampling: p (0.1 in the paper; 1 leaves single bytes), or alpha (0.2 in the paper; larger values favor the
            usual segmentation).
        max_length: in tokens; a longer result is truncated before its end token. No limit if None.

    Raises:
        ValueError: for a tokenizer without subwords, p outside (0, 1], an alpha that is not positive, or a max_length
            below 2.
    """

    def __init__(self, tokenizer: AttnSeq2SeqTokenizer, sampling: float, max_length: int | None = None) -> None:
        if tokenizer.has_two_vocabularies:
            raise ValueError("The tokenizer has two vocabularies: pass tokenizer.source or tokenizer.target.")
        if max_length is not None and max_length < 2:
            raise ValueError(f"max_length={max_length} must be at least 2, for one token and the end token.")
        self._backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self._backend.no_truncation()
        self._backend.no_padding()
        self._backend.encode_special_tokens = tokenizer.split_special_tokens
        self._tokens = {index: token for token, index in self._backend.get_vocab().items()}
        self._added = frozenset(self._backend.get_added_tokens_decoder())
        self._max_length = max_length
        self._segment = _segmenter(json.loads(self._backend.to_str())["model"], sampling)

    def __call__(self, text: str, *seed: int) -> list[int]:
        """Token ids of `text` with its end token; reproducible for the same seed, such as (seed, epoch, example)."""
        encoding = self._backend.encode(text)
        draw = random.Random(" ".join(map(str, seed))).random
        ids: list[int] = []
        ending: list[int] = []
        for word, group in itertools.groupby(zip(encoding.word_ids, encoding.ids), key=lambda pair: pair[0]):
            word_ids = [index for _, index in group]
            if word is None:
                ending += word_ids
            elif len(word_ids) == 1 and word_ids[0] in self._added:
                ids += word_ids
            else:
                bytes_of_word = "".join(map(self._tokens.__getitem__, word_ids))
                ids += word_ids if len(bytes_of_word) > LONGEST_WORD else self._segment(bytes_of_word, draw)
        if self._max_length is not None:
            del ids[max(self._max_length - len(ending), 0) :]
        return ids + ending


def check_sampling(kind: str, sampling: float) -> None:
    """Raises ValueError if a tokenizer of this kind cannot be sampled with this value."""
    if kind not in ("bpe", "unigram"):
        raise ValueError(f"sampling is {sampling:g}, but kind '{kind}' has no subwords to sample: set sampling to 0.")
    if kind == "bpe" and not 0 < sampling <= 1:
        raise ValueError(
            f"sampling is {sampling:g}, but for kind 'bpe' it is a probability: set it to a value from 0 to 1."
        )
    if kind == "unigram" and not 0 < sampling < math.inf:
        raise ValueError(f"sampling is {sampling:g}, but for kind 'unigram' it must be greater than 0.")


def _segmenter(model: dict[str, Any], sampling: float) -> Callable[[str, Draw], Iterable[int]]:
    if model["type"] == "BPE" and model["merges"]:
        check_sampling("bpe", sampling)
        return _BpeDropout(model, sampling)
    if model["type"] == "Unigram":
        check_sampling("unigram", sampling)
        return _UnigramSampling(model, sampling)
    raise ValueError(
        "The tokenizer has no subwords to sample: train one of kind 'bpe' or 'unigram', or turn sampling off."
    )


class _BpeDropout:
    def __init__(self, model: dict[str, Any], dropout: float) -> None:
        self._dropout = dropout
        self._ids: dict[str, int] = model["vocab"]
        # (left, right) -> (rank of the merge, what it makes)
        self._merges = {
            (self._ids[left], self._ids[right]): (rank, self._ids[left + right])
            for rank, (left, right) in enumerate(model["merges"])
        }

    def __call__(self, word: str, draw: Draw) -> list[int]:
        symbols = [self._ids[byte] for byte in word]
        while len(symbols) > 1:
            possible = [
                (*merge, place)
                for place, pair in enumerate(itertools.pairwise(symbols))
                if (merge := self._merges.get(pair)) is not None
            ]
            possible.sort()
            # Take the first merge that is not skipped; no random numbers are drawn for those after it.
            for _, made, place in possible:
                if draw() >= self._dropout:
                    symbols[place : place + 2] = [made]
                    break
            else:
                break
        return symbols


class _Ways(NamedTuple):
    """The tokens that can end a given prefix of a word."""

    starts: list[int]
    ids: list[int]
    weights: list[float]  # cumulative; the last is the sum


class _UnigramSampling:
    """Forward filtering, backward sampling: the weights of each last token, then sampling from the end."""

    def __init__(self, model: dict[str, Any], alpha: float) -> None:
        self._alpha = alpha
        self._scores: dict[str, tuple[int, float]] = {
            token: (index, score) for index, (token, score) in enumerate(model["vocab"])
        }
        self._longest = max(map(len, self._scores))
        self._lattices: dict[str, list[_Ways]] = {}

    def __call__(self, word: str, draw: Draw) -> Iterator[int]:
        lattice = self._lattices.get(word)
        if lattice is None:
            if len(self._lattices) >= CACHED_WORDS:
                self._lattices.clear()
            lattice = self._lattices[word] = self._lattice(word)
        ids = []
        end = len(word)
        while end > 0:
            ways = lattice[end - 1]
            way = bisect(ways.weights, draw() * ways.weights[-1]) if len(ways.ids) > 1 else 0
            ids.append(ways.ids[way])
            end = ways.starts[way]
        return reversed(ids)

    def _lattice(self, word: str) -> list[_Ways]:
        sums = [0.0]  # log of the sum over all segmentations of the first n bytes
        lattice = []
        for end in range(1, len(word) + 1):
            starts, ids, logs = [], [], []
            for start in range(max(0, end - self._longest), end):
                found = self._scores.get(word[start:end])
                if found is not None:
                    starts.append(start)
                    ids.append(found[0])
                    logs.append(sums[start] + self._alpha * found[1])
            highest = max(logs)
            weights = list(itertools.accumulate(math.exp(log - highest) for log in logs))
            sums.append(highest + math.log(weights[-1]))
            lattice.append(_Ways(starts, ids, weights))
        return lattice


__all__ = ["SubwordSampler", "check_sampling"]
