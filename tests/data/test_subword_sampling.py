# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Subword regularisation: the papers' distributions, exact repetition, and nothing lost of the text."""

import copy
import json
import math
import pickle
import random
from collections import Counter

import pytest

from hf_attn_seq2seq.data.subword_sampling import LONGEST_WORD, SubwordSampler
from hf_attn_seq2seq.data.tokenizer_training import TokenizerSettings, train_tokenizer, train_tokenizer_for


TEXTS = [
    "Est-ce que l'homme est là ?",
    "The dogs' bowl (it's big), isn't it?",
    "  two  blanks\tand 😊 </s> <s>",
    "",
]
SAMPLING = {"bpe": 0.3, "unigram": 0.2}


@pytest.fixture(params=SAMPLING)
def kind(request):
    return request.param


def train(kind):
    return train_tokenizer(TEXTS * 3, kind=kind, vocab_size=330)


def drawn(sampler, text, times=4000):
    """How often each segmentation of `text` came, as shares."""
    counts = Counter(tuple(sampler(text, 7, index)[:-1]) for index in range(times))
    return {ids: count / times for ids, count in counts.items()}


def test_no_sampling_is_the_usual_segmentation():
    for kind, sampling in {"bpe": 1e-12, "unigram": 1e6}.items():
        tokenizer = train(kind)
        sampler = SubwordSampler(tokenizer, sampling)
        assert [sampler(text, 1) for text in TEXTS] == tokenizer(TEXTS)["input_ids"]


def test_leaving_out_all_merges_leaves_bytes():
    tokenizer = train("bpe")
    ids = SubwordSampler(tokenizer, 1.0)("là ?", 1)
    assert tokenizer.convert_ids_to_tokens(ids) == ["l", "Ã", "ł", "Ġ", "?", "</s>"]


def test_the_same_seed_gives_the_same_ids_and_another_seed_others(kind):
    tokenizer = train(kind)
    sampler = SubwordSampler(tokenizer, SAMPLING[kind])
    other = pickle.loads(pickle.dumps(copy.deepcopy(sampler)))
    random.seed(1)
    first = [sampler(text, 3, epoch, index) for epoch in range(5) for index, text in enumerate(TEXTS)]
    random.seed(2)
    order = random.sample(range(20), 20)  # nothing hangs on what was drawn before
    again = {place: other(TEXTS[place % 4], 3, place // 4, place % 4) for place in order}
    assert [again[place] for place in range(20)] == first
    assert len({tuple(first[place]) for place in range(0, 20, 4)}) > 1


def test_known_draws_are_kept():
    # What a resumed run needs to get again from a later version of the library or of Python.
    tokenizer = train_tokenizer(["abab abab cd"], kind="bpe", vocab_size=270)
    sampler = SubwordSampler(tokenizer, 0.5)
    tokens = [" ".join(tokenizer.convert_ids_to_tokens(sampler("abab cd", 1, index)[:-1])) for index in range(4)]
    assert tokens == ["ab a b Ġ c d", "ab a b Ġcd", "ab a b Ġ c d", "a b ab Ġ cd"]


def test_every_sample_is_the_same_text_and_ends_alike(kind):
    tokenizer = train(kind)
    sampler = SubwordSampler(tokenizer, SAMPLING[kind])
    for text in TEXTS:
        usual = tokenizer.decode(tokenizer(text)["input_ids"])
        for index in range(20):
            assert tokenizer.decode(sampler(text, index)) == usual


def test_bpe_dropout_has_the_papers_probabilities():
    # Merges of "aba": ab (first), then ab+a. At each step each possible merge is left out with probability p.
    p = 0.3
    tokenizer = train_tokenizer(["aba"] * 4 + ["ab"] * 4, kind="bpe", vocab_size=262)
    assert tokenizer.tokenize("aba") == ["aba"]
    shares = drawn(SubwordSampler(tokenizer, p), "aba")
    a, b, ab, aba = tokenizer.convert_tokens_to_ids(["a", "b", "ab", "aba"])
    expected = {(a, b, a): p, (ab, a): (1 - p) * p, (aba,): (1 - p) ** 2}
    assert shares.keys() == expected.keys()
    for way, share in expected.items():
        assert shares[way] == pytest.approx(share, abs=0.03)  # four standard deviations


def test_unigram_samples_have_the_papers_probabilities():
    alpha = 0.4
    tokenizer = train("unigram")
    vocab = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["vocab"]
    ids = {token: index for index, (token, _) in enumerate(vocab)}

    def ways(word):
        """All segmentations, by recursion."""
        if not word:
            return [()]
        ends = [end for end in range(1, len(word) + 1) if word[:end] in ids]
        return [(word[:end], *rest) for end in ends for rest in ways(word[end:])]

    weights = {
        tuple(ids[token] for token in way): math.exp(alpha * sum(vocab[ids[token]][1] for token in way))
        for way in ways("Ġit'")
    }
    assert len(weights) == 4
    shares = drawn(SubwordSampler(tokenizer, alpha), " it'")
    for way, weight in weights.items():
        assert shares.get(way, 0) == pytest.approx(weight / sum(weights.values()), abs=0.035)


def test_words_are_drawn_apart(kind):
    tokenizer = train(kind)
    sampler = SubwordSampler(tokenizer, SAMPLING[kind])
    pairs = {tuple(tokenizer.convert_ids_to_tokens(sampler("homme homme", index))) for index in range(50)}
    assert any(
        tokens[: len(tokens) // 2] != tuple(token.removeprefix("Ġ") for token in tokens[len(tokens) // 2 : -1])
        for tokens in pairs
    )


def test_long_words_stay_whole():
    tokenizer = train("bpe")
    text = "homme" * (LONGEST_WORD // 5 + 1) + " homme"
    usual, ids = tokenizer(text)["input_ids"], SubwordSampler(tokenizer, 1.0)(text, 1)
    word = tokenizer(text.split()[0])["input_ids"][:-1]
    assert usual[: len(word)] == ids[: len(word)] == word
    assert tokenizer.convert_ids_to_tokens(ids[len(word) :]) == ["Ġ", *"homme", "</s>"]


def test_results_are_cut_before_their_end(kind):
    tokenizer = train(kind)
    tokenizer(TEXTS, padding=True, truncation=True, max_length=4)  # what the tokenizer was told before does not count
    whole = SubwordSampler(tokenizer, SAMPLING[kind])(TEXTS[0], 5)
    assert len(whole) > 9
    assert SubwordSampler(tokenizer, SAMPLING[kind], max_length=7)(TEXTS[0], 5) == [*whole[:6], 2]
    assert SubwordSampler(tokenizer, SAMPLING[kind], max_length=500)(TEXTS[0], 5) == whole


def test_the_tokenizer_itself_never_samples(kind):
    tokenizer = train(kind)
    before = tokenizer.backend_tokenizer.to_str()
    SubwordSampler(tokenizer, SAMPLING[kind])(TEXTS[0], 1)
    assert tokenizer.backend_tokenizer.to_str() == before
    assert json.loads(before)["model"].get("dropout") is None


def test_added_tokens_stay_whole(kind):
    tokenizer = train(kind)
    tokenizer.add_tokens(["hommage"])
    sampler = SubwordSampler(tokenizer, SAMPLING[kind])
    for index in range(20):
        assert sampler("l'hommage", index)[-2:] == [len(tokenizer) - 1, 2]


@pytest.mark.parametrize(
    ("kind", "sampling", "max_length", "message"),
    [
        ("bpe", 0.0, None, "sampling is 0, but for kind 'bpe'"),
        ("bpe", 1.01, None, "sampling is 1.01, but for kind 'bpe'"),
        ("unigram", 0.0, None, "sampling is 0, but for kind 'unigram'"),
        ("unigram", math.nan, None, "sampling is nan, but for kind 'unigram'"),
        ("bpe", 0.1, 1, "max_length=1 must be at least 2"),
        ("char", 0.1, None, "has no subwords"),
        ("word", 0.1, None, "has no subwords"),
    ],
)
def test_what_cannot_be_sampled_is_refused(kind, sampling, max_length, message):
    with pytest.raises(ValueError, match=message):
        SubwordSampler(train(kind), sampling, max_length)


def test_two_vocabularies_are_sampled_side_by_side():
    tokenizer = train_tokenizer_for(TokenizerSettings(vocab_size=300, shared=False), TEXTS, TEXTS[:1])
    with pytest.raises(ValueError, match=r"pass tokenizer\.source or tokenizer\.target"):
        SubwordSampler(tokenizer, 0.1)
    ids = SubwordSampler(tokenizer.target, 0.5)(TEXTS[0], 1)
    assert tokenizer.decode(ids, skip_special_tokens=True) == TEXTS[0]
