# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
What the recorder behind `trace()` costs: while nobody listens, and while a trace is made.

    python benchmarks/recorder.py --threads 1

Idle: a greedy translation of 20 tokens, with the model's calls of `record` and `active_recorder` as they are, and with
functions in their place that do nothing, in turns. The ratio is the median over the rounds: 1 is no cost. Then the
seconds from a sentence of 20 tokens to its trace, and to its page on disk.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the package, installed or not

from benchmarks.plain_loop import FAMILIES, family_config
from benchmarks.step import time_side_by_side
from hf_attn_seq2seq import (
    AttnSeq2SeqForConditionalGeneration,
    attention,
    modeling_attn_seq2seq,
    recurrent,
    transformer,
)
from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer
from hf_attn_seq2seq.explain import trace
from hf_attn_seq2seq.explain.page import save_page


WORDS = [f"word{number}" for number in range(2000)]
LENGTH = 20


@contextmanager
def without_recorder() -> Iterator[None]:
    """Within, the model's code calls functions that do nothing."""
    modules = (attention, modeling_attn_seq2seq, recurrent, transformer)
    kept = [
        {name: getattr(module, name) for name in ("record", "active_recorder") if hasattr(module, name)}
        for module in modules
    ]
    for module, names in zip(modules, kept):
        for name in names:
            setattr(module, name, lambda *_, **__: None)
    try:
        yield
    finally:
        for module, names in zip(modules, kept):
            for name, function in names.items():
                setattr(module, name, function)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--quick", action="store_true", help="2 rounds: a trial, not a measurement")
    options = parser.parse_args()
    if options.quick:
        options.rounds = 2
    torch.set_num_threads(options.threads)
    tokenizer = train_tokenizer([" ".join(WORDS)], kind="word", vocab_size=len(WORDS) + 10)
    text = " ".join(WORDS[: LENGTH - 1])
    print(f"hidden {options.hidden}, {options.threads} thread(s), {options.rounds} rounds, torch {torch.__version__}")
    for family in FAMILIES:
        torch.manual_seed(0)
        config = family_config(family, len(tokenizer), options.hidden, options.hidden)
        model = AttnSeq2SeqForConditionalGeneration(config).eval()
        inputs = tokenizer([text], return_tensors="pt")

        def translate(model: AttnSeq2SeqForConditionalGeneration = model, inputs: dict = inputs) -> None:
            model.generate(**inputs, min_new_tokens=LENGTH, max_new_tokens=LENGTH)

        def bare() -> None:
            with without_recorder():
                translate()

        timing = time_side_by_side(bare, translate, options.rounds)
        traces, pages = [], []
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(3):
                start = time.perf_counter()
                traced = trace(model, tokenizer, text, max_new_tokens=LENGTH)
                traces.append(time.perf_counter() - start)
                save_page(traced, Path(folder) / "page.html")
                pages.append(time.perf_counter() - start)
            size = (Path(folder) / "page.html").stat().st_size
        print(
            f"{family:<12} idle: without {timing.plain_ms:6.1f} ms, with {timing.ours_ms:6.1f} ms, "
            f"cost ratio {1 / timing.ratio:.3f}; trace {statistics.median(traces):.2f} s, "
            f"with page {statistics.median(pages):.2f} s, {size / 1e6:.2f} MB"
        )


if __name__ == "__main__":
    main()
