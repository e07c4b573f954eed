#!/usr/bin/env bash
# tokenizers 0.23.3: the normalizer Precompiled, which holds a SentencePiece model's own rules, does not compose letters.
#
# SentencePiece replaces the longest match of its rules at each place of a text. Precompiled looks whole graphemes up if they
# are shorter than 6 bytes, and single characters otherwise, so that no rule of several characters is found where they take
# 6 bytes or more. Decomposed Korean and Japanese, as names of files on a Mac have it, is composed by SentencePiece with the
# rules nmt_nfkc (T5, XLM-R, ALBERT, Marian) and stays as it is in the fast tokenizers of the same models, which then read
# other tokens, or unknown ones. There is no message.
#
# Seen: decomposed Hangul, 3 characters   SentencePiece 1 character, tokenizers 3
#       decomposed katakana, 2 characters  SentencePiece 1 character, tokenizers 2
#
# Workaround: compose text (NFC) first.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet tokenizers==0.23.3 sentencepiece==0.2.3
"$work/venv/bin/python" - <<'PYTHON'
import io

from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from tokenizers import normalizers


def fields(content):
    place = 0

    def number():
        nonlocal place
        value = shift = 0
        while True:
            byte = content[place]
            place += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while place < len(content):
        kind = number()
        if kind & 7 == 0:
            yield kind >> 3, number()
        elif kind & 7 == 5:
            place += 4
        else:
            length = number()
            yield kind >> 3, content[place : place + length]
            place += length


proto = io.BytesIO()
SentencePieceTrainer.train(
    sentence_iterator=iter(["x y z", "a b"]),
    model_writer=proto,
    vocab_size=12,
    hard_vocab_limit=False,
    normalization_rule_name="nmt_nfkc",
    add_dummy_prefix=False,
    minloglevel=2,
)
rules = dict(fields(dict(fields(proto.getvalue()))[3]))[2]
theirs = SentencePieceProcessor(model_proto=proto.getvalue())
ours = normalizers.Precompiled(bytes(rules))
for name, text in (("Hangul", "\u1100\u1161\u11a8"), ("katakana", "\u30ab\u3099")):
    wanted, found = theirs.normalize(text), ours.normalize_str(text)
    print(f"{name}: SentencePiece {ascii(wanted)}, tokenizers {ascii(found)}")
    assert (len(wanted), found) == (1, text), "the behaviour has changed"
PYTHON
