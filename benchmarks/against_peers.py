# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
How fast the package trains and translates beside JoeyNMT, fairseq and CTranslate2, each on one thread.

    python benchmarks/peers/install.py
    python benchmarks/against_peers.py

All have models of random weights and nearly equal size: recurrent ones with attention and input feeding (embeddings
256, encoder 256 in each direction, decoder 512), Transformers of 3 and 3 layers (width 256, feed-forward 1,024), a
vocabulary of 8,000 words a side, nothing tied, no dropout. Sources for translating have 15 tokens; outputs have
exactly 20, one for each step of the search. Sentences for training have 5 to 30 tokens, uniformly, and the sides of
a pair differ by 3 at most. A training step is forward, backward and Adam: on 64 pairs in random order, or on pairs
of similar length, as many as make 4,096 tokens on the longer side with its padding (short, middle and long ones in
turns).

A figure is a ratio of target tokens per CPU second, so above 1 the package is the faster one: the median over the
rounds of the ratio within a round, with the lowest and the highest. "Best" is the peer that is fastest in that
column. Memory is what training adds at its peak to the resident set that the process had with its model before
(gradients and the optimizer's state included), so below 1 the package needs less; "best" is the peer that needs
least. Linux only.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the package, installed or not

from benchmarks.peers.workload import DECODING, RANDOM, TRAINING
from benchmarks.rounds import (
    Rates,
    Spread,
    Worker,
    add_environments,
    best,
    interpreter,
    machine,
    make_parser,
    measure_rates,
    ratio,
    read_options,
    table,
)


OURS = ("ours", "ours-graph", "ours-graph-int8", "ours-transformer-int8")
RECURRENT_PEERS = ("joeynmt", "fairseq")
PEERS = (*RECURRENT_PEERS, "ctranslate2")
TRAINED = ("ours", *RECURRENT_PEERS)
# What is compared with what.
ROWS = (
    ("our GRU, PyTorch / best recurrent peer", "ours", RECURRENT_PEERS),
    ("our GRU, graph / best recurrent peer", "ours-graph", RECURRENT_PEERS),
    ("our GRU, graph int8 / best recurrent peer", "ours-graph-int8", RECURRENT_PEERS),
    ("our GRU, graph int8 / CTranslate2 int8", "ours-graph-int8", ("ctranslate2",)),
    ("our Transformer, graph int8 / CTranslate2 int8", "ours-transformer-int8", ("ctranslate2",)),
)
MEMORY = "memory of training, our GRU / best recurrent peer"

Memory = dict[str, dict[str, float]]  # cell, system: megabytes


def measure_memory(workers: Sequence[Worker], cells: Sequence[str]) -> Memory:
    return {cell: {worker.name: worker.ask("memory", cell=cell)["above"] for worker in workers} for cell in cells}


def ratios(rates: Rates, memory: Memory) -> list[list[str]]:
    """The table of ratios, a row for each of `ROWS` that was measured and one for the memory."""
    rows = []
    for title, ours, peers in ROWS:
        row = [title]
        for cell in rates:
            there = [peer for peer in peers if peer in rates[cell]]
            if ours in rates[cell] and there:
                row.append(str(ratio(rates[cell][ours], rates[cell][best(rates[cell], there)])))
            else:
                row.append("")
        rows.append(row)
    row = [MEMORY]
    for cell in rates:
        found = memory.get(cell, {})
        peers = [found[peer] for peer in RECURRENT_PEERS if peer in found]
        row.append(f"{found['ours'] / min(peers):.2f}" if "ours" in found and peers else "")
    return [row for row in [*rows, row] if any(row[1:])]


def figures(rates: Rates, memory: Memory) -> list[list[str]]:
    """The table of tokens per CPU second and megabytes, a row for each system."""
    systems = [name for name in (*OURS, *PEERS) if any(name in found for found in rates.values())]
    rows = [
        [name, *(f"{Spread.of(found[name]).median:,.0f}" if name in found else "" for found in rates.values())]
        for name in systems
    ]
    for name in systems:
        megabytes = [f"{memory[cell][name]:,.0f} MB" if name in memory.get(cell, {}) else "" for cell in rates]
        if any(megabytes):
            rows.append([f"{name}, memory", *megabytes])
    return rows


def report(descriptions: Mapping[str, dict], rates: Rates, memory: Memory, about: str) -> str:
    """All that is printed."""
    versions = {name: number for found in descriptions.values() for name, number in found["versions"].items()}
    lines = [
        f"{machine()}; {about}",
        ", ".join(f"{name} {number}" for name, number in versions.items()),
        "parameters: " + ", ".join(f"{name} {found['parameters']:,}" for name, found in descriptions.items()),
        "",
        table(["", *rates], ratios(rates, memory)),
        "",
        "Target tokens per CPU second (medians), and memory:",
        "",
        table(["", *rates], figures(rates, memory)),
    ]
    return "\n".join(lines)


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    parser.add_argument("--only", choices=("train", "decode"), help="only these columns")
    parser.add_argument(
        "--without", nargs="+", default=[], choices=(*OURS, *PEERS), metavar="SYSTEM", help=", ".join((*OURS, *PEERS))
    )
    add_environments(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was measured in each round, too")
    return parser


def main() -> None:
    options = read_options(build_parser())
    names = [name for name in (*OURS, *PEERS) if name not in options.without]
    if options.only == "train":
        names = [name for name in names if name in TRAINED]
    try:
        pythons = {name: sys.executable if name in OURS else interpreter(name, options.environments) for name in names}
    except ValueError as error:
        sys.exit(f"error: {error}")
    rates: Rates = {}
    memory: Memory = {}
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(name, python)) for name, python in pythons.items()]
        if options.only != "decode":
            trained = [worker for worker in workers if worker.name in TRAINED]
            memory = measure_memory(trained, [RANDOM] if options.quick else TRAINING)  # before anything is trained
            rates.update(measure_rates(trained, TRAINING, options.rounds, options.seconds))
        if options.only != "train":
            rates.update(measure_rates(workers, list(DECODING), options.rounds, options.seconds))
        descriptions = {worker.name: worker.description for worker in workers}
    print(report(descriptions, rates, memory, f"one thread, {options.rounds} rounds in turns"))
    if options.json:
        options.json.write_text(json.dumps({"systems": descriptions, "rates": rates, "memory": memory}, indent=1))


if __name__ == "__main__":
    main()
