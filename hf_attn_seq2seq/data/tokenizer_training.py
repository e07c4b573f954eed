# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Trains the tokenizer of a model from text: whole words, or byte-level byte-pair encoding.

Both kinds cut text into the same words first (`WORD`), so that `word_ids()` counts alike where single blanks part
words (a blank more is a word to "bpe"). Both end a source or a target with `</s>`; the model itself puts the decoder's
start token `<s>` in front when it shifts labels.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from hf_attn_seq2seq.tokenization_attn_seq2seq import AttnSeq2SeqTokenizer


SPECIAL_TOKENS = ("<pad>", "<s>", "</s>", "<unk>")  # a token's id is its place
PAD, BOS, EOS, UNK = SPECIAL_TOKENS

# A word may hold hyphens and takes the apostrophe that ends it (l'homme is l' and homme, Est-ce is one word); any
# other character that is not blank is a word of its own.
WORD = r"\w+(?:-\w+)*['’]?|[^\w\s]"


class _Recipe(NamedTuple):
    tokenizer: Tokenizer
    trainer: trainers.Trainer
    post_processors: list[processors.PostProcessor]


def _word_recipe(vocab_size: int, min_frequency: int, lowercase: bool) -> _Recipe:
    if vocab_size <= len(SPECIAL_TOKENS):
        raise ValueError(
            f"vocab_size is {vocab_size}, but kind 'word' needs more than {len(SPECIAL_TOKENS)}: the special tokens "
            f"{' '.join(SPECIAL_TOKENS)} and at least one word."
        )
    tokenizer = Tokenizer(models.WordLevel(unk_token=UNK))
    steps = [normalizers.NFC(), *([normalizers.Lowercase()] if lowercase else [])]
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(WORD), behavior="removed", invert=True)
    tokenizer.decoder = decoders.Sequence(
        [
            # Puts a blank before each token but the first: no token starts with a blank, so the prefix never counts.
            decoders.WordPiece(prefix=" ", cleanup=False),
            decoders.Fuse(),
            decoders.Replace(Regex(r" (?=[.,…)\]}])|(?<=[(\[{¿¡]) "), ""),
            # l' homme -> l'homme, it' s -> it's; after s' the blank stays (the dogs' bowl), but for boss' s -> boss's.
            decoders.Replace(Regex(r"(?<=['’])(?<!\ws['’]) |(?<=['’]) (?=s\b)"), ""),
        ]
    )
    trainer = trainers.WordLevelTrainer(
        vocab_size=vocab_size, min_frequency=min_frequency, special_tokens=list(SPECIAL_TOKENS), show_progress=False
    )
    return _Recipe(tokenizer, trainer, [])


def _bpe_recipe(vocab_size: int, min_frequency: int, lowercase: bool) -> _Recipe:
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    smallest = len(SPECIAL_TOKENS) + len(alphabet)
    if vocab_size < smallest:
        raise ValueError(
            f"vocab_size is {vocab_size}, but kind 'bpe' needs at least {smallest}: {len(SPECIAL_TOKENS)} special "
            f"tokens and the {len(alphabet)} bytes."
        )
    tokenizer = Tokenizer(models.BPE())
    if lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            # A word takes one blank before it; the other blanks of a run stay together.
            pre_tokenizers.Split(Regex(rf" ?(?:{WORD})|\s+(?!\S)|\s"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    # Offsets point at the word, not at the blank before it.
    return _Recipe(tokenizer, trainer, [processors.ByteLevel(add_prefix_space=False, trim_offsets=True)])


_RECIPES: dict[str, Callable[[int, int, bool], _Recipe]] = {"word": _word_recipe, "bpe": _bpe_recipe}


def train_tokenizer(
    texts: Iterable[str],
    *,
    kind: Literal["word", "bpe"],
    vocab_size: int,
    min_frequency: int = 1,
    lowercase: bool = False,
    model_max_length: int | None = None,
) -> AttnSeq2SeqTokenizer:
    """Trains a tokenizer on `texts`; give it both sides of a corpus, as source and target share one vocabulary.

    The ids of the special tokens are the same in all: `<pad>` 0, `<s>` 1, `</s>` 2, `<unk>` 3. An encoded text ends
    with `</s>`, as a source and as `text_target=` alike. Special tokens written out in a text are read as such; call
    the tokenizer with `split_special_tokens=True` for text that must not be.

    Args:
        texts: the sentences, read once and in order, so a generator will do; blank ones are passed over.
        kind: `"word"`, one token a word, `<unk>` for a word not in the vocabulary, text composed to Unicode NFC.
            Decoding sets blanks as print does and does not keep those of the original: none before `.` `,` `…` or a
            closing bracket, none after an opening bracket or an apostrophe, one elsewhere. So `?` `!` `;` `:` have one
            in front of them, as in French, in English text too. `"bpe"`, byte-pair encoding (Sennrich et al. 2016)
            over bytes, which knows every text and gives it back exactly, unless lower-cased.
        vocab_size: the most tokens to make, the special ones included; little text makes fewer.
        min_frequency: how often a word (`"word"`) or a pair to merge (`"bpe"`) must be seen to get a token.
        lowercase: lower-case all text.
        model_max_length: in tokens, what `truncation=True` cuts to; no limit if None.

    Returns:
        The tokenizer, padding and truncating on the right.

    Raises:
        ValueError: for an unknown kind, a vocabulary too small for it, a number below 1, an entry of `texts` that is
            no string, or no text at all.
    """
    if kind not in _RECIPES:
        raise ValueError(f"Unknown tokenizer kind {kind!r}: choose one of {', '.join(map(repr, _RECIPES))}.")
    if min_frequency < 1:
        raise ValueError(f"min_frequency is {min_frequency}, but must be at least 1.")
    if model_max_length is not None and model_max_length < 1:
        raise ValueError(f"model_max_length is {model_max_length}, but must be at least 1, or None for no limit.")
    tokenizer, trainer, post_processors = _RECIPES[kind](vocab_size, min_frequency, lowercase)
    tokenizer.train_from_iterator(_checked(texts), trainer=trainer)
    ending = processors.TemplateProcessing(
        single=f"$A {EOS}", pair=f"$A {EOS} $B:1 {EOS}:1", special_tokens=[(EOS, SPECIAL_TOKENS.index(EOS))]
    )
    tokenizer.post_processor = processors.Sequence([*post_processors, ending])
    return AttnSeq2SeqTokenizer(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=UNK,
        # Only settings given here are saved, and so keep what a user changes them to.
        model_max_length=model_max_length,
        padding_side="right",
        truncation_side="right",
        clean_up_tokenization_spaces=False,
    )


def _checked(texts: Iterable[str]) -> Iterator[str]:
    """Passes on the texts that are not blank; raises ValueError for an entry that is no string, and for no text."""
    if isinstance(texts, str):
        raise ValueError("texts is one string, but must be a list or another iterable of strings, one a sentence.")
    empty = True
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"texts[{index}] is of type {type(text).__name__}, but every text must be a string.")
        if text.strip():
            empty = False
            yield text
    if empty:
        raise ValueError("There is nothing to train the tokenizer on: texts has no entry that is not blank.")
