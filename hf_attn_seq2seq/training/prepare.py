# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What comes before training: the corpus of a recipe, its tokenizer, and the tokens of every pair."""

import json
from dataclasses import dataclass
from typing import NamedTuple

from accelerate import PartialState
from datasets import Dataset
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from hf_attn_seq2seq.data.examples import Examples, SampledExamples, WordKind, encode, join_pairs
from hf_attn_seq2seq.data.prepare import PreparedCorpus, prepare_corpus
from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer_for
from hf_attn_seq2seq.decoding.alignment import agreeing_readouts, align_corpus
from hf_attn_seq2seq.evaluation.alignment import to_pharaoh
from hf_attn_seq2seq.training.align import load_aligner
from hf_attn_seq2seq.training.recipe import Recipe


CORPUS_FOLDER, TOKENIZER_FOLDER = "corpus", "tokenizer"
FIRST_PASS_FOLDER, LINKS_FILE = "first-pass", "first-pass-links.txt"
HYPOTHESES = "hypotheses"  # folder of the translations, in that of the model
SETTINGS_FILE = "settings.json"  # of the tokenizer, beside it


@dataclass(frozen=True)
class Prepared:
    corpus: PreparedCorpus
    tokenizer: PreTrainedTokenizerBase


def prepare(recipe: Recipe) -> Prepared:
    """
    The corpus and the tokenizer of a recipe, in its output folder; what is there already and fits is used as it is.

    Of several processes, the first one works and the others wait.

    Raises:
        ValueError: Something is wrong with the data; the sentence names it.
    """
    with PartialState().main_process_first():
        corpus = prepare_corpus(recipe.data, recipe.output / CORPUS_FOLDER)
        return Prepared(corpus, _tokenizer(recipe, corpus))


def _tokenizer(recipe: Recipe, corpus: PreparedCorpus) -> PreTrainedTokenizerBase:
    folder = recipe.output / CORPUS_FOLDER / TOKENIZER_FOLDER
    made_from = {
        "corpus": corpus.fingerprint,
        "max_length": recipe.training.max_length,
        **recipe.tokenizer.model_dump(mode="json"),
    }
    try:
        if json.loads((folder / SETTINGS_FILE).read_text("utf-8")) == made_from:
            return AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError):
        pass  # there is none, or its writing was cut short
    train = corpus.train
    tokenizer = train_tokenizer_for(
        recipe.tokenizer,
        (row["source"] for row in train),
        (row["target"] for row in train),
        model_max_length=recipe.training.max_length,
    )
    tokenizer.save_pretrained(folder)
    (folder / SETTINGS_FILE).write_text(json.dumps(made_from, indent=2) + "\n", "utf-8")  # last: it says all is there
    return AutoTokenizer.from_pretrained(folder)  # as later runs have it: else tokens would not be found in the cache


def validation_examples(recipe: Recipe, prepared: Prepared) -> Examples:
    """The validation pairs of the recipe's corpus, with all references of each source."""
    split = prepared.corpus.validation
    encoded = encode(split, prepared.tokenizer, recipe.training.max_length, _processes(recipe))
    further = split["references"] if "references" in split.column_names else [[]] * len(split)
    references = [[target, *(more or [])] for target, more in zip(split["target"], further)]
    return Examples(encoded, list(split["source"]), references)


class TrainingExamples(NamedTuple):
    """The training pairs as tokens and, where subwords are drawn at random, what draws them."""

    examples: Examples
    sampled: SampledExamples | None


def training_examples(recipe: Recipe, prepared: Prepared) -> TrainingExamples:
    """
    The training pairs of the recipe's corpus, joined and with word links where the recipe says so.

    Raises:
        ValueError: Links are to be taught and the corpus has none, or subwords drawn where they cannot be.
    """
    training, sampling = recipe.training, recipe.tokenizer.sampling
    guided = training.guided_alignment
    split = prepared.corpus.train
    links_of: WordKind | None = None
    if guided is not None:
        if sampling:
            raise ValueError(
                "tokenizer.sampling and training.guided_alignment cannot go together: links are of the usual subwords."
            )
        if guided.links == "first_pass":
            split, links_of = with_first_pass_links(recipe, prepared), "cut"
        else:
            links_of = recipe.data.alignment_words
            if "alignment" not in split.column_names:
                raise ValueError(
                    "training.guided_alignment needs word links: name `alignment` in data.train, or set "
                    "training.guided_alignment.links to first_pass."
                )
    if training.join_pairs > 1:
        split = join_pairs(split, training.join_pairs, training.seed, links_of)
    encoded = encode(split, prepared.tokenizer, training.max_length, _processes(recipe), links_of)
    sampled = None
    if sampling:
        sampled = SampledExamples(split, prepared.tokenizer, sampling, training.max_length, training.seed)
    return TrainingExamples(Examples(encoded), sampled)


def with_first_pass_links(recipe: Recipe, prepared: Prepared) -> Dataset:
    """
    The training pairs with the word links that the first pass gives them, in the column `alignment`.

    The links are kept in the output folder, one line a pair, and are made once. With a model of the other direction,
    both are read where their links agree most on validation pairs (Chen et al. 2020), and their links are joined.
    """
    guided = recipe.training.guided_alignment
    split, path = prepared.corpus.train, recipe.output / LINKS_FILE
    with PartialState().main_process_first():
        if not path.exists():
            forward = load_aligner(recipe.output / FIRST_PASS_FOLDER)
            backward = None
            if guided.reverse_model:
                # Which layer and head to read, and when, is found without gold: where both models agree most.
                backward = load_aligner(guided.reverse_model)
                held_out = prepared.corpus.validation.select(range(min(500, len(prepared.corpus.validation))))
                best = agreeing_readouts(forward, backward, list(zip(held_out["source"], held_out["target"])))
                forward = forward._replace(readout=best.forward)
                backward = backward._replace(readout=best.backward)
            pairs = zip(split["source"], split["target"])
            partial = path.with_suffix(".partial")
            with partial.open("w", encoding="utf-8") as file:
                for alignment in align_corpus(pairs, forward, backward, method=guided.symmetrisation):
                    file.write(to_pharaoh(alignment.links) + "\n")
            partial.rename(path)
        links = path.read_text("utf-8").splitlines()
    if len(links) != len(split):
        raise ValueError(f"'{path}' has {len(links)} lines for {len(split)} pairs: remove it, to have it made anew.")
    if "alignment" in split.column_names:
        split = split.remove_columns("alignment")
    return split.add_column("alignment", links)


def _processes(recipe: Recipe) -> int | None:
    return recipe.data.num_proc if recipe.data.num_proc > 1 else None
