# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Models of Marian compute here what they compute there: small files, and what `fxtranslate` 0.5.0 and `pymarian` 1.12.31
made of them, as written by `benchmarks/marian_engines.py --record`.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM

from benchmarks.marian_engines import Int8Reference, as_text, most_tokens, ours
from hf_attn_seq2seq import AttnSeq2SeqTokenizer, load
from hf_attn_seq2seq.convert.command import convert, main
from hf_attn_seq2seq.convert.marian_file import OPTIONS, read_marian
from hf_attn_seq2seq.data.sentencepiece import read_sentencepiece, write_sentencepiece
from hf_attn_seq2seq.decoding.text import translate
from hf_attn_seq2seq.explain import trace
from hf_attn_seq2seq.export.marian import npz_bytes
from hf_attn_seq2seq.export.writer import export_graph


FILES = Path(__file__).parent / "marian"
RECORDED: dict[str, Any] = json.loads((FILES / "recorded.json").read_text("utf-8"))
SENTENCES: list[str] = RECORDED["sentences"]
MODELS: dict[str, dict[str, Any]] = RECORDED["models"]


def by(engine: str, eight: bool = False) -> list[str]:
    return [name for name, about in MODELS.items() if engine in about and (".int8." in name) == eight]


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root, made = tmp_path_factory.mktemp("converted"), set()

    def folder(name: str) -> Path:
        if name not in made:
            convert(FILES / name, root / name, [FILES / vocab for vocab in MODELS[name]["vocabs"]])
            made.add(name)
        return root / name

    return folder


def known(text: str) -> str:
    """Marian's text without what it writes for unknown tokens."""
    return " ".join(word for word in text.replace(" ⁇ ", "").split(" ") if word != "<unk>")


@pytest.mark.parametrize("name", by("pymarian"))
def test_against_pymarian(name: str, converted: Callable[[str], Path]) -> None:
    """Equal texts, and equal log probabilities of each token, of which five decimals are recorded."""
    folder, wanted = converted(name), MODELS[name]["pymarian"]
    ids, scores = ours(folder, SENTENCES, lambda length: 2 * length)
    tokenizer = AttnSeq2SeqTokenizer.from_pretrained(folder)
    texts = [tokenizer.decode(each, skip_special_tokens=True) for each in ids]
    assert texts == [known(text) for text in wanted["texts"]]
    for found, expected in zip(scores, wanted["scores"]):
        assert found == pytest.approx(expected, abs=1e-4)
    assert sum(map(len, scores)) > 50


@pytest.mark.parametrize("name", by("fxtranslate"))
def test_against_fxtranslate(name: str, converted: Callable[[str], Path]) -> None:
    folder = converted(name)
    ids, _ = ours(folder, SENTENCES)
    assert [as_text(folder, each) for each in ids] == MODELS[name]["fxtranslate"]


@pytest.mark.parametrize("name", by("fxtranslate", eight=True))
def test_what_eight_bits_mean(name: str, converted: Callable[[str], Path]) -> None:
    """Layout and multipliers: in NumPy, with what is multiplied rounded too, the file gives what the engine gives."""
    folder = converted(name)
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(folder), AttnSeq2SeqTokenizer.from_pretrained(folder)
    sizes = {"width": model.config.hidden_size, "heads": model.config.num_attention_heads}
    sizes |= {"encoder": model.config.encoder_layers, "decoder": model.config.decoder_layers}
    # The engine's fast products need matrices of other sizes than these.
    reference = Int8Reference((FILES / name).read_bytes(), sizes, saturates=False)
    found = [as_text(folder, reference.translate(tokenizer(each).input_ids)) for each in SENTENCES]
    assert found == MODELS[name]["fxtranslate"]


@pytest.mark.parametrize("name", by("fxtranslate", eight=True))
def test_weights_of_eight_bits_are_those_of_the_file(name: str, converted: Callable[[str], Path]) -> None:
    exact, rounded = (read_marian(FILES / each) for each in (MODELS[name]["of"], name))
    model = AutoModelForSeq2SeqLM.from_pretrained(converted(name))
    query = model.model.encoder.stack.layers[0].self_attention.query_projection.weight
    np.testing.assert_array_equal(query.detach().numpy(), rounded.tensors["encoder_l1_self_Wq"].T)
    for tensor, value in exact.tensors.items():
        multiplier = rounded.multipliers.get(tensor)
        limit = 0.0 if multiplier is None else 0.5001 / multiplier
        assert np.abs(rounded.tensors[tensor] - value).max() <= limit, tensor


@pytest.mark.parametrize("name", [*by("pymarian"), *by("fxtranslate", eight=True)])
def test_the_command(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vocabs = [str(FILES / vocab) for vocab in MODELS[name]["vocabs"]]
    main([str(FILES / name), "--vocab", *vocabs, "--output", str(tmp_path / "made")])
    told = capsys.readouterr().out
    assert f"hf-attn-seq2seq translate {tmp_path / 'made'}" in told
    assert ("matrices were in 8 bits" in told) == (".int8." in name)
    translator = load(tmp_path / "made")
    assert translator.model.generation_config.suppress_tokens == [1]
    assert len(translate(translator.model, translator.tokenizer, SENTENCES[:2], max_new_tokens=9)) == 2


@pytest.mark.parametrize(
    "name", ["student.bin", "transformer.npz", "average.npz", "s2s.npz", "two-vocabularies.int8.bin"]
)
def test_every_number_is_explained(name: str, converted: Callable[[str], Path]) -> None:
    """The start from zeros, the bias and the mixer are in the trace, and its checks pass."""
    model, tokenizer = load(converted(name))
    found = trace(model, tokenizer, SENTENCES[1], num_beams=1, max_new_tokens=6)
    verification = found.verify()
    assert verification.passed, str(verification)
    assert not found.arrays["decoder.embeddings"][0].any()
    assert found.arrays["decoder.embeddings"][1].any()
    assert "output.bias" in found.arrays


@pytest.mark.parametrize("name", ["student.npz", "transformer.npz", "average.npz", "s2s.npz"])
def test_the_graph_translates_alike(name: str, converted: Callable[[str], Path]) -> None:
    folder = converted(name)
    written = export_graph(str(folder), SENTENCES)
    assert written.equal_translations == written.compared == len(SENTENCES)


def test_a_batch_is_as_one_by_one(converted: Callable[[str], Path]) -> None:
    folder = converted("student.bin")
    together, _ = ours(folder, SENTENCES)
    alone = [ours(folder, [sentence])[0][0] for sentence in SENTENCES]
    assert together == alone
    assert len(set(map(tuple, together))) > 2


def test_training_goes_on(converted: Callable[[str], Path]) -> None:
    folder = converted("student.bin")
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(folder), AttnSeq2SeqTokenizer.from_pretrained(folder)
    batch = tokenizer(SENTENCES, text_target=SENTENCES, return_tensors="pt", padding=True)
    batch["labels"][batch["labels"] == tokenizer.pad_token_id] = -100
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(12):
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


# --------------------------------------------------------------------------------------------------------------------
# Refusals
# --------------------------------------------------------------------------------------------------------------------


def changed(folder: Path, options: dict[str, Any] | None = None, **tensors: np.ndarray | None) -> Path:
    """The student with other options and tensors; None: without one."""
    found = read_marian(FILES / "student.npz")
    values = {**found.tensors, **tensors}
    text = json.dumps({**found.options, **(options or {})}).encode() + b"\0"
    path = folder / "model.npz"
    path.write_bytes(npz_bytes({name: value for name, value in values.items() if value is not None}, text))
    return path


RECURRENT = {"type": "s2s", "dec-cell": "gru", "dim-rnn": 8}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"type": "multi-transformer"}, r"needs several encoders \(type: multi-transformer\)"),
        ({"type": "nematus"}, r"needs the architecture 'nematus' \(type: nematus\)"),
        ({"type": "s2s"}, r"another cell than gru or lstm \(dec-cell: ssru\)"),
        ({**RECURRENT, "enc-cell": "gru-nematus"}, r"another cell than gru or lstm \(enc-cell: gru-nematus\)"),
        ({**RECURRENT, "enc-depth": 2}, "several layers whose directions do not meet"),
        ({**RECURRENT, "enc-cell-depth": 2}, "several cells in a layer of the encoder"),
        ({**RECURRENT, "dec-cell-base-depth": 4}, "more or fewer than two cells around the attention"),
        ({**RECURRENT, "dec-depth": 2, "dec-cell-high-depth": 2}, "several cells in a layer of the decoder"),
        (RECURRENT, "holds no 'encoder_bi_W'"),
        ({"type": "s2s", "layer-normalization": True}, "layer normalization within the decoder's cells"),
        ({"type": "lm"}, r"needs the architecture 'lm' \(type: lm\)"),
        ({"type": 7}, "option type: 7, which Marian would not take"),
        ({"dim-vocabs": [9, 9, 9]}, r"several encoders \(dim-vocabs"),
        ({"right-left": True}, r"from right to left \(right-left: True\)"),
        ({"lemma-dim-emb": 8}, r"factors \(lemma-dim-emb: 8\)"),
        ({"factors-dim-emb": 8}, "factors"),
        ({"input-types": ["sequence", "alignment"]}, "other inputs than text"),
        ({"transformer-train-position-embeddings": True}, "learned positions"),
        ({"transformer-disable-position-embeddings": True}, "needs embeddings without positions"),
        ({"transformer-attention-mask": "alibi"}, "scores that depend on distances"),
        ({"transformer-tied-layers": [1, 1]}, "layers that share their weights"),
        ({"transformer-ffn-depth": 3}, "feed-forward blocks of another depth"),
        ({"transformer-decoder-ffn-depth": 3}, "feed-forward blocks of another depth"),
        ({"transformer-ffn-activation": "tanh"}, "the activation 'tanh'"),
        ({"transformer-rnn-projection": True}, "output projection of the decoder's cell"),
        ({"transformer-postprocess": "dhn"}, "layers in an order that there is not here"),
        ({"transformer-postprocess-emb": "n"}, "normalized embeddings"),
        ({"transformer-decoder-autoreg": "conv"}, "'conv' in the decoder"),
        ({"dec-cell": "gru"}, "another cell than SSRU"),
        (
            {"transformer-decoder-autoreg": "self-attention", "transformer-preprocess": "n"}
            | {"transformer-postprocess": "da", "transformer-postprocess-top": "n"},
            "self-attention that differs between training and translation",
        ),
        (
            {"transformer-decoder-autoreg": "average-attention", "transformer-dim-aan": 16},
            "a network of averages without its last layer",
        ),
        ({"dim-emb": -1}, "dim-emb: -1, which is no size"),
        ({"dim-emb": 1 << 40}, "which is no size"),
        ({"transformer-heads": 5}, "which do not fit"),
        ({"enc-depth": 1000}, "100[12] layers by its options, but"),
        ({"enc-depth": 2}, "holds no 'encoder_l2_self_Wq'"),
        ({"transformer-decoder-autoreg": "self-attention"}, "holds no 'decoder_l1_self_Wq'"),
        ({"dim-emb": 8}, "of shape"),
        ({"transformer-dim-ffn": 25}, "'encoder_l1_ffn_W1' of shape"),
        ({"tied-embeddings-all": False}, "holds no 'encoder_Wemb'"),
    ],
)
def test_options_that_are_refused(options: dict[str, Any], told: str, tmp_path: Path) -> None:
    path = changed(tmp_path, options)
    with pytest.raises(ValueError, match=told) as error:
        convert(path, tmp_path / "made", [FILES / "source.spm"])
    assert "\n" not in str(error.value)
    assert [each.name for each in tmp_path.iterdir()] == ["model.npz"]  # nothing half-written


def test_tensors_that_are_refused(tmp_path: Path) -> None:
    for tensors, told in (
        ({"Wemb": None}, "no table of embeddings"),
        ({"decoder_l1_rnn_Wf": None}, "no 'decoder_l1_rnn_Wf'"),
        ({"other": np.zeros((1, 1), np.float32)}, "holds 'other', which is no part"),
    ):
        with pytest.raises(ValueError, match=told):
            convert(changed(tmp_path, **tensors), tmp_path / "made", [FILES / "source.spm"])


def test_vocabularies_that_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    path.write_bytes((FILES / "student.npz").read_bytes())
    with pytest.raises(ValueError, match=r"No vocabulary \(\.spm, \.yml\) is beside .*: name one"):
        convert(path, tmp_path / "made")
    with pytest.raises(ValueError, match=r"has \d+ pieces and .* rows for them"):
        convert(path, tmp_path / "made", [FILES / "target.spm"])
    with pytest.raises(ValueError, match="is no SentencePiece model"):
        convert(path, tmp_path / "made", [path])
    with pytest.raises(ValueError, match="cannot be read"):
        convert(path, tmp_path / "made", [tmp_path / "none.spm"])
    with pytest.raises(ValueError, match="3 vocabularies are too many"):
        convert(path, tmp_path / "made", [FILES / "source.spm"] * 3)
    vocabulary = read_sentencepiece((FILES / "source.spm").read_bytes(), "source")
    pieces = [piece._replace(text="<end>") if piece.text == "</s>" else piece for piece in vocabulary.pieces]
    (tmp_path / "other.spm").write_bytes(write_sentencepiece(vocabulary._replace(pieces=pieces)))
    with pytest.raises(ValueError, match="has no </s>"):
        convert(path, tmp_path / "made", [tmp_path / "other.spm"])
    assert not (tmp_path / "made").exists()


def test_a_folder_is_found_out(tmp_path: Path) -> None:
    source = tmp_path / "en-fr"
    source.mkdir()
    with pytest.raises(ValueError, match="is no checkpoint that is known"):
        convert(source, tmp_path / "made")
    (source / "model.npz").write_bytes((FILES / "two-vocabularies.npz").read_bytes())
    (source / "lex.50.50.bin").write_bytes(b"a list of likely words")
    (source / "srcvocab.spm").write_bytes((FILES / "source.spm").read_bytes())
    (source / "trgvocab.spm").write_bytes((FILES / "target.spm").read_bytes())
    (source / "decoder.yml").write_text("beam-size: 4\nnormalize: 0.6\nallow-unk: true\n")
    found = convert(source, tmp_path / "made")
    settings = found.model.generation_config
    assert (settings.num_beams, settings.length_penalty, settings.suppress_tokens) == (4, 0.6, None)
    assert found.tokenizer.has_two_vocabularies
    (source / "other.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"There are 2 models in .* \(model.npz, other.bin\): name the file of one"):
        convert(source, tmp_path / "again")
    with pytest.raises(ValueError, match=r"Unknown origin 'unheard-of': choose one of .*marian"):
        convert(source, tmp_path / "again", origin="unheard-of")
    with pytest.raises(ValueError, match=r"There is no '.*none': name a checkpoint"):
        convert(tmp_path / "none", tmp_path / "again")
    with pytest.raises(ValueError, match="exists and is not empty"):
        convert(source, tmp_path / "made")


def test_decoder_options_that_are_damaged(tmp_path: Path) -> None:
    for name in ("student.npz", "source.spm"):
        (tmp_path / name).write_bytes((FILES / name).read_bytes())
    (tmp_path / "decoder.yml").write_text("[" * 10)
    with pytest.raises(ValueError, match=r"decoder\.yml' cannot be read: mend or remove it"):
        convert(tmp_path, tmp_path / "made")


def test_the_engines_limit() -> None:
    assert [most_tokens(length) for length in (1, 10, 200)] == [6, 24, 256]
    assert OPTIONS == "special:model.yml"
