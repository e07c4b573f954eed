# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Another sampling rate for a sound, by a windowed sinc."""

import functools
import math

import numpy as np


LOBES = 24  # zeros of the sinc on each side
BETA = 9.0  # of the Kaiser window: what is filtered out is 90 dB below what passes
ROLLOFF = 0.95  # of the lower of both Nyquist frequencies: where the filter passes half
LOWEST_RATE, HIGHEST_RATE = 1000, 1_000_000  # Hz


def check_rate(rate: float, name: str) -> int:
    """A sampling rate as an integer; a ValueError if it is none."""
    if rate != int(rate) or not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise ValueError(f"{name} is {rate} Hz: it must be a whole number from {LOWEST_RATE} to {HIGHEST_RATE}.")
    return int(rate)


@functools.lru_cache(maxsize=8)
def _phases(up: int, down: int) -> tuple[int, np.ndarray]:
    """
    The filter of `up / down` times the rate, cut into its phases (Crochiere and Rabiner, 1983, Multirate Digital
    Signal Processing, section 2.3): output `q * up + p` is the sum over k of
    `x[q * down + p * down // up + k - reach]` times row p, column k.

    Returns:
        `reach`, and an array of shape `(up, 2 * reach + 1)`.
    """
    cutoff = ROLLOFF * min(1.0, up / down)  # of the input's Nyquist frequency
    reach = math.ceil(LOBES / cutoff)
    offsets = np.arange(up) * down % up / up
    times = np.arange(-reach, reach + 1)[None] - offsets[:, None]
    window = np.i0(BETA * np.sqrt(np.clip(1 - (times * cutoff / LOBES) ** 2, 0, None))) / np.i0(BETA)
    window[np.abs(times * cutoff) > LOBES] = 0
    filters = cutoff * np.sinc(cutoff * times) * window
    return reach, (filters / filters.sum(1, keepdims=True)).astype(np.float32)


def resample(waveform: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """
    A waveform at another sampling rate. Frequencies above the new rate's half are filtered out, not mirrored.

    Only the ratio of the rates counts, so `resample(waveform, 9, 10)` plays a sound at 0.9 times its speed.

    Args:
        waveform: Shape `(samples,)`.
        rate, new_rate: Samples per second, whole numbers.

    Returns:
        float32, of shape `(ceil(samples * new_rate / rate),)`.

    Raises:
        ValueError: The waveform has more than one dimension, or a rate is not a positive whole number.
    """
    waveform = np.asarray(waveform, np.float32)
    if waveform.ndim != 1:
        raise ValueError(f"A waveform has one dimension, not {waveform.ndim}: average its channels first.")
    if rate != int(rate) or new_rate != int(new_rate) or rate < 1 or new_rate < 1:
        raise ValueError(f"The sampling rates are {rate} and {new_rate}: they must be positive whole numbers.")
    common = math.gcd(int(rate), int(new_rate))
    down, up = int(rate) // common, int(new_rate) // common
    if up == down or not len(waveform):
        return waveform
    reach, filters = _phases(up, down)
    length = -(-len(waveform) * up // down)
    result = np.empty(length, np.float32)
    padded = np.pad(waveform, (reach, reach + down))
    step = padded.strides[0]
    for phase in range(min(up, length)):
        rows = -(-(length - phase) // up)
        start = phase * down // up
        shape, strides = (rows, 2 * reach + 1), (down * step, step)
        windows = np.lib.stride_tricks.as_strided(padded[start:], shape, strides, writeable=False)
        result[phase::up] = windows @ filters[phase]
    return result
