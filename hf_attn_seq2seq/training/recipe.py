# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""A recipe: one YAML file that describes an experiment, from its data to its evaluation."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, field_validator, model_validator

from hf_attn_seq2seq import PRESETS, AttnSeq2SeqConfig
from hf_attn_seq2seq.data.augmentation import AugmentationSettings
from hf_attn_seq2seq.data.features import FeatureSettings
from hf_attn_seq2seq.data.settings import DataSettings, SourceKind, SourceSettings
from hf_attn_seq2seq.data.tokenizer_training import TokenizerSettings
from hf_attn_seq2seq.decoding.names import resolve
from hf_attn_seq2seq.evaluation.settings import AlignmentSettings, CardSettings, EvaluationSettings
from hf_attn_seq2seq.messages import quoted, shortened
from hf_attn_seq2seq.modality import FRONTEND_TYPES
from hf_attn_seq2seq.settings import Settings, as_list, nearest, section_in
from hf_attn_seq2seq.training.settings import TrainingSettings
from hf_attn_seq2seq.writing import write_text


RECIPE_FILE = "recipe.yaml"  # in the folder of a trained model
FORMAT_VERSION = 2  # in 1, the metric `wer` was what is now `sequence_error_rate`

# Fields that describe the model; the others depend on the tokenizer.
_NOT_OF_THE_MODEL = ("is_encoder_decoder", "use_cache", "format_version")
MODEL_FIELDS = [
    name
    for name in AttnSeq2SeqConfig.__annotations__
    if not name.endswith(("vocab_size", "_token_id")) and name not in _NOT_OF_THE_MODEL
]
_OF_NEW_TOKENIZERS = [name for name in TokenizerSettings.model_fields if name != "sampling"]


class Recipe(Settings):
    """An experiment."""

    name: str = Field("model", min_length=1, description="name of the experiment")
    description: str = Field("", description="one sentence about it, for the model card")
    notes: str = Field("", description="what was tried and what was not, for the model card")
    license: str | None = Field(
        None, description="licence of the trained model, as a Hub identifier such as cc-by-2.0"
    )
    output: Path = Field(Path("outputs/model"), description="folder for the corpus, checkpoints, model and results")
    start_from: str | None = Field(
        None,
        min_length=1,
        description="trained model to train further, instead of a new one: a folder, en-fr, or a name on the "
        "Hub; its weights, tokenizer and configuration are taken, while optimizer and schedule start anew; `model` "
        "may set fields that its weights fit, such as dropout, and `tokenizer` only `sampling`",
    )
    data: DataSettings = Field(default_factory=DataSettings, description="the sentence pairs")
    features: FeatureSettings = Field(
        default_factory=FeatureSettings, description="what the model hears or sees, if the sources are files"
    )
    augmentation: AugmentationSettings = Field(
        default_factory=AugmentationSettings, description="how training sounds and pictures are changed"
    )
    tokenizer: TokenizerSettings = Field(default_factory=TokenizerSettings, description="how text becomes tokens")
    model: dict[str, Any] = Field(
        default_factory=dict, description="`preset`, and any field of AttnSeq2SeqConfig about the architecture"
    )
    training: TrainingSettings = Field(default_factory=TrainingSettings, description="how the model is trained")
    evaluation: EvaluationSettings = Field(default_factory=EvaluationSettings, description="how it is measured")
    card: CardSettings = Field(
        default_factory=CardSettings, description="what its model card says besides the results"
    )
    format_version: int = Field(
        FORMAT_VERSION,
        ge=1,
        le=FORMAT_VERSION,
        description="version of the format; in version 1, `sequence_error_rate` was called `wer`",
    )

    @field_validator("model")
    @classmethod
    def _check_model(cls, fields: dict[str, Any]) -> dict[str, Any]:
        for name in fields:
            if name in ("vocab_size", "decoder_vocab_size"):
                raise ValueError(f"{name} depends on the tokenizer: set tokenizer.vocab_size instead.")
            if name == "start_from":
                raise ValueError("start_from is not in a section: write start_from instead of model.start_from.")
            if name != "preset" and name not in MODEL_FIELDS:
                raise ValueError(f"Unknown field '{shortened(name)}': {nearest(name, ['preset', *MODEL_FIELDS])}")
        preset = fields.get("preset")
        if preset is not None and preset not in PRESETS:
            raise ValueError(f"Unknown preset '{shortened(str(preset))}': {nearest(str(preset), list(PRESETS))}")
        return fields

    @model_validator(mode="after")
    def _check_kind(self) -> "Recipe":
        """Refuses what contradicts the kind of the sources, needs sources that are text, or has no effect on them."""
        for name, value in self._model_fields_of_source().items():
            given = self.model.get(name, value)
            if given != value:
                raise ValueError(
                    f"model.{name} is {quoted(given)}, but data.source_kind and features make it {quoted(value)}: "
                    "leave it out."
                )
        for section in ("features", "augmentation"):
            self._refuse_without_effect(section)
        if self.data.source_kind == "text":
            return self
        training, tokenizer = self.training, self.tokenizer
        of_text = {
            "training.join_pairs": training.join_pairs > 1,
            "training.case_punctuation_augmentation": training.case_punctuation_augmentation,
            "training.copied_words_augmentation": training.copied_words_augmentation,
            "training.phrase_pairs_augmentation": training.phrase_pairs_augmentation,
            "training.guided_alignment": training.guided_alignment,
            "tokenizer.sampling": tokenizer.sampling,
            "tokenizer.shared": not tokenizer.shared,
            "evaluation.alignment": self.evaluation.alignment != AlignmentSettings(),
            "card.sentences": self.card.sentences,
            "card.paragraphs": self.card.paragraphs,
        }
        for name, is_set in of_text.items():
            if is_set:
                raise ValueError(
                    f"{name} is for text on both sides, and data.source_kind is {self.data.source_kind}: leave it out."
                )
        return self

    @model_validator(mode="after")
    def _check_start(self) -> "Recipe":
        """Refuses what describes a new model or a new tokenizer where a trained model is the start."""
        if self.start_from is None:
            return self
        if given := [name for name in _OF_NEW_TOKENIZERS if name in self.tokenizer.model_fields_set]:
            raise ValueError(
                f"tokenizer.{given[0]} is set, but the tokenizer is that of start_from: leave it out (tokenizer={{}} "
                "leaves out the whole section)."
            )
        if self.model.get("preset") is not None:
            raise ValueError(
                "model.preset is set, but the configuration is that of start_from: leave it out (model.preset=null)."
            )
        return self

    def _refuse_without_effect(self, section: str) -> None:
        """Refuses a setting of another kind of sources, unless it has the default that saved recipes state."""
        settings, kind = getattr(self, section), self.data.source_kind
        usual, read = type(settings)(), settings.of_kind(kind)
        for name in type(settings).model_fields:
            if name not in read and getattr(settings, name) != getattr(usual, name):
                of = "sounds" if name in settings.of_kind("audio") else "pictures"
                raise ValueError(f"{section}.{name} is for {of}, and data.source_kind is {kind}: leave it out.")

    def _model_fields_of_source(self) -> dict[str, Any]:
        """The fields of the configuration that the kind of the sources decides."""
        features = self.features
        fields: dict[SourceKind, dict[str, Any]] = {
            "text": {},
            "audio": {"num_mel_bins": features.mel_bins},
            "image": {"image_channels": features.channels, "image_height": features.height},
        }
        kind = self.data.source_kind
        frontends = [name for name, modality in FRONTEND_TYPES.items() if modality.name == kind]
        given = self.model.get("frontend")
        return {"frontend": given if given in frontends else frontends[0], **fields[kind]}

    def model_config_for(self, vocab_size: int, decoder_vocab_size: int | None = None) -> AttnSeq2SeqConfig:
        """
        The model's configuration, given the sizes of the vocabularies.

        Raises:
            ValueError: A field has an invalid value; the message names it.
        """
        fields = {**self._model_fields_of_source(), **self.model}
        fields.pop("preset", None)
        build = PRESETS[self.model["preset"]] if self.model.get("preset") else AttnSeq2SeqConfig
        return build(vocab_size=vocab_size, decoder_vocab_size=decoder_vocab_size, **fields)


def load_recipe(path: str | Path | None = None, overrides: Sequence[str] = ()) -> Recipe:
    """
    Load a recipe from a YAML file, with some fields overridden.

    Args:
        path: The file, or the folder of a trained model, which contains its recipe; None for the defaults.
        overrides: Such as `training.epochs=3` or `data.train.0.source=a.en`: a dotted path, and a value in YAML. The
            index after the last entry of a list appends to it: `data.train.1.file=b.tsv` adds a second source.

    Raises:
        ValueError: The file is missing or not YAML, or a field is unknown or has a wrong value; the message says
            which.
    """
    fields = _upgraded(_read(Path(path)), Path(path)) if path is not None else {}
    if path is not None and Path(path).is_dir():
        fields["output"] = str(path)  # the folder may have been moved
    for override in overrides:
        place, equals, value = override.partition("=")
        if not equals or not place:
            raise ValueError(
                f"'{shortened(override)}' does not set a field: write section.field=value, as in training.epochs=3."
            )
        try:
            parsed = parse_yaml(value)
        except yaml.YAMLError:
            parsed = value  # plain text with a colon or a bracket
        try:
            _place(fields, place.split("."), parsed)
        except ValueError as error:
            raise ValueError(f"'{shortened(override)}': {error}") from None
    return Recipe(**fields)


def read_languages(folder: str | Path) -> tuple[str, str] | None:
    """Source and target language of a trained model, as the recipe beside it says; None where it does not."""
    try:
        data = load_recipe(folder).data
    except ValueError:
        return None
    return (data.source_language, data.target_language) if data.source_language and data.target_language else None


def refuse_same_direction(languages: tuple[str | None, str | None] | None, reverse_model: str | Path) -> None:
    """
    Refuse a model as that of the reverse direction if it translates in the same one: its links would make no sense.

    Args:
        languages: Source and target of the forward model, where they are known.
        reverse_model: As [`hf_attn_seq2seq.load`] takes it.
    """
    if languages and languages[0] != languages[1] and read_languages(resolve(str(reverse_model))) == languages:
        source, target = languages
        raise ValueError(
            f"'{shortened(str(reverse_model))}' translates {source} to {target}, as the model does: name one that "
            f"translates {target} to {source}."
        )


def save_recipe(recipe: Recipe, folder: Path) -> None:
    """Write the recipe beside the model, with all its fields but those about a tokenizer that was not trained."""
    unused = set(_OF_NEW_TOKENIZERS) if recipe.start_from is not None else set()
    fields = recipe.model_dump(mode="json", exclude={"tokenizer": unused})
    text = yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)
    write_text(folder / RECIPE_FILE, text)


def describe_fields() -> str:
    """The fields of a recipe, one per line: path, description and default."""
    lines: list[str] = []
    first_place: dict[type, str] = {}

    def describe(section: type[Settings], prefix: str) -> None:
        for name, field in section.model_fields.items():
            inner, place = section_in(field.annotation), prefix + name
            if inner is None:
                default = field.get_default(call_default_factory=True)
                shown = "" if default in (None, "", [], {}) else f" (default {default})"
                lines.append(f"{place}: {field.description}{shown}")
            elif inner in first_place:
                lines.append(f"{place}: {field.description} (same fields as {first_place[inner]})")
            else:
                kind = str(field.annotation)
                first_place[inner] = place + (".NAME" if "dict[" in kind else "") + (".0" if "list[" in kind else "")
                lines.append(f"{place}: {field.description}")
                describe(inner, f"{first_place[inner]}.")

    describe(Recipe, "")
    return "\n".join(lines)


def parse_yaml(text: str) -> Any:
    """
    Parse YAML text in which every field is given only once.

    Raises:
        yaml.YAMLError: It is not YAML, a field is given twice, or its aliases expand to an unreasonable size.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _written_out(node, {}) > max(_MOST_CHARACTERS, 2 * len(text)):
            raise yaml.YAMLError(
                f"its aliases (*) expand to more than {_MOST_CHARACTERS:,} characters: write the values out"
            )
        return loader.construct_document(node)
    except RecursionError:
        raise yaml.YAMLError("its values are nested too deeply") from None
    finally:
        loader.dispose()


_MOST_CHARACTERS = 1_000_000


def _written_out(node: yaml.Node, known: dict[int, int | None]) -> int:
    """Number of characters of a node with all aliases expanded; `known` caches the nodes already counted."""
    if id(node) in known:
        size = known[id(node)]
        if size is None:
            raise yaml.MarkedYAMLError(problem="a value that contains itself", problem_mark=node.start_mark)
        return size
    known[id(node)] = None
    if isinstance(node, yaml.ScalarNode):
        size = len(node.value)
    elif isinstance(node, yaml.MappingNode):
        size = sum(_written_out(part, known) for pair in node.value for part in pair)
    else:
        size = sum(_written_out(part, known) for part in node.value)
    known[id(node)] = size + 1
    return size + 1


class _Loader(yaml.SafeLoader):
    """A YAML loader that refuses duplicate fields; by default the last one silently wins."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    problem = f"the field '{shortened(key.value)}' is given twice"
                    raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError:  # such as day 45 of a month, or a number with thousands of digits
            problem = f"the value {node.value[:40]!r} cannot be read: put quotes around it if it is text"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from None


def _read(path: Path) -> dict[str, Any]:
    if path.is_dir():
        path = path / RECIPE_FILE
    try:
        fields = parse_yaml(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ValueError(f"There is no recipe '{path}': name a YAML file, or the folder of a trained model.") from None
    except UnicodeDecodeError:
        raise ValueError(f"'{path}' is not UTF-8 text: name a YAML file.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise ValueError(f"'{path}'{line}, is not YAML: {getattr(error, 'problem', None) or error}.") from None
    if not isinstance(fields, dict) or not all(isinstance(name, str) for name in fields):
        raise ValueError(f"'{path}' is not a recipe: it must have fields such as 'data:' and 'training:'.")
    return fields


def _upgraded(fields: dict[str, Any], path: Path) -> dict[str, Any]:
    """
    The fields of a recipe in the current format.

    Recipes that `train` saved beside a model have a version; without one, it is 1. A hand-written recipe need not have
    one; if it uses `wer`, a warning explains the name.
    """
    training, evaluation = (fields.get(name) or {} for name in ("training", "evaluation"))
    if not isinstance(training, dict) or not isinstance(evaluation, dict):
        return fields  # refused later
    metrics = as_list(evaluation.get("metrics"))
    if training.get("metric") != "wer" and "wer" not in metrics:
        return {**fields, "format_version": FORMAT_VERSION} if fields.get("format_version") == 1 else fields
    saved = path.is_dir() or (path.name == RECIPE_FILE and (path.parent / "config.json").is_file())
    version = fields.get("format_version", 1 if saved else None)
    if version is None:
        warnings.warn(
            f"'{path}' uses the metric wer, which is the word error rate; version 0.1.0 used this name for "
            f"sequence_error_rate. Add format_version: {FORMAT_VERSION} to the recipe to silence this warning.",
            stacklevel=3,
        )
    if version != 1:
        return fields
    upgraded = {**fields, "format_version": FORMAT_VERSION}
    if training.get("metric") == "wer":
        upgraded["training"] = {**training, "metric": "sequence_error_rate"}
    if "wer" in metrics:
        renamed = ["sequence_error_rate" if name == "wer" else name for name in metrics]
        upgraded["evaluation"] = {**evaluation, "metrics": renamed}
    return upgraded


def _place(fields: Any, names: Sequence[str], value: Any) -> None:
    """Set the value at a path, creating missing sections; a single entry may be written as a list of one, or not."""
    name, *rest = names
    if isinstance(fields, list):
        if name == str(len(fields)):
            fields.append({} if rest else value)
        if name.isdecimal() and int(name) < len(fields):
            if rest:
                _place(fields[int(name)], rest, value)
            else:
                fields[int(name)] = value
        elif len(fields) == 1 and not name.isdecimal():
            _place(fields[0], names, value)
        else:
            raise ValueError(
                f"'{shortened(name)}' is not an index of this list: give a number from 0 to {len(fields)} (which "
                "appends)."
            )
    elif not isinstance(fields, dict):
        raise ValueError(f"the value {quoted(fields)} has no field '{shortened(name)}'.")
    elif name == "0" and rest:
        _place(fields, rest, value)
    elif rest:
        if fields.get(name) is None:
            fields[name] = {}
        elif rest[0] == "1" and _is_lone_source(fields[name]):
            fields[name] = [fields[name]]
        _place(fields[name], rest, value)
    else:
        fields[name] = value


def _is_lone_source(value: Any) -> bool:
    """Whether the value is a single source of `data`, not written as a list, and not a mapping of test sets."""
    return isinstance(value, dict) and bool(value) and value.keys() <= SourceSettings.model_fields.keys()
