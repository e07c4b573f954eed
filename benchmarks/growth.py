# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
How the time of one sentence grows with the length of its source, and with that of its translation.

    python benchmarks/growth.py

The models are those of `against_peers.py`, one thread each, one sentence at a time. Above: sources of 10 to 100
tokens, outputs of exactly 20; the time of a sentence relative to that with 10. Below: sources of 15, outputs of
exactly 10 to 160 tokens; the time of a token relative to that of outputs of 10, which is 1 if time is linear in
length, and below 1 where a fixed cost is shared. Ratios are medians over the rounds, with the lowest and the
highest.
"""

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the package, installed or not

from benchmarks.against_peers import OURS, PEERS
from benchmarks.peers.workload import GROWTH, SEARCHES, SOURCE_LENGTHS, TARGET_LENGTHS
from benchmarks.rounds import (
    Rates,
    Spread,
    Worker,
    add_environments,
    interpreter,
    machine,
    make_parser,
    measure_rates,
    ratio,
    read_options,
    table,
)


def rows(rates: Rates, side: str) -> list[list[str]]:
    """
    A row for each system and number of beams: milliseconds at the shortest length, and the ratios of the others to it.

    Args:
        side: "source", where the time of a sentence is compared, or "target", where that of a token is.
    """
    found = []
    for beams, cells in GROWTH.items():
        lengths = [cell for cell in cells if side in cell and cell in rates]
        for system in rates[lengths[0]] if lengths else ():
            shortest = rates[lengths[0]][system]
            tokens = SEARCHES[lengths[0]].target_length if side == "source" else 1
            # Outputs of all sources are equally long, so that rates of tokens compare sentences there, too.
            ratios = [str(ratio(shortest, rates[cell][system])) for cell in lengths[1:]]
            found.append([f"{system}, {beams} beams", f"{1000 * tokens / Spread.of(shortest).median:.2f} ms", *ratios])
    return found


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__, rounds=7, seconds=0.3)
    parser.add_argument(
        "--systems",
        nargs="+",
        default=OURS,
        choices=(*OURS, *PEERS),
        metavar="SYSTEM",
        help=", ".join((*OURS, *PEERS)),
    )
    parser.add_argument("--beams", type=int, nargs="+", default=[1, 5], choices=GROWTH, help="(default: 1 5)")
    add_environments(parser)
    return parser


def main() -> None:
    options = read_options(build_parser())
    try:
        pythons = {
            name: sys.executable if name in OURS else interpreter(name, options.environments)
            for name in options.systems
        }
    except ValueError as error:
        sys.exit(f"error: {error}")
    cells = [cell for beams in options.beams for cell in GROWTH[beams]]
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(name, python)) for name, python in pythons.items()]
        rates = measure_rates(workers, cells, options.rounds, options.seconds)
    print(f"{machine()}; one thread, one sentence at a time, {options.rounds} rounds in turns\n")
    sides = {"source": ("time of a sentence", SOURCE_LENGTHS), "target": ("time of a token", TARGET_LENGTHS)}
    for side, (title, (shortest, *longer)) in sides.items():
        print(table([title, f"{side} of {shortest}", *map(str, longer)], rows(rates, side)), end="\n\n")


if __name__ == "__main__":
    main()
