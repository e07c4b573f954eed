# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Training on sounds and pictures: small twins of the recipes, on sets that the tests make."""

import contextlib
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoProcessor

from hf_attn_seq2seq.data.examples import MediaExamples
from hf_attn_seq2seq.data.prepare import PreparedCorpus
from hf_attn_seq2seq.decoding.recognition import states_of
from hf_attn_seq2seq.decoding.torch_engine import TorchEngine
from hf_attn_seq2seq.media import read_audio, read_image
from hf_attn_seq2seq.training.evaluate import main as evaluate
from hf_attn_seq2seq.training.prepare import media_examples
from hf_attn_seq2seq.training.preprocess import main as preprocess
from hf_attn_seq2seq.training.recipe import load_recipe
from hf_attn_seq2seq.training.recognition import recognise
from hf_attn_seq2seq.training.seeds import main as seeds
from hf_attn_seq2seq.training.train import main
from tests.media_files import write_pictures, write_sounds
from tests.training.resuming import assert_resumed_is_whole


RECIPES = Path(__file__).parents[2] / "training" / "recipes"
SMALL = [
    "model.hidden_size=48",
    "model.frontend_channels=[8,8]",
    "model.encoder_layers=1",
    "model.dropout=0",
    "training.batch_tokens=null",
    "training.batch_size=8",
    "training.learning_rate=5e-3",
    "training.warmup_steps=20",
    "training.ema_decay=0.9",
    "training.metric=cer",
    "training.samples=1",
    "training.max_steps=240",
    "training.evaluate_every=120",
    "evaluation.num_beams=2",
    "evaluation.max_new_tokens=8",
    "evaluation.metrics=[cer,exact_match]",
    "evaluation.bootstrap_samples=0",
]
# What fits sets of a few small files, of each recipe.
TWINS = {
    "an4_speech": [
        *("features.sampling_rate=8000", "features.mel_bins=20", "features.min_seconds=0.05"),
        "augmentation.spec_augment={frequency_masks: 1, frequency_width: 2, time_masks: 1, time_width: 2}",
    ],
    "fraktur_lines": [
        *("data.group=speaker", "features.height=16", "model.frontend_strides=[[2,2],[2,1]]"),
        *("augmentation.shift=0", "augmentation.slant=0", "augmentation.stretch=0.02", "augmentation.contrast=0.1"),
    ],
    "openmoji_captions": [
        *("features.height=16", "features.width=30", "features.channels=1", "model.encoder_type=gru"),
        *("model.frontend_strides=[[2,2],[2,2]]", "model.frontend_channels=[16,16]"),
        *("augmentation.shift=0", "augmentation.slant=0", "augmentation.stretch=0", "tokenizer.kind=char"),
        *("training.learning_rate=3e-3", "training.max_steps=480"),
    ],
}
SOUNDS = ("an4_speech",)
# Most errors, per cent of characters; guessing makes more than 80.
MOST_ERRORS = {"an4_speech": 30, "fraktur_lines": 20, "openmoji_captions": 50}


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of the sets that stand for each recipe's."""
    sounds, pictures = tmp_path_factory.mktemp("sounds"), tmp_path_factory.mktemp("pictures")
    write_sounds(sounds)
    write_pictures(pictures)
    return {recipe: sounds if recipe in SOUNDS else pictures for recipe in TWINS}


def twin(recipe: str, sets: dict[str, Path], output: Path, *more: str) -> list[str]:
    """What the commands are given."""
    where = [f"data.folder={sets[recipe]}", f"output={output}"]
    return [str(RECIPES / f"{recipe}.yaml"), *where, *SMALL, *TWINS[recipe], *more]


@pytest.mark.parametrize("recipe", TWINS)
def test_a_twin_learns_and_is_measured(
    recipe: str, sets: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "model"
    main(twin(recipe, sets, output))
    said = " ".join(capsys.readouterr().out.split())
    counts = (52, 16) if recipe in SOUNDS else (120, 16)
    assert f"{counts[0]} training and {counts[1]} validation pairs" in said
    assert "pixels" in said or "hours" in said
    record = json.loads((output / "training.json").read_text("utf-8"))
    assert record["value"] < MOST_ERRORS[recipe]
    evaluate([str(output)])
    results = json.loads((output / "results.json").read_text("utf-8"))
    assert results["source_kind"] == ("audio" if recipe in SOUNDS else "image")
    by_ctc = bool(results["evaluation"].get("ctc_weight"))
    assert results["speed"]["engine"] == ("torch" if by_ctc else "graph")  # no graph has CTC
    assert set(results["sets"]) == {"validation", "test"}
    for name, figures in results["sets"].items():
        assert figures["sentences"] == 16
        assert figures["scores"]["cer"]["value"] < MOST_ERRORS[recipe]
        assert len((output / "hypotheses" / f"{name}.txt").read_text("utf-8").splitlines()) == 16

    # What lies in the folder reads files as training did: no more than the folder is needed.
    processor, model = AutoProcessor.from_pretrained(output), AutoModelForSeq2SeqLM.from_pretrained(output)
    corpus = PreparedCorpus.load(output / "corpus")
    loaded = load_recipe(output)
    options = {"num_beams": 2, "max_new_tokens": 8, "do_sample": False}
    examples = media_examples(loaded, corpus, "test")
    prepared = recognise(processor, TorchEngine(model), examples, range(4), batch_size=1, **options)
    files = [sets[recipe] / name for name in corpus.tests["test"]["source"][:4]]
    by_processor = []
    for file in files:
        if recipe in SOUNDS:
            sound = read_audio(file)
            inputs = processor(audio=sound.waveform, sampling_rate=sound.sampling_rate, return_tensors="pt")
        else:
            inputs = processor(images=read_image(file), return_tensors="pt")
        by_processor += processor.batch_decode(model.generate(**inputs, **options), skip_special_tokens=True)
    assert prepared == by_processor
    assert printed_by_card(output, files[0]) == prepared[:1] * 2


def test_several_seeds_of_a_model_that_sees(sets: dict[str, Path], tmp_path: Path) -> None:
    output = tmp_path / "model"
    few = ["training.max_steps=4", "training.evaluate_every=2", "training.samples=0", "training.warmup_steps=0"]
    seeds([*twin("fraktur_lines", sets, output, *few), "--seeds", "0,1"])
    results = json.loads((output / "results.json").read_text("utf-8"))
    values = [run["sets"]["test"]["scores"]["cer"]["value"] for run in results["seeds"]["runs"]]
    assert results["seeds"]["sets"]["test"]["scores"]["cer"]["mean"] == pytest.approx(sum(values) / 2)
    card = (output / "README.md").read_text("utf-8")
    assert "Apart from these tables, all figures on this card and in its metadata are of this model alone." in card
    assert "translat" not in card
    assert AutoProcessor.from_pretrained(output).image_processor.height == 16


def printed_by_card(output: Path, file: Path) -> list[str]:
    """What the code in a model's card prints of a file, a line for each block."""
    blocks = re.findall(r"```python\n(.*?)```", (output / "README.md").read_text("utf-8"), re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for code in blocks:
            given = code.replace('"."', repr(str(output))).replace('"speech.flac"', repr(str(file)))
            exec(given.replace('"picture.png"', repr(str(file))), {})
    return printed.getvalue().splitlines()


@pytest.mark.parametrize("recipe", TWINS)
def test_a_resumed_run_ends_as_an_uninterrupted_one(recipe: str, sets: dict[str, Path], tmp_path: Path) -> None:
    short = ("training.max_steps=6", "training.evaluate_every=2", "training.samples=0", "data.limit=16")
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert_resumed_is_whole(*(twin(recipe, sets, output, *short) for output in (whole, stopped)), whole, stopped)


def test_examples_change_with_the_epoch_alone(sets: dict[str, Path], tmp_path: Path) -> None:
    for recipe in ("an4_speech", "fraktur_lines"):
        arguments = twin(recipe, sets, tmp_path / recipe, "data.limit=6")
        preprocess(arguments)
        loaded = load_recipe(arguments[0], arguments[1:])
        corpus = PreparedCorpus.load(tmp_path / recipe / "corpus")
        changing, plain = (
            media_examples(loaded, corpus, "train", augmentation=each) for each in (loaded.augmentation, None)
        )
        name = "input_features" if recipe in SOUNDS else "pixel_values"

        def sources(examples: MediaExamples, *indices: int, name: str = name) -> list[np.ndarray]:
            return [example[name] for example in examples.__getitems__(list(indices))]

        first = sources(changing, 0, 1, 2)
        assert all(map(np.array_equal, first[::-1], sources(changing, 2, 1, 0)))
        changing.set_epoch(1)
        assert not any(map(np.array_equal, first, sources(changing, 0, 1, 2)))
        changing.set_epoch(0)
        assert all(map(np.array_equal, first, sources(changing, 0, 1, 2)))
        before = sources(plain, 0, 1, 2)
        plain.set_epoch(1)
        assert all(map(np.array_equal, before, sources(plain, 0, 1, 2)))
        lengths = [each.shape[0 if recipe in SOUNDS else 2] for each in first]
        assert all(length <= most for length, most in zip(lengths, changing.lengths()))


def test_states_are_those_that_the_encoder_makes(sets: dict[str, Path], tmp_path: Path) -> None:
    for recipe in TWINS:
        loaded = load_recipe(RECIPES / f"{recipe}.yaml", [*SMALL, *TWINS[recipe]])
        config = loaded.model_config_for(20)
        model = AutoModelForSeq2SeqLM.from_config(config).eval()
        for length in (1, 7, 16, 30):
            if config.frontend == "speech":
                inputs = {"input_features": torch.randn(1, length, config.num_mel_bins)}
            else:
                inputs = {"pixel_values": torch.randn(1, config.image_channels, config.image_height, length)}
            states = model.get_encoder()(**inputs).last_hidden_state.shape[1]
            assert states_of(config, np.array([length])) == states


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (["training.join_pairs=2"], "training.join_pairs is for text on both sides"),
        (["training.case_punctuation_augmentation=0.1"], "training.case_punctuation_augmentation is for text"),
        (["training.copied_words_augmentation=0.1"], "training.copied_words_augmentation is for text"),
        (
            ["training.phrase_pairs_augmentation=0.1", "training.guided_alignment.links=given"],
            "training.phrase_pairs_augmentation is for text",
        ),
        (["training.guided_alignment={links: eflomal}"], "training.guided_alignment is for text on both sides"),
        (["tokenizer.kind=bpe", "tokenizer.byte_fallback=null", "tokenizer.vocab_size=300", "tokenizer.sampling=0.1"],
         "tokenizer.sampling is for text"),
        (["tokenizer.shared=false"], "tokenizer.shared is for text"),
        (["card.sentences=[a]"], "card.sentences is for text"),
        (["model.frontend=tokens"], "model.frontend is 'tokens', but data.source_kind and features make it 'speech'"),
        (["model.num_mel_bins=40"], "model.num_mel_bins is 40, but data.source_kind and features make it 20"),
        (["model.ctc_weight=0", "evaluation.ctc_weight=0.3"], "ctc_weight is 0.3, but the model learns no CTC"),
        (["features.min_seconds=9", "features.max_seconds=3"], "min_seconds is 9: it must be below max_seconds, 3"),
        (["augmentation.speed_perturbation=[0.1]"], "the speed 0.1 must be between 0.5 and 2"),
        (["features.height=16"], "features.height is for pictures, and data.source_kind is audio: leave it out"),
        (["augmentation.shift=2"], "augmentation.shift is for pictures, and data.source_kind is audio"),
        (["features.channels=2"], "channels is 2: pictures have 1 channel"),
        (["data.train.file=train.tmx"], "source_kind is audio, which needs a column: train.tmx has none"),
        (["data.train.alignment=links"], "train.tsv has word links, but source_kind is audio"),
        (["data.group=singer"], "has no column 'singer': choose one of audio, text, speaker"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_in_a_sentence(
    fields: list[str], sentence: str, sets: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as status:
        main(twin("an4_speech", sets, tmp_path / "model", *fields))
    assert status.value.code == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert "Traceback" not in said
    assert said[said.index("error: ") :].strip().count("\n") == 0
    assert not (tmp_path / "model" / "corpus").exists()


@pytest.mark.parametrize("field", ["features.mel_bins=20", "augmentation.speed_perturbation=[0.9]"])
def test_settings_of_sounds_are_not_for_pictures(field: str) -> None:
    recipe = RECIPES / "fraktur_lines.yaml"
    with pytest.raises(ValueError, match=f"{field.partition('=')[0]} is for sounds, and data.source_kind is image"):
        load_recipe(recipe, [field])


def test_files_of_text_are_not_for_a_model_that_hears(
    sets: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, text = tmp_path / "model", tmp_path / "text.txt"
    short = ("training.max_steps=2", "training.evaluate_every=1", "training.samples=0", "data.limit=8")
    main(twin("an4_speech", sets, output, *short))
    text.write_text("A\n", "utf-8")
    for arguments, sentence in (
        (["--source", str(text), "--reference", str(text)], "'model' reads no text, and --source is a file of text"),
    ):
        with pytest.raises(SystemExit):
            evaluate([str(output), *arguments])
        assert sentence in " ".join(capsys.readouterr().err.split())


def test_further_losses_go_with_sounds(sets: dict[str, Path], tmp_path: Path) -> None:
    arguments = twin("an4_speech", sets, tmp_path / "model", "training.r_drop=1", "training.scheduled_sampling=0.5")
    short = ("training.max_steps=4", "training.evaluate_every=2", "training.samples=0", "data.limit=8")
    main([*arguments, *short, "model.dropout=0.1", "training.label_smoothing=0.1"])
    state = json.loads((tmp_path / "model" / "trainer_state.json").read_text("utf-8"))
    losses = [entry["eval_loss"] for entry in state["log_history"] if "eval_loss" in entry]
    assert len(losses) == 2
    assert all(0 < loss < 20 for loss in losses)


def test_a_run_with_other_features_is_another_run(
    sets: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = ("training.max_steps=2", "training.evaluate_every=1", "training.samples=0", "data.limit=8")
    output = tmp_path / "model"
    main(twin("an4_speech", sets, output, *short))
    for field in ("features.max_seconds=5", "augmentation.speed_perturbation=[0.9]"):
        with pytest.raises(SystemExit):
            main([str(output), "--resume", field])
        assert f"different values of {field.partition('=')[0]}" in capsys.readouterr().err
