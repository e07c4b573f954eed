# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Transformer encoder and decoder stacks (Vaswani et al. 2017); its cross-attention is any of the registry."""

import copy
from typing import NamedTuple

import torch
from torch import nn
from transformers.activations import ACT2FN
from transformers.cache_utils import Cache, EncoderDecoderCache
from transformers.masking_utils import create_bidirectional_mask, create_causal_mask
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .attention import DecoderOutput, ask, build_attention, eager_attention_forward, recall_source, split_heads
from .configuration_attn_seq2seq import AttnSeq2SeqConfig
from .recorder import record


def eager_config(config: AttnSeq2SeqConfig, output_attentions: bool) -> AttnSeq2SeqConfig:
    """The configuration to build masks with: eager where weights are wanted, for no fused kernel hands them out."""
    if not output_attentions or config._attn_implementation in (None, "eager"):
        return config
    eager = copy.copy(config)
    eager._attn_implementation = "eager"
    return eager


def sinusoids(positions: torch.Tensor, size: int) -> torch.Tensor:
    """PE(pos, 2i) = sin(pos / 10000^(2i / size)), PE(pos, 2i + 1) = cos(...) (Vaswani et al. 2017, section 3.5).

    `(batch or 1, length)` positions to `(batch or 1, length, size)`.
    """
    angles = rotary_angles(positions, size, 10000.0)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)


def rotary_angles(positions: torch.Tensor, size: int, base: float) -> torch.Tensor:
    """pos * base^(-2i / size): `(batch or 1, length)` to `(batch or 1, length, size / 2)`."""
    exponents = torch.arange(0, size, 2, device=positions.device, dtype=torch.float32) / size
    return positions.unsqueeze(-1).float() * base**-exponents


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


class Positions(nn.Module):
    """Puts positions on embeddings: sinusoidal or learned ones are added, rotary ones turn queries and keys later."""

    def __init__(self, config: AttnSeq2SeqConfig, width: int, heads: int) -> None:
        super().__init__()
        self.kind = config.position_type
        self.width = width
        self.head_dim = width // heads
        self.base = config.rope_theta
        self.max_positions = config.max_position_embeddings
        self.dropout = config.dropout
        if self.kind == "learned":
            self.embedding = nn.Embedding(self.max_positions, width)

    def forward(self, embeds: torch.Tensor, positions: torch.Tensor, past_len: int) -> torch.Tensor:
        """
        Scale `(batch, length, width)` embeddings by sqrt(width) and add positions `(batch or 1, length)`.

        Raises:
            ValueError: A sequence is longer than the learned positions reach.
        """
        hidden_states = embeds * self.width**0.5
        if self.kind == "sinusoidal":
            hidden_states = hidden_states + sinusoids(positions, self.width).to(embeds.dtype)
        elif self.kind == "learned":
            # A static cache counts in a tensor: generate() is checked beforehand.
            if isinstance(past_len, int) and past_len + embeds.shape[1] > self.max_positions:
                raise ValueError(
                    f"A sequence of {past_len + embeds.shape[1]} tokens is longer than "
                    f"max_position_embeddings={self.max_positions}: shorten it, or train with more learned positions."
                )
            hidden_states = hidden_states + self.embedding(positions)
        record(self, inputs=hidden_states)
        return nn.functional.dropout(hidden_states, self.dropout, self.training)

    def angles(self, positions: torch.Tensor) -> torch.Tensor | None:
        """Rotary angles `(batch or 1, length, head_dim / 2)`; None for other kinds."""
        return rotary_angles(positions, self.head_dim, self.base) if self.kind == "rotary" else None


def count_positions(mask: torch.Tensor | None, past_len: int, length: int, device: torch.device) -> torch.Tensor:
    """
    Rank of each of the newest `length` tokens among the real tokens, `(batch or 1, length)`.

    Args:
        mask: `(batch, past_len + length)`, nonzero on real tokens; None: all are real.
        past_len: Tokens consumed before.
    """
    if mask is None or mask.dim() != 2:
        return torch.arange(length, device=device).unsqueeze(0) + past_len
    return (mask.long().cumsum(-1) - 1).clamp(min=0)[:, -length:]


class SelfAttention(nn.Module):
    """Multi-head scaled dot-product self-attention (Vaswani et al. 2017, section 3.2) with grouped key-value heads."""

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


class FeedForward(nn.Module):
    """max(0, x W_1 + b_1) W_2 + b_2 (Vaswani et al. 2017, eq. 2), with any activation."""

    def __init__(self, config: AttnSeq2SeqConfig, width: int) -> None:
        super().__init__()
        self.dropout = config.activation_dropout
        self.activation = ACT2FN[config.hidden_act]
        self.input_projection = nn.Linear(width, config.intermediate_size)
        self.output_projection = nn.Linear(config.intermediate_size, width)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """`(batch, length, width)` to the same."""
        inner = self.activation(self.input_projection(hidden_states))
        return self.output_projection(nn.functional.dropout(inner, self.dropout, self.training))


class TransformerEncoderLayer(GradientCheckpointingLayer):
    """Self-attention and feed-forward, each with a residual sum and normalisation after (post) or before (pre) it."""

    def __init__(self, config: AttnSeq2SeqConfig) -> None:
        super().__init__()
        width = config.encoder_hidden_size
        self.pre_norm = config.norm_position == "pre"
        self.dropout = config.dropout
        heads, key_value_heads = config.encoder_attention_heads, config.encoder_key_value_heads
        self.self_attention = SelfAttention(config, width, heads, key_value_heads, causal=False)
        self.self_attention_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.feed_forward = FeedForward(config, width)
        self.feed_forward_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None,
        angles: torch.Tensor | None,
        output_attentions: bool = False,
    ) -> torch.Tensor:
        """`(batch, src_len, encoder_hidden)` to the same."""
        inputs = self.self_attention_norm(hidden_states) if self.pre_norm else hidden_states
        update, _ = self.self_attention(inputs, attention_mask, angles, output_attentions=output_attentions)
        hidden_states = hidden_states + nn.functional.dropout(update, self.dropout, self.training)
        if not self.pre_norm:
            hidden_states = self.self_attention_norm(hidden_states)
        update = self.feed_forward(self.feed_forward_norm(hidden_states) if self.pre_norm else hidden_states)
        hidden_states = hidden_states + nn.functional.dropout(update, self.dropout, self.training)
        if not self.pre_norm:
            hidden_states = self.feed_forward_norm(hidden_states)
        record(self, states=hidden_states)
        return hidden_states


class TransformerEncoder(nn.Module):
    """A stack of Transformer encoder layers over embedded source tokens."""

    def __init__(self, config: AttnSeq2SeqConfig) -> None:
        super().__init__()
        self.config = config
        self.positions = Positions(config, config.encoder_hidden_size, config.encoder_attention_heads)
        self.layers = nn.ModuleList(TransformerEncoderLayer(config) for _ in range(config.encoder_layers))
        pre = config.norm_position == "pre"
        self.norm = nn.LayerNorm(config.encoder_hidden_size, eps=config.layer_norm_eps) if pre else nn.Identity()

    def forward(
        self,
        inputs_embeds: torch.Tensor,
        attention_mask: torch.Tensor | None,
        output_attentions: bool = False,
        **kwargs: object,
    ) -> torch.Tensor:
        """
        Args:
            inputs_embeds: `(batch, src_len, embedding)`.
            attention_mask: `(batch, src_len)`, nonzero on real tokens; None: all are real.
            output_attentions: Whether the weights of each layer will be looked at, so that they must be computed.

        Returns:
            States `(batch, src_len, encoder_hidden)`.
        """
        ranks = count_positions(attention_mask, 0, inputs_embeds.shape[1], inputs_embeds.device)
        hidden_states = self.positions(inputs_embeds, ranks, 0)
        angles = self.positions.angles(ranks)
        mask = create_bidirectional_mask(
            config=eager_config(self.config, output_attentions),
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
        )
        for layer in self.layers:
            hidden_states = layer(hidden_states, mask, angles, output_attentions)
        return self.norm(hidden_states)


class TransformerDecoderLayerOutput(NamedTuple):
    """States of a decoder layer, and the weights where they were computed."""

    hidden_states: torch.Tensor  # (batch, tgt_len, hidden)
    attentions: torch.Tensor | None  # (batch, heads, tgt_len, past_len + tgt_len)
    cross_attentions: torch.Tensor | None  # (batch, heads, tgt_len, src_len)


class TransformerDecoderLayer(GradientCheckpointingLayer):
    """Self-attention, attention over the source, feed-forward (Vaswani et al. 2017, section 3.1)."""

    def __init__(self, config: AttnSeq2SeqConfig, layer_idx: int) -> None:
        super().__init__()
        width = config.hidden_size
        self.layer_idx = layer_idx
        self.pre_norm = config.norm_position == "pre"
        self.dropout = config.dropout
        self.self_attention = SelfAttention(
            config, width, config.num_attention_heads, config.num_key_value_heads, causal=True
        )
        self.self_attention_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.cross_attention = build_attention(config)
        # Multi-head attention ends in a projection of its own.
        own_output = config.attention_type == "multi_head"
        self.cross_output = nn.Identity() if own_output else nn.Linear(self.cross_attention.context_size, width)
        # What asks nothing is not normalised: a parameter without gradient would stop distributed training.
        unused = self.pre_norm and not self.cross_attention.uses_query
        self.cross_attention_norm = nn.Identity() if unused else nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.feed_forward = FeedForward(config, width)
        self.feed_forward_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None,
        angles: torch.Tensor | None,
        steps: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        memory_mask: torch.Tensor | None,
        past_key_values: EncoderDecoderCache | None = None,
        output_attentions: bool = False,
    ) -> TransformerDecoderLayerOutput:
        """
        Args:
            hidden_states: `(batch, tgt_len, hidden)`.
            attention_mask: Causal mask, as Transformers builds it for the implementation in use.
            angles: Rotary angles, or None.
            steps: `(batch or 1, tgt_len)`: the step of each token, for attentions that move with it.
            encoder_hidden_states: `(batch, src_len, encoder_hidden)`.
            memory_mask: `(batch, src_len)` bool, True on real source tokens, or None.
        """
        cache = None if past_key_values is None else past_key_values.self_attention_cache
        inputs = self.self_attention_norm(hidden_states) if self.pre_norm else hidden_states
        update, weights = self.self_attention(
            inputs, attention_mask, angles, cache, self.layer_idx, output_attentions=output_attentions
        )
        hidden_states = hidden_states + nn.functional.dropout(update, self.dropout, self.training)
        if not self.pre_norm:
            hidden_states = self.self_attention_norm(hidden_states)

        memory = recall_source(
            self.cross_attention, encoder_hidden_states, memory_mask, past_key_values, self.layer_idx
        )
        inputs = self.cross_attention_norm(hidden_states) if self.pre_norm else hidden_states
        steps = steps.expand(inputs.shape[0], -1).float()
        out = ask(self.cross_attention, inputs, memory, steps, output_attentions)
        record(self, residual=hidden_states)
        return TransformerDecoderLayerOutput(self.add_context(hidden_states, out.context), weights, out.weights)

    def add_context(self, hidden_states: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """
        The rest of the layer, once the source was looked at.

        Args:
            hidden_states: `(batch, tgt_len, hidden)`: the sum so far.
            context: `(batch, tgt_len, context)`: what the attention over the source answered.
        """
        update = self.cross_output(context)
        hidden_states = hidden_states + nn.functional.dropout(update, self.dropout, self.training)
        if not self.pre_norm:
            hidden_states = self.cross_attention_norm(hidden_states)

        update = self.feed_forward(self.feed_forward_norm(hidden_states) if self.pre_norm else hidden_states)
        hidden_states = hidden_states + nn.functional.dropout(update, self.dropout, self.training)
        if not self.pre_norm:
            hidden_states = self.feed_forward_norm(hidden_states)
        record(self, states=hidden_states)
        return hidden_states


class TransformerDecoder(nn.Module):
    """A stack of Transformer decoder layers."""

    def __init__(self, config: AttnSeq2SeqConfig) -> None:
        super().__init__()
        self.config = config
        self.positions = Positions(config, config.hidden_size, config.num_attention_heads)
        self.layers = nn.ModuleList(TransformerDecoderLayer(config, index) for index in range(config.decoder_layers))
        pre = config.norm_position == "pre"
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps) if pre else nn.Identity()

    def forward(
        self,
        inputs_embeds: torch.Tensor,
        attention_mask: torch.Tensor | None,
        encoder_hidden_states: torch.Tensor,
        encoder_attention_mask: torch.Tensor | None,
        past_key_values: EncoderDecoderCache | None,
        output_attentions: bool = False,
        **kwargs: object,
    ) -> DecoderOutput:
        """The arguments of [`RecurrentDecoder.forward`]; `attention_mask` may be a 4-dimensional one too."""
        cache = None if past_key_values is None else past_key_values.self_attention_cache
        past_len = 0 if cache is None else cache.get_seq_length()
        ranks = count_positions(attention_mask, past_len, inputs_embeds.shape[1], inputs_embeds.device)
        hidden_states = self.positions(inputs_embeds, ranks, past_len)
        angles = self.positions.angles(ranks)
        causal_mask = create_causal_mask(
            config=eager_config(self.config, output_attentions),
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            past_key_values=cache,
        )
        memory_mask = None if encoder_attention_mask is None else encoder_attention_mask.bool()
        states, attentions, cross_attentions = [hidden_states], [], []
        for layer in self.layers:
            out = TransformerDecoderLayerOutput(
                *layer(
                    hidden_states,
                    causal_mask,
                    angles,
                    ranks,
                    encoder_hidden_states,
                    memory_mask,
                    past_key_values=past_key_values,
                    output_attentions=output_attentions,
                )
            )
            hidden_states = out.hidden_states
            states.append(hidden_states)
            if output_attentions:
                attentions.append(out.attentions)
                if out.cross_attentions is not None:
                    cross_attentions.append(out.cross_attentions)
        hidden_states = self.norm(hidden_states)
        return DecoderOutput(hidden_states, (*states[:-1], hidden_states), tuple(attentions), tuple(cross_attentions))
