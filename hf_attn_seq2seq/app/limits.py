# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Limits of a run."""

from typing import NamedTuple


class Limits(NamedTuple):
    """Limits of one run: words and characters of the text, and total seconds. The model limits each sentence."""

    words: int = 300
    characters: int = 3000
    seconds: float = 60.0
    beams: int = 8

    def check(self) -> None:
        """Raise a ValueError if a limit is not above 0."""
        for name, value in self._asdict().items():
            if not value > 0:
                raise ValueError(f"The limit for {name.replace('_', ' ')} is {value}: it must be above 0.")
