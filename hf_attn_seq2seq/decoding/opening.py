# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Opening models for translation: what is asked of them before they are loaded, and the choice of the engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from hf_attn_seq2seq.decoding.engines import Engine


class Opening(NamedTuple):
    """Models whose settings have been read and checked, and whose weights have not."""

    names: list[str]  # of models that form an ensemble, or of one
    device: str | None
    dtype: str
    engine: str  # "graph" or "torch"
    tokenizer: Any
    configs: list[Any]  # one per name
    generation_config: Any  # of the first

    def open(self, threads: int | None = None) -> Engine:
        """
        Load the models.

        Args:
            threads: Of the graph, for one run; None: as many as the processor has cores.

        Raises:
            ValueError: A file is missing or damaged, or files do not belong together.
        """
        from hf_attn_seq2seq.decoding.loading import load_translator
        from hf_attn_seq2seq.decoding.torch_engine import TorchEngine

        return TorchEngine(load_translator(self.names, self.device, self.dtype).model)


def prepare(names: Sequence[str], device: str | None = None, dtype: str = "auto") -> Opening:
    """
    Read and check the settings of models.

    Args:
        names: Folders, names of models included in this package, or names on the Hub.
        device: Such as "cpu" or "cuda:1"; None: a GPU if available.
        dtype: As for `load`.

    Raises:
        ValueError: A model does not exist or cannot be used.
    """
    from hf_attn_seq2seq.decoding.loading import load_tokenizer, pick_device, read_config, read_generation_config

    pick_device(device)
    tokenizer = load_tokenizer(names)
    configs = [read_config(name) for name in names]
    generation = read_generation_config(names[0], configs[0])
    return Opening(list(names), device, dtype, "torch", tokenizer, configs, generation)
