# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The parts of the page as HTML, with all texts escaped."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from pathlib import Path

from hf_attn_seq2seq.explain.chapters import token_label
from hf_attn_seq2seq.explain.document import Trace
from hf_attn_seq2seq.explain.page import asset, render_page


STYLE = Path(__file__).with_name("page.css")
DARK_FROM = 0.6  # from this weight on, the other text colour is easier to read on the cell
# What is said meanwhile shows until the frame's page, which is large, covers it.
EXPLANATION = '<div class="explanation-box"><div class="meanwhile">{meanwhile}</div>{frame}</div>'


def style() -> str:
    """The style sheet, with the colours and fonts of the explanation page."""
    light, dark = (
        re.findall(r"--[^;}]+", rule) for rule in re.findall(r":root\{([^}]*)", asset("page.css").decode())[:2]
    )
    return (
        f".gradio-container {{ {'; '.join(light)} }}\n"
        f".dark .gradio-container, .gradio-container.dark {{ {'; '.join(dark)} }}\n{STYLE.read_text('utf-8')}"
    )


def card(
    trace: Trace,
    title: str,
    source: Sequence[str] = (),
    target: Sequence[str] = (),
    chosen: int = 0,
    *,
    heat: bool = True,
) -> str:
    """
    A translation, and below it where the model looked for each word.

    Args:
        trace: The trace of the sentence shown.
        title: Title of the card; empty for none.
        source, target: The sentences of the whole text and of its translation; empty: only those of the trace.
        chosen: The index of the trace's sentence.
        heat: Whether the weights are shown.
    """
    source = _marked(source or [trace.document["source"]["text"]], chosen)
    shown = _marked(target or [trace.document["target"]["text"]], chosen)
    shown = shown or "<em>nothing: the model stopped at once</em>"
    heading = f"<h3>{html.escape(title)}</h3>" if title else ""
    return (
        f'<section class="card">{heading}<p class="source">{source}</p>'
        f'<p class="translation" dir="auto">{shown}</p>{heat_map(trace) if heat else ""}</section>'
    )


def _marked(parts: Sequence[str], chosen: int) -> str:
    """The parts of a text; if there are several, the chosen one is marked."""
    escaped = [html.escape(part) for part in parts]
    if len(parts) > 1 and parts[chosen].strip():
        words = html.escape(parts[chosen].strip())
        escaped[chosen] = escaped[chosen].replace(words, f"<mark>{words}</mark>", 1)
    return "".join(escaped)


def side_by_side(cards: list[str], note: str = "") -> str:
    """Cards in columns, stacked if the window is narrow."""
    note = f'<p class="note">{html.escape(note)}</p>' if note else ""
    return f'{note}<div class="cards">{"".join(cards)}</div>'


def sentence_pair(number: int, source: str, *targets: str) -> str:
    """A row of the list of sentences."""
    said = " / ".join(target.strip() or "nothing" for target in dict.fromkeys(targets))
    return f"{number}. {source.strip()} → {said}"


def cell_number(weight: float) -> str:
    """A weight in a small cell, as the explanation page writes it: .73, 1.0"""
    text = f"{weight:.2f}"
    if text == "0.00":
        return "·" if weight > 0 else "0"
    return "1.0" if text == "1.00" else text.removeprefix("0")


def heat_map(trace: Trace) -> str:
    """The weights between words as a table; a sentence if the model has no attention."""
    if not trace.layers:
        return '<p class="note">This model has no attention: each step sees one fixed context vector.</p>'
    alignment = trace.alignment()
    source, target = alignment.source, alignment.target
    if not (source.spans and target.spans):
        return '<p class="note">There are no words to align.</p>'
    columns, rows = ([html.escape(word) for word in side.words()] for side in (source, target))
    head = "".join(f'<th scope="col"><span>{word}</span></th>' for word in columns)
    body = []
    for number, (row, weights) in enumerate(zip(rows, alignment.weights)):
        linked = {place for place, at in alignment.links if at == number}
        cells = "".join(
            f'<td class="{"strong" if weight >= DARK_FROM else "weak"}{" link" if place in linked else ""}" '
            f'style="--weight: {100 * weight:.0f}%" title="{row} looks at {columns[place]}: {100 * weight:.1f} %">'
            f"{cell_number(weight)}</td>"
            for place, weight in enumerate(weights)
        )
        body.append(f'<tr><th scope="row">{row}</th>{cells}</tr>')
    return (
        '<div class="heat" tabindex="0" role="region" aria-label="Alignment"><table>'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
        '<p class="legend">Each row: how much the model looked at each <b>source word</b> for this '
        "<i>target word</i>. Framed: linked words.</p>"
    )


def waiting(shown: str = "") -> str:
    """What stands in the place of the explanation until it is made."""
    return EXPLANATION.format(meanwhile=f'{shown}<p class="note">Making the explanation …</p>', frame="")


def frame(first: Trace, shown: str = "", *, compare: Trace | None = None, beside: Trace | None = None) -> str:
    """The explanation page in a sandboxed frame, without access to the page around it; `shown` as in [`waiting`]."""
    page = html.escape(render_page(first, compare=compare, beside=beside))
    allowed = "allow-scripts allow-downloads"
    return EXPLANATION.format(
        meanwhile=f'{shown}<p class="note">Opening the explanation …</p>',
        frame=f'<iframe class="explanation" title="Explanation" sandbox="{allowed}" srcdoc="{page}"></iframe>',
    )


def what_changed(before: Trace, after: Trace) -> str:
    """One sentence that says from which step on the two runs differ."""
    words = [
        [
            "the end" if step["stop"]["is_end"] else f"“{token_label(step['choice'])}”"
            for step in each.document["steps"]
        ]
        for each in (before, after)
    ]
    if words[0] == words[1]:
        return "The translation stays the same."
    step = next((n for n, pair in enumerate(zip(*words)) if pair[0] != pair[1]), min(map(len, words)))
    told = [side[step] if step < len(side) else "nothing more" for side in words]
    return f"From step {step + 1} on they differ: {told[0]} before, {told[1]} after."
