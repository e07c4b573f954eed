# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Whether converted models compute what their own toolkit computes, by that toolkit's own code in an environment of its
own. No figures of speed: a run ends with an error if one output differs.

    python benchmarks/origins/prove.py            # all, whose environments are made first where they are missing
    python benchmarks/origins/prove.py g2p_en     # the model in its wheel, on 1,000 words that are in no dictionary
    python benchmarks/origins/prove.py netra      # the model in its wheel, on 1,000 words, and others with random ones
    python benchmarks/origins/prove.py opennmt    # all kinds with random weights, on 40 sentences each
    python benchmarks/origins/prove.py eole       # the same
    python benchmarks/origins/prove.py fairseq    # the same
    python benchmarks/origins/prove.py joeynmt    # the same, Transformers too, and texts by every tokenizer
    python benchmarks/origins/prove.py joeynmt1   # the same of its first version
    python benchmarks/origins/prove.py sockeye    # all Transformers
"""

import argparse
import itertools
import json
import math
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file


sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


from benchmarks.origins import joeynmt_models, sockeye_models
from benchmarks.peers.install import install
from benchmarks.rounds import ENVIRONMENTS
from hf_attn_seq2seq import load
from hf_attn_seq2seq.convert.command import convert
from hf_attn_seq2seq.convert.weights import read_torch
from hf_attn_seq2seq.decoding.text import translate


WORKER = Path(__file__).with_name("worker.py")


def ask(origin: str, environments: Path, order: dict) -> dict:
    """The answer of a toolkit's own code to an order."""
    folder = environments / origin
    if not folder.exists():
        print(f"{origin}: installing in {folder}", flush=True)
        unfinished = folder.with_name(f".{origin}")
        install(origin, unfinished)
        unfinished.rename(folder)
    command = [str(folder / "bin" / "python"), str(WORKER), origin]
    with tempfile.TemporaryDirectory() as here:  # OpenNMT-py leaves a file wherever it runs
        done = subprocess.run(command, input=json.dumps(order), text=True, capture_output=True, cwd=here)
    if done.returncode:
        sys.exit(f"error: {origin} failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def invented_words(count: int, seed: int = 0) -> list[str]:
    """Words that nobody has said before, a quarter of them random letters, some with what is no letter."""
    chance = random.Random(seed)
    words = set()
    while len(words) < count:
        if chance.random() < 0.25:
            word = "".join(chance.choices("abcdefghijklmnopqrstuvwxyz'-", k=chance.randint(1, 14)))
        else:
            starts, middles = (
                ["", "b", "br", "ch", "d", "fl", "gr", "j", "kn", "l", "m", "pl", "qu", "str", "th", "v"],
                "aeiouy",
            )
            parts = [chance.choice(starts) + chance.choice(middles) for _ in range(chance.randint(1, 4))]
            word = "".join(parts) + chance.choice(["", "s", "ing", "ness", "tion", "ck", "mp", "lt", "e"])
        words.add(word)
    return sorted(words)


def g2p_en(environments: Path) -> str:
    words = invented_words(1000)
    wanted = ask("g2p_en", environments, {"words": words})["texts"]
    with tempfile.TemporaryDirectory() as made:
        (package,) = (environments / "g2p_en").glob("lib/python*/site-packages/g2p_en")
        convert(package, Path(made) / "out")
        found = translate(*load(Path(made) / "out"), words)
    return told(words, found, wanted)


# Of its model: seed and scale, the letters that are read, and the sizes of half the encoder's states, of the decoder's
# and of embeddings.
NETRA = [(0, 1.5, 9, 6, 8, 5), (0, 2.5, 25, 4, 12, 7), (0, 3.5, 3, 8, 8, 8)]
ALPHABETS = ("ethaoinsrl", "\t\nកខគឃងចាិីុ")


def netra_order(path: Path, kind: tuple, words: list[str]) -> dict:
    """An order to write a model with random weights into a folder, and to write words by it."""
    path.mkdir(exist_ok=True)
    return {"path": str(path), "kind": kind, "words": words}


def netra(environments: Path) -> str:
    # Some longer than all that it reads, some with capitals.
    words = [
        word * 4 if number % 50 == 0 else word.capitalize() if number % 7 == 0 else word
        for number, word in enumerate(invented_words(1100))
        if any(letter.isalpha() for letter in word)
    ][:1000]
    some = words[::10]
    with tempfile.TemporaryDirectory() as made:
        folders = [Path(made) / str(number) for number in range(len(NETRA))]
        orders = [netra_order(path, kind, some) for path, kind in zip(folders, NETRA)]
        answer = ask("netra", environments, {"words": words, "alphabets": ALPHABETS, "folders": orders})
        (package,) = (environments / "netra").glob("lib/python*/site-packages/khmer_transliterator")
        found = []
        for number, source in enumerate((package, *folders)):
            convert(source, Path(made) / f"out{number}")
            found.append(translate(*load(Path(made) / f"out{number}"), some if number else words))
        beams = translate(*load(Path(made) / "out0"), words, num_beams=3, length_penalty=0.0)
    ours, theirs = ([text for texts in each for text in texts] for each in (found[1:], answer["of_folders"]))
    equal = sum(map(str.__eq__, beams, answer["of_three_beams"]))
    return (
        f"its model, {told(words, found[0], answer['texts'])}; {len(NETRA)} models, "
        f"{told(some * len(NETRA), ours, theirs)}; with three beams, whose search is another there, {equal} of "
        f"{len(words)} are equal"
    )


def opennmt_options(encoder: str, cell: str, layers: int, attention: str, *more: str) -> list[str]:
    """Options of a recurrent model."""
    kind = [f"--encoder_type={encoder}", "--decoder_type=rnn", f"--rnn_type={cell}", f"--layers={layers}"]
    return [*kind, "--hidden_size=12", "--word_vec_size=12", f"--global_attention={attention}", *more]


def opennmt_transformer(layers: int, heads: int, *more: str) -> list[str]:
    """Options of a Transformer."""
    kind = ["--encoder_type=transformer", "--decoder_type=transformer", f"--layers={layers}", f"--heads={heads}"]
    return [*kind, "--hidden_size=16", "--word_vec_size=16", "--transformer_ff=24", "--position_encoding", *more]


# Every kind of its recurrent models, and of its Transformers.
OPENNMT = [
    opennmt_options(encoder, cell, 1 + turn % 2, attention, f"--input_feed={turn // 2 % 2}", *extra)
    for turn, ((encoder, cell), attention, extra) in enumerate(
        itertools.product(
            itertools.product(("rnn", "brnn"), ("LSTM", "GRU")),
            ("general", "dot", "mlp", "none"),
            ((), ("--bridge",), ("--share_decoder_embeddings", "--global_attention_function=sparsemax")),
        )
    )
]
OPENNMT_TRANSFORMERS = [
    opennmt_transformer(1 + turn % 3, 4, f"--position_encoding_type={positions}", *biases, *extra)
    for turn, (positions, biases, extra) in enumerate(
        itertools.product(
            ("SinusoidalInterleaved", "SinusoidalConcat"),
            ((), ("--add_qkvbias",), ("--add_ffnbias",), ("--add_qkvbias", "--add_ffnbias")),
            (
                (),
                ("--share_decoder_embeddings", "--pos_ffn_activation_fn=gelu"),
                ("--share_embeddings", "--share_decoder_embeddings", "--norm_eps=1e-5"),
                ("--num_kv=2", "--lambda_align=0.05", "--alignment_layer=0", "--alignment_heads=1"),
                ("--multiquery", "--share_embeddings"),
            ),
        )
    )
]
SOURCE_WORDS, TARGET_WORDS = ([f"{side}{number}" for number in range(20)] for side in "st")


def opennmt_order(path: Path, options: list[str], seed: int, sentences: list[str], beams: int = 1) -> dict:
    """An order to write a model with random weights, and to translate by it."""
    special = ["<unk>", "<blank>", "<s>", "</s>"]
    words = [SOURCE_WORDS, TARGET_WORDS]
    if "--share_embeddings" in options:
        words = [[*SOURCE_WORDS[:12], *TARGET_WORDS]] * 2
    return {
        "path": str(path),
        "seed": seed,
        "scale": 1.5,
        "options": options,
        "vocabs": {side: special + each for side, each in zip(("src", "tgt"), words)},
        "sentences": sentences,
        "search": [f"--beam_size={beams}", "--length_penalty=none"],
    }


def some_sentences(count: int, seed: int = 0) -> list[str]:
    """Of the source's words and one that no vocabulary has."""
    chance = random.Random(seed)
    return [" ".join(chance.choices([*SOURCE_WORDS, "unheard"], k=chance.randint(1, 12))) for _ in range(count)]


class Said(NamedTuple):
    """What a model says."""

    text: str
    score: float  # the logarithm of its probability


@torch.no_grad()
def say(folder: Path, sentences: list[str], longest: int, **search: Any) -> list[Said]:
    """What the converted model says, with the settings of a search that differ from its own."""
    model, tokenizer = load(folder)
    batch = tokenizer(sentences, padding=True, return_tensors="pt")
    found = model.generate(**batch, max_new_tokens=longest, do_sample=False, **search)
    chosen = found[:, 1:]
    logits = model(**batch, decoder_input_ids=found[:, :-1]).logits
    scores = logits.log_softmax(-1).gather(-1, chosen.unsqueeze(-1)).squeeze(-1)
    ended = (chosen == tokenizer.eos_token_id).cumsum(-1).roll(1, -1)
    ended[:, 0] = 0
    scores = scores.masked_fill(ended > 0, 0.0).sum(-1).tolist()
    return [Said(tokenizer.decode(each, skip_special_tokens=True), score) for each, score in zip(found, scores)]


def greedy(folder: Path, sentences: list[str], longest: int) -> list[str]:
    """What the converted model says, token after token."""
    return [said.text for said in say(folder, sentences, longest, num_beams=1)]


def answers(
    origin: str, environments: Path, kinds: list, order: Callable[..., dict], **search: Any
) -> tuple[list[str], list[Said], list[Said]]:
    """
    Sentences, what converted random models of these kinds say, and what the origin's own code says of them.

    Args:
        origin: Its name in the worker.
        environments: Where its environment is.
        kinds: What `order` takes to make a model.
        order: Makes an order of one.
        search: The settings of another search than a greedy one.
    """
    sentences, found, wanted = some_sentences(40), [], []
    with tempfile.TemporaryDirectory() as made:
        paths = [Path(made) / f"{number}.pt" for number in range(len(kinds))]
        beams = {"beams": search["num_beams"]} if search else {}
        orders = [
            order(path, kind, number, sentences, **beams) for number, (path, kind) in enumerate(zip(paths, kinds))
        ]
        answer = ask(origin, environments, {"models": orders})
        for path, texts, scores in zip(paths, answer["texts"], answer["scores"]):
            convert(path, path.with_suffix(""))
            found += say(path.with_suffix(""), sentences, 20, **(search or {"num_beams": 1}))
            wanted += [Said(text, score) for text, score in zip(texts, scores)]
    return sentences * len(kinds), found, wanted


def proved(sources: list[str], found: list[Said], wanted: list[Said]) -> str:
    """How many outputs are equal; ends the run if one is not, or has another probability."""
    for source, ours, theirs in zip(sources, found, wanted):
        if ours.text == theirs.text and not math.isclose(ours.score, theirs.score, rel_tol=1e-4, abs_tol=1e-3):
            sys.exit(f"error: {source!r} has the score {ours.score}, not {theirs.score}.")
    return told(sources, [ours.text for ours in found], [theirs.text for theirs in wanted])


def compared(found: list[Said], wanted: list[Said]) -> str:
    """
    How many outputs of a search with beams are equal: those of two toolkits' searches need not be, where they keep
    others among the hypotheses that have ended.
    """
    unlike = [(ours.score, theirs.score) for ours, theirs in zip(found, wanted) if ours.text != theirs.text]
    better = sum(ours > theirs for ours, theirs in unlike)
    also = f", {better} of the others more probable here" if unlike else ""
    return f"with five beams {len(found) - len(unlike)} of {len(wanted)} are equal{also}"


def opennmt(environments: Path) -> str:
    sources, found, wanted = answers("opennmt", environments, OPENNMT, opennmt_order)
    # Recurrent models with such weights amplify rounding: tokens are the same, but not the digits of all scores.
    recurrent = told(sources, [each.text for each in found], [each.text for each in wanted])
    one = proved(*answers("opennmt", environments, OPENNMT_TRANSFORMERS, opennmt_order))
    # Without a penalty of length, by which the scores of both searches are the same.
    five = {"num_beams": 5, "length_penalty": 0.0}
    _, *more = answers("opennmt", environments, OPENNMT_TRANSFORMERS, opennmt_order, **five)
    counts = len(OPENNMT), len(OPENNMT_TRANSFORMERS)
    return f"{counts[0]} recurrent models, {recurrent}; {counts[1]} Transformers, {one}; {compared(*more)}"


def eole_recurrent(encoder: str, cell: str, layers: int, attention: str | None, **more: Any) -> dict:
    """A configuration of a recurrent model."""
    sizes = {"layers": layers, "hidden_size": 12, "rnn_type": cell}
    bridge, function = more.pop("bridge", False), more.pop("global_attention_function", "softmax")
    attends = {"global_attention": attention, "global_attention_function": function}
    return {
        "architecture": "custom",
        "embeddings": {"word_vec_size": 12, "position_encoding_type": None},
        "encoder": {"encoder_type": encoder, "bridge": bridge, **sizes},
        "decoder": {"decoder_type": "rnn", **sizes, **attends},
        **more,
    }


def eole_transformer(layers: int, positions: str, **more: Any) -> dict:
    """A configuration of a Transformer."""
    return {
        "architecture": "transformer",
        "layers": layers,
        "hidden_size": 16,
        "heads": 4,
        "transformer_ff": 24,
        "norm_eps": 1e-6,
        "embeddings": {"word_vec_size": 16, "position_encoding_type": positions},
        **more,
    }


# Where its encoder is not told of this bias, eole trains without it, but translates with one that nobody has written.
BIASED = {"add_qkvbias": True, "encoder": {"add_final_linear_bias": True}}
EOLE = [
    # With both directions and a bridge its own code fails.
    eole_recurrent(
        encoder, cell, 1 + turn % 2, attention, input_feed=turn // 2 % 2, bridge=bridge and encoder == "rnn", **extra
    )
    for turn, ((encoder, cell), attention, (bridge, extra)) in enumerate(
        itertools.product(
            itertools.product(("rnn", "brnn"), ("LSTM", "GRU")),
            ("general", "dot", "mlp", None),
            ((False, {}), (True, {"share_decoder_embeddings": True})),
        )
    )
] + [
    eole_transformer(1 + turn % 3, positions, **biases, **extra)
    for turn, (positions, biases, extra) in enumerate(
        itertools.product(
            ("SinusoidalInterleaved", "SinusoidalConcat"),
            ({}, {**BIASED, "add_ffnbias": True}, {**BIASED, "add_key_bias": False}),
            (
                {},
                {"share_decoder_embeddings": True, "mlp_activation_fn": "gelu", "generator_bias": False},
                {"share_embeddings": True, "share_decoder_embeddings": True, "norm_eps": 1e-5},
                {"heads_kv": 2, "mlp_activation_fn": "silu"},
            ),
        )
    )
]


def eole_order(path: Path, options: dict, seed: int, sentences: list[str], beams: int = 1) -> dict:
    """An order to write a model with random weights, and to translate by it."""
    special = ["<unk>", "<blank>", "<s>", "</s>"]
    words = [SOURCE_WORDS, TARGET_WORDS]
    if "share_embeddings" in options:
        words = [[*SOURCE_WORDS[:12], *TARGET_WORDS]] * 2
    names = {"unk_token": "<unk>", "pad_token": "<blank>", "bos_token": "<s>", "eos_token": "</s>"}
    return {
        "path": str(path),
        "seed": seed,
        "options": options,
        "vocabs": {
            **{side: special + each for side, each in zip(("src", "tgt"), words)},
            "decoder_start_token": "<s>",
            "specials": names,
        },
        "sentences": sentences,
        "beams": beams,
        "longest": 20,
    }


def eole(environments: Path) -> str:
    return f"{len(EOLE)} models, {proved(*without_special(*answers('eole', environments, EOLE, eole_order)))}"


FAIRSEQ = [
    {
        "arch": "lstm",
        "encoder_layers": 1 + turn % 2,
        "decoder_layers": 1 + turn % 2,
        "encoder_bidirectional": both,
        "decoder_attention": attention,
        "share_decoder_input_output_embed": tied,
        **dict.fromkeys(
            ("encoder_embed_dim", "decoder_embed_dim", "decoder_hidden_size", "decoder_out_embed_dim"), 12
        ),
        "encoder_hidden_size": encoder_hidden,
    }
    for turn, (both, attention, tied, encoder_hidden) in enumerate(
        itertools.product((False, True), ("1", "0"), (False, True), (12, 6, 8))
    )
]


FAIRSEQ_TRANSFORMERS = [
    {
        "arch": arch,
        **dict.fromkeys(("encoder_embed_dim", "decoder_embed_dim"), 16),
        **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4),
        **dict.fromkeys(("encoder_learned_pos", "decoder_learned_pos"), learned),
        "encoder_ffn_embed_dim": 20,
        "decoder_ffn_embed_dim": 24,
        "encoder_layers": 1 + turn % 2,
        "decoder_layers": 1 + turn // 2 % 2,
        **shared,
        **more,
    }
    for turn, (arch, learned, shared, more) in enumerate(
        itertools.product(
            ("transformer_iwslt_de_en", "transformer_wmt_en_de_big_t2t"),  # normalized last, and first
            (False, True),
            ({}, {"share_decoder_input_output_embed": True}, {"share_all_embeddings": True}),
            (
                {},
                {"layernorm_embedding": True, "encoder_attention_heads": 2},
                {"no_scale_embedding": True, "activation_fn": "gelu"},
                {"layernorm_embedding": True, "no_scale_embedding": True, "activation_fn": "gelu_accurate"},
            ),
        )
    )
]


def fairseq_order(path: Path, options: dict, seed: int, sentences: list[str], beams: int = 1) -> dict:
    """An order to write a model with random weights and its dictionaries, and to translate by it."""
    languages, words = ["src", "tgt"], [SOURCE_WORDS, TARGET_WORDS]
    if "share_all_embeddings" in options:
        languages, words = ["both"] * 2, [[*SOURCE_WORDS[:12], *TARGET_WORDS]] * 2
    return {
        "path": str(path),
        "languages": languages,
        "dictionaries": [str(path.parent / f"dict.{language}.txt") for language in languages],
        "words": words,
        "seed": seed,
        "scale": 1.5,
        "options": options,
        "sentences": sentences,
        "beams": beams,
        "longest": 20,
    }


def fairseq(environments: Path) -> str:
    kinds = FAIRSEQ + FAIRSEQ_TRANSFORMERS
    one = proved(*without_special(*answers("fairseq", environments, kinds, fairseq_order)))
    # Both divide a score by the length, and end once there are as many outputs as beams.
    five = {"num_beams": 5, "length_penalty": 1.0, "early_stopping": True}
    some = kinds[::5]  # of all architectures and positions: its search takes one sentence at a time
    _, *more = without_special(*answers("fairseq", environments, some, fairseq_order, **five))
    return f"{len(kinds)} models, {one}; {compared(*more)}"


def without_special(
    sources: list[str], found: list[Said], wanted: list[Said]
) -> tuple[list[str], list[Said], list[Said]]:
    """Answers without special tokens, which ours leave out, and which random weights choose too."""
    plain = [
        Said(" ".join(word for word in text.split() if word not in ("<s>", "<unk>", "<blank>")), score)
        for text, score in wanted
    ]
    return sources, found, plain


def chosen(folder: Path, sentences: list[str], longest: int) -> tuple[list[str], list[str]]:
    """What the converted model says, and the tokens that it chose, the unknown one too."""
    model, tokenizer = load(folder)
    batch = tokenizer(sentences, padding=True, return_tensors="pt")
    found = model.generate(**batch, max_new_tokens=longest, num_beams=1, do_sample=False)
    left_out = {tokenizer.pad_token, tokenizer.bos_token, tokenizer.eos_token}
    rows = [tokenizer.target.convert_ids_to_tokens(row) for row in found]
    texts = [tokenizer.decode(row, skip_special_tokens=True) for row in found]
    return texts, [" ".join(token for token in row if token not in left_out) for row in rows]


def clear(folder: Path, sentences: list[str], longest: int) -> list[bool]:
    """
    For which sentences each token that the converted model chooses stands at least 0.01 above the next best: machines
    round differently, and random weights amplify it (`close`), so that other choices are not the same everywhere.
    """
    model, tokenizer = load(folder)
    batch = tokenizer(sentences, padding=True, return_tensors="pt")
    found = model.generate(
        **batch, max_new_tokens=longest, num_beams=1, do_sample=False, output_logits=True, return_dict_in_generate=True
    )
    best = torch.stack(found.logits, dim=1).topk(2, dim=-1).values
    ended = found.sequences[:, -best.size(1) :] == tokenizer.pad_token_id
    return ((best[..., 0] - best[..., 1] >= 0.01) | ended).all(dim=1).tolist()


def apart(folder: Path, forced: list[str], vocabulary: list[str], wanted: list[list[float]]) -> float:
    """How far logits of the converted model are from those of the origin, whose tokens these are, at most."""
    model, tokenizer = load(folder)
    source, target = tokenizer(forced[0], return_tensors="pt"), tokenizer(text_target=forced[1])["input_ids"][:-1]
    start = model.config.decoder_start_token_id
    found = model(**source, decoder_input_ids=torch.tensor([[start, *target]])).logits[0]
    places = tokenizer.target.convert_tokens_to_ids(vocabulary)
    return (found[:, places] - torch.tensor(wanted)).abs().max().item()


def joeynmt(environments: Path) -> str:
    sentences, lines = some_sentences(16), joeynmt_models.some_texts(40)
    models, readers = joeynmt_models.MODELS, list(joeynmt_models.TEXTS)
    given, found, written, differences = [], [], [], []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        orders = [
            joeynmt_models.order(folder / str(seed), model, seed, sentences, [SOURCE_WORDS, TARGET_WORDS])
            for seed, model in enumerate(models)
        ]
        orders += [joeynmt_models.text_order(folder / name, name, seed, lines) for seed, name in enumerate(readers)]
        answer = ask("joeynmt", environments, {"models": orders})
        for each, split, logits in zip(orders, answer["sources"], answer["logits"]):
            path = Path(each["path"])
            convert(path, path.with_suffix(".out"))
            asked = split if path.name == "subwords" else each["sentences"]  # which only subword-nmt splits
            texts, tokens = chosen(path.with_suffix(".out"), asked, 20)
            given += asked
            found += tokens
            written.append(texts)
            if logits:
                vocabulary = ["<unk>", "<pad>", "<s>", "</s>", *each["words"]["trg"]]
                differences.append(apart(path.with_suffix(".out"), each["forced"], vocabulary, logits))
    wanted = [text.removesuffix("</s>").rstrip(" ") for each in answer["tokens"] for text in each]
    texts, theirs = ([text for each in rows[len(models) :] for text in each] for rows in (written, answer["texts"]))
    theirs = ["" if text == "<unk>" else text for text in theirs]  # its word for nothing
    return (
        f"{len(models)} models and {len(readers)} ways to split text: {told(given, found, wanted)}; "
        f"as text: {told(lines * len(readers), texts, theirs)}; {close(differences)}"
    )


def joeynmt1(environments: Path) -> str:
    sentences, words = some_sentences(16), [SOURCE_WORDS, TARGET_WORDS]
    models, readers = joeynmt_models.FIRST_VERSION, joeynmt_models.FIRST_TEXTS
    given, found, wanted, differences = [], [], [], []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        orders = [
            joeynmt_models.first_order(folder / str(seed), model, seed, sentences, words)
            for seed, model in enumerate(models)
        ]
        lines = joeynmt_models.some_texts(16)
        orders += [
            joeynmt_models.first_order(folder / name, models[1], seed, lines, words, text)
            for seed, (name, text) in enumerate(readers.items())
        ]
        answer = ask("joeynmt1", environments, {"models": orders})
        for place, each in enumerate(orders):
            path, forced = Path(each["path"]), each.get("forced")
            convert(path, path.with_suffix(".out"))
            texts, tokens = chosen(path.with_suffix(".out"), each["sentences"], 20)
            given += each["sentences"]
            found += tokens if forced else texts
            wanted += answer["tokens" if forced else "texts"][place]
            if forced:
                vocabulary = ["<unk>", "<pad>", "<s>", "</s>", *each["words"]["trg"]]
                differences.append(apart(path.with_suffix(".out"), forced, vocabulary, answer["logits"][place]))
    return f"{len(orders)} models, {told(given, found, wanted)}; {close(differences)}"


def sockeye(environments: Path) -> str:
    sentences, found, differences = some_sentences(12), [], []
    with tempfile.TemporaryDirectory() as made:
        orders = [
            sockeye_models.order(Path(made) / str(seed), model, seed, sentences, [SOURCE_WORDS, TARGET_WORDS])
            for seed, model in enumerate(sockeye_models.MODELS)
        ]
        answer = ask("sockeye", environments, {"models": orders})
        for each, logits in zip(orders, answer["logits"]):
            path = Path(each["path"])
            convert(path, path.with_suffix(".out"))
            found += chosen(path.with_suffix(".out"), sentences, each["longest"])[1]
            vocabulary = ["<pad>", "<unk>", "<s>", "</s>", *each["words"][1]]
            differences.append(apart(path.with_suffix(".out"), each["forced"], vocabulary, logits))
    wanted = [text for each in answer["texts"] for text in each]
    return f"{len(orders)} models, {told(sentences * len(orders), found, wanted)}; {close(differences)}"


def close(differences: list[float]) -> str:
    """
    How far logits are apart; ends the run if they are not equal but for rounding, which random weights amplify: to
    1.5e-3 between single and double precision in JoeyNMT itself.
    """
    if not max(differences) < 1e-2:
        sys.exit(f"error: Logits differ by {max(differences):.1e} (model {differences.index(max(differences))}).")
    return f"logits differ by {max(differences):.1e} at most"


# Those whose files are kept for the tests: tests/convert/opennmt.
KEPT = {
    "general": opennmt_options("brnn", "LSTM", 2, "general", "--input_feed=1"),
    "mlp": opennmt_options("brnn", "LSTM", 2, "mlp", "--input_feed=1", "--bridge"),
    "dot": opennmt_options(
        "rnn", "GRU", 1, "dot", "--input_feed=0", "--bridge", "--global_attention_function=sparsemax"
    ),
    "none": opennmt_options("rnn", "GRU", 1, "none", "--input_feed=1", "--share_decoder_embeddings"),
    "transformer": OPENNMT_TRANSFORMERS[18],
    "shared": OPENNMT_TRANSFORMERS[32],
}


KEPT_FAIRSEQ = {
    "attention": FAIRSEQ[14],
    "none": FAIRSEQ[7],
    "transformer": {**FAIRSEQ_TRANSFORMERS[1], "encoder_layers": 1},
    "learned": {**FAIRSEQ_TRANSFORMERS[39], "encoder_layers": 1, "decoder_layers": 1},
}
KEPT_NETRA = NETRA[1]
KEPT_EOLE = {
    "recurrent": eole_recurrent("brnn", "LSTM", 2, "general", share_decoder_embeddings=True),
    "transformer": eole_transformer(1, "SinusoidalInterleaved", heads_kv=2, mlp_activation_fn="silu", **BIASED),
}
RECORDED: dict[str, tuple[dict[str, Any], Callable[..., dict]]] = {
    "opennmt": (KEPT, opennmt_order),
    "eole": (KEPT_EOLE, eole_order),
    "fairseq": (KEPT_FAIRSEQ, fairseq_order),
}


def without_sinusoids(path: Path) -> None:
    """Leave out the tables of 5,000 sinusoids that OpenNMT-py saves with a Transformer, which would be most of it."""
    checkpoint = read_torch(path)
    tables = [name for name in checkpoint["model"] if name.endswith("make_embedding.pe.pe")]
    if tables:
        for name in tables:
            del checkpoint["model"][name]
        torch.save(checkpoint, path)


def plain_folder(folder: Path) -> None:
    """
    Put the files of a folder of eole in the place of links to them, without its tables of sinusoids and what says
    where it was trained.
    """
    for link in [path for path in folder.iterdir() if path.is_symlink()]:
        content = link.read_bytes()
        link.unlink()
        link.write_bytes(content)
    for steps in folder.glob("step_*"):
        shutil.rmtree(steps)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({"model": config["model"]}, indent=1) + "\n")
    for path in folder.glob("*.safetensors"):
        save_file({name: value for name, value in load_file(path).items() if not name.endswith("pe.pe")}, path)


def record(environments: Path, origins: list[str]) -> None:
    """Write the tests' files: models, and what their toolkits make of some sentences by them."""
    sentences = some_sentences(12, seed=1)
    for origin in origins:
        folder = Path(__file__).resolve().parents[2] / "tests/convert" / origin
        if origin in RECORDERS:
            RECORDERS[origin](environments, folder)
            continue
        kept, order = RECORDED[origin]
        end = "" if origin == "eole" else ".pt"
        orders = [
            order(folder / f"{name}{end}", kind, number, sentences) for number, (name, kind) in enumerate(kept.items())
        ]
        texts = ask(origin, environments, {"models": orders})["texts"]
        for name in kept:
            (plain_folder if origin == "eole" else without_sinusoids)(folder / f"{name}{end}")
        recorded = {"sentences": sentences, "longest": 20, "texts": dict(zip(kept, texts))}
        (folder / "recorded.json").write_text(json.dumps(recorded, indent=1) + "\n")


def record_netra(environments: Path, folder: Path) -> None:
    """The same of words and a model of netra-transliterate."""
    words = [*invented_words(10, seed=2), "hasonetalira", "Sheen"]
    order = {"words": [], "alphabets": ALPHABETS, "folders": [netra_order(folder, KEPT_NETRA, words)]}
    texts = ask("netra", environments, order)["of_folders"][0]
    recorded = json.dumps({"words": words, "texts": texts}, indent=1, ensure_ascii=False)
    (folder / "recorded.json").write_text(recorded + "\n")


def record_joeynmt(environments: Path, folder: Path) -> None:
    """The same of models of JoeyNMT."""
    sentences, lines = some_sentences(8, seed=1), joeynmt_models.some_texts(8, seed=1)
    words = [SOURCE_WORDS, TARGET_WORDS]
    orders = {
        "lstm": joeynmt_models.order(folder / "lstm", joeynmt_models.RECURRENT[7], 1, sentences, words),
        "deepnet": joeynmt_models.order(folder / "deepnet", joeynmt_models.TRANSFORMERS[15], 2, sentences, words),
        "pieces": joeynmt_models.text_order(folder / "pieces", "some pieces", 1, lines),
        "characters": joeynmt_models.text_order(folder / "characters", "tidy characters", 5, lines),
    }
    answer = ask("joeynmt", environments, {"models": list(orders.values()), "trimmed": True})
    for name, each in orders.items():
        for file in ("codes", "merges.model", *(["all.model"] if name != "pieces" else [])):
            (Path(each["path"]) / file).unlink(missing_ok=True)
    recorded: dict[str, Any] = {"longest": 20, "sentences": {}, "tokens": {}, "texts": {}}
    for (name, each), tokens, texts in zip(orders.items(), answer["tokens"], answer["texts"]):
        with tempfile.TemporaryDirectory() as made:
            convert(folder / name, Path(made) / "out")
            kept = clear(Path(made) / "out", each["sentences"], recorded["longest"])
        recorded["sentences"][name] = list(itertools.compress(each["sentences"], kept))
        recorded["tokens"][name] = [text.removesuffix("</s>").rstrip(" ") for text in itertools.compress(tokens, kept)]
        if name in ("pieces", "characters"):
            recorded["texts"][name] = list(itertools.compress(texts, kept))
    (folder / "recorded.json").write_text(json.dumps(recorded, indent=1) + "\n")


def record_joeynmt1(environments: Path, folder: Path) -> None:
    """The same of a model of JoeyNMT 1."""
    sentences, model = some_sentences(8, seed=1), joeynmt_models.FIRST_VERSION[14]
    order = joeynmt_models.first_order(folder / "transformer", model, 14, sentences, [SOURCE_WORDS, TARGET_WORDS])
    tokens = ask("joeynmt1", environments, {"models": [order], "trimmed": True})["tokens"][0]
    recorded = {"sentences": sentences, "longest": 20, "tokens": tokens}
    (folder / "recorded.json").write_text(json.dumps(recorded, indent=1) + "\n")


def record_sockeye(environments: Path, folder: Path) -> None:
    """The same of models of Sockeye."""
    sentences = some_sentences(12, seed=1)
    orders = {
        name: sockeye_models.order(folder / name, model, seed, sentences, [SOURCE_WORDS, TARGET_WORDS])
        for seed, (name, model) in enumerate(sockeye_models.KEPT.items())
    }
    texts = ask("sockeye", environments, {"models": list(orders.values())})["texts"]
    recorded = {"sentences": sentences, "longest": 20, "texts": dict(zip(orders, texts))}
    (folder / "recorded.json").write_text(json.dumps(recorded, indent=1) + "\n")


RECORDERS = {"netra": record_netra, "joeynmt": record_joeynmt, "joeynmt1": record_joeynmt1, "sockeye": record_sockeye}


def told(sources: list[str], found: list[str], wanted: list[str]) -> str:
    """How many outputs are equal; ends the run if one is not."""
    unlike = [each for each in zip(sources, found, wanted) if each[1] != each[2]]
    if unlike:
        source, ours, theirs = unlike[0]
        sys.exit(f"error: {len(unlike)} of {len(wanted)} differ, such as {source!r}: {ours!r}, not {theirs!r}.")
    return f"{len(found)} of {len(wanted)} outputs are equal, {len(set(found))} of them different"


ORIGINS: dict[str, Callable[[Path], str]] = {
    "g2p_en": g2p_en,
    "netra": netra,
    "opennmt": opennmt,
    "eole": eole,
    "fairseq": fairseq,
    "joeynmt": joeynmt,
    "joeynmt1": joeynmt1,
    "sockeye": sockeye,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("origins", nargs="*", metavar="ORIGIN", help=f"{', '.join(ORIGINS)} (default: all)")
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS, help="(default: %(default)s)")
    parser.add_argument("--record", action="store_true", help="write the files of tests/convert instead")
    options = parser.parse_args()
    if options.record:
        record(options.environments, options.origins or [*RECORDED, *RECORDERS])
        return
    for name in options.origins or ORIGINS:
        if name not in ORIGINS:
            sys.exit(f"error: Unknown origin '{name}': choose among {', '.join(ORIGINS)}.")
        print(f"{name}: {ORIGINS[name](options.environments)}", flush=True)


if __name__ == "__main__":
    main()
