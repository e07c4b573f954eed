# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The options of `export`. What is imported here takes no time, so that `--help` is answered at once."""

from pathlib import Path

from hf_attn_seq2seq.console import CommandParser
from hf_attn_seq2seq.decoding.names import DEFAULT_MODEL
from hf_attn_seq2seq.export.names import COMPARED, CTRANSLATE2, GRAPH, KINDS, MARIAN


EXAMPLES = """examples:
  hf-attn-seq2seq export outputs/en-fr
  hf-attn-seq2seq export outputs/en-fr --to int8 --sentences test.en
  hf-attn-seq2seq translate outputs/en-fr-onnx "The cat is on the mat."

kinds:
  graph  the model's search as one ONNX graph, written into its folder, where it refers to the weights (some 0.1 MB):
         translate then starts without PyTorch, and any program with ONNX Runtime can translate
  onnx   single precision: the same translations as PyTorch, greedily and with beams
  int8   embeddings and the weights of matrix products in 8 bits: smaller, with slightly different results; the
         difference is measured and saved in exported.json
  ctranslate2
         a Transformer for CTranslate2, with equal results in single precision; needs the extra ctranslate2
  marian a Transformer for Marian and Firefox's engine: .npz, .bin, and .bin in 8 bits, with SentencePiece vocabularies
"""


def export_parser() -> CommandParser:
    parser = CommandParser(
        description="Export a model for ONNX Runtime, in single precision or 8 bits, for CTranslate2 or for Marian.",
        epilog=EXAMPLES,
    )
    parser.add_argument(
        "model",
        nargs="?",
        default=DEFAULT_MODEL,
        metavar="MODEL",
        help="a trained model's folder, or its name on the Hub (default: "
        f"{DEFAULT_MODEL}, which comes with this package)",
    )
    parser.add_argument(
        "--to",
        choices=(*KINDS, GRAPH, CTRANSLATE2, MARIAN),
        default="onnx",
        help="kind of export (default: %(default)s)",
    )
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
