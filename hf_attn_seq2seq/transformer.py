# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Transformer encoder and decoder stacks (Vaswani et al. 2017).

The decoder's attention over the source is any of `ATTENTIONS`, and what mixes its own steps any of `MIXERS`.
"""

import copy
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers.activations import ACT2FN
from transformers.cache_utils import EncoderDecoderCache
from transformers.masking_utils import create_bidirectional_mask, create_causal_mask
from transformers.modeling_layers import GradientCheckpointingLayer

from .attention import (
    DecoderOutput,
    EncoderLayerOutput,
    EncoderStates,
    ask,
    build_attention,
    newest_mask,
    recall_source,
)
from .configuration_attn_seq2seq import AttnSeq2SeqConfig
from .mixers import SelfAttention, build_mixer
from .pointer import PointerGate
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


def sinusoids_concatenated(positions: torch.Tensor, size: int) -> torch.Tensor:
    """
    The numbers of [`sinusoids`], all sines before all cosines, as in Sockeye.

    `(batch or 1, length)` positions to `(batch or 1, length, size)`.
    """
    angles = rotary_angles(positions, size, 10000.0)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def sinusoids_in_halves(positions: torch.Tensor, size: int) -> torch.Tensor:
    """
    PE(pos, i) = sin(pos / 10000^(i / (size / 2 - 1))), PE(pos, size / 2 + i) = cos(...), as in Marian and
    Tensor2Tensor: the slowest wave has length 2 pi 10000, which the paper's misses by a little.

    `(batch or 1, length)` positions to `(batch or 1, length, size)`.
    """
    exponents = torch.arange(size // 2, device=positions.device, dtype=torch.float32) / (size // 2 - 1)
    angles = positions.unsqueeze(-1).float() * 10000.0**-exponents
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


SINUSOIDS = {
    "sinusoidal": sinusoids,
    "sinusoidal_concat": sinusoids_concatenated,
    "sinusoidal_halves": sinusoids_in_halves,
}


def rotary_angles(positions: torch.Tensor, size: int, base: float) -> torch.Tensor:
    """pos * base^(-2i / size): `(batch or 1, length)` to `(batch or 1, length, size / 2)`."""
    exponents = torch.arange(0, size, 2, device=positions.device, dtype=torch.float32) / size
    return positions.unsqueeze(-1).float() * base**-exponents


class Positions(nn.Module):
    """Puts positions on embeddings: sinusoidal or learned ones are added, rotary ones turn queries and keys later."""

    def __init__(self, config: AttnSeq2SeqConfig, width: int, heads: int) -> None:
        super().__init__()
        self.kind = config.position_type
        self.width = width
        self.scale = width**0.5 if config.scale_embeddings else 1.0
        self.head_dim = width // heads
        self.base = config.rope_theta
        self.max_positions = config.max_position_embeddings
        self.offset = config.position_offset
        self.dropout = config.dropout
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps) if config.embedding_norm else nn.Identity()
        if self.kind == "learned":
            self.embedding = nn.Embedding(self.max_positions, width)

    def forward(self, embeds: torch.Tensor, positions: torch.Tensor, past_len: int) -> torch.Tensor:
        """
        Scale `(batch, length, width)` embeddings by sqrt(width), add positions `(batch or 1, length)`, and normalize
        the sum, each where the configuration says so.

        Raises:
            ValueError: A sequence is longer than the learned positions reach.
        """
        hidden_states = embeds * self.scale
        if self.kind in SINUSOIDS:
            places = positions + self.offset if self.offset else positions
            hidden_states = hidden_states + SINUSOIDS[self.kind](places, self.width).to(embeds.dtype)
        elif self.kind == "learned":
            # A static cache counts in a tensor: generate() is checked beforehand.
            if isinstance(past_len, int) and past_len + embeds.shape[1] > self.max_positions:
                raise ValueError(
                    f"A sequence of {past_len + embeds.shape[1]} tokens is longer than "
                    f"max_position_embeddings={self.max_positions}: shorten it, or train with more learned positions."
                )
            hidden_states = hidden_states + self.embedding(positions)
        hidden_states = self.norm(hidden_states)
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


class FeedForward(nn.Module):
    """max(0, x W_1 + b_1) W_2 + b_2 (Vaswani et al. 2017, eq. 2), with any activation."""

    def __init__(self, config: AttnSeq2SeqConfig, width: int, inner: int) -> None:
        super().__init__()
        self.dropout = config.activation_dropout
        self.activation = ACT2FN[config.hidden_act]
        self.input_projection = nn.Linear(width, inner)
        self.output_projection = nn.Linear(inner, width)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """`(batch, length, width)` to the same."""
        inner = self.activation(self.input_projection(hidden_states))
        return self.output_projection(nn.functional.dropout(inner, self.dropout, self.training))


def residual_sum(
    layer: "TransformerEncoderLayer | TransformerDecoderLayer", hidden_states: torch.Tensor, update: torch.Tensor
) -> torch.Tensor:
    """alpha x + f(x), for the parts of a layer: alpha is 1, or more in DeepNorm (Wang et al. 2022)."""
    update = nn.functional.dropout(update, layer.dropout, layer.training)
    return torch.add(update, hidden_states, alpha=layer.alpha)


class TransformerEncoderLayer(GradientCheckpointingLayer):
    """Self-attention and feed-forward, each with a residual sum and normalisation after (post) or before (pre) it."""

    def __init__(self, config: AttnSeq2SeqConfig) -> None:
        super().__init__()
        width = config.encoder_hidden_size
        self.pre_norm = config.norm_position == "pre"
        self.alpha = config.encoder_residual_alpha
        self.dropout = config.dropout
        heads, key_value_heads = config.encoder_attention_heads, config.encoder_key_value_heads
        self.self_attention = SelfAttention(config, width, heads, key_value_heads, causal=False)
        self.self_attention_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.feed_forward = FeedForward(config, width, config.encoder_intermediate_size)
        self.feed_forward_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None,
        angles: torch.Tensor | None,
        output_attentions: bool = False,
    ) -> EncoderLayerOutput:
        """`(batch, src_len, encoder_hidden)` to the same."""
        inputs = self.self_attention_norm(hidden_states) if self.pre_norm else hidden_states
        update, _ = self.self_attention(inputs, attention_mask, angles, output_attentions=output_attentions)
        hidden_states = residual_sum(self, hidden_states, update)
        if not self.pre_norm:
            hidden_states = self.self_attention_norm(hidden_states)
        update = self.feed_forward(self.feed_forward_norm(hidden_states) if self.pre_norm else hidden_states)
        hidden_states = residual_sum(self, hidden_states, update)
        if not self.pre_norm:
            hidden_states = self.feed_forward_norm(hidden_states)
        record(self, states=hidden_states)
        return EncoderLayerOutput(hidden_states)


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
    ) -> EncoderStates:
        """
        Args:
            inputs_embeds: `(batch, src_len, embedding)`.
            attention_mask: `(batch, src_len)`, nonzero on real tokens; None: all are real.
            output_attentions: Whether the weights of each layer will be looked at, so that they must be computed.
        """
        ranks = count_positions(attention_mask, 0, inputs_embeds.shape[1], inputs_embeds.device)
        hidden_states = self.positions(inputs_embeds, ranks, 0)
        angles = self.positions.angles(ranks)
        # All tokens look at the same ones: a row of the mask is enough, where one for each would be their square.
        mask = create_bidirectional_mask(
            config=eager_config(self.config, output_attentions),
            inputs_embeds=inputs_embeds[:, :1],
            attention_mask=attention_mask,
            encoder_hidden_states=inputs_embeds,
        )
        for layer in self.layers:
            hidden_states = EncoderLayerOutput(*layer(hidden_states, mask, angles, output_attentions)).hidden_states
        return EncoderStates(self.norm(hidden_states), mask=attention_mask)


class TransformerDecoderLayerOutput(NamedTuple):
    """States of a decoder layer, and the weights where they were computed."""

    hidden_states: torch.Tensor  # (batch, tgt_len, hidden)
    attentions: torch.Tensor | None  # (batch, heads, tgt_len, past_len + tgt_len); None without self-attention
    cross_attentions: torch.Tensor | None  # (batch, heads, tgt_len, src_len)
    context: torch.Tensor  # (batch, tgt_len, context_size): what the attention over the source answered


class TransformerDecoderLayer(GradientCheckpointingLayer):
    """
    Self-attention or another mixer, attention over the source, feed-forward (Vaswani et al. 2017, section 3.1).

    Self-attention and its norm have names of their own, which are those of saved models.
    """

    def __init__(self, config: AttnSeq2SeqConfig, layer_idx: int) -> None:
        super().__init__()
        width = config.hidden_size
        self.layer_idx = layer_idx
        self.pre_norm = config.norm_position == "pre"
        self.alpha = config.residual_alpha
        self.dropout = config.dropout
        self.mixer_name = "mixer" if config.carries_state else "self_attention"
        self.add_module(self.mixer_name, build_mixer(config))
        self.add_module(f"{self.mixer_name}_norm", nn.LayerNorm(width, eps=config.layer_norm_eps))
        self.cross_attention = build_attention(config)
        self.shows_weights = config.reads_weights and layer_idx == config.decoder_layers - 1
        projects = self.cross_attention.projects
        self.cross_output = nn.Identity() if projects else nn.Linear(self.cross_attention.context_size, width)
        # What asks nothing is not normalised: a parameter without gradient would stop distributed training.
        unused = self.pre_norm and not self.cross_attention.uses_query
        self.cross_attention_norm = nn.Identity() if unused else nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.feed_forward = FeedForward(config, width, config.intermediate_size)
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
            attention_mask: The mask that the mixer takes, or None.
            angles: Rotary angles, or None.
            steps: `(batch or 1, tgt_len)`: the step of each token, for attentions that move with it.
            encoder_hidden_states: `(batch, src_len, encoder_hidden)`.
            memory_mask: `(batch, src_len)` bool, True on real source tokens, or None.
        """
        cache = None if past_key_values is None else past_key_values.self_attention_cache
        mixer, norm = getattr(self, self.mixer_name), getattr(self, f"{self.mixer_name}_norm")
        inputs = norm(hidden_states) if self.pre_norm else hidden_states
        update, weights = mixer(inputs, attention_mask, angles, cache, self.layer_idx, output_attentions)
        hidden_states = residual_sum(self, hidden_states, update)
        if not self.pre_norm:
            hidden_states = norm(hidden_states)

        memory = recall_source(
            self.cross_attention, encoder_hidden_states, memory_mask, past_key_values, self.layer_idx
        )
        inputs = self.cross_attention_norm(hidden_states) if self.pre_norm else hidden_states
        out = ask(self.cross_attention, inputs, memory, None, output_attentions or self.shows_weights, steps)
        record(self, residual=hidden_states)
        added = self.add_context(hidden_states, out.context)
        return TransformerDecoderLayerOutput(added, weights, out.weights, out.context)

    def add_context(self, hidden_states: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """
        The rest of the layer, once the source was looked at.

        Args:
            hidden_states: `(batch, tgt_len, hidden)`: the sum so far.
            context: `(batch, tgt_len, context)`: what the attention over the source answered.
        """
        update = self.cross_output(context)
        hidden_states = residual_sum(self, hidden_states, update)
        if not self.pre_norm:
            hidden_states = self.cross_attention_norm(hidden_states)

        update = self.feed_forward(self.feed_forward_norm(hidden_states) if self.pre_norm else hidden_states)
        hidden_states = residual_sum(self, hidden_states, update)
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
        self.pointer: PointerGate | None = None
        if config.pointer:
            self.pointer = PointerGate(config.context_size, config.hidden_size, config.embedding_size)

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
        """
        The arguments of [`RecurrentDecoder.forward`]; with self-attention, `attention_mask` may be a 4-dimensional one
        too.
        """
        cache = None if past_key_values is None else past_key_values.self_attention_cache
        past_len = 0 if cache is None else cache.get_seq_length()
        ranks = count_positions(attention_mask, past_len, inputs_embeds.shape[1], inputs_embeds.device)
        hidden_states = self.positions(inputs_embeds, ranks, past_len)
        angles = self.positions.angles(ranks)
        mask: Any
        if self.config.carries_state:
            mask = newest_mask(attention_mask, inputs_embeds.shape[1])
        else:
            mask = create_causal_mask(
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
                    mask,
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
                if out.attentions is not None:
                    attentions.append(out.attentions)
                if out.cross_attentions is not None:
                    cross_attentions.append(out.cross_attentions)
        hidden_states = self.norm(hidden_states)
        weights = None
        if self.config.reads_weights:
            assert out.cross_attentions is not None
            weights = out.cross_attentions.mean(1)
        return DecoderOutput(
            hidden_states,
            (*states[:-1], hidden_states),
            tuple(attentions),
            tuple(cross_attentions),
            None if self.pointer is None else self.pointer(out.context, hidden_states, inputs_embeds),
            weights,
        )
