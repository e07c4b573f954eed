# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Attention of Transformers' own models, which fused kernels keep to themselves, and of tokenizers without places."""

import copy
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from transformers import M2M100Tokenizer, MarianTokenizer, PreTrainedModel

from hf_attn_seq2seq import pipeline
from hf_attn_seq2seq.data.words import cut_words
from hf_attn_seq2seq.decoding import align, attend, attend_pairs, command, translate_n_best
from hf_attn_seq2seq.decoding.attending import eager_attention
from hf_attn_seq2seq.decoding.offsets import encode_with_offsets, offsets_by_text
from tests.test_pipeline import SENTENCES, WORDS, foreign_model, links_by_hand


KINDS = pytest.mark.parametrize("kind", ["bart", "m2m_100", "marian", "t5"])
PAIRS = [(SENTENCES[0], SENTENCES[3]), (SENTENCES[1], SENTENCES[4]), (SENTENCES[2], SENTENCES[1])]


def implementations(model: PreTrainedModel) -> list[str]:
    return [part.config._attn_implementation for part in model.modules() if isinstance(part, PreTrainedModel)]


def eager(model: PreTrainedModel) -> Any:
    """A copy that never used anything else."""
    model = copy.deepcopy(model)
    for part in model.modules():
        if isinstance(part, PreTrainedModel):
            part.set_attn_implementation("eager")
    return model


@KINDS
def test_given_translations(kind: str) -> None:
    model = foreign_model(kind, vocab_size=len(WORDS))
    before = implementations(model)
    assert "sdpa" in before
    seen = dict(attend_pairs(model, WORDS, PAIRS, batch_size=2))
    assert implementations(model) == before
    plain = eager(model)
    for index, (source, target) in enumerate(PAIRS):
        labels = WORDS(text_target=target)["input_ids"]
        fed = torch.tensor([[model.config.decoder_start_token_id, *labels[:-1]]])
        with torch.no_grad():
            outputs = plain(**WORDS(source, return_tensors="pt"), decoder_input_ids=fed, output_attentions=True)
        expected = torch.cat(outputs.cross_attentions).numpy()  # layers x heads x tgt_len x src_len
        # Batched and padded, which weights as wide as these round a little otherwise.
        np.testing.assert_allclose(seen[index].attention, expected, atol=1e-4)
    assert any(align(model, WORDS, PAIRS))


@KINDS
@pytest.mark.parametrize("num_beams", [1, 3])
def test_translations(kind: str, num_beams: int) -> None:
    model = foreign_model(kind, vocab_size=len(WORDS))
    before = implementations(model)
    found = translate_n_best(model, WORDS, SENTENCES, links=True, num_beams=num_beams, scores=False)
    shown = attend(model, WORDS, SENTENCES[0], num_beams=num_beams)
    assert implementations(model) == before
    by_hand = [links_by_hand(eager(model), text, num_beams) for text in SENTENCES]
    assert sum(map(len, by_hand)) > 5
    words = [[*result[0].text.split()] for result in found]
    for (translation,), links, text in zip(found, by_hand, words):
        if all(token not in translation.text for token in ".!?"):  # those are set to the word before
            assert sorted(translation.links) == links
            assert {j for _, j in links} <= set(range(len(text)))
    assert shown.translation == found[0][0].text
    np.testing.assert_allclose(shown.weights.sum(-1), 1, atol=1e-5)


def test_the_implementation_is_set_back_after_an_error() -> None:
    model = foreign_model("t5", vocab_size=len(WORDS))
    before = implementations(model)
    with eager_attention(model):
        assert set(implementations(model)) == {"eager"}
    assert implementations(model) == before
    with pytest.raises(ValueError, match="num_beens"):
        attend(model, WORDS, "hello", num_beens=2)
    assert implementations(model) == before


# --------------------------------------------------------------------------------------------------------------------
# Tokenizers in Python
# --------------------------------------------------------------------------------------------------------------------

TEXTS = ["The cat ﬁnds a ½ house near the river.", "  Who  is here?", "Ĥello ☃ there"]


@pytest.fixture(scope="module", params=["marian", "m2m_100"])
def slow(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tokenizer that is in Python alone, of a SentencePiece model of its own."""
    folder = tmp_path_factory.mktemp("slow")
    proto = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter([*SENTENCES, *TEXTS[:2]] * 3),
        model_writer=proto,
        vocab_size=60,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    (folder / "source.spm").write_bytes(proto.getvalue())
    (folder / "target.spm").write_bytes(proto.getvalue())
    trained = SentencePieceProcessor(model_proto=proto.getvalue())
    pieces = [trained.id_to_piece(index) for index in range(3, trained.get_piece_size())]
    if request.param == "marian":
        vocab = {piece: index for index, piece in enumerate(["</s>", "<unk>", *pieces, "<pad>"])}
        (folder / "vocab.json").write_text(json.dumps(vocab))
        files = [folder / name for name in ("source.spm", "target.spm", "vocab.json")]
        return MarianTokenizer(*map(str, files))
    vocab = {piece: index for index, piece in enumerate(["<s>", "<pad>", "</s>", "<unk>", *pieces])}
    (folder / "vocab.json").write_text(json.dumps(vocab))
    languages = ["__en__", "__fr__"]  # which the tokenizers of checkpoints name, but a fresh one does not
    files = [folder / name for name in ("vocab.json", "source.spm")]
    return M2M100Tokenizer(*map(str, files), src_lang="en", tgt_lang="fr", additional_special_tokens=languages)


@pytest.mark.parametrize("text", TEXTS)
def test_places_of_tokens_that_are_not_told(slow: Any, text: str) -> None:
    assert not slow.is_fast
    inputs, (offsets,) = encode_with_offsets(slow, [text], return_tensors="np")
    tokens = slow.convert_ids_to_tokens(inputs["input_ids"][0].tolist())
    covered = ""
    for token, (start, end) in zip(tokens, offsets):
        shown = token.replace("▁", "")
        if token in slow.all_special_tokens and token != slow.unk_token:
            assert (start, end) == (0, 0)
        elif token == slow.unk_token:
            assert text[start:end] in ("Ĥ", "☃")
        elif shown and text[start:end].isascii():
            assert text[start:end] == shown
        covered += text[start:end]
    if "½" not in text:  # whose tokens share it
        assert covered.replace(" ", "") == text.replace(" ", "")


def test_alignments_with_such_a_tokenizer(slow: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kind = "marian" if isinstance(slow, MarianTokenizer) else "m2m_100"
    model = foreign_model(kind, vocab_size=len(slow) if kind == "marian" else 300)  # languages have high ids
    ids = {"pad_token_id": slow.pad_token_id, "eos_token_id": slow.eos_token_id}
    start = slow.pad_token_id if kind == "marian" else slow.eos_token_id
    for config in (model.config, model.generation_config):
        for name, value in {**ids, "decoder_start_token_id": start, "bos_token_id": None}.items():
            setattr(config, name, value)
    model.generation_config.max_new_tokens = 12
    pairs = [(TEXTS[0], SENTENCES[0]), (SENTENCES[1], TEXTS[1])]
    linked = align(model, slow, pairs)
    assert any(linked)
    for links, pair in zip(linked, pairs):
        sizes = [len(cut_words(text).spans) for text in pair]
        assert all(i < sizes[0] and j < sizes[1] for i, j in links)
    found = translate_n_best(model, slow, SENTENCES[:2], links=True, unknown_words={})
    languages = {} if kind == "marian" else {"src_lang": "en", "tgt_lang": "fr"}
    results = pipeline(model=model, tokenizer=slow, **languages)(SENTENCES[:2], return_alignments=True)
    assert any(translation.links for (translation,) in found)
    assert any(result["alignment"]["links"] for result in results)
    model.save_pretrained(tmp_path / "model")
    slow.save_pretrained(tmp_path / "model")
    (tmp_path / "text").write_text("\n".join(SENTENCES[:2]) + "\n")
    command.main([str(tmp_path / "model"), str(tmp_path / "text"), "--alignments", "--num-beams", "1"])
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_tokens_of_other_letters_are_refused(slow: Any) -> None:
    ids = slow("the cat is here")["input_ids"]
    with pytest.raises(ValueError, match=r"Tokenizer\) does not report the character offsets of its tokens"):
        offsets_by_text(slow, "ö" * 20, ids)
