# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
The demonstration: a real sentence by the model in the package, then a GRU with attention (or without) learns the
built-in English-French grammar before the reader's eyes, is measured and explained.
"""

import json
import shlex
import shutil
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from transformers import set_seed

from hf_attn_seq2seq import AttnSeq2SeqConfig, AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.configuration_attn_seq2seq import ATTENTION_TYPES
from hf_attn_seq2seq.console import CommandParser, make_console, run_command
from hf_attn_seq2seq.data.examples import text_examples
from hf_attn_seq2seq.data.grammar import AlignedPair, generate_corpus
from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer
from hf_attn_seq2seq.decoding import align, attend, translate
from hf_attn_seq2seq.decoding.loading import DEFAULT_MODEL, load
from hf_attn_seq2seq.evaluation import alignment_error_rate, corpus_scores
from hf_attn_seq2seq.explain import save_heatmap, terminal_heatmap, trace
from hf_attn_seq2seq.explain.page import save_page
from hf_attn_seq2seq.training.fit import fit, remove_checkpoints, working_in
from hf_attn_seq2seq.training.settings import TrainingSettings
from hf_attn_seq2seq.writing import write_text, writing


SENTENCE = "The cat is on the mat ."
FIGURES_FILE = "demo.json"  # not results.json, which holds what `evaluate` measures and a card is made of


def run(output_dir: Path, attention_type: str, seed: int, train_size: int, epochs: float) -> None:
    """Train, measure on both tests, translate the cat sentence, explain it, and save all to `output_dir`."""
    with working_in(output_dir), writing(output_dir):
        _run(output_dir, attention_type, seed, train_size, epochs)


def _run(output_dir: Path, attention_type: str, seed: int, train_size: int, epochs: float) -> None:
    settings = TrainingSettings(
        epochs=epochs, batch_size=64, learning_rate=2e-3, warmup_steps=200, seed=seed, metric="loss", samples=0
    )
    if train_size < 1:
        raise ValueError(f"--train-size is {train_size}: it must be at least 1.")
    remove_checkpoints(output_dir)
    console = make_console()
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
    results["sentence"] = {"source": SENTENCE, "translation": translation}
    figures = output_dir / FIGURES_FILE
    write_text(figures, json.dumps(results, indent=2, ensure_ascii=False) + "\n")
    said(console, "The model just trained says:", SENTENCE, translation)
    saved = {"Figures": figures, "Model": output_dir}
    if attention_type != "none":
        shown = attend(model, tokenizer, SENTENCE)
        weights = shown.weights.mean(0)
        console.print(terminal_heatmap(weights, shown.source_tokens, shown.target_tokens, width=console.width))
        saved["Picture"] = output_dir / "attention.png"
        save_heatmap(weights, shown.source_tokens, shown.target_tokens, saved["Picture"], title=SENTENCE)
        saved["Page"] = output_dir / "tour.html"
        save_page([trace(model, tokenizer, SENTENCE, name=str(output_dir))], saved["Page"])
    console.print()
    for name, path in saved.items():
        console.print(f"{name + ':':<8} {path}", markup=False, highlight=False, soft_wrap=True)


def said(console: Console, who: str, source: str, translation: str) -> None:
    """Print who translates, a sentence and its translation."""
    console.print(f"\n{who}\n  {source}  ->  [bold]{escape(translation)}[/]\n", highlight=False)


def show_packaged(console: Console) -> None:
    """Translate a sentence by the model that comes with this package."""
    sentence = "The cat is on the mat."
    (translation,) = translate(*load(), [sentence])
    said(
        console,
        f"{DEFAULT_MODEL}, which comes with this package and learned from Tatoeba, says:",
        sentence,
        translation,
    )


def show_next(console: Console, output_dir: Path) -> None:
    """Print what to try."""
    demo = shlex.quote(str(output_dir))
    commands = {
        'translate "Where is the station?"': "by the model in the package",
        'explain "Where is the station?" --html station.html': "every step of that, with its numbers",
        f'explain {demo} "{SENTENCE}"': "the same of the model just trained",
        "explain": "the guided tour; first trains a model without attention, in two minutes",
        "app": "all of this on a page",
    }
    width = max(map(len, commands))
    console.print("\nTry next:", style="bold")
    if shutil.which("hf-attn-seq2seq") is None:
        console.print(
            f"  source {Path(sys.prefix) / 'bin' / 'activate'}", markup=False, highlight=False, soft_wrap=True
        )
    for command, what in commands.items():
        console.print(f"  hf-attn-seq2seq {command:<{width}}  # {what}", markup=False, highlight=False, soft_wrap=True)


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
    parser = CommandParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("outputs/demo"), help="folder for model, picture, figures")
    parser.add_argument("--attention", choices=ATTENTION_TYPES, default="additive", help="(default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the corpus, the model and the batches")
    parser.add_argument("--train-size", type=int, default=40000, help="training pairs")
    parser.add_argument("--epochs", type=float, default=3, help="passes over them")
    options = parser.parse_args(arguments)

    def demonstrate() -> None:
        console = make_console()
        show_packaged(console)
        run(options.output, options.attention, options.seed, options.train_size, options.epochs)
        show_next(console, options.output)

    run_command(demonstrate)


if __name__ == "__main__":
    run_command(main)
