# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The characters of a text that each token stands for."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from difflib import SequenceMatcher
from itertools import accumulate
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedTokenizerBase

_PIECE_MARKS = re.compile("▁|</w>$|@@$")  # of SentencePiece, of BPE with word ends, of BPE with word-internal marks

Offsets = list[tuple[int, int]]


def token_texts(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], left_out: Collection[int] = ()) -> list[str]:
    """
    The text that each token adds to that of the preceding tokens; their concatenation is the whole text.

    Args:
        ids: The tokens of one text.
        left_out: Ids that add nothing.
    """
    chosen = [token_id for token_id in ids if token_id not in left_out]
    if not chosen:
        return [""] * len(ids)
    prefixes = tokenizer.batch_decode([chosen[: end + 1] for end in range(len(chosen))], skip_special_tokens=False)
    text = prefixes[-1]
    ends = list(accumulate((min(len(prefix), len(text)) for prefix in prefixes), max))
    pieces = iter([text[start:end] for start, end in zip([0, *ends], ends)])
    return ["" if token_id in left_out else next(pieces) for token_id in ids]


def encode_with_offsets(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, as_targets: bool = False, **options: Any
) -> tuple[BatchEncoding, list[Offsets]]:
    """
    Encode texts, and return the character offsets of their tokens too, `(0, 0)` for special tokens.

    Args:
        as_targets: Whether the texts are translations.
        **options: Passed to the tokenizer, such as `padding=True` and `return_tensors="np"`.

    Raises:
        ValueError: As for [`offsets_by_text`].
    """
    options["return_offsets_mapping"] = tokenizer.is_fast
    texts = list(texts)
    inputs = tokenizer(text_target=texts, **options) if as_targets else tokenizer(texts, **options)
    if tokenizer.is_fast:
        return inputs, inputs.pop("offset_mapping").tolist()
    return inputs, [offsets_by_text(tokenizer, text, ids) for text, ids in zip(texts, inputs["input_ids"].tolist())]


def offsets_by_text(tokenizer: PreTrainedTokenizerBase, text: str, ids: Sequence[int]) -> Offsets:
    """
    Character offsets of tokens, for slow tokenizers that do not report them (Marian's and M2M100's).

    The letters of the tokens are matched with those of the text, because the tokenizer may have changed some.

    Raises:
        ValueError: The letters of the tokens do not match the text.
    """
    special = {*tokenizer.all_special_ids} - {tokenizer.unk_token_id}
    letters: list[str] = []
    owners: list[int] = []  # of each letter, its token
    for index, (token_id, token) in enumerate(zip(ids, tokenizer.convert_ids_to_tokens(list(ids)))):
        if token_id not in special and token_id != tokenizer.unk_token_id:
            found = _letters(_PIECE_MARKS.sub("", token))
            letters += found
            owners += [index] * len(found)
    places = [(letter, place) for place, character in enumerate(text) for letter in _letters(character)]
    matcher = SequenceMatcher(None, letters, [letter for letter, _ in places], autojunk=False)
    spans: dict[int, tuple[int, int]] = {}
    matched = 0
    for first, second, length in matcher.get_matching_blocks():
        matched += length
        for owner, (_, place) in zip(owners[first : first + length], places[second : second + length]):
            start, _ = spans.get(owner, (place, 0))
            spans[owner] = (start, place + 1)
    if 2 * matched < len(letters):
        raise ValueError(
            f"This tokenizer ({type(tokenizer).__name__}) does not report the character offsets of its tokens: load "
            "its fast version."
        )
    offsets = [spans.get(index, (0, 0)) for index in range(len(ids))]
    end = 0
    for index, token_id in enumerate(ids):
        if token_id == tokenizer.unk_token_id:  # covers the text between its neighbours
            following = next((start for start, stop in offsets[index + 1 :] if stop), len(text))
            gap = text[end:following]
            if gap.strip():
                offsets[index] = (end + len(gap) - len(gap.lstrip()), end + len(gap.rstrip()))
        end = max(end, offsets[index][1])
    return offsets


def _letters(text: str) -> list[str]:
    """The text as tokenizers keep it, ignoring whitespace and case."""
    return [letter for letter in unicodedata.normalize("NFKC", text).casefold() if not letter.isspace()]
