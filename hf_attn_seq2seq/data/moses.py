# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Text as Moses' scripts make it: normalized, tokenized and in lower case."""

from __future__ import annotations

from functools import lru_cache

from sacremoses import MosesPunctNormalizer, MosesTokenizer
from sacremoses.corpus import NonbreakingPrefixes

from hf_attn_seq2seq.messages import shortened


class MosesSteps:
    """Moses' normalize-punctuation.perl, tokenizer.perl and lowercase.perl, one after the other, by sacremoses.

    No option of theirs is used but the language: hyphens stay inside words.

    Args:
        language: code of the text's language.
        escape: whether `'` becomes `&apos;` and so on, as with tokenizer.perl's own settings, or stays as it is.

    Raises:
        ValueError: Moses has no rules for the language.
    """

    def __init__(self, language: str, escape: bool = True) -> None:
        known = NonbreakingPrefixes().available_langs
        if language not in known:
            codes = ", ".join(sorted(code for code in known if len(code) == 2))
            raise ValueError(f"Moses has no rules for the language '{shortened(language)}': choose one of {codes}.")
        self.language = language
        self.escape = escape
        self._normalizer = MosesPunctNormalizer(lang=language)
        self._tokenizer = MosesTokenizer(lang=language)

    def __call__(self, text: str) -> str:
        normalized = self._normalizer.normalize(text)
        return self._tokenizer.tokenize(normalized, return_str=True, escape=self.escape).lower()


@lru_cache(maxsize=8)
def moses_steps(language: str, escape: bool = True) -> MosesSteps:
    """The steps of this language, made once: reading Moses' lists takes a while."""
    return MosesSteps(language, escape)
