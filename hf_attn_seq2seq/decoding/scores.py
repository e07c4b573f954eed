# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The scores of the sequences that `generate()` returns, as computed by its search."""

from collections.abc import Mapping
from typing import Any

import torch
from transformers import PreTrainedModel, StoppingCriteria
from transformers.utils import ModelOutput

from hf_attn_seq2seq.decoding.engines import generation_setting


_IMPOSSIBLE = -1e8  # a sum of log-probabilities that no tokens of a model have


class SearchScores(StoppingCriteria):
    """
    Observes one run of `generate()`, and never stops it.

    `generate()` returns scores only together with those of all tokens at all steps, which take gigabytes. This class
    keeps what it needs from each step and frees the rest.

    A score is the sum of the log-probabilities of the chosen tokens, including the end token, divided by their number
    ** `length_penalty`. Beam search applies logits processors to log-probabilities, so a forced token costs nothing.
    Greedy search and sampling choose by the softmax of the processed logits, so that softmax counts (as in
    Transformers' `compute_transition_scores(normalize_logits=True)`).
    """

    def __init__(self, model: PreTrainedModel, options: Mapping[str, Any]) -> None:
        """
        Args:
            model: The model whose `generate` will be called.
            options: Its keyword arguments.
        """
        self.model, self.options = model, options
        self.chosen: list[torch.Tensor | None] = []  # (batch,) per step; None in beam search, which adds up itself

    def all_options(self) -> dict[str, Any]:
        """The keyword arguments to call `generate` with."""
        others = self.options.get("stopping_criteria") or []
        return {**self.options, "output_scores": True, "stopping_criteria": [*others, self]}

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:  # type: ignore[override]
        self._listen(input_ids, scores or ())
        return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)

    def _listen(self, tokens: torch.Tensor, scores: tuple[torch.Tensor, ...]) -> None:
        """Process the newest steps: `(rows, length)` tokens, the last of each row chosen by the last scores."""
        for step in range(len(self.chosen), len(scores)):
            rows = scores[step]  # (rows, vocab)
            if len(rows) == len(tokens):
                newest = tokens[:, tokens.shape[1] - len(scores) + step, None]
                self.chosen.append(rows.float().log_softmax(-1).gather(1, newest)[:, 0])
            else:  # beam search considers several continuations of each beam
                self.chosen.append(None)
            if not self.options.get("stopping_criteria"):  # others may need earlier scores
                rows.set_()  # type: ignore[call-overload]

    def of(self, outputs: ModelOutput) -> list[float]:
        """The score of each sequence that the run returned."""
        added_up = getattr(outputs, "sequences_scores", None)
        if added_up is not None:
            return added_up.tolist()
        self._listen(outputs["sequences"], outputs["scores"])
        chosen = torch.stack([step for step in self.chosen if step is not None], dim=1)
        tokens = outputs["sequences"][:, -chosen.shape[1] :]
        real = self._real(tokens)
        penalty = self._setting("length_penalty", 1.0)
        return (chosen.masked_fill(~real, 0.0).sum(1) / real.sum(1).clamp(min=1) ** penalty).tolist()

    def found(self, outputs: ModelOutput) -> list[bool]:
        """
        Of each sequence whether the search found it.

        Where fewer hypotheses are possible than beams, Transformers returns as many nevertheless: what fills them up
        has a log-probability of -1e9 or less.
        """
        added_up = getattr(outputs, "sequences_scores", None)
        if added_up is None:
            return [True] * len(outputs["sequences"])
        lengths = (outputs["beam_indices"] >= 0).sum(1).clamp(min=1)
        return (added_up * lengths ** self._setting("length_penalty", 1.0) > _IMPOSSIBLE).tolist()

    def _real(self, tokens: torch.Tensor) -> torch.Tensor:
        """A mask of the `(batch, steps)` tokens that the search chose, without padding after the end of a row."""
        ends = torch.as_tensor(self._setting("eos_token_id", []), device=tokens.device).reshape(-1)
        is_end = torch.isin(tokens, ends).long()
        real = is_end.cumsum(1) - is_end == 0  # no end token came before
        padding = self._setting("pad_token_id", ends[0] if len(ends) else None)
        if padding is None or not (self.options.get("stopping_criteria") or self._setting("stop_strings", None)):
            return real
        # Rows may have ended without an end token: trailing padding was not chosen.
        something_follows = (tokens != padding).long().flip(1).cumsum(1).flip(1) > 0  # here or later
        return real & (something_follows | is_end.bool())

    def _setting(self, name: str, usual: Any) -> Any:
        return generation_setting(self.model, self.options, name, usual)
