# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
from pathlib import Path

import pytest

from hf_attn_seq2seq.data.prepare import prepare_corpus
from hf_attn_seq2seq.data.scan_commands import all_commands, scan_pairs
from hf_attn_seq2seq.data.settings import DataSettings


def interpreted(command: str) -> list[str]:
    """The actions, read off a command by the rules of figure 7, where the package builds both together."""
    for joint in (" and ", " after "):
        if joint in command:
            first, second = map(interpreted, command.split(joint))
            return first + second if joint == " and " else second + first
    *words, last = command.split()
    if last in ("twice", "thrice"):
        return interpreted(" ".join(words)) * (2 if last == "twice" else 3)
    if last not in ("left", "right"):
        return [f"I_{last.upper()}"]
    turn = [f"I_TURN_{last.upper()}"]
    move = [] if words[0] == "turn" else interpreted(words[0])
    return {1: turn + move, 2: 2 * turn + move if words[-1] == "opposite" else 4 * (turn + move)}[len(words)]


def test_every_command_has_its_actions() -> None:
    commands = all_commands()
    assert len({pair.command for pair in commands}) == len(commands) == 20_910
    for pair in commands:
        assert pair.actions.split() == interpreted(pair.command)
    assert dict(commands)["jump opposite left after walk around left"] == (
        "I_TURN_LEFT I_WALK I_TURN_LEFT I_WALK I_TURN_LEFT I_WALK I_TURN_LEFT I_WALK I_TURN_LEFT I_TURN_LEFT I_JUMP"
    )


@pytest.mark.parametrize(
    ("split", "sizes"),
    [
        ("simple", (16_728, 4_182)),
        ("length", (16_990, 3_920)),
        ("add_jump", (14_670, 7_706)),
        ("add_turn_left", (21_890, 1_208)),
    ],
)
def test_the_splits_have_the_sizes_of_the_authors_files(split, sizes) -> None:
    train, test = (scan_pairs(split, part) for part in ("train", "test"))
    assert (len(train), len(test)) == sizes
    assert set(train) | set(test) == set(all_commands())
    assert set(train).isdisjoint(test)


def test_what_a_test_asks_for_was_not_shown() -> None:
    assert max(len(pair.actions.split()) for pair in scan_pairs("length", "train")) == 22
    assert min(len(pair.actions.split()) for pair in scan_pairs("length", "test")) == 24
    for split, added in (("add_jump", "jump"), ("add_turn_left", "turn left")):
        shown = [pair.command for pair in scan_pairs(split, "train") if added in pair.command]
        assert set(shown) == {added}
        assert all(added in pair.command for pair in scan_pairs(split, "test"))
    assert scan_pairs("simple", "test", 1) == scan_pairs("simple", "test", 1) != scan_pairs("simple", "test", 2)


@pytest.mark.parametrize("split", ["length", "add_jump"])
def test_a_recipe_that_trains_on_it_has_its_test(split: str, tmp_path: Path) -> None:
    fields = {"train": {"scan": {"split": split}}, "validation_size": 50, "cleaning": {"drop_duplicates": False}}
    corpus = prepare_corpus(DataSettings(**fields), tmp_path / "corpus")
    assert list(corpus.tests) == ["test"]
    test = corpus.tests["test"]
    assert list(zip(test["source"], test["target"])) == scan_pairs(split, "test")
    assert len(corpus.validation) == 50
    assert len(corpus.train) == len(scan_pairs(split, "train")) - 50


def test_it_is_one_origin_of_a_source() -> None:
    with pytest.raises(ValueError, match="this one has grammar and scan"):
        DataSettings(train={"scan": {}, "grammar": {}})
