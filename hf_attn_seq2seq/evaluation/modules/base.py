# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What the modules that score texts have in common."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import evaluate
from datasets import Features, Value

from hf_attn_seq2seq.evaluation.metrics import METRICS, References, score_corpus


INPUTS = """
Args:
    predictions: list of texts.
    references: for each prediction its reference, or the list of its references.
Returns:
    the score under the metric's name, in percent, and how it was computed under `<name>_signature`.
"""


# Abstract, because evaluate takes the first concrete metric that it finds in a module, imported ones too.
class TextMetric(evaluate.Metric, ABC):
    """A metric of `metrics.METRICS` as a module; the configuration is the target language, where one is named."""

    @property
    @abstractmethod
    def metric(self) -> str:
        """Its name in `metrics.METRICS`."""

    def _info(self) -> evaluate.MetricInfo:
        text = Value("string")
        return evaluate.MetricInfo(
            description=METRICS[self.metric].title,
            citation="",
            inputs_description=INPUTS,
            features=[
                Features({"predictions": text, "references": [text]}),
                Features({"predictions": text, "references": text}),
            ],
        )

    def _compute(self, *, predictions: Sequence[str], references: References) -> dict[str, Any]:
        language = None if self.config_name == "default" else self.config_name
        score = score_corpus(predictions, references, [self.metric], target_language=language)[self.metric]
        return {self.metric: score.value, f"{self.metric}_signature": score.signature}


def text_metric(module: str) -> type[TextMetric]:
    """The metric that the module is named after: `evaluate` copies its file elsewhere, under the same name."""
    name = module.rpartition(".")[2]
    words = "".join(part.capitalize() for part in name.split("_"))  # `evaluate` makes the name of the class's
    return type(words, (TextMetric,), {"metric": name, "__module__": module})
