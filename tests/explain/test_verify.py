# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Every kind of model passes its checks, and a number that was tampered with fails them."""

import io
import itertools
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from torch._dynamo.testing import CompileCounter
from transformers import PreTrainedTokenizerBase

from hf_attn_seq2seq import attention, cells
from hf_attn_seq2seq.configuration_attn_seq2seq import ATTENTION_TYPES, DECODER_MIXERS, RUNNING_STATE_ATTENTIONS
from hf_attn_seq2seq.explain import Trace, trace
from hf_attn_seq2seq.explain.cells import CELLS
from hf_attn_seq2seq.explain.chapters import chapter_texts
from hf_attn_seq2seq.explain.checks import bound
from hf_attn_seq2seq.explain.formulas import symbols
from hf_attn_seq2seq.explain.kinds import KINDS
from hf_attn_seq2seq.explain.mixers import MIXERS
from hf_attn_seq2seq.explain.terminal import print_trace
from hf_attn_seq2seq.explain.verify import verify_trace
from tests.explain.conftest import SENTENCES, TEXT
from tests.helpers import SCANNED, STACK_PAIRS


TRANSFORMER = {
    "encoder_type": "transformer",
    "decoder_type": "transformer",
    "attention_type": "multi_head",
    "decoder_layers": 2,
}
STATES = [mixer for mixer in DECODER_MIXERS if mixer != "attention"]
MakeModel = Callable[..., Any]


def kinds() -> list[Any]:
    """Every attention between others than scan cells, and one beside these."""
    every = [
        (*pair, attention)
        for pair, attention in itertools.product(STACK_PAIRS, ATTENTION_TYPES)
        if attention == "additive" or not {*pair} & {*SCANNED}
    ]
    return [kind for kind in every if not (kind[1] == "transformer" and kind[2] in RUNNING_STATE_ATTENTIONS)]


def test_every_cell_has_its_facts() -> None:
    assert list(CELLS) == list(cells.CELLS)
    for kind, facts in CELLS.items():
        assert len(facts.state) == cells.CELLS[kind].parts


def test_every_mixer_has_its_entry() -> None:
    assert list(MIXERS) == STATES
    for kind in MIXERS.values():
        rows = [row.symbol for row in kind.rows]
        assert len({*rows}) == len(rows)
        assert {symbol for equation in kind.update for symbol in symbols(equation.replace("=", "+"))} <= {*rows}


@pytest.mark.parametrize("fields", [{"encoder_type": "ssru"}, {"decoder_type": "min_gru"}])
def test_a_cell_without_an_entry_is_refused_with_a_sentence(
    make_model: MakeModel, tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    (kind,) = fields.values()
    monkeypatch.delitem(CELLS, kind)
    with pytest.raises(ValueError, match=f"does not know '{kind}': add an entry to CELLS"):
        trace(make_model(**fields), tokenizer, TEXT)


def test_a_mixer_without_an_entry_is_refused_with_a_sentence(
    make_model: MakeModel, tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(MIXERS, "average")
    with pytest.raises(ValueError, match="does not know 'average': add an entry to MIXERS"):
        trace(make_model(**TRANSFORMER, decoder_mixer="average"), tokenizer, TEXT)


def test_every_attention_has_its_entry() -> None:
    assert KINDS.keys() == attention.ATTENTIONS.keys()
    for kind in KINDS.values():
        assert symbols(kind.terms) == [column.symbol for column in kind.columns]
        assert len({column.symbol for column in kind.inputs}) == len(kind.inputs)


@pytest.mark.parametrize("fields", [{"attention_type": "monotonic"}, TRANSFORMER])
def test_an_attention_without_an_entry_is_traced_and_says_so(
    make_model: MakeModel,
    tokenizer: PreTrainedTokenizerBase,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    fields: dict[str, Any],
) -> None:
    kind = fields["attention_type"]
    monkeypatch.delitem(KINDS, kind)
    traced = trace(make_model(**fields), tokenizer, TEXT)
    verification = traced.verify()
    assert verification.passed, str(verification)
    assert {"sums", "context", "generate"} <= {check.name for check in verification.checks}
    assert "scores" not in {check.name for check in verification.checks}
    assert "attention" not in traced.document["kinds"]
    with pytest.raises(ValueError, match=f"no formula for attention of kind '{kind}'"):
        traced.ledger(0, 0)
    assert "has no formula for this kind" in chapter_texts(traced)["attention"].exact
    out = io.StringIO()
    print_trace(traced, Console(file=out, width=200), depth="vectors")
    assert "weights times values add up to the context" in out.getvalue()
    traced.save(tmp_path / "trace.json")
    assert Trace.load(tmp_path / "trace.json").verify().passed


@pytest.mark.parametrize(("encoder", "decoder", "attention"), kinds())
@pytest.mark.costly
def test_every_kind_verifies(
    make_model: MakeModel, tokenizer: PreTrainedTokenizerBase, encoder: str, decoder: str, attention: str
) -> None:
    heads = (1, 2) if attention != "none" else (None,)
    for num_heads, num_beams in itertools.product(heads, (1, 3)):
        model = make_model(
            encoder_type=encoder,
            decoder_type=decoder,
            attention_type=attention,
            num_attention_heads=num_heads,
            decoder_layers=2,
        )
        verification = trace(model, tokenizer, TEXT, num_beams=num_beams).verify()
        assert verification.passed, str(verification)


@pytest.mark.parametrize(
    "fields",
    [
        {"bridge": "zeros"},
        {"bridge": "last", "decoder_type": "lstm"},
        {"bridge": "last_both", "decoder_type": "lstm", "decoder_layers": 2},
        {"bridge": "mean", "encoder_hidden_size": 8},
        {"bridge": "final"},
        {"bridge": "final", "encoder_type": "lstm", "decoder_type": "lstm", "encoder_layers": 2, "decoder_layers": 2},
        {"bridge": "final", "encoder_type": "ssru", "encoder_hidden_size": 8, "bidirectional": False},
        {"bridge": "final_dense", "encoder_type": "lstm", "decoder_type": "lstm", "encoder_layers": 2},
        {"readout": "maxout"},
        {"readout": "affine", "attention_bias": True, "attention_weight_norm": True},
        {"readout": "linear", "input_feeding": True},
        {"readout": "concat", "tie_word_embeddings": False, "input_feeding": True},
        {"attention_query": "current"},
        {"attention_query": "between", "readout": "deep", "bridge": "mean_dense", "embedding_size": 12},
        {
            "attention_query": "between",
            "decoder_type": "lstm",
            "decoder_layers": 2,
            "residual": True,
            "layer_norm": True,
        },
        {"attention_query": "between", "decoder_type": "ssru", "attention_type": "coverage", "input_feeding": True},
        {"attention_query": "current", "input_feeding": True},
        *({"decoder_type": kind, "attention_query": "current", "bridge": "last"} for kind in SCANNED),
        {"encoder_type": "ssru", "decoder_type": "ssru", "input_feeding": True, "residual": True, "decoder_layers": 2},
        {"residual": True, "layer_norm": True, "encoder_layers": 2, "decoder_layers": 2},
        {"bidirectional": False},
        {"attention_normalizer": "sparsemax"},
        {"attention_normalizer": "entmax15"},
        {"attention_type": "monotonic", "monotonic_hard": True},
        {"attention_type": "location", "max_position_embeddings": 4},
        {
            "encoder_type": "transformer",
            "decoder_type": "transformer",
            "attention_type": "multi_head",
            "num_key_value_heads": 2,
        },
        {
            "encoder_type": "transformer",
            "decoder_type": "transformer",
            "attention_type": "multi_head",
            "norm_position": "pre",
        },
        {
            "encoder_type": "transformer",
            "decoder_type": "transformer",
            "attention_type": "general",
            "position_type": "rotary",
        },
        {
            "encoder_type": "transformer",
            "decoder_type": "transformer",
            "attention_type": "dot",
            "position_type": "learned",
        },
        *({**TRANSFORMER, "decoder_mixer": mixer} for mixer in STATES),
        {**TRANSFORMER, "decoder_mixer": "ssru", "norm_position": "pre", "encoder_type": "gru"},
        {**TRANSFORMER, "decoder_mixer": "average", "average_gate": False},
        {
            "encoder_type": "transformer",
            "decoder_type": "transformer",
            "attention_type": "multi_head",
            "position_type": "sinusoidal_halves",
            "zero_start": True,
            "output_bias": True,
        },
        {**TRANSFORMER, "decoder_mixer": "ssru", "residual_alpha": 1.5, "position_type": "sinusoidal_concat"},
        {**TRANSFORMER, "residual_alpha": 1.25, "encoder_residual_alpha": 0.75, "scale_embeddings": False},
        {**TRANSFORMER, "position_type": "sinusoidal_halves", "position_offset": 2, "embedding_norm": True},
        {"zero_start": True, "output_bias": True},
    ],
)
@pytest.mark.costly
def test_every_option_verifies(
    make_model: MakeModel, tokenizer: PreTrainedTokenizerBase, fields: dict[str, Any]
) -> None:
    for num_beams in (1, 3):
        verification = trace(make_model(**fields), tokenizer, TEXT, num_beams=num_beams).verify()
        assert verification.passed, str(verification)


# What is tampered with, and which checks must notice.
TAMPERED = {
    "attention.0.query": "scores",
    "attention.0.keys": "scores",
    "attention.0.vector": "scores",
    "attention.0.scores": "scaling",
    "attention.0.scaled": "normalizer",
    "attention.0.weights": "sums",
    "attention.0.values": "context",
    "attention.0.head_context": "context",
    "attention.0.context": "heads",
    "attention.0.asker": "query",
    "encoder.embeddings": "embeddings",
    "encoder.states": "encoder",
    "encoder.layer.0.forward.update": "encoder_gates",
    "encoder.layer.0.backward.hidden": "encoder_gates",
    "decoder.embeddings": "embeddings",
    "decoder.layer.0.candidate": "decoder_gates",
    "decoder.layer.0.hidden_before": "carry",
    "decoder.layer.0.hidden_after": "cells",
    "decoder.state": "readout",
    "handover.state": "bridge",
    "handover.summary": "bridge",
    "output.hidden": "readout",
    "output.rows": "logits",
}


@pytest.mark.parametrize("name", TAMPERED)
def test_a_tampered_number_is_noticed(traced: Trace, name: str) -> None:
    assert traced.verify().passed
    array = traced.arrays[name]
    traced.arrays[name] = array + np.linspace(0.01, 0.05, array.size, dtype=np.float32).reshape(array.shape)
    failed = {check.name for check in traced.verify().checks if not check.passed}
    assert TAMPERED[name] in failed
    assert not all(check["passed"] for check in traced.document["checks"])


def spoiled_rows(traced: Trace) -> set[str]:
    """The checks, from the trace alone, that notice one of the rows and biases that a number is worked out from."""
    noticed = set()
    names = [name for name in traced.arrays if re.fullmatch(r".*\.(?:\w+_rows?|rows?|\w+_bias|bias)", name)]
    for name in [name for name in names if not name.startswith("output.")]:
        array = traced.arrays[name]
        traced.arrays[name] = array + np.float32(0.05) * np.where(array < 0, -1, 1).astype(np.float32)
        failed = {check.name for check in verify_trace(traced).checks if not check.passed}
        assert failed, name
        noticed |= failed
        traced.arrays[name] = array
    assert verify_trace(traced).passed
    return noticed


@pytest.mark.parametrize(
    "fields",
    [
        {"bridge": "dense", "input_feeding": True},
        {
            "encoder_type": "lstm",
            "decoder_type": "lstm",
            "bridge": "final",
            "encoder_hidden_size": 8,
            "readout": "maxout",
            "encoder_layers": 2,
            "decoder_layers": 2,
        },
        {
            "encoder_type": "ssru",
            "decoder_type": "min_lstm",
            "decoder_layers": 2,
            "residual": True,
            "layer_norm": True,
            "bridge": "last",
        },
        {"attention_query": "between", "bridge": "mean", "encoder_hidden_size": 8, "readout": "deep"},
    ],
)
def test_every_spoiled_row_is_noticed(
    make_model: MakeModel, tokenizer: PreTrainedTokenizerBase, fields: dict[str, Any]
) -> None:
    traced = trace(make_model(**fields), tokenizer, TEXT)
    worked = {"encoder_rows", "decoder_rows", "query_row", "key_row", "bridge_row", "readout_row"}
    expected = worked if traced.document["handover"]["bridge"] != "last" else worked - {"bridge_row"}
    assert expected <= spoiled_rows(traced)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda step: step["candidates"][0].update(log_probability=-9.0), "probability"),
        (lambda step: step.update(rest=0.9), "mass"),
        (lambda step: step["choice"].update(id=step["candidates"][-1]["id"]), "choice"),
        (lambda step: step["fed"].update(id=step["fed"]["id"] + 1), "fed"),
        (lambda step: step["choice"].update(id=step["choice"]["id"] + 1), "generate"),
        (lambda step: step["candidates"][1].update(logit=0.0), "teacher_forcing"),
    ],
)
def test_a_tampered_step_is_noticed(traced: Trace, change: Callable[[dict[str, Any]], None], name: str) -> None:
    change(traced.document["steps"][1])
    assert name in {check.name for check in traced.verify().checks if not check.passed}


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("encoder.layer.0.self_attention.scores", "self_attention"),
        ("decoder.layer.0.self_attention.weights", "self_attention"),
        ("decoder.layer.0.residual", "layers"),
        ("attention.1.context", "heads"),
        ("attention.1.keys", "keys"),
        ("attention.1.values", "values"),
    ],
)
def test_a_tampered_transformer_is_noticed(
    make_model: MakeModel, tokenizer: PreTrainedTokenizerBase, name: str, check: str
) -> None:
    traced = trace(make_model(**TRANSFORMER), tokenizer, TEXT)
    array = traced.arrays[name]
    traced.arrays[name] = array + np.linspace(0.01, 0.05, array.size, dtype=np.float32).reshape(array.shape)
    assert check in {each.name for each in traced.verify().checks if not each.passed}


MIXER_TAMPERED = [
    ("ssru", "inputs", "mixer"),
    ("ssru", "forget", "decoder_gates"),
    ("ssru", "candidate", "decoder_gates"),
    ("ssru", "cell_before", "carry"),
    ("ssru", "cell_after", "decoder_gates"),
    ("ssru", "hidden_after", "decoder_gates"),
    ("min_gru", "update", "decoder_gates"),
    ("min_gru", "hidden_before", "start"),
    ("min_gru", "hidden_after", "mixer_sum"),
    ("average", "inputs", "mixer_mean"),
    ("average", "mean", "mixer_mean"),
    ("average", "network", "decoder_gates"),
    ("average", "input", "mixer"),
    ("average", "output", "mixer_sum"),
]


def test_every_mixer_is_tampered_with() -> None:
    assert {mixer for mixer, _, _ in MIXER_TAMPERED} == set(STATES)


@pytest.mark.parametrize(("mixer", "name", "check"), MIXER_TAMPERED)
def test_a_tampered_mixer_is_noticed(
    make_model: MakeModel, tokenizer: PreTrainedTokenizerBase, mixer: str, name: str, check: str
) -> None:
    traced = trace(make_model(**TRANSFORMER, decoder_mixer=mixer), tokenizer, TEXT)
    assert traced.verify().passed
    array = traced.arrays[f"decoder.layer.1.mixer.{name}"]
    traced.arrays[f"decoder.layer.1.mixer.{name}"] = array + np.linspace(
        0.01, 0.05, array.size, dtype=np.float32
    ).reshape(array.shape)
    assert check in {each.name for each in traced.verify().checks if not each.passed}


def failed_after(traced: Trace, shift: float) -> set[str]:
    """The checks that fail once a step's logits and their log sum exp moved, so that its probabilities stay."""
    step = traced.document["steps"][1]
    for candidate in step["candidates"]:
        candidate["logit"] += shift
    step["logsumexp"] += shift
    return {check.name for check in traced.verify().checks if not check.passed}


@pytest.mark.parametrize("fields", [{}, TRANSFORMER], ids=["recurrent", "transformer"])
def test_another_order_of_sums_passes_and_tampering_does_not(
    make_model: MakeModel, tokenizer: PreTrainedTokenizerBase, fields: dict[str, Any]
) -> None:
    """4e-5 is what a processor without AVX-512 was seen to differ by between one step and all steps at once."""
    traced = trace(make_model(**fields), tokenizer, TEXT)
    size = max(
        1.0, *(abs(candidate["logit"]) for step in traced.document["steps"] for candidate in step["candidates"])
    )
    assert "teacher_forcing" not in failed_after(traced, 4e-5)
    assert {"logits", "teacher_forcing"} <= failed_after(traced, 2e-3 * size)


def test_bounds_follow_from_precision_and_sums(traced: Trace) -> None:
    verification = traced.verify()
    bounds = {check.name: check.tolerance for check in verification.checks}
    eps = torch.finfo(torch.float32).eps
    assert bounds["start"] == pytest.approx(4 * eps + 32 * eps * 8**0.5)  # a formula
    width = traced.arrays["output.hidden"].shape[-1]
    assert bounds["logits"] == pytest.approx(4 * eps + 32 * eps * width**0.5)  # a sum of so many products
    assert bounds["start"] <= bounds["logits"] < bounds["encoder"] < bounds["teacher_forcing"] < 1e-3
    assert f"(at most {bounds['teacher_forcing']:.1e})" in str(verification)
    assert bound("float32", 300_000, True) < 0.01  # of a Transformer of twelve layers, 512 wide
    assert bound("bfloat16", 8) > 4 * torch.finfo(torch.bfloat16).eps


def test_other_weights_than_were_asked_for_are_noticed(traced: Trace) -> None:
    child = traced.what_if(weights={1: "uniform"})
    assert child.verify().passed
    child.document["what_if"]["weights"][0] += 0.01
    assert {each.name for each in child.verify().checks if not each.passed} == {"edited"}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("fields", [{}, TRANSFORMER, *({**TRANSFORMER, "decoder_mixer": each} for each in STATES)])
def test_half_precision_verifies(
    make_model: MakeModel, tokenizer: PreTrainedTokenizerBase, fields: dict[str, Any], dtype: torch.dtype
) -> None:
    verification = trace(make_model(**fields).to(dtype), tokenizer, TEXT).verify()
    assert verification.passed, str(verification)


def test_a_model_in_training_verifies(make_model: MakeModel, tokenizer: PreTrainedTokenizerBase) -> None:
    model = make_model(dropout=0.5).train()
    verification = trace(model, tokenizer, TEXT).verify()
    assert verification.passed, str(verification)
    assert model.training


@pytest.mark.parametrize("num_beams", [1, 3])
@pytest.mark.parametrize(
    "settings",
    [
        {"do_sample": True, "temperature": 0.5},
        {"num_beams": 4, "num_return_sequences": 2},
        {"forced_bos_token_id": 7},
        {"no_repeat_ngram_size": 1},
        {"use_cache": False},
        {"return_dict_in_generate": True},
        {"prompt_lookup_num_tokens": 2},
    ],
)
def test_any_generation_setting_verifies(
    make_model: MakeModel, tokenizer: PreTrainedTokenizerBase, settings: dict[str, Any], num_beams: int
) -> None:
    model = make_model()
    for name, value in settings.items():
        setattr(model.generation_config, name, value)
    verification = trace(model, tokenizer, TEXT, num_beams=num_beams).verify()
    assert verification.passed, str(verification)


def test_a_compiled_model_is_traced(make_model: MakeModel, tokenizer: PreTrainedTokenizerBase) -> None:
    model = make_model()
    model.compile(backend="eager")
    assert trace(model, tokenizer, TEXT).verify().passed


def test_an_adapter_on_the_output_layer_is_traced(make_model: MakeModel, tokenizer: PreTrainedTokenizerBase) -> None:
    peft = pytest.importorskip("peft")
    model = make_model(tie_word_embeddings=False)
    config = peft.LoraConfig(r=2, target_modules=["lm_head", "query_projection"], init_lora_weights=False)
    adapted = peft.get_peft_model(model, config)
    verification = trace(adapted, tokenizer, TEXT).verify()
    assert verification.passed, str(verification)


def test_traces_in_threads(make_model: MakeModel, tokenizer: PreTrainedTokenizerBase) -> None:
    model = make_model(**TRANSFORMER)
    before = model.config._attn_implementation
    with ThreadPoolExecutor(3) as pool:
        verified = pool.map(lambda text: trace(model, tokenizer, text).verify(), SENTENCES)
        assert all(verification.passed for verification in verified)
    assert model.config._attn_implementation == before
    counter = CompileCounter()
    torch.compile(torch.sin, backend=counter)(torch.ones(2))
    assert counter.frame_count == 1  # compiling was not left switched off


def test_a_tampered_beam_is_noticed(make_model: MakeModel, tokenizer: PreTrainedTokenizerBase) -> None:
    traced = trace(make_model(), tokenizer, TEXT, num_beams=3)
    traced.document["beams"]["steps"][1]["hypotheses"][0]["sum"] -= 1.0
    assert "beam_sums" in {check.name for check in traced.verify().checks if not check.passed}


def test_a_trace_of_its_own_is_checked_without_its_model(traced: Trace) -> None:
    traced.model = None
    verification = traced.verify()
    assert verification.passed
    names = {check.name for check in verification.checks}
    assert "normalizer" in names
    assert "generate" not in names
    assert "All agree." in str(verification)
