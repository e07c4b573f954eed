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
from typing import Any, ClassVar, NamedTuple

import torch
from torch import nn

from .fused import plain_gradients, squash


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
        ctx.kept = tuple(loop.buffers)
        ctx.save_for_backward(*values, *loop.buffers.values())
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

    def by_step(self, values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Views of `(P, ...)` values, each step's `(rows, ...)`: cut at once, since a slice costs as much as a sum."""
        return values.split(self.plan.rows)

    def before(self, views: tuple[torch.Tensor, ...], first: str, step: int) -> torch.Tensor:
        """The values, of [`by_step`], of the step before for the rows of this one; those of the start at step 0."""
        rows = self.plan.rows
        if not step:
            return self.tensors[first][: rows[0]]
        return views[step - 1] if rows[step - 1] == rows[step] else views[step - 1][: rows[step]]

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
        for layer in range(plan.layers):
            self.buffer(f"gates{layer}", pairs, plan.gates * size)
            for name in ("state", *CELL_LOOPS[plan.gates].kept, *(["output"] if plan.residual and layer else [])):
                self.buffer(f"{name}{layer}", pairs, size)
        if self.attends:
            self.make_room_to_attend()
        if plan.feeding:
            self.buffer("attentional", pairs, size)
        cells = [CELL_LOOPS[plan.gates](self, layer) for layer in range(plan.layers)]
        for cell in cells:
            cell.start()
        views = {name: self.by_step(value) for name, value in self.buffers.items() if name != "weights"}
        masks = {name: self.by_step(value) for name, value in tensors.items() if name.startswith("input_mask")}
        turned = {name: tensors[name].t() for name in ("context", "feeding", "readout") if name in tensors}
        top, last = views[self.top], plan.layers - 1
        for step, start, end in plan.steps():
            gates = views["gates0"][step]
            if plan.asks_before:
                self.attend(step, start, end, self.before(views[f"state{last}"], f"state{last}_0", step))
                gates.addmm_(views["contexts"][step], turned["context"])
            if plan.feeding and step:
                gates.addmm_(self.before(views["attentional"], "", step), turned["feeding"])
            output = gates
            for layer, cell in enumerate(cells):
                below = output
                if layer:
                    masked = f"input_mask{layer}" in masks
                    cell.read(step, below * masks[f"input_mask{layer}"][step] if masked else below)
                output = cell.step(step)
                if plan.residual and layer:
                    output = torch.add(output, below, out=views[f"output{layer}"][step])
            if self.attends and not plan.asks_before:
                self.attend(step, start, end, output)
            if plan.feeding:
                attentional = views["attentional"][step]
                torch.addmm(tensors["readout_bias"], top[step], turned["readout"][:size], out=attentional)
                attentional.addmm_(views["contexts"][step], turned["readout"][size:]).tanh_()

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
        return squash(inner)

    def windows(self, block: slice, step: int) -> torch.Tensor:
        """The weights of the step before around each position of some rows: `(rows * src_len, kernel)`."""
        kernel = len(self.tensors["location"])
        return _windows(self.buffers["weights"][block, 0, step - 1], kernel).reshape(-1, kernel)

    # Backward: gradients of `P` rows, from which those of the weights are made at the end.

    def backward(self, gradients: tuple[torch.Tensor, ...]) -> Tensors:
        """The gradients of all tensors, given those of the outputs."""
        plan, tensors = self.plan, self.tensors
        size, last = plan.hidden, plan.layers - 1
        bounds = list(plan.steps())
        # The pair before each pair that is not of step 0.
        pairs = [range(start, start + rows) for (_, start, _), rows in zip(bounds, plan.rows[1:])]
        self.pair_before = torch.tensor([pair for step in pairs for pair in step], device=self.like.device).long()
        cells = [CELL_LOOPS[plan.gates](self, layer) for layer in range(plan.layers)]
        for cell in cells:
            cell.start_backward()
        masks = {name: self.by_step(value) for name, value in tensors.items() if name.startswith("input_mask")}
        by_name = dict(zip(self.output_names(), gradients))
        self.of_weights = by_name.pop("weights", None)
        given = {name: self.by_step(gradient) for name, gradient in by_name.items()}
        tops = self.by_step(self.buffers[self.top])
        read = torch.empty_like(self.buffers["attentional"]) if plan.feeding else None
        if read is not None:
            attentional, of_readout = self.by_step(self.buffers["attentional"]), self.by_step(read)
        fed: torch.Tensor | None = None  # of the attentional vectors, from the step after
        if self.attends:
            self.start_attention()
            contexts = self.by_step(self.contexts)
        for step, start, end in reversed(bounds):
            context = contexts[step] if self.attends else None
            if read is not None:
                above = given["attentional"][step]
                if fed is not None:
                    above = above.clone()
                    above[: len(fed)] += fed
                before_tanh = of_readout[step]
                _tanh_backward(above, attentional[step], before_tanh)
                weight = tensors["readout"]
                top = before_tanh @ weight[:, :size]
                torch.mm(before_tanh, weight[:, size:], out=context)
                if plan.shows:
                    top += given[self.top][step]
                    context += given["contexts"][step]
            else:
                top = given[self.top][step]
                if context is not None:
                    context.copy_(given["contexts"][step])
            if context is not None and not plan.asks_before:
                top = top + self.attend_backward(step, start, end, context, tops[step])
            for layer in range(last, -1, -1):
                cells[layer].back(step, top)
                if layer:
                    below = cells[layer].of_inputs[step] @ tensors[f"input{layer}"]
                    if f"input_mask{layer}" in masks:
                        below *= masks[f"input_mask{layer}"][step]
                    top = below.add_(top) if plan.residual else below
            first = cells[0].of_inputs[step]
            if context is not None and plan.asks_before:
                context.addmm_(first, tensors["context"])
                query = cells[last].hidden_before(step)
                carried = cells[last].carried[0][: end - start]
                carried += self.attend_backward(step, start, end, context, query)
            fed = first @ tensors["feeding"] if plan.feeding and step else None
        return self.collect(cells, read)

    def earlier(self, name: str, first: str) -> torch.Tensor:
        """A buffer as each step found it, `(P, size)`."""
        return torch.cat(
            [self.tensors[first][: self.plan.rows[0]], self.buffers[name].index_select(0, self.pair_before)]
        )

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
                of_windows = tensors["location"] * tensors["vector"]
                # dim x kernel, and as many columns of 0 as make the products twice as fast.
                self.of_windows = nn.functional.pad(of_windows, (0, 0, 0, -len(of_windows) % 16)).t().contiguous()
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
        windows = (slope @ self.of_windows)[:, :kernel].view(-1, self.src_len, kernel).transpose(1, 2)
        width = self.src_len + 2 * (kernel // 2)
        spread = nn.functional.fold(windows, (1, width), (1, kernel)).view(-1, width)
        self.of_before[block] = spread[:, kernel // 2 : width - kernel // 2]

    def collect(self, cells: list["_CellLoop"], read: torch.Tensor | None) -> Tensors:
        """One product for each weight."""
        plan, tensors, buffers = self.plan, self.tensors, self.buffers
        gated = [cell.gated for cell in cells]
        found: Tensors = {"projected": gated[0]}
        for layer, cell in enumerate(cells):
            hidden = self.earlier(f"state{layer}", f"state{layer}_0")
            if cell.mask is not None:
                hidden = hidden * torch.cat([cell.mask[:rows] for rows in plan.rows])
            found[f"hidden{layer}"] = cell.recurrent.t() @ hidden
            found[f"hidden_bias{layer}"] = cell.recurrent.sum(0)
            for part, gradient in enumerate(cell.carried):
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
            fed = buffers["attentional"].index_select(0, self.pair_before)
            found["feeding"] = gated[0][plan.rows[0] :].t() @ fed
            parts = [read.t() @ each for each in (buffers[self.top], buffers["contexts"])]
            found["readout"], found["readout_bias"] = torch.cat(parts, dim=1), read.sum(0)
        if not self.attends:
            return found
        if self.queries is not None:
            last = plan.layers - 1
            asked = self.earlier(f"state{last}", f"state{last}_0") if plan.asks_before else buffers[self.top]
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


class _CellLoop:
    """
    A layer's cell in a loop. Its gates are in place: first what the inputs give, then with what the state before adds,
    then the gates.

    Attributes:
        kept: Buffers beside `gates` and `state`.
        carried: In the backward pass, the gradients of the state's parts, `(batch, hidden)` each, from step to step.
        gated: Those of W x, `(P, gates * hidden)`; `of_inputs` are its views by step.
        recurrent: Those of U h + b, alike.
    """

    kept: ClassVar[tuple[str, ...]]
    parts: ClassVar[int]

    def __init__(self, loop: _Loop, layer: int) -> None:
        self.loop, self.layer, self.size = loop, layer, loop.plan.hidden
        self.weight, self.bias = loop.tensors[f"hidden{layer}"], loop.tensors[f"hidden_bias{layer}"]
        self.mask = loop.tensors.get(f"recurrent_mask{layer}")
        self.all_gates = loop.buffers[f"gates{layer}"]
        self.gates = loop.by_step(self.all_gates)
        self.states = self.views("state")

    def views(self, name: str) -> tuple[torch.Tensor, ...]:
        """Those of a buffer by step."""
        return self.loop.by_step(self.loop.buffers[f"{name}{self.layer}"])

    def hidden_before(self, step: int) -> torch.Tensor:
        return self.loop.before(self.states, f"state{self.layer}_0", step)

    def start(self) -> None:
        """Before the first step, forward."""
        self.turned = self.weight.t()
        if self.layer:
            self.input_weight = self.loop.tensors[f"input{self.layer}"].t()
            self.input_bias = self.with_bias(self.loop.tensors[f"input_bias{self.layer}"])
        else:
            self.all_gates.copy_(self.with_bias(self.loop.tensors["projected"]))

    def with_bias(self, projected: torch.Tensor) -> torch.Tensor:
        """`(..., gates * hidden)` with that part of the hidden projection's bias which may be summed beforehand."""
        raise NotImplementedError

    def read(self, step: int, inputs: torch.Tensor) -> None:
        """The inputs `(rows, hidden)` of a layer that is not the first."""
        torch.addmm(self.input_bias, inputs, self.input_weight, out=self.gates[step])

    def step(self, step: int) -> torch.Tensor:
        """The new h `(rows, hidden)`."""
        hidden = previous = self.hidden_before(step)
        if self.mask is not None:
            hidden = hidden * self.mask[: len(hidden)]
        return self.gate(step, hidden, previous)

    def gate(self, step: int, hidden: torch.Tensor, previous: torch.Tensor) -> torch.Tensor:
        """The equations: h before `(rows, hidden)` as the gates read it, and as it is."""
        raise NotImplementedError

    def start_backward(self) -> None:
        """
        Before the last step, backward: `gated` and `recurrent` become the factors by which the gradients of a step's
        state are multiplied, all steps at once.
        """
        start = self.loop.like.new_zeros(self.loop.batch, self.size)
        self.carried = [start, *(torch.zeros_like(start) for _ in range(self.parts - 1))]
        self.gated = torch.empty_like(self.all_gates)
        self.recurrent = self.factors()
        self.of_inputs, self.of_recurrent = self.loop.by_step(self.gated), self.loop.by_step(self.recurrent)

    def factors(self) -> torch.Tensor:
        """Fill `gated`; returns `recurrent`."""
        raise NotImplementedError

    def back(self, step: int, top: torch.Tensor) -> None:
        """From the gradient of a step's h `(rows, hidden)`, as far as it comes from above, all others of the step."""
        rows = len(top)
        hidden = self.carried[0][:rows].add_(top)
        kept = self.gate_backward(step, hidden)
        into = self.of_recurrent[step]
        if self.mask is not None:
            product = (into @ self.weight).mul_(self.mask[:rows])
            hidden.copy_(product if kept is None else product.add_(kept))
        elif kept is None:
            torch.mm(into, self.weight, out=hidden)
        else:
            torch.addmm(kept, into, self.weight, out=hidden)

    def gate_backward(self, step: int, hidden: torch.Tensor) -> torch.Tensor | None:
        """
        From the gradient of a step's h `(rows, hidden)` those of its gates, in their places.

        Returns:
            The gradient of the h before, as far as it does not go through U h: `(rows, hidden)`; None for none.
        """
        raise NotImplementedError


class _GRULoop(_CellLoop):
    kept = ("recurrent",)  # U_n h + b, which the reset gate multiplies
    parts = 1

    def __init__(self, loop: _Loop, layer: int) -> None:
        super().__init__(loop, layer)
        reset, update, candidate = self.all_gates.chunk(3, dim=1)
        self.reset, self.update, self.candidate = (loop.by_step(each) for each in (reset, update, candidate))
        self.products = self.views("recurrent")

    def with_bias(self, projected: torch.Tensor) -> torch.Tensor:
        return projected

    def start(self) -> None:
        super().start()
        self.both = self.loop.by_step(self.all_gates[:, : 2 * self.size])
        self.scratch = self.loop.like.new_empty(self.loop.batch, 3 * self.size)

    def gate(self, step: int, hidden: torch.Tensor, previous: torch.Tensor) -> torch.Tensor:
        both, candidate, size = self.both[step], self.candidate[step], self.size
        recurrent = torch.addmm(self.bias, hidden, self.turned, out=self.scratch[: len(hidden)])
        both.add_(recurrent[:, : 2 * size]).sigmoid_()
        product = self.products[step].copy_(recurrent[:, 2 * size :])
        candidate.addcmul_(self.reset[step], product).tanh_()
        return torch.lerp(candidate, previous, self.update[step], out=self.states[step])

    def factors(self) -> torch.Tensor:
        # h' = (1 - z) n + z h, n = tanh(W x + r (U h + b)): all are multiples of the gradient of h'. The reset gate
        # stands between U h and the candidate, so that the two products have gradients of their own.
        reset, update, candidate = self.all_gates.chunk(3, dim=1)
        previous = self.loop.earlier(f"state{self.layer}", f"state{self.layer}_0")
        of_reset, of_update, of_candidate = self.gated.chunk(3, dim=1)
        _sigmoid_backward(previous.sub_(candidate), update, of_update)
        _tanh_backward(1.0 - update, candidate, of_candidate)
        _sigmoid_backward(of_candidate * self.loop.buffers[f"recurrent{self.layer}"], reset, of_reset)
        recurrent = self.gated.clone()
        recurrent[:, 2 * self.size :] *= reset
        return recurrent

    def gate_backward(self, step: int, hidden: torch.Tensor) -> torch.Tensor:
        by_gate = hidden.unsqueeze(1)
        for factors in (self.of_inputs[step], self.of_recurrent[step]):
            factors.view(-1, 3, self.size).mul_(by_gate)
        return hidden * self.update[step]


class _LSTMLoop(_CellLoop):
    kept = ("cell", "squashed")  # c and tanh(c)
    parts = 2

    def __init__(self, loop: _Loop, layer: int) -> None:
        super().__init__(loop, layer)
        gates = (loop.by_step(each) for each in self.all_gates.chunk(4, dim=1))
        self.enter, self.forget, self.candidate, self.leave = gates
        self.cells, self.squashed = self.views("cell"), self.views("squashed")

    def with_bias(self, projected: torch.Tensor) -> torch.Tensor:
        return projected + self.bias

    def start(self) -> None:
        super().start()
        self.both = self.loop.by_step(self.all_gates[:, : 2 * self.size])

    def gate(self, step: int, hidden: torch.Tensor, previous: torch.Tensor) -> torch.Tensor:
        self.gates[step].addmm_(hidden, self.turned)
        self.both[step].sigmoid_()
        candidate, leave = self.candidate[step].tanh_(), self.leave[step].sigmoid_()
        before = self.loop.before(self.cells, f"state{self.layer}_1", step)
        cell = torch.mul(self.forget[step], before, out=self.cells[step]).addcmul_(self.enter[step], candidate)
        return torch.mul(leave, torch.tanh(cell, out=self.squashed[step]), out=self.states[step])

    def factors(self) -> torch.Tensor:
        # c' = f c + i g is behind three gates, h' = o tanh(c') behind the fourth; one gradient for W x and U h.
        enter, forget, candidate, leave = self.all_gates.chunk(4, dim=1)
        squashed = self.loop.buffers[f"squashed{self.layer}"]
        of_enter, of_forget, of_candidate, of_leave = self.gated.chunk(4, dim=1)
        _sigmoid_backward(candidate, enter, of_enter)
        _sigmoid_backward(self.loop.earlier(f"cell{self.layer}", f"state{self.layer}_1"), forget, of_forget)
        _tanh_backward(enter, candidate, of_candidate)
        _sigmoid_backward(squashed, leave, of_leave)
        self.behind_leave = self.loop.by_step(of_leave)
        self.behind_cell = self.loop.by_step(self.gated[:, : 3 * self.size])
        self.of_cell = self.loop.by_step(torch.ops.aten.tanh_backward(leave, squashed))  # of h' through tanh(c')
        return self.gated

    def gate_backward(self, step: int, hidden: torch.Tensor) -> None:
        cell = self.carried[1][: len(hidden)].addcmul_(hidden, self.of_cell[step])
        self.behind_leave[step].mul_(hidden)
        self.behind_cell[step].view(-1, 3, self.size).mul_(cell.unsqueeze(1))
        cell *= self.forget[step]


CELL_LOOPS: dict[int, type[_CellLoop]] = {3: _GRULoop, 4: _LSTMLoop}  # by their number of gates


def _tanh_backward(gradient: torch.Tensor, output: torch.Tensor, out: torch.Tensor) -> None:
    torch.ops.aten.tanh_backward.grad_input(gradient, output, grad_input=out)


def _sigmoid_backward(gradient: torch.Tensor, output: torch.Tensor, out: torch.Tensor) -> None:
    torch.ops.aten.sigmoid_backward.grad_input(gradient, output, grad_input=out)


__all__ = ["LoopPlan", "plain_steps", "run_steps"]
