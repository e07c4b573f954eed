#!/usr/bin/env bash
# jiwer 4.0.0: words are what U+0020 parts, so that a no-break space (French before ? ! : and in numbers), an ideographic
# space or one tab joins two words: "Où est la gare ?" against itself with U+00A0 before the question mark has a word error
# rate of 40 %, where nothing but the kind of space differs. Two of them in a row do part words, for runs of whitespace are
# made one U+0020 before.
#
# Seen (word error rate of "Où est la gare ?" where the last space is another):
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
