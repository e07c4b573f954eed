# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Translating blocks of lines: here, in threads that share an engine, or in processes that have one each."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hf_attn_seq2seq.decoding.engines import Engine, as_engine
from hf_attn_seq2seq.decoding.files import Block
from hf_attn_seq2seq.decoding.opening import Opening
from hf_attn_seq2seq.decoding.sentences import Translation, join_translations
from hf_attn_seq2seq.decoding.text import length_batches, translate_n_best
from hf_attn_seq2seq.splitting import Piece, source_language, split_text


if TYPE_CHECKING:
    from concurrent.futures import Future

BATCH_TOKENS = 64  # a sentence of usual length; a batch has at most this many tokens per sentence
Translations = list[list[Translation]]
Submit = Callable[[list[str]], "Future[Translations]"]


class Jobs(NamedTuple):
    """Splits blocks into sentences and batches, and reassembles their translations."""

    tokenizer: Any
    limit: int  # tokens
    batch_size: int
    path: Path | None
    split_sentences: bool
    warn: Callable[[str], None]

    def run(self, submit: Submit, blocks: Iterator[Block], ahead: bool) -> Iterator[tuple[Block, Translations]]:
        """
        Each block, in order, with the translations of its lines.

        Args:
            submit: Has a batch of sentences translated.
            blocks: The blocks.
            ahead: Whether to begin the next block before the translations of one are complete.
        """
        begun: deque[_Begun] = deque()
        for block in blocks:
            begun.append(self._begin(submit, block))
            if len(begun) > ahead:
                yield self._collect(begun.popleft())
        while begun:
            yield self._collect(begun.popleft())

    def _begin(self, submit: Submit, block: Block) -> _Begun:
        lines = [self._split(line) if line.strip() else [] for line in block.lines]
        batches = list(self._submit(submit, block, lines)) if any(lines) else []
        return _Begun(block, lines, batches)

    def _split(self, line: str) -> list[Piece]:
        return split_text(line, source_language(self.tokenizer)) if self.split_sentences else [Piece("", line)]

    def _submit(
        self, submit: Submit, block: Block, lines: list[list[Piece]]
    ) -> Iterator[tuple[list[int], Future[Translations]]]:
        sentences = [piece.sentence for pieces in lines for piece in pieces]
        numbers = [number for number, pieces in enumerate(lines, start=block.first + 1) for _ in pieces]
        lengths = [len(ids) for ids in self.tokenizer(sentences)["input_ids"]]
        for number, length in zip(numbers, lengths):
            if length > self.limit:
                where = f"line {number} of {self.path or 'the text'}"
                if len(lines[number - 1 - block.first]) > 1:
                    where = f"a sentence in {where}"
                self.warn(f"warning: {where} has {length:,} tokens: truncated to {self.limit:,}.")
        lengths = [min(length, self.limit) for length in lengths]
        for batch in length_batches(lengths, self.batch_size, self.batch_size * BATCH_TOKENS):
            yield batch, submit([sentences[index] for index in batch])

    @staticmethod
    def _collect(begun: _Begun) -> tuple[Block, Translations]:
        made = {index: result for batch, future in begun.batches for index, result in zip(batch, future.result())}
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
    batches: list[tuple[list[int], Future[Translations]]]


def translating(opening: Opening, search: dict[str, Any], processes: int) -> AbstractContextManager[Submit]:
    """
    Opens the models; the context's value has a batch of sentences translated.

    Args:
        opening: Of the models.
        search: Keywords for `translate_n_best`.
        processes: How many batches to translate at once: by the graph in as many threads, which share one, by PyTorch
            in as many processes, which have a copy of the models each.

    Raises:
        ValueError: The models cannot be loaded.
    """
    if processes == 1:
        return _here(opening, search)
    return _threads(opening, search, processes) if opening.graph else _processes(opening, search, processes)


def _translate(engine: Engine, tokenizer: Any, texts: list[str], search: dict[str, Any]) -> Translations:
    return translate_n_best(engine, tokenizer, texts, split_sentences=False, batch_size=len(texts), **search)


class _Done(NamedTuple):
    """A future of what is known."""

    translations: Translations

    def result(self) -> Translations:
        return self.translations


@contextmanager
def _here(opening: Opening, search: dict[str, Any]) -> Iterator[Submit]:
    engine = opening.open()
    yield lambda texts: _Done(_translate(engine, opening.tokenizer, texts, search))  # type: ignore[misc,return-value]


@contextmanager
def _threads(opening: Opening, search: dict[str, Any], threads: int) -> Iterator[Submit]:
    from concurrent.futures import ThreadPoolExecutor

    engine = opening.open()
    pool = ThreadPoolExecutor(threads)
    try:
        yield lambda texts: pool.submit(_translate, engine, opening.tokenizer, texts, search)
    finally:
        pool.shutdown(cancel_futures=True)  # so that an error or Ctrl-C ends it soon


@contextmanager
def _processes(opening: Opening, search: dict[str, Any], processes: int) -> Iterator[Submit]:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    import torch

    context = multiprocessing.get_context("spawn")
    threads = max(1, torch.get_num_threads() // processes)
    loading = {"names": opening.names, "device": opening.device, "dtype": opening.dtype}
    pool = ProcessPoolExecutor(processes, context, _prepare_process, (loading, threads, context.Value("i", 0)))
    try:
        yield lambda texts: pool.submit(_translate_in_process, texts, search)
    except BrokenProcessPool:
        raise ValueError(
            "A worker process was killed, perhaps for lack of memory: use fewer --processes or a smaller --batch-size."
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


# In a worker process.

_loading: dict[str, Any] = {}
_translator: Any = None


def _prepare_process(loading: dict[str, Any], threads: int, started: Any) -> None:
    import torch

    from hf_attn_seq2seq.console import ENDING, quieten
    from hf_attn_seq2seq.decoding.loading import pick_device

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
    import multiprocessing

    multiprocessing.parent_process().join()  # type: ignore[union-attr]  # a killed parent sends no message
    os._exit(1)


def _translate_in_process(texts: list[str], search: dict[str, Any]) -> Translations:
    global _translator
    if _translator is None:
        from hf_attn_seq2seq.decoding.loading import load_translator

        _translator = load_translator(**_loading)
    model, tokenizer = _translator
    return _translate(as_engine(model), tokenizer, texts, search)
