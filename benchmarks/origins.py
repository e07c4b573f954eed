# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Whether converted models compute what their own toolkit computes, by that toolkit's own code in an environment of its
own. No figures of speed: a run ends with an error if one output differs.

    python benchmarks/origins.py            # all, whose environments are made first where they are missing
    python benchmarks/origins.py g2p_en     # the model in its wheel, on 1,000 words that are in no dictionary
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.peers.install import install
from benchmarks.rounds import ENVIRONMENTS
from hf_attn_seq2seq import load
from hf_attn_seq2seq.convert.command import convert
from hf_attn_seq2seq.decoding.text import translate


WORKER = Path(__file__).with_name("origins_worker.py")


def ask(origin: str, environments: Path, order: dict) -> dict:
    """The answer of a toolkit's own code to an order."""
    folder = environments / origin
    if not folder.exists():
        print(f"{origin}: installing in {folder}", flush=True)
        unfinished = folder.with_name(f".{origin}")
        install(origin, unfinished)
        unfinished.rename(folder)
    command = [str(folder / "bin" / "python"), str(WORKER), origin]
    done = subprocess.run(command, input=json.dumps(order), text=True, capture_output=True)
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


def told(sources: list[str], found: list[str], wanted: list[str]) -> str:
    """How many outputs are equal; ends the run if one is not."""
    unlike = [each for each in zip(sources, found, wanted) if each[1] != each[2]]
    if unlike:
        source, ours, theirs = unlike[0]
        sys.exit(f"error: {len(unlike)} of {len(wanted)} differ, such as {source!r}: {ours!r}, not {theirs!r}.")
    return f"{len(found)} of {len(wanted)} outputs are equal, {len(set(found))} of them different"


ORIGINS: dict[str, Callable[[Path], str]] = {"g2p_en": g2p_en}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("origins", nargs="*", metavar="ORIGIN", help=f"{', '.join(ORIGINS)} (default: all)")
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS, help="(default: %(default)s)")
    options = parser.parse_args()
    for name in options.origins or ORIGINS:
        if name not in ORIGINS:
            sys.exit(f"error: Unknown origin '{name}': choose among {', '.join(ORIGINS)}.")
        print(f"{name}: {ORIGINS[name](options.environments)}", flush=True)


if __name__ == "__main__":
    main()
