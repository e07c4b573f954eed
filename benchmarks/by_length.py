# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
How translations get worse with the length of the source: of models with and without attention.

    python benchmarks/by_length.py FOLDER/valid.en-fr.tsv.gz en-fr en-fr-small en-fr-small-fixed --json by_length.json

Sentence pairs of a TSV file, each source with its first translation, are shuffled (seed 0) and joined, one to eight to
a text, 250 texts of each number. Each model translates every text as a whole, with five beams; `evaluate` scores them.
"""

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the package, installed or not

from benchmarks.rounds import table
from hf_attn_seq2seq.data.readers import file_sha256, read_lines
from hf_attn_seq2seq.training.evaluate import main as evaluate


JOINED = range(1, 9)  # sentences to a text
TEXTS = 250  # of each number of sentences
BOUNDS = (10, 20, 30, 40, 50)  # words of the source
Pair = tuple[str, str]


def read_pairs(path: Path) -> list[Pair]:
    """Each source with its first translation."""
    pairs: dict[str, str] = {}
    for line in read_lines(path):
        source, target = line.rstrip("\n").split("\t")[:2]
        pairs.setdefault(source, target)
    return list(pairs.items())


def joined(pairs: Sequence[Pair], texts: int = TEXTS) -> list[Pair]:
    """Texts of one to eight sentences, so many of each, in an order of their own."""
    pairs = list(pairs)
    random.Random(0).shuffle(pairs)
    return [
        (" ".join(source for source, _ in part), " ".join(target for _, target in part))
        for count in JOINED
        for start in range(0, min(len(pairs) - count + 1, texts * count), count)
        for part in [pairs[start : start + count]]
    ]


def measure(models: Sequence[str], texts: Sequence[Pair]) -> dict[str, Any]:
    """What `evaluate` finds of each model."""
    found = {}
    with tempfile.TemporaryDirectory() as temporary:
        source, reference, output, results = (Path(temporary) / name for name in ("joined.en", "joined.fr", "o", "r"))
        for path, side in ((source, 0), (reference, 1)):
            path.write_text("".join(f"{text[side]}\n" for text in texts), "utf-8")
        for model in models:
            files = ["--source", source, "--reference", reference, "--output", output, "--json", results]
            fields = ["evaluation.num_beams=5", "evaluation.metrics=[bleu,chrf]"]
            fields += [f"evaluation.length_buckets={list(BOUNDS)}"]
            evaluate([model, *map(str, files), *fields])
            found[model] = json.loads(results.read_text("utf-8"))
    return found


def summary(found: dict[str, Any], path: Path) -> dict[str, Any]:
    """The figures, and how they were found."""
    first = next(iter(found.values()))
    scored = {model: next(iter(results["sets"].values())) for model, results in found.items()}
    return {
        "unit": "words of the source",
        "texts": f"one to eight validation sentences joined, shuffled with seed 0 (benchmarks/{Path(__file__).name})",
        "pairs": {"file": path.name, "sha256": file_sha256(path)},
        "num_beams": 5,
        "signatures": {name: score["signature"] for name, score in next(iter(scored.values()))["scores"].items()},
        "date": first["date"],
        "versions": first["versions"],
        "machine": first["machine"],
        "models": {model: of["by_source_length"] for model, of in scored.items()},
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path, help="a TSV file of sentence pairs, which no model was trained on")
    parser.add_argument("models", nargs="+", help="folders, or names of packaged models")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--quick", action="store_true", help="try it out, with five texts of each number of sentences")
    options = parser.parse_args(arguments)
    texts = joined(read_pairs(options.pairs), 5 if options.quick else TEXTS)
    told = summary(measure(options.models, texts), options.pairs)
    buckets = {words: bucket["sentences"] for words, bucket in told["models"][options.models[0]].items()}
    rows = [
        [words, str(count), *(f"{told['models'][model][words]['scores']['bleu']:.1f}" for model in options.models)]
        for words, count in buckets.items()
    ]
    print(table(["words", "texts", *options.models], rows))
    if options.json:
        options.json.write_text(json.dumps(told, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
