# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Traces by graphs against those of PyTorch: every kind of model, its own words and forced ones; bad folders."""

from itertools import cycle
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from transformers import PreTrainedTokenizerBase

from hf_attn_seq2seq.attention import ATTENTIONS
from hf_attn_seq2seq.cells import CELLS
from hf_attn_seq2seq.configuration_attn_seq2seq import ATTENTION_NORMALIZERS, BRIDGES, POSITION_TYPES, READOUTS
from hf_attn_seq2seq.explain import Trace, trace
from hf_attn_seq2seq.explain.live import graphs as graphs_module
from hf_attn_seq2seq.explain.live.format import ABOUT_FILE, CHANGES, ROWS_FILE, SOURCE_FILE, STEP_FILE
from hf_attn_seq2seq.explain.live.graphs import StepGraph, save_trace_graphs
from hf_attn_seq2seq.explain.live.running import TraceGraphs, trace_by_graphs
from hf_attn_seq2seq.explain.tracing import RunRecorder
from hf_attn_seq2seq.explain.worked import worked_rows
from hf_attn_seq2seq.mixers import MIXERS
from tests.explain.conftest import TEXT
from tests.explain.same import assert_same
from tests.export.test_graphs import DEEP, TRANSFORMER
from tests.helpers import tiny_model


WIDE = {"input_feeding": True, "embedding_size": 12, "tie_word_embeddings": False}
# Each of a kind once. What they compute together is the same code as in the exported graphs, whose tests cross them.
KINDS: list[dict[str, Any]] = [
    *(
        {"attention_type": kind, "bridge": bridge, "num_attention_heads": 1 if kind == "none" else 2}
        for kind, bridge in zip(ATTENTIONS, cycle(BRIDGES))
    ),
    *({"encoder_type": cell, "decoder_type": cell} for cell in CELLS if cell != "gru"),
    *(
        {**WIDE, "readout": readout, "attention_normalizer": normalizer}
        for readout, normalizer in zip(READOUTS, cycle(ATTENTION_NORMALIZERS))
    ),
    *(
        {**TRANSFORMER, "position_type": position, "decoder_mixer": mixer}
        for position, mixer in zip(POSITION_TYPES, cycle(MIXERS))
    ),
    {**TRANSFORMER, "norm_position": "pre", "num_key_value_heads": 2, "embedding_norm": True},
    {**TRANSFORMER, "decoder_mixer": "average", "average_layers": 0},
    {**TRANSFORMER, "pointer": True, "attention_type": "additive", "decoder_mixer": "ssru", "pointer_slots": 2},
    {**DEEP, "attention_query": "between", "decoder_type": "lstm", "attention_type": "coverage"},
    {**DEEP, "pointer": True, "attention_type": "additive"},
    {"attention_type": "monotonic", "monotonic_hard": True},
    {"bidirectional": False, "attention_query": "current", "decoder_vocab_size": 25},
    {"zero_start": True, "output_bias": True, "attention_bias": True, "attention_weight_norm": True},
]


def make(folder: Path, vocab_size: int, **fields: Any) -> tuple[Any, TraceGraphs]:
    model = tiny_model(scale=0.4, **{"vocab_size": vocab_size, **fields})
    model.generation_config.max_new_tokens = 6
    model.save_pretrained(folder)
    save_trace_graphs(model, folder)
    return model, TraceGraphs(folder)


@pytest.mark.costly
@pytest.mark.parametrize("fields", KINDS, ids=lambda fields: "-".join(map(str, fields.values())))
def test_every_kind(fields: dict[str, Any], tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    model, graphs = make(tmp_path, len(tokenizer), **fields)
    assert_same(trace_by_graphs(graphs, tokenizer, TEXT), trace(model, tokenizer, TEXT))
    if model.config.pointer:
        strange = "the zebra sees a okapi and the zebra"
        assert_same(trace_by_graphs(graphs, tokenizer, strange), trace(model, tokenizer, strange))
    forced = [5, 7, 9]  # and then its own words
    parent = trace(model, tokenizer, "a dog", forced)
    assert_same(trace_by_graphs(graphs, tokenizer, "a dog", forced), parent)
    changes: list[dict[str, Any]] = [{"weights": [0.6, 0.3, 0.1]}] if parent.layers else []
    if parent.document["attention"]["heads"] > 1:
        changes.append({"heads": 1, "layer": -1})
    if len(parent.layers) > 1:
        changes.append({"weights": "uniform", "layer": 0})
    wanted = parent
    for change in changes:  # with other weights at a step, in the last layer in others, and without a head
        said = [step["choice"]["id"] for step in wanted.document["steps"]]
        step = min(2, len(said) - 1)  # the end may be chosen at once
        if "weights" in change:
            change["weights"] = {step: change["weights"]}
        wanted = wanted.what_if(**change)
        given = [] if "heads" in change else said[:step]
        assert_same(trace_by_graphs(graphs, tokenizer, "a dog", given, what_if=wanted.document["what_if"]), wanted)


def test_without_changes_the_numbers_are_those_of_a_graph_that_cannot_change_them(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, graphs = make(tmp_path / "with", len(tokenizer), num_attention_heads=2)
    monkeypatch.setattr(graphs_module, "CHANGES", ())
    monkeypatch.setattr(StepGraph, "recorder", lambda self, changes: RunRecorder(self.model))
    _, plain = make(tmp_path / "without", len(tokenizer), num_attention_heads=2)
    assert set(graphs.decoder_step.inputs) - set(plain.decoder_step.inputs) == set(CHANGES)  # type: ignore[attr-defined]
    one, other = (trace_by_graphs(each, tokenizer, TEXT) for each in (graphs, plain))
    for name, array in other.arrays.items():
        assert (one.arrays[name] == array).all(), name


def test_a_given_translation_and_settings(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    model, graphs = make(tmp_path, len(tokenizer))
    told = "le chat voit le chien"
    found = trace_by_graphs(graphs, tokenizer, TEXT, told, candidates=3)
    assert_same(found, trace(model, tokenizer, TEXT, told, candidates=3))
    assert found.document["run"]["forced"]
    assert "onnxruntime" in found.document["versions"]
    found.save(tmp_path / "trace.json")
    assert Trace.load(tmp_path / "trace.json").verify().passed
    short = trace_by_graphs(graphs, tokenizer, TEXT, max_new_tokens=2)
    assert_same(short, trace(model, tokenizer, TEXT, max_new_tokens=2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_of_16_bits_lie_in_their_file_alone(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path, dtype: torch.dtype
) -> None:
    model, _ = make(tmp_path, len(tokenizer), num_attention_heads=2, encoder_layers=2)
    model.to(dtype).save_pretrained(tmp_path)
    save_trace_graphs(model, tmp_path)
    assert model.dtype == dtype
    assert_same(trace_by_graphs(TraceGraphs(tmp_path), tokenizer, TEXT), trace(model.float(), tokenizer, TEXT))
    for file in (SOURCE_FILE, STEP_FILE, ROWS_FILE):
        graph = onnx.load(tmp_path / file, load_external_data=False).graph
        inside = [each for each in graph.initializer if each.data_location != onnx.TensorProto.EXTERNAL]
        rows = 4 * sum(array.numel() for array in worked_rows(model).values()) if file == ROWS_FILE else 0
        assert sum(len(each.raw_data) for each in inside) < 2000 + rows
        assert len(graph.initializer) > len(inside)


def test_what_is_refused(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    model, graphs = make(tmp_path, len(tokenizer))
    with pytest.raises(ValueError, match="The text is blank"):
        trace_by_graphs(graphs, tokenizer, " ")
    model.lm_head.weight.data += 1.0
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"belong to another model\.safetensors: write the trace graphs again"):
        TraceGraphs(tmp_path)
    save_trace_graphs(model, tmp_path)
    (tmp_path / STEP_FILE).write_bytes(b"")
    with pytest.raises(ValueError, match=f"belong to another {STEP_FILE}"):
        TraceGraphs(tmp_path)
    (tmp_path / ABOUT_FILE).write_text('{"format": "hf_attn_seq2seq trace graphs", "version": 9}')
    with pytest.raises(ValueError, match="of version 9, but this package reads version 3"):
        TraceGraphs(tmp_path)
    (tmp_path / ABOUT_FILE).unlink()
    with pytest.raises(ValueError, match="has no trace graphs"):
        TraceGraphs(tmp_path)
    with pytest.raises(ValueError, match="frontend='speech' cannot be traced without PyTorch"):
        save_trace_graphs(tiny_model(frontend="speech", num_mel_bins=8), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="has no weights in safetensors"):
        save_trace_graphs(model, tmp_path)
