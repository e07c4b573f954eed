# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
SCAN: the commands of a small grammar and the actions that they stand for, split so that a test asks for what training
did not show (Lake and Baroni 2018, "Generalization without Systematicity: On the Compositional Skills of
Sequence-to-Sequence Recurrent Networks", sections 2 and 3 and figures 6 and 7).

All commands are generated here, in the notation of the authors' files. Their random split is their own draw, and ours
another; the other splits are the same pairs.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Literal, NamedTuple


ScanSplit = Literal["simple", "length", "add_jump", "add_turn_left"]
ScanPart = Literal["train", "test"]

TRAIN_SHARE = 0.8  # of "simple"
LONGEST_TRAINED = 22  # actions, of "length"
COPIES_SHARE = 0.1  # of the training pairs, the primitive that is added
_ADDED = {"add_jump": "jump", "add_turn_left": "turn left"}

_MOVES = {"walk": "I_WALK", "look": "I_LOOK", "run": "I_RUN", "jump": "I_JUMP"}
_TURNS = {"left": "I_TURN_LEFT", "right": "I_TURN_RIGHT"}
_TIMES = {"twice": 2, "thrice": 3}


class ScanPair(NamedTuple):
    command: str
    actions: str


def _verb_phrases() -> Iterator[tuple[str, list[str]]]:
    """V of the grammar: a verb, alone or with a direction."""
    for verb, action in _MOVES.items():
        yield verb, [action]
    for verb, direction in itertools.product([*_MOVES, "turn"], _TURNS):
        turn, move = [_TURNS[direction]], [_MOVES[verb]] if verb in _MOVES else []
        yield f"{verb} {direction}", turn + move
        yield f"{verb} opposite {direction}", turn * 2 + move
        yield f"{verb} around {direction}", (turn + move) * 4


def _clauses() -> Iterator[tuple[str, list[str]]]:
    """S of the grammar: V, once, twice or thrice."""
    for command, actions in _verb_phrases():
        yield command, actions
        for adverb, times in _TIMES.items():
            yield f"{command} {adverb}", actions * times


def all_commands() -> list[ScanPair]:
    """The 20,910 commands of the grammar."""
    clauses = list(_clauses())
    found = [ScanPair(command, " ".join(actions)) for command, actions in clauses]
    for (first, actions), (second, more) in itertools.product(clauses, repeat=2):
        found.append(ScanPair(f"{first} and {second}", " ".join(actions + more)))
        found.append(ScanPair(f"{first} after {second}", " ".join(more + actions)))
    return found


def scan_pairs(split: ScanSplit, part: ScanPart, seed: int = 0) -> list[ScanPair]:
    """
    The pairs of one part of a split.

    Args:
        split: `"simple"`: a random fifth is for testing; `"length"`: commands of at most 22 actions train, longer ones
            test; `"add_jump"` and `"add_turn_left"`: all commands with these words test but the bare one, which makes
            a tenth of the training pairs.
        part: Of the split.
        seed: Of the random split.
    """
    commands = all_commands()
    if split == "simple":
        random.Random(seed).shuffle(commands)
        border = round(TRAIN_SHARE * len(commands))
        return commands[:border] if part == "train" else commands[border:]
    if split == "length":
        return [pair for pair in commands if (len(pair.actions.split()) <= LONGEST_TRAINED) == (part == "train")]
    added = _ADDED[split]
    with_it = [pair for pair in commands if f" {added} " in f" {pair.command} "]
    bare = next(pair for pair in with_it if pair.command == added)
    if part == "test":
        return [pair for pair in with_it if pair != bare]
    others = sorted(set(commands).difference(with_it))
    return others + [bare] * round(len(others) * COPIES_SHARE / (1 - COPIES_SHARE))
