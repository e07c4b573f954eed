# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The translation pipeline, which was removed in Transformers 5, for all of Transformers' encoder-decoders.

It needs only torch and transformers, because this file is saved with the weights. Three features use other packages if
they are installed: `sentencex` splits sentences, and `hf_attn_seq2seq` computes alignments and explanations.

The defaults of a translation are those of `translate`, `explain` and the app: a text is split and joined, and its
length limited, by `splitting`; the search settings are the model's (`generation_config`).
"""

import copy
import importlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.pipelines.base import ChunkPipeline
from transformers.utils import logging

from .copying import CopyingTokenizer, extend
from .messages import shortened
from .splitting import (
    Piece,
    join_text,
    length_limit,
    max_source_tokens,
    refuse_blank,
    source_language,
    split_text,
    splits_sentences,
)


logger = logging.get_logger(__name__)

TASK = "attn-translation"  # Transformers refuses the name "translation"
_INPUTS = "text, or a list, generator or KeyDataset of it"
# The prefix of a result's keys by task, as in Transformers 4.
RETURN_NAMES = {
    TASK: "translation",
    "translation": "translation",
    "summarization": "summary",
    "text2text-generation": "generated",
}

DIRECTION = re.compile(r"translation_(\w+?)_to_(\w+)")


class AttnTranslationPipeline(ChunkPipeline):
    """
    Translates texts with any encoder-decoder, with the interface of the translation pipeline of Transformers 4.

    ```python
    translator = transformers.pipeline("attn-translation", model="my-model")
    translator("The cat is on the mat.")  # [{"translation_text": "Le chat est sur le tapis."}]
    translator(["One.", "Two."], batch_size=2, num_beams=5)  # a list of such dictionaries
    translator(KeyDataset(dataset, "en"), batch_size=32)  # yields what a single text gives, one by one
    ```

    A text gives a list with one dictionary, a list of texts gives a list of dictionaries (or of lists, with several
    results per text), and a generator or a data set gives an iterator. Options given here apply to every call; each
    call can override them:

    Args:
        model: An encoder-decoder that supports `generate`.
        tokenizer: The model's tokenizer.
        task: `"attn-translation"`, or a task of version 4: `"translation"`, `"translation_en_to_fr"`,
            `"summarization"`, `"text2text-generation"`. The prefix and the options of the task in the model's
            configuration (`task_specific_params`, as in T5) are used.
        src_lang, tgt_lang: For multilingual tokenizers (mBART, NLLB, M2M100). The source language also determines the
            abbreviations that do not end a sentence; its default is that of the tokenizer.
        split_sentences: Whether to translate each sentence separately, as models trained on sentences need, and join
            the translations with the original whitespace and line breaks; result k then consists of the k-th results.
            The default is the model's setting (`config.split_sentences`, else True) for translation, and False for the
            other tasks. Sentences are split by the library
            `sentencex`, or without it by a simple rule, which also splits after abbreviations.
        truncation: Whether to truncate a source that exceeds the model's limit, with a warning; the default is True.
        return_text, return_tensors: Whether results contain `translation_text` (default) and `translation_token_ids`,
            the ids of all sentences concatenated.
        clean_up_tokenization_spaces: Passed to the tokenizer's `decode`.
        return_alignments: Whether results contain `alignment`: `links`, pairs (source word, target word) counted from
            0, the `source_words` and `target_words`, and the same links in the Pharaoh format (`0-0 1-2`). They are
            read from the attention of the run that produced the translation. Needs the package `hf_attn_seq2seq`.
        explain: Whether results contain `explanation`: the `Trace` of that run (a list for several sentences), which
            `hf_attn_seq2seq.explain.page.save_page` writes as a page. Sentences are then translated one at a time.
            Needs `hf_attn_seq2seq[explain]`.
        batch_size: Number of sentences that are translated at once.
        engine: What searches instead of `model.generate`, with equal results: an engine of the package
            `hf_attn_seq2seq`, whose `pipeline` gives it. Explanations do without.
        **options: Passed to `model.generate`, such as `num_beams=5` or `num_return_sequences=3`. The defaults are the
            model's settings.

    Raises:
        ValueError: The model is not an encoder-decoder, there is no tokenizer, a text is blank, alignments are
            requested from a model without attention, or an option does not apply.
        ImportError: A package that an option needs is not installed.
    """

    _load_tokenizer = True  # type: ignore[assignment]
    _load_processor = _load_image_processor = _load_feature_extractor = False  # type: ignore[assignment]

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase | None = None,
        *,
        task: str = TASK,
        engine: Any = None,
        **options: Any,
    ) -> None:
        if not getattr(model.config, "is_encoder_decoder", False):
            raise ValueError(
                f"A model of type {model.config.model_type} cannot be used in this pipeline: give an encoder-decoder."
            )
        if tokenizer is None:
            raise ValueError("The tokenizer is missing: give the model's as tokenizer=...")
        direction = DIRECTION.fullmatch(str(task))
        if direction is None and task not in RETURN_NAMES:
            raise ValueError(
                f"The task '{shortened(str(task))}' is unknown: choose one of {', '.join(RETURN_NAMES)}, "
                "translation_xx_to_yy."
            )
        if direction is not None:
            options = {"src_lang": direction[1], "tgt_lang": direction[2], **options}
        self.return_name = RETURN_NAMES.get(task, "translation")
        self.engine = engine
        super().__init__(model=model, tokenizer=tokenizer, task=task, **options)  # type: ignore[arg-type]

    def _sanitize_parameters(
        self,
        src_lang: str | None = None,
        tgt_lang: str | None = None,
        split_sentences: bool | None = None,
        truncation: bool | str | None = None,
        return_text: bool | None = None,
        return_tensors: bool | None = None,
        clean_up_tokenization_spaces: bool | None = None,
        return_alignments: bool | None = None,
        explain: bool | None = None,
        **generate_options: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        if return_alignments:
            _package_module("return_alignments", "decoding.attending")
            if getattr(self.model.config, "attention_type", None) == "none":
                raise ValueError(
                    "This model has no attention, which word alignment needs: leave out return_alignments."
                )
        if explain:
            _package_module("explain", "explain.tracing", "[explain]")
        specific = self._task_options(src_lang, tgt_lang)
        preprocess = {
            "src_lang": src_lang,
            "tgt_lang": tgt_lang,
            "prefix": specific.pop("prefix", None),
            "split_sentences": split_sentences,
            "truncation": truncation,
            "return_alignments": return_alignments,
        }
        forward = {"return_alignments": return_alignments, "explain": explain}
        postprocess = {
            "return_text": return_text,
            "return_tensors": return_tensors,
            "clean_up_tokenization_spaces": clean_up_tokenization_spaces,
            "return_alignments": return_alignments,
        }
        return _given(preprocess), {**specific, **generate_options, **_given(forward)}, _given(postprocess)

    def _task_options(self, src_lang: str | None, tgt_lang: str | None) -> dict[str, Any]:
        """The options for the task in the model's configuration, if any."""
        tasks = getattr(self.model.config, "task_specific_params", None) or {}
        return dict(tasks.get(f"translation_{src_lang}_to_{tgt_lang}") or tasks.get(self.task) or {})

    def __call__(self, inputs: Any, *args: Any, **options: Any) -> Any:
        """
        Translate.

        Args:
            inputs: A text; a list of texts; an iterator or a data set of texts.
            **options: Those of the class.
        """
        if isinstance(inputs, Sequence) and not isinstance(inputs, str | bytes):
            inputs = list(inputs)
            for index, text in enumerate(inputs):
                refuse_blank(f"Text {index}", text, _INPUTS)
            if not inputs:
                return []
        elif isinstance(inputs, Iterator):
            inputs = (text for text in inputs)  # Transformers streams generators, but no other iterators
        if options.get("explain", self._forward_params.get("explain")):
            options["batch_size"] = 1
        results = super().__call__(inputs, *args, **options)
        if isinstance(inputs, list) and all(len(result) == 1 for result in results):
            return [result[0] for result in results]
        return results

    def preprocess(  # type: ignore[override]
        self,
        text: str,
        src_lang: str | None = None,
        tgt_lang: str | None = None,
        prefix: str | None = None,
        split_sentences: bool | None = None,
        truncation: bool | str = True,
        return_alignments: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """Yield the model's inputs for each sentence of a text, `(1, src_len)`."""
        refuse_blank("The text", text, _INPUTS)
        if split_sentences is None:
            split_sentences = self.return_name == "translation" and splits_sentences(self.model.config)
        if prefix is None:
            prefix = getattr(self.model.config, "prefix", None) or ""
        pieces = (
            split_text(text, src_lang or source_language(self.tokenizer)) if split_sentences else [Piece("", text)]
        )
        for number, piece in enumerate(pieces, start=1):
            inputs = self._encode(prefix + piece.sentence, truncation, return_alignments, src_lang, tgt_lang)
            if return_alignments:  # positions in the sentence; tokens of the prefix have none
                inputs["offset_mapping"] = (inputs["offset_mapping"] - len(prefix)).clamp(min=0)
            else:
                inputs.pop("offset_mapping", None)
            yield {**inputs, "prefix": prefix, "piece": piece, "is_last": number == len(pieces)}

    def _encode(
        self, text: str, truncation: bool | str, offsets: bool, src_lang: str | None, tgt_lang: str | None
    ) -> dict[str, Any]:
        slots = getattr(self.model.config, "pointer_slots", 0)

        def encode(**options: Any) -> dict[str, Any]:
            options.update(
                return_tensors="pt", return_offsets_mapping=(offsets or slots > 0) and self.tokenizer.is_fast
            )
            if hasattr(self.tokenizer, "_build_translation_inputs"):
                inputs = self.tokenizer._build_translation_inputs(
                    text, src_lang=src_lang, tgt_lang=tgt_lang, **options
                )
            else:
                inputs = self.tokenizer(text, **options)
            return {name: value for name, value in inputs.items() if name != "token_type_ids"}

        inputs = encode(truncation=False, verbose=False)
        length, limit = inputs["input_ids"].shape[1], max_source_tokens(self.model.config, self.tokenizer)
        if truncation and length > limit:
            logger.warning(f"A text of {length} tokens was truncated to the {limit} that the model reads: shorten it.")
            inputs = encode(truncation=truncation, max_length=limit)
        if offsets and not self.tokenizer.is_fast:
            found = _package_module("return_alignments", "decoding.attending").offsets_by_text(
                self.tokenizer, text, inputs["input_ids"][0].tolist()
            )
            inputs["offset_mapping"] = torch.tensor([found])
        if slots:
            ids = {name: inputs[name] for name in ("input_ids", "offset_mapping")}
            (inputs["copied"],) = extend(ids, self.tokenizer, [text], self.model.config.vocab_size, slots)
        return inputs

    def _forward(  # type: ignore[override]
        self, inputs: dict[str, Any], return_alignments: bool = False, explain: bool = False, **options: Any
    ) -> dict[str, Any]:
        kept: dict[str, Any] = {
            name: inputs.pop(name) for name in ("piece", "is_last", "offset_mapping", "copied") if name in inputs
        }
        prefix, batch = inputs.pop("prefix"), len(inputs["input_ids"])
        forced = inputs.pop("forced_bos_token_id", None)  # the target's language, for one sentence or for each
        if forced is not None:
            options.setdefault("forced_bos_token_id", forced[0] if isinstance(forced, list) else forced)
        options = {**length_limit(self.model, options), **options}
        if explain:
            trace = self._trace(prefix + kept["piece"][1], options)
            tokens = [trace.document["start"], *trace.document["target"]["tokens"]]
            made = {"output_ids": torch.tensor([[[token["id"] for token in tokens]]]), **kept, "trace": trace}
            if return_alignments:
                weights = trace.arrays[f"attention.{trace.attended(self._readout().layer)}.weights"]
                made["attention"] = torch.from_numpy(weights).transpose(0, 1)[None, None]
            return made
        if self.engine is not None:
            arrays = {name: value.cpu().numpy() for name, value in inputs.items()}
            layer = self._readout().layer if return_alignments else None
            found = self.engine.search(**arrays, layer=layer, **options)
            made = {"output_ids": torch.from_numpy(found.sequences).reshape(batch, -1, found.sequences.shape[-1])}
            if return_alignments:
                made["attention"] = torch.from_numpy(found.attentions).reshape(batch, -1, *found.attentions.shape[1:])
            return {**made, **kept}
        if not return_alignments:
            ids = self.model.generate(**inputs, **options)  # type: ignore[operator]
            return {"output_ids": ids.reshape(batch, -1, ids.shape[-1]), **kept}
        attending = _package_module("return_alignments", "decoding.attending")
        outputs, attention = attending.generate_attending(self.model, inputs, self._readout().layer, **options)
        return {
            "output_ids": outputs.sequences.reshape(batch, -1, outputs.sequences.shape[-1]),
            "attention": attention.reshape(batch, -1, *attention.shape[1:]),  # batch x results x heads x tgt x src
            **kept,
        }

    def _readout(self) -> Any:
        return _package_module("return_alignments", "decoding.readout").readout_of(self.model)

    def _trace(self, text: str, options: dict[str, Any]) -> Any:
        """The trace of one translation, found by the same search as with `generate`."""
        if options.get("do_sample") or (options.get("num_return_sequences") or 1) > 1:
            raise ValueError(
                "explain=True shows one translation, found without sampling: leave out do_sample and "
                "num_return_sequences."
            )
        before = self.model.generation_config
        options = dict(options)
        config = copy.deepcopy(options.pop("generation_config", None) or before)
        if unknown := config.update(**options):
            raise ValueError(f"explain=True does not take {shortened(', '.join(unknown))}: leave it out.")
        limit = config.max_new_tokens or config.max_length - 1
        config.max_length = None
        tracing = _package_module("explain", "explain.tracing", "[explain]")
        self.model.generation_config = config
        try:
            return tracing.trace(
                self.model,
                self.tokenizer,
                text,
                num_beams=config.num_beams or 1,
                max_new_tokens=limit,
                length_penalty=config.length_penalty,
            )
        finally:
            self.model.generation_config = before

    def postprocess(  # type: ignore[override]
        self,
        chunks: list[dict[str, Any]],
        return_text: bool | None = None,
        return_tensors: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        return_alignments: bool = False,
    ) -> list[dict[str, Any]]:
        """The results of a text, joined from its sentences: `output_ids` is `(1, results, tgt_len)` in each chunk."""
        results = []
        for number in range(chunks[0]["output_ids"].shape[1]):
            result: dict[str, Any] = {}
            rows = [chunk["output_ids"][0, number] for chunk in chunks]
            if return_tensors:
                result[f"{self.return_name}_token_ids"] = torch.cat(rows)
            if return_text or (return_text is None and not return_tensors):
                result[f"{self.return_name}_text"] = self._join(chunks, rows, clean_up_tokenization_spaces)
            if return_alignments:
                result["alignment"] = self._alignment(chunks, number)
            if "trace" in chunks[0]:
                traces = [chunk["trace"] for chunk in chunks]
                result["explanation"] = traces if len(traces) > 1 else traces[0]
            results.append(result)
        return results

    def _join(self, chunks: list[dict[str, Any]], rows: list[torch.Tensor], clean_up: bool | None) -> str:
        options = {"skip_special_tokens": True, "clean_up_tokenization_spaces": clean_up}
        texts = [str(self._names(chunk).decode(ids, **options)) for chunk, ids in zip(chunks, rows)]
        return "".join(join_text([Piece(*chunk["piece"]) for chunk in chunks], texts))

    def _names(self, chunk: dict[str, Any]) -> Any:
        """The tokenizer, which for a pointer knows the words of this source that are outside the vocabulary."""
        if "copied" not in chunk:
            return self.tokenizer
        return CopyingTokenizer(self.tokenizer, chunk["copied"], self.model.config.vocab_size)

    def _alignment(self, chunks: list[dict[str, Any]], number: int) -> dict[str, Any]:
        """The word links of all sentences of a text, with words counted through the whole text."""
        words = _package_module("return_alignments", "data.words")
        decoding = _package_module("return_alignments", "decoding.text")
        reading = _package_module("return_alignments", "decoding.readout")
        readout = self._readout()
        special = set(self.tokenizer.all_special_ids)
        links: list[tuple[int, int]] = []
        source_words: list[str] = []
        target_words: list[str] = []
        for chunk in chunks:
            layer = chunk["attention"][0, number].numpy()  # heads x tgt_len x src_len
            ids = chunk["output_ids"][0, number, 1 : 1 + layer.shape[1]].tolist()  # no row belongs to the start token
            source, target, found, _ = reading.align_run(
                readout,
                layer,
                words.cut_words(chunk["piece"][1]),
                chunk["offset_mapping"][0].tolist(),
                decoding.token_texts(self._names(chunk), ids, special),
            )
            links += sorted((len(source_words) + i, len(target_words) + j) for i, j in found)
            source_words += source.words()
            target_words += target.words()
        return {
            "links": links,
            "source_words": source_words,
            "target_words": target_words,
            "pharaoh": " ".join(f"{i}-{j}" for i, j in links),
        }


def _package_module(option: str, name: str, extra: str = "") -> Any:
    """A module of the package, which may not be installed where this file was loaded with a model's weights."""
    try:
        # By name, because Transformers requires all packages that a file saved with the weights imports.
        return importlib.import_module(f"hf_attn_seq2seq.{name}")
    except ImportError as error:
        raise ImportError(
            f'{option}=True needs a package that is not installed: run pip install "hf_attn_seq2seq{extra}" ({error}).'
        ) from error


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


__all__ = ["TASK", "AttnTranslationPipeline", "join_text", "length_limit", "max_source_tokens", "split_text"]
