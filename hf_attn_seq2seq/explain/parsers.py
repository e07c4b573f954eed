# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The options of `explain` and `site`. What is imported here takes no time, so that `--help` is answered at once."""

import argparse
from pathlib import Path

from hf_attn_seq2seq.console import CommandParser
from hf_attn_seq2seq.decoding.names import DEFAULT_MODEL
from hf_attn_seq2seq.explain.names import DEPTHS, EXAMPLE_NAMES, FIGURES, TITLES


EXAMPLES = """examples:
  hf-attn-seq2seq explain
  hf-attn-seq2seq explain "The cat is on the mat."
  hf-attn-seq2seq explain --example paragraph --html paragraph.html
  hf-attn-seq2seq explain outputs/demo "The cat is on the mat ." --step 2
  hf-attn-seq2seq explain outputs/demo "The cat is on the mat ." --beams 4 --html cat.html
  hf-attn-seq2seq explain outputs/demo "The cat is on the mat ." --what-if target.2=chien --what-if weights.2=uniform
  hf-attn-seq2seq explain outputs/demo "The cat is on the mat ." --compare outputs/demo-none --html two.html
  hf-attn-seq2seq explain outputs/demo "The cat is on the mat. It sleeps." --faithfulness --html page.html
  hf-attn-seq2seq explain cat.json --chapter attention --depth vectors
  hf-attn-seq2seq explain outputs/an4-speech audio.flac --what-if mute=0.5-1.2 --html heard.html
  hf-attn-seq2seq explain outputs/openmoji-captions picture.png --what-if cover=2,3 --html seen.html

what-if changes (each changes one thing, and the real model runs again):
  source=TEXT        translate another sentence, or hear or see another file
  target.STEP=WORD   force this word at a step, or a token by its name, such as </s>
  weights.STEP=HOW   set the weights of a step: uniform; a source word or the number of a source token, which gets
                     all the weight; or numbers separated by commas
  heads=NUMBERS      leave out heads, such as heads=2 or heads=1,3, at all steps; heads.LAYER=NUMBERS in one layer
  mute=FROM-TO       make a part of a recording silent, in seconds
  cover=PART         cover a part of a picture: ROW,COLUMN of a patch; FROM-TO, pixels from the left; or
                     LEFT,TOP,RIGHT,BOTTOM, in pixels

Steps, source tokens, patches, sentences, layers and heads are counted from 1, as in the output; -1 is the last.
"""


def explain_parser() -> CommandParser:
    parser = CommandParser(
        description="Explain step by step, with all numbers, how a model translates. Without arguments, show the "
        "guided tour.",
        epilog=EXAMPLES,
    )
    parser.add_argument(
        "model",
        nargs="?",
        metavar="MODEL",
        help="folder of a trained model, its name on the Hub, or a trace saved with --json (default: "
        f"{DEFAULT_MODEL}, English to French, included in this package)",
    )
    parser.add_argument(
        "text", nargs="?", help="the sentence to translate; a sound file, or a picture, for a model that hears or sees"
    )
    parser.add_argument(
        "--example",
        choices=EXAMPLE_NAMES,
        help="explain a text of this package, English or French as the model reads, in place of one of yours",
    )
    parser.add_argument(
        "--train-tour",
        action="store_true",
        help="the tour of two models, with and without attention; models missing from outputs/ are trained first "
        "(a few minutes)",
    )
    run = parser.add_argument_group("the run")
    run.add_argument("--target", metavar="TEXT", help="a translation that the model is forced to produce")
    run.add_argument(
        "--beams", type=int, metavar="N", help="number of beams; 1 is greedy search (default: the model's setting)"
    )
    run.add_argument("--max-new-tokens", type=int, metavar="N", help="maximum length of the translation")
    run.add_argument(
        "--split",
        dest="split_sentences",
        action=argparse.BooleanOptionalAction,
        help="translate a longer text sentence by sentence, or as a whole (default: as the model was trained)",
    )
    run.add_argument("--sentence", type=int, metavar="N", help="explain only this sentence of a longer text")
    run.add_argument("--what-if", action="append", default=[], metavar="CHANGE", help="see below; can be repeated")
    run.add_argument(
        "--faithfulness", action="store_true", help="other measures of importance: norms, erasure, gradients"
    )
    run.add_argument("--compare", metavar="MODEL", help="show a second model next to this one")
    show = parser.add_argument_group("in the terminal")
    show.add_argument("--step", type=int, metavar="N", help="show only this step")
    show.add_argument("--chapter", choices=TITLES, help="show only this chapter")
    show.add_argument("--depth", choices=DEPTHS, default="numbers", help="level of detail (default %(default)s)")
    show.add_argument("--layer", type=int, default=-1, metavar="N", help="decoder layer (default: the last)")
    show.add_argument("--head", type=int, metavar="N", help="attention head of that layer (default: all)")
    show.add_argument("--plain", action="store_true", help="use ASCII characters, without colours")
    files = parser.add_argument_group("files, instead of the terminal")
    files.add_argument("--html", type=Path, metavar="FILE", help="an interactive page in one file")
    files.add_argument("--figure", type=Path, metavar="FILE", help="a picture: .png, .svg or .pdf")
    files.add_argument("--kind", choices=FIGURES, help="kind of picture (default alignment)")
    files.add_argument("--level", choices=("word", "subword"), help="level of the picture (default word)")
    files.add_argument("--json", type=Path, metavar="FILE", help="the trace, with every number")
    files.add_argument(
        "--tensors", metavar="NAME", help="store its vectors in this safetensors file in the same folder"
    )
    return parser


SITE_EXAMPLES = """examples:
  hf-attn-seq2seq site en-fr --output site
  hf-attn-seq2seq site outputs/demo --output demo.html --single-file
  hf-attn-seq2seq site outputs/demo --compare outputs/demo-none --output two.html --single-file
"""


def site_parser() -> CommandParser:
    parser = CommandParser(
        description="Write a page on which a model translates in the reader's browser and shows how: static files for "
        "any web server, or one file.",
        epilog=SITE_EXAMPLES,
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="folder of a model that reads text, its name on the Hub, or a name in this package such as en-fr",
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="PATH", help="the new folder; with --single-file, the HTML file"
    )
    parser.add_argument(
        "--compare",
        metavar="MODEL",
        help="a second model, such as one without attention: both are given the same text, and their runs stand side "
        "by side",
    )
    parser.add_argument(
        "--single-file", action="store_true", help="put everything into one file, which opens by a double click"
    )
    parser.add_argument(
        "--example",
        default="sentence",
        metavar="TEXT",
        help="text that the page opens with, or sentence or paragraph: one in this package, English or French as the "
        "model reads (default: %(default)s)",
    )
    return parser
