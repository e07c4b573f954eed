# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Translates by an engine for Marian's models in its own environment: an order a line in, an answer a line out, as JSON.

    PYTHON benchmarks/peers/marian_worker.py fxtranslate
    PYTHON benchmarks/peers/marian_worker.py pymarian

An order has the paths `model` and `vocabs`, and `sentences`; an answer has `texts` and, of pymarian, `scores`: the log
probability of each token. With `train`, pymarian trains a model of those options instead. Files must not change
afterwards. It imports nothing of this package.
"""

import json
import os
import sys
import time
from pathlib import Path


def fxtranslate(order: dict) -> dict:
    from fxtranslate import Translator

    source, target = (Path(path).read_bytes() for path in order["vocabs"])
    translator = Translator(Path(order["model"]).read_bytes(), source, target)
    start = time.perf_counter()
    texts = [translator.translate(sentence) for sentence in order["sentences"]]
    return {"texts": texts, "seconds": time.perf_counter() - start, "backend": translator.backend()}


def pymarian(order: dict) -> dict:
    from pymarian import Trainer, Translator

    if "train" in order:
        Trainer(cpu_threads=1, workspace=128, overwrite=True, seed=1, quiet=True, **order["train"]).train()
        return {}
    options = {"beam_size": 1, "allow_unk": True, "max_length_factor": 2, "normalize": 0.0, **order.get("options", {})}
    translator = Translator(
        models=order["model"],
        vocabs=order["vocabs"],
        cpu_threads=1,
        n_best=True,
        word_scores=True,
        quiet=True,
        mini_batch=1,
        workspace=128,
        **options,
    )
    texts, scores = [], []
    for sentence in order["sentences"]:
        first = translator.translate(sentence).split("\n")[0]
        _, text, words, *_ = first.split(" ||| ") if " ||| " in first else ("", "", "WordScores=")
        texts.append(text)
        scores.append([float(word) for word in words.removeprefix("WordScores=").split()])
    return {"texts": texts, "scores": scores}


def main() -> None:
    engine = {"fxtranslate": fxtranslate, "pymarian": pymarian}[sys.argv[1]]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what engines print of themselves is no answer
    for line in sys.stdin:
        print(json.dumps(engine(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
