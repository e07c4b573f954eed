# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What is imported when it is needed: names of packages, what waits for a module, and what registers our classes."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from hf_attn_seq2seq.decoding.names import DEFAULT_MODEL, PACKAGED
from hf_attn_seq2seq.importing import after_import, lazily


PACKAGES = [f"hf_attn_seq2seq{room}" for room in ("", ".decoding", ".explain", ".export", ".sharing")]


@pytest.mark.parametrize("name", PACKAGES)
def test_every_name_of_a_package_is_there_and_listed(name):
    package = importlib.import_module(name)
    for offered in package.__all__:
        assert getattr(package, offered).__class__.__name__ != "module"
    assert set(package.__all__) <= set(dir(package))
    modules = {path.stem for path in Path(package.__file__).parent.iterdir()}
    assert not modules & set(package.__all__)  # a module, once imported, would take the name's place
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'nonsense'"):
        package.nonsense  # noqa: B018


def test_a_name_is_imported_once(monkeypatch):
    monkeypatch.setitem(sys.modules, "some_package", sys)
    monkeypatch.delattr(sys, "quoted", raising=False)
    get, names = lazily("some_package", {"messages": ["quoted"]})
    assert "quoted" in names()
    assert get("quoted") is sys.quoted is importlib.import_module("hf_attn_seq2seq.messages").quoted


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The name of a module that does not import the first time."""
    (tmp_path / "a_waited_for_module.py").write_text("import sys\nsys.tries -= 1\nassert sys.tries\nvalue = 5\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "tries", 1, raising=False)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    yield "a_waited_for_module"
    sys.modules.pop("a_waited_for_module", None)


def test_an_action_waits_until_a_module_is_there(module):
    seen = []
    before = list(sys.meta_path)
    for number in (1, 2):
        after_import(module, lambda number=number: seen.append((number, sys.modules[module].value)))
    with pytest.raises(AssertionError):
        importlib.import_module(module)
    assert seen == []
    sys.tries = 3
    importlib.import_module(module)
    assert sorted(seen) == [(1, 5), (2, 5)]
    assert sys.meta_path == before
    after_import(module, lambda: seen.append((3, sys.modules[module].value)))
    assert seen[2:] == [(3, 5)]
    importlib.reload(sys.modules[module])
    assert len(seen) == 3


def run(code: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


FIRST = {
    "theirs": "from transformers import pipeline",
    "their module": "import transformers.pipelines.base",
    "ours": "from hf_attn_seq2seq.pipeline_attn_seq2seq import AttnTranslationPipeline",
    "our name": "hf_attn_seq2seq.AttnTranslationPipeline",
}
REGISTERED = """
import sys
import hf_attn_seq2seq
assert "transformers.pipelines" not in sys.modules
exec(sys.argv[1])
from transformers import pipeline
made = pipeline("attn-translation", model=sys.argv[2], trust_remote_code=False)
assert type(made) is hf_attn_seq2seq.AttnTranslationPipeline
print(type(made.model).__name__)
"""


@pytest.mark.parametrize("first", FIRST)
def test_our_task_is_registered_when_pipelines_are_used(first):
    assert run(REGISTERED, FIRST[first], str(PACKAGED / DEFAULT_MODEL)) == "AttnSeq2SeqForConditionalGeneration\n"


COMMAND = """
import sys
import hf_attn_seq2seq_cli
hf_attn_seq2seq_cli.is_running = True
import hf_attn_seq2seq
assert "transformers" not in sys.modules
exec(sys.argv[1])
from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoTokenizer
config = AutoConfig.for_model("attn_seq2seq", vocab_size=9)
print(type(AutoModelForSeq2SeqLM.from_config(config)).__name__, config._auto_class)
"""


@pytest.mark.parametrize(
    "first",
    [
        "hf_attn_seq2seq.AttnSeq2SeqConfig",
        "hf_attn_seq2seq.load",
        "import hf_attn_seq2seq.decoding.loading",
        *(f"import hf_attn_seq2seq.{module}" for module in ("training.train", "explain.command")),
    ],
)
def test_a_command_registers_our_classes_once_it_needs_them(first):
    assert run(COMMAND, first) == "AttnSeq2SeqForConditionalGeneration AutoConfig\n"


def test_what_splits_texts_needs_no_library():
    code = (
        "import sys, hf_attn_seq2seq_cli; hf_attn_seq2seq_cli.is_running = True\n"
        "from hf_attn_seq2seq.splitting import split_text\n"
        "print(len(split_text('One. Two.')), {'torch', 'transformers', 'numpy'} & set(sys.modules))"
    )
    assert run(code) == "2 set()\n"
