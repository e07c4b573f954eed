# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Rows of a model's matrices, by which one number of each of its parts is worked out: of a query, of a key and of the
joined heads, of a cell's gates, of the decoder's initial state, of what the output layer reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from hf_attn_seq2seq.decoding.attending import evaluating
from hf_attn_seq2seq.explain.cells import CELLS, CellFacts
from hf_attn_seq2seq.explain.kinds import KINDS, UNTOLD
from hf_attn_seq2seq.explain.mixers import MIXERS


Rows = dict[str, torch.Tensor]
Arrays = Mapping[str, np.ndarray]

# The arrays of an attention, and what they are indexed by: heads, or nothing.
WORKED_AXES = {
    **dict.fromkeys(("worked", "query_row", "query_bias", "key_row", "key_bias"), "H"),
    **dict.fromkeys(("joined", "joining_row", "joining_bias"), ""),
}
TRANSITION = "decoder.transition"  # the cell behind the attention, where that asks between two


# --------------------------------------------------------------------------------------------------------------------
# From the model
# --------------------------------------------------------------------------------------------------------------------


def worked_rows(model: Any) -> Rows:
    """The rows of all parts of a model of this package, by their names in the trace."""
    config, encoder, decoder = model.config, model.model.encoder.stack, model.model.decoder.stack
    found = {
        f"encoder.layer.{layer}.{direction}": _cell_rows(cell, CELLS[config.encoder_type])
        for layer, module in enumerate(encoder.layers)
        for direction, cell in zip(("forward", "backward"), getattr(module, "cells", ()))
    }
    if config.is_recurrent_decoder:
        facts = CELLS[config.decoder_type]
        found |= {f"decoder.layer.{layer}": _cell_rows(cell, facts) for layer, cell in enumerate(decoder.steps.cells)}
        if decoder.steps.transition is not None:
            found[TRANSITION] = _cell_rows(decoder.steps.transition, facts)
        found["handover"] = _bridge_rows(decoder.bridge)
        found["readout"] = _readout_rows(decoder.steps.readout)
        attentions = [decoder.steps.attention]
    else:
        for layer, module in enumerate(decoder.layers):
            mixed = MIXERS[config.decoder_mixer].cell if config.decoder_mixer in MIXERS else None
            if mixed is not None:
                found[f"decoder.layer.{layer}.mixer"] = _cell_rows(module.mixer.cell, mixed)
        attentions = [module.cross_attention for module in decoder.layers]
    if any(KINDS.get(config.attention_type, UNTOLD).matrices):
        found |= {f"attention.{layer}": _attention_rows(each) for layer, each in enumerate(attentions)}
    return {f"{place}.{name}": rows for place, each in found.items() for name, rows in each.items()}


def _longest(rows: torch.Tensor) -> int:
    """Which of `(n, ...)` rows has the largest norm."""
    return int(rows.flatten(1).norm(dim=-1).argmax())


def _cell_rows(cell: Any, facts: CellFacts) -> Rows:
    """
    `worked`: a component of the state, counted from 0, that of the longest rows; of each gate's block in the matrices
    its row, `input_rows` and `hidden_rows`, and its bias.
    """
    # (hidden, gates, size)
    inputs = torch.cat([_in_blocks(each, cell.hidden_size) for each in cell.input_projections], dim=-1)
    projection = getattr(cell, "hidden_projection", None)
    hidden = None if projection is None else _in_blocks(projection, cell.hidden_size)
    at = _longest(inputs if hidden is None else torch.cat([inputs, hidden], dim=-1))
    found = {
        "worked": torch.tensor([float(at)]),
        "input_rows": inputs[at],
        "input_bias": facts.bias(cell).detach().float().view(-1, cell.hidden_size)[:, at],
    }
    if hidden is not None:
        bias = cell.hidden_projection.bias.detach().float()
        found |= {"hidden_rows": hidden[at], "hidden_bias": bias.view(-1, cell.hidden_size)[:, at]}
    return found


def _in_blocks(layer: Any, hidden: int) -> torch.Tensor:
    """The weight `(gates * hidden, in)` as `(hidden, gates, in)`."""
    weight = linear_weight(layer).float()
    return weight.view(-1, hidden, weight.shape[1]).transpose(0, 1)


def _bridge_rows(bridge: Any) -> Rows:
    """
    `worked`: a number of the initial state, counted from 0 through layers and their parts; its `row`, and its `bias`;
    and where the row does not read the whole summary, `reads`: the places of what it reads. Nothing without a matrix.
    """
    config, first = bridge.config, bridge.projection
    if isinstance(first, nn.Identity):
        return {}
    places = None
    if isinstance(first, nn.ModuleList):  # of hidden states and cells apart: the former
        first = first[0]
        sizes = (config.encoder_layers, bridge.parts, config.encoder_hidden_size)
        ends = torch.arange(sizes[0] * sizes[1] * sizes[2]).view(sizes)[:, 0].float()
        places = ends[0] if bridge.kind == "final" else ends.flatten()
    weight = linear_weight(first).float()
    row = at = _longest(weight)
    if bridge.kind == "final_dense":
        layer, component = divmod(row, config.hidden_size)
        at = layer * bridge.parts * config.hidden_size + component
    found = {"worked": torch.tensor([float(at)]), "row": weight[row]}
    if first.bias is not None:
        found["bias"] = first.bias.detach().float()[row : row + 1]
    return found if places is None else {**found, "reads": places}


def _readout_rows(readout: Any) -> Rows:
    """
    `worked`: a number of what the output layer reads, counted from 0, that of the longest row; its `rows`, of which
    maxout has two, and their `bias`. Nothing without a matrix.
    """
    if readout.projection is None:
        return {}
    weight = linear_weight(readout.projection).float()
    rows = weight.view(-1, 2 if readout.kind == "maxout" else 1, weight.shape[1])
    at = _longest(rows)
    bias = readout.projection.bias.detach().float().view(rows.shape[:2])
    return {"worked": torch.tensor([float(at)]), "rows": rows[at], "bias": bias[at]}


def _attention_rows(attention: Any) -> Rows:
    """
    For each head, `worked`: a component, counted from 0, and its rows in the matrices that make queries and keys, with
    their biases. It is that of the largest weight in the scoring network, or, without one, of the largest product of
    its rows' norms. For heads that are joined by a matrix, `joined`: a component of the context, and its row, the one
    with the largest norm.
    """
    found: Rows = {}
    heads = attention.num_heads
    matrices, biases = {}, {}
    for side in ("query", "key"):
        layer = getattr(attention, f"{side}_projection", None)
        if layer is not None:
            matrices[side] = _by_head(linear_weight(layer), attention, side)
            if layer.bias is not None:
                biases[side] = _by_head(layer.bias.detach(), attention, side)
    if matrices:
        if hasattr(attention, "vector"):
            size = attention.vector().detach().float().abs()
        else:
            size = torch.stack([matrix.norm(dim=-1) for matrix in matrices.values()]).prod(0)
        most = size.argmax(-1)
        each = torch.arange(heads, device=most.device)
        found["worked"] = most.float()
        found |= {f"{side}_row": matrix[each, most] for side, matrix in matrices.items()}
        found |= {f"{side}_bias": bias[each, most] for side, bias in biases.items()}
    joining = getattr(attention, "output_projection", None)
    if joining is not None:
        matrix = linear_weight(joining).float()
        at = _longest(matrix)
        found |= {"joined": torch.tensor([float(at)]), "joining_row": matrix[at]}
        if joining.bias is not None:
            found["joining_bias"] = joining.bias.detach().float()[at : at + 1]
    return found


def _by_head(rows: torch.Tensor, attention: Any, side: str) -> torch.Tensor:
    """`(H * dim, ...)` to `(H, dim, ...)`; heads that share a key have the same rows."""
    groups = getattr(attention, "num_key_value_groups", 1) if side == "key" else 1
    parted = rows.float().view(attention.num_heads // groups, -1, *rows.shape[1:])
    return parted.repeat_interleave(groups, dim=0)


@torch.no_grad()
def linear_weight(layer: Any) -> torch.Tensor:
    """The effective weight `(out, in)` of a linear layer, including that of an adapter."""
    weight: torch.Tensor = layer.weight.detach()
    if type(layer) is nn.Linear:
        return weight
    with evaluating(layer):
        units = torch.eye(weight.shape[1], dtype=weight.dtype, device=weight.device)
        made: torch.Tensor = (layer(units) - layer(torch.zeros_like(units[:1]))).T
    return made


# --------------------------------------------------------------------------------------------------------------------
# In a trace
# --------------------------------------------------------------------------------------------------------------------


class WorkedCell(NamedTuple):
    """
    A cell whose rows a trace holds.

    Attributes:
        place: Its name in the trace.
        side: "encoder" or "decoder".
        facts: Its entry.
        inputs: What it reads at each step, `(steps, in)`.
        before: The hidden state before each step, `(steps, hidden)`.
    """

    place: str
    side: str
    facts: CellFacts
    inputs: np.ndarray
    before: np.ndarray


def worked_cells(document: Mapping[str, Any], arrays: Arrays) -> Iterator[WorkedCell]:
    """Those of which a number of each gate can be worked out: earlier traces have none."""
    for layer in range(document["encoder"]["layers"]):
        below = arrays.get("encoder.embeddings" if layer == 0 else f"encoder.layer.{layer - 1}.states")
        for direction, ahead in (("forward", 1), ("backward", -1)):
            place = f"encoder.layer.{layer}.{direction}"
            hidden, rows = (arrays.get(f"{place}.{name}") for name in ("hidden", "input_rows"))
            if below is None or hidden is None or rows is None:
                continue
            before = np.roll(hidden, ahead, axis=0)
            before[0 if ahead == 1 else -1] = 0
            inputs = _side_by_side(below, rows.shape[-1])
            yield WorkedCell(place, "encoder", CELLS[document["encoder"]["type"]], inputs, before)
    decoder, mixer = document["decoder"], MIXERS.get(document["decoder"].get("mixer") or "")
    for layer in range(decoder["layers"]):
        here = f"decoder.layer.{layer}"
        given = _first_inputs(decoder, arrays) if layer == 0 else arrays.get(f"{here}.inputs")
        places = [(here, CELLS.get(decoder["type"]), given)]
        if layer == 0:
            places.append((TRANSITION, CELLS.get(decoder["type"]), arrays.get("attention.0.context")))
        places.append((f"{here}.mixer", mixer.cell if mixer else None, arrays.get(f"{here}.mixer.inputs")))
        for place, facts, given in places:
            if facts is not None and given is not None and f"{place}.input_rows" in arrays:
                yield WorkedCell(place, "decoder", facts, given, arrays[f"{place}.hidden_before"])


def _side_by_side(states: np.ndarray, width: int) -> np.ndarray:
    """Neighbouring states beside each other, as wide as a row: a pyramid joins two, an odd last one beside 0."""
    count = max(width // states.shape[1], 1)
    padded = np.pad(states, ((0, -len(states) % count), (0, 0)))
    return padded.reshape(len(padded) // count, -1)


def _first_inputs(decoder: Mapping[str, Any], arrays: Arrays) -> np.ndarray | None:
    """What the first layer of a recurrent decoder reads, one beside the other."""
    names = ["decoder.embeddings", *(["attention.0.context"] if decoder.get("query") == "previous" else [])]
    names += ["output.hidden"] if decoder.get("input_feeding") else []
    if any(name not in arrays for name in names):
        return None
    parts = [arrays[name] for name in names]
    if decoder.get("input_feeding"):
        parts[-1] = np.concatenate([np.zeros_like(parts[-1][:1]), parts[-1][:-1]])
    return np.concatenate(parts, axis=1)


def check_rows(document: Mapping[str, Any], arrays: Arrays) -> None:
    """Raise a ValueError if the rows of a trace do not belong to what they are multiplied with."""
    for cell in worked_cells(document, arrays):
        gates, width = len(cell.facts.blocks), cell.before.shape[1]
        wanted = {"worked": (1,), "input_rows": (gates, cell.inputs.shape[1]), "input_bias": (gates,)}
        if f"{cell.place}.hidden_rows" in arrays:
            wanted |= {"hidden_rows": (gates, width), "hidden_bias": (gates,)}
        _check_shapes(cell.place, wanted, arrays)
        _check_place(cell.place, width, arrays)
    if "handover.row" in arrays:
        read = arrays.get("handover.reads", arrays["handover.summary"])
        _check_shapes("handover", {"worked": (1,), "row": read.shape}, arrays)
        _check_place("handover", arrays["handover.state"].size, arrays)
    if "readout.rows" in arrays:
        count = len(arrays["readout.rows"])
        width = sum(arrays[name].shape[1] for name in document["kinds"]["readout"]["reads"])
        _check_shapes("readout", {"worked": (1,), "rows": (count, width), "bias": (count,)}, arrays)
        _check_place("readout", arrays["output.hidden"].shape[1], arrays)


def _check_shapes(place: str, wanted: Mapping[str, tuple[int, ...]], arrays: Arrays) -> None:
    for name, shape in wanted.items():
        found = arrays[f"{place}.{name}"].shape
        if found != shape:
            raise ValueError(f"{place}.{name} has the shape {found}, not {shape}")


def _check_place(place: str, count: int, arrays: Arrays) -> None:
    at = arrays[f"{place}.worked"][0]
    if not 0 <= at < count:
        raise ValueError(f"{place}.worked is {at:g}, and there are {count} numbers")


__all__ = ["TRANSITION", "WORKED_AXES", "WorkedCell", "check_rows", "linear_weight", "worked_cells", "worked_rows"]
