# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Every attention a second time, from the papers' equations, in plain Python: numbers, lists and loops, no tensors.

One source and one target at a time. Padding is taken out of the source before anything is computed, so that a
reference cannot depend on it; results are put back at the places of the real tokens.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import nn

from hf_attn_seq2seq.configuration_attn_seq2seq import AttnSeq2SeqConfig


Vector = list[float]
Matrix = list[Vector]


class Reference(NamedTuple):
    """What one source and one target give; weights and scores are `heads x tgt_len x src_len`, 0 on padding."""

    context: Matrix  # tgt_len x context_size
    weights: list[Matrix] | None
    scores: list[Matrix] | None


class Problem(NamedTuple):
    """What a score may read."""

    config: AttnSeq2SeqConfig
    parameters: dict[str, Any]  # nested lists
    states: Matrix  # real tokens only
    queries: Matrix


class Row(NamedTuple):
    """One step of one head, over the real tokens."""

    weights: Vector
    scores: Vector


Rows = Callable[[Problem, int], list[Row]]  # all steps of one head


def read_parameters(module: nn.Module) -> dict[str, Any]:
    """The parameters of `module` as nested lists."""
    return {name: parameter.detach().double().tolist() for name, parameter in module.named_parameters()}


def reference(
    kind: str, config: AttnSeq2SeqConfig, parameters: dict[str, Any], states: Matrix, mask: list[bool], queries: Matrix
) -> Reference:
    """Attend with `kind` to `src_len x encoder_hidden` states by `tgt_len x hidden` queries."""
    real = [place for place, is_real in enumerate(mask) if is_real]
    problem = Problem(config, parameters, [states[place] for place in real], queries)
    if kind == "none":
        return Reference([last_states(problem)] * len(queries), None, None)
    heads = range(config.num_attention_heads)
    rows = [REFERENCES[kind](problem, head) for head in heads]
    context = []
    for step in range(len(queries)):
        summed: Vector = []
        for head in heads:
            values = [value(kind, problem, head, state) for state in problem.states]
            summed += [
                sum(weight * vector[i] for weight, vector in zip(rows[head][step].weights, values))
                for i in range(value_size(kind, config))
            ]
        context.append(linear(parameters, "output_projection", summed) if kind == "multi_head" else summed)

    def spread(numbers: Vector) -> Vector:
        row = [0.0] * len(mask)
        for place, number in zip(real, numbers):
            row[place] = number
        return row

    return Reference(
        context,
        [[spread(row.weights) for row in steps] for steps in rows],
        [[spread(row.scores) for row in steps] for steps in rows],
    )


# Small algebra


def dot(left: Vector, right: Vector) -> float:
    assert len(left) == len(right)
    return sum(x * y for x, y in zip(left, right))


def linear(parameters: dict[str, Any], name: str, vector: Vector) -> Vector:
    weight = parameters[f"{name}.weight"]
    bias = parameters.get(f"{name}.bias", [0.0] * len(weight))
    return [dot(row, vector) + b for row, b in zip(weight, bias)]


def part(vector: Vector, index: int, parts: int) -> Vector:
    """The `index`-th of `parts` equal parts."""
    size = len(vector) // parts
    return vector[index * size : (index + 1) * size]


def sigmoid(number: float) -> float:
    return 1 / (1 + math.exp(-number)) if number > -700 else 0.0


# Normalisers: by their definitions, the thresholds by bisection


def softmax(scores: Vector) -> Vector:
    top = max(scores)
    exponentials = [math.exp(score - top) for score in scores]
    return [number / sum(exponentials) for number in exponentials]


def sparsemax(scores: Vector) -> Vector:
    """p_i = max(z_i - tau, 0) with tau such that they sum to 1 (Martins and Astudillo 2016, proposition 1)."""
    return _thresholded(scores, power=1)


def entmax15(scores: Vector) -> Vector:
    """p_i = max(z_i / 2 - tau, 0)^2 with tau such that they sum to 1 (Peters et al. 2019, eq. 8)."""
    return _thresholded([score / 2 for score in scores], power=2)


def _thresholded(scores: Vector, power: int) -> Vector:
    low, high = max(scores) - 1.0, max(scores)  # at the lower end the largest alone gives 1
    for _ in range(100):
        threshold = (low + high) / 2
        if sum(max(score - threshold, 0.0) ** power for score in scores) > 1.0:
            low = threshold
        else:
            high = threshold
    return [max(score - low, 0.0) ** power for score in scores]


NORMALIZERS: dict[str, Callable[[Vector], Vector]] = {
    "softmax": softmax,
    "sparsemax": sparsemax,
    "entmax15": entmax15,
}


def normalize(config: AttnSeq2SeqConfig, scores: Vector, allowed: list[bool] | None = None) -> Vector:
    """Normalise over the allowed positions alone; 0 elsewhere."""
    places = [place for place in range(len(scores)) if allowed is None or allowed[place]]
    weights = [0.0] * len(scores)
    if places:
        found = NORMALIZERS[config.attention_normalizer]([scores[place] for place in places])
        for place, weight in zip(places, found):
            weights[place] = weight
    return weights


# Values


def value(kind: str, problem: Problem, head: int, state: Vector) -> Vector:
    config = problem.config
    if kind == "multi_head":
        projected = linear(problem.parameters, "value_projection", state)
        return part(projected, key_value_head(config, head), config.num_key_value_heads)
    return part(state, head, config.num_attention_heads)


def value_size(kind: str, config: AttnSeq2SeqConfig) -> int:
    width = config.hidden_size if kind == "multi_head" else config.encoder_hidden_size
    return width // config.num_attention_heads


def key_value_head(config: AttnSeq2SeqConfig, head: int) -> int:
    """Consecutive query heads share a key-value head (Ainslie et al. 2023)."""
    return head * config.num_key_value_heads // config.num_attention_heads


def last_states(problem: Problem) -> Vector:
    """What the forward direction holds after the last token, and the backward one after the first."""
    if not problem.states:
        return [0.0] * problem.config.encoder_hidden_size
    assert problem.config.bidirectional
    return part(problem.states[-1], 0, 2) + part(problem.states[0], 1, 2)


# Scores


def dot_score(problem: Problem, head: int, query: Vector, state: Vector) -> float:
    """Luong et al. 2015, eq. 7: h_t . h_s."""
    heads = problem.config.num_attention_heads
    return dot(part(query, head, heads), part(state, head, heads))


def scaled_dot_score(problem: Problem, head: int, query: Vector, state: Vector) -> float:
    """Vaswani et al. 2017, eq. 1: q . k / sqrt(d_k)."""
    heads = problem.config.num_attention_heads
    return dot_score(problem, head, query, state) / math.sqrt(len(query) / heads)


def general_score(problem: Problem, head: int, query: Vector, state: Vector) -> float:
    """Luong et al. 2015, eq. 7: h_t^T W_a h_s; a head has its rows of W_a and its part of h_t."""
    heads = problem.config.num_attention_heads
    total = 0.0
    for i in range(len(query) // heads):
        row = head * (len(query) // heads) + i
        for j in range(len(state)):
            total += query[row] * problem.parameters["key_projection.weight"][row][j] * state[j]
    return total


def multi_head_score(problem: Problem, head: int, query: Vector, state: Vector) -> float:
    """Vaswani et al. 2017, section 3.2.2: q W_i^Q . k W_i^K / sqrt(d_k)."""
    config = problem.config
    asked = part(linear(problem.parameters, "query_projection", query), head, config.num_attention_heads)
    keys = linear(problem.parameters, "key_projection", state)
    key = part(keys, key_value_head(config, head), config.num_key_value_heads)
    return dot(asked, key) / math.sqrt(len(key))


def inner_sum(problem: Problem, head: int, query: Vector, state: Vector) -> Vector:
    """W_a s_i + U_a h_j (+ b)."""
    heads = problem.config.num_attention_heads
    asked = part(linear(problem.parameters, "query_projection", query), head, heads)
    key = part(linear(problem.parameters, "key_projection", state), head, heads)
    return [x + y for x, y in zip(asked, key)]


def tanh_score(vector: Vector, inner: Vector) -> float:
    return dot(vector, [math.tanh(x) for x in inner])


def score_vector(problem: Problem, head: int) -> Vector:
    """v, or g v / |v| (Salimans and Kingma 2016, eq. 2)."""
    v = problem.parameters["score_vector"][head]
    if "gain" not in problem.parameters:
        return v
    return [problem.parameters["gain"][head] * x / math.sqrt(dot(v, v)) for x in v]


def additive_score(problem: Problem, head: int, query: Vector, state: Vector) -> float:
    """Bahdanau et al. 2015, A.1.2: v_a^T tanh(W_a s_i + U_a h_j)."""
    return tanh_score(score_vector(problem, head), inner_sum(problem, head, query, state))


def concat_score(problem: Problem, head: int, query: Vector, state: Vector) -> float:
    """Luong et al. 2015, eq. 7: v_a^T tanh(W_a [h_t; h_s]), with W_a put together again from its two halves."""
    parameters, heads = problem.parameters, problem.config.num_attention_heads
    rows = parameters["query_projection.weight"], parameters["key_projection.weight"]
    bias = parameters.get("key_projection.bias", [0.0] * len(rows[0]))
    hidden = [math.tanh(dot(left + right, query + state) + each) for left, right, each in zip(*rows, bias)]
    return dot(score_vector(problem, head), part(hidden, head, heads))


# Steps


def by_content(score: Callable[[Problem, int, Vector, Vector], float]) -> Rows:
    def rows(problem: Problem, head: int) -> list[Row]:
        found = []
        for query in problem.queries:
            scores = [score(problem, head, query, state) for state in problem.states]
            found.append(Row(normalize(problem.config, scores), scores))
        return found

    return rows


def local_m(problem: Problem, head: int) -> list[Row]:
    """Luong et al. 2015, section 3.2: p_t = t, the window [p_t - D, p_t + D]; past the end it stays on the
    last token."""
    found = []
    for step, query in enumerate(problem.queries):
        scores = [general_score(problem, head, query, state) for state in problem.states]
        centre = min(step, len(scores) - 1)
        allowed = [abs(place - centre) <= problem.config.attention_window for place in range(len(scores))]
        found.append(Row(normalize(problem.config, scores, allowed), scores))
    return found


def local_p(problem: Problem, head: int) -> list[Row]:
    """Luong et al. 2015, eq. 9 and 10: p_t = S sigmoid(v_p^T tanh(W_p h_t)), align(h_t, h_s) times a Gaussian around
    it with sigma = D / 2, over the window; divided by its sum."""
    config = problem.config
    found = []
    for query in problem.queries:
        scores = [general_score(problem, head, query, state) for state in problem.states]
        inner = part(linear(problem.parameters, "position_projection", query), head, config.num_attention_heads)
        centre = len(scores) * sigmoid(tanh_score(problem.parameters["position_vector"][head], inner))
        sigma = config.attention_window / 2
        aligned = normalize(
            config, scores, [abs(place - centre) <= config.attention_window for place in range(len(scores))]
        )
        product = [
            weight * math.exp(-((place - centre) ** 2) / (2 * sigma**2)) for place, weight in enumerate(aligned)
        ]
        found.append(Row([number / sum(product) for number in product], scores))
    return found


def location(problem: Problem, head: int) -> list[Row]:
    """Luong et al. 2015, eq. 8: softmax(W_a h_t), over as many positions as W_a has rows and the source has tokens."""
    size = problem.config.max_position_embeddings
    table = problem.parameters["position_scores.weight"]
    found = []
    for query in problem.queries:
        # A token beyond the table has no score of its own; the last one's is handed out and not looked at.
        scores = [dot(table[head * size + min(place, size - 1)], query) for place in range(len(problem.states))]
        allowed = [place < size for place in range(len(scores))]
        found.append(Row(normalize(problem.config, scores, allowed), scores))
    return found


def location_aware(problem: Problem, head: int) -> list[Row]:
    """Chorowski et al. 2015, eq. 8 and 9: f_i = F * alpha_(i-1), e_ij = w^T tanh(W s_i + V h_j + U f_ij + b)."""
    config, parameters = problem.config, problem.parameters
    length, half = len(problem.states), config.location_kernel_size // 2
    kernels = [
        parameters["convolution.weight"][head * config.location_filters + k][0] for k in range(config.location_filters)
    ]
    before = [0.0] * length
    found = []
    for query in problem.queries:
        scores = []
        for place, state in enumerate(problem.states):
            inner = inner_sum(problem, head, query, state)
            for kernel, projection in zip(kernels, parameters["filter_projection"][head]):
                feature = sum(
                    tap * before[place + offset - half]
                    for offset, tap in enumerate(kernel)
                    if 0 <= place + offset - half < length
                )
                inner = [x + feature * u for x, u in zip(inner, projection)]
            scores.append(tanh_score(parameters["score_vector"][head], inner))
        before = normalize(config, scores)
        found.append(Row(before, scores))
    return found


def coverage(problem: Problem, head: int) -> list[Row]:
    """See et al. 2017, eq. 10 and 11: c^t = sum of all earlier weights, e_i^t =
    v^T tanh(W_h h_i + W_s s_t + w_c c_i^t + b)."""
    parameters = problem.parameters
    found: list[Row] = []
    for query in problem.queries:
        scores = []
        for place, state in enumerate(problem.states):
            covered = sum(row.weights[place] for row in found)
            inner = inner_sum(problem, head, query, state)
            inner = [x + covered * w for x, w in zip(inner, parameters["coverage_vector"][head])]
            scores.append(tanh_score(parameters["score_vector"][head], inner))
        found.append(Row(normalize(problem.config, scores), scores))
    return found


def monotonic(problem: Problem, head: int) -> list[Row]:
    """Raffel et al. 2017: energies by eq. 16, then the expected alignment or, for hard decisions, algorithm 1."""
    parameters = problem.parameters
    vector = score_vector(problem, head)
    energies = [
        [
            tanh_score(vector, inner_sum(problem, head, query, state)) + parameters["offset"][head]
            for state in problem.states
        ]
        for query in problem.queries
    ]
    align = monotonic_hard if problem.config.monotonic_hard else monotonic_soft
    return [Row(weights, energy) for weights, energy in zip(align(energies), energies)]


def monotonic_soft(energies: list[Vector]) -> list[Vector]:
    """Eq. 8 to 10, one position after the other; what is selected nowhere goes to the last position."""
    length = len(energies[0])
    before = [1.0] + [0.0] * (length - 1) if length else []
    found = []
    for energy in energies:
        weights, arrived, skip = [], 0.0, 0.0
        for place in range(length):
            select = sigmoid(energy[place])
            arrived = skip * arrived + before[place]
            weights.append(select * arrived)
            skip = sigmoid(-energy[place])
        if length:
            weights[-1] += skip * arrived
        found.append(weights)
        before = weights
    return found


def monotonic_hard(energies: list[Vector]) -> list[Vector]:
    """Algorithm 1: from the position of the step before on, take the first with p > 0.5; none: the last position."""
    length, position = len(energies[0]), 0
    found = []
    for energy in energies:
        while position < length - 1 and not sigmoid(energy[position]) > 0.5:
            position += 1
        found.append([1.0 if place == position else 0.0 for place in range(length)])
    return found


REFERENCES: dict[str, Rows | None] = {
    "additive": by_content(additive_score),
    "dot": by_content(dot_score),
    "general": by_content(general_score),
    "concat": by_content(concat_score),
    "scaled_dot": by_content(scaled_dot_score),
    "multi_head": by_content(multi_head_score),
    "local_m": local_m,
    "local_p": local_p,
    "location": location,
    "location_aware": location_aware,
    "coverage": coverage,
    "monotonic": monotonic,
    "none": None,  # no rows: see `last_states`
}
