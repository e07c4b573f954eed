# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
How the memory of training and translating grows with the length of the source.

    python benchmarks/memory.py

Megabytes by which a training step (forward and backward) and a search with 5 beams raise the peak of the resident set,
each in a copy of the process, after the same with sources of 16 tokens. Batches have 4 sources of equal length, and
targets of 40 tokens; models are 256 wide with a vocabulary of 8,000 and random weights: the GRU is that of the recipe
`debian_summaries`, with a pointer, the Transformer has 3 layers on each side. Memory that grows by as much for each
token is linear in the length. Linux only.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the package, installed or not

from benchmarks.rounds import added_memory, machine, table
from hf_attn_seq2seq import AttnSeq2SeqConfig, AttnSeq2SeqForConditionalGeneration


LENGTHS = (250, 500, 1000, 2000)
BATCH, TARGET, BEAMS, SHORT = 4, 40, 5, 16
TRANSFORMER = {"encoder_type": "transformer", "decoder_type": "transformer", "attention_type": "multi_head"}
MODELS: dict[str, dict[str, Any]] = {
    "GRU with a pointer": {"pointer": True},
    "Transformer": {**TRANSFORMER, "encoder_layers": 3, "decoder_layers": 3},
}


def make_model(fields: dict[str, Any], hidden_size: int = 256) -> AttnSeq2SeqForConditionalGeneration:
    torch.manual_seed(0)
    config = AttnSeq2SeqConfig(
        vocab_size=8000, hidden_size=hidden_size, share_encoder_decoder_embeddings=True, **fields
    )
    return AttnSeq2SeqForConditionalGeneration(config)


def train(model: AttnSeq2SeqForConditionalGeneration, length: int) -> None:
    source = torch.randint(4, model.config.vocab_size, (BATCH, length))
    model.train()(input_ids=source, labels=source[:, :1].repeat(1, TARGET)).loss.backward()


def translate(model: AttnSeq2SeqForConditionalGeneration, length: int) -> None:
    source = torch.randint(4, model.config.vocab_size, (BATCH, length))
    model.eval().generate(source, num_beams=BEAMS, min_new_tokens=TARGET, max_new_tokens=TARGET)


RUNS: dict[str, Callable[[AttnSeq2SeqForConditionalGeneration, int], None]] = {
    "training step": train,
    f"{BEAMS} beams": translate,
}


def row(model: AttnSeq2SeqForConditionalGeneration, name: str, lengths: tuple[int, ...]) -> list[str]:
    """The added megabytes at each length, and how many kilobytes a token more of each source takes."""
    run = RUNS[name]
    run(model, SHORT)
    added = [added_memory([partial(run, model, length)])["above"] for length in lengths]
    slopes = [
        1024 * (more - less) / (BATCH * (longer - shorter))
        for less, more, shorter, longer in zip(added, added[1:], lengths, lengths[1:])
    ]
    return [*(f"{value:.0f}" for value in added), ", ".join(f"{slope:.0f}" for slope in slopes)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small models and short sources: a trial")
    options = parser.parse_args()
    torch.set_num_threads(1)
    lengths, hidden_size = (LENGTHS[:2], 16) if options.quick else (LENGTHS, 256)
    rows = []
    for name, fields in MODELS.items():
        model = make_model(fields, hidden_size)
        rows += [[f"{name}, {run}", *row(model, run, lengths)] for run in RUNS]
    print(f"{machine()}; megabytes added, sources of\n")
    print(table(["", *map(str, lengths), "KB per token, from each to the next"], rows))


if __name__ == "__main__":
    main()
