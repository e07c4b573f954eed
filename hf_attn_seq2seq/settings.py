# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The base of every section of a recipe: typed, closed to unknown fields, and wrong values told in one sentence."""

import difflib
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError


SettingsT = TypeVar("SettingsT", bound="Settings")


class Settings(BaseModel):
    """A section of a recipe. Its fields are fixed once made; `field: description` pairs document them."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ValueError(_sentence(type(self), error)) from None


def as_list(value: Any) -> Any:
    """A lone value as a list of one, for fields that take either."""
    if value is None:
        return []
    return value if isinstance(value, list | tuple) else [value]


def nearest(name: str, known: Sequence[str]) -> str:
    """How to go on from an unknown name: the nearest known one, or all of them."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else f"choose among {', '.join(known)}."


def _sentence(section: type[BaseModel], error: ValidationError) -> str:
    """The first problem of a validation, as one sentence that names the field and its place."""
    problem = error.errors(include_url=False)[0]
    place = [str(part) for part in problem["loc"]]
    name = ".".join(place)
    kind = problem["type"]
    if kind == "extra_forbidden":
        return f"There is no field '{name}': {nearest(place[-1], _fields_at(section, place[:-1]))}"
    if kind == "missing":
        return f"The field '{name}' is missing: give it a value."
    if kind == "value_error":  # a sentence of our own
        cause = problem["ctx"]["error"]
        return f"{name}: {cause}" if name else str(cause)
    said = problem["msg"].removeprefix("Input ").replace("Field required", "is required")
    return f"{name}={problem['input']!r} {said}." if name else f"{said}."


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
