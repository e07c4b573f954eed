# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The command `export`, and the folders that it makes under `translate` and `explain`."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import BartConfig, BartForConditionalGeneration

from hf_attn_seq2seq import pipeline
from hf_attn_seq2seq.decoding import Readout, save_readout
from hf_attn_seq2seq.decoding import command as translate_command
from hf_attn_seq2seq.decoding.graph_cache import find_engine
from hf_attn_seq2seq.decoding.loading import load_aligner, load_recognizer
from hf_attn_seq2seq.decoding.opening import prepare
from hf_attn_seq2seq.decoding.recognition import transcribe
from hf_attn_seq2seq.decoding.text import translate
from hf_attn_seq2seq.explain import command as explain_command
from hf_attn_seq2seq.export import command, writer
from hf_attn_seq2seq.writing import sole_output
from tests.decoding.conftest import SENTENCES, folders, tokenizer  # noqa: F401
from tests.media_models import media_model, picture_files, sound_files


@pytest.fixture(scope="module")
def model(folders: Path) -> Path:  # noqa: F811
    (folders / "gru" / "README.md").write_text("# A card\n")
    return folders / "gru"


@pytest.fixture(scope="module")
def exported(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "exported"
    command.main([str(model), "--output", str(folder)])
    return folder


def test_what_the_folder_holds(model: Path, exported: Path) -> None:
    assert {path.name for path in exported.iterdir()} == {
        "README.md",
        "config.json",
        "decoder.onnx",
        "encoder.onnx",
        "exported.json",
        "generation_config.json",
        "graph.onnx",
        "tokenizer.json",
        "tokenizer_config.json",
        "weights.safetensors",
    }
    about = json.loads((exported / "exported.json").read_text())
    weights = hashlib.sha256((model / "model.safetensors").read_bytes()).hexdigest()
    assert about["model"] == "gru"
    assert about["kind"] == "onnx"
    assert about["weights_sha256"] == {"model.safetensors": weights}
    assert about["decoder"]["inputs"] == ["decoder_input_ids", "attention_mask", "keys.0", "values.0", "state"]
    assert about["difference_from_pytorch"]["equal_greedy_translations"] == 16
    assert about["difference_from_pytorch"]["largest_logit_difference"] < 1e-3
    assert "auto_map" not in json.loads((exported / "config.json").read_text())
    assert not any(str(model) in path.read_text() for path in exported.glob("*.json"))  # nobody's paths
    card = (exported / "README.md").read_text()
    assert "A card" not in card  # whose figures are of other weights
    assert "16 of 16 sentences of random words have the same greedy translation as with PyTorch" in card
    assert [path.name for path in exported.parent.iterdir()] == ["exported"]  # no scratch is left


def test_int8_is_measured_on_given_sentences(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sentences = tmp_path / "sentences.txt"
    sentences.write_text("\n".join([*SENTENCES[:5], "", *SENTENCES[5:9]]) + "\n")
    folder = tmp_path / "small"
    folder.mkdir()  # an empty one may be there
    command.main([str(model), "--to", "int8", "-o", str(folder), "--sentences", str(sentences)])
    about = json.loads((folder / "exported.json").read_text())
    difference = about["difference_from_pytorch"]
    assert about["kind"] == "int8"
    assert (difference["sentences"], difference["compared"]) == ("given", 9)
    assert 0 < difference["largest_logit_difference"] < difference["largest_logit"]
    told = capsys.readouterr().out
    assert (
        f"{difference['equal_greedy_translations']} of 9 sentences have the same greedy translation as with PyTorch"
        in told
    )


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ({"translations": [{"source": text, "translation": "?"} for text in SENTENCES[:3]]}, ("shown", 3)),
        ({"translations": []}, ("random", 16)),
        ({"translations": [{"source": 3}, {"source": " "}]}, ("random", 16)),
        (["of another kind"], ("random", 16)),
    ],
)
def test_it_is_measured_on_sentences_of_its_card(
    model: Path, tmp_path: Path, results: Any, expected: tuple[str, int]
) -> None:
    source = shutil.copytree(model, tmp_path / "model")
    (source / "results.json").write_text(json.dumps(results))
    difference = writer.export(str(source), "int8", tmp_path / "small").difference
    assert (difference.sentences, difference.compared) == expected


@pytest.mark.parametrize("options", [[], ["--num-beams", "1"], ["--n-best", "3", "--num-beams", "3"]], ids=str)
def test_translate(
    model: Path, exported: Path, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "source.txt"
    source.write_text("\n".join(SENTENCES) + "\n")
    told = []
    for folder in (model, exported):
        translate_command.main([str(folder), str(source), "--alignments", *options])
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]
    assert len(set(told[0].splitlines())) > 5


def test_explain_refuses(exported: Path) -> None:
    with pytest.raises(ValueError, match="explain the model that it was exported from"):
        explain_command.main([str(exported), SENTENCES[0]])


def test_default_output(model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert writer._default_output(str(model), "onnx") == model.with_name("gru-onnx")
    assert writer._default_output("user/name", "int8") == Path("name-int8")
    assert writer._default_output(".", "onnx") == tmp_path.with_name(f"{tmp_path.name}-onnx")


def refused(arguments: list[str], error: type[Exception], message: str, place: Path) -> None:
    before = sorted(place.rglob("*"))
    with pytest.raises(error, match=message):
        command.main(arguments)
    assert sorted(place.rglob("*")) == before


def test_unknown_kind(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main([str(model), "--to", "tflite"])
    assert "invalid choice: 'tflite'" in capsys.readouterr().err
    with pytest.raises(ValueError, match="Unknown kind of export 'tflite': choose one of onnx, int8"):
        writer.export(str(model), "tflite")


def test_output_is_in_the_way(model: Path, exported: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "diary.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    refused([str(model), "-o", str(tmp_path / "full")], ValueError, "exists and is not empty", tmp_path)
    refused([str(model), "-o", str(tmp_path / "file")], ValueError, "is not a folder: name a new one", tmp_path)
    os.mkfifo(tmp_path / "pipe")
    refused([str(model), "-o", str(tmp_path / "pipe")], ValueError, "is not a folder: name a new one", tmp_path)
    assert (tmp_path / "pipe").is_fifo()
    refused([str(model), "-o", ""], ValueError, "The name of --output is empty", tmp_path)
    refused([str(model), "-o", str(exported)], ValueError, "exists and is not empty", tmp_path)


def test_attention_is_read_as_the_model_says(model: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(model, tmp_path / "model"))
    save_readout(Readout(layer=0, shift=1), source)
    exported = writer.export(str(source), "onnx", tmp_path / "exported").folder
    made = (source, exported, model)
    shown = [pipeline(model=each)(SENTENCES[:3], return_alignments=True, max_new_tokens=6) for each in made]
    assert shown[0] == shown[1] != shown[2]


@pytest.mark.parametrize(
    ("found", "wanted", "equal"),
    [
        ([1, 5, 2], [1, 5, 2], True),
        ([1, 5, 2, 0, 0], [1, 5, 2], True),
        ([1, 5, 2], [1, 5, 2, 2], True),  # as beams fill up
        ([1, 5, 2], [1, 6, 2], False),
        ([1, 5, 7], [1, 5], False),
        ([1, 5], [1, 5, 7, 7], False),
    ],
)
def test_rows_are_compared_without_their_padding(found: list[int], wanted: list[int], equal: bool) -> None:
    model = SimpleNamespace(generation_config=SimpleNamespace(pad_token_id=0, eos_token_id=2))
    assert writer._equal(model, [found], [wanted]) == equal


def test_output_that_cannot_be_written(model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"file/inside' cannot be written \(.*\): name another --output"):
        writer.export(str(model), "onnx", tmp_path / "file" / "inside")


def test_models_that_are_not_exported(exported: Path, folders: Path, tokenizer: Any, tmp_path: Path) -> None:  # noqa: F811
    out = ["-o", str(tmp_path / "out")]
    refused([str(exported), *out], ValueError, "already exported", tmp_path)
    refused([str(folders / "nowhere"), *out], ValueError, "There is no model", tmp_path)
    refused([str(folders / "no-tokenizer"), *out], ValueError, "has no tokenizer", tmp_path)
    sizes = {
        f"{side}_{name}": 2 for side in ("encoder", "decoder") for name in ("layers", "attention_heads", "ffn_dim")
    }
    bart = BartForConditionalGeneration(BartConfig(vocab_size=len(tokenizer), d_model=8, **sizes))
    bart.save_pretrained(tmp_path / "bart")
    tokenizer.save_pretrained(tmp_path / "bart")
    refused([str(tmp_path / "bart"), *out], ValueError, "of type bart", tmp_path)


def test_sentences_that_are_none(model: Path, tmp_path: Path) -> None:
    (tmp_path / "blank").write_text("\n \n")
    (tmp_path / "latin").write_bytes("é".encode("latin-1"))
    for name, message in (("nowhere", "There is no file"), ("blank", "no sentences"), ("latin", "not UTF-8")):
        given = [str(model), "-o", str(tmp_path / "out"), "--sentences", str(tmp_path / name)]
        refused(given, ValueError, message, tmp_path)


def test_nothing_is_left_of_a_failed_export(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = ["-o", str(tmp_path / "out")]
    monkeypatch.setattr(writer, "measure", lambda *_: writer.Difference("random", 16, 3, 0.5, 4.0))
    refused([str(model), *out], ValueError, "do not match PyTorch", tmp_path)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer, "measure", full)
    refused(
        [str(model), *out], OSError, "Cannot write '.*out' .No space left on device.: make room, and run", tmp_path
    )


def test_two_exports_do_not_share_a_folder_and_a_killed_one_leaves_it_free(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with sole_output(folder), pytest.raises(ValueError, match="Another run is using"):
        command.main([str(model), "-o", str(folder)])
    (tmp_path / ".out.partial" / "half").mkdir(parents=True)
    (tmp_path / ".out.lock").touch()
    command.main([str(model), "-o", str(folder)])
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert not (folder / "half").exists()


def test_a_graph_goes_beside_the_weights(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    before = {path.name for path in folder.iterdir()}
    command.main([str(folder), "--to", "graph"])
    assert {path.name for path in folder.iterdir()} - before == {"graph.onnx"}
    assert "16 of 16 sentences of random words have the same translation as with PyTorch" in capsys.readouterr().out
    assert find_engine(folder).path == folder / "graph.onnx"
    with pytest.raises(ValueError, match="leave out --output"):
        command.main([str(folder), "--to", "graph", "-o", str(tmp_path / "other")])
    with pytest.raises(ValueError, match="'user/name' is not a folder"):
        command.main(["user/name", "--to", "graph"])


def test_an_exported_folder_translates_by_its_graph(exported: Path, model: Path) -> None:
    opened = [prepare([str(folder)], engine="graph") for folder in (exported, model)]
    assert opened[0].open().path == exported / "graph.onnx"
    found, wanted = (translate(each.open(), each.tokenizer, SENTENCES) for each in opened)
    assert found == wanted


@pytest.mark.parametrize("front", ["speech", "image"])
def test_a_model_that_hears_or_sees_is_exported_with_its_processor(
    front: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = media_model(front, scale=0.5)  # in 256 steps, larger weights amplify rounding
    folder = made.save(tmp_path / "model")
    (given, *_) = map(str, (sound_files if front == "speech" else picture_files)(tmp_path))
    expected = made.plainly(given)
    command.main([str(folder), "--output", str(tmp_path / "exported")])
    command.main([str(folder), "--to", "graph"])
    told = capsys.readouterr().out
    for path in (tmp_path / "exported", folder):
        assert f"Try it: hf-attn-seq2seq transcribe {path} FILE" in told
        (found,) = transcribe(load_recognizer(path), [given])
        assert [found.text] == expected
    assert 'pipeline("' in (tmp_path / "exported" / "README.md").read_text()
    with pytest.raises(ValueError, match=r"reads (speech|pictures), not text"):
        load_aligner(folder)
