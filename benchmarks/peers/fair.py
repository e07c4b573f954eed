# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""fairseq: its LSTM with attention and input feeding, its sequence generator, criterion and Adam."""

from argparse import Namespace
from importlib.metadata import version

import torch
from fairseq.criterions.cross_entropy import CrossEntropyCriterion
from fairseq.data import Dictionary
from fairseq.models.lstm import LSTMModel
from fairseq.optim.adam import FairseqAdam, FairseqAdamConfig
from fairseq.sequence_generator import SequenceGenerator

from benchmarks.peers import workload
from benchmarks.peers.worker import Run
from benchmarks.peers.workload import Decoding, Pair, padded


class Fairseq:
    def __init__(self) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(0)
        self.words = Dictionary()
        for number in range(len(self.words), workload.VOCABULARY):
            self.words.add_symbol(f"w{number}")
        task = Namespace(source_dictionary=self.words, target_dictionary=self.words)
        settings = Namespace(
            dropout=0.0,
            encoder_embed_dim=workload.EMBEDDING,
            encoder_hidden_size=workload.ENCODER_HIDDEN,
            encoder_layers=1,
            encoder_bidirectional=True,
            decoder_embed_dim=workload.EMBEDDING,
            decoder_hidden_size=workload.DECODER_HIDDEN,
            decoder_out_embed_dim=workload.DECODER_HIDDEN,
            decoder_layers=1,
            decoder_attention="1",
            criterion="cross_entropy",
        )
        self.model = LSTMModel.build_model(settings, task)
        self.model.encoder.left_pad = False  # the sources below are padded on the right
        self.criterion = CrossEntropyCriterion(task, sentence_avg=False)
        adam = FairseqAdamConfig(adam_betas="(0.9, 0.999)", lr=[1e-4], tpu=False)
        self.optimizer = FairseqAdam(adam, list(self.model.parameters()))
        self.parameters = sum(parameter.numel() for parameter in self.model.parameters())
        self.versions = {"fairseq": version("fairseq"), "torch": torch.__version__}

    def sources(self, sentences: list[list[int]]) -> dict[str, torch.Tensor]:
        """Longest first, as the encoder wants them."""
        return {
            "src_tokens": torch.tensor(padded(sentences, self.words.pad(), end=self.words.eos())),
            "src_lengths": torch.tensor([len(words) + 1 for words in sentences]),
        }

    def decode(self, cell: Decoding) -> Run:
        # The end token, which is forced after the longest output, is the last of the steps.
        steps = cell.target_length - 1
        generator = SequenceGenerator(
            [self.model], self.words, beam_size=cell.beams, max_len_b=steps, min_len=steps, len_penalty=1.0
        )
        sample = {"net_input": self.sources(cell.sentences())}

        def run() -> int:
            self.model.eval()
            found = generator.generate([self.model], sample)
            return sum(len(hypotheses[0]["tokens"]) for hypotheses in found)

        return run

    def train(self, pairs: list[Pair]) -> Run:
        pairs = sorted(pairs, key=lambda pair: -len(pair.source))
        targets = [pair.target for pair in pairs]
        pad, end = self.words.pad(), self.words.eos()
        sample = {
            "net_input": {
                **self.sources([pair.source for pair in pairs]),
                "prev_output_tokens": torch.tensor(padded(targets, pad, [end])),  # the end token starts, too
            },
            "target": torch.tensor(padded(targets, pad, end=end)),
            "ntokens": sum(len(words) + 1 for words in targets),
        }

        def run() -> int:
            self.model.train()
            loss, tokens, _ = self.criterion(self.model, sample)
            self.optimizer.backward(loss)
            self.optimizer.multiply_grads(1.0 / tokens)
            self.optimizer.step()
            self.optimizer.zero_grad()
            return tokens

        return run
