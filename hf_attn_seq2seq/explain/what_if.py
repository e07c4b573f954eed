# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Ask the real model what it would have done: with another word, or with other weights at a step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from hf_attn_seq2seq.decoding.text import token_texts
from hf_attn_seq2seq.explain.trace import Trace
from hf_attn_seq2seq.explain.tracing import trace


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
        target: At a step the token that has to be said, such as `{2: "chien"}`; the steps before keep their words and
            those after it are the model's own.
        weights: At a step the weights to go on with: `"uniform"`; a source token's number, which gets all of it; or
            one number for each source token, which are divided by their sum. The steps before keep their words.
        layer: Where the weights are changed; None: in all layers that look at the source. All heads are changed.

    Raises:
        ValueError: Not exactly one change is asked for, the trace was loaded from a file or had weights changed, there
            is no such step or source token, a token is not in the vocabulary, or weights are negative, or all 0.
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
        token_id = _target_id(parent.tokenizer, token)
        child = trace(parent.model, parent.tokenizer, text, [*said[:step], token_id], **options)
        change = {"kind": "target", "step": step, "id": token_id, "token": token}
    else:
        step, wanted = _only("weights", weights or {})
        step = parent.check_step(step)
        row = _row(parent, wanted)
        places = parent.layers if layer is None else [parent.attended(layer)]

        def edit(now: int, place: int, made: torch.Tensor) -> torch.Tensor:
            return row.to(made).expand_as(made) if now == step and place in places else made

        child = trace(parent.model, parent.tokenizer, text, said[:step], edit_weights=edit, **options)
        change = {"kind": "weights", "step": step, "layers": places, "weights": row.tolist()}
    child.document["what_if"] = change
    parent.children.append(child)
    return child


def _only(name: str, changes: dict[int, Any]) -> tuple[int, Any]:
    if len(changes) != 1:
        raise ValueError(f"Change the {name} of one step at a time.")
    return next(iter(changes.items()))


def _target_id(tokenizer: Any, word: str) -> int:
    """The id of one target token, told by its name in the vocabulary or by its text."""
    target = getattr(tokenizer, "target", tokenizer)
    vocabulary = target.get_vocab()
    if word in vocabulary:
        return vocabulary[word]
    ids = tokenizer(text_target=[word], add_special_tokens=False)["input_ids"][0]
    if not ids or target.unk_token_id in ids:
        raise ValueError(f"'{word}' is no token of the target: choose a word that the model knows.")
    if len(ids) > 1:
        pieces = ", ".join(token_texts(target, ids))
        raise ValueError(f"'{word}' is {len(ids)} tokens ({pieces}): force one token at a time.")
    return ids[0]


def _row(parent: Trace, wanted: str | int | Sequence[float]) -> torch.Tensor:
    """Weights `(src_len,)` that sum to 1."""
    if not parent.layers:
        raise ValueError("This model has no attention: there are no weights to change.")
    src_len = len(parent.source_tokens)
    if isinstance(wanted, str):
        if wanted != "uniform":
            raise ValueError(
                f"weights={wanted!r} is unknown: give 'uniform', a source token's number, or the weights."
            )
        return torch.full((src_len,), 1 / src_len)
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
