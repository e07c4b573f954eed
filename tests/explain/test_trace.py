# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The trace: what it holds, against the model's own outputs; saving and reading; bad input."""

import io
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from transformers import PreTrainedTokenizerBase, dynamic_module_utils

from hf_attn_seq2seq import gather_beam_attentions
from hf_attn_seq2seq.configuration_attn_seq2seq import DECODER_MIXERS
from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer
from hf_attn_seq2seq.decoding.alignment import Aligner, align_pairs
from hf_attn_seq2seq.explain import Trace, trace
from hf_attn_seq2seq.explain.mixers import MIXERS
from hf_attn_seq2seq.explain.page import render_page
from hf_attn_seq2seq.explain.terminal import print_trace
from tests.explain.conftest import SENTENCES, TEXT
from tests.explain.same import without_rows
from tests.helpers import usual_mode


MakeModel = Callable[..., Any]
RECURRENT = {"encoder_type": "gru", "decoder_type": "lstm", "attention_type": "additive"}
TRANSFORMER = {
    "encoder_type": "transformer",
    "decoder_type": "transformer",
    "attention_type": "multi_head",
    "decoder_layers": 2,
}


@pytest.mark.parametrize("num_beams", [1, 3])
@pytest.mark.parametrize("fields", [RECURRENT, TRANSFORMER])
def test_weights_and_tokens_are_those_of_generate(
    make_model: MakeModel, tokenizer: PreTrainedTokenizerBase, fields: dict[str, Any], num_beams: int
) -> None:
    model = make_model(**fields)
    traced = trace(model, tokenizer, TEXT, num_beams=num_beams)
    outputs = model.generate(
        **tokenizer([TEXT], return_tensors="pt"),
        num_beams=num_beams,
        return_dict_in_generate=True,
        output_attentions=True,
    )
    chosen = [step["choice"]["id"] for step in traced.document["steps"]]
    assert outputs.sequences[0, 1 : 1 + len(chosen)].tolist() == chosen
    for layer in traced.layers:
        expected = gather_beam_attentions(outputs, layer)[0, :, : len(chosen)].numpy()  # heads x steps x src_len
        np.testing.assert_allclose(traced.arrays[f"attention.{layer}.weights"].swapaxes(0, 1), expected, atol=1e-5)


def test_a_source_of_two_thousand_tokens(make_model: MakeModel, tokenizer: PreTrainedTokenizerBase) -> None:
    model = make_model(**RECURRENT, pointer=True, vocab_size=len(tokenizer))
    traced = trace(model, tokenizer, "the cat is on " * 500, num_beams=2, max_new_tokens=3)
    assert traced.weights().shape[-1] == 2001
    assert traced.verify().passed
    shown = io.StringIO()
    print_trace(traced, Console(file=shown, width=100))
    assert len(shown.getvalue().splitlines()) < 600
    assert "The first 10 of 2,001 tokens." in shown.getvalue()
    assert shown.getvalue().count("The 10 tokens with the largest weights, of 2001.") == len(traced.document["steps"])
    page = render_page(traced)
    assert len(page) < 3_000_000
    assert '"attention.0.weights"' in page


def test_encoder_states_are_the_encoders(make_model: MakeModel, tokenizer: PreTrainedTokenizerBase) -> None:
    model = make_model(**RECURRENT, encoder_layers=2)
    traced = trace(model, tokenizer, TEXT)
    states = model.get_encoder()(**tokenizer([TEXT], return_tensors="pt")).last_hidden_state[0]
    np.testing.assert_allclose(traced.arrays["encoder.states"], states.detach().numpy(), atol=1e-6)
    halves = [traced.arrays[f"encoder.layer.1.{direction}.hidden"] for direction in ("forward", "backward")]
    np.testing.assert_allclose(np.concatenate(halves, axis=1), traced.arrays["encoder.layer.1.states"], atol=1e-6)


def test_tokens_know_their_words(make_model: MakeModel) -> None:
    tokenizer = train_tokenizer(SENTENCES, kind="bpe", vocab_size=290)
    model = make_model(vocab_size=len(tokenizer))
    traced = trace(model, tokenizer, "the cat is")
    source = traced.document["source"]
    assert [word["text"] for word in source["words"]] == ["the", "cat", "is"]
    for token in source["tokens"][:-1]:
        start, end = token["span"]
        assert source["text"][start:end] == token["text"]
        word = source["words"][token["word"]]
        assert token["text"].strip() in word["text"]
    assert source["tokens"][-1]["special"]
    assert source["tokens"][-1]["span"] is None


def test_alignment_is_that_of_the_aligner(make_model: MakeModel) -> None:
    tokenizer = train_tokenizer(SENTENCES, kind="bpe", vocab_size=290)
    model = make_model(vocab_size=len(tokenizer))
    pair = ("the cat is on the mat .", "le chat est sur le tapis .")
    traced = trace(model, tokenizer, pair[0], target=pair[1])
    (expected,) = align_pairs([pair], Aligner(model, tokenizer))
    aligned = traced.alignment()
    assert aligned.links == expected.links
    np.testing.assert_allclose(aligned.weights, expected.weights, atol=1e-5)


def test_two_vocabularies(make_model: MakeModel) -> None:
    from hf_attn_seq2seq import AttnSeq2SeqTokenizer

    sides = [train_tokenizer(texts, kind="word", vocab_size=50) for texts in (SENTENCES[::2], SENTENCES[1::2])]
    tokenizer = AttnSeq2SeqTokenizer(
        tokenizer_object=sides[0].backend_tokenizer,
        target_tokenizer_object=sides[1].backend_tokenizer,
        **{name: getattr(sides[0], name) for name in ("pad_token", "bos_token", "eos_token", "unk_token")},
    )
    model = make_model(vocab_size=len(tokenizer), decoder_vocab_size=len(tokenizer.target))
    traced = trace(model, tokenizer, TEXT, target="le chat")
    assert traced.source_tokens[:2] == ["the", "cat"]
    assert traced.target_tokens[:2] == ["le", "chat"]


def test_a_given_target_is_said(make_model: MakeModel, tokenizer: PreTrainedTokenizerBase) -> None:
    model = make_model()
    traced = trace(model, tokenizer, TEXT, target="un chien voit")
    assert traced.target_tokens[:3] == ["un", "chien", "voit"]
    steps = traced.document["steps"]
    assert traced.document["run"]["forced"]
    assert all(step["choice"]["forced"] for step in steps)
    labels = torch.tensor([[step["choice"]["id"] for step in steps]])
    logits = model(**tokenizer([TEXT], return_tensors="pt"), labels=labels).logits[0]
    expected = logits.log_softmax(-1).gather(1, labels[0, :, None])[:, 0]
    recorded = [step["choice"]["log_probability"] for step in steps]
    np.testing.assert_allclose(recorded, expected.detach().numpy(), atol=1e-5)


def test_what_processors_change_is_told(make_model: MakeModel, tokenizer: PreTrainedTokenizerBase) -> None:
    model = make_model()
    first = trace(model, tokenizer, TEXT).document["steps"][0]["choice"]
    model.generation_config.suppress_tokens = [first["id"]]
    step = trace(model, tokenizer, TEXT).document["steps"][0]
    assert [change["id"] for change in step["processed"]] == [first["id"]]
    assert step["processed"][0]["after"] is None
    assert step["candidates"][0]["id"] == first["id"]
    assert step["choice"]["rank"] == 1


def test_the_rest_is_the_probability_of_all_others(make_model: MakeModel, tokenizer: PreTrainedTokenizerBase) -> None:
    traced = trace(make_model(), tokenizer, TEXT, candidates=4)
    for step in traced.document["steps"]:
        assert len(step["candidates"]) == 4
        assert sum(one["probability"] for one in step["candidates"]) + step["rest"] == pytest.approx(1)


def test_a_model_with_code_of_its_own(
    make_model: MakeModel, tokenizer: PreTrainedTokenizerBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model()
    model.save_pretrained(tmp_path / "model")
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    name = "modeling_attn_seq2seq.AttnSeq2SeqForConditionalGeneration"
    stranger = dynamic_module_utils.get_class_from_dynamic_module(name, str(tmp_path / "model"))
    assert stranger is not type(model)
    traced = trace(stranger.from_pretrained(tmp_path / "model"), tokenizer, TEXT)
    assert traced.verify().passed
    assert traced.target_tokens == trace(model, tokenizer, TEXT).target_tokens


def test_attention_implementation_is_restored(make_model: MakeModel, tokenizer: PreTrainedTokenizerBase) -> None:
    model = make_model(**TRANSFORMER)
    before = model.config._attn_implementation
    assert before != "eager"
    trace(model, tokenizer, TEXT)
    assert model.config._attn_implementation == before
    with pytest.raises(ValueError, match="blank"):
        trace(model, tokenizer, " ")
    model.generate = lambda **_: 1 / 0
    with pytest.raises(ZeroDivisionError):
        trace(model, tokenizer, TEXT)
    assert model.config._attn_implementation == before


@pytest.mark.parametrize("tensors", [None, "side.safetensors"])
def test_a_saved_trace_is_the_same(traced: Trace, tmp_path: Path, tensors: str | None) -> None:
    traced.what_if(weights={1: "uniform"})
    traced.verify()
    traced.save(tmp_path / "trace.json", tensors)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {usual_mode()}
    loaded = Trace.load(tmp_path / "trace.json")
    for left, right in ((traced, loaded), (traced.children[0], loaded.children[0])):
        assert left.document == right.document
        assert left.arrays.keys() == right.arrays.keys()
        assert all((left.arrays[name] == right.arrays[name]).all() for name in left.arrays)
    text = (tmp_path / "trace.json").read_text("utf-8")
    assert "NaN" not in text
    assert "Infinity" not in text


@pytest.mark.parametrize("mixer", [mixer for mixer in DECODER_MIXERS if mixer != "attention"])
def test_a_trace_of_a_mixer_is_read_whole_or_refused(
    make_model: Callable[..., Any], tokenizer: PreTrainedTokenizerBase, tmp_path: Path, mixer: str
) -> None:
    path = tmp_path / "trace.json"
    traced = trace(make_model(**TRANSFORMER, decoder_mixer=mixer), tokenizer, TEXT)
    traced.save(path)
    loaded = Trace.load(path)
    assert loaded.verify().passed
    rows = ("worked", "input_rows", "input_bias")
    mixed = [name for name in traced.arrays if ".mixer." in name and not name.endswith(rows)]
    assert {name.rpartition(".")[2] for name in mixed} == {*itertools.chain(*MIXERS[mixer].groups)}
    for name in mixed:
        document = traced.to_json()
        del document["arrays"][name]
        path.write_text(json.dumps(document), "utf-8")
        with pytest.raises(ValueError, match=f"{name} is missing"):
            Trace.load(path)


def test_a_trace_of_before_kinds_and_rows_were_told_is_read(traced: Trace, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    document = traced.to_json()
    kinds = document.pop("kinds")
    assert kinds.keys() == {"attention", "encoder", "decoder", "bridge", "readout"}
    assert kinds["attention"]["terms"] == "v_i tanh(q_i + k_i)"
    early = without_rows(traced).to_json()
    del early["kinds"]
    assert early["arrays"].keys() < document["arrays"].keys()
    for each in (document, early):
        path.write_text(json.dumps(each), "utf-8")
        loaded = Trace.load(path)
        assert loaded.document["kinds"] == traced.document["kinds"]
        assert loaded.verify().passed
    document["arrays"]["handover.row"] = document["arrays"]["readout.worked"]
    path.write_text(json.dumps(document), "utf-8")
    with pytest.raises(ValueError, match=r"damaged: handover\.row has the shape \(1,\), not"):
        Trace.load(path)


def test_packed_arrays_are_the_same(traced: Trace, tmp_path: Path) -> None:
    path = tmp_path / "packed.json"
    path.write_text(json.dumps(traced.to_json(packed=True)), "utf-8")
    loaded = Trace.load(path)
    assert all((traced.arrays[name] == loaded.arrays[name]).all() for name in traced.arrays)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("[1", "not JSON"),
        ("{}", "not a trace"),
        ('{"format": "hf_attn_seq2seq.trace", "version": 3}', "version 3"),
        ('{"format": "hf_attn_seq2seq.trace", "version": 1}', "damaged"),
    ],
)
def test_damaged_files(tmp_path: Path, content: str, sentence: str) -> None:
    path = tmp_path / "trace.json"
    path.write_text(content, "utf-8")
    with pytest.raises(ValueError, match=sentence):
        Trace.load(path)


def test_damaged_arrays(traced: Trace, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    document = traced.to_json()
    document["arrays"]["encoder.states"]["shape"] = [3, 3]
    path.write_text(json.dumps(document), "utf-8")
    with pytest.raises(ValueError, match="damaged"):
        Trace.load(path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda document: document["arrays"].pop("attention.0.keys"), "attention.0.keys is missing"),
        (lambda document: document["arrays"].pop("attention.0.vector"), "attention.0.vector is missing"),
        (lambda document: document["attention"].update(layers=[0, 5]), "attention.5.weights is missing"),
        (lambda document: document["attention"].update(heads=7), "does not begin with"),
        (lambda document: document["attention"].update(type="other"), "the attention kind 'other' is unknown"),
        (lambda document: document["decoder"].update(mixer="other"), "the decoder's mixer 'other' is unknown"),
        (lambda document: document["steps"].pop(), "steps"),
        (lambda document: document["source"].update(tokens=[]), "0 source tokens"),
        (lambda document: document["source"]["tokens"][0].update(word=55), "word that does not exist"),
        (lambda document: document["steps"][0]["candidates"][0].update(id=999), "no row in output.rows"),
        (lambda document: document["arrays"]["encoder.states"]["values"].__setitem__(0, 1e300), "not finite"),
        (lambda document: document["arrays"]["encoder.states"]["values"].__setitem__(0, np.nan), "contains NaN"),
    ],
)
def test_parts_that_do_not_fit(
    traced: Trace, tmp_path: Path, change: Callable[[dict[str, Any]], Any], sentence: str
) -> None:
    path = tmp_path / "trace.json"
    document = traced.to_json()
    change(document)
    path.write_text(json.dumps(document), "utf-8")
    with pytest.raises(ValueError, match=sentence) as raised:
        Trace.load(path)
    assert str(path) in str(raised.value)


def test_bad_input(make_model: MakeModel, tokenizer: PreTrainedTokenizerBase) -> None:
    model = make_model()
    with pytest.raises(ValueError, match=r"2,049 tokens, but a trace supports at most 2,048: shorten it, or"):
        trace(model, tokenizer, "cat " * 2048)
    attending = make_model(encoder_type="transformer")
    with pytest.raises(ValueError, match=r"601 tokens, but a trace of a model with self-attention .* at most 512: sh"):
        trace(attending, tokenizer, "cat " * 600)
    with pytest.raises(ValueError, match="target is blank"):
        trace(model, tokenizer, TEXT, target="  ")
    with pytest.raises(ValueError, match="target is of type int"):
        trace(model, tokenizer, TEXT, target=5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="contains -1"):
        trace(model, tokenizer, TEXT, target=[-1])
    with pytest.raises(ValueError, match="num_beams=0"):
        trace(model, tokenizer, TEXT, num_beams=0)
    with pytest.raises(ValueError, match="leave out num_beams"):
        trace(model, tokenizer, TEXT, target="le chat", num_beams=2)
    broken = make_model()
    broken.lm_head.weight.data.fill_(float("nan"))
    with pytest.raises(ValueError, match="weights are damaged"):
        trace(broken, tokenizer, TEXT)


@pytest.mark.parametrize("text", ["cat", "日本語 🙂 кот", "مرحبا بالعالم", "the " * 200])
def test_any_text_is_traced(make_model: MakeModel, tokenizer: PreTrainedTokenizerBase, text: str) -> None:
    assert trace(make_model(), tokenizer, text).verify().passed


def test_a_single_choice(make_model: MakeModel, tokenizer: PreTrainedTokenizerBase) -> None:
    traced = trace(make_model(), tokenizer, TEXT, max_new_tokens=1)
    assert len(traced.document["steps"]) == 1
    assert traced.document["steps"][0]["stop"]["at_limit"]
    assert traced.verify().passed


def test_texts_that_are_none_and_runs_that_are_too_long(
    make_model: MakeModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    model = make_model()
    with pytest.raises(ValueError, match="The text is blank"):
        trace(model, tokenizer, " \t")
    for texts in (["cat \udcff"], [TEXT, "\udcff"]):
        with pytest.raises(ValueError, match="not valid Unicode"):
            trace(model, tokenizer, *texts)
    with pytest.raises(ValueError, match="num_beams=1001 is more"):
        trace(model, tokenizer, TEXT, num_beams=1001)
    with pytest.raises(ValueError, match="target has 601 tokens"):
        trace(model, tokenizer, TEXT, target="chat " * 600)


@pytest.mark.parametrize("name", ["", "..", "trace.json"])
def test_a_side_file_needs_a_name_of_its_own(traced: Trace, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"trace\.json"):
        traced.save(tmp_path / "trace.json", tensors=name)
    assert not list(tmp_path.iterdir())


def test_a_side_file_that_cannot_be_written(traced: Trace, tmp_path: Path) -> None:
    (tmp_path / "side").mkdir()
    with pytest.raises(OSError, match="cannot be written"):
        traced.save(tmp_path / "trace.json", tensors="side")


def test_a_file_of_nothing_but_brackets(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_text("[" * 100_000, "utf-8")
    with pytest.raises(ValueError, match="not JSON"):
        Trace.load(path)
