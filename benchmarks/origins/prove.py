# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Whether converted models compute what their own toolkit computes, by that toolkit's own code in an environment of its
own. No figures of speed: a run ends with an error if one output differs.

    python benchmarks/origins/prove.py            # all, whose environments are made first where they are missing
    python benchmarks/origins/prove.py g2p_en     # the model in its wheel, on 1,000 words that are in no dictionary
    python benchmarks/origins/prove.py opennmt    # all recurrent kinds with random weights, on 40 sentences each
    python benchmarks/origins/prove.py fairseq    # the same
"""

import argparse
import itertools
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path


sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.peers.install import install
from benchmarks.rounds import ENVIRONMENTS
from hf_attn_seq2seq import load
from hf_attn_seq2seq.convert.command import convert
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


# Every kind of its recurrent models: encoder, cell, layers, attention and what else.
OPENNMT = [
    (encoder, cell, layers, attention, *more)
    for layers, (encoder, cell), attention, more in (
        (1 + turn % 2, kinds, attention, (f"--input_feed={turn // 2 % 2}", *extra))
        for turn, (kinds, attention, extra) in enumerate(
            itertools.product(
                itertools.product(("rnn", "brnn"), ("LSTM", "GRU")),
                ("general", "dot", "mlp", "none"),
                ((), ("--bridge",), ("--share_decoder_embeddings", "--global_attention_function=sparsemax")),
            )
        )
    )
]
SOURCE_WORDS, TARGET_WORDS = ([f"{side}{number}" for number in range(20)] for side in "st")


def opennmt_order(path: Path, kind: tuple, seed: int, sentences: list[str]) -> dict:
    """An order to write a model with random weights, and to translate by it."""
    encoder, cell, layers, attention, *more = kind
    options = [f"--encoder_type={encoder}", "--decoder_type=rnn", f"--rnn_type={cell}", f"--layers={layers}"]
    options += ["--hidden_size=12", "--word_vec_size=12", f"--global_attention={attention}", *more]
    special = ["<unk>", "<blank>", "<s>", "</s>"]
    return {
        "path": str(path),
        "seed": seed,
        "scale": 1.5,
        "options": options,
        "vocabs": {"src": special + SOURCE_WORDS, "tgt": special + TARGET_WORDS},
        "sentences": sentences,
        "search": ["--beam_size", "1"],
    }


def some_sentences(count: int, seed: int = 0) -> list[str]:
    """Of the source's words and one that no vocabulary has."""
    chance = random.Random(seed)
    return [" ".join(chance.choices([*SOURCE_WORDS, "unheard"], k=chance.randint(1, 12))) for _ in range(count)]


def greedy(folder: Path, sentences: list[str], longest: int) -> list[str]:
    """What the converted model says, token after token."""
    model, tokenizer = load(folder)
    batch = tokenizer(sentences, padding=True, return_tensors="pt")
    found = model.generate(**batch, max_new_tokens=longest, num_beams=1, do_sample=False)
    return [tokenizer.decode(each, skip_special_tokens=True) for each in found]


def answers(
    origin: str, environments: Path, kinds: list, order: Callable[..., dict]
) -> tuple[list[str], list[str], list[str]]:
    """Sentences, what converted random models of these kinds say, and what the origin's own code says of them."""
    sentences, found = some_sentences(40), []
    with tempfile.TemporaryDirectory() as made:
        paths = [Path(made) / f"{number}.pt" for number in range(len(kinds))]
        orders = [order(path, kind, number, sentences) for number, (path, kind) in enumerate(zip(paths, kinds))]
        texts = ask(origin, environments, {"models": orders})["texts"]
        for path in paths:
            convert(path, path.with_suffix(""))
            found += greedy(path.with_suffix(""), sentences, 20)
    return sentences * len(kinds), found, [text for each in texts for text in each]


def opennmt(environments: Path) -> str:
    return f"{len(OPENNMT)} models, {told(*answers('opennmt', environments, OPENNMT, opennmt_order))}"


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


def fairseq_order(path: Path, options: dict, seed: int, sentences: list[str]) -> dict:
    """An order to write a model with random weights and its dictionaries, and to translate by it."""
    return {
        "path": str(path),
        "dictionaries": [str(path.parent / f"dict.{side}.txt") for side in ("src", "tgt")],
        "words": [SOURCE_WORDS, TARGET_WORDS],
        "seed": seed,
        "scale": 1.5,
        "options": options,
        "sentences": sentences,
        "longest": 20,
    }


def fairseq(environments: Path) -> str:
    sentences, found, texts = answers("fairseq", environments, FAIRSEQ, fairseq_order)
    # Ours leave out special tokens, which random weights choose too.
    wanted = [" ".join(word for word in text.split() if word not in ("<s>", "<unk>")) for text in texts]
    return f"{len(FAIRSEQ)} models, {told(sentences, found, wanted)}"


# Those whose files are kept for the tests: tests/convert/opennmt.
KEPT = {
    "general": ("brnn", "LSTM", 2, "general", "--input_feed=1"),
    "mlp": ("brnn", "LSTM", 2, "mlp", "--input_feed=1", "--bridge"),
    "dot": ("rnn", "GRU", 1, "dot", "--input_feed=0", "--bridge", "--global_attention_function=sparsemax"),
    "none": ("rnn", "GRU", 1, "none", "--input_feed=1", "--share_decoder_embeddings"),
}


KEPT_FAIRSEQ = {"attention": 14, "none": 7}  # places in FAIRSEQ


def record(environments: Path) -> None:
    """Write the tests' files: models, and what their toolkits make of some sentences by them."""
    folder = Path(__file__).resolve().parents[2] / "tests/convert/opennmt"
    sentences = some_sentences(12, seed=1)
    orders = [
        opennmt_order(folder / f"{name}.pt", kind, number, sentences)
        for number, (name, kind) in enumerate(KEPT.items())
    ]
    texts = ask("opennmt", environments, {"models": orders})["texts"]
    recorded = {"sentences": sentences, "longest": 20, "texts": dict(zip(KEPT, texts))}
    (folder / "recorded.json").write_text(json.dumps(recorded, indent=1) + "\n")
    folder = folder.with_name("fairseq")
    orders = [
        fairseq_order(folder / f"{name}.pt", FAIRSEQ[turn], turn, sentences) for name, turn in KEPT_FAIRSEQ.items()
    ]
    texts = ask("fairseq", environments, {"models": orders})["texts"]
    recorded = {"sentences": sentences, "longest": 20, "texts": dict(zip(KEPT_FAIRSEQ, texts))}
    (folder / "recorded.json").write_text(json.dumps(recorded, indent=1) + "\n")


def told(sources: list[str], found: list[str], wanted: list[str]) -> str:
    """How many outputs are equal; ends the run if one is not."""
    unlike = [each for each in zip(sources, found, wanted) if each[1] != each[2]]
    if unlike:
        source, ours, theirs = unlike[0]
        sys.exit(f"error: {len(unlike)} of {len(wanted)} differ, such as {source!r}: {ours!r}, not {theirs!r}.")
    return f"{len(found)} of {len(wanted)} outputs are equal, {len(set(found))} of them different"


ORIGINS: dict[str, Callable[[Path], str]] = {"g2p_en": g2p_en, "opennmt": opennmt, "fairseq": fairseq}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("origins", nargs="*", metavar="ORIGIN", help=f"{', '.join(ORIGINS)} (default: all)")
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS, help="(default: %(default)s)")
    parser.add_argument("--record", action="store_true", help="write the files of tests/convert instead")
    options = parser.parse_args()
    if options.record:
        record(options.environments)
        return
    for name in options.origins or ORIGINS:
        if name not in ORIGINS:
            sys.exit(f"error: Unknown origin '{name}': choose among {', '.join(ORIGINS)}.")
        print(f"{name}: {ORIGINS[name](options.environments)}", flush=True)


if __name__ == "__main__":
    main()
