# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""JoeyNMT: its recurrent model with Bahdanau's attention and input feeding, its search, loss and optimizer."""

from importlib.metadata import version
from types import SimpleNamespace

import torch
from joeynmt.batch import Batch
from joeynmt.builders import build_optimizer
from joeynmt.model import build_model
from joeynmt.search import search
from joeynmt.vocabulary import Vocabulary

from benchmarks.peers import workload
from benchmarks.peers.worker import Run
from benchmarks.peers.workload import Decoding, Pair, padded


UNKNOWN, PAD, BEGIN, END = range(4)
CONFIGURATION = {
    "encoder": {
        "type": "recurrent",
        "rnn_type": "gru",
        "embeddings": {"embedding_dim": workload.EMBEDDING},
        "hidden_size": workload.ENCODER_HIDDEN,
        "bidirectional": True,
        "num_layers": 1,
    },
    "decoder": {
        "type": "recurrent",
        "rnn_type": "gru",
        "embeddings": {"embedding_dim": workload.EMBEDDING},
        "hidden_size": workload.DECODER_HIDDEN,
        "num_layers": 1,
        "attention": "bahdanau",
        "input_feeding": True,
        "init_hidden": "bridge",
    },
}


class JoeyNMT:
    def __init__(self) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(0)
        special = SimpleNamespace(
            unk_token="<unk>",
            pad_token="<pad>",
            bos_token="<s>",
            eos_token="</s>",
            sep_token=None,
            unk_id=UNKNOWN,
            pad_id=PAD,
            bos_id=BEGIN,
            eos_id=END,
            lang_tags=[],
        )
        words = Vocabulary([f"w{number}" for number in range(4, workload.VOCABULARY)], special)
        self.model = build_model(CONFIGURATION, words, words)
        self.model.loss_function = "crossentropy", 0.0
        self.optimizer = build_optimizer({"optimizer": "adam", "learning_rate": 1e-4}, self.model.parameters())
        self.parameters = sum(parameter.numel() for parameter in self.model.parameters())
        self.versions = {"joeynmt": version("joeynmt"), "torch": torch.__version__}

    def batch(self, sources: list[list[int]], targets: list[list[int]] | None = None) -> Batch:
        batch = Batch(
            src=torch.tensor(padded(sources, PAD, end=END)),
            src_length=torch.tensor([len(words) + 1 for words in sources]),
            src_prompt_mask=None,
            trg=None if targets is None else torch.tensor(padded(targets, PAD, [BEGIN], END)),
            trg_prompt_mask=None,
            indices=torch.arange(len(sources)),
            device=torch.device("cpu"),
            pad_index=PAD,
            eos_index=END,
            is_train=targets is not None,
        )
        batch.sort_by_src_length()
        return batch

    def decode(self, cell: Decoding) -> Run:
        batch = self.batch(cell.sentences())

        def run() -> int:
            self.model.eval()
            found, _, _ = search(
                self.model,
                batch,
                max_output_length=cell.target_length,
                min_output_length=cell.target_length,
                beam_size=cell.beams,
                beam_alpha=1.0,
            )
            return found.size

        return run

    def train(self, pairs: list[Pair]) -> Run:
        batch = self.batch([pair.source for pair in pairs], [pair.target for pair in pairs])

        def run() -> int:
            self.model.train()
            loss, *_ = self.model(return_type="loss", **vars(batch))
            batch.normalize(loss, "tokens").backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            return batch.ntokens

        return run
