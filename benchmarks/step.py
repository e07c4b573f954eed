# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
How long one training step (forward and backward) takes, beside a plain PyTorch loop of the same equations.

    python benchmarks/step.py --threads 1

Both run on the same weights and batch in one process, turn by turn, so that a busy machine slows both. The ratio is
the median over the rounds of plain time / our time: above 1, the package is the faster one.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the package and the loop, installed or not

from benchmarks.plain_loop import FAMILIES, PlainLoop, family_config
from benchmarks.rounds import processor
from hf_attn_seq2seq import AttnSeq2SeqForConditionalGeneration


class StepBatch(NamedTuple):
    """Random sentences."""

    input_ids: torch.Tensor  # (batch, src_len)
    attention_mask: torch.Tensor | None  # (batch, src_len), 1 on real tokens; None: all are real
    labels: torch.Tensor  # (batch, tgt_len), -100 where there is none


def random_batch(
    batch: int, length: int, vocab_size: int, padded: bool, seed: int = 0, shortest: int | None = None
) -> StepBatch:
    """Sentences of `length` tokens or, `padded`, of lengths drawn from `[shortest or length / 3, length]`."""
    generator = torch.Generator().manual_seed(seed)
    source = torch.randint(3, vocab_size, (batch, length), generator=generator)
    target = torch.randint(3, vocab_size, (batch, length), generator=generator)
    if not padded:
        return StepBatch(source, None, target)
    masks = []
    for _ in range(2):
        lengths = torch.randint(shortest or max(length // 3, 1), length + 1, (batch, 1), generator=generator)
        lengths[0] = length
        masks.append(torch.arange(length) < lengths)
    return StepBatch(source.masked_fill(~masks[0], 0), masks[0].long(), target.masked_fill(~masks[1], -100))


class Timing(NamedTuple):
    """Medians over the rounds."""

    plain_ms: float
    ours_ms: float
    ratio: float  # of each round's plain time by its own time of ours


def time_side_by_side(plain: Callable[[], object], ours: Callable[[], object], rounds: int) -> Timing:
    """Time both in turns; who goes first changes from round to round."""
    times: dict[Callable[[], object], list[float]] = {plain: [], ours: []}
    for turn in range(-2, rounds):  # two rounds to warm up
        for run in (plain, ours) if turn % 2 else (ours, plain):
            start = time.perf_counter()
            run()
            if turn >= 0:
                times[run].append(1e3 * (time.perf_counter() - start))
    ratios = [slow / fast for slow, fast in zip(times[plain], times[ours])]
    return Timing(statistics.median(times[plain]), statistics.median(times[ours]), statistics.median(ratios))


def measure(family: str, batch: StepBatch, vocab_size: int, embedding: int, hidden: int, rounds: int) -> Timing:
    """
    Time one family.

    Raises:
        ValueError: The two losses differ: they would not be the same equations.
    """
    torch.manual_seed(0)
    model = AttnSeq2SeqForConditionalGeneration(family_config(family, vocab_size, embedding, hidden)).train()
    loop = PlainLoop(model)

    def ours() -> torch.Tensor:
        model.zero_grad()
        out = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=batch.labels)
        out.loss.backward()
        return out.loss.detach()

    def plain() -> torch.Tensor:
        model.zero_grad()
        for cell in loop.cells:
            cell.input_weight.grad = None
        loss = loop.loss(*batch)
        loss.backward()
        return loss.detach()

    losses = float(plain()), float(ours())
    if abs(losses[0] - losses[1]) > 1e-4 * losses[0]:
        raise ValueError(f"{family}: the plain loop's loss is {losses[0]:.6f}, the model's {losses[1]:.6f}.")
    return time_side_by_side(plain, ours, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="threads that torch may use")
    parser.add_argument("--rounds", type=int, default=11, help="measured steps of each")
    parser.add_argument("--batch", type=int, default=64, help="sentences")
    parser.add_argument("--length", type=int, default=15, help="tokens a sentence")
    parser.add_argument("--vocab-size", type=int, default=8000)
    parser.add_argument("--embedding", type=int, default=256, help="width of embeddings and Transformer stacks")
    parser.add_argument("--hidden", type=int, default=512, help="width of recurrent stacks and feed-forward blocks")
    parser.add_argument("--family", choices=FAMILIES, action="append", help="only this one; may be repeated")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 4 sentences: a trial, not a measurement")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.batch = 2, 4
    torch.set_num_threads(args.threads)

    print(f"{processor()}, {os.cpu_count()} cores, {args.threads} thread(s), torch {torch.__version__}")
    print(
        f"forward and backward, float32, batch {args.batch}, length {args.length}, embeddings {args.embedding}, "
        f"hidden {args.hidden}, vocabulary {args.vocab_size}; medians of {args.rounds} rounds"
    )
    shortest = max(args.length // 3, 1)
    print(f"\n{'family':<36}{'lengths':>9}{'plain ms':>11}{'ours ms':>11}{'ratio':>8}")
    for padded in (False, True):
        batch = random_batch(args.batch, args.length, args.vocab_size, padded)
        lengths = f"{shortest}..{args.length}" if padded else str(args.length)
        for family in args.family or FAMILIES:
            timing = measure(family, batch, args.vocab_size, args.embedding, args.hidden, args.rounds)
            print(
                f"{family:<36}{lengths:>9}{timing.plain_ms:>11.1f}{timing.ours_ms:>11.1f}{timing.ratio:>8.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
