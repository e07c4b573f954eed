# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Translations, their scores, links and replaced words, against what the model itself says token by token."""

import numpy as np
import pytest
import torch
from transformers import GenerationConfig, LogitsProcessor, StoppingCriteria

from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer
from hf_attn_seq2seq.decoding import Readout, translate, translate_n_best
from hf_attn_seq2seq.decoding.offsets import encode_with_offsets
from hf_attn_seq2seq.decoding.text import Source, _with_attention, length_batches
from tests.decoding.conftest import SENTENCES, make_model
from tests.helpers import FAMILIES, tiny_model


def forced(model, tokenizer, source, target, suppressed=()):
    """
    The target's tokens with the end token, their log-probabilities where some tokens cannot be chosen, and their rows
    of attention.
    """
    inputs = tokenizer([source], return_tensors="pt")
    labels = tokenizer(text_target=[target], return_tensors="pt")["input_ids"]
    with torch.no_grad():
        outputs = model(**inputs, labels=labels, output_attentions=True)
    logits = outputs.logits.clone()
    logits[..., list(suppressed)] = -torch.inf
    chosen = logits.log_softmax(-1)[0].gather(1, labels[0][:, None])[:, 0]
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


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("details", [{}, {"scores": False}, {"links": True}, {"length_penalty": 3.0}])
def test_only_translations_that_are_possible_are_given(model, tokenizer, details, steps):
    """Two tokens are allowed, one of which ends: of one step there are two translations, of two there are three."""
    end, other = tokenizer.eos_token_id, tokenizer("dog")["input_ids"][0]
    suppressed = [token for token in range(model.config.vocab_size) if token not in (end, other)]
    options = {"num_beams": 4, "max_new_tokens": steps, "suppress_tokens": suppressed, **details}
    for n_best in (2, 3, 4):
        for translations in translate_n_best(model, tokenizer, SENTENCES[:3], n_best=n_best, **options):
            texts = [translation.text for translation in translations]
            expected = {tokenizer.decode([other] * count) for count in range(steps + 1)}
            assert len(texts) == len(set(texts)) == min(n_best, len(expected))
            assert set(texts) <= expected
            assert all(translation.score is None or translation.score > -100 for translation in translations)


def test_score_of_greedy_search_counts_tokens_up_to_the_end(model, tokenizer):
    ended = 0
    for text, (translation,) in zip(SENTENCES, translate_n_best(model, tokenizer, SENTENCES)):
        suppressed = model.generation_config.suppress_tokens
        _, log_probabilities, _ = forced(model, tokenizer, text, translation.text, suppressed)
        if len(log_probabilities) <= 10:  # else it was cut
            ended += 1
            assert translation.score == pytest.approx(float(log_probabilities.mean()), abs=1e-4)
    assert ended > 5


class NeverTwice(LogitsProcessor):
    """Takes 3 from the score of the token before."""

    def __call__(self, input_ids, scores):
        return scores.scatter_add(1, input_ids[:, -1:], torch.full_like(scores[:, :1], -3.0))


class StopsEarly(StoppingCriteria):
    """Ends some after two tokens, and looks at all scores so far."""

    def __call__(self, input_ids, scores, **kwargs):
        assert scores is None or all(step.numel() for step in scores)
        return (input_ids.shape[1] > 2) & (input_ids.sum(1) % 2 == 0)


SEARCHES = {
    "repetition penalty": {"repetition_penalty": 1.7},
    "no repeated pair": {"no_repeat_ngram_size": 2},
    "suppressed": {"suppress_tokens": [5, 6, 7, 8]},
    "forced end": {"forced_eos_token_id": 2, "max_new_tokens": 4},
    "forced begin": {"forced_bos_token_id": 7},
    "not too soon": {"min_new_tokens": 6},
    "own processor": {"logits_processor": [NeverTwice()]},
    "own criterion": {"stopping_criteria": [StopsEarly()]},
    "another end": {"eos_token_id": [2, 7, 9]},
    "generation_config": {"generation_config": GenerationConfig(eos_token_id=7, max_new_tokens=6, length_penalty=2.0)},
}


@pytest.mark.parametrize("num_beams", [1, 3])
@pytest.mark.parametrize("search", [*SEARCHES, "without end token"])
def test_scores_are_those_of_the_search_whatever_it_does(tokenizer, search, num_beams):
    model = make_model(tokenizer)
    options = {"num_beams": num_beams, "length_penalty": 0.7, **SEARCHES.get(search, {})}
    if search == "without end token":
        model.generation_config.eos_token_id = None
    if search == "generation_config":
        del options["length_penalty"]
    results = translate_n_best(model, tokenizer, SENTENCES, n_best=num_beams, batch_size=7, **options)
    for text, translations in zip(SENTENCES, results):
        outputs = model.generate(
            **tokenizer([text], return_tensors="pt"),
            num_return_sequences=num_beams,
            return_dict_in_generate=True,
            output_scores=True,
            **options,
        )
        assert [t.text for t in translations] == tokenizer.batch_decode(outputs.sequences, skip_special_tokens=True)
        if num_beams > 1:
            expected = outputs.sequences_scores.tolist()
        else:
            steps = model.compute_transition_scores(outputs.sequences, outputs.scores, normalize_logits=True)[0]
            expected = [float(steps.sum()) / len(steps) ** options.get("length_penalty", 2.0)]
        # Batches of another size are summed in another order, and the scores of the steps add up.
        assert [t.score for t in translations] == pytest.approx(expected, abs=1e-4)


def test_scores_take_no_second_run_and_no_room_for_all_tokens(model, tokenizer, monkeypatch):
    runs, kept = [], []
    generate = model.generate

    def generating(**options):
        outputs = generate(**options)
        kept.extend(getattr(outputs, "scores", None) or ())
        return outputs

    monkeypatch.setattr(model, "generate", generating)
    handle = model.register_forward_hook(lambda *_: runs.append(1))
    try:
        for num_beams in (1, 3):
            counts = []
            for scores in (False, True):
                runs.clear()
                translate_n_best(model, tokenizer, SENTENCES, n_best=num_beams, num_beams=num_beams, scores=scores)
                counts.append(len(runs))
            assert counts[0] == counts[1]
    finally:
        handle.remove()
    assert kept
    assert all(step.numel() == 0 for step in kept)


@pytest.mark.parametrize("tokens", [1, 3])
def test_scores_of_assisted_search(model, tokenizer, tokens):
    options = {"max_new_tokens": 8, "num_beams": 1, "batch_size": 1}
    alone = translate_n_best(model, tokenizer, SENTENCES[:6], **options)
    assisted = translate_n_best(model, tokenizer, SENTENCES[:6], prompt_lookup_num_tokens=tokens, **options)
    for (one,), (other,) in zip(alone, assisted):
        assert one.text == other.text
        assert one.score == pytest.approx(other.score, abs=1e-5)


CUT = "A text of 91 tokens was truncated to the {} that the model reads: 'the old dog the old dog the old dog the ...'"


def test_what_is_cut_is_told(caplog):
    sentences = ["a dog", " ".join(["the old dog"] * 30), "your house"]
    tokenizer = train_tokenizer(sentences, kind="word", vocab_size=50)
    recurrent = make_model(tokenizer)  # its max_position_embeddings are 64, which it does not use
    transformer = tiny_model(vocab_size=len(tokenizer), position_type="learned", **FAMILIES["transformer"])
    sinusoidal = tiny_model(vocab_size=len(tokenizer), **FAMILIES["transformer"])

    def warnings(model, **options):
        caplog.clear()
        with caplog.at_level("WARNING", logger="hf_attn_seq2seq"):
            found = translate(model, tokenizer, sentences, max_new_tokens=3, **options)
        assert len(found) == 3
        return [record.getMessage() for record in caplog.records if "tokens" in record.getMessage()]

    assert warnings(recurrent) == []
    assert warnings(sinusoidal) == []
    assert warnings(transformer) == [CUT.format(64)]
    assert warnings(transformer, max_source_tokens=10) == []  # asked for
    tokenizer.model_max_length = 20
    assert warnings(recurrent) == [CUT.format(20)]
    tokenizer.model_max_length = 91
    assert warnings(recurrent) == []


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
    # Where the end token has more than any word, none was looked at.
    looked_at = [[*words, None][int(row.argmax())] for row in weights[:3]]
    assert None in looked_at
    assert set(looked_at) > {"Quux", None}

    (copied,) = translate_n_best(model, tokenizer, [source], unknown_words={}, **options)[0]
    assert copied.text == " ".join(word or "<unk>" for word in looked_at)
    assert copied.links is None
    entries = {word.lower(): f"<{word}> two" for word in words}
    (translated,) = translate_n_best(model, tokenizer, [source], unknown_words=entries, links=True, **options)[0]
    assert translated.text == " ".join(entries[word.lower()] if word else "<unk>" for word in looked_at)
    assert all(j < 6 for _, j in translated.links)


# The third target token is unknown; what it looks at is told by each case.
@pytest.mark.parametrize(
    ("kind", "source", "weights", "text"),
    [
        ("word", "Zyx l'Quux .", {1: 0.6, 2: 0.4}, "a a l'"),
        ("word", "Zyx l'Quux .", {2: 0.6, 0: 0.4}, "a a Quux"),
        ("symbol", "t͡ʃ-a ʘ.ʘ b", {1: 1.0}, "a a ʘ.ʘ"),  # one symbol, of which words would be made five
        ("symbol", "t͡ʃ-a ʘ.ʘ b", {0: 0.5, 1: 0.4}, "a a t͡ʃ-a"),
        ("char", "ab Žük", {4: 0.7, 0: 0.3}, "aaü"),  # a character, not its word
        ("char", "ab Žük", {3: 1.0}, "aaŽ"),
        ("word", "Zyx l'Quux .", {-1: 1.0}, "a a <unk>"),  # all on the end token: no word
        ("symbol", "t͡ʃ-a ʘ.ʘ b", {-1: 0.9, 0: 0.1}, "a a <unk>"),
        ("char", "ab Žük", {-1: 1.0}, "aa<unk>"),
    ],
)
@pytest.mark.parametrize("end_token", ["competes", "excluded"])
def test_an_unknown_token_becomes_what_its_tokenizer_counts_as_one(kind, source, weights, text, end_token):
    tokenizer = train_tokenizer(["a b"], kind=kind, vocab_size=20, byte_fallback=False)
    inputs, (offsets,) = encode_with_offsets(tokenizer, [source], return_tensors="np")
    rows = np.full((2, 3, len(offsets)), 1 / len(offsets))  # heads x steps x src_len
    rows[:, 2] = 0.0
    for token, weight in weights.items():
        rows[:, 2, token] = weight
    a = tokenizer.convert_tokens_to_ids("a")
    translation = _with_attention(
        tokenizer,
        Source(source, offsets, inputs.word_ids(0)),
        [a, a, tokenizer.unk_token_id, tokenizer.eos_token_id],
        np.concatenate([rows, rows[:, :1]], axis=1),
        Readout(end_token=end_token),
        True,
        {},
    )
    if end_token == "excluded" and weights.get(-1) == 0.9:  # then the rest is all there is
        text = text.replace("<unk>", "t͡ʃ-a")
    assert translation.text == text


def test_an_empty_translation_has_a_score_and_no_links(model, tokenizer):
    others = [token for token in range(len(tokenizer)) if token != tokenizer.eos_token_id]
    ((translation,),) = translate_n_best(model, tokenizer, ["a dog"], links=True, suppress_tokens=others)
    assert translation == ("", 0.0, frozenset())  # nothing else could be chosen
    options = {"links": True, "suppress_tokens": others, "num_beams": 2}
    ((translation,),) = translate_n_best(model, tokenizer, ["a dog"], **options)
    assert (translation.text, translation.links) == ("", frozenset())
    _, log_probabilities, _ = forced(model, tokenizer, "a dog", "")
    assert translation.score == pytest.approx(float(log_probabilities[0]), abs=1e-4)


def test_wrong_use_is_told(model, tokenizer):
    with pytest.raises(ValueError, match="Text 1 is blank"):
        translate(model, tokenizer, ["a dog", " "])
    with pytest.raises(ValueError, match="n_best=3 must be between 1 and the number of beams, 2"):
        translate_n_best(model, tokenizer, ["a dog"], n_best=3, num_beams=2)
    with pytest.raises(ValueError, match="does not take num_return_sequences"):
        translate(model, tokenizer, ["a dog"], num_beams=2, num_return_sequences=2)
    with pytest.raises(ValueError, match="Layer 2 does not exist"):
        translate_n_best(model, tokenizer, ["a dog"], links=True, attention_layer=2)


def test_batches_are_of_like_length_and_within_their_budget():
    lengths = [3, 50, 4, 3, 20, 200, 4]
    batches = list(length_batches(lengths, 3, 60))
    assert sorted(index for batch in batches for index in batch) == list(range(7))
    assert [[lengths[index] for index in batch] for batch in batches] == [[200], [50], [20, 4, 4], [3, 3]]
