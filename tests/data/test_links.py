# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Sets of links: both directions made one, turned round, and the Pharaoh format."""

import pytest

from hf_attn_seq2seq.data.links import from_pharaoh, symmetrise, to_pharaoh, turned


FORWARD = from_pharaoh("0-0 1-1 1-2 5-4 1-5")
BACKWARD = from_pharaoh("0-0 1-1 2-3 3-0 0-1")


@pytest.mark.parametrize(
    ("method", "links"),
    [
        ("intersection", "0-0 1-1"),
        ("union", "0-0 0-1 1-1 1-2 1-5 2-3 3-0 5-4"),
        # 1-2 lies beside 1-1 and has a target word without a link; only then 2-3 lies beside a link. 0-1 lies beside
        # 0-0, but both its words are linked.
        ("grow-diag", "0-0 1-1 1-2 2-3"),
        # Of the rest, 5-4 alone has two words without a link.
        ("grow-diag-final-and", "0-0 1-1 1-2 2-3 5-4"),
        # Of 1-5 and 3-0 one word has none.
        ("grow-diag-final", "0-0 1-1 1-2 1-5 2-3 3-0 5-4"),
    ],
)
def test_symmetrisation_by_hand(method, links):
    assert to_pharaoh(symmetrise(FORWARD, BACKWARD, method)) == links


def test_final_gives_the_forward_direction_the_first_word():
    # Both would give source word 2 its only link.
    forward, backward = {(0, 0), (2, 0)}, {(0, 0), (2, 2)}
    assert symmetrise(forward, backward, "grow-diag-final") == {(0, 0), (2, 0), (2, 2)}
    assert symmetrise({(2, 2)}, {(2, 0)}, "grow-diag-final-and") == {(2, 2)}


@pytest.mark.parametrize("method", ["intersection", "union", "grow-diag", "grow-diag-final", "grow-diag-final-and"])
def test_directions_that_agree_or_find_nothing(method):
    assert symmetrise(FORWARD, FORWARD, method) == FORWARD
    assert symmetrise(frozenset(), frozenset(), method) == frozenset()


def test_bad_symmetrisation():
    with pytest.raises(ValueError, match="Unknown symmetrization method 'grow': choose one of intersection, union"):
        symmetrise(FORWARD, BACKWARD, "grow")
    with pytest.raises(ValueError, match="backward is of type list"):
        symmetrise(FORWARD, [(0, 0)])


def test_turned_links():
    assert turned({(0, 2), (1, 1)}) == {(2, 0), (1, 1)}


def test_pharaoh_by_hand():
    assert to_pharaoh({(10, 0), (2, 1), (2, 0)}) == "2-0 2-1 10-0"
    assert from_pharaoh(" 2-0 10-0\t2-1 2-0\n") == {(2, 0), (2, 1), (10, 0)}
    assert from_pharaoh("") == frozenset()
    assert to_pharaoh([]) == ""


@pytest.mark.parametrize("text", ["1", "1-", "-1-2", "1-2-3", "1 - 2", "a-b", "1.0-2", "0-0 1:2", "²-1", "1-2,3-4"])
def test_bad_pharaoh(text):
    with pytest.raises(ValueError, match="is not a link: write source and target index"):
        from_pharaoh(text)
