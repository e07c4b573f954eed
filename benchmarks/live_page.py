# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
How long the live page takes from a key to the next picture, for sentences of ten words, and to its first picture.

    hf-attn-seq2seq site en-fr-small --output page.html --single-file
    python benchmarks/live_page.py page.html

Each edit changes one word, like a quick typist: the run before the edits stands beside the newest. As many edits of
other sentences follow, for at first the browser compiles what runs often. Measured in headless Chromium, from the
event of the field to the frame that shows the new run, and to the result line before it is painted. Figures of one
machine are no one else's.
"""

import argparse
import shutil
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the package, installed or not

from benchmarks.rounds import machine, table


SENTENCES = {
    1: ("The old musician plays a quiet song for the {}.", "A young woman reads a long letter to the {}."),
    5: ("The tall man sings a strange story about the {}.", "An old friend writes a short book about the {}."),
}
WORDS = [
    "crowd",
    "city",
    "child",
    "king",
    "woman",
    "dog",
    "street",
    "market",
    "station",
    "friend",
    "people",
    "night",
    "summer",
    "house",
    "family",
    "tourists",
    "police",
    "boys",
    "girls",
    "team",
]
EDIT = """async (text) => {
  const [field, said] = ["text", "said"].map((id) => document.getElementById(id));
  const told = new Promise((done) => {
    const watcher = new MutationObserver(() => (watcher.disconnect(), done()));
    watcher.observe(said, { childList: true });
  });
  const began = performance.now();
  field.value = text;
  field.dispatchEvent(new InputEvent("input"));
  await told;
  const answered = performance.now() - began;
  await new Promise((done) => requestAnimationFrame(() => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = done;
    port2.postMessage(null);
  }));
  return [performance.now() - began, answered];
}"""


def measure(page: Any, beams: int, words: Sequence[str]) -> list[list[str]]:
    page.locator(f'[data-key="beams {beams}"]').click()
    page.wait_for_timeout(1700)  # what comes faster is one edit
    rows = []
    for when, sentence in zip(("first", "then"), SENTENCES[beams]):
        found = []
        for word in words:
            found.append(page.evaluate(EDIT, sentence.format(word)))
            page.wait_for_timeout(60)
        rows += [
            [
                f"{beams} beam{'s' * (beams > 1)}, {when}; {what}",
                f"{statistics.median(times):.0f}",
                f"{max(times):.0f}",
            ]
            for what, times in zip(("painted", "answered"), zip(*found))
        ]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path, help="a live page in one file")
    parser.add_argument("--quick", action="store_true", help="try it out, with three edits")
    options = parser.parse_args()
    words = WORDS[:3] if options.quick else WORDS
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 740})
        began = time.perf_counter()
        page.goto(options.page.absolute().as_uri())
        page.locator("#text").wait_for()
        form = time.perf_counter() - began
        page.locator(".diagram").wait_for(timeout=120_000)
        first = time.perf_counter() - began
        rows = [row for beams in SENTENCES for row in measure(page, beams, words)]
        browser.close()
    print(machine())
    print(f"the form after {form:.1f} s, the first picture after {first:.1f} s")
    print(table(["ms from a key", "median", "worst"], rows))


if __name__ == "__main__":
    main()
