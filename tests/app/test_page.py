# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The page: its functions with good and bad input, and the whole of it in headless Chromium."""

from __future__ import annotations

import os
import runpy
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest


gradio = pytest.importorskip("gradio")

from hf_attn_seq2seq.app import page as page_module  # noqa: E402
from hf_attn_seq2seq.app.command import check_port, main  # noqa: E402
from hf_attn_seq2seq.app.page import launch, page_of, told  # noqa: E402
from hf_attn_seq2seq.app.parsers import app_parser  # noqa: E402
from hf_attn_seq2seq.app.runs import Change, Limits, Runs  # noqa: E402
from hf_attn_seq2seq.app.space import write_space  # noqa: E402
from hf_attn_seq2seq.app.views import card, heat_map, what_changed  # noqa: E402
from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer  # noqa: E402
from hf_attn_seq2seq.decoding import translate  # noqa: E402
from hf_attn_seq2seq.decoding.loading import load  # noqa: E402
from hf_attn_seq2seq.decoding.pipeline import pipeline  # noqa: E402
from tests.explain.browser import chromium  # noqa: E402
from tests.explain.conftest import SENTENCES, TEXT  # noqa: E402
from tests.explain.media import seeing_model  # noqa: E402
from tests.helpers import tiny_model  # noqa: E402


if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SHOTS = os.environ.get("APP_SCREENSHOTS")  # a folder, to look at what the page looks like


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two models that differ in their weights and their attention."""
    tokenizer = train_tokenizer(SENTENCES, kind="word", vocab_size=50)
    made = []
    for name, attention in (("one", "additive"), ("two", "dot")):
        folder = tmp_path_factory.mktemp("models") / name
        model = tiny_model(scale=0.4, vocab_size=len(tokenizer), attention_type=attention)
        model.generation_config.max_new_tokens = 6
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        made.append(str(folder))
    return made


@pytest.fixture(scope="module")
def runs(folders: list[str]) -> Runs:
    return Runs(*folders, Limits(words=12, characters=80))


def test_models_that_hear_or_see_are_refused(tmp_path: Path) -> None:
    model, processor = seeing_model()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="reads pictures, not text: use hf-attn-seq2seq explain"):
        Runs(str(tmp_path))


def test_both_models_translate_the_sentence(runs: Runs) -> None:
    _, (first, second) = runs.translate(f"  {TEXT} ", beams=2)
    assert first.document["source"]["text"] == second.document["source"]["text"] == TEXT
    assert [first.document["attention"]["type"], second.document["attention"]["type"]] == ["additive", "dot"]
    assert first.document["run"]["num_beams"] == 2


def test_a_text_is_read_as_the_model_reads_texts(folders: list[str]) -> None:
    runs = Runs(folders[0])
    text = f"{TEXT}. {TEXT.capitalize()}."
    assert len(runs.translate(text)[0].sentences) == 2
    runs.translators[0].model.config.split_sentences = False
    answer, (first, _) = runs.translate(text)
    assert answer.sentences == [first.document["source"]["text"]] == [text]
    assert answer.targets == [[first.document["target"]["text"]]]


def test_a_paragraph_is_translated_as_the_function_and_the_pipeline_do() -> None:
    model, tokenizer = load()
    lines = "Where is the station? I don't know.  It was dark,\nand nobody answered me. " * 4
    text = f"{lines}She was not happy."
    assert len(text.split()) > 56
    answer, (first, second) = Runs("en-fr").translate(text)
    assert "".join(answer.source) == text
    assert "".join(answer.targets[0]) == translate(model, tokenizer, [text])[0]
    assert answer.targets[0] == [pipeline()(part)[0]["translation_text"] for part in answer.source]
    assert answer.beams == 5
    assert (first.document["source"]["text"], second) == ("Where is the station?", None)


def test_a_change_is_one_of_the_sentence_that_was_translated(runs: Runs) -> None:
    before, after = runs.change(TEXT, 1, Change("source", 1, "dog"))
    assert after.document["source"]["text"] == TEXT.replace("cat", "dog")
    before, after = runs.change(TEXT, 1, Change("source", 1, ""))
    assert after.document["source"]["text"] == "the is on the mat ."
    before, after = runs.change(TEXT, 1, Change("target", 0, "maison"))
    assert after.target_tokens[0] == "maison" != before.target_tokens[0]
    assert "From step 1 on" in what_changed(before, after)
    before, after = runs.change(TEXT, 1, Change("weights", 0))
    assert after.weights()[0] == pytest.approx([1 / len(before.source_tokens)] * len(before.source_tokens))


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "Type a text"), (" \n ", "Type a text"), ("a " * 13, "13 words"), ("a" * 81, "81 characters")],
)
def test_a_text_beyond_the_limits_is_told(runs: Runs, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        runs.translate(text)
    with pytest.raises(gradio.Error, match=said):
        told(runs.translate)(text)


def test_changes_that_cannot_be_made_are_told(runs: Runs) -> None:
    for change, said in (
        (Change("source", 40, "dog"), "no word 41"),
        (Change("source", 1, "a " * 12), "words"),
        (Change("target", 0, " "), "Choose or type"),
        (Change("target", 0, "xylophone"), "cannot be written with the tokens"),
        (Change("target", 40, "chat"), "no step 40"),
        (Change("weights", 40), "no step 40"),
    ):
        with pytest.raises(ValueError, match=said):
            runs.change(TEXT, 1, change)
    with pytest.raises(ValueError, match="beams"):
        runs.translate(TEXT, beams=9)


def test_a_run_over_the_time_limit_ends_in_a_sentence_and_the_next_one_runs(folders: list[str]) -> None:
    slow = Runs(folders[0], limits=Limits(seconds=1e-9))
    with pytest.raises(ValueError, match="was stopped: try a shorter"):
        slow.translate(TEXT)
    slow.limits = Limits(seconds=600)
    assert slow.translate(TEXT)[1].first.document["steps"]


def test_every_text_is_escaped(runs: Runs) -> None:
    answer, (first, _) = runs.translate('<img src=x onerror="boom()"> cat. <b>The</b> cat.')
    whole = card(first, "<b>", answer.source, answer.targets[0], 0)
    assert "<mark>&lt;img" in whole
    for part in (card(first, "<b>"), whole, heat_map(first)):
        assert "<img" not in part
        assert "<b>" not in part.replace("<b>source word</b>", "")


def test_without_attention_the_map_says_so(folders: list[str], tmp_path: Path) -> None:
    tokenizer = train_tokenizer(SENTENCES, kind="word", vocab_size=50)
    tiny_model(vocab_size=len(tokenizer), attention_type="none").save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    _, (first, _) = Runs(str(tmp_path)).translate(TEXT)
    assert "no attention" in heat_map(first)


def test_bad_arguments_are_told(folders: list[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ValueError, match=r"cannot be used .*in use"):
            main([folders[0], "--port", str(taken.getsockname()[1])])
    with pytest.raises(ValueError, match="--port 70000 is invalid"):
        check_port("127.0.0.1", 70000)
    with pytest.raises(ValueError, match="There is no model"):
        main(["nowhere-at-all"])
    with pytest.raises(ValueError, match="limit for words is 0"):
        main([folders[0], "--max-words", "0"])
    assert app_parser().parse([]).host == "127.0.0.1"


def test_the_space_runs_and_says_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import SpaceCard

    write_space(tmp_path / "space", "en-fr-small")
    assert sorted(path.name for path in (tmp_path / "space").iterdir()) == ["README.md", "app.py", "requirements.txt"]
    data = SpaceCard.load(tmp_path / "space" / "README.md").data
    assert (data.sdk, data.app_file, data.sdk_version) == ("gradio", "app.py", gradio.__version__)
    served = []
    monkeypatch.setattr(page_module, "launch", served.append)
    ran = runpy.run_path(str(tmp_path / "space" / "app.py"), run_name="__main__")
    assert served == [ran["demo"]]
    assert isinstance(ran["demo"], gradio.Blocks)
    write_space(tmp_path / "hub", "user/model")
    assert SpaceCard.load(tmp_path / "hub" / "README.md").data.models == ["user/model"]
    for wrong in ("a/b/c", "x'); boom(", str(tmp_path)):
        with pytest.raises(ValueError, match="is not a name on the Hub"):
            write_space(tmp_path / "wrong", wrong)
    assert not (tmp_path / "wrong").exists()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def address(runs: Runs, browser: Browser) -> Iterator[str]:
    page = page_of(runs)
    yield launch(page, host="127.0.0.1", wait=False)
    page.close(verbose=False)


def test_the_address_is_told_and_nothing_else(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = page_of(runs)
    waited = []
    monkeypatch.setattr(page, "block_thread", lambda: waited.append(True))
    address = launch(page, host="127.0.0.1")
    page.close(verbose=False)
    assert capsys.readouterr().out == f"Open {address} in a browser. Press Ctrl-C to stop.\n"
    assert waited


def _wide(page: Page) -> int:
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_translate_explain_and_change_in_a_browser(address: str, browser: Browser, width: int, scheme: str) -> None:
    assert urlsplit(address).hostname == "127.0.0.1"
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce", accept_downloads=True
    )
    context.set_default_timeout(60_000)
    outside: list[str] = []

    def watch(route) -> None:  # type: ignore[no-untyped-def]
        if urlsplit(route.request.url).hostname == "127.0.0.1":
            route.continue_()
        else:
            outside.append(route.request.url)
            route.abort()

    context.route(lambda url: url.startswith("http"), watch)
    page = context.new_page()
    page.goto(address)
    page.locator("#translate").wait_for()
    page.locator("#sentence textarea, #sentence input").first.fill(TEXT)
    page.locator("#translate").click()
    page.locator("#answer .card").nth(1).wait_for()
    assert page.locator("#answer .translation").count() == 2
    assert page.locator("#explanation .meanwhile .heat").count() == 2  # where both looked, until the frame is there
    inside = page.frame_locator("#explanation iframe")
    inside.get_by_role("heading").first.wait_for()
    assert TEXT.split()[1] in inside.locator("body").inner_text()
    page.locator("#new textarea, #new input").first.fill("dog")
    page.locator("#edit").click()
    page.locator("#changed .card").nth(1).wait_for()
    assert page.locator("#changed .card").first.locator("thead th").all_inner_texts() == TEXT.split()
    assert page.locator("#changed .source").all_inner_texts() == [TEXT, "dog" + TEXT.removeprefix("the")]
    inside.get_by_role("heading").first.wait_for()  # of the page with the changed run beside
    assert "dog" in inside.locator("body").inner_text()
    assert _wide(page) <= 0
    if SHOTS:
        page.locator("#explanation iframe").scroll_into_view_if_needed()
        page.wait_for_timeout(1500)
        page.screenshot(path=Path(SHOTS) / f"{width}-{scheme}-explanation.png")
        page.screenshot(path=Path(SHOTS) / f"{width}-{scheme}.png", full_page=True)
    with page.expect_download() as saved:
        page.locator("#save").click()
    assert Path(saved.value.path()).read_text("utf-8").startswith("<!")
    page.locator("#sentence textarea, #sentence input").first.fill("The cat is here. A dog sees the house.")
    page.locator("#translate").click()
    page.locator("#chosen label").filter(has_text="2. A dog sees the house. → ").click()
    page.wait_for_function("document.querySelector('#answer mark')?.innerText === 'A dog sees the house.'")
    assert page.locator("#answer .source").first.inner_text() == "The cat is here. A dog sees the house."
    inside.locator(".pair").filter(has_text="A dog sees").first.wait_for()
    page.wait_for_function(  # the explanation is in sight
        "document.querySelector('#explanation').getBoundingClientRect().top < 0.75 * innerHeight"
    )
    page.locator("#sentence textarea, #sentence input").first.fill("a " * 13)
    page.locator("#translate").click()
    page.get_by_text("13 words").first.wait_for()
    assert outside == []
    context.close()
