# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The base class of all recipe sections: typed fields, no unknown ones, and one sentence for a wrong value."""

import difflib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from hf_attn_seq2seq.messages import QUOTED, quoted, shortened


SettingsT = TypeVar("SettingsT", bound="Settings")


class Settings(BaseModel):
    """
    A section of a recipe. It is immutable; the `description` of each field documents it.

    `former_names` maps the names of fields in earlier versions to their present names: old recipes still load, with a
    warning.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)
    former_names: ClassVar[Mapping[str, str]] = {}

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ValueError(_sentence(type(self), error)) from None

    @model_validator(mode="before")
    @classmethod
    def _take_former_names(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        values = dict(values)
        for former, name in cls.former_names.items():
            if former in values:
                if name in values:
                    raise ValueError(
                        f"'{former}' is the former name of '{name}', and both are given: keep only one of them."
                    )
                values[name] = values.pop(former)
                warn_renamed(f"the field '{former}'", f"'{name}'")
        return values


def warn_renamed(former: str, name: str) -> None:
    """Warn that `former`, as a recipe calls it, has been renamed to `name`."""
    warnings.warn(f"In recipes, {former} is now called {name}: please rename it.", FutureWarning, stacklevel=2)


def as_list(value: Any) -> Any:
    """A single value as a list of one, for fields that accept both."""
    if value is None:
        return []
    return value if isinstance(value, list | tuple) else [value]


def nearest(name: str, known: Sequence[str]) -> str:
    """A hint for an unknown name: the closest known name, or all of them."""
    close = difflib.get_close_matches(name[:QUOTED], known, n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else f"choose one of {', '.join(known)}."


def _sentence(section: type[BaseModel], error: ValidationError) -> str:
    """The first problem that validation found, as one sentence that names the field by its path."""
    problem = error.errors(include_url=False)[0]
    place = [str(part) for part in problem["loc"]]
    name = shortened(".".join(place))
    kind = problem["type"]
    if kind == "extra_forbidden":
        return f"Unknown field '{name}': {nearest(place[-1], _fields_at(section, place[:-1]))}"
    if kind == "missing":
        return f"The field '{name}' is missing: give it a value."
    if kind == "value_error":  # raised by one of our own checks
        cause = problem["ctx"]["error"]
        return f"{name}: {cause}" if name else str(cause)
    said = problem["msg"].removeprefix("Input ").replace("Field required", "is required")
    return f"{name}={quoted(problem['input'])} {said}." if name else f"{said}."


def _fields_at(section: Any, place: Sequence[str]) -> list[str]:
    """Names of the fields of the section at the path `place` under `section`."""
    for part in place:
        if not (isinstance(section, type) and issubclass(section, BaseModel)) or part not in section.model_fields:
            continue  # the index or the key of a list or a dict of sections
        section = section_in(section.model_fields[part].annotation)
    return list(section.model_fields) if isinstance(section, type) and issubclass(section, BaseModel) else []


def section_in(annotation: Any) -> Any:
    """The section class in a type such as `list[Section] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = section_in(inner)
        if found is not None:
            return found
    return None
