# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The options of this room's commands. What is imported here takes no time, so that `--help` is answered at once."""

import argparse
import sys
from pathlib import Path

from hf_attn_seq2seq.console import CommandParser
from hf_attn_seq2seq.data.links import SYMMETRISATIONS
from hf_attn_seq2seq.decoding.names import END_TOKEN_CHOICES, ENGINE_HELP, ENGINES


SYMMETRISATION = "grow-diag"

PREPROCESS_EXAMPLES = """examples:
  hf-attn-seq2seq preprocess training/recipes/multi30k_en_fr_gru.yaml data.folder=data/multi30k
  hf-attn-seq2seq preprocess data.train.file=pairs.tsv.gz data.cleaning.max_words=50 output=outputs/en-fr
"""

TRAIN_EXAMPLES = """examples:
  hf-attn-seq2seq train training/recipes/multi30k_en_fr_gru.yaml data.folder=data/multi30k
  hf-attn-seq2seq train data.train.source=train.en data.train.target=train.fr output=outputs/en-fr
  hf-attn-seq2seq train data.train.file=pairs.tsv.gz model.preset=luong2015 model.hidden_size=512 output=outputs/luong
  hf-attn-seq2seq train start_from=en-fr data.train.file=mine.tsv training.learning_rate=3e-4 output=outputs/mine
"""

EVALUATE_EXAMPLES = """examples:
  hf-attn-seq2seq evaluate outputs/multi30k_en_fr
  hf-attn-seq2seq evaluate outputs/multi30k_en_fr --set validation
  hf-attn-seq2seq evaluate en-fr --source news.en --reference news.fr --reference news2.fr
  hf-attn-seq2seq evaluate outputs/a outputs/b --source news.en --reference news.fr
  hf-attn-seq2seq evaluate --hypotheses a.fr --hypotheses b.fr --reference news.fr data.target_language=fr
"""

SEEDS_EXAMPLES = """examples:
  hf-attn-seq2seq seeds training/recipes/multi30k_en_fr_gru.yaml data.folder=data/multi30k
  hf-attn-seq2seq seeds training/recipes/grammar_en_fr.yaml --seeds 0,1,2,3,4 --card model_cards/grammar-en-fr.md

Each seed has its own folder, OUTPUT/seed-0 and so on, an ordinary trained model. The same command again goes on where
it was stopped; with more seeds, it trains only the new ones. Another process or machine may train a seed, too:
train RECIPE training.seed=3 output=OUTPUT/seed-3
"""

ALIGN_EXAMPLES = """examples:
  hf-attn-seq2seq align outputs/en-fr train.en train.fr --backward outputs/fr-en > links.txt
  hf-attn-seq2seq align outputs/en-fr --gold gold.jsonl
  hf-attn-seq2seq align outputs/en-fr --gold validation.jsonl --choose

Words are counted from 0. By default they are separated by whitespace, as in the Pharaoh format.
"""


def preprocess_parser() -> CommandParser:
    parser = CommandParser(
        description="Prepare the corpus of a recipe: read, clean and split it, train the tokenizer, and print a "
        "report.",
        epilog=PREPROCESS_EXAMPLES,
    )
    add_recipe_arguments(parser)
    return parser


def train_parser() -> CommandParser:
    parser = CommandParser(
        description="Train the model that a recipe describes: prepare its corpus and tokenizer, train, and save the "
        "best checkpoint.",
        epilog=TRAIN_EXAMPLES,
    )
    add_recipe_arguments(parser)
    parser.add_argument(
        "--resume", action="store_true", help="continue from the newest checkpoint in the output folder"
    )
    parser.add_argument("--fields", action="store_true", help="list the fields of a recipe, and exit")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier run in the output folder")
    return parser


def evaluate_parser() -> CommandParser:
    parser = CommandParser(
        description="Measure a trained model: translate its validation and test sets, score them, and write figures "
        "and model card.",
        epilog=EVALUATE_EXAMPLES,
    )
    add_recipe_arguments(parser)
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME", help="measure this set only (validation, or a test set)"
    )
    parser.add_argument(
        "--source",
        type=Path,
        metavar="FILE",
        help="translate and score this file instead, each line as a whole, by any model: a folder, en-fr, a "
        "name on the Hub, or several of them as an ensemble",
    )
    parser.add_argument(
        "--reference",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a reference translation of it; may be repeated",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="where to write the translations of --source")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="where to write the results of --source or --hypotheses (default: NAMES.results.json in this folder)",
    )
    parser.add_argument(
        "--hypotheses",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="score translations; given twice, compare two systems",
    )
    parser.add_argument("--card", type=Path, metavar="FILE", help="write the model card to this file too")
    parser.add_argument(
        "--compare",
        metavar="MODEL",
        help="let another model translate the same sets, and show in the card where this one is better and worse",
    )
    parser.add_argument("--engine", choices=ENGINES, default="auto", help=ENGINE_HELP)
    return parser


def seeds_parser() -> CommandParser:
    parser = CommandParser(
        description="Train and measure a recipe with several seeds: OUTPUT becomes the model that is best on "
        "validation, with the mean and the spread of all in its model card.",
        epilog=SEEDS_EXAMPLES,
    )
    add_recipe_arguments(parser)
    parser.add_argument(
        "--seeds", default="0,1,2", metavar="N,N,...", help="the values of training.seed (default %(default)s)"
    )
    parser.add_argument("--card", type=Path, metavar="FILE", help="write the model card to this file too")
    return parser


def _words_kind(name: str) -> str:
    if name != "blanks":
        return name
    print("warning: --words blanks is now called --words whitespace: please use the new name.", file=sys.stderr)
    return "whitespace"


def align_parser() -> CommandParser:
    parser = CommandParser(
        description="Align the words of texts and their translations, in Pharaoh format, or measure the alignment "
        "error rate on gold.",
        epilog=ALIGN_EXAMPLES,
    )
    parser.add_argument("model", metavar="MODEL", help="folder of a model that translates source to target")
    parser.add_argument(
        "source",
        nargs="?",
        type=Path,
        help="source text; without TARGET, lines of source<TAB>target (default or -: standard input)",
    )
    parser.add_argument("target", nargs="?", type=Path, help="its translation")
    parser.add_argument("--backward", metavar="MODEL", help="a model of the opposite direction, for symmetrization")
    parser.add_argument("--symmetrisation", choices=SYMMETRISATIONS, help=f"(default {SYMMETRISATION})")
    parser.add_argument(
        "--words",
        type=_words_kind,
        choices=("whitespace", "running", "joined"),
        help="which words links count: those separated by whitespace (the default); those of running text, where a "
        "comma is a word; or those separated by whitespace in text that the models read joined, l' homme . as "
        "l'homme. (the default with --gold, for languages with joining rules)",
    )
    parser.add_argument(
        "--languages", nargs=2, metavar="CODE", help="of source and target (default: those of MODEL/recipe.yaml)"
    )
    reading = parser.add_argument_group("how attention is read (default: as in MODEL/alignment.json)")
    reading.add_argument("--layer", type=int, help="decoder layer, counted from 0, or -1 for the last")
    reading.add_argument("--head", type=int, help="attention head, counted from 0 (default: the mean of all)")
    reading.add_argument("--shift", type=int, help="0: the step that predicts a word; 1: the step that has read it")
    reading.add_argument("--end-token", choices=END_TOKEN_CHOICES, help="treatment of the weight on the end token")
    reading.add_argument("--threshold", type=float, help="link all words with at least this weight")
    gold = parser.add_argument_group("evaluation")
    gold.add_argument(
        "--gold",
        type=Path,
        help="JSON lines with sentences, sure and possible links; or, if texts are given, a Pharaoh file",
    )
    gold.add_argument(
        "--choose",
        action="store_true",
        help="find the layer, head and shift with the lowest error on --gold (or, given --backward and texts instead, "
        "with the highest agreement) and save them to MODEL/alignment.json",
    )
    parser.add_argument(
        "--output", type=Path, help="file for the links, optionally .gz, .xz or .bz2 (default: standard output)"
    )
    parser.add_argument("--confidence", action="store_true", help="also write the weight of each link: 0-0:0.93")
    parser.add_argument("--show-words", action="store_true", help="write source ||| target ||| links")
    parser.add_argument("--batch-size", type=int, default=64, help="pairs per batch (default %(default)s)")
    return parser


def add_recipe_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that all commands with a recipe share."""
    parser.add_argument(
        "recipe",
        nargs="*",
        metavar="RECIPE | section.field=value",
        help="a YAML file or the folder of a trained model, and fields to override; values are read as YAML",
    )
