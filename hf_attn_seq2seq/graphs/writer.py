# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
A model and its search as one ONNX graph: source ids in, translations out.

The encoder and one step of the decoder are traced from the model's own code; `hf_attn_seq2seq.graphs.search` writes
the loops around the step. The weights stay where they are: the graph refers to the tensors in `model.safetensors`.
"""

import copy
import importlib.metadata
import io
import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from hf_attn_seq2seq._version import __version__
from hf_attn_seq2seq.graphs.format import (
    FORMAT,
    GRAPH_FILE,
    READOUT_FILE,
    USUAL_ROWS,
    VERSION,
    Rows,
    attention_rows,
    checksums,
)
from hf_attn_seq2seq.graphs.nodes import FLOAT, INT, Constants, Nodes
from hf_attn_seq2seq.graphs.parts import (
    OPSET,
    DecoderGraph,
    EncoderGraph,
    Names,
    OutputGraph,
    check_writable,
    free_axes,
    sample_source,
)
from hf_attn_seq2seq.graphs.search import (
    GIVEN,
    SETTINGS,
    Call,
    Found,
    Limits,
    Step,
    write_beams,
    write_greedy,
    write_limits,
)
from hf_attn_seq2seq.graphs.settings import Search, is_limited, why_not
from hf_attn_seq2seq.graphs.simplify import names_read, simplify, subgraphs
from hf_attn_seq2seq.graphs.storage import places, refer
from hf_attn_seq2seq.messages import check_layer
from hf_attn_seq2seq.modeling_attn_seq2seq import AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.splitting import length_limit
from hf_attn_seq2seq.writing import whole_file


IR_VERSION = 10  # which ONNX Runtime has read since 1.18
# What the engine needs to know of the model's configuration.
CONFIG_FIELDS = (
    "model_type",
    "frontend",
    "is_encoder_decoder",
    "vocab_size",
    "decoder_vocab_size",
    "encoder_type",
    "decoder_type",
    "is_recurrent_encoder",
    "is_recurrent_decoder",
    "attention_type",
    "position_type",
    "max_position_embeddings",
)
HIDDEN, LOGITS = "hidden", "logits_of_hidden"
OWN = "hf_attn_seq2seq"  # the domain of operators that stand for something until the graph is finished
# Batch, source and past lengths, and beams, of the samples that tell sizes apart.
SAMPLES = ((2, 7, 3, 5), (3, 5, 4, 6), (5, 11, 6, 4))


def write_graph(
    model: AttnSeq2SeqForConditionalGeneration, weights: Sequence[Path] = (), rows: Rows = USUAL_ROWS
) -> onnx.ModelProto:
    """
    The model's graph. Its callers give the settings of [`GIVEN`], for which `search` in the graph's metadata has the
    values of the model's `generation_config`; other settings that they leave out are those of `generation_config`.

    Args:
        model: The model, on the CPU.
        weights: The safetensors files of the model, all in its folder, which the graph then refers to by name; none:
            the graph holds the weights itself.
        rows: The attention that is returned where the caller names none.

    Raises:
        ValueError: No graph can hold the model, the files lack a parameter of it, or it has no such layer or head.
    """
    check_writable(model.config)
    model = copy.deepcopy(model).float().eval()
    model.set_attn_implementation("eager")
    parts, heads = _traced(model)
    names = Names.of(model)
    constants = Constants()
    main = Nodes("main", constants)
    weight_names = dict(zip(keys := _keys(model), keys))  # all parts read them; other names are of one part
    about_source = {**weight_names, **_kept(*names.source)}
    main.nodes += renamed(parts["encoder"].graph.node, "encoder", about_source)
    limits = write_limits(main, model.config.output_size) if is_limited(vars(model.generation_config)) else None
    # What depends on weights alone is computed outside the loops, where ONNX Runtime computes it once, when loading.
    made: Made = {}
    loose = {
        part: _set_free(main, part, traced.graph, weight_names, made)
        for part, traced in parts.items()
        if part != "encoder"
    }
    # ONNX Runtime packs the weights that a loop reads in advance, but not those within an `If`: so both loops stand
    # here, and one of them takes no step.
    several = main.Greater("num_beams", 1)
    writer = _Writer(model, names, loose, limits)
    branches = []
    for beams in (True, False):
        steps = main.Where(several, *(("max_new_tokens", 0) if beams else (0, "max_new_tokens")))
        finish = writer.search(main, several, steps, beams)
        nodes = Nodes("beam" if beams else "greedy", constants)
        branches.append((nodes, [value for value in finish(nodes) if value is not None]))
    kinds = [INT, FLOAT, INT, *([FLOAT] if names.attentions else [])]
    results = main.choice(several, branches[0][0], branches[1][0], list(zip(branches[0][1], branches[1][1], kinds)))
    outputs = ["sequences", "scores", "lengths", *(["attentions"] if names.attentions else [])]
    for found, output in zip(results, outputs):
        main.nodes.append(helper.make_node("Identity", [found], [output]))
    inputs = _inputs(model)
    settings = [
        (name, kind, [f"{name}_count"] * rank)
        for name, (kind, rank) in SETTINGS.items()
        if names.attentions or not name.startswith("attention_")
    ]
    shapes = (["results", "tgt_len"], ["results"], ["results"], ["results", "heads", "steps", "src_len"])
    graph = helper.make_graph(
        main.nodes,
        "attn_seq2seq",
        [helper.make_tensor_value_info(*each) for each in (*inputs, *settings)],
        [helper.make_tensor_value_info(*each) for each in zip(outputs, kinds, shapes)],
        [*constants.initializers.values(), *_weights(parts, _keys(model), weights)],
    )
    defaults = {**_search_defaults(model), **_attention_defaults(len(names.attentions), heads, rows)}
    for name, kind, shape in settings:
        if name in GIVEN:
            continue
        value = np.asarray(defaults[name], dtype=helper.tensor_dtype_to_np_dtype(kind)).reshape([-1] * len(shape))
        graph.initializer.append(numpy_helper.from_array(value, name))
    keep_weights_apart(graph)
    made = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="hf_attn_seq2seq",
        producer_version=__version__,
    )
    about = {
        "kind": "fp32",
        "layers": len(names.attentions),
        "heads": heads,
        "limited": limits is not None,
        "search": {name: defaults[name] for name in GIVEN},
        "config": {name: getattr(model.config, name) for name in CONFIG_FIELDS}
        | ({"pointer_slots": model.config.pointer_slots} if model.config.pointer_slots else {})
        | ({} if model.config.split_sentences else {"split_sentences": False}),
        "files": checksums(weights[0].parent) if weights else {},
        "versions": {name: importlib.metadata.version(name) for name in ("hf_attn_seq2seq", "torch", "onnx")},
    }
    describe(made, format=FORMAT, version=VERSION, **about)
    return made


class Structure(NamedTuple):
    """A graph without its weights, which are given when it is opened."""

    graph: bytes
    weights: dict[str, str]  # the name in the graph of each weight, and that in the model's state dict


def write_structure(model: AttnSeq2SeqForConditionalGeneration) -> Structure:
    """The graph of a model without its weights: what stays the same while the model is trained."""
    made, keys = write_graph(model), _keys(model)
    weights = {}
    for weight in made.graph.initializer:
        if weight.name in keys:
            weights[weight.name] = keys[weight.name][0]
            weight.ClearField("raw_data")
            weight.data_location = TensorProto.EXTERNAL
            weight.external_data.add(key="location", value="given")
    return Structure(made.SerializeToString(), weights)


def describe(graph: onnx.ModelProto, **about: Any) -> None:
    """Change what a graph says of itself."""
    found = {each.key: each.value for each in graph.metadata_props}
    del graph.metadata_props[:]
    helper.set_model_props(graph, {**found, **{name: json.dumps(value) for name, value in about.items()}})


def save_graph(model: AttnSeq2SeqForConditionalGeneration, weights: Path, folder: Path | None = None) -> Path:
    """
    Write the graph of a saved model, which refers to the saved weights.

    Args:
        model: The model as loaded from `weights`.
        weights: The folder of the model.
        folder: Where the graph goes; None: beside the weights.

    Raises:
        ValueError: The folder has no weights in safetensors, they lack a parameter, or its `alignment.json` names a
            layer or head that the model does not have.
    """
    files = sorted(weights.glob("*.safetensors"))
    if not files:
        raise ValueError(f"'{weights}' has no weights in safetensors: save the model with save_pretrained.")
    path = (folder or weights) / GRAPH_FILE
    with whole_file(path) as partial:
        partial.write_bytes(write_graph(model, files, attention_rows(weights)).SerializeToString())
    return path


def _inputs(model: AttnSeq2SeqForConditionalGeneration) -> list[tuple[str, int, Any]]:
    """Names, types and shapes of the source and its mask."""
    source = sample_source(model, *SAMPLES[0][:2], 1)
    axes = free_axes(list(source))
    return [
        (name, INT if value.dtype == torch.long else FLOAT, [axes[name].get(*each) for each in enumerate(value.shape)])
        for name, value in source.items()
    ]


def _search_defaults(model: AttnSeq2SeqForConditionalGeneration) -> dict[str, Any]:
    settings = {**vars(model.generation_config), **length_limit(model)}
    if why_not(settings, limited=True) is not None:  # the graph's callers must say what they want
        settings = {"decoder_start_token_id": 0, **length_limit(model)}
    return {**Search.of(settings)._asdict(), "output_scores": True}


def _attention_defaults(layers: int, heads: int, rows: Rows) -> dict[str, Any]:
    if not layers:
        return {}
    try:
        check_layer(rows.layer, layers)
        chosen = range(heads) if rows.head is None else [range(heads)[rows.head]]
    except (ValueError, IndexError):
        head = "" if rows.head is None else f", head {rows.head}"
        raise ValueError(
            f"{READOUT_FILE} names layer {rows.layer}{head}, but the decoder has {layers} with attention, of {heads} "
            "heads: correct it."
        ) from None
    first = range(layers)[rows.layer] * heads
    return {"attention_heads": [first + head for head in chosen], "attention_shift": rows.shift}


Made = dict[tuple, Sequence[str]]  # operator, inputs and attributes of a node; its outputs


class _Loose(NamedTuple):
    """The nodes of a part that belong into a loop, and the names that they read from outside."""

    nodes: list[onnx.NodeProto]
    outside: dict[str, str]


def _set_free(main: Nodes, part: str, graph: onnx.GraphProto, weight_names: Mapping[str, str], made: Made) -> _Loose:
    """
    Add the nodes of a part that depend on weights alone to `main`; the result has the others.

    Args:
        made: What was added before, which is not made twice: a weight that is turned over would lie in memory twice.
    """
    fixed, moving = _split(graph.node, {weight.name for weight in graph.initializer})
    known = [weight.name for weight in graph.initializer if weight.name not in weight_names]
    known += [name for node in fixed for name in node.output]
    outside = {**weight_names, **{name: f"{part}/{name}" for name in known}}
    for node in fixed:
        (copied,) = renamed([node], part, outside)
        options = sorted(each.SerializeToString() for each in copied.attribute)
        before = made.setdefault((copied.op_type, *copied.input, *options), copied.output)
        if before is copied.output:
            main.nodes.append(copied)
        else:
            outside.update(zip(node.output, before))
    return _Loose(moving, outside)


class _Writer(NamedTuple):
    """What both searches are written from."""

    model: AttnSeq2SeqForConditionalGeneration
    names: Names
    parts: Mapping[str, _Loose]
    limits: Limits | None

    def search(self, nodes: Nodes, several: str, steps: str, beams: bool) -> Callable[[Nodes], Found]:
        """Write one search; the result is as of [`write_beams`]."""
        names, prefix = self.names, "beam" if beams else "greedy"
        given = {name: f"encoder/{name}" for name in (*names.memory, *names.state)}
        given[names.mask] = names.mask if names.mask in names.source else f"encoder/{names.mask}"
        step = self.parts["step"]
        if beams and "beams" in self.parts:
            step = self.parts["beams"]
            given.update(self.for_beams(nodes, several, {name: given[name] for name in names.state}))
        elif beams:
            given = self.for_beams(nodes, several, given)
        # What depends on the source alone is computed once and not at each step.
        fixed, moving = _split(step.nodes, {*step.outside, *names.memory, names.mask})
        around = {**step.outside, **given, **{name: f"{prefix}/{name}" for node in fixed for name in node.output}}
        nodes.nodes += renamed(fixed, prefix, around)

        def make_step(body: Nodes, token: str, state: list[str]) -> Step:
            inside = {**around, "decoder_input_ids": token, **dict(zip(names.state, state))}
            body.nodes += renamed(moving, body.prefix, inside)
            found = [inside.get(name, f"{body.prefix}/{name}") for name in names.decoder_outputs]
            hidden, after, attentions = found[0], found[1 : 1 + len(state)], found[1 + len(state) :]
            return Step(hidden, after, body.Concat(*attentions, axis=1) if attentions else None)

        def make_logits(body: Nodes, hidden: str) -> str:
            output, logits = self.parts["output"], f"{body.prefix}/{LOGITS}"
            inside = {**output.outside, HIDDEN: hidden, LOGITS: logits}
            body.nodes += renamed(output.nodes, f"{body.prefix}/output", inside)
            return logits

        state = {given[name]: FLOAT for name in names.state}
        call = Call(names.source[0], make_step, make_logits, state, steps, self.limits, self.model.config.output_size)
        return (write_beams if beams else write_greedy)(nodes, call)

    def for_beams(self, nodes: Nodes, several: str, given: dict[str, str]) -> dict[str, str]:
        """These values of each source, once for each beam where there are several."""
        apart, together = (Nodes(f"beam/{name}", nodes.constants) for name in ("apart", "together"))
        batch = apart.size(self.names.source[0], 0)
        sources = apart.Unsqueeze(apart.Range(0, batch, 1), np.array([1]))
        rows = apart.Reshape(apart.Expand(sources, apart.vector(batch, "num_beams")), np.array([-1]))
        kinds = [INT if name == self.names.mask else FLOAT for name in given]
        values = [apart.Gather(value, rows, axis=0) for value in given.values()]
        return dict(zip(given, nodes.choice(several, apart, together, list(zip(values, given.values(), kinds)))))


@torch.no_grad()
def _traced(model: AttnSeq2SeqForConditionalGeneration) -> tuple[dict[str, onnx.ModelProto], int]:
    """
    The encoder, one step and the output layer, whose initializers are parameters; the number of attention heads.

    Where an attention can answer several beams of a source at once, there is also a step of `beams`, whose memory and
    mask have a row for each source and whose other values a row for each beam.
    """
    names = Names.of(model)
    encoder, decoder, output = EncoderGraph(model), DecoderGraph(model, output_layer=False), OutputGraph(model)
    samples = [_sample(model, encoder, *sizes) for *sizes, _ in SAMPLES]
    for sample in samples:
        found = dict(zip(names.decoder_outputs, decoder(*(sample[name] for name in names.decoder_inputs))))
        sample[HIDDEN] = found["logits"]
    wanted = [
        ("encoder", encoder, samples, names.encoder_inputs, names.encoder_outputs),
        ("step", decoder, samples, names.decoder_inputs, names.decoder_outputs),
        ("output", output, samples, [HIDDEN], [LOGITS]),
    ]
    if not any(attention.moves_on for attention in encoder.attentions()):
        of_beams = [
            {
                name: value.repeat_interleave(beams, 0) if name in ("decoder_input_ids", *names.state) else value
                for name, value in sample.items()
            }
            for sample, (*_, beams) in zip(samples, SAMPLES)
        ]
        wanted.append(("beams", decoder, of_beams, names.decoder_inputs, names.decoder_outputs))
    graphs = {
        part: simplify(
            traced_module(graph, values[0], inputs, outputs, free_axes([*inputs, *outputs])), _arrays(values)
        )
        for part, graph, values, inputs, outputs in wanted
    }
    return graphs, found[names.attentions[0]].shape[1] if names.attentions else 0


@torch.no_grad()
def _sample(
    model: AttnSeq2SeqForConditionalGeneration, encoder: EncoderGraph, batch: int, src_len: int, past: int
) -> dict[str, torch.Tensor]:
    """Values for all inputs of both graphs, with free sizes of that size."""
    names = Names.of(model)
    generator = torch.Generator().manual_seed(0)
    source = sample_source(model, batch, src_len, src_len - 2)
    values = dict(zip(names.encoder_outputs, encoder(*source.values())))
    for name in names.state:
        if name.startswith("self_"):
            shape = list(values[name].shape)
            values[name] = torch.randn(*shape[:2], past, shape[3], generator=generator)
    token = torch.zeros(batch, 1, dtype=torch.long)
    return {**source, "decoder_input_ids": token, **values}


def _arrays(samples: list[dict[str, torch.Tensor]]) -> list[dict[str, np.ndarray]]:
    return [{name: value.numpy() for name, value in sample.items()} for sample in samples]


def traced_module(
    graph: torch.nn.Module,
    sample: Mapping[str, torch.Tensor],
    inputs: list[str],
    outputs: list[str],
    axes: Mapping[str, dict[int, str]],
    own_operators: bool = False,
) -> onnx.ModelProto:
    """
    What a module computes, as a graph whose initializers are its parameters, under their names in it.

    Args:
        graph: The module.
        sample: Values of its inputs.
        inputs, outputs: Names, in order.
        axes: The dynamic axes of inputs and outputs, by name.
        own_operators: Whether it has operators of the domain [`OWN`].
    """
    file = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracer warns about each size that it reads; the tests vary them
        torch.onnx.export(
            graph.eval(),
            tuple(sample[name] for name in inputs),
            file,  # type: ignore[arg-type]  # this exporter takes a stream
            dynamo=False,
            opset_version=OPSET,
            input_names=inputs,
            output_names=outputs,
            dynamic_axes=axes,
            custom_opsets={OWN: 1} if own_operators else None,
            do_constant_folding=False,  # it would make copies of the weights
        )
    return onnx.load_from_string(file.getvalue())


def _split(nodes: Iterable[onnx.NodeProto], fixed: set[str]) -> tuple[list[onnx.NodeProto], list[onnx.NodeProto]]:
    """The nodes that need nothing but these values, and the others."""
    known = set(fixed)
    inside, outside = [], []
    for node in nodes:
        if names_read(node) <= known:
            known.update(node.output)
            inside.append(node)
        else:
            outside.append(node)
    return inside, outside


def renamed(nodes: Iterable[onnx.NodeProto], prefix: str, names: Mapping[str, str]) -> list[onnx.NodeProto]:
    """Copies of the nodes; names that are not in `names` get the prefix."""
    return [_renamed_node(node, lambda name: names.get(name, f"{prefix}/{name}")) for node in nodes]


def _renamed_node(node: onnx.NodeProto, rename: Any) -> onnx.NodeProto:
    copied = onnx.NodeProto()
    copied.CopyFrom(node)
    copied.ClearField("name")
    for field in (copied.input, copied.output):
        field[:] = [rename(name) if name else "" for name in field]
    for graph in subgraphs(copied):
        inner = [_renamed_node(each, rename) for each in graph.node]
        del graph.node[:]
        graph.node.extend(inner)
        for value in (*graph.output, *graph.initializer, *graph.input):
            value.name = rename(value.name)
        del graph.value_info[:]
    return copied


def _kept(*names: str) -> dict[str, str]:
    return {name: name for name in names}


# Weights.


def _weights(
    graphs: Mapping[str, onnx.ModelProto], keys: Mapping[str, list[str]], files: Sequence[Path]
) -> list[onnx.TensorProto]:
    """
    The initializers of the parts, parameters once; these refer to the files, if there are any.

    Args:
        graphs: The parts, by the prefix of their names.
        keys: The result of [`_keys`].
        files: As `weights` for [`write_graph`].
    """
    found: dict[str, onnx.TensorProto] = {}
    for part, graph in graphs.items():
        for weight in graph.graph.initializer:
            if weight.name not in keys:
                weight.name = f"{part}/{weight.name}"
            found[weight.name] = weight
    if files:
        refer_to(found.values(), keys, files)
    return list(found.values())


def refer_to(initializers: Iterable[onnx.TensorProto], keys: Mapping[str, list[str]], files: Sequence[Path]) -> None:
    """
    Let those that are parameters refer to files.

    Args:
        initializers: Of graphs.
        keys: The result of [`keys_of`].
        files: As `weights` for [`write_graph`].

    Raises:
        ValueError: The files lack a parameter.
    """
    known = places(files)
    for weight in initializers:
        if weight.name in keys:
            key = next((key for key in keys[weight.name] if key in known), None)
            if key is None:
                raise ValueError(f"The weights lack {keys[weight.name][0]}: save the model again.")
            refer(weight, known[key])


def _keys(model: AttnSeq2SeqForConditionalGeneration) -> dict[str, list[str]]:
    return keys_of(model, (EncoderGraph(model), DecoderGraph(model), OutputGraph(model)))


def keys_of(model: AttnSeq2SeqForConditionalGeneration, graphs: Iterable[torch.nn.Module]) -> dict[str, list[str]]:
    """The names in the state dict of each parameter that the graphs read, by its name there."""
    names: dict[int, list[str]] = {}
    for name, tensor in [*model.named_parameters(remove_duplicate=False), *model.named_buffers()]:
        names.setdefault(id(tensor), []).append(name)
    found = {}
    for graph in graphs:
        for name, tensor in [*graph.named_parameters(remove_duplicate=False), *graph.named_buffers()]:
            found[name] = names[id(tensor)]
    return found


def keep_weights_apart(graph: onnx.GraphProto) -> None:
    """Put a cast behind each weight of 16 bits, under the name by which the nodes know it."""
    casts = []
    for weight in graph.initializer:
        if weight.data_location == TensorProto.EXTERNAL and weight.data_type != FLOAT:
            name, weight.name = weight.name, f"{weight.name}:16"
            casts.append(helper.make_node("Cast", [weight.name], [name], to=FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
