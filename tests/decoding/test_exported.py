# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Exported models as models: what `generate()` and `forward()` take, what is refused, and broken folders."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from transformers.modeling_outputs import BaseModelOutput

from hf_attn_seq2seq import AttnSeq2SeqForConditionalGeneration, pipeline
from hf_attn_seq2seq.decoding.loading import load, load_translator
from hf_attn_seq2seq.decoding.text import translate
from hf_attn_seq2seq.export import ExportedModel, load_exported
from hf_attn_seq2seq.export.writer import write_model
from tests.decoding.conftest import SENTENCES, make_model, tokenizer  # noqa: F401
from tests.helpers import padded_batch, tiny_model


# The extra `train` and what writes graphs, as modules.
NOT_NEEDED = (
    "accelerate,datasets,evaluate,pydantic,rich,sacrebleu,sacremoses,sentencepiece,rapidfuzz,polib,py3langid,pyarrow,"
    "xxhash,tensorboard,jinja2,onnx,onnxscript"
)
WITHOUT = """
import sys

sys.modules.update(dict.fromkeys(sys.argv[2].split(",")))  # None: as if it were not installed
from hf_attn_seq2seq.decoding.command import main

main([sys.argv[1], "the old dog sees", "--num-beams", "3"])
"""


class Pair(NamedTuple):
    model: AttnSeq2SeqForConditionalGeneration
    exported: ExportedModel
    folder: Path


@pytest.fixture(scope="module")
def pair(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Pair:  # noqa: F811
    folder = tmp_path_factory.mktemp("exported")
    model = make_model(tokenizer)
    write_model(model, folder)
    tokenizer.save_pretrained(folder)
    return Pair(model, ExportedModel(folder), folder)


def inputs(**others: Any) -> dict[str, Any]:
    batch = padded_batch((5, 3, 8), vocab_size=14)
    return {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask, **others}


TARGET = torch.tensor([[1, 5, 6, 7]] * 3)


def test_forward(pair: Pair) -> None:
    with torch.no_grad():
        expected = pair.model(**inputs(decoder_input_ids=TARGET), output_attentions=True, use_cache=False)
    found = pair.exported(**inputs(decoder_input_ids=TARGET), output_attentions=True)
    torch.testing.assert_close(found.logits, expected.logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.cross_attentions, expected.cross_attentions, rtol=1e-4, atol=1e-5)
    assert found.past_key_values is None
    last = pair.exported(**inputs(decoder_input_ids=TARGET), logits_to_keep=1)
    torch.testing.assert_close(last.logits, found.logits[:, -1:])
    assert last.cross_attentions is None


def test_forward_in_parts(pair: Pair) -> None:
    whole = pair.exported(**inputs(decoder_input_ids=TARGET))
    first = pair.exported(**inputs(decoder_input_ids=TARGET[:, :3]), use_cache=True)
    source = pair.exported.get_encoder()(**inputs())
    rest = pair.exported(
        attention_mask=inputs()["attention_mask"],
        encoder_outputs=source,
        decoder_input_ids=TARGET[:, 3:],
        past_key_values=first.past_key_values,
    )
    torch.testing.assert_close(torch.cat([first.logits, rest.logits], dim=1), whole.logits)
    assert rest.past_key_values.get_seq_length() == 4


@pytest.mark.parametrize(
    "options",
    [
        {"use_cache": False},
        {"do_sample": True, "top_k": 5},
        {"decoder_input_ids": TARGET[:, :2]},
        {"num_beams": 4, "repetition_penalty": 1.5, "no_repeat_ngram_size": 2},
    ],
    ids=lambda options: "-".join(options),
)
def test_generate_as_usual(pair: Pair, options: dict[str, Any]) -> None:
    results = []
    for model in (pair.model, pair.exported):
        torch.manual_seed(4)
        results.append(model.generate(**inputs(), **options))
    assert torch.equal(*results)


def test_padding_is_seen_without_a_mask(pair: Pair) -> None:
    ids = inputs()["input_ids"]
    assert torch.equal(pair.exported.generate(ids), pair.exported.generate(**inputs()))


def test_loads_like_any_other_model(pair: Pair) -> None:
    for translator in (
        load(pair.folder),
        load_translator([str(pair.folder)], "cpu", "float32"),
        load_exported(pair.folder),
    ):
        assert isinstance(translator.model, ExportedModel)
        assert torch.equal(translator.model.generate(**inputs()), pair.model.generate(**inputs()))
        assert translator.tokenizer(SENTENCES[0])["input_ids"]


def test_needs_no_training_parts(pair: Pair, tokenizer: Any) -> None:  # noqa: F811
    command = [sys.executable, "-c", WITHOUT, str(pair.folder), NOT_NEEDED]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines() == translate(pair.model, tokenizer, ["the old dog sees"], num_beams=3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"labels": TARGET}, "not accept labels"),
        ({"inputs_embeds": torch.zeros(3, 4, 16)}, "not accept inputs_embeds"),
        ({"output_hidden_states": True}, "not accept output_hidden_states"),
        ({"decoder_attention_mask": torch.tensor([[0, 1, 1, 1]] * 3)}, "not accept padding"),
        ({"decoder_input_ids": None}, "start token"),
        ({"input_ids": torch.full((3, 8), 99)}, "outside the vocabulary"),
        ({"input_ids": torch.zeros(3, 0, dtype=torch.long)}, "source is empty"),
        ({"encoder_outputs": BaseModelOutput(torch.zeros(3, 8, 16))}, "its own encoder"),
    ],
)
def test_refuses(pair: Pair, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pair.exported(**{**inputs(decoder_input_ids=TARGET), **given})


def test_stays_on_the_cpu(pair: Pair) -> None:
    assert pair.exported.to("cpu").device.type == "cpu"
    with pytest.raises(ValueError, match="runs on the CPU, not on 'meta'"):
        pair.exported.to(torch.device("meta"))


def test_pipeline(pair: Pair, tokenizer: Any) -> None:  # noqa: F811
    translator = pipeline("translation", model=pair.folder)
    (told,) = translator(SENTENCES[0], num_beams=3)
    assert told["translation_text"] == translate(pair.model, tokenizer, [SENTENCES[0]], num_beams=3)[0]


def test_refuses_to_be_saved(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="copy its folder"):
        pair.exported.save_pretrained(tmp_path / "copy")
    assert not list(tmp_path.iterdir())


def test_refuses_what_learned_positions_or_no_attention_cannot_do(tmp_path: Path) -> None:
    sizes = {"attention_type": "none", "position_type": "learned", "max_position_embeddings": 10}
    write_model(tiny_model(encoder_type="gru", decoder_type="transformer", **sizes), tmp_path)
    exported = ExportedModel(tmp_path)
    exported.generation_config.eos_token_id = None
    assert exported.generate(**inputs(), max_new_tokens=10).shape[1] == 11
    with pytest.raises(ValueError, match="11 tokens is longer than max_position_embeddings=10"):
        exported.generate(**inputs(), max_new_tokens=11)
    with pytest.raises(ValueError, match="no attention weights"):
        exported(**inputs(decoder_input_ids=TARGET), output_attentions=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "meta"}, "runs on the CPU"),
        ({"dtype": "float16"}, "leave out the dtype"),
        ({"ensemble": True}, "an ensemble needs the model"),
    ],
)
def test_refuses_to_load_as(pair: Pair, arguments: dict[str, Any], message: str) -> None:
    names = [str(pair.folder)] * (2 if arguments.pop("ensemble", False) else 1)
    with pytest.raises(ValueError, match=message):
        load_translator(names, **arguments)


def broken(pair: Pair, tmp_path: Path, file: str, content: bytes | None) -> Path:
    folder = tmp_path / "broken"
    shutil.copytree(pair.folder, folder)
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)
    return folder


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("encoder.onnx", None, "encoder.onnx is missing"),
        ("decoder.onnx", b"cut", "not a graph that ONNX Runtime can read"),
        ("exported.json", b"{", "cannot be read"),
        ("exported.json", b"[]", "does not describe an exported model"),
        ("exported.json", b'{"format": "hf_attn_seq2seq exported model", "version": 9}', "version 9"),
        ("exported.json", b'{"format": "hf_attn_seq2seq exported model", "version": 1}', "is incomplete"),
        ("config.json", None, "config.json is missing"),
    ],
)
def test_broken_folders(pair: Pair, tmp_path: Path, file: str, content: bytes | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load(broken(pair, tmp_path, file, content))


def test_onnx_runtime_is_missing(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"pip install onnxruntime"):
        load(pair.folder)
