# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The version, where packaging reads it without importing torch."""

__version__ = "0.1.0"
