# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Exported models, run by ONNX Runtime.

Transformers' `generate()` searches as it does with the PyTorch model: greedily, with beams, by sampling. The two
graphs stand in for encoder and decoder.
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
from hf_attn_seq2seq.decoding.safety import is_plain
from hf_attn_seq2seq.modeling_attn_seq2seq import (
    AttnSeq2SeqForConditionalGeneration,
    AttnSeq2SeqPreTrainedModel,
    check_ids,
)


DESCRIPTION = "exported.json"
FORMAT = "hf_attn_seq2seq exported model"
VERSION = 1
Tensors = dict[str, torch.Tensor]


class Description(NamedTuple):
    """What `exported.json` says; its other entries tell people where the graphs come from."""

    kind: str  # "onnx" or "int8"
    encoder: str  # file
    decoder: str
    memory: list[str]  # made by the encoder, given to each step
    state: list[str]  # made by the encoder, changed by each step: an input, and an output with `next_` before it
    attentions: list[str]  # outputs of each step, one a layer that attends

    @classmethod
    def read(cls, folder: Path) -> "Description":
        """Raises a ValueError where the file is none of this format, or of a newer version."""
        path = folder / DESCRIPTION
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError):
            raise ValueError(f"'{path}' cannot be read: export the model again.") from None
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError(f"'{path}' describes no exported model of this package: export the model again.")
        if content.get("version") != VERSION:
            raise ValueError(
                f"'{folder}' was exported in version {content.get('version')} of the format, and this package reads "
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
                    f"'{path}' names {str(file)[:200]!r}, and may only name .onnx files that lie beside it: export "
                    "the model again."
                )
        return description


class Graph:
    """An ONNX graph in a session on the CPU, with as many threads as PyTorch has."""

    def __init__(self, path: Path) -> None:
        onnxruntime = import_onnxruntime()
        if not path.is_file():
            raise ValueError(f"'{path.parent}' is incomplete: there is no {path.name} in it. Export the model again.")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors
        try:
            self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception:  # ONNX Runtime has an exception of its own for each way of being broken
            raise ValueError(f"'{path}' is no graph that ONNX Runtime can read: export the model again.") from None
        self.inputs = [each.name for each in self.session.get_inputs()]  # without those that the graph has no use for
        self.outputs = [each.name for each in self.session.get_outputs()]

    def __call__(self, values: Tensors, outputs: list[str]) -> Tensors:
        feed = {name: values[name].numpy() for name in self.inputs}
        return {name: torch.from_numpy(array) for name, array in zip(outputs, self.session.run(outputs, feed))}


def import_onnxruntime() -> Any:
    """The library; an ImportError that names the extra where it is missing."""
    try:
        import onnxruntime
    except ImportError:
        raise ImportError(
            "Exported models need ONNX Runtime: pip install 'hf_attn_seq2seq[export]' (or onnxruntime alone)."
        ) from None
    return onnxruntime


class ExportedEncoder(nn.Module):
    """The encoder's graph: states, and whatever the decoder's graph asks for."""

    main_input_name = "input_ids"

    def __init__(self, graph: Graph, vocab_size: int) -> None:
        super().__init__()
        self.graph = graph
        self.vocab_size = vocab_size

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **kwargs: Any
    ) -> ModelOutput:
        """
        Args:
            input_ids: `(batch, src_len)`.
            attention_mask: `(batch, src_len)`, 1 on real tokens, wherever they lie; None: all are real.

        Returns:
            `last_hidden_state` `(batch, src_len, encoder_hidden)`, the memory and the first state.

        Raises:
            ValueError: The source is empty, or ids are outside the vocabulary.
        """
        if input_ids is None or input_ids.numel() == 0:
            raise ValueError("The source is empty: it needs at least one token, such as the end token.")
        check_ids("input_ids", input_ids, self.vocab_size)
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask.long()
        feed = {"input_ids": input_ids.long(), "attention_mask": mask}
        return ModelOutput(self.graph(feed, self.graph.outputs))


class ExportedCache:
    """The decoder's state, which follows the beams."""

    is_compileable = False

    def __init__(self) -> None:
        self.state: Tensors = {}
        self.length = 0  # tokens consumed

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self.length

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        self.state = {name: part.index_select(0, beam_idx) for name, part in self.state.items()}


class ExportedModel(AttnSeq2SeqForConditionalGeneration):
    """An exported model behind `generate()` and `forward()`. It has no weights of its own, and is not trained."""

    base_model_prefix = ""  # there is no body within that Transformers could look into

    def __init__(self, folder: str | Path) -> None:
        """
        Args:
            folder: What `export` wrote.

        Raises:
            ValueError: The folder is incomplete or broken.
            ImportError: ONNX Runtime is not installed.
        """
        folder = Path(folder)
        description = Description.read(folder)
        # Not the parent's own, which makes weights.
        AttnSeq2SeqPreTrainedModel.__init__(self, AttnSeq2SeqConfig.from_pretrained(folder))
        self.description = description
        self.encoder = ExportedEncoder(Graph(folder / description.encoder), self.config.vocab_size)
        self.decoder_step = Graph(folder / description.decoder)
        try:
            self.generation_config = GenerationConfig.from_pretrained(folder)
        except (OSError, ValueError, TypeError):
            raise ValueError(
                f"'{folder}' is incomplete: it has no usable generation_config.json. Export the model again."
            ) from None
        self.name_or_path = self.config._name_or_path = str(folder)  # where its alignment.json lies
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
            raise ValueError(f"An exported model runs on a CPU, not on '{device}': give the device cpu.")
        return self

    def save_pretrained(self, *args: Any, **kwargs: Any) -> None:
        raise ValueError(f"An exported model is saved by copying its folder, '{self.name_or_path}'.")

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
        **kwargs: Any,
    ) -> Seq2SeqLMOutput:
        """
        Feed target tokens, one at a time.

        Args:
            input_ids: `(batch, src_len)`.
            attention_mask: `(batch, src_len)`, 1 on real source tokens; None: all are real.
            decoder_input_ids: `(batch, tgt_len)`: those that `past_key_values` has not consumed.
            decoder_attention_mask: `(batch, past_len + tgt_len)`, all 1.
            encoder_outputs: What [`ExportedEncoder`] returned, in the place of `input_ids`.
            past_key_values: The state after earlier tokens; None: start anew.
            output_attentions: Whether `cross_attentions` are wanted.
            use_cache: Whether the state is handed back.
            logits_to_keep: How many of the last positions get logits; 0: all.

        Returns:
            `logits` `(batch, tgt_len, decoder_vocab)` and `cross_attentions`, a `(batch, heads, tgt_len, src_len)`
            for each layer that attends.

        Raises:
            ValueError: Something is asked for that the graphs do not do.
        """
        for name, value in kwargs.items():
            if name in ("labels", "inputs_embeds", "decoder_inputs_embeds", "output_hidden_states") and (
                value is not None and value is not False
            ):
                raise ValueError(f"An exported model takes no {name}: use the model that it was exported from.")
        if decoder_attention_mask is not None and not bool(decoder_attention_mask.all()):
            raise ValueError("An exported model takes no padding in decoder_input_ids: give targets of one length.")
        if decoder_input_ids is None:
            raise ValueError("Give decoder_input_ids that begin with the start token.")
        if output_attentions and not self.description.attentions:
            raise ValueError("attention_type='none' has no attention weights to return: do not ask for attentions.")
        if encoder_outputs is None:
            encoder_outputs = self.encoder(input_ids, attention_mask)
        elif any(name not in encoder_outputs for name in (*self.description.memory, *self.description.state)):
            raise ValueError(
                "An exported model needs the encoder_outputs of its own encoder: call get_encoder()(...)."
            )
        cache = ExportedCache() if past_key_values is None else past_key_values
        self._check_length(cache.length + decoder_input_ids.shape[1])
        if attention_mask is None:
            attention_mask = torch.ones(encoder_outputs.last_hidden_state.shape[:2], dtype=torch.long)
        steps = [
            self._step(token, attention_mask, encoder_outputs, cache, bool(output_attentions))
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
        """One token `(batch, 1)`; the cache is brought forward."""
        about = self.description
        state = cache.state or {name: source[name] for name in about.state}
        memory = {name: source[name] for name in about.memory}
        after = [f"next_{name}" for name in about.state]
        outputs = ["logits", *after, *(about.attentions if attend else [])]
        step = self.decoder_step(
            {"decoder_input_ids": token, "attention_mask": mask.long(), **memory, **state}, outputs
        )
        cache.state = {name: step[next_name] for name, next_name in zip(about.state, after)}
        cache.length += 1
        return step

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
