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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hf_attn_seq2seq.explain.chapters import chapter_texts, step_sentence, token_label
from hf_attn_seq2seq.explain.contrast import Contrast, told_contrast
from hf_attn_seq2seq.explain.document import Trace
from hf_attn_seq2seq.explain.faithfulness import Faithfulness
from hf_attn_seq2seq.explain.page.media import Media, Shown, shorten_input
from hf_attn_seq2seq.explain.sentences import overview
from hf_attn_seq2seq.writing import write_text


MAX_BYTES = 2_850_000  # of numbers and text, of one trace or a text's sentences; two side by side have twice as much

# Shown until the script, which stands at the end, takes its place.
UNTIL = (
    "The page is loading. If this sentence stays, the file is incomplete, or the browser does not allow the page its "
    "script: fetch or make the file again, or allow the script."
)
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
<div id="page"><p class="until">{until}</p></div>
{content}<script>{script}</script>
</body>
</html>
"""


def render_page(
    trace: Trace | Sequence[Trace],
    *,
    compare: Trace | None = None,
    beside: Trace | None = None,
    faithfulness: Faithfulness | Sequence[Faithfulness | None] | None = None,
    contrast: Contrast | None = None,
) -> str:
    """
    The page of a trace, or of a text's sentences to choose from, as HTML.

    Nothing in it is fetched: scripts, styles and numbers stand in the text, and its Content-Security-Policy allows no
    more than these. Runs that were made from the trace by [`what_if`] are carried along. Where the numbers are too
    many for 3 MB, those that matter least are left out, then the last sentences of a long text, and the page names
    them.

    Args:
        trace: What is shown; several traces are the sentences of a text.
        compare: A second trace, carried along and shown beside it.
        beside: Which of the traces carried along is shown beside it at first; None: `compare`. Of a run with something
            changed, the page opens where that shows.
        faithfulness: Other views of what mattered in the trace; of several traces, one for each.
        contrast: The runs of a model without attention on the same sentences, told beside each.

    Raises:
        ValueError: There is no trace, a second one for several, or the views are not those of the traces.
    """
    traces = [trace] if isinstance(trace, Trace) else list(trace)
    if not traces:
        raise ValueError("A page shows at least one trace: give one.")
    if len(traces) > 1 and compare is not None:
        raise ValueError("Two runs stand side by side for one sentence: give the trace of that sentence alone.")
    views = _views_of(traces, faithfulness)
    changed = beside is not None and beside is not compare
    name = "before" if changed else "this run"
    sentences = [list(_family(name, each, view=view)) for each, view in zip(traces, views)]
    if contrast is not None:
        for index, sentence in enumerate(sentences):
            sentence[0] = sentence[0]._replace(
                contrast=told_contrast(contrast, index), vector=contrast.traces[index].arrays["attention.0.context"][0]
            )
    if compare is not None:
        first, second = two_names(traces[0].document, compare.document)
        sentences[0][0] = sentences[0][0]._replace(name=first)
        sentences[0] += _family(second, compare, len(sentences[0]))
    shown = compare if beside is None else beside
    place = next((index for index, run in enumerate(sentences[0]) if run.trace is shown), -1) + 1  # 0: none
    rows = [{**asdict(row), "kept": True} for row in overview(traces)] if len(traces) > 1 else []
    media = Media(run.trace for sentence in sentences for run in sentence)
    limit = MAX_BYTES * (1 if compare is None else 2) - len(as_data(rows)) - len(media.html())
    sizes = [sum(_text_size(run, media) for run in sentence) for sentence in sentences]
    kept = _how_many_fit(sentences, sizes, limit)
    for row in rows[kept:]:
        row["kept"] = False
    runs = [run for sentence in sentences[:kept] for run in sentence]
    arrays = {(index, name): array for index, run in enumerate(runs) for name, array in run.arrays().items()}
    shown_short, shortened = shorten_input(arrays)
    limit -= sum(sizes[:kept]) + sum(_packed_size(short.values) for short in shown_short.values())
    left_out = shortened + _leave_out(arrays, limit, WHY_OF_SENTENCES if rows else WHY)
    if kept < len(sentences):
        left_out.append({"what": _last_sentences(kept, len(sentences)), "why": WHY_SENTENCES})
    pool = _Pool()
    packed = [
        {
            **run.document(media),
            "arrays": {
                **{name: pool.add(array) for (at, name), array in arrays.items() if at == index},
                **{name: pool.add_short(short) for (at, name), short in shown_short.items() if at == index},
            },
        }
        for index, run in enumerate(runs)
    ]
    for run, number in zip(packed, (at for at in range(kept) for _ in sentences[at])):
        run["sentence"] = number
    data = as_data(
        {
            "runs": packed,
            "pool": pool.texts,
            "left_out": left_out,
            "beside": place,
            "first": _place_of_change(traces[0], beside) if changed and beside is not None else {},
            "overview": rows,
        }
    )
    title = f"{traces[0].document['source']['text']} → {traces[0].document['target']['text']}"
    if rows:
        title = f"{len(rows)} sentences: {title}"
    table = "\n".join(_table(run) for run in runs if run.parent is None)
    content = (
        f'{media.html()}<noscript>\n{table}\n</noscript>\n<script type="application/json" id="data">{data}</script>\n'
    )
    return as_page(title, "page", content, sources=media.policy)


def as_page(title: str, script: str, content: str, *, sources: str = "", runs: str = "") -> str:
    """
    A page that runs one script and no other, by the hash of both in its Content-Security-Policy.

    Args:
        title: As text.
        script: Name of the script, and of its style, in this folder.
        content: HTML behind the place of the page, which the script reads.
        sources: Further directives of the policy, each with a semicolon and a blank behind it.
        runs: What else scripts may do, as a source expression with a blank before it.
    """
    code, style = (asset(f"{script}.{suffix}").decode() for suffix in ("js", "css"))
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest(code)}'{runs}; style-src 'sha256-{digest(style)}'; "
        f"img-src data: blob:; {sources}base-uri 'none'; form-action 'none'"
    )
    return TEMPLATE.format(
        policy=policy, title=html.escape(title), style=style, content=content, script=code, until=UNTIL
    )


def asset(name: str) -> bytes:
    """A file of this folder."""
    return files(__package__).joinpath(name).read_bytes()


def save_page(
    trace: Trace | Sequence[Trace],
    path: str | os.PathLike[str],
    *,
    compare: Trace | None = None,
    beside: Trace | None = None,
    faithfulness: Faithfulness | Sequence[Faithfulness | None] | None = None,
    contrast: Contrast | None = None,
) -> None:
    """
    Write the page of a trace, or of a text's sentences to choose from; see [`render_page`].

    Raises:
        FileNotFoundError: The folder does not exist.
        OSError: The file cannot be written.
        ValueError: As for [`render_page`].
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"The folder '{path.parent}' does not exist: create it before saving a page.")
    text = render_page(trace, compare=compare, beside=beside, faithfulness=faithfulness, contrast=contrast)
    # A lone surrogate in a token has no UTF-8: as a character reference, a browser shows its sign for the unreadable.
    write_text(path, text, errors="xmlcharrefreplace")


def _views_of(
    traces: Sequence[Trace], given: Faithfulness | Sequence[Faithfulness | None] | None
) -> Sequence[Faithfulness | None]:
    views = [None] * len(traces) if given is None else [given] if isinstance(given, Faithfulness) else given
    if len(views) != len(traces):
        raise ValueError(f"There are {len(traces)} traces and {len(views)} faithfulness views: give one for each.")
    for trace, view in zip(traces, views):
        if view is not None and [view.source, view.target] != [
            [token_label(token) for token in trace.document[side]["tokens"]] for side in ("source", "target")
        ]:
            raise ValueError("These faithfulness views are of another trace: give those of the trace on the page.")
    return views


class _Run(NamedTuple):
    """A trace among those of the page."""

    name: str | None  # None: the page names it by what was changed
    trace: Trace
    parent: int | None  # the number of the run that it changes something of
    view: Faithfulness | None = None
    contrast: dict[str, Any] | None = None
    vector: np.ndarray | None = None  # what the model of the contrast translated from

    def arrays(self) -> dict[str, np.ndarray]:
        more = {} if self.vector is None else {"contrast.context": self.vector}
        return {**self.trace.arrays, **more}

    def document(self, media: Media) -> dict[str, Any]:
        texts = {key: asdict(text) for key, text in chapter_texts(self.trace).items()}
        sentences = [step_sentence(self.trace, step) for step in range(len(self.trace.document["steps"]))]
        return {
            "name": self.name,
            "parent": self.parent,
            "document": media.pointed(self.trace.document),
            "chapters": texts,
            "sentences": sentences,
            "faithfulness": None if self.view is None else _short(self.view.to_dict()),
            "contrast": self.contrast,
        }


def _family(
    name: str | None, trace: Trace, number: int = 0, parent: int | None = None, view: Faithfulness | None = None
) -> Iterator[_Run]:
    """A trace and the runs that were made from it, the first of them to be run number `number` of its sentence."""
    yield _Run(name, trace, parent, view)
    at = number + 1
    for child in trace.children:
        family = list(_family(None, child, at, number))
        yield from family
        at += len(family)


def _place_of_change(before: Trace, after: Trace) -> dict[str, Any]:
    """Where a changed run shows its change: the changed step, or the first at which it chose another word."""
    change = after.changes[-1] if after.changes else {}
    if "step" in change:
        return {"chapter": "choice" if change["kind"] == "target" else "attention", "step": change["step"] + 1}
    words = [[step["choice"]["id"] for step in each.document["steps"]] for each in (before, after)]
    step = next((at for at, (one, other) in enumerate(zip(*words)) if one != other), 0)
    return {"chapter": "attention", "step": step + 1}


def two_names(*documents: Mapping[str, Any]) -> list[str]:
    """Names of the models of two traces that tell them apart."""
    names = [
        os.path.basename(str(document["model"]["name"]).rstrip("/\\")) or document["model"]["class"]
        for document in documents
    ]
    if names[0] == names[1]:
        kinds = [document["attention"]["type"].replace("_", "-") for document in documents]
        names = [f"{name}, {kind}" for name, kind in zip(names, kinds)]
    if names[0] == names[1]:
        names = [f"{name} ({letter})" for name, letter in zip(names, "AB")]
    return names


# --------------------------------------------------------------------------------------------------------------------
# Numbers
# --------------------------------------------------------------------------------------------------------------------

WHY = "to keep this page small; the trace itself has them"
WHY_OF_SENTENCES = "to keep a page of several sentences small; a page of one sentence can have them"
WHY_SENTENCES = "there are more than fit in one page; each can have a page of its own"
SCALED = "scaled scores (the page multiplies the scores itself)"
# What is left out, from what is missed least on: what (as a pattern), only below the last layer?, in words.
LEAST_FIRST = [
    (r"attention\.(\d+)\.scaled", False, SCALED),
    (r"attention\.(\d+)\.asker", True, "states that ask"),
    (r"decoder\.layer\.(\d+)\.residual", True, "residual sums of the decoder"),
    (r"decoder\.layer\.(\d+)\.states", True, "states of the decoder"),
    (r"attention\.(\d+)\.context", True, "contexts of all heads together"),
    (r"(?:en|de)coder\.layer\.(\d+)\.self_attention\.scores", True, "self-attention scores"),
    (r"encoder\.layer\.(\d+)\.(?:forward|backward)\..*", True, "gates of the encoder"),
    (r"decoder\.layer\.(\d+)\.(?!self_attention).*", True, "gates of the decoder"),
    (r"encoder\.layer\.(\d+)\.states", True, "states of the encoder"),
    (r"attention\.(\d+)\.(?:values|head_context)", True, "values and their weighted sums"),
    (
        r"attention\.(\d+)\.(?:query|keys|vector|coverage_vector|position_rows|worked|(?:query|key)_(?:row|bias)|join.*)",
        True,
        "queries and keys",
    ),
    (r"(?:en|de)coder\.layer\.(\d+)\.self_attention\.weights", True, "self-attention weights"),
    (r"attention\.(\d+)\.(?:scores|scaled)", True, "scores"),
    (r"attention\.(\d+)\.feature", False, "what location-aware attention saw of the step before"),
    (r"output\.rows", False, "rows of the output layer"),
    (r"output\.(?:hidden|bias)|readout\..*", False, "what the output layer reads"),
    (r"(?:en|de)coder\.inputs", False, "inputs of the first layers"),
    (r"(?:en|de)coder\.layer\.(\d+)\.self_attention\.scores", False, "self-attention scores"),
    (r"encoder\.layer\.(\d+)\.(?:forward|backward)\..*", False, "gates of the encoder"),
    (r"decoder\.layer\.(\d+)\.(?!self_attention).*", False, "states and gates of the decoder"),
    (r"(?:en|de)coder\.embeddings", False, "embeddings"),
    (r"encoder\.layer\.(\d+)\.states", False, "states of the encoder"),
    (r"(?:en|de)coder\.layer\.(\d+)\.self_attention\.weights", False, "self-attention weights"),
    (r"encoder\.states|handover\..*", False, "states that the attention reads, and the hand-over"),
    (r"attention\.(\d+)\.(?!weights).*", False, "everything of the attention but its weights"),
    (r"attention\.(\d+)\.weights", True, "weights"),
]


def _how_many_fit(sentences: Sequence[Sequence[_Run]], sizes: Sequence[int], limit: int) -> int:
    """How many sentences, from the first, fit with their text and the weights of the last layer; at least one."""
    total = 0
    for count, (sentence, size) in enumerate(zip(sentences, sizes)):
        traces = [run.trace for run in sentence]
        weights = [made.arrays[f"attention.{layer}.weights"] for made in traces for layer in made.layers[-1:]]
        total += size + sum(map(_packed_size, weights))
        if total > limit and count:
            return count
    return len(sentences)


def _last_sentences(kept: int, count: int) -> str:
    return f"the trace of sentence {count}" if count == kept + 1 else f"the traces of sentences {kept + 1} to {count}"


def _text_size(run: _Run, media: Media) -> int:
    return len(as_data([run.document(media)])) + (len(_table(run)) if run.parent is None else 0)


def _leave_out(arrays: dict[tuple[int, str], np.ndarray], limit: int, why: str) -> list[dict[str, str]]:
    """Takes arrays away until the rest fits; returns what was taken, for the page to name."""
    left_out: dict[str, list[str]] = {}
    packed = {key: _packed(array) for key, array in arrays.items()}
    for pattern, below_last, words in LEAST_FIRST:
        found: dict[int, list[tuple[int, str]]] = {}
        for key in arrays:
            match = re.fullmatch(pattern, key[1])
            # Where nothing is scaled, these are the scores, which are kept once.
            same = words == SCALED and packed[key] == packed.get((key[0], key[1].replace(".scaled", ".scores")))
            if match and not same:
                found.setdefault(int(match[1]) if match.groups() else 0, []).append(key)
        layers = sorted(found)
        # The lowest layers go first: what leads to the output is looked at most.
        for layer in layers[:-1] if below_last else layers:
            if sum(dict(packed.values()).values()) <= limit:
                return _in_words(left_out, why)
            for key in found[layer]:
                del arrays[key], packed[key]
            left_out.setdefault(words, []).append(str(layer + 1) if len(layers) > 1 or below_last else "")
    return _in_words(left_out, why)


def _in_words(left_out: dict[str, list[str]], why: str) -> list[dict[str, str]]:
    return [
        {"what": words if "" in layers else f"{words} (layer {', '.join(layers)})", "why": why}
        for words, layers in left_out.items()
    ]


def _packed(array: np.ndarray) -> tuple[bytes, int]:
    """What tells an array from others, for equal ones are kept once, and its size in the page."""
    return hashlib.sha256(array.tobytes()).digest(), _packed_size(array)


def _packed_size(array: np.ndarray) -> int:
    return 4 * array.nbytes // 3 + 80


class _Pool:
    """The arrays of all runs as base64, equal ones once: what-if runs share their source."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.known: dict[bytes, int] = {}

    def add(self, array: np.ndarray) -> dict[str, Any]:
        return {"shape": list(array.shape), "at": self._place(array.astype("<f4").tobytes())}

    def add_short(self, short: Shown) -> dict[str, Any]:
        entry = {"shape": list(short.values.shape), "low": short.low, "high": short.high}
        channels = {} if short.channels is None else {"channels": short.channels, "of": short.of}
        return {**entry, **channels, "at": self._place(short.values.tobytes())}

    def _place(self, numbers: bytes) -> int:
        digest = hashlib.sha256(numbers).digest()
        if digest not in self.known:
            self.known[digest] = len(self.texts)
            self.texts.append(base64.b64encode(numbers).decode("ascii"))
        return self.known[digest]


# --------------------------------------------------------------------------------------------------------------------
# Text
# --------------------------------------------------------------------------------------------------------------------


def _short(value: Any) -> Any:
    """The same with six digits for each number, which is more than a page shows."""
    if isinstance(value, dict):
        return {key: _short(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_short(each) for each in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def as_data(value: Any) -> str:
    """JSON that cannot end the script element it stands in, whatever a token holds."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def digest(text: str) -> str:
    """What a Content-Security-Policy allows a text by."""
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


__all__ = ["as_data", "as_page", "asset", "render_page", "save_page"]
