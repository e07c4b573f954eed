# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
The papers' equations as a reader would first write them: one Python loop over source steps, one over target steps.

It is what the package's faster paths are measured against (`step.py`) and tested against (`tests/test_plain_loop.py`).
It runs on a model's own weights, so that losses and gradients can be compared. One layer of recurrence in the
decoder, one head except in multi-head attention, no dropout, padding after the last token: no more than the families
below need.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from hf_attn_seq2seq import AttnSeq2SeqConfig, AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.cells import LSTMCell, RecurrentCell


# Fields of each family besides the sizes; `family_config` adds those.
FAMILIES: dict[str, dict[str, Any]] = {
    "GRU additive, previous state asks": {
        "attention_type": "additive",
        "attention_query": "previous",
        "readout": "maxout",
    },
    "LSTM general, input feeding": {
        "encoder_type": "lstm",
        "decoder_type": "lstm",
        "attention_type": "general",
        "attention_query": "current",
        "input_feeding": True,
        "bridge": "last",
    },
    "LSTM general": {
        "encoder_type": "lstm",
        "decoder_type": "lstm",
        "attention_type": "general",
        "attention_query": "current",
        "bridge": "last",
    },
    "GRU fixed context": {"attention_type": "none", "readout": "maxout"},
    "LSTM multi-head, input feeding": {
        "encoder_type": "lstm",
        "decoder_type": "lstm",
        "attention_type": "multi_head",
        "attention_query": "current",
        "input_feeding": True,
    },
    "GRU coverage": {"attention_type": "coverage", "attention_query": "current"},
    "Transformer 2+2": {
        "encoder_type": "transformer",
        "decoder_type": "transformer",
        "attention_type": "multi_head",
        "encoder_layers": 2,
        "decoder_layers": 2,
    },
    "LSTM 2 layers, GRU location-aware": {
        "encoder_type": "lstm",
        "encoder_layers": 2,
        "layer_norm": True,
        "attention_type": "location_aware",
        "attention_query": "previous",
    },
    "Transformer to GRU additive": {
        "encoder_type": "transformer",
        "encoder_layers": 2,
        "attention_type": "additive",
        "attention_query": "previous",
    },
}


def family_config(name: str, vocab_size: int, embedding_size: int, hidden_size: int) -> AttnSeq2SeqConfig:
    """
    The configuration of one of `FAMILIES`, without dropout.

    Recurrent stacks are `hidden_size` wide. Transformer stacks are as wide as the embeddings, as they must be, with
    feed-forward blocks of `hidden_size`.
    """
    fields = FAMILIES[name]
    recurrent_encoder = fields.get("encoder_type") != "transformer"
    recurrent_decoder = fields.get("decoder_type") != "transformer"
    return AttnSeq2SeqConfig(
        vocab_size=vocab_size,
        embedding_size=embedding_size,
        hidden_size=hidden_size if recurrent_decoder else embedding_size,
        encoder_hidden_size=hidden_size if recurrent_encoder else embedding_size,
        intermediate_size=hidden_size,
        dropout=0.0,
        tie_word_embeddings=False,
        **fields,
    )


State = tuple[torch.Tensor, ...]  # (h,) of a GRU, (h, c) of an LSTM, each (batch, hidden)


class PlainCell:
    """torch's own cell on the weights of one of ours, whose input weights are joined into one matrix beforehand."""

    def __init__(self, cell: RecurrentCell) -> None:
        self.parts = cell.parts
        self.hidden_size = cell.hidden_size
        self.is_lstm = isinstance(cell, LSTMCell)
        self.sources = [projection.weight for projection in cell.input_projections]
        self.input_weight = torch.cat([weight.detach() for weight in self.sources], dim=1).requires_grad_()
        self.others = (cell.hidden_projection.weight, cell.input_projections[0].bias, cell.hidden_projection.bias)

    def step(self, inputs: torch.Tensor, state: State) -> State:
        """`(batch, input)` and the state before to the state after."""
        if self.is_lstm:
            return torch.lstm_cell(inputs, state, self.input_weight, *self.others)
        return (torch.gru_cell(inputs, state[0], self.input_weight, *self.others),)

    def return_gradients(self) -> None:
        """Give the joined matrix's gradient to the weights it was made from."""
        pieces = self.input_weight.grad.split([weight.shape[1] for weight in self.sources], dim=1)
        for weight, piece in zip(self.sources, pieces):
            weight.grad = piece
        self.input_weight.grad = None


def masked_softmax(scores: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Softmax over the last dimension, 0 where `mask` is False."""
    return torch.softmax(scores if mask is None else scores.masked_fill(~mask, -torch.inf), dim=-1)


def weighted_sum(weights: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
    """c_i = sum_j a_ij h_j: `(batch, src_len)` and `(batch, src_len, size)` to `(batch, size)`."""
    return (weights.unsqueeze(1) @ states).squeeze(1)


Attend = Callable[[torch.Tensor], torch.Tensor]  # query (batch, hidden) to context (batch, context)


def additive(attention: Any, states: torch.Tensor, mask: torch.Tensor | None) -> Attend:
    """e_ij = v^T tanh(W s_i + U h_j) (Bahdanau et al. 2015, A.1.2)."""
    keys = attention.key_projection(states)

    def attend(query: torch.Tensor) -> torch.Tensor:
        hidden = torch.tanh(attention.query_projection(query).unsqueeze(1) + keys)
        return weighted_sum(masked_softmax(hidden @ attention.score_vector[0], mask), states)

    return attend


def general(attention: Any, states: torch.Tensor, mask: torch.Tensor | None) -> Attend:
    """score(h_t, h_s) = h_t^T W_a h_s (Luong et al. 2015, eq. 7)."""
    keys = attention.key_projection(states)

    def attend(query: torch.Tensor) -> torch.Tensor:
        scores = (keys @ query.unsqueeze(2)).squeeze(2)
        return weighted_sum(masked_softmax(scores, mask), states)

    return attend


def coverage(attention: Any, states: torch.Tensor, mask: torch.Tensor | None) -> Attend:
    """e_i = v^T tanh(W_h h_i + W_s s_t + w_c c_i + b), c the sum of all earlier weights (See et al. 2017, eq. 11)."""
    keys = attention.key_projection(states)
    covered = states.new_zeros(states.shape[:2])

    def attend(query: torch.Tensor) -> torch.Tensor:
        nonlocal covered
        feature = covered.unsqueeze(2) * attention.coverage_vector[0]
        hidden = torch.tanh(attention.query_projection(query).unsqueeze(1) + keys + feature)
        weights = masked_softmax(hidden @ attention.score_vector[0], mask)
        covered = covered + weights
        return weighted_sum(weights, states)

    return attend


def location_aware(attention: Any, states: torch.Tensor, mask: torch.Tensor | None) -> Attend:
    """e_ij = w^T tanh(W s_i + V h_j + U f_ij + b), f_i = F * alpha_(i-1) (Chorowski et al. 2015, eq. 8 and 9)."""
    keys = attention.key_projection(states)
    before = states.new_zeros(states.shape[:2])

    def attend(query: torch.Tensor) -> torch.Tensor:
        nonlocal before
        filtered = attention.convolution(before.unsqueeze(1)).transpose(1, 2)
        feature = filtered @ attention.filter_projection[0]
        hidden = torch.tanh(attention.query_projection(query).unsqueeze(1) + keys + feature)
        before = masked_softmax(hidden @ attention.score_vector[0], mask)
        return weighted_sum(before, states)

    return attend


def split_heads(states: torch.Tensor, heads: int) -> torch.Tensor:
    """`(batch, length, width)` to `(batch, heads, length, width / heads)`."""
    batch, length, width = states.shape
    return states.view(batch, length, heads, width // heads).transpose(1, 2)


def multi_head(
    part: Any, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    """
    softmax(Q K^T / sqrt(d_k)) V in each head (Vaswani et al. 2017, eq. 1), then the output projection.

    Args:
        part: The module that holds the projections.
        queries: `(batch, tgt_len, width)`, not projected yet.
        keys, values: Projected, `(batch, heads, src_len, head_dim)`.
        mask: Bool, broadcastable to `(batch, heads, tgt_len, src_len)`, or None.
    """
    heads = split_heads(part.query_projection(queries), keys.shape[1])
    scores = heads @ keys.transpose(2, 3) / keys.shape[3] ** 0.5
    out = masked_softmax(scores, mask) @ values
    return part.output_projection(out.transpose(1, 2).reshape(queries.shape))


def multi_head_step(attention: Any, states: torch.Tensor, mask: torch.Tensor | None) -> Attend:
    """Multi-head attention asked by one state at a time."""
    keys = split_heads(attention.key_projection(states), attention.num_heads)
    values = split_heads(attention.value_projection(states), attention.num_heads)
    key_mask = None if mask is None else mask[:, None, None, :]

    def attend(query: torch.Tensor) -> torch.Tensor:
        return multi_head(attention, query.unsqueeze(1), keys, values, key_mask).squeeze(1)

    return attend


ATTENTIONS = {
    "additive": additive,
    "general": general,
    "coverage": coverage,
    "location_aware": location_aware,
    "multi_head": multi_head_step,
}


def listen(
    frontend: Any, features: torch.Tensor, mask: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Log-mel frames `(batch, frames, mel)` through strided convolutions and a linear map; the mask of the states."""
    planes = features.unsqueeze(1)
    for part in frontend.convolutions:
        if mask is not None:
            planes = planes * mask[:, None, :, None]
            mask = mask[:, :: part.stride[0]]
        planes = torch.relu(part.convolution(planes))
    if mask is not None:
        planes = planes * mask[:, None, :, None]
    return frontend.norm(frontend.projection(planes.transpose(1, 2).flatten(2))), mask


class PlainLoop:
    """The equations of an [`AttnSeq2SeqForConditionalGeneration`] of one of `FAMILIES`, on its weights."""

    def __init__(self, model: AttnSeq2SeqForConditionalGeneration) -> None:
        self.model = model
        self.config = model.config
        self.encoder = model.get_encoder()
        self.decoder = model.get_decoder()
        self.encoder_cells: list[list[PlainCell]] = []  # of each layer
        self.decoder_cells: list[PlainCell] = []
        if self.config.is_recurrent_encoder:
            self.encoder_cells = [[PlainCell(cell) for cell in layer.cells] for layer in self.encoder.stack.layers]
        if self.config.is_recurrent_decoder:
            self.decoder_cells = [PlainCell(cell) for cell in self.decoder.stack.steps.cells]

    @property
    def cells(self) -> list[PlainCell]:
        """All of them."""
        return [cell for layer in (*self.encoder_cells, self.decoder_cells) for cell in layer]

    def loss(self, inputs: torch.Tensor, attention_mask: torch.Tensor | None, labels: torch.Tensor) -> torch.Tensor:
        """
        The mean cross-entropy of the labels; with CTC the two joined (Watanabe et al. 2017, eq. 21).

        Args:
            inputs: Tokens `(batch, src_len)`, or log-mel frames `(batch, frames, mel)`.
            attention_mask: `(batch, src_len)`, 1 on what is real, which comes first; None: all is.
            labels: `(batch, tgt_len)`, -100 where there is none.
        """
        mask = None if attention_mask is None else attention_mask.bool()
        targets = self.model.prepare_decoder_input_ids_from_labels(labels)
        target = self.decoder.embed_tokens(targets)
        if self.config.reads_tokens:
            source = self.encoder.embed_tokens(inputs)
        else:
            source, mask = listen(self.encoder.frontend, inputs, mask)
        if self.encoder_cells:
            states, summary = self.read(source, mask)
        else:
            states = self.transformer_encoder(source, mask)
            summary = mean_state(states, mask)
        decode = self.write if self.decoder_cells else self.transformer_decoder
        logits = self.model.lm_head(decode(target, states, summary, mask))
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
        if not self.config.ctc_weight:
            return loss
        kept = (labels != -100) & (labels != self.config.eos_token_id)
        lengths = torch.full((len(labels),), states.shape[1]) if mask is None else mask.sum(1)
        said = self.model.ctc_head(states).log_softmax(-1).transpose(0, 1)
        blank = self.config.pad_token_id
        ctc = nn.functional.ctc_loss(said, labels[kept], lengths, kept.sum(1), blank=blank, reduction="sum")
        return (1 - self.config.ctc_weight) * loss + self.config.ctc_weight * ctc / (labels != -100).sum()

    def return_gradients(self) -> None:
        """After a backward pass: have all gradients on the model's own parameters."""
        for cell in self.cells:
            cell.return_gradients()

    # Recurrent stacks

    def read(self, source: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """States `(batch, src_len, encoder_hidden)`, and the last state of both directions, side by side."""
        src_len = source.shape[1]
        for layer, cells in zip(self.encoder.stack.layers, self.encoder_cells):
            halves = []
            for cell, order in zip(cells, (range(src_len), reversed(range(src_len)))):
                state: State = (source.new_zeros(source.shape[0], cell.hidden_size),) * cell.parts
                outputs = [state[0]] * src_len
                for step in order:
                    new = cell.step(source[:, step], state)
                    if mask is not None:
                        live = mask[:, step].unsqueeze(1)
                        new = tuple(torch.where(live, after, before) for after, before in zip(new, state))
                    state = new
                    outputs[step] = state[0]
                halves.append(torch.stack(outputs, dim=1))
            source = layer.norm(torch.cat(halves, dim=-1))
            if mask is not None:
                source = source * mask.unsqueeze(2)
        size = self.encoder_cells[-1][0].hidden_size
        ends = torch.full((len(source),), src_len - 1) if mask is None else mask.sum(1) - 1
        return source, torch.cat([source[torch.arange(len(source)), ends, :size], source[:, 0, size:]], dim=-1)

    def first_state(self, summary: torch.Tensor) -> State:
        """The decoder's state before the first step, of the source's last (or mean) state."""
        bridge, parts = self.decoder.stack.bridge, self.decoder_cells[0].parts
        if self.config.bridge == "dense":
            return torch.tanh(bridge.projection(summary)).chunk(parts, dim=-1)
        return (bridge.projection(summary), torch.zeros_like(summary))[:parts]

    def write(
        self, target: torch.Tensor, states: torch.Tensor, summary: torch.Tensor, mask: torch.Tensor | None
    ) -> torch.Tensor:
        """Attentional vectors `(batch, tgt_len, hidden)`."""
        steps = self.decoder.stack.steps
        (cell,) = self.decoder_cells
        attend: Attend = lambda query: summary  # noqa: E731
        if self.config.attention_type != "none":
            attend = ATTENTIONS[self.config.attention_type](steps.attention, states, mask)
        before = self.config.attention_query == "previous"
        state = self.first_state(summary)
        attentional = target.new_zeros(target.shape[0], self.config.hidden_size)
        outputs = []
        for step in range(target.shape[1]):
            word = target[:, step]
            inputs = [word]
            if before:
                context = attend(state[0])
                inputs.append(context)
            if self.config.input_feeding:
                inputs.append(attentional)
            state = cell.step(torch.cat(inputs, dim=-1), state)
            output = steps.norms[0](state[0])
            if not before:
                context = attend(output)
            attentional = self.readout(output, context, word)
            outputs.append(attentional)
        return torch.stack(outputs, dim=1)

    def readout(self, state: torch.Tensor, context: torch.Tensor, word: torch.Tensor) -> torch.Tensor:
        """tanh(W_c [h_t; c_t]) (Luong et al. 2015, eq. 5), or maxout (Bahdanau et al. 2015, A.2.2)."""
        projection = self.decoder.stack.steps.readout.projection
        if self.config.readout == "tanh":
            return torch.tanh(projection(torch.cat([state, context], dim=-1)))
        pairs = projection(torch.cat([state, context, word], dim=-1))
        return pairs.view(pairs.shape[0], -1, 2).amax(dim=-1)

    # Transformer stacks (Vaswani et al. 2017, section 3)

    def transformer_encoder(self, source: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """States `(batch, src_len, encoder_hidden)`."""
        states = add_positions(source)
        key_mask = None if mask is None else mask[:, None, None, :]
        for layer in self.encoder.stack.layers:
            states = layer.self_attention_norm(states + self_attention(layer.self_attention, states, key_mask))
            states = layer.feed_forward_norm(states + feed_forward(layer.feed_forward, states))
        return states

    def transformer_decoder(
        self, target: torch.Tensor, states: torch.Tensor, summary: torch.Tensor, mask: torch.Tensor | None
    ) -> torch.Tensor:
        """What the output layer reads, `(batch, tgt_len, hidden)`."""
        length = target.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=target.device).tril()
        key_mask = None if mask is None else mask[:, None, None, :]
        hidden = add_positions(target)
        for layer in self.decoder.stack.layers:
            hidden = layer.self_attention_norm(hidden + self_attention(layer.self_attention, hidden, causal))
            cross = layer.cross_attention
            keys = split_heads(cross.key_projection(states), cross.num_heads)
            values = split_heads(cross.value_projection(states), cross.num_heads)
            hidden = layer.cross_attention_norm(hidden + multi_head(cross, hidden, keys, values, key_mask))
            hidden = layer.feed_forward_norm(hidden + feed_forward(layer.feed_forward, hidden))
        return hidden


def mean_state(states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """The mean over real tokens: `(batch, src_len, size)` to `(batch, size)`."""
    if mask is None:
        return states.mean(dim=1)
    real = mask.unsqueeze(2).to(states.dtype)
    return (states * real).sum(dim=1) / real.sum(dim=1)


def add_positions(embeds: torch.Tensor) -> torch.Tensor:
    """sqrt(width) E y + PE, PE(pos, 2i) = sin(pos / 10000^(2i / width)), PE(pos, 2i + 1) = cos(...)."""
    length, width = embeds.shape[1:]
    positions = torch.arange(length, device=embeds.device, dtype=torch.float32).unsqueeze(1)
    angles = positions * 10000.0 ** -(torch.arange(0, width, 2, device=embeds.device) / width)
    encoding = torch.empty(length, width, device=embeds.device)
    encoding[:, 0::2], encoding[:, 1::2] = angles.sin(), angles.cos()
    return embeds * width**0.5 + encoding.to(embeds.dtype)


def self_attention(part: Any, states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Multi-head attention of `(batch, length, width)` states to themselves."""
    keys = split_heads(part.key_projection(states), part.num_heads)
    values = split_heads(part.value_projection(states), part.num_heads)
    return multi_head(part, states, keys, values, mask)


def feed_forward(part: Any, states: torch.Tensor) -> torch.Tensor:
    """max(0, x W_1 + b_1) W_2 + b_2 (eq. 2)."""
    return part.output_projection(torch.relu(part.input_projection(states)))
