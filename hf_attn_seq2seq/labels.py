# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What labels hold beside tokens."""

IGNORED = -100  # at a position without one, as data collators pad and losses leave out


__all__ = ["IGNORED"]
