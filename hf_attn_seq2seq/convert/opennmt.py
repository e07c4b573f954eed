# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Recurrent models of OpenNMT-py 3 (`.pt`): encoders `rnn` and `brnn`, attention `dot`, `general`, `mlp` or none, with or
without input feeding and bridge.

The weights say what the model is; its options are asked for what they cannot say.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from hf_attn_seq2seq.configuration_attn_seq2seq import AttnSeq2SeqConfig
from hf_attn_seq2seq.convert.converted import Converted
from hf_attn_seq2seq.convert.vocabularies import END, EXCLUDED, PAD, START, Side, Specials, tokenizer_of
from hf_attn_seq2seq.convert.weights import Filling, Weights, flattened, gates_of, read_torch, rows_of
from hf_attn_seq2seq.messages import quoted, shortened
from hf_attn_seq2seq.modeling_attn_seq2seq import AttnSeq2SeqForConditionalGeneration


SPECIALS = Specials("<blank>", "<s>", "</s>", "<unk>")
TABLES = [f"{part}.embeddings.make_embedding.emb_luts.0.weight" for part in ("encoder", "decoder")]
# Options that ask for what there is not here, with what an option must be.
ONLY: dict[str, tuple[Any, str]] = {
    "copy_attn": (False, "copying words"),
    "coverage_attn": (False, "its coverage, which changes the source's states"),
    "context_gate": (None, "a context gate"),
    "position_encoding": (False, "positions in a recurrent model"),
    "model_task": ("seq2seq", "a language model"),
    "model_type": ("text", "another source than text"),
    "lambda_align": (0.0, "guided alignment"),
}
NORMALIZERS = ("softmax", "sparsemax")


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
        vocabularies: None: they are in the checkpoint.

    Raises:
        ValueError: The file is missing, foreign or damaged, or the model needs what there is not here.
    """
    if vocabularies:
        raise ValueError("A checkpoint of OpenNMT-py holds its vocabularies: leave --vocab out.")
    name = shortened(str(source))
    found = read_torch(source)
    parts = [found.get(part) if isinstance(found, Mapping) else None for part in ("model", "generator", "vocab")]
    if not all(isinstance(part, Mapping) for part in parts) or not isinstance(found.get("opt"), Namespace):
        raise ValueError(
            f"'{name}' is no checkpoint of OpenNMT-py 3 with its weights, vocabularies and options: name one."
        )
    model, generator, vocab = parts
    weights = Weights({**dict(flattened(model)), **dict(flattened(generator, "generator."))}, str(source))
    options = vars(found["opt"])
    _check(options, weights, name)
    start = vocab.get("decoder_start_token", SPECIALS.start)
    if start != SPECIALS.start:
        raise ValueError(f"'{name}' starts a target with {quoted(start)} instead of <s>, which is not read.")
    sides = [_side(vocab, part, name) for part in ("src", "tgt")]
    sizes = [weights.shape(table) for table in TABLES]
    for side, (rows, _) in zip(sides, sizes):
        if rows != sum(row is not None for row in side.rows):
            raise ValueError(f"'{name}' has {rows} rows of embeddings for another number of tokens: get it again.")
    config = _config(options, weights, sides, sizes, name)
    converted = _filled(config, weights, sides, sizes)
    told = [
        "Its tokens are read between blanks: split text as for the training, by the same subword model, and join the "
        "output in the same way."
    ]
    return Converted(converted, tokenizer_of(sides[0], sides[1], SPECIALS, "$A"), told)


def _check(options: dict[str, Any], weights: Weights, name: str) -> None:
    kinds = options.get("encoder_type"), options.get("decoder_type")
    if kinds[0] not in ("rnn", "brnn") or kinds[1] not in ("rnn", "ifrnn"):
        raise ValueError(
            f"'{name}' has encoder_type {kinds[0]} and decoder_type {kinds[1]}: only its recurrent models are read."
        )
    for option, (only, needed) in ONLY.items():
        if options.get(option, only) not in (only, None):
            raise ValueError(f"'{name}' needs {needed} ({option}: {options[option]}), which there is not here.")
    if any(".emb_luts.1." in tensor for tensor in weights.left):
        raise ValueError(f"'{name}' needs features of words, which there are not here.")


def _side(vocab: Mapping[str, Any], part: str, name: str) -> Side:
    tokens = vocab.get(part)
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise ValueError(f"'{name}' has no list of tokens for '{part}': only checkpoints of version 3 are read.")
    return Side.of(tokens, SPECIALS, name)


def _cells(weights: Weights) -> str:
    """What the names of the decoder's cells begin with: with input feeding each layer is a module of its own."""
    return "decoder.rnn.layers." if "decoder.rnn.layers.0.weight_hh" in weights else "decoder.rnn."


def _hidden(weights: Weights, layer: int) -> str:
    cells = _cells(weights)
    return f"{cells}{layer}.weight_hh" if cells.endswith("layers.") else f"{cells}weight_hh_l{layer}"


def _config(
    options: dict[str, Any], weights: Weights, sides: list[Side], sizes: list[tuple[int, ...]], name: str
) -> AttnSeq2SeqConfig:
    cell, hidden = gates_of(weights, _hidden(weights, 0))
    encoder_cell, half = gates_of(weights, "encoder.rnn.weight_hh_l0")
    both = "encoder.rnn.weight_hh_l0_reverse" in weights
    if sizes[0][1] != sizes[1][1]:
        raise ValueError(
            f"'{name}' has embeddings of {sizes[0][1]} numbers for the source and {sizes[1][1]} for the target: here "
            "both have one width."
        )
    if encoder_cell != cell or half * (1 + both) != hidden:
        raise ValueError(f"'{name}' has cells of other kinds or widths in the encoder: get the file again.")
    depths = [0, 0]
    while f"encoder.rnn.weight_hh_l{depths[0]}" in weights:
        depths[0] += 1
    while _hidden(weights, depths[1]) in weights:
        depths[1] += 1
    attention, readout = "none", "linear"
    if "decoder.attn.linear_out.weight" in weights:
        attention, readout = "dot", "tanh"
        if "decoder.attn.linear_in.weight" in weights:
            attention = "general"
        elif "decoder.attn.linear_context.weight" in weights:
            attention, readout = "additive", "affine"
    normalizer = options.get("global_attention_function", "softmax") if attention != "none" else "softmax"
    if normalizer not in NORMALIZERS:
        raise ValueError(f"'{name}' needs global_attention_function {quoted(normalizer)}, which there is not here.")
    source, target = (weights.left[table] for table in TABLES)
    dropout = options.get("dropout", 0.0)
    dropout = dropout[0] if isinstance(dropout, list) and dropout else dropout
    return AttnSeq2SeqConfig(
        vocab_size=len(sides[0].tokens),
        decoder_vocab_size=len(sides[1].tokens),
        hidden_size=hidden,
        embedding_size=sizes[0][1],
        encoder_type=cell,
        decoder_type=cell,
        encoder_layers=depths[0],
        decoder_layers=depths[1],
        bidirectional=both,
        attention_type=attention,
        attention_bias=attention == "additive",
        attention_normalizer=normalizer,
        attention_query="current",
        input_feeding=_cells(weights).endswith("layers."),
        bridge="final_dense" if "encoder.bridge.0.weight" in weights else "final",
        readout=readout,
        # Equal weights are one, whatever the options say.
        share_encoder_decoder_embeddings=sides[0] == sides[1] and torch.equal(source, target),
        tie_word_embeddings=torch.equal(weights.left.get("generator.weight", source[:0]), target),
        output_bias=True,
        dropout=dropout if isinstance(dropout, float) and 0.0 <= dropout < 1.0 else 0.0,
        pad_token_id=PAD,
        bos_token_id=START,
        decoder_start_token_id=START,
        eos_token_id=END,
    )


def _filled(
    config: AttnSeq2SeqConfig, weights: Weights, sides: list[Side], sizes: list[tuple[int, ...]]
) -> AttnSeq2SeqForConditionalGeneration:
    filling = Filling(config)
    stack, hidden = filling.model.model.decoder.stack, config.hidden_size
    steps = stack.steps
    filling.embeddings(
        *(rows_of(weights.take(name, *size), side.rows) for name, size, side in zip(TABLES, sizes, sides))
    )
    filling.encoder_cells(weights, "encoder.rnn.")
    cells = _cells(weights)
    for index, cell in enumerate(steps.cells):
        alone = cells.endswith("layers.")
        filling.cell(cell, weights, f"{cells}{index}." if alone else cells, "" if alone else f"_l{index}")
    if config.bridge == "final_dense":
        # Its one matrix serves the first and the second half of all states where there are two directions.
        halves = 1 + config.bidirectional
        width = hidden * config.encoder_layers // halves
        for part, projection in enumerate(stack.bridge.projection):
            weight = weights.take(f"encoder.bridge.{part}.weight", width, width)
            bias = weights.take(f"encoder.bridge.{part}.bias", width)
            filling.linear(projection, torch.block_diag(*[weight] * halves), torch.cat([bias] * halves))
    if config.attention_type == "general":
        filling.linear(
            steps.attention.key_projection, weights.take("decoder.attn.linear_in.weight", hidden, hidden).t()
        )
    elif config.attention_type == "additive":
        filling.linear(
            steps.attention.query_projection, weights.take("decoder.attn.linear_query.weight", hidden, hidden)
        )
        filling.linear(
            steps.attention.key_projection,
            weights.take("decoder.attn.linear_context.weight", hidden, hidden),
            weights.take("decoder.attn.linear_query.bias", hidden),
        )
        filling.put(steps.attention.score_vector, weights.take("decoder.attn.v.weight", 1, hidden))
    if config.attention_type != "none":
        context, state = weights.take("decoder.attn.linear_out.weight", hidden, 2 * hidden).split(hidden, dim=1)
        biased = "decoder.attn.linear_out.bias" in weights
        bias = weights.take("decoder.attn.linear_out.bias", hidden) if biased else torch.zeros(hidden)
        filling.linear(steps.readout.projection, torch.cat([state, context], dim=1), bias)
    head = weights.take("generator.weight", sizes[1][0], hidden)
    bias = weights.take("generator.bias", sizes[1][0])
    rows = sides[1].rows
    if not config.tie_word_embeddings:
        filling.put(filling.model.lm_head.weight, rows_of(head, rows))
    filling.put(filling.model.lm_head.bias, rows_of(bias, rows, EXCLUDED))
    weights.finish()
    return filling.done()
