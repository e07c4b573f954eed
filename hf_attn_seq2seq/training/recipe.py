# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""A recipe: one YAML file that describes an experiment, from its data to its evaluation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, field_validator

from hf_attn_seq2seq import PRESETS, AttnSeq2SeqConfig
from hf_attn_seq2seq.data.settings import DataSettings
from hf_attn_seq2seq.data.tokenizer_training import TokenizerSettings
from hf_attn_seq2seq.evaluation.settings import EvaluationSettings
from hf_attn_seq2seq.settings import Settings, nearest
from hf_attn_seq2seq.training.settings import TrainingSettings


RECIPE_FILE = "recipe.yaml"  # in the folder of a trained model

# What describes the model; the tokenizer decides the rest.
MODEL_FIELDS = [
    name
    for name in AttnSeq2SeqConfig.__annotations__
    if not name.endswith(("vocab_size", "_token_id")) and name not in ("is_encoder_decoder", "use_cache")
]


class Recipe(Settings):
    """An experiment."""

    name: str = Field("model", min_length=1, description="what the experiment is called")
    description: str = Field("", description="what it is, in a sentence; stands in the model card")
    license: str | None = Field(None, description="of the trained model, as a Hub identifier, such as cc-by-2.0")
    output: Path = Field(Path("outputs/model"), description="folder for corpus, checkpoints, model and figures")
    data: DataSettings = Field(default_factory=DataSettings, description="where the text comes from")
    tokenizer: TokenizerSettings = Field(default_factory=TokenizerSettings, description="how text becomes tokens")
    model: dict[str, Any] = Field(
        default_factory=dict, description="`preset`, and any field of AttnSeq2SeqConfig that describes the model"
    )
    training: TrainingSettings = Field(default_factory=TrainingSettings, description="how the model is trained")
    evaluation: EvaluationSettings = Field(default_factory=EvaluationSettings, description="how it is measured")

    @field_validator("model")
    @classmethod
    def _check_model(cls, fields: dict[str, Any]) -> dict[str, Any]:
        for name in fields:
            if name in ("vocab_size", "decoder_vocab_size"):
                raise ValueError(f"{name} follows the tokenizer: set tokenizer.vocab_size.")
            if name != "preset" and name not in MODEL_FIELDS:
                raise ValueError(f"There is no field '{name}': {nearest(name, ['preset', *MODEL_FIELDS])}")
        preset = fields.get("preset")
        if preset is not None and preset not in PRESETS:
            raise ValueError(f"There is no preset '{preset}': {nearest(str(preset), list(PRESETS))}")
        return fields

    def model_config_for(self, vocab_size: int, decoder_vocab_size: int | None = None) -> AttnSeq2SeqConfig:
        """
        The model's configuration for vocabularies of these sizes.

        Raises:
            ValueError: A field has a value that it cannot have; the sentence names it.
        """
        fields = {name: value for name, value in self.model.items() if name != "preset"}
        build = PRESETS[self.model["preset"]] if self.model.get("preset") else AttnSeq2SeqConfig
        return build(vocab_size=vocab_size, decoder_vocab_size=decoder_vocab_size, **fields)


def load_recipe(path: str | Path | None = None, overrides: Sequence[str] = ()) -> Recipe:
    """
    The recipe in a YAML file, with fields changed.

    Args:
        path: The file, or a folder of a trained model, which holds its recipe; None for the defaults.
        overrides: Such as `training.epochs=3` or `data.train.0.source=a.en`: dotted place, and a value read as YAML.

    Raises:
        ValueError: No such file, not YAML, a field unknown or of a wrong value; the sentence names the place.
    """
    fields = _read(Path(path)) if path is not None else {}
    for override in overrides:
        place, equals, value = override.partition("=")
        if not equals or not place:
            raise ValueError(f"'{override}' changes no field: write section.field=value, as in training.epochs=3.")
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError:
            parsed = value  # a text with a colon or a bracket in it
        _place(fields, place, parsed)
    return Recipe(**fields)


def save_recipe(recipe: Recipe, folder: Path) -> None:
    """Write the recipe, every field of it, beside the model."""
    text = yaml.safe_dump(recipe.model_dump(mode="json", exclude_defaults=False), sort_keys=False, allow_unicode=True)
    (folder / RECIPE_FILE).write_text(text, "utf-8")


def _read(path: Path) -> dict[str, Any]:
    if path.is_dir():
        path = path / RECIPE_FILE
    try:
        fields = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ValueError(f"There is no recipe '{path}': name a YAML file, or the folder of a trained model.") from None
    except UnicodeDecodeError:
        raise ValueError(f"'{path}' is not UTF-8 text: name a YAML file.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise ValueError(f"'{path}'{line}, is not YAML: {getattr(error, 'problem', None) or error}.") from None
    if not isinstance(fields, dict):
        raise ValueError(f"'{path}' is no recipe: it must hold fields such as 'data:' and 'training:'.")
    return fields


def _place(fields: Any, place: str, value: Any) -> None:
    """Set the value at a dotted place, making the sections on the way."""
    *sections, last = place.split(".")
    for name, following in zip(sections, [*sections[1:], last]):
        if isinstance(fields, list):
            fields = fields[_index(fields, name, place)]
        else:
            if fields.get(name) is None:
                fields[name] = {}
            if not isinstance(fields[name], dict | list):
                raise ValueError(f"'{place}': '{name}' holds the value {fields[name]!r}, so it has no '{following}'.")
            fields = fields[name]
    if isinstance(fields, list):
        fields[_index(fields, last, place)] = value
    else:
        fields[last] = value


def _index(entries: list[Any], name: str, place: str) -> int:
    if not name.isdecimal() or int(name) >= len(entries):
        raise ValueError(f"'{place}': '{name}' is no place in a list of {len(entries)}, which are counted from 0.")
    return int(name)
