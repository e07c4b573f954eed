# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""No test may ask the network for a model, and none gains from threads: their tensors are tiny."""

import os
import tempfile


os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from tests.cases import some_cases


# What torch compiled for one instruction set crashes a run under ATEN_CPU_CAPABILITY of another: a cache for each.
compiled = f"torchinductor_{os.getuid()}_{torch.backends.cpu.get_cpu_capability().lower()}"
os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", os.path.join(tempfile.gettempdir(), compiled))

torch.set_num_threads(1)

# Graphs that tests make stay theirs.
_graphs = tempfile.TemporaryDirectory()
os.environ["HF_ATTN_SEQ2SEQ_CACHE"] = _graphs.name


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all-cases", action="store_true", help="run all cases of tests that have many")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "costly: of its cases, which take seconds each, every eighth runs, and at least two"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # Whoever names a case or a test, or looks for one, means what they name.
    asked = config.option.all_cases or config.option.keyword or any("::" in each for each in config.args)
    if not asked:
        items[:], left = some_cases(items)
        config.hook.pytest_deselected(items=left)
