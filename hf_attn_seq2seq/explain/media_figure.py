# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Figures of where a model listened or looked: over the spectrogram, or over the picture, one for each word.

The form of the latter is that of Xu et al. 2015, "Show, Attend and Tell", figure 3.
"""

from __future__ import annotations

import base64
import io
import os
from typing import Any

import numpy as np
from rich.cells import cell_len

from hf_attn_seq2seq.decoding.heatmap import (
    FAINT_INK,
    FRAME,
    INK,
    MAX_FIGURE_LABEL,
    closed,
    colour_bar,
    shorten,
    visible,
    weight_colours,
    wrapped,
    write_figure,
)
from hf_attn_seq2seq.explain.chapters import said
from hf_attn_seq2seq.explain.document import Trace
from hf_attn_seq2seq.explain.media import is_line, spot_name
from hf_attn_seq2seq.explain.media_chapters import looked_where, nouns


TEXT: dict[str, Any] = {"parse_math": False, "color": INK}  # a token may hold $ and _
MAX_STEPS = 128
ACROSS = 6  # pictures side by side
LEAST = 3  # a weight this many times the mean of all is the least that is drawn in full, as on the page


def save_media_alignment(
    trace: Trace,
    path: str | os.PathLike[str],
    weights: np.ndarray,
    labels: list[str],
    title: str,
) -> str:
    """
    Save where each word was listened or looked for, and return the alternative text.

    Args:
        trace: Of a recording or a picture.
        path: The file to write.
        weights: `(labels, S)`.
        labels: Target tokens or words.
        title: Of the figure.

    Raises:
        ValueError: There are too many steps, or the trace lacks what was heard or seen.
    """
    assert trace.input is not None
    if len(labels) > MAX_STEPS:
        raise ValueError(f"A figure of {len(labels)} steps is too large to read: trace at most {MAX_STEPS}.")
    document = trace.input
    most = max(float(weights.max()), LEAST / weights.shape[1])
    places = [f"“{label}”: {looked_where(document, row, said, '')}" for label, row in zip(labels[:ALT_ROWS], weights)]
    if len(labels) > ALT_ROWS:
        places.append(f"and {len(labels) - ALT_ROWS} more")
    what = "spectrogram" if document["kind"] == "audio" else "picture"
    alt_text = (
        f"Where the model {nouns(document).looked} for each word, over the {what} ({title}). {'; '.join(places)}."
    )
    drawn = _lines if is_line(document) else _grids
    write_figure(lambda: drawn(trace, weights, labels, title, most), path, title, alt_text)
    return alt_text


ALT_ROWS = 12


def title_of(trace: Trace) -> str:
    """The source and what was made of it."""
    source, target = (closed(visible(trace.document[side]["text"] or " ")) for side in ("source", "target"))
    return f"{source} → {target}"


def new_figure(width: float, height: float) -> Any:
    """An empty figure of so many inches, which needs no screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def picture_of(trace: Trace, colours: bool = True) -> np.ndarray:
    """
    What the model saw, from 0 to 1: `(height, width)` of a grey picture or without `colours`, else `(height, width,
    3)`.

    Raises:
        ValueError: The trace lacks the picture.
    """
    from PIL import Image

    media = None if trace.input is None else trace.input["media"]
    if media is None:
        raise ValueError("This trace does not have its picture: trace it again.")
    with Image.open(io.BytesIO(base64.b64decode(media["base64"]))) as image:
        mode = "L" if image.mode == "L" or not colours else "RGB"
        return np.asarray(image.convert(mode), np.float64) / 255


def _scale(most: float) -> dict[str, Any]:
    from matplotlib.colors import Normalize

    return {**weight_colours(), "norm": Normalize(0, most)}


def draw_received(axes: Any, trace: Trace, veiled: bool = False) -> None:
    """
    The spectrogram, dark where there is energy, or the picture, in its own coordinates; grey where it is `veiled`
    afterwards by colours that tell weights.
    """
    document = trace.input
    assert document is not None
    if document["kind"] == "audio":
        features = trace.arrays.get("input.features")
        if features is None:
            raise ValueError("This trace does not have its spectrogram: trace the recording again.")
        low, high = np.quantile(features, [0.02, 0.995])
        extent = (0, document["seconds"], 0, document["bins"])
        axes.imshow(
            features.T,
            cmap="gray_r",
            vmin=low,
            vmax=high,
            origin="lower",
            aspect="auto",
            extent=extent,
            resample=False,
        )
    else:
        extent = (0, document["width"], document["height"], 0)
        axes.imshow(
            picture_of(trace, colours=not veiled), cmap="gray", vmin=0, vmax=1, extent=extent, interpolation="nearest"
        )
    axes.set_yticks([])
    axes.tick_params(length=2, pad=3, labelsize=9, labelcolor=INK, color=FRAME)
    for spine in axes.spines.values():
        spine.set_color(FRAME)


def edges_of(document: dict[str, Any]) -> np.ndarray:
    """Where the states of a line begin, and where the last ends, in seconds or pixels."""
    pairs = (
        document["spans"]
        if document["kind"] == "audio"
        else [[left, right] for left, _, right, _ in document["boxes"]]
    )
    return np.array([pairs[0][0], *(end for _, end in pairs)])


def _lines(trace: Trace, weights: np.ndarray, labels: list[str], title: str, most: float) -> Any:
    document = trace.input
    assert document is not None
    edges = edges_of(document)
    width, row = 8.0, 0.24
    tall = 1.5 if document["kind"] == "audio" else min(1.5, width * document["height"] / document["width"])
    below, gap = row * len(labels), 0.12
    height = tall + gap + below
    figure = new_figure(width, height)
    top = figure.add_axes((0, 1 - tall / height, 1, tall / height))
    draw_received(top, trace)
    if document["kind"] == "image":
        top.set_aspect("auto")
    top.xaxis.tick_top()
    top.xaxis.set_label_position("top")
    top.set_xlabel("seconds" if document["kind"] == "audio" else "pixels", size=9, color=FAINT_INK, loc="left")
    if document["kind"] == "audio":
        top.set_ylabel("pitch", size=9, color=FAINT_INK)
    axes = figure.add_axes((0, 0, 1, below / height))
    rows = np.arange(len(labels) + 1)
    axes.pcolormesh(edges, rows, weights, rasterized=True, **_scale(most))
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(len(labels), 0)
    axes.set_xticks([])
    shown = [shorten(label, MAX_FIGURE_LABEL, "…") for label in labels]
    axes.set_yticks(rows[:-1] + 0.5, shown, size=10, **TEXT)
    axes.tick_params(length=0, pad=5)
    for line in rows[1:-1]:
        axes.axhline(line, color=FRAME, linewidth=0.3)
    for spine in axes.spines.values():
        spine.set_color(FRAME)
    bar_height = min(max(below, 0.6), 2.0)
    bar = figure.add_axes((1 + 0.25 / width, (below - bar_height) / height, 0.14 / width, bar_height / height))
    _bar(figure, bar, most)
    _titles(figure, title, _caption(document), width, height, above=0.62)
    return figure


def _grids(trace: Trace, weights: np.ndarray, labels: list[str], title: str, most: float) -> Any:
    document = trace.input
    assert document is not None
    across = min(ACROSS, len(labels) + 1)
    down = -(-(len(labels) + 1) // across)
    side, gap, room = 1.5, 0.14, 0.3
    tall = side * document["height"] / document["width"]
    width, height = across * (side + gap) - gap, down * (tall + room)
    figure = new_figure(width, height)
    for index, label in enumerate(["", *labels]):
        row, column = divmod(index, across)
        place = (
            column * (side + gap) / width,
            1 - (row * (tall + room) + tall) / height,
            side / width,
            tall / height,
        )
        axes = figure.add_axes(place)
        draw_received(axes, trace, veiled=index > 0)
        axes.set_xticks([])
        if index:
            axes.imshow(
                _veil(document, weights[index - 1], most),
                extent=(0, document["width"], document["height"], 0),
                interpolation="nearest",
            )
            best = said(float(weights[index - 1].max()))
            text = f"{shorten(label, MAX_FIGURE_LABEL, '…')}  {best}"
        else:
            text = shorten(visible(document["name"]), max(8, int(side * 12)), "…")
        axes.set_xlabel(
            text, size=9 if cell_len(text) < 20 else 7, labelpad=3, **{**TEXT, "color": INK if index else FAINT_INK}
        )
        axes.set_xlim(0, document["width"])
        axes.set_ylim(document["height"], 0)
    bar_height = min(max(height - room, 0.8), 2.0)
    bar = figure.add_axes((1 + 0.2 / width, 1 - bar_height / height, 0.14 / width, bar_height / height))
    _bar(figure, bar, most)
    _titles(figure, title, _caption(document), width, height, above=0.25)
    return figure


def _veil(document: dict[str, Any], weights: np.ndarray, most: float) -> np.ndarray:
    """Red, green, blue and opacity of each pixel: white over what was not read, purple over what was."""
    layer = np.ones((round(document["height"]), round(document["width"]), 4))
    purple = np.array(weight_colours()["cmap"](1.0)[:3])
    for weight, (left, top, right, bottom) in zip(weights, document["boxes"]):
        share = min(1.0, float(weight) / most)
        covered, tinted = 0.82 * (1 - share) ** 1.5, 0.7 * share
        alpha = covered + tinted * (1 - covered)
        ink = (covered + purple * tinted * (1 - covered)) / max(alpha, 1e-9)
        layer[round(top) : round(bottom), round(left) : round(right)] = [*ink, alpha]
    return layer


def _bar(figure: Any, axes: Any, most: float) -> None:
    colour_bar(figure, axes, "attention\nweight", [0, most], **_scale(most))
    axes.set_yticks([0, most], ["0", said(most)])


def _caption(document: dict[str, Any]) -> str:
    look = nouns(document).looked
    if is_line(document):
        return (
            f"Each row is a word, from left to right how much was read of each place for it. It shows where the model "
            f"{look}, not why it chose a word."
        )
    return (
        "Purple: what was read for the word below; white: what was not. The number is the largest weight of a patch. "
        f"It shows where the model {look}, not why it chose a word."
    )


def _titles(figure: Any, title: str, caption: str, width: float, height: float, above: float) -> None:
    figure.text(
        0,
        1 + above / height,
        wrapped(title, max(width, 4), 12),
        va="bottom",
        size=12,
        weight="bold",
        linespacing=1.3,
        **TEXT,
    )
    figure.text(
        0,
        -0.14 / height,
        wrapped(caption, max(width, 4), 9),
        va="top",
        size=9,
        color=FAINT_INK,
        linespacing=1.4,
    )


def draw_step(figure: Any, place: tuple[float, float, float, float], trace: Trace, weights: np.ndarray) -> None:
    """What was read at one step, over what was heard or seen, in a part of a figure."""
    document = trace.input
    assert document is not None
    left, bottom, wide, high = place
    if is_line(document):
        axes = figure.add_axes((left, bottom + 0.42 * high, wide, 0.58 * high))
        draw_received(axes, trace)
        axes.set_anchor("S")
        axes.set_xticks([])
        edges = edges_of(document)
        below = figure.add_axes((left, bottom, wide, 0.36 * high))
        below.stairs(weights, edges, fill=True, color=weight_colours()["cmap"](1.0))
        below.set_xlim(edges[0], edges[-1])
        below.set_ylim(0, float(weights.max()) * 1.05)
        below.set_yticks([0, float(weights.max())], ["0", said(float(weights.max()))])
        below.tick_params(length=2, pad=3, labelsize=8, labelcolor=INK, color=FRAME)
        below.set_xlabel("seconds" if document["kind"] == "audio" else "pixels", size=8, color=FAINT_INK, loc="left")
        for spine in below.spines.values():
            spine.set_color(FRAME)
        return
    axes = figure.add_axes(place)
    draw_received(axes, trace, veiled=True)
    axes.set_xticks([])
    extent = (0, document["width"], document["height"], 0)
    most = max(float(weights.max()), LEAST / len(weights))
    axes.imshow(_veil(document, weights, most), extent=extent, interpolation="nearest")


def largest(trace: Trace, weights: np.ndarray) -> str:
    """The places with the largest weights, in words."""
    assert trace.input is not None
    order = np.argsort(-weights, kind="stable")[:3]
    return ", ".join(f"{spot_name(trace.input, j)} {said(float(weights[j]))}" for j in order)
