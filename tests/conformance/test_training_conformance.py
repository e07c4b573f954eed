# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Transformers' training test: each pairing learns one batch by heart and generates it again.

The mixin trains on labels equal to the source, and prompts as one prompts a decoder-only model, with the first token.
An encoder-decoder is prompted with a source instead, so the model under test generates from the source it was trained
on; the mixin's thresholds for loss, gradient norm and the generated tokens stay as they are.
"""

from __future__ import annotations

import unittest
from typing import Any, ClassVar

import pytest
import torch

from hf_attn_seq2seq import AttnSeq2SeqForConditionalGeneration

from . import test_model_conformance as pairings
from .harness import transformers_tests


TrainingTesterMixin: Any = transformers_tests("test_training_mixin").TrainingTesterMixin
pytestmark = pytest.mark.costly


class PromptedBySource(AttnSeq2SeqForConditionalGeneration):
    """Takes the mixin's prompt for what it is: the beginning of the batch that was trained on."""

    trained_on: torch.Tensor | None = None

    def forward(self, input_ids: torch.Tensor | None = None, **kwargs: Any) -> Any:
        if self.training:
            self.trained_on = input_ids
        return super().forward(input_ids, **kwargs)

    def generate(self, inputs: torch.Tensor, max_new_tokens: int, **kwargs: Any) -> torch.Tensor:
        source = self.trained_on[: len(inputs)]
        assert source[:, : inputs.shape[1]].equal(inputs)
        return super().generate(source, max_new_tokens=max_new_tokens + 1, **kwargs)[:, 1:]  # without the start token


class TrainingConformanceMixin(TrainingTesterMixin):
    fields: ClassVar[dict[str, Any]]
    training_overfit_learning_rate = 5e-3

    @property
    def model_tester(self) -> pairings.AttnSeq2SeqTester:
        tester = pairings.AttnSeq2SeqTester(**{**self.fields, "hidden_size": 64, "dropout": 0.0})
        tester.causal_lm_class = PromptedBySource
        return tester


class TestBahdanau2015(TrainingConformanceMixin, unittest.TestCase):
    fields = pairings.TestAttnSeq2SeqBahdanau2015.fields


class TestLuong2015(TrainingConformanceMixin, unittest.TestCase):
    fields = pairings.TestAttnSeq2SeqLuong2015.fields


class TestLstmMultiHead(TrainingConformanceMixin, unittest.TestCase):
    fields = pairings.TestAttnSeq2SeqLstmMultiHead.fields


class TestTransformerGru(TrainingConformanceMixin, unittest.TestCase):
    fields = pairings.TestAttnSeq2SeqTransformerGru.fields


class TestTransformer(TrainingConformanceMixin, unittest.TestCase):
    fields = pairings.TestAttnSeq2SeqTransformer.fields
