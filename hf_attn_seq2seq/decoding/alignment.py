# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Word alignment from a model's attention, for given translations and for the model's own."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hf_attn_seq2seq.data.links import Link, symmetrise, turned
from hf_attn_seq2seq.data.words import Words, cut_words, word_shares
from hf_attn_seq2seq.decoding.attending import evaluating, force_attending
from hf_attn_seq2seq.decoding.engines import Engine, as_engine
from hf_attn_seq2seq.decoding.loading import load_readout  # noqa: F401  # as PairAttention: older models' pipelines
from hf_attn_seq2seq.decoding.offsets import encode_with_offsets
from hf_attn_seq2seq.decoding.readout import END_TOKEN_CHOICES, Aligner, Alignment, PairAttention, Readout
from hf_attn_seq2seq.decoding.text import length_batches, refuse_blank_texts


Pair = tuple[str | Words, str | Words]


class SentenceAttention(NamedTuple):
    """A translation and its attention weights."""

    translation: str
    source_tokens: list[str]
    target_tokens: list[str]  # the generated tokens, including the end token
    weights: torch.Tensor  # (heads, len(target_tokens), len(source_tokens))


def attend(
    model: PreTrainedModel | Engine, tokenizer: PreTrainedTokenizerBase, text: str, *, layer: int = -1, **options: Any
) -> SentenceAttention:
    """
    Translate one text and return the translation with its attention weights.

    Args:
        layer: Index among the decoder layers with attention.
        **options: As of `model.generate`.

    Raises:
        ValueError: The text is blank, or the model has no attention.
    """
    refuse_blank_texts([text])
    inputs = tokenizer([text], return_tensors="np")
    found = as_engine(model).search(**inputs, layer=layer, **options)
    weights = torch.from_numpy(found.attentions)[0]
    chosen = found.sequences[0, 1 : 1 + weights.shape[1]].tolist()  # after the start token
    target = getattr(tokenizer, "target", tokenizer)  # of two vocabularies
    return SentenceAttention(
        str(tokenizer.decode(chosen, skip_special_tokens=True)),
        list(tokenizer.convert_ids_to_tokens(inputs["input_ids"][0].tolist())),
        list(target.convert_ids_to_tokens(chosen)),
        weights[:, : len(chosen)],
    )


def attend_pairs(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, pairs: Sequence[Pair], *, batch_size: int = 64
) -> Iterator[tuple[int, PairAttention]]:
    """
    Yield `(index of the pair, attention)` of a model on given translations (teacher forcing).

    Pairs are yielded in order of length, not in their original order.

    Args:
        pairs: Source and target; a plain string is split into words by `cut_words`.
        batch_size: Pairs per batch.

    Raises:
        ValueError: A text is blank, the model has no attention, or the tokenizer cannot map its tokens to the text.
    """
    cut = [_cut(index, pair) for index, pair in enumerate(pairs)]
    for indices in length_batches([len(source.text) + len(target.text) for source, target in cut], batch_size):
        batch = [cut[index] for index in indices]
        # On the right, so that a target's padding comes after the tokens that are read.
        options: dict[str, Any] = {"padding": True, "padding_side": "right", "return_tensors": "pt"}
        inputs, source_offsets = encode_with_offsets(tokenizer, [source.text for source, _ in batch], **options)
        outputs, target_offsets = encode_with_offsets(
            tokenizer, [target.text for _, target in batch], as_targets=True, **options
        )
        with evaluating(model):
            attentions = force_attending(model, inputs.to(model.device), outputs["input_ids"].to(model.device))
        stacked = torch.stack(attentions, dim=1).float().cpu().numpy()  # batch x layers x heads x tgt_len x src_len
        for row, index in enumerate(indices):
            source, target = cut[index]
            src_len, tgt_len = (int(side["attention_mask"][row].sum()) for side in (inputs, outputs))
            yield (
                index,
                PairAttention(
                    source,
                    target,
                    stacked[row, :, :, :tgt_len, :src_len],
                    word_shares(source_offsets[row][:src_len], source),
                    word_shares(target_offsets[row][:tgt_len], target),
                ),
            )


def align_pairs(
    pairs: Sequence[Pair],
    forward: Aligner,
    backward: Aligner | None = None,
    *,
    method: str = "grow-diag",
    batch_size: int = 64,
) -> list[Alignment]:
    """
    Word alignments of given translations, from one model or from two of opposite directions.

    Args:
        pairs: Source and target; a plain string is split into words by `cut_words`.
        forward: Translates source to target; links each target word.
        backward: Translates target to source; links each source word. The two sets of links are combined by `method`,
            and the weights are averaged.
        method: One of `data.links.SYMMETRISATIONS`.
        batch_size: Pairs per batch.

    Raises:
        ValueError: As for `attend_pairs`, or the model has no such layer or head.
    """
    alignments: list[Any] = [None] * len(pairs)
    readout = forward.way()
    for index, pair in attend_pairs(forward.model, forward.tokenizer, pairs, batch_size=batch_size):
        alignments[index] = pair.alignment(readout)
    if backward is None:
        return alignments
    there = [(alignment.target, alignment.source) for alignment in alignments]
    for index, back in enumerate(align_pairs(there, backward, batch_size=batch_size)):
        alignment = alignments[index]
        links = symmetrise(alignment.links, turned(back.links), method)
        alignments[index] = alignment._replace(links=links, weights=(alignment.weights + back.weights.T) / 2)
    return alignments


def align(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[Pair],
    *,
    readout: Readout | None = None,
    batch_size: int = 64,
) -> list[frozenset[Link]]:
    """
    The links `(source word, target word)` of each pair of texts: [`align_pairs`] with one model.

    Args:
        readout: How links are read from the attention; None: as specified in the model's `alignment.json`.
    """
    return [
        alignment.links for alignment in align_pairs(pairs, Aligner(model, tokenizer, readout), batch_size=batch_size)
    ]


def align_corpus(
    pairs: Iterable[Pair],
    forward: Aligner,
    backward: Aligner | None = None,
    *,
    method: str = "grow-diag",
    batch_size: int = 64,
    chunk_size: int = 4096,
) -> Iterator[Alignment]:
    """
    [`align_pairs`] for a corpus of any size, in its original order; a pair with a blank side has no links.

    Args:
        chunk_size: Number of pairs kept in memory and sorted by length.
    """
    pairs = iter(pairs)
    while chunk := [_words(pair) for pair in itertools.islice(pairs, chunk_size)]:
        whole = [pair for pair in chunk if all(side.spans for side in pair)]
        aligned = iter(align_pairs(whole, forward, backward, method=method, batch_size=batch_size))
        for source, target in chunk:
            if source.spans and target.spans:
                yield next(aligned)
            else:
                nothing = np.zeros((len(target.spans), len(source.spans)))
                yield Alignment(source, target, frozenset(), nothing)


class AgreeingReadouts(NamedTuple):
    """The read-outs of two models and their agreement, from 0 to 1."""

    forward: Readout
    backward: Readout
    agreement: float


def all_readouts(layers: int, heads: int) -> list[Readout]:
    """All combinations of layer, head (or mean of heads), shift 0 or 1, and treatment of the end token."""
    heads_and_mean = [None, *range(heads)] if heads > 1 else [None]
    return [
        Readout(layer, head, shift, end_token)
        for layer, head, shift, end_token in itertools.product(
            range(layers), heads_and_mean, (0, 1), END_TOKEN_CHOICES
        )
    ]


def links_by_readout(
    aligner: Aligner, pairs: Sequence[Pair], readouts: Sequence[Readout] | None, batch_size: int
) -> dict[Readout, list[frozenset[Link]]]:
    """The links of all pairs for each read-out, from one run of the model."""
    table: dict[Readout, list[frozenset[Link]]] = {}
    for index, pair in attend_pairs(aligner.model, aligner.tokenizer, pairs, batch_size=batch_size):
        if not table:
            layers, heads = pair.attention.shape[:2]
            table = {readout: [frozenset()] * len(pairs) for readout in readouts or all_readouts(layers, heads)}
        for readout, links in table.items():
            links[index] = pair.links(readout)
    return table


def agreeing_readouts(
    forward: Aligner, backward: Aligner, pairs: Sequence[Pair], *, batch_size: int = 64
) -> AgreeingReadouts:
    """
    Find the read-outs of two models of opposite directions whose links agree most. No gold alignments are needed.

    Chen et al. 2020 ("Accurate Word Alignment Induction from Neural Machine Translation") select layers this way. The
    agreement is `2 |A ∩ B| / (|A| + |B|)`, with the counts summed over all pairs.

    Args:
        forward, backward: Models that translate source to target and target to source; their read-outs are ignored.
        pairs: Source and target.
    """
    there = links_by_readout(forward, pairs, None, batch_size)
    back = links_by_readout(backward, [(target, source) for source, target in pairs], None, batch_size)
    cells: dict[tuple[int, int, int], int] = {}

    def incidence(table: Iterable[Sequence[Iterable[Link]]]) -> list[set[int]]:
        return [
            {cells.setdefault((pair, *link), len(cells)) for pair, links in enumerate(all_links) for link in links}
            for all_links in table
        ]

    links = incidence(there.values())
    back_links = incidence([[turned(links) for links in all_links] for all_links in back.values()])
    best = AgreeingReadouts(Readout(), Readout(), -1.0)
    for (readout, a), (back_readout, b) in itertools.product(zip(there, links), zip(back, back_links)):
        agreement = 2 * len(a & b) / max(1, len(a) + len(b))
        if agreement > best.agreement:
            best = AgreeingReadouts(readout, back_readout, agreement)
    return best


def _cut(index: int, pair: Pair) -> tuple[Words, Words]:
    if isinstance(pair, str) or len(pair) != 2:
        raise ValueError(f"Pair {index} does not consist of a source and a target: give two texts.")
    refuse_blank_texts([side.text if isinstance(side, Words) else side for side in pair])
    return _words(pair)


def _words(pair: Pair) -> tuple[Words, Words]:
    source, target = (side if isinstance(side, Words) else cut_words(side) for side in pair)
    return source, target
