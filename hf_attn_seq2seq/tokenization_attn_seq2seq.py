# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The tokenizer class of `attn_seq2seq` models: Transformers' fast tokenizer, with labels and a target vocabulary.

Source and target share one vocabulary, or have separate ones. Everything that converts between text and ids is in
`tokenizer.json` and, for a separate target vocabulary, in `target_tokenizer.json`.

Without this package, `AutoTokenizer` loads a folder with one vocabulary as a stock class, with the same ids and the
same decoded text. If the folder also has a model with its code, `AutoTokenizer` asks whether to run that code, which
the tokenizer does not need: answer with `trust_remote_code=False`. A folder with two vocabularies includes this file
and needs `trust_remote_code=True`: a stock class only reads `tokenizer.json`, so it encodes sources correctly but
ignores the target vocabulary. `PreTrainedTokenizerFast(tokenizer_file="target_tokenizer.json")` can still decode
targets.
"""

import copy
import os
from typing import Any

from tokenizers import Tokenizer
from transformers import BatchEncoding, PreTrainedTokenizerFast

from .labels import IGNORED


TARGET_FILE = "target_tokenizer.json"


class _TwoVocabularies(PreTrainedTokenizerFast):
    """Has a second backend for targets, which `text_target=` and decoding use."""

    # Not in AttnSeq2SeqTokenizer itself: on loading, Transformers rebuilds a class that defines `__init__` from its
    # bare vocabulary, which loses merges, normalizer and pre-tokenizer. A base class may define one.

    vocab_files_names = {**PreTrainedTokenizerFast.vocab_files_names, "target_tokenizer_file": TARGET_FILE}

    _source_backend: Tokenizer
    _target_backend: Tokenizer | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        target_tokenizer_object = kwargs.pop("target_tokenizer_object", None)
        target_tokenizer_file = kwargs.pop("target_tokenizer_file", None)
        if target_tokenizer_object is not None:
            self._target_backend = copy.deepcopy(target_tokenizer_object)
        elif target_tokenizer_file is not None:
            self._target_backend = Tokenizer.from_file(target_tokenizer_file)
        super().__init__(*args, **kwargs)
        self._source_backend = self._tokenizer
        if self._target_backend is not None:
            self._auto_class = "AutoTokenizer"  # makes saving copy this file, which a stock class cannot replace
            for token in filter(None, (self.pad_token, self.bos_token, self.eos_token, self.unk_token)):
                ids = self._source_backend.token_to_id(token), self._target_backend.token_to_id(token)
                if ids[0] != ids[1]:
                    raise ValueError(
                        f"The special token {token} has id {ids[0]} in the source vocabulary and {ids[1]} in the "
                        "target vocabulary: give it the same id in both."
                    )

    def _switch_to_input_mode(self) -> None:
        self._tokenizer = self._source_backend

    def _switch_to_target_mode(self) -> None:
        if self._target_backend is not None:
            self._tokenizer = self._target_backend

    def _encode_plus(self, *args: Any, **kwargs: Any) -> BatchEncoding:
        try:
            return super()._encode_plus(*args, **kwargs)
        except BaseException:
            self._switch_to_input_mode()  # Transformers only does this after success
            raise

    def _add_tokens(self, new_tokens: list[Any], special_tokens: bool = False) -> int:
        added = super()._add_tokens(new_tokens, special_tokens)
        if self._target_backend is not None:
            add = self._target_backend.add_special_tokens if special_tokens else self._target_backend.add_tokens
            add(new_tokens)
        return added

    def _save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        file_names: tuple[str, ...],
        legacy_format: bool | None = None,
        filename_prefix: str | None = None,
    ) -> tuple[str, ...]:
        file_names = super()._save_pretrained(save_directory, file_names, legacy_format, filename_prefix)
        target_file = os.path.join(save_directory, (f"{filename_prefix}-" if filename_prefix else "") + TARGET_FILE)
        if self._target_backend is not None:
            self._target_backend.save(target_file)
            return (*file_names, target_file)
        if os.path.exists(target_file):  # left by an earlier tokenizer, which this one replaces
            os.remove(target_file)
        return file_names


class AttnSeq2SeqTokenizer(_TwoVocabularies):
    """Fast tokenizer with a source and a target side; `decode` and `batch_decode` treat the label -100 as padding.

    Both sides share one vocabulary, unless `target_tokenizer_object=` (a `tokenizers.Tokenizer`) provides a separate
    target vocabulary. Then

    - `tokenizer(texts)` encodes sources and `tokenizer(text_target=texts)` targets;
    - `decode` and `batch_decode` take target ids, as generated by a model; sources are decoded with
      `tokenizer.source.decode(ids)` or, as elsewhere in Transformers, `decode(ids, use_source_tokenizer=True)`;
    - everything else (`len(tokenizer)`, `get_vocab()`, `convert_ids_to_tokens()`, `tokenize()`, ...) refers to the
      source; use `tokenizer.target` for the target. A model takes `vocab_size=len(tokenizer)` and
      `decoder_vocab_size=len(tokenizer.target)`;
    - added tokens, including special ones, are appended to both vocabularies, so their ids differ if the sizes do.

    Raises:
        ValueError: if the padding, start, end or unknown token does not have the same id in both vocabularies.
    """

    model_input_names = ["input_ids", "attention_mask"]

    @property
    def has_two_vocabularies(self) -> bool:
        """Whether source and target have separate vocabularies."""
        return self._target_backend is not None

    @property
    def source(self) -> "AttnSeq2SeqTokenizer":
        """The tokenizer of the source side; this one if the vocabulary is shared."""
        return self if self._target_backend is None else self._of_one_side(self._source_backend)

    @property
    def target(self) -> "AttnSeq2SeqTokenizer":
        """The tokenizer of the target side; this one if the vocabulary is shared."""
        return self if self._target_backend is None else self._of_one_side(self._target_backend)

    def _of_one_side(self, backend: Tokenizer) -> "AttnSeq2SeqTokenizer":
        side = copy.copy(self)  # shares the backend, so tokens added to this tokenizer are also added to the side
        side._source_backend = side._tokenizer = backend
        side._target_backend = side._auto_class = None
        side.init_kwargs = {key: value for key, value in self.init_kwargs.items() if key != "auto_map"}
        return side

    def _decode(
        self,
        token_ids: int | list[int] | dict[str, Any],
        *args: Any,
        use_source_tokenizer: bool = False,
        **kwargs: Any,
    ) -> str:
        if self._target_backend is not None:
            side = self.source if use_source_tokenizer else self.target
            return side._decode(token_ids, *args, **kwargs)
        if isinstance(token_ids, dict):
            token_ids = token_ids["input_ids"]
        if isinstance(token_ids, int):
            token_ids = [token_ids]
        real_ids: list[Any] = [self.pad_token_id if i == IGNORED else i for i in token_ids]
        return super()._decode(real_ids, *args, **kwargs)


__all__ = ["AttnSeq2SeqTokenizer"]
