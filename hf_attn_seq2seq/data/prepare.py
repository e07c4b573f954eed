# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Prepares a corpus: sources are read, cleaned, deduplicated, split and written as Arrow, with a report.

All data passes through memory-mapped files, so that a corpus may be larger than memory; only validation and test sets
are loaded into memory, to merge their rows or compare them with the training pairs.
"""

import dataclasses
import functools
import hashlib
import itertools
import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from filelock import FileLock

from hf_attn_seq2seq.data.cleaning import (
    DROPPING,
    DUPLICATE,
    EMPTY,
    KEPT,
    LEAK,
    TIDYING,
    Cleaner,
    language_identifier,
    sentence_hashes,
    tidied_only,
)
from hf_attn_seq2seq.data.features import (
    FeatureFile,
    FeatureReader,
    FeatureSettings,
    FeatureWriter,
    MediaRow,
    content_hash,
    media_rows,
)
from hf_attn_seq2seq.data.readers import BadRow, LeftOut, OpenSource, Row, file_sha256, local_folder, open_source
from hf_attn_seq2seq.data.settings import FEATURES, MEDIA, DataSettings, SourceSettings
from hf_attn_seq2seq.data.splits import (
    Components,
    Hashes,
    Keys,
    find_repeats,
    is_among,
    mapped_array,
    places_among,
)
from hf_attn_seq2seq.messages import quoted, shortened
from hf_attn_seq2seq.writing import clear_leftovers, is_plain_name, whole_folder


VERSION = 3  # of the output: raised when the same settings and files give different pairs
REPORT = "report.json"
BAD_ROWS = "bad-rows.tsv"  # lists all of them: split, source, line, reason
EXAMPLES = 3  # per rule in the report
_EXAMPLE_CHARACTERS = 200
_READ_ROWS, _READ_CHARACTERS = 10_000, 1 << 23  # in memory at a time while reading
_CLEANED_ROWS = 1 << 13  # at a time, and per record batch of the table: the list of batches is in memory
_ROWS = 1 << 14  # taken at a time from memory-mapped tables
_FIRST_PART = 100  # in the column of fates, after the rules: the sets that are split off
_TYPES = {"references": pa.list_(pa.string()), "alignment": pa.string(), "possible": pa.string()}
_CLEANED = [  # columns
    ("changed", pa.uint8()),
    ("dropped", pa.uint8()),
    ("source_hash", pa.uint64()),
    ("target_hash", pa.uint64()),
]
_GROUP_HASH = ("group_hash", pa.uint64())
_ROW_OF_TEXT = 6  # fields of a `Row` that every corpus has
_PLACES = [("starts", pa.list_(pa.uint64())), ("lengths", pa.list_(pa.uint64()))]  # of features in their file
_SIZES = {
    "audio": [("seconds", pa.float64())],
    "image": [("width", pa.uint32()), ("height", pa.uint32())],
}
_OF_FILES_AND_GROUPS = dict([("group", pa.string()), *_PLACES, *_SIZES["audio"], *_SIZES["image"]])
_COLUMNS = {**_TYPES, **_OF_FILES_AND_GROUPS}
_MEDIA_SCHEMA = pa.schema(
    [("file", pa.string()), ("bytes", pa.int64()), ("modified_ns", pa.int64()), ("content_hash", pa.uint64())]
)
_MISSING = -1  # in place of a number of bytes
_SETTINGS_OF_NO_EFFECT = {"folder", "num_proc"}


@dataclass(frozen=True)
class PreparedCorpus:
    """A folder written by `prepare_corpus`: a dataset for each split, and the report.

    Each dataset has the columns `source` and `target` and, if they were given, `references` (a list of additional
    references), `alignment` and `possible` (word links in Pharaoh format) and `group`. Where sources are files,
    `source` has their names, and `features` what was computed of them.
    """

    folder: Path
    report: dict[str, Any]
    splits: dict[str, datasets.Dataset]  # train, validation and the test sets by name, memory-mapped

    @classmethod
    def load(cls, folder: str | Path) -> "PreparedCorpus":
        """Loads what `prepare_corpus` wrote.

        Raises:
            ValueError: if `folder` is not a prepared corpus.
        """
        folder = Path(folder)
        try:
            report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
            if not all(is_plain_name(name) for name in report["splits"]):
                raise ValueError("a split is outside the folder")
            splits = {name: datasets.load_from_disk(str(folder / name)) for name in report["splits"]}
        except FileNotFoundError:
            raise ValueError(f"{folder} is not a prepared corpus: run preprocess first.") from None
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowInvalid):
            raise ValueError(f"The corpus in {folder} is damaged: remove it, and run preprocess again.") from None
        return cls(folder, report, splits)

    @property
    def fingerprint(self) -> str:
        """Equal for corpora made from the same settings, files and Hub datasets."""
        return self.report["fingerprint"]

    @property
    def is_text(self) -> bool:
        """Whether the sources are text, and not the names of files."""
        return "features" not in self.report

    def features(self, split: str) -> FeatureFile:
        """The features of a split: of each pair, the `lengths[0]` rows from `starts[0]` on are of the file as it is.

        Raises:
            ValueError: the file is missing or damaged.
        """
        kept = self.report["features"]
        of = self.report["splits"][split]["features_of"]
        return FeatureFile(self.folder / FEATURES / f"{of}.bin", kept["dtypes"][of], kept["row_size"])

    @property
    def train(self) -> datasets.Dataset:
        return self.splits["train"]

    @property
    def validation(self) -> datasets.Dataset:
        return self.splits["validation"]

    @property
    def tests(self) -> dict[str, datasets.Dataset]:
        """The test sets by name."""
        return {name: split for name, split in self.splits.items() if name not in ("train", "validation")}


def prepare_corpus(
    data: DataSettings,
    folder: Path,
    fingerprint: str | None = None,
    features: FeatureSettings | None = None,
    speeds: Sequence[float] = (),
) -> PreparedCorpus:
    """Prepares the corpus in `folder`, or returns the one that is there if its settings and files are the same.

    The folder appears only when it is complete: it is written beside its final place and then moved. If several
    processes ask for the same folder, one prepares it and the others wait.

    Args:
        fingerprint: the expected fingerprint; if the corpus has another one, `folder` is left unchanged and a
            ValueError is raised.
        features: what is computed of sounds or pictures, if the sources are files; None for the defaults.
        speeds: further versions of each training sound (see `FeatureReader`).

    Raises:
        ValueError: if a source cannot be read, a bad row is found and `on_bad_row` is "stop", no pair is left, or
            `folder` exists and is not a prepared corpus. The message names the file and line, if any.
        OSError: if a disk is full.
        ImportError: if a rule or a format needs a package that is not installed.
    """
    folder = Path(folder)
    if not data.train:
        raise ValueError("data.train has no source: name two text files, a file, a hub dataset, the grammar or scan.")
    if data.cleaning.language_certainty is not None:
        language_identifier(data.checked_languages)  # fails before hours of reading
    data = _with_scan_test(_with_grammar_parts(data))
    reader = None
    if data.source_kind != "text":
        reader = FeatureReader(data.source_kind, features or FeatureSettings(), speeds)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / f".{folder.name}.lock"):
        clear_leftovers(folder)
        made = _made_of_the_same(data, folder, reader)
        if made is not None:
            _refuse_another(fingerprint, made.fingerprint, folder)
            return made
        if folder.exists() and any(folder.iterdir()) and not (folder / REPORT).exists():
            raise ValueError(f"{folder} exists and is not a prepared corpus: name another folder, or remove it.")
        with whole_folder(folder) as partial:
            (partial / "work").mkdir()
            with _quiet_unless_terminal():
                report = _Preparation(data, partial, reader).run()
            _refuse_another(fingerprint, report["fingerprint"], folder)
            shutil.rmtree(partial / "work")
            (partial / REPORT).write_text(json.dumps(report, indent=1, ensure_ascii=False), encoding="utf-8")
    return PreparedCorpus.load(folder)


def _refuse_another(wanted: str | None, found: str, folder: Path) -> None:
    if wanted not in (None, found):
        raise ValueError(
            f"The data has changed since the run in '{folder.parent}' was started: use another output folder."
        )


def _with_grammar_parts(data: DataSettings) -> DataSettings:
    """If the training sources include a grammar, adds its validation and test sets where none are named."""
    grammar = next((source.grammar for source in data.train if source.grammar is not None), None)
    if grammar is None:
        return data
    parts = {
        split: [SourceSettings(grammar=grammar.model_copy(update={"split": split}))]
        for split in ("validation", "test", "test_compositional")
    }
    changes: dict[str, Any] = {}
    if not data.validation and data.validation_size is None:
        changes["validation"] = parts["validation"]
    if not data.tests and data.test_size is None:
        changes["tests"] = {name: parts[name] for name in ("test", "test_compositional")}
    return data.model_copy(update=changes)


def _with_scan_test(data: DataSettings) -> DataSettings:
    """If the training sources include SCAN's, adds the test of that split where none is named."""
    scan = next((source.scan for source in data.train if source.scan is not None), None)
    if scan is None or data.tests or data.test_size is not None:
        return data
    test = SourceSettings(scan=scan.model_copy(update={"part": "test"}))
    return data.model_copy(update={"tests": {"test": [test]}})


def _settings_that_count(data: DataSettings, reader: FeatureReader | None) -> dict[str, Any]:
    settings = data.model_dump(mode="json", exclude=_SETTINGS_OF_NO_EFFECT)
    for name, usual in (("source_kind", "text"), ("group", None)):  # which corpora made before these were do not have
        if settings[name] == usual:
            del settings[name]
    if not settings["cleaning"]["moses"]:
        del settings["cleaning"]["moses"]
    for source in (*settings["train"], *settings["validation"], *itertools.chain(*settings["tests"].values())):
        for name in ("keep", "scan"):
            if not source[name]:
                del source[name]
    if reader is not None:
        settings["features"] = {**reader.settings.of_kind(reader.kind), "speeds": reader.speeds}
    return settings


def _made_of_the_same(data: DataSettings, folder: Path, reader: FeatureReader | None) -> PreparedCorpus | None:
    """The corpus in `folder`, if this version made it from the same settings and files. Files are compared by size
    and modification time, and by content if only the time differs."""
    try:
        corpus = PreparedCorpus.load(folder)
    except ValueError:
        return None
    report = corpus.report
    if report.get("version") != VERSION or report.get("settings") != _settings_that_count(data, reader):
        return None
    for entry in report["inputs"]:
        path = data.folder / entry["file"]
        if not path.is_file() or path.stat().st_size != entry["bytes"]:
            return None
        if path.stat().st_mtime_ns != entry["modified_ns"] and file_sha256(path) != entry["sha256"]:
            return None
    if not corpus.is_text and not _media_unchanged(corpus, data):
        return None
    folders = {folder for source in _all_sources(data) if (folder := local_folder(source, data)) is not None}
    files = {file for folder in folders for file in _files_in(folder)}
    known = {data.folder / entry["file"] for entry in report["inputs"]}
    if files and not corpus.is_text:
        known |= {data.folder / name for name in _media(corpus.folder)["file"].to_pylist()}
    return corpus if files <= known else None


def _media(folder: Path) -> pa.Table:
    """The files that its rows name, bad ones too: name, bytes, time of modification and hash."""
    with pa.memory_map(str(folder / MEDIA)) as file:
        return pa.ipc.open_stream(file).read_all()


def _media_unchanged(corpus: PreparedCorpus, data: DataSettings) -> bool:
    try:
        batches = _media(corpus.folder).to_batches(max_chunksize=_ROWS)
    except (OSError, pa.ArrowInvalid):
        return False
    for entry in (entry for batch in batches for entry in batch.to_pylist()):
        path = data.folder / entry["file"]
        if (path.stat().st_size if path.is_file() else _MISSING) != entry["bytes"]:
            return False
        if entry["bytes"] == _MISSING:
            continue
        if path.stat().st_mtime_ns != entry["modified_ns"] and _hash_if_readable(path) != entry["content_hash"]:
            return False
    return True


def _hash_if_readable(path: Path) -> int:
    try:
        return content_hash(path)
    except OSError:
        return 0


def _all_sources(data: DataSettings) -> Iterator[SourceSettings]:
    for sources in (data.train, data.validation, *data.tests.values()):
        yield from sources


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@contextmanager
def _quiet_unless_terminal() -> Iterator[None]:
    """Disables progress bars outside a terminal: in a log, every update would be a line."""
    switch = not sys.stderr.isatty() and not datasets.are_progress_bars_disabled()
    if switch:
        datasets.disable_progress_bars()
    try:
        yield
    finally:
        if switch:
            datasets.enable_progress_bars()


class _Part(NamedTuple):
    """The cleaned rows of one source: a table with `source`, `target`, `line`, `changed`, `dropped` and hashes."""

    source: SourceSettings
    table: datasets.Dataset
    start: int  # index of its first row among the rows of the split

    def batches(self, *columns: str) -> Iterator[tuple[slice, pa.Table]]:
        """Tables of some rows, with the slice of the split that they are."""
        start = self.start
        for batch in self.table.select_columns(list(columns)).with_format("arrow").iter(batch_size=_ROWS):
            yield slice(start, start + len(batch)), batch
            start += len(batch)


@dataclass
class _Tally:
    """The number of rows that a rule applied to, and the first of them."""

    count: int = 0
    examples: list[dict[str, Any]] = dataclasses.field(default_factory=list)


class _Split:
    """All rows of a split as read, and the fate of each: `KEPT`, a rule of `DROPPING`, or a set split off."""

    def __init__(self, name: str, parts: list[_Part], work: Path) -> None:
        self.name = name
        self.parts = parts
        self.total = sum(len(part.table) for part in parts)
        self.fates = mapped_array(work / f"{name}.fates", self.total, "u1")
        for part in parts:
            for rows, batch in part.batches("dropped"):
                self.fates[rows] = batch["dropped"].to_numpy()

    @property
    def extras(self) -> list[str]:
        """The columns besides source and target."""
        own = [name for name in _TYPES if any(name in part.source.extras for part in self.parts)]
        return own + [name for name in self.parts[0].table.column_names if name in _OF_FILES_AND_GROUPS]

    def kept(self) -> int:
        return sum(int(np.count_nonzero(self.fates[rows] == KEPT)) for rows in self.chunks())

    def chunks(self) -> Iterator[slice]:
        """All rows, in slices."""
        return (slice(start, start + _ROWS) for start in range(0, self.total, _ROWS))

    def hashes(self, fate: int = KEPT, references: bool = False) -> Iterator[Hashes]:
        """Hashes of the rows of one fate; with `references`, each reference counts as a further target of its row."""
        for part in self.parts:
            more = ["references"] if references and "references" in part.source.extras else []
            grouped = [name for name in part.table.column_names if name == _GROUP_HASH[0]]
            for rows, batch in part.batches("source_hash", "target_hash", *more, *grouped):
                chosen = self.fates[rows] == fate
                numbers = np.flatnonzero(chosen).astype("u8") + np.uint64(rows.start)
                batch = batch.filter(pa.array(chosen))
                sources = batch["source_hash"].to_numpy()
                groups = [batch[name].to_numpy() for name in grouped]
                yield Hashes(numbers, sources, batch["target_hash"].to_numpy(), *groups)
                if more:
                    texts = batch["references"].combine_chunks()
                    of = pc.list_parent_indices(texts).to_numpy()
                    hashes = sentence_hashes(pc.list_flatten(texts).to_pylist())
                    yield Hashes(numbers[of], sources[of], hashes, *(group[of] for group in groups))

    def example(self, row: int) -> dict[str, Any]:
        part = next(part for part in reversed(self.parts) if part.start <= row)
        values = part.table[int(row) - part.start]
        return _example(part.source, values["line"], values["source"], values["target"])

    def tallies(self) -> dict[str, _Tally]:
        """The rows dropped by each rule."""
        found = {name: _Tally() for name in DROPPING.values()}
        for rows in self.chunks():
            fates = self.fates[rows]
            for rule, count in enumerate(np.bincount(fates, minlength=len(DROPPING))):
                if count and rule in DROPPING:
                    tally = found[DROPPING[rule]]
                    tally.count += int(count)
                    for row in np.flatnonzero(fates == rule)[: EXAMPLES - len(tally.examples)]:
                        tally.examples.append(self.example(rows.start + row))
        return found


@dataclass
class _Member:
    """A split of the prepared corpus: the rows of one fate among those that were read."""

    name: str
    split: _Split
    fate: int = KEPT

    def batches(self, *also: int) -> Iterator[Hashes]:
        """Hashes of its rows, and of the rows of other fates."""
        for fate in (self.fate, *also):
            yield from self.split.hashes(fate, references=True)

    @functools.cached_property
    def hashes(self) -> Hashes:
        """Hashes of all rows, in memory: not for the training pairs."""
        return Hashes(*map(np.concatenate, zip(*self.batches())))


class _Preparation:
    """One preparation: `run` fills the folder and returns the report."""

    def __init__(self, data: DataSettings, folder: Path, reader: FeatureReader | None) -> None:
        self.data = data
        self.folder = folder
        self.reader = reader  # None: sources are text
        self.dtypes: dict[str, str] = {}  # of the files of features
        self.media: list[dict[str, Any]] = []  # files to note
        self.files: set[Path] = set()  # noted ones of folders that `datasets` loads
        self.work = folder / "work"
        self.inputs: list[dict[str, Any]] = []
        self.sources: list[dict[str, Any]] = []
        self.rules: dict[str, dict[str, Any]] = {}
        self.splits: dict[str, dict[str, Any]] = {}
        self.leaks: dict[str, dict[str, Any]] = {}

    def run(self) -> dict[str, Any]:
        if self.reader is None:
            return self._run()
        (self.folder / FEATURES).mkdir()
        with pa.OSFile(str(self.folder / MEDIA), "wb") as sink, pa.ipc.new_stream(sink, _MEDIA_SCHEMA) as self.noted:
            report = self._run()
        kept = {"kind": self.reader.kind, "dtypes": self.dtypes, "row_size": self.reader.row_size}
        return {**report, "features": kept}

    def _run(self) -> dict[str, Any]:
        data = self.data
        given = {"validation": data.validation, **data.tests} if data.validation else dict(data.tests)
        held_out = [_Member(name, self._read(name, sources)) for name, sources in given.items()]
        train = _Member("train", self._read("train", data.train))
        if data.cleaning.drop_duplicates:
            self._drop_duplicates(train.split)
        if data.cleaning.drop_leaks:
            for member in held_out:
                self._check_leaks(member, train, drop=True)
        split_off = self._split_off(train.split)
        members = [train, *sorted([*split_off, *held_out], key=lambda member: member.name != "validation")]
        for other, member in itertools.combinations(members, 2):
            self._check_leaks(member, other)
        for member in members:
            self._write(member)
        for split in (train.split, *(member.split for member in held_out)):
            for rule, tally in split.tallies().items():
                self._count(split.name, rule, tally)
        return {
            "version": VERSION,
            "fingerprint": self._fingerprint(),
            "splits": self.splits,
            "rules": self.rules,
            "leaks": self.leaks,
            "sources": self.sources,
            "inputs": self.inputs,
            "settings": _settings_that_count(data, self.reader),
        }

    def _fingerprint(self) -> str:
        """Hash of everything the pairs depend on, independent of where the files are."""
        checksums = [entry["sha256"] for entry in self.inputs]
        checksums += [entry["rows_sha256"] for entry in self.sources if "rows_sha256" in entry]
        content = [VERSION, _settings_that_count(self.data, self.reader), checksums]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def _count(self, split: str, rule: str, tally: _Tally) -> None:
        if tally.count:
            self.rules.setdefault(split, {})[rule] = dataclasses.asdict(tally)

    # Reading and cleaning

    def _read(self, name: str, sources: list[SourceSettings]) -> _Split:
        rules = self.data.cleaning if name == "train" else tidied_only(self.data.cleaning)
        files = self.reader is not None
        cleaner = Cleaner(rules, self.data.checked_languages, self.data.alignment_words, files)
        tidied = {rule: _Tally() for rule in TIDYING.values()}
        parts: list[_Part] = []
        for source in sources:
            path = self.work / f"{name}-{len(parts)}.arrow"
            self._ingest(name, source, path)
            raw = datasets.Dataset.from_file(str(path))
            clean_path = path.with_suffix(".clean.arrow")
            added = [*_CLEANED, *([_GROUP_HASH] if self.data.group is not None else [])]
            hashes = [name for name in raw.column_names if name == "content_hash"]  # which become `source_hash`
            kept = [field for field in raw.features.arrow_schema if field.name not in hashes]
            schema = pa.schema([*kept, *added])
            table = raw.map(
                cleaner,
                batched=True,
                batch_size=_CLEANED_ROWS,
                writer_batch_size=_CLEANED_ROWS,
                remove_columns=hashes or None,
                num_proc=self.data.num_proc if self.data.num_proc > 1 else None,
                features=datasets.Features.from_arrow_schema(schema),
                cache_file_name=str(clean_path),
                new_fingerprint=path.stem,
                desc=f"Cleaning {source.name}",
            )
            part = _Part(source, table, sum(len(part.table) for part in parts))
            _tally_tidying(part, raw, tidied)
            parts.append(part)
            path.unlink()
        for rule, tally in tidied.items():
            self._count(name, rule, tally)
        split = _Split(name, parts, self.work)
        if not split.kept():
            blank = sum(tally.count for rule, tally in split.tallies().items() if rule == DROPPING[EMPTY])
            names = ", ".join(source.name for source in sources)
            if blank == split.total:
                raise ValueError(f"{names} has no pair with text on both sides: in all {blank} rows a side is empty.")
            raise ValueError(f"The rules of data.cleaning drop all pairs of {names}: relax them.")
        return split

    def _note_bad_row(self, split: str, source: str, row: BadRow) -> None:
        told = "\t".join(" ".join(str(field).split()) for field in (split, source, row.line, row.reason))
        with (self.folder / BAD_ROWS).open("a", encoding="utf-8") as file:
            file.write(told + "\n")

    def _ingest(self, split: str, source: SourceSettings, path: Path) -> None:
        """Writes the rows of a source as an Arrow stream, and records the bad ones."""
        limit = min((n for n in (source.limit, self.data.limit) if n is not None), default=None)
        schema = pa.schema(
            [("source", pa.string()), ("target", pa.string()), ("line", pa.uint64())]
            + [(name, _TYPES[name]) for name in source.extras]
            + ([("group", pa.string())] if self.data.group is not None else [])
            + ([("content_hash", pa.uint64()), *_PLACES, *_SIZES[self.reader.kind]] if self.reader is not None else [])
        )
        good = bad = left_out = 0
        others: dict[str, None] = {}  # values that are not asked for, in order
        digest = hashlib.sha256()
        bad_examples: list[dict[str, Any]] = []
        progress = datasets.utils.tqdm(desc=f"Reading {source.name}", unit=" rows")
        with progress, closing(open_source(source, self.data)) as opened, pa.OSFile(str(path), "wb") as sink:
            with pa.ipc.new_stream(sink, schema) as writer, self._rows(split, source, opened, limit) as rows:
                batch: list[Row | MediaRow] = []
                characters = 0
                for row in rows:
                    if (
                        self.data.group is not None
                        and isinstance(row, Row | MediaRow)
                        and not row.group
                        and row.target
                    ):
                        row = BadRow(row.line, f"no {quoted(self.data.group)}: it says which group the row is of")
                    if isinstance(row, LeftOut):
                        left_out += 1
                        if len(others) < EXAMPLES:
                            others[row.value] = None
                    elif isinstance(row, BadRow):
                        if self.data.on_bad_row == "stop":
                            raise ValueError(
                                f"{source.name}, line {row.line}: {row.reason}; fix it, or set on_bad_row=skip."
                            )
                        bad += 1
                        if row.file is not None:
                            self._note_bad_file(row.file)
                        self._note_bad_row(split, source.name, row)
                        if len(bad_examples) < EXAMPLES:
                            bad_examples.append({"line": row.line, "reason": row.reason})
                    else:
                        good += 1
                        batch.append(row)
                        if isinstance(row, MediaRow):
                            told: Any = (row.source, row.target, row.references, row.group, row.content_hash)
                            digest.update(json.dumps(told).encode())
                            self._note_media(row)
                            progress.update()
                        elif source.hub is not None:
                            told = row[:_ROW_OF_TEXT] if row.group is None else (*row[:_ROW_OF_TEXT], row.group)
                            digest.update(json.dumps(told).encode())
                        characters += len(row.source) + len(row.target)
                        if len(batch) == _READ_ROWS or characters > _READ_CHARACTERS:
                            writer.write_batch(_to_arrow(batch, schema))
                            progress.update(len(batch) if self.reader is None else 0)
                            batch, characters = [], 0
                    if limit is not None and good + bad + left_out >= limit:
                        break
                if batch:
                    writer.write_batch(_to_arrow(batch, schema))
            self._write_media()
            for file in opened.files:
                self._note_input(split, file.path, file.sha256())
        if not good and left_out:
            raise ValueError(
                f"{source.name} has no usable row: keep leaves out {left_out:,}, with values such as "
                f"{', '.join(map(quoted, others))}."
            )
        if not good:
            said = f"; the first is line {bad_examples[0]['line']}: {bad_examples[0]['reason']}" if bad else ""
            raise ValueError(f"{source.name} has no usable row among {bad}{said}.")
        folder = local_folder(source, self.data)
        for file_path in _files_in(folder) if folder is not None else []:
            if file_path not in self.files:
                self._note_input(split, file_path, file_sha256(file_path))
        entry: dict[str, Any] = {
            "split": split,
            "source": source.name,
            "rows": good + bad + left_out,
            "bad_rows": {"count": bad, "examples": bad_examples},
        }
        if source.keep:
            entry["left_out"] = left_out
        if source.hub is not None or self.reader is not None:  # the rows under this name, or files, may change
            entry["rows_sha256"] = digest.hexdigest()
        if source.revision is not None:
            entry["revision"] = source.revision
        self.sources.append(entry)

    @contextmanager
    def _rows(
        self, split: str, source: SourceSettings, opened: OpenSource, limit: int | None
    ) -> Iterator[Iterator[Row | MediaRow | BadRow | LeftOut]]:
        """The rows of a source; if it has files, those whose features were written."""
        if self.reader is None:
            yield opened.rows
            return
        table = source.file.parent if source.file is not None else local_folder(source, self.data) or Path()
        # Given held-out sounds are kept as exactly as they are computed; those of training, from which sets may be
        # split off, take half the space. A picture is in whole numbers.
        self.dtypes[split] = "u1" if self.reader.kind == "image" else "f2" if split == "train" else "f4"
        path = self.folder / FEATURES / f"{split}.bin"
        with FeatureWriter(path, self.dtypes[split], self.reader.row_size) as writer:
            yield media_rows(
                itertools.islice(opened.rows, limit),
                self.reader,
                writer,
                base=self.data.folder / table,
                shown_from=self.data.folder,
                versions=split == "train",
                processes=self.data.num_proc,
            )

    def _note_media(self, row: MediaRow) -> None:
        """Notes the file of a row, by which a change is found later."""
        if row.file is None:
            return
        stat = row.file.stat()
        name = row.source if self.data.folder / row.source == row.file else str(row.file)
        self._add_media(name, stat.st_size, stat.st_mtime_ns, row.content_hash)
        self.files.add(row.file)

    def _note_bad_file(self, file: Path) -> None:
        """Notes a file that is missing or cannot be used, by which it is found later that it was repaired."""
        folder = self.data.folder
        name = file.relative_to(folder).as_posix() if file.is_relative_to(folder) else str(file)
        if not file.is_file():
            self._add_media(name, _MISSING, 0, 0)
        elif digest := _hash_if_readable(file):
            self._add_media(name, file.stat().st_size, file.stat().st_mtime_ns, digest)
        else:  # may become readable without another time of modification
            self._add_media(name, file.stat().st_size, 0, 0)

    def _add_media(self, *values: str | int) -> None:
        self.media.append(dict(zip(_MEDIA_SCHEMA.names, values, strict=True)))
        if len(self.media) == _READ_ROWS:
            self._write_media()

    def _write_media(self) -> None:
        if self.media:
            self.noted.write_table(pa.Table.from_pylist(self.media, schema=_MEDIA_SCHEMA))
            self.media = []

    def _note_input(self, split: str, path: Path, sha256: str) -> None:
        stat = path.stat()
        file = path.relative_to(self.data.folder) if path.is_relative_to(self.data.folder) else path
        self.inputs.append(
            {
                "split": split,
                "file": str(file),
                "sha256": sha256,
                "bytes": stat.st_size,
                "modified_ns": stat.st_mtime_ns,
            }
        )

    # Duplicates, leaks and splits

    def _drop_duplicates(self, split: _Split) -> None:
        pairs = (Keys(hashes.rows, hashes.pairs()) for hashes in split.hashes())
        for repeats in find_repeats(pairs, split.total, self.work):
            split.fates[repeats.later] = DUPLICATE

    def _check_leaks(self, held_out: _Member, other: _Member, drop: bool = False) -> None:
        """Counts the rows of `held_out` whose source, target or pair is also in `other`; with `drop`, drops these
        from `other`.

        Additional references count as targets too.
        """
        rows, sides = held_out.hashes.rows, held_out.hashes.sides()
        if drop and self.reader is not None:
            del sides["target"]  # the same words, said by another
        known = {side: np.unique(values) for side, values in sides.items()}
        seen = {side: np.zeros(len(values), bool) for side, values in known.items()}
        already = [LEAK] if drop else []  # a row dropped because of one split may also leak into another
        for hashes in other.batches(*already) if other.name == "train" else [other.hashes]:
            shares = np.zeros(len(hashes.rows), bool)
            for side, values in hashes.sides().items():
                if side not in known:
                    continue
                places = places_among(values, known[side])
                seen[side][places[places >= 0]] = True
                shares |= places >= 0
            if drop:
                other.split.fates[hashes.rows[shares]] = LEAK
        report: dict[str, Any] = {}
        for side, values in sides.items():
            leaked = np.unique(rows[seen[side][places_among(values, known[side])]])
            if len(leaked):
                report[side] = {
                    "count": len(leaked),
                    "examples": [held_out.split.example(row) for row in leaked[:EXAMPLES]],
                }
        if report:
            self.leaks[f"{held_out.name} in {other.name}"] = {"dropped": drop, **report}

    def _split_off(self, train: _Split) -> list[_Member]:
        """Marks the groups of training pairs that become the validation and test sets, if these are not given."""
        kept, sizes = train.kept(), {}
        if not self.data.validation:
            sizes["validation"] = self.data.validation_size or max(1, min(1000, kept // 10))
        if self.data.test_size is not None:
            sizes["test"] = self.data.test_size
        if not sizes:
            return []
        if sum(sizes.values()) >= kept:
            asked = " and ".join(f"{name}_size is {size}" for name, size in sizes.items())
            raise ValueError(f"{asked}, but there are only {kept} pairs: leave some for training.")
        shares = f"share a {shortened(self.data.group)}" if self.data.group else "share sentences"
        components = Components(train.total, self.work, shares)
        # What is said, or shown, may be the same for many files.
        sides = ["source", *(["target"] if self.reader is None else []), *(["group"] if self.data.group else [])]
        for side in sides:
            keys = (Keys(hashes.rows, hashes.sides()[side]) for hashes in train.hashes(references=True))
            components.join(find_repeats(keys, train.total, self.work))
        groups = components.choose(lambda rows: train.fates[rows] == KEPT, list(sizes.values()), self.data.seed)
        for chunk in train.chunks():
            roots, fates = components.groups_of(chunk), train.fates[chunk]
            for code, chosen in enumerate(groups, start=_FIRST_PART):
                fates[(fates == KEPT) & is_among(roots, chosen)] = code
        return [_Member(name, train, code) for code, name in enumerate(sizes, start=_FIRST_PART)]

    # Writing

    def _write(self, member: _Member) -> None:
        """Writes its rows: training pairs according to the weights of their sources, others with merged references."""
        name, split = member.name, member.split
        schema = pa.schema(
            [("source", pa.string()), ("target", pa.string()), *((extra, _COLUMNS[extra]) for extra in split.extras)]
        )
        merge = name != "train" and self.data.group_references
        drawn = [0] * len(split.parts)
        tables = self._tables(member, schema, drawn)
        if merge:
            tables = iter([_merge_references(tables, schema)])
        path = self.work / f"{name}.split"  # a suffix that no other file here has
        pairs = 0
        with pa.OSFile(str(path), "wb") as sink:
            writer = None
            for table in tables:
                writer = writer or pa.ipc.new_stream(sink, table.schema)
                writer.write_table(table)
                pairs += len(table)
            if writer is None:
                raise ValueError(
                    f"Nothing is left of {name}: relax data.cleaning, or raise the weights of its sources."
                )
            writer.close()
        written = datasets.Dataset.from_file(str(path))
        written.save_to_disk(str(self.folder / name))
        further = _further_figures(written)
        if self.reader is not None:
            further["features_of"] = split.name
        del written
        path.unlink()
        self.splits[name] = {
            "pairs": pairs,
            **further,
            "rows_of_sources": [
                {"source": part.source.name, "rows": number} for part, number in zip(split.parts, drawn)
            ],
        }

    def _tables(self, member: _Member, schema: pa.Schema, drawn: list[int]) -> Iterator[pa.Table]:
        for number, part in enumerate(member.split.parts):
            rng = np.random.default_rng((self.data.seed, number))
            whole, fraction = divmod(part.source.weight, 1)
            own = [column for column in schema.names if column in part.table.column_names]
            for rows, batch in part.batches(*own):
                places = np.flatnonzero(member.split.fates[rows] == member.fate)
                if member.name == "train" and part.source.weight != 1:
                    places = np.repeat(places, int(whole) + (rng.random(len(places)) < fraction))
                if len(places):
                    table = batch.take(pa.array(places))
                    for column in schema.names:
                        if column not in own:
                            table = table.append_column(column, pa.nulls(len(table), _COLUMNS[column]))
                    drawn[number] += len(table)
                    yield table.select(schema.names).cast(schema).combine_chunks()


def _further_figures(split: datasets.Dataset) -> dict[str, Any]:
    """How many groups a split has, and how long its sounds or how large its pictures are."""
    figures: dict[str, Any] = {}
    table = split.with_format("arrow")
    columns = {name: table[:][name] for name in ("group", "seconds", "width", "height") if name in split.column_names}
    for name, values in columns.items():
        if name == "group":
            figures["groups"] = pc.count_distinct(values).as_py()
            continue
        least, middle, most = pc.quantile(values, [0, 0.5, 1]).to_pylist()
        figures[name] = {"least": round(least, 3), "median": round(middle, 3), "most": round(most, 3)}
        if name == "seconds":
            figures["hours"] = round(pc.sum(values).as_py() / 3600, 4)
    return figures


def _tally_tidying(part: _Part, raw: datasets.Dataset, tallies: dict[str, _Tally]) -> None:
    for rows, batch in part.batches("changed"):
        changed = batch["changed"].to_numpy()
        for bit, rule in TIDYING.items():
            tally, met = tallies[rule], np.flatnonzero(changed & bit)
            tally.count += len(met)
            for row in (met[: EXAMPLES - len(tally.examples)] + rows.start - part.start).tolist():
                before, after = raw[row], part.table[row]
                shown = _example(part.source, before["line"], before["source"], before["target"])
                shown["becomes"] = {side: after[side][:_EXAMPLE_CHARACTERS] for side in ("source", "target")}
                tally.examples.append(shown)


def _example(source: SourceSettings, line: int, source_text: str, target_text: str) -> dict[str, Any]:
    return {
        "in": source.name,
        "line": line,
        "source": source_text[:_EXAMPLE_CHARACTERS],
        "target": target_text[:_EXAMPLE_CHARACTERS],
    }


def _to_arrow(rows: list[Row | MediaRow], schema: pa.Schema) -> pa.RecordBatch:
    columns = dict(zip(rows[0]._fields, zip(*rows)))
    return pa.record_batch([pa.array(columns[name], schema.field(name).type) for name in schema.names], schema=schema)


def _merge_references(tables: Iterable[pa.Table], schema: pa.Schema) -> pa.Table:
    """Merges rows with the same source: the first target stays the target, the others become references."""
    merged: dict[str, dict[str, Any]] = {}
    for table in tables:
        for row in table.to_pylist():
            row["references"] = row.get("references") or []
            first = merged.setdefault(row["source"], row)
            if first is not row:
                new = [row["target"], *row["references"]]
                first["references"] += [text for text in new if text not in (first["target"], *first["references"])]
    if "references" not in schema.names:
        schema = schema.append(pa.field("references", _TYPES["references"]))
    return pa.Table.from_pylist(list(merged.values()), schema=schema)
