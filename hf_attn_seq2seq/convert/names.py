# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The origins by which users choose, each the module of its name in this room."""

ORIGINS = {"marian": "Marian and Bergamot (.npz, .bin), such as Firefox's models"}
