# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
The guided tours of one sentence, in real numbers: with the packaged model, and with two models trained for it, first
through one fixed vector and then with attention.
"""

from __future__ import annotations

import difflib
import json
import random
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from hf_attn_seq2seq.data.grammar import AlignedPair, Grammar
from hf_attn_seq2seq.decoding import translate
from hf_attn_seq2seq.decoding.heatmap import terminal_heatmap
from hf_attn_seq2seq.decoding.loading import Translator, load, load_translator
from hf_attn_seq2seq.decoding.names import DEFAULT_MODEL
from hf_attn_seq2seq.explain.chapters import chapter_order, step_sentence, token_label
from hf_attn_seq2seq.explain.contrast import Contrast, contrast_of, print_contrast
from hf_attn_seq2seq.explain.document import Trace
from hf_attn_seq2seq.explain.names import Depth
from hf_attn_seq2seq.explain.sentences import telling_step
from hf_attn_seq2seq.explain.terminal import print_trace
from hf_attn_seq2seq.explain.tracing import trace


SENTENCE = "The cat is on the mat."
GRAMMAR_SENTENCE = "The cat is on the mat ."  # as the models trained on the grammar read it
STEP = 1  # "chat", which the changes are made at
WHAT_IFS: dict[str, dict[str, Any]] = {
    f"target.{STEP + 1}=chien": {"target": {STEP: "chien"}},
    f"weights.{STEP + 1}=mat": {"weights": {STEP: "mat"}},
    "source=The dog is on the mat.": {"source": "The dog is on the mat."},
}
DEMO, DEMO_NONE = "demo", "demo-none"
# A different seed from the demonstration's: a long sentence is very unlikely to be in its training data.
DRAW_SEED, DRAWN, OF_EACH_LENGTH = 1, 2000, 60
LENGTHS = ((1, 5), (6, 8), (9, 11), (12, 99))  # words, including full stops
DEPTHS: dict[str, Depth] = {"embeddings": "bars", "encoder": "bars"}


class Measured(NamedTuple):
    """The results of two models on sentences of the grammar."""

    pairs: list[AlignedPair]
    without: list[str]
    attending: list[str]

    def right(self, low: int, high: int) -> tuple[int, int, int]:
        """The number of sentences with `low` to `high` words, and how many each model translated correctly."""
        rows = [
            (without == pair.target, attending == pair.target)
            for pair, without, attending in zip(self.pairs, self.without, self.attending)
            if low <= len(pair.source_words) <= high
        ]
        return len(rows), sum(without for without, _ in rows), sum(attending for _, attending in rows)

    def failure(self) -> int | None:
        """The longest sentence that only the model with attention translated correctly; None if there is none."""
        found = [
            index
            for index, pair in enumerate(self.pairs)
            if self.without[index] != pair.target and self.attending[index] == pair.target
        ]
        return max(found, key=lambda index: len(self.pairs[index].source_words), default=None)


class Told(NamedTuple):
    """What a tour has told of: a trace, and the same words through a model without attention."""

    trace: Trace
    contrast: Contrast | None


def tell_tour(console: Console, *, plain: bool = False, step_by_step: bool = False) -> Told:
    """
    Tell the story of "The cat is on the mat." chapter by chapter, with the numbers of the packaged model.

    Args:
        console: The console to print to.
        plain: Whether to use only ASCII characters, without colour.
        step_by_step: Whether to wait for the Enter key between the parts.

    Returns:
        the trace of the sentence, whose children are the what-if runs, and its contrast.
    """
    told = trace(*load(), SENTENCE, name=DEFAULT_MODEL)
    contrast = contrast_of(DEFAULT_MODEL, [told])
    _Tour(_console(console, plain), plain, step_by_step).tell(told, contrast)
    return Told(told, contrast)


def tell_trained_tour(
    console: Console, *, plain: bool = False, step_by_step: bool = False, folder: str | Path = Path("outputs")
) -> Told:
    """
    Tell the story of "The cat is on the mat ." first without and then with attention, with the demonstration's models.

    Missing models are trained first, which takes about two minutes each on two cores.

    Args:
        console, plain, step_by_step: As for [`tell_tour`].
        folder: Contains `demo`, the model of `make demo`, and `demo-none`, the same without attention.

    Returns:
        the trace of the sentence with attention, without a contrast.

    Raises:
        ValueError: A model in the folder is not the one that its name suggests.
    """
    console = _console(console, plain)
    folder = Path(folder)
    attending = _demo_model(folder / DEMO, True, console)
    without = _demo_model(folder / DEMO_NONE, False, console)
    told = trace(*attending, GRAMMAR_SENTENCE)
    _TrainedTour(console, plain, step_by_step, attending, without, folder).tell(told)
    return Told(told, None)


def _console(console: Console, plain: bool) -> Console:
    if not plain:
        return console
    return Console(file=console.file, width=console.width, color_system=None, legacy_windows=False)


def _demo_model(folder: Path, attends: bool, console: Console) -> Translator:
    """The demonstration's model, trained if it is missing."""
    if not (folder / "config.json").is_file():
        try:
            from hf_attn_seq2seq.training import demo
        except ImportError as error:
            raise ImportError(
                "--train-tour trains its models: run pip install 'hf_attn_seq2seq[train,explain]'."
            ) from error

        kind = "with attention" if attends else "without attention"
        console.print(
            f"There is no model {kind} in {folder} yet: training it now takes about two minutes on two cores.",
            markup=False,
        )
        settings = _settings_of(folder.with_name(DEMO))
        demo.train_demo(folder, "additive" if attends else "none", *settings, console)
    translator = load_translator([str(folder)])
    kind = getattr(translator.model.config, "attention_type", None)
    if kind is None or (kind != "none") != attends:
        wanted = "a model with attention" if attends else "one without"
        raise ValueError(
            f"'{folder}' should contain {wanted}, but contains another: remove it, and the tour trains its own."
        )
    return translator


class _Settings(NamedTuple):
    """The settings shared by both models of a comparison: the arguments of `train_demo` after the attention."""

    seed: int = 0
    train_size: int = 40000
    epochs: float = 3


def _settings_of(folder: Path) -> _Settings:
    from hf_attn_seq2seq.training.demo import FIGURES_FILE

    results = folder / FIGURES_FILE
    if not results.is_file():
        return _Settings()
    found = json.loads(results.read_text("utf-8"))
    return _Settings(**{name: found[name] for name in _Settings._fields if name in found})


def draw_sentences() -> list[AlignedPair]:
    """Distinct sentences of the built-in grammar, up to a fixed number for each range of lengths."""
    grammar = Grammar(random.Random(DRAW_SEED))
    drawn = list({pair.source: pair for pair in (grammar.sentence() for _ in range(DRAWN))}.values())
    chosen = []
    for low, high in LENGTHS:
        chosen += [pair for pair in drawn if low <= len(pair.source_words) <= high][:OF_EACH_LENGTH]
    return chosen


def mark_differences(said: str, right: str) -> str:
    """The translation, with the words that differ from the correct one in square brackets."""
    words, wanted = said.split(), right.split()
    marked: list[str] = []
    for operation, start, end, _, _ in difflib.SequenceMatcher(None, words, wanted, autojunk=False).get_opcodes():
        if operation == "equal":
            marked += words[start:end]
        else:
            marked.append(f"[{' '.join(words[start:end]) or '...'}]")
    return " ".join(marked)


@dataclass
class _Tour:
    """The tour of one trace."""

    console: Console
    plain: bool
    step_by_step: bool

    def tell(self, told: Trace, contrast: Contrast | None = None) -> None:
        self.title(f'How attention works: the story of "{SENTENCE}"')
        self.say(
            f"{DEFAULT_MODEL}, a small translator included in this package, learned English to French from everyday "
            "sentences and novels. For each word that it writes, it looks again at the source words that help "
            "(Bahdanau et al. 2015). Follow it through the chapters of one run. All numbers below were computed just "
            "now."
        )
        self.pair(SENTENCE, told.document["target"]["text"])
        self.chapters(told)
        self.whole(told)
        if contrast is not None:
            self.pause()
            self.title("Without attention")
            print_contrast(self.console, told, contrast, self.plain)
        self.pause()
        self.title("What if?")
        self.say("Change one thing, and the model runs again:")
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_row("", told.document["target"]["text"])
        for change, asked in WHAT_IFS.items():
            grid.add_row(Text(change), Text(told.what_if(**asked).document["target"]["text"], style="bold"))
        self.console.print(Padding(grid, (0, 0, 0, 2), expand=False))
        self.next(
            {
                f'"{SENTENCE}"': "a sentence of your own",
                f'"{SENTENCE}" --html cat.html': "as an interactive page",
                f'"{SENTENCE}" --what-if target.2=chien': "with one thing changed",
                "--example paragraph --html paragraph.html": "a paragraph, sentence by sentence",
                "--train-tour": "with and without attention: two models are trained for it in a few minutes",
            }
        )

    def chapters(self, told: Trace) -> None:
        step = telling_step(told)  # of real rivals, as on the page
        for key in chapter_order(told.document):
            self.pause()
            print_trace(told, self.console, step=step, chapter=key, depth=DEPTHS.get(key, "numbers"), plain=self.plain)

    def whole(self, told: Trace) -> None:
        self.pause()
        self.title("The whole sentence")
        self.say("Each row is a token of the translation and shows where the model looked:")
        self.heatmap(told)

    def next(self, commands: dict[str, str]) -> None:
        self.title("Next")
        for options, what in commands.items():
            command = f"  # {what}\n  hf-attn-seq2seq explain {options}"
            self.console.print(command, markup=False, highlight=False, soft_wrap=True)

    def title(self, text: str) -> None:
        self.console.print()
        self.console.print(Text(text, style="bold underline"))

    def say(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False)

    def pair(self, source: str, target: str) -> None:
        grid = Table.grid(padding=(0, 2, 0, 0))
        for language, text in (("English", source), ("French", target)):
            grid.add_row(language, Text(text, style="bold"))
        self.console.print(Padding(grid, (0, 0, 0, 2), expand=False))

    def heatmap(self, shown: Trace) -> None:
        labels = [[token_label(token) for token in shown.document[side]["tokens"]] for side in ("source", "target")]
        if self.plain:
            drawn = terminal_heatmap(shown.weights(), *labels, width=self.console.width, plain=True)
            self.console.print(drawn, markup=False, highlight=False)
        else:
            self.console.print(terminal_heatmap(shown.weights(), *labels, width=self.console.width))
        self.console.print()

    def pause(self) -> None:
        if self.step_by_step:
            try:
                self.console.input(Text("\n(press Enter to continue) ", style="dim"))
            except EOFError:  # nobody is there to press it
                self.console.print()


@dataclass
class _TrainedTour(_Tour):
    """The tour of two models that differ only in their attention."""

    attending: Translator
    without: Translator
    folder: Path

    def tell(self, told: Trace, contrast: Contrast | None = None) -> None:
        self.title(f'How attention works: the story of "{GRAMMAR_SENTENCE}"')
        self.say(
            "Two small translators learned English to French from the sentences of one grammar. They differ in one "
            "thing: what they can look at while they write. All numbers below were computed by them just now."
        )
        self.pause()
        self.one_vector()
        self.pause()
        self.title("Part 2: with attention, chapter by chapter")
        self.say(
            "The second translator keeps the state of every word, and for each word that it writes, it looks again "
            "at those that help (Bahdanau et al. 2015). Follow it through the chapters of one run:"
        )
        self.pair(GRAMMAR_SENTENCE, told.document["target"]["text"])
        self.chapters(told)
        self.whole(told)
        demo, none = (shlex.quote(str(self.folder / name)) for name in (DEMO, DEMO_NONE))
        self.next(
            {
                f'{demo} "{GRAMMAR_SENTENCE}"': "any sentence, with any of your models",
                f'{demo} "{GRAMMAR_SENTENCE}" --html cat.html': "as an interactive page",
                f'{demo} "{GRAMMAR_SENTENCE}" --compare {none}': "two models, side by side",
            }
        )

    def one_vector(self) -> None:
        self.title("Part 1: everything through one list of numbers")
        fixed = trace(*self.without, GRAMMAR_SENTENCE)
        width = fixed.arrays["attention.0.context"].shape[-1]
        self.say(
            f"The first translator reads the whole text, keeps one list of {width} numbers, and writes its "
            "translation from that list alone (Cho et al. 2014; Sutskever et al. 2014). A short sentence:"
        )
        self.pair(GRAMMAR_SENTENCE, fixed.document["target"]["text"])
        print_trace(fixed, self.console, chapter="handover", depth="lines", plain=self.plain)
        self.pause()

        with self.console.status("Translating sentences of all lengths ..."):
            measured = self.measure()
        self.title("Short and long sentences")
        self.lengths(measured)
        index = measured.failure()
        if index is None:
            self.say("None of these sentences was translated correctly only by the translator with attention.")
        else:
            self.failure(measured, index)

    def measure(self) -> Measured:
        pairs = draw_sentences()
        sources = [pair.source for pair in pairs]
        without, attending = (translate(*model, sources) for model in (self.without, self.attending))
        return Measured(pairs, without, attending)

    def lengths(self, measured: Measured) -> None:
        self.say(
            f"Both translated {len(measured.pairs)} new sentences of the grammar. Correct means identical to the "
            "reference:"
        )
        table = Table(box=None if self.plain else box.SIMPLE_HEAD, show_edge=False)
        for header in ("words", "sentences", "one list: correct", "attention: correct"):
            table.add_column(header, justify="right")
        for low, high in LENGTHS:
            count, without, attending = measured.right(low, high)
            if count:
                span = f"{low} to {high}" if high < LENGTHS[-1][1] else f"{low} or more"
                table.add_row(span, str(count), f"{without / count:.0%}", f"{attending / count:.0%}")
        self.console.print(Padding(table, (0, 0, 0, 2), expand=False))

    def failure(self, measured: Measured, index: int) -> None:
        pair = measured.pairs[index]
        self.title("Where one list fails")
        self.say(f"The longest sentence that only attention got right ({len(pair.source_words)} words and signs):")
        self.pair(pair.source, mark_differences(measured.without[index], pair.target))
        self.say(f"Correct: {pair.target}")
        failed, right = trace(*self.without, pair.source), trace(*self.attending, pair.source)
        step = _first_difference(failed, right)
        self.say(
            f"Errors are in square brackets. The two translators first differ at step {step + 1}. With one list: "
            f"{step_sentence(failed, step)} With attention: {step_sentence(right, step)}"
        )
        self.pause()
        self.say(
            "The whole sentence, with attention. Each row is a word of the translation and shows where it looked:"
        )
        self.heatmap(right)


def _first_difference(left: Trace, right: Trace) -> int:
    """The first step at which two runs chose different tokens."""
    chosen: Sequence[list[int]] = [[step["choice"]["id"] for step in each.document["steps"]] for each in (left, right)]
    return next((t for t, (a, b) in enumerate(zip(*chosen)) if a != b), min(map(len, chosen)) - 1)
