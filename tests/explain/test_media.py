# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Traces of models that hear and see: their numbers against the model's own, their places, what-if runs, every view
but the page, and bad input."""

import base64
import copy
import io
import json
import re
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from rich.console import Console
from torch import nn

from hf_attn_seq2seq.configuration_attn_seq2seq import ATTENTION_TYPES
from hf_attn_seq2seq.explain import Trace, command, trace
from hf_attn_seq2seq.explain.chapters import chapter_texts, step_sentence
from hf_attn_seq2seq.explain.figure import save_figure
from hf_attn_seq2seq.explain.media import MAX_STATES, FrontEnd, stretch
from hf_attn_seq2seq.explain.media_terminal import drawn_input, drawn_weights, resampled
from hf_attn_seq2seq.explain.media_tracing import receive
from hf_attn_seq2seq.explain.terminal import print_trace
from tests.explain.media import KINDS, RATE, TRANSFORMER, face, hearing_model, seeing_model, tones


@pytest.fixture(scope="module", params=KINDS)
def media(request: pytest.FixtureRequest) -> Trace:
    """A run of each kind; not to be changed."""
    make, source = KINDS[request.param]
    return trace(*make(), source())


@pytest.fixture(scope="module")
def heard() -> Trace:
    return trace(*hearing_model(), tones())


# --------------------------------------------------------------------------------------------------------------------
# The trace
# --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_beams", [1, 3])
def test_tokens_and_weights_are_those_of_generate(kind: str, num_beams: int) -> None:
    make, source = KINDS[kind]
    model, processor = make()
    traced = trace(model, processor, source(), num_beams=num_beams)
    inputs = (
        processor(audio=source(), sampling_rate=RATE, return_tensors="pt")
        if kind == "audio"
        else processor(images=source(), return_tensors="pt")
    )
    outputs = model.generate(
        **inputs, num_beams=num_beams, return_dict_in_generate=True, output_attentions=num_beams == 1
    )
    chosen = [step["choice"]["id"] for step in traced.document["steps"]]
    assert outputs.sequences[0, 1 : 1 + len(chosen)].tolist() == chosen
    if num_beams == 1:
        weights = torch.cat([step[0] for step in outputs.cross_attentions], dim=2)[0].transpose(0, 1)
        np.testing.assert_allclose(traced.arrays["attention.0.weights"], weights.numpy(), atol=1e-5)
    verification = traced.verify()
    assert verification.passed, str(verification)


@pytest.mark.parametrize("kind", ATTENTION_TYPES)
def test_every_attention_listens(kind: str) -> None:
    fields = TRANSFORMER if kind == "multi_head" else {"attention_type": kind}
    verification = trace(*hearing_model(**fields), tones(0.6)).verify()
    assert verification.passed, str(verification)


@pytest.mark.parametrize("kind", KINDS)
def test_a_transformer_hears_and_sees(kind: str) -> None:
    make, source = KINDS[kind]
    traced = trace(*make(**TRANSFORMER), source())
    assert traced.verify().passed


def test_a_pyramid_has_more_states_below() -> None:
    fields = {"encoder_layers": 3, "pyramid_layers": 2, "encoder_type": "lstm", "decoder_type": "lstm"}
    traced = trace(*hearing_model(**fields), tones())
    assert [len(traced.arrays[f"encoder.layer.{layer}.states"]) for layer in range(3)] == [38, 19, 10]
    assert len(traced.source_tokens) == len(traced.input["spans"]) == 10
    assert "neighbours are joined in pairs" in chapter_texts(traced)["encoder"].plain
    assert traced.verify().passed


def test_maps_of_the_convolutions_are_those_of_plain_torch(heard: Trace) -> None:
    planes = torch.from_numpy(heard.arrays["input.features"])[None]
    for index, layer in enumerate(heard.model.model.encoder.frontend.convolutions):
        convolution = layer.convolution
        padded = nn.functional.pad(planes, (1, 1, 1, 1))
        windows = padded.unfold(1, 3, 2).unfold(2, 3, 2)  # channels x frames x bins x 3 x 3
        made = torch.einsum("ctbij,ocij->otb", windows, convolution.weight.detach()) + convolution.bias[:, None, None]
        planes = made.detach().relu()
        np.testing.assert_allclose(heard.arrays[f"frontend.layer.{index}"], planes.numpy(), atol=1e-5)


def test_a_backbone_of_timm_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of its name has one network with its interface."""

    class Network(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.map = nn.Conv2d(channels, 6, 7, stride=7)
            self.feature_info = types.SimpleNamespace(channels=lambda: [6], reduction=lambda: [7])

        def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
            return [self.map(pixels)]

    module = types.SimpleNamespace(create_model=lambda *_, in_chans, **__: Network(in_chans))
    monkeypatch.setitem(sys.modules, "timm", module)
    traced = trace(*seeing_model(image_backbone="sevens", frontend_channels=None), face())
    assert (traced.input["rows"], traced.input["columns"]) == (3, 3)
    assert traced.input["boxes"][4] == [7, 7, 14, 14]
    assert "The network sevens passes over the picture" in chapter_texts(traced)["embeddings"].plain
    assert any("backbone sevens" in entry["what"] for entry in traced.document["omitted"])
    verification = traced.verify()
    assert verification.passed
    assert any(check.name == "front_end" for check in verification.checks)


@pytest.mark.parametrize("ctc_weight", [0.3, 0.7])
@pytest.mark.parametrize("num_beams", [1, 2])
def test_a_search_with_ctc_is_traced(ctc_weight: float, num_beams: int) -> None:
    model, processor = hearing_model(ctc_weight=0.3)
    model.generation_config.ctc_weight = ctc_weight
    traced = trace(model, processor, tones(), num_beams=num_beams)
    assert traced.document["steps"][0]["processed"]  # by CTC
    verification = traced.verify()
    assert verification.passed, str(verification)


@pytest.mark.parametrize("frame", [0, 41, 77, 150])
def test_the_state_of_a_time_hears_that_time_most(heard: Trace, frame: int) -> None:
    """Places against what changes when a frame is changed: the front end alone, which mixes nothing over time."""
    front_end = heard.model.model.encoder.frontend
    features = torch.from_numpy(heard.arrays["input.features"])[None]
    changes = []
    for size in (3.0, -3.0):
        other = features.clone()
        other[0, frame] += size
        with torch.no_grad():
            changes.append((front_end(other, None).embeds - front_end(features, None).embeds)[0].norm(dim=-1))
    moved = (changes[0] + changes[1]).nonzero().flatten().tolist()
    time = frame * heard.input["hop"]
    at = next(index for index, (start, end) in enumerate(heard.input["spans"]) if start <= time <= end)
    assert at in moved
    assert max(moved) - at <= 1
    assert at - min(moved) <= 1


@pytest.mark.parametrize("count", [7, 8, 9])
def test_places_cover_everything_once(count: int) -> None:
    edges = FrontEnd((4, 1), joins=1).edges(count, 0, count * 8)
    assert edges[0] == 0
    assert edges[-1] == count * 8
    np.testing.assert_allclose(np.diff(edges)[1:-1], 8)


def test_boxes_cover_the_picture_once() -> None:
    seen = trace(*seeing_model(), face())
    times = np.zeros((24, 24), int)
    for left, top, right, bottom in seen.input["boxes"]:
        times[round(top) : round(bottom), round(left) : round(right)] += 1
    assert (times == 1).all()


def test_what_is_carried_along_is_what_was_heard_and_seen(media: Trace) -> None:
    data = io.BytesIO(base64.b64decode(media.input["media"]["base64"]))
    if media.input["kind"] == "audio":
        sound, rate = soundfile.read(data, dtype="float32")
        assert rate == RATE
        np.testing.assert_allclose(sound, tones(), atol=2**-15)
    else:
        with Image.open(data) as picture:
            values = np.asarray(picture, np.float32) / 127.5 - 1
        seen = media.arrays["input.pixels"].transpose(1, 2, 0)
        np.testing.assert_allclose(values.reshape(seen.shape), seen, atol=1e-6)


def test_a_saved_trace_is_the_same(media: Trace, tmp_path: Path) -> None:
    media.save(tmp_path / "trace.json")
    loaded = Trace.load(tmp_path / "trace.json")
    assert loaded.document == media.document
    assert loaded.document["version"] == 2
    assert loaded.verify().passed
    assert loaded.verify(media.model, media.tokenizer).passed
    with pytest.raises(ValueError, match="read from a file"):
        loaded.what_if(mute=(0, 1))


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("input.features", "convolutions"),
        ("frontend.layer.0", "convolutions"),
        ("encoder.embeddings", "front_end"),
        ("encoder.states", "encoder"),
    ],
)
def test_a_changed_number_is_found(heard: Trace, name: str, check: str) -> None:
    changed = copy.copy(heard)
    changed.document = copy.deepcopy(heard.document)
    changed.arrays = {**heard.arrays, name: heard.arrays[name].copy()}
    changed.arrays[name].flat[changed.arrays[name].size // 2] += 0.5
    failed = {each.name for each in changed.verify().checks if not each.passed}
    assert check in failed


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda document: document["input"]["spans"].pop(), "states and the places of"),
        (lambda document: document["input"].update(frames=3), "input.features has the shape"),
        (lambda document: document.update(version=1), "version 1"),
        (lambda document: document.pop("input"), "version 2"),
        (lambda document: document["input"]["media"].update(base64="a"), "damaged"),
        (lambda document: document["input"].update(kind="smell"), "damaged"),
    ],
)
def test_parts_that_do_not_match_are_refused(heard: Trace, tmp_path: Path, change: Any, sentence: str) -> None:
    document = heard.to_json()
    change(document)
    (tmp_path / "trace.json").write_text(json.dumps(document), "utf-8")
    with pytest.raises(ValueError, match=sentence):
        Trace.load(tmp_path / "trace.json")


def test_maps_that_are_too_large_are_left_out_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from hf_attn_seq2seq.explain import media_tracing

    monkeypatch.setattr(media_tracing, "MAX_PLANES", 1000)
    traced = trace(*hearing_model(), tones())
    assert "frontend.layer.0" not in traced.arrays
    assert "frontend.layer.1" in traced.arrays
    assert any("convolution 1" in entry["what"] for entry in traced.document["omitted"])
    verification = traced.verify()
    assert verification.passed
    assert any(check.name == "convolutions" for check in verification.checks)


# --------------------------------------------------------------------------------------------------------------------
# What if
# --------------------------------------------------------------------------------------------------------------------


def test_a_muted_part_is_silent_and_the_rest_is_not() -> None:
    parent = trace(*hearing_model(), tones())
    child = parent.what_if(mute=(0.5, 1.0))
    sound, rate = soundfile.read(io.BytesIO(base64.b64decode(child.input["media"]["base64"])))
    assert not sound[rate // 2 : rate].any()
    np.testing.assert_allclose(sound[: rate // 2], tones()[: rate // 2], atol=2**-15)
    assert child.document["what_if"] == {"kind": "mute", "from": 0.5, "to": 1.0}
    model, processor = parent.model, parent.tokenizer
    waveform = tones()
    waveform[rate // 2 : rate] = 0
    again = trace(model, processor, waveform)
    assert again.target_tokens == child.target_tokens
    np.testing.assert_array_equal(again.arrays["input.features"], child.arrays["input.features"])
    assert child.verify().passed
    assert parent.children == [child]


@pytest.mark.parametrize(
    ("cover", "box", "place"),
    [(0, (0, 0, 2, 2), "row 1, column 1"), ((3, 4, 12, 50), (3, 4, 12, 24), "the part from 3, 4 to 12, 24")],
)
def test_a_covered_part_has_the_mean_colour(cover: Any, box: tuple[int, ...], place: str) -> None:
    parent = trace(*seeing_model(), face())
    child = parent.what_if(cover=cover)
    before, after = (np.round((each.arrays["input.pixels"] + 1) * 127.5) for each in (parent, child))
    left, top, right, bottom = box
    mean = np.round(before.reshape(3, -1).mean(1))
    assert (after[:, top:bottom, left:right] == mean[:, None, None]).all()
    before[:, top:bottom, left:right] = after[:, top:bottom, left:right]
    np.testing.assert_array_equal(before, after)
    assert child.document["what_if"]["place"] == place
    assert child.verify().passed


def test_weights_and_words_of_a_recording_can_be_changed(heard: Trace) -> None:
    parent = trace(heard.model, heard.tokenizer, tones())
    for change in ({"weights": {1: "uniform"}}, {"weights": {1: 3}}, {"weights": {1: parent.source_tokens[4]}}):
        child = parent.what_if(**change)
        assert child.verify().passed
        assert child.input == parent.input
    assert parent.what_if(target={1: "nine"}).target_tokens[1] == "nine"
    both = parent.children[0].what_if(mute=(0.2, 0.4))
    assert both.document["what_if"]["kind"] == "mute"


@pytest.mark.parametrize(
    ("kind", "change", "sentence"),
    [
        ("audio", {"cover": 1}, "nothing to cover, for this model heard a recording"),
        ("grid", {"mute": (0, 1)}, "nothing to mute, for this model saw a picture"),
        ("audio", {"mute": (1.0, 0.5)}, "no part from 1 to 0.5 seconds"),
        ("audio", {"mute": (5, 6)}, "goes from 0 to 1.50"),
        ("audio", {"mute": (0, 9)}, "Nothing of the recording would be left"),
        ("grid", {"cover": 99}, "There is no patch 99"),
        ("grid", {"cover": (30, 0, 40, 4)}, "not in the picture of 24 x 24 pixels"),
        ("audio", {"weights": {0: "dog"}}, "'dog' is not a frame"),
        ("columns", {"weights": {0: 500}}, "There is no column 500"),
        ("audio", {"mute": (0, 1), "cover": 1}, "exactly one change"),
    ],
)
def test_bad_changes(kind: str, change: dict[str, Any], sentence: str) -> None:
    make, source = KINDS[kind]
    with pytest.raises(ValueError, match=sentence):
        trace(*make(), source()).what_if(**change)


# --------------------------------------------------------------------------------------------------------------------
# Chapters, terminal, figures
# --------------------------------------------------------------------------------------------------------------------


def test_chapters_name_frames_and_patches(media: Trace) -> None:
    texts = chapter_texts(media)
    one = {"audio": "frame", "grid": "patch", "columns": "column"}[media.input.get("layout", "audio")]
    whole = "recording" if media.input["kind"] == "audio" else "picture"
    told = " ".join(f"{text.plain} {text.exact}" for text in texts.values())
    assert f"a key of every {one}" in texts["attention"].plain
    assert texts["tokens"].title.lower() == whole
    assert "source token" not in told
    assert "embedding table" not in texts["embeddings"].plain
    assert str(len(media.source_tokens)) in texts["handover"].plain
    sentence = step_sentence(media, 1)
    assert ("listened" if one == "frame" else "looked") in sentence


def test_the_shortest_stretch_with_most_of_the_weight() -> None:
    for seed in range(20):
        weights = np.random.default_rng(seed).dirichlet(np.full(17, 0.3))
        start, end = stretch(weights)
        assert weights[start:end].sum() >= 0.8 - 1e-9
        for length in range(1, end - start):
            assert max(weights[at : at + length].sum() for at in range(18 - length)) < 0.8
    assert stretch(np.array([0.0, 0.0, 1.0])) == (2, 3)
    assert stretch(np.array([1.0])) == (0, 1)


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("depth", ["lines", "bars", "numbers", "vectors"])
@pytest.mark.parametrize("width", [40, 100])
def test_the_terminal_shows_every_depth(media: Trace, depth: Any, plain: bool, width: int) -> None:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_trace(media, console, depth=depth, plain=plain)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert chapter_texts(media)["tokens"].title in said
    assert max(map(len, said.splitlines())) <= width or depth == "vectors"
    assert said.isascii() or not plain


def test_the_largest_weights_are_in_the_table(heard: Trace) -> None:
    console = Console(file=io.StringIO(), width=120, color_system=None)
    print_trace(heard, console, step=1, chapter="attention")
    said = console.file.getvalue()  # type: ignore[attr-defined]
    weights = heard.weights()[1]
    for place in np.argsort(-weights)[:10]:
        assert f"{heard.source_tokens[place]} " in said
        assert f"{weights[place]:.4f}" in said
    assert "The 10 frames with the largest weights, of 38." in said


def test_drawings_have_the_numbers_of_what_they_draw(media: Trace) -> None:
    lines = drawn_input(media.input, media.arrays, 60, True)
    assert max(map(len, lines)) <= 60 + 8  # the axis writes beyond
    weights = np.zeros(len(media.source_tokens))
    weights[len(weights) // 2] = 1.0
    drawn = "\n".join(drawn_weights(media.input, weights, 60, True)[: media.input.get("rows", 1)])
    assert drawn.count("@") >= 1
    assert set(drawn) <= {"@", " ", "\n"}


def test_resampling_is_the_mean_of_parts() -> None:
    np.testing.assert_allclose(resampled(np.arange(12.0), 4), [1, 4, 7, 10])
    np.testing.assert_allclose(resampled(np.arange(3.0), 3), [0, 1, 2])


@pytest.mark.costly
@pytest.mark.parametrize("figure", ["alignment", "step", "states", "heads"])
def test_figures_are_reproducible_and_say_what_they_show(media: Trace, tmp_path: Path, figure: Any) -> None:
    files = [tmp_path / f"{name}.png" for name in ("first", "second")]
    texts = [save_figure(media, file, kind=figure) for file in files]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert texts[0] == texts[1]
    if figure == "alignment":
        assert step_sentence(media, 0).split(" and ", 1)[1].rsplit(" (", 1)[0] in texts[0]


def test_a_picture_is_shown_in_its_colours_and_grey_below_weights(tmp_path: Path) -> None:
    save_figure(trace(*seeing_model(), face()), tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as figure:
        pixels = np.asarray(figure.convert("RGB"))
    yellow = (pixels == [0xFC, 0xEA, 0x2B]).all(-1)
    assert yellow.any()
    assert not yellow[:, pixels.shape[1] // 3 :].any()  # one of several panels


def test_rows_of_words_are_means_of_their_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hf_attn_seq2seq.explain import figure

    media = trace(*hearing_model(), tones(), target="rub out")
    handed: list[Any] = []
    monkeypatch.setattr(figure, "save_media_alignment", lambda *args: handed.append(args) or "")
    save_figure(media, tmp_path / "figure.png")
    _, _, weights, labels, _ = handed[0]
    assert labels == ["rub", "out", "</s>"]
    np.testing.assert_allclose(weights, media.weights(), atol=1e-7)


# --------------------------------------------------------------------------------------------------------------------
# Bad input, and the command
# --------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Saved models `hears` and `sees`, and files for them."""
    folder = tmp_path_factory.mktemp("media")
    for name, (model, processor) in (("hears", hearing_model()), ("sees", seeing_model())):
        model.save_pretrained(folder / name)
        processor.save_pretrained(folder / name)
    soundfile.write(folder / "tones.flac", tones(), RATE)
    soundfile.write(folder / "silent.wav", np.zeros(RATE), RATE)
    (folder / "text.wav").write_text("rub out", "utf-8")
    face().save(folder / "face.png")
    return folder


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["hears", "tones.flac", "--what-if", "mute=0.5-1.0"], "What if mute=0.5-1.0:"),
        (["sees", "face.png", "--what-if", "cover=2,3", "--what-if", "cover=1-12"], "What if cover=1-12:"),
        (["sees", "face.png", "--what-if", "cover=7", "--what-if", "cover=0,0,5,5"], "What if cover=0,0,5,5:"),
        (["sees", "face.png", "--what-if", "weights.1=3", "--step", "1"], "numbers recomputed"),
        (["hears", "tones.flac", "--compare", "hears", "--step", "1"], "numbers recomputed"),
    ],
)
def test_the_command_explains(
    folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(folders)
    command.main(arguments)
    output = capsys.readouterr().out
    assert said in output
    assert "numbers recomputed; largest difference" in output


def test_the_command_writes_every_file(
    folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folders)
    files = [f"--{name}={tmp_path / f'out.{suffix}'}" for name, suffix in (("html", "html"), ("figure", "png"))]
    command.main(["hears", "tones.flac", *files, f"--json={tmp_path / 'out.json'}"])
    assert {path.suffix for path in tmp_path.iterdir()} == {".html", ".png", ".json"}
    command.main([str(tmp_path / "out.json"), "--chapter", "tokens"])
    assert "The recording lasts 1.50 seconds" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["hears", "silent.wav"], "^silent.wav is silent"),
        (["hears", "nowhere.flac"], "no file 'nowhere.flac', and this model hears"),
        (["hears", "rub out"], "no file 'rub out', and this model hears: give an audio file in place of a text"),
        (["hears", "face.png"], "^face.png is a picture, not a sound"),
        (["hears", "text.wav"], "^text.wav is not a sound"),
        (["sees", "tones.flac"], "^tones.flac is a sound, not a picture"),
        (["hears", "--example", "sentence"], "'hears' reads no text, of which --example names one: give a file"),
        (["sees", "a house"], "give a picture in place of a text"),
        (["en-fr-small", "tones.flac"], "'tones.flac' is a recording, but 'en-fr-small' reads text"),
        (["en-fr-small", "face.png"], "'face.png' is a picture, but 'en-fr-small' reads text"),
        (["tones.flac"], "'tones.flac' is a recording: name the model that hears it before it"),
        (["face.png"], "'face.png' is a picture: name the model that sees it before it"),
        (["hears", "tones.flac", "--compare", "en-fr-small"], "only one of them reads text"),
        (["hears", "tones.flac", "--faithfulness"], "mute or cover a part of the input instead"),
        (["hears", "tones.flac", "--what-if", "mute=all"], "write mute=FROM-TO, in seconds"),
        (["sees", "face.png", "--what-if", "cover=1,2,3"], "write cover=ROW,COLUMN"),
        (["sees", "face.png", "--what-if", "cover=9,1"], "There is no row of patches 9"),
    ],
)
def test_bad_input_is_one_sentence(
    folders: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], sentence: str
) -> None:
    monkeypatch.chdir(folders)
    with pytest.raises(ValueError, match=sentence.replace("(", r"\(")) as refused:
        command.main(arguments)
    assert "\n" not in str(refused.value)


def test_a_model_without_its_processor_is_told(folders: Path, tmp_path: Path) -> None:
    model, processor = hearing_model()
    with pytest.raises(ValueError, match="needs its processor"):
        trace(model, processor.tokenizer, tones())
    model.save_pretrained(tmp_path)
    processor.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="processor"):
        command.main([str(tmp_path), str(folders / "tones.flac")])


def test_channels_are_averaged() -> None:
    sound = tones()
    model, processor = hearing_model()
    stereo = receive(model, processor, np.stack([sound * 0.5, sound * 1.5]))
    np.testing.assert_allclose(stereo.data, sound, atol=1e-6)
    assert stereo.name == "recording of 1.50 s"
    with pytest.raises(ValueError, match=r"shape \(20, 30\): give \(samples,\), or \(channels, samples\)"):
        receive(model, processor, np.resize(sound, (20, 30)))


def test_what_is_too_long_is_refused_before_the_run(tmp_path: Path) -> None:
    model, processor = seeing_model("columns")
    Image.new("L", (2000, 5)).save(wide := tmp_path / "wide.png")
    with pytest.raises(ValueError, match=f"^{re.escape(str(wide))}: A picture of 2000 x 5 pixels would be 9,600 wide"):
        receive(model, processor, str(wide))
    model, processor = hearing_model()
    seconds = (MAX_STATES + 2) * 0.04
    with pytest.raises(ValueError, match=rf"has {seconds:.0f} seconds, .* at most {MAX_STATES:,}: cut it"):
        trace(model, processor, np.resize(tones(), round(seconds * RATE)))


def test_a_text_model_is_given_text() -> None:
    from hf_attn_seq2seq.decoding.loading import load

    with pytest.raises(ValueError, match="reads text, and not a source of type ndarray"):
        trace(*load(), tones())
    with pytest.raises(ValueError, match="no words to align"):
        trace(*hearing_model(), tones()).alignment()


def test_the_widget_mutes_and_covers() -> None:
    from hf_attn_seq2seq.explain.notebook import what_if_widget

    for kind, question, change in (
        ("audio", {"kind": "mute", "part": [0.5, 1.0]}, "mute"),
        ("grid", {"kind": "cover", "part": 7}, "cover"),
    ):
        make, source = KINDS[kind]
        traced = trace(*make(), source())
        widget = what_if_widget(traced)
        assert widget.input == traced.input["kind"]
        widget._handle_custom_msg(question, [])
        (child,) = traced.children
        assert child.document["what_if"]["kind"] == change
        assert widget.answer == child.document["target"]["text"]
        widget._handle_custom_msg({"kind": "mute" if change == "cover" else "cover", "part": [9, 9]}, [])
        assert widget.answer.startswith("There is nothing to")
