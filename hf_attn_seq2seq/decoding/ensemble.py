# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Ensembles: several models whose probabilities are averaged at each step of the search."""

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers import GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import Seq2SeqLMOutput
from transformers.utils import ModelOutput, logging

from hf_attn_seq2seq.configuration_attn_seq2seq import target_vocabulary
from hf_attn_seq2seq.decoding.readout import Readout, readout_of
from hf_attn_seq2seq.modeling_attn_seq2seq import EncoderOutput


logger = logging.get_logger(__name__)

SHAPE = ("decoder_layers", "num_hidden_layers", "decoder_attention_heads", "num_attention_heads")  # of the attention


class Ensemble(PreTrainedModel, GenerationMixin):
    """
    Encoder-decoders of any architecture with the same vocabulary, behind one `generate()`.

    At each step a token's probability is the mean of the members' probabilities. Greedy search, beam search and
    sampling work as with one model.
    """

    main_input_name = "input_ids"
    _supports_sdpa = True  # each member keeps its own attention
    _supports_flash_attn = True

    def __init__(self, members: Sequence[PreTrainedModel]) -> None:
        """
        Args:
            members: At least one model; the generation configuration is that of the first.

        Raises:
            ValueError: There is no member, or one differs from the first in vocabulary size, in the tokens that
                start and end a target, or in how many words outside the vocabulary it can copy.
        """
        if not members:
            raise ValueError("An ensemble needs at least one model.")
        for number, member in enumerate(members[1:], start=2):
            for field in ("vocab_size", "decoder_vocab_size", "decoder_start_token_id", "eos_token_id"):
                first, this = getattr(members[0].config, field, None), getattr(member.config, field, None)
                if first != this:
                    raise ValueError(
                        f"Model {number} of the ensemble has {field}={this}, the first has {first}: the models of an "
                        "ensemble must be trained with the same tokenizer."
                    )
            first, this = (getattr(each.config, "pointer_slots", 0) for each in (members[0], member))
            if first != this:
                raise ValueError(
                    f"Model {number} of the ensemble has pointer_slots={this}, the first has {first}: the models of "
                    "an ensemble must be able to copy equally many words."
                )
        super().__init__(copy.deepcopy(members[0].config))
        self.members: Any = nn.ModuleList(members)
        self.encoder = JointEncoder([member.get_encoder() for member in members])
        self.generation_config = copy.deepcopy(members[0].generation_config)

    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        decoder_input_ids: torch.Tensor | None = None,
        encoder_outputs: Any = None,
        past_key_values: Any = None,
        output_attentions: bool | None = None,
        **kwargs: Any,
    ) -> Seq2SeqLMOutput:
        """
        Args:
            attention_mask: `(batch, src_len)`.
            decoder_input_ids: `(batch, tgt_len)`.
            encoder_outputs: The encoder states of each member, `(batch, src_len, encoder_hidden)`; computed from
                `input_ids` `(batch, src_len)` if not given.

        Returns:
            `logits` `(batch, tgt_len, vocab)`: log-probabilities. With `output_attentions`, `cross_attentions`,
            `(batch, heads, tgt_len, src_len)` per layer: the mean over the members, whose layers are matched from the
            last backwards as far as all members have layers; a single head, the mean of all, if their numbers of
            heads differ.
        """
        if encoder_outputs is None:
            encoder_outputs = self.encoder(input_ids, attention_mask)
        caches = past_key_values.caches if past_key_values is not None else [None] * len(self.members)
        log_probabilities = []
        attentions = []
        for number, (member, cache) in enumerate(zip(self.members, caches)):
            prefix = f"{number}."
            parts = {
                name.removeprefix(prefix): part for name, part in encoder_outputs.items() if name.startswith(prefix)
            }
            outputs = member(
                attention_mask=attention_mask,
                decoder_input_ids=decoder_input_ids,
                encoder_outputs=EncoderOutput(**parts),
                past_key_values=cache,
                use_cache=cache is not None,
                output_attentions=output_attentions,
            )
            log_probabilities.append(outputs.logits.float().log_softmax(-1))
            attentions.append(list(outputs.cross_attentions or ()))
        together = torch.stack(log_probabilities).logsumexp(0) - math.log(len(self.members))
        depth = min(map(len, attentions))
        if len({layer.shape[1] for layers in attentions for layer in layers}) > 1:
            attentions = [[layer.mean(1, keepdim=True) for layer in layers] for layers in attentions]
        cross_attentions = tuple(
            torch.stack([layers[len(layers) - depth + level] for layers in attentions]).mean(0)
            for level in range(depth)
        )
        return Seq2SeqLMOutput(
            logits=together, past_key_values=past_key_values, cross_attentions=cross_attentions or None
        )

    @property
    def alignment_readout(self) -> Readout:
        """The read-out of the members if they have one shape and the same read-out; otherwise the default."""
        readouts = {readout_of(member) for member in self.members}
        shapes = {tuple(getattr(member.config, name, None) for name in SHAPE) for member in self.members}
        if len(readouts) == 1 and (len(shapes) == 1 or readouts == {Readout()}):
            return readouts.pop()
        logger.warning_once(
            "The models of the ensemble have different alignment read-outs: links are read from the mean of their "
            "last layers."
        )
        return Readout()

    # What generate() needs from a model.

    def generate(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        source = args[0] if args else kwargs.get("inputs", kwargs.get("input_ids"))
        if source is not None and kwargs.get("attention_mask") is None:
            # Transformers 5 infers no mask for encoder-decoders, so padding would be read as words.
            padding = self.generation_config.pad_token_id
            kwargs["attention_mask"] = torch.ones_like(source) if padding is None else source.ne(padding).long()
        with target_vocabulary():
            return super().generate(*args, **kwargs)  # type: ignore[misc]

    def compute_transition_scores(self, *args: Any, **kwargs: Any) -> torch.Tensor:  # type: ignore[override]
        with target_vocabulary():
            return super().compute_transition_scores(*args, **kwargs)  # type: ignore[misc]

    def get_encoder(self, modality: str | None = None) -> "JointEncoder":
        return self.encoder

    def _prepare_cache_for_generation(
        self, generation_config: Any, model_kwargs: dict[str, Any], *args: Any, **kwargs: Any
    ) -> None:
        caches = []
        for member in self.members:
            own: dict[str, Any] = {}
            member._prepare_cache_for_generation(generation_config, own, *args, **kwargs)
            caches.append(own.get("past_key_values"))
        if None not in caches:
            model_kwargs["past_key_values"] = EnsembleCache(caches)


class JointEncoder(nn.Module):
    """The encoders of the members, run on the same source."""

    main_input_name = "input_ids"

    def __init__(self, encoders: Sequence[nn.Module]) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoders)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **kwargs: Any) -> ModelOutput:
        read = [encoder(input_ids=input_ids, attention_mask=attention_mask) for encoder in self.encoders]
        parts = ("last_hidden_state", "final_state")
        return ModelOutput(
            {
                f"{number}.{part}": out[part]
                for number, out in enumerate(read)
                for part in parts
                if out.get(part) is not None
            }
        )


class EnsembleCache:
    """The caches of the members, reordered together with the beams."""

    is_compileable = False

    def __init__(self, caches: list[Any]) -> None:
        self.caches = caches

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self.caches[0].get_seq_length()

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        for cache in self.caches:
            cache.reorder_cache(beam_idx)
