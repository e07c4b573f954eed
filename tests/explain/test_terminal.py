# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The trace in the terminal: the numbers of the trace, sums that can fail, and what gives way to the width."""

import copy
import io
import re

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from hf_attn_seq2seq.configuration_attn_seq2seq import ATTENTION_TYPES
from hf_attn_seq2seq.explain import trace
from hf_attn_seq2seq.explain.chapters import TITLES, chapter_texts
from hf_attn_seq2seq.explain.terminal import DEPTHS, print_trace
from tests.explain.conftest import TEXT


TRANSFORMER = {"encoder_type": "transformer", "decoder_type": "transformer", "attention_type": "multi_head"}


def shown(traced, width=120, console=None, ascii_minus=True, **options):
    console = Console(file=io.StringIO(), width=width, legacy_windows=False, **(console or {}))
    print_trace(traced, console, **options)
    return console.file.getvalue().replace("−", "-") if ascii_minus else console.file.getvalue()


def rows_of(text, header):
    """The cells of each row of the table whose header starts so, by the widths of blanks between them."""
    lines = text.splitlines()
    start = next(index for index, line in enumerate(lines) if line.strip().startswith(header))
    rows = []
    for line in lines[start + 1 :]:
        if line.strip().startswith("check"):
            break
        if line.strip("─ "):
            rows.append(re.split(r" {2,}", line.strip()))
    return rows


def test_attention_table_holds_the_numbers_of_the_step(traced):
    text = shown(traced, 160, step=1, chapter="attention", plain=True)
    rows = rows_of(text, "j  source")
    *tokens, total, note = rows
    weights = traced.arrays["attention.0.weights"][1, 0]
    values = traced.arrays["attention.0.values"][0]
    scores = np.array([float(row[2]) for row in tokens])
    assert [row[1] for row in tokens] == [*TEXT.split(), "</s>"]
    assert scores == pytest.approx(traced.arrays["attention.0.scores"][1, 0], abs=1e-4)
    assert [float(row[4]) for row in tokens] == pytest.approx(list(weights), abs=1e-4)
    assert [float(row[-1]) for row in tokens] == pytest.approx(
        list(weights * np.linalg.norm(values, axis=1)), abs=1e-4
    )
    # What is printed can be checked by hand: exp(s - max) over their sum is the weight.
    parts = np.exp(scores - scores.max())
    assert [float(row[3]) for row in tokens] == pytest.approx(list(parts), abs=2e-4)
    assert total[0] == "sum"
    assert float(total[1]) == pytest.approx(parts.sum(), abs=1e-3)
    assert float(total[2]) == pytest.approx(1.0, abs=1e-4)
    context = traced.arrays["attention.0.context"][1]
    assert len(total) == 3  # norms have no sum that says something
    assert f"|c| = {np.linalg.norm(context):.4f}" in note[0]
    # The longest bar is the largest weight's.
    bars = [row[5].count("#") if "#" in row[5] else 0 for row in tokens]
    assert bars.index(max(bars)) == int(weights.argmax())


@pytest.mark.parametrize(
    ("kind", "normalizer"),
    [
        *((kind, "softmax") for kind in ATTENTION_TYPES if kind != "none"),
        *(("additive", normalizer) for normalizer in ("sparsemax", "entmax15")),
    ],
)
def test_check_line_recomputes_every_kind(make_model, tokenizer, kind, normalizer):
    traced = trace(make_model(attention_type=kind, attention_normalizer=normalizer), tokenizer, TEXT)
    differences = re.findall(r"largest difference (\S+) of", shown(traced, 200, chapter="attention"))
    assert len(differences) == len(traced.document["steps"])
    assert all(float(difference) < 1e-5 for difference in differences)


@pytest.mark.parametrize(("array", "what"), [("weights", "weight"), ("head_context", "context")])
def test_check_line_shows_what_does_not_agree(traced, array, what):
    damaged = copy.deepcopy(traced)
    damaged.arrays[f"attention.0.{array}"][1, 0, 0] += 0.25
    text = shown(damaged, 200, step=1, chapter="attention")
    assert float(re.search(r"largest difference (\S+) of", text)[1]) >= 0.2, what


def test_all_chapters_in_order_and_one_alone(traced):
    text = shown(traced, 100)
    places = [text.index(f"\n{number} {title}\n") for number, title in enumerate(TITLES.values(), 1)]
    assert places == sorted(places)
    assert text.count("Step 1 of ") == 1
    alone = shown(traced, 100, chapter="encoder")
    assert "3 Encoder" in alone
    assert "4 Handover" not in alone


def test_one_step_alone(traced):
    text = shown(traced, step=2)
    assert "Step 3 of " in text
    assert "Step 2 of " not in text
    assert shown(traced, step=2 - len(traced.document["steps"])) == text


def test_lines_fit_the_width(make_model, tokenizer):
    traced = trace(make_model(attention_type="local_p"), tokenizer, TEXT, num_beams=2)
    for width in (60, 80, 160):
        for depth in DEPTHS:
            assert max(map(cell_len, shown(traced, width, depth=depth).splitlines())) <= width


def test_what_gives_way_is_named(make_model, tokenizer):
    traced = trace(make_model(attention_type="scaled_dot"), tokenizer, TEXT)
    wide = shown(traced, 140, step=1, chapter="attention")
    narrow = shown(traced, 60, step=1, chapter="attention")
    assert "Left out" not in wide
    named = re.search(r"Left out for lack of width: (.*)\.", narrow)[1].split(", ")
    assert "scaled" in named
    header = next(line for line in narrow.splitlines() if line.strip().startswith("j "))
    for column in ("score", "weight", "scaled", "exp(s - max)", "|h|"):
        assert (f" {column} " in header) != (column in named)


def test_depths_tell_more_and_more(traced):
    lines, bars, numbers, vectors = (shown(traced, step=1, depth=depth) for depth in DEPTHS)
    assert "█" not in lines
    assert "To choose" in lines
    assert "█" in bars
    assert "exp(s - max)" not in bars
    assert "exp(s - max)" in numbers
    assert "\n  query (8) " not in numbers
    assert "\n  query (8) " in vectors
    exact = chapter_texts(traced)["loop"].exact
    assert exact in numbers
    assert exact not in bars


def test_ledger_of_the_largest_weight_adds_up(make_model, tokenizer):
    traced = trace(make_model(attention_type="additive", attention_size=16), tokenizer, TEXT)
    text = shown(traced, 200, step=1, chapter="attention", depth="vectors")
    position = int(traced.arrays["attention.0.weights"][1, 0].argmax())
    score = float(traced.arrays["attention.0.scores"][1, 0, position])
    found = re.search(
        r"largest terms (\S+) \+ the other \d+ terms (\S+) = (\S+); recomputed (\S+), score of the run (\S+),", text
    )
    largest, others, shown_total, total, recorded = map(float, found.groups())
    assert largest + others == pytest.approx(shown_total, abs=1e-9)
    assert shown_total == pytest.approx(total, abs=5.1e-5)
    assert total == pytest.approx(recorded, abs=1e-5)
    assert recorded == pytest.approx(score, abs=1e-6)
    assert "v_i tanh(q_i + k_i)" in text


def test_candidates_the_rest_and_the_choice(traced):
    text = shown(traced, 140, step=0, chapter="choice", plain=True)
    entry = traced.document["steps"][0]
    for candidate in entry["candidates"]:
        assert f"{candidate['logit']:.4f}" in text
    marked = next(line for line in text.splitlines() if line.strip().startswith(">"))
    assert f"{entry['choice']['probability']:.4f}" in marked
    damaged = copy.deepcopy(traced)
    damaged.document["steps"][0]["logsumexp"] += 0.5
    differences = [
        float(re.search(r"difference (\S+) of", shown(each, 200, step=0, chapter="choice"))[1])
        for each in (traced, damaged)
    ]
    assert differences[0] < 1e-6 < 1e-3 < differences[1]


def test_heads_and_layers_are_chosen_and_named(make_model, tokenizer):
    traced = trace(make_model(**TRANSFORMER, decoder_layers=2, num_attention_heads=2), tokenizer, TEXT)
    text = shown(traced, 160, step=1, chapter="attention", layer=0, head=1)
    assert "Shown: head 2 of 2, decoder layer 1, one of 2 with attention." in text
    weight = traced.arrays["attention.0.weights"][1, 1, 0]
    assert f"{weight:.4f}" in rows_of(text, "j   source")[0]
    mean = shown(traced, 160, step=1, chapter="attention", depth="bars")
    assert "Shown: mean of 2 heads, decoder layer 2, one of 2 with attention." in mean
    assert f"{traced.arrays['attention.1.weights'][1, :, 0].mean():.4f}" in rows_of(mean, "j   source")[0]


def test_beams_are_listed_with_the_way_to_the_result(make_model, tokenizer):
    traced = trace(make_model(), tokenizer, TEXT, num_beams=3)
    text = shown(traced, 140, chapter="loop")
    hypotheses = [h for step in traced.document["beams"]["steps"] for h in step["hypotheses"]]
    for state in ("kept", "dropped"):
        assert text.count(f" {state}") == sum(h["state"] == state for h in hypotheses)
    best = [line for line in text.splitlines() if re.match(r"\s*\d+ +> ", line)]
    assert len(best) == len(traced.document["steps"])


def test_without_attention_there_is_no_table_of_weights(make_model, tokenizer):
    text = shown(trace(make_model(attention_type="none"), tokenizer, TEXT))
    assert "This model has no attention." in text
    assert "the same at every step" in text
    assert "weight " not in text


def test_model_that_shows_its_weights_alone(make_model, tokenizer):
    traced = trace(make_model(**TRANSFORMER), tokenizer, TEXT)
    traced.arrays = {name: array for name, array in traced.arrays.items() if name.endswith(".weights")}
    text = shown(traced, 120, step=0, depth="vectors")
    assert "this model returns only its weights" in text
    assert rows_of(text, "j   source   weight")


def test_plain_is_ascii_without_codes(traced):
    text = shown(traced, depth="vectors", plain=True, console={"force_terminal": True, "color_system": "truecolor"})
    assert text.isascii()
    assert "\x1b" not in text


def test_numbers_have_the_minus_sign_of_the_page_and_tokens_their_own_hyphens(traced):
    made = copy.deepcopy(traced)
    made.document["target"]["tokens"][0].update(token="-1", text="-1")
    text = shown(made, 80, chapter="loop", ascii_minus=False)
    first = made.document["steps"][0]["choice"]["log_probability"]
    assert f"−{-first:.4f}" in text
    assert not re.search(r"(?<=\s)-\d+\.", text)
    assert re.search(r"^ *1 .* -1 ", text, re.MULTILINE)
    assert max(map(cell_len, text.splitlines())) <= 80


def test_no_color_is_honoured(traced):
    colours = re.compile(r"\x1b\[[\d;]*3[0-7]")
    terminal = {"force_terminal": True, "color_system": "standard"}
    assert colours.search(shown(traced, console=terminal))
    # Given to the console: rich may hold an older environment, as `datasets` replaces `os.environ` in parallel maps.
    assert not colours.search(shown(traced, console={**terminal, "_environ": {"NO_COLOR": "1"}}))


def test_columns_stand_under_each_other_for_any_script(traced):
    made = copy.deepcopy(traced)
    for token, text in zip(made.document["source"]["tokens"], ["שלום", "猫は座る", "🙂", "\x1b[31m", "x" * 40]):
        token.update(token=text, text=text)
    text = shown(made, 120, step=1, chapter="attention", plain=True)
    assert "\x1b" not in text
    assert r"\x1b[31m" in text
    assert "x" * 17 + "~" in text
    assert "שלום\u200e" in text  # so that a terminal that turns right-to-left text leaves the numbers in place
    lines = text.splitlines()
    start = next(index for index, line in enumerate(lines) if line.strip().startswith("j "))
    ends = {cell_len(re.match(r".*?\d\.\d{4}(?= )", line)[0]) for line in lines[start + 1 : start + 9]}
    assert len(ends) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chapter": "decoder"}, "chapter 'decoder' is unknown: choose one of tokens"),
        ({"depth": "deep"}, "depth 'deep' is unknown: choose one of lines"),
        ({"step": 6}, "no step"),
        ({"layer": 3}, "no layer 3"),
        ({"head": 5}, "no head 5"),
    ],
)
def test_what_is_not_there_is_refused(traced, options, message):
    with pytest.raises(ValueError, match=message):
        shown(traced, **options)
