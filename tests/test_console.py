# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""How commands end: one sentence, a conventional status, and quietly where nobody reads."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

import hf_attn_seq2seq_cli as cli
from hf_attn_seq2seq.console import run_command
from hf_attn_seq2seq.writing import writing


def ended(command) -> int:
    with pytest.raises(SystemExit) as status:
        run_command(command)
    return status.value.code


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_with_a_sentence_once_all_is_tidied_up(number, tmp_path, capsys):
    def command():
        try:
            os.kill(os.getpid(), number)
            time.sleep(30)
        finally:
            (tmp_path / "tidied").touch()

    usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    before = signal.signal(number, usual)  # tests that run in the background ignore some signals
    try:
        assert ended(command) == 128 + number
        assert capsys.readouterr().err == "\nStopped.\n"
        assert (tmp_path / "tidied").exists()
        assert signal.getsignal(number) == usual
    finally:
        signal.signal(number, before)


def test_a_forked_process_ends_by_its_parent_without_a_word(capfd):
    def command():
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            try:
                os.write(writer, b"ready")
                time.sleep(30)
            finally:
                os._exit(1)
        os.read(reader, 5)
        os.kill(child, signal.SIGTERM)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGTERM

    run_command(command)
    assert capfd.readouterr() == ("", "")


def test_what_is_ignored_stays_ignored():
    """As nohup has it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        run_command(lambda: os.kill(os.getpid(), signal.SIGHUP))
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(13, "Permission denied", "here.txt"), "error: Permission denied: 'here.txt'.\n"),
        (ValueError("x" * 5_000_000), None),
        (OSError("y" * 5_000_000), None),
        (KeyError("z" * 5_000_000), None),
    ],
)
def test_an_error_is_one_line_of_bounded_length(error, said, capsys):
    def command():
        raise error

    assert ended(command) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert told.count("\n") == 1
    assert len(told) < 1100
    assert said in (None, told)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
    ],
)
def test_a_want_of_memory_is_told_in_a_sentence(error, capsys):
    def command():
        raise error

    assert ended(command) == 2
    assert capsys.readouterr().err.startswith("error: There is not enough memory for this: use smaller batches")


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        RuntimeError("[enforce fail at inline_container.cc:668] . PytorchStreamWriter failed writing file data/3"),
        Exception("No space left on device (os error 28)"),
    ],
)
def test_every_library_s_full_disk_is_told_alike(error, capsys):
    def command():
        with writing("outputs/model", "go on with --resume"), writing("elsewhere/file.bin"):
            raise error

    assert ended(command) == 2
    assert capsys.readouterr().err == (
        "error: Cannot write 'elsewhere/file.bin' (No space left on device): make room, and go on with --resume.\n"
    )


# One process looks at each way in which output can fail: importing PyTorch takes seconds.
ALL_COMMANDS = """
import contextlib, io, json, os
import hf_attn_seq2seq_cli as cli

def target(full):
    if full:
        return os.open("/dev/full", os.O_WRONLY)
    reader, writer = os.pipe()
    os.close(reader)
    return writer

stdout, found = os.dup(1), []
for arguments in [["--help"], ["--version"], *([name, "--help"] for name in cli.COMMANDS), ["train", "--fields"]]:
    for full in (True, False):
        for unbuffered in (True, False):
            os.dup2(target(full), 1)
            raw = io.FileIO(1, "w", closefd=False)
            sys.stdout = io.TextIOWrapper(raw if unbuffered else io.BufferedWriter(raw), write_through=unbuffered)
            with contextlib.redirect_stderr(io.StringIO()) as said:
                try:
                    status = cli.main(arguments)
                except SystemExit as ended:
                    status = ended.code
            found.append([full, status, said.getvalue()])
os.write(stdout, json.dumps(found).encode())
"""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a device that is always full")
def test_help_that_nobody_reads_ends_quietly_in_every_command():
    done = subprocess.run([sys.executable, "-c", f"import sys\n{ALL_COMMANDS}"], capture_output=True, text=True)
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert len(found) == 4 * (len(cli.COMMANDS) + 3)
    for full, status, said in found:
        expected = (2, "error: Standard output cannot be written: No space left on device.\n") if full else (141, "")
        assert (status, said) == expected


@pytest.mark.parametrize("arguments", [["--help"], ["translate", "--help"]])
def test_the_interpreter_s_end_is_quiet_too(arguments):
    reader, writer = os.pipe()
    os.close(reader)
    program = [sys.executable, "-m", "hf_attn_seq2seq_cli", *arguments]
    done = subprocess.run(program, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_closed_standard_error_ends_no_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", None)

    def command() -> None:
        sys.stderr.write("nobody reads this")
        print(sys.stderr.isatty())

    run_command(command)
    assert capsys.readouterr().out == "False\n"


QUIET = """
import sys
import hf_attn_seq2seq_cli
hf_attn_seq2seq_cli.is_running = True
exec(sys.argv[1])
from hf_attn_seq2seq.console import quieten
quieten()
loaded = "transformers" in sys.modules
from huggingface_hub.utils import are_progress_bars_disabled
disabled = are_progress_bars_disabled()
from transformers.utils import logging
print(loaded, disabled, logging.get_verbosity() == logging.ERROR, logging.is_progress_bar_enabled())
"""


@pytest.mark.parametrize(("before", "loaded"), [("", False), ("import transformers.utils", True)])
def test_libraries_are_quiet_whether_they_are_imported_before_or_after(before, loaded):
    done = subprocess.run([sys.executable, "-c", QUIET, before], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (f"{loaded} True True False\n", "")
