# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Trained models from folders or from the Hub, with one sentence for what is wrong with them."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from hf_attn_seq2seq.decoding.ensemble import Ensemble


class Translator(NamedTuple):
    """A model, perhaps an ensemble, and its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def load_translator(names: Sequence[str], device: str | None = None, dtype: str = "auto") -> Translator:
    """
    Load a model, or several as an ensemble, for translating.

    Args:
        names: Folders, or names on the Hub.
        device: Such as "cpu" or "cuda:1"; None takes a GPU where there is one.
        dtype: "float32", "bfloat16" or "float16"; "auto": as saved.

    Raises:
        ValueError: A folder is missing or holds no encoder-decoder or no tokenizer, the tokenizers of an ensemble
            differ, or there is no such device.
    """
    place = pick_device(device)
    tokenizer = load_tokenizer(names)
    models = [_load_model(name, dtype) for name in names]
    for name, model in zip(names, models):
        if len(tokenizer) > model.config.vocab_size:
            raise ValueError(
                f"The tokenizer of '{name}' has {len(tokenizer)} tokens, its model {model.config.vocab_size}: they do "
                "not belong together."
            )
    model = models[0] if len(models) == 1 else Ensemble(models)
    return Translator(model.to(place).eval(), tokenizer)  # type: ignore[arg-type]


def load_tokenizer(names: Sequence[str]) -> PreTrainedTokenizerBase:
    """The tokenizer of the models, which must be the same for all; raises as [`load_translator`] does."""
    for name in names:
        _check_folder(name)
    tokenizers = [_load_tokenizer(name) for name in names]
    for name, tokenizer in zip(names[1:], tokenizers[1:]):
        if _content(tokenizer) != _content(tokenizers[0]):
            raise ValueError(
                f"'{names[0]}' and '{name}' have different tokenizers: the models of an ensemble must share one."
            )
    return tokenizers[0]


def pick_device(device: str | None) -> torch.device:
    """The named device, or a GPU where there is one; a ValueError where there is no such device."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError):
        raise ValueError(f"There is no device '{device}' here: name another one, such as cpu.") from None


def fingerprint(name: str) -> str:
    """What changes where the model of that name changes: a hash of the folder's files, or the Hub's commit."""
    folder = Path(name)
    if not folder.is_dir():
        return f"{name}@{getattr(AutoConfig.from_pretrained(name), '_commit_hash', None)}"
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*")):
        if path.suffix in (".json", ".safetensors", ".bin") and path.name not in ("results.json", "training_args.bin"):
            digest.update(path.name.encode())
            with path.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()


def _check_folder(name: str) -> None:
    folder = Path(name)
    if folder.is_file():
        raise ValueError(f"'{name}' is a file: name the folder of a trained model.")
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise ValueError(f"'{name}' holds no trained model: there is no config.json in it.")


def _load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    try:
        config = AutoConfig.from_pretrained(name)
    except OSError:
        raise ValueError(
            f"There is no model '{name}': no such folder is here, and it is no model of the Hub that can be reached."
        ) from None
    if not config.is_encoder_decoder:
        raise ValueError(f"'{name}' is a model of type {config.model_type}: an encoder-decoder is needed.")
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
    except Exception:  # each kind of tokenizer fails in its own way where its files are missing
        tokenizer = None
    if not tokenizer or not len(tokenizer):
        raise ValueError(f"'{name}' holds no tokenizer: save it there with tokenizer.save_pretrained(...).")
    return tokenizer


def _load_model(name: str, dtype: str) -> Any:
    return AutoModelForSeq2SeqLM.from_pretrained(name, dtype=dtype)


def _content(tokenizer: PreTrainedTokenizerBase) -> list[Any]:
    """What decides about ids; padding and truncation, which a use of the tokenizer leaves behind, do not."""
    if not tokenizer.is_fast:
        return [tokenizer.get_vocab()]
    sides = [tokenizer, getattr(tokenizer, "target", tokenizer)]
    contents = [json.loads(side.backend_tokenizer.to_str()) for side in sides]
    return [{**content, "padding": None, "truncation": None} for content in contents]
