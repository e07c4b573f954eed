# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Reads checkpoints of other toolkits: a module for each origin, which nothing else knows."""
