# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Corpora in: the built-in grammar, cleaning, splits, tokenizer training and batches."""
