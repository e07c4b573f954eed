# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Prepare the corpus of a recipe: read, clean and split it, train the tokenizer, and print a report."""

import argparse

from hf_attn_seq2seq.console import make_console, run_command
from hf_attn_seq2seq.data.prepare import REPORT
from hf_attn_seq2seq.data.report import report_tables
from hf_attn_seq2seq.training.fit import checkpoints, working_in
from hf_attn_seq2seq.training.parsers import preprocess_parser
from hf_attn_seq2seq.training.prepare import prepare
from hf_attn_seq2seq.training.train import check_same_recipe, learnt_from, recipe_from
from hf_attn_seq2seq.writing import writing


def main(arguments: list[str] | None = None) -> None:
    options = preprocess_parser().parse(arguments)
    run_command(lambda: run(options))


def run(options: argparse.Namespace) -> None:
    """Prepare the corpus, and print the report."""
    recipe = recipe_from(options.recipe)
    fingerprint = None
    with working_in(recipe.output), writing(recipe.output):
        if (recipe.output / "config.json").exists() or checkpoints(recipe.output):
            check_same_recipe(
                recipe, ("data", "features", "augmentation", "tokenizer")
            )  # the model there would be evaluated on another corpus
            fingerprint = learnt_from(recipe.output)
        prepared = prepare(recipe, fingerprint)
    console = make_console()
    console.print(report_tables(prepared.corpus.report))
    console.print(
        f"{len(prepared.tokenizer)} tokens. The corpus is in {prepared.corpus.folder}, and the full report in "
        f"{prepared.corpus.folder / REPORT}.",
        soft_wrap=True,
    )


if __name__ == "__main__":
    run_command(main)
