# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
What a user of CTranslate2 writes to translate lines: reads them, encodes them with our tokenizer, translates,
prints.

    python -m benchmarks.peers.ctranslate_command write MODEL TOKENIZER
    python -m benchmarks.peers.ctranslate_command translate MODEL TOKENIZER TOKENS < LINES
    python -m benchmarks.peers.ctranslate_command count TOKENIZER < LINES

The model's weights are random, so TOKENS says how long each translation is; `count` prints how long lines are on
average.
"""

import sys
from itertools import islice


BATCH = 64  # lines, as in our command
BEAMS = 5


def write(model: str, tokenizer: str) -> None:
    from tokenizers import Tokenizer

    from benchmarks.peers.ctranslate import write_model

    words = Tokenizer.from_file(tokenizer).get_vocab()
    print(write_model(model, sorted(words, key=lambda word: words[word])))


def translate(model: str, tokenizer: str, tokens: str) -> None:
    import ctranslate2
    from tokenizers import Tokenizer

    words = Tokenizer.from_file(tokenizer)
    translator = ctranslate2.Translator(model, device="cpu", compute_type="int8", inter_threads=1, intra_threads=1)
    while lines := [line.rstrip("\n") for line in islice(sys.stdin, BATCH)]:
        sources = [encoding.tokens for encoding in words.encode_batch(lines)]
        found = translator.translate_batch(
            sources, beam_size=BEAMS, min_decoding_length=int(tokens), max_decoding_length=int(tokens)
        )
        for result in found:
            print(words.decode([words.token_to_id(word) for word in result.hypotheses[0]]), flush=True)


def count(tokenizer: str) -> None:
    from tokenizers import Tokenizer

    encodings = Tokenizer.from_file(tokenizer).encode_batch(sys.stdin.read().splitlines())
    print(round(sum(map(len, encodings)) / len(encodings)))


if __name__ == "__main__":
    {"write": write, "translate": translate, "count": count}[sys.argv[1]](*sys.argv[2:])
