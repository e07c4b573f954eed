# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Summaries: a small twin of the recipe learns to copy names that it has never seen, on a set that the test makes."""

import json
from pathlib import Path

import numpy as np
import pytest

from hf_attn_seq2seq.data.prepare import PreparedCorpus
from hf_attn_seq2seq.decoding.loading import load
from hf_attn_seq2seq.explain import trace
from hf_attn_seq2seq.training.evaluate import main as evaluate
from hf_attn_seq2seq.training.train import main
from tests.training.resuming import assert_resumed_is_whole


RECIPE = Path(__file__).parents[2] / "training" / "recipes" / "debian_summaries.yaml"
SMALL = [
    "model.hidden_size=48",
    "model.dropout=0",
    "training.batch_tokens=null",
    "training.batch_size=32",
    "training.learning_rate=1e-2",
    "training.warmup_steps=20",
    "training.ema_decay=0.9",
    "training.label_smoothing=0",
    "training.samples=1",
    "training.max_steps=240",
    "training.evaluate_every=120",
    "evaluation.num_beams=3",
    "evaluation.max_new_tokens=16",
    "evaluation.bootstrap_samples=0",
]
# A name is unknown to a vocabulary of words, and many pieces in one of subwords.
VOCABULARIES = {
    "words": ["tokenizer.kind=word", "tokenizer.min_frequency=8", "model.pointer_slots=4"],
    "subwords": ["tokenizer.kind=char", "tokenizer.byte_fallback=false"],
}
KINDS = ("editor", "parser", "game", "server", "viewer")
FRAMES = (
    "this package contains {name} , a {kind} for people at home",
    "{name} is a small {kind} that reads files of {other}",
    "with {other} or without it , {name} serves as a {kind}",
)


def write_set(folder: Path) -> None:
    random = np.random.default_rng(0)

    def name() -> str:
        return "".join(random.choice(list("bdfgklmnprst")) + random.choice(list("aeiou")) for _ in range(3))

    for split, size in (("train", 480), ("dev", 24), ("test", 24)):
        rows = []
        for _ in range(size):
            values = {"name": name(), "other": name(), "kind": str(random.choice(KINDS))}
            rows.append(str(random.choice(FRAMES)).format(**values) + "\t{kind} {name}\n".format(**values))
        (folder / f"{split}.tsv").write_text("".join(rows), "utf-8")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("summaries")
    write_set(folder)
    return folder


def command(corpus: Path, output: Path, *fields: str) -> list[str]:
    """What the command `train` is given."""
    files = ["data.train.file=train.tsv", "data.validation.file=dev.tsv", "data.tests.test.file=test.tsv"]
    return [str(RECIPE), f"data.folder={corpus}", *files, *SMALL, *fields, f"output={output}"]


def test_a_resumed_run_ends_as_an_uninterrupted_one(corpus: Path, tmp_path: Path) -> None:
    short = ("training.max_steps=6", "training.evaluate_every=2", "data.limit=64", "model.coverage_loss_weight=1")
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    fields = (*VOCABULARIES["words"], "model.attention_type=coverage", *short)
    assert_resumed_is_whole(*(command(corpus, output, *fields) for output in (whole, stopped)), whole, stopped)


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_a_twin_learns_to_copy_names_it_has_never_seen(vocabulary: str, corpus: Path, tmp_path: Path) -> None:
    output = tmp_path / "model"
    main(command(corpus, output, *VOCABULARIES[vocabulary]))
    evaluate([str(output)])
    results = json.loads((output / "results.json").read_text("utf-8"))
    scores = {name: each["value"] for name, each in results["sets"]["test"]["scores"].items()}
    assert scores["rouge1"] > 80, scores  # the kind alone is 50
    assert scores["exact_match"] > 60, scores

    model, tokenizer = load(output)
    source = PreparedCorpus.load(output / "corpus").tests["test"]["source"][0]
    found = trace(model, tokenizer, source)
    assert found.verify().passed
    chosen = [step["choice"]["pointer"] for step in found.document["steps"]]
    assert max(step["copied"] for step in chosen) > 0.5
