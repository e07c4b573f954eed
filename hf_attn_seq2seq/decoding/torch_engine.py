# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The engine of whatever has `generate()`: models of this package and of Transformers, ensembles, exported models."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from hf_attn_seq2seq.decoding.attending import evaluating, generate_attending
from hf_attn_seq2seq.decoding.engines import Hypotheses, generation_setting
from hf_attn_seq2seq.decoding.readout import Readout, readout_of
from hf_attn_seq2seq.decoding.scores import SearchScores


class TorchEngine:
    """Searches with `model.generate`, on any device."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model

    @property
    def name(self) -> str:
        return "torch"

    @property
    def config(self) -> Any:
        return self.model.config

    @property
    def generation_config(self) -> Any:
        return self.model.generation_config

    def name_for(self, options: Mapping[str, Any]) -> str:
        return self.name

    def readout(self) -> Readout:
        return readout_of(self.model)

    @torch.no_grad()
    def search(
        self,
        input_ids: np.ndarray | None = None,
        attention_mask: np.ndarray | None = None,
        *,
        layer: int | None = None,
        scores: bool = False,
        **generate_options: Any,
    ) -> Hypotheses:
        """See [`Engine`]. Arrays among the options are further inputs of the model, such as `token_type_ids`."""
        sources = {
            name: np.asarray(value)
            for name, value in (("input_ids", input_ids), ("attention_mask", attention_mask))
            if value is not None
        }
        given = {
            name: torch.from_numpy(value).to(self.model.device)
            for name, value in {**sources, **generate_options}.items()
            if isinstance(value, np.ndarray)
        }
        options = {name: value for name, value in generate_options.items() if name not in given}
        options["return_dict_in_generate"] = True
        search = SearchScores(self.model, options)
        several = generation_setting(self.model, options, "num_return_sequences", 1) > 1
        if scores or several:
            options = search.all_options()
        with evaluating(self.model):
            if layer is None:
                outputs, weights = self.model.generate(**given, **options), None  # type: ignore[operator]
            else:
                outputs, weights = generate_attending(self.model, given, layer, **options)
        sequences = outputs.sequences.cpu().numpy()
        return Hypotheses(
            sequences,
            np.array(search.of(outputs)) if scores else None,
            np.array(search.found(outputs)) if several else np.ones(len(sequences), dtype=bool),
            None if weights is None else weights.numpy(),
        )
