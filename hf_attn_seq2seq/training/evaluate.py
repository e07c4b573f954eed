# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Measure a trained model: translate its validation and test sets, score them, and write figures and model card."""

import argparse
import json
import os
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table
from transformers.utils import cached_file

from hf_attn_seq2seq.console import make_console, run_command
from hf_attn_seq2seq.data.readers import InputFile
from hf_attn_seq2seq.decoding.files import Output, refuse_overwriting
from hf_attn_seq2seq.decoding.loaded import quick_engine
from hf_attn_seq2seq.decoding.loading import load_translator
from hf_attn_seq2seq.decoding.names import resolve
from hf_attn_seq2seq.decoding.safety import NO_CODE, weight_files
from hf_attn_seq2seq.evaluation.comparison import paired_bootstrap
from hf_attn_seq2seq.evaluation.metrics import make_metric, score_corpus
from hf_attn_seq2seq.evaluation.model_card import (
    CARD_FILE,
    alignments,
    difference_rows,
    score_rows,
    show_percent,
    show_score,
    signatures,
    table_titles,
)
from hf_attn_seq2seq.evaluation.results import (
    RESULTS_FILE,
    CorpusResult,
    as_json,
    checksums,
    command_line,
    describe_environment,
    measure_corpus,
    names_only,
    write_json,
)
from hf_attn_seq2seq.evaluation.settings import EvaluationSettings
from hf_attn_seq2seq.training.fit import working_in
from hf_attn_seq2seq.training.measure import evaluate_model, settings_record, translate_set, write_lines
from hf_attn_seq2seq.training.parsers import evaluate_parser
from hf_attn_seq2seq.training.recipe import RECIPE_FILE, Recipe, load_recipe
from hf_attn_seq2seq.writing import sole_output, write_text, writing


class Found(NamedTuple):
    recipe: Recipe
    models: list[str]  # packaged, folders, or names on the Hub; several are an ensemble
    trained: bool  # whether the recipe is the model's own


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
    """The references of each of `count` lines; a blank line is no reference, but a file has one for each line."""
    columns: list[list[str]] = []
    for path in paths:
        lines = read_lines(path)
        if len(lines) != count:
            longer, by = (path, len(lines) - count) if len(lines) > count else (of, count - len(lines))
            raise ValueError(f"{path} has {len(lines)} lines and {of} has {count}: {longer} is {by} longer.")
        columns.append(lines)
    for number, texts in enumerate(zip(*columns), start=1):
        if not any(text.strip() for text in texts):
            raise ValueError(f"{paths[0]}, line {number}, is blank: every sentence needs a reference.")
    return [list(texts) for texts in zip(*columns)]


def print_results(sets: dict[str, Any], console: Console) -> None:
    """A table of the figures, a column for each set, and how they were computed."""
    rows = score_rows(sets)
    table = Table("", *(row.title for row in rows))
    table.add_row("sentences", *(f"{row.sentences:,}" for row in rows))
    table.add_row("references", *(f"{row.references:,}" for row in rows))
    for metric, title in zip(rows[0].scores, table_titles(rows)):
        table.add_row(title, *(show_score(row.scores[metric]) for row in rows))
    console.print(table)
    console.print("\n".join(signatures(rows)), style="dim", highlight=False, markup=False, soft_wrap=True)


def print_alignments(results: dict[str, Any], console: Console) -> None:
    """A line for each set or file whose word alignment was measured."""
    for name, figures in alignments(results).items():
        aer, precision, recall = (show_percent(figures[figure]) for figure in ("aer", "precision", "recall"))
        console.print(
            f"Word alignment of {name}: AER {aer}, precision {precision}, recall {recall} ({figures['sentences']} "
            "pairs).",
            highlight=False,
            soft_wrap=True,
        )


def print_comparison(comparison: dict[str, Any], console: Console) -> None:
    """How much another model's scores on the same sets differ from this one's."""
    table = Table("set", "metric", "difference", "95 % interval", "p", title=f"This model - {comparison['name']}")
    for name, compared in comparison["sets"].items():
        for row in difference_rows(compared["metrics"]):
            table.add_row(name, *row)
    console.print(table)


def json_path(given: Path | None, names: Sequence[str], *others: Path | None) -> Path:
    """
    Where figures of files go: a JSON file in the current folder that is named after what was measured, or `given`.

    Raises:
        ValueError: Nothing can be written there, or another file would be lost; before any work is done.
    """
    path = given or Path(".".join(names) + ".results.json")
    Output(path)  # refuses a folder, and a file in none
    if any(other and other.resolve() == path.resolve() for other in others):
        raise ValueError(f"{path} is given twice: name another file with --json.")
    if path.is_file() and "sets" not in _read_json(path):
        raise ValueError(f"{path} is not the result of an evaluation: name another file with --json.")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"{path.parent.resolve()} is not writable: name another place with --json.")
    return path


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def record_of_files(
    recipe: Recipe, settings: EvaluationSettings, language: str | None, files: Sequence[Path], command: str
) -> dict[str, Any]:
    """What else is needed to measure again, as `results.json` has it."""
    sums = [(path.name, checksums([path])[path.name]) for path in files]
    searched = {name: value for name, value in settings_record(settings).items() if name != "alignment"}
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": command,
        "languages": {"source": recipe.data.source_language, "target": language},
        "files": [{"file": name, "sha256": digest} for name, digest in sums],
        "evaluation": names_only(searched),
        **describe_environment(),
    }


def with_own_search(settings: EvaluationSettings, model: Any) -> EvaluationSettings:
    """The settings with the model's own search, where they were not set: of a model that came without a recipe."""
    own = model.generation_config
    found = {"num_beams": own.num_beams, "length_penalty": own.length_penalty, "max_new_tokens": own.max_new_tokens}
    if found["max_new_tokens"] is None and own.max_length:
        found["max_new_tokens"] = own.max_length - 1  # which counts the start token
    unset = {name: value for name, value in found.items() if value and name not in settings.model_fields_set}
    return settings.model_copy(update=unset)


def language_of(tokenizer: Any) -> str | None:
    """The target language that a tokenizer of Marian, mBART or NLLB names."""
    found = (getattr(tokenizer, name, None) for name in ("tgt_lang", "target_lang"))
    return next((language for language in found if isinstance(language, str) and language), None)


def evaluate_files(found: Found, options: argparse.Namespace, command: str, console: Console) -> None:
    """Translate and score files given by hand; the figures are printed, and written as JSON."""
    recipe, models = found.recipe, found.models
    source, references, output = options.source, options.reference, options.output
    refuse_overwriting(output, source, *references)
    if output:
        Output(output)  # refuses a folder, and a file in none, before anything is translated
    names = [Path(resolve(name)).resolve().name for name in models]
    path = json_path(options.json, [source.name, *names], source, *references, output)
    sources = read_lines(source)
    several = read_references(references, len(sources), source)
    with sole_output(output) if output else nullcontext(), sole_output(path):
        translator = load_translator(models)
        if not getattr(translator.model.config, "reads_tokens", True):
            raise ValueError(
                f"'{names[0]}' reads no text, and --source is a file of text: leave it out, to measure the model on "
                "its recipe's sets."
            )
        settings = recipe.evaluation if found.trained else with_own_search(recipe.evaluation, translator.model)
        language = recipe.data.target_language or language_of(translator.tokenizer)
        for metric in settings.metrics:
            make_metric(metric, language)  # refuses before any work is done
        with console.status(f"Translating {len(sources)} sentences ..."):
            engine = quick_engine(translator.model, options.engine)
            started = time.perf_counter()
            hypotheses = translate_set(engine, translator.tokenizer, sources, settings)
            seconds = time.perf_counter() - started
        if output:
            write_lines(output, hypotheses)
        figures = as_json(measure_corpus(sources, hypotheses, several, settings, language))
        figures["translation_seconds"] = round(seconds, 3)
        print_results({source.name: figures}, console)
        weights = [checksums(weight_files(resolve(name), NO_CODE)) for name in models]
        results = {
            "models": [{"name": name, "sha256": sums} for name, sums in zip(names, weights)],
            "parameters": translator.model.num_parameters(),
            **record_of_files(recipe, settings, language, [source, *references], command),
            "sets": {source.name: figures},
        }
        write_figures(path, results, console)


def compare_files(recipe: Recipe, options: argparse.Namespace, command: str, console: Console) -> None:
    """Score one system's translations, or two systems' and their difference, given as files."""
    hypotheses, references = options.hypotheses, options.reference
    if len(hypotheses) > 2:
        raise ValueError(f"Two systems can be compared, not {len(hypotheses)}: give --hypotheses twice.")
    if len(set(hypotheses)) < len(hypotheses):
        raise ValueError(f"{hypotheses[0]} would be compared with itself: name two files.")
    path = json_path(options.json, [file.name for file in hypotheses], *hypotheses, *references)
    systems = [read_lines(file) for file in hypotheses]
    same_name = len({file.name for file in hypotheses}) < len(hypotheses)
    labels = [str(file) if same_name else file.name for file in hypotheses]
    several = read_references(references, len(systems[0]), hypotheses[0])
    settings, language = recipe.evaluation, recipe.data.target_language
    samples = settings.bootstrap_samples
    sets = {}
    for label, file, texts in zip(labels, hypotheses, systems):
        if len(texts) != len(systems[0]):
            raise ValueError(f"{hypotheses[0]} has {len(systems[0])} lines and {file} has {len(texts)}: give as many.")
        if all(" ||| " in text for text in texts):
            raise ValueError(
                f"{file} has ' ||| ' in every line, as translate writes it with --alignments or --n-best: "
                "give a file of translations only."
            )
        scores = score_corpus(texts, several, settings.metrics, target_language=language, bootstrap_samples=samples)
        sets[label] = as_json(CorpusResult(len(texts), sum(map(len, several)), scores))
    results: dict[str, Any] = {
        **record_of_files(recipe, settings, language, [*hypotheses, *references], command),
        "sets": sets,
    }
    compared = {}
    if len(systems) == 2:  # before anything is printed, for one sentence is refused
        compared = paired_bootstrap(
            systems[0], systems[1], several, settings.metrics, target_language=language, samples=samples or 1000
        )
        results["comparison"] = {
            "baseline": labels[0],
            "system": labels[1],
            "metrics": {name: asdict(one) for name, one in compared.items()},
        }
    print_results(sets, console)
    if compared:
        table = Table("metric", "difference", "95 % interval", "p", title=f"{labels[1]} - {labels[0]}")
        for row in difference_rows(results["comparison"]["metrics"]):
            table.add_row(*row)
        console.print(table)
    write_figures(path, results, console)


def write_figures(path: Path, results: dict[str, Any], console: Console) -> None:
    write_json(path, results)
    console.print(f"Figures: {path}", markup=False, highlight=False, soft_wrap=True)


# What a trained model can still be measured with; the rest of its recipe is what it was trained by.
CHANGEABLE = ("evaluation.", "evaluation=", "card.", "card=", "data.folder=", "data.target_language=", "output=")


def find_recipe(name: str, overrides: Sequence[str]) -> Recipe | None:
    """The recipe that lies with a model: in its folder, in the package, or on the Hub."""
    folder = Path(resolve(name))
    if folder.exists():
        return load_recipe(folder, overrides) if (folder / RECIPE_FILE).is_file() else None
    try:
        path = cached_file(name, RECIPE_FILE, _raise_exceptions_for_missing_entries=False)
        return load_recipe(path, overrides) if path else None
    except (OSError, ValueError):  # no such model, which loading tells; or a recipe of somebody else's making
        return None


def find_model(arguments: Sequence[str], several: bool = False) -> Found:
    """
    The trained model that the command line names, itself or by its recipe; without a recipe, the default one.

    The recipe is the one that the model was trained by, which lies in its folder, with the section `evaluation` as it
    is given now, and what is said to the card's reader, which may be written after the training.
    """
    names = [argument for argument in arguments if "=" not in argument]
    overrides = [argument for argument in arguments if "=" in argument]
    if len(names) > 1 and not several:
        raise ValueError(
            f"Name one model, not {len(names)} (several can translate a --source together); fields are "
            "section.field=value."
        )
    for override in overrides:
        if not override.startswith(CHANGEABLE):
            raise ValueError(
                f"'{override}' does not change how a model is measured: set fields of evaluation, or of card."
            )
    if not names:
        return Found(load_recipe(None, overrides), [], False)
    path = Path(names[0])
    if len(names) > 1 or (not path.is_file() and path.suffix not in (".yaml", ".yml")):
        recipe = find_recipe(names[0], overrides)
        return Found(recipe or load_recipe(None, overrides), names, recipe is not None)
    given = load_recipe(path, overrides)
    if not (given.output / RECIPE_FILE).is_file():
        return Found(given, [str(given.output)], True)
    trained = load_recipe(
        given.output, [override for override in overrides if override.startswith("data.target_language=")]
    )
    data = trained.data.model_copy(update={"folder": given.data.folder})
    said = {name: getattr(given, name) for name in ("description", "notes", "license", "card")}
    changed = {"data": data, "evaluation": given.evaluation, **said}
    return Found(trained.model_copy(update=changed), [str(given.output)], True)


def run(options: argparse.Namespace) -> None:
    """Measure a model on its recipe's sets, or on files."""
    command = command_line(["hf-attn-seq2seq", "evaluate", *options.arguments])
    console = make_console()
    found = find_model(options.recipe, several=options.source is not None)
    recipe, models = found.recipe, found.models
    by_hand = bool(options.source or options.hypotheses)
    if by_hand != bool(options.reference) or (options.source and options.hypotheses):
        raise ValueError("Files to score need --reference together with --source, or with --hypotheses.")
    if by_hand and (options.set or options.card or options.compare):
        raise ValueError(
            "--set, --card and --compare are for the sets of a recipe: leave them out with --source or --hypotheses."
        )
    if options.json and not by_hand:
        raise ValueError("--json is for --source or --hypotheses: a recipe's sets are written to results.json.")
    if options.output and not options.source:
        raise ValueError("--output is for the translations of --source: leave it out, or give that.")
    if options.hypotheses:
        compare_files(recipe, options, command, console)
        return
    if not models:
        raise ValueError("Name the folder of a trained model, or its recipe.")
    if options.source:
        evaluate_files(found, options, command, console)
        return
    folder = Path(resolve(models[0]))
    with working_in(folder) if Path(models[0]).is_dir() else nullcontext(), writing(folder):
        results, differing = evaluate_model(
            recipe,
            folder,
            names=options.set,
            command=command,
            engine=options.engine,
            compare=options.compare,
            console=console,
        )
    print_results(results["sets"], console)
    if "comparison" in results:
        print_comparison(results["comparison"], console)
    print_alignments(results, console)
    if differing:
        console.print(
            f"Nothing was written: {folder / RESULTS_FILE} was measured with other {' and '.join(differing)}. Measure "
            "all sets to replace it.",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        return
    copy_card(folder, options.card, console)


def copy_card(folder: Path, given: Path | None, console: Console) -> None:
    """Write the model card of a folder to the file that `--card` names too, and tell where the figures are."""
    card = folder / CARD_FILE
    if given:
        given.parent.mkdir(parents=True, exist_ok=True)
        write_text(given, card.read_text("utf-8"))
    console.print(f"Figures: {folder / RESULTS_FILE}\nModel card: {given or card}", markup=False, highlight=False)


def main(arguments: list[str] | None = None) -> None:
    options = evaluate_parser().parse(arguments)
    run_command(lambda: run(options))


if __name__ == "__main__":
    run_command(main)
