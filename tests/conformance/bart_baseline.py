# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""BART under the same mixin, as the measure of which common tests an encoder-decoder may skip.

Not collected by pytest: `conftest.py` runs single tests of `BartBaseline`, those that one of our models has skipped.
"""

from __future__ import annotations

import functools
import unittest
from typing import Any

import torch
from transformers import BartConfig, BartForConditionalGeneration, BartModel

from .harness import transformers_tests


_common = transformers_tests("test_modeling_common")
ModelTesterMixin: Any = _common.ModelTesterMixin
GenerationTesterMixin: Any = _common.GenerationTesterMixin


class _BartTester:
    """Builds a small BART and its inputs, with the attributes that the mixin reads."""

    batch_size, seq_length, vocab_size = 13, 7, 99
    hidden_size, num_hidden_layers, num_attention_heads = 16, 2, 4
    is_training = True

    def get_config(self) -> BartConfig:
        return BartConfig(
            vocab_size=self.vocab_size,
            d_model=self.hidden_size,
            encoder_layers=self.num_hidden_layers,
            decoder_layers=self.num_hidden_layers,
            encoder_attention_heads=self.num_attention_heads,
            decoder_attention_heads=self.num_attention_heads,
            encoder_ffn_dim=4,
            decoder_ffn_dim=4,
            max_position_embeddings=50,
            bos_token_id=0,
            pad_token_id=1,
            eos_token_id=2,
        )

    def prepare_config_and_inputs_for_common(self) -> tuple[BartConfig, dict[str, torch.Tensor]]:
        shape = (self.batch_size, self.seq_length)
        input_ids = torch.randint(3, self.vocab_size, shape)
        inputs = {"input_ids": input_ids, "decoder_input_ids": torch.randint(3, self.vocab_size, shape)}
        inputs |= {"attention_mask": torch.ones_like(input_ids), "decoder_attention_mask": torch.ones_like(input_ids)}
        return self.get_config(), {name: tensor.to(_common.torch_device) for name, tensor in inputs.items()}


class BartBaseline(ModelTesterMixin, GenerationTesterMixin, unittest.TestCase):
    all_model_classes = (BartModel, BartForConditionalGeneration)
    is_encoder_decoder = True

    def setUp(self) -> None:
        self.model_tester = _BartTester()


def is_model_test(test_class: type | None) -> bool:
    """Whether this test class runs the common model tests."""
    return test_class is not None and issubclass(test_class, ModelTesterMixin)


@functools.cache
def bart_skip_reason(test_name: str) -> str | None:
    """Why BART skips this test of the mixin on this machine, or None if BART runs it (or does not have it)."""
    if not hasattr(BartBaseline, test_name):
        return None
    result = unittest.TestResult()
    BartBaseline(test_name).run(result)
    return result.skipped[0][1] if result.skipped else None
