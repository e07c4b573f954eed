# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Writes a model's folder for ONNX Runtime: graphs, tokenizer, configurations, card, and a comparison with PyTorch."""

import copy
import importlib.metadata
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import onnx
import torch
from transformers import PreTrainedTokenizerBase
from transformers.utils import cached_file

from hf_attn_seq2seq.decoding.exported import FORMAT, VERSION, ExportedModel
from hf_attn_seq2seq.decoding.graph import GraphEngine
from hf_attn_seq2seq.decoding.loading import load_translator, save_reader
from hf_attn_seq2seq.decoding.names import DESCRIPTION, resolve
from hf_attn_seq2seq.decoding.readout import Readout, readout_of, save_readout
from hf_attn_seq2seq.decoding.torch_engine import TorchEngine
from hf_attn_seq2seq.export.names import COMPARED, KINDS
from hf_attn_seq2seq.export.quantize import quantize
from hf_attn_seq2seq.graphs.format import GRAPH_FILE, attention_rows, checksum, checksums
from hf_attn_seq2seq.graphs.parts import DECODER_FILE, ENCODER_FILE, OPSET, sample_source, write_graphs
from hf_attn_seq2seq.graphs.settings import as_list
from hf_attn_seq2seq.graphs.storage import WEIGHTS_FILE, save_together
from hf_attn_seq2seq.graphs.writer import describe, write_graph
from hf_attn_seq2seq.messages import shortened
from hf_attn_seq2seq.modality import modality_of
from hf_attn_seq2seq.modeling_attn_seq2seq import AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.writing import filled, new_output, whole_file


COMPARED_TOKENS = 32  # of a translation
SENTENCES = {"given": "sentences", "shown": "sentences of its model card", "random": "sentences of random words"}
GRAPH_KINDS = {"onnx": "fp32", "int8": "int8"}
TOLERANCE = 1e-3  # of logits in single precision, relative to the largest
Inputs = dict[str, torch.Tensor]


class Difference(NamedTuple):
    """The difference between an exported model and the PyTorch model on a few sentences."""

    sentences: str  # "given", "shown" (by the model's results.json) or "random"
    compared: int
    equal_greedy_translations: int
    largest_logit_difference: float  # with PyTorch's translations as decoder input for both
    largest_logit: float


class Exported(NamedTuple):
    """The result of an export."""

    folder: Path
    kind: str
    bytes: int  # of all graphs, with their weights
    difference: Difference


def export(
    name: str, to: str = "onnx", output: str | Path | None = None, sentences: Sequence[str] | None = None
) -> Exported:
    """
    Write a model to a folder that [`load_exported`], `hf_attn_seq2seq.load` and the command `translate` can load.

    The folder appears only when it is complete.

    Args:
        name: The name of a packaged model, a folder, or a name on the Hub.
        to: "onnx", in single precision, or "int8", with embeddings and the weights of matrix products in 8 bits.
        output: The new folder; None: named after the model and the kind, beside the model's folder or in the current
            one.
        sentences: Sentences for the comparison with PyTorch; the first 16 are used. None: those shown in the model's
            `results.json`, or random words.

    Raises:
        ValueError: The kind is unknown, the model is already exported or not of this package, the folder exists and is
            not empty, or the graphs do not reproduce the model's numbers.
    """
    if to not in KINDS:
        raise ValueError(f"Unknown kind of export '{shortened(to)}': choose one of {', '.join(KINDS)}.")
    source = Path(resolve(name))
    folder = new_folder(name, to, output)
    translator = load_translator([name], device="cpu", dtype="float32")
    model = own_model(name, translator.model)
    origin, sentences = origin_of(name, sentences, model)
    inputs = sample(model, translator.tokenizer, sentences)
    with filled(folder) as made:
        description = {
            **write_model(model, made, to),
            "model": source.name if source.is_dir() else name,
            "weights_sha256": _checksums(name),
        }
        save_reader(name, translator, made)
        difference = measure(model, ExportedModel(made), inputs, origin)
        if to == "onnx" and difference.largest_logit_difference > TOLERANCE * max(1.0, difference.largest_logit):
            raise ValueError(
                f"The exported graphs of '{name}' do not match PyTorch (logits differ by "
                f"{difference.largest_logit_difference:.1e}), so nothing was written: please report this."
            )
        _write_json(made / DESCRIPTION, {**description, "difference_from_pytorch": difference._asdict()})
        card = _card(description["model"], to, difference, modality_of(model.config).task, bool(_without_ctc(model)))
        (made / "README.md").write_text(card, encoding="utf-8")
        size = sum((made / file).stat().st_size for file in (ENCODER_FILE, DECODER_FILE, GRAPH_FILE, WEIGHTS_FILE))
    return Exported(folder, to, size, difference)


def new_folder(name: str, kind: str, output: str | Path | None) -> Path:
    """
    The folder that an export makes.

    Args:
        name: Of the model.
        kind: Of the export, which ends the folder's name where `output` is None.
        output: The user's choice.

    Raises:
        ValueError: There is something there, or the model is an exported one.
    """
    folder = new_output(_default_output(name, kind) if output is None else output)
    if (Path(resolve(name)) / DESCRIPTION).is_file():
        raise ValueError(f"'{name}' is already exported: name the model it was exported from.")
    return folder


class WrittenGraph(NamedTuple):
    """The graph of a model, in its folder, and how it compares with PyTorch."""

    path: Path
    bytes: int
    sentences: str  # as of [`Difference`]
    compared: int
    equal_translations: int  # with the model's own search


def export_graph(name: str, sentences: Sequence[str] | None = None) -> WrittenGraph:
    """
    Write the graph of a model into its folder, where it refers to the weights and is found by `translate` and by whom
    the folder is given to.

    Args:
        name: The folder of the model.
        sentences: As for [`export`].

    Raises:
        ValueError: The name is not that of a folder, the model is exported or not of this package, or the graph does
            not find what PyTorch finds.
    """
    folder = Path(resolve(name))
    if not folder.is_dir():
        raise ValueError(f"'{shortened(name)}' is not a folder: a graph is written into the folder of its model.")
    if (folder / DESCRIPTION).is_file():
        raise ValueError(f"'{name}' is already exported, with its graph: name the model it was exported from.")
    translator = load_translator([name], device="cpu", dtype="float32")
    model = own_model(name, translator.model)
    origin, sentences = origin_of(name, sentences, model)
    inputs = sample(model, translator.tokenizer, sentences)
    readout_of(model)  # tells if the file is damaged
    options: dict[str, Any] = {"max_new_tokens": COMPARED_TOKENS, **_without_ctc(model)}
    arrays: dict[str, Any] = {name: value.numpy() for name, value in inputs.items()}
    wanted = TorchEngine(model).search(**arrays, **options)
    with whole_file(folder / GRAPH_FILE) as partial:
        graph = write_graph(model, sorted(folder.glob("*.safetensors")), attention_rows(folder))
        partial.write_bytes(graph.SerializeToString())
        engine = GraphEngine(partial, folder)
        if reason := engine.can(options):
            raise ValueError(f"The graph of '{name}' cannot {reason}, as its generation_config.json asks.")
        found = engine.search(**arrays, **options)
        equal = _equal(model, found.sequences.tolist(), wanted.sequences.tolist())
        if not equal:
            raise ValueError(f"The graph of '{name}' translates in other ways than PyTorch: please report this.")
    path = folder / GRAPH_FILE
    return WrittenGraph(path, path.stat().st_size, origin, len(found.sequences), equal)


def own_model(name: str, model: Any) -> AttnSeq2SeqForConditionalGeneration:
    if not isinstance(model, AttnSeq2SeqForConditionalGeneration):
        raise ValueError(
            f"'{name}' is a model of type {model.config.model_type}, not of this package: export it with Hugging "
            "Face's optimum."
        )
    return model


def origin_of(name: str, sentences: Sequence[str] | None, model: Any) -> tuple[str, Sequence[str] | None]:
    """Where the sentences of a comparison come from, and these."""
    if sentences is not None:
        return "given", sentences
    if not model.config.reads_tokens:
        return "random", None
    sentences = _shown_sentences(name)
    return "random" if sentences is None else "shown", sentences


def write_model(model: AttnSeq2SeqForConditionalGeneration, folder: Path, to: str = "onnx") -> dict[str, Any]:
    """
    Write the files that [`ExportedModel`] reads: graphs, configurations, `exported.json` and, unless the model has the
    usual one, `alignment.json`; returns the content of `exported.json`.

    Args:
        model: The model, on the CPU.
        folder: An existing folder.
        to: As in [`export`].
    """
    config = copy.deepcopy(model.config)
    if hasattr(config, "auto_map"):
        del config.auto_map  # the model's code stays where its weights are
    config.to_json_file(folder / "config.json")
    settings: Any = copy.deepcopy(model.generation_config)
    if _without_ctc(model):
        settings.ctc_weight = None
    settings.save_pretrained(folder)
    readout = readout_of(model)
    if readout != Readout():
        save_readout(readout, folder)
    names = write_graphs(model, folder)
    graphs = {file: onnx.load(folder / file) for file in (ENCODER_FILE, DECODER_FILE)}
    graphs[GRAPH_FILE] = write_graph(model, rows=attention_rows(folder))
    if to == "int8":
        for graph in graphs.values():
            quantize(graph)
    save_together(graphs, folder)
    describe(graphs[GRAPH_FILE], kind=GRAPH_KINDS[to], files=checksums(folder))
    (folder / GRAPH_FILE).write_bytes(graphs[GRAPH_FILE].SerializeToString())
    description = {
        "format": FORMAT,
        "version": VERSION,
        "kind": to,
        "encoder": {"file": ENCODER_FILE, "inputs": names.encoder_inputs, "outputs": names.encoder_outputs},
        "decoder": {"file": DECODER_FILE, "inputs": names.decoder_inputs, "outputs": names.decoder_outputs},
        "graph": {"file": GRAPH_FILE},
        "memory": names.memory,
        "state": names.state,
        "attentions": names.attentions,
        "opset": OPSET,
        "versions": {
            package: importlib.metadata.version(package)
            for package in ("hf_attn_seq2seq", "torch", "transformers", "onnx", "onnxruntime")
        },
    }
    _write_json(folder / DESCRIPTION, description)
    return description


def _default_output(name: str, kind: str) -> Path:
    folder = Path(name) if Path(name).name else Path(name).absolute()  # "." has no name
    return folder.with_name(f"{folder.name}-{kind}") if folder.is_dir() else Path(f"{folder.name}-{kind}")


def _card(model: str, kind: str, near: Difference, task: str, no_ctc: bool) -> str:
    """The README of the folder; it does not repeat the original model's results, which do not apply to this one."""
    return f"""# {model}, exported

`{model}` for ONNX Runtime ({kind}), written by `hf-attn-seq2seq export`. For its purpose, licence and results, see the
model card of the original model. Compared with it: {described(near)}{" " + _NO_CTC if no_ctc else ""}

```python
import hf_attn_seq2seq

run = hf_attn_seq2seq.pipeline("{task}", model=".")  # this folder
```
"""


def described(near: Difference) -> str:
    """The difference between an exported model and the PyTorch model, in one sentence."""
    return (
        f"{near.equal_greedy_translations} of {near.compared} {SENTENCES[near.sentences]} have the same greedy "
        f"translation as with PyTorch; logits (up to {near.largest_logit:.1f}) differ by at most "
        f"{near.largest_logit_difference:.1e}."
    )


_NO_CTC = (
    "CTC, which has a part in the original model's search, is not exported: this one searches by attention alone."
)


def _checksums(name: str) -> dict[str, str]:
    """Checksums of the weight files, by file name."""
    folder = Path(cached_file(resolve(name), "config.json")).parent
    return {path.name: checksum(path) for path in sorted(folder.glob("*.safetensors"))}


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


# Comparison with PyTorch.


def _shown_sentences(name: str) -> list[str] | None:
    """The source sentences of the translations shown in the model's results, if any."""
    path = cached_file(resolve(name), "results.json", _raise_exceptions_for_missing_entries=False)
    if path is None:
        return None
    try:
        sources = [shown["source"] for shown in json.loads(Path(path).read_text("utf-8"))["translations"]]
    except (ValueError, KeyError, TypeError):
        return None  # the model has none, or its results are not from this package
    return [text for text in sources if isinstance(text, str) and text.strip()] or None


def sample(model: Any, tokenizer: PreTrainedTokenizerBase, sentences: Sequence[str] | None) -> Inputs:
    """
    Source ids and mask, `(batch, src_len)`, of the given sentences, or of random tokens with an end token; for a model
    that hears or sees, random frames or pixels and their mask.

    Raises:
        ValueError: There are no sentences, or the model does not read any.
    """
    if not model.config.reads_tokens:
        if sentences is not None:
            raise ValueError("This model does not read text, so no sentences can be compared: leave them out.")
        return sample_source(model, COMPARED, 30, 11)
    if sentences is not None:
        texts = [text for text in sentences if text.strip()][:COMPARED]
        if not texts:
            raise ValueError("There are no sentences for the comparison: give a text with at least one line.")
        encoded = tokenizer(texts, return_tensors="pt", padding=True, truncation=True)
        return {name: encoded[name] for name in ("input_ids", "attention_mask")}
    generator = torch.Generator().manual_seed(0)
    words = sorted(set(range(len(tokenizer))) - set(tokenizer.all_special_ids)) or [0]
    lengths = torch.randint(3, 20, (COMPARED, 1), generator=generator)
    ids = torch.tensor(words)[torch.randint(len(words), (COMPARED, int(lengths.max())), generator=generator)]
    steps = torch.arange(ids.shape[1])
    if tokenizer.eos_token_id is not None:
        ids[steps == lengths - 1] = tokenizer.eos_token_id
    mask = steps < lengths
    return {"input_ids": ids.masked_fill(~mask, model.config.pad_token_id or 0), "attention_mask": mask.long()}


@torch.no_grad()
def measure(model: Any, exported: ExportedModel, inputs: Inputs, sentences: str = "given") -> Difference:
    """
    Compare greedy translations, and the logits of both models along PyTorch's translations.

    Args:
        model: The PyTorch model.
        exported: The exported model.
        inputs: A source and its mask, as of [`sample`].
        sentences: Where they come from: "given", "shown" or "random".
    """
    pair: tuple[Any, Any] = (exported, model)
    options = {"num_beams": 1, "do_sample": False, "max_new_tokens": COMPARED_TOKENS, **_without_ctc(model)}
    found, wanted = (each.generate(**inputs, **options) for each in pair)
    logits, expected = (each(**inputs, decoder_input_ids=wanted[:, :-1]).logits for each in pair)
    return Difference(
        sentences,
        len(wanted),
        _equal(model, found.tolist(), wanted.tolist()),
        float((logits - expected).abs().max()),
        float(expected.abs().max()),
    )


def _without_ctc(model: Any) -> dict[str, float]:
    """The option that leaves CTC out of a model's search: graphs do not have it."""
    return {"ctc_weight": 0.0} if getattr(model.generation_config, "ctc_weight", None) else {}


def _equal(model: Any, found: list[list[int]], wanted: list[list[int]]) -> int:
    """How many rows of two searches are equal; the longer may end in padding, which beams fill with ends."""
    settings = model.generation_config
    filling = {settings.pad_token_id or 0, *as_list(settings.eos_token_id)}
    return sum(
        all(a == b if None not in (a, b) else {a, b} <= {None, *filling} for a, b in itertools.zip_longest(*rows))
        for rows in zip(found, wanted)
    )
