# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The metrics as modules of the `evaluate` library, each a file that `evaluate.load` takes.

```
per = evaluate.load(path("per"))
per.compute(predictions=["K AE T"], references=[["K AE T", "K AH T"]])
evaluate.combine([path("sequence_error_rate"), path("per")])
evaluate.load(path("bleu"), "zh")  # the configuration is the target language
```
"""

from pathlib import Path

from hf_attn_seq2seq.evaluation.metrics import METRICS
from hf_attn_seq2seq.messages import shortened


MODULES = ("aer", *METRICS)


def path(name: str) -> str:
    """The file of the module of this name, for `evaluate.load` and `evaluate.combine`; no network is needed.

    Raises:
        ValueError: there is no such module.
    """
    if name not in MODULES:
        raise ValueError(f"there is no evaluate module '{shortened(name)}': choose among {', '.join(MODULES)}.")
    return str(Path(__file__).parent / f"{name}.py")
