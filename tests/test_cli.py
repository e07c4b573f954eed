# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The entry point: quick help, hints, and commands that are there."""

import importlib.util
import subprocess
import sys

import pytest

import hf_attn_seq2seq
import hf_attn_seq2seq_cli as cli


def test_help_lists_the_commands_without_waiting_for_torch():
    code = "import sys, hf_attn_seq2seq_cli as cli; cli.main(); print({'torch', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True)
    for name, command in cli.COMMANDS.items():
        assert f"{name} " in done.stdout
        assert command.help in done.stdout
    assert done.stdout.endswith("set()\n")


def test_version(capsys):
    cli.main(["--version"])
    assert capsys.readouterr().out == f"hf-attn-seq2seq {hf_attn_seq2seq.__version__}\n"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("trian", "did you mean 'train'?"),
        ("xyzzy", "choose one of preprocess, train, evaluate, translate, explain, align, push, app, export."),
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
