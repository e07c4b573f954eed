# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What-if runs of the real model: with another word, with other weights at a step, or without a head."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from hf_attn_seq2seq.explain.document import Trace
from hf_attn_seq2seq.explain.media_chapters import nouns
from hf_attn_seq2seq.explain.tracing import trace
from hf_attn_seq2seq.messages import shortened


def what_if(
    parent: Trace,
    *,
    source: str | None = None,
    target: dict[int, str] | None = None,
    weights: dict[int, str | int | Sequence[float]] | None = None,
    heads: int | Sequence[int] | None = None,
    layer: int | None = None,
    mute: tuple[float, float] | None = None,
    cover: int | Sequence[float] | None = None,
) -> Trace:
    """
    Decode again with one more thing changed; the new trace is added to `parent.children`. Words, weights and heads
    that were changed in the parent stay changed, unless the new change takes their place: a word at the same step,
    weights of the same layer and step. After a change of the target or the weights, decoding continues greedily, even
    if the parent used beam search. Where the translation ends before a step, a change of that step has no effect.

    Args:
        parent: A trace whose model is loaded.
        source: Another source: a text, or a file of a recording or a picture.
        target: The word to force at a step, such as `{2: "chien"}`, in as many tokens as needed, or a token by its
            name, such as `"</s>"`. Earlier steps keep their words; later words are chosen by the model.
        weights: The weights to use at a step: `"uniform"`; a source word or the number of a source token, which gets
            all the weight; or one number per source token, which are divided by their sum. Earlier steps keep their
            words.
        heads: The heads, counted from 0, that are left out at all steps: their parts of the context become 0. With
            several heads, one or more, but not all.
        layer: The layer whose weights or heads are changed; None: all layers that attend to the source. Weights are
            changed in all heads.
        mute: From and to, in seconds: the part of a recording that becomes silent before the model hears it.
        cover: The number of a patch, or the left, top, right and bottom, in pixels of the picture as the model saw it:
            the part that takes the picture's mean colour before the model sees it.

    Raises:
        ValueError: Not exactly one change is given, the part to mute or cover is not in a recording or picture, the
            trace was loaded from a file, the step, source token, source word or head does not exist, a word cannot be
            written with the target's tokens, weights are negative or all 0, or no head would be left.
    """
    if sum(change is not None for change in (source, target, weights, heads, mute, cover)) != 1:
        raise ValueError("Give exactly one change: source, target, weights, heads, mute or cover.")
    parent.check_model()
    run = parent.document["run"]
    options: dict[str, Any] = {
        # The length of a given target is not a limit of the model.
        "max_new_tokens": None if run["forced"] and not parent.changes else run["max_new_tokens"],
        "candidates": max(len(step["candidates"]) for step in parent.document["steps"]),
        "name": parent.document["model"]["name"],
    }
    text = parent.document["source"]["text"] if parent.received is None else parent.received
    if source is not None or mute is not None or cover is not None:
        change: dict[str, Any] = {"kind": "source", "text": str(source)}
        other: Any = source
        if source is None:
            from hf_attn_seq2seq.explain.media_what_if import changed_input

            other, change = changed_input(parent, mute, cover)
        child = trace(
            parent.model,
            parent.tokenizer,
            other,
            num_beams=run["num_beams"],
            length_penalty=run["length_penalty"],
            **options,
        )
        child.document["what_if"] = change
    elif target is not None:
        step, token = _only("target", target)
        step = parent.check_step(step)
        if not isinstance(token, str):
            raise ValueError(f"The word to say is of type {type(token).__name__}: write it as text.")
        if not token.strip():
            raise ValueError("The word to force is blank: give one.")
        ids = _target_ids(parent, step, token)
        child = _decoded(parent, text, {"kind": "target", "step": step, "ids": ids, "token": token}, options)
    elif heads is not None:
        places = parent.layers if layer is None else [parent.attended(layer)]
        child = _decoded(
            parent, text, {"kind": "heads", "layers": places, "heads": _heads(parent, heads, places)}, options
        )
    else:
        step, wanted = _only("weights", weights or {})
        step = parent.check_step(step)
        row = _row(parent, wanted)
        places = parent.layers if layer is None else [parent.attended(layer)]
        change = {"kind": "weights", "step": step, "layers": places, "weights": row.tolist()}
        child = _decoded(parent, text, change, options)
    parent.children.append(child)
    return child


def _decoded(parent: Trace, text: Any, change: dict[str, Any], options: dict[str, Any]) -> Trace:
    """The run with this changed, too."""
    before = [each for each in parent.changes if each["kind"] in ("target", "weights", "heads")]
    changes = [*_without(before, change), change]
    run = parent.document["run"]
    greedy = any("step" in each for each in changes)
    given = {each["step"] + at: id_ for each in changes for at, id_ in enumerate(each.get("ids", []))}
    # A change of a step leaves the words before it as they were, and one of all steps leaves none.
    forced = _said(parent)[: change.get("step", 0)]
    while True:
        while len(forced) in given and not (forced and forced[-1] in run["end_ids"]):
            forced.append(given[len(forced)])
        most = options["max_new_tokens"]
        child = trace(
            parent.model,
            parent.tokenizer,
            text,
            forced if greedy else None,
            num_beams=1 if greedy else run["num_beams"],
            **{**options, "max_new_tokens": most if most is None else max(most, len(forced))},
            **_edits(changes),
        )
        later = min((step for step in given if step >= len(forced)), default=None)
        if later is None or later >= len(child.document["steps"]):
            break
        forced = _said(child)[:later]
    child.document["what_if"] = change if changes == [change] else {"kind": "several", "changes": changes}
    hidden = {layer: child.left_out(layer) for layer in child.layers}
    if any(child.arrays[f"attention.{layer}.head_context"][:, out].any() for layer, out in hidden.items() if out):
        raise ValueError(
            "The code that came with this model is of an earlier version, which leaves out no head: load it "
            "without trust_remote_code."
        )
    return child


def _said(run: Trace) -> list[int]:
    return [step["choice"]["id"] for step in run.document["steps"]]


def _without(changes: Sequence[dict[str, Any]], new: dict[str, Any]) -> list[dict[str, Any]]:
    """The changes in whose place the new one does not stand."""
    left = []
    for change in changes:
        if change["kind"] == new["kind"] == "target":
            (start, end), (first, last) = ((each["step"], each["step"] + len(each["ids"])) for each in (change, new))
            if start < last and first < end:
                continue
        if change["kind"] == new["kind"] == "weights" and change["step"] == new["step"]:
            change = {**change, "layers": [layer for layer in change["layers"] if layer not in new["layers"]]}
            if not change["layers"]:
                continue
        left.append(change)
    return left


def _edits(changes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How a run goes on with other weights and without heads, as arguments of [`trace`]."""
    weights = {
        (change["step"], layer): torch.tensor(change["weights"])
        for change in changes
        if change["kind"] == "weights"
        for layer in change["layers"]
    }
    heads: dict[int, list[int]] = {}
    for change in changes:
        if change["kind"] == "heads":
            for layer in change["layers"]:
                heads.setdefault(layer, []).extend(change["heads"])

    def edit(now: int, layer: int, made: torch.Tensor) -> torch.Tensor:
        row = weights.get((now, layer))
        return made if row is None else row.to(made).expand_as(made)

    def without(now: int, layer: int, sums: torch.Tensor) -> torch.Tensor:
        hidden = heads.get(layer)
        return sums if hidden is None else sums.index_fill(1, torch.tensor(hidden, device=sums.device), 0)

    return {**({"edit_weights": edit} if weights else {}), **({"edit_heads": without} if heads else {})}


def _only(name: str, changes: dict[int, Any]) -> tuple[int, Any]:
    if len(changes) != 1:
        raise ValueError(f"Change the {name} of one step at a time.")
    return next(iter(changes.items()))


def _target_ids(parent: Trace, step: int, word: str) -> list[int]:
    """
    The tokens of a word, or of a token given by its name, for use at a step.

    The word is tokenized as it would be after the preceding words. It starts a new word, unless the step that it
    replaces continues one (`is` of `tap|is`) and it has no space before it.
    """
    document, tokenizer = parent.document, getattr(parent.tokenizer, "tokenizer", parent.tokenizer)
    vocabulary = getattr(tokenizer, "target", tokenizer).get_vocab()
    here = document["steps"][step]
    if word in vocabulary and _text_of(tokenizer, vocabulary[word]) != word:  # a name such as Ġchien or </s>
        return [vocabulary[word]]
    for candidate in here["candidates"]:  # best first: of "le" and " le", the one among the candidates
        if word == candidate["text"].strip():
            return [candidate["id"]]
    pieces = [token["text"] for token in document["target"]["tokens"]]
    before = "".join(pieces[:step])
    text = before + _space(before, pieces[step], word) + word
    encoded = tokenizer(text_target=[text], add_special_tokens=False, return_offsets_mapping=tokenizer.is_fast)
    ids = encoded["input_ids"][0]
    if tokenizer.is_fast:
        spans = encoded["offset_mapping"][0]
        if any(start < len(before) < end for start, end in spans):  # one token contains parts of both
            ids = [vocabulary[word]] if word in vocabulary else _encoded_alone(tokenizer, word)
        else:
            ids = [token_id for token_id, (start, _) in zip(ids, spans) if start >= len(before)]
    else:
        ids = _encoded_alone(tokenizer, word)
    if not ids or tokenizer.unk_token_id in ids:
        raise ValueError(f"'{shortened(word)}' cannot be written with the tokens of the target: choose another word.")
    return ids


def _text_of(tokenizer: Any, token_id: int) -> str:
    """The text of a token, without a leading space; empty for a special token."""
    return getattr(tokenizer, "target", tokenizer).decode([token_id], skip_special_tokens=True).strip()


def _encoded_alone(tokenizer: Any, word: str) -> list[int]:
    return tokenizer(text_target=[word], add_special_tokens=False)["input_ids"][0]


def _space(before: str, replaced: str, word: str) -> str:
    """The separator between a word and the preceding text: a space, if one is written."""
    if not before or before[-1].isspace() or word[0].isspace() or not any(map(str.isalnum, word)):
        return ""
    if before[-1].isalnum() and replaced[:1].isalnum():  # the step continues a word
        return ""
    written_together = any(unicodedata.east_asian_width(letter) in "WF" for letter in before[-1] + word[0])
    return "" if written_together else " "


def _heads(parent: Trace, wanted: int | Sequence[int], layers: Sequence[int]) -> list[int]:
    """The heads to leave out of layers, in order."""
    if not parent.layers:
        raise ValueError("This model has no attention: there are no heads to leave out.")
    count = parent.document["attention"]["heads"]
    if count == 1:
        raise ValueError("This model has one head: without it, it would read nothing of the source.")
    numbers = [wanted] if isinstance(wanted, int) else list(wanted)
    for number in numbers:
        if not -count <= number < count:
            raise ValueError(f"There is no head {number}: the model has {count}, counted from 0.")
    found = sorted({number % count for number in numbers})
    out = max((len({*found, *parent.left_out(layer)}) for layer in layers), default=0)
    if not found or out == count:
        raise ValueError(f"{len(found) and out} of {count} heads are to be left out: name at least one, and not all.")
    return found


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
            one = "source token" if parent.input is None else nouns(parent.input).one
            raise ValueError(f"There is no {one} {wanted}: there are {src_len}, counted from 0.")
        return torch.eye(src_len)[wanted]
    row = np.asarray(wanted, dtype=np.float64)
    if row.shape != (src_len,):
        raise ValueError(f"{row.size} weights are given for {src_len} source tokens: give one per token.")
    if not np.isfinite(row).all() or (row < 0).any() or not row.any():
        raise ValueError("The weights are invalid: they must be finite, not negative, and not all 0.")
    row = row / row.max()  # a sum of very large numbers would be infinite
    return torch.tensor(row / row.sum(), dtype=torch.float32)


def _places_of(parent: Trace, word: str) -> list[int]:
    """The tokens of a source word as it is written, or else in any letter case; or of a token given by its name."""
    source = parent.document["source"]
    if parent.input is not None:
        if word in parent.source_tokens:
            return [parent.source_tokens.index(word)]
        one = nouns(parent.input).one
        raise ValueError(
            f"'{shortened(word)}' is not a {one}: give 'uniform', the name of one ({parent.source_tokens[0]}), its "
            "number, or a number for each."
        )
    written = [each["text"] for each in source["words"]]
    for wanted, words in ((word, written), (word.casefold(), [each.casefold() for each in written])):
        if found := [number for number, each in enumerate(words) if each == wanted]:
            if len(found) > 1:
                numbers = [
                    number for number, token in enumerate(source["tokens"], start=1) if token["word"] in set(found)
                ]
                raise ValueError(
                    f"'{shortened(word)}' occurs {len(found)} times in the source: give a token's number, "
                    f"counted from 1 in the terminal ({', '.join(map(str, numbers))}), from 0 in Python."
                )
            return [number for number, token in enumerate(source["tokens"]) if token["word"] == found[0]]
    if word in parent.source_tokens:
        return [parent.source_tokens.index(word)]
    raise ValueError(
        f"'{shortened(word)}' is not a word of the source ({shortened(' '.join(written))}): give one, 'uniform', "
        "a source token's number, or a number for each token."
    )
