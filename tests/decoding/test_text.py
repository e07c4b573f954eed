# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Translations, their scores, links and replaced words, against what the model itself says token by token."""

import numpy as np
import pytest
import torch

from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer
from hf_attn_seq2seq.decoding import translate, translate_n_best
from hf_attn_seq2seq.decoding.text import length_batches
from tests.decoding.conftest import SENTENCES, make_model


def forced(model, tokenizer, source, target):
    """The target's tokens with the end token, their log-probabilities, and their rows of attention."""
    inputs = tokenizer([source], return_tensors="pt")
    labels = tokenizer(text_target=[target], return_tensors="pt")["input_ids"]
    with torch.no_grad():
        outputs = model(**inputs, labels=labels, output_attentions=True)
    chosen = outputs.logits.log_softmax(-1)[0].gather(1, labels[0][:, None])[:, 0]
    return labels[0].tolist(), chosen, outputs.cross_attentions[-1][0].mean(0).numpy()


def test_order_is_kept_whatever_the_batches(model, tokenizer):
    alone = [translate(model, tokenizer, [text])[0] for text in SENTENCES]
    assert len(set(alone)) > 5
    for batch_size in (1, 3, 64):
        assert translate(model, tokenizer, SENTENCES, batch_size=batch_size) == alone
    model.train()
    translate(model, tokenizer, SENTENCES[:1])
    assert model.training
    model.eval()


@pytest.mark.parametrize("length_penalty", [1.0, 0.3])
def test_scores_are_those_of_beam_search(model, tokenizer, length_penalty):
    options = {"num_beams": 4, "length_penalty": length_penalty}
    results = translate_n_best(model, tokenizer, SENTENCES, n_best=3, batch_size=3, **options)
    for text, translations in zip(SENTENCES, results):
        outputs = model.generate(
            **tokenizer([text], return_tensors="pt"),
            num_return_sequences=3,
            return_dict_in_generate=True,
            output_scores=True,
            **options,
        )
        assert [t.text for t in translations] == tokenizer.batch_decode(outputs.sequences, skip_special_tokens=True)
        assert np.allclose([t.score for t in translations], outputs.sequences_scores, atol=1e-5)
        assert [t.links for t in translations] == [None] * 3


def test_score_of_greedy_search_counts_tokens_up_to_the_end(model, tokenizer):
    ended = 0
    for text, (translation,) in zip(SENTENCES, translate_n_best(model, tokenizer, SENTENCES)):
        _, log_probabilities, _ = forced(model, tokenizer, text, translation.text)
        if len(log_probabilities) <= 10:  # else it was cut
            ended += 1
            assert translation.score == pytest.approx(float(log_probabilities.mean()), abs=1e-4)
    assert ended > 5


@pytest.mark.parametrize("num_beams", [1, 4])
@pytest.mark.parametrize("family", ["gru", "transformer"])
def test_links_are_the_largest_weights_of_the_run(tokenizer, family, num_beams):
    model = make_model(tokenizer, family, seed=3)
    linked = 0
    for text, (translation,) in zip(
        SENTENCES, translate_n_best(model, tokenizer, SENTENCES, links=True, num_beams=num_beams)
    ):
        words = translation.text.split()
        ids, _, weights = forced(model, tokenizer, text, translation.text)
        assert len(ids) == len(words) + 1  # each word is a token, and the end is one
        expected = {(int(row.argmax()), target) for target, row in enumerate(weights[:-1])}
        end = len(text.split())
        assert translation.links == {(source, target) for source, target in expected if source != end}
        linked += len(translation.links)
    assert linked > 20


def test_words_of_several_tokens_are_linked_as_what_blanks_part():
    tokenizer = train_tokenizer(SENTENCES, kind="bpe", vocab_size=262)  # hardly a merge
    model = make_model(tokenizer, seed=2)
    model.generation_config.max_new_tokens = 40
    sources = ["the dog, the cat.", "a house"]
    for source, (translation,) in zip(sources, translate_n_best(model, tokenizer, sources, links=True)):
        assert all(0 <= i < len(source.split()) for i, _ in translation.links)
        assert all(0 <= j < len(translation.text.split()) for _, j in translation.links)
        assert len({j for _, j in translation.links}) == len(translation.links)


@pytest.mark.parametrize("num_beams", [1, 3])
def test_unknown_tokens_become_the_words_looked_at(model, tokenizer, num_beams):
    # Nothing but unknown tokens can be said, for three steps.
    others = [
        token for token in range(len(tokenizer)) if token not in (tokenizer.unk_token_id, tokenizer.eos_token_id)
    ]
    options = {"suppress_tokens": others, "min_new_tokens": 3, "max_new_tokens": 3, "num_beams": num_beams}
    source = "the Zyx sees Quux, home"
    assert translate(model, tokenizer, [source], **options) == [""]
    _, _, weights = forced(model, tokenizer, source, "Xyz Xyz Xyz")
    words = ["the", "Zyx", "sees", "Quux", ",", "home"]
    looked_at = [words[int(row[:-1].argmax())] for row in weights[:3]]  # but for the end token

    (copied,) = translate_n_best(model, tokenizer, [source], unknown_words={}, **options)[0]
    assert copied.text == " ".join(looked_at)
    assert copied.links is None
    entries = {word.lower(): f"<{word}> two" for word in words}
    (translated,) = translate_n_best(model, tokenizer, [source], unknown_words=entries, links=True, **options)[0]
    assert translated.text == " ".join(entries[word.lower()] for word in looked_at)
    assert all(j < 6 for _, j in translated.links)


def test_an_empty_translation_has_a_score_and_no_links(model, tokenizer):
    others = [token for token in range(len(tokenizer)) if token != tokenizer.eos_token_id]
    ((translation,),) = translate_n_best(model, tokenizer, ["a dog"], links=True, suppress_tokens=others)
    assert (translation.text, translation.links) == ("", frozenset())
    _, log_probabilities, _ = forced(model, tokenizer, "a dog", "")
    assert translation.score == pytest.approx(float(log_probabilities[0]), abs=1e-4)


def test_wrong_use_is_told(model, tokenizer):
    with pytest.raises(ValueError, match="Text 1 is blank"):
        translate(model, tokenizer, ["a dog", " "])
    with pytest.raises(ValueError, match="n_best=3 must lie between 1 and the number of beams, 2"):
        translate_n_best(model, tokenizer, ["a dog"], n_best=3, num_beams=2)
    with pytest.raises(ValueError, match="Leave out num_return_sequences"):
        translate(model, tokenizer, ["a dog"], num_beams=2, num_return_sequences=2)
    with pytest.raises(ValueError, match="There is no layer 2"):
        translate_n_best(model, tokenizer, ["a dog"], links=True, attention_layer=2)


def test_batches_are_of_like_length_and_within_their_budget():
    lengths = [3, 50, 4, 3, 20, 200, 4]
    batches = list(length_batches(lengths, 3, 60))
    assert sorted(index for batch in batches for index in batch) == list(range(7))
    assert [[lengths[index] for index in batch] for batch in batches] == [[200], [50], [20, 4, 4], [3, 3]]
