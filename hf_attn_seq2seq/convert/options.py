# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Options of other toolkits' models in YAML files, each checked when it is asked for; no object is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from hf_attn_seq2seq.messages import quoted, shortened


class _Loader(yaml.SafeLoader):
    """Reads tagged mappings and lists, of which toolkits would make objects, as what they hold."""


def _plain(loader: _Loader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)  # type: ignore[arg-type]


_Loader.add_multi_constructor("!", _plain)
_Loader.add_multi_constructor("tag:yaml.org,2002:python/tuple", _plain)


class Options(NamedTuple):
    """Options of a file, or a part of them."""

    values: Mapping[Any, Any]
    file: str
    within: str = ""  # the names of the parts that this is in, each with a dot behind

    @classmethod
    def read(cls, path: Path) -> Options:
        """
        Those of a YAML file.

        Raises:
            ValueError: It cannot be read, or holds something else.
        """
        name = shortened(str(path))
        try:
            found = yaml.load(path.read_text("utf-8"), Loader=_Loader)
        except OSError:
            raise ValueError(f"'{name}' cannot be read: it belongs to the model.") from None
        except (yaml.YAMLError, ValueError, RecursionError):
            found = None
        if not isinstance(found, Mapping):
            raise ValueError(f"'{name}' holds no options in YAML: get the file again.")
        return cls(found, name)

    def get(self, option: str, default: Any, *kinds: type) -> Any:
        """
        An option's value, of the type of the default or of `kinds`; the default where there is none.

        Raises:
            ValueError: It has another type.
        """
        value = self.values.get(option, default)
        allowed = (*kinds, type(default))
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            raise ValueError(
                f"'{self.file}' has {self.within}{option}: {quoted(shortened(str(value)))}, which is no value for it: "
                "get the file again."
            )
        return value

    def part(self, option: str) -> Options:
        """The options within an option; none where it is missing.

        Raises:
            ValueError: It is something else.
        """
        return Options(self.get(option, {}, Mapping), self.file, f"{self.within}{option}.")

    def refuse(self, option: str, needed: str) -> ValueError:
        """The error that a model needs what there is not here."""
        value = shortened(str(self.values.get(option)))
        return ValueError(f"'{self.file}' needs {needed} ({self.within}{option}: {value}), which there is not here.")

    def choose(self, option: str, choices: Mapping[str, Any], default: str, what: str) -> Any:
        """
        What an option's value means.

        Args:
            option: Its name.
            choices: What each value means.
            default: The value where there is none.
            what: What it chooses, for the sentence.

        Raises:
            ValueError: It has another value.
        """
        value = self.get(option, default)
        if value not in choices:
            raise self.refuse(option, f"another {what} than {', '.join(choices)}")
        return choices[value]
