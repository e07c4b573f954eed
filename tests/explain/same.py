# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Whether two traces are the same, though one was made without PyTorch."""

import copy
import re
from typing import Any

import numpy as np
import pytest

from hf_attn_seq2seq.explain import Trace


def assert_same(found: Trace, wanted: Trace) -> None:
    """The same document and arrays, up to the versions and the precision of ONNX Runtime."""
    assert found.arrays.keys() == wanted.arrays.keys()
    for name, array in wanted.arrays.items():
        assert found.arrays[name].shape == array.shape, name
        np.testing.assert_allclose(found.arrays[name], array, rtol=1e-4, atol=1e-4, err_msg=name)
    one, other = ({**each.document, "versions": None} for each in (found, wanted))
    for each in (one, other):
        each["model"] = {**each["model"], "config": None, "name": None}
    assert_close(one, other)


def assert_close(one: Any, other: Any, place: str = "") -> None:
    """Equal plain values, up to 1e-4 in numbers."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), place
        for key in one:
            assert_close(one[key], other[key], f"{place}.{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), place
        for index, (first, second) in enumerate(zip(one, other)):
            assert_close(first, second, f"{place}.{index}")
    elif isinstance(one, float) or isinstance(other, float):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-4), place
    else:
        assert one == other, place


def without_rows(trace: Trace) -> Trace:
    """The trace as an earlier version wrote it, before rows of matrices were recorded."""
    rows = re.compile(
        r".*\.(?:worked|(?:input|hidden)_(?:rows|bias)|(?:query|key)_(?:row|bias)|join\w+)"
        r"|readout\..*|handover\.(?:row|bias|reads)"
    )
    arrays = {name: array for name, array in trace.arrays.items() if not rows.fullmatch(name)}
    return Trace(copy.deepcopy(trace.document), arrays)
