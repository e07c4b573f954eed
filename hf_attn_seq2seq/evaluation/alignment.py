# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Word alignments: links read off attention weights, both directions made one, their error rate, the Pharaoh format.

A link `(i, j)` says that source word `i` and target word `j`, both counted from 0, translate each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np


if TYPE_CHECKING:
    import torch

Link = tuple[int, int]

_PHARAOH_LINK = re.compile(r"([0-9]+)-([0-9]+)")
_ROUNDING = 1e-3  # a mean of half-precision weights may pass 1 by this much


@dataclass(frozen=True)
class AlignmentScores:
    """Scores of one corpus of alignments, as fractions; a low `error_rate` is good.

    `count` is the number of sentences, `predicted` and `sure` the links that the scores were computed from.
    """

    error_rate: float
    precision: float
    recall: float
    predicted: int
    sure: int
    count: int


def alignment_error_rate(
    predicted: Sequence[AbstractSet[Link]],
    sure: Sequence[AbstractSet[Link]],
    possible: Sequence[AbstractSet[Link]],
) -> AlignmentScores:
    """Compares predicted alignments A with sure links S and possible links P, which include S.

    Och and Ney 2003, "A Systematic Comparison of Various Statistical Alignment Models", section 6, with the counts
    summed over the corpus:

        precision = |A ∩ P| / |A|      recall = |A ∩ S| / |S|      AER = 1 - (|A ∩ S| + |A ∩ P|) / (|A| + |S|)

    Where nothing was predicted the precision is 0. A reference that does not tell sure links from possible ones is
    given as both.

    Args:
        predicted, sure, possible: one set of links for each sentence, in the same order.

    Raises:
        ValueError: if the three differ in length or are empty, a sure link is not possible, something is not a set of
            links, or no sentence has a sure link.
    """
    if not len(predicted) == len(sure) == len(possible):
        raise ValueError(
            f"there are {len(predicted)} predicted, {len(sure)} sure and {len(possible)} possible sets of links: "
            "give one of each to every sentence."
        )
    if not predicted:
        raise ValueError("there is nothing to score: the corpus is empty.")
    predicted_total = sure_total = predicted_sure = predicted_possible = 0
    for index, (a, s, p) in enumerate(zip(predicted, sure, possible)):
        for name, links in (("predicted", a), ("sure", s), ("possible", p)):
            _check_links(f"{name}[{index}]", links)
        if not s <= p:
            raise ValueError(
                f"sure[{index}] has links that are missing from possible[{index}] ({to_pharaoh(s - p)}): "
                "possible links must include the sure ones."
            )
        predicted_total += len(a)
        sure_total += len(s)
        predicted_sure += len(a & s)
        predicted_possible += len(a & p)
    if not sure_total:
        raise ValueError("no sentence has a sure link, so recall is undefined: give a reference with sure links.")
    return AlignmentScores(
        error_rate=1 - (predicted_sure + predicted_possible) / (predicted_total + sure_total),
        precision=predicted_possible / predicted_total if predicted_total else 0.0,
        recall=predicted_sure / sure_total,
        predicted=predicted_total,
        sure=sure_total,
        count=len(predicted),
    )


def attention_matrix(weights: torch.Tensor | np.ndarray) -> np.ndarray:
    """Checks the attention weights of one sentence and returns them as a float64 array of the same shape.

    Args:
        weights: `(tgt_len, src_len)`, one head of one layer (or a mean of them), each weight from 0 to 1.

    Raises:
        ValueError: if the shape is another or empty, or a weight is not a number from 0 to 1.
    """
    if hasattr(weights, "is_complex") and weights.is_complex():
        raise ValueError(f"the attention weights are of type {weights.dtype}: they must be real numbers.")
    if hasattr(weights, "detach"):  # a tensor; through float32, because NumPy has no bfloat16
        weights = weights.detach().float().cpu().numpy()
    matrix = np.asarray(weights)
    if matrix.dtype.kind not in "fiu":
        raise ValueError(f"the attention weights are of type {matrix.dtype}: they must be real numbers.")
    if matrix.ndim != 2 or not matrix.size:
        raise ValueError(
            f"the attention weights have shape {matrix.shape}: choose one sentence and one head, "
            "so that the shape is (tgt_len, src_len) with both above 0."
        )
    matrix = matrix.astype(np.float64) + 0.0  # turns -0.0 into 0.0
    if not np.isfinite(matrix).all():
        raise ValueError("the attention weights hold NaN or infinity: they must be numbers from 0 to 1.")
    if matrix.min() < 0 or matrix.max() > 1 + _ROUNDING:
        raise ValueError(
            f"the attention weights run from {matrix.min():.4g} to {matrix.max():.4g}: they must lie between 0 and 1 "
            "(these may be scores, from before the softmax)."
        )
    return matrix


class WordAttention(NamedTuple):
    """Attention of one sentence, counted in words.

    `matrix`: `(target words, source words)`; a row sums to 1 less what went to special tokens. `null`:
    `(target words,)`, the largest weight that one special source token has.
    """

    matrix: np.ndarray
    null: np.ndarray

    def renormalised(self) -> WordAttention:
        """The same with the special tokens left out: rows sum to 1 over the words, or stay 0."""
        total = self.matrix.sum(axis=1, keepdims=True)
        return WordAttention(self.matrix / np.where(total > 0, total, 1.0), np.zeros_like(self.null))

    def links(self, threshold: float | None = None) -> frozenset[Link]:
        """The links that the weights speak for.

        Args:
            threshold: None links each target word to the source word with the most weight (the first of several), or
                to none where a special token has more. A number from 0 to 1 links all pairs of words of at least that
                weight, so that a word may have none, one or more.
        """
        if threshold is None:
            if not self.matrix.size:
                return frozenset()
            best = self.matrix.argmax(axis=1)
            weight = self.matrix[np.arange(len(best)), best]
            linked = (weight > 0) & (weight >= self.null)
            return frozenset((int(best[target]), int(target)) for target in np.flatnonzero(linked))
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold={threshold} must be above 0 and at most 1.")
        return frozenset((int(source), int(target)) for target, source in np.argwhere(self.matrix >= threshold))


def word_attention(
    weights: torch.Tensor | np.ndarray, source_shares: np.ndarray, target_shares: np.ndarray
) -> WordAttention:
    """Merges tokens into words: weights of a word's source tokens are summed, rows of its target tokens averaged.

    Args:
        weights: `(tgt_len, src_len)`, each from 0 to 1; row `t` stands for target token `t`.
        source_shares: `(src_len, source words)`, which share of each token lies in which word; a row of zeros for
            special tokens. `hf_attn_seq2seq.data.words.word_shares` makes it.
        target_shares: `(tgt_len, target words)`, the same; tokens of no word are left out.

    Raises:
        ValueError: if the weights are no such matrix, or the shares do not fit it.
    """
    matrix = attention_matrix(weights)
    for name, shares, length in (("source", source_shares, matrix.shape[1]), ("target", target_shares, len(matrix))):
        if shares.ndim != 2 or len(shares) != length:
            raise ValueError(f"{name}_shares has shape {shares.shape}: it needs one row for each of {length} tokens.")
    total = target_shares.sum(axis=0)  # target words
    rows = (target_shares / np.where(total > 0, total, 1.0)).T @ matrix  # target words x src_len
    special = ~source_shares.any(axis=1)
    null = rows[:, special].max(axis=1) if special.any() else np.zeros(len(rows))
    return WordAttention(rows @ source_shares, null)


def attention_to_links(
    weights: torch.Tensor | np.ndarray,
    source_words: Sequence[int | None] | None = None,
    target_words: Sequence[int | None] | None = None,
) -> frozenset[Link]:
    """Links every target word to the source word that it attends to most.

    Row `t` of the weights must be the row that stands for target token `t`. Where words have several tokens, the
    weights of a word's source tokens are summed and the rows of its target tokens averaged. A special source token
    (padding, the end token) competes as it stands: where it has the largest weight, the target word gets no link, as
    is so for a row of zeros. Among equal weights the first source word wins.

    Args:
        weights: `(tgt_len, src_len)`, each from 0 to 1.
        source_words: for each source token its word's index, or None for a special token, as
            `BatchEncoding.word_ids()` gives them; by default every token is a word.
        target_words: the same for the target tokens; rows of special tokens are left out.

    Returns:
        the links, as `(source word, target word)`.

    Raises:
        ValueError: if the weights are not such a matrix, or the words do not fit it.
    """
    tgt_len, src_len = attention_matrix(weights).shape
    return word_attention(
        weights, _shares("source_words", source_words, src_len), _shares("target_words", target_words, tgt_len)
    ).links()


SYMMETRISATIONS = ("intersection", "union", "grow-diag", "grow-diag-final", "grow-diag-final-and")
_NEIGHBOURS = ((-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))


def symmetrise(forward: AbstractSet[Link], backward: AbstractSet[Link], method: str = "grow-diag") -> frozenset[Link]:
    """Makes one alignment of the two that models of both directions give.

    Och and Ney 2003, section 3.4, and Koehn et al. 2005, "Edinburgh System Description for the 2005 IWSLT Speech
    Translation Evaluation": "grow-diag" begins with the intersection and adds, as long as there are any, links of the
    union that lie beside a link (also diagonally) and whose source or target word has no link yet. "-final" then adds
    the links of either direction, `forward` first, whose source or target word has none; "-final-and" those where
    neither has one.

    Args:
        forward: links `(source, target)` of the model that translates source to target.
        backward: links `(source, target)` of the model that translates target to source, turned round already.
        method: one of `SYMMETRISATIONS`.

    Raises:
        ValueError: for an unknown method, or something that is no set of links.
    """
    if method not in SYMMETRISATIONS:
        raise ValueError(f"Unknown symmetrisation {method!r}: choose one of {', '.join(SYMMETRISATIONS)}.")
    _check_links("forward", forward)
    _check_links("backward", backward)
    both, either = frozenset(forward & backward), frozenset(forward | backward)
    if method == "intersection":
        return both
    if method == "union":
        return either
    links = set(both)
    sources, targets = {source for source, _ in links}, {target for _, target in links}

    def add(link: Link) -> None:
        links.add(link)
        sources.add(link[0])
        targets.add(link[1])

    grown = True
    while grown:
        grown = False
        for source, target in sorted(either):
            if (source, target) not in links:
                continue
            for down, right in _NEIGHBOURS:
                link = (source + down, target + right)
                if link in either and link not in links and (link[0] not in sources or link[1] not in targets):
                    add(link)
                    grown = True
    if method != "grow-diag":
        enough = all if method == "grow-diag-final-and" else any
        for direction in (forward, backward):
            for link in sorted(direction):
                if enough((link[0] not in sources, link[1] not in targets)):
                    add(link)
    return frozenset(links)


def turned(links: Iterable[Link]) -> frozenset[Link]:
    """The links seen from the other side: `(source, target)` becomes `(target, source)`."""
    return frozenset((target, source) for source, target in links)


def to_pharaoh(links: Iterable[Link]) -> str:
    """Writes links in the Pharaoh format, `i-j` pairs in order with a space between: `0-0 1-2`."""
    return " ".join(f"{source}-{target}" for source, target in sorted(links))


def from_pharaoh(text: str) -> frozenset[Link]:
    """Reads one line in the Pharaoh format; an empty line has no links.

    Raises:
        ValueError: if a part of the line is not two numbers, from 0, joined by a hyphen.
    """
    links = set()
    for part in text.split():
        match = _PHARAOH_LINK.fullmatch(part)
        if not match:
            raise ValueError(f"{part!r} is not a link: write the source and the target index, from 0, as in 0-2.")
        links.add((int(match[1]), int(match[2])))
    return frozenset(links)


def _shares(name: str, words: Sequence[int | None] | None, length: int) -> np.ndarray:
    """`(tokens, words)`, 1 where the token belongs to the word."""
    if words is None:
        return np.eye(length)
    if len(words) != length:
        raise ValueError(
            f"{name} has {len(words)} entries for {length} tokens: give every token a word index or None."
        )
    for position, word in enumerate(words):
        if word is not None and not _is_index(word):
            raise ValueError(f"{name}[{position}] is {word!r}: it must be a word index from 0, or None.")
    count = max((word + 1 for word in words if word is not None), default=0)
    return np.array([[float(word == index) for index in range(count)] for word in words]).reshape(length, count)


def _check_links(name: str, links: AbstractSet[Link]) -> None:
    if not isinstance(links, AbstractSet):
        raise ValueError(f"{name} is of type {type(links).__name__}: give every sentence a set of links.")
    for link in links:
        if not (isinstance(link, tuple) and len(link) == 2 and all(map(_is_index, link))):
            raise ValueError(f"{name} holds {link!r}: a link is a pair (source index, target index), from 0.")


def _is_index(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and bool(value >= 0)
