# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
This package's tokenizers without Transformers: only what translating needs, from the same files, with equal results.

Tokenizers with settings that are not known here are left to Transformers.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Encoding, Tokenizer

from hf_attn_seq2seq.decoding.safety import read_settings


CLASS = "AttnSeq2SeqTokenizer"
FILE, CONFIG_FILE, TARGET_FILE = "tokenizer.json", "tokenizer_config.json", "target_tokenizer.json"
_OTHER_FILES = ("added_tokens.json", "special_tokens_map.json", "tokenizer.model", "vocab.json", "merges.txt")
_SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_USED = (
    *_SPECIAL,
    "extra_special_tokens",
    "model_max_length",
    "padding_side",
    "truncation_side",
    "split_special_tokens",
    "src_lang",
)
_WITHOUT_EFFECT = (  # on what is done here
    "add_bos_token",
    "add_eos_token",
    "auto_map",  # this package's own code
    "is_local",
    "local_files_only",
    "max_length",
    "name_or_path",
    "pad_to_multiple_of",
    "pad_token_type_id",
    "stride",
    "tgt_lang",
    "tokenizer_class",
    "truncation_strategy",
)
_ONLY = {"backend": "tokenizers", "clean_up_tokenization_spaces": False, "add_prefix_space": False}
_PLAIN = {"special": True, "normalized": False, "single_word": False, "lstrip": False, "rstrip": False}
_NO_LIMIT = int(1e30)  # as in Transformers
_LARGEST = 100_000  # tokens; of larger vocabularies, Transformers examines where they come from


class EncodedTexts(dict[str, Any]):
    """What a tokenizer returns: `input_ids`, `attention_mask` and `offset_mapping`, and the words of the tokens."""

    is_fast = True

    def __init__(self, entries: Mapping[str, Any], encodings: Sequence[Encoding]) -> None:
        super().__init__(entries)
        self._encodings = encodings

    def word_ids(self, row: int) -> list[int | None]:
        """The number of the word that each token belongs to; None for special tokens and padding."""
        return self._encodings[row].word_ids


class SavedTokenizer:
    """
    A saved `AttnSeq2SeqTokenizer`, called in the same way. It may be used by several threads at once.

    `tokenizer(texts)` encodes sources; `batch_decode` decodes targets, which may have a vocabulary of their own.
    """

    is_fast = True

    def __init__(self, source: Tokenizer, target: Tokenizer | None, settings: Mapping[str, Any]) -> None:
        """
        Args:
            source: Encodes.
            target: Decodes; None: the same as `source`.
            settings: The content of `tokenizer_config.json`, as accepted by [`saved_tokenizer`].
        """
        self.backend_tokenizer = source
        self.settings = settings
        self.target = self if target is None else SavedTokenizer(target, None, settings)
        named = (settings.get(name) for name in _SPECIAL)
        self.all_special_tokens = [*dict.fromkeys(filter(None, [*named, *settings.get("extra_special_tokens", ())]))]
        self.all_special_ids = [source.token_to_id(token) for token in self.all_special_tokens]
        self.pad_token, self.unk_token = settings["pad_token"], settings.get("unk_token")
        self.pad_token_id = source.token_to_id(self.pad_token)
        self.unk_token_id = None if self.unk_token is None else source.token_to_id(self.unk_token)
        self.model_max_length = settings.get("model_max_length") or _NO_LIMIT
        self.src_lang = settings.get("src_lang")
        self._padding = {
            "direction": settings["padding_side"],
            "pad_id": self.pad_token_id,
            "pad_token": self.pad_token,
        }
        self._truncation_side = settings["truncation_side"]
        self._lock = threading.Lock()  # padding and truncation are states of the backend
        source.encode_special_tokens = bool(settings.get("split_special_tokens"))

    def __len__(self) -> int:
        return self.backend_tokenizer.get_vocab_size(with_added_tokens=True)

    def __call__(
        self,
        texts: Sequence[str],
        *,
        padding: bool = False,
        truncation: bool = False,
        max_length: int | None = None,
        return_offsets_mapping: bool = False,
        return_tensors: str | None = None,
        verbose: bool = True,
    ) -> EncodedTexts:
        """
        Encode source texts; `verbose` has no effect.

        Args:
            padding: Whether to pad all to the length of the longest.
            truncation: Whether to truncate to `max_length` tokens, or to `model_max_length`.
            return_offsets_mapping: Whether to return the position of each token in its text, `(0, 0)` for special
                tokens.
            return_tensors: "np" for arrays, which need padding; None for lists.
        """
        with self._lock:
            if truncation:
                limit = min(self.model_max_length if max_length is None else max_length, sys.maxsize)
                self.backend_tokenizer.enable_truncation(limit, direction=self._truncation_side)
            else:
                self.backend_tokenizer.no_truncation()
            if padding:
                self.backend_tokenizer.enable_padding(**self._padding)
            else:
                self.backend_tokenizer.no_padding()
            encodings = self.backend_tokenizer.encode_batch(list(texts))
        entries: dict[str, Any] = {
            "input_ids": [encoding.ids for encoding in encodings],
            "attention_mask": [encoding.attention_mask for encoding in encodings],
        }
        if return_offsets_mapping:
            entries["offset_mapping"] = [encoding.offsets for encoding in encodings]
        if return_tensors == "np":
            entries = {name: np.array(rows) for name, rows in entries.items()}
        return EncodedTexts(entries, encodings)

    def batch_decode(self, sequences: Iterable[Sequence[int]], *, skip_special_tokens: bool = False) -> list[str]:
        """The texts of target tokens."""
        decode = self.target.backend_tokenizer.decode
        return [decode(list(ids), skip_special_tokens=skip_special_tokens) for ids in sequences]


def saved_tokenizer(folder: str | Path) -> SavedTokenizer | None:
    """
    The tokenizer in a folder; None if it is for Transformers to load, or to refuse.

    Raises:
        ValueError: A file is damaged; the message names it.
    """
    folder = Path(folder)
    if not (folder / FILE).is_file() or not (folder / CONFIG_FILE).is_file():
        return None
    if any(os.path.exists(folder / name) for name in _OTHER_FILES):
        return None
    settings = read_settings(folder / CONFIG_FILE)
    if settings.get("tokenizer_class") != CLASS or not _are_known(settings):
        return None
    names = [settings[name] for name in _SPECIAL if settings.get(name) is not None]
    names += settings.get("extra_special_tokens", [])
    files = [folder / FILE, folder / TARGET_FILE][: 1 + (folder / TARGET_FILE).is_file()]
    sides = [_backend(path, names) for path in files]
    if None in sides:
        return None
    source, target = sides[0], sides[1] if len(sides) > 1 else None
    if target and any(source.token_to_id(name) != target.token_to_id(name) for name in names):
        return None
    return SavedTokenizer(source, target, settings)  # type: ignore[arg-type]


def _are_known(settings: Mapping[str, Any]) -> bool:
    """Whether all settings are such as are followed here."""
    if set(settings) - {*_USED, *_WITHOUT_EFFECT, *_ONLY}:
        return False
    if any(settings.get(name, only) != only for name, only in _ONLY.items()):
        return False
    if any(not isinstance(settings.get(name), str | None) for name in (*_SPECIAL, "src_lang")):
        return False
    # Without these, Transformers may find them among the last used settings, in the other file.
    if any(settings.get(name) not in ("left", "right") for name in ("padding_side", "truncation_side")):
        return False
    extra = settings.get("extra_special_tokens", [])
    if not isinstance(extra, list) or not all(isinstance(token, str) for token in extra):
        return False
    limit = settings.get("model_max_length")
    if limit is not None and (type(limit) is not int or limit < 1):
        return False
    return type(settings.get("split_special_tokens", False)) is bool and bool(settings.get("pad_token"))


def _backend(path: Path, names: Sequence[str]) -> Tokenizer | None:
    """The tokenizer in a file; None where Transformers would change it on loading."""
    content = read_settings(path)
    added = {token.get("content"): token for token in content.get("added_tokens") or ()}
    for name in names:  # Transformers would add those that are missing
        if any(added.get(name, {}).get(field) != value for field, value in _PLAIN.items()):
            return None
    if content.get("post_processor") is None:  # which Transformers would make
        return None
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception:  # `tokenizers` raises this class itself
        return None
    return tokenizer if tokenizer.get_vocab_size() <= _LARGEST else None
