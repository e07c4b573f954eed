# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The translate command on files and pipes: order, blank lines, formats, killed and resumed runs, wrong input."""

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from hf_attn_seq2seq.data.links import to_pharaoh
from hf_attn_seq2seq.decoding import command, jobs, loading, translate, translate_n_best
from hf_attn_seq2seq.decoding.command import main
from hf_attn_seq2seq.decoding.files import ResumableOutput, count_lines, read_blocks
from hf_attn_seq2seq.decoding.sentences import Translation
from hf_attn_seq2seq.writing import sole_output
from tests.data.corpus_files import write
from tests.decoding.conftest import SENTENCES, make_model
from tests.helpers import full_disk


LINES = [*SENTENCES[:6], "", *SENTENCES[6:12], "   ", "\t", *SENTENCES[12:]]
MANY = [LINES[index % len(LINES)] for index in range(150)]  # more than three blocks of a batch size of 1
UNFINISHED = ["--num-beams", 1, "--max-new-tokens", 3]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.txt"
    path.write_text("".join(f"{line}\n" for line in LINES), "utf-8")
    return path


@pytest.fixture
def many(tmp_path: Path) -> Path:
    path = tmp_path / "many.txt"
    path.write_text("".join(f"{line}\n" for line in MANY), "utf-8")
    return path


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of half a kilobyte."""
    monkeypatch.setattr(command, "BLOCK_BYTES", 8)


def run(*arguments: object) -> None:
    main([str(argument) for argument in arguments])


def pipe(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


@pytest.fixture(scope="module")
def expected(model, tokenizer) -> list[str]:
    """The translation of each line, made one by one."""
    return [translate(model, tokenizer, [line])[0] if line.strip() else "" for line in LINES]


def test_a_line_comes_out_for_each_line(folders, source, tmp_path, expected, capsys, monkeypatch):
    run(folders / "gru", source)
    assert capsys.readouterr().out.split("\n") == [*expected, ""]
    run(folders / "gru", "--batch-size", 2, source, "--output", tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_text("utf-8").split("\n") == [*expected, ""]
    assert not (tmp_path / "out.txt.progress").exists()
    assert capsys.readouterr().out == ""
    # Another system's line ends and byte order mark, and no end of the last line.
    pipe(monkeypatch, "\r\n".join(["\ufeff" + LINES[0], *LINES[1:]]).encode())
    run(folders / "gru")
    assert capsys.readouterr().out.split("\n") == [*expected, ""]


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2"])
@pytest.mark.parametrize("size", [3, 1 << 16])
def test_lines_that_end_in_carriage_returns_alone(tmp_path, suffix, size):
    path = write(tmp_path / f"lines{suffix}", "one\rtwo, été\r\rfour")
    read = [line for block in read_blocks(path, size) for line in block.lines]
    assert read == ["one", "two, été", "", "four"]
    assert count_lines(path) == 4
    write(path, "one\rtwo\nthree\r\n")  # where there are line feeds, they alone end lines
    assert [line for block in read_blocks(path, size) for line in block.lines] == ["one\rtwo", "three"]
    assert count_lines(path) == 2


def test_blocks_grow(many):
    lines = many.read_text("utf-8").splitlines()
    blocks = list(read_blocks(many, 1000, first=50))
    assert [line for block in blocks for line in block.lines] == lines
    sizes = [sum(len(line) + 1 for line in block.lines) for block in blocks]
    for number, (least, most) in enumerate([(25, 50), (75, 125), (175, 225), (375, 425), (775, 825), (950, 1050)]):
        assert least <= sizes[number] <= most
    assert [block.first for block in blocks] == [sum(len(b.lines) for b in blocks[:n]) for n in range(len(blocks))]
    assert [block.digest for block in read_blocks(many, 1000, first=2000)] == [
        block.digest for block in read_blocks(many, 1000)
    ]


@pytest.mark.parametrize("done", [0, 1, 7, 20, 149, 150, 151, 999])
def test_a_block_ends_where_another_run_ended(tmp_path, many, done):
    blocks, plain = list(read_blocks(many, 300, done=done)), list(read_blocks(many, 300))
    assert [line for block in blocks for line in block.lines] == [line for block in plain for line in block.lines]
    ends = {block.first + len(block.lines): block.digest for block in blocks}
    assert ends.items() >= {block.first + len(block.lines): block.digest for block in plain}.items()
    assert len(blocks) <= len(plain) + 1
    if 0 < done <= len(MANY):
        content = "".join(f"{line}\n" for line in MANY[:done]).encode()
        assert ends[done] == hashlib.sha256(content).hexdigest()


def test_blocks_of_another_size_go_on(folders, many, tmp_path, monkeypatch):
    """Of an earlier version, whose blocks did not grow."""
    options = ["--num-beams", 1, "--max-new-tokens", 3]
    run(folders / "gru", many, "--output", tmp_path / "whole", *options)
    output, write = tmp_path / "out", ResumableOutput.write
    with monkeypatch.context() as patch:
        patch.setattr(command, "FIRST_BLOCK", 777)
        patch.setattr(command, "BLOCK_BYTES", 12)

        def stop(self, *arguments):
            write(self, *arguments)
            raise KeyboardInterrupt

        patch.setattr(ResumableOutput, "write", stop)
        with pytest.raises(KeyboardInterrupt):
            run(folders / "gru", many, "--output", output, *options)
    assert 0 < json.loads((tmp_path / "out.progress").read_text())["lines"] < len(MANY)
    run(folders / "gru", many, "--output", output, *options, "--resume")
    assert output.read_bytes() == (tmp_path / "whole").read_bytes()


def test_a_terminal_is_asked_for_each_line(folders, monkeypatch, expected, capsys):
    class Terminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    class Typed(io.BytesIO):
        def read1(self, size: int = -1) -> bytes:
            shown.append(capsys.readouterr())
            return self.readline()

    shown: list = []
    monkeypatch.setattr(sys, "stdin", Terminal(Typed("".join(f"{line}\n" for line in LINES[:3]).encode())))
    run(folders / "gru")
    assert [said.out for said in shown] == ["", *(f"{translation}\n" for translation in expected[:3])]
    assert shown[0].err.endswith("Type one sentence per line; end with Ctrl-D.\n> ")
    assert [said.err for said in shown[1:]] == ["> "] * 3
    assert capsys.readouterr() == ("", "\n")


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".bz2"])
@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: data[:20] + bytes(9) + data[29:]])
def test_damaged_archives_are_named_when_lines_are_counted_too(tmp_path, suffix, damage):
    path = write(tmp_path / f"lines{suffix}", "".join(f"line {i}\n" for i in range(999)))
    path.write_bytes(damage(path.read_bytes()))
    for use in (count_lines, lambda path: list(read_blocks(path, 100))):
        with pytest.raises(ValueError, match=rf"lines{suffix} cannot be decompressed"):
            use(path)


@pytest.mark.parametrize("packing", [gzip, lzma, bz2])
def test_compressed_files(folders, many, tmp_path, small_blocks, packing):
    suffix = {gzip: "gz", lzma: "xz", bz2: "bz2"}[packing]
    packed, output = tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}"
    packed.write_bytes(packing.compress(many.read_bytes()))
    options = ["--num-beams", 1, "--max-new-tokens", 3]
    run(folders / "gru", packed, "--output", output, *options)
    run(folders / "gru", many, "--output", tmp_path / "plain", *options)
    assert packing.decompress(output.read_bytes()) == (tmp_path / "plain").read_bytes()


def test_n_best_and_alignments_as_text(folders, source, model, tokenizer, capsys):
    run(folders / "gru", source, "--n-best", 2, "--num-beams", 3, "--alignments", "--length-penalty", 0.5)
    text = capsys.readouterr().out
    rows = [line.split(" ||| ") for line in text.splitlines()]
    expected = []
    for number, line in enumerate(LINES):
        if not line.strip():
            expected.append([str(number), "", 0.0, ""])
            continue
        (best,) = translate_n_best(model, tokenizer, [line], n_best=2, num_beams=3, links=True, length_penalty=0.5)
        expected += [[str(number), t.text, pytest.approx(t.score, abs=2e-4), to_pharaoh(t.links)] for t in best]
    assert [[*row[:2], float(row[2]), *row[3:]] for row in rows] == expected
    assert " ||| 0.0000 ||| \n" in text

    run(folders / "gru", source, "--num-beams", 3, "--alignments", "--length-penalty", 0.5)
    best_rows = [row for index, row in enumerate(rows) if not index or row[0] != rows[index - 1][0]]
    expected = [" ||| ".join([row[1], *row[3:]]) if LINES[int(row[0])].strip() else "" for row in best_rows]
    assert capsys.readouterr().out.splitlines() == expected


def test_jsonl(folders, source, model, tokenizer, capsys):
    run(folders / "gru", source, "--format", "jsonl", "--num-beams", 1, "--alignments")
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(record["id"], record["source"]) for record in records] == list(enumerate(LINES))
    (best,) = translate_n_best(model, tokenizer, [LINES[3]], num_beams=1, links=True)[0]
    assert records[3]["translations"] == [
        {"text": best.text, "score": pytest.approx(best.score, abs=1e-4), "alignment": to_pharaoh(best.links)}
    ]
    assert records[6]["translations"] == [{"text": "", "score": 0.0, "alignment": ""}]


def test_line_ends_that_a_model_writes_are_blanks(folders, source, monkeypatch, capsys):
    broken = [[Translation("one\ntwo\u2028three\r\n")]]
    monkeypatch.setattr(jobs, "translate_n_best", lambda model, tokenizer, texts, **options: broken * len(texts))
    run(folders / "gru", source)
    assert capsys.readouterr().out.split("\n") == ["one two three" if line.strip() else "" for line in LINES] + [""]


def test_unknown_words_through_a_dictionary(folders, tmp_path, model, tokenizer, capsys, monkeypatch):
    monkeypatch.setattr(loading, "load_translator", lambda *names: loading.Translator(_OnlyUnknown(model), tokenizer))
    (tmp_path / "words.tsv").write_text("zyx\tZyxe\n\nquux\tQuuxe\n", "utf-8")
    pipe(monkeypatch, b"Zyx Quux\n")
    run(
        folders / "gru",
        "--engine",
        "torch",
        "--num-beams",
        1,
        "--replace-unknown",
        "--dictionary",
        tmp_path / "words.tsv",
    )
    assert set(capsys.readouterr().out.split()) <= {"Zyxe", "Quuxe"}
    (tmp_path / "words.tsv").write_text("a\tb\nzyx\n", "utf-8")
    with pytest.raises(ValueError, match=r"words.tsv, line 2, is not an entry"):
        run(folders / "gru", "--replace-unknown", "--dictionary", tmp_path / "words.tsv")


class _OnlyUnknown:
    """A model that can say nothing but the unknown token, twice."""

    def __init__(self, model) -> None:
        self.model = model

    def __getattr__(self, name):
        return getattr(self.model, name)

    def generate(self, **options):
        others = [token for token in range(self.model.config.vocab_size) if token not in (2, 3)]
        return self.model.generate(**options, suppress_tokens=others, min_new_tokens=2, max_new_tokens=2)


def test_several_models_are_an_ensemble(folders, source, capsys):
    outputs = []
    for models in ("gru", "gru,gru", "gru,transformer", "transformer"):
        names = ",".join(str(folders / name) for name in models.split(","))
        run(names, source, "--num-beams", 2, "--n-best", 1)
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]
    assert len(set(outputs)) == 3


@pytest.mark.parametrize("killed", [False, True])
def test_a_run_that_stopped_anywhere_goes_on_to_the_same_bytes(
    folders, many, tmp_path, monkeypatch, small_blocks, killed
):
    options = ["--num-beams", 1, "--max-new-tokens", 4, "--alignments"]
    run(folders / "gru", many, "--output", tmp_path / "whole.gz", *options)
    output, older = tmp_path / "out.gz", b"an older file, of another model"
    clean = sorted([*os.listdir(tmp_path), output.name])
    for name in ("open", "_append", "_take_place", "_save_progress"):
        original = getattr(ResumableOutput, name)
        for when in (1, 2, 3):
            calls = []

            def stop(self, *arguments, original=original, calls=calls, when=when):
                calls.append(None)
                if len(calls) == when:
                    raise KeyboardInterrupt
                original(self, *arguments)

            output.write_bytes(older)
            with monkeypatch.context() as patch:
                patch.setattr(ResumableOutput, name, stop)
                if killed:  # nothing is tidied up
                    patch.setattr(ResumableOutput, "_keep", lambda self: "")
                if (name, when) == ("open", 2):
                    break
                with pytest.raises(KeyboardInterrupt):
                    run(folders / "gru", many, "--output", output, *options)
            if when == 1:
                assert output.read_bytes() == older  # until there is something new
            if when == 1 and (not killed or name in ("open", "_save_progress")):
                assert sorted(os.listdir(tmp_path)) == clean
                output.unlink()  # complete, as far as anybody knows
            run(folders / "gru", many, "--output", output, *options, "--resume")
            assert output.read_bytes() == (tmp_path / "whole.gz").read_bytes()
            assert sorted(os.listdir(tmp_path)) == clean


def test_a_full_disk_loses_nothing_and_its_advice_works(folders, many, tmp_path, small_blocks):
    options = ["--num-beams", 1, "--max-new-tokens", 4, "--format", "jsonl", "--alignments"]
    run(folders / "gru", many, "--output", tmp_path / "whole", *options)
    whole, output = (tmp_path / "whole").read_bytes(), tmp_path / "out"
    output.write_bytes(b"older")
    sentence = rf"Cannot write '{output}' \(File too large\): make room, and run the command again\."
    with full_disk(1200), pytest.raises(OSError, match=sentence):  # room for the progress, not for the first block
        run(folders / "gru", many, "--output", output, *options)
    assert output.read_bytes() == b"older"
    sentence = sentence.replace("run the command again", "continue with --resume")
    with full_disk(len(whole) // 2), pytest.raises(OSError, match=sentence):
        run(folders / "gru", many, "--output", output, *options)
    assert whole.startswith(output.read_bytes())
    assert output.read_bytes().endswith(b"\n")
    run(folders / "gru", many, "--output", output, *options, "--resume")
    assert output.read_bytes() == whole
    assert not list(tmp_path.glob("*out*.*"))


def test_what_is_piped_appears_when_it_is_whole(folders, tmp_path, monkeypatch, capsys, small_blocks):
    options = ["--num-beams", 1, "--max-new-tokens", 4, "--output", tmp_path / "out"]
    (tmp_path / "out").write_bytes(b"older")
    damaged = "\n".join(MANY[:50]).encode() + b"\n\xff\n"
    for content in (b"\xff\n", damaged):
        pipe(monkeypatch, content)
        with pytest.raises(ValueError, match="is not UTF-8 text"):
            run(folders / "gru", *options)
        assert (tmp_path / "out").read_bytes() == b"older"
        assert (tmp_path / "out.partial").exists() == (content is damaged)
        if content is damaged:
            lines = (tmp_path / "out.partial").read_text("utf-8").count("\n")
            assert f"{lines} lines are finished and kept in {tmp_path / 'out.partial'}." in capsys.readouterr().err
    pipe(monkeypatch, f"{LINES[0]}\n".encode())
    run(folders / "gru", *options)
    assert (tmp_path / "out").read_text("utf-8").count("\n") == 1
    assert not (tmp_path / "out.partial").exists()


def test_two_runs_do_not_share_an_output(folders, source, tmp_path):
    output = tmp_path / "out"
    with sole_output(output), pytest.raises(ValueError, match=f"Another run is using '{output}': wait"):
        run(folders / "gru", source, "--output", output)
    assert not output.exists()
    output.with_name(".out.lock").touch()  # of a run that was killed
    run(folders / "gru", source, "--output", output)
    assert not output.with_name(".out.lock").exists()


def test_pipes_devices_and_links_are_written_to_as_they_are(folders, source, tmp_path):
    run(folders / "gru", source, "--output", "/dev/null")
    with pytest.raises(ValueError, match="/dev/null is not a regular file and cannot be resumed: leave out --resume"):
        run(folders / "gru", source, "--output", "/dev/null", "--resume")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    run(folders / "gru", source, "--output", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text("utf-8").count("\n") == len(LINES)


def test_sigterm_ends_a_run_as_ctrl_c_does(folders, many, tmp_path):
    fifo, output, progress = tmp_path / "fifo", tmp_path / "out", tmp_path / "out.progress"
    os.mkfifo(fifo)
    options = ["--output", str(output), "--batch-size", "1", "--num-beams", "1", "--max-new-tokens", "3"]
    program = [sys.executable, "-m", "hf_attn_seq2seq_cli", "translate", str(folders / "gru"), str(fifo), *options]
    process = subprocess.Popen(program, stderr=subprocess.PIPE)
    with fifo.open("wb") as stream:
        stream.write(many.read_bytes()[: 3 * 1024])
        stream.flush()
        while not progress.exists() or not json.loads(progress.read_text())["lines"]:
            assert process.poll() is None
            time.sleep(0.1)
        process.terminate()
        said = process.communicate()[1].decode()
    assert process.returncode == 128 + signal.SIGTERM
    done = json.loads(progress.read_text())["lines"]
    assert said == f"\nStopped. {done} lines are finished: add --resume to continue from there.\n"
    assert sorted(path.name for path in tmp_path.glob("*out*")) == ["out", "out.progress"]


@pytest.mark.parametrize("engine", ["torch", "graph"])
def test_two_processes_are_killed_and_one_goes_on(folders, many, tmp_path, engine):
    """The killed run reads a pipe that never ends, so it is killed in the middle for certain."""
    options = ["--batch-size", "1", "--num-beams", "1", "--max-new-tokens", "3"]
    run(folders / "gru", many, "--output", tmp_path / "whole", *options)
    fifo, output, progress = tmp_path / "fifo", tmp_path / "out", tmp_path / "out.progress"
    os.mkfifo(fifo)
    program = [sys.executable, "-m", "hf_attn_seq2seq_cli", "translate", str(folders / "gru"), str(fifo)]
    process = subprocess.Popen([*program, "--output", str(output), *options, "--processes", "2", "--engine", engine])
    content = many.read_bytes()
    two_blocks = content[: 512 + 1024].count(b"\n")  # the first is half as large
    with fifo.open("wb") as stream:
        stream.write(content[: 3 * 1024])  # whole blocks, of which the last waits for the next
        stream.flush()
        while not progress.exists() or json.loads(progress.read_text())["lines"] < two_blocks:
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert json.loads(progress.read_text())["lines"] >= two_blocks
    with output.open("ab") as stream:
        stream.write(b"half a li")
    run(folders / "gru", many, "--output", output, *options, "--resume")
    assert output.read_bytes() == (tmp_path / "whole").read_bytes()
    assert not progress.exists()


def test_a_pipe_gets_lines_as_they_come_and_may_close(folders, expected):
    program = [sys.executable, "-m", "hf_attn_seq2seq_cli", "translate", str(folders / "gru")]
    process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for line, translation in list(zip(LINES, expected))[:3]:
        process.stdin.write(f"{line}\n".encode())
        process.stdin.flush()
        assert process.stdout.readline().decode() == f"{translation}\n"
    process.stdout.close()
    process.stdin.write(f"{LINES[0]}\n".encode())
    process.stdin.close()
    assert process.wait() == 141
    assert process.stderr.read() == b""


@pytest.fixture
def unfinished(folders, many, tmp_path, monkeypatch, small_blocks) -> Path:
    """An output of two blocks."""
    output = tmp_path / "unfinished"
    write = ResumableOutput.write
    calls = []

    def stop(self, *arguments):
        calls.append(None)
        if len(calls) == 3:
            raise KeyboardInterrupt
        write(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(ResumableOutput, "write", stop)
        with pytest.raises(KeyboardInterrupt):
            run(folders / "gru", many, "--output", output, *UNFINISHED)
    return output


def test_resuming_what_does_not_fit_is_refused(folders, many, unfinished, tmp_path):
    begun = unfinished.read_bytes()
    same = ["--output", unfinished, *UNFINISHED]
    for arguments, sentence in (
        ([folders / "gru", many, *same], "unfinished: add --resume to continue it, or delete"),
        ([folders / "gru", many, *same, "--num-beams", 2, "--resume"], r"another num_beams \(1, now 2\)"),
        ([folders / "gru", many, *same, "--alignments", "--resume"], r"another links \(False, now True\)"),
        ([folders / "transformer", many, *same, "--resume"], "was started with another model: use the same"),
    ):
        with pytest.raises(ValueError, match=sentence):
            run(*arguments)
        assert unfinished.read_bytes() == begun
    changed = tmp_path / "changed.txt"
    changed.write_text(many.read_text("utf-8").replace("dog", "cat", 1), "utf-8")
    with pytest.raises(
        ValueError, match=r"changed.txt has changed since .*unfinished was started: its first \d+ lines differ"
    ):
        run(folders / "gru", changed, *same, "--resume")
    assert unfinished.read_bytes() == begun
    unfinished.write_bytes(begun[:10])
    with pytest.raises(ValueError, match="is shorter than"):
        run(folders / "gru", many, *same, "--resume")
    unfinished.with_name("unfinished.progress").write_text("{", "utf-8")
    with pytest.raises(ValueError, match="is damaged: delete it to start over"):
        run(folders / "gru", many, *same, "--resume")
    (tmp_path / "complete").write_text("all\n")
    with pytest.raises(ValueError, match="complete is complete"):
        run(folders / "gru", many, "--output", tmp_path / "complete", "--resume")


def test_resuming_with_lines_lost_or_added_is_refused(folders, many, unfinished, tmp_path):
    (tmp_path / "short.txt").write_text(f"{MANY[0]}\n", "utf-8")
    same = ["--output", unfinished, *UNFINISHED, "--resume"]
    with pytest.raises(ValueError, match=r"short\.txt has changed"):
        run(folders / "gru", tmp_path / "short.txt", *same)
    (tmp_path / "long.txt").write_text(f"{'dog ' * 300}\n{many.read_text('utf-8')}", "utf-8")
    with pytest.raises(ValueError, match=r"long\.txt has changed"):
        run(folders / "gru", tmp_path / "long.txt", *same)


def test_long_lines_are_cut_and_named(folders, tmp_path, capsys):
    path = tmp_path / "long.txt"
    path.write_text(f"a dog\n{'dog ' * 2000}\na cat\n", "utf-8")
    tokenizer = AutoTokenizer.from_pretrained(folders / "gru")
    tokenizer.model_max_length = 64
    make_model(tokenizer).save_pretrained(tmp_path / "short")
    tokenizer.save_pretrained(tmp_path / "short")
    run(tmp_path / "short", path, "--num-beams", 1)
    said = capsys.readouterr()
    assert said.out.count("\n") == 3
    assert f"warning: line 2 of {path} has 2,001 tokens: truncated to 64." in said.err
    run(folders / "gru", path, "--num-beams", 1, "--max-source-tokens", 3)
    assert capsys.readouterr().err.count("warning") == 1


def test_empty_input_is_empty_output(folders, tmp_path, capsys):
    (tmp_path / "empty.txt").touch()
    run(folders / "gru", tmp_path / "empty.txt", "--output", tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_bytes() == b""
    assert "empty.txt is empty" in capsys.readouterr().err


@pytest.mark.parametrize(("closed", "told"), [("stdin", "Standard input is closed"), ("stdout", "Standard output is")])
def test_closed_standard_streams_are_told(folders, source, monkeypatch, closed, told):
    monkeypatch.setattr(sys, closed, None)
    with pytest.raises(ValueError, match=told):
        run(folders / "gru", *([] if closed == "stdin" else [source]))


def test_a_line_that_is_not_text_is_named(folders, tmp_path, capsys):
    (tmp_path / "bad.txt").write_bytes("a dog\nune maison en été\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"bad.txt, line 2, is not UTF-8 text \(byte 0xe9 at offset 14\)"):
        run(folders / "gru", tmp_path / "bad.txt")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_not_taken_for_utf_8(folders, tmp_path, encoding):
    (tmp_path / "wide.txt").write_bytes("a dog\nthe cat\n".encode(encoding))
    with pytest.raises(ValueError, match=r"wide.txt, line 1, is not UTF-8 text \(it is full of NUL bytes"):
        run(folders / "gru", tmp_path / "wide.txt")


def test_a_dash_is_standard_input_and_output(folders, tmp_path, expected, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pipe(monkeypatch, "".join(f"{line}\n" for line in LINES).encode())
    run(folders / "gru", "-", "--output", "-")
    assert capsys.readouterr().out.split("\n") == [*expected, ""]
    assert not list(tmp_path.iterdir())
    assert command._told_apart("-", None) == command._told_apart(None, None)


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="the system has no /dev/fd")
def test_a_pipe_by_the_name_of_its_descriptor(folders, source, expected):
    reading, writing = os.pipe()
    run(folders / "gru", source, "--output", f"/dev/fd/{writing}")  # a link to what only this name opens
    os.close(writing)
    with open(reading, encoding="utf-8") as stream:
        assert stream.read().split("\n") == [*expected, ""]


def test_a_batch_greater_than_memory_is_as_much_as_there_is(folders, source, expected, capsys):
    run(folders / "gru", source, "--batch-size", 10**12)
    assert capsys.readouterr().out.split("\n") == [*expected, ""]


@pytest.mark.parametrize(
    ("given", "is_file"),
    [
        *(("U.S.A", False), ("U.S.A.", False), ("u.s/a", False), ("Hello.World", False), ("3.14", False)),
        *(
            ("a.fr", True),
            ("2016.en.gz", True),
            ("a.jsonl", True),
            ("CORPUS.EN", True),
            ("./u", True),
            ("tests/a", True),
        ),
    ],
)
def test_an_abbreviation_is_no_file(given, is_file):
    told = command._told_apart("en-fr-small", given)
    assert (told.text, told.file) == ((None, Path(given)) if is_file else (given, None))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["MODELS/missing", "IN"], "There is no model '.*missing': it is not a folder"),
        (["MODELS/empty", "IN"], "'.*empty' does not contain a trained model: config.json is missing"),
        (["IN", "IN"], "is a file: give the folder of a trained model"),
        (["MODELS/no-tokenizer", "IN"], "'.*no-tokenizer' has no tokenizer: save it there"),
        (["MODELS/gru,MODELS/other", "IN"], "gru' and '.*other' have different tokenizers"),
        (["MODELS/no-attention", "IN", "--alignments"], "no-attention' has no attention: leave out --alignments"),
        (["MODELS/gru,MODELS/no-attention", "IN", "--alignments"], "no-attention' has no attention: leave out"),
        (["MODELS/gru,MODELS/no-attention", "IN", "--replace-unknown"], "no-attention' has no attention: leave out"),
        (["MODELS/gru", "MISSING.en"], "There is no file MISSING.en: check its path"),
        (["nowhere/in.txt"], "There is no model 'nowhere/in.txt': .* There is no file of that name to translate"),
        (["MODELS/gru", "MODELS"], "is a folder: give a file in it"),
        (["MODELS/gru", "DAMAGED"], "damaged.gz cannot be decompressed"),
        (["MODELS/gru", "IN", "--output", "IN"], "is both input and output"),
        (["MODELS/gru", "IN", "--output", "MODELS"], "is a folder: give the name of a file to write"),
        (
            ["MODELS/gru", "IN", "--output", "nowhere/out"],
            "nowhere/out cannot be written: create its folder, nowhere, first",
        ),
        (
            ["MODELS/gru", "IN", "--n-best", "7", "--num-beams", "5"],
            "--n-best 7 needs at least as many beams: --num-beams is 5",
        ),
        (["MODELS/gru", "IN", "--num-beams", "0"], "--num-beams is 0: it must be at least 1"),
        (["MODELS/gru", "IN", "--length-penalty", "nan"], "--length-penalty is nan: it must be a number"),
        (["MODELS/gru", "IN", "--length-penalty", "1e30"], "--length-penalty is 1e\\+30: it must be a number from"),
        (["MODELS/gru", "IN", "--device", "meta"], "The device 'meta' is not available"),
        (["", "IN"], "The name of the model is empty"),
        (["MODELS/gru,", "IN"], "The name of the model is empty"),
        (
            ["MODELS/gru", "IN", "--attention-layer", "0"],
            "only applies to --alignments and --replace-unknown: add one",
        ),
        (["MODELS/gru", "IN", "--resume"], "--resume needs a FILE and an --output"),
        (["MODELS/gru", "IN", "--dictionary", "IN"], "--dictionary needs --replace-unknown"),
        (["MODELS/gru", "IN", "--device", "abacus"], "The device 'abacus' is not available"),
        (["MODELS/gru", "IN", "--alignments", "--attention-layer", "3"], "Layer 3 does not exist"),
    ],
)
def test_wrong_use_is_told_in_a_sentence(folders, source, tmp_path, arguments, sentence):
    damaged = tmp_path / "damaged.gz"
    damaged.write_bytes(gzip.compress(b"a dog\n" * 100)[:-12])
    names = {"MODELS": str(folders), "IN": str(source), "DAMAGED": str(damaged)}
    before = source.read_bytes()
    for name, path in names.items():
        arguments = [argument.replace(name, path) if argument != "MISSING.en" else argument for argument in arguments]
    with pytest.raises((ValueError, OSError), match=sentence):
        run(*arguments)
    assert source.read_bytes() == before
