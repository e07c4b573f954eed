# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Words outside the vocabulary that a pointer copies (See et al. 2017, section 2.2).

The k-th such word of a source has the id `vocab_size + k`, in that source and its target alone. A tokenizer knows
nothing of it: [`extend`] gives encoded texts these ids, and [`CopyingTokenizer`] turns them into words again.
"""

from collections.abc import Sequence
from typing import Any


def extend(
    encoding: Any,
    tokenizer: Any,
    texts: Sequence[str],
    vocab_size: int,
    slots: int,
    sources: Sequence[Sequence[str]] | None = None,
) -> list[list[str]]:
    """
    Replace the unknown tokens of encoded texts by ids of their own, in place.

    ```python
    inputs = tokenizer(texts, return_offsets_mapping=True)
    words = extend(inputs, tokenizer, texts, config.vocab_size, config.pointer_slots)
    labels = tokenizer(text_target=summaries, return_offsets_mapping=True)
    extend(labels, tokenizer.target, summaries, config.vocab_size, config.pointer_slots, words)
    ```

    Args:
        encoding: What a tokenizer returned with `return_offsets_mapping=True`, as lists or arrays; the offsets are
            taken out of it.
        tokenizer: That tokenizer, a fast one.
        texts: What was encoded.
        vocab_size: Of the model; the first id that is given.
        slots: How many words of a source get one; further ones stay unknown.
        sources: For targets: the words of each source, which [`extend`] returned. Other words stay unknown.

    Returns:
        The words of each text, in the order of their ids; for targets, `sources`.
    """
    offsets, unknown = encoding.pop("offset_mapping"), tokenizer.unk_token_id
    found: list[list[str]] = [[] for _ in texts] if sources is None else [list(words) for words in sources]
    for text, ids, spans, words in zip(texts, encoding["input_ids"], offsets, found):
        for index, (token, (start, end)) in enumerate(zip(ids, spans)):
            if int(token) != unknown or start == end:
                continue
            word = text[start:end].strip()
            if word not in words and sources is None and len(words) < slots:
                words.append(word)
            if word in words:
                ids[index] = vocab_size + words.index(word)
    return found


class CopyingTokenizer:
    """A tokenizer that knows the words outside its vocabulary of one source too; all else is the tokenizer's own."""

    def __init__(self, tokenizer: Any, words: Sequence[str], vocab_size: int) -> None:
        """
        Args:
            tokenizer: That of the targets.
            words: Those that [`extend`] found in the source.
            vocab_size: Of the model.
        """
        self._tokenizer, self._words, self._vocab_size = tokenizer, list(words), vocab_size

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def __len__(self) -> int:
        return len(self._tokenizer)

    def _word(self, token: int) -> str | None:
        place = token - self._vocab_size
        return self._words[place] if 0 <= place < len(self._words) else None

    def convert_ids_to_tokens(self, ids: Any, **options: Any) -> Any:
        """As the tokenizer's own; such a word is its own token."""
        if not isinstance(ids, int):
            return [self.convert_ids_to_tokens(int(token), **options) for token in ids]
        word = self._word(ids)
        return self._tokenizer.convert_ids_to_tokens(ids, **options) if word is None else word

    def decode(self, ids: Any, skip_special_tokens: bool = False, **options: Any) -> str:
        """As the tokenizer's own: it decodes unknown tokens, and the words are put in their places."""
        unknown, name = self._tokenizer.unk_token_id, self._tokenizer.unk_token
        left_out = set(self._tokenizer.all_special_ids) if skip_special_tokens else set()
        kept = [int(token) for token in ([ids] if isinstance(ids, int) else ids) if int(token) not in left_out]
        words = [self._word(token) for token in kept if token >= self._vocab_size or token == unknown]
        known = [unknown if token >= self._vocab_size else token for token in kept]
        pieces = str(self._tokenizer.decode(known, skip_special_tokens=False, **options)).split(name)
        if len(pieces) != len(words) + 1:  # the text itself has such a name: words of the vocabulary alone
            return str(self._tokenizer.decode(known, skip_special_tokens=skip_special_tokens, **options))
        filled = [piece + (name if word is None else word) for piece, word in zip(pieces, words)]
        return "".join([*filled, pieces[-1]])

    def batch_decode(self, rows: Any, **options: Any) -> list[str]:
        """As the tokenizer's own."""
        return [self.decode(ids, **options) for ids in rows]


__all__ = ["CopyingTokenizer", "extend"]
