# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The tokenizer class of `attn_seq2seq` models: Transformers' fast tokenizer, which can also decode labels.

All that turns text into ids and back is in `tokenizer.json`, so that where this package is not installed
`AutoTokenizer` loads the same folder as its stock class, with the same ids and the same decoded text. Where the folder
also holds a model with its code, `AutoTokenizer` asks whether to run that code, which the tokenizer does not need:
answer with `trust_remote_code=False`.
"""

from typing import Any

from transformers import PreTrainedTokenizerFast


IGNORED_LABEL = -100  # what data collators pad labels with, and what the loss leaves out


class AttnSeq2SeqTokenizer(PreTrainedTokenizerFast):
    """Fast tokenizer whose `decode` and `batch_decode` read the label -100 as the padding token."""

    # No __init__, on purpose: Transformers rebuilds a subclass that has one from its bare vocabulary on loading, and
    # so loses its merges, its normaliser and its pre-tokeniser.

    model_input_names = ["input_ids", "attention_mask"]

    def _decode(self, token_ids: int | list[int] | dict[str, Any], *args: Any, **kwargs: Any) -> str:
        if isinstance(token_ids, dict):
            token_ids = token_ids["input_ids"]
        if isinstance(token_ids, int):
            token_ids = [token_ids]
        real_ids: list[Any] = [self.pad_token_id if i == IGNORED_LABEL else i for i in token_ids]
        return super()._decode(real_ids, *args, **kwargs)


__all__ = ["AttnSeq2SeqTokenizer"]
