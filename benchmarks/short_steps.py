# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
How fast `generate()` is on a recurrent decoder: by its short way, by the modules' own way, and in an earlier version.

    python benchmarks/short_steps.py
    python benchmarks/short_steps.py --before ../a-checkout-of-an-earlier-version

The recurrent model of `against_peers.py` on sentences of exactly 15 tokens and outputs of exactly 20, and the packaged
model on real sentences, as in `packaged.py`; one thread each. Figures are ratios of CPU time by that of the short way:
medians over the rounds, with the lowest and the highest; above 1, the short way is faster.
"""

import argparse
import statistics
import sys
from contextlib import ExitStack
from pathlib import Path


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the package, installed or not

from benchmarks.peers.workload import DECODING
from benchmarks.rounds import (
    ROOT,
    Rates,
    Worker,
    add_before,
    machine,
    make_parser,
    measure_rates,
    ratio,
    read_options,
    table,
)


MODELS = {"recurrent, random weights": "ours", "packaged": "packaged"}
SHORT, PLAIN, BEFORE = "short way", "modules' own way", "before"


def rows(model: str, rates: Rates) -> list[list[str]]:
    """A row for each search: milliseconds a sentence of the short way, and the others' ratios to it."""
    found = []
    for cell, by_system in rates.items():
        # Rates of tokens for the one model, of sentences for the other.
        tokens = DECODING[cell].target_length if MODELS[model] == "ours" else 1
        short = by_system[SHORT]
        row = [f"{model}; {cell}", f"{1000 * tokens / statistics.median(short):.2f}"]
        found.append(row + [str(ratio(short, other)) for name, other in by_system.items() if name != SHORT])
    return found


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    add_before(parser)
    return parser


def main() -> None:
    options = read_options(build_parser())
    found: list[list[str]] = []
    for model, system in MODELS.items():
        with ExitStack() as stack:
            workers = [
                stack.enter_context(Worker(system, sys.executable, ROOT, SHORT)),
                stack.enter_context(Worker(f"{system}-plain", sys.executable, ROOT, PLAIN)),
            ]
            if options.before:
                workers.append(stack.enter_context(Worker(system, sys.executable, options.before.resolve(), BEFORE)))
            found += rows(model, measure_rates(workers, list(DECODING), options.rounds, options.seconds))
            versions = workers[0].description["versions"]
    print(f"{machine()}; one thread, {options.rounds} rounds in turns")
    print(", ".join(f"{name} {number}" for name, number in versions.items()), end="\n\n")
    others = [PLAIN, BEFORE] if options.before else [PLAIN]
    print(table(["", f"{SHORT}, ms a sentence", *others], found))


if __name__ == "__main__":
    main()
