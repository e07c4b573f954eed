# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Models of OpenNMT-py 3 (`.pt`), recurrent ones and Transformers.

The weights say what the model is; its options are asked for what they cannot say.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hf_attn_seq2seq.convert.converted import Converted
from hf_attn_seq2seq.convert.opennmt_recurrent import recurrent_model
from hf_attn_seq2seq.convert.opennmt_transformer import check_only, transformer_model
from hf_attn_seq2seq.convert.subwords import splitting_of
from hf_attn_seq2seq.convert.tables import Tables
from hf_attn_seq2seq.convert.vocabularies import Side, Specials
from hf_attn_seq2seq.convert.weights import Weights, flattened, read_torch
from hf_attn_seq2seq.messages import quoted, shortened
from hf_attn_seq2seq.modeling_attn_seq2seq import AttnSeq2SeqForConditionalGeneration


SPECIALS = Specials("<blank>", "<s>", "</s>", "<unk>")
WORDS = "embeddings.make_embedding.emb_luts.0.weight"
TABLES = (f"encoder.{WORDS}", f"decoder.{WORDS}")
RECURRENT = [(encoder, decoder) for encoder in ("rnn", "brnn") for decoder in ("rnn", "ifrnn")]
# Options that ask for what there is not here, with what an option must be.
ONLY: dict[str, tuple[tuple[Any, ...], str]] = {
    "copy_attn": ((False, None), "copying words"),
    "coverage_attn": ((False, None), "its coverage, which changes the source's states"),
    "context_gate": ((None,), "a context gate"),
    "model_task": (("seq2seq", None), "a language model"),
    "model_type": (("text", None), "another source than text"),
}


def recognizes(source: Path) -> bool:
    """Whether this is a checkpoint with weights, vocabularies and options."""
    if source.suffix != ".pt":
        return False
    try:
        found = read_torch(source)
    except ValueError:
        return False
    return isinstance(found, Mapping) and {"model", "generator", "vocab", "opt"} <= set(found)


def convert(source: Path, vocabularies: Sequence[Path] = ()) -> Converted:
    """
    Read a model of OpenNMT-py.

    Args:
        source: Its checkpoint, `.pt`.
        vocabularies: Its vocabularies are in the checkpoint; but the SentencePiece model or the codes of subword-nmt
            by which texts were split, one file for both sides or the source's and the target's, may be named.

    Raises:
        ValueError: A file is missing, foreign or damaged, or the model needs what there is not here.
    """
    name = shortened(str(source))
    found = read_torch(source)
    parts = [found.get(part) if isinstance(found, Mapping) else None for part in ("model", "generator", "vocab")]
    if not all(isinstance(part, Mapping) for part in parts) or not isinstance(found.get("opt"), Namespace):
        raise ValueError(
            f"'{name}' is no checkpoint of OpenNMT-py 3 with its weights, vocabularies and options: name one."
        )
    model, generator, vocab = parts
    weights = Weights({**dict(flattened(model)), **dict(flattened(generator, "generator."))}, str(source))
    start = vocab.get("decoder_start_token", SPECIALS.start)
    if start != SPECIALS.start:
        raise ValueError(f"'{name}' starts a target with {quoted(start)} instead of <s>, which is not read.")
    sides = [_side(vocab, part, name) for part in ("src", "tgt")]
    splitting = splitting_of(vocabularies, sides, SPECIALS, "$A")
    return Converted(model_of(vars(found["opt"]), weights, splitting.sides), splitting.tokenizer, splitting.told)


def model_of(options: dict[str, Any], weights: Weights, sides: list[Side]) -> AttnSeq2SeqForConditionalGeneration:
    """
    The model of options and weights with OpenNMT-py's names.

    Raises:
        ValueError: A weight is missing or not read, or the model needs what there is not here.
    """
    name = weights.file
    kinds = options.get("encoder_type"), options.get("decoder_type")
    transformer = kinds == ("transformer", "transformer")
    if not transformer and kinds not in RECURRENT:
        raise ValueError(
            f"'{name}' has encoder_type {kinds[0]} and decoder_type {kinds[1]}: only recurrent models and "
            "Transformers are read."
        )
    check_only(options, ONLY, name)
    if any(".emb_luts.1." in tensor for tensor in weights.left):
        raise ValueError(f"'{name}' needs features of words, which there are not here.")
    tables = Tables.of(weights, sides, *TABLES, "generator")
    for side, table in zip(sides, TABLES):
        rows, _ = weights.shape(table)
        if not side.sized(rows):
            raise ValueError(f"'{name}' has {rows} rows of embeddings for another number of tokens: get it again.")
    model = (transformer_model if transformer else recurrent_model)(options, weights, tables)
    weights.finish()
    return model


def _side(vocab: Mapping[str, Any], part: str, name: str) -> Side:
    tokens = vocab.get(part)
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise ValueError(f"'{name}' has no list of tokens for '{part}': only checkpoints of version 3 are read.")
    return Side.of(tokens, SPECIALS, name)
