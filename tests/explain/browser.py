# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""A Chromium without a network, for the tests of the page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest


if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

WIDTHS = (1280, 1024, 768, 390)
DEPTHS = ("bars", "numbers", "vectors")
AXE = Path(__file__).parents[2] / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
needs_axe = pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed: run npm ci in frontend/")

# Every chapter at these depths, with all that can be opened open; FOUND says what is wrong with it.
WALK = """async (depths) => {
  const wrong = [];
  for (const depth of depths) {
    document.querySelector(`[data-key="depth ${depth}"]`).click();
    for (const chapter of [...document.querySelectorAll("[data-chapter]")].map((tab) => tab.dataset.chapter)) {
      document.querySelector(`[data-chapter="${chapter}"]`).click();
      for (const box of document.querySelectorAll("details")) box.open = true;
      for (const one of await FOUND()) wrong.push([chapter, depth, one].join(": "));
    }
  }
  return wrong;
}"""
TOO_WIDE = """() => {
  const { scrollWidth } = document.documentElement;
  return scrollWidth > innerWidth ? [`${scrollWidth} of ${innerWidth} pixels`] : [];
}"""
AXE_FINDS = """async () => {
  const { violations } = await axe.run(document, { resultTypes: ["violations"], preload: false });
  return violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`);
}"""


def too_wide(page: Page, depths: Sequence[str] = DEPTHS, widths: Sequence[int] = WIDTHS) -> list[str]:
    """The chapters that are wider than the window, at any of the widths."""
    found = []
    for width in widths:
        page.set_viewport_size({"width": width, "height": 800})
        found += page.evaluate(WALK.replace("FOUND", f"({TOO_WIDE})"), list(depths))
    return found


def axe_finds(page: Page, depths: Sequence[str] = DEPTHS) -> list[str]:
    """What axe finds in the chapters that a keyboard or a screen reader cannot use."""
    page.evaluate(AXE.read_text("utf-8"))
    return list(page.evaluate(WALK.replace("FOUND", f"({AXE_FINDS})"), list(depths)))


@contextmanager
def chromium() -> Iterator[Browser]:
    """The installed Chromium, headless; a skipped test where there is none."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"no Chromium is installed (looked for {', '.join(NAMES)})")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


def offline(browser: Browser, **options: object) -> BrowserContext:
    """A window without a network and without moving parts."""
    context = browser.new_context(
        offline=True, reduced_motion="reduce", **{"viewport": {"width": 1280, "height": 900}, **options}
    )
    context.set_default_timeout(15_000)
    return context
