# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What a page carries of recordings and pictures: the sound or picture itself, once, and their numbers in 8 bits."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from hf_attn_seq2seq.explain.document import Trace


MAPS = 12  # of each convolution
WHY_SHORT = "to keep this page small; the trace itself has them all"


class Media:
    """The sounds and pictures of a page's runs, equal ones once, as elements that scripts and readers find."""

    def __init__(self, traces: Iterable[Trace]) -> None:
        self.known: dict[str, int] = {}
        self.elements: list[str] = []
        for trace in traces:
            media = (trace.input or {}).get("media")
            if media is None or media["base64"] in self.known:
                continue
            number = self.known[media["base64"]] = len(self.known)
            data, name = f"data:{media['type']};base64,{media['base64']}", html.escape(trace.document["input"]["name"])
            if media["type"].startswith("audio"):
                element = f'<audio id="media-{number}" controls preload="auto" src="{data}" title="{name}"></audio>'
            else:
                element = f'<img id="media-{number}" src="{data}" alt="{name}">'
            self.elements.append(element)

    def html(self) -> str:
        return f'<div id="media">\n{chr(10).join(self.elements)}\n</div>\n' if self.elements else ""

    @property
    def policy(self) -> str:
        """What the page's policy allows beside images."""
        return "media-src data:; " if any(element.startswith("<audio") for element in self.elements) else ""

    def pointed(self, document: dict[str, Any]) -> dict[str, Any]:
        """The document with a pointer to the element in the place of the sound or picture."""
        received = document.get("input")
        if received is None or received["media"] is None:
            return document
        number = self.known[received["media"]["base64"]]
        pointer = {"type": received["media"]["type"], "element": f"media-{number}"}
        return {**document, "input": {**received, "media": pointer}}


class Shown(NamedTuple):
    """An array as the page shows it: in 8 bits between `low` and `high`, perhaps only some channels."""

    values: np.ndarray
    low: float
    high: float
    channels: list[int] | None = None
    of: int = 0

    @classmethod
    def of_array(cls, name: str, array: np.ndarray) -> Shown | None:
        """None for an array that the page carries as it is."""
        channels, count = None, 0
        if re.fullmatch(r"frontend\.layer\.\d+", name):
            count = len(array)
            spread = array.reshape(count, -1).std(axis=1)
            channels = sorted(np.argsort(-spread, kind="stable")[:MAPS].tolist())
            array = array[channels]
        elif name != "input.features":
            return None
        low, high = float(array.min()), float(array.max())
        scaled = np.round((array - low) * (255 / ((high - low) or 1.0)))
        return cls(scaled.astype(np.uint8), low, high, channels, count)


def shorten_input(
    arrays: dict[tuple[int, str], np.ndarray],
) -> tuple[dict[tuple[int, str], Shown], list[dict[str, str]]]:
    """
    Takes from the arrays of a page's runs what it shows in 8 bits or not at all.

    Returns:
        What it shows in 8 bits, and what it says that it leaves out.
    """
    shown: dict[tuple[int, str], Shown] = {}
    left_out = []
    for key in list(arrays):
        made = Shown.of_array(key[1], arrays[key])
        if made is not None:
            shown[key] = made
        if made is not None or key[1] == "input.pixels":
            del arrays[key]
    names = {name for _, name in shown}
    if "input.features" in names:
        left_out.append({"what": "the numbers of the spectrogram beyond 8 bits", "why": WHY_SHORT})
    if any(made.of > MAPS for made in shown.values()):
        left_out.append({"what": f"maps of the convolutions beside the {MAPS} that vary most", "why": WHY_SHORT})
    if any(name.startswith("frontend.") for name in names):
        left_out.append({"what": "the numbers of these maps beyond 8 bits", "why": WHY_SHORT})
    return shown, left_out
