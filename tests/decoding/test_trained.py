# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The graph of a model in training: it is written once, and searches with the weights of the moment."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from hf_attn_seq2seq.decoding import translate_n_best
from hf_attn_seq2seq.decoding.graph import GraphProblem
from hf_attn_seq2seq.decoding.trained import TrainedGraph, can_have_graph
from tests.decoding.conftest import SENTENCES, make_model
from tests.helpers import families


def train(model: torch.nn.Module, seed: int) -> None:
    """A step, as small as keeps a recurrence from multiplying rounding errors."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))


@families
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.costly
def test_a_graph_translates_with_the_weights_that_the_model_has_when_it_is_opened(
    family: str, tied: bool, tokenizer: Any
) -> None:
    model = make_model(tokenizer, family, share_encoder_decoder_embeddings=tied, tie_word_embeddings=tied)
    model.train()
    random_state = torch.get_rng_state()
    graph = TrainedGraph(model)
    assert torch.equal(torch.get_rng_state(), random_state)  # which training goes on with
    seen = []
    for seed in range(3):
        engine = graph.open()
        for options in ({"num_beams": 1}, {"num_beams": 3, "n_best": 2}):
            ours = translate_n_best(engine, tokenizer, SENTENCES, **options)
            theirs = translate_n_best(model, tokenizer, SENTENCES, **options)
            assert [[t.text for t in each] for each in ours] == [[t.text for t in each] for each in theirs]
        seen.append(ours)
        train(model, seed)
    assert seen[0] != seen[1] != seen[2]  # a graph with the weights of before would be noticed
    assert model.training
    assert engine.readout() == type(engine.readout())()


def test_weights_of_another_shape_are_refused(tokenizer: Any) -> None:
    model = make_model(tokenizer)
    graph = TrainedGraph(model)
    model.lm_head.bias = torch.nn.Parameter(torch.zeros(3))
    with pytest.raises(GraphProblem, match=r"of other shapes"):
        graph.open()


def adapt(model: Any) -> None:
    peft = pytest.importorskip("peft")
    model.add_adapter(peft.LoraConfig(target_modules=["lm_head"]))


OTHERS: dict[str, Callable[[Any], Any]] = {
    "half precision": lambda model: model.bfloat16(),
    "a hook": lambda model: model.lm_head.register_forward_hook(lambda *_: None),
    "autocast": lambda model: setattr(model, "forward", torch.autocast("cpu")(model.forward)),
    "another device": lambda model: model.to("meta"),
    "an adapter": adapt,
}


@pytest.mark.parametrize("change", OTHERS)
def test_a_model_that_computes_something_else_has_no_graph(change: str, tokenizer: Any) -> None:
    model = make_model(tokenizer)
    assert can_have_graph(model)
    OTHERS[change](model)
    assert not can_have_graph(model)
