# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What was measured of a model on a test set, and all that is needed to measure it again."""

from __future__ import annotations

import copy
import json
import os
import platform
import re
import shlex
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from hf_attn_seq2seq._version import __version__
from hf_attn_seq2seq.evaluation.metrics import (
    References,
    Score,
    check_corpus,
    length_buckets,
    score_corpus,
    sentence_scores,
)
from hf_attn_seq2seq.evaluation.settings import EvaluationSettings
from hf_attn_seq2seq.graphs.format import checksum
from hf_attn_seq2seq.writing import write_text


RESULTS_FILE = "results.json"  # in the folder of a trained model

_FOLDERS = re.compile(r"(?:^|(?<=[=:\[{,'\" ]))/(?:[^/,\]}]*/)*(?=[^/])")  # of an absolute path
_OLD_WER = "|unit:word|"  # in the signature
_LIBRARIES = ("torch", "transformers", "tokenizers", "datasets", "sacrebleu", "sacremoses", "rapidfuzz", "numpy")


@dataclass(frozen=True)
class BucketScores:
    """Scores of the sentences of one range of lengths, without intervals: a bucket may be small."""

    sentences: int
    scores: dict[str, float]


@dataclass(frozen=True)
class CorpusResult:
    """Scores of one corpus.

    `references` is how many there are in all. Where sentences have several, `each_reference` has the scores against
    every reference on its own, as if each stood in a row with its source: what a corpus of one reference a row gives.
    """

    sentences: int
    references: int
    scores: dict[str, Score]
    each_reference: dict[str, Score] = field(default_factory=dict)
    by_source_length: dict[str, BucketScores] = field(default_factory=dict)


def measure_corpus(
    sources: Sequence[str],
    hypotheses: Sequence[str],
    references: References,
    settings: EvaluationSettings,
    target_language: str | None = None,
    lengths_of: Sequence[str] | None = None,
) -> CorpusResult:
    """Scores translations by the metrics of the settings, all together and by the length of their sources.

    Args:
        target_language: as in "fr" or "zh"; it decides how BLEU finds words.
        lengths_of: texts by whose lengths the sentences are sorted, instead of the sources.

    Raises:
        ValueError: the corpus is empty, lengths differ, or a metric lacks its language.
    """
    several = check_corpus(hypotheses, references)
    check_corpus(sources, several, name="sources")
    metrics, samples = settings.metrics, settings.bootstrap_samples
    rows = [(hypothesis, text) for hypothesis, several_texts in zip(hypotheses, several) for text in several_texts]
    each = {}
    if len(rows) > len(several):
        repeated, texts = [row[0] for row in rows], [row[1] for row in rows]
        each = score_corpus(repeated, texts, metrics, target_language=target_language, bootstrap_samples=samples)
    buckets = {}
    by_length = length_buckets(lengths_of or sources, settings.length_buckets, settings.length_unit)
    for name, indices in by_length.items() if len(by_length) > 1 else ():
        scores = score_corpus(
            [hypotheses[index] for index in indices],
            [several[index] for index in indices],
            metrics,
            target_language=target_language,
        )
        buckets[name] = BucketScores(len(indices), {metric: score.value for metric, score in scores.items()})
    return CorpusResult(
        sentences=len(several),
        references=len(rows),
        scores=score_corpus(hypotheses, several, metrics, target_language=target_language, bootstrap_samples=samples),
        each_reference=each,
        by_source_length=buckets,
    )


@dataclass(frozen=True)
class WorstSentence:
    """A translation that is far from all its references; `score` is its chrF."""

    source: str
    hypothesis: str
    references: list[str]
    score: float


def worst_sentences(
    sources: Sequence[str], hypotheses: Sequence[str], references: References, count: int = 5
) -> list[WorstSentence]:
    """The translations of lowest sentence chrF, the worst first.

    Of equal scores, those that come first; a source that comes again is left out, and so is what equals a reference.

    Raises:
        ValueError: the corpus is empty, or lengths differ.
    """
    several = check_corpus(hypotheses, references)
    check_corpus(sources, several, name="sources")
    scores = sentence_scores("chrf", hypotheses, several)
    worst: dict[str, WorstSentence] = {}
    for index in sorted(range(len(scores)), key=scores.__getitem__):
        if len(worst) == count:
            break
        if hypotheses[index] not in several[index]:
            found = WorstSentence(sources[index], hypotheses[index], several[index], scores[index])
            worst.setdefault(found.source, found)
    return list(worst.values())


@dataclass(frozen=True)
class Speed:
    """How fast the sets were translated.

    `cpu_seconds` is what this process had of the processor in these `seconds`, over all its threads: less, where other
    work went on beside. `target_tokens_per_second` counts the translations' tokens, ends included.
    """

    sets: list[str]
    sentences: int
    seconds: float
    cpu_seconds: float
    sentences_per_second: float
    sentences_per_cpu_second: float
    target_tokens_per_second: float
    num_beams: int
    batch_size: int
    threads: int
    device: str
    engine: str = "torch"  # or "graph"
    sound_seconds_per_second: float | None = None  # of models that hear


def describe_environment() -> dict[str, Any]:
    """Versions of what computed, and the machine that it ran on; nothing that could not be found out."""
    versions = {"python": platform.python_version(), "hf_attn_seq2seq": __version__}
    for library in _LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    commit = _git_commit()
    if commit:
        versions["commit"] = commit
    machine: dict[str, Any] = {"system": f"{platform.system()} {platform.machine()}", "cores": usable_cores()}
    processor = _processor()
    if processor:
        machine["processor"] = processor
    if torch.cuda.is_available():
        machine["gpu"] = torch.cuda.get_device_name()
    return {"versions": versions, "machine": machine}


def checksums(paths: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of each file, by its name."""
    return {path.name: checksum(path) for path in sorted(paths)}


def names_only(value: Any) -> Any:
    """The value with the file's name for each absolute path in it: folders of this machine tell others nothing."""
    if isinstance(value, dict):
        return {name: names_only(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [names_only(inner) for inner in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def command_line(arguments: Sequence[str]) -> str:
    """A command as it is typed, with the file's name for each absolute path, also in `field=value` and in lists."""
    return shlex.join(_FOLDERS.sub("", argument) for argument in arguments)


def write_json(path: Path, value: Any) -> None:
    """Writes JSON so that `path` never holds half of it."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def as_json(result: CorpusResult) -> dict[str, Any]:
    """The figures of a test set, with only what was measured."""
    return _measured(asdict(result))


def read_results(path: Path) -> dict[str, Any]:
    """What an evaluation wrote, of this version or an earlier one; nothing where there is no such file.

    Raises:
        ValueError: it is no JSON, or not of an evaluation.
    """
    try:
        results = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ValueError(f"'{path}' does not hold the results of an evaluation ({error}): evaluate again.") from None
    if not isinstance(results, dict) or not isinstance(results.get("sets"), dict):
        raise ValueError(f"'{path}' does not hold the results of an evaluation (no sets): evaluate again.")
    return upgrade_results(results)


def upgrade_results(results: dict[str, Any]) -> dict[str, Any]:
    """The results with the metrics' names of today: what version 0.1.0 called `wer` is the sequence error rate."""
    sets = results.get("sets") or {}
    if not any(_OLD_WER in str(figures.get("scores", {}).get("wer")) for figures in sets.values()):
        return results
    upgraded = copy.deepcopy(results)
    for figures in upgraded["sets"].values():
        for holder in (figures, *figures.get("by_source_length", {}).values()):
            for part in ("scores", "each_reference"):
                if part in holder:
                    holder[part] = {_renamed(name): score for name, score in holder[part].items()}
        for score in (*figures["scores"].values(), *figures.get("each_reference", {}).values()):
            score["signature"] = score["signature"].replace(_OLD_WER, "|unit:sequence|")
    recipe = upgraded.get("recipe", {})
    for section in (upgraded.get("training", {}), recipe.get("training", {})):
        if "metric" in section:
            section["metric"] = _renamed(section["metric"])
    for section in (upgraded.get("evaluation", {}), recipe.get("evaluation", {})):
        if "metrics" in section:
            section["metrics"] = [_renamed(name) for name in section["metrics"]]
    return upgraded


def _renamed(metric: str) -> str:
    return "sequence_error_rate" if metric == "wer" else metric


def usable_cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _measured(value: Any) -> Any:
    """Without the fields that hold nothing."""
    if isinstance(value, dict):
        return {name: _measured(inner) for name, inner in value.items() if inner is not None and inner != {}}
    return value


def _processor() -> str:
    """The processor's name, as Linux or else Python knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _git_commit() -> str | None:
    """The commit that this package's own repository stands at, "+" added where its files differ from that."""
    package = Path(__file__).parents[1]

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(package), *arguments], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "_version.py")  # an installed copy may lie inside another repository
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.SubprocessError):
        return None
