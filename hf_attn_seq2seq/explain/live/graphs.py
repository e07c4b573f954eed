# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
A model as three ONNX graphs that hand out the arrays of a trace, under their names there.

`SOURCE_FILE` reads a text once, `STEP_FILE` computes one step, `ROWS_FILE` looks up rows of matrices. They are
traced from the model's own code while it is recorded, and what is recorded goes through the functions that make a
trace's arrays, so that the graphs hand out these and whoever runs them knows no kind of model. `ABOUT_FILE` says the
rest: how the arrays of the steps are joined, and what of the trace's document is the same for each text. The weights
stay in `model.safetensors`. A step takes changes as inputs, `CHANGES`, through the hooks by which a recorder changes
them in Python.

A recorded recurrent encoder computes step by step. This loop, which a tracer would write down as often as its sample
is long, stands in the traced graph as one operator, `LOOP`, and is then written as a `Scan` over the graph of one step
of the cell.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import MethodType
from typing import Any, NamedTuple

import onnx
import torch
from onnx import helper
from torch import nn

from hf_attn_seq2seq._version import __version__
from hf_attn_seq2seq.cells import RecurrentCell, State
from hf_attn_seq2seq.explain.live.format import (
    ABOUT_FILE,
    CHANGES,
    FORMAT,
    GRAPHS,
    NEW_WEIGHTS,
    ROWS_FILE,
    SOURCE_FILE,
    STEP_FILE,
    VERSION,
    WRITTEN,
    changes_of,
)
from hf_attn_seq2seq.explain.tracing import (
    Gather,
    RunRecorder,
    attending_layers,
    output_rows,
    source_arrays,
    step_arrays,
)
from hf_attn_seq2seq.explain.worked import worked_rows
from hf_attn_seq2seq.graphs.format import READOUT_FILE, checksum, checksums
from hf_attn_seq2seq.graphs.nodes import FLOAT
from hf_attn_seq2seq.graphs.parts import OPSET, DecoderGraph, EncoderGraph, Names, free_axes, logits_of
from hf_attn_seq2seq.graphs.simplify import simplify
from hf_attn_seq2seq.graphs.writer import (
    IR_VERSION,
    OWN,
    keep_weights_apart,
    keys_of,
    refer_to,
    renamed,
    traced_module,
)
from hf_attn_seq2seq.modeling_attn_seq2seq import AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.recorder import Recorder, record, recording
from hf_attn_seq2seq.writing import whole_file, write_text


LOOP = "CellLoop"  # the operator that stands for a cell's steps
# Source and past lengths of the samples that tell sizes apart, and the hypotheses of a step.
SAMPLES = ((7, 3), (5, 4), (11, 6))
ROWS = (2, 3, 5)
Tensors = dict[str, torch.Tensor]


class TraceGraphs(NamedTuple):
    """The graphs, by file name, and what [`ABOUT_FILE`] says of them."""

    graphs: dict[str, onnx.ModelProto]
    about: dict[str, Any]


@torch.no_grad()
def write_trace_graphs(model: AttnSeq2SeqForConditionalGeneration, weights: Sequence[Path]) -> TraceGraphs:
    """
    The graphs of a model.

    Args:
        model: The model, on the CPU.
        weights: Its safetensors files, all in its folder, which the graphs refer to by name.

    Raises:
        ValueError: The model does not read text, or the files lack a parameter.
    """
    if not model.config.reads_tokens:
        raise ValueError(
            f"A model with frontend='{model.config.frontend}' cannot be traced without PyTorch: give one that reads "
            "text."
        )
    model = copy.deepcopy(model).float().eval()
    model.set_attn_implementation("eager")
    names = Names.of(model)
    source, step, rows = SourceGraph(model), StepGraph(model), RowsGraph(model)
    samples = [_sample(model, source, *sizes) for sizes in SAMPLES]
    growing = _growing(model, source, samples[0])
    source_outputs = [*names.encoder_outputs, *source.arrays(samples[0])]
    step_outputs = [*names.decoder_outputs, *([WRITTEN] if model.config.pointer else []), *step.arrays(samples[0])]
    loops = _loops(model)
    graphs = {}
    for file, module, inputs, outputs in (
        (SOURCE_FILE, source, names.encoder_inputs, source_outputs),
        (STEP_FILE, step, step.inputs, step_outputs),
        (ROWS_FILE, rows, ["ids"], list(rows.arrays(samples[0]))),
    ):
        axes = {"ids": {0: "rows"}} if module is rows else free_axes([name for name in inputs if name not in CHANGES])
        axes |= {NEW_WEIGHTS: {1: "src_len"}} if NEW_WEIGHTS in inputs else {}
        given = samples
        if module is step:
            given = [_repeated(sample, names.decoder_inputs, count) for sample, count in zip(samples, ROWS)]
        made = traced_module(module, given[0], inputs, outputs, axes, own_operators=module is source and bool(loops))
        _write_loops(made, loops)
        made = simplify(made, [{name: value.numpy() for name, value in sample.items()} for sample in given])
        graphs[file] = _finished(made, keys_of(model, [module]), weights)
    about = {
        "format": FORMAT,
        "version": VERSION,
        "memory": names.memory,
        "state": names.state,
        "attentions": names.attentions,
        "changes": {"layers": len(step.attending), "heads": model.config.num_attention_heads}
        if step.attending
        else None,
        "once": [name for name in source_outputs if name not in names.encoder_outputs],
        "steps": growing,
        "model": {"class": type(model).__name__, "parameters": model.num_parameters()},
        "files": {name: value for name, value in checksums(weights[0].parent).items() if name != READOUT_FILE},
    }
    return TraceGraphs(graphs, about)


def save_trace_graphs(model: AttnSeq2SeqForConditionalGeneration, folder: Path) -> None:
    """
    Write the graphs of a saved model beside its weights.

    Args:
        model: The model as loaded from the folder.
        folder: That of the model.

    Raises:
        ValueError: As for [`write_trace_graphs`], or the folder has no weights in safetensors.
    """
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise ValueError(f"'{folder}' has no weights in safetensors: save the model with save_pretrained.")
    graphs, about = write_trace_graphs(model, weights)
    for name, graph in graphs.items():
        with whole_file(folder / name) as partial:
            partial.write_bytes(graph.SerializeToString())
    about["files"] |= {name: checksum(folder / name) for name in graphs}
    write_text(folder / ABOUT_FILE, json.dumps(about, indent=1) + "\n")


# --------------------------------------------------------------------------------------------------------------------
# What is traced
# --------------------------------------------------------------------------------------------------------------------


class SourceGraph(nn.Module):
    """[`EncoderGraph`] of one source, followed by the arrays of [`source_arrays`]."""

    def __init__(self, model: AttnSeq2SeqForConditionalGeneration) -> None:
        super().__init__()
        self.model = model
        self.part = [EncoderGraph(model)]  # in a list, for else its parameters would have two names

    def record(self, recorder: RunRecorder, source: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with recording(recorder):
            return self.part[0](source, mask)  # type: ignore[no-any-return]

    def forward(self, source: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        recorder = RunRecorder(self.model)
        outputs = self.record(recorder, source, mask)
        return (*outputs, *_apart(source_arrays(self.model, recorder)))

    def arrays(self, sample: Tensors) -> Tensors:
        recorder = RunRecorder(self.model)
        self.record(recorder, *(sample[name] for name in Names.of(self.model).encoder_inputs))
        return source_arrays(self.model, recorder)


class StepGraph(nn.Module):
    """
    [`DecoderGraph`] of any hypotheses for one source, which may be changed ([`CHANGES`]), followed by the arrays of
    [`step_arrays`] for this step alone.

    Attributes:
        attending: The layers with attention.
        inputs: Names, in order.
    """

    def __init__(self, model: AttnSeq2SeqForConditionalGeneration) -> None:
        super().__init__()
        self.model = model
        self.part = [DecoderGraph(model, output_layer=False)]
        self.attending = attending_layers(model.config)
        self.inputs = [*Names.of(model).decoder_inputs, *(CHANGES if self.attending else ())]

    def recorder(self, changes: Sequence[torch.Tensor]) -> RunRecorder:
        """One that changes what it is asked to."""
        if not changes:
            return RunRecorder(self.model)
        new, changed, left_out = changes

        def edit_weights(step: int, layer: int, weights: torch.Tensor) -> torch.Tensor:
            place = self.attending.index(layer)
            return torch.where(changed[place], new[place], weights)

        def edit_heads(step: int, layer: int, sums: torch.Tensor) -> torch.Tensor:
            return sums.masked_fill(left_out[self.attending.index(layer), :, None, None], 0.0)

        return RunRecorder(self.model, edit_weights, edit_heads)

    def record(self, recorder: RunRecorder, token: torch.Tensor, *others: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The outputs of the step; what the model's own `forward` records around it is recorded here."""
        model, config = self.model, self.model.config
        with recording(recorder):
            record(model.get_decoder(), embeddings=model.get_decoder().embed(token))
            read, *after = self.part[0](token, *others)
            hidden = read[..., : config.readout_size] if config.pointer else read
            written = model.get_output_embeddings()(hidden)
            if config.pointer:
                record(model, copied=after[-1].mean(1))
            record(model, hidden=hidden, logits=written)
        if not config.pointer:
            return (written, *after)
        return (logits_of(read, model.get_output_embeddings(), config), *after, written.squeeze(1))

    def forward(self, token: torch.Tensor, *others: torch.Tensor) -> tuple[torch.Tensor, ...]:
        count = len(Names.of(self.model).decoder_inputs) - 1  # without the token
        recorder = self.recorder(others[count:])
        outputs = self.record(recorder, token, *others[:count])
        return (*outputs, *_apart(step_arrays(self.model, StepGather(recorder, []))))

    def arrays(self, sample: Tensors, steps: int = 1) -> Tensors:
        """The arrays of so many steps that begin with the sample's."""
        names, recorder = Names.of(self.model), RunRecorder(self.model)
        feed = dict(sample)
        for _ in range(steps):
            outputs = self.record(recorder, *(feed[name] for name in names.decoder_inputs))
            feed.update(zip(names.state, outputs[1:]))
        return step_arrays(self.model, Gather(recorder, [0] * steps))


class StepGather(Gather):
    """Of one step and all its rows: of what has an entry for each step, here each hypothesis has one."""

    def __call__(self, name: str, key: str) -> torch.Tensor:
        values = self.recorder.at(0, name)[key]
        return values.squeeze(1) if values.dim() > 2 and values.shape[1] == 1 else values

    def triangle(self, name: str, key: str) -> torch.Tensor:
        """`(rows, heads, 1, past + 1)`."""
        return self.recorder.at(0, name)[key]

    def along(self, axes: str, name: str, key: str) -> torch.Tensor:
        if axes.startswith("T") and axes != "T":
            return self.recorder.at(0, name)[key].squeeze(2)
        return super().along(axes, name, key)


class RowsGraph(nn.Module):
    """
    [`output_rows`] of ids `(N,)`, and [`worked_rows`], which are the same in all runs: constants, for which no matrix
    is read.
    """

    def __init__(self, model: AttnSeq2SeqForConditionalGeneration) -> None:
        super().__init__()
        self.model = model
        self.worked = worked_rows(model)

    def forward(self, ids: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(_apart(self.arrays({"ids": ids})))

    def arrays(self, sample: Tensors) -> Tensors:
        return {**output_rows(self.model, sample["ids"]), **self.worked}


def _apart(arrays: Tensors) -> Iterator[torch.Tensor]:
    """Each as an output of its own: the same tensor under two names has one."""
    return (value + 0 for value in arrays.values())


def _sample(
    model: AttnSeq2SeqForConditionalGeneration, source: SourceGraph, src_len: int, past: int
) -> dict[str, torch.Tensor]:
    """Values for all inputs of the graphs, with free sizes of that size."""
    names, config = Names.of(model), model.config
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(config.vocab_size, (1, src_len), generator=generator)
    values = dict(zip(names.encoder_inputs, (ids, torch.ones_like(ids))))
    values |= dict(zip(names.encoder_outputs, source.part[0](*values.values())))
    for name in names.state:
        if name.startswith("self_"):
            heads, width = values[name].shape[1], values[name].shape[3]
            values[name] = torch.randn(1, heads, past, width, generator=generator)
    values["decoder_input_ids"] = torch.zeros(1, 1, dtype=torch.long)
    values |= changes_of((), 0, len(attending_layers(config)), config.num_attention_heads, src_len)
    values["ids"] = torch.arange(past)
    return values


def _repeated(sample: Tensors, names: Sequence[str], count: int) -> Tensors:
    """The same of so many hypotheses, for these inputs."""
    return {**sample, **{name: sample[name].repeat_interleave(count, 0) for name in names}}


def _growing(model: AttnSeq2SeqForConditionalGeneration, source: SourceGraph, sample: Tensors) -> dict[str, str]:
    """
    How each array of the steps is joined, as arrays of one and of two steps tell: "once" is the same in each, "each"
    has a row for each, and "triangle" `(heads, T, T)` has rows that grow by one.
    """
    names, step = Names.of(model), StepGraph(model)
    sample = dict(sample)
    first = dict(zip(names.encoder_outputs, source.part[0](*(sample[name] for name in names.encoder_inputs))))
    sample.update((name, first[name]) for name in names.state)
    one, two = step.arrays(sample), step.arrays(sample, 2)
    kinds = {(): "once", (0,): "each", (1, 2): "triangle"}
    return {
        name: kinds[tuple(axis for axis, size in enumerate(two[name].shape) if size != value.shape[axis])]
        for name, value in one.items()
    }


# --------------------------------------------------------------------------------------------------------------------
# The loops of recurrent encoders
# --------------------------------------------------------------------------------------------------------------------


class _Last(Recorder):
    """Keeps what was recorded last."""

    def __init__(self) -> None:
        self.values: Tensors = {}

    def record(self, module: nn.Module, **values: torch.Tensor) -> None:
        self.values = values


class CellStep(nn.Module):
    """
    One step of a cell: projected inputs and its state to the state after it, what the state shows, and what is
    recorded.
    """

    def __init__(self, model: AttnSeq2SeqForConditionalGeneration, cell: RecurrentCell) -> None:
        super().__init__()
        self.model = model
        self.cell = [cell]

    def record(self, projected: torch.Tensor, *state: torch.Tensor) -> tuple[State, torch.Tensor, Tensors]:
        (cell,), last = self.cell, _Last()
        with recording(last):
            after = cell.step(projected, state, None)
        return after, cell.output(after), last.values

    def forward(self, projected: torch.Tensor, *state: torch.Tensor) -> tuple[torch.Tensor, ...]:
        after, shown, values = self.record(projected, *state)
        return tuple(_apart({str(at): value for at, value in enumerate((*after, shown, *values.values()))}))


class CellLoop(NamedTuple):
    """The steps of a cell as one operator."""

    step: CellStep
    names: list[str]  # of what is recorded
    function: Callable[..., tuple[torch.Tensor, ...]]


def _loops(model: AttnSeq2SeqForConditionalGeneration) -> list[CellLoop]:
    """Let the cells of the encoder run as operators while they are traced; the model is this module's own copy."""
    layers = getattr(model.get_encoder().stack, "layers", ())
    loops: list[CellLoop] = []
    for cell in (cell for layer in layers for cell in getattr(layer, "cells", ())):
        step = CellStep(model, cell)
        start = torch.zeros(1, cell.hidden_size)
        *_, values = step.record(torch.zeros(1, cell.gates * cell.hidden_size), *[start] * cell.parts)
        loop = CellLoop(step, list(values), _operator(len(loops), step, list(values)))
        loops.append(loop)
        cell.run = MethodType(_run_of(loop), cell)  # type: ignore[method-assign]
    return loops


def _run_of(loop: CellLoop) -> Callable[..., tuple[torch.Tensor, State]]:
    def run(
        cell: RecurrentCell,
        inputs: list[torch.Tensor],
        state: State,
        dropout_mask: torch.Tensor | None,
        lengths: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, State]:
        """As the cell's own, of one source, whose tokens are all real."""
        found = loop.function(cell.project(inputs).transpose(0, 1), *state)
        last, shown, values = found[: cell.parts], found[cell.parts], found[cell.parts + 1 :]
        record(cell, **{name: value[:, 0] for name, value in zip(loop.names, values)})
        return shown.transpose(0, 1), last

    return run


def _operator(number: int, step: CellStep, names: Sequence[str]) -> Callable[..., tuple[torch.Tensor, ...]]:
    """A function of projected inputs `(src_len, 1, gates * hidden)` and a state, which the tracer writes as `LOOP`."""
    (cell,) = step.cell

    class Loop(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, projected: torch.Tensor, *state: torch.Tensor) -> tuple[torch.Tensor, ...]:
            written = []
            # What the tracer would see in here, it would write down beside the operator.
            tracing = torch._C._get_tracing_state()
            torch._C._set_tracing_state(None)  # type: ignore[attr-defined]
            try:
                for inputs in projected.unbind(0):
                    state, shown, values = step.record(inputs, *state)
                    written.append((shown, *values.values()))
                return (*(part.clone() for part in state), *(torch.stack(each) for each in zip(*written)))
            finally:
                torch._C._set_tracing_state(tracing)  # type: ignore[attr-defined]

        @staticmethod
        def symbolic(graph: Any, projected: Any, *state: Any) -> Any:
            count = cell.parts + 1 + len(names)
            found = graph.op(f"{OWN}::{LOOP}", projected, *state, number_i=number, outputs=count)
            for place, value in enumerate(found):
                sizes = [1, cell.hidden_size] if place < cell.parts else [None, 1, cell.hidden_size]
                value.setType(projected.type().with_sizes(sizes))
            return found

    return Loop.apply  # type: ignore[no-any-return]


def _write_loops(made: onnx.ModelProto, loops: Sequence[CellLoop]) -> None:
    """Replace each `LOOP` by a `Scan`."""
    nodes = []
    for node in made.graph.node:
        if node.op_type != LOOP:
            nodes.append(node)
            continue
        number = helper.get_node_attr_value(node, "number")
        body, weights = _body(loops[number].step, f"loop_{number}")
        known = {weight.name for weight in made.graph.initializer}
        made.graph.initializer.extend(weight for weight in weights if weight.name not in known)
        projected, *state = node.input
        nodes.append(helper.make_node("Scan", [*state, projected], list(node.output), body=body, num_scan_inputs=1))
    del made.graph.node[:]
    made.graph.node.extend(nodes)


def _body(step: CellStep, prefix: str) -> tuple[onnx.GraphProto, list[onnx.TensorProto]]:
    """One step of a cell as a subgraph, and the weights that it reads from outside."""
    (cell,) = step.cell
    inputs = ["projected", *(f"state.{part}" for part in range(cell.parts))]
    generator = torch.Generator().manual_seed(0)
    samples = [
        {
            name: torch.randn(1, (cell.gates if name == "projected" else 1) * cell.hidden_size, generator=generator)
            for name in inputs
        }
        for _ in range(2)
    ]
    outputs = [f"output.{place}" for place in range(len(step(*samples[0].values())))]
    traced = traced_module(step, samples[0], inputs, outputs, {})
    made = simplify(traced, [{name: value.numpy() for name, value in sample.items()} for sample in samples]).graph
    weights = {name: name for name in keys_of(step.model, [step])}
    for weight in made.initializer:
        if weight.name not in weights:
            weights[weight.name] = weight.name = f"{prefix}/{weight.name}"
    nodes = renamed(made.node, prefix, weights)
    ordered = [*inputs[1:], "projected"]
    body = helper.make_graph(
        nodes,
        prefix,
        [helper.make_tensor_value_info(f"{prefix}/{name}", FLOAT, None) for name in ordered],
        [helper.make_tensor_value_info(f"{prefix}/{name}", FLOAT, None) for name in outputs],
    )
    return body, list(made.initializer)


# --------------------------------------------------------------------------------------------------------------------
# Graphs
# --------------------------------------------------------------------------------------------------------------------


def _finished(made: onnx.ModelProto, keys: dict[str, list[str]], weights: Sequence[Path]) -> onnx.ModelProto:
    """The graph with its weights outside and outputs of any shape."""
    graph = made.graph
    refer_to(graph.initializer, keys, weights)
    keep_weights_apart(graph)
    kinds = {each.name: each.type.tensor_type.elem_type for each in graph.output}
    del graph.output[:]
    graph.output.extend(helper.make_tensor_value_info(name, kind or FLOAT, None) for name, kind in kinds.items())
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="hf_attn_seq2seq",
        producer_version=__version__,
        doc_string=GRAPHS,
    )
