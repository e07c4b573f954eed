# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The recorder hears what runs in its context, and nothing else."""

import threading

import pytest
import torch
from torch import nn

from hf_attn_seq2seq.recorder import Recorder, active_recorder, record, recording
from tests.helpers import FAMILIES, families, tiny_model


class Names(Recorder):
    def __init__(self) -> None:
        self.heard: list[set[str]] = []

    def record(self, module: nn.Module, **values: torch.Tensor) -> None:
        self.heard.append(set(values))


def test_a_recorder_hears_its_context_alone() -> None:
    recorder = Names()
    module, number = nn.Identity(), torch.ones(1)
    record(module, before=number)
    with recording(recorder):
        record(module, within=number)
        other = threading.Thread(target=record, args=(module,), kwargs={"beside": number})
        other.start()
        other.join()
    record(module, after=number)
    assert recorder.heard == [{"within"}]


def test_an_exception_ends_recording() -> None:
    with pytest.raises(RuntimeError), recording(Names()):
        raise RuntimeError
    assert active_recorder() is None


@families
def test_recording_changes_no_result(family: str) -> None:
    model = tiny_model(scale=0.4, **FAMILIES[family])  # small enough weights that rounding is not blown up
    generator = torch.Generator().manual_seed(0)
    source, target = (torch.randint(3, 20, (2, length), generator=generator) for length in (5, 4))
    plain = model(input_ids=source, decoder_input_ids=target).logits
    recorder = Names()
    with recording(recorder):
        recorded = model(input_ids=source, decoder_input_ids=target).logits
    assert {"hidden", "logits"} in recorder.heard
    torch.testing.assert_close(recorded, plain)
