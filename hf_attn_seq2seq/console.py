# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What the commands share: one-sentence errors, and a quiet exit on signals and closed pipes."""

import argparse
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from hf_attn_seq2seq.importing import after_import
from hf_attn_seq2seq.messages import shortened
from hf_attn_seq2seq_cli import fail, standard_output


if TYPE_CHECKING:
    from rich.console import Console

ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
_NO_MEMORY = ("can't allocate memory", "out of memory")  # as PyTorch says it on a CPU and on a GPU
_LONGEST = 1000  # characters of an error; our own messages are shorter

_QUOTED = re.compile(r'("[^"\n]*")')
_HYPHEN = re.compile(r"(?<![^\s(\[=])-(?=\d)|(?<=\de)-(?=\d)|(?<= )-(?= )")  # of a number, an exponent, a difference


class Terminated(KeyboardInterrupt):
    """A signal asked the program to end. It ends as on Ctrl-C: incomplete files are removed."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class CommandParser(argparse.ArgumentParser):
    """A command's argument parser; the examples in the epilog keep their line breaks."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": argparse.RawDescriptionHelpFormatter, **options})

    def parse(self, arguments: Sequence[str] | None = None) -> argparse.Namespace:
        """The options, given in any order; their field `arguments` is what was given."""
        given = list(sys.argv[1:] if arguments is None else arguments)
        return self.parse_intermixed_args(given, argparse.Namespace(arguments=given))

    def error(self, message: str) -> NoReturn:
        super().error(shortened(message, _LONGEST))

    def _print_message(self, message: str, file: Any = None) -> None:
        (file or sys.stderr).write(message)  # argparse ignores errors here


def run_command(command: Callable[[], None]) -> None:
    """
    Run `command`. An error prints one sentence and gives exit status 2; Ctrl-C gives 130, SIGTERM 143, a closed pipe
    141.
    """
    if sys.stderr is None:  # it is closed, which Python's print() bears alone
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115  (for the rest of the process)
    quieten()
    with standard_output(), _signals():
        try:
            command()
        except BrokenPipeError:
            raise
        except KeyboardInterrupt as ended:
            print(" ".join(["\nStopped.", *map(str, ended.args)]), file=sys.stderr)
            sys.exit(128 + (ended.number if isinstance(ended, Terminated) else signal.SIGINT))
        except OSError as error:
            if error.filename is None and error.strerror:
                raise  # most likely from standard output
            _fail(f"{error.strerror}: '{error.filename}'." if error.strerror else str(error))
        except (ValueError, ImportError) as error:
            _fail(str(error))
        except Exception as error:
            if _is_strict(error):
                # The last line says what is wrong with the field, after the name of an exception.
                _fail(str(error).splitlines()[-1].strip().partition(": ")[2])
            if os.environ.get("HF_ATTN_TRACEBACK"):
                raise
            if isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY):
                _fail("There is not enough memory for this: use smaller batches, fewer beams or a smaller model.")
            first = (str(error).splitlines() or [""])[0]
            _fail(f"{type(error).__name__}: {shortened(first)} (HF_ATTN_TRACEBACK=1 shows where)")


def quieten() -> None:
    """Silence the libraries' progress bars and warnings, in this process and its children; none is imported for it."""
    warnings.showwarning = _warn
    after_import("transformers.utils.logging", _quieten_transformers)
    after_import("huggingface_hub.utils", _quieten_hub)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def _quieten_transformers() -> None:
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _quieten_hub() -> None:
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()


def _is_strict(error: Exception) -> bool:
    """Whether a configuration's field was refused by `huggingface_hub`, which is not imported to see it."""
    errors = sys.modules.get("huggingface_hub.errors")
    return errors is not None and isinstance(error, errors.StrictDataclassError)


def _warn(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
) -> None:
    """Show a warning of this package or a library on one line, without its location in the code."""
    print(f"warning: {' '.join(str(message).split())}", file=sys.stderr)


def make_console(**options: Any) -> "Console":
    """A rich console that treats a closed pipe like the rest of the program."""
    from rich.console import Console

    class PipedConsole(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # rich would exit with status 1, which here means that a check failed

    return PipedConsole(**options)


def signed(text: str, plain: bool = False) -> str:
    """The text with minus signs before its numbers and between its terms, except in quotes; `plain`: as it is."""
    if plain:
        return text
    return "".join(part if index % 2 else _HYPHEN.sub("−", part) for index, part in enumerate(_QUOTED.split(text)))


@contextmanager
def _signals() -> Iterator[None]:
    """Inside this context a terminating signal raises [`Terminated`], unless it is ignored (as under nohup)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    process = os.getpid()

    def end(number: int, _: Any) -> None:
        if os.getpid() == process:
            raise Terminated(number)
        signal.signal(number, signal.SIG_DFL)  # a forked child: its parent ends it with this signal
        os.kill(os.getpid(), number)

    caught = [number for number in ENDING if signal.getsignal(number) == signal.SIG_DFL]
    for number in caught:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in caught:
            signal.signal(number, signal.SIG_DFL)


def _fail(sentence: str) -> NoReturn:
    fail(shortened(" ".join(sentence.split()), _LONGEST))
