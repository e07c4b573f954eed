# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The command `align`: its inputs, its outputs, its figures, and one sentence for each mistake."""

import bz2
import gzip
import io
import json
import lzma
import os
import shutil
from pathlib import Path

import pytest

from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer
from hf_attn_seq2seq.data.words import split_words
from hf_attn_seq2seq.decoding import Readout, align, load_readout
from hf_attn_seq2seq.decoding.loading import load_aligner
from hf_attn_seq2seq.evaluation import to_pharaoh
from hf_attn_seq2seq.training.align import main
from hf_attn_seq2seq.training.recipe import load_recipe, save_recipe
from tests.helpers import tiny_model


PAIRS = [("the cat, it sleeps .", "le chat, il dort ."), ("a dog", "un chien"), ("the man's dog", "l'homme dort")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two untrained models, one a direction."""
    folder = tmp_path_factory.mktemp("models")
    tokenizer = train_tokenizer([text for pair in PAIRS for text in pair], kind="bpe", vocab_size=280)
    for seed, name in enumerate(("en-fr", "fr-en")):
        tiny_model(seed, scale=3.0, vocab_size=len(tokenizer)).save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
        languages = name.split("-")
        fields = [f"data.{side}_language={code}" for side, code in zip(("source", "target"), languages)]
        save_recipe(load_recipe(None, fields), folder / name)
    (folder / "text.en").write_text("\n".join(source for source, _ in PAIRS) + "\n", "utf-8")
    with gzip.open(folder / "text.fr.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(target for _, target in PAIRS) + "\n")
    (folder / "text.tsv").write_text("".join(f"{source}\t{target}\tmore\n" for source, target in PAIRS), "utf-8")
    return folder


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[str]:
    main([str(argument) for argument in arguments])
    return capsys.readouterr().out.splitlines()


def test_links_are_counted_in_words_between_spaces_whatever_the_input(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    aligner = load_aligner(folder / "en-fr")
    pairs = [(split_words(source), split_words(target)) for source, target in PAIRS]
    expected = [to_pharaoh(links) for links in align(aligner.model, aligner.tokenizer, pairs)]
    assert said(capsys, folder / "en-fr", folder / "text.en", folder / "text.fr.gz") == expected
    assert said(capsys, folder / "en-fr", folder / "text.tsv") == expected
    typed = "".join(f"{source}\t{target}\n" for source, target in PAIRS).encode()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(typed)))
    assert said(capsys, folder / "en-fr") == expected
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(typed)))
    monkeypatch.chdir(tmp_path)
    assert said(capsys, folder / "en-fr", "-", "--output", "-") == expected
    assert not list(tmp_path.iterdir())
    assert said(capsys, folder / "en-fr", folder / "text.tsv", "--output", tmp_path / "links") == []
    assert (tmp_path / "links").read_text().splitlines() == expected
    for name, opener in (
        ("links.gz", gzip.open),
        ("links.xz", lzma.open),
        ("links.bz2", bz2.open),
    ):  # as its name says
        said(capsys, folder / "en-fr", folder / "text.tsv", "--output", tmp_path / name)
        with opener(tmp_path / name, "rt", encoding="utf-8") as file:
            assert file.read().splitlines() == expected


def test_the_former_name_of_words_between_spaces_still_works(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [str(folder / "en-fr"), str(folder / "text.tsv"), "--show-words", "--words"]
    expected = said(capsys, *given, "whitespace")
    assert said(capsys, *given, "running") != expected
    main([*given, "blanks"])
    out, err = capsys.readouterr()
    assert out.splitlines() == expected
    assert err == "warning: --words blanks is now called --words whitespace: please use the new name.\n"
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "--words {whitespace,running,joined}" in capsys.readouterr().out


def test_words_and_confidences_can_be_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, *_ = said(
        capsys, folder / "en-fr", folder / "text.tsv", "--words", "running", "--show-words", "--confidence"
    )
    source, target, links = first.split(" ||| ")
    assert source == "the cat , it sleeps ."
    assert target == "le chat , il dort ."
    assert len(links.split()) == 6
    for link in links.split():
        pair, _, weight = link.partition(":")
        assert 0 < float(weight) <= 1
        assert int(pair.split("-")[0]) < 6


def test_both_directions_and_how_they_are_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = ("--backward", folder / "fr-en", "--symmetrisation")
    plain = said(capsys, folder / "en-fr", folder / "text.tsv")
    union = said(capsys, folder / "en-fr", folder / "text.tsv", *both, "union")
    intersection = said(capsys, folder / "en-fr", folder / "text.tsv", *both, "intersection")
    for one, more, fewer in zip(plain, union, intersection):
        assert set(fewer.split()) <= set(one.split()) <= set(more.split())
    assert union != intersection
    all_pairs = said(capsys, folder / "en-fr", "--threshold", "1e-12", folder / "text.tsv")
    assert all_pairs[1] == "0-0 0-1 1-0 1-1"


def gold_file(folder: Path, path: Path, readout: Readout) -> Path:
    """Gold that the model's own links agree with, read in one way."""
    aligner = load_aligner(folder / "en-fr")
    with path.open("w", encoding="utf-8") as file:
        for source, target in PAIRS[1:]:
            pair = (split_words(source), split_words(target))
            (links,) = align(aligner.model, aligner.tokenizer, [pair], readout=readout)
            file.write(json.dumps({"en": source, "fr": target, "sure": sorted(links), "possible": []}) + "\n")
    return path


def test_error_rate_against_gold(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    gold = gold_file(folder, tmp_path / "gold.jsonl", Readout(end_token="excluded"))
    every_word = ("--end-token", "excluded")
    (line,) = said(capsys, folder / "en-fr", "--gold", gold, *every_word)
    assert line == "AER 0.00 %  precision 100.00 %  recall 100.00 %  (2 pairs, 4 links, 4 sure)"
    (tmp_path / "text.tsv").write_text("".join(f"{source}\t{target}\n" for source, target in PAIRS[1:]))
    # One wrong, one possible: A = 4, S = 1: of the links of both lines, two are possible and one is sure.
    own = said(capsys, folder / "en-fr", tmp_path / "text.tsv", *every_word)
    links = own[0].split()
    (tmp_path / "links").write_text(f"{links[0]} {links[1].replace('-', 'p')}\n\n")
    (line,) = said(capsys, folder / "en-fr", tmp_path / "text.tsv", "--gold", tmp_path / "links", *every_word)
    assert line == "AER 40.00 %  precision 50.00 %  recall 100.00 %  (2 pairs, 4 links, 1 sure)"


def test_gold_of_a_language_without_rules_for_joining_is_read_word_by_word(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    aligner = load_aligner(folder / "en-fr")
    pair = (split_words("a dog"), split_words("ein Hund"))
    (links,) = align(aligner.model, aligner.tokenizer, [pair], readout=Readout(end_token="excluded"))
    gold = tmp_path / "gold.jsonl"
    gold.write_text(json.dumps({"en": "a dog", "de": "ein Hund", "sure": sorted(links), "possible": []}) + "\n")
    (line,) = said(capsys, folder / "en-fr", "--gold", gold, "--languages", "en", "de", "--end-token", "excluded")
    assert line.startswith("AER 0.00 %")


def test_the_best_way_to_read_is_found_and_kept(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    wanted = Readout(layer=0, shift=1, end_token="competes")
    gold = gold_file(folder, tmp_path / "gold.jsonl", wanted)
    try:
        lines = said(capsys, folder / "en-fr", "--gold", gold, "--choose")
        assert "AER 0.00 %" in lines[0]
        assert load_readout(folder / "en-fr").shift == 1
        assert said(capsys, folder / "en-fr", "--gold", gold)[0].startswith("AER 0.00 %")
        assert not said(capsys, folder / "en-fr", "--gold", gold, "--shift", 0)[0].startswith("AER 0.00 %")

        lines = said(capsys, folder / "en-fr", folder / "text.tsv", "--backward", folder / "fr-en", "--choose")
        assert lines[0].startswith("agreement 0.")
        assert {path.parent.name for path in folder.glob("*/alignment.json")} == {"en-fr", "fr-en"}
    finally:
        for path in folder.glob("*/alignment.json"):
            path.unlink()


def test_a_packaged_model_is_known_by_its_name(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    gold = tmp_path / "gold.jsonl"
    pair = {"en": "The cat sleeps .", "fr": "Le chat dort .", "sure": [[0, 0], [1, 1], [2, 2]], "possible": [[3, 3]]}
    gold.write_text(json.dumps(pair) + "\n", "utf-8")
    (line,) = said(capsys, "en-fr-small", "--gold", gold)  # its languages are told by its recipe
    assert "(1 pairs, " in line
    (tmp_path / "text.tsv").write_text("The cat sleeps .\tLe chat dort .\n")
    assert len(said(capsys, "en-fr-small", tmp_path / "text.tsv", "--words", "joined")) == 1


def test_a_failed_run_leaves_an_older_output(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "links"
    output.write_text("older\n")
    (tmp_path / "bad.tsv").write_bytes(b"a\tb\n\xe9\tc\n")
    with pytest.raises(SystemExit):
        main([str(folder / "en-fr"), str(tmp_path / "bad.tsv"), "--output", str(output)])
    assert output.read_text() == "older\n"
    assert {path.name for path in tmp_path.iterdir()} == {"links", "bad.tsv"}
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("été\td\n".encode("latin-1"))))
    with pytest.raises(SystemExit):
        main([str(folder / "en-fr")])
    assert "standard input, line 1, is not UTF-8 text" in capsys.readouterr().err


def test_an_output_may_be_a_symbolic_link_or_a_pipe(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    links, pipe = tmp_path / "links", tmp_path / "pipe"
    links.symlink_to(tmp_path / "file")
    os.mkfifo(pipe)
    expected = said(capsys, folder / "en-fr", folder / "text.tsv")
    with open(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)) as piped:
        for output in (links, pipe):
            said(capsys, folder / "en-fr", folder / "text.tsv", "--output", output)
        assert (tmp_path / "file").read_text().splitlines() == piped.read().splitlines() == expected
    assert {path.name for path in tmp_path.iterdir()} == {"links", "file", "pipe"}
    assert links.is_symlink()
    assert pipe.is_fifo()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "text.tsv"], "There is no model 'nowhere'"),
        (["en-fr", "missing.tsv"], "There is no file"),
        (["en-fr", "text.en"], "text.en, line 1, has no tab"),
        (["en-fr", "text.en", "short.fr"], "has 3 lines but 'short.fr' has 1: give two files"),
        (["en-fr", "short.fr", "text.en"], "'text.en' has 3 lines but 'short.fr' has 1"),
        (["en-fr", "latin.tsv"], "latin.tsv, line 2, is not UTF-8"),
        (["en-fr", "text.tsv", "--layer", "1"], "Layer 1 does not exist: the decoder has 1"),
        (["en-fr", "text.tsv", "--shift", "-1"], "--shift is -1: give 0"),
        (["en-fr", "text.tsv", "--shift", "5"], "--shift is 5: give 0"),
        (["en-fr", "-", "text.en"], "Standard input holds source<TAB>target lines: name no target beside it"),
        (
            ["en-fr", "text.tsv", "--backward", "en-fr"],
            "'en-fr' translates en to fr, as the model does: name one that translates fr to en",
        ),
        (["en-fr", "text.tsv", "--symmetrisation", "union"], "give the other direction's model with --backward"),
        (["en-fr", "text.tsv", "--gold", "one.gold", "--confidence"], "--confidence has no effect with --gold"),
        (["en-fr", "text.tsv", "--gold", "one.gold", "--output", "links"], "--output has no effect with --gold"),
        (
            ["en-fr", "text.tsv", "--gold", "past.gold"],
            "past.gold, pair 2: the link 0-9 is outside its 2 and 2 words",
        ),
        (["en-fr-small", "--gold", "text.tsv", "--choose"], "'en-fr-small' is included in this package: copy"),
        (["en-fr", "--gold", "text.tsv", "--choose", "--layer", "0"], "--choose tries all ways to read the attention"),
        (["en-fr", "--gold", "text.tsv", "--choose", "--head", "0"], "--head would have no effect: leave it out"),
        (["en-fr", "--gold", "text.tsv", "--choose", "--shift", "1"], "--shift would have no effect"),
        (["en-fr", "--gold", "text.tsv", "--choose", "--end-token", "excluded"], "--end-token would have no effect"),
        (["en-fr", "--gold", "text.tsv", "--choose", "--threshold", "0.5"], "--threshold would have no effect"),
        (
            ["en-fr", "text.tsv", "--backward", "fr-en", "--choose", "--symmetrisation", "union"],
            "--symmetrisation would have no effect",
        ),
        (["en-fr", "text.tsv", "--choose"], "--choose needs --gold, or --backward"),
        (["en-fr", "--gold", "text.tsv"], "line 1: this is not JSON"),
        (["en-fr", "text.tsv", "--gold", "text.tsv"], "is not a link"),
        (["en-fr", "text.tsv", "--gold", "one.gold"], "3 predicted, 1 sure"),
        (
            ["en-fr", "text.tsv", "--words", "joined", "--languages", "en", "de"],
            "Words of language 'de' cannot be joined",
        ),
        (
            ["en-fr", "text.tsv", "--output", "missing/links"],
            "missing/links cannot be written: create its folder, missing, first",
        ),
        (["en-fr", "text.tsv", "--output", "."], ". is a folder: give the name of a file to write"),
        (["en-fr", "text.tsv", "--output", "text.tsv"], "text.tsv is both input and output"),
        (["en-fr", "text.en", "text.fr.gz", "--output", "text.fr.gz"], "text.fr.gz is both input and output"),
        (["nameless", "--gold", "text.tsv"], "The languages are unknown: give them, as in --languages en fr"),
        (["en-fr", "text.tsv", "--batch-size", "0"], "batch_size=0 must be at least 1"),
    ],
)
def test_one_sentence_for_each_mistake(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(folder)
    Path("short.fr").write_text("un chien\n")
    Path("latin.tsv").write_bytes("a\tb\né\té\n".encode("latin-1"))
    Path("one.gold").write_text("0-0\n")
    Path("past.gold").write_text("0-0\n0p9\n\n")
    shutil.copytree("en-fr", "nameless", ignore=shutil.ignore_patterns("recipe.yaml"), dirs_exist_ok=True)
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
