# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Attention weights as a heat map, in the terminal and as a figure.

Both views have one row per target token and one column per source token. The scale always runs from 0 to 1, so that
maps can be compared, from white to the purple that represents scores in every view.
"""

from __future__ import annotations

import io
import math
import os
import shutil
import textwrap
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.constrain import Constrain
from rich.style import Style
from rich.text import Text

from hf_attn_seq2seq.decoding.word_attention import attention_matrix
from hf_attn_seq2seq.messages import quoted
from hf_attn_seq2seq.writing import whole_file


if TYPE_CHECKING:
    import torch

WHITE = (255, 255, 255)
PURPLE = (74, 20, 134)
INK, FAINT_INK = "#2a2038", "#776e86"
FRAME, LINES = "#cfc6dc", "#e6e1ee"
DARK_FROM = 0.62  # from this weight on, white text is easier to read on the cell than dark text
CAPTION = (
    "Each row belongs to the token being predicted, and shows how much of each source token was read to predict it."
)

MIN_WIDTH = 24
NUMBER_CELL, BARE_CELL = 4, 2  # terminal columns of a cell with a number in it, and without
MAX_LABEL_HEIGHT = 12  # characters of a source token that is written vertically
SHADES, ASCII_SHADES = " ░▒▓█", " .:-=+*#%@"

MAX_TOKENS = 128
FIGURE_SUFFIXES = (".png", ".svg", ".pdf")
MAX_FIGURE_LABEL = 24  # characters
ALT_TEXT_ROWS = 8
# matplotlib's default font has no Chinese, Japanese or Korean: these are tried after it, if they are installed.
CJK_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "PingFang SC",
    "Hiragino Sans",
    "Microsoft YaHei",
    "Malgun Gothic",
    "Arial Unicode MS",
)


@overload
def terminal_heatmap(
    weights: torch.Tensor | np.ndarray,
    source_tokens: Sequence[str],
    target_tokens: Sequence[str],
    *,
    title: str | None = None,
    width: int | None = None,
    plain: Literal[False] = False,
) -> RenderableType: ...


@overload
def terminal_heatmap(
    weights: torch.Tensor | np.ndarray,
    source_tokens: Sequence[str],
    target_tokens: Sequence[str],
    *,
    title: str | None = None,
    width: int | None = None,
    plain: Literal[True],
) -> str: ...


def terminal_heatmap(
    weights: torch.Tensor | np.ndarray,
    source_tokens: Sequence[str],
    target_tokens: Sequence[str],
    *,
    title: str | None = None,
    width: int | None = None,
    plain: bool = False,
) -> RenderableType | str:
    """Draws attention weights for the terminal.

    A map that does not fit the width is reduced in this order: source tokens are written vertically, cells lose their
    numbers, the last source tokens are left out. Long tokens are shortened. A note under the map says what was
    reduced.

    Args:
        weights: `(tgt_len, src_len)`, each from 0 to 1; row `t` is the one from which target token `t` was predicted.
        source_tokens: the `src_len` tokens of the columns.
        target_tokens: the `tgt_len` tokens of the rows.
        title: a line above the map.
        width: in terminal columns, at least 24; by default the width of the terminal.
        plain: use ASCII characters instead of colours, without escape codes.

    Returns:
        a renderable for `rich.console.Console.print`, which honours `NO_COLOR`; a string for `print` if `plain`.

    Raises:
        ValueError: if the weights are not such a matrix, the tokens do not match it, or the width is too small.
    """
    matrix, sources, targets = _checked(weights, source_tokens, target_tokens)
    if width is not None and width < MIN_WIDTH:
        raise ValueError(f"width is {width}: a heat map needs at least {MIN_WIDTH} terminal columns.")
    heatmap = _TerminalHeatmap(matrix, sources, targets, None if title is None else visible(title), width, plain)
    if not plain:
        return heatmap
    columns = width or max(shutil.get_terminal_size().columns, MIN_WIDTH)
    console = Console(file=io.StringIO(), width=columns, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(heatmap)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


@dataclass(frozen=True)
class _TerminalHeatmap:
    """The map. Rich lays it out on demand, because only then are the width and the colours known."""

    matrix: np.ndarray  # tgt_len x src_len
    sources: list[str]
    targets: list[str]
    title: str | None
    width: int | None
    plain: bool

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        width = max(self.width or options.max_width, MIN_WIDTH)
        yield Constrain(Group(*self._lines(console, options, width)), width)

    def _lines(self, console: Console, options: ConsoleOptions, width: int) -> Iterator[Text]:
        ascii_only = self.plain or options.ascii_only
        # Sixteen colours do not include shades of purple: use characters there, as without colours.
        colour = not ascii_only and not console.no_color and console.color_system in ("256", "truecolor")
        shades = "" if colour else ASCII_SHADES if ascii_only else SHADES
        mark = "~" if ascii_only else "…"
        src_len = len(self.sources)

        label_width = min(max(map(cell_len, self.targets)), max(8, width // 4))
        room = width - label_width - 1
        number_cell = NUMBER_CELL + bool(shades)  # brackets replace colour
        widest = max(max(map(cell_len, self.sources)) + 1, number_cell)
        across = src_len * widest <= room
        cell = widest if across else number_cell if src_len * number_cell <= room else BARE_CELL
        shown = min(src_len, room // cell)

        if self.title is not None:
            yield Text(self.title, style="bold")
        yield Text("columns: source, the word looked at; rows: target, the word being chosen")
        yield Text("")
        for line in self._header(self.sources[:shown], cell, across, mark):
            yield unwrapped(Text(" " * (label_width + 1) + line))
        for target, row in zip(self.targets, self.matrix):
            label = shorten(target, label_width, mark)
            cells = Text(" " * (label_width - cell_len(label)) + closed(label) + " ")
            for weight in row[:shown]:
                cells.append_text(_cell(weight, cell, shades, largest=0 < weight == row.max()))
            yield unwrapped(cells)
        yield Text("")
        yield _legend(shades, cell >= number_cell)
        if cell < number_cell:
            yield Text("Numbers are left out for lack of width.")
        shortened = [token for token in self.targets if cell_len(token) > label_width]
        if not across:
            shortened += [token for token in self.sources[:shown] if len(characters(token)) > MAX_LABEL_HEIGHT]
        if shortened:
            yield Text(f"Shortened: {', '.join(dict.fromkeys(shortened))}.")
        if shown < src_len:
            hidden = self.matrix[:, shown:].sum(axis=1).max()
            yield Text(
                f"Left out for lack of width: source tokens {shown + 1} to {src_len} of {src_len} "
                f"({' '.join(self.sources[shown:])}), which have up to {number(hidden)} of a row's weight."
            )

    @staticmethod
    def _header(sources: list[str], cell: int, across: bool, mark: str) -> list[str]:
        if across:
            return ["".join(centred(source, cell) for source in sources)]
        stacks = [characters(source) for source in sources]
        stacks = [s if len(s) <= MAX_LABEL_HEIGHT else [*s[: MAX_LABEL_HEIGHT - 1], mark] for s in stacks]
        height = max(map(len, stacks))
        stacks = [[""] * (height - len(stack)) + stack for stack in stacks]  # the ends of the words touch the map
        return ["".join(centred(character, cell) for character in line) for line in zip(*stacks)]


def save_heatmap(
    weights: torch.Tensor | np.ndarray,
    source_tokens: Sequence[str],
    target_tokens: Sequence[str],
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    dpi: float = 150,
) -> str:
    """Saves attention weights as a figure, and returns its alternative text.

    The same arguments give the same bytes with the same version of matplotlib and its fonts. The alternative text is
    also written to the file's metadata. Characters that no installed font contains are drawn as boxes in PNG and PDF,
    with a warning from matplotlib; SVG keeps them as text.

    Args:
        weights: `(tgt_len, src_len)`, each from 0 to 1; row `t` is the one from which target token `t` was predicted.
        source_tokens: the `src_len` tokens of the columns, at most 128.
        target_tokens: the `tgt_len` tokens of the rows, at most 128.
        path: the file to write; the suffix `.png`, `.svg` or `.pdf` chooses the format.
        title: a line above the map.
        dpi: dots per inch of a PNG.

    Returns:
        one or two sentences that name, for up to eight target tokens, the source token with the largest weight.

    Raises:
        ValueError: if the weights are not such a matrix, the tokens do not match it, or the suffix is unknown.
        FileNotFoundError: if the folder does not exist.
        ImportError: if matplotlib is not installed.
    """
    matrix, sources, targets = _checked(weights, source_tokens, target_tokens)
    if max(matrix.shape) > MAX_TOKENS:
        raise ValueError(
            f"a map of {len(targets)} x {len(sources)} tokens is too large to read: give at most {MAX_TOKENS} on each "
            "side."
        )
    title = None if title is None else visible(title)
    alt_text = _alt_text(matrix, sources, targets, title)
    write_figure(lambda: _draw(matrix, sources, targets, title), path, title or "Attention", alt_text, dpi)
    return alt_text


def write_figure(
    draw: Callable[[], Any], path: str | os.PathLike[str], title: str, alt_text: str, dpi: float = 150
) -> None:
    """Writes a matplotlib figure reproducibly: the same drawing gives the same bytes; raises like [`save_heatmap`].

    Args:
        draw: makes the figure; called under the settings that it is saved with.
        path: the file to write; the suffix chooses the format.
        title, alt_text: for the file's metadata.
        dpi: dots per inch of a PNG.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in FIGURE_SUFFIXES:
        raise ValueError(f"{quoted(path.name)} does not end in one of {', '.join(FIGURE_SUFFIXES)}: choose a format.")
    if not (math.isfinite(dpi) and dpi > 0):
        raise ValueError(f"dpi is {dpi}: it must be a number above 0.")
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"the folder {quoted(str(path.parent))} does not exist: create it before saving a figure."
        )
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError(
            'figures need matplotlib, which is not installed: run pip install "hf_attn_seq2seq[explain]".'
        ) from error

    metadata: dict[str, str | None] = {
        ".png": {"Software": None, "Title": title, "Description": alt_text},
        ".svg": {"Date": None, "Title": title, "Description": alt_text},
        ".pdf": {"CreationDate": None, "Title": title, "Subject": alt_text},
    }[suffix]
    # Only settings that affect the bytes or the meaning are fixed here: fonts remain the user's choice.
    settings: Any = {
        "svg.fonttype": "none",  # numbers and tokens stay text, for search and screen readers
        "svg.hashsalt": "hf_attn_seq2seq",
        "pdf.fonttype": 42,
        "text.usetex": False,
        "font.family": font_families(),
    }
    image = io.BytesIO()
    with matplotlib.rc_context(settings):
        draw().savefig(
            image,
            format=suffix[1:],
            dpi=dpi,
            bbox_inches="tight",
            pad_inches=0.2,
            metadata=metadata,
            facecolor="white",
        )
    with whole_file(path) as partial:
        partial.write_bytes(image.getvalue())


def _draw(matrix: np.ndarray, sources: list[str], targets: list[str], title: str | None) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    tgt_len, src_len = matrix.shape
    side = min(0.6, max(0.12, 10 / max(matrix.shape)))  # of a cell, in inches
    width, height = src_len * side, tgt_len * side
    label_size = min(11.0, max(5.0, side * 72 * 0.5))
    number_size = min(9.5, side * 72 * 0.32)

    # Everything is placed in inches around the map, and saving crops the figure to what was drawn.
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    has_numbers = number_size >= 5
    axes.pcolormesh(matrix, **weight_colours(), edgecolors=LINES, linewidth=0.5 if has_numbers else 0.1)
    axes.set_xlim(0, src_len)
    axes.set_ylim(tgt_len, 0)  # reading order: the first target token on top
    if has_numbers:
        for (row, column), weight in np.ndenumerate(matrix):
            axes.text(
                column + 0.5,
                row + 0.5,
                number(weight),
                ha="center",
                va="center_baseline",
                size=number_size,
                color=ink(weight),
            )

    source_labels = [shorten(token, MAX_FIGURE_LABEL, "…") for token in sources]
    target_labels = [shorten(token, MAX_FIGURE_LABEL, "…") for token in targets]
    turned = max(map(cell_len, source_labels)) * label_size * 0.62 > side * 72 * 0.95
    literal: dict[str, Any] = {"parse_math": False, "color": INK}  # a token may hold $ and _
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xticks(
        [column + 0.5 for column in range(src_len)],
        source_labels,
        rotation=90 if turned else 0,
        size=label_size,
        **literal,
    )
    axes.set_yticks([row + 0.5 for row in range(tgt_len)], target_labels, size=label_size, **literal)
    axes.tick_params(length=0, pad=5)
    axis: dict[str, Any] = {"size": 10, "color": FAINT_INK, "labelpad": 9}
    axes.set_xlabel(wrapped("source: the word looked at", max(width, 1.3), 10), loc="left", **axis)
    axes.set_ylabel(wrapped("target: the word being chosen", max(height, 1.3), 10), loc="top", **axis)
    for spine in axes.spines.values():
        spine.set_color(FRAME)

    bar_height = min(height, 3.0)
    bar = figure.add_axes(
        (max(1, 1.3 / width) + 0.25 / width, 1 - bar_height / height, 0.14 / width, bar_height / height)
    )
    colour_bar(figure, bar, "attention\nweight", [0, 0.5, 1], **weight_colours())

    caption = CAPTION
    shortened = [token for token in [*targets, *sources] if cell_len(token) > MAX_FIGURE_LABEL]
    if shortened:
        caption += f" Shortened: {', '.join(dict.fromkeys(shortened))}."
    axes.annotate(
        wrapped(caption, max(width, 4.5), 9),
        xy=(0, 0),
        xycoords="axes fraction",
        xytext=(0, -10),
        textcoords="offset points",
        va="top",
        size=9,
        linespacing=1.4,
        **{**literal, "color": FAINT_INK},
    )
    if title:
        axes.set_title(wrapped(title, max(width, 4.5), 14), loc="left", size=13, weight="bold", pad=12, **literal)
    return figure


def weight_colours() -> dict[str, Any]:
    """The colour scale of all weights, always from 0 to 1, as keyword arguments for matplotlib."""
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    ends = [[channel / 255 for channel in end] for end in (WHITE, PURPLE)]
    return {"cmap": LinearSegmentedColormap.from_list("score", ends), "norm": Normalize(0, 1)}


def colour_bar(figure: Any, axes: Any, title: str, ticks: Sequence[float], **colours: Any) -> None:
    """Draws a colour bar into `axes`."""
    from matplotlib.cm import ScalarMappable

    bar = figure.colorbar(ScalarMappable(**colours), cax=axes, ticks=list(ticks))
    bar.ax.set_title(title, size=9, color=FAINT_INK, loc="left", pad=8)
    bar.ax.tick_params(length=0, labelsize=9, labelcolor=INK)
    bar.outline.set_edgecolor(FRAME)


def wrapped(text: str, inches: float, size: float) -> str:
    width = int(inches * 72 / (size * 0.5))  # letters are half as wide as high, on average
    source, arrow, target = text.partition(" → ")
    parts = [source + arrow.rstrip(), target] if arrow and len(text) > width else [text]
    return "\n".join(textwrap.fill(part, width) for part in parts)


def font_families() -> list[str]:
    import matplotlib
    from matplotlib import font_manager

    installed = set(font_manager.get_font_names())
    return [*matplotlib.rcParams["font.family"], *(font for font in CJK_FONTS if font in installed)]


def _alt_text(matrix: np.ndarray, sources: list[str], targets: list[str], title: str | None) -> str:
    looks = []
    for target, row in zip(targets[:ALT_TEXT_ROWS], matrix):
        best = int(row.argmax())
        # If a word occurs twice, say which one is meant.
        position = f" at position {best + 1}" if sources.count(sources[best]) > 1 else ""
        looks.append(f"“{target}” on “{sources[best]}”{position} ({number(row[best])})")
    if len(targets) > ALT_TEXT_ROWS:
        looks.append(f"and {len(targets) - ALT_TEXT_ROWS} more target tokens")
    return (
        f"Heat map of attention weights{f' ({title})' if title else ''}, {len(targets)} target tokens by "
        f"{len(sources)} source tokens. Largest weight of each target token: {', '.join(looks)}."
    )


def _checked(
    weights: torch.Tensor | np.ndarray, source_tokens: Sequence[str], target_tokens: Sequence[str]
) -> tuple[np.ndarray, list[str], list[str]]:
    matrix = attention_matrix(weights)
    for name, tokens, length in (
        ("target_tokens", target_tokens, matrix.shape[0]),
        ("source_tokens", source_tokens, matrix.shape[1]),
    ):
        if isinstance(tokens, str) or not all(isinstance(token, str) for token in tokens):
            raise ValueError(f"{name} must be a list of strings.")
        if len(tokens) != length:
            raise ValueError(
                f"{name} has {len(tokens)} tokens but the weights have the shape {matrix.shape}, (tgt_len, src_len): "
                f"give {length} tokens."
            )
    return (
        matrix,
        [visible(token) for token in source_tokens],
        [visible(token) for token in target_tokens],
    )


def visible(text: str) -> str:
    """Escapes control characters, so that a token cannot break a line or control the terminal."""
    harmless = "\u200c\u200d\u200e"  # joiners of Persian and Indic spelling, and what `closed` adds
    safe = "".join(c if c.isprintable() or c in harmless else c.encode("unicode_escape").decode() for c in text)
    return safe if safe.strip() else repr(safe)


def number(weight: float) -> str:
    text = f"{weight:.2f}"
    return "1.0" if text == "1.00" else text.removeprefix("0")


def _cell(weight: float, cell: int, shades: str, largest: bool = False) -> Text:
    label = number(weight) if cell > BARE_CELL else ""
    if shades:
        shade = shades[min(int(round(weight, 2) * len(shades) + 1e-9), len(shades) - 1)]  # of the rounded number
        return Text(centred(f"[{label}]" if largest else f" {label} ", cell) if label else shade * cell)
    red, green, blue = (round(low + (high - low) * weight) for low, high in zip(WHITE, PURPLE))
    return Text(centred(label, cell), Style(color=ink(weight), bgcolor=f"rgb({red},{green},{blue})"))


def ink(weight: float) -> str:
    """A legible text colour for the number in the cell of its weight."""
    weight = round(weight, 2)
    return "#ffffff" if weight >= DARK_FROM else INK if weight >= 0.05 else FAINT_INK


def _legend(shades: str, numbers: bool) -> Text:
    if shades and numbers:
        return Text("attention weight, from 0 to 1; the largest of each row is in brackets")
    legend = Text("attention weight: 0 ")
    if shades:
        return legend.append(f"[{shades}] 1, one character per {number(1 / len(shades))}")
    for step in range(11):
        legend.append_text(_cell(step / 10, 1, ""))
    return legend.append(" 1")


def unwrapped(line: Text) -> Text:
    line.no_wrap, line.overflow = True, "crop"
    return line


def characters(text: str) -> list[str]:
    """Splits a text into visible characters: combining marks stay with their letter."""
    characters: list[str] = []
    for c in text:
        if characters and cell_len(characters[-1] + c) == cell_len(characters[-1]):
            characters[-1] += c
        else:
            characters.append(c)
    return characters


def shorten(text: str, width: int, mark: str) -> str:
    """Truncates a text to a width in terminal columns, ending with the mark."""
    if cell_len(text) <= width:
        return text
    kept = ""
    for character in characters(text):
        if cell_len(kept + character) > width - 1:
            break
        kept += character
    return kept + mark


def closed(text: str) -> str:
    """Ends right-to-left text with a mark; without it, terminals that reverse such text would reverse what follows."""
    turned = any(unicodedata.bidirectional(c) in ("R", "AL") for c in text)
    return text + "\u200e" if turned else text


def centred(text: str, width: int) -> str:
    room = width - cell_len(text)
    text = closed(text)
    return " " * (room // 2) + text + " " * (room - room // 2)
