# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""This package: a GRU with additive attention and input feeding, and a Transformer; in PyTorch, and as a graph."""

import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import transformers

from benchmarks.peers import workload
from benchmarks.peers.worker import Run
from benchmarks.peers.workload import Decoding, Pair, padded
from hf_attn_seq2seq import AttnSeq2SeqConfig, AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq._version import __version__


PAD, BEGIN, END = range(3)
GRU = {
    "encoder_type": "gru",
    "decoder_type": "gru",
    "encoder_hidden_size": 2 * workload.ENCODER_HIDDEN,  # of both directions
    "hidden_size": workload.DECODER_HIDDEN,
    "attention_type": "additive",
    "attention_query": "current",
    "input_feeding": True,
    "bridge": "dense",
}
TRANSFORMER = {
    "encoder_type": "transformer",
    "decoder_type": "transformer",
    "attention_type": "multi_head",
    "encoder_layers": workload.TRANSFORMER_LAYERS,
    "decoder_layers": workload.TRANSFORMER_LAYERS,
    "encoder_hidden_size": workload.TRANSFORMER_WIDTH,
    "hidden_size": workload.TRANSFORMER_WIDTH,
    "intermediate_size": workload.TRANSFORMER_FEED_FORWARD,
    "num_attention_heads": workload.TRANSFORMER_HEADS,
    "encoder_attention_heads": workload.TRANSFORMER_HEADS,
}


def build_model(fields: dict[str, Any]) -> AttnSeq2SeqForConditionalGeneration:
    torch.manual_seed(0)
    config = AttnSeq2SeqConfig(
        vocab_size=workload.VOCABULARY,
        embedding_size=workload.EMBEDDING,
        dropout=0.0,
        tie_word_embeddings=False,
        pad_token_id=PAD,
        bos_token_id=BEGIN,
        decoder_start_token_id=BEGIN,
        eos_token_id=END,
        **fields,
    )
    return AttnSeq2SeqForConditionalGeneration(config).eval()


def sources(sentences: list[list[int]]) -> dict[str, torch.Tensor]:
    ids = torch.tensor(padded(sentences, PAD, end=END))
    return {"input_ids": ids, "attention_mask": (ids != PAD).long()}


class Torch:
    """`generate()`, and a training step as the trainer makes it."""

    fields = GRU

    def __init__(self) -> None:
        torch.set_num_threads(1)
        self.model = build_model(self.fields)
        # Fused, as the trainer's is.
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, weight_decay=0.0, fused=True)
        self.parameters = sum(parameter.numel() for parameter in self.model.parameters())
        self.versions = {
            "hf_attn_seq2seq": __version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        }

    def decode(self, cell: Decoding) -> Run:
        inputs = sources(cell.sentences())

        def run() -> int:
            self.model.eval()
            found = self.model.generate(
                **inputs, num_beams=cell.beams, min_new_tokens=cell.target_length, max_new_tokens=cell.target_length
            )
            return found[:, 1:].numel()  # without the start token

        return run

    def train(self, pairs: list[Pair]) -> Run:
        inputs = sources([pair.source for pair in pairs])
        labels = torch.tensor(padded([pair.target for pair in pairs], -100, end=END))
        tokens = int((labels != -100).sum())

        def run() -> int:
            self.model.train()
            self.model(**inputs, labels=labels).loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            return tokens

        return run


class TorchPlain(Torch):
    """`generate()` that calls the modules at every step."""

    def decode(self, cell: Decoding) -> Run:
        from hf_attn_seq2seq.short_steps import plain_steps

        run = super().decode(cell)

        def plain() -> int:
            with plain_steps():
                return run()

        return plain


class Graph(Torch):
    """The model and its search as one graph, in single precision or 8 bits."""

    bits = 32

    def __init__(self) -> None:
        from hf_attn_seq2seq.decoding.graph import GraphEngine
        from hf_attn_seq2seq.export.quantize import quantize
        from hf_attn_seq2seq.graphs.format import GRAPH_FILE
        from hf_attn_seq2seq.graphs.writer import save_graph, write_graph

        super().__init__()
        del self.optimizer
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            if self.bits == 8:
                self.model.generation_config.save_pretrained(folder)
                (folder / GRAPH_FILE).write_bytes(quantize(write_graph(self.model)).SerializeToString())
            else:
                self.model.save_pretrained(folder)
                save_graph(self.model, folder)
            self.engine = GraphEngine(folder / GRAPH_FILE, threads=1)
        self.versions["onnxruntime"] = version("onnxruntime")

    def decode(self, cell: Decoding) -> Run:
        inputs = {name: value.numpy() for name, value in sources(cell.sentences()).items()}
        options = {
            "num_beams": cell.beams,
            "min_new_tokens": cell.target_length,
            "max_new_tokens": cell.target_length,
        }
        return lambda: self.engine.search(**inputs, **options).sequences[:, 1:].size

    def train(self, pairs: list[Pair]) -> Run:
        raise NotImplementedError("A graph does not train.")


class GraphInt8(Graph):
    bits = 8


class TransformerGraphInt8(GraphInt8):
    fields = TRANSFORMER
