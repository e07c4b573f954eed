# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""How word alignment is read from a model's attention, for all code that writes, shows or evaluates links."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hf_attn_seq2seq.data.links import Link
from hf_attn_seq2seq.data.words import Words, cut_words, word_shares
from hf_attn_seq2seq.decoding.names import END_TOKEN_CHOICES
from hf_attn_seq2seq.decoding.word_attention import WordAttention, word_attention
from hf_attn_seq2seq.graphs.format import READOUT_FILE
from hf_attn_seq2seq.messages import check_layer, quoted
from hf_attn_seq2seq.writing import write_text


if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Readout:
    """
    The attention weights that represent a model's word alignment, and how links are read from them.

    Args:
        layer: Decoder layer, counted from 0, or from the last as -1; a recurrent decoder has one.
        head: Head of that layer, counted from 0; None is the mean of all.
        shift: 0: the row that predicts target token t (output-aligned). 1: the next row, of the step that has read the
            token (input-aligned; Chen et al. 2020, "Accurate Word Alignment Induction from Neural Machine
            Translation", section 3.1).
        end_token: Treatment of the weight on the source's special tokens, such as the end token. "competes": a target
            word with the most weight on one of them has no link; "excluded": that weight is removed and the rest
            renormalized.
        threshold: None: each target word is linked to the source word with the most weight; a number: to all source
            words with at least that weight.

    Raises:
        ValueError: A field has an invalid value.
    """

    layer: int = -1
    head: int | None = None
    shift: int = 0
    end_token: str = "competes"
    threshold: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("layer", self.layer), ("shift", self.shift), ("head", self.head or 0)):
            if not isinstance(value, int) or isinstance(value, bool):
                raise ValueError(f"{name}={quoted(value)} must be a whole number.")
        if self.shift < 0:
            raise ValueError(f"shift={self.shift} must not be negative.")
        if self.end_token not in END_TOKEN_CHOICES:
            raise ValueError(
                f"end_token={quoted(self.end_token)} is unknown: choose one of {', '.join(END_TOKEN_CHOICES)}."
            )
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise ValueError(f"threshold={self.threshold} must be above 0 and at most 1.")

    def weights(self, attention: np.ndarray) -> np.ndarray:
        """
        Select the weights `(tgt_len, src_len)`; rows that the shift moves past the end are zero.

        Args:
            attention: `(layers, heads, tgt_len, src_len)`.
        """
        check_layer(self.layer, len(attention))
        return self.rows(attention[self.layer])

    def rows(self, layer: np.ndarray) -> np.ndarray:
        """As [`weights`], given those of the layer, `(heads, tgt_len, src_len)`."""
        if self.head is not None and not -len(layer) <= self.head < len(layer):
            raise ValueError(f"There is no head {self.head}: the layer has {len(layer)}, counted from 0.")
        chosen = layer.mean(axis=0) if self.head is None else layer[self.head]
        if not self.shift:
            return chosen
        shifted = np.zeros_like(chosen)
        shifted[: max(0, len(chosen) - self.shift)] = chosen[self.shift :]
        return shifted

    def words(self, rows: np.ndarray, source_shares: np.ndarray, target_shares: np.ndarray) -> WordAttention:
        """
        The attention between words.

        Args:
            rows: `(tgt_len, src_len)`, from [`weights`] or [`rows`].
            source_shares: `(src_len, source words)`, as returned by `hf_attn_seq2seq.data.words.word_shares`.
            target_shares: `(tgt_len, target words)`.
        """
        words = word_attention(rows, source_shares, target_shares)
        return words.renormalised() if self.end_token == "excluded" else words


class Alignment(NamedTuple):
    """The word alignment of one pair; its links were read from `weights`, `(target words, source words)`."""

    source: Words
    target: Words
    links: frozenset[Link]
    weights: np.ndarray

    def confidences(self) -> dict[Link, float]:
        """For each link, in order, the share of the target word's attention on the source word."""
        return {(source, target): float(self.weights[target, source]) for source, target in sorted(self.links)}


class PairAttention(NamedTuple):
    """All attention weights of one pair of texts, and how its tokens form words."""

    source: Words
    target: Words
    attention: np.ndarray  # (layers, heads, tgt_len, src_len)
    source_shares: np.ndarray  # (src_len, source words)
    target_shares: np.ndarray  # (tgt_len, target words)

    def words(self, readout: Readout) -> WordAttention:
        """The attention between words that `readout` selects."""
        return readout.words(readout.weights(self.attention), self.source_shares, self.target_shares)

    def links(self, readout: Readout) -> frozenset[Link]:
        return self.words(readout).links(readout.threshold)

    def alignment(self, readout: Readout) -> Alignment:
        """The links that `readout` finds, and the weights that they were read from."""
        words = self.words(readout)
        return Alignment(self.source, self.target, words.links(readout.threshold), words.matrix)


def align_run(
    readout: Readout,
    layer: np.ndarray,
    source: Words,
    source_offsets: Sequence[tuple[int, int]],
    pieces: Sequence[str],
    cut: Callable[[str], Words] = cut_words,
) -> Alignment:
    """
    The word alignment of a translation, read from the run that produced it.

    Args:
        layer: Weights `(heads, tgt_len, src_len)` of the layer that `readout` names: row t belongs to the step that
            chose target token t.
        source: The source and its words.
        source_offsets: The position of each source token in the source, `(0, 0)` for special tokens and padding.
        pieces: The text that each target token added to the translation; empty for special tokens.
        cut: Splits the translation into words.
    """
    target = cut("".join(pieces))
    spans = [span if piece else (0, 0) for piece, span in zip(pieces, spans_of(pieces))]
    shares = word_shares(source_offsets, source), word_shares(spans, target)
    words = readout.words(readout.rows(layer), *shares)
    return Alignment(source, target, words.links(readout.threshold), words.matrix)


def spans_of(pieces: Sequence[str]) -> list[tuple[int, int]]:
    """The position of each piece in their concatenation."""
    ends = list(accumulate(map(len, pieces)))
    return list(zip([0, *ends], ends))


def save_readout(readout: Readout, folder: str | Path) -> Path:
    """Save a read-out in the model's folder, where everything that aligns with the model finds it."""
    path = Path(folder) / READOUT_FILE
    write_text(path, json.dumps(asdict(readout), indent=2) + "\n")
    return path


def find_readout(name: str | Path, **hub: Any) -> Readout | None:
    """
    The read-out in the model's `alignment.json`; None if there is no such file.

    Args:
        name: A folder, or a name on the Hub.
        **hub: Options of `from_pretrained` for names on the Hub: `revision`, `token`, `cache_dir`,
            `local_files_only`; others are ignored.

    Raises:
        ValueError: The file was not written by [`save_readout`].
        OSError: The Hub cannot be reached, or does not provide the file.
    """
    path = Path(name) / READOUT_FILE if os.path.isdir(name) else _fetched(str(name), hub)
    if path is None or not path.is_file():
        return None
    names = [field.name for field in fields(Readout)]
    try:
        return Readout(**json.loads(path.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"'{path}' is not a valid read-out ({', '.join(names)}): {error}") from None


def _fetched(name: str, hub: Mapping[str, Any]) -> Path | None:
    """The file in the Hub's cache, downloaded if necessary; None if the model has none."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError

    options = {key: hub[key] for key in ("revision", "token", "cache_dir", "local_files_only") if hub.get(key)}
    try:
        return Path(hf_hub_download(name, READOUT_FILE, **options))
    except LocalEntryNotFoundError:  # the Hub was not reached: perhaps it was before
        place = {key: options[key] for key in ("revision", "cache_dir") if key in options}
        if isinstance(try_to_load_from_cache(name, READOUT_FILE, **place), str | None):
            raise
        return None  # known to be missing
    except EntryNotFoundError:
        return None
    except HFValidationError as error:
        raise OSError(f"'{name}' is not a valid name on the Hub.") from error


def keep_readout(model: PreTrainedModel, name: str, hub: Mapping[str, Any]) -> None:
    """
    Fetch the model's `alignment.json` from the Hub while the name and the options that it was loaded with, such as the
    token, are known; [`readout_of`] uses it later. Errors are reported there, to those who align.
    """
    found: Readout | OSError | ValueError
    if not os.path.isdir(name):
        try:
            found = find_readout(name, **hub) or Readout()
        except (OSError, ValueError) as error:
            found = error
        model.alignment_readout = found  # type: ignore[assignment]


def readout_of(model: PreTrainedModel) -> Readout:
    """
    The read-out of a loaded model, from its `alignment.json`; the default if it has none.

    `hf_attn_seq2seq.load` reads the file from the same revision as the model. For a model loaded with Transformers,
    the file is read from the folder, or from the revision `main` on the Hub. If the Hub cannot be reached, a warning
    says so.

    Raises:
        ValueError: The file was not written by [`save_readout`].
    """
    found = getattr(model, "alignment_readout", None)
    if found is None:
        name = model.config._name_or_path
        if os.path.isdir(name):
            return find_readout(name) or Readout()
        if not _is_cached(name):  # made here, or from a folder that is gone
            return Readout()
        keep_readout(model, name, {})
        found = model.alignment_readout
    if isinstance(found, OSError):
        logger.warning(
            f"{READOUT_FILE} of '{model.config._name_or_path}' cannot be fetched from the Hub: links are read in the "
            "default way, from the mean of the last layer's heads."
        )
        found = model.alignment_readout = Readout()  # type: ignore[assignment]
    if isinstance(found, ValueError):
        raise found
    return found  # type: ignore[return-value]


def _is_cached(name: str) -> bool:
    """Whether something was loaded under this name from the Hub."""
    from huggingface_hub import constants
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.file_download import repo_folder_name

    try:
        return (Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type="model")).is_dir()
    except HFValidationError:  # not a name on the Hub
        return False


class Aligner(NamedTuple):
    """A trained model for word alignment; if `readout` is None, that of its `alignment.json` is used."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    readout: Readout | None = None

    def way(self) -> Readout:
        """The read-out in use."""
        return self.readout or readout_of(self.model)
