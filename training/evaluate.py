# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Runs hf_attn_seq2seq/training/evaluate.py."""

from hf_attn_seq2seq.training.evaluate import main


if __name__ == "__main__":
    main()
