# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The trace: everything that a run computed from a text to its translation, as one document that can be saved.

`trace.schema.json` in this folder describes the saved form, field by field.
"""

from __future__ import annotations

import base64
import copy
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from hf_attn_seq2seq.configuration_attn_seq2seq import ATTENTION_NORMALIZERS, ATTENTION_TYPES, DECODER_MIXERS
from hf_attn_seq2seq.data.words import Words, word_shares
from hf_attn_seq2seq.explain.kinds import AXES, KINDS, UNTOLD, told_kinds
from hf_attn_seq2seq.explain.media import check_input
from hf_attn_seq2seq.explain.mixers import MIXERS
from hf_attn_seq2seq.explain.worked import WORKED_AXES, check_rows
from hf_attn_seq2seq.messages import quoted, shortened
from hf_attn_seq2seq.modeling_attn_seq2seq import open_to_readers
from hf_attn_seq2seq.writing import whole_file, write_text


if TYPE_CHECKING:
    from hf_attn_seq2seq.decoding.readout import Alignment, Readout
    from hf_attn_seq2seq.explain.checks import Verification
    from hf_attn_seq2seq.explain.faithfulness import Faithfulness
    from hf_attn_seq2seq.explain.ledger import Ledger

FORMAT = "hf_attn_seq2seq.trace"
VERSION, MEDIA_VERSION = 1, 2  # of the trace of a text, and of that of a recording or a picture
SCHEMA_FILE = Path(__file__).with_name("trace.schema.json")


def changes_in(what_if: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The changes that a trace's `what_if` is of."""
    if what_if is None:
        return []
    return list(what_if["changes"]) if what_if["kind"] == "several" else [dict(what_if)]


@dataclass
class Trace:
    """
    The numbers of a run. In array shapes, T is steps, S source tokens, or states of a recording or a picture, and H
    heads; there is no padding.

    Attributes:
        document: Tokens, steps, choices, beams, versions: plain values, as described in `trace.schema.json`.
        arrays: The vectors and matrices, float32, by name, such as `attention.0.weights` `(T, H, S)`.
        children: Traces of what-if runs that started from this one.
        model, tokenizer: The traced model and its tokenizer or processor, if still loaded; not saved.
        received: The recording or picture that was traced, likewise; None for a text.
    """

    document: dict[str, Any]
    arrays: dict[str, np.ndarray]
    children: list[Trace] = field(default_factory=list)
    model: Any = field(default=None, repr=False)
    tokenizer: Any = field(default=None, repr=False)
    received: Any = field(default=None, repr=False)

    def __repr__(self) -> str:
        return f"Trace({self.document['source']['text']!r} -> {self.document['target']['text']!r})"

    def _repr_html_(self) -> str:
        from hf_attn_seq2seq.explain.notebook import notebook_html

        return notebook_html(self)

    @property
    def source_tokens(self) -> list[str]:
        return [token["token"] for token in self.document["source"]["tokens"]]

    @property
    def target_tokens(self) -> list[str]:
        return [token["token"] for token in self.document["target"]["tokens"]]

    @property
    def input(self) -> dict[str, Any] | None:
        """What the model heard or saw; None for a text."""
        return self.document.get("input")

    @property
    def layers(self) -> list[int]:
        """The decoder layers that attend to the source; none without attention."""
        return self.document["attention"]["layers"]

    def attended(self, layer: int = -1) -> int:
        """
        The number of a decoder layer that attends to the source.

        Args:
            layer: That number, or counted from the last as -1.

        Raises:
            ValueError: The model has no attention, or the layer does not exist.
        """
        if not self.layers:
            raise ValueError("This model has no attention: each step sees one fixed context vector.")
        if layer >= 0 and layer in self.layers:
            return layer
        if not -len(self.layers) <= layer < 0:
            raise ValueError(f"There is no layer {layer}: choose from {', '.join(map(str, self.layers))}, or -1.")
        return self.layers[layer]

    def check_step(self, step: int) -> int:
        """The step counted from 0, given one that may be counted from the last; a ValueError if it does not exist."""
        count = len(self.document["steps"])
        if not -count <= step < count:
            raise ValueError(f"There is no step {step}: this run has {count}, counted from 0.")
        return step % count

    def check_model(self) -> None:
        """Raise a ValueError if the traced model is not loaded."""
        if self.model is None:
            raise ValueError(
                "This trace was read from a file, without its model: load the model and trace the text again."
            )

    def words(self, side: str) -> tuple[Words, np.ndarray]:
        """The words of the `"source"` or `"target"`, and the share of each token in each word, `(tokens, words)`."""
        part = self.document[side]
        words = Words(part["text"], [tuple(word["span"]) for word in part["words"]])
        return words, word_shares([tuple(token["span"] or (0, 0)) for token in part["tokens"]], words)

    def weights(self, layer: int = -1, head: int | None = None) -> np.ndarray:
        """Weights `(T, S)` of a layer with attention: of one head, or the mean of all; raises like [`attended`]."""
        weights = self.arrays[f"attention.{self.attended(layer)}.weights"]
        if head is None:
            return weights.mean(1)
        if not -weights.shape[1] <= head < weights.shape[1]:
            raise ValueError(f"There is no head {head}: the layer has {weights.shape[1]}, counted from 0.")
        return weights[:, head]

    @property
    def changes(self) -> list[dict[str, Any]]:
        """What a what-if run changed, in the order in which it was asked for."""
        return changes_in(self.document["what_if"])

    @property
    def edited(self) -> list[str]:
        """What the model did not make itself in a what-if run: its `"weights"`, `"heads"`, or both."""
        return [kind for kind in ("weights", "heads") if any(change["kind"] == kind for change in self.changes)]

    def left_out(self, layer: int) -> list[int]:
        """The heads of a layer that a what-if run left out."""
        out = (change for change in self.changes if change["kind"] == "heads" and layer in change["layers"])
        return sorted({head for change in out for head in change["heads"]})

    def weights_set(self, layer: int) -> dict[int, list[float]]:
        """The weights that a what-if run set in all heads of a layer, by their steps, as far as it came."""
        return {
            change["step"]: change["weights"]
            for change in self.changes
            if change["kind"] == "weights"
            and layer in change["layers"]
            and change["step"] < len(self.document["steps"])
        }

    def ledger(self, step: int, position: int, layer: int = -1, head: int = 0) -> Ledger:
        """The terms that add up to one score; see [`score_ledger`]."""
        from hf_attn_seq2seq.explain.ledger import score_ledger

        return score_ledger(self, step, position, layer, head)

    def verify(self, model: Any = None, tokenizer: Any = None) -> Verification:
        """Recompute the numbers, with the traced model if it is loaded; see [`verify_trace`]."""
        from hf_attn_seq2seq.explain.verify import verify_trace

        return verify_trace(self, model or self.model, tokenizer or self.tokenizer)

    def what_if(self, **changes: Any) -> Trace:
        """Run the real model again with something changed; see [`what_if`]."""
        from hf_attn_seq2seq.explain.what_if import what_if

        return what_if(self, **changes)

    def alignment(self, readout: Readout | None = None) -> Alignment:
        """
        The word alignment that follows from the weights.

        Args:
            readout: Which layer, head and row to read; None: as in the traced model's `alignment.json`.

        Raises:
            ValueError: The model has no attention, or the layer or head does not exist.
        """
        from hf_attn_seq2seq.decoding.readout import PairAttention, Readout

        if self.input is not None:
            raise ValueError("A recording or a picture has no words to align: read its weights instead.")
        self.attended()  # refuses a run without attention
        (source, source_shares), (target, target_shares) = self.words("source"), self.words("target")
        weights = np.stack([self.arrays[f"attention.{layer}.weights"].swapaxes(0, 1) for layer in self.layers])
        pair = PairAttention(source, target, weights, source_shares, target_shares)
        return pair.alignment(readout or Readout(**self.document["attention"].get("readout", {})))

    def faithfulness(self, **options: Any) -> Faithfulness:
        """Other measures of importance for the choices, next to the weights; see [`faithfulness`]."""
        from hf_attn_seq2seq.explain.faithfulness import faithfulness

        if self.input is not None:
            raise ValueError(
                "Other measures of importance are of the tokens of a text: mute or cover a part of the input instead "
                "(trace.what_if)."
            )
        self.check_model()
        return faithfulness(self.model, self.tokenizer, self, **options)

    def to_json(self, packed: bool = False) -> dict[str, Any]:
        """
        The whole trace as plain values.

        Args:
            packed: Whether to store arrays as base64 of little-endian float32, which is shorter, instead of numbers.
        """
        document = copy.deepcopy(self.document)
        document["children"] = [child.to_json(packed) for child in self.children]
        pack = _base64 if packed else _numbers
        document["arrays"] = {name: {"shape": list(array.shape), **pack(array)} for name, array in self.arrays.items()}
        return document

    def save(self, path: str | os.PathLike[str], tensors: str | os.PathLike[str] | None = None) -> None:
        """
        Save as JSON.

        Args:
            path: The JSON file.
            tensors: The name of a safetensors file in the same folder for the arrays; None: they are written to the
                JSON file as numbers.

        Raises:
            OSError: A file cannot be written.
            ValueError: `tensors` names another folder, or the JSON file itself.
        """
        path = Path(path)
        document = self.to_json()
        if tensors is not None:
            name = check_side_file(tensors, path)
            side: dict[str, np.ndarray] = {}
            for place, trace in _family(self):
                part = _at(document, place)
                for key, array in trace.arrays.items():
                    full = "/".join([*map(str, place), key])
                    side[full] = np.ascontiguousarray(array)
                    part["arrays"][key] = {"shape": list(array.shape), "file": name, "tensor": full}
            try:
                with whole_file(path.with_name(name)) as partial:
                    save_file(side, partial)
                    open_to_readers(partial)
            except SafetensorError as error:
                raise OSError(f"'{path.with_name(name)}' cannot be written: {error}.") from error
        write_text(path, json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Trace:
        """
        Read a saved trace.

        Raises:
            OSError: A file cannot be read.
            ValueError: The file is not a trace, is damaged, or has a newer version.
        """
        path = Path(path)
        try:
            document = json.loads(path.read_text("utf-8"), parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"'{path}' is not a trace, or is damaged: it is not JSON ({error}).") from None
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise ValueError(f"'{path}' is not a trace of this package: save one with --json or trace.save().")
        version = document.get("version")
        if isinstance(version, int) and version > MEDIA_VERSION:
            raise ValueError(
                f"'{path}' is a trace of version {version}, but this package reads up to {MEDIA_VERSION}: update it."
            )
        _check_schema(document, path)
        sides: dict[str, dict[str, np.ndarray]] = {}
        try:
            return cls._from_json(document, path, sides)
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"'{path}' is damaged: {str(error).removesuffix('.')}.") from None

    @classmethod
    def _from_json(cls, document: dict[str, Any], path: Path, sides: dict[str, dict[str, np.ndarray]]) -> Trace:
        children = [cls._from_json(child, path, sides) for child in document.pop("children")]
        arrays = {name: _read_array(entry, path, sides) for name, entry in document.pop("arrays").items()}
        _check_consistent(document, arrays)
        document["kinds"] = told_kinds(document)  # earlier traces do not say them
        check_rows(document, arrays)
        return cls(document, arrays, children)


def check_side_file(tensors: str | os.PathLike[str], path: Path) -> str:
    """The name of a file for arrays in the folder of `path`; a ValueError if it is not valid."""
    told, name = shortened(str(tensors)), Path(tensors).name
    if Path(tensors).parent not in (Path("."), path.parent):
        raise ValueError(f"'{told}' must be in the folder of '{path}': give only its name.")
    if name in ("", "..", path.name) or not name.isprintable() or len(os.fsencode(name)) > LONGEST_NAME:
        raise ValueError(f"'{told}' is not a valid name for a file next to '{path}': choose another.")
    return name


def _refuse_constant(name: str) -> None:
    raise ValueError(f"it contains {name}")


LONGEST_NAME = 200  # bytes


def _check_consistent(document: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Refuse what the schema cannot: parts that do not match each other."""
    steps, attention = document["steps"], document["attention"]
    source, target = (document[side]["tokens"] for side in ("source", "target"))
    if attention["type"] not in ATTENTION_TYPES:
        raise ValueError(f"the attention kind {quoted(attention['type'])} is unknown")
    if attention["normalizer"] not in ATTENTION_NORMALIZERS:
        raise ValueError(f"the normalizer {quoted(attention['normalizer'])} is unknown")
    if not source or len(target) != len(steps):
        raise ValueError(f"it has {len(source)} source tokens, {len(target)} target tokens and {len(steps)} steps")
    for side in ("source", "target"):
        words = len(document[side]["words"])
        if any(token["word"] is not None and not 0 <= token["word"] < words for token in document[side]["tokens"]):
            raise ValueError(f"a {side} token belongs to a word that does not exist")
    # The first dimensions of arrays of T steps, S source tokens, H heads, and N output tokens.
    sizes = {"T": len(steps), "S": len(source), "H": attention["heads"], "N": len(document["output_ids"])}
    wanted = {"encoder.states": "S", "decoder.embeddings": "T"}
    if (document.get("input") is None) != (document["version"] == VERSION):
        raise ValueError(f"what it received does not belong to a trace of version {document['version']}")
    if document.get("input") is None:
        wanted |= {"encoder.embeddings": "S", "encoder.inputs": "S"}
    else:
        check_input(document, arrays)
    wanted |= {"decoder.inputs": "T", "output.hidden": "T", "output.rows": "N", "output.bias": "N"}
    wanted |= {"pointer.gate": "T", "pointer.weights": "TS"}
    mixer = document["decoder"].get("mixer") or "attention"
    if mixer not in DECODER_MIXERS:
        raise ValueError(f"the decoder's mixer {quoted(mixer)} is unknown")
    for here in sorted({name.rpartition(".")[0] for name in arrays if ".mixer." in name}):
        for names in MIXERS[mixer].groups if mixer in MIXERS else ():
            if any(f"{here}.{name}" in arrays for name in names):
                wanted |= {f"{here}.{name}": "T" for name in names}
                missing = next((name for name in names if f"{here}.{name}" not in arrays), None)
                if missing:
                    raise ValueError(f"{here}.{missing} is missing")
    kind = KINDS.get(attention["type"], UNTOLD)
    for layer in attention["layers"]:
        here = f"attention.{layer}"
        wanted |= {f"{here}.{name}": letters for name, letters in {**AXES, **WORKED_AXES}.items()}
        wanted |= {f"{here}.{column.array}": column.axes for column in kind.inputs}
        needed = ["weights"]
        if f"{here}.scores" in arrays:
            needed += kind.needed
        for name in needed:
            if f"{here}.{name}" not in arrays:
                raise ValueError(f"{here}.{name} is missing")
    for name, letters in wanted.items():
        shape = tuple(sizes[letter] for letter in letters)
        if name in arrays and arrays[name].shape[: len(shape)] != shape:
            raise ValueError(f"{name} has the shape {arrays[name].shape}, which does not begin with {shape}")
    if "pointer.gate" in arrays and not all(
        "pointer" in entry for step in steps for entry in (step, step["choice"], *step["candidates"])
    ):
        raise ValueError("a step does not say what its pointer did")
    shown = {candidate["id"] for step in steps for candidate in step["candidates"]}
    if "output.rows" in arrays and not shown <= set(document["output_ids"]):
        raise ValueError("a candidate has no row in output.rows")
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name} is not finite")


def _numbers(array: np.ndarray) -> dict[str, Any]:
    # Through text: the shortest decimals that give the same float32 again.
    return {"values": array.ravel().astype("U16").astype(np.float64).tolist()}


def _base64(array: np.ndarray) -> dict[str, Any]:
    return {"base64": base64.b64encode(array.astype("<f4").tobytes()).decode("ascii")}


def _read_array(entry: dict[str, Any], path: Path, sides: dict[str, dict[str, np.ndarray]]) -> np.ndarray:
    if "values" in entry:
        with np.errstate(over="ignore"):  # infinities are refused below
            array = np.asarray(entry["values"], dtype=np.float32)
    elif "base64" in entry:
        array = np.frombuffer(base64.b64decode(entry["base64"], validate=True), dtype="<f4").astype(np.float32)
    else:
        if entry["file"] not in sides:
            sides[entry["file"]] = load_file(path.with_name(Path(entry["file"]).name))
        array = sides[entry["file"]][entry["tensor"]]
    return array.reshape(entry["shape"])


def _family(trace: Trace, place: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], Trace]]:
    """A trace and all its descendants, each with its path of child indices."""
    yield place, trace
    for index, child in enumerate(trace.children):
        yield from _family(child, (*place, index))


def _at(document: dict[str, Any], place: tuple[int, ...]) -> dict[str, Any]:
    for index in place:
        document = document["children"][index]
    return document


@cache
def _validator() -> Any:
    import jsonschema

    schema = json.loads(SCHEMA_FILE.read_text("utf-8"))
    return jsonschema.validators.validator_for(schema)(schema)


def _check_schema(document: dict[str, Any], path: Path) -> None:
    error = next(iter(sorted(_validator().iter_errors(document), key=lambda each: list(map(str, each.path)))), None)
    if error is not None:
        place = ".".join(map(str, error.absolute_path)) or "the document"
        raise ValueError(f"'{path}' is damaged: at {place}, {error.message[:200]}.")
