# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
How fast Transformers train and translate with each mixer in the place of the decoder's self-attention.

    OMP_NUM_THREADS=1 python benchmarks/mixers.py

Three layers on each side, width 256, four heads, feed-forward 1,024, a vocabulary of 8,000 in one table, beside a GRU
of about as many parameters in the default order (the state before a step asks, one layer, additive attention). Weights
are random, in single precision on one thread.

Training: forward, backward and AdamW on about 4,096 target tokens of one length. Translating: sources of 20 tokens
into as many as are asked for, by the model's graph and by `generate()`. Models take turns in one process. Figures are
tokens per CPU second, medians over the rounds, and their ratio to the first model's in the same round: median, lowest,
highest.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the package, installed or not

from benchmarks.rounds import Spread, Turns, in_turns, machine, make_parser, ratio, read_options, table
from benchmarks.step import random_batch
from hf_attn_seq2seq import AttnSeq2SeqConfig, AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.decoding.graph import GraphEngine
from hf_attn_seq2seq.graphs.format import GRAPH_FILE
from hf_attn_seq2seq.graphs.writer import write_graph
from hf_attn_seq2seq.mixers import MIXERS


VOCAB_SIZE = 8000
TOKENS = 4096
SOURCE_LENGTH = 20
COMMON = {"vocab_size": VOCAB_SIZE, "share_encoder_decoder_embeddings": True, "dropout": 0.0}
GRU = {"hidden_size": 448}
TRANSFORMER = {
    "encoder_type": "transformer",
    "decoder_type": "transformer",
    "attention_type": "multi_head",
    "hidden_size": 256,
    "encoder_layers": 3,
    "decoder_layers": 3,
}
MODELS: dict[str, dict[str, Any]] = {
    **{mixer: {**TRANSFORMER, "decoder_mixer": mixer} for mixer in MIXERS},  # self-attention first
    "gru": GRU,
}


class Translation(NamedTuple):
    """A search whose results have one length."""

    batch: int
    beams: int
    length: int

    def __str__(self) -> str:
        return f"{self.batch} x {self.length} tokens, {'greedy' if self.beams == 1 else f'{self.beams} beams'}"


TRANSLATIONS = (Translation(1, 1, 20), Translation(1, 1, 100), Translation(32, 1, 20), Translation(32, 5, 20))


def build(name: str) -> AttnSeq2SeqForConditionalGeneration:
    torch.manual_seed(0)
    return AttnSeq2SeqForConditionalGeneration(AttnSeq2SeqConfig(**{**COMMON, **MODELS[name]}))


def training(names: list[str], length: int, rounds: int, tokens: int = TOKENS) -> Turns:
    """
    Of training steps on sentences of one length.

    Raises:
        ValueError: A model has not learned.
    """
    batch = random_batch(max(1, tokens // length), length, VOCAB_SIZE, padded=False)
    losses: dict[str, list[float]] = {name: [] for name in names}

    def stepper(name: str) -> Callable[[], None]:
        model = build(name).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

        def step() -> None:
            optimizer.zero_grad()
            loss = model(**batch._asdict()).loss
            loss.backward()
            optimizer.step()
            losses[name].append(float(loss.detach()))

        return step

    rates = in_turns({name: stepper(name) for name in names}, batch.labels.numel(), rounds)
    for name, found in losses.items():
        if not found[-1] < found[0]:
            raise ValueError(f"{name} has not learned: its loss went from {found[0]} to {found[-1]}.")
    return rates


def translating(names: list[str], search: Translation, rounds: int, seconds: float) -> dict[str, Turns]:
    """Of translating, by each engine."""
    batch = random_batch(search.batch, SOURCE_LENGTH, VOCAB_SIZE, padded=False)
    ids, mask = batch.input_ids, torch.ones_like(batch.input_ids)
    options = {"num_beams": search.beams, "min_new_tokens": search.length, "max_new_tokens": search.length}
    models = {name: build(name).eval() for name in names}
    engines = {}
    for name, model in models.items():
        with tempfile.TemporaryDirectory() as folder:
            graph = Path(folder) / GRAPH_FILE
            graph.write_bytes(write_graph(model).SerializeToString())
            model.generation_config.save_pretrained(folder)
            engines[name] = GraphEngine(graph, threads=1)
    inputs = {"input_ids": ids.numpy(), "attention_mask": mask.numpy()}

    def by_graph(name: str) -> Callable[[], object]:
        return lambda: engines[name].search(**inputs, **options)

    def by_generate(name: str) -> Callable[[], object]:
        return lambda: models[name].generate(ids, attention_mask=mask, **options)

    tokens = search.batch * search.length
    return {
        "graph": in_turns({name: by_graph(name) for name in names}, tokens, rounds, seconds),
        "generate()": in_turns({name: by_generate(name) for name in names}, tokens, rounds, seconds),
    }


def row(title: str, rates: Turns) -> list[str]:
    """The first model's tokens per second, and each other's ratio to it."""
    first, *others = rates.values()
    return [title, f"{Spread.of(first).median:.0f}", *(str(ratio(each, first)) for each in others)]


def main(arguments: list[str] | None = None) -> None:
    parser = make_parser(__doc__, rounds=7, seconds=0.3)
    parser.add_argument("--only", default="", metavar="TEXT", help="the lines that contain this, such as training")
    parser.add_argument(
        "--models", nargs="+", choices=MODELS, default=list(MODELS), help="the first is compared with (default: all)"
    )
    options = read_options(parser, arguments)
    torch.set_num_threads(1)
    names = options.models
    rounds, seconds, tokens = options.rounds, options.seconds, 256 if options.quick else TOKENS
    print(f"{machine()}, torch {torch.__version__}; one thread, {rounds} rounds in turns")
    sizes = {name: sum(part.numel() for part in build(name).parameters()) for name in names}
    print("parameters: " + ", ".join(f"{name} {size / 1e6:.1f} million" for name, size in sizes.items()), end="\n\n")
    rows = []
    for length in (20, 50):
        if options.only in (title := f"training, length {length}"):
            rows.append(row(title, training(names, length, rounds, tokens)))
    for search in TRANSLATIONS[:1] if options.quick else TRANSLATIONS:
        if options.only in (title := f"translating, {search}"):
            for engine, rates in translating(names, search, rounds, seconds).items():
                rows.append(row(f"{title}, {engine}", rates))
    first, *others = names
    print(table(["", f"{first}, tokens/s", *others], rows))


if __name__ == "__main__":
    main()
