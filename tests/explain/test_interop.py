# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Other tools, the real ones where they are installed."""

import json
import sys

import numpy as np
import pytest
import torch

from hf_attn_seq2seq import AttnSeq2SeqTokenizer
from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer
from hf_attn_seq2seq.explain.faithfulness import faithfulness
from hf_attn_seq2seq.explain.interop import inseq_model, to_bertviz
from hf_attn_seq2seq.explain.tracing import trace
from tests.helpers import FAMILIES, families, tiny_model


TEXT, TRANSLATION = "The cat is on the mat .", "Le chat est sur le tapis ."
TOKENIZER = train_tokenizer([TEXT, TRANSLATION], kind="word", vocab_size=40)


def model_of(tokenizer=TOKENIZER, scale=0.5, **fields):
    return tiny_model(vocab_size=len(tokenizer), scale=scale, **fields)


def two_vocabularies():
    """Whose target side has other ids for other words, and more of them."""
    source = train_tokenizer([TEXT], kind="word", vocab_size=40)
    target = train_tokenizer([TRANSLATION, "un chien dort ici"], kind="word", vocab_size=40)
    tokenizer = AttnSeq2SeqTokenizer(
        tokenizer_object=source.backend_tokenizer,
        target_tokenizer_object=target.backend_tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
    )
    return tokenizer, model_of(tokenizer, decoder_vocab_size=len(tokenizer.target), **FAMILIES["gru"])


# --------------------------------------------------------------------------------------------------------------------
# BertViz
# --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("encoder_layers", "decoder_layers"), [(3, 1), (1, 3)])
def test_each_kind_of_attention_has_a_set_of_its_own(encoder_layers, decoder_layers):
    model = model_of(**FAMILIES["transformer"], encoder_layers=encoder_layers, decoder_layers=decoder_layers)
    made = trace(model, TOKENIZER, TEXT, target=TRANSLATION)
    sets = to_bertviz(made)
    assert list(sets) == ["encoder", "decoder", "cross"]
    src_len, tgt_len = 8, 8
    heads = model.config.num_attention_heads
    shapes = {
        "encoder": (encoder_layers, (1, heads, src_len, src_len)),
        "decoder": (decoder_layers, (1, heads, tgt_len, tgt_len)),
        "cross": (decoder_layers, (1, heads, tgt_len, src_len)),
    }
    for kind, (layers, shape) in shapes.items():
        weights = sets[kind][f"{kind}_attention"]
        assert [tuple(layer.shape) for layer in weights] == [shape] * layers
        torch.testing.assert_close(torch.stack(weights).sum(-1), torch.ones(layers, *shape[:-1]))
    np.testing.assert_array_equal(sets["cross"]["cross_attention"][0][0, 0].numpy(), made.weights(0, 0))
    assert sets["encoder"]["encoder_tokens"] == sets["cross"]["encoder_tokens"] == [*TEXT.split(), "</s>"]
    assert sets["decoder"]["decoder_tokens"] == ["<s>", *TRANSLATION.split()]
    assert sets["cross"]["decoder_tokens"] == [*TRANSLATION.split(), "</s>"]


def test_recurrent_models_have_what_they_have():
    assert list(to_bertviz(trace(model_of(**FAMILIES["gru"]), TOKENIZER, TEXT, max_new_tokens=3))) == ["cross"]
    mixed = model_of(**FAMILIES["transformer-gru"])
    assert list(to_bertviz(trace(mixed, TOKENIZER, TEXT, max_new_tokens=3))) == ["encoder", "cross"]
    fixed = model_of(attention_type="none")
    with pytest.raises(ValueError, match="no attention at all"):
        to_bertviz(trace(fixed, TOKENIZER, TEXT, max_new_tokens=3))


@pytest.mark.parametrize("family", ["gru", "transformer"])
@pytest.mark.parametrize("view", ["model_view", "head_view"])
def test_bertviz_draws_every_layer_of_every_kind(family, view):
    bertviz = pytest.importorskip("bertviz")
    depths = {"encoder_layers": 3, "decoder_layers": 2}
    model = model_of(**{**FAMILIES[family], **depths})
    made = trace(model, TOKENIZER, TEXT, target=TRANSLATION)
    sets = to_bertviz(made)
    drawn = {}
    for kind, arguments in sets.items():
        html = getattr(bertviz, view)(**arguments, html_action="return").data
        parameters, _ = json.JSONDecoder().raw_decode(html, html.index('{"attention": '))
        (attention,) = parameters["attention"]
        drawn[kind] = np.array(attention["attn"])
        name = {"encoder": "encoder_attention", "decoder": "decoder_attention", "cross": "cross_attention"}[kind]
        np.testing.assert_allclose(drawn[kind], torch.cat(arguments[name]).numpy(), rtol=1e-6)
    assert set(drawn) == set(sets)
    if family == "transformer":
        assert [len(drawn[kind]) for kind in ("encoder", "decoder", "cross")] == [3, 2, 2]


def test_bertviz_with_all_kinds_in_one_call_fails_or_leaves_layers_out():
    """Why there are several sets."""
    bertviz = pytest.importorskip("bertviz")

    def drawn(encoder_layers, decoder_layers):
        html = bertviz.model_view(
            encoder_attention=[torch.rand(1, 2, 3, 3)] * encoder_layers,
            cross_attention=[torch.rand(1, 2, 2, 3)] * decoder_layers,
            encoder_tokens=["a", "b", "c"],
            decoder_tokens=["x", "y"],
            html_action="return",
        ).data
        parameters, _ = json.JSONDecoder().raw_decode(html, html.index('{"attention": '))
        return [len(attention["attn"]) for attention in parameters["attention"]]

    assert drawn(1, 3) == [1, 1]
    with pytest.raises(IndexError):
        drawn(3, 1)


# --------------------------------------------------------------------------------------------------------------------
# Inseq
# --------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def inseq():
    return pytest.importorskip("inseq")


def attribute(model, tokenizer, method="input_x_gradient", **options):
    return (
        inseq_model(model, tokenizer)
        .attribute(TEXT, TRANSLATION, method=method, show_progress=False, **options)
        .sequence_attributions[0]
    )


@families
def test_inseq_has_the_same_gradients_as_we(inseq, family):
    """Its "probability" has the gradient of p, which is p times that of log p."""
    model = model_of(**FAMILIES[family])
    made = trace(model, TOKENIZER, TEXT, target=TRANSLATION)
    found = attribute(model, TOKENIZER)
    ours = faithfulness(model, TOKENIZER, made).views["gradient_x_input"].values
    probabilities = np.array([step["choice"]["probability"] for step in made.document["steps"]])
    np.testing.assert_allclose(found.source_attributions.sum(-1).T, ours * probabilities[:, None], atol=1e-5)
    assert [token.token for token in found.source] == [*TEXT.split(), "</s>"]
    assert [token.token for token in found.target] == ["<s>", *TRANSLATION.split(), "</s>"]


def test_inseq_by_itself_takes_the_wrong_table_and_ours_the_right_one(inseq):
    from inseq.models import HuggingfaceEncoderDecoderModel

    model = model_of(**FAMILIES["gru"])
    ids = torch.tensor([[4, 7, 2]])
    theirs = HuggingfaceEncoderDecoderModel(model, "saliency", TOKENIZER)
    ours = inseq_model(model, TOKENIZER)
    source, target = (part.embed_tokens(ids) for part in (model.get_encoder(), model.get_decoder()))
    torch.testing.assert_close(theirs.embed_ids(ids, as_targets=True), source)  # why the adapter is needed
    torch.testing.assert_close(ours.embed_ids(ids, as_targets=True), target)
    torch.testing.assert_close(ours.embed_ids(ids), source)
    assert not torch.allclose(source, target)


def test_inseq_scores_the_words_as_the_model_does(inseq):
    model = model_of(**FAMILIES["lstm"])
    made = trace(model, TOKENIZER, TEXT, target=TRANSLATION)
    found = attribute(model, TOKENIZER, step_scores=["probability"])
    probabilities = [step["choice"]["probability"] for step in made.document["steps"]]
    np.testing.assert_allclose(found.step_scores["probability"], probabilities, atol=1e-5)


def test_inseq_with_a_vocabulary_for_each_side(inseq):
    tokenizer, model = two_vocabularies()
    made = trace(model, tokenizer, TEXT, target=TRANSLATION)
    found = attribute(model, tokenizer, step_scores=["probability"])
    assert [token.token for token in found.source] == [*TEXT.split(), "</s>"]
    assert [token.token for token in found.target] == ["<s>", *TRANSLATION.split(), "</s>"]
    probabilities = [step["choice"]["probability"] for step in made.document["steps"]]
    np.testing.assert_allclose(found.step_scores["probability"], probabilities, atol=1e-5)
    adapter = inseq_model(model, tokenizer)
    assert adapter.convert_string_to_tokens("chat sur", as_targets=True) == ["chat", "sur"]
    assert adapter.convert_string_to_tokens("cat on") == ["cat", "on"]
    assert adapter.tokenizer is tokenizer


@pytest.mark.parametrize("method", ["saliency", "integrated_gradients", "occlusion"])
def test_inseq_methods_run_with_the_target_too(inseq, method):
    found = attribute(model_of(**FAMILIES["gru"]), TOKENIZER, method, attribute_target=True)
    assert found.source_attributions.shape[:2] == (8, 8)
    assert found.target_attributions.shape[1] == 8
    assert torch.isfinite(found.source_attributions).all()
    assert found.source_attributions.abs().max() > 0


def test_inseq_translates_by_itself(inseq):
    model = model_of(**FAMILIES["gru"])
    result = inseq_model(model, TOKENIZER).attribute(
        TEXT, method="saliency", show_progress=False, generation_args={"max_new_tokens": 4}
    )
    made = trace(model, TOKENIZER, TEXT, max_new_tokens=4)
    said = [token.id for token in result.sequence_attributions[0].target][1:]
    assert said[: len(made.target_tokens)] == [step["choice"]["id"] for step in made.document["steps"]]


def test_inseq_attention_of_a_transformer_and_none_of_a_recurrent_model(inseq):
    model = model_of(**FAMILIES["transformer"], decoder_layers=2, encoder_layers=2)
    found = attribute(model, TOKENIZER, "attention").source_attributions.numpy()  # src_len x tgt_len x layers x heads
    made = trace(model, TOKENIZER, TEXT, target=TRANSLATION)
    for layer in range(2):
        np.testing.assert_allclose(
            found[..., layer, :].transpose(1, 2, 0), made.arrays[f"attention.{layer}.weights"], atol=1e-5
        )
    with pytest.raises(ValueError, match="self-attention on both sides"):
        attribute(model_of(**FAMILIES["gru"]), TOKENIZER, "attention")


def test_without_inseq_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "inseq.models", None)
    with pytest.raises(ImportError, match="pip install"):
        inseq_model(model_of(**FAMILIES["gru"]), TOKENIZER)
