# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Explain step by step, with all numbers, how a model translates. Without arguments, show the guided tour."""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from hf_attn_seq2seq.console import make_console, signed
from hf_attn_seq2seq.decoding.command import FILE_NAME
from hf_attn_seq2seq.decoding.heatmap import MIN_WIDTH, closed, visible
from hf_attn_seq2seq.decoding.loading import load_recognizer, load_translator, read_config
from hf_attn_seq2seq.decoding.names import DEFAULT_MODEL, is_exported, looks_like_path, names_model
from hf_attn_seq2seq.explain.contrast import Contrast, contrast_of
from hf_attn_seq2seq.explain.document import Trace, check_side_file
from hf_attn_seq2seq.explain.faithfulness import Faithfulness, print_faithfulness
from hf_attn_seq2seq.explain.figure import save_figure
from hf_attn_seq2seq.explain.media_chapters import nouns
from hf_attn_seq2seq.explain.names import example_text
from hf_attn_seq2seq.explain.parsers import explain_parser
from hf_attn_seq2seq.explain.sentences import print_overview, trace_sentences
from hf_attn_seq2seq.explain.terminal import print_trace
from hf_attn_seq2seq.explain.tracing import trace
from hf_attn_seq2seq.messages import shortened
from hf_attn_seq2seq.splitting import refuse_blank, source_language, split_text, splits_sentences


SOUNDS = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif")
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".jp2")
MOST_SENTENCES = 100  # of a text; each takes about a second, and a page holds fewer
CHANGE = re.compile(r"(?:(source|mute|cover|heads)|(target|weights|heads)\.(-?\d+))=(.*)", re.DOTALL)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command `explain`; invalid input raises a ValueError with a one-sentence message."""
    run(explain_parser().parse(arguments))


def run(options: argparse.Namespace) -> None:
    """Trace, verify and show."""
    if options.example is not None:
        _take_example(options)
    if options.text is None and options.model is not None and not _names_model_or_trace(options.model):
        options.model, options.text = DEFAULT_MODEL, options.model
    console = make_console(no_color=options.plain or None)
    console.width = max(console.width, MIN_WIDTH)  # a terminal without a known width reports 0
    _check_files(options)
    _check_shown(options)
    if options.train_tour and options.model is not None:
        raise ValueError("--train-tour uses its own models: leave out the model and the text.")
    if options.model is None:
        from hf_attn_seq2seq.explain.tour import tell_tour, tell_trained_tour

        # A reader at a terminal pages through the tour; a file or a pipe gets all of it at once.
        told, contrast = (tell_trained_tour if options.train_tour else tell_tour)(
            console,
            plain=options.plain,
            step_by_step=console.is_terminal and sys.stdin is not None and sys.stdin.isatty(),
        )
        views = _faithfulness([told], options) if options.html else None
        _write(_Traced([told], 0), None, views, options, console, contrast)
        return
    changes = [read_change(change) for change in options.what_if]
    made = _trace(options, console)
    traced = made.shown
    if options.step is not None:
        options.step = from_one("step", options.step, len(traced.document["steps"]))
    if options.layer != -1:
        options.layer = from_one("layer", options.layer, traced.document["decoder"]["layers"])
    if options.head is not None:
        traced.attended()  # refuses a model without attention
        options.head = from_one("head", options.head, traced.document["attention"]["heads"])
    for text, change in zip(options.what_if, changes):
        child = traced.what_if(**_counted_from_zero(change, traced))
        outcome = visible(f"What if {text}:  {child.document['target']['text']}")
        console.print(closed(outcome), markup=False, highlight=False)
    other = _trace_other(options, traced) if options.compare is not None else None
    looked_at = made.sentences if _all_on_page(made, options) else [traced]
    verifications = [each.verify() for each in looked_at]
    views = _faithfulness(looked_at, options)
    if not _write(made, other, views, options, console):
        print_trace(
            traced,
            console,
            step=options.step,
            chapter=options.chapter,
            depth=options.depth,
            layer=options.layer,
            head=options.head,
            plain=options.plain,
        )
        if views is not None:
            print_faithfulness(console, views[0], step=options.step, plain=options.plain)
        if other is not None:
            from hf_attn_seq2seq.explain.compare import compare, print_comparison

            print_comparison(console, compare(traced, other), plain=options.plain)
    failed = [verification for verification in verifications if not verification.passed]
    if not failed:
        checks = [check for verification in verifications for check in verification.checks]
        worst = max(check.largest_difference for check in checks)
        numbers = sum(check.compared for check in checks)
        difference = signed(f"{worst:.1e}", options.plain)
        console.print(f"{numbers:,} numbers recomputed; largest difference {difference}.", highlight=False)
    else:
        for verification in failed:
            console.print(str(verification), markup=False, highlight=False)
        sys.exit(1)


def _take_example(options: argparse.Namespace) -> None:
    """Take the packaged model if none is given; which text `--example` names depends on what the model reads."""
    options.model = options.model or DEFAULT_MODEL
    if options.text is not None or options.train_tour or not _names_model_or_trace(options.model):
        raise ValueError("--example brings its own text: leave out yours, and --train-tour.")


def _names_model_or_trace(argument: str) -> bool:
    return names_model(argument) or Path(argument).suffix == ".json"


def _check_files(options: argparse.Namespace) -> None:
    """Refuse files that cannot be written, before anything is computed."""
    if options.tensors is not None and not options.json:
        raise ValueError("--tensors stores the vectors of a --json trace: give both options.")
    if options.tensors is not None:
        check_side_file(options.tensors, options.json)
    files = [path for path in (options.html, options.figure, options.json) if path is not None]
    for path in files:
        if not path.absolute().parent.is_dir():
            raise ValueError(f"'{path}' cannot be written: create its folder, '{path.parent}', first.")
        if path.is_dir():
            raise ValueError(f"'{path}' is a folder: give the name of a file.")
        if files.count(path) > 1:
            raise ValueError(f"'{path}' is given twice: give each file a different name.")
    if options.json and options.json.suffix != ".json":
        raise ValueError(f"'{options.json}' does not end in .json, by which explain recognizes saved traces: add it.")


def _check_shown(options: argparse.Namespace) -> None:
    """Refuse what would do nothing."""
    for name in ("kind", "level"):
        if getattr(options, name) is not None and not options.figure:
            raise ValueError(f"--{name} only applies to a picture: add --figure, or leave it out.")
    options.kind, options.level = options.kind or "alignment", options.level or "word"


def _refuse_file(text: str, model: str) -> None:
    """Refuse the name of a file in the place of a text."""
    if not os.path.isfile(text) or not (looks_like_path(text) or FILE_NAME.fullmatch(text)):
        return
    for suffixes, what, verb in ((SOUNDS, "recording", "hears"), (PICTURES, "picture", "sees")):
        if Path(text).suffix.lower() in suffixes:
            raise ValueError(
                f"'{shortened(text)}' is a {what}, but '{shortened(model)}' reads text: give a model that {verb}, or "
                "a sentence."
            )
    raise ValueError(f"'{shortened(text)}' is a file: give its text, as in hf-attn-seq2seq explain \"$(cat FILE)\".")


class _Traced(NamedTuple):
    """The traces of a text's sentences, and the requested one."""

    sentences: list[Trace]
    chosen: int

    @property
    def shown(self) -> Trace:
        return self.sentences[self.chosen]


def _all_on_page(made: _Traced, options: argparse.Namespace) -> bool:
    return bool(len(made.sentences) > 1 and options.html and options.sentence is None and options.compare is None)


def _faithfulness(traces: Sequence[Trace], options: argparse.Namespace) -> list[Faithfulness] | None:
    unseen = not options.html and (options.figure or options.json)
    if not options.faithfulness or unseen:
        return None
    return [each.faithfulness(layer=options.layer, head=options.head) for each in traces]


def _trace(options: argparse.Namespace, console: Console) -> _Traced:
    if Path(options.model).suffix == ".json":
        if not Path(options.model).is_file():
            raise ValueError(f"There is no file '{options.model}': give a saved trace, or the folder of a model.")
        if options.text is not None or options.example is not None:
            raise ValueError(f"'{options.model}' is a saved trace of one sentence: give a model to trace another.")
        return _Traced([Trace.load(options.model)], 0)
    if options.text is None and options.example is None:
        suffix = Path(options.model).suffix.lower()
        if os.path.isfile(options.model) and suffix in (*SOUNDS, *PICTURES):
            what, verb = ("recording", "hears") if suffix in SOUNDS else ("picture", "sees")
            raise ValueError(
                f"'{options.model}' is a {what}: name the model that {verb} it before it, as in hf-attn-seq2seq "
                f"explain MODEL {options.model}."
            )
        raise ValueError(f'Give a sentence to translate: hf-attn-seq2seq explain {options.model} "...".')
    model, reader = _loaded(options.model)
    if options.example is not None:
        options.text = _example(options, model, reader)
    run: dict[str, Any] = {"num_beams": options.beams, "max_new_tokens": options.max_new_tokens, "name": options.model}
    refuse_blank("The text", options.text)
    if not reads_tokens(model):
        return _Traced([trace(model, reader, options.text, options.target, **run)], 0)
    _refuse_file(options.text, options.model)
    count = 1
    if options.target is None and splits_sentences(model.config, options.split_sentences):
        count = len(split_text(options.text, source_language(reader)))
    if count > MOST_SENTENCES:
        raise ValueError(
            f"The text has {count:,} sentences, each of which is traced: give at most {MOST_SENTENCES} at once."
        )
    sentence = 0 if options.sentence is None else from_one("sentence", options.sentence, count)
    if count == 1:
        return _Traced([trace(model, reader, options.text.strip(), options.target, **run)], 0)
    made = _Traced(trace_sentences(model, reader, options.text, **run), sentence)
    print_overview(console, made.sentences, plain=options.plain)
    if options.sentence is None:
        first = "The first is shown; --sentence N shows another.\n"
        console.print("The page shows each of them.\n" if _all_on_page(made, options) else first, highlight=False)
    return made


def _example(options: argparse.Namespace, model: Any, reader: Any) -> str:
    if not reads_tokens(model):
        raise ValueError(f"'{options.model}' reads no text, of which --example names one: give a file that it reads.")
    text = example_text(options.example, source_language(reader))
    if text is None:
        raise ValueError(
            f"This package has no text in '{source_language(reader)}', which '{options.model}' reads: give one of "
            "yours in place of --example."
        )
    return text


def from_one(name: str, number: int, count: int) -> int:
    """
    The index of something that users count from 1, or from the last as -1.

    Raises:
        ValueError: The number is out of range.
    """
    if not 1 <= abs(number) <= count:
        raise ValueError(f"There is no {name} {number}: there are {count}, counted from 1.")
    return number - 1 if number > 0 else number % count


def _loaded(name: str) -> tuple[Any, Any]:
    """A model and its tokenizer, or its processor if it hears or sees."""
    if not is_exported(name) and not getattr(read_config(name), "reads_tokens", True):
        return load_recognizer(name)
    return load_translator([name])


def reads_tokens(model: Any) -> bool:
    """Whether a model reads text, and not a recording or a picture."""
    return bool(getattr(model.config, "reads_tokens", True))


def _trace_other(options: argparse.Namespace, traced: Trace) -> Trace:
    model, reader = _loaded(options.compare)
    if reads_tokens(model) != (traced.input is None):
        raise ValueError(
            f"'{options.compare}' cannot stand next to '{options.model}': only one of them reads text, so give "
            "another."
        )
    if traced.input is not None and options.text is None:
        raise ValueError(
            f"'{options.model}' does not have what another model would hear or see: give a model and the file."
        )
    return trace(
        model,
        reader,
        traced.document["source"]["text"] if traced.input is None else options.text,
        options.target,
        num_beams=options.beams,
        max_new_tokens=options.max_new_tokens,
        name=options.compare,
    )


def read_change(text: str) -> dict[str, Any]:
    """
    The arguments of [`Trace.what_if`] for `--what-if TEXT`, except that numbers are still counted from 1.

    Raises:
        ValueError: The text is not a valid change.
    """
    match = CHANGE.fullmatch(text)
    if not match:
        raise ValueError(
            f"'{text}' is not a change: write source=TEXT, target.STEP=WORD, weights.STEP=uniform, heads=NUMBER, "
            "mute=FROM-TO or cover=ROW,COLUMN (see --help)."
        )
    source, kind, step, value = match.groups()
    if "heads" in (source, kind):
        return {"heads": _heads(value), **({"layer": int(step)} if kind else {})}
    if source == "source":
        return {"source": value}
    if source:
        return {source: _part_of_input(source, value)}
    if kind == "target":
        return {"target": {int(step): value}}
    if value == "uniform":
        return {"weights": {int(step): value}}
    try:
        numbers: Any = [float(part) for part in value.split(",")] if "," in value else int(value)
    except ValueError:
        numbers = value  # a word of the source
    return {"weights": {int(step): numbers}}


def _heads(value: str) -> list[int]:
    try:
        return [int(part) for part in value.split(",")]
    except ValueError:
        raise ValueError(f"'{value}' is not a list of heads: give numbers, such as heads=2 or heads=1,3.") from None


RANGE = re.compile(r"(\d+(?:\.\d*)?)-(\d+(?:\.\d*)?)")


def _part_of_input(kind: str, value: str) -> tuple[float, ...]:
    """The numbers of `mute=FROM-TO` and `cover=...`."""
    numbers = RANGE.fullmatch(value)
    if numbers:
        return tuple(float(number) for number in numbers.groups())
    parts = value.split(",")
    whole = all(part.strip().isdecimal() for part in parts)
    if kind == "mute" or not whole or len(parts) not in (1, 2, 4):
        how = "mute=FROM-TO, in seconds, such as mute=0.5-1.2"
        if kind == "cover":
            how = "cover=ROW,COLUMN, cover=FROM-TO or cover=LEFT,TOP,RIGHT,BOTTOM"
        raise ValueError(f"'{kind}={value}' is not a part to {kind}: write {how}.")
    return tuple(int(part) for part in parts)


def _covered(numbers: tuple[float, ...], traced: Trace) -> int | tuple[float, ...]:
    """What `cover=...` covers: a patch, counted from 0, or a part of the picture."""
    document = traced.input
    if document is None or document["kind"] != "image" or len(numbers) == 4:
        return numbers
    if all(isinstance(number, float) for number in numbers):
        return numbers[0], 0, numbers[1], document["height"]
    if len(numbers) == 1:
        return from_one(nouns(document).one, int(numbers[0]), len(document["boxes"]))
    row = from_one("row of patches", int(numbers[0]), document["rows"])
    return row * document["columns"] + from_one("column of patches", int(numbers[1]), document["columns"])


def _counted_from_zero(change: dict[str, Any], traced: Trace) -> dict[str, Any]:
    if "heads" in change:
        traced.attended()  # refuses a model without attention
        count, layers = traced.document["attention"]["heads"], traced.document["decoder"]["layers"]
        told = {"heads": [from_one("head", head, count) for head in change["heads"]]}
        return told | ({"layer": from_one("layer", change["layer"], layers)} if "layer" in change else {})
    ((kind, wanted),) = change.items()
    if kind in ("source", "mute"):
        return change
    if kind == "cover":
        return {"cover": _covered(wanted, traced)}
    ((step, value),) = wanted.items()
    if isinstance(value, int):
        one = "source token" if traced.input is None else nouns(traced.input).one
        value = from_one(one, value, len(traced.source_tokens))
    return {kind: {from_one("step", step, len(traced.document["steps"])): value}}


def _write(
    made: _Traced,
    other: Trace | None,
    views: Sequence[Faithfulness] | None,
    options: argparse.Namespace,
    console: Console,
    contrast: Contrast | None = None,
) -> bool:
    """Write the requested files and report them; False if there are none."""
    written = []
    traced = made.shown
    if options.html:
        from hf_attn_seq2seq.explain.page import save_page

        on_page = made.sentences if _all_on_page(made, options) else [traced]
        beside = traced.children[-1] if options.what_if and other is None else None
        if options.model is not None and options.target is None and other is None:
            contrast = contrast_of(options.model, on_page)
        save_page(on_page, options.html, compare=other, beside=beside, faithfulness=views, contrast=contrast)
        written.append(f"Page: {options.html}")
    if options.figure:
        alt_text = save_figure(
            traced,
            options.figure,
            kind=options.kind,
            step=options.step if options.kind == "step" else None,
            layer=options.layer,
            head=options.head,
            level=options.level,
        )
        written.append(f"Picture: {options.figure}\n  {closed(visible(alt_text))}")
    if options.json:
        traced.save(options.json, options.tensors)
        written.append(f"Trace: {options.json}")
    if not written:
        return False
    source, target = (traced.document[side]["text"] for side in ("source", "target"))
    console.print(f"{closed(visible(source))}  ->  {closed(visible(target))}", markup=False, highlight=False)
    for line in written:
        console.print(line, markup=False, highlight=False)
    return True


if __name__ == "__main__":
    from hf_attn_seq2seq.console import run_command

    run_command(main)
