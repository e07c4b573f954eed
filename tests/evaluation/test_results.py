# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Results of a test set, and the settings of an evaluation."""

import hashlib
import json
import shlex

import pytest
from sacrebleu.metrics import CHRF

from hf_attn_seq2seq.evaluation import score_corpus
from hf_attn_seq2seq.evaluation.results import (
    as_json,
    checksums,
    command_line,
    describe_environment,
    measure_corpus,
    names_only,
    read_results,
    worst_sentences,
    write_json,
)
from hf_attn_seq2seq.evaluation.settings import EvaluationSettings


SOURCES = ["one two", "one two three four", "one two three four five six"]
HYPOTHESES = ["un deux", "un deux trois", "un deux trois quatre cinq six"]
REFERENCES = [["un deux"], ["un deux trois quatre", "un deux trois"], ["un deux trois quatre cinq six"]]


def settings(**fields):
    return EvaluationSettings(
        **{"metrics": ["exact_match", "sequence_error_rate"], "length_buckets": [3, 5], **fields}
    )


def test_a_corpus_is_scored_as_a_whole_by_length_and_by_each_reference():
    result = as_json(measure_corpus(SOURCES, HYPOTHESES, REFERENCES, settings(bootstrap_samples=10)))
    assert (result["sentences"], result["references"]) == (3, 4)
    assert {name: score["value"] for name, score in result["scores"].items()} == {
        "exact_match": 100,
        "sequence_error_rate": 0,
    }
    # Each reference in a row of its own: the second sentence is right in one of its two rows.
    assert {name: score["value"] for name, score in result["each_reference"].items()} == {
        "exact_match": 75,
        "sequence_error_rate": 25,
    }
    assert result["by_source_length"] == {
        bucket: {"sentences": 1, "scores": {"exact_match": 100, "sequence_error_rate": 0}}
        for bucket in ("1-3", "4-5", "6+")
    }


def test_what_was_not_measured_is_not_there():
    one_each = [texts[0] for texts in REFERENCES]
    result = as_json(measure_corpus(SOURCES, HYPOTHESES, one_each, settings(bootstrap_samples=0, length_buckets=[])))
    assert set(result) == {"sentences", "references", "scores"}
    assert set(result["scores"]["sequence_error_rate"]) == {"value", "signature"}


def test_the_worst_sentences_come_worst_first():
    sources = ["right", "far", "near", "far", "equally far", "empty"]
    hypotheses = ["Il dort.", "zzzz", "Il dormait.", "zzzz", "zzzz", ""]
    references = [
        ["Il dort."],
        ["Elle court."],
        ["Elle dort.", "Il dormit."],
        ["Elle court."],
        ["Elle court."],
        ["Oui."],
    ]
    worst = worst_sentences(sources, hypotheses, references)
    # Scores of 0 in their order, without the source that comes twice; what equals a reference is no mistake.
    assert [one.source for one in worst] == ["far", "equally far", "empty", "near"]
    assert [one.score for one in worst[:3]] == [0, 0, 0]
    assert worst[-1].score == pytest.approx(CHRF().sentence_score("Il dormait.", references[2]).score)
    assert (worst[-1].hypothesis, worst[-1].references) == ("Il dormait.", references[2])
    assert worst_sentences(sources, hypotheses, references, count=1) == worst[:1]


def test_the_language_reaches_the_metric():
    result = measure_corpus(SOURCES, HYPOTHESES, REFERENCES, settings(metrics=["bleu_tok_lc"]), "fr")
    assert (
        result.scores["bleu_tok_lc"].value
        == score_corpus(HYPOTHESES, REFERENCES, ["bleu_tok_lc"], target_language="fr")["bleu_tok_lc"].value
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


def test_older_results_are_read_in_todays_names(tmp_path):
    scores = {
        "wer": {"value": 25.9, "signature": "nrefs:var|unit:word|version:2.6.0"},
        "per": {"value": 6.3, "signature": "nrefs:var|unit:phone|version:2.6.0"},
    }
    old = {
        "sets": {
            "validation": {
                "scores": scores,
                "each_reference": scores,
                "by_source_length": {"1-5": {"sentences": 2, "scores": {"wer": 1.0, "per": 0.5}}},
            }
        },
        "evaluation": {"metrics": ["wer", "per"]},
        "training": {"metric": "wer", "value": 26.4},
        "recipe": {"training": {"metric": "wer"}, "evaluation": {"metrics": ["wer", "per"]}},
        "worst": {"validation": [{"source": "wer", "hypothesis": "V EH R", "references": ["W ER"], "score": 0.0}]},
    }
    write_json(tmp_path / "results.json", old)
    read = read_results(tmp_path / "results.json")
    figures = read["sets"]["validation"]
    renamed = {"sequence_error_rate": {"value": 25.9, "signature": "nrefs:var|unit:sequence|version:2.6.0"}}
    assert figures["scores"] == figures["each_reference"] == {**renamed, "per": scores["per"]}
    assert figures["by_source_length"]["1-5"]["scores"] == {"sequence_error_rate": 1.0, "per": 0.5}
    assert read["recipe"]["evaluation"] == read["evaluation"] == {"metrics": ["sequence_error_rate", "per"]}
    assert read["recipe"]["training"]["metric"] == read["training"]["metric"] == "sequence_error_rate"
    assert read["worst"] == old["worst"]  # a word of the corpus is no metric
    write_json(tmp_path / "results.json", read)
    assert read_results(tmp_path / "results.json") == read
    new = as_json(measure_corpus(SOURCES, HYPOTHESES, REFERENCES, settings(metrics=["wer"])))
    write_json(tmp_path / "results.json", {"sets": {"test": new}})
    assert list(read_results(tmp_path / "results.json")["sets"]["test"]["scores"]) == ["wer"]


@pytest.mark.parametrize("content", ["{", "[]", '{"sets": []}', "\xff"])
def test_what_holds_no_results_is_refused(content, tmp_path):
    (tmp_path / "results.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=r"results\.json' does not hold the results of an evaluation"):
        read_results(tmp_path / "results.json")


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
        ({"beams": 5}, "Unknown field 'beams': did you mean 'num_beams'"),
        ({"alignment": {"symmetrisation": "grow"}}, "did you mean 'grow-diag'"),
        ({"alignment": {"readout": {"shift": -1}}}, "alignment: readout: shift=-1"),
    ],
)
def test_wrong_settings(fields, message):
    with pytest.raises(ValueError, match=message):
        EvaluationSettings(**fields)
