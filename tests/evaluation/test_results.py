# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Results of a test set, the settings of an evaluation, and the model card."""

import hashlib
import json
import shlex

import pytest
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results

from hf_attn_seq2seq.evaluation import score_corpus
from hf_attn_seq2seq.evaluation.model_card import make_card, write_card
from hf_attn_seq2seq.evaluation.results import (
    as_json,
    checksums,
    command_line,
    describe_environment,
    measure_corpus,
    names_only,
    write_json,
)
from hf_attn_seq2seq.evaluation.settings import EvaluationSettings


SOURCES = ["one two", "one two three four", "one two three four five six"]
HYPOTHESES = ["un deux", "un deux trois", "un deux trois quatre cinq six"]
REFERENCES = [["un deux"], ["un deux trois quatre", "un deux trois"], ["un deux trois quatre cinq six"]]


def settings(**fields):
    return EvaluationSettings(**{"metrics": ["exact_match", "wer"], "length_buckets": [3, 5], **fields})


def test_a_corpus_is_scored_as_a_whole_by_length_and_by_each_reference():
    result = as_json(measure_corpus(SOURCES, HYPOTHESES, REFERENCES, settings(bootstrap_samples=10)))
    assert (result["sentences"], result["references"]) == (3, 4)
    assert {name: score["value"] for name, score in result["scores"].items()} == {"exact_match": 100, "wer": 0}
    # Each reference in a row of its own: the second sentence is right in one of its two rows.
    assert {name: score["value"] for name, score in result["each_reference"].items()} == {"exact_match": 75, "wer": 25}
    assert result["by_source_length"] == {
        bucket: {"sentences": 1, "scores": {"exact_match": 100, "wer": 0}} for bucket in ("1-3", "4-5", "6+")
    }


def test_what_was_not_measured_is_not_there():
    one_each = [texts[0] for texts in REFERENCES]
    result = as_json(measure_corpus(SOURCES, HYPOTHESES, one_each, settings(bootstrap_samples=0, length_buckets=[])))
    assert set(result) == {"sentences", "references", "scores"}
    assert set(result["scores"]["wer"]) == {"value", "signature"}


def test_the_language_reaches_the_metric():
    result = measure_corpus(SOURCES, HYPOTHESES, REFERENCES, settings(metrics=["bleu_tok_lc"]), "fr")
    assert (
        result.scores["bleu_tok_lc"].value
        == score_corpus(HYPOTHESES, REFERENCES, ["bleu_tok_lc"], language="fr")["bleu_tok_lc"].value
    )
    with pytest.raises(ValueError, match="needs the target's language"):
        measure_corpus(SOURCES, HYPOTHESES, REFERENCES, settings(metrics=["bleu_tok_lc"]))


def test_the_environment_names_versions_and_machine():
    environment = describe_environment()
    assert {"python", "torch", "transformers", "sacrebleu", "hf_attn_seq2seq"} <= set(environment["versions"])
    assert all(environment["versions"].values())
    assert environment["machine"]["cores"] >= 1


def test_checksums(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"abc")
    assert checksums([tmp_path / "a.txt"]) == {"a.txt": hashlib.sha256(b"abc").hexdigest()}


def test_json_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "results.json"
    write_json(path, {"é": 1})
    with pytest.raises(TypeError):
        write_json(path, {"é": object()})
    assert json.loads(path.read_text("utf-8")) == {"é": 1}


def test_folders_of_a_machine_are_left_out():
    assert names_only({"file": "/home/me/a.en", "more": ["data/b.en", "/c/d/"], "text": "and/or /a/", "count": 1}) == {
        "file": "a.en",
        "more": ["data/b.en", "d"],
        "text": "and/or /a/",
        "count": 1,
    }
    arguments = ["evaluate", "/home/me/out/model/", "data.folder=/my data/m30k", "--card=/x/card.md", "outputs/a", "/"]
    arguments += ["evaluation.alignment={gold: /a/b/gold.jsonl, reverse_model: ../c, readout: {layer: -1}}"]
    assert shlex.split(command_line(arguments)) == [
        *["evaluate", "model/", "data.folder=m30k", "--card=card.md", "outputs/a", "/"],
        "evaluation.alignment={gold: gold.jsonl, reverse_model: ../c, readout: {layer: -1}}",
    ]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"metrics": ["blue"]}, "metrics: there is no metric 'blue': did you mean 'bleu'"),
        ({"metrics": []}, "metrics"),
        ({"num_beams": 0}, "num_beams=0"),
        ({"bootstrap_samples": 1}, "give 0, or at least 2"),
        ({"length_buckets": [5, 3]}, "must increase"),
        ({"beams": 5}, "no field 'beams': did you mean 'num_beams'"),
        ({"alignment": {"symmetrisation": "grow"}}, "did you mean 'grow-diag'"),
        ({"alignment": {"readout": {"shift": -1}}}, "alignment: readout: shift=-1"),
    ],
)
def test_wrong_settings(fields, message):
    with pytest.raises(ValueError, match=message):
        EvaluationSettings(**fields)


@pytest.fixture
def results():
    chosen = settings(metrics=["bleu", "bleu_tok_lc", "chrf"], bootstrap_samples=10)
    test = as_json(measure_corpus(SOURCES, HYPOTHESES, REFERENCES, chosen, "fr"))
    test["alignment"] = {
        "sentences": 3,
        "aer": 12.34,
        "precision": 90.0,
        "recall": 85.5,
        "readout": {"layer": -1, "head": None, "shift": 1, "end_token": "excluded", "threshold": None},
    }
    return {
        "name": "counting",
        "description": "Counts in French.",
        "license": "apache-2.0",
        "date": "2026-01-01T00:00:00+00:00",
        "command": "hf-attn-seq2seq evaluate outputs/counting",
        "seed": 3,
        "languages": {"source": "en", "target": "fr"},
        "model": {"parameters": 12345, "sha256": {"model.safetensors": "0" * 64}},
        "training": {"steps": 10},
        "data": {
            "fingerprint": "f",
            "pairs": {"train": 1000, "test": 3},
            "files": [{"split": "train", "file": "train.en.gz", "sha256": "1" * 64}],
        },
        "evaluation": chosen.model_dump(mode="json"),
        "recipe": {"name": "counting", "model": {"encoder_type": "gru"}},
        "sets": {"test": test},
        "versions": {"python": "3.11.0"},
        "machine": {"system": "Linux x86_64", "cores": 2},
    }


def test_the_card_holds_the_figures_for_the_hub(results, tmp_path):
    write_json(tmp_path / "results.json", results)
    card = ModelCard.load(write_card(tmp_path))
    assert (card.data.language, card.data.license, card.data.pipeline_tag) == (
        ["en", "fr"],
        "apache-2.0",
        "translation",
    )
    name, listed = model_index_to_eval_results(yaml.safe_load(card.content.split("---")[1])["model-index"])
    assert name == "counting"
    scores = results["sets"]["test"]["scores"]
    assert {one.metric_type: one.metric_value for one in listed} == {
        metric: round(score["value"], 2) for metric, score in scores.items()
    }
    assert len({one.metric_name for one in listed}) == 3  # the two kinds of BLEU have names of their own
    assert all(one.dataset_split == "test" for one in listed)


def test_the_card_shows_what_was_measured_and_how(results):
    text = make_card(results).text
    for score in results["sets"]["test"]["scores"].values():
        assert f"{score['value']:.2f} [{score['interval'][0]:.2f}, {score['interval'][1]:.2f}]" in text
        assert score["signature"] in text
    for shown in ("12.3 %", "shift 1", "12,345 parameters", "train.en.gz", "1" * 64, "encoder_type: gru", "seed 3"):
        assert shown in text
    assert "| test | 6+ | 1 |" in text
    assert "each reference alone" in text


def test_the_card_is_silent_about_what_was_not_measured(results):
    del results["sets"]["test"]["alignment"]
    del results["sets"]["test"]["by_source_length"]
    results["training"] = {}
    results["evaluation"]["bootstrap_samples"] = 0
    text = make_card(results).text
    for absent in ("AER", "By the length", "confidence", "None", "\n\n\n"):
        assert absent not in text


def test_the_card_says_what_was_tried_and_how_the_model_was_trained(results):
    assert "What was tried" not in make_card(results).text
    results["notes"] = "Dropout 0.2 was worse."
    results["training"] = {"steps": 10, "versions": {"torch": "2.0"}, "machine": {"cores": 8, "system": "Darwin"}}
    text = make_card(results).text
    assert "### What was tried\n\nDropout 0.2 was worse.\n" in text
    assert "steps: 10.\n\nTrained with torch 2.0; on 8 cores, Darwin.\n" in text


def test_the_card_tells_apart_sets_of_different_runs(results):
    (test,) = results["sets"].values()
    results["sets"]["old"] = {**test, "date": "2025-01-01", "versions": {"python": "3.10.0"}}
    text = make_card(results).text
    assert "\n- test: python 3.11.0; on 2 cores, Linux x86_64; 2026-01-01T00:00:00+00:00; seed 3.\n" in text
    assert "\n- old: python 3.10.0; on 2 cores, Linux x86_64; 2025-01-01; seed 3." in text


@pytest.mark.parametrize(
    ("content", "message"), [(None, "evaluate the model first"), ("{", "evaluate again"), ("{}", "evaluate again")]
)
def test_no_card_without_results(content, message, tmp_path):
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        write_card(tmp_path)
    assert not (tmp_path / "README.md").exists()
