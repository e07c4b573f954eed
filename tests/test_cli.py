# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The entry point: quick help, hints, and commands that are there."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import hf_attn_seq2seq
import hf_attn_seq2seq_cli as cli


# Each takes a good part of a second, or several.
HEAVY = {
    "datasets",
    "huggingface_hub",
    "numpy",
    "onnxruntime",
    "pydantic",
    "rich",
    "tokenizers",
    "torch",
    "transformers",
}


def run_alone(*arguments: str) -> tuple[subprocess.CompletedProcess[str], set[str]]:
    """The command in a process of its own, and the libraries that it imported."""
    program = [sys.executable, "-X", "importtime", "-m", "hf_attn_seq2seq_cli", *arguments]
    done = subprocess.run(program, capture_output=True, text=True)
    imported = {
        line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")
    }
    assert "runpy" in imported  # that they are seen
    return done, {name.partition(".")[0] for name in imported}


def test_help_lists_the_commands():
    done, imported = run_alone("--help")
    for name, command in cli.COMMANDS.items():
        assert f"{name} " in done.stdout
        assert command.help in done.stdout
    assert not imported & (HEAVY | {"hf_attn_seq2seq"})


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_a_command_s_help_waits_for_no_library(name):
    done, imported = run_alone(name, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: hf-attn-seq2seq {name} ")
    assert not imported & HEAVY


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--version"], 0),
        (["trian"], 2),
        (["translate", "--nonsense"], 2),
        (["explain", "--depth", "none"], 2),
        (["push"], 2),
    ],
)
def test_a_mistyped_command_waits_for_no_library(arguments, status):
    done, imported = run_alone(*arguments)
    assert done.returncode == status
    assert not imported & HEAVY


def test_options_and_arguments_may_be_given_in_any_order():
    options = cli.make_parser("explain").parse(["outputs/demo", "--step", "2", "The cat."])
    assert (options.model, options.text, options.step) == ("outputs/demo", "The cat.", 2)
    assert options.arguments == ["outputs/demo", "--step", "2", "The cat."]
    assert cli.make_parser("export").parse([]).model == "en-fr"


def test_version(capsys):
    cli.main(["--version"])
    assert capsys.readouterr().out == f"hf-attn-seq2seq {hf_attn_seq2seq.__version__}\n"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("trian", "did you mean 'train'?"),
        ("xyzzy", f"choose one of {', '.join(cli.COMMANDS)}."),
    ],
)
def test_an_unknown_command_gets_the_nearest(name, hint, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([name])
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"error: Unknown command '{name}': {hint}\n"


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_each_command_is_there_and_tells_its_options(name, capsys, monkeypatch):
    assert importlib.util.find_spec(f"hf_attn_seq2seq.{cli.COMMANDS[name].module}")
    monkeypatch.setattr(sys, "argv", [])
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: hf-attn-seq2seq {name} ")


def test_wrong_input_is_one_sentence_and_status_2(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", [])
    with pytest.raises(SystemExit) as ended:
        cli.main(["translate", "no/such/model", "x"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: There is no model 'no/such/model'")
    assert said.count("\n") == 1


def test_a_library_that_is_not_installed_is_named_with_its_extra(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    monkeypatch.delitem(sys.modules, "hf_attn_seq2seq.explain.command", raising=False)
    with pytest.raises(SystemExit) as ended:
        cli.main(["explain", "x"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "error: explain needs rich.console, which is not installed: pip install 'hf_attn_seq2seq[explain]'.\n"
    )


ENDING = """
import atexit, sys, tempfile, threading, time
import hf_attn_seq2seq_cli as cli

class Kept:
    def __del__(self):
        print("taken apart")

class Threads(threading.Thread):
    def run(self):
        time.sleep(0.2)
        print("thread")

kept, folder = Kept(), tempfile.TemporaryDirectory()
print(folder.name)
atexit.register(print, "at exit")
Threads().start()
sys.argv[1:] = [sys.argv[1]]
cli.main()
print("returned")
"""


@pytest.mark.parametrize(("argument", "status", "said"), [("--version", 0, 1), ("trian", 2, 0)])
def test_the_process_ends_once_threads_and_handlers_have(argument, status, said):
    done = subprocess.run([sys.executable, "-c", ENDING, argument], capture_output=True, text=True)
    folder, *lines = done.stdout.splitlines()
    assert not Path(folder).exists()
    assert lines[said:] == ["thread", "at exit"]
    assert done.returncode == status
    assert done.stderr.count("\n") == (status != 0)
