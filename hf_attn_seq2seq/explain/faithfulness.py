# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Does attention show what the model used? Several views, side by side and without a verdict.

Each view states what it can and cannot say: high weights do not prove a cause (Jain and Wallace 2019, "Attention is
not Explanation"), and none of the other views is a ground truth by which attention could be graded.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hf_attn_seq2seq.decoding.attending import evaluating
from hf_attn_seq2seq.explain.chapters import token_label
from hf_attn_seq2seq.explain.document import Trace
from hf_attn_seq2seq.explain.kinds import KINDS, UNTOLD, AttentionKind
from hf_attn_seq2seq.explain.sentences import entropy
from hf_attn_seq2seq.explain.tracing import package_model
from hf_attn_seq2seq.explain.worked import linear_weight
from hf_attn_seq2seq.messages import quoted


SHARES = (0.1, 0.2, 0.5)  # shares of the tokens: in a sentence, less than a tenth would be the same single token
ORDERS = 4  # random orders for comparison
MAX_LOGITS = 2**26  # numbers in one batch of logits
AGREES = {"float32": 1e-3, "float64": 1e-6}  # log p of the trace and of the model; half precision: see below
AGREES_HALF = 0.1

Erase = Literal["remove", "mask"]


@dataclass(frozen=True)
class View:
    """
    One measure of importance.

    Attributes:
        title: Its name.
        formula: What was computed.
        values: `(T, S)`, one number per step and source token, or `(T,)`; NaN if undefined.
        says: What it can say.
        cannot_say: What it cannot say.
    """

    title: str
    formula: str
    values: np.ndarray
    says: str
    cannot_say: str


@dataclass(frozen=True)
class Faithfulness:
    """
    The views of one trace.

    Attributes:
        source: Labels of the S source tokens.
        target: Labels of the T steps.
        layer: The layer whose attention is used; None without attention.
        head: The head of that layer; None: all.
        erase: How tokens were erased.
        views: By name: `weights`, `weighted_norm`, `erasure`, `gradient_x_input` `(T, S)`; `entropy`,
            `comprehensiveness`, `sufficiency`, and the latter two for random tokens, `..._chance` `(T,)`.
        absent: Views that are not available for this model, with the reason.
    """

    source: list[str]
    target: list[str]
    layer: int | None
    head: int | None
    erase: str
    views: dict[str, View]
    absent: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; None for missing numbers."""
        views = {name: {**vars(view), "values": _plain(view.values)} for name, view in self.views.items()}
        return {**vars(self), "views": views}


def faithfulness(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    trace: Trace,
    *,
    layer: int = -1,
    head: int | None = None,
    erase: Erase = "remove",
    shares: Sequence[float] = SHARES,
    batch_size: int = 64,
    seed: int = 0,
) -> Faithfulness:
    """
    Compute several measures of importance for a trace. The chosen words are kept; only their probability is
    recomputed, given the same preceding words.

    Args:
        model: The traced model.
        tokenizer: The model's tokenizer.
        trace: A run with greedy search, beam search or a forced target.
        layer: Index among the decoder layers with attention.
        head: Head of that layer, counted from 0; None: the mean of all.
        erase: "remove" deletes a source token, so the following tokens move up; "mask" keeps its position but hides
            it. For models of this package both are equivalent.
        shares: Shares of the tokens used for comprehensiveness and sufficiency.
        batch_size: Number of sources per batch; fewer if the logits would be large.
        seed: Random seed of the random orders.

    Raises:
        ValueError: The trace has edited weights or heads, the model is not the traced one, the layer or head does not
            exist, or another argument is out of range.
    """
    if erase not in ("remove", "mask"):
        raise ValueError(f"erase={quoted(erase)} is unknown: choose 'remove' or 'mask'.")
    if not shares or not all(0 < share <= 1 for share in shares):
        raise ValueError(f"shares={quoted(shares)} must be numbers above 0 and at most 1.")
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size} must be at least 1.")
    if trace.edited:
        what = " and ".join(trace.edited)
        raise ValueError(f"The {what} of this run were edited, so the model cannot reproduce it: use its parent.")
    attended = trace.attended(layer) if trace.layers else None
    run = _Rerun(model, tokenizer, trace, erase, batch_size)
    views: dict[str, View] = {}
    absent: dict[str, str] = {}
    with evaluating(model):
        kept = run.log_probabilities([frozenset()])[0]
        _check_model(trace, kept)
        if attended is None:
            why = "there are no attention weights"
            names = ("weights", "entropy", "weighted_norm", "comprehensiveness", "sufficiency")
            absent.update(dict.fromkeys(names, why))
        else:
            weights = trace.weights(layer, head).astype(np.float64)
            views["weights"] = _weights_view(weights)
            views["entropy"] = _entropy_view(weights)
            norms = weighted_norms(trace, model, attended, head)
            if norms is None:
                absent["weighted_norm"] = "this model does not return its values"
            else:
                kind = KINDS.get(trace.document["attention"]["type"], UNTOLD)
                views["weighted_norm"] = _norm_view(norms, kind)
        views["erasure"] = _erasure_view(kept, run)
        views["gradient_x_input"] = _gradient_view(run.gradient_x_input())
        if attended is not None:
            if run.ordinary:
                views.update(_rationale_views(weights, kept, run, shares, seed))
            else:
                why = "the source has only special tokens"
                absent.update(dict.fromkeys(("comprehensiveness", "sufficiency"), why))
    source, target = (list(map(token_label, trace.document[side]["tokens"])) for side in ("source", "target"))
    return Faithfulness(source, target, attended, head, erase, views, absent)


def _check_model(trace: Trace, log_probabilities: np.ndarray) -> None:
    recorded = [step["choice"]["log_probability"] for step in trace.document["steps"]]
    tolerance = AGREES.get(trace.document["run"]["dtype"], AGREES_HALF)
    if not np.allclose(log_probabilities, recorded, rtol=tolerance, atol=tolerance):
        raise ValueError("This model gives the traced words different probabilities: give the model that was traced.")


# --------------------------------------------------------------------------------------------------------------------
# From the trace
# --------------------------------------------------------------------------------------------------------------------


def weighted_norms(trace: Trace, model: PreTrainedModel, layer: int, head: int | None = None) -> np.ndarray | None:
    """
    ||a_j f(x_j)||, the length of each source token's contribution to the context (Kobayashi et al. 2020, "Attention is
    Not Only a Weight", section 3), with f(x_j) = v_j W^O if there is an output projection, without its bias. For all
    heads together it is the length of their sum or, if heads are concatenated, of their concatenation.

    Args:
        trace: A trace with values.
        model: The traced model, which has W^O.
        layer: A layer with attention.
        head: None: all.

    Returns:
        `(T, S)`; None if the trace has no values.
    """
    values = trace.arrays.get(f"attention.{layer}.values")
    if values is None:
        return None
    made = values.astype(np.float64)  # heads x src_len x dim
    weights = trace.arrays[f"attention.{layer}.weights"].astype(np.float64)  # steps x heads x src_len
    heads, _, dim = made.shape
    projected = trace.document["attention"]["type"] == "multi_head"
    if projected:
        stack = package_model(model).model.decoder.stack
        recurrent = trace.document["decoder"]["type"] != "transformer"
        attention = stack.steps.attention if recurrent else stack.layers[layer].cross_attention
        matrix = linear_weight(attention.output_projection).double().cpu().numpy()  # hidden x (heads * dim)
        made = np.einsum("hsd,ohd->hso", made, matrix.reshape(-1, heads, dim))
    if head is not None:
        weights, made = weights[:, [head]], made[[head]]
    if projected:
        return np.stack([np.linalg.norm(np.einsum("hs,hso->so", row, made), axis=-1) for row in weights])
    return np.sqrt(np.einsum("ths,hs->ts", weights**2, (made**2).sum(-1)))


# --------------------------------------------------------------------------------------------------------------------
# From running the model again
# --------------------------------------------------------------------------------------------------------------------


class _Rerun:
    """Recomputes the traced words with tokens erased from the source."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        trace: Trace,
        erase: str,
        batch_size: int,
    ) -> None:
        self.model, self.erase = model, erase
        tokens = trace.document["source"]["tokens"]
        steps = trace.document["steps"]
        self.source = [token["id"] for token in tokens]
        self.ordinary = [index for index, token in enumerate(tokens) if not token["special"]]
        self.fed = torch.tensor([[step["fed"]["id"] for step in steps]], device=model.device)
        self.chosen = torch.tensor([[step["choice"]["id"] for step in steps]], device=model.device)
        pad = tokenizer.pad_token_id
        self.pad = self.source[0] if pad is None else pad
        vocabulary = getattr(model.config, "decoder_vocab_size", None) or model.config.get_text_config().vocab_size
        self.rows = max(1, min(batch_size, MAX_LOGITS // (len(steps) * vocabulary)))

    @torch.no_grad()
    def log_probabilities(self, erased: Sequence[frozenset[int]]) -> np.ndarray:
        """
        log p of each chosen word, given the preceding words and the source without some of its tokens.

        Args:
            erased: Sets of source positions.

        Returns:
            `(len(erased), T)`, NaN if nothing is left of the source.
        """
        made = np.full((len(erased), self.fed.shape[1]), np.nan)
        possible = [row for row, positions in enumerate(erased) if len(positions) < len(self.source)]
        for start in range(0, len(possible), self.rows):
            rows = possible[start : start + self.rows]
            inputs = self._inputs([erased[row] for row in rows])
            made[rows] = self._log_p(**inputs).cpu().numpy()
        return made

    def _inputs(self, erased: Iterable[frozenset[int]]) -> dict[str, torch.Tensor]:
        kept = [[index not in positions for index in range(len(self.source))] for positions in erased]
        if self.erase == "mask":
            ids, mask = [self.source] * len(kept), kept
        else:
            ids = [[token for token, stays in zip(self.source, row) if stays] for row in kept]
            width = max(map(len, ids))
            mask = [[True] * len(row) + [False] * (width - len(row)) for row in ids]
            ids = [[*row, *[self.pad] * (width - len(row))] for row in ids]
        device = self.model.device
        return {
            "input_ids": torch.tensor(ids, device=device),
            "attention_mask": torch.tensor(mask, device=device).long(),
        }

    def _log_p(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """`(rows, T)` of `(rows, src_len)`."""
        rows = len(input_ids)
        logits = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            decoder_input_ids=self.fed.expand(rows, -1),
            use_cache=False,
        ).logits
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        chosen = logits.gather(-1, self.chosen.expand(rows, -1).unsqueeze(-1)).squeeze(-1)
        return chosen - logits.logsumexp(-1)

    def gradient_x_input(self) -> np.ndarray:
        """`(T, S)`: the gradient of each log p with respect to a source token's embedding, times that embedding."""
        tgt_len = self.fed.shape[1]
        found = []
        for start in range(0, tgt_len, self.rows):
            # One copy of the source per step, so that one backward pass gives all gradients.
            steps = torch.arange(start, min(start + self.rows, tgt_len), device=self.model.device)
            inputs = self._inputs([frozenset()] * len(steps))
            # cuDNN does not compute gradients of recurrent layers in evaluation mode.
            with (
                torch.enable_grad(),
                torch.backends.cudnn.flags(enabled=False),
                _source_embeddings(self.model) as kept,
            ):
                log_p = self._log_p(**inputs)
                total = log_p[torch.arange(len(steps), device=steps.device), steps].sum()
                (gradient,) = torch.autograd.grad(total, kept)
            found.append((gradient * kept[0]).sum(-1).detach().double().cpu())
        return torch.cat(found).numpy()


@contextmanager
def _source_embeddings(model: PreTrainedModel) -> Iterator[list[torch.Tensor]]:
    """Inside this context the list collects the source embeddings `(rows, src_len, embedding)` as gradient leaves."""
    kept: list[torch.Tensor] = []

    def keep(module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        if kept:  # the decoder's, if both sides share a table
            return output
        kept.append(output.detach().requires_grad_())
        return kept[0]

    handle = model.get_encoder().get_input_embeddings().register_forward_hook(keep)
    try:
        yield kept
    finally:
        handle.remove()


def _rationale_views(
    weights: np.ndarray, kept: np.ndarray, run: _Rerun, shares: Sequence[float], seed: int
) -> dict[str, View]:
    """Comprehensiveness and sufficiency of the tokens with the most weight, and of random ones."""
    ordinary = np.array(run.ordinary)
    counts = [math.ceil(share * len(ordinary)) for share in shares]
    by_weight = [ordinary[np.argsort(-row[ordinary], kind="stable")] for row in weights]
    random = np.random.default_rng(seed)
    by_chance = [random.permutation(ordinary) for _ in range(ORDERS)]  # the same for all steps
    everything = frozenset(run.ordinary)
    rows: dict[frozenset[int], int] = {}  # many steps need the same set

    def row_of(positions: Iterable[int]) -> int:
        return rows.setdefault(frozenset(map(int, positions)), len(rows))

    def asked(order: np.ndarray, without: bool) -> list[int]:
        tops = [frozenset(map(int, order[:count])) for count in counts]
        return [row_of(top if without else everything - top) for top in tops]

    plan = {
        without: (
            [asked(order, without) for order in by_weight],
            [row for order in by_chance for row in asked(order, without)],
        )
        for without in (True, False)
    }
    probabilities = np.exp(run.log_probabilities(list(rows)))  # sets x steps
    before = np.exp(kept)
    views = {}
    for without, (weighed, drawn) in plan.items():
        values = np.array([before[step] - probabilities[sets, step].mean() for step, sets in enumerate(weighed)])
        chance = before - probabilities[drawn].mean(0)
        views.update((_comprehensiveness_views if without else _sufficiency_views)(values, chance, shares))
    return views


# --------------------------------------------------------------------------------------------------------------------
# The words of each view
# --------------------------------------------------------------------------------------------------------------------


def _weights_view(values: np.ndarray) -> View:
    return View(
        "attention weight",
        "a_j",
        values,
        "How much of each source token's value went into the context of this step.",
        "Whether the model would have chosen differently without it: other weights can lead to the same word, and a "
        "token's value also contains information about its neighbours.",
    )


def _entropy_view(weights: np.ndarray) -> View:
    return View(
        "entropy of the weights",
        "-sum_j a_j log2 a_j, in bits",
        entropy(weights),
        f"How widely the step looks: 0 bits is one token, {math.log2(weights.shape[1]):.2f} bits is all equally.",
        "Whether it looks at the right token: narrow attention can be wrong, and wide attention can be right.",
    )


def _norm_view(values: np.ndarray, kind: AttentionKind) -> View:
    return View(
        "weighted norm",
        "||a_j v_j W^O||" if kind.projects else f"||a_j {kind.value}_j||",
        values,
        "How much each token contributes to the context: a large weight on a short vector contributes little, as is "
        "often the case for the end token (Kobayashi et al. 2020).",
        "What the following layers do with the contribution, or its direction.",
    )


def _erasure_view(kept: np.ndarray, run: _Rerun) -> View:
    without = run.log_probabilities([frozenset([index]) for index in range(len(run.source))])  # src_len x steps
    return View(
        "erasure",
        "log p(word | source) - log p(word | source without token j)",
        kept[:, None] - without.T,
        "What the model does without the token: above 0, the token made the chosen word more probable.",
        "What happens if either of two tokens suffices; also, a source with a gap differs from the training data.",
    )


def _gradient_view(values: np.ndarray) -> View:
    return View(
        "gradient x input",
        "e_j . d log p(word) / d e_j",
        values,
        "How log p starts to change as the token's embedding grows: above 0, the token supports the word.",
        "What happens without the token: a gradient is a local slope, and close to 0 if the model is certain.",
    )


def _comprehensiveness_views(values: np.ndarray, chance: np.ndarray, shares: Sequence[float]) -> dict[str, View]:
    return _with_chance(
        View(
            "comprehensiveness",
            f"p(word) - p(word | without the top {_percent(shares)}), mean",
            values,
            "How much probability the word loses without the tokens with the most weight (DeYoung et al. 2020).",
            "Which of them mattered, or whether others matter as much: compare with random tokens.",
        ),
        chance,
        shares,
    )


def _sufficiency_views(values: np.ndarray, chance: np.ndarray, shares: Sequence[float]) -> dict[str, View]:
    return _with_chance(
        View(
            "sufficiency",
            f"p(word) - p(word | the top {_percent(shares)} and special tokens alone), mean",
            values,
            "How much probability the word loses if only the tokens with the most weight are kept: near 0, they "
            "suffice.",
            "Whether they are needed; also, a source of a few separate tokens differs from the training data.",
        ),
        chance,
        shares,
    )


def _with_chance(view: View, chance: np.ndarray, shares: Sequence[float]) -> dict[str, View]:
    """A view, and the same view for random tokens."""
    drawn = View(
        f"{view.title} of random tokens",
        f"the same, for {_percent(shares)} chosen at random, mean of {ORDERS} samples",
        chance,
        f"A baseline for {view.title}: if they are equal, the weights selected no better than chance.",
        "An exact value: it is the mean of a few random samples.",
    )
    return {view.title: view, f"{view.title}_chance": drawn}


def _percent(shares: Sequence[float]) -> str:
    return ", ".join(f"{share:.0%}" for share in shares)


def _plain(values: np.ndarray) -> list[Any]:
    return np.where(np.isnan(values), None, values).tolist()


# --------------------------------------------------------------------------------------------------------------------
# In the terminal
# --------------------------------------------------------------------------------------------------------------------


def print_faithfulness(console: Console, result: Faithfulness, step: int | None = None, plain: bool = False) -> None:
    """
    Print the views side by side, followed by what each can and cannot say.

    Args:
        console: The console to print to.
        result: The result of [`faithfulness`].
        step: Counted from 0: a table of its source tokens. None: the largest source token of each view and step.
        plain: Whether to use only ASCII characters, without colour.

    Raises:
        ValueError: The step does not exist.
    """
    if step is not None and not 0 <= step < len(result.target):
        raise ValueError(f"There is no step {step}: this run has {len(result.target)}, counted from 0.")
    by_token = {name: view for name, view in result.views.items() if view.values.ndim == 2}
    by_step = {name: view for name, view in result.views.items() if view.values.ndim == 1}
    table = Table(box=box.ASCII if plain else box.SIMPLE_HEAD, header_style="" if plain else "bold")
    if step is None:
        table.add_column("word", overflow="fold")  # the mark of truncated text is not ASCII
        for view in (*by_token.values(), *by_step.values()):
            table.add_column(view.title, justify="right", overflow="fold")
        for index, word in enumerate(result.target):
            largest = [_largest(view.values[index], result.source) for view in by_token.values()]
            table.add_row(Text(word), *largest, *(_number(view.values[index]) for view in by_step.values()))
    else:
        console.print(Text(f"step {step + 1}: {result.target[step]}"))
        table.add_column("source", overflow="fold")
        for view in by_token.values():
            table.add_column(view.title, justify="right", overflow="fold")
        for index, word in enumerate(result.source):
            table.add_row(Text(word), *(_number(view.values[step, index]) for view in by_token.values()))
    console.print(table)
    if step is not None:
        for view in by_step.values():
            console.print(f"{view.title}: {_number(view.values[step])}", highlight=False)
    for view in result.views.values():
        console.print(Text(f"{view.title} = {view.formula}. {view.says} It cannot say: {view.cannot_say}"))
    for why in dict.fromkeys(result.absent.values()):
        names = [name.replace("_", " ") for name, reason in result.absent.items() if reason == why]
        console.print(Text(f"Not available, because {why}: {', '.join(names)}."))


def _largest(row: np.ndarray, source: Sequence[str]) -> Text:
    if np.isnan(row).all():
        return Text("-")
    best = int(np.nanargmax(row))
    return Text(f"{source[best]} {_number(row[best])}")


def _number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3g}"
