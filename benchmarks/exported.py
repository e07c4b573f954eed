# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
How fast a model translates in PyTorch, by ONNX Runtime, and there with weights of 8 bits.

    OMP_NUM_THREADS=1 python benchmarks/exported.py

All three translate the same sentences in one process, turn by turn, so that a busy machine slows all of them. The
ratios are medians over the rounds of PyTorch's time by the other's: above 1, the export is the faster one.
"""

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the package, installed or not

from hf_attn_seq2seq.decoding.loading import DEFAULT_MODEL, Translator, load
from hf_attn_seq2seq.decoding.text import translate
from hf_attn_seq2seq.export import export


SENTENCES = """The cat is on the mat.
Where do you live?
I do not know what to say.
She has been reading a book all day.
It is raining.
My brother is taller than me.
We went to the beach yesterday.
Could you open the window, please?
He is always late.
This is the best day of my life.
I would like a cup of coffee.
They are waiting for the bus.
What time does the train leave?
Nobody knows the answer to that question.
You should have told me the truth.
Tom is afraid of dogs.""".splitlines()


class Setting(NamedTuple):
    """How the sentences are translated."""

    name: str
    batch_size: int
    num_beams: int


SETTINGS = (
    Setting("greedy, one by one", 1, 1),
    Setting("greedy, batches of 32", 32, 1),
    Setting("5 beams, one by one", 1, 5),
    Setting("5 beams, batches of 32", 32, 5),
)


def time_in_turns(translators: dict[str, Translator], setting: Setting, rounds: int) -> dict[str, list[float]]:
    """Seconds of each round for each translator; who goes first changes from round to round."""
    texts = SENTENCES * (1 if setting.batch_size == 1 else 2)
    seconds: dict[str, list[float]] = {name: [] for name in translators}
    names = list(translators)
    options: dict[str, Any] = {"num_beams": setting.num_beams, "batch_size": setting.batch_size, "max_new_tokens": 64}
    for turn in range(-1, rounds):  # one round to warm up
        for name in names[turn % 3 :] + names[: turn % 3]:
            start = time.perf_counter()
            translate(*translators[name], texts, **options)
            if turn >= 0:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def median_ratio(slow: Sequence[float], fast: Sequence[float]) -> float:
    return statistics.median(one / other for one, other in zip(slow, fast))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default=DEFAULT_MODEL, help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="(default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="(default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        translators = {"pytorch": load(options.model, "cpu", "float32")}
        for kind in ("onnx", "int8"):
            made = export(options.model, kind, Path(folder) / kind, SENTENCES)
            print(
                f"{kind}: {made.bytes / 1e6:.1f} MB, {made.difference.equal_greedy_translations} of "
                f"{made.difference.compared} greedy translations as in PyTorch"
            )
            translators[kind] = load(made.folder)
        print(f"{options.model}, {options.threads} of {os.cpu_count()} cores, {platform.machine()}")
        print(f"{'':24}{'PyTorch ms/sentence':>22}{'ONNX x':>9}{'int8 x':>9}")
        for setting in SETTINGS:
            seconds = time_in_turns(translators, setting, options.rounds)
            count = len(SENTENCES) * (1 if setting.batch_size == 1 else 2)
            ratios = "".join(f"{median_ratio(seconds['pytorch'], seconds[kind]):9.2f}" for kind in ("onnx", "int8"))
            print(f"{setting.name:24}{1e3 * statistics.median(seconds['pytorch']) / count:22.1f}{ratios}", flush=True)


if __name__ == "__main__":
    main()
