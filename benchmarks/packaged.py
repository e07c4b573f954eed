# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
How fast en-fr-small, a packaged model, translates real sentences: by `generate()`, its graph, and that in 8 bits.

    python benchmarks/packaged.py
    python benchmarks/packaged.py --before ../a-checkout-of-an-earlier-version

16 short English sentences, one by one or in a batch of 32 that has each twice, greedily or with five beams, until they
end; one thread each. Figures are ratios of CPU time by that of `generate()`, of the earlier version if there is one:
medians over the rounds, with the lowest and the highest; above 1, the other is faster. The translations of each are
compared with those of the first.
"""

import argparse
import statistics
import sys
from collections.abc import Mapping
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


SYSTEMS = {"generate()": "packaged", "graph": "packaged-graph", "graph, int8": "packaged-graph-int8"}
BEFORE = "generate() before"


def rows(rates: Rates, equal: Mapping[str, Mapping[str, str]]) -> list[list[str]]:
    """
    A row for each search: milliseconds a sentence of the first system, then each other's ratio and equal translations.

    Args:
        equal: For each search and system, such as "16 of 16".
    """
    found = []
    for cell, by_system in rates.items():
        reference, *others = by_system
        row = [cell, f"{1000 / statistics.median(by_system[reference]):.2f}"]
        row += [f"{ratio(by_system[name], by_system[reference])}; {equal[cell][name]}" for name in others]
        found.append(row)
    return found


def count_equal(workers: Mapping[str, Worker]) -> dict[str, dict[str, str]]:
    """How many translations of each system are those of the first, for each search."""
    equal: dict[str, dict[str, str]] = {}
    for cell in DECODING:
        translations = {name: worker.ask("translations", cell=cell) for name, worker in workers.items()}
        first = next(iter(translations.values()))
        equal[cell] = {
            name: f"{sum(one == other for one, other in zip(texts, first))} of {len(first)}"
            for name, texts in translations.items()
        }
    return equal


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    add_before(parser)
    return parser


def main() -> None:
    options = read_options(build_parser())
    with ExitStack() as stack:
        workers = {}
        if options.before:
            workers[BEFORE] = stack.enter_context(Worker("packaged", sys.executable, options.before.resolve(), BEFORE))
        for name, system in SYSTEMS.items():
            workers[name] = stack.enter_context(Worker(system, sys.executable, ROOT, name))
        equal = count_equal(workers)
        rates = measure_rates(list(workers.values()), list(DECODING), options.rounds, options.seconds)
        versions = list(workers.values())[-1].description["versions"]
    print(f"{machine()}; one thread, {options.rounds} rounds in turns")
    print(", ".join(f"{name} {number}" for name, number in versions.items()), end="\n\n")
    reference, *others = workers
    print(table(["", f"{reference}, ms a sentence", *(f"{name}; equal" for name in others)], rows(rates, equal)))


if __name__ == "__main__":
    main()
