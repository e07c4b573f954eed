# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Export a model for ONNX Runtime, in single precision or 8 bits, for CTranslate2 or for Marian."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from hf_attn_seq2seq.decoding.folders import try_it
from hf_attn_seq2seq.export.names import CTRANSLATE2, GRAPH, MARIAN
from hf_attn_seq2seq.export.parsers import export_parser
from hf_attn_seq2seq.export.writer import SENTENCES, Exported, WrittenGraph, described, export, export_graph


def main(arguments: Sequence[str] | None = None) -> None:
    """The command `export`; wrong input raises an error of one sentence."""
    run(export_parser().parse(arguments))


def run(options: argparse.Namespace) -> None:
    """Export, and tell what came of it."""
    sentences = None if options.sentences is None else _read(options.sentences)
    if options.to == GRAPH:
        if options.output is not None:
            raise ValueError("--to graph writes into the folder of the model, beside its weights: leave out --output.")
        print(_told_graph(export_graph(options.model, sentences)))
        return
    if options.to == CTRANSLATE2:
        from hf_attn_seq2seq.export import ctranslate2

        written = ctranslate2.export_ctranslate2(options.model, options.output, sentences)
        print(
            f"{written.folder}: {written.bytes / 1e6:.1f} MB, for CTranslate2.\n{ctranslate2.described(written)}\n"
            f"Try it: see {written.folder / 'README.md'}"
        )
        return
    if options.to == MARIAN:
        from hf_attn_seq2seq.export import marian

        made = marian.export_marian(options.model, options.output, sentences)
        sizes = ", ".join(f"{file} {size / 1e6:.1f} MB" for file, size in made.bytes.items())
        print(f"{made.folder}: {sizes}.\n{marian.described(made)}\nTry it: see {made.folder / 'README.md'}")
        return
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
        f"{try_it(exported.folder)}"
    )


def _told_graph(written: WrittenGraph) -> str:
    return (
        f"{written.path}: {written.bytes / 1e6:.2f} MB, beside the weights.\n{written.equal_translations} of "
        f"{written.compared} {SENTENCES[written.sentences]} have the same translation as with PyTorch.\n"
        f"{try_it(written.path.parent)}"
    )
