# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Transformers' common model and configuration tests, run on nine kinds of encoder-decoders.

Every test of `ModelTesterMixin` runs as it is, except two that index self-attention tuples, which a recurrent stack
and a Transformer decoder with another mixer do not have. They are replaced by stricter ones for all nine kinds, and
the original runs too where it applies:

- `test_attention_outputs`: which attentions are there and which are empty, rows that sum to one, exact zeros on
  padding, no look ahead, the same weights however they are asked for.
- `test_retain_grad_hidden_states_attentions`: the output depends on the ends of both stacks that are returned, and so
  do the cross-attention weights.

The third of its kind, the check of key-value shapes during generation, belongs to a mixin that the source distribution
leaves out (see `harness.py`); `tests/test_generation.py` has its place.

A skip counts as a failure unless BART skips the same test for the same reason; `conftest.py` sees to it. Unless all
cases are asked for, each test runs on two or three of the kinds, in turn.
"""

from __future__ import annotations

import unittest
from typing import Any, ClassVar
from unittest import mock

import pytest
import torch
from transformers import PreTrainedModel
from transformers.models.auto import modeling_auto
from transformers.utils import ModelOutput

from hf_attn_seq2seq import AttnSeq2SeqConfig, AttnSeq2SeqForConditionalGeneration, AttnSeq2SeqModel

from .harness import transformers_tests


_common = transformers_tests("test_modeling_common")
ModelTesterMixin: Any = _common.ModelTesterMixin
GenerationTesterMixin: Any = _common.GenerationTesterMixin
ConfigTester: Any = transformers_tests("test_configuration_common").ConfigTester

Inputs = dict[str, torch.Tensor]
pytestmark = pytest.mark.costly


class AttnSeq2SeqTester:
    """Builds a small configuration of one pairing and its inputs, with the attributes that the mixin reads."""

    is_training = True
    batch_size, seq_length, vocab_size, hidden_size = 13, 7, 99, 16
    pad_token_id, bos_token_id, eos_token_id = 0, 1, 2

    def __init__(self, **fields: Any) -> None:
        self.fields = {"encoder_layers": 2, "decoder_layers": 2, "share_encoder_decoder_embeddings": True, **fields}
        config = self.get_config()
        self.num_hidden_layers = config.num_hidden_layers
        self.num_attention_heads = config.num_attention_heads

    def config_fields(self) -> dict[str, Any]:
        return {
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "dropout": 0.1,
            "pad_token_id": self.pad_token_id,
            "bos_token_id": self.bos_token_id,
            "eos_token_id": self.eos_token_id,
            "decoder_start_token_id": self.bos_token_id,
            **self.fields,
        }

    def get_config(self) -> AttnSeq2SeqConfig:
        return AttnSeq2SeqConfig(**self.config_fields())

    def prepare_config_and_inputs_for_common(self) -> tuple[AttnSeq2SeqConfig, Inputs]:
        """Unlike BART's inputs these hold padding, on the right, on the left and in the middle of the sources."""
        shape = (self.batch_size, self.seq_length)
        input_ids = torch.randint(3, self.vocab_size, shape)
        decoder_input_ids = torch.randint(3, self.vocab_size, shape)
        input_ids[:, -1] = self.eos_token_id
        decoder_input_ids[:, 0] = self.bos_token_id
        input_ids[0, -2:] = self.pad_token_id
        input_ids[1, :3] = self.pad_token_id
        input_ids[2, 3] = self.pad_token_id
        decoder_input_ids[0, -3:] = self.pad_token_id
        inputs = {
            **self.prepare_source(input_ids),
            "decoder_input_ids": decoder_input_ids,
            "decoder_attention_mask": decoder_input_ids.ne(self.pad_token_id).long(),
        }
        return self.get_config(), {name: tensor.to(_common.torch_device) for name, tensor in inputs.items()}

    def prepare_source(self, input_ids: torch.Tensor) -> Inputs:
        return {"input_ids": input_ids, "attention_mask": input_ids.ne(self.pad_token_id).long()}


class ListeningTester(AttnSeq2SeqTester):
    """Frames in the place of tokens, one state each: what the common tests take for granted."""

    def __init__(self, **fields: Any) -> None:
        own = {"frontend": "speech", "num_mel_bins": 6, "frontend_channels": [3], "frontend_strides": [[1, 2]]}
        super().__init__(**{**own, "share_encoder_decoder_embeddings": False, **fields})

    def prepare_source(self, input_ids: torch.Tensor) -> Inputs:
        mask = input_ids.ne(self.pad_token_id).long().sort(dim=1, descending=True).values
        return {"input_features": torch.randn(*input_ids.shape, 6), "attention_mask": mask}


class LookingTester(AttnSeq2SeqTester):
    """Columns of pixels in the place of tokens."""

    def __init__(self, **fields: Any) -> None:
        own = {"frontend": "image", "image_layout": "columns", "image_height": 6}
        convolutions = {"frontend_channels": [3], "frontend_strides": [[2, 1]]}
        super().__init__(**{**own, **convolutions, "share_encoder_decoder_embeddings": False, **fields})

    def prepare_source(self, input_ids: torch.Tensor) -> Inputs:
        mask = input_ids.ne(self.pad_token_id).long().sort(dim=1, descending=True).values
        pixels = torch.randn(self.batch_size, 3, 6, self.seq_length)
        return {"pixel_values": pixels, "pixel_mask": mask.unsqueeze(1).repeat(1, 6, 1)}


class ConformanceMixin(ModelTesterMixin, GenerationTesterMixin):
    """The common tests with two of them replaced; a subclass names the pairing in `fields`."""

    all_model_classes = (AttnSeq2SeqModel, AttnSeq2SeqForConditionalGeneration)
    is_encoder_decoder = True
    # Must not depend on the year in the configuration file's copyright line.
    test_can_init_all_missing_weights_before_2023 = True
    fields: ClassVar[dict[str, Any]]
    tester_class: ClassVar[type[AttnSeq2SeqTester]] = AttnSeq2SeqTester

    def setUp(self) -> None:
        self.model_tester = self.tester_class(**self.fields)
        # The mixin decides by class name which model takes labels: these tables list the library's own classes only.
        model_type = AttnSeq2SeqConfig.model_type
        for table, model_class in (
            (modeling_auto.MODEL_MAPPING_NAMES, AttnSeq2SeqModel),
            (modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES, AttnSeq2SeqForConditionalGeneration),
        ):
            patch = mock.patch.dict(table, {model_type: model_class.__name__})
            patch.start()
            self.addCleanup(patch.stop)

    def test_config(self) -> None:
        tester = ConfigTester(self, config_class=AttnSeq2SeqConfig, **self.model_tester.config_fields())
        tester.run_common_tests()

    def test_attention_outputs(self) -> None:
        if self._attends_itself("encoder") and self._attends_itself("decoder"):
            super().test_attention_outputs()
        for model_class in self.all_model_classes:
            with self.subTest(model_class.__name__):
                model, inputs = self._model_and_inputs(model_class)
                plain = self._run(model, inputs)
                asked = self._run(model, inputs, output_attentions=True)
                self._check_fields_added(
                    plain, asked, ("decoder_attentions", "cross_attentions", "encoder_attentions")
                )
                both = self._run(model, inputs, output_attentions=True, output_hidden_states=True)
                self._check_fields_added(asked, both, ("decoder_hidden_states", "encoder_hidden_states"))
                self._check_attentions(asked, inputs)
                self._check_no_look_ahead(model, inputs, asked.cross_attentions)
                self._check_same_however_asked(model_class, model, inputs, asked)

    def test_retain_grad_hidden_states_attentions(self) -> None:
        if self._attends_itself("encoder") and self._attends_itself("decoder"):
            super().test_retain_grad_hidden_states_attentions()
        for model_class in self.all_model_classes:
            with self.subTest(model_class.__name__):
                model, inputs = self._model_and_inputs(model_class)
                outputs = model(**inputs, output_attentions=True, output_hidden_states=True)
                result = outputs[0] if model_class is AttnSeq2SeqModel else outputs.logits
                ends = {
                    "encoder_hidden_states[0]": outputs.encoder_hidden_states[0],
                    "encoder_last_hidden_state": outputs.encoder_last_hidden_state,
                    "decoder_hidden_states[0]": outputs.decoder_hidden_states[0],
                }
                self._check_depends(result, ends)
                for layer, weights in enumerate(outputs.cross_attentions):
                    with self.subTest(layer=layer):
                        self._check_depends(weights, ends)

    def _is_transformer(self, side: str) -> bool:
        return self.fields[f"{side}_type"] == "transformer"

    def _attends_itself(self, side: str) -> bool:
        mixer = self.fields.get("decoder_mixer", "attention")
        return self._is_transformer(side) and (side == "encoder" or mixer == "attention")

    def _model_and_inputs(self, model_class: type[PreTrainedModel]) -> tuple[PreTrainedModel, Inputs]:
        torch.manual_seed(0)
        config, inputs = self.model_tester.prepare_config_and_inputs_for_common()
        model = model_class._from_config(config, attn_implementation="eager").to(_common.torch_device).eval()
        model.double()  # so that what must not change and what must can be told apart
        # Biases and the pad embedding start at zero, and then a check on padding holds for free.
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        return model, inputs

    @staticmethod
    @torch.no_grad()
    def _run(model: PreTrainedModel, inputs: Inputs, **asked: bool) -> ModelOutput:
        return model(**inputs, **asked)

    def _check_fields_added(self, before: ModelOutput, after: ModelOutput, added: tuple[str, ...]) -> None:
        self.assertEqual(set(before) & set(added), set())
        self.assertEqual(set(after), set(before) | set(added))

    def _check_attentions(self, outputs: ModelOutput, inputs: Inputs) -> None:
        tester = self.model_tester
        layers, length = tester.num_hidden_layers, tester.seq_length
        decoder_is_transformer = self._is_transformer("decoder")
        config = tester.get_config()
        for kind, count, heads in (
            ("encoder", layers if self._attends_itself("encoder") else 0, config.encoder_attention_heads),
            ("decoder", layers if self._attends_itself("decoder") else 0, config.num_attention_heads),
            ("cross", layers if decoder_is_transformer else 1, config.num_attention_heads),
        ):
            attentions = outputs[f"{kind}_attentions"]
            self.assertIsInstance(attentions, tuple)
            self.assertEqual(len(attentions), count, f"number of {kind} attentions")
            source = inputs["attention_mask"] if "attention_mask" in inputs else inputs["pixel_mask"][:, 0]
            target = inputs["decoder_attention_mask"]
            keys = (target if kind == "decoder" else source).bool()
            # A padded position may look where it likes.
            queries = (source if kind == "encoder" else target).bool()
            for weights in attentions:
                self.assertEqual(tuple(weights.shape), (tester.batch_size, heads, length, length))
                real = weights.transpose(1, 2)[queries]  # (real queries, heads, keys)
                # Transformers' own attention takes its softmax in float32.
                torch.testing.assert_close(real.sum(-1), torch.ones_like(real[..., 0]), atol=1e-6, rtol=0)
                on_padding = ~keys[:, None, None, :] & queries[:, None, :, None]
                self.assertEqual(weights.masked_select(on_padding).count_nonzero(), 0, "weight on padding")
                if kind == "decoder":
                    self.assertEqual(weights.triu(1).count_nonzero(), 0, "weight on a later position")

    def _check_no_look_ahead(
        self, model: PreTrainedModel, inputs: Inputs, attentions: tuple[torch.Tensor, ...]
    ) -> None:
        """A change of one fed token changes the cross-attention from that step on, or from the step after it."""
        step, row = 3, 1  # a row of the batch without padding on the target side
        changed_ids = inputs["decoder_input_ids"].clone()
        changed_ids[row, step] = (changed_ids[row, step] + 1) % self.model_tester.vocab_size
        changed = self._run(model, {**inputs, "decoder_input_ids": changed_ids}, output_attentions=True)
        asks_before_reading = not self._is_transformer("decoder") and model.config.attention_query == "previous"
        first = step + 1 if asks_before_reading else step
        expected = [position >= first for position in range(self.model_tester.seq_length)]
        for before, after in zip(attentions, changed.cross_attentions, strict=True):
            difference = (after[row] - before[row]).abs().amax(dim=(0, 2))  # (tgt_len,)
            self.assertEqual((difference > 1e-10).tolist(), expected, "steps whose attention changed")

    def _check_same_however_asked(
        self, model_class: type[PreTrainedModel], model: PreTrainedModel, inputs: Inputs, asked: ModelOutput
    ) -> None:
        """By argument, through the configuration, or of a model that runs on SDPA."""
        config, _ = self.model_tester.prepare_config_and_inputs_for_common()
        config._attn_implementation = "eager"
        config.output_attentions = True
        through_config = model_class(config).to(_common.torch_device).double().eval()
        through_config.load_state_dict(model.state_dict())
        others = {"the configuration": self._run(through_config, inputs)}
        model.set_attn_implementation("sdpa")
        others["a model on SDPA"] = self._run(model, inputs, output_attentions=True)
        for name, other in others.items():
            for kind in ("encoder_attentions", "decoder_attentions", "cross_attentions"):
                self.assertEqual(len(other[kind]), len(asked[kind]), f"{kind} by {name}")
                for layer, weights in enumerate(other[kind]):
                    with self.subTest(asked_by=name, kind=kind, layer=layer):
                        torch.testing.assert_close(weights, asked[kind][layer])

    def _check_depends(self, result: torch.Tensor, on: dict[str, torch.Tensor]) -> None:
        """Each of the tensors has a gradient from a random mixture of the result's entries."""
        mixture = (result * torch.randn_like(result)).sum()
        gradients = torch.autograd.grad(mixture, list(on.values()), retain_graph=True, allow_unused=True)
        for name, gradient in zip(on, gradients, strict=True):
            self.assertIsNotNone(gradient, f"{name} is not part of the computation")
            self.assertTrue(gradient.isfinite().all() and gradient.count_nonzero() > 0, f"gradient of {name}")


class TestAttnSeq2SeqBahdanau2015(ConformanceMixin, unittest.TestCase):
    """Bahdanau et al. 2015: one bidirectional GRU layer, a GRU decoder, additive attention from the state before."""

    fields: ClassVar[dict[str, Any]] = {
        "encoder_type": "gru",
        "decoder_type": "gru",
        "encoder_layers": 1,
        "decoder_layers": 1,
        "bidirectional": True,
        "attention_type": "additive",
        "attention_query": "previous",
        "readout": "maxout",
    }


class TestAttnSeq2SeqLuong2015(ConformanceMixin, unittest.TestCase):
    """Luong et al. 2015: stacked LSTMs, general attention from the state after; two embedding tables."""

    fields: ClassVar[dict[str, Any]] = {
        "encoder_type": "lstm",
        "decoder_type": "lstm",
        "bidirectional": False,
        "attention_type": "general",
        "attention_query": "current",
        "bridge": "last",
        "share_encoder_decoder_embeddings": False,
    }

    def test_inputs_embeds_matches_input_ids(self) -> None:
        """The original embeds the target with the source's table."""
        model, inputs = self._model_and_inputs(AttnSeq2SeqModel)
        by_ids = self._run(model, inputs)
        inputs["inputs_embeds"] = model.get_input_embeddings()(inputs.pop("input_ids"))
        inputs["decoder_inputs_embeds"] = model.decoder.get_input_embeddings()(inputs.pop("decoder_input_ids"))
        by_embeddings = self._run(model, inputs)
        torch.testing.assert_close(by_embeddings.last_hidden_state, by_ids.last_hidden_state)


class TestAttnSeq2SeqLstmMultiHead(ConformanceMixin, unittest.TestCase):
    """LSTMs with multi-head attention, whose result is fed to the next step's input."""

    fields: ClassVar[dict[str, Any]] = {
        "encoder_type": "lstm",
        "decoder_type": "lstm",
        "attention_type": "multi_head",
        "input_feeding": True,
    }


class TestAttnSeq2SeqTransformerGru(ConformanceMixin, unittest.TestCase):
    """A Transformer encoder under a recurrent decoder."""

    fields: ClassVar[dict[str, Any]] = {
        "encoder_type": "transformer",
        "decoder_type": "gru",
        "norm_position": "pre",
        "position_type": "rotary",
        "attention_type": "additive",
    }


class TestAttnSeq2SeqScanCells(ConformanceMixin, unittest.TestCase):
    """Kim et al. 2019 and Feng et al. 2024: cells that run over all steps at once."""

    fields: ClassVar[dict[str, Any]] = {
        "encoder_type": "min_lstm",
        "decoder_type": "ssru",
        "attention_type": "additive",
        "attention_query": "current",
    }


class TestAttnSeq2SeqTransformer(ConformanceMixin, unittest.TestCase):
    """Vaswani et al. 2017: Transformer stacks on both sides."""

    fields: ClassVar[dict[str, Any]] = {
        "encoder_type": "transformer",
        "decoder_type": "transformer",
        "attention_type": "multi_head",
    }


class TestAttnSeq2SeqTransformerSSRU(ConformanceMixin, unittest.TestCase):
    """Kim et al. 2019: a Transformer encoder, and SSRUs in the place of the decoder's self-attention."""

    fields: ClassVar[dict[str, Any]] = {
        "encoder_type": "transformer",
        "decoder_type": "transformer",
        "attention_type": "multi_head",
        "decoder_mixer": "ssru",
    }


class WithoutTokensMixin(ConformanceMixin):
    """Where the source has no tokens, the common tests of its embeddings are of the target's, or of a refusal."""

    def test_inputs_embeds(self) -> None:
        config, inputs = self.model_tester.prepare_config_and_inputs_for_common()
        for model_class in self.all_model_classes:
            given = {**inputs, "inputs_embeds": torch.zeros(self.model_tester.batch_size, 3, config.embedding_size)}
            with self.subTest(model_class.__name__), self.assertRaisesRegex(ValueError, "not inputs_embeds"):
                model_class(config)(**given)

    test_inputs_embeds_matches_input_ids = test_inputs_embeds

    def test_resize_tokens_embeddings(self) -> None:
        for model_class in self.all_model_classes:
            with self.subTest(model_class.__name__):
                config, inputs = self.model_tester.prepare_config_and_inputs_for_common()
                model = model_class(config).to(_common.torch_device).eval()
                model.resize_token_embeddings(config.vocab_size + 10)
                self.assertEqual(model.config.vocab_size, self.model_tester.vocab_size + 10)
                inputs["decoder_input_ids"][:, -2] = self.model_tester.vocab_size + 9
                wide = model(**inputs)
                model.resize_token_embeddings(self.model_tester.vocab_size)
                inputs["decoder_input_ids"].clamp_(max=self.model_tester.vocab_size - 1)
                self.assertEqual(model.get_decoder().embed_tokens.num_embeddings, self.model_tester.vocab_size)
                if model_class is AttnSeq2SeqForConditionalGeneration:
                    self.assertEqual(wide.logits.shape[-1], self.model_tester.vocab_size + 10)
                    self.assertEqual(model(**inputs).logits.shape[-1], self.model_tester.vocab_size)

    test_resize_embeddings_untied = test_resize_tokens_embeddings


class TestAttnSeq2SeqListen(WithoutTokensMixin, unittest.TestCase):
    """Speech through a convolution, with location-aware attention (Chorowski et al. 2015)."""

    tester_class = ListeningTester
    fields: ClassVar[dict[str, Any]] = {
        "encoder_type": "lstm",
        "decoder_type": "gru",
        "attention_type": "location_aware",
    }


class TestAttnSeq2SeqLook(WithoutTokensMixin, unittest.TestCase):
    """Pictures read in columns, by Transformer stacks."""

    tester_class = LookingTester
    fields: ClassVar[dict[str, Any]] = {
        "encoder_type": "transformer",
        "decoder_type": "transformer",
        "attention_type": "multi_head",
    }
