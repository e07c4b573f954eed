# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Transformers' pipelines for speech and pictures run our folders, with this package and without it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers import AutoModelForImageTextToText, AutoModelForSeq2SeqLM, AutoModelForSpeechSeq2Seq

from hf_attn_seq2seq import (
    AttnSeq2SeqFeatureExtractor,
    AttnSeq2SeqForConditionalGeneration,
    AttnSeq2SeqImageProcessor,
    AttnSeq2SeqProcessor,
    pipeline,
)
from hf_attn_seq2seq.decoding.loading import load_translator
from hf_attn_seq2seq.media import read_audio
from hf_attn_seq2seq.modality import FRONTEND_TYPES, MODALITIES
from hf_attn_seq2seq.pipeline_media_attn_seq2seq import (
    PIPELINES,
    AttnImageToTextPipeline,
    AttnSpeechRecognitionPipeline,
)
from tests.helpers import tiny_model
from tests.media_models import MediaModel, media_model, picture_files, sound_files


pytest.importorskip("soundfile")
Image = pytest.importorskip("PIL.Image")

FRONTS = ("speech", "image")
KEYS = {"speech": "text", "image": "generated_text"}


@pytest.fixture(params=FRONTS)
def front(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def made(front: str) -> MediaModel:
    return media_model(front)


@pytest.fixture
def files(front: str, tmp_path: Path) -> list[str]:
    return [str(path) for path in (sound_files if front == "speech" else picture_files)(tmp_path)]


def texts(front: str, results: list[Any]) -> list[str]:
    return [(each if front == "speech" else each[0])[KEYS[front]] for each in results]


def test_every_task_has_a_pipeline_and_a_class() -> None:
    assert all(hasattr(transformers, modality.auto_class) for modality in MODALITIES)
    assert set(PIPELINES) == {task for modality in MODALITIES for task in modality.pipelines}


def test_files_are_read_as_by_the_processor(
    front: str, made: MediaModel, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Transformers' warning of an old name has an argument too many, which pytest does not bear.
    monkeypatch.setattr(transformers.pipelines.logger, "warning_once", lambda *_: None)
    folder = str(made.save(tmp_path / "model"))
    expected = [made.plainly(file)[0] for file in files]
    beams = [made.plainly(file, num_beams=3)[0] for file in files]
    assert len(set(expected)) > 1
    for task in FRONTEND_TYPES[front].pipelines:
        pipe = transformers.pipeline(task, model=folder, device="cpu")
        assert type(pipe) is PIPELINES[task]
        assert texts(front, [pipe(file) for file in files]) == expected
        assert texts(front, pipe(files)) == expected
        for size in (2, 3):
            assert texts(front, pipe(files, batch_size=size)) == expected
            assert texts(front, pipe(files, batch_size=size, num_beams=3)) == beams
            assert texts(front, pipe(files, batch_size=size, generate_kwargs={"num_beams": 3})) == beams
        assert texts(front, list(pipe(file for file in files))) == expected
    preset = transformers.pipeline(task, model=folder, device="cpu", num_beams=3)
    assert texts(front, preset(files)) == beams
    several = preset(files[0], num_return_sequences=2)
    assert [each[KEYS[front]] for each in several] == made.plainly(files[0], num_beams=3, num_return_sequences=2)


def test_a_bad_file_among_good_ones_is_named(
    front: str, made: MediaModel, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformers.pipelines.logger, "warning_once", lambda *_: None)
    folder = str(made.save(tmp_path / "model"))
    (bad := tmp_path / "bad.file").write_text("dear reader\n" * 20)
    given = [files[0], str(bad), files[1]]
    for pipe in (
        transformers.pipeline(FRONTEND_TYPES[front].pipelines[0], model=folder, device="cpu"),
        pipeline(FRONTEND_TYPES[front].pipelines[0], model=folder),
    ):
        for size in (1, 3):
            with pytest.raises(ValueError, match=f"{re.escape(str(bad))} is not a "):
                pipe(given, batch_size=size)
        one_by_one = iter(pipe(file for file in given))
        assert texts(front, [next(one_by_one)]) == made.plainly(files[0])  # what is before it is given
        with pytest.raises(ValueError, match=f"{re.escape(str(bad))} is not a "):
            next(one_by_one)


def test_the_auto_classes_load_each_kind(front: str, made: MediaModel, tmp_path: Path) -> None:
    made.save(tmp_path)
    named = json.loads((tmp_path / "config.json").read_text())["auto_map"]
    own: Any = {"speech": AutoModelForSpeechSeq2Seq, "image": AutoModelForImageTextToText}[front]
    for auto in (AutoModelForSeq2SeqLM, own):
        assert type(auto.from_pretrained(tmp_path)) is AttnSeq2SeqForConditionalGeneration
        assert named[auto.__name__] == "modeling_attn_seq2seq.AttnSeq2SeqForConditionalGeneration"


def test_kinds_of_sounds(tmp_path: Path) -> None:
    made = media_model("speech")
    pipe = AttnSpeechRecognitionPipeline(
        made.model, feature_extractor=made.processor.feature_extractor, tokenizer=made.processor.tokenizer
    )
    _, path, _ = sound_files(tmp_path)
    expected = {"text": made.plainly(str(path))[0]}
    wave, rate = read_audio(path)
    same = made.processor.feature_extractor.fetch_audio(str(path))

    class Samples:
        data, sample_rate = torch.from_numpy(np.stack([wave * 0.5, wave * 1.5])), rate

        def get_all_samples(self) -> "Samples":
            return self

    for given in (
        path.read_bytes(),
        same,
        torch.from_numpy(same),
        np.stack([same * 1.5, same * 0.5]),
        {"array": wave, "sampling_rate": rate, "path": None},
        {"raw": wave, "sampling_rate": rate},
        Samples(),
    ):
        assert pipe(given) == expected
    assert pipe(same, ctc_weight=0.9) == {
        "text": made.processor.decode(
            made.model.generate(
                **made.processor(audio=same, sampling_rate=16000, return_tensors="pt"), ctc_weight=0.9
            )[0],
            skip_special_tokens=True,
        )
    }
    for option in ({"chunk_length_s": 5}, {"return_timestamps": True}):
        with pytest.raises(ValueError, match="does not apply"):
            pipe(same, **option)
    with pytest.raises(ValueError, match="does not exist"):
        pipe("missing.wav")


def test_kinds_of_pictures(tmp_path: Path) -> None:
    made = media_model("image")
    pipe = AttnImageToTextPipeline(made.model, processor=made.processor)
    path, *_ = picture_files(tmp_path)
    expected = [{"generated_text": made.plainly(str(path))[0]}]
    picture = Image.open(path)
    for given in (path.read_bytes(), picture, np.asarray(picture), {"images": picture, "text": ""}):
        assert pipe(given) == expected
    assert pipe(images=picture, text="") == expected
    assert pipe((picture, picture), text=["", ""]) == [expected, expected]
    with pytest.raises(ValueError, match="takes no text beside a picture: leave out 'What is it"):
        pipe(picture, text="What is it?")
    Image.new("L", (900, 10)).save(wide := tmp_path / "wide.png")
    made.processor.image_processor.max_width = 500
    with pytest.raises(ValueError, match=f"^{re.escape(str(wide))}: A picture of 900 x 10 pixels would be 1,440 wide"):
        pipe(str(wide))
    with pytest.raises(ValueError, match="There is no picture"):
        pipe()
    with pytest.raises(ValueError, match="takes no conversation"):
        pipe([{"role": "user", "content": []}])


def test_a_model_that_reads_something_else_is_refused() -> None:
    reads, sees = tiny_model(), media_model("image")
    ears = media_model("speech").processor
    for model, noun in ((reads, "text"), (sees.model, "pictures")):
        with pytest.raises(ValueError, match=f"reads {noun}, not speech"):
            AttnSpeechRecognitionPipeline(model, feature_extractor=ears.feature_extractor, tokenizer=ears.tokenizer)
    with pytest.raises(ValueError, match="reads text, not pictures"):
        AttnImageToTextPipeline(reads, processor=sees.processor)


def test_other_models_run_as_by_transformers(tmp_path: Path) -> None:
    """By Transformers' own class and by ours, which the registry now names; saved without our code."""
    from transformers.pipelines.automatic_speech_recognition import AutomaticSpeechRecognitionPipeline

    torch.manual_seed(0)
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    config = transformers.Speech2TextConfig(
        vocab_size=20,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        input_feat_per_channel=20,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        **heads,
    )
    model = transformers.Speech2TextForConditionalGeneration(config).eval()
    processor = media_model("speech").processor
    parts = {"feature_extractor": processor.feature_extractor, "tokenizer": processor.tokenizer}
    wave = read_audio(sound_files(tmp_path)[0]).waveform
    expected = AutomaticSpeechRecognitionPipeline(model, **parts)(wave, max_new_tokens=9)
    assert expected["text"]
    pipe = transformers.pipeline("automatic-speech-recognition", model=model, **parts)
    assert type(pipe) is AttnSpeechRecognitionPipeline
    assert pipe(wave, max_new_tokens=9) == expected
    pipe.save_pretrained(tmp_path / "saved")
    assert not list((tmp_path / "saved").glob("pipeline*"))
    assert "custom_pipelines" not in json.loads((tmp_path / "saved" / "config.json").read_text())


STRANGER = """
import importlib.abc
import json
import sys


class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "hf_attn_seq2seq":
            raise ImportError(f"This machine has no {name}.")


sys.meta_path.insert(0, Blocked())
from transformers import pipeline

folder, key, *given = sys.argv[1:]
tasks, files = given[0].split(","), given[1:]
report = []
for task in tasks:
    pipe = pipeline(task, model=folder, trust_remote_code=True)
    report.append({"module": type(pipe).__module__, "results": pipe(files, batch_size=2, num_beams=2)})
pipe.save_pretrained(folder + "-again")
again = pipeline(tasks[0], model=folder + "-again", trust_remote_code=True)
report.append({"module": type(again).__module__, "results": again(files, num_beams=2)})
print("REPORT" + json.dumps(report))
"""


def test_the_pipelines_travel_with_the_weights(front: str, made: MediaModel, files: list[str], tmp_path: Path) -> None:
    folder = made.save(tmp_path / "model")
    expected = [made.plainly(file, num_beams=2)[0] for file in files]
    (script := tmp_path / "stranger.py").write_text(STRANGER)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment.update(HF_MODULES_CACHE=str(tmp_path / "modules"), HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1")
    tasks = FRONTEND_TYPES[front].pipelines
    command = [sys.executable, str(script), str(folder), KEYS[front], ",".join(tasks), *files]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    report = json.loads(done.stdout.partition("REPORT")[2])
    assert len(report) == len(tasks) + 1
    for seen in report:
        assert seen["module"].startswith("transformers_modules.")
        assert texts(front, seen["results"]) == expected


def test_our_own_pipeline_gives_both_kinds(front: str, made: MediaModel, files: list[str], tmp_path: Path) -> None:
    folder = made.save(tmp_path / "model")
    expected = [made.plainly(file, num_beams=2)[0] for file in files]
    for task in FRONTEND_TYPES[front].pipelines:
        for engine, name in (("auto", "graph"), ("torch", "torch")):
            pipe = pipeline(task, folder, engine=engine, device="cpu")
            assert pipe.engine.name.startswith(name)
            assert texts(front, pipe(files, batch_size=2, num_beams=2)) == expected
        pipe = pipeline(task, made.model, processor=made.processor)
        assert texts(front, pipe(files, num_beams=2)) == expected
    tokenizer = made.processor.tokenizer
    if front == "speech":
        unlike = AttnSeq2SeqProcessor(AttnSeq2SeqFeatureExtractor(40), tokenizer=tokenizer)
        words = "^The processor is for frames of 40 numbers, and the model reads frames of 20 numbers"
    else:
        unlike = AttnSeq2SeqProcessor(image_processor=AttnSeq2SeqImageProcessor(32), tokenizer=tokenizer)
        words = "^The processor is for pictures 32 pixels high, and the model reads pictures 16 pixels high"
    with pytest.raises(ValueError, match=words):
        pipeline(task, made.model, processor=unlike)
    with pytest.raises(
        ValueError, match=f"model' reads {FRONTEND_TYPES[front].reads}, and the models of an ensemble must read text"
    ):
        load_translator([str(folder), str(folder)])
    noun = FRONTEND_TYPES[front].reads
    with pytest.raises(ValueError, match=f"reads {noun}, not text"):
        pipeline("translation", folder)
    for options, words in (
        ({"model": "en-fr-small"}, "reads text, not speech or pictures"),
        ({}, "No included model is for"),
        ({"model": made.model}, "The processor is missing"),
    ):
        with pytest.raises(ValueError, match=words):
            pipeline(task, **options)
