# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Makes the pictures of the README, docs/page.png and docs/heatmap.png; of models that hear or see, docs/heard.png and
docs/seen.png, and of several pictures docs/looked.png.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from hf_attn_seq2seq.decoding.loading import load_recognizer, load_translator
from hf_attn_seq2seq.decoding.names import DEFAULT_MODEL
from hf_attn_seq2seq.explain import Trace, trace
from hf_attn_seq2seq.explain.figure import save_figure
from hf_attn_seq2seq.explain.page import save_page


DOCS = Path(__file__).parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PLACE = "#chapter=attention&step=5&source=5"  # "le", which attends to "the"
MEDIA_PLACE, MEDIA_HEIGHT = "#chapter=attention&step=4", 660


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "model",
        nargs="?",
        default=DEFAULT_MODEL,
        help="a trained model's folder (default: the packaged model %(default)s)",
    )
    parser.add_argument(
        "--text", default="The cat is on the mat.", help="the sentence to explain (default: %(default)r)"
    )
    files = {"nargs": 2, "metavar": ("MODEL", "FILE")}
    parser.add_argument("--heard", help="a model that hears and a recording: make docs/heard.png", **files)
    parser.add_argument("--seen", help="a model that sees and a picture: make docs/seen.png", **files)
    parser.add_argument(
        "--looked",
        nargs="+",
        metavar=("MODEL", "FILE"),
        help="a model that sees and pictures: make docs/looked.png, where it looked for each of their words",
    )
    options = parser.parse_args()
    if options.looked:
        model, *files = options.looked
        save_looked(model, files, DOCS / "looked.png")
    for name in ("heard", "seen"):
        if given := getattr(options, name):
            traced = trace(*load_recognizer(given[0]), given[1], name=Path(given[0]).name)
            traced.verify()
            photograph(traced, DOCS / f"{name}.png", MEDIA_PLACE, MEDIA_HEIGHT)
    if options.heard or options.seen or options.looked:
        return
    model, tokenizer = load_translator([options.model])
    traced = trace(model, tokenizer, options.text, name=Path(options.model).name)
    traced.verify()
    save_figure(traced, DOCS / "heatmap.png")
    photograph(traced, DOCS / "page.png")


def save_looked(model: str, files: list[str], path: Path) -> None:
    """One figure below the other, of where a model looked at each of the pictures."""
    from PIL import Image

    recognizer = load_recognizer(model)
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        for index, file in enumerate(files):
            traced = trace(*recognizer, file, name=Path(model).name)
            traced.verify()
            save_figure(traced, Path(folder, f"{index}.png"))
            with Image.open(Path(folder, f"{index}.png")) as image:
                figures.append(image.convert("RGB"))
    together = Image.new("RGB", (max(each.width for each in figures), sum(each.height for each in figures)), "white")
    above = 0
    for figure in figures:
        together.paste(figure, (0, above))
        above += figure.height
    together.save(path, optimize=True)


def photograph(traced: Trace, path: Path, place: str = PLACE, height: int = 1290) -> None:
    """
    Takes a screenshot of a trace's page.

    Args:
        path: The picture.
        place: In the page, as its address tells it.
        height: Of the picture, in pixels.

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
        page = browser.new_page(viewport={"width": 1280, "height": height}, offline=True, reduced_motion="reduce")
        page.goto(f"{page_file.resolve().as_uri()}{place}")
        page.wait_for_selector("h2")
        page.screenshot(path=path)
        browser.close()


if __name__ == "__main__":
    main()
