# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What searches for translations: one interface, whatever runs the model. Importing this needs no PyTorch."""

from __future__ import annotations

import importlib.util
import logging
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from hf_attn_seq2seq.decoding.names import ENGINES
from hf_attn_seq2seq.messages import shortened


if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from hf_attn_seq2seq.decoding.readout import Readout

logger = logging.getLogger(__name__)


class Hypotheses(NamedTuple):
    """What the search found for a batch: `returned` hypotheses of each source, best first."""

    sequences: np.ndarray  # (batch * returned, length) int64: from the start token on, with padding on the right
    scores: np.ndarray | None  # (batch * returned,): as defined by `decoding.scores`
    found: np.ndarray  # (batch * returned,) bool: False for what fills up where there are fewer hypotheses
    attentions: np.ndarray | None  # (batch * returned, heads, steps, src_len): row t chose the t-th new token


class Engine(Protocol):
    """Runs one model, or an ensemble."""

    @property
    def name(self) -> str:
        """ "graph" or "torch"."""

    @property
    def config(self) -> Any:
        """Has the fields of the model's configuration as attributes, `vocab_size` for example."""

    @property
    def generation_config(self) -> Any:
        """Has the settings of the search as attributes: those saved with the model."""

    def name_for(self, options: Mapping[str, Any]) -> str:
        """The name of what searches with these options."""

    def readout(self) -> Readout:
        """How links are read from the attention, as the model's `alignment.json` says."""

    def search(
        self,
        input_ids: np.ndarray | None = None,
        attention_mask: np.ndarray | None = None,
        *,
        layer: int | None = None,
        scores: bool = False,
        **generate_options: Any,
    ) -> Hypotheses:
        """
        Search for what a batch says in the target language.

        Args:
            input_ids: `(batch, src_len)`; None for a model whose source are not tokens.
            attention_mask: `(batch, src_len)`, 1 for real tokens, or `(batch, frames)`, at any position.
            layer: Return the attention of this layer, counted among the decoder layers with attention; None: of none.
            scores: Whether to return scores.
            **generate_options: As of `model.generate`, such as `num_beams` and `num_return_sequences`; what is not
                given is that of `generation_config`. Arrays among them are inputs of the model: `input_features`
                `(batch, frames, num_mel_bins)` of one that hears; `pixel_values` `(batch, channels, height, width)`
                and `pixel_mask` `(batch, height, width)` of one that sees.

        Raises:
            ValueError: An option is invalid, or attention is requested that the model does not have.
        """


class LimitedEngine(Engine, Protocol):
    """An engine that cannot do all that `generate()` can."""

    def can(self, options: Mapping[str, Any]) -> str | None:
        """None if it can search with these options, otherwise a part of a sentence that names what it cannot do."""


def check_engine(engine: str) -> None:
    """Raise a ValueError if there is no such engine to choose."""
    if engine not in ENGINES:
        raise ValueError(f"The engine '{shortened(engine)}' is unknown: choose one of {', '.join(ENGINES)}.")


def why_not_graph(device: str | None, dtype: str) -> str | None:
    """
    None if a graph can run a model there, otherwise the part of a sentence that says what it cannot run.

    Args:
        device: Such as "cpu"; None: not chosen yet.
        dtype: As for `load`.
    """
    if dtype not in ("auto", "float32"):
        return f"the dtype '{shortened(dtype)}'"
    if device not in (None, "cpu"):
        return f"on the device '{shortened(device)}'"
    if importlib.util.find_spec("onnxruntime") is None:
        return "without ONNX Runtime (pip install onnxruntime)"
    return None


def graph_refused(reason: str) -> ValueError:
    """What to raise where the graph was asked for and cannot run something, as [`why_not_graph`] says."""
    return ValueError(f"The graph cannot run {reason}: leave out the engine 'graph'.")


def as_engine(model: PreTrainedModel | Engine) -> Engine:
    """The engine itself, or that of a model with `generate()`."""
    if hasattr(model, "search"):
        return model  # type: ignore[return-value]
    from hf_attn_seq2seq.decoding.torch_engine import TorchEngine

    return TorchEngine(model)  # type: ignore[arg-type]


class FallbackEngine:
    """A limited engine that leaves what it cannot do to another, which is made when it is first needed."""

    def __init__(self, engine: LimitedEngine, make_other: Callable[[], Engine]) -> None:
        self.engine, self.make_other = engine, make_other
        self.other: Engine | None = None
        self.told: set[str] = set()
        self.making = threading.Lock()
        self.name = engine.name
        self.config, self.generation_config = engine.config, engine.generation_config

    def name_for(self, options: Mapping[str, Any]) -> str:
        return self.name if self.engine.can(options) is None else "torch"

    def readout(self) -> Readout:
        return self.engine.readout()

    def search(self, *args: Any, **options: Any) -> Hypotheses:
        settings = {
            name: value
            for name, value in options.items()
            if name not in ("layer", "scores") and not isinstance(value, np.ndarray)
        }
        reason = self.engine.can(settings)
        if reason is None:
            return self.engine.search(*args, **options)
        if reason not in self.told:
            self.told.add(reason)
            logger.warning(f"The graph cannot {reason}: PyTorch searches instead, which is slower.")
        with self.making:
            self.other = self.other or self.make_other()
        return self.other.search(*args, **options)


def generation_setting(model: Any, options: Mapping[str, Any], name: str, usual: Any) -> Any:
    """
    The value that a search with these options uses for a setting; `usual` if it is not set anywhere.

    Args:
        model: A model or an engine: what has a `generation_config`.
        options: As for `model.generate`.
    """
    given = options.get("generation_config")
    for value in (options.get(name), getattr(given, name, None), getattr(model.generation_config, name, None)):
        if value is not None:
            return value
    return usual
