# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The page inside a notebook: shut off from it; the widget, which asks the real model."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import PreTrainedTokenizerBase

from hf_attn_seq2seq.explain import Trace, page, trace
from hf_attn_seq2seq.explain.notebook import what_if_widget
from tests.explain.browser import chromium, offline
from tests.explain.conftest import TEXT


MakeModel = Callable[..., Any]


def test_the_page_stands_in_a_frame_of_its_own(traced: Trace) -> None:
    frame = traced._repr_html_()
    source = re.fullmatch(r'<iframe [^>]*sandbox="([^"]*)" srcdoc="([^"]*)"[^>]*></iframe>', frame)
    assert source is not None
    assert "allow-same-origin" not in source[1]
    assert html.unescape(source[2]) == page.render_page(traced)


def test_it_answers_inside_a_notebook(traced: Trace, tmp_path: Path) -> None:
    (tmp_path / "notebook.html").write_text(f"<!doctype html><title>notebook</title>{traced._repr_html_()}", "utf-8")
    with chromium() as browser:
        window = offline(browser).new_page()
        said: list[str] = []
        window.on("console", lambda message: said.append(message.text))
        window.on("pageerror", lambda error: said.append(str(error)))
        window.goto((tmp_path / "notebook.html").as_uri())
        frame = window.frame_locator("iframe")
        frame.locator('[data-chapter="attention"]').click()
        frame.get_by_role("button", name="step back").click()
        assert "Step 1 of" in frame.locator(".now").inner_text()

        widget = what_if_widget(traced)
        state = {name: getattr(widget, name) for name in ("text", "source", "steps", "attends", "answer", "page")}
        fake = """async ({ script, state }) => {
            const source = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
            const { default: widget } = await import(source);
            const listeners = {};
            window.asked = [];
            const model = { get: (name) => state[name], on: (name, listen) => { listeners[name] = listen; }, off() {},
                send: (question) => {
                    window.asked.push(question);
                    state.answer = "un chien";
                    listeners["msg:custom"]();
                } };
            const el = document.body.appendChild(document.createElement("div"));
            el.id = "widget";
            widget.render({ model, el });
        }"""
        window.evaluate(fake, {"script": widget._esm, "state": state})
        form = window.locator("#widget form")
        form.get_by_placeholder("a target word").fill("chien")
        form.get_by_role("button", name="Decode again").click()
        assert window.locator("#widget .answer").inner_text() == "un chien"
        (asked,) = window.evaluate("asked")
        assert asked == {"kind": "target", "step": 0, "token": "chien", "weights": "uniform", "text": TEXT}
        assert window.frame_locator("#widget iframe").locator("h1").inner_text() == "How this translation was made"
        browser.close()
    assert said == []


def ask(widget: Any, **question: Any) -> str:
    widget._handle_custom_msg(question, [])
    return widget.answer


def test_the_widget_asks_the_model(make_model: MakeModel, tokenizer: PreTrainedTokenizerBase) -> None:
    traced = trace(make_model(attention_type="additive"), tokenizer, TEXT)
    widget = what_if_widget(traced)
    assert (widget.text, widget.source, widget.steps, widget.attends) == (
        TEXT,
        traced.source_tokens,
        traced.target_tokens,
        True,
    )
    answer = ask(widget, kind="target", step=0, token="chien", weights="uniform", text=TEXT)
    assert answer == traced.children[0].document["target"]["text"]
    assert traced.children[0].target_tokens[0] == "chien"
    ask(widget, kind="weights", step=0, token="", weights=2, text=TEXT)
    np.testing.assert_array_equal(traced.children[1].weights()[0], np.eye(len(traced.source_tokens))[2])
    ask(widget, kind="source", step=0, token="", weights="uniform", text="a dog sees")
    assert traced.children[2].document["source"]["text"] == "a dog sees"
    data = json.loads(re.search(r'id="data">(.*?)</script>', widget.page)[1])  # type: ignore[index]
    assert [run["parent"] for run in data["runs"]] == [None, 0, 0, 0]
    assert data["beside"] == 4  # the answer, the fourth run, beside the first


def test_what_the_model_cannot_do_is_answered_in_a_sentence(
    make_model: MakeModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    traced = trace(make_model(attention_type="additive"), tokenizer, TEXT)
    widget = what_if_widget(traced)
    before = widget.page
    said = ask(widget, kind="target", step=0, token="xyzzy", weights="uniform", text=TEXT)
    assert "cannot be written" in said
    assert "type a word" in ask(widget, kind="target", step=0, token=" ", weights="uniform", text=TEXT)
    assert "blank" in ask(widget, kind="source", step=0, token="", weights="uniform", text=" ").lower()
    assert "cannot be changed" in ask(widget, kind="moon")
    assert widget.page == before
    assert traced.children == []


def test_a_loaded_trace_has_no_model_to_ask(traced: Trace, tmp_path: Path) -> None:
    traced.save(tmp_path / "trace.json")
    with pytest.raises(ValueError, match="read from a file"):
        what_if_widget(Trace.load(tmp_path / "trace.json"))


def test_without_anywidget_it_says_what_to_install(traced: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "anywidget", None)
    with pytest.raises(ImportError, match=r"hf_attn_seq2seq\[notebook\]"):
        what_if_widget(traced)
