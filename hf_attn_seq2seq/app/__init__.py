# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""A page to translate on and to see how it is done; the same page as a Space."""
