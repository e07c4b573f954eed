# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Transformers' pipelines for speech and pictures, which read files without ffmpeg and run the models of this package.

They need only torch and transformers, because this file is saved with the weights; and soundfile or Pillow for files.
For other models they do what Transformers' own classes do, so that they can take the place of these.
"""

# mypy: disable-error-code="override"
# Transformers' pipelines differ in what their methods take, and so do these.
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from huggingface_hub import get_session
from transformers import BatchFeature
from transformers.pipelines.automatic_speech_recognition import AutomaticSpeechRecognitionPipeline
from transformers.pipelines.base import Pipeline
from transformers.pipelines.image_text_to_text import ImageTextToTextPipeline

from .messages import quoted
from .modality import AUDIO, IMAGE, MODALITIES, Modality
from .splitting import length_limit


MODEL_TYPE = "attn_seq2seq"


class AttnSpeechRecognitionPipeline(AutomaticSpeechRecognitionPipeline):
    """
    Writes down what is said, with the interface of Transformers' `"automatic-speech-recognition"`.

    ```python
    recognizer = transformers.pipeline("automatic-speech-recognition", model="my-model")
    recognizer("speech.flac")  # {"text": "..."}
    recognizer(["a.wav", "b.ogg"], batch_size=2, num_beams=5)  # a list of such dictionaries
    ```

    Args:
        model: A model that hears. Any other is run as by Transformers' own class.
        feature_extractor, tokenizer: The model's.
        batch_size: Number of sounds that are recognized at once.
        engine: What searches instead of `model.generate`, with equal results: an engine of the package
            `hf_attn_seq2seq`, whose `pipeline` gives it.
        **options: Passed to `model.generate`, such as `num_beams=5` or `ctc_weight=0.3`; those of a call override
            these. The defaults are the model's settings.

    A sound is a path, an address of the web, the content of a file, an array at the rate of the feature extractor, or
    `{"array": ..., "sampling_rate": ...}`, which is resampled.

    Raises:
        ValueError: A model of this package does not hear, a file cannot be used, or an option does not apply. One bad
            file in a list ends the whole call, as in Transformers' pipelines; the message names it.
    """

    def __init__(self, model: Any, *args: Any, engine: Any = None, **kwargs: Any) -> None:
        self.own, self.engine = _is_own(model, AUDIO), engine
        if self.own:
            self._pipeline_calls_generate = False  # Transformers' defaults of the search, in place of the model's
        super().__init__(model, *args, **kwargs)

    def _sanitize_parameters(self, **options: Any) -> Any:
        return _sanitized(options) if self.own else super()._sanitize_parameters(**options)

    def preprocess(self, inputs: Any, *args: Any, **options: Any) -> Iterator[dict[str, Any]]:
        if not self.own:
            yield from super().preprocess(inputs, *args, **options)
            return
        extractor: Any = self.feature_extractor
        made = extractor(_decoded(_fetched(inputs)), sampling_rate=extractor.sampling_rate, return_tensors="np")
        (features,) = made["input_features"]
        yield {"features": features, "is_last": True}

    def _forward(self, model_inputs: dict[str, Any], **options: Any) -> dict[str, Any]:
        if not self.own:
            return super()._forward(model_inputs, **options)
        features = {"input_features": _as_list(model_inputs["features"])}
        inputs = self.feature_extractor.pad(BatchFeature(features), return_tensors="pt")  # type: ignore[union-attr]
        return {"output_ids": _searched(self, inputs, options), "is_last": model_inputs["is_last"]}

    def postprocess(self, model_outputs: Any, *args: Any, **options: Any) -> Any:
        if not self.own:
            return super().postprocess(model_outputs, *args, **options)
        results = [{"text": text} for text in _texts(self.tokenizer, model_outputs[0]["output_ids"], options)]
        return results if len(results) > 1 else results[0]

    def save_pretrained(self, save_directory: Any, **kwargs: Any) -> None:
        super().save_pretrained(save_directory, **kwargs)
        if self.own:
            _save_processor(save_directory, feature_extractor=self.feature_extractor, tokenizer=self.tokenizer)


class AttnImageToTextPipeline(ImageTextToTextPipeline):
    """
    Writes down what a picture shows, with the interface of Transformers' `"image-text-to-text"` without a text, which
    was `"image-to-text"` in version 4.

    ```python
    reader = transformers.pipeline("image-text-to-text", model="my-model")
    reader("line.png")  # [{"generated_text": "..."}]
    reader(["a.png", "b.jpg"], batch_size=2, num_beams=5)  # a list of such lists
    ```

    Args:
        model: A model that sees. Any other is run as by Transformers' own class.
        processor: The model's.
        batch_size: Number of pictures that are read at once.
        engine: What searches instead of `model.generate`, with equal results: an engine of the package
            `hf_attn_seq2seq`, whose `pipeline` gives it.
        **options: Passed to `model.generate`, such as `num_beams=5`; those of a call override these. The defaults are
            the model's settings.

    A picture is a path, an address of the web, the content of a file, an array, or a picture of Pillow.

    Raises:
        ValueError: A model of this package does not see, a file cannot be used, a text is given, or an option does not
            apply. One bad file in a list ends the whole call, as in Transformers' pipelines; the message names it.
    """

    def __init__(self, model: Any, *args: Any, engine: Any = None, **kwargs: Any) -> None:
        self.own, self.engine = _is_own(model, IMAGE), engine
        if self.own:
            self._pipeline_calls_generate = False
        super().__init__(model, *args, **kwargs)

    def _sanitize_parameters(self, **options: Any) -> Any:
        return _sanitized(options) if self.own else super()._sanitize_parameters(**options)

    def __call__(self, images: Any = None, text: Any = None, **options: Any) -> Any:
        if not self.own:
            return super().__call__(images, text, **options)
        if images is None:
            raise ValueError("There is no picture: give one as images, or several in a list.")
        if any(map(str.strip, [text] if isinstance(text, str) else text or [])):
            raise ValueError(f"This model takes no text beside a picture: leave out {quoted(text)}.")
        return Pipeline.__call__(self, list(images) if isinstance(images, tuple) else images, **options)

    def preprocess(self, inputs: Any = None, *args: Any, **options: Any) -> dict[str, Any]:
        if not self.own:
            return super().preprocess(inputs, *args, **options)  # type: ignore[no-any-return]
        if isinstance(inputs, Mapping) and "images" in inputs:
            inputs = inputs["images"]
        if isinstance(inputs, Mapping) or hasattr(inputs, "messages"):
            raise ValueError("This model takes no conversation: give the picture alone.")
        processor: Any = self.image_processor or self.processor.image_processor  # type: ignore[union-attr]
        return {"pixels": processor.pixels(_fetched(inputs))}

    def _forward(self, model_inputs: dict[str, Any], **options: Any) -> dict[str, Any]:
        if not self.own:
            return super()._forward(model_inputs, **options)  # type: ignore[no-any-return]
        processor: Any = self.image_processor or self.processor.image_processor  # type: ignore[union-attr]
        inputs = processor.batch(_as_list(model_inputs["pixels"]), return_tensors="pt")
        return {"output_ids": _searched(self, inputs, options)}

    def postprocess(self, model_outputs: Any, *args: Any, **options: Any) -> Any:
        if not self.own:
            return super().postprocess(model_outputs, *args, **options)
        return [{"generated_text": text} for text in _texts(self.tokenizer, model_outputs["output_ids"], options)]

    def save_pretrained(self, save_directory: Any, **kwargs: Any) -> None:
        super().save_pretrained(save_directory, **kwargs)
        if self.own:
            _save_processor(save_directory, image_processor=self.image_processor, tokenizer=self.tokenizer)


# By task of Transformers, the class; `image-to-text` is the name of its version 4.
PIPELINES: dict[str, type[Pipeline]] = {
    "automatic-speech-recognition": AttnSpeechRecognitionPipeline,
    "image-text-to-text": AttnImageToTextPipeline,
    "image-to-text": AttnImageToTextPipeline,
}


def _is_own(model: Any, modality: Modality) -> bool:
    """Whether a model is one of this package; a ValueError if it reads something else."""
    if getattr(model.config, "model_type", None) != MODEL_TYPE:
        return False
    if model.main_input_name != modality.input_name:
        other = next(each for each in MODALITIES if each.input_name == model.main_input_name)
        raise ValueError(f"This model reads {other.reads}, not {modality.reads}: use the pipeline for these.")
    return True


def _sanitized(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    options = dict(options)
    for name in ("chunk_length_s", "stride_length_s", "return_timestamps", "return_language", "decoder_kwargs"):
        if options.pop(name, None):
            raise ValueError(f"{name} does not apply to this model: leave it out.")
    shown = "clean_up_tokenization_spaces"
    after = {shown: options.pop(shown)} if shown in options else {}
    return {}, {**(options.pop("generate_kwargs", None) or {}), **options}, after


def _fetched(given: Any) -> Any:
    """The content of a file on the web, and everything else as it is."""
    if isinstance(given, str) and given.startswith(("http://", "https://")):
        return get_session().get(given, follow_redirects=True).raise_for_status().content
    return given


def _decoded(given: Any) -> Any:
    """The samples of an `AudioDecoder`, which `datasets` gives, and everything else as it is."""
    if hasattr(given, "get_all_samples"):
        samples = given.get_all_samples()
        return {"array": samples.data, "sampling_rate": samples.sample_rate}
    if getattr(given, "ndim", 1) == 2:  # channels, of one sound
        return [given]
    return given


def _as_list(given: Any) -> list[Any]:
    """Those of a batch, which Transformers leaves in a list, or the one that is not in a batch."""
    return given if isinstance(given, list) else [given]


def _searched(pipeline: Any, inputs: Any, options: dict[str, Any]) -> torch.Tensor:
    """Token ids of shape `(batch, results, tgt_len)`."""
    model, batch = pipeline.model, len(inputs[pipeline.model.main_input_name])
    options = {**length_limit(model, options), **options}
    if pipeline.engine is not None:
        arrays = {name: value.numpy() for name, value in inputs.items()}
        ids = torch.from_numpy(pipeline.engine.search(**arrays, **options).sequences)
    else:
        ids = model.generate(**inputs.to(model.device), **options)
    return ids.reshape(batch, -1, ids.shape[-1])


def _texts(tokenizer: Any, ids: torch.Tensor, options: dict[str, Any]) -> list[str]:
    """The results of one input; `ids` has shape `(1, results, tgt_len)`."""
    return [tokenizer.decode(row, skip_special_tokens=True, **options) for row in ids[0]]


def _save_processor(folder: Any, **parts: Any) -> None:
    """Save the processor of these parts, which Transformers' pipelines would save one by one."""
    from .processing_attn_seq2seq import AttnSeq2SeqProcessor  # being imported here, its file travels with this one

    AttnSeq2SeqProcessor.register_for_auto_class()  # as it is not where this file was loaded alone
    AttnSeq2SeqProcessor(**parts).save_pretrained(folder)


__all__ = ["PIPELINES", "AttnImageToTextPipeline", "AttnSpeechRecognitionPipeline"]
