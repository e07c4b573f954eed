# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Traces made without PyTorch, by graphs of a model that hand out every number that is recorded."""
