# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The processor of `attn_seq2seq` models that hear or see: a tokenizer, and what reads sounds or pictures."""

import functools
import json
from pathlib import Path
from typing import Any

from transformers import AutoFeatureExtractor, AutoImageProcessor, AutoTokenizer, BatchFeature, ProcessorMixin
from transformers.utils import cached_file

from .feature_extraction_attn_seq2seq import AttnSeq2SeqFeatureExtractor
from .image_processing_attn_seq2seq import AttnSeq2SeqImageProcessor
from .labels import IGNORED


_PARTS = {"feature_extractor", "image_processor"}
_HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder")


class AttnSeq2SeqProcessor(ProcessorMixin):
    """
    What a model that hears or sees needs beside its weights.

    ```python
    processor = AttnSeq2SeqProcessor(AttnSeq2SeqFeatureExtractor(), tokenizer=tokenizer)
    processor(audio=waveforms, sampling_rate=16000, text=texts, return_tensors="pt")  # with labels
    processor = AttnSeq2SeqProcessor(image_processor=AttnSeq2SeqImageProcessor(), tokenizer=tokenizer)
    processor.batch_decode(model.generate(**processor(images=pictures, return_tensors="pt")), skip_special_tokens=True)
    ```

    Args:
        feature_extractor: For sounds; leave out one of the two.
        image_processor: For pictures.
        tokenizer: For the texts that the model writes.

    Raises:
        ValueError: Both or neither of the first two are given, or the tokenizer is missing.
    """

    def __init__(
        self,
        feature_extractor: AttnSeq2SeqFeatureExtractor | None = None,
        image_processor: AttnSeq2SeqImageProcessor | None = None,
        tokenizer: Any = None,
        **kwargs: Any,
    ) -> None:
        parts = {"feature_extractor": feature_extractor, "image_processor": image_processor, "tokenizer": tokenizer}
        given = {name: part for name, part in parts.items() if part is not None}
        if len(given) != 2 or tokenizer is None:
            raise ValueError(
                "A processor has two parts: a tokenizer, and either a feature_extractor or an image_processor; given: "
                f"{', '.join(given) or 'none'}."
            )
        # Transformers reads the parts of a class off its constructor; those of this one are a choice.
        self.get_attributes = functools.partial(list, given)  # type: ignore[method-assign]
        super().__init__(**given, **kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """The saved processor; of a model that reads text, which has none, the tokenizer."""
        described, _ = cls.get_processor_dict(pretrained_model_name_or_path, **kwargs)
        if _part(pretrained_model_name_or_path, described, kwargs) is None:
            return AutoTokenizer.from_pretrained(pretrained_model_name_or_path, **kwargs)
        return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)

    @classmethod
    def _get_arguments_from_pretrained(  # type: ignore[override]
        cls, pretrained_model_name_or_path: Any, processor_dict: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[Any]:
        hears = _part(pretrained_model_name_or_path, processor_dict or {}, kwargs) == "feature_extractor"
        part = (AutoFeatureExtractor if hears else AutoImageProcessor).from_pretrained(
            pretrained_model_name_or_path, **kwargs
        )
        tokenizer = AutoTokenizer.from_pretrained(pretrained_model_name_or_path, **kwargs)
        return [part if hears else None, None if hears else part, tokenizer]

    @property
    def hears(self) -> bool:
        """Whether this processor takes sounds, rather than pictures."""
        return "feature_extractor" in self.get_attributes()

    @property
    def model_input_names(self) -> list[str]:
        part = self.feature_extractor if self.hears else self.image_processor
        return [*part.model_input_names, "labels"]

    def __call__(  # type: ignore[override]
        self, images: Any = None, text: Any = None, videos: Any = None, audio: Any = None, **kwargs: Any
    ) -> BatchFeature:
        """
        Sounds or pictures, texts, or both.

        Args:
            images, audio: As for the image processor and the feature extractor.
            text: What is to be written, or a list of it. With sounds or pictures it gives `labels`, padded with -100;
                alone, what the tokenizer gives.
            **kwargs: `sampling_rate`, `return_tensors` and other options of the part that is used.

        Raises:
            ValueError: Nothing is given, or what this model does not take.
        """
        media, refused = (audio, images) if self.hears else (images, audio)
        if refused is not None or videos is not None:
            raise ValueError(
                f"This model takes {'sounds' if self.hears else 'pictures'} alone: give "
                f"{'them as audio' if self.hears else 'them as images'}."
            )
        if media is None:
            if text is None:
                raise ValueError(f"There is nothing to process: give {'audio' if self.hears else 'images'} or text.")
            return self.tokenizer(text_target=text, **kwargs)
        part = self.feature_extractor if self.hears else self.image_processor
        made = part(media, **kwargs)
        if text is not None:
            padded = self.tokenizer(
                text_target=[text] if isinstance(text, str) else list(text),
                padding=True,
                return_attention_mask=True,
                return_tensors="pt",
            )
            labels = padded["input_ids"].masked_fill(padded["attention_mask"] == 0, IGNORED)
            made["labels"] = labels if kwargs.get("return_tensors") == "pt" else labels.numpy()
        return made


def _part(name: Any, described: dict[str, Any], options: dict[str, Any]) -> str | None:
    """Which of both parts a saved processor has, if any: in its own file, or in that of the part."""
    hub = {key: options[key] for key in _HUB_OPTIONS if options.get(key) is not None}
    if not _PARTS & described.keys():
        file = cached_file(name, "preprocessor_config.json", _raise_exceptions_for_missing_entries=False, **hub)
        described = {} if file is None else json.loads(Path(file).read_text("utf-8"))
    return next((part for part in _PARTS if part in described or f"{part}_type" in described), None)


__all__ = ["AttnSeq2SeqProcessor"]
