# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The engine of a model's graph: encoder, steps and search in one call of ONNX Runtime. Needs no PyTorch."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_attn_seq2seq.decoding.engines import Hypotheses
from hf_attn_seq2seq.graphs.format import GRAPH_FILE, VERSION, checksums, read_about
from hf_attn_seq2seq.graphs.settings import NOT_SEARCH, Search, as_list, why_not
from hf_attn_seq2seq.messages import check_layer, shortened
from hf_attn_seq2seq.modality import MODALITIES, TEXT


if TYPE_CHECKING:
    from hf_attn_seq2seq.decoding.readout import Readout

_IMPOSSIBLE = -1e8  # a sum of log-probabilities that no tokens of a model have
_AGAIN = "write it again with: hf-attn-seq2seq export MODEL --to graph"


class GraphProblem(ValueError):
    """A graph that cannot be used; the message says why, and what to do."""


class GraphEngine:
    """Searches by the graph of a model on the CPU, greedily or with beams."""

    name = "graph"

    def __init__(
        self,
        graph: Path,
        weights: Path | None = None,
        threads: int | None = None,
        files: Mapping[str, str] | None = None,
    ) -> None:
        """
        Args:
            graph: The file of the graph.
            weights: The folder of the model, with its weights and settings; None: that of the graph.
            threads: Of each search; None: what OMP_NUM_THREADS says, or one for each core.
            files: The checksums of the folder's files, as by [`checksums`]; None: they are computed.

        Raises:
            GraphProblem: The graph is broken, of a newer format, or was written for other weights.
            ImportError: ONNX Runtime is not installed.
        """
        folder = weights or graph.parent
        self._hold(graph, folder, *_open(graph, folder, threads, files), _generation_settings(folder))

    @classmethod
    def of_weights(
        cls,
        graph: bytes,
        weights: Mapping[str, np.ndarray],
        generation_settings: Mapping[str, Any],
        threads: int | None = None,
    ) -> GraphEngine:
        """
        The engine of a graph that has no weights, and of weights given with it, which may not change while it is used.

        Args:
            graph: The content of the graph.
            weights: By their names in the graph.
            generation_settings: Those of the model's `generation_config`.
            threads: As for the class.

        Raises:
            GraphProblem: The weights are not those that the graph lacks.
            ImportError: ONNX Runtime is not installed.
        """
        onnxruntime = import_onnxruntime()
        options = _session_options(onnxruntime, threads)
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(value) for value in weights.values()]
        options.add_external_initializers(list(weights), values)
        path, about = Path(GRAPH_FILE), _checked(Path(GRAPH_FILE), graph, Path(), {})
        engine = cls.__new__(cls)
        engine._hold(path, path.parent, _session(onnxruntime, path, graph, options), about, generation_settings)
        return engine

    def _hold(
        self, path: Path, folder: Path, session: Any, about: Mapping[str, Any], generation_settings: Mapping[str, Any]
    ) -> None:
        self.path, self.folder, self.session = path, folder, session
        self.layers, self.heads = about["layers"], about["heads"]
        self.kind, self.limited = about["kind"], about["limited"]
        self.config = SimpleNamespace(**about["config"])
        self.generation_config = SimpleNamespace(**generation_settings)
        inputs = [*self.session.get_inputs(), *self.session.get_overridable_initializers()]
        self.inputs = {each.name for each in inputs}
        found = [each for each in MODALITIES if each.input_name in self.inputs]
        if not found:
            raise GraphProblem(f"'{path}' is incomplete: {_AGAIN}.")
        self.modality = found[0]  # which the inputs tell of every front end

    def can(self, options: Mapping[str, Any]) -> str | None:
        """See [`LimitedEngine`]."""
        return why_not(self._settings(options), self.limited)

    def _settings(self, options: Mapping[str, Any]) -> dict[str, Any]:
        options = {name: value for name, value in options.items() if value is not None}
        given = options.pop("generation_config", self.generation_config)
        settings = {name: value for name, value in vars(given).items() if value is not None}
        for name, other in (("max_new_tokens", "max_length"), ("max_length", "max_new_tokens")):
            if name in options and other not in options:
                settings.pop(other, None)  # the caller's limit holds, not the saved one
        return {**settings, **options}

    def name_for(self, options: Mapping[str, Any]) -> str:
        """See [`Engine`]."""
        return self.name

    def readout(self) -> Readout:
        """See [`Engine`]."""
        from hf_attn_seq2seq.decoding.readout import Readout, find_readout

        return find_readout(self.folder) or Readout()

    def search(
        self,
        input_ids: np.ndarray | None = None,
        attention_mask: np.ndarray | None = None,
        *,
        layer: int | None = None,
        scores: bool = False,
        **generate_options: Any,
    ) -> Hypotheses:
        """See [`Engine`]."""
        arrays = {name: value for name, value in generate_options.items() if isinstance(value, np.ndarray)}
        settings = self._settings({name: value for name, value in generate_options.items() if name not in arrays})
        if reason := why_not(settings, self.limited):
            raise ValueError(f"The graph cannot {reason}: leave that out, or choose the engine 'torch'.")
        search = Search.of(settings)
        source = self._source({"input_ids": input_ids, "attention_mask": attention_mask, **arrays}, search)
        feed = {
            **search.inputs(),
            **source,
            "output_scores": np.asarray(scores),
            "attention_heads": self._heads(layer),
            "attention_shift": np.asarray(0),  # the reader of any engine's rows shifts them itself
        }
        outputs = ["sequences", "scores", "lengths", *(["attentions"] if layer is not None else [])]
        try:
            found = self.session.run(outputs, {name: value for name, value in feed.items() if name in self.inputs})
        except Exception as error:  # ONNX Runtime has no classes of its own for what went wrong
            if "allocate" in str(error).lower():
                raise MemoryError(str(error)) from error
            raise GraphProblem(f"'{self.path}' is damaged ({_first_line(error)}): {_AGAIN}.") from error
        sequences, totals, lengths, *attentions = found
        possible = totals * lengths.clip(1) ** np.float64(search.length_penalty) > _IMPOSSIBLE
        return Hypotheses(
            sequences,
            totals if scores else None,
            possible if search.num_beams > 1 else np.ones(len(sequences), dtype=bool),
            attentions[0] if attentions else None,
        )

    def _heads(self, layer: int | None) -> np.ndarray:
        """Which rows of attention the graph returns: all heads of a layer, or none."""
        if layer is None:
            return np.arange(0)
        if not self.layers:
            raise ValueError("This model has no attention, which word alignment needs.")
        check_layer(layer, self.layers)
        return np.arange(self.heads) + layer % self.layers * self.heads

    def _check_ids(self, input_ids: np.ndarray) -> None:
        if input_ids.size == 0:
            raise ValueError("The source is empty: give at least one token, such as the end token.")
        low, high, size = input_ids.min(), input_ids.max(), self.config.vocab_size
        size += getattr(self.config, "pointer_slots", 0)  # words outside it, which a pointer copies
        if low < 0 or high >= size:
            raise ValueError(
                f"input_ids hold {low if low < 0 else high}, which is outside the vocabulary of {size} tokens: use "
                "the model's own tokenizer."
            )

    def _source(self, given: Mapping[str, Any], search: Search) -> dict[str, np.ndarray]:
        """The source and its mask, as the graph takes them."""
        name, mask_name = self.modality.input_name, self.modality.mask_name
        if given.get(name) is None:
            raise ValueError(f"This model reads {name}: give them.")
        inputs = np.asarray(given[name], dtype=np.int64 if self.modality == TEXT else np.float32)
        mask = given.get(mask_name)
        mask = np.asarray(np.ones(self.modality.mask_shape(inputs.shape)) if mask is None else mask, dtype=np.int64)
        if self.modality == TEXT:
            self._check_ids(inputs)
        elif inputs.size == 0 or not mask.reshape(len(mask), -1).any(1).all():
            raise ValueError("A source is empty or all padding: give at least one real frame or pixel.")
        self._check(inputs, search)
        return {name: inputs, mask_name: mask}

    def _check(self, inputs: np.ndarray, search: Search) -> None:
        target = self.config.decoder_vocab_size
        for name, value in search._asdict().items():
            tokens = as_list(value) if name.endswith(("token_id", "tokens")) and name != "max_new_tokens" else []
            if any(token >= target for token in tokens if name != "min_new_tokens"):
                raise ValueError(f"{name}={shortened(str(value))} is outside the vocabulary of {target} tokens.")
        if self.config.position_type == "learned":
            limit = self.config.max_position_embeddings
            read = inputs.shape[1] if self.modality == TEXT else 0  # of others the states are not known
            for recurrent, length in (("encoder", read), ("decoder", search.max_new_tokens)):
                if getattr(self.config, f"{recurrent}_type") == "transformer" and length > limit:
                    raise ValueError(
                        f"A sequence of {length} tokens is longer than max_position_embeddings={limit}: shorten it."
                    )


def _generation_settings(folder: Path) -> dict[str, Any]:
    path = folder / "generation_config.json"
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        raise GraphProblem(f"'{folder}' has no usable generation_config.json: save the model again.") from None
    if not isinstance(content, dict):
        raise GraphProblem(f"'{folder}' has no usable generation_config.json: save the model again.")
    return {name: value for name, value in content.items() if name not in NOT_SEARCH}


def import_onnxruntime() -> Any:
    """Import the library; if it is missing, an ImportError says what to install."""
    # Recent versions would keep a record of their use in the user's cache folder.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError:
        raise ImportError(
            "ONNX Runtime is not installed, which graphs and exported models need: pip install onnxruntime."
        ) from None
    return onnxruntime


def _open(
    path: Path, weights: Path, threads: int | None, files: Mapping[str, str] | None
) -> tuple[Any, dict[str, Any]]:
    """A session of the graph, and what the graph says of itself."""
    onnxruntime = import_onnxruntime()
    try:
        content = path.read_bytes()
    except OSError:
        raise GraphProblem(f"There is no graph '{path}': {_AGAIN}.") from None
    about = _checked(path, content, weights, files)
    options = _session_options(onnxruntime, threads)
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(weights))
    links = [name for name in about["files"] if name.endswith(".safetensors") and (weights / name).is_symlink()]
    if links:  # as in the cache of the Hub; ONNX Runtime opens no file outside of the folder
        contents = [(weights / name).read_bytes() for name in links]
        options.add_external_initializers_from_files_in_memory(links, contents, [*map(len, contents)])
    return _session(onnxruntime, path, content, options), about


def _session_options(onnxruntime: Any, threads: int | None) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # fatal; other errors are raised
    options.intra_op_num_threads = threads or int(os.environ.get("OMP_NUM_THREADS", 0))
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _session(onnxruntime: Any, path: Path, content: bytes, options: Any) -> Any:
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has a separate exception for each kind of damage
        raise GraphProblem(f"'{path}' cannot be loaded ({_first_line(error)}): {_AGAIN}.") from error


def _checked(path: Path, content: bytes, weights: Path, files: Mapping[str, str] | None) -> dict[str, Any]:
    """What the graph says of itself, after a check that it is whole and belongs to these weights."""
    about = read_about(content)
    if about is None:
        raise GraphProblem(f"'{path}' is no graph of this package, or damaged: {_AGAIN}.")
    version = about.get("version")
    if isinstance(version, int) and version < VERSION:
        raise GraphProblem(f"'{path}' is of an earlier version of this package: {_AGAIN}.")
    if version != VERSION:
        raise GraphProblem(
            f"'{path}' is of version {shortened(str(version))} of the format, but this package reads "
            f"version {VERSION}: update the package, or {_AGAIN}."
        )
    try:
        wanted = about["files"].items()
        present = files if files is not None else checksums(weights) if wanted else {}
        for name, checksum in wanted:
            if name not in present:
                raise GraphProblem(f"'{path}' needs {shortened(name)}, which '{weights}' lacks: keep them together.")
            if present[name] != checksum:
                raise GraphProblem(f"'{path}' was written for another {name} than that in '{weights}': {_AGAIN}.")
        if not {"layers", "heads", "kind", "limited", "config"} <= about.keys():
            raise KeyError
    except (KeyError, AttributeError, TypeError):
        raise GraphProblem(f"'{path}' is incomplete: {_AGAIN}.") from None
    return about


def _first_line(error: Exception) -> str:
    return shortened((str(error).splitlines() or [""])[0].rstrip("."))
