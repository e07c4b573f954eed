# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""A training that evaluates by its model's graph: everything is as by `generate()`."""

import logging
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file
from transformers import set_seed

from hf_attn_seq2seq import AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.data.examples import text_examples
from hf_attn_seq2seq.decoding.graph import GraphEngine
from hf_attn_seq2seq.decoding.trained import TrainedGraph
from hf_attn_seq2seq.graphs import writer
from hf_attn_seq2seq.training import trainer as trainer_module
from hf_attn_seq2seq.training.fit import fit
from hf_attn_seq2seq.training.settings import TrainingSettings
from hf_attn_seq2seq.training.trainer import SECONDS, TranslationTrainer
from tests.helpers import FAMILIES, tiny_config
from tests.training.test_fit import CORPUS, PAIRS, TOKENIZER, VALIDATION


class Run(NamedTuple):
    log: list[dict[str, Any]]
    translations: list[list[str]]  # of each evaluation
    searches: int  # by graphs
    writings: int
    files: list[str]
    weights: dict[str, torch.Tensor]


class Runner:
    """Trains a model, evaluating by its graph or not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, family: str, lines: int, **settings: Any) -> Run:
        folder = self.folder / str(len(list(self.folder.iterdir())))
        found: list[list[str]] = []
        counts = {"search": 0, "write": 0}
        evaluate, search, write = TranslationTrainer.evaluate, GraphEngine.search, TrainedGraph.__init__

        def evaluated(self: Any, *arguments: Any, **options: Any) -> Any:
            metrics = evaluate(self, *arguments, **options)
            found.append(self.translations)
            return metrics

        def searched(self: Any, *arguments: Any, **options: Any) -> Any:
            counts["search"] += 1
            return search(self, *arguments, **options)

        def written(self: Any, *arguments: Any) -> None:
            counts["write"] += 1
            write(self, *arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(trainer_module, "GRAPH_LINES", lines)
            patch.setattr(trainer_module, "GRAPH_LINES_OF_RUN", 3 * lines)
            patch.setattr(TranslationTrainer, "evaluate", evaluated)
            patch.setattr(GraphEngine, "search", searched)
            patch.setattr(TrainedGraph, "__init__", written)
            set_seed(1)
            model = AttnSeq2SeqForConditionalGeneration(
                tiny_config(vocab_size=len(TOKENIZER), dropout=0.1, hidden_size=32, **FAMILIES[family])
            )
            model.generation_config.max_new_tokens = 12
            model.generation_config.num_beams = 3  # for later; evaluations are greedy
            values: dict[str, Any] = {"batch_size": 8, "metric": "chrf", "samples": 2, "warmup_steps": 0}
            values["learning_rate"] = 0.01 if family == "transformer" else 0.05
            trainer = fit(
                model,
                TOKENIZER,
                text_examples(TOKENIZER, PAIRS),
                VALIDATION,
                folder,
                TrainingSettings(**{**values, "epochs": 3, **settings}),
            )
        log = [{key: value for key, value in entry.items() if key != SECONDS} for entry in trainer.state.log_history]
        log = [entry for entry in log if "train_runtime" not in entry]
        files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
        weights = load_file(folder / "model.safetensors")
        return Run(log, found, counts["search"], counts["write"], files, weights)


LINES = len(CORPUS.validation)


@pytest.fixture
def run(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """Trains by `generate()`, each run once."""
    runner = Runner(tmp_path_factory.mktemp("plain"))
    return lru_cache(None)(lambda family, **settings: runner(family, LINES + 1, **settings))


def assert_same(ours: Run, theirs: Run) -> None:
    assert ours.translations == theirs.translations
    assert ours.log == theirs.log
    assert ours.files == theirs.files
    assert all(torch.equal(ours.weights[name], weight) for name, weight in theirs.weights.items())


@pytest.mark.parametrize("settings", [{}, {"ema_decay": 0.6}, {"average_checkpoints": 2}], ids=["", "ema", "mean"])
@pytest.mark.parametrize("family", ["gru", "transformer"])
@pytest.mark.costly
def test_it_gives_the_same_translations_metrics_and_weights(
    family: str, settings: dict[str, Any], run: Runner, plain: Callable[..., Run]
) -> None:
    ours = run(family, LINES, **settings)
    theirs = plain(family, **settings)
    assert_same(ours, theirs)
    evaluations = 4 if "average_checkpoints" in settings else 3
    assert ours.searches == len(ours.translations) == evaluations
    assert (ours.writings, theirs.searches, theirs.writings) == (1, 0, 0)
    assert ours.translations[0] != ours.translations[1] != ours.translations[2]  # so that stale weights are noticed


@pytest.mark.parametrize(
    ("family", "settings"), [("gru", {"epochs": 2}), ("transformer", {"bf16": True})], ids=["short", "autocast"]
)
def test_it_is_left_where_it_does_not_pay_or_is_not_equal(family: str, settings: dict[str, Any], run: Runner) -> None:
    assert run(family, LINES, **settings).searches == 0


def test_it_is_equal_where_only_training_is_in_bfloat16(run: Runner, plain: Callable[..., Run]) -> None:
    ours, theirs = run("gru", LINES, bf16=True), plain("gru", bf16=True)
    assert_same(ours, theirs)
    assert (ours.searches, theirs.searches) == (3, 0)


@pytest.mark.parametrize("place", ["write_structure", "open", "search"])
def test_a_failure_is_told_once_and_the_training_goes_on(
    place: str,
    run: Runner,
    plain: Callable[..., Run],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    theirs = plain("gru")

    def fail(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("no memory left.\nat 0x55")

    owner = {"open": TrainedGraph, "search": GraphEngine}.get(place, writer)
    monkeypatch.setattr(owner, place, fail)
    with caplog.at_level(logging.WARNING, logger=trainer_module.__name__):
        ours = run("gru", LINES)
    assert_same(ours, theirs)
    assert [record.getMessage() for record in caplog.records if record.name == trainer_module.__name__] == [
        "The graph of this model fails (no memory left): PyTorch evaluates it, which is slower."
    ]
