# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
The model of `netra-transliterate` (Nhem): Khmer words, written in Latin letters, in Khmer script.

A Keras model in the package's wheel: a bidirectional GRU reads the letters, padded to a fixed length with blanks that
it reads like letters; a GRU that starts from zeros asks it by additive attention after each step, without weights for
the query; a linear layer stands between the encoder and the attention's keys and values. Here that layer is the one of
the keys, and what it does to the values is part of the output layer: sum_j a_j (P h_j + b) = P sum_j a_j h_j + b, as
weights sum to 1. The alphabets lie in a pickle, of which plain containers alone are read.
"""

from __future__ import annotations

import collections
import io
import json
import pickle
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tokenizers import Regex, normalizers

from hf_attn_seq2seq.configuration_attn_seq2seq import AttnSeq2SeqConfig
from hf_attn_seq2seq.convert.converted import Converted
from hf_attn_seq2seq.convert.hdf5 import read_hdf5
from hf_attn_seq2seq.convert.vocabularies import IDS, Side, Specials, tokenizer_of
from hf_attn_seq2seq.convert.weights import Filling, Weights, rows_of
from hf_attn_seq2seq.messages import quoted, shortened


PACKAGE = "khmer_transliterator"
MODEL, ASSETS = "bi_gru_attention_khmer_transliterator.keras", "gru_transliteration_assets.pkl"
SPECIALS = Specials()
NAMES = {"\t": SPECIALS.start, "\n": SPECIALS.end}  # theirs for the special tokens that are letters there
BLANK = "_"  # what stands beyond a word's last letter
LONGEST = 31  # letters of a result, as many as its own search writes at most
_MOST_BYTES = 2**28  # of a file within an archive
_UNREADABLE = (OSError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error)  # what archives raise

GRU = {
    "activation": "tanh",
    "recurrent_activation": "sigmoid",
    "use_bias": True,
    "reset_after": True,
    "return_sequences": True,
}
# The layers of its model, with what must be said of each.
LAYERS: list[tuple[str, dict[str, Any]]] = [
    ("InputLayer", {}),
    ("InputLayer", {}),
    ("Embedding", {"mask_zero": False}),
    ("Embedding", {"mask_zero": False}),
    (
        "Bidirectional",
        {
            "merge_mode": "concat",
            "layer": {**GRU, "go_backwards": False},
            "backward_layer": {**GRU, "go_backwards": True},
        },
    ),
    ("GRU", {**GRU, "go_backwards": False}),
    ("TimeDistributed", {"layer": {"activation": "linear", "use_bias": True}}),
    ("AdditiveAttention", {"use_scale": True}),
    ("Concatenate", {"axis": -1}),
    ("Dense", {"activation": "softmax", "use_bias": True}),
]
# Of an alphabet: letters one by one, none left out.
ALPHABET = {"char_level": True, "lower": True, "num_words": None, "oov_token": SPECIALS.unknown}


def recognizes(source: Path) -> bool:
    """Whether this is the package's model, its folder or its wheel."""
    try:
        _files(source)
    except ValueError:
        return False
    return True


def convert(source: Path, vocabularies: Sequence[Path] = ()) -> Converted:
    """
    Read the model of `netra-transliterate`.

    Args:
        source: Its `.keras` file, beside which the alphabets lie, the folder of the installed package, or its wheel.
        vocabularies: None: the alphabets lie beside the model.

    Raises:
        ValueError: A file is missing, foreign or damaged, or vocabularies are named.
    """
    if vocabularies:
        raise ValueError("netra-transliterate has its own alphabets: leave --vocab out.")
    files = _files(source)
    assets = _read_assets(files.assets, source)
    weights = _read_model(files.model, source)
    latin, khmer = (_alphabet(assets, name, source) for name in ("eng_tokenizer", "khm_tokenizer"))
    length = assets.get("max_eng_len")
    if not isinstance(length, int) or not 0 < length < 1000:
        raise ValueError(f"'{shortened(str(source))}' does not say how long its words are: get the file again.")
    sides = (
        Side.of([BLANK, *latin], SPECIALS, str(source)),
        Side.of([SPECIALS.pad, *khmer], SPECIALS, str(source)),
    )
    sizes = [weights.shape(f"{name}/vars/0") for name in ("embedding", "embedding_1")]
    for alphabet, (rows, width) in zip((latin, khmer), sizes):
        if rows != len(alphabet) + 1 or width != sizes[0][1]:
            raise ValueError(f"'{shortened(str(source))}' has alphabets of another model: get the file again.")
    model = _filled(weights, sides, sizes)
    model.generation_config.max_new_tokens = LONGEST
    model.generation_config.num_beams = 1
    cleaned = normalizers.Sequence(
        [
            normalizers.Lowercase(),
            normalizers.Replace(Regex("[^a-z]"), ""),
            # Of a long word the last letters, and blanks after a short one.
            normalizers.Replace(Regex(f"^.*(?=.{{{length}}}$)"), ""),
            normalizers.Replace(Regex("$"), BLANK * length),
            normalizers.Replace(Regex(f"(?<=^.{{{length}}}).*$"), ""),
        ]
    )
    tokenizer = tokenizer_of(*sides, SPECIALS, "$A", (True, True), cleaned)
    told = [
        "It says the most probable letter at each step, as netra-transliterate does with beam_width=1; the package "
        "looks its results up in a dictionary, too."
    ]
    return Converted(model, tokenizer, told)


def _filled(weights: Weights, sides: tuple[Side, Side], sizes: list[tuple[int, ...]]) -> Any:
    hidden, _ = weights.shape("gru/cell/vars/1")
    half, _ = weights.shape("bidirectional/forward_layer/cell/vars/1")
    context, embedding = 2 * half, sizes[0][1]
    filling = Filling(
        AttnSeq2SeqConfig(
            vocab_size=len(sides[0].tokens),
            decoder_vocab_size=len(sides[1].tokens),
            hidden_size=hidden,
            embedding_size=embedding,
            encoder_hidden_size=context,
            attention_bias=True,
            attention_query="current",
            bridge="zeros",
            readout="concat",
            tie_word_embeddings=False,
            output_bias=True,
            dropout=0.0,
            **IDS,
        )
    )
    encoder, decoder = filling.model.model.encoder, filling.model.model.decoder
    tables = (weights.take(f"{name}/vars/0", *size) for name, size in zip(("embedding", "embedding_1"), sizes))
    filling.embeddings(*(rows_of(table, side.rows) for table, side in zip(tables, sides)))
    for cell, name in zip(encoder.stack.layers[0].cells, ("forward_layer", "backward_layer")):
        _as_torch(weights, f"bidirectional/{name}/cell/vars/", half, embedding)
        filling.cell(cell, weights, f"bidirectional/{name}/cell/vars/", "")
    steps = decoder.stack.steps
    _as_torch(weights, "gru/cell/vars/", hidden, embedding)
    filling.cell(steps.cells[0], weights, "gru/cell/vars/", "")
    between = weights.take("time_distributed/layer/vars/0", context, hidden).t()
    shift = weights.take("time_distributed/layer/vars/1", hidden)
    filling.linear(steps.attention.query_projection, torch.eye(hidden))
    filling.linear(steps.attention.key_projection, between, shift)
    filling.put(steps.attention.score_vector, weights.take("additive_attention/vars/0", hidden)[None])
    rows, bias = sizes[1][0], weights.take("dense/vars/1", sizes[1][0])
    of_state, of_context = weights.take("dense/vars/0", 2 * hidden, rows).t().split(hidden, dim=1)
    through = (of_context.double() @ between.double()).float()
    bias = (bias.double() + of_context.double() @ shift.double()).float()
    head = torch.cat([of_state, through, of_state.new_zeros(rows, embedding)], dim=1)  # the word before is not read
    filling.linear(filling.model.lm_head, rows_of(head, sides[1].rows), rows_of(bias, sides[1].rows))
    weights.finish()
    return filling.done()


def _as_torch(weights: Weights, prefix: str, hidden: int, inputs: int) -> None:
    """Keras's weights of a GRU, whose gates are update, reset and new, as torch's: reset, update and new."""

    def ordered(value: torch.Tensor) -> torch.Tensor:
        update, reset, new = value.chunk(3, dim=-1)
        return torch.cat([reset, update, new], dim=-1)

    of_inputs = weights.take(f"{prefix}0", inputs, 3 * hidden)
    of_state = weights.take(f"{prefix}1", hidden, 3 * hidden)
    biases = ordered(weights.take(f"{prefix}2", 2, 3 * hidden))
    weights.left |= {
        f"{prefix}weight_ih": ordered(of_inputs).t(),
        f"{prefix}weight_hh": ordered(of_state).t(),
        f"{prefix}bias_ih": biases[0],
        f"{prefix}bias_hh": biases[1],
    }


# --------------------------------------------------------------------------------------------------------------------
# Files
# --------------------------------------------------------------------------------------------------------------------


class _Files(NamedTuple):
    """The contents of its two files."""

    model: bytes
    assets: bytes


def _files(source: Path) -> _Files:
    """
    Both files, wherever they lie.

    Raises:
        ValueError: They do not lie there.
    """
    try:
        if source.suffix == ".whl":
            with zipfile.ZipFile(source) as wheel:
                return _Files(*(_member(wheel, f"{PACKAGE}/weights/{name}") for name in (MODEL, ASSETS)))
        if source.is_dir():
            inner = source / "weights"
            source = (inner if inner.is_dir() else source) / MODEL
        if source.suffix == ".keras":
            return _Files(source.read_bytes(), (source.parent / ASSETS).read_bytes())
    except _UNREADABLE:
        pass
    raise ValueError(
        f"'{shortened(str(source))}' is not netra-transliterate's wheel or {MODEL} with {ASSETS} beside it: name one."
    )


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > _MOST_BYTES:
        raise ValueError(f"It holds '{name}' of more than {_MOST_BYTES} bytes.")
    return archive.read(name)


def _read_model(content: bytes, source: Path) -> Weights:
    """The tensors of a `.keras` archive, by names without "layers/", if it has the layers that are known here."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            config = json.loads(_member(archive, "config.json"))
            arrays = read_hdf5(_member(archive, "model.weights.h5"))
        layers = [(layer["class_name"], layer["config"]) for layer in config["config"]["layers"]]
    except (*_UNREADABLE, ValueError, TypeError):
        raise ValueError(f"'{shortened(str(source))}' has a model that cannot be read: get it again.") from None
    if [name for name, _ in layers] != [name for name, _ in LAYERS]:
        raise ValueError(f"'{shortened(str(source))}' has other layers than netra-transliterate 1.0.")
    for (name, found), (_, wanted) in zip(layers, LAYERS):
        _compare(found, wanted, name, source)
    tensors = {
        name.removeprefix("layers/"): torch.from_numpy(value.copy())
        for name, value in arrays.items()
        if name.startswith("layers/")
    }
    return Weights(tensors, str(source))


def _compare(found: Any, wanted: Mapping[str, Any], name: str, source: Path) -> None:
    """Refuse a layer that computes something else."""
    if isinstance(found, dict) and isinstance(found.get("config"), dict):  # a layer in a layer
        found = found["config"]
    for field, value in wanted.items():
        given = found.get(field) if isinstance(found, dict) else None
        if isinstance(value, dict):
            _compare(given, value, name, source)
        elif given != value:
            raise ValueError(
                f"'{shortened(str(source))}' has a {name} with {field}={quoted(given)}, where {quoted(value)} is read."
            )


class _Plain:
    """Stands for an object, of whose class nothing runs: its fields alone."""

    def __init__(self) -> None:
        pass


class _ForeignError(Exception):
    """A pickle asks for a class that is no plain container; its name."""


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if name == "Tokenizer" and module.startswith("keras"):
            return _Plain
        if (module, name) in (("collections", "OrderedDict"), ("collections", "defaultdict")):
            return getattr(collections, name)
        if (module, name) == ("builtins", "int"):
            return int
        raise _ForeignError(f"{module}.{name}")


def _read_assets(content: bytes, source: Path) -> dict[str, Any]:
    """The alphabets' pickle, made of text, numbers and plain containers."""
    try:
        found = _PlainUnpickler(io.BytesIO(content)).load()
    except _ForeignError as error:
        raise ValueError(
            f"'{shortened(str(source))}' asks in {ASSETS} for {quoted(str(error))}, which is no plain container, and "
            "is not read."
        ) from None
    except Exception:  # whatever a damaged pickle leads to
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"'{shortened(str(source))}' has a damaged {ASSETS}: get it again.")
    return found


def _alphabet(assets: dict[str, Any], name: str, source: Path) -> list[str]:
    """The letters of a side in the order of their ids, which begin with 1."""
    fields = vars(assets[name]) if isinstance(assets.get(name), _Plain) else {}
    index = fields.get("word_index")
    known = isinstance(index, dict) and all(isinstance(number, int) for number in index.values())
    needed = NAMES if name == "khm_tokenizer" else {}
    if not known or sorted(index.values()) != list(range(1, len(index) + 1)) or not needed.keys() <= index.keys():
        raise ValueError(f"'{shortened(str(source))}' has no alphabet '{name}' in {ASSETS}: get it again.")
    for field, value in ALPHABET.items():
        if fields.get(field) != value:
            raise ValueError(
                f"'{shortened(str(source))}' has an alphabet with {field}={quoted(fields.get(field))}, where "
                f"{quoted(value)} is read."
            )
    return [NAMES.get(letter, letter) for letter in sorted(index, key=index.__getitem__)]
