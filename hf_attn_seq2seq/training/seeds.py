# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Train and measure a recipe with several seeds: the best model, with a card of the mean and the spread of all."""

import argparse
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from hf_attn_seq2seq.console import make_console, run_command
from hf_attn_seq2seq.decoding.safety import read_settings
from hf_attn_seq2seq.evaluation.model_card import CARD_FILE, write_card
from hf_attn_seq2seq.evaluation.results import RESULTS_FILE, command_line, read_results, write_json
from hf_attn_seq2seq.evaluation.seeds import combine_seeds
from hf_attn_seq2seq.messages import shortened
from hf_attn_seq2seq.training.evaluate import copy_card, print_alignments, print_results
from hf_attn_seq2seq.training.fit import SUMMARY_FILE, checkpoints, working_in
from hf_attn_seq2seq.training.measure import evaluate_model, is_measured, seed_folder
from hf_attn_seq2seq.training.parsers import seeds_parser
from hf_attn_seq2seq.training.prepare import CORPUS_FOLDER, LINKS_FILES, prepare
from hf_attn_seq2seq.training.recipe import RECIPE_FILE, Recipe, load_recipe
from hf_attn_seq2seq.training.start import refuse_start_within
from hf_attn_seq2seq.training.train import (
    FREE_TO_CHANGE,
    can_be_resumed,
    check_recipe,
    check_same_model,
    check_same_recipe,
    learnt_from,
    make_ready,
    model_config,
    recipe_from,
    train,
)
from hf_attn_seq2seq.writing import whole_file, whole_folder, writing


def read_seeds(text: str) -> list[int]:
    """
    The seeds of `--seeds`.

    Raises:
        ValueError: They are not at least two different whole numbers, separated by commas.
    """
    if not re.fullmatch(r"[0-9]{1,20}(, *[0-9]{1,20})*", text):
        raise ValueError(f"--seeds is '{shortened(text)}': give whole numbers from 0, with commas between, as 0,1,2.")
    seeds = [int(number) for number in text.split(",")]
    for seed in seeds:
        if seeds.count(seed) > 1:
            raise ValueError(f"--seeds has {seed} twice, which would train the same model twice: give another number.")
        if seed >= 2**32:
            raise ValueError(f"--seeds has {seed}: give numbers below {2**32}.")
    if len(seeds) == 1:
        raise ValueError("One seed has no spread: give --seeds two or more, or use train and evaluate.")
    return seeds


def with_seed(recipe: Recipe, seed: int) -> Recipe:
    """The recipe of one seed, with a folder of its own."""
    training = recipe.training.model_copy(update={"seed": seed})
    return recipe.model_copy(update={"output": recipe.output / seed_folder(seed), "training": training})


def check_before(recipe: Recipe, runs: Sequence[Recipe]) -> None:
    """Refuse, before any work begins, what could not be trained, and to mix different runs."""
    output = recipe.output
    refuse_start_within(recipe.start_from, output)
    has_model = bool(checkpoints(output)) or (output / "config.json").exists()
    if has_model and "seeds" not in read_results(output / RESULTS_FILE):
        raise ValueError(f"'{output}' already contains a model, and not one of several seeds: name another output.")
    check_recipe(recipe)
    for run in runs:
        if (run.output / RECIPE_FILE).exists():
            check_same_recipe(run, tuple(FREE_TO_CHANGE))


def prepare_once(recipe: Recipe, runs: Sequence[Recipe]) -> None:
    """
    Prepare the corpus and the tokenizer that all seeds share, as `preprocess` does, and give each seed a copy.

    Raises:
        ValueError: A seed was trained on another corpus, or its model is of another architecture.
    """
    learnt = [fingerprint for run in runs if (fingerprint := learnt_from(run.output))]
    prepared = prepare(recipe, learnt[0] if learnt else None)
    for run in runs:
        with working_in(run.output):
            for saved in (run.output, *checkpoints(run.output)[-1:]):
                if (saved / "config.json").exists():
                    check_same_model(model_config(recipe, prepared), saved)
            if not (run.output / CORPUS_FOLDER).exists():
                with whole_folder(run.output / CORPUS_FOLDER) as partial:
                    shutil.copytree(recipe.output / CORPUS_FOLDER, partial, copy_function=_link, dirs_exist_ok=True)


def _link(source: str, target: str) -> None:
    """A second name for a file that never changes, such as a large corpus; or a copy, where the disk has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def is_trained(recipe: Recipe) -> bool:
    """Whether the model is there, was not stopped while it was trained for longer, and need not be."""
    if not (recipe.output / SUMMARY_FILE).exists() or load_recipe(recipe.output).training != recipe.training:
        return False
    steps = read_settings(recipe.output / SUMMARY_FILE)["steps"]
    return all(int(path.name.rpartition("-")[2]) <= steps for path in checkpoints(recipe.output))


def train_seeds(recipe: Recipe, seeds: Sequence[int], command: str, console: Console) -> dict[str, Any]:
    """
    Train and measure the recipe with each seed, in the folders `seed-N` of its output, and make the output folder the
    model that is best on validation, with the results of all.

    What is there is kept: a finished seed is not trained again, one that was stopped goes on from its newest
    checkpoint, and figures are measured again only if the recipe asks for others.

    Args:
        command: How this was called, for the record.

    Returns:
        What `results.json` then holds.

    Raises:
        ValueError: The output folder has another model, or the seeds there were trained by another recipe.
    """
    runs = [with_seed(recipe, seed) for seed in seeds]
    with working_in(recipe.output), writing(recipe.output):
        check_before(recipe, runs)
        prepare_once(recipe, runs)
        for number, run in enumerate(runs, start=1):
            _say(console, f"Seed {run.training.seed}, {number} of {len(runs)}: {run.output}")
            if is_trained(run):
                _say(console, "It is trained already.")
            else:
                train(run, resume=can_be_resumed(run.output))
        for run in runs:
            if not is_measured(run):
                _say(console, f"Measuring {run.output}")
                with working_in(run.output):
                    evaluate_model(run, run.output, command=command, console=console)
        measured = [read_results(run.output / RESULTS_FILE) for run in runs]
        values = [results["training"]["value"] for results in measured]
        # By validation alone, as each checkpoint was; of equal ones the first.
        best = values.index(max(values) if recipe.training.greater_is_better else min(values))
        results = combine_seeds(measured, best)
        _publish(runs[best].output, recipe.output, results)
    return results


def _publish(model: Path, output: Path, results: dict[str, Any]) -> None:
    """Copy the model of a seed to the output folder, with the results and the card of all seeds."""
    write_json(output / RESULTS_FILE, results)  # first, for it says that the model there is of several seeds
    left_out = (RESULTS_FILE, CARD_FILE, *LINKS_FILES.values())
    for path in sorted(model.iterdir()):
        if path.is_file() and not path.name.startswith(".") and path.name not in left_out:
            with whole_file(output / path.name) as partial:
                shutil.copyfile(path, partial)
    write_card(output)


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def run(options: argparse.Namespace) -> None:
    """Train and measure a recipe with several seeds, and print what they reach together."""
    seeds = read_seeds(options.seeds)
    for argument in options.recipe:
        if argument.startswith("training.seed="):
            raise ValueError(f"'{shortened(argument)}' is what --seeds sets: leave it out.")
    if options.card and options.card.is_dir():
        raise ValueError(f"{options.card} is a folder: give the name of a file to write as --card.")
    make_ready()
    recipe, console = recipe_from(options.recipe), make_console()
    command = command_line(["hf-attn-seq2seq", "seeds", *options.arguments])
    try:
        results = train_seeds(recipe, seeds, command, console)
    except KeyboardInterrupt as stopped:
        stopped.args = ("To go on, run the same command again.",)
        raise
    together = results["seeds"]
    print_results(together["sets"], console)
    print_alignments(together, console)
    _say(
        console,
        f"Mean ± sample standard deviation of {len(seeds)} seeds (lowest to highest). The model in {recipe.output} is "
        f"that of seed {together['chosen']}, the best on validation.",
    )
    copy_card(recipe.output, options.card, console)


def main(arguments: list[str] | None = None) -> None:
    options = seeds_parser().parse(arguments)
    run_command(lambda: run(options))


if __name__ == "__main__":
    run_command(main)
