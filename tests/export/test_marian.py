# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What is written for Marian is the model that was read, and what Marian cannot hold is refused with the reason."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import hf_attn_seq2seq_cli as cli
from hf_attn_seq2seq import AttnSeq2SeqForConditionalGeneration, AttnSeq2SeqTokenizer
from hf_attn_seq2seq.convert.command import convert
from hf_attn_seq2seq.convert.marian_file import read_marian
from hf_attn_seq2seq.convert.marian_vocabularies import read_side
from hf_attn_seq2seq.data.sentencepiece import read_sentencepiece, to_tokenizer
from hf_attn_seq2seq.export import marian
from hf_attn_seq2seq.export.command import main
from tests.documents import ROOT, commands, write_recipes
from tests.export.test_ctranslate2 import word_tokenizer
from tests.helpers import tiny_model


FILES = Path(__file__).parents[1] / "convert/marian"
RECORDED: dict[str, Any] = json.loads((FILES / "recorded.json").read_text("utf-8"))
MODELS = [name for name in RECORDED["models"] if ".int8." not in name and name != "s2s.npz"]  # which is read alone
STUDENT: dict[str, Any] = {
    "encoder_type": "transformer",
    "decoder_type": "transformer",
    "attention_type": "multi_head",
    "decoder_mixer": "ssru",
    "position_type": "sinusoidal_halves",
    "zero_start": True,
    "layer_norm_eps": 1e-6,
    "encoder_intermediate_size": 20,
}


def saved(model: AttnSeq2SeqForConditionalGeneration, tokenizer: AttnSeq2SeqTokenizer, folder: Path) -> str:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.costly
def test_there_and_back(name: str, tmp_path: Path) -> None:
    """Tensors, options and vocabularies of Marian's own file come out again."""
    vocabs = [FILES / vocab for vocab in RECORDED["models"][name]["vocabs"]]
    first = convert(FILES / name, tmp_path / "model", vocabs).model
    main([str(tmp_path / "model"), "--to", "marian", "--output", str(tmp_path / "marian")])
    original = read_marian(FILES / name)
    for file in (marian.NPZ, marian.BIN):
        found = read_marian(tmp_path / "marian" / file)
        assert found.tensors.keys() == original.tensors.keys()
        for tensor, value in original.tensors.items():
            np.testing.assert_array_equal(found.tensors[tensor], value)
        for option, value in found.options.items():
            if option.startswith("transformer-") and option in original.options and "aan" not in option:
                usual = original.options[option] or value  # 0: as the encoder's
                assert value == usual or "depth-scaling" in option, option
    suffix = ".spm" if vocabs[0].suffix == ".spm" else ".yml"
    files = ["vocab"] if len(vocabs) == 1 else ["srcvocab", "trgvocab"]
    for file, vocab in zip(files, vocabs):
        made, wanted = (read_side(each) for each in (tmp_path / "marian" / f"{file}{suffix}", vocab))
        assert made == wanted
    (tmp_path / "marian" / marian.INT8_BIN).rename(tmp_path / "eight.bin")
    (tmp_path / "marian" / marian.NPZ).unlink()
    again = convert(tmp_path / "marian", tmp_path / "again").model
    for key, value in first.state_dict().items():
        torch.testing.assert_close(again.state_dict()[key], value, rtol=0, atol=0)
    assert again.generation_config.suppress_tokens == first.generation_config.suppress_tokens


def test_eight_bits_stay(tmp_path: Path) -> None:
    """A file in 8 bits is written with the same values."""
    name = "two-vocabularies.int8.bin"
    vocabs = [FILES / vocab for vocab in RECORDED["models"][name]["vocabs"]]
    convert(FILES / name, tmp_path / "model", vocabs)
    written = marian.export_marian(str(tmp_path / "model"), tmp_path / "marian")
    assert written.equal_greedy_translations == written.compared == 16
    first, second = (read_marian(path) for path in (FILES / name, tmp_path / "marian" / marian.INT8_BIN))
    assert first.tensors.keys() | {"none_QuantMultA"} == second.tensors.keys()
    both = [second.tensors[name].item() for name in ("none_QuantMultA", "decoder_Wemb_QuantMultA")]
    assert both[0] == both[1]
    for tensor, value in first.tensors.items():
        if not tensor.endswith("_QuantMultA"):  # that depends on the sentences
            np.testing.assert_array_equal(second.tensors[tensor], value)
    alphas = {name for name in first.tensors if name.endswith("_QuantMultA")}
    assert "decoder_Wemb_QuantMultA" in alphas
    products = {name for name, value in first.tensors.items() if value.ndim == 2 and min(value.shape) > 1}
    assert {f"{name}_QuantMultA" for name in products} - alphas == {"encoder_Wemb_QuantMultA"}


def spm_tokenizer() -> AttnSeq2SeqTokenizer:
    """With the special tokens of a vocabulary that was trained elsewhere, and its own `<pad>` behind them."""
    tokenizer = to_tokenizer(read_sentencepiece((FILES / "source.spm").read_bytes(), "it"), "it")
    return AttnSeq2SeqTokenizer(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def test_multipliers_are_of_the_largest_number(tmp_path: Path) -> None:
    """Of one linear layer, watched apart."""
    tokenizer = spm_tokenizer()
    pad = tokenizer.pad_token_id
    ids = {"pad_token_id": pad, "bos_token_id": pad, "decoder_start_token_id": pad, "eos_token_id": 0}
    model = tiny_model(vocab_size=len(tokenizer), **STUDENT, **ids)
    inputs = tokenizer(["The end of a line.", "a b"], return_tensors="pt", padding=True)
    found = marian.activation_multipliers(model, dict(inputs))
    seen = []
    layer = model.model.encoder.stack.layers[0].feed_forward.output_projection
    layer.register_forward_pre_hook(lambda module, given: seen.append(given[0].abs().max().item()))
    model.generate(**inputs, num_beams=1, do_sample=False, max_new_tokens=4)
    assert found["encoder_l1_ffn_W2"] == pytest.approx(127 / max(seen))
    assert found["decoder_l1_rnn_W"] == found["decoder_l1_rnn_Wf"]
    assert min(found.values()) > 0


def test_a_model_of_ones_own(tmp_path: Path) -> None:
    """Without a bias, with a `<pad>` that is a piece: nothing is cut off."""
    tokenizer = spm_tokenizer()
    pad = tokenizer.pad_token_id
    ids = {"pad_token_id": pad, "bos_token_id": pad, "decoder_start_token_id": pad, "eos_token_id": 0}
    model = tiny_model(vocab_size=len(tokenizer), share_encoder_decoder_embeddings=True, **STUDENT, **ids)
    model.generation_config.num_beams = 3
    model.generation_config.length_penalty = 0.7
    name = saved(model, tokenizer, tmp_path / "model")
    written = marian.export_marian(name, tmp_path / "marian", ["A line.", "Another one of these."])
    assert (written.sentences, written.compared) == ("given", 2)
    assert "2 sentences" in marian.described(written)
    assert "from fxtranslate import Translator" in (tmp_path / "marian/README.md").read_text()
    search = yaml.safe_load((tmp_path / "marian/decoder.yml").read_text())
    assert search == {"beam-size": 3, "normalize": 0.7, "allow-unk": True}
    found = read_marian(tmp_path / "marian" / marian.BIN)
    assert len(found.tensors["Wemb"]) == len(tokenizer) == found.options["dim-vocabs"][1]
    for file in (marian.INT8_BIN, marian.NPZ):
        (tmp_path / "marian" / file).unlink()
    again = convert(tmp_path / "marian", tmp_path / "again")
    assert again.tokenizer("Another line.").input_ids == tokenizer("Another line.").input_ids
    source = tokenizer(["A line."], return_tensors="pt")
    logits = [
        each(**source, decoder_input_ids=torch.tensor([[pad, 5, 7]])).logits.log_softmax(-1)
        for each in (model, again.model)
    ]
    torch.testing.assert_close(logits[1], logits[0])


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            {"decoder_type": "gru", "decoder_mixer": "attention"},
            "Only Transformers are written for Marian",
        ),
        ({"attention_type": "general"}, "attention_type=general"),
        ({"decoder_mixer": "min_gru"}, "decoder_mixer=min_gru, only with attention, ssru, average"),
        ({"position_type": "rotary"}, "position_type=rotary"),
        ({"zero_start": False}, "zero_start=False"),
        ({"layer_norm_eps": 1e-5}, "layer_norm_eps=1e-05"),
        ({"hidden_act": "tanh"}, "hidden_act=tanh"),
        ({"encoder_attention_heads": 2}, "one number of heads"),
        ({"num_key_value_heads": 2}, "one number of heads"),
        ({"decoder_mixer": "attention", "norm_position": "pre"}, "does not normalize the keys of earlier steps"),
        ({"decoder_mixer": "average", "norm_position": "pre"}, "averages what is not normalized"),
        ({"decoder_mixer": "average", "average_size": 16}, "leaves out the last layer"),
    ],
)
def test_models_that_marian_cannot_hold(fields: dict[str, Any], told: str) -> None:
    config = tiny_model(**{**STUDENT, **fields}).config
    with pytest.raises(ValueError, match=told) as error:
        marian.check(config)
    assert "\n" not in str(error.value)


def test_vocabularies_that_marian_cannot_hold(tmp_path: Path) -> None:
    model = tiny_model(**STUDENT)
    name = saved(model, word_tokenizer(model), tmp_path / "words")
    with pytest.raises(ValueError, match="splits text otherwise than SentencePiece, as Marian does"):
        marian.export_marian(name, tmp_path / "marian")
    tokenizer = spm_tokenizer()
    for fields, told in (
        ({"vocab_size": len(tokenizer) + 1}, "make them equal"),
        ({"vocab_size": len(tokenizer)}, "Marian ends sentences with </s>"),
    ):
        other = tiny_model(**STUDENT, **fields)
        with pytest.raises(ValueError, match=told):
            marian.export_marian(saved(other, tokenizer, tmp_path / told), tmp_path / "marian")
    assert not (tmp_path / "marian").exists()


def test_from_the_pages_recipe_to_a_file_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's commands, on less."""
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs/marian.md"
    write_recipes(page, tmp_path)
    shrunk = ["data.train={grammar: {train_size: 60, seed: 0}}", "tokenizer.vocab_size=330", "model.hidden_size=16"]
    shrunk += ["model.num_attention_heads=2", "model.intermediate_size=24", "model.encoder_layers=1"]
    shrunk += ["training.max_steps=2", "training.evaluate_every=2", "training.warmup_steps=1"]
    train_lines = [words for words in commands(page) if words[1:2] == ["train"]]
    (train_line,) = train_lines
    cli.main([*train_line[1:], *shrunk])
    (tmp_path / "test.en").write_text("The small cat sees a dog.\nA dog.\n")
    (export_line,) = [words for words in commands(page) if words[1:2] == ["export"]]
    cli.main(export_line[1:])
    made = tmp_path / "outputs/firefox-marian"
    for file in (marian.NPZ, marian.BIN):
        (made / file).unlink()
    converted = convert(made, tmp_path / "again")
    trained = AttnSeq2SeqForConditionalGeneration.from_pretrained(tmp_path / "outputs/firefox")
    assert converted.tokenizer("The small cat.").input_ids[-1] == trained.config.eos_token_id == 2
    for name, value in trained.state_dict().items():
        limit = value.abs().max() / 127 * 0.51 if value.dim() == 2 else 0.0
        assert (converted.model.state_dict()[name] - value).abs().max() <= limit, name
