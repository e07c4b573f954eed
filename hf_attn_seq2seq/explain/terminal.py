# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The chapters of a run in the terminal, with the numbers of each step and checks of their sums."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from hf_attn_seq2seq.console import signed
from hf_attn_seq2seq.decoding.heatmap import closed, shorten, visible
from hf_attn_seq2seq.explain.chapters import (
    TITLES,
    chapter_texts,
    distinct_labels,
    proof_note,
    said,
    step_sentence,
    token_label,
)
from hf_attn_seq2seq.explain.document import Trace
from hf_attn_seq2seq.explain.kinds import KINDS, UNTOLD
from hf_attn_seq2seq.explain.ledger import recompute_weights
from hf_attn_seq2seq.explain.media_chapters import nouns
from hf_attn_seq2seq.explain.media_terminal import drawn_input, drawn_weights, heights, resampled
from hf_attn_seq2seq.explain.names import DEPTHS, Depth
from hf_attn_seq2seq.messages import shortened


STEP_CHAPTERS = ("step_input", "attention", "state", "choice")
GATES = ("update", "reset", "input", "forget", "keep", "output")  # as cells record them

# The colours of every view. Plain terminal colours, so that they are legible on dark and light backgrounds.
QUERY, KEY, VALUE, SCORE = "blue", "red", "green", "magenta"
EIGHTHS = " ▏▎▍▌▋▊▉█"
MAX_LABEL = 18
BAR = (8, 24)  # minimum and maximum, in columns
LEDGER_TERMS = 8
MANY = 128  # tokens of a text: if there are more, they are shown as frames and patches are
PLACES = 10  # frames or patches of a recording or a picture, or of many tokens, that a table shows


def print_trace(
    trace: Trace,
    console: Console | None = None,
    *,
    step: int | None = None,
    chapter: str | None = None,
    depth: Depth = "numbers",
    layer: int = -1,
    head: int | None = None,
    plain: bool = False,
) -> None:
    """
    Explain in the terminal how a translation was made.

    Columns that do not fit the width are left out, the least important first, and listed. Colours follow the console,
    which honours `NO_COLOR`; no information depends on colour alone.

    Args:
        trace: The trace of a run.
        console: The console to print to; None: standard output.
        step: Counted from 0, or from the last as -1; None: all steps.
        chapter: A key of `TITLES`; None: all chapters.
        depth: "lines": sentences; "bars": also bars of the main numbers; "numbers": also every number with its check;
            "vectors": also the vectors, as far as they fit, with the largest terms of a score.
        layer: Index among the decoder layers with attention.
        head: Counted from 0; None: the first head for scores, and the mean of all heads for where a step looked.
        plain: Whether to use only ASCII characters, without colour.

    Raises:
        ValueError: The step, chapter, depth, layer or head does not exist.
    """
    if chapter is not None and chapter not in TITLES:
        raise ValueError(f"The chapter '{shortened(chapter)}' is unknown: choose one of {', '.join(TITLES)}.")
    if depth not in DEPTHS:
        raise ValueError(f"The depth '{shortened(depth)}' is unknown: choose one of {', '.join(DEPTHS)}.")
    if step is not None:
        step = trace.check_step(step)
    if trace.layers:
        layer = trace.attended(layer)
        trace.weights(layer, head)  # refuses a head that does not exist
    console = console or Console()
    if plain:
        console = Console(file=console.file, width=console.width, color_system=None, legacy_windows=False)
    steps = range(len(trace.document["steps"])) if step is None else [step]
    _Printer(trace, console, list(steps), DEPTHS.index(depth), layer, head, plain).run(chapter)


class Column(NamedTuple):
    """A column of a table that is left out if the width does not suffice."""

    header: str
    cells: Sequence[str]
    rank: int  # the highest is left out first; 0 never is
    style: str = ""
    left: bool = False
    footer: str = ""


@dataclass
class _Printer:
    trace: Trace
    console: Console
    steps: list[int]
    depth: int
    layer: int
    head: int | None
    plain: bool

    def __post_init__(self) -> None:
        self.document = self.trace.document
        self.arrays = self.trace.arrays
        self.input, self.nouns = self.trace.input, nouns(self.trace.input)
        self.many = self.input is not None or len(self.document["source"]["tokens"]) > MANY
        self.mark = "~" if self.plain else "…"
        self.words = {side: [token_label(t) for t in self.document[side]["tokens"]] for side in ("source", "target")}

    def run(self, chapter: str | None) -> None:
        if chapter is None:
            self.heading()
        writers = {
            "tokens": self.tokens,
            "embeddings": self.embeddings,
            "encoder": self.encoder,
            "handover": self.handover,
            "loop": self.loop,
        }
        texts = chapter_texts(self.trace)
        for number, (key, text) in enumerate(texts.items(), 1):
            if chapter not in (None, key):
                continue
            self.title(f"{number} {text.title}")
            self.say(text.plain, quoted=True)
            if self.depth >= 2:
                self.say(text.exact, "dim")
                self.say(text.formula, SCORE if key == "attention" else "")
            if key == "attention" and self.trace.layers:
                self.say(proof_note(self.trace), "dim")
            if key in writers:
                writers[key]()
            elif chapter == key:
                for step in self.steps:
                    self.step(step, [key])
            elif key == "choice":  # the chapters of a step are shown step by step
                for step in self.steps:
                    self.step(step, [each for each in texts if each in STEP_CHAPTERS])

    # What is printed

    def title(self, text: str) -> None:
        self.console.print()
        self.console.print(Text(text, style="bold"))

    def say(self, text: str, style: str = "", *, quoted: bool = False) -> None:
        """Print a paragraph; `quoted`: one of the source's own tokens, whose hyphens stay."""
        text = signed(text, plain=quoted or self.plain)
        for line in Text(text).wrap(self.console, max(self.console.width - 2, 1)):
            line.rstrip()  # not padded, so that copied text has no trailing whitespace
            self.console.print(Text("  ").append(line.plain, style), soft_wrap=True)

    def table(self, columns: list[Column], note: str = "") -> None:
        """A table of the columns that fit; the others are listed."""
        room = self.console.width - 2
        kept = list(columns)
        while self.width(kept) > room and any(column.rank for column in kept):
            kept.remove(max(kept, key=lambda column: column.rank))
        table = Table(
            box=None if self.plain else box.SIMPLE_HEAD,
            padding=(0, 1),
            pad_edge=False,
            show_footer=any(column.footer for column in kept),
            show_edge=False,
        )
        for column in kept:
            table.add_column(
                Text(self.number(column.header), style=column.style),
                Text(self.number(column.footer)),
                justify="left" if column.left else "right",
                style=column.style,
                no_wrap=True,
                overflow="crop",
            )
        for row in zip(*(column.cells for column in kept)):
            texts = (cell if column.left else self.number(cell) for cell, column in zip(row, kept))
            table.add_row(*map(Text, texts))
        self.console.print(Padding(table, (0, 0, 0, 2), expand=False))
        gone = [column.header for column in columns if column not in kept]
        if gone:
            self.say(f"Left out for lack of width: {', '.join(gone)}.")
        if note:
            self.say(note, "dim")

    def number(self, cell: str) -> str:
        return signed(cell, self.plain)

    @staticmethod
    def width(columns: list[Column]) -> int:
        return sum(_width([column.header, column.footer, *column.cells]) + 3 for column in columns)

    def label(self, text: str) -> str:
        return closed(shorten(text, MAX_LABEL, self.mark))

    def bars(self, shares: Iterable[float], taken: int) -> list[str]:
        """Bars of shares between 0 and 1 in the width that the other columns leave."""
        width = min(max(self.console.width - 2 - taken, BAR[0]), BAR[1])
        return [self.bar(float(share), width) for share in shares]

    def bar(self, share: float, width: int) -> str:
        if self.plain:
            return "#" * round(share * width)
        eighths = round(share * width * 8)
        return "█" * (eighths // 8) + (EIGHTHS[eighths % 8] if eighths % 8 else "")

    def vector(self, name: str, values: np.ndarray, style: str = "") -> None:
        """As many numbers of a vector as fit on one line."""
        start = f"{name} ({values.size}) "
        numbers = [self.number(_digits(value)) for value in values.ravel()]
        room = self.console.width - 2 - cell_len(start) - 4
        shown: list[str] = []
        for each in numbers:
            if sum(map(len, shown)) + len(shown) + len(each) > room:
                break
            shown.append(each)
        rest = "" if len(shown) == len(numbers) else " ..."
        self.console.print(
            Padding(Text(start + " ".join(shown) + rest, style=style, no_wrap=True), (0, 0, 0, 2), expand=False)
        )

    # Chapters

    def heading(self) -> None:
        document, run = self.document, self.document["run"]
        arrow = "->" if self.plain else "→"
        source, target = (closed(visible(document[side]["text"] or " ")) for side in ("source", "target"))
        self.console.print(Text(f"{source}  {arrow}  {target}", style="bold"))
        model = document["model"]
        how = "given words" if run["forced"] else "greedy" if run["num_beams"] == 1 else f"{run['num_beams']} beams"
        self.console.print(
            Text(f"{model['name']}: {model['class']}, {model['parameters']:,} parameters; {how}", style="dim")
        )

    def draw(self, lines: Iterable[str], style: str = "") -> None:
        for line in lines:
            self.console.print(Text(f"  {line}", style=style), soft_wrap=True)

    @property
    def drawing_width(self) -> int:
        return max(self.console.width - 4, 8)

    def tokens(self) -> None:
        if self.input is not None and self.depth >= 1:
            self.console.print()
            self.draw(drawn_input(self.input, self.arrays, self.drawing_width, self.plain))
            return
        if self.depth < 2:
            return
        count = len(self.document["source"]["tokens"])
        tokens = self.document["source"]["tokens"][: PLACES if self.many else count]
        words = self.document["source"]["words"]
        spans = ["" if t["span"] is None else f"{t['span'][0]}-{t['span'][1]}" for t in tokens]
        in_word = ["" if t["word"] is None else self.label(visible(words[t["word"]]["text"])) for t in tokens]
        self.table(
            [
                Column("j", _counted(tokens), 0),
                Column("source", [self.label(word) for word, _ in zip(self.words["source"], tokens)], 0, left=True),
                Column("id", [str(token["id"]) for token in tokens], 0),
                Column("token", [self.label(visible(token["token"])) for token in tokens], 1, left=True),
                Column("characters", spans, 2),
                Column("of the word", in_word, 3, left=True),
            ],
            f"The first {len(tokens)} of {count:,} tokens." if self.many else "",
        )

    def embeddings(self) -> None:
        self.lengths("encoder.embeddings", "|E x_j|" if self.input is None else "|x_j|")
        if "encoder.inputs" in self.arrays:
            self.lengths("encoder.inputs", "|input|")

    def encoder(self) -> None:
        layers = self.document["encoder"].get("layers") or 1
        gates = []
        for direction in ("forward", "backward"):
            for gate in GATES:
                name = f"encoder.layer.{layers - 1}.{direction}.{gate}"
                if name in self.arrays:
                    gates.append((f"{gate} {'>' if direction == 'forward' else '<'}", self.arrays[name].mean(-1)))
        note = ""
        if gates:
            note = f"Gates are means over their elements in layer {layers}, > reading forwards and < backwards."
        self.lengths("encoder.states", "|h_j|", gates, note)

    def lengths(self, name: str, header: str, more: Sequence[tuple[str, np.ndarray]] = (), note: str = "") -> None:
        """The norms of vectors, one per source token, as bars relative to the longest."""
        if name not in self.arrays or self.depth < 1:
            return
        rows = self.arrays[name]
        norms = np.linalg.norm(rows, axis=-1)
        if self.many:
            self.many_lengths(header, norms, more, note)
            return
        columns = [
            Column("j", _counted(norms), 0),
            Column("source", [self.label(word) for word in self.words["source"]], 0, left=True),
        ]
        if self.depth >= 2:
            columns.append(Column(header, [_digits(norm) for norm in norms], 0))
            columns += [
                Column(gate, [f"{mean:.2f}" for mean in means], 2 + index) for index, (gate, means) in enumerate(more)
            ]
        bars = self.bars(norms / max(norms.max(), 1e-9), self.width(columns) + 3)
        columns.insert(2 + (self.depth >= 2), Column("norm of the vector", bars, 1, left=True))
        self.table(columns, note if self.depth >= 2 else "")
        if self.depth >= 3:
            for word, row in zip(self.words["source"], rows):
                self.vector(self.label(word), row)

    def many_lengths(self, header: str, norms: np.ndarray, more: Sequence[tuple[str, np.ndarray]], note: str) -> None:
        """The lengths of the vectors of frames, patches or many tokens, in their order, on one line."""
        low, high = _digits(norms.min()), _digits(norms.max())
        self.say(f"{header} of the {len(norms)} {self.nouns.many}, in order, from {low} to {high}:")
        columns = min(len(norms), self.drawing_width)
        self.draw([heights(resampled(norms, columns), self.plain)], KEY)
        if self.depth >= 2 and more:
            self.say("; ".join(f"mean {gate}: {means.mean():.2f}" for gate, means in more))
            self.say(note, "dim")

    def handover(self) -> None:
        if self.depth < 2:
            return
        for name, title in (("handover.summary", "summary"), ("handover.state", "initial state")):
            if name in self.arrays:
                array = self.arrays[name]
                self.say(f"|{title}| = {_digits(np.linalg.norm(array))}, {array.shape}")
                if self.depth >= 3:
                    self.vector(title, array)
        if self.depth >= 3 and self.trace.layers and f"attention.{self.layer}.keys" in self.arrays:
            head = self.head or 0
            for j in self.places(self.trace.weights(self.layer).mean(0)):
                word = self.words["source"][j]
                self.vector(f"key {self.label(word)}", self.arrays[f"attention.{self.layer}.keys"][head, j], KEY)
                self.vector(f"value {self.label(word)}", self.arrays[f"attention.{self.layer}.values"][head, j], VALUE)

    def step(self, step: int, parts: Sequence[str]) -> None:
        self.console.print()
        count = len(self.document["steps"])
        head = Text(f"  Step {step + 1} of {count}", style="bold")
        self.console.print(head)
        self.say(step_sentence(self.trace, step, layer=self.layer if self.trace.layers else -1, head=self.head))
        if self.depth == 0:
            return
        writers = {
            "step_input": self.step_input,
            "attention": self.attention,
            "state": self.state,
            "choice": self.choice,
        }
        for part in parts:
            writers[part](step)

    def norms(self, step: int, title: str, names: Iterable[tuple[str, str]]) -> None:
        """The norms of a step's vectors, by their symbols, and the means of its gates."""
        found = [(symbol, self.arrays[name][step]) for name, symbol in names if name in self.arrays]
        if found:
            said_ = [
                f"{symbol} = {_digits(np.linalg.norm(values))}"
                if symbol.startswith("|")
                else f"mean {symbol} {values.mean():.2f}"
                for symbol, values in found
            ]
            self.say(f"{title}: {'; '.join(said_)}")

    def step_input(self, step: int) -> None:
        if self.depth < 2:
            return
        decoder = self.document["decoder"]
        top = (decoder.get("layers") or 1) - 1
        mixer = f"decoder.layer.{top}.mixer"
        names = [
            ("decoder.embeddings", "|E y|"),
            (f"{mixer}.hidden_before", f"|h| of layer {top + 1}"),
            (f"{mixer}.hidden_after", "|h'|"),
            (f"{mixer}.mean", f"|mean of {step + 1} inputs| of layer {top + 1}"),
            (f"{mixer}.output", "|h|"),
            *((f"{mixer}.{gate}", f"{gate} gate") for gate in GATES if gate != "output"),
            (f"decoder.layer.{top}.hidden_before", "|s_(t-1)|"),
        ]
        if not self.recurrent:
            names.append((f"attention.{self.layer}.asker", "|u_t|"))
        if decoder.get("query") == "between":
            names += [(f"decoder.layer.{top}.{gate}", f"{gate} gate") for gate in GATES]
            names.append((f"decoder.layer.{top}.hidden_after", "|s'_t|"))
        self.norms(step, "step input", names)
        if self.depth >= 3 and self.recurrent:
            self.vector("previous state", self.arrays[f"decoder.layer.{top}.hidden_before"][step])

    @property
    def recurrent(self) -> bool:
        return any(name.endswith(".hidden_before") and ".mixer." not in name for name in self.arrays)

    def state(self, step: int) -> None:
        if self.depth < 2:
            return
        top = (self.document["decoder"].get("layers") or 1) - 1
        here = "decoder.transition" if "decoder.transition.hidden_after" in self.arrays else f"decoder.layer.{top}"
        gates = [(f"{here}.{gate}", f"{gate} gate") for gate in GATES]
        after = f"{here}.hidden_after" if self.recurrent else f"{here}.states"
        self.norms(step, "new state", [*gates, (after, "|s_t|")])
        if self.depth >= 3 and after in self.arrays:
            self.vector("new state", self.arrays[after][step])

    def attention(self, step: int) -> None:
        if not self.trace.layers:
            context = self.arrays.get("attention.0.context")
            if context is not None:
                self.say(f"|c| = {_digits(np.linalg.norm(context[step]))}, the same at every step")
            return
        numbers = self.depth >= 2
        head = self.head
        if head is None and (numbers and f"attention.{self.layer}.scores" in self.arrays):
            head = 0  # scores are one head's
        table = StepTable.of(self.trace, step, self.layer, head)
        if self.input is not None:
            self.draw(drawn_weights(self.input, table.weights, self.drawing_width, self.plain), SCORE)
        places = self.places(table.weights)
        words = [self.label(self.words["source"][j]) for j in places]
        source = "source" if self.input is None else self.nouns.one
        columns = [Column("j", [str(j + 1) for j in places], 0), Column(source, words, 0, left=True)]
        if numbers and table.scores is not None:
            columns.append(Column("score", [_digits(x) for x in table.scores[places]], 1, SCORE))
            if self.document["attention"].get("scaling", 1.0) != 1.0:
                columns.append(Column("scaled", [_digits(x) for x in table.scaled[places]], 5, SCORE))
            for index, (header, cells) in enumerate(table.between.items()):
                footer = _digits(cells.sum()) if header == EXP else ""
                columns.append(Column(header, [_digits(x) for x in cells[places]], 4 + index, SCORE, footer=footer))
        total = _digits(table.weights.sum()) if numbers else ""
        columns.append(Column("weight", [_digits(x) for x in table.weights[places]], 0, SCORE, footer=total))
        right = []
        if numbers and table.values is not None:
            lengths = np.linalg.norm(table.values, axis=-1)
            value = KINDS.get(self.document["attention"]["type"], UNTOLD).value
            right = [
                Column(f"|{value}|", [_digits(x) for x in lengths[places]], 3, VALUE),
                Column(f"a|{value}|", [_digits(x) for x in (table.weights * lengths)[places]], 2, VALUE),
            ]
        taken = self.width([*columns, *right]) + 3
        columns.append(Column("", self.bars(table.weights[places], taken), 0, SCORE, left=True))
        if numbers:
            columns[1] = columns[1]._replace(footer="sum" if len(places) == len(table.weights) else "sum of all")
        notes = [self.which(head)]
        if len(places) < len(table.weights):
            notes.append(f"The {len(places)} {self.nouns.many} with the largest weights, of {len(table.weights)}.")
        if right:
            notes.append(
                f"|x| is the norm of x. Vectors are added and not norms: the context, sum a {value}, has |c| = "
                f"{_digits(np.linalg.norm(table.context))}."
            )
        self.table([*columns, *right], " ".join(filter(None, notes)))
        if numbers:
            self.say(table.check(), "dim")
        if self.depth >= 3:
            self.step_vectors(step, table)

    def places(self, weights: np.ndarray) -> list[int]:
        """The source tokens that a table shows: of frames, patches or many tokens, those with the largest weights."""
        if not self.many or len(weights) <= PLACES:
            return list(range(len(weights)))
        return sorted(np.argsort(-weights, kind="stable")[:PLACES].tolist())

    def which(self, head: int | None) -> str:
        """Which head and layer a table shows, if there are several."""
        heads, layers = self.document["attention"]["heads"], self.trace.layers
        parts = []
        if heads > 1:
            parts.append(f"mean of {heads} heads" if head is None else f"head {head % heads + 1} of {heads}")
        if len(layers) > 1:
            parts.append(f"decoder layer {self.layer + 1}, one of {len(layers)} with attention")
        return f"Shown: {', '.join(parts)}." if parts else ""

    def step_vectors(self, step: int, table: StepTable) -> None:
        here, head = f"attention.{self.layer}", self.head or 0
        if f"{here}.query" in self.arrays:
            self.vector("query", self.arrays[f"{here}.query"][step, head], QUERY)
        if table.context is not None:
            self.vector("context", table.context)
        if table.scores is None or table.again is None:
            return
        position = int(table.weights.argmax())
        ledger = self.trace.ledger(step, position, self.layer, head)
        order = np.argsort(-np.abs(ledger.terms), kind="stable")[:LEDGER_TERMS]
        colours = {"q": QUERY, "k": KEY}
        self.say(f"The score of {self.words['source'][position]}: the sum over i of {ledger.formula}")
        columns = [Column("i", [str(i + 1) for i in order], 0)]
        columns += [
            Column(name, [_digits(values[i]) for i in order], 1, colours.get(name, ""))
            for name, values in ledger.columns.items()
        ]
        terms = ledger.terms[order].round(4)
        columns.append(Column("term", [f"{term:.4f}" for term in terms], 0, SCORE))
        self.table(columns)
        parts = [f"{len(order)} largest terms {terms.sum():.4f}"]
        if len(ledger.terms) > len(order):
            # Of numbers rounded as they are shown, so that a reader can add them up.
            rest = round(ledger.total, 4) - terms.sum() - round(ledger.offset, 4)
            parts.append(f"the other {len(ledger.terms) - len(order)} terms {rest:.4f}")
        if ledger.offset:
            parts.append(f"offset {ledger.offset:.4f}")
        self.say(
            f"{' + '.join(parts)} = {ledger.total:.4f}; recomputed {ledger.total:.6f}, score of the run "
            f"{ledger.score:.6f}, difference {abs(ledger.total - ledger.score):.1e}"
        )

    def choice(self, step: int) -> None:
        entry = self.document["steps"][step]
        candidates = entry["candidates"]
        chosen = [">" if c["id"] == entry["choice"]["id"] else "" for c in candidates]
        columns = [
            Column("", chosen, 0),
            Column("candidate", [self.label(label) for label in distinct_labels(candidates)], 0, left=True),
            Column("p", [_digits(c["probability"]) for c in candidates], 0),
        ]
        right = []
        pointed = "pointer" in entry
        if pointed:
            columns.append(Column("written", [_digits(c["pointer"]["written"]) for c in candidates], 0))
            columns.append(Column("copied", [_digits(c["pointer"]["copied"]) for c in candidates], 0, QUERY))
        if self.depth >= 2:
            right = [
                Column("logit", [_digits(c["logit"]) for c in candidates], 1),
                Column("log p", [_digits(c["log_probability"]) for c in candidates], 2),
            ]
        bars = self.bars([c["probability"] for c in candidates], self.width([*columns, *right]) + 3)
        self.table([*columns, Column("", bars, 0, left=True), *right])
        if pointed:
            share = entry["pointer"]["p_gen"]
            self.say(
                f"p_gen = {share:.4f}: {said(share)} of the probability is written by the output layer, "
                f"{said(1 - share)} copied from where the attention looks: p = p_gen written + (1 - p_gen) copied"
            )
        others = f"all other tokens together {said(entry['rest'])}"
        if self.depth < 2:
            self.say(others, "dim")
            return
        gap = max(abs(np.exp(c["logit"] - entry["logsumexp"]) - c["probability"]) for c in candidates)
        self.say(
            f"{others}; check: exp(logit - {entry['logsumexp']:.4f}) gives p, largest difference {gap:.1e} of "
            f"{len(candidates)} numbers",
            "dim",
        )
        for change in entry["processed"]:
            after = "forbidden" if change["after"] is None else _digits(change["after"])
            self.say(f"generate() changed {token_label(change)}: {_digits(change['before'])} became {after}")
        if entry["stop"]["is_end"]:
            self.say("This is the end token: the text is complete.")
        elif entry["stop"]["at_limit"]:
            self.say("This was the last token allowed.")

    def loop(self) -> None:
        steps = self.document["steps"]
        log_probabilities = np.array([step["choice"]["log_probability"] for step in steps])
        fed = [self.document["start"], *self.document["target"]["tokens"]]
        columns = [
            Column("t", _counted(steps), 0),
            Column("told", [self.label(token_label(token)) for token, _ in zip(fed, steps)], 1, left=True),
            Column("chosen", [self.label(word) for word in self.words["target"]], 0, left=True),
        ]
        if self.trace.layers:
            weights = self.trace.weights(self.layer, self.head)
            looks = [self.label(self.words["source"][row.argmax()]) for row in weights]
            columns.append(Column(f"{self.nouns.looked} most at", looks, 0, left=True))
            if self.depth >= 1:
                columns.append(Column("weight", [_digits(row.max()) for row in weights], 2, SCORE))
        if self.depth >= 1:
            columns.append(Column("p", [_digits(step["choice"]["probability"]) for step in steps], 0))
        if self.depth >= 2:
            columns.append(Column("log p", [_digits(x) for x in log_probabilities], 3))
            columns.append(Column("sum of log p", [_digits(x) for x in log_probabilities.cumsum()], 4))
        self.table(columns)
        if self.document["beams"] is not None and self.depth >= 1:
            self.beams()

    def beams(self) -> None:
        beams = self.document["beams"]
        self.say(
            f"The {beams['num_beams']} best hypotheses at each step; > is on the path to the result. "
            "Each continues the named row of the previous step."
        )
        rows = [
            (t, hypothesis)
            for t, entry in enumerate(beams["steps"])
            for hypothesis in entry["hypotheses"]
            if hypothesis["state"] != "dropped" or self.depth >= 2
        ]
        if self.steps != list(range(len(self.document["steps"]))):
            rows = [(t, hypothesis) for t, hypothesis in rows if t in self.steps]

        def cells(value: Any) -> list[str]:
            return [value(hypothesis) for _, hypothesis in rows]

        def row_number(row: int | None) -> str:
            return "" if row is None else str(row + 1)

        steps = [str(t + 1) if not i or rows[i - 1][0] != t else "" for i, (t, _) in enumerate(rows)]
        self.table(
            [
                Column("t", steps, 0),
                Column("", cells(lambda h: ">" if h["best"] else ""), 0),
                Column("from", cells(lambda h: row_number(h["parent"])), 2),
                Column("row", cells(lambda h: row_number(h["row"])), 2),
                Column("token", cells(lambda h: self.label(token_label(h))), 0, left=True),
                Column("log p", cells(lambda h: _digits(h["log_probability"])), 3),
                Column("sum", cells(lambda h: _digits(h["sum"])), 0),
                Column("", cells(lambda h: h["state"]), 0, left=True),
                Column("score", cells(lambda h: "" if h["score"] is None else _digits(h["score"])), 1),
            ]
        )


EXP = "exp(s - max)"


@dataclass(frozen=True)
class StepTable:
    """
    The numbers of one head at one step, each of length `S`; None if the model does not return them.

    Attributes:
        scores, scaled: Scores before and after scaling.
        between: Quantities between scaled scores and weights, by column header.
        weights: The factors of the values.
        values: `(S, d)`.
        context: `(d,)`, the weighted sum computed by the run.
        again: Weights recomputed in float64 from the scores.
        rule: The name of the function from scores to weights.
    """

    weights: np.ndarray
    scores: np.ndarray | None
    scaled: np.ndarray | None
    between: dict[str, np.ndarray]
    values: np.ndarray | None
    context: np.ndarray | None
    again: np.ndarray | None
    rule: str

    @classmethod
    def of(cls, trace: Trace, step: int, layer: int, head: int | None) -> StepTable:
        """The numbers of a step, layer and head, counted from 0; head None: only the mean of the heads' weights."""
        rule = trace.document["attention"]["normalizer"]
        if head is None:
            return cls(trace.weights(layer)[step], None, None, {}, None, None, None, rule)

        def row(name: str) -> np.ndarray | None:
            array = trace.arrays.get(f"attention.{layer}.{name}")
            return None if array is None else array[step, head].astype(np.float64)

        values = None if head in trace.left_out(layer) else trace.arrays.get(f"attention.{layer}.values")
        scaled, weights = row("scaled"), row("weights")
        assert weights is not None
        attention = trace.document["attention"]
        told = attention["type"] in KINDS
        again = None if scaled is None or not told else recompute_weights(trace, layer)[step, head]
        between: dict[str, np.ndarray] = {}
        if scaled is not None and told:
            allowed = row("allowed")
            inside = np.ones(len(scaled), bool) if allowed is None else allowed > 0
            if KINDS[attention["type"]].selects:
                rule, before = "selection", row("state")
                assert before is not None
                between["p stop"] = 1 / (1 + np.exp(-scaled))
                between["q arrive"] = before.cumsum() - np.concatenate([[0.0], weights.cumsum()[:-1]])
            elif rule == "softmax":
                between[EXP] = np.where(inside, np.exp(scaled - scaled[inside].max()), 0.0)
            else:
                # The threshold follows from any position inside the support.
                best = int(np.where(inside, scaled, -np.inf).argmax())
                half = 2.0 if rule == "entmax15" else 1.0
                plain = again if row("gaussian") is None else None
                if plain is not None:
                    tau = scaled[best] / half - (plain[best] ** 0.5 if rule == "entmax15" else plain[best])
                    between["s/2 - tau" if rule == "entmax15" else "s - tau"] = scaled / half - tau
            gaussian = row("gaussian")
            if gaussian is not None:
                between["gaussian"] = gaussian
        return cls(
            weights,
            row("scores"),
            scaled,
            between,
            None if values is None else values[head].astype(np.float64),
            row("head_context"),
            again,
            rule,
        )

    def check(self) -> str:
        """What was recomputed, and how much it differs."""
        parts, gaps, count = [], [], 0
        if self.again is not None:
            parts.append(f"{self.rule} of the scores gives the weights")
            gaps.append(np.abs(self.again - self.weights).max())
            count += self.weights.size
        if self.values is not None and self.context is not None:
            parts.append("weights times values add up to the context")
            gaps.append(np.abs(self.weights @ self.values - self.context).max())
            count += self.context.size
        if not parts:
            return "check: this model returns only its weights, so nothing can be recomputed"
        return f"check: {', and '.join(parts)}: largest difference {max(gaps):.1e} of {count:,} numbers"


def _counted(items: Iterable[Any]) -> list[str]:
    return [str(number) for number, _ in enumerate(items, 1)]


def _width(cells: Iterable[str]) -> int:
    return max((cell_len(cell) for cell in cells), default=0)


def _digits(number: float | np.floating[Any]) -> str:
    """Four decimals, or an exponent if the decimals would all be 0 or the number long."""
    if number == 0 or 5e-5 <= abs(number) < 1e5:
        return f"{number:.4f}"
    return f"{number:.1e}"
