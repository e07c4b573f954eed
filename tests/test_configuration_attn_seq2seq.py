# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The configuration: sizes that follow, choices that are checked, contradictions that are told in one sentence."""

import re

import pytest
from huggingface_hub.errors import StrictDataclassError

from hf_attn_seq2seq import PRESETS, AttnSeq2SeqConfig, AttnSeq2SeqModel
from hf_attn_seq2seq.configuration_attn_seq2seq import _CHOICES, RUNNING_STATE_ATTENTIONS


TRANSFORMERS = {"encoder_type": "transformer", "decoder_type": "transformer", "attention_type": "multi_head"}


@pytest.mark.parametrize("field", _CHOICES)
def test_an_unknown_choice_lists_the_known_ones(field: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{field}='new' is unknown")) as error:
        AttnSeq2SeqConfig(**{field: "new"})
    assert all(choice in str(error.value) for choice in _CHOICES[field])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"hidden_size": 0}, "hidden_size=0 must be at least 1"),
        ({"dropout": 1.0}, r"dropout=1.0 must lie in \[0, 1\)"),
        ({"monotonic_noise": -1.0}, "monotonic_noise"),
        ({"location_kernel_size": 4}, "location_kernel_size=4 must be odd"),
        ({"encoder_hidden_size": 255}, "encoder_hidden_size=255 must be even"),
        ({"hidden_size": 30, "num_attention_heads": 4}, "hidden_size=30 must be a multiple of num_attention_heads=4"),
        ({"attention_size": 30, "num_attention_heads": 4}, "attention_size=30 must be a multiple"),
        ({"attention_type": "multi_head", "num_attention_heads": 3}, "must be a multiple of num_attention_heads=3"),
        (
            {"attention_type": "multi_head", "num_attention_heads": 4, "num_key_value_heads": 3},
            "num_attention_heads=4 must be a multiple of num_key_value_heads=3",
        ),
        ({"num_attention_heads": 2, "num_key_value_heads": 1}, "only 'multi_head' attention and Transformer decoders"),
        ({"attention_type": "dot", "encoder_hidden_size": 128}, "hidden_size=256 must equal encoder_hidden_size=128"),
        ({"attention_type": "none", "attention_normalizer": "sparsemax"}, "does not normalize scores"),
        ({"attention_type": "monotonic", "attention_normalizer": "entmax15"}, "does not normalize scores"),
        ({"embedding_size": 100}, "tie_word_embeddings=True needs embedding_size=100 equal to hidden_size=256"),
        ({"bridge": "final", "encoder_type": "transformer"}, "reads the final states of a recurrent encoder"),
        ({"bridge": "final_dense", "encoder_type": "lstm"}, "encoder_type='lstm' and decoder_type='gru' do not fit"),
        ({"bridge": "final", "decoder_layers": 2}, "encoder_layers=1 must equal decoder_layers=2"),
        ({"readout": "concat"}, "output layer 768 numbers, more than an embedding has"),
        ({"readout": "linear", "attention_query": "current"}, "readout='linear' leaves out the context"),
        ({"attention_type": "general", "attention_bias": True}, "is for attention_type additive and concat, not 'gen"),
        ({"attention_type": "coverage", "attention_weight_norm": True}, "attention_weight_norm=True is for attention"),
        ({"share_encoder_decoder_embeddings": True, "decoder_vocab_size": 9}, "needs a shared vocabulary"),
        ({**TRANSFORMERS, "input_feeding": True}, "input_feeding=True needs a recurrent decoder"),
        (
            {**TRANSFORMERS, "embedding_size": 128, "tie_word_embeddings": False},
            "but embedding_size=128 and encoder_hidden_size=256",
        ),
        ({**TRANSFORMERS, "hidden_size": 36, "position_type": "rotary"}, "head size 9 must be even"),
        ({**TRANSFORMERS, "hidden_size": 2, "position_type": "sinusoidal_halves"}, "a width of 4 or more, not 2"),
        ({"zero_start": True, "decoder_start_token_id": None}, "zero_start=True needs decoder_start_token_id"),
        ({**TRANSFORMERS, "hidden_size": 31, "num_attention_heads": 1}, "needs an even width, not 31"),
        ({**TRANSFORMERS, "encoder_attention_heads": 3}, "must be a multiple of encoder_attention_heads=3"),
        ({"vocab_size": 30, "pad_token_id": 30}, "pad_token_id=30 is outside the vocabulary of 30 tokens"),
        ({"pad_token_id": -1}, "pad_token_id=-1 is outside"),
        ({"decoder_vocab_size": 5, "eos_token_id": [2, 7]}, "eos_token_id=7 is outside the vocabulary of 5"),
        ({"decoder_start_token_id": 9000}, "decoder_start_token_id=9000 is outside"),
        ({"hidden_act": "new"}, "hidden_act='new' is unknown: choose one of"),
        ({"rope_theta": 0.0}, "rope_theta=0.0 must be greater than 0"),
        ({"residual_alpha": 0.0}, "residual_alpha=0.0 must be greater than 0"),
        ({"position_offset": -1}, "position_offset=-1 must be at least 0"),
        ({**TRANSFORMERS, "position_type": "learned", "position_offset": 2}, "is for sinusoidal positions, not"),
        ({"num_layers": 2}, "no field 'num_layers': set encoder_layers and decoder_layers"),
        ({"atention_type": "dot"}, "no field 'atention_type': did you mean 'attention_type'"),
    ],
)
def test_contradictions_get_one_sentence(fields: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told) as error:
        AttnSeq2SeqConfig(**fields)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", RUNNING_STATE_ATTENTIONS)
def test_a_transformer_decoder_refuses_a_running_state(kind: str) -> None:
    with pytest.raises(ValueError, match="needs the weights of earlier steps"):
        AttnSeq2SeqConfig(decoder_type="transformer", attention_type=kind)


def test_a_wrong_type_is_refused() -> None:
    with pytest.raises(StrictDataclassError, match="hidden_size"):
        AttnSeq2SeqConfig(hidden_size="big")


def test_sizes_follow_hidden_size() -> None:
    config = AttnSeq2SeqConfig(vocab_size=50, hidden_size=64)
    assert config.embedding_size == config.encoder_hidden_size == config.attention_size == 64
    assert config.decoder_vocab_size == 50
    assert config.num_attention_heads == 1
    assert AttnSeq2SeqConfig(attention_type="multi_head").num_attention_heads == 4
    assert AttnSeq2SeqConfig(**TRANSFORMERS, hidden_size=6).num_attention_heads == 2


def test_heads_follow_each_other() -> None:
    hybrid = {"encoder_type": "transformer", "decoder_type": "gru"}
    assert AttnSeq2SeqConfig(**hybrid).encoder_attention_heads == 4
    assert AttnSeq2SeqConfig(**hybrid).num_attention_heads == 1
    assert AttnSeq2SeqConfig(**hybrid, num_attention_heads=2).encoder_attention_heads == 2
    grouped = AttnSeq2SeqConfig(**TRANSFORMERS, num_attention_heads=8, num_key_value_heads=2)
    assert (grouped.encoder_attention_heads, grouped.encoder_key_value_heads) == (8, 2)


def test_names_of_other_models_are_understood() -> None:
    config = AttnSeq2SeqConfig(**TRANSFORMERS, d_model=64, decoder_attention_heads=8, encoder_ffn_dim=96)
    assert (config.hidden_size, config.embedding_size, config.num_attention_heads) == (64, 64, 8)
    assert config.encoder_intermediate_size == config.encoder_ffn_dim == 96
    assert config.intermediate_size == config.decoder_ffn_dim == 256
    assert AttnSeq2SeqConfig(**TRANSFORMERS, decoder_ffn_dim=48).encoder_intermediate_size == 48


def test_an_edit_is_checked_when_saved(tmp_path) -> None:
    config = AttnSeq2SeqConfig()
    config.attention_type = "new"
    with pytest.raises(StrictDataclassError, match="attention_type='new' is unknown"):
        config.save_pretrained(tmp_path)


def test_saved_and_loaded_alike(tmp_path) -> None:
    config = AttnSeq2SeqConfig(hidden_size=32, encoder_type="lstm", attention_type="coverage", my_own="kept")
    config.save_pretrained(tmp_path)
    assert AttnSeq2SeqConfig.from_pretrained(tmp_path).to_dict() == config.to_dict()


@pytest.mark.parametrize("name", PRESETS)
def test_presets_have_the_papers_sizes_and_shrink(name: str) -> None:
    published = {
        "cho2014": (1000, 100, 1, 1),
        "bahdanau2015": (1000, 620, 1, 1),
        "luong2015": (1000, 1000, 4, 4),
        "gnmt": (1024, 1024, 8, 8),
        "transformer_tiny": (128, 128, 4, 4),
        "transformer_base": (512, 512, 6, 6),
        "transformer_big": (1024, 1024, 6, 6),
        "bergamot_tiny": (256, 256, 6, 2),
    }
    config = AttnSeq2SeqConfig.from_preset(name)
    assert (config.hidden_size, config.embedding_size, config.encoder_layers, config.decoder_layers) == published[name]
    small = AttnSeq2SeqConfig.from_preset(name, hidden_size=8, vocab_size=20, encoder_layers=2, decoder_layers=1)
    assert small.embedding_size == small.encoder_hidden_size == 8
    assert small.attention_type == config.attention_type
    assert AttnSeq2SeqModel(small).num_parameters() < 10_000


def test_presets_keep_what_does_not_hang_on_the_width() -> None:
    assert AttnSeq2SeqConfig.from_preset("bahdanau2015", hidden_size=1000).encoder_hidden_size == 2000
    narrow = AttnSeq2SeqConfig.from_preset("transformer_base", hidden_size=64)
    assert (narrow.vocab_size, narrow.num_attention_heads, narrow.intermediate_size) == (37000, 8, 256)


def test_an_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"Unknown preset 'new': choose one of cho2014, .*transformer_big"):
        AttnSeq2SeqConfig.from_preset("new")
