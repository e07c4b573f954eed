# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Models as graphs: torch.export and ONNX, through Transformers' exporters and through torch's own.

A recurrent model's graph by torch.export is fixed to the traced lengths (its loops are unrolled), but takes any batch
size; a Transformer's takes any length too. torch.onnx's older exporter keeps a recurrent encoder's length open.
"""

import copy
import io
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
from torch import nn
from transformers import GenerationConfig, PreTrainedModel
from transformers.exporters.base import ExportedModel
from transformers.exporters.exporter_dynamo import DynamoConfig, DynamoExporter
from transformers.exporters.exporter_onnx import OnnxConfig, OnnxExporter
from transformers.exporters.utils import decompose_for_generation, get_leaf_tensors

from hf_attn_seq2seq import AttnSeq2SeqForConditionalGeneration
from tests.helpers import FAMILIES, START, families, padded_batch, tiny_model


STEPS = 6


def make(family: str, **fields: Any) -> AttnSeq2SeqForConditionalGeneration:
    model = tiny_model(scale=0.5, **{**FAMILIES[family], **fields})
    model.generation_config.eos_token_id = None  # all sentences run to the same length
    return model


def inputs(lengths: tuple[int, ...] = (3, 4), seed: int = 0) -> dict[str, torch.Tensor]:
    source = padded_batch(lengths, seed=seed)
    target = torch.randint(3, 20, (len(lengths), max(lengths) - 1), generator=torch.Generator().manual_seed(seed))
    target[:, 0] = START
    return {"input_ids": source.input_ids, "attention_mask": source.attention_mask, "decoder_input_ids": target}


def source_inputs(seed: int = 0) -> dict[str, torch.Tensor]:
    source = padded_batch((3, 4), seed=seed)
    return {"input_ids": source.input_ids, "attention_mask": source.attention_mask}


@torch.no_grad()
def eager(model: nn.Module, batch: dict[str, Any]) -> Any:
    return model(**copy.deepcopy(batch))


def assert_same_outputs(got: Any, expected: Any) -> None:
    """Every tensor of both outputs, with those inside caches, by name and value."""
    found, wanted = get_leaf_tensors(got), get_leaf_tensors(expected)
    assert found.keys() == wanted.keys()
    assert wanted
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-5, msg=lambda text, name=name: name + text)


# --------------------------------------------------------------------------------------------------------------------
# torch.export
# --------------------------------------------------------------------------------------------------------------------


@pytest.mark.costly
@families
@pytest.mark.parametrize("part", ["base", "whole"])
def test_torch_export(family: str, part: str) -> None:
    model: PreTrainedModel = make(family)
    model = model.model if part == "base" else model
    exported = DynamoExporter().export(model, inputs(), DynamoConfig())
    assert_same_outputs(exported(**inputs()), eager(model, inputs()))
    # The same graph on other words and other padding.
    other = inputs((4, 2), seed=5)
    assert_same_outputs(exported(**other), eager(model, other))


@pytest.mark.costly
@families
def test_torch_export_of_attentions_and_states(family: str) -> None:
    model = make(family)
    model.set_attn_implementation("eager")  # the exporter asks for attentions through the configuration
    batch = {**inputs(), "output_attentions": True, "output_hidden_states": True}
    expected = eager(model, batch)
    exported = DynamoExporter().export(model, dict(batch), DynamoConfig())
    got = exported(**inputs())
    assert_same_outputs(got, expected)
    assert got.cross_attentions[0].shape == expected.cross_attentions[0].shape
    assert len(got.decoder_hidden_states) == model.config.decoder_layers + 1


@families
def test_torch_export_without_masks_or_from_embeddings(family: str) -> None:
    model = make(family)
    batch = {
        "inputs_embeds": torch.randn(2, 4, 16, generator=torch.Generator().manual_seed(0)),
        "decoder_inputs_embeds": torch.randn(2, 3, 16, generator=torch.Generator().manual_seed(1)),
    }
    exported = DynamoExporter().export(model, dict(batch), DynamoConfig())
    assert_same_outputs(exported(**batch), eager(model, batch))


@pytest.mark.costly
@families
def test_dynamic_shapes(family: str) -> None:
    model = make(family)
    exported = DynamoExporter().export(model, inputs(), DynamoConfig(dynamic=True))
    wide = inputs((4, 4, 2, 3, 1), seed=2)
    assert_same_outputs(exported(**wide), eager(model, wide))
    longer = inputs((7, 3), seed=3)
    if not model.config.is_recurrent_decoder:
        assert_same_outputs(exported(**longer), eager(model, longer))
    else:
        # A recurrent graph refuses other lengths, and does not answer wrongly.
        with pytest.raises(AssertionError, match="Guard failed"):
            exported(**longer)


@pytest.mark.costly
@families
@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_parts_of_generation(family: str, cache: str) -> None:
    model = make(family)
    # Two tokens a step for the static cache: the steps of one are exported below.
    parts = decompose_for_generation(
        model, source_inputs(), generation_config=generation(cache), multi_token_decode=cache == "static"
    )
    assert parts.keys() == {"prefill", "decode"}
    for submodel, batch in parts.values():
        exported = DynamoExporter().export(submodel, copy.deepcopy(batch), DynamoConfig(dynamic=True))
        traced = {name: value for name, value in copy.deepcopy(batch).items() if value is not None}
        assert_same_outputs(exported(**traced), eager(submodel, batch))


def generation(cache: str = "static") -> GenerationConfig:
    config = GenerationConfig(pad_token_id=0, bos_token_id=START, eos_token_id=None, decoder_start_token_id=START)
    if cache == "static":
        config.cache_implementation = "static"
        config.max_cache_len = STEPS + 1
    return config


@torch.no_grad()
def generate_with_graphs(exported: ExportedModel, model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> Any:
    """Greedy search by the exported first and further steps, on an empty cache like the one they were traced with."""
    parts = decompose_for_generation(model, dict(batch), generation_config=generation())
    cache = copy.deepcopy(parts["prefill"][1]["past_key_values"])
    encoded = model.get_encoder()(**batch)
    token = torch.full((2, 1), START)
    tokens = [token]
    for step in range(STEPS):
        output = exported.runners["decode" if step else "prefill"](
            encoder_outputs=encoded,
            attention_mask=batch["attention_mask"],
            decoder_input_ids=token,
            past_key_values=cache,
        )
        cache = output.past_key_values
        token = output.logits[:, -1].argmax(-1, keepdim=True)
        tokens.append(token)
    return torch.cat(tokens, dim=1)


@pytest.mark.costly
@families
def test_exported_steps_generate(family: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    # Loading warns of classes that pickle refuses, with a broken format string, which pytest's log capture turns
    # into an error.
    caplog.set_level("ERROR", logger="torch._export.serde.serialize")
    model = make(family)
    exported = DynamoExporter().export_for_generation(
        model, source_inputs(), DynamoConfig(), generation_config=generation()
    )
    exported.save_pretrained(tmp_path)
    loaded = ExportedModel.from_pretrained(tmp_path)
    seen = set()
    for seed in (0, 1):
        batch = source_inputs(seed)
        expected = model.generate(**batch, generation_config=generation(), max_new_tokens=STEPS)
        assert torch.equal(generate_with_graphs(exported, model, batch), expected)
        assert torch.equal(generate_with_graphs(loaded, model, batch), expected)
        seen.update(expected.flatten().tolist())
    assert len(seen) > 2  # not the same word for ever


# --------------------------------------------------------------------------------------------------------------------
# ONNX
# --------------------------------------------------------------------------------------------------------------------


@pytest.mark.costly
@families
def test_onnx_export(family: str) -> None:
    model = make(family)
    dynamic = not model.config.is_recurrent_decoder
    exported = OnnxExporter().export(model, inputs(), OnnxConfig(dynamic=dynamic))
    assert_same_outputs(exported(**inputs()), eager(model, inputs()))
    other = inputs((6, 2, 3) if dynamic else (4, 2), seed=5)
    assert_same_outputs(exported(**other), eager(model, other))


@pytest.mark.parametrize("family", ["gru", "lstm", "transformer"])
def test_onnx_steps_generate(family: str) -> None:
    model = make(family)
    exported = OnnxExporter().export_for_generation(
        model, source_inputs(), OnnxConfig(), generation_config=generation()
    )
    batch = source_inputs(1)
    expected = model.generate(**batch, generation_config=generation(), max_new_tokens=STEPS)
    assert torch.equal(generate_with_graphs(exported, model, batch), expected)


class States(nn.Module):
    """An encoder that returns a bare tensor, as torch.onnx wants it."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


@pytest.mark.filterwarnings("ignore")  # torch.onnx's announcements of its newer exporter
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_onnx_encoder_of_any_length(kind: str, bidirectional: bool) -> None:
    model = make(kind, encoder_layers=2, residual=True, layer_norm=True, bidirectional=bidirectional)
    encoder = model.get_encoder()
    sample = padded_batch((5, 3, 7))
    axes = {0: "batch", 1: "src_len"}
    file = io.BytesIO()
    torch.onnx.export(
        States(encoder),
        (sample.input_ids, sample.attention_mask),
        file,
        dynamo=False,
        opset_version=17,
        input_names=["input_ids", "attention_mask"],
        output_names=["states"],
        dynamic_axes={"input_ids": axes, "attention_mask": axes, "states": axes},
    )
    operators = [node.op_type for node in onnx.load_from_string(file.getvalue()).graph.node]
    assert operators.count(kind.upper()) == (4 if bidirectional else 2)
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    for lengths, side in (
        ((5, 3, 7), "right"),
        ((9, 2, 11, 4), "left"),
        ((6, 12), "inside"),
        ((1,), "right"),
        ((4, 4), "right"),
    ):
        batch = padded_batch(lengths, seed=3, side=side)
        feed = {"input_ids": batch.input_ids.numpy(), "attention_mask": batch.attention_mask.numpy()}
        states = torch.from_numpy(session.run(None, feed)[0])
        with torch.no_grad():
            expected = encoder(batch.input_ids, batch.attention_mask).last_hidden_state
        torch.testing.assert_close(states, expected, rtol=1e-4, atol=1e-5)
