# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""A web page for translating and for seeing how it works, locally or as a Space."""
