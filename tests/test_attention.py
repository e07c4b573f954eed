# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Every attention against its equations in plain Python, its gradients, its contract, and where it could break."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from hf_attn_seq2seq.attention import (
    ATTENTIONS,
    NORMALIZERS,
    Attention,
    AttentionOutput,
    LocalPredictiveAttention,
    Memory,
    MonotonicAttention,
    MultiHeadAttention,
    build_attention,
    eager_attention_forward,
    entmax15,
    linear_recurrence,
    merge_heads,
    normalize,
    repeat_groups,
    sparsemax,
)
from hf_attn_seq2seq.configuration_attn_seq2seq import (
    ATTENTION_NORMALIZERS,
    ATTENTION_TYPES,
    FREE_SCORE_ATTENTIONS,
    PROJECTING_ATTENTIONS,
    RUNNING_STATE_ATTENTIONS,
    UNPROJECTED_ATTENTIONS,
)

from . import reference_attention as plain
from .helpers import scrambled, tiny_config


HIDDEN, ENCODER, WINDOW, TABLE = (
    8,
    12,
    2,
    5,
)  # TABLE: positions that "location" knows, fewer than the longest source has
WITHOUT_NORMALIZER = ("monotonic", "none")

# One source a row: whole, padding left, right, inside, and all around one token.
MASK = torch.tensor(
    [
        [1, 1, 1, 1, 1, 1, 1],
        [0, 0, 0, 1, 1, 1, 1],
        [1, 1, 1, 1, 1, 0, 0],
        [1, 0, 1, 0, 0, 1, 1],
        [0, 0, 0, 1, 0, 0, 0],
    ]
)
BATCH, SRC_LEN = MASK.shape
TGT_LEN = 6  # more steps than some sources have tokens
ALL_PADDING = torch.cat([MASK[1:4], torch.zeros_like(MASK[:1])])
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5}


class Case(NamedTuple):
    kind: str
    fields: dict[str, Any]

    def build(self, dtype: torch.dtype = torch.float32, **fields: Any) -> Attention:
        """The attention with every parameter scrambled, in evaluation mode."""
        sizes = {
            "hidden_size": HIDDEN,
            "encoder_hidden_size": HIDDEN if self.kind in UNPROJECTED_ATTENTIONS else ENCODER,
            "attention_size": 4,
            "attention_window": WINDOW,
            "max_position_embeddings": TABLE,
            "attention_type": self.kind,
        }
        attention = build_attention(tiny_config(**{**sizes, **self.fields, **fields}))
        scrambled(attention, scale=0.5)
        return attention.to(dtype)

    def __str__(self) -> str:
        return "-".join([self.kind, *(str(value) for value in self.fields.values())])


def all_cases() -> Iterator[Case]:
    """Every kind with every normalizer and several counts of heads."""
    for kind in ATTENTIONS:
        for normalizer in NORMALIZERS:
            if kind in WITHOUT_NORMALIZER and normalizer != "softmax":
                continue
            for heads in (1, 2):
                yield Case(kind, {"attention_normalizer": normalizer, "num_attention_heads": heads})
            if kind == "multi_head":
                for groups in (1, 2):
                    yield Case(
                        kind,
                        {"attention_normalizer": normalizer, "num_attention_heads": 4, "num_key_value_heads": groups},
                    )
    for kind in FREE_SCORE_ATTENTIONS:
        yield Case(kind, {"attention_bias": True, "num_attention_heads": 1})
        yield Case(kind, {"attention_weight_norm": True, "num_attention_heads": 1})
        yield Case(kind, {"attention_bias": True, "attention_weight_norm": True, "num_attention_heads": 2})
    yield Case("monotonic", {"monotonic_hard": True, "num_attention_heads": 2})


CASES = list(all_cases())
every_case = pytest.mark.parametrize("case", CASES, ids=str)
one_head = pytest.mark.parametrize(
    "case", [case for case in CASES if case.fields["num_attention_heads"] == 1], ids=str
)
two_heads = pytest.mark.parametrize(
    "case", [case for case in CASES if case.fields["num_attention_heads"] == 2], ids=str
)


class Inputs(NamedTuple):
    query: torch.Tensor  # (batch, tgt_len, hidden)
    states: torch.Tensor  # (batch, src_len, encoder_hidden)


def random_inputs(
    attention: Attention,
    batch: int = BATCH,
    tgt_len: int = TGT_LEN,
    src_len: int = SRC_LEN,
    seed: int = 1,
    dtype: torch.dtype = torch.float32,
) -> Inputs:
    generator = torch.Generator().manual_seed(seed)
    query = torch.randn(batch, tgt_len, attention.query_size, generator=generator)
    states = torch.randn(batch, src_len, attention.state_width, generator=generator)
    return Inputs(query.to(dtype), states.to(dtype))


def has_reference(case: Case) -> None:
    if case.kind not in plain.REFERENCES:
        pytest.fail(
            f"The attention '{case.kind}' has no independent reference: write its equation as a loop in "
            "tests/reference_attention.py and name it in REFERENCES.",
            pytrace=False,
        )


def assert_equals_reference(
    case: Case, attention: Attention, inputs: Inputs, mask: torch.Tensor, out: AttentionOutput, tolerance: float
) -> None:
    has_reference(case)
    parameters = plain.read_parameters(attention)
    for row in range(mask.shape[0]):
        expected = plain.reference(
            case.kind,
            attention.config,
            parameters,
            inputs.states[row].double().tolist(),
            mask[row].bool().tolist(),
            inputs.query[row].double().tolist(),
        )
        close(out.context[row], expected.context, tolerance)
        if expected.weights is None:
            assert out.weights is None
            assert out.scores is None
            continue
        assert expected.scores is not None
        close(out.weights[row], expected.weights, tolerance)
        close(out.scores[row] * mask[row], expected.scores, tolerance)


def close(actual: torch.Tensor, expected: Any, tolerance: float) -> None:
    """Compare with a tensor or nested lists of numbers."""
    expected = torch.as_tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(actual.double(), expected, atol=tolerance, rtol=0)


# --------------------------------------------------------------------------------------------------------------------
# Against the equations
# --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@every_case
def test_agrees_with_the_equations(case, dtype):
    attention = case.build(dtype)
    inputs = random_inputs(attention, dtype=dtype)
    out = attention(inputs.query, attention.memory(inputs.states, MASK))
    assert_equals_reference(case, attention, inputs, MASK, out, TOLERANCE[dtype])


@every_case
def test_no_mask_means_that_all_is_real(case):
    attention = case.build(torch.float64)
    inputs = random_inputs(attention, dtype=torch.float64)
    out = attention(inputs.query, attention.memory(inputs.states))
    assert_equals_reference(case, attention, inputs, torch.ones_like(MASK), out, 1e-9)


@pytest.mark.parametrize("lengths", [[1] * TGT_LEN, [2, 3, 1]], ids=["single steps", "chunks"])
@every_case
def test_all_steps_in_one_call_are_the_steps_one_by_one(case, lengths):
    attention = case.build(torch.float64)
    inputs = random_inputs(attention, dtype=torch.float64)
    memory = attention.memory(inputs.states, MASK)
    whole = attention(inputs.query, memory)
    state, outs = None, []
    for query in inputs.query.split(lengths, dim=1):
        outs.append(attention(query, memory, state))
        state = outs[-1].state
    close(torch.cat([out.context for out in outs], dim=1), whole.context, 1e-12)
    if whole.weights is not None:
        close(torch.cat([out.weights for out in outs], dim=2), whole.weights, 1e-12)
        close(torch.cat([out.scores for out in outs], dim=2), whole.scores, 1e-12)
    if whole.state is not None:
        close(state, whole.state, 1e-12)


@one_head
def test_long_sources(case):
    attention = case.build(max_position_embeddings=200)
    mask = torch.ones(2, 300, dtype=torch.long)
    mask[0, :40] = mask[0, 100:120] = 0
    inputs = random_inputs(attention, batch=2, tgt_len=5, src_len=300)
    out = attention(inputs.query, attention.memory(inputs.states, mask))
    assert_equals_reference(case, attention, inputs, mask, out, 1e-5)


def test_every_reference_is_of_a_kind_that_exists():
    assert set(plain.REFERENCES) <= set(ATTENTIONS)


# --------------------------------------------------------------------------------------------------------------------
# Normalizers
# --------------------------------------------------------------------------------------------------------------------

VECTORS = [
    [0.0],
    [3.0, 3.0],
    [1.0, 1.0, 0.5, 0.5, -4.0],
    [0.3, 0.1, 0.2, 0.25, 0.28, 0.05],
    [100.0, 99.5, -100.0],
    [-1e6, -1e6 + 0.25],
    [5.0] * 40,
    torch.randn(50, generator=torch.Generator().manual_seed(0)).tolist(),
    (0.1 * torch.randn(300, generator=torch.Generator().manual_seed(1))).tolist(),
]


@pytest.mark.parametrize("scores", VECTORS, ids=range(len(VECTORS)))
@pytest.mark.parametrize("name", NORMALIZERS)
def test_normalizers_follow_their_definitions(name, scores):
    close(NORMALIZERS[name](torch.tensor(scores, dtype=torch.float64)), plain.NORMALIZERS[name](scores), 1e-9)
    assert NORMALIZERS[name](torch.tensor(scores)).sum().item() == pytest.approx(1.0, abs=1e-5)


def test_normalizers_on_numbers_worked_by_hand():
    # sparsemax: the two largest stay, threshold (1 + 0.6 - 1) / 2 = 0.3.
    close(sparsemax(torch.tensor([1.0, 0.6, 0.1])), [0.7, 0.3, 0.0], 1e-6)
    # entmax: z / 2 = (0.5, 0.3), so (0.5 - t)^2 + (0.3 - t)^2 = 1 and t = 0.4 - sqrt(0.49) = -0.3.
    close(entmax15(torch.tensor([1.0, 0.6, -2.0])), [0.64, 0.36, 0.0], 1e-6)


def closed_form_jacobian(name: str, weights: torch.Tensor) -> torch.Tensor:
    """diag(s) - s s^T / sum(s) with s_i = p_i, 1 or p_i^(1/2) on the support (Peters et al. 2019, proposition 2)."""
    power = {"softmax": 1.0, "sparsemax": 0.0, "entmax15": 0.5}[name]
    s = torch.where(weights > 0, weights**power, 0.0)
    return s.diag() - s.outer(s) / s.sum()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", NORMALIZERS)
def test_gradient_of_normalizers_is_the_closed_form(name, seed):
    scores = 1.5 * torch.randn(7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(NORMALIZERS[name], scores)
    weights = torch.tensor(plain.NORMALIZERS[name](scores.tolist()), dtype=torch.float64)
    if name != "softmax":
        assert (weights == 0).any()
    close(jacobian, closed_form_jacobian(name, weights), 1e-9)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", NORMALIZERS)
def test_overflow_passes_through_as_nan(name, bad):
    # Training in half precision skips a step by finding NaN in its gradients: it must come to that.
    assert NORMALIZERS[name](torch.tensor([[0.0, bad, 1.0], [0.0, 1.0, 2.0]])).isnan().any(-1).tolist() == [
        True,
        False,
    ]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", NORMALIZERS)
def test_half_precision_is_normalised_in_single_precision(name, dtype):
    scores = torch.randn(2, 1, 3, 300, generator=torch.Generator().manual_seed(0)).to(dtype)
    mask = torch.ones(2, 1, 1, 300, dtype=torch.bool)
    mask[1, ..., 100:] = False
    weights = normalize(scores, mask, name)
    assert weights.dtype == dtype
    assert torch.equal(weights, normalize(scores.float(), mask, name).to(dtype))


@pytest.mark.parametrize("kind", WITHOUT_NORMALIZER)
def test_kinds_without_scores_to_normalise_refuse_a_normalizer(kind):
    with pytest.raises(ValueError, match=f"'{kind}' does not normalize scores"):
        tiny_config(attention_type=kind, attention_normalizer="sparsemax")


# --------------------------------------------------------------------------------------------------------------------
# Gradients
# --------------------------------------------------------------------------------------------------------------------


class Attend(nn.Module):
    """Memory and attention in one call, as `torch.func.functional_call` needs it."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, query: torch.Tensor, states: torch.Tensor, mask: torch.Tensor) -> AttentionOutput:
        return self.attention(query, self.attention.memory(states, mask))


@two_heads
def test_gradients_by_finite_differences(case):
    attention = case.build(torch.float64, encoder_hidden_size=HIDDEN)
    module = Attend(attention)
    parameters = {name: parameter.detach() for name, parameter in module.named_parameters()}
    inputs = random_inputs(attention, batch=2, tgt_len=3, dtype=torch.float64)

    def attend(query: torch.Tensor, states: torch.Tensor, *values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        given = dict(zip(parameters, values))
        out = torch.func.functional_call(module, given, (query, states, MASK[2:4]))
        return tuple(part for part in out if part is not None and part.requires_grad)

    leaves = [leaf.requires_grad_() for leaf in (*inputs, *parameters.values())]
    # Fast mode multiplies the Jacobian by random vectors from both sides: wrong anywhere is wrong there.
    assert torch.autograd.gradcheck(attend, leaves, fast_mode=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@two_heads
def test_rows_sum_to_one_and_padding_gets_exactly_nothing(case, dtype):
    attention = case.build(dtype)
    inputs = random_inputs(attention, batch=len(ALL_PADDING), dtype=dtype)
    states = inputs.states.requires_grad_()
    query = inputs.query.requires_grad_()
    out = attention(query, attention.memory(states, ALL_PADDING))
    assert out.context.dtype == dtype
    nothing = torch.zeros_like(out.context[-1])
    if isinstance(attention, MultiHeadAttention):  # the projection of nothing
        nothing = nothing + attention.output_projection.bias
    assert torch.equal(out.context[-1], nothing)
    if out.weights is not None:
        weights = out.weights.detach()
        assert weights.dtype == dtype
        assert weights.min() >= 0
        padding = ALL_PADDING[:, None, None] == 0
        assert torch.equal(weights.masked_select(padding), torch.zeros_like(weights.masked_select(padding)))
        sums = weights.double().sum(-1)
        tolerance = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}[dtype]
        close(sums[:-1], torch.ones_like(sums[:-1]), tolerance)
    (out.context.float().square().sum()).backward()
    assert states.grad is not None
    assert states.grad.isfinite().all()
    assert states.grad[:-1].abs().max() > 0
    assert torch.equal(states.grad[-1], torch.zeros_like(states.grad[-1]))
    if attention.uses_query and not attention.config.monotonic_hard:
        assert query.grad is not None
        assert query.grad.isfinite().all()
        assert query.grad[:-1].abs().max() > 0
    for parameter in attention.parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all()


# --------------------------------------------------------------------------------------------------------------------
# Order of the source
# --------------------------------------------------------------------------------------------------------------------


def permuted_pair(case: Case) -> tuple[AttentionOutput, AttentionOutput, torch.Tensor]:
    """The answer for a source, for the same source permuted, and the permutation."""
    # The fixed context of a recurrent encoder is its last states: it has an order before the attention sees it.
    fields = {"encoder_type": "transformer", "encoder_hidden_size": HIDDEN} if case.kind == "none" else {}
    attention = case.build(torch.float64, **fields)
    inputs = random_inputs(attention, dtype=torch.float64)
    order = torch.tensor([4, 2, 6, 0, 5, 1, 3])
    out = attention(inputs.query, attention.memory(inputs.states, MASK))
    return out, attention(inputs.query, attention.memory(inputs.states[:, order], MASK[:, order])), order


@pytest.mark.parametrize("case", [case for case in CASES if not ATTENTIONS[case.kind].uses_positions], ids=str)
def test_without_positions_weights_move_with_the_source(case):
    out, moved, order = permuted_pair(case)
    close(moved.context, out.context, 1e-12)
    if out.weights is not None:
        close(moved.weights, out.weights[..., order], 1e-12)
        close(moved.scores, out.scores[..., order], 1e-12)


@pytest.mark.parametrize("case", [case for case in CASES if ATTENTIONS[case.kind].uses_positions], ids=str)
def test_with_positions_the_order_of_the_source_matters(case):
    out, moved, order = permuted_pair(case)
    assert (moved.weights - out.weights[..., order]).abs().max() > 1e-2
    assert (moved.context - out.context).abs().max() > 1e-2


# --------------------------------------------------------------------------------------------------------------------
# The contract
# --------------------------------------------------------------------------------------------------------------------


def test_registry_and_configuration_name_the_same_kinds():
    assert tuple(ATTENTIONS) == ATTENTION_TYPES
    assert tuple(NORMALIZERS) == ATTENTION_NORMALIZERS
    assert tuple(kind for kind, attention in ATTENTIONS.items() if attention.running) == RUNNING_STATE_ATTENTIONS
    assert tuple(kind for kind, attention in ATTENTIONS.items() if attention.projects) == PROJECTING_ATTENTIONS


@pytest.mark.parametrize(
    ("field", "known"),
    [("attention_type", ATTENTIONS), ("attention_normalizer", NORMALIZERS)],
    ids=["kind", "normalizer"],
)
def test_unknown_names_list_the_known_ones(field, known):
    with pytest.raises(ValueError, match="'telepathic' is unknown") as error:
        tiny_config(**{field: "telepathic"})
    assert all(name in str(error.value) for name in known)


@two_heads
def test_nothing_is_stored_on_the_module(case):
    attention = case.build()
    before = {name: repr(vars(module)) for name, module in attention.named_modules()}
    inputs = random_inputs(attention)
    attention(inputs.query, attention.memory(inputs.states, MASK))
    assert {name: repr(vars(module)) for name, module in attention.named_modules()} == before


@two_heads
def test_two_sources_at_once_do_not_meet(case):
    attention = case.build()
    sources = [random_inputs(attention), random_inputs(attention, src_len=4, seed=2)]

    def steps(inputs: Inputs) -> Iterator[AttentionOutput]:
        memory = attention.memory(inputs.states)
        state = None
        for query in inputs.query.split(1, dim=1):
            out = attention(query, memory, state)
            state = out.state
            yield out

    alone = [list(steps(inputs)) for inputs in sources]
    for together, separate in zip(zip(*map(steps, sources)), zip(*alone)):
        for out, expected in zip(together, separate):
            for part, wanted in zip(out, expected):
                assert (part is None and wanted is None) or torch.equal(part, wanted)


@two_heads
def test_sizes_are_the_promised_ones(case):
    attention = case.build()
    inputs = random_inputs(attention)
    memory = attention.memory(inputs.states, MASK)
    out = attention(inputs.query, memory)
    slots = attention.memory_length(SRC_LEN)
    assert memory.keys.shape[2] == memory.values.shape[2] == slots
    assert out.context.shape == (BATCH, TGT_LEN, attention.context_size)
    if out.weights is not None:
        assert out.weights.shape == out.scores.shape == (BATCH, 2, TGT_LEN, SRC_LEN)
    start, size = attention.initial_state(memory), attention.state_size(SRC_LEN)
    for state in (start, out.state):
        assert state is None if size == 0 else state.shape == (BATCH, size)
    recalled = attention(inputs.query, attention.recall(memory.keys, memory.values, memory.mask), start)
    assert torch.equal(recalled.context, out.context)


# --------------------------------------------------------------------------------------------------------------------
# Weights that are handed out
# --------------------------------------------------------------------------------------------------------------------


def context_of(attention: Attention, weights: torch.Tensor, memory: Memory) -> torch.Tensor:
    """The context that weights give."""
    context = merge_heads(weights @ repeat_groups(memory.values, weights.shape[1] // memory.values.shape[1]))
    return attention.output_projection(context) if isinstance(attention, MultiHeadAttention) else context


@pytest.mark.parametrize("case", [case for case in CASES if case.kind != "none"], ids=str)
def test_weights_handed_out_are_the_ones_used(case):
    attention = case.build(torch.float64)
    inputs = random_inputs(attention, dtype=torch.float64)
    memory = attention.memory(inputs.states, MASK)
    out = attention(inputs.query, memory)
    assert out.weights is not None
    close(out.context, context_of(attention, out.weights, memory), 1e-12)


@pytest.mark.costly
@pytest.mark.parametrize("case", [case for case in CASES if case.kind != "none"], ids=str)
def test_dropout_changes_the_context_and_leaves_the_weights_handed_out_whole(case):
    # A loss on the weights (guided alignment) would else teach those that dropout took away, which learn nothing.
    attention = case.build(torch.float64, attention_dropout=0.5).train()
    inputs = random_inputs(attention, dtype=torch.float64)
    memory = attention.memory(inputs.states, MASK)
    torch.manual_seed(0)
    outs = [attention(inputs.query, memory) for _ in range(400)]
    for out in outs[:2]:
        close(out.weights.sum(-1), torch.ones(out.weights.shape[:-1]), 1e-9)
        close(out.weights, outs[0].weights, 1e-12)
    expected = context_of(attention, outs[0].weights, memory)
    assert (outs[0].context - expected).abs().max() > 0.1
    contexts = torch.stack([out.context for out in outs])
    # Dropout keeps the mean: five standard errors of it.
    error = 5 * contexts.std(0) / len(outs) ** 0.5
    assert ((contexts.mean(0) - expected).abs() <= error + 1e-9).all()


@pytest.mark.parametrize("case", [case for case in CASES if case.kind == "multi_head"], ids=str)
def test_multi_head_is_the_same_with_and_without_a_fused_kernel(case):
    attention = case.build(torch.float64)
    attention.config._attn_implementation = "sdpa"
    inputs = random_inputs(attention, batch=len(ALL_PADDING), dtype=torch.float64)
    for mask in (ALL_PADDING, None):
        answers = []
        for wanted in (True, False):
            attention.zero_grad()
            query = inputs.query.clone().requires_grad_()
            out = attention(query, attention.memory(inputs.states, mask), output_weights=wanted)
            fused = not wanted and attention.config.attention_normalizer == "softmax"
            assert (out.weights is None) == fused
            out.context.square().sum().backward()
            answers.append((out.context.detach(), query.grad, attention.value_projection.weight.grad.clone()))
        for eager, other in zip(*answers):
            assert eager.isfinite().all()
            close(other, eager, 1e-10)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_eager_function_is_scaled_dot_product_attention(groups):
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(2, 4, 3, 5, generator=generator)
    key, value = torch.randn(2, 2, 4 // groups, 6, 5, generator=generator)
    mask = torch.zeros(2, 1, 3, 6).masked_fill_(torch.rand(2, 1, 3, 6, generator=generator) > 0.6, -torch.inf)
    mask[..., 0] = 0.0
    output, weights = eager_attention_forward(nn.Module(), query, key, value, mask, scaling=0.3)
    expected = nn.functional.scaled_dot_product_attention(
        query, repeat_groups(key, groups), repeat_groups(value, groups), attn_mask=mask, scale=0.3
    )
    close(output, expected.transpose(1, 2), 1e-6)
    close((weights @ repeat_groups(value, groups)).transpose(1, 2), output, 1e-6)
    torch.manual_seed(0)
    dropped, whole = eager_attention_forward(nn.Module().train(), query, key, value, mask, scaling=0.3, dropout=0.5)
    assert (dropped - output).abs().max() > 0.1
    close(whole, weights, 0)


# --------------------------------------------------------------------------------------------------------------------
# Monotonic
# --------------------------------------------------------------------------------------------------------------------


def monotonic(**fields: Any) -> MonotonicAttention:
    attention = Case("monotonic", fields).build()
    assert isinstance(attention, MonotonicAttention)
    return attention


def blank_memory(attention: Attention, src_len: int, dtype: torch.dtype = torch.float32) -> Memory:
    """A memory of zeros, for weights that come from given energies."""
    zeros = torch.zeros(1, 1, src_len, 4, dtype=dtype)
    return attention.recall(zeros, zeros, None)


def weigh_steps(attention: MonotonicAttention, energies: torch.Tensor) -> torch.Tensor:
    """Weights `(tgt_len, src_len)` of energies of the same shape, step after step."""
    memory = blank_memory(attention, energies.shape[1], energies.dtype)
    state = attention.initial_state(memory).unsqueeze(1)
    rows = []
    for energy in energies:
        weights = attention.weigh(energy[None, None, None], memory, state)
        state = attention.advance(state, weights.squeeze(2))
        rows.append(weights.flatten())
    return torch.stack(rows)


def steep_energies() -> torch.Tensor:
    """Energies `(8, 300)` of -50 to 50: at random, all to one side, and long runs before undecided places."""
    generator = torch.Generator().manual_seed(0)
    energies = 100 * torch.rand(8, 300, generator=generator) - 50
    energies[:4] = 2 * torch.randn(4, 300, generator=generator)
    energies[0] -= 5  # spreads the weight over the source
    energies[1:3, :150] = 50.0
    energies[3, 100:200] = -50.0
    energies[6] = -50.0
    energies[7] = 50.0
    return energies


def test_soft_monotonic_is_stable_where_energies_are_steep():
    energies = steep_energies().requires_grad_()
    weights = weigh_steps(monotonic(), energies)
    close(weights, plain.monotonic_soft(energies.tolist()), 1e-5)
    close(weights.sum(-1), torch.ones(8), 1e-5)
    (weights * torch.arange(300.0)).sum().backward()
    assert energies.grad.isfinite().all()
    assert energies.grad.abs().max() > 0


def test_soft_monotonic_keeps_its_precision_behind_a_saturated_beginning():
    # In single precision, a difference of sums over the beginning would lose the steps that matter.
    generator = torch.Generator().manual_seed(0)
    energies = torch.cat([torch.full((200,), 50.0), torch.randn(100, generator=generator) - 3])
    attention = monotonic()
    state = torch.cat([torch.zeros(200), torch.full((100,), 0.01)])
    weights = attention.weigh(energies[None, None, None], blank_memory(attention, 300), state[None, None])
    expected, arrived = [], 0.0
    for energy, before in zip(energies.tolist(), state.tolist()):
        arrived += before
        expected.append(arrived * plain.sigmoid(energy))
        arrived -= expected[-1]
    expected[-1] += arrived
    torch.testing.assert_close(weights.flatten(), torch.tensor(expected), rtol=1e-5, atol=0)


def random_recurrence(length: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Factors and terms `(12, length)` in [0, 1]: rows at random, near 0, near 1, exactly both, and runs of each."""
    generator = torch.Generator().manual_seed(seed)
    energies = 4 * torch.randn(12, length, generator=generator, dtype=torch.float64)
    energies[1] -= 8.0
    energies[2] += 8.0
    energies[3] = energies[3].sign() * 1e4
    energies[4, length // 3 :] = 50.0
    energies[5, : length // 2] = -1e4
    terms = torch.rand(12, length, generator=generator, dtype=torch.float64)
    terms[6:] *= torch.rand(6, length, generator=generator) < 0.1
    terms[7] *= 1e-12
    return torch.sigmoid(energies), terms / terms.sum(-1, keepdim=True).clamp(min=1.0)


def recur_by_loop(factors: torch.Tensor, terms: torch.Tensor) -> torch.Tensor:
    here, found = torch.zeros_like(terms[..., 0]), []
    for factor, term in zip(factors.unbind(-1), terms.unbind(-1)):
        here = factor * here + term
        found.append(here)
    return torch.stack(found, dim=-1)


@pytest.mark.parametrize("length", [1, 2, 3, 7, 8, 9, 100, 1000])
def test_linear_recurrence_is_the_loop(length):
    factors, terms = random_recurrence(length)
    expected = recur_by_loop(factors, terms)
    close(linear_recurrence(factors, terms), expected, 1e-14)
    single = linear_recurrence(factors.float(), terms.float())
    assert single.dtype == torch.float32
    close(single, recur_by_loop(factors.float().double(), terms.float().double()), 1e-7)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_linear_recurrence_has_the_gradients_of_the_loop(dtype):
    factors, terms = random_recurrence(300)
    coefficients = torch.randn(factors.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def gradients(function: Any, dtype: torch.dtype) -> list[torch.Tensor]:
        # Through single precision first: the inputs are the same numbers in both.
        leaves = [part.float().to(dtype).requires_grad_() for part in (factors, terms)]
        (function(*leaves) * coefficients.to(dtype)).sum().backward()
        return [leaf.grad for leaf in leaves]

    for found, expected in zip(gradients(linear_recurrence, dtype), gradients(recur_by_loop, torch.float64)):
        scale = expected.abs().max().item()
        close(found / scale, expected / scale, {torch.float64: 1e-14, torch.float32: 1e-6}[dtype])


def test_linear_recurrence_in_a_traced_graph_serves_other_lengths():
    traced = torch.jit.trace(linear_recurrence, random_recurrence(5))
    for length in (1, 2, 40, 700):
        factors, terms = random_recurrence(length)
        close(traced(factors, terms), recur_by_loop(factors, terms), 1e-13)


def test_monotonic_keeps_little_for_the_gradient():
    # What is kept grew with the square of the source: 400 tokens would need 100 times what 40 do.
    def kept(src_len: int) -> int:
        attention = monotonic()
        inputs = random_inputs(attention, batch=1, tgt_len=1, src_len=src_len)
        sizes = []

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            attention(inputs.query, attention.memory(inputs.states))
        return sum(sizes)

    assert kept(1600) < 60 * kept(40)


@pytest.mark.parametrize("autocast", [False, True])
def test_monotonic_rows_sum_to_one_after_many_steps_in_half_precision(autocast):
    attention = Case("monotonic", {"num_attention_heads": 2}).build(torch.float32 if autocast else torch.bfloat16)
    with torch.no_grad():
        attention.offset.fill_(2.0)  # slow enough to be still on its way after many steps
    mask = torch.ones(2, 300, dtype=torch.long)
    mask[1, :40] = mask[1, 100:120] = mask[1, 290:] = 0
    dtype = attention.key_projection.weight.dtype
    inputs = random_inputs(attention, batch=2, tgt_len=200, src_len=300, dtype=dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        out = attention(inputs.query, attention.memory(inputs.states, mask))
    assert out.weights.dtype == out.scores.dtype
    # Each weight is rounded by up to 2^-8 of itself, and so is their sum; the state goes on with what was not rounded.
    close(out.weights.double().sum(-1), torch.ones(2, 2, 200), 2.0**-8)
    for row in range(2):
        for head in range(2):
            real = mask[row].bool()
            energies = out.scores[row, head][:, real].double()
            expected = torch.tensor(plain.monotonic_soft(energies.tolist()))
            assert expected.argmax(-1)[-1] > 10
            assert expected[-1].max() < 0.9
            torch.testing.assert_close(
                out.weights[row, head][:, real].double(), expected.double(), rtol=2.0**-8, atol=1e-6
            )


def test_hard_monotonic_takes_the_first_selected_position_from_the_last_one_on():
    energies = steep_energies()
    weights = weigh_steps(monotonic(monotonic_hard=True), energies)
    assert weights.tolist() == plain.monotonic_hard(energies.tolist())


def test_hard_monotonic_by_hand():
    energies = torch.tensor(
        [
            [-1.0, 1.0, 1.0, -1.0],  # the first selected: 1
            [1.0, 1.0, -1.0, 1.0],  # still selected: stays at 1, although 0 is selected too
            [1.0, -1.0, 0.0, 1.0],  # 1 is not, 2 is undecided (p = 0.5, not above), so 3
            [1.0, 1.0, 1.0, -1.0],  # nothing from 3 on: stays at the last position
        ]
    )
    assert weigh_steps(monotonic(monotonic_hard=True), energies).argmax(-1).tolist() == [1, 1, 3, 3]


def test_hard_decisions_are_for_inference_and_noise_for_training():
    soft, hard = monotonic(), monotonic(monotonic_hard=True, monotonic_noise=1.0)
    inputs = random_inputs(soft)

    def attend(attention: Attention) -> AttentionOutput:
        torch.manual_seed(0)
        return attention(inputs.query, attention.memory(inputs.states, MASK))

    close(attend(hard).scores, attend(soft).scores, 0)
    assert set(attend(hard).weights.unique().tolist()) == {0.0, 1.0}
    noise = attend(hard.train()).scores - attend(soft).scores
    assert noise.std().item() == pytest.approx(1.0, abs=0.2)
    assert attend(hard).weights.unique().numel() > 20


# --------------------------------------------------------------------------------------------------------------------
# Local
# --------------------------------------------------------------------------------------------------------------------


def test_local_m_looks_at_the_window_around_the_step():
    attention = Case("local_m", {"attention_window": 1}).build()
    inputs = random_inputs(attention)
    out = attention(inputs.query, attention.memory(inputs.states, MASK))
    looked_at = [[row.nonzero().flatten().tolist() for row in source[0]] for source in out.weights]
    assert looked_at[0] == [[0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [4, 5, 6]]
    # Four tokens: from the fourth step on the window stays on the last; padding is not counted.
    assert looked_at[1] == [[3, 4], [3, 4, 5], [4, 5, 6], [5, 6], [5, 6], [5, 6]]
    assert looked_at[3] == [[0, 2], [0, 2, 5], [2, 5, 6], [5, 6], [5, 6], [5, 6]]
    assert looked_at[4] == [[3]] * TGT_LEN


def test_local_m_takes_the_step_of_every_query():
    # As a Transformer decoder gives them: rows may be at different steps.
    attention = Case("local_m", {}).build()
    inputs = random_inputs(attention, tgt_len=3)
    memory = attention.memory(inputs.states)
    steps = torch.tensor([[0.0, 1.0, 2.0], [4.0, 5.0, 6.0], [2.0, 2.0, 2.0], [0.0, 3.0, 6.0], [9.0, 0.0, 1.0]])
    out = attention(inputs.query, memory, steps=steps)
    for place in range(3):
        one = attention(inputs.query[:, place : place + 1], memory, steps=steps[:, place : place + 1])
        close(out.weights[:, :, place : place + 1], one.weights, 1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_local_m_counts_past_what_half_precision_can(dtype):
    attention = Case("local_m", {"attention_window": 1}).build(dtype)
    inputs = random_inputs(attention, batch=1, tgt_len=2060, src_len=2060, dtype=dtype)
    memory = attention.memory(inputs.states)
    whole = attention(inputs.query, memory)
    for step in (255, 256, 257, 259, 2047, 2049, 2051):
        assert whole.weights[0, 0, step].nonzero().flatten().tolist() == [step - 1, step, step + 1]
    state = None
    for query in inputs.query[:, :260].split(1, dim=1):
        out = attention(query, memory, state)
        state = out.state
    assert state.item() == 260
    assert out.weights.flatten().nonzero().flatten().tolist() == [258, 259, 260]


@pytest.mark.parametrize("push", [-1e4, 1e4])
def test_local_p_has_a_row_even_where_the_centre_is_at_an_end(push):
    attention = Case("local_p", {"attention_window": 1}).build()
    assert isinstance(attention, LocalPredictiveAttention)
    with torch.no_grad():
        attention.position_projection.weight.fill_(10.0)
        attention.position_vector.fill_(push)
    inputs = random_inputs(attention)
    out = attention(inputs.query.abs(), attention.memory(inputs.states, MASK))
    close(out.weights.sum(-1), torch.ones(BATCH, 1, TGT_LEN), 1e-5)
    end = MASK.argmax(-1) if push < 0 else SRC_LEN - 1 - MASK.flip(-1).argmax(-1)
    assert (out.weights.gather(-1, end[:, None, None, None].expand(-1, -1, TGT_LEN, -1)) > 0).all()


# --------------------------------------------------------------------------------------------------------------------
# Location
# --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalizer", NORMALIZERS)
def test_location_ignores_tokens_beyond_its_table(normalizer):
    attention = Case("location", {"attention_normalizer": normalizer, "num_attention_heads": 2}).build(torch.float64)
    inputs = random_inputs(attention, dtype=torch.float64)
    out = attention(inputs.query, attention.memory(inputs.states))
    assert torch.equal(out.weights[..., TABLE:], torch.zeros_like(out.weights[..., TABLE:]))
    close(out.weights.sum(-1), torch.ones(BATCH, 2, TGT_LEN), 1e-12)
    shorter = attention(inputs.query, attention.memory(inputs.states[:, :TABLE]))
    close(out.context, shorter.context, 1e-12)
