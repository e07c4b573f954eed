# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Makes the pictures of the README, docs/page.png and docs/heatmap.png, from a trained model."""

import argparse
import shutil
import tempfile
from pathlib import Path

from hf_attn_seq2seq.decoding.loading import load_translator
from hf_attn_seq2seq.explain import Trace, trace
from hf_attn_seq2seq.explain.figure import save_figure
from hf_attn_seq2seq.explain.page import save_page


DOCS = Path(__file__).parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PLACE = "#chapter=attention&step=5&source=5"  # "le", which attends to "the"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "model",
        nargs="?",
        default="outputs/demo",
        help="a trained model's folder (default: %(default)s, which make demo trains)",
    )
    parser.add_argument(
        "--text", default="The cat is on the mat .", help="the sentence to explain (default: %(default)r)"
    )
    options = parser.parse_args()
    model, tokenizer = load_translator([options.model])
    traced = trace(model, tokenizer, options.text, name=Path(options.model).name)
    traced.verify()
    save_figure(traced, DOCS / "heatmap.png")
    photograph(traced, DOCS / "page.png")


def photograph(traced: Trace, path: Path) -> None:
    """
    Takes a screenshot of a trace's page.

    Raises:
        FileNotFoundError: No Chromium is installed.
    """
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        raise FileNotFoundError(f"No browser for the screenshot was found: install one of {', '.join(BROWSERS)}.")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_file = Path(folder, "page.html")
        save_page(traced, page_file)
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 1290}, offline=True, reduced_motion="reduce")
        page.goto(f"{page_file.resolve().as_uri()}{PLACE}")
        page.wait_for_selector(".heat")
        page.screenshot(path=path)
        browser.close()


if __name__ == "__main__":
    main()
