# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
The speed of a student as Firefox has them, in Firefox's engine and as a graph of this package, both in 8 bits on one
thread, in turns.

    python benchmarks/peers/install.py fxtranslate
    python benchmarks/marian_speed.py --folder student --rounds 0   # writes the model
    python benchmarks/marian_speed.py --folder student

The model has random weights and never ends a sentence, so that both write the same number of tokens: as many as the
engine allows. Its Python interface takes one sentence at a time; the graph is shown with one and with 32. Both times
include tokenization.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.marian_engines import Engine, most_tokens, text_lines, vocabulary
from benchmarks.rounds import ENVIRONMENTS
from hf_attn_seq2seq import AttnSeq2SeqConfig, AttnSeq2SeqForConditionalGeneration, AttnSeq2SeqTokenizer
from hf_attn_seq2seq.convert.vocabularies import EXCLUDED
from hf_attn_seq2seq.data.sentencepiece import EOS, PAD, UNK, read_sentencepiece, to_tokenizer
from hf_attn_seq2seq.decoding.graph import GraphEngine
from hf_attn_seq2seq.export.marian import INT8_BIN, export_marian
from hf_attn_seq2seq.export.writer import export


PIECES, WORDS = 4000, 12  # of the vocabulary; of a sentence


def write(folder: Path, lines: Sequence[str]) -> None:
    """Write the model for both."""
    torch.manual_seed(0)
    tokenizer = to_tokenizer(read_sentencepiece(vocabulary(lines, PIECES), "it"), "it")
    pad, end = tokenizer.token_to_id(PAD), tokenizer.token_to_id(EOS)
    ids = {"pad_token_id": pad, "bos_token_id": pad, "decoder_start_token_id": pad, "eos_token_id": end}
    config = AttnSeq2SeqConfig.from_preset("bergamot_tiny", vocab_size=tokenizer.get_vocab_size(), **ids)
    model = AttnSeq2SeqForConditionalGeneration(config).eval()
    with torch.no_grad():
        model.lm_head.bias[[pad, end]] = EXCLUDED
    whole = AttnSeq2SeqTokenizer(
        tokenizer_object=tokenizer, pad_token=PAD, bos_token=PAD, eos_token=EOS, unk_token=UNK
    )
    model.save_pretrained(folder / "model")
    whole.save_pretrained(folder / "model")
    export_marian(str(folder / "model"), folder / "marian", lines[:16])
    export(str(folder / "model"), "int8", folder / "int8", lines[:16])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="of the model, which is written where it is not")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS, help="(default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="one round of few sentences, to try it")
    options = parser.parse_args()
    if options.quick:
        options.rounds = 1
    os.environ["OMP_NUM_THREADS"] = "1"
    lines = text_lines()
    if not options.folder.exists():
        write(options.folder, lines)
    if not options.rounds:
        return
    sentences = [" ".join(line.split()[:WORDS]) for line in lines if len(line.split()) >= WORDS][
        : 4 if options.quick else 32
    ]
    engine = Engine("fxtranslate", options.environments)
    files = [options.folder / "marian/vocab.spm"]
    tokenizer = AttnSeq2SeqTokenizer.from_pretrained(options.folder / "int8").backend_tokenizer
    graph = GraphEngine(options.folder / "int8/graph.onnx", threads=1)

    def theirs(texts: Sequence[str]) -> float:
        return float(engine(options.folder / "marian" / INT8_BIN, files, texts)["seconds"])

    def ours(batch: int) -> Callable[[Sequence[str]], float]:
        def run(texts: Sequence[str]) -> float:
            start = time.perf_counter()
            for first in range(0, len(texts), batch):
                rows = [encoding.ids for encoding in tokenizer.encode_batch(list(texts[first : first + batch]))]
                length = max(map(len, rows))
                ids = np.full((len(rows), length), tokenizer.token_to_id(PAD))
                for row, tokens in zip(ids, rows):
                    row[: len(tokens)] = tokens
                mask = (np.arange(length) < np.array([[len(tokens)] for tokens in rows])).astype(np.int64)
                found = graph.search(ids, mask, max_new_tokens=most_tokens(length), num_beams=1)
                tokenizer.decode_batch(found.sequences.tolist())
            return time.perf_counter() - start

        return run

    runs = {"fxtranslate": theirs, "graph, one by one": ours(1), "graph, 32 at a time": ours(32)}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(options.rounds + 1):  # the first is thrown away
        for name, run in runs.items():
            seconds = run(sentences)
            if number:
                times[name].append(seconds)
    tokens = sum(most_tokens(len(tokenizer.encode(sentence).ids)) for sentence in sentences)
    for name, seconds in times.items():
        ratios = [theirs / ours for theirs, ours in zip(times["fxtranslate"], seconds)]
        rate = tokens / statistics.median(seconds)
        told = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"{name:<20} {rate:>8.0f} tokens a second, {told} times fxtranslate")


if __name__ == "__main__":
    main()
