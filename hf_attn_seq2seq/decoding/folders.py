# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What is checked in a model's folder, whatever runs the model. Importing this needs no PyTorch."""

import hashlib
import math
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hf_attn_seq2seq.decoding import tokens
from hf_attn_seq2seq.decoding.names import resolve
from hf_attn_seq2seq.decoding.safety import ADAPTER, NO_CODE, WEIGHTS, find_file, read_settings
from hf_attn_seq2seq.graphs.format import GRAPH_FILE, READOUT_FILE
from hf_attn_seq2seq.messages import quoted
from hf_attn_seq2seq.modality import FRONTEND_TYPES, TEXT, Modality


FILES = (  # that a model's folder in the cache of the Hub may have, beside the configuration
    WEIGHTS,
    GRAPH_FILE,
    READOUT_FILE,
    "generation_config.json",
    tokens.FILE,
    tokens.CONFIG_FILE,
    tokens.TARGET_FILE,
)
SETTINGS = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "processor_config.json",
    "preprocessor_config.json",
)
PADDED = 127  # tokens that a vocabulary may have beyond the tokenizer's, where it is a round number
GENERATION = "The generation_config.json"
_DERIVED = ("results.json", "training_args.bin", GRAPH_FILE)
SAVE = "correct it, or save the model again"


def check_folder(name: str) -> None:
    """
    Check a folder before anything in it is used; a name that is not one of a folder passes.

    Raises:
        ValueError: It is a file, or has no model, or a file of settings in it is damaged.
    """
    if not name.strip():
        raise ValueError("The name of the model is empty: name a trained model's folder.")
    if os.path.isfile(name):
        raise ValueError(f"'{name}' is a file: give the folder of a trained model.")
    if not os.path.isdir(name):  # nor a name that is longer than a path may be
        return
    folder = Path(name)
    if not (folder / "config.json").is_file() and not (folder / ADAPTER).is_file():
        raise ValueError(f"'{name}' does not contain a trained model: config.json is missing.")
    check_settings(name)


def fetch_all(name: str, config: Path, hub: Mapping[str, Any]) -> Path | None:
    """
    The folder of a model with all its files, which are fetched if it is in the cache of the Hub; None if the Hub does
    not have its weights in one file.

    Args:
        name: A folder, or a name on the Hub.
        config: Its `config.json`, as found by [`find_file`].
        hub: As for `load`.
    """
    if not os.path.isdir(name):
        commit = config.parent.name
        for file in FILES:
            find_file(name, file, {**hub, "revision": commit})
        if not (config.parent / WEIGHTS).is_file():
            return None
    return config.parent


def check_settings(folder: str) -> None:
    """Raise a ValueError if a file of settings in the folder is damaged."""
    for file in SETTINGS:  # Transformers would continue without some of them
        if os.path.isfile(os.path.join(folder, file)):
            read_settings(Path(folder, file))


def check_reads(name: str, config: Any, *modalities: Modality, instead: str | None = None) -> None:
    """
    Check that a model reads what a command gives it.

    Args:
        name: Of the model.
        config: Its configuration, of this package or another, or settings of its file.
        modalities: Those that fit.
        instead: The command that takes other models too; None: that which runs them.

    Raises:
        ValueError: The model reads something else.
    """
    settings = config if isinstance(config, Mapping) else vars(config)
    frontend = settings.get("frontend") or "tokens"
    modality = FRONTEND_TYPES.get(frontend)
    if modality not in modalities:
        read = modality.reads if modality else quoted(str(frontend))
        command = instead or ("translate" if modality == TEXT else "transcribe")
        wanted = " or ".join(each.reads for each in modalities)
        raise ValueError(f"'{name}' reads {read}, not {wanted}: use hf-attn-seq2seq {command}.")


def try_it(folder: str | os.PathLike[str]) -> str:
    """What to do with a model that was just written, by its `config.json`."""
    frontend = read_settings(Path(folder, "config.json")).get("frontend") or "tokens"
    given = 'translate {} "..."' if FRONTEND_TYPES.get(frontend) == TEXT else "transcribe {} FILE"
    return f"Try it: hf-attn-seq2seq {given.format(folder)}"


def check_search_settings(name: str, settings: Mapping[str, Any]) -> None:
    """Raise a ValueError if the `generation_config.json` of the model has no possible search."""
    for field in ("num_beams", "max_length", "max_new_tokens"):
        value = settings.get(field)
        if value is not None and not (isinstance(value, int) and value >= 1):
            raise ValueError(
                f"{GENERATION} of '{name}' has {field}={quoted(value)}, which must be at least 1: {SAVE}."
            )


def check_search_tokens(name: str, settings: Mapping[str, Any], size: int | None) -> None:
    """
    Raise a ValueError if, by its `generation_config.json`, a model would never begin or end.

    Args:
        size: Tokens in the vocabulary of the target; None: of other models, ids may lie beyond.
    """
    for field, value in settings.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{GENERATION} of '{name}' has {field}={value}, which is no number: {SAVE}.")
        for token in value if isinstance(value, list) else [value]:
            if size and field.endswith("_token_id") and token is not None and not 0 <= token < size:
                raise ValueError(
                    f"{GENERATION} of '{name}' has {field}={token}, which is outside the vocabulary of {size} "
                    f"tokens: {SAVE}."
                )


def check_vocabulary(name: str, tokens: int, size: int, own: bool) -> None:
    """
    Check that a tokenizer and a model may belong together, with a warning where this is doubtful.

    Args:
        name: Of the model.
        tokens: Of the tokenizer.
        size: Of the model's vocabulary.
        own: Whether the model is one of this package.

    Raises:
        ValueError: The tokenizer has more tokens than the model.
    """
    if own and size - tokens > PADDED:
        warnings.warn(
            f"The tokenizer has {tokens} tokens, the model '{name}' {size}: they may not belong together.",
            stacklevel=3,
        )
    if tokens > size:
        raise ValueError(
            f"The tokenizer has {tokens} tokens but the model '{name}' has {size}: use the tokenizer that the model "
            "was trained with."
        )


def fingerprint(name: str) -> str:
    """A value that changes whenever the model does: a hash of the folder's files, or the commit on the Hub."""
    folder = Path(resolve(name))
    if not folder.is_dir():
        config = find_file(name, "config.json", NO_CODE)  # its folder is named after the commit
        return f"{name}@{config.parent.name if config else None}"
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*")):
        if path.suffix in (".json", ".safetensors", ".bin", ".onnx") and path.name not in _DERIVED:
            digest.update(path.name.encode())
            with path.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()
