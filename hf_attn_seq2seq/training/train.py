# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Train an attention encoder-decoder on your own sentence pairs: two aligned text files, or one tab-separated file."""

import argparse
import difflib
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from transformers import AutoTokenizer, set_seed
from transformers.trainer_utils import get_last_checkpoint

from hf_attn_seq2seq import PRESETS, AttnSeq2SeqConfig, AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.data.corpora import read_pairs, split_pairs
from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer
from hf_attn_seq2seq.decoding import translate
from hf_attn_seq2seq.evaluation import corpus_scores
from hf_attn_seq2seq.training.console import run_command
from hf_attn_seq2seq.training.fit import FitSettings, fit, make_folder, remove_checkpoints


# What describes the model; the tokenizer decides the rest.
MODEL_FIELDS = [
    name
    for name in AttnSeq2SeqConfig.__annotations__
    if not name.endswith(("vocab_size", "_token_id")) and name not in ("is_encoder_decoder", "use_cache")
]
EXAMPLES = """examples:
  python training/train.py --source train.en --target train.fr --output outputs/en-fr
  python training/train.py --source pairs.tsv.gz --preset luong2015 --set hidden_size=512 decoder_layers=2 \\
      --output outputs/luong
"""


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    data = parser.add_argument_group("data")
    data.add_argument("--source", type=Path, required=True, help="source sentences, or, with no --target, a TSV")
    data.add_argument("--target", type=Path, help="target sentences, line by line")
    data.add_argument("--validation-source", type=Path, help="as --source; else pairs are split off the training data")
    data.add_argument("--validation-target", type=Path, help="as --target")
    data.add_argument("--validation-size", type=int, help="pairs to split off (default a tenth, 1000 at most)")
    data.add_argument("--encoding", default="utf-8", help="of all files (default %(default)s)")
    data.add_argument("--limit", type=int, help="use the first N training pairs only")
    text = parser.add_argument_group("tokenizer")
    text.add_argument("--tokenizer", choices=("bpe", "word"), default="bpe", help="(default %(default)s)")
    text.add_argument("--vocab-size", type=int, default=8000, help="(default %(default)s)")
    text.add_argument("--lowercase", action="store_true", help="forget capital letters")
    model = parser.add_argument_group("model")
    model.add_argument("--preset", choices=tuple(PRESETS), help="a paper's configuration")
    model.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="FIELD=VALUE", help="any field of AttnSeq2SeqConfig"
    )
    defaults = FitSettings()
    training = parser.add_argument_group("training")
    training.add_argument("--output", type=Path, required=True, help="folder for checkpoints and the model")
    training.add_argument("--epochs", type=float, default=defaults.epochs, help="(default %(default)s)")
    training.add_argument("--batch-size", type=int, default=defaults.batch_size, help="(default %(default)s)")
    training.add_argument("--learning-rate", type=float, default=defaults.learning_rate, help="(default %(default)s)")
    training.add_argument("--warmup-steps", type=int, default=defaults.warmup_steps, help="(default %(default)s)")
    training.add_argument(
        "--label-smoothing", type=float, default=defaults.label_smoothing, help="(default %(default)s)"
    )
    training.add_argument("--bf16", action="store_true", help="compute in bfloat16")
    training.add_argument("--seed", type=int, default=defaults.seed, help="(default %(default)s)")
    training.add_argument(
        "--resume", action="store_true", help="go on from the newest checkpoint in --output, with its tokenizer"
    )
    training.add_argument("--overwrite", action="store_true", help="replace what an earlier run left in --output")
    training.add_argument("--num-beams", type=int, default=5, help="of the final BLEU (default %(default)s)")
    return parser


def parse_fields(assignments: list[str]) -> dict[str, Any]:
    """
    `["hidden_size=512", "attention_type=dot"]` to a dict; values are read as JSON, else as text.

    Raises:
        ValueError: An assignment has no `=`, names no field, or a vocabulary's size.
    """
    fields: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise ValueError(f"--set takes FIELD=VALUE, not '{assignment}'.")
        if name in ("vocab_size", "decoder_vocab_size"):
            raise ValueError(f"{name} follows the tokenizer: use --vocab-size.")
        if name not in MODEL_FIELDS:
            close = difflib.get_close_matches(name, MODEL_FIELDS, n=1, cutoff=0.75)
            hint = f"did you mean '{close[0]}'?" if close else f"choose among {', '.join(MODEL_FIELDS)}."
            raise ValueError(f"--set takes no field '{name}': {hint}")
        try:
            fields[name] = json.loads(value)
        except json.JSONDecodeError:
            fields[name] = {"True": True, "False": False, "None": None}.get(value, value)
    return fields


def check_options(options: argparse.Namespace) -> FitSettings:
    """Refuse wrong options before any work is done or anything is written; the settings they make."""
    for name in ("limit", "num_beams", "validation_size"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')} is {getattr(options, name)}: it must be at least 1.")
    if options.validation_target and not options.validation_source:
        raise ValueError("--validation-target needs --validation-source.")
    newest = get_last_checkpoint(str(options.output)) if options.output.is_dir() else None
    if options.resume and newest is None:
        raise ValueError(f"There is no checkpoint in '{options.output}': leave out --resume.")
    used = newest is not None or (options.output / "config.json").exists()
    if used and not (options.resume or options.overwrite):
        raise ValueError(f"'{options.output}' holds a model: name another folder, or say --resume or --overwrite.")
    return FitSettings(
        epochs=options.epochs,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        warmup_steps=options.warmup_steps,
        label_smoothing=options.label_smoothing,
        seed=options.seed,
        bf16=options.bf16,
    )


def check_same_model(config: AttnSeq2SeqConfig, checkpoint: str) -> None:
    """Refuse to go on from a checkpoint of another model; the sentence names what differs."""
    saved = AttnSeq2SeqConfig.from_pretrained(checkpoint)
    differing = [
        f"{name} ({getattr(saved, name)} there, {getattr(config, name)} here)"
        for name in MODEL_FIELDS
        if getattr(saved, name) != getattr(config, name)
    ]
    if differing:
        raise ValueError(f"'{checkpoint}' holds another model: give the same {', '.join(differing)}.")


def printable(text: str) -> str:
    """Text that cannot steer the terminal: an untrained byte-level model may say anything."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def run(options: argparse.Namespace) -> None:
    """Read, split, train, save, and measure on the validation pairs."""
    console = Console()
    settings = check_options(options)
    corpus = read_pairs(options.source, options.target, encoding=options.encoding)
    train = corpus.pairs
    if options.validation_source:
        validation = read_pairs(options.validation_source, options.validation_target, encoding=options.encoding).pairs
    else:
        size = min(1000, max(1, len(train) // 10)) if options.validation_size is None else options.validation_size
        train, validation = split_pairs(train, size, options.seed)
    train = train[: options.limit]
    console.print(
        f"{len(train)} training and {len(validation)} validation pairs; {corpus.dropped_empty} with an empty side."
    )

    # Built before the tokenizer is trained, so that a wrong field is told at once.
    build = PRESETS[options.preset] if options.preset else AttnSeq2SeqConfig
    fields = parse_fields(options.set)
    build(**{**fields, "vocab_size": options.vocab_size})
    checkpoint = get_last_checkpoint(str(options.output)) if options.resume else None
    if checkpoint:
        tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    else:
        texts = (text for pair in train for text in pair)
        tokenizer = train_tokenizer(
            texts, kind=options.tokenizer, vocab_size=options.vocab_size, lowercase=options.lowercase
        )
        remove_checkpoints(make_folder(options.output))
        tokenizer.save_pretrained(options.output)
    set_seed(options.seed)
    config = build(**{**fields, "vocab_size": len(tokenizer)})
    if checkpoint:
        check_same_model(config, checkpoint)
    model = AttnSeq2SeqForConditionalGeneration(config)
    console.print(f"{len(tokenizer)} tokens, {model.num_parameters():,} parameters.")
    fit(model, tokenizer, train, validation, options.output, settings, resume=options.resume)

    translations = translate(model, tokenizer, [pair.source for pair in validation], num_beams=options.num_beams)
    scores = corpus_scores(translations, [pair.target for pair in validation])
    for pair, translation in list(zip(validation, translations))[:3]:
        lines = (("source", pair.source), ("model", translation), ("reference", pair.target))
        shown = "\n".join(f"  {name:<10}{printable(text)}" for name, text in lines)
        console.print(f"\n{shown}", markup=False, highlight=False)
    console.print(
        f"\nValidation, {options.num_beams} beams: BLEU {scores.bleu:.2f}, chrF {scores.chrf:.2f}, exact match "
        f"{scores.exact_match:.1f} %  ({scores.bleu_signature})\nModel: {options.output}",
        markup=False,
        highlight=False,
    )


def main(arguments: list[str] | None = None) -> None:
    options = build_parser().parse_args(arguments)
    run_command(lambda: run(options))


if __name__ == "__main__":
    main()
