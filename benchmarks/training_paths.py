# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
What the faster paths of training give: one step (forward and backward) of a recurrent model by the plain paths of the
same code (steps by autograd, all logits at once), and as it runs by default.

    python benchmarks/training_paths.py

Both run on the same weights and batch in one process, turn by turn, in CPU seconds of one thread: the ratio is the
median over the rounds of plain time / default time. Memory is the peak of a process of its own for each, above what it
held after a step on two short sentences.
"""

import argparse
import statistics
import subprocess
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import torch


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the package and the loop, installed or not

from benchmarks.rounds import added_memory, processor
from benchmarks.step import StepBatch, random_batch
from hf_attn_seq2seq import AttnSeq2SeqConfig, AttnSeq2SeqForConditionalGeneration


VOCAB_SIZE = 8000
MODELS = {
    "GRU additive, input feeding": ("gru", "additive", "current", True),
    "LSTM general, input feeding": ("lstm", "general", "current", True),
    "GRU additive, previous state asks": ("gru", "additive", "previous", False),
}


class Shape(NamedTuple):
    sentences: int
    shortest: int
    longest: int

    def batch(self) -> StepBatch:
        padded = self.shortest < self.longest
        return random_batch(self.sentences, self.longest, VOCAB_SIZE, padded, shortest=self.shortest)

    def __str__(self) -> str:
        lengths = f"{self.shortest}..{self.longest}" if self.shortest < self.longest else str(self.longest)
        return f"{self.sentences} x {lengths}"


SHAPES = (Shape(64, 5, 30), Shape(205, 20, 20))  # random sentences, and 4,096 tokens of one length


def build(name: str) -> AttnSeq2SeqForConditionalGeneration:
    """A model with embeddings of 256 and stacks of 512, without dropout."""
    cell, attention, query, feeding = MODELS[name]
    torch.manual_seed(0)
    config = AttnSeq2SeqConfig(
        vocab_size=VOCAB_SIZE,
        embedding_size=256,
        hidden_size=512,
        encoder_hidden_size=512,
        encoder_type=cell,
        decoder_type=cell,
        attention_type=attention,
        attention_query=query,
        input_feeding=feeding,
        dropout=0.0,
        tie_word_embeddings=False,
    )
    return AttnSeq2SeqForConditionalGeneration(config).train()


def step(model: AttnSeq2SeqForConditionalGeneration, batch: StepBatch, plain: bool) -> float:
    """Forward and backward; the loss."""
    model.zero_grad()
    unlooped: AbstractContextManager = mock.patch("hf_attn_seq2seq.recurrent.has_loop", return_value=False)
    with unlooped if plain else nullcontext():
        loss = model(**batch._asdict(), output_logits=plain or None).loss
    loss.backward()
    return float(loss.detach())


def time_in_turns(name: str, shape: Shape, rounds: int) -> tuple[float, float, float]:
    """
    Median CPU seconds of the plain step and of the default, and the median ratio.

    Raises:
        ValueError: The two losses differ.
    """
    model, batch = build(name), shape.batch()
    losses = step(model, batch, True), step(model, batch, False)
    if abs(losses[0] - losses[1]) > 1e-4 * losses[0]:
        raise ValueError(f"{name}: the loss is {losses[0]:.6f} by the plain paths and {losses[1]:.6f} by default.")
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(rounds):
        for plain in (True, False) if turn % 2 else (False, True):
            start = time.process_time()
            step(model, batch, plain)
            seconds[plain].append(time.process_time() - start)
    ratios = [slow / fast for slow, fast in zip(seconds[True], seconds[False])]
    return statistics.median(seconds[True]), statistics.median(seconds[False]), statistics.median(ratios)


def peak_mib(name: str, shape: Shape, plain: bool) -> float:
    """MiB above the base, of a process of its own."""
    arguments = [sys.executable, __file__, "--peak", name, *map(str, shape), str(int(plain))]
    told = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
    return float(told)


def tell_peak(name: str, sentences: str, shortest: str, longest: str, plain: str) -> None:
    """Print the MiB that [`peak_mib`] reads."""
    torch.set_num_threads(1)
    model = build(name)
    step(model, random_batch(2, 3, VOCAB_SIZE, padded=False), plain == "1")
    batch = Shape(int(sentences), int(shortest), int(longest)).batch()
    print(added_memory([lambda: step(model, batch, plain == "1")])["above"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="measured steps of each")
    parser.add_argument("--model", choices=MODELS, action="append", help="only this one; may be repeated")
    parser.add_argument("--quick", action="store_true", help="1 round of one model: a trial, not a measurement")
    parser.add_argument("--peak", nargs=5, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peak:
        tell_peak(*args.peak)
        return
    if args.quick:
        args.rounds, args.model = 1, args.model or list(MODELS)[:1]
    torch.set_num_threads(1)
    print(
        f"{processor()}, one thread, torch {torch.__version__}, float32; embeddings 256, hidden 512, vocabulary 8000"
    )
    print(f"medians of {args.rounds} rounds, CPU seconds; memory: peak above base, MiB")
    print(f"\n{'model':<35}{'sentences':>12}{'plain s':>9}{'now s':>8}{'ratio':>7}{'plain MiB':>11}{'now MiB':>9}")
    for name in args.model or MODELS:
        for shape in SHAPES:
            plain, now, ratio = time_in_turns(name, shape, args.rounds)
            memory = [peak_mib(name, shape, each) for each in (True, False)]
            print(
                f"{name:<35}{shape!s:>12}{plain:>9.3f}{now:>8.3f}{ratio:>7.2f}{memory[0]:>11.0f}{memory[1]:>9.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
