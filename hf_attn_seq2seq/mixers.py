# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
How the steps of a Transformer decoder layer learn of the steps before them: self-attention, or what stands in for it.

    outputs, weights = mixer(states, mask, angles, cache, layer_idx, output_attentions)

for one step or for all steps in one call, with `(batch, tgt_len, hidden)` states. Self-attention remembers the keys
and values of every token. The other kinds ([`StateMixer`]) remember one state of fixed size in each layer, so that a
step costs the same however long the target is; they have no weights to hand out.

A new kind is a subclass of [`ScanMixer`] that names a scan cell, or of [`StateMixer`] with `mix`; one entry in
`MIXERS`; and its name in the configuration's `DECODER_MIXERS`.
"""

from typing import ClassVar

import torch
from torch import nn
from transformers.activations import ACT2FN
from transformers.cache_utils import Cache
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .attention import at_least_single, eager_attention_forward, split_heads
from .cache_attn_seq2seq import keeps_history, read_state, write_state
from .cells import MinGRUCell, ScanCell, SSRUCell
from .configuration_attn_seq2seq import AttnSeq2SeqConfig
from .recorder import active_recorder, record


def rotate(states: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """
    Turn pair (i, i + head_dim / 2) of each head by the angle of its position (Su et al. 2021, eq. 34).

    Args:
        states: `(batch, heads, length, head_dim)`.
        angles: `(batch or 1, length, head_dim / 2)`.
    """
    cos, sin = angles.cos().to(states.dtype).unsqueeze(1), angles.sin().to(states.dtype).unsqueeze(1)
    first, second = states.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


class SelfAttention(nn.Module):
    """Multi-head scaled dot-product self-attention (Vaswani et al. 2017, section 3.2) with grouped key-value heads."""

    carries_state: ClassVar[bool] = False

    def __init__(self, config: AttnSeq2SeqConfig, width: int, heads: int, key_value_heads: int, causal: bool) -> None:
        super().__init__()
        self.config = config
        self.num_heads = heads
        self.num_key_value_heads = key_value_heads
        self.num_key_value_groups = heads // key_value_heads
        self.head_dim = width // heads
        self.scaling = self.head_dim**-0.5
        self.is_causal = causal
        self.query_projection = nn.Linear(width, width)
        self.key_projection = nn.Linear(width, key_value_heads * self.head_dim)
        self.value_projection = nn.Linear(width, key_value_heads * self.head_dim)
        self.output_projection = nn.Linear(width, width)

    @classmethod
    def of(cls, config: AttnSeq2SeqConfig) -> "SelfAttention":
        """That of a decoder layer."""
        return cls(config, config.hidden_size, config.num_attention_heads, config.num_key_value_heads, causal=True)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None,
        angles: torch.Tensor | None,
        cache: Cache | None = None,
        layer_idx: int = 0,
        output_attentions: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """
        Args:
            hidden_states: `(batch, length, width)`.
            attention_mask: As Transformers builds it for the implementation in use.
            angles: Rotary angles `(batch or 1, length, head_dim / 2)`, or None.
            cache: Holds the keys and values of earlier tokens.

        Returns:
            `(batch, length, width)` and the weights `(batch, heads, length, past_len + length)`, None from fused
            kernels.
        """
        queries = split_heads(self.query_projection(hidden_states), self.num_heads)
        keys = split_heads(self.key_projection(hidden_states), self.num_key_value_heads)
        values = split_heads(self.value_projection(hidden_states), self.num_key_value_heads)
        if angles is not None:
            queries, keys = rotate(queries, angles), rotate(keys, angles)
        if cache is not None:
            keys, values = cache.update(keys, values, layer_idx)
        implementation = "eager" if output_attentions else self.config._attn_implementation
        interface = ALL_ATTENTION_FUNCTIONS.get_interface(implementation, eager_attention_forward)
        output, weights = interface(
            self,
            queries,
            keys,
            values,
            attention_mask,
            dropout=self.config.attention_dropout if self.training else 0.0,
            scaling=self.scaling,
        )
        return self.output_projection(output.flatten(2)), weights


class StateMixer(nn.Module):
    """
    Base of the kinds that remember the earlier steps in one state `(batch, state_size)`, which begins with zeros.

    Attributes:
        state_size: Numbers per row in the state.
    """

    carries_state: ClassVar[bool] = True

    def __init__(self, config: AttnSeq2SeqConfig) -> None:
        super().__init__()
        self.config = config
        self.state_size = config.hidden_size

    def mix(
        self, hidden_states: torch.Tensor, mask: torch.Tensor | None, start: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        All steps, exactly as one after another.

        Args:
            hidden_states: `(batch, tgt_len, hidden)`.
            mask: `(batch, tgt_len)` bool: a step that is False leaves the state as it was, and its output has no
                meaning; None: all are real.
            start: The state before these steps, `(batch, state_size)`, in single precision or better.

        Returns:
            Outputs `(batch, tgt_len, hidden)`, and the states after each step `(batch, tgt_len, state_size)`.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no equations.")

    def forward(
        self,
        hidden_states: torch.Tensor,
        mask: torch.Tensor | None,
        angles: torch.Tensor | None = None,
        cache: Cache | None = None,
        layer_idx: int = 0,
        output_attentions: bool = False,
    ) -> tuple[torch.Tensor, None]:
        """
        Args:
            hidden_states: `(batch, tgt_len, hidden)`.
            mask: `(batch, tgt_len)` bool, True on real steps; None: all are real.
            angles: Not used: rotary angles turn queries and keys.
            cache: The self half of the decoder's cache: holds the state before these steps, takes that after them.
            layer_idx: The layer's place in the cache.
            output_attentions: Not used: there are no weights.

        Returns:
            `(batch, tgt_len, hidden)`, and None for the weights.
        """
        cached = None if cache is None else read_state(cache, layer_idx)
        if cached is None:
            start = at_least_single(hidden_states.new_zeros(hidden_states.shape[0], self.state_size))
        else:
            start = cached.state if cached.is_start is None else cached.state.masked_fill(cached.is_start, 0.0)
        outputs, states = self.mix(hidden_states, mask, start)
        if cache is not None:
            kept = states if keeps_history(cache, layer_idx) else states[:, -1:]
            write_state(cache, kept, kept[..., :0], hidden_states.shape[1], layer_idx)
        return outputs, None


class ScanMixer(StateMixer):
    """
    Base of the kinds that run a scan cell over the steps. Its output is added to the residual sum as it is, without a
    projection.
    """

    cell_type: ClassVar[type[ScanCell]]

    def __init__(self, config: AttnSeq2SeqConfig) -> None:
        super().__init__(config)
        self.cell = self.cell_type([config.hidden_size], config.hidden_size)

    def mix(
        self, hidden_states: torch.Tensor, mask: torch.Tensor | None, start: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        cell = self.cell
        projected = cell.project([hidden_states])
        if mask is None and hidden_states.shape[1] == 1:
            forget, enter = cell.coefficients(projected)
            states = forget * start.unsqueeze(1) + enter
        else:
            states = cell.scan(projected, start, mask)
        outputs = cell.output((states,))
        if active_recorder() is not None:
            before = (torch.cat([start.unsqueeze(1), states[:, :-1]], dim=1),)
            values = {**cell.gate_values(projected), **cell.state_values(before, (states,))}
            record(self, inputs=hidden_states, hidden_before=cell.output(before), hidden_after=outputs, **values)
        return outputs.to(hidden_states.dtype), states


class SSRUMixer(ScanMixer):
    """[`SSRUCell`], as in the students of Kim et al. 2019 and in Marian: h_t = relu(c_t) is the output."""

    cell_type = SSRUCell


class MinGRUMixer(ScanMixer):
    """[`MinGRUCell`] (Feng et al. 2024)."""

    cell_type = MinGRUCell


class AverageNetwork(StateMixer):
    """
    Average attention network (Zhang et al. 2018, section 3): the mean of the inputs so far, a feed-forward network,
    and gates that weigh it against the input: g_t = FFN((y_1 + ... + y_t) / t), h_t = i_t y_t + f_t g_t.

    The gates are Marian's: i_t = sigmoid(W_i y_t + b_i), f_t = sigmoid(W_f g_t + b_f). In the paper each sees both y_t
    and g_t. The state is the sum of the inputs and their number.
    """

    def __init__(self, config: AttnSeq2SeqConfig) -> None:
        super().__init__(config)
        width, inner = config.hidden_size, config.average_size or config.intermediate_size
        self.state_size = width + 1
        self.dropout = config.activation_dropout
        self.activation = ACT2FN[config.average_act or config.hidden_act]
        sizes = [width, *[inner] * config.average_layers]
        self.inner_projections = nn.ModuleList(nn.Linear(size, inner) for size in sizes[:-1])
        self.output_projection = nn.Linear(inner, width) if config.average_layers else nn.Identity()
        self.input_gate = nn.Linear(width, width) if config.average_gate else None
        self.forget_gate = nn.Linear(width, width) if config.average_gate else None

    def mix(
        self, hidden_states: torch.Tensor, mask: torch.Tensor | None, start: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        inputs = at_least_single(hidden_states)
        counted = torch.ones_like(inputs[..., :1])
        if mask is not None:
            counted = counted.masked_fill(~mask.unsqueeze(-1), 0.0)
            inputs = inputs.masked_fill(~mask.unsqueeze(-1), 0.0)
        states = torch.cat([inputs, counted], dim=-1)
        # One step, such as those of a traced graph, needs no running sum.
        states = (states if states.shape[1] == 1 else states.cumsum(1)) + start.unsqueeze(1)
        sums, count = states.split([self.config.hidden_size, 1], dim=-1)
        mean = (sums / count.clamp(min=1.0)).to(hidden_states.dtype)
        return self.gate(hidden_states, mean), states

    def gate(self, hidden_states: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
        """The outputs `(batch, tgt_len, hidden)` of inputs and their means so far, of the same shape."""
        network = mean
        for projection in self.inner_projections:
            inner = self.activation(projection(network))
            network = nn.functional.dropout(inner, self.dropout, self.training)
        network = self.output_projection(network)
        if self.input_gate is None or self.forget_gate is None:
            record(self, inputs=hidden_states, mean=mean, output=network)
            return network
        enter, forget = torch.sigmoid(self.input_gate(hidden_states)), torch.sigmoid(self.forget_gate(network))
        output = enter * hidden_states + forget * network
        record(self, inputs=hidden_states, mean=mean, network=network, input=enter, forget=forget, output=output)
        return output


MIXERS: dict[str, type[SelfAttention] | type[StateMixer]] = {
    "attention": SelfAttention,
    "ssru": SSRUMixer,
    "min_gru": MinGRUMixer,
    "average": AverageNetwork,
}


def build_mixer(config: AttnSeq2SeqConfig) -> SelfAttention | StateMixer:
    """The mixer of a decoder layer that `config.decoder_mixer` names."""
    mixer = MIXERS[config.decoder_mixer]
    return mixer.of(config) if issubclass(mixer, SelfAttention) else mixer(config)
