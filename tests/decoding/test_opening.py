# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The choice of the engine, and that by the graph the same is loaded, refused and translated as by PyTorch."""

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from hf_attn_seq2seq.decoding import command, engines, translate_n_best
from hf_attn_seq2seq.decoding.loading import load_translator
from hf_attn_seq2seq.decoding.opening import prepare
from hf_attn_seq2seq.decoding.tokens import SavedTokenizer
from hf_attn_seq2seq.export import export
from hf_attn_seq2seq.graphs.format import GRAPH_FILE
from hf_attn_seq2seq.graphs.writer import save_graph
from tests.decoding.conftest import SENTENCES
from tests.hub_server import ALICE, HubServer, asking, hub  # noqa: F401


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("HF_ATTN_SEQ2SEQ_CACHE", str(folder))
    return folder


@pytest.fixture
def folder(folders: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folders / "gru", tmp_path / "model"))


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}), "utf-8")


@pytest.mark.parametrize("name", ["gru", "transformer"])
@pytest.mark.parametrize("options", [{}, {"num_beams": 3, "n_best": 2}, {"num_beams": 2, "links": True}])
def test_the_graph_translates_as_pytorch_does(folders: Path, name: str, options: dict) -> None:
    found = prepare([str(folders / name)], "cpu")
    assert found.graph is not None
    assert isinstance(found.tokenizer, SavedTokenizer)
    ours = translate_n_best(found.open(), found.tokenizer, SENTENCES, **options)
    theirs = translate_n_best(*load_translator([str(folders / name)], "cpu"), SENTENCES, **options)
    for translations, expected in zip(ours, theirs):
        assert [(t.text, t.links) for t in translations] == [(t.text, t.links) for t in expected]
        assert [t.score for t in translations] == pytest.approx([t.score for t in expected], abs=1e-4)


def test_a_graph_is_made_once(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare([str(folder)], "cpu")
    (made,) = cache.rglob(GRAPH_FILE)
    before = made.stat().st_mtime_ns
    monkeypatch.setattr("hf_attn_seq2seq.decoding.loading.load_translator", None)
    assert prepare([str(folder)], "cpu").graph is not None
    assert [path.stat().st_mtime_ns for path in cache.rglob(GRAPH_FILE)] == [before]


def test_what_a_graph_cannot_run_is_run_by_pytorch(folders: Path) -> None:
    gru = str(folders / "gru")
    for arguments, said in (
        (([gru, gru], "cpu"), "an ensemble"),
        (([gru], "cpu", "bfloat16"), "the dtype 'bfloat16'"),
    ):
        assert prepare(*arguments).graph is None
        with pytest.raises(ValueError, match=f"The graph cannot run {said}: leave out the engine 'graph'"):
            prepare(*arguments, engine="graph")
    assert prepare([gru], "cpu", engine="torch").graph is None
    with pytest.raises(ValueError, match="The engine 'onnx' is unknown: choose one of auto, graph, torch"):
        prepare([gru], "cpu", engine="onnx")


def test_without_onnx_runtime(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = engines.importlib.util.find_spec
    monkeypatch.setattr(
        engines.importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else find_spec(name)
    )
    assert prepare([str(folders / "gru")], "cpu").graph is None
    with pytest.raises(ValueError, match=r"cannot run without ONNX Runtime \(pip install onnxruntime\)"):
        prepare([str(folders / "gru")], "cpu", engine="graph")


def test_a_cache_that_cannot_be_written(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HF_ATTN_SEQ2SEQ_CACHE", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        assert prepare([str(folder)], "cpu").graph is None
    assert "cannot be kept in the cache" in caplog.text
    assert "PyTorch translates instead" in caplog.text
    with pytest.raises(ValueError, match="cannot be kept in the cache"):
        prepare([str(folder)], "cpu", engine="graph")


def test_a_graph_of_other_weights_is_left_out(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_graph(load_translator([str(folder)], "cpu").model, folder)
    assert prepare([str(folder)], "cpu").graph.engine.path == folder / GRAPH_FILE
    weights = load_file(folder / "model.safetensors")
    save_file({name: -tensor for name, tensor in weights.items()}, folder / "model.safetensors", {"format": "pt"})
    with caplog.at_level(logging.WARNING):
        found = prepare([str(folder)], "cpu")
    assert "was written for another model.safetensors" in caplog.text
    assert found.graph.engine.path != folder / GRAPH_FILE
    expected = translate_n_best(*load_translator([str(folder)], "cpu"), SENTENCES)
    ours = translate_n_best(found.open(), found.tokenizer, SENTENCES)
    assert [t.text for (t,) in ours] == [t.text for (t,) in expected]


SPOILED = {
    "nan": (lambda weights: next(iter(weights.values())).fill_(torch.nan), r"contain NaN or infinite numbers \("),
    "missing": (lambda weights: weights.pop(next(name for name in weights if "bridge" in name)), "lack .*bridge"),
}


@pytest.mark.parametrize("engine", ["auto", "graph"])
@pytest.mark.parametrize("spoiled", SPOILED)
def test_weights_that_cannot_be_used(folder: Path, spoiled: str, engine: str) -> None:
    spoil, sentence = SPOILED[spoiled]
    weights = load_file(folder / "model.safetensors")
    spoil(weights)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=sentence):
        prepare([str(folder)], "cpu", engine=engine)


def test_weights_that_are_not_there(folder: Path) -> None:
    prepare([str(folder)], "cpu")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="model' has no weights"):
        prepare([str(folder)], "cpu").open()


@pytest.mark.parametrize(
    ("file", "fields", "sentence"),
    [
        ("generation_config.json", {"eos_token_id": 99_999}, "eos_token_id=99999, which is outside the vocabulary"),
        ("generation_config.json", {"eos_token_id": [2, -1]}, "eos_token_id=-1, which is outside the vocabulary"),
        ("generation_config.json", {"num_beams": "x"}, "num_beams='x', which must be at least 1"),
        ("generation_config.json", {"num_beams": 0}, "num_beams=0, which must be at least 1"),
        ("generation_config.json", {"max_new_tokens": 0}, "max_new_tokens"),
        ("generation_config.json", {"length_penalty": float("nan")}, "length_penalty=nan, which is no number"),
        ("generation_config.json", {"early_stopping": "x"}, r"cannot be used \(.*early_stopping"),
        ("config.json", {"hidden_size": "x"}, "cannot be loaded.*hidden_size"),
        ("config.json", {"attention_type": "x"}, "cannot be loaded.*attention_type"),
        ("tokenizer_config.json", {"pad_token": None}, "has no padding token"),
    ],
)
def test_settings_that_make_no_sense(folder: Path, file: str, fields: dict, sentence: str) -> None:
    prepare([str(folder)], "cpu")  # there is a graph
    edit(folder / file, **fields)
    with pytest.raises(ValueError, match=sentence):
        prepare([str(folder)], "cpu").open()


@pytest.mark.parametrize("file", ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"])
def test_a_damaged_file_is_named(folder: Path, file: str) -> None:
    (folder / file).write_text("{", "utf-8")
    with pytest.raises(ValueError, match=rf"{file}' is damaged \(.*\): save or download the model again"):
        prepare([str(folder)], "cpu")


def test_a_tokenizer_of_another_model(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["one", "two", "three"])
    tokenizer.save_pretrained(folder)
    with pytest.raises(ValueError, match=r"The tokenizer has \d+ tokens but the model .* has \d+"):
        prepare([str(folder)], "cpu")


def test_code_and_adapters_are_refused(folder: Path) -> None:
    prepare([str(folder)], "cpu")
    edit(folder / "config.json", attn_implementation="someone/kernels")
    with pytest.raises(ValueError, match="requests code from the Hub"):
        prepare([str(folder)], "cpu")
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match="is an adapter"):
        prepare([str(folder)], "cpu")


def test_a_search_that_the_graph_cannot_do(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Saved with the model, or asked for."""
    expected = translate_n_best(*load_translator([str(folder)], "cpu"), SENTENCES, repetition_penalty=1.5)
    found = prepare([str(folder)], "cpu")
    with caplog.at_level(logging.WARNING):
        ours = translate_n_best(found.open(), found.tokenizer, SENTENCES, repetition_penalty=1.5)
    assert [t.text for (t,) in ours] == [t.text for (t,) in expected]
    assert caplog.text.count("PyTorch searches instead") == 1
    edit(folder / "generation_config.json", repetition_penalty=1.5)
    found = prepare([str(folder)], "cpu")
    assert translate_n_best(found.open(), found.tokenizer, SENTENCES) == ours
    required = prepare([str(folder)], "cpu", engine="graph")
    with pytest.raises(ValueError, match=r"The graph cannot use repetition_penalty=1\.5"):
        translate_n_best(required.open(), required.tokenizer, SENTENCES)


@pytest.mark.parametrize("processes", [1, 3])
def test_the_command_by_either_engine(folders: Path, tmp_path: Path, capsys, processes: int) -> None:
    lines = [*SENTENCES, "", *SENTENCES[:7]] * 3
    (tmp_path / "in.txt").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    said = []
    for engine in ("graph", "torch"):
        arguments = ["--engine", engine, "--device", "cpu", "--batch-size", "4", "--n-best", "2", "--alignments"]
        several = ["--processes", str(processes)] if engine == "graph" else []
        command.main([str(folders / "gru"), str(tmp_path / "in.txt"), "--num-beams", "2", *arguments, *several])
        said.append([line.split(" ||| ") for line in capsys.readouterr().out.splitlines()])
    assert [[*row[:2], *row[3:]] for row in said[0]] == [[*row[:2], *row[3:]] for row in said[1]]
    assert [float(row[2]) for row in said[0]] == pytest.approx([float(row[2]) for row in said[1]], abs=2e-4)


def test_neither_torch_nor_transformers_is_imported_for_a_translation(folders: Path, cache: Path) -> None:
    prepare([str(folders / "gru")], "cpu")
    code = (
        "import sys\n"
        "import hf_attn_seq2seq_cli\n"
        f"sys.argv = ['', 'translate', {str(folders / 'gru')!r}, 'the old dog', '--device', 'cpu']\n"
        "hf_attn_seq2seq_cli.main()\n"
        "assert not {'torch', 'transformers'} & set(sys.modules), 'imported'\n"
    )
    environment = {**os.environ, "HF_ATTN_SEQ2SEQ_CACHE": str(cache)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_a_model_on_the_hub(hub: HubServer, folders: Path, tmp_path: Path) -> None:  # noqa: F811
    """Whose files are links in the cache."""
    name = "alice/graph"
    with asking(hub, tmp_path / "cache"):
        api = huggingface_hub.HfApi(endpoint=hub.url, token=ALICE)
        api.create_repo(name, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=folders / "gru")
        found = prepare([name], "cpu", engine="graph")
        assert (found.graph.folder / "model.safetensors").is_symlink()
        assert isinstance(found.tokenizer, SavedTokenizer)
        ours = translate_n_best(found.open(), found.tokenizer, SENTENCES)
        expected = translate_n_best(*load_translator([name], "cpu"), SENTENCES)
        assert [t.text for (t,) in ours] == [t.text for (t,) in expected]
        with pytest.raises(ValueError, match="There is no model 'alice/nothing'"):
            prepare(["alice/nothing"], "cpu")


def test_an_exported_model_brings_its_graph(folders: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = export(str(folders / "gru"), "onnx", tmp_path / "exported").folder
    found = prepare([str(folder)])
    assert found.graph is not None
    ours = translate_n_best(found.open(), found.tokenizer, SENTENCES)
    expected = translate_n_best(*load_translator([str(folder)], "cpu"), SENTENCES)
    assert [t.text for (t,) in ours] == [t.text for (t,) in expected]
    edit(folder / "config.json", attention_window=3)
    with caplog.at_level(logging.WARNING):
        assert prepare([str(folder)]).graph is None
    assert "export the model again" in caplog.text
