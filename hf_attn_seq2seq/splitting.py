# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What a model is given of a text: its sentences, within its limits; and the translations, joined again.

These are the defaults of every translation. The file is saved with the weights, as a part of the pipeline, and imports
neither torch nor Transformers, so that a program that needs neither starts at once. If `sentencex` is installed, it
splits sentences.
"""

import logging
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple


if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

MAX_NEW_TOKENS = 256  # per sentence, if neither the caller nor the model sets a limit

_STOP = re.compile(r"""[.!?…]+["'”’»)\]]*(?=\s)|[。！？]+[」』”’）]*""")  # full-width stops need no space after them
_WORD_CHARACTER = re.compile(r"\w")


class Piece(NamedTuple):
    """A sentence of a text, the whitespace before it, and, for the last one, the whitespace after it."""

    before: str
    sentence: str
    after: str = ""


def refuse_blank(name: str, text: Any, wanted: str = "a string") -> None:
    """
    Raise a ValueError for what is no text, or blank, or not valid Unicode.

    Args:
        name: What the sentence calls it, such as "The text".
        wanted: What to give instead of something else.
    """
    if not isinstance(text, str):
        raise ValueError(f"{name} is of type {type(text).__name__}: give {wanted}.")
    if not text.strip():
        raise ValueError(f"{name} is blank: give it some words or leave it out.")
    try:
        text.encode()
    except UnicodeEncodeError as error:  # bytes of a command line that are not UTF-8 arrive like this
        raise ValueError(
            f"{name} is not valid Unicode from character {error.start + 1} on: encode it as UTF-8."
        ) from None


def split_text(text: str, language: str = "en") -> list[Piece]:
    """
    The sentences of a text and the whitespace between them, which together are the text. A line break ends a sentence.

    A part without letters is not a sentence: a number such as "1." is joined to the next sentence on its line if there
    is one, punctuation such as "?" to the previous one.

    Args:
        text: Any text that is not blank.
        language: A code such as "fr" or "fr_XX"; with `sentencex` installed, this language's abbreviations do not end
            sentences.
    """
    lines = text.splitlines()
    try:
        from sentencex import segment
    except ImportError:
        found = [list(_split_plainly(line)) for line in lines]
        if sum(map(len, found)) > len(lines):
            _warn_once(
                "sentencex is not installed, so sentences are split at every full stop, even after abbreviations: run "
                "pip install sentencex, or set split_sentences=False."
            )
    else:
        code = re.split("[_-]", language)[0]
        found = [list(segment(code, line)) for line in lines if line.strip()]
    spans: list[tuple[int, int]] = []
    end = 0
    for line in found:
        first = len(spans)
        for sentence in filter(None, map(str.strip, line)):
            start = text.index(sentence, end)
            end = start + len(sentence)
            # "?" ends what is before it, "2." begins what follows.
            only_signs = not any(map(str.isalnum, sentence))
            if len(spans) > first and (only_signs or not _has_letter(text[slice(*spans[-1])])):
                start = spans.pop()[0]
            spans.append((start, end))
        if len(spans) > first + 1 and not _has_letter(text[slice(*spans[-1])]):
            spans[-2:] = [(spans[-2][0], end)]
    ends = [0, *(end for _, end in spans)]
    pieces = [Piece(text[before:start], text[start:end]) for before, (start, end) in zip(ends, spans)]
    pieces[-1] = pieces[-1]._replace(after=text[end:])
    return pieces


def splits_sentences(config: Any, asked: bool | None = None) -> bool:
    """
    Whether a model is given the sentences of a text separately.

    Args:
        config: The model's, whose `split_sentences` is the default; True where there is none.
        asked: What the caller wants; None: the default.
    """
    return bool(getattr(config, "split_sentences", True)) if asked is None else asked


def join_text(pieces: Sequence[Piece], translations: Sequence[str]) -> list[str]:
    """
    The parts of a translated text, one per sentence: its translation with the whitespace of the original.

    Args:
        pieces: The original text, as split by [`split_text`].
        translations: The translation of each sentence.
    """
    parts: list[str] = []
    for (before, _, after), translation in zip(pieces, translations):
        if parts and not before and parts[-1][-1:].isascii() and parts[-1][-1:]:
            before = " "  # between sentences that were written without spaces, as in Chinese
        parts.append(before + translation + after)
    return parts


def source_language(tokenizer: "PreTrainedTokenizerBase") -> str:
    """The source language of a tokenizer; "en" if it does not specify one."""
    said = getattr(tokenizer, "src_lang", None) or getattr(tokenizer, "init_kwargs", {}).get("src_lang")
    return said if isinstance(said, str) else "en"


def max_source_tokens(config: "PreTrainedConfig", tokenizer: "PreTrainedTokenizerBase") -> int:
    """The maximum number of tokens of a sentence that a model reads, including the end token."""
    limit = min(tokenizer.model_max_length, sys.maxsize)  # tokenizers without a limit have a larger number
    return min(limit, _positions(config, "is_recurrent_encoder") or limit)


def length_limit(model: Any, options: Mapping[str, Any] | None = None) -> dict[str, int]:
    """
    `max_new_tokens` for `model.generate` if neither its options nor the model limit the length.

    Args:
        model: A model, or whatever has a `config` and a `generation_config`.
        options: Those of `generate`.
    """
    options = options or {}
    settings = (options, vars(options.get("generation_config") or model.generation_config))
    if any(each.get(name) for each in settings for name in ("max_new_tokens", "max_length")):
        return {}
    return {"max_new_tokens": min(MAX_NEW_TOKENS, _positions(model.config, "is_recurrent_decoder") or MAX_NEW_TOKENS)}


def _positions(config: "PreTrainedConfig", recurrent: str) -> int | None:
    """The number of learned positions on one side of the model; None if there is no such limit."""
    if getattr(config, recurrent, False) or getattr(config, "position_type", "learned") != "learned":
        return None
    return getattr(config, "max_position_embeddings", None)


def _has_letter(text: str) -> bool:
    return any(map(str.isalpha, text))


def _split_plainly(line: str) -> Iterator[str]:
    """Split after stops that are not followed by a lowercase letter."""
    start = 0
    for stop in _STOP.finditer(line):
        following = _WORD_CHARACTER.search(line, stop.end())
        if following and not following[0].islower():
            yield line[start : stop.end()]
            start = stop.end()
    yield line[start:]


@cache
def _warn_once(message: str) -> None:
    logger.warning(message)


__all__ = [
    "MAX_NEW_TOKENS",
    "Piece",
    "join_text",
    "length_limit",
    "max_source_tokens",
    "source_language",
    "split_text",
    "splits_sentences",
]
