# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Convert a checkpoint of another toolkit to a model of this package."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from hf_attn_seq2seq.convert.converted import Converted
from hf_attn_seq2seq.convert.names import ORIGINS
from hf_attn_seq2seq.convert.parsers import convert_parser
from hf_attn_seq2seq.convert.weights import files_read_once, read_torch
from hf_attn_seq2seq.messages import shortened
from hf_attn_seq2seq.writing import filled, new_output


TORCH = (".pt", ".pth", ".ckpt")  # how files of torch.save are named


def main(arguments: Sequence[str] | None = None) -> None:
    """The command `convert`; wrong input raises an error of one sentence."""
    run(convert_parser().parse(arguments))


def run(options: argparse.Namespace) -> None:
    """Convert, and tell what came of it."""
    converted = convert(options.source, options.output, options.vocab, options.origin)
    size = sum(part.numel() for part in converted.model.parameters())
    print(f"{options.output}: {size:,} parameters.", *converted.told, sep="\n")
    print(f'Try it: hf-attn-seq2seq translate {options.output} "..."')


def convert(
    source: str | Path, output: str | Path, vocabularies: Sequence[str | Path] = (), origin: str | None = None
) -> Converted:
    """
    Convert a checkpoint of another toolkit to a folder that [`load`] and `from_pretrained` load, with its tokenizer.

    The folder appears only when it is complete.

    Args:
        source: The checkpoint: a file, or a folder with it.
        output: The new folder.
        vocabularies: Its vocabulary, or the source's and the target's; none: what is beside it.
        origin: Whose checkpoint it is, a name in `ORIGINS`; None: told by the files.

    Raises:
        ValueError: A file is missing, foreign or damaged, the model needs what there is not here, or the folder exists
            and is not empty.
    """
    source, folder = Path(source), new_output(output)
    if not source.exists():
        raise ValueError(f"There is no '{shortened(str(source))}': name a checkpoint.")
    with files_read_once():
        reader = _reader(source, origin)
        converted: Converted = reader.convert(source, [Path(each) for each in vocabularies])
    with filled(folder) as made:
        converted.model.save_pretrained(made)
        converted.tokenizer.save_pretrained(made)
    return converted


def _reader(source: Path, origin: str | None) -> ModuleType:
    if origin is not None and origin not in ORIGINS:
        raise ValueError(f"Unknown origin '{shortened(origin)}': choose one of {', '.join(ORIGINS)}.")
    for name in ORIGINS if origin is None else [origin]:
        module = importlib.import_module(f"hf_attn_seq2seq.convert.{name}")
        if origin is not None or module.recognizes(source):
            return module
    if source.suffix in TORCH:
        read_torch(source)  # says why, if that is why nobody knows it
    raise ValueError(
        f"'{shortened(str(source))}' is no checkpoint that is known: say whose it is by --from ({', '.join(ORIGINS)})."
    )
