# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What the commands share: errors as one sentence, and results as a table."""

import os
import sys
from collections.abc import Callable

from huggingface_hub.errors import StrictDataclassError
from transformers.utils import logging


def run_command(command: Callable[[], None]) -> None:
    """Run `command`; what a user can mend ends it with one sentence and exit status 2, Ctrl-C with 130."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        command()
    except KeyboardInterrupt:
        sys.exit(130)
    except (ValueError, OSError, ImportError, StrictDataclassError) as error:
        # Type errors of configuration fields come with a line that only names the field again.
        print(f"error: {str(error).splitlines()[-1].strip() or type(error).__name__}", file=sys.stderr)
        sys.exit(2)
