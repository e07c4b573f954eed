# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Words outside the vocabulary: their ids in sources and targets, their names, and every way from text to text."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset

from hf_attn_seq2seq.copying import CopyingTokenizer, extend
from hf_attn_seq2seq.data.examples import encode
from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer
from hf_attn_seq2seq.decoding import translate, translate_n_best
from hf_attn_seq2seq.decoding.graph import GraphEngine
from hf_attn_seq2seq.graphs.writer import save_graph
from hf_attn_seq2seq.pipeline_attn_seq2seq import AttnTranslationPipeline
from tests.helpers import tiny_model


TEXTS = ["the cat sat on the mat .", "a dog ran home , today", "the big red dog sat"]
SOURCE = "the zebra sat on a zebra , beside Okapi"
SLOTS = 4


@pytest.fixture(scope="module", params=["word", "symbol"])
def tokenizer(request):
    return train_tokenizer(TEXTS, kind=request.param, vocab_size=40)


@pytest.fixture(scope="module")
def copying_model(tokenizer) -> Any:
    """It copies and hardly writes."""
    model = tiny_model(scale=0.5, vocab_size=len(tokenizer), pointer=True, pointer_slots=SLOTS)
    torch.nn.init.constant_(model.model.decoder.stack.steps.pointer.projection.bias, -20.0)
    model.generation_config.max_new_tokens = 12
    model.generation_config.suppress_tokens = [model.config.eos_token_id]
    return model


@pytest.mark.parametrize("tensors", [None, "np", "pt"])
def test_words_have_ids_in_the_order_of_the_source(tokenizer, tensors):
    size = len(tokenizer)
    inputs = tokenizer([SOURCE, TEXTS[0]], padding=True, return_offsets_mapping=True, return_tensors=tensors)
    words = extend(inputs, tokenizer, [SOURCE, TEXTS[0]], size, SLOTS)
    assert words == [["zebra", "beside", "Okapi"], []]
    assert "offset_mapping" not in inputs
    ids = np.asarray(inputs["input_ids"])
    assert [int(each) - size for each in ids[0] if each >= size] == [0, 0, 1, 2]
    assert (ids[1] < size).all()


def test_further_words_stay_unknown(tokenizer):
    inputs = tokenizer([SOURCE], return_offsets_mapping=True)
    assert extend(inputs, tokenizer, [SOURCE], len(tokenizer), 2) == [["zebra", "beside"]]
    assert inputs["input_ids"][0].count(tokenizer.unk_token_id) == 1


def test_targets_have_the_ids_of_their_sources(tokenizer):
    size, target = len(tokenizer), "Okapi sat , quagga zebra"
    labels = tokenizer(text_target=[target], return_offsets_mapping=True)
    extend(labels, tokenizer, [target], size, SLOTS, [["zebra", "beside", "Okapi"]])
    ids = labels["input_ids"][0]
    assert [token - size for token in ids if token >= size] == [2, 0]
    assert ids.count(tokenizer.unk_token_id) == 1


def test_training_examples_have_such_ids(tokenizer):
    pairs = Dataset.from_dict({"source": [SOURCE, TEXTS[1]], "target": ["Okapi quagga", "a dog"]})
    size = len(tokenizer)
    encoded = encode(pairs, tokenizer, slots=SLOTS)
    assert [token - size for token in encoded["input_ids"][0] if token >= size] == [0, 0, 1, 2]
    assert encoded["labels"][0][:2] == [size + 2, tokenizer.unk_token_id]
    assert all(token < size for row in ("input_ids", "labels") for token in encoded[row][1])


def test_names_and_text(tokenizer):
    size = len(tokenizer)
    known = tokenizer.convert_tokens_to_ids
    copying = CopyingTokenizer(tokenizer, ["zebra", "Okapi"], size)
    ids = [known("the"), size, known("sat"), size + 1, tokenizer.unk_token_id, tokenizer.eos_token_id]
    assert copying.decode(ids, skip_special_tokens=True) == "the zebra sat Okapi"
    assert copying.decode([known("the"), tokenizer.unk_token_id, size]) == "the <unk> zebra"
    assert copying.batch_decode([[size], [known("cat")]]) == ["zebra", "cat"]
    assert copying.convert_ids_to_tokens([known("the"), size + 1]) == ["the", "Okapi"]
    assert copying.decode(torch.tensor([size, known("sat")])) == "zebra sat"
    assert copying.eos_token_id == tokenizer.eos_token_id


def test_a_name_of_the_unknown_token_in_the_text_breaks_nothing(tokenizer):
    copying = CopyingTokenizer(tokenizer, ["<unk>"], len(tokenizer))
    assert copying.decode([tokenizer.convert_tokens_to_ids("the"), len(tokenizer)]) == "the <unk>"


@pytest.mark.parametrize("beams", [1, 3])
def test_translate_gives_the_copied_words(tokenizer, copying_model, beams, tmp_path: Path):
    texts = [SOURCE, "the gnu sat"]
    found = translate(copying_model, tokenizer, texts, split_sentences=False, num_beams=beams)
    for text, made in zip(texts, found):
        assert set(made.split()) <= set(text.split())
        assert set(made.split()) & {"zebra", "gnu", "beside", "Okapi"}
    linked = translate_n_best(copying_model, tokenizer, texts, split_sentences=False, num_beams=beams, links=True)
    assert [each[0].text.split() for each in linked] == [made.split() for made in found]
    copying_model.save_pretrained(tmp_path)
    engine = GraphEngine(save_graph(copying_model, tmp_path))
    assert translate(engine, tokenizer, texts, split_sentences=False, num_beams=beams) == found


@pytest.mark.parametrize("batch_size", [1, 2])
def test_the_pipeline_gives_the_copied_words(tokenizer, copying_model, batch_size):
    texts = [SOURCE, "the gnu sat"]
    summarizer = AttnTranslationPipeline(copying_model, tokenizer, task="summarization")
    found = summarizer(texts, batch_size=batch_size)
    expected = translate(copying_model, tokenizer, texts, split_sentences=False)
    assert [each["summary_text"] for each in found] == expected
    aligned = summarizer(texts, return_alignments=True)
    assert [each["summary_text"] for each in aligned] == expected
