# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Which cases of a test run where not all do: a test that crosses what can be combined has hundreds, of which most repeat
what others show, and of a test whose cases take seconds each (`pytest.mark.costly`) every eighth runs, at least two.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence

import pytest


FEW = 12  # tests with no more cases run all of them
SHARE = 8  # at least one case in so many runs
COSTLY = 8  # one in so many runs, and at least two


def spread(cases: Sequence[frozenset[Hashable]]) -> list[int]:
    """
    Places of cases in which each value occurs, and about equally often: at least one in [`SHARE`] of them.

    Args:
        cases: The values of each.
    """
    left = frozenset().union(*cases)
    used: Counter[Hashable] = Counter()
    rest = dict(enumerate(cases))
    chosen: list[int] = []
    while left or len(chosen) * SHARE < len(cases):
        # One with the most values that are missing; among such, one whose values were used least; the first.
        best = min(
            rest, key=lambda place: (-len(left & rest[place]), sum(used[value] for value in rest[place]), place)
        )
        chosen.append(best)
        values = rest.pop(best)
        used.update(values)
        left -= values
    return chosen


def values_of(item: pytest.Function) -> frozenset[Hashable]:
    """What tells a case from others: its parameters, and the entries of those that are dictionaries."""
    values: set[Hashable] = set()
    for name, value in item.callspec.params.items():
        if isinstance(value, dict) and value:
            values.update((name, key, repr(each)) for key, each in value.items())
        else:
            values.add((name, repr(value)))
    return frozenset(values)


def some_cases(items: Sequence[pytest.Item]) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """The tests to run, and the cases that are left out. Costly tests of several classes are cases of one."""
    tests: defaultdict[tuple[str, bool], list[int]] = defaultdict(list)
    for place, item in enumerate(items):
        costly = item.get_closest_marker("costly") is not None
        path, *classes, name = item.nodeid.partition("[")[0].split("::")
        tests["::".join([path, name] if costly else [path, *classes, name]), costly].append(place)
    kept: set[int] = set()
    turn = 0  # of the classes, whose tests are in the same order
    for (_, costly), every in tests.items():
        if costly:
            step = max(1, min(COSTLY, len(every) // 2))
            kept.update(every[turn % step :: step])
            turn += 1
        elif len(every) <= FEW:
            kept.update(every)
        else:
            kept.update(every[place] for place in spread([values_of(items[place]) for place in every]))
    left = [item for place, item in enumerate(items) if place not in kept]
    return [item for place, item in enumerate(items) if place in kept], left
