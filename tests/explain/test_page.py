# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The page: what it shows against the trace, by mouse and by keyboard, without a network and without a word on the
console; what it may not do; its size."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from transformers import BartConfig, BartForConditionalGeneration, PreTrainedTokenizerBase

from hf_attn_seq2seq.configuration_attn_seq2seq import ATTENTION_NORMALIZERS, ATTENTION_TYPES, DECODER_MIXERS
from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer
from hf_attn_seq2seq.explain import Trace, trace
from hf_attn_seq2seq.explain import page as page_module
from hf_attn_seq2seq.explain.cells import CELLS
from hf_attn_seq2seq.explain.chapters import TITLES, chapter_texts, step_sentence
from hf_attn_seq2seq.explain.contrast import Contrast
from hf_attn_seq2seq.explain.kinds import KINDS, QUERY, AttentionKind, Column
from hf_attn_seq2seq.explain.page import MAX_BYTES, render_page, save_page
from hf_attn_seq2seq.explain.sentences import entropy, overview, telling_step, trace_sentences
from tests.explain.browser import axe_finds, chromium, needs_axe, offline, too_wide
from tests.explain.conftest import SENTENCES, TEXT
from tests.explain.same import without_rows


if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

MakeModel = Callable[..., Any]
FRONTEND = Path(__file__).parents[2] / "frontend"
HOSTILE = "</script><img src=x onerror=alert(1)>"
TRANSFORMER = {
    "encoder_type": "transformer",
    "decoder_type": "transformer",
    "attention_type": "multi_head",
    "num_attention_heads": 2,
    "decoder_layers": 2,
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def open_page(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """Opens a trace's page; afterwards, nothing may have been said on the console and nothing fetched."""
    context = offline(browser)
    said: list[str] = []
    fetched: list[str] = []

    def open_(traced: Trace | list[Trace], place: str = "", **options: Any) -> Page:
        path = tmp_path / f"{len(context.pages)}.html"
        save_page(traced, path, **options)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: fetched.append(request.url))
        page.goto(f"{path.as_uri()}{place}")
        return page

    yield open_
    context.close()
    assert said == []
    assert [url for url in fetched if not url.startswith(("file:", "data:", "blob:"))] == []


def shown_checks(page: Page) -> list[tuple[str, float]]:
    """Every recomputation that the page shows, with its difference; none may be marked as failed."""
    assert page.locator(".check.bad").count() == 0, page.locator(".check.bad").all_inner_texts()
    checks = page.locator("[data-check]").all()
    return [
        (str(one.get_attribute("data-check")), float(one.get_attribute("data-difference") or "nan")) for one in checks
    ]


def test_all_chapters_by_mouse_show_the_traces_numbers(open_page: Callable[..., Page], traced: Trace) -> None:
    page = open_page(traced, "#step=2&source=3&depth=numbers")
    texts = chapter_texts(traced)
    for key, text in texts.items():
        page.click(f'[data-chapter="{key}"]')
        assert page.locator("h2").first.inner_text().endswith(text.title)
        assert page.locator(".absent").count() == 0
        assert f"chapter={key}" in page.url or key == "tokens"  # the first chapter needs no mention
        assert all(difference < 1e-5 for _, difference in shown_checks(page)), key

    page.click('[data-chapter="attention"]')
    assert step_sentence(traced, 1).replace('"', "") in re.sub("[“”]", "", page.locator(".now").inner_text())
    weights = traced.weights(head=0)
    shown = [float(cell.get_attribute("data-value") or "nan") for cell in page.locator('[data-shown="weight"]').all()]
    np.testing.assert_allclose(shown, weights[1], atol=1e-7)
    cells = [float(cell.get_attribute("data-weight") or "nan") for cell in page.locator(".heat .cell").all()]
    np.testing.assert_allclose(np.reshape(cells, weights.shape), weights, atol=1e-7)

    page.click('[data-key="a attention 0 3"]')  # another cell: its own ledger
    ledger = traced.ledger(0, 3)
    score = page.locator('[data-shown="score"]').inner_text().replace("−", "-")
    assert float(score) == pytest.approx(ledger.score, abs=1e-4)
    page.click('[data-key="more ledger"]')
    rows = page.locator('[data-scroll="ledger"] tbody tr').all_inner_texts()
    assert len(rows) == len(ledger.terms)
    last = float(rows[-1].split()[-1].replace("−", "-"))
    assert last == pytest.approx(float(ledger.terms.sum()), abs=1e-5)

    page.click('[data-chapter="choice"]')
    shown = [
        float(bar.get_attribute("data-probability") or "nan")
        for bar in page.locator(".candidate[data-probability]").all()
    ]
    candidates = traced.document["steps"][0]["candidates"]
    assert shown == [candidate["probability"] for candidate in candidates]

    # A chosen token stays until the reader lets the attention lead again.
    page.click('[data-chapter="attention"]')
    assert "You chose the source token" in page.locator(".now").inner_text()
    page.click('[data-key="a follow"]')
    for step in (1, 2):
        page.keyboard.press("ArrowRight")
        marked = page.locator(".weights tr.marked")
        assert "best" in str(marked.get_attribute("class"))
        assert traced.source_tokens[int(weights[step].argmax())] in marked.inner_text()
    assert "source" not in page.url


def test_all_chapters_by_keyboard(open_page: Callable[..., Page], traced: Trace) -> None:
    page = open_page(traced, "#step=1&source=1")
    for number, text in enumerate(chapter_texts(traced).values(), start=1):
        page.keyboard.press(str(number))
        assert page.locator('[role="tab"][aria-selected="true"]').inner_text().endswith(text.title)
        assert page.locator('[role="status"]').inner_text().startswith(f"Chapter {number}") or number == 1
    page.keyboard.press("6")
    page.keyboard.press("ArrowRight")
    page.keyboard.press(".")
    page.keyboard.press("d")
    assert "step=2" in page.url
    assert "source=2" in page.url
    assert "depth=numbers" in page.url
    assert "Step 2 of" in page.locator(".now").inner_text()
    page.focus('[data-key="a attention 1 1"]')
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert "step=3" in page.url
    assert "source=3" in page.url
    assert page.evaluate("document.activeElement.dataset.key") == "a attention 2 2"
    page.keyboard.press("?")
    assert page.locator("dialog.keys").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("dialog.keys").is_visible()
    page.keyboard.press("p")
    assert "chapter=step_input" in page.url
    page.locator("h2").first.click()  # away from any button: the space bar plays
    page.keyboard.press("Space")
    assert page.get_by_role("button", name="pause").is_visible()
    page.keyboard.press("Space")
    assert page.get_by_role("button", name="play").is_visible()


def test_a_link_leads_back_to_the_place_and_nonsense_does_no_harm(
    open_page: Callable[..., Page], traced: Trace
) -> None:
    page = open_page(traced, "#chapter=choice&step=3&depth=vectors")
    assert page.locator('[data-chapter="choice"]').get_attribute("aria-selected") == "true"
    assert "Step 3 of" in page.locator(".now").inner_text()
    page = open_page(traced, "#chapter=nowhere&step=9999&source=0&depth=&layer=-3&head=x&run=7&__proto__=1")
    assert page.locator('[data-chapter="tokens"]').get_attribute("aria-selected") == "true"
    steps = len(traced.document["steps"])
    assert f"step {steps} of {steps}" in page.locator(".step-label").inner_text()


@pytest.mark.parametrize("kind", [*ATTENTION_TYPES, "hard"])
@pytest.mark.costly
def test_every_attention_is_recomputed(
    open_page: Callable[..., Page], make_model: MakeModel, tokenizer: PreTrainedTokenizerBase, kind: str
) -> None:
    fields = (
        TRANSFORMER
        if kind == "multi_head"
        else {"attention_type": kind, "encoder_type": "lstm", "decoder_type": "lstm"}
    )
    if kind == "hard":
        fields = {"attention_type": "monotonic", "monotonic_hard": True}
    traced = trace(make_model(**{"num_attention_heads": 2, **fields}), tokenizer, TEXT)
    page = open_page(traced, "#chapter=attention&step=3&source=2&head=2&depth=numbers")
    checks = dict(shown_checks(page))
    expected = (
        set()
        if kind == "none"
        else {"score", "weights from scores", "sum of the weights", "context = Σ weight × value"}
    )
    told = KINDS[traced.document["attention"]["type"]]
    here = {name.rpartition(".")[2]: array for name, array in traced.arrays.items() if name.startswith("attention.")}
    expected |= {f"{name}{int(here['worked'][1]) + 1}" for name, matrix in zip("qk", told.matrices) if matrix}
    expected |= {f"c{int(here['joined'][0]) + 1}"} if told.projects else set()
    assert expected <= checks.keys()
    assert max(checks.values(), default=0) < 1e-5
    if kind != "none":
        assert page.locator(".miniatures.heads .miniature").count() == 2
    for chapter in ("encoder", "choice", "loop"):
        page.click(f'[data-chapter="{chapter}"]')
        found = shown_checks(page)
        assert found
        assert max(difference for _, difference in found) < 1e-5


def test_the_page_computes_the_formula_that_the_trace_carries(
    open_page: Callable[..., Page],
    make_model: MakeModel,
    tokenizer: PreTrainedTokenizerBase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = Column("κ", "keys", "HS", "key", "a key by another name")
    kind = AttentionKind(terms="2 q_i tanh(0 κ_i + 1) κ_i / (2 tanh(1))", columns=(QUERY, key))
    monkeypatch.setitem(KINDS, "dot", kind)
    page = open_page(trace(make_model(attention_type="dot"), tokenizer, TEXT), "#chapter=attention&depth=numbers")
    assert {"score", "weights from scores"} <= dict(shown_checks(page)).keys()
    assert "a key by another name" in page.locator(".stage").inner_text()
    page.click('[data-key="more ledger"]')
    head = page.locator('[data-scroll="ledger"] thead').inner_text()
    assert head.split() == ["i", "qᵢ", "κᵢ", "tanh(…)", "term", "sum", "so", "far"]
    page.click('[data-chapter="handover"]')
    assert page.locator(".absent").count() == 0


@pytest.mark.parametrize("kind", ["general", "monotonic"])
def test_an_attention_without_a_formula_is_shown_and_says_so(
    open_page: Callable[..., Page],
    make_model: MakeModel,
    tokenizer: PreTrainedTokenizerBase,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    monkeypatch.delitem(KINDS, kind)
    page = open_page(trace(make_model(attention_type=kind), tokenizer, TEXT), "#chapter=attention&depth=numbers")
    checks = dict(shown_checks(page))
    assert checks.keys() == {"sum of the weights", "context = Σ weight × value"}
    assert max(checks.values()) < 1e-5
    assert page.locator(".stage").inner_text().count("has no formula for this kind of attention") == 2
    assert page.locator(".absent").count() == 0


@pytest.mark.parametrize("mixer", [mixer for mixer in DECODER_MIXERS if mixer != "attention"])
def test_every_mixer_is_recomputed(
    open_page: Callable[..., Page], make_model: MakeModel, tokenizer: PreTrainedTokenizerBase, mixer: str
) -> None:
    traced = trace(make_model(**TRANSFORMER, decoder_mixer=mixer), tokenizer, TEXT)
    page = open_page(traced, "#chapter=step_input&step=3&depth=vectors")
    found = shown_checks(page)
    assert [what for what, _ in found if "h" in what]
    assert max(difference for _, difference in found) < 1e-5
    shown = page.locator(".stage").inner_text()
    assert "In place of self-attention" in shown
    assert "not in this page" not in shown
    assert "2-layer Transformer decoder with " in page.locator("body").inner_text()
    page.click('[data-chapter="handover"]')
    sentence = "The states h1 ... hS are handed over; the decoder's own states begin with 0."
    assert sentence in page.locator(".stage").inner_text()


FORMULAS = {
    "gru": "h′ = (1 − z) n + z h",
    "lstm": "m′ = f m + i g, h′ = o tanh(m′)",
    "ssru": "m′ = f m + (1 − f) n, h′ = relu(m′)",
    "min_gru": "h′ = (1 − z) h + z n",
    "min_lstm": "f = k (f + i), h′ = k h + (1 − k) n",
}


@pytest.mark.parametrize("kind", CELLS)
def test_every_cell_is_recomputed(
    open_page: Callable[..., Page], make_model: MakeModel, tokenizer: PreTrainedTokenizerBase, kind: str
) -> None:
    model = make_model(encoder_type=kind, decoder_type=kind, attention_query="current")
    page = open_page(trace(model, tokenizer, TEXT), "#chapter=encoder&step=3&source=2&depth=vectors")
    for chapter in ("encoder", "state"):
        page.click(f'[data-chapter="{chapter}"]')
        checks = dict(shown_checks(page))
        assert checks[FORMULAS[kind]] < 1e-5
        by_rows = [symbol for symbol, gate in CELLS[kind].gates.items() if gate.row]
        assert checks[f"{', '.join(CELLS[kind].gates[name].symbol for name in by_rows)} from rows"] < 1e-5
        assert page.locator(".by-rows .formula.last").count() == len(
            [name for name in by_rows if CELLS[kind].gates[name].row != "w"]
        )
        worked = [text.split(" = ") for text in page.locator(".worked .formula").all_inner_texts()]
        assert worked
        for _, term, total in worked:
            known = {"tanh": np.tanh, "relu": lambda value: max(value, 0.0)}
            value = eval(term.replace("×", "*").replace("−", "-").replace("⁻", "-"), known)
            assert abs(value - float(total.replace("−", "-"))) < 2e-3
    tabs = [str(tab.get_attribute("data-chapter")) for tab in page.locator("[data-chapter]").all()]
    assert tabs[4:8] == ["step_input", "state", "attention", "choice"]  # the new state asks
    page.click('[data-chapter="handover"]')
    first = page.locator("main").inner_text()
    assert ("m0 cell" in first.replace("\n", "")) is (kind in ("lstm", "ssru"))


def test_both_cells_around_the_attention_are_recomputed(
    open_page: Callable[..., Page], make_model: MakeModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    model = make_model(attention_query="between", readout="deep", bridge="mean_dense", decoder_layers=2)
    traced = trace(model, tokenizer, TEXT)
    page = open_page(traced, "#chapter=step_input&step=3&depth=vectors")
    told = {"step_input": "By the first of two cells", "state": "what was read from the source enters here"}
    for chapter, text in told.items():
        page.click(f'[data-chapter="{chapter}"]')
        assert text in page.locator("main").inner_text()
        assert dict(shown_checks(page))[FORMULAS["gru"]] < 1e-5
        assert page.locator(".by-rows").count() == 1
    page = open_page(without_rows(traced), "#chapter=state&step=3&depth=vectors")  # as earlier versions wrote it
    assert "which changes most, is worked out" in page.locator("main").inner_text()
    for chapter in ("state", "handover", "choice"):
        page.click(f'[data-chapter="{chapter}"]')
        assert page.locator(".by-rows, .absent").count() == 0
        assert "its row" not in page.locator("main").inner_text()


@pytest.mark.parametrize("normalizer", ATTENTION_NORMALIZERS)
def test_every_normalizer_is_recomputed(
    open_page: Callable[..., Page], make_model: MakeModel, tokenizer: PreTrainedTokenizerBase, normalizer: str
) -> None:
    traced = trace(make_model(attention_type="additive", attention_normalizer=normalizer), tokenizer, TEXT)
    page = open_page(traced, "#chapter=attention&step=2&depth=numbers")
    assert dict(shown_checks(page))["weights from scores"] < 1e-5


def test_changed_weights_give_another_context_and_are_marked(open_page: Callable[..., Page], traced: Trace) -> None:
    page = open_page(traced, "#chapter=attention&step=2&source=1")
    assert page.locator(".warning").count() == 0
    page.click('[data-key="a only"]')
    assert "were not re-decoded" in page.locator(".warning").inner_text()
    values = traced.arrays["attention.0.values"][0].astype(float)
    before = traced.weights(head=0)[1] @ values
    away = np.linalg.norm(values[0] - before) / np.linalg.norm(before)
    shown = re.search(r"difference is ([\d.]+) times", page.locator('[data-shown="edited"]').inner_text())
    assert shown is not None
    assert float(shown[1]) == pytest.approx(away, abs=0.0051)
    slider = page.locator('[data-key="a slider 2"]')
    slider.focus()
    slider.press("End")  # all weight on the third token
    sliders = page.locator(".slider").all()
    assert [one.input_value() for one in sliders] == ["0", "0", "1000", *["0"] * (len(sliders) - 3)]
    page.click('[data-key="a uniform"]')
    shares = [float(text.removesuffix(" %")) for text in page.locator(".slider-row .share").all_inner_texts()]
    assert sum(shares) == pytest.approx(100, abs=0.05 * len(shares))
    page.click('[data-key="a reset"]')
    assert page.locator(".warning").count() == 0


def test_runs_of_what_if_and_a_second_model_stand_beside(
    open_page: Callable[..., Page], make_model: MakeModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    traced = trace(make_model(attention_type="additive"), tokenizer, TEXT, num_beams=3)
    greedy = trace(make_model(attention_type="additive"), tokenizer, TEXT)
    child = greedy.what_if(weights={1: "uniform"})
    page = open_page(greedy, "#chapter=attention&step=2")
    beside = open_page(greedy, beside=child)  # what was asked, before beside after
    assert beside.locator('[data-chapter="attention"]').get_attribute("aria-selected") == "true"
    assert beside.locator(".step-label").inner_text().startswith("step 2 of")
    assert beside.locator(".run-name").all_inner_texts() == ["before", "step 2 with all weights alike"]
    beside.keyboard.press("1")
    assert "chapter=tokens" in beside.url
    page.click('[data-key="open 1"]')
    assert "set by hand" in page.locator(".side").inner_text()
    assert page.locator(".child").count() == 0
    shown = [float(cell.get_attribute("data-value") or "nan") for cell in page.locator('[data-shown="weight"]').all()]
    np.testing.assert_allclose(shown, child.weights()[1], atol=1e-7)

    other = trace(make_model(attention_type="none"), tokenizer, TEXT)
    page = open_page(traced, "#chapter=loop", compare=other)
    assert page.locator(".side").count() == 2
    assert page.locator(".diagram").count() == 2
    kept = sum(len(step["hypotheses"]) for step in traced.document["beams"]["steps"])
    assert page.locator(".hypothesis").count() == kept
    for chapter in TITLES:
        page.click(f'[data-chapter="{chapter}"]')
        assert page.locator(".stage h2").count() == 1
        assert page.locator(".check.bad").count() == 0
        if chapter == "choice":  # in both
            assert page.locator("main").inner_text().count("made of the new state s and the context c,") == 2


def test_other_views_stand_beside_the_weights(open_page: Callable[..., Page], traced: Trace) -> None:
    views = traced.faithfulness()
    page = open_page(traced, "#chapter=attention&step=2&depth=numbers", faithfulness=views)
    part = page.locator(".part").filter(has_text="Other measures of what mattered")
    said = part.inner_text()
    for name, view in views.views.items():
        assert view.title in said
        assert view.says in said
        assert view.cannot_say in said
        if view.values.ndim == 2:
            cells = part.locator(f'[data-view="{name}"]').all()
            shown = [float(cell.get_attribute("data-value") or "nan") for cell in cells]
            np.testing.assert_allclose(shown, view.values[1], rtol=1e-5)
        else:
            assert f"{view.values[1]:.5f}".replace("-", "−") in said
    page.click('[data-key="a views 2"]')
    assert "source=3" in page.url
    assert part.locator("tr.marked").count() == 1


def test_other_views_without_attention_name_what_is_absent(
    open_page: Callable[..., Page], make_model: MakeModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    traced = trace(make_model(attention_type="none"), tokenizer, TEXT)
    views = traced.faithfulness()
    page = open_page(traced, "#chapter=attention", faithfulness=views)
    absent = page.locator(".absent").inner_text()
    for name, why in views.absent.items():
        assert name.replace("_", " ") in absent
        assert why in absent
    assert page.locator('[data-view="erasure"]').count() == len(traced.source_tokens)


def test_a_sentence_of_a_text_is_chosen_by_mouse_and_by_keys(
    open_page: Callable[..., Page], make_model: MakeModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    text = "The cat is on the mat. A dog sees the old house. The dog is on the mat."
    traces = trace_sentences(make_model(attention_type="additive"), tokenizer, text)
    child = traces[1].what_if(weights={0: "uniform"})
    words = [[token["text"] or token["token"] for token in each.document["source"]["tokens"]] for each in traces]
    page = open_page(traces, "#chapter=tokens")
    shown = [row.inner_text().split("\n") for row in page.locator(".sentence").all()]
    assert shown == [
        [str(row.index + 1), row.text, row.translation, f"{row.score:.3f}".replace("-", "−")]
        for row in overview(traces)
    ]
    page.click('[data-key="sentence 1"]')
    assert "sentence=2" in page.url
    assert page.locator('[data-chapter="tokens"]').get_attribute("aria-selected") == "true"
    assert page.locator(".source .word").all_inner_texts() == words[1]
    page.keyboard.press("ArrowDown")
    assert "sentence=3" in page.url
    assert page.evaluate("document.activeElement.dataset.key") == "sentence 2"
    assert page.locator(".source .word").all_inner_texts() == words[2]
    assert page.locator('[role="status"]').inner_text().startswith("Sentence 3 of 3: ")
    page.keyboard.press("s")  # round to the first, and back
    assert page.locator('.sentence[aria-pressed="true"]').get_attribute("data-key") == "sentence 0"
    page = open_page(traces, "#sentence=2&chapter=attention&step=1&run=2")  # a link to a what-if run of a sentence
    cells = [float(cell.get_attribute("data-value") or "nan") for cell in page.locator('[data-shown="weight"]').all()]
    np.testing.assert_allclose(cells, child.weights()[0], atol=1e-7)
    assert page.locator("nav.sentences").count() == 1
    assert open_page(traces[:1]).locator("nav.sentences").count() == 0


def test_a_model_of_transformers_names_what_is_absent(
    open_page: Callable[..., Page], tokenizer: PreTrainedTokenizerBase
) -> None:
    config = BartConfig(
        vocab_size=len(tokenizer), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=32, pad_token_id=0,
        bos_token_id=1, eos_token_id=2, decoder_start_token_id=1, forced_eos_token_id=2,
    )  # fmt: skip
    traced = trace(BartForConditionalGeneration(config).eval(), tokenizer, TEXT, max_new_tokens=4)
    page = open_page(traced, "#chapter=attention&step=2")
    assert "does not return it" in page.locator(".absent").first.inner_text()
    for chapter in TITLES:
        page.click(f'[data-chapter="{chapter}"]')
        assert page.locator(".figure > *").count() > 0


def test_long_right_to_left_and_single_tokens_fit(open_page: Callable[..., Page], make_model: MakeModel) -> None:
    text = "הילד קורא ספר"
    tokenizer = train_tokenizer([text, TEXT], kind="bpe", vocab_size=300)
    model = make_model(vocab_size=len(tokenizer), attention_type="coverage")
    long = trace(model, tokenizer, " ".join([TEXT] * 9))
    assert too_wide(open_page(long), ("vectors",), (1280, 390)) == []
    page = open_page(trace(model, tokenizer, "the", num_beams=3))
    assert too_wide(page, ("numbers",), (1280, 390)) == []
    hebrew = trace(model, tokenizer, text)
    assert too_wide(open_page(hebrew, faithfulness=hebrew.faithfulness()), ("numbers", "vectors")) == []


@needs_axe
@pytest.mark.parametrize(("scheme", "depths"), [("light", ("vectors",)), ("dark", ("numbers",))])
def test_axe_finds_nothing(
    open_page: Callable[..., Page],
    make_model: MakeModel,
    tokenizer: PreTrainedTokenizerBase,
    scheme: str,
    depths: tuple[str, ...],
) -> None:
    model = make_model(attention_type="additive")
    text = f"{TEXT} A dog sees the old house."
    traces = trace_sentences(model, tokenizer, text, num_beams=3)
    traces[0].what_if(source="a dog")
    page = open_page(traces, "#step=2", faithfulness=[each.faithfulness() for each in traces])
    page.emulate_media(color_scheme=scheme)
    assert page.locator(".sentence").count() == len(traces) > 1
    assert axe_finds(page, depths) == []
    page.locator('[data-key="beside"]').select_option("2")
    assert axe_finds(page, ("bars",)) == []


def test_the_chapter_is_on_the_first_screen_and_tabs_bring_it_there(
    open_page: Callable[..., Page], traced: Trace
) -> None:
    page = open_page(traced)
    page.set_viewport_size({"width": 1280, "height": 740})
    sizes = page.locator(".masthead *").evaluate_all(
        "all => all.map((one) => parseFloat(getComputedStyle(one).fontSize))"
    )
    pair = page.locator(".pair")
    assert pair.evaluate("one => parseFloat(getComputedStyle(one).fontSize)") == max(sizes)
    source, target = (traced.document[side]["text"] for side in ("source", "target"))
    assert pair.locator("bdi").all_inner_texts() == [source, target]
    bottom = page.locator(".player").bounding_box()["y"]  # type: ignore[index]

    def seen(what: str) -> bool:
        box = page.locator(what).first.bounding_box()
        return box is not None and box["y"] >= 0 and box["y"] + min(box["height"], 100) <= bottom

    for tab in page.locator("[data-chapter]").all():
        page.evaluate("scrollTo(0, 0)")
        assert seen(".chapters")
        tab.click()
        assert seen("h2")
        assert seen(".figure h3")
        assert seen(".figure .part > :nth-child(2)")
    page.set_viewport_size({"width": 390, "height": 800})
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    assert seen(".chapters")  # from anywhere
    page.click('[data-chapter="choice"]')
    assert seen("h2")


def test_hostile_tokens_stay_text(open_page: Callable[..., Page], make_model: MakeModel) -> None:
    tokenizer = train_tokenizer([TEXT], kind="word", vocab_size=50)
    tokenizer.add_tokens([HOSTILE])
    model = make_model(vocab_size=len(tokenizer), attention_type="additive")
    traced = trace(model, tokenizer, f"the {HOSTILE} cat")
    traced.document["target"]["text"] = HOSTILE
    traced.document["model"]["name"] = HOSTILE
    assert any(HOSTILE in token for token in traced.source_tokens)
    page = open_page(traced, compare=trace(model, tokenizer, TEXT))
    for chapter in TITLES:
        page.click(f'[data-chapter="{chapter}"]')
        assert page.locator("img").count() == 0
    assert HOSTILE in page.locator(".word").all_inner_texts()
    assert HOSTILE in page.title()


def test_downloads(open_page: Callable[..., Page], traced: Trace, tmp_path: Path) -> None:
    page = open_page(traced)
    with page.expect_download() as waiting:
        page.click('[data-key="json"]')
    waiting.value.save_as(tmp_path / "trace.json")
    loaded = Trace.load(tmp_path / "trace.json")
    assert loaded.arrays.keys() == traced.arrays.keys()
    for name, array in traced.arrays.items():
        np.testing.assert_array_equal(loaded.arrays[name], array)
    with page.expect_download() as waiting:
        page.click('[data-key="png"]')
    waiting.value.save_as(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_on_paper_all_chapters_follow_each_other(open_page: Callable[..., Page], traced: Trace) -> None:
    page = open_page(traced)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("h2").all_inner_texts()[: len(TITLES)] == [
        f"{number}{title}" for number, title in enumerate(TITLES.values(), start=1)
    ]
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator(".side").count() == 1


class Attributes(HTMLParser):
    """All attributes of a page's elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.values: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.values += [(name, value) for name, value in attrs if value is not None]


def test_the_policy_allows_the_pages_own_script_and_style_alone(traced: Trace) -> None:
    text = render_page(traced)
    values = [value for _, value in Attributes(text).values]
    policy = next(value for value in values if "default-src" in value)
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == "'none'"
    for directive, tag in (("script-src", "script"), ("style-src", "style")):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert directives[directive] == f"'sha256-{digest}'"
        assert not re.search(
            r"innerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|@import|url\(", content
        )
    assert not any(value.startswith(("http", "//")) for value in values)
    assert "style" not in [name for name, _ in Attributes(text).values]


def test_without_scripts_there_is_the_alignment_as_a_table(traced: Trace) -> None:
    table = re.search(r"<noscript>(.*?)</noscript>", render_page(traced), re.DOTALL)
    assert table is not None
    cells = [float(cell) for cell in re.findall(r"<td>(.*?)</td>", table[1])]
    weights = traced.weights()
    shown = np.reshape(cells, (len(weights), -1))[:, 1:]
    np.testing.assert_allclose(shown, weights, atol=0.0051)
    for token in traced.target_tokens:
        assert f">{html.escape(token)}</th>" in table[1]


def test_a_large_model_fits_and_says_what_is_left_out(
    make_model: MakeModel, tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    sizes = dict.fromkeys(("hidden_size", "encoder_hidden_size", "embedding_size"), 512)
    heads = dict.fromkeys(("num_attention_heads", "encoder_attention_heads"), 8)
    model = make_model(**{**TRANSFORMER, **sizes, **heads, "encoder_layers": 6, "decoder_layers": 6})
    text = " ".join(["the cat is on the mat"] * 3 + ["."])
    traced = trace(model, tokenizer, text, target=text)
    assert len(traced.source_tokens) == len(traced.target_tokens) == 20
    save_page(traced, tmp_path / "large.html")
    assert (tmp_path / "large.html").stat().st_size < 3_000_000
    data = json.loads(re.search(r'id="data">(.*?)</script>', (tmp_path / "large.html").read_text("utf-8"))[1])  # type: ignore[index]
    kept = data["runs"][0]["arrays"]
    assert data["left_out"]
    for layer in range(6):
        assert f"attention.{layer}.weights" in kept
    assert {"attention.5.query", "attention.5.keys", "attention.5.values", "output.rows"} <= kept.keys()
    gone = {name.split(".")[-1] for name in traced.arrays.keys() - kept.keys()}
    named = " ".join(entry["what"] for entry in data["left_out"])
    for array, word in {
        "scaled": "scaled scores",
        "asker": "states that ask",
        "query": "queries",
        "values": "values",
    }.items():
        assert (array in gone) == (word in named), array


def test_a_small_page_leaves_nothing_out(traced: Trace) -> None:
    text = render_page(traced)
    assert len(text) < MAX_BYTES
    data = json.loads(re.search(r'id="data">(.*?)</script>', text)[1])  # type: ignore[index]
    assert data["left_out"] == []
    for name, entry in data["runs"][0]["arrays"].items():
        numbers = np.frombuffer(base64.b64decode(data["pool"][entry["at"]]), "<f4").reshape(entry["shape"])
        np.testing.assert_array_equal(numbers, traced.arrays[name])


def page_data(text: str) -> Any:
    found = re.search(r'id="data">(.*?)</script>', text)
    assert found is not None
    return json.loads(found[1])


def test_a_long_text_fits_and_says_what_is_left_out(
    monkeypatch: pytest.MonkeyPatch, make_model: MakeModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    model = make_model(attention_type="additive")
    traces = [trace(model, tokenizer, sentence) for sentence in SENTENCES]
    whole = page_data(render_page(traces))
    assert whole["left_out"] == []
    assert [run["sentence"] for run in whole["runs"]] == [0, 1, 2, 3]
    limit = len(json.dumps(whole)) // 2
    monkeypatch.setattr(page_module, "MAX_BYTES", limit)
    text = render_page(traces)
    data = page_data(text)
    assert len(json.dumps(data, separators=(",", ":"))) < limit
    assert not any("scaled" in entry["what"] for entry in data["left_out"])  # no score of this model is
    kept = [row["kept"] for row in data["overview"]]
    assert kept[0]
    assert not kept[-1]
    assert [row["text"] for row in data["overview"]] == SENTENCES
    assert len(data["runs"]) == sum(kept) == text.count("<table>")
    for run in data["runs"]:
        assert "attention.0.weights" in run["arrays"]
    assert re.search("the traces? of sentences? .*4", data["left_out"][-1]["what"])


def test_traces_that_are_no_text_and_views_of_others_are_refused(
    traced: Trace, make_model: MakeModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    other = trace(make_model(attention_type="additive"), tokenizer, SENTENCES[2])
    with pytest.raises(ValueError, match="at least one trace"):
        render_page([])
    with pytest.raises(ValueError, match="for one sentence"):
        render_page([traced, other], compare=traced)
    with pytest.raises(ValueError, match="2 traces and 1 "):
        render_page([traced, other], faithfulness=traced.faithfulness())
    with pytest.raises(ValueError, match="of another trace"):
        render_page(traced, faithfulness=other.faithfulness())


def test_a_missing_folder_is_told(traced: Trace, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere' does not exist"):
        save_page(traced, tmp_path / "nowhere" / "page.html")


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@pytest.mark.parametrize("scheme", [0, 1])
def test_contrast(scheme: int) -> None:
    style = (FRONTEND / "src" / "style.css").read_text("utf-8")
    blocks = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", blocks[scheme]))
    pairs = [
        (ink, ground)
        for ink in ("ink", "soft", "query", "key", "value", "score")
        for ground in ("paper", "raised", "sunk")
    ]
    pairs += [
        ("ink", "score-wash"),
        ("score", "score-wash"),
        ("warn", "warn-wash"),
        ("good", "sunk"),
        ("bad", "sunk"),
        ("paper", "score"),
        ("paper", "ink"),
    ]
    for ink, ground in pairs:
        lights = sorted((luminance(colours[ink]), luminance(colours[ground])))
        assert (lights[1] + 0.05) / (lights[0] + 0.05) >= 4.5, (ink, ground)
    turn = (0.615, 0.575)[scheme]  # of heatmap.js: from this weight on, the other ink
    for weight in np.linspace(0, 1, 41):
        low, high = (
            np.array([int(colours[name][place : place + 2], 16) for place in (1, 3, 5)]) for name in ("sunk", "score")
        )
        shade = "#" + "".join(f"{round(part):02x}" for part in low * (1 - weight) + high * weight)
        ink = colours["on-dark" if weight >= turn else "on-light"]
        lights = sorted((luminance(ink), luminance(shade)))
        assert (lights[1] + 0.05) / (lights[0] + 0.05) >= 4.5, weight


@pytest.mark.skipif(
    not (shutil.which("node") and (FRONTEND / "node_modules").is_dir()),
    reason="no Node, or npm ci was not run in frontend/",
)
def test_the_committed_bundle_is_what_the_sources_build() -> None:
    result = subprocess.run(["node", "build.js", "--check"], cwd=FRONTEND, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_the_lock_file_names_no_registry() -> None:
    assert '"resolved"' not in (FRONTEND / "package-lock.json").read_text("utf-8")


@pytest.mark.parametrize(
    ("kind", "text", "whole"),
    [("bpe", TEXT, True), ("char", TEXT, False), ("bpe", "猫在垫子上", False)],  # no spaces: a sentence is no word
)
def test_words_are_whole_until_pieces_are_asked_for(
    open_page: Callable[..., Page], make_model: MakeModel, kind: str, text: str, whole: bool
) -> None:
    tokenizer = train_tokenizer([TEXT], kind=kind, vocab_size=262)
    traced = trace(make_model(vocab_size=len(tokenizer), attention_type="additive"), tokenizer, text)
    source = traced.document["source"]
    pieces, words = len(source["tokens"]), len(source["words"]) + sum(token["special"] for token in source["tokens"])
    assert words < pieces
    page = open_page(traced, "#chapter=attention")
    shown = page.locator(".source .word")
    assert shown.count() == (words if whole else pieces)
    page.keyboard.press("w")
    assert shown.count() == (pieces if whole else words)
    assert ("level=tokens" if whole else "level=words") in page.url
    page.click('[data-key="level words"]')
    assert shown.count() == words
    steps = page.locator(".target .word").evaluate_all("all => all.map((one) => one.getAttribute('aria-label'))")
    assert steps[-1].split(":")[0].endswith(f"{len(traced.document['steps'])} of {len(traced.document['steps'])}")


@pytest.mark.parametrize("fields", [{"attention_type": "additive"}, {"attention_type": "monotonic"}])
def test_sums_add_up_as_they_are_read(
    open_page: Callable[..., Page], make_model: MakeModel, tokenizer: PreTrainedTokenizerBase, fields: dict[str, Any]
) -> None:
    traced = trace(make_model(**fields), tokenizer, TEXT)

    def read(text: str) -> list[float]:
        """Both sides of the last equation of a text, computed from what is written."""
        plain = re.sub(r"\([^)]*[a-z][^)]*\)", "", text).replace("−", "-").replace("×", "*")
        return [
            sum(math.prod(map(float, term.split("*"))) for term in re.sub(r"- (?=\d)", "+ -", side).split("+"))
            for side in plain.split("=")[-2:]
        ]

    page = open_page(traced, "#chapter=attention&step=2&source=3&depth=numbers")
    for name in ("component", "total"):
        text = page.locator(f'[data-shown="{name}"]').inner_text()
        assert "the other" in text
        assert read(text)[0] == pytest.approx(read(text)[1], abs=5e-5 if name == "component" else 1e-9), text
    weights = [float(text.split()[0]) for text in page.locator(".sum-weight").all_inner_texts()[:-1]]
    rest = page.locator(".sum .list-foot").all_inner_texts()
    assert sum(weights) + sum(float(text.split()[-1]) for text in rest) == pytest.approx(1, abs=1e-9 if rest else 5e-4)
    page.click('[data-chapter="choice"]')
    text = page.locator('[data-shown="logit"]').inner_text()
    assert read(text)[0] == pytest.approx(read(text)[1], abs=1e-9), text
    told = {"choice": "r", "handover": "s0 number ", "encoder": "r, z, n from rows"}
    for chapter, name in told.items():
        page.click(f'[data-chapter="{chapter}"]')
        sums = page.locator('.by-rows [data-shown], [data-shown^="r"], [data-shown^="s0"]').all_inner_texts()
        assert len(sums) == (6 if chapter == "encoder" else 1)
        for text in sums:
            assert read(text)[0] == pytest.approx(read(text)[1], abs=5e-5), text  # of rounded factors
        (off,) = [off for what, off in shown_checks(page) if re.match(rf"{name}\d*$", what)]
        assert off < 1e-5
    page = open_page(traced, "#chapter=attention&step=2&depth=vectors")
    for row in page.locator('[data-scroll="context"] tbody tr').all_inner_texts():
        _, *terms, total = (float(number) for number in row.replace("−", "-").split())
        assert sum(terms) == pytest.approx(total, abs=1e-9)


@pytest.mark.parametrize(("kind", "scales"), [("dot", False), ("scaled_dot", True)])
def test_scores_are_called_scaled_where_they_are(
    open_page: Callable[..., Page], make_model: MakeModel, tokenizer: PreTrainedTokenizerBase, kind: str, scales: bool
) -> None:
    traced = trace(make_model(attention_type=kind), tokenizer, TEXT)
    page = open_page(traced, "#chapter=attention&depth=numbers&step=1")
    assert ("scaled" in page.locator(".figure").inner_text()) is scales
    query = traced.arrays["attention.0.query"][0, 0]
    assert f"norm {np.linalg.norm(query):.3f}" in page.locator(".figure").inner_text()
    page.click('[data-chapter="embeddings"]')
    norms = [float(text) for text in page.locator(".vector-list .norm").all_inner_texts()]
    np.testing.assert_allclose(norms, np.linalg.norm(traced.arrays["encoder.embeddings"], axis=1), atol=0.0051)


def test_the_sign_of_the_choice_stands_beside_its_word(open_page: Callable[..., Page], traced: Trace) -> None:
    page = open_page(traced, "#chapter=choice")
    spread = [
        -1 if token["special"] else each
        for token, each in zip(traced.document["target"]["tokens"], entropy(traced.weights()))
    ]
    assert telling_step(traced) == np.argmax(spread)
    assert f"step {telling_step(traced) + 1} of" in page.locator(".step-label").inner_text()
    assert (
        "Shown first, because of the steps that write a word its attention is spread most"
        in page.locator(".now").inner_text()
    )
    word, sign = (page.locator(f".candidate.chosen .candidate-token{part}").bounding_box() for part in ("", " span"))
    assert word is not None
    assert sign is not None
    assert word["y"] <= sign["y"] <= word["y"] + word["height"]


@pytest.mark.parametrize(
    ("fields", "letter", "says"),
    [
        ({"attention_type": "additive"}, "h", "the encoder's states h themselves"),
        ({"attention_type": "additive", "num_attention_heads": 2}, "h", "a part for each head"),
        ({"attention_type": "multi_head"}, "v", "multiplied by a matrix"),
    ],
)
def test_values_are_told_and_have_a_letter_of_their_own(
    open_page: Callable[..., Page],
    make_model: MakeModel,
    tokenizer: PreTrainedTokenizerBase,
    fields: dict[str, Any],
    letter: str,
    says: str,
) -> None:
    traced = trace(make_model(**fields), tokenizer, TEXT)
    values, states = traced.arrays["attention.0.values"], traced.arrays["encoder.states"]
    assert np.array_equal(np.concatenate(values, -1), states) is (letter == "h")
    other = trace(make_model(attention_type="none"), tokenizer, TEXT)
    lengths = [("1-10", 7, 40.25, 30.5), ("11-20", 5, 35.0, 10.0)]
    page = open_page(
        traced, "#chapter=handover&depth=numbers", contrast=Contrast("fixed", "for 1 epoch", [other], lengths)
    )
    contrast = page.locator(".part").filter(has_text="The contrast")
    assert other.document["target"]["text"] in contrast.inner_text()
    assert f"norm {np.linalg.norm(other.arrays['attention.0.context'][0]):.3f}" in contrast.inner_text()
    rows = [row.split() for row in contrast.locator("tbody tr").all_inner_texts()]
    assert rows == [["1", "to", "10", "7", "40.3", "30.5"], ["11", "to", "20", "5", "35.0", "10.0"]]
    assert page.locator(".two h4").all_inner_texts() == ["k keys", f"{letter} values"]
    assert says in page.locator(".part").first.inner_text()
    page.click('[data-chapter="attention"]')
    assert re.search(r"values, which .* their encoder states", page.locator(".plain").inner_text())
    assert "The value of a token is its encoder state" in page.locator(".figure").inner_text()
    symbols = page.locator(".vector-label .symbol").all_inner_texts()
    assert ("v" in symbols) is (fields["attention_type"] == "additive")  # the vector of the scores
