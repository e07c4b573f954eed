# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The engine of a loaded model: the graph while it is that model's, `generate()` after any change."""

import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch

from hf_attn_seq2seq import pipeline
from hf_attn_seq2seq.decoding import translate_n_best
from hf_attn_seq2seq.decoding.loaded import quick_engine
from hf_attn_seq2seq.decoding.loading import load, load_translator
from tests.decoding.conftest import SENTENCES
from tests.hub_server import ALICE, HubServer, asking, hub  # noqa: F401


@pytest.fixture
def loaded(folders: Path) -> Any:
    return load(folders / "gru", "cpu")


def test_the_graph_translates_as_the_model_does(loaded: Any) -> None:
    engine = quick_engine(loaded.model)
    assert engine.name == "graph"
    for options in ({}, {"num_beams": 3, "n_best": 2}, {"links": True}, {"repetition_penalty": 1.3}):
        ours = translate_n_best(engine, loaded.tokenizer, SENTENCES, **options)
        theirs = translate_n_best(*loaded, SENTENCES, **options)
        assert [[(t.text, t.links) for t in each] for each in ours] == [
            [(t.text, t.links) for t in each] for each in theirs
        ]
    assert engine.name == "graph"  # after a look at the model's attention too
    loaded.model.generation_config.max_new_tokens = 2
    assert translate_n_best(engine, loaded.tokenizer, SENTENCES)[0][0].text == (
        translate_n_best(*loaded, SENTENCES)[0][0].text
    )


def step(model: Any) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))


def step_past_the_record(model: Any) -> None:
    for parameter in model.parameters():
        parameter.data.neg_()


CHANGES: dict[str, Any] = {
    "a step": step,
    "a step through .data": step_past_the_record,
    "half precision": lambda model: model.bfloat16(),
    "other weights": lambda model: model.load_state_dict({k: -v for k, v in model.state_dict().items()}, assign=True),
    "a hook": lambda model: model.get_decoder().register_forward_hook(lambda *_: None),
    "another module": lambda model: setattr(model, "lm_head", torch.nn.Linear(16, model.config.vocab_size)),
    "another method": lambda model: setattr(model, "generate", lambda *a, **k: type(model).generate(model, *a, **k)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_model_is_run_itself(loaded: Any, change: str) -> None:
    engine = quick_engine(loaded.model)
    assert engine.name == engine.name_for({"num_beams": 2}) == "graph"
    assert engine.name_for({"repetition_penalty": 1.5}) == "torch"
    CHANGES[change](loaded.model)
    assert engine.name == engine.name_for({"num_beams": 2}) == "torch"
    inputs = loaded.tokenizer(SENTENCES[:4], padding=True, return_tensors="np")
    expected = loaded.model.generate(**loaded.tokenizer(SENTENCES[:4], padding=True, return_tensors="pt"))
    np.testing.assert_array_equal(engine.search(**inputs).sequences, expected)


def test_a_hook_that_only_interrupts_changes_nothing(loaded: Any) -> None:
    def watch(*_: Any) -> None:
        raise ValueError("stopped")

    engine = quick_engine(loaded.model)
    loaded.model.register_forward_pre_hook(watch)
    assert engine.name == "torch"
    watch.only_interrupts = True  # type: ignore[attr-defined]
    assert engine.name == "graph"
    assert translate_n_best(engine, loaded.tokenizer, SENTENCES[:2])
    with pytest.raises(ValueError, match="stopped"):
        translate_n_best(engine, loaded.tokenizer, SENTENCES[:2], repetition_penalty=1.5)


def test_what_a_graph_cannot_run(folders: Path, model: Any) -> None:
    names = [str(folders / "gru"), str(folders / "transformer")]
    for given, said in (
        (model, "a model that is not in a folder"),
        (load(folders / "gru", "cpu", "bfloat16").model, "the dtype 'bfloat16'"),
        (load_translator(names, "cpu").model, "the class Ensemble"),
    ):
        assert quick_engine(given).name == "torch"
        with pytest.raises(ValueError, match=f"The graph cannot run {said}"):
            quick_engine(given, "graph")


@pytest.mark.parametrize(
    "options",
    [{}, {"num_beams": 3, "num_return_sequences": 2}, {"return_alignments": True}, {"return_tensors": True}],
    ids=str,
)
def test_the_pipeline(folders: Path, options: dict[str, Any]) -> None:
    results = []
    for engine in ("graph", "torch"):
        translator = pipeline(model=folders / "gru", device="cpu", engine=engine)
        assert translator.engine.name == engine
        results.append(translator([*SENTENCES, "the old dog. a cat"], batch_size=4, **options))
    if "return_tensors" in options:
        results = [[[*map(int, one["translation_token_ids"])] for one in each] for each in results]
    assert results[0] == results[1]


def test_the_pipeline_takes_the_graph_by_itself(folders: Path, loaded: Any, tmp_path: Path) -> None:
    assert pipeline(model=str(folders / "gru"), device="cpu").engine.name == "graph"
    assert pipeline(model=loaded.model, tokenizer=loaded.tokenizer).engine is None
    with pytest.raises(ValueError, match="The graph is that of a saved model: give its folder or name"):
        pipeline(model=loaded.model, tokenizer=loaded.tokenizer, engine="graph")
    with pytest.raises(ValueError, match="The engine 'x' is unknown"):
        pipeline(model=str(folders / "gru"), engine="x")
    folder = shutil.copytree(folders / "gru", tmp_path / "copy")
    translator = pipeline(model=folder, device="cpu")
    step(translator.model)
    assert translator.engine.name == "torch"


def test_a_model_on_the_hub(hub: HubServer, folders: Path, tmp_path: Path, loaded: Any) -> None:  # noqa: F811
    """It has the graph that one in a folder has, of the revision and from the cache that it was loaded from."""
    name, cache, other = "alice/loaded", tmp_path / "cache", tmp_path / "other"
    changed = shutil.copytree(folders / "gru", tmp_path / "changed")
    step(loaded.model)
    loaded.model.save_pretrained(changed)
    with asking(hub, cache):
        api = huggingface_hub.HfApi(endpoint=hub.url, token=ALICE)
        api.create_repo(name, exist_ok=True, private=True)
        first = api.upload_folder(repo_id=name, folder_path=folders / "gru").oid
        api.upload_folder(repo_id=name, folder_path=changed)
        translations = []
        for options in ({}, {"revision": first}, {"revision": first, "cache_dir": str(other)}):
            by = {engine: pipeline(model=name, device="cpu", engine=engine, **options) for engine in ("auto", "torch")}
            assert (by["auto"].engine.name, by["torch"].engine.name) == ("graph", "torch")
            assert by["auto"](SENTENCES, num_beams=2) == by["torch"](SENTENCES, num_beams=2)
            translations.append(by["auto"](SENTENCES))
            weights = by["auto"].engine.graph.folder / "model.safetensors"
            assert weights.is_symlink()
            assert weights.is_relative_to(other if "cache_dir" in options else cache)
        assert translations[0] != translations[1] == translations[2]
    with asking(hub, other, token=None):  # from the cache alone, as when it was loaded
        assert pipeline(model=name, device="cpu", local_files_only=True, revision=first).engine.name == "graph"
