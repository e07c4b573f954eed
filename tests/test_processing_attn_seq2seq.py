# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""A processor has a part that reads and one that writes; it is saved with its code and loads wherever models do."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoFeatureExtractor, AutoImageProcessor, AutoProcessor, AutoTokenizer

from hf_attn_seq2seq import (
    AttnSeq2SeqFeatureExtractor,
    AttnSeq2SeqImageProcessor,
    AttnSeq2SeqProcessor,
    AttnSeq2SeqTokenizer,
)
from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer


TEXTS = ["one two three", "two"]
WAVES = [np.sin(np.arange(size) / 9).astype(np.float32) for size in (9000, 5000)]
PICTURES = [np.random.default_rng(size).integers(0, 256, (20, size), np.uint8) for size in (30, 44)]


@pytest.fixture(scope="module")
def tokenizer() -> AttnSeq2SeqTokenizer:
    return train_tokenizer(TEXTS, kind="word", vocab_size=40)


@pytest.fixture(params=["hears", "sees"])
def processor(request: pytest.FixtureRequest, tokenizer: AttnSeq2SeqTokenizer) -> AttnSeq2SeqProcessor:
    if request.param == "hears":
        return AttnSeq2SeqProcessor(AttnSeq2SeqFeatureExtractor(40, 8000), tokenizer=tokenizer)
    pytest.importorskip("PIL")
    return AttnSeq2SeqProcessor(image_processor=AttnSeq2SeqImageProcessor(height=16), tokenizer=tokenizer)


def given(processor: AttnSeq2SeqProcessor) -> dict[str, Any]:
    return {"audio": WAVES, "sampling_rate": 16000} if processor.hears else {"images": PICTURES}


def test_a_processor_gives_features_and_labels(processor: AttnSeq2SeqProcessor) -> None:
    part = processor.feature_extractor if processor.hears else processor.image_processor
    media, *options = given(processor).values()
    expected = part(media, *options, return_tensors="pt")
    for found in (
        processor(**given(processor), return_tensors="pt"),
        processor(**given(processor), text=TEXTS, return_tensors="pt"),
    ):
        for name in part.model_input_names:
            torch.testing.assert_close(found[name], expected[name], rtol=0, atol=0)
    assert set(found) == set(processor.model_input_names)
    ids = processor.tokenizer(text_target=TEXTS)["input_ids"]
    short = len(ids[1])
    assert found["labels"].tolist() == [ids[0], ids[1] + [-100] * (len(ids[0]) - short)]
    assert processor.batch_decode(found["labels"], skip_special_tokens=True) == TEXTS
    assert processor.decode(found["labels"][1], skip_special_tokens=True) == TEXTS[1]
    assert processor(text=TEXTS)["input_ids"] == ids
    one = {name: value[0] if isinstance(value, list) else value for name, value in given(processor).items()}
    assert processor(**one, text=TEXTS[0])["labels"].tolist() == [ids[0]]


def test_what_a_model_does_not_take_is_refused(processor: AttnSeq2SeqProcessor) -> None:
    kind = "sounds" if processor.hears else "pictures"
    for other in ({"images": PICTURES} if processor.hears else {"audio": WAVES}, {"videos": []}):
        with pytest.raises(ValueError, match=f"takes {kind} alone"):
            processor(**given(processor), **other)
    with pytest.raises(ValueError, match="nothing to process"):
        processor()


def test_a_processor_has_two_parts(tokenizer: AttnSeq2SeqTokenizer) -> None:
    ears, eyes = AttnSeq2SeqFeatureExtractor(), AttnSeq2SeqImageProcessor()
    for parts in ({}, {"tokenizer": tokenizer}, {"feature_extractor": ears, "image_processor": eyes}):
        with pytest.raises(ValueError, match="two parts"):
            AttnSeq2SeqProcessor(**parts)
    with pytest.raises(ValueError, match="feature_extractor, image_processor, tokenizer"):
        AttnSeq2SeqProcessor(ears, eyes, tokenizer)
    with pytest.raises(TypeError, match="feature_extractor"):
        AttnSeq2SeqProcessor(eyes, tokenizer=tokenizer)


@pytest.mark.parametrize("apart", [False, True], ids=["one file", "a file for each part"])
def test_a_saved_processor_is_the_same(processor: AttnSeq2SeqProcessor, tmp_path: Path, apart: bool) -> None:
    part = processor.feature_extractor if processor.hears else processor.image_processor
    if apart:
        part.save_pretrained(tmp_path)
        processor.tokenizer.save_pretrained(tmp_path)
    else:
        processor.save_pretrained(tmp_path)
    expected = processor(**given(processor), text=TEXTS, return_tensors="pt")
    loaders: list[Any] = [AttnSeq2SeqProcessor] if apart else [AttnSeq2SeqProcessor, AutoProcessor]
    for loader in loaders:
        again = loader.from_pretrained(tmp_path)
        assert type(again) is AttnSeq2SeqProcessor
        found = again(**given(processor), text=TEXTS, return_tensors="pt")
        assert set(found) == set(expected)
        for name, value in found.items():
            torch.testing.assert_close(value, expected[name], rtol=0, atol=0)
    auto: Any = AutoFeatureExtractor if processor.hears else AutoImageProcessor
    assert type(auto.from_pretrained(tmp_path)) is type(part)
    assert type(AutoTokenizer.from_pretrained(tmp_path)) is AttnSeq2SeqTokenizer


def test_a_model_that_reads_text_has_its_tokenizer_alone(tokenizer: AttnSeq2SeqTokenizer, tmp_path: Path) -> None:
    from tests.helpers import tiny_model

    tiny_model().save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    for loader in (AttnSeq2SeqProcessor, AutoProcessor):
        assert type(loader.from_pretrained(tmp_path)) is AttnSeq2SeqTokenizer


STRANGER = """
import importlib.abc
import json
import sys


class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "hf_attn_seq2seq":
            raise ImportError(f"This machine has no {name}.")


sys.meta_path.insert(0, Blocked())
import numpy as np
from transformers import AutoFeatureExtractor, AutoImageProcessor, AutoProcessor

folder, media = sys.argv[1:]
processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
auto = AutoFeatureExtractor if media == "audio" else AutoImageProcessor
part = auto.from_pretrained(folder, trust_remote_code=True)
processor.save_pretrained(folder + "/again")
again = AutoProcessor.from_pretrained(folder + "/again", trust_remote_code=True)
arrays = [np.load(folder + f"/{i}.npy") for i in range(2)]
options = {"sampling_rate": 16000} if media == "audio" else {}
report = {"modules": [type(one).__module__ for one in (processor, part, again)], "found": []}
for one in (processor, again):
    made = one(**{media: arrays}, **options, text=["one two three", "two"], return_tensors="pt")
    report["found"].append({name: value.tolist() for name, value in made.items()})
if media == "audio":
    sys.modules["soundfile"] = None  # as where it is not installed
    try:
        processor(audio="a.wav")
    except ImportError as error:
        report["error"] = str(error)
print("REPORT" + json.dumps(report))
"""


def test_a_processor_travels_with_its_code(processor: AttnSeq2SeqProcessor, tmp_path: Path) -> None:
    processor.save_pretrained(tmp_path)
    media = "audio" if processor.hears else "images"
    for number, array in enumerate(given(processor)[media]):
        np.save(tmp_path / f"{number}.npy", array)
    (script := tmp_path / "stranger.py").write_text(STRANGER)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment.update(HF_MODULES_CACHE=str(tmp_path / "modules"), HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1")
    command = [sys.executable, str(script), str(tmp_path), media]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    report = json.loads(done.stdout.partition("REPORT")[2])
    assert all(name.startswith("transformers_modules.") for name in report["modules"])
    expected = processor(**given(processor), text=TEXTS, return_tensors="pt")
    for found in report["found"]:
        assert set(found) == set(expected)
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-6)
    if processor.hears:
        assert "pip install 'hf_attn_seq2seq[speech]'" in report["error"]
