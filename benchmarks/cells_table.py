# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
What each kind of recurrent cell learns, and what it costs: models of as many parameters, with the cell on both sides,
trained in the same way on image captions (Multi30k, English to French) and then compared in turns.

    python benchmarks/cells_table.py FOLDER outputs/cells               # trains what is not there yet, then measures
    python benchmarks/cells_table.py FOLDER outputs/cells --train --cells gru    # only trains, as in two processes

FOLDER is that of the corpus. The recipe is `training/recipes/multi30k_en_fr_gru.yaml` with the changes in `CHANGES`.
The width of embeddings and states is the even one with which a model comes closest to the parameters of a GRU of 128.
The decoder's new state asks (`attention_query: current`), so that scan cells run over all steps at once.

BLEU is that of the validation set, which also chose the checkpoint, with five beams. Training is forward, backward and
AdamW on about 1,500 target tokens; translating is that of validation sources into 16 tokens by the model's graph, one
by one or 32 at a time. Each is done on one thread; figures are by CPU time, as ratios to the first cell's in the same
round: medians, with the lowest and the highest. Memory is what a training step adds, and what translating adds.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the package, installed or not

from benchmarks.models import Model, read_sources
from benchmarks.rounds import (
    ROOT,
    added_memory,
    environment,
    in_turns,
    machine,
    make_parser,
    ratio,
    read_options,
    table,
)
from benchmarks.step import random_batch
from hf_attn_seq2seq import AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.cells import CELLS
from hf_attn_seq2seq.training.recipe import load_recipe


RECIPE = ROOT / "training/recipes/multi30k_en_fr_gru.yaml"
VOCAB_SIZE, GRU_WIDTH = 4000, 128
CHANGES = (
    f"tokenizer.vocab_size={VOCAB_SIZE}",
    "model.attention_query=current",
    "model.dropout=0.2",
    "training.epochs=8",
)
TOKENS = 16  # of a translation, so that all cells have as many steps to do
SEARCHES = ("greedy, 1", "greedy, 32", "5 beams, 32")


def changes(cell: str, width: int) -> list[str]:
    """The changes of the recipe for a kind of cell."""
    return [*CHANGES, f"model.encoder_type={cell}", f"model.decoder_type={cell}", f"model.hidden_size={width}"]


def size(cell: str, width: int) -> int:
    """Parameters of a model."""
    config = load_recipe(RECIPE, changes(cell, width)).model_config_for(vocab_size=VOCAB_SIZE)
    with torch.device("meta"):
        return AttnSeq2SeqForConditionalGeneration(config).num_parameters()


def width_of(cell: str) -> int:
    """The even width of a kind of cell with which a model comes closest to the GRU's."""
    wanted = size("gru", GRU_WIDTH)
    return min(range(GRU_WIDTH // 2, 2 * GRU_WIDTH, 2), key=lambda width: abs(size(cell, width) - wanted))


def train(cell: str, corpus: Path, output: Path) -> None:
    """Train the model of a kind of cell and measure it on validation, each in its own process, unless it is there."""
    if (output / "results.json").exists():
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    print(f"{cell}: training, see {output}.log", flush=True)
    folders = [f"data.folder={corpus.resolve()}", f"output={output.resolve()}"]
    training = ["train", str(RECIPE), *changes(cell, width_of(cell)), *folders]
    measuring = ["evaluate", str(output.resolve()), "--set", "validation"]
    with output.with_suffix(".log").open("w") as log:
        for command in (training, measuring):
            order = [sys.executable, "-m", "hf_attn_seq2seq_cli", *command]
            if subprocess.run(order, cwd=ROOT, env=environment(), stdout=log, stderr=log).returncode:
                sys.exit(f"error: The command {command[0]} failed for {cell}: see {output}.log.")


class Trained(NamedTuple):
    """A model, on which work is done in turns."""

    model: AttnSeq2SeqForConditionalGeneration
    graph: Model
    bleu: float

    @classmethod
    def of(cls, folder: Path) -> "Trained":
        results = json.loads((folder / "results.json").read_text("utf-8"))
        return cls(
            AttnSeq2SeqForConditionalGeneration.from_pretrained(folder),
            Model(folder),
            results["sets"]["validation"]["scores"]["bleu_tok_lc"]["value"],
        )

    def learner(self, tokens: int) -> Callable[[], None]:
        """A training step on sentences of 15 tokens."""
        batch = random_batch(tokens // 15, 15, VOCAB_SIZE, padded=False)
        model = self.model.train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

        def step() -> None:
            optimizer.zero_grad()
            model(**batch._asdict()).loss.backward()
            optimizer.step()

        return step


def main(arguments: list[str] | None = None) -> None:
    parser = make_parser(__doc__, rounds=5)
    parser.add_argument("corpus", type=Path, metavar="FOLDER", help="of Multi30k")
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="folder of the models")
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS), help="(default: all)")
    parser.add_argument("--train", action="store_true", help="only train what is not there")
    parser.add_argument(
        "--sentences", type=int, default=128, help="of validation, to translate (default: %(default)s)"
    )
    options = read_options(parser, arguments)
    torch.set_num_threads(1)
    for cell in options.cells:
        train(cell, options.corpus, options.output / cell)
    if options.train:
        return
    models = {cell: Trained.of(options.output / cell) for cell in options.cells}
    sources = read_sources(options.corpus / "val.en.gz", 8 if options.quick else options.sentences)
    print(f"{machine()}, torch {torch.__version__}; one thread, {options.rounds} rounds in turns\n")
    learners = {cell: one.learner(150 if options.quick else 1500) for cell, one in models.items()}
    runs = {"training": learners} | {
        search: {cell: one.graph.searcher(sources, search, TOKENS) for cell, one in models.items()}
        for search in SEARCHES
    }
    memory = {
        cell: [added_memory([runs[name][cell]])["above"] for name in ("training", "5 beams, 32")] for cell in models
    }
    turns = {name: in_turns(each, 1, options.rounds, options.seconds) for name, each in runs.items()}
    first = options.cells[0]
    rows = []
    for cell, one in models.items():
        config = one.model.config
        figures = [str(ratio(each[cell], each[first])) for each in turns.values()]
        held = [f"{megabytes:.0f} MB" for megabytes in memory[cell]]
        millions = f"{one.model.num_parameters() / 1e6:.2f} million"
        rows.append([f"`{cell}`", str(config.hidden_size), millions, f"{one.bleu:.2f}", *figures, *held])
    header = ["cell", "width", "parameters", "BLEU tok-lc", *turns, "memory: training", "memory: 5 beams, 32"]
    print(table(header, rows))


if __name__ == "__main__":
    main()
