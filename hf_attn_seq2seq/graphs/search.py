# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Greedy and beam search as ONNX nodes, around the step of a model.

Both follow Transformers' `generate()` operation by operation, so that they choose the same tokens. What differs is the
bookkeeping: hypotheses are pointers to the beams that they extend, and are written out once, when the search is over.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from hf_attn_seq2seq.graphs.nodes import BOOL, FLOAT, INT, Nodes


IMPOSSIBLE = -1e9  # what `generate()` adds to the score of a hypothesis that may not go on
NOT_CHOSEN = float("-inf")
SMALL = 1024  # a vocabulary below this is searched as a whole
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
    "attention_shift": (INT, 0),  # 0: a token's row is that which predicted it; 1: the next, which has read it
}
# Those that every caller gives; the others have what the model's own settings say as default. An input with a default
# is beyond the reach of JavaScript: the bindings of ONNX Runtime do not pass it on.
GIVEN = ("num_beams", "num_return_sequences", "max_new_tokens", "min_new_tokens", "length_penalty", "early_stopping")


class Step(NamedTuple):
    """The outputs of one step of the model, for `rows` hypotheses."""

    hidden: str  # (rows, 1, hidden): what the output layer reads
    state: list[str]  # each (rows, ...)
    attention: str | None  # (rows, layers * heads, 1, src_len)


# Adds the nodes of a step to those of a loop's body: given the tokens (rows, 1) and the state.
MakeStep = Callable[[Nodes, str, list[str]], Step]
# Adds those of the output layer: given what it reads, the logits (rows, 1, vocab).
MakeLogits = Callable[[Nodes, str], str]


class Limits(NamedTuple):
    """What the settings allow at each step, beyond the minimum length."""

    rows: str  # (kinds, vocab): what is added to the logits
    kind: str  # (max_new_tokens,): which row is added at which step
    forced: str  # (max_new_tokens,): whether one token is prescribed at that step


class Call(NamedTuple):
    """What a search is written for."""

    source: str  # an input of the graph with a row for each source
    make_step: MakeStep
    make_logits: MakeLogits
    state: Mapping[str, int]  # the first state, with its element types
    steps: str  # the number of steps: `max_new_tokens`, or 0 where the other search is wanted
    limits: Limits | None  # None: no token is prescribed or forbidden
    vocab_size: int  # the decoder's


class Found(NamedTuple):
    """The outputs of a search, for `results` sequences."""

    sequences: str  # (results, 1 + steps)
    scores: str  # (results,)
    lengths: str  # (results,): chosen tokens
    attentions: str | None  # (results, wanted heads, steps, src_len): a row for each token, 0 where it has none


def write_limits(nodes: Nodes, vocab_size: int) -> Limits:
    """Nodes that turn the settings into [`Limits`]."""
    steps = nodes.Range(0, "max_new_tokens", 1)
    nothing = nodes.Expand(0.0, np.array([vocab_size]))

    def forbid(tokens: str) -> str:
        return nodes.ScatterElements(nothing, tokens, nodes.Expand(NOT_CHOSEN, nodes.Shape(tokens)), axis=0)

    def prescribe(token: str) -> str:
        return nodes.Where(nodes.Equal(np.arange(vocab_size), token), 0.0, NOT_CHOSEN)

    always, ends, first = forbid("suppress_tokens"), forbid("eos_token_id"), forbid("begin_suppress_tokens")
    begins = nodes.Cast(nodes.Greater("forced_bos_token_id", -1), to=INT)  # the first step that is not prescribed
    last = nodes.Sub("max_new_tokens", 1)

    def row(step: str | int) -> tuple[str, str]:
        opening = nodes.And(nodes.Equal(step, 0), nodes.Greater("forced_bos_token_id", -1))
        closing = nodes.And(nodes.Equal(step, last), nodes.Greater("forced_eos_token_id", -1))
        early = nodes.Where(nodes.Less(step, "min_new_tokens"), ends, nothing)
        allowed = nodes.Where(opening, prescribe("forced_bos_token_id"), early)
        allowed = nodes.Where(closing, prescribe("forced_eos_token_id"), allowed)
        allowed = nodes.Add(allowed, nodes.Where(nodes.Equal(step, begins), first, nothing))
        return nodes.Add(allowed, always), nodes.Or(opening, closing)

    # Steps of five kinds: those from the minimum length on and those before, the first, the second and the last.
    never = nodes.Not(nodes.Equal(0, 0))
    plain, short = nodes.Add(nothing, always), nodes.Add(ends, always)
    rows = [(plain, never), (short, never), row(0), row(1), row(last)]
    kind = nodes.Where(nodes.Less(steps, "min_new_tokens"), 1, 0)
    for step, number in ((0, 2), (1, 3), (last, 4)):
        kind = nodes.Where(nodes.Equal(steps, step), number, kind)
    table = nodes.Concat(*(nodes.Unsqueeze(each, FIRST) for each, _ in rows), axis=0)
    return Limits(table, kind, nodes.Gather(nodes.vector(*(flag for _, flag in rows)), kind))


class Best:
    """
    The best tokens of each row.

    A large vocabulary is cut into blocks: the k best tokens lie in the k blocks with the largest maxima, which are
    found much faster than the tokens.
    """

    def __init__(self, nodes: Nodes, rows: str, vocab_size: int, count: str) -> None:
        """
        Args:
            nodes: Those of the graph around the loop.
            rows: The largest number of rows, a scalar.
            vocab_size: Tokens of a row.
            count: How many are wanted, a scalar.
        """
        self.count = nodes.Unsqueeze(count, FIRST)
        sizes = [size for size in range(16, 513) if vocab_size % size == 0]
        self.size = min(sizes, key=lambda size: abs(size - vocab_size**0.5), default=0) if vocab_size >= SMALL else 0
        if not self.size:
            return
        self.blocks = vocab_size // self.size
        self.some = nodes.Min(self.count, np.array([self.blocks]))
        self.offsets = nodes.Unsqueeze(nodes.Mul(nodes.Range(0, rows, 1), self.blocks), SECOND)

    def find(self, nodes: Nodes, values: str) -> list[str]:
        """Values and tokens `(rows, count)`, largest first, of `(rows, 1, vocab)`."""
        if not self.size:
            return nodes.TopK(nodes.Squeeze(values, SECOND), self.count, axis=1, outputs=2)
        grid = nodes.Reshape(values, np.array([-1, self.blocks, self.size]))
        _, block = nodes.TopK(nodes.ReduceMax(grid, axes=[2], keepdims=0), self.some, axis=1, outputs=2)
        inside = nodes.Reshape(values, np.array([-1, self.size]))
        offsets = nodes.Slice(self.offsets, FIRST, nodes.Shape(block, end=1), FIRST)
        inside = nodes.Reshape(nodes.Gather(inside, nodes.Add(block, offsets)), np.array([0, -1]))
        best, place = nodes.TopK(inside, self.count, axis=1, outputs=2)
        which = nodes.Div(place, self.size)
        moved = nodes.Mul(nodes.Sub(nodes.GatherElements(block, which, axis=1), which), self.size)
        return [best, nodes.Add(moved, place)]


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


def write_greedy(nodes: Nodes, call: Call) -> Callable[[Nodes], Found]:
    """
    Greedy search over the whole batch, which ends when all sequences have, or at the maximum length.

    Returns:
        What writes the nodes that bring the search's outputs into their form.
    """
    batch = nodes.size(call.source, 0)
    column = nodes.vector(batch, 1)
    goes_on = _table(nodes, call.vocab_size, 1, 0)
    is_end = nodes.Equal(goes_on, 0)
    padding = nodes.Expand("pad_token_id", column)
    search = Best(nodes, batch, call.vocab_size, nodes.Add(nodes.Size("eos_token_id"), 1))
    body = Nodes("greedy_step", nodes.constants)
    number = "greedy_step/i"
    token, alive, total = (f"greedy_step/{name}" for name in ("token", "alive", "total"))
    before = [f"greedy_step/before.{name}" for name in call.state]
    step = call.make_step(body, token, before)
    short = body.Less(number, "min_new_tokens")
    # The output layer, the costliest part, is only computed for sequences that have not ended.
    rows = body.Squeeze(body.NonZero(body.Squeeze(alive, LAST)), FIRST)
    logits = call.make_logits(body, body.Gather(step.hidden, rows, axis=0))
    if call.limits is not None:
        logits = body.Add(logits, body.Gather(call.limits.rows, body.Gather(call.limits.kind, number)))
    values, tokens = search.find(body, logits)
    values = body.Where(body.And(short, body.Gather(is_end, tokens)), NOT_CHOSEN, values)
    best = body.GatherElements(tokens, body.ArgMax(values, axis=1), axis=1)  # (alive, 1)
    places = body.Unsqueeze(rows, SECOND)
    scored, unscored = (Nodes(f"greedy_step/{name}", nodes.constants) for name in ("scored", "unscored"))
    allowed = scored.Where(scored.And(short, is_end), NOT_CHOSEN, logits)
    log_probs = scored.LogSoftmax(allowed, axis=2)
    chosen = scored.Squeeze(scored.GatherElements(log_probs, scored.Unsqueeze(best, LAST), axis=2), LAST)
    added = scored.ScatterND(total, places, scored.Add(scored.Gather(total, rows, axis=0), chosen))
    (total_after,) = body.choice("output_scores", scored, unscored, [(added, total, FLOAT)])
    after = body.ScatterND(padding, places, best)
    alive_after = body.Mul(alive, body.Gather(goes_on, after))
    more = body.Cast(body.ReduceMax(alive_after, keepdims=0), to=BOOL)
    carried = [(token, after, INT), (alive, alive_after, INT), (total, total_after, FLOAT)]
    carried += list(zip(before, step.state, call.state.values()))
    written = [(after, INT), (alive, INT)]
    if step.attention is not None:
        written.append((body.Gather(step.attention, "attention_heads", axis=1), FLOAT))
    first = [
        nodes.Expand("decoder_start_token_id", column),
        nodes.Expand(1, column),
        nodes.Expand(0.0, column),
        *call.state,
    ]
    out = _loop(nodes, body, "greedy_step", call.steps, carried, more, written, first)

    def finish(nodes: Nodes) -> Found:
        (tokens, living), attention = out[len(carried) : len(carried) + 2], out[len(carried) + 2 :]
        sequences = nodes.Transpose(nodes.Squeeze(tokens, LAST), perm=[1, 0])
        sequences = nodes.Concat(nodes.Expand("decoder_start_token_id", column), sequences, axis=1)
        lengths = nodes.ReduceSum(living, np.array([0, 2]), keepdims=0)
        scores = nodes.Div(nodes.Squeeze(out[2], LAST), _powers(nodes, lengths))
        rows = [nodes.Transpose(nodes.Squeeze(each, np.array([3])), perm=[1, 2, 0, 3]) for each in attention]
        return Found(sequences, scores, lengths, _rows_of_tokens(nodes, rows[0], lengths) if rows else None)

    return finish


def write_beams(nodes: Nodes, call: Call) -> Callable[[Nodes], Found]:
    """
    Beam search, as [`write_greedy`]; its state is `(batch * num_beams, ...)`.

    At each step every beam's best continuations compete. The best `num_beams` that do not end go on; those that end
    there, if they are among the best `num_beams` continuations, compete with the hypotheses found before.
    """
    batch, beams = nodes.size(call.source, 0), "num_beams"
    grid, column = nodes.vector(batch, beams), nodes.vector(batch, 1)
    kept = nodes.Mul(nodes.Max(nodes.Add(nodes.Size("eos_token_id"), 1), 2), beams)  # continuations of a source
    kept_row = nodes.Unsqueeze(kept, FIRST)
    # Continuations of a beam; in the first steps, all ends may be among them and may not be chosen.
    each = nodes.Min(nodes.Add(kept, nodes.Size("eos_token_id")), call.vocab_size)
    search = Best(nodes, nodes.Mul(batch, beams), call.vocab_size, each)
    beams_row = nodes.Unsqueeze(beams, FIRST)
    offsets = nodes.Unsqueeze(nodes.Mul(nodes.Range(0, batch, 1), beams), SECOND)  # (batch, 1): the first row of each
    at_ends = _table(nodes, call.vocab_size, 0.0, IMPOSSIBLE)
    is_end = nodes.Less(at_ends, 0.0)
    steps = nodes.Add(nodes.Range(0, "max_new_tokens", 1), 1)
    powers = _powers(nodes, steps)
    at_full_length = nodes.And(nodes.Equal("early_stopping", 2), nodes.Greater("length_penalty", 0.0))
    reachable = nodes.Where(at_full_length, _powers(nodes, "max_new_tokens"), powers)
    last_step = nodes.Sub("max_new_tokens", 1)
    full_stop = nodes.Equal("early_stopping", 1)
    among_best = nodes.Less(nodes.Range(0, kept, 1), beams)
    only_first = nodes.Where(nodes.Equal(nodes.Range(0, beams, 1), 0), 0.0, IMPOSSIBLE)

    body = Nodes("beam_step", nodes.constants)
    names = ("token", "running", "score", "done", "step", "row", "end", "worst", "open", "hope")
    token, running, score, done, at_step, from_row, end, worst, is_open, hope = (f"beam_step/{n}" for n in names)
    before = [f"beam_step/before.{name}" for name in call.state]
    number = "beam_step/i"
    step = call.make_step(body, token, before)
    # The output layer, the costliest part, is only computed for sources whose search may still improve.
    rows = body.Squeeze(body.NonZero(body.Reshape(body.Expand(hope, grid), LAST)), FIRST)
    log_probs = body.LogSoftmax(call.make_logits(body, body.Gather(step.hidden, rows, axis=0)), axis=2)
    if call.limits is not None:
        log_probs = body.Add(log_probs, body.Gather(call.limits.rows, body.Gather(call.limits.kind, number)))
    best, tokens = search.find(body, log_probs)
    short = body.Less(number, "min_new_tokens")
    best = body.Where(body.And(short, body.Gather(is_end, tokens)), NOT_CHOSEN, best)
    if call.limits is not None:
        prescribed = body.And(body.Gather(call.limits.forced, number), body.Greater(best, NOT_CHOSEN))
        best = body.Where(prescribed, 0.0, best)
    shape = nodes.vector(batch, beams, each)
    table = nodes.vector(nodes.Mul(batch, beams), each)
    no_value, no_token = nodes.Expand(IMPOSSIBLE, table), nodes.Expand(0, table)
    places = body.Unsqueeze(rows, SECOND)
    best, tokens = body.ScatterND(no_value, places, best), body.ScatterND(no_token, places, tokens)
    both = body.Add(body.Reshape(best, shape), body.Unsqueeze(running, LAST))
    flat = nodes.vector(batch, -1)
    ranked, picked = body.TopK(body.Reshape(both, flat), kept_row, axis=1, outputs=2)  # (batch, kept)
    beam = body.Add(body.Div(picked, each), offsets)
    chosen = body.GatherElements(body.Reshape(tokens, flat), picked, axis=1)
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
    is_full = ends.And(ends.Cast(ends.ReduceMin(done, axes=[1], keepdims=1), to=BOOL), full_stop)
    for refused in (is_full, ends.Not(ends.Cast(hope, to=BOOL)), ends.Not(ended)):
        value = ends.Add(value, ends.Mul(ends.Cast(refused, to=FLOAT), IMPOSSIBLE))
    score_new, best_new = ends.TopK(ends.Concat(score, value, axis=1), beams_row, axis=1, outputs=2)

    def pick(old: str, new: str) -> str:
        return ends.GatherElements(ends.Concat(old, new, axis=1), best_new, axis=1)

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
    carried += [(hope, hope_after, INT), *zip(before, state_after, call.state.values())]
    written = [(body.Reshape(token_after, LAST), INT), (order, INT)]
    if step.attention is not None:
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
        *call.state,
    ]
    out = _loop(nodes, body, "beam_step", call.steps, carried, more, written, first)

    def finish(nodes: Nodes) -> Found:
        wanted = nodes.Unsqueeze("num_return_sequences", FIRST)
        scores, ended_at, came_from, last_token = (
            nodes.Reshape(nodes.Slice(out[index], FIRST, wanted, SECOND), LAST) for index in (2, 4, 5, 6)
        )
        tokens, parents, *attention = out[len(carried) :]
        return _written_out(nodes, tokens, parents, ended_at, came_from, last_token, scores, attention)

    return finish


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
        attentions = _rows_of_tokens(nodes, nodes.Transpose(by_row, perm=[0, 2, 1, 3]), lengths)
    return Found(sequences, scores, lengths, attentions)


def _rows_of_tokens(nodes: Nodes, attentions: str, lengths: str) -> str:
    """
    A row of attention for each token: that of the step which chose it, or of the step `attention_shift` later. Rows
    from beyond the hypothesis are 0.

    Args:
        attentions: `(results, heads, steps, src_len)`: those of each step.
        lengths: `(results,)`: the steps of each hypothesis.
    """
    steps = nodes.size(attentions, 2)
    from_step = nodes.Add(nodes.Range(0, steps, 1), "attention_shift")
    real = nodes.Less(from_step, nodes.Unsqueeze(lengths, SECOND))  # (results, steps)
    rows = nodes.Gather(attentions, nodes.Min(from_step, nodes.Sub(steps, 1)), axis=2)
    return nodes.Mul(rows, nodes.Cast(nodes.Unsqueeze(real, np.array([1, 3])), to=FLOAT))


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
    inputs: list[tuple[str, int, list[int] | None]] = [(f"{prefix}/i", INT, []), (f"{prefix}/more", BOOL, [])]
    inputs += [(name, kind, None) for name, _, kind in carried]
    outputs = [(more, BOOL), *((name, kind) for _, name, kind in carried), *written]
    return nodes.Loop(
        count,
        nodes.Equal(0, 0),
        *first,
        outputs=len(carried) + len(written),
        body=body.graph(inputs, outputs),
    )
