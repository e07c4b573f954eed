# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The metrics as modules of the `evaluate` library, each a folder that `evaluate.load` takes.

```
wer = evaluate.load(path("wer"))
wer.compute(predictions=["K AE T"], references=[["K AE T", "K AH T"]])
evaluate.combine([path("wer"), path("per")])
evaluate.load(path("bleu_tok_lc"), "fr")  # the configuration is the language
```
"""

from pathlib import Path


MODULES = ("aer", "bleu", "bleu_tok_lc", "chrf", "exact_match", "per", "ter", "wer")


def path(name: str) -> str:
    """The folder of the module of this name, for `evaluate.load` and `evaluate.combine`; no network is needed.

    Raises:
        ValueError: there is no such module.
    """
    if name not in MODULES:
        raise ValueError(f"there is no evaluate module '{name}': choose among {', '.join(MODULES)}.")
    return str(Path(__file__).parent / name)
