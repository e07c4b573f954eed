# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Every kind of model, exported, against PyTorch: greedy search, beams and attentions, on batches and lengths that were
not traced.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

from hf_attn_seq2seq import AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.attention import ATTENTIONS
from hf_attn_seq2seq.configuration_attn_seq2seq import ATTENTION_NORMALIZERS, BRIDGES, RUNNING_STATE_ATTENTIONS
from hf_attn_seq2seq.decoding.exported import ExportedModel
from hf_attn_seq2seq.export.writer import write_model
from hf_attn_seq2seq.graphs.parts import SAMPLE_LENGTHS
from hf_attn_seq2seq.mixers import MIXERS
from tests.helpers import END, SCANNED, STACK_PAIRS, START, Batch, padded_batch, tiny_model


LENGTHS = (9, 1, 11, 4)
STEPS = 7


def kinds() -> list[dict[str, Any]]:
    """Every attention between two recurrent stacks and between two Transformers, and some between others."""
    found = []
    for encoder, decoder in STACK_PAIRS:
        for attention in ATTENTIONS:
            impossible = decoder == "transformer" and attention in RUNNING_STATE_ATTENTIONS
            every = (encoder, decoder) in (("gru", "lstm"), ("transformer", "transformer"))
            wanted = ("additive",) if {encoder, decoder} & {*SCANNED} else ("additive", "coverage", "none")
            if not impossible and (every or attention in wanted):
                found.append({"encoder_type": encoder, "decoder_type": decoder, "attention_type": attention})
    return found


DEEP = {
    "encoder_layers": 2,
    "decoder_layers": 2,
    "residual": True,
    "layer_norm": True,
    "encoder_hidden_size": 20,
    "num_attention_heads": 2,
    "attention_query": "current",
    "input_feeding": True,
    "readout": "maxout",
}
TRANSFORMER = {
    "encoder_type": "transformer",
    "decoder_type": "transformer",
    "attention_type": "multi_head",
    "encoder_layers": 2,
    "decoder_layers": 2,
}
OTHERS: list[dict[str, Any]] = [
    *({**DEEP, "attention_type": "location_aware", "bridge": bridge} for bridge in BRIDGES),
    *({"attention_normalizer": name} for name in ATTENTION_NORMALIZERS if name != "softmax"),
    {"attention_type": "monotonic", "monotonic_hard": True},
    {"bidirectional": False, "attention_query": "current", "decoder_vocab_size": 25},
    {**TRANSFORMER, "position_type": "learned", "norm_position": "pre", "num_key_value_heads": 2},
    {**TRANSFORMER, "position_type": "rotary", "attention_normalizer": "entmax15"},
    *({**TRANSFORMER, "decoder_mixer": mixer} for mixer in MIXERS if mixer != "attention"),
    {**TRANSFORMER, "decoder_mixer": "average", "average_layers": 0, "position_type": "learned"},
    {**TRANSFORMER, "position_type": "sinusoidal_halves", "zero_start": True, "output_bias": True},
    {**TRANSFORMER, "position_type": "sinusoidal_concat", "residual_alpha": 1.5, "scale_embeddings": False},
    {**TRANSFORMER, "position_type": "sinusoidal_halves", "position_offset": 2, "embedding_norm": True},
    {"zero_start": True, "output_bias": True},
    {**DEEP, "encoder_type": "lstm", "decoder_type": "lstm", "bridge": "final"},
    {"encoder_type": "gru", "decoder_type": "lstm", "decoder_layers": 2, "bridge": "last_both"},
    {"encoder_type": "lstm", "decoder_type": "lstm", "encoder_layers": 2, "bridge": "final_dense"},
    {"encoder_type": "ssru", "decoder_type": "ssru", "bridge": "final"},
    {
        "readout": "affine",
        "input_feeding": True,
        "attention_bias": True,
        "attention_weight_norm": True,
        "output_bias": True,
    },
    {"attention_query": "between", "readout": "deep", "embedding_size": 12, "zero_start": True, "output_bias": True},
    {**DEEP, "attention_query": "between", "decoder_type": "lstm", "attention_type": "coverage"},
    {"readout": "linear", "embedding_size": 12, "tie_word_embeddings": False},
    {"attention_type": "none", "attention_query": "current", "readout": "linear"},
    {
        "readout": "concat",
        "input_feeding": True,
        "embedding_size": 12,
        "encoder_hidden_size": 20,
        "tie_word_embeddings": False,
    },
    {"pointer": True, "pointer_slots": 3},
    {**DEEP, "pointer": True, "attention_type": "coverage", "num_attention_heads": 2},
    {**TRANSFORMER, "pointer": True},
    {**TRANSFORMER, "pointer": True, "attention_type": "additive", "decoder_mixer": "ssru", "pointer_slots": 2},
]


def make(folder: Path, to: str = "onnx", **fields: Any) -> tuple[AttnSeq2SeqForConditionalGeneration, ExportedModel]:
    model = tiny_model(scale=0.5, **fields)
    write_model(model, folder, to)
    return model, ExportedModel(folder)


def search(model: Any, batch: Batch, **options: Any) -> Any:
    return model.generate(
        batch.input_ids,
        attention_mask=batch.attention_mask,
        max_new_tokens=STEPS,
        return_dict_in_generate=True,
        **options,
    )


@pytest.mark.costly
@pytest.mark.parametrize("fields", [*kinds(), *OTHERS], ids=lambda fields: "-".join(map(str, fields.values())))
def test_same_as_pytorch(fields: dict[str, Any], tmp_path: Path) -> None:
    model, exported = make(tmp_path, **fields)
    attends = model.config.attention_type != "none"
    batch = padded_batch(LENGTHS, seed=3, side="inside")
    assert batch.input_ids.shape != (len(SAMPLE_LENGTHS), max(SAMPLE_LENGTHS))

    wanted, found = (search(each, batch, output_logits=True, output_attentions=attends) for each in (model, exported))
    assert torch.equal(found.sequences, wanted.sequences)
    assert wanted.logits[0].std(0).max() > 1e-2  # the source matters
    torch.testing.assert_close(torch.stack(found.logits), torch.stack(wanted.logits), rtol=1e-4, atol=1e-4)
    if attends:
        for step, expected in zip(found.cross_attentions, wanted.cross_attentions, strict=True):
            torch.testing.assert_close(step, expected, rtol=1e-4, atol=1e-5)

    beams = {"num_beams": 3, "num_return_sequences": 2, "output_scores": True, "length_penalty": 0.8}
    wanted, found = (search(each, padded_batch((2, 8), seed=5), **beams) for each in (model, exported))
    assert torch.equal(found.sequences, wanted.sequences)
    torch.testing.assert_close(found.sequences_scores, wanted.sequences_scores, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "fields", [{**DEEP, "attention_type": "coverage"}, TRANSFORMER], ids=["recurrent", "transformer"]
)
def test_without_this_package(fields: dict[str, Any], tmp_path: Path) -> None:
    """ONNX Runtime and NumPy alone, led by what `exported.json` says."""
    model, exported = make(tmp_path, **fields)
    about = exported.description
    encoder, decoder = (
        onnxruntime.InferenceSession(tmp_path / file, providers=["CPUExecutionProvider"])
        for file in (about.encoder, about.decoder)
    )
    batch = padded_batch(LENGTHS, seed=1, side="left")
    mask = batch.attention_mask.numpy()
    names = [each.name for each in encoder.get_outputs()]
    values = dict(zip(names, encoder.run(names, {"input_ids": batch.input_ids.numpy(), "attention_mask": mask})))
    values.update(attention_mask=mask, decoder_input_ids=np.full((len(mask), 1), START))
    tokens = [values["decoder_input_ids"]]
    names = [each.name for each in decoder.get_outputs()]
    for _ in range(STEPS):
        outputs = dict(zip(names, decoder.run(names, {each.name: values[each.name] for each in decoder.get_inputs()})))
        values.update({name: outputs[f"next_{name}"] for name in about.state})
        values["decoder_input_ids"] = outputs["logits"].argmax(-1)
        tokens.append(values["decoder_input_ids"])
    model.generation_config.eos_token_id = None
    assert np.array_equal(np.concatenate(tokens, axis=1), search(model, batch).sequences.numpy())


@pytest.mark.parametrize("fields", [{}, TRANSFORMER], ids=["recurrent", "transformer"])
def test_int8_is_smaller_and_near(fields: dict[str, Any], tmp_path: Path) -> None:
    wide = {"hidden_size": 128, "vocab_size": 200, "intermediate_size": 256, "attention_size": 128}
    model = tiny_model(scale=0.15, **{**fields, **wide})  # near a trained one's, for which rounding is made
    for kind in ("onnx", "int8"):
        (tmp_path / kind).mkdir()
        write_model(model, tmp_path / kind, kind)
    exported = ExportedModel(tmp_path / "int8")
    sizes = {kind: (tmp_path / kind / "weights.safetensors").stat().st_size for kind in ("onnx", "int8")}
    assert sizes["int8"] < 0.6 * sizes["onnx"]
    kept = {weight.name: weight for weight in onnx.load(tmp_path / "int8" / "encoder.onnx").graph.initializer}
    weights = model.get_input_embeddings().weight.detach()
    rows, scales = (numpy_helper.to_array(kept[f"encoder.embed_tokens.weight.{part}"]) for part in ("int8", "scales"))
    assert "encoder.embed_tokens.weight" not in kept
    assert (np.abs(rows * scales[:, None] - weights.numpy()) <= scales[:, None] * 0.5001).all()
    batch = padded_batch(LENGTHS, vocab_size=200)
    target = torch.randint(3, 200, (len(LENGTHS), 5), generator=torch.Generator().manual_seed(0))
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask, "decoder_input_ids": target}
    with torch.no_grad():
        expected = model(**inputs).logits
    difference = (exported(**inputs).logits - expected).abs().max()
    assert 0 < difference < 0.1 * expected.abs().max()  # a tenth: the weights are drawn at random


def test_a_last_batch_of_one_token(tmp_path: Path) -> None:
    model, exported = make(tmp_path)
    batch = padded_batch((1,))
    assert batch.input_ids.tolist() == [[END]]
    assert torch.equal(search(exported, batch).sequences, search(model, batch).sequences)
