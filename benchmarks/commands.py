# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
What the commands cost from start to end: CPU seconds of the whole process, seconds to the first line, peak memory.

    python benchmarks/commands.py
    python benchmarks/commands.py --before ../a-checkout-of-an-earlier-version

The packaged model, as `translate` runs it, by each of its engines and exported in 8 bits, beside a checkout of an
earlier version and beside a short script on CTranslate2's Python with a Transformer in 8 bits (3 and 3 layers of
width 256, random weights, our tokenizer, five beams, outputs as long as ours are on average; see
`peers/ctranslate_command.py`). The lines are English sentences of the built-in grammar (seed 0), translated with
five beams. Each command runs on one thread, and all take turns. "import" compares `import hf_attn_seq2seq` with
importing PyTorch and what the package must have of Transformers. Figures are medians over the rounds. Linux only.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the package, installed or not

from benchmarks.rounds import ENVIRONMENTS, ROOT, Spread, environment, interpreter, machine, ratio, table
from hf_attn_seq2seq_cli import COMMANDS


SENTENCE = "The cat is on the mat."
MODEL = "en-fr-small"
TOKENIZER = ROOT / "hf_attn_seq2seq" / "packaged" / MODEL / "tokenizer.json"
BEAMS = 5
LIBRARIES = "import torch; from transformers import GenerationMixin, PreTrainedConfig, PreTrainedModel"
LINES = "from hf_attn_seq2seq.data.grammar import generate_corpus\nfor pair in generate_corpus(seed=0, train_size=0, \
validation_size=0, test_size={0}, compositional_size=0).test: print(pair.source)"


class Command(NamedTuple):
    """A program to run."""

    arguments: list[str]
    root: Path = ROOT  # whose package it imports
    lines: Path | None = None  # standard input


class System(NamedTuple):
    """One way to run our commands."""

    root: Path = ROOT  # whose package it runs
    model: str = MODEL
    options: tuple[str, ...] = ()  # of `translate`

    def command(self, *arguments: str, lines: Path | None = None) -> Command:
        """The command `hf-attn-seq2seq` of the package there."""
        run = [sys.executable, "-c", "from hf_attn_seq2seq_cli import main; main()"]
        return Command([*run, *arguments], self.root, lines)

    def translate(self, *arguments: str, lines: Path | None = None) -> Command:
        return self.command("translate", self.model, *arguments, *self.options, lines=lines)


class Cost(NamedTuple):
    """Of one run."""

    seconds: float  # CPU, of all threads and of the processes it waited for
    first_line: float | None  # wall-clock seconds until the first line is there
    first_line_cpu: float | None  # CPU seconds until then
    peak: float  # megabytes


class Failure(Exception):
    """A command ended with an error."""


def run(command: Command) -> tuple[Cost, str]:
    """
    Run a command; returns what it cost and what it printed.

    Raises:
        Failure: It ended with an error; the message has its last words.
    """
    with tempfile.TemporaryFile() as errors, open(command.lines or os.devnull, "rb") as lines:
        start = time.perf_counter()
        process = subprocess.Popen(
            command.arguments,
            cwd=command.root,
            env=environment({"PYTHONPATH": str(command.root)}),
            stdin=lines,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        assert process.stdout is not None
        first = process.stdout.readline()
        first_line = time.perf_counter() - start if first else None
        first_line_cpu = cpu_seconds(process.pid) if first else None
        printed = first + process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stdout.close()
        if process.returncode:
            errors.seek(0)
            raise Failure(f"{' '.join(command.arguments)} failed:\n{errors.read()[-2000:].decode(errors='replace')}")
    cost = Cost(used.ru_utime + used.ru_stime, first_line, first_line_cpu, used.ru_maxrss / 1024)
    return cost, printed.decode(errors="replace")


def cpu_seconds(process: int) -> float | None:
    """CPU seconds that a running process has used so far; None if it has ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def tasks(
    systems: Mapping[str, System],
    files: Sequence[Path],
    ctranslate2: list[str] | None,
    demo: Path | None,
) -> dict[str, dict[str, Command]]:
    """
    The commands of each task by system.

    Args:
        systems: Ours.
        files: Lines to translate.
        ctranslate2: The command of CTranslate2's script, or None.
        demo: A folder for what `make demo` writes, or None to leave it out.
    """
    found: dict[str, dict[str, Command]] = {}
    found["one sentence"] = {name: system.translate(SENTENCE) for name, system in systems.items()}
    for path in files:
        with path.open() as stream:
            count = sum(1 for _ in stream)
        found[f"{count:,} lines, {BEAMS} beams"] = {
            name: system.translate("--num-beams", str(BEAMS), lines=path) for name, system in systems.items()
        }
    if ctranslate2 is not None:
        one = files[0].with_name("sentence.txt")
        one.write_text(f"{SENTENCE}\n")
        for commands, path in zip(found.values(), (one, *files)):
            commands["ctranslate2"] = Command(ctranslate2, lines=path)
    whole = {name: system for name, system in systems.items() if system == System(system.root)}
    for command in COMMANDS:  # of the other versions one is enough
        there = whole.items() if command == "translate" else [("ours", whole["ours"])]
        found[f"{command} --help"] = {name: system.command(command, "--help") for name, system in there}
    found["import"] = {
        **{
            name: Command([sys.executable, "-c", "import hf_attn_seq2seq"], system.root)
            for name, system in whole.items()
        },
        "libraries": Command([sys.executable, "-c", LIBRARIES]),
    }
    if demo is not None:
        found["make demo"] = {
            name: Command([sys.executable, "training/demo.py", "--output", str(demo / name)], system.root)
            for name, system in whole.items()
        }
    return found


def measure(found: Mapping[str, Mapping[str, Command]], rounds: int) -> dict[str, dict[str, list[Cost]]]:
    """Run all commands in turns, once to warm the system's caches and then `rounds` times."""
    costs: dict[str, dict[str, list[Cost]]] = {task: {name: [] for name in found[task]} for task in found}
    for turn in range(-1, rounds):
        for task, commands in found.items():
            names = list(commands)
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                if turn >= 0 or task != "make demo":
                    cost, _ = run(commands[name])
                    if turn >= 0:
                        costs[task][name].append(cost)
    return costs


def rows(costs: Mapping[str, Mapping[str, Sequence[Cost]]]) -> list[list[str]]:
    """A row for each task and system: medians, and the ratio of CPU seconds to those of the first system."""

    def middle(values: Sequence[float | None], form: str) -> str:
        there = [value for value in values if value is not None]
        return format(statistics.median(there), form) if there else ""

    found = []
    for task, by_system in costs.items():
        seconds = {name: [cost.seconds for cost in each] for name, each in by_system.items()}
        reference = next(iter(seconds))
        for name, each in by_system.items():
            found.append(
                [
                    task,
                    name,
                    f"{Spread.of(seconds[name]).median:.2f}",
                    "" if name == reference else str(ratio(seconds[name], seconds[reference])),
                    middle([cost.first_line for cost in each], ".2f"),
                    middle([cost.first_line_cpu for cost in each], ".2f"),
                    middle([cost.peak for cost in each], ",.0f"),
                ]
            )
    return found


def engines() -> list[str]:
    """What `translate --engine` can choose."""
    found = re.search(r"--engine \{([\w,]+)\}", run(System().command("translate", "--help"))[1])
    return [] if found is None else [name for name in found[1].split(",") if name != "auto"]


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument(
        "--lines", type=int, nargs="+", default=[200, 1000], metavar="N", help="lengths of files (default: 200 1000)"
    )
    parser.add_argument("--quick", action="store_true", help="1 round, 20 and 100 lines: a trial, not a measurement")
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="a checkout of an earlier version")
    parser.add_argument("--demo", action="store_true", help="run make demo's script, too (minutes each time)")
    parser.add_argument("--without-ctranslate2", action="store_true")
    parser.add_argument(
        "--environments", type=Path, default=ENVIRONMENTS, help="where install.py made them (default: %(default)s)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was measured in each round, too")
    return parser


def main() -> None:
    options = build_parser().parse_args()
    if options.quick:
        options.rounds, options.lines = 1, [20, 100]
    try:
        measure_all(options)
    except (ValueError, Failure) as error:
        sys.exit(f"error: {error}")


def measure_all(options: argparse.Namespace) -> None:
    if options.before and not (options.before / "hf_attn_seq2seq_cli.py").is_file():
        raise ValueError(f"'{options.before}' is not a checkout of this repository: name one after --before.")
    systems = {"ours": System()}
    systems.update({f"ours, {name}": System(options=("--engine", name)) for name in engines()})
    about = f"one thread, {options.rounds} rounds in turns; packaged model {MODEL}"
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        systems["ours, int8"] = System(model=str(folder / "int8"))
        run(System().command("export", MODEL, "--to", "int8", "--output", systems["ours, int8"].model))
        if options.before:
            systems["before"] = System(options.before.resolve())
        files = []
        for count in options.lines:
            files.append(folder / f"{count}.txt")
            files[-1].write_text(run(Command([sys.executable, "-c", LINES.format(count)]))[1])
        ctranslate2 = None
        if not options.without_ctranslate2:
            script = [interpreter("ctranslate2", options.environments), "-m", "benchmarks.peers.ctranslate_command"]
            model = str(folder / "ctranslate2")
            _, parameters = run(Command([*script, "write", model, str(TOKENIZER)]))
            translated = folder / "translated.txt"
            translated.write_text(run(System().translate("--num-beams", str(BEAMS), lines=files[-1]))[1])
            tokens = run(Command([*script, "count", str(TOKENIZER)], lines=translated))[1].strip()
            ctranslate2 = [*script, "translate", model, str(TOKENIZER), tokens]
            about += f"; CTranslate2's model: {int(parameters):,} parameters, {tokens} tokens a line"
        costs = measure(tasks(systems, files, ctranslate2, folder if options.demo else None), options.rounds)
    print(f"{machine()}; {about}\n")
    header = ["", "", "CPU s", "/ ours", "first line s", "first line CPU s", "peak MB"]
    print(table(header, rows(costs)))
    if options.json:
        content: dict[str, Any] = {
            task: {name: [cost._asdict() for cost in each] for name, each in by_system.items()}
            for task, by_system in costs.items()
        }
        options.json.write_text(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
