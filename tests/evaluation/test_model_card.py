# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The model card: what it shows of `results.json`, and that it shows nothing else."""

import copy

import pytest
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results

from hf_attn_seq2seq.evaluation import model_card
from hf_attn_seq2seq.evaluation.model_card import ScoreRow, make_card, signatures, write_card
from hf_attn_seq2seq.evaluation.results import as_json, measure_corpus, write_json
from hf_attn_seq2seq.evaluation.seeds import combine_seeds
from hf_attn_seq2seq.evaluation.settings import CardSettings, EvaluationSettings
from tests.card_figures import stray_figures


SOURCES = ["one two", "one two three four", "one two three four five six"]
HYPOTHESES = ["un deux", "un deux trois", "un deux trois quatre cinq six"]
REFERENCES = [["un deux"], ["un deux trois quatre", "un deux trois"], ["un deux trois quatre cinq six"]]


@pytest.fixture
def results():
    chosen = EvaluationSettings(
        metrics=["bleu", "bleu_tok_lc", "chrf"], length_buckets=[3, 5], bootstrap_samples=10, num_beams=4
    )
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
        **{metric: round(score["value"], 2) for metric, score in scores.items()},
        "aer": 12.34,
    }
    assert len({one.metric_name for one in listed}) == 4  # the two kinds of BLEU have names of their own
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


def test_ways_to_compute_a_metric_name_the_rows_that_they_are_of():
    characters = {"chrf": {"signature": "nc:6"}}
    first = ScoreRow("valid", 2, 3, {"bleu": {"signature": "nrefs:var|tok:13a"}, **characters})
    alone = ScoreRow("valid, each", 3, 3, {"bleu": {"signature": "nrefs:1|tok:13a"}, **characters})
    rows = [first, first._replace(title="test"), alone]
    assert signatures(rows) == [
        "BLEU 13a (valid; test): nrefs:var|tok:13a",
        "BLEU 13a (valid, each): nrefs:1|tok:13a",
        "chrF: nc:6",
    ]
    assert signatures(rows[:2]) == ["BLEU 13a: nrefs:var|tok:13a", "chrF: nc:6"]


def test_the_card_names_the_tokens_of_bleu(results):
    chosen = EvaluationSettings(metrics=["bleu"], bootstrap_samples=0)
    chinese = as_json(measure_corpus(["I like apples."], ["我喜欢苹果。"], ["我喜欢吃苹果。"], chosen, "zh"))
    card = make_card({**results, "sets": {"test": chinese}})
    assert "| set | sentences | references | BLEU zh |" in card.text
    assert [one.metric_name for one in card.data.eval_results] == ["BLEU zh"]
    assert "BLEU 13a" not in card.content


def test_a_card_of_older_figures_calls_them_what_they_are_called_now(results):
    score = {"value": 25.0, "signature": "nrefs:1|unit:word|version:2.6.0"}
    chosen = {**results["evaluation"], "metrics": ["wer"]}
    old = {
        **results,
        "evaluation": chosen,
        "sets": {"test": {"sentences": 4, "references": 4, "scores": {"wer": score}}},
    }
    card = make_card(old)
    assert "| sequence error rate ↓ |" in card.text
    assert "sequence error rate: nrefs:1|unit:sequence|version:2.6.0" in card.text
    assert card.data.metrics is None  # the Hub's `wer` is the word error rate
    assert old["sets"]["test"]["scores"] == {"wer": score}  # what was given is left as it is


def test_the_card_is_silent_about_what_was_not_measured(results):
    del results["sets"]["test"]["alignment"]
    del results["sets"]["test"]["by_source_length"]
    results["training"] = {}
    results["evaluation"]["bootstrap_samples"] = 0
    text = make_card(results).text
    for absent in ("AER", "By source length", "confidence", "None", "\n\n\n"):
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


# What an evaluation adds to the figures of the sets. Older files lack it, as the fixture does.
FURTHER = {
    "card": CardSettings(
        purpose="Counting to six.", limits="Seven and more.", credit="Numbers by nobody, CC0."
    ).model_dump(),
    "datasets": ["someone/numbers"],
    "speed": {
        "sets": ["test"],
        "sentences": 1234,
        "seconds": 56.78,
        "cpu_seconds": 43.21,
        "sentences_per_cpu_second": 28.5582,
        "sentences_per_second": 21.7329,
        "target_tokens_per_second": 98.7654,
        "num_beams": 4,
        "batch_size": 64,
        "threads": 1,
        "device": "cpu",
    },
    "worst": {
        "test": [
            {"source": "a | b", "hypothesis": "*x* <b>&amp;", "references": ["y\nz", "w"], "score": 7.654},
            {"source": "c", "hypothesis": "", "references": ["v"], "score": 8.9},
        ]
    },
    "example": {
        "set": "test",
        "source": 'one "two"',
        "translation": "un deux",
        "source_tokens": ["one", "two", "</s>"],
        "target_tokens": ["un", "deuxième", "</s>"],
        "weights": [[0.9, 0.1, 0.0], [0.25, 0.75, 0.0], [0.004, 0.0, 0.996]],
    },
    "translations": [{"source": "three", "translation": "trois"}],
    "comparison": {
        "name": "first",
        "sets": {
            "test": {
                "samples": 200,
                "metrics": {
                    "chrf": {
                        "baseline": 50.25,
                        "system": 53.75,
                        "difference": 3.5,
                        "interval": [1.25, 5.75],
                        "p_value": 0.004975,
                        "signature": "nrefs:1|case:mixed",
                    }
                },
                "better": [
                    {"source": "s|", "baseline": "b", "system": "o", "references": ["r", "t"], "score": 12.34},
                ],
                "worse": [],
            }
        },
    },
}


@pytest.fixture
def full_results(results):
    return {**results, **FURTHER}


def test_every_figure_of_a_card_is_in_the_results(full_results):
    full_results["training"] = {"steps": 1875, "seconds": 117.4567, "value": 99.6}
    full_results["recipe"]["training"] = {"learning_rate": 0.002, "epochs": 3.0}
    full_results["gold_alignment"] = {**full_results["sets"]["test"]["alignment"], "file": "gold.jsonl", "aer": 45.678}
    assert (
        stray_figures(str(make_card(full_results, repo_id="me/counting-2")), {**full_results, "id": "me/counting-2"})
        == []
    )
    assert stray_figures(str(make_card(full_results)), {**full_results, "speed": {}}) != []


@pytest.mark.parametrize("typed", ["41.9", "41", "1,000,000", ".37"])
def test_a_figure_typed_into_the_template_is_found(typed, full_results, tmp_path, monkeypatch):
    template = tmp_path / "model_card.md"
    text = model_card.TEMPLATE.read_text("utf-8")
    template.write_text(text.replace("## Results", f"## Results\n\nIt reaches {typed} BLEU."), "utf-8")
    monkeypatch.setattr(model_card, "TEMPLATE", template)
    assert stray_figures(str(make_card(full_results)), full_results) == [typed]


def test_the_hub_is_told_of_data_metrics_and_alignment(full_results):
    metadata = yaml.safe_load(str(make_card(full_results)).split("---\n")[1])
    assert metadata["datasets"] == ["someone/numbers"]
    assert metadata["metrics"] == ["bleu", "chrf"]  # tok-lc has no page there
    _, listed = model_index_to_eval_results(metadata["model-index"])
    figures = {one.metric_type: one for one in listed}
    assert figures["aer"].metric_value == 12.34
    assert figures["aer"].metric_args["readout"].startswith("layer -1")
    assert all(one.metric_args["training_seed"] == 3 for one in listed)


def test_the_card_tells_what_the_recipe_says(full_results):
    text = make_card(full_results).text
    assert "## What it is for\n\nCounting to six.\n" in text
    assert "What it is not for:\n\n- Seven and more.\n- It was trained on 1,000 pairs" in text
    assert "## Data\n\nNumbers by nobody, CC0.\n" in text
    assert "| three | trois |" in text


def test_the_worst_sentences_stand_as_they_are(full_results):
    text = make_card(full_results).text
    assert r"| a \| b | \*x\* \<b\>\&amp; | y z / w | 7.7 |" in text
    assert "| c |  | v | 8.9 |" in text
    full_results["worst"] = {"test": []}
    assert "Every translation of test is equal to a reference." in make_card(full_results).text


def test_another_model_is_beside_this_one(full_results):
    text = make_card(full_results).text
    assert "## Beside first\n" in text
    assert "(paired bootstrap, 200 samples)" in text
    assert "| chrF | +3.50 | [+1.25, +5.75] | 0.0050 | 50.25 | 53.75 |" in text
    assert r"| s\| | b | o | r / t | +12.3 |" in text
    assert "Where this model is better" in text
    assert "Where it is worse" not in text
    del full_results["comparison"]
    assert "Beside" not in make_card(full_results).text


def test_the_attention_is_drawn_to_be_read(full_results):
    drawn = make_card(full_results).text.split("```text\n")[1].split("\n```")[0]
    assert drawn.splitlines() == [
        "          one  two </s>",
        "      un [.90] .10   ·",
        "deuxième  .25 [.75]  ·",
        "    </s>   ·    ·  [1.0]",
    ]
    full_results["example"]["source_tokens"] = ["a"] * 30
    full_results["example"]["weights"] = [[1 / 30] * 30] * 3
    assert "```text" not in make_card(full_results).text


def test_the_speed_is_told_with_its_machine(full_results):
    text = make_card(full_results).text
    assert "| 21.7 | 28.6 | 98.8 | 4 | 64 | cpu | 1 |" in text
    assert (
        "Measured once on 2 cores, Linux x86_64, while 1,234 sentences were translated (test): 56.8 s, with 43.2 s of "
        "processor time." in text
    )


def test_names_in_the_repository(full_results, tmp_path):
    write_json(tmp_path / "results.json", full_results)
    path = write_card(tmp_path, repo_id="me/counting", picture="alignment.png", page="explanation.html")
    text = path.read_text("utf-8")
    assert text.count('"me/counting"') == 3
    assert '"."' not in text
    assert "](alignment.png)" in text
    assert "[explanation.html](explanation.html)" in text
    assert text.count(r'"one \"two\""') == 2  # the example's source, as Python reads it
    plain = str(make_card(full_results))
    assert "alignment.png" not in plain
    assert plain.count('"."') == 4


def test_a_licence_may_forbid_to_quote(results):
    said = CardSettings(quote=False, sentences=["three"]).model_dump()
    text = make_card({**results, "card": said}).text
    assert "Its licence does not allow this card to show sentences." in text
    assert "Where it goes wrong" not in text
    assert 'translator("three"' in text
    assert "does not allow" not in make_card(results).text


OF_FILES = {
    "audio": {
        "seconds": {"least": 0.625, "median": 2.5, "most": 6.375},
        "hours": 0.75,
        "groups": 7,
    },
    "image": {
        "width": {"least": 33, "median": 400.5, "most": 1066},
        "height": {"least": 48, "median": 48, "most": 48},
        "groups": 7,
    },
}


@pytest.mark.parametrize("kind", OF_FILES)
def test_the_card_of_a_model_that_hears_or_sees(kind, full_results):
    del full_results["example"], full_results["translations"], full_results["sets"]["test"]["alignment"]
    full_results["source_kind"] = kind
    full_results["evaluation"]["ctc_weight"] = 0.25
    full_results["data"]["sources"] = {"train": OF_FILES[kind], "test": {**OF_FILES[kind], "groups": 2}}
    full_results["data"]["shared"] = {"test in train": {"target": 5, "group": 1}}
    if kind == "audio":
        full_results["speed"]["sound_seconds_per_second"] = 77.125
    card = make_card(full_results)
    assert stray_figures(str(card), full_results) == []
    text = card.text
    assert "translat" not in text
    assert "| rows of | source | target | pair | group |" in text
    assert "| test in train | 0 | 5 | 0 | 1 |" in text
    assert "num_beams=4, max_new_tokens=128, ctc_weight=0.25" in text
    assert "CTC's share of each score is 0.25." in text
    if kind == "audio":
        assert card.data.pipeline_tag == "automatic-speech-recognition"
        assert "| train | 1,000 | 7 | 0.75 hours; 0.625 to 6.375 s |" in text
        assert "seconds of sound / s" in text
        assert "77.1" in text
    else:
        assert card.data.pipeline_tag == "image-to-text"
        assert "| test | 3 | 2 | 33 to 1066 pixels wide, 48 to 48 high |" in text


def test_the_card_of_a_model_that_sums_up(full_results):
    full_results["languages"] = {"source": "en", "target": "en"}
    for entry in full_results["sets"].values():
        entry["scores"] = {"rouge1": {"value": 41.0, "signature": "nrefs:1|unit:word-f"}}
        entry.pop("by_source_length", None)
        entry.pop("each_reference", None)
    card = make_card(full_results)
    metadata = yaml.safe_load(card.content.split("---")[1])
    assert metadata["pipeline_tag"] == "summarization"
    assert 'summarizer = hf_attn_seq2seq.pipeline("summarization", model="' in card.content
    assert '[0]["summary_text"])' in card.content
    assert "a wrong summary causes harm" in card.content
    assert "texts were summed up" in card.content
    assert '"translation"' not in card.content


def of_seed(results, seed, chrf, aer):
    """A run with another seed, chrF and word alignment."""
    run = copy.deepcopy({**results, "seed": seed})
    run["training"] = {"steps": 10, "seconds": 61.5, "metric": "chrf", "value": chrf - 1}
    run["sets"]["test"]["scores"]["chrf"]["value"] = chrf
    run["sets"]["test"]["each_reference"]["chrf"]["value"] = chrf + 2
    run["gold_alignment"] = {**run["sets"]["test"]["alignment"], "file": "gold.jsonl", "aer": aer}
    return run


def test_the_card_of_several_seeds(full_results):
    runs = [of_seed(full_results, *figures) for figures in ((4, 40.0, 20.0), (0, 43.0, 26.0), (7, 41.5, 21.5))]
    results = combine_seeds(runs, 1)
    assert results["seed"] == results["seeds"]["chosen"] == 0
    card = make_card(results)
    assert stray_figures(str(card), results) == []
    text = card.text
    assert " | 41.50 ± 1.50 (40.00 to 43.00) |" in text  # deviation: the square root of (1.5² + 1.5² + 0²) / 2
    assert " | 43.50 ± 1.50 (42.00 to 45.00) |" in text  # against each reference alone
    assert "| set | figure | seed 4 | seed 0, this model | seed 7 |" in text
    assert "| validation in training | chrF | 39.00 | 42.00 | 40.50 |" in text
    assert "| gold.jsonl | AER ↓ | 20.0 % | 26.0 % | 21.5 % |" in text
    assert "| gold.jsonl | 3 | 22.5 ± 3.1 % (20.0 to 26.0 %) | 90.0 ± 0.0 % (90.0 to 90.0 %) |" in text
    listed = [one.metric_value for one in card.data.eval_results if one.metric_type in ("chrf", "aer")]
    assert listed == [43.0, 12.34, 26.0]


def test_seeds_that_were_measured_in_different_ways_have_no_mean(full_results):
    runs = [of_seed(full_results, seed, 40.0, 20.0) for seed in (0, 1)]
    runs[1]["sets"]["test"]["scores"]["bleu"]["signature"] += "|version:0"
    with pytest.raises(ValueError, match=r"seed 0 and seed 1 were not measured in the same way \(bleu of test\)"):
        combine_seeds(runs, 0)
    runs[1] = of_seed(full_results, 1, 40.0, 20.0)
    runs[1]["gold_alignment"]["sha256"] = "2" * 64
    with pytest.raises(ValueError, match=r"\(word alignment of gold.jsonl\)"):
        combine_seeds(runs, 0)


def test_the_card_says_what_training_started_from(results):
    results["training"]["start_from"] = {
        "name": "user/model",
        "commit": "abc123",
        "sha256": {"w.safetensors": "2" * 64},
    }
    results["description"] = ""
    card = make_card(results)
    assert card.data.base_model == "user/model"
    told = f"from the weights of `user/model` at commit `abc123` (`w.safetensors` has the SHA-256 `{'2' * 64}`)"
    assert told in card.content
    assert "trained from scratch" not in card.content
    assert "1,000 pairs after those of `user/model`, and nothing else" in card.content
    del results["training"]["start_from"]["commit"]  # a folder, which the Hub does not know
    assert make_card(results).data.base_model is None
