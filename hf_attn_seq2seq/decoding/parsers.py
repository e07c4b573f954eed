# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The options of this room's commands. What is imported here takes no time, so that `--help` is answered at once."""

import argparse
from pathlib import Path

from hf_attn_seq2seq.console import CommandParser
from hf_attn_seq2seq.decoding.names import DEFAULT_MODEL, DTYPES, ENGINE_HELP, ENGINES, GRAPH_BATCH, TORCH_BATCH


EXAMPLES = """examples:
  hf-attn-seq2seq translate "The cat is on the mat."
  hf-attn-seq2seq translate outputs/en-fr < test.en > test.fr
  hf-attn-seq2seq translate outputs/en-fr corpus.en.gz --output corpus.fr.gz --processes 4 --resume
  hf-attn-seq2seq translate outputs/a,outputs/b test.en --n-best 5 --format jsonl

formats:
  text   the translation; with --alignments, `translation ||| 0-0 1-2`; with --n-best, one line
         `line ||| translation ||| score` per translation, followed by `||| 0-0 1-2` with --alignments. Lines are
         counted from 0.
  jsonl  one JSON object per line: id (the line number, from 0), source, and translations, best first, each with text,
         score and, with --alignments, alignment
A score is the sum of the tokens' log-probabilities, divided by length ** length_penalty; for a line with several
sentences it is the mean of their scores. An alignment has a link `source-target` for each linked word of the
translation. Words are separated by whitespace and counted from 0.
"""


def translate_parser() -> CommandParser:
    parser = CommandParser(
        description="Translate a sentence, a file or standard input, line by line. The output has one line per "
        "input line, in order.",
        epilog=EXAMPLES,
    )
    parser.add_argument(
        "model",
        nargs="?",
        metavar="MODEL[,MODEL...]",
        help="folder of a trained model, or its name on the Hub; several models form an ensemble (default: "
        f"{DEFAULT_MODEL}, English to French, included in this package)",
    )
    parser.add_argument(
        "input",
        nargs="?",
        metavar="TEXT|FILE",
        help="a sentence, or a UTF-8 file, optionally .gz, .xz or .bz2 (default or -: standard input)",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output", "-o", type=Path, metavar="FILE", help="optionally .gz, .xz or .bz2 (default: standard output)"
    )
    output.add_argument("--resume", action="store_true", help="continue the unfinished --output of an interrupted run")
    output.add_argument("--format", choices=("text", "jsonl"), default="text", help="(default %(default)s)")
    output.add_argument("--n-best", type=int, metavar="N", help="write the N best translations with their scores")
    output.add_argument("--alignments", action="store_true", help="write word alignments in Pharaoh format")
    search = parser.add_argument_group("search")
    search.add_argument(
        "--split",
        dest="split_sentences",
        action=argparse.BooleanOptionalAction,
        help="translate each line sentence by sentence, joined into one line again, or as a whole (default: as the "
        "model was trained)",
    )
    search.add_argument("--num-beams", type=int, metavar="N", help="1 is greedy search (default: the model's setting)")
    search.add_argument(
        "--length-penalty",
        type=float,
        metavar="X",
        help="above 0 favours longer translations (default: the model's setting)",
    )
    search.add_argument(
        "--max-new-tokens",
        type=int,
        metavar="N",
        help="maximum length of a sentence's translation (default: the model's setting, or 256)",
    )
    search.add_argument(
        "--max-source-tokens", type=int, metavar="N", help="truncate longer sentences (default: the model's limit)"
    )
    attention = parser.add_argument_group("attention")
    attention.add_argument(
        "--replace-unknown",
        action="store_true",
        help="replace each unknown token by the source word with the most attention",
    )
    attention.add_argument(
        "--dictionary", type=Path, metavar="TSV", help="with --replace-unknown: source words and their translations"
    )
    attention.add_argument(
        "--attention-layer",
        type=int,
        metavar="N",
        help="layer to read (default: that of MODEL/alignment.json, or the last)",
    )
    work = parser.add_argument_group("work")
    work.add_argument(
        "--batch-size",
        type=int,
        metavar="N",
        help=f"sentences per batch (default: {GRAPH_BATCH} by the graph, {TORCH_BATCH} by PyTorch)",
    )
    work.add_argument(
        "--processes", type=int, default=1, metavar="N", help="batches translated at once (default %(default)s)"
    )
    work.add_argument("--engine", choices=ENGINES, default="auto", help=ENGINE_HELP)
    work.add_argument("--device", help="such as cpu or cuda:1 (default: a GPU if available)")
    work.add_argument("--dtype", choices=DTYPES, default="auto")
    return parser


TRANSCRIBE_EXAMPLES = """examples:
  hf-attn-seq2seq transcribe outputs/an4-speech speech.flac
  hf-attn-seq2seq transcribe outputs/an4-speech recordings/*.wav --num-beams 5 --ctc-weight 0.3 --format tsv
  hf-attn-seq2seq transcribe outputs/fraktur-lines test.tsv --output test.txt

formats:
  text   what was recognized
  tsv    the file, a tab, and what was recognized
  jsonl  one JSON object per line: file, text, and score or, of a file that cannot be used, error
A score is the sum of the tokens' log-probabilities, divided by length ** length_penalty. A file that
cannot be used is told, and its line has no text; the others are done, and the exit status is 1.
"""


def transcribe_parser() -> CommandParser:
    parser = CommandParser(
        description="Write down what sounds say or pictures show. The output has one line per file, in order.",
        epilog=TRANSCRIBE_EXAMPLES,
    )
    parser.add_argument("model", metavar="MODEL", help="folder of a trained model, or its name on the Hub")
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="sounds (WAV, FLAC, Ogg, MP3), or pictures (PNG, JPEG, WebP, GIF, BMP, TIFF); a .tsv, .csv, .jsonl or "
        ".parquet is a table with files, relative to it, in one of its columns",
    )
    parser.add_argument(
        "--column", metavar="NAME", help="of a table, with the files (default: audio, image, file, path)"
    )
    output = parser.add_argument_group("output")
    output.add_argument("--output", "-o", type=Path, metavar="FILE", help="(default: standard output)")
    output.add_argument("--format", choices=("text", "tsv", "jsonl"), default="text", help="(default %(default)s)")
    search = parser.add_argument_group("search")
    search.add_argument(
        "--num-beams", "--beams", type=int, metavar="N", help="1 is greedy search (default: the model's setting)"
    )
    search.add_argument(
        "--ctc-weight",
        type=float,
        metavar="X",
        help="share of CTC in the score, from 0 to 1, of a model trained with it (default: the model's setting)",
    )
    search.add_argument(
        "--length-penalty",
        type=float,
        metavar="X",
        help="above 0 favours longer texts (default: the model's setting)",
    )
    search.add_argument(
        "--max-new-tokens",
        type=int,
        metavar="N",
        help="maximum length of a text (default: the model's setting, or 256)",
    )
    work = parser.add_argument_group("work")
    work.add_argument(
        "--max-seconds",
        type=float,
        default=600.0,
        metavar="X",
        help="longer sounds are not used (default %(default)g); memory and time grow with the length",
    )
    work.add_argument(
        "--batch-size", type=int, default=16, metavar="N", help="files decoded at once, at most (default %(default)s)"
    )
    work.add_argument("--engine", choices=ENGINES, default="auto", help=ENGINE_HELP)
    work.add_argument("--device", help="such as cpu or cuda:1 (default: a GPU if available)")
    work.add_argument("--dtype", choices=DTYPES, default="auto")
    return parser
