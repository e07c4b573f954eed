# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Prepare the corpus of a recipe: read, clean and split it, train the tokenizer, and print a report."""

import argparse

from hf_attn_seq2seq.console import CommandParser, make_console, run_command
from hf_attn_seq2seq.data.prepare import REPORT
from hf_attn_seq2seq.data.report import report_tables
from hf_attn_seq2seq.training.fit import checkpoints, working_in
from hf_attn_seq2seq.training.prepare import prepare
from hf_attn_seq2seq.training.train import add_recipe_arguments, check_same_recipe, learnt_from, recipe_from
from hf_attn_seq2seq.writing import writing


EXAMPLES = """examples:
  hf-attn-seq2seq preprocess training/recipes/multi30k_en_fr_gru.yaml data.folder=data/multi30k
  hf-attn-seq2seq preprocess data.train.file=pairs.tsv.gz data.cleaning.max_words=50 output=outputs/en-fr
"""


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser(description=__doc__, epilog=EXAMPLES)
    add_recipe_arguments(parser)
    return parser


def main(arguments: list[str] | None = None) -> None:
    parsed = build_parser().parse_intermixed_args(arguments)

    def command() -> None:
        recipe = recipe_from(parsed.recipe)
        fingerprint = None
        with working_in(recipe.output), writing(recipe.output):
            if (recipe.output / "config.json").exists() or checkpoints(recipe.output):
                check_same_recipe(
                    recipe, ("data", "tokenizer")
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

    run_command(command)


if __name__ == "__main__":
    run_command(main)
