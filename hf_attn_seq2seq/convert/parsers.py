# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The options of `convert`. What is imported here takes no time, so that `--help` is answered at once."""

from pathlib import Path

from hf_attn_seq2seq.console import CommandParser
from hf_attn_seq2seq.convert.names import ORIGINS


EXAMPLES = """examples:
  hf-attn-seq2seq convert models/en-es --output outputs/en-es
  hf-attn-seq2seq convert model.npz --vocab source.spm target.spm --output outputs/en-es
  hf-attn-seq2seq convert checkpoint_best.pt --vocab dict.en.txt dict.es.txt bpecodes --output outputs/en-es
  hf-attn-seq2seq translate outputs/en-es "The cat is on the mat."

origins:
"""


def convert_parser() -> CommandParser:
    parser = CommandParser(
        description="Convert a checkpoint of another toolkit to a model of this package.",
        epilog=EXAMPLES + "".join(f"  {name:<8}  {title}\n" for name, title in ORIGINS.items()),
    )
    parser.add_argument("source", type=Path, metavar="SOURCE", help="the checkpoint: a file, or a folder with it")
    parser.add_argument(
        "--from", dest="origin", choices=tuple(ORIGINS), help="whose checkpoint it is (default: told by the files)"
    )
    parser.add_argument(
        "--vocab",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="its vocabulary, or the source's and the target's, and what split its text: a SentencePiece model or BPE "
        "codes (default: what is beside it)",
    )
    parser.add_argument("--output", "-o", metavar="FOLDER", required=True, help="a new folder")
    return parser
