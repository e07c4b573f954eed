# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Weights of other toolkits' files, taken one by one: none is left out, and none has another shape unnoticed."""

from __future__ import annotations

import argparse
import pickle
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import torch

from hf_attn_seq2seq.cells import GatedCell
from hf_attn_seq2seq.configuration_attn_seq2seq import AttnSeq2SeqConfig
from hf_attn_seq2seq.messages import quoted, shortened
from hf_attn_seq2seq.modeling_attn_seq2seq import AttnSeq2SeqForConditionalGeneration


# Plain containers beside those that torch reads by itself.
CONTAINERS: list[Any] = [argparse.Namespace]
_remembered: ContextVar[dict[Path, Any] | None] = ContextVar("remembered", default=None)


@contextmanager
def files_read_once() -> Iterator[None]:
    """Within it, `read_torch` reads a file that several origins look at but once."""
    token = _remembered.set({})
    try:
        yield
    finally:
        _remembered.reset(token)


def read_torch(path: Path) -> Any:
    """
    What `torch.save` wrote, if it is made of tensors, numbers, text and plain containers.

    Raises:
        ValueError: The file cannot be read, or holds objects of other classes, which could run any code.
    """
    remembered = _remembered.get()
    if remembered is None:
        return _loaded(path)
    if path not in remembered:
        remembered[path] = _loaded(path)
    return remembered[path]


def _loaded(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals(CONTAINERS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        asked = re.search(r"GLOBAL (\S+)", str(error))
        if asked is None:
            raise ValueError(f"'{shortened(str(path))}' cannot be read: get the file again.") from None
        raise ValueError(
            f"'{shortened(str(path))}' asks to run {quoted(asked[1])}, which is neither a tensor nor a plain "
            "container, and is not read: save the model's state_dict() instead."
        ) from None
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, AttributeError, TypeError, zipfile.BadZipFile):
        raise ValueError(
            f"'{shortened(str(path))}' cannot be read: it is no file of torch.save, or damaged."
        ) from None


def flattened(state: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of nested state dicts, by names with dots."""
    for name, value in state.items():
        if isinstance(value, torch.Tensor):
            yield f"{prefix}{name}", value
        elif isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{name}.")


class Weights:
    """
    The tensors of a file, each to be taken once.

    Args:
        tensors: By name.
        file: Its name, for sentences.
    """

    def __init__(self, tensors: Mapping[str, torch.Tensor], file: str) -> None:
        self.left = dict(tensors)
        self.file = shortened(file)

    def __contains__(self, name: str) -> bool:
        return name in self.left

    def shape(self, name: str, dims: int = 2) -> tuple[int, ...]:
        """
        The shape of a tensor, from which sizes are read.

        Raises:
            ValueError: It is missing, or has another number of dimensions.
        """
        value = self.left.get(name)
        if value is None:
            raise ValueError(f"'{self.file}' holds no {quoted(name)}: get the file again.")
        if value.dim() != dims or not value.numel():
            raise ValueError(f"'{self.file}' holds {quoted(name)} of shape {tuple(value.shape)}: get the file again.")
        return tuple(value.shape)

    def depth(self, name: str) -> int:
        """How many layers there are, by a tensor of each, whose name has a place for the layer's number, `{}`."""
        count = 0
        while name.format(count) in self:
            count += 1
        return count

    def take(self, name: str, *shape: int) -> torch.Tensor:
        """
        A tensor in single precision, which then counts as read.

        Raises:
            ValueError: It is missing, or has another shape.
        """
        value = self.left.pop(name, None)
        if value is None:
            raise ValueError(f"'{self.file}' holds no {quoted(name)}: get the file again.")
        if tuple(value.shape) != shape or not value.is_floating_point():
            raise ValueError(
                f"'{self.file}' holds {quoted(name)} of shape {tuple(value.shape)}, where {shape} is needed: get the "
                "file again."
            )
        return value.float()

    def drop(self, *names: str) -> None:
        """Count tensors as read that say nothing of their own."""
        for name in names:
            self.left.pop(name, None)

    def finish(self) -> None:
        """
        Refuse what nobody has read.

        Raises:
            ValueError: Names the first such tensor.
        """
        if self.left:
            raise ValueError(
                f"'{self.file}' holds {quoted(min(self.left))}, which no model of its kind has here: it would be left "
                "out."
            )


def gates_of(weights: Weights, hidden: str) -> tuple[str, int]:
    """
    The kind of a cell and its width, by the shape of its weight from state to gates.

    Raises:
        ValueError: It is neither a GRU's nor an LSTM's.
    """
    rows, width = weights.shape(hidden)
    kinds = {3: "gru", 4: "lstm"}
    if rows % width or rows // width not in kinds:
        raise ValueError(
            f"'{weights.file}' holds {quoted(hidden)} of shape {(rows, width)}: only GRU and LSTM cells are read."
        )
    return kinds[rows // width], width


class Filling:
    """A model whose parameters are given one by one, none twice and none forgotten."""

    def __init__(self, config: AttnSeq2SeqConfig) -> None:
        self.model = AttnSeq2SeqForConditionalGeneration(config)
        self.config = config
        self.missing = {id(part): name for name, part in self.model.named_parameters()}

    @torch.no_grad()
    def put(self, parameter: torch.Tensor | None, value: torch.Tensor) -> None:
        """Write `value` into a parameter of its shape."""
        assert parameter is not None
        assert parameter.shape == value.shape, self.missing[id(parameter)]
        self.missing.pop(id(parameter))
        parameter.copy_(value)

    def linear(self, layer: Any, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        """The parameters of a Linear."""
        self.put(layer.weight, weight)
        if bias is not None:
            self.put(layer.bias, bias)

    def embeddings(self, source: torch.Tensor, target: torch.Tensor) -> None:
        """The tables of both sides, `(tokens, embedding)`; where they are one, the first."""
        self.put(self.model.model.encoder.embed_tokens.weight, source)
        if not self.config.share_encoder_decoder_embeddings:
            self.put(self.model.model.decoder.embed_tokens.weight, target)

    def cell(self, cell: Any, weights: Weights, prefix: str, suffix: str = "_l0", bias: bool = True) -> None:
        """
        A cell from the four tensors that torch's have, whose gates lie in the same order: `weight_ih`, `weight_hh`,
        `bias_ih` and `bias_hh`, each between `prefix` and `suffix`. Without biases they are zeros.
        """
        assert isinstance(cell, GatedCell)
        sizes = [part.in_features for part in cell.input_projections]
        rows, width = cell.gates * cell.hidden_size, cell.hidden_size
        entering = weights.take(f"{prefix}weight_ih{suffix}", rows, sum(sizes))
        for layer, part in zip(cell.input_projections, entering.split(sizes, dim=1)):
            self.put(layer.weight, part)
        self.put(cell.hidden_projection.weight, weights.take(f"{prefix}weight_hh{suffix}", rows, width))
        none = torch.zeros(rows)
        self.put(cell.input_projections[0].bias, weights.take(f"{prefix}bias_ih{suffix}", rows) if bias else none)
        self.put(cell.hidden_projection.bias, weights.take(f"{prefix}bias_hh{suffix}", rows) if bias else none)

    def encoder_cells(self, weights: Weights, prefix: str, bias: bool = True) -> None:
        """All cells of a recurrent encoder, named as in torch's own stacks."""
        for index, layer in enumerate(self.model.model.encoder.stack.layers):
            for cell, direction in zip(layer.cells, ("", "_reverse")):
                self.cell(cell, weights, prefix, f"_l{index}{direction}", bias)

    def done(self) -> AttnSeq2SeqForConditionalGeneration:
        """The model, ready to translate."""
        assert not self.missing, sorted(self.missing.values())
        return self.model.eval()


def share_of(found: Any) -> float:
    """A dropout probability of other options, which may list those of the parts of a training; 0 for what is none."""
    first = found[0] if isinstance(found, list) and found else found
    return first if isinstance(first, float) and 0.0 <= first < 1.0 else 0.0


def rows_of(table: torch.Tensor, rows: list[int | None], without: float = 0.0) -> torch.Tensor:
    """The rows of a table or a bias in another order; those that it lacks are filled with one number."""
    found = table.new_full((len(rows), *table.shape[1:]), without)
    places = [place for place, row in enumerate(rows) if row is not None]
    found[places] = table[[row for row in rows if row is not None]]
    return found
