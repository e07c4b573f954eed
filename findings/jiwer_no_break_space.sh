#!/usr/bin/env bash
# jiwer 4.0.0 separates words at U+0020 only, so a no-break space (used in French before ? ! : and in numbers), an
# ideographic space or a single tab joins two words: "Où est la gare ?" compared with itself with U+00A0 before the question
# mark has a word error rate of 40 %, although only the kind of space differs. Two such characters in a row do separate
# words, because runs of whitespace are first replaced by one U+0020.
#
# Seen (word error rate of "Où est la gare ?" with another last space):
#   U+0020 0.0, U+00A0 0.4, U+202F 0.4, U+3000 0.4, U+0009 0.4, two U+00A0 0.0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet jiwer==4.0.0
venv/bin/python - <<'PYTHON'
import jiwer

reference = "Où est la gare ?"
spaces = {"U+0020": " ", "U+00A0": "\u00a0", "U+202F": "\u202f", "U+3000": "\u3000", "U+0009": "\t"}
spaces["two U+00A0"] = "\u00a0\u00a0"
rates = {name: jiwer.wer(reference, f"Où est la gare{space}?") for name, space in spaces.items()}
print(", ".join(f"{name} {rate}" for name, rate in rates.items()))
assert rates == {**dict.fromkeys(spaces, 0.4), "U+0020": 0.0, "two U+00A0": 0.0}, "the behaviour has changed"
PYTHON
