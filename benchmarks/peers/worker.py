# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
One system in a process of its own, on one thread: it reads orders from standard input, one line of JSON each, and
answers in the same way.

`benchmarks/rounds.py` starts it with the interpreter of the system's environment and lets one work at a time.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

from benchmarks.peers.workload import SEARCHES, Decoding, Pair, training_batches
from benchmarks.rounds import added_memory


Run = Callable[[], int]  # does the work once; returns the number of tokens, or of what else is counted


class System(Protocol):
    """What is measured. Making one builds its model, with random weights of a fixed seed."""

    versions: dict[str, str]  # of the libraries that do the work
    parameters: int

    def decode(self, cell: Decoding) -> Run:
        """A search for the cell's sentences; its tokens are those of one hypothesis a sentence."""

    def train(self, pairs: list[Pair]) -> Run:
        """A step on the batch (forward, backward, optimizer); its tokens are the labels."""


# The module and the class of each.
SYSTEMS = {
    "ours": ("ours", "Torch"),
    "ours-plain": ("ours", "TorchPlain"),
    "ours-graph": ("ours", "Graph"),
    "ours-graph-int8": ("ours", "GraphInt8"),
    "ours-transformer-int8": ("ours", "TransformerGraphInt8"),
    "packaged": ("packaged", "Packaged"),
    "packaged-plain": ("packaged", "PackagedPlain"),
    "packaged-graph": ("packaged", "PackagedGraph"),
    "packaged-graph-int8": ("packaged", "PackagedGraphInt8"),
    "joeynmt": ("joey", "JoeyNMT"),
    "fairseq": ("fair", "Fairseq"),
    "ctranslate2": ("ctranslate", "CTranslate2"),
}


def make(name: str, *arguments: Any) -> System:
    module, kind = SYSTEMS[name]
    return getattr(importlib.import_module(f"benchmarks.peers.{module}"), kind)(*arguments)


class Worker:
    """Carries out orders."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.runs: dict[str, list[Run]] = {}

    def runs_of(self, cell: str) -> list[Run]:
        """The work of a cell: of each of its batches."""
        if cell not in self.runs:
            if cell in SEARCHES:
                self.runs[cell] = [self.system.decode(SEARCHES[cell])]
            else:
                self.runs[cell] = [self.system.train(pairs) for pairs in training_batches(cell)]
        return self.runs[cell]

    def describe(self) -> dict[str, Any]:
        return {"versions": self.system.versions, "parameters": self.system.parameters}

    def measure(self, cell: str, turn: int, seconds: float) -> dict[str, float]:
        """Repeat the cell's work for that many CPU seconds: `runs`, `tokens`, CPU `seconds` of all threads."""
        batches = self.runs_of(cell)
        run = batches[turn % len(batches)]
        runs, tokens, start = 0, 0, time.process_time()
        while True:
            tokens += run()
            runs += 1
            taken = time.process_time() - start
            if taken >= seconds:
                return {"runs": runs, "tokens": tokens, "seconds": taken}

    def translations(self, cell: str) -> list[str]:
        """Of a system that translates real sentences."""
        return self.system.translations(SEARCHES[cell])  # type: ignore[attr-defined]

    def memory(self, cell: str) -> dict[str, float]:
        """As [`added_memory`], of the cell's batches."""
        return added_memory(self.runs_of(cell))


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print too
    worker = Worker(make(*sys.argv[1:]))
    print(json.dumps(worker.describe()), file=answers, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(getattr(worker, order.pop("do"))(**order)), file=answers, flush=True)


if __name__ == "__main__":
    main()
