# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The contrast: the same words through a model that learned from such sentences too, but reads from a fixed vector."""

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
from hf_attn_seq2seq.decoding.names import DEFAULT_MODEL, resolve
from hf_attn_seq2seq.explain.document import Trace
from hf_attn_seq2seq.explain.tracing import trace


# Of packaged models, the one without attention.
TWINS = dict.fromkeys((DEFAULT_MODEL, "en-fr-small"), "en-fr-small-fixed")
RESULTS = "results.json"
BY_LENGTH = "by_length.json"  # in the folder of the model without attention
TEXTS = "one to eight sentences joined, none of which they were trained on"
METRIC = "bleu"

# For each range of lengths, in words: the range, the number of texts, and the BLEU of both models.
Lengths = list[tuple[str, int, float, float]]


class Contrast(NamedTuple):
    """
    The runs of a model without attention on the sentences of a text.

    Attributes:
        name: Of that model.
        trained: How it was trained, for a sentence on it.
        traces: One for each sentence.
        lengths: The quality of the model with attention and of this one.
    """

    name: str
    trained: str
    traces: list[Trace]
    lengths: Lengths


def contrast_of(name: str, sentences: Sequence[Trace]) -> Contrast | None:
    """The contrast to the runs of a packaged model; None for a model that has no twin in this package."""
    twin = TWINS.get(name)
    if twin is None:
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
    return Contrast(twin, trained_like(name, twin), traces, lengths_of(name, twin))


def lengths_of(name: str, twin: str) -> Lengths:
    """What both models reach by the length of the source, as `benchmarks/by_length.py` measured it."""
    told = json.loads((Path(resolve(twin)) / BY_LENGTH).read_text("utf-8"))
    attending, fixed = (told["models"][each] for each in (name, twin))
    return [
        (words, one["sentences"], one["scores"][METRIC], fixed[words]["scores"][METRIC])
        for words, one in attending.items()
    ]


def trained_like(name: str, twin: str) -> str:
    """On what and how long the second was trained, beside the first, for a sentence on it."""
    one, other = (json.loads((Path(resolve(each)) / RESULTS).read_text("utf-8")) for each in (name, twin))
    epochs = f"for {other['training']['epochs']:g} epochs"
    read, others = ({file["sha256"] for file in each["data"]["files"]} for each in (one, other))
    if read == others:
        return f"on the same sentences {epochs} ({name}: {one['training']['epochs']:g})"
    pairs, sizes = other["data"]["pairs"]["train"], [each["model"]["parameters"] for each in (other, one)]
    return f"on fewer sentences ({pairs:,}) {epochs}, with {sizes[0]:,} parameters ({name}: {sizes[1]:,})"


def told_contrast(contrast: Contrast, index: int) -> dict[str, Any]:
    """What the page is told of the contrast to a sentence, without the vector."""
    return {
        "model": contrast.name,
        "trained": contrast.trained,
        "text": contrast.traces[index].document["target"]["text"],
        "lengths": {"of": TEXTS, "rows": contrast.lengths},
    }


def print_contrast(console: Console, made: Trace, contrast: Contrast, plain: bool = False) -> None:
    """Print both translations of one sentence, and what both models reach by length."""
    other = contrast.traces[0]
    width = other.arrays["attention.0.context"].shape[-1]
    console.print(
        f"{contrast.name} has no attention and was trained {contrast.trained}: whatever the length of a text, it "
        f"keeps one list of {width} numbers, and translates from that list alone. The same words:",
        markup=False,
        highlight=False,
    )
    for kind, told in (("with attention", made), ("from one list", other)):
        text = closed(visible(told.document["target"]["text"] or " "))
        console.print(f"  {kind}: {text}", markup=False, highlight=False, soft_wrap=True)
    table = Table(box=None if plain else box.SIMPLE_HEAD, show_edge=False)
    for header in ("words", "texts", "BLEU with attention", "BLEU from one list"):
        table.add_column(header, justify="right")
    for words, count, attending, fixed in contrast.lengths:
        table.add_row(words, f"{count:,}", f"{attending:.1f}", f"{fixed:.1f}")
    console.print(f"What both reach on texts ({TEXTS}), by the length of the source:")
    console.print(Padding(table, (0, 0, 0, 2), expand=False))


__all__ = ["TWINS", "Contrast", "Lengths", "contrast_of", "lengths_of", "print_contrast", "told_contrast"]
