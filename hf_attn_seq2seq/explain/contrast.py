# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The contrast: the same words through a model that was trained alike, but reads them from one fixed vector."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from hf_attn_seq2seq.decoding.heatmap import closed, visible
from hf_attn_seq2seq.decoding.loading import load_translator
from hf_attn_seq2seq.decoding.names import DEFAULT_MODEL, packaged_models, resolve
from hf_attn_seq2seq.explain.document import Trace
from hf_attn_seq2seq.explain.tracing import trace


TWINS = {DEFAULT_MODEL: "en-fr-small-fixed"}  # of a packaged model, the one without attention
RESULTS = "results.json"
METRIC = "bleu"


class Lengths(NamedTuple):
    """
    What two models reach on sentences of some lengths.

    Attributes:
        of: The evaluated sentences.
        rows: For each range of lengths, in words: the range, the number of sentences, and the BLEU of both models.
    """

    of: str
    rows: list[tuple[str, int, float, float]]


class Contrast(NamedTuple):
    """
    The runs of a model without attention on the sentences of a text.

    Attributes:
        name: Of that model.
        traces: One for each sentence.
        lengths: The quality of the model with attention and of this one; None where they were not evaluated alike.
    """

    name: str
    traces: list[Trace]
    lengths: Lengths | None


def contrast_of(name: str, sentences: Sequence[Trace]) -> Contrast | None:
    """The contrast to the runs of a packaged model; None for a model that has no twin in this package."""
    twin = TWINS.get(name)
    if twin is None or twin not in packaged_models():
        return None
    model, tokenizer = load_translator([twin])
    traces = [
        trace(
            model,
            tokenizer,
            each.document["source"]["text"],
            num_beams=each.document["run"]["num_beams"],
            name=twin,
        )
        for each in sentences
    ]
    return Contrast(twin, traces, lengths_of(Path(resolve(name)), Path(resolve(twin))))


def lengths_of(attending: Path, fixed: Path) -> Lengths | None:
    """What the evaluations of two models in their folders found by the length of the source, on the same sentences."""
    found = []
    for folder in (attending, fixed):
        file = folder / RESULTS
        if not file.is_file():
            return None
        found.append(json.loads(file.read_text("utf-8")).get("sets", {}))
    best: Lengths | None = None
    for name in found[0]:
        left, right = (each.get(name, {}).get("by_source_length") or {} for each in found)
        rows = [
            (words, one["sentences"], one["scores"][METRIC], right[words]["scores"][METRIC])
            for words, one in left.items()
            if words in right and right[words]["sentences"] == one["sentences"]
        ]
        if len(rows) > 1 and (best is None or len(rows) > len(best.rows)):
            best = Lengths(name.replace("_", " "), rows)
    return best


def told_contrast(contrast: Contrast, index: int) -> dict[str, Any]:
    """What the page is told of the contrast to a sentence, without the vector."""
    return {
        "model": contrast.name,
        "text": contrast.traces[index].document["target"]["text"],
        "lengths": None if contrast.lengths is None else contrast.lengths._asdict(),
    }


def print_contrast(console: Console, made: Trace, contrast: Contrast, plain: bool = False) -> None:
    """Print both translations of one sentence, and what both models reach by length."""
    other = contrast.traces[0]
    width = other.arrays["attention.0.context"].shape[-1]
    console.print(
        f"{contrast.name} was trained by the same recipe without attention: whatever the length of a text, it keeps "
        f"one list of {width} numbers, and translates from that list alone. The same words:",
        markup=False,
        highlight=False,
    )
    for kind, told in (("with attention", made), ("from one list", other)):
        text = closed(visible(told.document["target"]["text"] or " "))
        console.print(f"  {kind}: {text}", markup=False, highlight=False, soft_wrap=True)
    if contrast.lengths is None:
        return
    table = Table(box=None if plain else box.SIMPLE_HEAD, show_edge=False)
    for header in ("words", "sentences", "BLEU with attention", "BLEU from one list"):
        table.add_column(header, justify="right")
    for words, count, attending, fixed in contrast.lengths.rows:
        table.add_row(words, f"{count:,}", f"{attending:.1f}", f"{fixed:.1f}")
    console.print(f"What both reach on the {contrast.lengths.of} sentences, by the length of the source:")
    console.print(Padding(table, (0, 0, 0, 2), expand=False))


__all__ = ["TWINS", "Contrast", "Lengths", "contrast_of", "lengths_of", "print_contrast", "told_contrast"]
