# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Models of eole, OpenNMT-py's successor: a folder with config.json, vocab.json and model.00.safetensors. Its recurrent
models are OpenNMT-py's; its Transformers differ from those in the names of their weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from hf_attn_seq2seq.convert import opennmt
from hf_attn_seq2seq.convert.converted import Converted
from hf_attn_seq2seq.convert.opennmt_recurrent import recurrent_model
from hf_attn_seq2seq.convert.opennmt_transformer import ACTIVATIONS, PARTS, POSITIONS, check_only, fields_of
from hf_attn_seq2seq.convert.subwords import splitting_of
from hf_attn_seq2seq.convert.tables import Tables
from hf_attn_seq2seq.convert.transformer import Attention, Stack, transformer_filling
from hf_attn_seq2seq.convert.vocabularies import Side, Specials
from hf_attn_seq2seq.convert.weights import Weights
from hf_attn_seq2seq.messages import quoted, shortened
from hf_attn_seq2seq.modeling_attn_seq2seq import AttnSeq2SeqForConditionalGeneration


CONFIG, VOCABULARY, WEIGHTS = "config.json", "vocab.json", "model.*.safetensors"
SPECIALS = {"pad_token": "<blank>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
TABLES = {"src": "src_emb.embeddings.weight", "tgt": "tgt_emb.embeddings.weight"}
SINUSOIDS = ("src_emb.pe.pe", "tgt_emb.pe.pe")
FEED_FORWARD = ("mlp.gate_up_proj", "mlp.down_proj", "post_attention_layernorm")
SELF_ATTENTION = Attention("self_attn", "input_layernorm", *PARTS)
STACKS = (
    Stack("encoder.transformer_layers.{}.", "encoder.layer_norm", SELF_ATTENTION, *FEED_FORWARD),
    Stack(
        "decoder.transformer_layers.{}.",
        "decoder.layer_norm",
        SELF_ATTENTION,
        *FEED_FORWARD,
        Attention("context_attn", "precontext_layernorm", *PARTS),
    ),
)
# What a layer's output is multiplied by, 1 in all models but Gemma's; only versions from 0.6 on write it.
SCALE = "decoder.transformer_layers.{}.layer_scalar"
NORM_EPS = 1e-5  # where a model of these does not say it
EOLE_ACTIVATIONS = {**ACTIVATIONS, "silu": "silu", "gelu-tanh": "gelu_pytorch_tanh", "quick_gelu": "quick_gelu"}
KINDS = {"rnn": ("rnn", "rnn"), "transformer": ("transformer", "transformer")}  # of an architecture
# Options of a Transformer's stacks that ask for what there is not here, with what an option must be.
ONLY: dict[str, tuple[tuple[Any, ...], str]] = {
    "layer_norm": (("standard", "standardFP32"), "another normalization than layer normalization"),
    "encoder_layer_style": (("standard",), "an encoder that is normalized last"),
    "final_encoder_layer_norm": ((True,), "an encoder without a norm after its last layer"),
    "embedding_type": (("standard",), "RoBERTa's embeddings"),
    "relative_positions_buckets": ((0,), "relative positions"),
    "parallel_residual": ((False,), "attention and feed-forward side by side"),
    "ffn_layernorm": ((False,), "norms around its feed-forward blocks"),
    "query_norm": ((False,), "normalized queries"),
    "key_norm": ((False,), "normalized keys"),
    "value_norm": ((False,), "normalized values"),
    "q_gating": ((False,), "gated queries"),
    "attn_scaling": ((None,), "another scale of attention"),
    "sliding_window": ((0,), "attention within a window"),
    "num_experts": ((0,), "a mixture of experts"),
    "layer_types": ((None,), "layers of several kinds"),
}


def recognizes(source: Path) -> bool:
    """Whether this is a folder with a configuration, vocabularies and weights."""
    return all((source / name).is_file() for name in (CONFIG, VOCABULARY)) and bool(_shards(source))


def convert(source: Path, vocabularies: Sequence[Path] = ()) -> Converted:
    """
    Read a model of eole.

    Args:
        source: Its folder.
        vocabularies: Its vocabularies are in the folder; but the SentencePiece model or the codes of subword-nmt by
            which texts were split, one file for both sides or the source's and the target's, may be named.

    Raises:
        ValueError: A file is missing, foreign or damaged, or the model needs what there is not here.
    """
    name = shortened(str(source))
    config, vocab = (_read(source / file) for file in (CONFIG, VOCABULARY))
    model = config.get("model")
    if not isinstance(model, Mapping):
        raise ValueError(f"'{name}' is no folder of a model of eole: {CONFIG} says nothing of a model.")
    weights = Weights(_tensors(source, model), str(source))
    specials = _specials(vocab, name)
    start = vocab.get("decoder_start_token", specials.start)
    if start != specials.start:
        raise ValueError(f"'{name}' starts a target with {quoted(str(start))} instead of {specials.start}.")
    sides = [_side(vocab, part, specials, name) for part in TABLES]
    splitting = splitting_of(vocabularies, sides, specials, "$A")
    source_table, target_table = TABLES.values()
    tables = Tables.of(weights, splitting.sides, source_table, target_table, "generator")
    for side, table in zip(sides, TABLES.values()):
        rows, _ = weights.shape(table)
        if not side.sized(rows):
            raise ValueError(f"'{name}' has {rows} rows of embeddings for another number of tokens: get it again.")
    converted = _model(config, model, weights, tables)
    weights.finish()
    return Converted(converted, splitting.tokenizer, splitting.told)


def _model(
    config: Mapping[str, Any], model: Mapping[str, Any], weights: Weights, tables: Tables
) -> AttnSeq2SeqForConditionalGeneration:
    name = weights.file
    parts = [_part(model, side) for side in ("encoder", "decoder")]
    kinds = KINDS.get(str(model.get("architecture")), (None, None))
    found = tuple(part.get(f"{side}_type", kind) for side, part, kind in zip(("encoder", "decoder"), parts, kinds))
    if model.get("generator_function", "softmax") != "softmax":
        raise ValueError(f"'{name}' needs generator_function {quoted(str(model['generator_function']))}.")
    training = {option: _part(config, "training").get(option) for option in ("dropout", "attention_dropout")}
    if found in opennmt.RECURRENT:
        if any(table in weights for table in SINUSOIDS):
            raise ValueError(f"'{name}' needs positions in a recurrent model, which there are not here.")
        if found[0] == "brnn" and "encoder.bridge.0.weight" in weights:
            raise ValueError(f"'{name}' has a bridge from both directions, which eole's own code does not run.")
        check_only(parts[1], opennmt.ONLY, name)
        return recurrent_model({**parts[1], **training}, weights, tables)
    if found != ("transformer", "transformer"):
        raise ValueError(
            f"'{name}' has encoder_type {found[0]} and decoder_type {found[1]}: only recurrent models and "
            "Transformers are read."
        )
    embeddings = _part(model, "embeddings")
    fields = []
    for part in parts:
        # What an encoder and a decoder do not say for themselves is said of both.
        options = {**model, **embeddings, **part, **training}
        check_only(options, ONLY, name)
        epsilon = NORM_EPS if SCALE.format(0) in weights else None
        if epsilon is None and "norm_eps" not in options:
            raise ValueError(
                f"'{name}' does not say norm_eps, which is 1e-6 in eole's first versions and 1e-5 since 0.3: write it "
                f"into {CONFIG}, as a field of model."
            )
        fields.append(fields_of(options, POSITIONS, EOLE_ACTIVATIONS, "mlp_activation_fn", epsilon, name))
    if fields[0] != fields[1]:
        raise ValueError(f"'{name}' has norms or activations of other kinds in the encoder: here both have one.")
    weights.drop(*SINUSOIDS)
    for number in range(STACKS[1].depth(weights)):
        _drop_scale(weights, SCALE.format(number))
    heads = [part.get("heads", model.get("heads", 8)) for part in parts]
    return transformer_filling(weights, tables, STACKS, heads, **fields[0]).done()


def _drop_scale(weights: Weights, name: str) -> None:
    """A scale of 1 says nothing."""
    if name in weights and weights.take(name, 1).item() != 1.0:
        raise ValueError(f"'{weights.file}' needs layers whose outputs are scaled, which there are not here.")


# --------------------------------------------------------------------------------------------------------------------
# Files
# --------------------------------------------------------------------------------------------------------------------


def _shards(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.glob(WEIGHTS) if path.is_file())
    except OSError:
        return []


def _tensors(folder: Path, model: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for path in _shards(folder):
        try:
            found |= load_file(path)
        except (OSError, SafetensorError, ValueError):
            raise ValueError(f"'{shortened(str(path))}' cannot be read: get the file again.") from None
    if not found:
        raise ValueError(f"There is no {WEIGHTS} in '{shortened(str(folder))}': name the folder of a model of eole.")
    # What is shared is written once.
    source, target = TABLES.values()
    if model.get("share_embeddings") and source in found:
        found.setdefault(target, found[source])
    if model.get("share_decoder_embeddings") and target in found:
        found.setdefault("generator.weight", found[target])
    return found


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        found = None
    if not isinstance(found, Mapping):
        raise ValueError(f"'{shortened(str(path))}' cannot be read: name the folder of a model of eole.")
    return found


def _part(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = config.get(name)
    return part if isinstance(part, Mapping) else {}


def _specials(vocab: Mapping[str, Any], name: str) -> Specials:
    found = {**SPECIALS, **_part(vocab, "specials")}
    tokens = [found[special] for special in SPECIALS]
    if not all(isinstance(token, str) and token for token in tokens) or len(set(tokens)) < len(tokens):
        raise ValueError(f"'{name}' does not name its special tokens: only models for translation are read.")
    return Specials(*tokens)


def _side(vocab: Mapping[str, Any], part: str, specials: Specials, name: str) -> Side:
    tokens = vocab.get(part)
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise ValueError(f"'{name}' has no list of tokens for '{part}' in {VOCABULARY}.")
    return Side.of(tokens, specials, name)
