# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The demonstration: a GRU with attention (or without) learns the built-in English-French grammar, and is measured."""

import argparse
import json
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table
from transformers import set_seed

from hf_attn_seq2seq import AttnSeq2SeqConfig, AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.configuration_attn_seq2seq import ATTENTION_TYPES
from hf_attn_seq2seq.console import run_command
from hf_attn_seq2seq.data.examples import text_examples
from hf_attn_seq2seq.data.grammar import AlignedPair, generate_corpus
from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer
from hf_attn_seq2seq.decoding import align, attend, translate
from hf_attn_seq2seq.evaluation import alignment_error_rate, corpus_scores
from hf_attn_seq2seq.explain import save_heatmap, terminal_heatmap
from hf_attn_seq2seq.training.fit import fit, make_folder, remove_checkpoints
from hf_attn_seq2seq.training.settings import TrainingSettings


SENTENCE = "The cat is on the mat ."


def run(output_dir: Path, attention_type: str, seed: int, train_size: int, epochs: float) -> None:
    """Train, measure on both tests, translate the cat sentence, draw its attention, and save all to `output_dir`."""
    settings = TrainingSettings(
        epochs=epochs, batch_size=64, learning_rate=2e-3, warmup_steps=200, seed=seed, metric="loss", samples=0
    )
    if train_size < 1:
        raise ValueError(f"--train-size is {train_size}: it must be at least 1.")
    remove_checkpoints(make_folder(output_dir))
    console = Console()
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
    model.generation_config.max_new_tokens = 64  # Transformers' own default would cut every translation at 20 tokens
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
    console.print(f"\n{SENTENCE}  ->  [bold]{translation}[/]\n")
    saved = ""
    if attention_type != "none":
        shown = attend(model, tokenizer, SENTENCE)
        weights = shown.weights.mean(0)
        console.print(terminal_heatmap(weights, shown.source_tokens, shown.target_tokens, width=console.width))
        picture = output_dir / "attention.png"
        save_heatmap(weights, shown.source_tokens, shown.target_tokens, picture, title=SENTENCE)
        saved = f"\nPicture: {picture}"

    results["sentence"] = {"source": SENTENCE, "translation": translation}
    (output_dir / "results.json").write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", "utf-8")
    saved += f"\nFigures: {output_dir / 'results.json'}"
    console.print(f"{saved}\nModel: AutoModelForSeq2SeqLM.from_pretrained('{output_dir}')", markup=False)
    console.print(f'See how it works: hf-attn-seq2seq explain {output_dir} "{SENTENCE}"', markup=False)


def measure(
    model: AttnSeq2SeqForConditionalGeneration, tokenizer: object, pairs: list[AlignedPair]
) -> dict[str, float | str]:
    """
    BLEU, exact match and alignment error rate (both in percent) of greedy translations of gold-aligned pairs; without
    attention there is no alignment.
    """
    texts = [(pair.source, pair.target) for pair in pairs]
    translations = translate(model, tokenizer, [source for source, _ in texts])  # type: ignore[arg-type]
    scores = corpus_scores(translations, [target for _, target in texts])
    measured: dict[str, float | str] = {
        "bleu": scores.bleu,
        "bleu_signature": scores.bleu_signature,
        "exact_match": scores.exact_match,
    }
    if model.config.attention_type != "none":
        links = align(model, tokenizer, texts)  # type: ignore[arg-type]
        aer = alignment_error_rate(links, [pair.sure for pair in pairs], [pair.possible for pair in pairs])
        measured["aer"] = 100 * aer.error_rate
    return measured


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("outputs/demo"), help="folder for model, picture, figures")
    parser.add_argument("--attention", choices=ATTENTION_TYPES, default="additive", help="(default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the corpus, the model and the batches")
    parser.add_argument("--train-size", type=int, default=40000, help="training pairs")
    parser.add_argument("--epochs", type=float, default=3, help="passes over them")
    options = parser.parse_args(arguments)
    run_command(lambda: run(options.output, options.attention, options.seed, options.train_size, options.epochs))


if __name__ == "__main__":
    main()
