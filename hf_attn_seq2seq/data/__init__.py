# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Data: the built-in grammar, readers, cleaning, splits, tokenizer training and batches."""
