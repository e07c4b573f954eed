# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
What the chapters say, with slots for what is different in each run.

The writers of `hf_attn_seq2seq.explain.chapters` are asked about a run whose facts are slots such as `⟦chosen⟧`, once
for each case in which they speak differently. The page chooses the case and fills the slots, and so says what Python
says, without the words.
"""

from __future__ import annotations

import copy
import re
from dataclasses import asdict
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_attn_seq2seq.explain.chapters import ChapterText, Facts, chapters_of, sentence_of
from hf_attn_seq2seq.explain.document import Trace


if TYPE_CHECKING:
    from typing_extensions import Self

LABELS = re.compile(r"⟦first⟧ \| [^.]*(?=\. Each token)")
# How the words were chosen.
HOW: dict[str, dict[str, Any]] = {"greedy": {}, "beams": {"beams": True}, "given": {"forced": True}}
STEPS = 3  # of the run with slots: a first, the example, and a last


def slot(name: str) -> str:
    return f"⟦{name}⟧"


class _Slot:
    """A number that is written as a slot."""

    name: str

    def __new__(cls, value: float, name: str) -> Self:
        made = super().__new__(cls, value)  # type: ignore[call-arg]
        made.name = name
        return made

    def __format__(self, form: str) -> str:
        return slot(self.name)


class Count(_Slot, int):
    """One of things that are counted."""

    def __repr__(self) -> str:
        return slot(self.name)

    def __add__(self, other: int) -> Count:
        return Count(int(self) + other, self.name)


class Share(_Slot, float):
    """One between 0.005 and 0.995, whose writing has two decimals."""

    def __add__(self, other: float) -> Share:
        return self

    __radd__ = __add__


class SlotFacts(Facts):
    """Facts of which those that differ from run to run are slots."""

    def __init__(self, told: Any) -> None:
        super().__init__(told)
        self.count = Count(len(self.source), "S")
        self.steps = Count(STEPS, "T")

    def chosen(self, step: int) -> str:
        return slot("last" if step == STEPS - 1 else "chosen")

    def fed(self, step: int) -> str:
        return slot("fed")

    def candidate(self, step: int, rank: int) -> str:
        return slot(f"candidate.{rank}")

    def at(self, position: int) -> str:
        return slot(f"at.{position}")


def chapter_templates(first: Trace, second: Trace) -> dict[str, dict[str, dict[str, str]]]:
    """
    The chapters by their keys and cases; a chapter that always speaks alike has the case "".

    Args:
        first, second: Runs of the model, of other lengths, which differ in source and target too.
    """
    found: dict[str, dict[str, dict[str, str]]] = {}
    spoken: dict[str, dict[str, dict[str, Any]]] = {
        "tokens": {"known": {}, "unknown": {"unknown": True}},
        "choice": {
            f"{how} {changed}": {**options, "processed": changed == "processed"}
            for how, options in HOW.items()
            for changed in ("processed", "plain")
        },
        "loop": {
            f"{stopped} {how} {changed}": {**options, "stopped": stopped, "processed": changed == "processed"}
            for stopped in ("end", "limit")
            for how, options in HOW.items()
            for changed in ("processed", "plain")
        },
    }
    for chapter, cases in spoken.items():
        found[chapter] = {}
        for case, options in cases.items():
            found[chapter][case] = _said(chapters_of(_facts(first, second, **options))[chapter])
    whole = chapters_of(_facts(first, second))
    return {chapter: found.get(chapter, {"": _said(text)}) for chapter, text in whole.items()}


def _said(text: ChapterText) -> dict[str, str]:
    """The parts of a chapter, in which the list of all tokens is a slot, and so is the number of changed steps."""
    parts = {name: LABELS.sub(slot("labels"), part) for name, part in asdict(text).items()}
    return {
        name: part.replace(f"scores at {STEPS} steps", f"scores at {slot('changed')} steps")
        for name, part in parts.items()
    }


def sentence_templates(first: Trace, second: Trace) -> dict[str, str]:
    """The sentences on a step, by their cases: which step, where it looked, and whether its word was the likeliest."""
    return {
        f"{step} {look} {rank}": sentence_of(
            _facts(first, second, mostly=look == "mostly", rank=int(rank != "first"), given=rank == "given"),
            int(step == "later"),
        )
        for step in ("start", "later")
        for look in ("mostly", "most")
        for rank in ("first", "given", "other")
    }


def _facts(
    first: Trace,
    second: Trace,
    *,
    unknown: bool = False,
    mostly: bool = True,
    forced: bool = False,
    beams: bool = False,
    processed: bool = False,
    stopped: str = "end",
    rank: int = 0,
    given: bool = False,
) -> SlotFacts:
    document = copy.deepcopy(first.document)
    special = [token for token in document["source"]["tokens"] if token["special"]]
    token = {"token": slot("first"), "text": slot("first"), "id": Count(9, "id"), "special": False, "span": [0, 0]}
    strange = {"token": "<unk>", "text": "", "id": 3, "special": False, "span": [0, 99]}
    document["source"]["tokens"] = [token, *([strange] if unknown else []), *special]
    document["source"]["text"] = slot("written")
    document["target"]["tokens"] = [token] * STEPS
    document["target"]["text"] = slot("text")
    choice = {"probability": Share(0.5, "probability"), "log_probability": Share(0.5, "log_probability")}
    step = {
        "choice": {**choice, "rank": rank, "forced": given},
        "candidates": [{}, {}],
        "processed": [{}] if processed else [],
    }
    document["steps"] = [step] * STEPS
    document["run"] |= {"forced": forced, "stopped": stopped, "max_new_tokens": Count(9, "limit")}
    document["run"] |= {"num_beams": Count(9, "beams") if beams else 1, "score": Share(0.5, "score")}
    # As objects, for arrays of numbers hold no slots.
    row = np.array([Share(0.9 if mostly else 0.4, "weight.0"), Share(0.1, "weight.1")], dtype=object)
    told = SimpleNamespace(
        document=document,
        arrays={name: SimpleNamespace(shape=_shape(name, first, second)) for name in first.arrays},
        input=None,
        weights=lambda layer, head: [row] * STEPS,
        attended=first.attended,
    )
    return SlotFacts(told)


def _shape(name: str, first: Trace, second: Trace) -> tuple[int, ...]:
    """An array's shape, in which the numbers of source tokens and of steps are slots."""
    sizes = {
        (len(first.document[side]["tokens"]), len(second.document[side]["tokens"])): letter
        for side, letter in (("source", "S"), ("target", "T"))
    }
    return tuple(
        Count(one, sizes[one, other]) if (one, other) in sizes else one
        for one, other in zip(first.arrays[name].shape, second.arrays[name].shape)
    )
