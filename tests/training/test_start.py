# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Training that starts from a trained model."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from hf_attn_seq2seq import load
from hf_attn_seq2seq.convert.command import convert
from hf_attn_seq2seq.data.tokenizer_training import TokenizerSettings, train_tokenizer_for
from hf_attn_seq2seq.decoding.names import DESCRIPTION, PACKAGED
from hf_attn_seq2seq.evaluation.results import checksums
from hf_attn_seq2seq.training.recipe import load_recipe, save_recipe
from hf_attn_seq2seq.training.seeds import check_before
from hf_attn_seq2seq.training.start import start_config, start_model, start_record
from hf_attn_seq2seq.training.train import check_output, check_recipe, main
from tests.helpers import tiny_model
from tests.hub_server import asking, serving
from tests.media_models import media_model
from tests.training.resuming import assert_resumed_is_whole


PAIRS = [
    ("The kettle is boiling.", "La bouilloire bout."),
    ("The ferry leaves at noon.", "Le ferry part à midi."),
    ("She paints boats.", "Elle peint des bateaux."),
    ("The ladder is too short.", "L'échelle est trop courte."),
    ("We planted tomatoes.", "Nous avons planté des tomates."),
    ("The soup needs salt.", "La soupe manque de sel."),
]
SMALL = ["data.validation_size=2", "training.samples=0", "training.batch_size=4", "training.warmup_steps=0"]


def write_pairs(path: Path, pairs: list[tuple[str, str]]) -> Path:
    path.write_text("".join(f"{source}\t{target}\n" for source, target in pairs), "utf-8")
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in 16 bits, with two vocabularies."""
    folder = tmp_path_factory.mktemp("trained")
    settings = TokenizerSettings(kind="word", vocab_size=40, shared=False)
    tokenizer = train_tokenizer_for(settings, *map(list, zip(*PAIRS)))
    sizes = {"vocab_size": len(tokenizer), "decoder_vocab_size": len(tokenizer.target)}
    model = tiny_model(dropout=0.4, share_encoder_decoder_embeddings=False, **sizes)
    model.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def mean_loss(folder: Path | str, pairs: list[tuple[str, str]]) -> float:
    """Per target token, by a model that is loaded as everybody loads it."""
    model, tokenizer = load(folder, device="cpu")
    loss, tokens = 0.0, 0
    for source, target in pairs:
        labels = torch.tensor([tokenizer(text_target=target)["input_ids"]])
        inputs = tokenizer([source], return_tensors="pt")
        with torch.no_grad():
            loss += model(**inputs, labels=labels).loss.item() * labels.numel()
        tokens += labels.numel()
    return loss / tokens


def tokenizer_content(file: Path) -> dict[str, Any]:
    """All but the length that was last truncated to, which the library saves too."""
    return {**json.loads(file.read_text("utf-8")), "truncation": None}


def test_a_run_starts_from_these_weights_and_is_resumed(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = shutil.copytree(trained, tmp_path / "start")
    files = {name: write_pairs(tmp_path / f"{name}.tsv", part) for name, part in (("a", PAIRS[:4]), ("b", PAIRS[4:]))}
    arguments = [
        *(f"start_from={start}", f"data.train.file={files['a']}", f"data.validation.file={files['b']}", *SMALL[1:]),
        *("training.max_steps=4", "training.evaluate_every=2", "training.metric=loss", "training.batch_size=1"),
        *("model.dropout=0.1", "training.ema_decay=0.5"),
    ]
    folders = tmp_path / "whole", tmp_path / "stopped"
    assert_resumed_is_whole(*([*arguments, f"output={folder}"] for folder in folders), *folders)
    told = f"Training starts from the weights of '{start}', with dropout 0.1 instead of 0.4."
    assert told in capsys.readouterr().out
    for folder in folders:
        record = json.loads((folder / "training.json").read_text("utf-8"))
        assert record["value_at_start"] == pytest.approx(mean_loss(start, PAIRS[4:]), rel=1e-4)
        assert record["value"] != record["value_at_start"]
        assert record["start_from"] == {"name": str(start), "sha256": checksums([start / "model.safetensors"])}
        for name in ("tokenizer.json", "target_tokenizer.json"):
            assert tokenizer_content(folder / name) == tokenizer_content(start / name)
            assert (folder / "corpus" / "tokenizer" / name).read_bytes() == (start / name).read_bytes()
        assert {weights.dtype for weights in load_file(folder / "model.safetensors").values()} == {torch.float32}
    assert load_recipe(folders[0]).start_from == str(start)

    # Another start is another run, and so is one that has changed.
    for change, said in (
        (f"start_from={trained}", f"from '{start}', not from '{trained}'"),
        ("start_from=", "weights"),
    ):
        with pytest.raises(SystemExit):
            main([str(folders[0]), "--resume", change])
        assert said in capsys.readouterr().err
    with (start / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    with pytest.raises(SystemExit):
        main([str(folders[0]), "--resume", "training.max_steps=6"])
    assert "has changed since the run" in capsys.readouterr().err


def test_the_packaged_model_is_trained_further(tmp_path: Path) -> None:
    """So little that it stays what it was; the first pass, which links words, starts from it, too."""
    file = write_pairs(tmp_path / "pairs.tsv", PAIRS)
    output = tmp_path / "model"
    main(
        [
            *("start_from=en-fr-small", f"data.train.file={file}", f"output={output}", *SMALL),
            *("training.max_steps=2", "training.learning_rate=1e-9", "training.metric=loss"),
            "training.guided_alignment={links: first_pass, first_pass_epochs: 1}",
        ]
    )
    before, after = (load_file(folder / "model.safetensors") for folder in (PACKAGED / "en-fr-small", output))
    assert before.keys() == after.keys()
    assert all(torch.allclose(after[name], weights.float(), atol=1e-7) for name, weights in before.items())
    assert any(not torch.equal(after[name], weights.float()) for name, weights in before.items())
    packaged, here = (tokenizer_content(folder / "tokenizer.json") for folder in (PACKAGED / "en-fr-small", output))
    assert packaged == here
    records = [json.loads((folder / "training.json").read_text("utf-8")) for folder in (output / "first-pass", output)]
    assert records[0]["start_from"] == records[1]["start_from"]
    assert records[0]["value_at_start"] == records[1]["value_at_start"]
    assert records[1]["value"] == pytest.approx(records[1]["value_at_start"], rel=1e-4)


def recipe_of(start: Path | str, *changes: str) -> Any:
    return load_recipe(None, [f"start_from={start}", "training.metric=loss", *changes])


def test_fields_that_the_weights_fit_can_be_set(trained: Path) -> None:
    recipe = recipe_of(trained, "model.dropout=0", "model.attention_normalizer=sparsemax", "model.hidden_size=16")
    check_recipe(recipe)
    config, own = start_config(recipe), load(trained).model.config
    assert (config.dropout, config.attention_normalizer) == (0, "sparsemax")
    assert config.decoder_vocab_size == own.decoder_vocab_size != config.vocab_size
    assert config.hidden_size == own.hidden_size
    assert not start_model(recipe).generation_config.max_length


def test_a_recipe_that_starts_from_a_model_keeps_that(trained: Path, tmp_path: Path) -> None:
    recipe = recipe_of("en-fr-small", "tokenizer.sampling=0.1", f"output={tmp_path}")
    check_recipe(recipe)
    save_recipe(recipe, tmp_path)
    loaded = load_recipe(tmp_path)  # without the fields of a tokenizer that nobody trained
    assert (loaded.start_from, loaded.tokenizer.sampling) == ("en-fr-small", 0.1)
    assert "vocab_size" not in (tmp_path / "recipe.yaml").read_text("utf-8")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (["tokenizer.vocab_size=8000"], "tokenizer.vocab_size is set, but the tokenizer is that of start_from"),
        (["model.preset=luong2015"], "model.preset is set, but the configuration is that of start_from"),
        (["model.start_from=x"], "write start_from instead of model.start_from"),
        (["model.hidden_size=32"], "model.hidden_size is 32, but the weights of '.*' are for 16: leave it out"),
        (
            ["model.dropout=0", "model.encoder_layers=2"],
            "model.encoder_layers is 2, but the weights of '.*' are for 1",
        ),
        (["model.attention_type=none"], "model.attention_type is 'none', but the weights of '.*' are for 'additive'"),
        (["model.tie_word_embeddings=false"], "model.tie_word_embeddings is False, but .* are for True"),
        (["model.dropout=5"], r"^dropout=5 must lie in \[0, 1\)"),
        (["tokenizer.sampling=0.1"], "start_from: its tokenizer has no subwords over bytes"),
        (["data.source_kind=audio"], "reads text, and data.source_kind is audio: set data.source_kind=text"),
        (["start_from=en-fr-smal"], "no model of that name in this package: did you mean 'en-fr-small'"),
        (["start_from=nowhere/model"], "start_from: There is no model 'nowhere/model'"),
        (
            ["start_from=en-fr-small-fixed", "training.guided_alignment.links=first_pass"],
            "needs attention, but model.attention_type is none: leave it out",
        ),
    ],
)
def test_what_cannot_be_trained_further_is_refused(trained: Path, changes: list[str], told: str) -> None:
    with pytest.raises(ValueError, match=told) as refused:
        check_recipe(recipe_of(trained, *changes))
    assert "\n" not in str(refused.value)


def test_a_start_that_is_none_is_refused(trained: Path, tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ("empty", "bart", "no-weights", "exported")}
    for name in ("empty", "bart"):
        folders[name].mkdir()
    (folders["bart"] / "config.json").write_text('{"model_type": "bart", "is_encoder_decoder": true}', "utf-8")
    shutil.copytree(trained, folders["no-weights"], ignore=shutil.ignore_patterns("*.safetensors"))
    shutil.copytree(trained, folders["exported"])
    (folders["exported"] / DESCRIPTION).write_text("{}", "utf-8")
    for name, told in (
        ("empty", "config.json is missing"),
        ("bart", "is a model of type bart, not of this package"),
        ("no-weights", "has no weights"),
        ("exported", "is exported, for use alone"),
    ):
        with pytest.raises(ValueError, match=f"^start_from: .*{told}"):
            check_recipe(recipe_of(folders[name]))
    for start in (trained, trained / "checkpoint-4"):
        start.mkdir(exist_ok=True)
        with pytest.raises(ValueError, match="lies in the output folder, and would be replaced"):
            check_output(recipe_of(start, f"output={trained}"), resume=False, overwrite=True)
        with pytest.raises(ValueError, match="lies in the output folder"):
            check_before(recipe_of(start, f"output={trained}"), [])


def test_a_model_on_the_hub_is_told_by_its_commit(trained: Path, tmp_path: Path) -> None:
    with serving() as hub, asking(hub, tmp_path):
        repo = hub.create("alice/start")
        hub.put(repo, {path.name: path.read_bytes() for path in trained.iterdir() if path.is_file()})
        check_recipe(recipe_of("alice/start"))
        here = start_record(str(trained))
        assert start_record("alice/start") == {**here, "name": "alice/start", "commit": repo.refs["main"]}
        assert not hub.unhandled


def test_weights_in_shards_are_all_told(trained: Path, tmp_path: Path) -> None:
    load(trained).model.save_pretrained(tmp_path, max_shard_size="4KB")
    shards = {path.name for path in tmp_path.glob("*.safetensors")}
    assert start_record(str(tmp_path))["sha256"].keys() == shards
    assert len(shards) > 1


def test_a_converted_model_is_trained_further(tmp_path: Path) -> None:
    files = Path(__file__).parents[1] / "convert" / "marian"
    convert(files / "student.npz", tmp_path / "start", [files / "source.spm"] * 2)
    pairs = write_pairs(tmp_path / "pairs.tsv", PAIRS)
    output = tmp_path / "model"
    main(
        [
            *(f"start_from={tmp_path / 'start'}", f"data.train.file={pairs}", f"output={output}", *SMALL),
            *("training.max_steps=1", "training.metric=loss"),
        ]
    )
    before, after = (load(folder).model for folder in (tmp_path / "start", output))
    assert after.config.decoder_mixer == before.config.decoder_mixer == "ssru"
    assert after.generation_config.suppress_tokens == before.generation_config.suppress_tokens != []
    assert json.loads((output / "training.json").read_text("utf-8"))["value_at_start"] > 0


def test_a_model_of_speech_hears_as_it_did(tmp_path: Path) -> None:
    media_model("speech").save(tmp_path)
    check_recipe(recipe_of(tmp_path, "data.source_kind=audio", "features.mel_bins=20"))
    for feature, told in (("mel_bins=30", "mel_bins=20"), ("sampling_rate=8000", "sampling_rate=16000")):
        changes = ["data.source_kind=audio", "features.mel_bins=20", f"features.{feature}"]
        with pytest.raises(ValueError, match=f"was trained with .*: set features.{told}"):
            check_recipe(recipe_of(tmp_path, *changes))
    with pytest.raises(ValueError, match=r"reads speech, and data\.source_kind is text"):
        check_recipe(recipe_of(tmp_path))
