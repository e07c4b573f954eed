# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What users choose of an export."""

KINDS = ("onnx", "int8")  # of folders for ONNX Runtime
CTRANSLATE2 = "ctranslate2"  # a folder for CTranslate2
MARIAN = "marian"  # a folder for Marian and Firefox's engine
GRAPH = "graph"  # written into the folder of the model
COMPARED = 16  # sentences  # by which an exported model is compared with PyTorch's
