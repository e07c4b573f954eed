# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The page of a trace in a notebook, and a widget for what-if runs."""

from __future__ import annotations

import html
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from hf_attn_seq2seq.explain import page
from hf_attn_seq2seq.explain.document import Trace
from hf_attn_seq2seq.messages import quoted


HEIGHT = 820  # pixels


def notebook_html(trace: Trace) -> str:
    """The page of a trace in a frame that can access neither the notebook nor the network."""
    document = html.escape(page.render_page(trace))
    return (
        f'<iframe title="Explanation of a translation" sandbox="allow-scripts allow-downloads" srcdoc="{document}" '
        f'style="width: 100%; height: {HEIGHT}px; border: 1px solid #cfc6dc; border-radius: 10px"></iframe>'
    )


def what_if_widget(trace: Trace) -> Any:
    """
    A widget that changes a word, the weights of a step or the source, or mutes or covers a part of it, runs the model
    again, and shows the page of the result.

    Each result becomes a child of the trace, and is shown next to it on the page.

    Args:
        trace: A trace whose model is loaded.

    Returns:
        An `anywidget.AnyWidget`; it is displayed if it is the last value of a notebook cell.

    Raises:
        ImportError: anywidget is not installed.
        ValueError: The trace was loaded from a file.
    """
    trace.check_model()
    try:
        import anywidget
        import traitlets
    except ImportError as error:
        raise ImportError(
            'The live widget needs anywidget, which is not installed: run pip install "hf_attn_seq2seq[notebook]".'
        ) from error

    built = files(page.__name__)

    class WhatIf(anywidget.AnyWidget):
        _esm = built.joinpath("widget.js").read_text("utf-8")
        _css = built.joinpath("widget.css").read_text("utf-8")
        input = traitlets.Unicode().tag(sync=True)
        text = traitlets.Unicode().tag(sync=True)
        source = traitlets.List(traitlets.Unicode()).tag(sync=True)
        steps = traitlets.List(traitlets.Unicode()).tag(sync=True)
        attends = traitlets.Bool().tag(sync=True)
        answer = traitlets.Unicode().tag(sync=True)
        page = traitlets.Unicode().tag(sync=True)

    widget = WhatIf(
        input="" if trace.input is None else trace.input["kind"],
        text=trace.document["source"]["text"],
        source=trace.source_tokens,
        steps=trace.target_tokens,
        attends=bool(trace.layers),
        page=page.render_page(trace),
    )

    def decode(_: Any, question: Any, __: Any) -> None:
        try:
            child = trace.what_if(**_changes(question))
        except ValueError as error:
            widget.answer = str(error)
        else:
            widget.page = page.render_page(trace, beside=child)
            widget.answer = child.document["target"]["text"]
        widget.send({"done": True})

    widget.on_msg(decode)
    return widget


def _changes(question: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `what_if` for a request of the widget."""
    kind = question.get("kind")
    if kind == "source":
        return {"source": question["text"]}
    if kind == "target":
        if not question["token"].strip():
            raise ValueError("The word is missing: type a word of the target language.")
        return {"target": {question["step"]: question["token"]}}
    if kind == "weights":
        return {"weights": {question["step"]: question["weights"]}}
    if kind == "mute":
        return {"mute": tuple(question["part"])}
    if kind == "cover":
        return {"cover": question["part"]}
    raise ValueError(f"{quoted(kind)} cannot be changed: choose source, target, weights, mute or cover.")


__all__ = ["notebook_html", "what_if_widget"]
