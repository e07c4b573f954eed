# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""8 bits by rows: near single precision, without neighbours, exact on every processor, in subgraphs too."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper

from hf_attn_seq2seq import AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.decoding.exported import ExportedModel
from hf_attn_seq2seq.decoding.graph import GraphEngine
from hf_attn_seq2seq.decoding.loading import load_translator
from hf_attn_seq2seq.decoding.names import DEFAULT_MODEL
from hf_attn_seq2seq.export.quantize import _Rewriter, quantize, round_rows
from hf_attn_seq2seq.export.writer import write_model
from hf_attn_seq2seq.graphs.simplify import subgraphs
from tests.helpers import padded_batch, tiny_model


WIDTH, WORDS = 128, 200  # their product is large enough to be quantized
RANDOM = np.random.default_rng(0)
FIRST_STATE = RANDOM.bit_generator.state


@pytest.fixture(autouse=True)
def the_same_numbers() -> None:
    """Each test draws what it would draw alone."""
    RANDOM.bit_generator.state = FIRST_STATE


def weights(*shape: int) -> np.ndarray:
    return RANDOM.normal(0, shape[0] ** -0.5, shape).astype(np.float32)


def build(
    nodes: list[Any], initializers: dict[str, np.ndarray], x: list[Any], y: list[Any], opset: int = 17
) -> ModelProto:
    """A model from `x` to `y` of the given shapes."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, y)],
        [numpy_helper.from_array(value, name) for name, value in initializers.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def run(model: ModelProto, **inputs: np.ndarray) -> list[np.ndarray]:
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def copied(model: ModelProto) -> ModelProto:
    copy = ModelProto()
    copy.CopyFrom(model)
    return copy


def branches_of(graph: GraphProto) -> list[GraphProto]:
    """All subgraphs."""
    inner = [each for node in graph.node for each in subgraphs(node)]
    return inner + [deeper for each in inner for deeper in branches_of(each)]


def operators(graph: GraphProto) -> list[str]:
    """The types of all nodes, those of subgraphs included."""
    return [node.op_type for each in (graph, *branches_of(graph)) for node in each.node]


def near(found: np.ndarray, expected: np.ndarray) -> None:
    assert 0 < np.linalg.norm(found - expected) < 0.02 * np.linalg.norm(expected)


PRODUCTS = {
    "matmul": [helper.make_node("MatMul", ["x", "w"], ["y"])],
    "gemm": [helper.make_node("Gemm", ["x", "w", "b"], ["y"])],
    "transposed": [helper.make_node("Gemm", ["x", "w.t", "b"], ["y"], transB=1)],
    "behind": [
        helper.make_node("Cast", ["w.half"], ["w.single"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["w.single"], ["w.across"], perm=[1, 0]),
        helper.make_node("Identity", ["w.across"], ["w.same"]),
        helper.make_node("MatMul", ["x", "w.same"], ["y"]),
    ],
    "tanh": [
        helper.make_node("Tanh", ["x"], ["h"]),
        helper.make_node("Gemm", ["h", "w", "b"], ["y"]),
    ],
    "rows of tanh": [
        helper.make_node("Tanh", ["x"], ["h"]),
        helper.make_node("Identity", ["h"], ["same"]),
        helper.make_node("Gemm", ["same", "w", "b"], ["y"]),
    ],
}


@pytest.mark.parametrize("opset", [17, 18, 21])
@pytest.mark.parametrize("kind", PRODUCTS)
def test_products(kind: str, opset: int) -> None:
    """Near single precision, and each row as if it were alone: beside large rows, rows of zeros and in any number."""
    w = weights(WIDTH, WORDS)
    values = {"w": w, "w.t": w.T.copy(), "w.half": w.T.astype(np.float16), "b": weights(WORDS)}
    read = {name for node in PRODUCTS[kind] for name in node.input}
    model = build(
        PRODUCTS[kind],
        {name: value for name, value in values.items() if name in read},
        ["n", WIDTH],
        ["n", WORDS],
        opset,
    )
    small = quantize(copied(model))
    assert small.ByteSize() < 0.35 * w.nbytes
    # The largest value of each row is looked for, but for those that tanh bounds.
    assert operators(small.graph).count("ReduceMax") == ("tanh" not in kind)
    x = RANDOM.normal(0, 1, (40, WIDTH)).astype(np.float32)
    near(run(small, x=x)[0], run(model, x=x)[0])
    x[3], x[7], x[8] = 1e4 * x[3], 0, 1e-30 * x[8]
    together = run(small, x=x)[0]
    assert np.array_equal(together, np.concatenate([run(small, x=row[None])[0] for row in x]))
    np.testing.assert_array_equal(together[7], values["b"] if "b" in read else 0)


def test_more_dimensions() -> None:
    model = build(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        {"w": weights(WIDTH, WORDS)},
        ["n", "t", WIDTH],
        ["n", "t", WORDS],
    )
    x = RANDOM.normal(0, 1, (3, 5, WIDTH)).astype(np.float32)
    small = quantize(copied(model))
    (together,) = run(small, x=x)
    near(together, run(model, x=x)[0])
    assert np.array_equal(together[1:2, 3:], run(small, x=x[1:2, 3:])[0])


def test_what_stays() -> None:
    """Small weights, constant left operands, other axes and scaled products."""
    values = {
        "small": weights(WIDTH, 8),
        "left": weights(WIDTH, WIDTH),
        "w": weights(WIDTH, WIDTH),
        "one": np.array([1]),
    }
    nodes = [
        helper.make_node("MatMul", ["left", "x"], ["a"]),
        helper.make_node("Gemm", ["a", "w"], ["b"], alpha=0.5),
        helper.make_node("Gather", ["w", "one"], ["column"], axis=1),
        helper.make_node("Mul", ["b", "column"], ["c"]),
        helper.make_node("MatMul", ["c", "small"], ["y"]),
    ]
    model = build(nodes, values, [WIDTH, WIDTH], [WIDTH, 8])
    assert quantize(copied(model)) == model


def loop() -> ModelProto:
    """
    Steps of a language model: words are looked up, a `Loop` adds to the state by the tied embedding of the likeliest
    word, and an `If` within it reads weights of the outermost graph, as does the end.
    """
    inner = [helper.make_tensor_value_info("branch", TensorProto.FLOAT, None)]
    first = helper.make_graph([helper.make_node("Gemm", ["state", "w", "b"], ["branch"], transB=1)], "then", [], inner)
    other = helper.make_graph(
        [helper.make_node("MatMul", ["state", "u"], ["branch"])],
        "else",
        [],
        [helper.make_tensor_value_info("branch", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weights(WIDTH, WIDTH), "u")],
    )
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["state", "output"], ["logits"]),
            helper.make_node("ArgMax", ["logits"], ["word"], axis=-1, keepdims=0),
            helper.make_node("Gather", ["embedding", "word"], ["embedded"]),
            helper.make_node("Constant", [], ["zero"], value=numpy_helper.from_array(np.array(0))),
            helper.make_node("Equal", ["step", "zero"], ["is_first"]),
            helper.make_node("If", ["is_first"], ["added"], then_branch=first, else_branch=other),
            helper.make_node("Add", ["added", "embedded"], ["sum"]),
            helper.make_node("Tanh", ["sum"], ["next"]),
            helper.make_node("Identity", ["go"], ["going"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, None),
        ],
    )
    nodes = [
        helper.make_node("Cast", ["embedding.half"], ["embedding"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["embedding"], ["output"], perm=[1, 0]),
        helper.make_node("Gemm", ["x", "w", "b"], ["start"], transB=1),
        helper.make_node("Loop", ["count", "", "start"], ["last", "y"], body=body),
    ]
    half = weights(WIDTH, WORDS).T.astype(np.float16)
    values = {"embedding.half": half, "w": weights(WIDTH, WIDTH), "b": weights(WIDTH), "count": np.array(3)}
    return build(nodes, values, ["n", WIDTH], [3, "n", WORDS])


def test_subgraphs_share_the_weights_of_the_outermost_graph() -> None:
    model = loop()
    small = quantize(copied(model))
    assert operators(small.graph).count("MatMulIntegerToFloat") == 4
    kept = {each.name: each for each in small.graph.initializer}
    matrices = {name: tuple(each.dims) for name, each in kept.items() if each.data_type == TensorProto.INT8}
    assert sorted(matrices.values()) == [(WIDTH, WIDTH), (WIDTH, WIDTH), (WORDS, WIDTH)]
    assert all(len(each.dims) < 2 for name, each in kept.items() if name not in matrices)
    for graph in (small.graph, *branches_of(small.graph)):  # where ONNX Runtime can pack them
        made = {name for node in graph.node if node.op_type == "Transpose" for name in node.output}
        assert {node.input[1] for node in graph.node if node.op_type == "MatMulIntegerToFloat"} <= made
    x = RANDOM.normal(0, 1, (6, WIDTH)).astype(np.float32)
    (expected,), (found,) = run(model, x=x), run(small, x=x)
    near(found, expected)
    for row in range(len(x)):
        assert np.array_equal(found[:, row : row + 1], run(small, x=x[row : row + 1])[0])


def test_branches_may_use_one_name_for_two_weights() -> None:
    branches = {
        name: helper.make_graph(
            [helper.make_node("MatMul", ["x", "w"], ["z"])],
            name,
            [],
            [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(weights(WIDTH, WIDTH), "w")],
        )
        for name in ("then_branch", "else_branch")
    }
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["positive"]),
        helper.make_node("If", ["positive"], ["y"], **branches),
    ]
    model = build(nodes, {"zero": np.array(0, np.float32)}, ["n", WIDTH], ["n", WIDTH])
    small = quantize(copied(model))
    x = RANDOM.random((2, WIDTH)).astype(np.float32)
    for each in (x, -x):
        near(run(small, x=each)[0], run(model, x=each)[0])


@pytest.mark.parametrize("columns", [64, 65])
def test_rounding(columns: int) -> None:
    rows = weights(30, columns)
    rows[3], rows[4], rows[5], rows[6, 1:] = 0, 1, -1, 0
    bits, scales = round_rows(rows)
    assert bits.dtype == np.int8
    assert (np.abs(rows - scales[:, None] * bits) <= 0.5001 * scales[:, None]).all()
    assert np.array_equal(np.abs(bits[3:7]).max(1), [0, 64, 64, 127])
    assert (np.abs(bits[7:]).max(1) >= 63).all()  # half, where two of the largest stand side by side


def test_pairs_fit_processors_without_vnni() -> None:
    """`pmaddubsw` adds two products of a byte without sign and one with sign, and saturates at 16 bits."""
    rows = np.concatenate([weights(30, 64), RANDOM.choice([-1.0, 0.3, 1.0], (30, 64)).astype(np.float32)])
    extremes = [np.where(sign * rows > 0, 255, 0) for sign in (1, -1)]

    def largest(bits: np.ndarray) -> int:
        sums = [(bytes_ * bits.astype(int)).reshape(len(bits), -1, 2).sum(2) for bytes_ in extremes]
        return int(np.abs(sums).max())

    assert largest(np.rint(127 * rows / np.abs(rows).max(1, keepdims=True))) > 2**15
    assert 2**14 < largest(round_rows(rows)[0]) < 2**15


SENTENCES = (
    "I did not know that she was here.",
    "No.",
    "The old man sat down and read his book until it was dark.",
    "Where have you put my keys?",
    "It is raining.",
)
TRANSFORMER = {"encoder_type": "transformer", "decoder_type": "transformer", "attention_type": "multi_head"}
KINDS: dict[str, dict[str, Any]] = {
    "gru": {"encoder_type": "gru", "decoder_type": "gru"},
    "lstm": {"encoder_type": "lstm", "decoder_type": "lstm", "attention_type": "multi_head", "input_feeding": True},
    "transformer": {**TRANSFORMER, "norm_position": "post"},
    "transformer-pre": {**TRANSFORMER, "norm_position": "pre"},
    "transformer-gru": {"encoder_type": "transformer", "decoder_type": "gru"},
    "transformer-ssru": {**TRANSFORMER, "decoder_mixer": "ssru"},
    "transformer-average": {**TRANSFORMER, "decoder_mixer": "average"},
}


def wide_model(kind: str, scale: float, **fields: Any) -> AttnSeq2SeqForConditionalGeneration:
    """One whose products are large enough to be quantized."""
    sizes = {"vocab_size": WORDS, "hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "attention_size": WIDTH}
    return tiny_model(scale=scale, **sizes, num_attention_heads=2, **KINDS[kind], **fields)


@pytest.mark.costly
@pytest.mark.parametrize("kind", KINDS)
def test_logits_have_no_neighbours(kind: str, tmp_path: Path) -> None:
    """
    Those of a sentence alone are those in a batch, but for what is left in single precision, whose sums follow the
    sizes, and for a value between two integers that therefore becomes the other one.
    """
    model = wide_model(kind, 0.15)
    write_model(model, tmp_path, "int8")
    for file in ("encoder.onnx", "decoder.onnx"):
        assert "MatMulIntegerToFloat" in operators(onnx.load(tmp_path / file, load_external_data=False).graph), file
    exported = ExportedModel(tmp_path)
    batch = padded_batch((9, 1, 11, 4, 7), seed=3, vocab_size=WORDS)
    target = torch.randint(3, WORDS, (5, 6), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model(batch.input_ids, batch.attention_mask, target).logits
        together = exported(batch.input_ids, batch.attention_mask, target).logits
        alone = [
            exported(ids[mask.bool()][None], None, row[None]).logits
            for ids, mask, row in zip(batch.input_ids, batch.attention_mask, target)
        ]
    rounding = (together - expected).norm()
    assert 0 < rounding < 0.1 * expected.norm()
    assert (together - torch.cat(alone)).norm() < 0.1 * rounding


LENGTHS = (9, 1, 11, 4, 7, 2, 14, 5)
BATCHES = [[*range(8)], [6, 0], [1, 6, 3], [5, 4, 7, 2, 6]]  # in which each sentence is padded


def neighbours(folder: Path, model: AttnSeq2SeqForConditionalGeneration) -> int:
    """How often a sentence has other tokens in a batch than alone, by the int8 graph, greedily and with 4 beams."""
    write_model(model, folder, "int8")
    engine = GraphEngine(folder / "graph.onnx")
    batch = padded_batch(LENGTHS, seed=3, vocab_size=WORDS)
    count = 0
    for beams in (1, 4):

        def search(sentences: list[int], width: int) -> list[list[int]]:
            ids, mask = (part[sentences, :width].numpy() for part in (batch.input_ids, batch.attention_mask))
            return engine.search(ids, mask, num_beams=beams, max_new_tokens=16).sequences.tolist()  # noqa: B023

        alone = [search([sentence], length)[0] for sentence, length in enumerate(LENGTHS)]
        assert len({*map(tuple, alone)}) > len(LENGTHS) // 2  # the source matters
        for sentences in BATCHES:
            together = search(sentences, max(LENGTHS[sentence] for sentence in sentences))
            for sentence, found in zip(sentences, together):
                count += found[: len(alone[sentence])] != alone[sentence]
    return count


@pytest.mark.costly
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_tokens_have_no_neighbours(kind: str, seed: int, tmp_path: Path) -> None:
    assert neighbours(tmp_path, wide_model(kind, 0.3, seed=seed, tie_word_embeddings=False)) == 0


@pytest.mark.costly
@pytest.mark.parametrize("kind", KINDS)
def test_with_one_range_for_a_batch_they_would(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As dynamic quantization has it: what shows that the test above can fail."""
    rounded = _Rewriter._rounded

    def for_the_batch(self: _Rewriter, name: str, bounded: bool) -> Any:
        rows, nodes = rounded(self, name, bounded)
        for node in nodes:
            if node.op_type == "ReduceMax":
                axes = next(each for each in node.attribute if each.name == "axes")
                node.attribute.remove(axes)
        return rows, nodes

    monkeypatch.setattr(_Rewriter, "_rounded", for_the_batch)
    assert neighbours(tmp_path, wide_model(kind, 0.3, seed=1, tie_word_embeddings=False)) > 0


def test_a_translation_has_no_neighbours(tmp_path: Path) -> None:
    """By the packaged model, greedily and with beams: the tokens of a sentence alone, and in batches."""
    translator = load_translator([DEFAULT_MODEL], device="cpu", dtype="float32")
    write_model(translator.model, tmp_path, "int8")
    exported = ExportedModel(tmp_path)
    engine = GraphEngine(tmp_path / "graph.onnx")
    batch = translator.tokenizer(SENTENCES, return_tensors="pt", padding=True)
    wanted = translator.model.generate(**batch, num_beams=1)
    assert (exported.generate(**batch, num_beams=1)[:, :4] == wanted[:, :4]).all(1).sum() >= len(SENTENCES) - 1
    for beams in (1, 4):
        options = {"num_beams": beams, "max_new_tokens": 20}
        together = exported.generate(**batch, **options)
        by_graph = engine.search(batch["input_ids"].numpy(), batch["attention_mask"].numpy(), **options).sequences
        for row, sentence in enumerate(SENTENCES):
            alone = exported.generate(**translator.tokenizer(sentence, return_tensors="pt"), **options)[0]
            assert torch.equal(together[row, : len(alone)], alone)
            assert by_graph[row, : len(alone)].tolist() == alone.tolist()
