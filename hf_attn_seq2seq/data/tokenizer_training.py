# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Trains the tokenizer of a model: subwords, whole words, characters, or symbols separated by whitespace.

All kinds except "symbol" and "sentencepiece" first split text into the same words (`WORD`), so that `word_ids()`
counts the same words in text with single spaces (extra whitespace is a word to the kinds that preserve whitespace);
the words of "sentencepiece" are those between spaces. All end a text with `</s>`; the model itself prepends the
decoder's start token `<s>` when it shifts the labels.

| kind | a token is | `byte_fallback` | decoding restores |
|---|---|---|---|
| `bpe` | a part of a word, by merging bytes (Sennrich et al. 2016) | always | the exact text |
| `unigram` | a part of a word, by a language model over bytes (Kudo 2018) | always | the exact text |
| `sentencepiece` | the same over characters, bytes if unknown | yes | text in NFKC with single spaces |
| `sentencepiece` | the same, `<unk>` if unknown | no | text in NFKC with single spaces, except `<unk>` |
| `word` | a word, `<unk>` if unknown | no | words in NFC with standard spacing, except `<unk>` |
| `word` | a word with the space before it, bytes if unknown | yes | the exact text |
| `char` | a character, bytes if unknown | yes | the exact text |
| `char` | a character, `<unk>` if unknown | no | the exact text, except `<unk>` |
| `symbol` | a string between whitespace, `<unk>` if unknown | no | symbols with single spaces, except `<unk>` |

"The exact text" applies to all of Unicode: unseen scripts, control characters, repeated, leading and trailing
whitespace, tabs and line breaks, composed and decomposed letters. `lowercase` loses case and nothing else.
"""

import io
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, get_args

from pydantic import Field, model_validator
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from hf_attn_seq2seq.data.sentencepiece import read_sentencepiece, to_tokenizer
from hf_attn_seq2seq.data.subword_sampling import check_sampling
from hf_attn_seq2seq.data.words import WORD
from hf_attn_seq2seq.messages import quoted
from hf_attn_seq2seq.settings import Settings
from hf_attn_seq2seq.tokenization_attn_seq2seq import AttnSeq2SeqTokenizer


Kind = Literal["bpe", "unigram", "sentencepiece", "word", "char", "symbol"]

SPECIAL_TOKENS = ("<pad>", "<s>", "</s>", "<unk>")  # a token's id is its index
PAD, BOS, EOS, UNK = SPECIAL_TOKENS

# A word includes one space before it; the rest of a run of whitespace stays together.
_WORD_AND_BLANKS = rf" ?(?:{WORD})|\s+(?!\S)|\s"

_BYTE_CHARACTERS = sorted(pre_tokenizers.ByteLevel.alphabet())  # one printable character for each byte
_BYTE_TOKENS = [f"<0x{byte:02X}>" for byte in range(256)]  # the byte-fallback tokens of BPE must have these names


# SentencePiece ignores words of more than 4,192 bytes in training, and a paragraph in Thai or Chinese may be one word;
# the characters above take at most two bytes.
_TRAINED_LENGTH = 2000

# If a special token's name occurs as a symbol in a text, a word joiner after its "<" makes it a different symbol.
_JOINED = "<\u2060"
_REST_OF_SPECIAL = "(?:" + "|".join(token.removeprefix("<") for token in SPECIAL_TOKENS) + r")(?!\S)"


class _Vocabulary(NamedTuple):
    """What to train: checked, with `byte_fallback` resolved."""

    kind: Kind
    vocab_size: int
    min_frequency: int
    lowercase: bool
    byte_fallback: bool


def _bpe(texts: Iterable[str], wanted: _Vocabulary) -> Tokenizer:
    tokenizer = _over_bytes(models.BPE(), wanted)
    trainer = trainers.BpeTrainer(
        vocab_size=wanted.vocab_size,
        min_frequency=wanted.min_frequency,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=_BYTE_CHARACTERS,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _unigram(texts: Iterable[str], wanted: _Vocabulary) -> Tokenizer:
    # Not the trainer of `tokenizers`, which gives a different vocabulary on each run over the same text.
    try:
        from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
    except ImportError:
        raise ImportError(
            "Training a tokenizer of kind 'unigram' needs sentencepiece, which is not installed: run "
            "'pip install sentencepiece', or choose another kind."
        ) from None
    untrained = _over_bytes(models.Unigram(), wanted)
    words = Counter(
        word[start : start + _TRAINED_LENGTH]
        for text in texts
        for word, _ in untrained.pre_tokenizer.pre_tokenize_str(untrained.normalizer.normalize_str(text))
        for start in range(0, len(word), _TRAINED_LENGTH)
    )
    unseen = sorted(set(_BYTE_CHARACTERS).difference(*words))
    proto = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=(f"{word}\t{count}" for word, count in sorted(words.items())),
        input_format="tsv",
        model_writer=proto,
        model_type="unigram",
        vocab_size=wanted.vocab_size - len(unseen),
        hard_vocab_limit=False,  # little text gives fewer tokens
        character_coverage=1.0,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        split_by_unicode_script=False,
        split_by_number=False,
        pad_id=SPECIAL_TOKENS.index(PAD),
        bos_id=SPECIAL_TOKENS.index(BOS),
        eos_id=SPECIAL_TOKENS.index(EOS),
        unk_id=SPECIAL_TOKENS.index(UNK),
        pad_piece=PAD,
        num_threads=1,  # the order in which threads add floats would change the last digits
        minloglevel=2,
    )
    trained = SentencePieceProcessor(model_proto=proto.getvalue())
    vocab = [(trained.id_to_piece(index), trained.get_score(index)) for index in range(trained.get_piece_size())]
    least = min(score for _, score in vocab)
    vocab += [(byte, least) for byte in unseen]
    return _over_bytes(models.Unigram(vocab, unk_id=SPECIAL_TOKENS.index(UNK)), wanted)


def _sentencepiece(texts: Iterable[str], wanted: _Vocabulary) -> Tokenizer:
    """SentencePiece's own model, which Marian reads: see `export --to marian`."""
    try:
        from sentencepiece import SentencePieceTrainer
    except ImportError:
        raise ImportError(
            "Training a tokenizer of kind 'sentencepiece' needs sentencepiece, which is not installed: run "
            "'pip install sentencepiece', or choose another kind."
        ) from None
    proto = io.BytesIO()
    try:
        SentencePieceTrainer.train(
            sentence_iterator=(" ".join(text.split()) for text in texts),
            model_writer=proto,
            model_type="unigram",
            vocab_size=wanted.vocab_size,
            hard_vocab_limit=False,
            byte_fallback=wanted.byte_fallback,
            normalization_rule_name="nmt_nfkc_cf" if wanted.lowercase else "nmt_nfkc",
            pad_id=SPECIAL_TOKENS.index(PAD),
            bos_id=SPECIAL_TOKENS.index(BOS),
            eos_id=SPECIAL_TOKENS.index(EOS),
            unk_id=SPECIAL_TOKENS.index(UNK),
            pad_piece=PAD,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:  # it counts characters that it must have
        raise ValueError(
            f"vocab_size is {wanted.vocab_size}, with which SentencePiece cannot spell these texts: allow more."
        ) from error
    return to_tokenizer(read_sentencepiece(proto.getvalue(), "the tokenizer"), "the tokenizer")


def _word(texts: Iterable[str], wanted: _Vocabulary) -> Tokenizer:
    if wanted.byte_fallback:
        # BPE without merges, which first looks a word up as a whole, and otherwise splits it into bytes.
        tokens = _numbered(_count(texts, _over_bytes(models.WordLevel(), wanted), wanted), _BYTE_CHARACTERS, wanted)
        return _over_bytes(models.BPE(vocab=tokens, merges=[], ignore_merges=True), wanted)
    tokenizer = Tokenizer(models.WordLevel(unk_token=UNK))
    tokenizer.normalizer = _normalizer(wanted, normalizers.NFC())
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(WORD), behavior="removed", invert=True)
    tokenizer.decoder = decoders.Sequence(
        [
            # Puts a space before each token but the first: no token starts with a space, so the prefix never matches.
            decoders.WordPiece(prefix=" ", cleanup=False),
            decoders.Fuse(),
            decoders.Replace(Regex(r" (?=[.,…)\]}])|(?<=[(\[{¿¡]) "), ""),
            # l' homme -> l'homme, it' s -> it's; after s' the space stays (the dogs' bowl), except boss' s -> boss's.
            decoders.Replace(Regex(r"(?<=['’])(?<!\ws['’]) |(?<=['’]) (?=s\b)"), ""),
        ]
    )
    return _count(texts, tokenizer, wanted)


def _char(texts: Iterable[str], wanted: _Vocabulary) -> Tokenizer:
    counter = Tokenizer(models.WordLevel())
    counter.normalizer = _normalizer(wanted)
    counter.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    tokens = _numbered(_count(texts, counter, wanted), _BYTE_TOKENS if wanted.byte_fallback else [], wanted)
    # BPE without merges splits text into characters.
    tokenizer = Tokenizer(models.BPE(vocab=tokens, merges=[], unk_token=UNK, byte_fallback=wanted.byte_fallback))
    tokenizer.normalizer = counter.normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_WORD_AND_BLANKS), behavior="isolated")
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    return tokenizer


def _symbol(texts: Iterable[str], wanted: _Vocabulary) -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel(unk_token=UNK))
    as_text = normalizers.Replace(Regex(rf"(?<!\S)<(?={_REST_OF_SPECIAL})"), _JOINED)
    tokenizer.normalizer = normalizers.Sequence([_normalizer(wanted), as_text])
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.WordPiece(prefix=" ", cleanup=False),  # a space between tokens
            decoders.Replace(Regex(rf"{_JOINED}(?={_REST_OF_SPECIAL})"), "<"),
        ]
    )
    return _count(texts, tokenizer, wanted)


def _over_bytes(model: models.Model, wanted: _Vocabulary) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = _normalizer(wanted)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORD_AND_BLANKS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _normalizer(wanted: _Vocabulary, *steps: normalizers.Normalizer) -> normalizers.Normalizer:
    return normalizers.Sequence([*steps, *([normalizers.Lowercase()] if wanted.lowercase else [])])


def _count(texts: Iterable[str], tokenizer: Tokenizer, wanted: _Vocabulary) -> Tokenizer:
    """Sets the vocabulary of a word-level tokenizer to the most frequent tokens of the texts."""
    trainer = trainers.WordLevelTrainer(
        vocab_size=wanted.vocab_size,
        min_frequency=wanted.min_frequency,
        special_tokens=list(SPECIAL_TOKENS),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _numbered(counted: Tokenizer, fallback: list[str], wanted: _Vocabulary) -> dict[str, int]:
    """Ids of the special tokens, then the fallback tokens, then the most frequent tokens."""
    counts = counted.get_vocab()
    tokens = dict.fromkeys([*SPECIAL_TOKENS, *fallback, *sorted(counts, key=counts.__getitem__)])
    return {token: index for index, token in enumerate(itertools.islice(tokens, wanted.vocab_size))}


_TRAINERS: dict[Kind, Callable[[Iterable[str], _Vocabulary], Tokenizer]] = {
    "bpe": _bpe,
    "unigram": _unigram,
    "sentencepiece": _sentencepiece,
    "word": _word,
    "char": _char,
    "symbol": _symbol,
}
_FALLS_BACK: dict[Kind, tuple[bool, ...]] = {  # the allowed values of byte_fallback, the default first
    "bpe": (True,),
    "unigram": (True,),
    "sentencepiece": (True, False),
    "word": (False, True),
    "char": (True, False),
    "symbol": (False,),
}


def train_tokenizer(
    texts: Iterable[str],
    *,
    kind: Kind,
    vocab_size: int,
    min_frequency: int = 1,
    lowercase: bool = False,
    byte_fallback: bool | None = None,
    model_max_length: int | None = None,
) -> AttnSeq2SeqTokenizer:
    """Trains a tokenizer on `texts`; pass both sides of a corpus for a vocabulary shared by source and target.

    The ids of the special tokens are always `<pad>` 0, `<s>` 1, `</s>` 2, `<unk>` 3. An encoded text ends with `</s>`,
    both as a source and as `text_target=`. Special tokens written in a text are read as such; call the tokenizer with
    `split_special_tokens=True` to read them as plain text, which kind `"sentencepiece"` cannot.

    Args:
        texts: the sentences, read once and in order, so a generator will do; empty ones are skipped.
        kind: what a token is, and so what decoding restores; see the table of this module. `"word"` without byte
            fallback normalizes spacing: no space before `.` `,` `…` or a closing bracket, none after an opening
            bracket or an apostrophe, one elsewhere. `?` `!` `;` `:` therefore get a space before them, as in French,
            in English text too.
        vocab_size: maximum size of the vocabulary, including special tokens and bytes; little text gives fewer.
        min_frequency: minimum frequency of a merge (`"bpe"`), word, character or symbol to become a token.
        lowercase: lowercase all text.
        byte_fallback: spell what is not in the vocabulary in bytes, so that no text is lost. `"bpe"` and `"unigram"`
            always do, `"symbol"` cannot; None means yes for `"char"` and `"sentencepiece"` and no for `"word"`.
        model_max_length: the length in tokens that `truncation=True` truncates to; no limit if None.

    Returns:
        The tokenizer, which pads and truncates on the right.

    Raises:
        ValueError: for an unknown kind, a vocabulary too small for it, a number below 1, a setting that the kind does
            not have, an entry of `texts` that is not a string, or no text at all.
        ImportError: for kinds `"unigram"` and `"sentencepiece"` if the package sentencepiece is not installed.
    """
    wanted = _checked_vocabulary(kind, vocab_size, min_frequency, lowercase, byte_fallback)
    _check_max_length(model_max_length)
    return _wrapped(_train(_not_blank(texts), wanted), model_max_length)


def _checked_vocabulary(
    kind: Kind, vocab_size: int, min_frequency: int, lowercase: bool, byte_fallback: bool | None
) -> _Vocabulary:
    """Raises ValueError for settings with which no tokenizer can be trained."""
    if kind not in _TRAINERS:
        raise ValueError(f"Unknown tokenizer kind {quoted(kind)}: choose one of {', '.join(map(repr, _TRAINERS))}.")
    if min_frequency < 1:
        raise ValueError(f"min_frequency is {min_frequency}, but must be at least 1.")
    if min_frequency > 1 and kind in ("unigram", "sentencepiece"):
        raise ValueError(f"min_frequency is {min_frequency}, but kind '{kind}' has no such limit: leave it at 1.")
    choices = _FALLS_BACK[kind]
    if byte_fallback is None:
        byte_fallback = choices[0]
    if byte_fallback not in choices:
        reason = "always works on bytes" if choices[0] else "has no byte fallback"
        raise ValueError(f"byte_fallback is {str(byte_fallback).lower()}, but kind '{kind}' {reason}: leave it out.")
    needed = len(SPECIAL_TOKENS) + (256 if byte_fallback else 1)
    if vocab_size < needed:
        rest = "the 256 bytes" if byte_fallback else "one other"
        raise ValueError(
            f"vocab_size is {vocab_size}, but kind '{kind}' needs at least {needed}: {len(SPECIAL_TOKENS)} special "
            f"tokens and {rest}."
        )
    return _Vocabulary(kind, vocab_size, min_frequency, lowercase, byte_fallback)


def _check_max_length(model_max_length: int | None) -> None:
    if model_max_length is not None and model_max_length < 1:
        raise ValueError(f"model_max_length is {model_max_length}, but must be at least 1, or None for no limit.")


def _train(texts: Iterable[str], wanted: _Vocabulary, tidying: Sequence[normalizers.Normalizer] = ()) -> Tokenizer:
    backend = _TRAINERS[wanted.kind](texts, wanted)
    if tidying and wanted.kind != "sentencepiece":
        backend.normalizer = normalizers.Sequence([*tidying, backend.normalizer])
    backend.add_special_tokens(list(SPECIAL_TOKENS))
    ending = processors.TemplateProcessing(
        single=f"$A {EOS}", pair=f"$A {EOS} $B:1 {EOS}:1", special_tokens=[(EOS, SPECIAL_TOKENS.index(EOS))]
    )
    if isinstance(backend.decoder, decoders.ByteLevel):
        # Offsets are those of the word, without the space before it.
        trim = processors.ByteLevel(add_prefix_space=False, trim_offsets=True)
        backend.post_processor = processors.Sequence([trim, ending])
    else:
        backend.post_processor = processors.Sequence([ending])
    return backend


def _wrapped(
    source: Tokenizer, model_max_length: int | None, target: Tokenizer | None = None, **options: bool
) -> AttnSeq2SeqTokenizer:
    return AttnSeq2SeqTokenizer(
        tokenizer_object=source,
        target_tokenizer_object=target,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=UNK,
        # Only settings given here are saved, and so keep what a user changes them to.
        model_max_length=model_max_length,
        padding_side="right",
        truncation_side="right",
        clean_up_tokenization_spaces=False,
        **options,
    )


def _not_blank(texts: Iterable[str], name: str = "texts") -> Iterator[str]:
    """Yields the texts that are not empty; raises ValueError for an entry that is not a string, and for no text."""
    if isinstance(texts, str):
        raise ValueError(
            f"{name} is a single string, but must be a list or another iterable of strings, one per sentence."
        )
    empty = True
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"{name}[{index}] is of type {type(text).__name__}, but every text must be a string.")
        if text.strip():
            empty = False
            yield text
    if empty:
        raise ValueError(f"There is nothing to train the tokenizer on: all entries of {name} are empty.")


class SideSettings(Settings):
    """Settings of one side's vocabulary that override those of the tokenizer section."""

    kind: Kind | None = Field(None, description="what a token is")
    vocab_size: int | None = Field(None, description="maximum size of the vocabulary")
    min_frequency: int | None = Field(None, description="minimum frequency of a token in training")
    lowercase: bool | None = Field(None, description="whether to lowercase all text")
    byte_fallback: bool | None = Field(None, description="whether to spell unknown words or characters in bytes")


class TokenizerSettings(Settings):
    """The tokenizer section of a recipe."""

    kind: Kind = Field("bpe", description="what a token is: " + ", ".join(get_args(Kind)))
    vocab_size: int = Field(
        8000, le=10**6, description="maximum size of the vocabulary, including special tokens and bytes"
    )
    min_frequency: int = Field(1, description="minimum frequency of a merge, word, character or symbol")
    lowercase: bool = Field(False, description="whether to lowercase all text")
    byte_fallback: bool | None = Field(
        None, description="whether to spell unknown words (by default no) or characters (by default yes) in bytes"
    )
    sampling: float = Field(
        0,
        description="subword regularization in training, 0 for none: for bpe the probability of skipping a merge "
        "(0.1 in Provilkov et al. 2020), for unigram the exponent alpha (0.2 in Kudo 2018; smaller varies more)",
    )
    shared: bool = Field(True, description="whether source and target share one vocabulary")
    source: SideSettings | None = Field(None, description="settings that differ for the source, if not shared")
    target: SideSettings | None = Field(None, description="settings that differ for the target, if not shared")

    @model_validator(mode="after")
    def _check(self) -> "TokenizerSettings":
        for side, own in (("source", self.source), ("target", self.target)):
            if self.shared and own is not None:
                raise ValueError(f"'{side}' has separate settings, but the vocabulary is shared: set shared to false.")
            try:
                _vocabulary(self, own)
                if self.sampling:
                    check_sampling(_of_side(self, own, "kind"), self.sampling)
            except ValueError as error:
                raise ValueError(str(error) if self.shared else f"{side}: {error}") from None
        return self


def _of_side(settings: TokenizerSettings, own: SideSettings | None, field: str) -> Any:
    value = getattr(own, field, None)
    return getattr(settings, field) if value is None else value


def _vocabulary(settings: TokenizerSettings, own: SideSettings | None) -> _Vocabulary:
    return _checked_vocabulary(*(_of_side(settings, own, field) for field in _Vocabulary._fields))


def train_tokenizer_for(
    settings: TokenizerSettings,
    sources: Iterable[str] | None,
    targets: Iterable[str],
    *,
    model_max_length: int | None = None,
    tidying: Sequence[normalizers.Normalizer] = (),
) -> AttnSeq2SeqTokenizer:
    """Trains the tokenizer of a recipe, with one shared vocabulary or one per side.

    Args:
        settings: the tokenizer section.
        sources: the source texts, read once and in order; empty ones are skipped. None: sources are no text.
        targets: the target texts, likewise.
        model_max_length: the length in tokens that `truncation=True` truncates to; no limit if None.
        tidying: what every text goes through first, as the texts given here did; kind `"sentencepiece"` has its own.

    Returns:
        The tokenizer. Its model takes `vocab_size=len(tokenizer)` and `decoder_vocab_size=len(tokenizer.target)`.
        It reads special tokens in a text as plain text, so that `</s>` in a corpus does not end a sentence; set its
        `split_special_tokens` to False to have them recognized, for instance as tags.

    Raises:
        ValueError: for an entry that is not a string, or a side with no text at all.
        ImportError: for kinds `"unigram"` and `"sentencepiece"` if the package sentencepiece is not installed.
    """
    _check_max_length(model_max_length)
    targets = _not_blank(targets, "targets")
    source = _vocabulary(settings, settings.source)
    if sources is None:
        return _wrapped(_train(targets, source, tidying), model_max_length, split_special_tokens=True)
    sources = _not_blank(sources, "sources")
    if settings.shared:
        backend, target = _train(itertools.chain(sources, targets), source, tidying), None
    else:
        backend = _train(sources, source, tidying)
        target = _train(targets, _vocabulary(settings, settings.target), tidying)
    return _wrapped(backend, model_max_length, target, split_special_tokens=True)
