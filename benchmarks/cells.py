# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
How fast models with each kind of recurrent cell train, beside the GRU of the default order.

    OMP_NUM_THREADS=1 python benchmarks/cells.py

A step is forward, backward and AdamW on about 4,096 target tokens in single precision: embeddings of 256, states of
512, one layer on each side, additive attention, a vocabulary of 8,000, no dropout. The first model is the default: a
GRU whose state before the step asks (`attention_query: previous`), so that its steps follow one another. In the others
the state after the step asks (`current`) and nothing is fed back, so that a scan cell runs over all steps at once; in
"encoder too" both sides have that cell.

Models take turns in one process on one thread; figures are target tokens per CPU second, medians over the rounds, and
their ratio to the first model in the same round: median, lowest, highest.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the package, installed or not

from benchmarks.rounds import Spread, machine, ratio
from benchmarks.step import StepBatch, random_batch
from hf_attn_seq2seq import AttnSeq2SeqConfig, AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.cells import CELLS


VOCAB_SIZE = 8000
TOKENS = 4096
LENGTHS = (20, 50)


class Kind(NamedTuple):
    encoder: str
    decoder: str
    query: str

    def __str__(self) -> str:
        both = " encoder too" if self.encoder == self.decoder != "gru" else ""
        return f"{self.decoder} {self.query}{both}"


KINDS = (
    Kind("gru", "gru", "previous"),
    *(Kind("gru", cell, "current") for cell in CELLS),
    *(Kind(cell, cell, "current") for cell in CELLS if cell != "gru"),
)


class Training:
    """A model and its optimizer."""

    def __init__(self, kind: Kind) -> None:
        torch.manual_seed(0)
        config = AttnSeq2SeqConfig(
            vocab_size=VOCAB_SIZE,
            embedding_size=256,
            hidden_size=512,
            encoder_hidden_size=512,
            encoder_type=kind.encoder,
            decoder_type=kind.decoder,
            attention_type="additive",
            attention_query=kind.query,
            dropout=0.0,
            tie_word_embeddings=False,
        )
        self.model = AttnSeq2SeqForConditionalGeneration(config).train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, fused=True)
        self.losses: list[float] = []

    def step(self, batch: StepBatch) -> float:
        """CPU seconds of one step."""
        start = time.process_time()
        self.optimizer.zero_grad()
        loss: Any = self.model(**batch._asdict()).loss
        loss.backward()
        self.optimizer.step()
        seconds = time.process_time() - start
        self.losses.append(float(loss.detach()))
        return seconds


def measure(length: int, kinds: tuple[Kind, ...], rounds: int, tokens: int) -> dict[Kind, list[float]]:
    """
    Target tokens per CPU second of each kind in each round, after one that is not kept.

    Raises:
        ValueError: A model has not learned.
    """
    batch = random_batch(max(1, tokens // length), length, VOCAB_SIZE, padded=False)
    count = int((batch.labels != -100).sum())
    trained = {kind: Training(kind) for kind in kinds}
    rates: dict[Kind, list[float]] = {kind: [] for kind in kinds}
    for turn in range(rounds + 1):
        for kind in kinds if turn % 2 else kinds[::-1]:
            seconds = trained[kind].step(batch)
            if turn:
                rates[kind].append(count / seconds)
    for kind, training in trained.items():
        if not training.losses[-1] < training.losses[0]:
            raise ValueError(
                f"{kind} has not learned: its loss went from {training.losses[0]} to {training.losses[-1]}."
            )
    return rates


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS, help="tokens of a sentence")
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS))
    parser.add_argument("--decoders", action="store_true", help="leave out the models with the cell on both sides")
    parser.add_argument("--quick", action="store_true", help="small batches, two rounds")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rounds, tokens = (2, 256) if options.quick else (options.rounds, TOKENS)
    kinds = (
        KINDS[0],
        *(
            kind
            for kind in KINDS[1:]
            if kind.decoder in options.cells and not (options.decoders and kind.encoder != "gru")
        ),
    )
    print(f"{machine()}, torch {torch.__version__}")
    for length in options.lengths:
        rates = measure(length, kinds, rounds, tokens)
        print(f"\n{max(1, tokens // length)} sentences of {length} tokens: tokens per second, ratio to the first")
        for kind, found in rates.items():
            print(f"  {kind!s:<28}{Spread.of(found).median:8.0f}  {ratio(found, rates[kinds[0]])}")


if __name__ == "__main__":
    main()
