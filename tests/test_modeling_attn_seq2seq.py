# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The models' own promises: bad input is refused, attentions handed out or refused, never silently left out."""

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import distributed, nn
from transformers import DynamicCache
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils import output_capturing

from hf_attn_seq2seq import AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.attention import ATTENTIONS
from hf_attn_seq2seq.configuration_attn_seq2seq import (
    _CHOICES,
    BRIDGES,
    FINAL_STATE_BRIDGES,
    FREE_SCORE_ATTENTIONS,
    READOUTS,
    TWO_PART_CELLS,
)
from hf_attn_seq2seq.transformer import sinusoids, sinusoids_concatenated, sinusoids_in_halves
from tests.helpers import STACK_PAIRS, scrambled, tiny_config, tiny_model


RECURRENT = {"encoder_type": "gru", "decoder_type": "lstm"}
TRANSFORMER = {"encoder_type": "transformer", "decoder_type": "transformer", "attention_type": "multi_head"}
FAMILIES = pytest.mark.parametrize("family", [RECURRENT, TRANSFORMER], ids=["recurrent", "transformer"])


def build(family: dict, **fields) -> AttnSeq2SeqForConditionalGeneration:
    return scrambled(
        AttnSeq2SeqForConditionalGeneration(tiny_config(encoder_layers=2, decoder_layers=2, **{**family, **fields}))
    )


def ids(batch: int, length: int, high: int = 10) -> torch.Tensor:
    return torch.randint(3, high, (batch, length), generator=torch.Generator().manual_seed(length))


@FAMILIES
@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({"input_ids": torch.zeros(2, 0, dtype=torch.long)}, "The source is empty"),
        (
            {"input_ids": ids(2, 4), "attention_mask": torch.tensor([[1, 1, 1, 1], [0, 0, 0, 0]])},
            "Source 1 .* padding",
        ),
        ({"input_ids": torch.full((2, 4), 99)}, "input_ids hold 99, which is outside the vocabulary"),
        ({"input_ids": torch.tensor([[99]])}, "input_ids hold 99"),
        ({"input_ids": torch.full((2, 4), -1)}, "input_ids hold -1"),
        ({"input_ids": ids(2, 4).float()}, "must be integers, not torch.float32"),
        ({"input_ids": ids(2, 4), "attention_mask": torch.ones(2, 3)}, r"attention_mask has shape \(2, 3\)"),
        ({"input_ids": ids(2, 4)[0]}, r"must be \(batch, length\)"),
        ({}, "exactly one of input_ids and inputs_embeds"),
        ({"input_ids": ids(2, 4), "inputs_embeds": torch.zeros(2, 4, 16)}, "exactly one of"),
        ({"input_ids": ids(2, 4), "labels": torch.full((2, 3), 99)}, "hold 99"),
        ({"input_ids": ids(2, 4), "labels": None}, "Give labels to train on, or decoder_input_ids"),
        ({"input_ids": ids(2, 4), "labels": None, "decoder_input_ids": ids(2, 0)}, "The target is empty"),
        ({"input_ids": ids(2, 4), "labels": None, "decoder_input_ids": ids(2, 3) + 99}, "decoder_input_ids hold"),
        ({"input_ids": ids(2, 4), "decoder_attention_mask": torch.ones(2, 9)}, r"decoder_attention_mask has shape"),
        ({"input_ids": ids(2, 4), "past_key_values": DynamicCache()}, "must be an EncoderDecoderCache"),
        ({"input_ids": ids(3, 4)}, "The source has 3 rows and the target 2"),
        ({"input_ids": ids(2, 4), "attention_mask": torch.ones(4)}, r"must be \(batch, length\)"),
        ({"input_ids": ids(2, 4), "decoder_attention_mask": torch.ones(3)}, r"must be \(batch, length\)"),
        ({"input_ids": ids(2, 4), "labels": torch.ones(3, dtype=torch.long)}, r"must be \(batch, tgt_len\)"),
        (
            {"input_ids": ids(2, 4), "decoder_input_ids": ids(2, 5)},
            r"labels have shape \(2, 3\) and the target \(2, 5\)",
        ),
        ({"input_ids": torch.zeros(0, 4, dtype=torch.long)}, "The source is an empty batch"),
        ({"inputs_embeds": torch.zeros(2, 4, 8)}, "source's embeddings are 8 wide: the model's are 16"),
        ({"encoder_outputs": (torch.zeros(2, 4, 8),)}, r"must be \(batch, src_len, 16\)"),
        (
            {"encoder_outputs": BaseModelOutput(torch.zeros(2, 4, 16)), "attention_mask": torch.ones(2, 5)},
            "one number per encoder state",
        ),
    ],
)
def test_bad_input_gets_one_sentence(family: dict, inputs: dict, told: str) -> None:
    model = build(family)
    with pytest.raises(ValueError, match=told) as error:
        model(**{"labels": ids(2, 3), **inputs})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["decoder_start_token_id", "pad_token_id"])
def test_labels_need_a_start_and_a_pad_token(name: str) -> None:
    model = build(RECURRENT)
    setattr(model.config, name, None)
    with pytest.raises(ValueError, match=f"Labels need {name}"):
        model(input_ids=ids(2, 4), labels=ids(2, 3))


@FAMILIES
def test_a_cache_of_other_rows_is_refused(family: dict) -> None:
    model = build(family)
    cache = model(input_ids=ids(3, 4), decoder_input_ids=ids(3, 2), use_cache=True).past_key_values
    with pytest.raises(ValueError, match="The target has 2 rows and past_key_values has 3"):
        model(input_ids=ids(2, 4), decoder_input_ids=ids(2, 1), past_key_values=cache)


def test_a_recurrent_decoder_refuses_a_square_mask() -> None:
    with pytest.raises(ValueError, match=r"must be \(batch, length\)"):
        build(RECURRENT)(
            input_ids=ids(2, 4), decoder_input_ids=ids(2, 3), decoder_attention_mask=torch.ones(2, 1, 3, 3)
        )


def test_no_attention_has_no_weights_to_hand_out() -> None:
    with pytest.raises(ValueError, match="has no attention weights"):
        build(RECURRENT, attention_type="none")(
            input_ids=ids(2, 4), decoder_input_ids=ids(2, 3), output_attentions=True
        )


@FAMILIES
def test_attentions_asked_of_a_fused_kernel_are_computed(family: dict) -> None:
    model = build(family, attention_type="multi_head", num_attention_heads=2).double()
    model.set_attn_implementation("sdpa")
    mask = torch.tensor([[1, 1, 1, 1, 0], [0, 1, 1, 1, 1]])
    inputs = {"input_ids": ids(2, 5), "attention_mask": mask, "decoder_input_ids": ids(2, 3)}
    plain, shown = model(**inputs), model(**inputs, output_attentions=True)
    torch.testing.assert_close(plain.logits, shown.logits)
    assert model.config._attn_implementation == "sdpa"
    for weights in shown.cross_attentions:
        assert weights.shape == (2, 2, 3, 5)
        assert weights[0, :, :, 4].eq(0).all()
        assert weights[1, :, :, 0].eq(0).all()
    model.set_attn_implementation("eager")
    eager = model(**inputs, output_attentions=True)
    for ours, theirs in zip(shown.cross_attentions, eager.cross_attentions):
        torch.testing.assert_close(ours, theirs)
    assert len(shown.encoder_attentions) == len(eager.encoder_attentions) == (0 if family is RECURRENT else 2)
    assert len(shown.decoder_attentions) == len(eager.decoder_attentions) == (0 if family is RECURRENT else 2)


@FAMILIES
def test_hidden_states_can_be_selected(family: dict) -> None:
    model = build(family).eval()
    inputs = {"input_ids": ids(2, 5), "decoder_input_ids": ids(2, 3)}
    every = model(**inputs, output_hidden_states=True)
    some = model(**inputs, output_hidden_states=[0, -1])
    # The encoder's are recorded by Transformers, which selects in newer versions; the decoder's by the model itself.
    encoder_selects = hasattr(output_capturing, "resolve_hidden_states_indices")
    for name in ("encoder_hidden_states", "decoder_hidden_states") if encoder_selects else ("decoder_hidden_states",):
        assert len(every[name]) == 3
        assert some[name][1] is None
        torch.testing.assert_close(some[name][-1], every[name][-1])
    assert model(**inputs, output_hidden_states=False).decoder_hidden_states is None


def test_loss_is_the_mean_over_labels_that_count() -> None:
    model = build(RECURRENT).eval()
    labels = ids(2, 4)
    labels[1, 2:] = -100
    out = model(input_ids=ids(2, 5), labels=labels)
    logs = out.logits.log_softmax(-1)
    picked = [
        -logs[row, step, labels[row, step]] for row in range(2) for step in range(4) if labels[row, step] != -100
    ]
    torch.testing.assert_close(out.loss, torch.stack(picked).mean())
    summed = model(input_ids=ids(2, 5), labels=labels, num_items_in_batch=torch.tensor(12)).loss
    torch.testing.assert_close(summed, torch.stack(picked).sum() / 12)


@pytest.mark.parametrize("encoder", ["lstm", "gru"])  # under autocast the first gives 16 bits, the other 32
@pytest.mark.parametrize("kind", ["local_m", "coverage", "general"])
def test_a_static_cache_takes_half_precision(kind: str, encoder: str) -> None:
    fields = {"encoder_type": encoder, "decoder_type": "gru", "attention_type": kind}
    half = build(fields).to(torch.bfloat16)
    whole = build(fields)
    for model, context in ((half, torch.no_grad()), (whole, torch.autocast("cpu", torch.bfloat16))):
        options = {"max_new_tokens": 6, "min_new_tokens": 6}
        with context:
            static = model.generate(ids(2, 5), cache_implementation="static", **options)
            dynamic = model.generate(ids(2, 5), **options)
        assert static.equal(dynamic)


def test_coverage_adds_up_in_half_precision() -> None:
    attention = build({"encoder_type": "gru", "decoder_type": "gru", "attention_type": "coverage"}).to(torch.bfloat16)
    attention = attention.model.decoder.stack.steps.attention
    memory = attention.memory(torch.randn(1, 100, 16, dtype=torch.bfloat16))
    queries = torch.randn(1, 600, 16, dtype=torch.bfloat16)
    with torch.no_grad():
        out = attention(queries, memory)
    torch.testing.assert_close(out.state, out.weights.float().sum(2).flatten(1), rtol=1e-4, atol=1e-4)


def test_flash_is_not_used_where_it_would_mistake_the_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Interface:
        @staticmethod
        def get_interface(name: str, default: object) -> object:
            asked.append(name)
            return default

    monkeypatch.setattr("hf_attn_seq2seq.attention.ALL_ATTENTION_FUNCTIONS", Interface)
    attention = build(TRANSFORMER).model.decoder.stack.layers[0].cross_attention
    attention.config._attn_implementation_internal = "flash_attention_2"
    states, mask = torch.randn(2, 5, 16), torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
    for length, padding in ((3, None), (1, mask), (3, mask), (5, mask)):
        memory = attention.memory(states, padding)
        attention(torch.randn(2, length, 16), memory, None, False)
    assert asked == ["flash_attention_2", "flash_attention_2", "sdpa", "sdpa"]


@pytest.mark.parametrize("shared", [True, False])
def test_resizing_to_a_multiple_keeps_one_vocabulary(shared: bool, tmp_path) -> None:
    model = build(RECURRENT, vocab_size=21, share_encoder_decoder_embeddings=shared)
    model.resize_token_embeddings(pad_to_multiple_of=8)
    assert (model.config.vocab_size, model.config.decoder_vocab_size, model.lm_head.out_features) == (24, 24, 24)
    assert model.get_decoder().embed_tokens.weight.shape == (24, 16)
    model.save_pretrained(tmp_path)
    again = AttnSeq2SeqForConditionalGeneration.from_pretrained(tmp_path)
    inputs = {"input_ids": ids(2, 4), "decoder_input_ids": ids(2, 3)}
    torch.testing.assert_close(again(**inputs).logits, model(**inputs).logits)


def test_sinusoids_in_halves() -> None:
    """Against the formula, number by number."""
    found = sinusoids_in_halves(torch.tensor([[0, 1, 7]]), 6)
    for row, position in enumerate((0, 1, 7)):
        angles = [position / 10000 ** (index / 2) for index in range(3)]
        expected = [*map(math.sin, angles), *map(math.cos, angles)]
        torch.testing.assert_close(found[0, row], torch.tensor(expected))


def test_sinusoids_concatenated() -> None:
    positions = torch.tensor([[0, 1, 7]])
    sines_and_cosines = sinusoids(positions, 6).unflatten(-1, (3, 2))
    expected = torch.cat([sines_and_cosines[..., 0], sines_and_cosines[..., 1]], dim=-1)
    assert sinusoids_concatenated(positions, 6).equal(expected)


def test_embeddings_are_scaled_or_not() -> None:
    scaled, plain = (build(TRANSFORMER, tie_word_embeddings=False, scale_embeddings=each) for each in (True, False))
    state = scaled.state_dict()
    for name in (name for name in state if name.endswith("embed_tokens.weight")):
        state[name] = state[name] * scaled.config.hidden_size**0.5
    plain.load_state_dict(state)
    inputs = {"input_ids": ids(2, 4), "decoder_input_ids": ids(2, 3)}
    torch.testing.assert_close(plain(**inputs).logits, scaled(**inputs).logits)


def test_positions_begin_later() -> None:
    """As those of a table that begins with what comes before."""
    model = build(TRANSFORMER, position_offset=2, embedding_norm=True)
    positions = model.get_encoder().stack.positions.eval()
    embeds = torch.randn(1, 3, 16)
    table = sinusoids(torch.arange(5).unsqueeze(0), 16)
    expected = nn.functional.layer_norm(embeds * 4.0 + table[:, 2:], (16,), positions.norm.weight, positions.norm.bias)
    torch.testing.assert_close(positions(embeds, torch.arange(3).unsqueeze(0), 0), expected)


@pytest.mark.parametrize("norm_position", ["post", "pre"])
def test_residual_alpha(norm_position: str) -> None:
    """Against the sums written out, in both stacks."""
    model = build(TRANSFORMER, norm_position=norm_position, residual_alpha=1.5, encoder_residual_alpha=0.5)
    pre = norm_position == "pre"
    encoder, decoder = (part.stack.layers[0] for part in (model.get_encoder(), model.get_decoder()))
    states, memory = torch.randn(2, 1, 16), torch.randn(2, 4, 16)
    attend = decoder.cross_attention

    def summed(norm: Any, part: Any, alpha: float, states: torch.Tensor) -> torch.Tensor:
        made = alpha * states + part(norm(states) if pre else states)
        return made if pre else norm(made)

    found = encoder(states, None, None).hidden_states
    expected = summed(encoder.self_attention_norm, lambda x: encoder.self_attention(x, None, None)[0], 0.5, states)
    expected = summed(encoder.feed_forward_norm, encoder.feed_forward, 0.5, expected)
    torch.testing.assert_close(found, expected)
    found = decoder(states, None, None, torch.zeros(1, 1), memory, None).hidden_states
    expected = summed(decoder.self_attention_norm, lambda x: decoder.self_attention(x, None, None)[0], 1.5, states)
    expected = summed(
        decoder.cross_attention_norm, lambda x: attend(x, attend.memory(memory, None)).context, 1.5, expected
    )
    expected = summed(decoder.feed_forward_norm, decoder.feed_forward, 1.5, expected)
    torch.testing.assert_close(found, expected)


@FAMILIES
def test_the_decoder_starts_from_zeros(family: dict) -> None:
    model = build(family, zero_start=True)
    table, start = model.get_decoder().embed_tokens.weight, model.config.decoder_start_token_id
    source, target = ids(2, 4), ids(2, 3)
    target[:, 0] = start
    embeds = nn.functional.embedding(target, table)
    embeds[:, 0] = 0.0
    expected = model(input_ids=source, decoder_inputs_embeds=embeds).logits
    torch.testing.assert_close(model(input_ids=source, decoder_input_ids=target).logits, expected)
    found = model.generate(source, max_new_tokens=5, do_sample=False)
    with torch.no_grad():
        table[start] = 5.0
    if not model.config.tie_word_embeddings:
        assert found.equal(model.generate(source, max_new_tokens=5, do_sample=False))
    torch.testing.assert_close(model(input_ids=source, decoder_input_ids=target).logits[..., 5:], expected[..., 5:])


def test_feed_forward_widths_apart() -> None:
    stacks = build(TRANSFORMER, encoder_intermediate_size=12).model
    widths = [part.stack.layers[0].feed_forward.input_projection.out_features for part in stacks.children()]
    assert widths == [12, 24]


def test_learned_positions_end_with_a_sentence() -> None:
    model = build(TRANSFORMER, position_type="learned", max_position_embeddings=8)
    for cache in (None, "static"):
        with pytest.raises(ValueError, match="max_position_embeddings=8"):
            model.generate(ids(1, 4), max_new_tokens=20, min_new_tokens=20, cache_implementation=cache)
    with pytest.raises(ValueError, match="A sequence of 9 tokens"):
        model(input_ids=ids(1, 9), decoder_input_ids=ids(1, 2))


# --------------------------------------------------------------------------------------------------------------------
# Every parameter is used
# --------------------------------------------------------------------------------------------------------------------


def every_pairing() -> list[Any]:
    """Encoders and decoders with every attention and place of the norms; what else a model may have takes turns."""
    found = []
    for (encoder, decoder), attention, norm in itertools.product(STACK_PAIRS, ATTENTIONS, _CHOICES["norm_position"]):
        turn = len(found)
        readout = READOUTS[turn // 2 % len(READOUTS)]
        query = _CHOICES["attention_query"][turn % 3]
        if readout == "linear" and (query == "current" or encoder == decoder == "transformer"):
            readout = "affine"  # the state alone is read where the context enters the cell
        bridge = BRIDGES[turn // 3 % len(BRIDGES)]
        layers = 1 + turn // 2 % 2
        fits = encoder != "transformer" and (encoder in TWO_PART_CELLS) == (decoder in TWO_PART_CELLS)
        if bridge in FINAL_STATE_BRIDGES and decoder != "transformer" and not fits:
            bridge = "dense"
        fields = {
            "encoder_type": encoder,
            "decoder_type": decoder,
            "attention_type": attention,
            "norm_position": norm,
            "position_type": _CHOICES["position_type"][turn % len(_CHOICES["position_type"])],
            "embedding_norm": turn % 3 == 1,
            "attention_query": query,
            "readout": readout,
            "attention_bias": attention in FREE_SCORE_ATTENTIONS and turn % 2 == 0,
            "attention_weight_norm": attention in FREE_SCORE_ATTENTIONS and turn % 3 == 0,
            "bridge": bridge,
            "input_feeding": turn % 5 < 2 and decoder != "transformer",
            "bidirectional": turn % 3 > 0,
            "layer_norm": turn % 4 > 1,
            "residual": turn % 7 > 2,
            "encoder_layers": layers if bridge == "final" else 1 + turn % 2,
            "decoder_layers": layers,
            "tie_word_embeddings": turn % 3 == 0 and readout != "concat",
        }
        try:
            tiny_config(**fields)
        except ValueError:
            continue
        found.append(pytest.param(fields, id=f"{encoder}-{decoder}-{attention}-{norm}"))
    return found


@pytest.mark.parametrize("fields", every_pairing())
@pytest.mark.parametrize("tgt_len", [1, 3])
def test_every_parameter_gets_a_gradient(fields: dict, tgt_len: int) -> None:
    # One without would stop DistributedDataParallel at the second step.
    model = tiny_model(**fields).train()
    model(input_ids=ids(2, 4), labels=ids(2, tgt_len)).loss.backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


WITHOUT_QUERY = {**TRANSFORMER, "attention_type": "none", "norm_position": "pre"}


def test_a_decoder_that_asks_nothing_trains_in_parallel(tmp_path: Path) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        model = nn.parallel.DistributedDataParallel(build(WITHOUT_QUERY).train())
        for _ in range(2):
            model(input_ids=ids(2, 4), labels=ids(2, 3)).loss.backward()
    finally:
        distributed.destroy_process_group()


def test_a_checkpoint_with_the_norm_that_nobody_read_loads_as_before(tmp_path: Path, caplog: Any) -> None:
    model = build(WITHOUT_QUERY)
    model.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    state = load_file(path)
    for layer in range(2):
        prefix = f"model.decoder.stack.layers.{layer}.cross_attention_norm"
        state.update({f"{prefix}.weight": torch.randn(16), f"{prefix}.bias": torch.randn(16)})
    save_file(state, path, metadata={"format": "pt"})
    with caplog.at_level("WARNING", logger="transformers"):
        again, info = AttnSeq2SeqForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["unexpected_keys"]
    assert not info["missing_keys"]
    assert "cross_attention_norm" not in caplog.text
    inputs = {"input_ids": ids(2, 4), "labels": ids(2, 3)}
    torch.testing.assert_close(again(**inputs).logits, model(**inputs).logits)


@pytest.mark.parametrize("norm_position", ["post", "pre"])
def test_a_norm_that_is_read_is_missed(norm_position: str, tmp_path: Path) -> None:
    model = build(TRANSFORMER, norm_position=norm_position)
    assert len([name for name, _ in model.named_parameters() if "cross_attention_norm" in name]) == 4
    state = {name: value for name, value in model.state_dict().items() if "layers.1.cross_attention_norm" not in name}
    model.save_pretrained(tmp_path, state_dict=state)
    _, info = AttnSeq2SeqForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert len(info["missing_keys"]) == 2


@pytest.mark.parametrize("family", [RECURRENT, TRANSFORMER, {**TRANSFORMER, "decoder_type": "gru"}])
def test_attentions_of_a_training_model_are_whole(family: dict) -> None:
    model = build(family, attention_dropout=0.5).train()
    outputs = model(input_ids=ids(2, 6), labels=ids(2, 3), output_attentions=True)
    for name in ("encoder_attentions", "decoder_attentions", "cross_attentions"):
        for weights in getattr(outputs, name):
            torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
