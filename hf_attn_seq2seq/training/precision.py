# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Training in bfloat16 on a CPU."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import PretrainedConfig


def has_bfloat16() -> bool:
    """Whether this processor has instructions for products in bfloat16; of processors other than x86 it is assumed."""
    asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    return not is_x86 or any(getattr(torch.cpu, name, lambda: False)() for name in asked)


def gains_by_autocast(config: PretrainedConfig) -> bool:
    """Whether a model trains faster in autocast than with `bfloat16_products` on a CPU: Transformers on both sides."""
    return not (config.is_recurrent_encoder or config.is_recurrent_decoder)


@contextmanager
def bfloat16_products() -> Iterator[None]:
    """
    Inside, a CPU rounds the factors of matrix products to bfloat16 and adds up in single precision; tensors stay in
    single precision. For recurrent models that is faster than autocast, which converts tensors between the products
    and keeps recurrent layers from their fused steps (`benchmarks/bfloat16.py`).
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
