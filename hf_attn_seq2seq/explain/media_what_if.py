# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What if a part of a recording were silent, or a part of a picture covered?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hf_attn_seq2seq.explain.document import Trace
from hf_attn_seq2seq.explain.media import Received, spot_name
from hf_attn_seq2seq.explain.media_tracing import receive
from hf_attn_seq2seq.explain.tracing import package_model


def changed_input(
    parent: Trace, mute: tuple[float, float] | None, cover: int | Sequence[float] | None
) -> tuple[Received, dict[str, Any]]:
    """
    What the model received, with a part of it muted or covered, and the change for the trace.

    Raises:
        ValueError: As for [`what_if`].
    """
    received, document = parent.received, parent.input
    kind = None if document is None else document["kind"]
    if received is None or document is None or kind != ("audio" if mute is not None else "image"):
        what = {None: "reads a text", "audio": "heard a recording", "image": "saw a picture"}[kind]
        verb = "mute" if mute is not None else "cover"
        instead = {None: "source=TEXT", "audio": "mute", "image": "cover"}[kind]
        raise ValueError(f"There is nothing to {verb}, for this model {what}: use {instead}.")
    if mute is not None:
        start, end = _part(mute, document["seconds"])
        waveform = np.array(received.data)
        waveform[round(start * received.rate) : round(end * received.rate)] = 0.0
        if not waveform.any():
            raise ValueError("Nothing of the recording would be left: mute a part of it.")
        change = {"kind": "mute", "from": start, "to": end}
        return _again(parent, received, waveform), change
    assert cover is not None
    box, place = _box(document, cover)
    left, top, right, bottom = (round(edge) for edge in box)
    assert received.shown is not None
    shown = received.shown.copy()
    shown[top:bottom, left:right] = shown.reshape(-1, shown.shape[-1]).mean(0).round()
    return _again(parent, received, shown), {"kind": "cover", "box": box, "place": place}


def _again(parent: Trace, received: Received, data: np.ndarray) -> Received:
    """The same source, changed. A picture goes in as the model saw it, at the size that its processor keeps."""
    made = receive(package_model(parent.model), parent.tokenizer, data, received.name)
    return made if received.kind == "audio" else replace(made, data=data)


def _part(mute: tuple[float, float], seconds: float) -> tuple[float, float]:
    start, end = (float(edge) for edge in mute)
    if not 0 <= start < end or start >= seconds:
        raise ValueError(
            f"There is no part from {start:g} to {end:g} seconds: the recording goes from 0 to {seconds:.2f}."
        )
    return start, min(end, seconds)


def _box(document: dict[str, Any], cover: int | Sequence[float]) -> tuple[list[float], str]:
    """What to cover in pixels, and what it is called."""
    if isinstance(cover, int):
        count = len(document["boxes"])
        if not -count <= cover < count:
            raise ValueError(f"There is no patch {cover}: there are {count}, counted from 0.")
        return document["boxes"][cover], spot_name(document, cover % count)
    width, height = document["width"], document["height"]
    box = [float(edge) for edge in cover]
    if len(box) != 4 or not (0 <= box[0] < box[2] and 0 <= box[1] < box[3] and box[0] < width and box[1] < height):
        raise ValueError(
            f"The part to cover is not in the picture of {width} x {height} pixels: give its left, top, right "
            "and bottom."
        )
    box = [box[0], box[1], min(box[2], width), min(box[3], height)]
    return box, f"the part from {box[0]:g}, {box[1]:g} to {box[2]:g}, {box[3]:g}"
