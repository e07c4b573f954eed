# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The tables of embeddings and the output layer of another toolkit's model, in the order of the ids here."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from hf_attn_seq2seq.convert.vocabularies import EXCLUDED, IDS, START, Side
from hf_attn_seq2seq.convert.weights import Filling, Weights, rows_of


class Tables(NamedTuple):
    """
    Where they lie.

    Attributes:
        sides: The vocabularies of source and target.
        source: The name of the source's table.
        target: The name of the target's.
        output: What the names of the output layer's weight and bias begin with.
        width: How many numbers an embedding has.
    """

    sides: list[Side]
    source: str
    target: str
    output: str
    width: int

    @classmethod
    def of(
        cls, weights: Weights, sides: list[Side], source: str, target: str, output: str, tied: bool = False
    ) -> Tables:
        """
        Those of a file.

        Args:
            weights: Of the file.
            sides: The vocabularies.
            source, target, output: What the tables and the output layer are called there.
            tied: Whether the output layer may be missing, since it is the target's table.

        Raises:
            ValueError: A table or the output layer is missing, or one table has another width than the other.
        """
        if not tied:
            weights.shape(f"{output}.weight")
        widths = [weights.shape(name)[1] for name in (source, target)]
        if widths[0] != widths[1]:
            raise ValueError(
                f"'{weights.file}' has embeddings of {widths[0]} numbers for the source and {widths[1]} for the "
                "target: here both have one width."
            )
        return cls(sides, source, target, output, widths[0])

    def fields(self, weights: Weights, start: int = START) -> dict[str, Any]:
        """The fields of a configuration that they say; equal weights are one, whatever a model's options say."""
        source, target = weights.left[self.source], weights.left[self.target]
        head = weights.left.get(f"{self.output}.weight", target)
        return {
            "vocab_size": len(self.sides[0].tokens),
            "decoder_vocab_size": len(self.sides[1].tokens),
            "embedding_size": self.width,
            "share_encoder_decoder_embeddings": self.sides[0] == self.sides[1] and torch.equal(source, target),
            "tie_word_embeddings": torch.equal(head, target),
            "output_bias": f"{self.output}.bias" in weights or bool(self.sides[1].excluded),
            **IDS,
            "decoder_start_token_id": start,
        }

    def fill(self, filling: Filling, weights: Weights) -> None:
        """
        Write them into a model.

        Raises:
            ValueError: One is missing, or has another shape.
        """
        sizes = [weights.shape(name)[0] for name in (self.source, self.target)]
        filling.embeddings(
            *(
                rows_of(weights.take(name, size, self.width), side.rows)
                for name, size, side in zip((self.source, self.target), sizes, self.sides)
            )
        )
        head, rows = filling.model.lm_head, self.sides[1].rows
        if filling.config.tie_word_embeddings:
            weights.drop(f"{self.output}.weight")
        else:
            filling.put(head.weight, rows_of(weights.take(f"{self.output}.weight", sizes[1], head.in_features), rows))
        if filling.config.output_bias:
            biased = f"{self.output}.bias" in weights
            bias = weights.take(f"{self.output}.bias", sizes[1]) if biased else torch.zeros(sizes[1])
            bias = rows_of(bias, rows)
            bias[self.sides[1].excluded] = EXCLUDED
            filling.put(head.bias, bias)
