# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Measure a trained model: translate its validation and test sets, score them, and write figures and model card."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from hf_attn_seq2seq.console import CommandParser, make_console, run_command
from hf_attn_seq2seq.data.readers import InputFile
from hf_attn_seq2seq.decoding.files import Output, refuse_overwriting
from hf_attn_seq2seq.decoding.loading import load_translator
from hf_attn_seq2seq.evaluation.comparison import paired_bootstrap
from hf_attn_seq2seq.evaluation.metrics import METRICS, score_corpus
from hf_attn_seq2seq.evaluation.model_card import CARD_FILE, score_rows, show_score, signatures
from hf_attn_seq2seq.evaluation.results import RESULTS_FILE, CorpusResult, as_json, command_line, measure_corpus
from hf_attn_seq2seq.training.fit import working_in
from hf_attn_seq2seq.training.measure import evaluate_model, translate_set, write_lines
from hf_attn_seq2seq.training.recipe import RECIPE_FILE, Recipe, load_recipe
from hf_attn_seq2seq.training.train import add_recipe_arguments
from hf_attn_seq2seq.writing import sole_output, write_text, writing


EXAMPLES = """examples:
  hf-attn-seq2seq evaluate outputs/multi30k_en_fr
  hf-attn-seq2seq evaluate outputs/multi30k_en_fr --set validation
  hf-attn-seq2seq evaluate outputs/multi30k_en_fr --source news.en --reference news.fr --reference news2.fr
  hf-attn-seq2seq evaluate --hypotheses a.fr --hypotheses b.fr --reference news.fr data.target_language=fr
"""


def read_lines(path: Path) -> list[str]:
    """
    The lines of a text file, plain or compressed.

    Raises:
        ValueError: There is no such file, or it is empty or not UTF-8; the sentence names it, and the line.
    """
    file = InputFile(path)
    try:
        lines = list(file.lines())
    finally:
        file.close()
    if None in lines:
        raise ValueError(file.wrong_encoding(lines.index(None) + 1))
    return lines


def read_references(paths: Sequence[Path], count: int, of: Path) -> list[list[str]]:
    """The references of each of `count` lines; a blank line is no reference, but the first file has one for each."""
    columns = []
    for path in paths:
        lines = read_lines(path)
        if len(lines) != count:
            longer, by = (path, len(lines) - count) if len(lines) > count else (of, count - len(lines))
            raise ValueError(f"{path} has {len(lines)} lines and {of} has {count}: {longer} is {by} longer.")
        columns.append(lines)
    for number, text in enumerate(columns[0], start=1):
        if not text.strip():
            raise ValueError(f"{paths[0]}, line {number}, is blank: every sentence needs a reference.")
    return [[text for text in texts if text.strip()] for texts in zip(*columns)]


def print_results(sets: dict[str, Any], console: Console) -> None:
    """A table of the figures, a column for each set, and how they were computed."""
    rows = score_rows(sets)
    table = Table("", *(row.title for row in rows))
    table.add_row("sentences", *(f"{row.sentences:,}" for row in rows))
    table.add_row("references", *(f"{row.references:,}" for row in rows))
    for metric in rows[0].scores:
        table.add_row(METRICS[metric].title, *(show_score(row.scores[metric]) for row in rows))
    console.print(table)
    console.print("\n".join(signatures(rows)), style="dim", highlight=False, markup=False, soft_wrap=True)


def print_alignment(name: str, figures: dict[str, Any], console: Console) -> None:
    console.print(
        f"Word alignment of {name}: AER {figures['aer']:.1f} %, precision {figures['precision']:.1f} %, "
        f"recall {figures['recall']:.1f} % ({figures['sentences']} pairs).",
        highlight=False,
        soft_wrap=True,
    )


def evaluate_files(
    recipe: Recipe, model: str, source: Path, references: Sequence[Path], output: Path | None, console: Console
) -> None:
    """Translate and score files given by hand; with `output`, write the translations there."""
    refuse_overwriting(output, source, *references)
    if output:
        Output(output)  # refuses a folder, and a file in none, before anything is translated
    sources = read_lines(source)
    several = read_references(references, len(sources), source)
    with sole_output(output) if output else nullcontext():
        translator = load_translator([model])
        with console.status(f"Translating {len(sources)} sentences ..."):
            hypotheses = translate_set(translator, sources, recipe.evaluation)
        result = measure_corpus(sources, hypotheses, several, recipe.evaluation, recipe.data.target_language)
        print_results({source.name: as_json(result)}, console)
        if output:
            write_lines(output, hypotheses)


def compare_files(recipe: Recipe, hypotheses: Sequence[Path], references: Sequence[Path], console: Console) -> None:
    """Score one system's translations, or two systems' and their difference, given as files."""
    if len(hypotheses) > 2:
        raise ValueError(f"Two systems can be compared, not {len(hypotheses)}: give --hypotheses twice.")
    if len(set(hypotheses)) < len(hypotheses):
        raise ValueError(f"{hypotheses[0]} would be compared with itself: name two files.")
    systems = [read_lines(path) for path in hypotheses]
    several = read_references(references, len(systems[0]), hypotheses[0])
    settings, language = recipe.evaluation, recipe.data.target_language
    sets = {}
    for path, texts in zip(hypotheses, systems):
        if len(texts) != len(systems[0]):
            raise ValueError(f"{hypotheses[0]} has {len(systems[0])} lines and {path} has {len(texts)}: give as many.")
        scores = score_corpus(
            texts, several, settings.metrics, language=language, bootstrap_samples=settings.bootstrap_samples
        )
        sets[str(path)] = as_json(CorpusResult(len(texts), sum(map(len, several)), scores))
    compared = {}
    if len(systems) == 2:  # before anything is printed, for one sentence is refused
        samples = settings.bootstrap_samples or 1000
        compared = paired_bootstrap(
            systems[0], systems[1], several, settings.metrics, language=language, samples=samples
        )
    print_results(sets, console)
    if compared:
        table = Table("metric", "difference", "95 % interval", "p", title=f"{hypotheses[1]} - {hypotheses[0]}")
        for name, one in compared.items():
            low, high = one.interval
            table.add_row(
                METRICS[name].title, f"{one.difference:+.2f}", f"[{low:+.2f}, {high:+.2f}]", f"{one.p_value:.4f}"
            )
        console.print(table)


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser(description=__doc__, epilog=EXAMPLES)
    add_recipe_arguments(parser)
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME", help="measure this set only (validation, or a test set)"
    )
    parser.add_argument("--source", type=Path, metavar="FILE", help="translate and score this file instead")
    parser.add_argument(
        "--reference", type=Path, action="append", default=[], metavar="FILE", help="its translation; may be repeated"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="where translations of --source are written")
    parser.add_argument(
        "--hypotheses",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="score translations; given twice, compare two systems",
    )
    parser.add_argument("--card", type=Path, metavar="FILE", help="write the model card to this file too")
    return parser


class Found(NamedTuple):
    recipe: Recipe
    model: str | None  # a folder, or a name on the Hub


# What a trained model can still be measured with; the rest of its recipe is what it was trained by.
CHANGEABLE = ("evaluation.", "evaluation=", "card.", "card=", "data.folder=", "data.target_language=", "output=")


def find_model(arguments: Sequence[str]) -> Found:
    """
    The trained model that the command line names, itself or by its recipe; without a recipe, the default one.

    The recipe is the one that the model was trained by, which lies in its folder, with the section `evaluation` as it
    is given now, and what is said to the card's reader, which may be written after the training.
    """
    names = [argument for argument in arguments if "=" not in argument]
    overrides = [argument for argument in arguments if "=" in argument]
    if len(names) > 1:
        raise ValueError(f"Name one model, not {len(names)}; fields are section.field=value.")
    for override in overrides:
        if not override.startswith(CHANGEABLE):
            raise ValueError(
                f"'{override}' does not change how a model is measured: set fields of evaluation, or of card."
            )
    if not names:
        return Found(load_recipe(None, overrides), None)
    path = Path(names[0])
    if not path.is_file() and path.suffix not in (".yaml", ".yml"):
        return Found(load_recipe(path if (path / RECIPE_FILE).is_file() else None, overrides), names[0])
    given = load_recipe(path, overrides)
    if not (given.output / RECIPE_FILE).is_file():
        return Found(given, str(given.output))
    trained = load_recipe(
        given.output, [override for override in overrides if override.startswith("data.target_language=")]
    )
    data = trained.data.model_copy(update={"folder": given.data.folder})
    said = {name: getattr(given, name) for name in ("description", "notes", "license", "card")}
    changed = {"data": data, "evaluation": given.evaluation, **said}
    return Found(trained.model_copy(update=changed), str(given.output))


def run(options: argparse.Namespace, command: str) -> None:
    console = make_console()
    recipe, model = find_model(options.recipe)
    by_hand = bool(options.source or options.hypotheses)
    if by_hand != bool(options.reference) or (options.source and options.hypotheses):
        raise ValueError("Files to score are named by --reference together with --source, or with --hypotheses.")
    if by_hand and (options.set or options.card):
        raise ValueError(
            "--set and --card are for the sets of a recipe: leave them out with --source or --hypotheses."
        )
    if options.output and not options.source:
        raise ValueError("--output is for the translations of --source: leave it out, or give that.")
    if options.hypotheses:
        compare_files(recipe, options.hypotheses, options.reference, console)
        return
    if model is None:
        raise ValueError("Name the folder of a trained model, or its recipe.")
    if options.source:
        evaluate_files(recipe, model, options.source, options.reference, options.output, console)
        return
    folder = Path(model)
    with working_in(folder) if folder.is_dir() else nullcontext(), writing(folder):
        results, differing = evaluate_model(recipe, folder, names=options.set, command=command, console=console)
    print_results(results["sets"], console)
    for name, figures in results["sets"].items():
        if "alignment" in figures:
            print_alignment(name, figures["alignment"], console)
    if "gold_alignment" in results:
        print_alignment(results["gold_alignment"]["file"], results["gold_alignment"], console)
    if differing:
        console.print(
            f"Nothing was written: {folder / RESULTS_FILE} was measured with other {' and '.join(differing)}. Measure "
            "all sets to replace it.",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        return
    card = folder / CARD_FILE
    if options.card:
        options.card.parent.mkdir(parents=True, exist_ok=True)
        write_text(options.card, card.read_text("utf-8"))
    console.print(
        f"Figures: {folder / RESULTS_FILE}\nModel card: {options.card or card}", markup=False, highlight=False
    )


def main(arguments: list[str] | None = None) -> None:
    given = sys.argv[1:] if arguments is None else arguments
    options = build_parser().parse_intermixed_args(given)
    run_command(lambda: run(options, command_line(["hf-attn-seq2seq", "evaluate", *given])))


if __name__ == "__main__":
    run_command(main)
