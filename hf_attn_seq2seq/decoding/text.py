# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Texts through a model in batches of like length, and back in the order they came."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hf_attn_seq2seq.evaluation.alignment import Link, attention_to_links
from hf_attn_seq2seq.modeling_attn_seq2seq import check_layer, gather_beam_attentions


class SentenceAttention(NamedTuple):
    """A translation and what was looked at for each of its tokens."""

    translation: str
    source_tokens: list[str]
    target_tokens: list[str]  # the chosen tokens, with the end token
    weights: torch.Tensor  # (heads, len(target_tokens), len(source_tokens))


def translate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    batch_size: int = 64,
    **generate_options: Any,
) -> list[str]:
    """
    Translate texts, in their order.

    Args:
        model: Any encoder-decoder that generates.
        tokenizer: The model's.
        texts: One sentence each.
        batch_size: Sentences a batch.
        **generate_options: For `model.generate`, such as `num_beams=5`.

    Raises:
        ValueError: A text is blank; the sentence names it.
    """
    _refuse_blank(texts)
    for option, usual in (("num_return_sequences", 1), ("return_dict_in_generate", False)):
        if (generate_options.get(option) or usual) != usual:
            raise ValueError(
                f"translate gives one text for each text, so leave out {option}: call model.generate instead."
            )
    translations = [""] * len(texts)
    for indices in _batches([len(text) for text in texts], batch_size):
        inputs = tokenizer([texts[index] for index in indices], return_tensors="pt", padding=True, truncation=True)
        with _evaluating(model):
            generated = model.generate(**inputs.to(model.device), **generate_options)  # type: ignore[operator]
        for index, text in zip(indices, tokenizer.batch_decode(generated, skip_special_tokens=True)):
            translations[index] = text
    return translations


@torch.no_grad()
def attend(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str, **generate_options: Any
) -> SentenceAttention:
    """
    Translate one text and keep the attention of the run that did so.

    Raises:
        ValueError: The text is blank, or the model has no attention.
    """
    _refuse_blank([text])
    inputs = tokenizer([text], return_tensors="pt").to(model.device)
    options = {"return_dict_in_generate": True, "output_attentions": True, **generate_options}
    with _evaluating(model):
        outputs = model.generate(**inputs, **options)  # type: ignore[operator]
    weights = gather_beam_attentions(outputs)[0]
    chosen = outputs.sequences[0, 1 : 1 + weights.shape[1]]  # after the start token
    return SentenceAttention(
        str(tokenizer.decode(chosen, skip_special_tokens=True)),
        list(tokenizer.convert_ids_to_tokens(inputs["input_ids"][0].tolist())),
        list(tokenizer.convert_ids_to_tokens(chosen.tolist())),
        weights[:, : len(chosen)],
    )


@torch.no_grad()
def align(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[tuple[str, str]],
    *,
    layer: int = -1,
    batch_size: int = 64,
) -> list[frozenset[Link]]:
    """
    Link each target word to the source word that its row of attention (the mean of all heads) favours.

    The target is given (teacher forcing). Row t of the weights chose label t, so no row is shifted.

    Args:
        pairs: Source and target texts; none may be blank.
        layer: Which decoder layer's attention; a recurrent decoder has one.

    Returns:
        For each pair its links `(source word, target word)`, words counted as the tokenizer cuts them.
    """
    for index, pair in enumerate(pairs):
        if len(pair) != 2 or isinstance(pair, str):
            raise ValueError(f"Pair {index} is not a source and a target: give two texts.")
        _refuse_blank(pair)
    links: list[frozenset[Link]] = [frozenset()] * len(pairs)
    for indices in _batches([len(source) for source, _ in pairs], batch_size):
        inputs = tokenizer([pairs[index][0] for index in indices], return_tensors="pt", padding=True)
        targets = tokenizer(text_target=[pairs[index][1] for index in indices], return_tensors="pt", padding=True)
        labels = targets["input_ids"].to(model.device)
        with _evaluating(model):
            outputs = model(**inputs.to(model.device), labels=labels, output_attentions=True)
        check_layer(layer, len(outputs.cross_attentions))
        weights = outputs.cross_attentions[layer].mean(1)  # batch x tgt_len x src_len
        for row, index in enumerate(indices):
            links[index] = attention_to_links(weights[row], inputs.word_ids(row), targets.word_ids(row))
    return links


@contextmanager
def _evaluating(model: PreTrainedModel) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _batches(lengths: list[int], batch_size: int) -> Iterator[list[int]]:
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size} must be at least 1.")
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def _refuse_blank(texts: Sequence[str]) -> None:
    if isinstance(texts, str):
        raise ValueError("Give a list of texts, not one text: its letters would be taken for texts.")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"Text {index} is a {type(text).__name__}: give text.")
        if not text.strip():
            raise ValueError(f"Text {index} is blank: give it words or leave it out.")
