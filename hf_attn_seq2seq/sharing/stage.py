# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What a push sends, put together in a folder of its own: the trained model's folder stays as it is."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from huggingface_hub import ModelCard, ModelCardData
from safetensors import SafetensorError

from hf_attn_seq2seq._version import __version__
from hf_attn_seq2seq.decoding.loading import Translator, load_translator, resolve
from hf_attn_seq2seq.decoding.readout import READOUT_FILE
from hf_attn_seq2seq.evaluation.model_card import CARD_FILE, make_card
from hf_attn_seq2seq.evaluation.results import RESULTS_FILE, checksums, names_only, read_results
from hf_attn_seq2seq.training.recipe import RECIPE_FILE, load_recipe, parse_yaml


PICTURE, PAGE = "alignment.png", "explanation.html"
ENGLISH = "The cat is on the mat."  # explained where a model of English has no example of its own


class Explained(NamedTuple):
    """The files that explain a sentence, where they could be made, and what is to be said about those that are not."""

    sentence: str | None
    picture: str | None
    page: str | None
    notes: list[str]


class Staged(NamedTuple):
    """What is to be sent, and what is to be said of it."""

    folder: Path
    notes: list[str]


@contextmanager
def staged(name: str, repo_id: str, *, space: bool = False, sentence: str | None = None) -> Iterator[Staged]:
    """A temporary folder with what [`stage_model`] (`space`: [`stage_space`]) puts together; raises as they do."""
    with tempfile.TemporaryDirectory(prefix="hf-attn-push-") as around:
        folder = Path(around) / "files"
        folder.mkdir()
        yield Staged(folder, stage_space(name, folder) if space else stage_model(name, repo_id, folder, sentence))


def stage_model(name: str, repo_id: str, folder: Path, sentence: str | None = None) -> list[str]:
    """
    Put into `folder` what a trained model is on the Hub, and nothing else of what lies around it.

    That is: weights in safetensors, configurations, tokenizer, the code that loads them without this package, recipe,
    results, alignment settings, a card, and the alignment picture and the page of one sentence.

    Args:
        name: A folder with a trained model, the name of a packaged one, or a recipe, whose output it is.
        repo_id: What it will be called, for the card.
        folder: An empty one.
        sentence: To explain; None: the example of the results, or an English one for a model of English.

    Returns:
        Notes for the user, a sentence each.

    Raises:
        ValueError: There is no such model or it cannot be loaded, its results are damaged, or there is no room.
    """
    source = _find(name)
    with _room_in(folder):
        translator = _load(source, name)
        model, tokenizer = translator
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        for file in (RESULTS_FILE, READOUT_FILE):
            if (source / file).is_file():
                shutil.copyfile(source / file, folder / file)
        recipe = _stage_recipe(source, folder)
        results = _results(source)
        notes = _licence_notes(results.get("license", recipe.get("license"))) + _weights_notes(results, source)
        explained = _explain(
            Translator(model.float(), tokenizer), _sentence(sentence, results, recipe), repo_id, folder
        )
        if not results and (source / CARD_FILE).is_file():
            shutil.copyfile(source / CARD_FILE, folder / CARD_FILE)  # by hand, or by the Trainer
        else:
            if not results:
                notes.append(
                    f"There is no {RESULTS_FILE}, so the card has no figures: evaluate the model to have them."
                )
            card = _card(results, recipe, repo_id, explained, source)
            (folder / CARD_FILE).write_text(str(card), "utf-8")
        return notes + explained.notes


def stage_space(model: str, folder: Path) -> list[str]:
    """
    Put into `folder` a Space that shows a model; returns notes and raises as [`stage_model`] does.

    Args:
        model: Its name on the Hub, or of one that comes with this package: a Space cannot reach a folder here.
        folder: An empty one.
    """
    if Path(resolve(model)).is_dir() and resolve(model) == model:
        raise ValueError(
            f"'{model}' is a folder here, which a Space cannot reach: push the model first, and name it as it is "
            "called on the Hub."
        )
    from hf_attn_seq2seq.app.space import write_space

    with _room_in(folder):
        write_space(folder, model)
    return [
        f"The Space installs hf_attn_seq2seq {__version__} from the package index, and starts once that is there; see "
        "its requirements.txt."
    ]


def _find(name: str) -> Path:
    """The folder that is meant."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        path = load_recipe(path).output
        if not path.is_dir():
            raise ValueError(f"The model of '{name}' is not trained yet: there is no folder '{path}'.")
    path = Path(resolve(str(path)))
    if not path.is_dir():
        raise ValueError(f"There is no folder '{name}': name the folder of a trained model, or its recipe.")
    if (path / "exported.json").is_file():
        raise ValueError(f"'{name}' is an exported model: push the folder that it was exported from.")
    return path


def _load(source: Path, name: str) -> Translator:
    """The model in the number format that it is saved in."""
    if not (source / "config.json").is_file():
        raise ValueError(f"'{name}' holds no trained model: there is no config.json in it.")
    try:
        dtype = json.loads((source / "config.json").read_text("utf-8")).get("dtype") or "float32"
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError) as error:
        raise ValueError(f"The config.json of '{name}' is damaged ({error}): train, or download, again.") from None
    translator = load_translator([str(source)], "cpu", dtype)
    if translator.model.config.model_type != "attn_seq2seq":
        raise ValueError(
            f"'{name}' is a model of type {translator.model.config.model_type}, not of this package: push it by its "
            "own push_to_hub."
        )
    return translator


@contextmanager
def _room_in(folder: Path) -> Iterator[None]:
    """Within, a full disk is told in a sentence."""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:  # each library has its own
        if "No space left" not in str(error):
            raise
        raise ValueError(
            f"There is no space left in '{folder.parent}' to put the files together: make room, or set TMPDIR to "
            "another folder."
        ) from error


def _results(source: Path) -> dict[str, Any]:
    """What `evaluate` measured; empty where it has not."""
    return read_results(source / RESULTS_FILE)


def _no_results(path: Path, reason: str) -> str:
    return f"'{path}' does not hold the results of an evaluation ({reason}): evaluate again."


def _stage_recipe(source: Path, folder: Path) -> dict[str, Any]:
    """Write the recipe without the places of this machine; returns it, empty where there is none."""
    if not (source / RECIPE_FILE).is_file():
        return {}
    try:
        text = (source / RECIPE_FILE).read_text("utf-8")
        recipe = parse_yaml(text)
    except (yaml.YAMLError, UnicodeDecodeError):
        recipe = None
    if not isinstance(recipe, dict):
        raise ValueError(f"'{source / RECIPE_FILE}' is no recipe: it is damaged.")
    relative = names_only(recipe)
    if relative != recipe:
        text = yaml.safe_dump(relative, sort_keys=False, allow_unicode=True)
    (folder / RECIPE_FILE).write_text(text, "utf-8")
    return recipe


def _licence_notes(licence: str | None) -> list[str]:
    if licence not in (None, "other"):
        return []
    said = "The recipe names no licence" if licence is None else "The licence is 'other'"
    return [f"{said}: see that the training data lets you share the model, and say in the card what it allows."]


def _weights_notes(results: dict[str, Any], source: Path) -> list[str]:
    measured = (results.get("model") or {}).get("sha256")
    if measured is None or measured == checksums(source.glob("*.safetensors")):
        return []
    return [
        f"{RESULTS_FILE} was measured with other weights than these: evaluate the model again to be sure of its card."
    ]


def _sentence(given: str | None, results: dict[str, Any], recipe: dict[str, Any]) -> str | None:
    if given is not None:
        return given
    if isinstance(results.get("example"), dict):
        return results["example"].get("source")
    language = (results.get("languages") or {}).get("source") or (recipe.get("data") or {}).get("source_language")
    return ENGLISH if language == "en" else None


def _explain(translator: Translator, sentence: str | None, repo_id: str, folder: Path) -> Explained:
    if sentence is None:
        return Explained(
            None, None, None, ["No sentence is explained: give one of the model's language by --sentence."]
        )
    from hf_attn_seq2seq.explain import trace
    from hf_attn_seq2seq.explain.page import save_page

    traced = trace(translator.model, translator.tokenizer, sentence, name=repo_id)
    save_page(traced, folder / PAGE)
    if not traced.layers:  # that look at the source
        return Explained(sentence, None, PAGE, [])
    try:
        from hf_attn_seq2seq.explain.figure import save_figure

        save_figure(traced, folder / PICTURE)
    except ImportError as error:
        return Explained(sentence, None, PAGE, [f"There is no alignment picture: {error}"])
    return Explained(sentence, PICTURE, PAGE, [])


def _card(
    results: dict[str, Any], recipe: dict[str, Any], repo_id: str, explained: Explained, source: Path
) -> ModelCard:
    if not results:
        return _plain_card(recipe, repo_id, explained)
    try:
        return make_card(results, repo_id=repo_id, picture=explained.picture, page=explained.page)
    except KeyError as error:
        raise ValueError(_no_results(source / RESULTS_FILE, f"{error} is missing")) from None


def _plain_card(recipe: dict[str, Any], repo_id: str, explained: Explained) -> ModelCard:
    """A card that claims nothing: nothing was measured."""
    data = recipe.get("data") or {}
    languages = [data[side] for side in ("source_language", "target_language") if data.get(side)]
    metadata = ModelCardData(
        language=list(dict.fromkeys(languages)) or None,
        license=recipe.get("license"),
        library_name="transformers",
        pipeline_tag="translation" if len(set(languages)) == 2 else None,
        tags=["attn_seq2seq", "hf_attn_seq2seq"],
    )
    parts = [
        f"# {repo_id.rpartition('/')[2]}",
        recipe.get("description") or "An attention encoder-decoder.",
        "It was not evaluated, so this card has no figures.",
        "```python\n"
        "from transformers import AutoModelForSeq2SeqLM, AutoTokenizer\n\n"
        f'model = AutoModelForSeq2SeqLM.from_pretrained("{repo_id}", trust_remote_code=True)\n'
        f'tokenizer = AutoTokenizer.from_pretrained("{repo_id}", trust_remote_code=True)\n'
        f"batch = tokenizer([{json.dumps(explained.sentence or '...', ensure_ascii=False)}], "
        'return_tensors="pt")\n'
        "print(tokenizer.batch_decode(model.generate(**batch), skip_special_tokens=True))\n"
        "```",
        f"![Attention weights of one translation]({explained.picture})" if explained.picture else "",
        f"How one translation is made, number by number: [{explained.page}]({explained.page})."
        if explained.page
        else "",
        "Trained by the recipe in [recipe.yaml](recipe.yaml)." if recipe else "Made with hf_attn_seq2seq.",
    ]
    body = "\n\n".join(part for part in parts if part)
    return ModelCard(f"---\n{metadata.to_yaml()}\n---\n\n{body}\n")
