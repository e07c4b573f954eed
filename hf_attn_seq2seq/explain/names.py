# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Names by which users choose what is shown: chapters, levels of detail, pictures."""

from typing import Literal, get_args


TITLES = {  # of the chapters; a run has them in the order in which its numbers are computed (chapters.py)
    "tokens": "Tokens",
    "embeddings": "Embeddings",
    "encoder": "Encoder",
    "handover": "Handover",
    "step_input": "Step input",
    "attention": "Attention",
    "state": "New state",
    "choice": "Choice and stop",
    "loop": "The loop",
}

Depth = Literal["lines", "bars", "numbers", "vectors"]
DEPTHS: tuple[Depth, ...] = get_args(Depth)

FigureKind = Literal["alignment", "step", "heads", "states", "beams"]
FIGURES: tuple[FigureKind, ...] = get_args(FigureKind)

EXAMPLE = "A man is playing the guitar in the street."  # with which the live page begins
PARAGRAPH = (
    "The street was full of people when an old man began to play the violin. A large crowd stopped to listen to him, "
    "and even the children were quiet for a moment. When he stopped, nobody wanted to go home, because his music had "
    "made us happy and a little sad."
)
TEXTS = {"sentence": EXAMPLE, "paragraph": PARAGRAPH}  # offered by these names
