# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Batches by tokens: nothing lost, within the budget, alike for the same seed, and shared out between processes."""

import numpy as np
import pytest
import torch

from hf_attn_seq2seq.data.batches import TokenBudgetSampler, pad_batch
from hf_attn_seq2seq.image_processing_attn_seq2seq import AttnSeq2SeqImageProcessor


RANDOM = np.random.default_rng(0)
SOURCES, TARGETS = RANDOM.integers(1, 40, 500), RANDOM.integers(1, 40, 500)


def test_an_epoch_has_each_example_once_within_the_budget() -> None:
    sampler = TokenBudgetSampler(SOURCES, TARGETS, batch_tokens=200)
    for epoch in range(3):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert len(batches) == len(sampler)
        assert sorted(index for batch in batches for index in batch) == list(range(500))
        for batch in batches:
            assert max(*SOURCES[batch], *TARGETS[batch]) * len(batch) <= 200


def test_batches_hold_little_padding() -> None:
    lengths = np.sort(RANDOM.integers(4, 40, 2000))
    sampler = TokenBudgetSampler(lengths, lengths, batch_tokens=400)
    padded = sum(lengths[batch].max() * len(batch) for batch in sampler)
    assert padded < 1.05 * lengths.sum()


def test_seed_and_epoch_settle_the_order() -> None:
    def batches(seed: int, epoch: int) -> list[list[int]]:
        sampler = TokenBudgetSampler(SOURCES, TARGETS, batch_tokens=200, seed=seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert batches(1, 2) == batches(1, 2)
    assert batches(1, 2) != batches(1, 3)
    assert batches(1, 2) != batches(2, 2)


def test_processes_share_the_batches_of_one() -> None:
    whole = list(TokenBudgetSampler(SOURCES, TARGETS, batch_tokens=200))
    shares = [
        list(TokenBudgetSampler(SOURCES, TARGETS, batch_tokens=200, rank=rank, processes=3)) for rank in range(3)
    ]
    assert len({len(share) for share in shares}) == 1
    together = [batch for step in zip(*shares) for batch in step]
    assert together[: len(whole)] == whole
    assert together[len(whole) :] == whole[: len(together) - len(whole)]


def test_a_long_example_stands_alone_and_sizes_are_kept() -> None:
    sampler = TokenBudgetSampler([90, 1, 1, 1], [1, 1, 1, 1], batch_tokens=10)
    assert [0] in list(sampler)
    assert max(map(len, TokenBudgetSampler([1] * 10, [1] * 10, batch_size=3))) == 3
    assert len(list(TokenBudgetSampler([5] * 7, [5] * 7))) == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (([1], [1, 2]), "1 source lengths and 2 target lengths"),
        (([], []), "no examples"),
        (([1], [1], 0), "batch_tokens=0"),
        (([1], [1], None, 0), "batch_size=0"),
    ],
)
def test_what_makes_no_batches_is_told(arguments: tuple, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        TokenBudgetSampler(*arguments)


def test_padding_is_on_the_right_and_links_become_a_distribution() -> None:
    plain = [{"input_ids": [5, 6, 2], "labels": [7, 2]}, {"input_ids": [8, 2], "labels": [9, 9, 2]}]
    batch = pad_batch(plain, pad_token_id=0)
    assert batch["input_ids"].tolist() == [[5, 6, 2], [8, 2, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["labels"].tolist() == [[7, 2, -100], [9, 9, 2]]
    assert "alignment" not in batch

    words = [([0, 0, -1], [0, -1], [0, 0]), ([0, -1], [0, 0, -1], [0, 0])]  # source, target, links
    linked = [
        {**example, "source_words": source, "target_words": target, "links": links}
        for example, (source, target, links) in zip(plain, words)
    ]
    targets = pad_batch(linked, pad_token_id=0)["alignment"]
    assert torch.equal(targets[0], torch.tensor([[0.5, 0.5, 0], [0, 0, 0], [0, 0, 0]]))
    assert torch.equal(targets[1], torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 0, 0]]))
    shifted = pad_batch(linked, pad_token_id=0, shift=1)["alignment"]
    assert torch.equal(shifted[0], torch.tensor([[0, 0, 0], [0.5, 0.5, 0], [0, 0, 0]]))


def test_batches_by_source_hold_little_padding_of_sources() -> None:
    sources, targets = RANDOM.integers(20, 400, 2000), RANDOM.integers(1, 40, 2000)

    def padded(by_source: bool) -> int:
        sampler = TokenBudgetSampler(sources, targets, batch_tokens=4000, by_source=by_source)
        batches = list(sampler)
        assert sorted(index for batch in batches for index in batch) == list(range(2000))
        assert all(sources[batch].max() * len(batch) <= 4000 for batch in batches)
        return sum(sources[batch].max() * len(batch) for batch in batches)

    assert padded(True) < 1.03 * sources.sum()
    assert padded(False) > 1.2 * sources.sum()


def test_pictures_of_one_size_come_in_batches_of_every_kind_of_target() -> None:
    targets = RANDOM.integers(1, 40, 800)
    for batch in TokenBudgetSampler([81] * 800, targets, batch_size=16, by_source=True):
        assert len(batch) == 16
        assert np.ptp(targets[batch]) > 10


def test_batches_by_source_keep_to_the_budget_where_targets_are_longer() -> None:
    sources, targets = RANDOM.integers(1, 40, 500), RANDOM.integers(1, 60, 500)
    sampler = TokenBudgetSampler(sources, targets, batch_tokens=600, by_source=True)
    for epoch in range(3):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert len(batches) == len(sampler)
        assert all(max(sources[batch].max(), targets[batch].max()) * len(batch) <= 600 for batch in batches)


def test_sounds_are_padded_with_silence() -> None:
    frames = [RANDOM.normal(size=(length, 4)).astype(kind) for length, kind in ((3, "f2"), (5, "f4"))]
    examples = [{"input_features": each, "labels": [7, 2]} for each in frames]
    batch = pad_batch(examples, pad_token_id=0)
    assert batch["input_features"].dtype == torch.float32
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1] * 5]
    assert torch.equal(batch["input_features"][0, :3], torch.from_numpy(frames[0].astype("f4")))
    assert not batch["input_features"][0, 3:].any()
    assert torch.equal(batch["input_features"][1], torch.from_numpy(frames[1]))
    assert batch["labels"].tolist() == [[7, 2], [7, 2]]


def test_pictures_become_what_their_processor_makes() -> None:
    pictures = [RANDOM.integers(0, 256, (3, 6, width), dtype=np.uint8) for width in (4, 9)]
    batch = pad_batch([{"pixel_values": each, "labels": [2]} for each in pictures], pad_token_id=0)
    processor = AttnSeq2SeqImageProcessor(height=6, channels=3)
    expected = processor([each.transpose(1, 2, 0) for each in pictures], return_tensors="pt")
    assert torch.equal(batch["pixel_values"], expected["pixel_values"])
    assert torch.equal(batch["pixel_mask"], expected["pixel_mask"])
