# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The command transcribe on sounds and pictures: a line for each file, in order, and a sentence for each bad one."""

import gzip
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hf_attn_seq2seq_cli as cli
from hf_attn_seq2seq.decoding import recognition
from hf_attn_seq2seq.decoding.loading import load_recognizer
from hf_attn_seq2seq.decoding.recognition import read_features, states_of, transcribe
from hf_attn_seq2seq.decoding.torch_engine import TorchEngine
from tests.media_models import MediaModel, media_model, picture_files, sound_files


pytest.importorskip("soundfile")
pytest.importorskip("PIL")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module", params=["speech", "image"])
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[MediaModel, Path]:
    made = media_model(request.param)
    return made, made.save(tmp_path_factory.mktemp(request.param))


@pytest.fixture
def files(saved: tuple[MediaModel, Path], tmp_path: Path) -> list[str]:
    make = sound_files if saved[0].processor.hears else picture_files
    return [str(path) for path in make(tmp_path)]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: object) -> tuple[int, str, str]:
        status = 0
        try:
            cli.main(["transcribe", *map(str, arguments)])
        except SystemExit as ended:
            status = ended.code  # type: ignore[assignment]
        return (status, *capsys.readouterr())

    return run


def score_of(made: MediaModel, file: str) -> float:
    """The mean of the log-probabilities of what greedy search finds."""
    inputs = made.processor(**{"audio" if made.processor.hears else "images": file}, return_tensors="pt")
    ids = made.model.generate(**inputs)
    logits = made.model(**inputs, decoder_input_ids=ids[:, :-1]).logits.log_softmax(-1)
    picked = logits.gather(2, ids[:, 1:, None])
    return float(picked.mean().detach())


def test_a_line_for_each_file_in_order(
    saved: tuple[MediaModel, Path], files: list[str], run: Run, tmp_path: Path
) -> None:
    made, folder = saved
    expected = [made.plainly(file)[0] for file in files]
    assert len(set(expected)) > 1
    lines = "".join(f"{line}\n" for line in expected)
    assert run(folder, *files) == (0, lines, "")
    for size in (1, 2):
        assert run(folder, *files, "--batch-size", size) == (0, lines, "")
    assert run(folder, *files[::-1])[1] == "".join(f"{line}\n" for line in expected[::-1])
    assert run(folder, *files, "-o", tmp_path / "out.txt", "--device", "cpu") == (0, "", "")
    assert (tmp_path / "out.txt").read_text() == lines
    tsv = run(folder, *files, "--format", "tsv")[1]
    assert tsv == "".join(f"{file}\t{line}\n" for file, line in zip(files, expected))
    for engine in ("graph", "torch"):
        jsonl = run(folder, *files, "--format", "jsonl", "--engine", engine)[1].splitlines()
        for record, file, line in zip(map(json.loads, jsonl), files, expected, strict=True):
            score = record.pop("score")
            assert record == {"file": file, "text": line}
            assert score == pytest.approx(score_of(made, file), abs=1e-3)


def test_the_search_is_what_is_asked_for(saved: tuple[MediaModel, Path], files: list[str], run: Run) -> None:
    made, folder = saved
    search: dict[str, Any] = {"num_beams": 3, "length_penalty": -2.0, "max_new_tokens": 5}
    if made.processor.hears:
        search["ctc_weight"] = 0.8
    options = [part for name, value in search.items() for part in (f"--{name.replace('_', '-')}", value)]
    expected = [made.plainly(file, **search)[0] for file in files]
    assert expected != [made.plainly(file)[0] for file in files]
    assert run(folder, *files, *options)[1].splitlines() == expected


def test_a_bad_file_is_told_and_the_others_are_done(
    saved: tuple[MediaModel, Path], files: list[str], run: Run, tmp_path: Path
) -> None:
    made, folder = saved
    (text := tmp_path / "text.wav").write_text("dear reader\n" * 20)
    missing = tmp_path / "missing"
    expected = [made.plainly(file)[0] for file in files]
    given = [files[0], missing, files[1], text, files[2]]
    lines = [expected[0], "", expected[1], "", expected[2]]
    status, out, err = run(folder, *given)
    assert (status, out.splitlines()) == (1, lines)
    told = err.splitlines()
    assert told[0] == f"error: {missing} does not exist: check its path."
    assert told[1].startswith(f"error: {text} is not a ")
    assert told[2:] == ["2 of 5 files could not be used."]
    status, out, _ = run(folder, *given, "--format", "jsonl", "-o", tmp_path / "out.jsonl")
    assert status == 1
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [record["text"] for record in records] == lines
    assert [record.get("error") for record in records] == [
        None, told[0].removeprefix("error: "), None, told[1].removeprefix("error: "), None
    ]  # fmt: skip
    if made.processor.hears:
        status, out, err = run(folder, *files, "--max-seconds", 0.35)
        assert (status, out.splitlines()) == (1, [expected[0], "", ""])
        assert "at most 0.35 are taken" in err


def test_a_table_of_files(saved: tuple[MediaModel, Path], files: list[str], run: Run, tmp_path: Path) -> None:
    made, folder = saved
    names = [Path(file).name for file in files]
    expected = [made.plainly(file)[0] for file in files]
    column = "audio" if made.processor.hears else "image"
    (tsv := tmp_path / "a.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in zip([column, *names], "t123")))
    (other := tmp_path / "b.csv").write_text("".join(f'"{a}",x\n' for a in ["mine", *names]))
    assert run(folder, tsv)[1].splitlines() == expected
    assert run(folder, other, "--column", "mine")[1].splitlines() == expected
    assert run(folder, files[0], tsv)[1].splitlines() == [expected[0], *expected]
    assert "does not have one of the columns audio, image, file, path: name one" in run(folder, other)[2]
    assert "does not have the column 'nope'" in run(folder, tsv, "--column", "nope")[2]
    tsv.write_text(f"text\t{column}\nx\t{names[0]}\ny\t\nz\nt\t{names[1]}\n")
    told = [f"{tsv}, line {number}, names no file." for number in (3, 4)]
    status, out, err = run(folder, tsv, "--batch-size", 1)
    assert (status, out.splitlines()) == (1, [expected[0], "", "", expected[1]])
    assert err.splitlines() == [*(f"error: {sentence}" for sentence in told), "2 of 4 files could not be used."]
    records = [json.loads(line) for line in run(folder, tsv, "--format", "jsonl")[1].splitlines()]
    assert [record.get("error") for record in records] == [None, *told, None]
    assert "--column needs a table" in run(folder, files[0], "--column", "x")[2]


@pytest.mark.parametrize("kind", ["tsv.gz", "csv", "jsonl", "parquet", "parquet with contents"])
def test_every_kind_of_table(
    saved: tuple[MediaModel, Path], files: list[str], kind: str, run: Run, tmp_path: Path
) -> None:
    made, folder = saved
    column = "audio" if made.processor.hears else "image"
    names = [Path(file).name for file in files]
    (names_bad := [names[0], "missing.wav", *names[1:]]).append("")
    table = tmp_path / f"table.{kind.split()[0]}"
    if kind == "jsonl":
        lines = [json.dumps({"text": "x", column: name}) for name in names_bad]
        table.write_text("".join(f"{line}\n" for line in [*lines, "{}", "no json"]))
    elif kind.startswith("parquet"):
        import pyarrow
        import pyarrow.parquet

        cells: list[Any] = list(names_bad)
        if "contents" in kind:
            cells = [{"bytes": Path(file).read_bytes(), "path": None} for file in files]
            cells = [cells[0], {"bytes": b"no sound", "path": "bad"}, *cells[1:], {"bytes": None, "path": None}]
        pyarrow.parquet.write_table(pyarrow.table({column: cells, "text": list("xxxxx")}), table)
    else:
        mark = "," if kind == "csv" else "\t"
        rows = "".join(f"{a}{mark}{b}\n" for a, b in zip([column, *names_bad], "txxxxx"))
        table.write_bytes(gzip.compress(rows.encode()) if kind.endswith("gz") else rows.encode())
    expected = [made.plainly(file)[0] for file in files]
    status, out, err = run(folder, table, "--format", "jsonl", "--batch-size", 2)
    records = [json.loads(line) for line in out.splitlines()]
    more = 2 if kind == "jsonl" else 0
    assert status == 1
    assert [record["text"] for record in records] == [expected[0], "", *expected[1:], *[""] * (1 + more)]
    assert [bool(record.get("error")) for record in records] == [False, True, False, False, True, *[True] * more]
    assert f"{2 + more} of {5 + more} files could not be used." in err
    told = err.splitlines()
    if "contents" in kind:
        assert [record["file"] for record in records] == ["row 1", "bad", "row 3", "row 4", ""]
        assert told[0].startswith("error: bad is not a ")
        assert told[1] == f"error: {table}, line 5: no file: '{column}' is empty."
    else:
        assert records[2]["file"] == files[1]
        assert told[0] == f"error: {tmp_path / 'missing.wav'} does not exist: check its path."
        assert told[1].endswith("names no file.")
    if kind == "jsonl":
        assert told[2] == f"error: {table}, line 6: no '{column}': it only has no fields."
        assert told[3] == f"error: {table}, line 7: not JSON: each line must be one object."
    assert "does not have the column 'nope': name one of its own" in run(folder, table, "--column", "nope")[2]


def test_a_batch_has_a_bounded_number_of_states_and_little_is_read_ahead(
    saved: tuple[MediaModel, Path], files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, folder = saved
    recognizer = load_recognizer(folder)
    many = [*files, *files[::-1], *files, *files, files[2]]
    lengths = {file: read_features(recognizer, file).shape[0 if made.processor.hears else -1] for file in files}
    states = {file: int(states_of(made.model.config, np.array(lengths[file]))) for file in files}
    most = 2 * max(states.values())
    monkeypatch.setattr(recognition, "STATES", most)
    batches: list[tuple[int, int]] = []
    engine = TorchEngine(recognizer.model)
    search = engine.search

    def spy(**inputs: Any) -> Any:
        batch = inputs[made.model.main_input_name]
        length = batch.shape[1] if made.processor.hears else batch.shape[-1]
        batches.append((len(batch), len(batch) * int(states_of(made.model.config, np.array(length)))))
        return search(**inputs)

    monkeypatch.setattr(engine, "search", spy)
    read = 0

    def reading() -> Iterator[str]:
        nonlocal read
        for file in many:
            read += 1
            yield file

    found = transcribe(recognizer, reading(), engine=engine, batch_size=5)
    first = next(found)
    assert sum(states[file] for file in many[:read]) < most + max(states.values())
    assert [first.text, *(each.text for each in found)] == [made.plainly(file)[0] for file in many]
    assert sum(rows for rows, _ in batches) == len(many)
    assert all(total <= most for _, total in batches)
    assert max(rows for rows, _ in batches) > 1


def test_wrong_input_is_one_sentence(
    saved: tuple[MediaModel, Path], files: list[str], run: Run, tmp_path: Path
) -> None:
    made, folder = saved
    for arguments, words in (
        (
            ("en-fr-small", files[0]),
            "'en-fr-small' reads text, not speech or pictures: use hf-attn-seq2seq translate.",
        ),
        ((tmp_path / "none", files[0]), "There is no model"),
        ((folder, files[0], "--num-beams", 0), "--num-beams is 0: it must be at least 1."),
        ((folder, files[0], "--ctc-weight", 2), "--ctc-weight is 2.0: it must be from 0 to 1."),
        ((folder, files[0], "--max-seconds", 0), "--max-seconds is 0.0: it must be above 0."),
        ((folder, files[0], "--length-penalty", "nan"), "--length-penalty is nan"),
        ((folder, files[0], "-o", files[0]), "is both input and output"),
        ((folder, files[0], "-o", tmp_path / "no" / "folder"), "create its folder"),
    ):
        status, out, err = run(*arguments)
        assert (status, out) == (2, "")
        assert words in err
        assert err.count("\n") == 1
    if not made.processor.hears:
        assert "trained without CTC: leave out --ctc-weight" in run(folder, files[0], "--ctc-weight", 0.3)[2]


def test_translate_refuses_what_reads_no_text(
    saved: tuple[MediaModel, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    made, folder = saved
    for options in ([], ["--engine", "torch"], ["--engine", "graph"]):
        with pytest.raises(SystemExit) as ended:
            cli.main(["translate", str(folder), "hello", *options])
        assert ended.value.code == 2
        noun = "speech" if made.processor.hears else "pictures"
        assert capsys.readouterr().err == (
            f"error: '{folder}' reads {noun}, not text: use hf-attn-seq2seq transcribe.\n"
        )


def test_a_processor_that_does_not_fit_is_refused(
    saved: tuple[MediaModel, Path], files: list[str], run: Run, tmp_path: Path
) -> None:
    made, folder = saved
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    path = copy / "processor_config.json"
    content = path.read_text()

    def told(settings: dict[str, Any] | None = None, text: str = "") -> str:
        path.write_text(json.dumps(settings) if settings else text)
        status, out, err = run(copy, files[0])
        assert (status, out, err.count("\n")) == (2, "", 1)
        return err

    settings = json.loads(content)
    part = settings["feature_extractor" if made.processor.hears else "image_processor"]
    if made.processor.hears:
        part["feature_size"] = 21
        assert "is for frames of 21 numbers, and the model reads frames of 20 numbers" in told(settings)
    else:
        part["height"] = 17
        assert "is for pictures 17 pixels high, and the model reads pictures 16 pixels high" in told(settings)
        part["channels"] = 3
        assert "is for pictures of 3 channels, and the model reads pictures of 1 channels" in told(settings)
    part[next(name for name in part if name in ("feature_size", "height"))] = -1
    assert "cannot be used" in told(settings)
    assert "damaged" in told(text="{")
    other = media_model("image" if made.processor.hears else "speech").processor
    other.save_pretrained(copy)
    kinds = ("pictures", "speech") if made.processor.hears else ("sounds", "pictures")
    status, _, err = run(copy, files[0])
    assert status == 2
    assert f"is for {kinds[0]}, and the model reads {kinds[1]}" in err
    path.unlink()
    assert "has no processor: save it there" in run(copy, files[0])[2]


def test_in_python(saved: tuple[MediaModel, Path], files: list[str], tmp_path: Path) -> None:
    made, folder = saved
    recognizer = load_recognizer(folder)
    bad = str(tmp_path / "missing")
    found = list(transcribe(recognizer, iter([Path(files[0]), bad, *files[1:]]), batch_size=1, num_beams=2))
    assert [each.file for each in found] == [files[0], bad, *files[1:]]
    assert [each.text for each in found if each.error is None] == [
        made.plainly(file, num_beams=2)[0] for file in files
    ]
    assert [each.error for each in found if each.error] == [f"{bad} does not exist: check its path."]
