# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
How fast trained models translate, beside the first of them: the sentences of a file, each model by its graph.

    python benchmarks/models.py outputs/multi30k-en-fr-gru outputs/multi30k-en-fr-hybrid --sources val.en.gz

Models are folders, exported ones too (`export --to int8`). Sentences are translated one by one or 32 at a time,
greedily or with five beams, on one thread. Models take turns in one process. Figures are sentences per CPU second,
tokenizing included: medians over the rounds, and their ratio to the first model's in the same round, with the lowest
and the highest.
"""

import gzip
import sys
from collections.abc import Callable
from pathlib import Path


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the package, installed or not

from benchmarks.rounds import Spread, in_turns, machine, make_parser, ratio, read_options, table
from hf_attn_seq2seq import AttnSeq2SeqTokenizer
from hf_attn_seq2seq.decoding.graph import GraphEngine
from hf_attn_seq2seq.decoding.text import translate
from hf_attn_seq2seq.export.writer import export_graph
from hf_attn_seq2seq.graphs.format import GRAPH_FILE


# Sentences at a time, beams.
SEARCHES = {"greedy, 1": (1, 1), "5 beams, 1": (1, 5), "greedy, 32": (32, 1), "5 beams, 32": (32, 5)}


class Model:
    """A folder's graph, which is written into it where it is not."""

    def __init__(self, folder: Path) -> None:
        if not (folder / GRAPH_FILE).exists():
            export_graph(str(folder))
        self.engine = GraphEngine(folder / GRAPH_FILE, threads=1)
        self.tokenizer = AttnSeq2SeqTokenizer.from_pretrained(folder)

    def searcher(self, sources: list[str], search: str, tokens: int | None = None) -> Callable[[], list[str]]:
        """A translation of the sources in the way of `SEARCHES`, each of as many tokens as given, or until its end."""
        batch, beams = SEARCHES[search]
        options = {"batch_size": batch, "num_beams": beams, "split_sentences": False}
        if tokens:
            options |= {"min_new_tokens": tokens, "max_new_tokens": tokens}
        return lambda: translate(self.engine, self.tokenizer, sources, **options)


def read_sources(path: Path, count: int) -> list[str]:
    """The first lines of a file, which may be compressed by gzip."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        return [line.strip() for line, _ in zip(lines, range(count))]


def main(arguments: list[str] | None = None) -> None:
    parser = make_parser(__doc__, rounds=5)
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL", help="a folder")
    parser.add_argument("--sources", type=Path, required=True, help="a file of sentences, one a line, perhaps .gz")
    parser.add_argument("--sentences", type=int, default=128, help="of the file (default: %(default)s)")
    options = read_options(parser, arguments)
    sources = read_sources(options.sources, 8 if options.quick else options.sentences)
    models = {str(folder): Model(folder) for folder in options.models}
    first, *others = models
    print(f"{machine()}; one thread, {options.rounds} rounds in turns, {len(sources)} sentences\n")
    rows = []
    for search in SEARCHES:
        runs = {name: model.searcher(sources, search) for name, model in models.items()}
        rates = in_turns(runs, len(sources), options.rounds, options.seconds)
        ratios = [str(ratio(rates[name], rates[first])) for name in others]
        rows.append([search, f"{Spread.of(rates[first]).median:.1f}", *ratios])
    print(table(["", f"{first}, sentences/s", *others], rows))


if __name__ == "__main__":
    main()
