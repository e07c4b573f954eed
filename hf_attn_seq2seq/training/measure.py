# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The measuring of a trained model, from its folder to `results.json`, translations and model card."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

import torch
from datasets import Dataset
from rich.console import Console

from hf_attn_seq2seq.data.links import from_pharaoh
from hf_attn_seq2seq.data.prepare import PreparedCorpus
from hf_attn_seq2seq.data.readers import local_folder
from hf_attn_seq2seq.data.report import shared_sentences
from hf_attn_seq2seq.data.settings import DataSettings
from hf_attn_seq2seq.data.words import WORDS, WordKind, Words, running_text
from hf_attn_seq2seq.decoding import Aligner, Readout, align_pairs, attend, load_readout, translate
from hf_attn_seq2seq.decoding.engines import Engine
from hf_attn_seq2seq.decoding.loaded import quick_engine
from hf_attn_seq2seq.decoding.loading import Translator, load_aligner, load_translator, read_processor
from hf_attn_seq2seq.decoding.names import PACKAGED, resolve
from hf_attn_seq2seq.decoding.safety import NO_CODE, read_settings, weight_files
from hf_attn_seq2seq.evaluation.alignment import alignment_error_rate
from hf_attn_seq2seq.evaluation.comparison import largest_differences, paired_bootstrap
from hf_attn_seq2seq.evaluation.gold import GoldLinks, read_gold
from hf_attn_seq2seq.evaluation.metrics import make_metric
from hf_attn_seq2seq.evaluation.model_card import write_card
from hf_attn_seq2seq.evaluation.results import (
    RESULTS_FILE,
    Speed,
    as_json,
    checksums,
    describe_environment,
    measure_corpus,
    names_only,
    read_results,
    worst_sentences,
    write_json,
)
from hf_attn_seq2seq.evaluation.settings import EvaluationSettings
from hf_attn_seq2seq.messages import shortened
from hf_attn_seq2seq.processing_attn_seq2seq import AttnSeq2SeqProcessor
from hf_attn_seq2seq.splitting import split_text
from hf_attn_seq2seq.training.fit import SUMMARY_FILE
from hf_attn_seq2seq.training.prepare import CORPUS_FOLDER, HYPOTHESES, media_examples
from hf_attn_seq2seq.training.recipe import RECIPE_FILE, Recipe, read_languages, refuse_same_direction
from hf_attn_seq2seq.training.recognition import recognise
from hf_attn_seq2seq.writing import write_text


EXAMPLE_TOKENS = 8  # of the source whose attention the card shows: enough to see words change places


def search_options(settings: EvaluationSettings) -> dict[str, Any]:
    """How translations are searched for, as `model.generate` takes it."""
    options: dict[str, Any] = {
        "num_beams": settings.num_beams,
        "max_new_tokens": settings.max_new_tokens,
        "do_sample": False,
    }
    if settings.ctc_weight:
        options["ctc_weight"] = settings.ctc_weight
    return {**options, "length_penalty": settings.length_penalty} if settings.num_beams > 1 else options


def translate_set(engine: Engine, tokenizer: Any, sources: Sequence[str], settings: EvaluationSettings) -> list[str]:
    """Translations of the sources, each on one line; of a blank line, an empty one."""
    whole = [source for source in sources if source.strip()]
    options: dict[str, Any] = {"batch_size": settings.batch_size, **search_options(settings)}
    texts = iter(translate(engine, tokenizer, whole, split_sentences=False, **options))  # a test set counts segments
    return [" ".join(next(texts).splitlines()) if source.strip() else "" for source in sources]


def own_sentences(
    engine: Engine, tokenizer: Any, sentences: Sequence[str], settings: EvaluationSettings
) -> list[dict[str, str]]:
    """Sentences of the card's own with their translations, as results hold them."""
    translations = translate_set(engine, tokenizer, sentences, settings)
    return [{"source": source, "translation": text} for source, text in zip(sentences, translations)]


def recognise_set(
    recipe: Recipe,
    corpus: PreparedCorpus,
    name: str,
    processor: AttnSeq2SeqProcessor,
    engine: Engine,
    settings: EvaluationSettings,
) -> list[str]:
    """The texts of the sounds or pictures of a set, each on one line."""
    examples = media_examples(recipe, corpus, name)
    options = {"batch_size": settings.batch_size, **search_options(settings)}
    return recognise(processor, engine, examples, range(len(examples)), **options)


def settings_record(settings: EvaluationSettings) -> dict[str, Any]:
    """The settings as results hold them: without a field that figures measured before there was one do not have."""
    return settings.model_dump(mode="json", exclude=set() if settings.ctc_weight else {"ctc_weight"})


def recipe_record(recipe: Recipe) -> dict[str, Any]:
    """The recipe as results hold it: what is not a default, and without what they have elsewhere."""
    elsewhere: dict[str, Any] = {"notes": True, "card": True, "output": True, "data": {"folder"}}
    return names_only(recipe.model_dump(mode="json", exclude_defaults=True, exclude=elsewhere))


def seed_folder(seed: int) -> str:
    """The folder of a seed's model, in that of a recipe with several."""
    return f"seed-{seed}"


def is_measured(recipe: Recipe) -> bool:
    """Whether the results of a model are there, as it is trained now: of all sets, and as the recipe asks for."""
    folder = recipe.output
    found = read_results(folder / RESULTS_FILE)
    asked = {
        "notes": recipe.notes,
        "card": recipe.card.model_dump(mode="json"),
        "training": names_only(read_record(folder / SUMMARY_FILE)),
        "evaluation": names_only(settings_record(recipe.evaluation)),
        "recipe": recipe_record(recipe),
    }
    if any(found.get(name) != value for name, value in asked.items()):
        return False
    return found["model"]["sha256"] == checksums(folder.glob("*.safetensors")) and set(found["sets"]) == {
        name for name in found["data"]["pairs"] if name != "train"
    }


class Evaluation(NamedTuple):
    """What was measured; `differing` says in what it differs from `results.json`, which then was left as it is."""

    results: dict[str, Any]
    differing: list[str]


def evaluate_model(
    recipe: Recipe,
    folder: Path,
    *,
    names: Sequence[str] = (),
    command: str = "",
    engine: str = "auto",
    compare: str | None = None,
    console: Console | None = None,
) -> Evaluation:
    """
    Measure the model in `folder` on its validation and test sets, and write `results.json`, the translations
    (`hypotheses/SET.txt`) and the model card (`README.md`) beside it.

    Where only some sets are measured, the others keep their figures; or, if those are of another model, corpus or
    other settings, nothing is written: so settings can be tried on validation after the tests were scored.

    Args:
        recipe: What the model was trained by; its section `evaluation` says how to measure.
        names: The sets to measure; none for all.
        command: How this was called, for the record.
        engine: What translates, as for [`quick_engine`].
        compare: Another model, packaged, a folder or a name on the Hub, that translates the same sets in the same way.
        console: Says what is being done.

    Raises:
        ValueError: There is no model in the folder, not the corpus that it learnt from, or no set of such a name;
            or the models cannot be compared.
    """
    console = console or Console(quiet=True)
    translator = load_translator([str(folder)])
    if not folder.is_dir() or PACKAGED in folder.parents:
        raise ValueError(
            f"'{folder.name}' was not trained here, so there are no sets to measure it on: name yours by --source and "
            "--reference."
        )
    if not (folder / CORPUS_FOLDER).exists() and not (folder / RECIPE_FILE).exists():
        raise ValueError(
            f"'{folder}' has no recipe and no corpus, so there are no sets to measure it on: name yours by --source "
            "and --reference."
        )
    there = read_results(folder / RESULTS_FILE)
    if "seeds" in there:
        raise ValueError(
            f"'{folder}' has the results of several seeds, and evaluate measures one model: name the folder of one, "
            f"such as '{folder / seed_folder(there['seed'])}', or measure all by the command seeds."
        )
    corpus = PreparedCorpus.load(folder / CORPUS_FOLDER)
    training = read_record(folder / SUMMARY_FILE)
    if training.get("corpus") not in (None, corpus.fingerprint):
        raise ValueError(
            f"The corpus in '{folder / CORPUS_FOLDER}' is not the one that the model was trained on: run preprocess "
            "with the original files."
        )
    sets = {"validation": corpus.validation, **corpus.tests}
    for name in names:
        if name not in sets:
            raise ValueError(f"There is no set '{shortened(name)}': choose one of {shortened(', '.join(sets))}.")
    settings, language = recipe.evaluation, recipe.data.target_language
    for metric in settings.metrics:
        make_metric(metric, language)  # refuses before any work is done
    run = {"date": datetime.now(timezone.utc).isoformat(timespec="seconds"), "command": command}
    results: dict[str, Any] = {
        "name": recipe.name,
        "description": recipe.description,
        "notes": recipe.notes,
        "license": recipe.license,
        **run,
        "seed": recipe.training.seed,
        "languages": {"source": recipe.data.source_language, "target": language},
        "card": recipe.card.model_dump(mode="json"),
        "datasets": recipe.card.datasets or hub_datasets(recipe.data),
        "model": {
            "parameters": translator.model.num_parameters(),
            "sha256": checksums(folder.glob("*.safetensors")),
        },
        "training": names_only(training),
        "data": {
            "fingerprint": corpus.fingerprint,
            "pairs": {name: split["pairs"] for name, split in corpus.report["splits"].items()},
            "shared": shared_sentences(corpus.report),
            "files": names_only(
                [{name: file[name] for name in ("split", "file", "sha256")} for file in corpus.report["inputs"]]
            ),
        },
        "evaluation": names_only(settings_record(settings)),
        "recipe": recipe_record(recipe),
        "sets": {},
        **describe_environment(),
    }
    if not corpus.is_text:
        results["source_kind"] = recipe.data.source_kind
        results["data"]["sources"] = {
            name: {of: value for of, value in split.items() if of not in ("pairs", "rows_of_sources", "features_of")}
            for name, split in corpus.report["splits"].items()
        }
        processor = read_processor(str(folder), translator.model.config)
    searching = quick_engine(translator.model, engine)
    other = Other.of(compare, corpus, settings, engine) if compare else None
    aligner = WordAligner.of(translator, folder, settings) if corpus.is_text else None
    gold, path = [], recipe.data.folder / (settings.alignment.gold or "")
    if settings.alignment.gold:
        if not aligner:
            raise ValueError("This model has no attention to align by: leave out evaluation.alignment.gold.")
        gold = read_gold_texts(path, recipe.data)
    before = there if names else {}
    compared = ("model", "data", "languages", "evaluation") if before else ()
    differing = [name for name in compared if before.get(name) != results[name]]
    if before and not differing:
        results["sets"] = kept_sets(before, results)
        quoted = ("worst", "example") if recipe.card.quote else ()
        results.update({name: before[name] for name in quoted if name in before})
    if other:
        results["comparison"] = other.record(before if not differing else {})
    translations: dict[str, list[str]] = {}
    seconds_of: dict[str, float] = {}
    cpu_seconds = 0.0
    for name in names or sets:
        texts = TextSet.of(sets[name], recipe.data.alignment_words)
        doing = "Translating" if corpus.is_text else "Reading"
        with console.status(f"{doing} {name}, {len(texts.sources)} {'sentences' if corpus.is_text else 'files'} ..."):
            started, cpu_started = time.perf_counter(), time.process_time()
            if corpus.is_text:
                hypotheses = translate_set(searching, translator.tokenizer, texts.sources, settings)
            else:
                hypotheses = recognise_set(recipe, corpus, name, processor, searching, settings)
            seconds_of[name] = time.perf_counter() - started
            cpu_seconds += time.process_time() - cpu_started
        with console.status(f"Scoring {name} ..."):
            of = None if corpus.is_text else [references[0] for references in texts.references]
            measured = measure_corpus(texts.sources, hypotheses, texts.references, settings, language, of)
            figures = as_json(measured)
            figures["translation_seconds"] = round(seconds_of[name], 3)
            if aligner and any(text.links.sure for text in texts.gold):
                figures["alignment"] = aligner.measure(texts.gold)
        results["sets"][name] = {**figures, **run}
        translations[name] = hypotheses
        if other:
            with console.status(f"Comparing with {other.name} on {name} ..."):
                results["comparison"]["sets"][name] = other.compare(texts, hypotheses, language, recipe.card.quote)
        if name == next(iter(sets)) and recipe.card.quote:
            with console.status(f"Looking at {name} ..."):
                worst = worst_sentences(texts.sources, hypotheses, texts.references, recipe.card.worst)
                results["worst"] = {name: [asdict(one) for one in worst]}
                if aligner:
                    example = example_attention(searching, translator.tokenizer, texts.sources, settings)
                    results["example"] = {"set": name, **example}
    speed = measure_speed(translator, searching, translations, seconds_of, cpu_seconds, settings)
    if "seconds" in corpus.train.column_names:
        heard = sum(sum(sets[name]["seconds"]) for name in translations)
        speed = replace(speed, sound_seconds_per_second=heard / speed.seconds)
    results["speed"] = {name: value for name, value in asdict(speed).items() if value is not None}
    if recipe.card.quote and recipe.card.sentences:
        results["translations"] = own_sentences(searching, translator.tokenizer, recipe.card.sentences, settings)
    if recipe.card.quote and recipe.card.paragraphs:
        source_language = recipe.data.source_language or "en"
        results["paragraphs"] = [
            own_sentences(searching, translator.tokenizer, [piece.sentence for piece in pieces], settings)
            for pieces in (split_text(text, source_language) for text in recipe.card.paragraphs)
        ]
    if gold:
        with console.status(f"Aligning {path.name} ..."):
            figures = aligner.measure(gold)
        results["gold_alignment"] = {"file": path.name, "sha256": checksums([path])[path.name], **figures}
    if not differing:
        (folder / HYPOTHESES).mkdir(exist_ok=True)
        for name, hypotheses in translations.items():
            write_lines(folder / HYPOTHESES / f"{name}.txt", hypotheses)
        write_json(folder / RESULTS_FILE, results)
        write_card(folder)
    return Evaluation(results, differing)


@dataclass(frozen=True)
class Other:
    """Another model, which translates the same sets by the same settings."""

    name: str
    sha256: dict[str, str]
    tokenizer: Any
    engine: Engine
    settings: EvaluationSettings

    @classmethod
    def of(cls, model: str, corpus: PreparedCorpus, settings: EvaluationSettings, engine: str) -> "Other":
        """
        Raises:
            ValueError: There is no such model, or one of the two reads no text.
        """
        translator = load_translator([model])
        if not corpus.is_text or not getattr(translator.model.config, "reads_tokens", True):
            raise ValueError("--compare is for two models that read text: leave it out.")
        place = resolve(model)
        sha256 = checksums(weight_files(place, NO_CODE))
        searching = quick_engine(translator.model, engine)
        return cls(Path(place).resolve().name, sha256, translator.tokenizer, searching, settings)

    def record(self, before: dict[str, Any]) -> dict[str, Any]:
        """What `results.json` says of it, with the sets of an earlier comparison with the same model."""
        own = {"name": self.name, "sha256": self.sha256}
        earlier = before.get("comparison", {})
        same = all(earlier.get(name) == value for name, value in own.items())
        return {**own, "sets": dict(earlier["sets"]) if same else {}}

    def compare(self, texts: "TextSet", hypotheses: list[str], language: str | None, quote: bool) -> dict[str, Any]:
        """How both score on a set, and the sentences where they differ most, if they may be shown."""
        settings = self.settings
        baseline = translate_set(self.engine, self.tokenizer, texts.sources, settings)
        samples = settings.bootstrap_samples or 1000
        compared = paired_bootstrap(
            baseline, hypotheses, texts.references, settings.metrics, target_language=language, samples=samples
        )
        found: dict[str, Any] = {
            "samples": samples,
            "metrics": {name: asdict(one) for name, one in compared.items()},
        }
        if quote:
            sides = largest_differences(texts.sources, baseline, hypotheses, texts.references)
            found |= {name: [asdict(one) for one in side] for name, side in zip(("better", "worse"), sides)}
        return found


def measure_speed(
    translator: Translator,
    engine: Engine,
    translations: dict[str, list[str]],
    seconds_of: dict[str, float],
    cpu_seconds: float,
    settings: EvaluationSettings,
) -> Speed:
    """What translating all sets took, with the tokens of the translations counted afterwards."""
    texts = [text for hypotheses in translations.values() for text in hypotheses]
    tokens = sum(map(len, translator.tokenizer(text_target=texts)["input_ids"]))
    seconds = sum(seconds_of.values())
    return Speed(
        sets=list(translations),
        sentences=len(texts),
        seconds=round(seconds, 3),
        cpu_seconds=round(cpu_seconds, 3),
        sentences_per_second=len(texts) / seconds,
        sentences_per_cpu_second=len(texts) / cpu_seconds,
        target_tokens_per_second=tokens / seconds,
        num_beams=settings.num_beams,
        batch_size=settings.batch_size,
        threads=torch.get_num_threads(),
        device=translator.model.device.type,
        engine=engine.name_for(search_options(settings)),
    )


def example_attention(
    engine: Engine, tokenizer: Any, sources: Sequence[str], settings: EvaluationSettings
) -> dict[str, Any]:
    """
    The first sentence whose length is nearest to `EXAMPLE_TOKENS` tokens (the end token is one), its translation, and
    the attention of the run that made it: last layer, mean of heads, a row for each target token.
    """
    lengths = [len(ids) for ids in tokenizer(list(sources))["input_ids"]]
    source = min(zip(lengths, sources), key=lambda pair: abs(pair[0] - EXAMPLE_TOKENS))[1]
    shown = attend(engine, tokenizer, source, **search_options(settings))
    target = getattr(tokenizer, "target", tokenizer)  # of two vocabularies
    return {
        "source": source,
        "translation": shown.translation,
        "source_tokens": readable(tokenizer, shown.source_tokens),
        "target_tokens": readable(target, shown.target_tokens),
        "weights": [[round(weight, 4) for weight in row] for row in shown.weights.float().mean(0).tolist()],
    }


def readable(tokenizer: Any, tokens: Sequence[str]) -> list[str]:
    """Tokens as the text that they stand for, which is easier to read than bytes and word marks."""
    return [tokenizer.convert_tokens_to_string([token]).strip() or token for token in tokens]


def read_record(path: Path) -> dict[str, Any]:
    """What a training wrote of itself; nothing where there was none."""
    return read_settings(path) if path.is_file() else {}


def hub_datasets(data: DataSettings) -> list[str]:
    """Those that the training pairs were read from."""
    names = [source.hub for source in data.train if source.hub and local_folder(source, data) is None]
    return list(dict.fromkeys(names))


def kept_sets(before: dict[str, Any], results: dict[str, Any]) -> dict[str, Any]:
    """The sets of an earlier evaluation, each with what about its measuring is not as `results` has it now."""
    told = {name: before[name] for name in ("date", "command", "versions", "machine") if before[name] != results[name]}
    return {name: {**told, **figures} for name, figures in before["sets"].items()}


class GoldText(NamedTuple):
    """A pair of sentences, given as words, and its links."""

    source: Words
    target: Words
    links: GoldLinks


@dataclass(frozen=True)
class TextSet:
    """Sentences to translate, the references of each, and those pairs of which gold links are known."""

    sources: list[str]
    references: list[list[str]]
    gold: list[GoldText]

    @classmethod
    def of(cls, split: Dataset, links_of: WordKind) -> "TextSet":
        """A split of a prepared corpus; `links_of` is what its links count (see `DataSettings.alignment_words`)."""
        words = WORDS[links_of]
        columns = {name: list(split[name]) for name in split.column_names}
        nothing = [None] * len(split)
        further, sure, possible = (columns.get(name, nothing) for name in ("references", "alignment", "possible"))
        references = [[target, *(more or ())] for target, more in zip(columns["target"], further)]
        gold = []
        for source, target, links, more in zip(columns["source"], columns["target"], sure, possible):
            if links is not None:
                known = from_pharaoh(links)
                both = GoldLinks(known, known | from_pharaoh(more or ""))
                gold.append(GoldText(words(source), words(target), both))
        return cls(columns["source"], references, gold)


def read_gold_texts(path: Path, data: DataSettings) -> list[GoldText]:
    """
    Gold alignments as running text, where there are rules for joining words of the language; else word by word.

    Raises:
        ValueError: The languages are not named, or the file has another form; the sentence says where.
    """
    source, target = data.source_language, data.target_language
    if not (source and target):
        raise ValueError("Gold alignments need data.source_language and data.target_language: name both.")
    if not path.is_file():
        raise ValueError(f"There is no file {path}: check evaluation.alignment.gold, and data.folder.")

    return [
        GoldText(running_text(pair.source, source), running_text(pair.target, target), pair.links)
        for pair in read_gold(path, source, target)
    ]


@dataclass(frozen=True)
class WordAligner:
    """A model that aligns, with one of the opposite direction if there is one."""

    forward: Aligner
    backward: Aligner | None
    symmetrisation: str
    batch_size: int

    @classmethod
    def of(cls, translator: Translator, folder: Path, settings: EvaluationSettings) -> "WordAligner | None":
        """None for a model without attention."""
        if getattr(translator.model.config, "attention_type", None) == "none":
            return None
        alignment = settings.alignment
        backward = load_aligner(alignment.reverse_model) if alignment.reverse_model else None
        if alignment.reverse_model:
            refuse_same_direction(read_languages(folder), alignment.reverse_model)
        readout = Readout(**alignment.readout.model_dump()) if alignment.readout else load_readout(folder)
        return cls(
            Aligner(*translator, readout),
            backward,
            alignment.symmetrisation,
            settings.batch_size,
        )

    def measure(self, gold: Sequence[GoldText]) -> dict[str, Any]:
        """Alignment error rate of given translations (forced decoding), precision and recall, in percent."""
        aligned = align_pairs(
            [(text.source, text.target) for text in gold],
            self.forward,
            self.backward,
            method=self.symmetrisation,
            batch_size=self.batch_size,
        )
        scores = alignment_error_rate(
            [alignment.links for alignment in aligned],
            [text.links.sure for text in gold],
            [text.links.possible for text in gold],
        )
        figures: dict[str, Any] = {
            "sentences": scores.count,
            "aer": 100 * scores.error_rate,
            "precision": 100 * scores.precision,
            "recall": 100 * scores.recall,
            "predicted_links": scores.predicted,
            "sure_links": scores.sure,
            "readout": asdict(self.forward.readout),
        }
        if self.backward:
            figures["reverse_readout"] = asdict(self.backward.readout)
            figures["symmetrisation"] = self.symmetrisation
        return figures


def write_lines(path: Path, lines: Sequence[str]) -> None:
    write_text(path, "".join(f"{line}\n" for line in lines))
