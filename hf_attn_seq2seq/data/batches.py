# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Training batches of pairs of similar length, filled up to a number of tokens."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from hf_attn_seq2seq.data.alignment_targets import alignment_targets
from hf_attn_seq2seq.image_processing_attn_seq2seq import AttnSeq2SeqImageProcessor, pad_pixels
from hf_attn_seq2seq.labels import IGNORED


SOURCE_BUCKET = 4  # source lengths are compared in steps of this many tokens


class TokenBudgetSampler:
    """
    Batches of indices whose longer side has at most `batch_tokens` tokens with padding; determined by seed and epoch.

    Examples are sorted by target length, then by source length in steps of four tokens, with ties in random order; or,
    where the source is what costs, by source length alone: a batch of targets of one length, of pictures that are all
    of one size, would be of one kind of target, and a model learns much more slowly from such batches.
    Batches are cut from that order and shuffled. Every epoch therefore has the same number of batches, which resuming
    in the middle of an epoch relies on. Process `rank` of `processes` takes every `processes`-th batch; if the number
    of batches is not a multiple of `processes`, the first ones are used twice.

    Args:
        source_lengths, target_lengths: Lengths of the examples in tokens, or of sounds and pictures in the encoder's
            states.
        batch_tokens: The maximum number of tokens on the longer side, including padding; a longer example is a batch
            by itself.
        batch_size: The maximum number of examples in a batch, or None.
        seed: Random seed of the order; the epoch is set by `set_epoch`.
        by_source: Whether to sort by source length alone.

    Raises:
        ValueError: The numbers of lengths differ, there are no examples, or a limit is below 1.
    """

    def __init__(
        self,
        source_lengths: Sequence[int] | np.ndarray,
        target_lengths: Sequence[int] | np.ndarray,
        batch_tokens: int | None = None,
        batch_size: int | None = None,
        seed: int = 0,
        rank: int = 0,
        processes: int = 1,
        by_source: bool = False,
    ) -> None:
        if len(source_lengths) != len(target_lengths):
            raise ValueError(
                f"There are {len(source_lengths)} source lengths and {len(target_lengths)} target lengths."
            )
        if not len(source_lengths):
            raise ValueError("There are no examples to draw batches from.")
        for name, limit in (("batch_tokens", batch_tokens), ("batch_size", batch_size)):
            if limit is not None and limit < 1:
                raise ValueError(f"{name}={limit} must be at least 1.")
        self.target_lengths = np.asarray(target_lengths)
        self.source_buckets = -(-np.asarray(source_lengths) // SOURCE_BUCKET)
        self.seed, self.rank, self.processes, self.epoch = seed, rank, processes, 0
        costs = np.maximum(self.target_lengths, self.source_buckets * SOURCE_BUCKET)
        # For `lexsort`: the last one first.
        self.sorted_by: tuple[np.ndarray, ...] = (self.source_buckets, self.target_lengths)
        if by_source:
            self.sorted_by = self.sorted_by[:1]
            most = np.zeros(int(self.source_buckets.max()) + 1, dtype=costs.dtype)  # of all in a bucket, in any order
            np.maximum.at(most, self.source_buckets, costs)
            costs = most[self.source_buckets]
        costs = costs[np.lexsort(self.sorted_by)]
        self.boundaries = cut_batches(costs, batch_tokens or len(costs) * int(costs.max()), batch_size or len(costs))

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        """Batches per epoch, for this process."""
        return -(-(len(self.boundaries) - 1) // self.processes)

    def __iter__(self) -> Iterator[list[int]]:
        random = np.random.default_rng((self.seed, self.epoch))
        order = np.lexsort((random.random(len(self.target_lengths)), *self.sorted_by))
        batches = random.permutation(len(self.boundaries) - 1)
        batches = np.resize(
            batches, len(self) * self.processes
        )  # repeats the first ones where they do not divide evenly
        for batch in batches[self.rank :: self.processes]:
            yield order[self.boundaries[batch] : self.boundaries[batch + 1]].tolist()


def cut_batches(costs: np.ndarray, batch_tokens: int, batch_size: int) -> list[int]:
    """Start indices of batches of consecutive examples, and the end; `costs` are the lengths of the examples."""
    boundaries, longest = [0], 0
    for index, cost in enumerate(costs.tolist()):
        rows, longest = index - boundaries[-1] + 1, max(longest, cost)
        if rows > 1 and (rows * longest > batch_tokens or rows > batch_size):
            boundaries.append(index)
            longest = cost
    return [*boundaries, len(costs)]


def pad_batch(examples: Sequence[Mapping[str, Any]], pad_token_id: int, shift: int = 0) -> dict[str, torch.Tensor]:
    """
    Collate examples with `labels` and `input_ids`, `input_features` or `pixel_values`, padded on the right.

    Args:
        shift: Passed to `alignment_targets`.

    Returns:
        `input_ids` and `attention_mask`, `(batch, src_len)`; `labels`, `(batch, tgt_len)`, padded with -100; and, if
        the examples have links, `alignment`, `(batch, tgt_len, src_len)`. Of sounds, `input_features`, `(batch,
        frames, bins)`, and `attention_mask`, `(batch, frames)`; of pictures, `pixel_values`, `(batch, channels,
        height, width)`, and `pixel_mask`, `(batch, height, width)`.
    """
    if "input_features" in examples[0] or "pixel_values" in examples[0]:
        return {**pad_media(examples), "labels": _pad([example["labels"] for example in examples], IGNORED)}
    batch = {
        "input_ids": _pad([example["input_ids"] for example in examples], pad_token_id),
        "attention_mask": _pad([[1] * len(example["input_ids"]) for example in examples], 0),
        "labels": _pad([example["labels"] for example in examples], IGNORED),
    }
    if "links" in examples[0]:
        shape = (batch["labels"].shape[1], batch["input_ids"].shape[1])
        targets = [
            alignment_targets(
                zip(example["links"][::2], example["links"][1::2]),
                [None if word < 0 else word for word in example["source_words"]],
                [None if word < 0 else word for word in example["target_words"]],
                shape,
                shift=shift,
            )
            for example in examples
        ]
        batch["alignment"] = torch.from_numpy(np.stack(targets))
    return batch


def pad_media(examples: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
    """The sources of a batch of sounds or of pictures; see [`pad_batch`]."""
    if "input_features" in examples[0]:
        frames = [example["input_features"] for example in examples]
        count = max(map(len, frames))
        features = np.zeros((len(frames), count, frames[0].shape[1]), np.float32)
        mask = np.zeros((len(frames), count), np.int64)
        for row, values in enumerate(frames):
            features[row, : len(values)] = values
            mask[row, : len(values)] = 1
        return {"input_features": torch.from_numpy(features), "attention_mask": torch.from_numpy(mask)}
    pixels, mask = pad_pixels([example["pixel_values"] for example in examples])
    scaled = AttnSeq2SeqImageProcessor().scale(pixels)  # whose defaults are those of every recipe
    return {"pixel_values": torch.from_numpy(scaled), "pixel_mask": torch.from_numpy(mask)}


def _pad(rows: Sequence[Sequence[int]], filler: int) -> torch.Tensor:
    padded = np.full((len(rows), max(map(len, rows))), filler, dtype=np.int64)
    for row, values in zip(padded, rows):
        row[: len(values)] = values
    return torch.from_numpy(padded)
