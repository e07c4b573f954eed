# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
What `training.bf16` gives on a CPU: one training step (forward and backward) with matrix products in bfloat16, as the
trainer takes it, beside the same step in single precision and in autocast.

    python benchmarks/bfloat16.py

All run on the same weights and batch in one process, turn by turn, on one thread. The ratios are tokens per CPU second
by those of single precision, the median over the rounds with the lowest and highest: above 1, faster. Only processors
with instructions for bfloat16 (AMX or AVX512-BF16) gain.
"""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import torch


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the package, installed or not

from benchmarks.rounds import in_turns, machine, make_parser, ratio, read_options, table
from benchmarks.step import random_batch
from hf_attn_seq2seq import AttnSeq2SeqConfig, AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.training.precision import bfloat16_products, has_bfloat16


VOCAB_SIZE = 10000
SENTENCES, TOKENS = 64, 30
MODELS = {
    "GRU, two encoder layers": {"encoder_layers": 2, "residual": True, "encoder_hidden_size": 512},
    "LSTM": {"encoder_type": "lstm", "decoder_type": "lstm"},
    "Transformer, three layers": {
        **{"encoder_type": "transformer", "decoder_type": "transformer", "attention_type": "multi_head"},
        **{"encoder_layers": 3, "decoder_layers": 3, "num_attention_heads": 4},
    },
}
MODES: dict[str, Callable[[], AbstractContextManager]] = {
    "single": nullcontext,
    "products in bfloat16": bfloat16_products,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
}


def runs_of(name: str) -> dict[str, Callable[[], object]]:
    """A step of a model in each precision."""
    torch.manual_seed(0)
    config = AttnSeq2SeqConfig(
        vocab_size=VOCAB_SIZE, hidden_size=256, share_encoder_decoder_embeddings=True, **MODELS[name]
    )
    model = AttnSeq2SeqForConditionalGeneration(config).train()
    batch = random_batch(SENTENCES, TOKENS, VOCAB_SIZE, padded=False)

    def step(mode: str) -> None:
        model.zero_grad()
        with MODES[mode]():
            loss = model(**batch._asdict()).loss
            loss.backward()

    return {mode: partial(step, mode) for mode in MODES}


def main() -> None:
    options = read_options(make_parser(__doc__, rounds=7))
    torch.set_num_threads(1)
    print(f"{machine()}, torch {torch.__version__}, bfloat16: {'yes' if has_bfloat16() else 'no'}\n")
    rows = []
    for name in MODELS:
        rates = in_turns(runs_of(name), SENTENCES * TOKENS, options.rounds, options.seconds)
        rows.append([name, *(str(ratio(rates[mode], rates["single"])) for mode in list(MODES)[1:])])
    print(table(["a training step, by single precision", *list(MODES)[1:]], rows))


if __name__ == "__main__":
    main()
