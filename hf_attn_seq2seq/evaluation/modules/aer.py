# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The alignment error rate as a module of the `evaluate` library."""

import evaluate
from datasets import Features, Value

from hf_attn_seq2seq.data.links import from_pharaoh
from hf_attn_seq2seq.evaluation.alignment import alignment_error_rate
from hf_attn_seq2seq.evaluation.gold import gold_from_pharaoh


class Aer(evaluate.Metric):
    """Alignment error rate, precision and recall (Och and Ney 2003), in percent."""

    def _info(self) -> evaluate.MetricInfo:
        links = Value("string")
        return evaluate.MetricInfo(
            description=type(self).__doc__ or "",
            citation="",
            inputs_description="""
Args:
    predictions: for each sentence its links, in the Pharaoh format: "0-0 1-2".
    references: for each sentence its gold links in the same format, possible ones marked with a p: "0-0 1p2".
Returns:
    aer, aer_precision and aer_recall.
""",
            features=Features({"predictions": links, "references": links}),
        )

    def _compute(self, *, predictions: list[str], references: list[str]) -> dict[str, float]:
        gold = [gold_from_pharaoh(links) for links in references]
        scores = alignment_error_rate(
            [from_pharaoh(links) for links in predictions],
            [links.sure for links in gold],
            [links.possible for links in gold],
        )
        return {
            "aer": 100 * scores.error_rate,
            "aer_precision": 100 * scores.precision,
            "aer_recall": 100 * scores.recall,
        }
