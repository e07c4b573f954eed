# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Transformers of Sockeye 3, whose decoder mixes its steps by self-attention or by SSRU: a folder with params.best,
config, version, vocab.src.0.json and vocab.trg.0.json.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from hf_attn_seq2seq.configuration_attn_seq2seq import AttnSeq2SeqConfig
from hf_attn_seq2seq.convert.converted import Converted
from hf_attn_seq2seq.convert.options import Options
from hf_attn_seq2seq.convert.tables import Tables
from hf_attn_seq2seq.convert.transformer import Attention, Stack, fill_stack, linear
from hf_attn_seq2seq.convert.vocabularies import PAD, Side, Specials, read_vocabulary, tokenizer_of
from hf_attn_seq2seq.convert.weights import Filling, Weights, flattened, read_torch, share_of
from hf_attn_seq2seq.messages import quoted, shortened
from hf_attn_seq2seq.modeling_attn_seq2seq import AttnSeq2SeqForConditionalGeneration


PARAMS, CONFIG, VERSION = "params.best", "config", "version"
VOCABULARIES = ("vocab.src.0.json", "vocab.trg.0.json")
MAJOR = "3."
SPECIALS = Specials()
TABLES = ("embedding_source.embedding.weight", "embedding_target.embedding.weight", "output_layer")
ACTIVATIONS = {"relu": "relu", "swish1": "silu", "gelu": "gelu"}
POSITIONS = {"fixed": "sinusoidal_concat", "learned": "learned"}
MIXERS = {"transformer": "attention", "ssru_transformer": "ssru"}
# What comes before and behind the parts of a layer, without dropout (d), which is of training.
ORDERS = {("n", "r"): "pre", ("", "rn"): "post"}
DTYPES = {"float32": True, "float16": False, "bfloat16": False}
LAYER_NORM_EPS = 1e-6
BEFORE_SPLIT = ("query", "key", "value")
# Options that ask for what there is not here, with what an option must be; of the whole model, and of a stack.
ONLY: dict[str, tuple[Any, str]] = {
    "config_length_task": (None, "a prediction of lengths"),
    "neural_vocab_selection": (None, "a selection of the vocabulary"),
    "lhuc": (False, "weights of hidden units (LHUC)"),
}
ONLY_OF_STACKS: dict[str, tuple[Any, str]] = {
    "use_lhuc": (False, "weights of hidden units (LHUC)"),
    "use_glu": (False, "gated feed-forward blocks"),
    "block_prepended_cross_attention": (False, "attention that leaves out what is put before a source"),
}
TOLD = (
    "Its tokens are read between blanks: split text as for the training, by the same subword model, and join the "
    "output in the same way."
)
ROUNDED = (
    "Its weights are the file's, of {}, in single precision: Sockeye also rounds what it computes to {}, so that some "
    "translations may differ."
)


def recognizes(source: Path) -> bool:
    """Whether this is a folder with a model of Sockeye, or its parameters."""
    path = _params(source)
    return path.is_file() and path.name.startswith("params.") and path.with_name(CONFIG).is_file()


def convert(source: Path, vocabularies: Sequence[Path] = ()) -> Converted:
    """
    Read a model of Sockeye.

    Args:
        source: Its folder, or the file of parameters in it.
        vocabularies: The source's and the target's; none: those beside the parameters.

    Raises:
        ValueError: A file is missing, foreign or damaged, or the model needs what there is not here.
    """
    path = _params(source)
    _check_version(path.with_name(VERSION))
    options = Options.read(path.with_name(CONFIG))
    for option, (only, needed) in ONLY.items():
        if options.values.get(option, only) != only:
            raise options.refuse(option, needed)
    state = read_torch(path)
    if not isinstance(state, Mapping) or TABLES[0] not in state:
        raise ValueError(f"'{shortened(str(path))}' holds no parameters of a model of Sockeye: name its folder.")
    if any("_packed_params" in name or name.endswith(".scale") for name in state if isinstance(name, str)):
        raise ValueError(f"'{shortened(str(path))}' has weights of 8 bits: name the model that was quantized.")
    weights = Weights({name: each for name, each in flattened(state) if "traced" not in name}, str(path))
    files = list(vocabularies) or [path.with_name(name) for name in VOCABULARIES]
    if len(files) != 2:
        raise ValueError(f"{len(files)} vocabularies do not fit: name the source's and the target's by --vocab.")
    sides = [_side(file, weights, table) for file, table in zip(files, TABLES)]
    dtype = options.get("dtype", "float32")
    exact = options.choose("dtype", DTYPES, "float32", "type of numbers")
    model = _model(options, weights, sides)
    # Padding is no label, so it is not learned to be chosen.
    model.generation_config.suppress_tokens = [PAD]
    told = [TOLD, *([] if exact else [ROUNDED.format(dtype, dtype)])]
    return Converted(model, tokenizer_of(sides[0], sides[1], SPECIALS, f"$A {SPECIALS.end}"), told)


def _params(source: Path) -> Path:
    return source / PARAMS if source.is_dir() else source


def _check_version(path: Path) -> None:
    try:
        version = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        version = ""
    if not version.startswith(MAJOR):
        found = f"is of version {quoted(version)}" if version else "cannot be read"
        raise ValueError(f"'{shortened(str(path))}' {found}: only models of Sockeye 3 are read, with all their files.")


def _side(file: Path, weights: Weights, table: str) -> Side:
    tokens = read_vocabulary(file)
    rows, _ = weights.shape(table)
    if len(tokens) != rows:
        raise ValueError(
            f"'{shortened(str(file))}' has {len(tokens)} tokens and '{weights.file}' {rows} rows for them: name the "
            "vocabulary that belongs to the model."
        )
    return Side.of(tokens, SPECIALS, str(file))


def _order(options: Options) -> str:
    """Where a stack is normalized."""
    found = tuple(options.get(f"{name}process_sequence", "").replace("d", "") for name in ("pre", "post"))
    if found not in ORDERS:
        told = ", ".join(f"{name}process_sequence: {quoted(value)}" for name, value in zip(("pre", "post"), found))
        raise ValueError(f"'{options.file}' needs layers in an order that there is not here ({told}).")
    return ORDERS[found]


def _stacks(position: str, mixer: str) -> dict[str, Stack]:
    """What their parts are called; keys and values, which lie in one tensor, are named once they are apart."""
    attention = (*BEFORE_SPLIT, "ff_out")
    norm = f"{position}_{{}}.layer_norm"
    names = ("final_process.layer_norm", "ff.ff1", "ff.ff2", norm.format("ff"))
    own = "self_attention", norm.format("self_attention")
    decoders = "autoregr_layer", norm.format("autoregr_layer")
    return {
        "encoder": Stack("encoder.layers.{}.", f"encoder.{names[0]}", Attention(*own, *attention), *names[1:]),
        "decoder": Stack(
            "decoder.layers.{}.",
            f"decoder.{names[0]}",
            Attention(*decoders, *attention) if mixer == "attention" else None,
            *names[1:],
            Attention("enc_attention", norm.format("enc_attention"), *attention),
        ),
    }


def _split(weights: Weights, stacks: Mapping[str, Stack], heads: int, width: int) -> None:
    """Give queries, keys and values, which lie side by side head by head, names of their own."""
    for stack in stacks.values():
        for number in range(stack.depth(weights)):
            for attention in (stack.self_attention, stack.cross_attention):
                if attention is None:
                    continue
                prefix = f"{stack.layer.format(number)}{attention.attention}."
                if attention is stack.cross_attention:
                    weights.left[f"{prefix}query.weight"] = weights.take(f"{prefix}ff_q.weight", width, width)
                    both = weights.take(f"{prefix}ff_kv.weight", 2 * width, width)
                else:
                    joined = weights.take(f"{prefix}ff_in.weight", 3 * width, width)
                    weights.left[f"{prefix}query.weight"], both = joined.split([width, 2 * width])
                for name, part in zip(("key", "value"), both.unflatten(0, (heads, 2, -1)).unbind(1)):
                    weights.left[f"{prefix}{name}.weight"] = part.flatten(0, 1)


def _model(options: Options, weights: Weights, sides: list[Side]) -> AttnSeq2SeqForConditionalGeneration:
    data = options.part("config_data")
    parts = {side: options.part(f"config_{side}") for side in ("encoder", "decoder")}
    for name in ("source", "target"):
        if data.get(f"num_{name}_factors", 1) != 1 or options.part(f"config_embed_{name}").values.get(
            "factor_configs"
        ):
            raise data.refuse(f"num_{name}_factors", "factors")
    for part in parts.values():
        for option, (only, needed) in ONLY_OF_STACKS.items():
            if part.get(option, only) != only:
                raise part.refuse(option, needed)
    alike = {
        "norm_position": [_order(part) for part in parts.values()],
        "hidden_act": [part.choose("act_type", ACTIVATIONS, "", "activation") for part in parts.values()],
        "position_type": [
            part.choose("positional_embedding_type", POSITIONS, "", "kind of positions") for part in parts.values()
        ],
    }
    for field, found in alike.items():
        if len(set(found)) > 1:
            raise ValueError(
                f"'{options.file}' has {field} {found[0]} in the encoder and {found[1]} in the decoder, which are "
                "alike here."
            )
    fields: dict[str, Any] = {field: found[0] for field, found in alike.items()}
    mixer = parts["decoder"].choose("decoder_type", MIXERS, "transformer", "decoder")
    stacks = _stacks(fields["norm_position"], mixer)
    tables = Tables.of(weights, sides, *TABLES)
    heads = [part.get("attention_heads", 0) for part in parts.values()]
    if any(each < 1 or tables.width % each for each in heads):
        raise ValueError(f"'{options.file}' has {heads} heads for {tables.width} numbers, which do not fit.")
    for (side, stack), count in zip(stacks.items(), heads):
        _split(weights, {side: stack}, count, tables.width)
    inner = [weights.shape(f"{stack.layer.format(0)}{stack.inner}.weight")[0] for stack in stacks.values()]
    position_tables = _positions(weights, tables.width, fields["position_type"])
    config = AttnSeq2SeqConfig(
        hidden_size=tables.width,
        encoder_type="transformer",
        decoder_type="transformer",
        attention_type="multi_head",
        decoder_mixer=mixer,
        encoder_layers=stacks["encoder"].depth(weights),
        decoder_layers=stacks["decoder"].depth(weights),
        encoder_attention_heads=heads[0],
        num_attention_heads=heads[1],
        encoder_intermediate_size=inner[0],
        intermediate_size=inner[1],
        max_position_embeddings=len(position_tables[0]) if position_tables else 1024,
        layer_norm_eps=LAYER_NORM_EPS,
        dropout=share_of(parts["decoder"].values.get("dropout_prepost")),
        attention_dropout=share_of(parts["decoder"].values.get("dropout_attention")),
        activation_dropout=share_of(parts["decoder"].values.get("dropout_act")),
        **fields,
        **tables.fields(weights),
    )
    filling = Filling(config)
    model = filling.model.model
    tables.fill(filling, weights)
    both = (model.encoder.stack, model.decoder.stack)
    for here, table in zip(both, position_tables):
        filling.put(here.positions.embedding.weight, table)
    for stack, here in zip(stacks.values(), both):
        fill_stack(filling, weights, stack, here)
    if mixer == "ssru":
        _fill_ssru(filling, weights, model.decoder.stack)
    weights.finish()
    return filling.done()


def _positions(weights: Weights, width: int, kind: str) -> list[torch.Tensor]:
    """
    The learned positions of both sides, of one length: behind its last, Sockeye's decoder takes that again. Sinusoids
    are computed here.
    """
    names = [f"{side}.pos_embedding.weight" for side in ("encoder", "decoder")]
    if kind != "learned":
        weights.drop(*names)
        return []
    tables = [weights.take(name, weights.shape(name)[0], width) for name in names]
    longest = max(len(table) for table in tables)
    return [torch.cat([table, table[-1:].expand(longest - len(table), -1)]) for table in tables]


def _fill_ssru(filling: Filling, weights: Weights, stack: Any) -> None:
    for number, layer in enumerate(stack.layers):
        prefix = f"decoder.layers.{number}."
        cell, name = layer.mixer.cell, f"{prefix}autoregr_layer"
        width = filling.config.hidden_size
        forget = weights.take(f"{name}.forget_gate.weight", width, width)
        candidate = weights.take(f"{name}.linear.weight", width, width)
        filling.put(cell.input_projections[0].weight, torch.cat([forget, candidate]))
        filling.put(cell.forget_bias, weights.take(f"{name}.forget_gate.bias", width))
        linear(filling, weights, f"{prefix}{filling.config.norm_position}_autoregr_layer.layer_norm", layer.mixer_norm)
