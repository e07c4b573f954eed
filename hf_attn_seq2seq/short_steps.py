# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
A short way for the one-token steps of `generate()` on a recurrent decoder.

A step is a few small products: checks, masks, output objects and calls of modules around them take as long as they do.
During one call of `generate()`, [`ShortSteps`] decides once what may be left out, and then runs each step on the
modules' own weights. From [`PACKED_ROWS`] rows on, in single precision on a CPU, its products run on copies of the
weights in oneDNN's own layout ([`PackedWeight`]): they need as much memory again as the decoder's weights, from the
first such step until the model is gone. The short way steps aside for whatever wants the modules called: gradients,
dropout, recorders, hooks, adapters, quantisation, autocast, compilation, attentions and hidden states that are asked
for, masks on the target.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import nn
from transformers.cache_utils import EncoderDecoderCache

from .attention import AdditiveAttention, ConcatAttention, Memory, ask, key_mask, normalize, recall_source
from .cache_attn_seq2seq import RecurrentStateLayer
from .cells import CELLS, GatedCell, RecurrentCell
from .fused import has_hooks, is_plain_linear, runs_plainly
from .recurrent import Readout, RecurrentDecoder, RecurrentDecoderSteps


HEAP_BYTES = 2**21, 2**25  # of tensors that glibc allocates on its heap and may return: larger ones never lie there
PACKED_ROWS = 4  # with fewer, reading the weights takes all the time, in any layout


class PackedWeight:
    """
    A Linear's weight in the layout in which oneDNN multiplies, so that a product need not rearrange it each time.

    Args:
        weights: `(out, in)` each: side by side, they multiply inputs that are joined.
        bias: `(out,)` or None; read when it is used.
    """

    def __init__(self, weights: list[torch.Tensor], bias: torch.Tensor | None) -> None:
        # Aliases: while they live, no other weight can come to lie at their address.
        self.sources = [weight.detach() for weight in weights]
        self.bias = bias
        self.versions = [weight._version for weight in weights]
        self.probes = self.probe(weights)
        joined = self.sources[0] if len(weights) == 1 else torch.cat(self.sources, dim=1)
        self.packed = torch.ops.mkldnn._reorder_linear_weight(joined, 32)

    @staticmethod
    def can_pack(weight: torch.Tensor) -> bool:
        """Whether oneDNN takes `weight`, and multiplies it in single precision."""
        return bool(
            weight.device.type == "cpu"
            and weight.dtype == torch.float32
            and not weight.is_inference()  # which counts no versions
            and torch.backends.mkldnn.is_available()
            and torch.backends.mkldnn.enabled
            and torch.get_float32_matmul_precision() == "highest"
            and all(hasattr(torch.ops.mkldnn, name) for name in ("_linear_pointwise", "_reorder_linear_weight"))
        )

    @staticmethod
    def probe(weights: list[torch.Tensor]) -> list[torch.Tensor]:
        """A product of each weight with fixed numbers in [0.5, 1.5): it shows changes that count no version."""
        widths = [torch.arange(1, weight.shape[1] + 1, dtype=torch.float64) for weight in weights]
        return [
            torch.mv(weight.detach(), (0.5 + (width * 5**0.5) % 1.0).to(weight.dtype))
            for weight, width in zip(weights, widths)
        ]

    def holds(self, weights: list[torch.Tensor]) -> bool:
        """Whether `weights` are still those that were packed; writing to `weight.data` counts as a change too."""
        same = len(weights) == len(self.sources) and all(
            weight.data_ptr() == source.data_ptr() and weight.shape == source.shape and weight._version == version
            for weight, source, version in zip(weights, self.sources, self.versions)
        )
        return same and all(map(torch.equal, self.probe(weights), self.probes))

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """`(batch, in)` to `(batch, out)`."""
        return torch.ops.mkldnn._linear_pointwise(inputs, self.packed, self.bias, "none", [], "")


# Apart from the models, which are copied, pickled and saved without it.
_packed: WeakKeyDictionary[nn.Module, dict[str, PackedWeight]] = WeakKeyDictionary()


def packed_linear(owner: nn.Module, name: str, linears: list[nn.Linear]) -> PackedWeight:
    """The packed weight of `linears` side by side, kept under `name` for as long as `owner` lives."""
    kept = _packed.setdefault(owner, {})
    weights, bias = [part.weight for part in linears], linears[0].bias
    if name not in kept or kept[name].bias is not bias or not kept[name].holds(weights):
        kept[name] = PackedWeight(weights, bias)
    return kept[name]


Product = Callable[[torch.Tensor], torch.Tensor]


class PackedProducts(NamedTuple):
    """The products of a step on packed weights, each `(batch, in)` to `(batch, out)`."""

    enter: Product  # what the first cell reads, side by side
    inner: list[Product]  # what each cell above it reads
    hidden: list[Product | None]  # of each cell; a scan cell has none
    readout: Product | None
    head: Product

    @classmethod
    def of(cls, model: Any) -> "PackedProducts":
        steps = model.model.decoder.stack.steps
        first, *others = steps.cells

        def pack(name: str, *linears: nn.Linear) -> Product:
            return packed_linear(model, name, list(linears))

        return cls(
            pack("enter", *first.input_projections),
            [pack(f"inner {index}", cell.input_projections[0]) for index, cell in enumerate(others)],
            [
                pack(f"hidden {index}", cell.hidden_projection) if isinstance(cell, GatedCell) else None
                for index, cell in enumerate(steps.cells)
            ],
            None if steps.readout.projection is None else pack("readout", steps.readout.projection),
            pack("head", model.lm_head),
        )


class KeptState(NamedTuple):
    """The state in the parts that a step reads, as long as the cache holds the tensor it was made with."""

    keys: torch.Tensor
    layers: list[tuple[torch.Tensor, ...]]
    attention: torch.Tensor | None  # (batch, size)
    attentional: torch.Tensor  # (batch, readout)


class ShortSteps:
    """The steps of one call of `generate()` on `model`, a recurrent decoder for which [`applies`] holds."""

    def __init__(self, model: Any) -> None:
        steps: RecurrentDecoderSteps = model.model.decoder.stack.steps
        config = model.config
        self.model = model
        self.steps = steps
        self.attention: Any = steps.attention
        self.table = model.model.decoder.embed_tokens.weight
        self.device = self.table.device
        self.exact = self.table.dtype in (torch.float32, torch.float64)  # 16 bits round at each step: keep them all
        self.head = model.lm_head
        self.cells: list[Any] = list(steps.cells)
        self.entries = list(self.cells[0].input_projections)
        self.norms = [None if type(norm) is nn.Identity else norm for norm in steps.norms]
        self.asks_before = steps.asks_before
        self.feeds = config.input_feeding
        self.residual = config.residual
        self.readout = steps.readout
        self.adds = self.exact and self.is_plainly_additive(steps.attention)
        self.products: PackedProducts | None = None
        self.accepted: torch.Tensor | None = None
        self.source: tuple[Any, Memory] | None = None  # the cache's keys, and the memory made of them
        self.state: KeptState | None = None

    @staticmethod
    def is_plainly_additive(attention: Any) -> bool:
        """Whether [`attend`] may stand in for a call of `attention`."""
        return (
            type(attention) in (AdditiveAttention, ConcatAttention)
            and attention.num_heads == 1
            and attention.config.attention_normalizer == "softmax"
            and is_plain_linear(attention.query_projection)
            and not has_hooks(attention)
        )

    @staticmethod
    def applies(model: Any) -> bool:
        """Whether nothing between `model` and its weights does more than the package's own code."""
        config = model.config
        if model.training or not config.is_recurrent_decoder or not hasattr(model, "model"):  # exported: it has graphs
            return False
        if config.output_attentions or config.output_hidden_states or config.zero_start:
            return False
        decoder = getattr(getattr(model, "model", None), "decoder", None)  # exported models have no modules
        if decoder is None:
            return False
        stack = decoder.stack
        if type(stack) is not RecurrentDecoder or type(stack.steps) is not RecurrentDecoderSteps:
            return False
        steps = stack.steps
        if steps.transition is not None or steps.pointer is not None:
            return False
        linears = [model.lm_head, *(part for cell in steps.cells for part in cell.linears)]
        if steps.readout.projection is not None:
            linears.append(steps.readout.projection)
        called = (model.model, decoder, decoder.embed_tokens, stack, steps, steps.readout, *steps.norms, *steps.cells)
        return (
            all(is_plain_linear(part) for part in linears)
            and not any(has_hooks(module) for module in called)
            and type(decoder.embed_tokens) is nn.Embedding
            and decoder.embed_tokens.max_norm is None
            and type(decoder.embed_tokens.weight) is nn.Parameter
            and type(steps.readout) is Readout
            and all(type(cell) in CELLS.values() for cell in steps.cells)
            and len({part.weight.dtype for part in (*linears, decoder.embed_tokens)}) == 1
            and len({part.weight.device for part in (*linears, decoder.embed_tokens)}) == 1
        )

    def takes(self, ids: torch.Tensor | None, cache: Any, options: dict[str, Any]) -> bool:
        """
        Whether a call of the model on `ids` may go the short way: one token a row, after others.

        Args:
            cache: The decoder's state so far.
            options: The call's further arguments.
        """
        if ids is None or ids.shape[1] != 1 or type(cache) is not EncoderDecoderCache:
            return False
        layers = cache.self_attention_cache.layers
        states = options.get("encoder_outputs")
        return (
            len(layers) == 1
            and type(layers[0]) is RecurrentStateLayer
            and layers[0].cumulative_length > 0
            and not layers[0].record_past
            and bool(states)
            and layers[0].keys.shape[0] == ids.shape[0] == states[0].shape[0]
            and cache.is_updated.get(0, False)
            and not torch.is_grad_enabled()
            and not torch.is_autocast_enabled(self.device.type)
            and ids.device == self.device
            and runs_plainly(ids)
            and not any(options.get(name) is not None for name in LONG_WAY)
            and not any(options.get(name) for name in ("output_attentions", "output_hidden_states"))
        )

    def step(
        self, ids: torch.Tensor, cache: EncoderDecoderCache, states: torch.Tensor, mask: torch.Tensor | None
    ) -> torch.Tensor:
        """
        Logits `(batch, 1, decoder_vocab)` of one more token, whose state `cache` takes.

        Args:
            ids: `(batch, 1)`, of a call that [`takes`] accepts.
            states: The encoder's, `(batch, src_len, encoder_hidden)`.
            mask: `(batch, src_len)`, nonzero on real source tokens, or None.
        """
        memory = self.recall(cache, states, mask)
        layer: Any = cache.self_attention_cache.layers[0]
        embedded = torch.embedding(self.table, ids[:, 0])
        rows = embedded.shape[0]
        kept = self.state
        if kept is None or kept.keys is not layer.keys:
            layers, attention_state = self.steps.split_state(layer.keys[:, 0, -1], embedded.dtype)
            kept = KeptState(layer.keys, layers, attention_state, layer.values[:, 0, -1].to(embedded.dtype))
        packed = self.pack(rows)
        inputs, output = [embedded], embedded
        if self.asks_before:
            query = self.cells[-1].output(kept.layers[-1])
            context, attention_state = self.attend(query, memory, kept.attention)
            inputs.append(context)
        if self.feeds:
            inputs.append(kept.attentional)
        layers = []
        for index, (cell, norm) in enumerate(zip(self.cells, self.norms)):
            before = kept.layers[index]
            if packed is not None:
                enter = packed.inner[index - 1] if index else packed.enter
                projected = enter(inputs[0] if len(inputs) == 1 else torch.cat(inputs, dim=-1))
                recurrent = packed.hidden[index]
                if recurrent is None:
                    state = cell.step(projected, before, None)
                else:
                    state = cell.gate(projected, recurrent(before[0]), before)
            else:
                state = self.advance(cell, inputs, before)
            layers.append(state)
            hidden = cell.output(state)
            if self.residual and index:
                hidden = hidden + output
            output = hidden if norm is None else norm(hidden)
            inputs = [output]
        if not self.asks_before:
            context, attention_state = self.attend(output, memory, kept.attention)
        projection = self.readout.projection if packed is None else packed.readout
        attentional = self.readout.combine(projection, output, context, embedded)
        joined = layers[0][0] if len(self.cells) == 1 and attention_state is None and len(layers[0]) == 1 else None
        if joined is None:
            joined = self.steps.join_state(layers, attention_state)
        layer.advance(joined, attentional)
        self.state = KeptState(layer.keys, layers, attention_state, attentional)
        head = self.head if packed is None else packed.head
        return head(attentional).unsqueeze(1)

    def recall(self, cache: EncoderDecoderCache, states: torch.Tensor, mask: torch.Tensor | None) -> Memory:
        """The source as the attention sees it, the same for all steps until rows leave their place."""
        layer: Any = cache.cross_attention_cache.layers[0]
        keys = layer.keys
        if self.source is None or self.source[0] is not keys:
            real = None if mask is None or bool(mask.all()) else mask.bool()
            self.source = keys, recall_source(self.attention, states, real, cache, 0)
        return self.source[1]

    def pack(self, rows: int) -> PackedProducts | None:
        """The products of `rows` rows on packed weights; None where the weights are read as they are."""
        if rows < PACKED_ROWS or not PackedWeight.can_pack(self.table):
            return None
        if self.products is None:
            self.products = PackedProducts.of(self.model)
        return self.products

    def attend(
        self, query: torch.Tensor, memory: Memory, state: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The context `(batch, context_size)` of a query `(batch, hidden)`, and the attention's next state."""
        if not self.adds:
            out = ask(self.attention, query.unsqueeze(1), memory, state, False)
            return out.context[:, 0], out.state
        # [`AdditiveAttention`] with one head: beams of a source are its queries.
        queries = self.attention.query_projection(query).view(memory.keys.shape[0], 1, -1, self.attention.inner_size)
        scores = self.attention.energy(queries, memory.keys, self.attention.vector())
        weights = normalize(scores, key_mask(memory.mask))
        return torch.matmul(weights, memory.values).view(query.shape[0], -1), None

    def advance(
        self, cell: RecurrentCell, inputs: list[torch.Tensor], state: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, ...]:
        """The cell's next state of inputs `(batch, size)`, on the weights as they are."""
        linears = cell.input_projections if cell is not self.cells[0] else self.entries
        if not isinstance(cell, GatedCell) or not self.exact or (len(inputs) > 1 and len(inputs[0]) > 1):
            projected = linears[0](inputs[0])
            for part, linear in zip(inputs[1:], linears[1:]):
                projected = projected + linear(part)
            return cell.step(projected, state, None)
        # Of one row, all but the last product can be the bias of the next, down to torch's own cell.
        bias: torch.Tensor = linears[0].bias
        for part, linear in zip(inputs[:-1], linears):
            bias = nn.functional.linear(part, linear.weight, bias)[0]
        return cell.one_step(inputs[-1], state, linears[len(inputs) - 1].weight, bias)


# Arguments that only the model's modules answer.
LONG_WAY = ("labels", "decoder_inputs_embeds", "decoder_attention_mask")

_steps: ContextVar[ShortSteps | None] = ContextVar("attn_seq2seq_short_steps", default=None)
_kept: ContextVar[list[torch.Tensor] | None] = ContextVar("attn_seq2seq_kept_heap", default=None)
_switched_off: ContextVar[bool] = ContextVar("attn_seq2seq_plain_steps", default=False)


@contextmanager
def short_steps(model: nn.Module) -> Iterator[None]:
    """Within, one-token steps of `model` go the short way where they can; those of other models do not."""
    steps = None if _switched_off.get() or not ShortSteps.applies(model) else ShortSteps(model)
    tokens = _steps.set(steps), _kept.set([])
    try:
        yield
    finally:
        _steps.reset(tokens[0])
        _kept.reset(tokens[1])


def keep_heap(numbers: int) -> None:
    """
    Let the memory of the steps' tensors be used again, until [`short_steps`] ends.

    Each step of a beam search makes and frees a dozen tensors as large as its logits. When they are freed, the C
    library returns the end of its heap to the system, from which the next step takes it again, page by page. What is
    allocated here lies behind them; it is never written to, so it takes up no memory.

    Args:
        numbers: In the logits of a step.
    """
    kept = _kept.get()
    if kept is None or not HEAP_BYTES[0] <= 4 * numbers < HEAP_BYTES[1]:
        return
    torch.empty(numbers)  # freed, it tells the C library that such sizes belong on the heap
    kept.append([torch.empty(numbers) for _ in range(12)][-1])


@contextmanager
def plain_steps() -> Iterator[None]:
    """Within, `generate()` calls the modules at every step: what the short way is compared with."""
    token = _switched_off.set(True)
    try:
        yield
    finally:
        _switched_off.reset(token)


def active_steps(model: nn.Module) -> ShortSteps | None:
    """The short way of this context, if it is that of `model`."""
    steps = None if torch.compiler.is_compiling() else _steps.get()
    return steps if steps is not None and steps.model is model else None


__all__ = ["ShortSteps", "active_steps", "keep_heap", "plain_steps", "short_steps"]
