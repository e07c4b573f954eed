# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Lines in and lines out: read in blocks as they come, written so that a killed run can go on where it was."""

import gzip
import hashlib
import json
import lzma
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple


_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open}
# A compressed file may consist of several, one after the other: each block of lines is one.
_COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": lambda content: gzip.compress(content, mtime=0),
    ".xz": lzma.compress,
}


class Block(NamedTuple):
    """Some lines of the input, and the hash of the whole input up to their end."""

    first: int  # the number of lines before
    lines: list[str]
    digest: str


def read_blocks(path: Path | None, size: int) -> Iterator[Block]:
    """
    Read UTF-8 lines of a file, also `.gz` or `.xz`, or of standard input, in blocks of about `size` bytes.

    What standard input has is given on at once, so that someone who types lines need not wait. Lines end at a line
    feed, with or without a carriage return; a byte order mark is dropped.

    Raises:
        ValueError: The file is missing or damaged, or a line is not UTF-8; the sentence names it.
    """
    name = str(path) if path else "standard input"
    stream: Any = _open(path) if path else sys.stdin.buffer
    digest = hashlib.sha256()
    count = 0
    rest = b""
    while True:
        try:
            content = stream.read1(size)
        except (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
            raise ValueError(f"{name} cannot be decompressed ({error}): it is damaged, or misnamed.") from error
        complete, newline, rest_of_content = content.rpartition(b"\n")
        if content and not newline:
            rest += content
            continue
        block = rest + complete + newline
        rest = rest_of_content
        if block:
            digest.update(block)
            raw = block.removesuffix(b"\n").split(b"\n")
            lines = [_decode(line, name, number) for number, line in enumerate(raw, start=count + 1)]
            yield Block(count, lines, digest.hexdigest())
            count += len(lines)
        if not content:
            return


def count_lines(path: Path) -> int:
    """How many lines `read_blocks` will find."""
    count, last = 0, b"\n"
    with _open(path) as stream:
        while content := stream.read(1 << 20):
            count += content.count(b"\n")
            last = content[-1:]
    return count + (last != b"\n")


def refuse_overwriting(output: Path | None, *inputs: Path | None) -> None:
    """A ValueError where the output is one of the files that are read."""
    for path in inputs:
        if output and path and output.exists() and path.exists() and output.samefile(path):
            raise ValueError(f"{path} cannot be read and written at once: name another --output.")


def _open(path: Path) -> Any:
    if path.is_dir():
        raise ValueError(f"{path} is a folder: name a file in it.")
    if not path.exists():
        raise ValueError(f"There is no file {path}: check its path.")
    return _OPENERS.get(path.suffix, open)(path, "rb")


def _decode(line: bytes, name: str, number: int) -> str:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{name}, line {number}, is not UTF-8 text (byte 0x{line[error.start]:02x} after {error.start} others): "
            "convert it first, for instance with iconv."
        ) from None
    return (text.removeprefix("\ufeff") if number == 1 else text).removesuffix("\r")


class Output:
    """Where results go in blocks: standard output, or a file, compressed where it ends in `.gz` or `.xz`."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.lines = 0  # of the input that are done
        self.digest = ""  # of the input so far
        self.stream: Any = sys.stdout.buffer
        if path:
            if not path.parent.is_dir():
                raise ValueError(f"There is no folder {path.parent} to write {path.name} in: make it first.")
            if path.is_dir():
                raise ValueError(f"{path} is a folder: name a file to write.")

    def open(self) -> None:
        if self.path:
            self.stream = self.path.open("wb")

    def write(self, content: str, lines: int, digest: str) -> None:
        """Append results; the input of `digest` has now `lines` lines that are done."""
        raw = content.encode("utf-8")
        self.stream.write(_COMPRESSORS.get(self.path.suffix, bytes)(raw) if self.path else raw)
        self.stream.flush()
        self.lines, self.digest = lines, digest

    def finish(self) -> None:
        """All is written."""
        if self.path:
            self.stream.close()


class ResumableOutput(Output):
    """
    A file of results, `.gz` and `.xz` compressed, and beside it, until it is complete, how far it has come.

    `FILE.progress` is replaced after each block, once the block is on the disk; what a killed run wrote after that is
    cut off when it is resumed.
    """

    def __init__(self, path: Path, run: dict[str, Any], resume: bool) -> None:
        """
        Args:
            path: Where to write.
            run: What must be the same for the rest of the file to fit its beginning.
            resume: Whether to go on with what an earlier run left. Without anything to go on with, begin.

        Raises:
            ValueError: The unfinished file is of another run, or was changed; or there is one and `resume` is not set.
        """
        super().__init__(path)
        self.path: Path = path
        self.progress = path.with_name(f"{path.name}.progress")
        self.run = run
        self.size = 0
        if self.progress.exists():
            if not resume:
                raise ValueError(
                    f"{path} is unfinished: say --resume to go on with it, or delete {self.progress} to begin again."
                )
            done = self._read_progress()
            self.lines, self.digest, self.size = done["lines"], done["input"], done["bytes"]
            if not path.exists() or path.stat().st_size < self.size:
                raise ValueError(f"{path} lost lines that {self.progress} counts: delete the latter to begin again.")
        elif resume and path.exists():
            raise ValueError(f"{path} is complete, as there is no {self.progress}: leave out --resume to replace it.")

    def open(self) -> None:
        self.stream = self.path.open("r+b" if self.size else "wb")
        self.stream.truncate(self.size)
        self.stream.seek(self.size)
        self._save_progress()

    def _read_progress(self) -> dict[str, Any]:
        try:
            done = json.loads(self.progress.read_text("utf-8"))
            before = done["run"]
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{self.progress} is damaged: delete it to begin again.") from None
        for name, value in self.run.items():
            if before.get(name) != value:
                values = "" if name == "model" else f" ({before.get(name)} there, {value} here)"
                raise ValueError(
                    f"{self.path} was begun with another {name}{values}: give the same, or delete {self.progress} to "
                    "begin again."
                )
        return done

    def write(self, content: str, lines: int, digest: str) -> None:
        super().write(content, lines, digest)
        os.fsync(self.stream.fileno())
        self._save_progress()

    def _save_progress(self) -> None:
        done = {"lines": self.lines, "bytes": self.stream.tell(), "input": self.digest, "run": self.run}
        new = self.progress.with_name(f"{self.progress.name}.new")
        new.write_text(json.dumps(done, indent=2), "utf-8")
        new.replace(self.progress)

    def finish(self) -> None:
        super().finish()
        self.progress.unlink()
