# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Write down what sounds say or pictures show. The output has one line per file, in order."""

from __future__ import annotations

import argparse
import itertools
import json
import re
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hf_attn_seq2seq.decoding.command import MAX_LENGTH_PENALTY
from hf_attn_seq2seq.decoding.files import STANDARD, Output, refuse_overwriting
from hf_attn_seq2seq.messages import quoted, shortened


if TYPE_CHECKING:
    from hf_attn_seq2seq.decoding.recognition import Content, Transcript

TABLE = re.compile(r".*\.(tsv|csv|jsonl|parquet)(\.(gz|xz|bz2))?", re.IGNORECASE | re.DOTALL)
COLUMNS = ("audio", "image", "file", "path")  # that hold files, if none is named


class _NoFile(NamedTuple):
    """A row of a table that names none."""

    reason: str


def run(options: argparse.Namespace) -> None:
    """Read, recognize, write; exit status 1 if a file could not be used."""
    output = None if options.output == Path(STANDARD) else options.output
    _check(options)
    refuse_overwriting(output, *map(Path, options.files))
    if options.column and not any(map(TABLE.fullmatch, options.files)):
        raise ValueError("--column needs a table of files (TSV, CSV, JSONL or Parquet): give one.")
    count = sum(
        1 for _ in _files(options.files, options.column)
    )  # reads the tables: what is wrong with one is told now
    # Not before the arguments are checked, and not for --help.
    from hf_attn_seq2seq.decoding.loaded import quick_engine
    from hf_attn_seq2seq.decoding.loading import load_recognizer
    from hf_attn_seq2seq.decoding.recognition import Transcript, transcribe

    recognizer = load_recognizer(options.model, options.device, options.dtype)
    names = ("num_beams", "length_penalty", "max_new_tokens", "ctc_weight")
    search = {name: value for name in names if (value := getattr(options, name)) is not None}
    if search.get("ctc_weight") and getattr(recognizer.model, "ctc_head", None) is None:
        raise ValueError(f"'{options.model}' was trained without CTC: leave out --ctc-weight.")
    engine = quick_engine(recognizer.model, options.engine)
    sizes = {"batch_size": options.batch_size, "max_seconds": options.max_seconds}
    files, again = itertools.tee(_files(options.files, options.column))
    usable: Any = (file for file in again if not isinstance(file, _NoFile))
    found = transcribe(recognizer, usable, engine=engine, **sizes, **search)
    told = (Transcript("", "", error=file.reason) if isinstance(file, _NoFile) else next(found) for file in files)
    failed = 0
    with Output(output) as writer, _bar(count, output) as bar:
        writer.open()
        for number, transcript in enumerate(told, start=1):
            if transcript.error is not None:
                failed += 1
                bar.write(f"error: {transcript.error}", file=sys.stderr)
            writer.write(_formatted(transcript, options.format), number, "")
            bar.update()
        writer.finish()
    if failed:
        print(f"{failed:,} of {count:,} files could not be used.", file=sys.stderr)
        sys.exit(1)


def _check(options: argparse.Namespace) -> None:
    for name in ("num_beams", "max_new_tokens", "batch_size"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name.replace('_', '-')} is {value}: it must be at least 1.")
    if not options.max_seconds > 0:
        raise ValueError(f"--max-seconds is {options.max_seconds}: it must be above 0.")
    if options.ctc_weight is not None and not 0 <= options.ctc_weight <= 1:
        raise ValueError(f"--ctc-weight is {options.ctc_weight}: it must be from 0 to 1.")
    if options.length_penalty is not None and not abs(options.length_penalty) <= MAX_LENGTH_PENALTY:
        raise ValueError(
            f"--length-penalty is {options.length_penalty}: it must be a number from -{MAX_LENGTH_PENALTY} to "
            f"{MAX_LENGTH_PENALTY}."
        )


def _files(given: list[str], column: str | None) -> Iterator[str | Content | _NoFile]:
    """The files, and those that tables name, relative to the table, or hold."""
    for name in given:
        yield from _in_table(name, column) if TABLE.fullmatch(name) else [name]


def _in_table(table: str, asked: str | None) -> Iterator[str | Content | _NoFile]:
    from hf_attn_seq2seq.data.readers import BadRow, read_files
    from hf_attn_seq2seq.decoding.recognition import Content

    if not Path(table).exists():
        raise ValueError(f"There is no file {table}: check its path.")
    for row in read_files(Path(table), partial(_column, table, asked)):
        if isinstance(row, BadRow):
            yield _NoFile(f"{table}, line {row.line}: {row.reason}.")
        elif row.content is not None:
            yield Content(row.source, row.content)
        elif not row.source.strip():
            yield _NoFile(f"{table}, line {row.line}, names no file.")
        else:
            yield str(Path(table).parent / row.source.strip())


def _column(table: str, asked: str | None, names: Sequence[str]) -> str:
    """The column that is asked for, or the first of `COLUMNS` that the table has."""
    found = next((name for name in ([asked] if asked else COLUMNS) if name in names), None)
    if found is None:
        wanted = f"the column {quoted(asked)}" if asked else f"one of the columns {', '.join(COLUMNS)}"
        raise ValueError(
            f"{table} does not have {wanted}: name one of its own with --column ({shortened(', '.join(names))})."
        )
    return found


def _formatted(transcript: Transcript, kind: str) -> str:
    if kind == "jsonl":
        record: dict[str, Any] = {"file": transcript.file, "text": transcript.text}
        record |= {"error": transcript.error} if transcript.error else {"score": round(transcript.score, 4)}
        return json.dumps(record, ensure_ascii=False) + "\n"
    return f"{transcript.file}\t{transcript.text}\n" if kind == "tsv" else f"{transcript.text}\n"


class _Plain:
    """In place of a bar, where there is no terminal or little to do."""

    def __enter__(self) -> _Plain:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def write(self, sentence: str, file: Any) -> None:
        print(sentence, file=file)

    def update(self) -> None:
        pass


def _bar(files: int, output: Path | None) -> Any:
    """A progress bar on a terminal, unless the results are written there."""
    if files > 1 and sys.stderr.isatty() and not (output is None and sys.stdout.isatty()):
        from tqdm import tqdm

        return tqdm(total=files, unit=" files", file=sys.stderr, dynamic_ncols=True)
    return _Plain()
