# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Preparation for training: the corpus of a recipe, its tokenizer, and the tokens of every pair."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from accelerate import PartialState
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from hf_attn_seq2seq.data.augmentation import AugmentationSettings
from hf_attn_seq2seq.data.cleaning import tidying_steps
from hf_attn_seq2seq.data.copied_words import exchange_copied_words
from hf_attn_seq2seq.data.examples import (
    Examples,
    MediaExamples,
    SampledExamples,
    augment_case_punctuation,
    encode,
    encode_targets,
    join_pairs,
)
from hf_attn_seq2seq.data.features import FeatureReader
from hf_attn_seq2seq.data.links import Link, from_pharaoh, symmetrise, to_pharaoh
from hf_attn_seq2seq.data.phrase_pairs import add_phrase_pairs, phrase_pairs
from hf_attn_seq2seq.data.prepare import PreparedCorpus, prepare_corpus
from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer_for
from hf_attn_seq2seq.data.words import WordKind, cut_words
from hf_attn_seq2seq.decoding.alignment import agreeing_readouts, align_corpus
from hf_attn_seq2seq.decoding.loading import load_aligner, read_tokenizer
from hf_attn_seq2seq.decoding.safety import read_settings
from hf_attn_seq2seq.training.recipe import Recipe
from hf_attn_seq2seq.training.start import start_config, start_record, start_tokenizer
from hf_attn_seq2seq.writing import clear_leftovers, whole_file, whole_folder, writing


CORPUS_FOLDER, TOKENIZER_FOLDER = "corpus", "tokenizer"
FIRST_PASS_FOLDER = "first-pass"
LINKS_FILES = {"eflomal": "eflomal-links.txt", "first_pass": "first-pass-links.txt"}  # by what makes the links
HYPOTHESES = "hypotheses"  # folder of the translations, in the model's folder
SETTINGS_FILE = "settings.json"  # of the tokenizer, beside it


@dataclass(frozen=True)
class Prepared:
    """What a recipe needs before it trains; `start` records the model that it starts from, if there is one."""

    corpus: PreparedCorpus
    tokenizer: PreTrainedTokenizerBase
    start: dict[str, Any] | None = None


def prepare(recipe: Recipe, fingerprint: str | None = None) -> Prepared:
    """
    The corpus and the tokenizer of a recipe, in its output folder; existing ones are reused if they match.

    If there are several processes, the first one works and the others wait.

    Args:
        fingerprint: Of the corpus that the model in the folder is trained on: a different corpus is refused, and so
            is another version of the model that its training started from.

    Raises:
        ValueError: Something is wrong with the data; the message says what.
    """
    with PartialState().main_process_first():
        speeds = recipe.augmentation.speed_perturbation
        corpus = prepare_corpus(recipe.data, recipe.output / CORPUS_FOLDER, fingerprint, recipe.features, speeds)
        start = None if recipe.start_from is None else start_record(recipe.start_from)
        if fingerprint is not None and started_from(recipe.output) not in (None, start):
            raise ValueError(
                f"'{recipe.start_from}' has changed since the run in '{recipe.output}' was started: use another "
                "output folder."
            )
        return Prepared(corpus, _tokenizer(recipe, corpus, start), start)


def started_from(output: Path) -> dict[str, Any] | None:
    """The record of the model that the training in a folder started from; None if there is none."""
    path = output / CORPUS_FOLDER / TOKENIZER_FOLDER / SETTINGS_FILE
    return read_settings(path).get("start_from") if path.is_file() else None


def _tokenizer(recipe: Recipe, corpus: PreparedCorpus, start: dict[str, Any] | None) -> PreTrainedTokenizerBase:
    folder = recipe.output / CORPUS_FOLDER / TOKENIZER_FOLDER
    clear_leftovers(folder)
    made_from = {
        "corpus": corpus.fingerprint,
        "max_length": recipe.training.max_length,
        **recipe.tokenizer.model_dump(mode="json"),
    }
    if start is not None:
        made_from = {"source_language": recipe.data.source_language, "start_from": start}
    try:
        if json.loads((folder / SETTINGS_FILE).read_text("utf-8")) == made_from:
            return read_tokenizer(str(folder))
    except (OSError, ValueError):
        pass  # there is none, or it is incomplete
    train = corpus.train
    if recipe.start_from is not None:
        tokenizer = start_tokenizer(recipe.start_from)
    else:
        tokenizer = train_tokenizer_for(
            recipe.tokenizer,
            (row["source"] for row in train) if corpus.is_text else None,
            (row["target"] for row in train),
            model_max_length=recipe.training.max_length,
            tidying=tidying_steps(recipe.data.cleaning),
        )
    if recipe.data.source_language is not None:  # for splitting texts into sentences
        tokenizer.init_kwargs["src_lang"] = recipe.data.source_language
    with whole_folder(folder) as partial:
        tokenizer.save_pretrained(partial)
        (partial / SETTINGS_FILE).write_text(json.dumps(made_from, indent=2) + "\n", "utf-8")
    return read_tokenizer(str(folder))  # as in later runs: otherwise cached tokens would not be found


def validation_examples(recipe: Recipe, prepared: Prepared) -> Examples:
    """The validation pairs of the recipe's corpus, with all references of each source."""
    split = prepared.corpus.validation
    encoded: Dataset | MediaExamples
    if prepared.corpus.is_text:
        encoded = encode(
            split, prepared.tokenizer, recipe.training.max_length, _processes(recipe), slots=_slots(recipe)
        )
    else:
        encoded = media_examples(recipe, prepared.corpus, "validation", prepared.tokenizer)
    further = split["references"] if "references" in split.column_names else [[]] * len(split)
    references = [[target, *(more or [])] for target, more in zip(split["target"], further)]
    return Examples(encoded, list(split["source"]), references)


def media_examples(
    recipe: Recipe,
    corpus: PreparedCorpus,
    split: str,
    tokenizer: PreTrainedTokenizerBase | None = None,
    augmentation: AugmentationSettings | None = None,
) -> MediaExamples:
    """The sounds or pictures of a split; with a tokenizer, with the tokens of their targets."""
    training = recipe.training
    encoded = corpus.splits[split]
    if tokenizer is not None:
        encoded = encode_targets(encoded, tokenizer, training.max_length, _processes(recipe))
    speeds = recipe.augmentation.speed_perturbation
    reader = FeatureReader(recipe.data.source_kind, recipe.features, speeds)
    return MediaExamples(encoded, corpus.features(split), reader, augmentation, training.seed)


def _slots(recipe: Recipe) -> int:
    """How many words outside the vocabulary the model can copy from a source."""
    if recipe.start_from is not None:
        return start_config(recipe).pointer_slots
    return recipe.model.get("pointer_slots") or 0


class TrainingExamples(NamedTuple):
    """The training pairs as tokens, and their sampled version for subword regularization."""

    examples: Examples
    sampled: SampledExamples | None


def training_examples(recipe: Recipe, prepared: Prepared) -> TrainingExamples:
    """The training pairs of the recipe's corpus: joined, augmented and with word links, as the recipe says."""
    training, sampling = recipe.training, recipe.tokenizer.sampling
    if not prepared.corpus.is_text:
        media = media_examples(recipe, prepared.corpus, "train", prepared.tokenizer, recipe.augmentation)
        return TrainingExamples(Examples(media), None)
    guided = training.guided_alignment
    split = prepared.corpus.train
    links_of: WordKind | None = None
    if guided is not None:
        if guided.links in LINKS_FILES:
            split, links_of = with_made_links(recipe, prepared), "cut"
        else:
            links_of = recipe.data.alignment_words
    phrases = phrase_pairs(split, links_of) if training.phrase_pairs_augmentation and links_of else None
    if training.copied_words_augmentation:
        split = exchange_copied_words(split, training.copied_words_augmentation, training.seed)
    if training.join_pairs > 1:
        split = join_pairs(split, training.join_pairs, training.seed, links_of)
    if phrases is not None and links_of:
        split = add_phrase_pairs(split, phrases, training.phrase_pairs_augmentation, training.seed, links_of)
    if training.case_punctuation_augmentation:
        split = augment_case_punctuation(split, training.case_punctuation_augmentation, training.seed, links_of)
    encoded = encode(split, prepared.tokenizer, training.max_length, _processes(recipe), links_of, _slots(recipe))
    sampled = None
    if sampling:
        sampled = SampledExamples(split, prepared.tokenizer, sampling, training.max_length, training.seed)
    return TrainingExamples(Examples(encoded), sampled)


def with_made_links(recipe: Recipe, prepared: Prepared) -> Dataset:
    """
    The training pairs with the word links of `training.guided_alignment.links`, in the column `alignment`.

    The links are computed once and kept in the output folder, one line per pair, so that a resumed run has the same
    ones: eflomal samples without a seed.

    Raises:
        ImportError: eflomal is needed and not installed.
        ValueError: The number of links that are there differs from the number of pairs.
    """
    guided = recipe.training.guided_alignment
    split, path = prepared.corpus.train, recipe.output / LINKS_FILES[guided.links]
    with PartialState().main_process_first():
        if missing := not path.exists():
            make = _eflomal_links if guided.links == "eflomal" else _first_pass_links
            with whole_file(path) as partial, partial.open("w", encoding="utf-8") as file:
                file.writelines(to_pharaoh(links) + "\n" for links in make(recipe, prepared))
        lines = path.read_text("utf-8").splitlines()
        if missing and (unlinked := lines.count("")):  # for example, eflomal skips pairs of more than a thousand words
            print(f"note: {unlinked:,} of {len(split):,} training pairs have no word links and guide nothing.")
    if len(lines) != len(split):
        raise ValueError(
            f"'{path}' has {len(lines)} lines for {len(split)} pairs: remove it, and it will be recomputed."
        )
    if "alignment" in split.column_names:
        split = split.remove_columns("alignment")
    return split.add_column("alignment", lines)


def _first_pass_links(recipe: Recipe, prepared: Prepared) -> Iterator[frozenset[Link]]:
    """
    The links of the first pass for each training pair.

    With a model of the reverse direction, both use the read-outs whose links agree most on validation pairs (Chen et
    al. 2020), and their links are symmetrized.
    """
    guided, split = recipe.training.guided_alignment, prepared.corpus.train
    forward = load_aligner(recipe.output / FIRST_PASS_FOLDER)
    backward = None
    if guided.reverse_model:
        # Layer, head and shift are chosen without gold alignments: where both models agree most.
        backward = load_aligner(guided.reverse_model)
        held_out = prepared.corpus.validation.select(range(min(500, len(prepared.corpus.validation))))
        best = agreeing_readouts(forward, backward, list(zip(held_out["source"], held_out["target"])))
        forward = forward._replace(readout=best.forward)
        backward = backward._replace(readout=best.backward)
    pairs = zip(split["source"], split["target"])
    for alignment in align_corpus(pairs, forward, backward, method=guided.symmetrisation):
        yield alignment.links


def _eflomal_links(recipe: Recipe, prepared: Prepared) -> Iterator[frozenset[Link]]:
    """The links of eflomal for each training pair, symmetrized (Östling and Tiedemann 2016)."""
    from eflomal import Aligner

    split = prepared.corpus.train
    sides = [[" ".join(cut_words(text).words()) + "\n" for text in split[name]] for name in ("source", "target")]
    with tempfile.TemporaryDirectory() as folder, writing(folder):
        files = [Path(folder, direction) for direction in ("forward", "backward")]
        Aligner().align(*sides, *map(str, files))
        directions = (map(from_pharaoh, file.read_text("utf-8").splitlines()) for file in files)
        for forward, backward in zip(*directions):
            yield symmetrise(forward, backward, recipe.training.guided_alignment.symmetrisation)


def _processes(recipe: Recipe) -> int | None:
    return recipe.data.num_proc if recipe.data.num_proc > 1 else None
