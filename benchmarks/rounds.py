# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Measuring systems in turns, so that a busy machine slows all of them alike, and summing up what was measured.

Each system is a worker (`benchmarks/peers/worker.py`) in its own environment; only one works at a time. Standard
library only: what measures should be small beside what is measured.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple


ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENTS = ROOT / ".cache/peers"
ONE_THREAD = {
    f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "RAYON", "VECLIB_MAXIMUM")
}


def make_parser(description: str | None, rounds: int = 9, seconds: float = 0.4) -> argparse.ArgumentParser:
    """The options that all measurements in turns have; their defaults as given."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds, help="(default: %(default)s)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=seconds,
        help="CPU seconds of a measurement at least (default: %(default)s)",
    )
    parser.add_argument("--quick", action="store_true", help="2 short rounds: a trial, not a measurement")
    return parser


def add_before(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="a checkout of an earlier version")


def add_environments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--environments", type=Path, default=ENVIRONMENTS, help="where install.py made them (default: %(default)s)"
    )


def read_options(parser: argparse.ArgumentParser, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of a parser of [`make_parser`]; one that cannot be used ends the program with a sentence."""
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.seconds = 2, 0.05
    before = getattr(options, "before", None)
    if before and not (before / "hf_attn_seq2seq").is_dir():
        sys.exit(f"error: '{before}' is not a checkout of this repository: name one after --before.")
    return options


class Spread(NamedTuple):
    """Of a figure over the rounds."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        values = list(values)
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.lowest:.2f} to {self.highest:.2f})"


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Of each round's figure by that of the other in the same round."""
    return Spread.of(one / other for one, other in zip(ours, theirs, strict=True))


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def machine() -> str:
    """What figures were measured on, and when."""
    return f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}"


def environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """Environment variables of what is measured: one thread, nothing from the network."""
    return {**os.environ, **ONE_THREAD, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", **(changes or {})}


def interpreter(peer: str, environments: Path) -> str:
    """
    The Python of a peer's environment.

    Raises:
        ValueError: It has not been made.
    """
    python = environments / peer / "bin" / "python"
    if not python.exists():
        raise ValueError(
            f"There is no environment of {peer} in '{environments}': make it with python benchmarks/peers/install.py "
            f"{peer}, or leave it out with --without {peer}."
        )
    return str(python)


class Worker:
    """A system in a process of its own."""

    def __init__(self, system: str, python: str, root: Path = ROOT, name: str | None = None) -> None:
        """
        Args:
            system: One of `SYSTEMS` in `benchmarks/peers/worker.py`.
            python: The interpreter of its environment.
            root: The checkout whose package it imports.
            name: What it is called; None: as the system.

        Raises:
            RuntimeError: It could not start; the message has its last words.
        """
        self.name = name or system
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [python, "-m", "benchmarks.peers.worker", system],
            cwd=root,
            env=environment({"PYTHONPATH": f"{root}{os.pathsep}{ROOT}"}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        self.description = self._answer()

    def ask(self, do: str, **order: Any) -> Any:
        """Carry out an order, a method of the worker, and wait for its result."""
        print(json.dumps({"do": do, **order}), file=self.process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.errors.seek(0)
            raise RuntimeError(f"The worker of {self.name} ended:\n{self.errors.read()[-2000:]}")
        return json.loads(line)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            stream.close()  # type: ignore[union-attr]

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def added_memory(runs: Sequence[Callable[[], object]]) -> dict[str, float]:
    """
    Megabytes by which the runs raise the peak of the resident set, `above`, over what it was `before`, in a copy of
    the process, so that nothing of them is left. Linux only.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
        before = _resident("VmRSS")
        for run in runs:
            run()
        os.write(writing, json.dumps({"before": before, "above": _resident("VmHWM") - before}).encode())
        os._exit(0)
    os.close(writing)
    with open(reading) as answer:
        found = answer.read()
    os.waitpid(child, 0)
    return json.loads(found)


def _resident(field: str) -> float:
    """Of this process, as Linux counts it; getrusage's peak would be that of the process that started it."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


Rates = dict[str, dict[str, list[float]]]  # cell, system: tokens per CPU second in each round


def measure_rates(workers: Sequence[Worker], cells: Sequence[str], rounds: int, seconds: float) -> Rates:
    """
    Tokens (or what else the workers count) per CPU second, after a round that is not kept; who goes first changes from
    round to round.

    Args:
        workers: All of them can do all cells.
        cells: Of `DECODING` or `TRAINING`.
        rounds: That count.
        seconds: CPU seconds that each measurement takes at least.

    Raises:
        ValueError: Two workers differ in the tokens of the same work.
    """
    rates: Rates = {cell: {worker.name: [] for worker in workers} for cell in cells}
    for turn in range(-1, rounds):
        for cell in cells:
            start = turn % len(workers) if workers else 0
            tokens: dict[float, str] = {}
            for worker in (*workers[start:], *workers[:start]):
                found = worker.ask("measure", cell=cell, turn=max(turn, 0), seconds=seconds if turn >= 0 else 0.0)
                tokens[found["tokens"] / found["runs"]] = worker.name
                if turn >= 0:
                    rates[cell][worker.name].append(found["tokens"] / found["seconds"])
            if len(tokens) > 1:
                raise ValueError(f"Not the same work in '{cell}': {tokens} tokens.")
    return rates


Turns = dict[str, list[float]]  # of each that took turns: its figure in each round


def in_turns(runs: Mapping[str, Callable[[], object]], tokens: int, rounds: int, seconds: float = 0.0) -> Turns:
    """
    Tokens per CPU second of each model's run, after a round that is not kept.

    Args:
        tokens: Of a run.
        seconds: Of CPU time that each measurement takes at least.
    """
    rates: Turns = {name: [] for name in runs}
    for turn in range(-1, rounds):
        for name in runs if turn % 2 else reversed(runs):
            start, count = time.process_time(), 0
            while not count or (turn >= 0 and time.process_time() - start < seconds):
                runs[name]()
                count += 1
            if turn >= 0:
                rates[name].append(count * tokens / (time.process_time() - start))
    return rates


def best(rates: Mapping[str, Sequence[float]], systems: Iterable[str]) -> str:
    """The system with the highest median rate."""
    return max(systems, key=lambda system: statistics.median(rates[system]))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, aligned."""
    lines = [list(header), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines
    )
