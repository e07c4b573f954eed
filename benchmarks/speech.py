# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
How fast a model that hears trains and recognises, beside a plain PyTorch loop of the same equations.

    python benchmarks/speech.py --threads 1

The model is that of the recipe `an4_speech`, without its dropout: log-mel frames, two strided convolutions, a
bidirectional LSTM, a GRU with location-aware attention, and CTC. A training step (forward and backward) is timed turn
by turn with the plain loop, and with the same loop whose encoder is by `nn.LSTM`; the ratio is the median over
the rounds of their time by ours, and an epoch of AN4 (2,289 s of speech) is that many steps. Recognition is greedy, of
one utterance at a time, by the graph and by `generate()`; a second of speech takes the median time by the utterance's
seconds. Features and weights are random: neither changes the work, and what is said has a given length.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the package and the loop, installed or not

from benchmarks.plain_loop import PlainLoop
from benchmarks.rounds import processor
from benchmarks.step import Timing, time_side_by_side
from hf_attn_seq2seq import AttnSeq2SeqConfig, AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.decoding.graph import GraphEngine
from hf_attn_seq2seq.graphs.writer import save_graph


FRAME = 0.01  # seconds
AN4_SECONDS = 2289
CHARACTERS = 7  # in a second of AN4
SHORTEST = 0.8  # of the longest utterance of a batch, which are sorted by length


def speech_config(
    vocab_size: int, hidden_size: int, mel_bins: int, dropout: float, **fields: Any
) -> AttnSeq2SeqConfig:
    """That of the recipe, in any size."""
    recipe: dict[str, Any] = {
        "frontend": "speech",
        "encoder_type": "lstm",
        "decoder_type": "gru",
        "encoder_layers": 3,
        "layer_norm": True,
        "attention_type": "location_aware",
        "location_kernel_size": 31,
        "ctc_weight": 0.5,
    }
    sizes = {"vocab_size": vocab_size, "hidden_size": hidden_size, "num_mel_bins": mel_bins, "dropout": dropout}
    return AttnSeq2SeqConfig(**{**recipe, **sizes, **fields})


class FusedLoop(PlainLoop):
    """The same loop with torch's own LSTM in the encoder, as most would write it."""

    def __init__(self, model: AttnSeq2SeqForConditionalGeneration) -> None:
        super().__init__(model)
        config, layers = self.config, self.encoder.stack.layers
        self.stacks = []
        for layer in layers:
            inputs = layer.cells[0].input_projections[0].in_features
            stack = nn.LSTM(inputs, config.encoder_hidden_size // 2, batch_first=True, bidirectional=True)
            with torch.no_grad():
                for cell, end in zip(layer.cells, ("", "_reverse")):
                    for name, weight in zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), cell.flat_weights()):
                        getattr(stack, f"{name}_l0{end}").copy_(weight)
            self.stacks.append(stack)

    def read(self, source: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """As the plain loop's."""
        batch, src_len, _ = source.shape
        lengths = torch.full((batch,), src_len) if mask is None else mask.sum(1)
        for layer, stack in zip(self.encoder.stack.layers, self.stacks):
            packed = nn.utils.rnn.pack_padded_sequence(source, lengths, batch_first=True, enforce_sorted=False)
            outputs, _ = nn.utils.rnn.pad_packed_sequence(stack(packed)[0], batch_first=True, total_length=src_len)
            source = layer.norm(outputs)
            if mask is not None:
                source = source * mask.unsqueeze(2)
        size = self.config.encoder_hidden_size // 2
        return source, torch.cat([source[torch.arange(batch), lengths - 1, :size], source[:, 0, size:]], dim=-1)


Batch = dict[str, torch.Tensor]


def random_batch(config: AttnSeq2SeqConfig, seconds: float, rows: int) -> Batch:
    """Utterances of up to so many seconds, with characters to match."""
    generator = torch.Generator().manual_seed(0)
    frames = round(seconds / FRAME)
    lengths = torch.randint(round(SHORTEST * frames), frames + 1, (rows, 1), generator=generator)
    lengths[0] = frames
    mask = torch.arange(frames) < lengths
    said = (lengths * FRAME * CHARACTERS).long().clamp(min=1)
    labels = torch.randint(4, config.vocab_size, (rows, int(said.max())), generator=generator)
    labels = labels.masked_fill(torch.arange(labels.shape[1]) >= said, -100)
    features = torch.randn(rows, frames, config.num_mel_bins, generator=generator).masked_fill(~mask[..., None], 0.0)
    return {"input_features": features, "attention_mask": mask.long(), "labels": labels}


def train_side_by_side(config: AttnSeq2SeqConfig, batch: Batch, loop_class: type[PlainLoop], rounds: int) -> Timing:
    """
    Time a step of the plain loop and of the model.

    Raises:
        ValueError: The two losses differ: they would not be the same equations.
    """
    torch.manual_seed(0)
    model = AttnSeq2SeqForConditionalGeneration(config).train()
    loop = loop_class(model)
    parts = [*model.parameters(), *(cell.input_weight for cell in loop.cells)]
    parts += [weight for stack in getattr(loop, "stacks", []) for weight in stack.parameters()]

    def step(loss: Callable[[], torch.Tensor]) -> torch.Tensor:
        for part in parts:
            part.grad = None
        found = loss()
        found.backward()
        return found.detach()

    def ours() -> torch.Tensor:
        return step(lambda: model(**batch).loss)

    def plain() -> torch.Tensor:
        return step(lambda: loop.loss(*batch.values()))

    losses = float(plain()), float(ours())
    if abs(losses[0] - losses[1]) > 1e-4 * losses[0]:
        raise ValueError(f"The plain loop's loss is {losses[0]:.6f}, the model's {losses[1]:.6f}.")
    return time_side_by_side(plain, ours, rounds)


def recognition(config: AttnSeq2SeqConfig, seconds: float, rounds: int) -> tuple[float, float]:
    """Seconds that a second of speech takes, by `generate()` and by the graph, in turns."""
    torch.manual_seed(0)
    model = AttnSeq2SeqForConditionalGeneration(config).eval()
    characters = round(seconds * CHARACTERS)
    options = {"min_new_tokens": characters, "max_new_tokens": characters}
    batch = random_batch(config, seconds, 1)
    inputs = {name: batch[name] for name in ("input_features", "attention_mask")}
    arrays = {name: value.numpy() for name, value in inputs.items()}
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        engine = GraphEngine(save_graph(model, Path(folder)), Path(folder), threads=torch.get_num_threads())
        runs: list[Callable[[], object]] = [
            lambda: model.generate(**inputs, **options),  # type: ignore[operator]
            lambda: engine.search(**arrays, **options),
        ]
        times: list[list[float]] = [[], []]
        for turn in range(-2, rounds):
            for index in (0, 1) if turn % 2 else (1, 0):
                start = time.perf_counter()
                runs[index]()
                if turn >= 0:
                    times[index].append((time.perf_counter() - start) / seconds)
    return statistics.median(times[0]), statistics.median(times[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="threads that torch and ONNX Runtime may use")
    parser.add_argument("--rounds", type=int, default=9, help="measured runs of each")
    parser.add_argument("--seconds", type=float, default=2.7, help="of an utterance: AN4's mean")
    parser.add_argument("--rows", type=int, default=12, help="utterances of a training batch")
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--mel-bins", type=int, default=40)
    parser.add_argument("--vocab-size", type=int, default=31, help="characters")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 2 utterances: a trial, not a measurement")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.rows = 2, 2
    torch.set_num_threads(args.threads)
    config = speech_config(args.vocab_size, args.hidden, args.mel_bins, dropout=0.0)
    batch = random_batch(config, args.seconds, args.rows)
    heard = float(batch["attention_mask"].sum()) * FRAME
    print(f"{processor()}, {os.cpu_count()} cores, {args.threads} thread(s), torch {torch.__version__}")
    print(f"{args.rows} utterances of up to {args.seconds} s a batch, float32, medians of {args.rounds} rounds\n")
    print("| beside | theirs, ms a step | ours, ms | ratio | ours, s an epoch of AN4 |\n|---|---|---|---|---|")
    for name, loop in (("a loop over cells", PlainLoop), ("a loop, encoder by nn.LSTM", FusedLoop)):
        timing = train_side_by_side(config, batch, loop, args.rounds)
        epoch = timing.ours_ms / 1000 * AN4_SECONDS / heard
        print(
            f"| {name} | {timing.plain_ms:.0f} | {timing.ours_ms:.0f} | {timing.ratio:.2f} | {epoch:.1f} |", flush=True
        )
    by_generate, by_graph = recognition(config, args.seconds, args.rounds)
    print(f"\nA second of speech, greedily: {by_graph:.4f} s by the graph, {by_generate:.4f} s by generate().")


if __name__ == "__main__":
    main()
