#!/usr/bin/env bash
# sacrebleu 2.6.0: TER(normalized=True, asian_support=True), meant for Japanese and Chinese, separates kanji but not kana.
# A comment in its source says "Split Hiragana, Katakana, and KatakanaPhoneticExtensions only when adjacent to something
# else", but the expressions below it have ^[...] where [^...] is meant, so they match only at the beginning of a line. A
# run of kana, particles and nouns together, is one word: one wrong particle makes the whole run wrong, and the reference
# has fewer words than it should.
#
# Seen:
#   猫はソファで寝る -> ['猫', 'はソファで', '寝', 'る']      (separated as the comment says: 猫 は ソファ で 寝 る)
#   TER of 猫がソファで寝る against it: 25.0                  (separated so: 16.7, one word of six)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet sacrebleu==2.6.0
venv/bin/python - <<'PYTHON'
import re

from sacrebleu.metrics import TER

ter = TER(normalized=True, asian_support=True)
reference, hypothesis = "猫はソファで寝る", "猫がソファで寝る"
words = ter._preprocess_segment(reference).split()
score = ter.corpus_score([hypothesis], [[reference]]).score
print(reference, "->", words)
print(f"TER of {hypothesis} against it: {score:.1f}")


def meant(text):
    """Kanji one by one; hiragana and katakana in runs, separated from their neighbours."""
    return " ".join(re.findall("[\u4e00-\u9fff]|[\u3040-\u309f]+|[\u30a0-\u30ff]+", text))


print(f"separated as meant: {TER().corpus_score([meant(hypothesis)], [[meant(reference)]]).score:.1f}")
assert words == ["猫", "はソファで", "寝", "る"] and score == 25.0, "the behaviour has changed"
PYTHON
