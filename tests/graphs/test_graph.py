# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The graph against `generate()`: tokens, scores and attention of every kind of model, and every setting."""

import importlib.metadata
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from hf_attn_seq2seq import AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.decoding.engines import Hypotheses
from hf_attn_seq2seq.decoding.graph import GraphEngine, GraphProblem
from hf_attn_seq2seq.decoding.graph_cache import find_engine, make_engine
from hf_attn_seq2seq.decoding.loading import load_translator
from hf_attn_seq2seq.decoding.names import DEFAULT_MODEL, PACKAGED
from hf_attn_seq2seq.decoding.readout import Readout, save_readout
from hf_attn_seq2seq.decoding.torch_engine import TorchEngine
from hf_attn_seq2seq.graphs.format import GRAPH_FILE, Rows, attention_rows, read_about
from hf_attn_seq2seq.graphs.settings import Search
from hf_attn_seq2seq.graphs.writer import save_graph, write_graph
from tests.export.test_graphs import DEEP, OTHERS, TRANSFORMER, kinds
from tests.helpers import END, padded_batch, tiny_model


LENGTHS = (9, 1, 11, 4)
STEPS = 9


class Pair:
    """A model behind both engines."""

    def __init__(self, folder: Path, limited: bool = False, **fields: Any) -> None:
        self.model: AttnSeq2SeqForConditionalGeneration = tiny_model(scale=0.5, **fields)
        self.model.save_pretrained(folder)
        if limited:
            self.model.generation_config.suppress_tokens = [3]  # only while the graph is written
        graph = save_graph(self.model, folder)
        self.model.generation_config.suppress_tokens = None
        self.graph = GraphEngine(graph)
        assert self.graph.limited == limited
        self.torch = TorchEngine(self.model)
        self.attends = self.model.config.attention_type != "none"

    def same(self, lengths: tuple[int, ...] = LENGTHS, seed: int = 3, **options: Any) -> Hypotheses:
        """What the graph found, which is what `generate()` finds."""
        batch = padded_batch(lengths, seed=seed, side="inside", vocab_size=self.model.config.vocab_size)
        inputs = batch.input_ids.numpy(), batch.attention_mask.numpy()
        options = {"max_new_tokens": STEPS, "layer": -1 if self.attends else None, "scores": True, **options}
        assert self.graph.can({k: v for k, v in options.items() if k not in ("layer", "scores")}) is None
        found, wanted = self.graph.search(*inputs, **options), self.torch.search(*inputs, **options)
        assert found.found.tolist() == wanted.found.tolist()
        real = wanted.found
        width = max(found.sequences.shape[1], wanted.sequences.shape[1])
        tokens, expected = (self.padded(each.sequences, width)[real] for each in (found, wanted))
        assert tokens.tolist() == expected.tolist()
        np.testing.assert_allclose(found.scores[real], wanted.scores[real], rtol=1e-4, atol=1e-4)
        if options["layer"] is not None:
            assert found.attentions.shape[:2] == wanted.attentions.shape[:2]
            for row in np.flatnonzero(real):
                length = self.chosen(tokens[real[:row].sum()])
                np.testing.assert_allclose(
                    found.attentions[row][:, :length], wanted.attentions[row][:, :length], rtol=1e-3, atol=1e-5
                )
        return found

    def padded(self, ids: np.ndarray, width: int) -> np.ndarray:
        """Longer rows; what follows an end counts for nothing."""
        rows = np.full((len(ids), width), -1)
        for row, each in zip(rows, ids):
            length = self.chosen(each) + 1
            row[:length] = each[:length]
        return rows

    def chosen(self, row: np.ndarray) -> int:
        """The number of tokens that were chosen, with the end token."""
        ends = np.flatnonzero(np.isin(row[1:], np.atleast_1d(self.model.generation_config.eos_token_id)))
        return int(ends[0]) + 1 if len(ends) else len(row) - 1


@pytest.mark.costly
@pytest.mark.parametrize("fields", [*kinds(), *OTHERS], ids=lambda fields: "-".join(map(str, fields.values())))
def test_every_kind(fields: dict[str, Any], tmp_path: Path) -> None:
    pair = Pair(tmp_path, **fields)
    pair.same()
    pair.same((2, 8), seed=5, num_beams=3, num_return_sequences=2, length_penalty=0.8)
    assert len(pair.same((7,), seed=1, num_beams=5, num_return_sequences=5).sequences) == 5


@pytest.mark.parametrize(("attention", "copied"), [("additive", 1), ("coverage", 4)])
def test_beams_read_the_same_source(attention: str, copied: int) -> None:
    """Only the state is copied for each beam, unless an attention moves on: then mask, keys and values are, too."""
    graph = write_graph(tiny_model(attention_type=attention)).graph
    copies = next(node for node in graph.node if node.op_type == "If")
    assert len(copies.output) == copied


@pytest.fixture(scope="module", params=["gru", "transformer"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    fields = {**DEEP, "attention_type": "coverage"} if request.param == "gru" else TRANSFORMER
    return Pair(tmp_path_factory.mktemp(request.param), limited=True, **fields)


@pytest.mark.parametrize("beams", [1, 2, 4])
@pytest.mark.parametrize(
    "options",
    [
        {"min_new_tokens": 4},
        {"min_length": 6},
        {"max_new_tokens": 1},
        {"max_new_tokens": 2, "forced_eos_token_id": END},
        {"max_new_tokens": 1, "forced_bos_token_id": 7, "forced_eos_token_id": END},
        {"forced_bos_token_id": 7},
        {"forced_bos_token_id": 7, "begin_suppress_tokens": [8, 9, 10], "suppress_tokens": [3, 4]},
        {"begin_suppress_tokens": [END, 5, 6]},
        {"suppress_tokens": [3, 5, 7, 9, 11, 13, 15, 17, 19]},
        {"bad_words_ids": [[4], [6], [END]]},
        {"eos_token_id": [END, 5, 7, 9]},
        {"eos_token_id": [END, 5], "min_new_tokens": 3, "pad_token_id": 5},
        {"pad_token_id": 3},
        {"decoder_start_token_id": 6},
        {"max_new_tokens": 30, "length_penalty": -1.0},
    ],
    ids=str,
)
def test_every_setting(pair: Pair, beams: int, options: dict[str, Any]) -> None:
    before = pair.model.generation_config.eos_token_id
    pair.model.generation_config.eos_token_id = options.get("eos_token_id", before)
    try:
        pair.same(num_beams=beams, num_return_sequences=beams, **options)
        pair.same((6,), num_beams=beams, **options)
    finally:
        pair.model.generation_config.eos_token_id = before


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("size", [1024, 1031], ids=["in blocks", "as a whole"])
def test_a_large_vocabulary(size: int, beams: int, tmp_path: Path) -> None:
    pair = Pair(tmp_path, vocab_size=size)
    ends = pair.model.generation_config.eos_token_id = [END, 5, 9, 30]
    pair.same(num_beams=beams, num_return_sequences=beams, min_new_tokens=4, eos_token_id=ends)
    pair.same((3,), num_beams=beams, eos_token_id=ends)
    assert pair.graph.can({"suppress_tokens": [3]}) == "use suppress_tokens=[3], for which it was not written"


@pytest.mark.parametrize("length_penalty", [-2.0, 0.0, 0.6, 1.0, 3.0])
@pytest.mark.parametrize("early_stopping", [False, True, "never"])
def test_where_beam_search_stops(pair: Pair, early_stopping: bool | str, length_penalty: float) -> None:
    for seed in range(4):
        pair.same(
            (5, 3, 8),
            seed=seed,
            num_beams=4,
            num_return_sequences=4,
            max_new_tokens=14,
            early_stopping=early_stopping,
            length_penalty=length_penalty,
        )


def test_a_source_alone_and_in_a_batch(pair: Pair) -> None:
    batch = padded_batch(LENGTHS, seed=3, side="right", vocab_size=20)
    whole = pair.graph.search(batch.input_ids.numpy(), batch.attention_mask.numpy(), num_beams=3, max_new_tokens=STEPS)
    for row, length in enumerate(LENGTHS):
        ids = batch.input_ids[row : row + 1, :length].numpy()
        alone = pair.graph.search(ids, np.ones_like(ids), num_beams=3, max_new_tokens=STEPS)
        width = alone.sequences.shape[1]
        assert whole.sequences[row, :width].tolist() == alone.sequences[0].tolist()


def test_the_search_is_set_by_plain_inputs_whose_usual_values_the_graph_tells(tmp_path: Path) -> None:
    model = tiny_model()
    model.generation_config.update(num_beams=4, max_length=9, min_length=3, length_penalty=0.5, early_stopping="never")
    model.save_pretrained(tmp_path)
    session = GraphEngine(save_graph(model, tmp_path)).session
    told = json.loads(session.get_modelmeta().custom_metadata_map["search"])
    assert told == {
        "num_beams": 4,
        "num_return_sequences": 1,
        "max_new_tokens": 8,
        "min_new_tokens": 2,
        "length_penalty": 0.5,
        "early_stopping": 2,
    }
    assert {each.name for each in session.get_inputs()} == {"input_ids", "attention_mask", *told}


@pytest.mark.costly
@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("readout", [Readout(), Readout(0, shift=1), Readout(-2, 1, 2), Readout(1, -1, shift=40)])
def test_unless_asked_it_returns_the_rows_that_alignment_json_names(
    readout: Readout, beams: int, tmp_path: Path
) -> None:
    """Those of each token, and none from beyond the last one, whatever else is in the batch."""
    model = tiny_model(seed=4, scale=0.5, num_attention_heads=2, tie_word_embeddings=False, **TRANSFORMER)
    model.generation_config.eos_token_id = [END, 7]  # which it chooses, at several lengths
    model.save_pretrained(tmp_path)
    save_readout(readout, tmp_path)
    engine = GraphEngine(save_graph(model, tmp_path))
    batch = padded_batch(LENGTHS, seed=3, side="right")
    options = {"num_beams": beams, "num_return_sequences": beams, "max_new_tokens": 14}
    settings = Search.of({**vars(model.generation_config), **options}).inputs()
    wanted = TorchEngine(model).search(
        batch.input_ids.numpy(), batch.attention_mask.numpy(), layer=readout.layer, **options
    )

    def run(rows: slice, width: int) -> list[np.ndarray]:
        sources = {"input_ids": batch.input_ids[rows, :width], "attention_mask": batch.attention_mask[rows, :width]}
        feed = {**settings, **{name: ids.numpy() for name, ids in sources.items()}}
        return engine.session.run(["attentions", "lengths"], feed)

    found, lengths = run(slice(None), max(LENGTHS))
    assert len(set(lengths.tolist())) > 1
    for result, (rows, length) in enumerate(zip(found, lengths.tolist())):
        expected = readout.rows(wanted.attentions[result][:, :length])
        np.testing.assert_allclose(rows[:, :length].mean(0), expected, rtol=1e-3, atol=1e-5)
        assert rows[:, :length].any() == (readout.shift < length)
        assert not rows[:, length:].any()
    for source, width in enumerate(LENGTHS):
        alone, steps = run(slice(source, source + 1), width)
        for result, length in enumerate(steps.tolist()):
            among = found[source * beams + result]
            np.testing.assert_allclose(alone[result][:, :length], among[:, :length, :width], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_of_16_bits_stay_in_their_file(dtype: torch.dtype, tmp_path: Path) -> None:
    model = tiny_model(scale=0.5, hidden_size=64, vocab_size=200, attention_size=64).to(dtype)
    model.save_pretrained(tmp_path)
    graph = save_graph(model, tmp_path)
    assert graph.name == GRAPH_FILE
    size = (tmp_path / "model.safetensors").stat().st_size
    assert graph.stat().st_size < 0.5 * size + 200_000
    batch = padded_batch(LENGTHS, vocab_size=200)
    inputs = batch.input_ids.numpy(), batch.attention_mask.numpy()
    found = GraphEngine(graph).search(*inputs, max_new_tokens=STEPS)
    wanted = TorchEngine(model.float()).search(*inputs, max_new_tokens=STEPS)
    assert found.sequences.tolist() == wanted.sequences.tolist()


def test_a_graph_of_other_weights_is_refused(tmp_path: Path) -> None:
    model = tiny_model()
    model.save_pretrained(tmp_path)
    graph = save_graph(model, tmp_path)
    GraphEngine(graph)
    tiny_model(scale=0.7).save_pretrained(tmp_path)
    with pytest.raises(GraphProblem, match=r"written for another model\.safetensors"):
        GraphEngine(graph)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(GraphProblem, match=r"needs model\.safetensors, which .* lacks"):
        GraphEngine(graph)


def test_a_graph_of_another_configuration_is_refused(tmp_path: Path) -> None:
    model = tiny_model()
    model.save_pretrained(tmp_path)
    graph = save_graph(model, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "transformers_version": "0", "auto_map": {}}))
    GraphEngine(graph)
    (tmp_path / "config.json").write_text(json.dumps({**config, "attention_normalizer": "sparsemax"}))
    with pytest.raises(GraphProblem, match=r"written for another config\.json"):
        GraphEngine(graph)


def test_a_graph_of_another_alignment_json_is_refused(tmp_path: Path) -> None:
    model = tiny_model()
    model.save_pretrained(tmp_path)
    graph = save_graph(model, tmp_path)
    save_readout(Readout(), tmp_path)  # what is meant where there is no file
    GraphEngine(graph)
    for readout in (Readout(0), Readout(shift=1), Readout(head=0)):
        save_readout(readout, tmp_path)
        with pytest.raises(GraphProblem, match=r"written for another alignment\.json"):
            GraphEngine(graph)
    save_graph(model, tmp_path)
    save_readout(Readout(head=0, end_token="excluded", threshold=0.3), tmp_path)  # not the graph's affair
    GraphEngine(graph)
    (tmp_path / "alignment.json").unlink()
    with pytest.raises(GraphProblem, match=r"written for another alignment\.json"):
        GraphEngine(graph)


@pytest.mark.parametrize("content", ["", "[]", "3", '["layer"]', '{"layer": "x"}', '{"shift": -1}', '{"head": true}'])
def test_a_damaged_alignment_json_leaves_translations_alone(content: str, tmp_path: Path) -> None:
    (tmp_path / "alignment.json").write_text(content)
    assert attention_rows(tmp_path) == Rows()


@pytest.mark.parametrize("readout", [Readout(layer=2), Readout(layer=-2), Readout(head=1), Readout(head=-2)])
def test_rows_that_the_model_does_not_have(readout: Readout, tmp_path: Path) -> None:
    model = tiny_model()
    model.save_pretrained(tmp_path)
    save_readout(readout, tmp_path)
    with pytest.raises(ValueError, match=r"alignment\.json names layer .*, but the decoder has 1 .*, of 1 heads"):
        save_graph(model, tmp_path)


def test_a_broken_graph_is_refused(tmp_path: Path) -> None:
    model = tiny_model()
    model.save_pretrained(tmp_path)
    graph = save_graph(model, tmp_path)
    whole = graph.read_bytes()
    for content in (b"", b"not a graph", whole[: len(whole) // 2], whole[:-40]):
        graph.write_bytes(content)
        with pytest.raises(GraphProblem, match=r"damaged|cannot be loaded|incomplete"):
            GraphEngine(graph)
    with pytest.raises(GraphProblem, match="There is no graph"):
        GraphEngine(tmp_path / "other.onnx")
    for version, message in ((b"9", "is of version 9 of the format"), (b"1", "is of an earlier version of this pack")):
        other = whole.replace(b"version\x12\x012", b"version\x12\x01" + version)
        assert other != whole
        graph.write_bytes(other)
        with pytest.raises(GraphProblem, match=message):
            GraphEngine(graph)
    assert find_engine(tmp_path) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_beams": 0}, "num_beams=0 must be between 1 and 1,000"),
        ({"num_beams": 100_000}, "num_beams=100000 must be between"),
        ({"num_return_sequences": 2}, "must be between 1 and the number of beams, 1"),
        ({"max_new_tokens": 0}, "max_new_tokens=0 must be at least 1"),
        ({"suppress_tokens": [20]}, r"suppress_tokens=\[20\] is outside the vocabulary of 20"),
    ],
)
def test_bad_settings(pair: Pair, options: dict[str, Any], message: str) -> None:
    ids = np.array([[5, 6, END]])
    with pytest.raises(ValueError, match=message):
        pair.graph.search(ids, np.ones_like(ids), **options)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"do_sample": True}, "sample"),
        ({"no_repeat_ngram_size": 2}, "use no_repeat_ngram_size=2"),
        ({"repetition_penalty": 1.2}, "use repetition_penalty=1.2"),
        ({"bad_words_ids": [[3, 4]]}, "forbid words of several tokens"),
        ({"stop_strings": ["."]}, "use stop_strings"),
        ({"something_new": 1}, "use something_new=1"),
        ({"temperature": 0.5, "repetition_penalty": 1.0, "use_cache": False}, None),
    ],
)
def test_what_it_cannot_do(pair: Pair, options: dict[str, Any], reason: str | None) -> None:
    found = pair.graph.can(options)
    assert found is None if reason is None else found.startswith(reason)


def test_bad_sources(pair: Pair) -> None:
    for ids, message in (([[]], "The source is empty"), ([[99]], "outside the vocabulary"), ([[-1]], "hold -1")):
        source = np.array(ids, dtype=np.int64)
        with pytest.raises(ValueError, match=message):
            pair.graph.search(source, np.ones_like(source))


def test_a_graph_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ATTN_SEQ2SEQ_CACHE", str(tmp_path / "cache"))
    model, folder = tiny_model(), tmp_path / "model"
    model.save_pretrained(folder)
    loaded = []
    assert find_engine(folder) is None
    for _ in range(2):
        engine = make_engine(folder, lambda: loaded.append(1) or model)
        assert engine.path.parent.parent == tmp_path / "cache" / "graphs"
    assert len(loaded) == 1
    assert find_engine(folder) is not None
    save_readout(Readout(shift=1), folder)
    assert find_engine(folder) is None
    make_engine(folder, lambda: loaded.append(1) or model)
    assert len(loaded) == 2
    tiny_model(scale=0.7).save_pretrained(folder)
    assert find_engine(folder) is None


def test_the_packaged_graph_is_what_would_be_written_today() -> None:
    folder = PACKAGED / DEFAULT_MODEL
    about = read_about((folder / GRAPH_FILE).read_bytes())
    here = {name: importlib.metadata.version(name) for name in ("torch", "onnx")}
    if here != {name: about["versions"][name] for name in here}:
        pytest.skip("another version of torch or onnx traces other nodes")
    model = load_translator([DEFAULT_MODEL], "cpu", "float32").model
    written = write_graph(model, [folder / "model.safetensors"], attention_rows(folder))
    assert written.graph == onnx.load(folder / GRAPH_FILE, load_external_data=False).graph, (
        "export it --to graph again"
    )
    assert (folder / GRAPH_FILE).stat().st_size < 200_000
