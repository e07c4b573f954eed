# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Files of sounds or pictures through a model, in batches of similar length; one that cannot be used is told."""

import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from transformers import BatchFeature

from hf_attn_seq2seq.decoding.engines import Engine
from hf_attn_seq2seq.decoding.loading import Recognizer
from hf_attn_seq2seq.decoding.text import length_batches
from hf_attn_seq2seq.decoding.torch_engine import TorchEngine
from hf_attn_seq2seq.frontend import source_stride
from hf_attn_seq2seq.media import MAX_SECONDS, read_audio, read_image
from hf_attn_seq2seq.messages import shortened
from hf_attn_seq2seq.modality import AUDIO, modality_of
from hf_attn_seq2seq.processing_attn_seq2seq import AttnSeq2SeqProcessor
from hf_attn_seq2seq.resampling import resample
from hf_attn_seq2seq.splitting import length_limit


BATCH_SIZE = 16
STATES = 1 << 14  # of the encoder, in a batch: the convolutions before it need much memory
_AHEAD = 8  # batches that are read before they are sorted by length


class Content(NamedTuple):
    """The content of a file, such as a table may hold, and what the file is called."""

    name: str
    content: bytes


class Transcript(NamedTuple):
    """What a model wrote for a file."""

    file: str
    text: str  # on one line; empty where there is an error
    score: float = 0.0  # the sum of its tokens' log-probabilities, divided by length ** length_penalty
    error: str | None = None  # why the file was not used: a sentence that names it


def transcribe(
    recognizer: Recognizer,
    files: Iterable[str | os.PathLike[str] | Content],
    *,
    batch_size: int = BATCH_SIZE,
    max_seconds: float | None = MAX_SECONDS,
    engine: Engine | None = None,
    **generate_options: Any,
) -> Iterator[Transcript]:
    """
    Yield what the model writes for each file, in order. Files are read as they are needed, and decoded in batches of
    similar length, which have at most `STATES` states of the encoder: longer files make smaller batches.

    ```python
    for transcript in transcribe(load_recognizer("outputs/an4-speech"), ["a.flac", "b.wav"]):
        print(transcript.error or transcript.text)
    ```

    Args:
        recognizer: The result of [`load_recognizer`].
        files: Sounds for a model that hears, pictures for one that sees.
        batch_size: Number of files that are decoded at once, at most.
        max_seconds: Longer sounds are not used; None: there is no limit.
        engine: What searches, such as the result of `quick_engine`; None: `model.generate`.
        **generate_options: Passed to `model.generate`, such as `num_beams=5`; the defaults are the model's settings.
    """
    engine = engine or TorchEngine(recognizer.model)
    reading, ahead = iter(files), 1  # the first are soon there
    time = 0 if recognizer.processor.hears else -1
    while True:
        found: list[Transcript] = []
        features: dict[int, np.ndarray] = {}
        states: dict[int, int] = {}
        while len(found) < ahead * batch_size and sum(states.values()) < ahead * STATES:
            file = next(reading, None)
            if file is None:
                break
            number, name = len(found), file.name if isinstance(file, Content) else os.fspath(file)
            try:
                features[number] = read_features(recognizer, file, max_seconds)
            except ValueError as error:
                found.append(Transcript(name, "", error=str(error)))
                continue
            found.append(Transcript(name, ""))
            states[number] = int(states_of(recognizer.model.config, np.array(features[number].shape[time])))
        if not found:
            return
        numbers = list(states)
        for batch in length_batches(list(states.values()), batch_size, STATES):
            given = [features.pop(numbers[place]) for place in batch]
            results = search(recognizer.processor, given, engine, scores=True, **generate_options)
            for place, (text, score) in zip(batch, results):
                found[numbers[place]] = found[numbers[place]]._replace(text=text, score=score)
        yield from found
        ahead = _AHEAD


def states_of(config: Any, lengths: np.ndarray) -> np.ndarray:
    """
    How many states the encoder of such a configuration makes of sounds of so many frames, or of pictures of so many
    columns of pixels.
    """
    first, second = source_stride(config)
    if modality_of(config) == AUDIO:
        return -(-lengths // first)
    rows = -(-(config.image_height or first) // first)
    return rows * -(-lengths // second)


def read_features(
    recognizer: Recognizer, file: str | os.PathLike[str] | Content, max_seconds: float | None = MAX_SECONDS
) -> np.ndarray:
    """
    What the processor makes of a file: `(frames, num_mel_bins)`, or pixels `(channels, height, width)`.

    Raises:
        ValueError: The file cannot be used; the sentence begins with its name.
    """
    name, source = file if isinstance(file, Content) else (shortened(os.fspath(file)), file)
    processor = recognizer.processor
    if processor.hears:
        extractor = processor.feature_extractor
        waveform, rate = read_audio(source, max_seconds=max_seconds, name=name)
        return extractor.extract(resample(waveform, rate, extractor.sampling_rate))
    return processor.image_processor.pixels(read_image(source, name=name), name)


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
