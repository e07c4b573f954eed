# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Prepared corpora: splits, mixing, reports, reuse, and runs that are killed."""

import gzip
import hashlib
import json
import os
import signal
import tempfile
from collections import Counter

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from hf_attn_seq2seq.data import prepare, readers
from hf_attn_seq2seq.data.prepare import PreparedCorpus, prepare_corpus
from hf_attn_seq2seq.data.report import report_lines, report_tables
from hf_attn_seq2seq.data.settings import DataSettings
from tests.data.corpus_files import write
from tests.helpers import full_disk


def write_pairs(path, pairs):
    return write(path, "".join(f"{source}\t{target}\n" for source, target in pairs))


def numbered(start, end):
    return [(f"sentence {i}", f"phrase {i}") for i in range(start, end)]


def pairs_in(split):
    return list(zip(split["source"], split["target"]))


def counts(report, split="train"):
    return {rule: tally["count"] for rule, tally in report["rules"].get(split, {}).items()}


@pytest.fixture
def make(tmp_path):
    """Prepares a corpus in tmp_path from files in it."""

    def make(**settings):
        return prepare_corpus(DataSettings(folder=tmp_path, **settings), tmp_path / "out" / "corpus")

    return make


def test_given_splits_of_two_files_and_one(tmp_path, make):
    write(tmp_path / "train.en", "one\ntwo\n \nfour\n")
    write(tmp_path / "train.fr", "un\ndeux \ntrois\nquatre\n")
    write_pairs(tmp_path / "valid.tsv.gz", [("five", "cinq"), ("six", "")])
    write_pairs(tmp_path / "test.tsv", [("seven", "sept")] * 2)
    corpus = make(
        train={"source": "train.en", "target": "train.fr"},
        validation={"file": "valid.tsv.gz"},
        tests={"news": {"file": "test.tsv"}},
    )
    assert list(corpus.splits) == ["train", "validation", "news"]
    assert pairs_in(corpus.train) == [("one", "un"), ("two", "deux"), ("four", "quatre")]
    assert pairs_in(corpus.validation) == [("five", "cinq")]
    assert pairs_in(corpus.tests["news"]) == [("seven", "sept")] * 2  # a test set is not thinned
    assert corpus.train.features == datasets.Features(source=datasets.Value("string"), target=datasets.Value("string"))
    assert counts(corpus.report) == {"whitespace": 2, "empty_side": 1}
    assert counts(corpus.report, "validation") == {"empty_side": 1}
    assert {name: figures["pairs"] for name, figures in corpus.report["splits"].items()} == {
        "train": 3,
        "validation": 1,
        "news": 2,
    }
    assert sorted(path.name for path in corpus.folder.parent.iterdir()) == [".corpus.lock", "corpus"]
    assert PreparedCorpus.load(corpus.folder).report == corpus.report


def test_report_of_what_was_dropped_and_tidied(tmp_path, make):
    pairs = [
        *numbered(0, 30),
        *[(f" stray  {i}", "x" * i) for i in range(1, 6)],
        ("", "no source"),
        ("a " * 300, "b " * 300),
        ("x" * 100_000, "y"),
        ("a", "b" * 200),
        ("кот", "chat"),
        *numbered(0, 4),
        ("e\u0301\x00", "e"),
    ]
    write_pairs(tmp_path / "a.tsv", pairs)
    corpus = make(train={"file": "a.tsv"}, validation_size=3, cleaning={"source_scripts": "Latin"})
    report = corpus.report
    assert counts(report) == {
        "unicode_nfc": 1,
        "control_characters": 1,
        "whitespace": 6,
        "empty_side": 1,
        "length": 2,
        "ratio": 1,
        "script": 1,
        "duplicate": 4,
    }
    duplicates = report["rules"]["train"]["duplicate"]["examples"]
    assert duplicates == [
        {"in": "a.tsv", "line": 42 + i - 1, "source": f"sentence {i}", "target": f"phrase {i}"} for i in range(3)
    ]
    whitespace = report["rules"]["train"]["whitespace"]["examples"]
    assert len(whitespace) == 3
    assert whitespace[0] == {
        "in": "a.tsv",
        "line": 31,
        "source": " stray  1",
        "target": "x",
        "becomes": {"source": "stray 1", "target": "x"},
    }
    console = Console(width=120, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(report_tables(report))
    shown = console.export_text()
    for text in ("duplicate: dropped", "41: sentence 0 | phrase 0", "' stray  1' -> 'stray 1'", "train", "validation"):
        assert text in shown
    assert len(corpus.train) + len(corpus.validation) == 36


def test_inputs_are_named_with_their_checksums(tmp_path, make):
    path = write_pairs(tmp_path / "a.tsv.xz", numbered(0, 20))
    corpus = make(train={"file": "a.tsv.xz", "limit": 5})
    [entry] = corpus.report["inputs"]
    assert (
        entry["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    )  # of the whole file, though not all was read
    assert entry["file"] == "a.tsv.xz"
    assert entry["bytes"] == path.stat().st_size
    assert corpus.report["sources"] == [
        {"split": "train", "source": "a.tsv.xz", "rows": 5, "bad_rows": {"count": 0, "examples": []}}
    ]


def test_bad_rows_are_counted_and_named_or_stop(tmp_path, make):
    lines = [f"a{i}\tb{i}\n" for i in range(20)]
    for i in (3, 5, 7, 9):
        lines[i] = f"alone{i}\n"
    write(tmp_path / "a.tsv", "".join(lines))
    corpus = make(train={"file": "a.tsv"})
    [source] = corpus.report["sources"]
    assert source["rows"] == 20
    assert source["bad_rows"]["count"] == 4
    reason = "2 columns are needed, but it has 1"
    assert source["bad_rows"]["examples"] == [{"line": line, "reason": reason} for line in (4, 6, 8)]
    rows = (corpus.folder / "bad-rows.tsv").read_text("utf-8").splitlines()
    assert rows == [f"train\ta.tsv\t{line}\t{reason}" for line in (4, 6, 8, 10)]
    with pytest.raises(ValueError, match=r"a\.tsv, line 4: 2 columns are needed, but it has 1; fix it, or set"):
        make(train={"file": "a.tsv"}, on_bad_row="stop")


def test_kinds_of_one_file_are_mixed_by_weight(tmp_path, make):
    rows = [(f"a{i}", f"b{i}", ("novel", "manual", "game")[i % 3], "CC0" if i % 2 else "GPL") for i in range(600)]
    write(tmp_path / "a.tsv", "".join("\t".join(row) + "\n" for row in rows))
    write_pairs(tmp_path / "valid.tsv", [("v", "w")])
    asked = {"novel": 3, "manual": 1}
    sources = [{"file": "a.tsv", "keep": {2: kind, 3: "CC0"}, "weight": weight} for kind, weight in asked.items()]
    corpus = make(train=sources, validation={"file": "valid.tsv"})
    kinds = Counter(rows[int(source[1:])][2:] for source in corpus.train["source"])
    assert kinds == {("novel", "CC0"): 300, ("manual", "CC0"): 100}
    valid, novels, manuals = corpus.report["sources"]
    assert (novels["source"], novels["rows"], novels["left_out"]) == ("a.tsv (2: novel; 3: CC0)", 600, 500)
    assert "left_out" not in valid
    assert report_lines(corpus.report)[0] == "1,201 rows read, 0 of them bad, 1,000 left out by keep; 401 pairs kept."
    drawn = corpus.report["splits"]["train"]["rows_of_sources"]
    assert [entry["source"] for entry in drawn] == [novels["source"], manuals["source"]]
    assert make(train=sources, validation={"file": "valid.tsv"}).fingerprint == corpus.fingerprint
    with pytest.raises(ValueError, match=r"keep leaves out 600, with values such as 'novel', 'manual', 'game'\."):
        make(train={"file": "a.tsv", "keep": {2: "poem"}})


@pytest.mark.parametrize(
    ("content", "cleaning", "message"),
    [
        ("alone\n" * 3, {}, r"a\.tsv has no usable row among 3; the first is line 1: 2 columns are needed"),
        ("\tx\n \t\n", {}, r"a\.tsv has no pair with text on both sides: in all 2 rows a side is empty"),
        ("aaa\tbbb\n", {"max_characters": 2}, r"The rules of data\.cleaning drop all pairs of a\.tsv: relax them"),
    ],
)
def test_nothing_left(tmp_path, make, content, cleaning, message):
    write(tmp_path / "a.tsv", content)
    with pytest.raises(ValueError, match=message):
        make(train={"file": "a.tsv"}, cleaning=cleaning)
    assert not (tmp_path / "out" / "corpus").exists()


def test_no_source_and_a_folder_of_something_else(tmp_path, make):
    with pytest.raises(ValueError, match=r"data\.train has no source"):
        make()
    write_pairs(tmp_path / "a.tsv", numbered(0, 20))
    (tmp_path / "out" / "corpus").mkdir(parents=True)
    (tmp_path / "out" / "corpus" / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="exists and is not a prepared corpus"):
        make(train={"file": "a.tsv"})
    assert (tmp_path / "out" / "corpus" / "thesis.txt").read_text() == "mine"
    with pytest.raises(ValueError, match="is not a prepared corpus: run preprocess first"):
        PreparedCorpus.load(tmp_path)


# Splits and leaks


def test_split_off_parts_share_no_sentence(tmp_path, make):
    pairs = [(f"s{i * 7 % 120}", f"t{i * 13 % 150}") for i in range(200)] + numbered(0, 100)
    write_pairs(tmp_path / "a.tsv", pairs)
    corpus = make(train={"file": "a.tsv"}, validation_size=20, test_size=10, seed=1)
    parts = [pairs_in(split) for split in corpus.splits.values()]
    assert list(corpus.splits) == ["train", "validation", "test"]
    assert [len(part) for part in parts[1:]] == [20, 10]
    assert sorted(pair for part in parts for pair in part) == sorted(set(pairs))
    for side in (0, 1):
        sentences = [{pair[side] for pair in part} for part in parts]
        assert not sentences[0] & sentences[1]
        assert not sentences[0] & sentences[2]
        assert not sentences[1] & sentences[2]
    order = {pair: place for place, pair in reversed(list(enumerate(pairs)))}
    assert all(part == sorted(part, key=order.get) for part in parts)


def test_default_and_impossible_sizes(tmp_path, make):
    write_pairs(tmp_path / "a.tsv", numbered(0, 50))
    assert len(make(train={"file": "a.tsv"}).validation) == 5
    with pytest.raises(ValueError, match="validation_size is 40 and test_size is 10, but there are only 50 pairs"):
        make(train={"file": "a.tsv"}, validation_size=40, test_size=10)


def leaky(tmp_path):
    write_pairs(tmp_path / "train.tsv", [*numbered(0, 20), ("sentence 30", "other"), ("other", "phrase 31")])
    write_pairs(tmp_path / "valid.tsv", numbered(18, 33))
    write_pairs(tmp_path / "test.tsv", numbered(32, 35))
    return {
        "train": {"file": "train.tsv"},
        "validation": {"file": "valid.tsv"},
        "tests": {"test": {"file": "test.tsv"}},
    }


def test_leaks_of_given_splits_are_counted(tmp_path, make):
    corpus = make(**leaky(tmp_path))
    leaks = corpus.report["leaks"]
    assert set(leaks) == {"validation in train", "test in validation"}
    in_train = leaks["validation in train"]
    assert not in_train["dropped"]
    assert {side: in_train[side]["count"] for side in ("source", "target", "pair")} == {
        "source": 3,
        "target": 3,
        "pair": 2,
    }
    assert [example["line"] for example in in_train["target"]["examples"]] == [1, 2, 14]
    assert leaks["test in validation"]["pair"]["count"] == 1
    assert len(corpus.train) == 22


def test_leaks_are_dropped_from_train_if_asked(tmp_path, make):
    corpus = make(**leaky(tmp_path), cleaning={"drop_leaks": True})
    assert pairs_in(corpus.train) == numbered(0, 18)
    assert counts(corpus.report) == {"leak": 4}
    assert corpus.report["leaks"]["validation in train"]["dropped"]
    assert len(corpus.validation) == 15


def test_a_pair_that_leaks_into_two_splits_is_told_for_both(tmp_path, make):
    write_pairs(tmp_path / "train.tsv", numbered(0, 20))
    write_pairs(tmp_path / "valid.tsv", numbered(3, 6))
    write_pairs(tmp_path / "test.tsv", numbered(5, 9))
    settings = {
        "train": {"file": "train.tsv"},
        "validation": {"file": "valid.tsv"},
        "tests": {"t": {"file": "test.tsv"}},
    }
    kept, dropped = make(**settings), make(**settings, cleaning={"drop_leaks": True})
    assert leaks_in(dropped) == leaks_in(kept)
    assert leaks_in(kept)["t in train"] == {"source": 4, "target": 4, "pair": 4}
    assert len(dropped.train) == 14
    console = Console(width=120)
    with console.capture() as said:
        console.print(report_tables(dropped.report))
    assert "validation in train: dropped" in said.get()
    assert "t in validation " in said.get()


def leaks_in(corpus):
    return {
        where: {side: found[side]["count"] for side in ("source", "target", "pair") if side in found}
        for where, found in corpus.report["leaks"].items()
    }


def test_leaks_between_all_pairs_of_splits_are_counted(tmp_path, make):
    write_pairs(tmp_path / "train.tsv", numbered(0, 40))
    write_pairs(tmp_path / "valid.tsv", [(f"sentence {i}", f"other {i}") for i in range(40)])
    write_pairs(tmp_path / "news.tsv", [("new", "neuf"), ("news", "nouvelles")])
    write_pairs(tmp_path / "blogs.tsv", [("new", "neuf"), ("old", "nouvelles"), ("blog", "blogue")])
    settings = {
        "train": {"file": "train.tsv"},
        "validation": {"file": "valid.tsv"},
        "tests": {"news": {"file": "news.tsv"}, "blogs": {"file": "blogs.tsv"}},
        "test_size": 10,
    }
    corpus = make(**settings)
    assert leaks_in(corpus) == {
        "validation in train": {"source": 30},
        "test in validation": {"source": 10},
        "blogs in news": {"source": 1, "target": 2, "pair": 1},
    }
    assert list(corpus.splits) == ["train", "validation", "test", "news", "blogs"]
    examples = corpus.report["leaks"]["test in validation"]["source"]["examples"]
    assert [example["source"] for example in examples] == corpus.tests["test"]["source"][:3]
    settings["validation"] = {"file": "valid.tsv", "limit": 20}
    dropped = make(**settings, cleaning={"drop_leaks": True})  # before anything is split off
    assert {where: found["dropped"] for where, found in dropped.report["leaks"].items()} == {
        "validation in train": True,
        "blogs in news": False,
    }
    assert sorted(pairs_in(dropped.train) + pairs_in(dropped.tests["test"])) == numbered(20, 40)


def test_further_references_are_targets_that_may_leak(tmp_path, make):
    write_pairs(tmp_path / "train.tsv", [*numbered(0, 20), ("he", "il")])
    write(tmp_path / "valid.tsv", "a\tb\tphrase 3\nc\td\tphrase 4\ne\tf\t\n")
    write(tmp_path / "test.tsv", "sentence 5\tx\tphrase 5\ng\td\tphrase 4\nh\ti\tj\n")
    settings = {
        "train": {"file": "train.tsv"},
        "validation": {"file": "valid.tsv", "references": 2},
        "tests": {"test": {"file": "test.tsv", "references": 2}},
    }
    corpus = make(**settings)
    assert leaks_in(corpus) == {
        "validation in train": {"target": 2},
        "test in train": {"source": 1, "target": 2, "pair": 1},
        "test in validation": {"target": 1},  # of one row, both targets
    }
    examples = corpus.report["leaks"]["validation in train"]["target"]["examples"]
    assert [example["line"] for example in examples] == [1, 2]
    dropped = make(**settings, cleaning={"drop_leaks": True})
    assert [pair for pair in pairs_in(corpus.train) if pair not in pairs_in(dropped.train)] == numbered(3, 6)


def test_split_off_parts_share_no_further_reference(tmp_path, make):
    write(tmp_path / "a.tsv", "".join(f"s{i}\tt{i}\tr{i // 2}\tt{(i + 4) % 40}\n" for i in range(40)))
    corpus = make(train={"file": "a.tsv", "references": [2, 3]}, validation_size=20)
    targets = [
        {text for row in split for text in (row["target"], *row["references"])} for split in corpus.splits.values()
    ]
    assert len(targets) == 2
    assert not targets[0] & targets[1]
    assert corpus.report["leaks"] == {}


# Mixing, references, alignments


def test_weights_repeat_and_draw(tmp_path, make):
    for name, start in (("a", 0), ("b", 1000), ("c", 2000)):
        write_pairs(tmp_path / f"{name}.tsv", numbered(start, start + 1000))
    write_pairs(tmp_path / "valid.tsv", [("v", "w")])
    weights = {"a": 1, "b": 2.5, "c": 0.1}
    sources = [{"file": f"{name}.tsv", "weight": weight} for name, weight in weights.items()]
    corpus = make(train=sources, validation={"file": "valid.tsv"})
    drawn = Counter(corpus.train["source"])
    times = [[drawn[f"sentence {i}"] for i in range(start, start + 1000)] for start in (0, 1000, 2000)]
    assert set(times[0]) == {1}
    assert set(times[1]) == {2, 3}
    assert set(times[2]) == {0, 1}
    assert sum(times[1]) == pytest.approx(2500, abs=80)  # five standard deviations
    assert sum(times[2]) == pytest.approx(100, abs=48)
    assert [entry["rows"] for entry in corpus.report["splits"]["train"]["rows_of_sources"]] == list(map(sum, times))
    other = make(train=sources, validation={"file": "valid.tsv"}, seed=1)
    again = make(train=sources, validation={"file": "valid.tsv"}, seed=0)
    assert pairs_in(again.train) == pairs_in(corpus.train) != pairs_in(other.train)


def test_duplicates_of_several_sources_stay_in_the_first(tmp_path, make):
    write_pairs(tmp_path / "a.tsv", numbered(0, 10))
    write_pairs(tmp_path / "b.tsv", numbered(5, 15))
    write_pairs(tmp_path / "valid.tsv", [("v", "w")])
    settings = {"train": [{"file": "a.tsv"}, {"file": "b.tsv"}], "validation": {"file": "valid.tsv"}}
    corpus = make(**settings)
    assert pairs_in(corpus.train) == numbered(0, 15)
    assert [entry["rows"] for entry in corpus.report["splits"]["train"]["rows_of_sources"]] == [10, 5]
    examples = corpus.report["rules"]["train"]["duplicate"]["examples"]
    assert [(example["in"], example["line"]) for example in examples] == [("b.tsv", 1), ("b.tsv", 2), ("b.tsv", 3)]
    assert len(make(**settings, cleaning={"drop_duplicates": False}).train) == 20


def test_references_of_one_source_are_grouped(tmp_path, make):
    write_pairs(tmp_path / "train.tsv", [("a", "AH"), ("a", "EY")])
    write_pairs(tmp_path / "dev.tsv", [("b", "B IY"), ("c", "S IY"), ("b", "B AH"), ("b", "B IY")])
    corpus = make(train={"file": "train.tsv"}, validation={"file": "dev.tsv"}, group_references=True)
    assert pairs_in(corpus.train) == [("a", "AH"), ("a", "EY")]
    assert corpus.train.column_names == ["source", "target"]
    assert corpus.validation.to_list() == [
        {"source": "b", "target": "B IY", "references": ["B AH"]},
        {"source": "c", "target": "S IY", "references": []},
    ]


def test_given_references_and_alignments_are_kept_beside_sources_without(tmp_path, make):
    write(tmp_path / "a.tsv", "a b\tx y\ty x\t0-0 1-1\n")
    write_pairs(tmp_path / "b.tsv", [("c", "z")])
    columns = {"file": "a.tsv", "references": 2, "alignment": 3}
    corpus = make(train=[{"file": "b.tsv"}, columns], validation=columns)
    assert corpus.train.to_list() == [
        {"source": "c", "target": "z", "references": None, "alignment": None},
        {"source": "a b", "target": "x y", "references": ["y x"], "alignment": "0-0 1-1"},
    ]
    assert corpus.validation.to_list() == [corpus.train[1]]


def test_the_grammar_brings_its_test_sets(tmp_path, make):
    sizes = {"train_size": 40, "validation_size": 5, "test_size": 6, "compositional_size": 7}
    corpus = make(train={"grammar": sizes})
    assert {name: len(split) for name, split in corpus.splits.items()} == {
        "train": 40,
        "validation": 5,
        "test": 6,
        "test_compositional": 7,
    }
    assert corpus.report["leaks"] == {}
    assert corpus.tests["test"].to_list()[0] == {
        "source": "The cat is on the mat.",
        "target": "Le chat est sur le tapis.",
        "alignment": "0-0 1-1 2-2 3-3 4-4 5-5 6-6",
        "possible": "0-0 1-1 2-2 3-3 4-4 5-5 6-6",
    }
    own = make(train={"grammar": sizes}, validation_size=8, tests={"mine": {"grammar": {**sizes, "split": "test"}}})
    assert {name: len(split) for name, split in own.splits.items()} == {"train": 32, "validation": 8, "mine": 6}


def test_several_processes_give_what_one_gives(tmp_path, make):
    write_pairs(tmp_path / "a.tsv", [*numbered(0, 2500), ("e\u0301", "е"), ("б", "x")])
    settings = {"train": {"file": "a.tsv"}, "cleaning": {"source_scripts": "Latin"}, "validation_size": 10}
    one = make(**settings)
    two = prepare_corpus(DataSettings(folder=tmp_path, num_proc=2, **settings), tmp_path / "two")
    assert pairs_in(two.train) == pairs_in(one.train)
    assert two.report["rules"] == one.report["rules"]
    assert two.fingerprint == one.fingerprint


# Reuse


@pytest.fixture
def runs(monkeypatch):
    """The splits that were read, in order."""
    read, original = [], prepare._Preparation._read

    def counting(self, name, sources):
        read.append(name)
        return original(self, name, sources)

    monkeypatch.setattr(prepare._Preparation, "_read", counting)
    return read


def test_unchanged_settings_and_files_are_not_read_again(tmp_path, make, runs):
    path = write_pairs(tmp_path / "a.tsv", numbered(0, 30))
    first = make(train={"file": "a.tsv"})
    (first.folder / "tokenizer").mkdir()  # what others keep beside it stays
    assert make(train={"file": "a.tsv"}).report == first.report
    os.utime(path, ns=(1, 1))  # as after a fresh checkout
    assert make(train={"file": "a.tsv"}).report == first.report
    assert make(train={"file": "a.tsv"}, num_proc=2).fingerprint == first.fingerprint
    assert runs == ["train"]
    assert (first.folder / "tokenizer").exists()


@pytest.mark.parametrize("change", ["content", "settings", "version"])
def test_what_changed_is_made_anew(tmp_path, make, runs, change, monkeypatch):
    path = write_pairs(tmp_path / "a.tsv", numbered(0, 30))
    first = make(train={"file": "a.tsv"})
    (first.folder / "tokenizer").mkdir()
    settings = {}
    if change == "content":
        path.write_text(path.read_text().replace("phrase", "Phrase"))
    elif change == "version":
        monkeypatch.setattr(prepare, "VERSION", prepare.VERSION + 1)
    else:
        settings = {"seed": 1}
    second = make(train={"file": "a.tsv"}, **settings)
    assert second.fingerprint != first.fingerprint
    assert runs == ["train"] * 2
    assert not (second.folder / "tokenizer").exists()  # it was trained on other text
    assert pairs_in(second.train)[0][1].startswith("Phrase" if change == "content" else "phrase")


def test_a_local_dataset_folder_is_watched(tmp_path, make, runs):
    folder = tmp_path / "saved"
    datasets.Dataset.from_dict({"source": ["a", "b"], "target": ["x", "y"]}).save_to_disk(folder)
    settings = {"train": {"hub": "saved"}, "validation_size": 1}
    first = make(**settings)
    assert {entry["file"] for entry in first.report["inputs"]} >= {"saved/state.json", "saved/dataset_info.json"}
    assert make(**settings).report == first.report
    write(folder / "more.txt", "new")
    make(**settings)
    assert runs == ["train"] * 2


def test_rows_of_the_hub_are_checksummed(tmp_path, make, monkeypatch):
    def load_dataset(name, config, split, revision, streaming):
        return datasets.Dataset.from_dict({"source": ["a", "b", "c"], "target": targets})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    corpora, targets = [], ["x", "y", "z"]
    for changed in (None, "Z"):
        targets[2] = changed or "z"
        corpora.append(
            prepare_corpus(
                DataSettings(train={"hub": "someone/pairs", "revision": "main"}, validation_size=1),
                tmp_path / f"corpus-{changed}",
            )
        )
    [entry] = corpora[0].report["sources"]
    rows = [["a", "x", 1], ["b", "y", 2], ["c", "z", 3]]
    text = "".join(json.dumps([*row, None, None, None]) for row in rows)
    assert entry["rows_sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert entry["revision"] == "main"
    assert corpora[1].report["sources"][0]["rows_sha256"] != entry["rows_sha256"]
    assert corpora[1].fingerprint != corpora[0].fingerprint


# Runs that end early


def test_a_killed_run_leaves_nothing_that_looks_whole(tmp_path, make):
    write_pairs(tmp_path / "a.tsv", numbered(0, 30))
    child = os.fork()
    if not child:  # is killed once the training pairs lie in their place, and validation does not
        original = prepare._Preparation._write

        def write_and_die(self, name, *rest):
            original(self, name, *rest)
            os.kill(os.getpid(), signal.SIGKILL)

        prepare._Preparation._write = write_and_die
        try:
            make(train={"file": "a.tsv"})
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert (tmp_path / "out" / ".corpus.partial" / "train").exists()
    assert not (tmp_path / "out" / "corpus").exists()
    with pytest.raises(ValueError, match="is not a prepared corpus"):
        PreparedCorpus.load(tmp_path / "out" / "corpus")
    corpus = make(train={"file": "a.tsv"})
    assert len(corpus.train) == 27
    assert sorted(path.name for path in corpus.folder.parent.iterdir()) == [".corpus.lock", "corpus"]


def test_what_a_killed_run_left_is_removed(tmp_path, make):
    write_pairs(tmp_path / "a.tsv", numbered(0, 30))
    first = make(train={"file": "a.tsv"})
    around, partial, old = first.folder.parent, *(first.folder.with_name(f".corpus.{n}") for n in ("partial", "old"))
    for leftover in (partial, old):
        (leftover / "train").mkdir(parents=True)
    make(train={"file": "a.tsv"})  # which is made already
    assert sorted(path.name for path in around.iterdir()) == [".corpus.lock", "corpus"]
    first.folder.rename(old)  # killed between two renamings
    partial.mkdir()
    with pytest.raises(ValueError, match=r"nowhere\.tsv"):
        make(train={"file": "nowhere.tsv"})
    assert PreparedCorpus.load(first.folder).report == first.report


@pytest.mark.parametrize("room", [100, 5000, 20_000])
def test_a_full_disk_is_told_with_the_place(tmp_path, make, room):
    write_pairs(tmp_path / "a.tsv", numbered(0, 2000))
    told = r"Cannot write '.*corpus.*' \(File too large\): make room, and run"
    with full_disk(room), pytest.raises(OSError, match=told):
        make(train={"file": "a.tsv"})
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".corpus.lock"]


@pytest.mark.parametrize("name", ["a.parquet.gz", "a.po"])
def test_no_room_for_temporary_files_is_told_with_their_place(tmp_path, make, monkeypatch, name):
    pairs = numbered(0, 2000)
    if name == "a.po":
        entry = "\n".join(f'"{source}"' for source, _ in pairs)
        content = f'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\nmsgid {entry}\nmsgstr {entry}\n'
        (tmp_path / name).write_text(content)
    else:
        stored = pa.BufferOutputStream()
        pq.write_table(pa.table(dict(zip(("source", "target"), zip(*pairs)))), stored)
        (tmp_path / name).write_bytes(gzip.compress(stored.getvalue().to_pybytes()))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    with full_disk(5000), pytest.raises(OSError, match=r"Cannot write '.*/elsewhere' \(File too large\)"):
        make(train={"file": name})


def test_a_full_disk_leaves_the_last_good_corpus(tmp_path, make, monkeypatch):
    write_pairs(tmp_path / "a.tsv", numbered(0, 30))
    first = make(train={"file": "a.tsv"})

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(datasets.Dataset, "save_to_disk", full)
    with pytest.raises(OSError, match="No space left"):
        make(train={"file": "a.tsv"}, seed=5)
    assert PreparedCorpus.load(first.folder).report == first.report
    assert sorted(path.name for path in first.folder.parent.iterdir()) == [".corpus.lock", "corpus"]


def test_each_file_is_read_once(tmp_path, make, monkeypatch):
    write_pairs(tmp_path / "a.tsv", numbered(0, 30))
    write_pairs(tmp_path / "b.tsv.gz", numbered(30, 40))
    opened, original = [], readers._ChecksummedFile.__init__

    def counting(self, path):
        opened.append(path.name)
        original(self, path)

    monkeypatch.setattr(readers._ChecksummedFile, "__init__", counting)
    make(train={"file": "a.tsv"}, validation={"file": "b.tsv.gz"})
    assert sorted(opened) == ["a.tsv", "b.tsv.gz"]


def test_report_is_json_that_a_person_can_read(tmp_path, make):
    write_pairs(tmp_path / "a.tsv", [*numbered(0, 30), ("été ", "l'été")])
    text = (make(train={"file": "a.tsv"}).folder / "report.json").read_text(encoding="utf-8")
    assert "été" in text
    assert json.loads(text)["settings"]["train"][0]["file"] == "a.tsv"


def test_long_names_leave_the_figures_whole():
    name = "folder/train.tsv.gz (licence: " + ", ".join(f"CC-BY-{version}.0" for version in range(30)) + ")"
    sources = [
        {
            "split": "train",
            "source": name,
            "rows": 236_756,
            "bad_rows": {"count": 12, "examples": []},
            "left_out": 234_567,
        }
    ]
    drawn = [{"source": name, "rows": 61_234}, {"source": "short.tsv", "rows": 23_456}]
    splits = {"train": {"pairs": 160_975, "rows_of_sources": drawn}}
    console = Console(width=80)
    with console.capture() as capture:
        console.print(report_tables({"sources": sources, "rules": {}, "leaks": {}, "splits": splits}))
    for figure in ("236,756", "12", "234,567", "160,975", "61,234", "23,456"):
        assert figure in capture.get().split()
