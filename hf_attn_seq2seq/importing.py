# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Modules that are loaded when they are needed: lazy names of a package, and actions that wait for a module."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from hf_attn_seq2seq.messages import quoted


def lazily(package: str, places: Mapping[str, Sequence[str]]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """
    The `__getattr__` and `__dir__` of a package that imports its names when they are asked for (PEP 562).

    Args:
        package: Its `__name__`.
        places: The names of each module, whose own name is relative to `hf_attn_seq2seq`. No name may be that of a
            module in the package, which would hide it.
    """
    module_of = {name: module for module, names in places.items() for name in names}

    def get(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {quoted(package)} has no attribute {quoted(name)}")
        value = getattr(importlib.import_module(f"hf_attn_seq2seq.{module_of[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *module_of})

    return get, names


def after_import(name: str, action: Callable[[], Any]) -> None:
    """Call `action` when a module has been imported: now, or after its first import."""
    if _is_loaded(sys.modules.get(name)):
        action()
    else:
        sys.meta_path.insert(0, _Waiting(name, action))  # type: ignore[arg-type]


def _is_loaded(module: ModuleType | None) -> bool:
    return module is not None and not getattr(module.__spec__, "_initializing", False)


class _Waiting:
    """A finder: it finds one module as all others would, and has `action` called once it has been executed."""

    def __init__(self, name: str, action: Callable[[], Any]) -> None:
        self.name, self.action = name, action
        self.searching = False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != self.name or self.searching:
            return None
        self.searching = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.searching = False
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def then_act(module: ModuleType) -> None:
            execute(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
                self.action()

        spec.loader.exec_module = then_act  # type: ignore[method-assign]
        return spec
