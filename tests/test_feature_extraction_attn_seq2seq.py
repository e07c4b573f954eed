# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Log-mel frames equal those of other implementations, and do not depend on rate, volume, batch or kind of input."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoFeatureExtractor

from hf_attn_seq2seq import AttnSeq2SeqFeatureExtractor
from hf_attn_seq2seq import feature_extraction_attn_seq2seq as module


RATE = 16000


def speechlike(seconds: float = 0.7, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """A few tones that come and go, below 3,500 Hz."""
    drawn = np.random.default_rng(seed)
    times = np.arange(round(seconds * rate)) / rate
    tones = [
        np.sin(2 * np.pi * (pitch * times + phase)) * np.sin(np.pi * times * speed) ** 2
        for pitch, phase, speed in zip(drawn.uniform(100, 3500, 8), drawn.uniform(size=8), drawn.uniform(1, 9, 8))
    ]
    return (0.05 * np.sum(tones, 0)).astype(np.float32)


def test_a_frame_equals_its_formula() -> None:
    """Written out: a window, a discrete Fourier transform, triangles over the mel scale of Slaney, a logarithm."""
    wave = speechlike().astype(np.float64)
    found = AttnSeq2SeqFeatureExtractor(40, dynamic_range=500.0, do_normalize=False).extract(wave)
    assert found.shape == (71, 40)

    def mel(hertz: float) -> float:
        return 3 * hertz / 200 if hertz < 1000 else 15 + 27 * np.log(hertz / 1000) / np.log(6.4)

    def hertz(mels: float) -> float:
        return 200 * mels / 3 if mels < 15 else 1000 * np.exp(np.log(6.4) * (mels - 15) / 27)

    edges = [hertz(mel(8000) * i / 41) for i in range(42)]
    for frame in (5, 33):
        power = []
        for k in range(257):
            total = 0j
            for n in range(400):
                sample = wave[frame * 160 - 200 + n]
                total += sample * (0.5 - 0.5 * np.cos(2 * np.pi * n / 400)) * np.exp(-2j * np.pi * k * n / 512)
            power.append(abs(total) ** 2)
        for band in (0, 3, 20, 39):
            low, middle, high = edges[band : band + 3]
            energy = 0.0
            for k in range(257):
                f = k * RATE / 512
                energy += max(0.0, min((f - low) / (middle - low), (high - f) / (high - middle))) * power[k]
            energy *= 2 / (high - low)
            assert found[frame, band] == pytest.approx(np.log(energy), abs=1e-4)


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_against_torch_stft(rate: int) -> None:
    extractor = AttnSeq2SeqFeatureExtractor(sampling_rate=rate, do_normalize=False)
    wave = speechlike(rate=rate)
    length, hop, window = extractor.n_fft, extractor.hop_length, extractor.win_length
    assert (hop, window) == (rate // 100, rate // 40)
    spectrum = torch.stft(
        torch.from_numpy(wave).double(),
        length,
        hop,
        window,
        torch.hann_window(window, dtype=torch.float64),
        center=True,
        pad_mode="constant",
        return_complex=True,
    )
    power = spectrum.abs().square().T @ torch.from_numpy(extractor.mel_filters)
    expected = power.clamp(min=power.max() * 1e-8).log().numpy()
    found = extractor.extract(wave)
    assert found.shape == expected.shape == (1 + len(wave) // hop, 80)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_bands_have_mean_0_and_variance_1_whatever_the_volume() -> None:
    extractor = AttnSeq2SeqFeatureExtractor()
    found = extractor.extract(speechlike())
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(0), 1, atol=1e-3)
    np.testing.assert_allclose(extractor.extract(speechlike() * 0.01), found, atol=1e-3)


def test_frames_lie_every_ten_milliseconds() -> None:
    wave = np.zeros(RATE, np.float32)
    wave[RATE // 2] = 1.0  # a click
    energy = AttnSeq2SeqFeatureExtractor(do_normalize=False).extract(wave).sum(1)
    assert energy.argmax() == 50


def test_a_long_sound_is_computed_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = AttnSeq2SeqFeatureExtractor()
    expected = extractor.extract(speechlike())
    monkeypatch.setattr(module, "_BLOCK", 7)
    np.testing.assert_allclose(extractor.extract(speechlike()), expected, atol=1e-6)


def test_a_batch_of_unlike_lengths_is_padded_and_masked() -> None:
    extractor = AttnSeq2SeqFeatureExtractor()
    waves = [speechlike(0.7), speechlike(0.31, seed=1), speechlike(0.5, seed=2)]
    found = extractor(waves, sampling_rate=RATE, return_tensors="pt")
    assert set(found) == {"input_features", "attention_mask"} == set(extractor.model_input_names)
    assert found["input_features"].shape == (3, 71, 80)
    assert found["input_features"].dtype == torch.float32
    assert found["attention_mask"].sum(1).tolist() == [71, 32, 51]
    for row, mask, wave in zip(found["input_features"], found["attention_mask"], waves):
        np.testing.assert_array_equal(row[mask.bool()], extractor.extract(wave))
        assert (row[~mask.bool()] == 0).all()
    assert extractor(waves, sampling_rate=RATE, pad_to_multiple_of=8)["input_features"][0].shape == (72, 80)


def kinds() -> dict[str, tuple[Any, dict[str, Any]]]:
    wave = speechlike()
    told = {"sampling_rate": RATE}
    return {
        "list": (wave.tolist(), told),
        "list of numpy numbers": (list(wave), told),
        "list of lists": ([wave.tolist()], told),
        "tensor": (torch.from_numpy(wave), told),
        "batch": (wave[None], told),
        "dictionary": ({"array": wave, "sampling_rate": RATE, "path": None}, {}),
        "raw": ([{"raw": wave, "sampling_rate": RATE}], told),
        "channels first": ([np.stack([wave * 0.5, wave * 1.5])], told),
        "channels last": ([np.stack([wave * 0.5, wave * 1.5], 1)], told),
        "16 bits": ((wave * 32768).round().astype(np.int16), told),
        "8 bits": ((wave * 128 + 128).round().astype(np.uint8), told),
        "16 bits, none negative": ((wave * 32768 + 32768).round().astype(np.uint16), told),
        "16 bits, two channels": ([(np.stack([wave] * 2) * 32768).round().astype(np.int16)], told),
    }


@pytest.mark.parametrize("kind", kinds())
def test_every_kind_of_input(kind: str) -> None:
    extractor = AttnSeq2SeqFeatureExtractor(do_normalize=False)
    given, options = kinds()[kind]
    (found,) = extractor(given, **options)["input_features"]
    expected = extractor.extract(speechlike())
    loud = expected > expected.max() - (4 if kind == "8 bits" else 10)  # rounding shows in what is faint
    assert loud.sum() > 100
    error = 0.15 if kind == "8 bits" else 0.05 if "bits" in kind else 1e-3
    np.testing.assert_allclose(found[loud], expected[loud], atol=error)


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_another_rate_is_resampled(rate: int, tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    extractor = AttnSeq2SeqFeatureExtractor(do_normalize=False)
    expected = extractor.extract(speechlike())
    (found,) = extractor(speechlike(rate=rate), sampling_rate=rate)["input_features"]
    loud = expected > expected.max() - 12
    loud[:4] = loud[-4:] = False
    assert loud.sum() > 500
    np.testing.assert_allclose(found[: len(expected)][loud], expected[loud], atol=0.05)
    soundfile.write(path := tmp_path / "a.wav", speechlike(rate=rate), rate, subtype="FLOAT")
    for given in (path, str(path), [path], extractor.fetch_audio([str(path)])):
        np.testing.assert_array_equal(extractor(given, sampling_rate=RATE)["input_features"][0], found)


def test_a_rate_that_is_not_told_is_told(caplog: pytest.LogCaptureFixture) -> None:
    module.logger.warning_once.cache_clear()
    module.logger.addHandler(caplog.handler)
    try:
        AttnSeq2SeqFeatureExtractor()(speechlike())
    finally:
        module.logger.removeHandler(caplog.handler)
    assert "it is taken for 16000 Hz" in caplog.text


def test_silence_is_defined_and_short_sounds_have_a_frame() -> None:
    extractor = AttnSeq2SeqFeatureExtractor()
    np.testing.assert_allclose(extractor.extract(np.zeros(999)), 0, atol=1e-6)
    assert extractor.extract(np.ones(1)).shape == (1, 80)


def test_what_cannot_be_used_is_refused() -> None:
    extractor = AttnSeq2SeqFeatureExtractor()
    wave = speechlike()
    for given, options, words in (
        ([], {}, "no sound"),
        (np.zeros(0), {}, "The sound has no samples"),
        (np.array([0.0, np.nan]), {}, "The sound has samples that are not numbers"),
        (np.zeros(RATE), {}, "The sound is silent"),
        ({"array": np.full(RATE, 0.5), "sampling_rate": RATE}, {}, "The sound is silent"),
        ([wave, np.zeros(RATE)], {}, "Sound 2 is silent"),
        (
            np.resize(wave, 601 * 1000),
            {"sampling_rate": 1000},
            "The sound is 601.0 seconds long: at most 600 are taken",
        ),
        (np.zeros((2, 3, 4)), {}, "give \\(samples,\\)"),
        ([np.zeros((20, 30))], {}, "give \\(samples,\\)"),
        (wave, {"sampling_rate": 5}, "sampling_rate is 5 Hz"),
        ({"array": wave}, {}, "needs 'array' and 'sampling_rate'"),
        ("missing.wav", {}, "does not exist"),
    ):
        with pytest.raises(ValueError, match=words):
            extractor(given, **{"sampling_rate": RATE, **options})
    for fields, words in (
        ({"feature_size": 0}, "feature_size is 0"),
        ({"hop_length": -1}, "hop_length is -1"),
        ({"n_fft": 100}, "at least the window's length"),
        ({"n_fft": 512, "feature_size": 200}, "too many"),
        ({"sampling_rate": 3}, "sampling_rate is 3"),
    ):
        with pytest.raises(ValueError, match=words):
            AttnSeq2SeqFeatureExtractor(**fields)


def test_no_band_is_empty() -> None:
    for rate in (8000, 16000, 44100):
        for bands in (23, 80, 128):
            assert (AttnSeq2SeqFeatureExtractor(bands, rate).mel_filters.max(0) > 0).all()


def test_a_saved_extractor_is_the_same(tmp_path: Path) -> None:
    extractor = AttnSeq2SeqFeatureExtractor(40, 8000, hop_length=100, dynamic_range=60.0)
    extractor.save_pretrained(tmp_path)
    for cls in (AttnSeq2SeqFeatureExtractor, AutoFeatureExtractor):
        again = cls.from_pretrained(tmp_path)
        assert type(again) is AttnSeq2SeqFeatureExtractor
        np.testing.assert_array_equal(again.extract(speechlike()), extractor.extract(speechlike()))
