# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The model card: a page for readers and figures for the Hub, both from `results.json` and from nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from rich.cells import cell_len

from hf_attn_seq2seq.evaluation.metrics import METRICS, metric_title
from hf_attn_seq2seq.evaluation.results import RESULTS_FILE, read_results, upgrade_results
from hf_attn_seq2seq.modality import AUDIO, IMAGE, TEXT, Modality
from hf_attn_seq2seq.writing import write_text


CARD_FILE = "README.md"  # in the folder of a trained model
TEMPLATE = Path(__file__).parent / "model_card.md"


class SourceWords(NamedTuple):
    """How a card speaks of a model's sources, and how it shows that they are used."""

    few: str = "text"  # "other kinds of ..."
    many: str = "sentences"
    result: str = "translation"
    length: str = "source length"
    modality: Modality = TEXT
    tag: str = ""  # on the Hub; of translations, the languages tell
    text_of: str = ""  # where the text is in what Transformers' pipeline gives
    argument: str = ""  # of the processor
    text_task: str = "translation"  # of this package's pipeline, for sources that are texts
    text_key: str = "translation_text"  # in what that pipeline gives
    variable: str = "translator"  # what the code blocks call the pipeline


_SOURCES = {
    "text": SourceWords(),
    "summary": SourceWords(
        many="texts",
        result="summary",
        tag="summarization",
        text_task="summarization",
        text_key="summary_text",
        variable="summarizer",
    ),
    "audio": SourceWords(
        few="sound",
        many="files",
        result="transcript",
        length="length of the reference",
        modality=AUDIO,
        tag=AUDIO.task,
        text_of='["text"]',
        argument="audio",
    ),
    "image": SourceWords(
        few="picture",
        many="files",
        result="text",
        length="length of the reference",
        modality=IMAGE,
        tag=IMAGE.task,
        text_of='[0]["generated_text"]',
        argument="images",
    ),
}
_BARE_BAR = re.compile(r"(?<!\\)\|")  # one that is not escaped ends a cell
_HUB_METRICS = ("bleu", "chrf", "ter", "exact_match", "wer", "cer")  # those with a page of this name on the Hub
_MAP_TOKENS = 24  # on a side: a larger map does not fit a page
_SHOWN_REFERENCES = 3  # of a sentence that has more


def write_card(
    folder: Path, *, repo_id: str | None = None, picture: str | None = None, page: str | None = None
) -> Path:
    """Writes the card of the model in `folder` from its `results.json`; arguments as for [`make_card`].

    Raises:
        ValueError: there are no results in the folder, or the file holds something else.
    """
    path = folder / RESULTS_FILE
    if not path.is_file():
        raise ValueError(f"There is no '{path}': evaluate the model first.")
    results = read_results(path)
    try:
        card = make_card(results, repo_id=repo_id, picture=picture, page=page)
    except KeyError as error:
        raise ValueError(f"'{path}' does not hold the results of an evaluation ({error}): evaluate again.") from None
    card_path = folder / CARD_FILE
    write_text(card_path, str(card))
    return card_path


def make_card(
    results: dict[str, Any], *, repo_id: str | None = None, picture: str | None = None, page: str | None = None
) -> ModelCard:
    """The card of what `results.json` holds, and of nothing else.

    Args:
        results: what `evaluate` wrote; figures that an earlier version did not measure are left out.
        repo_id: the model's name in the code blocks, as in "user/name"; by default the folder that the code runs in.
        picture: file of the repository that shows the attention of a sentence.
        page: file of the repository that explains a translation step by step.

    Raises:
        KeyError: the results lack something.
    """
    results = upgrade_results(results)
    sets = results["sets"]
    shown = results.get("seeds", results)  # of several training runs, the table has the means
    rows = score_rows(shown["sets"])
    said = {"purpose": "", "limits": "", "credit": "", **results.get("card", {})}
    source = _source_words(results)
    card = ModelCard.from_template(
        _metadata(results),
        template_path=str(TEMPLATE),
        results=results,
        said=said,
        source=source,
        parameters=f"{results['model']['parameters']:,}",
        trained_on=_count(results["data"]["pairs"], "train"),
        repo_id=repo_id or ".",
        picture=picture,
        page=page,
        sentence=json.dumps(_sentence(results), ensure_ascii=False),
        search=_search(results["evaluation"]),
        own=_translations_table(results.get("translations", [])),
        paragraphs=[_translations_table(sentences) for sentences in results.get("paragraphs", [])],
        scores=_scores_table(rows),
        runs=_runs_table(results["seeds"]) if "seeds" in results else "",
        chosen_by=_checkpoint_metric(results["training"]),
        metrics=list(rows[0].scores),
        bleu=metric_title("bleu", [row.scores["bleu"]["signature"] for row in rows if "bleu" in row.scores]),
        lower_is_better=any(not METRICS[metric].higher_is_better for row in rows for metric in row.scores),
        intervals=results["evaluation"]["bootstrap_samples"],
        decoding=_decoding(results["evaluation"]),
        signatures="\n".join(f"- {line}" for line in signatures(rows)),
        alignment=_alignment_table(shown),
        by_length=_length_table(sets, results["evaluation"]["length_unit"]),
        attention=_attention_map(results["example"]) if "example" in results else "",
        comparison=_comparison(results.get("comparison", {})),
        worst={name: _worst_table(worst) for name, worst in results.get("worst", {}).items()},
        training=_training(results["training"]),
        start=_start(results["training"]),
        data=_data(results["data"]),
        recipe=yaml.safe_dump(results["recipe"], sort_keys=False, allow_unicode=True).strip(),
        speed=_speed(results),
        environment=_environment(results),
    )
    card.content = re.sub(r"\n{3,}", "\n\n", card.content)  # what parts of the template left blank
    return card


def _metadata(results: dict[str, Any]) -> ModelCardData:
    """What the Hub lists and searches by."""
    languages = [code for code in results["languages"].values() if code]
    metrics = {metric: None for entry in results["sets"].values() for metric in entry["scores"]}
    start = results["training"].get("start_from") or {}
    return ModelCardData(
        language=list(dict.fromkeys(languages)) or None,
        license=results.get("license"),
        library_name="transformers",
        pipeline_tag=_task(results) or ("translation" if len(set(languages)) == 2 else None),
        datasets=results.get("datasets") or None,
        base_model=start["name"] if "commit" in start else None,  # other names are not on the Hub
        metrics=[metric for metric in metrics if metric in _HUB_METRICS] or None,
        tags=["attn_seq2seq", "hf_attn_seq2seq"],
        model_name=results["name"],
        eval_results=_eval_results(results) or None,
    )


def _task(results: dict[str, Any]) -> str:
    """What the Hub calls the task of a model; nothing for one that translates."""
    return _source_words(results).tag


def _source_words(results: dict[str, Any]) -> SourceWords:
    kind = results.get("source_kind", "text")
    languages = [code for code in results["languages"].values() if code]
    measured = {metric for entry in results["sets"].values() for metric in entry["scores"]}
    if kind == "text" and len(set(languages)) == 1 and any(metric.startswith("rouge") for metric in measured):
        kind = "summary"  # texts of a language made shorter, as the metric says
    return _SOURCES[kind]


def _search(settings: dict[str, Any]) -> str:
    """The options of the evaluation, as the code blocks give them."""
    names = ("num_beams", "max_new_tokens", *(["ctc_weight"] if settings.get("ctc_weight") else []))
    return ", ".join(f"{name}={settings[name]}" for name in names)


def _sentence(results: dict[str, Any]) -> str:
    """What the code blocks translate."""
    sentences = [*results.get("card", {}).get("sentences", []), results.get("example", {}).get("source", "...")]
    return sentences[0]


def show_score(score: dict[str, Any]) -> str:
    """A score of `results.json` with its interval, if it has one; or the mean of several runs, with its spread."""
    if "mean" in score:
        return "{mean:.2f} ± {deviation:.2f} ({lowest:.2f} to {highest:.2f})".format(**score)
    shown = f"{score['value']:.2f}"
    return f"{shown} [{score['interval'][0]:.2f}, {score['interval'][1]:.2f}]" if "interval" in score else shown


class ScoreRow(NamedTuple):
    """Scores of one set, as `results.json` holds them; a set with several references to a sentence makes two rows."""

    title: str
    sentences: int
    references: int
    scores: dict[str, Any]


def score_rows(sets: dict[str, Any]) -> list[ScoreRow]:
    """What a table of all scores shows."""
    rows = []
    for name, figures in sets.items():
        rows.append(ScoreRow(name, figures["sentences"], figures["references"], figures["scores"]))
        if "each_reference" in figures:
            count = figures["references"]
            rows.append(ScoreRow(f"{name}, each reference alone", count, count, figures["each_reference"]))
    return rows


def signatures(rows: Sequence[ScoreRow]) -> list[str]:
    """How each metric was computed, each way once; where there are several, with the rows that it is of."""
    ways: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        for metric, score in row.scores.items():
            ways.setdefault(metric, {}).setdefault(score["signature"], []).append(row.title)
    lines = []
    for metric, found in ways.items():
        for signature, titles in found.items():
            of = f" ({'; '.join(titles)})" if len(found) > 1 else ""
            lines.append(f"{metric_title(metric, [signature])}{of}: {signature}")
    return lines


def _scores_table(rows: Sequence[ScoreRow]) -> str:
    metrics = list(rows[0].scores)
    return _table(
        ["set", "sentences", "references", *table_titles(rows)],
        [
            [
                row.title,
                f"{row.sentences:,}",
                f"{row.references:,}",
                *(show_score(row.scores[metric]) for metric in metrics),
            ]
            for row in rows
        ],
    )


def _length_table(sets: dict[str, Any], unit: str) -> str:
    rows = [
        [name, bucket, f"{figures['sentences']:,}", *(f"{value:.2f}" for value in figures["scores"].values())]
        for name, entry in sets.items()
        for bucket, figures in entry.get("by_source_length", {}).items()
    ]
    return _table(["set", unit, "sentences", *table_titles(score_rows(sets))], rows) if rows else ""


def table_titles(rows: Sequence[ScoreRow]) -> list[str]:
    """The heading of each metric of the rows; an arrow where lower is better."""
    titles = []
    for metric in rows[0].scores:
        title = metric_title(metric, [row.scores[metric]["signature"] for row in rows if metric in row.scores])
        titles.append(title if METRICS[metric].higher_is_better else f"{title} ↓")
    return titles


def _runs_table(seeds: dict[str, Any]) -> str:
    """The figures of each of several training runs, a column for each."""
    runs = seeds["runs"]
    trained = [run["training"] for run in runs]
    lines = [
        ["training", "steps", *(f"{record['steps']:,}" for record in trained)],
        ["training", "seconds", *(f"{record['seconds']:,.1f}" for record in trained)],
        [
            "validation in training",
            _checkpoint_metric(trained[0]),
            *(f"{record['value']:.2f}" for record in trained),
        ],
    ]
    for rows in zip(*(score_rows(run["sets"]) for run in runs)):
        for metric, title in zip(rows[0].scores, table_titles(rows)):
            lines.append([rows[0].title, title, *(show_score(row.scores[metric]) for row in rows)])
    measured = [alignments(run) for run in runs]
    lines += [[name, "AER ↓", *(show_percent(of[name]["aer"]) for of in measured)] for name in measured[0]]
    titles = [f"seed {run['seed']}{', this model' if run['seed'] == seeds['chosen'] else ''}" for run in runs]
    return _table(["set", "figure", *titles], lines)


def _checkpoint_metric(record: dict[str, Any]) -> str:
    """What the best checkpoint of a training was chosen by."""
    metric = record.get("metric", "loss")
    return METRICS[metric].title if metric in METRICS else metric


def alignments(results: dict[str, Any]) -> dict[str, Any]:
    """Figures of word alignment, by the set or the file that they were measured on."""
    measured = {name: entry["alignment"] for name, entry in results["sets"].items() if "alignment" in entry}
    if "gold_alignment" in results:
        measured[results["gold_alignment"]["file"]] = results["gold_alignment"]
    return measured


def show_percent(figure: float | dict[str, float]) -> str:
    """A figure of word alignment, or the mean of several runs with its spread."""
    if isinstance(figure, dict):
        return "{mean:.1f} ± {deviation:.1f} % ({lowest:.1f} to {highest:.1f} %)".format(**figure)
    return f"{figure:.1f} %"


def _alignment_table(results: dict[str, Any]) -> str:
    rows = [
        [
            name,
            f"{figures['sentences']:,}",
            *(show_percent(figures[figure]) for figure in ("aer", "precision", "recall")),
            _readout(figures),
        ]
        for name, figures in alignments(results).items()
    ]
    return _table(["gold", "pairs", "AER ↓", "precision", "recall", "read from"], rows) if rows else ""


def _readout(figures: dict[str, Any]) -> str:
    readout = figures["readout"]
    head = "mean of heads" if readout["head"] is None else f"head {readout['head']}"
    said = f"layer {readout['layer']}, {head}, shift {readout['shift']}, end token {readout['end_token']}"
    return f"{said}; both directions, {figures['symmetrisation']}" if "symmetrisation" in figures else said


def _attention_map(example: dict[str, Any]) -> str:
    """Weights in columns of equal width, the largest of each row in brackets; nothing where that is too large."""
    sources, targets, rows = example["source_tokens"], example["target_tokens"], example["weights"]
    if max(len(sources), len(targets)) > _MAP_TOKENS:
        return ""
    margin = max(map(cell_len, targets))
    widths = [max(cell_len(token) + 1, len("[.00]")) for token in sources]
    lines = [" " * margin + " " + "".join(_centred(token, width) for token, width in zip(sources, widths))]
    for target, row in zip(targets, rows):
        best = row.index(max(row))
        cells = []
        for place, (weight, width) in enumerate(zip(row, widths)):
            shown = "1.0" if weight >= 0.995 else f"{weight:.2f}".removeprefix("0")
            cells.append(_centred(f"[{shown}]" if place == best else "·" if shown == ".00" else shown, width))
        lines.append(" " * (margin - cell_len(target)) + target + " " + "".join(cells))
    return "\n".join(line.rstrip() for line in lines)


def _centred(text: str, width: int) -> str:
    room = width - cell_len(text)
    return " " * (room // 2) + text + " " * (room - room // 2)


def _translations_table(sentences: Sequence[dict[str, str]]) -> str:
    rows = [[_plain(one["source"]), _plain(one["translation"])] for one in sentences]
    return _table(["source", "translation"], rows) if rows else ""


def _references(sentence: dict[str, Any]) -> str:
    return " / ".join(map(_plain, sentence["references"][:_SHOWN_REFERENCES]))


def _worst_table(worst: Sequence[dict[str, Any]]) -> str:
    rows = [
        [
            _plain(one["source"]),
            _plain(one["hypothesis"]),
            _references(one),
            f"{one['score']:.1f}",
        ]
        for one in worst
    ]
    return _table(["source", "this model", "reference", "chrF"], rows) if rows else ""


def difference_rows(metrics: dict[str, Any]) -> list[list[str]]:
    """For each metric its title, the difference of two systems, its interval and its p value."""
    rows = []
    for metric, one in metrics.items():
        low, high = one["interval"]
        title = metric_title(metric, [one["signature"]])
        rows.append([title, f"{one['difference']:+.2f}", f"[{low:+.2f}, {high:+.2f}]", f"{one['p_value']:.4f}"])
    return rows


def _comparison(comparison: dict[str, Any]) -> list[dict[str, str]]:
    """Of each set that another model translated too: the table of scores, and those of sentences."""
    other = comparison.get("name", "")
    return [
        {
            "set": name,
            "samples": compared["samples"],
            "scores": _table(
                ["metric", "difference", "95 % interval", "p", other, "this model"],
                [
                    [*row, f"{one['baseline']:.2f}", f"{one['system']:.2f}"]
                    for row, one in zip(difference_rows(compared["metrics"]), compared["metrics"].values())
                ],
            ),
            **{side: _differences_table(compared.get(side, []), other) for side in ("better", "worse")},
        }
        for name, compared in comparison.get("sets", {}).items()
    ]


def _differences_table(sentences: Sequence[dict[str, Any]], other: str) -> str:
    rows = [
        [
            *(_plain(one[column]) for column in ("source", "baseline", "system")),
            _references(one),
            f"{one['score']:+.1f}",
        ]
        for one in sentences
    ]
    return _table(["source", other, "this model", "reference", "chrF"], rows) if rows else ""


def _speed(results: dict[str, Any]) -> str:
    if "speed" not in results:
        return ""
    speed = results["speed"]
    figures = {
        "sentences / s": f"{speed['sentences_per_second']:.1f}",
        "sentences / s of processor time": f"{speed['sentences_per_cpu_second']:.1f}",
        **(
            {"seconds of sound / s": f"{speed['sound_seconds_per_second']:.1f}"}
            if speed.get("sound_seconds_per_second")
            else {}
        ),
        "target tokens / s": f"{speed['target_tokens_per_second']:.1f}",
        "beams": str(speed["num_beams"]),
        "batch size": str(speed["batch_size"]),
        "device": speed["device"],
        "threads": str(speed["threads"]),
        **({"engine": speed["engine"]} if "engine" in speed else {}),
    }
    many = {"": "sentences were translated", "summarization": "texts were summed up"}.get(
        _task(results), "files were read"
    )
    measured = (
        f"Measured once on {_machine(results['machine'])}, while {speed['sentences']:,} {many} "
        f"({', '.join(speed['sets'])}): {speed['seconds']:.1f} s, with {speed['cpu_seconds']:.1f} s of processor "
        "time. Where the first is far above the second, other work on the machine slowed it."
    )
    return f"{_table(list(figures), [list(figures.values())])}\n\n{measured}"


def _decoding(settings: dict[str, Any]) -> str:
    ctc = f" CTC's share of each score is {settings['ctc_weight']:g}." if settings.get("ctc_weight") else ""
    if settings["num_beams"] == 1:
        return f"Greedy decoding, at most {settings['max_new_tokens']} tokens.{ctc}"
    return (
        f"Beam search with {settings['num_beams']} beams, length penalty {settings['length_penalty']:g}, at most "
        f"{settings['max_new_tokens']} tokens.{ctc}"
    )


def _data(data: dict[str, Any]) -> str:
    sources = data.get("sources", {})
    grouped = ["groups"] if any("groups" in figures for figures in sources.values()) else []
    sizes = ["sizes"] if sources else []
    rows = [
        [
            name,
            f"{count:,}",
            *(f"{sources[name]['groups']:,}" for _ in grouped),
            *(_sizes(sources[name]) for _ in sizes),
        ]
        for name, count in data["pairs"].items()
    ]
    parts = [_table(["split", "pairs", *grouped, *sizes], rows)]
    if shared := data.get("shared"):
        sides = [
            "source",
            "target",
            "pair",
            *(["group"] if any("group" in found for found in shared.values()) else []),
        ]
        rows = [[where, *(f"{found.get(side, 0):,}" for side in sides)] for where, found in shared.items()]
        by_group = ", or by their group" if "group" in sides else ""
        parts += [
            f"Rows that are in another split too, by their source, their target, or both together{by_group}:",
            _table(["rows of", *sides], rows),
        ]
    if data["files"]:
        files = [[one["split"], one["file"], f"`{one['sha256']}`"] for one in data["files"]]
        parts.append(_table(["split", "file", "SHA-256"], files))
    return "\n\n".join(parts)


def _sizes(figures: dict[str, Any]) -> str:
    """How long the sounds of a split are, or how large its pictures were."""
    if "seconds" in figures:
        seconds = figures["seconds"]
        return f"{figures['hours']:.2f} hours; {seconds['least']:g} to {seconds['most']:g} s"
    width, height = figures["width"], figures["height"]
    return f"{width['least']:g} to {width['most']:g} pixels wide, {height['least']:g} to {height['most']:g} high"


def _training(record: dict[str, Any]) -> str:
    shown = {
        name.replace("_", " "): f"{value:.4g}" if isinstance(value, float) else str(value)
        for name, value in record.items()
        if not isinstance(value, dict)
    }
    text = "; ".join(f"{name}: {value}" for name, value in shown.items())
    return f"{text}.\n\nTrained with {_computed_by(record)}." if "machine" in record else text


def _start(record: dict[str, Any]) -> dict[str, str]:
    """The model that training started from, if there is one: its name, and a sentence about it."""
    if not (start := record.get("start_from")):
        return {}
    files = ", ".join(f"`{file}` has the SHA-256 `{digest}`" for file, digest in start["sha256"].items())
    commit = f" at commit `{start['commit']}`" if "commit" in start else ""
    told = f"Training started from the weights of `{start['name']}`{commit} ({files}), and kept its tokenizer."
    return {"name": start["name"], "told": f"{told} What that model was trained on, and its licence, count here too."}


def _computed_by(record: dict[str, Any]) -> str:
    """Versions and machine."""
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    return f"{versions}; on {_machine(record['machine'])}"


def _machine(machine: dict[str, Any]) -> str:
    parts = [machine.get("gpu"), machine.get("processor"), f"{machine['cores']} cores", machine["system"]]
    return ", ".join(part for part in parts if part)


def _environment(results: dict[str, Any]) -> str:
    """What measured the sets, and when: a line for each run, with its sets where there were several."""
    sets_of: dict[str, list[str]] = {}
    for name, entry in results["sets"].items():
        said = {**results, **entry}  # what a set does not say of itself, the last run says for it
        run = f"{_computed_by(said)}; {said['date']}; seed {results['seed']}."
        sets_of.setdefault(run, []).append(name)
    if len(sets_of) == 1:
        return next(iter(sets_of))
    return "\n".join(f"- {', '.join(names)}: {run}" for run, names in sets_of.items())


def _eval_results(results: dict[str, Any]) -> list[EvalResult]:
    """
    The figures of the test sets as the Hub lists them; the metric's name keeps the two kinds of BLEU apart.

    The Hub shows each as a figure of the weights beside the card. So they are of this one model, also where there are
    means of several seeds: a mean is of no model's weights.
    """
    pair = "-".join(code for code in results["languages"].values() if code)

    def listed(name: str, metric: str, title: str, value: float, arguments: dict[str, Any]) -> EvalResult:
        return EvalResult(
            task_type=_task(results) or ("translation" if "-" in pair else "text2text-generation"),
            dataset_type=f"{results['name']}_{name}",
            dataset_name=f"{name} ({pair})" if pair else name,
            dataset_split=name,
            metric_type=metric,
            metric_name=title,
            metric_value=round(value, 2),
            metric_args={**arguments, "training_seed": results["seed"]},
        )

    scores = [
        listed(
            name, metric, metric_title(metric, [score["signature"]]), score["value"], {"signature": score["signature"]}
        )
        for name, entry in results["sets"].items()
        for metric, score in entry["scores"].items()
    ]
    aligned = [
        listed(name, "aer", "AER", figures["aer"], {"readout": _readout(figures)})
        for name, figures in alignments(results).items()
    ]
    return scores + aligned


def _count(pairs: dict[str, int], split: str) -> str:
    return f"{pairs[split]:,}" if split in pairs else ""


def _plain(text: str) -> str:
    """A sentence as Markdown that shows it as it is, on one line."""
    return re.sub(r"([\\`*_\[\]<>&|~#])", r"\\\1", " ".join(text.split()))


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(re.sub(_BARE_BAR, '/', cell) for cell in line)} |" for line in lines)
