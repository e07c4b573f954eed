# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The interface of what searches: PyTorch's engine against `generate()`, and what happens to what another cannot."""

import logging

import numpy as np
import pytest

from hf_attn_seq2seq import gather_beam_attentions
from hf_attn_seq2seq.decoding import translate_n_best
from hf_attn_seq2seq.decoding.engines import FallbackEngine, as_engine
from hf_attn_seq2seq.decoding.torch_engine import TorchEngine
from tests.decoding.conftest import SENTENCES


class WithoutBeams(TorchEngine):
    """An engine that cannot do everything."""

    name = "limited"

    def can(self, options):
        return "search with several beams" if options.get("num_beams", 1) > 1 else None


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"num_beams": 4, "num_return_sequences": 3}])
def test_what_is_found_is_what_generate_finds(model, tokenizer, options):
    inputs = tokenizer(SENTENCES[:5], padding=True, return_tensors="np")
    found = as_engine(model).search(**inputs, layer=-1, scores=True, **options)
    outputs = model.generate(
        **tokenizer(SENTENCES[:5], padding=True, return_tensors="pt"),
        return_dict_in_generate=True,
        output_attentions=True,
        output_scores=True,
        **options,
    )
    assert found.sequences.dtype == np.int64
    assert found.sequences.tolist() == outputs.sequences.tolist()
    np.testing.assert_array_equal(found.attentions, gather_beam_attentions(outputs, -1))
    assert found.found.all()
    assert len(found.found) == len(found.sequences)
    if "num_beams" in options:
        np.testing.assert_allclose(found.scores, outputs.sequences_scores, rtol=1e-6)
    alone = as_engine(model).search(**inputs, **options)
    assert (alone.scores, alone.attentions) == (None, None)
    assert alone.sequences.tolist() == found.sequences.tolist()


def test_an_engine_is_itself(model):
    engine = TorchEngine(model)
    assert as_engine(engine) is engine
    assert engine.config is model.config
    assert engine.generation_config is model.generation_config


def test_what_an_engine_cannot_do_goes_to_the_other_and_is_told_once(model, tokenizer, caplog):
    made = []

    def make_other():
        made.append(TorchEngine(model))
        return made[-1]

    engine = FallbackEngine(WithoutBeams(model), make_other)
    assert (engine.name_for({"num_beams": 1}), engine.name_for({"num_beams": 3})) == ("limited", "torch")
    with caplog.at_level(logging.WARNING):
        greedy = translate_n_best(engine, tokenizer, SENTENCES, links=True)
        assert not made
        assert not caplog.records
        for _ in range(2):
            beams = translate_n_best(engine, tokenizer, SENTENCES, num_beams=3, n_best=2)
    assert greedy == translate_n_best(model, tokenizer, SENTENCES, links=True)
    assert beams == translate_n_best(model, tokenizer, SENTENCES, num_beams=3, n_best=2)
    assert len(made) == 1
    assert [record.getMessage() for record in caplog.records] == [
        "The graph cannot search with several beams: PyTorch searches instead, which is slower."
    ]
