# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Checks before a model is loaded: settings that name files elsewhere, or code, are refused.

Transformers follows several names that it finds in a model's settings: shards of the weights, an adapter's base model,
versioned configurations and tokenizers, attention kernels. A downloaded model must not decide what is read outside its
folder or which code is run.
"""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hf_attn_seq2seq.messages import quoted, shortened


HUB_OPTIONS = ("revision", "token", "trust_remote_code", "cache_dir", "local_files_only")
NO_CODE = {"trust_remote_code": False}  # None would ask, on the terminal
ADAPTER = "adapter_config.json"
WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
# Settings in which Transformers looks up the names of other settings, by version.
_VERSIONED = {"config.json": "configuration_files", "tokenizer_config.json": "fast_tokenizer_files"}
_KERNELS = ("attn_implementation", "_attn_implementation", "experts_implementation", "_experts_implementation")


def is_plain(name: object, ending: str = "") -> bool:
    """Whether it is a plain file name, not a path, on any operating system."""
    if not isinstance(name, str) or set(name) & set("/\\:\0"):
        return False
    return name.strip(". ") != "" and name.endswith(ending)


def find_file(name: str, file: str, hub: Mapping[str, Any]) -> Path | None:
    """A file of a model, downloaded if it is on the Hub; None if it does not exist or the Hub cannot be reached."""
    if os.path.isdir(name):
        path = Path(name, file)
        return path if path.is_file() else None
    from transformers.utils import cached_file

    options = {option: value for option, value in hub.items() if option != "trust_remote_code"}
    try:
        found = cached_file(
            name,
            file,
            _raise_exceptions_for_gated_repo=False,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
            **options,
        )
    except (OSError, ValueError):  # no such model, which loading reports
        return None
    return Path(found) if found else None


def read_settings(path: Path) -> dict[str, Any]:
    """Read a JSON file of settings; a ValueError if it is damaged."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:  # also for bytes that are not text
        raise ValueError(f"'{path}' is damaged ({error}): save or download the model again.") from None
    except RecursionError:
        raise ValueError(f"'{path}' is damaged (it is nested too deeply): download the model again.") from None
    if not isinstance(content, dict):
        raise ValueError(f"'{path}' is damaged (it is not a mapping): save or download the model again.")
    return content


def check_files(name: str, hub: Mapping[str, Any]) -> None:
    """
    Check those files of a model or a tokenizer that determine what else is read or run.

    Args:
        name: A folder, or a name on the Hub.
        hub: As for `load`.

    Raises:
        ValueError: A file is damaged, names a file outside its folder, or requests code; or there is an adapter.
    """
    if find_file(name, ADAPTER, hub):  # Transformers would load its base model, wherever that is, and apply it
        raise ValueError(
            f"'{name}' is an adapter ({ADAPTER}): merge it into its model with PeftModel.from_pretrained(...)"
            ".merge_and_unload().save_pretrained(...), and load the new folder."
        )
    for file, versions in _VERSIONED.items():
        path = find_file(name, file, hub)
        settings = read_settings(path) if path else {}
        for other in settings.get(versions) or []:
            if not is_plain(other, ".json"):
                raise ValueError(_elsewhere(path, other))
        if file == "config.json":
            _check_weights(name, path, settings.get("transformers_weights"), hub)
            if not hub.get("trust_remote_code"):
                _check_kernels(name, settings)


def weight_files(name: str, hub: Mapping[str, Any]) -> list[Path]:
    """
    The files that the weights of a model are read from, downloaded if they are on the Hub.

    Args:
        name: A folder, or a name on the Hub, that [`check_files`] accepts.
        hub: As for `load`.
    """
    config = find_file(name, "config.json", hub)
    named = read_settings(config).get("transformers_weights") if config else None
    files = (find_file(name, file, hub) for file in ([named] if named else [WEIGHTS, WEIGHTS_INDEX]))
    found = next(filter(None, files), None)
    if found is None or not found.name.endswith(".index.json"):
        return [found] if found else []
    shards = (find_file(name, file, hub) for file in sorted(set(read_settings(found)["weight_map"].values())))
    return list(filter(None, shards))


def _check_weights(name: str, config: Path | None, named: Any, hub: Mapping[str, Any]) -> None:
    """Check the names of weight files: those in config.json instead of the usual ones, and the shards of an index."""
    if named is not None and not is_plain(named, ".safetensors") and not is_plain(named, ".safetensors.index.json"):
        raise ValueError(_elsewhere(config, named))
    index = named or WEIGHTS_INDEX
    if not index.endswith(".index.json"):
        return
    if named is None and os.path.isfile(single := os.path.join(name, WEIGHTS)):  # Transformers reads this one
        shards = Path(name) / WEIGHTS_INDEX
        if shards.is_file() and shards.stat().st_mtime > os.stat(single).st_mtime:
            raise ValueError(
                f"'{name}' has its weights twice, and {WEIGHTS}, which would be loaded, is older than the shards of "
                f"{WEIGHTS_INDEX}: remove {WEIGHTS}, or the shards and their index."
            )
        return
    path = find_file(name, index, hub)
    if path is None:
        return
    shards = read_settings(path).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise ValueError(f"'{path}' is damaged (it has no weight_map): save or download the model again.")
    for file in shards.values():
        if not is_plain(file, ".safetensors"):
            raise ValueError(_elsewhere(path, file))
    for file in sorted(set(shards.values())):
        if Path(name).is_dir() and not (Path(name) / file).is_file():
            raise ValueError(f"'{name}' lacks '{file}', listed in {path.name}: save or download the model again.")


def _check_kernels(name: str, settings: Any) -> None:
    """An attention implementation named like a repository is code from there, if `kernels` is installed."""
    for key, value in _entries(settings):
        for kernel in value.values() if isinstance(value, dict) else [value]:
            if key in _KERNELS and isinstance(kernel, str) and "/" in kernel:
                raise ValueError(
                    f"'{name}' requests code from the Hub (its config.json has {key}: '{shortened(kernel)}'): remove "
                    "that, or, if you trust it, load it in Python with trust_remote_code=True."
                )


def _entries(settings: Any) -> Iterator[tuple[str, Any]]:
    """All keys and values at any depth."""
    if isinstance(settings, dict):
        for key, value in settings.items():
            yield key, value
            yield from _entries(value)
    elif isinstance(settings, list):
        for value in settings:
            yield from _entries(value)


def _elsewhere(path: Path | None, file: object) -> str:
    return (
        f"'{path}' names {quoted(str(file))}, but may only name .json and .safetensors files in the same folder: "
        "download the model again, from a source that you trust."
    )
