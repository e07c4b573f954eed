# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Readers of sentence pairs, one for each kind of source: rows one after the other, in bounded memory, each file once.

A row that cannot be used comes as a `BadRow` that names its line; a file that cannot be used raises one sentence.
"""

import codecs
import csv
import functools
import gzip
import hashlib
import io
import itertools
import json
import lzma
import re
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple
from xml.parsers import expat

from hf_attn_seq2seq.data.grammar import generate_corpus
from hf_attn_seq2seq.data.settings import DataSettings, GrammarSettings, SourceSettings


_CHUNK = 1 << 20  # bytes
_MAX_CSV_FIELD = 1 << 20  # characters: an unclosed quote must not swallow the rest of the file
_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open}
_UNUSED = object()  # stands for the lines of a file that has ended


class Row(NamedTuple):
    source: str
    target: str
    line: int  # of the file, or row of a dataset, from 1
    references: list[str] | None = None
    alignment: str | None = None  # Pharaoh
    possible: str | None = None  # Pharaoh


class BadRow(NamedTuple):
    line: int
    reason: str


@dataclass
class OpenSource:
    """The rows of a source, and the files that they are read from as they are asked for."""

    rows: Iterator[Row | BadRow]
    files: list["InputFile"] = field(default_factory=list)

    def close(self) -> None:
        for file in self.files:
            file.close()


class InputFile:
    """A file that is decompressed, decoded and checksummed in one reading."""

    def __init__(self, path: Path, encoding: str = "utf-8") -> None:
        if path.is_dir():
            raise ValueError(f"{path} is a folder: name a file in it.")
        if not path.is_file():
            raise ValueError(f"There is no file {path}: check its name, and data.folder, where relative names start.")
        try:
            codecs.lookup(encoding)
        except LookupError:
            raise ValueError(
                f"There is no encoding {encoding!r}: name one that Python has, such as 'utf-8' or 'latin-1'."
            ) from None
        self.path = path
        self.encoding = encoding
        self.last_undecodable = 0  # line
        self._likely_encoding = "latin-1"
        self._raw = _ChecksummedFile(path)
        self._buffered = io.BufferedReader(self._raw, _CHUNK)
        opener = _OPENERS.get(path.suffix.lower())
        self.stream: IO[bytes] = opener(self._buffered, "rb") if opener else self._buffered

    def sha256(self) -> str:
        """Checksum of the file as it lies on disk; reads what no row was read from."""
        while self._raw.read(_CHUNK):
            pass
        return self._raw.digest.hexdigest()

    def close(self) -> None:
        self.stream.close()
        self._buffered.close()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Tells a damaged archive in one sentence."""
        try:
            yield
        except (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
            raise ValueError(
                f"{self.path} cannot be decompressed ({error}): it is damaged, or misnamed {self.path.suffix}."
            ) from error

    def lines(self, replace: bool = False) -> Iterator[str | None]:
        """The lines without their ends; one that cannot be decoded is None, or with `replace` has U+FFFD in it.

        Lines end at a line feed, with or without a carriage return, and at no other character; a byte order mark is
        dropped.

        Raises:
            ValueError: if the file is empty or damaged, or more than one line in a hundred is in another encoding.
        """
        first_undecodable = undecodable = number = 0
        with self.reading():
            lines = self._decoded() if "\n".encode(self.encoding) != b"\n" else self._decoded_each()
            for number, read in enumerate(lines, start=1):
                line = read if isinstance(read, str) else None
                if isinstance(read, bytes):
                    self.last_undecodable = number
                    first_undecodable = first_undecodable or number
                    undecodable += 1
                    line = read.decode(self.encoding, "replace") if replace else None
                if line is not None and number == 1:
                    line = line.removeprefix("\ufeff")
                yield line if line is None else line.removesuffix("\n").removesuffix("\r")
        if not number:
            raise ValueError(f"{self.path} is empty: it must hold one sentence or one pair on each line.")
        if 100 * undecodable > number:
            raise ValueError(self.wrong_encoding(first_undecodable, f" ({undecodable} of {number} lines are not)"))

    def wrong_encoding(self, line: int, more: str = "") -> str:
        return (
            f"{self.path}, line {line}, is not {self.encoding} text{more}: "
            f"name the file's encoding, such as encoding: {self._likely_encoding}, or repair it."
        )

    def _decoded_each(self) -> Iterator[str | bytes]:
        """The lines; as bytes where they cannot be decoded."""
        for raw in self.stream:
            if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                self._likely_encoding = "utf-16"
            try:
                yield raw.decode(self.encoding)
            except UnicodeDecodeError:
                yield raw

    def _decoded(self) -> Iterator[str]:
        """Where a line feed is more than one byte (UTF-16), an error has no end that could be skipped to."""
        number = 0
        text = io.TextIOWrapper(self.stream, self.encoding, newline="\n")
        try:
            for line in text:
                yield line
                number += 1
        except UnicodeDecodeError as error:
            skipped = error.object[: error.start].decode(error.encoding, errors="ignore").count("\n")
            raise ValueError(self.wrong_encoding(number + skipped + 1)) from error
        text.detach()  # else the file is closed with it, before its checksum is asked for


class _ChecksummedFile(io.RawIOBase):
    """A file whose bytes pass through SHA-256 as they are read in order."""

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
    """SHA-256 of a file as it lies on disk.

    Raises:
        ValueError: if there is no such file.
    """
    with closing(InputFile(path)) as file:
        return file.sha256()


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a UTF-8 text file, plain, .gz or .xz (see `InputFile.lines`).

    Raises:
        ValueError: naming the file, and the line where there is one, if it is missing, empty, damaged or not UTF-8.
    """
    with closing(InputFile(path)) as file:
        for number, line in enumerate(file.lines(), start=1):
            if line is None:
                raise ValueError(f"{path}, line {number}, is not UTF-8 text: repair or convert it.")
            yield line


def open_source(source: SourceSettings, data: DataSettings) -> OpenSource:
    """Opens one source of a corpus; the caller closes it.

    Raises:
        ValueError: if a file is missing, here or when its rows are read, where they say what else is wrong with it.
    """
    if source.grammar is not None:
        return OpenSource(_grammar_rows(source.grammar))
    if source.hub is not None:
        return OpenSource(_hub_rows(source, data))
    if source.file is None:
        names = [source.source, source.target, *source.references]
        names += [name for name in (source.alignment, source.possible) if name is not None]
        files = [InputFile(data.folder / str(name), source.encoding) for name in names]
        return OpenSource(_text_rows(source, files), files)
    file = InputFile(data.folder / source.file, source.encoding)
    return OpenSource(_FILE_READERS[source.file_format](source, data, file), [file])


def _not_text(encoding: str) -> str:
    return f"is not {encoding} text here (for another encoding, such as latin-1, say encoding)"


def _text_rows(source: SourceSettings, files: Sequence[InputFile]) -> Iterator[Row | BadRow]:
    """Files that are aligned line by line, in the order that `open_source` names them in."""
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
                f"{totals[shortest]}: the first is longer by {totals[longest] - totals[shortest]}, but line-aligned "
                "files must have as many lines as each other."
            )
        if None in cells:
            yield BadRow(number, f"{files[cells.index(None)].path.name} {_not_text(source.encoding)}")
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


def _tsv_rows(source: SourceSettings, data: DataSettings, file: InputFile) -> Iterator[Row | BadRow]:
    wrong = _not_text(file.encoding)
    rows = ((number, wrong if line is None else line.split("\t")) for number, line in enumerate(file.lines(), start=1))
    return _table_rows(source, data, file, rows)


def _csv_rows(source: SourceSettings, data: DataSettings, file: InputFile) -> Iterator[Row | BadRow]:
    return _table_rows(source, data, file, _csv_cells(file))


def _csv_cells(file: InputFile) -> Iterator[tuple[int, list[str] | str]]:
    csv.field_size_limit(_MAX_CSV_FIELD)
    reader = csv.reader("\n" if line is None else line + "\n" for line in file.lines())
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            reason = str(error)
            if "field larger" in reason:
                reason = f"a field of more than {_MAX_CSV_FIELD:,} characters: a quote is not closed"
            elif "new-line" in reason:
                reason = "a carriage return within a field: quote the field, or end lines with line feeds"
            yield number, reason
            continue
        undecodable = number <= file.last_undecodable <= reader.line_num
        yield number, _not_text(file.encoding) if undecodable else cells


def _table_rows(
    source: SourceSettings, data: DataSettings, file: InputFile, rows: Iterator[tuple[int, list[str] | str]]
) -> Iterator[Row | BadRow]:
    """
    Rows from cells, or from what is wrong with a row; columns are found by number from 0, or by name.

    Where no column is asked for, and the first row names both languages, it is a header.
    """
    first = next(rows)
    columns: Sequence[str | int] = (0, 1)
    if (source.source, source.target, source.header) == (None, None, None) and isinstance(first[1], list):
        languages = [language for language in (data.source_language, data.target_language) if language]
        columns = languages if len(languages) == 2 and set(languages) <= set(first[1]) else columns
    asked = {
        "source": columns[0] if source.source is None else source.source,
        "target": columns[1] if source.target is None else source.target,
        **{f"reference {i}": column for i, column in enumerate(source.references)},
        **{name: getattr(source, name) for name in ("alignment", "possible") if getattr(source, name) is not None},
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
        raise ValueError(f"{file.path} is read without a header, so its columns have no names: give their numbers.")
    else:
        rows = itertools.chain([first], rows)
    places = {}
    for role, column in asked.items():
        if isinstance(column, str) and column not in names:
            raise ValueError(
                f"{file.path} has no column {column!r}: choose among {', '.join(names)}, or give a number from 0."
            )
        places[role] = names.index(column) if isinstance(column, str) else column
        if places[role] < 0:
            raise ValueError(f"The {role} column of {file.path} is {column}, but columns are counted from 0.")
    needed = max(places.values()) + 1
    references = [place for role, place in places.items() if role.startswith("reference ")]
    for number, cells in rows:
        if isinstance(cells, str):
            yield BadRow(number, cells)
        elif not any(cell.strip() for cell in cells) and len(cells) < 2:
            yield Row("", "", number)  # a blank line is a pair without text
        elif len(cells) < needed:
            yield BadRow(number, f"{needed} columns are needed, and it has {len(cells)}")
        else:
            yield _row(
                number,
                cells[places["source"]],
                cells[places["target"]],
                [cells[place] for place in references] or None,
                cells[places["alignment"]] if "alignment" in places else None,
                cells[places["possible"]] if "possible" in places else None,
            )


def _jsonl_rows(source: SourceSettings, data: DataSettings, file: InputFile) -> Iterator[Row | BadRow]:
    columns: _Columns | None = None
    for number, line in enumerate(file.lines(), start=1):
        if line is None:
            yield BadRow(number, _not_text(file.encoding))
            continue
        if not line.strip():
            yield Row("", "", number)
            continue
        try:
            record = json.loads(line)
        except (json.JSONDecodeError, RecursionError):
            yield BadRow(number, "not JSON: each line must be one object")
            continue
        if not isinstance(record, dict):
            yield BadRow(number, "not a JSON object with named fields")
            continue
        chosen = columns or _choose_columns(source, data, _names_in(record))
        row = _record_row(number, record, chosen)
        if isinstance(row, Row):
            columns = chosen
        yield row


def _parquet_rows(source: SourceSettings, data: DataSettings, file: InputFile) -> Iterator[Row | BadRow]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # Parquet is read from its end, so it goes to a file without compression around it, and is checksummed on the way.
    with tempfile.TemporaryFile() as plain:
        with file.reading():
            while chunk := file.stream.read(_CHUNK):
                plain.write(chunk)
        if not plain.tell():
            raise ValueError(f"{file.path} is empty: it must hold a table.")
        try:
            table = pq.ParquetFile(plain)
        except pa.ArrowInvalid as error:
            raise ValueError(f"{file.path} is not a Parquet file: {str(error).splitlines()[0]}") from error
        names = _names_in_schema(table.schema_arrow)
        columns = _choose_columns(source, data, names)
        columns.check(names, str(file.path))
        number = 0
        for batch in table.iter_batches(batch_size=1000, columns=columns.top_level(table.schema_arrow.names)):
            for record in batch.to_pylist():
                number += 1
                yield _record_row(number, record, columns)


def _hub_rows(source: SourceSettings, data: DataSettings) -> Iterator[Row | BadRow]:
    dataset = _load_hub(source, data)
    if dataset.features is not None:
        top_level, names = list(dataset.features), _names_in_schema(dataset.features.arrow_schema)
    else:  # of a stream, only its rows may tell
        first: dict[str, Any] = next(iter(dataset), {})
        top_level, names = list(first), _names_in(first)
    columns = _choose_columns(source, data, names)
    if names:
        columns.check(names, source.name)
        dataset = dataset.select_columns(columns.top_level(top_level))
    number = 0
    for batch in dataset.iter(batch_size=1000):
        for cells in zip(*batch.values()):
            number += 1
            yield _record_row(number, dict(zip(batch, cells)), columns)
    if not number:
        raise ValueError(f"{source.name} is empty: choose another split.")


def local_folder(source: SourceSettings, data: DataSettings) -> Path | None:
    """The folder that a `hub` source names, if it is one on this machine."""
    folder = data.folder / source.hub if source.hub is not None else None
    return folder if folder is not None and folder.is_dir() else None


def _load_hub(source: SourceSettings, data: DataSettings) -> Any:
    """A dataset of the Hub, or of a folder: files that `datasets` can load, or what `save_to_disk` wrote."""
    import datasets
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    folder = local_folder(source, data)
    try:
        if folder is not None and ((folder / "dataset_dict.json").exists() or (folder / "state.json").exists()):
            saved = datasets.load_from_disk(str(folder))
            if isinstance(saved, datasets.Dataset):
                return saved
            if source.split not in saved:
                raise ValueError(f"{folder} has no split {source.split!r}: choose among {', '.join(saved)}.")
            return saved[source.split]
        return datasets.load_dataset(
            str(folder) if folder is not None else source.hub,
            source.config,
            split=source.split,
            revision=source.revision,
            streaming=source.streaming,
        )
    except (ConnectionError, TimeoutError, LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError) as error:
        raise ValueError(_no_network(source)) from error
    except datasets.exceptions.DatasetNotFoundError as error:
        import huggingface_hub.constants

        if huggingface_hub.constants.HF_HUB_OFFLINE:
            raise ValueError(_no_network(source)) from error
        raise ValueError(
            f"{source.hub} is not on the Hub, or not open to you: check its name and your login."
        ) from error
    except FileNotFoundError as error:
        raise ValueError(f"{source.name} cannot be loaded: {' '.join(str(error).split())}") from error


def _no_network(source: SourceSettings) -> str:
    return (
        f"{source.hub} cannot be fetched: there is no network, or HF_HUB_OFFLINE is set. Where there is one, run "
        f"`hf download {source.hub} --repo-type dataset --local-dir FOLDER`; copy FOLDER here and name it as hub."
    )


def _tmx_rows(source: SourceSettings, data: DataSettings, file: InputFile) -> Iterator[Row | BadRow]:
    asked = (source.source or data.source_language, source.target or data.target_language)
    if None in asked:
        raise ValueError(
            f"{file.path} holds several languages: name source_language and target_language, or the source's own "
            "source and target."
        )
    languages = tuple(str(language).lower().replace("_", "-") for language in asked)
    parser = _TmxParser(file.path)
    seen: dict[str, None] = {}  # in the order of the file
    found = number = 0
    for unit in parser.units(file):
        number += 1
        if len(seen) < 20:
            seen.update(dict.fromkeys(unit.segments))
        sides = [_in_language(unit.segments, language) for language in languages]
        found += None not in sides
        if None in sides:
            yield BadRow(unit.line, f"no {asked[sides.index(None)]}: it has {', '.join(unit.segments) or 'nothing'}")
        elif unit.incomplete:
            yield BadRow(unit.line, "an entity that the file does not define")
        else:
            yield _row(unit.line, sides[0], sides[1])
    if not number:
        raise ValueError(f"{file.path} has no translation unit (<tu>): it is empty, or not TMX.")
    if not found:
        raise ValueError(
            f"{file.path} has no unit in both {asked[0]} and {asked[1]}: its languages are {', '.join(seen)}."
        )


def _in_language(segments: dict[str, str], language: str) -> str | None:
    """The segment in the language as named, else in a variety of it: en takes en-us."""
    if language in segments:
        return segments[language]
    return next((text for tag, text in segments.items() if tag.split("-")[0] == language), None)


@dataclass
class _TmxUnit:
    line: int
    segments: dict[str, str] = field(default_factory=dict)  # by lower-case language tag
    incomplete: bool = False


class _TmxParser:
    """Translation units of TMX 1.4, in bounded memory. Entities are refused, as they can grow without bound."""

    _CODES = frozenset({"bpt", "ept", "it", "ph", "ut"})  # markup of another format, no text

    def __init__(self, path: Path) -> None:
        self.path = path
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

    def units(self, file: InputFile) -> Iterator[_TmxUnit]:
        begun = False
        try:
            with file.reading():
                while chunk := file.stream.read(1 << 16):
                    begun = True
                    self._parser.Parse(chunk)
                    yield from self._done
                    self._done.clear()
                self._parser.Parse(b"", True)
        except expat.ExpatError as error:
            codes = expat.errors.codes
            if error.code == codes[expat.errors.XML_ERROR_NO_ELEMENTS]:
                said = "ends in the middle of its document" if begun else "is empty"
                raise ValueError(f"{self.path} {said}: it must hold a TMX document.") from error
            cure = "repair it"
            if error.code == codes[expat.errors.XML_ERROR_INVALID_TOKEN]:
                cure += ", or have it declare the encoding that it is in"
            raise ValueError(
                f"{self.path}, line {error.lineno}, is not XML ({expat.ErrorString(error.code)}): {cure}."
            ) from error
        yield from self._done

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
        raise ValueError(f"{self.path} defines the entity {name!r}, which is not read for safety: write its text out.")

    def _skipped(self, name: str, *_: Any) -> None:
        if self._unit is not None:
            self._unit.incomplete = True


def _po_rows(source: SourceSettings, data: DataSettings, file: InputFile) -> Iterator[Row | BadRow]:
    """Messages and their translations; fuzzy and obsolete entries are passed over, as gettext does."""
    import polib

    # A line left out would end an entry early, or join it to the next.
    text = "\n".join(str(line) for line in file.lines(replace=True))
    with tempfile.NamedTemporaryFile("w", suffix=".po", encoding="utf-8") as plain:
        plain.write(text)
        plain.flush()
        try:
            entries = polib.pofile(plain.name, encoding="utf-8")
        except OSError as error:
            line = re.search(r"line (\d+)", str(error))
            place = f", line {line[1]}" if line else ""
            raise ValueError(f"{file.path}{place}, is not gettext PO: repair it.") from error
    if not len(entries):
        raise ValueError(f"{file.path} has no entry: it is empty, or not gettext PO.")
    for entry in entries:
        if entry.fuzzy or entry.obsolete:
            continue
        texts = [entry.msgid, entry.msgid_plural, entry.msgstr, *entry.msgstr_plural.values()]
        if file.last_undecodable and any("\ufffd" in text for text in texts):
            yield BadRow(entry.linenum, _not_text(file.encoding))
        elif entry.msgid_plural:
            forms = [text for _, text in sorted(entry.msgstr_plural.items())]
            if len(forms) > 1:
                yield _row(entry.linenum, entry.msgid, forms[0])
            yield _row(entry.linenum, entry.msgid_plural, forms[-1] if forms else "")
        else:
            yield _row(entry.linenum, entry.msgid, entry.msgstr)


_FILE_READERS: dict[str, Callable[[SourceSettings, DataSettings, InputFile], Iterator[Row | BadRow]]] = {
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


class _Columns(NamedTuple):
    """Names of the fields of a record; a dot leads into a nested one, as in `translation.en`."""

    source: str
    target: str
    references: list[str]
    alignment: str | None
    possible: str | None

    def all(self) -> list[str]:
        links = [name for name in (self.alignment, self.possible) if name is not None]
        return [self.source, self.target, *self.references, *links]

    def top_level(self, names: Sequence[str]) -> list[str]:
        return sorted({name if name in names else name.split(".")[0] for name in self.all()})

    def check(self, names: Sequence[str], where: str) -> None:
        for column in self.all():
            if column not in names:
                raise ValueError(f"{where} has no column {column!r}: choose among {', '.join(names)}.")


def _choose_columns(source: SourceSettings, data: DataSettings, names: Sequence[str]) -> _Columns:
    """The columns as asked for; else the languages, nested under `translation` or not; else `source` and `target`."""

    def choose(asked: str | int | None, language: str | None, default: str) -> str:
        if asked is not None:
            return str(asked)
        return next((name for name in (f"translation.{language}", language) if name in names), default)

    return _Columns(
        choose(source.source, data.source_language, "source"),
        choose(source.target, data.target_language, "target"),
        [str(name) for name in source.references],
        None if source.alignment is None else str(source.alignment),
        None if source.possible is None else str(source.possible),
    )


def _names_in(record: dict[str, Any]) -> list[str]:
    return [
        f"{name}.{inner}" if inner is not None else name
        for name, value in record.items()
        for inner in (value if isinstance(value, dict) and value else [None])
    ]


def _names_in_schema(schema: Any) -> list[str]:
    import pyarrow as pa

    names = []
    for column in schema:
        inner = [column.type.field(i).name for i in range(column.type.num_fields)]
        names += [f"{column.name}.{name}" for name in inner] if pa.types.is_struct(column.type) else [column.name]
    return names


class _MissingField(Exception):
    pass


def _field(record: dict[str, Any], name: str) -> Any:
    if name in record:
        return record[name]
    outer, _, inner = name.partition(".")
    if inner and isinstance(record.get(outer), dict):
        return _field(record[outer], inner)
    raise _MissingField(f"no {name!r}: it has {', '.join(_names_in(record)) or 'nothing'}")


def _record_row(number: int, record: dict[str, Any], columns: _Columns) -> Row | BadRow:
    try:
        source, target = _field(record, columns.source), _field(record, columns.target)
        references: list[str] | None = None
        if columns.references:
            values = [_field(record, name) for name in columns.references]
            texts = [text for value in values for text in (value if isinstance(value, list) else [value])]
            references = [text for text in texts if text is not None]
        links = [None if name is None else _field(record, name) for name in (columns.alignment, columns.possible)]
    except _MissingField as missing:
        return BadRow(number, str(missing))
    return _row(number, source, target, references, *links)


_PHARAOH = re.compile(r"\d+-\d+(?: \d+-\d+)*")
_FINEST_WORDS = re.compile(r"\w+|[^\w\s]")  # no way of counting words gives more


def _row(
    number: int, source: Any, target: Any, references: Any = None, alignment: Any = None, possible: Any = None
) -> Row | BadRow:
    """The row, or what is wrong with it: None as text is a blank side, any other value that is no text is bad."""
    source, target = "" if source is None else source, "" if target is None else target
    for text in (source, target, *(references or [])):
        if not isinstance(text, str):
            return BadRow(number, f"{str(text)[:40]!r} is not text")
        try:
            if not text.isascii():
                text.encode()
        except UnicodeEncodeError:
            return BadRow(number, "half a character (a lone surrogate)")
    if alignment is None and possible is None:
        return Row(source, target, number, references)
    links = [_links(alignment), _links(possible)]
    for given in links:
        if given is not None and given and not _PHARAOH.fullmatch(given):
            return BadRow(number, f"the alignment {given[:40]!r} is not Pharaoh, such as 0-0 1-2")
        if given:
            words = [max(len(text.split()), len(_FINEST_WORDS.findall(text))) for text in (source, target)]
            for link in given.split(" "):
                if any(int(index) >= total for index, total in zip(link.split("-"), words)):
                    return BadRow(number, f"the alignment points past the words with {link}")
    return Row(source, target, number, references, links[0], links[1])


def _links(value: Any) -> str | None:
    """Links as Pharaoh text, from such text or from a list of pairs of word indices."""
    pairs = isinstance(value, list) and all(isinstance(link, list) and len(link) == 2 for link in value)
    if pairs and all(isinstance(index, int) for link in value for index in link):
        return _pharaoh(value)
    return None if value is None else " ".join(str(value).split())


def _pharaoh(links: Iterable[Any]) -> str:
    return " ".join(f"{source}-{target}" for source, target in sorted(links))
