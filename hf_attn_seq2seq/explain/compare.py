# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Two traces side by side: different architectures or checkpoints, with and without attention, or a what-if run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from typing import Any, NamedTuple

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hf_attn_seq2seq.console import signed
from hf_attn_seq2seq.decoding.heatmap import visible
from hf_attn_seq2seq.explain.chapters import said, token_label
from hf_attn_seq2seq.explain.document import Trace


STRAIGHT = str.maketrans("“”", '""')


@dataclass(frozen=True)
class Choice:
    """
    The output of one run at a position of the alignment.

    Attributes:
        text: A token or a word.
        steps: The steps that produced it.
        log_probability: The sum of their log-probabilities.
        probability: The product of their probabilities.
    """

    text: str
    steps: list[int]
    log_probability: float
    probability: float


@dataclass(frozen=True)
class Row:
    """
    One position of the alignment of two targets.

    Attributes:
        kind: "same"; "changed": the runs differ; "only_a", "only_b": only one run has something here.
        a, b: The output of each run.
        weights_differ: Total variation of the weights, half the sum of |a_j - b_j|: 0 means equal, 1 means disjoint.
            None if they cannot be compared.
    """

    kind: str
    a: Choice | None
    b: Choice | None
    weights_differ: float | None


@dataclass(frozen=True)
class Side:
    """A summary of one of the two runs."""

    name: str
    kind: str
    source: str
    target: str
    score: float


@dataclass(frozen=True)
class Parting:
    """
    The first position at which the two outputs differ.

    Attributes:
        row: The row of the alignment.
        a_gave_b: The probability that A gave to B's choice there; None if it is unknown, at word level or outside the
            candidates in the trace.
        b_gave_a: The reverse.
    """

    row: int
    a_gave_b: float | None
    b_gave_a: float | None


@dataclass(frozen=True)
class Comparison:
    """
    Two traces, aligned.

    Attributes:
        a, b: The runs.
        level: "token" if both tokenize text in the same way, otherwise "word".
        rows: The rows, in the order of the targets.
        parting: The first difference; None if the outputs are equal.
        weights: Which weights were compared, or why none were.
    """

    a: Side
    b: Side
    level: str
    rows: list[Row]
    parting: Parting | None
    weights: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def compare(a: Trace, b: Trace, *, layer: int = -1) -> Comparison:
    """
    Align the outputs of two runs, and compare their probabilities and their attention.

    Args:
        a: A trace.
        b: Another trace, of any model, preferably of the same text.
        layer: The layer whose weights (mean of heads) are compared; a run without this layer uses its last.
    """
    level = "token" if _cut_alike(a, b) else "word"
    choices = [_choices(trace, level) for trace in (a, b)]
    looks, weights = _comparable_weights(a, b, level, layer)
    rows: list[Row] = []
    names = [[choice.text for choice in side] for side in choices]
    matcher = SequenceMatcher(a=names[0], b=names[1], autojunk=False)
    for tag, a_from, a_to, b_from, b_to in matcher.get_opcodes():
        for place in range(max(a_to - a_from, b_to - b_from)):
            left = choices[0][a_from + place] if a_from + place < a_to else None
            right = choices[1][b_from + place] if b_from + place < b_to else None
            kind = "same" if tag == "equal" else "only_a" if right is None else "only_b" if left is None else "changed"
            difference = None
            if looks is not None and left is not None and right is not None:
                rows_of = (looks[0][left.steps].mean(0), looks[1][right.steps].mean(0))
                difference = float(np.abs(rows_of[0] - rows_of[1]).sum() / 2)
            rows.append(Row(kind, left, right, difference))
    first = next((index for index, row in enumerate(rows) if row.kind != "same"), None)
    parting = None if first is None else _parting(first, choices, (a, b), level)
    return Comparison(_side(a), _side(b), level, rows, parting, weights)


def _side(trace: Trace) -> Side:
    document = trace.document
    attention = document["attention"]["type"] if trace.layers else "no attention"
    kinds = f"{document['encoder']['type']} to {document['decoder']['type']}, {attention}"
    if trace.changes:
        kinds += f", what if: {' and '.join(dict.fromkeys(change['kind'] for change in trace.changes))} changed"
    source, target = (document[side]["text"] for side in ("source", "target"))
    return Side(document["model"]["name"], kinds, source, target, document["run"]["score"])


def _cut_alike(a: Trace, b: Trace) -> bool:
    """Whether the common words have the same tokens in both; without common words this is unknown."""
    for side in ("source", "target"):
        cut = [_tokens_of_words(trace, side) for trace in (a, b)]
        common = cut[0].keys() & cut[1].keys()
        if any(cut[0][word] != cut[1][word] for word in common) or (side == "source" and not common):
            return False
    return True


def _tokens_of_words(trace: Trace, side: str) -> dict[str, list[str]]:
    part = trace.document[side]
    found: dict[int, list[str]] = {index: [] for index in range(len(part["words"]))}
    for token in part["tokens"]:
        if token["word"] is not None:
            found[token["word"]].append(token["token"])
    return {part["words"][index]["text"]: tokens for index, tokens in found.items()}


def _choices(trace: Trace, level: str) -> list[Choice]:
    tokens = trace.document["target"]["tokens"]
    groups: list[tuple[str, list[int]]] = []
    for step, token in enumerate(tokens):
        word = token["word"] if level == "word" else None
        if word is None:
            groups.append((token_label(token), [step]))
        elif step and tokens[step - 1]["word"] == word:
            groups[-1][1].append(step)
        else:
            groups.append((visible(trace.document["target"]["words"][word]["text"]), [step]))
    choices = []
    for text, steps in groups:
        total = sum(trace.document["steps"][step]["choice"]["log_probability"] for step in steps)
        choices.append(Choice(text, steps, total, float(np.exp(total))))
    return choices


def _comparable_weights(
    a: Trace, b: Trace, level: str, layer: int
) -> tuple[tuple[np.ndarray, np.ndarray] | None, str]:
    """The weights `(T, columns)` of both, over the same source tokens or words; special tokens share one column."""
    without = [name for name, trace in (("A", a), ("B", b)) if not trace.layers]
    if without:
        return None, f"{' and '.join(without)} {'have' if len(without) > 1 else 'has'} no attention"
    made = tuple(
        trace.weights(layer if -len(trace.layers) <= layer < len(trace.layers) else -1).astype(np.float64)
        for trace in (a, b)
    )
    if level == "token" and a.source_tokens == b.source_tokens:
        return (made[0], made[1]), "over the source tokens"
    words = [[word["text"] for word in trace.document["source"]["words"]] for trace in (a, b)]
    if words[0] != words[1]:
        return None, "the sources have different words"
    summed = tuple(weights @ _word_columns(trace) for trace, weights in zip((a, b), made))
    return (summed[0], summed[1]), "over the source words, with all special tokens as one"


def _word_columns(trace: Trace) -> np.ndarray:
    """`(S, words + 1)`, 1 if a token belongs to a word or, in the last column, to none."""
    count = len(trace.document["source"]["words"])
    words = [token["word"] for token in trace.document["source"]["tokens"]]
    return np.eye(count + 1)[[count if word is None else word for word in words]]


class _Asked(NamedTuple):
    trace: Trace
    step: int
    token: str


def _parting(row: int, choices: Sequence[Sequence[Choice]], traces: tuple[Trace, Trace], level: str) -> Parting:
    """Up to here both outputs are equal, so one step of each run has the probability of the other's choice."""
    ends = [len(side) <= row for side in choices]
    if level != "token" or any(ends):
        return Parting(row, None, None)
    steps = [side[row].steps[0] for side in choices]
    said_there = [trace.target_tokens[step] for trace, step in zip(traces, steps)]
    return Parting(
        row,
        _given(_Asked(traces[0], steps[0], said_there[1])),
        _given(_Asked(traces[1], steps[1], said_there[0])),
    )


def _given(asked: _Asked) -> float | None:
    candidates = asked.trace.document["steps"][asked.step]["candidates"]
    return next((each["probability"] for each in candidates if each["token"] == asked.token), None)


def print_comparison(console: Console, comparison: Comparison, plain: bool = False) -> None:
    """
    Print two runs side by side, with one row per position of their alignment.

    Args:
        console: The console to print to.
        comparison: The result of [`compare`].
        plain: Whether to use only ASCII characters, without colour.
    """
    arrow = "->" if plain else "→"
    for letter, side in (("A", comparison.a), ("B", comparison.b)):
        score = signed(f"{side.score:.3f}", plain)
        console.print(Text(f"{letter}  {visible(side.name)}: {side.kind}, score {score}"))
        console.print(Text(f"   {visible(side.source)} {arrow} {visible(side.target)}"))
    marks = {"same": "", "changed": "!=" if plain else "≠", "only_a": "only A", "only_b": "only B"}
    table = Table(box=box.ASCII if plain else box.SIMPLE_HEAD, header_style="" if plain else "bold")
    for header in ("A", "p", "", "B", "p", "weights differ"):
        # Folded, because the mark of truncated text is not ASCII.
        table.add_column(header, justify="left" if header in ("A", "B") else "right", overflow="fold")
    for row in comparison.rows:
        cells = [
            (Text(choice.text), said(choice.probability)) if choice else (Text(""), "") for choice in (row.a, row.b)
        ]
        difference = "" if row.weights_differ is None else f"{row.weights_differ:.2f}"
        style = "bold" if row.kind != "same" and not plain else None
        table.add_row(*cells[0], marks[row.kind], *cells[1], difference, style=style)
    console.print(table)
    for line in _conclusions(comparison):
        console.print(Text(line.translate(STRAIGHT) if plain else line))


def _conclusions(comparison: Comparison) -> list[str]:
    compared = [row.weights_differ for row in comparison.rows if row.weights_differ is not None]
    lines = []
    if comparison.parting is None:
        lines.append("Both give the same translation.")
    else:
        row = comparison.rows[comparison.parting.row]
        a, b = (f"“{choice.text}”" if choice else "nothing more" for choice in (row.a, row.b))
        lines.append(f"They first differ at {comparison.level} {comparison.parting.row + 1}: A has {a}, B has {b}.")
        for one, other, said_there, given in (
            ("A", "B", row.b, comparison.parting.a_gave_b),
            ("B", "A", row.a, comparison.parting.b_gave_a),
        ):
            if given is not None and said_there is not None:
                lines.append(f"{one} gave {other}'s “{said_there.text}” a probability of {said(given)}.")
    if compared:
        lines.append(
            f"Weights {comparison.weights} differ by {np.mean(compared):.2f} on average (0: equal, 1: disjoint)."
        )
    else:
        lines.append(f"The weights are not compared: {comparison.weights}.")
    return lines
