# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What every origin gives."""

from __future__ import annotations

from typing import NamedTuple

from hf_attn_seq2seq.modeling_attn_seq2seq import AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.tokenization_attn_seq2seq import AttnSeq2SeqTokenizer


class Converted(NamedTuple):
    """A model that was read from another toolkit's files."""

    model: AttnSeq2SeqForConditionalGeneration
    tokenizer: AttnSeq2SeqTokenizer
    told: list[str]  # what a user should know of it, in whole sentences
