#!/usr/bin/env bash
# sacrebleu 2.6.0 documents that an additional reference may be '' or None for a sentence that has none. None is ignored;
# '' counts as a reference of length 0. For a translation that is too short it is the closest in length, so the brevity
# penalty vanishes: BLEU 28.65 becomes 100. On the command line, a blank line in a file of additional references has the
# same effect. `nrefs` in the signature is 2 instead of 1 or var.
#
# Seen:
#   no additional reference 28.65 nrefs:1
#   None 28.65 nrefs:1
#   ''   100.0 nrefs:2
#   command line, a blank line in the second file: 100.0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet sacrebleu==2.6.0
printf 'the cat sat down\n' > system
printf 'the cat sat down on the mat near me\n' > first
printf '\n' > second
venv/bin/python - <<'PYTHON'
from sacrebleu.metrics import BLEU
from sacrebleu.metrics.base import Metric

assert "can be '' or `None`" in Metric._cache_references.__doc__, "the documentation has changed"
hypothesis, reference = open("system").read().strip(), open("first").read().strip()
scores = {}
for name, streams in {"no further": [[reference]], "None": [[reference], [None]], "''": [[reference], [""]]}.items():
    bleu = BLEU()
    scores[name] = round(bleu.corpus_score([hypothesis], streams).score, 2)
    print(name, scores[name], str(bleu.get_signature()).split("|")[0])
assert scores == {"no further": 28.65, "None": 28.65, "''": 100.0}, "the behaviour has changed"
PYTHON
score=$(venv/bin/sacrebleu first second -i system -m bleu -b -w 2 2>/dev/null)
echo "command line, a blank line in the second file: $score"
[ "$score" = 100.00 ] || { echo "the behaviour has changed"; exit 1; }
