# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""A decoder's state as a Transformers cache: beams, assisted decoding and static caches work unaided."""

from functools import partial
from typing import Any, NamedTuple

import torch
from transformers.cache_utils import (
    Cache,
    CacheLayerMixin,
    DynamicCache,
    DynamicLayer,
    EncoderDecoderCache,
    StaticLayer,
)


class RecurrentStateLayer(DynamicLayer):
    """
    Cache layer that keeps the newest state only, and a history only while the past is recorded.

    `keys` hold the packed state `(batch, 1, steps, state_size)`, `values` a recurrent decoder's attentional vector
    `(batch, 1, steps, hidden)` (no numbers for other decoders); `steps` is 1 unless the past is recorded.
    `cumulative_length` counts all tokens consumed.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cumulative_length = 0
        self.record_past = False

    def activate_past_recording(self) -> None:
        """Keep every state from now on, so that [`crop`] can go back to any of them."""
        self.record_past = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, steps: int | None = None, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Take the states after each of the newest `steps` tokens, or after the last of them alone.

        Args:
            key_states: `(batch, 1, steps or 1, state_size)`.
            value_states: `(batch, 1, steps or 1, hidden)`.
            steps: Tokens consumed; `None` means `key_states.shape[2]`. While the past is recorded, all are needed.
        """
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.cumulative_length += key_states.shape[-2] if steps is None else steps
        if self.record_past:
            self.keys = torch.cat([self.keys, key_states], dim=-2)
            self.values = torch.cat([self.values, value_states], dim=-2)
        else:
            self.keys, self.values = key_states[..., -1:, :], value_states[..., -1:, :]
        return self.keys, self.values

    def advance(self, state: torch.Tensor, attentional: torch.Tensor) -> None:
        """
        Take the state `(batch, state_size)` and the attentional vector `(batch, hidden)` after one more token, where
        the past is not recorded.
        """
        keys, values = (part.view(part.shape[0], 1, 1, -1) for part in (state, attentional))
        self.keys, self.values = keys.to(self.dtype), values.to(self.dtype)
        self.cumulative_length += 1

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.cumulative_length + query_length, 0

    def get_seq_length(self) -> int:
        """Tokens consumed, whether or not their states are still held."""
        return self.cumulative_length

    def crop(self, tokens_to_remove: int) -> None:
        """
        Forget the newest `-tokens_to_remove` tokens, down to none at all; 0 changes nothing.

        Raises:
            ValueError: `tokens_to_remove` is positive.
            RuntimeError: The states asked for are no longer held.
        """
        if tokens_to_remove > 0:
            raise ValueError(f"crop takes a negative number of tokens to remove, not {tokens_to_remove}.")
        removed = -tokens_to_remove
        if removed == 0 or not self.is_initialized:
            return
        if removed >= self.cumulative_length:
            self.reset()
            return
        if removed >= self.keys.shape[-2]:
            raise RuntimeError(
                f"Cannot forget {removed} tokens: only the last {self.keys.shape[-2]} states are held. Call "
                "activate_past_recording() on the cache before decoding."
            )
        self.cumulative_length -= removed
        self.keys, self.values = self.keys[..., :-removed, :], self.values[..., :-removed, :]

    def batch_repeat_interleave(self, repeats: int) -> None:
        if self.is_initialized:
            super().batch_repeat_interleave(repeats)


class AttnSeq2SeqCache(DynamicCache):
    """
    The self half of the `EncoderDecoderCache` of a decoder that carries states: `layers` of [`RecurrentStateLayer`].

    A recurrent decoder packs the states of all its layers into one.
    """

    def __init__(self, layers: int = 1) -> None:
        super().__init__()
        self.layers = [RecurrentStateLayer() for _ in range(layers)]


class SharedSourceLayer(DynamicLayer):
    """
    Cross-attention layer of a search in which `copies` rows side by side read the same source, held once for all.

    `keys` and `values` are `(batch / copies, heads, src_len, dim)`. Beams that change places stay with their source,
    so nothing moves; rows that leave it turn the layer into an ordinary one, where `copies` is 1.
    """

    def __init__(self, copies: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.copies = copies
        self._by_row: tuple[torch.Tensor, torch.Tensor] | None = None

    def by_row(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values `(batch, heads, src_len, dim)`, one for each row; made once."""
        if self.copies == 1:
            return self.keys, self.values
        if self._by_row is None:
            keys, values = (part.repeat_interleave(self.copies, dim=0) for part in (self.keys, self.values))
            self._by_row = keys, values
        return self._by_row

    def reset(self) -> None:
        super().reset()
        self._by_row = None

    def reorder_cache(self, beam_idx: torch.LongTensor) -> None:
        if not self.is_initialized:
            return
        if self.copies > 1:
            rows = torch.arange(len(beam_idx), device=beam_idx.device)
            sources = [index.div(self.copies, rounding_mode="floor") for index in (beam_idx, rows)]
            if len(beam_idx) == len(self.keys) * self.copies and torch.equal(*sources):
                return
        self._select(beam_idx)

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        if self.is_initialized:
            self._select(indices)

    def batch_repeat_interleave(self, repeats: int) -> None:
        if self.copies > 1:
            self.copies *= repeats
            self._by_row = None
        elif self.is_initialized:
            super().batch_repeat_interleave(repeats)

    def _select(self, rows: torch.Tensor) -> None:
        self.keys, self.values = (part[rows.to(part.device)] for part in self.by_row())
        self.copies, self._by_row = 1, None


class SharedSourceCache(DynamicCache):
    """The cross half of a search with several rows a source: [`SharedSourceLayer`]s."""

    def __init__(self, copies: int) -> None:
        super().__init__()
        self.copies = copies
        self.layer_class_to_replicate = partial(SharedSourceLayer, copies)  # type: ignore[assignment]


class CachedState(NamedTuple):
    """The newest entry of a cache. `is_start` is None where it is known to hold one, else a scalar bool tensor."""

    state: torch.Tensor  # (batch, state_size)
    attentional: torch.Tensor  # (batch, hidden), or (batch, 0) where there is none
    is_start: torch.Tensor | None


def new_state_cache(layers: int = 1) -> EncoderDecoderCache:
    """
    An empty cache for a decoder that carries states: these in the self half, the projected source in the cross half.
    """
    return EncoderDecoderCache(AttnSeq2SeqCache(layers), DynamicCache())


def read_state(cache: Cache, layer_idx: int = 0) -> CachedState | None:
    """
    Return the newest state of a layer of the self half `cache`, or None where nothing was consumed; takes stock layers
    too.
    """
    layer = cache.layers[layer_idx] if layer_idx < len(cache.layers) else None
    if not isinstance(layer, CacheLayerMixin) or not layer.is_initialized:
        return None
    if isinstance(layer, StaticLayer):
        # A tensor, not a number: the compiled step must not depend on its value.
        length = layer.cumulative_length
        newest = (length - 1).clamp(min=0).reshape(1)
        state, attentional = (part.index_select(2, newest)[:, 0, 0] for part in (layer.keys, layer.values))
        return CachedState(state, attentional, length == 0)
    if layer.get_seq_length() == 0:
        return None
    return CachedState(layer.keys[:, 0, -1], layer.values[:, 0, -1], None)


def keeps_history(cache: Cache, layer_idx: int = 0) -> bool:
    """Whether a layer of the self half `cache` wants the state after every token, not after the newest alone."""
    layer = cache.layers[layer_idx] if layer_idx < len(cache.layers) else None
    return not isinstance(layer, RecurrentStateLayer) or layer.record_past


def write_state(cache: Cache, states: torch.Tensor, attentional: torch.Tensor, steps: int, layer_idx: int = 0) -> None:
    """
    Store the states after `steps` new tokens in a layer of the self half `cache`.

    Args:
        states: `(batch, steps, state_size)` where [`keeps_history`], else `(batch, 1, state_size)`.
        attentional: `(batch, steps or 1, hidden)`, likewise; `(batch, steps or 1, 0)` where there is none.
        steps: Number of tokens consumed.
    """
    extra = {} if keeps_history(cache, layer_idx) else {"steps": steps}
    # At least single precision: it holds sums and counts, and a static cache takes one type for good.
    dtype = torch.promote_types(torch.promote_types(states.dtype, attentional.dtype), torch.float32)
    cache.update(states.to(dtype).unsqueeze(1), attentional.to(dtype).unsqueeze(1), layer_idx, **extra)
