# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Files of sounds or pictures through a model, in batches of similar length; one that cannot be used is told."""

import itertools
import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from transformers import BatchFeature

from hf_attn_seq2seq.decoding.engines import Engine
from hf_attn_seq2seq.decoding.loading import Recognizer
from hf_attn_seq2seq.decoding.torch_engine import TorchEngine
from hf_attn_seq2seq.media import MAX_SECONDS, read_audio
from hf_attn_seq2seq.processing_attn_seq2seq import AttnSeq2SeqProcessor
from hf_attn_seq2seq.resampling import resample
from hf_attn_seq2seq.splitting import length_limit


BATCH_SIZE = 16
_AHEAD = 8  # batches that are read before they are sorted by length


class Transcript(NamedTuple):
    """What a model wrote for a file."""

    file: str
    text: str  # on one line; empty where there is an error
    score: float = 0.0  # the sum of its tokens' log-probabilities, divided by length ** length_penalty
    error: str | None = None  # why the file was not used: a sentence that names it


def transcribe(
    recognizer: Recognizer,
    files: Iterable[str | os.PathLike[str]],
    *,
    batch_size: int = BATCH_SIZE,
    max_seconds: float | None = MAX_SECONDS,
    engine: Engine | None = None,
    **generate_options: Any,
) -> Iterator[Transcript]:
    """
    Yield what the model writes for each file, in order. Files are read as they are needed.

    ```python
    for transcript in transcribe(load_recognizer("outputs/an4-speech"), ["a.flac", "b.wav"]):
        print(transcript.error or transcript.text)
    ```

    Args:
        recognizer: The result of [`load_recognizer`].
        files: Sounds for a model that hears, pictures for one that sees.
        batch_size: Number of files that are decoded at once.
        max_seconds: Longer sounds are not used; None: there is no limit.
        engine: What searches, such as the result of `quick_engine`; None: `model.generate`.
        **generate_options: Passed to `model.generate`, such as `num_beams=5`; the defaults are the model's settings.
    """
    engine = engine or TorchEngine(recognizer.model)
    names = (os.fspath(file) for file in files)
    for size in itertools.chain([batch_size], itertools.repeat(batch_size * _AHEAD)):  # the first are soon there
        window = list(itertools.islice(names, size))
        if not window:
            return
        features: dict[int, np.ndarray] = {}
        found: dict[int, Transcript] = {}
        for number, name in enumerate(window):
            try:
                features[number] = read_features(recognizer, name, max_seconds)
            except ValueError as error:
                found[number] = Transcript(name, "", error=str(error))
        time = 0 if recognizer.processor.hears else -1
        order = sorted(features, key=lambda number: features[number].shape[time])
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            given = [features.pop(each) for each in batch]
            results = search(recognizer.processor, given, engine, scores=True, **generate_options)
            found.update((number, Transcript(window[number], *result)) for number, result in zip(batch, results))
        yield from (found[number] for number in range(len(window)))


def read_features(recognizer: Recognizer, name: str, max_seconds: float | None = MAX_SECONDS) -> np.ndarray:
    """
    What the processor makes of a file: `(frames, num_mel_bins)`, or pixels `(channels, height, width)`.

    Raises:
        ValueError: The file cannot be used; the sentence begins with its name.
    """
    processor = recognizer.processor
    if processor.hears:
        extractor = processor.feature_extractor
        waveform, rate = read_audio(name, max_seconds=max_seconds)
        return extractor.extract(resample(waveform, rate, extractor.sampling_rate))
    return processor.image_processor.pixels(name)


def search(
    processor: AttnSeq2SeqProcessor,
    features: list[np.ndarray],
    engine: Engine,
    scores: bool = False,
    **generate_options: Any,
) -> list[tuple[str, float]]:
    """The texts for a batch of the results of [`read_features`], each on one line, and their scores if asked for."""
    if processor.hears:
        inputs = processor.feature_extractor.pad(BatchFeature({"input_features": features}), return_tensors="np")
    else:
        inputs = processor.image_processor.batch(features, return_tensors="np")
    options = {**length_limit(engine, generate_options), **generate_options}
    found = engine.search(**inputs, scores=scores, **options)
    texts = processor.batch_decode(found.sequences, skip_special_tokens=True)
    values = [0.0] * len(texts) if found.scores is None else map(float, found.scores)
    return [(" ".join(text.split()), score) for text, score in zip(texts, values)]
