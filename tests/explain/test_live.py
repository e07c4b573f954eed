# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The live page in Chromium: its runs against Python's, what it refuses, and that nothing leaves it."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hf_attn_seq2seq.data.cleaning import tidying_steps
from hf_attn_seq2seq.data.settings import CleaningSettings
from hf_attn_seq2seq.data.tokenizer_training import TokenizerSettings, train_tokenizer, train_tokenizer_for
from hf_attn_seq2seq.explain import Trace, trace
from hf_attn_seq2seq.explain.chapters import chapter_texts, step_sentence
from hf_attn_seq2seq.explain.live.site import save_site
from hf_attn_seq2seq.explain.sentences import overview
from hf_attn_seq2seq.splitting import split_text
from tests.explain.browser import axe_finds, chromium, needs_axe, offline, too_wide
from tests.explain.conftest import SENTENCES, TEXT
from tests.explain.live import save
from tests.explain.same import assert_same
from tests.helpers import FAMILIES


if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HEADS = {"num_attention_heads": 2}
TRANSFORMER = FAMILIES["transformer"]
KINDS: dict[str, dict[str, Any]] = {
    **FAMILIES,
    "coverage": {"attention_type": "coverage", "encoder_layers": 2, **HEADS},
    "location": {"attention_type": "location", "attention_normalizer": "sparsemax"},
    "local_p": {"attention_type": "local_p", "attention_window": 2},
    "monotonic": {"attention_type": "monotonic", "encoder_type": "min_lstm"},
    "none": {"attention_type": "none"},
    "pointer": {"pointer": True, "attention_type": "coverage", **HEADS},
    "pointer with words": {**TRANSFORMER, "pointer": True, "pointer_slots": 3, "decoder_mixer": "ssru"},
    "average": {**TRANSFORMER, **HEADS, "decoder_layers": 2, "decoder_mixer": "average"},
}
# The run that the page makes, as plain values.
RUN = """async ([text, given, beams]) => {
  const made = await live.trace(text, given, { beams });
  const { document, arrays, chapters, sentences } = made;
  document.checks = await live.checks(made);
  const plain = Object.entries(arrays).map(([name, { shape, data }]) => [name, { shape, values: Array.from(data) }]);
  return { document, chapters, sentences, arrays: Object.fromEntries(plain) };
}"""
# What is changed in a run of the page, and which check must notice.
SPOILED = {
    "attention.0.keys": "scores",
    "attention.0.scores": "scaling",
    "attention.0.scaled": "normalizer",
    "attention.0.weights": "sums",
    "attention.0.values": "context",
    "attention.0.context": "heads",
    "encoder.layer.0.backward.update": "encoder_gates",
    "decoder.layer.0.candidate": "decoder_gates",
    "decoder.layer.0.hidden_before": "carry",
    "handover.state": "start",
    "encoder.layer.0.forward.input_rows": "encoder_rows",
    "decoder.layer.0.hidden_rows": "decoder_rows",
    "handover.row": "bridge_row",
    "readout.rows": "readout_row",
    "output.rows": "logits",
}
SPOILED_STEP = {
    "step.candidates[0].log_probability -= 1": "probability",
    "step.rest += 0.1": "mass",
    "step.choice.id = step.candidates.at(-1).id": "choice",
    "step.choice.id = step.candidates[1].id": "fed",
    "step.candidates[1].logit += 1": "repeat",
}
# The failed checks of a run with a change.
SPOIL = """async () => {
  const made = await live.trace("a dog", "");
  const { arrays, document: { steps: [step] } } = made;
  %s;
  return (await live.checks(made)).filter(({ passed }) => !passed).map((check) => check.name);
}"""
SPOIL_ARRAY = "arrays['%s'].data.forEach((value, at, data) => (data[at] = value + 0.01 + (0.04 * at) / data.length))"
STRANGE = "the zebra sees a okapi and the zebra sees <unk> ."
BEAMED = {kind: KINDS[kind] for kind in ("gru", "transformer", "average")}
# Changes the settings of the search.
SET = """([early_stopping, min_new_tokens]) => {
  Object.assign(live.settings.search, { early_stopping, min_new_tokens });
}"""
# The same with something changed.
CHANGED = """async ([text, changes]) => {
  let made = await live.trace(text, "", { beams: 1 });
  for (const change of changes) made = await live.changed(made.document, change);
  const checks = await live.checks(made);
  const plain = ([name, { shape, data }]) => [name, { shape, values: Array.from(data) }];
  return { document: made.document, checks, arrays: Object.fromEntries(Object.entries(made.arrays).map(plain)) };
}"""
HOSTILE = "</script><img src=x onerror=alert(1)> <b>cat</b>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[[str], Page]]:
    """Opens a page, of which nothing but files may be asked and nothing may be said on the console."""
    context = offline(browser)
    context.set_default_timeout(60_000)
    said: list[str] = []
    fetched: list[str] = []

    def open_(url: str) -> Page:
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: fetched.append(request.url))
        page.goto(url)
        return page

    yield open_
    context.close()
    assert said == []
    assert [url for url in fetched if not url.startswith(("file:", "data:"))] == []


def ready(page: Page) -> Page:
    said = page.locator("#said").filter(has_text=re.compile(r"in this browser$|\.$"))
    said.wait_for()
    assert page.locator("#said.wrong").count() == 0, said.inner_text()
    return page


def refused(page: Page) -> str:
    wrong = page.locator("#said.wrong")
    wrong.wait_for()
    return wrong.inner_text()


def assert_run(
    page: Page, model: Any, tokenizer: Any, text: str, given: str = "", beams: int = 1, **options: Any
) -> Trace:
    """The page's run is Python's: document, arrays, and what is said of it."""
    found = page.evaluate(RUN, [text, given, beams])
    arrays = {
        name: np.asarray(each["values"], dtype=np.float32).reshape(each["shape"])
        for name, each in found["arrays"].items()
    }
    wanted = trace(model, tokenizer, text, given or None, num_beams=beams, **options)
    made = Trace(found["document"], arrays)
    assert_checked(made)
    assert_same(made, wanted)
    for key, chapter in chapter_texts(wanted).items():
        assert_said(found["chapters"][key], asdict(chapter))
    assert found["sentences"] == [step_sentence(wanted, step) for step in range(len(wanted.document["steps"]))]
    return wanted


def assert_checked(made: Trace) -> None:
    """The checks that the page made of its run are those that Python makes of it, and they passed."""
    (repeated,) = [check for check in made.document["checks"] if check["name"] == "repeat"]
    found = {check["what"]: check for check in made.document["checks"] if check is not repeated}
    made.document["checks"] = []
    made.verify()
    wanted = {check["what"]: check for check in made.document["checks"]}
    assert found.keys() == wanted.keys()
    for what, check in wanted.items():
        same = {key: pytest.approx(value, rel=1e-6) for key, value in check.items() if isinstance(value, float)}
        # Both computed in double precision, whose own differences are far below those of the recorded numbers.
        assert found[what] == {
            **check,
            **same,
            "largest_difference": pytest.approx(check["largest_difference"], abs=1e-12),
        }
        assert check["passed"]
    made.document["checks"] = []
    assert repeated["passed"]
    assert repeated["compared"] == sum(len(step["candidates"]) for step in made.document["steps"])


def assert_said(found: dict[str, str], wanted: dict[str, str]) -> None:
    """The same texts, up to the last digit of a number with four, which rounding may change."""
    assert found.keys() == wanted.keys()
    for part, text in wanted.items():
        ours, theirs = (re.split(r"(-?\d+\.\d{4})", each) for each in (found[part], text))
        assert ours[::2] == theirs[::2]
        assert [float(each) for each in ours[1::2]] == pytest.approx([float(each) for each in theirs[1::2]], abs=2e-4)


def assert_changed(page: Page, parent: Trace) -> None:
    """Runs with something changed are Python's, too."""
    steps = len(parent.document["steps"])
    row = np.linspace(1, 2, len(parent.source_tokens)).tolist()
    changes: list[dict[str, Any]] = [{"target": {steps - 1: "chien"}}]
    if parent.layers:
        changes.append({"weights": {steps - 1: row}, "layer": -1})
    if parent.document["attention"]["heads"] > 1:
        changes.append({"heads": 1, "layer": 0})
    if len(parent.layers) > 1:
        changes.append({"weights": {steps - 1: "uniform"}, "layer": 0})
    changes.append({"target": {0: "maison"}})
    wanted = parent
    made: list[dict[str, Any]] = []
    for number, asked in enumerate(changes):
        wanted = wanted.what_if(**asked)
        made.append(wanted.changes[-1])
        if 0 < number < len(changes) - 1:
            continue  # the first alone, and all together
        found = page.evaluate(CHANGED, [parent.document["source"]["text"], made])
        arrays = {
            name: np.asarray(each["values"], dtype=np.float32).reshape(each["shape"])
            for name, each in found["arrays"].items()
        }
        assert_same(Trace(found["document"], arrays), wanted)
        assert [check["name"] for check in found["checks"] if not check["passed"]] == []


@pytest.mark.costly
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_as_in_python(kind: str, open_page: Callable[[str], Page], tokenizer: Any, tmp_path: Path) -> None:
    model = save(tmp_path / "model", tokenizer, **KINDS[kind])
    written = save_site(str(tmp_path / "model"), tmp_path / "page.html", single_file=True, example=TEXT)
    page = ready(open_page(written.path.as_uri()))
    parent = assert_run(page, model, tokenizer, TEXT)
    assert_changed(page, parent)
    assert_run(page, model, tokenizer, "a dog", "le chat voit")
    if model.config.pointer:
        assert_run(page, model, tokenizer, STRANGE)
        assert_run(page, model, tokenizer, STRANGE, beams=3)
    assert page.locator(".absent, .check.bad").count() == 0
    for chapter in page.locator("[data-chapter]").all():
        chapter.click()
        assert page.locator(".check.bad").count() == 0
    leave_out = page.locator("[data-key='a leave out 1']")
    assert leave_out.count() == 0  # of heads, there is a choice in one chapter alone
    page.click("[data-chapter='attention']")
    assert leave_out.count() == (parent.document["attention"]["heads"] > 1)
    if leave_out.count():
        leave_out.click()
        assert beside(page) == [
            parent.document["target"]["text"],
            parent.what_if(heads=1, layer=-1).document["target"]["text"],
        ]
        assert page.locator(".changed b").inner_text().startswith("without head 2")
        assert page.locator(".check.bad").count() == 0
        page.click("[data-key='b leave out 1']")  # and back
        assert page.locator(".changed, .double").count() == 0


def beside(page: Page) -> list[str]:
    """The translations of two runs side by side."""
    page.locator(".changed").wait_for()
    return [said.replace("∅", "") for said in page.locator(".picture .translated").all_text_contents()]


def test_a_word_is_said_and_weights_are_dragged(
    open_page: Callable[[str], Page], small: tuple[Any, Any, Path], tmp_path: Path
) -> None:
    model, tokenizer, folder = small
    page = ready(
        open_page(save_site(str(folder), tmp_path / "page.html", single_file=True, example=TEXT).path.as_uri())
    )
    parent = trace(model, tokenizer, TEXT, num_beams=1)
    before = parent.document["target"]["text"]
    page.evaluate("location.hash = 'chapter=choice&step=2'")
    third = parent.document["steps"][1]["candidates"][2]
    page.click(f"[data-key='a say {third['id']}']")
    wanted = parent.what_if(target={1: third["token"]})
    assert beside(page) == [before, wanted.document["target"]["text"]]
    page.click(".changed button")
    assert page.locator(".changed, .double").count() == 0
    for step, word in ((0, "Chien"), (2, "vieille"), (3, "!"), (2, "</s>")):
        page.evaluate(f"location.hash = 'chapter=loop&step={step + 1}'")
        page.fill("[data-key='a another word']", word)
        page.press("[data-key='a another word']", "Enter")
        page.locator(".changed b").filter(has_text=f"with “{word}” said at step {step + 1}").wait_for()
        assert beside(page) == [before, parent.what_if(target={step: word}).document["target"]["text"]]
        page.click(".changed button")
    # Changes add up, stay when the search is another, and are put back one by one.
    searched = trace(model, tokenizer, TEXT, num_beams=2)
    for step, word in ((3, "!"), (0, "un")):
        page.evaluate(f"location.hash = 'chapter=loop&step={step + 1}'")
        page.fill("[data-key='a another word']", word)
        page.press("[data-key='a another word']", "Enter")
        page.locator(".changed b").filter(has_text=word).wait_for()
    both = parent.what_if(target={3: "!"}).what_if(target={0: "un"})
    assert beside(page) == [before, both.document["target"]["text"]]
    page.click("[data-key='beams 2']")
    page.locator(".foot .facts").filter(has_text="2 beams").wait_for()
    both = searched.what_if(target={3: "!"}).what_if(target={0: "un"})
    assert beside(page) == [each.document["target"]["text"] for each in (searched, both)]
    told = ["with “!” said at step 4", "with “un” said at step 1"]
    assert page.locator(".changed b").all_inner_texts() == told
    page.locator(".changed li button").first.click()
    page.locator(".changed b").filter(has_text="!").wait_for(state="detached")
    first = searched.what_if(target={0: "un"})
    assert beside(page) == [each.document["target"]["text"] for each in (searched, first)]
    page.click("[data-key='beams 1']")
    page.locator(".foot .facts").filter(has_text="greedy").wait_for()
    page.click(".changed button")
    page.fill("[data-key='a another word']", " ")
    page.press("[data-key='a another word']", "Enter")
    assert page.locator(".told").inner_text() == "The word to say is blank: type one."
    page.evaluate("location.hash = 'chapter=attention&step=2&source=3'")
    for ask, wanted_text in (("only", 2), ("uniform", "uniform")):
        page.click(f"[data-key='a {ask}']")
        wanted = parent.what_if(weights={1: wanted_text})
        page.locator(".before-after dd").last.filter(has_text=wanted.document["target"]["text"]).wait_for()
    page.focus("[data-key='a slider 3']")
    for key in ("Home", "ArrowRight", "End"):  # the newest alone is shown
        page.keyboard.press(key)
    wanted = parent.what_if(weights={1: 3})
    page.locator(".before-after dd").last.filter(has_text=wanted.document["target"]["text"]).wait_for()
    page.click("[data-key='a look at both']")
    assert beside(page) == [before, wanted.document["target"]["text"]]
    assert page.locator(".check.bad").count() == 0
    page.fill("#text", "a dog")
    page.locator(".changed").filter(
        has_text="Your changes are put back: they belonged to a text that is no longer here."
    ).wait_for()
    assert page.locator(".changed li").count() == 0


@pytest.mark.parametrize("kind", BEAMED)
def test_beams_as_in_python(kind: str, open_page: Callable[[str], Page], tokenizer: Any, tmp_path: Path) -> None:
    """The same tree of hypotheses, and the numbers of the one that won."""
    model = save(tmp_path / "model", tokenizer, **BEAMED[kind])
    settings = model.generation_config
    settings.update(num_beams=2, max_new_tokens=9, length_penalty=0.6)
    settings.save_pretrained(tmp_path / "model")
    written = save_site(str(tmp_path / "model"), tmp_path / "page.html", single_file=True, example=TEXT)
    page = ready(open_page(written.path.as_uri()))
    states: set[str] = set()
    for number, (early_stopping, least) in enumerate(((False, 0), (True, 0), ("never", 3))):
        settings.update(early_stopping=early_stopping, min_new_tokens=least)
        page.evaluate(SET, [number, least])
        for text, beams in ((TEXT, 2), ("a dog", 3), ("un chien voit la vieille maison .", 5)):
            made = assert_run(page, model, tokenizer, text, beams=beams)
            states |= {each["state"] for step in made.document["beams"]["steps"] for each in step["hypotheses"]}
    assert states == {"kept", "finished", "dropped"}


TIDYING = {f"tidying {kind}": kind for kind in ("bpe", "unigram")}


def tokenizers() -> dict[str, Any]:
    steps = tidying_steps(CleaningSettings())
    apart = TokenizerSettings(kind="bpe", vocab_size=290, shared=False, target={"kind": "word", "vocab_size": 30})
    return {
        **{
            kind: train_tokenizer(SENTENCES, kind=kind, vocab_size=300)
            for kind in ("bpe", "unigram", "char", "symbol")
        },
        "lowercase": train_tokenizer(SENTENCES, kind="bpe", vocab_size=290, lowercase=True),
        "apart": train_tokenizer_for(apart, SENTENCES[::2], SENTENCES[1::2]),
        **{
            name: train_tokenizer_for(
                TokenizerSettings(kind=kind, vocab_size=300), SENTENCES, SENTENCES, tidying=steps
            )
            for name, kind in TIDYING.items()
        },
    }


@pytest.mark.costly
@pytest.mark.parametrize("kind", ["bpe", "unigram", "char", "symbol", "lowercase", "apart", *TIDYING])
def test_every_vocabulary_as_in_python(kind: str, open_page: Callable[[str], Page], tmp_path: Path) -> None:
    tokenizer = tokenizers()[kind]
    model = save(tmp_path / "model", tokenizer)
    folder = tmp_path / "Élan vital, 2 #1"  # whose name is escaped in its address
    folder.mkdir()
    written = save_site(str(tmp_path / "model"), folder / "ma page.html", single_file=True, example=TEXT)
    page = ready(open_page(written.path.as_uri()))
    for text in (
        "The cat is   on the mat .",
        "Ein Café, 猫 und 🎸: naïve",
        "a  dog's house -- l'été",
        " the\u00a0cat\t is on\u202fthe  mat\u2028.",
    ):
        assert_run(page, model, tokenizer, text)
    if kind == "tidying bpe":
        assert_run(page, model, tokenizer, "the cafe\u0301 ")
    assert_run(page, model, tokenizer, TEXT, "un chien voit la maison .")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Path]:
    folder = tmp_path_factory.mktemp("small")
    tokenizer = train_tokenizer_for(TokenizerSettings(kind="bpe", vocab_size=290), SENTENCES, SENTENCES)
    return save(folder, tokenizer), tokenizer, folder


def test_settings_that_forbid_and_prescribe(open_page: Callable[[str], Page], tokenizer: Any, tmp_path: Path) -> None:
    model = save(tmp_path / "model", tokenizer)
    for fields in (
        {"suppress_tokens": [4, 5, 6], "min_new_tokens": 4},
        {"forced_bos_token_id": 7, "forced_eos_token_id": 2},
    ):
        model.generation_config.update(**fields)
    model.generation_config.save_pretrained(tmp_path / "model")
    written = save_site(str(tmp_path / "model"), tmp_path / "page.html", single_file=True, example=TEXT)
    wanted = assert_run(ready(open_page(written.path.as_uri())), model, tokenizer, TEXT)
    assert any(step["processed"] for step in wanted.document["steps"])


def test_what_is_typed_is_shown_and_what_cannot_be_read_is_told(
    open_page: Callable[[str], Page], small: tuple[Any, Any, Path], tmp_path: Path
) -> None:
    model, tokenizer, folder = small
    written = save_site(str(folder), tmp_path / "page.html", single_file=True, example=TEXT)
    page = ready(open_page(written.path.as_uri()))
    for text in (HOSTILE, "猫がマットの上にいる", "a dog"):
        page.wait_for_timeout(1600)  # what follows faster is one edit
        page.fill("#text", text)
        translation = trace(model, tokenizer, text, num_beams=1).document["target"]["text"]
        page.locator("#said").filter(has_text=translation).wait_for()
        page.locator(".run-choice").first.wait_for()
        assert page.locator("#said .strange").count() == (text[0] == "猫")  # a script that the tokenizer has not seen
        assert_run(page, model, tokenizer, text)
    page.locator("summary", has_text=re.compile(r"^All \d+ checks of the trace passed: ")).wait_for()
    for change, check in ({SPOIL_ARRAY % name: check for name, check in SPOILED.items()} | SPOILED_STEP).items():
        assert check in page.evaluate(SPOIL % change), change
    page.evaluate("() => { live.model.search.max_new_tokens = 1; }")
    assert_run(page, model, tokenizer, "a dog", max_new_tokens=1)  # one step is said to be one
    page.evaluate("() => { live.model.search.max_new_tokens = 6; }")
    assert page.locator("img, b:text('cat')").count() == 0
    assert page.locator(".run-choice select").first.locator("option").all_inner_texts() == [
        "“a dog”",
        "before: “猫がマットの上にいる”",
    ]
    page.fill("#text", " ")
    assert refused(page) == "There is no text yet: type a sentence."
    assert page.locator(".earlier").inner_text() == "Below is still: “a dog”"  # which passes for nothing newer
    page.evaluate(
        """() => {
          const field = document.getElementById("text");
          field.value = "a dog \\ud83c";
          field.dispatchEvent(new InputEvent("input"));
        }"""
    )
    assert "half a character" in refused(page)
    page.fill("#text", "dog " * 25_001)  # characters
    page.locator("#said").filter(has_text="100,004 characters, and the page takes 100,000").wait_for()
    page.fill("#text", "dog " * 5000)  # words
    page.locator("#said").filter(has_text="reads at most").wait_for()
    assert "tokens, and the model reads at most 2,048: give it sentence by sentence." in refused(page)
    page.fill("#text", "a dog")
    page.locator("#said:not(.wrong)").wait_for()
    assert page.locator(".earlier").is_hidden()
    page.click(".follow summary")
    page.fill("#given", "dog " * 1000)
    page.locator("#said").filter(has_text="shorten it").wait_for()
    assert "The given translation has" in refused(page)


@needs_axe
def test_axe_finds_nothing_in_the_live_page(
    open_page: Callable[[str], Page], small: tuple[Any, Any, Path], tmp_path: Path
) -> None:
    written = save_site(
        str(small[2]), tmp_path / "page.html", single_file=True, example=f"{TEXT} A dog sees the house."
    )
    page = ready(open_page(written.path.as_uri()))
    page.locator(".sentence").first.wait_for()
    assert axe_finds(page, ("numbers",)) == []
    page.emulate_media(color_scheme="dark")
    assert axe_finds(page, ("bars",)) == []
    assert too_wide(page, ("numbers",)) == []


SPLIT = {
    "en": [
        "Dr. Smith came at 3.15 p.m. He left. Why? Nobody knows…",
        "He said: “Come! Now!” And she came (slowly). [1] It was No. 5, i.e. the last... Was it?",
        "1. First.\n2. Second!\r\n\r\n  ?!  \n\u2028Third line\x0bfourth. \u00a0 ",
        "Mr. X., of the U.S., wrote to a@b.org. See http://a.org/b.c. The end",
        "🎸 Music. 🎸! <b>Bold.</b> </script> A “🎸.” B",
    ],
    "fr_XX": ["M. Dupont est là. « Bonjour ! » dit-il. Mme Curie, p. ex., rit… Vraiment ? Oui.", "L’été. C’est fini."],
    "de": ["Z. B. am 3. Mai kam Dr. Weiß. „Gut.“ Er ging. Usw. usf."],
    "zh": ["猫在垫子上。狗呢？它在那边！“是的。”他说。"],
    "ar": ["مرحبا؟ نعم. القطة على السجادة."],
    "hi": ["बिल्ली चटाई पर है। कुत्ता कहाँ है?"],
    "ru": ["Кот сидит. Т. е. лежит? Да! г. Москва."],
}


def test_a_paragraph_is_read_sentence_by_sentence(
    open_page: Callable[[str], Page], small: tuple[Any, Any, Path], tmp_path: Path
) -> None:
    model, tokenizer, folder = small
    written = save_site(str(folder), tmp_path / "page.html", single_file=True, example=TEXT)
    page = ready(open_page(written.path.as_uri()))
    for language, texts in SPLIT.items():
        for text in texts:
            found = page.evaluate("([text, language]) => live.sentences(text, language)", [text, language])
            wanted = split_text(text, language)
            assert [each["text"] for each in found] == [piece.sentence for piece in wanted], text
    sentences = ["the cat is on the mat.", "A dog!", "Un chien voit la maison"]
    page.evaluate(
        """() => {
          globalThis.traced = [];
          const trace = live.trace.bind(live);
          live.trace = (text, ...others) => (traced.push(text), trace(text, ...others));
        }"""
    )

    def said() -> list[str]:
        return page.locator(".sentence-said").all_inner_texts()

    page.fill("#text", " ".join(sentences))
    page.locator("#said").filter(has_text="ms, in this browser").wait_for()
    expect = page.wait_for_function
    expect("() => traced.length === 3 && !document.querySelector('.ask').textContent.includes('…')")
    made = [trace(model, tokenizer, sentence) for sentence in sentences]
    # The caret stands in the last one, whose picture came first.
    assert page.evaluate("traced") == [sentences[2], *sentences[:2]]
    assert said() == [each.document["target"]["text"] for each in made]
    assert page.locator(".sentence-score").all_inner_texts() == [
        f"{each.score:.3f}".replace("-", "−") for each in overview(made)
    ]
    chosen = page.locator('.sentence[aria-pressed="true"] .sentence-text')
    assert chosen.inner_text() == sentences[2]
    page.locator(".sentence").nth(1).click()
    page.locator('.sentence[aria-pressed="true"]').filter(has_text="A dog!").wait_for()
    assert page.evaluate("traced.length") == 3  # nothing is computed twice
    page.wait_for_timeout(1600)
    page.evaluate("() => document.getElementById('text').setSelectionRange(28, 28)")
    page.type("#text", "y")  # A dogy!
    expect("() => traced.length === 4 && document.querySelectorAll('.side').length === 2")
    assert page.evaluate("traced.at(-1)") == "A dog!".replace("g", "gy")
    assert page.locator(".run-choice select").first.locator("option").all_inner_texts() == [
        "“A dogy!”",
        "before: “A dog!”",
    ]
    page.click(".follow summary")
    page.fill("#given", "le chat")
    assert "A translation to follow belongs to one sentence, and this text has 3" in refused(page)


class Server:
    """A web server for a folder, that remembers what was asked, and knows no kinds of files but pages."""

    def __init__(self, folder: Path) -> None:
        asked: list[str] = []

        class Handler(SimpleHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                asked.append(self.path)

            def send_header(self, keyword: str, value: str) -> None:
                if keyword != "Content-type" or value.startswith("text/html"):
                    super().send_header(keyword, value)

        self.asked = asked
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def serve() -> Iterator[Callable[[Path], Server]]:
    servers = []

    def serve_(folder: Path) -> Server:
        servers.append(Server(folder))
        return servers[-1]

    yield serve_
    for server in servers:
        server.server.shutdown()
        server.server.server_close()


def test_static_files_are_read_once_and_nothing_is_asked_afterwards(
    browser: Browser, small: tuple[Any, Any, Path], serve: Callable[[Path], Server], tmp_path: Path
) -> None:
    model, tokenizer, folder = small
    (tmp_path / "sites").mkdir()
    written = save_site(str(folder), tmp_path / "sites" / "été 1", example=TEXT)
    server = serve(tmp_path)
    url = f"{server.url}sites/%C3%A9t%C3%A9%201/"  # below the root of the server
    context = browser.new_context()
    page = context.new_page()
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url))
    ready(page.goto(url) and page)
    assert sorted(each.removeprefix(url) for each in fetched) == sorted(["", *written.sizes])
    assert (written.path / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    loaded = len(fetched)
    page.fill("#text", "a dog sees the old house")
    page.locator("#said").filter(has_text="in this browser").wait_for()
    assert_run(page, model, tokenizer, "a dog")
    page.click('[data-chapter="attention"]')
    assert len(fetched) == loaded
    # Nor could it ask: the page's own policy forbids it.
    assert page.evaluate("fetch('https://example.org/').then(() => 'asked', () => 'refused')") == "refused"
    context.close()


# What happens to a file, and what is told of it.
HARMS: dict[str, tuple[str, Callable[[bytes], bytes | None], str]] = {
    "missing": ("model.safetensors", lambda data: None, " is missing beside this page: put it back, or "),
    "changed": (
        "model.safetensors",
        lambda data: bytes([*data[:-1], data[-1] ^ 1]),
        r" is not the file that this page was made with \(its SHA-256 begins with \w{8}, not \w{8}\): ",
    ),
    "cut": (
        "model.safetensors",
        lambda data: data[:-1],
        r" is not the file that this page was made with \([\d,]+ bytes, not [\d,]+\): ",
    ),
    "cut runtime": ("runtime.bin", lambda data: data[:9000], r" is not the file .* \(9,000 bytes, not [\d,]+\): "),
    "of another export": (
        "trace_step.onnx",
        lambda data: data + b"\0",
        r" is not the file .* \([\d,]+ bytes, not [\d,]+\): ",
    ),
    "of an earlier version": (
        "trace_step.onnx",
        lambda data: data.replace(b"trace graphs, version 3", b"trace graphs, version 2"),
        r" is of another version of this package \(version 2; this page runs version 3\): ",
    ),
}


@pytest.fixture(scope="module")
def small_site(small: tuple[Any, Any, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_site(str(small[2]), tmp_path_factory.mktemp("site") / "files", example=TEXT).path


@pytest.mark.parametrize("harm", HARMS)
def test_missing_or_changed_files(
    harm: str, browser: Browser, small_site: Path, serve: Callable[[Path], Server], tmp_path: Path
) -> None:
    name, change, told = HARMS[harm]
    folder = Path(shutil.copytree(small_site, tmp_path / "site"))
    changed = change((folder / name).read_bytes())
    (folder / name).unlink()
    if changed is not None:
        (folder / name).write_bytes(changed)
    context = browser.new_context()
    page = context.new_page()
    page.goto(serve(folder).url)
    assert re.fullmatch(f"“{re.escape(name)}”{told}make the page again\\.", refused(page))
    context.close()


def test_a_damaged_single_file(browser: Browser, small: tuple[Any, Any, Path], tmp_path: Path) -> None:
    written = save_site(str(small[2]), tmp_path / "page.html", single_file=True)
    page = written.path.read_text("utf-8")
    cut = page.index('id="file model.safetensors">') + 100
    written.path.write_text(f"{page[:cut]}?{page[cut + 1 :]}", "utf-8")
    context = offline(browser)
    shown = context.new_page()
    shown.goto(written.path.as_uri())
    assert re.fullmatch(r"“model\.safetensors” is not the file .*: make the page again\.", refused(shown))
    assert shown.locator(".until").count() == 0
    written.path.write_text(page[:cut], "utf-8")  # before the script
    shown.goto(written.path.as_uri())
    assert "If this sentence stays, the file is incomplete" in shown.locator("#page").inner_text()
    context.close()


def test_two_models_read_the_same_text(
    open_page: Callable[[str], Page], small: tuple[Any, Any, Path], tmp_path: Path
) -> None:
    model, tokenizer, folder = small
    fixed = save(tmp_path / "fixed", tokenizer, attention_type="none")
    written = save_site(
        str(folder), tmp_path / "two.html", compare=str(tmp_path / "fixed"), single_file=True, example=TEXT
    )
    assert sum(name.endswith("tokenizer.json") for name in written.sizes) == 1  # what is the same is stored once
    page = ready(open_page(written.path.as_uri()))

    def wanted(text: str) -> list[str]:
        return [trace(each, tokenizer, text, num_beams=1).document["target"]["text"] for each in (model, fixed)]

    def told() -> list[str]:
        return page.locator(".pictures .translated, .pair .translated").all_text_contents()

    assert told() == wanted(TEXT)
    assert page.locator(".picture b").all_inner_texts()[0] == folder.name
    page.click("[data-key='model 2']")
    assert told() == wanted(TEXT)[1:]
    page.fill("#text", "a dog")  # the choice is kept
    page.locator(".translated").filter(has_text=wanted("a dog")[1]).first.wait_for()
    page.click("[data-key='model 0']")
    page.evaluate("location.hash = 'chapter=loop&step=1&beside=2'")
    # Steps move both, the shorter one as far as it goes.
    steps = [len(trace(each, tokenizer, "a dog", num_beams=1).document["steps"]) for each in (model, fixed)]
    for step in range(1, max(steps) + 1):
        now = [text.split(". ", 1)[0] for text in page.locator(".now").all_inner_texts()]
        assert now == [f"Step {min(step, count)} of {count}" for count in steps]
        page.keyboard.press("ArrowRight")
    page.evaluate("location.hash = 'chapter=loop&step=1&beside=2'")
    for side, each in (("a", model), ("b", fixed)):
        page.fill(f"[data-key='{side} another word']", "vieille")
        page.press(f"[data-key='{side} another word']", "Enter")
        parent = trace(each, tokenizer, "a dog", num_beams=1)
        texts = [parent, parent.what_if(target={0: "vieille"})]
        assert beside(page) == [each.document["target"]["text"] for each in texts]
        page.click(".changed button")
        page.click("[data-key='model 0']")
    for chapter in page.locator("[data-chapter]").all():
        chapter.click()
        assert page.locator(".check.bad").count() == 0
        assert page.locator(".stage h2").count() == 1  # what is said of both stands once
    sentences = ["the cat is on the mat.", "A dog sees the old house."]
    page.fill("#text", " ".join(sentences))
    page.locator("#said .time").filter(has_text="ms, in this browser").wait_for()
    page.wait_for_function("() => !document.querySelector('.sentences').textContent.includes('…')")
    assert page.locator(".sentence-said").all_text_contents() == ["".join(wanted(sentence)) for sentence in sentences]
    assert page.locator(".sentence-second").all_text_contents() == [wanted(sentence)[1] for sentence in sentences]
    assert told() == wanted(sentences[1])  # where the caret stands


@pytest.mark.parametrize("gone", ["WebAssembly = undefined", "WebAssembly.validate = () => false"])
def test_a_browser_that_cannot(gone: str, browser: Browser, small: tuple[Any, Any, Path], tmp_path: Path) -> None:
    written = save_site(str(small[2]), tmp_path / "page.html", single_file=True)
    context = offline(browser)
    context.add_init_script(gone)
    page = context.new_page()
    page.goto(written.path.as_uri())
    assert refused(page).startswith("This browser lacks WebAssembly with SIMD")
    context.close()


def test_files_beside_a_page_that_was_opened_by_a_double_click(
    browser: Browser, small: tuple[Any, Any, Path], tmp_path: Path
) -> None:
    written = save_site(str(small[2]), tmp_path / "site")
    context = offline(browser)
    page = context.new_page()
    page.goto((written.path / "index.html").as_uri())
    assert refused(page).endswith("put the folder on a web server, or make the page with --single-file.")
    context.close()
