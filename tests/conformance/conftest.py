# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Turns a skip into a failure, unless BART skips the same common test on this machine for the same reason."""

from __future__ import annotations

import re
from collections.abc import Generator

import pytest


_MARKERS = (
    "accelerate_tests",
    "flash_attn_test",
    "flash_attn_3_test",
    "flash_attn_4_test",
    "slow",
    "torch_compile_test",
)


def pytest_configure(config: pytest.Config) -> None:
    for marker in _MARKERS:
        config.addinivalue_line("markers", f"{marker}: set by Transformers' own tests")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple):
        complaint = unjustified_skip(item, report.longrepr[2])
        if complaint is not None:
            report.outcome, report.longrepr = "failed", complaint
    return report


def unjustified_skip(item: pytest.Item, reason: str) -> str | None:
    """What is wrong with this skip, in a sentence, or None where BART skips the test for the same reason."""
    from .bart_baseline import bart_skip_reason, is_model_test  # not at the top: it fetches Transformers' tests

    if not is_model_test(getattr(item, "cls", None)):
        return None
    reason = reason.removeprefix("Skipped: ")
    bart_reason = bart_skip_reason(item.originalname if isinstance(item, pytest.Function) else item.name)
    if bart_reason is None:
        return f"{item.name} was skipped ({reason}), but BART does not skip it: make the model pass."
    if _without_class_names(reason) != _without_class_names(bart_reason):
        return f"{item.name} was skipped because '{reason}', but BART skips it because '{bart_reason}'."
    return None


def _without_class_names(reason: str) -> str:
    return re.sub(r"[\w.]*(?:Bart|AttnSeq2Seq)\w*", "MODEL", reason)
