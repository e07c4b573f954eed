# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
The command `hf-attn-seq2seq COMMAND ...`.

This module is outside the package on purpose: a program that imports the package imports PyTorch and Transformers,
which takes seconds, to register our models there. The command does so only when it needs them (`is_running`).
"""

import atexit
import difflib
import importlib
import os
import runpy
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn


if TYPE_CHECKING:
    from hf_attn_seq2seq.console import CommandParser

PROGRAM = "hf-attn-seq2seq"

is_running = False  # whether this process is the command, rather than another program that imports the package


class Command(NamedTuple):
    module: str  # has a function `run(options)`; `parsers`, beside it, has the parser of the command's options
    help: str
    extra: str | None = None  # the extra of this package that the command needs, if any


COMMANDS = {
    "preprocess": Command("training.preprocess", "read, clean and split a recipe's corpora, with a report", "train"),
    "train": Command("training.train", "train a recipe's model", "train"),
    "evaluate": Command("training.evaluate", "measure a trained model, or compare two", "train"),
    "seeds": Command("training.seeds", "train and measure a recipe with several seeds: mean and spread", "train"),
    "translate": Command("decoding.command", "translate a sentence, a file or standard input"),
    "transcribe": Command("decoding.transcribe", "write down what sounds say or pictures show"),
    "explain": Command("explain.command", "show how a translation is made, step by step, number by number", "explain"),
    "site": Command("explain.live.command", "write a page on which a model runs in the reader's browser", "explain"),
    "align": Command("training.align", "align the words of sentence pairs", "train"),
    "push": Command("sharing.command", "share a trained model on the Hub, with its model card and results", "train"),
    "app": Command("app.command", "open a web page that translates and shows how", "app"),
    "convert": Command("convert.command", "convert a checkpoint of another toolkit, such as Marian's"),
    "export": Command("export.command", "export a model to ONNX Runtime, in full precision or 8 bits", "export"),
}


def usage() -> str:
    width = max(map(len, COMMANDS))
    lines = (f"  {name:<{width}}  {command.help}" for name, command in COMMANDS.items())
    return (
        f"usage: {PROGRAM} COMMAND ...\n\n"
        + "Attention encoder-decoders: translate, transcribe, explain, train, evaluate, share.\n\ncommands:\n"
        + "\n".join(lines)
        + f"\n\n{PROGRAM} COMMAND --help lists a command's options; {PROGRAM} --version prints the version."
    )


@contextmanager
def standard_output() -> Iterator[None]:
    """
    Inside this context, output that cannot be written ends the program: silently with status 141 on a closed pipe,
    with one sentence and status 2 on a full disk.
    """
    try:
        try:
            yield
            _flush()
        except SystemExit as ended:
            try:
                _flush()  # otherwise Python would flush at exit, and complain there
            except OSError:
                if not ended.code:
                    raise
                _discard_output()
            raise
    except BrokenPipeError:
        _discard_output()
        sys.exit(141)
    except OSError as error:
        place = "Standard output cannot be written" if _output_fails() else "A file cannot be read or written"
        fail(f"{place}: {error.strerror or error}.")


def fail(sentence: str) -> NoReturn:
    """Print a sentence on standard error and exit with status 2."""
    with suppress(OSError):  # nobody reads it
        print(f"error: {sentence}", file=sys.stderr, flush=True)
    sys.exit(2)


def _flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


def _output_fails() -> bool:
    try:
        print(flush=True)
    except OSError:
        _discard_output()
        return True
    return False


def _discard_output() -> None:
    """Discard what is left in the buffer."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command: without `arguments`, that of the command line, with which this process ends."""
    global is_running
    if arguments is not None:
        with standard_output():
            _main(list(arguments) or ["--help"])
        return
    is_running = True
    try:
        with standard_output():
            _main(sys.argv[1:] or ["--help"])
    except SystemExit as ended:
        if not isinstance(ended.code, int | None):
            raise
        _end_process(ended.code or 0)
    _end_process(0)


def _end_process(status: int) -> NoReturn:
    """
    End this process as Python would: once its threads have ended and what is registered with `atexit` has run. But
    Python would then take apart all modules, which for PyTorch and Transformers takes seconds.
    """
    with suppress(KeyboardInterrupt):
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # None, or closed; what failed before has been told
            stream.flush()
    os._exit(status)


def _main(arguments: Sequence[str]) -> None:
    name, *rest = arguments
    if name in ("-h", "--help", "help"):
        print(usage())
    elif name == "--version":
        version = runpy.run_path(str(Path(__file__).with_name("hf_attn_seq2seq") / "_version.py"))
        print(PROGRAM, version["__version__"])
    elif name in COMMANDS:
        sys.argv = [f"{PROGRAM} {name}", *rest]  # for the command's own usage line
        try:
            run_command = importlib.import_module("hf_attn_seq2seq.console").run_command
        except KeyboardInterrupt:
            sys.exit(130)
        run_command(lambda: run(name, rest))
    else:
        close = difflib.get_close_matches(name[:80], COMMANDS, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"choose one of {', '.join(COMMANDS)}."
        fail(f"Unknown command '{name if len(name) <= 80 else name[:80] + ' ...'}': {hint}")


def make_parser(name: str) -> "CommandParser":
    """The parser of a command's options; neither PyTorch nor Transformers is imported."""
    room, _, _ = COMMANDS[name].module.partition(".")
    return getattr(importlib.import_module(f"hf_attn_seq2seq.{room}.parsers"), f"{name}_parser")()


def run(name: str, arguments: Sequence[str]) -> None:
    """Run a command; if a library is missing, the ImportError names the extra to install."""
    try:
        options = make_parser(name).parse(arguments)
        importlib.import_module(f"hf_attn_seq2seq.{COMMANDS[name].module}").run(options)
    except ModuleNotFoundError as error:
        if COMMANDS[name].extra is None or error.name is None:
            raise
        extra = f"pip install 'hf_attn_seq2seq[{COMMANDS[name].extra}]'"
        raise ImportError(f"{name} needs {error.name}, which is not installed: {extra}.") from error


if __name__ == "__main__":
    importlib.import_module("hf_attn_seq2seq_cli").main()  # the module that the package knows, not a second one
