# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
How long attentions with a running state take over a long source, forward and backward, beside coverage attention.

    python benchmarks/running_attention.py --threads 1

All run on the same states and queries in one process, turn by turn, so that a busy machine slows all of them. The
ratio is the median over the rounds of a kind's time / coverage's time: below 1, the kind is the faster one. Coverage
keeps a sum and nothing else, so it shows what the steps themselves cost.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the package, installed or not

from hf_attn_seq2seq import AttnSeq2SeqConfig
from hf_attn_seq2seq.attention import build_attention
from hf_attn_seq2seq.configuration_attn_seq2seq import RUNNING_STATE_ATTENTIONS


def attend(kind: str, batch: int, src_len: int, tgt_len: int, hidden: int) -> Callable[[], None]:
    """A function that attends once, forward and backward."""
    torch.manual_seed(0)
    attention = build_attention(AttnSeq2SeqConfig(attention_type=kind, hidden_size=hidden)).train()
    with torch.no_grad():
        for parameter in attention.parameters():
            torch.nn.init.normal_(parameter, std=hidden**-0.5)
    query = torch.randn(batch, tgt_len, hidden, requires_grad=True)
    states = torch.randn(batch, src_len, hidden, requires_grad=True)
    mask = torch.arange(src_len) < torch.linspace(src_len, src_len // 2, batch).long()[:, None]

    def run() -> None:
        query.grad = states.grad = None
        attention.zero_grad()
        attention(query, attention.memory(states, mask)).context.square().mean().backward()

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="threads that torch may use")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=4, help="sentences, of 1 to 1/2 of the length")
    parser.add_argument("--length", type=int, nargs="+", default=[50, 100, 200, 400], help="source and target tokens")
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--quick", action="store_true", help="1 round of 20 and 50 tokens: a trial, not a measurement")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.length = 1, [20, 50]
    torch.set_num_threads(args.threads)
    print(
        f"forward and backward, float32, batch {args.batch}, hidden {args.hidden}, {args.threads} thread(s), "
        f"torch {torch.__version__}; medians of {args.rounds} rounds"
    )
    print(f"\n{'kind':<16}{'tokens':>8}{'ms':>10}{'ratio':>8}")
    for length in args.length:
        runs = {kind: attend(kind, args.batch, length, length, args.hidden) for kind in RUNNING_STATE_ATTENTIONS}
        times: dict[str, list[float]] = {kind: [] for kind in runs}
        for turn in range(-1, args.rounds):  # one round to warm up
            for kind, run in runs.items():
                start = time.perf_counter()
                run()
                if turn >= 0:
                    times[kind].append(1e3 * (time.perf_counter() - start))
        for kind, own in times.items():
            ratio = statistics.median(mine / other for mine, other in zip(own, times["coverage"]))
            print(f"{kind:<16}{length:>8}{statistics.median(own):>10.1f}{ratio:>8.2f}", flush=True)


if __name__ == "__main__":
    main()
