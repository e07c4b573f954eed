# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Trained models from folders or from the Hub, with one sentence for what is wrong with them."""

import hashlib
import json
import math
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from huggingface_hub import file_exists
from huggingface_hub.errors import HfHubHTTPError, StrictDataclassError
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from hf_attn_seq2seq.configuration_attn_seq2seq import AttnSeq2SeqConfig
from hf_attn_seq2seq.decoding.ensemble import Ensemble
from hf_attn_seq2seq.decoding.exported import DESCRIPTION, ExportedModel
from hf_attn_seq2seq.decoding.readout import READOUT_FILE, Aligner, Readout, find_readout, keep_readout, readout_of
from hf_attn_seq2seq.decoding.safety import ADAPTER, check_files, find_file, read_settings
from hf_attn_seq2seq.messages import shortened


DEFAULT_MODEL = "en-fr-small"
PACKAGED = Path(__file__).parents[1] / "packaged"  # a folder for each model that comes with this package
_PICKLE = "pytorch_model.bin"
DTYPES = ("auto", "float32", "bfloat16", "float16")
HUB_OPTIONS = ("revision", "token", "trust_remote_code", "cache_dir", "local_files_only")
NO_CODE = {"trust_remote_code": False}  # None would ask, on the terminal
SETTINGS = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
_PATH = re.compile(r"[^\s/]*(/[^\s/]+)+/?")  # of a folder, or a name on the Hub
_ANCHORED = re.compile(r"(\.{1,2}|~[^\s/]*)?/\S+")  # what begins like a path and like no text
PADDED = 127  # tokens that a vocabulary may have beyond the tokenizer's, where it is a round number
_GENERATION = "The generation_config.json"
_SAVE = "correct it, or save the model again"
_LETTER = re.compile(r"[^\W\d_]")


class Translator(NamedTuple):
    """A model, perhaps an ensemble, and its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def load(
    name: str | Path = DEFAULT_MODEL,
    device: str | None = None,
    dtype: str = "auto",
    tokenizer: str | Path | PreTrainedTokenizerBase | None = None,
    **hub: Any,
) -> Translator:
    """
    Load a trained model and its tokenizer.

    Args:
        name: Of a model that comes with this package (see [`packaged_models`]), a folder, or a name on the Hub.
        device: Such as "cpu" or "cuda:1"; None takes a GPU where there is one.
        dtype: "float32", "bfloat16" or "float16"; "auto": as saved, but half precision as float32 on a CPU, where it
            would be slower.
        tokenizer: The model's, or where it is; None: where the model is.
        **hub: For names on the Hub: `revision`, `token`, `trust_remote_code` (False: code of a model's own is not
            run), `cache_dir` and `local_files_only`, as `from_pretrained` takes them.

    Raises:
        TypeError: There is no such option.
        ValueError: As [`load_translator`] does.
    """
    for option in hub.keys() - set(HUB_OPTIONS):
        raise TypeError(f"load() has no option '{shortened(option)}': for the Hub there are {', '.join(HUB_OPTIONS)}.")
    if isinstance(tokenizer, Path):
        tokenizer = str(tokenizer)
    return load_translator([str(name)], device, dtype, tokenizer, {**NO_CODE, **hub})


def packaged_models() -> list[str]:
    """Names of the models that come with this package."""
    return sorted(path.parent.name for path in PACKAGED.glob("*/config.json"))


def resolve(name: str) -> str:
    """The folder of a packaged model; any other name, and a folder of that name here, is left as it is."""
    return str(PACKAGED / name) if name in packaged_models() and not os.path.exists(name) else name


def is_exported(name: str) -> bool:
    """Whether it is a folder that the command `export` wrote."""
    return os.path.isfile(os.path.join(resolve(name), DESCRIPTION))


def names_model(text: str) -> bool:
    """Whether a command's argument names a model, or several with commas between them, and is no text to translate."""
    # What is nearly a packaged model's name is a slip, which loading tells of.
    packaged = packaged_models()
    return all(
        os.path.exists(name) or get_close_matches(name, packaged, cutoff=0.85) or looks_like_path(name)
        for name in text.split(",")
    )


def looks_like_path(text: str) -> bool:
    """
    Whether a text of one word is a path, or a name on the Hub, rather than words with slashes between them.

    `./folder`, `/folder` and `~/folder` are paths, and so is whatever lies in a folder that is here. Of the rest,
    `outputs/demo` and `user/model` are paths; `and/or`, `km/h` and `AC/DC`, whose parts all have at most three
    characters, `24/7`, which has no letters, and `http://...` are texts.
    """
    if not _PATH.fullmatch(text):
        return False
    if _ANCHORED.fullmatch(text) or os.path.isdir(text.partition("/")[0]):
        return True
    return _LETTER.search(text) is not None and any(len(part) > 3 for part in text.split("/"))


def load_translator(
    names: Sequence[str],
    device: str | None = None,
    dtype: str = "auto",
    tokenizer: str | PreTrainedTokenizerBase | None = None,
    hub: Mapping[str, Any] = NO_CODE,
) -> Translator:
    """
    Load a model, or several as an ensemble, for translating.

    Args:
        names: As [`load`] takes one.
        device, dtype, tokenizer, hub: As there.

    Raises:
        ValueError: A folder is missing or holds no encoder-decoder or no tokenizer, a file of it is damaged, the
            tokenizers of an ensemble differ, or there is no such device.
    """
    exported = [name for name in names if is_exported(name)]
    if exported:
        _check_exported(exported[0], len(names), device, dtype)
        device = "cpu"
    if dtype not in DTYPES:
        raise ValueError(f"There is no dtype '{shortened(dtype)}' here: choose one of {', '.join(DTYPES)}.")
    place = pick_device(device)
    if tokenizer is None:
        tokenizer = load_tokenizer(names, hub)
    else:
        for name in names:
            read_config(name, hub)
        if isinstance(tokenizer, str):
            tokenizer = read_tokenizer(tokenizer, hub)
        elif not isinstance(tokenizer, PreTrainedTokenizerBase):
            raise ValueError(
                f"What is given as tokenizer is of type {type(tokenizer).__name__}: give one, or its name."
            )
    for name in set(names) - set(exported):
        read_generation_config(name, read_config(name, hub), hub)
    models = [_load_model(resolve(name), dtype, place, hub) for name in names]
    for name, model in zip(names, models):
        keep_readout(model, resolve(name), hub)
    for name, model in zip(names, models):
        _check_generation(name, model)
        if (
            model.config.vocab_size - len(tokenizer) > PADDED
            and model.config.model_type == AttnSeq2SeqConfig.model_type
        ):
            warnings.warn(
                f"The tokenizer has {len(tokenizer)} tokens, the model '{name}' {model.config.vocab_size}: they may "
                "not belong together.",
                stacklevel=2,
            )
        if len(tokenizer) > model.config.vocab_size:
            raise ValueError(
                f"The tokenizer has {len(tokenizer)} tokens, the model '{name}' {model.config.vocab_size}: they do "
                "not belong together."
            )
    model = models[0] if len(models) == 1 else Ensemble(models)
    return Translator(model.to(place).eval(), tokenizer)  # type: ignore[arg-type]


def load_exported(folder: str | Path) -> Translator:
    """
    An exported model and its tokenizer, as [`hf_attn_seq2seq.load`] gives them.

    Raises:
        ValueError: The folder is incomplete or broken.
        ImportError: ONNX Runtime is not installed.
    """
    tokenizer = load_tokenizer([str(folder)])
    return Translator(ExportedModel(folder), tokenizer)


def load_aligner(name: str | Path, **changes: Any) -> Aligner:
    """
    Load a trained model for aligning, with the read-out that is saved beside it.

    Args:
        name: As [`load`] takes one.
        **changes: Fields of `Readout` to override the saved ones with; None keeps what is saved.

    Raises:
        ValueError: As [`load_translator`] does, or the saved read-out is damaged.
    """
    translator = load_translator([str(name)])
    readout = readout_of(translator.model)
    return Aligner(*translator, replace(readout, **{field: new for field, new in changes.items() if new is not None}))


def load_tokenizer(names: Sequence[str], hub: Mapping[str, Any] = NO_CODE) -> PreTrainedTokenizerBase:
    """The tokenizer of the models, which must be the same for all; raises as [`load_translator`] does."""
    for name in names:
        read_config(name, hub)
    tokenizers = [_load_tokenizer(name, hub) for name in names]
    for name, tokenizer in zip(names[1:], tokenizers[1:]):
        if _content(tokenizer) != _content(tokenizers[0]):
            raise ValueError(
                f"'{names[0]}' and '{name}' have different tokenizers: the models of an ensemble must share one."
            )
    return tokenizers[0]


def load_readout(name: str | Path, **hub: Any) -> Readout:
    """
    How the attention of a model is read as word alignment, by its `alignment.json`; the default where it has none.

    Args:
        name: As [`load`] takes it.
        **hub: As there.

    Raises:
        ValueError: There is no such model, or the file is not what [`save_readout`] writes.
    """
    try:
        return find_readout(resolve(str(name)), **hub) or Readout()
    except OSError as error:
        raise ValueError(
            f"The {READOUT_FILE} of '{shortened(str(name))}' cannot be read: no such folder is here, and the Hub "
            "cannot be reached or does not have this model, this revision, or it for this token."
        ) from error


def pick_device(device: str | None) -> torch.device:
    """The named device, or a GPU where there is one; a ValueError where there is no such device."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.empty(0, device=device).device
        if place.type == "meta":  # where tensors hold no numbers
            raise RuntimeError
        return place
    except (RuntimeError, AssertionError):
        raise ValueError(
            f"There is no device '{shortened(str(device))}' here: name another one, such as cpu."
        ) from None


def fingerprint(name: str) -> str:
    """What changes where the model of that name changes: a hash of the folder's files, or the Hub's commit."""
    folder = Path(resolve(name))
    if not folder.is_dir():
        config = find_file(name, "config.json", NO_CODE)  # lies in a folder that the commit names
        return f"{name}@{config.parent.name if config else None}"
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*")):
        if path.suffix in (".json", ".safetensors", ".bin", ".onnx") and path.name not in (
            "results.json",
            "training_args.bin",
        ):
            digest.update(path.name.encode())
            with path.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()


def _check_folder(name: str) -> None:
    if not name.strip():
        raise ValueError("The name of the model is empty: name a trained model's folder.")
    if os.path.isfile(name):
        raise ValueError(f"'{name}' is a file: name the folder of a trained model.")
    if not os.path.isdir(name):  # nor a name that is longer than a path may be
        return
    folder = Path(name)
    if not (folder / "config.json").is_file() and not (folder / ADAPTER).is_file():
        raise ValueError(f"'{name}' holds no trained model: there is no config.json in it.")
    _check_settings(name)


def _check_settings(folder: str) -> None:
    for file in SETTINGS:  # Transformers would go on without some of them
        if os.path.isfile(os.path.join(folder, file)):
            read_settings(Path(folder, file))


def read_config(name: str, hub: Mapping[str, Any] = NO_CODE) -> Any:
    """
    The configuration of a model, before anything large is read; `name` and `hub` as [`load`] takes them.

    Raises:
        ValueError: The model is missing, no encoder-decoder, none of this version, or [`check_files`] refuses it.
    """
    _check_folder(resolve(name))
    check_files(resolve(name), hub)
    try:
        config = AutoConfig.from_pretrained(resolve(name), **hub)
    except OSError:
        revision = f" (revision '{shortened(str(hub['revision']))}')" if hub.get("revision") else ""
        raise ValueError(
            f"There is no model '{shortened(name)}'{revision}: no such folder is here, it does not come with this "
            f"package (which has {', '.join(packaged_models())}), and it is no model of the Hub that can be reached."
            f"{_perhaps_a_text(name)}"
        ) from None
    except (ValueError, TypeError, AttributeError, StrictDataclassError) as error:
        raise ValueError(_unread(name, error)) from None
    if not config.is_encoder_decoder:
        raise ValueError(f"'{name}' is a model of type {config.model_type}: an encoder-decoder is needed.")
    return config


def read_generation_config(name: str, config: Any, hub: Mapping[str, Any] = NO_CODE) -> GenerationConfig:
    """How a model searches where nothing else is said; `config` is what [`read_config`] gave for it."""
    options = {option: value for option, value in hub.items() if option != "trust_remote_code"}
    try:
        generation = GenerationConfig.from_pretrained(resolve(name), **options)
    except OSError:
        return GenerationConfig.from_model_config(config)
    except (ValueError, TypeError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise ValueError(f"{_GENERATION} of '{name}' cannot be used ({reason}): {_SAVE}.") from None
    for field in ("num_beams", "max_length", "max_new_tokens"):
        value = getattr(generation, field, None)
        if value is not None and not (isinstance(value, int) and value >= 1):
            raise ValueError(f"{_GENERATION} of '{name}' has {field}={value!r}, which must be at least 1: {_SAVE}.")
    return generation


def _check_generation(name: str, model: PreTrainedModel) -> None:
    """A ValueError where a model of this package would never begin or end as its generation_config.json says."""
    size = getattr(model.config, "decoder_vocab_size", None)  # of other models, ids may lie beyond
    for field, value in vars(model.generation_config).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{_GENERATION} of '{name}' has {field}={value}, which is no number: {_SAVE}.")
        for token in value if isinstance(value, list) else [value]:
            if size and field.endswith("_token_id") and token is not None and not 0 <= token < size:
                raise ValueError(
                    f"{_GENERATION} of '{name}' has {field}={token}, which is outside the vocabulary of {size} "
                    f"tokens: {_SAVE}."
                )


def read_tokenizer(name: str, hub: Mapping[str, Any] = NO_CODE) -> PreTrainedTokenizerBase:
    """The tokenizer of that folder or name, or a ValueError; `hub` as [`load`] takes it."""
    _check_settings(resolve(name))
    check_files(resolve(name), hub)
    return _load_tokenizer(name, hub)


def _load_tokenizer(name: str, hub: Mapping[str, Any]) -> PreTrainedTokenizerBase:
    """The tokenizer of what was checked."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(resolve(name), **hub)
    except Exception as error:  # each kind of tokenizer fails in its own way where its files are missing
        if "custom code" in str(error):
            raise ValueError(_unread(name, error)) from None
        tokenizer = None
    if not tokenizer or not len(tokenizer):
        raise ValueError(f"'{shortened(name)}' holds no tokenizer: save it there with tokenizer.save_pretrained(...).")
    if tokenizer.pad_token is None:
        raise ValueError(
            f"The tokenizer of '{name}' has no padding token, perhaps for want of its tokenizer_config.json: save it "
            "there with tokenizer.save_pretrained(...)."
        )
    return tokenizer


def _perhaps_a_text(name: str) -> str:
    return (
        "" if looks_like_path(name) else " If it is a text to translate, put all of it into one argument, in quotes."
    )


def _unread(name: str, error: Exception) -> str:
    """What is wrong with a config.json that Transformers, or this package's configuration, does not take."""
    reason = " ".join(str(error).split())
    if "newer version" in reason:
        return f"'{name}' cannot be loaded. {reason}"
    if "does not recognize" in reason or "Unrecognized model" in reason:  # told in paragraphs
        return f"'{name}' is a model of a type that Transformers {transformers.__version__} does not know."
    if "custom code" in reason:
        return f"'{name}' needs code of its own: where you trust it, load it in Python with trust_remote_code=True."
    return (
        f"'{name}' cannot be loaded, for its config.json says what this version of hf_attn_seq2seq does not know: "
        f"{reason.rstrip('.')}; if a newer one saved it, update this one."
    )


def _check_exported(name: str, models: int, device: str | None, dtype: str) -> None:
    if models > 1:
        raise ValueError(f"'{name}' is exported: an ensemble needs the model that it was exported from.")
    if device not in (None, "cpu"):
        raise ValueError(f"'{name}' is exported, and runs on a CPU: name no other device than cpu.")
    if dtype not in ("auto", "float32"):
        raise ValueError(f"'{name}' is exported, which fixes its numbers: leave out the dtype '{dtype}'.")


def _load_model(name: str, dtype: str, device: torch.device, hub: Mapping[str, Any]) -> Any:
    if is_exported(name):
        return ExportedModel(name)
    try:
        model, found = AutoModelForSeq2SeqLM.from_pretrained(
            name,
            dtype=dtype,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # which are told below, in one sentence
            **hub,
        )
    except SafetensorError as error:
        raise ValueError(
            f"The weights of '{name}' are damaged ({error}): save, or download, the model again."
        ) from None
    except OSError as error:
        if _holds_pickle(name, hub):
            raise ValueError(
                f"'{name}' keeps its weights in a pickle ({_PICKLE}), which can run any code when it is read: if you "
                "trust whoever made it, convert it, by AutoModelForSeq2SeqLM.from_pretrained(..., "
                "use_safetensors=False).save_pretrained(...), and load the new folder."
            ) from error
        if not os.path.isdir(name):
            raise ValueError(
                f"The weights of '{name}' are not here, and the Hub cannot be reached or has no model.safetensors."
            ) from error
        raise ValueError(
            f"'{name}' holds no weights: there is no model.safetensors that fits its config.json."
        ) from error
    if missing := sorted(found["missing_keys"]):  # which would be drawn anew, at random
        raise ValueError(
            f"The weights of '{name}' lack {missing[0]} ({len(missing)} missing): save, or download, the model again."
        )
    for mismatch in found["mismatched_keys"]:
        key, saved, needed = mismatch
        raise ValueError(
            f"The weights of '{name}' do not fit its config.json ({key} is {tuple(saved)} and should be "
            f"{tuple(needed)}): save, or download, the model again."
        )
    own = model.config.model_type == AttnSeq2SeqConfig.model_type and not hasattr(model.config, "quantization_config")
    if own and (unused := sorted(found["unexpected_keys"])):  # of other models, Transformers knows some to leave out
        raise ValueError(
            f"The weights of '{name}' do not fit its config.json, which has no place for {unused[0]} ({len(unused)} "
            "such): save, or download, the model again."
        )
    for key, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.isnan().any() or (isinstance(tensor, nn.Parameter) and not torch.isfinite(tensor).all()):
            raise ValueError(
                f"The weights of '{name}' hold NaN or infinite numbers ({key}): train again, with a smaller "
                "learning rate, or go back to an earlier checkpoint."
            )
    if dtype == "auto" and device.type == "cpu" and model.dtype in (torch.float16, torch.bfloat16):
        return model.float()
    return model


def _holds_pickle(name: str, hub: Mapping[str, Any]) -> bool:
    files = (_PICKLE, f"{_PICKLE}.index.json")
    if os.path.isdir(name):
        return any(os.path.isfile(os.path.join(name, file)) for file in files)
    try:
        return any(file_exists(name, file, revision=hub.get("revision"), token=hub.get("token")) for file in files)
    except (HfHubHTTPError, OSError):  # offline, say
        return False


def _content(tokenizer: PreTrainedTokenizerBase) -> list[Any]:
    """What decides about ids; padding and truncation, which a use of the tokenizer leaves behind, do not."""
    if not tokenizer.is_fast:
        return [tokenizer.get_vocab()]
    sides = [tokenizer, getattr(tokenizer, "target", tokenizer)]
    contents = [json.loads(side.backend_tokenizer.to_str()) for side in sides]
    return [{**content, "padding": None, "truncation": None} for content in contents]
