# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What the chapters say of recordings and pictures: how they become the frames or patches that a model attends to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from hf_attn_seq2seq.explain.media import is_line, spot_name, stretch


class Nouns(NamedTuple):
    """How a source and its parts are called."""

    one: str
    many: str
    whole: str
    looked: str
    forwards: str
    backwards: str


TEXT = Nouns("token", "tokens", "text", "looked", "from left to right", "from right to left")


def nouns(document: Mapping[str, Any] | None) -> Nouns:
    """
    Args:
        document: The part `input` of a trace; None for a text.
    """
    if document is None:
        return TEXT
    if document["kind"] == "audio":
        ways = ("from the beginning to the end", "from the end to the beginning")
        return Nouns("frame", "frames", "recording", "listened", *ways)
    if document["layout"] == "columns":
        return Nouns("column", "columns", "picture", "looked", "from left to right", "from right to left")
    ways = ("row by row, from the top left", "row by row, from the bottom right")
    return Nouns("patch", "patches", "picture", "looked", *ways)


def looked_where(document: Mapping[str, Any], weights: np.ndarray, said: Any, note: str) -> str:
    """ "listened mostly between 0.60 and 0.84 s (0.82)".

    Args:
        document: The part `input` of a trace.
        weights: `(S,)`, of one step.
        said: Writes a weight.
        note: Whose weights they are.
    """
    verb, whole = nouns(document).looked, nouns(document).whole
    order = np.argsort(-weights, kind="stable")
    best = f"{spot_name(document, order[0])} ({said(weights[order[0]])})"
    if not is_line(document):
        if weights[order[0]] > 0.5 or len(weights) == 1:
            return f"{verb} mostly at {best}{note}"
        second = f"{spot_name(document, order[1])} ({said(weights[order[1]])})"
        return f"{verb} most at {best}, then at {second}{note}"
    start, end = stretch(weights)
    if end - start > len(weights) / 2:
        return f"{verb} all over the {whole}, most at {best}{note}"
    total = said(float(weights[start:end].sum()))
    if document["kind"] == "audio":
        first, last = document["spans"][start][0], document["spans"][end - 1][1]
        return f"{verb} mostly between {first:.2f} and {last:.2f} s ({total}){note}"
    left, right = document["boxes"][start][0], document["boxes"][end - 1][2]
    return f"{verb} mostly between the pixels {left:.0f} and {right:.0f} from the left ({total}){note}"


class Told(NamedTuple):
    """A chapter without its title's number: title, plain, exact, formula."""

    title: str
    plain: str
    exact: str
    formula: str


def received(document: Mapping[str, Any]) -> Told:
    """Chapter 1: what goes in."""
    if document["kind"] == "audio":
        frames, bins, hop = document["frames"], document["bins"], round(1000 * document["hop"])
        plain = (
            f"The recording lasts {document['seconds']:.2f} seconds. Every {hop} milliseconds, the energy of the "
            f"sound is measured in {bins} bands, from low pitch to high; at high pitch they are wider, as they are "
            f"for the ear. This gives {frames:,} frames of {bins} numbers, the spectrogram: all that the model hears."
        )
        exact = (
            f"The waveform of {document['sampling_rate']:,} samples a second becomes x, ({frames}, {bins}): log-mel "
            "energies, as the model's feature extractor gives them. M is the mel filter bank, T the Fourier transform "
            "of a window."
        )
        return Told("Recording", plain, exact, "x_fb = log sum_i M_bi |T_fi|^2")
    width, height, channels = document["width"], document["height"], document["channels"]
    each = (
        "one number, which says how light it is" if channels == 1 else "three numbers: how red, green and blue it is"
    )
    plain = f"The picture is seen in {width} x {height} pixels. Each of them is {each}."
    exact = f"x is {(channels, height, width)}: channels, height, width, as the model's image processor gives them."
    return Told("Picture", plain, exact, "x = (x_cij), c a channel, i a row, j a column")


def front_end(document: Mapping[str, Any], numbers: str, shape: tuple[int, ...] | None) -> Told:
    """
    Chapter 2: what the convolutions make of it.

    Args:
        document: The part `input` of a trace.
        numbers: "a list of 256 numbers".
        shape: Of the vectors, where they are known: how many, and how wide.
    """
    convolutions, backbone = document["convolutions"], document["backbone"]
    count, names = len(convolutions), nouns(document)
    states = shape[0] if shape else len(document["spans" if document["kind"] == "audio" else "boxes"])
    how_many = {1: "A convolution passes", 2: "Two convolutions pass", 3: "Three convolutions pass"}
    passes = how_many.get(count, f"{count} convolutions pass")
    over = "spectrogram" if document["kind"] == "audio" else "picture"
    plain = f"The network {backbone} passes over the {over}" if backbone else f"The front end reads the {over}"
    if convolutions:
        subject = "each looks" if count > 1 else "it looks"
        plain = f"{passes} over the {over}: {subject} at 3 x 3 numbers at a time, with the same weights at every place"
    if document["kind"] == "audio":
        become = f"so that {document['frames']:,} frames become {states:,}"
        if convolutions:
            step = document["hop"] * math.prod(each["stride"][0] for each in convolutions)
            plain += f". They take strides, {become}, one every {round(1000 * step)} milliseconds"
        else:
            plain += f", {become}"
        plain += (
            f". From here on, a frame is one of these: {numbers}, which also hold a little of the sound around it."
        )
    elif document["layout"] == "columns":
        plain += (
            f". What then lies above each other becomes one list, so that the picture is read in {states:,} columns. "
            f"Each column is {numbers}, which also hold a little of what is beside it."
        )
    else:
        rows, columns = document["rows"], document["columns"]
        plain += (
            f". Each place of the result stands for a patch of the picture: {rows} rows of {columns}. Each patch is "
            f"{numbers}, which also hold a little of what is around it, and its place: numbers that encode row and "
            "column are added."
        )
    shaped = f"; the {names.many} are {shape}" if shape else ""
    if backbone:
        return Told("Front end", plain, f"The last map of {backbone} (timm), a linear map, LayerNorm{shaped}.", _MAP)
    if not convolutions:
        return Told("Front end", plain, f"The class of the front end has its equations{shaped}.", "x = frontend(x)")
    channels = _listed([str(each["channels"]) for each in convolutions])
    strides = _listed(["{} x {}".format(*each["stride"]) for each in convolutions])
    paper = "Dong et al. 2018, section 3.3" if document["kind"] == "audio" else _PAPERS[document["layout"]]
    norm = "" if document["kind"] == "audio" else "LayerNorm over the channels, "
    exact = f"{channels} channels, strides {strides}; {norm}ReLU; a linear map; LayerNorm{shaped} ({paper})."
    where = " + PE(row, column)" if document["kind"] == "image" and document["layout"] == "grid" else ""
    return Told("Front end", plain, exact, f"{_CONVOLUTION[document['kind']]}; {_MAP}{where}")


_PAPERS = {"grid": "after Xu et al. 2015, section 3.1.1", "columns": "after Shi et al. 2017, section 2.1"}
_CONVOLUTION = {"audio": "z = max(0, K * x + b)", "image": "z = max(0, LayerNorm(K * x + b))"}
_MAP = "x_j = LayerNorm(W z_j + b)"


def _listed(parts: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def not_proof(document: Mapping[str, Any]) -> str:
    """What a weight does not show."""
    names = nouns(document)
    change = "mute a part" if document["kind"] == "audio" else "cover a part"
    return (
        "A large weight shows what the decoder read, not why it chose a word: each encoder state also holds "
        f"information about what is around its {names.one}. To ask more, {change} of the {names.whole} and let the "
        "model decode again."
    )
