# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Reading and writing lines in blocks, so that an interrupted run can be resumed."""

import bz2
import gzip
import hashlib
import io
import itertools
import json
import lzma
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from hf_attn_seq2seq.writing import AGAIN, is_regular, sole_output, write_text, writing


_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
# A compressed file may be a concatenation of several: each block of lines is one.
_COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": lambda content: gzip.compress(content, mtime=0),
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
}


STANDARD = "-"  # where a file is named so, standard input or output is meant
_BUFFER = 1 << 20  # bytes
GO_ON = "continue with --resume"


class Block(NamedTuple):
    """Some lines of the input, and the hash of the input up to their end."""

    first: int  # the number of preceding lines
    lines: list[str]
    digest: str


def read_blocks(
    path: Path | None, size: int, *, first: int | None = None, done: int = 0, prompt: str = ""
) -> Iterator[Block]:
    """
    Read UTF-8 lines from a file, also `.gz`, `.xz` or `.bz2`, or from standard input, in blocks of about `size` bytes.

    Lines from standard input are passed on immediately, so that typed lines do not have to wait. A line ends with a
    line feed, with or without a carriage return, or, in a file whose first line breaks are lone carriage returns, with
    one of these. A byte order mark is dropped.

    Args:
        path: The file; None: standard input.
        size: Bytes of a block.
        first: Bytes of the first block, if it is to come sooner; each block is twice as large as the one before, up to
            `size`.
        done: A block ends after this number of lines, whatever its size, if there are as many.
        prompt: Written to standard error whenever standard input is read.

    Raises:
        ValueError: The file is missing or damaged, standard input is closed, or a line is not UTF-8; the sentence
            names it.
    """
    name = str(path) if path else "standard input"
    if not path and sys.stdin is None:
        raise ValueError("Standard input is closed: name a file.")
    sizes = _growing(size if first is None else min(first, size), size)
    contents = _contents(path, sizes) if path else _typed(sizes, prompt)
    digest = hashlib.sha256()
    count = 0
    rest = b""
    for content in itertools.chain(contents, [b""]):
        complete, newline, rest_of_content = content.rpartition(b"\n")
        if content and not newline:
            rest += content
            continue
        block = rest + complete + newline
        rest = rest_of_content
        for part in _cut(block, done - count):
            digest.update(part)
            raw = part.removesuffix(b"\n").split(b"\n")
            lines = [_decode(line, name, number) for number, line in enumerate(raw, start=count + 1)]
            yield Block(count, lines, digest.hexdigest())
            count += len(lines)


def _growing(size: int, most: int) -> Iterator[int]:
    """The size, twice the size and so on, up to `most`."""
    while True:
        yield size
        size = min(2 * size, most)


def _typed(sizes: Iterator[int], prompt: str) -> Iterator[bytes]:
    """What standard input has, as soon as there is something."""
    for size in sizes:
        if prompt:
            print(prompt, end="", file=sys.stderr, flush=True)
        content = sys.stdin.buffer.read1(size)  # type: ignore[union-attr]
        if not content:
            break
        yield content
    if prompt:
        print(file=sys.stderr)


def _cut(block: bytes, lines: int) -> list[bytes]:
    """The block in two after this number of lines, or as it is if there are not that many, or none; without blanks."""
    end = 0
    for _ in range(max(0, lines)):
        end = block.find(b"\n", end) + 1
        if not end:
            break
    return [part for part in (block[:end], block[end:]) if part]


@contextmanager
def open_text(path: Path, suffix: str) -> Iterator[TextIO]:
    """Write UTF-8 text, compressed if `suffix` is `.gz`, `.xz` or `.bz2`; equal texts give equal files."""
    with path.open("wb") as raw, ExitStack() as stack:
        stream: Any = raw
        if suffix == ".gz":
            stream = stack.enter_context(gzip.GzipFile("", "wb", fileobj=raw, mtime=0))
        elif suffix in _OPENERS:
            stream = stack.enter_context(_OPENERS[suffix](raw, "wb"))
        yield stack.enter_context(io.TextIOWrapper(stream, "utf-8"))


def count_lines(path: Path) -> int:
    """The number of lines that `read_blocks` will read."""
    count, last = 0, b"\n"
    for content in _contents(path, itertools.repeat(_BUFFER)):
        count += content.count(b"\n")
        last = content[-1:]
    return count + (last != b"\n")


def _contents(path: Path, sizes: Iterator[int]) -> Iterator[bytes]:
    """The decompressed content of a file, in pieces of these sizes at most; lone carriage returns become feeds."""
    try:
        with _open(path) as stream:
            begin = stream.peek()
            ends_at_returns = b"\r" in begin and b"\n" not in begin
            while content := stream.read1(next(sizes)):
                yield content.replace(b"\r", b"\n") if ends_at_returns else content
    except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # an error of the disk, not of the archive
            raise
        raise ValueError(f"{path} cannot be decompressed ({error}): it is damaged, or its suffix is wrong.") from error


def refuse_overwriting(output: Path | None, *inputs: Path | None) -> None:
    """Raises a ValueError if the output is one of the input files."""
    for path in inputs:
        if output and path and output.exists() and path.exists() and output.samefile(path):
            raise ValueError(f"{path} is both input and output: choose another --output.")


def _open(path: Path) -> Any:  # a buffered reader
    if path.is_dir():
        raise ValueError(f"{path} is a folder: give a file in it.")
    if not path.exists():
        raise ValueError(f"There is no file {path}: check its path.")
    opener = _OPENERS.get(path.suffix)
    return io.BufferedReader(opener(path, "rb"), _BUFFER) if opener else path.open("rb", _BUFFER)


def _decode(line: bytes, name: str, number: int) -> str:
    # Of UTF-16 without a mark, each byte may also be a character of UTF-8, half of them NUL.
    if 5 * line.count(0) > len(line) > 0:
        raise ValueError(
            f"{name}, line {number}, is not UTF-8 text (it is full of NUL bytes, as UTF-16 is): convert it first, for "
            "instance with iconv."
        )
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{name}, line {number}, is not UTF-8 text (byte 0x{line[error.start]:02x} at offset {error.start}): "
            "convert it first, for instance with iconv."
        ) from None
    return (text.removeprefix("\ufeff") if number == 1 else text).removesuffix("\r")


class Output:
    """
    Writes results in blocks to standard output or to a file, compressed if its suffix is `.gz`, `.xz` or `.bz2`.

    Entering this context locks the file for one run. The results are written to `FILE.partial`, which replaces `FILE`
    when it is complete; if the run fails, the results so far stay in `FILE.partial`.
    """

    then = AGAIN  # what to do after making room on a full disk

    def __init__(self, path: Path | None) -> None:
        """Raises a ValueError if `path` cannot be written, or standard output is closed."""
        if not path and sys.stdout is None:
            raise ValueError("Standard output is closed: write to a file with --output.")
        self.lines = 0  # finished input lines
        self.digest = ""  # hash of the input so far
        self.size = 0  # bytes in complete blocks
        self.stream: Any = None
        # A symbolic link stays one; where /dev/stdout points to, only its own name can be opened.
        self.path = path.resolve() if path and path.is_symlink() and is_regular(path) else path
        self._closing = ExitStack()
        if path:
            if not path.parent.is_dir():
                raise ValueError(f"{path} cannot be written: create its folder, {path.parent}, first.")
            if path.is_dir():
                raise ValueError(f"{path} is a folder: give the name of a file to write.")
            self.regular = is_regular(self.path)
            self.partial = self.path.with_name(f"{self.path.name}.partial")

    def __enter__(self) -> "Output":
        """Raises a ValueError if another run is writing the file."""
        if self.path:
            self._closing.enter_context(sole_output(self.path))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: Any) -> None:
        with self._closing:
            if error is None or self.stream is None or not (self.path and self.regular):
                return
            with suppress(OSError):  # what is still in its buffer is not a complete block
                self.stream.close()
            kept = self._keep()
            if isinstance(error, KeyboardInterrupt):
                error.args = (kept,) if kept else ()
            elif kept:
                print(kept, file=sys.stderr)

    def open(self) -> None:
        if self.path is None:
            self.stream = sys.stdout.buffer
            return
        with writing(self.path, self.then):
            self.stream = (self.partial if self.regular else self.path).open("wb")

    def write(self, content: str, lines: int, digest: str) -> None:
        """Append results; `lines` lines of the input are then finished, and `digest` is their hash."""
        raw = content.encode("utf-8")
        if self.path is None:
            self.stream.write(raw)
            self.stream.flush()
        else:
            with writing(self.path, self.then):
                self._append(_COMPRESSORS.get(self.path.suffix, bytes)(raw))
        self.lines, self.digest = lines, digest

    def _append(self, block: bytes) -> None:
        self.stream.write(block)
        self.stream.flush()
        self.size += len(block)

    def finish(self) -> None:
        """Close the file and move it to its final name."""
        if self.path:
            with writing(self.path, self.then):
                self.stream.close()
                self._take_place()

    def _take_place(self) -> None:
        if self.regular and self.partial.exists():
            self.partial.replace(self.path)

    def _keep(self) -> str:
        """Keep the complete blocks of a failed run; returns a message for the user."""
        if not self.lines:
            self.partial.unlink(missing_ok=True)
            return ""
        os.truncate(self.partial, self.size)
        return f"{self.lines:,} lines are finished and kept in {self.partial}."


class ResumableOutput(Output):
    """
    A file of results, compressed if its suffix is `.gz`, `.xz` or `.bz2`, with a progress file until it is complete.

    The first block replaces an older file; further blocks are appended. `FILE.progress` is created before anything is
    written and updated after each block, once that block is on disk. When an interrupted run is resumed, anything
    written after the last update is removed.
    """

    def __init__(self, path: Path, run: dict[str, Any], resume: bool) -> None:
        """
        Args:
            path: The file to write.
            run: Settings that must not change between the parts of a resumed run.
            resume: Whether to continue an unfinished run; if there is none, start from the beginning.

        Raises:
            ValueError: `path` cannot be written.
        """
        super().__init__(path)
        self.path: Path = self.path
        self.progress = self.path.with_name(f"{self.path.name}.progress")
        self.run, self.resume = run, resume

    def __enter__(self) -> "ResumableOutput":
        """
        Find the line to continue from.

        Raises:
            ValueError: Another run is writing the file, there is an unfinished file and `resume` is not set, or the
                unfinished file has other settings or was changed.
        """
        super().__enter__()
        with ExitStack() as refused:
            refused.push(self._closing.__exit__)
            self._find_beginning()
            refused.pop_all()
        return self

    def _find_beginning(self) -> None:
        path = self.path
        done = self._read_progress() if self.progress.exists() else None
        if done and done["lines"]:
            if not self.resume:
                raise ValueError(
                    f"{path} is unfinished: add --resume to continue it, or delete {self.progress} to start over."
                )
            self._check_same_run(done["run"])
            self.lines, self.digest, self.size = done["lines"], done["input"], done["bytes"]
            if not path.exists() or path.stat().st_size < self.size:
                raise ValueError(f"{path} is shorter than {self.progress} says: delete {self.progress} to start over.")
            self.then = GO_ON
        elif not done and self.resume and path.exists():
            raise ValueError(f"{path} is complete (there is no {self.progress}): leave out --resume to replace it.")

    def open(self) -> None:
        if self.size:
            self.stream = self.path.open("r+b")
            self.stream.truncate(self.size)
            self.stream.seek(self.size)
        else:
            self._save_progress()
            super().open()

    def _read_progress(self) -> dict[str, Any]:
        try:
            done = json.loads(self.progress.read_text("utf-8"))
            return {name: done[name] for name in ("lines", "bytes", "input", "run")}
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{self.progress} is damaged: delete it to start over.") from None

    def _check_same_run(self, before: dict[str, Any]) -> None:
        for name, value in self.run.items():
            if before.get(name) != value:
                values = "" if name == "model" else f" ({before.get(name)}, now {value})"
                raise ValueError(
                    f"{self.path} was started with another {name}{values}: use the same, or delete {self.progress} to "
                    "start over."
                )

    def write(self, content: str, lines: int, digest: str) -> None:
        super().write(content, lines, digest)
        self._save_progress()

    def _append(self, block: bytes) -> None:
        super()._append(block)
        os.fsync(self.stream.fileno())
        self._take_place()
        self.then = GO_ON

    def _save_progress(self) -> None:
        done = {"lines": self.lines, "bytes": self.size, "input": self.digest, "run": self.run}
        write_text(self.progress, json.dumps(done, indent=2), then=self.then)

    def finish(self) -> None:
        super().finish()
        self.progress.unlink()

    def _keep(self) -> str:
        if not self.lines:
            for path in (self.partial, self.progress):
                path.unlink(missing_ok=True)
            return ""
        os.truncate(self.path, self.size)
        return f"{self.lines:,} lines are finished: add --resume to continue from there."
