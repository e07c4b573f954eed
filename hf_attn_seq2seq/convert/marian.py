# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Models of Marian and Bergamot, such as Firefox's: a Transformer whose decoder mixes its steps by self-attention, SSRU
or averages, and recurrent models with a conditional GRU.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml

from hf_attn_seq2seq.configuration_attn_seq2seq import AttnSeq2SeqConfig
from hf_attn_seq2seq.convert import marian_s2s
from hf_attn_seq2seq.convert.converted import Converted
from hf_attn_seq2seq.convert.marian_file import OPTIONS, QUANT_MULT, MarianFile, read_marian
from hf_attn_seq2seq.convert.marian_names import ACTIVATIONS, AUTOREG, Weight, output_layer, tables, weights
from hf_attn_seq2seq.convert.marian_vocabularies import IN_LINES, IN_YAML, Vocabulary
from hf_attn_seq2seq.convert.vocabularies import EXCLUDED
from hf_attn_seq2seq.messages import quoted, shortened
from hf_attn_seq2seq.modeling_attn_seq2seq import AttnSeq2SeqForConditionalGeneration


LAYER_NORM_EPS = 1e-6
BEAMS = 12  # Marian's, unless it is told otherwise; the students are made for one
ENDS = (".npz", ".bin")


def recognizes(source: Path) -> bool:
    """Whether a file, or what is in a folder, is named like a model of Marian."""
    return bool(_models(source)) if source.is_dir() else source.suffix in ENDS


def convert(source: Path, vocabularies: Sequence[Path] = ()) -> Converted:
    """
    Read a model of Marian.

    Args:
        source: Its `.npz` or `.bin` file, or the folder with that, its vocabularies and, if need be, `decoder.yml`.
        vocabularies: One file for both sides, or the source's and the target's; none: those beside the model.

    Raises:
        ValueError: A file is missing, foreign or damaged, or the model needs what there is not here.
    """
    path = _model_in(source)
    found = read_marian(path)
    options = Options(found.options, str(path))
    search = _search_options(path)
    files = list(vocabularies) or _vocabularies(path, search)
    if len(files) not in (1, 2):
        raise ValueError(f"{len(files)} vocabularies are too many: name one, or the source's and the target's.")
    vocabulary = Vocabulary.of(files, found, str(path))
    config = _config(options, vocabulary, found)
    model = _model(config, found, vocabulary, str(path))
    _set_search(model, vocabulary, search)
    told = vocabulary.told()
    if found.multipliers:
        told.append(
            f"{len(found.multipliers)} matrices were in 8 bits: their weights are exactly the file's, in single "
            "precision. An engine in 8 bits also rounds what they are multiplied with, which this model does not, so "
            "that some translations differ."
        )
    return Converted(model, vocabulary.tokenizer(), told)


# --------------------------------------------------------------------------------------------------------------------
# Files
# --------------------------------------------------------------------------------------------------------------------


def _models(folder: Path) -> list[Path]:
    try:
        names = sorted(path for path in folder.iterdir() if path.suffix in ENDS and path.is_file())
    except OSError:
        return []
    # Beside a model there may be lists of likely words, `lex.*.bin`, and states of training.
    return [path for path in names if not path.name.startswith("lex.") and ".optimizer." not in path.name]


def _model_in(source: Path) -> Path:
    if not source.is_dir():
        return source
    models = _models(source)
    if not models:
        raise ValueError(f"There is no .npz or .bin in '{source}': name a model of Marian.")
    if len(models) > 1:
        names = ", ".join(path.name for path in models[:5])
        raise ValueError(f"There are {len(models)} models in '{source}' ({names}): name the file of one.")
    return models[0]


def _vocabularies(model: Path, options: dict[str, Any]) -> list[Path]:
    """The vocabularies that `decoder.yml` names, or else those beside a model, .spm files or lists of words."""
    named = options.get("vocabs")
    if isinstance(named, list) and all(isinstance(each, str) for each in named):
        # Models move, and paths in their options stay.
        found = [next((file for file in _places(model, each) if os.path.isfile(file)), None) for each in named]
        files = list(dict.fromkeys(file for file in found if file is not None))
        if None not in found and len(files) in (1, 2):
            return files
    beside = sorted(model.parent.glob("*.spm"))
    if not beside:
        beside = [
            file
            for file in sorted(model.parent.iterdir())
            if file.suffix in IN_LINES or (file.suffix in IN_YAML and "vocab" in file.name)
        ]
    if len(beside) == 2:
        source = [file for file in beside if file.name.startswith(("src", "source"))]
        if len(source) == 1:
            return source + [file for file in beside if file not in source]
    if len(beside) == 1:
        return beside
    told = "No vocabulary (.spm, .yml) is" if not beside else f"{len(beside)} vocabularies are"
    raise ValueError(f"{told} beside '{model}': name one, or the source's and the target's, by --vocab.")


def _places(model: Path, name: str) -> list[Path]:
    return [model.parent / name, model.parent / Path(name).name]


def _search_options(model: Path) -> dict[str, Any]:
    """What `decoder.yml` beside the model says; nothing where there is none."""
    for name in (f"{model.name}.decoder.yml", "decoder.yml"):
        file = model.parent / name
        if file.is_file():
            try:
                options = yaml.safe_load(file.read_text("utf-8"))
            except (yaml.YAMLError, ValueError, RecursionError, OSError):
                options = None
            if not isinstance(options, dict):
                raise ValueError(f"'{file}' cannot be read: mend or remove it.")
            return options
    return {}


# --------------------------------------------------------------------------------------------------------------------
# Options
# --------------------------------------------------------------------------------------------------------------------

# What an option must be, as Marian has it if it is not given; and what another value would need.
_ONLY: dict[str, tuple[Any, str]] = {
    "right-left": (False, "targets written from right to left"),
    "transformer-train-positions": (False, "learned positions without scaled embeddings"),
    "transformer-train-position-embeddings": (False, "learned positions without scaled embeddings"),
    "transformer-disable-position-embeddings": (False, "embeddings without positions"),
    "transformer-attention-mask": ("default", "scores that depend on distances"),
    "transformer-no-projection": (False, "attention without an output projection"),
    "transformer-rnn-projection": (False, "an output projection of the decoder's cell"),
    "transformer-no-affine": (False, "layer normalization without a scale"),
    "transformer-no-bias": (False, "layer normalization without a bias"),
    "transformer-pool": (False, "pooled attention"),
    "transformer-ffn-depth": (2, "feed-forward blocks of another depth"),
    "layer-normalization": (False, "layer normalization within the decoder's cells"),
    "ulr": (False, "universal language representations"),
    "lemma-dim-emb": (0, "factors"),
    "factors-dim-emb": (0, "factors"),
    "lsh": (False, "hashed output layers"),
}
_ONLY_RECURRENT = {
    **{option: only for option, only in _ONLY.items() if not option.startswith("transformer-")},
    **marian_s2s.ONLY,
}
_ORDERS = {("", "dan", ""): "post", ("n", "da", "n"): "pre"}  # pre- and postprocess, and that of the top


class Options(NamedTuple):
    """The options of a model, each checked when it is asked for."""

    values: dict[str, Any]
    name: str  # of the file

    def get(self, option: str, default: Any, *kinds: type) -> Any:
        """
        An option's value, of the type of the default or of `kinds`.

        Raises:
            ValueError: It has another type.
        """
        value = self.values.get(option, default)
        allowed = kinds or (type(default),)
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            raise ValueError(
                f"'{self.name}' has the option {option}: {shortened(str(value))}, which Marian would not take: get "
                "the file again."
            )
        return value

    def size(self, option: str, default: int | None = None) -> int:
        """
        A size, above 0.

        Raises:
            ValueError: It is none, or missing without a default.
        """
        value = self.values.get(option, default)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1 << 24:
            raise ValueError(f"'{self.name}' has the option {option}: {shortened(str(value))}, which is no size.")
        return value

    def refuse(self, option: str, needed: str) -> ValueError:
        value = shortened(str(self.values.get(option)))
        return ValueError(f"'{self.name}' needs {needed} ({option}: {value}), which there is not here.")

    def check(self) -> None:
        """
        Refuse what this package cannot compute.

        Raises:
            ValueError: Names the option.
        """
        kind = self.get("type", "", str)
        if kind not in ("transformer", "s2s"):
            many = "several encoders" if "multi" in kind else f"the architecture '{shortened(kind)}'"
            raise self.refuse("type", many)
        for option, (only, needed) in (_ONLY if kind == "transformer" else _ONLY_RECURRENT).items():
            if self.values.get(option, only) != only:
                raise self.refuse(option, needed)
        if self.values.get("transformer-tied-layers"):
            raise self.refuse("transformer-tied-layers", "layers that share their weights")
        inputs = self.values.get("input-types") or []
        if any(each != "sequence" for each in inputs):
            raise self.refuse("input-types", "other inputs than text")
        if len(self.values.get("dim-vocabs") or [0, 0]) != 2:
            raise self.refuse("dim-vocabs", "several encoders")
        for option in ("transformer-decoder-ffn-depth",):
            if self.values.get(option, 0) not in (0, 2):
                raise self.refuse(option, "feed-forward blocks of another depth")
        for option in ("transformer-postprocess-emb",):
            if set(self.get(option, "d", str)) - {"d"}:
                raise self.refuse(option, "normalized embeddings")

    def norm_position(self) -> str:
        """Where layers are normalized: dropout, the letter d, is of training alone."""
        names = [f"transformer-{name}" for name in ("preprocess", "postprocess", "postprocess-top")]
        found = tuple(self.get(name, "", str) for name in names)
        order = tuple(
            steps.replace("d", "") if place != 1 else steps.replace("d", "", 1) for place, steps in enumerate(found)
        )
        known = {tuple(each.replace("d", "") for each in key): value for key, value in _ORDERS.items()}
        position = known.get(order)
        if position is None:
            told = ", ".join(f"{name}: '{shortened(value)}'" for name, value in zip(names, found))
            raise ValueError(f"'{self.name}' needs layers in an order that there is not here ({told}).")
        return position


def _config(options: Options, vocabulary: Vocabulary, found: MarianFile) -> AttnSeq2SeqConfig:
    options.check()
    recurrent = options.get("type", "", str) == "s2s"
    fields = _recurrent(options) if recurrent else _transformer(options)
    all_tied = options.get("tied-embeddings-all", False)
    config = AttnSeq2SeqConfig(
        vocab_size=vocabulary.rows,
        decoder_vocab_size=vocabulary.rows,
        tie_word_embeddings=all_tied or options.get("tied-embeddings", False),
        share_encoder_decoder_embeddings=all_tied or options.get("tied-embeddings-src", False),
        output_bias=True,
        zero_start=True,
        pad_token_id=vocabulary.pad,
        bos_token_id=vocabulary.start,
        decoder_start_token_id=vocabulary.start,
        eos_token_id=vocabulary.end,
        **fields,
    )
    depth = config.encoder_layers + config.decoder_layers
    if depth > len(found.tensors):
        raise ValueError(f"'{options.name}' has {depth} layers by its options, but {len(found.tensors)} tensors.")
    return config


def _recurrent(options: Options) -> dict[str, Any]:
    layers = options.size("dec-depth", 1)
    option, only, needed = marian_s2s.DEEPER
    if layers > 1 and options.values.get(option, only) != only:
        raise options.refuse(option, needed)
    cells = options.get("enc-cell", "gru", str), options.get("dec-cell", "gru", str)
    for name, cell in zip(("enc-cell", "dec-cell"), cells):
        if cell not in marian_s2s.CELLS:
            raise options.refuse(name, f"another cell than {' or '.join(marian_s2s.CELLS)}")
    width, embedding = options.size("dim-rnn", 1024), options.size("dim-emb", 512)
    return marian_s2s.fields(cells, width, embedding, layers, options.get("skip", False))


def _transformer(options: Options) -> dict[str, Any]:
    width = options.size("dim-emb")
    heads = options.size("transformer-heads", 8)
    if width % heads or width % 2 or width < 4:
        raise ValueError(f"'{options.name}' has dim-emb: {width} and transformer-heads: {heads}, which do not fit.")
    autoreg = options.get("transformer-decoder-autoreg", "self-attention", str)
    if autoreg not in AUTOREG:
        raise options.refuse("transformer-decoder-autoreg", f"'{shortened(autoreg)}' in the decoder")
    activation = options.get("transformer-ffn-activation", "swish", str)
    if activation not in ACTIVATIONS:
        raise options.refuse("transformer-ffn-activation", f"the activation '{shortened(activation)}'")
    inner = options.size("transformer-dim-ffn", 2048)
    decoder_inner = options.values.get("transformer-decoder-dim-ffn") or inner
    fields: dict[str, Any] = {"norm_position": options.norm_position()}
    if autoreg == "rnn" and options.get("dec-cell", "gru", str) != "ssru":
        raise options.refuse("dec-cell", "another cell than SSRU in a Transformer's decoder")
    if autoreg == "self-attention" and fields["norm_position"] == "pre":
        # In training keys and values are normalized, but those of earlier steps are not while Marian translates.
        raise options.refuse("transformer-preprocess", "self-attention that differs between training and translation")
    if autoreg == "average-attention":
        fields |= _average(options, width, fields["norm_position"])
    return fields | {
        "hidden_size": width,
        "encoder_type": "transformer",
        "decoder_type": "transformer",
        "attention_type": "multi_head",
        "encoder_layers": options.size("enc-depth", 6),
        "decoder_layers": options.size("dec-depth", 6),
        "num_attention_heads": heads,
        "decoder_mixer": AUTOREG[autoreg],
        "intermediate_size": decoder_inner,
        "encoder_intermediate_size": inner,
        "hidden_act": ACTIVATIONS[activation],
        "position_type": "sinusoidal_halves",
        "layer_norm_eps": LAYER_NORM_EPS,
    }


def _average(options: Options, width: int, norm_position: str) -> dict[str, Any]:
    activation = options.get("transformer-aan-activation", "swish", str)
    if activation not in ACTIVATIONS:
        raise options.refuse("transformer-aan-activation", f"the activation '{shortened(activation)}'")
    depth, inner = options.size("transformer-aan-depth", 2), options.size("transformer-dim-aan", 2048)
    if norm_position == "pre":
        raise options.refuse("transformer-preprocess", "averages of what is not normalized")
    if depth > 1 and inner == width:
        raise options.refuse("transformer-dim-aan", "a network of averages without its last layer")
    return {
        "average_layers": depth - 1,
        "average_size": inner,
        "average_act": ACTIVATIONS[activation],
        "average_gate": not options.get("transformer-aan-nogate", False),
    }


# --------------------------------------------------------------------------------------------------------------------
# Weights
# --------------------------------------------------------------------------------------------------------------------


def _model(
    config: AttnSeq2SeqConfig, found: MarianFile, vocabulary: Vocabulary, name: str
) -> AttnSeq2SeqForConditionalGeneration:
    with torch.device("meta"):
        skeleton = AttnSeq2SeqForConditionalGeneration(config)
    shapes = {key: tuple(value.shape) for key, value in skeleton.state_dict().items()}
    left = {tensor: value for tensor, value in found.tensors.items() if not tensor.endswith(QUANT_MULT)}
    state: dict[str, torch.Tensor] = {}

    def take(weight: Weight, shape: tuple[int, ...]) -> np.ndarray:
        """A tensor in our layout, which then counts as read."""
        value = left.pop(weight.marian, None)
        if value is None and weight.kind == "table" and weight.marian.endswith("_Wt"):
            value = left.pop(weight.marian.removesuffix("t"), None)
            value = None if value is None else value.T
        if value is None:
            raise ValueError(
                f"'{name}' holds no {quoted(weight.marian)}, which its options ask for: get the file again."
            )
        if weight.kind == "vector":
            value = value.reshape(-1)
        elif weight.kind == "matrix":
            value = value.T
        if value.shape != shape:
            raise ValueError(
                f"'{name}' holds {quoted(weight.marian)} of shape {value.shape}, and its options ask for {shape}: get "
                "the file again."
            )
        return value

    width = config.embedding_size
    for weight in tables(config):
        size = vocabulary.sizes[0 if "encoder" in weight.ours else 1]
        rows = take(weight, (size, width))  # compared with the file before memory is taken for more
        table = np.zeros((vocabulary.rows, width), np.float32)
        table[:size] = rows
        state[weight.ours] = torch.from_numpy(table)
    size = vocabulary.sizes[1]
    bias = np.full(vocabulary.rows, EXCLUDED, np.float32)
    output = Weight(f"{output_layer(config)}_b", "lm_head.bias", "vector")
    bias[:size] = take(output, (size,)) if output.marian in left else 0.0
    state[output.ours] = torch.from_numpy(bias)
    if config.is_recurrent_decoder:
        state |= {name: torch.from_numpy(value.copy()) for name, value in marian_s2s.weights(config, take)}
    else:
        state |= _stacks(config, shapes, take)
    if left:
        raise ValueError(
            f"'{name}' holds {quoted(min(left))}, which is no part of a model of its options ({OPTIONS}): this "
            "package would leave it out."
        )
    model = AttnSeq2SeqForConditionalGeneration(config)
    model.load_state_dict(state, strict=False)
    model.tie_weights()
    return model.eval()


def _stacks(
    config: AttnSeq2SeqConfig, shapes: dict[str, tuple[int, ...]], take: marian_s2s.Take
) -> dict[str, torch.Tensor]:
    """The weights of a Transformer's layers."""
    state: dict[str, torch.Tensor] = {}
    halves: dict[str, list[np.ndarray]] = {}
    for weight in weights(config):
        if weight.ours == "lm_head.bias":
            continue
        shape = shapes[weight.ours]
        if weight.half is None:
            state[weight.ours] = torch.from_numpy(take(weight, shape).copy())
        else:
            parts = halves.setdefault(weight.ours, [])
            parts.append(take(weight, (shape[0] // 2, *shape[1:])))
    return state | {key: torch.from_numpy(np.concatenate(parts)) for key, parts in halves.items()}


def _set_search(model: AttnSeq2SeqForConditionalGeneration, vocabulary: Vocabulary, options: dict[str, Any]) -> None:
    """Search as Marian does: its beams, its penalty of length, and no unknown tokens unless they are allowed."""
    settings = model.generation_config
    students = model.config.decoder_mixer == "ssru"
    beams, normalize = options.get("beam-size", 1 if students else BEAMS), options.get("normalize", 0.0)
    settings.num_beams = beams if isinstance(beams, int) and beams > 0 else 1
    if settings.num_beams > 1:
        settings.length_penalty = float(normalize) if isinstance(normalize, int | float) else 0.0
    if not options.get("allow-unk", False):
        settings.suppress_tokens = [vocabulary.unknown]


__all__ = ["Options", "convert", "recognizes"]
