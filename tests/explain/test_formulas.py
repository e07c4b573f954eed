# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Formulas that are computed as they are written, against Python's own arithmetic; on the page they give the same."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from hf_attn_seq2seq.explain.formulas import compute, symbols


EXPRESSION = Path(__file__).parents[2] / "frontend" / "src" / "expression.js"
A, B, C = 0.5, -2.0, 3.0
FORMULAS = {
    "a b": A * B,
    "a_i b_i + c_tj": A * B + C,
    "a + b c": A + B * C,
    "(a + b) c": (A + B) * C,
    "a (b + c)": A * (B + C),
    "2 a - b - 3": 2 * A - B - 3,
    "a - (b - c)": A - (B - C),
    "-a b + 1": -A * B + 1,
    "a / b c": A / B * C,
    "a / (b + c)": A / (B + C),
    "a * b / c": A * B / C,
    "-(a - b)^2": -((A - B) ** 2),
    "c^2 a": C**2 * A,
    "a tanh(b + c)": A * np.tanh(B + C),
    "tanh(a) tanh(b)": np.tanh(A) * np.tanh(B),
    "relu(b) + relu(c)": C,
    "sigmoid(a) + exp(b) sqrt(c) + abs(b)": 1 / (1 + np.exp(-A)) + np.exp(B) * np.sqrt(C) + 2,
    "0.25 c'": 0.25 * 7,
    "β a": 11 * A,
}
VALUES = {"a": A, "b": B, "c": C, "c'": 7.0, "β": 11.0}
NOT_FORMULAS = ["", "a +", "(a", "a)", "a b +", "tanh", "a ? b", "* a", "a ^", "__proto__"]


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_formula_has_the_value_that_it_says(formula: str) -> None:
    assert compute(formula, {name: np.array([value]) for name, value in VALUES.items()}).value == pytest.approx(
        FORMULAS[formula]
    )


def test_functions_are_told_and_arrays_broadcast() -> None:
    values = {"v": np.array([1.0, 2.0]), "q": np.array([[0.0], [1.0]])}
    made = compute("v_i tanh(q_i)", values)
    np.testing.assert_allclose(made.value, values["v"] * np.tanh(values["q"]))
    np.testing.assert_allclose(made.functions["tanh"], np.tanh(values["q"]))
    assert symbols("v_i tanh(q_i + v_i) + 2 g_tj") == ["v", "q", "g"]


@pytest.mark.parametrize("formula", NOT_FORMULAS)
def test_what_is_no_formula_is_refused(formula: str) -> None:
    with pytest.raises(ValueError, match="is not a formula"):
        compute(formula, {"a": np.ones(1), "b": np.ones(1)})


def test_a_symbol_without_a_value_is_refused() -> None:
    with pytest.raises(ValueError, match="symbol 'z', which has no value"):
        compute("a z", {"a": np.ones(1)})


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
def test_the_page_computes_the_same(tmp_path: Path) -> None:
    script = """
    const { compile, worked } = await import(process.argv[2]);
    const [values, formulas, wrong] = JSON.parse(process.argv[3]);
    const refused = wrong.filter((formula) => { try { compile(formula); return false; } catch { return true; } });
    const numbers = formulas.map((formula) => compile(formula)((symbol) => values[symbol]));
    console.log(JSON.stringify([numbers, refused, worked("(1 - z_i) n + tanh(c') / 2", (symbol) => `<${symbol}>`)]));
    """
    (tmp_path / "compute.mjs").write_text(script, "utf-8")
    given = json.dumps([VALUES, list(FORMULAS), NOT_FORMULAS])
    command = ["node", str(tmp_path / "compute.mjs"), EXPRESSION.as_uri(), given]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    numbers, refused, worked = json.loads(done.stdout)
    assert numbers == pytest.approx(list(FORMULAS.values()))
    assert refused == NOT_FORMULAS
    assert worked == "(1 − <z>) × <n> + tanh(<c'>) / 2"
