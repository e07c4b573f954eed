# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Time and peak memory of preprocessing against the size of the corpus: random pairs, one process for each size.

Memory is what the process holds of its own (RssAnon in /proc), sampled: mapped files, which the system can drop, are
not counted. `before` is after the imports. Linux only.
"""

import argparse
import multiprocessing
import random
import tempfile
import threading
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from hf_attn_seq2seq.data.prepare import prepare_corpus
from hf_attn_seq2seq.data.settings import DataSettings


def write_corpus(path: Path, pairs: int) -> None:
    """Pairs of random words; 1 in 50 shares its source with the next, and 1 in 100 comes twice."""
    draw = random.Random(0)
    words = [f"w{number}" for number in range(5000)]
    with path.open("w") as stream:
        for number in range(pairs):
            source, target = (" ".join(draw.choices(words, k=draw.choice((2, 3, 8, 12)))) for _ in range(2))
            stream.write(f"{source}\t{target}\n")
            if number % 50 == 0:
                stream.write(f"{source}\tanother {target}\n")
            if number % 100 == 0:
                stream.write(f"{source}\t{target}\n")


def own_megabytes() -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


def measure(path: Path, results: "multiprocessing.Queue[tuple[float, float, float]]") -> None:
    before = peak = own_megabytes()

    def watch() -> None:
        nonlocal peak
        while True:
            peak = max(peak, own_megabytes())
            time.sleep(0.01)

    threading.Thread(target=watch, daemon=True).start()
    start = time.perf_counter()
    data = DataSettings(folder=path.parent, train={"file": path.name}, validation_size=1000, test_size=1000)
    prepare_corpus(data, path.with_suffix(""))
    results.put((time.perf_counter() - start, before, peak))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, nargs="+", default=[250_000, 500_000, 2_000_000])
    parser.add_argument("--quick", action="store_true", help="5,000 pairs: a trial, not a measurement")
    options = parser.parse_args()
    table = Table("pairs", "seconds", "before, MB", "peak, MB")
    with tempfile.TemporaryDirectory() as folder:
        for pairs in [5_000] if options.quick else options.pairs:
            path = Path(folder) / f"{pairs}.tsv"
            write_corpus(path, pairs)
            context = multiprocessing.get_context("spawn")
            results = context.Queue()
            process = context.Process(target=measure, args=(path, results))
            process.start()
            seconds, before, peak = results.get()
            process.join()
            table.add_row(f"{pairs:,}", f"{seconds:.1f}", f"{before:.0f}", f"{peak:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
