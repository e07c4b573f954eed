#!/usr/bin/env bash
# absl-py 2.5.1: importing absl.logging, as rouge-score does, keeps the sys.stderr of that moment. If that was a redirection
# (contextlib.redirect_stderr, a test runner's capture) and logging is configured by logging.config.dictConfig after it has
# ended, as web servers do at their start, absl closes the stream, which is somebody else's: what had been captured is lost,
# and whoever writes there next gets "I/O operation on closed file". With Python's own sys.stderr nothing is closed.
#
# Seen:
#   redirected at import: closed
#   not redirected: open
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet rouge-score==0.1.2 absl-py==2.5.1
cat > streams.py <<'PYTHON'
import contextlib
import io
import logging.config
import sys

captured = io.StringIO()
with contextlib.redirect_stderr(captured) if sys.argv[1] == "redirected at import" else contextlib.nullcontext():
    from rouge_score.rouge_scorer import RougeScorer
stream = captured if sys.argv[1] == "redirected at import" else sys.stderr
logging.config.dictConfig({"version": 1})
print(f"{sys.argv[1]}: {'closed' if stream.closed else 'open'}")
PYTHON
found=$(for how in "redirected at import" "not redirected"; do venv/bin/python streams.py "$how"; done)
echo "$found"
[ "$found" = "redirected at import: closed
not redirected: open" ]
