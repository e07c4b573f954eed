# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The command seeds, as a user runs it on the built-in grammar: stopped in its middle, and gone on with."""

import json
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file

import hf_attn_seq2seq
from hf_attn_seq2seq.evaluation.model_card import make_card
from hf_attn_seq2seq.training.evaluate import main as evaluate
from hf_attn_seq2seq.training.measure import is_measured
from hf_attn_seq2seq.training.preprocess import main as preprocess
from hf_attn_seq2seq.training.recipe import load_recipe
from hf_attn_seq2seq.training.seeds import main, read_seeds, with_seed
from hf_attn_seq2seq.training.train import main as train
from hf_attn_seq2seq.training.trainer import TranslationTrainer
from tests.card_figures import stray_figures


SMALL = [
    "name=seeds",
    "data.source_language=en",
    "data.target_language=fr",
    "data.train=[{grammar: {train_size: 60, validation_size: 8, test_size: 6, compositional_size: 4}}]",
    "tokenizer.kind=word",
    "model.hidden_size=16",
    "training.max_steps=6",
    "training.evaluate_every=3",
    "training.batch_size=8",
    "training.warmup_steps=0",
    "training.learning_rate=0.03",
    "training.metric=loss",
    "training.samples=0",
    "evaluation.metrics=[chrf, ter]",
    "evaluation.num_beams=1",
    "evaluation.max_new_tokens=8",
    "evaluation.bootstrap_samples=5",
]


class Made:
    """What two seeds left, and how many steps each call of the command took."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self.arguments = [
            *SMALL,
            f"output={output}",
            "--seeds",
            "5,2",
            "--card",
            str(output.parent / "cards" / "seeds.md"),
        ]
        self.steps: list[int] = []

    def call(self, *more: str, stop_at: int | None = None) -> None:
        """Run the command; `stop_at`: interrupted when so many steps are taken."""
        step, self.steps = TranslationTrainer.training_step, [*self.steps, 0]

        def counted(trainer: Any, *arguments: Any, **options: Any) -> torch.Tensor:
            if self.steps[-1] == stop_at:
                raise KeyboardInterrupt
            self.steps[-1] += 1
            return step(trainer, *arguments, **options)

        with mock.patch.object(TranslationTrainer, "training_step", counted):
            main([*self.arguments, *more])

    def results(self, folder: str = ".") -> dict[str, Any]:
        return json.loads((self.output / folder / "results.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    made = Made(tmp_path_factory.mktemp("seeds") / "out")
    preprocess([*SMALL, f"output={made.output}"])  # which the command uses
    prepared = (made.output / "corpus" / "report.json").stat().st_mtime_ns
    with pytest.raises(SystemExit):
        made.call(stop_at=10)  # one step after the first checkpoint of the second seed
    assert not (made.output / "results.json").exists()
    made.call()
    for place in (made.output, *made.output.glob("seed-*")):
        assert (place / "corpus" / "report.json").stat().st_mtime_ns == prepared
    return made


def test_a_stopped_run_goes_on_and_what_is_finished_is_kept(
    made: Made,
) -> None:
    assert made.steps[:2] == [10, 3]
    before = {path: path.read_bytes() for path in made.output.rglob("*") if path.is_file()}
    times = {path: path.stat().st_mtime_ns for path in made.output.glob("seed-*/*.*")}
    made.call()
    assert made.steps[2] == 0
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert {path: path.read_bytes() for path in before} == before


def test_figures_are_measured_again_where_others_are_asked_for(made: Made) -> None:
    recipe = with_seed(load_recipe(None, [*SMALL, f"output={made.output}"]), 5)
    assert is_measured(recipe)
    for section, change in (("evaluation", {"bootstrap_samples": 0}), ("card", {"purpose": "Tests."})):
        changed = getattr(recipe, section).model_copy(update=change)
        assert not is_measured(recipe.model_copy(update={section: changed}))
    assert not is_measured(recipe.model_copy(update={"notes": "Tests."}))
    for name in ("model.safetensors", "training.json"):  # of one that was trained for longer
        file = recipe.output / name
        kept = file.read_bytes()
        file.write_bytes((made.output / "seed-2" / name).read_bytes())
        assert not is_measured(recipe)
        file.write_bytes(kept)
    assert is_measured(recipe)


def test_each_seed_is_the_model_that_train_makes_of_it(made: Made, tmp_path: Path) -> None:
    weights = {}
    for seed in (5, 2):
        train([*SMALL, f"training.seed={seed}", f"output={tmp_path / str(seed)}"])
        weights[seed] = load_file(made.output / f"seed-{seed}" / "model.safetensors")
        alone = load_file(tmp_path / str(seed) / "model.safetensors")
        assert alone.keys() == weights[seed].keys()
        assert all(torch.equal(weights[seed][name], weight) for name, weight in alone.items())
    assert not any(torch.equal(weight, weights[2][name]) for name, weight in weights[5].items() if weight.dim() > 1)


def test_mean_and_spread_are_those_of_the_seeds(made: Made) -> None:
    results, each = made.results(), [made.results("seed-5"), made.results("seed-2")]
    together = results["seeds"]
    assert [run["seed"] for run in together["runs"]] == [5, 2]
    assert together["count"] == 2
    for name in ("validation", "test", "test_compositional"):
        measured = {
            **{metric: [one["sets"][name]["scores"][metric]["value"] for one in each] for metric in ("chrf", "ter")},
            "aer": [one["sets"][name]["alignment"]["aer"] for one in each],
        }
        shown = {**together["sets"][name]["scores"], "aer": together["sets"][name]["alignment"]["aer"]}
        for figure, values in measured.items():
            assert shown[figure]["mean"] == pytest.approx(np.mean(values))
            assert shown[figure]["deviation"] == pytest.approx(np.std(values, ddof=1))
            assert [shown[figure]["lowest"], shown[figure]["highest"]] == sorted(values)
    assert any(score["deviation"] for score in together["sets"]["validation"]["scores"].values())
    for run, one in zip(together["runs"], each):
        assert run["sha256"] == one["model"]["sha256"]
        assert run["command"].startswith("hf-attn-seq2seq seeds name=seeds")
        assert run["sets"] == one["sets"]


def test_the_output_is_the_model_that_is_best_on_validation(made: Made) -> None:
    losses = {
        seed: json.loads((made.output / f"seed-{seed}" / "training.json").read_text("utf-8"))["value"]
        for seed in (5, 2)
    }
    assert losses[5] != losses[2]
    best = min(losses, key=losses.__getitem__)
    results = made.results()
    assert results["seeds"]["chosen"] == results["seed"] == best
    assert {name: value for name, value in results.items() if name != "seeds"} == made.results(f"seed-{best}")
    chosen = (made.output / f"seed-{best}" / "model.safetensors").read_bytes()
    assert (made.output / "model.safetensors").read_bytes() == chosen
    model, _ = hf_attn_seq2seq.load(str(made.output))
    assert model.config.hidden_size == 16


def test_the_card_shows_all_seeds_and_tells_the_hub_of_one(made: Made) -> None:
    results = made.results()
    card = (made.output / "README.md").read_text("utf-8")
    assert card == str(make_card(results)) == (made.output.parent / "cards" / "seeds.md").read_text("utf-8")
    assert stray_figures(card, results) == []
    score = results["seeds"]["sets"]["test"]["scores"]["chrf"]
    shown = f"{score['mean']:.2f} ± {score['deviation']:.2f} ({score['lowest']:.2f} to {score['highest']:.2f})"
    assert f"| test | 6 | 6 | {shown} |" in card
    assert f"± {results['seeds']['sets']['test']['alignment']['aer']['deviation']:.1f} % (" in card
    titles = [f"seed {seed}{', this model' if seed == results['seed'] else ''}" for seed in (5, 2)]
    assert f"| set | figure | {' | '.join(titles)} |" in card
    assert "standard deviation of 2 training runs that differ in their seed" in card
    assert f"This model is the run with seed {results['seed']}, which had the best loss on validation" in card
    assert "one training run" not in card
    listed = {(one.dataset_split, one.metric_type): one for one in ModelCard(card).data.eval_results}
    for name, figures in results["sets"].items():
        for metric, measured in figures["scores"].items():
            assert listed[name, metric].metric_value == round(measured["value"], 2)
            assert listed[name, metric].metric_args["training_seed"] == results["seed"]


def failure(capsys: pytest.CaptureFixture[str], command: Any, *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        command(list(arguments))
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def test_other_runs_are_not_mixed_with_these(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in made.output.rglob("*") if path.is_file()}
    for change, told in (
        ("training.learning_rate=0.1", "seed-5' was started with different values of training.learning_rate"),
        ("data.seed=3", "started with different values of data.seed"),
        ("model.hidden_size=32", "seed-5' is of a different model: use the same hidden_size (16 there, 32 here)"),
        ("training.seed=3", "'training.seed=3' is what --seeds sets: leave it out"),
        ("other.yaml", "no recipe 'other.yaml'"),
    ):
        assert told in failure(capsys, main, *made.arguments, change)
    assert "name the folder of one, such as" in failure(capsys, evaluate, str(made.output))
    assert "already contains a model" in failure(capsys, train, *SMALL, f"output={made.output}")
    seed = made.output / "seed-5"
    assert "and not one of several seeds: name another output" in failure(capsys, main, *SMALL, f"output={seed}")
    file = tmp_path / "file"
    file.write_text("", "utf-8")
    assert "cannot be created: name another folder" in failure(capsys, main, *SMALL, f"output={file}")
    assert "is a folder: give the name of a file" in failure(capsys, main, *made.arguments, "--card", str(tmp_path))
    assert {path: path.read_bytes() for path in made.output.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("", "whole numbers from 0"),
        ("-1,0", "whole numbers from 0"),
        ("0,,1", "whole numbers from 0"),
        ("0;1", "whole numbers from 0"),
        ("1.5,2", "whole numbers from 0"),
        ("3,1,3", "has 3 twice"),
        ("7", "One seed has no spread"),
        ("0,4294967296", "below 4294967296"),
    ],
)
def test_seeds_that_are_none(given: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read_seeds(given)


def test_seeds_are_read() -> None:
    assert read_seeds("0,1, 12") == [0, 1, 12]
