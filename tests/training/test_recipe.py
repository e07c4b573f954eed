# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Recipes: reading, changing, saving, and the ones that come with the package."""

from pathlib import Path

import pytest

from hf_attn_seq2seq.training.recipe import Recipe, load_recipe, save_recipe


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
    ("override", "told"),
    [
        ("data.train.2.weight=1", "'2' is no place in a list of 1"),
        ("data.train.first.weight=1", "'first' is no place"),
        ("name.first=1", "'name' holds the value 'x'"),
        ("training", "changes no field"),
    ],
)
def test_a_place_that_is_none_is_told(tmp_path: Path, override: str, told: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("name: x\ndata: {train: [{file: a.tsv}]}\n", "utf-8")
    with pytest.raises(ValueError, match=told):
        load_recipe(path, [override])


def test_what_is_saved_is_loaded_again(tmp_path: Path) -> None:
    recipe = load_recipe(RECIPES[0], ["training.epochs=3", "training.guided_alignment.weight=0.5"])
    save_recipe(recipe, tmp_path)
    assert load_recipe(tmp_path) == recipe


def test_a_recipe_is_fixed_and_names_its_fields() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Recipe().name = "other"
    for section in (Recipe, *(field.annotation for field in Recipe.model_fields.values())):
        for name, field in getattr(section, "model_fields", {}).items():
            assert field.description, name
