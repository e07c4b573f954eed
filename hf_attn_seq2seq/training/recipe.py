# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""A recipe: one YAML file that describes an experiment, from its data to its evaluation."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, field_validator

from hf_attn_seq2seq import PRESETS, AttnSeq2SeqConfig
from hf_attn_seq2seq.data.settings import DataSettings, SourceSettings
from hf_attn_seq2seq.data.tokenizer_training import TokenizerSettings
from hf_attn_seq2seq.evaluation.settings import CardSettings, EvaluationSettings
from hf_attn_seq2seq.messages import quoted, shortened
from hf_attn_seq2seq.settings import Settings, as_list, nearest, section_in
from hf_attn_seq2seq.training.settings import TrainingSettings
from hf_attn_seq2seq.writing import write_text


RECIPE_FILE = "recipe.yaml"  # in the folder of a trained model
FORMAT_VERSION = 2  # in 1, the metric `wer` was what is now `sequence_error_rate`

# What describes the model; the tokenizer decides the rest.
_NOT_OF_THE_MODEL = ("is_encoder_decoder", "use_cache", "format_version")
MODEL_FIELDS = [
    name
    for name in AttnSeq2SeqConfig.__annotations__
    if not name.endswith(("vocab_size", "_token_id")) and name not in _NOT_OF_THE_MODEL
]


class Recipe(Settings):
    """An experiment."""

    name: str = Field("model", min_length=1, description="what the experiment is called")
    description: str = Field("", description="what it is, in a sentence; stands in the model card")
    notes: str = Field("", description="what was tried and what was left; stands in the model card")
    license: str | None = Field(None, description="of the trained model, as a Hub identifier, such as cc-by-2.0")
    output: Path = Field(Path("outputs/model"), description="folder for corpus, checkpoints, model and figures")
    data: DataSettings = Field(default_factory=DataSettings, description="where the text comes from")
    tokenizer: TokenizerSettings = Field(default_factory=TokenizerSettings, description="how text becomes tokens")
    model: dict[str, Any] = Field(
        default_factory=dict, description="`preset`, and any field of AttnSeq2SeqConfig that describes the model"
    )
    training: TrainingSettings = Field(default_factory=TrainingSettings, description="how the model is trained")
    evaluation: EvaluationSettings = Field(default_factory=EvaluationSettings, description="how it is measured")
    card: CardSettings = Field(default_factory=CardSettings, description="what its card says beside the figures")
    format_version: int = Field(
        FORMAT_VERSION,
        ge=1,
        le=FORMAT_VERSION,
        description="of the recipe's fields; in 1, the metric `wer` is what `sequence_error_rate` is now",
    )

    @field_validator("model")
    @classmethod
    def _check_model(cls, fields: dict[str, Any]) -> dict[str, Any]:
        for name in fields:
            if name in ("vocab_size", "decoder_vocab_size"):
                raise ValueError(f"{name} follows the tokenizer: set tokenizer.vocab_size.")
            if name != "preset" and name not in MODEL_FIELDS:
                raise ValueError(f"There is no field '{shortened(name)}': {nearest(name, ['preset', *MODEL_FIELDS])}")
        preset = fields.get("preset")
        if preset is not None and preset not in PRESETS:
            raise ValueError(f"There is no preset '{shortened(str(preset))}': {nearest(str(preset), list(PRESETS))}")
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
            The place behind the last of a list adds to it: `data.train.1.file=b.tsv` a second source.

    Raises:
        ValueError: No such file, not YAML, a field unknown or of a wrong value; the sentence names the place.
    """
    fields = _upgraded(_read(Path(path)), Path(path)) if path is not None else {}
    if path is not None and Path(path).is_dir():
        fields["output"] = str(path)  # a folder may have been moved
    for override in overrides:
        place, equals, value = override.partition("=")
        if not equals or not place:
            raise ValueError(
                f"'{shortened(override)}' changes no field: write section.field=value, as in training.epochs=3."
            )
        try:
            parsed = parse_yaml(value)
        except yaml.YAMLError:
            parsed = value  # a text with a colon or a bracket in it
        try:
            _place(fields, place.split("."), parsed)
        except ValueError as error:
            raise ValueError(f"'{shortened(override)}': {error}") from None
    return Recipe(**fields)


def save_recipe(recipe: Recipe, folder: Path) -> None:
    """Write the recipe, every field of it, beside the model."""
    text = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_text(folder / RECIPE_FILE, text)


def describe_fields() -> str:
    """The fields of a recipe, a line for each: its place, its default and what it is."""
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
                lines.append(f"{place}: {field.description} (fields as in {first_place[inner]})")
            else:
                kind = str(field.annotation)
                first_place[inner] = place + (".NAME" if "dict[" in kind else "") + (".0" if "list[" in kind else "")
                lines.append(f"{place}: {field.description}")
                describe(inner, f"{first_place[inner]}.")

    describe(Recipe, "")
    return "\n".join(lines)


def parse_yaml(text: str) -> Any:
    """
    What YAML text says, if each of its fields is given once.

    Raises:
        yaml.YAMLError: It is not YAML, a field is given twice, or its aliases make more of it than anyone would write.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _written_out(node, {}) > max(_MOST_CHARACTERS, 2 * len(text)):
            raise yaml.YAMLError(
                f"its aliases (*) make more than {_MOST_CHARACTERS:,} characters of it: write the values out"
            )
        return loader.construct_document(node)
    except RecursionError:
        raise yaml.YAMLError("its values are nested too deeply") from None
    finally:
        loader.dispose()


_MOST_CHARACTERS = 1_000_000


def _written_out(node: yaml.Node, known: dict[int, int | None]) -> int:
    """Characters of a node with all its aliases written out; `known` has those counted before."""
    if id(node) in known:
        size = known[id(node)]
        if size is None:
            raise yaml.MarkedYAMLError(problem="a value that holds itself", problem_mark=node.start_mark)
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
    """YAML whose fields are given once: of two the last would stand, without a word."""

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
        except ValueError:  # such as the 45th of a month, or a number of thousands of digits
            problem = f"the value {node.value[:40]!r} cannot be read: quote it if it is text"
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
        raise ValueError(f"'{path}' is no recipe: it must hold fields such as 'data:' and 'training:'.")
    return fields


def _upgraded(fields: dict[str, Any], path: Path) -> dict[str, Any]:
    """
    The fields of a recipe in today's names.

    What `train` saves beside a model says its version; where it does not, that is 1. Who writes a recipe need not say
    it, and is told what `wer` means.
    """
    training, evaluation = (fields.get(name) or {} for name in ("training", "evaluation"))
    if not isinstance(training, dict) or not isinstance(evaluation, dict):
        return fields  # which is refused
    metrics = as_list(evaluation.get("metrics"))
    if training.get("metric") != "wer" and "wer" not in metrics:
        return {**fields, "format_version": FORMAT_VERSION} if fields.get("format_version") == 1 else fields
    saved = path.is_dir() or (path.name == RECIPE_FILE and (path.parent / "config.json").is_file())
    version = fields.get("format_version", 1 if saved else None)
    if version is None:
        warnings.warn(
            f"'{path}' names the metric wer: it is the word error rate. What version 0.1.0 called so is now "
            f"sequence_error_rate. Write format_version: {FORMAT_VERSION} into the recipe to be told no more.",
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
    """Set the value at a place, making the sections on the way; a lone entry may be a list of one, or not."""
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
                f"'{shortened(name)}' is no place in a list of {len(fields)}, which are counted from 0: the next one "
                f"is {len(fields)}."
            )
    elif not isinstance(fields, dict):
        raise ValueError(f"there is no '{shortened(name)}' in the value {quoted(fields)}.")
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
    """Whether it is one source of `data` where a list of them may be, and not test sets by their names."""
    return isinstance(value, dict) and bool(value) and value.keys() <= SourceSettings.model_fields.keys()
