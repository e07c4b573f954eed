# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Training that starts from a trained model: from its configuration, its tokenizer and its weights."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from tokenizers import decoders
from transformers import PreTrainedTokenizerBase

from hf_attn_seq2seq import AttnSeq2SeqConfig, AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.data.features import FeatureSettings, media_processor
from hf_attn_seq2seq.data.subword_sampling import SubwordSampler
from hf_attn_seq2seq.decoding.loading import load_tokenizer, load_translator, read_config, read_processor
from hf_attn_seq2seq.decoding.names import is_exported, packaged_models, resolve
from hf_attn_seq2seq.decoding.readout import Readout, find_readout
from hf_attn_seq2seq.decoding.safety import NO_CODE, find_file, weight_files
from hf_attn_seq2seq.evaluation.results import checksums
from hf_attn_seq2seq.messages import quoted, shortened
from hf_attn_seq2seq.modality import modality_of
from hf_attn_seq2seq.settings import nearest
from hf_attn_seq2seq.training.recipe import MODEL_FIELDS, Recipe


# The configuration without what loading and saving add to it.
_FIELDS = [name for name in AttnSeq2SeqConfig.__annotations__ if name != "format_version"]
_DERIVED = [name for name in MODEL_FIELDS if AttnSeq2SeqConfig.__dataclass_fields__[name].default is None]


@contextmanager
def _named() -> Iterator[None]:
    """Inside the block, an error says that it is about `start_from`."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"start_from: {error}") from None


def refuse_start_within(name: str | None, output: Path) -> None:
    """Raise a ValueError if the start, if there is one, lies in the output folder, whose files are replaced."""
    if name is None:
        return
    place = Path(resolve(name)).resolve()
    if place.is_dir() and place.is_relative_to(output.resolve()):
        raise ValueError(
            f"start_from: '{name}' lies in the output folder, and would be replaced: name another output, or go on "
            "with the run that is there by --resume."
        )


def start_config(recipe: Recipe) -> AttnSeq2SeqConfig:
    """
    The configuration of the model that `start_from` names, with the fields that the recipe sets.

    Raises:
        ValueError: There is no such model, it is not one of this package, or reads another kind of sources; or the
            recipe sets a field that its weights do not fit.
    """
    name = recipe.start_from or ""
    own = _read(name)
    reads = modality_of(own)
    if reads.name != recipe.data.source_kind:
        raise ValueError(
            f"start_from: '{name}' reads {reads.reads}, and data.source_kind is "
            f"{recipe.data.source_kind}: set data.source_kind={reads.name}, or name another model."
        )
    given = {field: value for field, value in recipe.model.items() if field != "preset"}
    changes = {field: value for field, value in given.items() if value != getattr(own, field)}
    try:
        config = _changed(own, changes)
        if not changes or _weights(config) == _weights(own):
            return config
        problem = f"The fields of model ({', '.join(changes)}) do not fit the weights of '{name}'."
    except ValueError as error:
        problem = str(error)
    for field, value in changes.items():
        if not _fits(own, field, value):
            raise ValueError(
                f"model.{field} is {quoted(value)}, but the weights of '{name}' are for "
                f"{quoted(getattr(own, field))}: leave it out."
            )
    raise ValueError(problem)


def _read(name: str) -> AttnSeq2SeqConfig:
    """The model's own configuration."""
    if not os.path.exists(resolve(name)) and "/" not in name and os.sep not in name:
        raise ValueError(
            f"start_from: There is no folder '{shortened(name)}', and no model of that name in this package: "
            f"{nearest(name, packaged_models())}"
        )
    with _named():
        if is_exported(name):
            raise ValueError(f"'{name}' is exported, for use alone: name the model that it was exported from.")
        config = read_config(name)
        if config.model_type != AttnSeq2SeqConfig.model_type:
            raise ValueError(
                f"'{name}' is a model of type {config.model_type}, not of this package: train it with the Trainer of "
                "Transformers."
            )
        if hasattr(config, "quantization_config"):
            raise ValueError(f"'{name}' has quantized weights: name the model that it was made from.")
    return _changed(config, {})


def _changed(config: AttnSeq2SeqConfig, changes: Mapping[str, Any]) -> AttnSeq2SeqConfig:
    return AttnSeq2SeqConfig(**{**{name: getattr(config, name) for name in _FIELDS}, **changes})


def _weights(config: AttnSeq2SeqConfig) -> tuple[dict[str, torch.Size], set[str]]:
    """The shapes of all weights of a model, and which of them are not another's, to which they are tied."""
    with torch.device("meta"):
        model = AttnSeq2SeqForConditionalGeneration(config)
    shapes = {name: weight.shape for name, weight in model.state_dict().items()}
    return shapes, {name for name, _ in model.named_parameters()}


def _fits(own: AttnSeq2SeqConfig, name: str, value: Any) -> bool:
    """
    Whether a field alone can be changed.

    Raises:
        ValueError: The value is not possible in any such model.
    """
    try:
        config = _changed(own, {name: value})
    except ValueError:  # perhaps because it contradicts sizes that follow from it
        config = _changed(own, {**dict.fromkeys(_DERIVED), name: value})
    return _weights(config) == _weights(own)


def check_start(recipe: Recipe) -> AttnSeq2SeqConfig:
    """
    Refuse, before the corpus is read, a model that the recipe cannot train further; the configuration of another.

    Raises:
        ValueError: As for [`start_config`]; its files are damaged or missing; or its tokenizer cannot be sampled, or
            its processor differs from what the recipe's features make.
    """
    config, name = start_config(recipe), recipe.start_from or ""
    start_model(recipe)  # load it now: otherwise its errors appear only after the corpus is prepared
    if recipe.tokenizer.sampling:
        with _named():
            _check_sampling(start_tokenizer(name), recipe.tokenizer.sampling)
    if recipe.data.source_kind != "text":
        with _named():
            processor = read_processor(name, config)
        part = processor.feature_extractor if processor.hears else processor.image_processor
        _check_features(name, part.to_dict(), recipe)
    return config


def _check_sampling(tokenizer: Any, sampling: float) -> None:
    for side in (tokenizer.source, tokenizer.target):
        if not isinstance(side.backend_tokenizer.decoder, decoders.ByteLevel):
            raise ValueError("its tokenizer has no subwords over bytes, which tokenizer.sampling needs: leave it out.")
        SubwordSampler(side, sampling)


def _check_features(name: str, theirs: Mapping[str, Any], recipe: Recipe) -> None:
    ours = media_processor(recipe.data.source_kind, recipe.features).to_dict()
    for part in (*ours, "width"):  # which is left out where it is None
        if part == "max_width" or ours.get(part) == theirs.get(part):  # a limit changes no picture
            continue
        field = "mel_bins" if part == "feature_size" else part
        if field not in FeatureSettings.model_fields:
            raise ValueError(
                f"start_from: The processor of '{name}' has {part}={quoted(theirs.get(part))}, which a recipe cannot "
                "set: train it with the Trainer of Transformers."
            )
        raise ValueError(
            f"features.{field} is {quoted(ours.get(part))}, but '{name}' was trained with {quoted(theirs.get(part))}: "
            f"set features.{field}={'null' if theirs.get(part) is None else theirs[part]}."
        )


def start_model(recipe: Recipe) -> AttnSeq2SeqForConditionalGeneration:
    """The model to be trained, in single precision, with the weights of the model that `start_from` names."""
    with _named():
        trained: Any = load_translator([recipe.start_from or ""], "cpu", "float32").model
    model = AttnSeq2SeqForConditionalGeneration(start_config(recipe))
    model.load_state_dict(trained.state_dict())
    model.generation_config = trained.generation_config
    # The section `evaluation` decides these.
    model.generation_config.max_length = None
    vars(model.generation_config).pop("ctc_weight", None)
    return model


def start_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The tokenizer of the model that `start_from` names."""
    with _named():
        return load_tokenizer([name])


def start_readout(name: str | None) -> Readout | None:
    """How the alignment of the model that `start_from` names is read from its attention, if that is recorded."""
    return None if name is None else find_readout(resolve(name))


def start_record(name: str) -> dict[str, Any]:
    """What tells which model `start_from` names: the checksums of its weights, and, on the Hub, the commit."""
    place = resolve(name)
    record: dict[str, Any] = {"name": name, "sha256": checksums(weight_files(place, NO_CODE))}
    if not os.path.isdir(place) and (config := find_file(place, "config.json", NO_CODE)):
        record["commit"] = config.parent.name  # its folder in the cache is named after it
    return record


def start_sentence(recipe: Recipe) -> str:
    """Says what training starts from, and what the recipe changes of its configuration."""
    own, config = _read(recipe.start_from or ""), start_config(recipe)
    changes = [
        f"{name} {getattr(config, name)} instead of {getattr(own, name)}"
        for name in MODEL_FIELDS
        if getattr(config, name) != getattr(own, name)
    ]
    changed = f", with {'; '.join(changes)}" if changes else ""
    return f"Training starts from the weights of '{recipe.start_from}'{changed}."
