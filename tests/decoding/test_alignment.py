# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Alignment by models: the right rows of the right weights, in words, in both directions."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hf_attn_seq2seq import AttnSeq2SeqForConditionalGeneration, AttnSeq2SeqTokenizer
from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer
from hf_attn_seq2seq.data.words import cut_words, join_words, split_words
from hf_attn_seq2seq.decoding import (
    Aligner,
    PairAttention,
    Readout,
    agreeing_readouts,
    align,
    align_corpus,
    align_pairs,
    all_readouts,
    attend,
    attend_pairs,
    load_readout,
    save_readout,
)
from hf_attn_seq2seq.evaluation import GoldLinks, attention_to_links, score_readouts, symmetrise, turned
from tests.helpers import FAMILIES, families, tiny_model


PAIRS = [
    ("the cat sleeps .", "le chat dort ."),
    ("a dog", "un chien"),
    ("the old man has a dog , a cat .", "l'homme a un chien , un chat ."),
]


@pytest.fixture(scope="module")
def tokenizer() -> AttnSeq2SeqTokenizer:
    return train_tokenizer([text for pair in PAIRS for text in pair], kind="bpe", vocab_size=275)


def model_of(family: str, tokenizer: AttnSeq2SeqTokenizer, seed: int = 0) -> AttnSeq2SeqForConditionalGeneration:
    # In double precision: scrambled weights blow rounding up until the largest weight is another.
    return tiny_model(seed, vocab_size=len(tokenizer), **FAMILIES[family]).double()


# Two layers of two heads, three target tokens (two words and the end token), three source tokens (two words and the
# end token); every row is told from the others by its largest weight.
ATTENTION = np.array(
    [
        [
            [[0.1, 0.2, 0.7], [0.2, 0.7, 0.1], [0.7, 0.1, 0.2]],
            [[0.5, 0.4, 0.1], [0.0, 0.6, 0.4], [0.2, 0.2, 0.6]],
        ],
        [
            [[0.6, 0.3, 0.1], [0.1, 0.1, 0.8], [0.4, 0.5, 0.1]],
            [[0.0, 0.9, 0.1], [0.5, 0.1, 0.4], [0.0, 0.9, 0.1]],
        ],
    ]
)
EYE = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
PAIR = PairAttention(split_words("a b"), split_words("x y"), ATTENTION, EYE, EYE)


@pytest.mark.parametrize(
    ("readout", "links"),
    [
        (Readout(layer=0, head=0), {(1, 1)}),
        (Readout(layer=0, head=0, end_token="excluded"), {(1, 0), (1, 1)}),  # without the end token 0.2 beats 0.1
        (Readout(layer=0, head=0, shift=1, end_token="excluded"), {(1, 0), (0, 1)}),
        (
            Readout(layer=0, head=0, shift=2, end_token="excluded"),
            {(0, 0)},
        ),  # word 1 has no row
        (Readout(layer=0, head=0, shift=9, end_token="excluded"), set()),
        (Readout(layer=1, head=0), {(0, 0)}),
        (Readout(layer=-1, head=-1), {(1, 0), (0, 1)}),
        (
            Readout(layer=-1, end_token="excluded"),
            {(1, 0), (0, 1)},
        ),  # means 0.3 0.6, and 0.3 0.1 (end 0.6)
        (Readout(layer=-1), {(1, 0)}),
        (Readout(layer=0, head=1, threshold=0.4, end_token="excluded"), {(0, 0), (1, 0), (1, 1)}),  # 5/9 4/9 and 0 1
        (Readout(layer=0, head=1, threshold=0.5, end_token="excluded"), {(0, 0), (1, 1)}),
        (Readout(layer=0, head=1, threshold=0.5), {(0, 0), (1, 1)}),
        (Readout(layer=0, head=1, threshold=0.55), {(1, 1)}),
    ],
)
def test_readouts_by_hand(readout: Readout, links: set[tuple[int, int]]) -> None:
    assert PAIR.links(readout) == links


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"shift": -1}, "shift=-1"),
        ({"end_token": "null"}, "end_token='null' is unknown: choose one of competes, excluded"),
        ({"threshold": 0.0}, "threshold=0.0"),
        ({"layer": 2}, "Layer 2 does not exist: the decoder has 2"),
        ({"head": 2}, "no head 2: the layer has 2"),
        ({"head": -3}, "no head -3"),
    ],
)
def test_bad_readouts(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PAIR.links(Readout(**fields))


@families
def test_given_translations_get_the_attention_of_a_plain_forward_pass(
    family: str, tokenizer: AttnSeq2SeqTokenizer
) -> None:
    model = model_of(family, tokenizer).train()
    seen = dict(attend_pairs(model, tokenizer, PAIRS, batch_size=2))
    assert model.training
    model.eval()
    assert sorted(seen) == [0, 1, 2]
    for index, (source, target) in enumerate(PAIRS):
        inputs = tokenizer(source, return_tensors="pt")
        labels = tokenizer(text_target=target, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            weights = model(**inputs, labels=labels, output_attentions=True).cross_attentions
        expected = torch.cat(weights).numpy()  # layers x heads x tgt_len x src_len
        np.testing.assert_allclose(seen[index].attention, expected, atol=1e-5)
        assert seen[index].source.words() == cut_words(source).words()
        # The same links by the tokenizer's own count of words.
        plain = attention_to_links(expected[-1].mean(0), inputs.word_ids(), tokenizer(text_target=target).word_ids())
        assert seen[index].links(Readout()) == plain


@families
def test_links_do_not_depend_on_the_batch_or_the_side_of_padding(family: str, tokenizer: AttnSeq2SeqTokenizer) -> None:
    model = model_of(family, tokenizer)
    alone = [align(model, tokenizer, [pair])[0] for pair in PAIRS]
    assert align(model, tokenizer, PAIRS) == alone
    assert all(alone)
    try:
        tokenizer.padding_side = "left"
        assert align(model, tokenizer, PAIRS) == alone
    finally:
        tokenizer.padding_side = "right"


def test_words_of_gold_are_counted_not_those_of_the_tokenizer(tokenizer: AttnSeq2SeqTokenizer) -> None:
    model = model_of("gru", tokenizer)
    source, target = split_words("the old man ."), join_words(["l'", "homme", "a", "-t", "-il", "."], "fr")
    (alignment,) = align_pairs([(source, target)], Aligner(model, tokenizer, Readout(end_token="excluded")))
    assert target.text == "l'homme a-t-il."
    assert alignment.weights.shape == (6, 4)
    np.testing.assert_allclose(alignment.weights.sum(1), 1)
    assert {j for _, j in alignment.links} == set(range(6))  # every gold word has its link
    confidences = alignment.confidences()
    assert confidences.keys() == alignment.links
    assert all(confidences[i, j] == alignment.weights[j].max() for i, j in alignment.links)


def test_both_directions_are_made_one(tokenizer: AttnSeq2SeqTokenizer) -> None:
    forward = Aligner(model_of("gru", tokenizer, 1), tokenizer)
    backward = Aligner(model_of("transformer", tokenizer, 2), tokenizer, Readout(layer=0, shift=1))
    there = align_pairs(PAIRS, forward)
    back = align_pairs([(target, source) for source, target in PAIRS], backward)
    for method in ("intersection", "union", "grow-diag-final-and"):
        both = align_pairs(PAIRS, forward, backward, method=method)
        for one, a, b in zip(both, there, back):
            assert one.links == symmetrise(a.links, turned(b.links), method)
            np.testing.assert_allclose(one.weights, (a.weights + b.weights.T) / 2)
            assert one.source == a.source == b.target
    assert any(a.links != turned(b.links) for a, b in zip(there, back))


def test_a_corpus_of_any_length_keeps_its_order_and_its_blank_lines(tokenizer: AttnSeq2SeqTokenizer) -> None:
    model = model_of("gru", tokenizer)
    expected = align(model, tokenizer, PAIRS)
    rows = [PAIRS[0], ("", "x"), PAIRS[1], ("x", " "), PAIRS[2], ("", "")]
    aligned = list(align_corpus(iter(rows), Aligner(model, tokenizer), chunk_size=2))
    assert [one.links for one in aligned] == [expected[0], set(), expected[1], set(), expected[2], set()]
    assert aligned[1].weights.shape == (1, 0)
    assert list(align_corpus([], Aligner(model, tokenizer))) == []


@families
def test_attention_of_beams_is_that_of_the_chosen_translation(family: str, tokenizer: AttnSeq2SeqTokenizer) -> None:
    model = model_of(family, tokenizer)
    shown = attend(model, tokenizer, PAIRS[0][0], num_beams=4, max_new_tokens=8)
    inputs = tokenizer(PAIRS[0][0], return_tensors="pt")
    labels = torch.tensor([tokenizer.convert_tokens_to_ids(shown.target_tokens)])
    with torch.no_grad():
        forced = model(**inputs, labels=labels, output_attentions=True).cross_attentions[-1][0]
    np.testing.assert_allclose(shown.weights.numpy(), forced.numpy(), atol=1e-5)


def test_readouts_are_scored_best_first(tokenizer: AttnSeq2SeqTokenizer) -> None:
    model = model_of("transformer", tokenizer)
    wanted = Readout(layer=0, head=2, shift=1, end_token="competes")
    gold = [GoldLinks(links, links) for links in align(model, tokenizer, PAIRS, readout=wanted)]
    scored = score_readouts(model, tokenizer, PAIRS, gold)
    assert scored[0].scores.error_rate == 0
    assert wanted in [one.readout for one in scored if one.scores.error_rate == 0]
    assert scored[-1].scores.error_rate > 0
    config = model.config
    assert len(scored) == config.decoder_layers * (config.num_attention_heads + 1) * 2 * 2
    only = score_readouts(model, tokenizer, PAIRS, gold, readouts=[Readout()])
    assert [one.readout for one in only] == [Readout()]
    with pytest.raises(ValueError, match="3 pairs and gold links for 2"):
        score_readouts(model, tokenizer, PAIRS, gold[:2])


def test_readouts_that_agree_are_found_without_gold(tokenizer: AttnSeq2SeqTokenizer) -> None:
    forward = Aligner(model_of("transformer", tokenizer), tokenizer)
    backward = Aligner(model_of("gru", tokenizer), tokenizer)
    best = agreeing_readouts(forward, backward, PAIRS)
    tried = []
    for readout in all_readouts(1, 4):
        for back_readout in all_readouts(1, 1):
            there = align(forward.model, tokenizer, PAIRS, readout=readout)
            back = align(backward.model, tokenizer, [pair[::-1] for pair in PAIRS], readout=back_readout)
            common = sum(len(a & turned(b)) for a, b in zip(there, back))
            tried.append(2 * common / sum(len(a) + len(b) for a, b in zip(there, back)))
    assert best.agreement == pytest.approx(max(tried))
    assert best.agreement > min(tried)


def test_a_readout_lies_beside_its_model(tmp_path: Path) -> None:
    assert load_readout(tmp_path) == Readout()
    readout = Readout(layer=2, head=1, shift=1, end_token="competes", threshold=0.3)
    path = save_readout(readout, tmp_path)
    assert load_readout(tmp_path) == readout
    for text in ("{", "[1]", '{"layers": 1}', '{"shift": -1}', '{"shift": "1"}'):
        path.write_text(text)
        with pytest.raises(
            ValueError, match=r"json' is not a valid read-out \(layer, head, shift, end_token, threshold\)"
        ):
            load_readout(tmp_path)


def test_what_cannot_be_aligned(tokenizer: AttnSeq2SeqTokenizer) -> None:
    none = tiny_model(vocab_size=len(tokenizer), attention_type="none")
    with pytest.raises(ValueError, match="no attention"):
        align(none, tokenizer, PAIRS)
    model = model_of("gru", tokenizer)
    with pytest.raises(ValueError, match="Text 1 is blank"):
        align(model, tokenizer, [("a", " ")])
    with pytest.raises(ValueError, match="Pair 0 does not consist of a source and a target"):
        align(model, tokenizer, ["ab"])
    with pytest.raises(ValueError, match="Layer 3 does not exist: the decoder has 1"):
        align(model, tokenizer, PAIRS, readout=Readout(layer=3))
    with pytest.raises(ValueError, match="no head 1: the layer has 1"):
        align(model, tokenizer, PAIRS, readout=Readout(head=1))
