# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
How many characters Tesseract's models get wrong in pictures of lines, and how many ours, on the same pictures.

Tesseract is the command of that name (Debian: tesseract-ocr, tesseract-ocr-frk, tesseract-ocr-script-frak); each of
its models is run as it is on one line at a time (`--psm 7`), as the picture is and with a white border, and its better
figure counts. The character error rate is the edit distance summed over all lines, divided by the characters of the
references. Since Tesseract's models write today's letters where the references keep those of the print, a second
figure writes both sides with today's: long s as s, vowels with a small e above as umlauts, the double hyphen as one.

    python benchmarks/tesseract_lines.py data/fraktur/test.tsv --model outputs/fraktur-lines
"""

import argparse
import csv
import io
import subprocess
import time
import unicodedata
from pathlib import Path

from PIL import Image, ImageOps

from hf_attn_seq2seq.decoding.loading import load_recognizer
from hf_attn_seq2seq.decoding.recognition import transcribe
from hf_attn_seq2seq.evaluation.metrics import score_corpus


MODERN = {"ſ": "s", "⸗": "-", "ꝛ": "r", "’": "'", "—": "-", "–": "-"}
BORDER = 16  # pixels


def modern(text: str) -> str:
    """The same text with today's letters."""
    for vowel, umlaut in zip("aouAOU", "äöüÄÖÜ"):
        text = text.replace(vowel + "\u0364", umlaut)
    text = unicodedata.normalize("NFC", text)
    return "".join(MODERN.get(character, character) for character in text)


def read_lines(picture: Path, model: str, border: int) -> str:
    """What Tesseract reads in the picture of one line."""
    with Image.open(picture) as opened:
        image = ImageOps.expand(opened.convert("L"), border, 255)
    data = io.BytesIO()
    image.save(data, "png")
    command = ["tesseract", "-", "-", "--psm", "7", "-l", model]
    done = subprocess.run(
        command, input=data.getvalue(), capture_output=True, check=True, env={"OMP_THREAD_LIMIT": "1"}
    )
    return " ".join(done.stdout.decode().split())


def rates(hypotheses: list[str], references: list[str]) -> tuple[float, float]:
    """Character error rates in percent: of the texts as they are, and with today's letters."""
    both = []
    for change in (str, modern):
        scores = score_corpus([change(text) for text in hypotheses], [[change(text)] for text in references], ["cer"])
        both.append(scores["cer"].value)
    return both[0], both[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path, help="TSV with the columns `image`, relative to it, and `text`")
    parser.add_argument("--models", nargs="+", default=["frk", "Fraktur", "deu"], help="Tesseract's, as its -l takes")
    parser.add_argument("--model", help="ours: a folder that `hf-attn-seq2seq transcribe` reads")
    parser.add_argument("--limit", type=int, help="lines to read")
    parser.add_argument("--quick", action="store_true", help="3 lines by one model: a trial, not a measurement")
    options = parser.parse_args()
    if options.quick:
        options.limit, options.models = 3, options.models[:1]
    with options.table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[: options.limit]
    pictures = [options.table.parent / row["image"] for row in rows]
    references = [" ".join(row["text"].split()) for row in rows]
    characters = sum(map(len, references))
    print(f"{len(rows)} lines, {characters} characters\n")
    print("| system | CER | CER, today's letters | ms a line |\n|---|---|---|---|")
    for model in options.models:
        found = []
        for border in (0, BORDER):
            before = time.perf_counter()
            hypotheses = [read_lines(picture, model, border) for picture in pictures]
            seconds = time.perf_counter() - before
            found.append((*rates(hypotheses, references), seconds, border))
        raw, today, seconds, border = min(found, key=lambda each: each[1])
        name = f"Tesseract {model}" + (", white border" if border else "")
        print(f"| {name} | {raw:.2f} | {today:.2f} | {1000 * seconds / len(rows):.0f} |", flush=True)
    if options.model is not None:
        recognizer = load_recognizer(options.model)
        before = time.perf_counter()
        found_by_ours = list(transcribe(recognizer, map(str, pictures)))
        seconds = time.perf_counter() - before
        unread = [each.error for each in found_by_ours if each.error is not None]
        if unread:
            raise ValueError(unread[0])
        raw, today = rates([each.text for each in found_by_ours], references)
        print(f"| {options.model} | {raw:.2f} | {today:.2f} | {1000 * seconds / len(rows):.0f} |")


if __name__ == "__main__":
    main()
