# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What several training runs of one recipe, which differ in their seed alone, measure together."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from hf_attn_seq2seq.evaluation.model_card import alignments, score_rows


# Of a run's results; the rest is either the same for all runs, or of the chosen model alone.
_OF_A_RUN = ("seed", "date", "command", "training", "sets", "gold_alignment", "versions", "machine")
_ALIGNMENT_FIGURES = ("aer", "precision", "recall")
_ALIGNMENT_WAYS = ("sentences", "readout", "reverse_readout", "symmetrisation")


def combine_seeds(runs: Sequence[dict[str, Any]], chosen: int) -> dict[str, Any]:
    """The results of one run, and with them those of all runs, in the field `seeds`.

    Args:
        runs: what was measured of each run, as its `results.json` has it.
        chosen: the index of the run whose model the results are of.

    Raises:
        ValueError: the runs were not measured in the same way.
    """
    first = runs[0]
    for run in runs[1:]:
        there, here = _ways(first), _ways(run)
        if differing := [name for name in {**there, **here} if there.get(name) != here.get(name)]:
            raise ValueError(
                f"The models of seed {first['seed']} and seed {run['seed']} were not measured in the same way "
                f"({', '.join(differing)}): evaluate both again."
            )
    together: dict[str, Any] = {
        "count": len(runs),
        "chosen": runs[chosen]["seed"],
        "sets": {name: _set_spread([run["sets"][name] for run in runs]) for name in first["sets"]},
    }
    if "gold_alignment" in first:
        gold = [run["gold_alignment"] for run in runs]
        together["gold_alignment"] = {"file": gold[0]["file"], **_alignment_spread(gold)}
    together["runs"] = [
        {**{name: run[name] for name in _OF_A_RUN if name in run}, "sha256": run["model"]["sha256"]} for run in runs
    ]
    return {**runs[chosen], "seeds": together}


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean, sample standard deviation, lowest and highest of a figure."""
    return {
        "mean": statistics.fmean(values),
        "deviation": statistics.stdev(values),
        "lowest": min(values),
        "highest": max(values),
    }


def _ways(results: dict[str, Any]) -> dict[str, Any]:
    """How each figure was measured: only what was measured in the same way has a mean."""
    ways = {"data": results["data"]["fingerprint"], "evaluation": results["evaluation"]}
    for row in score_rows(results["sets"]):
        ways |= {f"{metric} of {row.title}": score["signature"] for metric, score in row.scores.items()}
    for name, figures in alignments(results).items():
        ways[f"word alignment of {name}"] = [figures.get(way) for way in (*_ALIGNMENT_WAYS, "sha256")]
    return ways


def _set_spread(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The scores of one set, in the form that a run's results have them."""
    first = entries[0]
    together: dict[str, Any] = {"sentences": first["sentences"], "references": first["references"]}
    for part in ("scores", "each_reference"):
        if part in first:
            together[part] = {
                metric: {
                    **spread([entry[part][metric]["value"] for entry in entries]),
                    "signature": score["signature"],
                }
                for metric, score in first[part].items()
            }
    if "alignment" in first:
        together["alignment"] = _alignment_spread([entry["alignment"] for entry in entries])
    return together


def _alignment_spread(figures: Sequence[dict[str, Any]]) -> dict[str, Any]:
    ways = {way: figures[0][way] for way in _ALIGNMENT_WAYS if way in figures[0]}
    return {**ways, **{name: spread([each[name] for each in figures]) for name in _ALIGNMENT_FIGURES}}
