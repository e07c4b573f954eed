# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What users choose of an export."""

KINDS = ("onnx", "int8")  # of folders; "graph" writes into the model's own
COMPARED = 16  # sentences  # by which an exported model is compared with PyTorch's
