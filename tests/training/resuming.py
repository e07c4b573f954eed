# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""A run of a recipe that is stopped in its middle and goes on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from safetensors.torch import load_file

from hf_attn_seq2seq.training.train import main
from hf_attn_seq2seq.training.trainer import TranslationTrainer


def assert_resumed_is_whole(
    arguments: Sequence[str], arguments_of_stopped: Sequence[str], whole: Path, stopped: Path
) -> None:
    """Train into `whole`; the same into `stopped`, interrupted after step 3 and resumed: all weights are equal."""
    main(arguments)
    step = TranslationTrainer.training_step

    def interrupted(self: Any, *arguments: Any, **options: Any) -> torch.Tensor:
        if self.state.global_step == 3:
            raise KeyboardInterrupt
        return step(self, *arguments, **options)

    with mock.patch.object(TranslationTrainer, "training_step", interrupted), pytest.raises(SystemExit):
        main(arguments_of_stopped)
    assert not (stopped / "model.safetensors").exists()
    made = (stopped / "corpus" / "report.json").stat().st_mtime_ns
    main([str(stopped), "--resume"])
    assert (stopped / "corpus" / "report.json").stat().st_mtime_ns == made
    expected, found = (load_file(folder / "model.safetensors") for folder in (whole, stopped))
    assert expected.keys() == found.keys()
    for name, weights in expected.items():
        assert torch.equal(weights, found[name]), name
