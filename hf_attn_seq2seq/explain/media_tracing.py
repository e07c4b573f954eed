# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What a model that hears or sees is given, on its way into a trace."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hf_attn_seq2seq.explain.media import MAX_PLANES, MAX_STATES, FrontEnd, Received, input_document, source_side
from hf_attn_seq2seq.explain.tracing import ENCODER, Reading, RunRecorder
from hf_attn_seq2seq.feature_extraction_attn_seq2seq import one_channel
from hf_attn_seq2seq.media import check_waveform, read_audio, read_image, resample
from hf_attn_seq2seq.messages import shortened
from hf_attn_seq2seq.modality import AUDIO, modality_of


FRONTEND = f"{ENCODER}.frontend"


def receive(model: Any, processor: Any, source: Any, name: str | None = None) -> Received:
    """
    A recording or a picture as the model receives it.

    Args:
        model: A model that hears or sees.
        processor: Its processor.
        source: A file; a waveform `(samples,)` at the processor's sampling rate; a picture of Pillow or as an array.
        name: What the source is called; None: the file's name, or what it is.

    Raises:
        ValueError: The processor does not fit the model, the source is none, cannot be used, or is too long.
    """
    hears = modality_of(model.config) == AUDIO
    part = getattr(processor, "feature_extractor" if hears else "image_processor", None)
    if part is None:
        raise ValueError(
            f"A model that {'hears' if hears else 'sees'} needs its processor to be explained, and not a tokenizer "
            "alone: load it by AutoProcessor.from_pretrained."
        )
    if isinstance(source, (str, os.PathLike)):
        path = str(source)
        if not os.path.exists(path):
            what = "an audio file" if hears else "a picture"
            verb = "hears" if hears else "sees"
            raise ValueError(
                f"There is no file '{shortened(path)}', and this model {verb}: give {what} in place of a text."
            )
        name = name or Path(path).name
    received = _hear(part, source, name) if hears else _see(part, source, name)
    front_end = FrontEnd.of(model.model.encoder.frontend)
    shape = next(iter(received.inputs.values())).shape
    length = shape[1:2] if hears else shape[2:]
    parts = [math.ceil(size / stride) for size, stride in zip(length, front_end.stride)]
    states = parts[-1] if not hears and front_end.layout == "columns" else math.prod(parts)
    if states > MAX_STATES:
        what = f"{len(received.data) / received.rate:.0f} seconds" if hears else f"{length[1]} x {length[0]} pixels"
        raise ValueError(
            f"{received.name} has {what}, which this model reads in {states:,} parts, but a trace supports at most "
            f"{MAX_STATES:,}: cut it."
        )
    received.inputs.update({key: value.to(model.device, model.dtype) for key, value in received.inputs.items()})
    return received


def _hear(extractor: Any, source: Any, name: str | None) -> Received:
    rate = extractor.sampling_rate
    if isinstance(source, (str, os.PathLike)):
        sound = read_audio(source)
        waveform = resample(sound.waveform, sound.sampling_rate, rate)
    else:
        waveform = one_channel(source)
        name = name or f"recording of {len(waveform) / rate:.2f} s"
    check_waveform(waveform, name or "The sound")
    made = extractor(waveform, sampling_rate=rate, return_tensors="pt")
    features = made["input_features"][:, : int(made["attention_mask"][0].sum())]
    hop = extractor.hop_length / rate
    return Received("audio", name or "recording", waveform, {"input_features": features}, rate, hop)


def _see(processor: Any, source: Any, name: str | None) -> Received:
    path = isinstance(source, (str, os.PathLike))
    picture = read_image(source) if path else source
    shown = processor.pixels(picture, shortened(str(source)) if path else name)
    pixels = torch.from_numpy(processor.scale(shown))[None]
    name = name or f"picture of {shown.shape[2]} x {shown.shape[1]} pixels"
    return Received("image", name, picture, {"pixel_values": pixels}, shown=shown.transpose(1, 2, 0))


def read_received(model: Any, received: Received, recorder: RunRecorder) -> tuple[Reading, dict[str, Any]]:
    """
    What was received, for `run_traced`.

    Returns:
        the reading, and the part `input` of the trace, which is empty until the run has shown how many states there
        are.
    """
    document: dict[str, Any] = {}

    def side() -> dict[str, Any]:
        states = recorder.at(0, ENCODER)["states"].shape[1]
        document.update(input_document(received, states, FrontEnd.of(model.model.encoder.frontend)))
        return source_side(document)

    return Reading(dict(received.inputs), side), document


def front_end_arrays(
    model: Any, received: Received, recorder: RunRecorder
) -> tuple[dict[str, np.ndarray], list[dict[str, str]]]:
    """What was received and what each convolution made of it, and what of these is left out for its size."""
    arrays, omitted = received.arrays, []
    for index, _ in enumerate(model.model.encoder.frontend.convolutions):
        planes = recorder.at(0, f"{FRONTEND}.convolutions.{index}")["planes"][0]
        if planes.numel() > MAX_PLANES:
            what = f"the maps of convolution {index + 1} of the front end, {planes.numel():,} numbers"
            omitted.append({"what": what, "why": "size; trace.verify() computes them anew on the way to the next"})
        else:
            arrays[f"frontend.layer.{index}"] = np.ascontiguousarray(planes.numpy(), dtype=np.float32)
    if model.config.image_backbone:
        what = f"the inner numbers of the backbone {model.config.image_backbone}"
        omitted.append({"what": what, "why": "size; its result is there"})
    return arrays, omitted
