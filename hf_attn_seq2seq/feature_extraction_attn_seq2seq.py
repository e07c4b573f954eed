# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The feature extractor of `attn_seq2seq` models that hear: log-mel frames of a sound, one for each 10 milliseconds.

Training, pipelines and commands all use this class. It needs no torchaudio: the mel filters are those of
`transformers.audio_utils`.
"""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from transformers import BatchFeature, SequenceFeatureExtractor
from transformers.audio_utils import mel_filter_bank
from transformers.utils import logging

from .media import check_waveform, read_audio, refuse_long
from .resampling import check_rate, resample


logger = logging.get_logger(__name__)

_SMALLEST = 1e-20  # power: of silence, whose logarithm is defined too
_EPSILON = 1e-5  # of a standard deviation
_BLOCK = 4096  # frames that are computed at once
_MAX_CHANNELS = 8  # of a sound with two dimensions: the other one is time


class AttnSeq2SeqFeatureExtractor(SequenceFeatureExtractor):
    """
    Turns sounds into log-mel frames.

    ```python
    extractor = AttnSeq2SeqFeatureExtractor()
    extractor([waveform, another], sampling_rate=44100, return_tensors="pt")  # input_features, attention_mask
    ```

    Frame t is about the time `t * hop_length / sampling_rate` seconds, in the middle of its window (a periodic Hann
    window, as in Davis and Mermelstein, 1980). Each frequency band of a sound has mean 0 and variance 1, and what is
    `dynamic_range` decibels below the loudest is cut off: so features do not depend on the volume.

    Args:
        feature_size: Number of mel bands, `num_mel_bins` of the model.
        sampling_rate: Samples per second; sounds of another rate are resampled.
        padding_value: What frames beyond the end of a sound consist of. The model does not read them.
        hop_length: Samples from one frame to the next; None: 10 milliseconds.
        win_length: Samples of a frame's window; None: 25 milliseconds.
        n_fft: Length of the Fourier transform; None: the least power of 2 with which no band is empty.
        dynamic_range: In decibels.
        do_normalize: Whether bands have mean 0 and variance 1.

    Raises:
        ValueError: A size does not fit.
    """

    model_input_names = ["input_features", "attention_mask"]

    def __init__(
        self,
        feature_size: int = 80,
        sampling_rate: int = 16000,
        padding_value: float = 0.0,
        hop_length: int | None = None,
        win_length: int | None = None,
        n_fft: int | None = None,
        dynamic_range: float = 80.0,
        do_normalize: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(feature_size, sampling_rate, padding_value, **kwargs)
        self.sampling_rate = check_rate(sampling_rate, "sampling_rate")
        self.hop_length = sampling_rate // 100 if hop_length is None else hop_length
        self.win_length = sampling_rate // 40 if win_length is None else win_length
        self.dynamic_range, self.do_normalize = dynamic_range, do_normalize
        for name in ("feature_size", "hop_length", "win_length", "dynamic_range"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be positive.")
        if n_fft is not None and n_fft < self.win_length:
            raise ValueError(f"n_fft is {n_fft}: it must be at least the window's length, {self.win_length}.")
        self.n_fft = n_fft or 1 << (self.win_length - 1).bit_length()
        self.mel_filters = self._filters()
        while (self.mel_filters.max(0) == 0).any():
            if n_fft is not None:
                raise ValueError(f"{feature_size} bands are too many for n_fft={n_fft}: some would be empty.")
            self.n_fft *= 2
            self.mel_filters = self._filters()
        angles = 2 * np.pi * np.arange(self.win_length) / self.win_length
        self.window = 0.5 - 0.5 * np.cos(angles)

    def _filters(self) -> np.ndarray:
        """Shape `(n_fft // 2 + 1, feature_size)`."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a band is empty
            return mel_filter_bank(
                num_frequency_bins=self.n_fft // 2 + 1,
                num_mel_filters=self.feature_size,
                min_frequency=0.0,
                max_frequency=self.sampling_rate / 2,
                sampling_rate=self.sampling_rate,
                norm="slaney",
                mel_scale="slaney",
            )

    def extract(self, waveform: np.ndarray) -> np.ndarray:
        """
        The frames of one sound.

        Args:
            waveform: Shape `(samples,)`, at the rate of this extractor.

        Returns:
            float32, of shape `(1 + samples // hop_length, feature_size)`.

        Raises:
            ValueError: The sound has no samples, or some that are not numbers.
        """
        waveform = np.asarray(waveform, np.float32)
        if waveform.ndim != 1 or not len(waveform):
            raise ValueError(f"A sound has shape {waveform.shape}: give one channel with at least one sample.")
        if not np.isfinite(waveform).all():
            raise ValueError("A sound has samples that are not numbers: read it again.")
        count = 1 + len(waveform) // self.hop_length
        padded = np.pad(waveform, (self.win_length // 2, self.win_length))
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.win_length)[:: self.hop_length][:count]
        power = np.empty((count, self.feature_size))
        for start in range(0, count, _BLOCK):
            spectrum = np.fft.rfft(frames[start : start + _BLOCK] * self.window, self.n_fft)
            power[start : start + _BLOCK] = (spectrum.real**2 + spectrum.imag**2) @ self.mel_filters
        floor = max(_SMALLEST, power.max() * 10 ** (-self.dynamic_range / 10))
        features = np.log(np.maximum(power, floor))
        if self.do_normalize:
            features = (features - features.mean(0)) / (features.std(0) + _EPSILON)
        return features.astype(np.float32)

    def __call__(
        self,
        raw_speech: Any,
        sampling_rate: int | None = None,
        padding: bool | str = True,
        max_length: int | None = None,
        truncation: bool = False,
        pad_to_multiple_of: int | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """
        The frames of sounds, padded to the longest.

        Args:
            raw_speech: A sound or a list of sounds: an array of shape `(samples,)`; one of `(channels, samples)` in a
                list, whose channels are averaged; `{"array": ..., "sampling_rate": ...}`, as of `datasets`; a path.
                An array of shape `(batch, samples)` is a list of sounds.
            sampling_rate: That of the arrays; a sound of another rate than this extractor's is resampled.
            padding, max_length, truncation, pad_to_multiple_of, return_attention_mask, return_tensors: As for
                Transformers' other feature extractors; lengths are those of frames.

        Returns:
            `input_features` of shape `(batch, frames, feature_size)`, and `attention_mask` of `(batch, frames)`, 1 on
            real frames.

        Raises:
            ValueError: A sound or a file cannot be used: it has no samples, is silent or too long.
        """
        rate = None if sampling_rate is None else check_rate(sampling_rate, "sampling_rate")
        features = [self.extract(waveform) for waveform in self._waveforms(raw_speech, rate)]
        if not features:
            raise ValueError("There is no sound: give at least one.")
        return self.pad(
            BatchFeature({"input_features": features}),
            padding=padding,
            max_length=max_length,
            truncation=truncation,
            pad_to_multiple_of=pad_to_multiple_of,
            return_attention_mask=return_attention_mask,
            return_tensors=return_tensors,
        )

    def fetch_audio(self, audio_url_or_urls: Any, sampling_rate: int | None = None) -> Any:
        """Files as waveforms at the rate of this extractor, and everything else as it is."""
        if _is_file(audio_url_or_urls):
            found = read_audio(audio_url_or_urls)
            return resample(found.waveform, found.sampling_rate, sampling_rate or self.sampling_rate)
        if isinstance(audio_url_or_urls, list | tuple) and any(map(_is_file, audio_url_or_urls)):
            return [self.fetch_audio(audio, sampling_rate) for audio in audio_url_or_urls]
        return audio_url_or_urls

    def _waveforms(self, given: Any, rate: int | None) -> Iterator[np.ndarray]:
        """Each sound as one channel at the rate of this extractor."""
        if isinstance(given, np.ndarray | torch.Tensor):
            if given.ndim not in (1, 2):
                raise ValueError(f"Sounds of shape {tuple(given.shape)}: give (samples,) or (batch, samples).")
            sounds: Sequence[Any] = [given] if given.ndim == 1 else list(given)
        elif _is_file(given) or isinstance(given, Mapping) or (len(given) and isinstance(given[0], Real)):
            sounds = [given]
        else:
            sounds = given
        for number, sound in enumerate(sounds, 1):
            if _is_file(sound):
                yield self.fetch_audio(sound)
                continue
            of = rate
            if isinstance(sound, Mapping):
                array = sound.get("array", sound.get("raw"))
                if array is None or "sampling_rate" not in sound:
                    raise ValueError("A sound that is a dictionary needs 'array' and 'sampling_rate'.")
                sound, of = array, check_rate(sound["sampling_rate"], "sampling_rate")
            if of is None:
                logger.warning_once(
                    f"The sampling rate of the sound is not given: it is taken for {self.sampling_rate} Hz. "
                    "Give it as sampling_rate=..., so that sounds of another rate are resampled."
                )
                of = self.sampling_rate
            waveform, name = one_channel(sound), "The sound" if len(sounds) == 1 else f"Sound {number}"
            check_waveform(waveform, name)
            refuse_long(name, len(waveform) / of)
            yield resample(waveform, of, self.sampling_rate)


def _is_file(given: Any) -> bool:
    return isinstance(given, str | os.PathLike | bytes)


def one_channel(sound: Any) -> np.ndarray:
    """
    A waveform of shape `(samples,)`: of channels, their average; of whole numbers, fractions of the greatest, from the
    middle where none is negative. A ValueError for other shapes.
    """
    array = sound.detach().cpu().numpy() if isinstance(sound, torch.Tensor) else np.asarray(sound)
    if array.ndim == 2 and min(array.shape) <= _MAX_CHANNELS:
        array, whole = array.mean(int(array.shape[0] > array.shape[1])), array.dtype
    else:
        whole = array.dtype
    if array.ndim != 1:
        raise ValueError(f"A sound has shape {array.shape}: give (samples,), or (channels, samples).")
    if np.issubdtype(whole, np.signedinteger) and whole.itemsize < 8:  # lists of int are of 8 bytes
        array = array / -float(np.iinfo(whole).min)
    elif np.issubdtype(whole, np.unsignedinteger):
        middle = (float(np.iinfo(whole).max) + 1) / 2
        array = (array - middle) / middle
    return array.astype(np.float32)


__all__ = ["AttnSeq2SeqFeatureExtractor"]
