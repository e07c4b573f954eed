# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Writes a Transformer for Marian and Firefox's engine: `.npz`, `.bin`, and `.bin` in 8 bits, with its vocabularies.

The 8-bit file also has, beside each matrix, the multiplier of what it is multiplied with: 127 by the largest number
that was met while sentences were translated.
"""

from __future__ import annotations

import copy
import io
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from torch import nn
from transformers import PreTrainedTokenizerBase

from hf_attn_seq2seq._version import __version__
from hf_attn_seq2seq.configuration_attn_seq2seq import AttnSeq2SeqConfig
from hf_attn_seq2seq.convert.marian import LAYER_NORM_EPS
from hf_attn_seq2seq.convert.marian_file import (
    ALIGNMENT,
    FLOAT32,
    INT8,
    INTGEMM8,
    OPTIONS,
    QUANT_MULT,
    TABLE,
    VERSION,
    Stored,
    dequantized,
    is_transposed,
)
from hf_attn_seq2seq.convert.marian_names import ACTIVATIONS, AUTOREG, OUTPUT, Weight, tables, weights
from hf_attn_seq2seq.convert.marian_vocabularies import Words
from hf_attn_seq2seq.convert.vocabularies import EXCLUDED
from hf_attn_seq2seq.data.sentencepiece import EOS, PAD, UNK, Kind, SentencePiece, of_tokenizer, write_sentencepiece
from hf_attn_seq2seq.decoding.loading import load_translator
from hf_attn_seq2seq.decoding.names import resolve
from hf_attn_seq2seq.export.names import MARIAN
from hf_attn_seq2seq.export.writer import COMPARED_TOKENS, SENTENCES, Inputs, new_folder, origin_of, own_model, sample
from hf_attn_seq2seq.messages import shortened
from hf_attn_seq2seq.modeling_attn_seq2seq import AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.writing import filled


NPZ, BIN, INT8_BIN = "model.npz", "model.bin", "model.intgemm.alphas.bin"
LARGEST = 127  # of an 8-bit value; -128 is not used
_HELD: dict[str, Sequence[Any]] = {
    "frontend": ("tokens",),
    "pointer": (False,),
    "attention_type": ("multi_head",),
    "attention_normalizer": ("softmax",),
    "decoder_mixer": tuple(AUTOREG.values()),
    "hidden_act": tuple(ACTIVATIONS.values()),
    "position_type": ("sinusoidal_halves",),
    "position_offset": (0,),
    "embedding_norm": (False,),
    "scale_embeddings": (True,),
    "residual_alpha": (1.0,),
    "encoder_residual_alpha": (1.0,),
    "zero_start": (True,),
    "layer_norm_eps": (LAYER_NORM_EPS,),
}


class WrittenMarian(NamedTuple):
    """A model for Marian, and how its 8-bit weights compare with PyTorch's."""

    folder: Path
    bytes: dict[str, int]  # of each of the three files
    sentences: str  # as of [`Difference`]
    compared: int
    equal_greedy_translations: int  # with weights of 8 bits


def export_marian(
    name: str, output: str | Path | None = None, sentences: Sequence[str] | None = None
) -> WrittenMarian:
    """
    Write a Transformer to a folder for Marian and for Firefox's engine, with its vocabularies and a card.

    Args:
        name, output, sentences: As for [`export`]; the multipliers of the 8-bit file are those of the sentences.

    Raises:
        ValueError: Marian cannot hold the model or its vocabulary, the model is exported or not of this package, or
            the folder exists and is not empty.
    """
    folder = new_folder(name, MARIAN, output)
    translator = load_translator([name], device="cpu", dtype="float32")
    model, tokenizer = own_model(name, translator.model), translator.tokenizer
    check(model.config)
    sides = vocabularies(model, tokenizer)
    origin, sentences = origin_of(name, sentences, model)
    inputs = sample(model, tokenizer, sentences)
    tensors = tensors_of(model, [side.size for side in sides])
    options = options_text(model.config, [side.size for side in sides])
    alphas = activation_multipliers(model, inputs)
    small = quantized(tensors, alphas)
    with filled(folder) as made:
        (made / NPZ).write_bytes(npz_bytes(tensors, options))
        (made / BIN).write_bytes(bin_bytes(plain(tensors), options))
        (made / INT8_BIN).write_bytes(bin_bytes(small, options))
        files = [
            f"{of}vocab{'.yml' if isinstance(side, Words) else '.spm'}"
            for of, side in zip([""] if len(sides) == 1 else ["src", "trg"], sides)
        ]
        for file, side in zip(files, sides):
            content = side.to_yaml() if isinstance(side, Words) else write_sentencepiece(side)
            (made / file).write_bytes(content)
        (made / "decoder.yml").write_text(search_text(model), encoding="utf-8")
        compared, equal = compare(model, small, inputs)
        sizes = {file: (made / file).stat().st_size for file in (NPZ, BIN, INT8_BIN)}
        written = WrittenMarian(folder, sizes, origin, compared, equal)
        source = Path(resolve(name))
        card = _card(source.name if source.is_dir() else name, written, files, model.config)
        (made / "README.md").write_text(card, encoding="utf-8")
    return written


# --------------------------------------------------------------------------------------------------------------------
# What Marian can hold
# --------------------------------------------------------------------------------------------------------------------


def check(config: AttnSeq2SeqConfig) -> None:
    """
    Refuse what Marian cannot compute.

    Raises:
        ValueError: Names the field and its value.
    """
    if config.is_recurrent_encoder or config.is_recurrent_decoder:
        raise ValueError("Only Transformers are written for Marian: export the model for ONNX Runtime (--to onnx).")
    for field, held in _HELD.items():
        value = getattr(config, field)
        if value not in held:
            told = ", ".join(str(each) for each in held)
            raise ValueError(
                f"Marian cannot hold a model with {field}={shortened(str(value))}, only with {told}: train one so "
                "(model.preset: bergamot_tiny), or export it for ONNX Runtime (--to onnx)."
            )
    heads = (config.encoder_attention_heads, config.encoder_key_value_heads, config.num_key_value_heads)
    if set(heads) != {config.num_attention_heads}:
        raise ValueError("Marian has one number of heads for all attention: export it for ONNX Runtime (--to onnx).")
    if config.encoder_hidden_size != config.hidden_size:
        raise ValueError("Marian has one width for both sides: export it for ONNX Runtime (--to onnx).")
    if config.decoder_mixer == "attention" and config.norm_position == "pre":
        raise ValueError(
            "Marian does not normalize the keys of earlier steps while it translates: use norm_position='post' or "
            "decoder_mixer='ssru', or export the model for ONNX Runtime (--to onnx)."
        )
    if config.decoder_mixer == "average":
        if config.norm_position == "pre":
            raise ValueError("Marian averages what is not normalized: export it for ONNX Runtime (--to onnx).")
        if config.average_layers and (config.average_size or config.intermediate_size) == config.hidden_size:
            raise ValueError("Marian leaves out the last layer of a network of averages that is as wide as the model.")


def vocabularies(
    model: AttnSeq2SeqForConditionalGeneration, tokenizer: PreTrainedTokenizerBase
) -> list[SentencePiece | Words]:
    """
    The vocabularies, one or the source's and the target's, without what [`convert`] added to them.

    Raises:
        ValueError: Marian has none such, or they do not have the ids of the model.
    """
    config, bias = model.config, model.lm_head.bias
    added = bias is not None and config.pad_token_id is not None and bias[config.pad_token_id].item() <= EXCLUDED / 2
    found: list[SentencePiece | Words] = []
    for side, rows in (("source", config.vocab_size), ("target", config.decoder_vocab_size)):
        backend = getattr(tokenizer, side, tokenizer).backend_tokenizer
        pieces = of_tokenizer(backend) or Words.of_tokenizer(backend)
        if pieces is None:
            raise ValueError(
                f"The {side}'s tokenizer splits text otherwise than SentencePiece, as Marian does: train one of "
                "kind 'sentencepiece'."
            )
        if (isinstance(pieces, SentencePiece) and pieces.size != rows) or backend.get_vocab_size() != rows:
            raise ValueError(
                f"The {side}'s tokenizer has {backend.get_vocab_size()} tokens and the model {rows}: make them equal "
                "(model.resize_token_embeddings)."
            )
        if pieces.number_of(EOS, Kind.CONTROL) != config.eos_token_id or pieces.number_of(UNK, Kind.UNKNOWN) is None:
            raise ValueError(f"Marian ends sentences with {EOS} and needs {UNK}: the {side}'s vocabulary has others.")
        if added and isinstance(pieces, SentencePiece) and pieces.pieces[-1].text == PAD:
            kept = pieces.pieces[:-1]
            while kept and kept[-1].text == f"<unused {len(kept) - 1}>":
                kept = kept[:-1]
            pieces = pieces._replace(pieces=kept)
        found.append(pieces)
    return found[:1] if found[0] == found[1] else found


# --------------------------------------------------------------------------------------------------------------------
# The model
# --------------------------------------------------------------------------------------------------------------------


def tensors_of(model: AttnSeq2SeqForConditionalGeneration, sizes: Sequence[int]) -> dict[str, np.ndarray]:
    """
    Marian's tensors.

    Args:
        sizes: Rows of the source's and the target's vocabulary, or of the one they share.
    """
    state = model.state_dict()
    found = {}
    for weight in tables(model.config):
        size = sizes[0] if "encoder" in weight.ours else sizes[-1]
        found[weight.marian] = _numbers(state[weight.ours])[:size]
    for weight in weights(model.config):
        found[weight.marian] = _laid_out(weight, _numbers(state[weight.ours]))
    bias = found.get(f"{OUTPUT}_b", np.zeros((1, model.config.decoder_vocab_size), np.float32))
    found[f"{OUTPUT}_b"] = np.ascontiguousarray(bias[:, : sizes[-1]])
    return found


def _laid_out(weight: Weight, value: np.ndarray) -> np.ndarray:
    if weight.kind == "vector":
        return value.reshape(1, -1)
    if weight.half is not None:
        value = np.split(value, 2)[weight.half]
    return np.ascontiguousarray(value.T)


def _numbers(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().to("cpu", torch.float32).numpy()


def options_text(config: AttnSeq2SeqConfig, sizes: Sequence[int]) -> bytes:
    """The model's options in Marian's names."""
    acts = {ours: marian for marian, ours in ACTIVATIONS.items()}
    autoreg = {ours: marian for marian, ours in AUTOREG.items()}
    pre = config.norm_position == "pre"
    shared, tied = config.share_encoder_decoder_embeddings, config.tie_word_embeddings
    average_act = config.average_act or config.hidden_act
    options: dict[str, Any] = {
        "bert-train-type-embeddings": True,
        "bert-type-vocab-size": 2,
        "dec-cell": "ssru",
        "dec-cell-base-depth": 2,
        "dec-cell-high-depth": 1,
        "dec-depth": config.decoder_layers,
        "dim-emb": config.hidden_size,
        "dim-rnn": 1024,
        "dim-vocabs": [sizes[0], sizes[-1]],
        "enc-cell": "gru",
        "enc-cell-depth": 1,
        "enc-depth": config.encoder_layers,
        "enc-type": "bidirectional",
        "factors-combine": "sum",
        "factors-dim-emb": 0,
        "input-types": [],
        "layer-normalization": False,
        "lemma-dim-emb": 0,
        "right-left": False,
        "skip": False,
        "tied-embeddings": tied and not shared,
        "tied-embeddings-all": tied and shared,
        "tied-embeddings-src": shared and not tied,
        "transformer-aan-activation": acts.get(average_act, "swish"),
        "transformer-aan-depth": config.average_layers + 1,
        "transformer-aan-nogate": not config.average_gate,
        "transformer-decoder-autoreg": autoreg[config.decoder_mixer],
        "transformer-decoder-dim-ffn": config.intermediate_size,
        "transformer-decoder-ffn-depth": 2,
        "transformer-depth-scaling": False,
        "transformer-dim-aan": config.average_size or config.intermediate_size,
        "transformer-dim-ffn": config.encoder_intermediate_size,
        "transformer-ffn-activation": acts[config.hidden_act],
        "transformer-ffn-depth": 2,
        "transformer-guided-alignment-layer": "last",
        "transformer-heads": config.num_attention_heads,
        "transformer-no-affine": False,
        "transformer-no-bias": False,
        "transformer-no-projection": False,
        "transformer-pool": False,
        "transformer-postprocess": "da" if pre else "dan",
        "transformer-postprocess-emb": "d",
        "transformer-postprocess-top": "n" if pre else "",
        "transformer-preprocess": "n" if pre else "",
        "transformer-rnn-projection": False,
        "transformer-tied-layers": [],
        "transformer-train-position-embeddings": False,
        "transformer-train-positions": False,
        "transformer-train-type-embeddings": True,
        "type": "transformer",
        "ulr": False,
        "ulr-dim-emb": 0,
        "ulr-trainable-transformation": False,
        "unlikelihood-loss": False,
        "version": f"hf_attn_seq2seq {__version__}",
    }
    return yaml.safe_dump(options, sort_keys=True).encode() + b"\0"


def search_text(model: AttnSeq2SeqForConditionalGeneration) -> str:
    """How `generate()` searches, for Marian's decoder."""
    settings = model.generation_config
    beams = settings.num_beams or 1
    options: dict[str, Any] = {"beam-size": beams}
    if beams > 1:
        options["normalize"] = 1.0 if settings.length_penalty is None else float(settings.length_penalty)
    options["allow-unk"] = not settings.suppress_tokens
    return yaml.safe_dump(options, sort_keys=False)


# --------------------------------------------------------------------------------------------------------------------
# 8 bits
# --------------------------------------------------------------------------------------------------------------------


def quantized(tensors: Mapping[str, np.ndarray], alphas: Mapping[str, float]) -> dict[str, Stored]:
    """
    The tensors of an 8-bit file: matrices in 8 bits, vectors as they are.

    Args:
        alphas: The multiplier of what each matrix is multiplied with, by its name.
    """
    found = plain(tensors)
    for name, value in tensors.items():
        if name in alphas or name.endswith(TABLE):
            found[name] = quantize(name, value)
        if name in alphas:
            found[f"{name}{QUANT_MULT}"] = _scalar(alphas[name])
            if name.endswith(TABLE):
                # So the engines call the product with the output layer where a list of likely words shortens it.
                found[f"none{QUANT_MULT}"] = _scalar(alphas[name])
    return found


def _scalar(value: float) -> Stored:
    return Stored(FLOAT32, (1, 1), struct.pack("<f", value))


def quantize(name: str, value: np.ndarray) -> Stored:
    """A matrix in 8 bits: q = round(m w) with m = 127 / max |w|, and m behind them."""
    largest = float(np.abs(value).max())
    multiplier = np.float32(LARGEST / largest if largest > 0 else 1.0)
    whole = np.rint(value * multiplier).clip(-LARGEST, LARGEST).astype(np.int8)
    stored = np.ascontiguousarray(whole.T if is_transposed(name, value.shape) else whole)
    return Stored(INTGEMM8, value.shape, stored.tobytes() + struct.pack("<f", multiplier))


def plain(tensors: Mapping[str, np.ndarray]) -> dict[str, Stored]:
    """Tensors in single precision."""
    return {name: Stored(FLOAT32, value.shape, value.astype("<f4").tobytes()) for name, value in tensors.items()}


@torch.no_grad()
def activation_multipliers(model: AttnSeq2SeqForConditionalGeneration, inputs: Inputs) -> dict[str, float]:
    """
    127 by the largest number that each matrix is multiplied with while sentences are translated, by Marian's names.

    Args:
        inputs: `input_ids` and `attention_mask`, `(batch, src_len)`.
    """
    config = model.config
    names: dict[str, list[str]] = {}
    for weight in weights(config):
        if weight.kind == "matrix":
            names.setdefault(weight.ours.removesuffix(".weight"), []).append(weight.marian)
    output = next(weight.marian for weight in reversed(list(tables(config))))
    names["lm_head"] = [output]
    largest = dict.fromkeys(names, 0.0)
    with _watched(model, largest):
        model.generate(**inputs, num_beams=1, do_sample=False, max_new_tokens=COMPARED_TOKENS)
    return {marian: LARGEST / (largest[ours] or 1.0) for ours, of_module in names.items() for marian in of_module}


@contextmanager
def _watched(model: nn.Module, largest: dict[str, float]) -> Iterator[None]:
    """Inside this context, `largest` keeps the largest input of each of its modules."""

    def watch(name: str) -> Any:
        def hook(module: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
            largest[name] = max(largest[name], float(given[0].abs().max()))

        return hook

    hooks = [model.get_submodule(name).register_forward_pre_hook(watch(name)) for name in largest]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def compare(
    model: AttnSeq2SeqForConditionalGeneration, small: Mapping[str, Stored], inputs: Inputs
) -> tuple[int, int]:
    """How many sentences were compared, and how many have the same greedy translation with weights of 8 bits."""
    rounded = copy.deepcopy(model)
    state = rounded.state_dict()
    for weight in (*tables(model.config), *weights(model.config)):
        if weight.marian not in small or small[weight.marian].type != INTGEMM8:
            continue
        value = torch.from_numpy(dequantized(weight.marian, *small[weight.marian][1:])[0].copy())
        ours = state[weight.ours]
        if weight.kind == "matrix":
            value = value.T
        rows = ours if weight.half is None else ours.chunk(2)[weight.half]
        rows[: len(value)].copy_(value)
    options = {"num_beams": 1, "do_sample": False, "max_new_tokens": COMPARED_TOKENS}
    found, wanted = (each.generate(**inputs, **options) for each in (rounded, model))
    length = max(found.shape[1], wanted.shape[1])
    pad = model.config.pad_token_id or 0
    rows = [nn.functional.pad(each, (0, length - each.shape[1]), value=pad) for each in (found, wanted)]
    return len(found), int((rows[0] == rows[1]).all(1).sum())


# --------------------------------------------------------------------------------------------------------------------
# Files
# --------------------------------------------------------------------------------------------------------------------


def bin_bytes(tensors: Mapping[str, Stored], options: bytes) -> bytes:
    """The bytes of a `.bin`: see [`hf_attn_seq2seq.convert.marian_file`]."""
    everything = {**tensors, OPTIONS: Stored(INT8, (len(options),), options)}
    names = [name.encode() + b"\0" for name in everything]
    blocks = [bytes(stored.data) + bytes(-len(stored.data) % ALIGNMENT) for stored in everything.values()]
    content = struct.pack("<2Q", VERSION, len(everything))
    for name, stored, block in zip(names, everything.values(), blocks):
        content += struct.pack("<4Q", len(name), stored.type, len(stored.shape), len(block))
    content += b"".join(names)
    content += b"".join(struct.pack(f"<{len(stored.shape)}i", *stored.shape) for stored in everything.values())
    gap = -(len(content) + 8) % ALIGNMENT
    return b"".join([content, struct.pack("<Q", gap), bytes(gap), *blocks])


def npz_bytes(tensors: Mapping[str, np.ndarray], options: bytes) -> bytes:
    """The bytes of an `.npz`."""
    stream = io.BytesIO()
    arrays: dict[str, Any] = {**tensors, OPTIONS: np.frombuffer(options, np.int8)}
    np.savez(stream, **arrays)
    return stream.getvalue()


def described(written: WrittenMarian) -> str:
    """How the 8-bit weights compare with PyTorch's, in one sentence."""
    return (
        f"{written.equal_greedy_translations} of {written.compared} {SENTENCES[written.sentences]} have the same "
        "greedy translation with weights of 8 bits."
    )


def _card(model: str, written: WrittenMarian, vocabs: Iterable[str], config: AttnSeq2SeqConfig) -> str:
    """The README of the folder; it does not repeat the original model's results."""
    first, *rest = vocabs
    both = f'"{first}"' if not rest else f'"{first}", "{rest[0]}"'
    marian = " ".join([first, *(rest or [first])])
    engine = ""
    if (
        first.endswith(".spm")
        and config.decoder_mixer == "ssru"
        and config.norm_position == "post"
        and config.hidden_act == "relu"
    ):
        reads = f"Path({first!r}).read_bytes(), Path({(rest or [first])[0]!r}).read_bytes()"
        engine = f"""
In Firefox's engine (`pip install fxtranslate`), in this folder:

```python
from pathlib import Path

from fxtranslate import Translator

translator = Translator(Path("{INT8_BIN}").read_bytes(), {reads})
print(translator.translate("A sentence."))
```
"""
    return f"""# {model}, for Marian

`{model}` for Marian, written by `hf-attn-seq2seq export --to marian`. For its purpose, licence and results, see the
model card of the original model. Compared with it: {described(written)}

- `{NPZ}` and `{BIN}`: single precision
- `{INT8_BIN}`: 8 bits, with the multipliers of activations
- {both}: the vocabulary

With Marian: `marian-decoder --models {NPZ} --vocabs {marian} --config decoder.yml`
{engine}"""


__all__ = ["WrittenMarian", "described", "export_marian"]
