# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The files of a model's trace graphs."""

FORMAT = "hf_attn_seq2seq trace graphs"
VERSION = 1
SOURCE_FILE, STEP_FILE, ROWS_FILE = "trace_source.onnx", "trace_step.onnx", "trace_rows.onnx"
ABOUT_FILE = "trace_graphs.json"
WRITTEN = "written"  # the output layer's logits, where a pointer changes them
