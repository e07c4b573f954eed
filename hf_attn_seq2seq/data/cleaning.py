# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The rules of `CleaningSettings`: texts are normalized; a pair is then kept, or dropped by the first rule it breaks.

Each rule has a number, so that the fate of millions of rows fits in a column of bytes.
"""

import functools
import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import regex
from tokenizers import Regex, normalizers
from xxhash import xxh3_64_intdigest

from hf_attn_seq2seq.data.moses import moses_steps
from hf_attn_seq2seq.data.settings import CleaningSettings
from hf_attn_seq2seq.data.words import WordKind, count_words
from hf_attn_seq2seq.messages import quoted


# What normalization changed in a text: bits.
UNICODE, CONTROL, WHITESPACE, MOSES = 1, 2, 4, 8
TIDYING = {UNICODE: "unicode_nfc", CONTROL: "control_characters", WHITESPACE: "whitespace", MOSES: "moses"}

# Why a row is not kept.
KEPT, EMPTY, LENGTH, RATIO, SCRIPT, LANGUAGE, ALIGNMENT, DUPLICATE, LEAK = range(9)
DROPPING = {
    EMPTY: "empty_side",
    LENGTH: "length",
    RATIO: "ratio",
    SCRIPT: "script",
    LANGUAGE: "language",
    ALIGNMENT: "alignment",
    DUPLICATE: "duplicate",
    LEAK: "leak",
}

_RATIO_GRACE = 10  # characters: "No." may well be "Absolument pas.", and a word is shorter than its phonemes
# Control characters that no text needs. Those that are whitespace (tab, line feed, ...) belong to the whitespace rule.
_CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ufeff]")
# What `str.split` splits at; what `\s` is differs from one library of regular expressions to another.
_BLANKS = "[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+"


def tidied_only(rules: CleaningSettings) -> CleaningSettings:
    """The rules for validation and test sets, which must stay comparable: only normalize, and drop empty sides."""
    unlimited = dict.fromkeys(("max_characters", "max_words", "max_ratio", "language_certainty"))
    return rules.model_copy(update={**unlimited, "source_scripts": [], "target_scripts": []})


def tidying_steps(rules: CleaningSettings) -> list[normalizers.Normalizer]:
    """
    What `Cleaner.tidy` does, except for Moses' steps, as steps of a tokenizer's normalizer: so a model that learned
    from tidied text reads no other, even if what is pasted has no-break spaces, two spaces or decomposed letters.
    """
    steps: list[tuple[bool, list[normalizers.Normalizer]]] = [
        (rules.unicode_nfc, [normalizers.NFC()]),
        (rules.control_characters, [normalizers.Replace(Regex(_CONTROL.pattern), "")]),
        (rules.whitespace, [normalizers.Replace(Regex(_BLANKS), " "), normalizers.Strip()]),
    ]
    return [step for wanted, each in steps if wanted for step in each]


class Cleaner:
    """Cleans batches of rows, for `datasets.Dataset.map(batched=True)`.

    Args:
        rules: the rules and their limits.
        languages: codes of the source and the target language, for the language check.
        links_of: which kind of words the links count, if there are links.
        files: whether sources are the names of files, which no rule is about: a pair is kept or dropped by its target,
            and two sources are the same if their `content_hash` is.
    """

    def __init__(
        self,
        rules: CleaningSettings,
        languages: tuple[str | None, ...] = (None, None),
        links_of: WordKind = "cut",
        files: bool = False,
    ) -> None:
        self.rules = rules
        self.languages = languages
        self.links_of = links_of
        self.files = files
        self._foreign_letters = [_letters_outside(scripts) for scripts in (rules.source_scripts, rules.target_scripts)]
        self._identifier: Any = None
        sides = ("source", "target")[-len(languages) :]
        self._moses = {
            side: moses_steps(code or "", escape=False) for side, code in zip(sides, languages) if rules.moses
        }

    def __call__(self, batch: dict[str, list[Any]]) -> dict[str, Any]:
        """Adds to `source` and `target`: `changed` (bits), `dropped` (a rule) and a 64-bit hash of each side."""
        sources, targets, changed, dropped = [], [], [], []
        links = batch.get("alignment", batch.get("possible"))
        for row, (raw_source, raw_target) in enumerate(zip(batch["source"], batch["target"])):
            source, source_changed = (raw_source, 0) if self.files else self.tidy(raw_source, "source")
            target, target_changed = self.tidy(raw_target, "target")
            why = self.broken_rule(source, target)
            if why == KEPT and links is not None and links[row] and (source_changed | target_changed) & ~WHITESPACE:
                # For example, a word of control characters alone is gone, and the links now point at other words.
                sides = ((raw_source, source), (raw_target, target))
                if any(count_words(raw, self.links_of) != count_words(text, self.links_of) for raw, text in sides):
                    why = ALIGNMENT
            sources.append(source)
            targets.append(target)
            changed.append(source_changed | target_changed)
            dropped.append(why)
        cleaned: dict[str, Any] = {
            "source": sources,
            "target": targets,
            "changed": changed,
            "dropped": dropped,
            "source_hash": np.array(batch["content_hash"], "u8") if self.files else sentence_hashes(sources),
            "target_hash": sentence_hashes(targets),
        }
        if "group" in batch:
            cleaned["group_hash"] = sentence_hashes([group or "" for group in batch["group"]])
        if "references" in batch:
            tidied = [texts and [self.tidy(text, "target")[0] for text in texts] for texts in batch["references"]]
            cleaned["references"] = [texts and [text for text in texts if text.strip()] for texts in tidied]
        return cleaned

    def tidy(self, text: str, side: str) -> tuple[str, int]:
        """The text of a side normalized by the rules (NFC, control characters, whitespace, Moses' steps), and the bits
        of what changed."""
        rules, changed = self.rules, 0
        if rules.unicode_nfc and not unicodedata.is_normalized("NFC", text):
            text = unicodedata.normalize("NFC", text)
            changed |= UNICODE
        if rules.control_characters and _CONTROL.search(text):
            text = _CONTROL.sub("", text)
            changed |= CONTROL
        if rules.whitespace:
            words = " ".join(text.split())
            if words != text:
                changed |= WHITESPACE
            text = words
        if side in self._moses and (tokens := self._moses[side](text)) != text:
            text, changed = tokens, changed | MOSES
        return text, changed

    def broken_rule(self, source: str, target: str) -> int:
        """The first rule that the normalized pair breaks; `KEPT` if none."""
        rules = self.rules
        if not source or not target or source.isspace() or target.isspace():
            return EMPTY
        if self.files:
            source = target  # which is as long, and in the language that is asked for
        longer, shorter = max(len(source), len(target)), min(len(source), len(target))
        if rules.max_characters is not None and longer > rules.max_characters:
            return LENGTH
        # A text never has more words than characters, so most pairs need no counting.
        if rules.max_words is not None and longer > rules.max_words < max(_words(source), _words(target)):
            return LENGTH
        if rules.max_ratio is not None and longer + _RATIO_GRACE > rules.max_ratio * (shorter + _RATIO_GRACE):
            return RATIO
        for text, foreign in zip((source, target), self._foreign_letters):
            if foreign is not None and 2 * len(foreign.findall(text)) > sum(map(str.isalpha, text)):
                return SCRIPT
        if rules.language_certainty is not None:
            for text, language in zip((source, target), self.languages):  # of files, that of the target alone
                if self._is_other_language(text, language):
                    return LANGUAGE
        return KEPT

    def _is_other_language(self, text: str, language: str) -> bool:
        if self._identifier is None:
            self._identifier = language_identifier(self.languages)
        found, probability = self._identifier.classify(text)
        return found != language.split("-")[0].lower() and probability >= self.rules.language_certainty


def sentence_hashes(texts: Sequence[str]) -> np.ndarray:
    """A 64-bit hash of each text: (number,) uint64."""
    return np.array([xxh3_64_intdigest(text.encode()) for text in texts], "u8")


def _words(text: str) -> int:
    return len(text.split())


def _letters_outside(scripts: list[str]) -> Any:
    """A pattern for a letter outside all of the Unicode scripts; None if no scripts are given."""
    own = "".join(rf"\p{{Script={name}}}" for name in scripts)
    return regex.compile(rf"[\p{{L}}--[{own}]]", regex.V1) if scripts else None


@functools.cache
def _loaded_once(load: Callable[..., Any], file: str) -> Any:
    return load(file, norm_probs=True)


def language_identifier(languages: tuple[str | None, ...]) -> Any:
    """py3langid's language identifier, with probabilities (Lui and Baldwin 2012, "langid.py").

    Raises:
        ImportError: if py3langid is not installed.
        ValueError: if it does not know one of the languages.
    """
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        raise ImportError(
            "language_certainty needs py3langid, which is not installed: pip install 'py3langid>=0.4'."
        ) from None
    identifier = _loaded_once(LanguageIdentifier.from_model_file, MODEL_FILE)
    for language in languages:
        if language.split("-")[0].lower() not in identifier.labels:
            raise ValueError(f"py3langid does not know the language {quoted(language)}: leave out language_certainty.")
    return identifier
