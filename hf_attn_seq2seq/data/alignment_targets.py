# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Word links as the target distribution over source tokens for guided alignment.

Chen et al. 2016, "Guided Alignment Training for Topic-Aware Neural Machine Translation", section 3, and Garg et al.
2019, "Jointly Learning to Align and Translate with Transformer Models", eq. 4: with attention `A` and target `G`, both
`(tgt_len, src_len)`, the loss of a pair is `-sum_t sum_s G[t, s] log A[t, s]`; rows `t` without a link add nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from hf_attn_seq2seq.data.links import Link


def alignment_targets(
    links: Iterable[Link],
    source_words: Sequence[int | None],
    target_words: Sequence[int | None],
    shape: tuple[int, int] | None = None,
    *,
    shift: int = 0,
) -> np.ndarray:
    """The target distribution `G` of one pair: each token of a linked target word spreads its weight evenly over all
    tokens of the source words that the word is linked to.

    Args:
        links: `(source word, target word)`, counted from 0. Links of words without a token (in truncated texts) are
            ignored.
        source_words, target_words: for each token its word, or None or -1 for special tokens, as returned by
            `hf_attn_seq2seq.data.words.token_words`.
        shape: `(tgt_len, src_len)` of the padded batch; by default that of the pair. Padding is on the right.
        shift: 0 supervises the row that predicts a token; 1 the next row, which has read the token. Alignments must
            be read from the same rows later.

    Returns:
        `(tgt_len, src_len)`, float32: a row sums to 1, or is all 0 and left out of the loss.

    Raises:
        ValueError: if the shape is smaller than the pair, or the shift is negative.
    """
    tgt_len, src_len = shape or (len(target_words), len(source_words))
    if tgt_len < len(target_words) or src_len < len(source_words):
        raise ValueError(
            f"The shape {(tgt_len, src_len)} is smaller than the pair of {len(target_words)} target and "
            f"{len(source_words)} source tokens."
        )
    if shift < 0:
        raise ValueError(f"shift={shift} must not be negative.")
    targets = np.zeros((tgt_len, src_len), dtype=np.float32)
    pairs = np.array(list(links), dtype=np.int64).reshape(-1, 2)
    source, target = _as_array(source_words), _as_array(target_words)
    size = int(max(source.max(initial=-1), target.max(initial=-1))) + 1
    linked = np.zeros((size + 1, size + 1), dtype=bool)  # the last row and column, selected by -1, stay empty
    pairs = pairs[(pairs < size).all(axis=1)]
    linked[pairs[:, 1], pairs[:, 0]] = True
    targets[shift : shift + len(target), : len(source)] = linked[target][:, source][: max(0, tgt_len - shift)]
    targets /= np.maximum(targets.sum(axis=1, keepdims=True), 1)
    return targets


def _as_array(words: Sequence[int | None]) -> np.ndarray:
    return np.array([-1 if word is None else word for word in words], dtype=np.int64)
