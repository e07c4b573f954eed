# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What the page asks of its models: translate, compare, change one thing; within limits, and keeping nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from hf_attn_seq2seq.decoding.loading import Translator, load
from hf_attn_seq2seq.explain import Trace, trace


class Limits(NamedTuple):
    """Of one run: words and characters of the sentence, tokens of the translation, seconds in all."""

    words: int = 40
    characters: int = 400
    new_tokens: int = 100
    seconds: float = 20.0
    beams: int = 8

    def check(self) -> None:
        """Raise a ValueError where a limit would let nothing through."""
        for name, value in self._asdict().items():
            if not value > 0:
                raise ValueError(f"The limit of {name.replace('_', ' ')} is {value}: it must be above 0.")


class Change(NamedTuple):
    """One change: `kind` is "source", "target" or "weights"; `place` a source word or a step, counted from 0."""

    kind: str
    place: int
    word: str = ""


class Ran(NamedTuple):
    """A run, and what is shown beside it: the second model's, or the changed one."""

    first: Trace
    second: Trace | None


class Runs:
    """
    One or two models that answer one question at a time.

    Args:
        model: A packaged model's name, a folder, or a name on the Hub.
        compare: Another, or None.
        limits: Of each answer; None: the usual ones.

    Raises:
        ValueError: A model is missing or unfit, or a limit is 0 or less.
    """

    def __init__(self, model: str, compare: str | None = None, limits: Limits | None = None) -> None:
        limits = limits or Limits()
        limits.check()
        self.names = [model] if compare is None else [model, compare]
        self.limits = limits
        self.translators = [load(name) for name in self.names]
        self._turn = threading.Lock()

    def translate(self, text: str, beams: int = 1) -> Ran:
        """
        Translate by each model.

        Raises:
            ValueError: The text is blank or beyond the limits, or the run took too long.
        """
        text = self.checked(text)
        with self._within_limits():
            traces = [self._trace(translator, name, text, beams) for translator, name in self._models()]
        return Ran(traces[0], traces[1] if len(traces) > 1 else None)

    def change(self, text: str, beams: int, change: Change) -> Ran:
        """
        Translate by the first model, and again with one thing changed.

        Raises:
            ValueError: As [`translate`] and [`Trace.what_if`] do, or a word was not given.
        """
        word = " ".join(change.word.split())
        if change.kind == "target" and not word:
            raise ValueError("Choose or write the token that the model has to say at this step.")
        text = self.checked(text)
        with self._within_limits():
            before = self._trace(self.translators[0], self.names[0], text, beams)
            return Ran(before, before.what_if(**self._asked(before, change._replace(word=word))))

    def first(self, text: str, beams: int) -> Ran:
        """Translate by the first model alone; raises as [`translate`] does."""
        text = self.checked(text)
        with self._within_limits():
            return Ran(self._trace(self.translators[0], self.names[0], text, beams), None)

    def checked(self, text: str | None) -> str:
        """The text without blanks around it; a ValueError where it is blank or too long."""
        text = " ".join((text or "").split())
        if not text:
            raise ValueError("Write a sentence first.")
        if len(text) > self.limits.characters:
            raise ValueError(f"That is {len(text)} characters: up to {self.limits.characters} are translated here.")
        if len(text.split()) > self.limits.words:
            raise ValueError(f"That is {len(text.split())} words: up to {self.limits.words} are translated here.")
        return text

    def _asked(self, before: Trace, change: Change) -> dict[str, Any]:
        """The arguments of `what_if`."""
        if change.kind == "source":
            words, _ = before.words("source")
            if not 0 <= change.place < len(words.spans):
                raise ValueError(f"There is no word {change.place + 1} in this sentence: translate it again.")
            start, end = words.spans[change.place]
            return {"source": self.checked(f"{words.text[:start]}{change.word}{words.text[end:]}")}
        if change.kind == "target":
            return {"target": {change.place: change.word}}
        return {"weights": {change.place: "uniform"}}

    def _models(self) -> Iterator[tuple[Translator, str]]:
        return zip(self.translators, self.names)

    def _trace(self, translator: Translator, name: str, text: str, beams: int) -> Trace:
        if not 1 <= beams <= self.limits.beams:
            raise ValueError(f"{beams} beams are asked for: choose 1 to {self.limits.beams}.")
        tokens = self.limits.new_tokens
        return trace(translator.model, translator.tokenizer, text, num_beams=beams, max_new_tokens=tokens, name=name)

    @contextmanager
    def _within_limits(self) -> Iterator[None]:
        """One run at a time; a ValueError where the models go on for too long, asked before each of their steps."""
        with self._turn:
            end = time.monotonic() + self.limits.seconds

            def check(*_: Any) -> None:
                if time.monotonic() > end:
                    raise ValueError(
                        f"This took over {self.limits.seconds:g} seconds and was ended: try a shorter sentence."
                    )

            hooks = [translator.model.register_forward_pre_hook(check) for translator in self.translators]
            try:
                yield
            finally:
                for hook in hooks:
                    hook.remove()
