# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Loading trained models from folders or the Hub, with one-sentence error messages."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
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
    AutoProcessor,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

import hf_attn_seq2seq.registration  # noqa: F401  (whoever loads a model needs our classes)
from hf_attn_seq2seq.configuration_attn_seq2seq import AttnSeq2SeqConfig
from hf_attn_seq2seq.decoding.ensemble import Ensemble
from hf_attn_seq2seq.decoding.exported import ExportedModel
from hf_attn_seq2seq.decoding.folders import (
    GENERATION,
    SAVE,
    check_folder,
    check_reads,
    check_search_settings,
    check_search_tokens,
    check_settings,
    check_vocabulary,
)
from hf_attn_seq2seq.decoding.names import (
    DEFAULT_MODEL,
    DTYPES,
    is_exported,
    looks_like_path,
    packaged_models,
    resolve,
)
from hf_attn_seq2seq.decoding.readout import Aligner, Readout, find_readout, keep_readout, readout_of
from hf_attn_seq2seq.decoding.safety import HUB_OPTIONS, NO_CODE, check_files
from hf_attn_seq2seq.graphs.format import READOUT_FILE
from hf_attn_seq2seq.messages import shortened
from hf_attn_seq2seq.modality import AUDIO, IMAGE, TEXT, modality_of
from hf_attn_seq2seq.processing_attn_seq2seq import AttnSeq2SeqProcessor


_PICKLE = "pytorch_model.bin"


class Translator(NamedTuple):
    """A model or an ensemble, and its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


class Recognizer(NamedTuple):
    """A model that hears or sees, and its processor."""

    model: PreTrainedModel
    processor: AttnSeq2SeqProcessor


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
        name: The name of a model included in this package (see [`packaged_models`]), a folder, or a name on the Hub.
        device: Such as "cpu" or "cuda:1"; None: a GPU if available.
        dtype: "float32", "bfloat16" or "float16"; "auto": as saved, except that half precision becomes float32 on a
            CPU, where it would be slower.
        tokenizer: The model's tokenizer, or its folder or name; None: that of the model.
        **hub: Options of `from_pretrained` for names on the Hub: `revision`, `token`, `trust_remote_code` (False:
            custom code is not run), `cache_dir` and `local_files_only`.

    Raises:
        TypeError: An option is unknown.
        ValueError: As for [`load_translator`].
    """
    for option in hub.keys() - set(HUB_OPTIONS):
        raise TypeError(f"load() has no option '{shortened(option)}': for the Hub it has {', '.join(HUB_OPTIONS)}.")
    if isinstance(tokenizer, Path):
        tokenizer = str(tokenizer)
    return load_translator([str(name)], device, dtype, tokenizer, {**NO_CODE, **hub})


def load_translator(
    names: Sequence[str],
    device: str | None = None,
    dtype: str = "auto",
    tokenizer: str | PreTrainedTokenizerBase | None = None,
    hub: Mapping[str, Any] = NO_CODE,
) -> Translator:
    """
    Load a model, or several as an ensemble, for translation.

    Args:
        names: As for [`load`], one or more.
        device, dtype, tokenizer, hub: As for [`load`].

    Raises:
        ValueError: A folder is missing, has no encoder-decoder or no tokenizer, or contains a damaged file; the
            tokenizers of an ensemble differ, or one of its models hears or sees; or the device is not available.
    """
    exported = [name for name in names if is_exported(name)]
    if exported:
        _check_exported(exported[0], len(names), device, dtype)
        device = "cpu"
    if dtype not in DTYPES:
        raise ValueError(f"The dtype '{shortened(dtype)}' is unknown: choose one of {', '.join(DTYPES)}.")
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
                f"tokenizer is of type {type(tokenizer).__name__}: give a tokenizer, or its folder or name."
            )
    for name in names if len(names) > 1 else ():
        modality = modality_of(read_config(name, hub))
        if modality != TEXT:
            raise ValueError(
                f"'{name}' reads {modality.reads}, and the models of an ensemble must read text: give it alone."
            )
    for name in set(names) - set(exported):
        read_generation_config(name, read_config(name, hub), hub)
    models = [_load_model(resolve(name), dtype, place, hub) for name in names]
    for name, model in zip(names, models):
        keep_readout(model, resolve(name), hub)
    for name, model in zip(names, models):
        check_search_tokens(name, vars(model.generation_config), getattr(model.config, "decoder_vocab_size", None))
        own = model.config.model_type == AttnSeq2SeqConfig.model_type
        check_vocabulary(name, len(tokenizer), model.config.vocab_size, own)
    model = models[0] if len(models) == 1 else Ensemble(models)
    return Translator(model.to(place).eval(), tokenizer)  # type: ignore[arg-type]


def load_recognizer(
    name: str | Path, device: str | None = None, dtype: str = "auto", hub: Mapping[str, Any] = NO_CODE
) -> Recognizer:
    """
    Load a model that hears or sees, and its processor.

    Args:
        name, device, dtype, hub: As for [`load_translator`].

    Raises:
        ValueError: As for [`load_translator`]; the model reads text; or its processor is missing or does not fit.
    """
    name = str(name)
    config = read_config(name, hub)
    check_reads(name, config, AUDIO, IMAGE)
    processor = read_processor(name, config, hub)
    return Recognizer(load_translator([name], device, dtype, processor.tokenizer, hub).model, processor)


def load_exported(folder: str | Path) -> Translator:
    """
    Load an exported model and its tokenizer, like [`hf_attn_seq2seq.load`].

    Raises:
        ValueError: The folder is incomplete or damaged.
        ImportError: ONNX Runtime is not installed.
    """
    tokenizer = load_tokenizer([str(folder)])
    return Translator(ExportedModel(folder), tokenizer)


def load_aligner(name: str | Path, **changes: Any) -> Aligner:
    """
    Load a trained model for word alignment, with the read-out saved in its folder.

    Args:
        name: As for [`load`].
        **changes: Fields that override those of the saved `Readout`; None keeps the saved value.

    Raises:
        ValueError: As for [`load_translator`], or the saved read-out is damaged.
    """
    check_reads(str(name), read_config(str(name)), TEXT)
    translator = load_translator([str(name)])
    readout = readout_of(translator.model)
    return Aligner(*translator, replace(readout, **{field: new for field, new in changes.items() if new is not None}))


def load_tokenizer(names: Sequence[str], hub: Mapping[str, Any] = NO_CODE) -> PreTrainedTokenizerBase:
    """The tokenizer of the models, which must be the same for all; raises like [`load_translator`]."""
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
    The read-out in a model's `alignment.json`: how word alignment is read from its attention. The default if the model
    has no such file.

    Args:
        name: As for [`load`].
        **hub: As for [`load`].

    Raises:
        ValueError: The model does not exist, or the file was not written by [`save_readout`].
    """
    try:
        return find_readout(resolve(str(name)), **hub) or Readout()
    except OSError as error:
        raise ValueError(
            f"The {READOUT_FILE} of '{shortened(str(name))}' cannot be read: there is no such folder, and the Hub "
            "cannot be reached or does not offer this model or revision with this token."
        ) from error


def pick_device(device: str | None) -> torch.device:
    """The named device, or by default a GPU if available; a ValueError if the device is not available."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.empty(0, device=device).device
        if place.type == "meta":  # where tensors hold no numbers
            raise RuntimeError
        return place
    except (RuntimeError, AssertionError):
        raise ValueError(
            f"The device '{shortened(str(device))}' is not available: choose another, such as cpu."
        ) from None


def read_config(name: str, hub: Mapping[str, Any] = NO_CODE) -> Any:
    """
    Read the configuration of a model, before anything large is read; `name` and `hub` as for [`load`].

    Raises:
        ValueError: The model is missing, is not an encoder-decoder, needs another version, or is refused by
            [`check_files`].
    """
    check_folder(resolve(name))
    check_files(resolve(name), hub)
    try:
        config = AutoConfig.from_pretrained(resolve(name), **hub)
    except OSError:
        revision = f" (revision '{shortened(str(hub['revision']))}')" if hub.get("revision") else ""
        raise ValueError(
            f"There is no model '{shortened(name)}'{revision}: it is not a folder, it is not included in this package "
            f"(which has {', '.join(packaged_models())}), and it cannot be found on the Hub."
            f"{_perhaps_a_text(name)}"
        ) from None
    except (ValueError, TypeError, AttributeError, StrictDataclassError) as error:
        raise ValueError(_unread(name, error)) from None
    if not config.is_encoder_decoder:
        raise ValueError(f"'{name}' is a model of type {config.model_type}: give an encoder-decoder.")
    return config


def read_generation_config(name: str, config: Any, hub: Mapping[str, Any] = NO_CODE) -> GenerationConfig:
    """The default search of a model; `config` is the result of [`read_config`]."""
    options = {option: value for option, value in hub.items() if option != "trust_remote_code"}
    try:
        generation = GenerationConfig.from_pretrained(resolve(name), **options)
    except OSError:
        return GenerationConfig.from_model_config(config)
    except (ValueError, TypeError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise ValueError(f"{GENERATION} of '{name}' cannot be used ({reason}): {SAVE}.") from None
    check_search_settings(name, vars(generation))
    return generation


def read_tokenizer(name: str, hub: Mapping[str, Any] = NO_CODE) -> PreTrainedTokenizerBase:
    """The tokenizer of that folder or name, or a ValueError; `hub` as for [`load`]."""
    check_settings(resolve(name))
    check_files(resolve(name), hub)
    return _load_tokenizer(name, hub)


def read_processor(name: str, config: Any, hub: Mapping[str, Any] = NO_CODE) -> AttnSeq2SeqProcessor:
    """
    The processor of a model that hears or sees; `config` is the result of [`read_config`], `hub` as for [`load`].

    Raises:
        ValueError: It is missing or damaged, or does not fit the model.
        ImportError: Pillow is not installed, which pictures need.
    """
    try:
        processor = AutoProcessor.from_pretrained(resolve(name), **hub)
    except ImportError as error:
        raise ImportError("Pictures need Pillow: run pip install 'hf_attn_seq2seq[image]'.") from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        reason = shortened(" ".join(str(error).split()).rstrip("."))
        raise ValueError(f"The processor of '{name}' cannot be used ({reason}): {SAVE}.") from error
    if not isinstance(processor, AttnSeq2SeqProcessor):
        raise ValueError(f"'{name}' has no processor: save it there with processor.save_pretrained(...).")
    check_processor(processor, config, f"The processor of '{name}'")
    return processor


def check_processor(processor: AttnSeq2SeqProcessor, config: Any, name: str = "The processor") -> None:
    """
    Check that a processor makes what a model that hears or sees reads.

    Args:
        processor: Of a model.
        config: The configuration of a model of this package.
        name: What the message calls the processor.

    Raises:
        ValueError: The processor does not fit.
    """
    if processor.hears:
        part = processor.feature_extractor
        pairs = {"frames of {} numbers": (part.feature_size, config.num_mel_bins)}
    else:
        part = processor.image_processor
        height = part.height if config.image_height is None else config.image_height
        pairs = {
            "pictures of {} channels": (part.channels, config.image_channels),
            "pictures {} pixels high": (part.height, height),
        }
    made = "sounds" if processor.hears else "pictures"
    modality = modality_of(config)
    if processor.hears != (modality == AUDIO):
        pairs = {"{}": (made, modality.reads)}
    for words, (own, needed) in pairs.items():
        if own != needed:
            raise ValueError(
                f"{name} is for {words.format(own)}, and the model reads {words.format(needed)}: "
                "use the processor that the model was trained with."
            )


def save_reader(name: str, translator: Translator, folder: Path) -> None:
    """
    Save what turns the source of a model into its inputs: the tokenizer, or the processor, which has the tokenizer.

    Args:
        name: The model's, as for [`load`].
        translator: What was loaded by that name.
        folder: Where a copy of the model is saved.
    """
    if modality_of(translator.model.config) == TEXT:
        translator.tokenizer.save_pretrained(folder)
    else:
        read_processor(name, translator.model.config).save_pretrained(folder)


def _load_tokenizer(name: str, hub: Mapping[str, Any]) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder or name that was checked."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(resolve(name), **hub)
    except Exception as error:  # each kind of tokenizer fails differently if its files are missing
        if "custom code" in str(error):
            raise ValueError(_unread(name, error)) from None
        tokenizer = None
    if not tokenizer or not len(tokenizer):
        raise ValueError(f"'{shortened(name)}' has no tokenizer: save it there with tokenizer.save_pretrained(...).")
    if tokenizer.pad_token is None:
        raise ValueError(
            f"The tokenizer of '{name}' has no padding token (is its tokenizer_config.json missing?): save it "
            "there with tokenizer.save_pretrained(...)."
        )
    return tokenizer


def _perhaps_a_text(name: str) -> str:
    return "" if looks_like_path(name) else " To translate it as text, give the whole text as one argument, in quotes."


def _unread(name: str, error: Exception) -> str:
    """What is wrong with a config.json that Transformers, or this package's configuration, does not accept."""
    reason = " ".join(str(error).split())
    if "newer version" in reason:
        return f"'{name}' cannot be loaded. {reason}"
    if "does not recognize" in reason or "Unrecognized model" in reason:  # the original message has several paragraphs
        if (Path(name) / "model.bin").is_file() and any(Path(name).glob("*_vocabulary.json")):
            return f"'{name}' is a model for CTranslate2: run it with ctranslate2.Translator."
        return f"'{name}' is a model of a type that Transformers {transformers.__version__} does not know."
    if "custom code" in reason:
        return f"'{name}' needs custom code: if you trust it, load it in Python with trust_remote_code=True."
    return (
        f"'{name}' cannot be loaded, because this version of hf_attn_seq2seq does not accept its config.json: "
        f"{reason.rstrip('.')}; if a newer version saved it, update this package."
    )


def _check_exported(name: str, models: int, device: str | None, dtype: str) -> None:
    if models > 1:
        raise ValueError(f"'{name}' is exported: an ensemble needs the model that it was exported from.")
    if device not in (None, "cpu"):
        raise ValueError(f"'{name}' is exported and runs on the CPU: use the device cpu.")
    if dtype not in ("auto", "float32"):
        raise ValueError(f"'{name}' is exported, which fixes its data type: leave out the dtype '{dtype}'.")


def _load_model(name: str, dtype: str, device: torch.device, hub: Mapping[str, Any]) -> Any:
    if is_exported(name):
        return ExportedModel(name)
    try:
        model, found = AutoModelForSeq2SeqLM.from_pretrained(
            name,
            dtype=dtype,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported below in one sentence
            **hub,
        )
    except SafetensorError as error:
        raise ValueError(f"The weights of '{name}' are damaged ({error}): save or download the model again.") from None
    except OSError as error:
        if _holds_pickle(name, hub):
            raise ValueError(
                f"'{name}' has its weights in a pickle file ({_PICKLE}), which can run arbitrary code when it is "
                "loaded: if you trust its source, convert it with AutoModelForSeq2SeqLM.from_pretrained(..., "
                "use_safetensors=False).save_pretrained(...), and load the new folder."
            ) from error
        if not os.path.isdir(name):
            raise ValueError(
                f"The weights of '{name}' are not in the cache, and the Hub cannot be reached or has no "
                "model.safetensors."
            ) from error
        raise ValueError(
            f"'{name}' has no weights: there is no model.safetensors that matches its config.json."
        ) from error
    if missing := sorted(found["missing_keys"]):  # they would be initialized randomly
        raise ValueError(
            f"The weights of '{name}' lack {missing[0]} ({len(missing)} missing): save or download the model again."
        )
    for mismatch in found["mismatched_keys"]:
        key, saved, needed = mismatch
        raise ValueError(
            f"The weights of '{name}' do not match its config.json ({key} is {tuple(saved)} and should be "
            f"{tuple(needed)}): save or download the model again."
        )
    own = model.config.model_type == AttnSeq2SeqConfig.model_type and not hasattr(model.config, "quantization_config")
    if own and (unused := sorted(found["unexpected_keys"])):  # for other models, Transformers knows which to ignore
        raise ValueError(
            f"The weights of '{name}' do not match its config.json, which has no parameter {unused[0]} ({len(unused)} "
            "unexpected): save or download the model again."
        )
    for key, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.isnan().any() or (isinstance(tensor, nn.Parameter) and not torch.isfinite(tensor).all()):
            raise ValueError(
                f"The weights of '{name}' contain NaN or infinite numbers ({key}): train again, with a smaller "
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
    except (HfHubHTTPError, OSError):  # for example offline
        return False


def _content(tokenizer: PreTrainedTokenizerBase) -> list[Any]:
    """The parts that determine ids; padding and truncation, which using a tokenizer changes, do not."""
    if not tokenizer.is_fast:
        return [tokenizer.get_vocab()]
    sides = [tokenizer, getattr(tokenizer, "target", tokenizer)]
    contents = [json.loads(side.backend_tokenizer.to_str()) for side in sides]
    return [{**content, "padding": None, "truncation": None} for content in contents]
