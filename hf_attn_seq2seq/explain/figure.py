# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Figures of a trace as PNG, SVG or PDF, reproducible to the byte, with alternative text.

Query is blue, key red, value green and score purple, as in every view; no information depends on colour alone.
"""

from __future__ import annotations

import os
from typing import Any, Literal, NamedTuple

import numpy as np
from rich.cells import cell_len

from hf_attn_seq2seq.decoding.heatmap import (
    FAINT_INK,
    FRAME,
    INK,
    LINES,
    MAX_FIGURE_LABEL,
    MAX_TOKENS,
    colour_bar,
    save_heatmap,
    shorten,
    visible,
    weight_colours,
    wrapped,
    write_figure,
)
from hf_attn_seq2seq.decoding.word_attention import word_attention
from hf_attn_seq2seq.explain.chapters import distinct_labels, said, step_sentence, token_label
from hf_attn_seq2seq.explain.document import Trace
from hf_attn_seq2seq.explain.kinds import KINDS, UNTOLD
from hf_attn_seq2seq.explain.media_figure import draw_step, largest, new_figure, save_media_alignment, title_of
from hf_attn_seq2seq.explain.names import FIGURES, FigureKind


QUERY, KEY, VALUE, SCORE = "#1f5fbf", "#b3261e", "#1b7a3d", "#4a1486"
OFF, BEST = "#9a94a6", "#efe9f7"
MAX_BEAM_STEPS = 40
TEXT: dict[str, Any] = {"parse_math": False, "color": INK}  # a token may hold $ and _
TITLE: dict[str, Any] = {**TEXT, "size": 12, "weight": "bold", "linespacing": 1.3}


def save_figure(
    trace: Trace,
    path: str | os.PathLike[str],
    *,
    kind: FigureKind = "alignment",
    step: int | None = None,
    layer: int = -1,
    head: int | None = None,
    level: Literal["word", "subword"] = "word",
) -> str:
    """
    Save a figure of a run, and return its alternative text.

    Args:
        trace: The trace of a run.
        path: The file to write; the suffix `.png`, `.svg` or `.pdf` chooses the format.
        kind: "alignment": the heat map of the weights of all steps; "step": the scores, weights and contributions of
            one step, with its candidates; "heads": a small heat map per layer and head; "states": the states of
            encoder and decoder; "beams": the tree of a beam search.
        step: For kind "step": counted from 0, or from the last as -1; None: the second step, or the only one.
        layer: Attention layer, for kinds "alignment" and "step".
        head: Attention head for the same kinds, counted from 0; None: the mean of all heads.
        level: For kind "alignment": "word" sums the weights of a word's source tokens and averages the rows of its
            target tokens; "subword" shows the model's tokens.

    Raises:
        ValueError: The kind, level, step, layer, head or suffix does not exist, the run has no attention or beams to
            show, or it has too many tokens.
        FileNotFoundError: The folder does not exist.
        ImportError: Matplotlib is not installed.
    """
    if kind not in FIGURES:
        raise ValueError(f"The kind of figure '{kind}' is unknown: choose one of {', '.join(FIGURES)}.")
    if level not in ("word", "subword"):
        raise ValueError(f"The level '{level}' is unknown: choose 'word' or 'subword'.")
    if step is not None and kind != "step":
        raise ValueError(f"A figure of kind '{kind}' shows all steps: leave out the step, or choose kind 'step'.")
    if kind == "alignment":
        return (_alignment if trace.input is None else _media_alignment)(trace, path, layer, head, level)
    if kind == "step":
        chosen = trace.check_step(min(1, len(trace.document["steps"]) - 1) if step is None else step)
        return _step(trace, path, chosen, layer, head)
    return {"heads": _heads, "states": _states, "beams": _beams}[kind](trace, path)


def _labels(trace: Trace, side: str) -> list[str]:
    return [token_label(token) for token in trace.document[side]["tokens"]]


def _which(trace: Trace, layer: int, head: int | None) -> str:
    """Which weights are shown, if there are several: ", head 2 of 4, layer 3"."""
    heads, several = trace.document["attention"]["heads"], len(trace.layers) > 1
    parts = []
    if heads > 1:
        parts.append(f"mean of {heads} heads" if head is None else f"head {head % heads + 1} of {heads}")
    if several:
        parts.append(f"decoder layer {trace.attended(layer) + 1}")
    return f" ({', '.join(parts)})" if parts else ""


# --------------------------------------------------------------------------------------------------------------------
# Alignment and heads
# --------------------------------------------------------------------------------------------------------------------


def _alignment(
    trace: Trace, path: str | os.PathLike[str], layer: int, head: int | None, level: Literal["word", "subword"]
) -> str:
    weights = trace.weights(layer, head)
    if level == "word":
        source, target = _Side.of(trace, "source"), _Side.of(trace, "target")
        weights = word_attention(weights, source.shares, target.shares).matrix
        sources, targets = source.labels, target.labels
    else:
        sources, targets = _labels(trace, "source"), _labels(trace, "target")
    return save_heatmap(weights, sources, targets, path, title=f"{title_of(trace)}{_which(trace, layer, head)}")


def _media_alignment(
    trace: Trace, path: str | os.PathLike[str], layer: int, head: int | None, level: Literal["word", "subword"]
) -> str:
    weights, targets = trace.weights(layer, head), _labels(trace, "target")
    if level == "word":
        side = _Side.of(trace, "target")
        shares = side.shares / np.maximum(side.shares.sum(axis=0), 1e-9)  # means over the tokens of a word
        weights, targets = shares.T @ weights, side.labels
    return save_media_alignment(trace, path, weights, targets, f"{title_of(trace)}{_which(trace, layer, head)}")


class _Side(NamedTuple):
    """A text in words, followed by its special tokens as separate words."""

    labels: list[str]
    shares: np.ndarray  # (tokens, words and special tokens): the share of each token in each word

    @classmethod
    def of(cls, trace: Trace, side: str) -> _Side:
        words, shares = trace.words(side)
        outside = np.flatnonzero(~shares.any(axis=1))
        labels = [visible(word) for word in words.words()]
        labels += [token_label(trace.document[side]["tokens"][index]) for index in outside]
        return cls(labels, np.concatenate([shares, np.eye(len(shares))[:, outside]], axis=1))


def _heads(trace: Trace, path: str | os.PathLike[str]) -> str:
    trace.attended()  # refuses a run without attention
    maps = [trace.arrays[f"attention.{layer}.weights"] for layer in trace.layers]
    sources, targets = _labels(trace, "source"), _labels(trace, "target")
    if max(len(sources), len(targets)) > MAX_TOKENS:
        raise ValueError(
            f"Maps of {len(targets)} x {len(sources)} tokens are too large to read: trace at most {MAX_TOKENS} a side."
        )
    layers, heads = len(maps), maps[0].shape[1]
    sharpness = {
        f"layer {layer + 1} head {head + 1}": float(weights[:, head].max(-1).mean())
        for layer, weights in zip(trace.layers, maps)
        for head in range(heads)
    }
    sharpest, evenest = max(sharpness, key=sharpness.__getitem__), min(sharpness, key=sharpness.__getitem__)
    alt_text = (
        f"{layers} by {heads} heat maps of attention weights, rows of maps for decoder layers and columns for heads, "
        f"each {len(targets)} target tokens by {len(sources)} source tokens, for {title_of(trace)}. "
        f"The mean over the steps of the largest weight is highest for {sharpest} ({said(sharpness[sharpest])}) and "
        f"lowest for {evenest} ({said(sharpness[evenest])})."
    )

    def draw() -> Any:
        cell = min(0.2, max(0.05, 2.4 / max(len(sources), len(targets))))
        width, height = cell * len(sources), cell * len(targets)
        size = min(8.0, cell * 72 * 0.62)
        labelled = size >= 4.5
        left = 0.2 + (max(map(cell_len, _cut(targets))) * size * 0.6 / 72 if labelled else 0)
        top = 0.2 + (max(map(cell_len, _cut(sources))) * size * 0.6 / 72 if labelled else 0)
        gap, down = 0.18, 0.32
        total = (left + heads * (width + gap) + 1.0, top + layers * (height + down))
        figure = new_figure(*total)
        for row, (layer, weights) in enumerate(zip(trace.layers, maps)):
            for head in range(heads):
                axes = figure.add_axes(
                    (
                        (left + head * (width + gap)) / total[0],
                        1 - (top + row * (height + down) + height) / total[1],
                        width / total[0],
                        height / total[1],
                    )
                )
                axes.pcolormesh(weights[:, head], **weight_colours(), edgecolors=LINES, linewidth=0.1)
                axes.set_xlim(0, len(sources))
                axes.set_ylim(len(targets), 0)
                axes.tick_params(length=0, pad=2)
                for spine in axes.spines.values():
                    spine.set_color(FRAME)
                axes.xaxis.tick_top()
                axes.set_xticks([]), axes.set_yticks([])
                axes.set_xlabel(f"layer {layer + 1}, head {head + 1}", size=8, color=FAINT_INK, labelpad=3)
                if labelled and row == 0:
                    places = [place + 0.5 for place in range(len(sources))]
                    axes.set_xticks(places, _cut(sources), rotation=90, size=size, **TEXT)
                if labelled and head == 0:
                    axes.set_yticks([place + 0.5 for place in range(len(targets))], _cut(targets), size=size, **TEXT)
        bar_height = min(1.6, max(layers * (height + down) - down, 0.8))
        bar = figure.add_axes(
            (
                (left + heads * (width + gap) + 0.1) / total[0],
                1 - (top + bar_height) / total[1],
                0.12 / total[0],
                bar_height / total[1],
            )
        )
        colour_bar(figure, bar, "attention\nweight", [0, 0.5, 1], **weight_colours())
        title = wrapped(title_of(trace), max(total[0] - 0.4, 3), 12)
        figure.text(0.1 / total[0], 1, title, ha="left", va="bottom", **TITLE)
        caption = "Rows: target tokens, in order. Columns: source tokens. All maps have the same scale."
        figure.text(
            0.1 / total[0],
            -0.05 / total[1],
            wrapped(caption, max(total[0] - 0.4, 3), 9),
            va="top",
            size=9,
            color=FAINT_INK,
        )
        return figure

    write_figure(draw, path, title_of(trace), alt_text)
    return alt_text


def _cut(labels: list[str]) -> list[str]:
    return [shorten(label, MAX_FIGURE_LABEL, "…") for label in labels]


# --------------------------------------------------------------------------------------------------------------------
# One step
# --------------------------------------------------------------------------------------------------------------------


class Panel(NamedTuple):
    """Bars of one quantity, one per source token or candidate."""

    title: str
    formula: str  # in matplotlib's mathtext
    numbers: np.ndarray
    colour: str
    shares: bool  # on the scale from 0 to 1


def _panels(trace: Trace, step: int, layer: int, head: int | None) -> list[Panel]:
    attention = trace.document["attention"]
    here = f"attention.{trace.attended(layer)}"
    single = head is not None or trace.arrays[f"{here}.weights"].shape[1] == 1
    panels = []
    formula = "$a_j$"
    # The mean weights of several heads do not follow from their mean scores.
    if single and f"{here}.scaled" in trace.arrays:
        panels.append(Panel("score", "$s_j$", trace.arrays[f"{here}.scaled"][step, head or 0], SCORE, False))
        if KINDS.get(attention["type"], UNTOLD).only_normalizes:
            formula = rf"$a_j = \mathrm{{{attention['normalizer']}}}(s)_j$"
    panels.append(Panel("weight", formula, trace.weights(layer, head)[step], SCORE, True))
    if f"{here}.values" in trace.arrays:
        lengths = np.linalg.norm(trace.arrays[f"{here}.values"], axis=-1)  # heads x S
        added = trace.arrays[f"{here}.weights"][step] * lengths
        added = added.mean(0) if head is None else added[head]
        panels.append(
            Panel("contribution", rf"$a_j\,|{KINDS.get(attention['type'], UNTOLD).value}_j|$", added, VALUE, False)
        )
    return panels


def _step(trace: Trace, path: str | os.PathLike[str], step: int, layer: int, head: int | None) -> str:
    entry = trace.document["steps"][step]
    if trace.input is not None and trace.layers:
        return _media_step(trace, path, step, layer, head)
    sources = _labels(trace, "source")
    panels = _panels(trace, step, layer, head) if trace.layers else []
    if len(sources) > MAX_TOKENS:
        raise ValueError(f"A step with {len(sources)} source tokens is too large to read: trace at most {MAX_TOKENS}.")
    sentence = step_sentence(trace, step, layer=layer, head=head)
    candidates = list(zip(distinct_labels(entry["candidates"]), (c["probability"] for c in entry["candidates"])))
    top = ", ".join(f"“{label}” {said(p)}" for label, p in candidates[:3])
    alt_text = f"Step {step + 1} of {len(trace.document['steps'])} for {title_of(trace)}. {sentence} "
    if trace.layers:
        weights = trace.weights(layer, head)[step]
        order = np.argsort(-weights, kind="stable")[:3]
        alt_text += f"Largest weights: {', '.join(f'“{sources[j]}” {said(float(weights[j]))}' for j in order)}. "
    alt_text += f"Most probable words: {top}."
    note = "" if not trace.layers else _which(trace, layer, head).strip(" ()")

    def draw() -> Any:
        rows = max(len(sources) if panels else 0, len(candidates))
        side, wide, gap = 0.27, 1.75, 0.5
        left = 0.35 + max(map(cell_len, _cut(sources))) * 0.085
        right = 0.3 + max(cell_len(label) for label in _cut([label for label, _ in candidates])) * 0.085
        width = (left + len(panels) * (wide + 0.25) if panels else 0) + gap + right + 2.2
        height = rows * side
        figure = new_figure(width, height)
        place = left if panels else 0.0
        for index, panel in enumerate(panels):
            axes = figure.add_axes(
                (place / width, 1 - len(sources) * side / height, wide / width, len(sources) * side / height)
            )
            _bars(axes, panel, None if index else _cut(sources), int(weights.argmax()))
            place += wide + 0.25
        place += gap + right - 0.25
        axes = figure.add_axes(
            (place / width, 1 - len(candidates) * side / height, 2.0 / width, len(candidates) * side / height)
        )
        chosen = next(i for i, c in enumerate(entry["candidates"]) if c["id"] == entry["choice"]["id"])
        marked = [
            ("▸ " if i == chosen else "") + shorten(label, MAX_FIGURE_LABEL, "…")
            for i, (label, _) in enumerate(candidates)
        ]
        probabilities = np.array([p for _, p in candidates])
        _bars(axes, Panel("probability of the next word", "$p$", probabilities, "#4d4658", True), marked, chosen)
        figure.text(0, 1 + 0.62 / height, wrapped(sentence, max(width, 6), 12), va="bottom", **TITLE)
        lines = []
        if note:
            lines.append(f"Shown: {note}.")
        titles = [panel.title for panel in panels]
        if "score" in titles:
            after = "after scaling, " if trace.document["attention"].get("scaling", 1.0) != 1.0 else ""
            lines.append(f"Score: {after}the input of the softmax or another normalizer.")
        if "contribution" in titles:
            lines.append("Contribution: the norm of what each token's value adds to the context.")
        lines.append("▸ marks the choice.")
        figure.text(
            0,
            -0.18 / height,
            wrapped(" ".join(lines), max(width, 4), 9),
            va="top",
            size=9,
            color=FAINT_INK,
            linespacing=1.4,
        )
        return figure

    write_figure(draw, path, title_of(trace), alt_text)
    return alt_text


def _media_step(trace: Trace, path: str | os.PathLike[str], step: int, layer: int, head: int | None) -> str:
    entry, weights = trace.document["steps"][step], trace.weights(layer, head)[step]
    sentence = step_sentence(trace, step, layer=layer, head=head)
    labels = distinct_labels(entry["candidates"])
    probabilities = np.array([candidate["probability"] for candidate in entry["candidates"]])
    chosen = next(i for i, c in enumerate(entry["candidates"]) if c["id"] == entry["choice"]["id"])
    top = ", ".join(f"“{label}” {said(float(p))}" for label, p in zip(labels[:3], probabilities))
    alt_text = (
        f"Step {step + 1} of {len(trace.document['steps'])} for {title_of(trace)}. {sentence} "
        f"Largest weights: {largest(trace, weights)}. Most probable words: {top}."
    )
    assert trace.input is not None
    shape = trace.input.get("width", 3), trace.input.get("height", 1)

    def draw() -> Any:
        marked = [
            ("▸ " if i == chosen else "") + shorten(label, MAX_FIGURE_LABEL, "…") for i, label in enumerate(labels)
        ]
        high = max(2.4, 0.27 * len(labels))
        # A picture keeps its proportions; a spectrogram is as wide as reads well.
        wide = min(6.0, max(2.4, high * shape[0] / shape[1])) if trace.input["kind"] == "image" else 6.0
        right = 0.9 + max(map(cell_len, marked)) * 0.085
        width = wide + right + 2.0
        figure = new_figure(width, high)
        draw_step(figure, (0, 0, wide / width, 1), trace, weights)
        axes = figure.add_axes(
            ((wide + right) / width, 1 - 0.27 * len(labels) / high, 2.0 / width, 0.27 * len(labels) / high)
        )
        _bars(axes, Panel("probability of the next word", "$p$", probabilities, "#4d4658", True), marked, chosen)
        figure.text(0, 1 + 0.55 / high, wrapped(sentence, max(width, 6), 12), va="bottom", **TITLE)
        note = f"{_which(trace, layer, head).strip(' ()')}. ".lstrip(". ") + "▸ marks the choice."
        figure.text(0, -0.5 / high, wrapped(note, max(width, 4), 9), va="top", size=9, color=FAINT_INK)
        return figure

    write_figure(draw, path, title_of(trace), alt_text)
    return alt_text


def _bars(axes: Any, panel: Panel, labels: list[str] | None, best: int) -> None:
    """Horizontal bars with their numbers next to them; those of the best row are bold."""
    numbers, colour = panel.numbers, panel.colour
    low, high = (0.0, 1.0) if panel.shares else (min(0.0, float(numbers.min())), max(0.0, float(numbers.max())))
    span = (high - low) or 1.0
    axes.barh(range(len(numbers)), numbers, color=colour, height=0.62, alpha=0.88)
    axes.set_xlim(low - (0.4 * span if low < 0 else 0), high + 0.36 * span)
    axes.set_ylim(len(numbers) - 0.5, -0.5)
    if low < 0:
        axes.axvline(0, color=FRAME, linewidth=0.8)
    for row, number in enumerate(numbers):
        negative = number < 0
        axes.annotate(
            said(float(number)),
            (number, row),
            xytext=(-3 if negative else 3, 0),
            textcoords="offset points",
            ha="right" if negative else "left",
            va="center_baseline",
            size=8,
            weight="bold" if row == best else "normal",
            color=INK,
        )
    axes.set_yticks(range(len(numbers)), labels or [], size=10, **TEXT) if labels else axes.set_yticks([])
    if labels:
        axes.get_yticklabels()[best].set_weight("bold")
    axes.set_xticks([])
    axes.tick_params(length=0, pad=4)
    for name, spine in axes.spines.items():
        spine.set_visible(name == "left" and low == 0)
        spine.set_color(FRAME)
    axes.set_title(f"{panel.title}\n", size=10, loc="left", color=colour, weight="bold", pad=0)
    axes.annotate(
        panel.formula,
        (0, 1),
        xycoords="axes fraction",
        xytext=(0, 4),
        textcoords="offset points",
        size=8,
        color=FAINT_INK,
    )


# --------------------------------------------------------------------------------------------------------------------
# States
# --------------------------------------------------------------------------------------------------------------------


def _states(trace: Trace, path: str | os.PathLike[str]) -> str:
    decoder = trace.document["decoder"]
    top = (decoder.get("layers") or 1) - 1
    found = [
        ("encoder states: one per source token", _labels(trace, "source"), "encoder.states"),
        ("decoder states: after each step", _labels(trace, "target"), f"decoder.layer.{top}.hidden_after"),
        ("decoder states: of the last layer at each step", _labels(trace, "target"), f"decoder.layer.{top}.states"),
    ]
    shown = [(title, labels, trace.arrays[name]) for title, labels, name in found if name in trace.arrays]
    if not shown:
        raise ValueError("This model does not return its states: choose another kind of figure.")
    if max(len(labels) for _, labels, _ in shown) > MAX_TOKENS:
        raise ValueError(f"States of more than {MAX_TOKENS} tokens are too many to read: trace a shorter text.")
    parts = []
    for title, labels, states in shown:
        norms = np.linalg.norm(states, axis=-1)
        parts.append(
            f"{title}, {len(labels)} by {states.shape[1]} numbers from {states.min():.2f} to {states.max():.2f}, the "
            f"longest at “{labels[int(norms.argmax())]}” (norm {norms.max():.2f})"
        )
    alt_text = f"Heat maps for {title_of(trace)}: {'; '.join(parts)}."

    def draw() -> Any:
        from matplotlib.colors import TwoSlopeNorm

        side, width, gap = 0.25, 8.0, 0.75
        height = sum(len(labels) * side + gap for _, labels, _ in shown)
        figure = new_figure(width, height)
        top_edge = 0.0
        for title, labels, states in shown:
            tall = len(labels) * side
            axes = figure.add_axes((0, 1 - (top_edge + tall) / height, 1, tall / height))
            limit = max(float(np.abs(states).max()), 1e-9)
            colours = {"cmap": "BrBG", "norm": TwoSlopeNorm(0, -limit, limit)}
            axes.pcolormesh(states, rasterized=True, **colours)
            axes.set_ylim(len(labels), 0)
            axes.set_yticks([row + 0.5 for row in range(len(labels))], _cut(labels), size=10, **TEXT)
            axes.tick_params(length=0, pad=5, labelsize=9, labelcolor=INK)
            axes.tick_params(axis="y", labelsize=10)
            last = states.shape[1]
            axes.set_xticks([0.5, last / 2, last - 0.5], ["1", str(last // 2), str(last)])
            axes.set_title(title, size=10, loc="left", weight="bold", color=INK)
            for spine in axes.spines.values():
                spine.set_color(FRAME)
            bar = figure.add_axes((1 + 0.25 / width, 1 - (top_edge + tall) / height, 0.12 / width, tall / height))
            colour_bar(figure, bar, "", [-limit, 0, limit], **colours)
            bar.set_yticks([-limit, 0, limit], [f"-{limit:.2f}", "0", f"{limit:.2f}"])
            top_edge += tall + gap
        figure.text(0, 1 + 0.4 / height, wrapped(title_of(trace), width, 12), va="bottom", **TITLE)
        caption = "Each row is one state, each column one of its numbers. Each map has its own scale."
        figure.text(0, (gap - 0.35) / height, wrapped(caption, width, 9), va="top", size=9, color=FAINT_INK)
        return figure

    write_figure(draw, path, title_of(trace), alt_text)
    return alt_text


# --------------------------------------------------------------------------------------------------------------------
# Beams
# --------------------------------------------------------------------------------------------------------------------


def _beams(trace: Trace, path: str | os.PathLike[str]) -> str:
    beams = trace.document["beams"]
    if beams is None:
        raise ValueError("This run did not use beam search: trace with num_beams above 1 to draw a beam tree.")
    steps = beams["steps"]
    shown = steps[:MAX_BEAM_STEPS]
    counts = {
        state: sum(h["state"] == state for entry in steps for h in entry["hypotheses"])
        for state in ("kept", "finished", "dropped")
    }
    best = [token_label(h) for entry in steps for h in entry["hypotheses"] if h["best"]]
    alt_text = (
        f"Beam tree for {title_of(trace)}, {beams['num_beams']} beams, {len(steps)} steps: {counts['kept']} "
        f"hypotheses kept, {counts['finished']} finished, {counts['dropped']} dropped. "
        f"The best path: {' '.join(best)}."
    )
    if len(shown) < len(steps):
        alt_text += f" Only the first {len(shown)} steps are drawn."

    def draw() -> Any:
        wide = 0.75 + 0.085 * max(
            cell_len(shorten(token_label(h), MAX_FIGURE_LABEL, "…")) for entry in shown for h in entry["hypotheses"]
        )
        rows = max(len(entry["hypotheses"]) for entry in shown)
        side = 0.36
        width, height = (wide + 0.35) * (len(shown) + 1), rows * side
        figure = new_figure(width, height)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, width)
        axes.set_ylim(rows - 0.5, -0.5)
        axes.set_axis_off()
        start = visible(trace.document["start"]["token"])
        places: dict[int, float] = {0: 0.0}
        _node(axes, wide / 2, 0.0, start, "", "kept", True, wide)
        for number, entry in enumerate(shown, 1):
            x = number * (wide + 0.35) + wide / 2
            following = {}
            axes.text(x, -0.85, f"step {number}", ha="center", size=9, color=FAINT_INK)
            # The best path first, so that it runs along the top where the ranks allow it.
            for row, hypothesis in enumerate(sorted(entry["hypotheses"], key=lambda h: -h["sum"])):
                state, is_best = hypothesis["state"], hypothesis["best"]
                parent = places.get(hypothesis["parent"])
                if parent is not None:
                    axes.plot(
                        [x - wide / 2 - 0.35, x - wide / 2],
                        [parent, row],
                        color=SCORE if is_best else OFF if state == "dropped" else INK,
                        linewidth=2.6 if is_best else 1.0 if state != "dropped" else 0.6,
                        linestyle="-" if state != "dropped" else (0, (2, 2)),
                        solid_capstyle="round",
                        zorder=1,
                    )
                label = shorten(token_label(hypothesis), MAX_FIGURE_LABEL, "…")
                total = hypothesis["sum"] if hypothesis["score"] is None else hypothesis["score"]
                _node(
                    axes,
                    x,
                    row,
                    label,
                    f"{total:.2f}" if abs(total) >= 0.005 else f"{total:.1g}",
                    state,
                    is_best,
                    wide,
                )
                if hypothesis["row"] is not None:
                    following[hypothesis["row"]] = float(row)
            places = following
        figure.text(0, 1 + 0.55 / height, wrapped(title_of(trace), max(width, 5), 12), va="bottom", **TITLE)
        caption = (
            "Thick line and filled box: path to the result. Thin box: kept. Double box: finished. Dashed: dropped. "
            f"Numbers: the sum of log p so far, for finished ones divided by length ^ {beams['length_penalty']:g}."
        )
        if len(shown) < len(steps):
            caption += f" The last {len(steps) - len(shown)} of {len(steps)} steps are left out."
        figure.text(
            0, -0.15 / height, wrapped(caption, max(width, 5), 9), va="top", size=9, color=FAINT_INK, linespacing=1.4
        )
        return figure

    write_figure(draw, path, title_of(trace), alt_text)
    return alt_text


def _node(axes: Any, x: float, y: float, label: str, number: str, state: str, best: bool, wide: float) -> None:
    """A hypothesis: a box with its token and sum, in the style of its outcome."""
    from matplotlib.patches import Rectangle

    dropped = state == "dropped"
    frame: dict[str, Any] = {
        "facecolor": BEST if best else "white",
        "edgecolor": SCORE if best else OFF if dropped else INK,
        "linewidth": 1.6 if best else 0.7,
        "linestyle": (0, (2, 2)) if dropped else "-",
        "zorder": 2,
    }
    axes.add_patch(Rectangle((x - wide / 2, y - 0.36), wide, 0.72, **frame))
    if state == "finished":
        axes.add_patch(Rectangle((x - wide / 2 + 0.04, y - 0.29), wide - 0.08, 0.58, **{**frame, "facecolor": "none"}))
    colour = FAINT_INK if dropped else INK
    axes.text(
        x - wide / 2 + 0.09,
        y,
        label,
        ha="left",
        va="center_baseline",
        size=9,
        weight="bold" if best else "normal",
        zorder=3,
        **{**TEXT, "color": colour},
    )
    axes.text(x + wide / 2 - 0.09, y, number, ha="right", va="center_baseline", size=7.5, color=colour, zorder=3)
