# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The report of a prepared corpus for the terminal: rows read, dropped, normalized, shared and kept, with examples."""

from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text


SIDES = ("source", "target", "pair", "group")  # by which two splits may share rows


def report_tables(report: dict[str, Any]) -> Group:
    """The `report.json` of `prepare_corpus` as tables."""
    read = _table("Read", "split", "source", "rows", "bad rows")
    for source in report["sources"]:
        bad_rows = source["bad_rows"]
        read.add_row(source["split"], Text(source["source"]), f"{source['rows']:,}", f"{bad_rows['count']:,}")
        if "left_out" in source:
            read.add_row("", Text("  left out by keep", style="dim"), Text(f"{source['left_out']:,}", style="dim"), "")
        for bad in bad_rows["examples"]:
            read.add_row("", Text(f"  line {bad['line']}: {bad['reason']}", style="dim"), "", "")
    tables = [read]
    if report["rules"]:
        rules = _table("Cleaned", "split", "rule", "pairs", "examples")
        for split, tallies in report["rules"].items():
            for rule, tally in tallies.items():
                done = "normalized" if "becomes" in tally["examples"][0] else "dropped"
                rules.add_row(split, f"{rule}: {done}", f"{tally['count']:,}", _shown(tally["examples"]))
        tables.append(rules)
    if report["leaks"]:
        leaks = _table("Shared between splits", "rows of", "side", "rows", "examples")
        for where, sides in report["leaks"].items():
            shown = f"{where}: dropped" if sides["dropped"] else where
            for side in SIDES:
                if side in sides:
                    leaks.add_row(shown, side, f"{sides[side]['count']:,}", _shown(sides[side]["examples"]))
        tables.append(leaks)
    grouped = any("groups" in figures for figures in report["splits"].values())
    sizes = ["sizes"] if "features" in report else []
    kept = _table("Kept", "split", "pairs", *(["groups"] if grouped else []), *sizes)
    for split, figures in report["splits"].items():
        groups = [f"{figures['groups']:,}"] if grouped else []
        kept.add_row(split, f"{figures['pairs']:,}", *groups, *([sizes_told(figures)] if sizes else []))
        if len(figures["rows_of_sources"]) > 1:
            for drawn in figures["rows_of_sources"]:
                kept.add_row(Text(f"  from {drawn['source']}", style="dim"), Text(f"{drawn['rows']:,}", style="dim"))
    return Group(*tables, kept)


def report_lines(report: dict[str, Any]) -> list[str]:
    """What to know about a corpus before training: how much was left out, and what the splits share."""
    rows = sum(source["rows"] for source in report["sources"])
    bad = sum(source["bad_rows"]["count"] for source in report["sources"])
    left_out = sum(source.get("left_out", 0) for source in report["sources"])
    pairs = sum(figures["pairs"] for figures in report["splits"].values())
    unasked = f", {left_out:,} left out by keep" if left_out else ""
    lines = [f"{rows:,} rows read, {bad:,} of them bad{unasked}; {pairs:,} pairs kept."]
    if "features" in report:
        told = (f"{name}: {sizes_told(figures)}" for name, figures in report["splits"].items())
        lines += [f"{line}{_groups_told(figures)}." for line, figures in zip(told, report["splits"].values())]
    for where, sides in shared_sentences(report).items():
        counts = ", ".join(f"{count:,} by {side}" for side, count in sides.items())
        dropped = set(sides) - ({"target"} if "features" in report else set())  # what others say or show too
        cure = (
            "; set data.cleaning.drop_leaks to remove them from the training pairs"
            if where.endswith(" in train") and dropped
            else ""
        )
        lines.append(f"warning: rows of {where.replace(' in ', ' are also in ')}: {counts}{cure}.")
    return lines


def shared_sentences(report: dict[str, Any]) -> dict[str, dict[str, int]]:
    """
    What the splits still share: for each two, such as `validation in train`, the rows by source, target, pair, group.
    """
    return {
        where: {side: sides[side]["count"] for side in SIDES if side in sides}
        for where, sides in report["leaks"].items()
        if not sides["dropped"]
    }


def sizes_told(figures: dict[str, Any]) -> str:
    """How long the sounds of a split are, or how large its pictures were, in words."""
    if "seconds" in figures:
        seconds = figures["seconds"]
        return (
            f"{figures['hours']:.2f} hours, {seconds['least']:.1f} to {seconds['most']:.1f} s "
            f"(median {seconds['median']:.1f})"
        )
    return (
        " x ".join(
            f"{size['median']:g} ({size['least']:g} to {size['most']:g})"
            if size["least"] != size["most"]
            else f"{size['most']:g}"
            for size in (figures["width"], figures["height"])
        )
        + " pixels"
    )


def _groups_told(figures: dict[str, Any]) -> str:
    return f"; {figures['groups']:,} groups" if "groups" in figures else ""


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", expand="examples" in columns)
    for column in columns:
        table.add_column(
            column,
            justify="right" if column in ("rows", "pairs", "groups", "bad rows") else "left",
            no_wrap=column not in ("split", "source"),  # long names give way, not the figures beside them
            overflow="ellipsis",
            ratio=1 if column == "examples" else None,  # takes the remaining width
        )
    return table


def _shown(examples: list[dict[str, Any]]) -> Text:
    return Text("\n").join(Text(f"{example['line']}: {_sides(example)}", style="dim") for example in examples)


def _sides(example: dict[str, Any]) -> str:
    """The pair; for a normalized one, the first change, before and after, as Python literals."""
    if "becomes" not in example:
        return f"{example['source']} | {example['target']}"
    side = next((side for side in ("source", "target") if example[side] != example["becomes"][side]), "source")
    before, after = example[side], example["becomes"][side]
    start = max(0, next((i for i, (a, b) in enumerate(zip(before, after)) if a != b), len(after)) - 10)
    return f"{before[start : start + 20]!r} -> {after[start : start + 20]!r}"
