# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""How attention is read: found wherever the model comes from, and the same for all that tells links."""

import io
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, PreTrainedTokenizerBase

from hf_attn_seq2seq import load, pipeline
from hf_attn_seq2seq.data.links import to_pharaoh
from hf_attn_seq2seq.data.words import split_words
from hf_attn_seq2seq.decoding import (
    Ensemble,
    Readout,
    align,
    command,
    load_readout,
    readout,
    readout_of,
    save_readout,
    translate_n_best,
)
from hf_attn_seq2seq.explain import Trace, trace
from hf_attn_seq2seq.training.align import main as align_command
from tests.decoding.conftest import SENTENCES, make_model
from tests.helpers import tiny_model
from tests.hub_server import ALICE, HubServer, asking, hub  # noqa: F401


NAME = "alice/aligner"
SAID = Readout(layer=0, head=1, shift=1, end_token="excluded", threshold=0.3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerBase) -> Path:
    """A Transformer whose `alignment.json` says anything but the default."""
    folder = tmp_path_factory.mktemp("aligner")
    model = make_model(tokenizer, "transformer", seed=24, decoder_layers=2)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    save_readout(SAID, folder)
    return folder


@pytest.fixture(scope="module")
def pushed(hub: HubServer, folder: Path) -> HubServer:  # noqa: F811
    """That folder as a private model, whose first version says nothing of alignments."""
    repo = hub.create(NAME, private=True)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    said = files.pop("alignment.json")
    hub.put(repo, files)
    repo.refs["v1"] = repo.refs["main"]
    hub.put(repo, {"alignment.json": said})
    return hub


@pytest.fixture
def nobody(pushed: HubServer, tmp_path: Path) -> Iterator[HubServer]:
    """Nobody is logged in: the model is for those who give a token."""
    with asking(pushed, tmp_path / "cache", token=None):
        yield pushed
    pushed.restore()


def links_by_hand(model, tokenizer, source: str, target: str) -> set[tuple[int, int]]:
    """Of a tokenizer whose tokens are words: what `SAID` finds in a pass over the whole target."""
    inputs = tokenizer([source], return_tensors="pt")
    labels = tokenizer(text_target=[target], return_tensors="pt")["input_ids"]
    with torch.no_grad():
        weights = model(**inputs, labels=labels, output_attentions=True).cross_attentions[0][0, 1].numpy()
    words = weights[1:, :-1]  # the row after the one that predicts; no end token on either side
    words = words / words.sum(1, keepdims=True)
    return {(int(i), int(j)) for j, i in np.argwhere(words >= 0.3)}


def test_by_hub_name_revision_and_token(nobody: HubServer, folder: Path) -> None:
    assert load_readout(NAME, token=ALICE) == load_readout(folder) == SAID
    assert load_readout(NAME, revision="v1", token=ALICE) == Readout()
    pairs = list(itertools.pairwise(SENTENCES))
    here, there, before = load(folder), load(NAME, token=ALICE), load(NAME, revision="v1", token=ALICE)
    nobody.down = True  # neither the token nor the Hub is needed again
    assert readout_of(there.model) == SAID
    assert readout_of(before.model) == Readout()
    assert align(*there, pairs) == align(*here, pairs) != align(*before, pairs)
    told = [
        pipeline(model=each.model, tokenizer=each.tokenizer)(SENTENCES[:5], return_alignments=True)
        for each in (there, here, before)
    ]
    assert told[0] == told[1] != told[2]


def test_a_pipeline_by_hub_name(nobody: HubServer, folder: Path) -> None:
    there, here = (pipeline(model=name, **options) for name, options in ((NAME, {"token": ALICE}), (str(folder), {})))
    assert there(SENTENCES[:3], return_alignments=True) == here(SENTENCES[:3], return_alignments=True)


def test_the_hub_that_does_not_answer_is_told_to_those_who_align(
    nobody: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(readout.logger, "warning", warnings.append)
    model = AutoModelForSeq2SeqLM.from_pretrained(NAME, token=ALICE)  # not by `load`, and so without the file
    for _ in range(2):
        assert readout_of(model) == Readout()
    assert len(warnings) == 1  # asked once
    assert "'alice/aligner'" in warnings[0]
    monkeypatch.setenv("HF_TOKEN", ALICE)
    assert readout_of(AutoModelForSeq2SeqLM.from_pretrained(NAME)) == SAID
    assert len(warnings) == 1
    monkeypatch.delenv("HF_TOKEN")
    for name in (NAME.replace("aligner", "nothing"), "/no/such/folder", "alice/aligner/more"):
        with pytest.raises(
            ValueError, match=rf"The alignment.json of '{name}' cannot be read: there is no such folder"
        ):
            load_readout(name)


def test_a_model_of_no_name_asks_nobody(nobody: HubServer) -> None:
    asked = len(nobody.requests)
    model = tiny_model()
    model.config._name_or_path = "outputs/model"  # a folder that is gone, and might be a name
    assert readout_of(model) == Readout()
    assert len(nobody.requests) == asked


def test_damage_is_told(folder: Path, tmp_path: Path) -> None:
    path = save_readout(SAID, tmp_path)
    assert load_readout(tmp_path) == SAID
    damaged = ("{", "[1]", '{"layers": 1}', '{"shift": -1}', '{"shift": "1"}', '{"layer": "last"}', '{"head": 0.5}')
    for text in damaged:
        path.write_text(text)
        with pytest.raises(
            ValueError, match=r"json' is not a valid read-out \(layer, head, shift, end_token, threshold\)"
        ):
            load_readout(tmp_path)


def test_one_way_to_read_everywhere(
    folder: Path,
    tokenizer: PreTrainedTokenizerBase,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    model, _ = load(folder)
    found = translate_n_best(model, tokenizer, SENTENCES, links=True, num_beams=1)
    texts = [(source, translation.text) for source, (translation,) in zip(SENTENCES, found) if translation.text]
    # A translation that was cut off has no row after its last word; all others end by the end token.
    whole = [(source, target) for source, target in texts if len(target.split()) < 10]
    assert len(whole) > 5
    by_hand = [links_by_hand(model, tokenizer, *pair) for pair in whole]
    assert sum(map(len, by_hand)) > 10
    assert by_hand != [align(model, tokenizer, [pair], readout=Readout())[0] for pair in whole]
    pairs = [(split_words(source), split_words(target)) for source, target in whole]

    linked = {source: translation.links for source, (translation,) in zip(SENTENCES, found)}
    assert [linked[source] for source, _ in whole] == by_hand
    assert align(model, tokenizer, pairs) == by_hand
    results = pipeline(model=folder, num_beams=1)([source for source, _ in whole], return_alignments=True)
    assert [set(result["alignment"]["links"]) for result in results] == by_hand
    for (source, target), links in zip(whole[:3], by_hand):
        made = trace(model, tokenizer, source)
        assert made.document["target"]["text"] == target
        made.save(tmp_path / "trace.json")
        for told in (made, Trace.load(tmp_path / "trace.json")):
            assert told.alignment().links == links
    typed = "".join(f"{source}\n" for source, _ in whole)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(typed.encode())))
    command.main([str(folder), "--alignments", "--num-beams", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" ||| ")[-1].strip() for line in lines] == [to_pharaoh(links) for links in by_hand]
    (tmp_path / "pairs.tsv").write_text("".join("\t".join(pair) + "\n" for pair in whole))
    align_command([str(folder), str(tmp_path / "pairs.tsv")])
    assert capsys.readouterr().out.splitlines() == [to_pharaoh(links) for links in by_hand]


def test_a_layer_that_is_named_goes_before_the_one_that_is_said(
    folder: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    model, _ = load(folder)
    told = [
        [translation.links for (translation,) in translate_n_best(model, tokenizer, SENTENCES, links=True, **options)]
        for options in ({}, {"attention_layer": 0}, {"attention_layer": -1})
    ]
    assert told[0] == told[1] != told[2]


def test_an_ensemble_is_read_as_its_members(
    folder: Path, tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr("hf_attn_seq2seq.decoding.ensemble.logger.warning_once", warnings.append)
    model, _ = load(folder)
    once, twice = (
        [translation.links for (translation,) in translate_n_best(each, tokenizer, SENTENCES, links=True)]
        for each in (model, Ensemble([model, model]).eval())
    )
    assert once == twice
    assert not warnings
    other = make_model(tokenizer, "gru")
    assert readout_of(Ensemble([model, other])) == Readout()
    assert len(warnings) == 1
    assert "differ" in warnings[0]
