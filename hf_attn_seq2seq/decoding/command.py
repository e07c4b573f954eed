# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Translate a sentence, a file or standard input, line by line. The output has one line per input line, in order."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hf_attn_seq2seq.data.links import to_pharaoh
from hf_attn_seq2seq.decoding.files import (
    STANDARD,
    Block,
    Output,
    ResumableOutput,
    count_lines,
    read_blocks,
    refuse_overwriting,
)
from hf_attn_seq2seq.decoding.names import (
    DEFAULT_MODEL,
    GRAPH_BATCH,
    TORCH_BATCH,
    looks_like_path,
    names_model,
    resolve,
)
from hf_attn_seq2seq.decoding.parsers import translate_parser
from hf_attn_seq2seq.splitting import max_source_tokens, splits_sentences
from hf_attn_seq2seq.writing import is_regular


if TYPE_CHECKING:
    from hf_attn_seq2seq.decoding.sentences import Translation

# A name with a file extension, such as corpus.en or test.txt; 3.14, U.S.A and Hello.World have none.
FILE_NAME = re.compile(r"(?!\w+://)\S+\.([a-z]{2,4}\d?|[A-Z]{2,4}\d?|jsonl|gz|xz|bz2)")
AS_TEXT = "To translate it as text, pipe it in: echo TEXT | hf-attn-seq2seq translate."
MAX_LENGTH_PENALTY = 50  # a length raised to more overflows
LARGEST_BLOCK = 1 << 28  # bytes
BLOCK_BYTES = 1024  # read ahead per sentence of a batch: about sixteen batches, which are sorted by length
FIRST_BLOCK = 512  # bytes: a few lines, so that their translations come soon
PROMPT = "> "


def main(arguments: list[str] | None = None) -> None:
    """The command `translate`; invalid input raises a ValueError with a one-sentence message."""
    run(translate_parser().parse(arguments))


class _Told(NamedTuple):
    model: str
    text: str | None
    file: Path | None


def _told_apart(model: str | None, given: str | None) -> _Told:
    """Tell model, file and text apart: a single argument may be any of them."""
    if model is not None and given is None and not (names_model(model) and not os.path.isfile(model)):
        model, given = None, model
    if model is None:
        model = DEFAULT_MODEL
    if given is None or given == STANDARD:
        return _Told(model, None, None)
    if os.path.exists(given) or looks_like_path(given) or FILE_NAME.fullmatch(given):
        return _Told(model, None, Path(given))
    return _Told(model, given, None)


def run(options: argparse.Namespace) -> None:
    """Read, translate, write, block by block."""
    options.model, options.text, options.file = _told_apart(options.model, options.input)
    options.output = None if options.output == Path(STANDARD) else options.output
    _check(options)
    # Not before the arguments are checked, and not for --help.
    from hf_attn_seq2seq.decoding.folders import fingerprint
    from hf_attn_seq2seq.decoding.jobs import Jobs, translating
    from hf_attn_seq2seq.decoding.opening import prepare

    names = [resolve(name) for name in options.model.split(",")]
    try:
        threads = 1 if options.processes > 1 else None  # of each: the searches are what is done at once
        opening = prepare(names, options.device, options.dtype, options.engine, threads)
    except ValueError as error:
        alone = options.text is None and options.file is None
        if alone and looks_like_path(options.model) and not os.path.exists(options.model):
            raise ValueError(f"{error} There is no file of that name to translate either. {AS_TEXT}") from None
        raise
    options.block = options.batch_size or TORCH_BATCH
    if options.batch_size is None:
        options.batch_size = GRAPH_BATCH if opening.graph else TORCH_BATCH
    if options.alignments or options.replace_unknown:
        for name, config in zip(names, opening.configs):
            if getattr(config, "attention_type", "") == "none":
                raise ValueError(f"'{name}' has no attention: leave out --alignments and --replace-unknown.")
    search = _search(options, opening.generation_config)
    split = splits_sentences(opening.configs[0], options.split_sentences)
    limit = max_source_tokens(opening.configs[0], opening.tokenizer)
    if options.max_source_tokens:
        limit = min(limit, options.max_source_tokens)
    if options.file and options.output and is_regular(options.output):
        settings = {
            "split_sentences": split,
            "max_source_tokens": limit,
            "batch_size": options.batch_size,
            "dtype": options.dtype,
        }
        same = {"model": [fingerprint(name) for name in names], **search, **settings, "format": options.format}
        output: Output = ResumableOutput(options.output, same, options.resume)
    else:
        if options.resume:
            raise ValueError(f"{options.output} is not a regular file and cannot be resumed: leave out --resume.")
        output = Output(options.output)
    search["max_source_tokens"] = limit
    with output, translating(opening, search, options.processes) as submit, _Bar(options, output) as bar:
        jobs = Jobs(opening.tokenizer, limit, options.batch_size, options.file, split, bar.warn)
        read = _read(options, output)
        output.open()
        # A file is read ahead, so that no process waits at a block's end; a typed line is translated at once.
        ahead = options.processes > 1 and options.file is not None
        for block, translations in jobs.run(submit, _not_done(read, output, options.file), ahead):
            content = "".join(_formatted(block, translations, options))
            output.write(content, block.first + len(block.lines), block.digest)
            bar.update(len(block.lines))
        output.finish()
    if not output.lines:
        print(f"note: {options.file or 'standard input'} is empty.", file=sys.stderr)


def _read(options: argparse.Namespace, output: Output) -> Iterator[Block]:
    """The text, or the lines of the file or of standard input."""
    if options.text is not None:
        return iter([Block(0, options.text.splitlines(), "")])
    typing = not options.file and sys.stdin is not None and sys.stdin.isatty()
    if typing:
        print("Type one sentence per line; end with Ctrl-D.", file=sys.stderr)
    size = min(BLOCK_BYTES * options.block, LARGEST_BLOCK)
    return read_blocks(options.file, size, first=FIRST_BLOCK, done=output.lines, prompt=PROMPT if typing else "")


def _check(options: argparse.Namespace) -> None:
    for name in ("n_best", "num_beams", "max_new_tokens", "max_source_tokens", "batch_size", "processes"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name.replace('_', '-')} is {value}: it must be at least 1.")
    if options.resume and not (options.output and options.file):
        raise ValueError("--resume needs a FILE and an --output: a pipe cannot be resumed.")
    if options.file and not options.file.exists():
        raise ValueError(f"There is no file {options.file}: check its path. {AS_TEXT}")
    if options.text is not None and not options.text.strip():
        raise ValueError("The text is empty: give a sentence or a file.")
    if options.text is not None and not _is_unicode(options.text):
        raise ValueError("The text is not UTF-8: set the terminal to UTF-8, or give a file.")
    if options.length_penalty is not None and not abs(options.length_penalty) <= MAX_LENGTH_PENALTY:
        raise ValueError(
            f"--length-penalty is {options.length_penalty}: it must be a number from -{MAX_LENGTH_PENALTY} to "
            f"{MAX_LENGTH_PENALTY}."
        )
    if options.attention_layer is not None and not (options.alignments or options.replace_unknown):
        raise ValueError("--attention-layer only applies to --alignments and --replace-unknown: add one of them.")
    if options.dictionary and not options.replace_unknown:
        raise ValueError("--dictionary needs --replace-unknown: add it.")
    refuse_overwriting(options.output, options.file, options.dictionary)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a byte of an argument that is not UTF-8
        return False
    return True


def _search(options: argparse.Namespace, defaults: Any) -> dict[str, Any]:
    """The keywords for `translate_n_best`."""
    search: dict[str, Any] = {
        "num_beams": options.num_beams or getattr(defaults, "num_beams", None) or 1,
        "n_best": options.n_best or 1,
        "scores": bool(options.n_best) or options.format == "jsonl",
        "links": options.alignments,
    }
    if options.attention_layer is not None:
        search["attention_layer"] = options.attention_layer
    if options.length_penalty is not None:
        search["length_penalty"] = options.length_penalty
    if options.max_new_tokens is not None:
        search["max_new_tokens"] = options.max_new_tokens
    if options.replace_unknown:
        search["unknown_words"] = _read_dictionary(options.dictionary) if options.dictionary else {}
    if search["n_best"] > search["num_beams"]:
        if options.num_beams:
            raise ValueError(
                f"--n-best {search['n_best']} needs at least as many beams: --num-beams is {options.num_beams}."
            )
        search["num_beams"] = search["n_best"]
    return search


def _read_dictionary(path: Path) -> dict[str, str]:
    entries: dict[str, str] = {}
    for block in read_blocks(path, 1 << 16):
        for number, line in enumerate(block.lines, start=block.first + 1):
            word, tab, entry = line.partition("\t")
            if line.strip() and not (tab and word.strip() and entry.strip()):
                raise ValueError(f"{path}, line {number}, is not an entry: write a word, a tab and its translation.")
            entries.setdefault(word.strip(), entry.partition("\t")[0].strip())
    return entries


def _not_done(blocks: Iterator[Block], output: Output, path: Path | None) -> Iterator[Block]:
    """The blocks that an earlier run did not finish; a ValueError if the input has changed since."""
    end = 0
    for block in blocks:
        end = block.first + len(block.lines)
        if block.first >= output.lines:
            yield block
        elif end >= output.lines and (end, block.digest) != (output.lines, output.digest):
            break
    else:
        if end >= output.lines:
            return
    raise ValueError(f"{path} has changed since {output.path} was started: its first {output.lines} lines differ.")


def _formatted(block: Block, results: list[list[Translation]], options: argparse.Namespace) -> Iterator[str]:
    for number, (source, translations) in enumerate(zip(block.lines, results), start=block.first):
        if options.format == "jsonl":
            entries = []
            for translation in translations:
                entry: dict[str, Any] = {"text": translation.text, "score": round(translation.score, 4)}
                if options.alignments:
                    entry["alignment"] = to_pharaoh(translation.links)
                entries.append(entry)
            record = {"id": number, "source": source, "translations": entries}
            yield json.dumps(record, ensure_ascii=False) + "\n"
            continue
        for translation in translations:
            parts = [" ".join(translation.text.splitlines())]  # a model may write a line end
            if options.n_best:
                parts = [str(number), *parts, f"{translation.score:.4f}"]
            if options.alignments and (source.strip() or options.n_best):
                parts.append(to_pharaoh(translation.links))
            yield " ||| ".join(parts) + "\n"


class _Bar:
    """A progress bar on a terminal, unless the translations are written there."""

    def __init__(self, options: argparse.Namespace, output: Output) -> None:
        self.bar: Any = None
        if sys.stderr.isatty() and not (options.output is None and sys.stdout.isatty()):
            from tqdm import tqdm

            total = count_lines(options.file) if options.file else None
            place: dict[str, Any] = {"file": sys.stderr, "dynamic_ncols": True}
            self.bar = tqdm(total=total, initial=output.lines, unit=" lines", **place)

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def update(self, lines: int) -> None:
        if self.bar is not None:
            self.bar.update(lines)

    def warn(self, sentence: str) -> None:
        """Print a sentence above the bar."""
        if self.bar is not None:
            self.bar.write(sentence, file=sys.stderr)
        else:
            print(sentence, file=sys.stderr)
