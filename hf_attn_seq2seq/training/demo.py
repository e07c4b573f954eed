# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Training for the demonstration: a GRU with or without attention learns the built-in English-French grammar, and is
evaluated on unseen sentences.
"""

import json
import time
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from transformers import PreTrainedTokenizerBase, set_seed

from hf_attn_seq2seq import AttnSeq2SeqConfig, AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.data.examples import text_examples
from hf_attn_seq2seq.data.grammar import AlignedPair, generate_corpus
from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer
from hf_attn_seq2seq.decoding import align, translate
from hf_attn_seq2seq.evaluation import alignment_error_rate, score_corpus
from hf_attn_seq2seq.training.fit import fit, remove_checkpoints, working_in
from hf_attn_seq2seq.training.settings import TrainingSettings
from hf_attn_seq2seq.writing import write_text, writing


SENTENCE = "The cat is on the mat ."
FIGURES_FILE = "demo.json"  # not results.json, which holds what `evaluate` measures and a card is made of


class DemoModel(NamedTuple):
    """A trained model, and its translation of the cat sentence."""

    model: AttnSeq2SeqForConditionalGeneration
    tokenizer: PreTrainedTokenizerBase
    translation: str


def train_demo(
    output_dir: Path, attention_type: str, seed: int, train_size: int, epochs: float, console: Console
) -> DemoModel:
    """
    Train, evaluate on both test sets, translate the cat sentence, and save the model and its results.

    Args:
        output_dir: Folder to save them in.
        attention_type: Attention of the model; "none" gives it one fixed context vector.
        seed: Random seed of the corpus, the model and the batches.
        train_size: Number of training pairs.
        epochs: Epochs to train.
        console: Console for progress messages.

    Raises:
        ValueError: There are no training pairs.
    """
    with working_in(output_dir), writing(output_dir):
        return _train(output_dir, attention_type, seed, train_size, epochs, console)


def _train(
    output_dir: Path, attention_type: str, seed: int, train_size: int, epochs: float, console: Console
) -> DemoModel:
    settings = TrainingSettings(
        epochs=epochs, batch_size=64, learning_rate=2e-3, warmup_steps=200, seed=seed, metric="loss", samples=0
    )
    if train_size < 1:
        raise ValueError(f"--train-size is {train_size}: it must be at least 1.")
    remove_checkpoints(output_dir)
    with console.status("Generating the corpus ..."):
        corpus = generate_corpus(seed=seed, train_size=train_size)
    texts = [text for pair in corpus.train for text in (pair.source, pair.target)]
    tokenizer = train_tokenizer(texts, kind="word", vocab_size=4000)
    console.print(
        f"{len(corpus.train)} training pairs, such as [italic]{corpus.train[0].source}[/] -> "
        f"[italic]{corpus.train[0].target}[/]; {len(tokenizer)} words."
    )

    set_seed(seed)
    config = AttnSeq2SeqConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        encoder_type="gru",
        decoder_type="gru",
        attention_type=attention_type,
    )
    model = AttnSeq2SeqForConditionalGeneration(config)
    console.print(f"A bidirectional GRU, attention '{attention_type}', a GRU: {model.num_parameters():,} parameters.")
    model.generation_config.max_new_tokens = 64  # the default of Transformers would truncate translations at 20 tokens
    train, validation = (
        text_examples(tokenizer, [(pair.source, pair.target) for pair in pairs])
        for pairs in (corpus.train, corpus.validation)
    )
    started = time.perf_counter()
    fit(model, tokenizer, train, validation, output_dir, settings)
    seconds = time.perf_counter() - started

    results: dict[str, object] = {
        "attention_type": attention_type,
        "seed": seed,
        "train_size": train_size,
        "epochs": epochs,
        "train_seconds": seconds,
    }
    table = Table("test", "pairs", "BLEU", "exact match", "AER", title=f"After {seconds:.0f} s of training")
    for name, pairs in (("unseen sentences", corpus.test), ("unseen combinations", corpus.test_compositional)):
        scores = measure(model, tokenizer, pairs)
        results[name] = scores
        aer = f"{scores['aer']:.1f} %" if "aer" in scores else "no attention"
        table.add_row(name, str(len(pairs)), f"{scores['bleu']:.1f}", f"{scores['exact_match']:.1f} %", aer)
    console.print(table)
    console.print(f"BLEU: sacreBLEU {results['unseen sentences']['bleu_signature']}", style="dim")  # type: ignore[index]

    (translation,) = translate(model, tokenizer, [SENTENCE])
    results["sentence"] = {"source": SENTENCE, "translation": translation}
    figures = output_dir / FIGURES_FILE
    write_text(figures, json.dumps(results, indent=2, ensure_ascii=False) + "\n")
    return DemoModel(model, tokenizer, translation)


def measure(
    model: AttnSeq2SeqForConditionalGeneration, tokenizer: object, pairs: list[AlignedPair]
) -> dict[str, float | str]:
    """
    BLEU, exact match and alignment error rate (the last two in percent) of greedy translations of gold-aligned pairs.
    Without attention there is no alignment.
    """
    texts = [(pair.source, pair.target) for pair in pairs]
    translations = translate(model, tokenizer, [source for source, _ in texts])  # type: ignore[arg-type]
    scores = score_corpus(translations, [target for _, target in texts], ("bleu", "exact_match"))
    measured: dict[str, float | str] = {
        "bleu": scores["bleu"].value,
        "bleu_signature": scores["bleu"].signature,
        "exact_match": scores["exact_match"].value,
    }
    if model.config.attention_type != "none":
        links = align(model, tokenizer, texts)  # type: ignore[arg-type]
        aer = alignment_error_rate(links, [pair.sure for pair in pairs], [pair.possible for pair in pairs])
        measured["aer"] = 100 * aer.error_rate
    return measured
