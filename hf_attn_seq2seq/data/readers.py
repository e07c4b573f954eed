# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Readers of sentence pairs, one per kind of source: rows in order, in bounded memory, one pass over each file.

An unusable row is returned as a `BadRow` that names its line; an unusable file raises an error of one sentence.
"""

from __future__ import annotations

import bz2
import codecs
import csv
import functools
import gettext
import gzip
import hashlib
import io
import itertools
import json
import lzma
import re
import tempfile
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.parsers import expat

from hf_attn_seq2seq.data.grammar import generate_corpus
from hf_attn_seq2seq.data.scan_commands import scan_pairs
from hf_attn_seq2seq.messages import quoted, shortened
from hf_attn_seq2seq.writing import writing


if TYPE_CHECKING:  # tables of files are read without the libraries of recipes
    from hf_attn_seq2seq.data.settings import DataSettings, GrammarSettings, ScanSettings, SourceSettings

_CHUNK = 1 << 20  # bytes
_MAX_LINE = 1 << 26  # characters of a line, or of a record in a JSON array, that are kept in memory
_MAX_CSV_FIELD = 1 << 20  # characters
_MAX_ROW_LINES = 100  # of a CSV row: a quote that stays open for longer is an error
_FEW_LINES = 3  # of a CSV row that may each look like a row
_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
_NO_TEXT = {  # magic bytes of files that are not text
    re.compile(rb"PK\x03\x04"): "a zip archive: unpack it",
    re.compile(rb"7z\xbc\xaf\x27\x1c"): "a 7z archive: unpack it",
    re.compile(rb"Rar!\x1a\x07"): "a RAR archive: unpack it",
    re.compile(rb"[^\0].{256}ustar", re.DOTALL): "a tar archive: unpack it",
    re.compile(rb"\x28\xb5\x2f\xfd"): "compressed with Zstandard: decompress it",
    re.compile(rb"\x1f\x8b\x08"): "compressed with gzip: decompress it, or rename it to end in .gz",
    re.compile(rb"\xfd7zXZ\0"): "compressed with xz: decompress it, or rename it to end in .xz",
    re.compile(rb"BZh[1-9]1AY&SY"): "compressed with bzip2: decompress it, or rename it to end in .bz2",
    re.compile(rb"PAR1[\x15\x16]"): "a Parquet file: set format to parquet",
}
_UNUSED = object()  # placeholder for the lines of a file that has ended

_UNDECODABLE = "\udcff"  # represents undecodable bytes: no codec decodes anything to a lone surrogate
_MARK_UNDECODABLE = "hf_attn_seq2seq.mark_undecodable"
codecs.register_error(_MARK_UNDECODABLE, lambda error: (_UNDECODABLE, error.end))  # type: ignore[attr-defined]


class Row(NamedTuple):
    source: str
    target: str
    line: int  # of the file, or row of a dataset, counted from 1
    references: list[str] | None = None
    alignment: str | None = None  # Pharaoh
    possible: str | None = None  # Pharaoh
    group: str | None = None
    content: bytes | None = None  # of the sound or picture called `source`, if it is no file


class LeftOut(NamedTuple):
    """A row that `keep` does not ask for."""

    line: int
    value: str  # the one that is not asked for


class BadRow(NamedTuple):
    line: int
    reason: str
    file: Path | None = None  # the sound or picture that cannot be used, unless its content was in the table


@dataclass
class OpenSource:
    """The rows of a source, and the files that they are lazily read from."""

    rows: Iterator[Row | BadRow | LeftOut]
    files: list[InputFile] = field(default_factory=list)

    def close(self) -> None:
        for file in self.files:
            file.close()


def check_encoding(name: str) -> None:
    """Raises a ValueError for a name that is not a text encoding known to Python."""
    try:
        "a".encode(name)
    except (LookupError, ValueError):
        raise ValueError(
            f"Unknown encoding {name[:40]!r}: name one that Python knows, such as 'utf-8' or 'latin-1'."
        ) from None


class InputFile:
    """A file that is decompressed, decoded and checksummed in one pass."""

    def __init__(self, path: Path, encoding: str = "utf-8") -> None:
        if path.is_dir():
            raise ValueError(f"{path} is a folder: name a file in it.")
        if not path.is_file():
            raise ValueError(
                f"There is no file {path}: check its name, and data.folder, which relative names refer to."
            )
        check_encoding(encoding)
        self.path = path
        self.encoding = encoding
        self.fault = ""  # what is wrong with the last line, if it is None
        self.last_undecodable = 0  # line
        self._undecodable = 0
        self._first_undecodable = 0
        self._line = 0
        self._likely_encoding = "latin-1"
        self._raw = _ChecksummedFile(path)
        self._buffered = io.BufferedReader(self._raw, _CHUNK)
        opener = _OPENERS.get(path.suffix.lower())
        self.stream = io.BufferedReader(opener(self._buffered, "rb"), _CHUNK) if opener else self._buffered

    def sha256(self) -> str:
        """Checksum of the file as stored on disk; reads the rest of the file if necessary."""
        while self._raw.read(_CHUNK):
            pass
        return self._raw.digest.hexdigest()

    def close(self) -> None:
        self.stream.close()
        self._buffered.close()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Turns the errors of a damaged archive into one sentence."""
        try:
            yield
        except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # from the disk, not the archive
                raise
            beyond = f" after line {self._line}" if self._line else ""
            raise ValueError(
                f"{self.path} cannot be decompressed{beyond} ({error}): it is damaged, or no {self.path.suffix} file."
            ) from error

    def head(self) -> bytes:
        """The first decompressed bytes, without consuming them."""
        with self.reading():
            return self.stream.peek(_CHUNK)

    def lines(self, replace: bool = False) -> Iterator[str | None]:
        """The lines without their line endings; an unusable line is None, and `fault` says why.

        Lines end at a line feed, with or without a carriage return before it, and at no other character; but if the
        first megabyte has carriage returns and no line feed, they end at either. Byte order marks are removed.

        Args:
            replace: return a line with undecodable bytes as text with U+FFFD in their place, not as None.

        Raises:
            ValueError: if the file is empty, damaged or not text, or if several lines, more than one in a hundred, are
                in another encoding.
        """
        number = 0
        with self._opened(universal=False) as text, self.reading():
            while line := text.readline(_MAX_LINE):
                number += 1
                self._line = number
                if len(line) == _MAX_LINE and not line.endswith("\n"):
                    while line and not line.endswith("\n"):
                        line = text.readline(_MAX_LINE)
                    self.fault = f"has a line of more than {_MAX_LINE:,} characters, which is too long"
                    yield None
                    continue
                if _UNDECODABLE in line:
                    self.note_undecodable(number)
                    if not replace:
                        yield None
                        continue
                    line = line.replace(_UNDECODABLE, "\ufffd")
                yield line.removeprefix("\ufeff").removesuffix("\n").removesuffix("\r")
        if not number:
            raise ValueError(f"{self.path} is empty: it must have one sentence or one pair per line.")
        self.refuse_wrong_encoding(number, "lines")

    def chunks(self) -> Iterator[str]:
        """The text in chunks of any length, with all line endings as line feeds and `_UNDECODABLE` for bad bytes.

        Raises:
            ValueError: if the file is damaged or not text.
        """
        with self._opened(universal=True) as text, self.reading():
            while chunk := text.read(1 << 16):
                yield chunk
                self._line += chunk.count("\n")

    @contextmanager
    def _opened(self, universal: bool) -> Iterator[io.TextIOWrapper]:
        head = self.head()
        for start, told in _NO_TEXT.items():
            if start.match(head):
                raise ValueError(f"{self.path} is {told}.")
        wide = len("a".encode(self.encoding)) > 1
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            self._likely_encoding = "utf-16"
        elif not wide and 5 * head.count(0) > len(head):
            self._likely_encoding = "utf-16-be" if head.startswith(b"\0") else "utf-16-le"
            raise ValueError(self.wrong_encoding(1, " (it is full of NUL bytes)"))
        if not universal:
            begin = head.decode(self.encoding, "ignore") if wide else head.decode("latin-1")
            universal = "\r" in begin and "\n" not in begin
        text = io.TextIOWrapper(
            self.stream, self.encoding, errors=_MARK_UNDECODABLE, newline=None if universal else "\n"
        )
        try:
            yield text
        except UnicodeError as error:  # from a codec that cannot continue after an error
            raise ValueError(self.wrong_encoding(self._line + 1)) from error
        finally:
            if not self.stream.closed:
                text.detach()  # otherwise it would close the file before its checksum is taken

    def note_undecodable(self, line: int) -> None:
        """Count a line or a record that has undecodable bytes."""
        self._first_undecodable = self._first_undecodable or line
        self.last_undecodable = line
        self._undecodable += 1
        self.fault = f"is not {self.encoding} text here (if it has another encoding, such as latin-1, set encoding)"

    def refuse_wrong_encoding(self, total: int, what: str) -> None:
        """Raises a ValueError if too many of `total` lines or records are undecodable to be accidental errors."""
        if self._undecodable > 1 and 100 * self._undecodable > total:
            more = f" ({self._undecodable} of {total} {what} are not)"
            raise ValueError(self.wrong_encoding(self._first_undecodable, more))

    def wrong_encoding(self, line: int, more: str = "") -> str:
        return (
            f"{self.path}, line {line}, is not {self.encoding} text{more}: "
            f"set the file's encoding, such as encoding: {self._likely_encoding}, or fix the file."
        )


class _ChecksummedFile(io.RawIOBase):
    """A file that computes the SHA-256 of its bytes as they are read in order."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self.digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = self._file.readinto(buffer) or 0
        self.digest.update(memoryview(buffer)[:size])
        return size

    def close(self) -> None:
        self._file.close()
        super().close()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file as stored on disk.

    Raises:
        ValueError: if the file does not exist.
    """
    with closing(InputFile(path)) as file:
        return file.sha256()


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a UTF-8 text file, plain, .gz, .xz or .bz2 (see `InputFile.lines`).

    Raises:
        ValueError: if the file is missing, empty, damaged or not UTF-8; the message names the file and line, if any.
    """
    with closing(InputFile(path)) as file:
        for number, line in enumerate(file.lines(), start=1):
            if line is None:
                fault = "is not UTF-8 text" if file.last_undecodable == number else file.fault
                raise ValueError(f"{path}, line {number}, {fault}: fix or convert it.")
            yield line


def open_source(source: SourceSettings, data: DataSettings) -> OpenSource:
    """Opens one source of a corpus; the caller closes it.

    Raises:
        ValueError: if a file is missing. Reading the rows raises it too, for anything else that is wrong with a file.
    """
    if source.grammar is not None:
        return OpenSource(_grammar_rows(source.grammar))
    if source.scan is not None:
        return OpenSource(_scan_rows(source.scan))
    if source.hub is not None:
        return OpenSource(_hub_rows(source, data))
    if source.file is None:
        names = [source.source, source.target, *source.references]
        names += [name for name in (source.alignment, source.possible) if name is not None]
        files = [InputFile(data.folder / str(name), source.encoding) for name in names]
        return OpenSource(_text_rows(source, files), files)
    file = InputFile(data.folder / source.file, source.encoding)
    return OpenSource(_FILE_READERS[source.file_format](source, data, file), [file])


def read_files(path: Path, choose: Callable[[Sequence[str]], str]) -> Iterator[Row | BadRow]:
    """
    The sounds or pictures in a column of a table, as the sources of rows that have no target.

    Args:
        path: A TSV, CSV, JSONL or Parquet file with such a suffix, or with .gz, .xz or .bz2 after it.
        choose: Is given the columns' names, those of the header, the schema or the first record, and returns one.

    Raises:
        ValueError: if the file is missing, or anything is wrong with it as a whole.
    """
    kind = next(suffix for suffix in reversed(path.suffixes) if suffix.lower() not in _OPENERS).lower()
    with closing(InputFile(path)) as file:
        if kind == ".parquet":
            with _parquet_file(file) as table:
                column = choose(_names_in_schema(table.schema_arrow, table.schema_arrow.names))
                wanted = [column if column in table.schema_arrow.names else column.split(".")[0]]
                for number, row in enumerate(_parquet_records(file, table, wanted), start=1):
                    yield BadRow(number, _NOT_UTF8) if row is None else _file_in(number, row, column)
        elif kind == ".jsonl":
            column = ""
            for number, record in _json_records(file):
                if isinstance(record, dict):
                    column = column or choose(list(dict.fromkeys([*record, *_names_in(record)])))
                    yield _file_in(number, record, column)
                else:
                    yield Row("", "", number) if record is None else BadRow(number, record)
        else:
            rows = _csv_cells(file, ",") if kind == ".csv" else _tsv_cells(file)
            number, header = next(rows)
            if isinstance(header, str):
                raise ValueError(f"{path}, line {number}: {header}.")
            place = header.index(choose(header))
            for number, cells in rows:
                if isinstance(cells, str):
                    yield BadRow(number, cells)
                else:
                    yield _row(number, cells[place] if place < len(cells) else "", "")


def _text_rows(source: SourceSettings, files: Sequence[InputFile]) -> Iterator[Row | BadRow]:
    """Rows of line-aligned files, in the order in which `open_source` names them."""
    aligned = [file.lines() for file in files]
    extra = 2 + len(source.references)
    for number, cells in enumerate(itertools.zip_longest(*aligned, fillvalue=_UNUSED), start=1):
        if _UNUSED in cells:
            totals = [
                number - 1 if cell is _UNUSED else number + sum(1 for _ in lines)
                for cell, lines in zip(cells, aligned)
            ]
            longest, shortest = totals.index(max(totals)), totals.index(min(totals))
            raise ValueError(
                f"{files[longest].path} has {totals[longest]} lines and {files[shortest].path} has "
                f"{totals[shortest]}, a difference of {totals[longest] - totals[shortest]}: line-aligned files must "
                "have the same number of lines."
            )
        if None in cells:
            bad = files[cells.index(None)]
            yield BadRow(number, f"{bad.path.name} {bad.fault}")
            continue
        links = list(cells[extra:])
        yield _row(
            number,
            cells[0],
            cells[1],
            list(cells[2:extra]) if extra > 2 else None,
            links.pop(0) if source.alignment is not None else None,
            links.pop(0) if source.possible is not None else None,
        )


def _tsv_rows(source: SourceSettings, data: DataSettings, file: InputFile) -> Iterator[Row | BadRow | LeftOut]:
    return _table_rows(source, data, file, _tsv_cells(file))


def _tsv_cells(file: InputFile) -> Iterator[tuple[int, list[str] | str]]:
    for number, line in enumerate(file.lines(), start=1):
        if line is None:
            yield number, file.fault
        elif "\r" in line and (rows := sum("\t" in part for part in line.split("\r"))) > 1:
            yield number, f"{rows} rows in one, separated by carriage returns: use the same line endings throughout"
        else:
            yield number, line.split("\t")


def _csv_rows(source: SourceSettings, data: DataSettings, file: InputFile) -> Iterator[Row | BadRow | LeftOut]:
    return _table_rows(source, data, file, _csv_cells(file, source.delimiter or ","))


class _CsvLine(NamedTuple):
    number: int
    text: str
    fault: str  # why it is unusable, or empty


class _CsvLines:
    """The lines of a CSV file, one row's worth at a time; lines after an unclosed quote can be read again."""

    def __init__(self, file: InputFile) -> None:
        self.file = file
        self.row: list[_CsvLine] = []  # the lines returned since `begin_row`
        self.cut = False  # whether the row needed more lines than there are, or than a row may have
        self._again: deque[_CsvLine] = deque()
        self._lines = enumerate(file.lines(), start=1)

    def begin_row(self) -> None:
        self.row.clear()
        self.cut = False

    def __iter__(self) -> Iterator[str]:
        while len(self.row) < _MAX_ROW_LINES:
            if self._again:
                self.row.append(self._again.popleft())
            else:
                number, line = next(self._lines, (0, None))
                if not number:
                    break
                self.row.append(_CsvLine(number, line or "", self.file.fault if line is None else ""))
            yield self.row[-1].text + "\n"
        self.cut = True

    def read_again(self) -> None:
        """Return all lines of the row but the first to the input."""
        self._again.extendleft(reversed(self.row[1:]))


def _csv_cells(file: InputFile, delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
    csv.field_size_limit(_MAX_CSV_FIELD)
    lines = _CsvLines(file)
    reader = csv.reader(lines, delimiter=delimiter)
    while True:
        lines.begin_row()
        reason = ""
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            reason = str(error)
            if "field larger" in reason:
                reason = f"a field of more than {_MAX_CSV_FIELD:,} characters, or an unclosed quote"
            elif "new-line" in reason:
                reason = "a carriage return in a field: quote the field, or use the same line endings throughout"
        else:
            if lines.cut or (len(lines.row) > 1 and not _is_one_row(lines.row, len(cells), delimiter)):
                reason = "a quote that is not closed, or closed in the middle of a field"
        number = lines.row[0].number
        fault = next((line.fault for line in lines.row if line.fault), "")
        if reason:
            lines.read_again()
        if lines.cut:
            reader = csv.reader(lines, delimiter=delimiter)
        yield number, (lines.row[0].fault or reason) if reason else (fault or cells)


def _is_one_row(lines: Sequence[_CsvLine], columns: int, delimiter: str) -> bool:
    """Whether the lines are one row with quoted line breaks, and not several rows after an unclosed quote."""
    try:
        list(csv.reader([line.text + "\n" for line in lines], delimiter=delimiter, strict=True))
    except csv.Error:
        return False
    cells = [line.text.split(delimiter) for line in lines]
    each_a_row = all(len(row) == columns and all(cell.strip(' "') for cell in row) for row in cells)
    return not (each_a_row and columns > 1 and len(lines) > _FEW_LINES)


def _table_rows(
    source: SourceSettings, data: DataSettings, file: InputFile, rows: Iterator[tuple[int, list[str] | str]]
) -> Iterator[Row | BadRow | LeftOut]:
    """
    Rows from cells, or from the fault of a row; columns are given by index, from 0, or by name.

    If no column is given and the first row names both languages, or `source` and `target`, it is a header; so it is
    for sounds or pictures with `audio` or `image`, and `text`.
    """
    first = next(rows)
    columns: Sequence[str | int] = (0, 1)
    if (source.source, source.target, source.header) == (None, None, None) and isinstance(first[1], list):
        for pair in ((data.source_language, data.target_language), ("source", "target"), *_usual_columns(data)):
            if set(pair) <= set(first[1]):
                columns = pair
                break
    asked = {
        "source": columns[0] if source.source is None else source.source,
        "target": columns[1] if source.target is None else source.target,
        **{f"reference {i}": column for i, column in enumerate(source.references)},
        **{name: getattr(source, name) for name in ("alignment", "possible") if getattr(source, name) is not None},
        **({"group": data.group} if data.group is not None else {}),
        **{f"keep {column}": column for column in source.keep},
    }
    named = any(isinstance(column, str) for column in asked.values())
    names: list[str] = []
    if source.header or (source.header is None and named):
        number, header = first
        if isinstance(header, str):
            said = file.wrong_encoding(number) if file.last_undecodable else f"{file.path}, line {number}: {header}."
            raise ValueError(said)
        names = header
    elif named:
        raise ValueError(
            f"{file.path} is read without a header, so its columns have no names: give their numbers, from 0."
        )
    else:
        rows = itertools.chain([first], rows)
    places = {}
    for role, column in asked.items():
        if isinstance(column, str) and column not in names:
            raise ValueError(
                f"{file.path} has no column {quoted(column)}: choose one of {shortened(', '.join(names))}, or "
                f"give a number from 0{_delimiter_asked(source, names)}."
            )
        places[role] = names.index(column) if isinstance(column, str) else column
        if places[role] < 0:
            raise ValueError(f"The {role} column of {file.path} is {column}, but columns are counted from 0.")
    needed = max(places.values()) + 1
    references = [place for role, place in places.items() if role.startswith("reference ")]
    kept = [(places[f"keep {column}"], values) for column, values in source.keep.items()]
    for number, cells in rows:
        if isinstance(cells, str):
            yield BadRow(number, cells)
        elif not any(cell.strip() for cell in cells) and len(cells) < 2:
            yield Row("", "", number)  # an empty line is a pair without text
        elif len(cells) < needed:
            hint = _delimiter_asked(source, cells)
            yield BadRow(number, f"{needed} columns are needed, but it has {len(cells)}{hint}")
        elif others := [cells[place] for place, values in kept if cells[place].strip() not in values]:
            yield LeftOut(number, others[0])
        else:
            yield _row(
                number,
                cells[places["source"]],
                cells[places["target"]],
                [cells[place] for place in references] or None,
                cells[places["alignment"]] if "alignment" in places else None,
                cells[places["possible"]] if "possible" in places else None,
                cells[places["group"]] if "group" in places else None,
            )


def _usual_columns(data: DataSettings) -> list[tuple[str, str]]:
    """The names that most tables of sounds or pictures have."""
    return [] if data.source_kind == "text" else [(data.source_kind, "text")]


def _delimiter_asked(source: SourceSettings, cells: Sequence[str]) -> str:
    """A hint if a row has only one cell, as if the delimiter were another character."""
    found = [mark for mark in ";\t|" if len(cells) == 1 and mark in cells[0]]
    if not found or source.file_format != "csv" or source.delimiter is not None:
        return ""
    return f" (did you mean delimiter: {json.dumps(found[0])}?)"


class _Repeated(dict[str, Any]):
    """A JSON object in which one or more fields occur twice."""

    repeated: frozenset[str]


def _json_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) == len(pairs):
        return record
    marked = _Repeated(record)
    marked.repeated = frozenset(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
    return marked


def _json_integer(digits: str) -> int | float:
    return int(digits) if len(digits) < 1000 else float(digits)  # Python refuses to parse thousands of digits


_JSON = json.JSONDecoder(object_pairs_hook=_json_object, parse_int=_json_integer)
_NO_OBJECT = "not a JSON object with named fields"
_TOO_DEEP = "JSON that is nested too deeply"
_BETWEEN_RECORDS = re.compile(r"[\s,\[\]\ufeff]*")


def _jsonl_rows(source: SourceSettings, data: DataSettings, file: InputFile) -> Iterator[Row | BadRow | LeftOut]:
    columns: _Columns | None = None
    for number, record in _json_records(file):
        if record is None:
            yield Row("", "", number)
            continue
        if isinstance(record, str):
            yield BadRow(number, record)
            continue
        chosen = columns or _choose_columns(source, data, _names_in(record))
        row = _record_row(number, record, chosen)
        if isinstance(row, Row):
            columns = chosen
        yield row


def _json_records(file: InputFile) -> Iterator[tuple[int, dict[str, Any] | str | None]]:
    """The line of each record, or element of an array, with the record, its fault, or None for an empty line."""
    begin = file.head().decode(file.encoding, "ignore").lstrip("\ufeff \t\r\n")
    return _array_records(file) if re.match(r"\[\s*\{", begin) else _line_records(file)


def _line_records(file: InputFile) -> Iterator[tuple[int, dict[str, Any] | str | None]]:
    """The number of each line with its record, its fault, or None for an empty line."""
    number = 0
    for line in file.lines():
        # JSON strings never contain a bare carriage return, so each one ends a line, even among other line endings.
        for part in (None,) if line is None else line.split("\r"):
            number += 1
            if part is None:
                yield number, file.fault
            elif not part.strip():
                yield number, None
            else:
                try:
                    record = _JSON.decode(part)
                except json.JSONDecodeError:
                    yield number, "not JSON: each line must be one object"
                except RecursionError:
                    yield number, _TOO_DEEP
                else:
                    yield number, record if isinstance(record, dict) else _NO_OBJECT


def _array_records(file: InputFile) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """The line of each element of a JSON array with its record or its fault, in bounded memory."""
    chunks = file.chunks()
    text, place, line, depth, total = "", 0, 1, 0, 0
    while True:
        gap = _BETWEEN_RECORDS.match(text, place)
        line += gap[0].count("\n")
        depth += gap[0].count("[") - gap[0].count("]")
        place = end = gap.end()
        record = wrong = None
        if place < len(text):
            try:
                record, end = _JSON.raw_decode(text, place)
            except json.JSONDecodeError as error:  # invalid, or not yet complete
                wrong = error
            except RecursionError:
                raise ValueError(f"{file.path}, line {line}, is {_TOO_DEEP}: fix it.") from None
        left = len(text) - place
        if (wrong or not isinstance(record, dict)) and left <= _MAX_LINE:
            # Twice as much each time, so that a long record is not parsed from its start too often.
            more = list(itertools.takewhile(len, (next(chunks, "") for _ in range(1 + (left >> 16)))))
            if more:
                text, place = text[place:] + "".join(more), 0
                continue
        if wrong is not None:
            line += text.count("\n", place, wrong.pos)
            raise ValueError(f"{file.path}, line {line}, is not JSON ({wrong.msg}): fix it.")
        if not left:
            break
        total += 1
        if text.find(_UNDECODABLE, place, end) >= 0:
            file.note_undecodable(line)
            yield line, file.fault
        else:
            yield line, record if isinstance(record, dict) else _NO_OBJECT
        line += text.count("\n", place, end)
        place = end
    if depth:
        raise ValueError(f"{file.path} ends in the middle of its JSON array: it is truncated.")
    file.refuse_wrong_encoding(total, "records")


def _parquet_rows(source: SourceSettings, data: DataSettings, file: InputFile) -> Iterator[Row | BadRow | LeftOut]:
    with _parquet_file(file) as table:
        media = table.schema_arrow.names if data.source_kind != "text" else []
        names = _names_in_schema(table.schema_arrow, media)
        columns = _choose_columns(source, data, names)
        columns.check(names, str(file.path))
        wanted = columns.top_level(table.schema_arrow.names)
        for number, record in enumerate(_parquet_records(file, table, wanted), start=1):
            yield BadRow(number, _NOT_UTF8) if record is None else _record_row(number, record, columns)


@contextmanager
def _parquet_file(file: InputFile) -> Iterator[Any]:
    """The open `pyarrow.parquet.ParquetFile`."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ImportError("Parquet files need pyarrow: run pip install pyarrow.") from error

    # Parquet is read from its end, so it is first decompressed to a file, and checksummed on the way.
    with tempfile.TemporaryFile() as plain:
        with writing(tempfile.gettempdir()), file.reading():
            while chunk := file.stream.read(_CHUNK):
                plain.write(chunk)
            plain.flush()
        if not plain.tell():
            raise ValueError(f"{file.path} is empty: it must contain a table.")
        try:
            table = pq.ParquetFile(plain, page_checksum_verification=True)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{file.path} is not a Parquet file, or is damaged: {in_one_line(error)}.") from error
        yield table


def _parquet_records(file: InputFile, table: Any, columns: list[str]) -> Iterator[dict[str, Any] | None]:
    """The rows with these columns; None for one with bytes that are not UTF-8."""
    import pyarrow as pa

    count = 0
    batches = table.iter_batches(batch_size=1000, columns=columns)
    while True:
        try:
            batch = next(batches, None)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(
                f"{file.path} cannot be read from row {count + 1} on ({in_one_line(error)}): it is damaged."
            ) from error
        if batch is None:
            return
        count += len(batch)
        yield from _records_of(batch)


_NOT_UTF8 = "text that is not UTF-8"


def _records_of(batch: Any) -> Iterator[dict[str, Any] | None]:
    """The rows of an Arrow batch; None for one with bytes that are not UTF-8, which Arrow does not check."""
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        for row in range(len(batch)):
            try:
                yield batch.slice(row, 1).to_pylist()[0]
            except UnicodeDecodeError:
                yield None


def in_one_line(error: BaseException) -> str:
    """The beginning of a library's error message on one line, to be part of a sentence."""
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__


def _hub_rows(source: SourceSettings, data: DataSettings) -> Iterator[Row | BadRow | LeftOut]:
    dataset = _load_hub(source, data)
    number = 0
    with _told_as_unreadable(source):
        if dataset.features is not None:
            dataset, media = _undecoded(dataset)
            top_level, names = list(dataset.features), _names_in_schema(dataset.features.arrow_schema, media)
        else:  # a stream may only show them in its rows
            first: dict[str, Any] = next(iter(dataset), {})
            top_level, names = list(first), _names_in(first)
    columns = _choose_columns(source, data, names)
    if names:
        columns.check(names, source.name)
        dataset = dataset.select_columns(columns.top_level(top_level))
    batches = iter(dataset.iter(batch_size=1000))
    while True:
        with _told_as_unreadable(source, f" from row {number + 1} on"):
            batch = next(batches, None)
        if batch is None:
            break
        for cells in zip(*batch.values()):
            number += 1
            yield _record_row(number, dict(zip(batch, cells)), columns)
    if not number:
        raise ValueError(f"{source.name} is empty: choose another split.")


def _undecoded(dataset: Any) -> tuple[Any, list[str]]:
    """A dataset whose sounds and pictures are given as their files' names and bytes, and the columns of these."""
    from datasets import Audio, Image

    media = {name: type(kind) for name, kind in dataset.features.items() if isinstance(kind, Audio | Image)}
    for name, kind in media.items():
        dataset = dataset.cast_column(name, kind(decode=False))
    return dataset, list(media)


@contextmanager
def _told_as_unreadable(source: SourceSettings, where: str = "") -> Iterator[None]:
    """Turns the errors of `datasets` and its libraries about a dataset into one sentence."""
    import pyarrow as pa
    from datasets.exceptions import DatasetNotFoundError, DatasetsError
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        yield
    except (ConnectionError, TimeoutError, LocalEntryNotFoundError, HfHubHTTPError) as error:
        raise ValueError(_no_network(source)) from error
    except DatasetNotFoundError as error:
        if constants.HF_HUB_OFFLINE:
            raise ValueError(_no_network(source)) from error
        raise ValueError(
            f"{source.hub} is not on the Hub, or you have no access: check its name and your login."
        ) from error
    except (ValueError, OSError, DatasetsError, pa.ArrowException) as error:
        splits = re.search(r"(?:Unknown|Bad) split.*\[(.*)\]", str(error), re.DOTALL)
        if splits:
            known = splits[1].replace("'", "")
            raise ValueError(
                f"{source.hub} has no split {quoted(source.split)}: choose one of {shortened(known)}."
            ) from error
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise ValueError(f"{source.name} cannot be read{where}: {in_one_line(cause)}.") from error


def local_folder(source: SourceSettings, data: DataSettings) -> Path | None:
    """The folder that a `hub` source names, if it is a local one."""
    folder = data.folder / source.hub if source.hub is not None else None
    return folder if folder is not None and folder.is_dir() else None


def _load_hub(source: SourceSettings, data: DataSettings) -> Any:
    """A dataset from the Hub or a folder: files that `datasets` can load, or the output of `save_to_disk`."""
    import datasets

    folder = local_folder(source, data)
    if folder is not None and ((folder / "dataset_dict.json").exists() or (folder / "state.json").exists()):
        with _told_as_unreadable(source):
            saved = datasets.load_from_disk(str(folder))
        if isinstance(saved, datasets.Dataset):
            return saved
        if source.split not in saved:
            raise ValueError(
                f"{folder} has no split {quoted(source.split)}: choose one of {shortened(', '.join(saved))}."
            )
        return saved[source.split]
    with _told_as_unreadable(source):
        return datasets.load_dataset(
            str(folder) if folder is not None else source.hub,
            source.config,
            split=source.split,
            revision=source.revision,
            streaming=source.streaming,
        )


def _no_network(source: SourceSettings) -> str:
    return (
        f"{source.hub} cannot be downloaded, because there is no network or HF_HUB_OFFLINE is set: on a machine with "
        f"network access run `hf download {source.hub} --repo-type dataset --local-dir FOLDER`, copy FOLDER here, and "
        "set hub to it."
    )


def _tmx_rows(source: SourceSettings, data: DataSettings, file: InputFile) -> Iterator[Row | BadRow]:
    asked = (source.source or data.source_language, source.target or data.target_language)
    if None in asked:
        raise ValueError(
            f"{file.path} may contain several languages: set data.source_language and data.target_language, or source "
            "and target of this data source."
        )
    languages = tuple(str(language).lower().replace("_", "-") for language in asked)
    file.encoding = _encoding_of_xml(file)
    parser = _TmxParser(file)
    seen: dict[str, None] = {}  # in file order
    found = number = 0
    for unit in parser.units():
        number += 1
        if len(seen) < 20:
            seen.update(dict.fromkeys(unit.segments))
        sides = [_in_language(unit.segments, language) for language in languages]
        found += None not in sides
        if None in sides:
            yield BadRow(
                unit.line,
                f"no {asked[sides.index(None)]}: it only has {shortened(', '.join(unit.segments)) or 'no segments'}",
            )
        elif unit.fault:
            yield BadRow(unit.line, unit.fault)
        else:
            yield _row(unit.line, sides[0], sides[1])
    if not number:
        raise ValueError(f"{file.path} has no translation unit (<tu>): it is empty, or not a TMX file.")
    file.refuse_wrong_encoding(number, "units")
    if not found:
        raise ValueError(
            f"{file.path} has no translation unit with both {asked[0]} and {asked[1]}: its languages are "
            f"{shortened(', '.join(seen))}."
        )


def _encoding_of_xml(file: InputFile) -> str:
    """The encoding given by the byte order mark, else by the settings, else by the document, else UTF-8."""
    head = file.head()
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if head.startswith(mark):
            return encoding
    if file.encoding != "utf-8":
        return file.encoding
    declared = re.match(rb"""\s*<\?xml[^>]*?\sencoding\s*=\s*["']([^"']*)""", head)
    if declared is None:
        return next((name for name in ("utf-16-le", "utf-16-be") if head.startswith("<?".encode(name))), "utf-8")
    return _declared_encoding(file, declared[1])


def _declared_encoding(file: InputFile, declared: bytes) -> str:
    """The encoding that a file declares in its ASCII header."""
    encoding = declared.decode("latin-1").lower()
    try:
        check_encoding(encoding)
    except ValueError:
        raise ValueError(
            f"{file.path} declares the encoding {encoding[:40]!r}, which Python does not know: correct that, or set "
            "`encoding` to the real encoding of the file ('utf-8-sig' for UTF-8)."
        ) from None
    # So it cannot be UTF-16, which some programs declare although they write UTF-8.
    return encoding if len("a".encode(encoding)) == 1 else "utf-8"


_BYTE_ORDER_MARKS = {  # the longer first
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}


def _in_language(segments: dict[str, str], language: str) -> str | None:
    """The segment in exactly this language, or else in a variety of it: en matches en-us."""
    if language in segments:
        return segments[language]
    return next((text for tag, text in segments.items() if tag.split("-")[0] == language), None)


@dataclass
class _TmxUnit:
    line: int
    segments: dict[str, str] = field(default_factory=dict)  # by lower-case language tag
    fault: str = ""


_NO_TEXT_HERE, _NO_CHARACTER = "\ufdd0\ufdd1"  # noncharacters, which Unicode reserves for internal use
_BROKEN_REFERENCE = re.compile(r"&[^;\s]{0,12}\Z")  # at the end of a chunk of the file
_NOT_IN_XML = re.compile(r"[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]|&#(?:([0-9]+)|x([0-9a-fA-F]+));")


def _mark_if_not_in_xml(found: re.Match[str]) -> str:
    """Replace a character, or a reference to one, that XML does not allow."""
    decimal, hexadecimal = found.groups()
    if decimal or hexadecimal:
        code = int(decimal[:9]) if decimal else int(hexadecimal[:9], 16)
        if code in (9, 10, 13) or 0x20 <= code < 0xD800 or 0xE000 <= code < 0xFFFE or 0x10000 <= code < 0x110000:
            return found[0]
    return _NO_CHARACTER


class _TmxParser:
    """Translation units of TMX 1.4, in bounded memory. Entities are refused, because they can expand without bound."""

    _CODES = frozenset({"bpt", "ept", "it", "ph", "ut"})  # markup of another format, not text

    def __init__(self, file: InputFile) -> None:
        self.file = file
        self.path = file.path
        self._done: list[_TmxUnit] = []
        self._unit: _TmxUnit | None = None
        self._language = ""
        self._text: list[str] | None = None  # of the open <seg>
        self._inside_codes = 0
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.EntityDeclHandler = self._entity
        self._parser.SkippedEntityHandler = self._skipped

    def units(self) -> Iterator[_TmxUnit]:
        begun = False
        rest = ""
        try:
            for chunk in self.file.chunks():
                begun = True
                chunk = rest + chunk
                broken = _BROKEN_REFERENCE.search(chunk, max(0, len(chunk) - 20))
                chunk, rest = (chunk[: broken.start()], broken[0]) if broken else (chunk, "")
                self._parser.Parse(self._marked_up(chunk))
                yield from self._done
                self._done.clear()
            self._parser.Parse(self._marked_up(rest), True)
        except expat.ExpatError as error:
            if error.code == expat.errors.codes[expat.errors.XML_ERROR_NO_ELEMENTS]:
                said = "ends in the middle of the document" if begun else "is empty"
                raise ValueError(f"{self.path} {said}: it must be a complete TMX document.") from error
            raise ValueError(
                f"{self.path}, line {error.lineno}, is not XML ({expat.ErrorString(error.code)}): fix it."
            ) from error
        yield from self._done

    def _marked_up(self, text: str) -> str:
        """The text, with everything that would make the parser fail replaced by markers."""
        return _NOT_IN_XML.sub(_mark_if_not_in_xml, text).replace(_UNDECODABLE, _NO_TEXT_HERE)

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "tu":
            self._unit = _TmxUnit(self._parser.CurrentLineNumber)
        elif tag == "tuv":
            language = attributes.get("xml:lang", attributes.get("lang", ""))
            self._language = language.lower().replace("_", "-")
        elif tag == "seg":
            self._text = []
        elif tag in self._CODES:
            self._inside_codes += 1

    def _end(self, tag: str) -> None:
        if tag == "tu" and self._unit is not None:
            if any(_NO_TEXT_HERE in text for text in self._unit.segments.values()):
                self.file.note_undecodable(self._unit.line)
                self._unit.fault = self.file.fault
            elif any(_NO_CHARACTER in text for text in self._unit.segments.values()):
                self._unit.fault = "a control character or lone surrogate, which XML does not allow"
            self._done.append(self._unit)
            self._unit = None
        elif tag == "seg" and self._unit is not None and self._text is not None:
            self._unit.segments.setdefault(self._language, "".join(self._text))
            self._text = None
        elif tag in self._CODES:
            self._inside_codes -= 1

    def _characters(self, text: str) -> None:
        if self._text is not None and not self._inside_codes:
            self._text.append(text)

    def _entity(self, name: str, *_: Any) -> None:
        raise ValueError(
            f"{self.path} defines the entity {quoted(name)}, which is refused for safety: replace it with its text."
        )

    def _skipped(self, name: str, *_: Any) -> None:
        if self._unit is not None:
            self._unit.fault = "an entity that the file does not define"


def _po_rows(source: SourceSettings, data: DataSettings, file: InputFile) -> Iterator[Row | BadRow]:
    """Messages and their translations; fuzzy and obsolete entries are skipped, as in gettext.

    For a message with a plural, the singular is paired with the form for 1 and the plural with the form for 5, as
    defined by the header's Plural-Forms; if one form serves all numbers, only the plural is used.
    """
    if file.encoding == "utf-8":
        declared = re.search(rb"Content-Type:[^\n]*charset=([\w.:-]+)", file.head())
        if declared and declared[1] != b"CHARSET":  # the placeholder in templates
            file.encoding = _declared_encoding(file, declared[1])
    # Leaving out a line would end an entry early, or join it to the next.
    lines = [str(line) for line in file.lines(replace=True)]
    parts: list[tuple[int, Any]] = []  # the number of preceding lines, and entries
    try:
        parts.append((0, _parsed_po(lines)))
    except _NotPO:
        wrong = []
        for before, block in _blocks(lines):
            try:
                parts.append((before, _parsed_po(block)))
            except _NotPO as error:
                wrong.append(before + error.line)
        if not any(part for _, part in parts):
            raise ValueError(f"{file.path}, line {wrong[0]}, is not gettext PO: fix it.") from None
        yield from (BadRow(line, "not gettext PO") for line in wrong)
    if not any(part for _, part in parts):
        raise ValueError(f"{file.path} has no entries: it is empty, or not gettext PO.")
    header = next((part.metadata["Plural-Forms"] for _, part in parts if "Plural-Forms" in part.metadata), "")
    forms = _plural_forms(header)
    for before, part in parts:
        for entry in part:
            number = before + entry.linenum
            if entry.fuzzy or entry.obsolete:
                continue
            texts = [entry.msgid, entry.msgid_plural, entry.msgstr, *entry.msgstr_plural.values()]
            if file.last_undecodable and any("\ufffd" in text for text in texts):
                yield BadRow(number, file.fault)
            elif entry.msgid_plural:
                yield from _plural_rows(number, entry, forms)
            else:
                yield _row(number, entry.msgid, entry.msgstr)


_PO_LINE = re.compile(r'\s*(?:#.*|(?:msg\w+\s*(?:\[\d+\])?\s*)?"(?:[^"\\]|\\.)*"\s*)?')


class _NotPO(Exception):
    def __init__(self, line: int) -> None:
        self.line = line


def _parsed_po(lines: Sequence[str]) -> Any:
    """The entries of gettext PO; `_NotPO` has the line of a syntax error."""
    import polib

    for number, line in enumerate(lines, start=1):
        if not _PO_LINE.fullmatch(line):  # polib would take `msgid "a` to be the header
            raise _NotPO(number)
    with tempfile.NamedTemporaryFile("w", suffix=".po", encoding="utf-8") as plain:
        with writing(tempfile.gettempdir()):
            plain.write("\n".join(lines))
            plain.flush()
        try:
            entries = polib.pofile(plain.name, encoding="utf-8")
        except OSError as error:
            place = re.search(r"line (\d+)", str(error))
            raise _NotPO(int(place[1]) if place else 1) from error
    for entry in entries:  # polib sets no line number for an entry that is first in the file
        entry.linenum = entry.linenum or next(n for n, line in enumerate(lines, start=1) if "msgid" in line)
    return entries


def _blocks(lines: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Blocks of lines separated by empty lines, each with the number of lines before it."""
    block: list[str] = []
    for number, line in enumerate([*lines, ""]):
        if line.strip():
            block.append(line)
        elif block:
            yield number - len(block), block
            block = []


def _plural_forms(header: str) -> tuple[int, int] | None:
    """The indices of the plural forms for 1 and 5 by the Plural-Forms header; None if it has no valid formula."""
    formula = re.search(r"plural\s*=([^;]*)", header)
    if formula is None:
        return None
    try:
        form_for = gettext.c2py(formula[1].strip())  # accepts n and C operators, and nothing else
        return form_for(1), form_for(5)
    except (ValueError, ZeroDivisionError):
        return None


def _plural_rows(number: int, entry: Any, forms: tuple[int, int] | None) -> Iterator[Row | BadRow]:
    given = entry.msgstr_plural
    if not given:  # not translated yet
        yield _row(number, entry.msgid_plural, "")
        return
    if forms is None and len(given) > 2:
        yield BadRow(number, f"{len(given)} plural forms, but no Plural-Forms in the header that says which is which")
        return
    one, many = forms or (0, len(given) - 1)
    if one != many:
        yield _plural_row(number, entry.msgid, given, one)
    yield _plural_row(number, entry.msgid_plural, given, many)


def _plural_row(number: int, source: str, given: dict[int, str], form: int) -> Row | BadRow:
    if form not in given:
        return BadRow(number, f"no msgstr[{form}], the plural form that the header's Plural-Forms requires")
    return _row(number, source, given[form])


_FILE_READERS: dict[str, Callable[[SourceSettings, DataSettings, InputFile], Iterator[Row | BadRow | LeftOut]]] = {
    "tsv": _tsv_rows,
    "csv": _csv_rows,
    "jsonl": _jsonl_rows,
    "parquet": _parquet_rows,
    "tmx": _tmx_rows,
    "po": _po_rows,
}


_generate_once = functools.lru_cache(maxsize=1)(generate_corpus)  # for all its splits


def _grammar_rows(grammar: GrammarSettings) -> Iterator[Row]:
    corpus = _generate_once(**grammar.model_dump(exclude={"split"}))
    for number, pair in enumerate(getattr(corpus, grammar.split), start=1):
        yield Row(pair.source, pair.target, number, None, _pharaoh(pair.sure), _pharaoh(pair.possible))


def _scan_rows(scan: ScanSettings) -> Iterator[Row]:
    for number, pair in enumerate(scan_pairs(scan.split, scan.part, scan.seed), start=1):
        yield Row(pair.command, pair.actions, number, None, None, None)


class _Columns(NamedTuple):
    """Names of the fields of a record; a dot separates nested names, as in `translation.en`."""

    source: str
    target: str
    references: list[str]
    alignment: str | None
    possible: str | None
    group: str | None = None
    media: bool = False  # whether a source may be a record of a file's name and its bytes
    keep: Sequence[tuple[str, list[str]]] = ()  # names, and the values that are asked for

    def all(self) -> list[str]:
        more = [name for name in (self.alignment, self.possible, self.group) if name is not None]
        return [self.source, self.target, *self.references, *more, *(name for name, _ in self.keep)]

    def top_level(self, names: Sequence[str]) -> list[str]:
        return sorted({name if name in names else name.split(".")[0] for name in self.all()})

    def check(self, names: Sequence[str], where: str) -> None:
        for column in self.all():
            if column not in names:
                raise ValueError(
                    f"{where} has no column {quoted(column)}: choose one of {shortened(', '.join(names))}."
                )


def _choose_columns(source: SourceSettings, data: DataSettings, names: Sequence[str]) -> _Columns:
    """The columns as given; else those named after the languages, perhaps under `translation`; else the defaults."""

    def choose(asked: str | int | None, language: str | None, *usual: str) -> str:
        if asked is not None:
            return str(asked)
        known = (f"translation.{language}", language, *usual[:-1])
        return next((name for name in known if name in names), usual[-1])

    own = [pair for pair in _usual_columns(data) if set(pair) <= set(names)]
    return _Columns(
        choose(source.source, data.source_language, *(pair[0] for pair in own), "source"),
        choose(source.target, data.target_language, *(pair[1] for pair in own), "target"),
        [str(name) for name in source.references],
        None if source.alignment is None else str(source.alignment),
        None if source.possible is None else str(source.possible),
        data.group,
        data.source_kind != "text",
        [(str(column), values) for column, values in source.keep.items()],
    )


def _names_in(record: dict[str, Any]) -> list[str]:
    return [
        f"{name}.{inner}" if inner is not None else name
        for name, value in record.items()
        for inner in (value if isinstance(value, dict) and value else [None])
    ]


def _names_in_schema(schema: Any, whole: Sequence[str] = ()) -> list[str]:
    """The names of the columns, with those within a record; the columns in `whole` are taken as they are."""
    import pyarrow as pa

    names = list(whole)
    for column in schema:
        inner = [column.type.field(i).name for i in range(column.type.num_fields)]
        names += [f"{column.name}.{name}" for name in inner] if pa.types.is_struct(column.type) else [column.name]
    return names


class _MissingField(Exception):
    """A field is missing or occurs twice; the message says which."""


def _field(record: dict[str, Any], name: str) -> Any:
    if name in record:
        if isinstance(record, _Repeated) and name in record.repeated:
            raise _MissingField(f"{quoted(name)} is given twice")
        return record[name]
    outer, _, inner = name.partition(".")
    if inner and isinstance(record.get(outer), dict):
        return _field(record[outer], inner)
    raise _MissingField(f"no {quoted(name)}: it only has {shortened(', '.join(_names_in(record))) or 'no fields'}")


def _record_row(number: int, record: dict[str, Any], columns: _Columns) -> Row | BadRow | LeftOut:
    try:
        for name, values in columns.keep:
            value = _field(record, name)
            told = "" if value is None else str(value)
            if told.strip() not in values:
                return LeftOut(number, told)
        source, target = _field(record, columns.source), _field(record, columns.target)
        references: list[str] | None = None
        if columns.references:
            values = [_field(record, name) for name in columns.references]
            texts = [text for value in values for text in (value if isinstance(value, list) else [value])]
            references = [text for text in texts if text is not None]
        further = (columns.alignment, columns.possible, columns.group)
        more = [None if name is None else _field(record, name) for name in further]
    except _MissingField as missing:
        return BadRow(number, str(missing))
    if columns.group is not None and isinstance(more[-1], int):
        more[-1] = str(more[-1])  # such as a speaker's number
    if columns.media and isinstance(source, dict):
        return _media_row(number, source, columns.source, target, references, *more)
    return _row(number, source, target, references, *more)


def _media_row(number: int, media: dict[str, Any], column: str, *more: Any) -> Row | BadRow:
    """The row of a sound or picture that is given by its file's name and its bytes, one of which may be None."""
    name, content = media.get("path"), media.get("bytes")
    if content is None and name is None:
        return BadRow(number, f"no file: {quoted(column)} is empty")
    row = _row(number, name or f"row {number}", *more)
    return row._replace(content=content) if isinstance(row, Row) else row


def _file_in(number: int, record: dict[str, Any], column: str) -> Row | BadRow:
    try:
        media = _field(record, column)
    except _MissingField as missing:
        return BadRow(number, str(missing))
    return _media_row(number, media, column, "") if isinstance(media, dict) else _row(number, media, "")


_PHARAOH = re.compile(r"[0-9]+-[0-9]+(?: [0-9]+-[0-9]+)*")
_MAX_DIGITS = 9  # of a word index
_FINEST_WORDS = re.compile(r"\w+|[^\w\s]")  # an upper bound for every way of counting words


def _row(
    number: int,
    source: Any,
    target: Any,
    references: Any = None,
    alignment: Any = None,
    possible: Any = None,
    group: Any = None,
) -> Row | BadRow:
    """The row, or what is wrong with it: None is an empty side, any other value that is not text is an error."""
    source, target = "" if source is None else source, "" if target is None else target
    for text in (source, target, *(references or []), *([] if group is None else [group])):
        if not isinstance(text, str):
            return BadRow(number, f"{_shown(text)} is not text")
        try:
            if not text.isascii():
                text.encode()
        except UnicodeEncodeError:
            return BadRow(number, "a lone surrogate, which is half a character")
    if alignment is None and possible is None:
        return Row(source, target, number, references, group=group)
    links = [_links(alignment), _links(possible)]
    for given in links:
        if given is not None and given and not _PHARAOH.fullmatch(given):
            return BadRow(number, f"the alignment {given[:40]!r} is not in Pharaoh format, such as 0-0 1-2")
        if given:
            words = [max(len(text.split()), len(_FINEST_WORDS.findall(text))) for text in (source, target)]
            for link in given.split(" "):
                if any(
                    len(index) > _MAX_DIGITS or int(index) >= total for index, total in zip(link.split("-"), words)
                ):
                    return BadRow(number, f"the alignment link {link[:40]} is beyond the last word")
    return Row(source, target, number, references, links[0], links[1], group)


def _shown(value: Any) -> str:
    """A value that is not text, for a message; for one that may be deeply nested, only its type."""
    return f"a {type(value).__name__}" if isinstance(value, dict | list) else repr(str(value)[:40])


def _links(value: Any) -> str | None:
    """Links in Pharaoh format, from such text or from a list of pairs of word indices."""
    if isinstance(value, list):
        pairs = all(isinstance(link, list) and len(link) == 2 for link in value)
        if pairs and all(isinstance(index, int) for link in value for index in link):
            return _pharaoh(value)
        return "a list, but not of pairs of numbers"
    return None if value is None else _shown(value) if isinstance(value, dict) else " ".join(str(value).split())


def _pharaoh(links: Iterable[Any]) -> str:
    return " ".join(f"{source}-{target}" for source, target in sorted(links))
