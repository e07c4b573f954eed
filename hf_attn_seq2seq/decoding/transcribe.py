# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Write down what sounds say or pictures show. The output has one line per file, in order."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hf_attn_seq2seq.decoding.command import MAX_LENGTH_PENALTY
from hf_attn_seq2seq.decoding.files import STANDARD, Output, read_blocks, refuse_overwriting
from hf_attn_seq2seq.messages import quoted, shortened


if TYPE_CHECKING:
    from hf_attn_seq2seq.decoding.recognition import Transcript

TABLES = (".tsv", ".csv")
_BLOCK = 1 << 16  # bytes of a table
COLUMNS = ("audio", "image", "file", "path")  # that hold files, if none is named


class _NoFile(NamedTuple):
    """A row of a table that names none."""

    reason: str


def run(options: argparse.Namespace) -> None:
    """Read, recognize, write; exit status 1 if a file could not be used."""
    output = None if options.output == Path(STANDARD) else options.output
    _check(options)
    tables = [Path(name) for name in options.files if Path(name).suffix.lower() in TABLES]
    if options.column and not tables:
        raise ValueError(f"--column needs a table of files ({' or '.join(TABLES)}): give one.")
    refuse_overwriting(output, *map(Path, options.files))
    files = list(_files(options.files, options.column))
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
    named = (file for file in files if isinstance(file, str))
    found = transcribe(recognizer, named, engine=engine, **sizes, **search)
    told = (next(found) if isinstance(file, str) else Transcript("", "", error=file.reason) for file in files)
    failed = 0
    with Output(output) as writer, _bar(len(files), output) as bar:
        writer.open()
        for number, transcript in enumerate(told, start=1):
            if transcript.error is not None:
                failed += 1
                bar.write(f"error: {transcript.error}", file=sys.stderr)
            writer.write(_formatted(transcript, options.format), number, "")
            bar.update()
        writer.finish()
    if failed:
        print(f"{failed:,} of {len(files):,} files could not be used.", file=sys.stderr)
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


def _files(given: list[str], column: str | None) -> Iterator[str | _NoFile]:
    """The files, and those that tables name, relative to the table."""
    for name in given:
        path = Path(name)
        if path.suffix.lower() not in TABLES:
            yield name
            continue
        delimiter = "," if path.suffix.lower() == ".csv" else "\t"
        quoting: Any = csv.QUOTE_MINIMAL if delimiter == "," else csv.QUOTE_NONE
        lines = (line for block in read_blocks(path, _BLOCK) for line in block.lines)
        rows = csv.reader(lines, delimiter=delimiter, quoting=quoting)
        header = next(rows, [])
        wanted = column or next((each for each in COLUMNS if each in header), None)
        if wanted not in header:
            asked = f"the column {quoted(column)}" if column else f"one of the columns {', '.join(COLUMNS)}"
            raise ValueError(
                f"{name} does not have {asked}: name one of its own with --column "
                f"({shortened(', '.join(header)) or 'it is empty'})."
            )
        place = header.index(wanted)
        for number, row in enumerate(rows, start=2):
            if len(row) <= place or not row[place].strip():
                yield _NoFile(f"{name}, line {number}, names no file in the column {quoted(wanted)}.")
                continue
            yield str(path.parent / row[place].strip())


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
