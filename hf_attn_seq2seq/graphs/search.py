# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Greedy and beam search as ONNX nodes, around the step of a model.

Both follow Transformers' `generate()` operation by operation, so that they choose the same tokens. What differs is the
bookkeeping: hypotheses are pointers to the beams that they extend, and are written out once, when the search is over.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from hf_attn_seq2seq.graphs.nodes import BOOL, FLOAT, INT, Constants, Nodes


IMPOSSIBLE = -1e9  # what `generate()` adds to the score of a hypothesis that may not go on
NOT_CHOSEN = float("-inf")
FIRST = np.array([0])
SECOND = np.array([1])
LAST = np.array([-1])

# The settings of a search: inputs of the graph, with their types. Names are those of Transformers' GenerationConfig
# where it has one.
SETTINGS = {
    "num_beams": (INT, 0),
    "num_return_sequences": (INT, 0),
    "max_new_tokens": (INT, 0),
    "min_new_tokens": (INT, 0),
    "length_penalty": (FLOAT, 0),
    "early_stopping": (INT, 0),  # 0: False, 1: True, 2: "never"
    "decoder_start_token_id": (INT, 0),
    "pad_token_id": (INT, 0),
    "eos_token_id": (INT, 1),  # (count,), possibly none
    "forced_bos_token_id": (INT, 0),  # -1: none
    "forced_eos_token_id": (INT, 0),  # -1: none
    "suppress_tokens": (INT, 1),
    "begin_suppress_tokens": (INT, 1),
    "output_scores": (BOOL, 0),  # of greedy search, which does not need them itself
    "attention_heads": (INT, 1),  # layer * heads of a layer + head; those whose weights are wanted
}


class Step(NamedTuple):
    """The outputs of one step of the model, for `rows` hypotheses."""

    logits: str  # (rows, 1, vocab)
    state: list[str]  # each (rows, ...)
    attention: str | None  # (rows, layers * heads, 1, src_len)


# Adds the nodes of a step to those of a loop's body: given the tokens (rows, 1) and the state.
MakeStep = Callable[[Nodes, str, list[str]], Step]


class Limits(NamedTuple):
    """What the settings allow at each step."""

    rows: str  # (kinds, vocab or 1): what is added to the logits
    kind: str  # (max_new_tokens,): which row is added at which step
    forced: str  # (max_new_tokens,): whether one token is prescribed at that step


class Found(NamedTuple):
    """The outputs of a search, for `results` sequences."""

    sequences: str  # (results, 1 + steps)
    scores: str  # (results,)
    lengths: str  # (results,): chosen tokens
    attentions: str | None  # (results, wanted heads, steps, src_len)


def write_limits(nodes: Nodes, constants: Constants, vocab_size: int) -> Limits:
    """Nodes that turn the settings into [`Limits`]; where they forbid nothing, a single zero is added."""
    steps = nodes.Range(0, "max_new_tokens", 1)
    restricted = nodes.Or(
        nodes.Greater(
            nodes.Add(nodes.Add(nodes.Size("suppress_tokens"), nodes.Size("begin_suppress_tokens")), "min_new_tokens"),
            0,
        ),
        nodes.Greater(nodes.Max("forced_bos_token_id", "forced_eos_token_id"), -1),
    )
    free = Nodes("free", constants)
    nowhere = free.Mul(steps, 0)
    wanted = Nodes("restricted", constants)
    nothing = wanted.Expand(0.0, np.array([vocab_size]))

    def forbid(tokens: str) -> str:
        return wanted.ScatterElements(nothing, tokens, wanted.Expand(NOT_CHOSEN, wanted.Shape(tokens)), axis=0)

    def prescribe(token: str) -> str:
        chosen = wanted.Equal(np.arange(vocab_size), token)
        return wanted.Where(chosen, 0.0, NOT_CHOSEN)

    always, ends, first = forbid("suppress_tokens"), forbid("eos_token_id"), forbid("begin_suppress_tokens")
    begins = wanted.Cast(wanted.Greater("forced_bos_token_id", -1), to=INT)  # the first step that is not prescribed
    last = wanted.Sub("max_new_tokens", 1)

    def row(step: str | int) -> tuple[str, str]:
        opening = wanted.And(wanted.Equal(step, 0), wanted.Greater("forced_bos_token_id", -1))
        closing = wanted.And(wanted.Equal(step, last), wanted.Greater("forced_eos_token_id", -1))
        early = wanted.Where(wanted.Less(step, "min_new_tokens"), ends, nothing)
        allowed = wanted.Where(opening, prescribe("forced_bos_token_id"), early)
        allowed = wanted.Where(closing, prescribe("forced_eos_token_id"), allowed)
        allowed = wanted.Add(allowed, wanted.Where(wanted.Equal(step, begins), first, nothing))
        return wanted.Add(allowed, always), wanted.Or(opening, closing)

    def named(kind: int) -> str:
        return wanted.Unsqueeze(rows[kind][0], FIRST)

    # Steps of five kinds: those before and from the minimum length on, the first, the second and the last.
    plain = wanted.Add(nothing, always), wanted.Not(wanted.Equal(0, 0))
    short = wanted.Add(ends, always), plain[1]
    rows = [plain, short, row(0), row(1), row(last)]
    kind = wanted.Where(wanted.Less(steps, "min_new_tokens"), 1, 0)
    for step, number in ((0, 2), (1, 3), (last, 4)):
        kind = wanted.Where(wanted.Equal(steps, step), number, kind)
    table = wanted.Concat(*map(named, range(len(rows))), axis=0)
    flags = wanted.Gather(wanted.vector(*(flag for _, flag in rows)), kind)
    return Limits(
        *nodes.choice(
            restricted,
            wanted,
            free,
            [
                (table, free.Reshape(0.0, np.array([1, 1])), FLOAT),
                (kind, nowhere, INT),
                (flags, free.Less(nowhere, 0), BOOL),
            ],
        )
    )


def _table(nodes: Nodes, vocab_size: int, usual: float | int, at_ends: float | int) -> str:
    """`(vocab,)`: one value for each token, and another for those that end a sequence."""
    kind = FLOAT if isinstance(usual, float) else INT
    whole = nodes.Expand(nodes.Cast(usual, to=kind), np.array([vocab_size]))
    ends = nodes.Expand(nodes.Cast(at_ends, to=kind), nodes.Shape("eos_token_id"))
    return nodes.ScatterElements(whole, "eos_token_id", ends, axis=0)


def _powers(nodes: Nodes, lengths: str) -> str:
    """Lengths to the power of the penalty, computed in double precision as in Python."""
    double = 11
    power = nodes.Pow(nodes.Cast(lengths, to=double), nodes.Cast("length_penalty", to=double))
    return nodes.Cast(power, to=FLOAT)


def write_greedy(
    nodes: Nodes, limits: Limits, make_step: MakeStep, state: Mapping[str, int], vocab_size: int, attends: bool
) -> Found:
    """
    Greedy search over the whole batch, which ends when all sequences have, or at the maximum length.

    Args:
        nodes: Those of the graph around the loop.
        limits: The result of [`write_limits`].
        make_step: The model's step.
        state: The first state `(batch, ...)` and its element types.
        vocab_size: The decoder's.
        attends: Whether the model has attention.
    """
    batch = nodes.size("input_ids", 0)
    column = nodes.vector(batch, 1)
    goes_on = _table(nodes, vocab_size, 1, 0)
    body = Nodes("greedy_step", nodes.constants)
    token, alive, total = (f"greedy_step/{name}" for name in ("token", "alive", "total"))
    before = [f"greedy_step/before.{name}" for name in state]
    step = make_step(body, token, before)
    logits = body.Add(step.logits, body.Gather(limits.rows, body.Gather(limits.kind, "greedy_step/i")))
    best = body.ArgMax(logits, axis=2, keepdims=0)  # (batch, 1)
    scored, unscored = (Nodes(f"greedy_step/{name}", nodes.constants) for name in ("scored", "unscored"))
    log_probs = scored.LogSoftmax(logits, axis=2)
    chosen = scored.Squeeze(scored.GatherElements(log_probs, scored.Unsqueeze(best, LAST), axis=2), LAST)
    added = scored.Add(total, scored.Mul(chosen, scored.Cast(alive, to=FLOAT)))
    (total_after,) = body.choice("output_scores", scored, unscored, [(added, total, FLOAT)])
    after = body.Where(body.Cast(alive, to=BOOL), best, "pad_token_id")
    alive_after = body.Mul(alive, body.Gather(goes_on, after))
    more = body.Cast(body.ReduceMax(alive_after, keepdims=0), to=BOOL)
    carried = [(token, after, INT), (alive, alive_after, INT), (total, total_after, FLOAT)]
    carried += list(zip(before, step.state, state.values()))
    written = [(after, INT), (alive, INT)]
    if attends:
        written.append((body.Gather(step.attention, "attention_heads", axis=1), FLOAT))
    first = [
        nodes.Expand("decoder_start_token_id", column),
        nodes.Expand(1, column),
        nodes.Expand(0.0, column),
        *state,
    ]
    out = _loop(nodes, body, "greedy_step", "max_new_tokens", carried, more, written, first)
    total, (tokens, living), attention = out[2], out[len(carried) : len(carried) + 2], out[len(carried) + 2 :]
    sequences = nodes.Transpose(nodes.Squeeze(tokens, LAST), perm=[1, 0])
    sequences = nodes.Concat(nodes.Expand("decoder_start_token_id", column), sequences, axis=1)
    lengths = nodes.ReduceSum(living, np.array([0, 2]), keepdims=0)
    scores = nodes.Div(nodes.Squeeze(total, LAST), _powers(nodes, lengths))
    rows = [nodes.Transpose(nodes.Squeeze(rows, np.array([3])), perm=[1, 2, 0, 3]) for rows in attention]
    return Found(sequences, scores, lengths, rows[0] if rows else None)


def write_beams(
    nodes: Nodes, limits: Limits, make_step: MakeStep, state: Mapping[str, int], vocab_size: int, attends: bool
) -> Found:
    """
    Beam search; the arguments as for [`write_greedy`], except that `state` is `(batch * num_beams, ...)`.

    At each step every beam's best continuations compete. The best `num_beams` that do not end go on; those that end
    there, if they are among the best `num_beams` continuations, compete with the hypotheses found before.
    """
    batch, beams = nodes.size("input_ids", 0), "num_beams"
    grid, column = nodes.vector(batch, beams), nodes.vector(batch, 1)
    kept = nodes.Mul(nodes.Max(nodes.Add(nodes.Size("eos_token_id"), 1), 2), beams)  # continuations of a source
    kept_row = nodes.Unsqueeze(kept, FIRST)
    each = nodes.Min(kept, vocab_size)  # continuations of a beam
    each_row, beams_row = nodes.Unsqueeze(each, FIRST), nodes.Unsqueeze(beams, FIRST)
    offsets = nodes.Unsqueeze(nodes.Mul(nodes.Range(0, batch, 1), beams), SECOND)  # (batch, 1): the first row of each
    at_ends = _table(nodes, vocab_size, 0.0, IMPOSSIBLE)
    steps = nodes.Add(nodes.Range(0, "max_new_tokens", 1), 1)
    powers = _powers(nodes, steps)
    hopeful = nodes.And(nodes.Equal("early_stopping", 2), nodes.Greater("length_penalty", 0.0))
    reachable = nodes.Where(hopeful, _powers(nodes, "max_new_tokens"), powers)
    last_step = nodes.Sub("max_new_tokens", 1)
    full_stop = nodes.Equal("early_stopping", 1)
    among_best = nodes.Less(nodes.Range(0, kept, 1), beams)
    only_first = nodes.Where(nodes.Equal(nodes.Range(0, beams, 1), 0), 0.0, IMPOSSIBLE)

    body = Nodes("beam_step", nodes.constants)
    names = ("token", "running", "score", "done", "step", "row", "end", "worst", "open", "hope")
    token, running, score, done, at_step, from_row, end, worst, is_open, hope = (f"beam_step/{n}" for n in names)
    before = [f"beam_step/before.{name}" for name in state]
    number = "beam_step/i"
    step = make_step(body, token, before)
    log_probs = body.LogSoftmax(step.logits, axis=2)
    log_probs = body.Add(log_probs, body.Gather(limits.rows, body.Gather(limits.kind, number)))
    best, tokens = body.TopK(log_probs, each_row, axis=2, outputs=2)
    prescribed = body.And(body.Gather(limits.forced, number), body.Greater(best, NOT_CHOSEN))
    best = body.Where(prescribed, 0.0, best)
    shape = nodes.vector(batch, beams, each)
    both = body.Add(body.Reshape(best, shape), body.Unsqueeze(running, LAST))
    flat = nodes.vector(batch, -1)
    ranked, places = body.TopK(body.Reshape(both, flat), kept_row, axis=1, outputs=2)  # (batch, kept)
    beam = body.Add(body.Div(places, each), offsets)
    chosen = body.GatherElements(body.Reshape(tokens, flat), places, axis=1)
    penalty = body.Gather(at_ends, chosen)
    running_after, go_on = body.TopK(body.Add(ranked, penalty), beams_row, axis=1, outputs=2)
    token_after = body.GatherElements(chosen, go_on, axis=1)
    row_after = body.GatherElements(beam, go_on, axis=1)
    order = body.Reshape(row_after, LAST)
    state_after = [body.Gather(each_state, order, axis=0) for each_state in step.state]
    is_last = body.Equal(number, last_step)
    some_end = body.Less(body.ReduceMin(body.Slice(penalty, FIRST, beams_row, SECOND), keepdims=0), 0.0)

    ends, none_ends = (Nodes(f"beam_step/{name}", nodes.constants) for name in ("ends", "none_ends"))
    ended = ends.And(ends.Or(ends.Less(penalty, 0.0), is_last), among_best)
    value = ends.Div(ranked, ends.Gather(powers, number))
    is_full = ends.And(ends.Cast(_all(ends, done, 1), to=BOOL), full_stop)
    for refused in (is_full, ends.Not(ends.Cast(hope, to=BOOL)), ends.Not(ended)):
        value = ends.Add(value, ends.Mul(ends.Cast(refused, to=FLOAT), IMPOSSIBLE))
    score_new, picked = ends.TopK(ends.Concat(score, value, axis=1), beams_row, axis=1, outputs=2)

    def pick(old: str, new: str) -> str:
        return ends.GatherElements(ends.Concat(old, new, axis=1), picked, axis=1)

    done_new = pick(done, ends.Cast(ended, to=INT))
    step_new = pick(at_step, ends.Expand(number, ends.Shape(chosen)))
    row_new, end_new = pick(from_row, beam), pick(end, chosen)
    least = ends.ReduceMin(score_new, axes=[1], keepdims=1)
    worst_new = ends.ReduceMin(ends.Where(ends.Cast(done_new, to=BOOL), least, IMPOSSIBLE), axes=[1], keepdims=1)
    all_done = ends.Cast(ends.ReduceMin(done_new, keepdims=0), to=BOOL)
    open_new = ends.Not(ends.And(all_done, full_stop))
    finished = [
        (score, score_new, FLOAT),
        (done, done_new, INT),
        (at_step, step_new, INT),
        (from_row, row_new, INT),
        (end, end_new, INT),
        (worst, worst_new, FLOAT),
        (is_open, open_new, BOOL),
    ]
    updated = body.choice(
        body.Or(some_end, is_last), ends, none_ends, [(new, old, kind) for old, new, kind in finished]
    )
    top = body.Slice(running_after, FIRST, SECOND, SECOND)
    better = body.Greater(body.Div(top, body.Gather(reachable, number)), updated[5])
    hope_after = body.Mul(hope, body.Cast(better, to=INT))
    more = body.And(body.Cast(body.ReduceMax(hope_after, keepdims=0), to=BOOL), updated[6])

    carried = [(token, body.Reshape(token_after, np.array([-1, 1])), INT), (running, running_after, FLOAT)]
    carried += [(old, new, kind) for (old, _, kind), new in zip(finished, updated)]
    carried += [(hope, hope_after, INT), *zip(before, state_after, state.values())]
    written = [(body.Reshape(token_after, LAST), INT), (order, INT)]
    if attends:
        written.append((body.Gather(step.attention, "attention_heads", axis=1), FLOAT))
    nothing = nodes.Expand(0, grid)
    first = [
        nodes.Expand("decoder_start_token_id", nodes.vector(nodes.Mul(batch, beams), 1)),
        nodes.Expand(only_first, grid),
        nodes.Expand(IMPOSSIBLE, grid),
        *([nothing] * 4),
        nodes.Expand(IMPOSSIBLE, column),
        nodes.Equal(0, 0),
        nodes.Expand(1, column),
        *state,
    ]
    out = _loop(nodes, body, "beam_step", "max_new_tokens", carried, more, written, first)
    wanted = nodes.Unsqueeze("num_return_sequences", FIRST)
    scores, ended_at, came_from, last_token = (
        nodes.Reshape(nodes.Slice(out[index], FIRST, wanted, SECOND), LAST) for index in (2, 4, 5, 6)
    )
    tokens, parents, *attention = out[len(carried) :]
    return _written_out(nodes, tokens, parents, ended_at, came_from, last_token, scores, attention)


def _all(nodes: Nodes, value: str, axis: int) -> str:
    return nodes.ReduceMin(value, axes=[axis], keepdims=1)


def _written_out(
    nodes: Nodes,
    tokens: str,
    parents: str,
    ended_at: str,
    came_from: str,
    last_token: str,
    scores: str,
    attention: list[str],
) -> Found:
    """
    The hypotheses that end at step `ended_at`, extending the beam `came_from` by `last_token`, `(results,)` each.

    Args:
        tokens, parents: `(steps, rows)`: the token of each beam after each step, and the beam that it extended.
        attention: The weights of each step `(steps, rows, heads, 1, src_len)`, if any.
    """
    lengths = nodes.Add(ended_at, 1)
    longest = nodes.ReduceMax(lengths, keepdims=0)
    rows = nodes.size(tokens, 1)
    tokens, parents = nodes.Reshape(tokens, LAST), nodes.Reshape(parents, LAST)
    body = Nodes("written_step", nodes.constants)
    row = "written_step/row"
    step = body.Sub(body.Sub(longest, "written_step/i"), 1)
    place = body.Add(body.Mul(step, rows), row)
    here, inside = body.Equal(ended_at, step), body.Greater(ended_at, step)
    token = body.Where(here, last_token, body.Where(inside, body.Gather(tokens, place), "pad_token_id"))
    row_before = body.Where(here, came_from, body.Where(inside, body.Gather(parents, place), 0))
    looked = body.Add(body.Mul(step, rows), row_before)
    found, places = _loop(
        nodes,
        body,
        "written_step",
        longest,
        [(row, row_before, INT)],
        "written_step/more",
        [(token, INT), (looked, INT)],
        [nodes.Mul(ended_at, 0)],
    )[1:]
    backwards = (np.array([-1]), np.array([np.iinfo(np.int64).min]), SECOND, np.array([-1]))
    sequences = nodes.Slice(nodes.Transpose(found, perm=[1, 0]), *backwards)
    start = nodes.Expand("decoder_start_token_id", nodes.vector(nodes.size(sequences, 0), 1))
    sequences = nodes.Concat(start, sequences, axis=1)
    attentions = None
    if attention:
        places = nodes.Slice(nodes.Transpose(places, perm=[1, 0]), *backwards)  # (results, steps)
        weights = attention[0]
        flat = nodes.vector(nodes.size(tokens, 0), nodes.size(weights, 2), nodes.size(weights, 4))
        by_row = nodes.Gather(nodes.Reshape(weights, flat, allowzero=1), places, axis=0)
        real = nodes.Less(nodes.Range(0, longest, 1), nodes.Unsqueeze(lengths, SECOND))  # (results, steps)
        real = nodes.Cast(nodes.Unsqueeze(real, np.array([2, 3])), to=FLOAT)
        attentions = nodes.Transpose(nodes.Mul(by_row, real), perm=[0, 2, 1, 3])
    return Found(sequences, scores, lengths, attentions)


def _loop(
    nodes: Nodes,
    body: Nodes,
    prefix: str,
    count: str,
    carried: list[tuple[str, str, int]],
    more: str,
    written: list[tuple[str, int]],
    first: list[str],
) -> list[str]:
    """`Loop`: `carried` are names before and after a step and types; `written` are the outputs of all steps."""
    inputs = [(f"{prefix}/i", INT, []), (f"{prefix}/more", BOOL, [])]
    inputs += [(name, kind, None) for name, _, kind in carried]
    outputs = [(more, BOOL), *((name, kind) for _, name, kind in carried), *written]
    return nodes.Loop(
        count,
        nodes.Equal(0, 0),
        *first,
        outputs=len(carried) + len(written),
        body=body.graph(inputs, outputs),
    )
