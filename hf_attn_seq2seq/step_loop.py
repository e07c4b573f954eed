# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
The loops of recurrent stacks in training, with a backward pass written by hand.

Autograd would give every step a gradient of each weight, as large as the weight, to be summed. Here a weight's
gradient is one product over all steps; rows leave the loop where their sentences end; and the inner layer of additive
attention, the largest tensor of a step, is computed again in the backward pass.

`P` numbers stand for the pairs (step, row) that are computed: the rows of step 0, then those of step 1, and so on.
Rows are sorted by length, so that those of a step are the first of the step before.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import nn

from .fused import plain_gradients


Tensors = dict[str, torch.Tensor]

# Of an inner layer of additive attention at a time: the processor's second cache holds it and its gradient.
BLOCK_BYTES = 2**19


class LoopPlan(NamedTuple):
    """
    What a loop computes, as [`RecurrentDecoderSteps`] says it, and on how many rows at each step.

    Its tensors go by name: `projected` `(P, gates * hidden)`, the embeddings through the first cell's input weights;
    `keys`, `values` `(batch, heads, src_len, dim)` and `mask` `(batch, src_len)`; `state{l}_{part}` `(batch, hidden)`
    of layer l; the weights of Linear parts, `context` (of the first cell, where the query is the state before),
    `feeding`, `input{l}` (from the second layer on) with `input_bias{l}`, `hidden{l}` with `hidden_bias{l}`, `query`
    and `query_bias`, `output` and `output_bias` of the attention, `readout` and `readout_bias`; the attention's
    `vector` `(heads, dim)`, and where it is location-aware, `location` `(kernel, dim)`: its filters times their
    projection; and the dropout factors `input_mask{l}` `(P, hidden)` and `recurrent_mask{l}` `(batch, hidden)`. What a
    loop has not is left out: without `keys` it has no attention.
    """

    gates: int  # 3: a GRU, 4: an LSTM
    layers: int
    hidden: int
    asks_before: bool
    feeding: bool
    residual: bool
    heads: int
    scaling: float  # of dot products; additive attention has a `vector`
    rows: tuple[int, ...]  # alive at each step, never rising
    shows: bool = False  # whether outputs, contexts and weights are wanted beside the rest

    def steps(self) -> Iterator[tuple[int, int, int]]:
        """Of each step its index, its first pair and the end of its pairs."""
        start = 0
        for step, rows in enumerate(self.rows):
            yield step, start, start + rows
            start += rows


# --------------------------------------------------------------------------------------------------------------------
# By autograd
# --------------------------------------------------------------------------------------------------------------------


def plain_steps(plan: LoopPlan, tensors: Tensors) -> tuple[torch.Tensor, ...]:
    """
    What [`run_steps`] computes, in operations that autograd knows.

    Returns:
        With input feeding the attentional vectors `(P, hidden)`; without it, or where `shows`, the top layer's outputs
        `(P, hidden)` and, with attention, the contexts `(P, context)`; where `shows`, the weights `(batch, heads,
        steps, src_len)`, 0 beyond the end of a row.
    """
    get = tensors.get
    parts = 1 if plan.gates == 3 else 2
    states = [[tensors[f"state{layer}_{part}"] for part in range(parts)] for layer in range(plan.layers)]
    fed = states[0][0].new_zeros(plan.rows[0], plan.hidden)
    tops, contexts, attentionals, shown = [], [], [], []
    weights: torch.Tensor | None = None
    for _, start, end in plan.steps():
        rows = end - start
        states = [[part[:rows] for part in state] for state in states]
        projected = tensors["projected"][start:end]
        if plan.asks_before:
            context, weights = _plain_attention(plan, tensors, states[-1][0], weights)
            projected = projected + context @ tensors["context"].t()
        if plan.feeding:
            projected = projected + fed[:rows] @ tensors["feeding"].t()
        output = projected
        for layer in range(plan.layers):
            below = output
            if layer:
                inputs = below if f"input_mask{layer}" not in tensors else below * get(f"input_mask{layer}")[start:end]
                projected = nn.functional.linear(inputs, tensors[f"input{layer}"], get(f"input_bias{layer}"))
            hidden = states[layer][0]
            if f"recurrent_mask{layer}" in tensors:
                hidden = hidden * tensors[f"recurrent_mask{layer}"][:rows]
            recurrent = nn.functional.linear(hidden, tensors[f"hidden{layer}"], get(f"hidden_bias{layer}"))
            if plan.gates == 3:
                reset, update = (projected + recurrent)[:, : 2 * plan.hidden].sigmoid().chunk(2, dim=1)
                candidate = (projected[:, 2 * plan.hidden :] + reset * recurrent[:, 2 * plan.hidden :]).tanh()
                states[layer] = [candidate + update * (states[layer][0] - candidate)]
            else:
                enter, forget, candidate, leave = (projected + recurrent).chunk(4, dim=1)
                cell = forget.sigmoid() * states[layer][1] + enter.sigmoid() * candidate.tanh()
                states[layer] = [leave.sigmoid() * cell.tanh(), cell]
            output = states[layer][0] + below if plan.residual and layer else states[layer][0]
        if "keys" in tensors and not plan.asks_before:
            context, weights = _plain_attention(plan, tensors, output, weights)
        if plan.shows:
            shown.append(nn.functional.pad(weights, (0, 0, 0, 0, 0, plan.rows[0] - rows)))
        if plan.feeding:
            joined = torch.cat([output, context], dim=1)
            fed = nn.functional.linear(joined, tensors["readout"], get("readout_bias")).tanh()
            attentionals.append(fed)
        if plan.shows or not plan.feeding:
            tops.append(output)
            if "keys" in tensors:
                contexts.append(context)
    made = [torch.cat(each) for each in (attentionals, tops, contexts) if each]
    return (*made, torch.stack(shown, dim=2)) if plan.shows else tuple(made)


def _plain_attention(
    plan: LoopPlan, tensors: Tensors, query: torch.Tensor, before: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Queries `(rows, hidden)`, and the weights of the step before, to contexts `(rows, context)` and weights `(rows,
    heads, src_len)`.
    """
    rows = len(query)
    keys, values = tensors["keys"][:rows], tensors["values"][:rows]
    if "query" in tensors:
        query = nn.functional.linear(query, tensors["query"], tensors.get("query_bias"))
    queries = query.view(rows, plan.heads, 1, -1)
    if "location" in tensors and before is not None:
        keys = keys + (_windows(before[:rows, 0], len(tensors["location"])) @ tensors["location"]).unsqueeze(1)
    if "vector" in tensors:
        scores = ((queries + keys).tanh() @ tensors["vector"].unsqueeze(-1)).squeeze(-1)
    else:
        scores = (queries @ keys.transpose(-1, -2)).squeeze(2) * plan.scaling
    if "mask" in tensors:
        blank = ~tensors["mask"][:rows, None]
        scores = scores.masked_fill(blank, torch.finfo(scores.dtype).min)
        weights = scores.softmax(-1).masked_fill(blank, 0.0)
    else:
        weights = scores.softmax(-1)
    context = (weights.unsqueeze(2) @ values).view(rows, -1)
    if "output" in tensors:
        context = nn.functional.linear(context, tensors["output"], tensors.get("output_bias"))
    return context, weights


def _windows(weights: torch.Tensor, kernel: int) -> torch.Tensor:
    """`(rows, src_len)` weights to those around each position: `(rows, src_len, kernel)`, 0 beyond the ends."""
    return nn.functional.pad(weights, (kernel // 2, kernel // 2)).unfold(1, kernel, 1)


# --------------------------------------------------------------------------------------------------------------------
# By hand
# --------------------------------------------------------------------------------------------------------------------


def run_steps(plan: LoopPlan, tensors: Tensors) -> tuple[torch.Tensor, ...]:
    """What [`plain_steps`] computes, faster; gradients of any order."""
    return _Steps.apply(plan, tuple(tensors), *tensors.values())  # type: ignore[no-any-return]


class _Steps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, plan: LoopPlan, names: tuple[str, ...], *values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        loop = _Loop(plan, dict(zip(names, values)))
        loop.forward()
        outputs = loop.outputs()
        ctx.plan, ctx.names = plan, names
        ctx.inputs = len(values)
        kept = loop.kept()
        ctx.kept = tuple(kept)
        ctx.save_for_backward(*values, *kept.values())
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        saved, needed = ctx.saved_tensors, ctx.needs_input_grad[2:]
        values, kept = saved[: ctx.inputs], saved[ctx.inputs :]
        plan, names = ctx.plan, ctx.names
        if torch.is_grad_enabled():  # its gradients have gradients
            found = plain_gradients(
                lambda *values: plain_steps(plan, dict(zip(names, values))), values, needed, gradients
            )
            return None, None, *found
        loop = _Loop(plan, dict(zip(names, values)), dict(zip(ctx.kept, kept)))
        by_name = loop.backward(gradients)
        return None, None, *(by_name.get(name) if need else None for name, need in zip(names, needed))


class _Loop:
    """
    One run of a loop, forward or backward.

    Buffers of `P` rows keep what each step computed; a step reads and writes its own rows in place. `gates{l}` holds a
    cell's gates as the equations name them, `recurrent{l}` a GRU's U_n h + b, `cell{l}` and `squashed{l}` an LSTM's c
    and tanh(c), `state{l}` h, `output{l}` h or its residual sum, `queries` the projected queries, `sums` the
    attention's weighted sums, `contexts` what it gives, `weights` `(batch, heads, tgt_len, src_len)`, `attentional`
    the readout.
    """

    def __init__(self, plan: LoopPlan, tensors: Tensors, kept: Tensors | None = None) -> None:
        self.plan, self.tensors = plan, tensors
        self.pairs = sum(plan.rows)
        self.like = tensors["projected"]
        self.batch = tensors["state0_0"].shape[0]
        self.attends = "keys" in tensors
        if self.attends:
            self.src_len, self.dim = tensors["keys"].shape[2:]
        self.blank = ~tensors["mask"][:, None] if "mask" in tensors else None  # batch x 1 x src_len
        self.additive, self.located = "vector" in tensors, "location" in tensors
        self.buffers: Tensors = {} if kept is None else dict(kept)
        if self.additive:
            of_a_row = plan.heads * self.src_len * self.dim
            self.block = max(1, BLOCK_BYTES // (of_a_row * self.like.itemsize))
            self.inner = self.like.new_empty(min(self.batch, self.block) * of_a_row)

    def buffer(self, name: str, *shape: int) -> torch.Tensor:
        """Room under a name."""
        self.buffers[name] = self.like.new_empty(*shape)
        return self.buffers[name]

    def kept(self) -> Tensors:
        """The buffers that the backward pass reads."""
        return {name: value for name, value in self.buffers.items() if name != "scratch"}

    def outputs(self) -> tuple[torch.Tensor, ...]:
        return tuple(self.buffers[name] for name in self.output_names())

    def output_names(self) -> list[str]:
        plan = self.plan
        names = ["attentional"] if plan.feeding else []
        if plan.shows or not plan.feeding:
            names += [self.top, *(["contexts"] if self.attends else [])]
        return [*names, "weights"] if plan.shows else names

    @property
    def top(self) -> str:
        """The name of the top layer's outputs."""
        last = self.plan.layers - 1
        return f"output{last}" if self.plan.residual and last else f"state{last}"

    def forward(self) -> None:
        plan, tensors, pairs, size = self.plan, self.tensors, self.pairs, self.plan.hidden
        self.buffer("scratch", self.batch, plan.gates * size)
        for layer in range(plan.layers):
            self.buffer(f"gates{layer}", pairs, plan.gates * size)
            self.buffer(f"state{layer}", pairs, size)
            for name in ("recurrent",) if plan.gates == 3 else ("cell", "squashed"):
                self.buffer(f"{name}{layer}", pairs, size)
            if plan.residual and layer:
                self.buffer(f"output{layer}", pairs, size)
        if self.attends:
            self.make_room_to_attend()
        if plan.feeding:
            self.buffer("attentional", pairs, size)
        buffers = self.buffers
        before = 0  # the first pair of the step before
        for step, start, end in plan.steps():
            rows = end - start

            def old(name: str, first: str, rows: int = rows, step: int = step, before: int = before) -> torch.Tensor:
                """A buffer's rows of the step before; those of the start at step 0."""
                return buffers[name][before : before + rows] if step else tensors[first][:rows]

            gates = buffers["gates0"][start:end]
            projected = tensors["projected"][start:end]
            if plan.asks_before:
                last = plan.layers - 1
                self.attend(step, start, end, old(f"state{last}", f"state{last}_0"))
                torch.addmm(projected, buffers["contexts"][start:end], tensors["context"].t(), out=gates)
                projected = gates
            if plan.feeding and step:
                torch.addmm(projected, old("attentional", ""), tensors["feeding"].t(), out=gates)
                projected = gates
            output = projected
            for layer in range(plan.layers):
                below, gates = output, buffers[f"gates{layer}"][start:end]
                if layer:
                    inputs = below
                    if f"input_mask{layer}" in tensors:
                        inputs = below * tensors[f"input_mask{layer}"][start:end]
                    projected = torch.addmm(
                        tensors[f"input_bias{layer}"], inputs, tensors[f"input{layer}"].t(), out=gates
                    )
                hidden = previous = old(f"state{layer}", f"state{layer}_0")
                if f"recurrent_mask{layer}" in tensors:
                    hidden = hidden * tensors[f"recurrent_mask{layer}"][:rows]
                recurrent = torch.addmm(
                    tensors[f"hidden_bias{layer}"],
                    hidden,
                    tensors[f"hidden{layer}"].t(),
                    out=buffers["scratch"][:rows],
                )
                output = buffers[f"state{layer}"][start:end]
                if plan.gates == 3:
                    two = gates[:, : 2 * size]
                    torch.add(projected[:, : 2 * size], recurrent[:, : 2 * size], out=two).sigmoid_()
                    product = buffers[f"recurrent{layer}"][start:end].copy_(recurrent[:, 2 * size :])
                    candidate = gates[:, 2 * size :]
                    torch.addcmul(projected[:, 2 * size :], two[:, :size], product, out=candidate).tanh_()
                    torch.lerp(candidate, previous, two[:, size:], out=output)
                else:
                    torch.add(projected, recurrent, out=gates)
                    enter, forget, candidate, leave = gates.chunk(4, dim=1)
                    gates[:, : 2 * size].sigmoid_()
                    candidate.tanh_()
                    leave.sigmoid_()
                    cell = buffers[f"cell{layer}"][start:end]
                    torch.mul(forget, old(f"cell{layer}", f"state{layer}_1"), out=cell).addcmul_(enter, candidate)
                    torch.tanh(cell, out=buffers[f"squashed{layer}"][start:end])
                    torch.mul(leave, buffers[f"squashed{layer}"][start:end], out=output)
                if plan.residual and layer:
                    output = torch.add(output, below, out=buffers[f"output{layer}"][start:end])
            if self.attends and not plan.asks_before:
                self.attend(step, start, end, output)
            if plan.feeding:
                attentional = buffers["attentional"][start:end]
                weight = tensors["readout"]
                torch.addmm(tensors["readout_bias"], output, weight[:, :size].t(), out=attentional)
                attentional.addmm_(buffers["contexts"][start:end], weight[:, size:].t()).tanh_()
            before = start

    def make_room_to_attend(self) -> None:
        plan, tensors = self.plan, self.tensors
        if "query" in tensors:
            self.buffer("queries", self.pairs, plan.heads * self.dim)
        self.buffer("sums", self.pairs, plan.heads * tensors["values"].shape[-1])
        if "output" in tensors:
            self.buffer("contexts", self.pairs, tensors["output"].shape[0])
        else:
            self.buffers["contexts"] = self.buffers["sums"]
        self.buffers["weights"] = self.like.new_zeros(self.batch, plan.heads, len(plan.rows), self.src_len)

    def attend(self, step: int, start: int, end: int, query: torch.Tensor) -> None:
        """The contexts of a step for queries `(rows, hidden)`."""
        tensors, buffers, heads, rows = self.tensors, self.buffers, self.plan.heads, end - start
        if "query" in tensors:
            projected = buffers["queries"][start:end]
            if "query_bias" in tensors:
                torch.addmm(tensors["query_bias"], query, tensors["query"].t(), out=projected)
            else:
                torch.mm(query, tensors["query"].t(), out=projected)
            query = projected
        if self.additive:
            scores = query.new_empty(rows, heads, self.src_len)
            for block in self.blocks(rows):
                inner = self.inner_layer(query, block, step)
                if heads == 1:
                    torch.mv(inner.view(-1, self.dim), tensors["vector"][0], out=scores[block].view(-1))
                else:
                    scores[block] = (inner @ tensors["vector"].unsqueeze(-1)).squeeze(-1)
        else:
            keys = tensors["keys"][:rows].flatten(0, 1)
            scores = torch.bmm(keys, query.reshape(rows * heads, -1, 1)).view(rows, heads, -1).mul_(self.plan.scaling)
        weights = buffers["weights"][:rows, :, step]
        if self.blank is None:
            weights.copy_(torch.softmax(scores, -1))
        else:
            blank = self.blank[:rows]
            scores.masked_fill_(blank, torch.finfo(scores.dtype).min)
            weights.copy_(torch.softmax(scores, -1).masked_fill_(blank, 0.0))
        sums = buffers["sums"][start:end]
        values = tensors["values"][:rows].flatten(0, 1)
        torch.bmm(weights.reshape(rows * heads, 1, -1), values, out=sums.view(rows * heads, 1, -1))
        if "output" in tensors:
            contexts = buffers["contexts"][start:end]
            torch.addmm(tensors["output_bias"], sums, tensors["output"].t(), out=contexts)

    def blocks(self, rows: int) -> Iterator[slice]:
        """Rows that are done together, so that their inner layer stays in the processor's cache."""
        for start in range(0, rows, self.block):
            yield slice(start, min(start + self.block, rows))

    def inner_layer(self, queries: torch.Tensor, block: slice, step: int) -> torch.Tensor:
        """
        tanh(q + k) of some rows of projected queries `(rows, heads * dim)`: `(rows, heads, src_len, dim)`; where the
        attention is location-aware, with what the weights of the step before add.
        """
        keys, queries = self.tensors["keys"][block], queries[block]
        inner = self.inner[: keys.numel()].view(keys.shape)
        torch.add(keys, queries.view(len(queries), self.plan.heads, 1, -1), out=inner)
        if self.located and step:
            inner.view(-1, self.dim).addmm_(self.windows(block, step), self.tensors["location"])
        return inner.tanh_()

    def windows(self, block: slice, step: int) -> torch.Tensor:
        """The weights of the step before around each position of some rows: `(rows * src_len, kernel)`."""
        kernel = len(self.tensors["location"])
        return _windows(self.buffers["weights"][block, 0, step - 1], kernel).reshape(-1, kernel)

    # Backward: gradients of `P` rows, from which those of the weights are made at the end.

    def backward(self, gradients: tuple[torch.Tensor, ...]) -> Tensors:
        """The gradients of all tensors, given those of the outputs."""
        plan, tensors, buffers = self.plan, self.tensors, self.buffers
        size, last = plan.hidden, plan.layers - 1
        gated = [self.like.new_empty(self.pairs, plan.gates * size) for _ in range(plan.layers)]  # of W x
        # A GRU's reset gate stands between U h and the candidate; an LSTM has one gradient for both.
        recurrent = [torch.empty_like(each) for each in gated] if plan.gates == 3 else gated
        read = torch.empty_like(buffers["attentional"]) if plan.feeding else None
        carried = [
            [self.like.new_zeros(self.batch, size) for _ in range(1 if plan.gates == 3 else 2)]
            for _ in range(plan.layers)
        ]
        fed: torch.Tensor | None = None  # of the attentional vectors, from the step after
        given = dict(zip(self.output_names(), gradients))
        if self.attends:
            self.start_attention()
            self.of_weights = given.get("weights")
        bounds = list(plan.steps())
        for step, start, end in reversed(bounds):
            rows = end - start
            before = bounds[step - 1][1] if step else 0

            def old(name: str, first: str, rows: int = rows, step: int = step, before: int = before) -> torch.Tensor:
                return buffers[name][before : before + rows] if step else tensors[first][:rows]

            context = self.contexts[start:end] if self.attends else None
            if plan.feeding:
                assert read is not None
                above = given["attentional"][start:end]
                if fed is not None:
                    above = above.clone()
                    above[: len(fed)] += fed
                before_tanh = read[start:end]
                _tanh_backward(above, buffers["attentional"][start:end], before_tanh)
                weight = tensors["readout"]
                top = before_tanh @ weight[:, :size]
                torch.mm(before_tanh, weight[:, size:], out=context)
                if plan.shows:
                    top += given[self.top][start:end]
                    context += given["contexts"][start:end]
            else:
                top = given[self.top][start:end]
                if context is not None:
                    context.copy_(given["contexts"][start:end])
            if context is not None and not plan.asks_before:
                top = top + self.attend_backward(step, start, end, context, buffers[self.top][start:end])
            for layer in range(last, -1, -1):
                hidden = carried[layer][0][:rows].add_(top)
                kept = self.cell_backward(layer, start, end, hidden, carried, old, gated[layer], recurrent[layer])
                into, weight = recurrent[layer][start:end], tensors[f"hidden{layer}"]
                if f"recurrent_mask{layer}" in tensors:
                    product = (into @ weight).mul_(tensors[f"recurrent_mask{layer}"][:rows])
                    hidden.copy_(product if kept is None else product.add_(kept))
                elif kept is None:
                    torch.mm(into, weight, out=hidden)
                else:
                    torch.addmm(kept, into, weight, out=hidden)
                if layer:
                    below = gated[layer][start:end] @ tensors[f"input{layer}"]
                    if f"input_mask{layer}" in tensors:
                        below *= tensors[f"input_mask{layer}"][start:end]
                    top = below.add_(top) if plan.residual else below
            first = gated[0][start:end]
            if context is not None and plan.asks_before:
                context.addmm_(first, tensors["context"])
                query = old(f"state{last}", f"state{last}_0")
                carried[last][0][:rows] += self.attend_backward(step, start, end, context, query)
            fed = first @ tensors["feeding"] if plan.feeding and step else None
        return self.collect(gated, recurrent, carried, read)

    def cell_backward(
        self,
        layer: int,
        start: int,
        end: int,
        hidden: torch.Tensor,
        carried: list[list[torch.Tensor]],
        old: Any,
        gated: torch.Tensor,
        recurrent: torch.Tensor,
    ) -> torch.Tensor | None:
        """
        From the gradient of a step's h `(rows, hidden)` those of its gates: `gated` those of W x, `recurrent` those of
        U h + b, in the step's rows.

        Returns:
            The gradient of the h before, as far as it does not go through U h: `(rows, hidden)`; None for none.
        """
        size, rows = self.plan.hidden, end - start
        gates = self.buffers[f"gates{layer}"][start:end]
        out, through = gated[start:end], recurrent[start:end]
        if self.plan.gates == 3:
            reset, update, candidate = gates.chunk(3, dim=1)
            previous = old(f"state{layer}", f"state{layer}_0")
            product = self.buffers[f"recurrent{layer}"][start:end]
            kept = hidden * update
            _sigmoid_backward((previous - candidate).mul_(hidden), update, out[:, size : 2 * size])
            _tanh_backward(hidden - kept, candidate, out[:, 2 * size :])
            _sigmoid_backward(out[:, 2 * size :] * product, reset, out[:, :size])
            through[:, : 2 * size] = out[:, : 2 * size]
            torch.mul(out[:, 2 * size :], reset, out=through[:, 2 * size :])
            return kept
        enter, forget, candidate, leave = gates.chunk(4, dim=1)
        squashed = self.buffers[f"squashed{layer}"][start:end]
        cell = carried[layer][1][:rows]
        cell += torch.ops.aten.tanh_backward(hidden * leave, squashed)
        _sigmoid_backward(hidden * squashed, leave, out[:, 3 * size :])
        _sigmoid_backward(cell * candidate, enter, out[:, :size])
        _tanh_backward(cell * enter, candidate, out[:, 2 * size : 3 * size])
        _sigmoid_backward(cell * old(f"cell{layer}", f"state{layer}_1"), forget, out[:, size : 2 * size])
        cell *= forget
        return None

    def start_attention(self) -> None:
        tensors, steps = self.tensors, len(self.plan.rows)
        shape = (self.batch, self.plan.heads, steps)
        like = torch.empty_like
        self.queries = like(self.buffers["queries"]) if "query" in tensors else None
        self.contexts = like(self.buffers["contexts"])
        self.sums = like(self.buffers["sums"]) if "output" in tensors else self.contexts
        # Steps beyond a row's end stay 0.
        self.sums_by_row = self.like.new_zeros(*shape, tensors["values"].shape[-1])
        if self.additive:
            self.keys = torch.zeros_like(tensors["keys"])
            self.vector = torch.zeros_like(tensors["vector"])
            self.slopes = torch.empty_like(self.inner)
            if self.located:
                self.location = torch.zeros_like(tensors["location"])
                self.of_windows = (tensors["location"] * tensors["vector"]).t().contiguous()  # dim x kernel
                self.of_before = self.like.new_zeros(self.batch, self.src_len)  # of the weights of the step before
        else:
            self.scores_by_row = self.like.new_zeros(*shape, self.src_len)
            self.queries_by_row = self.like.new_zeros(*shape, self.dim)

    def attend_backward(
        self, step: int, start: int, end: int, context: torch.Tensor, query: torch.Tensor
    ) -> torch.Tensor:
        """The gradient of a step's queries `(rows, hidden)`, given that of its contexts."""
        tensors, heads, rows = self.tensors, self.plan.heads, end - start
        summed = self.sums[start:end]
        if "output" in tensors:
            torch.mm(context, tensors["output"], out=summed)
        values = tensors["values"][:rows].flatten(0, 1)
        by_head = summed.view(rows * heads, -1, 1)
        self.sums_by_row[:rows, :, step] = summed.view(rows, heads, -1)
        weights = self.buffers["weights"][:rows, :, step]
        slopes = torch.bmm(values, by_head).view(rows, heads, -1)
        if self.of_weights is not None:
            slopes += self.of_weights[:rows, :, step]
        if self.located:
            slopes += self.of_before[:rows].unsqueeze(1)
        scores = torch._softmax_backward_data(slopes, weights, -1, slopes.dtype)
        projected = query if self.queries is None else self.buffers["queries"][start:end]
        if self.additive:
            asked = query.new_empty(rows, heads * self.dim)
            for block in self.blocks(rows):
                inner = self.inner_layer(projected, block, step)
                if heads == 1:
                    self.vector[0].addmv_(inner.view(-1, self.dim).t(), scores[block].view(-1))
                else:
                    self.vector += torch.einsum("bhs,bhsd->hd", scores[block], inner)
                slope = self.slopes[: inner.numel()].view(inner.shape)
                _tanh_backward(scores[block].unsqueeze(-1), inner, slope)
                self.keys[block] += slope
                if self.located and step:
                    self.locate_backward(block, step, slope.view(-1, self.dim))
                torch.sum(slope, 2, out=asked[block].view(len(slope), heads, -1))
            asked.mul_(tensors["vector"].view(-1))
        else:
            scores = scores.mul_(self.plan.scaling)
            self.scores_by_row[:rows, :, step] = scores
            self.queries_by_row[:rows, :, step] = projected.view(rows, heads, -1)
            keys = tensors["keys"][:rows].flatten(0, 1)
            asked = torch.bmm(scores.view(rows * heads, 1, -1), keys).view(rows, -1)
        if self.queries is None:
            return asked
        self.queries[start:end] = asked
        return asked @ tensors["query"]

    def locate_backward(self, block: slice, step: int, slope: torch.Tensor) -> None:
        """The gradients of `location` and of the weights before, of those of inner layers, `(rows * src_len, dim)`."""
        kernel = len(self.location)
        self.location.addmm_(self.windows(block, step).t(), slope)
        windows = (slope @ self.of_windows).view(-1, self.src_len, kernel).transpose(1, 2)
        width = self.src_len + 2 * (kernel // 2)
        spread = nn.functional.fold(windows, (1, width), (1, kernel)).view(-1, width)
        self.of_before[block] = spread[:, kernel // 2 : width - kernel // 2]

    def collect(
        self,
        gated: list[torch.Tensor],
        recurrent: list[torch.Tensor],
        carried: list[list[torch.Tensor]],
        read: torch.Tensor | None,
    ) -> Tensors:
        """One product for each weight."""
        plan, tensors, buffers = self.plan, self.tensors, self.buffers
        first = plan.rows[0]
        # The pair before each pair that is not of step 0.
        pairs = [range(start, start + rows) for (_, start, _), rows in zip(plan.steps(), plan.rows[1:])]
        before = torch.tensor([pair for step in pairs for pair in step], dtype=torch.long, device=self.like.device)

        def earlier(name: str, start: torch.Tensor) -> torch.Tensor:
            """A buffer as each step found it, `(P, size)`."""
            return torch.cat([start[:first], buffers[name].index_select(0, before)])

        found: Tensors = {"projected": gated[0]}
        for layer in range(plan.layers):
            hidden = earlier(f"state{layer}", tensors[f"state{layer}_0"])
            if f"recurrent_mask{layer}" in tensors:
                mask = tensors[f"recurrent_mask{layer}"]
                hidden = hidden * torch.cat([mask[:rows] for rows in plan.rows])
            found[f"hidden{layer}"] = recurrent[layer].t() @ hidden
            found[f"hidden_bias{layer}"] = recurrent[layer].sum(0)
            for part, gradient in enumerate(carried[layer]):
                found[f"state{layer}_{part}"] = gradient
            if layer:
                below = f"output{layer - 1}" if plan.residual and layer > 1 else f"state{layer - 1}"
                inputs = buffers[below]
                if f"input_mask{layer}" in tensors:
                    inputs = inputs * tensors[f"input_mask{layer}"]
                found[f"input{layer}"] = gated[layer].t() @ inputs
                found[f"input_bias{layer}"] = gated[layer].sum(0)
        if plan.asks_before:
            found["context"] = gated[0].t() @ buffers["contexts"]
        if plan.feeding:
            assert read is not None
            found["feeding"] = gated[0][first:].t() @ buffers["attentional"].index_select(0, before)
            parts = [read.t() @ each for each in (buffers[self.top], buffers["contexts"])]
            found["readout"], found["readout_bias"] = torch.cat(parts, dim=1), read.sum(0)
        if not self.attends:
            return found
        if self.queries is not None:
            last = plan.layers - 1
            asked = earlier(f"state{last}", tensors[f"state{last}_0"]) if plan.asks_before else buffers[self.top]
            found["query"], found["query_bias"] = self.queries.t() @ asked, self.queries.sum(0)
        if "output" in tensors:
            found["output"], found["output_bias"] = self.contexts.t() @ buffers["sums"], self.contexts.sum(0)
        weights = buffers["weights"].flatten(0, 1)
        found["values"] = torch.bmm(weights.transpose(1, 2), self.sums_by_row.flatten(0, 1)).view_as(tensors["values"])
        if self.additive:
            found["keys"], found["vector"] = self.keys.mul_(tensors["vector"][:, None]), self.vector
            if self.located:
                found["location"] = self.location.mul_(tensors["vector"])
        else:
            scores, asked = self.scores_by_row.flatten(0, 1), self.queries_by_row.flatten(0, 1)
            found["keys"] = torch.bmm(scores.transpose(1, 2), asked).view_as(tensors["keys"])
        return found


def _tanh_backward(gradient: torch.Tensor, output: torch.Tensor, out: torch.Tensor) -> None:
    torch.ops.aten.tanh_backward.grad_input(gradient, output, grad_input=out)


def _sigmoid_backward(gradient: torch.Tensor, output: torch.Tensor, out: torch.Tensor) -> None:
    torch.ops.aten.sigmoid_backward.grad_input(gradient, output, grad_input=out)


__all__ = ["LoopPlan", "plain_steps", "run_steps"]
