# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Names by which users choose what is shown: chapters, levels of detail, pictures."""

import re
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

EXAMPLE_NAMES = ("sentence", "paragraph")
TEXTS = {  # by the language that a model reads; the same in each
    "en": {
        "sentence": "A man is playing the guitar in the street.",
        "paragraph": "The street was full of people when an old man began to play the violin. A large crowd stopped "
        "to listen to him, and even the children were quiet for a moment. When he stopped, nobody wanted to go home, "
        "because his music had made us happy and a little sad.",
    },
    "fr": {
        "sentence": "Un homme joue de la guitare dans la rue.",
        "paragraph": "La rue était pleine de monde quand un vieil homme commença à jouer du violon. Une grande foule "
        "s'arrêta pour l'écouter, et même les enfants restèrent silencieux un moment. Quand il s'arrêta, personne ne "
        "voulait rentrer, car sa musique nous avait rendus heureux et un peu tristes.",
    },
}


def example_text(name: str, language: str) -> str | None:
    """The text of this package with a name, in a language such as "fr" or "fr_XX"; None if there is none."""
    return TEXTS.get(re.split("[_-]", language)[0], {}).get(name)
