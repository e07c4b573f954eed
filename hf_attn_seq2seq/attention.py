# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
The attentions of the literature, one class each, under one contract.

    memory = attention.memory(encoder_states, mask)      # once per source: projected keys, values, mask
    out = attention(query, memory, state)                # context, weights, scores, new state

for one step or for all steps in one call. Nothing is stored on the module, so it can be called twice at once. Weights
are handed out as they were before dropout: a row sums to 1 over real source positions and is exactly 0 on padding;
where all is padding, the weights and the sum of values are 0.

A new kind is one class with `score` (or `forward`), one entry in `ATTENTIONS`, and its name in the configuration's
`ATTENTION_TYPES`.
"""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import torch
from torch import nn
from transformers import initialization as init
from transformers.cache_utils import EncoderDecoderCache
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils.import_utils import is_tracing

from .cache_attn_seq2seq import SharedSourceCache, SharedSourceLayer
from .configuration_attn_seq2seq import AttnSeq2SeqConfig
from .energy import additive_scores
from .recorder import active_recorder, record


class Memory(NamedTuple):
    """What an attention knows of the source."""

    keys: torch.Tensor  # (batch, heads, src_len, key_dim)
    values: torch.Tensor  # (batch, heads, src_len, value_dim)
    mask: torch.Tensor | None  # (batch, src_len), True on real tokens; None: all are real
    positions: torch.Tensor | None  # (batch, src_len), rank among the real tokens; only for kinds that use position


class AttentionOutput(NamedTuple):
    """What an attention answers."""

    context: torch.Tensor  # (batch, tgt_len, context_size)
    # (batch, heads, tgt_len, src_len), before dropout; None from a fused kernel or without attention
    weights: torch.Tensor | None
    scores: torch.Tensor | None  # the same shape, before normalisation and masking; None likewise
    state: torch.Tensor | None  # (batch, state_size); None for kinds without a running state


# --------------------------------------------------------------------------------------------------------------------
# Scores to weights
# --------------------------------------------------------------------------------------------------------------------


def softmax(scores: torch.Tensor) -> torch.Tensor:
    """exp(z_j) / sum_k exp(z_k) over the last dimension; `(..., n)` to `(..., n)`."""
    return torch.softmax(scores, dim=-1)


def sparsemax(scores: torch.Tensor) -> torch.Tensor:
    """
    Euclidean projection of `(..., n)` scores onto the simplex (Martins and Astudillo 2016, algorithm 1).

    The support is found without gradient; the threshold is then recomputed from it, so that autograd gives the
    paper's Jacobian.
    """
    # Nothing below max - 1 is in the support, so the clamp is exact, and it keeps sums of masked scores finite.
    z = (scores - scores.amax(dim=-1, keepdim=True).detach()).clamp(min=-2.0)
    with torch.no_grad():
        ordered = z.sort(dim=-1, descending=True).values
        ranks = torch.arange(1, z.shape[-1] + 1, device=z.device, dtype=z.dtype)
        # At least 1, so that a NaN passes through as it does through softmax.
        size = (1 + ranks * ordered > ordered.cumsum(-1)).sum(-1, keepdim=True).clamp(min=1)
        support = z >= ordered.gather(-1, size - 1)
    threshold = (z.masked_fill(~support, 0.0).sum(-1, keepdim=True) - 1) / support.sum(-1, keepdim=True)
    return (z - threshold).clamp(min=0.0)


def entmax15(scores: torch.Tensor) -> torch.Tensor:
    """1.5-entmax of `(..., n)` scores, exactly, by sorting (Peters et al. 2019, algorithm 2)."""
    z = ((scores - scores.amax(dim=-1, keepdim=True).detach()) / 2).clamp(min=-2.0)
    with torch.no_grad():
        ordered = z.sort(dim=-1, descending=True).values
        ranks = torch.arange(1, z.shape[-1] + 1, device=z.device, dtype=z.dtype)
        thresholds = _entmax15_threshold(ordered.cumsum(-1), ordered.square().cumsum(-1), ranks)
        size = (thresholds <= ordered).sum(-1, keepdim=True).clamp(min=1)
        support = z >= ordered.gather(-1, size - 1)
    inside = z.masked_fill(~support, 0.0)
    threshold = _entmax15_threshold(
        inside.sum(-1, keepdim=True), inside.square().sum(-1, keepdim=True), support.sum(-1, keepdim=True)
    )
    return (z - threshold).clamp(min=0.0).square()


def _entmax15_threshold(total: torch.Tensor, squares: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    count = count.to(total.dtype)  # 1 / an integer tensor would be in single precision
    mean = total / count
    variance = squares / count - mean.square()
    # Where the candidate support is too large the root is of a negative number: any threshold above it rejects it.
    return mean - (1 / count - variance).clamp(min=1e-12).sqrt()


NORMALIZERS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "softmax": softmax,
    "sparsemax": sparsemax,
    "entmax15": entmax15,
}


def at_least_single(numbers: torch.Tensor) -> torch.Tensor:
    """The same numbers, half precision turned into single."""
    return numbers.to(torch.promote_types(numbers.dtype, torch.float32))


def normalize(scores: torch.Tensor, mask: torch.Tensor | None, name: str = "softmax") -> torch.Tensor:
    """
    Turn scores into weights that are exactly 0 where `mask` is False.

    Args:
        scores: `(batch, heads, tgt_len, src_len)`; half precision is normalised in single precision.
        mask: Bool, broadcastable to the scores, True where a position may be looked at; None: everywhere.
        name: A key of `NORMALIZERS`.
    """
    dtype = scores.dtype
    scores = at_least_single(scores)
    if mask is None:
        return NORMALIZERS[name](scores).to(dtype)
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    # The second fill only matters for rows that are all padding: 0, not 1 / src_len.
    return NORMALIZERS[name](scores).masked_fill(~mask, 0.0).to(dtype)


# --------------------------------------------------------------------------------------------------------------------
# The contract
# --------------------------------------------------------------------------------------------------------------------


class Attention(nn.Module):
    """
    Base of all kinds: project the source, score, normalise, sum.

    Attributes:
        projects: True where the kind ends in a projection to the decoder's width.
        uses_query: False where the context is the same for every query.
        uses_positions: True where weights depend on the order of source positions, not on the states alone.
        running: True where a step needs the weights of the steps before it.
        moves_on: True where a state passes from step to step, so that queries cannot be answered in any order.
    """

    projects: ClassVar[bool] = False
    uses_query: ClassVar[bool] = True
    uses_positions: ClassVar[bool] = False
    running: ClassVar[bool] = False
    moves_on: ClassVar[bool] = False

    def __init__(self, config: AttnSeq2SeqConfig) -> None:
        super().__init__()
        self.config = config
        self.num_heads = config.num_attention_heads
        self.query_size = config.hidden_size
        self.state_width = config.encoder_hidden_size
        self.context_size = config.context_size
        self.inner_size = config.attention_size
        self.dropout = config.attention_dropout

    def project(self, encoder_states: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values `(batch, heads, src_len, dim)` of `(batch, src_len, encoder_hidden)` states."""
        states = split_heads(encoder_states, self.num_heads)
        return states, states

    def memory(self, encoder_states: torch.Tensor, mask: torch.Tensor | None = None) -> Memory:
        """
        Project the source once.

        Args:
            encoder_states: `(batch, src_len, encoder_hidden)`.
            mask: `(batch, src_len)`, nonzero or True on real tokens; None: all are real.
        """
        mask = None if mask is None else mask.bool()
        return self.recall(*self.project(encoder_states, mask), mask)

    def recall(self, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None) -> Memory:
        """The memory of keys and values that were projected before."""
        positions = None
        if self.uses_positions:
            real = keys.new_ones(keys.shape[0], keys.shape[2], dtype=torch.long) if mask is None else mask.long()
            positions = (real.cumsum(-1) - 1).clamp(min=0)
        return Memory(keys, values, mask, positions)

    def memory_length(self, src_len: int) -> int:
        """Number of memory slots for a source of `src_len` tokens."""
        return src_len

    def state_size(self, src_len: int) -> int:
        """Numbers per row in the running state; 0 without one."""
        return 0

    def initial_state(self, memory: Memory) -> torch.Tensor | None:
        """The state before the first step, `(batch, state_size)`; None without one."""
        return None

    def score(self, query: torch.Tensor, memory: Memory) -> torch.Tensor:
        """Scores `(batch, heads, tgt_len, src_len)` of queries `(batch, tgt_len, hidden)`."""
        raise ValueError(f"{type(self).__name__} computes its weights without scores.")

    def forward(
        self,
        query: torch.Tensor,
        memory: Memory,
        state: torch.Tensor | None = None,
        output_weights: bool = True,
        steps: torch.Tensor | None = None,
    ) -> AttentionOutput:
        """
        Attend.

        Args:
            query: `(batch, tgt_len, hidden)`: one step or all of them.
            memory: From [`memory`] or [`recall`].
            state: `(batch, state_size)` from the step before; None at the first step.
            output_weights: False lets kinds with a fused kernel leave out weights and scores.
            steps: `(batch or 1, tgt_len)`: the step of each query, where a decoder knows it; None: those that follow
                on the state's.
        """
        scores = self.score(query, memory)
        weights = normalize(scores, key_mask(memory.mask), self.config.attention_normalizer)
        return self.attend(weights, memory, scores, None)

    def attend(
        self, weights: torch.Tensor, memory: Memory, scores: torch.Tensor | None, state: torch.Tensor | None
    ) -> AttentionOutput:
        """Sum the values by the weights, of which dropout leaves some out; those handed out are whole."""
        weights = self.settle(weights)
        used = nn.functional.dropout(weights, p=self.dropout, training=self.training)
        sums = used @ memory.values
        recorder = active_recorder()
        if recorder is not None:
            sums = recorder.edit_heads(self, sums)
        context = merge_heads(sums)
        record(
            self,
            scaled=scores,
            weights=used,
            keys=memory.keys,
            values=memory.values,
            head_context=sums,
            context=context,
        )
        return AttentionOutput(context, weights, scores, state)

    def settle(self, weights: torch.Tensor) -> torch.Tensor:
        """The weights to go on with: these, unless an active recorder asks what others would do."""
        recorder = active_recorder()
        return weights if recorder is None else recorder.edit_weights(self, weights)

    def init_weights(self) -> None:
        """Initialise bare Parameters (Linear parts are the model's business)."""


def split_heads(states: torch.Tensor, heads: int) -> torch.Tensor:
    """`(batch, length, heads * dim)` to `(batch, heads, length, dim)`."""
    # view, not unflatten: torch.onnx takes the shape that unflatten gives for fixed.
    return states.view(*states.shape[:-1], heads, -1).transpose(1, 2)


def merge_heads(states: torch.Tensor) -> torch.Tensor:
    """`(batch, heads, length, dim)` to `(batch, length, heads * dim)`."""
    return states.transpose(1, 2).flatten(2)


def key_mask(mask: torch.Tensor | None) -> torch.Tensor | None:
    """`(batch, src_len)` to `(batch, 1, 1, src_len)`."""
    return None if mask is None else mask[:, None, None, :]


def summarize(states: torch.Tensor, mask: torch.Tensor | None, how: str, bidirectional: bool) -> torch.Tensor:
    """
    One vector `(batch, encoder_hidden)` for a source of `(batch, src_len, encoder_hidden)` states.

    Args:
        states: Encoder states.
        mask: `(batch, src_len)` bool, True on real tokens; None: all are real.
        how: `"mean"` over real tokens, or `"last"`: the state in which each direction has read everything.
        bidirectional: Whether the second half of each state was read from right to left.
    """
    if how == "mean":
        if mask is None:
            return states.mean(1)
        weights = mask.to(states.dtype)
        return (weights.unsqueeze(1) @ states).squeeze(1) / weights.sum(1, keepdim=True).clamp(min=1)
    batch, src_len = states.shape[:2]
    steps = torch.arange(src_len, device=states.device)
    real = mask if mask is not None else torch.ones(batch, src_len, dtype=torch.bool, device=states.device)
    last = torch.where(real, steps, 0).amax(1)
    rows = torch.arange(batch, device=states.device)
    some = real.any(1, keepdim=True).to(states.dtype)  # a source that is all padding has no last state: 0
    if not bidirectional:
        return states[rows, last] * some
    first = torch.where(real, steps, src_len - 1).amin(1)
    half = states.shape[-1] // 2
    return torch.cat([states[rows, last, :half], states[rows, first, half:]], dim=-1) * some


def fixed_context(states: torch.Tensor, mask: torch.Tensor | None, config: AttnSeq2SeqConfig) -> torch.Tensor:
    """The source as one vector: the last states of a recurrent encoder, the mean of a Transformer's."""
    how = "last" if config.is_recurrent_encoder else "mean"
    return summarize(states, mask, how, config.is_recurrent_encoder and config.bidirectional)


# --------------------------------------------------------------------------------------------------------------------
# Content: dot products
# --------------------------------------------------------------------------------------------------------------------


class DotAttention(Attention):
    """score(h_t, h_s) = h_t . h_s (Luong et al. 2015, section 3.1, "dot")."""

    scaling = 1.0

    def score(self, query: torch.Tensor, memory: Memory) -> torch.Tensor:
        queries = split_heads(query, self.num_heads)
        scores = queries @ memory.keys.transpose(-1, -2)
        record(self, asker=query, query=queries, scores=scores)
        return scores * self.scaling


class ScaledDotAttention(DotAttention):
    """score(q, k) = q . k / sqrt(d_k) (Vaswani et al. 2017, eq. 1), without projections."""

    def __init__(self, config: AttnSeq2SeqConfig) -> None:
        super().__init__(config)
        self.scaling = (self.query_size // self.num_heads) ** -0.5


class GeneralAttention(DotAttention):
    """score(h_t, h_s) = h_t^T W_a h_s (Luong et al. 2015, section 3.1, "general"); several heads have a W_a each."""

    def __init__(self, config: AttnSeq2SeqConfig) -> None:
        super().__init__(config)
        self.key_projection = nn.Linear(self.state_width, self.query_size, bias=False)

    def project(self, encoder_states: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        keys = split_heads(self.key_projection(encoder_states), self.num_heads)
        return keys, split_heads(encoder_states, self.num_heads)


def eager_attention_forward(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs: object,
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    softmax(q k^T * scaling + mask) v (Vaswani et al. 2017, eq. 1), with the weights as they are before dropout.

    Args:
        query: `(batch, heads, tgt_len, head_dim)`.
        key, value: `(batch, key_value_heads, src_len, head_dim)`.
        attention_mask: Added to the scores; broadcastable to `(batch, heads, tgt_len, src_len)`.

    Returns:
        The output `(batch, tgt_len, heads, head_dim)` and the weights `(batch, heads, tgt_len, src_len)`.
    """
    groups = query.shape[1] // key.shape[1]
    scores = query @ repeat_groups(key, groups).transpose(-1, -2)
    scaled = scores * scaling
    if attention_mask is not None:
        scaled = scaled + attention_mask
    weights = torch.softmax(at_least_single(scaled), dim=-1).to(query.dtype)
    used = nn.functional.dropout(weights, p=dropout, training=module.training)
    record(module, scores=scores, weights=used)
    return (used @ repeat_groups(value, groups)).transpose(1, 2).contiguous(), weights


def repeat_groups(states: torch.Tensor, groups: int) -> torch.Tensor:
    """`(batch, key_value_heads, length, dim)` to `(batch, key_value_heads * groups, length, dim)`."""
    return states if groups == 1 else states.repeat_interleave(groups, dim=1)


class MultiHeadAttention(Attention):
    """
    Concat(head_1 ... head_n) W^O with head_i = softmax(q W_i^Q (k W_i^K)^T / sqrt(d_k)) v W_i^V (Vaswani et al. 2017,
    section 3.2.2), with grouped key-value heads (Ainslie et al. 2023).

    The heads run through Transformers' attention interface, except where weights are asked for or the normalizer is
    not softmax: no fused kernel offers that.
    """

    projects = True
    is_causal = False  # read by Transformers' SDPA and flash functions

    def __init__(self, config: AttnSeq2SeqConfig) -> None:
        super().__init__(config)
        self.head_dim = self.query_size // self.num_heads
        self.num_key_value_groups = self.num_heads // config.num_key_value_heads
        self.scaling = self.head_dim**-0.5
        key_value_size = config.num_key_value_heads * self.head_dim
        self.query_projection = nn.Linear(self.query_size, self.query_size)
        self.key_projection = nn.Linear(self.state_width, key_value_size)
        self.value_projection = nn.Linear(self.state_width, key_value_size)
        self.output_projection = nn.Linear(self.query_size, self.query_size)

    def project(self, encoder_states: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        heads = self.config.num_key_value_heads
        return (
            split_heads(self.key_projection(encoder_states), heads),
            split_heads(self.value_projection(encoder_states), heads),
        )

    def forward(
        self,
        query: torch.Tensor,
        memory: Memory,
        state: torch.Tensor | None = None,
        output_weights: bool = True,
        steps: torch.Tensor | None = None,
    ) -> AttentionOutput:
        heads = split_heads(self.query_projection(query), self.num_heads)
        implementation = self.config._attn_implementation
        if output_weights or self.config.attention_normalizer != "softmax" or implementation in (None, "eager"):
            keys = repeat_groups(memory.keys, self.num_key_value_groups)
            values = repeat_groups(memory.values, self.num_key_value_groups)
            scores = heads @ keys.transpose(-1, -2)
            scaled = scores * self.scaling
            weights = normalize(scaled, key_mask(memory.mask), self.config.attention_normalizer)
            out = self.attend(weights, memory._replace(keys=keys, values=values), scaled, None)
            context = self.output_projection(out.context)
            record(self, asker=query, query=heads, scores=scores, context=context)
            return out._replace(context=context)
        flash = "flash" in implementation
        if flash and memory.mask is not None and heads.shape[2] > 1:
            # Transformers' flash path would take the source's padding for the target's.
            implementation, flash = "sdpa", False
        interface: Callable = ALL_ATTENTION_FUNCTIONS.get_interface(implementation, eager_attention_forward)
        output, weights = interface(
            self,
            heads,
            memory.keys,
            memory.values,
            memory.mask if flash else key_mask(memory.mask),
            dropout=self.dropout if self.training else 0.0,
            scaling=self.scaling,
        )
        return AttentionOutput(self.output_projection(output.flatten(2)), weights, None, None)


# --------------------------------------------------------------------------------------------------------------------
# Content: a small network
# --------------------------------------------------------------------------------------------------------------------


class AdditiveAttention(Attention):
    """
    e_ij = v_a^T tanh(W_a s_i + U_a h_j) (Bahdanau et al. 2015, A.1.2); with `attention_bias`, + b inside the tanh.

    With `attention_weight_norm`, g v_a / |v_a| takes the place of v_a, so that the length of the vector is a parameter
    of its own, the gain g (Salimans and Kingma 2016, eq. 2).
    """

    bias: ClassVar[bool] = False
    weight_norm: ClassVar[bool] = False

    def __init__(self, config: AttnSeq2SeqConfig) -> None:
        super().__init__(config)
        self.query_projection = nn.Linear(self.query_size, self.inner_size, bias=False)
        self.key_projection = nn.Linear(self.state_width, self.inner_size, bias=self.bias or config.attention_bias)
        self.score_vector = nn.Parameter(torch.empty(self.num_heads, self.inner_size // self.num_heads))
        normed = self.weight_norm or config.attention_weight_norm
        self.gain = nn.Parameter(torch.empty(self.num_heads)) if normed else None

    def init_weights(self) -> None:
        std = self.score_vector.shape[-1] ** -0.5
        init.normal_(self.score_vector, mean=0.0, std=std)
        if self.gain is not None:
            init.constant_(self.gain, std)

    def vector(self) -> torch.Tensor:
        """What the inner sums are multiplied by, `(heads, dim)`."""
        if self.gain is None:
            return self.score_vector
        return self.gain[:, None] * (self.score_vector / self.score_vector.norm(dim=-1, keepdim=True))

    def project(self, encoder_states: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        keys = split_heads(self.key_projection(encoder_states), self.num_heads)
        return keys, split_heads(encoder_states, self.num_heads)

    def score(self, query: torch.Tensor, memory: Memory) -> torch.Tensor:
        queries = split_heads(self.query_projection(query), self.num_heads)
        vector = self.vector()
        scores = self.energy(queries, memory.keys, vector)
        record(self, asker=query, query=queries, scores=scores, vector=vector)
        return scores

    @staticmethod
    def energy(queries: torch.Tensor, keys: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
        """v^T tanh(q_i + k_j): `(batch, heads, tgt_len, dim)` and `(batch, heads, src_len, dim)` to scores."""
        return additive_scores(queries, keys, vector)


class ConcatAttention(AdditiveAttention):
    """
    score(h_t, h_s) = v_a^T tanh(W_a [h_t; h_s]) (Luong et al. 2015, section 3.1, "concat").

    W_a is held as its two halves, so that the source's half is computed once. With one head this is the function of
    additive attention; the two differ in which state the papers let ask.
    """


# --------------------------------------------------------------------------------------------------------------------
# Position
# --------------------------------------------------------------------------------------------------------------------


class LocalMonotonicAttention(GeneralAttention):
    """
    Local attention with p_t = t (Luong et al. 2015, section 3.2, local-m): general scores, normalised over the window
    [p_t - D, p_t + D].

    Beyond the end of the source the window stays on its last position. Positions count real tokens from 0. The state
    is the number of steps made.
    """

    uses_positions = True
    moves_on = True

    def state_size(self, src_len: int) -> int:
        return 1

    def initial_state(self, memory: Memory) -> torch.Tensor | None:
        # Single precision whatever the model's: bfloat16 cannot count past 256.
        return torch.zeros(memory.values.shape[0], 1, device=memory.values.device)

    def forward(
        self,
        query: torch.Tensor,
        memory: Memory,
        state: torch.Tensor | None = None,
        output_weights: bool = True,
        steps: torch.Tensor | None = None,
    ) -> AttentionOutput:
        if steps is None:
            state = self.initial_state(memory) if state is None else state
            steps = state + torch.arange(query.shape[1], device=state.device, dtype=state.dtype)
        else:
            steps = steps.expand(query.shape[0], -1).float()
        assert memory.positions is not None
        last = memory.positions.amax(1, keepdim=True).to(steps.dtype)
        distance = self.distance(torch.minimum(steps, last)[:, None, :, None], memory)
        window = self.window(distance, memory)
        scores = self.score(query, memory)
        weights = normalize(scores, window, self.config.attention_normalizer)
        record(self, allowed=window)
        return self.attend(weights, memory, scores, steps[:, -1:] + 1)

    def distance(self, centre: torch.Tensor, memory: Memory) -> torch.Tensor:
        """s - p_t: `(batch, heads or 1, tgt_len, src_len)` for centres `(batch, heads or 1, tgt_len, 1)`."""
        assert memory.positions is not None
        return memory.positions[:, None, None, :].to(centre.dtype) - centre

    def window(self, distance: torch.Tensor, memory: Memory) -> torch.Tensor:
        inside = distance.abs() <= self.config.attention_window
        return inside if memory.mask is None else inside & key_mask(memory.mask)


class LocalPredictiveAttention(LocalMonotonicAttention):
    """
    Local attention with a predicted centre (Luong et al. 2015, eq. 9 and 10, local-p): p_t = S sigmoid(v_p^T tanh(W_p
    h_t)), weights = align(h_t, h_s) exp(-(s - p_t)^2 / (2 sigma^2)), sigma = D / 2.

    The paper leaves the product unnormalised; here it is divided by its sum, so that a row sums to 1.
    """

    moves_on = False

    def __init__(self, config: AttnSeq2SeqConfig) -> None:
        super().__init__(config)
        self.position_projection = nn.Linear(self.query_size, self.inner_size, bias=False)
        self.position_vector = nn.Parameter(torch.empty(self.num_heads, self.inner_size // self.num_heads))

    def init_weights(self) -> None:
        init.normal_(self.position_vector, mean=0.0, std=self.position_vector.shape[-1] ** -0.5)

    def state_size(self, src_len: int) -> int:
        return 0

    def initial_state(self, memory: Memory) -> torch.Tensor | None:
        return None

    def forward(
        self,
        query: torch.Tensor,
        memory: Memory,
        state: torch.Tensor | None = None,
        output_weights: bool = True,
        steps: torch.Tensor | None = None,
    ) -> AttentionOutput:
        assert memory.positions is not None
        hidden = split_heads(torch.tanh(self.position_projection(query)), self.num_heads)
        share = torch.sigmoid((hidden * self.position_vector[:, None]).sum(-1, keepdim=True))
        # bfloat16 cannot count past 256.
        centre = (memory.positions.amax(1)[:, None, None, None] + 1) * at_least_single(share)
        distance = self.distance(centre, memory)
        window = self.window(distance, memory)
        scores = self.score(query, memory)
        # sigma = D / 2, so the exponent is -2 at the window's edge: the product cannot vanish.
        gaussian = torch.exp(-2.0 * (distance / self.config.attention_window).square())
        weights = normalize(at_least_single(scores), window, self.config.attention_normalizer) * gaussian
        weights = weights / weights.sum(-1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)
        record(self, allowed=window, centre=centre.squeeze(-1), gaussian=gaussian)
        return self.attend(weights.to(scores.dtype), memory, scores, None)


class LocationAttention(Attention):
    """
    a_t = softmax(W_a h_t): weights from the target state alone (Luong et al. 2015, eq. 8, "location").

    W_a has a row for each of `max_position_embeddings` source positions; as in the paper, a shorter source uses the
    first of them and what lies beyond the last is not looked at.
    """

    uses_positions = True

    def __init__(self, config: AttnSeq2SeqConfig) -> None:
        super().__init__(config)
        self.max_positions = config.max_position_embeddings
        self.position_scores = nn.Linear(self.query_size, self.num_heads * self.max_positions, bias=False)

    def score(self, query: torch.Tensor, memory: Memory) -> torch.Tensor:
        assert memory.positions is not None
        scores = split_heads(self.position_scores(query), self.num_heads)  # batch x heads x tgt_len x max_positions
        index = memory.positions.clamp(max=self.max_positions - 1)[:, None, None, :]
        return scores.gather(-1, index.expand(*scores.shape[:3], -1))

    def forward(
        self,
        query: torch.Tensor,
        memory: Memory,
        state: torch.Tensor | None = None,
        output_weights: bool = True,
        steps: torch.Tensor | None = None,
    ) -> AttentionOutput:
        assert memory.positions is not None
        seen = memory.positions < self.max_positions
        mask = seen if memory.mask is None else seen & memory.mask
        scores = self.score(query, memory)
        weights = normalize(scores, key_mask(mask), self.config.attention_normalizer)
        record(self, asker=query, scores=scores, allowed=key_mask(mask))
        return self.attend(weights, memory, scores, None)


# --------------------------------------------------------------------------------------------------------------------
# With a running state
# --------------------------------------------------------------------------------------------------------------------


class RunningAttention(AdditiveAttention):
    """
    Additive attention whose score also looks at the weights given so far.

    A subclass says what the state adds to the inner sum (`feature`) and how a step's weights change it (`advance`).
    The state is `(batch, heads * src_len)`.
    """

    running = True
    moves_on = True
    bias = True

    def state_size(self, src_len: int) -> int:
        return self.num_heads * src_len

    def initial_state(self, memory: Memory) -> torch.Tensor:
        # Single precision: a sum of many small weights stalls in half.
        values = memory.values
        return at_least_single(values.new_zeros(values.shape[0], self.state_size(values.shape[2])))

    def feature(self, state: torch.Tensor, memory: Memory) -> torch.Tensor:
        """What a state `(batch, heads, src_len)` adds to the inner sum: `(batch, heads, src_len, dim)`, or 0."""
        return state.new_zeros(())

    def advance(self, state: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """The next state, from a state and a step's weights, all `(batch, heads, src_len)`: the weights."""
        return weights

    def weigh(self, scores: torch.Tensor, memory: Memory, state: torch.Tensor) -> torch.Tensor:
        """Weights `(batch, heads, 1, src_len)` of one step's scores of the same shape; the state goes on with them."""
        return normalize(scores, key_mask(memory.mask), self.config.attention_normalizer)

    def forward(
        self,
        query: torch.Tensor,
        memory: Memory,
        state: torch.Tensor | None = None,
        output_weights: bool = True,
        steps: torch.Tensor | None = None,
    ) -> AttentionOutput:
        state = self.initial_state(memory) if state is None else state
        running = at_least_single(state).view(state.shape[0], self.num_heads, -1)
        queries = split_heads(self.query_projection(query), self.num_heads)
        vector = self.vector()
        rows, energies = [], []
        for step in queries.unbind(2):
            feature = self.feature(running.to(memory.keys.dtype), memory)
            scores = self.energy(step.unsqueeze(2), memory.keys + feature, vector)
            weights = self.settle(self.weigh(scores, memory, running))
            if active_recorder() is not None:  # not even the views are made in vain: this is the loop over steps
                record(
                    self,
                    asker=query,
                    query=step.unsqueeze(2),
                    scores=scores,
                    vector=vector,
                    state=running.unsqueeze(2),
                    feature=feature.unsqueeze(2) if feature.dim() else feature,
                )
            running = self.advance(running, at_least_single(weights.squeeze(2)))
            rows.append(weights.to(scores.dtype))
            energies.append(scores)
        return self.attend(torch.cat(rows, 2), memory, torch.cat(energies, 2), running.flatten(1))


class LocationAwareAttention(RunningAttention):
    """
    e_ij = w^T tanh(W s_i + V h_j + U f_ij + b) with f_i = F * alpha_(i-1), a convolution over the weights of the step
    before (Chorowski et al. 2015, eq. 8 and 9). Before the first step alpha is 0.
    """

    uses_positions = True

    def __init__(self, config: AttnSeq2SeqConfig) -> None:
        super().__init__(config)
        filters = config.location_filters
        self.convolution = nn.Conv1d(
            self.num_heads,
            self.num_heads * filters,
            config.location_kernel_size,
            padding=config.location_kernel_size // 2,
            groups=self.num_heads,
            bias=False,
        )
        self.filter_projection = nn.Parameter(torch.empty(self.num_heads, filters, self.inner_size // self.num_heads))

    def init_weights(self) -> None:
        super().init_weights()
        init.normal_(self.filter_projection, mean=0.0, std=self.config.location_filters**-0.5)

    def feature(self, state: torch.Tensor, memory: Memory) -> torch.Tensor:
        # The convolution sees real tokens side by side, wherever the padding lies.
        if memory.mask is not None:
            assert memory.positions is not None
            index = memory.positions[:, None, :].expand(-1, self.num_heads, -1)
            state = torch.zeros_like(state).scatter_add(-1, index, state)
        filtered = self.convolution(state).unflatten(1, (self.num_heads, -1)).transpose(2, 3)
        if memory.mask is not None:
            filtered = filtered.gather(2, index.unsqueeze(-1).expand(-1, -1, -1, filtered.shape[-1]))
        return filtered @ self.filter_projection


class CoverageAttention(RunningAttention):
    """
    e_i^t = v^T tanh(W_h h_i + W_s s_t + w_c c_i^t + b) with c^t the sum of all earlier weights (See et al. 2017, eq.
    10 and 11).
    """

    def __init__(self, config: AttnSeq2SeqConfig) -> None:
        super().__init__(config)
        self.coverage_vector = nn.Parameter(torch.empty(self.num_heads, self.inner_size // self.num_heads))

    def init_weights(self) -> None:
        super().init_weights()
        init.normal_(self.coverage_vector, mean=0.0, std=self.coverage_vector.shape[-1] ** -0.5)

    def feature(self, state: torch.Tensor, memory: Memory) -> torch.Tensor:
        return state.unsqueeze(-1) * self.coverage_vector[:, None]

    def advance(self, state: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        return state + weights


def linear_recurrence(factors: torch.Tensor, terms: torch.Tensor) -> torch.Tensor:
    """
    h_j = factors_j h_(j-1) + terms_j over the last dimension, with h_(-1) = 0; `(..., n)` to `(..., n)`.

    All positions at once, in log2(n) rounds that double how far back each has looked (Hillis and Steele 1986; Blelloch
    1990, section 1.4.1). Nothing is divided or subtracted, so that sums of what is not negative keep their precision.
    """
    length = terms.shape[-1]
    if torch.jit.is_tracing():
        # A graph must serve all lengths, and the rounds would be fixed: take all spans at once, in O(n^2).
        here = torch.ones(length, length, dtype=torch.bool, device=terms.device).tril()
        # Of a span k..j the product of factors k + 1 to j; a sum of logarithms, as 0 is a factor too.
        logs = nn.functional.pad(factors.log()[..., 1:], (0, 1)).unsqueeze(-1).masked_fill(~here, 0.0)
        spans = nn.functional.pad(logs.cumsum(-2)[..., :-1, :], (0, 0, 1, 0)).masked_fill(~here, -torch.inf)
        return (spans.exp() @ terms.unsqueeze(-1)).squeeze(-1)
    reach = 1
    while reach < length:
        before = nn.functional.pad(terms[..., :-reach], (reach, 0))
        terms = terms + factors * before
        factors = factors * nn.functional.pad(factors[..., :-reach], (reach, 0))
        reach *= 2
    return terms


class MonotonicAttention(RunningAttention):
    """
    Attention that moves from left to right (Raffel et al. 2017).

    Energy e_ij = g v^T / |v| tanh(W s_i + V h_j + b) + r (eq. 16), selection p_ij = sigmoid(e_ij), expected alignment
    alpha_ij = p_ij q_ij with q_ij = (1 - p_i(j-1)) q_i(j-1) + alpha_(i-1)j (eq. 11 to 14). What is selected nowhere
    stays on the last position, so that a row sums to 1, where the paper's context would be 0. `monotonic_hard` decides
    p > 0.5 outside training (algorithm 1); noise in training (section 2.5) is `monotonic_noise`. Scores handed out are
    the energies.
    """

    uses_positions = True
    weight_norm = True

    def __init__(self, config: AttnSeq2SeqConfig) -> None:
        super().__init__(config)
        self.offset = nn.Parameter(torch.empty(self.num_heads))

    def init_weights(self) -> None:
        super().init_weights()
        init.constant_(self.offset, -1.0)  # start by moving on: with 0 the first tokens take half of all weight each

    def initial_state(self, memory: Memory) -> torch.Tensor:
        assert memory.positions is not None
        start = memory.positions == 0
        if memory.mask is not None:
            start = start & memory.mask
        return at_least_single(start.to(memory.values.dtype)).unsqueeze(1).expand(-1, self.num_heads, -1).flatten(1)

    def energy(self, queries: torch.Tensor, keys: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        energy = super().energy(queries, keys, vector) + self.offset[:, None, None]
        if self.training and self.config.monotonic_noise:
            energy = energy + self.config.monotonic_noise * torch.randn_like(energy)
        return energy

    def weigh(self, scores: torch.Tensor, memory: Memory, state: torch.Tensor) -> torch.Tensor:
        energy = at_least_single(scores.squeeze(2))  # batch x heads x src_len
        if self.config.monotonic_hard and not self.training:
            energy = torch.where(energy > 0, 1e4, -1e4)
        select, skip = torch.sigmoid(energy), torch.sigmoid(-energy)  # 1 - sigmoid(energy) would lose small numbers
        if memory.mask is not None:
            real = memory.mask[:, None]
            select, skip = select.masked_fill(~real, 0.0), skip.masked_fill(~real, 1.0)
        arrived = linear_recurrence(nn.functional.pad(skip[..., :-1], (1, 0)), state.to(energy.dtype))
        weights = select * arrived
        rest = skip[..., -1:] * arrived[..., -1:]
        # Not rounded to half precision: the next step starts from them, and what is lost would add up.
        return (weights + rest * self.last_real(memory)).unsqueeze(2)

    @staticmethod
    def last_real(memory: Memory) -> torch.Tensor:
        """1 on each row's last real position, else 0: `(batch, 1, src_len)`."""
        assert memory.positions is not None
        last = memory.positions == memory.positions.amax(1, keepdim=True)
        # Padding after the last token has its rank too: the token itself is the real one among them.
        return (last if memory.mask is None else last & memory.mask)[:, None].to(memory.values.dtype)


# --------------------------------------------------------------------------------------------------------------------
# None
# --------------------------------------------------------------------------------------------------------------------


class FixedContext(Attention):
    """
    No attention: the whole source is one vector c, the same at every step (Cho et al. 2014, section 2.2; Sutskever et
    al. 2014). It is the last states of a recurrent encoder, the mean state of a Transformer.
    """

    uses_query = False

    def project(self, encoder_states: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        context = fixed_context(encoder_states, mask, self.config)[:, None, None]  # batch x 1 x 1 x encoder_hidden
        return context, context

    def memory_length(self, src_len: int) -> int:
        return 1

    def forward(
        self,
        query: torch.Tensor,
        memory: Memory,
        state: torch.Tensor | None = None,
        output_weights: bool = True,
        steps: torch.Tensor | None = None,
    ) -> AttentionOutput:
        context = memory.values[:, 0].expand(-1, query.shape[1], -1)
        record(self, context=context)
        return AttentionOutput(context, None, None, None)


ATTENTIONS: dict[str, type[Attention]] = {
    "additive": AdditiveAttention,
    "dot": DotAttention,
    "general": GeneralAttention,
    "concat": ConcatAttention,
    "scaled_dot": ScaledDotAttention,
    "multi_head": MultiHeadAttention,
    "local_m": LocalMonotonicAttention,
    "local_p": LocalPredictiveAttention,
    "location": LocationAttention,
    "location_aware": LocationAwareAttention,
    "coverage": CoverageAttention,
    "monotonic": MonotonicAttention,
    "none": FixedContext,
}


def build_attention(config: AttnSeq2SeqConfig) -> Attention:
    """The attention that `config.attention_type` names."""
    return ATTENTIONS[config.attention_type](config)


# --------------------------------------------------------------------------------------------------------------------
# What both kinds of decoder share
# --------------------------------------------------------------------------------------------------------------------


class EncoderLayerOutput(NamedTuple):
    """What a layer of an encoder hands to the next."""

    hidden_states: torch.Tensor  # (batch, src_len, encoder_hidden)
    final_state: torch.Tensor | None = None  # (batch, parts, encoder_hidden), where it is wanted


class EncoderStates(NamedTuple):
    """What an encoder stack hands to the model."""

    hidden_states: torch.Tensor  # (batch, src_len, encoder_hidden)
    final_state: torch.Tensor | None = None  # (batch, encoder_layers, parts, encoder_hidden), where it is wanted
    mask: torch.Tensor | None = None  # (batch, src_len), nonzero on real states; None: all are real


class DecoderOutput(NamedTuple):
    """What a decoder stack hands to the model."""

    last_hidden_state: torch.Tensor  # (batch, tgt_len, hidden)
    hidden_states: tuple[torch.Tensor, ...]  # embeddings, then each layer, (batch, tgt_len, size)
    attentions: tuple[torch.Tensor, ...]  # self-attention weights of each layer; empty without self-attention
    cross_attentions: tuple[torch.Tensor, ...]  # (batch, heads, tgt_len, src_len), one for each layer that attends
    gate: torch.Tensor | None = None  # (batch, tgt_len): a pointer's, before its sigmoid
    weights: torch.Tensor | None = None  # (batch, tgt_len, src_len), mean of the heads, where the model reads them


def newest_mask(attention_mask: torch.Tensor | None, tgt_len: int) -> torch.Tensor | None:
    """The `(batch, tgt_len)` bool part of a target mask for the newest tokens; None where nothing is masked."""
    if attention_mask is None:
        return None
    mask = attention_mask[:, -tgt_len:].bool()
    if is_tracing(mask):
        # A generated token is never padding, and the growing mask would compile the step anew each time.
        return None if tgt_len == 1 else mask
    return None if bool(mask.all()) else mask


def recall_source(
    attention: Attention,
    encoder_states: torch.Tensor,
    mask: torch.Tensor | None,
    cache: EncoderDecoderCache | None,
    layer_idx: int,
) -> Memory:
    """
    The source as `attention` sees it: projected once, then kept in the cross half of the cache.

    Args:
        encoder_states: `(batch, src_len, encoder_hidden)`.
        mask: `(batch, src_len)` bool, True on real tokens, or None.
    """
    if cache is None:
        return attention.memory(encoder_states, mask)
    cross: Any = cache.cross_attention_cache
    shared = isinstance(cross, SharedSourceCache)
    if cache.is_updated.get(layer_idx):
        layer = cross.layers[layer_idx]
        if isinstance(layer, SharedSourceLayer) and layer.copies > 1:
            return recall_shared(attention, layer, mask)
        slots = attention.memory_length(encoder_states.shape[1])
        return attention.recall(layer.keys[:, :, :slots], layer.values[:, :, :slots], mask)
    if shared:
        once = slice(None, None, cross.copies)
        memory = attention.memory(encoder_states[once], None if mask is None else mask[once])
    else:
        memory = attention.memory(encoder_states, mask)
    # Under autocast keys have 16 bits, values that are raw states may have 32: a static cache has one type.
    dtype = torch.promote_types(memory.keys.dtype, memory.values.dtype)
    memory = memory._replace(keys=memory.keys.to(dtype), values=memory.values.to(dtype))
    cross.update(memory.keys, memory.values, layer_idx)
    cache.is_updated[layer_idx] = True
    return recall_shared(attention, cross.layers[layer_idx], mask) if shared else memory


def recall_shared(attention: Attention, layer: SharedSourceLayer, mask: torch.Tensor | None) -> Memory:
    """
    The memory of sources that several rows share: one for all where [`ask`] can put their queries together.

    Args:
        mask: `(batch, src_len)` bool, with a row for each row of the batch, or None.
    """
    if attention.moves_on or active_recorder() is not None:
        return attention.recall(*layer.by_row(), mask)
    return attention.recall(layer.keys, layer.values, None if mask is None else mask[:: layer.copies])


def ask(
    attention: Attention,
    query: torch.Tensor,
    memory: Memory,
    state: torch.Tensor | None,
    output_weights: bool,
    steps: torch.Tensor | None = None,
) -> AttentionOutput:
    """
    Call `attention`; where `memory` has fewer rows than the query, those that share a source ask side by side.

    Beams are queries like those of other steps then: no source is copied for them.
    """
    sources, rows, tgt_len = memory.keys.shape[0], query.shape[0], query.shape[1]
    if sources == rows:
        return attention(query, memory, state, output_weights, steps)
    # A kind that reads a state or the steps moves on, and is never shared: see recall_shared.
    out = attention(query.reshape(sources, -1, query.shape[-1]), memory, None, output_weights)

    def apart(values: torch.Tensor | None) -> torch.Tensor | None:
        """`(sources, heads, copies * tgt_len, src_len)` to `(rows, heads, tgt_len, src_len)`."""
        if values is None:
            return None
        return values.unflatten(2, (-1, tgt_len)).transpose(1, 2).flatten(0, 1)

    return AttentionOutput(out.context.reshape(rows, tgt_len, -1), apart(out.weights), apart(out.scores), None)
