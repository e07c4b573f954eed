# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Longer texts: traces sentence by sentence, with an overview of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hf_attn_seq2seq.console import signed
from hf_attn_seq2seq.decoding.heatmap import visible
from hf_attn_seq2seq.explain.document import Trace
from hf_attn_seq2seq.explain.names import EXAMPLE_NAMES, example_text
from hf_attn_seq2seq.explain.tracing import trace
from hf_attn_seq2seq.splitting import refuse_blank, source_language, split_text, splits_sentences


@dataclass(frozen=True)
class Overview:
    """
    A summary of one sentence of a text.

    Attributes:
        index: Counted from 0.
        score: The sum of the tokens' log-probabilities, divided by length ** length_penalty.
        entropy: Entropy of the last layer's attention (mean of heads) in bits, averaged over the steps: 0 if each step
            looks at one token. None without attention.
    """

    index: int
    text: str
    translation: str
    score: float
    entropy: float | None


def example_texts(config: Any, tokenizer: PreTrainedTokenizerBase) -> dict[str, str]:
    """The texts of this package that can be offered to readers of a model, by their names."""
    names = EXAMPLE_NAMES if splits_sentences(config) else EXAMPLE_NAMES[:1]
    language = source_language(tokenizer)
    return {name: text for name in names if (text := example_text(name, language)) is not None}


def trace_sentences(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    *,
    language: str | None = None,
    **options: Any,
) -> list[Trace]:
    """
    Trace each sentence of a text separately, as it is translated; sentences are split by [`split_text`].

    Args:
        model: As for [`trace`].
        tokenizer: The model's tokenizer.
        text: One sentence or more.
        language: Language code of the text, such as "fr"; None: that of the tokenizer, or "en".
        **options: Passed to [`trace`], such as `num_beams=4`; a target is not allowed, because it belongs to one
            sentence.

    Raises:
        ValueError: The text is blank, a target is given, or as for [`trace`], with the number of the sentence.
    """
    refuse_blank("The text", text)
    if options.get("target") is not None:
        raise ValueError("A target belongs to one sentence: trace that sentence separately.")
    traces = []
    pieces = split_text(text, language or source_language(tokenizer))
    for number, piece in enumerate(pieces, start=1):
        try:
            traces.append(trace(model, tokenizer, piece.sentence, **options))
        except ValueError as error:
            if len(pieces) == 1:
                raise
            raise ValueError(f"Sentence {number} cannot be traced: {error}") from error
    return traces


def overview(traces: Sequence[Trace]) -> list[Overview]:
    """A summary of each sentence, in the order of the traces."""
    return [
        Overview(
            index,
            made.document["source"]["text"],
            made.document["target"]["text"],
            made.document["run"]["score"],
            float(entropy(made.weights()).mean()) if made.layers else None,
        )
        for index, made in enumerate(traces)
    ]


def entropy(weights: np.ndarray) -> np.ndarray:
    """-sum_j a_j log2 a_j in bits, over the last dimension of weights `(..., src_len)`."""
    weights = np.asarray(weights, dtype=np.float64)
    logarithms = np.log2(weights, out=np.zeros_like(weights), where=weights > 0)
    return -(weights * logarithms).sum(-1) + 0.0  # turns -0.0 into 0.0


def telling_step(made: Trace) -> int:
    """
    The step that teaches most, at which the page opens: of those that choose no special token, that whose weights, or
    without attention whose probabilities, are spread most.
    """

    def spread(step: int, entry: Mapping[str, Any]) -> float:
        if made.document["target"]["tokens"][step]["special"]:
            return -1.0
        if made.layers:
            return float(entropy(made.weights()[step]))
        return float(entropy(np.array([*(each["probability"] for each in entry["candidates"]), entry["rest"]])))

    return int(np.argmax([spread(*numbered) for numbered in enumerate(made.document["steps"])]))


def print_overview(console: Console, traces: Sequence[Trace], plain: bool = False) -> None:
    """
    Print one line per sentence, counted from 1.

    Args:
        console: The console to print to.
        traces: The traces of the sentences.
        plain: Whether to use only ASCII characters, without colour.
    """
    table = Table(box=box.ASCII if plain else box.SIMPLE_HEAD, header_style="" if plain else "bold")
    table.add_column("", justify="right")
    for header in ("sentence", "translation"):
        table.add_column(header, ratio=1, overflow="fold")  # the mark of truncated text is not ASCII
    table.add_column("score", justify="right", overflow="fold")
    table.add_column("bits", justify="right", overflow="fold")
    for row in overview(traces):
        table.add_row(
            str(row.index + 1),
            Text(visible(row.text)),
            Text(visible(row.translation)),
            signed(f"{row.score:.3f}", plain),
            "-" if row.entropy is None else f"{row.entropy:.2f}",
        )
    console.print(table)
    console.print(
        "score: mean log p of a token (with the run's length penalty); bits: how widely attention is spread, 0 is one "
        "token.",
        highlight=False,
    )
