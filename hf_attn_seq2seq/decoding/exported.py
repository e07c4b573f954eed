# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Exported models, run with ONNX Runtime.

Transformers' `generate()` works as with the PyTorch model: greedy search, beam search and sampling. Two graphs replace
the encoder and the decoder.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import GenerationConfig
from transformers.modeling_outputs import Seq2SeqLMOutput
from transformers.utils import ModelOutput

from hf_attn_seq2seq.configuration_attn_seq2seq import AttnSeq2SeqConfig
from hf_attn_seq2seq.decoding.graph import import_onnxruntime
from hf_attn_seq2seq.decoding.names import DESCRIPTION
from hf_attn_seq2seq.decoding.safety import is_plain
from hf_attn_seq2seq.frontend import FRONTENDS
from hf_attn_seq2seq.graphs.format import STATES_MASK
from hf_attn_seq2seq.messages import quoted
from hf_attn_seq2seq.modality import modality_of
from hf_attn_seq2seq.modeling_attn_seq2seq import (
    AttnSeq2SeqForConditionalGeneration,
    AttnSeq2SeqPreTrainedModel,
    check_ids,
)


FORMAT = "hf_attn_seq2seq exported model"
VERSION = 1
Tensors = dict[str, torch.Tensor]


class Description(NamedTuple):
    """The contents of `exported.json`; its other entries document where the graphs come from."""

    kind: str  # "onnx" or "int8"
    encoder: str  # file
    decoder: str
    memory: list[str]  # computed by the encoder, passed to each step
    state: list[str]  # computed by the encoder, updated by each step: an input, and an output prefixed with `next_`
    attentions: list[str]  # outputs of each step, one per layer with attention

    @classmethod
    def read(cls, folder: Path) -> "Description":
        """Raises a ValueError if the file is not in this format, or of a newer version."""
        path = folder / DESCRIPTION
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError):
            raise ValueError(f"'{path}' cannot be read: export the model again.") from None
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError(f"'{path}' does not describe an exported model of this package: export the model again.")
        if content.get("version") != VERSION:
            raise ValueError(
                f"'{folder}' was exported in version {content.get('version')} of the format, but this package reads "
                f"version {VERSION}: update the package, or export the model again."
            )
        try:
            description = cls(
                content["kind"],
                content["encoder"]["file"],
                content["decoder"]["file"],
                content["memory"],
                content["state"],
                content["attentions"],
            )
        except (KeyError, TypeError):
            raise ValueError(f"'{path}' is incomplete: export the model again.") from None
        for file in (description.encoder, description.decoder):
            if not is_plain(file, ".onnx"):
                raise ValueError(
                    f"'{path}' names {quoted(str(file))}, but may only name .onnx files in the same folder: export "
                    "the model again."
                )
        return description


class Graph:
    """An ONNX graph in a CPU session with as many threads as PyTorch uses."""

    def __init__(self, path: Path) -> None:
        onnxruntime = import_onnxruntime()
        if not path.is_file():
            raise ValueError(f"'{path.parent}' is incomplete, {path.name} is missing: export the model again.")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors
        try:
            self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception:  # ONNX Runtime has a separate exception for each kind of damage
            raise ValueError(f"'{path}' is not a graph that ONNX Runtime can read: export the model again.") from None
        self.inputs = [each.name for each in self.session.get_inputs()]  # without those that the graph does not use
        self.outputs = [each.name for each in self.session.get_outputs()]

    def __call__(self, values: Tensors, outputs: list[str]) -> Tensors:
        feed = {name: values[name].numpy() for name in self.inputs}
        return {name: torch.from_numpy(array) for name, array in zip(outputs, self.session.run(outputs, feed))}


class ExportedEncoder(nn.Module):
    """The encoder's graph: its states, and the other inputs of the decoder's graph."""

    def __init__(self, graph: Graph, config: AttnSeq2SeqConfig) -> None:
        super().__init__()
        self.graph = graph
        self.config = config
        self.vocab_size = config.vocab_size + config.pointer_slots
        self.modality = modality_of(config)
        self.main_input_name = self.modality.input_name

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        input_features: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        pixel_mask: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> ModelOutput:
        """
        Args:
            input_ids: `(batch, src_len)`.
            attention_mask: `(batch, src_len)`, 1 for real tokens or frames, at any position; None: all are real.
            input_features, pixel_values, pixel_mask: As for [`AttnSeq2SeqEncoder.forward`].

        Returns:
            `last_hidden_state` `(batch, src_len, encoder_hidden)`, the mask that belongs to it where that is not the
            source's own, the memory and the initial state.

        Raises:
            ValueError: The source is empty, ids are outside the vocabulary, or frames or pixels do not fit the model.
        """
        given = {"input_ids": input_ids, "input_features": input_features, "pixel_values": pixel_values}
        masks = {"attention_mask": attention_mask, "pixel_mask": pixel_mask}
        source, mask = given[self.main_input_name], masks[self.modality.mask_name]
        if self.config.reads_tokens:
            if source is None or source.numel() == 0:
                raise ValueError("The source is empty: give at least one token, such as the end token.")
            check_ids("input_ids", source, self.vocab_size)
            source = source.long()
        else:
            FRONTENDS[self.config.frontend].check(self.config, source, mask)
            source = source.float()
        if mask is None:
            mask = torch.ones(self.modality.mask_shape(source.shape))
        feed = {self.main_input_name: source, self.modality.mask_name: mask.long()}
        return ModelOutput(self.graph(feed, self.graph.outputs))


class ExportedCache:
    """The decoder's state, reordered with the beams."""

    is_compileable = False

    def __init__(self) -> None:
        self.state: Tensors = {}
        self.length = 0  # tokens consumed

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self.length

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        self.state = {name: part.index_select(0, beam_idx) for name, part in self.state.items()}


class ExportedModel(AttnSeq2SeqForConditionalGeneration):
    """An exported model behind `generate()` and `forward()`. It has no PyTorch weights and cannot be trained."""

    base_model_prefix = ""  # there is no base model that Transformers could inspect

    def __init__(self, folder: str | Path) -> None:
        """
        Args:
            folder: A folder written by `export`.

        Raises:
            ValueError: The folder is incomplete or broken.
            ImportError: ONNX Runtime is not installed.
        """
        folder = Path(folder)
        description = Description.read(folder)
        self.hold(folder, description, Graph(folder / description.encoder), Graph(folder / description.decoder))

    def hold(self, folder: Path, description: Description, encoder: Graph, decoder: Graph) -> None:
        """Become the model of these graphs, with the settings of the folder."""
        # Not the parent's own, which makes weights.
        AttnSeq2SeqPreTrainedModel.__init__(self, AttnSeq2SeqConfig.from_pretrained(folder))
        self.description = description
        self.ctc_head = None  # it is not exported
        self.encoder = ExportedEncoder(encoder, self.config)
        self.decoder_step = decoder
        try:
            self.generation_config = GenerationConfig.from_pretrained(folder)
        except (OSError, ValueError, TypeError):
            raise ValueError(
                f"'{folder}' is incomplete: it has no usable generation_config.json. Export the model again."
            ) from None
        self.name_or_path = self.config._name_or_path = str(folder)  # the folder of its alignment.json
        self.eval()

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32

    def get_encoder(self, modality: str | None = None) -> ExportedEncoder:
        return self.encoder

    def to(self, device: Any = None, *args: Any, **kwargs: Any) -> "ExportedModel":  # type: ignore[override]
        if isinstance(device, str | int | torch.device) and torch.device(device).type != "cpu":
            raise ValueError(f"An exported model runs on the CPU, not on '{device}': use the device cpu.")
        return self

    def save_pretrained(self, *args: Any, **kwargs: Any) -> None:
        raise ValueError(f"An exported model cannot be saved: copy its folder, '{self.name_or_path}'.")

    def forward(  # type: ignore[override]
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        decoder_input_ids: torch.Tensor | None = None,
        decoder_attention_mask: torch.Tensor | None = None,
        encoder_outputs: Any = None,
        past_key_values: ExportedCache | None = None,
        output_attentions: bool | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        input_features: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        pixel_mask: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> Seq2SeqLMOutput:
        """
        Feed target tokens, one at a time.

        Args:
            input_ids: `(batch, src_len)`.
            attention_mask: `(batch, src_len)`, 1 for real source tokens; None: all are real.
            decoder_input_ids: `(batch, tgt_len)`: the tokens that `past_key_values` has not read yet.
            decoder_attention_mask: `(batch, past_len + tgt_len)`, all 1.
            encoder_outputs: The output of [`ExportedEncoder`], instead of `input_ids`.
            past_key_values: The state after earlier tokens; None: start from the initial state.
            output_attentions: Whether to return `cross_attentions`.
            use_cache: Whether to return the state.
            input_features, pixel_values, pixel_mask: As for [`ExportedEncoder`].
            logits_to_keep: Number of final positions to compute logits for; 0: all.

        Returns:
            `logits` `(batch, tgt_len, decoder_vocab)` and `cross_attentions`, `(batch, heads, tgt_len, src_len)` per
            layer with attention.

        Raises:
            ValueError: Something is requested that the graphs do not support.
        """
        for name, value in kwargs.items():
            if name in ("labels", "inputs_embeds", "decoder_inputs_embeds", "output_hidden_states") and (
                value is not None and value is not False
            ):
                raise ValueError(f"An exported model does not accept {name}: use the model that it was exported from.")
        if decoder_attention_mask is not None and not bool(decoder_attention_mask.all()):
            raise ValueError(
                "An exported model does not accept padding in decoder_input_ids: give targets of equal length."
            )
        if decoder_input_ids is None:
            raise ValueError("decoder_input_ids are missing: give target tokens that begin with the start token.")
        if output_attentions and not self.description.attentions:
            raise ValueError("attention_type='none' has no attention weights to return: leave out output_attentions.")
        if encoder_outputs is None:
            encoder_outputs = self.encoder(input_ids, attention_mask, input_features, pixel_values, pixel_mask)
        elif any(name not in encoder_outputs for name in (*self.description.memory, *self.description.state)):
            raise ValueError(
                "An exported model needs the encoder_outputs of its own encoder: call model.get_encoder()(...)."
            )
        cache = ExportedCache() if past_key_values is None else past_key_values
        self._check_length(cache.length + decoder_input_ids.shape[1])
        mask = encoder_outputs.get(STATES_MASK, attention_mask)
        if mask is None:
            mask = torch.ones(encoder_outputs.last_hidden_state.shape[:2], dtype=torch.long)
        steps = [
            self._step(token, mask, encoder_outputs, cache, bool(output_attentions))
            for token in decoder_input_ids.long().split(1, dim=1)
        ]
        logits = torch.cat([step["logits"] for step in steps], dim=1)
        return Seq2SeqLMOutput(
            logits=logits[:, -logits_to_keep:],
            past_key_values=cache if past_key_values is not None or use_cache else None,  # type: ignore[arg-type]
            cross_attentions=tuple(
                torch.cat([step[name] for step in steps], dim=2)
                for name in (self.description.attentions if output_attentions else [])
            )
            or None,
            encoder_last_hidden_state=encoder_outputs.last_hidden_state,
        )

    def _step(
        self, token: torch.Tensor, mask: torch.Tensor, source: Any, cache: ExportedCache, attend: bool
    ) -> Tensors:
        """Process one token `(batch, 1)` and advance the cache."""
        about = self.description
        state = cache.state or {name: source[name] for name in about.state}
        memory = {name: source[name] for name in about.memory}
        after = [f"next_{name}" for name in about.state]
        outputs = ["logits", *after, *(about.attentions if attend else [])]
        step = self.decoder_step(
            {"decoder_input_ids": token, self._mask_name(): mask.long(), **memory, **state}, outputs
        )
        cache.state = {name: step[next_name] for name, next_name in zip(about.state, after)}
        cache.length += 1
        return step

    def _mask_name(self) -> str:
        """Of the decoder graph's input for the mask of the encoder's states."""
        return "attention_mask" if self.config.reads_tokens else STATES_MASK

    def _check_length(self, length: int) -> None:
        if self._has_learned_positions() and length > self.config.max_position_embeddings:
            raise ValueError(
                f"A sequence of {length} tokens is longer than max_position_embeddings="
                f"{self.config.max_position_embeddings}: shorten it."
            )

    # What generate() asks of a model.

    def _prepare_cache_for_generation(
        self, generation_config: Any, model_kwargs: dict[str, Any], *args: Any, **kwargs: Any
    ) -> None:
        if generation_config.use_cache is not False and model_kwargs.get("past_key_values") is None:
            model_kwargs["past_key_values"] = ExportedCache()
