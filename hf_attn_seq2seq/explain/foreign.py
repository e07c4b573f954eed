# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Trace Transformers' own encoder-decoders (Marian, BART, mBART, T5, ...) from the outputs of `generate()`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hf_attn_seq2seq.decoding.attending import eager_attention
from hf_attn_seq2seq.explain.document import Trace
from hf_attn_seq2seq.explain.kinds import told_kinds
from hf_attn_seq2seq.explain.tracing import Run, RunOptions, check_finite, run_traced, told_readout


LOGITS_TOLERANCE = {"float32": 1e-4, "float64": 1e-8, "bfloat16": 0.1, "float16": 2e-2}
NOT_HANDED_OUT = "this model does not return it"


def trace_foreign(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    *,
    target: str | Sequence[int] | None = None,
    options: RunOptions = RunOptions(),  # noqa: B008, a tuple: nobody can change it
) -> Trace:
    """
    Translate one text with a Transformers model and record what it returns: embeddings, the states of each layer, the
    attention weights and the choices. What it does not return is listed in `omitted`.

    Args:
        model: Any encoder-decoder that reads token ids.
        tokenizer: The model's tokenizer.
        text: One sentence.
        target: A translation (or the ids of its first tokens) that the decoder is forced to produce; None: its own.
        options: How to run.

    Raises:
        ValueError: The model is not an encoder-decoder that reads text, or cannot return its attention; or as for
            [`trace`].
    """
    kind = type(model).__name__
    if not model.config.is_encoder_decoder or not hasattr(model, "generate"):
        raise ValueError(f"{kind} is not an encoder-decoder with generate(): only those can be traced.")
    if model.main_input_name != "input_ids":
        raise ValueError(
            f"{kind} reads {model.main_input_name} instead of text and cannot be traced: give a model that reads text."
        )
    read: list[torch.Tensor] = []
    with eager_attention(model), _reading_of_output_layer(model, read):
        run = run_traced(model, tokenizer, text, target, options, output_attentions=True, output_hidden_states=True)
    tensors, omitted = _arrays(model, run, read)
    arrays = {name: np.ascontiguousarray(tensor.float().cpu().numpy()) for name, tensor in tensors.items()}
    check_finite(arrays)
    document = run.document
    weights = [key for key in arrays if key.startswith("attention.")]
    document.update(
        encoder={"type": "transformer", "layers": len(run.outputs.encoder_hidden_states) - 1, "bidirectional": False},
        decoder={
            "type": "transformer",
            "layers": len(run.outputs.decoder_hidden_states[0]) - 1,
            "query": None,
            "input_feeding": False,
            "readout": None,
            "norm_position": None,
        },
        attention={
            "type": "multi_head",
            "normalizer": "softmax",
            "heads": arrays[weights[0]].shape[1] if weights else 0,
            "layers": list(range(len(weights))),
            "scaling": _scaling(model),
            "window": None,
            "hard": False,
            **told_readout(model),
        },
        handover={"bridge": None, "formula": "a Transformer decoder starts from the start token alone"},
        omitted=omitted,
    )
    document["kinds"] = told_kinds(document)
    return Trace(document, arrays, model=model, tokenizer=tokenizer)


@contextmanager
def _reading_of_output_layer(model: PreTrainedModel, read: list[torch.Tensor]) -> Iterator[None]:
    """Inside this context `read` collects the output layer's input at each step, `(rows, hidden)`, after scaling."""
    layer = model.get_output_embeddings()
    if layer is None:
        yield
        return
    handle = layer.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0].detach()[:, -1]))
    try:
        yield
    finally:
        handle.remove()


def _arrays(
    model: PreTrainedModel, run: Run, read: list[torch.Tensor]
) -> tuple[dict[str, torch.Tensor], list[dict[str, str]]]:
    outputs, document = run.outputs, run.document
    if not outputs.encoder_hidden_states or not outputs.decoder_hidden_states:
        raise ValueError(f"{type(model).__name__} does not return its states, so it cannot be traced.")
    steps = list(enumerate(run.rows))
    src_len, tgt_len = len(document["source"]["tokens"]), len(steps)
    arrays: dict[str, torch.Tensor] = {}
    omitted = [
        {
            "what": "queries, keys, values and scores of the attention, before scaling and softmax",
            "why": NOT_HANDED_OUT,
        },
        {"what": "the weighted sums of the values (contexts)", "why": NOT_HANDED_OUT},
        {"what": "the gates and inner activations of the feed-forward layers", "why": NOT_HANDED_OUT},
        {
            "what": "the states of the last layers before a final normalization, if there is one",
            "why": NOT_HANDED_OUT,
        },
        {
            "what": f"the logits of all but {len(document['output_ids'])} target tokens",
            "why": "size; the rest of each step is their total probability",
        },
    ]

    source_ids = [token["id"] for token in document["source"]["tokens"]]
    fed_ids = [step["fed"]["id"] for step in document["steps"]]
    for side, part, ids in (("encoder", model.get_encoder(), source_ids), ("decoder", model.get_decoder(), fed_ids)):
        table = part.get_input_embeddings()
        if isinstance(table, nn.Embedding):
            arrays[f"{side}.embeddings"] = table.weight.detach()[ids]
    first, *layers = outputs.encoder_hidden_states
    arrays["encoder.inputs"] = first[0]
    for index, states in enumerate(layers):
        arrays[f"encoder.layer.{index}.states"] = states[0]
    arrays["encoder.states"] = outputs.encoder_hidden_states[-1][0]
    for index, weights in enumerate(outputs.encoder_attentions or ()):
        if weights is not None and tuple(weights.shape[-2:]) == (src_len, src_len):
            arrays[f"encoder.layer.{index}.self_attention.weights"] = weights[0]

    def gathered(kind: str, layer: int) -> list[torch.Tensor]:
        """For each step, the last position of the row that led to the result."""
        return [outputs[kind][step][layer][row, ..., -1, :] for step, row in steps]

    arrays["decoder.inputs"] = torch.stack(gathered("decoder_hidden_states", 0))
    for index in range(len(outputs.decoder_hidden_states[0]) - 1):
        arrays[f"decoder.layer.{index}.states"] = torch.stack(gathered("decoder_hidden_states", index + 1))
    # A model that predicts several tokens ahead has more than one row per step, which a trace cannot show.
    for index, weights in enumerate(outputs.decoder_attentions[0] if outputs.decoder_attentions else ()):
        if weights is not None and weights.shape[-2] == 1:
            rows = [row[:, : step + 1] for step, row in enumerate(gathered("decoder_attentions", index))]
            rows = [nn.functional.pad(row, (0, tgt_len - row.shape[-1])) for row in rows]
            arrays[f"decoder.layer.{index}.self_attention.weights"] = torch.stack(rows, dim=1)
    for index, weights in enumerate(outputs.cross_attentions[0] if outputs.cross_attentions else ()):
        if weights is not None and tuple(weights.shape[-2:]) == (1, src_len):
            arrays[f"attention.{index}.weights"] = torch.stack(gathered("cross_attentions", index))
    for what, key in (
        ("the weights of the encoder's self-attention", "encoder.layer.0.self_attention.weights"),
        ("the weights of the decoder's self-attention", "decoder.layer.0.self_attention.weights"),
        ("the weights of the attention to the source", "attention.0.weights"),
    ):
        if key not in arrays:
            omitted.append({"what": what, "why": "they do not have one row per token"})

    output = _output_layer(model, run, read)
    if output:
        arrays.update(output)
    else:
        why = "this model's logits depend on more than the output layer's rows, its input and a bias"
        omitted.append({"what": "what the output layer reads, and its rows", "why": why})
    return arrays, omitted


def _output_layer(model: PreTrainedModel, run: Run, read: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    """What the logits of the candidates are computed from; empty if they depend on anything else."""
    layer = model.get_output_embeddings()
    if len(read) != len(run.outputs.logits) or not isinstance(layer, nn.Linear):
        return {}
    ids = run.document["output_ids"]
    found = {
        "output.hidden": torch.stack([read[step][row] for step, row in enumerate(run.rows)]),
        "output.rows": layer.weight.detach()[ids],
    }
    # BART and related models have an additional bias next to that of the layer.
    biases = [layer.bias, getattr(model, "final_logits_bias", None)]
    bias = sum((each.detach().reshape(-1)[ids].double() for each in biases if each is not None), torch.zeros(len(ids)))
    if bias.any():
        found["output.bias"] = bias
    made = found["output.hidden"].double() @ found["output.rows"].double().T + bias.to(model.device)
    told = torch.stack([run.outputs.logits[step][row, ids] for step, row in enumerate(run.rows)]).double()
    tolerance = LOGITS_TOLERANCE.get(run.document["run"]["dtype"], 1e-4)
    agrees = torch.allclose(made, told.to(made.device), rtol=tolerance, atol=tolerance)
    return found if agrees else {}


def _scaling(model: PreTrainedModel) -> float:
    """The factor by which the attention scales its scores; 1 if its modules do not have one."""
    told = {
        module.scaling
        for module in model.get_decoder().modules()
        if isinstance(getattr(module, "scaling", None), float)
    }
    return told.pop() if len(told) == 1 else 1.0
