#!/usr/bin/env bash
# datasets 5.2.0: `Dataset.map(num_proc=N)` binds `os.environ` to a copy of itself. Code that took the object before, as
# `from os import environ` and rich's console (`Console._environ`) do, sees no variable that is set from then on: after a
# mapping with two processes, NO_COLOR=1 set through `os.environ` no longer turns rich's colours off.
#
# Seen:
#   one process: same object True, seen by the older reference True, colours False
#   two processes: same object False, seen by the older reference False, colours True
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet datasets==5.2.0 rich==15.0.0
cat > check.py <<'PYTHON'
import io
import os
import sys
from os import environ

from datasets import Dataset
from rich.console import Console


def upper(row):
    return {"text": row["text"].upper()}


if __name__ == "__main__":
    processes = int(sys.argv[1])
    Dataset.from_dict({"text": ["one", "two"]}).map(upper, num_proc=None if processes == 1 else processes)
    os.environ["NO_COLOR"] = "1"
    console = Console(file=io.StringIO(), force_terminal=True, color_system="standard")
    console.print("[red]text[/red]")
    seen = (os.environ is environ, "NO_COLOR" in environ, "\x1b[31m" in console.file.getvalue())
    names = ("same object", "seen by the older reference", "colours")
    print(f"{sys.argv[2]}: " + ", ".join(f"{name} {value}" for name, value in zip(names, seen)))
    assert seen == ((True, True, False) if processes == 1 else (False, False, True)), "the behaviour has changed"
PYTHON
export HF_HOME="$folder/cache" HF_DATASETS_DISABLE_PROGRESS_BARS=1
env --unset=NO_COLOR venv/bin/python check.py 1 "one process"
env --unset=NO_COLOR venv/bin/python check.py 2 "two processes"
