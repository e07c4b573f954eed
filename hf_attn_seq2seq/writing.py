# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Safe writing: files appear only when complete, a full disk is reported, and no two runs share an output."""

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout


MAX_NAME = 100  # bytes of a name that is used as a file name, before any suffixes
AGAIN = "run the command again"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# Safetensors, tokenizers and PyTorch raise their own exceptions; PyTorch's does not even give the reason.
_FULL_WORDS = (*map(os.strerror, sorted(_FULL)), "PytorchStreamWriter failed writing")


def is_plain_name(name: Any, reserved: Iterable[str] = ()) -> bool:
    """
    Whether a name is safe as a file name: letters, digits, `_`, `-` and `.` (not as the first character), at most 100
    bytes, and not one of the reserved names (ignoring case).
    """
    if not isinstance(name, str) or name.startswith(".") or len(name.encode("utf-8", "replace")) > MAX_NAME:
        return False
    letters = name.replace("-", "_").replace(".", "_")
    return name != "" and f"_{letters}".isidentifier() and name.casefold() not in reserved


def tells_full_disk(error: BaseException) -> bool:
    """Whether an exception of any library means that the disk, a quota or the maximum file size is exhausted."""
    return getattr(error, "errno", None) in _FULL or any(words in str(error) for words in _FULL_WORDS)


@contextmanager
def writing(path: str | Path, then: str = AGAIN) -> Iterator[None]:
    """
    Inside this context, a full disk raises an OSError whose one sentence names what could not be written.

    Args:
        path: What is being written, in case the exception does not name it.
        then: What the user should do after making room.
    """
    try:
        yield
    except FullDisk as error:  # the inner context knows the file, the outer one knows what to do next
        raise FullDisk(error.place, error.reason, then) from error
    except Exception as error:
        if not tells_full_disk(error):
            raise
        number = getattr(error, "errno", None)
        reason = os.strerror(number if number in _FULL else errno.ENOSPC)
        raise FullDisk(getattr(error, "filename", None) or path, reason, then) from error


class FullDisk(OSError):
    """There is no room for a file; the message names it."""

    def __init__(self, place: str | Path, reason: str, then: str) -> None:
        super().__init__(f"Cannot write '{place}' ({reason}): make room, and {then}.")
        self.place, self.reason = place, reason


def is_regular(path: Path) -> bool:
    """Whether the path is a regular file or does not exist yet (not a pipe or a device)."""
    return path.is_file() or not path.exists()


@contextmanager
def whole_file(path: str | Path, then: str = AGAIN) -> Iterator[Path]:
    """
    Yield a temporary path that is moved to `path` when the block ends; if the block fails, an existing file stays.

    A symbolic link is kept; a pipe or a device is written to directly. A full disk is reported as by [`writing`].
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
    """Write a text in UTF-8; the file appears only when it is complete."""
    with whole_file(path, then) as partial:
        partial.write_text(text, "utf-8", errors=errors)


@contextmanager
def whole_folder(folder: Path, then: str = AGAIN) -> Iterator[Path]:
    """
    Yield an empty folder that becomes `folder`, replacing an older one, when the block ends; if the block fails,
    nothing changes.

    A symbolic link is kept. The caller must be the only run there ([`sole_run`]): leftovers of a killed run are
    removed.

    Raises:
        ValueError: There is a file or a device of that name, which stays as it is.
    """
    if folder.is_symlink():
        folder = folder.resolve()
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"'{folder}' is not a folder: name another output, or remove it.")
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


def new_output(output: str | Path) -> Path:
    """
    The folder that a user chose as a command's `--output`.

    Raises:
        ValueError: The name is empty, or there is something there.
    """
    if not str(output).strip():
        raise ValueError("The name of --output is empty: name a new folder.")
    folder = Path(output)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"'{folder}' is not a folder: name a new one as --output.")
    if folder.is_dir() and any(folder.iterdir()):
        raise ValueError(f"'{folder}' exists and is not empty: name another --output, or remove it first.")
    return folder


@contextmanager
def filled(folder: Path) -> Iterator[Path]:
    """
    Yield an empty folder that becomes `folder` when the block ends; no other run may write there meanwhile.

    Raises:
        ValueError: The folder cannot be made.
    """
    try:
        folder.absolute().parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"'{folder}' cannot be written ({error.strerror}): name another --output.") from None
    place = folder.resolve()
    with sole_output(place), whole_folder(place) as made:
        yield made
        if place.is_dir():
            place.rmdir()  # fails if it is no longer empty


def clear_leftovers(folder: Path) -> Path:
    """Remove what an unfinished [`whole_folder`] left beside `folder`; returns the path of the partial folder."""
    partial, old = (folder.with_name(f".{folder.name}.{name}") for name in ("partial", "old"))
    if old.exists() and not folder.exists():  # killed between the two renames
        old.rename(folder)
    for leftover in (partial, old):
        shutil.rmtree(leftover, ignore_errors=True)
    return partial


def sole_output(path: Path) -> AbstractContextManager[None]:
    """Inside this context no other run may write to `path`, see [`sole_run`]; pipes and devices may be shared."""
    special = path.exists() and not (path.is_file() or path.is_dir())
    return nullcontext() if special else sole_run(path.with_name(f".{path.name}.lock"), path)


@contextmanager
def sole_run(lock: Path, place: str | Path) -> Iterator[None]:
    """
    Inside this context no other run may use a place: they would overwrite each other's files. A killed run frees it.

    Args:
        lock: The lock file, which is removed at the end.
        place: The path that the error of a second run names.

    Raises:
        ValueError: Another run is using the place.
    """
    held = FileLock(lock, timeout=0)
    try:
        held.acquire()
    except Timeout:
        if not lock.exists():  # the lock could not even be made, as in /proc
            raise ValueError(f"Cannot write to '{place}': name another output.") from None
        raise ValueError(
            f"Another run is using '{place}': wait until it has finished, or name another output."
        ) from None
    except OSError as error:
        raise ValueError(f"Cannot write to '{place}' ({error.strerror}): name another output.") from error
    try:
        yield
    finally:
        with suppress(OSError):  # Windows cannot remove an open file
            lock.unlink()
        held.release()
