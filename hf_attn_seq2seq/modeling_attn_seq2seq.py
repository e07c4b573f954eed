# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Attention encoder-decoders as Transformers models: `from_pretrained`, `Trainer`, `generate()`, `push_to_hub`."""

import copy
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import initialization as init
from transformers.cache_utils import Cache, DynamicCache, EncoderDecoderCache
from transformers.dynamic_module_utils import custom_object_save
from transformers.generation import GenerationMixin
from transformers.loss.loss_utils import ForMaskedLMLoss
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import (
    BaseModelOutput,
    BaseModelOutputWithPastAndCrossAttentions,
    Seq2SeqLMOutput,
    Seq2SeqModelOutput,
)
from transformers.modeling_utils import PreTrainedModel
from transformers.processing_utils import Unpack
from transformers.utils import ModelOutput, TransformersKwargs, can_return_tuple
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.import_utils import is_tracing
from transformers.utils.output_capturing import OutputRecorder, capture_outputs

from .attention import Attention
from .cache_attn_seq2seq import AttnSeq2SeqCache, SharedSourceCache, new_state_cache
from .cells import CELLS, RecurrentCell
from .configuration_attn_seq2seq import AttnSeq2SeqConfig, target_vocabulary
from .ctc import CTCPrefixScores, ctc_loss
from .frontend import FRONTENDS
from .fused import is_plain_linear, runs_plainly
from .labels import IGNORED
from .messages import check_layer
from .mixers import SelfAttention
from .modality import TEXT, modality_of
from .output_layer import UnreadLogitsOutput, chunked_cross_entropy, lengths_to_last_label
from .pointer import copied_mass, coverage_loss, known_ids, mixed_log_probs, pointer_cross_entropy
from .recorder import record
from .recurrent import RecurrentDecoder, RecurrentEncoder
from .short_steps import active_steps, keep_heap, short_steps
from .transformer import TransformerDecoder, TransformerEncoder


ENCODERS: dict[str, type[nn.Module]] = {
    **dict.fromkeys(CELLS, RecurrentEncoder),
    "transformer": TransformerEncoder,
}
DECODERS: dict[str, type[nn.Module]] = {
    **dict.fromkeys(CELLS, RecurrentDecoder),
    "transformer": TransformerDecoder,
}


def open_to_readers(path: str | os.PathLike[str]) -> None:
    """Give a file the mode that the umask says: safetensors writes one for its owner alone."""
    umask = os.umask(0o077)
    os.umask(umask)
    os.chmod(path, 0o666 & ~umask)


def shift_tokens_right(
    labels: torch.Tensor, pad_token_id: int | None, decoder_start_token_id: int | None
) -> torch.Tensor:
    """
    The decoder's input for `(batch, tgt_len)` labels: the start token, then the labels but the last; -100 becomes
    padding.

    Raises:
        ValueError: The configuration names no start or no pad token.
    """
    for name, value in (("decoder_start_token_id", decoder_start_token_id), ("pad_token_id", pad_token_id)):
        if value is None:
            raise ValueError(f"Labels need {name}, which is not set: set config.{name}.")
    shifted = torch.cat([torch.full_like(labels[:, :1], decoder_start_token_id), labels[:, :-1]], dim=1)
    return shifted.masked_fill(shifted == IGNORED, pad_token_id)


def check_inputs(
    side: str,
    input_ids: torch.Tensor | None,
    inputs_embeds: torch.Tensor | None,
    mask: torch.Tensor | None,
    vocab_size: int,
    embedding_size: int,
    past_len: int | torch.Tensor = 0,
    mask_dims: tuple[int, ...] = (2,),
) -> None:
    """
    Refuse what would otherwise fail deep inside, or silently give nonsense, with one sentence.

    The values of ids are looked at on a CPU only, where that costs no waiting for a device.

    Args:
        side: "source" or "target", for the sentence.
        input_ids: `(batch, length)`.
        inputs_embeds: `(batch, length, embedding)`.
        mask: `(batch, past_len + length)`.
        vocab_size, embedding_size: Of that side's table.
        past_len: Tokens consumed before; a static cache counts in a tensor, which is not waited for.
        mask_dims: How many dimensions the mask may have.
    """
    prefix = "" if side == "source" else "decoder_"
    if (input_ids is None) == (inputs_embeds is None):
        raise ValueError(f"Give exactly one of {prefix}input_ids and {prefix}inputs_embeds.")
    given = input_ids if input_ids is not None else inputs_embeds
    batch, length = given.shape[:2] if given.dim() >= 2 else (0, 0)
    if given.dim() != (2 if input_ids is not None else 3):
        shape = "(batch, length)" if input_ids is not None else "(batch, length, embedding)"
        raise ValueError(f"The {side} has shape {tuple(given.shape)}: it must be {shape}.")
    if inputs_embeds is not None and inputs_embeds.shape[-1] != embedding_size:
        raise ValueError(
            f"The {side}'s embeddings are {inputs_embeds.shape[-1]} wide: the model's are {embedding_size}."
        )
    if length == 0:
        raise ValueError(f"The {side} is empty: it needs at least one token, such as the end token.")
    if batch == 0:
        raise ValueError(f"The {side} is an empty batch: it needs at least one sentence.")
    if mask is not None and mask.dim() not in mask_dims:
        raise ValueError(
            f"The {side}'s {prefix}attention_mask has shape {tuple(mask.shape)}: it must be (batch, length), one "
            "number per token."
        )
    if isinstance(past_len, int) and mask is not None and mask.dim() == 2:
        expected = (batch, past_len + length)
        if tuple(mask.shape) != expected:
            raise ValueError(
                f"The {side}'s {prefix}attention_mask has shape {tuple(mask.shape)}: it must be {expected}, one "
                "number per token."
            )
    if is_tracing(given):
        return
    if input_ids is not None and input_ids.dtype not in (torch.long, torch.int):
        raise ValueError(f"The {side}'s {prefix}input_ids must be integers, not {input_ids.dtype}.")
    begun = not isinstance(past_len, int) or past_len > 0
    generated = begun and length == 1  # chosen by the model itself: no need to look at each step
    if input_ids is not None and input_ids.device.type == "cpu" and not generated:
        check_ids(f"{prefix}input_ids", input_ids, vocab_size)


def check_ids(name: str, ids: torch.Tensor, vocab_size: int) -> None:
    """Raise a ValueError where ids lie outside `[0, vocab_size)`."""
    low, high = (int(end) for end in ids.aminmax())
    if low < 0 or high >= vocab_size:
        wrong = low if low < 0 else high
        raise ValueError(
            f"{name} hold {wrong}, which is outside the vocabulary of {vocab_size} tokens: use the model's own "
            "tokenizer."
        )


class AttnSeq2SeqPreTrainedModel(PreTrainedModel):
    """Base class of all models: weight initialization, and the class attributes that Transformers requires."""

    config_class = AttnSeq2SeqConfig
    config: AttnSeq2SeqConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _no_split_modules = [
        "RecurrentEncoderLayer",
        "RecurrentDecoder",  # not its steps alone: the attention's projections of the source run before them
        "TransformerEncoderLayer",
        "TransformerDecoderLayer",
    ]
    _skip_keys_device_placement = ["past_key_values"]
    # Without attention, a Transformer decoder with pre-norm once had a norm here whose result was unused.
    _keys_to_ignore_on_load_unexpected = [r"layers\.\d+\.cross_attention_norm\."]
    _supports_flash_attn = True
    _supports_sdpa = True
    _can_compile_fullgraph = True
    _is_stateful = False

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # A width of 0.02, Transformers' default, starves a tanh readout of gradient: scale by the sizes instead.
        if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d)):
            init.xavier_uniform_(module.weight)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            init.normal_(module.weight, mean=0.0, std=module.embedding_dim**-0.5)
            if module.padding_idx is not None and not getattr(module.weight, "_is_hf_initialized", False):
                module.weight[module.padding_idx].zero_()
        elif isinstance(module, (RecurrentCell, Attention)):
            module.init_weights()
        else:
            super()._init_weights(module)

    def __init__(self, config: AttnSeq2SeqConfig, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, *args, **kwargs)
        modality = modality_of(config)
        self.main_input_name = modality.input_name
        self.input_modalities = modality.name

    @property
    def dummy_inputs(self) -> dict[str, torch.Tensor]:
        source = FRONTENDS[self.config.frontend].dummy_inputs(self.config, self.device)
        targets = torch.full((2, 1), self.config.decoder_start_token_id or 0, device=self.device)
        return {**source, "decoder_input_ids": targets}

    def save_pretrained(self, save_directory: Any, *args: Any, **kwargs: Any) -> None:
        if self._auto_class is not None:
            # Transformers would name the saved class alone: name both, so that each loads the other's folder too.
            self.config.auto_map = {
                "AutoModel": "modeling_attn_seq2seq.AttnSeq2SeqModel",
                "AutoModelForSeq2SeqLM": "modeling_attn_seq2seq.AttnSeq2SeqForConditionalGeneration",
            }
            # Being imported here, their files are copied too.
            from .pipeline_attn_seq2seq import TASK, AttnTranslationPipeline
            from .pipeline_media_attn_seq2seq import PIPELINES

            modality = modality_of(self.config)
            self.config.auto_map[modality.auto_class] = self.config.auto_map["AutoModelForSeq2SeqLM"]
            classes: dict[str, Any] = {task: PIPELINES[task] for task in modality.pipelines}
            if modality == TEXT:
                classes[TASK] = AttnTranslationPipeline
            self.config.custom_pipelines = {
                task: {"impl": f"{each.__module__.split('.')[-1]}.{each.__name__}", "pt": [modality.auto_class]}
                for task, each in classes.items()
            }
        settings: Any = getattr(self, "generation_config", None)
        if getattr(settings, "ctc_weight", None) is not None:
            settings._from_model_config = False  # or loading would leave out what Transformers does not know
        self._write_tying()
        weights = self._tables()
        if "head" in weights and weights["head"] is weights["source"] is not weights["target"]:
            # No configuration says this, so the head is saved beside the table and loaded as one of its own.
            state = kwargs.get("state_dict") or self.state_dict()
            kwargs["state_dict"] = {**state, "lm_head.weight": state["lm_head.weight"].clone()}
        use_cache, self.config.use_cache = self.config.use_cache, True  # which every Trainer switches off
        try:
            super().save_pretrained(save_directory, *args, **kwargs)
        finally:
            self.config.use_cache = use_cache
        for path in Path(save_directory).glob("model*.safetensors"):
            open_to_readers(path)
        vars(self.config).pop("custom_pipelines", None)
        around, name = os.path.split(save_directory)
        if self._auto_class is not None and around and re.fullmatch(r"checkpoint-\d+", name):
            # While it trains, Trainer(push_to_hub=True) pushes the folder around its checkpoints: it copies weights
            # and configuration there, but not the code that the configuration names.
            custom_object_save(self, around)

    def get_expanded_tied_weights_keys(self, all_submodels: bool = False) -> dict[str, str]:
        # Transformers ties nothing unless tie_word_embeddings is set; here two tables can be shared without the third.
        if all_submodels:
            return super().get_expanded_tied_weights_keys(all_submodels=True)
        return dict(self._tied_keys())

    def _tied_keys(self) -> dict[str, str]:
        """Names of the parameters of this module that are others' too, as `{this: that}`."""
        return {}

    def _tables(self) -> dict[str, nn.Parameter]:
        """
        The weights of the `source` and `target` tables and of the `head`; empty where they are not at hand (a part of
        the model alone, or weights that are offloaded, flattened or quantised).
        """
        model = getattr(self, "model", self)
        modules = {
            "source": getattr(getattr(model, "encoder", None), "embed_tokens", None),
            "target": getattr(getattr(model, "decoder", None), "embed_tokens", None),
        }
        if model is not self:
            modules["head"] = getattr(self, "lm_head", None)
        weights = {name: getattr(module, "weight", None) for name, module in modules.items()}
        known = all(isinstance(each, nn.Parameter) and each.device.type != "meta" for each in weights.values())
        return weights if known else {}

    def _write_tying(self) -> None:
        """
        Let the configuration say which tables are one.

        PEFT compares the head with the source's table alone after merging, and calls the head of a model with two
        tables untied; and a table that was trained apart, as its `modules_to_save` are, is tied no more.
        """
        weights = self._tables()
        if not weights:
            return
        self.config.share_encoder_decoder_embeddings = weights["source"] is weights["target"]
        if "head" in weights:
            self.config.tie_word_embeddings = weights["head"] is weights["target"]
        for module in self.modules():
            if isinstance(module, AttnSeq2SeqPreTrainedModel):
                module._tied_weights_keys = module._tied_keys()

    def get_input_embeddings(self) -> nn.Embedding:
        side = self.get_encoder() if self.config.reads_tokens else self.get_decoder()
        return side.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        if not self.config.reads_tokens:
            self.get_decoder().embed_tokens = value
            return
        self.get_encoder().embed_tokens = value
        if self.config.share_encoder_decoder_embeddings:
            self.get_decoder().embed_tokens = value

    def _resize_token_embeddings(
        self, new_num_tokens: int | None, pad_to_multiple_of: int | None = None, mean_resizing: bool = True
    ) -> nn.Embedding:
        self._write_tying()
        # One tokenizer serves both sides where they count the same tokens.
        one_vocabulary = self.config.decoder_vocab_size == self.config.vocab_size
        old = self.get_input_embeddings()
        new = self._get_resized_embeddings(old, new_num_tokens, pad_to_multiple_of, mean_resizing)
        new.requires_grad_(old.weight.requires_grad)
        self.set_input_embeddings(new)
        if one_vocabulary:
            self._resize_target_embeddings(new.num_embeddings, mean_resizing)
        return new

    def resize_decoder_token_embeddings(self, new_num_tokens: int, mean_resizing: bool = True) -> nn.Embedding:
        """
        Resize the target table and the output layer alone.

        `resize_token_embeddings` resizes both sides where they count the same number of tokens, else the source alone.

        Raises:
            ValueError: Both sides share one table, which `resize_token_embeddings` resizes.
        """
        self._write_tying()
        if self.config.share_encoder_decoder_embeddings:
            raise ValueError("Source and target share one table: call resize_token_embeddings instead.")
        self._resize_target_embeddings(new_num_tokens, mean_resizing)
        self.tie_weights()
        return self.get_decoder().embed_tokens

    def _resize_target_embeddings(self, new_num_tokens: int, mean_resizing: bool) -> None:
        decoder = self.get_decoder()
        if not self.config.share_encoder_decoder_embeddings:
            old = decoder.embed_tokens
            decoder.embed_tokens = self._get_resized_embeddings(old, new_num_tokens, None, mean_resizing)
            decoder.embed_tokens.requires_grad_(old.weight.requires_grad)
        head = self.get_output_embeddings()
        if head is not None:
            new_head = self._get_resized_lm_head(head, new_num_tokens, mean_resizing=mean_resizing)
            new_head.requires_grad_(head.weight.requires_grad)
            self.set_output_embeddings(new_head)
        self.config.decoder_vocab_size = new_num_tokens


@dataclass
class EncoderOutput(BaseModelOutput):
    """
    What the encoder returns.

    Attributes:
        final_state: `(batch, encoder_layers, parts, encoder_hidden)`: the state in which each layer ends, both
            directions side by side; h, and the c of an LSTM. None unless the decoder's `bridge` reads it.
        attention_mask: `(batch, states)`: the mask that belongs to the states, nonzero on real ones; None: all are.
        source_ids: `(batch, src_len)`: the tokens, for a pointer to copy; then there is a mask too. None without one.
    """

    final_state: torch.FloatTensor | None = None
    attention_mask: torch.Tensor | None = None
    source_ids: torch.LongTensor | None = None

    @classmethod
    def of(cls, outputs: Any) -> BaseModelOutput:
        """An encoder's output, as it was returned or as a tuple, in which tensors are told apart by their shape."""
        if isinstance(outputs, BaseModelOutput):
            return outputs
        first, *others = outputs
        tensors = [part for part in others if isinstance(part, torch.Tensor)]
        final: Any = next((part for part in tensors if part.dim() == 4), None)
        mask, ids, *_ = (*(part for part in tensors if part.dim() == 2), None, None)
        layers, attentions, *_ = (*(part for part in others if not isinstance(part, torch.Tensor)), None, None)
        return cls(first, layers, attentions, final, mask, ids)  # type: ignore[arg-type]

    @staticmethod
    def mask_of(outputs: Any, attention_mask: torch.Tensor | None) -> torch.Tensor | None:
        """The mask that belongs to the states: the encoder's own, or the one given beside an output that has none."""
        own = getattr(outputs, "attention_mask", None)
        return attention_mask if own is None else own


@dataclass
class DecoderModelOutput(BaseModelOutputWithPastAndCrossAttentions):
    """
    What the decoder returns.

    Attributes:
        pointer_gate: `(batch, tgt_len)`: p_gen before its sigmoid; None without a pointer.
        mean_weights: `(batch, tgt_len, src_len)`: the attention that a pointer or the coverage loss reads, else None.
    """

    pointer_gate: torch.FloatTensor | None = None
    mean_weights: torch.FloatTensor | None = None


@dataclass
class AttnSeq2SeqModelOutput(Seq2SeqModelOutput):
    """What the model without an output layer returns; see [`EncoderOutput`] and [`DecoderModelOutput`]."""

    pointer_gate: torch.FloatTensor | None = None
    mean_weights: torch.FloatTensor | None = None
    source_ids: torch.LongTensor | None = None


class AttnSeq2SeqEncoder(AttnSeq2SeqPreTrainedModel):
    """
    A source to states: the `frontend`, which for tokens is a table of embeddings, and the stack that `encoder_type`
    names.
    """

    _can_record_outputs = {
        "hidden_states": OutputRecorder(GradientCheckpointingLayer),
        "attentions": OutputRecorder(SelfAttention, index=1),
    }

    def __init__(self, config: AttnSeq2SeqConfig) -> None:
        super().__init__(config)
        self.frontend = FRONTENDS[config.frontend](config)
        if config.reads_tokens:
            self.embed_tokens = nn.Embedding(config.vocab_size, config.embedding_size, config.pad_token_id)
        self.stack = ENCODERS[config.encoder_type](config)
        self.gradient_checkpointing = False
        self.post_init()

    def get_encoder(self, modality: str | None = None) -> "AttnSeq2SeqEncoder":
        return self

    def get_input_embeddings(self) -> nn.Embedding | None:  # type: ignore[override]
        return getattr(self, "embed_tokens", None)

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.embed_tokens = value  # type: ignore[assignment]

    @merge_with_config_defaults
    @capture_outputs
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        input_features: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        pixel_mask: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> EncoderOutput:
        """
        Args:
            input_ids: `(batch, src_len)`.
            attention_mask: `(batch, src_len)`, 1 on real tokens or frames, wherever they lie; None: all are real.
            inputs_embeds: `(batch, src_len, embedding)`, instead of `input_ids`.
            input_features: `(batch, frames, num_mel_bins)`, where `frontend="speech"`.
            pixel_values: `(batch, channels, height, width)`, where `frontend="image"`.
            pixel_mask: `(batch, height, width)`, 1 on the real pixels of pictures, whole rows and columns; None: all.

        Returns:
            `last_hidden_state` `(batch, states, encoder_hidden)`; `attention_mask` `(batch, states)`, which belongs to
            them; and `final_state` for bridges that read it. Of tokens there is a state each.

        Raises:
            ValueError: No source or an empty one, one that is all padding, ids outside the vocabulary, a mask that
                does not fit.
        """
        given = {"input_ids": input_ids, "input_features": input_features, "pixel_values": pixel_values}
        modality, inputs = modality_of(self.config), given.pop(self.main_input_name)
        if modality != TEXT:
            given["inputs_embeds"] = inputs_embeds
        for name, other in given.items():
            if other is not None:
                raise ValueError(
                    f"This model has frontend='{self.config.frontend}': give {self.main_input_name}, not {name}."
                )
        mask = {"attention_mask": attention_mask, "pixel_mask": pixel_mask}[modality.mask_name]
        if modality == TEXT:
            # An adapter around the table has no sizes.
            vocab_size = getattr(self.embed_tokens, "num_embeddings", self.config.vocab_size)
            vocab_size += self.config.pointer_slots
            check_inputs("source", inputs, inputs_embeds, mask, vocab_size, self.config.embedding_size)
            inputs = inputs_embeds if inputs is None else self.embed_tokens(known_ids(inputs, self.config))
        else:
            self.frontend.check(self.config, inputs, mask)
        if mask is not None and not is_tracing(mask):
            empty = (~mask.bool().flatten(1).any(1)).nonzero()
            if len(empty):
                raise ValueError(
                    f"Source {int(empty[0])} of the batch is all padding: it needs at least one real {modality.unit}."
                )
        embedded = self.frontend(inputs, mask)
        out = self.stack(embedded.embeds, embedded.mask, output_attentions=bool(kwargs.get("output_attentions")))
        record(self, embeddings=embedded.embeds, states=out.hidden_states)
        own_mask, source_ids = out.mask, input_ids if self.config.pointer else None
        if source_ids is not None and own_mask is None:
            own_mask = torch.ones_like(source_ids)
        return EncoderOutput(
            last_hidden_state=out.hidden_states,
            final_state=out.final_state,
            attention_mask=own_mask,
            source_ids=source_ids,
        )


class AttnSeq2SeqDecoder(AttnSeq2SeqPreTrainedModel):
    """Target tokens and encoder states to what the output layer reads: a table and the stack of `decoder_type`."""

    def __init__(self, config: AttnSeq2SeqConfig) -> None:
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.decoder_vocab_size, config.embedding_size, config.pad_token_id)
        self.stack = DECODERS[config.decoder_type](config)
        self.gradient_checkpointing = False
        self.post_init()

    def get_decoder(self) -> "AttnSeq2SeqDecoder":
        return self

    def get_input_embeddings(self) -> nn.Embedding:
        return self.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.embed_tokens = value  # type: ignore[assignment]

    def embed(self, input_ids: torch.Tensor) -> torch.Tensor:
        """`(batch, tgt_len)` ids to `(batch, tgt_len, embedding)`; with `zero_start`, 0 for the start token."""
        embeds = self.embed_tokens(known_ids(input_ids, self.config))
        if self.config.zero_start:
            starts = input_ids == self.config.decoder_start_token_id
            embeds = embeds.masked_fill(starts.unsqueeze(-1), 0.0)
        return embeds

    @merge_with_config_defaults
    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        encoder_hidden_states: torch.Tensor | None = None,
        encoder_attention_mask: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        use_cache: bool | None = None,
        encoder_final_state: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> DecoderModelOutput:
        """
        Args:
            input_ids: `(batch, tgt_len)`: the tokens not consumed yet.
            attention_mask: `(batch, past_len + tgt_len)`, 1 on real tokens; None: all are real.
            encoder_hidden_states: `(batch, src_len, encoder_hidden)`.
            encoder_attention_mask: `(batch, src_len)`, 1 on real tokens; None: all are real.
            past_key_values: The state after the tokens consumed before.
            inputs_embeds: `(batch, tgt_len, embedding)`, instead of `input_ids`.
            use_cache: Whether to return the state after these tokens.
            encoder_final_state: `(batch, encoder_layers, parts, encoder_hidden)`, for bridges that read it.

        Returns:
            `last_hidden_state` `(batch, tgt_len, readout)`; where asked for, `cross_attentions` of `(batch, heads,
            tgt_len, src_len)`: row t belongs to token t fed, and predicts the next.

        Raises:
            ValueError: No target or an empty one, ids outside the vocabulary, masks or caches that do not fit, or
                attentions asked of `attention_type="none"`.
        """
        if past_key_values is not None and not isinstance(past_key_values, EncoderDecoderCache):
            raise ValueError(
                f"past_key_values must be an EncoderDecoderCache, not a {type(past_key_values).__name__}."
            )
        if use_cache and past_key_values is None:
            past_key_values = self._new_cache()
        past_len = 0 if past_key_values is None else past_key_values.get_seq_length()
        # Self-attention also takes the square masks that Transformers builds.
        mask_dims = (2,) if self.config.carries_state else (2, 4)
        vocab_size = getattr(self.embed_tokens, "num_embeddings", self.config.decoder_vocab_size)
        vocab_size += self.config.pointer_slots
        sizes = (vocab_size, self.config.embedding_size)
        check_inputs("target", input_ids, inputs_embeds, attention_mask, *sizes, past_len, mask_dims)
        if encoder_hidden_states is None:
            raise ValueError("The decoder needs encoder_hidden_states.")
        # shape[0] throughout, not len(): that would fix the batch of an exported graph.
        rows = (input_ids if input_ids is not None else inputs_embeds).shape[0]
        self._check_encoder(encoder_hidden_states, encoder_attention_mask, rows)
        self._check_cache(past_key_values, rows, past_len)
        output_attentions = bool(kwargs.get("output_attentions", self.config.output_attentions))
        output_hidden_states = kwargs.get("output_hidden_states", self.config.output_hidden_states)
        if output_attentions and self.config.attention_type == "none":
            raise ValueError("attention_type='none' has no attention weights to return: do not ask for attentions.")

        if inputs_embeds is None:
            inputs_embeds = self.embed(input_ids)
        record(self, embeddings=inputs_embeds)
        out = self.stack(
            inputs_embeds,
            attention_mask,
            encoder_hidden_states,
            encoder_attention_mask,
            past_key_values,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states not in (None, False),
            wanted_lengths=kwargs.get("wanted_lengths"),
            encoder_final_state=encoder_final_state,
        )
        return DecoderModelOutput(
            last_hidden_state=out.last_hidden_state,
            past_key_values=past_key_values,
            hidden_states=self._select_hidden_states(out.hidden_states, output_hidden_states),
            attentions=out.attentions if output_attentions else None,
            cross_attentions=out.cross_attentions if output_attentions else None,
            pointer_gate=out.gate,
            mean_weights=out.weights,
        )

    @staticmethod
    def _select_hidden_states(
        states: tuple[torch.Tensor, ...], wanted: bool | int | list[int] | None
    ) -> tuple[torch.Tensor | None, ...] | None:
        """All of them, or those of the given indices with None for the others, as Transformers' own models do."""
        if wanted is None or wanted is False:
            return None
        if wanted is True:
            return states
        indices = {index % len(states) for index in ([wanted] if isinstance(wanted, int) else wanted)}
        return tuple(state if index in indices else None for index, state in enumerate(states))

    def _new_cache(self) -> EncoderDecoderCache:
        if self.config.carries_state:
            return new_state_cache(self.config.num_states)
        return EncoderDecoderCache(DynamicCache(config=self.config), DynamicCache(config=self.config))

    def _check_cache(self, cache: EncoderDecoderCache | None, rows: int, past_len: int | torch.Tensor) -> None:
        layers: Any = cache.self_attention_cache.layers if cache is not None else []
        if layers and layers[0].is_initialized and layers[0].keys.shape[0] != rows:
            held = layers[0].keys.shape[0]
            raise ValueError(f"The target has {rows} rows and past_key_values has {held}: they must match.")
        begun = isinstance(past_len, int) and past_len > 0
        if begun and self.config.carries_state and not cache.is_updated.get(0):
            # The model fills both halves; keys and values of another would be taken for its state.
            raise ValueError(
                "past_key_values has tokens but no source, so it is not this decoder's state: pass what the model "
                "itself returned. Prefix tuning needs a Transformer decoder with self-attention; use prompt tuning "
                "here."
            )

    def _check_encoder(self, states: torch.Tensor, mask: torch.Tensor | None, rows: int) -> None:
        # Torch's fused recurrences trust these sizes, and read past the end where they are wrong.
        if states.dim() != 3 or states.shape[-1] != self.config.encoder_hidden_size:
            raise ValueError(
                f"The encoder's states have shape {tuple(states.shape)}: they must be (batch, src_len, "
                f"{self.config.encoder_hidden_size})."
            )
        if states.shape[0] != rows:
            raise ValueError(
                f"The source has {states.shape[0]} rows and the target {rows}: give one target per source."
            )
        if mask is not None and tuple(mask.shape) != tuple(states.shape[:2]):
            raise ValueError(
                f"The source's attention_mask has shape {tuple(mask.shape)}: it must be {tuple(states.shape[:2])}, "
                "one number per encoder state."
            )


class AttnSeq2SeqModel(AttnSeq2SeqPreTrainedModel):
    """Encoder and decoder joined by an attention, without an output layer."""

    def __init__(self, config: AttnSeq2SeqConfig) -> None:
        super().__init__(config)
        self.encoder = AttnSeq2SeqEncoder(config)
        self.decoder = AttnSeq2SeqDecoder(config)
        self._tied_weights_keys = self._tied_keys()
        self.post_init()

    def _tied_keys(self) -> dict[str, str]:
        if not self.config.share_encoder_decoder_embeddings:
            return {}
        return {"decoder.embed_tokens.weight": "encoder.embed_tokens.weight"}

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        decoder_input_ids: torch.Tensor | None = None,
        decoder_attention_mask: torch.Tensor | None = None,
        encoder_outputs: Any = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        decoder_inputs_embeds: torch.Tensor | None = None,
        use_cache: bool | None = None,
        input_features: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        pixel_mask: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> AttnSeq2SeqModelOutput:
        """
        Args:
            input_ids: Source tokens, `(batch, src_len)`.
            attention_mask: `(batch, src_len)`, 1 on real source tokens, wherever they lie; None: all are real.
            decoder_input_ids: Target tokens, `(batch, tgt_len)`, beginning with the start token.
            decoder_attention_mask: `(batch, past_len + tgt_len)`, 1 on real target tokens; None: all are real.
            encoder_outputs: What the encoder returned before (its output, or a tuple that begins with the states
                `(batch, src_len, encoder_hidden)`), instead of a source.
            past_key_values: The decoder's state after earlier target tokens.
            inputs_embeds: `(batch, src_len, embedding)`, instead of `input_ids`.
            decoder_inputs_embeds: `(batch, tgt_len, embedding)`, instead of `decoder_input_ids`.
            use_cache: Whether to return the decoder's state.
            input_features, pixel_values, pixel_mask: Speech and pictures, as for [`AttnSeq2SeqEncoder.forward`].

        Returns:
            `last_hidden_state` `(batch, tgt_len, hidden)` and, where asked for, `cross_attentions`: for a recurrent
            decoder one tensor `(batch, heads, tgt_len, src_len)`, for a Transformer one a layer. A recurrent stack has
            no self-attention, so its `encoder_attentions` and `decoder_attentions` are empty; so are the latter with
            another `decoder_mixer` than attention.
        """
        if encoder_outputs is None:
            encoder_outputs = self.encoder(
                input_ids=input_ids,
                attention_mask=attention_mask,
                inputs_embeds=inputs_embeds,
                input_features=input_features,
                pixel_values=pixel_values,
                pixel_mask=pixel_mask,
                **kwargs,
            )
        encoder_outputs = EncoderOutput.of(encoder_outputs)
        source_ids = getattr(encoder_outputs, "source_ids", None) if input_ids is None else input_ids
        if self.config.pointer and source_ids is None:
            raise ValueError(
                "A pointer copies tokens of the source: give input_ids, or encoder_outputs that the encoder made of "
                "them, with their source_ids; beside inputs_embeds, give the tokens as source_ids of encoder_outputs."
            )
        decoder_outputs = self.decoder(
            input_ids=decoder_input_ids,
            attention_mask=decoder_attention_mask,
            encoder_hidden_states=encoder_outputs.last_hidden_state,
            encoder_attention_mask=EncoderOutput.mask_of(encoder_outputs, attention_mask),
            past_key_values=past_key_values,
            inputs_embeds=decoder_inputs_embeds,
            use_cache=use_cache,
            encoder_final_state=getattr(encoder_outputs, "final_state", None),
            **kwargs,
        )
        return AttnSeq2SeqModelOutput(
            last_hidden_state=decoder_outputs.last_hidden_state,
            past_key_values=decoder_outputs.past_key_values,
            decoder_hidden_states=decoder_outputs.hidden_states,
            decoder_attentions=decoder_outputs.attentions,
            cross_attentions=decoder_outputs.cross_attentions,
            encoder_last_hidden_state=encoder_outputs.last_hidden_state,
            encoder_hidden_states=encoder_outputs.hidden_states,
            encoder_attentions=encoder_outputs.attentions,
            pointer_gate=decoder_outputs.pointer_gate,
            mean_weights=decoder_outputs.mean_weights,
            source_ids=source_ids if self.config.pointer else None,
        )


class AttnSeq2SeqForConditionalGeneration(AttnSeq2SeqPreTrainedModel, GenerationMixin):
    """
    An attention encoder-decoder with an output layer: for training on labels and for `generate()`.

    Example:

    ```python
    >>> import torch
    >>> from hf_attn_seq2seq import AttnSeq2SeqConfig, AttnSeq2SeqForConditionalGeneration

    >>> model = AttnSeq2SeqForConditionalGeneration(AttnSeq2SeqConfig(vocab_size=1000))
    >>> source, target = torch.randint(3, 1000, (2, 7)), torch.randint(3, 1000, (2, 5))
    >>> loss = model(input_ids=source, labels=target).loss
    >>> translation = model.generate(source, num_beams=5, max_new_tokens=50)

    ```
    """

    def __init__(self, config: AttnSeq2SeqConfig) -> None:
        super().__init__(config)
        self.model = AttnSeq2SeqModel(config)
        self.lm_head = nn.Linear(config.readout_size, config.decoder_vocab_size, bias=config.output_bias)
        self.ctc_head: nn.Linear | None = None
        if config.ctc_weight:
            self.ctc_head = nn.Linear(config.encoder_hidden_size, config.decoder_vocab_size)
        # The class's name selects a causal loss, which would shift the labels a second time.
        self.loss_type = "ForMaskedLM"
        self._tied_weights_keys = self._tied_keys()
        self.post_init()

    def _tied_keys(self) -> dict[str, str]:
        if not self.config.tie_word_embeddings:
            return {}
        owner = "encoder" if self.config.share_encoder_decoder_embeddings else "decoder"
        return {"lm_head.weight": f"model.{owner}.embed_tokens.weight"}

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        decoder_input_ids: torch.Tensor | None = None,
        decoder_attention_mask: torch.Tensor | None = None,
        encoder_outputs: Any = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        decoder_inputs_embeds: torch.Tensor | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        label_smoothing: float = 0.0,
        output_logits: bool | None = None,
        input_features: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        pixel_mask: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> Seq2SeqLMOutput:
        """
        Args:
            labels: Target tokens `(batch, tgt_len)` without the start token; -100 is ignored. The decoder's input is
                made from them where it is not given.
            logits_to_keep: How many of the last positions get logits; 0: all.
            label_smoothing: Share of probability that the loss spreads over all tokens (Szegedy et al. 2016).
            output_logits: False returns the loss without logits, which saves their time and memory, and True both.
                None: both, where logits that training leaves out are computed when they are first read, before the
                optimizer's step. Those behind a row's last label may then be 0.
            input_ids, attention_mask, decoder_input_ids, decoder_attention_mask, encoder_outputs, past_key_values,
            inputs_embeds, decoder_inputs_embeds, use_cache, input_features, pixel_values, pixel_mask: As for
                [`AttnSeq2SeqModel.forward`].

        Returns:
            `loss` (cross-entropy, with `ctc_weight` joined by that of CTC; per label, or the sum over
            `num_items_in_batch`) and `logits` `(batch,
            tgt_len, decoder_vocab)`.

        Raises:
            ValueError: Neither labels nor a target are given, or one of the reasons of the encoder and the decoder.
        """
        short = active_steps(self)
        if short is not None and decoder_input_ids is not None and decoder_input_ids is short.accepted:
            short.accepted = None
            cache: Any = past_key_values
            mask = EncoderOutput.mask_of(encoder_outputs, attention_mask)
            logits = short.step(decoder_input_ids, cache, encoder_outputs[0], mask)
            return Seq2SeqLMOutput(logits=logits, past_key_values=cache)
        if labels is not None:
            use_cache = False
            if labels.dim() != 2:
                raise ValueError(f"The labels have shape {tuple(labels.shape)}: they must be (batch, tgt_len).")
            if decoder_input_ids is None and decoder_inputs_embeds is None:
                decoder_input_ids = self.prepare_decoder_input_ids_from_labels(labels)
        if decoder_input_ids is None and decoder_inputs_embeds is None:
            raise ValueError("Give labels to train on, or decoder_input_ids that begin with the start token.")
        leave_out = labels is not None and self._leaves_out_logits(labels, output_logits, kwargs)
        if leave_out and past_key_values is None:
            kwargs["wanted_lengths"] = lengths_to_last_label(labels)  # type: ignore[typeddict-unknown-key]
        if labels is not None and self.ctc_head is not None and encoder_outputs is None:
            encoder_outputs = self.model.encoder(
                input_features=input_features,
                attention_mask=attention_mask,
                pixel_values=pixel_values,
                pixel_mask=pixel_mask,
                **kwargs,
            )
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            decoder_input_ids=decoder_input_ids,
            decoder_attention_mask=decoder_attention_mask,
            encoder_outputs=encoder_outputs,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            decoder_inputs_embeds=decoder_inputs_embeds,
            use_cache=use_cache,
            input_features=input_features,
            pixel_values=pixel_values,
            pixel_mask=pixel_mask,
            **kwargs,
        )
        kept: Any = logits_to_keep
        if not isinstance(kept, torch.Tensor):
            kept = slice(-kept, None) if kept else slice(None)
        hidden_states = outputs.last_hidden_state[:, kept]
        gate, weights = (
            None if each is None else each[:, kept] for each in (outputs.pointer_gate, outputs.mean_weights)
        )

        def finish(logits: torch.Tensor) -> torch.Tensor:
            if gate is None:
                return logits
            return mixed_log_probs(logits, gate, weights, outputs.source_ids, self.config.pointer_slots)

        if labels is not None:
            self._check_labels(labels, hidden_states)
        loss = logits = None
        if leave_out:
            assert labels is not None
            divisor = kwargs.get("num_items_in_batch")
            inputs = (hidden_states, self.lm_head.weight)
            if gate is None:
                loss = chunked_cross_entropy(*inputs, labels, divisor, label_smoothing)
            else:
                copied = copied_mass(weights, outputs.source_ids, labels)
                loss = pointer_cross_entropy(*inputs, gate, copied, labels, divisor, label_smoothing)
        else:
            written = self.lm_head(hidden_states)
            logits = finish(written)
            if gate is not None:
                record(self, copied=weights)
            record(self, hidden=hidden_states, logits=written)
            if labels is not None:
                loss = self._loss_of(logits, labels, label_smoothing, written, **kwargs)
        if labels is not None and self.training and self.config.coverage_loss_weight:
            loss = loss + self._coverage_loss(weights, labels, kwargs.get("num_items_in_batch"))
        if loss is not None and self.ctc_head is not None:
            loss = self._with_ctc(loss, EncoderOutput.of(encoder_outputs), attention_mask, labels, **kwargs)
        result = Seq2SeqLMOutput(
            loss=loss,
            logits=None if output_logits is False else logits,
            past_key_values=outputs.past_key_values,
            decoder_hidden_states=outputs.decoder_hidden_states,
            decoder_attentions=outputs.decoder_attentions,
            cross_attentions=outputs.cross_attentions,
            encoder_last_hidden_state=outputs.encoder_last_hidden_state,
            encoder_hidden_states=outputs.encoder_hidden_states,
            encoder_attentions=outputs.encoder_attentions,
        )
        if leave_out and output_logits is None:
            return UnreadLogitsOutput.of(result, self.lm_head, hidden_states, finish)
        return result

    def _check_labels(self, labels: torch.Tensor, hidden_states: torch.Tensor) -> None:
        if hidden_states.shape[:2] != labels.shape:
            raise ValueError(
                f"The labels have shape {tuple(labels.shape)} and the target {tuple(hidden_states.shape[:2])}: give "
                "one label per target token."
            )
        if not is_tracing(labels) and labels.device.type == "cpu":
            # An adapter around the output layer has no sizes.
            vocab_size = getattr(self.lm_head, "out_features", self.config.decoder_vocab_size)
            vocab_size += self.config.pointer_slots
            check_ids("labels", labels.masked_fill(labels == IGNORED, 0), vocab_size)

    def _leaves_out_logits(
        self, labels: torch.Tensor, output_logits: bool | None, loss_arguments: dict[str, Any]
    ) -> bool:
        """
        Whether the loss alone is computed. Where logits may still be read, only in training: not under autocast, where
        whatever wraps the model reads all outputs to convert them.
        """
        if output_logits or not runs_plainly(labels):
            return False
        trains = self.training and torch.is_grad_enabled()
        if output_logits is None and (not trains or torch.is_autocast_enabled(labels.device.type)):
            return False
        return (
            self.loss_function is ForMaskedLMLoss
            and loss_arguments.get("ignore_index", IGNORED) == IGNORED
            and is_plain_linear(self.lm_head)
            and self.lm_head.bias is None
        )

    def _loss_of(
        self,
        logits: torch.Tensor,
        labels: torch.Tensor,
        label_smoothing: float,
        written: torch.Tensor,
        **kwargs: Any,
    ) -> torch.Tensor:
        """
        The loss that `loss_function` gives, or its cross-entropy with label smoothing: of a pointer's, what the output
        layer has `written` is smoothed, as in [`pointer_cross_entropy`].
        """
        if not label_smoothing:
            return self.loss_function(logits=logits, labels=labels, vocab_size=logits.shape[-1], **kwargs)
        logits, labels = logits.float().flatten(0, 1), labels.to(logits.device).flatten()
        divisor = kwargs.get("num_items_in_batch")
        reduction = "mean" if divisor is None else "sum"
        smoothed = 0.0 if self.config.pointer else label_smoothing
        loss = nn.functional.cross_entropy(logits, labels, reduction=reduction, label_smoothing=smoothed)
        if self.config.pointer:
            rows = written.float().flatten(0, 1)[labels != IGNORED].log_softmax(-1).mean(-1)
            spread = -rows.mean() if divisor is None else -rows.sum()
            loss = (1 - label_smoothing) * loss + label_smoothing * spread
        return loss if divisor is None else loss / divisor

    def _coverage_loss(
        self, weights: torch.Tensor, labels: torch.Tensor, divisor: torch.Tensor | int | None
    ) -> torch.Tensor:
        """Its share of the loss (See et al. 2017, eq. 13)."""
        real = labels.to(weights.device) != IGNORED
        return (
            self.config.coverage_loss_weight
            * coverage_loss(weights, real)
            / (real.sum() if divisor is None else divisor)
        )

    def ctc_logits(self, encoder_hidden_states: torch.Tensor) -> torch.Tensor:
        """
        What CTC says of the encoder's states: `(batch, states, encoder_hidden)` to `(batch, states, vocab)`.

        Raises:
            ValueError: The model has no output layer for CTC.
        """
        if self.ctc_head is None:
            raise ValueError(
                "This model has no CTC: it needs ctc_weight above 0 in its configuration, from training on."
            )
        return self.ctc_head(encoder_hidden_states)  # type: ignore[no-any-return]

    def _with_ctc(
        self,
        loss: torch.Tensor,
        encoder_outputs: Any,
        attention_mask: torch.Tensor | None,
        labels: torch.Tensor,
        num_items_in_batch: torch.Tensor | int | None = None,
        **kwargs: Any,
    ) -> torch.Tensor:
        """(1 - w) attention + w CTC (Watanabe et al. 2017, eq. 21), both divided by the number of labels."""
        mask = EncoderOutput.mask_of(encoder_outputs, attention_mask)
        logits = self.ctc_logits(encoder_outputs[0])
        total = ctc_loss(logits, mask, labels, self.config.pad_token_id, self._end_tokens(self.config.eos_token_id))
        divisor = (labels != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
        weight = self.config.ctc_weight
        return (1 - weight) * loss + weight * (total / divisor).to(loss.dtype)

    @staticmethod
    def _end_tokens(ends: Any) -> list[int]:
        return [] if ends is None else [int(end) for end in (ends if isinstance(ends, (list, tuple)) else [ends])]

    def prepare_decoder_input_ids_from_labels(self, labels: torch.Tensor) -> torch.Tensor:
        """The decoder's input for `(batch, tgt_len)` labels; data collators call this."""
        return shift_tokens_right(labels, self.config.pad_token_id, self.config.decoder_start_token_id)

    # What generate() asks of a model, where the library's defaults would give wrong results.

    def generate(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """
        Transformers' `generate`, whose helpers count the target's tokens where the source has others.

        Besides its own arguments it takes `ctc_weight`, the share that CTC has in the score of a hypothesis (Watanabe
        et al. 2017), of a model that was trained with CTC; it can also stand in `generation_config`.

        To detect a watermark in the output of a model with two vocabularies, pass
        `model.config.get_text_config(decoder=True)` to `WatermarkDetector`: `model.config` has the source's size.
        """
        assistant = kwargs.get("assistant_model")
        sizes = [getattr(getattr(model, "config", None), "vocab_size", None) for model in (self, assistant)]
        if assistant is not None and assistant.config.is_encoder_decoder and sizes[0] != sizes[1]:
            raise ValueError(
                f"The assistant's source vocabulary has {sizes[1]} tokens and the model's has {sizes[0]}: they "
                "must use the same source tokenizer."
            )
        if "ctc_weight" in kwargs:
            settings: Any = copy.deepcopy(kwargs.pop("generation_config", None) or self.generation_config)
            settings.ctc_weight = kwargs.pop("ctc_weight")
            kwargs = {"generation_config": settings, **settings.update(**kwargs)}
        with target_vocabulary(), short_steps(self):
            return super().generate(*args, **kwargs)  # type: ignore[misc]

    def compute_transition_scores(self, *args: Any, **kwargs: Any) -> torch.Tensor:  # type: ignore[override]
        """As Transformers' own."""
        with target_vocabulary():
            return super().compute_transition_scores(*args, **kwargs)  # type: ignore[misc]

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        loaded = super().from_pretrained(*args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        if model.generation_config._from_model_config:
            # Without a file of its own it is read from config.json as that stands: see `AttnSeq2SeqConfig.from_dict`.
            model.generation_config.use_cache = model.config.use_cache
        return loaded

    def _maybe_prepare_encoder_kwargs_for_generation(
        self,
        inputs_tensor: torch.Tensor,
        model_kwargs: dict[str, Any],
        model_input_name: str | None,
        generation_config: Any,
    ) -> dict[str, Any]:
        self._complete_encoder_kwargs(inputs_tensor, model_kwargs, generation_config)
        return super()._maybe_prepare_encoder_kwargs_for_generation(  # type: ignore[misc]
            inputs_tensor, model_kwargs, model_input_name, generation_config
        )

    def _prepare_encoder_decoder_kwargs_for_generation(
        self,
        inputs_tensor: torch.Tensor,
        model_kwargs: dict[str, Any],
        model_input_name: str | None,
        generation_config: Any,
    ) -> dict[str, Any]:
        """What Transformers 5.17 calls in the place of the method above."""
        self._complete_encoder_kwargs(inputs_tensor, model_kwargs, generation_config)
        return super()._prepare_encoder_decoder_kwargs_for_generation(  # type: ignore[misc]
            inputs_tensor, model_kwargs, model_input_name, generation_config
        )

    def _complete_encoder_kwargs(
        self, inputs_tensor: torch.Tensor, model_kwargs: dict[str, Any], generation_config: Any
    ) -> None:
        if generation_config.num_beams is not None and generation_config.num_beams < 1:
            raise ValueError(f"num_beams={generation_config.num_beams} must be at least 1.")
        weight = getattr(generation_config, "ctc_weight", None)
        if weight is not None and not 0.0 <= weight <= 1.0:
            raise ValueError(f"ctc_weight={weight} is a share of the score: give a number from 0 to 1.")
        if weight and self.ctc_head is None:
            raise ValueError(
                f"ctc_weight={weight} needs a model that was trained with CTC, and this one has none: leave it out."
            )
        if generation_config.length_penalty is not None and not math.isfinite(generation_config.length_penalty):
            raise ValueError(f"length_penalty={generation_config.length_penalty} must be a finite number.")
        # Transformers 5 infers no mask for encoder-decoders: padding would then be read as words.
        if (
            self.config.reads_tokens
            and model_kwargs.get("attention_mask") is None
            and model_kwargs.get("encoder_outputs") is None
        ):
            model_kwargs["attention_mask"] = self._prepare_attention_mask_for_generation(
                inputs_tensor, generation_config, model_kwargs
            )

    def prepare_inputs_for_generation(  # type: ignore[override]
        self,
        input_ids: Any,
        next_sequence_length: int | None = None,
        past_key_values: Any = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """As Transformers' own; accepts a step that [`ShortSteps`] can take."""
        short = active_steps(self)
        if short is not None and next_sequence_length == 1:
            ids = input_ids[:, -1:]
            if short.takes(ids, past_key_values, kwargs):
                short.accepted = ids
                return {"decoder_input_ids": ids, "past_key_values": past_key_values, **kwargs}
        return super().prepare_inputs_for_generation(  # type: ignore[misc]
            input_ids, next_sequence_length=next_sequence_length, past_key_values=past_key_values, **kwargs
        )

    def _prepare_decoder_input_ids_for_generation(  # type: ignore[override]
        self, batch_size: int, model_input_name: str, model_kwargs: dict[str, Any], *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, dict[str, Any]]:
        ids, model_kwargs = super()._prepare_decoder_input_ids_for_generation(  # type: ignore[misc]
            batch_size, model_input_name, model_kwargs, *args, **kwargs
        )
        cache: Any = model_kwargs.get("past_key_values")
        if cache is not None and cache.get_seq_length() > 0 and model_kwargs.get("decoder_attention_mask") is None:
            # Without a mask to count by, Transformers feeds a prefix again that the cache holds already.
            model_kwargs["decoder_attention_mask"] = torch.ones_like(ids)
        return ids, model_kwargs

    def _prepare_cache_for_generation(
        self, generation_config: Any, model_kwargs: dict[str, Any], *args: Any, **kwargs: Any
    ) -> None:
        self._refuse_mixed_vocabularies(generation_config)
        given = model_kwargs.get("past_key_values") is not None
        if generation_config.cache_implementation is not None and self._has_learned_positions():
            length = generation_config.max_length
            if length is not None and length > self.config.max_position_embeddings + 1:
                raise ValueError(
                    f"Up to {length} tokens are requested, but max_position_embeddings="
                    f"{self.config.max_position_embeddings}: lower max_new_tokens."
                )
        dynamic = generation_config.cache_implementation in (None, "dynamic")
        if not given and dynamic and self.config.carries_state and generation_config.use_cache is not False:
            # Transformers would copy the configuration twice to make caches that are replaced below.
            model_kwargs["past_key_values"] = EncoderDecoderCache(DynamicCache(), DynamicCache())
        else:
            super()._prepare_cache_for_generation(generation_config, model_kwargs, *args, **kwargs)  # type: ignore[misc]
        cache = model_kwargs.get("past_key_values")
        if given or not isinstance(cache, EncoderDecoderCache):
            return
        copies = max(generation_config.num_beams, generation_config.num_return_sequences)
        if self.device.type == "cpu" and model_kwargs.get("encoder_outputs"):
            keep_heap(model_kwargs["encoder_outputs"][0].shape[0] * self.config.decoder_vocab_size)
        cross = cache.cross_attention_cache
        if copies > 1 and type(cross) is DynamicCache and not cross.offloading:
            cache.cross_attention_cache = SharedSourceCache(copies)
        if self.config.carries_state and type(cache.self_attention_cache) is DynamicCache:
            cache.self_attention_cache = AttnSeq2SeqCache(self.config.num_states)
            if generation_config.is_assistant:
                cache.activate_past_recording()

    def _get_logits_processor(self, generation_config: Any, *args: Any, **kwargs: Any) -> Any:
        processors = super()._get_logits_processor(generation_config, *args, **kwargs)  # type: ignore[misc]
        weight = getattr(generation_config, "ctc_weight", None)
        if weight:
            model_kwargs = kwargs.get("model_kwargs") or {}
            outputs = model_kwargs["encoder_outputs"]
            copies = max(generation_config.num_beams or 1, generation_config.num_return_sequences or 1)
            mask = EncoderOutput.mask_of(outputs, model_kwargs.get("attention_mask"))
            with torch.no_grad():
                logits = self.ctc_logits(outputs[0][::copies])
            ends = self._end_tokens(generation_config.eos_token_id)
            blank = self.config.pad_token_id
            start_len = kwargs.get("input_ids_seq_length") or 1
            # Before those that forbid tokens, whose word is the last.
            processors.insert(
                0, CTCPrefixScores(logits, None if mask is None else mask[::copies], weight, blank, ends, start_len)
            )
        return processors

    def _refuse_mixed_vocabularies(self, generation_config: Any) -> None:
        source, target = self.config.vocab_size, self.config.decoder_vocab_size
        if source == target:
            return
        for name, idle in (("encoder_repetition_penalty", 1.0), ("encoder_no_repeat_ngram_size", 0)):
            if getattr(generation_config, name) not in (None, idle):
                raise ValueError(
                    f"{name} looks for source tokens in the target, but source and target have vocabularies of "
                    f"their own ({source} and {target} tokens): leave it out."
                )

    def _has_learned_positions(self) -> bool:
        return not self.config.is_recurrent_decoder and self.config.position_type == "learned"

    @staticmethod
    def create_masks_for_generate(
        config: AttnSeq2SeqConfig, inputs_embeds: torch.Tensor, attention_mask: torch.Tensor | None, **kwargs: Any
    ) -> torch.Tensor | None:
        """Keep the target's `(batch, length)` mask as it is for compiled steps; the stacks make what they need."""
        return attention_mask


def gather_beam_attentions(
    outputs: ModelOutput, layer: int = -1, eos_token_id: int | list[int] | None = None
) -> torch.Tensor:
    """
    The attention of each result that `generate()` returned, beams or not.

    Beam search hands out attentions in the order of the beams at each step, not of the results: row t of result r is
    `cross_attentions[t][layer][beam_indices[r, t]]`. Assisted decoding hands out the first round's rows shifted, so
    take the attentions of a run without an assistant.

    Args:
        outputs: What `generate(..., return_dict_in_generate=True, output_attentions=True)` returned.
        layer: Which decoder layer; a recurrent decoder has one.
        eos_token_id: Tells where greedy and sampled results end, which their outputs do not say; beams do.

    Returns:
        `(results, heads, steps, src_len)`: row t is what was looked at when the t-th new token was chosen; 0 after a
        result's end.

    Raises:
        ValueError: The outputs hold no cross-attentions, or none of that layer.
    """
    steps = getattr(outputs, "cross_attentions", None)
    if not steps or not steps[0]:
        raise ValueError(
            "These outputs have no cross-attentions: call generate with return_dict_in_generate=True and "
            "output_attentions=True, on a model with attention."
        )
    check_layer(layer, len(steps[0]))
    # A prefix has rows of its own at the first step; its last row chooses the first new token.
    rows = torch.stack([step[layer][:, :, -1] for step in steps], dim=2)
    beam_indices = getattr(outputs, "beam_indices", None)
    if beam_indices is None:
        if eos_token_id is None:
            return rows
        tokens = outputs["sequences"][:, -rows.shape[2] :]
        ends = torch.isin(tokens, torch.as_tensor(eos_token_id, device=tokens.device)).long()
        over = ends.cumsum(1) - ends > 0  # an end token came before
        return rows.masked_fill(over[:, None, :, None], 0.0)
    length = min(rows.shape[2], beam_indices.shape[1])
    chosen = beam_indices[:, :length]
    index = torch.arange(length, device=chosen.device)
    gathered = rows[chosen.clamp(min=0), :, index]  # results x steps x heads x src_len
    return gathered.masked_fill((chosen < 0)[:, :, None, None], 0.0).transpose(1, 2)


__all__ = [
    "AttnSeq2SeqForConditionalGeneration",
    "AttnSeq2SeqModel",
    "AttnSeq2SeqPreTrainedModel",
    "gather_beam_attentions",
]
