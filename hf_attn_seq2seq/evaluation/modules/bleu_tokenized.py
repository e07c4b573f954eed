# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The metric that this file is named after, as `evaluate.load` takes it: one file for each name."""

from hf_attn_seq2seq.evaluation.modules.base import text_metric


Module = text_metric(__name__)
