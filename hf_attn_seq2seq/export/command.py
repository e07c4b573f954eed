# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Export a model to a folder for ONNX Runtime, in single precision or 8 bits."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from hf_attn_seq2seq.console import CommandParser
from hf_attn_seq2seq.decoding.loading import DEFAULT_MODEL
from hf_attn_seq2seq.export.writer import COMPARED, KINDS, Exported, described, export


EXAMPLES = """examples:
  hf-attn-seq2seq export outputs/en-fr
  hf-attn-seq2seq export outputs/en-fr --to int8 --sentences test.en
  hf-attn-seq2seq translate outputs/en-fr-onnx "The cat is on the mat."

kinds:
  onnx   single precision: the same translations as PyTorch, greedily and with beams
  int8   embeddings and the weights of matrix products in 8 bits: smaller, with slightly different results; the
         difference is measured and saved in exported.json
"""


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser(description=__doc__, epilog=EXAMPLES)
    parser.add_argument(
        "model",
        nargs="?",
        default=DEFAULT_MODEL,
        metavar="MODEL",
        help="a trained model's folder, or its name on the Hub (default: %(default)s, which comes with this package)",
    )
    parser.add_argument("--to", choices=KINDS, default="onnx", help="kind of export (default: %(default)s)")
    parser.add_argument(
        "--output", "-o", metavar="FOLDER", help="a new folder (default: the model's name and the kind)"
    )
    parser.add_argument(
        "--sentences",
        type=Path,
        metavar="FILE",
        help=f"a text in the model's source language, whose first {COMPARED} lines are used to compare the results "
        "with PyTorch's (default: the sentences of its model card, or random words)",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """The command `export`; wrong input raises an error of one sentence."""
    options = build_parser().parse_args(arguments)
    sentences = None if options.sentences is None else _read(options.sentences)
    print(_told(export(options.model, options.to, options.output, sentences)))


def _read(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, IsADirectoryError):
        raise ValueError(f"There is no file '{path}': name a text file.") from None
    except UnicodeDecodeError:
        raise ValueError(f"'{path}' is not UTF-8 text: convert it first.") from None


def _told(exported: Exported) -> str:
    return (
        f"{exported.folder}: {exported.bytes / 1e6:.1f} MB, {exported.kind}.\n{described(exported.difference)}\n"
        f'Try it: hf-attn-seq2seq translate {exported.folder} "..."'
    )
