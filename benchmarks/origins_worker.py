# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Runs another toolkit's own code in its own environment: an order on standard input, an answer on standard output, as
JSON. It imports nothing of this package.

    PYTHON benchmarks/origins_worker.py g2p_en
"""

import json
import os
import sys
import types
from unittest import mock


def g2p_en(order: dict) -> dict:
    # Its dictionary and tagger are downloaded when it is imported: the model alone is asked here.
    for name in ("nltk", "nltk.corpus", "nltk.tokenize", "inflect"):
        module = mock.MagicMock()
        module.__spec__ = None
        sys.modules[name] = module
    sys.modules["nltk.corpus"].cmudict.dict.return_value = {}
    from g2p_en import G2p

    model = G2p()
    return {"texts": [" ".join(model.predict(word)) for word in order["words"]]}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a toolkit prints of itself is no answer
    origins: dict[str, types.FunctionType] = {"g2p_en": g2p_en}
    print(json.dumps(origins[sys.argv[1]](json.load(sys.stdin))), file=answers, flush=True)


if __name__ == "__main__":
    main()
