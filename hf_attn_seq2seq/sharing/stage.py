# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Stages the files of a push in a separate folder; the trained model's folder is not changed."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from huggingface_hub import ModelCard, ModelCardData, SpaceCardData
from huggingface_hub.errors import HTTPError
from safetensors import SafetensorError

from hf_attn_seq2seq._version import __version__
from hf_attn_seq2seq.decoding.loading import Translator, load_translator, save_reader
from hf_attn_seq2seq.decoding.names import resolve
from hf_attn_seq2seq.evaluation.model_card import CARD_FILE, make_card
from hf_attn_seq2seq.evaluation.results import RESULTS_FILE, checksums, names_only, read_results
from hf_attn_seq2seq.explain.names import example_text
from hf_attn_seq2seq.graphs.format import GRAPH_FILE, READOUT_FILE
from hf_attn_seq2seq.graphs.writer import save_graph
from hf_attn_seq2seq.modality import TEXT, Modality, modality_of
from hf_attn_seq2seq.training.recipe import RECIPE_FILE, load_recipe, parse_yaml


PICTURE, PAGE = "alignment.png", "explanation.html"
STATIC_CARD = """# {name}, live

Type a text: the model translates it in your browser, and the page shows every number along the way. Nothing that you
type leaves your computer.

Made with `hf_attn_seq2seq`; the files are those of `hf-attn-seq2seq site`.
"""
_SECTIONS = ("model", "languages", "card", "training", "data", "evaluation", "recipe", "versions")  # of results


class Explained(NamedTuple):
    """The files that explain a sentence, as far as they could be made, and notes about missing ones."""

    sentence: str | None
    picture: str | None
    page: str | None
    notes: list[str]


class Staged(NamedTuple):
    """What is to be pushed, and notes about it."""

    folder: Path
    notes: list[str]


@contextmanager
def staged(
    name: str, repo_id: str, *, space: bool | str | None = False, sentence: str | None = None
) -> Iterator[Staged]:
    """
    A temporary folder with the output of [`stage_model`], or with `space` of [`stage_space`] or
    [`stage_static_space`]; raises as they do.
    """
    kind = space_kind(space)
    with tempfile.TemporaryDirectory(prefix="hf-attn-push-") as around:
        folder = Path(around) / "files"
        folder.mkdir()
        if kind is None:
            yield Staged(folder, stage_model(name, repo_id, folder, sentence))
        else:
            made = stage_space(name, folder) if kind == "gradio" else stage_static_space(name, folder, sentence)
            yield Staged(folder, made)


def space_kind(space: bool | str | None) -> str | None:
    """The kind of a Space: "gradio", or "static"; None for no Space, and a ValueError for another word."""
    kind = "gradio" if space is True else space or None
    if kind not in (None, "gradio", "static"):
        raise ValueError(f"There is no Space of the kind '{kind}': choose gradio or static.")
    return kind


def stage_model(name: str, repo_id: str, folder: Path, sentence: str | None = None) -> list[str]:
    """
    Put into `folder` the files of a trained model for the Hub, and nothing else from its folder.

    These are: weights in safetensors, configurations, tokenizer, the code to load them without this package, recipe,
    results, alignment settings, a model card, and the alignment picture and explanation page of one sentence.

    Args:
        name: A trained model's folder, the name of a packaged model, or a recipe, whose output folder is used.
        repo_id: The name of the repository, for the card.
        folder: An empty folder.
        sentence: The sentence to explain; None: an example from the results, or one of this package in the
            language that the model reads, if there is one.

    Returns:
        Notes for the user, one sentence each.

    Raises:
        ValueError: There is no such model or it cannot be loaded, its results are damaged, or there is no room.
    """
    source = _find(name)
    with _room_in(folder):
        translator = _load(source, name)
        model, tokenizer = translator
        model.save_pretrained(folder)
        save_reader(str(source), translator, folder)
        for file in (RESULTS_FILE, READOUT_FILE):
            if (source / file).is_file():
                shutil.copyfile(source / file, folder / file)
        if (source / GRAPH_FILE).is_file():  # written anew, for the files that are shared
            save_graph(model, folder)  # type: ignore[arg-type]
        recipe = _stage_recipe(source, folder)
        results = _results(source)
        notes = _licence_notes(results.get("license", recipe.get("license"))) + _weights_notes(results, source)
        if model.config.reads_tokens:
            shown = _sentence(sentence, results, recipe)
            explained = _explain(Translator(model.float(), tokenizer), shown, repo_id, folder)
        elif sentence is not None:
            raise ValueError(f"'{name}' reads no text, so no sentence can be explained: leave out --sentence.")
        else:
            explained = Explained(None, None, None, [])
        if not results and (source / CARD_FILE).is_file():
            shutil.copyfile(source / CARD_FILE, folder / CARD_FILE)  # written by hand, or by the Trainer
        else:
            if not results:
                notes.append(
                    f"There is no {RESULTS_FILE}, so the model card has no results: run evaluate to add them."
                )
            card = _card(results, recipe, repo_id, explained, source, modality_of(model.config))
            (folder / CARD_FILE).write_text(str(card), "utf-8")
        return notes + explained.notes


def stage_space(model: str, folder: Path) -> list[str]:
    """
    Put into `folder` a Space that runs a model; returns notes and raises as [`stage_model`] does.

    Args:
        model: The name of a model on the Hub, or of a packaged one: a Space cannot access a local folder.
        folder: An empty folder.
    """
    if Path(resolve(model)).is_dir() and resolve(model) == model:
        raise ValueError(
            f"'{model}' is a local folder, which a Space cannot access: push the model first, and give its name on "
            "the Hub."
        )
    from hf_attn_seq2seq.app.space import write_space

    with _room_in(folder):
        write_space(folder, model)
    return [
        f"The Space installs hf_attn_seq2seq {__version__} from the package index, and cannot start before that "
        "version is published; see its requirements.txt."
    ]


def stage_static_space(name: str, folder: Path, sentence: str | None = None) -> list[str]:
    """
    Put into `folder` a Space of static files, the live page, on which the model runs in the reader's browser; returns
    notes and raises as [`stage_model`] does.

    Args:
        name: A trained model's folder, the name of a packaged model or of one on the Hub, or a recipe.
        folder: An empty folder.
        sentence: The sentence that the page begins with; None: an example, as for [`stage_model`].
    """
    from hf_attn_seq2seq.explain.live.site import save_site

    here = Path(name).suffix in (".yaml", ".yml") or Path(resolve(name)).is_dir()
    source = _find(name) if here else None
    results = _results(source) if source is not None else {}
    with _room_in(folder), tempfile.TemporaryDirectory(dir=folder.parent) as around:
        recipe = {} if source is None else _stage_recipe(source, Path(around))
        licence = results.get("license", recipe.get("license")) if source is not None else _licence_on_hub(name)
        example = _sentence(sentence, results, recipe) or "sentence"
        site = save_site(name if source is None else str(source), Path(around) / "site", example=example)
        for file in site.path.iterdir():
            shutil.move(file, folder / file.name)
    shown = name if source is None else source.name
    data = SpaceCardData(
        title=f"{shown}, live",
        sdk="static",
        license=licence,
        models=[name] if source is None else None,
        short_description="Translate a text and see how it works",
        tags=["hf_attn_seq2seq"],
    )
    (folder / CARD_FILE).write_text(f"---\n{data.to_yaml()}\n---\n{STATIC_CARD.format(name=shown)}", "utf-8")
    return _licence_notes(licence)


def _licence_on_hub(name: str) -> str | None:
    """The licence of a model on the Hub, as its card says; None if it says none, or cannot be read."""
    try:
        return ModelCard.load(name).data.license  # type: ignore[no-any-return]
    except (OSError, ValueError, HTTPError):
        return None


def _find(name: str) -> Path:
    """The folder of the model with this name."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        path = load_recipe(path).output
        if not path.is_dir():
            raise ValueError(f"The model of '{name}' has not been trained: there is no folder '{path}'.")
    path = Path(resolve(str(path)))
    if not path.is_dir():
        raise ValueError(f"There is no folder '{name}': name the folder of a trained model, or its recipe.")
    if (path / "exported.json").is_file():
        raise ValueError(f"'{name}' is an exported model: push the folder it was exported from.")
    return path


def _load(source: Path, name: str) -> Translator:
    """The model in the data type in which it is saved."""
    if not (source / "config.json").is_file():
        raise ValueError(f"'{name}' does not contain a trained model: it has no config.json.")
    try:
        dtype = json.loads((source / "config.json").read_text("utf-8")).get("dtype") or "float32"
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError) as error:
        raise ValueError(
            f"The config.json of '{name}' is damaged ({error}): train or download the model again."
        ) from None
    translator = load_translator([str(source)], "cpu", dtype)
    if translator.model.config.model_type != "attn_seq2seq":
        raise ValueError(
            f"'{name}' is a model of type {translator.model.config.model_type}, not of this package: use its "
            "push_to_hub method."
        )
    return translator


@contextmanager
def _room_in(folder: Path) -> Iterator[None]:
    """Inside this context, a full disk raises an error of one sentence."""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:  # each library raises a different one
        if "No space left" not in str(error):
            raise
        raise ValueError(
            f"There is no space left in '{folder.parent}' for the files to push: free some space, or set TMPDIR to "
            "another folder."
        ) from error


def _results(source: Path) -> dict[str, Any]:
    """The results of `evaluate`; empty if there are none."""
    results = read_results(source / RESULTS_FILE)
    for name in _SECTIONS:
        if not isinstance(results.get(name) or {}, dict):
            raise ValueError(_no_results(source / RESULTS_FILE, f"{name} has no fields"))
    return results


def _no_results(path: Path, reason: str) -> str:
    return f"'{path}' does not contain the results of an evaluation ({reason}): run evaluate again."


def _stage_recipe(source: Path, folder: Path) -> dict[str, Any]:
    """Write the recipe without local paths; returns it, empty if there is none."""
    if not (source / RECIPE_FILE).is_file():
        return {}
    try:
        text = (source / RECIPE_FILE).read_text("utf-8")
        recipe = parse_yaml(text)
    except (yaml.YAMLError, UnicodeDecodeError):
        recipe = None
    if not isinstance(recipe, dict):
        raise ValueError(f"'{source / RECIPE_FILE}' is not a valid recipe: restore it, or train the model again.")
    relative = names_only(recipe)
    if relative != recipe:
        text = yaml.safe_dump(relative, sort_keys=False, allow_unicode=True)
    (folder / RECIPE_FILE).write_text(text, "utf-8")
    return recipe


def _licence_notes(licence: str | None) -> list[str]:
    if licence not in (None, "other"):
        return []
    said = "The recipe names no licence" if licence is None else "The licence is 'other'"
    return [f"{said}: make sure that the training data lets you share the model, and state its terms in the card."]


def _weights_notes(results: dict[str, Any], source: Path) -> list[str]:
    measured = (results.get("model") or {}).get("sha256")
    if measured is None or measured == checksums(source.glob("*.safetensors")):
        return []
    return [
        f"{RESULTS_FILE} was measured with different weights: run evaluate again, so that the model card is right."
    ]


def _sentence(given: str | None, results: dict[str, Any], recipe: dict[str, Any]) -> str | None:
    if given is not None:
        return given
    if isinstance(results.get("example"), dict):
        return results["example"].get("source")
    language = (results.get("languages") or {}).get("source") or (recipe.get("data") or {}).get("source_language")
    return example_text("sentence", language or "")


def _explain(translator: Translator, sentence: str | None, repo_id: str, folder: Path) -> Explained:
    if sentence is None:
        return Explained(
            None, None, None, ["No sentence is explained: give one in the model's source language with --sentence."]
        )
    from hf_attn_seq2seq.explain import trace
    from hf_attn_seq2seq.explain.page import save_page

    traced = trace(translator.model, translator.tokenizer, sentence, name=repo_id)
    save_page(traced, folder / PAGE)
    if not traced.layers:  # no layer attends to the source
        return Explained(sentence, None, PAGE, [])
    try:
        from hf_attn_seq2seq.explain.figure import save_figure

        save_figure(traced, folder / PICTURE)
    except ImportError as error:
        return Explained(sentence, None, PAGE, [f"There is no alignment picture: {error}"])
    return Explained(sentence, PICTURE, PAGE, [])


def _card(
    results: dict[str, Any],
    recipe: dict[str, Any],
    repo_id: str,
    explained: Explained,
    source: Path,
    modality: Modality,
) -> ModelCard:
    if not results:
        return _plain_card(recipe, repo_id, explained, modality)
    try:
        return make_card(results, repo_id=repo_id, picture=explained.picture, page=explained.page)
    except KeyError as error:
        raise ValueError(_no_results(source / RESULTS_FILE, f"{error} is missing")) from None
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(_no_results(source / RESULTS_FILE, str(error))) from None


def _plain_card(recipe: dict[str, Any], repo_id: str, explained: Explained, modality: Modality) -> ModelCard:
    """A model card without results, for a model that was not evaluated."""
    data = recipe.get("data") or {}
    languages = [data[side] for side in ("source_language", "target_language") if data.get(side)]
    metadata = ModelCardData(
        language=list(dict.fromkeys(languages)) or None,
        license=recipe.get("license"),
        library_name="transformers",
        pipeline_tag=modality.task if modality != TEXT or len(set(languages)) == 2 else None,
        tags=["attn_seq2seq", "hf_attn_seq2seq"],
    )
    start = f", starting from the weights of `{names_only(recipe['start_from'])}`" if recipe.get("start_from") else ""
    parts = [
        f"# {repo_id.rpartition('/')[2]}",
        recipe.get("description") or "An attention encoder-decoder.",
        "It has not been evaluated, so this card has no results.",
        f"```python\n{_example(repo_id, explained.sentence, modality)}\n```",
        f"![Attention weights of one translation]({explained.picture})" if explained.picture else "",
        f"How one translation is computed, number by number: [{explained.page}]({explained.page})."
        if explained.page
        else "",
        f"Trained with the recipe in [recipe.yaml](recipe.yaml){start}." if recipe else "Made with hf_attn_seq2seq.",
    ]
    body = "\n\n".join(part for part in parts if part)
    return ModelCard(f"---\n{metadata.to_yaml()}\n---\n\n{body}\n")


def _example(repo_id: str, sentence: str | None, modality: Modality) -> str:
    if modality != TEXT:
        return (
            "from transformers import pipeline\n\n"
            f'pipe = pipeline("{modality.pipelines[0]}", model="{repo_id}", trust_remote_code=True)\n'
            f'print(pipe("{modality.file}"))'
        )
    return (
        "from transformers import AutoModelForSeq2SeqLM, AutoTokenizer\n\n"
        f'model = AutoModelForSeq2SeqLM.from_pretrained("{repo_id}", trust_remote_code=True)\n'
        f'tokenizer = AutoTokenizer.from_pretrained("{repo_id}", trust_remote_code=True)\n'
        f"batch = tokenizer([{json.dumps(sentence or '...', ensure_ascii=False)}], "
        'return_tensors="pt")\n'
        "print(tokenizer.batch_decode(model.generate(**batch), skip_special_tokens=True))"
    )
