# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The graph of a model whose weights change from one use to the next, as in training."""

import torch
from transformers import PreTrainedModel

from hf_attn_seq2seq.decoding.graph import GraphEngine, GraphProblem
from hf_attn_seq2seq.decoding.loaded import is_altered, why_no_graph_of


class TrainedGraph:
    """
    The graph of a model in training.

    What takes the time, tracing the model and writing the search, depends on its configuration alone and is done once.
    No file is written.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        """
        Args:
            model: One of which [`can_have_graph`] is true.
        """
        from hf_attn_seq2seq.graphs.writer import write_structure

        self.model = model
        self.structure = write_structure(model)  # type: ignore[arg-type]
        self.shapes = self._shapes()

    def _shapes(self) -> dict[str, torch.Size]:
        return {name: weight.shape for name, weight in self.model.named_parameters(remove_duplicate=False)}

    def open(self) -> GraphEngine:
        """
        The engine of the weights that the model has now; for no longer than it keeps them.

        Raises:
            GraphProblem: The model has other parameters than when the graph was written.
            ImportError: ONNX Runtime is not installed.
        """
        if self._shapes() != self.shapes:  # ONNX Runtime would read beyond them
            raise GraphProblem("The graph was written for parameters of other shapes: write it again.")
        parameters = dict(self.model.named_parameters(remove_duplicate=False))
        return GraphEngine.of_weights(
            self.structure.graph,
            {name: parameters[key].detach().numpy() for name, key in self.structure.weights.items()},
            vars(self.model.generation_config),
            torch.get_num_threads(),
        )


def can_have_graph(model: PreTrainedModel) -> bool:
    """Whether a graph gives the translations of this model: on the CPU, in single precision, as its class computes."""
    return why_no_graph_of(model) is None and not any(
        is_altered(module) or type(module).__module__.partition(".")[0] not in ("torch", "hf_attn_seq2seq")
        for module in model.modules()  # adapters are of other packages
    )
