# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Train the model that a recipe describes: prepare its corpus and tokenizer, train, and save the best checkpoint."""

import argparse
import importlib.util
import json
import shutil
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import datasets
import torch
from accelerate import PartialState
from transformers import set_seed
from transformers.integrations.integration_utils import get_available_reporting_integrations

from hf_attn_seq2seq import AttnSeq2SeqConfig, AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.configuration_attn_seq2seq import DROPOUTS
from hf_attn_seq2seq.console import make_console, run_command
from hf_attn_seq2seq.data.features import media_processor
from hf_attn_seq2seq.data.prepare import REPORT, PreparedCorpus
from hf_attn_seq2seq.data.report import report_lines
from hf_attn_seq2seq.decoding.loading import load_aligner
from hf_attn_seq2seq.decoding.readout import Readout, save_readout
from hf_attn_seq2seq.decoding.safety import read_settings
from hf_attn_seq2seq.evaluation.metrics import make_metric
from hf_attn_seq2seq.evaluation.model_card import CARD_FILE
from hf_attn_seq2seq.evaluation.results import RESULTS_FILE
from hf_attn_seq2seq.graphs.format import READOUT_FILE
from hf_attn_seq2seq.messages import check_layer, shortened
from hf_attn_seq2seq.processing_attn_seq2seq import AttnSeq2SeqProcessor
from hf_attn_seq2seq.training.fit import (
    SUMMARY_FILE,
    checkpoints,
    fit,
    keep_freed_memory,
    remove_checkpoints,
    working_in,
)
from hf_attn_seq2seq.training.parsers import train_parser
from hf_attn_seq2seq.training.prepare import (
    CORPUS_FOLDER,
    FIRST_PASS_FOLDER,
    HYPOTHESES,
    LINKS_FILES,
    Prepared,
    prepare,
    training_examples,
    validation_examples,
)
from hf_attn_seq2seq.training.recipe import (
    MODEL_FIELDS,
    RECIPE_FILE,
    Recipe,
    describe_fields,
    load_recipe,
    refuse_same_direction,
    save_recipe,
)
from hf_attn_seq2seq.training.start import (
    check_start,
    refuse_start_within,
    start_config,
    start_model,
    start_readout,
    start_sentence,
)
from hf_attn_seq2seq.training.trainer import GO_ON, reading
from hf_attn_seq2seq.writing import writing


# Fields that may change when a run is resumed; any other change would make it a different run.
FREE_TO_CHANGE = {
    "data": {"folder", "num_proc"},
    "features": set(),
    "augmentation": set(),
    "tokenizer": set(),
    "training": {"epochs", "max_steps", "patience", "average_checkpoints", "samples", "report_to"},
}


def recipe_from(arguments: list[str]) -> Recipe:
    """The recipe that the command line names, with the fields that it overrides."""
    paths = [argument for argument in arguments if "=" not in argument]
    if len(paths) > 1:
        raise ValueError(
            f"Name one recipe, not {len(paths)} ({', '.join(paths)}); fields are set by section.field=value."
        )
    return load_recipe(paths[0] if paths else None, [argument for argument in arguments if "=" in argument])


def check_output(recipe: Recipe, resume: bool, overwrite: bool) -> Path | None:
    """
    Refuse to mix two runs, before any work begins.

    Returns:
        The checkpoint to resume from, if the run is resumed and has one.
    """
    found = checkpoints(recipe.output)
    refuse_start_within(recipe.start_from, recipe.output)
    if resume:
        if not can_be_resumed(recipe.output):
            raise ValueError(f"There is no checkpoint in '{recipe.output}': leave out --resume.")
        check_same_recipe(recipe, ("data", "features", "augmentation", "tokenizer", "training"))
        return found[-1] if found else None
    if (found or (recipe.output / "config.json").exists()) and not overwrite:
        raise ValueError(
            f"'{recipe.output}' already contains a model: name another output, or use --resume or --overwrite."
        )
    return None


def can_be_resumed(output: Path) -> bool:
    """Whether there is a checkpoint, or a run was started but did not reach one."""
    if checkpoints(output) or checkpoints(output / FIRST_PASS_FOLDER):
        return True
    return (output / RECIPE_FILE).exists() and not (output / "config.json").exists()


def check_same_recipe(recipe: Recipe, sections: Sequence[str]) -> None:
    """Refuse to continue in the output folder with changed settings; the message names them."""
    saved = load_recipe(recipe.output)
    if saved.start_from != recipe.start_from:
        raise ValueError(
            f"The run in '{recipe.output}' was started {_starting(saved)}, not {_starting(recipe)}: use the same "
            "start_from, or start a new run in another output folder."
        )
    for section in sections:
        before, now = getattr(saved, section), getattr(recipe, section)
        differing = [
            f"{section}.{name}"
            for name in type(now).model_fields
            if name not in FREE_TO_CHANGE[section] and getattr(before, name) != getattr(now, name)
        ]
        if differing:
            raise ValueError(
                f"The run in '{recipe.output}' was started with different values of {', '.join(differing)}: use the "
                "same values, or start a new run in another output folder."
            )


def _starting(recipe: Recipe) -> str:
    return "from new weights" if recipe.start_from is None else f"from '{shortened(recipe.start_from)}'"


def learnt_from(output: Path) -> str | None:
    """The fingerprint of the corpus that the model in a folder is trained on, if it is recorded there."""
    if (output / SUMMARY_FILE).exists():
        return read_settings(output / SUMMARY_FILE).get("corpus")
    try:
        return PreparedCorpus.load(output / CORPUS_FOLDER).fingerprint
    except ValueError:
        return None


def check_same_model(config: AttnSeq2SeqConfig, checkpoint: Path) -> None:
    """Refuse to continue from a checkpoint of another architecture; the message names what differs."""
    with reading(checkpoint):
        saved = AttnSeq2SeqConfig.from_pretrained(checkpoint)
    differing = [
        f"{name} ({getattr(saved, name)} there, {getattr(config, name)} here)"
        for name in MODEL_FIELDS
        if getattr(saved, name) != getattr(config, name)
    ]
    if differing:
        raise ValueError(f"'{checkpoint}' is of a different model: use the same {', '.join(differing)}.")


def clear(output: Path) -> None:
    """Remove the files of an earlier run, which would be mistaken for files of the new model."""
    remove_checkpoints(output)
    for folder in ("samples", HYPOTHESES, FIRST_PASS_FOLDER):
        shutil.rmtree(output / folder, ignore_errors=True)
    names = (SUMMARY_FILE, RESULTS_FILE, CARD_FILE, READOUT_FILE, "config.json", "trainer_state.json")
    for path in (*(output / name for name in (*names, *LINKS_FILES.values())), *output.glob("*.safetensors*")):
        path.unlink(missing_ok=True)


def train(recipe: Recipe, resume: bool = False, overwrite: bool = False) -> None:
    """Prepare, train and save."""
    # The first process prepares the corpus while the others wait, longer than the default timeout.
    state = PartialState(cpu=not torch.accelerator.is_available(), timeout=timedelta(days=1))
    with working_in(recipe.output) if state.is_main_process else nullcontext():
        _run(recipe, resume, overwrite, state)


def _run(recipe: Recipe, resume: bool, overwrite: bool, state: PartialState) -> None:
    checkpoint = check_output(recipe, resume, overwrite)
    check_recipe(recipe)
    with writing(recipe.output):
        prepared = prepare(recipe, learnt_from(recipe.output) if resume else None)
    if resume:
        for folder in (recipe.output, recipe.output / FIRST_PASS_FOLDER):
            for newest in checkpoints(folder)[-1:]:
                check_same_model(model_config(recipe, prepared), newest)
    if state.is_main_process:
        if not resume:
            clear(recipe.output)
        save_recipe(recipe, recipe.output)
        corpus = prepared.corpus
        print(
            "\n".join([*report_lines(corpus.report), f"For what was left out and why, see {corpus.folder / REPORT}"])
        )
    state.wait_for_everyone()
    with writing(recipe.output, GO_ON):
        _train(recipe, prepared, checkpoint is not None, state)


def _train(recipe: Recipe, prepared: Prepared, resume: bool, state: PartialState) -> None:
    """Train the model, after the model of the first pass, if there is one."""
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
            if state.is_main_process and (readout := start_readout(recipe.start_from)):
                save_readout(readout, first.output)
    train_model(recipe, prepared, resume)
    if state.is_main_process and (readout := stated_readout(recipe)):
        save_readout(readout, recipe.output)


def stated_readout(recipe: Recipe) -> Readout | None:
    """
    The read-out given by the recipe, or else the attention guided in training, or that of the model that training
    started from; None if there is none of them.
    """
    guided, read = recipe.training.guided_alignment, recipe.evaluation.alignment.readout
    if read is not None:
        return Readout(**read.model_dump())
    return start_readout(recipe.start_from) if guided is None else Readout(guided.layer, guided.head, guided.shift)


def check_recipe(recipe: Recipe) -> None:
    """Refuse, before the corpus is read, what could not be trained or evaluated later."""
    tokenizer, training = recipe.tokenizer, recipe.training
    if recipe.start_from is not None:
        config = check_start(recipe)
    else:
        # The vocabulary sizes are not known yet; two vocabularies are assumed to differ, as they may.
        config = recipe.model_config_for(tokenizer.vocab_size, None if tokenizer.shared else tokenizer.vocab_size + 1)
    if recipe.data.source_kind != "text":
        media_processor(recipe.data.source_kind, recipe.features)  # refuses sizes that do not fit
    if training.metric != "loss":
        make_metric(training.metric, recipe.data.target_language)
    available = get_available_reporting_integrations()
    for tracker in training.report_to:
        if tracker not in available:
            raise ValueError(
                f"training.report_to is '{shortened(tracker)}', which is not installed: choose from "
                f"{available}, or install it."
            )
    if recipe.evaluation.ctc_weight and not config.ctc_weight:
        raise ValueError(
            f"evaluation.ctc_weight is {recipe.evaluation.ctc_weight:g}, but the model learns no CTC: set "
            "model.ctc_weight, such as 0.3."
        )
    if tokenizer.sampling and config.pointer_slots:
        raise ValueError(
            "tokenizer.sampling and model.pointer_slots cannot be combined: words outside the vocabulary are found in "
            "the usual segmentation only; leave one of them out."
        )
    if training.r_drop and not any(getattr(config, name) for name in DROPOUTS):
        raise ValueError("training.r_drop needs dropout, and the model has none: set model.dropout.")
    guided = training.guided_alignment
    if guided is not None:
        if guided.links == "eflomal" and importlib.util.find_spec("eflomal") is None:
            raise ImportError(
                "training.guided_alignment.links needs eflomal, which is not installed: run "
                "pip install 'hf_attn_seq2seq[align]' (a C compiler is required)."
            )
        if guided.reverse_model is not None:
            try:
                load_aligner(
                    guided.reverse_model
                )  # load it now: otherwise its errors appear only after the first pass
                refuse_same_direction((recipe.data.source_language, recipe.data.target_language), guided.reverse_model)
            except ValueError as error:
                raise ValueError(f"training.guided_alignment.reverse_model: {error}") from None
        if config.attention_type == "none":
            change = "leave it out" if recipe.start_from is not None else "choose another one"
            raise ValueError(f"training.guided_alignment needs attention, but model.attention_type is none: {change}.")
        recurrent = config.decoder_type != "transformer"
        check_layer(guided.layer, 1 if recurrent else config.decoder_layers)
        heads = config.num_attention_heads
        if guided.head is not None and guided.head >= heads:
            raise ValueError(
                f"training.guided_alignment.head={guided.head} does not exist: the model has {heads}, counted from 0."
            )
        if tokenizer.sampling:
            raise ValueError(
                "tokenizer.sampling and training.guided_alignment cannot be combined: turn one of them off."
            )
        if guided.links == "given" and not any("alignment" in source.extras for source in recipe.data.train):
            raise ValueError(
                "training.guided_alignment needs word links: name `alignment` in data.train, or set "
                "training.guided_alignment.links to eflomal or first_pass."
            )


def model_config(recipe: Recipe, prepared: Prepared) -> AttnSeq2SeqConfig:
    """The model's configuration, with the vocabulary sizes of the tokenizer, or of the model that is the start."""
    if recipe.start_from is not None:
        return start_config(recipe)
    tokenizer = prepared.tokenizer
    two = getattr(tokenizer, "has_two_vocabularies", False)
    return recipe.model_config_for(len(tokenizer), len(tokenizer.target) if two else None)


def model_processor(recipe: Recipe, prepared: Prepared) -> AttnSeq2SeqProcessor:
    """The processor that is saved with a model of speech or of pictures."""
    part = media_processor(recipe.data.source_kind, recipe.features)
    name = "feature_extractor" if recipe.data.source_kind == "audio" else "image_processor"
    return AttnSeq2SeqProcessor(tokenizer=prepared.tokenizer, **{name: part})


def train_model(recipe: Recipe, prepared: Prepared, resume: bool) -> None:
    """Train the recipe's model on a prepared corpus, and save it."""
    console = make_console(quiet=not PartialState().is_main_process)
    set_seed(recipe.training.seed)
    if recipe.start_from is not None:
        model = start_model(recipe)
    else:
        model = AttnSeq2SeqForConditionalGeneration(model_config(recipe, prepared))
    generation, evaluation = model.generation_config, recipe.evaluation
    # The default of Transformers would truncate every translation at 20 tokens.
    generation.max_new_tokens = evaluation.max_new_tokens
    generation.num_beams, generation.length_penalty = evaluation.num_beams, evaluation.length_penalty
    if evaluation.ctc_weight:
        generation.ctc_weight = evaluation.ctc_weight  # type: ignore[attr-defined]  # a field of ours
    train, sampled = training_examples(recipe, prepared)
    validation = validation_examples(recipe, prepared)
    processor = None
    if not prepared.corpus.is_text:
        processor = model_processor(recipe, prepared)
    console.print(
        f"{len(train.encoded)} training and {len(validation.encoded)} validation pairs; {len(prepared.tokenizer)} "
        f"tokens; {model.num_parameters():,} parameters.",
        soft_wrap=True,
    )
    record: dict[str, Any] = {"corpus": prepared.corpus.fingerprint}
    if prepared.start is not None:
        record["start_from"] = prepared.start
        console.print(start_sentence(recipe), markup=False, highlight=False, soft_wrap=True)
    fit(
        model,
        prepared.tokenizer,
        train,
        validation,
        recipe.output,
        recipe.training,
        resume=resume,
        language=recipe.data.target_language,
        sampled=sampled,
        record=record,
        processor=processor,
        evaluate_first=prepared.start is not None,
    )
    chosen = json.loads((recipe.output / SUMMARY_FILE).read_text("utf-8"))
    before = f" ({chosen['value_at_start']:.4g} before the first step)" if "value_at_start" in chosen else ""
    console.print(
        f"Saved the {chosen['weights']} (step {chosen['step']} of {chosen['steps']}): validation {chosen['metric']} "
        f"{chosen['value']:.4g}{before}.",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def main(arguments: list[str] | None = None) -> None:
    options = train_parser().parse(arguments)
    run_command(lambda: run(options))


def run(options: argparse.Namespace) -> None:
    """Train the recipe's model, or list the fields of a recipe."""
    if options.fields:
        print(describe_fields())
        return
    make_ready()
    recipe = recipe_from(options.recipe)
    try:
        train(recipe, options.resume, options.overwrite)
    except KeyboardInterrupt as stopped:
        if can_be_resumed(recipe.output):
            stopped.args = (f"To resume: hf-attn-seq2seq train {recipe.output} --resume",)
        raise
    if PartialState().is_main_process:
        print(f"To evaluate it: hf-attn-seq2seq evaluate {recipe.output}")


def make_ready() -> None:
    """What a process that trains begins with."""
    keep_freed_memory()
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()


if __name__ == "__main__":
    run_command(main)
