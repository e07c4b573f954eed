# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Translate a sentence, a file or standard input, line by line. The output has one line per input line, in order."""

import argparse
import json
import multiprocessing
import os
import re
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tqdm import tqdm
from transformers import GenerationConfig, PreTrainedTokenizerBase

from hf_attn_seq2seq.console import ENDING, CommandParser, quieten
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
from hf_attn_seq2seq.decoding.loading import (
    DEFAULT_MODEL,
    DTYPES,
    Translator,
    fingerprint,
    load_tokenizer,
    load_translator,
    looks_like_path,
    names_model,
    pick_device,
    read_config,
    read_generation_config,
    resolve,
)
from hf_attn_seq2seq.decoding.sentences import Translation, join_translations
from hf_attn_seq2seq.decoding.text import length_batches, translate_n_best
from hf_attn_seq2seq.splitting import Piece, max_source_tokens, source_language, split_text
from hf_attn_seq2seq.writing import is_regular


EXAMPLES = """examples:
  hf-attn-seq2seq translate "The cat is on the mat."
  hf-attn-seq2seq translate outputs/en-fr < test.en > test.fr
  hf-attn-seq2seq translate outputs/en-fr corpus.en.gz --output corpus.fr.gz --processes 4 --resume
  hf-attn-seq2seq translate outputs/a,outputs/b test.en --n-best 5 --format jsonl

formats:
  text   the translation; with --alignments, `translation ||| 0-0 1-2`; with --n-best, one line
         `line ||| translation ||| score` per translation, followed by `||| 0-0 1-2` with --alignments. Lines are
         counted from 0.
  jsonl  one JSON object per line: id (the line number, from 0), source, and translations, best first, each with text,
         score and, with --alignments, alignment
A score is the sum of the tokens' log-probabilities, divided by length ** length_penalty; for a line with several
sentences it is the mean of their scores. An alignment has a link `source-target` for each linked word of the
translation. Words are separated by whitespace and counted from 0.
"""
# A name with a file extension, such as corpus.en or test.txt; 3.14, U.S.A and Hello.World have none.
FILE_NAME = re.compile(r"(?!\w+://)\S+\.([a-z]{2,4}\d?|[A-Z]{2,4}\d?|jsonl|gz|xz|bz2)")
AS_TEXT = "To translate it as text, pipe it in: echo TEXT | hf-attn-seq2seq translate."
MAX_LENGTH_PENALTY = 50  # a length raised to more overflows
BATCH_TOKENS = 64  # a sentence of usual length; a batch has at most this many tokens per sentence
LARGEST_BLOCK = 1 << 28  # bytes
BLOCK_BYTES = 1024  # read ahead per sentence of a batch: about sixteen batches, which are sorted by length


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser(description=__doc__, epilog=EXAMPLES)
    parser.add_argument(
        "model",
        nargs="?",
        metavar="MODEL[,MODEL...]",
        help="folder of a trained model, or its name on the Hub; several models form an ensemble (default: "
        f"{DEFAULT_MODEL}, English to French, included in this package)",
    )
    parser.add_argument(
        "input",
        nargs="?",
        metavar="TEXT|FILE",
        help="a sentence, or a UTF-8 file, optionally .gz, .xz or .bz2 (default or -: standard input)",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output", "-o", type=Path, metavar="FILE", help="optionally .gz, .xz or .bz2 (default: standard output)"
    )
    output.add_argument("--resume", action="store_true", help="continue the unfinished --output of an interrupted run")
    output.add_argument("--format", choices=("text", "jsonl"), default="text", help="(default %(default)s)")
    output.add_argument("--n-best", type=int, metavar="N", help="write the N best translations with their scores")
    output.add_argument("--alignments", action="store_true", help="write word alignments in Pharaoh format")
    search = parser.add_argument_group("search")
    search.add_argument(
        "--no-split",
        dest="split_sentences",
        action="store_false",
        help="translate each line as a whole (default: sentence by sentence, joined into one line again)",
    )
    search.add_argument("--num-beams", type=int, metavar="N", help="1 is greedy search (default: the model's setting)")
    search.add_argument(
        "--length-penalty",
        type=float,
        metavar="X",
        help="above 0 favours longer translations (default: the model's setting)",
    )
    search.add_argument(
        "--max-new-tokens",
        type=int,
        metavar="N",
        help="maximum length of a sentence's translation (default: the model's setting, or 256)",
    )
    search.add_argument(
        "--max-source-tokens", type=int, metavar="N", help="truncate longer sentences (default: the model's limit)"
    )
    attention = parser.add_argument_group("attention")
    attention.add_argument(
        "--replace-unknown",
        action="store_true",
        help="replace each unknown token by the source word with the most attention",
    )
    attention.add_argument(
        "--dictionary", type=Path, metavar="TSV", help="with --replace-unknown: source words and their translations"
    )
    attention.add_argument(
        "--attention-layer",
        type=int,
        metavar="N",
        help="layer to read (default: that of MODEL/alignment.json, or the last)",
    )
    work = parser.add_argument_group("work")
    work.add_argument(
        "--batch-size", type=int, default=64, metavar="N", help="sentences per batch (default %(default)s)"
    )
    work.add_argument("--processes", type=int, default=1, metavar="N", help="worker processes (default %(default)s)")
    work.add_argument("--device", help="such as cpu or cuda:1 (default: a GPU if available)")
    work.add_argument("--dtype", choices=DTYPES, default="auto")
    return parser


def main(arguments: list[str] | None = None) -> None:
    """The command `translate`; invalid input raises a ValueError with a one-sentence message."""
    options = build_parser().parse_intermixed_args(arguments)
    options.model, options.text, options.file = _told_apart(options.model, options.input)
    options.output = None if options.output == Path(STANDARD) else options.output
    run(options)


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
    _check(options)
    names = [resolve(name) for name in options.model.split(",")]
    try:
        tokenizer = load_tokenizer(names)
    except ValueError as error:
        alone = options.text is None and options.file is None
        if alone and looks_like_path(options.model) and not os.path.exists(options.model):
            raise ValueError(f"{error} There is no file of that name to translate either. {AS_TEXT}") from None
        raise
    config = read_config(names[0])
    if options.alignments or options.replace_unknown:
        _check_attention(names)
    search = _search(options, read_generation_config(names[0], config))
    limit = max_source_tokens(config, tokenizer)
    if options.max_source_tokens:
        limit = min(limit, options.max_source_tokens)
    if options.file and options.output and is_regular(options.output):
        settings = {
            "split_sentences": options.split_sentences,
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
    loading = {"names": names, "device": options.device, "dtype": options.dtype}
    jobs = _Jobs(
        tokenizer,
        limit,
        options.batch_size,
        {**search, "max_source_tokens": limit},
        options.file,
        options.split_sentences,
    )
    with output, _workers(options.processes, loading) as executor, _bar(options, output) as bar:
        if options.text is not None:
            read: Iterator[Block] = iter([Block(0, options.text.splitlines(), "")])
        else:
            if not options.file and sys.stdin is not None and sys.stdin.isatty():
                print("Type one sentence per line; end with Ctrl-D.", file=sys.stderr)
            read = read_blocks(options.file, min(BLOCK_BYTES * options.batch_size, LARGEST_BLOCK))
        output.open()
        blocks = _not_done(read, output, options.file)
        # A file is read ahead, so that no process waits at a block's end; a typed line is translated at once.
        ahead = options.processes > 1 and options.file is not None
        for block, translations in jobs.run(executor, blocks, ahead):
            content = "".join(_formatted(block, translations, options))
            output.write(content, block.first + len(block.lines), block.digest)
            bar.update(len(block.lines))
        output.finish()
    if not output.lines:
        print(f"note: {options.file or 'standard input'} is empty.", file=sys.stderr)


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
    pick_device(options.device)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a byte of an argument that is not UTF-8
        return False
    return True


def _check_attention(names: Sequence[str]) -> None:
    for name in names:
        if getattr(read_config(name), "attention_type", "") == "none":
            raise ValueError(f"'{name}' has no attention: leave out --alignments and --replace-unknown.")


def _search(options: argparse.Namespace, defaults: GenerationConfig) -> dict[str, Any]:
    """The keywords for `translate_n_best`."""
    search: dict[str, Any] = {
        "num_beams": options.num_beams or defaults.num_beams or 1,
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


class _Jobs(NamedTuple):
    """Splits blocks into sentences and batches, and reassembles their translations."""

    tokenizer: PreTrainedTokenizerBase
    limit: int  # tokens
    batch_size: int
    search: dict[str, Any]
    path: Path | None
    split_sentences: bool

    def run(
        self, executor: Executor, blocks: Iterator[Block], ahead: bool
    ) -> Iterator[tuple[Block, list[list[Translation]]]]:
        """Each block, in order, with the translations of its lines; with `ahead`, the next block is started early."""
        begun: deque[_Begun] = deque()
        for block in blocks:
            begun.append(self._begin(executor, block))
            if len(begun) > ahead:
                yield self._collect(begun.popleft())
        while begun:
            yield self._collect(begun.popleft())

    def _begin(self, executor: Executor, block: Block) -> "_Begun":
        lines = [self._split(line) if line.strip() else [] for line in block.lines]
        jobs = list(self._submit(executor, block, lines)) if any(lines) else []
        return _Begun(block, lines, jobs)

    def _split(self, line: str) -> list[Piece]:
        return split_text(line, source_language(self.tokenizer)) if self.split_sentences else [Piece("", line)]

    def _submit(
        self, executor: Executor, block: Block, lines: list[list[Piece]]
    ) -> Iterator[tuple[list[int], Future[list[list[Translation]]]]]:
        sentences = [piece.sentence for pieces in lines for piece in pieces]
        numbers = [number for number, pieces in enumerate(lines, start=block.first + 1) for _ in pieces]
        lengths = [len(ids) for ids in self.tokenizer(sentences)["input_ids"]]
        for number, length in zip(numbers, lengths):
            if length > self.limit:
                where = f"line {number} of {self.path or 'the text'}"
                if len(lines[number - 1 - block.first]) > 1:
                    where = f"a sentence in {where}"
                tqdm.write(f"warning: {where} has {length:,} tokens: truncated to {self.limit:,}.", file=sys.stderr)
        lengths = [min(length, self.limit) for length in lengths]
        for batch in length_batches(lengths, self.batch_size, self.batch_size * BATCH_TOKENS):
            yield batch, executor.submit(_translate, [sentences[index] for index in batch], self.search)

    @staticmethod
    def _collect(begun: "_Begun") -> tuple[Block, list[list[Translation]]]:
        made = {index: result for batch, future in begun.jobs for index, result in zip(batch, future.result())}
        in_order = (made[index] for index in range(len(made)))
        blank = [Translation("", 0.0, frozenset())]
        results = [
            join_translations(pieces, [next(in_order) for _ in pieces]) if pieces else blank for pieces in begun.lines
        ]
        return begun.block, results


class _Begun(NamedTuple):
    """A block that is being translated."""

    block: Block
    lines: list[list[Piece]]
    jobs: list[tuple[list[int], Future[list[list[Translation]]]]]


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


def _bar(options: argparse.Namespace, output: Output) -> tqdm:
    """A progress bar on a terminal, unless the translations are written there."""
    hidden = not sys.stderr.isatty() or (options.output is None and sys.stdout.isatty())
    total = count_lines(options.file) if options.file and not hidden else None
    return tqdm(total=total, initial=output.lines, unit=" lines", disable=hidden, file=sys.stderr, dynamic_ncols=True)


# Translation itself, in this process or in worker processes.


class _Here(Executor):
    """Runs jobs immediately in this process."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        future: Future = Future()
        future.set_result(function(*args, **kwargs))
        return future


_loading: dict[str, Any] = {}
_translator: Translator | None = None


def _workers(processes: int, loading: dict[str, Any]) -> Executor:
    if processes == 1:
        global _translator
        _translator = load_translator(**loading)
        return _Here()
    context = multiprocessing.get_context("spawn")
    threads = max(1, torch.get_num_threads() // processes)
    return _Pool(processes, context, _prepare_process, (loading, threads, context.Value("i", 0)))


class _Pool(ProcessPoolExecutor):
    """Cancels pending jobs on exit, so that an error or Ctrl-C ends it soon."""

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        self.shutdown(cancel_futures=True)
        if isinstance(error, BrokenProcessPool):
            raise ValueError(
                "A worker process was killed, perhaps for lack of memory: use fewer --processes or a smaller "
                "--batch-size."
            ) from None


def _prepare_process(loading: dict[str, Any], threads: int, started: Any) -> None:
    for number in (signal.SIGINT, *ENDING):
        signal.signal(number, signal.SIG_IGN)  # the parent ends its processes
    threading.Thread(target=_end_with_parent, daemon=True).start()
    quieten()
    torch.set_num_threads(threads)
    with started.get_lock():
        number = started.value
        started.value += 1
    device = str(pick_device(loading["device"]))
    if device == "cuda":  # assign GPUs in turn
        device = f"cuda:{number % torch.cuda.device_count()}"
    # The first job loads the model: errors raised here would not reach the user as they do with one process.
    _loading.update(loading, device=device)


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()  # a killed parent sends no message
    os._exit(1)


def _translate(texts: list[str], search: dict[str, Any]) -> list[list[Translation]]:
    global _translator
    if _translator is None:
        _translator = load_translator(**_loading)
    return translate_n_best(*_translator, texts, split_sentences=False, batch_size=len(texts), **search)
