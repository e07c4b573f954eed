# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""From text to a trained and evaluated model: recipes, the Trainer, and the commands."""
