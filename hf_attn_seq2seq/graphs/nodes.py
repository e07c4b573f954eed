# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Writing ONNX graphs as one writes expressions: `nodes.Add(x, 1.0)`."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper


Value = str | int | float | bool | np.ndarray
INT: int = onnx.TensorProto.INT64
FLOAT: int = onnx.TensorProto.FLOAT
BOOL: int = onnx.TensorProto.BOOL


class Constants:
    """The constants of a graph and its subgraphs, each stored once."""

    def __init__(self) -> None:
        self.initializers: dict[str, onnx.TensorProto] = {}

    def name(self, value: int | float | bool | np.ndarray) -> str:
        """The name of a constant; Python numbers are int64, float32 and bool scalars."""
        array = np.asarray(value)
        if isinstance(value, float):
            array = array.astype(np.float32)
        elif isinstance(value, int) and not isinstance(value, bool):
            array = array.astype(np.int64)
        content = "_".join(str(each) for each in array.reshape(-1)) if array.size <= 8 else str(len(self.initializers))
        name = f"{array.dtype}{list(array.shape)}:{content}"
        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(array, name)
        return name


class Nodes:
    """
    Collects the nodes of one graph or subgraph.

    Each operator is a method: inputs are names, or numbers and arrays, which become constants; keywords are
    attributes. It returns the name of the output, or the names of `outputs` many.
    """

    def __init__(self, prefix: str, constants: Constants) -> None:
        self.prefix, self.constants = prefix, constants
        self.nodes: list[onnx.NodeProto] = []

    def __getattr__(self, operator: str) -> Callable[..., Any]:
        if not operator[0].isupper():
            raise AttributeError(operator)

        def add(*inputs: Value, outputs: int = 1, **attributes: Any) -> Any:
            names = [self.name(each) for each in inputs]
            made = [f"{self.prefix}/{operator}_{len(self.nodes)}_{index}" for index in range(outputs)]
            self.nodes.append(helper.make_node(operator, names, made, **attributes))
            return made[0] if outputs == 1 else made

        return add

    def name(self, value: Value) -> str:
        return value if isinstance(value, str) else self.constants.name(value)

    def graph(
        self, inputs: Sequence[tuple[str, int, list[int] | None]] = (), outputs: Sequence[tuple[str, int]] = ()
    ) -> onnx.GraphProto:
        """
        The nodes as a subgraph.

        Args:
            inputs: Names, element types and shapes; None leaves the shape open.
            outputs: Names and element types. An output may be a name from outside.
        """
        made = {name for node in self.nodes for name in node.output}
        results: list[onnx.ValueInfoProto] = []
        for place, (name, kind) in enumerate(outputs):
            if name not in made or name in {result.name for result in results}:
                own = f"{self.prefix}/output_{place}"
                self.nodes.append(helper.make_node("Identity", [name], [own]))
                name = own
            results.append(helper.make_tensor_value_info(name, kind, None))
        values = [helper.make_tensor_value_info(*each) for each in inputs]
        return helper.make_graph(self.nodes, self.prefix.replace("/", "_"), values, results)

    def size(self, value: str, axis: int) -> str:
        """One size of a tensor, as a scalar."""
        return self.Gather(self.Shape(value), axis)

    def vector(self, *values: Value) -> str:
        """Scalars as a vector, such as a shape."""
        return self.Concat(*(self.Unsqueeze(value, np.array([0])) for value in values), axis=0)

    def choice(
        self, condition: str, then: "Nodes", otherwise: "Nodes", outputs: Sequence[tuple[str, str, int]]
    ) -> list[str]:
        """`If`: outputs are triples of the names in both branches and the element type."""
        found = self.If(
            condition,
            outputs=len(outputs),
            then_branch=then.graph((), [(first, kind) for first, _, kind in outputs]),
            else_branch=otherwise.graph((), [(second, kind) for _, second, kind in outputs]),
        )
        return [found] if len(outputs) == 1 else found
