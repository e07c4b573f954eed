# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Translating texts in batches of similar length, with results in the original order."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from tokenizers.models import WordLevel, WordPiece

from hf_attn_seq2seq.copying import CopyingTokenizer, extend
from hf_attn_seq2seq.data.words import Words, split_words, word_shares
from hf_attn_seq2seq.decoding.engines import Engine, as_engine, generation_setting
from hf_attn_seq2seq.decoding.offsets import encode_with_offsets, token_texts
from hf_attn_seq2seq.decoding.readout import (
    Readout,
    align_run,
    spans_of,  # noqa: F401  # the pipeline that travels with older models asks for it here
)
from hf_attn_seq2seq.decoding.sentences import Translation, join_translations
from hf_attn_seq2seq.splitting import length_limit, refuse_blank, source_language, split_text, splits_sentences
from hf_attn_seq2seq.splitting import max_source_tokens as source_limit


if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedModel, PreTrainedTokenizerBase

logger = logging.getLogger(__name__)


def translate(
    model: PreTrainedModel | Engine,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    split_sentences: bool | None = None,
    batch_size: int = 64,
    **generate_options: Any,
) -> list[str]:
    """
    Translate texts; results are in the order of the texts.

    Args:
        model: Any encoder-decoder that supports `generate`, or an engine.
        tokenizer: The model's tokenizer.
        texts: Sentences or paragraphs.
        split_sentences: As for [`translate_n_best`].
        batch_size: Sentences per batch.
        **generate_options: Passed to `model.generate`, such as `num_beams=5`; the defaults are the model's settings.

    Raises:
        ValueError: A text is blank; the message names it.
    """
    results = translate_n_best(
        model,
        tokenizer,
        texts,
        split_sentences=split_sentences,
        batch_size=batch_size,
        scores=False,
        **generate_options,
    )
    return [translations[0].text for translations in results]


def translate_n_best(
    model: PreTrainedModel | Engine,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    split_sentences: bool | None = None,
    n_best: int = 1,
    batch_size: int = 64,
    scores: bool = True,
    links: bool = False,
    unknown_words: Mapping[str, str] | None = None,
    attention_layer: int | None = None,
    max_source_tokens: int | None = None,
    **generate_options: Any,
) -> list[list[Translation]]:
    """
    The best translations of each text, with scores and word links on request; results are in the order of the texts.

    Args:
        model: Any encoder-decoder that supports `generate`, or an engine.
        tokenizer: The model's tokenizer.
        texts: Sentences or paragraphs.
        split_sentences: Whether to translate each sentence of a text separately, as models trained on sentences need,
            and join the translations with the original whitespace; see [`split_text`]. None: as the model's
            configuration says, which a model trained on whole texts denies.
        n_best: Translations per text, best first; more than one needs at least as many beams. There are fewer
            if fewer are possible.
        batch_size: Sentences per batch.
        scores: Whether to return scores.
        links: Whether to link target words to source words; the read-out is that of the model's `alignment.json` (see
            [`Readout`]).
        unknown_words: Replaces each unknown token of a translation by the entry of the source word with the most
            attention, or, if it has no entry, by that word itself (Luong et al. 2015b, "Addressing the Rare Word
            Problem", section 3; Jean et al. 2015, section 4.1): `{}` copies every such word. A word is what the
            target's tokenizer represents by one unknown token; for a character tokenizer it is a character. If the
            read-out links the token to no word, because the end token of the source has more weight, the unknown
            token stays. None leaves unknown tokens out.
        attention_layer: The layer to read, instead of the one in the model's `alignment.json`.
        max_source_tokens: Longer sentences are truncated to this many tokens, including the end token; None: the
            model's limit, with a warning for each truncated sentence.
        **generate_options: Passed to `model.generate`, such as `num_beams=5`.

    Raises:
        ValueError: A text is blank (the message names it), `n_best` exceeds the number of beams, or attention is
            needed but the model has none.
    """
    refuse_blank_texts(texts)
    if splits_sentences(model.config, split_sentences):
        language = source_language(tokenizer)
        split = [split_text(text, language) for text in texts]
        found = iter(
            translate_n_best(
                model,
                tokenizer,
                [piece.sentence for pieces in split for piece in pieces],
                split_sentences=False,
                n_best=n_best,
                batch_size=batch_size,
                scores=scores,
                links=links,
                unknown_words=unknown_words,
                attention_layer=attention_layer,
                max_source_tokens=max_source_tokens,
                **generate_options,
            )
        )
        return [join_translations(pieces, [next(found) for _ in pieces]) for pieces in split]
    for option, usual in (("num_return_sequences", 1), ("return_dict_in_generate", False)):
        if (generate_options.get(option) or usual) != usual:
            raise ValueError(f"translate_n_best does not take {option}: leave it out, or call model.generate.")
    engine = as_engine(model)
    num_beams = generation_setting(engine, generate_options, "num_beams", 1)
    if not 1 <= n_best <= num_beams:
        raise ValueError(f"n_best={n_best} must be between 1 and the number of beams, {num_beams}.")
    generate_options = {**length_limit(engine, generate_options), **generate_options}
    generate_options["num_return_sequences"] = n_best
    attending = links or unknown_words is not None
    readout = engine.readout() if attending else Readout()
    if attention_layer is not None:
        readout = replace(readout, layer=attention_layer)
    slots = getattr(engine.config, "pointer_slots", 0)
    limit = min(max_source_tokens or source_limit(engine.config, tokenizer), sys.maxsize)

    results: list[list[Translation]] = [[] for _ in texts]
    for indices in length_batches([len(text) for text in texts], batch_size):
        batch = [texts[index] for index in indices]
        encoding: dict[str, Any] = {"padding": True, "truncation": True, "max_length": limit, "return_tensors": "np"}
        if attending or slots:
            inputs, offsets = encode_with_offsets(tokenizer, batch, **encoding)
        else:
            inputs = tokenizer(batch, **encoding)
        names: list[Any] = [tokenizer] * len(batch)
        if slots:
            ids = {"input_ids": inputs["input_ids"], "offset_mapping": offsets}
            copied = extend(ids, tokenizer, batch, engine.config.vocab_size, slots)
            names = [CopyingTokenizer(tokenizer, words, engine.config.vocab_size) for words in copied]
        if max_source_tokens is None:
            _tell_what_is_cut(tokenizer, batch, inputs, limit)
        layer = readout.layer if attending else None
        hypotheses = engine.search(**inputs, layer=layer, scores=scores, **generate_options)
        if hypotheses.attentions is None and not slots:
            texts_found = tokenizer.batch_decode(hypotheses.sequences.tolist(), skip_special_tokens=True)
            translations = [Translation(text) for text in texts_found]
        elif hypotheses.attentions is None:
            rows = enumerate(hypotheses.sequences.tolist())
            translations = [
                Translation(names[row // n_best].decode(ids, skip_special_tokens=True)) for row, ids in rows
            ]
        else:
            translations = []
            for row, ids in enumerate(hypotheses.sequences[:, 1:].tolist()):  # after the start token
                source = Source(batch[row // n_best], offsets[row // n_best], _words_of_tokens(inputs, row // n_best))
                translations.append(
                    _with_attention(
                        names[row // n_best], source, ids, hypotheses.attentions[row], readout, links, unknown_words
                    )
                )
        if hypotheses.scores is not None:
            scored = zip(translations, hypotheses.scores.tolist())
            translations = [translation._replace(score=score) for translation, score in scored]
        for row, index in enumerate(indices):
            ranks = range(row * n_best, (row + 1) * n_best)
            results[index] = [translations[rank] for rank in ranks if hypotheses.found[rank] or rank == ranks[0]]
    return results


def _tell_what_is_cut(
    tokenizer: PreTrainedTokenizerBase, batch: Sequence[str], inputs: Mapping[str, np.ndarray], limit: int
) -> None:
    """Warn about each text of a batch that was truncated to `limit` tokens."""
    if inputs["input_ids"].shape[1] < limit:
        return
    for text in batch:
        length = len(tokenizer(text, verbose=False)["input_ids"])
        if length > limit:
            beginning = f"{text[:40]}..." if len(text) > 40 else text
            logger.warning(
                f"A text of {length:,} tokens was truncated to the {limit:,} that the model reads: {beginning!r}"
            )


class Source(NamedTuple):
    """A tokenized source."""

    text: str
    offsets: list[tuple[int, int]]  # the position of each token in the text
    words: list[int | None]  # the tokenizer's word of each token

    def units(self, whole_words: bool) -> Words:
        """The parts of the text that one token may represent: whole words, or else parts of words."""
        if not any(word is not None for word in self.words):
            return split_words(self.text)  # the tokenizer does not report words
        spans: dict[Any, tuple[int, int]] = {}
        for (start, end), word in zip(self.offsets, self.words):
            text = self.text[start:end]
            start, end = start + len(text) - len(text.lstrip()), end - len(text) + len(text.rstrip())
            if start < end:
                unit = word if whole_words else start
                first, last = spans.get(unit, (start, end))
                spans[unit] = (min(first, start), max(last, end))
        return Words(self.text, sorted(spans.values()))


def _words_of_tokens(inputs: BatchEncoding, row: int) -> list[int | None]:
    return inputs.word_ids(row) if inputs.is_fast else []


def _has_whole_words(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the unknown token represents a whole word, not a part of one or a character."""
    model = getattr(getattr(tokenizer, "backend_tokenizer", None), "model", None)
    return isinstance(model, WordLevel | WordPiece)


def _with_attention(
    tokenizer: PreTrainedTokenizerBase,
    source: Source,
    ids: list[int],
    weights: np.ndarray,
    readout: Readout,
    links: bool,
    unknown_words: Mapping[str, str] | None,
) -> Translation:
    """
    A translation with its unknown tokens replaced and its words linked.

    Args:
        ids: The generated tokens, possibly with padding.
        weights: `(heads, steps, src_len)` of the layer that `readout` names.
    """
    target = getattr(tokenizer, "target", tokenizer)  # of two vocabularies
    unknown = target.unk_token_id if unknown_words is not None else None
    ids = ids[: weights.shape[1]]
    pieces = token_texts(tokenizer, ids, {*target.all_special_ids} - {unknown})
    if unknown in ids:
        units = source.units(_has_whole_words(target))
        shares = word_shares(source.offsets, units), np.eye(len(ids), weights.shape[1]).T
        looked_at = readout.words(readout.rows(weights), *shares).best()  # tokens
        for place, token in enumerate(ids):
            unit = looked_at[place]
            if token == unknown and unit is not None:
                word = units.words()[unit]
                entry = unknown_words.get(word) or unknown_words.get(word.lower()) or word
                pieces[place] = pieces[place].replace(target.unk_token, entry)
    text = "".join(pieces)
    if not links:
        return Translation(text)
    alignment = align_run(readout, weights, split_words(source.text), source.offsets, pieces, split_words)
    return Translation(text, links=alignment.links)


def length_batches(lengths: Sequence[int], batch_size: int, batch_tokens: int | None = None) -> Iterator[list[int]]:
    """
    Batches of similar length, longest first, as indices into `lengths`.

    Args:
        lengths: The length of each text.
        batch_size: Maximum number of texts in a batch.
        batch_tokens: Maximum product of the number of texts in a batch and the longest length; a longer text is a
            batch by itself.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size} must be at least 1.")
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    start = 0
    while start < len(order):
        longest = max(1, lengths[order[start]])
        count = batch_size if batch_tokens is None else max(1, min(batch_size, batch_tokens // longest))
        yield order[start : start + count]
        start += count


def refuse_blank_texts(texts: Sequence[str]) -> None:
    """Raise a ValueError that names the first text that is blank or not a string."""
    if isinstance(texts, str):
        raise ValueError(
            "texts is one string: give a list of strings, or each character would be translated separately."
        )
    for index, text in enumerate(texts):
        refuse_blank(f"Text {index}", text)
