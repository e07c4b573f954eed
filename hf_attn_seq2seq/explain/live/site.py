# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
The page on which a model itself answers in the reader's browser, or two do: static files, or one file.

The page is that of a trace (`hf_attn_seq2seq.explain.page`), whose runs are made on it: `frontend/src/live/` runs the
trace graphs in ONNX Runtime for the web and puts the document together, of which the export says here what is the same
for each text. Nothing leaves the page: its Content-Security-Policy allows it to read its own files, and no more.
"""

from __future__ import annotations

import base64
import copy
import gzip
import hashlib
import html
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from transformers import PreTrainedTokenizerBase

from hf_attn_seq2seq._version import __version__
from hf_attn_seq2seq.data.words import WORD
from hf_attn_seq2seq.decoding.folders import check_reads
from hf_attn_seq2seq.decoding.loading import load_translator, read_config
from hf_attn_seq2seq.decoding.names import is_exported, resolve
from hf_attn_seq2seq.explain.checks import told_rules
from hf_attn_seq2seq.explain.document import Trace
from hf_attn_seq2seq.explain.live.format import GRAPHS, WRITTEN
from hf_attn_seq2seq.explain.live.graphs import write_trace_graphs
from hf_attn_seq2seq.explain.live.texts import chapter_templates, sentence_templates, slot
from hf_attn_seq2seq.explain.names import TEXTS, example_text
from hf_attn_seq2seq.explain.page import as_data, as_page, asset, two_names
from hf_attn_seq2seq.explain.sentences import example_texts
from hf_attn_seq2seq.explain.tracing import MAX_STEPS, OMITTED_OF_BEAMS, most_source_tokens, trace
from hf_attn_seq2seq.explain.verify import model_terms
from hf_attn_seq2seq.export.writer import own_model
from hf_attn_seq2seq.graphs.settings import Search, as_list, why_not
from hf_attn_seq2seq.messages import shortened
from hf_attn_seq2seq.modality import TEXT
from hf_attn_seq2seq.modeling_attn_seq2seq import AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.splitting import (
    length_limit,
    max_source_tokens,
    refuse_blank,
    source_language,
    splits_sentences,
)
from hf_attn_seq2seq.writing import filled, new_output, write_text


INDEX = "index.html"
RUNTIME = "runtime.bin"  # WebAssembly, compressed: by another name a server might take it for its own work
SPLITTER = "sentences.bin"  # the same, of the library that splits texts
RUNTIME_VERSION = "1.30.0"  # that of frontend/package.json
OF_A_RUN = {"source", "target", "steps", "output_ids"}  # parts of a trace that each text has its own of


class Site(NamedTuple):
    """What was written."""

    path: Path  # the folder, or the one file
    page: int  # bytes of the page itself
    sizes: dict[str, int]  # bytes of each file that it reads, as they are carried


def save_site(
    name: str,
    output: str | Path,
    *,
    compare: str | None = None,
    single_file: bool = False,
    example: str = "sentence",
) -> Site:
    """
    Write the live page of a model, or of two.

    Args:
        name: The name of a packaged model, a folder, or a name on the Hub.
        compare: That of a second model, which is given the same texts; its runs stand beside those of the first.
        output: A new folder, or with `single_file` the HTML file.
        single_file: Whether everything stands in one file, which opens by a double click.
        example: The text that the page begins with, or the name of one in this package, which is in the language that
            the model reads, if there is one in it, and else in English.

    Raises:
        ValueError: A model does not read text, is exported or not of this package, or searches with
            settings that the page lacks; the example is blank or longer than the model reads; or the output exists.
    """
    refuse_blank("The example", example)
    names = [name] if compare is None else [name, compare]
    for each in names:
        if is_exported(each):
            raise ValueError(f"'{shortened(each)}' is exported: name the model that it was exported from.")
    path = _new_file(output) if single_file else new_output(output)
    files: dict[str, bytes] = {}
    models = [_one(each, files) for each in names]
    settings, config, tokenizer = models[0]
    settings["graphs_version"] = GRAPHS
    settings["examples"] = _examples(example, config, tokenizer)
    for each, (own, _, reader) in zip(names, models):
        _refuse_long(each, settings["examples"][0]["text"], reader, own["longest"])
    title = f"{settings['told']['model']['name']}, live"
    if compare is not None:
        settings["names"] = two_names(*(each["told"] for each, *_ in models))
        settings["second"] = models[1][0]
        title = f"{' and '.join(settings['names'])}, live"
    libraries = {RUNTIME: asset("runtime.wasm.gz")}
    if splits_sentences(config):
        libraries[SPLITTER] = asset("sentences.wasm.gz")
    if single_file:
        carried = {file: gzip.compress(each, mtime=0) for file, each in files.items()} | libraries
        page = _page(title, settings, carried, set(carried), inside=True)
        write_text(path, page)
    else:
        carried = {**files, **libraries}
        page = _page(title, settings, carried, set(libraries), inside=False)
        with filled(path) as made:
            for file, content in carried.items():
                (made / file).write_bytes(content)
            (made / INDEX).write_text(page, "utf-8")
    return Site(path, len(page.encode()), {file: len(each) for file, each in carried.items()})


def _examples(given: str, config: Any, tokenizer: PreTrainedTokenizerBase) -> list[dict[str, str]]:
    """What the page offers, the text that it begins with first."""
    first = example_text(given, source_language(tokenizer)) or TEXTS["en"].get(given, given)
    examples = [{"name": "a sentence" if given == "sentence" else "the example", "text": first}]
    paragraph = example_texts(config, tokenizer).get("paragraph", first)
    if paragraph != first:
        examples.append({"name": "a paragraph", "text": paragraph})
    return examples


def _one(name: str, files: dict[str, bytes]) -> tuple[dict[str, Any], Any, Any]:
    """What the page is told of a model, whose files are added; its configuration and its tokenizer."""
    check_reads(shortened(name), read_config(name), TEXT, instead="explain")
    translator = load_translator([name], device="cpu")
    model = own_model(name, translator.model)
    folder = Path(resolve(name))
    with TemporaryDirectory() as temporary:
        content = _content(model, translator.tokenizer, folder, Path(temporary))
    settings = _settings(model, translator.tokenizer, folder.name if folder.is_dir() else name, content)
    return settings | {"stored": _stored(content.files, files)}, model.config, translator.tokenizer


def _stored(own: Mapping[str, bytes], files: dict[str, bytes]) -> dict[str, str]:
    """Add files of a model to those of the page, what is the same once; the names that they have there."""
    stored = {}
    for file, content in own.items():
        same = next((name for name, other in files.items() if other == content), None)
        stored[file] = same or (f"second_{file}" if file in files else file)
        files[stored[file]] = content
    return stored


def _refuse_long(name: str, example: str, tokenizer: PreTrainedTokenizerBase, longest: int) -> None:
    count = len(tokenizer([example])["input_ids"][0])
    if count > longest:
        raise ValueError(
            f"The example has {count:,} tokens, and '{shortened(name)}' reads at most {longest:,}: give a shorter one "
            "as --example."
        )


class _Content(NamedTuple):
    """What the page needs of a model."""

    files: dict[str, bytes]
    graphs: dict[str, Any]  # how they are run


def _content(
    model: AttnSeq2SeqForConditionalGeneration, tokenizer: PreTrainedTokenizerBase, folder: Path, temporary: Path
) -> _Content:
    weights = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    if not weights:
        model.save_pretrained(temporary)
        weights = sorted(temporary.glob("*.safetensors"))
    graphs, about = write_trace_graphs(model, weights)
    found = {name: graph.SerializeToString() for name, graph in graphs.items()}
    read = {
        each.value for graph in graphs.values() for tensor in graph.graph.initializer for each in tensor.external_data
    }
    weights = [path for path in weights if path.name in read]  # others may lie there too
    found |= {path.name: path.read_bytes() for path in weights}
    for file, side in _vocabularies(tokenizer).items():
        found[file] = side.backend_tokenizer.to_str().encode()
    wanted = {name: about[name] for name in ("memory", "state", "once", "steps", "changes")}
    weight_names = [path.name for path in weights]
    return _Content(found, {"graphs": list(graphs), "weights": weight_names, "written": WRITTEN, **wanted})


def _vocabularies(tokenizer: Any) -> dict[str, Any]:
    """The tokenizers of both sides by their files; one of both."""
    source, target = (getattr(tokenizer, side, tokenizer) for side in ("source", "target"))
    same = source.backend_tokenizer.to_str() == target.backend_tokenizer.to_str()
    return {"tokenizer.json": source} if same else {"tokenizer.json": source, "target_tokenizer.json": target}


def _settings(
    model: AttnSeq2SeqForConditionalGeneration, tokenizer: Any, name: str, content: _Content
) -> dict[str, Any]:
    """Everything that the page is told of the model."""
    config, generation = model.config, model.generation_config
    search = {**vars(generation), **length_limit(model)}
    if reason := why_not(search, limited=True):
        raise ValueError(f"The live page cannot {reason}, as generation_config.json asks: leave that out there.")
    settings = {**Search.of(search)._asdict()}
    settings["max_new_tokens"] = min(settings["max_new_tokens"], MAX_STEPS)
    first, second = _two_runs(copy.deepcopy(model).float(), tokenizer, name)
    told = {key: value for key, value in first.document.items() if key not in OF_A_RUN}
    told["versions"] = {"hf_attn_seq2seq": __version__, "onnxruntime-web": RUNTIME_VERSION}
    left_out = told["omitted"][0]
    count = f"{config.output_size - len(first.document['output_ids']):,}"
    told["omitted"][0] = {**left_out, "what": left_out["what"].replace(count, slot("rest"), 1)}
    sides = _vocabularies(tokenizer)
    return {
        "graphs": content.graphs,
        "search": settings,
        "told": told,
        "omitted_of_beams": OMITTED_OF_BEAMS,
        "vocabulary": config.output_size,
        "pointer": {"slots": config.pointer_slots, "first": config.vocab_size} if config.pointer else None,
        "chapters": chapter_templates(first, second),
        "sentences": sentence_templates(first, second),
        "checks": told_rules(model_terms(model)),
        "words": WORD,
        "language": source_language(tokenizer),
        "vocabularies": {
            "source": _vocabulary(*next(iter(sides.items()))),
            "target": _vocabulary(*list(sides.items())[-1]),
        },
        "most": MAX_STEPS,
        "longest": min(most_source_tokens(config), max_source_tokens(config, tokenizer)),
    }


def _vocabulary(file: str, side: Any) -> dict[str, Any]:
    return {
        "file": file,
        "special": sorted(set(side.all_special_ids) - {side.unk_token_id}),
        "unknown": side.unk_token_id,
        "plain": bool(getattr(side, "split_special_tokens", False)),
        "settings": {"clean_up_tokenization_spaces": False, "unk_token": side.unk_token},
    }


def _two_runs(model: Any, tokenizer: Any, name: str) -> tuple[Trace, Trace]:
    """Two runs of the model that differ in all lengths."""
    ends = as_list(model.generation_config.eos_token_id)
    word = next(each for each in range(model.config.decoder_vocab_size) if each not in ends)
    runs = []
    for text, more in (("a", 2), ("a a a", 5)):
        steps = len(tokenizer([text])["input_ids"][0]) + more
        runs.append(trace(model, tokenizer, text, [word] * steps, max_new_tokens=steps, name=name))
    return runs[0], runs[1]


def _page(title: str, settings: dict[str, Any], carried: Mapping[str, bytes], packed: set[str], inside: bool) -> str:
    entries = [
        {"name": name, "bytes": len(each), "sha256": hashlib.sha256(each).hexdigest(), "gzip": name in packed}
        for name, each in carried.items()
    ]
    elements = "".join(
        f'<script type="text/plain" id="file {html.escape(name)}">{base64.b64encode(each).decode()}</script>\n'
        for name, each in carried.items()
        if inside
    )
    data = as_data({**settings, "files": entries})
    content = f'<script type="application/json" id="live">{data}</script>\n{elements}'
    own = "" if inside else "connect-src 'self'; "
    return as_page(title, "live", content, sources=own, runs=" 'wasm-unsafe-eval'")


def _new_file(output: str | Path) -> Path:
    path = Path(output)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"'{path}' is to be one HTML file: name it with .html, or leave out --single-file.")
    if path.exists():
        raise ValueError(f"'{path}' exists: name another --output, or remove it first.")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"The folder '{path.parent}' does not exist: create it before writing a page there.")
    return path
