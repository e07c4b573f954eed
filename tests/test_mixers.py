# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Every mixer of the registry: against its equations in plain Python, step by step, with padding, cached, cropped."""

import math
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from transformers.cache_utils import DynamicCache, EncoderDecoderCache, StaticCache

from hf_attn_seq2seq import AttnSeq2SeqConfig, AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.cache_attn_seq2seq import AttnSeq2SeqCache, new_state_cache
from hf_attn_seq2seq.configuration_attn_seq2seq import DECODER_MIXERS
from hf_attn_seq2seq.mixers import MIXERS, StateMixer, build_mixer

from .helpers import padded_batch, scrambled, tiny_config, tiny_model


TRANSFORMER = {"encoder_type": "transformer", "decoder_type": "transformer", "attention_type": "multi_head"}
STATES = [kind for kind in MIXERS if kind != "attention"]
# Variants of a kind beside its default form.
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "average": [
        {"average_gate": False},
        {"average_layers": 0},
        {"average_layers": 2, "average_size": 10, "average_act": "silu"},
    ],
}
FORMS = [(kind, fields) for kind in STATES for fields in [{}, *VARIANTS.get(kind, [])]]
forms = pytest.mark.parametrize(
    ("kind", "fields"),
    FORMS,
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())),
)
kinds = pytest.mark.parametrize("kind", STATES)
Vector = list[float]


def config_of(kind: str, **fields: Any) -> AttnSeq2SeqConfig:
    return tiny_config(**{**TRANSFORMER, "decoder_layers": 2, "decoder_mixer": kind, **fields})


def mixer_of(kind: str, **fields: Any) -> StateMixer:
    mixer = scrambled(build_mixer(config_of(kind, hidden_size=8, **fields))).double()
    assert isinstance(mixer, StateMixer)
    return mixer


def model_of(kind: str, seed: int = 0, **fields: Any) -> AttnSeq2SeqForConditionalGeneration:
    free = {"tie_word_embeddings": False, "decoder_layers": 2}
    return tiny_model(seed, 0.6, **{**TRANSFORMER, **free, "decoder_mixer": kind, **fields}).double()


# --------------------------------------------------------------------------------------------------------------------
# The equations, number by number
# --------------------------------------------------------------------------------------------------------------------


def linear(layer: nn.Module, inputs: Vector) -> Vector:
    if isinstance(layer, nn.Identity):
        return inputs
    weight, bias = layer.weight.tolist(), layer.bias.tolist()
    return [sum(w * x for w, x in zip(row, inputs)) + b for row, b in zip(weight, bias)]


def sigmoid(numbers: Vector) -> Vector:
    return [1 / (1 + math.exp(-x)) for x in numbers]


def average(mixer: Any, inputs: list[Vector], fields: dict[str, Any]) -> list[Vector]:
    """Zhang et al. 2018, section 3, with Marian's gates."""
    activation = {
        "relu": lambda x: max(0.0, x),
        "silu": lambda x: x / (1 + math.exp(-x)),
    }[fields.get("average_act", "relu")]
    outputs = []
    for step, y in enumerate(inputs):
        g = [sum(column) / (step + 1) for column in zip(*inputs[: step + 1])]
        for layer in mixer.inner_projections:
            g = [activation(x) for x in linear(layer, g)]
        g = linear(mixer.output_projection, g)
        if mixer.input_gate is None:
            outputs.append(g)
            continue
        i, f = sigmoid(linear(mixer.input_gate, y)), sigmoid(linear(mixer.forget_gate, g))
        outputs.append([a * b + c * d for a, b, c, d in zip(i, y, f, g)])
    return outputs


def ssru(mixer: Any, inputs: list[Vector], fields: dict[str, Any]) -> list[Vector]:
    """Kim et al. 2019, section 3.1, in Marian's form."""
    weight, bias = mixer.cell.input_projections[0].weight.tolist(), mixer.cell.forget_bias.tolist()
    width, c, outputs = len(bias), [0.0] * len(bias), []
    for x in inputs:
        products = [sum(w * number for w, number in zip(row, x)) for row in weight]
        f = sigmoid([product + b for product, b in zip(products[:width], bias)])
        c = [gate * old + (1 - gate) * new for gate, old, new in zip(f, c, products[width:])]
        outputs.append([max(0.0, number) for number in c])
    return outputs


def min_gru(mixer: Any, inputs: list[Vector], fields: dict[str, Any]) -> list[Vector]:
    """Feng et al. 2024, section 3.1."""
    width, outputs = mixer.state_size, [[0.0] * mixer.state_size]
    for x in inputs:
        products = linear(mixer.cell.input_projections[0], x)
        z = sigmoid(products[:width])
        outputs.append([(1 - gate) * old + gate * new for gate, old, new in zip(z, outputs[-1], products[width:])])
    return outputs[1:]


REFERENCES: dict[str, Callable[[Any, list[Vector], dict[str, Any]], list[Vector]]] = {
    "ssru": ssru,
    "min_gru": min_gru,
    "average": average,
}


def test_the_registry_and_the_configuration_name_the_same_kinds() -> None:
    assert tuple(MIXERS) == DECODER_MIXERS
    assert set(REFERENCES) == set(STATES)
    assert [kind for kind, mixer in MIXERS.items() if not mixer.carries_state] == ["attention"]


@forms
def test_against_the_equations(kind: str, fields: dict[str, Any]) -> None:
    mixer = mixer_of(kind, **fields)
    inputs = torch.randn(3, 6, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    outputs, weights = mixer(inputs, None)
    assert weights is None
    expected = torch.tensor([REFERENCES[kind](mixer, row, fields) for row in inputs.tolist()], dtype=torch.float64)
    torch.testing.assert_close(outputs, expected, rtol=0, atol=1e-12)


@forms
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_one_step_after_another(kind: str, fields: dict[str, Any], dtype: torch.dtype) -> None:
    mixer = mixer_of(kind, **fields).to(dtype)
    inputs = torch.randn(3, 20, 8, dtype=dtype, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        at_once, _ = mixer(inputs, None)
        cache = AttnSeq2SeqCache(3)
        steps = [mixer(inputs[:, step : step + 1], None, None, cache, 1)[0] for step in range(20)]
    assert not cache.layers[0].is_initialized
    assert cache.layers[1].keys.shape == (3, 1, 1, mixer.state_size)
    tolerance = 1e-9 if dtype == torch.float64 else 1e-6 * float(at_once.abs().max())
    torch.testing.assert_close(torch.cat(steps, 1), at_once, rtol=0, atol=tolerance)


@kinds
@pytest.mark.parametrize("side", ["left", "inside", "right"])
def test_padded_steps_change_nothing(kind: str, side: str) -> None:
    mixer = mixer_of(kind)
    mask = padded_batch((5, 2, 6), side=side, extra=2).attention_mask.bool()
    inputs = torch.randn(*mask.shape, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    inputs = inputs.masked_fill(~mask.unsqueeze(-1), 1e3)
    cache, more = AttnSeq2SeqCache(), torch.ones(3, 1, 8, dtype=torch.float64)
    outputs, _ = mixer(inputs, mask, None, cache)
    after, _ = mixer(more, None, None, cache)
    assert outputs.isfinite().all()
    for row, real in enumerate(mask):
        alone = AttnSeq2SeqCache()
        expected, _ = mixer(inputs[row : row + 1, real], None, None, alone)
        torch.testing.assert_close(outputs[row, real], expected[0], rtol=0, atol=1e-10)
        torch.testing.assert_close(after[row], mixer(more[:1], None, None, alone)[0][0], rtol=0, atol=1e-10)


@kinds
def test_gradients_are_those_of_single_steps(kind: str) -> None:
    mixer = mixer_of(kind)
    inputs = torch.randn(2, 5, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    mask = torch.tensor([[1, 1, 0, 1, 1], [0, 1, 1, 1, 0]]).bool()
    wanted = [inputs, *mixer.parameters()]
    pick = torch.randn(2, 5, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    pick = pick.masked_fill(~mask.unsqueeze(-1), 0.0)
    at_once = torch.autograd.grad((mixer(inputs, mask)[0] * pick).sum(), wanted)
    cache, total = AttnSeq2SeqCache(), torch.zeros(())
    for step in range(5):
        here = slice(step, step + 1)
        total = total + (mixer(inputs[:, here], mask[:, here], None, cache)[0] * pick[:, here]).sum()
    torch.testing.assert_close(torch.autograd.grad(total, wanted), at_once, rtol=0, atol=1e-9)


@forms
@pytest.mark.parametrize("tgt_len", [1, 3])
def test_every_parameter_gets_a_gradient(kind: str, fields: dict[str, Any], tgt_len: int) -> None:
    """Else distributed training stops."""
    model = model_of(kind, norm_position="pre", **fields).train()
    source = padded_batch()
    model(source.input_ids, labels=padded_batch(seed=2).input_ids[:, :tgt_len]).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert "mixer" not in name or parameter.grad.count_nonzero(), name


@kinds
def test_half_precision_holds_its_state_in_single(kind: str) -> None:
    mixer = mixer_of(kind).to(torch.bfloat16)
    inputs = torch.randn(2, 300, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    cache = AttnSeq2SeqCache()
    with torch.no_grad():
        half, _ = mixer(inputs.bfloat16(), None, None, cache)
        exact, _ = mixer.double()(inputs, None)
    assert half.dtype == torch.bfloat16
    assert cache.layers[0].keys.dtype == torch.float32
    # The state after 300 steps is not further away than that after 10.
    gaps = (half.double() - exact).abs().mean((0, 2))
    assert gaps[-10:].mean() < 4 * gaps[:10].mean() + 1e-3


# --------------------------------------------------------------------------------------------------------------------
# In the decoder
# --------------------------------------------------------------------------------------------------------------------


def pieces(model: Any, tgt_len: int = 6) -> dict[str, Any]:
    source, target = padded_batch(), padded_batch((tgt_len, tgt_len - 2, tgt_len - 1), seed=3)
    encoded = model.get_encoder()(input_ids=source.input_ids, attention_mask=source.attention_mask)
    return {"encoder_outputs": encoded, "attention_mask": source.attention_mask, "target": target.input_ids}


def run(model: Any, parts: dict[str, Any], target: torch.Tensor, cache: Any = None, **options: Any) -> Any:
    given = {name: value for name, value in parts.items() if name != "target"}
    return model(**given, decoder_input_ids=target, past_key_values=cache, **options)


@forms
@pytest.mark.parametrize("norm_position", ["post", "pre"])
@torch.no_grad()
def test_a_cached_decoder_gives_what_all_steps_give(kind: str, fields: dict[str, Any], norm_position: str) -> None:
    model = model_of(kind, norm_position=norm_position, **fields)
    parts = pieces(model)
    target = parts["target"]
    full = run(model, parts, target, use_cache=False).logits
    for chunks in ([1] * 6, [3, 1, 2], [6]):
        cache, logits = None, []
        for chunk in target.split(chunks, dim=1):
            out = run(model, parts, chunk, cache, use_cache=True)
            cache, logits = out.past_key_values, [*logits, out.logits]
        torch.testing.assert_close(torch.cat(logits, 1), full, rtol=0, atol=1e-9)
        assert cache.get_seq_length() == 6


@kinds
@pytest.mark.parametrize("side", ["left", "inside"])
@torch.no_grad()
def test_a_padded_target_is_as_one_without(kind: str, side: str) -> None:
    model = model_of(kind)
    source = padded_batch()
    target = padded_batch((5, 3, 6), seed=4, side=side, extra=1)
    logits = model(
        source.input_ids,
        attention_mask=source.attention_mask,
        decoder_input_ids=target.input_ids,
        decoder_attention_mask=target.attention_mask,
    ).logits
    for row, sentence in enumerate(target.sentences):
        alone = model(source.sentences[row][None], decoder_input_ids=sentence[None]).logits[0]
        real = logits[row, target.attention_mask[row].bool()]
        torch.testing.assert_close(real, alone, rtol=0, atol=1e-9)


@kinds
@torch.no_grad()
def test_the_cache_goes_back_and_moves_with_the_beams(kind: str) -> None:
    model = model_of(kind)
    parts = pieces(model)
    target, order = parts["target"], torch.tensor([2, 0, 0])
    full = run(model, parts, target, use_cache=False).logits
    cache = new_state_cache(2)
    cache.activate_past_recording()
    run(model, parts, target[:, :4], cache)
    run(model, parts, target[:, 4:] + 1, cache)
    cache.crop(0)
    cache.crop(-2)
    assert cache.get_seq_length() == 4
    torch.testing.assert_close(run(model, parts, target[:, 4:], cache).logits, full[:, 4:], rtol=0, atol=1e-9)
    cache.crop(-3)
    cache.reorder_cache(order)
    parts["encoder_outputs"] = (parts["encoder_outputs"][0][order],)
    parts["attention_mask"] = parts["attention_mask"][order]
    after = run(model, parts, target[order, 3:], cache).logits
    torch.testing.assert_close(after, full[order, 3:], rtol=0, atol=1e-9)
    cache.crop(-6)
    again = run(model, parts, target[order], cache).logits
    torch.testing.assert_close(again, full[order], rtol=0, atol=1e-9)


@kinds
@pytest.mark.parametrize("stock", ["dynamic", "static"])
@torch.no_grad()
def test_stock_caches_serve_too(kind: str, stock: str) -> None:
    model = model_of(kind)
    parts = pieces(model)
    target = parts["target"]
    if stock == "dynamic":
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
    else:
        cache = EncoderDecoderCache(StaticCache(model.config, 6), StaticCache(model.config, 7))
    full = run(model, parts, target, use_cache=False).logits
    for step in range(6):
        logits = run(model, parts, target[:, step : step + 1], cache).logits
        torch.testing.assert_close(logits, full[:, step : step + 1], rtol=0, atol=1e-6)


@kinds
def test_a_state_costs_the_same_however_long_the_target_is(kind: str) -> None:
    model = model_of(kind)
    model.generation_config.eos_token_id = None
    sizes = []
    for steps in (3, 30):
        out = model.generate(padded_batch().input_ids, max_new_tokens=steps, return_dict_in_generate=True)
        layers = out.past_key_values.self_attention_cache.layers
        assert len(layers) == 2
        assert out.past_key_values.get_seq_length() == steps
        sizes.append([layer.keys.numel() + layer.values.numel() for layer in layers])
    assert sizes[0] == sizes[1]


@kinds
def test_there_are_no_weights_of_self_attention(kind: str) -> None:
    model = model_of(kind)
    source, target = padded_batch(), padded_batch(seed=2)
    out = model(source.input_ids, decoder_input_ids=target.input_ids, output_attentions=True)
    assert out.decoder_attentions == ()
    assert len(out.cross_attentions) == 2
    assert len(out.encoder_attentions) == 1
    found = model.generate(
        source.input_ids,
        attention_mask=source.attention_mask,
        num_beams=2,
        max_new_tokens=4,
        output_attentions=True,
        return_dict_in_generate=True,
    )
    assert set(found.decoder_attentions) == {()}
    assert all(len(step) == 2 for step in found.cross_attentions)


@kinds
def test_a_model_is_saved_with_its_mixer(kind: str, tmp_path: Any) -> None:
    model = model_of(kind).float()
    model.save_pretrained(tmp_path)
    loaded = AttnSeq2SeqForConditionalGeneration.from_pretrained(tmp_path)
    assert loaded.config.decoder_mixer == kind
    source, target = padded_batch(), padded_batch(seed=2)
    found, expected = (each(source.input_ids, labels=target.input_ids).loss for each in (loaded, model))
    assert found == expected


def test_self_attention_keeps_the_names_of_saved_models() -> None:
    names = AttnSeq2SeqForConditionalGeneration(tiny_config(**TRANSFORMER)).state_dict()
    layer = "model.decoder.stack.layers.0"
    parts = ("query", "key", "value", "output")
    assert {name for name in names if name.startswith(f"{layer}.self_attention")} == {
        *(f"{layer}.self_attention.{part}_projection.{kind}" for part in parts for kind in ("weight", "bias")),
        *(f"{layer}.self_attention_norm.{kind}" for kind in ("weight", "bias")),
    }
    assert not [name for name in names if "mixer" in name]


@kinds
def test_recurrent_decoders_take_no_mixer(kind: str) -> None:
    with pytest.raises(ValueError, match=f"^decoder_mixer='{kind}' stands in for .*'gru' does not have: choose .*$"):
        AttnSeq2SeqConfig(decoder_mixer=kind)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"decoder_mixer": "lstm"}, "decoder_mixer='lstm' is unknown: choose one of attention, "),
        ({"average_layers": -1}, "average_layers=-1 must be at least 0."),
        ({"average_size": 0}, "average_size=0 must be at least 1."),
        ({"average_act": "step"}, "average_act='step' is unknown: choose one of "),
    ],
)
def test_bad_fields_get_one_sentence(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(told)}.*$"):
        AttnSeq2SeqConfig(**{**TRANSFORMER, **fields})


@kinds
def test_keys_and_values_of_another_model_are_refused(kind: str) -> None:
    """Prefix tuning puts them there."""
    model = model_of(kind)
    past = EncoderDecoderCache(DynamicCache(), DynamicCache())
    past.self_attention_cache.update(torch.zeros(3, 4, 2, 4), torch.zeros(3, 4, 2, 4), 0)
    with pytest.raises(ValueError, match=r"^past_key_values has tokens but no source.*prompt tuning here\.$"):
        run(model, pieces(model), padded_batch(seed=2).input_ids, past)
