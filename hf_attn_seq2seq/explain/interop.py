# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Other tools: traces as arguments for BertViz, models for Inseq. Both tools are optional."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hf_attn_seq2seq.explain.document import Trace


def to_bertviz(trace: Trace) -> dict[str, dict[str, Any]]:
    """
    The attention of a trace as keyword arguments for BertViz, by kind of attention.

    ```python
    for kind, arguments in to_bertviz(made).items():
        bertviz.model_view(**arguments)  # or head_view
    ```

    Each kind has its own set because one call draws the same layers and heads of all kinds: if the encoder is deeper
    than the decoder, a call with both fails; if the decoder is deeper, layers are missing.

    Returns:
        The available ones of `"encoder"` (self-attention of the source), `"decoder"` (self-attention of the input
        tokens, start token first) and `"cross"` (from the chosen tokens to the source; as in all views here,
        `decoder_tokens` are the chosen tokens, not the input tokens), each with a list of tensors `(1, heads, length,
        length)`, one per layer, and the tokens.

    Raises:
        ValueError: The model has no attention at all.
    """
    fed = [step["fed"]["token"] for step in trace.document["steps"]]
    found: dict[str, dict[str, Any]] = {}
    for kind, layers, tokens in (
        ("encoder", trace.document["encoder"]["layers"], {"encoder_tokens": trace.source_tokens}),
        ("decoder", trace.document["decoder"]["layers"], {"decoder_tokens": fed}),
    ):
        names = [f"{kind}.layer.{layer}.self_attention.weights" for layer in range(layers)]
        if names[0] in trace.arrays:
            found[kind] = {
                f"{kind}_attention": [torch.from_numpy(trace.arrays[name])[None] for name in names],
                **tokens,
            }
    if trace.layers:
        weights = [torch.from_numpy(trace.arrays[f"attention.{layer}.weights"]) for layer in trace.layers]
        found["cross"] = {
            "cross_attention": [each.transpose(0, 1)[None] for each in weights],
            "encoder_tokens": trace.source_tokens,
            "decoder_tokens": trace.target_tokens,
        }
    if not found:
        raise ValueError("This model has no attention at all, so BertViz has nothing to draw.")
    return found


def inseq_model(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, attribution_method: str = "saliency", **options: Any
) -> Any:
    """
    Wrap a model of this package for Inseq's attribution methods.

    ```python
    inseq_model(model, tokenizer, "integrated_gradients").attribute("The cat is on the mat .").show()
    ```

    By default, Inseq uses the embedding table and the vocabulary of the source for the target too. This wrapper uses
    those of the target.

    Args:
        model: With separate embedding tables or a shared one.
        tokenizer: The model's tokenizer, with one vocabulary or two.
        attribution_method: Default method of `attribute`; override it with `attribute(..., method=)`.
        **options: Passed to Inseq's model class, such as `device`.

    Returns:
        An `inseq.models.HuggingfaceEncoderDecoderModel`.

    Raises:
        ImportError: Inseq is not installed.
    """
    try:
        from inseq.models import HuggingfaceEncoderDecoderModel
    except ImportError as error:
        raise ImportError('Inseq is not installed: run pip install "hf_attn_seq2seq[interop]".') from error

    class AttnSeq2SeqAttributionModel(HuggingfaceEncoderDecoderModel):  # type: ignore[misc]
        """Inseq's model, with a separate target side."""

        tokenizer: Any

        @contextmanager
        def side(self, as_targets: bool) -> Iterator[None]:
            """Inside this context the tokenizer is that of the target, if requested and separate."""
            whole = self.tokenizer
            self.tokenizer = getattr(whole, "target", whole) if as_targets else whole
            try:
                yield
            finally:
                self.tokenizer = whole

        def embed_ids(self, ids: torch.Tensor, as_targets: bool = False) -> torch.Tensor:
            if as_targets and self.decoder_int_embeds is None:
                return self.get_decoder().embed(ids) * self.embed_scale
            return super().embed_ids(ids, as_targets=as_targets)

        def encode(self, texts: Any, as_targets: bool = False, *args: Any, **kwargs: Any) -> Any:
            with self.side(as_targets):
                return super().encode(texts, as_targets, *args, **kwargs)

        def convert_ids_to_tokens(self, ids: Any, *args: Any, **kwargs: Any) -> Any:
            with self.side(True):  # Inseq calls this for targets only
                return super().convert_ids_to_tokens(ids, *args, **kwargs)

        def convert_tokens_to_string(
            self, tokens: Any, skip_special_tokens: bool = True, as_targets: bool = False
        ) -> Any:
            with self.side(as_targets):
                return super().convert_tokens_to_string(tokens, skip_special_tokens, as_targets)

        def convert_string_to_tokens(
            self, text: Any, skip_special_tokens: bool = True, as_targets: bool = False
        ) -> Any:
            with self.side(as_targets):
                return super().convert_string_to_tokens(text, skip_special_tokens, as_targets)

        def get_forward_output(self, *args: Any, **kwargs: Any) -> Any:
            # cuDNN does not compute gradients of recurrent layers in evaluation mode.
            with torch.backends.cudnn.flags(enabled=False):
                return super().get_forward_output(*args, **kwargs)

        @staticmethod
        def get_attentions_dict(output: Any) -> Any:
            if not output.encoder_attentions or not output.decoder_attentions:
                raise ValueError(
                    "Inseq's 'attention' needs self-attention on both sides, which this model does not have: use "
                    "trace() to see its weights."
                )
            return HuggingfaceEncoderDecoderModel.get_attentions_dict(output)

    return AttnSeq2SeqAttributionModel(model, attribution_method, tokenizer, **options)
