# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The runs behind the page: translating, comparing and changing one thing, within limits and without storing texts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from hf_attn_seq2seq.app.limits import Limits
from hf_attn_seq2seq.decoding.engines import Engine
from hf_attn_seq2seq.decoding.folders import check_reads
from hf_attn_seq2seq.decoding.loaded import quick_engine
from hf_attn_seq2seq.decoding.loading import Translator, load
from hf_attn_seq2seq.decoding.text import translate
from hf_attn_seq2seq.explain import Trace, trace
from hf_attn_seq2seq.modality import TEXT
from hf_attn_seq2seq.splitting import Piece, join_text, source_language, split_text, splits_sentences


BATCH = 8  # sentences that are translated between two looks at the clock


class Change(NamedTuple):
    """One change: `kind` is "source", "target" or "weights"; `place` a source word or a step, counted from 0."""

    kind: str
    place: int
    word: str = ""


class Ran(NamedTuple):
    """A run and the run shown beside it: that of the second model, or the changed one."""

    first: Trace
    second: Trace | None


class Answer(NamedTuple):
    """
    A text translated sentence by sentence.

    Attributes:
        sentences: The sentences of the text.
        beams: Number of beams of the search.
        source: The sentences with the surrounding whitespace; together they are the text.
        targets: Their translations with the surrounding whitespace, per model.
    """

    sentences: list[str]
    beams: int
    source: list[str]
    targets: list[list[str]]


class Runs:
    """
    One or two models that process one request at a time.

    Args:
        model: The name of a packaged model, a folder, or a name on the Hub.
        compare: A second model, or None.
        limits: Limits of each answer; None: the default limits.

    Raises:
        ValueError: A model is missing or not suitable, or a limit is 0 or less.
    """

    def __init__(self, model: str, compare: str | None = None, limits: Limits | None = None) -> None:
        limits = limits or Limits()
        limits.check()
        self.names = [model] if compare is None else [model, compare]
        self.limits = limits
        self.translators = [load(name) for name in self.names]
        for name, translator in zip(self.names, self.translators):
            check_reads(name, translator.model.config, TEXT, instead="explain")
        self.engines = [quick_engine(translator.model) for translator in self.translators]
        self._turn = threading.Lock()

    @property
    def beams(self) -> int:
        """The number of beams in the first model's settings."""
        return min(self.limits.beams, self.translators[0].model.generation_config.num_beams or 1)

    def translate(self, text: str, beams: int | None = None) -> tuple[Answer, Ran]:
        """
        Translate a text with each model, sentence by sentence; also returns the runs of the first sentence.

        Whether the text is split, and the number of beams if it is None, are by the first model's settings.

        Raises:
            ValueError: The text is blank or exceeds the limits, or the run took too long.
        """
        text, beams = self.checked(text), self.beams if beams is None else beams
        model, tokenizer = self.translators[0]
        whole = not splits_sentences(model.config)
        pieces = [Piece("", text)] if whole else split_text(text, source_language(tokenizer))
        sentences = [piece.sentence for piece in pieces]
        with self._within_limits() as check:
            traces = [self._trace(*model, sentences[0], beams) for model in self._models()]
            others = [
                self._others(*model, sentences[1:], beams, check) for model in zip(self.translators, self.engines)
            ]
        texts = [[one.document["target"]["text"], *each] for one, each in zip(traces, others)]
        targets = [join_text(pieces, each) for each in texts]
        source = [piece.before + piece.sentence + piece.after for piece in pieces]
        return Answer(sentences, beams, source, targets), Ran(traces[0], traces[1] if traces[1:] else None)

    def sentence(self, text: str, beams: int) -> Ran:
        """Each model's run of one sentence; raises like [`translate`]."""
        with self._within_limits():
            traces = [self._trace(*model, text, beams) for model in self._models()]
        return Ran(traces[0], traces[1] if traces[1:] else None)

    def change(self, text: str, beams: int, change: Change) -> Ran:
        """
        Translate with the first model, and again with one thing changed.

        Raises:
            ValueError: As for [`translate`] and [`Trace.what_if`], or a word is missing.
        """
        word = " ".join(change.word.split())
        if change.kind == "target" and not word:
            raise ValueError("Choose or type the token that the model must output at this step.")
        with self._within_limits():
            before = self._trace(self.translators[0], self.names[0], text, beams)
            return Ran(before, before.what_if(**self._asked(before, change._replace(word=word))))

    def first(self, text: str, beams: int) -> Ran:
        """Translate with the first model only; raises like [`translate`]."""
        with self._within_limits():
            return Ran(self._trace(self.translators[0], self.names[0], text, beams), None)

    def checked(self, text: str | None) -> str:
        """The text without surrounding whitespace; a ValueError if it is blank or too long."""
        text = (text or "").strip()
        if not text:
            raise ValueError("Type a text first.")
        if len(text) > self.limits.characters:
            raise ValueError(
                f"The text has {len(text)} characters: this page translates up to {self.limits.characters}."
            )
        if len(text.split()) > self.limits.words:
            raise ValueError(
                f"The text has {len(text.split())} words: this page translates up to {self.limits.words}."
            )
        return text

    def _asked(self, before: Trace, change: Change) -> dict[str, Any]:
        """The arguments of `what_if`."""
        if change.kind == "source":
            words, _ = before.words("source")
            if not 0 <= change.place < len(words.spans):
                raise ValueError(f"This sentence has no word {change.place + 1}: translate it again.")
            start, end = words.spans[change.place]
            text = f"{words.text[:start]}{change.word}{words.text[end:]}"
            return {"source": self.checked(" ".join(text.split()))}
        if change.kind == "target":
            return {"target": {change.place: change.word}}
        return {"weights": {change.place: "uniform"}}

    def _models(self) -> Iterator[tuple[Translator, str]]:
        return zip(self.translators, self.names)

    def _trace(self, translator: Translator, name: str, text: str, beams: int) -> Trace:
        if not 1 <= beams <= self.limits.beams:
            raise ValueError(f"The number of beams is {beams}: choose from 1 to {self.limits.beams}.")
        return trace(*translator, text, num_beams=beams, name=name)

    @staticmethod
    def _others(
        translator: Translator, engine: Engine, sentences: list[str], beams: int, check: Callable[[], None]
    ) -> list[str]:
        """The translations of sentences that are not shown yet, with a check before each batch of them."""
        texts: list[str] = []
        for start in range(0, len(sentences), BATCH):
            check()
            batch = sentences[start : start + BATCH]
            texts += translate(engine, translator.tokenizer, batch, split_sentences=False, num_beams=beams)
        return texts

    @contextmanager
    def _within_limits(self) -> Iterator[Callable[[], None]]:
        """One run at a time; a ValueError if it takes too long, checked before each step of the models."""
        with self._turn:
            end = time.monotonic() + self.limits.seconds

            def check(*_: Any) -> None:
                if time.monotonic() > end:
                    raise ValueError(
                        f"This took more than {self.limits.seconds:g} seconds and was stopped: try a shorter text."
                    )

            check.only_interrupts = True  # type: ignore[attr-defined]  # so that the graph may go on
            hooks = [translator.model.register_forward_pre_hook(check) for translator in self.translators]
            try:
                yield check
            finally:
                for hook in hooks:
                    hook.remove()
