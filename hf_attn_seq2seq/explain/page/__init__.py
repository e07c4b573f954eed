# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""A trace as a page: one HTML file that needs nothing else, neither network nor server.

The page's sources are in `frontend/`; what they are built to, `page.js` and `page.css`, is kept beside this file.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hf_attn_seq2seq.explain.chapters import chapter_texts, step_sentence
from hf_attn_seq2seq.explain.trace import Trace


MAX_BYTES = 2_900_000  # of a page with one trace; two side by side have twice as much

TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<div id="page"></div>
<noscript>
{table}
</noscript>
<script type="application/json" id="data">{data}</script>
<script>{script}</script>
</body>
</html>
"""


def render_page(trace: Trace, *, compare: Trace | None = None, beside: Trace | None = None) -> str:
    """
    The page of a trace, as HTML.

    Nothing in it is fetched: scripts, styles and numbers stand in the text, and its Content-Security-Policy allows no
    more than these. Runs that were made from the trace by [`what_if`] are carried along. Where the numbers are too
    many for 3 MB, those that matter least are left out, and the page names them.

    Args:
        trace: What is shown.
        compare: A second trace, carried along and shown beside it.
        beside: Which of the traces carried along is shown beside it at first; None: `compare`.
    """
    runs = [*_family("this run", trace)]
    if compare is not None:
        first, second = _two_names(trace, compare)
        runs[0] = runs[0]._replace(name=first)
        runs += _family(second, compare, len(runs))
    arrays = {(index, name): array for index, run in enumerate(runs) for name, array in run.trace.arrays.items()}
    limit = MAX_BYTES * (1 if compare is None else 2) - sum(len(_data([run.document()])) for run in runs)
    left_out = _leave_out(arrays, limit)
    pool = _Pool()
    packed = [
        {**run.document(), "arrays": {name: pool.add(array) for (at, name), array in arrays.items() if at == index}}
        for index, run in enumerate(runs)
    ]
    shown = compare if beside is None else beside
    place = next((index for index, run in enumerate(runs) if run.trace is shown), -1) + 1  # 0: none
    data = _data({"runs": packed, "pool": pool.texts, "left_out": left_out, "beside": place})
    script, style = (files(__package__).joinpath(name).read_text("utf-8") for name in ("page.js", "page.css"))
    policy = (
        f"default-src 'none'; script-src 'sha256-{_digest(script)}'; style-src 'sha256-{_digest(style)}'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    title = f"{trace.document['source']['text']} → {trace.document['target']['text']}"
    return TEMPLATE.format(
        policy=policy,
        title=html.escape(title),
        style=style,
        table="\n".join(_table(run) for run in runs if run.parent is None),
        data=data,
        script=script,
    )


def save_page(trace: Trace, path: str | os.PathLike[str], *, compare: Trace | None = None) -> None:
    """
    Write the page of a trace; see [`render_page`].

    Raises:
        FileNotFoundError: The folder does not exist.
        OSError: The file cannot be written.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"The folder '{path.parent}' does not exist: create it before saving a page.")
    # A lone surrogate in a token has no UTF-8: as a character reference, a browser shows its sign for the unreadable.
    path.write_text(render_page(trace, compare=compare), "utf-8", errors="xmlcharrefreplace")


class _Run(NamedTuple):
    """A trace among those of the page."""

    name: str
    trace: Trace
    parent: int | None  # the number of the run that it changes something of

    def document(self) -> dict[str, Any]:
        texts = {key: asdict(text) for key, text in chapter_texts(self.trace).items()}
        sentences = [step_sentence(self.trace, step) for step in range(len(self.trace.document["steps"]))]
        return {
            "name": self.name,
            "parent": self.parent,
            "document": self.trace.document,
            "chapters": texts,
            "sentences": sentences,
        }


def _family(name: str, trace: Trace, number: int = 0, parent: int | None = None) -> Iterator[_Run]:
    """A trace and the runs that were made from it, the first of them to be run number `number` of the page."""
    yield _Run(name, trace, parent)
    at = number + 1
    for child in trace.children:
        family = list(_family(_changed(child), child, at, number))
        yield from family
        at += len(family)


def _changed(child: Trace) -> str:
    """What a what-if run changed, in a few words."""
    change = child.document.get("what_if") or {}
    if change.get("kind") == "source":
        return f"with the source “{change['text']}”"
    if change.get("kind") == "target":
        return f"with “{change['token']}” said at step {change['step'] + 1}"
    if change.get("kind") == "weights":
        weights = change["weights"]
        if max(weights) == 1:
            return f"step {change['step'] + 1} looks only at “{child.source_tokens[weights.index(1)]}”"
        what = "all weights alike" if max(weights) - min(weights) < 1e-6 else "other weights"
        return f"step {change['step'] + 1} with {what}"
    return "a changed run"


def _two_names(one: Trace, other: Trace) -> tuple[str, str]:
    names = []
    for trace in (one, other):
        document = trace.document
        names.append(os.path.basename(str(document["model"]["name"]).rstrip("/\\")) or document["model"]["class"])
    if names[0] == names[1]:
        kinds = [trace.document["attention"]["type"].replace("_", "-") for trace in (one, other)]
        names = [f"{name}, {kind}" for name, kind in zip(names, kinds)]
    if names[0] == names[1]:
        names = [f"{name} ({letter})" for name, letter in zip(names, "AB")]
    return names[0], names[1]


# --------------------------------------------------------------------------------------------------------------------
# Numbers
# --------------------------------------------------------------------------------------------------------------------

NOT_LAST = "layers below the last"
# What is left out, from what is missed least on: what (as a pattern), only below the last layer?, in words.
LEAST_FIRST = [
    (r"attention\.(\d+)\.scaled", False, "scaled scores (the page multiplies the scores itself)"),
    (r"attention\.(\d+)\.asker", True, "states that ask"),
    (r"decoder\.layer\.(\d+)\.residual", True, "residual sums of the decoder"),
    (r"decoder\.layer\.(\d+)\.states", True, "states of the decoder"),
    (r"attention\.(\d+)\.context", True, "contexts of all heads together"),
    (r"(?:en|de)coder\.layer\.(\d+)\.self_attention\.scores", True, "self-attention scores"),
    (r"encoder\.layer\.(\d+)\.(?:forward|backward)\..*", True, "gates of the encoder"),
    (r"decoder\.layer\.(\d+)\.(?!self_attention).*", True, "gates of the decoder"),
    (r"encoder\.layer\.(\d+)\.states", True, "states of the encoder"),
    (r"attention\.(\d+)\.(?:values|head_context)", True, "values and their weighted sums"),
    (r"attention\.(\d+)\.(?:query|keys|vector|coverage_vector|position_rows)", True, "queries and keys"),
    (r"(?:en|de)coder\.layer\.(\d+)\.self_attention\.weights", True, "self-attention weights"),
    (r"attention\.(\d+)\.scores", True, "scores"),
    (r"attention\.(\d+)\.feature", False, "what location-aware attention saw of the step before"),
    (r"output\.rows", False, "rows of the output layer"),
    (r"(?:en|de)coder\.inputs", False, "inputs of the first layers"),
    (r"(?:en|de)coder\.layer\.(\d+)\.self_attention\.scores", False, "self-attention scores"),
    (r"encoder\.layer\.(\d+)\.(?:forward|backward)\..*", False, "gates of the encoder"),
    (r"decoder\.layer\.(\d+)\.(?!self_attention).*", False, "states and gates of the decoder"),
    (r"(?:en|de)coder\.embeddings", False, "embeddings"),
    (r"encoder\.layer\.(\d+)\.states", False, "states of the encoder"),
    (r"(?:en|de)coder\.layer\.(\d+)\.self_attention\.weights", False, "self-attention weights"),
    (r"attention\.(\d+)\.(?!weights).*", False, "everything of the attention but its weights"),
    (r"attention\.(\d+)\.weights", True, "weights"),
]


def _leave_out(arrays: dict[tuple[int, str], np.ndarray], limit: int) -> list[dict[str, str]]:
    """Takes arrays away until the rest fits; returns what was taken, for the page to name."""
    left_out: dict[str, list[str]] = {}
    for pattern, below_last, words in LEAST_FIRST:
        found: dict[int, list[tuple[int, str]]] = {}
        for key in arrays:
            match = re.fullmatch(pattern, key[1])
            if match:
                found.setdefault(int(match[1]) if match.groups() else 0, []).append(key)
        layers = sorted(found)
        # The lowest layers go first: what leads to the output is looked at most.
        for layer in layers[:-1] if below_last else layers:
            if _packed_size(arrays.values()) <= limit:
                return _in_words(left_out)
            for key in found[layer]:
                del arrays[key]
            left_out.setdefault(words, []).append(str(layer + 1) if len(layers) > 1 or below_last else "")
    return _in_words(left_out)


def _in_words(left_out: dict[str, list[str]]) -> list[dict[str, str]]:
    why = "to keep this page small; the trace itself has them"
    return [
        {"what": f"{words}{f' (layer {chr(44).join(layers)})' if any(layers) else ''}".replace(",", ", "), "why": why}
        for words, layers in left_out.items()
    ]


def _packed_size(arrays: Iterable[np.ndarray]) -> int:
    sizes = {hashlib.sha256(array.tobytes()).digest(): array.nbytes for array in arrays}
    return sum(4 * size // 3 + 80 for size in sizes.values())


class _Pool:
    """The arrays of all runs as base64, equal ones once: what-if runs share their source."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.known: dict[bytes, int] = {}

    def add(self, array: np.ndarray) -> dict[str, Any]:
        numbers = array.astype("<f4").tobytes()
        digest = hashlib.sha256(numbers).digest()
        if digest not in self.known:
            self.known[digest] = len(self.texts)
            self.texts.append(base64.b64encode(numbers).decode("ascii"))
        return {"shape": list(array.shape), "at": self.known[digest]}


# --------------------------------------------------------------------------------------------------------------------
# Text
# --------------------------------------------------------------------------------------------------------------------


def _data(value: Any) -> str:
    """JSON that cannot end the script element it stands in, whatever a token holds."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _table(run: _Run) -> str:
    """The alignment as a table, for readers without scripts."""
    document = run.trace.document
    sources = [token["text"].strip() or token["token"] for token in document["source"]["tokens"]]
    weights = [f"attention.{layer}.weights" for layer in run.trace.layers]
    matrix = run.trace.arrays[weights[-1]].mean(1) if weights and weights[-1] in run.trace.arrays else None
    head = "".join(f'<th scope="col">{html.escape(token)}</th>' for token in sources) if matrix is not None else ""
    rows = []
    for index, step in enumerate(document["steps"]):
        cells = "".join(f"<td>{weight:.2f}</td>" for weight in matrix[index]) if matrix is not None else ""
        choice = step["choice"]
        rows.append(
            f'<tr><th scope="row">{html.escape(choice["token"])}</th><td>{choice["probability"]:.2f}</td>{cells}</tr>'
        )
    source, target = html.escape(document["source"]["text"]), html.escape(document["target"]["text"])
    caption = (
        "Each row is a step: the word chosen, its probability, and how much of each source token was read for it."
        if matrix is not None
        else "Each row is a step: the word chosen and its probability."
    )
    return (
        f"<h1>{source} → {target}</h1>\n"
        "<p>With scripts, this page shows step by step how the translation was made.</p>\n"
        f'<table>\n<caption>{caption}</caption>\n<thead><tr><th scope="col">word</th><th scope="col">probability</th>'
        f"{head}</tr></thead>\n<tbody>\n{chr(10).join(rows)}\n</tbody>\n</table>"
    )


__all__ = ["render_page", "save_page"]
