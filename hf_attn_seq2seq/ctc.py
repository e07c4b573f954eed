# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Connectionist temporal classification (Graves et al. 2006) beside attention: its loss, its part in the search."""

import torch
from torch import nn
from transformers import LogitsProcessor

from .labels import IGNORED


# A gain from which no hypothesis recovers, and which leaves attention's differences their precision.
_IMPOSSIBLE = -1e4


def ctc_loss(
    logits: torch.Tensor,
    mask: torch.Tensor | None,
    labels: torch.Tensor,
    blank: int,
    ends: list[int],
) -> torch.Tensor:
    """
    -log p(labels | states), summed over the batch (Graves et al. 2006, eq. 8); 0 for a row whose labels do not fit
    into its states.

    Args:
        logits: `(batch, states, vocab)`.
        mask: `(batch, states)`, nonzero on real states, which come first; None: all are real.
        labels: `(batch, tgt_len)`; -100, the blank and end tokens are left out, for no state stands for them.
        blank: The id of the blank.
        ends: The ids of end tokens.
    """
    batch, states = logits.shape[:2]
    left_out = torch.tensor([IGNORED, blank, *ends], device=labels.device)
    kept = ~torch.isin(labels, left_out)
    lengths = kept.sum(1)
    real = torch.full_like(lengths, states) if mask is None else mask.long().sum(1)
    if batch == 0:
        return logits.sum() * 0.0
    log_probabilities = torch.log_softmax(logits.float(), dim=-1).transpose(0, 1)
    return nn.functional.ctc_loss(
        log_probabilities, labels[kept], real, lengths, blank=blank, reduction="sum", zero_infinity=True
    )


class CTCPrefixScores(LogitsProcessor):
    """
    Lets CTC have its say in a search: (1 - w) log p_attention + w log p_CTC of each hypothesis (Watanabe et al. 2017,
    section II-C), where p_CTC of an unfinished one is the probability of all that begins so (their algorithm 2).

    The recurrence over states is computed for all of them at once, as a cumulative sum in the log domain.

    Args:
        logits: `(batch, states, vocab)`: what CTC says of each state.
        mask: `(batch, states)`, nonzero on real states, which come first; None: all are real.
        weight: w, in [0, 1].
        blank: The id of the blank.
        ends: The ids of end tokens.
        start_len: Tokens of a hypothesis that say nothing, such as the start token.
    """

    def __init__(
        self,
        logits: torch.Tensor,
        mask: torch.Tensor | None,
        weight: float,
        blank: int,
        ends: list[int],
        start_len: int = 1,
    ) -> None:
        # Cumulative sums over hundreds of states are taken from each other: single precision would not do.
        log_probabilities = torch.log_softmax(logits.double(), dim=-1)
        batch, states, _ = log_probabilities.shape
        self.weight, self.blank, self.ends, self.start_len = weight, blank, ends, start_len
        self.log_probabilities = log_probabilities.transpose(1, 2)  # batch x vocab x states
        self.sums = self.log_probabilities.cumsum(-1)
        lengths = mask.long().sum(1) if mask is not None else torch.full((batch,), states, device=logits.device)
        self.last = (lengths - 1).clamp(min=0)
        self.real = torch.arange(states, device=logits.device) < lengths.unsqueeze(1)  # batch x states
        # Of each prefix of each source: the log-probabilities, at every state, that it is said so far and the state
        # is its last token's, or a blank; and of the prefix as a whole.
        self.known: dict[tuple[int, ...], tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = {}

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """`(rows, length)` tokens so far and `(rows, vocab)` scores of the next to joint scores `(rows, vocab)`."""
        sources = len(self.log_probabilities)
        copies = input_ids.shape[0] // sources
        prefixes = [(row // copies, *prefix) for row, prefix in enumerate(input_ids[:, self.start_len :].tolist())]
        rows = [self._prefix(prefix) for prefix in prefixes]
        tokens, blanks, wholes = (torch.stack(part) for part in zip(*rows))
        source = torch.tensor([prefix[0] for prefix in prefixes], device=scores.device)
        last = torch.tensor([prefix[-1] if len(prefix) > 1 else -1 for prefix in prefixes], device=scores.device)
        longer = self._longer(source, tokens, blanks, last)
        ended = torch.logaddexp(tokens, blanks).gather(1, self.last[source].unsqueeze(1))
        longer[:, self.ends] = ended
        # Where CTC finds a prefix impossible, such as one longer than its states, attention alone decides.
        gained = (longer - wholes.unsqueeze(1)).masked_fill(wholes.isneginf().unsqueeze(1), 0.0).to(scores.dtype)
        attention = torch.log_softmax(scores, dim=-1)
        joint = (1 - self.weight) * attention + self.weight * gained.clamp(min=_IMPOSSIBLE)
        joint[:, self.blank] = -torch.inf
        # What a search has forbidden stays forbidden.
        return torch.where(torch.isneginf(scores), scores, joint)  # type: ignore[return-value]

    @staticmethod
    def _before(tokens: torch.Tensor, blanks: torch.Tensor, token: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
        """
        `(..., states)`: log-probability that a prefix which ends in `last` was said before each state, and `token` may
        begin there: after itself only behind a blank. All are broadcast.
        """
        said = torch.where((token == last).unsqueeze(-1), blanks, torch.logaddexp(tokens, blanks))
        # Before the first state nothing but the empty prefix was said.
        first = torch.zeros_like(said[..., :1]).masked_fill((last >= 0).unsqueeze(-1), -torch.inf)
        return torch.cat([first, said[..., :-1]], dim=-1)

    def _longer(
        self, source: torch.Tensor, tokens: torch.Tensor, blanks: torch.Tensor, last: torch.Tensor
    ) -> torch.Tensor:
        """`(rows, vocab)`: log-probability of all that begins with the prefix and one token more."""
        vocab = torch.arange(self.log_probabilities.shape[1], device=last.device)
        before = self._before(tokens.unsqueeze(1), blanks.unsqueeze(1), vocab, last.unsqueeze(1))
        begins = before + self.log_probabilities[source]
        return begins.masked_fill(~self.real[source].unsqueeze(1), -torch.inf).logsumexp(-1)

    def _prefix(self, prefix: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """`(states,)`, `(states,)` and one number, as in `known`."""
        found = self.known.get(prefix)
        if found is not None:
            return found
        source, *said = prefix
        if not said:
            blanks = self.sums[source, self.blank]
            found = torch.full_like(blanks, -torch.inf), blanks, blanks.new_zeros(())
        else:
            found = self._extended(source, self._prefix(prefix[:-1]), said)
        self.known[prefix] = found
        return found

    def _extended(
        self, source: int, shorter: tuple[torch.Tensor, torch.Tensor, torch.Tensor], said: list[int]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        tokens, blanks, _ = shorter
        token, before_it = said[-1], said[-2] if len(said) > 1 else -1
        if token == self.blank or token in self.ends:
            nothing = torch.full_like(tokens, -torch.inf)
            return nothing, nothing, tokens.new_zeros(())
        before = self._before(tokens, blanks, *torch.tensor([token, before_it], device=tokens.device))
        mine = self._run(self.log_probabilities[source, token], self.sums[source, token], before)
        silence = self._run(
            self.log_probabilities[source, self.blank],
            self.sums[source, self.blank],
            torch.cat([mine.new_full((1,), -torch.inf), mine[:-1]]),
        )
        begins = before + self.log_probabilities[source, token]
        whole = begins.masked_fill(~self.real[source], -torch.inf).logsumexp(-1)
        return mine, silence, whole

    @staticmethod
    def _run(log_probabilities: torch.Tensor, sums: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
        """r_t = p_t (r_(t-1) + b_t) for all t, in logs and `(states,)`: r_t = P_t sum_(s <= t) b_s / P_(s-1)."""
        earlier = sums - log_probabilities
        return sums + torch.logcumsumexp(before - earlier, dim=-1)


__all__ = ["CTCPrefixScores", "ctc_loss"]
