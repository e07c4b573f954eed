# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Graphs of models that hear or see find what `generate()` finds, at other lengths than those of their tracing."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hf_attn_seq2seq.decoding.exported import ExportedModel
from hf_attn_seq2seq.decoding.graph import GraphEngine
from hf_attn_seq2seq.decoding.loading import load_recognizer
from hf_attn_seq2seq.decoding.recognition import transcribe
from hf_attn_seq2seq.decoding.torch_engine import TorchEngine
from hf_attn_seq2seq.export.marian import check as check_marian
from hf_attn_seq2seq.export.writer import export, export_graph, sample, write_model
from hf_attn_seq2seq.graphs.format import GRAPH_FILE
from hf_attn_seq2seq.graphs.writer import save_graph
from tests.helpers import scrambled, tiny_config
from tests.media_models import media_model, sound_files
from tests.test_frontend import EVERY_KIND, SPEECH, build, padded, source


STACKS = {
    "lstm to gru": {"encoder_type": "lstm", "decoder_type": "gru", "attention_type": "location_aware"},
    "ssru to lstm": {"encoder_type": "ssru", "decoder_type": "lstm", "attention_type": "monotonic"},
    "transformers": {"encoder_type": "transformer", "decoder_type": "transformer", "attention_type": "multi_head"},
}
EVERY_STACK = pytest.mark.parametrize("stacks", STACKS)


def batch(kind: str, length: int) -> dict[str, torch.Tensor]:
    """Two sources, of which the second is shorter and has padding on both sides."""
    rows = [padded(kind, source(kind, length, seed=1), 0, 0), padded(kind, source(kind, 9, seed=2), 2, length - 11)]
    return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}


@EVERY_KIND
@EVERY_STACK
@pytest.mark.costly
def test_the_graph_finds_what_generate_finds(kind: str, stacks: str, tmp_path: Path) -> None:
    fields = {"encoder_layers": 2, "ctc_weight": 0.0 if kind == "pictures" else 0.1, **STACKS[stacks]}
    if kind != "pictures" and fields["encoder_type"] != "transformer":
        fields["pyramid_layers"] = 1
    model = build(kind, **fields)
    model.generation_config.max_new_tokens = 7
    model.save_pretrained(tmp_path)
    engine = GraphEngine(save_graph(model, tmp_path), tmp_path)
    for length in (16, 31, 33):  # of the last, a pyramid joins nine states
        arrays = {name: value.numpy() for name, value in batch(kind, length).items()}
        for beams in (1, 3):
            options = {"num_beams": beams, "scores": True, "layer": -1}
            found = engine.search(**arrays, **options)
            wanted = TorchEngine(model).search(**arrays, **options)
            assert found.sequences.tolist() == wanted.sequences.tolist()
            np.testing.assert_allclose(found.scores, wanted.scores, atol=1e-5)
            first = np.s_[:, :, 0]  # later rows are 0 where a sequence has ended
            np.testing.assert_allclose(found.attentions[first], wanted.attentions[first], atol=1e-5)


@EVERY_KIND
@EVERY_STACK
@pytest.mark.costly
def test_an_exported_model_gives_the_same_logits(kind: str, stacks: str, tmp_path: Path) -> None:
    model = build(kind, **STACKS[stacks])
    write_model(model, tmp_path, "onnx")
    exported = ExportedModel(tmp_path)
    inputs, targets = batch(kind, 20), torch.tensor([[1, 4, 5], [1, 6, 7]])
    with torch.no_grad():
        expected = model(**inputs, decoder_input_ids=targets).logits
    torch.testing.assert_close(exported(**inputs, decoder_input_ids=targets).logits, expected, atol=1e-4, rtol=1e-4)
    generated = exported.generate(**inputs, max_new_tokens=6, num_beams=2)
    assert torch.equal(generated, model.generate(**inputs, max_new_tokens=6, num_beams=2))
    unmasked = {model.main_input_name: source(kind, 12)}
    alone = exported.generate(**unmasked, max_new_tokens=4)
    assert torch.equal(alone, model.generate(**unmasked, max_new_tokens=4))


def test_a_graph_leaves_ctc_to_pytorch(tmp_path: Path) -> None:
    model = build("speech", ctc_weight=0.3)
    model.generation_config.max_new_tokens = 5
    model.save_pretrained(tmp_path)
    engine = GraphEngine(save_graph(model, tmp_path), tmp_path)
    assert engine.can({"ctc_weight": 0.3}) == "use ctc_weight=0.3"
    assert engine.can({"ctc_weight": 0.0}) is None
    assert engine.can({}) is None


def test_a_graph_refuses_what_it_cannot_hear(tmp_path: Path) -> None:
    model = build("speech")
    model.generation_config.max_new_tokens = 5
    model.save_pretrained(tmp_path)
    engine = GraphEngine(save_graph(model, tmp_path), tmp_path)
    with pytest.raises(ValueError, match="empty or all padding"):
        engine.search(input_features=np.zeros((1, 4, 10)), attention_mask=np.zeros((1, 4), dtype=np.int64))
    with pytest.raises(ValueError, match="This model reads input_features"):
        engine.search(np.ones((1, 4), dtype=np.int64))
    assert (tmp_path / GRAPH_FILE).stat().st_size < 1_000_000


def test_samples_are_random_and_never_sentences() -> None:
    model = build("speech")
    assert list(sample(model, None, None)) == ["input_features", "attention_mask"]
    with pytest.raises(ValueError, match="does not read text"):
        sample(model, None, ["a sentence"])


def test_marian_holds_text_alone() -> None:
    config = tiny_config(**SPEECH, encoder_type="transformer", decoder_type="transformer", attention_type="multi_head")
    with pytest.raises(ValueError, match="frontend=speech, only with tokens"):
        check_marian(config)


def test_a_model_that_searches_with_ctc_is_exported_without_it(tmp_path: Path) -> None:
    made = media_model("speech")
    scrambled(made.model, scale=0.5)
    made.model.generation_config.ctc_weight = 0.3
    folder = made.save(tmp_path / "model")
    written = export_graph(str(folder))
    assert written.equal_translations == written.compared
    exported = export(str(folder), "onnx", tmp_path / "exported")
    assert "CTC" in (exported.folder / "README.md").read_text("utf-8")
    recognizer = load_recognizer(exported.folder)
    files = [str(path) for path in sound_files(tmp_path)]
    found = [each.text for each in transcribe(recognizer, files)]
    assert found == [each.text for each in transcribe(load_recognizer(folder), files, ctc_weight=0.0)]
