# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Models of JoeyNMT 1 and 2: recurrent ones (GRU, LSTM; Bahdanau's and Luong's attention) and Transformers, as its
training leaves them in a folder with config.yaml, best.ckpt, src_vocab.txt and trg_vocab.txt.

The weights say what the model is; its configuration is asked for what they cannot say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from hf_attn_seq2seq.configuration_attn_seq2seq import AttnSeq2SeqConfig
from hf_attn_seq2seq.convert.converted import Converted
from hf_attn_seq2seq.convert.joeynmt_text import Vocabulary, is_of_first_version, read_text
from hf_attn_seq2seq.convert.options import Options
from hf_attn_seq2seq.convert.tables import Tables
from hf_attn_seq2seq.convert.transformer import Attention, Stack, fill_stack, heads_of
from hf_attn_seq2seq.convert.vocabularies import PAD, START, UNKNOWN
from hf_attn_seq2seq.convert.weights import Filling, Weights, flattened, gates_of, read_torch, share_of
from hf_attn_seq2seq.messages import shortened
from hf_attn_seq2seq.modeling_attn_seq2seq import AttnSeq2SeqForConditionalGeneration


CONFIG, END = "config.yaml", ".ckpt"
CHECKPOINTS = ("best.ckpt", "latest.ckpt")  # of a folder's checkpoints, the first that is there
TABLES = ("src_embed.lut.weight", "trg_embed.lut.weight")
OUTPUT = "decoder.output_layer"
PARTS = ("q_layer", "k_layer", "v_layer", "output_layer")
FEED_FORWARD = ("feed_forward.pwff_layer.0", "feed_forward.pwff_layer.3", "feed_forward.layer_norm")
STACKS = {
    "encoder": Stack(
        "encoder.layers.{}.", "encoder.layer_norm", Attention("src_src_att", "layer_norm", *PARTS), *FEED_FORWARD
    ),
    "decoder": Stack(
        "decoder.layers.{}.",
        "decoder.layer_norm",
        Attention("trg_trg_att", "x_layer_norm", *PARTS),
        *FEED_FORWARD,
        Attention("src_trg_att", "dec_layer_norm", *PARTS),
    ),
}
HEADS = {"encoder": 4, "decoder": 8}  # where the options name none
NORMS = {"encoder": "pre", "decoder": "post"}  # the same
ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "swish": "silu"}
BRIDGES = {"bridge": "dense", "last": "last_both", "zero": "zeros", "zeros": "zeros"}
LAYER_NORM_EPS = 1e-6


def recognizes(source: Path) -> bool:
    """Whether this is a folder with a configuration and a checkpoint, or such a checkpoint."""
    try:
        return _checkpoint(source).with_name(CONFIG).is_file()
    except ValueError:
        return False


def convert(source: Path, vocabularies: Sequence[Path] = ()) -> Converted:
    """
    Read a model of JoeyNMT.

    Args:
        source: The folder of its training, or a checkpoint in it.
        vocabularies: The source's and the target's; none: `src_vocab.txt` and `trg_vocab.txt` beside the checkpoint,
            or what its configuration names there.

    Raises:
        ValueError: A file is missing, foreign or damaged, or the model needs what there is not here.
    """
    path = _checkpoint(source)
    options = Options.read(path.with_name(CONFIG))
    found = read_torch(path)
    state = found.get("model_state") if isinstance(found, Mapping) else None
    if not isinstance(state, Mapping) or TABLES[0] not in state:
        raise ValueError(f"'{shortened(str(path))}' is no checkpoint of JoeyNMT with its weights: name one.")
    weights = Weights(dict(flattened(state)), str(path))
    text = read_text(options, path.parent, list(vocabularies))
    for vocabulary, table in zip(text.vocabularies, TABLES):
        rows, _ = weights.shape(table)
        if not vocabulary.side.sized(rows):
            raise ValueError(
                f"'{vocabulary.file}' has {vocabulary.size} tokens and '{weights.file}' {rows} rows for them: name "
                "the vocabulary that belongs to the model."
            )
    old = is_of_first_version(options)
    model = _model(options.part("model"), weights, [vocabulary.side for vocabulary in text.vocabularies], old)
    if not old:  # whose search lets everything through
        _set_search(model, options.part("testing"), text.vocabularies[1])
    return Converted(model, text.tokenizer, text.told)


def _checkpoint(source: Path) -> Path:
    """The checkpoint, of a folder the best."""
    if not source.is_dir():
        if source.suffix != END:
            raise ValueError(
                f"'{shortened(str(source))}' is no checkpoint of JoeyNMT ({END}): name one, or its folder."
            )
        return source
    for name in CHECKPOINTS:
        if (source / name).is_file():
            return source / name
    found = sorted(source.glob(f"*{END}"))
    if len(found) != 1:
        count = "There is no checkpoint" if not found else f"There are {len(found)} checkpoints"
        raise ValueError(f"{count} (.ckpt) in '{shortened(str(source))}', and none is named best.ckpt: name one.")
    return found[0]


# --------------------------------------------------------------------------------------------------------------------
# The model
# --------------------------------------------------------------------------------------------------------------------


def _model(options: Options, weights: Weights, sides: list[Any], old: bool) -> AttnSeq2SeqForConditionalGeneration:
    recurrent = {side: f"{side}.rnn.weight_hh_l0" in weights for side in STACKS}
    if recurrent["decoder"] and not recurrent["encoder"]:
        raise ValueError(
            f"'{weights.file}' has a Transformer encoder and a recurrent decoder, which JoeyNMT itself cannot run."
        )
    parts = {side: options.part(side) for side in STACKS}
    scaled = _scale(parts, recurrent, weights)
    tables = Tables.of(weights, sides, *TABLES, OUTPUT)
    fields: dict[str, Any] = {**tables.fields(weights), "scale_embeddings": scaled}
    fields |= _recurrent_encoder(weights) if recurrent["encoder"] else _transformer(parts, weights, "encoder")
    if recurrent["decoder"]:
        fields |= _recurrent_decoder(parts["decoder"], weights)
    else:
        fields |= _transformer(parts, weights, "decoder")
        fields |= _norms(parts, weights, recurrent["encoder"], old)
        fields |= {} if old else _alphas(options, parts, weights, recurrent["encoder"])
    filling = Filling(AttnSeq2SeqConfig(**fields))
    model = filling.model.model
    tables.fill(filling, weights)
    for side, stack in (("encoder", model.encoder.stack), ("decoder", model.decoder.stack)):
        if not recurrent[side]:
            weights.drop(f"{side}.pe.pe")  # its sinusoids are computed here
            fill_stack(filling, weights, STACKS[side], stack)
    if recurrent["encoder"]:
        filling.encoder_cells(weights, "encoder.rnn.")
    if recurrent["decoder"]:
        _fill_recurrent_decoder(filling, weights)
    weights.finish()
    return filling.done()


def _scale(parts: Mapping[str, Options], recurrent: Mapping[str, bool], weights: Weights) -> bool:
    """
    Whether Transformers scale their embeddings here: where both sides' do, or none. Scales of other embeddings are
    multiplied into their tables, which is the same product.
    """
    wanted = {side: part.part("embeddings").get("scale", False) for side, part in parts.items()}
    scaled = all(wanted[side] for side in STACKS if not recurrent[side])
    for side, table in zip(STACKS, TABLES):
        if wanted[side] and (recurrent[side] or not scaled):
            _, width = weights.shape(table)
            weights.left[table] = weights.left[table] * width**0.5
    return scaled


def _recurrent_encoder(weights: Weights) -> dict[str, Any]:
    cell, half = gates_of(weights, "encoder.rnn.weight_hh_l0")
    if "encoder.rnn.weight_hh_l0_reverse" not in weights:
        raise ValueError(f"'{weights.file}' has an encoder of one direction, which JoeyNMT itself cannot run.")
    return {
        "encoder_type": cell,
        "encoder_hidden_size": 2 * half,
        "encoder_layers": weights.depth("encoder.rnn.weight_hh_l{}"),
    }


def _recurrent_decoder(options: Options, weights: Weights) -> dict[str, Any]:
    cell, hidden = gates_of(weights, "decoder.rnn.weight_hh_l0")
    options.choose("activation", {"tanh": "tanh"}, "tanh", "activation")
    (_, entering), (_, width) = (weights.shape(name) for name in ("decoder.rnn.weight_ih_l0", TABLES[1]))
    bridge = options.choose("init_hidden", BRIDGES, "bridge", "initial state")
    _, context = weights.shape("decoder.attention.key_layer.weight")
    if bridge == "last_both" and context not in (hidden, 2 * hidden):
        raise ValueError(
            f"'{weights.file}' starts from a state of {context} numbers instead of {hidden}: get it again."
        )
    return {
        "hidden_size": hidden,
        "decoder_type": cell,
        "decoder_layers": weights.depth("decoder.rnn.weight_hh_l{}"),
        "attention_type": "additive" if "decoder.attention.query_layer.weight" in weights else "general",
        "attention_query": "current",
        "input_feeding": entering > width,
        "bridge": bridge,
        "readout": "tanh",
        "dropout": share_of(options.values.get("dropout")),
    }


def _fill_recurrent_decoder(filling: Filling, weights: Weights) -> None:
    config, stack = filling.config, filling.model.model.decoder.stack
    hidden, context, steps = config.hidden_size, config.encoder_hidden_size, stack.steps
    for index, cell in enumerate(steps.cells):
        filling.cell(cell, weights, "decoder.rnn.", f"_l{index}")
    key = weights.take("decoder.attention.key_layer.weight", hidden, context)
    filling.linear(steps.attention.key_projection, key)
    if config.attention_type == "additive":
        query = weights.take("decoder.attention.query_layer.weight", hidden, hidden)
        filling.linear(steps.attention.query_projection, query)
        filling.put(steps.attention.score_vector, weights.take("decoder.attention.energy_layer.weight", 1, hidden))
    weight = weights.take("decoder.att_vector_layer.weight", hidden, hidden + context)
    filling.linear(steps.readout.projection, weight, weights.take("decoder.att_vector_layer.bias", hidden))
    if config.bridge == "dense":  # one for all layers, and for h and c
        parts = stack.bridge.projection.out_features // hidden
        weight = weights.take("decoder.bridge_layer.weight", hidden, context)
        bias = weights.take("decoder.bridge_layer.bias", hidden)
        filling.linear(stack.bridge.projection, weight.repeat(parts, 1), bias.repeat(parts))
    elif config.bridge == "last_both" and context != hidden:  # the direction from left to right alone
        filling.linear(stack.bridge.projection, torch.eye(hidden, context))


def _transformer(parts: Mapping[str, Options], weights: Weights, side: str) -> dict[str, Any]:
    """The fields of a Transformer's encoder or decoder."""
    options, names = parts[side], STACKS[side]
    _, width = weights.shape(TABLES[side == "decoder"])
    heads = heads_of(weights, names, options.get("num_heads", HEADS[side]), width)
    if side == "encoder":
        return {
            "encoder_type": "transformer",
            "encoder_hidden_size": width,
            "encoder_layers": names.depth(weights),
            "encoder_attention_heads": heads.all,
            "encoder_intermediate_size": heads.inner,
        }
    return {
        "hidden_size": width,
        "decoder_type": "transformer",
        "decoder_layers": names.depth(weights),
        "attention_type": "multi_head",
        "num_attention_heads": heads.all,
        "intermediate_size": heads.inner,
        "layer_norm_eps": LAYER_NORM_EPS,
        "dropout": share_of(options.values.get("dropout")),
    }


def _norms(parts: Mapping[str, Options], weights: Weights, recurrent_encoder: bool, old: bool) -> dict[str, Any]:
    """Activations, and where layers are normalized: here both stacks are alike, and so they are in JoeyNMT 1."""
    if old:
        return {"norm_position": "pre", "hidden_act": "relu"}
    sides = [side for side in STACKS if not (side == "encoder" and recurrent_encoder)]
    positions = {
        side: parts[side].choose("layer_norm", {"pre": "pre", "post": "post"}, NORMS[side], "norm") for side in sides
    }
    activations = {side: parts[side].choose("activation", ACTIVATIONS, "relu", "activation") for side in sides}
    for what, found in (("layer_norm", positions), ("activation", activations)):
        if len(set(found.values())) > 1:
            told = " and ".join(f"{value} in the {side}" for side, value in found.items())
            raise ValueError(f"'{weights.file}' has {what} {told}, which are alike here.")
    for side, position in positions.items():
        # Without the option, JoeyNMT normalizes before an encoder's parts, but not after its last layer.
        if position == "pre" and f"{STACKS[side].norm}.weight" not in weights:
            raise ValueError(f"'{weights.file}' does not normalize what the last layer of its {side} gives, as here.")
    return {"norm_position": positions["decoder"], "hidden_act": activations["decoder"]}


def _alphas(
    options: Options, parts: Mapping[str, Options], weights: Weights, recurrent_encoder: bool
) -> dict[str, float]:
    """What sums are multiplied by: where weights began as DeepNet's (Wang et al. 2022, table 1), as then."""
    if options.get("initializer", "xavier_uniform") == "xavier_normal" and not recurrent_encoder:
        encoder, decoder = (STACKS[side].depth(weights) for side in STACKS)
        found = [0.81 * (encoder**4 * decoder) ** (1 / 16), (3 * decoder) ** (1 / 4)]
    else:
        found = [float(parts[side].get("alpha", 1.0, int)) for side in STACKS]
    return {"encoder_residual_alpha": found[0], "residual_alpha": found[1]}


def _set_search(model: AttnSeq2SeqForConditionalGeneration, options: Options, target: Vocabulary) -> None:
    """As in its search: these are never chosen, and no output is empty."""
    never = [PAD, START, *target.tags]
    if not options.get("generate_unk", True):
        never.append(UNKNOWN)
    model.generation_config.suppress_tokens = sorted(never)
    model.generation_config.min_new_tokens = max(options.get("min_output_length", 1), 0)
