# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Repeats and components on disk, against plain dictionaries and a plain graph search."""

import random

import numpy as np
import pytest

from hf_attn_seq2seq.data import splits
from hf_attn_seq2seq.data.splits import Components, Hashes, Keys, find_repeats, is_among, places_among


@pytest.fixture(params=[1 << 18, 16], ids=["one bucket", "many buckets"])
def buckets(request, monkeypatch):
    monkeypatch.setattr(splits, "_BUCKET_ROWS", request.param)


def batches_of(rows, keys, size=50):
    for start in range(0, len(rows), size):
        yield Keys(np.array(rows[start : start + size], "u8"), np.array(keys[start : start + size], "u8"))


def test_repeats_are_found_once_with_their_first_row(tmp_path, buckets):
    draw = random.Random(0)
    rows = sorted(draw.sample(range(2000), 500))  # not every row is kept
    keys = [draw.randrange(1 << 64) for _ in range(200)]
    keys = [draw.choice(keys) for _ in rows]
    first = {}
    expected = {(first[key], row) for row, key in zip(rows, keys) if first.setdefault(key, row) != row}
    found = [pair for r in find_repeats(batches_of(rows, keys), 500, tmp_path) for pair in zip(r.first, r.later)]
    assert len(found) == len(expected) > 100
    assert set(found) == expected
    assert not list(tmp_path.iterdir())


def random_pairs(seed, number=300):
    """Pairs of sentence numbers that join in chains."""
    draw = random.Random(seed)
    return [(draw.randrange(400), draw.randrange(400)) for _ in range(number)]


def components_of(pairs, tmp_path):
    components = Components(len(pairs), tmp_path)
    for side in range(2):
        keys = [pair[side] for pair in pairs]
        components.join(find_repeats(batches_of(range(len(pairs)), keys), len(pairs), tmp_path))
    return components


def groups_by_search(pairs):
    """Groups of rows by walking from pair to pair: the lowest row of each row's group."""
    lowest = {}
    for start in range(len(pairs)):
        waiting = [start]
        while waiting:
            row = waiting.pop()
            if row not in lowest:
                lowest[row] = start
                shared = (i for i, pair in enumerate(pairs) if any(a == b for a, b in zip(pair, pairs[row])))
                waiting += shared
    return [lowest[row] for row in range(len(pairs))]


def all_rows(total):
    return lambda rows: np.ones(len(range(total)[rows]), bool)


@pytest.mark.parametrize("seed", range(3))
def test_groups_are_those_of_a_search(tmp_path, seed, buckets, monkeypatch):
    monkeypatch.setattr(splits, "_CHUNK", 64)
    pairs = random_pairs(seed)
    components = components_of(pairs, tmp_path)
    validation, test = components.choose(all_rows(300), [40, 20], seed)
    groups = components.groups_of(slice(None)).tolist()
    assert groups == groups_by_search(pairs)
    assert not set(validation) & set(test)
    assert sum(group in validation for group in groups) == 40
    assert sum(group in test for group in groups) == 20


def test_the_seed_alone_decides(tmp_path):
    pairs = [(i, i) for i in range(50)]
    drawn = [components_of(pairs, tmp_path).choose(all_rows(50), [10], seed)[0].tolist() for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert all(len(groups) == 10 for groups in drawn)
    assert drawn[0] != list(range(10))


def test_rows_that_are_not_kept_do_not_count(tmp_path):
    pairs = [(0, 0), (0, 1), (0, 2), (3, 3), (4, 4)]
    kept = np.array([True, False, False, False, True])
    [groups] = components_of(pairs, tmp_path).choose(lambda rows: kept[rows], [2], 0)
    assert groups.tolist() == [0, 4]


def test_groups_stay_whole_and_a_part_may_stay_smaller(tmp_path):
    chain = [(0, 10), (1, 10), (1, 11), (2, 11)]
    [groups] = components_of([*chain, (5, 15)], tmp_path).choose(all_rows(5), [3], 0)
    assert groups.tolist() == [4]
    with pytest.raises(ValueError, match=r"A set of 1 pairs cannot be split off, because the smallest group .* has 2"):
        components_of([(0, 0), (0, 0), (1, 1), (1, 1), (1, 1)], tmp_path).choose(all_rows(5), [1], 0)


def test_hashes_of_pairs_tell_sides_and_partners_apart():
    def pairs(a, b):
        return Hashes(np.arange(len(a), dtype="u8"), a, b).pairs()

    a, b = np.array([1, 2, 3, 1, 1], "u8"), np.array([1, 1, 2, 2, 3], "u8")
    assert len(set(pairs(a, b))) == 5
    assert not set(pairs(a[1:], b[1:])) & set(pairs(b[1:], a[1:])) - set(pairs(a[[1, 3]], b[[1, 3]]))
    assert pairs(a[1:2], b[1:2]) != pairs(b[1:2], a[1:2])


def test_places_in_a_sorted_array():
    known = np.array([2, 5, 7], "u8")
    assert places_among(np.array([7, 1, 5, 9], "u8"), known).tolist() == [2, -1, 1, -1]
    assert is_among(np.array([7, 1], "u8"), known).tolist() == [True, False]
    assert places_among(known, known[:0]).tolist() == [-1, -1, -1]
