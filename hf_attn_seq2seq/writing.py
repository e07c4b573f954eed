# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Writing without loss: a file appears when it is whole, a full disk is named, and no two runs share a place."""

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout


MAX_NAME = 100  # bytes of a name that becomes a file's, with endings behind it
AGAIN = "run the command again"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# Safetensors, tokenizers and PyTorch have exceptions of their own; PyTorch's does not even say why.
_FULL_WORDS = (*map(os.strerror, sorted(_FULL)), "PytorchStreamWriter failed writing")


def is_plain_name(name: Any, reserved: Iterable[str] = ()) -> bool:
    """
    Whether a name can be that of a file in a folder with others: letters, digits, `_`, `-` and `.`, which is not the
    first, in at most 100 bytes, and none of the reserved ones, whatever their case.
    """
    if not isinstance(name, str) or name.startswith(".") or len(name.encode("utf-8", "replace")) > MAX_NAME:
        return False
    letters = name.replace("-", "_").replace(".", "_")
    return name != "" and f"_{letters}".isidentifier() and name.casefold() not in reserved


def tells_full_disk(error: BaseException) -> bool:
    """Whether an exception, of whatever library, says that a disk, a quota or a file's largest size is exhausted."""
    return getattr(error, "errno", None) in _FULL or any(words in str(error) for words in _FULL_WORDS)


@contextmanager
def writing(path: str | Path, then: str = AGAIN) -> Iterator[None]:
    """
    Within, a full disk is told by an OSError of one sentence that names what could not be written.

    Args:
        path: What is written, where the exception does not name it.
        then: What to do once there is room.
    """
    try:
        yield
    except FullDisk as error:  # the file is known where it is written, what to do by who asked for it
        raise FullDisk(error.place, error.reason, then) from error
    except Exception as error:
        if not tells_full_disk(error):
            raise
        number = getattr(error, "errno", None)
        reason = os.strerror(number if number in _FULL else errno.ENOSPC)
        raise FullDisk(getattr(error, "filename", None) or path, reason, then) from error


class FullDisk(OSError):
    """There is no room for a file; the sentence names it."""

    def __init__(self, place: str | Path, reason: str, then: str) -> None:
        super().__init__(f"Cannot write '{place}' ({reason}): make room, and {then}.")
        self.place, self.reason = place, reason


def is_regular(path: Path) -> bool:
    """Whether a file is there, or nothing yet: no pipe and no device."""
    return path.is_file() or not path.exists()


@contextmanager
def whole_file(path: str | Path, then: str = AGAIN) -> Iterator[Path]:
    """
    Yield where to write a file that takes its place when the block ends; if the block fails, an older one stays.

    A symbolic link stays one; a pipe or a device is written to directly. A full disk is told as by [`writing`].
    """
    path = Path(path)
    if not is_regular(path):
        with writing(path, then):
            yield path
        return
    if path.is_symlink():
        path = path.resolve()
    partial = path.with_name(f"{path.name}.partial")
    try:
        with writing(path, then):
            yield partial
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: str | Path, text: str, errors: str = "strict", then: str = AGAIN) -> None:
    """Write a text in UTF-8 that takes its place when it is whole."""
    with whole_file(path, then) as partial:
        partial.write_text(text, "utf-8", errors=errors)


@contextmanager
def whole_folder(folder: Path, then: str = AGAIN) -> Iterator[Path]:
    """
    Yield an empty folder that takes its place, or an older one's, when the block ends; if it fails nothing is changed.

    The caller has the place for itself ([`sole_run`]): what a killed run left beside it is removed.
    """
    partial = clear_leftovers(folder)
    old = folder.with_name(f".{folder.name}.old")
    try:
        with writing(folder, then):
            partial.mkdir(parents=True)
            yield partial
            if folder.exists():
                folder.rename(old)
            partial.rename(folder)
    finally:
        clear_leftovers(folder)


def clear_leftovers(folder: Path) -> Path:
    """Remove what an unfinished [`whole_folder`] left beside `folder`; returns where the next one is made."""
    partial, old = (folder.with_name(f".{folder.name}.{name}") for name in ("partial", "old"))
    if old.exists() and not folder.exists():  # killed between the two renamings
        old.rename(folder)
    for leftover in (partial, old):
        shutil.rmtree(leftover, ignore_errors=True)
    return partial


def sole_output(path: Path) -> AbstractContextManager[None]:
    """Within, no other run may write `path`, a file or a folder, see [`sole_run`]; a pipe or a device is for all."""
    special = path.exists() and not (path.is_file() or path.is_dir())
    return nullcontext() if special else sole_run(path.with_name(f".{path.name}.lock"), path)


@contextmanager
def sole_run(lock: Path, place: str | Path) -> Iterator[None]:
    """
    Within, no other run may work in a place: two would overwrite each other's files. A killed run leaves it free.

    Args:
        lock: A file that the system locks for this process; it is removed at the end.
        place: What the sentence of a second run names.

    Raises:
        ValueError: Another run is at work there.
    """
    held = FileLock(lock, timeout=0)
    try:
        held.acquire()
    except Timeout:
        raise ValueError(f"Another run is at work in '{place}': wait for its end, or name another output.") from None
    except OSError as error:
        raise ValueError(f"Cannot write to '{place}' ({error.strerror}): name another output.") from error
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes no file that is open
            lock.unlink()
        held.release()
