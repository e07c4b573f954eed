# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Models of JoeyNMT for `prove.py`: every kind that is read, with random weights, and every way of splitting text."""

import itertools
import random
from pathlib import Path

from hf_attn_seq2seq.data.sentencepiece import SPACE, Kind, Piece, SentencePiece, write_sentencepiece


def recurrent(turn: int, cells: tuple[str, str], attention: str, start: str) -> dict:
    """A recurrent model; what else it may have takes turns."""
    shared = turn % 5 == 4
    embeddings = [{"embedding_dim": 12, "scale": turn % 3 == 0 or (shared and turn % 2 == 0)} for _ in range(2)]
    return {
        "tied_embeddings": shared,
        "tied_softmax": turn % 4 == 3,
        "encoder": {
            "type": "recurrent",
            "rnn_type": cells[0],
            "embeddings": embeddings[0],
            "hidden_size": (6, 12, 9)[turn % (2 if start == "last" else 3)],
            "bidirectional": True,
            "num_layers": 1 + turn % 3,
        },
        "decoder": {
            "type": "recurrent",
            "rnn_type": cells[1],
            "embeddings": embeddings[1],
            "hidden_size": 12,
            "num_layers": 1 + turn // 2 % 2,
            "attention": attention,
            "input_feeding": turn // 3 % 2 == 0,
            "init_hidden": start,
        },
    }


def transformer(turn: int, norm: str, activation: str, scales: tuple[bool, bool]) -> dict:
    """A Transformer; what else it may have takes turns."""
    parts = {
        side: {
            "type": "transformer",
            "embeddings": {"embedding_dim": 12, "scale": scale},
            "hidden_size": 12,
            "ff_size": 16 + 4 * (turn + place) % 12,
            "num_layers": 1 + (turn + place) % 3,
            "num_heads": (2, 4, 3)[(turn + place) % 3],
            "layer_norm": norm,
            "activation": activation,
            **({"alpha": 1.25 + place / 2} if turn % 3 == 1 else {}),
        }
        for place, (side, scale) in enumerate(zip(("encoder", "decoder"), scales))
    }
    return {
        "initializer": "xavier_normal" if turn % 4 == 3 else "xavier_uniform",
        "tied_embeddings": turn % 5 == 4 and scales[0] == scales[1],
        "tied_softmax": turn % 2 == 1,
        **parts,
    }


RECURRENT = [
    recurrent(turn, *kinds)
    for turn, kinds in enumerate(
        itertools.product(
            itertools.product(("gru", "lstm"), repeat=2), ("bahdanau", "luong"), ("bridge", "last", "zero")
        )
    )
]
TRANSFORMERS = [
    transformer(turn, *kinds)
    for turn, kinds in enumerate(
        itertools.product(("pre", "post"), ("relu", "gelu", "swish"), itertools.product((True, False), repeat=2))
    )
]
# A recurrent encoder under a Transformer.
MIXED = [
    {
        **transformer(turn, norm, "relu", (scale, scale)),
        "tied_embeddings": False,
        "initializer": "xavier_uniform",
        "encoder": {**recurrent(turn, (cell, cell), "luong", "zero")["encoder"], "hidden_size": 6},
    }
    for turn, (norm, cell, scale) in enumerate(itertools.product(("pre", "post"), ("gru", "lstm"), (True, False)))
]
MODELS = [*RECURRENT, *TRANSFORMERS, *MIXED]


NEW = ("layer_norm", "activation", "alpha")  # which JoeyNMT 1 knows nothing of


def first_version(model: dict) -> dict:
    """A model for JoeyNMT 1, whose Transformers are of one kind."""
    parts = {
        side: {name: value for name, value in model[side].items() if name not in NEW}
        for side in ("encoder", "decoder")
    }
    return {**model, **parts, "initializer": "xavier"}


FIRST_VERSION = [first_version(model) for model in (*RECURRENT[::2], *TRANSFORMERS[:5], *MIXED[:2])]
# The level of both sides, the kind of subwords, and tokens.
FIRST_TEXTS = {
    "characters": ("char", "subword-nmt", [*"abcdehimnostTCA.,?!- "]),
    "subwords": (
        "bpe",
        "subword-nmt",
        [
            "the",
            "th@@",
            "cat",
            "c@@",
            "a@@",
            "t",
            "on",
            "o@@",
            "s@@",
            "l",
            ".",
            "ca@@",
            "at@@",
            "sat",
            "he@@",
            "e",
            "i@@",
            "it",
        ],
    ),
    "pieces": (
        "bpe",
        "sentencepiece",
        [f"{start}{each}" for start in ("", SPACE) for each in ("the", "cat", *"atonse.")],
    ),
}


def order(path: Path, model: dict, seed: int, sentences: list[str], words: list[list[str]]) -> dict:
    """An order to write a model with random weights, whose tokens are words, and to translate by it."""
    sides = {side: {"lang": side, "level": "word"} for side in ("src", "trg")}
    source, target = words
    return {
        "path": str(path),
        "seed": seed,
        "scale": 1.5,
        "config": {
            "name": "random",
            "joeynmt_version": "2.3.0",
            "data": {"train": "-", **sides},
            "model": model,
            "training": {"use_cuda": False, "batch_size": 1},
            "testing": {"beam_size": 1, "max_output_length": 20, "batch_size": 40, "generate_unk": seed % 2 == 0},
            "model_dir": "-",
        },
        "words": {"src": [*source, *target], "trg": [*source, *target]}
        if model["tied_embeddings"]
        else {"src": source, "trg": target},
        "sentences": sentences,
        "forced": [" ".join(source[:5]), " ".join(target[3:12])],
    }


def first_order(
    path: Path, model: dict, seed: int, sentences: list[str], words: list[list[str]], text: tuple = ()
) -> dict:
    """The same for JoeyNMT 1; `text` is of `FIRST_TEXTS`."""
    made = order(path, model, seed, sentences, [text[2]] * 2 if text else words)
    level, kind = text[:2] if text else ("word", "subword-nmt")
    made["config"]["data"] = {"src": "a", "trg": "b", "level": level, "lowercase": bool(text), "max_sent_length": 50}
    made["config"]["testing"] = {"bpe_type": kind}
    if text:
        made["words"] = {"src": text[2], "trg": text[2]}
        del made["forced"]
    return made


# --------------------------------------------------------------------------------------------------------------------
# Text
# --------------------------------------------------------------------------------------------------------------------

WORDS = [
    "the",
    "cat",
    "The",
    "CAT",
    "sat",
    "on",
    "a",
    "mat",
    ",",
    ".",
    "!",
    "?",
    "don’t",
    "“well”",
    "naïve",
    "☃",
    "☃☃",
    "Ёлка",
    "ΟΔΟΣ",
    "ﬁn",
    "２",
    "'",
    "@@",
    "Straße's",
    "it",
    ".",
]
MERGES = [
    *"abcdehimnostTCAwl'.,?!",
    SPACE,
    "at",
    "on",
    "th",
    f"{SPACE}c",
    f"{SPACE}th",
    f"{SPACE}the",
    f"{SPACE}cat",
    "we",
    "wel",
]
PIECES = [*"abcdehimnostTCAwl'.,?!", SPACE, f"{SPACE}the", f"{SPACE}ca", "at", f"{SPACE}o", "on", "wel", f"{SPACE}."]
SUBWORDS = "t h, th e</w>, c a, ca t</w>, o n</w>, w e, we l".replace(", ", "\n")
# The level of both sides, and what else their options say.
TEXTS: dict[str, dict] = {
    "words": {"level": "word"},
    "tidy words": {"level": "word", "lowercase": True, "normalize": True},
    "characters": {"level": "char", "lowercase": True},
    "tidy characters": {"level": "char", "normalize": True},
    "pieces": {"level": "bpe", "tokenizer_type": "sentencepiece", "tokenizer_cfg": {"model_file": "all.model"}},
    "some pieces": {
        "level": "bpe",
        "tokenizer_type": "sentencepiece",
        "lowercase": True,
        "normalize": True,
        "tokenizer_cfg": {"model_file": "all.model"},
    },
    "merges": {
        "level": "bpe",
        "tokenizer_type": "sentencepiece",
        "lowercase": True,
        "tokenizer_cfg": {"model_file": "merges.model"},
    },
    "subwords": {"level": "bpe", "tokenizer_type": "subword-nmt", "tokenizer_cfg": {"codes": "codes"}},
}


def some_texts(count: int, seed: int = 0) -> list[str]:
    """Text as people write it, with what no vocabulary has."""
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=chance.randint(1, 8))) for _ in range(count)]


def write_pieces(folder: Path) -> None:
    """SentencePiece models of `PIECES` and `MERGES`."""
    chance = random.Random(1)
    special = [Piece(text, 0.0, kind) for text, kind in (("<unk>", Kind.UNKNOWN), ("<s>", Kind.CONTROL))]
    pieces = [*special, Piece("</s>", 0.0, Kind.CONTROL)]
    pieces += [Piece(text, -chance.uniform(1, 4) - 1 / len(text)) for text in PIECES]
    (folder / "all.model").write_bytes(write_sentencepiece(SentencePiece(pieces)))
    merges = [*pieces[:3], *(Piece(text, -float(number)) for number, text in enumerate(MERGES))]
    (folder / "merges.model").write_bytes(write_sentencepiece(SentencePiece(merges, "bpe")))


def tokens_of(name: str) -> list[str]:
    """The vocabulary of a way of `TEXTS`, in an order of its own."""
    level = TEXTS[name]["level"]
    if level == "char":
        found = [*"abcdehimnostTCAwl'.,?!-", SPACE]
    elif level == "word":
        found = ["the", "cat", "The", "sat", "on", "a", "mat", ",", ".", "!", "?", "don't", "well", "it", "οδος"]
    elif name == "subwords":
        found = ["the", "th@@", "cat", "c@@", "ca@@", "a@@", "t", "on", "o@@", "s@@", "we@@", "l", "l@@", "."]
    elif name == "merges":
        found = [piece for piece in MERGES if piece != "h"]
    else:
        found = PIECES if name == "pieces" else [piece for piece in PIECES if piece not in ("wel", "h", f"{SPACE}ca")]
    return random.Random(2).sample(found, len(found))


def text_order(path: Path, name: str, seed: int, sentences: list[str]) -> dict:
    """An order for a model that reads and writes text in a way of `TEXTS`."""
    path.mkdir(parents=True, exist_ok=True)
    write_pieces(path)
    (path / "codes").write_text(f"#version: 0.2\n{SUBWORDS}\n")
    tokens = tokens_of(name)
    made = order(path, RECURRENT[seed], seed, sentences, [tokens, tokens])
    made["words"] = {"src": tokens, "trg": tokens}
    del made["forced"]
    for side in ("src", "trg"):
        made["config"]["data"][side] |= TEXTS[name]
    made["config"]["testing"]["generate_unk"] = False  # which is no text
    return made
