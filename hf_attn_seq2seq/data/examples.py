# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Pairs as training examples: `datasets` tables of tokens and, if wanted, word links; sounds, pictures and tokens."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from hf_attn_seq2seq.copying import extend
from hf_attn_seq2seq.data.augmentation import AugmentationSettings, changed_picture, spec_augment
from hf_attn_seq2seq.data.features import FeatureFile, FeatureReader, as_picture
from hf_attn_seq2seq.data.links import from_pharaoh, to_pharaoh
from hf_attn_seq2seq.data.subword_sampling import SubwordSampler
from hf_attn_seq2seq.data.words import WORDS, WordKind, Words, count_words, token_words, word_shares


_STRAIGHT, _ANGLED = re.compile('"([^"]*)"'), re.compile(r"«\s*([^«»]*?)\s*»")
_STOPS = ".!?…。！？؟।" + " \t\n\u00a0\u202f"  # French has narrow spaces before some


@dataclass(frozen=True)
class Examples:
    """
    The pairs of one split of a corpus, as tokens and as text.

    Args:
        encoded: Table with the columns `input_ids` and `labels`, and those of word links for guided alignment; or
            sounds or pictures.
        sources: The source texts, to be translated for evaluation, or the names of the files.
        references: The references of each of `sources`.
    """

    encoded: "Dataset | MediaExamples"
    sources: Sequence[str] = ()
    references: Sequence[Sequence[str]] = ()


def encode(
    pairs: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int = 256,
    num_proc: int | None = None,
    links_of: WordKind | None = None,
    slots: int = 0,
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
        slots: How many words outside the vocabulary have ids of their own in a source and its target, for a pointer
            to copy (`pointer_slots` of the model).
    """

    def encode_rows(rows: dict[str, list[Any]]) -> dict[str, Any]:
        options = {"truncation": True, "max_length": max_length}
        options["return_offsets_mapping"] = links_of is not None or slots > 0
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
        if slots:
            words = extend(sources, tokenizer, rows["source"], len(tokenizer), slots)
            extend(targets, tokenizer, rows["target"], len(tokenizer), slots, words)
        return encoded

    return pairs.map(encode_rows, batched=True, num_proc=num_proc, remove_columns=pairs.column_names, desc="Tokens")


def encode_targets(
    pairs: Dataset, tokenizer: PreTrainedTokenizerBase, max_length: int = 256, num_proc: int | None = None
) -> Dataset:
    """
    Tokenize the column `target` to `labels`, with its end token, for sources that are files; cached as by [`encode`].

    Args:
        max_length: Longer texts are truncated to this many tokens.
        num_proc: Number of processes.
    """

    def encode_rows(rows: dict[str, list[Any]]) -> dict[str, Any]:
        return {"labels": tokenizer(text_target=rows["target"], truncation=True, max_length=max_length)["input_ids"]}

    unused = [name for name in pairs.column_names if name not in ("starts", "lengths")]
    return pairs.map(encode_rows, batched=True, num_proc=num_proc, remove_columns=unused, desc="Tokens")


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
    Remove the final punctuation (`.`, `!`, `?`, `…`) from some pairs, lowercase the first letter of some, and write
    the apostrophes and quotation marks of some sources otherwise: `’` for `'`, `“ ”` for `" "`, and `" "` for `« »`.

    Each change is drawn independently for about `share` of the pairs. The first two are made on both sides where they
    apply: punctuation before a closing quotation mark stays, and so do the capitals of `USA`. A model trained on
    well-edited sentences thus learns to read text as people type it: `where is the station`.

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
        curly = random.random(len(indices)) < share
        changed["source"] = [
            _with_other_marks(text, links_of) if draw else text for text, draw in zip(changed["source"], curly)
        ]
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


def _with_other_marks(text: str, links_of: WordKind | None) -> str:
    text = _STRAIGHT.sub(r"“\1”", text.replace("'", "’"))
    # The spaces inside « » go too, which are between words that links may count.
    return text if links_of == "whitespace" else _ANGLED.sub(r'"\1"', text)


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


class MediaExamples:
    """
    Sounds or pictures, read from their features when they are asked for, with the tokens of their targets.

    Args:
        encoded: Table with the columns `starts` and `lengths`, and to learn from `labels` (see [`encode_targets`]).
        features: The features of its split.
        reader: What computed them.
        augmentation: How each is changed, anew in every epoch and reproducibly by seed, epoch and index; None: not.
        seed: Random seed of the changes.
    """

    def __init__(
        self,
        encoded: Dataset,
        features: FeatureFile,
        reader: FeatureReader,
        augmentation: AugmentationSettings | None = None,
        seed: int = 0,
    ) -> None:
        self.encoded, self.features, self.reader = encoded, features, reader
        self.augmentation, self.seed, self.epoch = augmentation, seed, 0
        speeds = augmentation.speed_perturbation if augmentation is not None else []
        self.versions = [reader.speeds.index(speed) for speed in speeds] or [0]

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.encoded)

    def lengths(self) -> np.ndarray:
        """The frames of each sound, or the columns of pixels of each picture: as many as it can have."""
        table = self.encoded.with_format("arrow")[:]["lengths"]
        longest = np.array([max(row[version] for version in self.versions) for row in table.to_pylist()])
        if self.reader.kind == "image" and self.augmentation is not None and self.reader.settings.width is None:
            longest = np.ceil(longest * (1 + self.augmentation.stretch)).astype(np.int64)
        return longest

    def __getitems__(self, indices: list[int]) -> list[dict[str, Any]]:
        rows = self.encoded[indices]
        examples = [self._source(*row) for row in zip(indices, rows["starts"], rows["lengths"])]
        if "labels" not in rows:
            return examples
        return [{**example, "labels": labels} for example, labels in zip(examples, rows["labels"])]

    def _source(self, index: int, starts: list[int], lengths: list[int]) -> dict[str, Any]:
        settings, random = self.augmentation, np.random.default_rng((self.seed, self.epoch, index))
        version = 0 if len(self.versions) == 1 else int(random.integers(len(self.versions)))
        version = self.versions[version]
        rows = self.features.rows(starts[version], lengths[version])
        if self.reader.kind == "audio":
            frames = rows.astype(np.float32)
            if settings is not None and settings.spec_augment is not None:
                frames = spec_augment(frames, settings.spec_augment, random)
            return {"input_features": frames}
        pixels = as_picture(rows, self.reader.settings.channels)
        if settings is not None and settings.changes_pictures:
            pixels = changed_picture(pixels, settings, random, fixed=self.reader.settings.width is not None)
        return {"pixel_values": pixels}
