# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Recurrent encoders and decoders: stacks of the cells in `cells.py`, with attention in the decoder."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence
from transformers.cache_utils import EncoderDecoderCache
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.utils.import_utils import is_tracing

from .attention import (
    AdditiveAttention,
    Attention,
    ConcatAttention,
    DecoderOutput,
    DotAttention,
    EncoderLayerOutput,
    EncoderStates,
    GeneralAttention,
    LocationAwareAttention,
    Memory,
    MultiHeadAttention,
    ScaledDotAttention,
    ask,
    build_attention,
    fixed_context,
    newest_mask,
    recall_source,
    repeat_groups,
    summarize,
)
from .cache_attn_seq2seq import keeps_history, read_state, write_state
from .cells import CELLS, GatedCell, GRUCell, LSTMCell, RecurrentCell, ScanCell, State
from .configuration_attn_seq2seq import AttnSeq2SeqConfig
from .fused import has_hooks, is_plain_linear, runs_plainly
from .pointer import PointerGate
from .recorder import active_recorder, record
from .step_loop import LoopPlan, run_steps


def has_loop(inputs: torch.Tensor) -> bool:
    """Whether gradients are wanted of `inputs` in the way that the loops with a backward pass of their own know."""
    return (
        torch.is_grad_enabled()
        and inputs.dtype in (torch.float32, torch.float64)
        and inputs.device.type in ("cpu", "cuda")
        and runs_plainly(inputs)
        and not torch.is_autocast_enabled(inputs.device.type)
    )


def draw_mask(like: torch.Tensor, size: int, probability: float, training: bool) -> torch.Tensor | None:
    """Dropout factors `(batch, size)`, 0 or 1 / (1 - p), to be shared by all steps of a sequence; None for none."""
    if not training or probability == 0.0:
        return None
    return nn.functional.dropout(like.new_ones(like.shape[0], size), probability)


class LayerDropout(NamedTuple):
    """The dropout masks that a layer keeps through a sequence (Gal and Ghahramani 2016); None where there is none."""

    inputs: torch.Tensor | None  # (batch, input)
    recurrent: torch.Tensor | None  # (batch, hidden)

    @classmethod
    def draw(
        cls, config: AttnSeq2SeqConfig, like: torch.Tensor, input_size: int, hidden_size: int, training: bool
    ) -> "LayerDropout":
        inputs = draw_mask(like, input_size, config.dropout, training) if config.variational_dropout else None
        return cls(inputs, draw_mask(like, hidden_size, config.recurrent_dropout, training))


def drop(states: torch.Tensor, mask: torch.Tensor | None, config: AttnSeq2SeqConfig, training: bool) -> torch.Tensor:
    """Dropout on `(batch, length, size)` or `(batch, size)` states: by the sequence's mask, or drawn anew."""
    if config.variational_dropout:
        return states if mask is None else states * (mask.unsqueeze(1) if states.dim() == 3 else mask)
    return nn.functional.dropout(states, config.dropout, training)


# --------------------------------------------------------------------------------------------------------------------
# Encoder
# --------------------------------------------------------------------------------------------------------------------


class TokenOrder(NamedTuple):
    """
    Where the real tokens of a padded batch lie, so that recurrences run over them side by side.

    `first` and `backward` gather the real tokens to the front, in reading and in reversed order; `rank` and
    `backward_rank` gather them back. All are `(batch, src_len)`. `packed` lists the flat positions of the real tokens
    step by step, `packed_backward` in reversed order, `batch_sizes` the rows alive at each, and `rows` where each row
    of the batch lies among them; all are None while a graph is traced, for they would fix it to the lengths at hand.
    """

    mask: torch.Tensor
    lengths: torch.Tensor  # (batch, 1)
    first: torch.Tensor
    rank: torch.Tensor
    backward: torch.Tensor
    backward_rank: torch.Tensor
    packed: torch.Tensor | None
    packed_backward: torch.Tensor | None
    batch_sizes: torch.Tensor | None
    rows: torch.Tensor | None

    @classmethod
    def of(cls, mask: torch.Tensor) -> "TokenOrder":
        """The order of a `(batch, src_len)` bool mask, True on real tokens, which may lie anywhere."""
        batch, src_len = mask.shape
        steps = torch.arange(src_len, device=mask.device).expand(batch, -1)
        count = mask.sum(1, keepdim=True)
        rank = mask.long().cumsum(1) - 1
        # Padding is scattered into one column too many, which is cut off.
        slots = steps.new_zeros(batch, src_len + 1)
        first = slots.scatter(1, torch.where(mask, rank, src_len), steps)[:, :src_len]
        backward = slots.scatter(1, torch.where(mask, count - 1 - rank, src_len), steps)[:, :src_len]
        packed = packed_backward = batch_sizes = rows = None
        if not is_tracing(mask):
            starts = src_len * torch.arange(batch, device=mask.device).unsqueeze(1)
            # A source without a token still has one state; the mask blanks it afterwards.
            lengths = count.squeeze(1).clamp(min=1).cpu()
            (packed, batch_sizes, _, rows), (packed_backward, *_) = (
                pack_padded_sequence(index + starts, lengths, batch_first=True, enforce_sorted=False)
                for index in (first, backward)
            )
        backward_rank = (count - 1 - rank).clamp(0, src_len - 1)
        rank = rank.clamp(min=0)
        return cls(mask, count, first, rank, backward, backward_rank, packed, packed_backward, batch_sizes, rows)


def order_of(mask: torch.Tensor | None) -> TokenOrder | None:
    """The order of a `(batch, src_len)` mask; None where nothing is masked."""
    if mask is None or not (is_tracing(mask) or not bool(mask.all())):
        return None
    return TokenOrder.of(mask.bool())


def take_steps(states: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """`(batch, length, size)` states in the order of a `(batch, length)` index."""
    return states.gather(1, index.unsqueeze(-1).expand(-1, -1, states.shape[-1]))


class RecurrentEncoderLayer(GradientCheckpointingLayer):
    """
    One layer that reads the source in one or both directions (Schuster and Paliwal 1997).

    Padding on either side or inside changes nothing: it is neither read nor, outside traced graphs, computed.
    """

    def __init__(self, config: AttnSeq2SeqConfig, layer_idx: int) -> None:
        super().__init__()
        self.config = config
        self.input_size = config.embedding_size if layer_idx == 0 else config.encoder_hidden_size
        self.joins_pairs = 0 < layer_idx <= config.pyramid_layers
        if self.joins_pairs:
            self.input_size *= 2
        directions = 2 if config.bidirectional else 1
        self.hidden_size = config.encoder_hidden_size // directions
        self.cells: Sequence[RecurrentCell] = nn.ModuleList(  # type: ignore[assignment]
            CELLS[config.encoder_type]([self.input_size], self.hidden_size) for _ in range(directions)
        )
        self.residual = config.residual and layer_idx > 0 and not self.joins_pairs
        self.norm = (
            nn.LayerNorm(config.encoder_hidden_size, eps=config.layer_norm_eps) if config.layer_norm else nn.Identity()
        )

    def forward(self, hidden_states: torch.Tensor, order: TokenOrder | None = None) -> EncoderLayerOutput:
        """
        `(batch, src_len, input)` to `(batch, src_len, encoder_hidden)`, 0 on padding; and, where the decoder starts
        from them, the cells' own states at their last real tokens, both directions side by side: `(batch, parts,
        encoder_hidden)`.
        """
        masks = LayerDropout.draw(self.config, hidden_states, self.input_size, self.hidden_size, self.training)
        inputs = drop(hidden_states, masks.inputs, self.config, self.training)
        outputs, final = self.read(inputs, order, masks.recurrent)
        if self.residual:
            outputs = outputs + hidden_states
        outputs = self.norm(outputs)
        if order is not None:
            outputs = outputs.masked_fill(~order.mask.unsqueeze(-1), 0.0)
        record(self, states=outputs)
        return EncoderLayerOutput(outputs, final)

    def read(
        self, inputs: torch.Tensor, order: TokenOrder | None, dropout_mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """
        The outputs of both directions side by side, and their final state where it is wanted, by the fastest way that
        gives what the steps would.
        """
        wanted = self.config.needs_final_state
        if active_recorder() is None:
            scanning = [cell for cell in self.cells if isinstance(cell, ScanCell)]
            if scanning:
                states = self.scan(scanning, inputs, order)
                final = None
                if wanted:
                    mask = None if order is None else order.mask
                    final = summarize(states, mask, "last", self.config.bidirectional).unsqueeze(1)
                return scanning[0].output((states,)), final
            gated = [cell for cell in self.cells if isinstance(cell, GatedCell)]
            if all(cell.can_fuse(inputs, dropout_mask) for cell in gated):
                alone = not wanted or self.cells[0].parts == 1  # the loop gives outputs, not what else is in a state
                if self.training and has_loop(inputs) and inputs.device.type == "cpu" and alone:
                    outputs = self.read_in_training(gated, inputs, order)
                    return outputs, self.shown(outputs, order).unsqueeze(1) if wanted else None
                if order is None or order.packed is not None:
                    return self.read_fused(gated, inputs, order)
        return self.read_stepwise(inputs, order, dropout_mask)

    def shown(self, outputs: torch.Tensor, order: TokenOrder | None) -> torch.Tensor:
        """The outputs `(batch, encoder_hidden)` at the last real token of each direction."""
        return summarize(outputs, None if order is None else order.mask, "last", self.config.bidirectional)

    def read_stepwise(
        self, inputs: torch.Tensor, order: TokenOrder | None, dropout_mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """As [`read`], each direction by itself over the real tokens."""
        wanted = self.config.needs_final_state
        start = (inputs.new_zeros(inputs.shape[0], self.hidden_size),) * self.cells[0].parts
        halves, finals = [], []
        for each, reverse in zip(self.cells, (False, True)):
            if order is None:
                outputs, last = each.run([inputs.flip(1) if reverse else inputs], start, dropout_mask)
                halves.append(outputs.flip(1) if reverse else outputs)
            else:
                there, back = (order.backward, order.backward_rank) if reverse else (order.first, order.rank)
                lengths = order.lengths if wanted else None
                outputs, last = each.run([take_steps(inputs, there)], start, dropout_mask, lengths)
                halves.append(take_steps(outputs, back))
            finals.append(torch.stack(last, dim=1))
        return torch.cat(halves, dim=-1), torch.cat(finals, dim=-1) if wanted else None

    def scan(self, cells: list[ScanCell], inputs: torch.Tensor, order: TokenOrder | None) -> torch.Tensor:
        """The states of both directions, all steps at once: padding leaves a state as it was."""
        start = inputs.new_zeros(inputs.shape[0], self.hidden_size)
        mask = None if order is None else order.mask
        halves = [
            cell.scan(cell.project([inputs]), start, mask, reverse) for cell, reverse in zip(cells, (False, True))
        ]
        return torch.cat(halves, dim=-1)

    def read_fused(
        self, cells: list[GatedCell], inputs: torch.Tensor, order: TokenOrder | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """As [`read`], in torch's own kernels."""
        batch, src_len, size = inputs.shape
        start = (inputs.new_zeros(len(cells), batch, self.hidden_size),) * cells[0].parts
        weights = [weight for cell in cells for weight in cell.flat_weights()]
        if order is None:
            outputs, last = cells[0].fused(inputs, start, weights, None)
        else:
            tokens = inputs.reshape(-1, size).index_select(0, order.packed)
            packed, last = cells[0].fused(tokens, start, weights, order.batch_sizes)
            padded = packed.new_zeros(batch * src_len, packed.shape[-1])
            outputs = padded.index_copy(0, order.packed, packed).view(batch, src_len, -1)
        if not self.config.needs_final_state:
            return outputs, None
        final = torch.stack([part.transpose(0, 1).flatten(1) for part in last], dim=1)
        return outputs, final if order is None else final.index_select(0, order.rows)

    def read_in_training(self, cells: list[GatedCell], inputs: torch.Tensor, order: TokenOrder | None) -> torch.Tensor:
        """The outputs of [`read`], in loops whose gradients take half the time of torch's on a CPU."""
        batch, src_len, size = inputs.shape
        if order is None:
            rows = (batch,) * src_len
            places = torch.arange(batch * src_len).view(batch, src_len)
            indices = [places.t().flatten(), places.flip(1).t().flatten()]
        else:
            assert order.batch_sizes is not None
            rows, indices = tuple(order.batch_sizes.tolist()), [order.packed, order.packed_backward]
        halves = []
        for cell, index in zip(cells, indices):
            outputs = cell.run_rows(inputs.reshape(-1, size).index_select(0, index), rows)
            padded = outputs.new_zeros(batch * src_len, self.hidden_size)
            halves.append(padded.index_copy(0, index, outputs).view(batch, src_len, -1))
        return torch.cat(halves, dim=-1)


def join_pairs(states: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor | None]:
    """
    Two neighbouring states side by side as one (Chan et al. 2016, eq. 5); an odd last one beside 0.

    Args:
        states: `(batch, src_len, size)`, 0 on padding, all of which lies behind.
        mask: `(batch, src_len)`; None: all are real.

    Returns:
        `(batch, ceil(src_len / 2), 2 * size)`, and the mask that belongs to it.
    """
    batch, src_len, size = states.shape
    padded = nn.functional.pad(states, (0, 0, 0, src_len % 2))
    return padded.reshape(batch, (src_len + 1) // 2, 2 * size), None if mask is None else mask[:, ::2]


class RecurrentEncoder(nn.Module):
    """A stack of recurrent layers over embedded source tokens, or over what a front end gives."""

    def __init__(self, config: AttnSeq2SeqConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(RecurrentEncoderLayer(config, index) for index in range(config.encoder_layers))

    def forward(
        self, inputs_embeds: torch.Tensor, attention_mask: torch.Tensor | None, **kwargs: object
    ) -> EncoderStates:
        """
        Args:
            inputs_embeds: `(batch, src_len, embedding)`.
            attention_mask: `(batch, src_len)`, nonzero on real tokens; None: all are real.
        """
        hidden_states, mask = inputs_embeds, attention_mask
        order = order_of(mask)
        finals = []
        for layer in self.layers:
            if layer.joins_pairs:
                hidden_states, mask = join_pairs(hidden_states, mask)
                order = order_of(mask)
            out = EncoderLayerOutput(*layer(hidden_states, order))
            hidden_states = out.hidden_states
            if out.final_state is not None:
                finals.append(out.final_state)
        return EncoderStates(hidden_states, torch.stack(finals, dim=1) if finals else None, mask)


# --------------------------------------------------------------------------------------------------------------------
# Decoder
# --------------------------------------------------------------------------------------------------------------------


class Bridge(nn.Module):
    """
    The decoder's first state, a function of the encoder's states and their mask alone.

    `zeros`: 0. `last`, `mean`: that state of the encoder in each layer, through a linear map where sizes differ, and c
    = 0 for an LSTM. `last_both`: as `last`, with c = h. `dense`: tanh(W x + b) for each layer's h and c, where x is
    the last state of a recurrent encoder (Bahdanau et al. 2015, A.2.2) or the mean state of a Transformer;
    `mean_dense`: the same of the mean state of any encoder (Sennrich et al. 2017, "Nematus"). `final`: in each layer
    the state, h and c, in which that layer of the encoder ends (Sutskever et al. 2014), through W x + b for h and for
    c where widths differ. `final_dense`: relu(W x + b), where x are the final states of all layers, apart for h and c.
    """

    def __init__(self, config: AttnSeq2SeqConfig, parts: int) -> None:
        super().__init__()
        self.config = config
        self.parts = parts
        self.kind = config.bridge
        self.projection: nn.Module = nn.Identity()
        if self.kind in ("dense", "mean_dense"):
            self.projection = nn.Linear(config.encoder_hidden_size, config.decoder_layers * parts * config.hidden_size)
        elif self.kind in ("last", "last_both", "mean") and config.encoder_hidden_size != config.hidden_size:
            self.projection = nn.Linear(config.encoder_hidden_size, config.hidden_size, bias=False)
        elif self.kind == "final_dense":
            inputs, outputs = config.encoder_hidden_size * config.encoder_layers, config.hidden_size
            self.projection = nn.ModuleList(nn.Linear(inputs, config.decoder_layers * outputs) for _ in range(parts))
        elif self.kind == "final" and config.encoder_hidden_size != config.hidden_size:
            self.projection = nn.ModuleList(
                nn.Linear(config.encoder_hidden_size, config.hidden_size) for _ in range(parts)
            )

    def forward(
        self, encoder_states: torch.Tensor, mask: torch.Tensor | None, final_state: torch.Tensor | None = None
    ) -> torch.Tensor:
        """
        `(batch, src_len, encoder_hidden)` to `(batch, decoder_layers * parts * hidden)`.

        Args:
            encoder_states: The encoder's.
            mask: `(batch, src_len)` bool, True on real tokens; None: all are real.
            final_state: `(batch, encoder_layers, parts, encoder_hidden)`, for the kinds that read it.

        Raises:
            ValueError: It is missing.
        """
        config = self.config
        if config.needs_final_state:
            if final_state is None:
                raise ValueError(
                    f"bridge='{self.kind}' starts the decoder from the final state of the encoder: give the encoder's "
                    "whole output as encoder_outputs, with its final_state."
                )
            record(self, summary=final_state.flatten(1))
            return self.hand_over(final_state)
        if self.kind == "zeros":
            size = config.decoder_layers * self.parts * config.hidden_size
            return encoder_states.new_zeros(encoder_states.shape[0], size)
        bidirectional = config.is_recurrent_encoder and config.bidirectional
        if self.kind == "dense":
            summary = fixed_context(encoder_states, mask, config)
        else:
            how = "mean" if self.kind in ("mean", "mean_dense") else "last"
            summary = summarize(encoder_states, mask, how, bidirectional)
        record(self, summary=summary)
        if self.kind in ("dense", "mean_dense"):
            return torch.tanh(self.projection(summary))
        state = self.projection(summary)
        if self.kind == "last_both":
            return state.repeat(1, config.decoder_layers * self.parts)
        return nn.functional.pad(state, (0, (self.parts - 1) * config.hidden_size)).repeat(1, config.decoder_layers)

    def hand_over(self, final_state: torch.Tensor) -> torch.Tensor:
        """`(..., encoder_layers, parts, encoder_hidden)` to `(..., decoder_layers * parts * hidden)`."""
        if isinstance(self.projection, nn.Identity):
            return final_state.flatten(-3)
        parts = final_state.unbind(-2)
        projections: Any = self.projection
        if self.kind == "final":
            made = [projection(part) for projection, part in zip(projections, parts)]
        else:
            # view, not unflatten: torch.onnx takes the shape that unflatten gives for fixed.
            shape = (*final_state.shape[:-3], self.config.decoder_layers, self.config.hidden_size)
            made = [
                torch.relu(projection(part.flatten(-2))).view(shape) for projection, part in zip(projections, parts)
            ]
        return torch.stack(made, dim=-2).flatten(-3)


class Readout(nn.Module):
    """
    The attentional vector that the output layer reads.

    `tanh`: tanh(W_c [h_t; c_t] + b) (Luong et al. 2015, eq. 5); `affine`: W_c [h_t; c_t] + b; `deep`: tanh(W [h_t;
    c_t; E y_(t-1)] + b), as wide as an embedding (Sennrich et al. 2017, "Nematus"). `maxout`: the larger of
    each pair of U_o s_i + V_o E y_(i-1) + C_o c_i (Bahdanau et al. 2015, A.2.2, there with s_(i-1); the new state has
    seen the context too). Without a product: `linear`: h_t; `concat`: [h_t; c_t; E y_(t-1)].
    """

    def __init__(self, config: AttnSeq2SeqConfig) -> None:
        super().__init__()
        self.kind = config.readout
        self.projection: nn.Linear | None = None
        inputs = config.hidden_size + config.context_size
        if self.kind == "maxout":
            self.projection = nn.Linear(inputs + config.embedding_size, 2 * config.hidden_size)
        elif self.kind in ("tanh", "affine"):
            self.projection = nn.Linear(inputs, config.hidden_size)
        elif self.kind == "deep":
            self.projection = nn.Linear(inputs + config.embedding_size, config.embedding_size)

    def forward(self, state: torch.Tensor, context: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        """`(..., hidden)`, `(..., context)` and `(..., embedding)` to `(..., readout)`."""
        record(self, state=state, context=context)
        return self.combine(self.projection, state, context, embedding)

    def combine(
        self,
        projection: Callable[[torch.Tensor], torch.Tensor] | None,
        state: torch.Tensor,
        context: torch.Tensor,
        embedding: torch.Tensor,
    ) -> torch.Tensor:
        """The readout with its product given; None for the kinds that have none."""
        if projection is None:
            return state if self.kind == "linear" else torch.cat([state, context, embedding], dim=-1)
        if self.kind == "maxout":
            return projection(torch.cat([state, context, embedding], dim=-1)).unflatten(-1, (-1, 2)).amax(-1)
        words = [embedding] if self.kind == "deep" else []
        read = projection(torch.cat([state, context, *words], dim=-1))
        return read if self.kind == "affine" else torch.tanh(read)


class StepsInput(NamedTuple):
    """What the decoder's recurrence goes on from; see [`RecurrentDecoderSteps.forward`]."""

    embeds: torch.Tensor  # (batch, tgt_len, embedding)
    state: torch.Tensor  # (batch, state_size)
    attentional: torch.Tensor  # (batch, readout)
    memory: Memory
    step_mask: torch.Tensor | None  # (batch, tgt_len)
    masks: list[LayerDropout]
    output_weights: bool
    all_states: bool


class StepsOutput(NamedTuple):
    """What the decoder computed for `tgt_len` steps."""

    attentional: torch.Tensor  # (batch, tgt_len, readout)
    layer_states: tuple[torch.Tensor, ...]  # for each layer (batch, tgt_len, hidden)
    weights: torch.Tensor | None  # (batch, heads, tgt_len, src_len)
    states: torch.Tensor  # (batch, tgt_len or 1, state_size): after every step or after the last
    newest: torch.Tensor  # (batch, readout): the attentional vector that is fed to the next step
    gate: torch.Tensor | None = None  # (batch, tgt_len): the pointer's, before its sigmoid


class LoopOutput(NamedTuple):
    """What the loop of training computed for `tgt_len` steps; 0 beyond the end of a row."""

    attentional: torch.Tensor  # (batch, tgt_len, readout)
    gate: torch.Tensor | None  # (batch, tgt_len)
    weights: torch.Tensor | None  # (batch, heads, tgt_len, src_len), where the model reads them


class RecurrentDecoderSteps(GradientCheckpointingLayer):
    """
    The decoder's recurrence: from a state and embedded target tokens to attentional vectors and the next state.

    Step t, with the query `previous` (Bahdanau et al. 2015): c_t from s_(t-1), s_t = cell([E y_t; c_t], s_(t-1));
    `current` (Luong et al. 2015): s_t = cell(E y_t, s_(t-1)), c_t from s_t; `between` (Sennrich et al. 2017,
    "Nematus"): s'_t = cell(E y_t, s_(t-1)), c_t from s'_t, s_t = transition(c_t, s'_t), of which the first layer is
    made. Then readout(s_t, c_t, E y_t), which input feeding hands to the cell of the next step. With residual sums or
    normalisation, `previous` asks with the top cell's own state, `current` with the top layer's output.
    """

    def __init__(self, config: AttnSeq2SeqConfig) -> None:
        super().__init__()
        self.config = config
        self.attention = build_attention(config)
        self.asks_before = config.attention_query == "previous"
        sizes = [config.embedding_size]
        if self.asks_before:
            sizes.append(self.attention.context_size)
        if config.input_feeding:
            sizes.append(config.readout_size)
        self.input_sizes = [config.embedding_size] + [config.hidden_size] * (config.decoder_layers - 1)
        cell = CELLS[config.decoder_type]
        self.cells: Sequence[RecurrentCell] = nn.ModuleList(  # type: ignore[assignment]
            cell(sizes if index == 0 else [config.hidden_size], config.hidden_size)
            for index in range(config.decoder_layers)
        )
        self.transition: RecurrentCell | None = None
        if config.attention_query == "between":
            self.transition = cell([self.attention.context_size], config.hidden_size)
        self.norms = nn.ModuleList(
            nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps) if config.layer_norm else nn.Identity()
            for _ in range(config.decoder_layers)
        )
        self.readout = Readout(config)
        self.pointer: PointerGate | None = None
        if config.pointer:
            self.pointer = PointerGate(self.attention.context_size, config.hidden_size, config.embedding_size)

    def draw_dropout(self, like: torch.Tensor) -> list[LayerDropout]:
        """The masks that each layer keeps through a sequence."""
        hidden = self.config.hidden_size
        return [LayerDropout.draw(self.config, like, size, hidden, self.training) for size in self.input_sizes]

    def forward(
        self,
        embeds: torch.Tensor,
        state: torch.Tensor,
        attentional: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        memory_mask: torch.Tensor | None,
        step_mask: torch.Tensor | None,
        masks: list[LayerDropout],
        output_weights: bool,
        all_states: bool,
    ) -> StepsOutput:
        """
        Args:
            embeds: `(batch, tgt_len, embedding)`.
            state: `(batch, state_size)`: the state of each layer, then the attention's own.
            attentional: `(batch, readout)`: the attentional vector of the step before.
            keys, values: The projected source, `(batch, heads, src_len, dim)`.
            memory_mask: `(batch, src_len)` bool, or None.
            step_mask: `(batch, tgt_len)` bool: steps that are False leave every state as it was; or None.
            masks: [`draw_dropout`] of this sequence.
            output_weights: Whether weights are wanted.
            all_states: Whether the state after every step is wanted, not the last alone.
        """
        memory = self.attention.recall(keys, values, memory_mask)
        waits = self.transition is not None or (self.asks_before and self.attention.uses_query)
        at_once = not (self.config.input_feeding or all_states or waits)
        run = self.run_at_once if at_once and step_mask is None else self.run_stepwise
        return run(StepsInput(embeds, state, attentional, memory, step_mask, masks, output_weights, all_states))

    def can_loop(self, embeds: torch.Tensor, memory: Memory) -> bool:
        """
        Whether [`run_loop`] gives what [`run_stepwise`] would: in training, for the cells and attentions that it
        knows, where nobody watches or replaces their parts.
        """
        config, attention = self.config, self.attention
        if isinstance(attention, LocationAwareAttention):
            mask = memory.mask
            # Its convolution looks at neighbours: real ones must lie side by side.
            if attention.num_heads > 1 or (mask is not None and bool((mask[:, 1:] & ~mask[:, :-1]).any())):
                return False
        named = (getattr(attention, f"{name}_projection", None) for name in ("query", "output"))
        linears = [part for part in (self.readout.projection, *named) if part is not None]
        return (
            self.training
            and has_loop(embeds)
            and not self.gradient_checkpointing
            and type(attention) in LOOPED_ATTENTIONS
            and config.attention_normalizer == "softmax"
            and not config.attention_dropout
            and not (config.layer_norm and (config.input_feeding or len(self.cells) > 1))
            and (config.input_feeding or self.asks_before)
            and self.transition is None
            and not (config.input_feeding and config.readout != "tanh")
            and all(type(cell) in (GRUCell, LSTMCell) for cell in self.cells)
            and all(is_plain_linear(part) for cell in self.cells for part in cell.linears)
            and all(is_plain_linear(part) for part in linears)
            and not any(has_hooks(part) for part in self.modules())
        )

    def run_loop(
        self,
        embeds: torch.Tensor,
        state: torch.Tensor,
        memory: Memory,
        masks: list[LayerDropout],
        lengths: torch.Tensor | None,
    ) -> LoopOutput:
        """
        As [`run_stepwise`], without states.

        Args:
            embeds: `(batch, tgt_len, embedding)`.
            state: `(batch, state_size)`: the state of each layer.
            memory: The source.
            masks: [`draw_dropout`] of this sequence.
            lengths: Steps of each row that are wanted, `(batch,)`, at least one; None: all.
        """
        config, attention = self.config, self.attention
        cells = [cell for cell in self.cells if isinstance(cell, GatedCell)]
        batch, tgt_len = embeds.shape[:2]
        sizes = [tgt_len] * batch if lengths is None else lengths.tolist()
        order = sorted(range(batch), key=lambda row: -sizes[row])
        rows = tuple(sum(size > step for size in sizes) for step in range(max(sizes)))
        index = torch.tensor(
            [row * tgt_len + step for step, count in enumerate(rows) for row in order[:count]], device=embeds.device
        )
        if order != list(range(batch)):
            by_length = torch.tensor(order, device=embeds.device)
            state = state.index_select(0, by_length)
            keys = memory.keys.index_select(0, by_length)
            values = keys if memory.values is memory.keys else memory.values.index_select(0, by_length)
            mask = None if memory.mask is None else memory.mask.index_select(0, by_length)
            memory = memory._replace(keys=keys, values=values, mask=mask)
            masks = [
                LayerDropout(*(None if each is None else each.index_select(0, by_length) for each in layer))
                for layer in masks
            ]

        def take(states: torch.Tensor) -> torch.Tensor:
            return states.flatten(0, 1).index_select(0, index)

        def spread(mask: torch.Tensor) -> torch.Tensor:
            return torch.cat([mask[:count] for count in rows])

        words = take(embeds)
        plain_dropout = config.dropout if self.training and not config.variational_dropout else 0.0
        inputs = nn.functional.dropout(words, plain_dropout)
        if masks[0].inputs is not None:
            inputs = words * spread(masks[0].inputs)
        tensors = {
            "projected": cells[0].input_projections[0](inputs),
            "keys": memory.keys,
            "values": memory.values,
            "mask": memory.mask,
            "context": cells[0].input_projections[1].weight if self.asks_before else None,
            "feeding": cells[0].input_projections[-1].weight if config.input_feeding else None,
        }
        layers, _ = self.split_state(state, embeds.dtype)
        for layer, cell in enumerate(cells):
            tensors |= {f"state{layer}_{part}": value for part, value in enumerate(layers[layer])}
            tensors |= _linear(f"hidden{layer}", f"hidden_bias{layer}", cell.hidden_projection)
            tensors[f"recurrent_mask{layer}"] = masks[layer].recurrent
            if layer:
                tensors |= _linear(f"input{layer}", f"input_bias{layer}", cell.input_projections[0])
                if masks[layer].inputs is not None:
                    tensors[f"input_mask{layer}"] = spread(masks[layer].inputs)
                elif plain_dropout:
                    ones = words.new_ones(len(index), config.hidden_size)
                    tensors[f"input_mask{layer}"] = nn.functional.dropout(ones, plain_dropout)
        for name in ("query", "output"):
            tensors |= _linear(name, f"{name}_bias", getattr(attention, f"{name}_projection", None))
        if isinstance(attention, MultiHeadAttention):
            groups = attention.num_key_value_groups
            tensors["keys"] = repeat_groups(memory.keys, groups)
            tensors["values"] = repeat_groups(memory.values, groups)
        if isinstance(attention, AdditiveAttention):
            tensors["vector"] = attention.vector()
        if isinstance(attention, LocationAwareAttention):
            filters = attention.convolution.weight.squeeze(1)  # filters x kernel
            tensors["location"] = filters.t() @ attention.filter_projection[0]
        if config.input_feeding:
            tensors |= _linear("readout", "readout_bias", self.readout.projection)
        plan = LoopPlan(
            gates=cells[0].gates,
            layers=len(cells),
            hidden=config.hidden_size,
            asks_before=self.asks_before,
            feeding=config.input_feeding,
            residual=config.residual,
            heads=attention.num_heads,
            scaling=getattr(attention, "scaling", 1.0),
            rows=rows,
            shows=config.reads_weights,
        )
        outputs = run_steps(plan, {name: value for name, value in tensors.items() if value is not None})
        if config.input_feeding:
            attentional, *shown = outputs
        else:
            top = self.norms[-1](outputs[0])
            attentional, shown = self.readout(top, *outputs[1:2], words), [top, *outputs[1:]]

        def place(values: torch.Tensor) -> torch.Tensor:
            """`(P, size)` at their places in `(batch, tgt_len, size)`."""
            if tgt_len * batch == len(index):
                padded = torch.empty_like(values)
            else:
                padded = values.new_zeros(batch * tgt_len, values.shape[-1])
            return padded.index_copy(0, index, values).view(batch, tgt_len, -1)

        gate = weights = None
        if self.pointer is not None:
            gate = place(self.pointer(shown[1], shown[0], words).unsqueeze(-1)).squeeze(-1)
        if config.reads_weights:
            by_row = torch.tensor(sorted(range(batch), key=order.__getitem__), device=embeds.device)
            weights = nn.functional.pad(shown[2].index_select(0, by_row), (0, 0, 0, tgt_len - len(rows)))
        return LoopOutput(place(attentional), gate, weights)

    def split_state(self, state: torch.Tensor, dtype: torch.dtype) -> tuple[list[State], torch.Tensor | None]:
        """The layers' states, and the attention's (None without one), of a packed `(batch, state_size)`."""
        parts = self.cells[0].parts
        count = parts * len(self.cells)
        width = count * self.config.hidden_size
        attention = None if state.shape[1] == width else state[:, width:]
        each = (state if attention is None else state[:, :width]).to(dtype).chunk(count, dim=-1)
        return [each[start : start + parts] for start in range(0, count, parts)], attention

    @staticmethod
    def join_state(layers: list[State], attention: torch.Tensor | None) -> torch.Tensor:
        """The packed state of the layers' states and the attention's."""
        parts = [part for layer in layers for part in layer]
        if attention is None:
            return torch.cat(parts, dim=-1)
        dtype = torch.promote_types(parts[0].dtype, attention.dtype)
        return torch.cat([part.to(dtype) for part in (*parts, attention)], dim=-1)

    def run_at_once(self, call: StepsInput) -> StepsOutput:
        """No step waits for the attention of the one before: layers run over the whole target, then all steps ask."""
        embeds, memory, masks = call.embeds, call.memory, call.masks
        layers, attention_state = self.split_state(call.state, embeds.dtype)
        inputs = [drop(embeds, masks[0].inputs, self.config, self.training)]
        if self.asks_before:  # only where the context is the same at every step
            inputs.append(ask(self.attention, embeds, memory, None, True).context)
        layer_states: list[torch.Tensor] = []
        for index, (cell, norm) in enumerate(zip(self.cells, self.norms)):
            if index:
                record(cell, inputs=inputs[0])
            outputs, layers[index] = cell.run(inputs, layers[index], masks[index].recurrent)
            if self.config.residual and index:
                outputs = outputs + layer_states[-1]
            layer_states.append(norm(outputs))
            if index + 1 < len(self.cells):
                inputs = [drop(layer_states[-1], masks[index + 1].inputs, self.config, self.training)]
        out = ask(self.attention, layer_states[-1], memory, attention_state, call.output_weights)
        attentional = self.readout(layer_states[-1], out.context, embeds)
        joined = self.join_state(layers, out.state).unsqueeze(1)
        gate = None if self.pointer is None else self.pointer(out.context, layer_states[-1], embeds)
        return StepsOutput(attentional, tuple(layer_states), out.weights, joined, attentional[:, -1], gate)

    def run_stepwise(self, call: StepsInput) -> StepsOutput:
        """The plain loop."""
        config, embeds, memory, masks = self.config, call.embeds, call.memory, call.masks
        layers, attention_state = self.split_state(call.state, embeds.dtype)
        attentional = call.attentional
        dropped = drop(embeds, masks[0].inputs, config, self.training)
        first = self.cells[0]
        projected_embeds = first.input_projections[0](dropped).unbind(1)
        embedded = embeds.unbind(1)
        outputs: list[list[torch.Tensor]] = [[] for _ in self.cells]
        contexts, weights, states, attentionals = [], [], [], []
        for step in range(embeds.shape[1]):
            old = (layers, attention_state, attentional)
            layers = list(layers)
            projected = projected_embeds[step]
            if self.asks_before:
                query = self.cells[-1].output(layers[-1]).unsqueeze(1)
                out = ask(self.attention, query, memory, attention_state, call.output_weights)
                projected = projected + first.input_projections[1](out.context.squeeze(1))
            if config.input_feeding:
                projected = projected + first.input_projections[-1](attentional)
            for index, (cell, norm) in enumerate(zip(self.cells, self.norms)):
                if index:
                    inputs = drop(outputs[index - 1][-1], masks[index].inputs, config, self.training)
                    record(cell, inputs=inputs)
                    projected = cell.input_projections[0](inputs)
                layers[index] = cell.step(projected, layers[index], masks[index].recurrent)
                if index == 0 and self.transition is not None:
                    query = cell.output(layers[0]).unsqueeze(1)
                    out = ask(self.attention, query, memory, attention_state, call.output_weights)
                    projected = self.transition.input_projections[0](out.context.squeeze(1))
                    layers[0] = self.transition.step(projected, layers[0], masks[0].recurrent)
                output = cell.output(layers[index])
                if config.residual and index:
                    output = output + outputs[index - 1][-1]
                outputs[index].append(norm(output))
            if not self.asks_before and self.transition is None:
                query = outputs[-1][-1].unsqueeze(1)
                out = ask(self.attention, query, memory, attention_state, call.output_weights)
            attention_state = out.state
            contexts.append(out.context)
            if out.weights is not None:
                weights.append(out.weights)
            if config.input_feeding:
                attentional = self.readout(outputs[-1][-1], out.context.squeeze(1), embedded[step])
                attentionals.append(attentional)
            if call.step_mask is not None:
                live = call.step_mask[:, step : step + 1]
                layers = [
                    tuple(torch.where(live, new, kept) for new, kept in zip(layer, before))
                    for layer, before in zip(layers, old[0])
                ]
                if attention_state is not None:
                    attention_state = torch.where(live, attention_state, old[1])
                attentional = torch.where(live, attentional, old[2])
            if call.all_states or step + 1 == embeds.shape[1]:
                states.append(self.join_state(layers, attention_state))
        layer_states = tuple(torch.stack(each, dim=1) for each in outputs)
        if config.input_feeding:
            every = torch.stack(attentionals, dim=1)
        else:
            every = self.readout(layer_states[-1], torch.cat(contexts, dim=1), embeds)
            attentional = every[:, -1]
        return StepsOutput(
            every,
            layer_states,
            torch.cat(weights, dim=2) if weights else None,
            torch.stack(states, dim=1),
            attentional,
            None if self.pointer is None else self.pointer(torch.cat(contexts, dim=1), layer_states[-1], embeds),
        )


# Those whose step `step_loop.py` knows.
LOOPED_ATTENTIONS: tuple[type[Attention], ...] = (
    AdditiveAttention,
    ConcatAttention,
    DotAttention,
    GeneralAttention,
    LocationAwareAttention,
    MultiHeadAttention,
    ScaledDotAttention,
)


def _linear(weight: str, bias: str, layer: nn.Linear | None) -> dict[str, torch.Tensor | None]:
    """The tensors of a layer under names; of none, none."""
    return {} if layer is None else {weight: layer.weight, bias: layer.bias}


class RecurrentDecoder(nn.Module):
    """A stack of recurrent layers with one attention over the source, and its state in a Transformers cache."""

    def __init__(self, config: AttnSeq2SeqConfig) -> None:
        super().__init__()
        self.config = config
        self.steps = RecurrentDecoderSteps(config)
        self.bridge = Bridge(config, CELLS[config.decoder_type].parts)

    def forward(
        self,
        inputs_embeds: torch.Tensor,
        attention_mask: torch.Tensor | None,
        encoder_hidden_states: torch.Tensor,
        encoder_attention_mask: torch.Tensor | None,
        past_key_values: EncoderDecoderCache | None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        wanted_lengths: torch.Tensor | None = None,
        encoder_final_state: torch.Tensor | None = None,
        **kwargs: object,
    ) -> DecoderOutput:
        """
        Args:
            inputs_embeds: `(batch, tgt_len, embedding)`: the tokens not consumed yet.
            attention_mask: `(batch, past_len + tgt_len)`, nonzero on real target tokens; None: all are real.
            encoder_hidden_states: `(batch, src_len, encoder_hidden)`.
            encoder_attention_mask: `(batch, src_len)`, nonzero on real source tokens; None: all are real.
            past_key_values: Holds the state before these tokens, and takes the state after them; None: start anew.
            output_attentions: Whether the weights are wanted.
            output_hidden_states: Whether the states of each layer are wanted.
            wanted_lengths: `(batch,)`: how many steps of each row are, at least one; None: all. What lies beyond may
                be 0.
            encoder_final_state: `(batch, encoder_layers, parts, encoder_hidden)`, for bridges that read it.
        """
        steps, tgt_len = self.steps, inputs_embeds.shape[1]
        mask = None if encoder_attention_mask is None else encoder_attention_mask.bool()
        memory = recall_source(steps.attention, encoder_hidden_states, mask, past_key_values, 0)
        source = EncoderStates(encoder_hidden_states, encoder_final_state)
        state, attentional = self.recall_state(inputs_embeds, source, mask, memory, past_key_values)
        all_states = (
            past_key_values is not None and tgt_len > 1 and keeps_history(past_key_values.self_attention_cache)
        )

        step_mask = newest_mask(attention_mask, tgt_len)
        masks = steps.draw_dropout(inputs_embeds)
        output_mask = LayerDropout.draw(
            self.config, inputs_embeds, self.config.readout_size, self.config.hidden_size, self.training
        ).inputs
        alone = past_key_values is None and step_mask is None and not output_attentions and not output_hidden_states
        if alone and steps.can_loop(inputs_embeds, memory):
            made = steps.run_loop(inputs_embeds, state, memory, masks, wanted_lengths)
            attentional = drop(made.attentional, output_mask, self.config, self.training)
            return DecoderOutput(attentional, (), (), (), made.gate, _mean_of_heads(made.weights))
        chunk = tgt_len
        if steps.gradient_checkpointing and self.training:
            # Recomputing all steps at once would need as much memory as keeping them.
            chunk = math.ceil(math.sqrt(tgt_len))
        outputs = []
        for start in range(0, tgt_len, chunk):
            out = StepsOutput(
                *steps(
                    inputs_embeds[:, start : start + chunk],
                    state,
                    attentional,
                    memory.keys,
                    memory.values,
                    memory.mask,
                    None if step_mask is None else step_mask[:, start : start + chunk],
                    masks,
                    output_attentions or self.config.reads_weights,
                    all_states,
                )
            )
            state, attentional = out.states[:, -1], out.newest
            outputs.append(out)
        joined = outputs[0] if len(outputs) == 1 else _join_steps(outputs)
        if past_key_values is not None:
            every = joined.attentional if all_states else joined.newest.unsqueeze(1)
            write_state(past_key_values.self_attention_cache, joined.states, every, tgt_len)
        return DecoderOutput(
            drop(joined.attentional, output_mask, self.config, self.training),
            (inputs_embeds, *joined.layer_states),
            (),
            () if joined.weights is None else (joined.weights,),
            joined.gate,
            _mean_of_heads(joined.weights) if self.config.reads_weights else None,
        )

    def recall_state(
        self,
        inputs_embeds: torch.Tensor,
        source: EncoderStates,
        mask: torch.Tensor | None,
        memory: Memory,
        cache: EncoderDecoderCache | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        cached = None if cache is None else read_state(cache.self_attention_cache)
        if cached is not None and cached.is_start is None:
            return cached.state, cached.attentional.to(inputs_embeds.dtype)
        layers = self.bridge(source.hidden_states, mask, source.final_state)
        record(self.bridge, state=layers)
        state = self.steps.join_state([(layers,)], self.steps.attention.initial_state(memory))
        attentional = inputs_embeds.new_zeros(inputs_embeds.shape[0], self.config.readout_size)
        if cached is None:
            return state, attentional
        return (
            torch.where(cached.is_start, state, cached.state),
            torch.where(cached.is_start, attentional, cached.attentional.to(attentional.dtype)),
        )


def _join_steps(outputs: list[StepsOutput]) -> StepsOutput:
    last = outputs[-1]
    return StepsOutput(
        torch.cat([out.attentional for out in outputs], dim=1),
        tuple(torch.cat(layer, dim=1) for layer in zip(*(out.layer_states for out in outputs))),
        None
        if last.weights is None
        else torch.cat([out.weights for out in outputs if out.weights is not None], dim=2),
        torch.cat([out.states for out in outputs], dim=1),
        last.newest,
        None if last.gate is None else torch.cat([out.gate for out in outputs if out.gate is not None], dim=1),
    )


def _mean_of_heads(weights: torch.Tensor | None) -> torch.Tensor | None:
    return None if weights is None else weights.mean(1)
