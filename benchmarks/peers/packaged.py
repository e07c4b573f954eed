# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""A packaged model on real sentences: `generate()`, of this version or an earlier one, and its graph."""

import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from benchmarks.peers.worker import Run
from benchmarks.peers.workload import Decoding
from hf_attn_seq2seq._version import __version__
from hf_attn_seq2seq.decoding.loading import load, resolve


MODEL = "en-fr-small"  # which earlier versions have too
LIMIT = 64  # new tokens
SENTENCES = """The cat is on the mat.
Where do you live?
I do not know what to say.
She has been reading a book all day.
It is raining.
My brother is taller than me.
We went to the beach yesterday.
Could you open the window, please?
He is always late.
This is the best day of my life.
I would like a cup of coffee.
They are waiting for the bus.
What time does the train leave?
Nobody knows the answer to that question.
You should have told me the truth.
Tom is afraid of dogs.""".splitlines()


class Packaged:
    """`generate()`."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        self.model, self.tokenizer = load(MODEL, "cpu", "float32")[:2]
        self.parameters = sum(parameter.numel() for parameter in self.model.parameters())
        self.versions = {
            "hf_attn_seq2seq": __version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        }

    def search(self, inputs: dict[str, Any], beams: int) -> np.ndarray:
        """Sequences `(batch, tgt_len)`, with the start token."""
        inputs = {name: torch.from_numpy(value) for name, value in inputs.items()}
        return self.model.generate(**inputs, num_beams=beams, max_new_tokens=LIMIT).numpy()

    def batches(self, cell: Decoding) -> list[dict[str, Any]]:
        """All sentences: one by one, or as often as they fill one batch."""
        texts = SENTENCES * max(1, cell.batch // len(SENTENCES))
        starts = range(0, len(texts), cell.batch)
        rows = [self.tokenizer(texts[start : start + cell.batch], padding=True) for start in starts]
        names = ("input_ids", "attention_mask")
        return [{name: np.array(row[name], dtype=np.int64) for name in names} for row in rows]

    def decode(self, cell: Decoding) -> Run:
        """Counts sentences, since translations may differ in length."""
        batches = self.batches(cell)

        def run() -> int:
            return sum(len(self.search(batch, cell.beams)) for batch in batches)

        return run

    def translations(self, cell: Decoding) -> list[str]:
        found = [row for batch in self.batches(cell) for row in self.search(batch, cell.beams)]
        return [self.tokenizer.decode(row, skip_special_tokens=True) for row in found]


class PackagedPlain(Packaged):
    """`generate()` that calls the modules at every step."""

    def search(self, inputs: dict[str, Any], beams: int) -> np.ndarray:
        from hf_attn_seq2seq.short_steps import plain_steps

        with plain_steps():
            return super().search(inputs, beams)


class PackagedGraph(Packaged):
    """The model and its search as one graph, in single precision or 8 bits."""

    bits = 32

    def __init__(self) -> None:
        from hf_attn_seq2seq.decoding.graph import GraphEngine
        from hf_attn_seq2seq.export.quantize import quantize
        from hf_attn_seq2seq.graphs.format import GRAPH_FILE
        from hf_attn_seq2seq.graphs.writer import save_graph, write_graph

        super().__init__()
        with tempfile.TemporaryDirectory() as name:
            if self.bits == 8:
                folder, weights = Path(name), Path(name)
                self.model.generation_config.save_pretrained(folder)
                (folder / GRAPH_FILE).write_bytes(quantize(write_graph(self.model)).SerializeToString())
            else:
                folder, weights = Path(name), Path(resolve(MODEL))
                save_graph(self.model, weights, folder)
            self.engine = GraphEngine(folder / GRAPH_FILE, weights, threads=1)
        self.versions["onnxruntime"] = version("onnxruntime")

    def search(self, inputs: dict[str, Any], beams: int) -> np.ndarray:
        return self.engine.search(**inputs, num_beams=beams, max_new_tokens=LIMIT).sequences


class PackagedGraphInt8(PackagedGraph):
    bits = 8
