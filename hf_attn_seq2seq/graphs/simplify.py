# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Traced graphs, made small: what a tracer writes down to find sizes is computed once here.

A tracer records how each size follows from the shapes of other tensors, which takes more nodes than the computation
itself. These are run here on inputs of several sizes: what is the same in all of them is a constant.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper


Values = dict[str, np.ndarray]
_RANDOM = ("RandomNormal", "RandomUniform", "Bernoulli", "Multinomial")


def simplify(model: onnx.ModelProto, samples: Sequence[Values]) -> onnx.ModelProto:
    """
    The same graph with fewer nodes.

    Args:
        model: Of one graph, whose subgraphs are branches of `If` nodes at most.
        samples: Inputs of the graph, in which every free size differs from those in the others, and from 1.
    """
    if len(samples) < 2:
        raise ValueError("One sample cannot tell a constant from a size: give two or more.")
    model = _with_chosen_branches(model, samples)
    runs = [_run(model, sample) for sample in samples]
    sizes = _size_computations(model.graph)
    constants: Values = {}
    for name in sizes:
        found = [run[name] for run in runs]
        if all(value.shape == found[0].shape and np.array_equal(value, found[0]) for value in found):
            constants[name] = found[0]
    nodes: list[NodeProto] = []
    seen_through: dict[str, str] = {}  # a view, and what it is a view of
    equal: dict[str, str] = {}  # of equal values, the one that is kept
    for node in model.graph.node:
        node.input[:] = [equal.get(name, name) for name in node.input]
        if all(name in constants for name in node.output):
            continue
        name = node.output[0]
        if len(node.output) == 1 and _is_view(node, runs, constants):
            origin = seen_through.get(node.input[0], node.input[0])
            shape = _shape_for_reshape([run[origin].shape for run in runs], [run[name].shape for run in runs])
            if shape is not None:
                seen_through[name] = origin
                if all(run[origin].shape == run[name].shape for run in runs):
                    equal[name] = origin
                    continue
                constants[f"{name}.shape"] = shape
                node = helper.make_node("Reshape", [origin, f"{name}.shape"], [name])
        nodes += _product_with_vector(node, runs[0], constants)
    graph = model.graph
    for output in graph.output:
        if output.name in equal:
            nodes.append(helper.make_node("Identity", [equal[output.name]], [output.name]))
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    del graph.value_info[:]
    return without_unused(model)


def _product_with_vector(node: NodeProto, run: Values, constants: Values) -> list[NodeProto]:
    """
    The node, or, for a product of many rows with one vector, nodes that compute it as one product of matrices, which
    ONNX Runtime would do row by row.
    """
    if node.op_type != "MatMul" or node.input[1] not in run or run[node.input[1]].ndim != 1:
        return [node]
    (many, vector), (name,) = node.input, node.output
    constants[f"{name}.rows"] = np.array([-1, len(run[vector])])
    constants[f"{name}.first"] = np.array([0])
    return [
        helper.make_node("Unsqueeze", [vector, f"{name}.first"], [f"{name}.row"]),
        helper.make_node("Reshape", [many, f"{name}.rows"], [f"{name}.many"]),
        helper.make_node("Gemm", [f"{name}.row", f"{name}.many"], [f"{name}.product"], transB=1),
        helper.make_node("Shape", [many], [f"{name}.shape"], end=-1),
        helper.make_node("Reshape", [f"{name}.product", f"{name}.shape"], [name]),
    ]


def without_unused(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph without nodes and initializers that its outputs do not need."""
    graph = model.graph
    needed = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed |= names_read(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    used = [weight for weight in graph.initializer if weight.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(used)
    return model


def names_read(node: NodeProto) -> set[str]:
    """The names that a node reads, also those that its subgraphs read from outside."""
    names = set(node.input) - {""}
    for graph in subgraphs(node):
        inside = {value.name for value in (*graph.input, *graph.initializer)}
        inside.update(name for each in graph.node for name in each.output)
        names.update(*(names_read(each) - inside for each in graph.node))
        names |= {output.name for output in graph.output} - inside
    return names


def subgraphs(node: NodeProto) -> Iterator[onnx.GraphProto]:
    return (attribute.g for attribute in node.attribute if attribute.type == onnx.AttributeProto.GRAPH)


def _with_chosen_branches(model: onnx.ModelProto, samples: Sequence[Values]) -> onnx.ModelProto:
    """Replace each `If` whose condition follows from sizes, and is the same in all samples, by the branch it takes."""
    graph = model.graph
    sizes = _size_computations(graph)
    conditions = [node.input[0] for node in graph.node if node.op_type == "If" and node.input[0] in sizes]
    if not conditions:
        return model
    runs = [_run(model, sample, conditions) for sample in samples]
    nodes: list[NodeProto] = []
    for node in graph.node:
        taken = (
            {bool(run[node.input[0]]) for run in runs} if node.input[0:1] and node.input[0] in conditions else set()
        )
        if node.op_type != "If" or len(taken) != 1:
            nodes.append(node)
            continue
        branch = helper.get_node_attr_value(node, "then_branch" if taken.pop() else "else_branch")
        nodes += branch.node
        graph.initializer.extend(branch.initializer)
        for inner, outer in zip(branch.output, node.output):
            nodes.append(helper.make_node("Identity", [inner.name], [outer]))
    del graph.node[:]
    graph.node.extend(nodes)
    return model


def _size_computations(graph: onnx.GraphProto) -> dict[str, None]:
    """The names of all values that follow from the shapes of tensors and from constants alone, in their order."""
    found: dict[str, None] = {}
    for node in graph.node:
        alone = node.op_type in ("Shape", "Constant") or (bool(node.input) and names_read(node) <= found.keys())
        if alone and not node.op_type.startswith(_RANDOM):
            found.update(dict.fromkeys(node.output))
    return found


def _run(model: onnx.ModelProto, sample: Values, names: Sequence[str] | None = None) -> Values:
    """The values of these names, or of all that nodes compute."""
    import onnxruntime

    if names is None:
        names = [name for node in model.graph.node for name in node.output if name]
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    names = list(dict.fromkeys(names))
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feed = {each.name: sample[each.name] for each in session.get_inputs()}
    return {**sample, **dict(zip(names, session.run(names, feed)))}


def _shape_for_reshape(origins: Sequence[Sequence[int]], wanted: Sequence[Sequence[int]]) -> np.ndarray | None:
    """
    The second input of a `Reshape` from these shapes to those, of several samples.

    A free size is 0, where it is that of the origin at the same place, or -1; None if that does not suffice.
    """
    if any(0 in shape for shape in (*origins, *wanted)):
        return None
    shape = []
    for axis, here in enumerate(zip(*wanted)):
        if len(set(here)) == 1:
            shape.append(here[0])
        elif all(axis < len(origin) and origin[axis] == size for origin, size in zip(origins, here)):
            shape.append(0)
        else:
            shape.append(-1)
    return np.array(shape, np.int64) if shape.count(-1) <= 1 else None


def _is_view(node: NodeProto, runs: Sequence[Values], constants: Values) -> bool:
    """Whether the output holds the values of the first input, in their order."""
    kind, source, result = node.op_type, node.input[0] if node.input else "", node.output[0]
    if source not in runs[0]:  # a weight
        return False
    if kind in ("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity"):
        return True
    shapes = [(run[source].shape, run[result].shape) for run in runs]
    if kind == "Cast":
        return runs[0][source].dtype == runs[0][result].dtype
    if kind == "Transpose":
        order = helper.get_node_attr_value(node, "perm")
        return all(
            [axis for axis in order if before[axis] != 1] == [axis for axis in range(len(before)) if before[axis] != 1]
            for before, _ in shapes
        )
    if kind == "Slice":
        steps = constants.get(node.input[4]) if len(node.input) > 4 else np.ones(1)
        return steps is not None and bool((steps > 0).all()) and all(before == after for before, after in shapes)
    if kind in ("Concat", "Split"):
        return len(node.input if kind == "Concat" else node.output) == 1
    if kind in ("Gather", "Expand"):  # the only element of an axis; to the shape that it has
        return all(np.prod(before) == np.prod(after) for before, after in shapes) and (
            kind == "Expand" or constants.get(node.input[1], np.ones(2)).ndim == 0
        )
    return False
