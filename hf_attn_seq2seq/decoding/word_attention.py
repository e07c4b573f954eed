# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Attention weights between words, and the links that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hf_attn_seq2seq.data.links import Link, is_index
from hf_attn_seq2seq.messages import quoted


if TYPE_CHECKING:
    import torch

_ROUNDING = 1e-3  # a mean of half-precision weights may exceed 1 by this much


def attention_matrix(weights: torch.Tensor | np.ndarray) -> np.ndarray:
    """Checks the attention weights of one sentence and returns them as a float64 array of the same shape.

    Args:
        weights: `(tgt_len, src_len)`, one head of one layer (or a mean of them), each weight from 0 to 1.

    Raises:
        ValueError: if the shape is different or empty, or a weight is not a number from 0 to 1.
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
        raise ValueError("the attention weights contain NaN or infinity: they must be numbers from 0 to 1.")
    if matrix.min() < 0 or matrix.max() > 1 + _ROUNDING:
        raise ValueError(
            f"the attention weights range from {matrix.min():.4g} to {matrix.max():.4g}: they must be between 0 and 1 "
            "(these may be scores, from before the softmax)."
        )
    return matrix


class WordAttention(NamedTuple):
    """Attention of one sentence between words.

    `matrix`: `(target words, source words)`; a row sums to 1 minus the weight on special tokens. `null`:
    `(target words,)`, the largest weight on a special source token.
    """

    matrix: np.ndarray
    null: np.ndarray

    def renormalised(self) -> WordAttention:
        """The same without special tokens: rows sum to 1 over the words, or stay 0."""
        total = self.matrix.sum(axis=1, keepdims=True)
        return WordAttention(self.matrix / np.where(total > 0, total, 1.0), np.zeros_like(self.null))

    def best(self) -> list[int | None]:
        """For each target word the source word with the most weight (the first of several), or None if a special token
        has more weight or all weights are 0."""
        if not self.matrix.size:
            return [None] * len(self.matrix)
        best = self.matrix.argmax(axis=1)
        weight = self.matrix[np.arange(len(best)), best]
        linked = (weight > 0) & (weight >= self.null)
        return [int(source) if is_linked else None for source, is_linked in zip(best, linked)]

    def links(self, threshold: float | None = None) -> frozenset[Link]:
        """The links that follow from the weights.

        Args:
            threshold: None links each target word to the source word with the most weight (the first of several), or
                to none if a special token has more. A number from 0 to 1 links all pairs of words with at least that
                weight, so a word may have no link, one or several.
        """
        if threshold is None:
            return frozenset((source, target) for target, source in enumerate(self.best()) if source is not None)
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold={threshold} must be above 0 and at most 1.")
        return frozenset((int(source), int(target)) for target, source in np.argwhere(self.matrix >= threshold))


def word_attention(
    weights: torch.Tensor | np.ndarray, source_shares: np.ndarray, target_shares: np.ndarray
) -> WordAttention:
    """Merges tokens into words: weights of a word's source tokens are summed, rows of its target tokens averaged.

    Args:
        weights: `(tgt_len, src_len)`, each from 0 to 1; row `t` belongs to target token `t`.
        source_shares: `(src_len, source words)`, the share of each token in each word, with rows of zeros for special
            tokens, as returned by `hf_attn_seq2seq.data.words.word_shares`.
        target_shares: `(tgt_len, target words)`, the same for the target; tokens outside all words are ignored.

    Raises:
        ValueError: if the weights are not such a matrix, or the shares do not match it.
    """
    matrix = attention_matrix(weights)
    for name, shares, length in (("source", source_shares, matrix.shape[1]), ("target", target_shares, len(matrix))):
        if shares.ndim != 2 or len(shares) != length:
            raise ValueError(f"{name}_shares has shape {shares.shape}: it needs one row per token, {length} in all.")
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

    Row `t` of the weights must belong to target token `t`. If words have several tokens, the weights of a word's
    source tokens are summed and the rows of its target tokens averaged. Special source tokens (padding, the end token)
    compete: if one of them has the largest weight, or the row is zero, the target word gets no link. Among equal
    weights the first source word wins.

    Args:
        weights: `(tgt_len, src_len)`, each from 0 to 1.
        source_words: the word index of each source token, or None for a special token, as returned by
            `BatchEncoding.word_ids()`; by default every token is a word.
        target_words: the same for the target tokens; rows of special tokens are ignored.

    Returns:
        the links, as `(source word, target word)`.

    Raises:
        ValueError: if the weights are not such a matrix, or the words do not match it.
    """
    tgt_len, src_len = attention_matrix(weights).shape
    return word_attention(
        weights, _shares("source_words", source_words, src_len), _shares("target_words", target_words, tgt_len)
    ).links()


def _shares(name: str, words: Sequence[int | None] | None, length: int) -> np.ndarray:
    """`(tokens, words)`, 1 where the token belongs to the word."""
    if words is None:
        return np.eye(length)
    if len(words) != length:
        raise ValueError(
            f"{name} has {len(words)} entries for {length} tokens: give every token a word index or None."
        )
    for position, word in enumerate(words):
        if word is not None and not is_index(word):
            raise ValueError(f"{name}[{position}] is {quoted(word)}: it must be a word index from 0, or None.")
    count = max((word + 1 for word in words if word is not None), default=0)
    return np.array([[float(word == index) for index in range(count)] for word in words]).reshape(length, count)
