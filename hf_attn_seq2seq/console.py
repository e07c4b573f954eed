# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What the commands share: errors as one sentence, a quiet end on Ctrl-C and where the reader of a pipe has gone."""

import os
import sys
import warnings
from collections.abc import Callable

from huggingface_hub.errors import StrictDataclassError
from transformers.utils import logging


def run_command(command: Callable[[], None]) -> None:
    """Run `command`; an error ends it with one sentence and exit status 2, Ctrl-C with 130, a closed pipe with 141."""
    quieten()
    try:
        command()
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # What is left in the buffer goes nowhere: Python would complain about it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(141)
    except StrictDataclassError as error:
        # The last line says what is wrong with the field, behind the name of an exception.
        _fail(str(error).splitlines()[-1].strip().partition(": ")[2])
    except (ValueError, OSError, ImportError) as error:
        _fail(" ".join(str(error).split()))
    except Exception as error:
        if os.environ.get("HF_ATTN_TRACEBACK"):
            raise
        first = (str(error).splitlines() or [""])[0]
        _fail(f"{type(error).__name__}: {first} (HF_ATTN_TRACEBACK=1 shows where)")


def quieten() -> None:
    """Leave the terminal to the command: no bars and warnings of the libraries, in this process and its children."""
    warnings.showwarning = _warn
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def _warn(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: object) -> None:
    """A warning of this package or a library as one line, without the place in the code."""
    print(f"warning: {' '.join(str(message).split())}", file=sys.stderr)


def _fail(sentence: str) -> None:
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(2)
