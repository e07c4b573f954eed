# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Recipes: reading, changing, saving, and the ones that come with the package."""

import json
from pathlib import Path
from typing import get_args

import pytest
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from hf_attn_seq2seq.data.grammar import generate_corpus
from hf_attn_seq2seq.settings import Settings, section_in
from hf_attn_seq2seq.training.evaluate import main as evaluate
from hf_attn_seq2seq.training.recipe import Recipe, load_recipe, save_recipe
from hf_attn_seq2seq.training.train import main as train


RECIPES = sorted((Path(__file__).parents[2] / "training" / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_shipped_recipe_is_whole(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.output == Path("outputs") / recipe.name
    assert recipe.name.replace("-", "_") == path.stem
    assert recipe.description
    assert recipe.license
    assert recipe.data.train
    decoder_vocab_size = None if recipe.tokenizer.shared else 500
    assert recipe.model_config_for(1000, decoder_vocab_size).vocab_size == 1000
    assert "#" in path.read_text("utf-8")


def sections(section: type[Settings]) -> set[type[Settings]]:
    inner = {section_in(field.annotation) for field in section.model_fields.values()} - {None}
    return {section}.union(*map(sections, inner))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_no_field_takes_what_is_no_number(value: float) -> None:
    tried = 0
    for section in sections(Recipe):
        for name, field in section.model_fields.items():
            if float in (field.annotation, *get_args(field.annotation)):
                tried += 1
                with pytest.raises(ValueError, match=name):
                    section(**{name: value})
    assert tried > 15


def test_values_are_read_as_yaml_at_their_place(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("data: {train: [{file: a.tsv}, {file: b.tsv}]}\nmodel: {hidden_size: 8}\n", "utf-8")
    recipe = load_recipe(
        path,
        ["data.train.1.weight=2", "model.input_feeding=true", "training.epochs=2.5", "description=[b, c", "name=5x"],
    )
    assert recipe.data.train[1].weight == 2
    assert recipe.model == {"hidden_size": 8, "input_feeding": True}
    assert recipe.training.epochs == 2.5
    assert recipe.description == "[b, c"


@pytest.mark.parametrize(
    "first", [["data.train.file=a.tsv"], ["data.train.0.file=a.tsv"], ["data.train=[{file: a.tsv}]"]]
)
def test_sources_are_added_by_their_number(first: list[str]) -> None:
    recipe = load_recipe(
        overrides=[*first, "data.train.1.file=b.tsv", "data.train.1.weight=2", "data.train.2.file=c.tsv"]
    )
    assert [(str(source.file), source.weight) for source in recipe.data.train] == [
        ("a.tsv", 1),
        ("b.tsv", 2),
        ("c.tsv", 1),
    ]


def test_numbers_may_be_names_of_test_sets() -> None:
    recipe = load_recipe(
        overrides=["data.tests.first.file=a.tsv", "data.tests.t1.file=b.tsv", "data.tests.t1.1.file=c.tsv"]
    )
    assert {name: len(sources) for name, sources in recipe.data.tests.items()} == {"first": 1, "t1": 2}


def _doubled(levels: int, before: str, merge: bool = False) -> str:
    """YAML of `levels` lines, each of which holds the one before twice."""
    lines = [f"{before}0: &a0 {{k0: some text}}" if merge else f"{before}0: &a0 [some text, some text]"]
    for level in range(1, levels):
        again = f"*a{level - 1}, *a{level - 1}"
        lines.append(f"{before}{level}: &a{level} " + (f"{{<<: [{again}]}}" if merge else f"[{again}]"))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("merge", [False, True])
def test_a_recipe_that_expands_beyond_reason_is_refused(tmp_path: Path, merge: bool) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(_doubled(18, "name", merge), "utf-8")  # 3 MB: harmless where it is not refused
    with pytest.raises(ValueError, match=r"aliases \(\*\) expand to more than 1,000,000 characters") as raised:
        load_recipe(path)
    assert str(path) in str(raised.value)
    assert len(str(raised.value)) < len(str(path)) + 200


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: x\ndata: &a {train: *a}\n", "line 2, is not YAML: a value that contains itself"),
        ("name: x\ndata: " + "[" * 5000, "is not YAML: its values are nested too deeply"),
        ("name: x\nlicense: 2020-13-45\n", "line 2, is not YAML: the value '2020-13-45' cannot be read: put quotes"),
        ("training:\n  seed: " + "9" * 5000, "line 2, is not YAML: the value '9999"),
    ],
)
def test_what_yaml_cannot_read_is_told(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(ValueError, match=told) as raised:
        load_recipe(path)
    assert len(str(raised.value)) < len(str(path)) + 200


def test_aliases_within_reason_are_read(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("data: {train: &pairs {file: a.tsv}, validation: {<<: *pairs, limit: 9}}\n", "utf-8")
    data = load_recipe(path, ["data.tests=&t {x: {file: b.tsv}}"]).data
    assert (data.train[0].file, data.validation[0].file, data.validation[0].limit) == (Path("a.tsv"), Path("a.tsv"), 9)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("data.train.2.weight=1", "'2' is not an index of this list: give a number from 0 to 1"),
        ("data.train.first.weight=1", "Unknown field 'first'"),
        ("name.first=1", "the value 'x' has no field 'first'"),
        ("training", "does not set a field"),
    ],
)
def test_a_place_that_is_none_is_told(tmp_path: Path, override: str, told: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("name: x\ndata: {train: [{file: a.tsv}]}\n", "utf-8")
    with pytest.raises(ValueError, match=told):
        load_recipe(path, [override])


def test_former_names_of_fields_and_values_still_load_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("training: {casual_text: 0.25}\ndata: {alignment_words: blanks}\n", "utf-8")
    with pytest.warns(FutureWarning) as told:
        recipe = load_recipe(path)
    assert recipe.training.case_punctuation_augmentation == 0.25
    assert recipe.data.alignment_words == "whitespace"
    assert sorted(str(warning.message) for warning in told) == [
        "In recipes, 'alignment_words: blanks' is now called 'alignment_words: whitespace': please rename it.",
        "In recipes, the field 'casual_text' is now called 'case_punctuation_augmentation': please rename it.",
    ]
    path.write_text("training: {casual_text: 0.25}\n", "utf-8")
    with pytest.raises(ValueError, match="'casual_text' is the former name of 'case_punctuation_augmentation'"):
        load_recipe(path, ["training.case_punctuation_augmentation=0.5"])


def test_a_lone_entry_is_a_list_of_one(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    for text in ("data: {train: {file: a.tsv}}", "data: {train: [{file: a.tsv}]}"):
        path.write_text(text, "utf-8")
        for place in ("data.train.file", "data.train.0.file"):
            recipe = load_recipe(path, [f"{place}=b.tsv", "data.validation=null"])
            assert [source.file for source in recipe.data.train] == [Path("b.tsv")]
            assert recipe.data.validation == []
    recipe = load_recipe(None, ["evaluation.metrics=chrf", "training.report_to=tensorboard"])
    assert recipe.evaluation.metrics == ["chrf"]
    assert recipe.training.report_to == ["tensorboard"]


def test_what_is_saved_is_loaded_again(tmp_path: Path) -> None:
    of_text = next(path for path in RECIPES if path.stem == "grammar_en_fr")
    recipe = load_recipe(of_text, ["training.epochs=3", "training.guided_alignment.weight=0.5"])
    save_recipe(recipe, tmp_path)
    assert load_recipe(tmp_path) == recipe.model_copy(update={"output": tmp_path})  # where it lies now


OLD = "training: {metric: wer}\nevaluation: {metrics: [wer, per]}\n"


def test_the_recipe_of_an_older_model_keeps_its_meaning(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    (tmp_path / "recipe.yaml").write_text(OLD, "utf-8")
    (tmp_path / "config.json").write_text("{}", "utf-8")
    for path in (tmp_path, tmp_path / "recipe.yaml"):
        recipe = load_recipe(path, ["training.epochs=2"])
        assert recipe.training.metric == "sequence_error_rate"
        assert recipe.evaluation.metrics == ["sequence_error_rate", "per"]
        assert recipe.training.epochs == 2
    save_recipe(recipe, tmp_path)  # which says its version
    assert load_recipe(tmp_path).evaluation == recipe.evaluation
    recipe = load_recipe(tmp_path, ["evaluation.metrics=[wer]"])  # asked for today
    save_recipe(recipe, tmp_path)
    assert load_recipe(tmp_path).evaluation.metrics == ["wer"]
    assert load_recipe(tmp_path).training.metric == "sequence_error_rate"
    assert not recwarn.list


def test_who_writes_wer_is_told_what_it_means(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    for text in (OLD, "training: {metric: wer}", "evaluation: {metrics: wer}"):
        path.write_text(text, "utf-8")
        with pytest.warns(UserWarning, match=r"mine\.yaml' uses the metric wer.*sequence_error_rate"):
            recipe = load_recipe(path)
        assert "wer" in (recipe.training.metric, *recipe.evaluation.metrics)
        assert "sequence_error_rate" not in (recipe.training.metric, *recipe.evaluation.metrics)


def test_a_recipe_may_say_its_version(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"format_version: 2\n{OLD}", "utf-8")
    assert load_recipe(path).evaluation.metrics == ["wer", "per"]
    path.write_text(f"format_version: 1\n{OLD}", "utf-8")
    assert load_recipe(path).evaluation.metrics == ["sequence_error_rate", "per"]
    path.write_text("format_version: 1\n", "utf-8")
    assert load_recipe(path) == Recipe()
    assert not recwarn.list
    path.write_text("format_version: 3\n", "utf-8")
    with pytest.raises(ValueError, match="format_version=3"):
        load_recipe(path)


def test_a_recipe_is_fixed_and_names_its_fields() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Recipe().name = "other"
    for section in (Recipe, *(field.annotation for field in Recipe.model_fields.values())):
        for name, field in getattr(section, "model_fields", {}).items():
            assert field.description, name


def test_the_large_recipe_runs_on_a_small_stand_in(tmp_path: Path) -> None:
    """All of it but its size: two mixed datasets with a nested column, rules, sampled Unigram, bf16, averages."""
    pairs = generate_corpus(train_size=400, validation_size=1, test_size=1, compositional_size=1).train
    for name, part in (("europarl", pairs[:300]), ("books", pairs[300:])):
        (tmp_path / name).mkdir()
        rows = [json.dumps({"translation": {"en": pair.source, "fr": pair.target}}) + "\n" for pair in part]
        (tmp_path / name / "train.jsonl").write_text("".join(rows), "utf-8")
    recipe = next(path for path in RECIPES if path.stem == "opus_en_fr_large")
    output = tmp_path / "model"
    small = [
        f"output={output}",
        *(f"data.train.{index}.hub={tmp_path / name}" for index, name in enumerate(("europarl", "books"))),
        *("data.train.0.config=null", "data.train.1.config=null", "data.num_proc=1"),
        *("data.validation_size=8", "data.test_size=8", "tokenizer.vocab_size=300"),
        *("model.hidden_size=16", "model.intermediate_size=32", "model.num_attention_heads=2"),
        *("model.encoder_layers=1", "model.decoder_layers=1"),
        *("training.max_steps=4", "training.evaluate_every=2", "training.warmup_steps=1", "training.batch_tokens=400"),
        *("evaluation.bootstrap_samples=0", "evaluation.max_new_tokens=12"),
    ]
    train([str(recipe), *small])
    report = json.loads((output / "corpus" / "report.json").read_text("utf-8"))
    assert report["splits"]["test"]["pairs"] <= 8
    assert AutoTokenizer.from_pretrained(output).backend_tokenizer.model.__class__.__name__ == "Unigram"
    assert AutoModelForSeq2SeqLM.from_pretrained(output).config.hidden_size == 16
    evaluate([str(output), "evaluation.metrics=[bleu, ter]"])
    results = json.loads((output / "results.json").read_text("utf-8"))
    assert set(results["sets"]) == {"validation", "test"}
    assert results["sets"]["test"]["scores"].keys() == {"bleu", "ter"}
    assert (output / "README.md").read_text("utf-8").startswith("---")


@pytest.mark.parametrize(
    "override",
    [
        "{x}=1",
        "{x}",
        "training.{x}=1",
        "training.epochs={x}",
        "training.metric={x}",
        "training={x}",
        "name.{x}=1",
        "model.{x}=1",
        "model.preset={x}",
        "data.tests.{x}.file=a.tsv",
        "data.train.{x}.{x}={x}",
        "data.train.0.format={x}",
        "data.train.0.file=[{x}]",
        "tokenizer.kind={x}",
        "tokenizer={{vocab_size: [{x}, {x}]}}",
    ],
)
def test_a_message_quotes_little_of_a_long_value(override: str) -> None:
    with pytest.raises(ValueError, match="x") as told:
        load_recipe(None, [override.format(x="x" * 1_000_000)])
    assert len(str(told.value)) < 1500  # the names of all fields of a model take most of it
    assert str(told.value).count("x") <= 3 * 200
