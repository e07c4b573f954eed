# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Train the model that a recipe describes: corpus, tokenizer, model, checkpoints, and the best of them saved."""

import argparse
import shutil
from pathlib import Path

from accelerate import PartialState
from rich.console import Console
from transformers import set_seed

from hf_attn_seq2seq import AttnSeq2SeqConfig, AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.console import run_command
from hf_attn_seq2seq.training.fit import SUMMARY_FILE, checkpoints, fit, make_folder, remove_checkpoints
from hf_attn_seq2seq.training.prepare import (
    FIRST_PASS_FOLDER,
    LINKS_FILE,
    prepare,
    training_examples,
    validation_examples,
)
from hf_attn_seq2seq.training.recipe import MODEL_FIELDS, Recipe, load_recipe, save_recipe


EXAMPLES = """examples:
  hf-attn-seq2seq train training/recipes/multi30k_en_fr_gru.yaml data.folder=data/multi30k
  hf-attn-seq2seq train data.train.source=train.en data.train.target=train.fr output=outputs/en-fr
  hf-attn-seq2seq train data.train.file=pairs.tsv.gz model.preset=luong2015 model.hidden_size=512 output=outputs/luong
"""


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_recipe_arguments(parser)
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in the output folder")
    parser.add_argument("--overwrite", action="store_true", help="replace what an earlier run left there")
    return parser


def add_recipe_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of every command that takes a recipe."""
    parser.add_argument(
        "recipe",
        nargs="*",
        metavar="RECIPE | section.field=value",
        help="a YAML file, or the folder of a trained model, and fields to change; values are read as YAML",
    )


def recipe_from(arguments: list[str]) -> Recipe:
    """The recipe that the command line names, with the fields that it changes."""
    paths = [argument for argument in arguments if "=" not in argument]
    if len(paths) > 1:
        raise ValueError(f"Name one recipe, not {len(paths)} ({', '.join(paths)}); fields are section.field=value.")
    return load_recipe(paths[0] if paths else None, [argument for argument in arguments if "=" in argument])


def check_output(recipe: Recipe, resume: bool, overwrite: bool) -> Path | None:
    """
    Refuse to mix two runs, before any work is done.

    Returns:
        The checkpoint to go on from, if resuming.
    """
    found = checkpoints(recipe.output)
    if resume:
        if not found:
            raise ValueError(f"There is no checkpoint in '{recipe.output}': leave out --resume.")
        saved = load_recipe(recipe.output)
        for section in ("data", "tokenizer"):
            if getattr(saved, section) != getattr(recipe, section):
                raise ValueError(f"'{recipe.output}' was begun with other {section}: give the same, or start anew.")
        return found[-1]
    if (found or (recipe.output / "config.json").exists()) and not overwrite:
        raise ValueError(f"'{recipe.output}' holds a model: name another output, or say --resume or --overwrite.")
    return None


def check_same_model(config: AttnSeq2SeqConfig, checkpoint: Path) -> None:
    """Refuse to go on from a checkpoint of another architecture; the sentence names what differs."""
    saved = AttnSeq2SeqConfig.from_pretrained(checkpoint)
    differing = [
        f"{name} ({getattr(saved, name)} there, {getattr(config, name)} here)"
        for name in MODEL_FIELDS
        if getattr(saved, name) != getattr(config, name)
    ]
    if differing:
        raise ValueError(f"'{checkpoint}' holds another model: give the same {', '.join(differing)}.")


def train_first_pass(recipe: Recipe, console: Console) -> None:
    """Train the same model without guidance, for its word links; what is there already is used, or gone on with."""
    folder = recipe.output / FIRST_PASS_FOLDER
    if (folder / SUMMARY_FILE).exists():
        return
    epochs = recipe.training.guided_alignment.first_pass_epochs
    training = recipe.training.model_copy(update={"guided_alignment": None, "epochs": epochs, "max_steps": None})
    console.print("First pass: without guidance, for word links.")
    run(recipe.model_copy(update={"output": folder, "training": training}), resume=bool(checkpoints(folder)))


def run(recipe: Recipe, resume: bool = False, overwrite: bool = False) -> None:
    """Prepare, train and save."""
    state = PartialState()
    console = Console(quiet=not state.is_main_process)
    checkpoint = check_output(recipe, resume, overwrite)
    # Built before the corpus is read, so that a wrong field is told at once.
    recipe.model_config_for(recipe.tokenizer.vocab_size)
    make_folder(recipe.output)
    prepared = prepare(recipe)
    tokenizer = prepared.tokenizer
    target = getattr(tokenizer, "target", None)
    config = recipe.model_config_for(len(tokenizer), len(target) if target is not None else None)
    if checkpoint:
        check_same_model(config, checkpoint)
    elif state.is_main_process:
        remove_checkpoints(recipe.output)
        for folder in ("samples", FIRST_PASS_FOLDER):
            shutil.rmtree(recipe.output / folder, ignore_errors=True)
        for file in (LINKS_FILE, SUMMARY_FILE):
            (recipe.output / file).unlink(missing_ok=True)
    if state.is_main_process:
        save_recipe(recipe, recipe.output)
    state.wait_for_everyone()
    guided = recipe.training.guided_alignment
    if guided is not None and guided.links == "first_pass":
        train_first_pass(recipe, console)
    set_seed(recipe.training.seed)
    model = AttnSeq2SeqForConditionalGeneration(config)
    generation, evaluation = model.generation_config, recipe.evaluation
    # Transformers' own default would cut every translation at 20 tokens.
    generation.max_new_tokens = evaluation.max_new_tokens
    generation.num_beams, generation.length_penalty = evaluation.num_beams, evaluation.length_penalty
    train, sampled = training_examples(recipe, prepared)
    validation = validation_examples(recipe, prepared)
    console.print(
        f"{len(train.encoded)} training and {len(validation.encoded)} validation pairs; {len(tokenizer)} tokens; "
        f"{model.num_parameters():,} parameters."
    )
    trainer = fit(
        model,
        tokenizer,
        train,
        validation,
        recipe.output,
        recipe.training,
        resume=resume,
        language=recipe.data.target_language,
        sampled=sampled,
    )
    console.print(
        f"Best {recipe.training.metric} {trainer.state.best_metric:.4g} at step {trainer.state.best_global_step} of "
        f"{trainer.state.global_step}.\nMeasure it: hf-attn-seq2seq evaluate {recipe.output}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def main(arguments: list[str] | None = None) -> None:
    options = build_parser().parse_args(arguments)
    run_command(lambda: run(recipe_from(options.recipe), options.resume, options.overwrite))


if __name__ == "__main__":
    main()
