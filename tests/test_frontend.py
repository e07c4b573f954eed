# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Speech and pictures as sources: the states and the mask that belongs to them, with any encoder and decoder."""

import math
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hf_attn_seq2seq import AttnSeq2SeqConfig, AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.attention import ATTENTIONS
from hf_attn_seq2seq.configuration_attn_seq2seq import RUNNING_STATE_ATTENTIONS
from hf_attn_seq2seq.ctc import ctc_loss
from hf_attn_seq2seq.decoding.loaded import quick_engine, why_no_graph_of
from hf_attn_seq2seq.decoding.recognition import states_of
from hf_attn_seq2seq.frontend import FRONTENDS, grid_positions, source_stride, to_front
from hf_attn_seq2seq.graphs.parts import write_graphs
from hf_attn_seq2seq.graphs.writer import write_graph
from hf_attn_seq2seq.modality import FRONTEND_TYPES
from hf_attn_seq2seq.recurrent import join_pairs
from tests.helpers import END, STACK_PAIRS, START, scrambled, tiny_config


SPEECH = {"frontend": "speech", "num_mel_bins": 10, "frontend_channels": [4, 5]}
LINES = {
    "frontend": "image",
    "image_layout": "columns",
    "image_height": 7,
    "image_channels": 1,
    "frontend_channels": [4, 5],
}
PICTURES = {"frontend": "image", "frontend_channels": [4, 5], "frontend_strides": [[2, 2], [1, 2]]}
KINDS = {"speech": SPEECH, "lines": LINES, "pictures": PICTURES}
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)


def build(kind: str, **fields: Any) -> AttnSeq2SeqForConditionalGeneration:
    """A scrambled model, in evaluation mode."""
    model = AttnSeq2SeqForConditionalGeneration(tiny_config(**{**KINDS[kind], **fields}))
    scrambled(model, scale=0.5)
    return model


def source(kind: str, length: int = 13, batch: int = 1, seed: int = 0) -> torch.Tensor:
    """Frames or pixels of that length or width."""
    generator = torch.Generator().manual_seed(seed)
    shape = {"speech": (batch, length, 10), "lines": (batch, 1, 7, length), "pictures": (batch, 3, 9, length)}[kind]
    return torch.randn(shape, generator=generator)


def padded(kind: str, inputs: torch.Tensor, before: int, after: int, above: int = 0) -> dict[str, torch.Tensor]:
    """The same with noise around it, and the mask that says so."""
    if kind == "speech":
        noise = torch.randn(len(inputs), before + inputs.shape[1] + after, 10)
        mask = torch.zeros(noise.shape[:2], dtype=torch.long)
        noise[:, before : before + inputs.shape[1]] = inputs
        mask[:, before : before + inputs.shape[1]] = 1
        return {"input_features": noise, "attention_mask": mask}
    _, channels, height, width = inputs.shape
    noise = torch.randn(len(inputs), channels, above + height, before + width + after)
    mask = torch.zeros(len(inputs), *noise.shape[2:], dtype=torch.long)
    noise[..., above:, before : before + width] = inputs
    mask[:, above:, before : before + width] = 1
    return {"pixel_values": noise, "pixel_mask": mask}


def test_every_front_end_says_what_it_reads() -> None:
    assert list(FRONTENDS) == list(FRONTEND_TYPES)


@pytest.mark.parametrize("name", FRONTENDS)
def test_a_front_end_reads_what_is_said_of_it(name: str) -> None:
    modality = FRONTEND_TYPES[name]
    model = AttnSeq2SeqForConditionalGeneration(tiny_config(frontend=name))
    inputs = {key: value for key, value in model.dummy_inputs.items() if key != "decoder_input_ids"}
    assert list(inputs) == [modality.input_name, modality.mask_name]
    assert inputs[modality.mask_name].shape == modality.mask_shape(inputs[modality.input_name].shape)
    assert (model.main_input_name, model.input_modalities) == (modality.input_name, modality.name)


@EVERY_KIND
@pytest.mark.parametrize("encoder", ["gru", "ssru", "transformer"])
@pytest.mark.parametrize(("before", "after"), [(0, 0), (0, 5), (3, 0), (5, 6)])
def test_padding_is_as_if_it_were_not_there(kind: str, encoder: str, before: int, after: int) -> None:
    pyramid = 1 if kind != "pictures" and encoder != "transformer" else 0
    model = build(kind, encoder_type=encoder, encoder_layers=2, pyramid_layers=pyramid).double()
    inputs = source(kind).double()
    above = 2 if kind == "pictures" and before else 0
    with torch.no_grad():
        alone = model.model.encoder(**{model.main_input_name: inputs})
        batch = {
            name: value.double() if value.is_floating_point() else value
            for name, value in padded(kind, inputs, before, after, above).items()
        }
        out = model.model.encoder(**batch)
    real = out.attention_mask.bool()[0]
    assert alone.attention_mask is None
    assert int(real.sum()) == alone.last_hidden_state.shape[1]
    torch.testing.assert_close(out.last_hidden_state[0, real], alone.last_hidden_state[0])


@EVERY_KIND
def test_a_state_stands_for_as_much_as_the_stride_says(kind: str) -> None:
    model = build(kind, encoder_layers=3, pyramid_layers=0 if kind == "pictures" else 2)
    states = model.model.encoder(**{model.main_input_name: source(kind, 50)}).last_hidden_state.shape[1]
    first, second = source_stride(model.config)
    expected = {
        "speech": math.ceil(50 / first),
        "lines": math.ceil(50 / second),
        "pictures": math.ceil(9 / first) * math.ceil(50 / second),
    }
    assert states == expected[kind]
    assert (first, second) == {"speech": (16, 1), "lines": (7, 16), "pictures": (2, 4)}[kind]


@EVERY_KIND
@pytest.mark.parametrize(("encoder", "decoder"), STACK_PAIRS)
def test_any_encoder_with_any_decoder_trains_and_generates(kind: str, encoder: str, decoder: str) -> None:
    model = build(kind, encoder_type=encoder, decoder_type=decoder).train()
    inputs = padded(kind, source(kind, 12), 0, 4)
    labels = torch.tensor([[4, 5, END]])
    model(**inputs, labels=labels).loss.backward()
    untrained = [name for name, weight in model.named_parameters() if weight.grad is None]
    assert not untrained
    model.eval()
    greedy = model.generate(**inputs, max_new_tokens=5)
    assert torch.equal(greedy, model.generate(**inputs, max_new_tokens=5, use_cache=False))
    beams = model.generate(**inputs, max_new_tokens=5, num_beams=3)
    assert torch.equal(beams, model.generate(**inputs, max_new_tokens=5, num_beams=3, use_cache=False))


@pytest.mark.parametrize(
    ("attention", "decoder"),
    [
        (attention, decoder)
        for attention in ATTENTIONS
        for decoder in ("gru", "transformer")
        if attention != "none" and not (decoder == "transformer" and attention in RUNNING_STATE_ATTENTIONS)
    ],
)
def test_any_attention_reads_the_states_and_their_mask(attention: str, decoder: str) -> None:
    model = build("speech", attention_type=attention, decoder_type=decoder, encoder_type="lstm")
    targets = torch.tensor([[START, 4, 5]])
    with torch.no_grad():
        alone = model(input_features=source("speech"), decoder_input_ids=targets, output_attentions=True)
        out = model(**padded("speech", source("speech"), 0, 9), decoder_input_ids=targets, output_attentions=True)
    weights, expected = out.cross_attentions[-1], alone.cross_attentions[-1]
    assert weights.shape[-1] == 6
    torch.testing.assert_close(weights[..., :4], expected)
    assert float(weights[..., 4:].abs().max()) == 0.0
    torch.testing.assert_close(out.logits, alone.logits)


@EVERY_KIND
def test_a_batch_of_unlike_sizes_is_generated_as_each_alone(kind: str) -> None:
    model = build(kind)
    first, second = source(kind, 16, seed=1), source(kind, 9, seed=2)
    rows = [padded(kind, first, 0, 0), padded(kind, second, 0, 7)]
    batch = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
    together = model.generate(**batch, max_new_tokens=6, num_beams=2)
    for row, inputs in enumerate((first, second)):
        alone = model.generate(**{model.main_input_name: inputs}, max_new_tokens=6, num_beams=2)
        assert together[row, : alone.shape[1]].tolist() == alone[0].tolist()


@EVERY_KIND
def test_saved_and_loaded_alike(kind: str, tmp_path: Any) -> None:
    model = build(kind, ctc_weight=0.0 if kind == "pictures" else 0.2)
    model.save_pretrained(tmp_path)
    loaded = AttnSeq2SeqForConditionalGeneration.from_pretrained(tmp_path).eval()
    for name in KINDS[kind]:
        assert getattr(loaded.config, name) == getattr(model.config, name)
    inputs, targets = {model.main_input_name: source(kind)}, torch.tensor([[START, 4]])
    torch.testing.assert_close(
        loaded(**inputs, decoder_input_ids=targets).logits, model(**inputs, decoder_input_ids=targets).logits
    )


def test_without_a_source_table_the_targets_is_resized() -> None:
    model = build("speech", ctc_weight=0.5)
    assert model.get_input_embeddings() is model.get_decoder().embed_tokens
    model.resize_token_embeddings(25)
    assert model.config.vocab_size == model.config.decoder_vocab_size == 25
    assert model.get_decoder().embed_tokens.num_embeddings == model.lm_head.out_features == 25
    labels = torch.tensor([[24, END]])
    assert torch.isfinite(model(input_features=source("speech"), labels=labels).loss)


def test_ctc_joins_the_loss_by_its_weight() -> None:
    model = build("speech", ctc_weight=0.3)
    inputs = padded("speech", source("speech", 24), 0, 8)
    labels = torch.tensor([[4, 5, 5, END]])
    encoded = model.model.encoder(**inputs)
    plain = nn.functional.cross_entropy(model(**inputs, labels=labels).logits[0], labels[0])
    ctc = ctc_loss(model.ctc_logits(encoded.last_hidden_state), encoded.attention_mask, labels, 0, [END])
    torch.testing.assert_close(model(**inputs, labels=labels).loss, 0.7 * plain + 0.3 * ctc / 4)
    summed = model(**inputs, labels=labels, num_items_in_batch=1, output_logits=False).loss
    torch.testing.assert_close(summed, 4 * (0.7 * plain + 0.3 * ctc / 4))


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"do_sample": True, "num_return_sequences": 2}])
def test_ctc_lets_a_search_go_on_beyond_its_states(options: dict[str, Any]) -> None:
    model = build("speech", ctc_weight=0.3)
    torch.manual_seed(0)
    found = model.generate(
        input_features=source("speech", 6), min_new_tokens=8, max_new_tokens=8, ctc_weight=0.4, **options
    )
    assert found.shape[1] == 9
    assert not (found[:, 1:] == 0).any()  # the blank is no token to write


def test_ctc_has_its_part_in_every_search(tmp_path: Any) -> None:
    model = build("speech", ctc_weight=0.3)
    inputs = padded("speech", source("speech", 60), 0, 8)
    plain = model.generate(**inputs, max_new_tokens=8, num_beams=3)
    joint = model.generate(**inputs, max_new_tokens=8, num_beams=3, ctc_weight=0.9)
    assert plain.tolist() != joint.tolist()
    model.generation_config.ctc_weight = 0.9
    assert torch.equal(model.generate(**inputs, max_new_tokens=8, num_beams=3), joint)
    uncached = model.generate(**inputs, max_new_tokens=8, num_beams=3, use_cache=False)
    assert torch.equal(uncached, joint)
    model.save_pretrained(tmp_path)
    loaded = AttnSeq2SeqForConditionalGeneration.from_pretrained(tmp_path)
    assert loaded.generation_config.ctc_weight == 0.9
    assert torch.equal(loaded.generate(**inputs, max_new_tokens=8, num_beams=3), joint)


def test_the_joint_search_finds_the_best_of_all_hypotheses() -> None:
    """Beams wide enough to lose nothing give the hypothesis that is best by (1 - w) log p_attention + w log p_CTC."""
    model = build("speech", ctc_weight=0.3, vocab_size=6)
    inputs = {"input_features": source("speech", 20)}
    found = model.generate(
        **inputs, max_new_tokens=3, num_beams=64, ctc_weight=0.4, length_penalty=0.0, early_stopping=False
    )[0]
    encoded = model.model.encoder(**inputs).last_hidden_state
    best: tuple[float, list[int]] = (-math.inf, [])
    others = [token for token in range(6) if token not in (0, END)]
    hypotheses = [[END], *([first, END] for first in others), *([a, b, END] for a in others for b in others)]
    for said in hypotheses:
        labels = torch.tensor([said])
        logits = model(**inputs, labels=labels).logits[0].log_softmax(-1)
        attention = float(logits.gather(1, labels[0].unsqueeze(1)).sum())
        ctc = -float(ctc_loss(model.ctc_logits(encoded), None, labels, 0, [END]))
        best = max(best, (0.6 * attention + 0.4 * ctc, said))
    # Unfinished hypotheses of three tokens are results too; only where a finished one won can the two be compared.
    assert found.tolist()[1:][: len(best[1])] == best[1]


def test_pairs_are_joined() -> None:
    states = torch.arange(10.0).view(1, 5, 2)
    joined, mask = join_pairs(states, torch.tensor([[True, True, True, False, False]]))
    assert joined.tolist() == [[[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 0]]]
    assert mask.tolist() == [[True, True, False]]


def test_what_is_real_comes_first() -> None:
    inputs = torch.arange(8.0).view(1, 4, 2)
    moved, mask = to_front(inputs, torch.tensor([[0, 1, 0, 1]]))
    assert moved.tolist() == [[[2, 3], [6, 7], [0, 0], [0, 0]]]
    assert mask.tolist() == [[True, True, False, False]]


def test_positions_tell_row_and_column() -> None:
    grid = grid_positions(3, 4, torch.zeros(1, 12, 8)).view(3, 4, 8)
    assert torch.equal(grid[:, 0, :4], grid[:, 3, :4])
    assert torch.equal(grid[0, :, 4:], grid[2, :, 4:])
    row = 2
    assert grid[row, 1, :4].tolist() == pytest.approx(
        [math.sin(row), math.cos(row), math.sin(row / 100), math.cos(row / 100)]
    )


class Network(nn.Module):
    """In place of one of `timm`, which needs torchvision; each cell also reads a little of what is around it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.blur = nn.Conv2d(channels, 3, 3, padding=1)
        self.map = nn.Conv2d(3, 6, 4, stride=4)
        self.feature_info = types.SimpleNamespace(channels=lambda: [3, 6], reduction=lambda: [1, 4])
        self.seen: list[tuple[int, ...]] = []

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        self.seen.append(tuple(pixels.shape))
        blurred = self.blur(pixels)
        return [blurred, self.map(blurred)]


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of its name has one network with its interface."""

    def create_model(name: str, pretrained: bool, features_only: bool, in_chans: int) -> nn.Module:
        if name != "small" or pretrained or not features_only:
            raise RuntimeError(f"Unknown model ({name})")
        return Network(in_chans)

    monkeypatch.setitem(sys.modules, "timm", types.SimpleNamespace(create_model=create_model))


BACKBONE = {"frontend": "image", "image_backbone": "small"}


@pytest.mark.usefixtures("timm")
def test_a_backbone_of_timm_gives_the_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    model = AttnSeq2SeqForConditionalGeneration(tiny_config(**BACKBONE))
    encoded = model.model.encoder(**padded("pictures", source("pictures", 18)[:, :, :8], 0, 4))
    assert encoded.last_hidden_state.shape == (1, 2 * 4, 16)
    assert encoded.attention_mask.all()
    with pytest.raises(ValueError, match="no network of timm"):
        AttnSeq2SeqForConditionalGeneration(tiny_config(frontend="image", image_backbone="other"))
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ImportError, match="needs timm"):
        AttnSeq2SeqForConditionalGeneration(tiny_config(**BACKBONE))


@pytest.mark.usefixtures("timm")
def test_a_backbone_sees_no_padding_and_pictures_of_one_size_together() -> None:
    model = scrambled(AttnSeq2SeqForConditionalGeneration(tiny_config(**BACKBONE)), scale=0.5).double()
    sizes = [(8, 12), (9, 20), (8, 12), (4, 7)]
    pictures = [source("pictures", wide, seed=wide)[:, :, :high].double() for high, wide in sizes]
    noise = torch.randn(len(pictures), 3, 11, 26, dtype=torch.float64)
    mask = torch.zeros(len(pictures), 11, 26, dtype=torch.long)
    for row, (picture, (high, wide)) in enumerate(zip(pictures, sizes)):
        noise[row, :, row : row + high, 3 : 3 + wide] = picture[0]
        mask[row, row : row + high, 3 : 3 + wide] = 1
    seen = model.model.encoder.frontend.backbone.seen
    together = model.model.encoder(pixel_values=noise, pixel_mask=mask)
    assert sorted(seen) == [(1, 3, 4, 7), (1, 3, 9, 20), (2, 3, 8, 12)]
    for row, picture in enumerate(pictures):
        alone = model.model.encoder(pixel_values=picture).last_hidden_state[0]
        real = together.attention_mask[row].bool()
        torch.testing.assert_close(together.last_hidden_state[row, real], alone)
    together.last_hidden_state.sum().backward()
    assert model.model.encoder.frontend.backbone.map.weight.grad.abs().sum() > 0


@pytest.mark.usefixtures("timm")
def test_a_backbone_says_what_its_states_stand_for() -> None:
    config = tiny_config(**BACKBONE, image_height=9)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    assert source_stride(config) == (4, 4)
    assert states_of(config, np.array([20, 22])).tolist() == [3 * 5, 3 * 6]
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.usefixtures("timm")
def test_a_graph_holds_no_backbone(tmp_path: Path) -> None:
    model = AttnSeq2SeqForConditionalGeneration(tiny_config(**BACKBONE))
    for write in (write_graph, lambda model: write_graphs(model, tmp_path)):
        with pytest.raises(ValueError, match="image_backbone='small', through which pictures of each size pass by"):
            write(model)
    assert "image_backbone='small'" in why_no_graph_of(model)
    assert quick_engine(model).name == "torch"


@pytest.mark.parametrize(
    ("kind", "inputs", "told"),
    [
        ("speech", {"input_ids": torch.ones(1, 3, dtype=torch.long)}, "give input_features, not input_ids"),
        ("speech", {"inputs_embeds": torch.ones(1, 3, 16)}, "give input_features, not inputs_embeds"),
        ("speech", {"input_features": torch.ones(1, 3, 8)}, r"must be \(batch, frames, 10\)"),
        ("speech", {"input_features": torch.ones(3, 10)}, r"must be \(batch, frames, 10\)"),
        ("speech", {"input_features": torch.ones(1, 0, 10)}, "are empty"),
        ("speech", {"input_features": torch.ones(1, 3, 10, dtype=torch.long)}, "floating-point"),
        ("speech", {}, "This model hears"),
        (
            "speech",
            {"input_features": torch.ones(1, 3, 10), "attention_mask": torch.ones(1, 4)},
            "one number per frame",
        ),
        (
            "speech",
            {"input_features": torch.ones(1, 3, 10), "attention_mask": torch.zeros(1, 3)},
            "all padding: it needs at least one real frame",
        ),
        ("pictures", {}, "This model sees"),
        ("pictures", {"pixel_values": torch.ones(1, 1, 8, 8)}, r"must be \(batch, 3, height, width\)"),
        ("lines", {"pixel_values": torch.ones(1, 1, 8, 8)}, r"must be \(batch, 1, 7, width\)"),
        ("lines", {"pixel_values": torch.ones(1, 1, 7, 0)}, "are empty"),
        (
            "lines",
            {"pixel_values": torch.ones(1, 1, 7, 8), "pixel_mask": torch.ones(1, 8)},
            "one number per pixel",
        ),
    ],
)
def test_bad_input_gets_one_sentence(kind: str, inputs: dict[str, torch.Tensor], told: str) -> None:
    with pytest.raises(ValueError, match=told) as error:
        build(kind)(**inputs, labels=torch.tensor([[4, END]]))
    assert str(error.value).count("\n") == 0


def test_tokens_refuse_other_sources() -> None:
    model = AttnSeq2SeqForConditionalGeneration(tiny_config())
    with pytest.raises(ValueError, match="give input_ids, not input_features"):
        model(input_features=torch.ones(1, 3, 80), labels=torch.tensor([[4, END]]))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"frontend": "smell"}, "choose one of tokens, speech, image"),
        ({"num_mel_bins": 40}, "is for frontend speech, not 'tokens'"),
        ({"ctc_weight": 0.3}, "is for frontend speech or image, not 'tokens'"),
        ({**SPEECH, "ctc_weight": 1.0}, "less than 1"),
        ({**PICTURES, "ctc_weight": 0.3}, "cells of a grid"),
        ({**SPEECH, "ctc_weight": 0.3, "pad_token_id": None}, "needs pad_token_id"),
        ({**SPEECH, "decoder_vocab_size": 30}, "is the target's"),
        ({**SPEECH, "share_encoder_decoder_embeddings": True}, "no source embeddings to share"),
        ({**LINES, "image_height": None}, "needs image_height"),
        ({**PICTURES, "image_height": 0}, "must be at least 1"),
        ({**PICTURES, "pyramid_layers": 1}, "joins pairs"),
        ({**SPEECH, "pyramid_layers": 1}, "less than encoder_layers=1"),
        ({**SPEECH, "frontend_strides": [[2, 2]]}, "as many strides as channels"),
        ({**SPEECH, "frontend_strides": [[2, 2], [2]]}, "must each be a pair"),
        ({**SPEECH, "frontend_channels": [4, 0]}, "must each be at least 1"),
        ({"frontend": "image", "image_backbone": "x", "frontend_channels": [4]}, "leave these out"),
        ({**LINES, "frontend_channels": None, "image_backbone": "x"}, "set image_layout='grid'"),
        ({**PICTURES, "embedding_size": 7, "tie_word_embeddings": False}, "must be even"),
    ],
)
def test_the_configuration_is_checked(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        tiny_config(**fields)


def test_searches_refuse_a_ctc_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="trained with CTC"):
        build("speech").generate(input_features=source("speech"), ctc_weight=0.3)
    with pytest.raises(ValueError, match="from 0 to 1"):
        build("speech", ctc_weight=0.1).generate(input_features=source("speech"), ctc_weight=1.5)
    with pytest.raises(ValueError, match="has no CTC"):
        build("speech").ctc_logits(torch.zeros(1, 2, 16))


def test_a_configuration_of_text_says_nothing_of_other_sources() -> None:
    config = AttnSeq2SeqConfig()
    assert config.reads_tokens
    assert source_stride(config) == (1, 1)
