# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What stands in a trace in the place of a source text: a recording as it was heard, a picture as it was seen."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np


Kind = Literal["audio", "image"]

MAX_STATES = 1024  # of an encoder: a trace keeps several numbers for each pair of a state and a step
MAX_SOUND_BYTES = 1_000_000  # embedded in a trace, about a minute of speech
MAX_PLANES = 500_000  # numbers kept of one convolution
SHARE = 0.8  # of the weight of a step lies in its stretch


@dataclass(frozen=True)
class Received:
    """
    A recording or a picture on its way into a model.

    Attributes:
        name: Of the file, or what it is.
        data: The waveform `(samples,)` at `rate`, or the PIL picture; a what-if run changes it.
        inputs: Of the model, one without padding: `input_features` `(1, frames, bins)` or `pixel_values` `(1,
            channels, height, width)`.
        rate: Samples a second; 0 for a picture.
        hop: Seconds from frame to frame; 0 for a picture.
        shown: The picture as the model sees it, `(height, width, channels)` in 8 bits; None for a recording.
    """

    kind: Kind
    name: str
    data: Any
    inputs: dict[str, Any]
    rate: int = 0
    hop: float = 0.0
    shown: np.ndarray | None = None

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """What the model received, by its name in the trace."""
        ((_, value),) = self.inputs.items()
        return {f"input.{'features' if self.kind == 'audio' else 'pixels'}": value[0].float().cpu().numpy()}


# --------------------------------------------------------------------------------------------------------------------
# The document
# --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FrontEnd:
    """
    What a front end makes of its input.

    Attributes:
        stride: Frames, and 1, or pixels, down and across, from state to state.
        layout: Of a picture: "grid" or "columns".
        convolutions: The channels and strides of each.
        backbone: A network of `timm` in their place.
        joins: How often pairs of neighbouring states are joined between layers of the encoder.
    """

    stride: tuple[int, int]
    layout: str = "grid"
    convolutions: tuple[tuple[int, tuple[int, int]], ...] = ()
    backbone: str | None = None
    joins: int = 0

    @classmethod
    def of(cls, module: Any) -> FrontEnd:
        """The front end of a model of this package."""
        config = module.config
        convolutions = [(each.convolution.out_channels, tuple(each.stride)) for each in module.convolutions]
        stride, joins = module.stride(config), config.pyramid_layers
        return cls(stride, config.image_layout, tuple(convolutions), config.image_backbone, joins)

    def edges(self, count: int, side: int, whole: float) -> list[float]:
        """
        Where states begin, and where the last one ends.

        A convolution with a padding of 1 has its first output in the middle of the first number that it reads: a
        state lies around its place, and not behind it.

        Args:
            count: States, behind all joins.
            side: 0 for time or down, 1 for across.
            whole: Length of the input, in frames or pixels.
        """
        step = self.stride[side]
        joined = 2**self.joins if side == 1 or self.stride[1] == 1 else 1
        shift = step / 2 - 0.5 if self.convolutions else 0.0
        inner = [place * joined * step - shift for place in range(1, count)]
        return [0.0, *(min(whole, edge) for edge in inner), whole]

    def document(self) -> dict[str, Any]:
        convolutions = [{"channels": channels, "stride": list(stride)} for channels, stride in self.convolutions]
        return {"convolutions": convolutions, "backbone": self.backbone, "joins": self.joins}


def input_document(received: Received, states: int, front_end: FrontEnd) -> dict[str, Any]:
    """
    The part `input` of a trace.

    Args:
        received: What the model received.
        states: Number of states of the encoder.
        front_end: What made them.
    """
    if received.kind == "audio":
        frames, bins = received.arrays["input.features"].shape
        seconds = max(len(received.data) / received.rate, received.hop)
        # The first frame lies around the beginning of the sound.
        starts = [min(seconds, (edge - 0.5) * received.hop) for edge in front_end.edges(states, 0, frames)[1:-1]]
        edges = [0.0, *starts, seconds]
        return {
            "kind": "audio",
            "name": received.name,
            "media": _sound(received.data, received.rate),
            "sampling_rate": received.rate,
            "seconds": seconds,
            "hop": received.hop,
            "frames": frames,
            "bins": bins,
            "spans": [[edges[place], edges[place + 1]] for place in range(states)],
            **front_end.document(),
        }
    channels, height, width = received.arrays["input.pixels"].shape
    rows, columns = 1, states
    if front_end.layout == "grid":
        # A backbone may round either way where its stride does not divide the size.
        sizes = [(to(height / front_end.stride[0]), to(width / front_end.stride[1])) for to in (math.ceil, math.floor)]
        rows, columns = next(size for size in sizes if size[0] * size[1] == states)
    across = front_end.edges(columns, 1, width)
    down = [0.0, height] if front_end.layout == "columns" else front_end.edges(rows, 0, height)
    boxes = [
        [across[column], down[row], across[column + 1], down[row + 1]]
        for row in range(rows)
        for column in range(columns)
    ]
    assert received.shown is not None
    return {
        "kind": "image",
        "name": received.name,
        "media": _picture(received.shown),
        "width": width,
        "height": height,
        "channels": channels,
        "layout": front_end.layout,
        "rows": rows,
        "columns": columns,
        "boxes": boxes,
        **front_end.document(),
    }


def source_side(document: Mapping[str, Any]) -> dict[str, Any]:
    """The part `source` of a trace: its tokens are the states, named by their places."""
    return {
        "text": document["name"],
        "words": [],
        "tokens": [
            {"id": place, "token": name, "text": "", "span": None, "word": None, "special": False}
            for place, name in enumerate(place_names(document))
        ],
    }


def place_names(document: Mapping[str, Any]) -> list[str]:
    """Each state by its place: "0.52 s", "r3 c5", "120 px"."""
    if document["kind"] == "audio":
        return [f"{(start + end) / 2:.2f} s" for start, end in document["spans"]]
    if document["layout"] == "columns":
        return [f"{(left + right) / 2:.0f} px" for left, _, right, _ in document["boxes"]]
    columns = document["columns"]
    return [f"r{place // columns + 1} c{place % columns + 1}" for place in range(len(document["boxes"]))]


def spot_name(document: Mapping[str, Any], place: int) -> str:
    """One state in a sentence: "0.52 s", "row 3, column 5", "pixel 120"."""
    if document["kind"] == "audio":
        return f"{sum(document['spans'][place]) / 2:.2f} s"
    if document["layout"] == "columns":
        left, _, right, _ = document["boxes"][place]
        return f"pixel {(left + right) / 2:.0f}"
    return f"row {place // document['columns'] + 1}, column {place % document['columns'] + 1}"


def is_line(document: Mapping[str, Any]) -> bool:
    """Whether the states lie side by side, as those of a recording or of a line of text do."""
    return document["kind"] == "audio" or document["layout"] == "columns"


def stretch(weights: np.ndarray) -> tuple[int, int]:
    """The shortest run of neighbouring states with most of the weight, from the first to behind the last."""
    sums = np.concatenate([[0.0], np.cumsum(weights, dtype=np.float64)])
    ends = np.searchsorted(sums, sums + min(SHARE, sums[-1]) - 1e-9)
    found = [(end - start, sums[start] - sums[end], start, end) for start, end in enumerate(ends) if end < len(sums)]
    _, _, start, end = min(found)
    return int(start), int(max(end, start + 1))


def stretch_name(document: Mapping[str, Any], start: int, end: int) -> str:
    """The place of neighbouring states, from the first to behind the last."""
    if document["kind"] == "audio":
        return f"{document['spans'][start][0]:.2f} to {document['spans'][end - 1][1]:.2f} s"
    return f"pixels {document['boxes'][start][0]:.0f} to {document['boxes'][end - 1][2]:.0f} from the left"


def check_input(document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse parts of a saved trace that do not match each other; raises a ValueError."""
    received, states = document["input"], len(document["source"]["tokens"])
    places = received["spans"] if received["kind"] == "audio" else received["boxes"]
    if len(places) != states:
        raise ValueError(f"it has {states} states and the places of {len(places)}")
    shapes: dict[str, tuple[int, ...]]
    if received["kind"] == "audio":
        shapes = {"input.features": (received["frames"], received["bins"])}
    else:
        shapes = {"input.pixels": (received["channels"], received["height"], received["width"])}
        if received["rows"] * received["columns"] != states:
            raise ValueError(f"it has {states} states in {received['rows']} rows of {received['columns']}")
    for name, shape in shapes.items():
        if name in arrays and arrays[name].shape != shape:
            raise ValueError(f"{name} has the shape {arrays[name].shape}, and not {shape}")
    if received["media"] is not None:
        base64.b64decode(received["media"]["base64"], validate=True)


def _sound(waveform: np.ndarray, rate: int) -> dict[str, str] | None:
    """What the model heard as FLAC; None if it is too long to be carried along."""
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, np.clip(waveform, -1.0, 1.0), rate, format="FLAC", subtype="PCM_16")
    data = file.getvalue()
    if len(data) > MAX_SOUND_BYTES:
        return None
    return {"type": "audio/flac", "base64": base64.b64encode(data).decode("ascii")}


def _picture(shown: np.ndarray) -> dict[str, str]:
    """What the model saw as PNG."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(shown[..., 0] if shown.shape[-1] == 1 else shown).save(file, format="PNG")
    return {"type": "image/png", "base64": base64.b64encode(file.getvalue()).decode("ascii")}
