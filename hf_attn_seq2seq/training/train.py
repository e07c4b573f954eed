# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Train the model that a recipe describes: corpus, tokenizer, model, checkpoints, and the best of them saved."""

import argparse
import ctypes
import shutil
import sys
from pathlib import Path

from accelerate import PartialState
from rich.console import Console
from transformers import set_seed

from hf_attn_seq2seq import AttnSeq2SeqConfig, AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.console import run_command
from hf_attn_seq2seq.decoding.alignment import READOUT_FILE
from hf_attn_seq2seq.evaluation.metrics import make_metric
from hf_attn_seq2seq.evaluation.model_card import CARD_FILE
from hf_attn_seq2seq.evaluation.results import RESULTS_FILE
from hf_attn_seq2seq.modeling_attn_seq2seq import check_layer
from hf_attn_seq2seq.training.fit import SUMMARY_FILE, checkpoints, fit, make_folder, remove_checkpoints
from hf_attn_seq2seq.training.prepare import (
    FIRST_PASS_FOLDER,
    HYPOTHESES,
    LINKS_FILE,
    Prepared,
    prepare,
    training_examples,
    validation_examples,
)
from hf_attn_seq2seq.training.recipe import MODEL_FIELDS, Recipe, load_recipe, save_recipe


M_MMAP_MAX, M_TRIM_THRESHOLD = -4, -1  # of glibc's malloc.h

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
        The checkpoint to go on from, if resuming and the run had come so far.
    """
    found = checkpoints(recipe.output)
    if resume:
        if not found and not checkpoints(recipe.output / FIRST_PASS_FOLDER):
            raise ValueError(f"There is no checkpoint in '{recipe.output}': leave out --resume.")
        saved = load_recipe(recipe.output)
        for section in ("data", "tokenizer"):
            if getattr(saved, section) != getattr(recipe, section):
                raise ValueError(f"'{recipe.output}' was begun with other {section}: give the same, or start anew.")
        return found[-1] if found else None
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


def clear(output: Path) -> None:
    """Remove what an earlier run left: beside a new model it would be taken for the new one's."""
    remove_checkpoints(output)
    for folder in ("samples", HYPOTHESES, FIRST_PASS_FOLDER):
        shutil.rmtree(output / folder, ignore_errors=True)
    names = (SUMMARY_FILE, LINKS_FILE, RESULTS_FILE, CARD_FILE, READOUT_FILE, "config.json", "trainer_state.json")
    for path in (*(output / name for name in names), *output.glob("*.safetensors*")):
        path.unlink(missing_ok=True)


def keep_freed_memory() -> None:
    """
    Have the C library keep what large tensors leave, for the next ones: given back, each page faults in again at each
    step, which took a fifth of the time of a step with a vocabulary of 8,000. Only glibc knows how; elsewhere nothing.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(M_MMAP_MAX, 0)
            mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def run(recipe: Recipe, resume: bool = False, overwrite: bool = False) -> None:
    """Prepare, train and save."""
    state = PartialState()
    checkpoint = check_output(recipe, resume, overwrite)
    check_recipe(recipe)
    make_folder(recipe.output)
    prepared = prepare(recipe)
    if checkpoint:
        check_same_model(model_config(recipe, prepared), checkpoint)
    if state.is_main_process:
        if not resume:
            clear(recipe.output)
        save_recipe(recipe, recipe.output)
    state.wait_for_everyone()
    guided = recipe.training.guided_alignment
    if guided is not None and guided.links == "first_pass":
        first = recipe.model_copy(
            update={
                "output": recipe.output / FIRST_PASS_FOLDER,
                "training": recipe.training.model_copy(
                    update={"guided_alignment": None, "epochs": guided.first_pass_epochs, "max_steps": None}
                ),
            }
        )
        if not (first.output / SUMMARY_FILE).exists():
            train_model(first, prepared, resume=bool(checkpoints(first.output)))
    train_model(recipe, prepared, resume=checkpoint is not None)


def check_recipe(recipe: Recipe) -> None:
    """Refuse, before the corpus is read, what could not be trained or measured after it."""
    tokenizer, training = recipe.tokenizer, recipe.training
    config = recipe.model_config_for(tokenizer.vocab_size, None if tokenizer.shared else tokenizer.vocab_size + 1)
    if training.metric != "loss":
        make_metric(training.metric, recipe.data.target_language)
    guided = training.guided_alignment
    if guided is not None:
        if config.attention_type == "none":
            raise ValueError("training.guided_alignment teaches attention, and model.attention_type is none.")
        recurrent = config.decoder_type != "transformer"
        check_layer(guided.layer, 1 if recurrent else config.decoder_layers)
        heads = config.num_attention_heads
        if guided.head is not None and guided.head >= heads:
            raise ValueError(f"training.guided_alignment.head={guided.head}: the heads are {heads}, counted from 0.")


def model_config(recipe: Recipe, prepared: Prepared) -> AttnSeq2SeqConfig:
    """The model's configuration, with the sizes that the tokenizer has come to."""
    tokenizer = prepared.tokenizer
    two = getattr(tokenizer, "has_two_vocabularies", False)
    return recipe.model_config_for(len(tokenizer), len(tokenizer.target) if two else None)


def train_model(recipe: Recipe, prepared: Prepared, resume: bool) -> None:
    """Train the recipe's model on a corpus that is ready, and save it."""
    console = Console(quiet=not PartialState().is_main_process)
    set_seed(recipe.training.seed)
    model = AttnSeq2SeqForConditionalGeneration(model_config(recipe, prepared))
    generation, evaluation = model.generation_config, recipe.evaluation
    # Transformers' own default would cut every translation at 20 tokens.
    generation.max_new_tokens = evaluation.max_new_tokens
    generation.num_beams, generation.length_penalty = evaluation.num_beams, evaluation.length_penalty
    train, sampled = training_examples(recipe, prepared)
    validation = validation_examples(recipe, prepared)
    console.print(
        f"{len(train.encoded)} training and {len(validation.encoded)} validation pairs; {len(prepared.tokenizer)} "
        f"tokens; {model.num_parameters():,} parameters.",
        soft_wrap=True,
    )
    trainer = fit(
        model,
        prepared.tokenizer,
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
    options = build_parser().parse_intermixed_args(arguments)
    keep_freed_memory()
    run_command(lambda: run(recipe_from(options.recipe), options.resume, options.overwrite))


if __name__ == "__main__":
    main()
