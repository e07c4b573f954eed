# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Check a trace: every number that follows from others is recomputed in float64 and compared."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hf_attn_seq2seq.attention import repeat_groups
from hf_attn_seq2seq.decoding.attending import eager_attention, evaluating
from hf_attn_seq2seq.explain.cells import CELLS, CellFacts
from hf_attn_seq2seq.explain.checks import FORMULA, Checks, Verification
from hf_attn_seq2seq.explain.document import Trace
from hf_attn_seq2seq.explain.formulas import compute
from hf_attn_seq2seq.explain.kinds import KINDS, UNTOLD, AttentionKind
from hf_attn_seq2seq.explain.ledger import recompute_scores, recompute_weights, term_count
from hf_attn_seq2seq.explain.mixers import MIXERS
from hf_attn_seq2seq.explain.tracing import package_model, recording_of, search_options
from hf_attn_seq2seq.explain.worked import TRANSITION, worked_cells
from hf_attn_seq2seq.pointer import known_ids
from hf_attn_seq2seq.recorder import Recorder


def verify_trace(
    trace: Trace, model: PreTrainedModel | None = None, tokenizer: PreTrainedTokenizerBase | None = None
) -> Verification:
    """
    Recompute the numbers of a trace, and store the results in `trace.document["checks"]`.

    From the trace alone: scores, weights, their sums, weighted sums, gates, logits, probabilities, choices. With the
    traced model also: numbers that depend on its matrices, that untraced `generate()` gives the same tokens, and that
    teacher forcing gives the same numbers as step-by-step decoding. Each check allows for rounding errors (`bound`
    in `explain/checks.py`).

    Args:
        trace: The trace to check; a what-if run with edited weights is checked from these weights on, and heads that
            were left out are checked to be 0.
        model: The traced model; None: checks that need it are left out.
        tokenizer: Its tokenizer.
    """
    checks = Checks(trace.document["run"]["dtype"])
    _check_encoder(trace, checks)
    _check_decoder_states(trace, checks)
    for layer in trace.layers:
        _check_attention(trace, layer, checks)
        _check_attention_rows(trace, layer, checks)
    _check_rows(trace, checks)
    _check_pointer(trace, checks)
    _check_choices(trace, checks)
    _check_beams(trace, checks)
    if model is not None and trace.document["model"]["model_type"] == "attn_seq2seq":
        _check_with_model(trace, package_model(model), checks)
    if model is not None and tokenizer is not None:
        _check_runs(trace, model, tokenizer, checks)
    verification = Verification(checks.finished())
    found = [{**check._asdict(), "passed": check.passed} for check in verification.checks]
    # Earlier checks that needed the model remain valid.
    remade = {check["name"] for check in found}
    trace.document["checks"] = [*(old for old in trace.document["checks"] if old["name"] not in remade), *found]
    return verification


# --------------------------------------------------------------------------------------------------------------------
# From the trace alone
# --------------------------------------------------------------------------------------------------------------------


def _check_encoder(trace: Trace, checks: Checks) -> None:
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
            cell = CELLS[trace.document["encoder"]["type"]]
            _check_gates(trace, here, cell, before, {"hidden": "hidden", "cell": "cell"}, "encoder", checks)


def _check_self_attention(trace: Trace, here: str, checks: Checks) -> None:
    """softmax(q k / sqrt(d_k)) of the recorded products; for a decoder, over the tokens so far."""
    products, weights = (trace.arrays.get(f"{here}.self_attention.{name}") for name in ("scores", "weights"))
    if products is None or weights is None:
        return
    heads, length, _ = weights.shape
    size = trace.arrays[f"{here}.states"].shape[-1] // heads
    scores = products.astype(np.float64) / np.sqrt(size)
    if here.startswith("decoder"):
        scores = np.where(np.tri(length, dtype=bool), scores, -np.inf)
    made = np.exp(scores - scores.max(-1, keepdims=True))
    checks.told("self_attention", made / made.sum(-1, keepdims=True), weights, length)


def _check_decoder_states(trace: Trace, checks: Checks) -> None:
    for layer in range(trace.document["decoder"]["layers"]):
        here = f"decoder.layer.{layer}"
        _check_self_attention(trace, here, checks)
        _check_mixer(trace, f"{here}.mixer", checks)
        before = {
            part: trace.arrays[f"{here}.{part}_before"]
            for part in ("hidden", "cell")
            if f"{here}.{part}_before" in trace.arrays
        }
        if not before:
            continue
        cell = CELLS[trace.document["decoder"]["type"]]
        left = {"hidden": "hidden_after", "cell": "cell_after"}
        _check_gates(trace, here, cell, before, left, "decoder", checks)
        between = layer == 0 and f"{TRANSITION}.hidden_before" in trace.arrays
        if between:
            middle = {part: trace.arrays[f"{TRANSITION}.{part}_before"] for part in before}
            _check_gates(trace, TRANSITION, cell, middle, left, "decoder", checks)
            for part, values in middle.items():
                after = trace.arrays[f"{here}.{part}_after"]
                checks.told("carry.between", values, after)
        for part, values in before.items():
            after = trace.arrays[f"{TRANSITION if between else here}.{part}_after"]
            checks.told("carry", values[1:], after[:-1])
        start = dict(zip(cell.state, trace.arrays["handover.state"][layer]))
        for part, values in {"hidden": cell.hidden(start), **start}.items():
            checks.told("start", before[part][0], values)


def _check_mixer(trace: Trace, here: str, checks: Checks) -> None:
    """What stands in for the self-attention of a decoder layer: the recorded gates and states."""

    def array(name: str) -> np.ndarray:
        return trace.arrays[f"{here}.{name}"].astype(np.float64)

    kind = MIXERS.get(trace.document["decoder"].get("mixer") or "")
    if kind is None:
        return
    recorded = {name.removeprefix(f"{here}.") for name in trace.arrays if name.startswith(f"{here}.")}
    for mean, of in kind.means:
        if mean in recorded:
            values = array(of)
            count = np.arange(1, len(values) + 1)[:, None]
            size = np.abs(values).cumsum(0) / count
            checks.told("mixer_mean", values.cumsum(0) / count, array(mean), len(values), size)
    for made, formula, inputs in kind.equations(recorded):
        output = compute(formula, {symbol: array(name) for symbol, name in inputs.items()}).value
        checks.told("decoder_gates", output, array(made))
    if kind.cell is None or "hidden_before" not in recorded:
        return
    after = {part: f"{part}_after" for part in ("hidden", "cell") if f"{part}_after" in recorded}
    before = {part: array(f"{part}_before") for part in after}
    _check_gates(trace, here, kind.cell, before, after, "decoder", checks)
    for part, values in before.items():
        checks.told("carry", values[1:], array(after[part])[:-1])
        checks.told("start", values[0], np.zeros_like(values[0]))


def _check_gates(
    trace: Trace,
    here: str,
    cell: CellFacts,
    before: dict[str, np.ndarray],
    after: dict[str, str],
    where: str,
    checks: Checks,
) -> None:
    found = {
        name.removeprefix(f"{here}."): array.astype(np.float64)
        for name, array in trace.arrays.items()
        if name.startswith(f"{here}.")
    }
    for name, values in cell.step(found, before).items():
        checks.told(f"{where}_gates", values, found[after.get(name, name)])


def _check_attention(trace: Trace, layer: int, checks: Checks) -> None:
    here = f"attention.{layer}"
    arrays = trace.arrays
    weights = arrays[f"{here}.weights"].astype(np.float64)
    src_len = weights.shape[-1]
    checks.told("sums", weights.sum(-1), np.ones(weights.shape[:-1]), src_len)
    edited = trace.weights_set(layer)
    for step, row in edited.items():
        checks.told("edited", np.broadcast_to(row, weights.shape[1:]), weights[step])
    kind = KINDS.get(trace.document["attention"]["type"], UNTOLD)
    if f"{here}.scores" in arrays and kind.terms:
        scores = arrays[f"{here}.scores"].astype(np.float64)
        checks.told("scores", recompute_scores(trace, layer), scores, term_count(trace, layer))
        scaled = scores * trace.document["attention"]["scaling"]
        checks.told("scaling", scaled, arrays[f"{here}.scaled"])
        again = recompute_weights(trace, layer)
        for step in edited:
            again[step] = weights[step]
        name = "selection" if kind.selects else trace.document["attention"]["normalizer"]
        checks.told(f"normalizer.{name}", again, weights, src_len)
    if f"{here}.values" in arrays:
        values = arrays[f"{here}.values"].astype(np.float64)
        sums, size = (np.einsum("ths,hsd->thd", weights, each) for each in (values, np.abs(values)))
        sums[:, trace.left_out(layer)] = 0
        checks.told("context", sums, arrays[f"{here}.head_context"], src_len, size)
        context = arrays[f"{here}.context"]
        if not kind.projects and kind is not UNTOLD:
            flat, size = (each.reshape(len(sums), -1) for each in (sums, size))
            checks.told("heads", flat, context, src_len, size)


def _check_rows(trace: Trace, checks: Checks) -> None:
    """A number of each gate, of the initial state and of what the output layer reads, from rows of the matrices."""
    arrays = trace.arrays
    for cell in worked_cells(trace.document, arrays):
        found = _wide_in(cell.place, arrays)
        inputs, before = cell.inputs.astype(np.float64), cell.before.astype(np.float64)
        at = int(found["worked"][0])
        rows, bias = found["input_rows"], found["input_bias"]
        made, size = inputs @ rows.T + bias, np.abs(inputs) @ np.abs(rows).T
        terms, again, more = rows.shape[1], np.zeros_like(made), np.zeros_like(size)
        if "hidden_rows" in found:
            rows, bias = found["hidden_rows"], found["hidden_bias"]
            again, more = before @ rows.T + bias, np.abs(before) @ np.abs(rows).T
            terms += rows.shape[1]
        gates = {gate.symbol: found[name][:, at] for name, gate in cell.facts.gates.items()}
        for number, name in enumerate(cell.facts.blocks):
            values = {**gates, "w": made[:, number], "u": again[:, number]}
            value = compute(cell.facts.gates[name].row, values).value
            checks.told(f"{cell.side}_rows", value, found[name][:, at], terms, (size + more)[:, number])
    told = trace.document["kinds"]
    if "handover.row" in arrays:
        here = _wide_in("handover", arrays)
        state, read = here["state"].ravel(), here["summary"]
        read = read[here["reads"].astype(int)] if "reads" in here else read
        row, bias = here["row"], here.get("bias", np.zeros(1))
        value = compute(told["bridge"]["row"], {"w": row @ read + bias}).value
        recorded = state[here["worked"].astype(int)]
        checks.told("bridge_row", value, recorded, len(row), np.abs(row) @ np.abs(read))
    if "readout.rows" in arrays:
        here = _wide_in("readout", arrays)
        read = np.concatenate([arrays[name].astype(np.float64) for name in told["readout"]["reads"]], axis=1)
        rows = here["rows"]
        best = (read @ rows.T + here["bias"]).max(1)
        recorded = arrays["output.hidden"][:, int(here["worked"][0])].astype(np.float64)
        size = (np.abs(read) @ np.abs(rows).T).sum(1)
        value = compute(told["readout"]["row"], {"w": best}).value
        checks.told("readout_row", value, recorded, rows.size, size)


def _wide_in(place: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of a place in double precision, by their names there."""
    return {
        name.removeprefix(f"{place}."): array.astype(np.float64)
        for name, array in arrays.items()
        if name.startswith(f"{place}.")
    }


def _check_attention_rows(trace: Trace, layer: int, checks: Checks) -> None:
    """A number of each query, key and joined context, from the row of the matrix that makes it."""
    here = _wide_in(f"attention.{layer}", trace.arrays)
    head_axis = {"query": "th", "key": "hs"}
    for side, states, made in (
        ("query", here.get("asker"), here.get("query")),
        ("key", trace.arrays["encoder.states"].astype(np.float64), here.get("keys")),
    ):
        row = here.get(f"{side}_row")
        if row is None or states is None or made is None:
            continue
        heads = np.arange(len(row))
        component = here["worked"].astype(int)
        recorded = made[:, heads, component] if side == "query" else made[heads, :, component]
        bias = here.get(f"{side}_bias", np.zeros(len(row)))
        axes = f"xi,hi->{head_axis[side].replace('t', 'x').replace('s', 'x')}"
        again, size = (np.einsum(axes, *parts) for parts in ((states, row), (np.abs(states), np.abs(row))))
        again = again + (bias if side == "query" else bias[:, None])
        checks.told(f"{side}_row", again, recorded, row.shape[-1], size)
    if "joining_row" in here and "head_context" in here and "context" in here:
        flat = here["head_context"].reshape(len(here["context"]), -1)
        again = flat @ here["joining_row"] + here.get("joining_bias", np.zeros(1))
        recorded = here["context"][:, int(here["joined"][0])]
        size = np.abs(flat) @ np.abs(here["joining_row"])
        checks.told("joining_row", again, recorded, flat.shape[-1], size)


def _check_choices(trace: Trace, checks: Checks) -> None:
    steps = trace.document["steps"]
    for step in steps:
        shown = step["candidates"]
        log_probabilities = [candidate["logit"] - step["logsumexp"] for candidate in shown]
        recorded = [candidate["log_probability"] for candidate in shown]
        size = np.abs(_logits(step)).max()
        checks.told("probability", log_probabilities, recorded, size=size)
        total = sum(candidate["probability"] for candidate in shown) + step["rest"]
        checks.told("mass", total, 1.0, FORMULA + len(shown))
        if trace.document["run"]["num_beams"] == 1 and not step["choice"]["forced"]:
            scores = {candidate["id"]: candidate["logit"] for candidate in shown}
            for change in step["processed"]:
                scores[change["id"]] = -np.inf if change["after"] is None else change["after"]
            best = max(scores, key=lambda token_id: scores[token_id])
            chosen = scores.get(step["choice"]["id"], -np.inf)
            checks.told("choice", scores[best], chosen)
    fed = [trace.document["start"]["id"], *(step["choice"]["id"] for step in steps[:-1])]
    checks.told("fed", fed, [step["fed"]["id"] for step in steps])
    if "output.rows" in trace.arrays:
        place = {token_id: row for row, token_id in enumerate(trace.document["output_ids"])}
        bias = trace.arrays.get("output.bias", np.zeros(len(place)))
        for step, hidden in zip(steps, trace.arrays["output.hidden"].astype(np.float64)):
            written = {each["id"]: each.get("pointer", each)["logit"] for each in step["candidates"]}
            written = {token_id: logit for token_id, logit in written.items() if logit is not None}
            rows = [place[token_id] for token_id in written]
            products = trace.arrays["output.rows"][rows].astype(np.float64) * hidden
            logits, size = products.sum(-1) + bias[rows], np.abs(products).sum(-1)
            checks.told("logits", logits, list(written.values()), len(hidden), size)


def _logits(step: dict[str, Any]) -> list[float]:
    return [candidate["logit"] for candidate in step["candidates"]]


def _check_pointer(trace: Trace, checks: Checks) -> None:
    """What is written and what is copied give each candidate's probability (See et al. 2017, eq. 9)."""
    if "pointer.gate" not in trace.arrays:
        return
    gates, weights = (trace.arrays[f"pointer.{name}"].astype(np.float64) for name in ("gate", "weights"))
    heads = trace.arrays[f"attention.{trace.layers[-1]}.weights"].astype(np.float64)
    checks.told("copy_weights", heads.mean(1), weights, heads.shape[1])
    source = np.array([token["id"] for token in trace.document["source"]["tokens"]])
    for step, gate, row in zip(trace.document["steps"], gates, weights):
        share, told = 1 / (1 + np.exp(-gate)), step["pointer"]
        checks.told("p_gen", share, told["p_gen"])
        for shown in (step["choice"], *step["candidates"]):
            parts = shown["pointer"]
            copied = row[source == shown["id"]].sum()
            checks.told("copied", copied, parts["copied"], len(row))
            if parts["logit"] is not None:
                written = np.exp(parts["logit"] - told["logsumexp"])
                checks.told("written", written, parts["written"], size=abs(parts["logit"]))
            mixed = share * parts["written"] + (1 - share) * copied
            checks.told("mixture", mixed, shown["probability"], len(row))


def _check_beams(trace: Trace, checks: Checks) -> None:
    beams = trace.document["beams"]
    if beams is None:
        return
    sums, best_sum = {0: 0.0}, 0.0
    for number, step in enumerate(beams["steps"]):
        hypotheses = step["hypotheses"]
        for hypothesis in hypotheses:
            total = sums[hypothesis["parent"]] + hypothesis["log_probability"]
            checks.told("beam_sums", total, hypothesis["sum"], FORMULA + number)
            if hypothesis["best"]:
                best_sum = hypothesis["sum"]
            if hypothesis["score"] is not None:
                score = hypothesis["sum"] / (number + 1) ** beams["length_penalty"]
                checks.told("beam_scores", score, hypothesis["score"])
        kept = [hypothesis for hypothesis in hypotheses if hypothesis["state"] == "kept"]
        # Hypotheses that end are only accepted from the first half of those considered.
        ends = trace.document["run"]["end_ids"]
        others = [hypothesis for hypothesis in hypotheses if hypothesis["id"] not in ends]
        dropped = [hypothesis["sum"] for hypothesis in others if hypothesis["state"] == "dropped"]
        if kept:
            worst = min(hypothesis["sum"] for hypothesis in kept)
            over = max(0.0, max(dropped, default=worst) - worst)
            checks.told("beam_kept", over, 0.0)
        sums = {hypothesis["row"]: hypothesis["sum"] for hypothesis in kept}
    score = best_sum / len(trace.document["steps"]) ** beams["length_penalty"]
    checks.told("beam_result", score, trace.document["run"]["score"])


# --------------------------------------------------------------------------------------------------------------------
# With the model
# --------------------------------------------------------------------------------------------------------------------


def _summed(*modules: nn.Module) -> int:
    """The number of terms summed by the matrices of these modules, one after another."""
    matrices = {part for module in modules for part in module.modules() if hasattr(part, "in_features")}
    return FORMULA + sum(int(part.in_features) for part in matrices)  # type: ignore[misc, arg-type]


def model_terms(model: nn.Module) -> int:
    """The number of terms between two runs of a whole model, both with rounding errors, which add up."""
    return 4 * _summed(model)


@torch.no_grad()
def _check_with_model(trace: Trace, model: Any, checks: Checks) -> None:
    """Checks that need the model's matrices, in float64: from tokens to keys, and from context to logits."""
    arrays = trace.arrays
    parts = copy.deepcopy(model.model).eval().double().cpu()  # the model itself may be in use by another thread
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

    sides = [("decoder", parts.decoder.embed, [step["fed"]["id"] for step in trace.document["steps"]])]
    if trace.input is None:
        source_ids = [token["id"] for token in trace.document["source"]["tokens"]]
        known = known_ids(torch.tensor(source_ids), model.config)
        sides.insert(0, ("encoder", encoder.embed_tokens, known.tolist()))
    else:
        _check_front_end(trace, encoder.frontend, checks)
    for side, embed, ids in sides:
        rows = embed(torch.tensor(ids)).numpy()
        checks.compare(
            "embeddings", "rows of the embedding tables are the embeddings", rows, arrays[f"{side}.embeddings"]
        )

    def read(embeddings: torch.Tensor) -> torch.Tensor:
        return encoder.stack(embeddings[None], None).hidden_states[0]  # type: ignore[no-any-return]

    given = "embeddings" if trace.input is None else "vectors of the front end"
    what = f"the encoder computes the states from the {given}"
    check("encoder", what, read, ["encoder.embeddings"], "encoder.states", encoder, whole_layers=True)
    if model.config.is_recurrent_decoder:
        _check_bridge(trace, stack.bridge, checks)
        _check_cells(trace, stack.steps, checks)
        inputs = ["decoder.state", "attention.0.context", "decoder.embeddings"]
        what = "state and context give the input of the output layer"
        check("readout", what, stack.steps.readout, inputs, "output.hidden", stack.steps.readout)
        attentions = [stack.steps.attention]
    else:
        below = "decoder.inputs"
        for index, layer in enumerate(stack.layers):
            if model.config.carries_state:
                _check_mixer_with_model(trace, layer, index, below, checks)
            below = f"decoder.layer.{index}.states"
            inputs = [f"decoder.layer.{index}.residual", f"attention.{index}.context"]
            what = "the context gives the layer's states"
            states = f"decoder.layer.{index}.states"
            check("layers", what, layer.add_context, inputs, states, layer, whole_layers=True)
        what = "the last layer gives the input of the output layer"
        last = [f"decoder.layer.{len(stack.layers) - 1}.states"]
        check("readout", what, stack.norm, last, "output.hidden", stack.norm)
        attentions = [layer.cross_attention for layer in stack.layers]
    pointer = stack.steps.pointer if model.config.is_recurrent_decoder else stack.pointer
    if pointer is not None:
        state = "decoder.state" if model.config.is_recurrent_decoder else "output.hidden"
        read_by_gate = [f"attention.{trace.layers[-1]}.context", state, "decoder.embeddings"]
        what = "context, state and the token read give the gate"
        check("gate", what, pointer, read_by_gate, "pointer.gate", pointer)
    for index, attention in zip(trace.layers, attentions):
        here = f"attention.{index}"
        kind = KINDS.get(model.config.attention_type, UNTOLD)
        _check_projections(arrays, here, attention, kind, check)
        if kind.projects:
            what = "the output projection of the heads is the context"
            merged = attention.output_projection(tensor(f"{here}.head_context").flatten(1))
            terms = _summed(attention.output_projection)
            checks.compare("heads", what, merged.numpy(), arrays[f"{here}.context"], terms)


def _check_front_end(trace: Trace, front_end: Any, checks: Checks) -> None:
    """What was heard or seen gives each convolution's maps, and these the vectors that the encoder reads."""
    assert trace.input is not None
    hears = trace.input["kind"] == "audio"
    name = "input.features" if hears else "input.pixels"
    if name not in trace.arrays:
        return
    given = torch.from_numpy(trace.arrays[name]).double()[None]
    planes = given[:, None] if hears else given
    for index, convolution in enumerate(front_end.convolutions):
        planes = convolution(planes)
        recorded = trace.arrays.get(f"frontend.layer.{index}")
        if recorded is not None:
            what = f"the {'frames' if hears else 'pixels'} give the maps of the convolutions, one after another"
            terms = FORMULA + convolution.convolution.weight[0].numel()
            checks.compare("convolutions", what, planes[0].numpy(), recorded, terms, whole_layers=True)
            planes = torch.from_numpy(recorded).double()[None]
    embeds = front_end(given, None).embeds[0]
    convolved = sum(part.weight[0].numel() for part in front_end.modules() if isinstance(part, nn.Conv2d))
    terms = _summed(front_end) + convolved
    what = "the front end gives the vectors that the encoder reads"
    checks.compare("front_end", what, embeds.numpy(), trace.arrays["encoder.embeddings"], terms, whole_layers=True)


def _check_mixer_with_model(trace: Trace, layer: Any, index: int, below: str, checks: Checks) -> None:
    """What a layer reads gives every number of its mixer, and what the mixer adds to the sum."""

    def tensor(name: str) -> torch.Tensor:
        return torch.from_numpy(trace.arrays[name]).double()

    here, mixer, norm = f"decoder.layer.{index}", layer.mixer, layer.mixer_norm
    read = norm(tensor(below)) if layer.pre_norm else tensor(below)
    recorder = _Kept()
    with recording_of(layer)(recorder):
        mixer(read[None], None)
    for key, value in recorder.values.items():
        recorded, terms = trace.arrays[f"{here}.mixer.{key}"], _summed(mixer, norm) + len(read)
        checks.compare("mixer", "what the layer reads gives the numbers of its mixer", value[0], recorded, terms)
    output = f"{here}.mixer.{'output' if 'output' in recorder.values else 'hidden_after'}"
    total = layer.alpha * tensor(below) + tensor(output)
    what = "the mixer's output, added to what the layer reads, gives what the attention reads"
    made, size = total if layer.pre_norm else norm(total), total.abs().numpy()
    checks.compare("mixer_sum", what, made.numpy(), trace.arrays[f"{here}.residual"], _summed(norm), size)


class _Kept(Recorder):
    """The newest numbers recorded."""

    def record(self, module: nn.Module, **values: torch.Tensor) -> None:
        self.values = values


def _check_cells(trace: Trace, steps: Any, checks: Checks) -> None:
    """The input of a decoder layer and its previous state give its next state."""

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
        parts = CELLS[steps.config.decoder_type].state
        projected = sum(projection(each) for projection, each in zip(cell.input_projections, inputs))
        state = tuple(tensor(f"{here}.{part}_before") for part in parts)
        for part, made in zip(parts, cell.step(projected, state, None)):
            what = "the previous token, the context and the previous state give the next state"
            checks.compare("cells", what, made.numpy(), trace.arrays[f"{here}.{part}_after"], _summed(cell))
        output = tensor(f"{here}.hidden_after")
        if index == 0 and steps.transition is not None:
            projected = steps.transition.input_projections[0](tensor("attention.0.context"))
            state = tuple(tensor(f"{here}.{part}_after") for part in parts)
            for part, made in zip(parts, steps.transition.step(projected, state, None)):
                what = "the context and the first cell's state give the next state"
                recorded = trace.arrays[f"{TRANSITION}.{part}_after"]
                checks.compare("cells", what, made.numpy(), recorded, _summed(steps.transition))
            output = tensor(f"{TRANSITION}.hidden_after")
        if steps.config.residual and below is not None:
            output = output + below
        below = norm(output)
        inputs = [below]


def _check_projections(
    arrays: dict[str, np.ndarray], here: str, attention: Any, kind: AttentionKind, check: Callable[..., None]
) -> None:
    """Keys and values are computed from the encoder's states, queries from the decoder state that attends."""
    groups = getattr(attention, "num_key_value_groups", 1)

    def keys(states: torch.Tensor) -> torch.Tensor:
        return repeat_groups(attention.project(states[None], None)[0], groups)[0]

    def values(states: torch.Tensor) -> torch.Tensor:
        return repeat_groups(attention.project(states[None], None)[1], groups)[0]

    def queries(states: torch.Tensor) -> torch.Tensor:
        return kind.query(attention, states)

    if f"{here}.keys" in arrays:
        check("keys", "the encoder's states give the keys", keys, ["encoder.states"], f"{here}.keys", attention)
    check("values", "the encoder's states give the values", values, ["encoder.states"], f"{here}.values", attention)
    if f"{here}.query" in arrays and kind is not UNTOLD:
        check("query", "the decoder state gives the query", queries, [f"{here}.asker"], f"{here}.query", attention)


def _check_bridge(trace: Trace, bridge: Any, checks: Checks) -> None:
    state = trace.arrays["handover.state"].astype(np.float64)
    what = "the bridge's formula gives the initial state"
    if bridge.kind == "zeros":
        checks.compare("bridge", what, np.zeros_like(state), state)
        return
    summary = torch.from_numpy(trace.arrays["handover.summary"]).double()
    config = bridge.config
    if config.needs_final_state:
        ends = summary.view(config.encoder_layers, -1, config.encoder_hidden_size)
        _check_ends(trace, ends.numpy(), checks)
        checks.compare("bridge", what, bridge.hand_over(ends).numpy().reshape(state.shape), state, _summed(bridge))
        return
    if bridge.kind in ("dense", "mean_dense"):
        projected = bridge.projection(summary).numpy()
        terms = _summed(bridge)
        checks.compare("bridge", what, np.tanh(projected).reshape(state.shape), state, terms)
        return
    expected = np.zeros_like(state)
    expected[:, : None if bridge.kind == "last_both" else 1] = bridge.projection(summary).numpy()
    checks.compare("bridge", what, expected, state, _summed(bridge))


def _check_ends(trace: Trace, ends: np.ndarray, checks: Checks) -> None:
    """The bridge reads the states in which the layers of the encoder end: `(layers, parts, encoder_hidden)`."""
    kind = trace.document["encoder"]["type"]
    for layer, recorded in enumerate(ends):
        for part, name in zip(recorded, CELLS[kind].state):
            here = f"encoder.layer.{layer}"
            made = [trace.arrays[f"{here}.forward.{name}"][-1]]
            if f"{here}.backward.{name}" in trace.arrays:
                made.append(trace.arrays[f"{here}.backward.{name}"][0])
            checks.compare("bridge", "the bridge reads the encoder's last states", np.concatenate(made), part)


def _inputs(trace: Trace, model: Any) -> dict[str, torch.Tensor] | None:
    """What the model read, as its inputs; None if the trace lacks it."""
    if trace.input is None:
        source = torch.tensor([[token["id"] for token in trace.document["source"]["tokens"]]], device=model.device)
        return {"input_ids": source, "attention_mask": torch.ones_like(source)}
    name = "input.features" if trace.input["kind"] == "audio" else "input.pixels"
    if name not in trace.arrays:
        return None
    given = torch.from_numpy(trace.arrays[name])[None].to(model.device, model.dtype)
    return {package_model(model).main_input_name: given}


@torch.no_grad()
def _check_runs(trace: Trace, model: Any, tokenizer: PreTrainedTokenizerBase, checks: Checks) -> None:
    """Compare with untraced `generate()`, and with all steps at once."""
    document = trace.document
    run, steps = document["run"], document["steps"]
    ids = [step["choice"]["id"] for step in steps]
    inputs = _inputs(trace, model)
    if inputs is None:  # a page saves a trace without what was heard
        return
    with evaluating(model):
        if not run["forced"] and not trace.changes:
            sequence = model.generate(
                **inputs,
                **search_options(run["num_beams"], run["max_new_tokens"], run["length_penalty"]),
                return_dict_in_generate=False,
            )[0, 1 : 1 + len(ids)]
            checks.compare("generate", "untraced generate() gives the same tokens", sequence.tolist(), ids)
        if trace.edited:
            return
        fed = torch.tensor([[step["fed"]["id"] for step in steps]], device=model.device)
        has_weights = bool(trace.layers)
        with eager_attention(model):
            outputs = model(**inputs, decoder_input_ids=fed, use_cache=False, output_attentions=has_weights)
        logits = outputs.logits[0].double().cpu()
        shown = [logits[step["step"], [candidate["id"] for candidate in step["candidates"]]].numpy() for step in steps]
        what = "all steps at once (teacher forcing): the same logits"
        told = np.concatenate([_logits(step) for step in steps])
        terms, whole = model_terms(model), True
        checks.compare("teacher_forcing", what, np.concatenate(shown), told, terms, whole_layers=whole)
        for index, layer in enumerate(trace.layers):
            weights = outputs.cross_attentions[index][0].transpose(0, 1).double().cpu()
            what = "all steps at once (teacher forcing): the same weights"
            recorded = trace.arrays[f"attention.{layer}.weights"]
            checks.compare("teacher_forcing", what, weights, recorded, terms, whole_layers=whole)
