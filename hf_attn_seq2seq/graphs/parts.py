# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
A model as two ONNX graphs with dynamic batch size and lengths.

The encoder graph reads a source once and returns its states, for sound and pictures the mask that belongs to them, its
memory (each attention's projected keys and values) and the first decoder state. The decoder graph computes one step:
from a token, the mask, the memory and the state, it returns logits, the next state and each attention's weights. A
recurrent decoder's state is that of its cells and its attention; a Transformer's is the keys and values of the tokens
so far, initially none, or, with another mixer than self-attention, the number of these tokens and the state of each
layer.
"""

import copy
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers.cache_utils import DynamicCache, DynamicLayer, EncoderDecoderCache

from hf_attn_seq2seq.attention import Attention, EncoderStates
from hf_attn_seq2seq.cache_attn_seq2seq import new_state_cache, write_state
from hf_attn_seq2seq.configuration_attn_seq2seq import AttnSeq2SeqConfig
from hf_attn_seq2seq.frontend import source_stride
from hf_attn_seq2seq.graphs.format import STATES_MASK
from hf_attn_seq2seq.modality import AUDIO, TEXT, modality_of
from hf_attn_seq2seq.modeling_attn_seq2seq import AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.pointer import mixed_log_probs


OPSET = 17
ENCODER_FILE = "encoder.onnx"
DECODER_FILE = "decoder.onnx"
SAMPLE_LENGTHS = (5, 3)  # of the batch that is traced; other values work equally


class Names(NamedTuple):
    """Input and output names of the two graphs, in order; the decoder's `next_` outputs are its next state."""

    memory: list[str]  # encoder to decoder, the same at each step
    state: list[str]  # encoder to decoder, then from step to step
    attentions: list[str]  # one per decoder layer with attention
    source: list[str]  # the encoder's inputs: the source and its mask
    mask: str  # the mask that belongs to the encoder's states: for tokens the source's own

    @classmethod
    def of(cls, model: AttnSeq2SeqForConditionalGeneration) -> "Names":
        config = model.config
        layers = range(1 if config.is_recurrent_decoder else config.decoder_layers)
        if config.is_recurrent_decoder:
            state = ["state", "attentional"] if config.input_feeding else ["state"]
        elif config.carries_state:
            state = ["tokens", *(f"state.{layer}" for layer in layers)]
        else:
            state = [f"self_{part}.{layer}" for layer in layers for part in ("keys", "values")]
        memory = [f"{part}.{layer}" for layer in layers for part in ("keys", "values")]
        return cls(
            [*memory, *(["source_ids"] if config.pointer else [])],
            state,
            [] if config.attention_type == "none" else [f"cross_attentions.{layer}" for layer in layers],
            [modality_of(config).input_name, modality_of(config).mask_name],
            "attention_mask" if config.reads_tokens else STATES_MASK,
        )

    @property
    def encoder_inputs(self) -> list[str]:
        return self.source

    @property
    def encoder_outputs(self) -> list[str]:
        own = [] if self.mask in self.source else [self.mask]
        return ["last_hidden_state", *own, *self.memory, *self.state]

    @property
    def decoder_inputs(self) -> list[str]:
        return ["decoder_input_ids", self.mask, *self.memory, *self.state]

    @property
    def decoder_outputs(self) -> list[str]:
        return ["logits", *(f"next_{name}" for name in self.state), *self.attentions]


AXES = {
    "input_ids": {0: "batch", 1: "src_len"},
    "attention_mask": {0: "batch", 1: "src_len"},
    "input_features": {0: "batch", 1: "frames"},
    "pixel_values": {0: "batch", 2: "height", 3: "width"},
    "pixel_mask": {0: "batch", 1: "height", 2: "width"},
    STATES_MASK: {0: "batch", 1: "src_len"},
    "last_hidden_state": {0: "batch", 1: "src_len"},
    "decoder_input_ids": {0: "batch"},
    "hidden": {0: "batch", 2: "width"},
    "logits_of_hidden": {0: "batch"},
    "logits": {0: "batch"},
    "keys": {0: "batch", 2: "src_len"},
    "values": {0: "batch", 2: "src_len"},
    "source_ids": {0: "batch", 1: "src_len"},  # as floats, like all of the memory
    "state": {0: "batch", 1: "state_size"},  # a running attention's grows with the source
    "attentional": {0: "batch"},
    "tokens": {0: "batch"},
    "self_keys": {0: "batch", 2: "past_len"},
    "self_values": {0: "batch", 2: "past_len"},
    "cross_attentions": {0: "batch", 3: "src_len"},
}


def free_axes(names: list[str]) -> dict[str, dict[int, str]]:
    """The dynamic axes of each name; the outputs of a step are one token longer."""
    axes = {}
    sound = "input_features" in names
    for name in names:
        new = name.startswith("next_")
        kind = name.removeprefix("next_").partition(".")[0]
        if sound and name == "attention_mask":
            kind = "input_features"
        axes[name] = {axis: size if size != "past_len" or not new else "length" for axis, size in AXES[kind].items()}
    return axes


def why_not_written(config: Any) -> str | None:
    """None if a graph can hold a model of this configuration, otherwise the part of a sentence that says what not."""
    name = getattr(config, "image_backbone", None)
    return None if name is None else f"image_backbone='{name}', through which pictures of each size pass by themselves"


def check_writable(config: Any) -> None:
    """Raise a ValueError if no graph can hold a model of this configuration."""
    if reason := why_not_written(config):
        raise ValueError(f"A graph cannot hold {reason}: use the model with PyTorch.")


class EncoderGraph(nn.Module):
    """Reads the source; maps it and its mask, as [`Names.source`], to [`Names.encoder_outputs`]."""

    def __init__(self, model: AttnSeq2SeqForConditionalGeneration) -> None:
        super().__init__()
        self.config = model.config
        self.encoder = model.get_encoder()
        self.stack = model.get_decoder().stack

    def attentions(self) -> list[Attention]:
        if self.config.is_recurrent_decoder:
            return [self.stack.steps.attention]
        return [layer.cross_attention for layer in self.stack.layers]

    def forward(self, source: torch.Tensor, source_mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        modality = modality_of(self.config)
        out = self.encoder(**{modality.input_name: source, modality.mask_name: source_mask})
        states = out.last_hidden_state
        mask = out.attention_mask.bool()
        memories = [attention.memory(states, mask) for attention in self.attentions()]
        projected = [part for memory in memories for part in (memory.keys, memory.values)]
        if self.config.pointer:
            projected.append(source.to(states.dtype))
        own = [] if self.config.reads_tokens else [mask.long()]
        return (states, *own, *projected, *self.first_state(EncoderStates(states, out.final_state), mask, memories[0]))

    def first_state(self, source: EncoderStates, mask: torch.Tensor, memory: Any) -> list[torch.Tensor]:
        config, states = self.config, source.hidden_states
        if config.is_recurrent_decoder:
            state, attentional = self.stack.recall_state(states, source, mask, memory, None)
            return [state, attentional] if config.input_feeding else [state]
        if config.carries_state:
            sizes = [1, *(layer.mixer.state_size for layer in self.stack.layers)]
            return [states.new_zeros(states.shape[0], size) for size in sizes]
        heads = config.num_key_value_heads
        empty = states.new_zeros(states.shape[0], heads, 0, config.hidden_size // config.num_attention_heads)
        return [empty + 0 for _ in range(2 * config.decoder_layers)]  # one output each


class OutputGraph(nn.Module):
    """
    The output layer: `(rows, 1, hidden)` to logits `(rows, 1, vocab)`. With a pointer its input is `(rows, 1, hidden +
    1 + 2 * src_len)`: also the gate, the weights and the source's ids.
    """

    def __init__(self, model: AttnSeq2SeqForConditionalGeneration) -> None:
        super().__init__()
        self.config = model.config
        self.lm_head = model.get_output_embeddings()

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return logits_of(hidden, self.lm_head, self.config)


def logits_of(hidden: torch.Tensor, lm_head: nn.Module, config: AttnSeq2SeqConfig) -> torch.Tensor:
    """What [`OutputGraph`] computes."""
    if not config.pointer:
        return lm_head(hidden)
    size = config.readout_size
    weights, ids = hidden[..., size + 1 :].reshape(hidden.shape[0], 2, -1).unbind(1)
    logits, gate = lm_head(hidden[..., :size]), hidden[..., size]
    return mixed_log_probs(logits, gate, weights.unsqueeze(1), ids.long(), config.pointer_slots)


class DecoderGraph(nn.Module):
    """
    One step; maps [`Names.decoder_inputs`] to [`Names.decoder_outputs`]; the token is `(batch, 1)`. Without the output
    layer, what it would read stands in place of the logits.
    """

    def __init__(self, model: AttnSeq2SeqForConditionalGeneration, output_layer: bool = True) -> None:
        super().__init__()
        self.config = model.config
        self.decoder = model.get_decoder()
        self.lm_head = model.get_output_embeddings() if output_layer else None

    def forward(
        self, decoder_input_ids: torch.Tensor, attention_mask: torch.Tensor, *memory_and_state: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        embeds = self.decoder.embed(decoder_input_ids)
        recurrent = self.config.is_recurrent_decoder
        count = 2 if recurrent else 2 * self.config.decoder_layers
        memory, rest = memory_and_state[:count], memory_and_state[count:]
        ids, state = (rest[0], rest[1:]) if self.config.pointer else (None, rest)
        step = self.recurrent_step if recurrent else self.transformer_step
        hidden, gate, *others = step(embeds, attention_mask.bool(), memory, state)
        if ids is not None:
            rows = embeds.shape[0]
            of_rows = ids.unsqueeze(1).expand(-1, rows // ids.shape[0], -1).reshape(rows, 1, -1)
            weights = others[-1].mean(1)  # of the last layer, like the gate
            hidden = torch.cat([hidden, gate.unsqueeze(-1), weights, of_rows], dim=-1)
        if self.lm_head is not None:
            hidden = logits_of(hidden, self.lm_head, self.config)
        return (hidden, *others)

    def recurrent_step(
        self,
        embeds: torch.Tensor,
        mask: torch.Tensor,
        memory: tuple[torch.Tensor, ...],
        state: tuple[torch.Tensor, ...],
    ) -> list[torch.Tensor]:
        steps = self.decoder.stack.steps
        attentional = state[1] if self.config.input_feeding else embeds.new_zeros(())  # used only by input feeding
        out = steps(
            embeds,
            state[0],
            attentional,
            *memory,
            mask,
            step_mask=None,
            masks=steps.draw_dropout(embeds),
            output_weights=True,
            all_states=True,  # uses matrix products, which can be quantized, and not a fused kernel of one step
        )
        after = [out.states[:, -1], out.newest] if self.config.input_feeding else [out.states[:, -1]]
        return [out.attentional, out.gate, *after, *([] if out.weights is None else [out.weights])]

    def transformer_step(
        self,
        embeds: torch.Tensor,
        mask: torch.Tensor,
        memory: tuple[torch.Tensor, ...],
        state: tuple[torch.Tensor, ...],
    ) -> list[torch.Tensor]:
        stack = self.decoder.stack
        past: Any
        if self.config.carries_state:
            past = new_state_cache(len(stack.layers)).self_attention_cache
            for index, each in enumerate(state[1:]):
                write_state(past, each.unsqueeze(1), each[:, None, :0], 1, index)
            position = state[0].long()
        else:
            past = _cache_of(state)
            position = state[0].shape[2] + torch.zeros(1, 1, dtype=torch.long)
        cache = EncoderDecoderCache(past, _cache_of(memory))
        cache.is_updated = dict.fromkeys(range(len(stack.layers)), True)
        hidden = stack.positions(embeds, position, 0)
        angles = stack.positions.angles(position)
        weights = []
        for layer in stack.layers:
            # No mask: the token may attend to all before it. The source states are in the memory; only their number
            # is read.
            out = layer(hidden, None, angles, position, mask.unsqueeze(-1), mask, cache, output_attentions=True)
            hidden = out.hidden_states
            if out.cross_attentions is not None:
                weights.append(out.cross_attentions)
        if self.config.carries_state:
            after = [state[0] + 1.0, *(layer.keys[:, 0, -1] for layer in past.layers)]
        else:
            after = [part for layer in past.layers for part in (layer.keys, layer.values)]
        hidden = stack.norm(hidden)
        gate = None if stack.pointer is None else stack.pointer(out.context, hidden, embeds)
        return [hidden, gate, *after, *weights]


def _cache_of(parts: tuple[torch.Tensor, ...]) -> Any:
    """A cache with these keys and values, which alternate in the graph's inputs."""
    cache = DynamicCache()
    for keys, values in zip(parts[::2], parts[1::2]):
        layer = DynamicLayer()
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values
        cache.layers.append(layer)
    return cache


def write_graphs(model: AttnSeq2SeqForConditionalGeneration, folder: Path) -> Names:
    """
    Write both graphs of a model in single precision.

    Args:
        model: The model, on the CPU.
        folder: An existing folder.

    Raises:
        ValueError: No graph can hold the model.
    """
    check_writable(model.config)
    model = copy.deepcopy(model).float().eval()
    model.set_attn_implementation("eager")  # fused kernels do not return attention weights
    names = Names.of(model)
    source = sample_source(model, len(SAMPLE_LENGTHS), *SAMPLE_LENGTHS)
    encoder = EncoderGraph(model)
    _write(encoder, tuple(source.values()), folder / ENCODER_FILE, names.encoder_inputs, names.encoder_outputs)
    with torch.no_grad():
        known = {**source, **dict(zip(names.encoder_outputs, encoder(*source.values())))}
    known["decoder_input_ids"] = torch.full((len(SAMPLE_LENGTHS), 1), model.config.decoder_start_token_id or 0)
    sample = tuple(known[name] for name in names.decoder_inputs)
    _write(DecoderGraph(model), sample, folder / DECODER_FILE, names.decoder_inputs, names.decoder_outputs)
    return names


def sample_source(
    model: AttnSeq2SeqForConditionalGeneration, batch: int, length: int, shorter: int
) -> dict[str, torch.Tensor]:
    """
    A random source of so many states and its mask, by [`Names.source`]; in its second row, so many of them are real.

    A picture in two dimensions is `length` states wide, and two high. In batches of an odd size the last state stands
    for one frame or column: over several batches, lengths are no multiples of the stride.
    """
    config = model.config
    generator = torch.Generator().manual_seed(0)
    modality = modality_of(config)
    high, wide = source_stride(config)
    stride = high if modality == AUDIO else wide
    length, shorter = (stride * states - (stride - 1) * (batch % 2) for states in (length, shorter))
    if modality == TEXT:
        source = torch.randint(config.vocab_size, (batch, length), generator=generator)
    elif modality == AUDIO:
        source = torch.randn(batch, length, config.num_mel_bins, generator=generator)
    else:
        height = config.image_height or 2 * high + batch
        source = torch.randn(batch, config.image_channels, height, length, generator=generator)
    mask = torch.ones(modality.mask_shape(source.shape), dtype=torch.long)
    mask[1, ..., shorter:] = 0
    return {modality.input_name: source, modality.mask_name: mask}


def _write(
    graph: nn.Module, sample: tuple[torch.Tensor, ...], path: Path, inputs: list[str], outputs: list[str]
) -> None:
    with warnings.catch_warnings(), torch.no_grad():
        # The tracer warns about each size that it reads; the tests and the export check that none is fixed.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph.eval(),
            sample,
            str(path),
            dynamo=False,  # the newer exporter unrolls recurrences to the traced length
            opset_version=OPSET,
            input_names=inputs,
            output_names=outputs,
            dynamic_axes=free_axes([*inputs, *outputs]),
        )
