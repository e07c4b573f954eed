# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Models of fairseq (`lstm`, `transformer` and their named architectures). The dictionaries lie beside the checkpoint or
are named.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hf_attn_seq2seq.convert import fairseq_lstm, fairseq_transformer
from hf_attn_seq2seq.convert.converted import Converted
from hf_attn_seq2seq.convert.subwords import read_subwords, splitting_of
from hf_attn_seq2seq.convert.tables import Tables
from hf_attn_seq2seq.convert.vocabularies import PAD, Side, Specials
from hf_attn_seq2seq.convert.weights import Weights, flattened, read_torch
from hf_attn_seq2seq.messages import shortened


SPECIALS = Specials()
FIRST = ["<s>", "<pad>", "</s>", "<unk>"]  # the ids of a dictionary before those in its file
OVERWRITE = " #fairseq:overwrite"
TABLES = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
TIED = ("share_decoder_input_output_embed", "share_all_embeddings")  # options


def recognizes(source: Path) -> bool:
    """Whether this is a checkpoint with weights of an LSTM or a Transformer and options."""
    if source.suffix != ".pt":
        return False
    try:
        found = read_torch(source)
    except ValueError:
        return False
    if not isinstance(found, Mapping) or not {"args", "cfg"} & set(found):
        return False
    state = found.get("model")
    return isinstance(state, Mapping) and (fairseq_lstm.HIDDEN in state or _is_transformer(state))


def convert(source: Path, vocabularies: Sequence[Path] = ()) -> Converted:
    """
    Read a model of fairseq.

    Args:
        source: Its checkpoint, `.pt`.
        vocabularies: The source's and the target's dictionaries; none: `dict.LANGUAGE.txt` beside the checkpoint. Also
            the SentencePiece model or the codes by which texts were split, one for both sides or one each.

    Raises:
        ValueError: A file is missing, foreign or damaged, or the model needs what there is not here.
    """
    name = shortened(str(source))
    found = read_torch(source)
    state = found.get("model") if isinstance(found, Mapping) else None
    transformer = isinstance(state, Mapping) and _is_transformer(state)
    if not isinstance(state, Mapping) or not (transformer or fairseq_lstm.HIDDEN in state):
        raise ValueError(
            f"'{name}' is no checkpoint of a recurrent model or a Transformer of fairseq: only those are read."
        )
    options = _options(found)
    tensors = dict(flattened(state))
    weights = Weights(fairseq_transformer.renamed(tensors) if transformer else tensors, str(source))
    if transformer:
        fairseq_transformer.check_version(tensors, options, name)
    subwords = [file for file in vocabularies if read_subwords(file) is not None]
    files = [file for file in vocabularies if file not in subwords] or _dictionaries(source, options)
    if len(files) != 2:
        raise ValueError(f"{len(files)} dictionaries do not fit: name the source's and the target's by --vocab.")
    sides = [Side.of([*FIRST, *_words(file)], SPECIALS, str(file)) for file in files]
    splitting = splitting_of(subwords, sides, SPECIALS, f"$A {SPECIALS.end}")
    output = fairseq_transformer.OUTPUT if transformer else fairseq_lstm.OUTPUT
    tied = any(options.get(name) for name in TIED)
    tables = Tables.of(weights, splitting.sides, *TABLES, output, tied)
    for side, table, file in zip(sides, TABLES, files):
        rows, _ = weights.shape(table)
        if not side.sized(rows):
            raise ValueError(
                f"'{shortened(str(file))}' has {len(side.tokens)} tokens and '{name}' {rows} rows for them: name the "
                "dictionary that belongs to the model."
            )
    build = fairseq_transformer.transformer_model if transformer else fairseq_lstm.lstm_model
    model = build(options, weights, tables)
    weights.finish()
    # As in its search: padding is never chosen, and no output is empty.
    model.generation_config.suppress_tokens = [PAD]
    model.generation_config.min_new_tokens = 1
    return Converted(model, splitting.tokenizer, splitting.told)


def _is_transformer(state: Mapping[str, Any]) -> bool:
    return fairseq_transformer.OF_TRANSFORMER in state and TABLES[0] in state


def _options(found: Mapping[str, Any]) -> dict[str, Any]:
    """The options, which versions keep in one namespace or in parts."""
    options: dict[str, Any] = {}
    parts = found.get("cfg")
    for part in (found.get("args"), *(parts.get(key) for key in ("task", "model") if isinstance(parts, Mapping))):
        options |= vars(part) if isinstance(part, Namespace) else dict(part) if isinstance(part, Mapping) else {}
    return options


def _dictionaries(source: Path, options: dict[str, Any]) -> list[Path]:
    languages = [options.get(side) for side in ("source_lang", "target_lang")]
    files = [source.parent / f"dict.{language}.txt" for language in languages if isinstance(language, str)]
    if len(files) < 2 or not all(file.is_file() for file in files):
        raise ValueError(
            f"The dictionaries of '{shortened(str(source))}', dict.LANGUAGE.txt, are not beside it: name the source's "
            "and the target's by --vocab."
        )
    return files


def _words(file: Path) -> list[str]:
    try:
        lines = file.read_text("utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError):
        raise ValueError(f"'{shortened(str(file))}' cannot be read: name a dictionary of fairseq.") from None
    words = []
    for line in lines:
        word, blank, count = line.removesuffix(OVERWRITE).rpartition(" ")
        if not blank or not count.isdigit() or word in FIRST:
            raise ValueError(f"'{shortened(str(file))}' is no dictionary of fairseq, a token and its count a line.")
        words.append(word)
    return words
