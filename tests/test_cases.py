# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Of a test's many cases, those that run have every value."""

from collections import Counter
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest

from tests.cases import FEW, SHARE, some_cases, spread
from tests.conftest import pytest_collection_modifyitems


def test_every_value_occurs_about_equally_often() -> None:
    cases = [frozenset(enumerate(case)) for case in product("abcde", "xyz", (True, False), "mn")]
    chosen = spread(cases)
    assert len(chosen) == len(set(chosen)) == -(-len(cases) // SHARE)
    for axis, values in enumerate((5, 3, 2, 2)):
        counts = Counter(value for place in chosen for at, value in cases[place] if at == axis)
        assert len(counts) == values
        assert max(counts.values()) - min(counts.values()) <= 1
    alone = [frozenset([("name", str(number))]) for number in range(50)]
    assert sorted(spread(alone)) == list(range(50))  # no case repeats another


def item(name: str, marks: tuple[str, ...] = (), **params: object) -> Any:
    return SimpleNamespace(
        nodeid=f"tests/test_x.py::{name}[{params}]" if params else f"tests/test_x.py::{name}",
        callspec=SimpleNamespace(params=params),
        get_closest_marker=lambda mark: mark if mark in marks else None,
    )


def test_of_costly_tests_every_eighth_and_at_least_two_run_in_turn() -> None:
    items = [item(f"{each}::test_{name}", ("costly",)) for each in "ABCDE" for name in "xyz"]
    kept, left = some_cases(items)
    names = [each.nodeid.partition("::")[2] for each in kept]
    assert names == [
        "A::test_x",
        "A::test_z",
        "B::test_y",
        "C::test_x",
        "C::test_z",
        "D::test_y",
        "E::test_x",
        "E::test_z",
    ]
    assert len(kept) + len(left) == len(items)
    for cases, some in ((1, 1), (3, 3), (4, 2), (9, 3), (15, 3), (16, 2), (40, 5)):
        assert len(some_cases([item("test_one", ("costly",), size=size) for size in range(cases)])[0]) == some


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ({}, 8 + FEW + 1),
        ({"all_cases": True}, 24 + FEW + 1),
        ({"keyword": "many"}, 24 + FEW + 1),
        ({"args": ["tests/test_x.py::test_many"]}, 24 + FEW + 1),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_all_of_them_run_where_they_are_asked_for(asked: dict[str, Any], kept: int) -> None:
    fields = [{"a": 1, "b": 2}, {"a": 2, "b": 2}, {"a": 1, "b": 1}]
    many = [item("test_many", size=size, fields=each) for size, each in product(range(8), fields)]
    items = [*many, *(item("test_few", size=size) for size in range(FEW)), item("test_one")]
    before, left_out = list(items), []
    options = SimpleNamespace(all_cases=asked.get("all_cases", False), keyword=asked.get("keyword", ""))
    hook = SimpleNamespace(pytest_deselected=lambda items: left_out.extend(items))
    pytest_collection_modifyitems(SimpleNamespace(option=options, args=asked.get("args", ["tests"]), hook=hook), items)
    assert len(items) == kept
    assert sorted(map(before.index, [*items, *left_out])) == list(range(len(before)))
    assert {repr(each.callspec.params["size"]) for each in items[:-1]} >= set("01234567")
