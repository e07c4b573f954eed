# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Trace a translation: run the model and record what it computes."""

from __future__ import annotations

import platform
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import torch
import transformers
from torch import nn
from transformers import LogitsProcessor, LogitsProcessorList, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from hf_attn_seq2seq._version import __version__
from hf_attn_seq2seq.copying import CopyingTokenizer, extend
from hf_attn_seq2seq.data.words import Words, cut_words, token_words, word_shares
from hf_attn_seq2seq.decoding.attending import eager_attention, evaluating
from hf_attn_seq2seq.decoding.offsets import token_texts
from hf_attn_seq2seq.decoding.readout import Readout, readout_of, spans_of
from hf_attn_seq2seq.explain.chapters import bridge_formula
from hf_attn_seq2seq.explain.document import FORMAT, MEDIA_VERSION, VERSION, Trace
from hf_attn_seq2seq.explain.kinds import AXES, KINDS, UNTOLD, refuse_untold, told_kinds
from hf_attn_seq2seq.explain.worked import linear_weight, worked_rows
from hf_attn_seq2seq.messages import quoted
from hf_attn_seq2seq.recorder import Recorder
from hf_attn_seq2seq.splitting import length_limit, max_source_tokens, refuse_blank


logger = logging.get_logger(__name__)

CANDIDATES = 10  # words shown at each choice
MAX_SOURCE_TOKENS = 2048
MAX_SELF_ATTENDING = 512  # tokens of a source whose encoder has a weight for each pair of them
MAX_STEPS = 512
MAX_BEAMS = 1000


Edit = Callable[[int, int, torch.Tensor], torch.Tensor]


def trace(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    text: Any,
    target: str | Sequence[int] | None = None,
    *,
    num_beams: int | None = None,
    max_new_tokens: int | None = None,
    length_penalty: float | None = None,
    candidates: int = CANDIDATES,
    name: str | None = None,
    edit_weights: Edit | None = None,
    edit_heads: Edit | None = None,
) -> Trace:
    """
    Translate one text, transcribe one recording or read one picture, and record everything that the run computes.

    Args:
        model: A model of this package, or any encoder-decoder of Transformers, for which less is recorded (`omitted`
            lists what is missing).
        tokenizer: The model's tokenizer; of one that hears or sees, its processor.
        text: One sentence, of at most 2,048 tokens, or 512 with self-attention over the source;
            [`trace_sentences`] traces those of a longer text. For a model that hears: a sound file, or
            a waveform `(samples,)` at the processor's sampling rate; for one that sees: a file, or a picture of Pillow
            or as an array.
        target: A translation (or the ids of its first tokens) that the decoder is forced to produce; None: its own.
        num_beams: 1 is greedy search; at most 1000; None: the model's setting, or 1 if a target is given.
        max_new_tokens: Maximum length of the translation, at most 512; None: the model's setting, or 256.
        length_penalty: For beam search; None: the model's setting.
        candidates: Number of words shown at each choice.
        name: Name of the model; None: the name that it was loaded with.
        edit_weights: What the attention goes on with, given `(step, layer, weights)` with weights `(rows, heads, 1,
            src_len)`; for what-if runs.
        edit_heads: The same for the heads' sums of values, `(rows, heads, 1, value_dim)`.

    Raises:
        ValueError: The explanation does not know the model's cells or mixer, the text is blank or too long, the
            recording or picture cannot be used, the target is blank or outside the vocabulary, a number is out of
            range, or the model's outputs are not finite.
    """
    if num_beams is None:
        num_beams = 1 if target is not None else model.generation_config.num_beams or 1
    options = RunOptions(num_beams, max_new_tokens, length_penalty, candidates, name)
    if getattr(model.config, "model_type", "") != "attn_seq2seq":
        from hf_attn_seq2seq.explain.foreign import trace_foreign

        if edit_weights is not None or edit_heads is not None:
            raise ValueError("Weights and heads can only be changed in models of this package.")
        return trace_foreign(model, tokenizer, text, target=target, options=options)
    root = package_model(model)
    refuse_untold(root.config)
    recorder = RunRecorder(root, edit_weights, edit_heads)
    if not root.config.reads_tokens:
        return _trace_received(model, root, tokenizer, text, target, options, recorder)
    if not isinstance(text, str):
        raise ValueError(f"This model reads text, and not a source of type {type(text).__name__}: give it a sentence.")
    with _recorded(model, root, recorder):
        run = run_traced(model, tokenizer, text, target, options)
    return _finished(model, root, tokenizer, recorder, run, {}, [])


@contextmanager
def _recorded(model: PreTrainedModel, root: Any, recorder: RunRecorder) -> Iterator[None]:
    """Inside this context, the recorder hears of every number."""
    with ExitStack() as stack:
        # First, because it admits one thread at a time, and the stance applies to the whole process.
        stack.enter_context(eager_attention(model))
        stack.enter_context(torch.compiler.set_stance("force_eager"))  # a compiled graph cannot be recorded
        stack.enter_context(recording_of(root)(recorder))
        yield


def _finished(
    model: PreTrainedModel,
    root: Any,
    tokenizer: Any,
    recorder: RunRecorder,
    run: Run,
    more: dict[str, np.ndarray],
    omitted: list[dict[str, str]],
) -> Trace:
    """The trace of a recorded run, with the arrays and omissions of its front end."""
    arrays = {**more, **_arrays(root, recorder, run)}
    written = Gather(recorder, run.rows)("", "logits") if root.config.pointer else None
    traced = finished_trace(root.config, run.document, arrays, written, omitted)
    traced.document["attention"].update(told_readout(model))
    traced.model, traced.tokenizer = model, tokenizer
    return traced


def finished_trace(
    config: Any,
    document: dict[str, Any],
    arrays: dict[str, np.ndarray],
    written: torch.Tensor | None,
    omitted: list[dict[str, str]],
) -> Trace:
    """
    The trace of a run of this package's model.

    Args:
        config: The model's.
        document: What every encoder-decoder returns; it is added to.
        arrays: The recorded numbers, by their names in the trace.
        written: With a pointer, the logits of the output layer, `(T, vocab)`.
        omitted: What the arrays lack beyond what all traces of such models do.

    Raises:
        ValueError: A number is not finite.
    """
    if written is not None:
        _tell_pointer(document, arrays, written)
    document.update(_parts(config))
    shown, num_beams = len(document["output_ids"]), document["run"]["num_beams"]
    document["omitted"] = [*omitted, *_omitted(config, shown, config.output_size, num_beams)]
    check_finite(arrays)
    return Trace(document, arrays)


def _trace_received(
    model: PreTrainedModel,
    root: Any,
    processor: Any,
    source: Any,
    target: str | Sequence[int] | None,
    options: RunOptions,
    recorder: RunRecorder,
) -> Trace:
    """[`trace`] of a recording or a picture."""
    from hf_attn_seq2seq.explain.media import Received
    from hf_attn_seq2seq.explain.media_tracing import front_end_arrays, read_received, receive

    received = source if isinstance(source, Received) else receive(root, processor, source)
    with _recorded(model, root, recorder):
        reading, document = read_received(root, received, recorder)
        run = run_traced(model, processor.tokenizer, reading, target, options)
    run.document.update(version=MEDIA_VERSION, input=document)
    traced = _finished(model, root, processor, recorder, run, *front_end_arrays(root, received, recorder))
    traced.received = received
    return traced


def told_readout(model: PreTrainedModel) -> dict[str, Any]:
    """The model's read-out for the document's part `attention`; empty for the default."""
    readout = readout_of(model)
    return {} if readout == Readout() else {"readout": asdict(readout)}


def recording_of(model: nn.Module) -> Callable[[Recorder], AbstractContextManager[None]]:
    """`recording` for a module of this package: those loaded with custom code have a recorder of their own."""
    recording: Any = sys.modules[type(model).__module__.rpartition(".")[0] + ".recorder"].recording
    return recording  # type: ignore[no-any-return]


def package_model(model: nn.Module) -> Any:
    """The model of this package in a model that may be wrapped, such as by an adapter, or loaded with custom code."""
    for module in model.modules():
        if type(module).__name__ == "AttnSeq2SeqForConditionalGeneration":
            return module
    raise ValueError(
        "An exported model does not expose its inner numbers: explain the model that it was exported from."
    )


# --------------------------------------------------------------------------------------------------------------------
# The run, of any encoder-decoder
# --------------------------------------------------------------------------------------------------------------------


class RunOptions(NamedTuple):
    """How to run; see [`trace`]."""

    num_beams: int = 1
    max_new_tokens: int | None = None
    length_penalty: float | None = None
    candidates: int = CANDIDATES
    name: str | None = None


class Reading(NamedTuple):
    """
    What a model reads.

    Attributes:
        inputs: Of `generate()`, of one source.
        side: Makes the document's part `source`, after the run.
        words: Words outside the vocabulary that a pointer can copy.
    """

    inputs: Any
    side: Callable[[], dict[str, Any]]
    words: Sequence[str] = ()


class Run(NamedTuple):
    """A finished run."""

    document: dict[str, Any]  # what every encoder-decoder returns
    outputs: Any  # of generate()
    inputs: Any  # of the tokenizer
    rows: list[int]  # the batch row of each step that led to the result


class Watcher(LogitsProcessor):
    """Records the hypotheses that each step of a search continues, and forces the choice if a target is given."""

    def __init__(self, forced: Sequence[int] = ()) -> None:
        self.forced = list(forced)
        self.sequences: list[torch.Tensor] = []  # (rows, 1 + step) before each step
        self.scores: list[torch.Tensor] = []  # (rows, vocab): log-probabilities in beam search

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        step = len(self.sequences)
        self.sequences.append(input_ids.clone())
        self.scores.append(scores.clone())
        if step >= len(self.forced):
            return scores
        wanted = self.forced[step]
        only = torch.full_like(scores, -torch.inf)
        only[:, wanted] = scores[:, wanted].nan_to_num(neginf=0.0)
        return only


def search_options(num_beams: int, max_new_tokens: int, length_penalty: float) -> dict[str, Any]:
    """
    The arguments of `generate()` for one result, without sampling, one token per step; everything else is the model's
    setting.
    """
    return {
        "num_beams": num_beams,
        "max_new_tokens": max_new_tokens,
        "length_penalty": length_penalty,
        "do_sample": False,
        "num_return_sequences": 1,
        "use_cache": True,
        "prompt_lookup_num_tokens": None,
    }


@torch.no_grad()
def run_traced(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    source: str | Reading,
    target: str | Sequence[int] | None,
    options: RunOptions,
    **generate_options: Any,
) -> Run:
    """
    Run `generate()` and record what any encoder-decoder returns: tokens, choices, beams and the stop.

    Args:
        source: A text, or what another front end reads.

    Raises:
        ValueError: As for [`trace`].
    """
    if isinstance(source, str):
        refuse_blank("The text", source)
    if options.num_beams < 1:
        raise ValueError(f"num_beams={options.num_beams} must be at least 1.")
    if options.num_beams > MAX_BEAMS:
        raise ValueError(f"num_beams={options.num_beams} is more than a trace supports: give at most {MAX_BEAMS}.")
    if options.candidates < 1:
        raise ValueError(f"candidates={options.candidates} must be at least 1.")
    reading = read_text(model, tokenizer, source) if isinstance(source, str) else source
    generation = model.generation_config
    ends = _as_list(generation.eos_token_id)
    forced = _forced_ids(tokenizer, target, ends)
    vocabulary = getattr(model.config, "decoder_vocab_size", None) or model.config.vocab_size
    vocabulary += len(reading.words)
    for token_id in forced:
        if not isinstance(token_id, int) or not 0 <= token_id < vocabulary:
            raise ValueError(
                f"The target contains {quoted(token_id)}, which is not one of the model's {vocabulary} ids."
            )
    if forced and options.num_beams > 1:
        raise ValueError("A given target needs no search: leave out num_beams.")
    limit = options.max_new_tokens
    if limit is None:
        limit = len(forced) if isinstance(target, str) else _own_limit(model)
    if limit < 1:
        raise ValueError(f"max_new_tokens={limit} must be at least 1.")
    if len(forced) > MAX_STEPS:
        raise ValueError(f"The target has {len(forced)} tokens, but a trace supports at most {MAX_STEPS}: shorten it.")
    limit = min(limit, MAX_STEPS)
    penalty = options.length_penalty
    if penalty is None:
        penalty = 1.0 if generation.length_penalty is None else generation.length_penalty
    watcher = Watcher(forced)
    with evaluating(model):
        outputs = model.generate(  # type: ignore[operator]
            **reading.inputs,
            **search_options(options.num_beams, limit, penalty),
            output_logits=True,
            output_scores=True,
            return_dict_in_generate=True,
            logits_processor=LogitsProcessorList([watcher]),
            **generate_options,
        )
    new_ids = outputs.sequences[0, 1:].tolist()
    rows = [0] * len(new_ids)
    if options.num_beams > 1:
        rows = [row for row in outputs.beam_indices[0].tolist() if row >= 0]
        new_ids = new_ids[: len(rows)]
    if not torch.isfinite(outputs.logits[0]).any():
        raise ValueError("The model's outputs are not finite: its weights are damaged.")

    target_tokenizer = getattr(tokenizer, "target", tokenizer)  # of two vocabularies
    if reading.words:
        target_tokenizer = CopyingTokenizer(tokenizer, reading.words, model.config.vocab_size)
    start = int(outputs.sequences[0, 0])
    name_of = _Names(target_tokenizer)
    steps = [
        _step(index, fed, new_ids[index], rows[index], outputs, watcher, name_of, ends, limit, options)
        for index, fed in enumerate([start, *new_ids[:-1]])
    ]
    log_probabilities = [step["choice"]["log_probability"] for step in steps]
    score = sum(log_probabilities) / len(steps) ** penalty
    if options.num_beams > 1:
        score = float(outputs.sequences_scores[0])
    document = {
        "format": FORMAT,
        "version": VERSION,
        "model": {
            "name": options.name or model.config._name_or_path or type(model).__name__,
            "class": type(model).__name__,
            "model_type": model.config.model_type,
            "parameters": model.num_parameters(),
            "config": _plain(model.config.to_diff_dict()),
        },
        "versions": {
            "hf_attn_seq2seq": __version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "python": platform.python_version(),
        },
        "run": {
            "seed": None,  # nothing is sampled
            "num_beams": options.num_beams,
            "forced": bool(forced),
            "max_new_tokens": limit,
            "length_penalty": float(penalty),
            "end_ids": ends,
            "dtype": str(model.dtype).removeprefix("torch."),
            "device": str(model.device),
            "stopped": "end" if new_ids[-1] in ends else "limit",
            "score": score,
        },
        "source": reading.side(),
        "target": _decoded_side(target_tokenizer, new_ids),
        "start": name_of(start),
        "steps": steps,
        "output_ids": sorted({candidate["id"] for step in steps for candidate in step["candidates"]}),
        "beams": None,
        "what_if": None,
        "checks": [],
    }
    if options.num_beams > 1:
        early_stopping = generation.early_stopping or False
        document["beams"] = _beams(watcher, new_ids, name_of, ends, float(penalty), early_stopping)
    return Run(document, outputs, reading.inputs, rows)


def read_text(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str) -> Reading:
    """A text as the model reads it; raises a ValueError if it has too many tokens."""
    text, inputs, offsets, words = _encoded(model, tokenizer, text)
    ids = inputs["input_ids"][0].tolist()
    recurrent, limit = getattr(model.config, "is_recurrent_encoder", False), most_source_tokens(model.config)
    if len(ids) > limit:
        of = "" if recurrent else " of a model with self-attention over the source"
        raise ValueError(
            f"The text has {len(ids):,} tokens, but a trace{of} supports at most {limit:,}: shorten it, or trace it "
            "sentence by sentence."
        )
    source: Any = getattr(tokenizer, "source", tokenizer)
    if words:  # then both sides have one vocabulary
        source = CopyingTokenizer(tokenizer, words, model.config.vocab_size)
    return Reading(inputs, lambda: _source_side(source, text, ids, offsets), words)


def most_source_tokens(config: Any) -> int:
    """The tokens of a source that a trace supports."""
    return MAX_SOURCE_TOKENS if getattr(config, "is_recurrent_encoder", False) else MAX_SELF_ATTENDING


def _encoded(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[str, Any, Any, list[str]]:
    """
    The part of a text that the model reads, its inputs `(1, src_len)`, the positions of the tokens, and the words
    outside the vocabulary that a pointer can copy.
    """
    options = {"return_tensors": "pt", "return_offsets_mapping": tokenizer.is_fast}
    inputs = tokenizer([text], verbose=False, **options)
    length, limit = inputs["input_ids"].shape[1], max_source_tokens(model.config, tokenizer)
    if length > limit:
        logger.warning(f"A text of {length} tokens was truncated to the {limit} that the model reads: shorten it.")
        inputs = tokenizer([text], truncation=True, max_length=limit, **options)
    offsets = inputs["offset_mapping"][0].tolist() if tokenizer.is_fast else None
    words: list[str] = []
    if slots := getattr(model.config, "pointer_slots", 0):
        (words,) = extend(inputs, tokenizer, [text], model.config.vocab_size, slots)
    inputs.pop("offset_mapping", None)
    if length > limit and offsets is not None:
        text = text[: max(end for _, end in offsets)]
    return text, inputs.to(model.device), offsets, words


def _own_limit(model: PreTrainedModel) -> int:
    """The model's maximum number of tokens in a translation."""
    generation = model.generation_config
    if own := length_limit(model):
        return own["max_new_tokens"]
    return generation.max_new_tokens or max(1, generation.max_length - 1)


def _forced_ids(tokenizer: PreTrainedTokenizerBase, target: str | Sequence[int] | None, ends: list[int]) -> list[int]:
    """The ids that the decoder is forced to produce; for a whole translation, with the end token."""
    if target is None:
        return []
    if not isinstance(target, str) and isinstance(target, Iterable):
        return list(target)
    refuse_blank("The target", target)
    ids = tokenizer(text_target=[target])["input_ids"][0]
    return [*ids, ends[0]] if ends and ids[-1] not in ends else list(ids)


class _Names:
    """The names of target tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self.known: dict[int, dict[str, Any]] = {}

    def __call__(self, token_id: int) -> dict[str, Any]:
        if token_id not in self.known:
            token = self.tokenizer.convert_ids_to_tokens(token_id)
            self.known[token_id] = {
                "id": token_id,
                "token": f"[{token_id}]" if token is None else str(token),  # None: outside the vocabulary
                # The names of byte-level tokens are not legible: "ĠvÃ©lo" means " vélo".
                "text": "" if token is None else self.tokenizer.decode([token_id]),
            }
        return dict(self.known[token_id])


def _step(
    index: int,
    fed: int,
    chosen: int,
    row: int,
    outputs: Any,
    watcher: Watcher,
    name_of: _Names,
    ends: list[int],
    limit: int,
    options: RunOptions,
) -> dict[str, Any]:
    logits = outputs.logits[index][row].double().cpu()
    log_probabilities = logits.log_softmax(-1)
    shown = logits.topk(min(options.candidates, len(logits))).indices.tolist()
    if chosen not in shown:
        shown[-1] = chosen

    def describe(token_id: int) -> dict[str, Any]:
        logarithm = float(log_probabilities[token_id])
        return {
            **name_of(token_id),
            "logit": float(logits[token_id]),
            "probability": float(np.exp(logarithm)),
            "log_probability": logarithm,
        }

    candidates = [describe(token_id) for token_id in shown]
    forced = index < len(watcher.forced)
    before = log_probabilities if options.num_beams > 1 else logits
    after = watcher.scores[index][row].double().cpu()
    processed = [
        {
            **name_of(token_id),
            "before": float(before[token_id]),
            "after": float(after[token_id]) if torch.isfinite(after[token_id]) else None,
        }
        for token_id in shown
        if not torch.isclose(before[token_id], after[token_id], rtol=1e-4, atol=1e-4)
    ]
    choice = {**describe(chosen), "rank": int((logits > logits[chosen]).sum()), "forced": forced}
    return {
        "step": index,
        "fed": name_of(fed),
        "candidates": candidates,
        "rest": float(log_probabilities.index_fill(0, torch.tensor(shown), -torch.inf).exp().sum()),
        "logsumexp": float(logits.logsumexp(-1)),
        "processed": processed,
        "choice": choice,
        "stop": {"is_end": chosen in ends, "at_limit": index + 1 == limit},
    }


def _beams(
    watcher: Watcher, result: list[int], name_of: _Names, ends: list[int], penalty: float, early_stopping: bool | str
) -> dict[str, Any]:
    """The tree of a beam search: the hypotheses kept, finished and dropped at each step."""
    num_beams = watcher.sequences[0].shape[0]
    sequences = [rows.tolist() for rows in watcher.sequences]
    sums = [0.0] + [-float("inf")] * (num_beams - 1)  # all rows start equal: the first represents them
    steps = []
    for index, rows in enumerate(sequences):
        totals = watcher.scores[index].double().cpu() + torch.tensor(sums, dtype=torch.float64)[:, None]
        vocabulary = totals.shape[1]
        following = sequences[index + 1] if index + 1 < len(sequences) else []
        parents = [next(row for row in range(num_beams) if rows[row] == sequence[:-1]) for sequence in following]
        kept: dict[tuple[int, int], int] = {}
        for row, (parent, sequence) in enumerate(zip(parents, following)):
            kept.setdefault((parent, sequence[-1]), row)
        # The search considers twice as many as it keeps, because half of them may end here.
        best = totals.flatten().topk(min(2 * num_beams, totals.numel())).indices.tolist()
        looked_at = [(place // vocabulary, place % vocabulary) for place in best]
        ordered = list(dict.fromkeys([*looked_at, *kept]))
        hypotheses = []
        for rank, (parent, token_id) in enumerate(ordered):
            total = float(totals[parent, token_id])
            if not np.isfinite(total):
                continue
            sequence = [*rows[parent][1:], token_id]
            at_end = token_id in ends or not following
            finished = (parent, token_id) not in kept and at_end and rank < num_beams
            hypotheses.append(
                {
                    "row": kept.get((parent, token_id)),
                    "parent": parent,
                    **name_of(token_id),
                    "log_probability": float(watcher.scores[index][parent, token_id]),
                    "sum": total,
                    "state": "kept" if (parent, token_id) in kept else "finished" if finished else "dropped",
                    "score": total / (index + 1) ** penalty if finished else None,
                    "best": sequence == result[: index + 1],
                }
            )
        steps.append({"hypotheses": hypotheses})
        # If fewer hypotheses are possible than there are rows, the remaining rows are duplicates and do not count.
        sums = [
            float(totals[parent, sequence[-1]]) if kept[parent, sequence[-1]] == row else -float("inf")
            for row, (parent, sequence) in enumerate(zip(parents, following))
        ]
    return {
        "num_beams": num_beams,
        "length_penalty": penalty,
        "early_stopping": early_stopping,
        "steps": steps,
    }


def _source_side(
    tokenizer: PreTrainedTokenizerBase, text: str, ids: list[int], offsets: list[list[int]] | None
) -> dict[str, Any]:
    if offsets is None:
        return _decoded_side(tokenizer, ids)  # the text as decoded by a tokenizer without offsets
    pieces = [text[start:end] for start, end in offsets]
    return _side(tokenizer, text, ids, pieces, [tuple(span) for span in offsets], _special_ids(tokenizer))


def _decoded_side(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> dict[str, Any]:
    special = _special_ids(tokenizer)
    pieces = token_texts(tokenizer, ids, special)
    return _side(tokenizer, "".join(pieces), ids, pieces, spans_of(pieces), special)


def _special_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Ids of tokens without text; the unknown token represents text."""
    return set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}


def _side(
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    ids: list[int],
    pieces: list[str],
    spans: Sequence[tuple[int, ...]],
    special: set[int],
) -> dict[str, Any]:
    """A text with its words and tokens, each with its position in the text."""
    words: Words = cut_words(text)
    in_text = [span if token_id not in special else (0, 0) for token_id, span in zip(ids, spans)]
    numbers = token_words(word_shares(in_text, words)) if words.spans else [None] * len(ids)  # type: ignore[arg-type]
    name_of = _Names(tokenizer)
    return {
        "text": text,
        "words": [{"text": word, "span": list(span)} for word, span in zip(words.words(), words.spans)],
        "tokens": [
            {
                **name_of(token_id),
                "text": "" if token_id in special else piece,
                "span": None if token_id in special else list(span),
                "word": number,
                "special": token_id in special,
            }
            for token_id, piece, span, number in zip(ids, pieces, spans, numbers)
        ],
    }


def _as_list(ids: int | Sequence[int] | None) -> list[int]:
    return [] if ids is None else [ids] if isinstance(ids, int) else list(ids)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if isinstance(value, (str, int, float, bool, type(None)))}


def check_finite(arrays: dict[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"The model's outputs are not finite ({name}): its weights are damaged.")


# --------------------------------------------------------------------------------------------------------------------
# What models of this package record
# --------------------------------------------------------------------------------------------------------------------


class RunRecorder(Recorder):
    """
    Records what each part of the model computes, step by step.

    Attributes:
        passes: For each forward pass, the events of each module, by its name in the model. Those of the encoder are in
            the first pass.
    """

    def __init__(self, model: nn.Module, edit_weights: Edit | None = None, edit_heads: Edit | None = None) -> None:
        self.names = {id(module): name for name, module in model.named_modules()}
        self.edits = edit_weights, edit_heads
        self.passes: list[dict[str, list[dict[str, torch.Tensor]]]] = [defaultdict(list)]
        self.complete = False

    def record(self, module: nn.Module, **values: torch.Tensor) -> None:
        if self.complete:
            self.passes.append(defaultdict(list))
            self.complete = False
        name = self.names[id(module)]
        kept = {key: value.detach().float().cpu() for key, value in values.items() if value is not None}
        self.passes[-1][name].append(kept)
        self.complete = "logits" in values

    def edit_weights(self, module: nn.Module, weights: torch.Tensor) -> torch.Tensor:
        return self._edited(self.edits[0], module, weights)

    def edit_heads(self, module: nn.Module, sums: torch.Tensor) -> torch.Tensor:
        return self._edited(self.edits[1], module, sums)

    def _edited(self, edit: Edit | None, module: nn.Module, values: torch.Tensor) -> torch.Tensor:
        if edit is None:
            return values
        step = len(self.passes) - 1 + self.complete
        return edit(step, _layer_number(self.names[id(module)]), values)

    def at(self, index: int, name: str) -> dict[str, torch.Tensor]:
        """What a module computed in a pass, with all its events combined; empty if it was not run."""
        return {key: value for event in self.passes[index].get(name, []) for key, value in event.items()}


def _layer_number(name: str) -> int:
    """The decoder layer of an attention; a recurrent decoder has one attention for all its layers."""
    return next((int(part) for part in name.split(".") if part.isdigit()), 0)


OMITTED_OF_BEAMS = {
    "what": "the vectors of beams that did not win",
    "why": "size; the beam tree has their words and sums",
}
ENCODER, DECODER = "model.encoder", "model.decoder"


def attending_layers(config: Any) -> list[int]:
    """The decoder's layers with attention over the source; a recurrent decoder has one attention for all of them."""
    if config.attention_type == "none":
        return []
    return [0] if config.is_recurrent_decoder else list(range(config.decoder_layers))


def _parts(config: Any) -> dict[str, Any]:
    recurrent = config.is_recurrent_decoder
    layers = attending_layers(config)
    kind = KINDS.get(config.attention_type, UNTOLD)
    bridge = config.bridge if recurrent else None
    encoder = {
        "type": config.encoder_type,
        "layers": config.encoder_layers,
        "bidirectional": config.is_recurrent_encoder and config.bidirectional,
    }
    parts = {
        "encoder": encoder,
        "decoder": {
            "type": config.decoder_type,
            "layers": config.decoder_layers,
            "query": config.attention_query if recurrent else None,
            "input_feeding": config.input_feeding,
            "readout": config.readout if recurrent else None,
            "norm_position": None if recurrent else config.norm_position,
            "mixer": None if recurrent else config.decoder_mixer,
        },
        "attention": {
            "type": config.attention_type,
            "normalizer": config.attention_normalizer,
            "heads": config.num_attention_heads if layers else 0,
            "layers": layers,
            "scaling": (config.hidden_size // config.num_attention_heads) ** -0.5 if kind.divides else 1.0,
            "window": config.attention_window if kind.windowed else None,
            "hard": kind.selects and config.monotonic_hard,
        },
        "handover": {
            "bridge": bridge,
            "formula": bridge_formula(bridge, encoder, config.decoder_type, config.carries_state),
        },
    }
    return {**parts, "kinds": told_kinds(parts)}


def _omitted(config: Any, shown: int, vocabulary: int, num_beams: int) -> list[dict[str, str]]:
    omitted = [
        {
            "what": f"the logits of {vocabulary - shown:,} of the {vocabulary:,} target tokens",
            "why": "size; each step tells their total probability, and what its softmax divides by includes them",
        },
        {
            "what": "the weight matrices, but for a row of some",
            "why": "size; when a trace is checked in Python, what depends on them is recomputed from the model's own",
        },
    ]
    if "transformer" in (config.encoder_type, config.decoder_type):
        attends = config.encoder_type == "transformer" or not config.carries_state
        what = "queries, keys and values of the Transformer's self-attention, and its feed-forward layers"
        if not attends:
            what = "the inner numbers of the Transformer's feed-forward layers"
        omitted.append({"what": what, "why": "size; the states of each layer contain their results"})
    if num_beams > 1:
        omitted.append(OMITTED_OF_BEAMS)
    return omitted


def _arrays(model: Any, recorder: RunRecorder, run: Run) -> dict[str, np.ndarray]:
    """All recorded numbers that led to the result, by their names in the trace."""
    arrays = {
        **source_arrays(model, recorder),
        **step_arrays(model, Gather(recorder, run.rows)),
        **output_rows(model, torch.tensor(run.document["output_ids"], device=model.lm_head.weight.device)),
        **worked_rows(model),
    }
    return {name: as_recorded(value) for name, value in arrays.items()}


def as_recorded(value: torch.Tensor) -> np.ndarray:
    """Numbers as a trace holds them."""
    return np.ascontiguousarray(value.cpu().numpy(), dtype=np.float32)


def source_arrays(model: Any, recorder: RunRecorder) -> dict[str, torch.Tensor]:
    """What is recorded once, of the source."""
    arrays = _encoder(model.config, recorder)
    return {**arrays, **_handover(model.config, recorder)} if model.config.is_recurrent_decoder else arrays


def step_arrays(model: Any, gather: Gather) -> dict[str, torch.Tensor]:
    """What the steps record."""
    made = _recurrent_decoder if model.config.is_recurrent_decoder else _transformer_decoder
    arrays = {
        "decoder.embeddings": gather(DECODER, "embeddings"),
        **made(model, gather),
        "output.hidden": gather("", "hidden"),
    }
    if model.config.pointer:
        steps = ".steps" if model.config.is_recurrent_decoder else ""
        arrays["pointer.gate"] = gather(f"{DECODER}.stack{steps}.pointer", "gate").flatten()
        arrays["pointer.weights"] = gather("", "copied")
    return arrays


def output_rows(model: Any, ids: torch.Tensor) -> dict[str, torch.Tensor]:
    """The rows of the output layer for target tokens `(N,)`; words outside the vocabulary have rows of zeros."""
    known = ids < model.config.decoder_vocab_size
    arrays = {"output.rows": linear_weight(model.lm_head)[ids.where(known, 0)].float() * known.unsqueeze(1)}
    if model.lm_head.bias is not None:
        arrays["output.bias"] = model.lm_head.bias.detach()[ids.where(known, 0)].float() * known
    return arrays


def _tell_pointer(document: dict[str, Any], arrays: dict[str, np.ndarray], logits: torch.Tensor) -> None:
    """
    Let each step of the document say what its pointer did.

    Args:
        logits: Of the output layer, `(T, vocab)`.
    """
    source = np.array([token["id"] for token in document["source"]["tokens"]])
    for number, step in enumerate(document["steps"]):
        written = logits[number].double()
        weights = arrays["pointer.weights"][number].astype(np.float64)
        log_probabilities = written.log_softmax(-1)
        step["pointer"] = {
            "p_gen": float(1 / (1 + np.exp(-np.float64(arrays["pointer.gate"][number])))),
            "logsumexp": float(written.logsumexp(-1)),
        }
        for shown in (step["choice"], *step["candidates"]):
            known = shown["id"] < len(written)
            shown["pointer"] = {
                "logit": float(written[shown["id"]]) if known else None,
                "written": float(log_probabilities[shown["id"]].exp()) if known else 0.0,
                "copied": float(weights[source == shown["id"]].sum()),
            }


def _encoder(config: Any, recorder: RunRecorder) -> dict[str, torch.Tensor]:
    first = recorder.at(0, ENCODER)
    arrays = {"encoder.embeddings": first["embeddings"][0], "encoder.states": first["states"][0]}
    inputs = recorder.at(0, f"{ENCODER}.stack.positions")
    if inputs:
        arrays["encoder.inputs"] = inputs["inputs"][0]
    for layer in range(config.encoder_layers):
        here, name = f"{ENCODER}.stack.layers.{layer}", f"encoder.layer.{layer}"
        arrays[f"{name}.states"] = recorder.at(0, here)["states"][0]
        for key, value in recorder.at(0, f"{here}.self_attention").items():
            arrays[f"{name}.self_attention.{key}"] = value[0]
        for index, direction in enumerate(("forward", "backward")):
            events = recorder.passes[0].get(f"{here}.cells.{index}", [])
            for key in events[0] if events else ():
                if not key.endswith("_before"):  # the state after the neighbouring token
                    values = torch.cat([one[key] for one in events])
                    in_order = values.flip(0) if direction == "backward" else values
                    arrays[f"{name}.{direction}.{key.removesuffix('_after')}"] = in_order
    return arrays


def _handover(config: Any, recorder: RunRecorder) -> dict[str, torch.Tensor]:
    bridge = recorder.at(0, f"{DECODER}.stack.bridge")
    state = bridge["state"][0].view(config.decoder_layers, -1, config.hidden_size)
    return {"handover.state": state} | ({"handover.summary": bridge["summary"][0]} if "summary" in bridge else {})


def _recurrent_decoder(model: Any, gather: Gather) -> dict[str, torch.Tensor]:
    config, stack = model.config, f"{DECODER}.stack"
    arrays = {"decoder.state": gather(f"{stack}.steps.readout", "state")}
    cells = {f"decoder.layer.{layer}": f"{stack}.steps.cells.{layer}" for layer in range(config.decoder_layers)}
    if config.attention_query == "between":
        cells["decoder.transition"] = f"{stack}.steps.transition"
    for name, here in cells.items():
        for key in gather.recorder.at(0, here):
            arrays[f"{name}.{key}"] = gather(here, key)
    attention = _attention(gather, f"{stack}.steps.attention", model.model.decoder.stack.steps.attention)
    return {**arrays, **{f"attention.0.{key}": value for key, value in attention.items()}}


def _transformer_decoder(model: Any, gather: Gather) -> dict[str, torch.Tensor]:
    arrays = {"decoder.inputs": gather(f"{DECODER}.stack.positions", "inputs")}
    for layer, module in enumerate(model.model.decoder.stack.layers):
        here, name = f"{DECODER}.stack.layers.{layer}", f"decoder.layer.{layer}"
        for key in gather.recorder.at(0, here):
            arrays[f"{name}.{key}"] = gather(here, key)
        for key in gather.recorder.at(0, f"{here}.self_attention"):
            arrays[f"{name}.self_attention.{key}"] = gather.triangle(f"{here}.self_attention", key)
        for key in gather.recorder.at(0, f"{here}.mixer"):
            arrays[f"{name}.mixer.{key}"] = gather(f"{here}.mixer", key)
        attention = _attention(gather, f"{here}.cross_attention", module.cross_attention)
        arrays |= {f"attention.{layer}.{key}": value for key, value in attention.items()}
    return arrays


class Gather(NamedTuple):
    """Collects the numbers of all steps from the rows that led to the result."""

    recorder: RunRecorder
    rows: list[int]

    def steps(self, name: str, key: str) -> list[torch.Tensor]:
        return [self.recorder.at(step, name)[key][row] for step, row in enumerate(self.rows)]

    def __call__(self, name: str, key: str) -> torch.Tensor:
        """`(T, ...)` from numbers `(rows, 1, ...)` or `(rows, ...)` per step."""
        values = torch.stack(self.steps(name, key))
        return values.squeeze(1) if values.dim() > 2 and values.shape[1] == 1 else values

    def triangle(self, name: str, key: str) -> torch.Tensor:
        """`(heads, T, T)` from rows `(heads, 1, past + 1)` that grow by one per step; 0 above the diagonal."""
        count = len(self.rows)
        rows = [nn.functional.pad(row, (0, count - row.shape[-1])) for row in self.steps(name, key)]
        return torch.cat(rows, dim=1)

    def along(self, axes: str, name: str, key: str) -> torch.Tensor:
        """The numbers of an attention by what they are indexed by: steps `T`, heads `H` and source tokens `S`."""
        if axes == "T":
            return self(name, key)
        if axes.startswith("T"):  # from (rows, heads, 1, ...) per step
            return torch.stack([value.squeeze(1) for value in self.steps(name, key)])
        value = self.recorder.at(0, name)[key]
        return value[0] if "S" in axes else value


def _attention(gather: Gather, name: str, module: Any) -> dict[str, torch.Tensor]:
    """The numbers of one attention over the source, by their names in the trace."""
    seen = gather.recorder.at(0, name)
    if "weights" not in seen:  # one fixed context vector
        return {"context": gather(name, "context")}
    kind = KINDS.get(module.config.attention_type, UNTOLD)
    axes = {**AXES, **{column.array: column.axes for column in kind.inputs}}
    found = {key: gather.along(axes[key], name, key) for key in axes if key in seen}
    if "allowed" in found:  # one window for all heads
        found["allowed"] = found["allowed"].expand(found["weights"].shape)
    if not kind.has_keys:
        found.pop("keys")
    made = kind.made(module, found["weights"].shape[-1])
    for key in [column.array for column in kind.inputs if column.array not in found]:
        found[key] = made[key] if key in made else getattr(module, key).detach().float()
    return found
