# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The origins by which users choose, each the module of its name in this room."""

# In the order in which they are asked whether a checkpoint is theirs: Marian takes every .npz and .bin.
ORIGINS = {
    "g2p_en": "g2p_en: its wheel, its folder or its checkpoint20.npz",
    "netra": "netra-transliterate: its wheel, its folder or its .keras file",
    "opennmt": "OpenNMT-py 3, recurrent models and Transformers (.pt)",
    "eole": "eole, recurrent models and Transformers (a folder)",
    "fairseq": "fairseq, recurrent models and Transformers, such as lstm and transformer (.pt)",
    "joeynmt": "JoeyNMT 1 and 2 (a folder with config.yaml and best.ckpt)",
    "sockeye": "Sockeye 3, Transformers (a folder with params.best and config)",
    "tutorial": "a state dict of PyTorch's translation tutorial or of Trevett's pytorch-seq2seq (.pt)",
    "marian": "Marian and Bergamot (.npz, .bin), such as Firefox's models",
}
