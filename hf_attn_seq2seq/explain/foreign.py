# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Trace Transformers' own encoder-decoders (Marian, BART, mBART, T5, ...) by what `generate()` hands out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hf_attn_seq2seq.decoding.attending import eager_attention
from hf_attn_seq2seq.explain.trace import Trace
from hf_attn_seq2seq.explain.tracing import Run, RunOptions, check_finite, run_traced, told_readout


LOGITS_TOLERANCE = {"float32": 1e-4, "float64": 1e-8, "bfloat16": 0.1, "float16": 2e-2}
NOT_HANDED_OUT = "this model's code does not hand it out"


def trace_foreign(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    *,
    target: str | Sequence[int] | None = None,
    options: RunOptions = RunOptions(),  # noqa: B008, a tuple: nobody can change it
) -> Trace:
    """
    Translate one text with a model of Transformers and keep what it tells: embeddings, the states of each layer, the
    attention weights, the choices. What it does not tell stands in `omitted`.

    Args:
        model: Any encoder-decoder that reads token ids.
        tokenizer: The model's.
        text: One sentence.
        target: A translation (or the ids of its tokens, to begin with) that the decoder has to say; None: its own.
        options: How to run.

    Raises:
        ValueError: The model is no encoder-decoder that reads text, cannot show its attention, or a reason of
            [`trace`].
    """
    kind = type(model).__name__
    if not model.config.is_encoder_decoder or not hasattr(model, "generate"):
        raise ValueError(f"{kind} is no encoder-decoder that generates, and only those can be traced.")
    if model.main_input_name != "input_ids":
        raise ValueError(f"{kind} does not read text but {model.main_input_name}, which cannot be traced.")
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
    return Trace(document, arrays, model=model, tokenizer=tokenizer)


@contextmanager
def _reading_of_output_layer(model: PreTrainedModel, read: list[torch.Tensor]) -> Iterator[None]:
    """Within, `read` gets what the output layer reads at each step, `(rows, hidden)`; some models scale it first."""
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
        raise ValueError(f"{type(model).__name__} does not hand out its states, so there is nothing to show.")
    steps = list(enumerate(run.rows))
    src_len, tgt_len = len(document["source"]["tokens"]), len(steps)
    arrays: dict[str, torch.Tensor] = {}
    omitted = [
        {
            "what": "queries, keys, values and scores of the attention, before scaling and softmax",
            "why": NOT_HANDED_OUT,
        },
        {"what": "the weighted sums of the values (contexts)", "why": NOT_HANDED_OUT},
        {"what": "the gates and inner numbers of the feed-forward layers", "why": NOT_HANDED_OUT},
        {
            "what": "the states of the last layers before a final normalisation, where there is one",
            "why": NOT_HANDED_OUT,
        },
        {
            "what": f"the logits of all but {len(document['output_ids'])} target tokens",
            "why": "size; their probability together stands as the rest of each step",
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
        """For each step what the last position of the row has that led to the result."""
        return [outputs[kind][step][layer][row, ..., -1, :] for step, row in steps]

    arrays["decoder.inputs"] = torch.stack(gathered("decoder_hidden_states", 0))
    for index in range(len(outputs.decoder_hidden_states[0]) - 1):
        arrays[f"decoder.layer.{index}.states"] = torch.stack(gathered("decoder_hidden_states", index + 1))
    # A model that predicts several tokens ahead has more than one row a step, which are not what a trace shows.
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
            omitted.append({"what": what, "why": "they are not one row for each token"})

    output = _output_layer(model, run, read)
    if output:
        arrays.update(output)
    else:
        why = "more than an output layer's rows, its input and a bias makes this model's logits"
        omitted.append({"what": "what the output layer reads, and its rows", "why": why})
    return arrays, omitted


def _output_layer(model: PreTrainedModel, run: Run, read: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    """What makes the logits of the candidates, where it does; empty otherwise."""
    layer = model.get_output_embeddings()
    if len(read) != len(run.outputs.logits) or not isinstance(layer, nn.Linear):
        return {}
    ids = run.document["output_ids"]
    found = {
        "output.hidden": torch.stack([read[step][row] for step, row in enumerate(run.rows)]),
        "output.rows": layer.weight.detach()[ids],
    }
    # BART and its kin keep a bias of their own beside the layer's.
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
    """By what the attention multiplies its scores; 1 where its modules do not say."""
    told = {
        module.scaling
        for module in model.get_decoder().modules()
        if isinstance(getattr(module, "scaling", None), float)
    }
    return told.pop() if len(told) == 1 else 1.0
