# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Weights and products of an ONNX model in 8 bits, by rows: what is computed for a row never depends on another.

The product x W of a row `x` `(in,)` and weights `W` `(in, out)` becomes

    x ~ m q / 127,    m = max_i |x_i|,    q = round(127 x / m)       at run time, for each row
    W_ij ~ s_j w_ij                                                  once, with a scale for each output
    (x W)_j ~ m s_j / 127 * sum_i q_i w_ij                           a sum of integers

and a row of an embedding becomes 8-bit integers and one scale. (ONNX Runtime's `quantize_dynamic` has one range for
all rows, so that a sentence's result depends on the sentences beside it.) Outputs of `tanh` are taken as m = 1, which
is nearly so in trained models.

ONNX Runtime is fastest on x86 with activations without sign, q + 128, and weights with sign. A processor without VNNI
then adds products in pairs, in 16 bits that saturate at 32,767. So weights are scaled such that in no pair those of
one sign sum to more than 128: 255 * 128 = 32,640. Sums are exact everywhere, and closer than with weights of 7 bits.
"""

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from hf_attn_seq2seq.graphs.simplify import subgraphs


LEVELS = 127
PAIR_SUM = 128  # with unsigned activations of 8 bits, the largest sum of two weights that fits 16 bits
SMALLEST = 2**14  # weights; a smaller product is as fast in single precision
MOVES = ("Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze")  # and compute nothing
CONTRIBUTED = "com.microsoft"  # ONNX Runtime's own operators


def quantize(model: ModelProto, smallest: int = SMALLEST) -> ModelProto:
    """
    Quantize products (`MatMul`, `Gemm`) with constant weights and lookups (`Gather`) of constant rows, in the graph
    and in all its subgraphs, in place.

    Weights may be initializers of an outer graph, and behind `Cast`, `Transpose` and `Identity`. Equal weights are
    stored once, also where a lookup and a product share them (tied embeddings). Weights in single precision that
    nothing else reads are removed. GRU and LSTM operators are left as they are.

    Args:
        model: In single precision, with its external data loaded.
        smallest: The number of weights from which a matrix is quantized.

    Returns:
        The same model.
    """
    main = _Scope(model.graph, None)
    opset = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    found = _Rewriter(main, opset, smallest).rewrite()
    if found and all(each.domain != CONTRIBUTED for each in model.opset_import):
        model.opset_import.append(helper.make_opsetid(CONTRIBUTED, 1))
    return model


def round_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    Round the weights of one output, or the embedding of one word, in each row. Both in one way, so that graphs of a
    model round a matrix alike, whatever each reads it for.

    Args:
        rows: `(rows, columns)`.

    Returns:
        8-bit `(rows, columns)` and scales `(rows,)`, with `rows ~ scales * bits`.
    """
    largest = np.abs(rows).max(1)
    two = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2))).reshape(len(rows), -1, 2)
    for sign in (1, -1):
        sums = np.maximum(sign * two, 0).sum(2).max(1)
        largest = np.maximum(largest, sums * LEVELS / (PAIR_SUM - 1))  # rounding adds at most 1/2 to each
    scales = np.maximum(largest / LEVELS, np.finfo(np.float32).tiny).astype(np.float32)
    return np.rint(rows / scales[:, None]).astype(np.int8), scales


class _Scope:
    """A graph, its constants and the graphs around it."""

    def __init__(self, graph: GraphProto, outer: "_Scope | None") -> None:
        self.graph = graph
        self.outer = outer
        self.initializers = {each.name: each for each in graph.initializer}
        self.producers = {name: node for node in graph.node for name in node.output}
        self.inputs = {each.name for each in graph.input}
        self.known: dict[str, np.ndarray | None] = {}

    def constant(self, name: str) -> np.ndarray | None:
        """The value of a name that depends on initializers alone, or None."""
        if name in self.inputs:  # a default that a caller may replace
            return None
        if name not in self.known:
            self.known[name] = self._evaluated(name)
        return self.known[name]

    def _evaluated(self, name: str) -> np.ndarray | None:
        if name in self.initializers:
            return numpy_helper.to_array(self.initializers[name])
        if name not in self.producers:
            return None if self.outer is None else self.outer.constant(name)
        node = self.producers[name]
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            return numpy_helper.to_array(node.attribute[0].t)
        if node.op_type not in FOLDED or node.domain:
            return None
        value = self.constant(node.input[0])
        return None if value is None else FOLDED[node.op_type](value, _attributes(node))


FOLDED = {
    "Identity": lambda value, _: value,
    "Cast": lambda value, options: value.astype(helper.tensor_dtype_to_np_dtype(options["to"])),
    "Transpose": lambda value, options: value.transpose(options.get("perm")),
}


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


class _Names:
    """The names of a model; new ones differ from them in all its graphs."""

    def __init__(self, graph: GraphProto) -> None:
        self.taken = set(_names(graph))

    def new(self, wanted: str) -> str:
        name = wanted
        count = 1
        while name in self.taken:
            count += 1
            name = f"{wanted}.{count}"
        self.taken.add(name)
        return name


def _names(graph: GraphProto) -> Iterator[str]:
    yield from (each.name for each in (*graph.initializer, *graph.input))
    for node in graph.node:
        yield from node.output
        for inner in subgraphs(node):
            yield from _names(inner)


class _Weights:
    """A matrix of 8 bits, `(rows, columns)`: the rows of an embedding, or one row for each output of a product."""

    def __init__(self, name: str, rows: np.ndarray) -> None:
        self.name = name
        self.rows = rows
        self.looked_up = False
        self.bits = ""  # the name of the integers, `(rows, columns)`
        self.scales = ""  # of the scales that a product reads, `(rows,)`
        self.scale_rows = ""  # of those that a lookup reads, `(rows, 1)`

    def store(self, graph: GraphProto, names: _Names) -> None:
        """Add the initializers."""
        bits, scales = round_rows(self.rows)
        self.bits, self.scales = names.new(f"{self.name}.int8"), names.new(f"{self.name}.scales")
        _add(graph, {self.bits: bits, self.scales: scales})
        if self.looked_up:
            self.scale_rows, shape = names.new(f"{self.scales}.rows"), names.new(f"{self.scales}.shape")
            _add(graph, {shape: np.array([-1, 1])})
            graph.node.append(helper.make_node("Reshape", [self.scales, shape], [self.scale_rows]))


def _add(graph: GraphProto, initializers: dict[str, np.ndarray]) -> None:
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in initializers.items())


class _Rows(NamedTuple):
    """Quantized activations: the names of their bits `(..., in)` and of each row's largest value `(..., 1)`."""

    bits: str
    largest: str | None  # None: taken to be 1


class _Rewriter:
    def __init__(self, main: _Scope, opset: int, smallest: int) -> None:
        self.main = main
        self.opset = opset
        self.smallest = smallest
        self.names = _Names(main.graph)
        self.weights: dict[bytes, _Weights] = {}  # by content
        self.sites: list[_Weights | None] = []  # of all nodes, each before those of its subgraphs
        self.step, self.middle, self.axes = (self.names.new(f"rounded.{name}") for name in ("step", "middle", "axes"))

    def rewrite(self) -> bool:
        """Returns whether there was anything to quantize."""
        self._find(self.main)
        if not self.weights:
            return False
        graph = self.main.graph
        made = GraphProto()  # the nodes that are made of weights come first
        for weights in self.weights.values():
            weights.store(made, self.names)
        self._replace(graph, iter(self.sites))
        made.node.extend(graph.node)
        del graph.node[:]
        graph.node.extend(made.node)
        graph.initializer.extend(made.initializer)
        constants = {self.step: np.float32(1 / LEVELS), self.middle: np.uint8(LEVELS + 1), self.axes: np.array([-1])}
        _add(graph, {name: np.asarray(value) for name, value in constants.items()})
        while _remove_unread(graph):
            pass
        return True

    # What is quantized.

    def _find(self, scope: _Scope) -> None:
        for node in scope.graph.node:
            found = self._rows_of(scope, node)
            if found is None:
                self.sites.append(None)
            else:
                name, rows = found
                key = hashlib.sha256(f"{rows.shape}".encode() + np.ascontiguousarray(rows).tobytes()).digest()
                weights = self.weights.setdefault(key, _Weights(name, rows))
                weights.looked_up |= node.op_type == "Gather"
                self.sites.append(weights)
            for graph in subgraphs(node):
                self._find(_Scope(graph, scope))

    def _rows_of(self, scope: _Scope, node: NodeProto) -> tuple[str, np.ndarray] | None:
        """The name and the rows of the weights of a node that can be quantized: of a product, one for each output."""
        if node.domain or node.op_type not in ("MatMul", "Gemm", "Gather"):
            return None
        options = _attributes(node)
        looked_up = node.op_type == "Gather"
        if looked_up and options.get("axis", 0) != 0:
            return None
        if node.op_type == "Gemm" and (options.get("transA", 0), options.get("alpha", 1), options.get("beta", 1)) != (
            0,
            1,
            1,
        ):
            return None
        name = node.input[0 if looked_up else 1]
        value = scope.constant(name)
        if value is None or value.ndim != 2 or value.dtype != np.float32 or value.size < self.smallest:
            return None
        if not np.isfinite(value).all():
            return None
        return name, value if looked_up or options.get("transB") else value.T

    # Rewriting.

    def _replace(self, graph: GraphProto, sites: Iterator[_Weights | None]) -> None:
        nodes: list[NodeProto] = []
        rows: dict[str, _Rows] = {}  # shared by the products that read the same activations
        # Transposed in each graph that reads them: ONNX Runtime does so when it loads, and packs weights for their
        # product only if they are constants of its own graph, or of the next around it.
        across: dict[str, str] = {}
        bounded: set[str] = set()
        for node in graph.node:
            if node.op_type == "Tanh" or (node.op_type in MOVES and node.input[0] in bounded):
                bounded.update(node.output)
        for node in graph.node:
            weights = next(sites)
            for inner in subgraphs(node):
                self._replace(inner, sites)
            if weights is None:
                nodes.append(node)
            elif node.op_type == "Gather":
                nodes += self._looked_up(node, weights)
            else:
                if node.input[0] not in rows:
                    rows[node.input[0]], made = self._rounded(node.input[0], node.input[0] in bounded)
                    nodes += made
                if weights.bits not in across:
                    across[weights.bits] = self.names.new(f"{weights.bits}.across")
                    nodes.append(helper.make_node("Transpose", [weights.bits], [across[weights.bits]], perm=[1, 0]))
                nodes += self._product(node, across[weights.bits], weights.scales, rows[node.input[0]])
        del graph.node[:]
        graph.node.extend(nodes)

    def _looked_up(self, node: NodeProto, weights: _Weights) -> list[NodeProto]:
        output, ids = node.output[0], node.input[1]
        row, number, scale = (self.names.new(f"{output}.{part}") for part in ("int8", "float", "scale"))
        return [
            helper.make_node("Gather", [weights.bits, ids], [row], axis=0),
            helper.make_node("Cast", [row], [number], to=TensorProto.FLOAT),
            helper.make_node("Gather", [weights.scale_rows, ids], [scale], axis=0),
            helper.make_node("Mul", [number, scale], [output]),
        ]

    def _rounded(self, name: str, bounded: bool) -> tuple[_Rows, list[NodeProto]]:
        """The nodes that quantize rows; values that are bounded by 1 need none that find the largest."""
        bits = self.names.new(f"{name}.uint8")
        if bounded:
            return _Rows(bits, None), [helper.make_node("QuantizeLinear", [name, self.step, self.middle], [bits])]
        absolute, largest, relative = (
            self.names.new(f"{name}.{part}") for part in ("absolute", "largest", "relative")
        )
        last: dict[str, Any] = {"axes": [-1]} if self.opset < 18 else {}
        axes = [self.axes] if self.opset >= 18 else []
        # A row of zeros is divided by zero. Whatever its bits then are, they are multiplied by its largest value, 0.
        return _Rows(bits, largest), [
            helper.make_node("Abs", [name], [absolute]),
            helper.make_node("ReduceMax", [absolute, *axes], [largest], keepdims=1, **last),
            helper.make_node("Div", [name, largest], [relative]),
            helper.make_node("QuantizeLinear", [relative, self.step, self.middle], [bits]),
        ]

    def _product(self, node: NodeProto, across: str, scales: str, rows: _Rows) -> list[NodeProto]:
        output = node.output[0]
        bias = node.input[2] if len(node.input) > 2 else ""
        relative = self.names.new(f"{output}.relative") if rows.largest or bias else output
        # Not as MatMulInteger, Cast and Mul, which ONNX Runtime would fuse as if all rows had one scale.
        operands = [rows.bits, across, self.step, scales, self.middle]
        nodes = [helper.make_node("MatMulIntegerToFloat", operands, [relative], domain=CONTRIBUTED)]
        if rows.largest:
            product = self.names.new(f"{output}.product") if bias else output
            nodes.append(helper.make_node("Mul", [relative, rows.largest], [product]))
            relative = product
        if bias:
            nodes.append(helper.make_node("Add", [relative, bias], [output]))
        return nodes


def _names_read(graph: GraphProto) -> set[str]:
    """The names that the nodes of a graph, and of its subgraphs, read, and its outputs."""
    names = {name for node in graph.node for name in node.input} | {each.name for each in graph.output}
    return names.union(*(_names_read(inner) for node in graph.node for inner in subgraphs(node)))


def _remove_unread(graph: GraphProto) -> bool:
    """Remove constants that nothing reads, in a graph and its subgraphs; returns whether there were any."""
    read = _names_read(graph) | {each.name for each in graph.input}  # whose initializers are defaults
    found = [_remove_unread(inner) for node in graph.node for inner in subgraphs(node)]
    constant = {"Constant", *FOLDED}
    for values, unread in (
        (graph.node, lambda node: node.op_type in constant and not read.intersection(node.output)),
        (graph.initializer, lambda tensor: tensor.name not in read),
    ):
        places = [place for place, value in enumerate(values) if unread(value)]
        for place in reversed(places):
            del values[place]
        found.append(bool(places))
    return any(found)
