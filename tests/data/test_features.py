# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Corpora of sounds and pictures: tables and datasets of files, features on disk, bad files, groups and leaks."""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from PIL import Image
from rich.console import Console

from hf_attn_seq2seq.data.features import FeatureFile, FeatureSettings, as_picture, as_rows
from hf_attn_seq2seq.data.prepare import PreparedCorpus, prepare_corpus
from hf_attn_seq2seq.data.report import report_lines, report_tables
from hf_attn_seq2seq.data.settings import DataSettings
from hf_attn_seq2seq.feature_extraction_attn_seq2seq import AttnSeq2SeqFeatureExtractor
from hf_attn_seq2seq.image_processing_attn_seq2seq import AttnSeq2SeqImageProcessor
from tests.helpers import full_disk
from tests.media_files import PITCHES, RATE, SPEAKERS, drawn, said, write_picture, write_set, write_sound


FEATURES = FeatureSettings(sampling_rate=RATE, mel_bins=20, min_seconds=0.05, height=16, channels=1)
TEXTS = ["AB", "C", "DAB", "BCD", "A", "CC", "DB", "BA", "CAD", "D", "AC", "BBA"]


def prepared(folder: Path, output: Path, speeds: Sequence[float] = (), **fields: Any) -> PreparedCorpus:
    """A corpus of a folder's `train.tsv`, unless `fields` say otherwise."""
    usual: dict[str, Any] = {"source_kind": "audio", "train": {"file": "train.tsv"}, "validation_size": 2}
    if "validation" in fields:
        del usual["validation_size"]
    return prepare_corpus(DataSettings(folder=folder, **{**usual, **fields}), output, None, FEATURES, speeds)


def heard(corpus: PreparedCorpus, split: str) -> dict[str, np.ndarray]:
    """The features of each row of a split, by its target."""
    features, rows = corpus.features(split), corpus.splits[split]
    return {row["target"]: features.rows(row["starts"][0], row["lengths"][0]) for row in rows}


def expected(text: str, number: int) -> np.ndarray:
    """The features of what `write_set` wrote, by the extractor alone."""
    path_wave = np.round(np.clip(said(text, SPEAKERS[number % 2], number), -1, 1) * 32768) / 32768  # 16 bits
    return AttnSeq2SeqFeatureExtractor(feature_size=20, sampling_rate=RATE).extract(path_wave)


@pytest.mark.parametrize("kind", ["tsv", "csv", "jsonl", "parquet", "tsv.gz"])
def test_every_table_names_files_beside_itself(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "inner"
    write_set(folder, "train", TEXTS)
    rows = [line.split("\t") for line in (folder / "train.tsv").read_text("utf-8").splitlines()]
    records = [dict(zip(rows[0], row)) for row in rows[1:]]
    table = folder / f"table.{kind}"
    if kind == "csv":
        table.write_text("\n".join(",".join(row) for row in rows) + "\n", "utf-8")
    elif kind == "jsonl":
        table.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(records), table)
    elif kind == "tsv.gz":
        import gzip

        table.write_bytes(gzip.compress((folder / "train.tsv").read_bytes()))
    else:
        table = folder / "train.tsv"
    source = {"file": str(table.relative_to(tmp_path))}  # columns are found by their usual names
    corpus = prepared(tmp_path, tmp_path / "corpus", train=source, validation=source)
    assert corpus.validation["target"] == TEXTS
    assert corpus.validation["source"][0] == "inner/train/0-AB-low.wav"  # from data.folder on
    found = heard(corpus, "validation")
    for number, text in enumerate(TEXTS):
        np.testing.assert_allclose(found[text], expected(text, number), atol=0.05)
    assert corpus.features("validation").table.dtype == np.float32
    train = heard(corpus, "train")  # in half precision
    for text in TEXTS:
        np.testing.assert_allclose(train[text], found[text], rtol=1e-3, atol=1e-3)


def test_what_is_measured_is_what_the_processor_computes(tmp_path: Path) -> None:
    write_set(tmp_path, "train", TEXTS)
    corpus = prepared(tmp_path, tmp_path / "corpus", validation={"file": "train.tsv"})
    extractor = AttnSeq2SeqFeatureExtractor(feature_size=20, sampling_rate=RATE)
    found = heard(corpus, "validation")
    for number, text in enumerate(TEXTS):
        wave, _ = soundfile.read(tmp_path / f"train/{number}-{text}-{SPEAKERS[number % 2]}.wav", dtype="float32")
        np.testing.assert_array_equal(found[text], extractor.extract(wave))


def test_pictures_are_kept_as_the_processor_makes_them(tmp_path: Path) -> None:
    write_set(tmp_path, "train", ["12", "7", "480", "33", "9", "5"], write_picture, ".png", "image")
    Image.fromarray(drawn("7", 1)).resize((20, 32)).save(tmp_path / "train" / "1-7-high.png", "JPEG")  # of this name
    corpus = prepared(tmp_path, tmp_path / "corpus", source_kind="image", validation={"file": "train.tsv"})
    processor = AttnSeq2SeqImageProcessor(height=16, channels=1)
    for target, rows in heard(corpus, "train").items():
        file = next((tmp_path / "train").glob(f"*-{target}-*"))
        np.testing.assert_array_equal(as_picture(rows, 1), processor.pixels(Image.open(file)))
    sizes = {row["target"]: (row["width"], row["height"]) for row in corpus.train}
    assert sizes["480"] == (30, 16)
    assert sizes["7"] == (20, 32)  # as it was
    assert corpus.report["splits"]["train"]["width"] == {"least": 10, "median": 20, "most": 30}


def test_a_picture_is_the_same_in_rows_and_back() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 7), dtype=np.uint8)
    assert as_rows(pixels).shape == (7, 15)
    np.testing.assert_array_equal(as_picture(as_rows(pixels), 3), pixels)


def test_each_speed_is_a_version_of_training_sounds_alone(tmp_path: Path) -> None:
    write_set(tmp_path, "train", TEXTS)
    corpus = prepared(tmp_path, tmp_path / "corpus", speeds=[0.5, 1.0, 2.0], validation={"file": "train.tsv"})
    assert {len(lengths) for lengths in corpus.validation["lengths"]} == {1}
    for row in corpus.train:
        own, slow, fast = row["lengths"]
        assert abs(slow - 2 * own) <= 1
        assert abs(2 * fast - own) <= 1
    # A tone at half speed is the tone an octave lower, for twice as long.
    features = corpus.features("train")
    row = next(row for row in corpus.train if row["target"] == "D")
    slow = features.rows(row["starts"][1], row["lengths"][1]).astype("f4")
    times = np.arange(RATE // 4) / RATE
    pitch = PITCHES["D"] * 1.12 / 2  # of the second speaker, who says it
    octave = 0.5 * np.sin(2 * np.pi * pitch * times) * np.interp(times, times[::2], np.hanning(RATE // 8))
    alike = AttnSeq2SeqFeatureExtractor(feature_size=20, sampling_rate=RATE).extract(octave)
    band = int(np.argmax(alike.std(0)))
    assert np.corrcoef(slow[3:-3, band], alike[3:-3, band])[0, 1] > 0.5


BAD = {
    "missing.wav": (None, "missing.wav does not exist"),
    "text.wav": (b"This is a text and no sound.\n" * 9, "text.wav is not a sound: it begins like a text"),
    "empty.wav": (b"", "empty.wav is empty"),
    "silent.wav": (np.zeros(RATE), "silent.wav is silent"),
    "long.wav": (np.tile(said("ABCD"), 80), "long.wav is 40.0 seconds long: at most 30 are taken"),
    "short.wav": (said("A")[:200], "short.wav is 0.025 seconds long, and features.min_seconds is 0.05"),
    "picture.wav": ("picture", "picture.wav is a picture, not a sound"),
    "cut.wav": ("cut", "cut.wav is cut off or damaged"),
    "train": (None, "train is a folder"),
}


def test_bad_files_are_bad_rows_and_nothing_else_is_lost(tmp_path: Path) -> None:
    table = write_set(tmp_path, "train", TEXTS)
    for name, (content, _) in BAD.items():
        if isinstance(content, bytes):
            (tmp_path / name).write_bytes(content)
        elif isinstance(content, np.ndarray):
            soundfile.write(tmp_path / name, content, RATE)
    Image.fromarray(drawn("1")).save(tmp_path / "picture.wav", "PNG")
    whole = next((tmp_path / "train").iterdir()).read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2])
    with table.open("a") as file:
        file.writelines(f"{name}\tbad {name}\tlow\n" for name in BAD)
        file.write("train/0-AB-low.wav\n")  # a row that is too short
    corpus = prepared(tmp_path, tmp_path / "corpus")
    pairs = sum(len(split) for split in corpus.splits.values())
    assert pairs == len(TEXTS)
    told = (corpus.folder / "bad-rows.tsv").read_text("utf-8").splitlines()
    assert len(told) == len(BAD) + 1
    for line, (number, (_, sentence)) in zip(told, enumerate(BAD.values(), start=len(TEXTS) + 2)):
        assert line.split("\t")[2] == str(number)
        assert sentence in line
    assert corpus.report["sources"][0]["bad_rows"]["count"] == len(BAD) + 1
    with pytest.raises(ValueError, match=r"train\.tsv, line 14: missing\.wav does not exist.*; fix it, or set on_bad"):
        prepared(tmp_path, tmp_path / "other", on_bad_row="stop")
    assert not (tmp_path / "other").exists()


def test_pictures_that_cannot_be_used_are_bad_rows(tmp_path: Path) -> None:
    table = write_set(tmp_path, "train", ["12", "7", "480", "33"], write_picture, ".png", "image")
    Image.new("L", (1, 1)).save(tmp_path / "dot.png")
    Image.new("L", (16_000, 16)).save(tmp_path / "wide.png")
    write_sound(tmp_path / "sound.wav", "A")
    with table.open("a") as file:
        file.write("dot.png\t1\tlow\nwide.png\t1\tlow\nsound.wav\t1\tlow\n")
    corpus = prepared(tmp_path, tmp_path / "corpus", source_kind="image")
    dot, wide, sound = (corpus.folder / "bad-rows.tsv").read_text("utf-8").splitlines()
    assert "dot.png is 1 x 1 pixels" in dot
    assert "wide.png: A picture of 16000 x 16 pixels would be 16,000 wide" in wide
    assert "sound.wav is a sound, not a picture" in sound


@pytest.mark.parametrize("embedded", [True, False])
@pytest.mark.parametrize("kind", ["audio", "image"])
def test_datasets_with_columns_of_files(kind: str, embedded: bool, tmp_path: Path) -> None:
    write, suffix = (write_sound, ".wav") if kind == "audio" else (write_picture, ".png")
    texts = TEXTS if kind == "audio" else ["12", "7", "480", "33", "9", "5"]
    write_set(tmp_path / "files", "train", texts, write, suffix, kind)
    files = [next((tmp_path / "files" / "train").glob(f"{number}-*")) for number in range(len(texts))]
    contents = [(None, file.read_bytes()) if embedded else (str(file), None) for file in files]
    cells = pa.array([{"bytes": data, "path": name} for name, data in contents],
                     pa.struct([("bytes", pa.binary()), ("path", pa.string())]))  # fmt: skip
    numbers = [number % 3 for number in range(len(texts))]
    plain_set = datasets.Dataset(pa.table({kind: cells, "text": texts, "speaker": numbers}))
    of_kind = datasets.Audio() if kind == "audio" else datasets.Image()
    plain_set.cast_column(kind, of_kind).save_to_disk(str(tmp_path / "set"))
    corpus = prepared(
        tmp_path, tmp_path / "corpus", source_kind=kind, train={"hub": "set"}, group="speaker", validation_size=4
    )
    by_table = prepared(tmp_path / "files", tmp_path / "by-table", source_kind=kind, validation={"file": "train.tsv"})
    plain = heard(by_table, "train")
    assert sum(map(len, corpus.splits.values())) == len(texts)
    for split in ("train", "validation"):
        for target, found in heard(corpus, split).items():
            np.testing.assert_array_equal(found, plain[target])
    assert set(corpus.train["group"]).isdisjoint(corpus.validation["group"])
    assert set(corpus.train["group"]) <= {"0", "1", "2"}
    if embedded:
        assert corpus.train["source"][0].startswith("row ")


def test_a_folder_of_pictures_that_datasets_loads(tmp_path: Path) -> None:
    texts = ["12", "7", "480", "33", "9", "5"]
    write_set(tmp_path, "train", texts, write_picture, ".png", "image")
    lines = [f'{{"file_name": "{file.name}", "text": "{file.name.split("-")[1]}"}}\n' for file in
             sorted((tmp_path / "train").iterdir())]  # fmt: skip
    (tmp_path / "train" / "metadata.jsonl").write_text("".join(lines), "utf-8")
    corpus = prepared(tmp_path, tmp_path / "corpus", source_kind="image", train={"hub": "train"})
    assert sorted([*corpus.train["target"], *corpus.validation["target"]]) == sorted(texts)
    assert [Path(entry["file"]).name for entry in corpus.report["inputs"]] == ["metadata.jsonl"]
    again = prepared(tmp_path, tmp_path / "corpus", source_kind="image", train={"hub": "train"})
    assert again.report == corpus.report
    assert (corpus.folder / "report.json").stat().st_mtime_ns == (again.folder / "report.json").stat().st_mtime_ns


def test_a_changed_file_makes_another_corpus(tmp_path: Path) -> None:
    write_set(tmp_path, "train", TEXTS)
    output = tmp_path / "corpus"
    first = prepared(tmp_path, output)
    made = (output / "report.json").stat().st_mtime_ns
    file = tmp_path / "train" / "1-C-high.wav"
    os.utime(file, ns=(1, 1))  # the same content
    assert prepared(tmp_path, output).fingerprint == first.fingerprint
    assert (output / "report.json").stat().st_mtime_ns == made
    wave, _ = soundfile.read(file)
    soundfile.write(file, -wave, RATE)  # of the same size
    second = prepared(tmp_path, output)
    assert second.fingerprint != first.fingerprint
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("train", "train.tsv"):
        (tmp_path / name).rename(moved / name)
    assert prepared(moved, output).fingerprint == second.fingerprint  # wherever the folder lies
    data = DataSettings(folder=moved, source_kind="audio", train={"file": "train.tsv"}, validation_size=2)
    others = FEATURES.model_copy(update={"mel_bins": 10})
    assert prepare_corpus(data, output, None, others).fingerprint != second.fingerprint
    with pytest.raises(ValueError, match="The data has changed"):
        prepare_corpus(data, output, second.fingerprint, others.model_copy(update={"mel_bins": 12}))


def test_a_repaired_file_makes_another_corpus(tmp_path: Path) -> None:
    table = write_set(tmp_path, "train", TEXTS)
    (tmp_path / "text.wav").write_bytes(b"This is a text and no sound.\n" * 9)
    with table.open("a") as file:
        file.write("text.wav\tDD\tlow\nmissing.wav\tDA\tlow\n")
    output = tmp_path / "corpus"
    first = prepared(tmp_path, output)
    made = (output / "report.json").stat().st_mtime_ns
    os.utime(tmp_path / "text.wav", ns=(1, 1))  # the same content
    assert prepared(tmp_path, output).report == first.report
    assert (output / "report.json").stat().st_mtime_ns == made
    fingerprints, counts = {first.fingerprint}, []
    for name, text in (("text.wav", "DD"), ("missing.wav", "DA")):
        write_sound(tmp_path / name, text)
        corpus = prepared(tmp_path, output)
        fingerprints.add(corpus.fingerprint)
        counts.append(corpus.report["sources"][0]["bad_rows"]["count"])
    assert (len(fingerprints), counts) == (3, [1, 0])
    (tmp_path / "missing.wav").unlink()
    assert prepared(tmp_path, output).report["sources"][0]["bad_rows"]["count"] == 1


def test_settings_of_the_other_kind_make_no_difference(tmp_path: Path) -> None:
    write_set(tmp_path, "train", TEXTS)
    first = prepared(tmp_path, tmp_path / "corpus")
    data = DataSettings(folder=tmp_path, source_kind="audio", train={"file": "train.tsv"}, validation_size=2)
    second = prepare_corpus(data, tmp_path / "other", None, FEATURES.model_copy(update={"height": 99}))
    assert second.fingerprint == first.fingerprint


def test_the_same_content_is_a_duplicate_and_a_leak_whatever_it_is_called(tmp_path: Path) -> None:
    table = write_set(tmp_path, "train", TEXTS)
    content = (tmp_path / "train" / "0-AB-low.wav").read_bytes()
    for name in ("again.wav", "other.wav"):
        (tmp_path / name).write_bytes(content)
    with table.open("a") as file:
        file.write("again.wav\tAB\tlow\n")
    (tmp_path / "dev.tsv").write_text(
        "audio\ttext\tspeaker\nother.wav\tAB\tnew\ntrain/1-C-high.wav\tD\tnew\n", "utf-8"
    )
    given = {"validation": {"file": "dev.tsv"}, "group": "speaker"}
    corpus = prepared(tmp_path, tmp_path / "corpus", **given)
    assert corpus.report["rules"]["train"]["duplicate"]["count"] == 1
    found = corpus.report["leaks"]["validation in train"]
    assert {side: found[side]["count"] for side in ("source", "target", "pair")} == {
        "source": 2,
        "target": 2,
        "pair": 1,
    }
    assert "group" not in found
    assert any("also in train: 2 by source, 2 by target, 1 by pair; set data.clean" in line
               for line in report_lines(corpus.report))  # fmt: skip
    # What is said may be said by others: only the sounds themselves are dropped.
    cleaned = prepared(tmp_path, tmp_path / "cleaned", **given, cleaning={"drop_leaks": True})
    assert cleaned.report["rules"]["train"]["leak"]["count"] == 2
    assert "D" in cleaned.train["target"]
    assert not {"AB", "C"} & set(cleaned.train["target"])
    left = [line for line in report_lines(cleaned.report) if "also in" in line]
    assert left == ["warning: rows of validation are also in train: 1 by target."]


def test_splits_share_no_group(tmp_path: Path) -> None:
    write_set(tmp_path, "train", TEXTS * 2, speakers=["s1", "s2", "s3", "s4", "s5", "s6"])
    fields = {"group": "speaker", "validation_size": 4, "test_size": 5}
    corpus = prepared(tmp_path, tmp_path / "corpus", **fields)
    groups = {name: set(split["group"]) for name, split in corpus.splits.items()}
    assert {name: len(found) for name, found in groups.items()} == {"train": 4, "validation": 1, "test": 1}
    assert not groups["train"] & groups["validation"] | groups["validation"] & groups["test"]
    assert not groups["train"] & groups["test"]
    assert {name: figures["groups"] for name, figures in corpus.report["splits"].items()} == {
        name: len(found) for name, found in groups.items()
    }
    console = Console(width=200)
    with console.capture() as captured:
        console.print(report_tables(corpus.report))
    assert "groups" in captured.get()
    assert "hours" in captured.get()


def test_a_split_that_no_group_fits_into_is_told(tmp_path: Path) -> None:
    write_set(tmp_path, "train", TEXTS)
    with pytest.raises(ValueError, match="smallest group of pairs that share a speaker has 6: choose at least"):
        prepared(tmp_path, tmp_path / "corpus", group="speaker")


def test_groups_of_text_and_those_that_given_splits_share(tmp_path: Path) -> None:
    lines = [f"sentence {number}\tphrase {number}\tbook {number // 4}" for number in range(40)]
    (tmp_path / "train.tsv").write_text("source\ttarget\tbook\n" + "\n".join(lines) + "\n", "utf-8")
    (tmp_path / "test.tsv").write_text("source\ttarget\tbook\nnew\tneu\tbook 3\nnewer\tneuer\tbook 77\n", "utf-8")
    data = {
        "folder": tmp_path,
        "train": {"file": "train.tsv"},
        "tests": {"test": {"file": "test.tsv"}},
        "validation_size": 8,
        "group": "book",
    }
    corpus = prepare_corpus(DataSettings(**data), tmp_path / "corpus")
    assert len(corpus.validation) == 8
    assert len(set(corpus.validation["group"])) == 2
    assert set(corpus.train["group"]).isdisjoint(corpus.validation["group"])
    shared = corpus.report["leaks"]
    assert sum(sides["group"]["count"] for sides in shared.values()) == 1
    assert any("1 by group" in line for line in report_lines(corpus.report))
    dropped = prepare_corpus(DataSettings(**data, cleaning={"drop_leaks": True}), tmp_path / "dropped")
    assert "book 3" not in {*dropped.train["group"], *dropped.validation["group"]}
    assert dropped.report["rules"]["train"]["leak"]["count"] == 4
    (tmp_path / "train.tsv").write_text("source\ttarget\tbook\na\tb\t\nc\td\tx\ne\tf\ty\n", "utf-8")
    corpus = prepare_corpus(DataSettings(**{**data, "validation_size": 1}), tmp_path / "with-a-gap")
    bad = next(source for source in corpus.report["sources"] if source["split"] == "train")["bad_rows"]
    assert bad["examples"] == [{"line": 2, "reason": "no 'book': it says which group the row is of"}]


def test_several_processes_find_the_same(tmp_path: Path) -> None:
    table = write_set(tmp_path, "train", TEXTS * 8)
    with table.open("a") as file:
        file.write("missing.wav\tA\tlow\n")
    alone = prepared(tmp_path, tmp_path / "alone", speeds=[0.9])
    together = prepared(tmp_path, tmp_path / "together", speeds=[0.9], num_proc=2)
    assert alone.fingerprint == together.fingerprint
    assert alone.report["splits"] == together.report["splits"]
    for split in ("train", "validation"):
        assert alone.splits[split].to_list() == together.splits[split].to_list()
    name = Path("features", "train.bin")
    assert (alone.folder / name).read_bytes() == (together.folder / name).read_bytes()


def test_rules_are_about_what_is_said(tmp_path: Path) -> None:
    write_set(tmp_path, "train", TEXTS)
    lines = (tmp_path / "train.tsv").read_text("utf-8").splitlines()
    lines[1] = lines[1].replace("\tAB\t", "\t A  B\u0007\t")
    lines[2] = lines[2].replace("\tC\t", "\t\t")
    lines[3] = lines[3].replace("\tDAB\t", f"\t{'A ' * 300}\t")
    (tmp_path / "train.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    corpus = prepared(tmp_path, tmp_path / "corpus")
    rules = corpus.report["rules"]["train"]
    counts = {name: tally["count"] for name, tally in rules.items()}
    assert counts == {"control_characters": 1, "whitespace": 2, "empty_side": 1, "length": 1}
    assert "A B" in {*corpus.train["target"], *corpus.validation["target"]}


def test_a_full_disk_leaves_nothing_half_made(tmp_path: Path) -> None:
    write_set(tmp_path, "train", TEXTS)
    with full_disk(2000), pytest.raises(OSError, match="make room"):
        prepared(tmp_path, tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()
    prepared(tmp_path, tmp_path / "corpus")


def test_missing_features_are_told(tmp_path: Path) -> None:
    write_set(tmp_path, "train", TEXTS)
    corpus = prepared(tmp_path, tmp_path / "corpus")
    (corpus.folder / "features" / "train.bin").write_bytes(b"abc")
    with pytest.raises(ValueError, match=r"features in .*train\.bin are missing or damaged: remove the folder"):
        corpus.features("train")
    with pytest.raises(ValueError, match="missing or damaged"):
        FeatureFile(tmp_path / "features" / "none.bin", "f4", 20)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"train": {"source": "a", "target": "b"}}, "source_kind is audio, which needs a column: a | b has none"),
        ({"train": {"grammar": {}}}, "needs a column: grammar (train) has none"),
        ({"train": {"file": "a.tmx"}}, "needs a column: a.tmx has none"),
        ({"train": {"file": "a.tsv", "possible": 3}}, "a.tsv has word links, but source_kind is audio"),
        ({"cleaning": {"source_scripts": ["Latin"]}}, "cleaning.source_scripts is about text"),
        ({"cleaning": {"language_certainty": 0.9}}, "language_certainty needs target_language: set it"),
        ({"tests": {"Features": {"file": "a.tsv"}}}, "A test set cannot be called 'Features'"),
        ({"source_kind": "text", "group": "x", "train": {"file": "a.po"}}, "group is 'x', which needs a column"),
    ],
)
def test_settings_that_do_not_fit_are_refused(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        DataSettings(**{"source_kind": "audio", "train": {"file": "a.tsv"}, **fields})
