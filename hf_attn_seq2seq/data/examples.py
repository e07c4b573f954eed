# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Sentence pairs as training examples: `datasets` tables of tokens and, if wanted, word links."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from hf_attn_seq2seq.data.links import from_pharaoh, to_pharaoh
from hf_attn_seq2seq.data.subword_sampling import SubwordSampler
from hf_attn_seq2seq.data.words import WORDS, WordKind, Words, count_words, token_words, word_shares


_STOPS = ".!?…。！？؟।" + " \t\n\u00a0\u202f"  # French has narrow spaces before some


@dataclass(frozen=True)
class Examples:
    """
    The pairs of one split of a corpus, as tokens and as text.

    Args:
        encoded: Table with the columns `input_ids` and `labels`, and those of word links for guided alignment.
        sources: The source texts, to be translated for evaluation.
        references: The references of each of `sources`.
    """

    encoded: Dataset
    sources: Sequence[str] = ()
    references: Sequence[Sequence[str]] = ()


def encode(
    pairs: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int = 256,
    num_proc: int | None = None,
    links_of: WordKind | None = None,
) -> Dataset:
    """
    Tokenize the columns `source` and `target` to `input_ids` and `labels`, each with its end token.

    For tables read from disk, the tokens are cached on disk beside them, keyed by their inputs.

    Args:
        max_length: Longer texts are truncated to this many tokens.
        num_proc: Number of processes.
        links_of: Which kind of words the column `alignment` counts: as found by `cut_words`, or separated by
            whitespace. The result then also has `links`, a flat list of index pairs, and `source_words` and
            `target_words`, the word of each token or -1.
    """

    def encode_rows(rows: dict[str, list[Any]]) -> dict[str, Any]:
        options = {"truncation": True, "max_length": max_length, "return_offsets_mapping": links_of is not None}
        sources, targets = tokenizer(rows["source"], **options), tokenizer(text_target=rows["target"], **options)
        encoded = {"input_ids": sources["input_ids"], "labels": targets["input_ids"]}
        if links_of is not None:
            encoded["links"] = [
                [word for link in sorted(from_pharaoh(text or "")) for word in link] for text in rows["alignment"]
            ]
            for name, texts, tokens in (("source", rows["source"], sources), ("target", rows["target"], targets)):
                encoded[f"{name}_words"] = [
                    _words_of_tokens(WORDS[links_of](text), offsets)
                    for text, offsets in zip(texts, tokens["offset_mapping"])
                ]
        return encoded

    return pairs.map(encode_rows, batched=True, num_proc=num_proc, remove_columns=pairs.column_names, desc="Tokens")


def _words_of_tokens(words: Words, offsets: Sequence[tuple[int, int]]) -> list[int]:
    return [-1 if word is None else word for word in token_words(word_shares(offsets, words))]


def text_examples(
    tokenizer: PreTrainedTokenizerBase, pairs: Sequence[tuple[str, str]], max_length: int = 256
) -> Examples:
    """Examples from pairs in memory."""
    sources, targets = [source for source, _ in pairs], [target for _, target in pairs]
    encoded = encode(Dataset.from_dict({"source": sources, "target": targets}), tokenizer, max_length)
    return Examples(encoded, sources, [[target] for target in targets])


def join_pairs(pairs: Dataset, most: int, seed: int, links_of: WordKind | None = None) -> Dataset:
    """
    Shuffle the pairs and join runs of one to `most` of them (each length equally likely) with spaces.

    Every pair is used exactly once. A model trained on short sentences learns longer texts this way.

    Args:
        links_of: Which kind of words the column `alignment` counts, if it is to be joined too (see `encode`).

    Raises:
        ValueError: If `most` is below 1.
    """
    if most < 1:
        raise ValueError(f"most={most} must be at least 1.")
    columns = ["source", "target", *(["alignment"] if links_of else [])]

    def join_rows(rows: dict[str, list[str]], indices: list[int]) -> dict[str, list[str]]:
        random = np.random.default_rng((seed, indices[0]))
        joined: dict[str, list[str]] = {name: [] for name in columns}
        start, count = 0, len(rows["source"])
        while start < count:
            group = range(start, min(count, start + int(random.integers(1, most + 1))))
            for name in ("source", "target"):
                joined[name].append(" ".join(rows[name][row] for row in group))
            if links_of:
                joined["alignment"].append(_joined_links(rows, group, links_of))
            start = group.stop
        return joined

    shuffled = pairs.select_columns(columns).shuffle(seed=seed)
    return shuffled.map(join_rows, batched=True, with_indices=True, desc="Joining pairs")


def _joined_links(rows: dict[str, list[str]], group: range, links_of: WordKind) -> str:
    links, source_words, target_words = set(), 0, 0
    for row in group:
        for source, target in from_pharaoh(rows["alignment"][row] or ""):
            links.add((source_words + source, target_words + target))
        source_words += count_words(rows["source"][row], links_of)
        target_words += count_words(rows["target"][row], links_of)
    return to_pharaoh(links)


def augment_case_punctuation(pairs: Dataset, share: float, seed: int, links_of: WordKind | None = None) -> Dataset:
    """
    Remove the final punctuation (`.`, `!`, `?`, `…`) from some pairs, and lowercase the first letter of some.

    Each change is drawn independently for about `share` of the pairs, and made on both sides where it applies:
    punctuation before a closing quotation mark stays, and so do the capitals of `USA`. A model trained on well-edited
    sentences thus learns to read text as people type it: `where is the station`.

    Args:
        share: Share of the pairs, in [0, 1].
        links_of: Which kind of words the column `alignment` counts, if there is one (see `encode`). Links of removed
            punctuation are removed too.

    Raises:
        ValueError: If `share` is not in [0, 1].
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share={share} must be in [0, 1].")

    def change_rows(rows: dict[str, list[str]], indices: list[int]) -> dict[str, list[str]]:
        random = np.random.default_rng((seed, 1, indices[0]))  # a different stream from join_pairs
        draws = random.random((len(indices), 2)) < share
        changed: dict[str, list[str]] = {
            name: [_without(text, *draw) for text, draw in zip(rows[name], draws)] for name in ("source", "target")
        }
        if links_of:
            texts = zip(changed["source"], changed["target"], rows["alignment"])
            changed["alignment"] = [_links_within(*row, links_of) for row in texts]
        return changed

    return pairs.map(change_rows, batched=True, with_indices=True, desc="Case and punctuation augmentation")


def _without(text: str, no_stop: bool, no_capital: bool) -> str:
    if no_stop:
        text = text.rstrip(_STOPS) or text
    if no_capital and not text[1:2].isupper() and len(first := text[:1].lower()) == 1:
        text = first + text[1:]  # İ would become two characters, and shift the following words
    return text


def _links_within(source: str, target: str, links: str | None, links_of: WordKind) -> str:
    sources, targets = count_words(source, links_of), count_words(target, links_of)
    return to_pharaoh({(i, j) for i, j in from_pharaoh(links or "") if i < sources and j < targets})


class SampledExamples:
    """
    Examples whose subword segmentation is resampled every epoch, reproducibly by seed and epoch.

    Args:
        pairs: Table with the columns `source` and `target`.
        tokenizer: With one vocabulary or two; kinds without subwords are refused.
        sampling: See `SubwordSampler`.
        max_length: Longer texts are truncated to this many tokens.
        seed: Random seed of the sampling.
    """

    def __init__(self, pairs: Dataset, tokenizer: Any, sampling: float, max_length: int = 256, seed: int = 0) -> None:
        self.pairs, self.seed, self.epoch = pairs, seed, 0
        self.source = SubwordSampler(tokenizer.source, sampling, max_length)
        self.target = SubwordSampler(tokenizer.target, sampling, max_length)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitems__(self, indices: list[int]) -> list[dict[str, list[int]]]:
        rows = self.pairs[indices]
        return [
            {
                "input_ids": self.source(source, self.seed, self.epoch, index, 0),
                "labels": self.target(target, self.seed, self.epoch, index, 1),
            }
            for index, source, target in zip(indices, rows["source"], rows["target"])
        ]
