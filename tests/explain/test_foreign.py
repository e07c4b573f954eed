# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Transformers' own encoder-decoders, traced by what they hand out."""

import json

import numpy as np
import pytest
import torch
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    GPT2Config,
    GPT2LMHeadModel,
    MarianConfig,
    MarianMTModel,
    MarianTokenizer,
    MBartConfig,
    MBartForConditionalGeneration,
    PreTrainedModel,
    ProphetNetConfig,
    ProphetNetForConditionalGeneration,
    Speech2TextConfig,
    Speech2TextForConditionalGeneration,
    T5Config,
    T5ForConditionalGeneration,
)

from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer
from hf_attn_seq2seq.explain.document import Trace
from hf_attn_seq2seq.explain.tracing import trace
from tests.helpers import scrambled


TEXT, TRANSLATION = "The cat is on the mat .", "Le chat est sur le tapis ."
TOKENIZER = train_tokenizer([TEXT, TRANSLATION, "a dog sees it ; the house is big"], kind="word", vocab_size=60)
SIZES = {
    "vocab_size": len(TOKENIZER),
    "d_model": 16,
    "pad_token_id": TOKENIZER.pad_token_id,
    "eos_token_id": TOKENIZER.eos_token_id,
}
BART_SIZES = {
    **SIZES,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "max_position_embeddings": 64,
    "decoder_start_token_id": TOKENIZER.bos_token_id,
    "forced_eos_token_id": TOKENIZER.eos_token_id,
    "scale_embedding": True,
}
T5_SIZES = {**SIZES, "d_kv": 4, "d_ff": 24, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0}


def tiny(kind: str) -> PreTrainedModel:
    if kind == "t5":
        # T5 does not divide its scores by anything: small numbers, or float32 itself differs by more than 1e-5.
        return scrambled(T5ForConditionalGeneration(T5Config(**T5_SIZES)), scale=0.3)
    if kind == "t5-gated":
        config = T5Config(**T5_SIZES, feed_forward_proj="gated-gelu", tie_word_embeddings=False)
        return scrambled(T5ForConditionalGeneration(config), scale=0.3)
    config_class, model_class = {
        "marian": (MarianConfig, MarianMTModel),
        "bart": (BartConfig, BartForConditionalGeneration),
        "mbart": (MBartConfig, MBartForConditionalGeneration),
    }[kind]
    model = scrambled(model_class(config_class(**BART_SIZES)), scale=0.5)
    model.final_logits_bias.copy_(torch.linspace(-1, 1, len(TOKENIZER)))
    return model


@pytest.fixture(scope="module", params=["marian", "bart", "mbart", "t5", "t5-gated"])
def model(request):
    return tiny(request.param)


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"target": TRANSLATION}], ids=["greedy", "beams", "forced"])
def test_all_that_can_be_recomputed_agrees(model, options):
    made = trace(model, TOKENIZER, TEXT, **({"max_new_tokens": 8} | options))
    verification = made.verify()
    assert verification.passed, str(verification)
    assert {"sums", "logits", "mass", "teacher_forcing"} <= {check.name for check in verification.checks}
    if "target" in options:
        assert made.target_tokens == [*TRANSLATION.split(), "</s>"]


def test_arrays_are_those_of_one_pass_over_the_same_tokens(model):
    made = trace(model, TOKENIZER, TEXT, target=TRANSLATION)
    fed = torch.tensor([[step["fed"]["id"] for step in made.document["steps"]]])
    inputs = TOKENIZER([TEXT], return_tensors="pt")
    model.set_attn_implementation("eager")
    with torch.no_grad():
        outputs = model(**inputs, decoder_input_ids=fed, output_attentions=True, output_hidden_states=True)
    model.set_attn_implementation("sdpa")
    src_len, tgt_len = inputs["input_ids"].shape[1], fed.shape[1]
    expected = {
        "encoder.embeddings": model.get_encoder().get_input_embeddings().weight[inputs["input_ids"][0]],
        "decoder.embeddings": model.get_decoder().get_input_embeddings().weight[fed[0]],
        "encoder.inputs": outputs.encoder_hidden_states[0][0],
        "encoder.states": outputs.encoder_last_hidden_state[0],
        "encoder.layer.0.states": outputs.encoder_hidden_states[1][0],
        "encoder.layer.1.self_attention.weights": outputs.encoder_attentions[1][0],
        "decoder.inputs": outputs.decoder_hidden_states[0][0],
        "decoder.layer.1.states": outputs.decoder_hidden_states[2][0],
        "decoder.layer.1.self_attention.weights": outputs.decoder_attentions[1][0],
        "attention.1.weights": outputs.cross_attentions[1][0].transpose(0, 1),
    }
    for name, array in expected.items():
        np.testing.assert_allclose(made.arrays[name], array.detach().numpy(), rtol=1e-5, atol=2e-5, err_msg=name)
    heads = made.document["attention"]["heads"]
    assert made.arrays["attention.0.weights"].shape == (tgt_len, heads, src_len)
    assert made.arrays["output.hidden"].shape == (tgt_len, 16)
    assert made.layers == list(range(len(outputs.cross_attentions)))


def test_beam_arrays_are_those_of_the_winner():
    """The rows that beam search hands out are in the order of the beams, which change places."""
    model = tiny("bart")
    beams = trace(model, TOKENIZER, TEXT, num_beams=4, max_new_tokens=7)
    said = [step["choice"]["id"] for step in beams.document["steps"]]
    forced = trace(model, TOKENIZER, TEXT, target=said, max_new_tokens=len(said))
    for name in forced.arrays:
        if not name.startswith("output."):
            np.testing.assert_allclose(beams.arrays[name], forced.arrays[name], atol=2e-5, err_msg=name)


def test_scaling_is_the_decoders():
    assert trace(tiny("bart"), TOKENIZER, TEXT, max_new_tokens=2).document["attention"]["scaling"] == 4**-0.5
    assert trace(tiny("t5"), TOKENIZER, TEXT, max_new_tokens=2).document["attention"]["scaling"] == 1.0


def test_what_the_model_does_not_tell_is_named_and_saved(model, tmp_path):
    made = trace(model, TOKENIZER, TEXT, max_new_tokens=4)
    told = " ".join(entry["what"] for entry in made.document["omitted"])
    assert all(word in told for word in ("queries", "keys", "values", "scores", "gates"))
    assert not any(name.endswith((".query", ".keys", ".values", ".scores")) for name in made.arrays)
    made.save(tmp_path / "trace.json")
    again = Trace.load(tmp_path / "trace.json")
    assert again.document == json.loads(json.dumps(made.document))
    for name, array in made.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array)


def test_forced_end_is_told_as_processed():
    made = trace(tiny("bart"), TOKENIZER, TEXT, max_new_tokens=3)
    last = made.document["steps"][-1]
    if len(made.document["steps"]) == 3:
        assert last["choice"]["id"] == TOKENIZER.eos_token_id
        assert all(change["after"] is None for change in last["processed"] if change["id"] != TOKENIZER.eos_token_id)
        assert last["processed"]


def test_attention_is_eager_for_the_run_alone(monkeypatch):
    model = tiny("marian")
    model.set_attn_implementation("sdpa")
    model.train()
    seen = []
    generate = type(model).generate

    def watch(self, *args, **kwargs):
        seen.append((self.config._attn_implementation, self.training))
        return generate(self, *args, **kwargs)

    monkeypatch.setattr(type(model), "generate", watch)
    trace(model, TOKENIZER, TEXT, max_new_tokens=2)
    assert seen == [("eager", False)]
    assert (model.config._attn_implementation, model.training) == ("sdpa", True)

    def fail(self, *args, **kwargs):
        raise RuntimeError("in the middle")

    monkeypatch.setattr(type(model), "generate", fail)
    with pytest.raises(RuntimeError, match="in the middle"):
        trace(model, TOKENIZER, TEXT, max_new_tokens=2)
    assert (model.config._attn_implementation, model.training) == ("sdpa", True)
    assert not model.get_output_embeddings()._forward_pre_hooks


def test_attention_of_another_kind_is_left_out_with_a_word():
    """ProphetNet predicts several tokens ahead, and has weights for each."""
    config = ProphetNetConfig(
        vocab_size=len(TOKENIZER),
        hidden_size=16,
        num_encoder_layers=1,
        num_decoder_layers=1,
        num_encoder_attention_heads=2,
        num_decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_position_embeddings=64,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    made = trace(scrambled(ProphetNetForConditionalGeneration(config), scale=0.3), TOKENIZER, TEXT, max_new_tokens=3)
    assert made.layers == []
    assert any("attention to the source" in entry["what"] for entry in made.document["omitted"])
    with pytest.raises(ValueError, match="no attention"):
        made.weights()


def test_marian_with_its_own_tokenizer_that_keeps_no_offsets(tmp_path):
    sentencepiece = pytest.importorskip("sentencepiece")
    (tmp_path / "text").write_text(f"{TEXT}\n{TRANSLATION}\n" * 3)
    for side in ("source", "target"):
        sentencepiece.SentencePieceTrainer.train(
            input=str(tmp_path / "text"),
            model_prefix=str(tmp_path / side),
            vocab_size=40,
            hard_vocab_limit=False,
            bos_id=-1,
            minloglevel=2,
        )
    model = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "source.model"))
    pieces = [model.id_to_piece(index) for index in range(len(model)) if not model.is_control(index)]
    vocabulary = ["</s>", *pieces, "<pad>"]
    (tmp_path / "vocab.json").write_text(json.dumps({piece: index for index, piece in enumerate(vocabulary)}))
    tokenizer = MarianTokenizer(
        source_spm=str(tmp_path / "source.model"),
        target_spm=str(tmp_path / "target.model"),
        vocab=str(tmp_path / "vocab.json"),
    )
    pad = len(vocabulary) - 1
    ids = {"eos_token_id": 0, "forced_eos_token_id": 0, "pad_token_id": pad, "decoder_start_token_id": pad}
    config = MarianConfig(**{**BART_SIZES, **ids, "vocab_size": len(vocabulary)})
    made = trace(scrambled(MarianMTModel(config), scale=0.5), tokenizer, TEXT, target=TRANSLATION)
    source, target = made.document["source"], made.document["target"]
    assert (source["text"], target["text"]) == (TEXT, TRANSLATION)
    assert [word["text"] for word in source["words"]] == TEXT.split()
    for side in (source, target):
        assert "".join(token["text"] for token in side["tokens"]) == side["text"]
    assert made.verify().passed


def test_bad_models_are_one_sentence():
    gpt = GPT2LMHeadModel(GPT2Config(vocab_size=30, n_embd=8, n_layer=1, n_head=1))
    with pytest.raises(ValueError, match="GPT2LMHeadModel is not an encoder-decoder"):
        trace(gpt, TOKENIZER, TEXT)
    config = Speech2TextConfig(vocab_size=30, d_model=8, encoder_layers=1, decoder_layers=1, encoder_attention_heads=1)
    with pytest.raises(ValueError, match="reads input_features instead of text"):
        trace(Speech2TextForConditionalGeneration(config), TOKENIZER, TEXT)
    with pytest.raises(ValueError, match="blank"):
        trace(tiny("t5"), TOKENIZER, "  ")
    with pytest.raises(ValueError, match="only be changed in models of this package"):
        trace(tiny("t5"), TOKENIZER, TEXT, edit_weights=lambda step, layer, weights: weights)
