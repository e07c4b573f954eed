# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Messages quote at most 200 characters of what they were given, whoever raises them."""

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hf_attn_seq2seq
from hf_attn_seq2seq import AttnSeq2SeqConfig, load, pipeline
from hf_attn_seq2seq.data.cleaning import language_identifier
from hf_attn_seq2seq.data.links import symmetrise
from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer
from hf_attn_seq2seq.decoding import Readout, load_readout
from hf_attn_seq2seq.decoding.loading import load_aligner, pick_device, read_tokenizer
from hf_attn_seq2seq.evaluation.gold import read_gold
from hf_attn_seq2seq.evaluation.metrics import score_corpus
from hf_attn_seq2seq.evaluation.modules import path as module_path
from hf_attn_seq2seq.messages import QUOTED, quoted, shortened
from tests.data.test_readers import read


ROOT = Path(hf_attn_seq2seq.__file__).parent
LONG = "x" * 10_000
GIVEN: dict[str, Callable[[Path], Any]] = {
    "a model": lambda _: load(LONG),
    "a model in a folder": lambda _: load(f"somebody/{LONG}"),
    "a model to align by": lambda _: load_aligner(LONG),
    "a read-out": lambda _: load_readout(LONG),
    "a tokenizer": lambda _: read_tokenizer(LONG),
    "another tokenizer": lambda _: load(tokenizer=LONG),
    "a revision": lambda _: load("somebody/model", revision=LONG),
    "an option": lambda _: load(**{LONG: 1}),
    "a type": lambda _: load(dtype=LONG),
    "a device": lambda _: pick_device(LONG),
    "a task": lambda _: pipeline(LONG),
    "a preset": lambda _: AttnSeq2SeqConfig.from_preset(LONG),
    "a field": lambda _: AttnSeq2SeqConfig(encoder_type=LONG),
    "an activation": lambda _: AttnSeq2SeqConfig(hidden_act=LONG),
    "a size": lambda _: AttnSeq2SeqConfig(hidden_size=-(10**4000)),
    "a token": lambda _: AttnSeq2SeqConfig(eos_token_id=10**4000),
    "links": lambda _: symmetrise(frozenset(), frozenset(), LONG),
    "a kind": lambda _: train_tokenizer(["a"], kind=LONG),
    "a language": lambda _: language_identifier((LONG, "fr")),
    "a metric": lambda _: score_corpus(["a"], [["a"]], [LONG]),
    "a module": lambda _: module_path(LONG),
    "a layer": lambda _: Readout(layer=LONG),
    "an end token": lambda _: Readout(end_token=LONG),
    "a column": lambda folder: read(folder, {"file": "long.csv", "source": LONG, "target": "b"}),
    "columns": lambda folder: read(folder, {"file": "long.csv", "source": "b", "target": "c"}),
    "languages": lambda folder: read(folder, {"file": "long.tmx", "source": "en", "target": "fr"}),
    "a link": lambda folder: read_gold(folder / "long.tsv", "en", "fr"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long")
    (folder / "long.csv").write_text(f"{LONG},a\n1,2\n")
    (folder / "long.jsonl").write_text(json.dumps({LONG: 1}) + "\n")
    (folder / "long.tsv").write_text(f"one\tun\t{LONG}\n")
    units = f'<tu><tuv xml:lang="{LONG}"><seg>a</seg></tuv></tu>'
    (folder / "long.tmx").write_text(f'<tmx version="1.4"><header srclang="en"/><body>{units}</body></tmx>')
    return folder


@pytest.mark.parametrize("given", GIVEN)
def test_little_of_what_was_given_is_quoted(given: str, folder: Path) -> None:
    with pytest.raises((ValueError, TypeError)) as raised:
        GIVEN[given](folder)
    assert len(str(raised.value).replace(str(folder), "")) < 1000


def test_little_of_a_bad_row_is_quoted(folder: Path) -> None:
    (row,) = read(folder, {"file": "long.jsonl"})
    assert row.reason.startswith("no 'source': it only has xxxx")
    assert len(row.reason) < 2 * QUOTED


def test_every_value_is_quoted_by_one_function() -> None:
    """What is put into an error as Python writes it is as long as it is, unless it was cut before."""
    found = []
    for path in ROOT.rglob("*.py"):
        for error in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(error, ast.Raise):
                for part in ast.walk(error):
                    if isinstance(part, ast.FormattedValue) and part.conversion == ord("r"):
                        value = ast.unparse(part.value)
                        if not value.endswith("]") and value not in ("name", "__name__"):  # of an attribute
                            found.append(f"{path.relative_to(ROOT)}, line {error.lineno}: {value}")
    assert not found


@pytest.mark.parametrize("length", [0, 1, QUOTED - 2, QUOTED, QUOTED + 1, 10_000])
def test_a_long_value_loses_its_middle(length: int) -> None:
    text = "".join(chr(ord("a") + index % 26) for index in range(length))
    assert len(shortened(text)) == min(length, QUOTED)
    assert shortened(text)[:50] == text[:50]
    assert shortened(text)[-50:] == text[-50:]
    assert len(quoted(text)) <= QUOTED
    assert len(quoted(["x" * length])) <= QUOTED
