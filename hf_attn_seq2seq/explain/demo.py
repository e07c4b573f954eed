# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
The demonstration: the packaged model translates a real sentence; then a GRU with (or without) attention is trained on
the built-in English-French grammar, evaluated and explained.
"""

import shlex
import shutil
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from hf_attn_seq2seq.configuration_attn_seq2seq import ATTENTION_TYPES
from hf_attn_seq2seq.console import CommandParser, make_console, run_command
from hf_attn_seq2seq.decoding import attend, translate
from hf_attn_seq2seq.decoding.loading import load
from hf_attn_seq2seq.decoding.names import DEFAULT_MODEL
from hf_attn_seq2seq.explain import save_heatmap, terminal_heatmap, trace
from hf_attn_seq2seq.explain.page import save_page
from hf_attn_seq2seq.training.demo import FIGURES_FILE, SENTENCE, train_demo
from hf_attn_seq2seq.training.fit import keep_freed_memory
from hf_attn_seq2seq.writing import writing


def run(output_dir: Path, attention_type: str, seed: int, train_size: int, epochs: float) -> None:
    """Train, evaluate on both test sets, translate and explain the cat sentence, and save all to `output_dir`."""
    console = make_console()
    model, tokenizer, translation = train_demo(output_dir, attention_type, seed, train_size, epochs, console)
    said(console, "The model that was just trained translates:", SENTENCE, translation)
    saved = {"Figures": output_dir / FIGURES_FILE, "Model": output_dir}
    if attention_type != "none":
        shown = attend(model, tokenizer, SENTENCE)
        weights = shown.weights.mean(0)
        console.print(terminal_heatmap(weights, shown.source_tokens, shown.target_tokens, width=console.width))
        saved["Picture"] = output_dir / "attention.png"
        saved["Page"] = output_dir / "tour.html"
        with writing(output_dir):
            save_heatmap(weights, shown.source_tokens, shown.target_tokens, saved["Picture"], title=SENTENCE)
            save_page([trace(model, tokenizer, SENTENCE, name=str(output_dir))], saved["Page"])
    console.print()
    for name, path in saved.items():
        console.print(f"{name + ':':<8} {path}", markup=False, highlight=False, soft_wrap=True)


def said(console: Console, who: str, source: str, translation: str) -> None:
    """Print who translates, a sentence and its translation."""
    console.print(f"\n{who}\n  {source}  ->  [bold]{escape(translation)}[/]\n", highlight=False)


def show_packaged(console: Console) -> None:
    """Translate a sentence with the packaged model."""
    sentence = "The cat is on the mat."
    (translation,) = translate(*load(), [sentence])
    said(
        console,
        f"{DEFAULT_MODEL}, the packaged model, trained on everyday sentences and novels, translates:",
        sentence,
        translation,
    )


def show_next(console: Console, output_dir: Path) -> None:
    """Print what to try."""
    demo = shlex.quote(str(output_dir))
    commands = {
        'translate "Where is the station?"': "with the packaged model",
        'explain "Where is the station?" --html station.html': "every step of it, with its numbers",
        f'explain {demo} "{SENTENCE}"': "the same for the model that was just trained",
        "explain": "the guided tour of one sentence",
        "explain --train-tour": "the tour with and without attention; trains the second model first",
        "app": "all of this on a web page",
    }
    width = max(map(len, commands))
    console.print("\nTry next:", style="bold")
    if shutil.which("hf-attn-seq2seq") is None:
        console.print(
            f"  source {Path(sys.prefix) / 'bin' / 'activate'}", markup=False, highlight=False, soft_wrap=True
        )
    for command, what in commands.items():
        console.print(f"  hf-attn-seq2seq {command:<{width}}  # {what}", markup=False, highlight=False, soft_wrap=True)


def main(arguments: list[str] | None = None) -> None:
    parser = CommandParser(description=__doc__)
    parser.add_argument(
        "--output", type=Path, default=Path("outputs/demo"), help="folder for the model, the picture and the results"
    )
    parser.add_argument("--attention", choices=ATTENTION_TYPES, default="additive", help="(default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="random seed of the corpus, the model and the batches")
    parser.add_argument("--train-size", type=int, default=40000, help="training pairs")
    parser.add_argument("--epochs", type=float, default=3, help="epochs of training")
    options = parser.parse_args(arguments)

    keep_freed_memory()

    def demonstrate() -> None:
        console = make_console()
        show_packaged(console)
        run(options.output, options.attention, options.seed, options.train_size, options.epochs)
        show_next(console, options.output)

    run_command(demonstrate)


if __name__ == "__main__":
    run_command(main)
