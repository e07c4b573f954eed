# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Writes a Transformer for CTranslate2, by the classes with which CTranslate2 describes a model.

Both compute the same numbers; a model that CTranslate2 would compute in another way is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn
from transformers import GenerationConfig, PreTrainedTokenizerBase

from hf_attn_seq2seq.configuration_attn_seq2seq import AttnSeq2SeqConfig
from hf_attn_seq2seq.decoding.loading import load_translator
from hf_attn_seq2seq.decoding.names import resolve
from hf_attn_seq2seq.export.names import CTRANSLATE2
from hf_attn_seq2seq.export.writer import (
    COMPARED_TOKENS,
    SENTENCES,
    TOLERANCE,
    Inputs,
    new_folder,
    origin_of,
    own_model,
    sample,
)
from hf_attn_seq2seq.graphs.settings import Search
from hf_attn_seq2seq.graphs.settings import why_not as why_no_graph
from hf_attn_seq2seq.messages import shortened
from hf_attn_seq2seq.modeling_attn_seq2seq import AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.tokenization_attn_seq2seq import TARGET_FILE
from hf_attn_seq2seq.transformer import SINUSOIDS, Positions
from hf_attn_seq2seq.writing import filled


if TYPE_CHECKING:
    import ctranslate2
    from ctranslate2.specs.transformer_spec import TransformerSpec


MODEL_FILE = "model.bin"
# Of CTranslate2's Activation the member that computes the same as Transformers' function of that name.
ACTIVATIONS = {
    "relu": "RELU",
    "gelu": "GELU",
    "gelu_python": "GELU",
    "gelu_new": "GELUTanh",
    "gelu_fast": "GELUTanh",
    "gelu_pytorch_tanh": "GELUTanh",
    "quick_gelu": "GELUSigmoid",
    "silu": "SWISH",
    "swish": "SWISH",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
}
_HELD: dict[str, Sequence[Any]] = {
    "frontend": ("tokens",),
    "pointer": (False,),
    "encoder_type": ("transformer",),
    "decoder_type": ("transformer",),
    "decoder_mixer": ("attention",),
    "attention_type": ("multi_head",),
    "attention_normalizer": ("softmax",),
    "hidden_act": tuple(ACTIVATIONS),
    "residual_alpha": (1.0,),
    "encoder_residual_alpha": (1.0,),
}
TABULATED = 1024  # positions, at least: as long as the sources that CTranslate2 takes unless it is told otherwise


class WrittenCTranslate2(NamedTuple):
    """A model for CTranslate2, and how it compares with PyTorch."""

    folder: Path
    bytes: int  # of model.bin
    sentences: str  # as of [`Difference`]
    compared: int
    equal_greedy_translations: int
    largest_difference: float  # of log probabilities of PyTorch's translations, token by token


def export_ctranslate2(
    name: str, output: str | Path | None = None, sentences: Sequence[str] | None = None
) -> WrittenCTranslate2:
    """
    Write a Transformer to a folder that `ctranslate2.Translator` loads, with its tokenizer and a card.

    Weights are written in single precision; CTranslate2 quantizes them when it loads, by its `compute_type`.

    Args:
        name, output, sentences: As for [`export`].

    Raises:
        ImportError: CTranslate2 is not installed.
        ValueError: CTranslate2 cannot compute the model or search as its `generation_config.json` says, it finds other
            numbers, the model is exported or not of this package, or the folder exists and is not empty.
    """
    folder = new_folder(name, CTRANSLATE2, output)
    translator = load_translator([name], device="cpu", dtype="float32")
    model, tokenizer = own_model(name, translator.model), translator.tokenizer
    check(model.config)
    options = search_options(model.generation_config, vocabulary(tokenizer, model.config.decoder_vocab_size, "target"))
    try:
        import ctranslate2
    except ImportError:
        raise ImportError("This needs CTranslate2: pip install 'hf_attn_seq2seq[ctranslate2]'.") from None
    spec = specification(model, tokenizer)
    origin, sentences = origin_of(name, sentences, model)
    with filled(folder) as made:
        spec.save(str(made))
        tokenizer.save_pretrained(made)
        loaded = ctranslate2.Translator(str(made), device="cpu", compute_type="float32")
        written = WrittenCTranslate2(
            folder,
            (made / MODEL_FILE).stat().st_size,
            origin,
            *measure(model, tokenizer, loaded, sample(model, tokenizer, sentences)),
        )
        if written.largest_difference > TOLERANCE:
            raise ValueError(
                f"CTranslate2 finds other numbers than PyTorch with '{name}' (log probabilities differ by "
                f"{written.largest_difference:.1e}), so nothing was written: please report this."
            )
        source = Path(resolve(name))
        card = _card(source.name if source.is_dir() else name, written, options, (made / TARGET_FILE).is_file())
        (made / "README.md").write_text(card, encoding="utf-8")
    return written


# --------------------------------------------------------------------------------------------------------------------
# What CTranslate2 can hold
# --------------------------------------------------------------------------------------------------------------------


def check(config: AttnSeq2SeqConfig) -> None:
    """
    Refuse what CTranslate2 cannot compute.

    Raises:
        ValueError: Names the field and its value.
    """
    for field, held in _HELD.items():
        value = getattr(config, field)
        if value not in held:
            raise ValueError(
                f"CTranslate2 cannot hold a model with {field}='{shortened(str(value))}', only with "
                f"{', '.join(map(str, held))}: "
                "export it for ONNX Runtime (--to onnx)."
            )


def search_options(settings: GenerationConfig, tokens: Sequence[str]) -> dict[str, Any]:
    """
    The arguments of `translate_batch` that search as `generate()` does by a generation configuration.

    `early_stopping` has none: CTranslate2 always stops as with `early_stopping=True`.

    Args:
        tokens: Of the target's vocabulary, in the order of their ids.

    Raises:
        ValueError: A setting has no argument; the sentence names it.
    """
    values = {name: value for name, value in vars(settings).items() if value is not None}
    renormalized = values.pop("renormalize_logits", False)  # else it changes no order of translations
    reason = why_no_graph(values, limited=True)
    search = None if reason else Search.of(values)
    if search is not None:
        for token in (search.decoder_start_token_id, *search.eos_token_id):
            if not 0 <= token < len(tokens):
                reason = f"start or end with the token {token}, of {len(tokens)} tokens"
        if len(search.eos_token_id) != 1:
            reason = f"end translations with eos_token_id={shortened(str(values.get('eos_token_id')))}"
        for name in ("forced_bos_token_id", "forced_eos_token_id", "begin_suppress_tokens"):
            if values.get(name) not in (None, []):
                reason = f"use {name}={shortened(str(values[name]))}"
        if search.num_beams > 1 and (search.min_new_tokens or search.suppress_tokens) and not renormalized:
            # It takes such tokens out before the softmax, generate() behind it.
            reason = "forbid tokens (min_new_tokens, suppress_tokens) with beams unless renormalize_logits=True"
    if search is None or reason:
        raise ValueError(
            f"CTranslate2 cannot {reason}, as generation_config.json asks: remove that, or export for ONNX Runtime "
            "(--to onnx)."
        )
    options: dict[str, Any] = {"beam_size": search.num_beams}
    if search.num_beams > 1:
        options["length_penalty"] = search.length_penalty
    if search.num_return_sequences > 1:
        options["num_hypotheses"] = search.num_return_sequences
    options |= {
        "max_input_length": 0,
        "max_decoding_length": search.max_new_tokens,
        "min_decoding_length": search.min_new_tokens,
    }
    # As for generate(), an id that there is not forbids nothing.
    if forbidden := [[tokens[token]] for token in search.suppress_tokens if 0 <= token < len(tokens)]:
        options["suppress_sequences"] = forbidden
    return options


def vocabulary(tokenizer: PreTrainedTokenizerBase, size: int, side: str) -> list[str]:
    """
    The tokens of a side, in the order of their ids; ids that no token has get names of their own.

    Args:
        size: How many ids the model has.
        side: "source" or "target".

    Raises:
        ValueError: The tokenizer knows more tokens than the model.
    """
    of_side = getattr(tokenizer, side, tokenizer)
    ids = of_side.get_vocab()
    if max(ids.values()) >= size:
        raise ValueError(
            f"The tokenizer has {max(ids.values()) + 1} {side} tokens and the model {size}: CTranslate2 needs a model "
            "that has them all (model.resize_token_embeddings)."
        )
    found = {number: token for token, number in ids.items()}
    return [found.get(number, f"<unused {number}>") for number in range(size)]


# --------------------------------------------------------------------------------------------------------------------
# The model
# --------------------------------------------------------------------------------------------------------------------


def specification(model: AttnSeq2SeqForConditionalGeneration, tokenizer: PreTrainedTokenizerBase) -> TransformerSpec:
    """A model of which [`check`] and [`search_options`] hold as CTranslate2 describes one, ready to be saved."""
    from ctranslate2.specs.common_spec import Activation
    from ctranslate2.specs.transformer_spec import TransformerDecoderSpec, TransformerEncoderSpec, TransformerSpec

    config = model.config
    common: dict[str, Any] = {
        "pre_norm": config.norm_position == "pre",
        "activation": Activation[ACTIVATIONS[config.hidden_act]],
        "layernorm_embedding": config.embedding_norm,
    }
    if config.position_type == "rotary":  # of all dimensions of a head (0), whose halves are pairs
        common |= {"rotary_dim": 0, "rotary_interleave": False, "rotary_base": config.rope_theta}
    heads, groups = config.encoder_attention_heads, config.encoder_key_value_heads
    encoder = TransformerEncoderSpec(config.encoder_layers, heads, num_heads_kv=_grouped(heads, groups), **common)
    heads, groups = config.num_attention_heads, config.num_key_value_heads
    decoder = TransformerDecoderSpec(config.decoder_layers, heads, num_heads_kv=_grouped(heads, groups), **common)
    _set_stack(encoder, encoder.embeddings[0], model.get_encoder())
    _set_stack(decoder, decoder.embeddings, model.get_decoder())
    encoder.scale_embeddings = decoder.scale_embeddings = config.scale_embeddings
    decoder.start_from_zero_embedding = config.zero_start
    _set_linear(decoder.projection, model.lm_head)

    spec = TransformerSpec(encoder, decoder)
    target = vocabulary(tokenizer, config.decoder_vocab_size, "target")
    spec.register_source_vocabulary(vocabulary(tokenizer, config.vocab_size, "source"))
    spec.register_target_vocabulary(target)
    settings = model.generation_config
    start = settings.decoder_start_token_id
    spec.config.decoder_start_token = target[settings.bos_token_id if start is None else start]
    spec.config.bos_token = tokenizer.bos_token or spec.config.decoder_start_token
    end = settings.eos_token_id
    spec.config.eos_token = target[end[0] if isinstance(end, list) else end]
    # A token that is in no vocabulary would be read as one beyond the table of embeddings.
    spec.config.unk_token = tokenizer.unk_token or target[config.pad_token_id or 0]
    spec.config.layer_norm_epsilon = config.layer_norm_eps
    spec.validate()
    spec.optimize()
    return spec


def _grouped(heads: int, key_value_heads: int) -> int | None:
    return None if heads == key_value_heads else key_value_heads


def _set_stack(spec: Any, embeddings: Any, side: Any) -> None:
    """Set one side: its table, positions and layers."""
    stack = side.stack
    embeddings.weight = _numbers(side.embed_tokens.weight)
    _set_positions(spec, stack.positions)
    for layer_spec, layer in zip(spec.layer, stack.layers):
        _set_attention(layer_spec.self_attention, layer.self_attention)
        _set_norm(layer_spec.self_attention.layer_norm, layer.self_attention_norm)
        if hasattr(layer_spec, "attention"):
            _set_attention(layer_spec.attention, layer.cross_attention)
            _set_norm(layer_spec.attention.layer_norm, layer.cross_attention_norm)
        _set_linear(layer_spec.ffn.linear_0, layer.feed_forward.input_projection)
        _set_linear(layer_spec.ffn.linear_1, layer.feed_forward.output_projection)
        _set_norm(layer_spec.ffn.layer_norm, layer.feed_forward_norm)
    if spec.pre_norm:
        _set_norm(spec.layer_norm, stack.norm)
    if hasattr(spec, "layernorm_embedding"):
        _set_norm(spec.layernorm_embedding, stack.positions.norm)


def _set_positions(spec: Any, positions: Positions) -> None:
    if positions.kind == "rotary":
        if hasattr(spec, "position_encodings"):  # an encoder's specification has them all the same
            del spec.position_encodings
    elif positions.kind == "learned":
        spec.position_encodings.encodings = _numbers(positions.embedding.weight)
    else:  # CTranslate2's own have all sines first, at other angles
        ranks = torch.arange(max(TABULATED, positions.max_positions)).unsqueeze(0) + positions.offset
        spec.position_encodings.encodings = _numbers(SINUSOIDS[positions.kind](ranks, positions.width)[0])


def _set_attention(spec: Any, attention: Any) -> None:
    """Self-attention has one product for queries, keys and values, cross-attention one for keys and values."""
    parts = (attention.query_projection, attention.key_projection, attention.value_projection)
    if len(spec.linear) == 2:
        _set_linear(spec.linear[0], *parts)
    else:
        _set_linear(spec.linear[0], parts[0])
        _set_linear(spec.linear[1], *parts[1:])
    _set_linear(spec.linear[-1], attention.output_projection)


def _set_linear(spec: Any, *parts: nn.Linear) -> None:
    """Set a product to those of the parts, one below the other."""
    spec.weight = _numbers(torch.cat([part.weight for part in parts]))
    if parts[0].bias is not None:
        spec.bias = _numbers(torch.cat([part.bias for part in parts]))


def _set_norm(spec: Any, norm: nn.LayerNorm) -> None:
    spec.gamma, spec.beta = _numbers(norm.weight), _numbers(norm.bias)


def _numbers(tensor: torch.Tensor) -> Any:
    return tensor.detach().to("cpu", torch.float32).numpy()


# --------------------------------------------------------------------------------------------------------------------
# Comparison with PyTorch, and the card
# --------------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def measure(
    model: AttnSeq2SeqForConditionalGeneration,
    tokenizer: PreTrainedTokenizerBase,
    loaded: ctranslate2.Translator,
    inputs: Inputs,
) -> tuple[int, int, float]:
    """
    Compare greedy translations, and the log probabilities of PyTorch's.

    Args:
        loaded: The model in CTranslate2.
        inputs: `input_ids` and `attention_mask`, `(batch, src_len)`.

    Returns:
        How many sentences were compared, how many have equal translations, and the largest difference of a log
        probability.
    """
    config = model.config
    target = vocabulary(tokenizer, config.decoder_vocab_size, "target")
    source = vocabulary(tokenizer, config.vocab_size, "source")
    settings = GenerationConfig(
        num_beams=1,
        do_sample=False,
        max_new_tokens=COMPARED_TOKENS,
        pad_token_id=model.generation_config.pad_token_id,
        eos_token_id=model.generation_config.eos_token_id,
        bos_token_id=model.generation_config.bos_token_id,
        decoder_start_token_id=model.generation_config.decoder_start_token_id,
    )
    sequences = model.generate(**inputs, generation_config=settings)
    end = Search.of(vars(settings)).eos_token_id[0]
    lengths = [(row == end).nonzero()[0].item() if end in row else len(row) for row in sequences[:, 1:]]
    wanted = [[target[token] for token in row[1 : length + 1]] for row, length in zip(sequences, lengths)]
    sources = [[source[token] for token in row[mask.bool()]] for row, mask in zip(*inputs.values())]
    found = loaded.translate_batch(sources, **search_options(settings, target))
    equal = sum(each.hypotheses[0] == tokens for each, tokens in zip(found, wanted))
    difference = 0.0
    rates = model(**inputs, decoder_input_ids=sequences).logits.log_softmax(-1)
    for row, each in enumerate(loaded.score_batch(sources, wanted, max_input_length=0)):
        length = lengths[row]
        steps = torch.tensor(each.log_probs)  # of the tokens and the end
        expected = rates[row, :length].gather(1, sequences[row, 1 : length + 1, None]).flatten()
        expected = torch.cat([expected, rates[row, length, end, None]])
        difference = max(difference, float((steps - expected).abs().max()))
    return len(wanted), equal, difference


def described(written: WrittenCTranslate2) -> str:
    """How a model for CTranslate2 compares with PyTorch, in one sentence."""
    return (
        f"{written.equal_greedy_translations} of {written.compared} {SENTENCES[written.sentences]} have the same "
        f"greedy translation as with PyTorch; log probabilities differ by at most {written.largest_difference:.1e}."
    )


def _card(model: str, written: WrittenCTranslate2, options: dict[str, Any], two_vocabularies: bool) -> str:
    """The README of the folder; it does not repeat the original model's results."""
    arguments = "".join(f",\n    {name}={value!r}" for name, value in options.items())
    remark = ""
    if options["beam_size"] > 1:
        remark = "\nThese arguments search as `generate()` of the original model does with `early_stopping=True`.\n"
    target = f'Tokenizer.from_file("{TARGET_FILE}")' if two_vocabularies else "source"
    return f"""# {model}, for CTranslate2

`{model}` for CTranslate2, written by `hf-attn-seq2seq export --to ctranslate2`. For its purpose, licence and results,
see the model card of the original model. Compared with it: {described(written)}

In this folder:

```python
import ctranslate2
from tokenizers import Tokenizer

source = Tokenizer.from_file("tokenizer.json")
target = {target}
translator = ctranslate2.Translator(".", compute_type="float32")  # or "int8"
[result] = translator.translate_batch(
    [source.encode("A sentence.").tokens]{arguments},
)
print(target.decode([target.token_to_id(token) for token in result.hypotheses[0]]))
```
{remark}"""
