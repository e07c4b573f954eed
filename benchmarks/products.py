# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
How fast and how close a product with weights of 8 bits is in ONNX Runtime, in several ways.

    python benchmarks/products.py

Weights `(in, out)` are normal, activations tanh of normal numbers, seed 0; each product adds a bias. The ways:

    fp32        in single precision: what the others are compared with
    one range   `quantize_dynamic`'s: one range for all rows, weights of 7 bits, one fused operator
    rows        this package's: a range for each row, weights of up to 8 bits
    tanh        this package's for outputs of tanh, whose range is 1
    blocks      `MatMulNBits` with 8 bits, blocks of 32 weights, accuracy level 4

Columns are the CPU time in microseconds in single precision, then how many times as fast each way is (median over the
rounds) and its error, the norm of the difference by that of the product.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the package, installed or not

from benchmarks.rounds import Spread, machine, ratio
from hf_attn_seq2seq.export.quantize import quantize


SHAPES = ((256, 8000), (512, 8000), (512, 1536), (768, 1536))
ROWS = (1, 5, 32, 160)
BLOCK = 32
SECONDS = 0.002  # of repeated products, at least, in each turn


def build(nodes: list[NodeProto], initializers: dict[str, np.ndarray], shape: tuple[int, int]) -> ModelProto:
    """A model from `x` `(rows, in)` to `y` `(rows, out)`."""
    graph = helper.make_graph(
        nodes,
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", shape[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", shape[1]])],
        [numpy_helper.from_array(value, name) for name, value in initializers.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def ways(weights: np.ndarray, bias: np.ndarray) -> dict[str, ModelProto]:
    shape = weights.shape
    plain = {"w": weights, "b": bias}
    product = helper.make_node("Gemm", ["x", "w", "b"], ["y"])
    after_tanh = [
        helper.make_node("Tanh", ["x"], ["h"]),
        helper.make_node("Gemm", ["h", "w", "b"], ["y"]),
    ]
    seven = np.abs(weights).max(0) / 63
    one_range = {
        "w": np.rint(weights / seven).astype(np.int8),
        "s": seven,
        "z": np.zeros(shape[1], np.int8),
        "b": bias,
    }
    blocks = weights.T.reshape(shape[1], -1, BLOCK)
    scales = np.abs(blocks).max(2) / 127
    bits = np.rint(blocks / scales[..., None] + 128).astype(np.uint8)
    settings = {"K": shape[0], "N": shape[1], "bits": 8, "block_size": BLOCK, "accuracy_level": 4}
    contributed = {"domain": "com.microsoft"}
    return {
        "fp32": build([product], plain, shape),
        "one range": build(
            [helper.make_node("DynamicQuantizeMatMul", ["x", "w", "s", "z", "b"], ["y"], **contributed)],
            one_range,
            shape,
        ),
        "rows": quantize(build([product], plain, shape)),
        "tanh": quantize(build(after_tanh, plain, shape)),
        "blocks": build(
            [helper.make_node("MatMulNBits", ["x", "w", "s", "", "", "b"], ["y"], **contributed, **settings)],
            {"w": bits, "s": scales.reshape(-1), "b": bias},
            shape,
        ),
    }


def session(model: ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def seconds(session: onnxruntime.InferenceSession, x: np.ndarray, repeats: int) -> float:
    start = time.process_time()
    for _ in range(repeats):
        session.run(None, {"x": x})
    return (time.process_time() - start) / repeats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="(default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="2 rounds: a trial, not a measurement")
    options = parser.parse_args()
    if options.quick:
        options.rounds = 2
    random = np.random.default_rng(0)
    print(f"{machine()}, onnxruntime {onnxruntime.__version__}, one thread")
    for number, shape in enumerate(SHAPES):
        weights = random.normal(0, shape[0] ** -0.5, shape).astype(np.float32)
        bias = random.normal(0, 0.1, shape[1]).astype(np.float32)
        sessions = {name: session(model) for name, model in ways(weights, bias).items()}
        if number == 0:
            others = [name for name in sessions if name != "fp32"]
            print(f"{'product':>16}{'fp32 us':>9}" + "".join(f"{name:>17}" for name in others))
        for rows in ROWS:
            before = random.normal(0, 1, (rows, shape[0])).astype(np.float32)
            inputs = {name: before if name == "tanh" else np.tanh(before) for name in sessions}
            exact = inputs["fp32"] @ weights
            errors = {
                name: np.linalg.norm(each.run(None, {"x": inputs[name]})[0] - bias - exact) / np.linalg.norm(exact)
                for name, each in sessions.items()
            }
            repeats = max(1, round(SECONDS / seconds(sessions["fp32"], inputs["fp32"], 5)))
            times: dict[str, list[float]] = {name: [] for name in sessions}
            for _ in range(options.rounds):
                for name, each in sessions.items():
                    times[name].append(seconds(each, inputs[name], repeats))
            median = 1e6 * Spread.of(times["fp32"]).median
            cells = (f"{ratio(times['fp32'], times[name]).median:.2f}x {100 * errors[name]:.2f} %" for name in others)
            print(
                f"{f'{rows} x {shape[0]} x {shape[1]}':>16}{median:9.0f}" + "".join(f"{cell:>17}" for cell in cells),
                flush=True,
            )


if __name__ == "__main__":
    main()
