# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Ask the real model what it would have done: with another word, or with other weights at a step."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from hf_attn_seq2seq.explain.trace import Trace
from hf_attn_seq2seq.explain.tracing import trace
from hf_attn_seq2seq.messages import shortened


def what_if(
    parent: Trace,
    *,
    source: str | None = None,
    target: dict[int, str] | None = None,
    weights: dict[int, str | int | Sequence[float]] | None = None,
    layer: int | None = None,
) -> Trace:
    """
    Translate again with one thing changed, as a child of the trace: `parent.children` takes it. From a change of the
    target or the weights on, the model goes on greedily, even where the parent searched by beams.

    Args:
        parent: A trace whose model is at hand.
        source: Another source text.
        target: At a step the word that has to be said, such as `{2: "chien"}`, in as many tokens as it takes, or a
            token by its name, such as `"</s>"`; the steps before keep their words and those after it are the model's
            own.
        weights: At a step the weights to go on with: `"uniform"`; a source word, or a source token's number, which
            gets all of it; or one number for each source token, which are divided by their sum. The steps before keep
            their words.
        layer: Where the weights are changed; None: in all layers that look at the source. All heads are changed.

    Raises:
        ValueError: Not exactly one change is asked for, the trace was loaded from a file or had weights changed, there
            is no such step, source token or source word, a word cannot be written with the target's tokens, or weights
            are negative, or all 0.
    """
    if sum(change is not None for change in (source, target, weights)) != 1:
        raise ValueError("Change one thing: source, target or weights.")
    parent.check_model()
    before = parent.document["what_if"]
    if before is not None and before["kind"] == "weights" and source is None:
        raise ValueError("This run had weights changed already: ask its parent, so that one thing changes.")
    run = parent.document["run"]
    options: dict[str, Any] = {
        # A given target's length is no limit of the model's own.
        "max_new_tokens": None if run["forced"] and before is None else run["max_new_tokens"],
        "candidates": max(len(step["candidates"]) for step in parent.document["steps"]),
        "name": parent.document["model"]["name"],
    }
    text = parent.document["source"]["text"]
    said = [step["choice"]["id"] for step in parent.document["steps"]]
    if source is not None:
        child = trace(
            parent.model,
            parent.tokenizer,
            source,
            num_beams=run["num_beams"],
            length_penalty=run["length_penalty"],
            **options,
        )
        change: dict[str, Any] = {"kind": "source", "text": source}
    elif target is not None:
        step, token = _only("target", target)
        step = parent.check_step(step)
        if not isinstance(token, str):
            raise ValueError(f"The word to say is of type {type(token).__name__}: write it as text.")
        if not token.strip():
            raise ValueError("The word to say is blank: write one.")
        ids = _target_ids(parent, step, token)
        if options["max_new_tokens"] is not None:
            options["max_new_tokens"] = max(options["max_new_tokens"], step + len(ids))
        child = trace(parent.model, parent.tokenizer, text, [*said[:step], *ids], num_beams=1, **options)
        change = {"kind": "target", "step": step, "ids": ids, "token": token}
    else:
        step, wanted = _only("weights", weights or {})
        step = parent.check_step(step)
        row = _row(parent, wanted)
        places = parent.layers if layer is None else [parent.attended(layer)]

        def edit(now: int, place: int, made: torch.Tensor) -> torch.Tensor:
            return row.to(made).expand_as(made) if now == step and place in places else made

        child = trace(parent.model, parent.tokenizer, text, said[:step], num_beams=1, edit_weights=edit, **options)
        change = {"kind": "weights", "step": step, "layers": places, "weights": row.tolist()}
    child.document["what_if"] = change
    parent.children.append(child)
    return child


def _only(name: str, changes: dict[int, Any]) -> tuple[int, Any]:
    if len(changes) != 1:
        raise ValueError(f"Change the {name} of one step at a time.")
    return next(iter(changes.items()))


def _target_ids(parent: Trace, step: int, word: str) -> list[int]:
    """
    The tokens of a word, or of a token told by its name, as they are said at a step.

    The word is cut as the tokenizer cuts it behind the words before. It starts a new word, unless the step it replaces
    goes on with one (`is` of `tap|is`) and it has no space before it.
    """
    document, tokenizer = parent.document, parent.tokenizer
    vocabulary = getattr(tokenizer, "target", tokenizer).get_vocab()
    here = document["steps"][step]
    if word in vocabulary and _text_of(tokenizer, vocabulary[word]) != word:  # a name such as Ġchien or </s>
        return [vocabulary[word]]
    for candidate in here["candidates"]:  # best first: of "le" and " le", the one that the model thought of
        if word == candidate["text"].strip():
            return [candidate["id"]]
    pieces = [token["text"] for token in document["target"]["tokens"]]
    before = "".join(pieces[:step])
    text = before + _space(before, pieces[step], word) + word
    encoded = tokenizer(text_target=[text], add_special_tokens=False, return_offsets_mapping=tokenizer.is_fast)
    ids = encoded["input_ids"][0]
    if tokenizer.is_fast:
        spans = encoded["offset_mapping"][0]
        if any(start < len(before) < end for start, end in spans):  # one token of both
            ids = [vocabulary[word]] if word in vocabulary else _encoded_alone(tokenizer, word)
        else:
            ids = [token_id for token_id, (start, _) in zip(ids, spans) if start >= len(before)]
    else:
        ids = _encoded_alone(tokenizer, word)
    if not ids or tokenizer.unk_token_id in ids:
        raise ValueError(f"'{shortened(word)}' cannot be written with the tokens of the target: choose another word.")
    return ids


def _text_of(tokenizer: Any, token_id: int) -> str:
    """The text that a token stands for, without the space before it; none of a special token."""
    return getattr(tokenizer, "target", tokenizer).decode([token_id], skip_special_tokens=True).strip()


def _encoded_alone(tokenizer: Any, word: str) -> list[int]:
    return tokenizer(text_target=[word], add_special_tokens=False)["input_ids"][0]


def _space(before: str, replaced: str, word: str) -> str:
    """What parts a word from the text before it: a space, where one is written."""
    if not before or before[-1].isspace() or word[0].isspace() or not any(map(str.isalnum, word)):
        return ""
    if before[-1].isalnum() and replaced[:1].isalnum():  # the step goes on with a word
        return ""
    written_together = any(unicodedata.east_asian_width(letter) in "WF" for letter in before[-1] + word[0])
    return "" if written_together else " "


def _row(parent: Trace, wanted: str | int | Sequence[float]) -> torch.Tensor:
    """Weights `(src_len,)` that sum to 1."""
    if not parent.layers:
        raise ValueError("This model has no attention: there are no weights to change.")
    src_len = len(parent.source_tokens)
    if isinstance(wanted, str):
        places = range(src_len) if wanted == "uniform" else _places_of(parent, wanted)
        return torch.eye(src_len)[list(places)].mean(0)
    if isinstance(wanted, int):
        if not -src_len <= wanted < src_len:
            raise ValueError(f"There is no source token {wanted}: there are {src_len}, counted from 0.")
        return torch.eye(src_len)[wanted]
    row = np.asarray(wanted, dtype=np.float64)
    if row.shape != (src_len,):
        raise ValueError(f"{row.size} weights are given for {src_len} source tokens: give one for each.")
    if not np.isfinite(row).all() or (row < 0).any() or not row.any():
        raise ValueError("Weights must be 0 or more, finite, and not all 0.")
    row = row / row.max()  # a sum of great numbers would be infinite
    return torch.tensor(row / row.sum(), dtype=torch.float32)


def _places_of(parent: Trace, word: str) -> list[int]:
    """The tokens of a word of the source, told as it is written, or else in any case; or of a token's name."""
    source = parent.document["source"]
    written = [each["text"] for each in source["words"]]
    for wanted, words in ((word, written), (word.casefold(), [each.casefold() for each in written])):
        if found := [number for number, each in enumerate(words) if each == wanted]:
            if len(found) > 1:
                numbers = [
                    number for number, token in enumerate(source["tokens"], start=1) if token["word"] in set(found)
                ]
                raise ValueError(
                    f"'{shortened(word)}' stands {len(found)} times in the source: give a token's number, "
                    f"counted from 1 in the terminal ({', '.join(map(str, numbers))}), from 0 in Python."
                )
            return [number for number, token in enumerate(source["tokens"]) if token["word"] == found[0]]
    if word in parent.source_tokens:
        return [parent.source_tokens.index(word)]
    raise ValueError(
        f"'{shortened(word)}' is no word of the source ({shortened(' '.join(written))}): give one, 'uniform', "
        "a source token's number, or a number for each token."
    )
