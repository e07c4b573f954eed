# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Heat maps: what they say, that they fit, are the same twice, and refuse what they cannot show."""

import io
import re
import sys
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image
from rich.cells import cell_len
from rich.console import Console

from hf_attn_seq2seq.decoding.heatmap import wrapped
from hf_attn_seq2seq.explain import save_heatmap, terminal_heatmap


SOURCE = ["the", "cat", "sleeps", "</s>"]
TARGET = ["le", "chat", "dort"]
WEIGHTS = np.array([[0.87, 0.09, 0.03, 0.01], [0.02, 0.98, 0.0, 0.0], [0.05, 0.15, 0.35, 0.45]])


def shown(renderable, width, **options):
    console = Console(file=io.StringIO(), width=width, legacy_windows=False, **options)
    console.print(renderable)
    return console.file.getvalue()


def uniform(tgt_len, src_len):
    weights = np.full((tgt_len, src_len), 1 / src_len)
    return weights, [f"s{i}" for i in range(src_len)], [f"t{i}" for i in range(tgt_len)]


# Terminal


def test_plain_map_in_full():
    assert terminal_heatmap(WEIGHTS, SOURCE, TARGET, title="A cat", width=80, plain=True).splitlines() == [
        "A cat",
        "columns: source, the word looked at; rows: target, the word being chosen",
        "",
        "       the    cat  sleeps  </s>",
        "  le  [.87]   .09    .03    .01",
        "chat   .02   [.98]   .00    .00",
        "dort   .05    .15    .35   [.45]",
        "",
        "attention weight, from 0 to 1; the largest of each row is in brackets",
    ]


def test_right_to_left_words_end_in_a_mark_that_keeps_the_numbers_in_place():
    lines = terminal_heatmap(WEIGHTS, ["the", "חתול", "sleeps", "</s>"], ["le", "קט", "dort"], width=80, plain=True)
    assert "חתול\u200e" in lines
    assert "קט\u200e " in lines
    assert "the\u200e" not in lines


def test_arrays_and_tensors_give_the_same_map():
    maps = [
        terminal_heatmap(weights, SOURCE, TARGET, width=80, plain=True)
        for weights in (WEIGHTS, torch.tensor(WEIGHTS, requires_grad=True), torch.tensor(WEIGHTS).bfloat16())
    ]
    assert maps[0] == maps[1] == maps[2]


@pytest.mark.parametrize("width", [24, 31, 60, 100])
@pytest.mark.parametrize("src_len", [1, 4, 12, 25, 70])
@pytest.mark.parametrize("plain", [True, False])
def test_every_line_fits_the_width(width, src_len, plain):
    weights, source, target = uniform(5, src_len)
    source[0], target[0] = "an-internationalisation-of-tokens", "中文字母中文字母中文字母中文字母"
    heatmap = terminal_heatmap(weights, source, target, title="a title " * 9, width=width, plain=plain)
    text = heatmap if plain else shown(heatmap, 200)
    assert max(map(cell_len, text.splitlines())) <= width


def test_the_map_follows_the_width_of_the_console():
    weights, source, target = uniform(2, 25)
    heatmap = terminal_heatmap(weights, source, target)
    narrow, wide = shown(heatmap, 30), shown(heatmap, 140)
    assert "Left out" in narrow
    assert max(map(len, narrow.splitlines())) <= 30
    assert "Left out" not in wide
    assert ".04" in wide


def test_narrowing_turns_tokens_then_drops_numbers_then_tokens():
    weights, source, target = uniform(2, 10)
    source = [f"word{i}" for i in range(10)]  # 6 columns each across, 5 with a number only, 2 bare
    at = {w: terminal_heatmap(weights, source, target, width=w, plain=True) for w in (80, 56, 40, 24)}
    assert "word0 word1" in at[80]
    assert "Numbers" not in at[80]
    assert "word0" not in at[56]
    assert ".10" in at[56]
    assert ".10 " not in at[40]
    assert "Numbers are left out for lack of width." in at[40]
    assert "Left out" not in at[40]
    weights, source, target = uniform(2, 20)
    text = " ".join(terminal_heatmap(weights, source, target, width=24, plain=True).split())
    # 24 columns less "t0 " leave 21, ten cells of two.
    assert "source tokens 11 to 20 of 20 (s10 s11 s12 s13 s14 s15 s16 s17 s18 s19), which have up to .50 of" in text


def test_shortened_tokens_are_named_in_full():
    weights, source, target = uniform(1, 12)
    source[3], target[0] = "counterrevolutionaries", "Donaudampfschifffahrt"
    text = terminal_heatmap(weights, source, target, width=40, plain=True)
    assert "Shortened: Donaudampfschifffahrt," in text
    assert "counterrevolutionaries." in text
    assert "\nDonaudamp~\n" in text


def test_plain_is_ascii_for_ascii_tokens():
    for src_len, width in ((4, 100), (30, 100), (80, 40)):
        weights, source, target = uniform(3, src_len)
        source[0] = target[0] = "a" * 60
        assert terminal_heatmap(weights, source, target, width=width, plain=True).isascii()


def test_plain_shades_grow_with_the_weight():
    weights = np.linspace(0, 1, 11)[None].repeat(2, 0)
    text = terminal_heatmap(weights, ["s"] * 11, ["t1", "t2"], width=30, plain=True)
    assert "t1   ..::--==++**##%%@@@@" in text


def test_colour_scale_is_fixed():
    """A weight has one colour, whatever the other weights are: 0 is white, 1 is the purple, 0.5 half way."""
    colours = []
    for other in (0.5, 1.0):
        text = shown(
            terminal_heatmap(np.array([[0.5, other, 0.0]]), list("abc"), ["t"]),
            60,
            force_terminal=True,
            color_system="truecolor",
        )
        row = next(line for line in text.splitlines() if ".50" in line)
        colours.append(re.findall(r"48;2;(\d+;\d+;\d+)", row))
    assert colours == [["164;138;194"] * 2 + ["255;255;255"], ["164;138;194", "74;20;134", "255;255;255"]]


def test_no_color_is_honoured():
    terminal = {"force_terminal": True, "color_system": "truecolor", "_environ": {"NO_COLOR": "1"}}
    text = shown(terminal_heatmap(WEIGHTS, SOURCE, TARGET), 80, **terminal)
    assert "38;2" not in text
    assert "48;2" not in text
    assert "[.87]" in text


def test_wide_and_combining_characters_keep_the_columns_straight():
    source = ["猫", "e\u0301te\u0301", "x"]
    lines = terminal_heatmap(np.full((2, 3), 1 / 3), source, ["中文", "a"], width=60, plain=True).splitlines()
    rows = [line for line in lines if ".33" in line]
    assert len(rows) == 2
    assert cell_len(rows[0]) == cell_len(rows[1])
    assert [cell_len(row[: row.index(".33")]) for row in rows] == [6, 6]


def test_a_combining_mark_stays_on_its_letter_when_written_downwards():
    weights, source, target = uniform(1, 12)
    source[0] = "e\u0301te\u0301"
    text = terminal_heatmap(weights, source, target, width=40, plain=True)
    assert text.count("e\u0301") == 2


def test_tokens_cannot_steer_the_terminal_or_break_lines():
    source = ["\x1b[31mred", "a\nb", "[bold]", ""]
    text = shown(terminal_heatmap(np.full((1, 4), 0.25), source, ["\t"]), 100)
    assert "\x1b" not in text
    assert all(label in text for label in (r"\x1b[31mred", r"a\nb", "[bold]", "''"))


@pytest.mark.parametrize("width", [0, 23, -5])
def test_too_small_a_width(width):
    with pytest.raises(ValueError, match=f"width is {width}: a heat map needs at least 24"):
        terminal_heatmap(WEIGHTS, SOURCE, TARGET, width=width)


# Figure


def svg_texts(path):
    return [
        "".join(element.itertext()) for element in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")
    ]


def test_png_decodes_and_says_what_it_shows(tmp_path):
    alt_text = save_heatmap(WEIGHTS, SOURCE, TARGET, tmp_path / "map.png", title="A cat")
    with Image.open(tmp_path / "map.png") as image:
        image.load()
        # Four cells of 0.6 inches by three at 150 dpi, and the labels around them.
        assert image.width > 4 * 90
        assert image.height > 3 * 90
        assert image.info["Description"] == alt_text
        assert image.getpixel((0, 0))[:3] == (255, 255, 255)


def test_dpi_scales_the_png(tmp_path):
    widths = []
    for dpi in (100, 200):
        save_heatmap(WEIGHTS, SOURCE, TARGET, tmp_path / "map.png", dpi=dpi)
        with Image.open(tmp_path / "map.png") as image:
            widths.append(image.width)
    assert widths[1] == pytest.approx(2 * widths[0], rel=0.1)  # letters are hinted to whole pixels


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf", ".SVG"])
def test_the_same_map_has_the_same_bytes(tmp_path, suffix, monkeypatch):
    paths = [tmp_path / f"{name}{suffix}" for name in "ab"]
    for path, seconds in zip(paths, ("1", "2000000000")):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", seconds)  # what matplotlib takes for the time
        save_heatmap(WEIGHTS, SOURCE, TARGET, str(path), title="A cat")
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    save_heatmap(WEIGHTS.clip(0, 0.9), SOURCE, TARGET, paths[1], title="A cat")
    assert paths[1].read_bytes() != first


def test_svg_holds_every_number_and_label_as_text(tmp_path):
    save_heatmap(WEIGHTS, SOURCE, TARGET, tmp_path / "map.svg", title="A cat")
    texts = svg_texts(tmp_path / "map.svg")
    numbers = [text for text in texts if re.fullmatch(r"\.\d\d", text)]
    assert numbers == [".87", ".09", ".03", ".01", ".02", ".98", ".00", ".00", ".05", ".15", ".35", ".45"]
    assert {*SOURCE, *TARGET, "A cat", "0.0", "0.5", "1.0"} <= set(texts)
    joined = " ".join(texts)
    assert "source: the word looked at" in joined
    assert "target: the word being chosen" in joined
    assert "Each row belongs to the token being predicted" in joined


def test_source_runs_along_the_top_and_target_down_the_side(tmp_path):
    save_heatmap(np.array([[0.11, 0.22], [0.33, 0.44]]), ["s0", "s1"], ["t0", "t1"], tmp_path / "map.svg")
    places = {}
    for element in ElementTree.parse(tmp_path / "map.svg").iter("{http://www.w3.org/2000/svg}text"):
        numbers = re.search(r"translate\(([\d.]+) ([\d.]+)\)", element.get("transform", ""))
        x, y = numbers.groups() if numbers else (element.get("x"), element.get("y"))
        places["".join(element.itertext())] = (float(x), float(y))
    assert places["s0"][0] < places["s1"][0]
    assert places["s0"][1] < places[".11"][1]
    assert places["t0"][1] < places["t1"][1]
    assert places["t0"][0] < places[".11"][0]
    assert places[".11"][1] == places[".22"][1] < places[".33"][1]
    assert places[".11"][0] == places[".33"][0] < places[".22"][0]


def test_figure_scale_is_fixed(tmp_path):
    fills = []
    for other in (0.25, 1.0):
        save_heatmap(np.array([[0.5, other]]), ["a", "b"], ["t"], tmp_path / "map.svg")
        mesh = re.search(r'<g id="QuadMesh_1">.*?</g>', (tmp_path / "map.svg").read_text("utf-8"), re.DOTALL)
        fills.append(re.findall(r"fill: (#[0-9a-f]{6})", mesh[0]))
    assert fills[0][0] == fills[1][0]
    assert fills[1][1] == "#4a1486"
    assert fills[0][1] != fills[1][1]


def test_tokens_print_literally(tmp_path):
    tokens = ["$a_b$", "$", "x^2", "\\alpha", "<&>", "%"]
    save_heatmap(np.full((6, 6), 1 / 6), tokens, tokens, tmp_path / "map.svg", title="$\\frac{1}{2}$")
    texts = svg_texts(tmp_path / "map.svg")
    assert all(texts.count(token) == 2 for token in tokens)
    assert "$\\frac{1}{2}$" in texts


def test_the_users_matplotlib_settings_neither_matter_nor_change(tmp_path):
    save_heatmap(WEIGHTS, SOURCE, TARGET, tmp_path / "a.png")
    with matplotlib.rc_context({"text.usetex": True, "axes.facecolor": "black", "text.color": "white"}):
        before = dict(matplotlib.rcParams)
        save_heatmap(WEIGHTS, SOURCE, TARGET, tmp_path / "b.png")
        assert dict(matplotlib.rcParams) == before
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_pyplot_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it would raise
    save_heatmap(WEIGHTS, SOURCE, TARGET, tmp_path / "map.png")
    assert (tmp_path / "map.png").stat().st_size > 0


def test_large_maps_leave_the_numbers_out(tmp_path):
    save_heatmap(*uniform(2, 100), tmp_path / "map.svg")
    texts = svg_texts(tmp_path / "map.svg")
    assert "s99" in texts
    assert ".01" not in texts


def test_shortened_labels_are_named_in_the_caption(tmp_path):
    long = "Rindfleischetikettierungsgesetz"
    save_heatmap(np.ones((1, 1)), [long], ["x"], tmp_path / "map.svg")
    joined = " ".join(svg_texts(tmp_path / "map.svg"))
    assert long[:23] + "…" in joined
    assert f"Shortened: {long}." in joined


def test_alternative_text(tmp_path):
    assert save_heatmap(WEIGHTS, SOURCE, TARGET, tmp_path / "map.png", title="A cat") == (
        "Heat map of attention weights (A cat), 3 target tokens by 4 source tokens. Largest weight of each target "
        "token: “le” on “the” (.87), “chat” on “cat” (.98), “dort” on “</s>” (.45)."
    )


def test_alternative_text_tells_repeated_words_apart_and_counts_the_rest(tmp_path):
    weights = np.eye(11)
    source = ["the", "cat", "the", *"abcdefgh"]
    alt_text = save_heatmap(weights, source, list("ABCDEFGHIJK"), tmp_path / "map.png", dpi=40)
    assert "“A” on “the” at position 1 (1.0), “B” on “cat” (1.0), “C” on “the” at position 3 (1.0)" in alt_text
    assert alt_text.endswith("“H” on “e” (1.0), and 3 more target tokens.")


@pytest.mark.parametrize("name", ["map", "map.jpg", "map.png.txt", ".png"])
def test_other_formats_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"does not end in one of .png, .svg, .pdf"):
        save_heatmap(WEIGHTS, SOURCE, TARGET, tmp_path / name)
    assert not any(tmp_path.iterdir())


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent' does not exist: create it"):
        save_heatmap(WEIGHTS, SOURCE, TARGET, tmp_path / "absent" / "map.png")


@pytest.mark.parametrize("dpi", [0, -1, float("nan"), float("inf")])
def test_bad_dpi(tmp_path, dpi):
    with pytest.raises(ValueError, match="dpi is"):
        save_heatmap(WEIGHTS, SOURCE, TARGET, tmp_path / "map.png", dpi=dpi)


def test_a_map_too_large_to_read(tmp_path):
    with pytest.raises(ValueError, match="2 x 129 tokens is too large to read: give at most 128"):
        save_heatmap(*uniform(2, 129), tmp_path / "map.png")


def test_without_matplotlib_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'pip install "hf_attn_seq2seq\[explain\]"'):
        save_heatmap(WEIGHTS, SOURCE, TARGET, tmp_path / "map.png")


# Both


@pytest.mark.parametrize(
    ("weights", "source", "target", "message"),
    [
        (WEIGHTS[0], SOURCE, TARGET, r"shape \(4,\)"),
        (WEIGHTS[None], SOURCE, TARGET, r"shape \(1, 3, 4\)"),
        (WEIGHTS[:, :0], [], TARGET, r"shape \(3, 0\)"),
        (np.where(WEIGHTS > 0.9, np.nan, WEIGHTS), SOURCE, TARGET, "NaN or infinity"),
        (np.where(WEIGHTS > 0.9, -np.inf, WEIGHTS), SOURCE, TARGET, "NaN or infinity"),
        (WEIGHTS - 0.5, SOURCE, TARGET, "must be between 0 and 1"),
        (WEIGHTS * 2, SOURCE, TARGET, "must be between 0 and 1"),
        (WEIGHTS, SOURCE[1:], TARGET, "source_tokens has 3 tokens .*: give 4 tokens"),
        (WEIGHTS, SOURCE, [*TARGET, "x"], "target_tokens has 4 tokens .*: give 3 tokens"),
        (WEIGHTS.T, SOURCE, TARGET, "target_tokens has 3 tokens"),
        (WEIGHTS, "abcd", TARGET, "source_tokens must be a list of strings"),
        (WEIGHTS, SOURCE, [1, 2, 3], "target_tokens must be a list of strings"),
    ],
)
def test_bad_input(tmp_path, weights, source, target, message):
    with pytest.raises(ValueError, match=message):
        terminal_heatmap(weights, source, target)
    with pytest.raises(ValueError, match=message):
        save_heatmap(weights, source, target, tmp_path / "map.png")
    assert not any(tmp_path.iterdir())


def test_half_precision_rounding_above_one_and_negative_zero():
    text = terminal_heatmap(np.array([[1.0004, -0.0]]), ["a", "b"], ["t"], width=40, plain=True)
    assert "[1.0]" in text
    assert "-" not in text


def test_a_long_title_breaks_between_source_and_translation():
    assert wrapped("A cat → Un chat", 3, 12) == "A cat → Un chat"
    assert wrapped("The cat is on the mat. → Le chat est sur le tapis.", 4, 12).split("\n") == [
        "The cat is on the mat. →",
        "Le chat est sur le tapis.",
    ]
    assert max(map(len, wrapped("word " * 30 + "→ " + "mot " * 30, 4, 12).split("\n"))) <= 48
