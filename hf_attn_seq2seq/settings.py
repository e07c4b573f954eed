# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The base of every section of a recipe: typed, closed to unknown fields, and wrong values told in one sentence."""

import difflib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from hf_attn_seq2seq.messages import QUOTED, quoted, shortened


SettingsT = TypeVar("SettingsT", bound="Settings")


class Settings(BaseModel):
    """
    A section of a recipe. Its fields are fixed once made; `field: description` pairs document them.

    `former_names` maps names that fields had in earlier versions to those they have now: recipes written then still
    load, with a warning.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
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
                        f"'{former}' is the former name of '{name}', which is given too: keep one of them."
                    )
                values[name] = values.pop(former)
                warn_renamed(f"the field '{former}'", f"'{name}'")
        return values


def warn_renamed(former: str, name: str) -> None:
    """Warn that what a recipe calls `former` has another name now."""
    warnings.warn(f"In recipes, {former} is now called {name}: please rename it.", FutureWarning, stacklevel=2)


def as_list(value: Any) -> Any:
    """A lone value as a list of one, for fields that take either."""
    if value is None:
        return []
    return value if isinstance(value, list | tuple) else [value]


def nearest(name: str, known: Sequence[str]) -> str:
    """How to go on from an unknown name: the nearest known one, or all of them."""
    close = difflib.get_close_matches(name[:QUOTED], known, n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else f"choose among {', '.join(known)}."


def _sentence(section: type[BaseModel], error: ValidationError) -> str:
    """The first problem of a validation, as one sentence that names the field and its place."""
    problem = error.errors(include_url=False)[0]
    place = [str(part) for part in problem["loc"]]
    name = shortened(".".join(place))
    kind = problem["type"]
    if kind == "extra_forbidden":
        return f"There is no field '{name}': {nearest(place[-1], _fields_at(section, place[:-1]))}"
    if kind == "missing":
        return f"The field '{name}' is missing: give it a value."
    if kind == "value_error":  # a sentence of our own
        cause = problem["ctx"]["error"]
        return f"{name}: {cause}" if name else str(cause)
    said = problem["msg"].removeprefix("Input ").replace("Field required", "is required")
    return f"{name}={quoted(problem['input'])} {said}." if name else f"{said}."


def _fields_at(section: Any, place: Sequence[str]) -> list[str]:
    """Names of the fields of the section that lies at `place` under `section`."""
    for part in place:
        if not (isinstance(section, type) and issubclass(section, BaseModel)) or part not in section.model_fields:
            continue  # the index or the key of a list or a dict of sections
        section = section_in(section.model_fields[part].annotation)
    return list(section.model_fields) if isinstance(section, type) and issubclass(section, BaseModel) else []


def section_in(annotation: Any) -> Any:
    """The section class inside a type such as `list[Section] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = section_in(inner)
        if found is not None:
            return found
    return None
