# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Recurrent models of fairseq (`lstm` and its named architectures): LSTMs that start from the encoder's final states,
with input feeding, and attention (general) or none. The dictionaries lie beside the checkpoint or are named.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from hf_attn_seq2seq.configuration_attn_seq2seq import AttnSeq2SeqConfig
from hf_attn_seq2seq.convert.converted import Converted
from hf_attn_seq2seq.convert.vocabularies import END, PAD, START, Side, Specials, tokenizer_of
from hf_attn_seq2seq.convert.weights import Filling, Weights, flattened, gates_of, read_torch, rows_of
from hf_attn_seq2seq.messages import shortened
from hf_attn_seq2seq.modeling_attn_seq2seq import AttnSeq2SeqForConditionalGeneration


SPECIALS = Specials()
FIRST = ["<s>", "<pad>", "</s>", "<unk>"]  # the ids of a dictionary before those in its file
OVERWRITE = " #fairseq:overwrite"
TABLES = ["encoder.embed_tokens.weight", "decoder.embed_tokens.weight"]
OF_LSTM = "decoder.layers.0.weight_hh"


def recognizes(source: Path) -> bool:
    """Whether this is a checkpoint with weights of an LSTM and options."""
    if source.suffix != ".pt":
        return False
    try:
        found = read_torch(source)
    except ValueError:
        return False
    if not isinstance(found, Mapping) or not {"args", "cfg"} & set(found):
        return False
    return isinstance(found.get("model"), Mapping) and OF_LSTM in found["model"]


def convert(source: Path, vocabularies: Sequence[Path] = ()) -> Converted:
    """
    Read a model of fairseq.

    Args:
        source: Its checkpoint, `.pt`.
        vocabularies: The source's and the target's dictionaries; none: `dict.LANGUAGE.txt` beside the checkpoint.

    Raises:
        ValueError: A file is missing, foreign or damaged, or the model needs what there is not here.
    """
    name = shortened(str(source))
    found = read_torch(source)
    state = found.get("model") if isinstance(found, Mapping) else None
    if not isinstance(state, Mapping) or OF_LSTM not in state:
        raise ValueError(f"'{name}' is no checkpoint of a recurrent model of fairseq: only those are read.")
    weights = Weights(dict(flattened(state)), str(source))
    options = _options(found)
    if options.get("residuals"):
        raise ValueError(f"'{name}' needs sums of layers in fairseq's order (residuals), which there are not here.")
    files = list(vocabularies) or _dictionaries(source, options)
    if len(files) != 2:
        raise ValueError(f"{len(files)} dictionaries do not fit: name the source's and the target's by --vocab.")
    sides = [Side.of([*FIRST, *_words(file)], SPECIALS, str(file)) for file in files]
    sizes = [weights.shape(table) for table in TABLES]
    for side, (rows, _), file in zip(sides, sizes, files):
        if len(side.tokens) != rows:
            raise ValueError(
                f"'{shortened(str(file))}' has {len(side.tokens)} tokens and '{name}' {rows} rows for them: name the "
                "dictionary that belongs to the model."
            )
    config = _config(options, weights, sides, sizes, name)
    model = _filled(config, weights, sides, sizes)
    # As in its search: padding is never chosen, and no output is empty.
    model.generation_config.suppress_tokens = [PAD]
    model.generation_config.min_new_tokens = 1
    told = ["Its tokens are read between blanks: split text as for the training, and join the output in the same way."]
    return Converted(model, tokenizer_of(sides[0], sides[1], SPECIALS, f"$A {SPECIALS.end}"), told)


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
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise ValueError(f"'{shortened(str(file))}' cannot be read: name a dictionary of fairseq.") from None
    words = []
    for line in lines:
        word, blank, count = line.removesuffix(OVERWRITE).rpartition(" ")
        if not blank or not count.isdigit() or word in FIRST:
            raise ValueError(f"'{shortened(str(file))}' is no dictionary of fairseq, a token and its count a line.")
        words.append(word)
    return words


def _config(
    options: dict[str, Any], weights: Weights, sides: list[Side], sizes: list[tuple[int, ...]], name: str
) -> AttnSeq2SeqConfig:
    (encoder_cell, half), (cell, hidden) = (
        gates_of(weights, hidden) for hidden in ("encoder.lstm.weight_hh_l0", OF_LSTM)
    )
    if encoder_cell != "lstm" or cell != "lstm":
        raise ValueError(f"'{name}' has other cells than LSTMs: get the file again.")
    if sizes[0][1] != sizes[1][1]:
        raise ValueError(
            f"'{name}' has embeddings of {sizes[0][1]} numbers for the source and {sizes[1][1]} for the target: here "
            "both have one width."
        )
    if "decoder.additional_fc.weight" in weights:
        raise ValueError(
            f"'{name}' has a layer before its output layer (decoder-out-embed-dim differs from decoder-hidden-size), "
            "which there is not here."
        )
    both = "encoder.lstm.weight_hh_l0_reverse" in weights
    depths = [0, 0]
    while f"encoder.lstm.weight_hh_l{depths[0]}" in weights:
        depths[0] += 1
    while f"decoder.layers.{depths[1]}.weight_hh" in weights:
        depths[1] += 1
    attends = "decoder.attention.output_proj.weight" in weights
    source, target = (weights.left[table] for table in TABLES)
    head = weights.left.get("decoder.fc_out.weight")
    dropout = options.get("dropout", 0.0)
    return AttnSeq2SeqConfig(
        vocab_size=len(sides[0].tokens),
        decoder_vocab_size=len(sides[1].tokens),
        hidden_size=hidden,
        embedding_size=sizes[0][1],
        encoder_hidden_size=half * (1 + both),
        encoder_type="lstm",
        decoder_type="lstm",
        encoder_layers=depths[0],
        decoder_layers=depths[1],
        bidirectional=both,
        attention_type="general" if attends else "none",
        attention_query="current",
        input_feeding=True,
        bridge="final",
        readout="tanh" if attends else "linear",
        # Equal weights are one, whatever the options say.
        share_encoder_decoder_embeddings=sides[0] == sides[1] and torch.equal(source, target),
        tie_word_embeddings=head is None or torch.equal(head, target),
        output_bias="decoder.fc_out.bias" in weights,
        dropout=dropout if isinstance(dropout, float) and 0.0 <= dropout < 1.0 else 0.0,
        pad_token_id=PAD,
        bos_token_id=START,
        decoder_start_token_id=END,  # a target begins with the end of the one before
        eos_token_id=END,
    )


def _filled(
    config: AttnSeq2SeqConfig, weights: Weights, sides: list[Side], sizes: list[tuple[int, ...]]
) -> AttnSeq2SeqForConditionalGeneration:
    filling = Filling(config)
    stack, hidden, context = filling.model.model.decoder.stack, config.hidden_size, config.encoder_hidden_size
    filling.embeddings(
        *(rows_of(weights.take(name, *size), side.rows) for name, size, side in zip(TABLES, sizes, sides))
    )
    filling.encoder_cells(weights, "encoder.lstm.")
    for index, cell in enumerate(stack.steps.cells):
        filling.cell(cell, weights, f"decoder.layers.{index}.", "")
    if context != hidden:
        for projection, part in zip(stack.bridge.projection, ("hidden", "cell")):
            here = f"decoder.encoder_{part}_proj"
            weight, bias = weights.take(f"{here}.weight", hidden, context), weights.take(f"{here}.bias", hidden)
            filling.linear(projection, weight, bias)
    if config.attention_type != "none":
        attention = stack.steps.attention
        filling.linear(
            attention.key_projection, weights.take("decoder.attention.input_proj.weight", context, hidden).t()
        )
        joined = weights.take("decoder.attention.output_proj.weight", hidden, context + hidden)
        read, state = joined.split([context, hidden], dim=1)
        filling.linear(stack.steps.readout.projection, torch.cat([state, read], dim=1), torch.zeros(hidden))
    rows = sides[1].rows
    if config.tie_word_embeddings:
        weights.drop("decoder.fc_out.weight")
    else:
        head = weights.take("decoder.fc_out.weight", sizes[1][0], hidden)
        filling.put(filling.model.lm_head.weight, rows_of(head, rows))
    if config.output_bias:
        filling.put(filling.model.lm_head.bias, rows_of(weights.take("decoder.fc_out.bias", sizes[1][0]), rows))
    weights.finish()
    return filling.done()
