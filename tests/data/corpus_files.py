# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What the tests of the corpora share: files as they are written, compressed by their names."""

import bz2
import gzip
import lzma


def write(path, content):
    """Writes text, in UTF-8, or bytes."""
    data = content if isinstance(content, bytes) else content.encode()
    with {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}.get(path.suffix, open)(path, "wb") as stream:
        stream.write(data)
    return path
