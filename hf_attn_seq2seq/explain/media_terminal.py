# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Recordings and pictures in the terminal, drawn in characters, with what was read of each place."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from hf_attn_seq2seq.explain.media import is_line


SHADES, PLAIN_SHADES = " ░▒▓█", " .:-=+*#%@"
HEIGHTS, PLAIN_HEIGHTS = " ▁▂▃▄▅▆▇█", " .:-=+*#%@"
BANDS = 10  # lines of a spectrogram
MAX_ROWS = 24  # lines of a picture
MARK = 12  # columns between two marks of an axis


def resampled(values: np.ndarray, count: int) -> np.ndarray:
    """The mean of each of `count` equal parts of the first dimension."""
    edges = np.linspace(0, len(values), count + 1)
    return np.stack([values[int(start) : int(np.ceil(end))].mean(0) for start, end in itertools.pairwise(edges)])


def shaded(values: np.ndarray, plain: bool) -> list[str]:
    """Lines of shades of a matrix, between what nearly all of its numbers lie."""
    low, high = np.quantile(values, [0.02, 0.99])
    signs = PLAIN_SHADES if plain else SHADES
    shares = np.clip((values - low) / ((high - low) or 1.0), 0.0, 1.0)
    return ["".join(signs[round(share * (len(signs) - 1))] for share in line) for line in shares]


def drawn_input(document: Mapping[str, Any], arrays: Mapping[str, np.ndarray], width: int, plain: bool) -> list[str]:
    """What was heard or seen, with its axis; no lines where the trace lacks it."""
    if document["kind"] == "audio":
        if "input.features" not in arrays:
            return []
        features = arrays["input.features"]
        columns = min(width, len(features))
        bands = resampled(resampled(features, columns).T, min(BANDS, features.shape[1]))
        return [*shaded(bands[::-1], plain), axis(document, columns)]
    if "input.pixels" not in arrays:
        return []
    pixels = arrays["input.pixels"].mean(0)
    columns = min(width, 2 * pixels.shape[1])
    # A character is about twice as high as it is wide.
    rows = max(1, min(MAX_ROWS, round(columns * pixels.shape[0] / pixels.shape[1] / 2)))
    columns = min(columns, round(2 * rows * pixels.shape[1] / pixels.shape[0]))
    small = resampled(resampled(pixels, rows).T, columns).T
    lines = shaded(-small, plain)  # dark is ink
    return [*lines, axis(document, columns)] if document["layout"] == "columns" else lines


def axis(document: Mapping[str, Any], columns: int) -> str:
    """Seconds, or pixels, under a drawing."""
    whole = document["seconds"] if document["kind"] == "audio" else document["width"]
    unit, digits = (" s", 2) if document["kind"] == "audio" else (" px", 0)
    line = ""
    for place in range(0, max(columns - MARK // 2, 1), MARK):
        line = f"{line:<{place}}|{whole * place / columns:.{digits}f}{unit}"
    return line


def drawn_weights(document: Mapping[str, Any], weights: np.ndarray, width: int, plain: bool) -> list[str]:
    """
    How much was read of each place: heights side by side, or shades in a grid, relative to the largest weight.

    Args:
        document: The part `input` of a trace.
        weights: `(S,)`, of one step.
    """
    if not is_line(document):
        signs, most = PLAIN_SHADES if plain else SHADES, float(weights.max()) or 1.0
        grid = weights.reshape(document["rows"], document["columns"]) / most
        wide = 2 if 2 * document["columns"] <= width else 1
        return ["".join(wide * signs[round(float(share) * (len(signs) - 1))] for share in row) for row in grid]
    columns = min(width, document["frames"] if document["kind"] == "audio" else 2 * document["width"])
    return [heights(_in_columns(document, weights, columns), plain), axis(document, columns)]


def _in_columns(document: Mapping[str, Any], weights: np.ndarray, columns: int) -> np.ndarray:
    """The weight of the state in the middle of each column."""
    if document["kind"] == "audio":
        ends = [end / document["seconds"] for _, end in document["spans"]]
    else:
        ends = [right / document["width"] for _, _, right, _ in document["boxes"]]
    middles = (np.arange(columns) + 0.5) / columns
    return weights[np.minimum(np.searchsorted(ends, middles), len(weights) - 1)]


def heights(values: np.ndarray, plain: bool) -> str:
    """Numbers from 0 on as a line of blocks, relative to the largest."""
    signs, most = PLAIN_HEIGHTS if plain else HEIGHTS, float(values.max()) or 1.0
    return "".join(signs[round(float(value) / most * (len(signs) - 1))] for value in values)
