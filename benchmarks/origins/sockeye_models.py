# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Models of Sockeye for `prove.py`: every kind that is read, with random weights."""

import itertools
from pathlib import Path


TYINGS = ("none", "src_trg_softmax", "trg_softmax", "src_trg")
ORDERS = {"pre": ("n", "dr"), "post": ("", "drn")}
LONGEST = {"source": 40, "target": 30}  # positions


def transformer(turn: int, norm: str, decoder: str, positions: str) -> dict:
    """A Transformer; what else it may have takes turns."""
    before, behind = ORDERS[norm]
    parts = {
        side: {
            "model_size": 12,
            "attention_heads": (2, 4, 3)[(turn + place) % 3],
            "feed_forward_num_hidden": 16 + 4 * (turn + place) % 12,
            "act_type": ("relu", "swish1", "gelu")[turn % 3],
            "num_layers": 1 + (turn + place) % 3,
            "dropout_attention": 0.1,
            "dropout_act": 0.1,
            "dropout_prepost": 0.1,
            "positional_embedding_type": positions,
            "preprocess_sequence": before,
            "postprocess_sequence": behind,
            "max_seq_len_source": LONGEST["source"],
            "max_seq_len_target": LONGEST["target"],
            "decoder_type": decoder,
            "depth_key_value": 12,
        }
        for place, side in enumerate(("encoder", "decoder"))
    }
    return {"tying": TYINGS[(turn + turn // 4) % 4], "dtype": "float32", **parts}


MODELS = [
    transformer(turn, *kinds)
    for turn, (_, *kinds) in enumerate(
        itertools.product(range(2), ("pre", "post"), ("transformer", "ssru_transformer"), ("fixed", "learned"))
    )
]

# Those whose files are kept for the tests: tests/convert/sockeye.
KEPT = {
    "attention": {**transformer(0, "pre", "transformer", "fixed"), "tying": "none"},
    "ssru": {**transformer(1, "post", "ssru_transformer", "learned"), "tying": "src_trg_softmax"},
}


def order(path: Path, model: dict, seed: int, sentences: list[str], words: list[list[str]]) -> dict:
    """An order to write a model with random weights, and to translate by it."""
    both = [word for side in words for word in side]
    shared = model["tying"].startswith("src_trg")
    return {
        "path": str(path),
        "seed": seed,
        "scale": 1.5,
        "words": [both, both] if shared else words,
        "positions": LONGEST,
        "sentences": sentences,
        "forced": [" ".join(words[0][:5]), " ".join(words[1][3:12])],
        "longest": 20,
        **model,
    }
