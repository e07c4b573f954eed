# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What is checked of a trace, and how closely: [`verify_trace`] compares here, and the live page by the same rules."""

from __future__ import annotations

import math
import sys
from typing import Any, NamedTuple

import numpy as np

from hf_attn_seq2seq.configuration_attn_seq2seq import ATTENTION_NORMALIZERS


# Traces are stored in single precision, so a run in double precision is no more accurate.
EPS = {"float32": 2.0**-23, "float64": 2.0**-23, "bfloat16": 2.0**-7, "float16": 2.0**-10}
ROUNDINGS, ROUNDINGS_OF_LAYERS = 4, 16
MARGIN = 32
FORMULA = 8  # terms in a formula that is not a sum, such as that of a gate

# What is compared of the numbers in the trace alone, by the name of the check and what tells its cases apart. The live
# page compares the same (frontend/src/live/checks.js), and takes these sentences from here.
SAID = {
    "self_attention": "self-attention: softmax(scores / sqrt(d_k)) gives the weights",
    "encoder_gates": "encoder: gates give the next state",
    "decoder_gates": "decoder: gates give the next state",
    "carry": "each step starts from the state that the previous step left",
    "carry.between": "the second cell starts from the state that the first one left",
    "start": "the first step starts from the initial state",
    "mixer_mean": "decoder: the sum of the inputs so far, divided by their number, gives their mean",
    "sums": "the weights of a step sum to 1",
    "edited": "the edited step uses the requested weights",
    "scores": "terms of query and key add up to the scores",
    "scaling": "scores times the scaling give the scaled scores",
    **{f"normalizer.{name}": f"{name}(scores) gives the weights" for name in ATTENTION_NORMALIZERS},
    "normalizer.selection": "selection over scores gives the weights",
    "context": "weights times values add up to the context",
    "heads": "the concatenated heads are the context",
    "query_row": "a row of the matrix times the state gives a number of each query",
    "key_row": "a row of the matrix times the state gives a number of each key",
    "joining_row": "a row of the matrix times the concatenated heads gives a number of each context",
    "encoder_rows": "encoder: rows of the matrices times input and state give a number of each gate",
    "decoder_rows": "decoder: rows of the matrices times input and state give a number of each gate",
    "bridge_row": "a row of the matrix times what the bridge reads gives a number of the initial state",
    "readout_row": "a row of the matrix times state and context gives a number of what the output layer reads",
    "copy_weights": "the mean of the heads is what the pointer copies by",
    "p_gen": "the sigmoid of the gate is p_gen",
    "copied": "the weights of a word's places add up to what is copied",
    "written": "exp(logit - log sum exp) gives what is written",
    "mixture": "p_gen written + (1 - p_gen) copied gives p",
    "probability": "logit - log sum exp gives log p",
    "mass": "candidates and the rest sum to 1",
    "choice": "the best candidate is the choice",
    "fed": "each step reads the previous choice",
    "logits": "rows of the output layer times its input give the logits",
    "beam_sums": "log p along a beam adds up to its sum",
    "beam_scores": "sum / length ^ penalty is the score",
    "beam_kept": "no dropped beam is better than a kept one",
    "beam_result": "the best beam's score is the result's",
    "repeat": "the run repeated with its tokens given gives the same logits",  # on the live page alone
}


def bound(dtype: str, terms: float, whole_layers: bool = False) -> float:
    """
    The largest rounding error to expect in a number, relative to the size of the numbers that it is computed from.

    A sum of n terms in single precision has an error of about sqrt(n) times eps = 2^-23, because rounding errors are
    positive as often as negative (Higham and Mary 2019, "A new approach to probabilistic rounding error analysis",
    theorem 2.4). Different orders of addition on different processors have errors of the same size. The factor 32
    leaves room for terms that are larger than their sum. A 16-bit type adds its eps for each result that is rounded to
    it: 4 times, or 16 times through whole layers.

    Args:
        dtype: The data type of the run; types other than torch's four float types count as float32.
        terms: Number of products and sums between the recorded and the compared numbers.
        whole_layers: Whether there are whole layers in between.
    """
    eps = EPS.get(dtype, EPS["float32"])
    roundings = ROUNDINGS_OF_LAYERS if whole_layers else ROUNDINGS
    return roundings * eps + MARGIN * EPS["float32"] * math.sqrt(terms)


def told_rules(model_terms: int) -> dict[str, Any]:
    """
    What the live page is told: the sentences, and what its bounds are made of.

    Args:
        model_terms: The number of terms between a run of the whole model and its repetition.
    """
    return {
        "said": SAID,
        "eps": EPS["float32"],
        "roundings": ROUNDINGS,
        "roundings_of_layers": ROUNDINGS_OF_LAYERS,
        "margin": MARGIN,
        "formula": FORMULA,
        "model_terms": model_terms,
    }


class Check(NamedTuple):
    """
    One comparison.

    Attributes:
        largest_difference: The largest of all differences, each divided by the size of its number if that is above 1.
        tolerance: The largest expected rounding error: [`bound`] of the number of summed terms.
        compared: Number of numbers compared.
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
        why = "Each bound is the largest rounding error to expect between the compared numbers."
        return "\n".join([*lines, f"{verdict} {why}"])


class Checks:
    """Collects comparisons; those with the same name become one check, with the largest of their bounds."""

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
            recomputed, recorded: Numbers of the same shape.
            terms: Number of summed terms, for [`bound`].
            size: Size of the summed numbers, if they are larger than their sum; broadcast to the shape.
            whole_layers: Whether there are whole layers in between.
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

    def told(self, case: str, *numbers: Any, **options: Any) -> None:
        """[`compare`] for an entry of [`SAID`]."""
        self.compare(case.partition(".")[0], SAID[case], *numbers, **options)

    def finished(self) -> list[Check]:
        return list(self.found.values())


__all__ = ["FORMULA", "SAID", "Check", "Checks", "Verification", "bound", "told_rules"]
