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

from hf_attn_seq2seq.evaluation.metrics import METRICS
from hf_attn_seq2seq.evaluation.results import RESULTS_FILE


CARD_FILE = "README.md"  # in the folder of a trained model
TEMPLATE = Path(__file__).parent / "model_card.md"


def write_card(folder: Path) -> Path:
    """Writes the card of the model in `folder` from its `results.json`.

    Raises:
        ValueError: there are no results in the folder, or the file holds something else.
    """
    path = folder / RESULTS_FILE
    try:
        results = json.loads(path.read_text("utf-8"))
        card = make_card(results)
    except FileNotFoundError:
        raise ValueError(f"There is no '{path}': evaluate the model first.") from None
    except (json.JSONDecodeError, KeyError) as error:
        raise ValueError(f"'{path}' does not hold the results of an evaluation ({error}): evaluate again.") from None
    card_path = folder / CARD_FILE
    card_path.write_text(str(card), "utf-8")
    return card_path


def make_card(results: dict[str, Any]) -> ModelCard:
    """The card of what `results.json` holds; raises KeyError where it lacks something."""
    languages = [code for code in results["languages"].values() if code]
    card_data = ModelCardData(
        language=list(dict.fromkeys(languages)) or None,
        license=results.get("license"),
        library_name="transformers",
        pipeline_tag="translation" if len(set(languages)) == 2 else None,
        tags=["attn_seq2seq", "hf_attn_seq2seq"],
        model_name=results["name"],
        eval_results=_eval_results(results) or None,
    )
    sets = results["sets"]
    rows = score_rows(sets)
    card = ModelCard.from_template(
        card_data,
        template_path=str(TEMPLATE),
        results=results,
        parameters=f"{results['model']['parameters']:,}",
        scores=_scores_table(rows),
        intervals=results["evaluation"]["bootstrap_samples"],
        decoding=_decoding(results["evaluation"]),
        signatures="\n".join(f"- {line}" for line in signatures(rows)),
        alignment=_alignment_table(results),
        by_length=_length_table(sets, results["evaluation"]["length_unit"]),
        training=_training(results["training"]),
        data=_data(results["data"]),
        recipe=yaml.safe_dump(results["recipe"], sort_keys=False, allow_unicode=True).strip(),
        environment=_environment(results),
    )
    card.content = re.sub(r"\n{3,}", "\n\n", card.content)  # what parts of the template left blank
    return card


def show_score(score: dict[str, Any]) -> str:
    """A score of `results.json` with its interval, if it has one."""
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
    """How each metric was computed, each way once."""
    lines = [f"{METRICS[metric].title}: {score['signature']}" for row in rows for metric, score in row.scores.items()]
    return list(dict.fromkeys(lines))


def _scores_table(rows: Sequence[ScoreRow]) -> str:
    metrics = list(rows[0].scores)
    return _table(
        ["set", "sentences", "references", *(METRICS[metric].title for metric in metrics)],
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
    metrics = list(next(iter(sets.values()))["scores"])
    return _table(["set", unit, "sentences", *(METRICS[metric].title for metric in metrics)], rows) if rows else ""


def _alignment_table(results: dict[str, Any]) -> str:
    measured = {name: entry["alignment"] for name, entry in results["sets"].items() if "alignment" in entry}
    if "gold_alignment" in results:
        measured[results["gold_alignment"]["file"]] = results["gold_alignment"]
    rows = [
        [
            name,
            f"{figures['sentences']:,}",
            *(f"{figures[figure]:.1f} %" for figure in ("aer", "precision", "recall")),
            _readout(figures),
        ]
        for name, figures in measured.items()
    ]
    return _table(["gold", "pairs", "AER", "precision", "recall", "read from"], rows) if rows else ""


def _readout(figures: dict[str, Any]) -> str:
    readout = figures["readout"]
    head = "mean of heads" if readout["head"] is None else f"head {readout['head']}"
    said = f"layer {readout['layer']}, {head}, shift {readout['shift']}, end token {readout['end_token']}"
    return f"{said}; both directions, {figures['symmetrisation']}" if "symmetrisation" in figures else said


def _decoding(settings: dict[str, Any]) -> str:
    if settings["num_beams"] == 1:
        return f"Greedy decoding, at most {settings['max_new_tokens']} tokens."
    return (
        f"Beam search with {settings['num_beams']} beams, length penalty {settings['length_penalty']:g}, at most "
        f"{settings['max_new_tokens']} tokens."
    )


def _data(data: dict[str, Any]) -> str:
    pairs = _table(["split", "pairs"], [[name, f"{count:,}"] for name, count in data["pairs"].items()])
    files = [[one["split"], one["file"], f"`{one['sha256']}`"] for one in data["files"]]
    return "\n\n".join([pairs, _table(["split", "file", "SHA-256"], files)] if files else [pairs])


def _training(record: dict[str, Any]) -> str:
    shown = {
        name.replace("_", " "): f"{value:.4g}" if isinstance(value, float) else str(value)
        for name, value in record.items()
        if not isinstance(value, dict)
    }
    text = "; ".join(f"{name}: {value}" for name, value in shown.items())
    return f"{text}.\n\nTrained with {_computed_by(record)}." if "machine" in record else text


def _computed_by(record: dict[str, Any]) -> str:
    """Versions and machine."""
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    machine = record["machine"]
    parts = [machine.get("gpu"), machine.get("processor"), f"{machine['cores']} cores", machine["system"]]
    return f"{versions}; on {', '.join(part for part in parts if part)}"


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
    """The figures of the test sets as the Hub lists them; the metric's name keeps the two kinds of BLEU apart."""
    pair = "-".join(code for code in results["languages"].values() if code)
    return [
        EvalResult(
            task_type="translation" if "-" in pair else "text2text-generation",
            dataset_type=f"{results['name']}_{name}",
            dataset_name=f"{name} ({pair})" if pair else name,
            dataset_split=name,
            metric_type=metric,
            metric_name=METRICS[metric].title,
            metric_value=round(score["value"], 2),
            metric_args={"signature": score["signature"]},
        )
        for name, entry in results["sets"].items()
        for metric, score in entry["scores"].items()
    ]


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
