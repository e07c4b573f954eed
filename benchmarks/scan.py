# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
How long a scan takes, forward and backward, in several forms.

    OMP_NUM_THREADS=1 python benchmarks/scan.py

The forms of h_t = f_t h_(t-1) + g_t over `(64, steps, 512)` numbers in single precision, with gradients of f, g and
the start:

    ours        `hf_attn_seq2seq.scan.linear_scan`
    unbind      a loop over unbound steps, with autograd's gradients
    slices      a loop over slices, with autograd's gradients: each is padded to the whole, and they are summed
    pairs       neighbouring steps joined in pairs, with autograd's gradients: logarithmic depth

Columns are CPU milliseconds, the least of the rounds, in which the forms take turns; `ours / best` divides by the
fastest form, and `per step` is ours in microseconds. Forms that took more than two seconds at a length are left out of
longer ones.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the package, installed or not

from benchmarks.rounds import machine
from hf_attn_seq2seq.scan import in_pairs, linear_scan, step_by_step


ROWS, HIDDEN = 64, 512
LENGTHS = (10, 50, 200, 1000)
SLOW = 2.0  # seconds


def slices(forget: torch.Tensor, enter: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
    state, states = start, []
    for step in range(forget.shape[1]):
        state = forget[:, step] * state + enter[:, step]
        states.append(state)
    return torch.stack(states, dim=1)


FORMS: dict[str, Callable[..., torch.Tensor]] = {
    "ours": linear_scan,
    "unbind": step_by_step,
    "slices": slices,
    "pairs": in_pairs,
}


def measure(lengths: tuple[int, ...], rows: int, hidden: int, rounds: int) -> dict[int, dict[str, float]]:
    """The least CPU seconds of each form at each length."""
    found: dict[int, dict[str, float]] = {}
    slow: set[str] = set()
    for length in lengths:
        generator = torch.Generator().manual_seed(0)
        forget = torch.rand(rows, length, hidden, generator=generator).requires_grad_()
        enter = torch.randn(rows, length, hidden, generator=generator).requires_grad_()
        start = torch.randn(rows, hidden, generator=generator).requires_grad_()
        gradient = torch.randn(rows, length, hidden, generator=generator)
        times: dict[str, list[float]] = {name: [] for name in FORMS if name not in slow}
        for _ in range(rounds):
            for name, seconds in times.items():
                if name in slow:
                    continue
                begin = time.process_time()
                states = FORMS[name](forget, enter, start)
                torch.autograd.grad(states, (forget, enter, start), gradient)
                seconds.append(time.process_time() - begin)
                del states
                if seconds[-1] > SLOW:
                    slow.add(name)
        found[length] = {name: min(seconds) for name, seconds in times.items()}
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--size", type=int, nargs=2, default=(ROWS, HIDDEN), metavar=("ROWS", "HIDDEN"))
    parser.add_argument("--quick", action="store_true", help="1 round of one length: a trial, not a measurement")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.lengths = 1, [16]
    torch.set_num_threads(1)
    found = measure(tuple(options.lengths), *options.size, options.rounds)
    print(f"{machine()}, torch {torch.__version__}")
    print(f"{'steps':>6}" + "".join(f"{name:>10}" for name in FORMS) + f"{'ours / best':>14}{'per step':>10}")
    for length, times in found.items():
        columns = "".join(f"{1000 * times[name]:10.1f}" if name in times else f"{'-':>10}" for name in FORMS)
        best = times["ours"] / min(times.values())
        print(f"{length:>6}{columns}{best:14.2f}{1e6 * times['ours'] / length:10.1f}")


if __name__ == "__main__":
    main()
