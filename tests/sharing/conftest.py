# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""A tiny trained model's folder, with what training and evaluation leave in it, and the server it is pushed to."""

import json
import shutil
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerBase

from hf_attn_seq2seq.decoding.names import DEFAULT_MODEL, PACKAGED
from hf_attn_seq2seq.sharing import stage_model
from tests.decoding.conftest import make_model, tokenizer  # noqa: F401
from tests.hub_server import hub  # noqa: F401


SENTENCE = "the old dog sees a cat"
RECIPE = """name: tiny
description: Nonsense of a dozen words.
license: cc-by-2.0
output: /home/somebody/outputs/tiny
data:
  folder: /home/somebody/corpora
  source_language: en
  target_language: fr
"""
# What a run leaves beside the model, and nobody asked to share.
PRIVATE = ("training_args.bin", "trainer_state.json", "optimizer.pt", ".run.lock", "checkpoint-5/model.safetensors")


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerBase) -> Path:  # noqa: F811
    """A run's folder, whose code files are older ones and incomplete."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    make_model(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "recurrent.py").unlink()
    (folder / "attention.py").write_text("# an older version\n", "utf-8")
    (folder / "recipe.yaml").write_text(RECIPE, "utf-8")
    (folder / "alignment.json").write_text("{}", "utf-8")
    results = json.loads((PACKAGED / DEFAULT_MODEL / "results.json").read_text("utf-8"))
    results["example"] = {
        "source": SENTENCE,
        "translation": "a cat",
        "source_tokens": SENTENCE.split(),
        "target_tokens": ["a", "cat"],
        "weights": [[0.5, 0.1, 0.1, 0.1, 0.1, 0.1], [0.1, 0.5, 0.1, 0.1, 0.1, 0.1]],
    }
    (folder / "results.json").write_text(json.dumps(results), "utf-8")
    for name in PRIVATE:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"private")
    (folder / "corpus").mkdir()
    (folder / "corpus" / "train.en").write_text("private", "utf-8")
    return folder


@pytest.fixture
def copy_of_run(run_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run_folder, tmp_path / "run"))


@pytest.fixture(scope="session")
def staged(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a push of it sends to "alice/new"."""
    folder = tmp_path_factory.mktemp("staged")
    stage_model(str(run_folder), "alice/new", folder)
    return folder
