# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Check a trace: every number that can be made from others is made again, in float64, and compared."""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hf_attn_seq2seq.attention import repeat_groups, split_heads
from hf_attn_seq2seq.decoding.attending import eager_attention
from hf_attn_seq2seq.decoding.text import evaluating
from hf_attn_seq2seq.explain.ledger import recompute_scores, recompute_weights
from hf_attn_seq2seq.explain.trace import Trace
from hf_attn_seq2seq.explain.tracing import package_model, search_options


# Traces are kept in single precision, so a run in double gains nothing.
EPS = {"float32": 2.0**-23, "float64": 2.0**-23, "bfloat16": 2.0**-7, "float16": 2.0**-10}
ROUNDINGS, ROUNDINGS_OF_LAYERS = 4, 16
MARGIN = 32
FORMULA = 8  # terms in a formula that is no sum, such as a gate's


def bound(dtype: str, terms: float, whole_layers: bool = False) -> float:
    """
    How far a number may be off, relative to the size of what it was made of, where nothing is wrong.

    A sum of n terms in single precision is off by about sqrt(n) times eps = 2^-23, since roundings go up as often as
    down (Higham and Mary 2019, "A new approach to probabilistic rounding error analysis", theorem 2.4); processors
    differ in the order of their additions by as much. 32 of these leave room for terms that are larger than their
    sum. A type of 16 bits adds its own eps for each result that is rounded to it: 4, or 16 through whole layers.

    Args:
        dtype: The type that the model ran in; others than torch's four float types count as float32.
        terms: The products and sums on the way from what was recorded to what is compared.
        whole_layers: Whether whole layers lie between.
    """
    eps = EPS.get(dtype, EPS["float32"])
    roundings = ROUNDINGS_OF_LAYERS if whole_layers else ROUNDINGS
    return roundings * eps + MARGIN * EPS["float32"] * math.sqrt(terms)


class Check(NamedTuple):
    """
    One comparison.

    Attributes:
        largest_difference: Of all numbers compared, each divided by its size where that is above 1.
        tolerance: What rounding may come to: [`bound`] of the terms that are summed on the way.
        compared: How many numbers.
    """

    name: str
    what: str
    largest_difference: float
    tolerance: float
    compared: int

    @property
    def passed(self) -> bool:
        return self.largest_difference <= self.tolerance


class Verification(NamedTuple):
    """All checks of a trace; `str()` of it is a table."""

    checks: list[Check]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    def __str__(self) -> str:
        width = max(len(check.what) for check in self.checks)
        lines = [
            f"{'ok  ' if check.passed else 'FAIL'} {check.what:<{width}}  largest difference "
            f"{check.largest_difference:.1e} (at most {check.tolerance:.1e}) of {check.compared:,} numbers"
            for check in self.checks
        ]
        verdict = "All agree." if self.passed else "NOT all agree."
        why = "Each bound is what rounding may come to in the sums between the numbers compared."
        return "\n".join([*lines, f"{verdict} {why}"])


def verify_trace(
    trace: Trace, model: PreTrainedModel | None = None, tokenizer: PreTrainedTokenizerBase | None = None
) -> Verification:
    """
    Recompute what the trace shows, and keep the outcome in `trace.document["checks"]`.

    From the trace alone: scores, weights, their sums, weighted sums, gates, logits, probabilities, choices. With the
    traced model also what needs its matrices, and that untraced `generate()` says the same, and that all steps at once
    (teacher forcing) give the numbers of one after the other. Each check allows what rounding may come to ([`bound`]).

    Args:
        trace: To check; a what-if run whose weights were edited is checked from the edited weights on.
        model: The traced model; None: what needs it is left out.
        tokenizer: Its tokenizer.
    """
    checks = _Checks(trace.document["run"]["dtype"])
    _check_encoder(trace, checks)
    _check_decoder_states(trace, checks)
    for layer in trace.layers:
        _check_attention(trace, layer, checks)
    _check_choices(trace, checks)
    _check_beams(trace, checks)
    if model is not None and trace.document["model"]["model_type"] == "attn_seq2seq":
        _check_with_model(trace, package_model(model), checks)
    if model is not None and tokenizer is not None:
        _check_runs(trace, model, tokenizer, checks)
    verification = Verification(checks.finished())
    found = [{**check._asdict(), "passed": check.passed} for check in verification.checks]
    # Checks that needed the model, made when it was at hand, still stand.
    remade = {check["name"] for check in found}
    trace.document["checks"] = [*(old for old in trace.document["checks"] if old["name"] not in remade), *found]
    return verification


class _Checks:
    """Collects comparisons; those of one name become one check, with the widest of their bounds."""

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self.found: dict[tuple[str, str], Check] = {}

    def compare(
        self,
        name: str,
        what: str,
        recomputed: Any,
        recorded: Any,
        terms: float = FORMULA,
        size: Any = 0.0,
        whole_layers: bool = False,
    ) -> None:
        """
        Args:
            recomputed, recorded: Numbers of one shape.
            terms: What [`bound`] wants: how many terms are summed.
            size: Of the numbers that are summed, where they are larger than their sum; broadcast to the shape.
            whole_layers: Whether whole layers lie between.
        """
        left, right = np.asarray(recomputed, np.float64), np.asarray(recorded, np.float64)
        if left.shape != right.shape:
            difference = sys.float_info.max
        else:
            with np.errstate(invalid="ignore"):  # infinities: their gap counts as infinite below
                gaps = np.abs(left - right) / np.maximum(np.maximum(1.0, np.abs(right)), size)
            difference = float(gaps.max(initial=0.0))
        if np.isnan(difference):
            difference = sys.float_info.max
        check = Check(name, what, difference, bound(self.dtype, terms, whole_layers), right.size)
        before = self.found.get((name, what))
        if before is not None:
            check = check._replace(
                largest_difference=max(difference, before.largest_difference),
                tolerance=max(check.tolerance, before.tolerance),
                compared=check.compared + before.compared,
            )
        self.found[name, what] = check

    def finished(self) -> list[Check]:
        return list(self.found.values())


# --------------------------------------------------------------------------------------------------------------------
# From the trace alone
# --------------------------------------------------------------------------------------------------------------------


def _check_encoder(trace: Trace, checks: _Checks) -> None:
    for layer in range(trace.document["encoder"]["layers"]):
        _check_self_attention(trace, f"encoder.layer.{layer}", checks)
        for direction in ("forward", "backward"):
            here = f"encoder.layer.{layer}.{direction}"
            hidden = trace.arrays.get(f"{here}.hidden")
            if hidden is None:
                continue
            order = slice(None) if direction == "forward" else slice(None, None, -1)
            before = {}
            for part in ("hidden", "cell"):
                if f"{here}.{part}" in trace.arrays:
                    after = trace.arrays[f"{here}.{part}"][order]
                    before[part] = np.concatenate([np.zeros_like(after[:1]), after[:-1]])[order]
            _check_gates(trace, here, before, {"hidden": "hidden", "cell": "cell"}, "encoder", checks)


def _check_self_attention(trace: Trace, here: str, checks: _Checks) -> None:
    """softmax(q k / sqrt(d_k)) of the recorded products; of a decoder, over what was there at each step."""
    products, weights = (trace.arrays.get(f"{here}.self_attention.{name}") for name in ("scores", "weights"))
    if products is None or weights is None:
        return
    heads, length, _ = weights.shape
    size = trace.arrays[f"{here}.states"].shape[-1] // heads
    scores = products.astype(np.float64) / np.sqrt(size)
    if here.startswith("decoder"):
        scores = np.where(np.tri(length, dtype=bool), scores, -np.inf)
    made = np.exp(scores - scores.max(-1, keepdims=True))
    what = "self-attention: softmax(scores / sqrt(d_k)) gives the weights"
    checks.compare("self_attention", what, made / made.sum(-1, keepdims=True), weights, length)


def _check_decoder_states(trace: Trace, checks: _Checks) -> None:
    for layer in range(trace.document["decoder"]["layers"]):
        here = f"decoder.layer.{layer}"
        _check_self_attention(trace, here, checks)
        before = {
            part: trace.arrays[f"{here}.{part}_before"]
            for part in ("hidden", "cell")
            if f"{here}.{part}_before" in trace.arrays
        }
        if not before:
            continue
        _check_gates(trace, here, before, {"hidden": "hidden_after", "cell": "cell_after"}, "decoder", checks)
        for part, values in before.items():
            after = trace.arrays[f"{here}.{part}_after"]
            checks.compare(
                "carry", "each step starts from the state that the step before left", values[1:], after[:-1]
            )
        start = trace.arrays["handover.state"][layer]
        for index, part in enumerate(before):
            checks.compare("start", "the first step starts from the bridge's state", before[part][0], start[index])


def _check_gates(
    trace: Trace, here: str, before: dict[str, np.ndarray], after: dict[str, str], where: str, checks: _Checks
) -> None:
    def array(name: str) -> np.ndarray:
        return trace.arrays[f"{here}.{name}"].astype(np.float64)

    what = f"{where}: gates give the next state"
    if "cell" in before:
        cell = array("forget") * before["cell"] + array("input") * array("candidate")
        checks.compare(f"{where}_gates", what, cell, array(after["cell"]))
        hidden = array("output") * np.tanh(array(after["cell"]))
    else:
        hidden = (1 - array("update")) * array("candidate") + array("update") * before["hidden"]
    checks.compare(f"{where}_gates", what, hidden, array(after["hidden"]))


def _check_attention(trace: Trace, layer: int, checks: _Checks) -> None:
    here = f"attention.{layer}"
    arrays = trace.arrays
    weights = arrays[f"{here}.weights"].astype(np.float64)
    src_len = weights.shape[-1]
    checks.compare("sums", "weights of a step sum to 1", weights.sum(-1), np.ones(weights.shape[:-1]), src_len)
    change = trace.document["what_if"]
    edited = change is not None and change["kind"] == "weights" and layer in change["layers"]
    if edited:
        wanted = np.broadcast_to(change["weights"], weights.shape[1:])
        checks.compare("edited", "the edited step goes on with the weights asked for", wanted, weights[change["step"]])
    if f"{here}.scores" in arrays:
        scores = arrays[f"{here}.scores"].astype(np.float64)
        what = "terms of query and key sum to the scores"
        width = arrays.get(f"{here}.query", arrays[f"{here}.asker"]).shape[-1]
        checks.compare("scores", what, recompute_scores(trace, layer), scores, width)
        scaled = scores * trace.document["attention"]["scaling"]
        checks.compare("scaling", "scores times the scaling", scaled, arrays[f"{here}.scaled"])
        again = recompute_weights(trace, layer)
        if edited:
            again[change["step"]] = weights[change["step"]]
        name = trace.document["attention"]["normalizer"]
        how = "selection over scores" if trace.document["attention"]["type"] == "monotonic" else f"{name}(scores)"
        checks.compare("normalizer", f"{how} gives the weights", again, weights, src_len)
    if f"{here}.values" in arrays:
        values = arrays[f"{here}.values"].astype(np.float64)
        sums, size = (np.einsum("ths,hsd->thd", weights, each) for each in (values, np.abs(values)))
        what = "weights times values sum to the context"
        checks.compare("context", what, sums, arrays[f"{here}.head_context"], src_len, size)
        context = arrays[f"{here}.context"]
        if trace.document["attention"]["type"] != "multi_head":
            flat, size = (each.reshape(len(sums), -1) for each in (sums, size))
            checks.compare("heads", "heads side by side are the context", flat, context, src_len, size)


def _check_choices(trace: Trace, checks: _Checks) -> None:
    steps = trace.document["steps"]
    for step in steps:
        shown = step["candidates"]
        log_probabilities = [candidate["logit"] - step["logsumexp"] for candidate in shown]
        recorded = [candidate["log_probability"] for candidate in shown]
        size = np.abs(_logits(step)).max()
        what = "logit - log sum exp gives log p"
        checks.compare("probability", what, log_probabilities, recorded, size=size)
        total = sum(candidate["probability"] for candidate in shown) + step["rest"]
        checks.compare("mass", "candidates and the rest sum to 1", total, 1.0, FORMULA + len(shown))
        if trace.document["run"]["num_beams"] == 1 and not step["choice"]["forced"]:
            scores = {candidate["id"]: candidate["logit"] for candidate in shown}
            for change in step["processed"]:
                scores[change["id"]] = -np.inf if change["after"] is None else change["after"]
            best = max(scores, key=lambda token_id: scores[token_id])
            chosen = scores.get(step["choice"]["id"], -np.inf)
            checks.compare("choice", "the best candidate is the choice", scores[best], chosen)
    fed = [trace.document["start"]["id"], *(step["choice"]["id"] for step in steps[:-1])]
    checks.compare("fed", "each step is fed the choice before", fed, [step["fed"]["id"] for step in steps])
    if "output.rows" in trace.arrays:
        place = {token_id: row for row, token_id in enumerate(trace.document["output_ids"])}
        bias = trace.arrays.get("output.bias", np.zeros(len(place)))
        for step, hidden in zip(steps, trace.arrays["output.hidden"].astype(np.float64)):
            rows = [place[candidate["id"]] for candidate in step["candidates"]]
            products = trace.arrays["output.rows"][rows].astype(np.float64) * hidden
            logits, size = products.sum(-1) + bias[rows], np.abs(products).sum(-1)
            what = "rows of the output layer times its input"
            checks.compare("logits", what, logits, _logits(step), len(hidden), size)


def _logits(step: dict[str, Any]) -> list[float]:
    return [candidate["logit"] for candidate in step["candidates"]]


def _check_beams(trace: Trace, checks: _Checks) -> None:
    beams = trace.document["beams"]
    if beams is None:
        return
    sums, best_sum = {0: 0.0}, 0.0
    for number, step in enumerate(beams["steps"]):
        hypotheses = step["hypotheses"]
        for hypothesis in hypotheses:
            total = sums[hypothesis["parent"]] + hypothesis["log_probability"]
            what = "log p along a beam sums to its sum"
            checks.compare("beam_sums", what, total, hypothesis["sum"], FORMULA + number)
            if hypothesis["best"]:
                best_sum = hypothesis["sum"]
            if hypothesis["score"] is not None:
                score = hypothesis["sum"] / (number + 1) ** beams["length_penalty"]
                checks.compare("beam_scores", "sum / length ^ penalty is the score", score, hypothesis["score"])
        kept = [hypothesis for hypothesis in hypotheses if hypothesis["state"] == "kept"]
        # One that ends is taken only from the first half of what the search looks at.
        ends = trace.document["run"]["end_ids"]
        others = [hypothesis for hypothesis in hypotheses if hypothesis["id"] not in ends]
        dropped = [hypothesis["sum"] for hypothesis in others if hypothesis["state"] == "dropped"]
        if kept:
            worst = min(hypothesis["sum"] for hypothesis in kept)
            over = max(0.0, max(dropped, default=worst) - worst)
            checks.compare("beam_kept", "no dropped beam was better than a kept one", over, 0.0)
        sums = {hypothesis["row"]: hypothesis["sum"] for hypothesis in kept}
    score = best_sum / len(trace.document["steps"]) ** beams["length_penalty"]
    checks.compare("beam_result", "the best beam's score is the result's", score, trace.document["run"]["score"])


# --------------------------------------------------------------------------------------------------------------------
# With the model
# --------------------------------------------------------------------------------------------------------------------


def _summed(*modules: nn.Module) -> int:
    """How many terms the matrices of these modules sum, one matrix after the other."""
    matrices = {part for module in modules for part in module.modules() if hasattr(part, "in_features")}
    return FORMULA + sum(int(part.in_features) for part in matrices)  # type: ignore[misc, arg-type]


@torch.no_grad()
def _check_with_model(trace: Trace, model: Any, checks: _Checks) -> None:
    """What needs the model's matrices, in float64: from the tokens to the keys, and from the context to the logits."""
    arrays = trace.arrays
    parts = copy.deepcopy(model.model).eval().double().cpu()  # the model itself may be at work in another thread
    encoder, stack = parts.encoder, parts.decoder.stack

    def tensor(name: str) -> torch.Tensor:
        return torch.from_numpy(arrays[name]).double()

    def check(
        name: str,
        what: str,
        function: Callable[..., torch.Tensor],
        inputs: Sequence[str],
        recorded: str,
        through: nn.Module,
        whole_layers: bool = False,
    ) -> None:
        made = function(*map(tensor, inputs))
        checks.compare(name, what, made.numpy(), arrays[recorded], _summed(through), whole_layers=whole_layers)

    for side, part, ids in (
        ("encoder", encoder, [token["id"] for token in trace.document["source"]["tokens"]]),
        ("decoder", parts.decoder, [step["fed"]["id"] for step in trace.document["steps"]]),
    ):
        rows = part.embed_tokens.weight[ids].numpy()
        checks.compare("embeddings", "rows of the tables are the embeddings", rows, arrays[f"{side}.embeddings"])

    def read(embeddings: torch.Tensor) -> torch.Tensor:
        return encoder(inputs_embeds=embeddings[None]).last_hidden_state[0]

    what = "the encoder makes the states of the embeddings"
    check("encoder", what, read, ["encoder.embeddings"], "encoder.states", encoder, whole_layers=True)
    if model.config.is_recurrent_decoder:
        _check_bridge(trace, stack.bridge, checks)
        _check_cells(trace, stack.steps, checks)
        inputs = ["decoder.state", "attention.0.context", "decoder.embeddings"]
        what = "state and context give what the output layer reads"
        check("readout", what, stack.steps.readout, inputs, "output.hidden", stack.steps.readout)
        attentions = [stack.steps.attention]
    else:
        for index, layer in enumerate(stack.layers):
            inputs = [f"decoder.layer.{index}.residual", f"attention.{index}.context"]
            what = "the context gives the layer's states"
            states = f"decoder.layer.{index}.states"
            check("layers", what, layer.add_context, inputs, states, layer, whole_layers=True)
        what = "the last layer gives what the output layer reads"
        last = [f"decoder.layer.{len(stack.layers) - 1}.states"]
        check("readout", what, stack.norm, last, "output.hidden", stack.norm)
        attentions = [layer.cross_attention for layer in stack.layers]
    for index, attention in zip(trace.layers, attentions):
        here = f"attention.{index}"
        _check_projections(arrays, here, attention, check)
        if model.config.attention_type == "multi_head":
            what = "heads through the output projection are the context"
            merged = attention.output_projection(tensor(f"{here}.head_context").flatten(1))
            terms = _summed(attention.output_projection)
            checks.compare("heads", what, merged.numpy(), arrays[f"{here}.context"], terms)


def _check_cells(trace: Trace, steps: Any, checks: _Checks) -> None:
    """What a decoder layer is told, and the state before, give the state after."""

    def tensor(name: str) -> torch.Tensor:
        return torch.from_numpy(trace.arrays[name]).double()

    inputs = [tensor("decoder.embeddings")]
    if steps.asks_before:
        inputs.append(tensor("attention.0.context"))
    if steps.config.input_feeding:
        fed = tensor("output.hidden")
        inputs.append(torch.cat([torch.zeros_like(fed[:1]), fed[:-1]]))
    below: torch.Tensor | None = None
    for index, (cell, norm) in enumerate(zip(steps.cells, steps.norms)):
        here = f"decoder.layer.{index}"
        parts = ("hidden", "cell")[: cell.parts]
        projected = sum(projection(each) for projection, each in zip(cell.input_projections, inputs))
        state = tuple(tensor(f"{here}.{part}_before") for part in parts)
        for part, made in zip(parts, cell.step(projected, state, None)):
            what = "the word before, the context and the state before give the state after"
            checks.compare("cells", what, made.numpy(), trace.arrays[f"{here}.{part}_after"], _summed(cell))
        output = tensor(f"{here}.hidden_after")
        if steps.config.residual and below is not None:
            output = output + below
        below = norm(output)
        inputs = [below]


def _check_projections(arrays: dict[str, np.ndarray], here: str, attention: Any, check: Callable[..., None]) -> None:
    """Keys and values are made of the encoder's states, queries of the state that asks."""
    groups = getattr(attention, "num_key_value_groups", 1)

    def keys(states: torch.Tensor) -> torch.Tensor:
        return repeat_groups(attention.project(states[None], None)[0], groups)[0]

    def values(states: torch.Tensor) -> torch.Tensor:
        return repeat_groups(attention.project(states[None], None)[1], groups)[0]

    def queries(states: torch.Tensor) -> torch.Tensor:
        projected = attention.query_projection(states) if hasattr(attention, "query_projection") else states
        return split_heads(projected[None], attention.num_heads)[0].transpose(0, 1)

    if f"{here}.keys" in arrays:
        check("keys", "the encoder's states give the keys", keys, ["encoder.states"], f"{here}.keys", attention)
    check("values", "the encoder's states give the values", values, ["encoder.states"], f"{here}.values", attention)
    if f"{here}.query" in arrays:
        check("query", "the state that asks gives the query", queries, [f"{here}.asker"], f"{here}.query", attention)


def _check_bridge(trace: Trace, bridge: Any, checks: _Checks) -> None:
    state = trace.arrays["handover.state"].astype(np.float64)
    what = "the bridge's formula gives the first state"
    if bridge.kind == "zeros":
        checks.compare("bridge", what, np.zeros_like(state), state)
        return
    summary = torch.from_numpy(trace.arrays["handover.summary"]).double()
    if bridge.kind == "dense":
        projected = bridge.projection(summary).numpy()
        terms = _summed(bridge)
        checks.compare("bridge", what, np.tanh(projected).reshape(state.shape), state, terms)
        return
    expected = np.zeros_like(state)
    expected[:, 0] = bridge.projection(summary).numpy()
    checks.compare("bridge", what, expected, state, _summed(bridge))


@torch.no_grad()
def _check_runs(trace: Trace, model: Any, tokenizer: PreTrainedTokenizerBase, checks: _Checks) -> None:
    """Untraced `generate()`, and all steps at once."""
    document = trace.document
    run, steps = document["run"], document["steps"]
    ids = [step["choice"]["id"] for step in steps]
    source = torch.tensor([[token["id"] for token in document["source"]["tokens"]]], device=model.device)
    inputs = {"input_ids": source, "attention_mask": torch.ones_like(source)}
    what_if = document["what_if"]
    with evaluating(model):
        if not run["forced"] and what_if is None:
            sequence = model.generate(
                **inputs,
                **search_options(run["num_beams"], run["max_new_tokens"], run["length_penalty"]),
                return_dict_in_generate=False,
            )[0, 1 : 1 + len(ids)]
            checks.compare("generate", "untraced generate() says the same tokens", sequence.tolist(), ids)
        if what_if is not None and what_if["kind"] == "weights":
            return
        fed = torch.tensor([[step["fed"]["id"] for step in steps]], device=model.device)
        has_weights = bool(trace.layers)
        with eager_attention(model):
            outputs = model(**inputs, decoder_input_ids=fed, use_cache=False, output_attentions=has_weights)
        logits = outputs.logits[0].double().cpu()
        shown = [logits[step["step"], [candidate["id"] for candidate in step["candidates"]]].numpy() for step in steps]
        what = "all steps at once (teacher forcing): the same logits"
        told = np.concatenate([_logits(step) for step in steps])
        # Through the whole model, and both runs round: their errors add.
        terms, whole = 4 * _summed(model), True
        checks.compare("teacher_forcing", what, np.concatenate(shown), told, terms, whole_layers=whole)
        for index, layer in enumerate(trace.layers):
            weights = outputs.cross_attentions[index][0].transpose(0, 1).double().cpu()
            what = "all steps at once (teacher forcing): the same weights"
            recorded = trace.arrays[f"attention.{layer}.weights"]
            checks.compare("teacher_forcing", what, weights, recorded, terms, whole_layers=whole)
