# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Attention weights of any encoder-decoder, and the character positions of its tokens."""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import SequenceMatcher
from typing import Any

import torch
from transformers import BatchEncoding, PreTrainedModel, PreTrainedTokenizerBase

from hf_attn_seq2seq.modeling_attn_seq2seq import gather_beam_attentions


_EAGER = threading.RLock()  # threads share the model and its implementation: one at a time changes and restores it
_PIECE_MARKS = re.compile("▁|</w>$|@@$")  # of SentencePiece, of BPE with word ends, of BPE with word-internal marks

Offsets = list[tuple[int, int]]


@contextmanager
def eager_attention(model: PreTrainedModel) -> Iterator[None]:
    """Inside this context the model uses eager attention, because fused kernels do not return their weights."""
    # Each submodel separately: T5's decoder has its own configuration, which some versions do not reach.
    parts = [part for part in model.modules() if isinstance(part, PreTrainedModel)]
    with _EAGER:
        before = [part.config._attn_implementation for part in parts]
        try:
            for part in parts:
                part.set_attn_implementation("eager")
            yield
        finally:
            for part, implementation in zip(parts, before):
                part.set_attn_implementation(implementation)


@torch.no_grad()
def generate_attending(
    model: PreTrainedModel, inputs: Mapping[str, torch.Tensor], layer: int = -1, **generate_options: Any
) -> tuple[Any, torch.Tensor]:
    """
    Generate, and return the attention weights of the run too.

    Args:
        inputs: The tokenized source.
        layer: Index among the decoder layers with attention.
        **generate_options: Passed to `model.generate`.

    Returns:
        The output of `generate()` and weights `(results, heads, steps, src_len)`: row t belongs to the step that
        chose the t-th new token.

    Raises:
        ValueError: The model has no attention, or no such layer.
    """
    options = {**generate_options, "return_dict_in_generate": True, "output_attentions": True}
    with eager_attention(model):
        outputs = model.generate(**inputs, **options)  # type: ignore[operator]
    return outputs, gather_beam_attentions(outputs, layer).float().cpu()


@torch.no_grad()
def force_attending(
    model: PreTrainedModel, inputs: Mapping[str, torch.Tensor], labels: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """
    The attention weights of a model on given translations (teacher forcing).

    Args:
        inputs: The tokenized sources.
        labels: `(batch, tgt_len)`, padded on the right with the padding token.

    Returns:
        `(batch, heads, tgt_len, src_len)` per layer with attention: row t belongs to the step that predicts label t.

    Raises:
        ValueError: The model has no attention.
    """
    prepare: Any = getattr(model, "prepare_decoder_input_ids_from_labels", None)
    if prepare is not None:
        fed = prepare(labels)
    else:  # M2M100 has none
        start = model.generation_config.decoder_start_token_id  # type: ignore[union-attr]
        start = model.config.decoder_start_token_id if start is None else start
        fed = torch.cat([torch.full_like(labels[:, :1], start), labels[:, :-1]], dim=1)
    with eager_attention(model):
        # Without labels and through the base model: the output layer is not needed.
        attentions = model.base_model(
            **inputs, decoder_input_ids=fed, output_attentions=True, use_cache=False
        ).cross_attentions
    if not attentions:
        raise ValueError("This model has no attention, which word alignment needs.")
    return attentions


def encode_with_offsets(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, as_targets: bool = False, **options: Any
) -> tuple[BatchEncoding, list[Offsets]]:
    """
    Encode texts, and return the character offsets of their tokens too, `(0, 0)` for special tokens.

    Args:
        as_targets: Whether the texts are translations.
        **options: Passed to the tokenizer, such as `padding=True`.

    Raises:
        ValueError: As for [`offsets_by_text`].
    """
    options = {**options, "return_tensors": "pt", "return_offsets_mapping": tokenizer.is_fast}
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
