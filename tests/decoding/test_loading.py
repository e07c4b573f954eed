# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Models by name: those that come with the package, folders, and what is neither."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import MarianConfig, MarianMTModel

import hf_attn_seq2seq
from hf_attn_seq2seq.decoding import command, translate
from hf_attn_seq2seq.decoding.folders import SETTINGS
from hf_attn_seq2seq.decoding.loading import Translator, load
from hf_attn_seq2seq.decoding.names import DEFAULT_MODEL, PACKAGED, names_model, packaged_models, resolve
from hf_attn_seq2seq.evaluation.model_card import make_card
from hf_attn_seq2seq.evaluation.results import checksums
from hf_attn_seq2seq.explain import command as explain_command
from tests.decoding.test_command import pipe
from tests.helpers import tiny_model


SENTENCES = ["The cat is on the mat.", "I like tea."]
FIRST_EDITION = "en-fr-small"
FIXED = "en-fr-small-fixed"  # the first edition without attention, to compare with
REVERSE = "fr-en"


@pytest.fixture(scope="module")
def packaged() -> Translator:
    return load()


@pytest.fixture(scope="module")
def expected(packaged: Translator) -> list[str]:
    return translate(*packaged, SENTENCES)


def test_the_packaged_model_translates(packaged: Translator, expected: list[str]) -> None:
    assert packaged_models() == [DEFAULT_MODEL, FIRST_EDITION, FIXED, REVERSE]
    assert packaged_models() == ["en-fr", "en-fr-small", "en-fr-small-fixed", "fr-en"]
    assert "chat" in expected[0]
    assert "thé" in expected[1]


def test_text_as_it_is_pasted_is_translated_as_if_typed(packaged: Translator, expected: list[str]) -> None:
    """From web pages and word processors, with no-break spaces and decomposed letters."""
    pasted = ["\ufeffThe\u00a0cat  is\ton the\u202fmat. ", "I\u2009like\u00a0tea."]
    assert [text.strip() for text in translate(*packaged, pasted)] == expected
    composed, apart = translate(*packaged, ["The café is open.", "The cafe\u0301 is open."])
    assert composed == apart
    assert "café" in composed


def test_it_is_kept_in_half_precision_and_computes_in_single_on_a_cpu(packaged: Translator) -> None:
    weights = load_file(PACKAGED / DEFAULT_MODEL / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
    assert load(device="cpu").model.dtype == torch.float32
    assert load(device="cpu", dtype="bfloat16").model.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        (DEFAULT_MODEL, "en_fr"),
        (FIRST_EDITION, "tatoeba_en_fr_small"),
        (FIXED, "tatoeba_en_fr_fixed"),
        (REVERSE, "fr_en"),
    ],
)
def test_it_is_what_its_card_and_recipe_tell_of(name: str, recipe: str) -> None:
    folder = PACKAGED / name
    written = Path(__file__).parents[2] / "training" / "recipes" / f"{recipe}.yaml"
    assert (folder / "recipe.yaml").read_text("utf-8") == written.read_text("utf-8")
    results = json.loads((folder / "results.json").read_text("utf-8"))
    assert results["model"]["sha256"] == checksums([folder / "model.safetensors"])
    assert (folder / "README.md").read_text("utf-8") == str(make_card(results))


@pytest.mark.parametrize(("name", "count"), [(DEFAULT_MODEL, 22), (FIRST_EDITION, 22), (FIXED, 8), (REVERSE, 22)])
def test_it_says_what_its_card_shows(name: str, count: int) -> None:
    shown = json.loads((PACKAGED / name / "results.json").read_text("utf-8"))["translations"]
    assert len(shown) == count
    found = translate(*load(name), [pair["source"] for pair in shown], num_beams=5)
    assert found == [pair["translation"] for pair in shown]


def test_a_model_and_its_twin_read_the_same_tokens() -> None:
    """So that they can be compared word by word."""
    one, other = ((PACKAGED / name / "tokenizer.json").read_bytes() for name in (FIRST_EDITION, FIXED))
    assert one == other


def test_the_package_gives_it_by_name(expected: list[str]) -> None:
    model, tokenizer = hf_attn_seq2seq.load("en-fr")
    assert translate(model, tokenizer, SENTENCES) == expected


def test_a_folder_is_loaded_as_well(folders: Path, model, tokenizer) -> None:
    found = load(folders / "gru")
    assert translate(*found, SENTENCES, max_new_tokens=5) == translate(model, tokenizer, SENTENCES, max_new_tokens=5)


def test_a_folder_of_the_same_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve(DEFAULT_MODEL) == str(PACKAGED / DEFAULT_MODEL)
    assert resolve("some/model") == "some/model"
    monkeypatch.chdir(tmp_path)
    (tmp_path / DEFAULT_MODEL).mkdir()
    assert resolve(DEFAULT_MODEL) == DEFAULT_MODEL
    with pytest.raises(ValueError, match="does not contain a trained model"):
        load(DEFAULT_MODEL)


def test_an_unknown_name_is_told_what_there_is() -> None:
    said = r"no model 'en-fr-smal': .* \(which has en-fr, en-fr-small, en-fr-small-fixed, fr-en\)"
    with pytest.raises(ValueError, match=said):
        load("en-fr-smal")


@pytest.fixture
def folder(folders: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folders / "gru", tmp_path / "model"))


@pytest.mark.parametrize("content", ["{", "[]", b"\xff"])
@pytest.mark.parametrize("file", SETTINGS)
def test_a_damaged_file_is_named(folder: Path, file: str, content: str | bytes) -> None:
    (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=rf"{file}' is damaged \(.*\): save or download the model again"):
        load(folder)


def test_a_field_of_another_type_is_named(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": "x"}), "utf-8")
    with pytest.raises(ValueError, match=r"cannot be loaded.*hidden_size"):
        load(folder)


@pytest.mark.parametrize(
    ("file", "fields", "sentence"),
    [
        ("generation_config.json", {"eos_token_id": 99_999}, "eos_token_id=99999, which is outside the vocabulary"),
        ("generation_config.json", {"eos_token_id": [2, -1]}, "eos_token_id=-1, which is outside the vocabulary"),
        ("generation_config.json", {"decoder_start_token_id": 99_999}, "decoder_start_token_id=99999, which is"),
        ("generation_config.json", {"num_beams": "x"}, "num_beams='x', which must be at least 1"),
        ("generation_config.json", {"num_beams": 0}, "num_beams=0, which must be at least 1"),
        ("generation_config.json", {"max_new_tokens": 0}, "max_new_tokens"),
        ("generation_config.json", {"length_penalty": float("nan")}, "length_penalty=nan, which is no number"),
        ("config.json", {"dtype": "foo"}, "cannot be loaded.*foo"),
        ("config.json", {"auto_map": 5}, "cannot be loaded"),
    ],
)
def test_settings_that_make_no_sense(folder: Path, file: str, fields: dict, sentence: str) -> None:
    settings = json.loads((folder / file).read_text("utf-8"))
    (folder / file).write_text(json.dumps({**settings, **fields}), "utf-8")
    with pytest.raises(ValueError, match=sentence):
        load(folder)


def test_a_tokenizer_without_padding_is_refused(folder: Path) -> None:
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(ValueError, match="no padding token"):
        load(folder)


def test_a_tokenizer_much_smaller_than_the_model_is_told(folder: Path, recwarn: pytest.WarningsRecorder) -> None:
    model, tokenizer = load(folder)
    for more, told in ((127, 0), (128, 1)):  # a vocabulary may be padded to a round number
        model.resize_token_embeddings(len(tokenizer) + more)
        model.save_pretrained(folder)
        recwarn.clear()
        load(folder)
        assert sum("may not belong together" in str(warning.message) for warning in recwarn) == told


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda weights, name: weights[name].fill_(torch.nan), r"contain NaN or infinite numbers \("),
        (lambda weights, name: weights[name].view(-1)[0].fill_(torch.inf), r"contain NaN or infinite numbers \("),
        (lambda weights, name: weights.pop(name), r"lack .* \(1 missing\)"),
    ],
)
def test_weights_that_cannot_be_used(folder: Path, spoil, sentence: str) -> None:
    weights = load_file(folder / "model.safetensors")
    spoil(weights, next(name for name in weights if "bridge" in name))
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=sentence):
        load(folder)


def test_weights_that_the_settings_have_no_place_for(folder: Path) -> None:
    """Half of a model would else translate, into nonsense."""
    model = tiny_model(vocab_size=50, encoder_layers=2)
    model.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "encoder_layers": 1}), "utf-8")
    with pytest.raises(
        ValueError, match=r"do not match its config\.json, which has no parameter .*encoder.* \(\d+ unexpected\)"
    ):
        load(folder)


def test_other_models_numbers_that_are_no_parameters_are_checked_too(tmp_path: Path, tokenizer) -> None:
    config = MarianConfig(
        **{"vocab_size": len(tokenizer), "d_model": 8, "encoder_layers": 1, "decoder_layers": 1},
        **{"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8},
        **{"pad_token_id": 0, "decoder_start_token_id": 0, "eos_token_id": 2},
    )
    model = MarianMTModel(config)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert load(tmp_path).model.config.model_type == "marian"
    weights = load_file(tmp_path / "model.safetensors")
    weights["final_logits_bias"][0, 3] = torch.nan
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"contain NaN or infinite numbers \(final_logits_bias\)"):
        load(tmp_path)


def test_weights_that_were_cut_off_or_left_out(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"The weights of '.*model' are damaged"):
        load(folder)
    path.unlink()
    with pytest.raises(ValueError, match="model' has no weights"):
        load(folder)


def test_a_tokenizer_from_elsewhere(folder: Path, folders: Path, tokenizer) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ValueError, match="model' has no tokenizer"):
        load(folder)
    text = SENTENCES[0]
    for given in (tokenizer, folders / "gru", str(folders / "gru")):
        assert load(folder, tokenizer=given).tokenizer(text)["input_ids"] == tokenizer(text)["input_ids"]
    with pytest.raises(ValueError, match="'no/such' has no tokenizer"):
        load(folder, tokenizer="no/such")
    with pytest.raises(ValueError, match="tokenizer is of type int"):
        load(folder, tokenizer=3)
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match=r"The weights of '.*model' are damaged"):
        load(folder, tokenizer=tokenizer)


def test_an_unknown_option() -> None:
    with pytest.raises(TypeError, match=r"no option 'revison': for the Hub it has revision, token"):
        load("user/name", revison="v2")


def test_an_unknown_dtype() -> None:
    with pytest.raises(ValueError, match="dtype 'int3' is unknown: choose one of auto, float32"):
        load(dtype="int3")


@pytest.mark.parametrize(
    "text",
    [
        *("en-fr-small", "en-fr-smal", "user/name", "outputs/a,outputs/b", "./demo", "/a/b/", "tests"),
        *("./a", "../a", "~/a", "~me/a", "/a", "tests/a", "t5/t5-small"),
    ],
)
def test_what_can_name_a_model(text: str) -> None:
    assert names_model(text)


@pytest.mark.parametrize(
    "text",
    [
        *("The cat is on the mat.", "Hello", "Hello.", "and / or", "x" * 5000, "a\0b", "Yes, no"),
        *("3.14", "24/7", "Hello.World", "hello.world", "and/or", "km/h", "AC/DC", "he/she/it", "12/25/2023", "n/a"),
        *("http://example.org/a", "https://example.org", "U.S.A", "p.m", "1,000.50", "...", "2023/2024"),
    ],
)
def test_what_is_a_text(text: str) -> None:
    assert not names_model(text)
    assert command._told_apart(text, None) == ("en-fr", text, None)
    assert command._told_apart("en-fr-small", text) == ("en-fr-small", text, None)


def test_nothing_is_no_model() -> None:
    assert not names_model("")


def test_two_texts_are_no_model_and_text(capsys: pytest.CaptureFixture[str]) -> None:
    for main in (command.main, explain_command.main):
        with pytest.raises(
            ValueError, match=r"There is no model 'I love you.': .* give the whole text as one argument"
        ):
            main(["I love you.", "It is raining."])
    with pytest.raises(ValueError, match=r"There is no model 'user/name': .* cannot be found on the Hub\.$"):
        command.main(["user/name", "It is raining."])


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    command.main(list(arguments))
    return capsys.readouterr().out.splitlines()


def test_the_command_takes_a_sentence_and_needs_no_model(expected, tmp_path, capsys, monkeypatch) -> None:
    assert run(capsys, SENTENCES[0]) == expected[:1]
    assert run(capsys, "\n".join(SENTENCES)) == expected
    assert run(capsys, "en-fr", SENTENCES[1]) == expected[1:]
    assert run(capsys, SENTENCES[1], "--alignments", "--n-best", "2")[0].startswith(f"0 ||| {expected[1]} ||| ")
    path = tmp_path / "lines.en"
    path.write_text("\n".join(SENTENCES), "utf-8")
    assert run(capsys, str(path)) == run(capsys, "en-fr", str(path)) == expected
    for arguments in ([], ["en-fr"]):
        pipe(monkeypatch, "\n".join(SENTENCES).encode())
        assert run(capsys, *arguments) == expected


def test_a_sentence_by_a_model_of_ones_own(folders: Path, model, tokenizer, capsys) -> None:
    assert run(capsys, str(folders / "gru"), "a b", "--num-beams", "2") == translate(
        model, tokenizer, ["a b"], num_beams=2
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([""], "The text is empty"),
        (["en-fr-small", "  "], "The text is empty"),
        (
            ["missing.en"],
            r"There is no file missing.en: check its path. To translate it as text, pipe it in: echo TEXT \|",
        ),
        (
            ["some/other"],
            r"There is no model 'some/other': .* There is no file .* To translate it as text, pipe it in",
        ),
        (["en-fr-small", "folder/missing"], "There is no file folder/missing"),
        (["nobodys/model"], "There is no model 'nobodys/model'"),
        (
            ["en-fr-smal"],
            r"There is no model 'en-fr-smal': .* \(which has en-fr, en-fr-small, en-fr-small-fixed, fr-en\)",
        ),
        (["A sentence.", "--resume"], "--resume needs a FILE"),
        (["not \udcff UTF-8"], "The text is not UTF-8"),
    ],
)
def test_wrong_arguments(arguments: list[str], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        command.main(arguments)
