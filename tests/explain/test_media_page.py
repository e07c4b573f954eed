# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The page of a recording and of a picture: its numbers against the trace, by mouse and keyboard; the sound in it."""

from __future__ import annotations

import base64
import html
import io
import itertools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile

from hf_attn_seq2seq.explain import Trace, trace
from hf_attn_seq2seq.explain.chapters import chapter_texts, step_sentence
from hf_attn_seq2seq.explain.media import place_names, stretch
from hf_attn_seq2seq.explain.page import MAX_BYTES, render_page, save_page
from hf_attn_seq2seq.explain.page.media import MAPS, Media
from tests.explain.browser import axe_finds, chromium, needs_axe, offline, too_wide
from tests.explain.media import KINDS, RATE, TRANSFORMER, face, hearing_model, seeing_model, tones


if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


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

    def open_(traced: Trace, place: str = "", **options: Any) -> Page:
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


@pytest.fixture(scope="module", params=KINDS)
def media(request: pytest.FixtureRequest) -> Trace:
    make, source = KINDS[request.param]
    made = trace(*make(), source())
    made.verify()
    return made


def test_all_chapters_show_the_traces_numbers(open_page: Callable[..., Page], media: Trace) -> None:
    page = open_page(media, "#step=2&source=9&depth=numbers")
    for key, text in chapter_texts(media).items():
        page.click(f'[data-chapter="{key}"]')
        assert page.locator("h2").first.inner_text().endswith(text.title)
        assert page.locator(".absent").count() == 0
        assert page.locator(".check.bad").count() == 0
        assert page.locator(".canvas-box").first.is_visible()
    page.click('[data-chapter="attention"]')
    assert step_sentence(media, 1).replace('"', "") in re.sub("[“”]", "", page.locator(".now").inner_text())
    shown = [float(cell.get_attribute("data-value") or "nan") for cell in page.locator('[data-shown="weight"]').all()]
    np.testing.assert_allclose(shown, media.weights()[1], atol=1e-7)
    checks = [str(one.get_attribute("data-check")) for one in page.locator("[data-check]").all()]
    assert {"score", "weights from scores", "context = Σ weight × value"} <= set(checks)


@needs_axe
def test_axe_finds_nothing(open_page: Callable[..., Page], media: Trace) -> None:
    page = open_page(media, "#step=2&source=9")
    assert axe_finds(page, ("numbers",)) == []
    assert too_wide(page, ("vectors",)) == []


def test_the_heat_has_the_largest_weight_in_its_place(open_page: Callable[..., Page], media: Trace) -> None:
    page = open_page(media, "#chapter=attention&step=3")
    weights, places = media.weights()[2], media.input
    best = int(weights.argmax())
    box = places["spans"][best] if places["kind"] == "audio" else places["boxes"][best]
    whole = places["seconds"] if places["kind"] == "audio" else places["width"]
    middle = (box[0] + box[-1 if places["kind"] == "audio" else 2]) / 2 / whole
    down = 0.5 if places["kind"] == "audio" else (box[1] + box[3]) / 2 / places["height"]
    opacity, least = page.evaluate(
        """([x, y]) => {
          const canvas = document.querySelector(".masthead .heat-layer");
          const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
          const at = 4 * (Math.floor(y * canvas.height) * canvas.width + Math.floor(x * canvas.width));
          const colour = (index) => data[index] + data[index + 1] + data[index + 2];
          let least = Infinity;
          for (let i = 0; i < data.length; i += 4) least = Math.min(least, colour(i));
          return [colour(at), least];
        }""",
        [middle, down],
    )
    assert opacity == least  # the darkest, which is the most purple


def test_a_place_is_chosen_by_mouse_and_by_keys(open_page: Callable[..., Page], media: Trace) -> None:
    page = open_page(media, "#chapter=attention&step=2")
    box = page.locator(".masthead .canvas-box").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.6 * box["height"])
    reading = page.locator(".reading").inner_text()
    number = int(re.search(r"· (?:frame|patch|column) (\d+) ·", reading)[1])  # type: ignore[index]
    assert f"weight {media.weights()[1][number - 1]:.4f}" in reading
    page.mouse.click(box["x"] + 0.4 * box["width"], box["y"] + 0.6 * box["height"])
    assert f"source={number}" in page.url
    page.locator(".masthead .canvas-box").focus()
    page.keyboard.press("ArrowRight")
    assert f"source={number + 1}" in page.url
    value = page.locator(".masthead .canvas-box").get_attribute("aria-valuetext")
    assert value is not None
    assert value.startswith(place_names(media.input)[number])
    page.keyboard.press("Home")
    assert page.url.endswith("source=1")
    page.keyboard.press("ArrowLeft")
    assert page.url.endswith("source=1")


def test_words_lead_to_their_steps(open_page: Callable[..., Page], media: Trace) -> None:
    page = open_page(media)
    words = page.locator(".masthead .word, .masthead .layer")
    assert words.count() == len(media.target_tokens)
    words.nth(2).click()
    assert "step=3" in page.url
    assert "chapter=attention" in page.url
    assert page.locator(".masthead .heat-layer").count() >= 1


def test_words_hang_in_order_and_within_the_page(open_page: Callable[..., Page]) -> None:
    traced = trace(*hearing_model(), tones(), target="rub out g m e f three nine rub out g m e f three nine")
    for width in (1280, 390):
        page = open_page(traced, "#chapter=attention&step=4")
        page.set_viewport_size({"width": width, "height": 800})
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        edges = page.evaluate(
            """() => [...document.querySelectorAll(".hung .word")].map((word) => {
              const place = word.getBoundingClientRect(), plane = word.closest(".plane").getBoundingClientRect();
              return [place.left - plane.left, place.right - plane.left, plane.width];
            })"""
        )
        assert len(edges) == 17
        for (_, right, _), (left, _, _) in itertools.pairwise(edges):
            assert left >= right
        assert edges[0][0] >= -0.5
        assert edges[-1][1] <= edges[-1][2] + 0.5
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_sound_can_be_played(open_page: Callable[..., Page]) -> None:
    traced = trace(*hearing_model(), tones())
    page = open_page(traced, "#chapter=attention&step=2")
    source = page.locator("audio").get_attribute("src")
    assert source is not None
    sound, rate = soundfile.read(io.BytesIO(base64.b64decode(source.removeprefix("data:audio/flac;base64,"))))
    assert rate == RATE
    np.testing.assert_allclose(sound, tones(), atol=2**-15)
    button = page.locator('.masthead [data-part="all"]')
    button.click()
    page.wait_for_function("!document.querySelector('audio').paused")
    assert button.get_attribute("aria-pressed") == "true"
    button.click()
    page.wait_for_function("document.querySelector('audio').paused")
    assert button.get_attribute("aria-pressed") == "false"
    page.locator('.masthead [data-part="part"]').click()
    start, _ = stretch(traced.weights()[1])
    at = page.evaluate("document.querySelector('audio').currentTime")
    assert at >= traced.input["spans"][start][0] - 1e-3


def test_equal_sounds_are_carried_once() -> None:
    traced = trace(*hearing_model(), tones())
    traced.what_if(weights={1: "uniform"})
    text = render_page(traced)
    assert text.count("data:audio/flac") == 1
    traced.what_if(mute=(0.5, 1))
    assert render_page(traced).count("data:audio/flac") == 2


def test_what_was_muted_or_covered_stands_beside(open_page: Callable[..., Page]) -> None:
    for traced, change, name in (
        (trace(*hearing_model(), tones()), {"mute": (0.5, 1.0)}, "0.50 to 1.00 s muted"),
        (trace(*seeing_model(), face()), {"cover": 7}, "row 2, column 2 covered"),
    ):
        child = traced.what_if(**change)
        page = open_page(traced, "#chapter=attention&beside=2")
        assert name in page.locator(".stage").inner_text()
        assert page.locator(".marks .gone").count() == 1
        assert page.locator(".masthead .picture").count() == 2
        hung = page.locator(".masthead .picture").nth(1).locator(".word, .layer-word").all_inner_texts()
        assert [word.strip() for word in hung] == [token.strip() for token in child.target_tokens]


def test_several_heads_and_layers_can_be_chosen(open_page: Callable[..., Page]) -> None:
    for make, source in KINDS.values():
        traced = trace(*make(**TRANSFORMER), source())
        page = open_page(traced, "#chapter=attention&step=2&layer=1&head=2")
        shown = [
            float(cell.get_attribute("data-value") or "nan") for cell in page.locator('[data-shown="weight"]').all()
        ]
        np.testing.assert_allclose(shown, traced.weights(0, 1)[1], atol=1e-7)
        assert page.locator(".check.bad").count() == 0
        page.click('[data-chapter="encoder"]')
        assert page.locator(".check.bad").count() == 0


def test_a_pyramid_and_no_attention_have_pages(open_page: Callable[..., Page]) -> None:
    pyramid = {"encoder_layers": 2, "pyramid_layers": 1, "encoder_type": "lstm", "decoder_type": "lstm"}
    for fields in (pyramid, {"attention_type": "none"}):
        traced = trace(*hearing_model(**fields), tones())
        page = open_page(traced, "#source=9&step=2&depth=numbers")
        for key in chapter_texts(traced):
            page.click(f'[data-chapter="{key}"]')
            assert page.locator(".check.bad").count() == 0
    page = open_page(trace(*hearing_model(**pyramid), tones()), "#chapter=encoder&source=9")
    page.click('[data-key="a encoder layer 0"]')  # twice as many states
    assert page.locator(".vector-item").count() == 2 * 38
    page.locator(".vector-item").nth(21).click()
    assert "source=11" in page.url


def test_the_saved_numbers_are_a_trace(open_page: Callable[..., Page], media: Trace, tmp_path: Path) -> None:
    page = open_page(media)
    with page.expect_download() as saved:
        page.click("text=Save the numbers")
    saved.value.save_as(tmp_path / "saved.json")
    loaded = Trace.load(tmp_path / "saved.json")
    assert loaded.input == media.input
    assert "input.features" not in loaded.arrays  # the page has it in 8 bits alone
    np.testing.assert_array_equal(loaded.weights(), media.weights())
    assert loaded.verify(media.model, media.tokenizer).passed
    with page.expect_download() as picture:
        page.click("text=Save the picture")
    picture.value.save_as(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_the_policy_lets_sound_in_where_there_is_one(media: Trace) -> None:
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', render_page(media))[1])  # type: ignore[index]
    assert ("media-src data:" in policy) == (media.input["kind"] == "audio")
    assert "default-src 'none'" in policy


def test_numbers_in_8_bits_are_within_their_rounding(media: Trace) -> None:
    text = render_page(media)
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]
    (run,) = data["runs"]
    shown = {name: entry for name, entry in run["arrays"].items() if "low" in entry}
    assert {name.split(".")[0] for name in shown} == (
        {"input", "frontend"} if media.input["kind"] == "audio" else {"frontend"}
    )
    for name, entry in shown.items():
        values = np.frombuffer(base64.b64decode(data["pool"][entry["at"]]), np.uint8).reshape(entry["shape"])
        array = media.arrays[name]
        if "channels" in entry:
            assert entry["of"] == len(array)
            assert len(entry["channels"]) == min(MAPS, len(array))
            array = array[entry["channels"]]
        step = (entry["high"] - entry["low"]) / 255
        np.testing.assert_allclose(entry["low"] + values * step, array, atol=step * 0.51)
    assert any("8 bits" in entry["what"] for entry in data["left_out"])


def test_a_long_recording_fits(tmp_path: Path) -> None:
    model, processor = hearing_model(
        hidden_size=64, encoder_hidden_size=64, encoder_layers=3, frontend_channels=[32, 32]
    )
    traced = trace(model, processor, np.resize(tones(), 30 * RATE), target="rub out " * 10)
    save_page(traced, tmp_path / "long.html")
    assert (tmp_path / "long.html").stat().st_size < MAX_BYTES + 200_000


def test_a_hostile_name_stays_text() -> None:
    traced = trace(*seeing_model(), face())
    traced.document["input"]["name"] = traced.document["source"]["text"] = '"><script>alert(1)</script>'
    assert "<script>alert" not in render_page(traced)
    assert '"><script' not in Media([traced]).html()
