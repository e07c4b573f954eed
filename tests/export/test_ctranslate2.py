# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Models for CTranslate2: translations equal to `generate()`, and sentences for what it cannot hold."""

import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import GenerationConfig, PreTrainedTokenizerBase

import hf_attn_seq2seq
from hf_attn_seq2seq import AttnSeq2SeqForConditionalGeneration, AttnSeq2SeqTokenizer
from hf_attn_seq2seq.export import command, ctranslate2
from hf_attn_seq2seq.export.ctranslate2 import ACTIVATIONS, check, export_ctranslate2, search_options, specification
from tests.decoding.conftest import SENTENCES, folders, make_model, tokenizer  # noqa: F401
from tests.helpers import END, FAMILIES, padded_batch, tiny_config, tiny_model


needs_ctranslate2 = pytest.mark.skipif(
    importlib.util.find_spec("ctranslate2") is None, reason="pip install 'hf_attn_seq2seq[ctranslate2]'"
)
LENGTHS = (5, 3, 7, 6, 9, 2)
KINDS: dict[str, dict[str, Any]] = {
    "post": {},
    "pre": {"norm_position": "pre"},
    "learned": {"position_type": "learned"},
    "marian": {
        "position_type": "sinusoidal_halves",
        "zero_start": True,
        "output_bias": True,
        "encoder_intermediate_size": 20,
    },
    "sockeye": {"position_type": "sinusoidal_concat", "output_bias": True},
    "unscaled": {"scale_embeddings": False},
    "fairseq": {"position_type": "sinusoidal_halves", "position_offset": 2, "embedding_norm": True},
    "rotary": {"position_type": "rotary", "rope_theta": 100.0},
    "untied": {"tie_word_embeddings": False, "decoder_vocab_size": 23},
    "shared": {"share_encoder_decoder_embeddings": True},
    "depths": {"encoder_layers": 2, "decoder_layers": 1, "layer_norm_eps": 0.1, "scale": 1.0},
    "grouped": {"num_attention_heads": 4, "num_key_value_heads": 2, "position_type": "rotary"},
    "one key": {"num_attention_heads": 4, "num_key_value_heads": 1},
    "other heads": {"num_attention_heads": 4, "encoder_attention_heads": 2, "encoder_key_value_heads": 1},
}
SEARCHES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # and arguments of translate_batch beside its own
    "greedy": ({"num_beams": 1}, {}),
    "4 beams": ({"num_beams": 4, "length_penalty": 0.6, "early_stopping": True}, {}),
    "5 beams": ({"num_beams": 5, "length_penalty": 1.0, "early_stopping": True}, {}),
    "best 3": ({"num_beams": 4, "num_return_sequences": 3, "early_stopping": True, "length_penalty": 2.0}, {}),
    "greedy, forbidden": (
        {"num_beams": 1, "suppress_tokens": [3, 5, 99], "bad_words_ids": [[7]], "min_new_tokens": 2},
        {},
    ),
    "beams, forbidden": (
        {
            "num_beams": 4,
            "early_stopping": True,
            "suppress_tokens": [3],
            "min_new_tokens": 3,
            "renormalize_logits": True,
        },
        {},
    ),
    "never early": ({"num_beams": 4, "length_penalty": 1.0, "early_stopping": "never"}, {"patience": 100}),
}


def words(count: int, unknown: str | None = "<unk>") -> Tokenizer:
    """Of `count` words, the first of which are special."""
    names = ["<pad>", "<s>", "</s>", *([unknown] if unknown else [])]
    names += [f"w{number}" for number in range(len(names), count)]
    return Tokenizer(models.WordLevel({name: number for number, name in enumerate(names)}, unk_token=unknown))


def word_tokenizer(model: AttnSeq2SeqForConditionalGeneration, **options: Any) -> AttnSeq2SeqTokenizer:
    config = model.config
    if config.decoder_vocab_size != config.vocab_size:
        options["target_tokenizer_object"] = words(config.decoder_vocab_size)
    return AttnSeq2SeqTokenizer(
        tokenizer_object=words(config.vocab_size),
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        **options,
    )


def translations(
    model: AttnSeq2SeqForConditionalGeneration, batch: Any, settings: GenerationConfig
) -> list[list[int]]:
    found = model.generate(
        input_ids=batch.input_ids, attention_mask=batch.attention_mask, generation_config=settings
    ).tolist()
    return [row[1 : row.index(END) if END in row else len(row)] for row in found]


def in_ctranslate2(
    model: AttnSeq2SeqForConditionalGeneration, batch: Any, settings: GenerationConfig, folder: Path, **options: Any
) -> list[list[int]]:
    import ctranslate2

    tokens = word_tokenizer(model)
    folder.mkdir()
    specification(model, tokens).save(str(folder))
    names = list(tokens.target.convert_ids_to_tokens(range(model.config.decoder_vocab_size)))
    loaded = ctranslate2.Translator(str(folder), compute_type="float32")
    sources = [tokens.source.convert_ids_to_tokens(sentence.tolist()) for sentence in batch.sentences]
    found = loaded.translate_batch(sources, **{**search_options(settings, names), **options})
    return [[names.index(token) for token in tokens] for each in found for tokens in each.hypotheses]


@needs_ctranslate2
@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("kind", KINDS)
def test_equal_tokens(kind: str, search: str, tmp_path: Path) -> None:
    seen: set[tuple[int, ...]] = set()
    for seed in range(3):
        model = tiny_model(seed=seed, **{"scale": 0.5, **FAMILIES["transformer"], **KINDS[kind]})
        if model.config.zero_start:  # as in converted models: nothing but the beginning is read as zeros
            model.lm_head.bias.data[model.config.decoder_start_token_id] = -1e4
        given, options = SEARCHES[search]
        settings = GenerationConfig(**{**model.generation_config.to_dict(), "max_new_tokens": 12, **given})
        batch = padded_batch(LENGTHS, seed=seed)
        wanted = translations(model, batch, settings)
        assert in_ctranslate2(model, batch, settings, tmp_path / str(seed), **options) == wanted
        seen |= set(map(tuple, wanted))
    assert len(seen) > 5  # of 18, or 54


@needs_ctranslate2
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str, tmp_path: Path) -> None:
    model = tiny_model(seed=3, scale=0.7, hidden_act=name, **FAMILIES["transformer"])
    assert measured(model, tmp_path).largest_difference < 1e-4


def measured(
    model: AttnSeq2SeqForConditionalGeneration, folder: Path, tokens: AttnSeq2SeqTokenizer | None = None
) -> ctranslate2.WrittenCTranslate2:
    model.save_pretrained(folder / "model")
    (tokens or word_tokenizer(model)).save_pretrained(folder / "model")
    return export_ctranslate2(str(folder / "model"), folder / "made")


@needs_ctranslate2
def test_ids_without_tokens_and_a_tokenizer_without_an_unknown_one(tmp_path: Path) -> None:
    model = tiny_model(seed=1, scale=0.5, **FAMILIES["transformer"])
    tokens = AttnSeq2SeqTokenizer(
        tokenizer_object=words(17, unknown=None), pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
    written = measured(model, tmp_path, tokens)
    assert written.equal_greedy_translations == written.compared == 16
    known = json.loads((written.folder / "shared_vocabulary.json").read_text())
    assert known[16:] == ["w16", "<unused 17>", "<unused 18>", "<unused 19>"]
    assert json.loads((written.folder / "config.json").read_text())["unk_token"] == "<pad>"


@needs_ctranslate2
@pytest.mark.parametrize("sizes", [{}, {"decoder_vocab_size": 23, "tie_word_embeddings": False}], ids=["one", "two"])
def test_the_folder_and_the_code_on_its_card(
    sizes: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny_model(seed=2, scale=0.5, **FAMILIES["transformer"], **sizes)
    model.generation_config.update(num_beams=3, max_new_tokens=7, early_stopping=True)
    tokens = word_tokenizer(model)
    model.save_pretrained(tmp_path / "model")
    tokens.save_pretrained(tmp_path / "model")
    command.main([str(tmp_path / "model"), "--to", "ctranslate2"])
    folder = tmp_path / "model-ctranslate2"
    assert "16 of 16 sentences of random words have the same greedy translation" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"is a model for CTranslate2: run it with ctranslate2\.Translator\."):
        hf_attn_seq2seq.load(str(folder))
    vocabularies = {"source_vocabulary.json", "target_vocabulary.json"} if sizes else {"shared_vocabulary.json"}
    assert {path.name for path in folder.iterdir()} >= {"README.md", "model.bin", "config.json", "tokenizer.json"}
    assert {path.name for path in folder.glob("*_vocabulary.json")} == vocabularies
    assert {path.name for path in tmp_path.iterdir()} == {"model", "model-ctranslate2"}  # no scratch is left
    card = (folder / "README.md").read_text()
    code = re.search(r"```python\n(.*?)```", card, re.DOTALL)
    assert code is not None
    monkeypatch.chdir(folder)
    exec(code[1].replace("A sentence.", "w9"), {})
    [wanted] = model.generate(torch.tensor([[9]]))
    assert capsys.readouterr().out.strip() == tokens.decode(wanted, skip_special_tokens=True)


@needs_ctranslate2
def test_nothing_is_written_where_numbers_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ACTIVATIONS, "relu", "Tanh")
    with pytest.raises(ValueError, match=r"CTranslate2 finds other numbers than PyTorch with .*nothing was written"):
        measured(tiny_model(**FAMILIES["transformer"]), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


REFUSED: dict[str, Any] = {
    "encoder_type": "gru",
    "decoder_type": "lstm",
    "decoder_mixer": "average",
    "attention_type": "additive",
    "attention_normalizer": "entmax15",
    "hidden_act": "gelu_10",
}


@pytest.mark.parametrize("field", REFUSED)
def test_fields_that_it_cannot_hold(field: str) -> None:
    config = tiny_config(**{**FAMILIES["transformer"], field: REFUSED[field]})
    with pytest.raises(ValueError, match=f"CTranslate2 cannot hold a model with {field}='{REFUSED[field]}', only"):
        check(config)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"do_sample": True}, "CTranslate2 cannot sample, as generation_config.json asks"),
        ({"forced_bos_token_id": 5}, "cannot use forced_bos_token_id=5"),
        ({"forced_eos_token_id": 2}, "cannot use forced_eos_token_id=2"),
        ({"begin_suppress_tokens": [4]}, r"cannot use begin_suppress_tokens=\[4\]"),
        ({"bad_words_ids": [[4, 5]]}, r"cannot forbid words of several tokens \(bad_words_ids\)"),
        ({"repetition_penalty": 1.5}, "cannot use repetition_penalty=1.5"),
        ({"num_beams": 2, "min_new_tokens": 3}, r"cannot forbid tokens .* with beams unless renormalize_logits=True"),
        ({"num_beams": 2, "suppress_tokens": [3]}, r"cannot forbid tokens .* with beams"),
        ({"eos_token_id": [2, 3]}, r"cannot end translations with eos_token_id=\[2, 3\]"),
        ({"eos_token_id": 20}, "cannot start or end with the token 20, of 20 tokens"),
        ({"eos_token_id": None}, "cannot end translations with eos_token_id=None"),
    ],
    ids=str,
)
def test_settings_that_it_does_not_take(settings: dict[str, Any], sentence: str) -> None:
    usual = {"eos_token_id": END, "decoder_start_token_id": 1, "pad_token_id": 0}
    with pytest.raises(ValueError, match=sentence):
        search_options(GenerationConfig(**{**usual, **settings}), ["word"] * 20)


def test_refusals_of_the_command(
    folders: Path,  # noqa: F811
    tokenizer: PreTrainedTokenizerBase,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = tmp_path / "made"
    with pytest.raises(ValueError, match="encoder_type='gru', only with transformer"):
        command.main([str(folders / "gru"), "--to", "ctranslate2", "-o", str(output)])
    small = shutil.copytree(folders / "transformer", tmp_path / "small")
    tokenizer.save_pretrained(small)
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(ImportError, match=r"needs CTranslate2: pip install 'hf_attn_seq2seq\[ctranslate2\]'"):
        command.main([str(small), "--to", "ctranslate2", "-o", str(output)])
    assert not output.exists()


def test_a_tokenizer_with_more_tokens_than_the_model() -> None:
    model = make_model(word_tokenizer(tiny_model()), "transformer")
    with pytest.raises(ValueError, match="The tokenizer has 20 source tokens and the model 19"):
        ctranslate2.vocabulary(word_tokenizer(model), 19, "source")
