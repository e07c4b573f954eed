# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The settings of `generate()` as a graph takes them, and those that it cannot take. Needs no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from hf_attn_seq2seq.messages import shortened


MAX_BEAMS = 1000
_DEFAULT_LENGTH = 20  # of Transformers, where nothing limits it

# Settings that the graph takes, and those that change nothing here.
_TAKEN = {
    "num_beams",
    "num_return_sequences",
    "max_new_tokens",
    "max_length",
    "min_new_tokens",
    "min_length",
    "length_penalty",
    "early_stopping",
    "decoder_start_token_id",
    "bos_token_id",
    "pad_token_id",
    "eos_token_id",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "suppress_tokens",
    "begin_suppress_tokens",
    "bad_words_ids",
    "use_cache",
    "cache_implementation",
    "cache_config",
    "output_attentions",
    "output_hidden_states",
    "output_scores",
    "output_logits",
    "return_dict_in_generate",
    "compile_config",
    "disable_compile",
    # Only sampling reads these.
    "temperature",
    "top_k",
    "top_p",
    "top_h",
    "min_p",
    "typical_p",
    "epsilon_cutoff",
    "eta_cutoff",
    # Only other searches read these.
    "num_assistant_tokens",
    "num_assistant_tokens_schedule",
    "assistant_confidence_threshold",
    "assistant_lookbehind",
    "target_lookbehind",
    "max_matching_ngram_size",
    "is_assistant",
}
# Those that prescribe or forbid tokens.
_LIMITS = (
    "forced_bos_token_id",
    "forced_eos_token_id",
    "suppress_tokens",
    "begin_suppress_tokens",
    "bad_words_ids",
)
# Other settings, and the values by which they do nothing; None always is one.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "do_sample": (False,),
    "ctc_weight": (0.0,),
    "num_beam_groups": (1,),
    "diversity_penalty": (0.0,),
    "repetition_penalty": (1.0,),
    "encoder_repetition_penalty": (1.0,),
    "no_repeat_ngram_size": (0,),
    "encoder_no_repeat_ngram_size": (0,),
    "renormalize_logits": (False,),
    "remove_invalid_values": (False,),
    "low_memory": (False,),
    "token_healing": (False,),
    "guidance_scale": (1, 1.0),
    "penalty_alpha": (0, 0.0),
}
NOT_SEARCH = {"transformers_version", "_from_model_config", "_commit_hash", "_original_object_hash"}


class Search(NamedTuple):
    """The values of one search, for the inputs of the graph that have these names."""

    num_beams: int
    num_return_sequences: int
    max_new_tokens: int
    min_new_tokens: int
    length_penalty: float
    early_stopping: int
    decoder_start_token_id: int
    pad_token_id: int
    eos_token_id: list[int]
    forced_bos_token_id: int
    forced_eos_token_id: int
    suppress_tokens: list[int]
    begin_suppress_tokens: list[int]

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Search:
        """
        The values of the settings that `generate()` would go by.

        Raises:
            ValueError: A value is out of its range, or two contradict each other.
        """

        def setting(name: str, usual: Any) -> Any:
            value = settings.get(name)
            return usual if value is None else value

        beams, wanted = setting("num_beams", 1), setting("num_return_sequences", 1)
        if not 1 <= beams <= MAX_BEAMS:
            raise ValueError(f"num_beams={beams} must be between 1 and {MAX_BEAMS:,}.")
        if not 1 <= wanted <= beams:
            raise ValueError(f"num_return_sequences={wanted} must be between 1 and the number of beams, {beams}.")
        longest = setting("max_new_tokens", setting("max_length", _DEFAULT_LENGTH) - 1)
        if longest < 1:
            raise ValueError(f"max_new_tokens={longest} must be at least 1.")
        penalty = float(setting("length_penalty", 1.0))
        ends = as_list(settings.get("eos_token_id"))
        padding = settings.get("pad_token_id")
        if beams > 1:  # as beam search fills up its sequences
            padding = (padding or ends[0]) if ends else -1
        return cls(
            num_beams=beams,
            num_return_sequences=wanted,
            max_new_tokens=longest,
            min_new_tokens=max(setting("min_new_tokens", 0), setting("min_length", 0) - 1, 0),
            length_penalty=penalty,
            early_stopping={False: 0, True: 1, "never": 2}[setting("early_stopping", False)],
            decoder_start_token_id=setting("decoder_start_token_id", settings.get("bos_token_id")),
            pad_token_id=padding if padding is not None else (ends or [-1])[0],
            eos_token_id=ends,
            forced_bos_token_id=setting("forced_bos_token_id", -1),
            forced_eos_token_id=(as_list(settings.get("forced_eos_token_id")) or [-1])[0],
            suppress_tokens=sorted({*as_list(settings.get("suppress_tokens")), *_single_words(settings, ends)}),
            begin_suppress_tokens=sorted(set(as_list(settings.get("begin_suppress_tokens")))),
        )

    def inputs(self) -> dict[str, np.ndarray]:
        return {name: _array(name, value) for name, value in self._asdict().items()}


def _array(name: str, value: Any) -> np.ndarray:
    return np.asarray(value, dtype=np.float32 if name == "length_penalty" else np.int64)


def as_list(value: Any) -> list[int]:
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def _single_words(settings: Mapping[str, Any], ends: list[int]) -> list[int]:
    """Of `bad_words_ids` those of one token; `generate()` leaves out the end token."""
    return [word[0] for word in settings.get("bad_words_ids") or [] if len(word) == 1 and word[0] not in ends]


def is_limited(settings: Mapping[str, Any]) -> bool:
    """Whether settings prescribe or forbid tokens, which takes a graph that was written for it."""
    return any(settings.get(name) not in (None, []) for name in _LIMITS)


def why_not(settings: Mapping[str, Any], limited: bool) -> str | None:
    """
    None if a graph can search with these settings, else a part of a sentence that says what it cannot do.

    Args:
        limited: Whether the graph was written for settings of which [`is_limited`] holds.
    """
    if not limited:
        for name in _LIMITS:
            if settings.get(name) not in (None, []):
                return f"use {name}={shortened(str(settings[name]))}, for which it was not written"
    for name, value in settings.items():
        if value is None or name in _TAKEN or name in NOT_SEARCH or value in _NEUTRAL.get(name, ()):
            continue
        if isinstance(value, list | tuple | dict) and not value:
            continue
        return "sample" if name == "do_sample" else f"use {name}={shortened(str(value))}"
    if any(len(word) != 1 for word in settings.get("bad_words_ids") or []):
        return "forbid words of several tokens (bad_words_ids)"
    if len(as_list(settings.get("forced_eos_token_id"))) > 1:
        return "force one of several end tokens (forced_eos_token_id)"
    if settings.get("early_stopping") not in (None, False, True, "never"):
        return f"use early_stopping={shortened(str(settings['early_stopping']))}"
    if not isinstance(settings.get("decoder_start_token_id", settings.get("bos_token_id")), int):
        return "start with other tokens than one that all sequences share (decoder_start_token_id)"
    return None
