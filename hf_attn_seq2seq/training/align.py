# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Align the words of texts and their translations, in Pharaoh format, or measure the alignment error rate on gold."""

import argparse
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.progress import track

from hf_attn_seq2seq.console import make_console, run_command
from hf_attn_seq2seq.data.links import to_pharaoh
from hf_attn_seq2seq.data.readers import read_lines
from hf_attn_seq2seq.data.words import Words, cut_words, join_words, running_text, split_words
from hf_attn_seq2seq.decoding.alignment import agreeing_readouts, align_corpus
from hf_attn_seq2seq.decoding.files import STANDARD, Output, open_text, read_blocks, refuse_overwriting
from hf_attn_seq2seq.decoding.loading import load_aligner
from hf_attn_seq2seq.decoding.names import PACKAGED, resolve
from hf_attn_seq2seq.decoding.readout import Aligner, Alignment, Readout, save_readout
from hf_attn_seq2seq.evaluation.alignment import AlignmentScores, alignment_error_rate, score_readouts
from hf_attn_seq2seq.evaluation.gold import GoldLinks, read_gold, read_gold_links
from hf_attn_seq2seq.training.parsers import SYMMETRISATION, align_parser
from hf_attn_seq2seq.training.recipe import RECIPE_FILE, load_recipe, read_languages, refuse_same_direction
from hf_attn_seq2seq.writing import sole_output, whole_file


Pair = tuple[Words, Words]

READING = ("layer", "head", "shift", "end_token", "threshold")  # fields of `Readout`, and options


def run(options: argparse.Namespace) -> None:
    """Align, and write the links or evaluate them."""
    for name in ("source", "output"):
        if getattr(options, name) == Path(STANDARD):
            setattr(options, name, None)
    _check(options)
    if options.source is None and options.target is not None:
        raise ValueError("Standard input holds source<TAB>target lines: name no target beside it.")
    options.model, options.backward = resolve(options.model), options.backward and resolve(options.backward)
    changes = {name: getattr(options, name) for name in READING}
    forward = load_aligner(options.model, **changes)
    backward = load_aligner(options.backward, **changes) if options.backward else None
    if options.backward:
        refuse_same_direction(read_languages(options.model), options.backward)
    gold: list[GoldLinks] | None = None
    if options.gold and options.source is None:
        languages = _languages(options)
        gold_pairs = read_gold(options.gold, *languages)
        gold = [pair.links for pair in gold_pairs]
        cut = _word_cutters(options) if options.words else _joining(running_text, languages)
        texts: Iterator[tuple[str, str]] = ((" ".join(pair.source), " ".join(pair.target)) for pair in gold_pairs)
    else:
        gold = read_gold_links(options.gold) if options.gold else None
        cut = _word_cutters(options)
        texts = _read_texts(options.source, options.target)
    pairs: Iterator[Pair] = ((cut[0](source), cut[1](target)) for source, target in texts)
    if gold is not None:
        pairs = _within(pairs, gold, options.gold)
    if options.choose:
        _choose(options, forward, backward, list(pairs), gold)
        return
    alignments = align_corpus(
        pairs, forward, backward, method=options.symmetrisation or SYMMETRISATION, batch_size=options.batch_size
    )
    progress = make_console(stderr=True)
    shown = track(alignments, "aligning", console=progress, disable=not progress.is_terminal, transient=True)
    if gold is not None:
        scores = _score([alignment.links for alignment in shown], gold)
        print(_sentence(scores))
        return
    with _writer(options.output) as write:
        for alignment in shown:
            write(_line(alignment, options.confidence, options.show_words) + "\n")


def _check(options: argparse.Namespace) -> None:
    """Refuse options that would have no effect or do harm."""
    refuse_overwriting(options.output, options.source, options.target, options.gold)
    if options.output:
        Output(options.output)  # refuses a folder, and a file in a missing folder
    if options.shift not in (None, 0, 1):
        raise ValueError(f"--shift is {options.shift}: give 0, the step that predicts a word, or 1, the next step.")
    for name in ("output", "confidence", "show_words"):
        if getattr(options, name) and (options.gold or options.choose):
            raise ValueError(
                f"--{name.replace('_', '-')} has no effect with --gold or --choose, which write no links: leave it "
                "out."
            )
    if options.symmetrisation and not options.backward:
        raise ValueError(
            "--symmetrisation combines the links of two directions: give the other direction's model with --backward."
        )
    if options.choose:
        for name in (*READING, "symmetrisation"):
            if getattr(options, name) is not None:
                raise ValueError(
                    f"--choose tries all ways to read the attention of each model, so --{name.replace('_', '-')} "
                    "would have no effect: leave it out."
                )
        for name in (options.model, options.backward):
            if name and Path(resolve(name)).parent == PACKAGED:
                raise ValueError(
                    f"'{name}' is included in this package: copy '{resolve(name)}' and run --choose on the copy."
                )


@contextmanager
def _writer(path: Path | None) -> Iterator[Callable[[str], Any]]:
    """Writes to a file, locked for this run, that appears when it is complete; or to standard output."""
    if path is None:
        if sys.stdout is None:
            raise ValueError("Standard output is closed: name a file by --output.")
        yield sys.stdout.write
        return
    with sole_output(path), whole_file(path) as partial, open_text(partial, path.suffix) as file:
        yield file.write


def _within(pairs: Iterator[Pair], gold: Sequence[GoldLinks], path: Path) -> Iterator[Pair]:
    """Yield the pairs, after checking that their gold links do not exceed their words."""
    for number, pair in enumerate(pairs, start=1):
        sizes = [len(side.words()) for side in pair]
        for i, j in sorted(gold[number - 1].possible) if number <= len(gold) else []:
            if i >= sizes[0] or j >= sizes[1]:
                raise ValueError(
                    f"{path}, pair {number}: the link {i}-{j} is outside its {sizes[0]} and {sizes[1]} words, which "
                    "are counted from 0: check --words."
                )
        yield pair


def _languages(options: argparse.Namespace) -> list[str]:
    """The languages of source and target."""
    languages = options.languages
    if not languages and (Path(options.model) / RECIPE_FILE).is_file():
        data = load_recipe(options.model).data
        languages = [data.source_language, data.target_language]
    if not languages or None in languages:
        raise ValueError("The languages are unknown: give them, as in --languages en fr.")
    return languages


def _word_cutters(options: argparse.Namespace) -> list[Callable[[str], Words]]:
    """The functions that split source and target into words."""
    if options.words == "joined":
        return _joining(join_words, _languages(options))
    return [cut_words if options.words == "running" else split_words] * 2


def _joining(join: Callable[[list[str], str], Words], languages: Sequence[str]) -> list[Callable[[str], Words]]:
    return [lambda text, code=code: join(text.split(), code) for code in languages]  # type: ignore[misc]


def _read_texts(source: Path | None, target: Path | None) -> Iterator[tuple[str, str]]:
    """Pairs from two files, one file of columns, or standard input."""
    if target is not None:
        sides = [read_lines(source), read_lines(target)]
        for number, pair in enumerate(itertools.zip_longest(*sides)):
            if None in pair:
                longer, shorter = (source, target) if pair[1] is None else (target, source)
                more = 1 + sum(1 for _ in sides[pair[0] is None])
                raise ValueError(
                    f"'{longer}' has {number + more} lines but '{shorter}' has {number}: give two files with the same "
                    "number of lines."
                )
            yield str(pair[0]), str(pair[1])
        return
    name = source or "standard input"
    typed = (line for block in read_blocks(None, 1 << 16) for line in block.lines)
    lines = typed if source is None else read_lines(source)
    for number, line in enumerate(lines, start=1):
        cells = line.split("\t")
        if len(cells) < 2:
            raise ValueError(f"{name}, line {number}, has no tab: give source and target separated by a tab.")
        yield cells[0], cells[1]


def _choose(
    options: argparse.Namespace,
    forward: Aligner,
    backward: Aligner | None,
    pairs: list[Pair],
    gold: list[GoldLinks] | None,
) -> None:
    """Find the best way to read each model's attention, print it, and save it in the model's folder."""
    if gold is None:
        if backward is None:
            raise ValueError("--choose needs --gold, or --backward and texts.")
        best = agreeing_readouts(forward, backward, pairs, batch_size=options.batch_size)
        chosen = [(options.model, best.forward), (options.backward, best.backward)]
        print(f"agreement {best.agreement:.3f} on {len(pairs)} pairs")
    else:
        chosen = []
        sides = [(options.model, forward, pairs, gold)]
        if backward is not None:
            there = [(target, source) for source, target in pairs]
            flipped = [links.turned() for links in gold]
            sides.append((options.backward, backward, there, flipped))
        for folder, aligner, texts, links in sides:
            table = score_readouts(aligner.model, aligner.tokenizer, texts, links, batch_size=options.batch_size)
            for one in table[:5]:
                print(f"{folder}: {_sentence(one.scores)}  {_describe(one.readout)}")
            chosen.append((folder, table[0].readout))
    for folder, readout in chosen:
        print(f"{_describe(readout)} -> {save_readout(readout, folder)}")


def _score(links: Sequence[frozenset[tuple[int, int]]], gold: Sequence[GoldLinks]) -> AlignmentScores:
    return alignment_error_rate(links, [one.sure for one in gold], [one.possible for one in gold])


def _sentence(scores: AlignmentScores) -> str:
    return (
        f"AER {100 * scores.error_rate:.2f} %  precision {100 * scores.precision:.2f} %  recall "
        f"{100 * scores.recall:.2f} %  ({scores.count} pairs, {scores.predicted} links, {scores.sure} sure)"
    )


def _describe(readout: Readout) -> str:
    head = "mean of heads" if readout.head is None else f"head {readout.head}"
    return f"layer {readout.layer}, {head}, shift {readout.shift}, end token {readout.end_token}"


def _line(alignment: Alignment, confidence: bool, show_words: bool) -> str:
    if confidence:
        links = " ".join(f"{i}-{j}:{weight:.3f}" for (i, j), weight in alignment.confidences().items())
    else:
        links = to_pharaoh(alignment.links)
    if not show_words:
        return links
    return " ||| ".join([" ".join(alignment.source.words()), " ".join(alignment.target.words()), links])


def main(arguments: list[str] | None = None) -> None:
    options = align_parser().parse(arguments)
    run_command(lambda: run(options))


if __name__ == "__main__":
    run_command(main)
