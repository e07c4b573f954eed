# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""CTC against sums over all paths, and in the search against all hypotheses."""

import itertools

import pytest
import torch

from hf_attn_seq2seq.ctc import CTCPrefixScores, ctc_loss


BLANK, END, VOCAB, STATES = 0, 2, 4, 5


def collapsed(path: tuple[int, ...]) -> tuple[int, ...]:
    """The tokens of a path: repetitions are one, then blanks are left out (Graves et al. 2006, section 3.1)."""
    return tuple(token for token, _ in itertools.groupby(path) if token != BLANK)


def probabilities(logits: torch.Tensor) -> dict[tuple[int, ...], float]:
    """The probability of each sequence of tokens, summed over all paths of `(states, vocab)`."""
    chances = logits.double().softmax(-1)
    found: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(logits.shape[1]), repeat=logits.shape[0]):
        chance = float(torch.stack([chances[step, token] for step, token in enumerate(path)]).prod())
        found[collapsed(path)] = found.get(collapsed(path), 0.0) + chance
    return found


@pytest.fixture(scope="module")
def logits() -> torch.Tensor:
    return torch.randn(2, STATES, VOCAB, generator=torch.Generator().manual_seed(3))


def test_loss_is_minus_the_log_of_the_sum_over_paths(logits: torch.Tensor) -> None:
    mask = torch.tensor([[1] * STATES, [1] * 3 + [0] * 2])
    labels = torch.tensor([[1, 1, 3, END], [3, END, -100, -100]])
    expected = -(
        torch.tensor(probabilities(logits[0])[(1, 1, 3)]).log()
        + torch.tensor(probabilities(logits[1, :3])[(3,)]).log()
    )
    found = ctc_loss(logits, mask, labels, BLANK, [END])
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_labels_longer_than_the_states_count_for_nothing(logits: torch.Tensor) -> None:
    labels = torch.tensor([[1, 1, 1, 1, 1, 1, END], [3, END, -100, -100, -100, -100, -100]])
    alone = ctc_loss(logits[1:], None, labels[1:], BLANK, [END])
    assert float(ctc_loss(logits, None, labels, BLANK, [END])) == pytest.approx(float(alone), rel=1e-6)


@pytest.mark.parametrize("prefix", [(), (1,), (3,), (1, 1), (3, 1), (1, 3, 1), (1, 1, 1)])
def test_prefixes_score_the_probability_of_all_that_begins_so(logits: torch.Tensor, prefix: tuple[int, ...]) -> None:
    mask = torch.tensor([[1] * STATES, [1] * 4 + [0]])
    scorer = CTCPrefixScores(logits, mask, 1.0, BLANK, [END])
    beams = torch.tensor([[1, *prefix]] * 4)  # the start token is number 1; two hypotheses a source
    scores = scorer(beams, torch.zeros(4, VOCAB))
    for row, real in ((0, STATES), (3, 4)):
        chances = probabilities(logits[row // 2, :real])

        def begins(with_: tuple[int, ...], chances: dict[tuple[int, ...], float] = chances) -> float:
            return sum(chance for tokens, chance in chances.items() if tokens[: len(with_)] == with_)

        if not begins(prefix):
            continue  # too long for the shorter source
        for token in (1, 3):
            ratio = begins((*prefix, token)) / begins(prefix)
            assert float(scores[row, token].exp()) == pytest.approx(ratio, rel=1e-4), (row, token)
        assert float(scores[row, END].exp()) == pytest.approx(chances.get(prefix, 0.0) / begins(prefix), rel=1e-4)
        assert scores[row, BLANK] < -1e30


def test_scores_are_joined_by_weight(logits: torch.Tensor) -> None:
    hypotheses, attention = torch.tensor([[1, 3], [1, 1]]), torch.randn(2, VOCAB)
    attention[0, 3] = -torch.inf
    ctc = CTCPrefixScores(logits, None, 1.0, BLANK, [END])(hypotheses, torch.zeros(2, VOCAB))
    joint = CTCPrefixScores(logits, None, 0.3, BLANK, [END])(hypotheses, attention)
    expected = 0.7 * attention.log_softmax(-1) + 0.3 * ctc
    assert torch.isneginf(joint[0, 3])  # what a search has forbidden
    torch.testing.assert_close(joint[1, [1, 2, 3]], expected[1, [1, 2, 3]])
    torch.testing.assert_close(joint[0, [1, 2]], expected[0, [1, 2]])


def test_a_prefix_that_does_not_fit_is_left_to_attention() -> None:
    logits = torch.randn(1, 2, VOCAB, generator=torch.Generator().manual_seed(1))
    attention = torch.randn(1, VOCAB)
    joint = CTCPrefixScores(logits, None, 0.4, BLANK, [END])(torch.tensor([[1, 3, 1, 3]]), attention)
    assert not joint.isnan().any()
    assert joint[0, BLANK] == -torch.inf
    others = [1, 3, END]
    torch.testing.assert_close(joint[0, others], 0.6 * attention.log_softmax(-1)[0, others])


def test_hundreds_of_states_lose_no_precision() -> None:
    """The cumulative sum against the plain recurrence over states (Watanabe et al. 2017, algorithm 2)."""
    logits = 4 * torch.randn(1, 900, 6, generator=torch.Generator().manual_seed(0))
    log_p = logits[0].double().log_softmax(-1)
    prefix = [3, 5, 5, 4]
    tokens, blanks = torch.full((900,), -torch.inf).double(), log_p[:, BLANK].cumsum(0)
    last = -1
    for token in prefix:
        new_tokens, new_blanks = torch.full_like(tokens, -torch.inf), torch.full_like(tokens, -torch.inf)
        new_tokens[0] = log_p[0, token] if last < 0 else -torch.inf
        for step in range(1, 900):
            either = blanks[step - 1] if token == last else torch.logaddexp(tokens[step - 1], blanks[step - 1])
            new_tokens[step] = torch.logaddexp(new_tokens[step - 1], either) + log_p[step, token]
            new_blanks[step] = torch.logaddexp(new_blanks[step - 1], new_tokens[step - 1]) + log_p[step, BLANK]
        tokens, blanks, last = new_tokens, new_blanks, token
    scorer = CTCPrefixScores(logits, None, 1.0, BLANK, [END])
    found_tokens, found_blanks, _ = scorer._prefix((0, *prefix))
    torch.testing.assert_close(found_tokens, tokens)
    torch.testing.assert_close(found_blanks, blanks)
