# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Export a model to a folder for ONNX Runtime, in single precision or 8 bits."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from hf_attn_seq2seq.export.parsers import export_parser
from hf_attn_seq2seq.export.writer import Exported, described, export


def main(arguments: Sequence[str] | None = None) -> None:
    """The command `export`; wrong input raises an error of one sentence."""
    run(export_parser().parse(arguments))


def run(options: argparse.Namespace) -> None:
    """Export, and tell what came of it."""
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
