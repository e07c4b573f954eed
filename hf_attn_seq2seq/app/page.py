# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The Gradio page: it shows a text's translation, alignment and explanation, and the effect of changes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import wraps
from inspect import isgeneratorfunction
from typing import Any


os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # Gradio reads this on import

import gradio as gr

from hf_attn_seq2seq.app.limits import Limits
from hf_attn_seq2seq.app.runs import Answer, Change, Ran, Runs
from hf_attn_seq2seq.app.views import card, frame, sentence_pair, side_by_side, style, waiting, what_changed
from hf_attn_seq2seq.decoding.names import DEFAULT_MODEL
from hf_attn_seq2seq.explain.chapters import token_label
from hf_attn_seq2seq.explain.compare import compare
from hf_attn_seq2seq.explain.document import Trace
from hf_attn_seq2seq.explain.page import two_names
from hf_attn_seq2seq.explain.sentences import example_texts


WAITING = 20  # maximum number of queued runs; later requests are asked to try again
FORGET = 3600  # seconds after which a session's state and Gradio's files are deleted
# The browser saves the page from the frame, so the server writes no file.
SAVE = """() => {
  const frame = document.querySelector("iframe.explanation");
  if (!frame) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([frame.srcdoc], {type: "text/html"}));
  link.download = "explanation.html";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}"""

# Below a long text, the explanation would be out of sight. Gradio tells of an answer before all of it is in its place.
SHOW = """() => {
  let looks = 30, before = null;
  const show = () => {
    const top = document.querySelector("#explanation iframe")?.getBoundingClientRect().top;
    if ((top === undefined || top !== before) && looks--) setTimeout(show, 200);
    else if (top > 0.75 * innerHeight) document.querySelector("#explanation").scrollIntoView();
    before = top;
  };
  show();
}"""


def make_page(model: str = DEFAULT_MODEL, compare_with: str | None = None, limits: Limits | None = None) -> gr.Blocks:
    """
    Make the page of one model, or of two side by side.

    Args:
        model: The name of a packaged model, a folder, or a name on the Hub.
        compare_with: A second model.
        limits: Limits of each run; None: the default limits.

    Raises:
        ValueError: A model is missing or not suitable, or a limit is 0 or less.
    """
    return page_of(Runs(model, compare_with, limits))


def page_of(runs: Runs) -> gr.Blocks:
    """The page of loaded models."""
    title = f"Translation by attention: {' and '.join(runs.names)}"
    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=(FORGET, FORGET)) as page:
        gr.HTML(
            f"<h1>Translation by attention</h1><p class='intro'>Type a text of up to {runs.limits.words} words to see "
            "its translation, where the model looked, and every number along the way. Nothing that you type is "
            "stored.</p>"
        )
        asked = gr.State(None, time_to_live=FORGET)  # the text of the answer below, and the sentence shown
        with gr.Row(equal_height=True):
            text = gr.Textbox(
                label="Your text",
                max_length=runs.limits.characters,
                lines=1,
                max_lines=12,
                scale=4,
                min_width=260,
                elem_id="sentence",
            )
            beams = gr.Slider(1, runs.limits.beams, value=runs.beams, step=1, label="Beams", scale=1, min_width=200)
            go = gr.Button("Translate", variant="primary", elem_id="translate", scale=0, min_width=140)
        offered = example_texts(runs.translators[0].model.config, runs.translators[0].tokenizer)
        if offered:
            gr.Examples(
                [[example] for example in offered.values()],
                [text],
                label="Examples",
                example_labels=[f"a {name}" for name in offered],
                cache_examples=False,
            )
        sentence = gr.Radio(label="Sentences: choose the one to explain", visible=False, elem_id="chosen")
        with gr.Column(visible=False) as more:
            explanation = gr.HTML(elem_id="explanation")
            save = gr.Button("Save the explanation", size="sm", elem_id="save")
            answer = gr.HTML(elem_id="answer")
            gr.HTML("<h2>Change one thing, and see what changes</h2>")
            with gr.Tabs():
                with gr.Tab("A word of the source"), gr.Row(equal_height=True):
                    word = gr.Dropdown(label="Replace", elem_id="word")
                    new = gr.Textbox(label="With (empty to delete it)", max_length=60, elem_id="new")
                    edit = gr.Button("Replace the word", elem_id="edit", scale=0, min_width=200)
                with gr.Tab("A word of the translation"), gr.Row(equal_height=True):
                    step = gr.Dropdown(label="At the step of", elem_id="step")
                    say = gr.Dropdown(label="Say (choose or type)", allow_custom_value=True, elem_id="say")
                    force = gr.Button("Force this word", elem_id="force", scale=0, min_width=200)
                with gr.Tab("The weights"), gr.Row(equal_height=True):
                    even_step = gr.Dropdown(label="At the step of", elem_id="even-step")
                    even = gr.Button("Use equal weights", elem_id="even", scale=0, min_width=200)
            changed = gr.HTML(elem_id="changed")

        def translate(text: str, beams: float) -> Iterator[dict[Any, Any]]:
            found, ran = runs.translate(text, int(beams))
            pairs = zip(found.source, *found.targets)
            choices = [(sentence_pair(number, *pair), number - 1) for number, pair in enumerate(pairs, start=1)]
            yield {sentence: gr.Radio(choices, value=0, visible=len(choices) > 1), **shown_of(found, 0, ran)}
            yield {explanation: explained(ran)}

        def choose(was: tuple[Answer, int] | None, number: int | None) -> Iterator[dict[Any, Any]]:
            if was is None or number is None:
                raise ValueError("Translate a text first, then choose a sentence.")
            yield {explanation: waiting()}
            found = was[0]
            ran = runs.sentence(found.sentences[int(number)], found.beams)
            yield shown_of(found, int(number), ran)
            yield {explanation: explained(ran)}

        def explained(ran: Ran) -> str:
            return frame(ran.first, _looks(ran), compare=ran.second)

        def shown_of(found: Answer, number: int, ran: Ran) -> dict[Any, Any]:
            """All but the explanation, which takes longer to make and to send."""
            first, second = ran
            answers = zip(_traces(ran), _names(ran), found.targets)
            cards = [card(trace, name, found.source, target, number, heat=False) for trace, name, target in answers]
            note = _parting(first, second) if second is not None else ""
            # Of one sentence by one model, the explanation begins with all of it.
            whole = len(found.sentences) > 1 or second is not None
            words, _ = first.words("source")
            steps = _steps(first)
            return {
                asked: (found, number),
                answer: gr.HTML(f"<h2>The whole translation</h2>{side_by_side(cards, note)}", visible=whole),
                more: gr.Column(visible=True),
                word: gr.Dropdown([(text, n) for n, text in enumerate(words.words())], value=0),
                new: "",
                step: gr.Dropdown(steps, value=0),
                even_step: gr.Dropdown(steps, value=0),
                say: gr.Dropdown(_candidates(first, 0), value=None),
                changed: "",
                explanation: waiting(_looks(ran)),
            }

        def change(was: tuple[Answer, int] | None, kind: str, place: int | None, said: str | None = "") -> list[str]:
            if was is None or place is None:
                raise ValueError("Translate a text first, then change something.")
            found, number = was
            before, after = runs.change(found.sentences[number], found.beams, Change(kind, int(place), said or ""))
            cards = [card(before, "Before"), card(after, "After")]
            told = f"{what_changed(before, after)} The explanation above shows both."
            return [side_by_side(cards, told), frame(before, beside=after)]

        def candidates(was: tuple[Answer, int] | None, place: int | None) -> Any:
            if was is None or place is None:
                return gr.skip()
            found, number = was
            first, _ = runs.first(found.sentences[number], found.beams)
            return gr.Dropdown(_candidates(first, int(place)), value=None)

        outputs = [asked, answer, more, word, new, step, even_step, say, changed, explanation]
        for done in (
            gr.on(
                [go.click, text.submit],
                told(translate),
                [text, beams],
                [sentence, *outputs],
                api_visibility="private",
            ),
            sentence.input(told(choose), [asked, sentence], outputs, api_visibility="private"),
        ):
            done.success(None, js=SHOW, api_visibility="private")
        shown: dict[str, Any] = {"outputs": [changed, explanation], "api_visibility": "private"}
        gr.on(
            [edit.click, new.submit],
            told(lambda was, place, said: change(was, "source", place, said)),
            [asked, word, new],
            **shown,
        )
        force.click(told(lambda was, place, said: change(was, "target", place, said)), [asked, step, say], **shown)
        even.click(told(lambda was, place: change(was, "weights", place)), [asked, even_step], **shown)
        step.input(told(candidates), [asked, step], [say], api_visibility="private")
        save.click(None, js=SAVE, api_visibility="private")
    page.queue(max_size=WAITING, default_concurrency_limit=1, api_open=False)
    return page


def launch(
    page: gr.Blocks, *, host: str | None = None, port: int | None = None, browser: bool = False, wait: bool = True
) -> str:
    """
    Serve the page.

    Args:
        page: A page from [`make_page`].
        host: Address to listen on; None: that of Gradio's environment variables, as in a Space, or this machine only.
        port: None: the first free port from 7860.
        browser: Whether to open a browser window.
        wait: Whether to block until Ctrl-C; otherwise the address is returned at once.

    Raises:
        OSError: No port is free.
    """
    font = [gr.themes.Font(name) for name in ("system-ui", "Segoe UI", "Roboto", "sans-serif")]
    mono = [gr.themes.Font(name) for name in ("ui-monospace", "Menlo", "Consolas", "monospace")]
    _, address, _ = page.launch(
        server_name=host,
        server_port=port,
        inbrowser=browser,
        prevent_thread_lock=True,
        share=False,
        ssr_mode=False,
        quiet=True,  # Gradio would also advise an argument that the command does not have
        footer_links=[],
        enable_monitoring=False,
        max_file_size=1,  # nothing is uploaded
        theme=gr.themes.Base(primary_hue="purple", neutral_hue="stone", font=font, font_mono=mono),
        css=style(),
    )
    if wait:
        print(f"Open {address} in a browser. Press Ctrl-C to stop.", flush=True)
        page.block_thread()
    return address


def told(function: Callable[..., Any]) -> Callable[..., Any]:
    """Show errors as a sentence on the page; for unexpected errors, only that one occurred."""

    @wraps(function)
    def run(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except ValueError as error:
            raise gr.Error(str(error), title="Not done", print_exception=False) from None

    @wraps(function)
    def run_in_parts(*arguments: Any) -> Iterator[Any]:
        try:
            yield from function(*arguments)
        except ValueError as error:
            raise gr.Error(str(error), title="Not done", print_exception=False) from None

    return run_in_parts if isgeneratorfunction(function) else run


def _traces(ran: Ran) -> list[Trace]:
    return [trace for trace in ran if trace is not None]


def _names(ran: Ran) -> list[str]:
    """The names of two models; of one, none is needed."""
    return two_names(*(trace.document for trace in _traces(ran))) if ran.second is not None else [""]


def _looks(ran: Ran) -> str:
    """Where the models looked, before the explanation says all of it."""
    return side_by_side([card(trace, name) for trace, name in zip(_traces(ran), _names(ran))])


def _steps(trace: Trace) -> list[tuple[str, int]]:
    labels = [token_label(step["choice"]) for step in trace.document["steps"]]
    return [(f"{number + 1}: {label}", number) for number, label in enumerate(labels)]


def _candidates(trace: Trace, step: int) -> list[str]:
    """The other candidates of the model at a step, best first."""
    here = trace.document["steps"][step]
    others = (each for each in here["candidates"] if each["id"] != here["choice"]["id"])
    return list(dict.fromkeys(each["text"].strip() or each["token"] for each in others))


def _parting(first: Trace, second: Trace) -> str:
    found = compare(first, second)
    if found.parting is None:
        return "Both models give the same translation."
    row = found.rows[found.parting.row]
    said = [f"“{choice.text}”" if choice is not None else "nothing" for choice in (row.a, row.b)]
    return f"They first differ where the first model chooses {said[0]} and the second {said[1]}."
